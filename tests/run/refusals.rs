//! What COMMAND sees of a refusal, and what its caller is told at the end.

use crate::harness::{Answer, Dns, Ended, Origin, callers, end, user};

#[test]
fn a_refusal_says_why_and_what_would_allow_it() {
    for caller in callers() {
        let Ended { status, out, err } = caller.run(&["--", "curl", "-sS", "-m", "5", "http://example.org/"]);
        assert_eq!(status, 0);
        assert!(out.contains("\"reason\":\"host_not_allowed\"") && out.contains("allow = [\"example.org\"]"), "{out}");
        assert_eq!(err, "tidegate: refused: example.org:80 (host_not_allowed); to allow it: --allow 'example.org'\n");
    }
}

#[test]
fn refusals_are_counted_by_destination_and_reason() {
    let caller = user();
    let script = "for i in 1 2 3; do curl -s -m 5 -o /dev/null https://example.org/; done; curl -s -m 5 -o /dev/null https://192.0.2.1:8443/; exit 4";
    let Ended { status, out, err } = caller.shell(script);
    assert_eq!((status, out.as_str()), (4, ""));
    let expected = "tidegate: refused 3 times: example.org:443 (host_not_allowed); to allow it: --allow 'example.org'";
    assert_eq!(err.lines().next(), Some(expected), "{err}");
    assert!(err.lines().nth(1).unwrap().starts_with("tidegate: refused: 192.0.2.1:8443 (ip_literal_not_allowed)"), "{err}");
}

/// The wall and the doors behind it, for programs that know of no proxy: as they have none, the name is all there is to refuse, and
/// an address all there is to judge.
#[test]
fn threat_37_without_variables_the_same_is_refused() {
    for caller in callers() {
        let script = "unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; curl -sS -m 5 https://example.org/; echo $?;
            curl -sS -m 5 http://192.0.2.1/; curl -sS -m 5 --noproxy '*' https://192.0.2.1/; echo $?";
        let Ended { status, out, err } = caller.run(&["--audit", "audit.jsonl", "--", "sh", "-c", script]);
        assert_eq!(status, 0, "{err}");
        // Not resolved; a page with the reason; no TLS.
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines.first(), lines.last()), (Some(&"6"), Some(&"35")), "{out} {err}");
        assert!(lines[1].contains("\"reason\":\"ip_literal_not_allowed\""), "{out}");
        assert!(
            err.contains("tidegate: refused") && err.contains("example.org") && err.contains("192.0.2.1:80 (ip_literal_not_allowed)"),
            "{err}"
        );
        let records = std::fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        for door in ["\"door\":\"dns\"", "\"door\":\"transparent\""] {
            assert!(records.contains(door), "{door}: {records}");
        }
    }
}

#[test]
fn what_is_allowed_is_reached_with_and_without_variables() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        dns.say("origin.test", Answer::of(&["127.0.0.1"]));
        let policy =
            format!("allow = [{{ host = \"origin.test:{}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n", origin.port());
        caller.write("policy.toml", &policy);
        caller.write("tidegate.toml", &format!("[policy]\nfile = \"policy.toml\"\n[dns]\nresolver = \"{}\"\n", dns.address()));
        let script = format!("curl -sS -m 5 http://origin.test:{0}/; curl -sS -m 5 --noproxy '*' http://origin.test:{0}/", origin.port());
        assert_eq!(caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", &script]).printed(), "hellohello");
        assert_eq!(origin.asked(), 2);
    }
}

/// Row 6.8 of the reference, in a network whose only interface leads nowhere and counts: whatever is tried inside, not one packet gets there.
#[test]
fn threats_34_and_35_no_probe_leaves_a_packet() {
    let probes = r"
import os, socket, subprocess
def send(family, kind, address, protocol=0):
    try:
        s = socket.socket(family, kind, protocol)
        s.settimeout(1)
        if kind == socket.SOCK_STREAM:
            s.connect(address)
            s.send(b'GET / HTTP/1.0\r\n\r\n')
        else:
            s.sendto(b'x' * 40, address)
        s.recv(100)
    except OSError:
        pass
for v4, v6 in [('10.9.9.2', 'fd09::2'), ('198.51.100.1', '2001:db8::1'), ('169.254.169.254', 'fe80::2%lo'), ('10.9.9.1', 'fd09::1'), ('224.0.0.1', 'ff02::1')]:
    for port in (22, 53, 80, 123, 443, 853):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            send(socket.AF_INET, kind, (v4, port))
            send(socket.AF_INET6, kind, (v6, port))
    send(socket.AF_INET, socket.SOCK_DGRAM, (v4, 0), socket.IPPROTO_ICMP)
    send(socket.AF_INET, socket.SOCK_RAW, (v4, 0), socket.IPPROTO_ICMP)
for command in ['nft flush ruleset', 'iptables -F', 'ip route add default dev lo', 'ip link add d1 type dummy', 'ip link set lo down', 'nsenter -t 1 -n true',
                'unshare -n true', 'curl -s -m 1 http://10.9.9.2/', 'curl -s -m 1 --noproxy * http://10.9.9.2/', 'env -u https_proxy curl -s -m 1 https://10.9.9.2/',
                'ping -c 1 -W 1 10.9.9.2']:
    try:
        subprocess.run(command.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        pass
print('tried')
";
    for caller in callers() {
        caller.write("probes.py", probes);
        let script = "ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && ip address add 10.9.9.1/24 dev d0 && ip -6 address add fd09::1/64 dev d0 nodad &&
            ip link set d0 up && ip route add default via 10.9.9.2 && ip -6 route add default via fd09::2 && ip neighbour add 10.9.9.2 lladdr 02:00:00:00:00:02 dev d0 || exit 9
            sent() { sed -n 's/.*d0: *//p' /proc/net/dev | awk '{print $10}'; }
            python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"10.9.9.2\", 9))'
            echo 1 > /proc/sys/net/ipv6/conf/d0/disable_ipv6; before=$(sent); [ \"$before\" -ge 1 ] || exit 8
            \"$TIDEGATE\" run -- python3 probes.py 2> refused; [ \"$(sent)\" = \"$before\" ] || exit 7; grep -c '^tidegate: refused' refused";
        let Ended { status, out, err } = end(caller.command("unshare").args(["-Urn", "sh", "-c", script]), b"");
        assert_eq!((status, out.lines().next()), (0, Some("tried")), "{out} {err}");
    }
}

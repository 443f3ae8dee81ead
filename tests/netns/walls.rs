//! What leads around the rules if nobody thought of it.

use crate::harness::{Counter, LISTEN, Origin, Pod, SANDBOX, eventually, left, on_a_machine, program::run};

/// `egress.md` 6.8: each way is seen outside without the rules, and not with them.
#[test]
fn threat_36_raw_sockets_find_no_way() {
    on_a_machine("walls::threat_36_raw_sockets_find_no_way", || {
        let pod = Pod::new(1, LISTEN);
        let counter = Counter::start();
        let attempt = || {
            let ran = pod.python(Some("net_raw"), RAW);
            assert!(ran.success, "{}", ran.said);
            let packets = counter.packets();
            let marked = |packet: &&String| packet.contains("203.0.113.66") || packet.contains("2001:db8::66") || packet.contains("LEAK");
            let mut seen: Vec<_> = packets.iter().filter(marked).cloned().collect();
            seen.retain(|packet| !packet.contains("203.0.113.66 > "));
            seen
        };
        let before = attempt();
        assert!(before.len() >= 8, "the test sees nothing: {before:#?}");
        let ran = pod.netns("setup");
        assert!(ran.success, "{}", ran.said);
        assert_eq!(attempt(), [""; 0]);
        let ran = pod.netns("clear");
        assert!(ran.success, "{}", ran.said);
        assert_eq!(attempt(), before);
    });
}

/// Loopback's addresses are let through, for connections that were led there; bound to an interface, they would leave by it.
#[test]
fn an_interface_that_a_socket_is_bound_to_leads_nowhere() {
    on_a_machine("walls::an_interface_that_a_socket_is_bound_to_leads_nowhere", || {
        let pod = Pod::redirected(1);
        let (_gate, counter) = (pod.serve(), Counter::start());
        let ran = pod.python(None, BOUND);
        assert_eq!(ran.said.trim(), "tried", "{}", ran.said);
        assert_eq!(left(&counter), [""; 0]);
    });
}

/// With the right to raw sockets one could send to loopback what the kernel then forwards.
#[test]
fn nothing_is_forwarded() {
    on_a_machine("walls::nothing_is_forwarded", || {
        let pod = Pod::new(1, LISTEN);
        let counter = Counter::start();
        let forwarding = "for file in ip_forward conf/all/accept_local conf/lo/accept_local; do echo 1 > /proc/sys/net/ipv4/$file; done";
        assert!(run(&mut pod.root(&["sh", "-c", forwarding]), "sh").success);
        let attempt = || {
            let ran = pod.python(Some("net_raw"), BY_LOOPBACK);
            assert!(ran.success, "{}", ran.said);
            let packets = left(&counter);
            packets.into_iter().filter(|packet| packet.starts_with("17 ")).collect::<Vec<_>>()
        };
        assert_eq!(attempt(), ["17 192.0.2.1:1000 > 203.0.113.66:2000"], "without the rules it is");
        assert!(pod.netns("setup").success);
        assert_eq!(attempt(), [""; 0]);
    });
}

/// The limit that docs/sidecar.md names: a program of the exempt user's that anybody may become. `no_new_privs` takes it away.
#[test]
fn a_set_user_id_program_of_the_proxys_is_what_check_warns_of() {
    on_a_machine("walls::a_set_user_id_program_of_the_proxys_is_what_check_warns_of", || {
        let (origin, pod) = (Origin::start(), Pod::redirected(1));
        let curl = pod.set_user_id("/usr/bin/curl");
        let fetch = [&curl[..], "--silent", "--max-time", "10", "http://203.0.113.10/"];
        assert!(!pod.sandbox(&fetch).success, "no_new_privs holds");
        assert_eq!(origin.asked(), 0);
        let id = SANDBOX.to_string();
        let privileged = [&["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"][..], &fetch].concat();
        let ran = run(pod.root(&privileged).current_dir("/"), "curl");
        assert_eq!((ran.stdout.as_str(), origin.asked()), ("hello", 1), "{}", ran.said);

        let mut sleeper = pod.root(&["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "sleep", "1000"]).spawn().unwrap();
        let becomes = || std::fs::read_to_string(format!("/proc/{}/comm", sleeper.id())).unwrap_or_default() == "sleep\n";
        eventually("it sleeps", becomes);
        let ran = pod.netns("check");
        let line =
            format!("FAILS   process: {} (sleep) can gain privileges by set-user-id programs: no_new_privs is not set\n", sleeper.id());
        assert!(!ran.success && ran.stdout.contains(&line), "{}", ran.said);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    });
}

/// By IP and below it, over both families, and what is no packet of IP at all. Errors are what a wall looks like from inside.
const RAW: &str = "
import socket, struct
def checksum(octets):
    total = sum(struct.unpack('!%dH' % (len(octets) // 2), octets))
    total = (total >> 16) + (total & 65535)
    return ~(total + (total >> 16)) & 65535
def four(protocol, payload):
    head = struct.pack('!BBHHHBBH4s4s', 69, 0, 20 + len(payload), 1, 0, 64, protocol, 0, socket.inet_aton('10.77.1.2'), socket.inet_aton('203.0.113.66'))
    return head[:10] + struct.pack('!H', checksum(head)) + head[12:] + payload
def six(protocol, payload):
    ends = [socket.inet_pton(socket.AF_INET6, address) for address in ('fd77:1::2', '2001:db8::66')]
    return struct.pack('!IHBB', 6 << 28, len(payload), protocol, 64) + ends[0] + ends[1] + payload
udp = struct.pack('!HHHH', 1000, 2000, 12, 0) + b'LEAK'
tcp = struct.pack('!HHIIBBHHH', 1000, 443, 1, 0, 80, 2, 1000, 0, 0)
def attempt(send):
    try:
        send()
    except OSError:
        pass
for protocol, payload in [(17, udp), (6, tcp), (1, b'\\x08\\0\\xf7\\xff\\0\\0\\0\\0'), (132, udp)]:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    attempt(lambda: raw.sendto(four(protocol, payload), ('203.0.113.66', 0)))
for protocol, payload in [(17, udp), (6, tcp), (58, b'\\x80\\0\\0\\0LEAK'), (58, b'\\x88\\0\\0\\0\\0\\0\\0\\0' + b'LEAK' * 4)]:
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    attempt(lambda: raw.sendto(six(protocol, payload), ('2001:db8::66', 0)))
arp = struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + b'\\2\\0\\0\\0\\0\\1' + b'LEAK' + b'\\0' * 6 + b'LEAK'
everyone = b'\\xff' * 6
for bypass in [0, 1]:
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    packet.setsockopt(263, 20, bypass)
    for kind, payload in [(0x800, four(17, udp)), (0x86dd, six(17, udp)), (0x86dd, six(58, b'\\x87\\0\\0\\0\\0\\0\\0\\0' + b'LEAK' * 4)), (0x806, arp), (0x88b5, b'LEAK')]:
        attempt(lambda: packet.sendto(payload, ('eth0', kind, 0, 1, everyone)))
    marked = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    marked.setsockopt(socket.SOL_SOCKET, 36, 0x74696465)
    attempt(lambda: marked.sendto(four(17, udp), ('eth0', 0x800, 0, 1, everyone)))
marked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
marked.bind(('0.0.0.0', 7000))
marked.setsockopt(socket.SOL_SOCKET, 36, 0x74696465)
attempt(lambda: marked.sendto(b'LEAK', ('203.0.113.66', 1)))
";

const BOUND: &str = "
import socket
for family, own, away in [(socket.AF_INET, '127.0.0.1', '203.0.113.66'), (socket.AF_INET6, '::1', '2001:db8::66')]:
    for to in [own, away]:
        for kind in [socket.SOCK_DGRAM, socket.SOCK_STREAM]:
            client = socket.socket(family, kind)
            client.settimeout(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
            try:
                client.connect((to, 443))
                client.send(b'LEAK')
            except OSError:
                pass
print('tried')
";

const BY_LOOPBACK: &str = "
import socket, struct
head = struct.pack('!BBHHHBBH4s4s', 69, 0, 32, 1, 0, 64, 17, 0, socket.inet_aton('192.0.2.1'), socket.inet_aton('203.0.113.66'))
words = sum(struct.unpack('!10H', head))
words = ~((words >> 16) + (words & 65535)) & 65535
head = head[:10] + struct.pack('!H', words) + head[12:]
packet = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
packet.setsockopt(socket.SOL_SOCKET, 36, 0x74696465)
packet.sendto(head + struct.pack('!HHHH', 1000, 2000, 12, 0) + b'LEAK', ('lo', 0x800, 0, 772, bytes(6)))
";

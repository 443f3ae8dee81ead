//! In real namespaces: each test runs itself again in a new one, as root and as an ordinary user.

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::{Protocol, ipproto, sendto, sockopt},
    process::geteuid,
};

use super::*;
use crate::downstream::redirected::original_destination;

#[test]
fn tcp_to_any_address_arrives_with_where_it_was_going() {
    inside("tests::tcp_to_any_address_arrives_with_where_it_was_going", || {
        let bound = close().unwrap();
        for going in ["1.2.3.4:443", "169.254.169.254:80", "0.1.2.3:9", "[2606:4700::1111]:22", "[64:ff9b::102:304]:5432"] {
            let going = address(going);
            let (client, server) = connected(going, of_family(&bound.transparent, going));
            assert_eq!(original_destination(&server).unwrap(), going);
            assert_eq!((client.peer_addr().unwrap(), client.local_addr().unwrap().ip()), (going, loopback(going)));
            they_talk(client, server);
        }
        let (_client, server) = connected(address("[::ffff:1.2.3.4]:443"), &bound.transparent[0]);
        assert_eq!(original_destination(&server).unwrap(), address("1.2.3.4:443"));
        let (_client, server) = connected(address("[fe80::1%1]:443"), &bound.transparent[1]);
        assert_eq!(original_destination(&server).unwrap(), address("[fe80::1]:443"));
        for to in ["224.0.0.1:443", "[ff02::1%1]:443"] {
            assert_eq!(opened(address(to)).unwrap_err().kind(), io::ErrorKind::NetworkUnreachable, "{to}");
        }
    });
}

/// What a program finds out about itself with `connect` and `getsockname` on UDP is an address that it may use.
#[test]
fn a_client_of_any_source_address_and_port_is_served() {
    inside("tests::a_client_of_any_source_address_and_port_is_served", || {
        fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        let bound = close().unwrap();
        let from = |source: &str, to: &str| {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            sockopt::set_socket_reuseaddr(&socket, true).unwrap();
            // Which `connect` waits at most.
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE)).unwrap();
            bind(&socket, &address(source)).unwrap();
            connect(&socket, &address(to)).unwrap();
            let server = accepted(&bound.transparent[0]);
            assert_eq!(original_destination(&server).unwrap(), address(to));
            (TcpStream::from(socket), server)
        };
        let one = from("10.9.8.7:0", "1.2.3.4:443");
        // Behind the redirection the second and third differ from the first in nothing; the kernel changes their ports.
        let same = ["1.2.3.4:443", "5.6.7.8:443", "1.2.3.4:444"].map(|to| from("127.0.0.1:40000", to));
        for (client, server) in [one].into_iter().chain(same) {
            they_talk(client, server);
        }
        let curious = UdpSocket::bind("0.0.0.0:0").unwrap();
        curious.connect("8.8.8.8:80").unwrap();
        assert_eq!(curious.local_addr().unwrap().ip(), V4);
    });
}

#[test]
fn threat_38_a_connection_to_a_door_itself_is_seen_to_be_one() {
    inside("tests::threat_38_a_connection_to_a_door_itself_is_seen_to_be_one", || {
        for listener in close().unwrap().transparent {
            let own = listener.local_addr().unwrap();
            let (_client, server) = connected(own, &listener);
            assert_eq!((original_destination(&server).unwrap(), server.local_addr().unwrap()), (own, own));
        }
    });
}

#[test]
fn names_are_asked_for_here_whomever_one_asks() {
    inside("tests::names_are_asked_for_here_whomever_one_asks", || {
        let bound = close().unwrap();
        for asked in ["8.8.8.8:53", "127.0.0.53:53", "127.0.0.1:53", "224.0.0.1:53", "[2001:4860:4860::8888]:53", "[::1]:53"] {
            let asked = address(asked);
            let at = usize::from(asked.is_ipv6());
            if !asked.ip().is_multicast() {
                let (client, server) = connected(asked, &bound.dns_streams[at]);
                they_talk(client, server);
            }
            bound.dns[at].set_nonblocking(false).unwrap();
            bound.dns[at].set_read_timeout(Some(PATIENCE)).unwrap();
            let client = UdpSocket::bind((if asked.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send_to(b"who?", asked).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = bound.dns[at].recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], *b"who?");
            bound.dns[at].send_to(b"nobody", from).unwrap();
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&b"nobody"[..], asked));
        }
    });
}

#[test]
fn threat_34_what_no_door_takes_is_refused_at_once() {
    inside("tests::threat_34_what_no_door_takes_is_refused_at_once", || {
        let _bound = close().unwrap();
        let datagram = |to: &str| refusal(SocketType::DGRAM, None, to);
        for to in ["1.2.3.4:443", "1.2.3.4:123", "224.0.0.251:5353", "255.255.255.255:67", "169.254.1.1:1"] {
            assert_eq!(datagram(to), Err(Errno::PERM), "{to}");
        }
        for to in ["[2606:4700::1111]:443", "[ff02::fb%1]:5353", "[ff02::1%1]:443", "[fe80::1%1]:443", "[fd00::1]:123"] {
            assert_eq!(datagram(to), Err(Errno::PERM), "{to}");
        }
        for protocol in [ipproto::ICMP, ipproto::SCTP, ipproto::GRE, ipproto::UDP] {
            assert_eq!(refusal(SocketType::RAW, Some(protocol), "1.2.3.4:0"), Err(Errno::PERM), "{protocol:?}");
        }
        for protocol in [ipproto::ICMPV6, ipproto::SCTP] {
            assert_eq!(refusal(SocketType::RAW, Some(protocol), "[2606:4700::1111]:0"), Err(Errno::PERM), "{protocol:?}");
        }
        // One that does not look at what `send` says sees it when it waits for the answer.
        for (from, to, errno) in [("0.0.0.0:0", "1.2.3.4:443", Errno::HOSTUNREACH), ("[::]:0", "[2606:4700::1111]:443", Errno::ACCESS)] {
            let client = UdpSocket::bind(from).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect(to).unwrap();
            client.send(b"hello").unwrap_err();
            assert_eq!(client.recv(&mut [0; 16]).unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
        }
    });
}

#[test]
fn loopback_is_the_sandboxs_own() {
    inside("tests::loopback_is_the_sandboxs_own", || {
        let _bound = close().unwrap();
        for own in ["127.0.0.1:5000", "127.1.2.3:5000", "[::1]:5000"] {
            let own = address(own);
            let listener = TcpListener::bind(own).unwrap();
            let (client, server) = connected(own, &listener);
            they_talk(client, server);
            let (one, other) = (UdpSocket::bind(own).unwrap(), UdpSocket::bind((own.ip(), 0)).unwrap());
            one.set_read_timeout(Some(PATIENCE)).unwrap();
            other.send_to(b"hello", own).unwrap();
            assert_eq!(one.recv_from(&mut [0; 16]).unwrap(), (5, other.local_addr().unwrap()));
        }
        // Which the kernel takes for loopback.
        for (any, own) in [("0.0.0.0:5000", "127.0.0.1:5000"), ("[::]:5000", "[::1]:5000")] {
            let (client, server) = connected(address(any), &TcpListener::bind(own).unwrap());
            they_talk(client, server);
        }
        // No segment of TCP has none of its flags.
        assert_eq!(refusal(SocketType::RAW, Some(ipproto::TCP), "127.0.0.1:0"), Err(Errno::PERM));
        // What has no checksum is answered with nothing, but leaves.
        assert_eq!(refusal(SocketType::RAW, Some(ipproto::ICMP), "127.0.0.1:0"), Ok(()));
        assert_eq!(refusal(SocketType::RAW, Some(ipproto::ICMPV6), "[::1]:0"), Ok(()));
    });
}

#[test]
fn threat_35_without_ipv6_nothing_of_it_is_reached() {
    inside("tests::threat_35_without_ipv6_nothing_of_it_is_reached", || {
        for interface in ["all", "default", "lo"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1").unwrap();
        }
        let bound = close().unwrap();
        assert_eq!((bound.transparent.len(), bound.dns.len(), bound.dns_streams.len()), (1, 1, 1));
        let going = address("1.2.3.4:443");
        let (client, server) = connected(going, &bound.transparent[0]);
        they_talk(client, server);
        let begun = Instant::now();
        for to in ["[2606:4700::1111]:443", "[::1]:53", "[fe80::1%1]:443"] {
            opened(address(to)).unwrap_err();
            assert!(refusal(SocketType::DGRAM, None, to).is_err(), "{to}");
        }
        assert!(begun.elapsed() < PATIENCE);
    });
}

#[test]
fn the_listeners_stand_where_they_are_looked_for() {
    inside("tests::the_listeners_stand_where_they_are_looked_for", || {
        let bound = close().unwrap();
        assert_eq!(bound.proxy.local_addr().unwrap(), address("127.0.0.1:3128"));
        assert_eq!(bound.git.local_addr().unwrap(), address("127.0.0.1:3129"));
        for listener in [&bound.proxy, &bound.git] {
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let own = listener.local_addr().unwrap();
            let (client, server) = connected(own, listener);
            they_talk(client, server);
        }
        assert_eq!(bound.dns[1].recv(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_namespace_that_is_in_use_is_left_alone() {
    inside("tests::a_namespace_that_is_in_use_is_left_alone", || {
        let _bound = close().unwrap();
        let obstacle = close().unwrap_err().to_string();
        assert_eq!(obstacle, "cannot close this network namespace: it is not new: loopback is up");
    });
}

#[test]
fn what_the_kernel_lacks_is_named_and_nothing_stands_half() {
    inside("tests::what_the_kernel_lacks_is_named_and_nothing_stands_half", || {
        let ports = Ports { transparent: 1, dns: 2 };
        let mut programme = Wanted::redirection(ports, None).programme();
        let at = programme.iter().position(|request| request.remedy.contains("CONFIG_NFT_REDIR")).unwrap();
        let missing = netlink::Attributes::new().nested(1, &netlink::Attributes::new().text(1, "tidegate-has-none"));
        programme[at].attributes = netlink::Attributes::new().text(1, "tidegate").text(2, "redirect").nested(4, &missing);
        let obstacle = netlink::converse(Some(NETFILTER), &programme).unwrap_err().to_string();
        assert_eq!(
            obstacle,
            "cannot make a rule of nftables: No such file or directory (os error 2); \
             it takes a kernel with CONFIG_NFT_REDIR: modprobe nft_redir"
        );
        netlink::converse(Some(NETFILTER), &Wanted::redirection(ports, None).programme()).unwrap();
    });
}

/// Runs a test of this file again in new namespaces, where it comes to `body`.
pub(super) fn inside(test: &str, body: impl FnOnce()) {
    let here = fs::read_link("/proc/self/ns/net").unwrap().into_os_string();
    if let Some(outside) = env::var_os(OUTSIDE) {
        assert_ne!(here, outside);
        return body();
    }
    let ordinary = ["unshare", "--user", "--map-root-user", "--net"];
    let ways = if geteuid().is_root() {
        let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        vec![vec!["unshare", "--net"], [&nobody[..], &ordinary].concat()]
    } else {
        vec![ordinary.to_vec()]
    };
    for way in ways {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).arg(env::current_exe().unwrap());
        command.args([&format!("confine::network::{test}"), "--exact", "--nocapture"]).env(OUTSIDE, &here);
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}: install util-linux", way[0]));
        let shown = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && shown.contains("1 passed"), "{way:?}: {shown}");
    }
}

/// What a program hears that sends to where nobody is to hear it.
fn refusal(kind: SocketType, protocol: Option<Protocol>, to: &str) -> Result<(), Errno> {
    let to = address(to);
    let begun = Instant::now();
    let socket: OwnedFd = socket_with(family(to.ip()), kind, SocketFlags::CLOEXEC, protocol)?;
    sockopt::set_socket_broadcast(&socket, true)?;
    let sent = sendto(&socket, &[&[8][..], &[0; 19]].concat(), rustix::net::SendFlags::empty(), &to);
    assert!(begun.elapsed() < PATIENCE);
    sent.map(|_| ())
}

/// Both ends of a client's connection.
fn connected(to: SocketAddr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    (opened(to).unwrap(), accepted(listener))
}

fn opened(to: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&to, PATIENCE)
}

fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(false).unwrap();
    // At one that nobody comes to, `accept` would wait for ever.
    sockopt::set_socket_timeout(listener, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
    listener.accept().unwrap().0
}

fn they_talk(mut client: TcpStream, mut server: TcpStream) {
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let talk = thread::spawn(move || {
        client.write_all(&vec![1; LONG]).unwrap();
        let mut heard = [0; 6];
        client.read_exact(&mut heard).unwrap();
        heard
    });
    let mut heard = vec![0; LONG];
    server.read_exact(&mut heard).unwrap();
    server.write_all(b"answer").unwrap();
    assert_eq!((heard, talk.join().unwrap()), (vec![1; LONG], *b"answer"));
}

fn of_family(listeners: &[TcpListener], address: SocketAddr) -> &TcpListener {
    &listeners[usize::from(address.is_ipv6())]
}

fn loopback(address: SocketAddr) -> IpAddr {
    if address.is_ipv4() { V4 } else { V6 }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Holds the network namespace that a test must not touch.
const OUTSIDE: &str = "TIDEGATE_TEST_OUTSIDE";
const PATIENCE: Duration = Duration::from_secs(5);
/// More than fits into one segment.
const LONG: usize = 200_000;

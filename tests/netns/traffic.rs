//! What a sandbox reaches, and what it is told.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::harness::{Counter, OUTSIDE, Origin, PROXY, Pod, left, on_a_machine, program::run};

#[test]
fn curl_reaches_what_is_allowed_and_is_told_what_is_not() {
    on_a_machine("traffic::curl_reaches_what_is_allowed_and_is_told_what_is_not", || {
        let origin = Origin::start();
        let pod = Pod::redirected(1);
        let _gate = pod.serve();
        for family in ["-4", "-6"] {
            let ran = pod.curl(&[family, "http://allowed.test/"]);
            assert!(ran.stdout.starts_with("HTTP/1.1 200") && ran.stdout.ends_with("hello"), "{family}: {}", ran.said);
        }
        let ran = pod.curl(&["--proxy", "http://127.0.0.1:3128", "--noproxy", "", "http://allowed.test/"]);
        assert!(ran.stdout.ends_with("hello"), "{}", ran.said);
        assert_eq!(origin.asked(), 3);

        let ran = pod.curl(&["http://evil.test/"]);
        assert!(ran.said.contains("Could not resolve host"), "{}", ran.said);
        pod.wait_for_refusal("dns evil.test null host_not_allowed");
        for literal in ["203.0.113.10", "[2001:db8::10]"] {
            let ran = pod.curl(&[&format!("http://{literal}/")]);
            assert!(ran.stdout.starts_with("HTTP/1.1 403") && ran.stdout.contains("x-deny-reason: ip_literal_not_allowed"), "{}", ran.said);
            pod.wait_for_refusal(&format!("transparent {literal} 80 ip_literal_not_allowed"));
            let ran = pod.curl(&["--insecure", "--resolve", &format!("evil.test:443:{literal}"), "https://evil.test/"]);
            assert!(ran.said.contains("access denied"), "{}", ran.said);
        }
        pod.wait_for_refusal("transparent evil.test 443 host_not_allowed");
        assert_eq!(origin.asked(), 3);
    });
}

#[test]
fn names_are_asked_for_at_the_door_whomever_one_asks() {
    on_a_machine("traffic::names_are_asked_for_at_the_door_whomever_one_asks", || {
        let pod = Pod::redirected(1);
        let (_gate, counter) = (pod.serve(), Counter::start());
        for server in ["8.8.8.8", "2001:4860:4860::8888", "127.0.0.1", "10.77.1.1"] {
            for way in ["+notcp", "+tcp"] {
                let dig = |name: &str| pod.sandbox(&["dig", &format!("@{server}"), way, "+tries=1", "+time=5", name]);
                let (allowed, refused) = (dig("allowed.test"), dig("evil.test"));
                assert!(allowed.stdout.contains("\tA\t198.1"), "{server} {way}: {}", allowed.said);
                assert!(refused.stdout.contains("REFUSED") && refused.stdout.contains("host_not_allowed"), "{}", refused.said);
            }
        }
        assert_eq!(left(&counter), [""; 0]);
    });
}

/// `egress.md` 6.8: UDP 443 of QUIC among others, so that a client falls back at once.
#[test]
fn threat_34_what_no_door_takes_is_refused_at_once() {
    on_a_machine("traffic::threat_34_what_no_door_takes_is_refused_at_once", || {
        let pod = Pod::redirected(1);
        let (_gate, counter) = (pod.serve(), Counter::start());
        let begun = Instant::now();
        let ran = pod.python(None, REFUSED_AT_ONCE);
        assert_eq!(ran.said.trim(), "all refused", "{}", ran.said);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(left(&counter), [""; 0]);
    });
}

#[test]
fn threats_131_and_132_without_the_proxy_nothing_flows() {
    on_a_machine("traffic::threats_131_and_132_without_the_proxy_nothing_flows", || {
        let origin = Origin::start();
        let pod = Pod::redirected(1);
        let counter = Counter::start();
        let nothing = |when: &str| {
            for url in ["http://203.0.113.10/", "http://[2001:db8::10]/", "http://allowed.test/", "https://203.0.113.10/"] {
                let ran = pod.curl(&["--max-time", "8", url]);
                assert!(!ran.success && ran.stdout.is_empty(), "{when} {url}: {}", ran.said);
            }
            assert_eq!(left(&counter), [""; 0], "{when}");
        };
        nothing("before the proxy");
        let gate = pod.serve();
        assert!(pod.curl(&["http://allowed.test/"]).stdout.ends_with("hello"));
        // Its connections outside are closed by the kernel, for which packets of theirs may still leave.
        drop(gate);
        let ours = |packet: &String| {
            packet.contains("203.0.113.10") && packet.contains("10.77.1.2")
                || packet.contains("2001:db8::10") && packet.contains("fd77:1::2")
        };
        let packets = left(&counter);
        assert!(!packets.is_empty() && packets.iter().all(ours), "{packets:#?}");
        assert_eq!(origin.asked(), 1);
        nothing("after the proxy");
        let _gate = pod.serve();
        assert!(pod.curl(&["http://allowed.test/"]).stdout.ends_with("hello"));
    });
}

/// The last segments of a connection leave although its socket is closed, and has no user any more.
#[test]
fn what_reaches_the_proxy_from_outside_is_answered_to_its_end() {
    on_a_machine("traffic::what_reaches_the_proxy_from_outside_is_answered_to_its_end", || {
        let pod = Pod::redirected(1);
        let _gate = pod.serve();
        for _ in 0..20 {
            let mut probe = TcpStream::connect("10.77.1.2:9464").unwrap();
            probe.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            probe.write_all(b"GET /metrics HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            probe.read_to_string(&mut answer).expect("all of it, and its end");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("tidegate_"), "{answer}");
        }
    });
}

/// Not by an address of its own, not by the machine's, not through the proxy.
#[test]
fn threat_127_a_sandbox_reads_no_metrics_and_administers_nothing() {
    on_a_machine("traffic::threat_127_a_sandbox_reads_no_metrics_and_administers_nothing", || {
        let pod = Pod::redirected(1);
        let _gate = pod.serve();
        for (host, port) in [("127.0.0.1", 9464), ("10.77.1.2", 9464), ("127.0.0.1", 3130), ("[::1]", 3130)] {
            let ran = pod.curl(&[&format!("http://{host}:{port}/metrics")]);
            assert!(ran.stdout.contains("x-deny-reason: loop_detected"), "{host}:{port}: {}", ran.said);
            pod.wait_for_refusal(&format!("transparent {host} {port} loop_detected"));
        }
        for host in ["127.0.0.1", "10.77.1.2", "localhost"] {
            let ran = pod.curl(&["--proxy", "http://127.0.0.1:3128", "--noproxy", "", &format!("http://{host}:9464/metrics")]);
            assert!(ran.stdout.starts_with("HTTP/1.1 4") && !ran.stdout.contains("tidegate_"), "{host}: {}", ran.said);
        }
        let socket = pod.home().join("admin.sock");
        let ran = pod.curl(&["--unix-socket", socket.to_str().unwrap(), "http://admin/sessions"]);
        assert!(!ran.success && ran.stdout.is_empty(), "{}", ran.said);
        let own = run(&mut pod.user(PROXY, &["curl", "--silent", "http://127.0.0.1:9464/metrics"]), "curl");
        assert!(own.stdout.contains("tidegate_"), "{}", own.said);
    });
}

/// The exempt user goes where he likes, which shows that everything else is held by the rules.
#[test]
fn the_exempt_user_alone_is_let_through() {
    on_a_machine("traffic::the_exempt_user_alone_is_let_through", || {
        let (origin, pod) = (Origin::start(), Pod::redirected(1));
        for address in OUTSIDE {
            let url = if address.contains(':') { format!("http://[{address}]/") } else { format!("http://{address}/") };
            let curl = ["curl", "--silent", "--max-time", "10", &url];
            assert_eq!(run(&mut pod.user(PROXY, &curl), "curl").stdout, "hello");
            assert!(!run(&mut pod.root(&curl), "curl").success, "root is not exempt");
            assert!(!pod.sandbox(&curl).success);
        }
        assert_eq!(origin.asked(), 2);
    });
}

const REFUSED_AT_ONCE: &str = "
import socket
for family, to in [(socket.AF_INET, '203.0.113.10'), (socket.AF_INET6, '2001:db8::10')]:
    for port in [443, 123, 853, 9]:
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.settimeout(5)
        try:
            client.sendto(b'hello', (to, port))
            print(to, port, 'left')
        except PermissionError:
            pass
        client.connect((to, port))
        try:
            client.send(b'hello')
        except PermissionError:
            pass
        try:
            client.recv(9)
        except (PermissionError, OSError) as error:
            if isinstance(error, TimeoutError): print(to, port, 'nobody says that it was refused')
print('all refused')
";

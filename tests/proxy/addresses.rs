//! What an allowed name may resolve to, with a name server that lies.

use std::net::IpAddr;

use hickory_proto::rr::RecordType;

use crate::harness::{
    Answer, Client, Dns, Origin, Reply, Setup, Tidegate,
    client::{ask, ask_for},
    dns::ips,
};

/// A proxy that allows `*.test` names on the origin's port, and loopback.
struct Ground {
    gate: Tidegate,
    dns: Dns,
    origin: Origin,
}

impl Ground {
    fn opening(addresses: &str) -> Self {
        let origin = Origin::saying("from the origin");
        let dns = Dns::start();
        let policy = format!("allow = [\"**.allowed.test:{}\"]\n[addresses]\nallow = [{addresses}]", origin.port());
        let gate = Setup::new(policy).dns(dns.address()).timeout("dns = \"1s\"").timeout("connect = \"2s\"").start();
        Self { gate, dns, origin }
    }

    /// Only 127.0.0.1 is open, so that a wrong choice is a refusal or a failure and never by chance the origin.
    fn usual() -> Self {
        Self::opening("\"127.0.0.1/32\"")
    }

    /// CONNECT to `allowed.test` on the origin's port, then the same in absolute-form.
    fn ask(&self) -> [Reply; 2] {
        let authority = format!("allowed.test:{}", self.origin.port());
        let connected = match Client::tunnel(self.gate.proxy(), &authority) {
            Ok(_) => Reply { status: 200, headers: Vec::new(), body: Vec::new() },
            Err(refusal) => refusal,
        };
        [connected, ask_for(self.gate.proxy(), &authority)]
    }

    #[track_caller]
    fn answers(&self, case: &str, status: u16, reason: &str) {
        for reply in self.ask() {
            assert_eq!(reply.verdict(), (status, reason), "{case}: {}", reply.text());
        }
    }

    #[track_caller]
    fn refuses(&self, answer: Answer) {
        let case = format!("{answer:?}");
        self.dns.say("allowed.test", answer);
        self.answers(&case, 403, "address_not_allowed");
        self.origin.assert_untouched(&case);
    }
}

/// Addresses that no entry opens here, one of each class and of each way to hide one in IPv6.
const REFUSED_V4: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.2",
    "127.255.255.255",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.8",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
];
const REFUSED_V6: &[&str] = &[
    "::",
    "::1",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "2001:db8::1",
    "100::1",
    "2001:2::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "2002:a00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:a00:1::1",
    "2001:0:102:304::f5ff:fffe",
    "2606:4700:0:1:0:5efe:a00:1",
    "2606:4700:0:1:200:5efe:a00:1",
];

// ── egress 6.3: classes

#[test]
fn egress_6_3_every_class_of_ipv4_that_no_entry_opens() {
    let ground = Ground::usual();
    for address in REFUSED_V4 {
        ground.refuses(Answer::of(&[address]));
    }
}

#[test]
fn egress_6_3_every_class_of_ipv6_and_what_hides_in_it() {
    let ground = Ground::usual();
    for address in REFUSED_V6 {
        ground.refuses(Answer::of(&[address]));
    }
}

#[test]
fn egress_6_3_many_refused_addresses_at_once() {
    let ground = Ground::usual();
    ground.refuses(Answer::of(&["10.0.0.1", "192.168.1.1", "::1", "fe80::1", "169.254.169.254"]));
}

#[test]
fn egress_6_3_a_refusal_names_the_address_in_reply_and_record() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::of(&["10.1.2.3"]));
    for reply in ground.ask() {
        assert!(reply.text().contains("10.1.2.3"), "{}", reply.text());
        assert!(reply.header("proxy-status").is_some_and(|value| value.contains("destination_ip_prohibited")), "{:?}", reply.headers);
    }
    for record in ground.gate.wait_for_records(2) {
        assert_eq!((record["verdict"].as_str(), record["reason"].as_str()), (Some("deny"), Some("address_not_allowed")), "{record:#}");
        assert_eq!(record["address"], "10.1.2.3", "{record:#}");
    }
}

#[test]
fn egress_6_3_what_no_entry_can_open() {
    for network in ["169.254.0.0/16", "0.0.0.0/0", "::/0", "224.0.0.0/4", "fe80::/10", "255.255.255.255/32"] {
        let policy = format!("allow = [\"allowed.test\"]\n[addresses]\nallow = [\"{network}\"]");
        let dns = Dns::start();
        // Either the policy is refused as it stands, or it opens nothing of what may never be open.
        let Ok(gate) = Setup::new(policy).dns(dns.address()).try_start() else { continue };
        for address in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::", "100.100.100.200"] {
            dns.say("allowed.test", Answer::Lasting(0, ips(&[address])));
            let reply = ask_for(gate.proxy(), "allowed.test");
            assert_eq!(reply.verdict(), (403, "address_not_allowed"), "{network} must not open {address}");
        }
    }
}

#[test]
fn egress_6_3_an_entry_opens_private_addresses_and_only_its_own() {
    let ground = Ground::opening("\"127.0.0.1/32\", \"10.1.2.0/24\"");
    ground.refuses(Answer::of(&["10.1.3.1"]));
    ground.refuses(Answer::of(&["::ffff:10.1.3.1"]));
}

// ── egress 6.3: mixed and changing answers

#[test]
fn egress_6_3_refused_addresses_are_dropped_and_the_rest_dialled() {
    let ground = Ground::usual();
    for answer in [&["127.0.0.1", "10.0.0.1"], &["10.0.0.1", "127.0.0.1"], &["127.0.0.1", "::1"], &["169.254.169.254", "127.0.0.1"]] {
        ground.dns.say("allowed.test", Answer::Lasting(0, ips(answer)));
        ground.answers(&format!("{answer:?}"), 200, "");
    }
    for record in ground.gate.wait_for_records(8).iter().filter(|record| record["kind"] == "http") {
        assert_eq!(record["address"], "127.0.0.1", "{record:#}");
    }
}

#[test]
fn egress_6_3_a_private_and_aaaa_refused_beside_each_other() {
    let ground = Ground::usual();
    ground.refuses(Answer::of(&["10.0.0.1", "fd00::1"]));
}

#[test]
fn egress_6_3_ipv6_refused_and_ipv4_good() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::of(&["fd00::1", "127.0.0.1"]));
    ground.answers("an unusable AAAA", 200, "");
}

#[test]
fn threat_25_rebinding_is_one_resolution_and_dials_what_was_judged() {
    let ground = Ground::usual();
    ground.dns.say_in_turn("allowed.test", vec![Answer::Lasting(0, ips(&["127.0.0.1"])), Answer::Lasting(0, ips(&["127.0.0.2"]))]);
    let reply = ask_for(ground.gate.proxy(), &format!("allowed.test:{}", ground.origin.port()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(ground.dns.count("allowed.test", RecordType::A), 1);
    assert_eq!(ground.dns.count("allowed.test", RecordType::AAAA), 1);
    assert_eq!(ground.gate.wait_for_records(1)[0]["address"], "127.0.0.1");
}

#[test]
fn threat_25_rebinding_between_two_requests_is_judged_again() {
    let ground = Ground::usual();
    ground.dns.say_in_turn("allowed.test", vec![Answer::Lasting(0, ips(&["127.0.0.1"])), Answer::Lasting(0, ips(&["127.0.0.2"]))]);
    let authority = format!("allowed.test:{}", ground.origin.port());
    assert_eq!(ask_for(ground.gate.proxy(), &authority).status, 200);
    let post = format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ask(ground.gate.proxy(), post).verdict(), (403, "address_not_allowed"));
    // What is open leads where it was judged to lead, whatever the name says now.
    assert_eq!(ask_for(ground.gate.proxy(), &authority).status, 200);
    assert_eq!(ground.origin.connections().len(), 1);
    assert_eq!(ground.dns.count("allowed.test", RecordType::A), 2);
}

#[test]
fn threat_26_mixed_answers_in_either_order() {
    let bad = Origin::scripted_at("127.0.0.2:0", |conversation| conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"));
    let dns = Dns::start();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.1/32\"]", bad.port());
    let gate = Setup::new(policy).dns(dns.address()).timeout("connect = \"2s\"").start();
    for answer in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        dns.say("allowed.test", Answer::Lasting(0, ips(&answer)));
        // Nothing listens on the good address, so a second try would land on the bad one.
        let reply = ask_for(gate.proxy(), &format!("allowed.test:{}", bad.port()));
        assert_eq!(reply.verdict(), (502, "connect_failed"), "{answer:?}: {}", reply.text());
    }
    bad.assert_untouched("127.0.0.2 is not open");
}

#[test]
fn threat_27_an_alias_is_judged_by_its_last_address() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Chain(vec!["cdn.elsewhere.test", "edge.elsewhere.test"], ips(&["127.0.0.1"])));
    ground.answers("an alias of a good address", 200, "");
    let foreign = ground.dns.asked().into_iter().filter(|(name, _)| name != "allowed.test").collect::<Vec<_>>();
    assert_eq!(foreign, [], "the answer held everything");
}

#[test]
fn threat_27_an_alias_of_a_refused_address() {
    let ground = Ground::usual();
    ground.refuses(Answer::Chain(vec!["internal.elsewhere.test"], ips(&["10.0.0.1"])));
    ground.refuses(Answer::Chain(vec!["localhost"], ips(&["127.0.0.2"])));
}

#[test]
fn egress_6_3_fifty_addresses() {
    let ground = Ground::usual();
    let mut many: Vec<IpAddr> = (1..50).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    ground.refuses(Answer::Lasting(0, many.clone()));
    many.insert(0, IpAddr::from([127, 0, 0, 1]));
    ground.dns.say("allowed.test", Answer::Lasting(0, many));
    ground.answers("one good of fifty", 200, "");
}

// ── egress 6.3: trouble

#[test]
fn egress_6_3_a_name_that_does_not_exist() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Nothing);
    ground.answers("NXDOMAIN", 502, "dns_failed");
}

#[test]
fn egress_6_3_a_name_without_addresses() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::of(&[]));
    ground.answers("no data", 502, "dns_failed");
}

#[test]
fn egress_6_3_servfail() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Failure);
    ground.answers("SERVFAIL", 502, "dns_failed");
    for record in ground.gate.wait_for_records(2) {
        assert_eq!((record["verdict"].as_str(), record["reason"].as_str()), (Some("error"), Some("dns_failed")), "{record:#}");
    }
}

#[test]
fn egress_6_3_no_answer() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Silence);
    ground.answers("silence", 504, "upstream_timeout");
    ground.origin.assert_untouched("nothing was resolved");
}

#[test]
fn egress_6_3_an_answer_about_another_name() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Foreign("other.test", ips(&["127.0.0.1"])));
    ground.answers("a foreign answer", 502, "dns_failed");
    ground.origin.assert_untouched("the answer was about another name");
}

#[test]
fn threat_33_a_spoofed_answer_is_dropped() {
    let ground = Ground::usual();
    ground.dns.say("allowed.test", Answer::Spoofed(ips(&["127.0.0.2"]), ips(&["127.0.0.1"])));
    ground.answers("a wrong id", 200, "");
}

#[test]
fn threat_33_times_to_live_at_their_ends() {
    let ground = Ground::usual();
    for ttl in [0, 1, 1 << 31, u32::MAX] {
        ground.dns.say("allowed.test", Answer::Lasting(ttl, ips(&["127.0.0.1"])));
        ground.answers(&format!("ttl {ttl}"), 200, "");
    }
}

#[test]
fn a_port_where_nobody_listens_is_connect_failed() {
    let dns = Dns::loopback();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let policy = format!("allow = [\"allowed.test:{unused}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    let gate = Tidegate::start(policy, dns.address());
    let reply = ask_for(gate.proxy(), &format!("allowed.test:{unused}"));
    assert_eq!(reply.verdict(), (502, "connect_failed"), "{}", reply.text());
    let refusal = Client::tunnel(gate.proxy(), &format!("allowed.test:{unused}")).err().expect("a refusal");
    assert_eq!(refusal.verdict(), (502, "connect_failed"), "{}", refusal.text());
}

// ── threat 28: our own listeners

#[test]
fn threat_28_own_listeners_through_an_allowed_name() {
    let dns = Dns::start();
    let policy = "allow = [\"allowed.test:*\", \"127.0.0.1:*\"]\n[addresses]\nallow = [\"127.0.0.0/8\", \"::1/128\"]";
    let gate = Tidegate::start(policy, dns.address());
    for listener in ["proxy", "metrics"] {
        let port = gate.listener(listener).port();
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            dns.say("allowed.test", Answer::Lasting(0, ips(&[address])));
            let authority = format!("allowed.test:{port}");
            let reply = ask_for(gate.proxy(), &authority);
            assert_eq!(reply.verdict(), (403, "address_not_allowed"), "{listener} by {address}: {}", reply.text());
            let refusal = Client::tunnel(gate.proxy(), &authority).err().expect("a refusal");
            assert_eq!(refusal.verdict(), (403, "address_not_allowed"), "{listener} by {address}: {}", refusal.text());
        }
        let refusal = Client::tunnel(gate.proxy(), &format!("127.0.0.1:{port}")).err().expect("a refusal");
        assert_eq!(refusal.verdict(), (403, "address_not_allowed"), "{listener} spelled out: {}", refusal.text());
    }
}

#[test]
fn threat_28_the_owners_listener() {
    let dns = Dns::loopback();
    let policy = "allow = [\"allowed.test:*\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]";
    let setup = Setup::new(policy).dns(dns.address()).listen("admin = \"127.0.0.1:0\"\ntoken_file = \"admin.token\"");
    let gate = setup.file("admin.token", "0123456789abcdef0123456789abcdef").start();
    let authority = format!("allowed.test:{}", gate.listener("admin").port());
    assert_eq!(ask_for(gate.proxy(), &authority).verdict(), (403, "address_not_allowed"));
    assert_eq!(Client::tunnel(gate.proxy(), &authority).err().expect("a refusal").verdict(), (403, "address_not_allowed"));
}

#[test]
fn threat_28_addresses_of_this_host() {
    let Some(own) = own_address() else { return };
    let origin = Origin::scripted_at(&format!("{own}:0"), |_| {});
    let dns = Dns::start();
    dns.say("allowed.test", Answer::Addresses(vec![own]));
    let gate = Tidegate::start(format!("allow = [\"allowed.test:{}\"]", origin.port()), dns.address());
    let reply = ask_for(gate.proxy(), &format!("allowed.test:{}", origin.port()));
    assert_eq!(reply.verdict(), (403, "address_not_allowed"), "{own}: {}", reply.text());
    origin.assert_untouched("an address of this host");
}

/// The address from which this machine would reach the outside; asking for it sends nothing.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

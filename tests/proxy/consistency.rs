//! CONNECT target, server name, Host and absolute-form have to name the same place; nothing goes upstream before they do.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Approach, Client, Dns, Ground as Read, Hello, Origin, Setup, Site, Tidegate,
    client::ask,
    hello::{UNRECOGNIZED_NAME, fatal_alert, record},
    origin::find,
    tls::real_hello,
};

/// A proxy and three origins, all of them names of one machine, as behind a CDN.
struct Ground {
    gate: Tidegate,
    /// Whose port wants TLS. It sends back what it gets.
    opaque: Origin,
    /// Whose port wants TLS, which ends at the proxy. It says nothing.
    intercepted: Origin,
    /// Whose port wants HTTP.
    http: Origin,
}

/// What becomes of the TLS in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Opaque,
    Intercepted,
}

impl Ground {
    fn new() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let (opaque, intercepted, http) = (Origin::echoing(), Origin::silent(), Origin::saying("from the origin"));
        let dns = Dns::loopback();
        let mut entries = Vec::new();
        for host in ["allowed.test", "other.test", "127.0.0.1"] {
            entries.push(format!("{{ host = \"{host}:{}\", tls = true }}", opaque.port()));
            entries.push(format!("{{ host = \"{host}:{}\", tls = true, intercept = true }}", intercepted.port()));
        }
        for host in ["allowed.test", "other.test"] {
            entries.push(format!("{{ host = \"{host}:{}\", http = true }}", http.port()));
        }
        let policy = format!("allow = [{}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{more}", entries.join(", "));
        let gate = Setup::new(policy).dns(dns.address()).timeout("client_hello = \"1s\"").start();
        Self { gate, opaque, intercepted, http }
    }

    /// Tunnels of each end, one after the other.
    fn ends(&self) -> [Tunnels<'_>; 2] {
        let tunnels = |end, origin| Tunnels { gate: &self.gate, end, origin };
        [tunnels(End::Opaque, &self.opaque), tunnels(End::Intercepted, &self.intercepted)]
    }

    fn http_authority(&self) -> String {
        format!("allowed.test:{}", self.http.port())
    }
}

/// Tunnels whose TLS ends in one place.
struct Tunnels<'g> {
    gate: &'g Tidegate,
    end: End,
    origin: &'g Origin,
}

impl Tunnels<'_> {
    fn authority(&self) -> String {
        format!("allowed.test:{}", self.origin.port())
    }

    #[track_caller]
    fn open(&self) -> Client {
        self.open_to("allowed.test")
    }

    #[track_caller]
    fn open_to(&self, host: &str) -> Client {
        let authority = format!("{host}:{}", self.origin.port());
        let tunnel = Client::tunnel(self.gate.proxy(), &authority);
        tunnel.unwrap_or_else(|refusal| panic!("{authority}: {} {}", refusal.status, refusal.text()))
    }

    #[track_caller]
    fn passes(&self, bytes: &[u8]) {
        let mut client = self.open();
        client.send(bytes);
        self.passed(&mut client, bytes);
    }

    /// These first bytes arrive at the origin unchanged, and what it sends back arrives here; or they are answered by the proxy,
    /// and the origin is sent nothing yet.
    #[track_caller]
    fn passed(&self, client: &mut Client, bytes: &[u8]) {
        if self.end == End::Intercepted {
            let answer = client.exactly(6);
            assert!(matches!(answer[..], [0x16, 3, _, _, _, 2]), "a ServerHello, not {}", answer.escape_ascii());
            return assert_eq!(self.origin.received(), b"", "nobody has asked for anything");
        }
        assert_eq!(client.exactly(bytes.len()), bytes, "echoed");
        assert!(self.origin.received().ends_with(bytes), "unchanged");
    }

    /// These first bytes are refused for this reason with an alert or a close, and the origin sees none of them.
    #[track_caller]
    fn refuses(&self, bytes: &[u8], reason: &str) -> Option<u8> {
        self.refuses_for(bytes, &[reason])
    }

    /// The same for one of these reasons.
    #[track_caller]
    fn refuses_for(&self, bytes: &[u8], reasons: &[&str]) -> Option<u8> {
        self.turns_back(&mut self.open(), reasons, |client| {
            client.send(bytes);
        })
    }

    #[track_caller]
    fn turns_back(&self, client: &mut Client, reasons: &[&str], act: impl FnOnce(&mut Client)) -> Option<u8> {
        let before = self.gate.records().len();
        self.origin.forget();
        act(client);
        let rest = client.rest();
        client.close_sending();
        let alert = fatal_alert(&rest);
        assert!(rest.is_empty() || alert.is_some(), "{:?}: neither an alert nor nothing: {}", self.end, rest.escape_ascii());
        let is_one = |reason: &Value| reason.as_str().is_some_and(|reason| reasons.contains(&reason));
        let record = self.gate.wait_for_record_after(before, |record| is_one(&record["reason"]));
        assert_eq!(record["verdict"], "deny", "{record:#}");
        assert_eq!(self.origin.received(), b"", "{:?} {reasons:?}: no byte goes upstream before it is judged", self.end);
        alert
    }
}

// ── egress 6.4: the server name of a ClientHello

#[test]
fn egress_6_4_a_hello_to_the_target_passes_unchanged() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.passes(&Hello::to("allowed.test").bytes());
    }
}

#[test]
fn threat_39_connect_to_one_name_and_hello_to_another() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        assert_eq!(tunnels.refuses(&Hello::to("other.test").bytes(), "misdirected"), Some(UNRECOGNIZED_NAME), "although both are allowed");
    }
}

#[test]
fn threat_39_hello_to_names_that_only_look_like_the_target() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for name in ["allowed.test.evil.test", "xallowed.test", "www.allowed.test", "test", "evil.test", "allowed.tes", "allowed.test.."] {
            assert_eq!(tunnels.refuses(&Hello::to(name).bytes(), "misdirected"), Some(UNRECOGNIZED_NAME), "{:?} {name}", tunnels.end);
        }
    }
}

#[test]
fn threat_40_no_server_name() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.refuses(&Hello::anonymous().bytes(), "opaque_tunnel");
    }
}

#[test]
fn threat_40_case_and_trailing_dot_are_the_same_name() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for name in ["ALLOWED.test", "allowed.test.", "aLLoWeD.TeSt."] {
            tunnels.passes(&Hello::to(name).bytes());
        }
    }
}

#[test]
fn threat_40_two_server_names() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for names in [[&b"allowed.test"[..], b"evil.test"], [b"evil.test", b"allowed.test"], [b"allowed.test", b"allowed.test"]] {
            tunnels.refuses_for(&Hello::to_all(&names).bytes(), &["misdirected", "opaque_tunnel"]);
        }
    }
}

#[test]
fn threat_40_server_names_that_are_none() {
    let long = "a".repeat(300);
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for name in [
            &b"allowed.test\0"[..],
            b"allowed.test\0.evil.test",
            b"127.0.0.1",
            b"::1",
            b"",
            b"*.test",
            "\u{430}llowed.test".as_bytes(),
            long.as_bytes(),
        ] {
            tunnels.refuses_for(&Hello::to(name).bytes(), &["misdirected", "opaque_tunnel"]);
        }
    }
}

#[test]
fn a_tunnel_to_an_address_names_no_server() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let hello = Hello::anonymous().bytes();
        let mut client = tunnels.open_to("127.0.0.1");
        client.send(&hello);
        tunnels.passed(&mut client, &hello);
    }
}

#[test]
fn a_tunnel_to_an_address_with_a_foreign_name_inside() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.turns_back(&mut tunnels.open_to("127.0.0.1"), &["misdirected"], |client| {
            client.send(Hello::to("other.test").bytes());
        });
    }
}

#[test]
fn threat_41_encrypted_client_hello() {
    let ground = Ground::new();
    let [opaque, intercepted] = ground.ends();
    opaque.refuses(&Hello::to("allowed.test").encrypted().bytes(), "ech_not_allowed");
    // It ends here by its outer name, which is held to what CONNECT named.
    intercepted.passes(&Hello::to("allowed.test").encrypted().bytes());
    intercepted.refuses(&Hello::to("other.test").encrypted().bytes(), "misdirected");
}

#[test]
fn threat_41_encrypted_client_hello_judged_by_its_outer_name() {
    let ground = Ground::with("[tls]\nech = \"outer\"");
    for tunnels in ground.ends() {
        tunnels.passes(&Hello::to("allowed.test").encrypted().bytes());
        let alert = tunnels.refuses(&Hello::to("other.test").encrypted().bytes(), "misdirected");
        assert_eq!(alert, Some(UNRECOGNIZED_NAME), "{:?}", tunnels.end);
    }
}

/// Clients that try several addresses at once keep one connection and let the others go.
#[test]
fn a_tunnel_that_is_closed_before_its_first_byte_is_no_refusal() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let before = ground.gate.records().len();
        drop(tunnels.open());
        let end = ground.gate.wait_for_record_after(before, |record| !record["duration_ms"].is_null());
        assert_eq!((end["verdict"].as_str(), end["reason"].as_str(), end["bytes_up"].as_u64()), (Some("allow"), None, Some(0)), "{end:#}");
        // One that was begun is refused as before.
        let mut client = tunnels.open();
        client.send(&Hello::to("allowed.test").bytes()[..7]);
        drop(client);
        ground.gate.wait_for_record_after(before, |record| record["reason"] == "opaque_tunnel");
        assert_eq!(tunnels.origin.received(), b"");
    }
}

#[test]
fn threat_43_one_byte_at_a_time() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let hello = Hello::to("allowed.test").bytes();
        let mut client = tunnels.open();
        client.send_slowly(&hello);
        tunnels.passed(&mut client, &hello);
    }
}

#[test]
fn threat_43_one_byte_at_a_time_to_the_wrong_name() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let alert = tunnels.turns_back(&mut tunnels.open(), &["misdirected"], |client| {
            client.send_slowly(Hello::to("other.test").bytes());
        });
        assert_eq!(alert, Some(UNRECOGNIZED_NAME), "{:?}", tunnels.end);
    }
}

#[test]
fn threat_43_two_records_and_many() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let hello = Hello::to("allowed.test");
        for size in [hello.message().len() / 2, 100, 4, 1] {
            tunnels.passes(&hello.in_records(size));
        }
    }
}

#[test]
fn threat_43_many_records_to_the_wrong_name() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for size in [100, 4, 1] {
            let alert = tunnels.refuses(&Hello::to("other.test").in_records(size), "misdirected");
            assert_eq!(alert, Some(UNRECOGNIZED_NAME), "{:?} {size}", tunnels.end);
        }
    }
}

#[test]
fn threat_43_a_real_hello_with_post_quantum_shares() {
    let hello = real_hello("allowed.test");
    assert!(hello.len() > 1200, "a post-quantum share makes it {} bytes", hello.len());
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.passes(&hello);
    }
}

#[test]
fn threat_43_seventeen_kilobytes_and_grease() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.passes(&Hello::to("allowed.test").greased().bytes());
        tunnels.passes(&Hello::to("allowed.test").greased().padded(14 * 1024).bytes());
        tunnels.passes(&Hello::to("allowed.test").padded(17 * 1024).bytes());
    }
}

#[test]
fn threat_43_a_hello_without_end() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let endless = [&[1, 0xff, 0xff, 0xff][..], &vec![0; 200 * 1024]].concat();
        let records: Vec<u8> = endless.chunks(16 * 1024).flat_map(record).collect();
        tunnels.refuses(&records, "opaque_tunnel");
    }
}

#[test]
fn threat_43_a_hello_that_stops_halfway() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let before = tunnels.gate.records().len();
        let hello = Hello::to("allowed.test").bytes();
        let mut client = tunnels.open();
        client.send(&hello[..hello.len() - 1]).rest();
        client.close_sending();
        tunnels.gate.wait_for_record_after(before, |record| record["verdict"] == "deny" || record["verdict"] == "error");
        assert_eq!(tunnels.origin.received(), b"", "half a hello is not judged, so it goes nowhere");
    }
}

#[test]
fn a_tunnel_in_which_nobody_speaks_ends_by_the_timer() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let mut client = tunnels.open();
        client.assert_closed_or_alert();
        assert_eq!(tunnels.origin.received(), b"");
    }
}

#[test]
fn threat_43_records_that_are_none() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for bytes in [
            &[0x16, 3, 1, 0, 0][..],
            &[0x16, 3, 1, 0xff, 0xff, 1],
            &[0x17, 3, 3, 0, 1, 0],
            &[0x15, 3, 1, 0, 2, 1, 0],
            &[0x16, 9, 9, 0, 4, 1, 0, 0, 0],
        ] {
            let mut client = tunnels.open();
            client.send(bytes).close_sending();
            client.assert_closed_or_alert();
            assert_eq!(tunnels.origin.received(), b"", "{:?} {}", tunnels.end, bytes.escape_ascii());
        }
    }
}

#[test]
fn egress_6_4_bytes_sent_before_the_200_are_kept_and_judged() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let authority = tunnels.authority();
        let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let hello = Hello::to("allowed.test").bytes();
        let mut client = Client::connect(tunnels.gate.proxy());
        client.send([connect.as_bytes(), &hello].concat());
        assert_eq!(client.reply_to("CONNECT").status, 200);
        tunnels.passed(&mut client, &hello);
        let mut client = Client::connect(tunnels.gate.proxy());
        let alert = tunnels.turns_back(&mut client, &["misdirected"], |client| {
            client.send([connect.as_bytes(), &Hello::to("other.test").bytes()].concat());
            assert_eq!(client.reply_to("CONNECT").status, 200);
        });
        assert_eq!(alert, Some(UNRECOGNIZED_NAME), "{:?}", tunnels.end);
    }
}

#[test]
fn a_client_that_will_not_hang_up_does_not_put_off_the_record() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        let before = tunnels.gate.records().len();
        let mut client = tunnels.open();
        let since = Instant::now();
        client.send(Hello::to("other.test").bytes());
        tunnels.gate.wait_for_record_after(before, |record| record["reason"] == "misdirected");
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}: it took {:?}", tunnels.end, since.elapsed());
        assert_eq!(fatal_alert(&client.rest()), Some(UNRECOGNIZED_NAME));
    }
}

#[test]
fn egress_6_4_sslv2_hello() {
    let ground = Ground::new();
    for tunnels in ground.ends() {
        tunnels.refuses(&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80], "opaque_tunnel");
    }
}

#[test]
fn threat_50_other_protocols_where_tls_is_wanted() {
    let protocols = [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"EHLO allowed.test\r\n",
        b"\0\0\0\0 any bytes at all",
        b"\x05\x01\0",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    ];
    let ground = Ground::new();
    for tunnels in ground.ends() {
        for protocol in protocols {
            tunnels.refuses(protocol, "opaque_tunnel");
        }
    }
}

#[test]
fn an_entry_with_a_port_of_its_own_passes_any_protocol() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Tidegate::start(policy, dns.address());
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0", b"\x16", &Hello::to("allowed.test").bytes(), &Hello::anonymous().bytes()] {
        let mut client = Client::tunnel(gate.proxy(), &format!("allowed.test:{}", origin.port())).expect("a tunnel");
        client.send(bytes);
        assert_eq!(client.exactly(bytes.len()), bytes);
    }
}

#[test]
fn an_entry_with_a_port_of_its_own_lets_the_server_speak_first() {
    let origin = Origin::scripted(|conversation| {
        conversation.send(b"220 ready\r\n");
        while conversation.read().is_some() {}
    });
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Tidegate::start(policy, dns.address());
    let mut client = Client::tunnel(gate.proxy(), &format!("allowed.test:{}", origin.port())).expect("a tunnel");
    assert_eq!(client.exactly(11), b"220 ready\r\n");
}

// ── Host against the target

#[test]
fn threat_15_host_differs_on_connect() {
    let ground = Ground::new();
    let authority = format!("allowed.test:{}", ground.opaque.port());
    for host in ["other.test", "other.test:443", "allowed.test:444", "evil.test"] {
        let reply = ask(ground.gate.proxy(), format!("CONNECT {authority} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.verdict(), (421, "misdirected"), "{host}: {}", reply.text());
    }
    ground.opaque.assert_untouched("a request that contradicts itself");
}

#[test]
fn threat_15_host_differs_in_absolute_form() {
    let ground = Ground::new();
    let authority = ground.http_authority();
    for host in ["other.test", "evil.test", "allowed.test:444", "127.0.0.1"] {
        let reply = ask(ground.gate.proxy(), format!("GET http://{authority}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.verdict(), (421, "misdirected"), "{host}: {}", reply.text());
    }
    ground.http.assert_untouched("a request that contradicts itself");
}

#[test]
fn threat_15_host_agrees_in_another_spelling() {
    let ground = Ground::new();
    let port = ground.http.port();
    for host in [format!("ALLOWED.test:{port}"), format!("allowed.test.:{port}")] {
        let reply = ask(ground.gate.proxy(), format!("GET http://allowed.test:{port}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.status, 200, "{host}: {}", reply.text());
    }
    let sent = String::from_utf8(ground.http.received()).unwrap();
    for line in sent.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:")) {
        assert_eq!(line.split_once(": ").unwrap().1, format!("allowed.test:{port}"), "upstream sees the canonical name");
    }
}

#[test]
fn connect_without_host_and_in_http_1_0() {
    let ground = Ground::new();
    let authority = format!("allowed.test:{}", ground.opaque.port());
    for head in [
        format!("CONNECT {authority} HTTP/1.0\r\n\r\n"),
        format!("CONNECT {authority} HTTP/1.0\r\nHost: {authority}\r\n\r\n"),
        format!("CONNECT {authority} HTTP/1.1\r\n\r\n"),
        format!("CONNECT {authority} HTTP/1.1\r\nHost: allowed.test\r\n\r\n"),
    ] {
        let mut client = Client::connect(ground.gate.proxy());
        let reply = client.send(&head).reply_to("CONNECT");
        assert_eq!(reply.status, 200, "{head}: {}", reply.text());
        let hello = Hello::to("allowed.test").bytes();
        client.send(&hello);
        assert_eq!(client.exactly(hello.len()), hello);
    }
}

#[test]
fn threat_16_two_hosts_and_folded_hosts() {
    let ground = Ground::new();
    let authority = ground.http_authority();
    for hosts in [
        format!("Host: {authority}\r\nHost: {authority}"),
        format!("Host: {authority}\r\nHost: evil.test"),
        format!("Host: evil.test\r\nHost: {authority}"),
        format!("Host : {authority}"),
        format!("Host: evil.test\r\n {authority}"),
        format!("Host:\r\n {authority}"),
        format!("Host: {authority}, evil.test"),
        String::from("X-Other: 1"),
    ] {
        let reply = ask(ground.gate.proxy(), format!("GET http://{authority}/ HTTP/1.1\r\n{hosts}\r\n\r\n"));
        assert_eq!(reply.verdict(), (400, "bad_request"), "{hosts}: {}", reply.text());
    }
    ground.http.assert_untouched("whose Host is it");
}

// ── inside a tunnel that is read, plain or in TLS

/// Asks by each way inside CONNECT.
fn inside(judge: impl Fn(&Site<'_>)) {
    let ground = Read::new();
    for way in [Approach::Tunnel, Approach::Intercepted] {
        judge(&ground.site(way));
    }
}

fn scheme(site: &Site<'_>) -> &'static str {
    if site.way == Approach::Intercepted { "https" } else { "http" }
}

#[test]
fn egress_6_4_the_target_as_host_inside_a_tunnel() {
    inside(|site| {
        let (authority, scheme) = (site.authority(), scheme(site));
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n".into(),
            format!("GET / HTTP/1.1\r\nHost: ALLOWED.TEST.:{}\r\n\r\n", site.origin.port()),
            format!("GET {scheme}://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        ] {
            let sent = site.passes_on(&request);
            assert!(sent.starts_with("GET / HTTP/1.1\r\n"), "{request}: {sent}");
            assert!(sent.to_ascii_lowercase().contains(&format!("\r\nhost: {authority}\r\n")), "{request}: {sent}");
        }
    });
}

#[test]
fn threat_42_another_host_inside_a_tunnel() {
    inside(|site| {
        let (authority, other, scheme) = (site.authority(), site.authority_of("other.test"), scheme(site));
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {other}\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: allowed.test:444\r\n\r\n".into(),
            format!("GET / HTTP/1.1\r\nHost: www.{authority}\r\n\r\n"),
            format!("GET {scheme}://{other}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("GET {scheme}://{other}/ HTTP/1.1\r\nHost: {other}\r\n\r\n"),
            format!("GET {scheme}://{authority}/ HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        ] {
            let reply = site.ask(&request);
            assert_eq!(reply.verdict(), (421, "misdirected"), "{:?} {request}: {}", site.way, reply.text());
        }
        site.assert_unasked("each names another server");
    });
}

#[test]
fn threat_42_the_second_request_names_another_host() {
    inside(|site| {
        let mut client = site.client();
        assert_eq!(client.send(site.get("/1")).reply().status, 200, "{:?}", site.way);
        let refusal = client.send("GET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n").reply();
        assert_eq!(refusal.verdict(), (421, "misdirected"), "{:?}: {}", site.way, refusal.text());
        assert_eq!(find(&site.origin.received(), b"/2"), None);
    });
}

#[test]
fn egress_6_4_hosts_that_are_missing_or_two_inside_a_tunnel() {
    inside(|site| {
        let authority = site.authority();
        let other_scheme = if site.way == Approach::Intercepted { "http" } else { "https" };
        for request in [
            "GET / HTTP/1.1\r\n\r\n".into(),
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\nHost: evil.test\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: evil.test\r\nHost: {authority}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\nHost: {authority}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {authority}, evil.test\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost:\r\n {authority}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost : {authority}\r\n\r\n"),
            format!("GET {other_scheme}://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        ] {
            site.refuses(request);
        }
    });
}

#[test]
fn threat_19_connect_inside_connect() {
    inside(|site| {
        for target in ["evil.test:443".to_owned(), site.authority()] {
            let reply = site.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
            assert_eq!(reply.verdict(), (405, "method_refused"), "{:?}: {}", site.way, reply.text());
            let allow = reply.header("allow").unwrap_or_default();
            assert!(allow.contains("GET") && !allow.contains("CONNECT"), "{:?}: {:?}", site.way, reply.headers);
        }
        site.assert_unasked("a tunnel inside a tunnel");
    });
}

#[test]
fn other_protocols_where_http_is_wanted() {
    let bytes = [Hello::to("allowed.test").bytes(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), b"\0\x01\x02\x03".to_vec()];
    for bytes in bytes {
        let ground = Ground::new();
        let mut client = Client::tunnel(ground.gate.proxy(), &ground.http_authority()).expect("a tunnel");
        client.send(&bytes);
        let record = ground.gate.wait_for_record(|record| record["verdict"] == "deny");
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(["opaque_tunnel", "bad_request"].contains(&reason), "{record:#}");
        assert_eq!(ground.http.received(), b"", "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_websocket_handshake_with_a_foreign_host() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    inside(|site| {
        let reply = site.ask(format!("GET /chat HTTP/1.1\r\nHost: evil.test\r\n{upgrade}\r\n\r\n"));
        assert_eq!(reply.verdict(), (421, "misdirected"), "{:?}: {}", site.way, reply.text());
        site.assert_unasked("a handshake with another server");
    });
}

#[test]
fn absolute_form_to_a_port_that_wants_tls() {
    let ground = Ground::new();
    let authority = format!("allowed.test:{}", ground.opaque.port());
    let reply = ask(ground.gate.proxy(), format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert_eq!(reply.verdict(), (403, "opaque_tunnel"), "{}", reply.text());
    ground.opaque.assert_untouched("plain HTTP to a TLS port");
}

// ── threat 20: other protocols at the door itself

#[test]
fn threat_20_other_protocols_at_the_door() {
    let ground = Ground::new();
    let protocols = [
        &b"\x04\x01\x01\xbb\x7f\0\0\x01\0"[..],
        b"\x04\x01\x01\xbb\0\0\0\x01\0allowed.test\0",
        b"\x05\x01\0",
        &Hello::to("allowed.test").bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for protocol in protocols {
        let mut client = Client::connect(ground.gate.proxy());
        client.send(protocol);
        let rest = client.rest();
        let answer = String::from_utf8_lossy(&rest);
        let refused = answer.starts_with("HTTP/1.1 400 ") || (protocol.starts_with(b"PRI") && answer.starts_with("HTTP/1.1 405 "));
        assert!(rest.is_empty() || refused, "{}: {answer}", protocol.escape_ascii());
    }
    ground.opaque.assert_untouched("not HTTP");
    ground.http.assert_untouched("not HTTP");
    assert!(ground.gate.wait_for_records(1).iter().all(|record| record["verdict"] == "deny"));
}

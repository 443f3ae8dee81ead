//! CONNECT target, server name, Host and absolute-form have to name the same place; nothing goes upstream before they do.

use std::time::{Duration, Instant};

use crate::harness::{
    Client, Dns, Hello, Origin, Pki, Reply, Setup, Tidegate,
    client::ask,
    hello::{UNRECOGNIZED_NAME, fatal_alert, record},
    origin::find,
    tls::real_hello,
};

/// A proxy and two origins: one whose port wants TLS, one whose port wants HTTP. Both are names of one machine, as behind
/// a CDN.
struct Ground {
    gate: Tidegate,
    /// Sends back what it gets.
    tls: Origin,
    http: Origin,
}

impl Ground {
    fn new() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let (tls, http) = (Origin::echoing(), Origin::saying("from the origin"));
        let dns = Dns::loopback();
        let policy = format!(
            r#"
            allow = [
                {{ host = "allowed.test:{tls}", tls = true }}, {{ host = "other.test:{tls}", tls = true }},
                {{ host = "allowed.test:{http}", http = true }}, {{ host = "other.test:{http}", http = true }},
                {{ host = "127.0.0.1:{tls}", tls = true }},
            ]
            [addresses]
            allow = ["127.0.0.0/8"]
            {more}
            "#,
            tls = tls.port(),
            http = http.port(),
        );
        let gate = Setup::new(policy).dns(dns.address()).timeout("client_hello = \"1s\"").start();
        Self { gate, tls, http }
    }

    fn tunnel(&self) -> Client {
        self.tunnel_to(&format!("allowed.test:{}", self.tls.port()))
    }

    #[track_caller]
    fn tunnel_to(&self, authority: &str) -> Client {
        match Client::tunnel(self.gate.proxy(), authority) {
            Ok(client) => client,
            Err(refusal) => panic!("{authority}: {} {}", refusal.status, refusal.text()),
        }
    }

    fn http_authority(&self) -> String {
        format!("allowed.test:{}", self.http.port())
    }

    /// These first bytes arrive at the origin unchanged, and what it sends back arrives here.
    #[track_caller]
    fn passes(&self, bytes: &[u8]) {
        let mut client = self.tunnel();
        client.send(bytes);
        assert_eq!(client.exactly(bytes.len()), bytes, "echoed");
        assert!(self.tls.received().ends_with(bytes), "unchanged");
    }

    /// These first bytes are refused for this reason with an alert or a close, and the origin sees none of them.
    #[track_caller]
    fn refuses(&self, bytes: &[u8], reason: &str) -> Option<u8> {
        let mut client = self.tunnel();
        client.send(bytes);
        self.refused(&mut client, reason)
    }

    #[track_caller]
    fn refused(&self, client: &mut Client, reason: &str) -> Option<u8> {
        let rest = client.rest();
        client.close_sending();
        let alert = fatal_alert(&rest);
        assert!(rest.is_empty() || alert.is_some(), "neither an alert nor nothing: {}", rest.escape_ascii());
        let record = self.gate.wait_for_record(|record| record["reason"] == reason);
        assert_eq!(record["verdict"], "deny", "{record:#}");
        assert_eq!(self.tls.received(), b"", "{reason}: no byte goes upstream before it is judged");
        alert
    }
}

// ── egress 6.4: the server name of a ClientHello

#[test]
fn egress_6_4_a_hello_to_the_target_passes_unchanged() {
    let ground = Ground::new();
    ground.passes(&Hello::to("allowed.test").bytes());
}

#[test]
fn threat_39_connect_to_one_name_and_hello_to_another() {
    let ground = Ground::new();
    assert_eq!(ground.refuses(&Hello::to("other.test").bytes(), "misdirected"), Some(UNRECOGNIZED_NAME), "although both are allowed");
}

#[test]
fn threat_39_hello_to_names_that_only_look_like_the_target() {
    for name in ["allowed.test.evil.test", "xallowed.test", "www.allowed.test", "test", "evil.test", "allowed.tes", "allowed.test.."] {
        let ground = Ground::new();
        assert_eq!(ground.refuses(&Hello::to(name).bytes(), "misdirected"), Some(UNRECOGNIZED_NAME), "{name}");
    }
}

#[test]
fn threat_40_no_server_name() {
    let ground = Ground::new();
    ground.refuses(&Hello::anonymous().bytes(), "opaque_tunnel");
}

#[test]
fn threat_40_case_and_trailing_dot_are_the_same_name() {
    let ground = Ground::new();
    for name in ["ALLOWED.test", "allowed.test.", "aLLoWeD.TeSt."] {
        ground.passes(&Hello::to(name).bytes());
    }
}

#[test]
fn threat_40_two_server_names() {
    for names in [[&b"allowed.test"[..], b"evil.test"], [b"evil.test", b"allowed.test"], [b"allowed.test", b"allowed.test"]] {
        let ground = Ground::new();
        let mut client = ground.tunnel();
        client.send(Hello::to_all(&names).bytes());
        let rest = client.rest();
        client.close_sending();
        assert!(rest.is_empty() || fatal_alert(&rest).is_some(), "{}", rest.escape_ascii());
        let record = ground.gate.wait_for_record(|record| record["verdict"] == "deny");
        assert!(["misdirected", "opaque_tunnel"].contains(&record["reason"].as_str().unwrap_or_default()), "{record:#}");
        assert_eq!(ground.tls.received(), b"");
    }
}

#[test]
fn threat_40_server_names_that_are_none() {
    let long = "a".repeat(300);
    for name in [
        &b"allowed.test\0"[..],
        b"allowed.test\0.evil.test",
        b"127.0.0.1",
        b"",
        b"*.test",
        "\u{430}llowed.test".as_bytes(),
        long.as_bytes(),
    ] {
        let ground = Ground::new();
        let mut client = ground.tunnel();
        client.send(Hello::to(name).bytes());
        let rest = client.rest();
        client.close_sending();
        assert!(rest.is_empty() || fatal_alert(&rest).is_some(), "{}: {}", name.escape_ascii(), rest.escape_ascii());
        let record = ground.gate.wait_for_record(|record| record["verdict"] == "deny");
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(["misdirected", "opaque_tunnel"].contains(&reason), "{}: {record:#}", name.escape_ascii());
        assert_eq!(ground.tls.received(), b"", "{}", name.escape_ascii());
    }
}

#[test]
fn a_tunnel_to_an_address_names_no_server() {
    let ground = Ground::new();
    let hello = Hello::anonymous().bytes();
    let mut client = ground.tunnel_to(&format!("127.0.0.1:{}", ground.tls.port()));
    client.send(&hello);
    assert_eq!(client.exactly(hello.len()), hello);
}

#[test]
fn a_tunnel_to_an_address_with_a_foreign_name_inside() {
    let ground = Ground::new();
    let mut client = ground.tunnel_to(&format!("127.0.0.1:{}", ground.tls.port()));
    client.send(Hello::to("other.test").bytes());
    ground.refused(&mut client, "misdirected");
}

#[test]
fn threat_41_encrypted_client_hello() {
    let ground = Ground::new();
    ground.refuses(&Hello::to("allowed.test").encrypted().bytes(), "ech_not_allowed");
}

#[test]
fn threat_41_encrypted_client_hello_judged_by_its_outer_name() {
    let ground = Ground::with("[tls]\nech = \"outer\"");
    ground.passes(&Hello::to("allowed.test").encrypted().bytes());
    let mut client = ground.tunnel();
    client.send(Hello::to("other.test").encrypted().bytes());
    assert_eq!(fatal_alert(&client.rest()), Some(UNRECOGNIZED_NAME));
}

#[test]
fn threat_43_one_byte_at_a_time() {
    let ground = Ground::new();
    let hello = Hello::to("allowed.test").bytes();
    let mut client = ground.tunnel();
    client.send_slowly(&hello);
    assert_eq!(client.exactly(hello.len()), hello);
}

#[test]
fn threat_43_one_byte_at_a_time_to_the_wrong_name() {
    let ground = Ground::new();
    let mut client = ground.tunnel();
    client.send_slowly(Hello::to("other.test").bytes());
    assert_eq!(ground.refused(&mut client, "misdirected"), Some(UNRECOGNIZED_NAME));
}

#[test]
fn threat_43_two_records_and_many() {
    let ground = Ground::new();
    let hello = Hello::to("allowed.test");
    for size in [hello.message().len() / 2, 100, 4, 1] {
        ground.passes(&hello.in_records(size));
    }
}

#[test]
fn threat_43_many_records_to_the_wrong_name() {
    for size in [100, 4, 1] {
        let ground = Ground::new();
        assert_eq!(ground.refuses(&Hello::to("other.test").in_records(size), "misdirected"), Some(UNRECOGNIZED_NAME), "{size}");
    }
}

#[test]
fn threat_43_a_real_hello_with_post_quantum_shares() {
    let pki = Pki::for_names(&["allowed.test"]);
    let hello = real_hello("allowed.test", &pki);
    assert!(hello.len() > 1200, "a post-quantum share makes it {} bytes", hello.len());
    Ground::new().passes(&hello);
}

#[test]
fn threat_43_seventeen_kilobytes_and_grease() {
    let ground = Ground::new();
    ground.passes(&Hello::to("allowed.test").greased().bytes());
    ground.passes(&Hello::to("allowed.test").greased().padded(14 * 1024).bytes());
    ground.passes(&Hello::to("allowed.test").padded(17 * 1024).bytes());
}

#[test]
fn threat_43_a_hello_without_end() {
    let ground = Ground::new();
    let endless = [&[1, 0xff, 0xff, 0xff][..], &vec![0; 200 * 1024]].concat();
    let records: Vec<u8> = endless.chunks(16 * 1024).flat_map(record).collect();
    ground.refuses(&records, "opaque_tunnel");
}

#[test]
fn threat_43_a_hello_that_stops_halfway() {
    let ground = Ground::new();
    let hello = Hello::to("allowed.test").bytes();
    let mut client = ground.tunnel();
    client.send(&hello[..hello.len() - 1]).rest();
    client.close_sending();
    ground.gate.wait_for_record(|record| record["verdict"] == "deny" || record["verdict"] == "error");
    assert_eq!(ground.tls.received(), b"", "half a hello is not judged, so it goes nowhere");
}

#[test]
fn a_tunnel_in_which_nobody_speaks_ends_by_the_timer() {
    let ground = Ground::new();
    let mut client = ground.tunnel();
    client.assert_closed_or_alert();
    assert_eq!(ground.tls.received(), b"");
}

#[test]
fn threat_43_records_that_are_none() {
    for bytes in [
        &[0x16, 3, 1, 0, 0][..],
        &[0x16, 3, 1, 0xff, 0xff, 1],
        &[0x17, 3, 3, 0, 1, 0],
        &[0x15, 3, 1, 0, 2, 1, 0],
        &[0x16, 9, 9, 0, 4, 1, 0, 0, 0],
    ] {
        let ground = Ground::new();
        let mut client = ground.tunnel();
        client.send(bytes).close_sending();
        client.assert_closed_or_alert();
        assert_eq!(ground.tls.received(), b"", "{}", bytes.escape_ascii());
    }
}

#[test]
fn egress_6_4_bytes_sent_before_the_200_are_kept_and_judged() {
    let ground = Ground::new();
    let authority = format!("allowed.test:{}", ground.tls.port());
    let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let hello = Hello::to("allowed.test").bytes();
    let mut client = Client::connect(ground.gate.proxy());
    client.send([connect.as_bytes(), &hello].concat());
    assert_eq!(client.reply_to("CONNECT").status, 200);
    assert_eq!(client.exactly(hello.len()), hello);

    let ground = Ground::new();
    let connect = connect.replace(&authority, &format!("allowed.test:{}", ground.tls.port()));
    let mut client = Client::connect(ground.gate.proxy());
    client.send([connect.as_bytes(), &Hello::to("other.test").bytes()].concat());
    assert_eq!(client.reply_to("CONNECT").status, 200);
    assert_eq!(ground.refused(&mut client, "misdirected"), Some(UNRECOGNIZED_NAME));
}

#[test]
fn a_client_that_will_not_hang_up_does_not_put_off_the_record() {
    let ground = Ground::new();
    let mut client = ground.tunnel();
    let since = Instant::now();
    client.send(Hello::to("other.test").bytes());
    ground.gate.wait_for_record(|record| record["reason"] == "misdirected");
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    assert_eq!(fatal_alert(&client.rest()), Some(UNRECOGNIZED_NAME));
}

#[test]
fn egress_6_4_sslv2_hello() {
    let ground = Ground::new();
    ground.refuses(&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80], "opaque_tunnel");
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
    for protocol in protocols {
        Ground::new().refuses(protocol, "opaque_tunnel");
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
    let authority = format!("allowed.test:{}", ground.tls.port());
    for host in ["other.test", "other.test:443", "allowed.test:444", "evil.test"] {
        let reply = ask(ground.gate.proxy(), format!("CONNECT {authority} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.verdict(), (421, "misdirected"), "{host}: {}", reply.text());
    }
    ground.tls.assert_untouched("a request that contradicts itself");
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
    let authority = format!("allowed.test:{}", ground.tls.port());
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

// ── inside a tunnel whose port wants HTTP

/// The answer to a request inside a tunnel to the port that wants HTTP.
fn inside(ground: &Ground, request: &str) -> Reply {
    let method = request.split(' ').next().unwrap_or_default();
    ground.tunnel_to(&ground.http_authority()).send(request).reply_to(method)
}

#[test]
fn egress_6_4_the_target_as_host_inside_a_tunnel() {
    let ground = Ground::new();
    let authority = ground.http_authority();
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: ALLOWED.TEST.:{}\r\n\r\n", ground.http.port()),
        format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
    ] {
        let reply = inside(&ground, &request);
        assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin"), "{request}");
    }
}

#[test]
fn threat_42_another_host_inside_a_tunnel() {
    let ground = Ground::new();
    let port = ground.http.port();
    for request in [
        format!("GET / HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: allowed.test:444\r\n\r\n".into(),
        format!("GET http://other.test:{port}/ HTTP/1.1\r\nHost: allowed.test:{port}\r\n\r\n"),
        format!("GET http://allowed.test:{port}/ HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n"),
    ] {
        let reply = inside(&ground, &request);
        assert_eq!(reply.verdict(), (421, "misdirected"), "{request}: {}", reply.text());
    }
    assert_eq!(ground.http.received(), b"");
}

#[test]
fn threat_42_the_second_request_names_another_host() {
    let ground = Ground::new();
    let authority = ground.http_authority();
    let mut client = ground.tunnel_to(&authority);
    assert_eq!(client.send(format!("GET /1 HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().status, 200);
    let refusal = client.send("GET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n").reply();
    assert_eq!(refusal.verdict(), (421, "misdirected"), "{}", refusal.text());
    assert_eq!(find(&ground.http.received(), b"/2"), None);
}

#[test]
fn egress_6_4_hosts_that_are_missing_or_two_inside_a_tunnel() {
    let ground = Ground::new();
    let authority = ground.http_authority();
    for request in [
        "GET / HTTP/1.1\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\nHost: {authority}\r\nHost: evil.test\r\n\r\n"),
        format!("GET https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
    ] {
        let reply = inside(&ground, &request);
        assert_eq!(reply.verdict(), (400, "bad_request"), "{request}: {}", reply.text());
    }
    assert_eq!(ground.http.received(), b"");
}

#[test]
fn threat_19_connect_inside_connect() {
    let ground = Ground::new();
    for target in ["evil.test:443".to_owned(), ground.http_authority()] {
        let reply = inside(&ground, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        assert_eq!(reply.verdict(), (405, "method_refused"), "{}", reply.text());
        assert!(
            reply.header("allow").is_some_and(|methods| methods.contains("GET") && !methods.contains("CONNECT")),
            "{:?}",
            reply.headers
        );
    }
    assert_eq!(ground.http.received(), b"");
}

#[test]
fn other_protocols_where_http_is_wanted() {
    let bytes = [Hello::to("allowed.test").bytes(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), b"\0\x01\x02\x03".to_vec()];
    for bytes in bytes {
        let ground = Ground::new();
        let mut client = ground.tunnel_to(&ground.http_authority());
        client.send(&bytes);
        let record = ground.gate.wait_for_record(|record| record["verdict"] == "deny");
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(["opaque_tunnel", "bad_request"].contains(&reason), "{record:#}");
        assert_eq!(ground.http.received(), b"", "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_websocket_handshake_with_a_foreign_host() {
    let ground = Ground::new();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    let reply = inside(&ground, &format!("GET /chat HTTP/1.1\r\nHost: evil.test\r\n{upgrade}\r\n\r\n"));
    assert_eq!(reply.verdict(), (421, "misdirected"), "{}", reply.text());
    assert_eq!(ground.http.received(), b"");
}

#[test]
fn absolute_form_to_a_port_that_wants_tls() {
    let ground = Ground::new();
    let authority = format!("allowed.test:{}", ground.tls.port());
    let reply = ask(ground.gate.proxy(), format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert_eq!(reply.verdict(), (403, "opaque_tunnel"), "{}", reply.text());
    ground.tls.assert_untouched("plain HTTP to a TLS port");
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
    ground.tls.assert_untouched("not HTTP");
    ground.http.assert_untouched("not HTTP");
    assert!(ground.gate.wait_for_records(1).iter().all(|record| record["verdict"] == "deny"));
}

//! Requests and responses whose end is in doubt, and what is passed on of those whose end is not.
//!
//! The origin reads in the plainest way, so a second request hidden in a first one would become one there.

use std::{
    io::Read,
    sync::{Arc, Mutex, mpsc},
};

use crate::harness::{
    Client, Dns, Origin, PATIENCE, Reply, Setup, Tidegate,
    client::{ask, get},
    origin::{Conversation, find},
};

/// A proxy that allows one origin, on a port that may speak anything.
struct Ground {
    gate: Tidegate,
    origin: Origin,
}

impl Ground {
    fn new() -> Self {
        Self::before(Origin::saying("from the origin"))
    }

    fn before(origin: Origin) -> Self {
        Self::with(origin, &[])
    }

    fn with(origin: Origin, timeouts: &[&str]) -> Self {
        let dns = Dns::loopback();
        let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
        let setup = timeouts.iter().fold(Setup::new(policy).dns(dns.address()), |setup, line| setup.timeout(line));
        Self { gate: setup.start(), origin }
    }

    fn authority(&self) -> String {
        format!("allowed.test:{}", self.origin.port())
    }

    fn client(&self) -> Client {
        Client::connect(self.gate.proxy())
    }

    fn tunnel(&self) -> Client {
        Client::tunnel(self.gate.proxy(), &self.authority()).expect("a tunnel")
    }

    /// A request line and a Host for the origin, then these lines, the empty line, and the rest.
    fn request(&self, method: &str, lines: &str, rest: &str) -> Vec<u8> {
        let authority = self.authority();
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        format!("{method} http://{authority}/first HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n{rest}").into_bytes()
    }

    /// A second request, as it might be hidden in the body of a first.
    fn hidden(&self) -> String {
        let authority = self.authority();
        format!("GET http://{authority}/smuggled HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    }

    /// These bytes get `400 bad_request` and the end of the connection; nothing reaches the origin.
    #[track_caller]
    fn refuses(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let case = bytes.escape_ascii();
        let mut client = self.client();
        let reply = client.send(bytes).reply();
        assert_eq!(reply.verdict(), (400, "bad_request"), "{case}: {}", reply.text());
        client.assert_closed();
        self.origin.assert_untouched(&case.to_string());
    }

    /// What the origin received of the one request that it got.
    fn passes_on(&self, request: impl AsRef<[u8]>) -> String {
        let reply = ask(self.gate.proxy(), request);
        assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin"));
        String::from_utf8(self.origin.received()).expect("text")
    }
}

fn head_of(bytes: &str) -> String {
    bytes.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase()
}

// ── threats 53 to 58: requests that two readers would read differently

#[test]
fn threat_53_two_lengths() {
    let ground = Ground::new();
    for lines in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "content-length: 5\r\nCONTENT-LENGTH: 0",
    ] {
        ground.refuses(ground.request("POST", lines, &format!("0\r\n\r\n{}", ground.hidden())));
    }
}

#[test]
fn threat_54_lengths_that_are_none() {
    let ground = Ground::new();
    for length in [
        "+3",
        "-0",
        "-1",
        "0x3",
        "3,3",
        "3,4",
        "3, 3",
        "",
        " ",
        "3 3",
        "3;",
        "3.0",
        "1e1",
        "18446744073709551616",
        "99999999999999999999999",
        "٣",
        "three",
    ] {
        ground.refuses(ground.request("POST", &format!("Content-Length: {length}"), "abc"));
    }
}

#[test]
fn threat_55_codings_that_are_not_chunked() {
    let ground = Ground::new();
    for coding in [
        "xchunked",
        "chunked, chunked",
        "identity, chunked",
        "chunked, identity",
        "gzip, chunked",
        "\x0bchunked",
        "identity",
        "chunked;q=1",
        "\"chunked\"",
        "chunked,",
        ", chunked",
        "chun\0ked",
        "",
    ] {
        ground.refuses(ground.request("POST", &format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"));
    }
    let authority = ground.authority();
    ground.refuses(format!("POST http://{authority}/ HTTP/1.0\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
}

#[test]
fn threat_56_chunks_that_are_none() {
    let hostile = [
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\rabc\r0\r\r",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "g\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\nX-T: a\nHost: b\r\n\r\n",
    ];
    for body in hostile.into_iter().map(String::from).chain([format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000))]) {
        let ground = Ground::new();
        let mut client = ground.client();
        client.send(ground.request("POST", "Transfer-Encoding: chunked", &format!("{body}{}", ground.hidden())));
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        // The head was good, so it may be on its way already: what counts is that nobody takes the request for whole.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert_eq!(find(&ground.origin.received(), b"smuggled"), None, "{body:?}");
        ground.gate.wait_for_record(|record| record["reason"] == "bad_request");
    }
}

#[test]
fn threat_57_folds_spaces_and_line_ends() {
    let ground = Ground::new();
    for lines in [
        "X-A: 1\r\n folded",
        "X-A: 1\r\n\tfolded",
        " X-A: 1",
        "X-A : 1",
        "X-A\t: 1",
        "X-A: a\0b",
        "X-A: a\rb",
        "X A: 1",
        ": 1",
        "X-A",
        "X-\x7f: 1",
        "X-é: 1",
        "X-A: 1\nX-B: 2",
        "X-A: \x01",
        "Transfer-Encoding : chunked",
        "Content-Length : 3",
        "Content-Length: 3\n",
    ] {
        ground.refuses(ground.request("POST", lines, "abc"));
    }
    let authority = ground.authority();
    ground.refuses(format!("GET http://{authority}/ HTTP/1.1\nHost: {authority}\n\n"));
    ground.refuses(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\n"));
    ground.refuses(format!("GET http://{authority}/ HTTP/1.1\r\n X: 1\r\nHost: {authority}\r\n\r\n"));
}

#[test]
fn threat_58_request_lines() {
    let ground = Ground::new();
    let authority = ground.authority();
    for line in [
        format!("GET  http://{authority}/ HTTP/1.1"),
        format!("GET http://{authority}/ a HTTP/1.1"),
        format!("GET http://{authority}/\ta HTTP/1.1"),
        format!("GET\thttp://{authority}/ HTTP/1.1"),
        format!("GET http://{authority}/  HTTP/1.1"),
        format!("GET http://{authority}/ HTTP/1.1 "),
        format!(" GET http://{authority}/ HTTP/1.1"),
        format!("GET http://{authority}/\0 HTTP/1.1"),
        format!("GET http://{authority}/\x7f HTTP/1.1"),
        format!("GET http://{authority}/é HTTP/1.1"),
        format!("GET http://{authority}/#f HTTP/1.1"),
        format!("GET http://{authority}/\\ HTTP/1.1"),
        format!("GET http://{authority}/ HTTP/1.2"),
        format!("GET http://{authority}/ HTTP/2.0"),
        format!("GET http://{authority}/ HTTP/0.9"),
        format!("GET http://{authority}/ http/1.1"),
        format!("GET http://{authority}/"),
        format!("GE(T http://{authority}/ HTTP/1.1"),
        "GET".into(),
        "GET ".into(),
    ] {
        ground.refuses(format!("{line}\r\nHost: {authority}\r\n\r\n"));
    }
}

#[test]
fn connect_with_a_body() {
    let ground = Ground::new();
    let authority = ground.authority();
    for lines in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        ground.refuses(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n\r\nabc"));
    }
}

// ── threat 59: trailers

#[test]
fn threat_59_trailers_that_would_be_headers() {
    for name in ["Host", "Content-Length", "Transfer-Encoding", "Authorization", "Proxy-Authorization", "Connection", "Cookie", "Trailer"] {
        let ground = Ground::new();
        let request = ground.request("POST", "Transfer-Encoding: chunked", &format!("3\r\nabc\r\n0\r\n{name}: hidden\r\n\r\n"));
        let reply = ask(ground.gate.proxy(), request);
        assert!([200, 400].contains(&reply.status), "{name}: {}", reply.text());
        assert_eq!(find(&ground.origin.received(), b"hidden"), None, "{name}");
    }
}

#[test]
fn a_harmless_trailer_is_passed_on() {
    let ground = Ground::new();
    let sent = ground.passes_on(ground.request(
        "POST",
        "Transfer-Encoding: chunked\r\nTrailer: X-Checksum",
        "3\r\nabc\r\n0\r\nX-Checksum: 1\r\n\r\n",
    ));
    assert!(sent.ends_with("\r\n3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n"), "{sent}");
}

#[test]
fn threat_56_a_line_end_in_a_quoted_chunk_extension_ends_the_line() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(ground.request("POST", "Transfer-Encoding: chunked", &format!("3;a=\"\r\nabc\r\n0\r\n\r\n\"\r\n{}", ground.hidden())));
    let answer = client.rest();
    assert_eq!(find(&ground.origin.received(), b"smuggled"), None, "{}", answer.escape_ascii());
}

// ── threat 60: pipelines

#[test]
fn threat_60_pipelined_requests_are_decided_one_by_one() {
    let ground = Ground::new();
    let good = get(&ground.authority());
    let mut client = ground.client();
    client.send(format!("{good}{}", get("evil.test")));
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.reply().verdict(), (403, "host_not_allowed"));
    assert_eq!(find(&ground.origin.received(), b"evil"), None);
}

#[test]
fn threat_60_what_follows_a_malformed_request_is_not_executed() {
    let ground = Ground::new();
    ground.refuses([ground.request("POST", "Content-Length: +3", "abc"), ground.hidden().into_bytes()].concat());
    ground.refuses([b"CONNECT allowed..test:443 HTTP/1.1\r\n\r\n", ground.hidden().as_bytes()].concat());
}

#[test]
fn threat_60_what_follows_a_refusal_is_answered_or_not_executed() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(format!("{}{}", get("evil.test"), get(&ground.authority())));
    let refusal = client.reply();
    assert_eq!(refusal.verdict(), (403, "host_not_allowed"));
    if refusal.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        client.assert_closed();
        ground.origin.assert_untouched("the connection was over");
    } else {
        assert_eq!(client.reply().text(), "from the origin");
    }
}

#[test]
fn threat_60_the_body_of_a_refused_request_is_not_a_request() {
    let ground = Ground::new();
    let hidden = ground.hidden();
    for (lines, body) in [
        (format!("Content-Length: {}", hidden.len()), hidden.clone()),
        ("Transfer-Encoding: chunked".into(), format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())),
    ] {
        let mut client = ground.client();
        client.send(format!("POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{lines}\r\n\r\n{body}"));
        assert_eq!(client.reply().verdict(), (403, "host_not_allowed"));
        client.close_sending().assert_closed();
    }
    ground.origin.assert_untouched("a body is no request");
}

#[test]
fn what_follows_a_refused_connect_is_not_a_request() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n{}", ground.hidden()));
    let refusal = client.reply();
    assert_eq!(refusal.verdict(), (403, "host_not_allowed"));
    if refusal.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        client.assert_closed();
        ground.origin.assert_untouched("what came was meant for the tunnel");
    }
}

#[test]
fn many_requests_on_one_connection() {
    let ground = Ground::new();
    let mut client = ground.client();
    for _ in 0..50 {
        assert_eq!(client.send(get(&ground.authority())).reply().text(), "from the origin");
    }
    client.send(get(&ground.authority()).repeat(20));
    for _ in 0..20 {
        assert_eq!(client.reply().text(), "from the origin");
    }
}

// ── threats 61 to 64: headers that end here, expectations, methods

#[test]
fn hop_by_hop_headers_are_not_passed_on() {
    let ground = Ground::new();
    let lines = "Connection: keep-alive, X-Private, x-OTHER\r\nX-Private: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                 Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==\r\nTE: trailers\r\nX-End-To-End: 3\r\nAccept-Encoding: br";
    let sent = head_of(&ground.passes_on(ground.request("GET", lines, "")));
    for name in ["x-private", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "c2vjcmv0"] {
        assert!(!sent.contains(&format!("{name}:")) && !sent.contains("c2vjcmv0"), "{name} in {sent}");
    }
    assert!(sent.contains("x-end-to-end: 3") && sent.contains("accept-encoding: br"), "{sent}");
    assert!(sent.starts_with("get /first http/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("host: {}", ground.authority())), "{sent}");
}

#[test]
fn header_names_that_some_servers_take_for_others() {
    let ground = Ground::new();
    for line in ["Proxy_Authorization: Basic x", "Transfer_Encoding: chunked", "Content_Length: 9", "content_length: 9"] {
        let reply = ask(ground.gate.proxy(), ground.request("GET", line, ""));
        let sent = ground.origin.received();
        assert!(reply.verdict() == (400, "bad_request") || find(&sent, b"_").is_none(), "{line}: {}", sent.escape_ascii());
    }
}

#[test]
fn threat_61_upgrades_that_ask_for_no_websocket_are_not_passed_on() {
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: upgrade\r\nUpgrade: TLS/1.0",
        "Upgrade: websocket",
    ] {
        let ground = Ground::new();
        let sent = head_of(&ground.passes_on(ground.request("GET", upgrade, "")));
        assert!(!sent.contains("upgrade:") && !sent.contains("http2-settings"), "{sent}");
        assert!(!sent.contains("connection: upgrade"), "{sent}");
    }
}

#[test]
fn threat_62_connection_options_that_would_remove_framing() {
    let ground = Ground::new();
    for options in ["Host", "Content-Length", "close, Transfer-Encoding", "keep-alive,HOST", "a b", "\"host\""] {
        ground.refuses(ground.request("POST", &format!("Connection: {options}\r\nContent-Length: 3"), "abc"));
    }
}

#[test]
fn threat_63_expect_to_a_refused_host_is_refused_at_once() {
    let ground = Ground::new();
    let reply =
        ask(ground.gate.proxy(), "POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(reply.verdict(), (403, "host_not_allowed"), "and not 100");
}

#[test]
fn threat_63_expect_to_an_allowed_host() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(ground.request("POST", "Content-Length: 3\r\nExpect: 100-continue", ""));
    assert_eq!(client.reply().status, 100);
    assert_eq!(client.send("abc").reply().text(), "from the origin");
    assert_eq!(client.send(get(&ground.authority())).reply().text(), "from the origin", "in step");
}

#[test]
fn threat_63_expect_with_the_body_at_once() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(ground.request("POST", "Content-Length: 3\r\nExpect: 100-continue", "abc")).send(get(&ground.authority()));
    let mut replies = Vec::new();
    while replies.len() < 2 {
        let reply = client.reply();
        if reply.status != 100 {
            replies.push(reply.text());
        }
    }
    assert_eq!(replies, ["from the origin", "from the origin"]);
}

#[test]
fn threat_63_expect_and_then_silence() {
    let ground = Ground::with(Origin::saying("from the origin"), &["body = \"300ms\""]);
    let mut client = ground.client();
    client.send(ground.request("POST", "Content-Length: 3\r\nExpect: 100-continue", ""));
    let answer = client.rest();
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("from the origin") && !answer.contains(" 200 "), "{answer}");
}

#[test]
fn threat_63_other_expectations() {
    let ground = Ground::new();
    for expect in ["200-ok", "100-continue, 100-continue", "100-continue;q=1", ""] {
        ground.refuses(ground.request("POST", &format!("Expect: {expect}\r\nContent-Length: 3"), "abc"));
    }
}

#[test]
fn threat_64_methods_that_are_never_passed_on() {
    let ground = Ground::new();
    for method in ["TRACE", "TRACK"] {
        let reply = ask(ground.gate.proxy(), ground.request(method, "X-Secret: abc", ""));
        assert_eq!(reply.verdict(), (405, "method_refused"), "{method}");
        let allow = reply.header("allow").unwrap_or_default().to_owned();
        assert!(allow.contains("GET") && !allow.contains(method), "{allow}");
        assert!(!reply.text().contains("abc"), "never an echo");
    }
    let mut client = ground.client();
    let reply = client.send(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", ground.hidden())).reply();
    assert_eq!(reply.verdict(), (405, "method_refused"), "PRI");
    client.assert_closed();
    ground.origin.assert_untouched("never passed on");
}

#[test]
fn methods_are_passed_on_as_they_are() {
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "FOO"] {
        let ground = Ground::new();
        let sent = ground.passes_on(ground.request(method, "Content-Length: 3", "abc"));
        assert!(sent.starts_with(&format!("{method} /first HTTP/1.1\r\n")) && sent.ends_with("\r\n\r\nabc"), "{sent}");
    }
}

#[test]
fn path_and_query_are_passed_on_as_they_came() {
    for path in ["/", "/a/../b", "//x", "/%2e%2e/%2F", "/a?b=c&d=%20", "/?", "/a;b=c", "/~{}|^"] {
        let ground = Ground::new();
        let authority = ground.authority();
        let sent = ground.passes_on(format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        assert!(sent.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}: {sent}");
    }
    let ground = Ground::new();
    let authority = ground.authority();
    let sent = ground.passes_on(format!("GET http://{authority}?q HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert!(sent.starts_with("GET /?q HTTP/1.1\r\n"), "{sent}");
}

#[test]
fn bodies_are_passed_on_byte_for_byte() {
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let ground = Ground::new();
    let reply = ask(ground.gate.proxy(), [ground.request("POST", &format!("Content-Length: {}", body.len()), ""), body.clone()].concat());
    assert_eq!(reply.text(), "from the origin");
    assert!(ground.origin.received().ends_with(&body));
}

#[test]
fn chunked_bodies_are_passed_on_whole_however_they_are_cut() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send_slowly(ground.request("POST", "Transfer-Encoding: chunked", "3\r\nabc\r\n04;x=y\r\ndefg\r\n0\r\n\r\n"));
    assert_eq!(client.reply().text(), "from the origin");
    let sent = String::from_utf8(ground.origin.received()).unwrap();
    let chunks = sent.split("\r\n\r\n").nth(1).unwrap_or_default();
    let content: String = chunks.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(content, "abcdefg", "{sent}");
}

#[test]
fn a_length_beyond_all_measure_is_only_a_promise() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(ground.request("POST", "Content-Length: 9223372036854775807", "abc"));
    ground.origin.wait_for(|bytes| find(bytes, b"abc").is_some());
    drop(client);
    assert_eq!(ask(ground.gate.proxy(), get(&ground.authority())).text(), "from the origin");
}

#[test]
fn threat_54_the_largest_lengths_are_answered_like_any_other_bad_one() {
    for length in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
        let ground = Ground::new();
        let mut client = ground.client();
        client.send(ground.request("POST", &format!("Content-Length: {length}"), "abc")).close_sending();
        let reply = client.reply();
        let refused = matches!(reply.verdict(), (400, "bad_request") | (413, "body_too_large"));
        assert!(refused, "{length}: {} {:?}", reply.status, reply.headers);
        ground.gate.wait_for_record(|record| record["verdict"] == "deny");
    }
}

#[test]
fn a_client_that_wants_to_close_is_closed() {
    let ground = Ground::new();
    let mut client = ground.client();
    let reply = client.send(ground.request("GET", "Connection: close", "")).reply();
    assert_eq!(reply.text(), "from the origin");
    client.assert_closed();
}

#[test]
fn http_1_0_gets_no_chunks_and_the_end() {
    let ground = Ground::before(Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    let authority = ground.authority();
    let mut client = ground.client();
    let reply = client.send(format!("GET http://{authority}/ HTTP/1.0\r\nHost: {authority}\r\n\r\n")).reply();
    assert_eq!((reply.text().as_str(), reply.header("transfer-encoding")), ("abc", None));
    client.assert_closed();
}

#[test]
fn any_bytes_at_all_leave_the_proxy_standing() {
    let ground = Ground::new();
    let mut state = 0x7469_6465_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let good = ground.request("POST", "Transfer-Encoding: chunked\r\nX-A: b", "3\r\nabc\r\n0\r\n\r\n");
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..next() % 4 {
            let at = usize::from(next()) * bytes.len() / 256;
            bytes[at] = next();
        }
        let noise: Vec<u8> = (0..next()).map(|_| next()).collect();
        for sent in [bytes, noise] {
            let answer = ground.client().send(&sent).close_sending().rest();
            let answer = String::from_utf8_lossy(&answer);
            let refused = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5");
            assert!(!refused || answer.contains("x-deny-reason: "), "{}: {answer}", sent.escape_ascii());
        }
    }
    assert_eq!(ask(ground.gate.proxy(), get(&ground.authority())).text(), "from the origin");
    assert_eq!(ground.gate.metric("tidegate_panics_total"), 0);
}

// ── heads too slow and too large

#[test]
fn a_head_that_comes_too_slowly() {
    let ground = Ground::with(Origin::saying(""), &["head = \"300ms\""]);
    for sent in ["G", "GET http://allowed.test/ HTTP/1.1\r\nHost: allow", "CONNECT allowed.test:443 HTTP/1.1\r\n"] {
        let mut client = ground.client();
        let reply = client.send(sent).reply();
        assert_eq!(reply.verdict(), (408, "head_timeout"), "{sent:?}");
        client.assert_closed();
    }
    ground.gate.wait_for_record(|record| record["reason"] == "head_timeout" && record["verdict"] == "deny");
    ground.origin.assert_untouched("no head was whole");
}

#[test]
fn a_connection_on_which_nothing_ever_comes_is_closed_too() {
    let ground = Ground::with(Origin::saying(""), &["head = \"300ms\"", "keep_alive = \"300ms\""]);
    let answer = ground.client().rest();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
}

#[test]
fn a_head_that_is_too_large() {
    let ground = Ground::new();
    let one_long_line = format!("X-Long: {}", "a".repeat(70_000));
    let many_lines = (0..300).map(|number| format!("X-{number}: a")).collect::<Vec<_>>().join("\r\n");
    let many_long_lines = (0..100).map(|number| format!("X-{number}: {}", "a".repeat(8000))).collect::<Vec<_>>().join("\r\n");
    for lines in [one_long_line, many_lines, many_long_lines, format!("X-Long: {}", "a".repeat(2_000_000))] {
        let mut client = ground.client();
        let reply = client.send(ground.request("GET", &lines, "")).reply();
        assert_eq!(reply.verdict(), (431, "head_too_large"), "{} bytes", lines.len());
        client.assert_closed();
    }
    ground.origin.assert_untouched("no head was good");
}

#[test]
fn a_head_that_is_just_large() {
    let ground = Ground::new();
    let lines = (0..100).map(|number| format!("X-{number}: {}", "a".repeat(400))).collect::<Vec<_>>().join("\r\n");
    let sent = ground.passes_on(ground.request("GET", &lines, ""));
    assert!(sent.len() > 40_000);
    let ground = Ground::new();
    let lines = (0..250).map(|number| format!("X-{number}: a")).collect::<Vec<_>>().join("\r\n");
    assert!(ground.passes_on(ground.request("GET", &lines, "")).to_ascii_lowercase().contains("x-249: a"));
    let ground = Ground::new();
    let authority = ground.authority();
    let path = format!("/{}", "a".repeat(8000));
    let sent = ground.passes_on(format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    assert!(sent.starts_with(&format!("GET {path} ")));
}

// ── tunnels: half-close and reset

#[test]
fn a_half_close_passes_through_a_tunnel_upwards() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        let mut all = Vec::new();
        while let Some(more) = conversation.read() {
            all.extend(more);
        }
        conversation.send(format!("got {} bytes", all.len()).as_bytes());
    }));
    let mut client = ground.tunnel();
    client.send("twelve bytes").close_sending();
    assert_eq!(client.rest(), b"got 12 bytes");
}

#[test]
fn a_half_close_passes_through_a_tunnel_downwards() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        conversation.send(b"that is all");
        conversation.close_sending();
        while conversation.read().is_some() {}
    }));
    let mut client = ground.tunnel();
    assert_eq!(client.rest(), b"that is all");
    client.send("still here");
    ground.origin.wait_for(|bytes| bytes == b"still here");
}

#[test]
fn bytes_sent_before_the_200_are_kept() {
    let ground = Ground::before(Origin::echoing());
    let authority = ground.authority();
    let mut client = ground.client();
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\nearly"));
    assert_eq!(client.reply_to("CONNECT").status, 200);
    assert_eq!(client.exactly(5), b"early");
}

#[test]
fn a_client_that_gives_up_frees_the_upstream() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let ground = Ground::before(Origin::scripted(move |conversation| {
        let request = conversation.request();
        let rest = conversation.read();
        let _ = ended.lock().unwrap().send((request.is_some(), rest));
    }));
    let mut client = ground.client();
    client.send(get(&ground.authority()));
    ground.origin.wait_for(|bytes| find(bytes, b"GET").is_some());
    client.reset();
    assert_eq!(end.recv_timeout(PATIENCE / 2), Ok((true, None)), "the origin's connection ends with the client's");
}

#[test]
fn a_reset_by_the_origin_reaches_the_client() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        // Closing a socket with unread bytes resets it.
        let _ = conversation.stream().peek(&mut [0; 1]);
    }));
    let mut client = ground.tunnel();
    assert!(client.send("unread").is_reset(), "a broken stream must not look like one that ended well");
}

#[test]
fn a_reset_by_the_client_reaches_the_origin() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let ground = Ground::before(Origin::scripted(move |conversation| {
        let mut rest = Vec::new();
        let result = conversation.stream().read_to_end(&mut rest);
        let _ = ended.lock().unwrap().send(result.map_err(|error| error.kind()));
    }));
    ground.tunnel().reset();
    let result = end.recv_timeout(PATIENCE).expect("the origin's connection ends");
    assert_eq!(result, Err(std::io::ErrorKind::ConnectionReset), "a broken stream must not look like one that ended well");
}

// ── threats 65 to 67: responses

/// The answer of a proxy whose origin answers the first request with these bytes and closes, and the proxy.
fn answered(reply: impl Into<Vec<u8>>) -> (Reply, Ground) {
    let ground = Ground::before(Origin::replying_once(reply));
    let reply = ask(ground.gate.proxy(), get(&ground.authority()));
    (reply, ground)
}

#[test]
fn threat_65_heads_that_are_none() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Huge: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(2_000_000));
    for reply in [
        "",
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/3 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Len",
        &huge,
    ] {
        let (answer, ground) = answered(reply);
        let shown = &reply[..reply.len().min(80)];
        assert_eq!(answer.verdict(), (502, "upstream_closed"), "{shown:?}: {}", answer.text());
        ground.gate.wait_for_record(|record| record["verdict"] == "error" && record["reason"] == "upstream_closed");
    }
}

#[test]
fn threat_65_two_lengths_in_a_response_are_one_body_or_none() {
    let (answer, _ground) = answered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    match answer.status {
        502 => assert_eq!(answer.reason(), "upstream_closed"),
        status => assert_eq!((status, answer.text().as_str(), answer.header("content-length")), (200, "hello", None)),
    }
}

#[test]
fn threat_65_a_body_that_breaks_off_is_not_passed_on_as_whole() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ] {
        let ground = Ground::before(Origin::replying_once(reply));
        let mut client = ground.client();
        let answer = client.send(get(&ground.authority())).rest();
        let answer = String::from_utf8_lossy(&answer);
        let whole = answer.contains("\r\n0\r\n\r\n") || answer.contains("ontent-length: 5\r\n");
        assert!(!whole, "{reply:?} became {answer:?}");
    }
}

#[test]
fn threat_65_a_second_response_is_nobodys() {
    let origin = Origin::scripted(|conversation| {
        let second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
        while conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal{second}").as_bytes());
        }
    });
    let ground = Ground::before(origin);
    let mut client = ground.client();
    for _ in 0..5 {
        assert_eq!(client.send(get(&ground.authority())).reply().text(), "real");
    }
}

#[test]
fn threat_65_interim_responses_without_end() {
    let reply =
        ["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10_000), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".into()]
            .concat();
    let ground = Ground::before(Origin::replying_once(reply));
    let mut client = ground.client();
    client.send(get(&ground.authority()));
    let last = loop {
        let reply = client.reply();
        if reply.status >= 200 {
            break reply;
        }
    };
    assert!(last.text() == "done" || last.verdict() == (502, "upstream_closed"), "{last:?}");
}

#[test]
fn threat_65_switching_protocols_that_nobody_asked_for() {
    let (answer, _ground) = answered("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes");
    assert_eq!(answer.verdict(), (502, "upstream_closed"), "{answer:?}");
}

#[test]
fn threat_65_hop_by_hop_headers_of_a_response() {
    let lines = "Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Connection: close\r\n\
                 Upgrade: h2c\r\nX-End-To-End: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2";
    let (answer, _ground) = answered(format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 2\r\n\r\nok"));
    for name in ["x-private", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
    assert_eq!(answer.header("x-end-to-end"), Some("2"));
    let cookies: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn threat_66_bodies_where_there_is_none() {
    for (method, reply) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nforged"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nforged"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 36\r\n\r\nHTTP/1.1 200 OK\r\nX-Forged: 1\r\n\r\n"),
    ] {
        let first = Arc::new(Mutex::new(Some(reply)));
        let ground = Ground::before(Origin::scripted(move |conversation: &mut Conversation| {
            while conversation.request().is_some() {
                let first = first.lock().unwrap().take();
                conversation.send(first.unwrap_or("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").as_bytes());
            }
        }));
        let mut client = ground.client();
        let answer = client.send(ground.request(method, "", "")).reply_to(method);
        assert!(answer.body.is_empty() && answer.status < 400, "{method} {reply:?}: {answer:?}");
        let second = client.send(get(&ground.authority())).reply();
        assert_eq!((second.status, second.text().as_str()), (200, "second"), "{method} {reply:?}");
        assert_eq!(second.header("x-forged"), None);
    }
}

#[test]
fn threat_67_a_request_that_breaks_off_leaves_no_connection_behind() {
    let ground = Ground::new();
    let mut client = ground.client();
    client.send(ground.request("POST", "Content-Length: 100", "only this"));
    ground.origin.wait_for(|bytes| find(bytes, b"only this").is_some());
    drop(client);
    let reply = ask(ground.gate.proxy(), get(&ground.authority()));
    assert_eq!(reply.text(), "from the origin");
    let connections = ground.origin.connections();
    assert_eq!(connections.len(), 2, "the broken one is not used again");
    assert_eq!(find(&connections[0], b"GET"), None);
}

#[test]
fn an_origin_that_never_answers_is_upstream_timeout() {
    let ground = Ground::with(Origin::silent(), &["first_byte = \"300ms\""]);
    let reply = ask(ground.gate.proxy(), get(&ground.authority()));
    assert_eq!(reply.verdict(), (504, "upstream_timeout"), "{}", reply.text());
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    let (answer, _ground) = answered("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    assert_eq!(answer.text(), "until the end");
}

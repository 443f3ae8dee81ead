//! What a refusal looks like, for every reason that this door can give.

use serde_json::json;

use crate::harness::{
    Answer, Client, Dns, Origin, Reply, Setup, Tidegate,
    client::{ask, ask_for, get},
};

/// The keys that the first line of every refusal has.
const KEYS: &[&str] = &["reason", "host", "port", "rule", "policy", "generation", "allow_with"];

/// What holds for every refusal, whatever its reason.
#[track_caller]
fn assert_refusal(reply: &Reply, status: u16, reason: &str, error: &str) {
    assert_eq!(reply.verdict(), (status, reason), "{}", reply.text());
    let proxy_status = reply.header("proxy-status").unwrap_or_default();
    let prefix = format!("tidegate; error={error}; details=\"");
    assert!(proxy_status.starts_with(&prefix) && proxy_status.ends_with('"'), "{proxy_status}");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("server"), None, "a refusal never looks like the origin's");
    let json = reply.json();
    for key in KEYS {
        assert!(json.get(key).is_some(), "{key} is missing in {json}");
    }
    assert_eq!(json["reason"], reason, "{json}");
    let text = reply.text();
    let (_, sentences) = text.split_once('\n').expect("sentences after the JSON");
    assert!(!sentences.trim().is_empty(), "{text}");
}

fn connect(gate: &Tidegate, authority: &str) -> Reply {
    Client::tunnel(gate.proxy(), authority).err().expect("a refusal")
}

/// Refused alike by CONNECT and in absolute-form.
#[track_caller]
fn assert_both(gate: &Tidegate, authority: &str, status: u16, reason: &str, error: &str) -> [Reply; 2] {
    let replies = [connect(gate, authority), ask_for(gate.proxy(), authority)];
    for reply in &replies {
        assert_refusal(reply, status, reason, error);
    }
    replies
}

#[test]
fn egress_6_7_host_not_allowed_says_which_line_would_allow_it() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    for reply in assert_both(&gate, "evil.test:80", 403, "host_not_allowed", "http_request_denied") {
        let json = reply.json();
        assert_eq!((&json["host"], &json["port"], &json["rule"]), (&json!("evil.test"), &json!(80), &json!(null)), "{json}");
        assert_eq!((&json["policy"], &json["generation"]), (&json!("policy.toml"), &json!(1)), "{json}");
        let line = json["allow_with"].as_str().expect("a line");
        assert!(line.contains("\"evil.test\""), "{line}");
        assert!(reply.text().contains("evil.test") && reply.text().contains("policy.toml"), "{}", reply.text());
        let sentences = reply.text().split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        assert!(line.lines().all(|line| sentences.contains(line)), "{sentences}");
    }
}

#[test]
fn egress_6_7_the_line_that_would_allow_it_does() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let opened = "[addresses]\nallow = [\"127.0.0.0/8\"]\n";
    let gate = Tidegate::start(opened, dns.address());
    let authority = format!("new.test:{}", origin.port());
    let refusal = ask_for(gate.proxy(), &authority);
    let line = refusal.json()["allow_with"].as_str().expect("a line").to_owned();
    gate.reload(&format!("{line}\n{opened}"));
    let reply = ask_for(gate.proxy(), &authority);
    assert_eq!(reply.text(), "from the origin", "after adding {line}");
}

#[test]
fn egress_6_7_host_denied_names_the_rule_its_file_and_its_line() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"*.test\"]\ndeny = [\n  \"*.evil.test\",\n]", dns.address());
    for reply in assert_both(&gate, "a.evil.test:80", 403, "host_denied", "http_request_denied") {
        let json = reply.json();
        let rule = json["rule"].as_str().expect("a rule");
        assert!(rule.contains("*.evil.test") && rule.contains("policy.toml") && rule.contains('3'), "{rule}");
        assert_eq!(json["allow_with"], json!(null), "no line would");
        assert!(reply.text().split_once('\n').is_some_and(|(_, rest)| rest.contains("*.evil.test (policy.toml:3)")), "{}", reply.text());
    }
}

#[test]
fn egress_6_7_network_disabled() {
    let dns = Dns::start();
    let gate = Tidegate::start("access = \"none\"", dns.address());
    assert_both(&gate, "example.com:80", 403, "network_disabled", "http_request_denied");
}

#[test]
fn egress_6_7_ip_literal_not_allowed() {
    let dns = Dns::start();
    let gate = Tidegate::start("access = \"full\"", dns.address());
    for reply in assert_both(&gate, "8.8.8.8:80", 403, "ip_literal_not_allowed", "http_request_denied") {
        assert_eq!(reply.json()["host"], "8.8.8.8");
    }
    assert_both(&gate, "[2001:db8::1]:80", 403, "ip_literal_not_allowed", "http_request_denied");
}

#[test]
fn egress_6_7_address_not_allowed() {
    let dns = Dns::start();
    dns.say("allowed.test", Answer::of(&["10.1.2.3"]));
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    for reply in assert_both(&gate, "allowed.test:80", 403, "address_not_allowed", "destination_ip_prohibited") {
        assert!(reply.text().contains("10.1.2.3"), "{}", reply.text());
    }
    assert_both(&gate, "localhost:80", 403, "address_not_allowed", "destination_ip_prohibited");
}

#[test]
fn egress_6_7_port_not_allowed() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    for reply in assert_both(&gate, "allowed.test:22", 403, "port_not_allowed", "http_request_denied") {
        let json = reply.json();
        assert_eq!(json["port"], 22);
        assert!(json["allow_with"].as_str().is_some_and(|line| line.contains("\"allowed.test:22\"")), "{json}");
    }
}

#[test]
fn egress_6_7_bad_request() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    let reply = ask(gate.proxy(), "CONNECT a..b:443 HTTP/1.1\r\n\r\n");
    assert_refusal(&reply, 400, "bad_request", "http_request_error");
    assert_eq!(reply.header("connection"), Some("close"));
    let reply = ask(gate.proxy(), "nonsense\r\n\r\n");
    assert_refusal(&reply, 400, "bad_request", "http_request_error");
    assert_eq!(reply.json()["host"], json!(null));
}

#[test]
fn egress_6_7_https_without_a_tunnel_says_what_to_send_instead() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    let reply = ask(gate.proxy(), "GET https://allowed.test/x HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    assert_refusal(&reply, 400, "bad_request", "http_request_error");
    assert!(reply.text().contains("CONNECT allowed.test:443"), "{}", reply.text());
}

#[test]
fn egress_6_7_misdirected() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\", \"other.test\"]", dns.address());
    let reply = ask(gate.proxy(), "GET http://allowed.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_refusal(&reply, 421, "misdirected", "http_request_denied");
    let reply = ask(gate.proxy(), "CONNECT allowed.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_refusal(&reply, 421, "misdirected", "http_request_denied");
    assert_eq!(dns.asked(), []);
}

#[test]
fn egress_6_7_method_refused() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    let reply = ask(gate.proxy(), "TRACE http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    assert_refusal(&reply, 405, "method_refused", "http_request_denied");
    assert!(reply.header("allow").is_some());
}

#[test]
fn egress_6_7_opaque_tunnel_as_a_reply() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    let reply = ask_for(gate.proxy(), "allowed.test:443");
    assert_refusal(&reply, 403, "opaque_tunnel", "http_request_denied");
}

#[test]
fn egress_6_7_head_too_large_and_too_slow() {
    let dns = Dns::start();
    let gate = Setup::new("").dns(dns.address()).timeout("head = \"300ms\"").start();
    let reply = ask(gate.proxy(), format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "a".repeat(100_000)));
    assert_refusal(&reply, 431, "head_too_large", "http_request_error");
    assert_eq!(reply.header("connection"), Some("close"));
    let reply = ask(gate.proxy(), "GET http://a.test/ HTTP/1.1\r\n");
    assert_refusal(&reply, 408, "head_timeout", "http_request_error");
    assert_eq!(reply.header("connection"), Some("close"));
}

#[test]
fn egress_6_7_session_required_and_unknown() {
    let token = "0123456789abcdef0123456789abcdef";
    let gate = Setup::new("").listen("require_session = true").session("s1", token, "").start();
    for (lines, reason) in [("", "session_required"), ("Proxy-Authorization: Bearer wrong\r\n", "session_unknown")] {
        let reply = ask(gate.proxy(), format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n{lines}\r\n"));
        assert_refusal(&reply, 407, reason, "http_request_denied");
        assert!(reply.header("proxy-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{:?}", reply.headers);
        assert_eq!(reply.header("connection"), None, "the client asks again on the same connection");
    }
}

#[test]
fn egress_6_7_dns_failed() {
    let dns = Dns::start();
    dns.say("allowed.test", Answer::Failure);
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    assert_both(&gate, "allowed.test:80", 502, "dns_failed", "dns_error");
}

#[test]
fn egress_6_7_upstream_timeout() {
    let dns = Dns::start();
    dns.say("allowed.test", Answer::Silence);
    let gate = Setup::new("allow = [\"allowed.test\"]").dns(dns.address()).timeout("dns = \"300ms\"").start();
    for reply in [connect(&gate, "allowed.test:80"), ask_for(gate.proxy(), "allowed.test:80")] {
        assert_eq!(reply.verdict(), (504, "upstream_timeout"), "{}", reply.text());
        assert!(reply.header("proxy-status").is_some_and(|value| value.starts_with("tidegate; error=")), "{:?}", reply.headers);
    }
}

#[test]
fn egress_6_7_connect_failed() {
    let dns = Dns::loopback();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let policy = format!("allow = [\"allowed.test:{unused}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    let gate = Tidegate::start(policy, dns.address());
    assert_both(&gate, &format!("allowed.test:{unused}"), 502, "connect_failed", "connection_refused");
}

#[test]
fn egress_6_7_upstream_closed() {
    let origin = Origin::replying_once("");
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Tidegate::start(policy, dns.address());
    let reply = ask_for(gate.proxy(), &format!("allowed.test:{}", origin.port()));
    assert_refusal(&reply, 502, "upstream_closed", "connection_terminated");
}

#[test]
fn egress_6_7_loops_are_detected() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Tidegate::start(policy, dns.address());
    let authority = format!("allowed.test:{}", origin.port());
    assert_eq!(ask_for(gate.proxy(), &authority).status, 200);
    let sent = String::from_utf8(origin.received()).expect("text");
    let via = sent.lines().find(|line| line.to_ascii_lowercase().starts_with("via:")).expect("upstream sees who passed the request on");
    let looped = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{via}\r\n\r\n");
    assert_refusal(&ask(gate.proxy(), looped), 508, "loop_detected", "proxy_loop_detected");
    let other = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nVia: 1.1 squid\r\n\r\n");
    assert_eq!(ask(gate.proxy(), other).status, 200, "somebody else's Via is no loop");
}

#[test]
fn json_alone_where_it_is_asked_for() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    let reply = ask(gate.proxy(), "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nAccept: application/json\r\n\r\n");
    assert_eq!(reply.verdict(), (403, "host_not_allowed"));
    let whole: serde_json::Value = serde_json::from_slice(&reply.body).expect("nothing but JSON");
    assert_eq!(whole["reason"], "host_not_allowed");
    assert_eq!(reply.text().trim_end().lines().count(), 1);
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    let mut client = Client::connect(gate.proxy());
    client.send("HEAD http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.reply_to("HEAD").verdict(), (403, "host_not_allowed"));
    client.send(get("evil.test")).close_sending();
    let rest = client.rest();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 403 "), "neither closed nor in step: {}", rest.escape_ascii());
}

#[test]
fn the_rest_of_a_line_of_the_sandbox_is_escaped() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    let reply = ask(gate.proxy(), b"CONNECT \x1b[31m\"evil\":443 HTTP/1.1\r\n\r\n".as_slice());
    assert_refusal(&reply, 400, "bad_request", "http_request_error");
    assert!(!reply.body.contains(&0x1b), "{}", reply.text());
    assert!(reply.headers.iter().all(|(_, value)| value.bytes().all(|byte| (0x20..0x7f).contains(&byte))), "{:?}", reply.headers);
}

#[test]
fn an_origins_own_deny_reason_is_removed() {
    let reply = "HTTP/1.1 403 Forbidden\r\nX-Deny-Reason: forged\r\nx-deny-reason: again\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nno";
    let origin = Origin::replying(reply);
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Tidegate::start(policy, dns.address());
    let reply = ask_for(gate.proxy(), &format!("allowed.test:{}", origin.port()));
    assert_eq!((reply.status, reply.header("x-deny-reason"), reply.header("x-other")), (403, None, Some("1")));
    assert_eq!(reply.text(), "no");
}

//! What a sandbox is told of the rules it is held to, and that this is what happens.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Dns, Origin, Setup, Tidegate, client::ask};

const KEY: &str = "sk-real-0123456789abcdef0123456789";

fn gate(origin: &Origin, dns: &Dns) -> Tidegate {
    let policy = format!(
        r#"allow = [{{ host = "a.test:{port}", http = true }}, "b.test", {{ host = "c.test", intercept = true }}]
        [addresses]
        allow = ["127.0.0.0/8"]
        [[rule]]
        name = "reading"
        hosts = ["a.test"]
        methods = ["read-only"]
        paths = ["/org/**"]
        [[rule]]
        hosts = ["a.test"]
        methods = ["POST"]
        paths = ["/search"]
        max_request_body = "1 KiB"
        [[credential]]
        hosts = ["b.test"]
        header = "x-api-key"
        value = {{ env = "KEY" }}
        [limits]
        tunnels = 7"#,
        port = origin.port()
    );
    Setup::new(policy).dns(dns.address()).environment("KEY", KEY).start()
}

#[test]
fn a_session_says_which_hosts_are_read_and_by_which_rules() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let page = ask(gate.proxy(), "GET /session HTTP/1.1\r\nHost: x\r\n\r\n");
    let session: Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(session["limits"]["tunnels"], 7);
    assert_eq!(session["intercepted"], json!(["a.test", "b.test", "c.test"]));
    let rule = |number: usize| {
        let rule = &session["rules"][number];
        (&rule["rule"]["entry"], &rule["hosts"], &rule["methods"], &rule["paths"], &rule["max_request_body"])
    };
    let (hosts, none) = (json!(["a.test"]), Value::Null);
    assert_eq!(rule(0), (&json!("reading"), &hosts, &json!(["GET", "HEAD", "OPTIONS"]), &json!(["/org/**"]), &none));
    assert_eq!(rule(1), (&json!("rule 2"), &hosts, &json!(["POST"]), &json!(["/search"]), &json!(1024)));
    let credential = &session["credentials"][0];
    assert_eq!((&credential["hosts"], &credential["placement"]), (&json!(["b.test"]), &json!("header x-api-key: {}")));
    let front = ask(gate.proxy(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").text();
    for line in ["limits  connections 2048, tunnels 7", "  methods  GET, HEAD, OPTIONS\n", "  b.test  header x-api-key: {}"] {
        assert!(front.contains(line), "{line} is not in {front}");
    }
    for text in [page.text(), front] {
        assert!(!text.contains(KEY) && !text.contains("KEY"), "{text}");
    }
}

/// B19: the page that explains, and the wire.
#[test]
fn what_is_explained_is_what_happens() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let authority = format!("a.test:{}", origin.port());
    let mut reasons = Vec::new();
    for (method, path) in [
        ("GET", "/org/x"),
        ("OPTIONS", "/%6frg/x?q"),
        ("POST", "/search"),
        ("GET", "/search"),
        ("DELETE", "/org/x"),
        ("GET", "/else"),
        ("GET", "/org/../else"),
        ("GET", "/org/..%20/else"),
        ("GET", "/org/%EF%BC%8E%EF%BC%8E/else"),
        ("TRACE", "/org/x"),
    ] {
        let question = json!({ "target": format!("http://{authority}{path}"), "method": method }).to_string();
        let explained =
            ask(gate.proxy(), format!("POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{question}", question.len()));
        let explained: Value = serde_json::from_slice(&explained.body).unwrap();
        let happened = ask(gate.proxy(), format!("{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        let reason = happened.header("x-deny-reason").unwrap_or_default().to_owned();
        assert_eq!(explained["reason"].as_str().unwrap_or_default(), reason, "{method} {path}: {explained:#}");
        reasons.push(reason);
    }
    let passed = ["", "", ""];
    let refused =
        ["method_not_allowed", "method_not_allowed", "path_not_allowed", "bad_request", "bad_request", "bad_request", "method_refused"];
    assert_eq!(reasons, [passed.as_slice(), &refused].concat());
}

#[test]
fn threat_83_deep_json_is_refused_in_little_time_and_memory() {
    let gate = Tidegate::start("", Dns::loopback().address());
    let explain =
        |body: &str| ask(gate.proxy(), format!("POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(explain("\"x\"").status, 400);
    let (before, began) = (gate.peak_memory(), Instant::now());
    for (body, status) in [
        ("{".repeat(100_000), 413),
        ("[".repeat(16_000), 400),
        ("{\"target\":".repeat(1_600), 400),
        (format!("{{\"target\": {}\"a\"{}}}", "[".repeat(7_000), "]".repeat(7_000)), 400),
        (format!("{{\"a\": {}}}", "1".repeat(16_000)), 400),
        (format!("{{{}}}", vec!["\"target\": \"https://a.test/\""; 500].join(",")), 400),
    ] {
        let reply = explain(&body);
        assert_eq!(reply.status, status, "{body:.40}: {}", reply.text());
    }
    let (grown, took) = (gate.peak_memory() - before, began.elapsed());
    assert!(grown < 8 << 10 && took < Duration::from_secs(5), "{grown} KiB, {took:?}");
    let answered: Value = serde_json::from_slice(&explain("{\"target\": \"https://a.test/\"}").body).expect("JSON");
    assert_eq!(answered["reason"], "host_not_allowed");
}

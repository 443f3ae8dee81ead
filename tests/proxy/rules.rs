//! Rules finer than a host, over plain HTTP: methods, paths, bodies, and the spelling that reaches the origin.

use crate::harness::{Client, Dns, Origin, Reply, Setup, Tidegate, client::ask, tidegate::TIDEGATE};

const RULES: &str = r#"
[[rule]]
name = "read-only"
hosts = ["a.test"]
methods = ["GET", "HEAD"]
paths = ["/org/**"]
[[rule]]
name = "uploads"
hosts = ["a.test"]
methods = ["POST"]
paths = ["/upload"]
max_request_body = 4
"#;

fn gate(origin: &Origin, dns: &Dns) -> Tidegate {
    Tidegate::start(policy(origin), dns.address())
}

fn policy(origin: &Origin) -> String {
    let port = origin.port();
    format!("allow = [{{ host = \"a.test:{port}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{RULES}")
}

fn request(gate: &Tidegate, origin: &Origin, method: &str, path: &str, more: &str) -> Reply {
    let authority = format!("a.test:{}", origin.port());
    ask(gate.proxy(), format!("{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{more}"))
}

#[test]
fn threat_58_what_rules_let_through_reaches_the_origin_in_one_spelling() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    for (sent, leaves) in [("/org/x", "/org/x"), ("/%6frg/%7ex/%c3%a9?q=../%2e", "/org/~x/%C3%A9?q=../%2e"), ("/org/?q=../", "/org/?q=../")]
    {
        assert_eq!(request(&gate, &origin, "GET", sent, "\r\n").status, 200, "{sent}");
        let line = format!("GET {leaves} HTTP/1.1\r\n");
        origin.wait_for(|received| received.windows(line.len()).any(|window| window == line.as_bytes()));
    }
}

#[test]
fn threat_58_what_rules_refuse_does_not_reach_the_origin() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    for (method, path, expected) in [
        ("GET", "/org/../evil", (400, "bad_request")),
        ("GET", "/org/%2e%2e/evil", (400, "bad_request")),
        ("GET", "/org/.%2e/evil", (400, "bad_request")),
        ("GET", "/org/..;/evil", (400, "bad_request")),
        ("GET", "/org//x", (400, "bad_request")),
        ("GET", "//org/x", (400, "bad_request")),
        ("GET", "/org%2Fx", (400, "bad_request")),
        ("GET", "/org%252f..", (400, "bad_request")),
        ("GET", "/org/\\..\\evil", (400, "bad_request")),
        ("GET", "/org/%00", (400, "bad_request")),
        ("GET", "/org/x#f", (400, "bad_request")),
        ("GET", "/other", (403, "path_not_allowed")),
        ("GET", "/Org/x", (403, "path_not_allowed")),
        ("GET", "/upload", (403, "method_not_allowed")),
        ("POST", "/org/x", (403, "method_not_allowed")),
        ("get", "/org/x", (403, "method_not_allowed")),
        ("FOO", "/org/x", (403, "method_not_allowed")),
        ("TRACE", "/org/x", (405, "method_refused")),
    ] {
        assert_eq!(request(&gate, &origin, method, path, "\r\n").verdict(), expected, "{method} {path}");
    }
    origin.assert_untouched("a rule refused");
}

#[test]
fn a_refusal_names_the_rule_and_is_on_record() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let refusal = request(&gate, &origin, "POST", "/org/x", "\r\n");
    let facts = refusal.json();
    assert_eq!(
        (facts["reason"].as_str(), facts["rule"].as_str().map(|rule| rule.starts_with("read-only (policy.toml:"))),
        (Some("method_not_allowed"), Some(true)),
        "{facts}"
    );
    let remedy = format!("[[rule]]\nhosts = [\"a.test:{}\"]\nmethods = [\"POST\"]\npaths = [\"/org/x\"]", origin.port());
    assert_eq!(facts["allow_with"].as_str(), Some(&*remedy));
    let record = gate.wait_for_record(|record| record["reason"] == "method_not_allowed");
    assert_eq!(
        (record["method"].as_str(), record["path"].as_str(), record["verdict"].as_str()),
        (Some("POST"), Some("/org/x"), Some("deny"))
    );
    gate.reload(&format!("{}{remedy}\n", policy(&origin)));
    assert_eq!(request(&gate, &origin, "POST", "/org/x", "Content-Length: 0\r\n\r\n").status, 200, "the line that would allow it does");
}

#[test]
fn a_body_over_the_limit_is_refused_at_once_or_while_it_comes() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let announced = request(&gate, &origin, "POST", "/upload", "Content-Length: 5\r\n\r\n12345");
    assert_eq!(announced.verdict(), (413, "body_too_large"));
    origin.assert_untouched("its length was known");
    let streamed = request(&gate, &origin, "POST", "/upload", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nYZ\r\n0\r\n\r\n");
    assert_eq!(streamed.verdict(), (413, "body_too_large"));
    assert!(!origin.received().windows(2).any(|window| window == b"YZ"), "{}", origin.received().escape_ascii());
    assert!(!origin.received().ends_with(b"0\r\n\r\n"), "the origin must not take it for whole");
    for body in ["Content-Length: 4\r\n\r\n1234", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"] {
        assert_eq!(request(&gate, &origin, "POST", "/upload", body).status, 200, "{body:?}");
    }
}

#[test]
fn a_method_that_was_judged_cannot_be_overridden() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let fields = "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nx-method-override: DELETE\r\nX-Kept: 1\r\n\r\n";
    assert_eq!(request(&gate, &origin, "GET", "/org/x", fields).status, 200);
    let received = String::from_utf8_lossy(&origin.received()).to_ascii_lowercase();
    assert!(received.contains("x-kept: 1") && !received.contains("delete"), "{received}");
}

#[test]
fn rules_hold_inside_connect_where_the_port_speaks_http() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let authority = format!("a.test:{}", origin.port());
    let mut tunnel = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    assert_eq!(tunnel.send(format!("GET /%6frg/x HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().status, 200);
    assert_eq!(tunnel.send(format!("DELETE /org/x HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().verdict(), (403, "method_not_allowed"));
    let received = origin.received();
    assert!(received.starts_with(b"GET /org/x HTTP/1.1\r\n") && !received.windows(6).any(|window| window == b"DELETE"));
}

#[test]
fn report_mode_passes_everything_on_as_it_came() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = Setup::new(format!("report = true\n{}", policy(&origin))).dns(dns.address()).start();
    assert_eq!(request(&gate, &origin, "PUT", "/%6frg/x", "Content-Length: 0\r\n\r\n").status, 200);
    assert!(origin.received().starts_with(b"PUT /%6frg/x HTTP/1.1\r\n"));
    let record = gate.wait_for_record(|record| record["method"] == "PUT");
    assert_eq!((record["verdict"].as_str(), record["would_deny"].as_str()), (Some("allow"), Some("method_not_allowed")), "{record:#}");
}

#[test]
fn check_says_what_the_wire_says() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    for (method, path) in
        [("GET", "/org/x"), ("GET", "/org/../x"), ("GET", "/x"), ("PUT", "/org/x"), ("POST", "/upload"), ("HEAD", "/%6frg")]
    {
        let url = format!("http://a.test:{}{path}", origin.port());
        let policy = gate.path("policy.toml");
        let output = std::process::Command::new(TIDEGATE)
            .args(["check", "url", "--json", "--method", method, "--policy"])
            .arg(policy)
            .arg(&url)
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let wire = request(&gate, &origin, method, path, "Content-Length: 0\r\n\r\n");
        assert_eq!(said["reason"].as_str().unwrap_or_default(), wire.reason(), "{method} {path}: {said}");
    }
}

#[test]
fn a_reload_ends_a_request_that_a_rule_now_refuses() {
    let (origin, dns) = (Origin::silent(), Dns::loopback());
    let gate = gate(&origin, &dns);
    let authority = format!("a.test:{}", origin.port());
    let mut client = Client::connect(gate.proxy());
    client.send(format!("POST http://{authority}/upload HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 4\r\n\r\nab"));
    origin.wait_for(|received| received.ends_with(b"ab"));
    gate.reload(&policy(&origin).replace("[\"POST\"]", "[\"PUT\"]"));
    assert_eq!(client.reply().verdict(), (403, "method_not_allowed"));
    assert!(origin.received().ends_with(b"ab"));
}

#[test]
fn trailers_and_overrides_do_not_pass_what_was_judged() {
    let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
    let gate = gate(&origin, &dns);
    let overrides = "X-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n";
    let body = "Transfer-Encoding: chunked\r\nTrailer: x-http-method-override\r\n\r\n1\r\na\r\n0\r\nX-HTTP-Method-Override: DELETE\r\n\r\n";
    assert_eq!(request(&gate, &origin, "POST", "/upload", &format!("{overrides}{body}")).status, 200);
    let received = String::from_utf8(origin.received()).unwrap().to_ascii_lowercase();
    assert!(received.starts_with("post /upload http/1.1\r\n"), "{received}");
    assert!(!received.contains("delete") && !received.contains("admin"), "{received}");
}

//! Rules finer than a host, over plain HTTP: methods, paths, bodies, and the spelling that reaches the origin.

use crate::harness::{Client, Dns, Ground, Origin, Reply, Site, Tidegate, client::ask, origin::find, tidegate::TIDEGATE};

const RULES: &str = r#"
[[rule]]
name = "read-only"
hosts = [HOSTS]
methods = ["GET", "HEAD"]
paths = ["/org/**"]
[[rule]]
name = "uploads"
hosts = [HOSTS]
methods = ["POST"]
paths = ["/upload"]
max_request_body = 4
"#;

// ── by every way on which requests are read

fn ground() -> Ground {
    Ground::with(|| Origin::saying("from the origin"), RULES, |setup| setup)
}

/// A request up to the end of its Host.
fn begun(site: &Site<'_>, method: &str, path: &str) -> String {
    format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", site.target(path), site.authority())
}

#[test]
fn threat_58_what_rules_let_through_reaches_the_origin_in_one_spelling() {
    let ground = ground();
    for site in ground.sites() {
        for (sent, leaves) in
            [("/org/x", "/org/x"), ("/%6frg/%7ex/%c3%a9?q=../%2e", "/org/~x/%C3%A9?q=../%2e"), ("/org/?q=../", "/org/?q=../")]
        {
            let received = site.passes_on(site.get(sent));
            assert!(received.starts_with(&format!("GET {leaves} HTTP/1.1\r\n")), "{:?} {sent}: {received}", site.way);
        }
    }
}

#[test]
fn threat_58_what_rules_refuse_does_not_reach_the_origin() {
    let ground = ground();
    let long = format!("/org/{}", "x".repeat(8 * 1024));
    for site in ground.sites() {
        for (method, path, expected) in [
            ("GET", "/org/../evil", (400, "bad_request")),
            ("GET", "/org/%2e%2e/evil", (400, "bad_request")),
            ("GET", "/org/.%2e/evil", (400, "bad_request")),
            ("GET", "/org/..;/evil", (400, "bad_request")),
            ("GET", "/org//x", (400, "bad_request")),
            ("GET", "//org/x", (400, "bad_request")),
            ("GET", "/org%2Fx", (400, "bad_request")),
            ("GET", "/org%252f..", (400, "bad_request")),
            ("GET", "/org\\..\\evil", (400, "bad_request")),
            ("GET", "/org/\\..\\evil", (400, "bad_request")),
            ("GET", "/org/%00", (400, "bad_request")),
            ("GET", "/org/\u{ff}", (400, "bad_request")),
            ("GET", "/org/x#f", (400, "bad_request")),
            ("GET", "/other", (403, "path_not_allowed")),
            ("GET", "/Org/x", (403, "path_not_allowed")),
            ("GET", "/", (403, "path_not_allowed")),
            ("GET", "/upload", (403, "method_not_allowed")),
            ("POST", "/org/x", (403, "method_not_allowed")),
            ("get", "/org/x", (403, "method_not_allowed")),
            ("FOO", "/org/x", (403, "method_not_allowed")),
            ("TRACE", "/org/x", (405, "method_refused")),
            ("TRACK", "/org/x", (405, "method_refused")),
        ] {
            let reply = site.ask(format!("{}\r\n", begun(&site, method, path)));
            assert_eq!(reply.verdict(), expected, "{:?} {method} {path}", site.way);
        }
        // A path that no rule can judge is refused, whoever it is for.
        let reply = site.ask(format!("{}\r\n", begun(&site, "GET", &long)));
        assert!(matches!(reply.verdict(), (400, "bad_request") | (431, "head_too_large")), "{:?} {:?}", site.way, reply.verdict());
        site.assert_unasked("a rule refused");
    }
}

#[test]
fn egress_6_5_targets_that_are_no_paths() {
    let ground = ground();
    for site in ground.sites() {
        let authority = site.authority();
        for (line, expected) in [
            ("GET * HTTP/1.1".to_owned(), 400),
            (format!("GET {authority} HTTP/1.1"), 400),
            ("GET  HTTP/1.1".to_owned(), 400),
            ("GET org/x HTTP/1.1".to_owned(), 400),
            ("GET ?q HTTP/1.1".to_owned(), 400),
            ("OPTIONS * HTTP/1.1".to_owned(), 0),
        ] {
            let reply = site.ask(format!("{line}\r\nHost: {authority}\r\n\r\n"));
            let refused = if expected == 0 { (400..500).contains(&reply.status) } else { reply.status == expected };
            assert!(refused && !reply.reason().is_empty(), "{:?} {line}: {} {}", site.way, reply.status, reply.text());
        }
        site.assert_unasked("nothing that a rule could allow");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_at_once_or_while_it_comes() {
    let ground = ground();
    for site in ground.sites() {
        let upload = begun(&site, "POST", "/upload");
        let announced = site.ask(format!("{upload}Content-Length: 5\r\n\r\n12345"));
        assert_eq!(announced.verdict(), (413, "body_too_large"), "{:?}", site.way);
        site.assert_unasked("its length was known");
        let streamed = site.ask(format!("{upload}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nYZ\r\n0\r\n\r\n"));
        assert_eq!(streamed.verdict(), (413, "body_too_large"), "{:?}", site.way);
        let received = site.origin.received();
        assert_eq!(find(&received, b"YZ"), None, "{:?}: {}", site.way, received.escape_ascii());
        assert!(!received.ends_with(b"0\r\n\r\n"), "{:?}: the origin must not take it for whole", site.way);
        for body in ["Content-Length: 4\r\n\r\n1234", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"] {
            assert_eq!(site.ask(format!("{upload}{body}")).status, 200, "{:?} {body:?}", site.way);
        }
    }
}

#[test]
fn a_method_that_was_judged_cannot_be_overridden() {
    let ground = ground();
    for site in ground.sites() {
        let fields = "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nx-method-override: DELETE\r\nX-Kept: 1\r\n\r\n";
        let received = site.passes_on(format!("{}{fields}", begun(&site, "GET", "/org/x"))).to_ascii_lowercase();
        assert!(received.contains("x-kept: 1") && !received.contains("delete"), "{:?}: {received}", site.way);
    }
}

#[test]
fn trailers_and_overrides_do_not_pass_what_was_judged() {
    let ground = ground();
    for site in ground.sites() {
        let overrides = "X-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n";
        let body =
            "Transfer-Encoding: chunked\r\nTrailer: x-http-method-override\r\n\r\n1\r\na\r\n0\r\nX-HTTP-Method-Override: DELETE\r\n\r\n";
        let received = site.passes_on(format!("{}{overrides}{body}", begun(&site, "POST", "/upload"))).to_ascii_lowercase();
        assert!(received.starts_with("post /upload http/1.1\r\n"), "{:?}: {received}", site.way);
        assert!(!received.contains("delete") && !received.contains("admin"), "{:?}: {received}", site.way);
    }
}

#[test]
fn each_request_of_a_connection_is_held_to_the_rules() {
    let ground = ground();
    for site in ground.sites() {
        site.origin.forget();
        let mut client = site.client();
        assert_eq!(client.send(site.get("/%6frg/x")).reply().status, 200, "{:?}", site.way);
        let refused = client.send(format!("{}\r\n", begun(&site, "DELETE", "/org/x"))).reply();
        assert_eq!(refused.verdict(), (403, "method_not_allowed"), "{:?}", site.way);
        let received = site.origin.received();
        assert!(received.starts_with(b"GET /org/x HTTP/1.1\r\n") && find(&received, b"DELETE").is_none(), "{:?}", site.way);
    }
}

#[test]
fn report_mode_passes_everything_on_as_it_came() {
    // A key of the whole document stands before its first table.
    let ground = Ground::with(|| Origin::saying("from the origin"), RULES, |setup| setup.preface("report = true"));
    for site in ground.sites() {
        let before = site.gate.records().len();
        let received = site.passes_on(format!("{}Content-Length: 0\r\n\r\n", begun(&site, "PUT", "/%6frg/x")));
        assert!(received.starts_with("PUT /%6frg/x HTTP/1.1\r\n"), "{:?}: {received}", site.way);
        let record = site.gate.wait_for_record_after(before, |record| record["method"] == "PUT");
        let said = (record["verdict"].as_str(), record["would_deny"].as_str());
        assert_eq!(said, (Some("allow"), Some("method_not_allowed")), "{:?} {record:#}", site.way);
    }
}

// ── what does not differ by the way

fn gate(origin: &Origin, dns: &Dns) -> Tidegate {
    Tidegate::start(policy(origin), dns.address())
}

fn policy(origin: &Origin) -> String {
    let port = origin.port();
    format!(
        "allow = [{{ host = \"a.test:{port}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{}",
        RULES.replace("HOSTS", "\"a.test\"")
    )
}

fn request(gate: &Tidegate, origin: &Origin, method: &str, path: &str, more: &str) -> Reply {
    let authority = format!("a.test:{}", origin.port());
    ask(gate.proxy(), format!("{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{more}"))
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

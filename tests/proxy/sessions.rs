//! Who is asked who they are, and what a sandbox may learn about itself.

use serde_json::Value;

use crate::harness::{
    Client, Dns, Origin, Reply, Setup, Tidegate,
    client::{ask, ask_for, get},
    origin::find,
};

const TOKEN_1: &str = "first-token-0123456789abcdef0123456789";
const TOKEN_2: &str = "second-token-0123456789abcdef012345678";
const TOKEN_OLD: &str = "expired-token-0123456789abcdef01234567";

/// A proxy that asks everybody, with three sessions: one that may reach the origin, one that may not, and one that ended.
struct Ground {
    gate: Tidegate,
    origin: Origin,
    dns: Dns,
}

impl Ground {
    fn new() -> Self {
        let origin = Origin::saying("from the origin");
        let dns = Dns::loopback();
        let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
        let gate = Setup::new(policy)
            .dns(dns.address())
            .listen("require_session = true")
            .file("nothing.toml", "access = \"none\"")
            .session("s1", TOKEN_1, "")
            .session("s2", TOKEN_2, "policy = \"nothing.toml\"")
            .session("s3", TOKEN_OLD, "expires = 2020-01-01T00:00:00Z")
            .start();
        Self { gate, origin, dns }
    }

    fn authority(&self) -> String {
        format!("allowed.test:{}", self.origin.port())
    }

    /// A GET to the origin with this header line.
    fn ask_with(&self, line: &str) -> Reply {
        ask(self.gate.proxy(), with(&get(&self.authority()), line))
    }
}

/// A request with another header line.
fn with(request: &str, line: &str) -> String {
    let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    request.replacen("\r\n\r\n", &format!("\r\n{line}\r\n"), 1)
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Proxy-Authorization: Basic {encoded}")
}

fn bearer(token: &str) -> String {
    format!("Proxy-Authorization: Bearer {token}")
}

#[track_caller]
fn page(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

// ── who comes in

#[test]
fn the_token_as_password_for_any_user_and_as_bearer() {
    let ground = Ground::new();
    for line in [
        basic("x", TOKEN_1),
        basic("", TOKEN_1),
        basic("someone else", TOKEN_1),
        bearer(TOKEN_1),
        bearer(TOKEN_1).replace("Bearer", "bEARER"),
    ] {
        let reply = ground.ask_with(&line);
        assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin"), "{line}");
    }
    let sent = String::from_utf8(ground.origin.received()).unwrap().to_ascii_lowercase();
    assert!(!sent.contains("proxy-authorization") && !sent.contains("first-token"), "{sent}");
}

#[test]
fn connect_with_a_token() {
    let ground = Ground::new();
    let authority = ground.authority();
    for line in [basic("x", TOKEN_1), bearer(TOKEN_1)] {
        let mut client = Client::connect(ground.gate.proxy());
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{line}\r\n\r\n"));
        assert_eq!(client.reply_to("CONNECT").status, 200, "{line}");
    }
}

#[test]
fn without_a_token_407_and_then_the_same_connection_works() {
    let ground = Ground::new();
    let mut client = Client::connect(ground.gate.proxy());
    for request in [get(&ground.authority()), format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", ground.authority())] {
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let reply = client.send(&request).reply_to(&method);
        assert_eq!(reply.verdict(), (407, "session_required"), "{}", reply.text());
        assert!(reply.header("proxy-authenticate").is_some_and(|value| value.starts_with("Basic realm=")), "{:?}", reply.headers);
        let again = client.send(with(&request, &basic("x", TOKEN_1))).reply_to(&method);
        assert_eq!(again.status, 200, "as git does: {}", again.text());
    }
}

#[test]
fn threat_78_a_stranger_is_not_heard_for_ever() {
    let ground = Ground::new();
    for request in [get("allowed.test"), "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n".to_owned()] {
        let mut client = Client::connect(ground.gate.proxy());
        for last in [false, false, true] {
            let reply = client.send(&request).reply();
            assert_eq!(reply.verdict(), (407, "session_required"));
            assert_eq!(reply.header("connection") == Some("close"), last);
        }
        client.assert_closed();
    }
}

#[test]
fn a_407_to_a_request_with_a_body_stays_in_step_or_closes() {
    let ground = Ground::new();
    let authority = ground.authority();
    let mut client = Client::connect(ground.gate.proxy());
    let hidden = get(&authority);
    client.send(format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()));
    assert_eq!(client.reply().verdict(), (407, "session_required"));
    client.send(with(&get(&authority), &basic("x", TOKEN_1))).close_sending();
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 "), "{rest}");
}

#[test]
fn tokens_that_nobody_has() {
    let ground = Ground::new();
    let cut = &TOKEN_1[..TOKEN_1.len() - 1];
    let lines = [
        basic("x", "wrong"),
        basic("x", cut),
        basic("x", &format!("{TOKEN_1}x")),
        basic("x", &TOKEN_1.to_uppercase()),
        bearer("wrong"),
        bearer(cut),
    ];
    for line in lines {
        let reply = ground.ask_with(&line);
        assert_eq!(reply.verdict(), (407, "session_unknown"), "{line}: {}", reply.text());
        assert!(reply.header("proxy-authenticate").is_some());
    }
    assert_eq!(ground.dns.asked(), []);
    ground.origin.assert_untouched("no session");
}

#[test]
fn threat_93_credentials_that_are_none() {
    let ground = Ground::new();
    let twice = format!("{}\r\n{}", bearer(TOKEN_1), bearer(TOKEN_2));
    let lines = [
        "Proxy-Authorization: Basic !!!".to_owned(),
        "Proxy-Authorization: Basic".into(),
        "Proxy-Authorization:".into(),
        "Proxy-Authorization: Digest x".into(),
        format!("Proxy-Authorization: {TOKEN_1}"),
        bearer(&format!("{TOKEN_1} x")),
        twice,
        basic("x", &format!("{TOKEN_1}\0")),
        format!("Authorization: Bearer {TOKEN_1}"),
    ];
    for line in lines {
        let reply = ground.ask_with(&line);
        assert!(matches!(reply.status, 400 | 407), "{line}: {} {}", reply.status, reply.text());
        assert!(["bad_request", "session_required", "session_unknown"].contains(&reply.reason()), "{line}: {}", reply.reason());
    }
    ground.origin.assert_untouched("no session");
}

#[test]
fn a_session_that_has_ended() {
    let ground = Ground::new();
    let reply = ground.ask_with(&bearer(TOKEN_OLD));
    assert_eq!(reply.verdict(), (407, "session_expired"), "{}", reply.text());
    ground.origin.assert_untouched("it has ended");
}

#[test]
fn syntax_comes_before_the_session() {
    let ground = Ground::new();
    let reply = ask(ground.gate.proxy(), "CONNECT a..b:443 HTTP/1.1\r\n\r\n");
    assert_eq!(reply.verdict(), (400, "bad_request"));
}

#[test]
fn each_session_has_its_own_policy_and_name_in_the_records() {
    let ground = Ground::new();
    assert_eq!(ground.ask_with(&bearer(TOKEN_1)).status, 200);
    assert_eq!(ground.ask_with(&bearer(TOKEN_2)).verdict(), (403, "network_disabled"));
    let allowed = ground.gate.wait_for_record(|record| record["verdict"] == "allow");
    let refused = ground.gate.wait_for_record(|record| record["reason"] == "network_disabled");
    assert_eq!((&allowed["session"], &refused["session"]), (&Value::from("s1"), &Value::from("s2")));
}

#[test]
fn a_door_of_one_session_asks_nobody() {
    let dns = Dns::start();
    let gate = Setup::new("").dns(dns.address()).listen("session = \"s1\"").session("s1", TOKEN_1, "").start();
    assert_eq!(ask_for(gate.proxy(), "evil.test").verdict(), (403, "host_not_allowed"));
    assert_eq!(gate.wait_for_records(1)[0]["session"], "s1");
}

#[test]
fn a_token_from_the_environment() {
    let table = "[[session]]\nid = \"s1\"\ntoken = { env = \"TOKEN_OF_S1\" }";
    let gate = Setup::new("").listen("require_session = true").tables(table).environment("TOKEN_OF_S1", TOKEN_1).start();
    assert_eq!(ask(gate.proxy(), with(&get("evil.test"), &bearer(TOKEN_1))).verdict(), (403, "host_not_allowed"));
    assert_eq!(ask(gate.proxy(), with(&get("evil.test"), &bearer(TOKEN_2))).verdict(), (407, "session_unknown"));
}

#[test]
fn without_sessions_everybody_is_anonymous() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    assert_eq!(ask_for(gate.proxy(), "evil.test").verdict(), (403, "host_not_allowed"));
    let record = &gate.wait_for_records(1)[0];
    assert!(record.get("session").is_some(), "{record:#}");
}

#[test]
fn a_tunnel_ends_with_its_session() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let gate = Setup::new(policy)
        .dns(dns.address())
        .listen("require_session = true")
        .session("s1", TOKEN_1, &format!("expires = {soon:.3}"))
        .start();
    let authority = format!("allowed.test:{}", origin.port());
    let mut client = Client::connect(gate.proxy());
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n\r\n", bearer(TOKEN_1)));
    assert_eq!(client.reply_to("CONNECT").status, 200);
    assert_eq!(client.send("x").exactly(1), b"x");
    client.rest();
    assert!(jiff::Timestamp::now() >= soon, "not before its time");
    gate.wait_for_record(|record| record["reason"] == "session_expired" && record["bytes_up"] == 1);
}

#[test]
fn threat_68_sessions_share_no_upstream_connection() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let setup = Setup::new(policy).dns(dns.address()).listen("require_session = true");
    let gate = setup.session("s1", TOKEN_1, "").session("s2", TOKEN_2, "").start();
    for (path, token) in [("/first", TOKEN_1), ("/second", TOKEN_2)] {
        let request = get(&format!("allowed.test:{}", origin.port())).replacen("/ HTTP", &format!("{path} HTTP"), 1);
        assert_eq!(ask(gate.proxy(), with(&request, &bearer(token))).status, 200);
    }
    for connection in origin.connections() {
        let paths = [&b"/first"[..], b"/second"].iter().filter(|path| find(&connection, path).is_some()).count();
        assert!(paths < 2, "{}", connection.escape_ascii());
    }
}

// ── the pages

#[test]
fn a_page_for_people() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    for request in [
        get("tidegate.internal"),
        "GET / HTTP/1.1\r\nHost: anything.test\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".into(),
    ] {
        let reply = ask(gate.proxy(), request);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("Tidegate") && reply.text().contains("/refusals"), "{}", reply.text());
        assert!(reply.header("content-type").is_some_and(|value| value.starts_with("text/")));
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    }
    assert_eq!(dns.asked(), [], "tidegate.internal is no name of the world's");
}

#[test]
fn the_pages_inside_a_tunnel() {
    let dns = Dns::start();
    let gate = Tidegate::start("access = \"none\"", dns.address());
    let mut client = Client::tunnel(gate.proxy(), "tidegate.internal:80").expect("a tunnel, at every level");
    for path in ["/", "/session"] {
        let reply = client.send(format!("GET {path} HTTP/1.1\r\nHost: tidegate.internal\r\n\r\n")).reply();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    assert_eq!(dns.asked(), []);
}

#[test]
fn what_this_sandbox_may_do() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\", \"*.wild.test\"]\ndeny = [\"bad.wild.test\"]", dns.address());
    for request in [get("tidegate.internal").replace(".internal/", ".internal/session"), "GET /session HTTP/1.1\r\nHost: x\r\n\r\n".into()]
    {
        let session = page(&ask(gate.proxy(), request));
        let text = session.to_string();
        for entry in ["allowed.test", "*.wild.test", "bad.wild.test", "custom"] {
            assert!(text.contains(entry), "{entry} in {text}");
        }
        assert_eq!(session["generation"], 1);
    }
}

#[test]
fn what_was_refused_lately() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    for number in 0..3 {
        ask_for(gate.proxy(), &format!("evil-{number}.test"));
    }
    assert!(Client::tunnel(gate.proxy(), "evil-3.test:443").is_err());
    let refusals = page(&ask(gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n"));
    let all = refusals.as_array().expect("a list");
    assert_eq!(all.len(), 4, "{refusals:#}");
    for number in 0..4 {
        let host = format!("evil-{number}.test");
        let one = all.iter().find(|one| one["host"] == host.as_str()).unwrap_or_else(|| panic!("{host} in {refusals:#}"));
        assert_eq!(one["reason"], "host_not_allowed");
        assert!(one["allow_with"].as_str().is_some_and(|line| line.contains(&host)), "{one:#}");
    }
}

#[test]
fn only_the_latest_hundred_refusals() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    for number in 0..130 {
        ask_for(gate.proxy(), &format!("evil-{number}.test"));
    }
    let refusals = page(&ask(gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(refusals.as_array().map(Vec::len), Some(100));
    assert!(refusals.to_string().contains("evil-129.test") && !refusals.to_string().contains("evil-29.test"));
}

#[test]
fn whether_something_would_pass() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"allowed.test\"]", dns.address());
    for (target, verdict, reason) in [
        ("https://allowed.test/", "allow", Value::Null),
        ("http://allowed.test/", "allow", Value::Null),
        ("https://evil.test/", "deny", "host_not_allowed".into()),
        ("https://allowed.test:22/", "deny", "port_not_allowed".into()),
        ("https://127.0.0.1/", "deny", "ip_literal_not_allowed".into()),
    ] {
        let body = format!("{{\"target\": \"{target}\"}}");
        let reply = ask(gate.proxy(), format!("POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let answer = page(&reply);
        assert_eq!(
            (&answer["verdict"], answer.get("reason").unwrap_or(&Value::Null)),
            (&Value::from(verdict), &reason),
            "{target}: {answer:#}"
        );
    }
    assert_eq!(dns.asked(), [], "to ask is not to resolve");
}

#[test]
fn questions_that_are_none() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    for body in ["", "not json at all {", "{}", "[]", "{\"target\": 1}", "\u{0}"] {
        let reply = ask(gate.proxy(), format!("POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.text());
    }
    let huge = "a".repeat(10_000_000);
    let mut client = Client::connect(gate.proxy());
    let reply = client.send(format!("POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", huge.len())).send(huge).reply();
    assert_eq!(reply.verdict(), (413, "body_too_large"), "{}", reply.text());
}

#[test]
fn pages_that_there_are_not() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    for path in ["/nothing", "/metrics", "/sessions", "/session/", "/../etc/passwd", "/livez"] {
        let reply = ask(gate.proxy(), format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
}

#[test]
fn a_sandbox_sees_its_own_session_only() {
    let ground = Ground::new();
    let page_of = |path: &str, token: &str| {
        let request = with(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), &bearer(token));
        ask(ground.gate.proxy(), request).text()
    };
    ask(ground.gate.proxy(), with(&get("only-first.test"), &bearer(TOKEN_1)));
    ask(ground.gate.proxy(), with(&get("only-second.test"), &bearer(TOKEN_2)));
    let (first, second) = (page_of("/refusals", TOKEN_1), page_of("/refusals", TOKEN_2));
    assert!(first.contains("only-first.test") && !first.contains("only-second.test"), "{first}");
    assert!(second.contains("only-second.test") && !second.contains("only-first.test"), "{second}");
    let (first, second) = (page_of("/session", TOKEN_1), page_of("/session", TOKEN_2));
    assert!(first.contains("allowed.test") && !second.contains("allowed.test"), "{second}");
    for page in [first, second] {
        assert!(!page.contains(TOKEN_1) && !page.contains(TOKEN_2), "{page}");
    }
}

#[test]
fn pages_ask_for_the_session_too() {
    let ground = Ground::new();
    for path in ["/", "/session", "/refusals"] {
        let reply = ask(ground.gate.proxy(), format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(reply.verdict(), (407, "session_required"), "{path}");
    }
}

// ── threat 87: no token anywhere

#[test]
fn threat_87_tokens_stand_in_no_record_reply_metric_or_log() {
    let ground = Ground::new();
    let wrong = "wrong-token-0123456789abcdef0123456789";
    let mut said = String::new();
    for line in [bearer(TOKEN_1), basic("x", TOKEN_2), bearer(wrong), basic(wrong, wrong), bearer(TOKEN_OLD)] {
        said += &ground.ask_with(&line).text();
        let request = with(
            &get("evil.test").replace("evil.test/", "evil.test/path?query-secret"),
            &format!("{line}\r\nCookie: cookie-secret\r\nX-H: header-secret"),
        );
        said += &ask(ground.gate.proxy(), request).text();
    }
    ground.gate.wait_for_records(10);
    said += &ground.gate.audit_text();
    said += &ground.gate.metrics();
    said += &ground.gate.stdout();
    let stderr = ground.gate.finish();
    for secret in [TOKEN_1, TOKEN_2, TOKEN_OLD, wrong, "query-secret", "cookie-secret", "header-secret"] {
        let encoded = basic("x", secret).split(' ').next_back().unwrap_or_default().to_owned();
        assert!(!said.contains(secret) && !stderr.contains(secret), "{secret}");
        assert!(!said.contains(&encoded) && !stderr.contains(&encoded), "{secret} in base64");
    }
}

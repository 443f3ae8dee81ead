//! A sandbox asks its owner for a host, and gets it while it runs: real requests, the real command, the real admin socket.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{
    Client, Dns, Origin, Reply, Setup, Tidegate,
    client::{ask, get},
    program::{program, run},
    tidegate::TIDEGATE,
};

const ONE: &str = "one-token-one-token-one-token-one-token";
const POLICY: &str = "deny = [\"denied.test\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]";
const TWO: &str = "two-token-two-token-two-token-two-token";

/// Two sessions whose policy allows nothing but what their owner grants, and an owner.
struct Ground {
    gate: Tidegate,
    origin: Origin,
    _dns: Dns,
}

impl Ground {
    fn new() -> Self {
        Self::listening("admin = \"unix:admin.sock\"")
    }

    fn listening(admin: &str) -> Self {
        Self::with(|setup| setup.listen(admin))
    }

    fn with(more: impl Fn(Setup) -> Setup) -> Self {
        let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
        let setup = more(Setup::new(POLICY).dns(dns.address()).listen("require_session = true"));
        let gate = setup.session("one", ONE, "").session("two", TWO, "").start();
        Self { gate, origin, _dns: dns }
    }

    fn host(&self) -> String {
        format!("wanted.test:{}", self.origin.port())
    }

    fn page(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n");
        ask(self.gate.proxy(), head + body)
    }

    fn request(&self, token: &str, body: &Value) -> (u16, Value) {
        let reply = self.page(token, "POST", "/request-access", &body.to_string());
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    fn session_page(&self, token: &str) -> Value {
        serde_json::from_slice(&self.page(token, "GET", "/session", "").body).expect("JSON")
    }

    /// A CONNECT to the origin, by which its words come, or the refusal of one.
    fn connect(&self, token: &str) -> Result<Client, Reply> {
        let (mut client, authority) = (Client::connect(self.gate.proxy()), self.host());
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Bearer {token}\r\n\r\n"));
        let reply = client.reply_to("CONNECT");
        if reply.status == 200 { Ok(client) } else { Err(reply) }
    }

    fn owner(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.gate.path("tidegate.toml");
        Command::new(TIDEGATE).args(["session", command, "--config"]).arg(config).args(rest).output().expect("tidegate runs")
    }

    /// What the owner read: stdout and stderr of a command that did what it should.
    #[track_caller]
    fn owned(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.owner(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{arguments:?}: {said}");
        said
    }
}

#[test]
fn a_host_is_refused_asked_for_granted_and_reached_without_a_restart() {
    let mut ground = Ground::new();
    let refusal = ground.connect(ONE).err().expect("nothing is allowed");
    assert_eq!(refusal.verdict(), (403, "host_not_allowed"));
    assert!(refusal.text().contains("ask the owner for it: POST /request-access"), "{}", refusal.text());
    let (status, asked) = ground.request(ONE, &json!({"host": ground.host(), "why": "for its words"}));
    assert_eq!((status, &asked["id"], &asked["state"]), (202, &json!("one/1"), &json!("pending")), "{asked:#}");
    assert_eq!(ground.connect(ONE).err().expect("asking is not having").reason(), "host_not_allowed");
    let listed = ground.owned(&["requests"]);
    assert_eq!(listed, format!("one/1  pending  to reach {}: \"for its words\"\n", ground.host()));
    let granted = ground.owned(&["grant", "one/1"]);
    for text in ["session one asks to reach wanted.test", "the sandbox says: \"for its words\"", "allow = [\"wanted.test:", "is granted"] {
        assert!(granted.contains(text), "{text} in {granted}");
    }
    let mut tunnel = ground.connect(ONE).expect("it is granted");
    assert!(tunnel.send(get(&ground.host())).reply_to("GET").text().contains("from the origin"));
    let proxy = format!("http://x:{ONE}@{}", ground.gate.proxy());
    let url = format!("http://{}/", ground.host());
    let curl = run(program("curl").args(["-sS", "--max-time", "30", "--noproxy", "", "-x", &proxy, "-p", &url]), "curl");
    assert_eq!(curl.stdout, "from the origin", "{}", curl.said);
    assert_eq!(ground.connect(TWO).err().expect("another session has nothing of it").reason(), "host_not_allowed");
    let (status, again) = ground.request(ONE, &json!({"host": ground.host()}));
    assert_eq!((status, &again["state"]), (200, &json!("allowed")));
    let records = |path: &str| ground.gate.wait_for_record(|record| record["kind"] == "admin" && record["path"] == path);
    let (made, decided) = (records("/request-access"), records("/sessions/one/requests/1/grant"));
    for record in [&made, &decided] {
        assert_eq!((&record["session"], &record["host"], &record["verdict"]), (&json!("one"), &json!("wanted.test"), &json!("allow")));
    }
    assert_eq!((&made["door"], &decided["door"]), (&json!("proxy"), &json!("admin")));

    drop(tunnel);
    ground.gate.crash_and_restart();
    assert!(ground.connect(ONE).is_ok(), "a restart keeps it");
    ground.gate.reload(POLICY);
    let mut tunnel = ground.connect(ONE).expect("a reload keeps it");
    let sheet = ground.owned(&["show", "one"]);
    assert!(sheet.contains("one/1  granted  to reach wanted.test"), "{sheet}");
    ground.owned(&["grant", "--deny", "--word", "no longer", "one/1"]);
    tunnel.rest();
    assert_eq!(ground.connect(ONE).err().expect("taken back").reason(), "host_not_allowed");
    let page = ground.session_page(ONE);
    assert_eq!((&page["requests"][0]["state"], &page["requests"][0]["word"]), (&json!("denied"), &json!("no longer")), "{page:#}");
}

#[test]
fn a_session_sees_and_uses_its_own_requests_only() {
    let ground = Ground::new();
    ground.request(ONE, &json!({"host": "secret-project.example", "why": "mine"}));
    let page = ground.session_page(TWO);
    assert_eq!((&page["requests"], &page["asking"]), (&json!([]), &json!(true)));
    assert!(!page.to_string().contains("secret-project"));
    let denied = ground.owned(&["grant", "--deny", "--word", "ask \u{1b}[31mlater", "one/1"]);
    assert!(denied.contains("request one/1 is denied") && !denied.contains("allow = "), "{denied}");
    let (status, again) = ground.request(ONE, &json!({"host": "secret-project.example", "why": "please"}));
    assert_eq!(
        (status, &again["state"], &again["word"]),
        (200, &json!("denied"), &json!("ask \\u{1b}[31mlater")),
        "not asked anew: {again:#}"
    );
    for (line, code) in [("two/1", 1), ("one/2", 1), ("none/1", 1)] {
        let said = ground.owner(&["grant", line]);
        assert_eq!(said.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn what_the_owner_reads_moves_no_terminal() {
    let ground = Ground::new();
    let why = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nrequest one/9 is granted \u{202e}\u{9b}1A\u{200b}";
    assert_eq!(ground.request(ONE, &json!({"host": "a.example", "why": why})).0, 202);
    for arguments in [&["requests"][..], &["requests", "--json"], &["show", "one"], &["list", "--json"], &["grant", "one/1"]] {
        let text = ground.owned(arguments);
        let odd: Vec<_> =
            text.chars().filter(|letter| letter.escape_debug().len() > 1 && !matches!(letter, '\n' | '"' | '\\' | '\'')).collect();
        assert!(odd.is_empty(), "{arguments:?}: {odd:?} in {text:?}");
        assert!(!text.contains("\nrequest one/9"), "{text}");
    }
    assert_eq!(ground.session_page(ONE)["requests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_granted_is_not_asked() {
    let ground = Ground::new();
    for (body, status, said) in [
        ("", 400, "no JSON object"),
        ("[]", 400, "no JSON object"),
        (r#"{"host": "*.example.com"}"#, 400, "cannot be asked for"),
        (r#"{"host": "a.example", "host": "b.example"}"#, 400, "duplicate"),
        (r#"{"host": "a.example", "policy": "x"}"#, 400, "unknown field"),
        (r#"{"host": "denied.test"}"#, 409, "host_denied"),
        (r#"{"host": "169.254.169.254"}"#, 409, "address_not_allowed"),
        (r#"{"host": "localhost"}"#, 409, "address_not_allowed"),
        (r#"{"repository": "octo/spoon"}"#, 409, "knows of no GitHub"),
    ] {
        let reply = ground.page(ONE, "POST", "/request-access", body);
        assert!(reply.status == status && reply.text().contains(said), "{body}: {reply:?} {}", reply.text());
    }
    let long = json!({"host": "a.example", "why": "x".repeat(5000)}).to_string();
    assert_eq!(ground.page(ONE, "POST", "/request-access", &long).status, 400);
    assert_eq!(ground.page(ONE, "POST", "/request-access", &" ".repeat(20_000)).verdict(), (413, "body_too_large"));
    assert_eq!(ground.page(ONE, "GET", "/request-access", "").status, 405);
    assert_eq!(ground.owned(&["requests"]), "");
}

#[test]
fn requests_are_bounded_in_number_and_rate() {
    let ground = Ground::new();
    for number in 0..20 {
        assert_eq!(ground.request(ONE, &json!({"host": format!("h{number}.example")})).0, 202);
    }
    let more = json!({"host": "more.example"}).to_string();
    let reply = ground.page(ONE, "POST", "/request-access", &more);
    assert_eq!((reply.verdict(), reply.header("retry-after")), ((429, "rate_limited"), Some("60")), "{}", reply.text());
    assert_eq!(ground.request(ONE, &json!({"host": "h3.example"})).0, 202, "the same is no new one");
    assert_eq!(ground.request(TWO, &json!({"host": "h3.example"})).0, 202, "another session's are its own");
    for number in 1..=20 {
        ground.owned(&["grant", "--deny", &format!("one/{number}")]);
    }
    for number in 20..40 {
        assert_eq!(ground.request(ONE, &json!({"host": format!("h{number}.example")})).0, 202);
    }
    ground.owned(&["grant", "one/40"]);
    let reply = ground.page(ONE, "POST", "/request-access", &more);
    assert_eq!(reply.verdict(), (429, "rate_limited"), "{}", reply.text());
    let wait: u64 = reply.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(ground.owned(&["requests", "one"]).lines().filter(|line| line.contains("pending")).count(), 19);
}

/// No remedy is named that is not there.
#[test]
fn without_an_owner_nobody_is_told_to_ask() {
    let ground = Ground::listening("");
    let refusal = ground.connect(ONE).err().expect("nothing is allowed");
    assert!(!refusal.text().contains("request-access") && refusal.text().contains("allow = [\"wanted.test"), "{}", refusal.text());
    assert!(!ground.page(ONE, "GET", "/", "").text().contains("request-access"));
    assert_eq!(ground.session_page(ONE)["asking"], false);
    let (status, said) = ground.request(ONE, &json!({"host": "a.example"}));
    assert!(status == 404 && said["detail"].as_str().is_some_and(|text| text.contains("allow = [\"a.example\"]")), "{said:#}");
}

/// What nobody could ask for, because no owner could lift it.
#[test]
fn where_asking_is_of_no_use_it_is_not_advised() {
    let ground = Ground::new();
    for authority in ["denied.test:443", "127.0.0.1:443", "localhost:443"] {
        let reply = ask(
            ground.gate.proxy(),
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Bearer {ONE}\r\n\r\n"),
        );
        assert!(reply.status == 403 && !reply.text().contains("request-access"), "{}", reply.text());
    }
}

#[test]
fn what_cannot_be_recorded_is_not_asked() {
    let ground = Ground::with(|setup| setup.listen("admin = \"unix:admin.sock\"").audit("file = \"/dev/full\""));
    let reply = ground.page(ONE, "POST", "/request-access", r#"{"host": "a.example"}"#);
    assert_eq!(reply.verdict(), (503, "audit_unavailable"), "{}", reply.text());
    assert_eq!(ground.session_page(ONE)["requests"], json!([]));
}

//! Sessions made, kept and revoked while the proxy runs: over the admin socket, with the real commands.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    Client, Dns, Origin, PATIENCE, Reply, Setup, Tidegate,
    client::{ask, get},
    eventually,
    program::{program, run},
    tidegate::TIDEGATE,
};

/// A proxy that asks everybody, whose sessions are made over its admin socket; one stands in the configuration.
struct Ground {
    gate: Tidegate,
    origin: Origin,
    _dns: Dns,
}

impl Ground {
    fn new() -> Self {
        Self::with(Origin::saying("from the origin"), |setup| setup)
    }

    fn with(origin: Origin, more: impl Fn(Setup) -> Setup) -> Self {
        let dns = Dns::loopback();
        let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
        let setup =
            Setup::new(policy).dns(dns.address()).listen("admin = \"unix:admin.sock\"").listen("require_session = true").tables(CONFIGURED);
        Self { gate: more(setup).start(), origin, _dns: dns }
    }

    fn authority(&self) -> String {
        format!("allowed.test:{}", self.origin.port())
    }

    /// A GET to the origin with this token.
    fn ask_with(&self, token: &str) -> Reply {
        let line = format!("\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
        ask(self.gate.proxy(), get(&self.authority()).replacen("\r\n\r\n", &line, 1))
    }

    /// `tidegate session …` with the configuration of this proxy.
    fn session(&self, arguments: &[&str]) -> Said {
        let config = self.gate.path("tidegate.toml");
        let (command, rest) = arguments.split_first().expect("a command");
        said(Command::new(TIDEGATE).args(["session", command, "--config"]).arg(config).args(rest))
    }

    #[track_caller]
    fn token_of(&self, arguments: &[&str]) -> String {
        let said = self.session(arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let token = said.out.strip_suffix('\n').expect("a line").to_owned();
        assert!(token.starts_with("v4.public.") && !token.contains(char::is_whitespace), "the token and nothing else: {token}");
        token
    }

    /// The session whose only proof is a signed token, made anew.
    #[track_caller]
    fn create(&self, id: &str) -> String {
        self.token_of(&["create", "--id", id, "--ttl", "8h"])
    }

    /// One request on the admin socket: status and JSON.
    fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.admin_raw(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn admin_raw(&self, request: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(self.gate.path("admin.sock")).expect("the admin socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // Whoever sends too much is answered before its end.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer to {request:.80}: {answer}"));
        (head[9..12].parse().expect("a status"), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("tidegate runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

const CONFIGURED: &str =
    "[[session]]\nid = \"configured\"\n[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/x\"]\n";

#[test]
fn a_session_is_made_used_and_still_there_after_a_crash() {
    let mut ground = Ground::new();
    let made = ground.session(&["create", "--id", "s2", "--ttl", "8h", "--repo", "octo/spoon:agent/fix-1", "--repo", "octo/fork"]);
    assert!(made.code == Some(0) && made.err.starts_with("session s2 is made, it ends at "), "{}", made.err);
    let token = made.out.trim_end().to_owned();
    for _ in 0..2 {
        assert_eq!(ground.ask_with(&token).text(), "from the origin");
        let proxy = format!("http://x:{token}@{}", ground.gate.proxy());
        let url = format!("http://{}/", ground.authority());
        let curl = run(program("curl").args(["-sS", "--max-time", "30", "--noproxy", "", "-x", &proxy, &url]), "curl");
        assert_eq!(curl.stdout, "from the origin", "{}", curl.said);
        let user = BASE64_STANDARD.encode(format!("{token}:"));
        let line = format!("\r\nProxy-Authorization: Basic {user}\r\n\r\n");
        assert_eq!(ask(ground.gate.proxy(), get(&ground.authority()).replacen("\r\n\r\n", &line, 1)).status, 200, "as the user name");
        let (status, shown) = ground.admin("GET", "/sessions/s2", "");
        let granted = &shown["repositories"];
        assert_eq!(
            (status, &shown["state"], &granted[0]["push"]),
            (200, &json!("active"), &json!(["refs/heads/agent/fix-1"])),
            "{shown:#}"
        );
        assert_eq!((&granted[1]["name"], &granted[1]["access"]), (&json!("octo/fork"), &json!("read")));
        ground.gate.crash_and_restart();
    }
    let again = ground.token_of(&["token", "s2"]);
    assert_eq!(ground.ask_with(&again).status, 200);
}

#[test]
fn a_session_of_the_configuration_has_a_token_too() {
    let ground = Ground::new();
    let token = ground.token_of(&["token", "configured"]);
    assert_eq!(ground.ask_with(&token).status, 200);
    let sheet = ground.session(&["show", "configured"]).out;
    for text in ["configured", "active", "configuration", "signed", "write octo/spoon", "refs/heads/x"] {
        assert!(sheet.contains(text), "{text} in\n{sheet}");
    }
    let json: Value = serde_json::from_str(&ground.session(&["list", "--json"]).out).expect("JSON");
    assert_eq!((&json[0]["id"], &json[0]["origin"]), (&json!("configured"), &json!("configuration")));
    assert!(ground.session(&["list"]).out.starts_with("ID  "));
}

#[test]
fn the_path_of_a_repository_is_shown_to_the_owner_only() {
    let ground = Ground::new();
    let wish = json!({"id": "s2", "repositories": [{"name": "octo/spoon", "upstream_path": "/srv/spoon.git"}]});
    let (status, made) = ground.admin("POST", "/sessions", &wish.to_string());
    let token = made["token"].as_str().expect("a token");
    assert_eq!((status, &made["session"]["repositories"][0]["upstream_path"]), (201, &json!("/srv/spoon.git")));
    let page = ask(ground.gate.proxy(), format!("GET /session HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {token}\r\n\r\n"));
    let page = page.text();
    assert!(page.contains("octo/spoon") && !page.contains("upstream_path") && !page.contains("srv"), "{page}");
}

#[test]
fn threat_97_a_revoked_session_ends_within_a_second_and_for_good() {
    let mut ground = Ground::with(Origin::echoing(), |setup| setup);
    let (token, other) = (ground.create("s2"), ground.create("s3"));
    let tunnel = |token: &str| {
        let mut client = Client::connect(ground.gate.proxy());
        let authority = ground.authority();
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Bearer {token}\r\n\r\n"));
        assert_eq!(client.reply_to("CONNECT").status, 200);
        assert_eq!(client.send("x").exactly(1), b"x");
        client
    };
    let (mut ended, mut kept) = (tunnel(&token), tunnel(&other));
    let since = Instant::now();
    let said = ground.session(&["revoke", "s2"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", "session s2 is revoked\n"));
    ended.rest();
    let refusal = ground.ask_with(&token);
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    assert_eq!(refusal.verdict(), (407, "session_revoked"), "{}", refusal.text());
    assert_eq!(kept.send("still here").exactly(10), b"still here");
    ground.gate.wait_for_record(|record| record["session"] == "s2" && record["reason"] == "session_revoked");
    drop((ended, kept));
    assert_eq!(ground.session(&["revoke", "configured"]).code, Some(0));
    ground.gate.crash_and_restart();
    assert_eq!(ground.ask_with(&token).verdict(), (407, "session_revoked"));
    for id in ["s2", "configured"] {
        assert_eq!(ground.admin("GET", &format!("/sessions/{id}"), "").1["state"], "revoked");
        let said = ground.session(&["token", id]);
        assert!(said.code == Some(1) && said.out.is_empty() && said.err.contains("session_revoked"), "{}", said.err);
    }
}

#[test]
fn a_session_that_expires() {
    let ground = Ground::new();
    let token = ground.token_of(&["create", "--id", "s2", "--ttl", "2s"]);
    let mut last = ground.ask_with(&token);
    let since = Instant::now();
    while last.status == 200 && since.elapsed() < PATIENCE {
        last = ground.ask_with(&token);
    }
    assert_eq!(last.verdict(), (407, "session_expired"), "{}", last.text());
}

#[test]
fn threat_90_tokens_that_nobody_here_signed() {
    let (ground, elsewhere) = (Ground::new(), Ground::new());
    let (token, foreign) = (ground.create("s2"), elsewhere.create("s2"));
    assert_eq!(ground.ask_with(&token).status, 200);
    let connections = ground.origin.connections();
    let parts: Vec<&str> = token.split('.').collect();
    let footer = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let payload = footer(r#"{"aud":"tidegate-session","sid":"s2","iat":1}"#);
    for forged in [
        foreign,
        format!("v4.public.{}.{}", parts[2], footer(r#"{"kid":"../../dev/null"}"#)),
        format!("v4.public.{}.{}", parts[2], footer(r#"{"kid":"nobody"}"#)),
        format!("v4.public.{}.{}", parts[2], footer(r#"{"kid":"k","jku":"http://evil.test/"}"#)),
        format!("v4.public.{payload}.{}", parts[3]),
        format!("v4.public.{payload}{}.{}", "A".repeat(86), parts[3]),
        format!("v4.local.{}.{}", parts[2], parts[3]),
        format!("v2.public.{}.{}", parts[2], parts[3]),
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("{token}.{}", parts[3]),
        format!("{token}="),
        token[..token.len() - 1].to_owned(),
        format!("v4.public.{}.{}", "A".repeat(4000), parts[3]),
        parts[..3].join("."),
        token.replacen(&parts[2][..4], &parts[2][..4].to_ascii_uppercase(), 1),
    ] {
        let reply = ground.ask_with(&forged);
        assert_eq!(reply.verdict(), (407, "session_unknown"), "{forged}: {}", reply.text());
    }
    assert_eq!(ground.origin.connections(), connections, "nothing went upstream");
}

/// A token is not bound to its sandbox; a door that is bound to a session does not look at one.
#[test]
fn threat_91_a_token_at_the_door_of_another_session() {
    let dns = Dns::loopback();
    let gate = Setup::new("").dns(dns.address()).listen("admin = \"unix:admin.sock\"\nsession = \"configured\"").tables(CONFIGURED).start();
    let made = said(Command::new(TIDEGATE).args(["session", "create", "--id", "s2", "--config"]).arg(gate.path("tidegate.toml")));
    assert_eq!(made.code, Some(0), "{}", made.err);
    let line = format!("\r\nProxy-Authorization: Bearer {}\r\n\r\n", made.out.trim_end());
    assert_eq!(ask(gate.proxy(), get("evil.test").replacen("\r\n\r\n", &line, 1)).verdict(), (403, "host_not_allowed"));
    assert_eq!(gate.wait_for_record(|record| record["kind"] == "http")["session"], "configured");
}

#[test]
fn threat_93_a_signed_token_that_is_badly_presented() {
    let ground = Ground::new();
    let token = ground.create("s2");
    let basic = |pair: String| format!("Basic {}", BASE64_STANDARD.encode(pair));
    for value in [
        basic(format!("x:{token}\0")),
        basic(format!("x:{token}:extra")),
        format!("Digest {token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token}\r\nProxy-Authorization: Bearer {token}"),
        token.clone(),
    ] {
        let line = format!("\r\nProxy-Authorization: {value}\r\n\r\n");
        let reply = ask(ground.gate.proxy(), get(&ground.authority()).replacen("\r\n\r\n", &line, 1));
        assert_eq!(reply.reason(), "session_unknown", "{value}: {} {}", reply.status, reply.text());
    }
}

#[test]
fn what_the_owner_may_not_ask() {
    let ground = Ground::new();
    for (method, path, body, status) in [
        ("POST", "/sessions", "{\"id\": \"configured\"}", 409),
        ("POST", "/sessions", "{\"id\": \"a/b\"}", 400),
        ("POST", "/sessions", "{\"id\": \"anonymous\"}", 400),
        ("POST", "/sessions", "{\"name\": \"x\"}", 400),
        ("POST", "/sessions", "{\"id\": \"a\", \"id\": \"b\"}", 400),
        ("POST", "/sessions", "[]", 400),
        ("POST", "/sessions", "{", 400),
        ("POST", "/sessions", "{\"ttl\": \"soon\"}", 400),
        ("POST", "/sessions", "{\"ttl\": \"1h\", \"expires\": \"2099-01-01T00:00:00Z\"}", 400),
        ("POST", "/sessions", "{\"expires\": \"2020-01-01T00:00:00Z\"}", 400),
        ("POST", "/sessions", "{\"policy\": \"policy.toml\"}", 400),
        ("POST", "/sessions", "{\"policy\": \"/no/such/policy.toml\"}", 400),
        ("POST", "/sessions", "{\"repositories\": [{\"name\": \"octo/..\"}]}", 400),
        ("POST", "/sessions", "{\"repositories\": [{\"name\": \"octo/spoon\", \"wiki\": true}]}", 400),
        ("POST", "/sessions", "{\"repositories\": [{\"name\": \"octo/spoon\", \"upstream_path\": \"spoon.git\"}]}", 400),
        ("GET", "/sessions/nobody", "", 404),
        ("POST", "/sessions/nobody/token", "", 404),
        ("POST", "/sessions/nobody/revoke", "", 404),
        ("POST", "/sessions/../revoke", "", 404),
        ("DELETE", "/sessions/configured", "", 405),
        ("GET", "/sessions/configured/token", "", 405),
        ("GET", "/", "", 404),
    ] {
        let (found, answer) = ground.admin(method, path, body);
        assert_eq!(found, status, "{method} {path} {body}: {answer:#}");
        assert!(answer["error"].is_string() && answer["reason"].is_string(), "{method} {path} {body}: {answer:#}");
    }
    let head = "POST /sessions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    assert_eq!(ground.admin_raw(&format!("{head}Content-Length: 1000000\r\n\r\n")).0, 413);
    let chunk = format!("40000\r\n{}\r\n", "a".repeat(0x4_0000));
    assert_eq!(ground.admin_raw(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}1\r\na\r\n")).0, 413);
    assert_eq!(ground.admin("GET", "/sessions", "").1.as_array().map(Vec::len), Some(1), "none was made");
}

#[test]
fn what_the_owner_does_is_recorded() {
    let ground = Ground::new();
    ground.create("s2");
    ground.admin("GET", "/sessions", "");
    ground.admin("GET", "/sessions/s2", "");
    ground.admin("POST", "/sessions/s2/token", "");
    ground.admin("POST", "/sessions/s2/revoke", "");
    ground.admin("POST", "/sessions/nobody/revoke", "");
    let records = ground.gate.wait_for_records(6);
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            assert_eq!((&record["kind"], &record["door"]), (&json!("admin"), &json!("admin")), "{record:#}");
            let text = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
            [text("method"), text("path"), text("session"), text("verdict"), text("reason")].join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "POST /sessions s2 allow -",
            "GET /sessions - allow -",
            "GET /sessions/s2 s2 allow -",
            "POST /sessions/s2/token s2 allow -",
            "POST /sessions/s2/revoke s2 allow -",
            "POST - - deny session_unknown",
        ]
    );
}

#[test]
fn what_cannot_be_recorded_makes_no_session() {
    let ground = Ground::with(Origin::saying("x"), |setup| setup.audit("file = \"/dev/full\""));
    let (status, answer) = ground.admin("POST", "/sessions", "{\"id\": \"s2\"}");
    assert_eq!((status, &answer["reason"], &answer["token"]), (503, &json!("audit_unavailable"), &Value::Null), "{answer:#}");
    assert_eq!(ground.admin("POST", "/sessions/configured/token", "").0, 503);
    assert_eq!(ground.admin("POST", "/sessions/configured/revoke", "").0, 503);
    let record = fs::read_to_string(ground.gate.path("state/sessions/configured.json")).expect("a record");
    assert!(record.contains("\"revoked\": true"), "to end a session waits for nothing: {record}");
}

#[test]
fn an_admin_of_the_network_wants_its_token() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let dns = Dns::start();
    let gate = Setup::new("")
        .dns(dns.address())
        .file("admin.token", ADMIN_TOKEN)
        .listen(&format!("admin = \"127.0.0.1:{port}\"\ntoken_file = \"admin.token\"\nrequire_session = true"))
        .start();
    let config = gate.path("tidegate.toml");
    let made = said(Command::new(TIDEGATE).args(["session", "create", "--id", "s2", "--config"]).arg(&config));
    assert!(made.code == Some(0) && made.out.starts_with("v4.public."), "{}", made.err);
    fs::write(gate.path("admin.token"), "another-token-0123456789abcdef01234").expect("a file");
    let refused = said(Command::new(TIDEGATE).args(["session", "list", "--config"]).arg(&config));
    assert!(refused.code == Some(1) && refused.err.contains("send the admin token"), "{}", refused.err);
    gate.wait_for_record(|record| record["kind"] == "admin" && record["verdict"] == "deny");
    assert!(!gate.audit_text().contains(ADMIN_TOKEN));
}

#[test]
fn commands_that_cannot_be_done_say_what_to_do() {
    let ground = Ground::new();
    let missing = said(Command::new(TIDEGATE).args(["session", "list", "--admin", "unix:/no/such.sock"]));
    assert!(
        missing.code == Some(2) && missing.err.contains("unix:/no/such.sock") && missing.err.contains("is it running"),
        "{}",
        missing.err
    );
    let none = ground.gate.path("none.toml");
    fs::write(&none, "[listen]\nproxy = \"127.0.0.1:0\"\n").expect("a file");
    let none = said(Command::new(TIDEGATE).args(["session", "list", "--config"]).arg(none));
    assert!(none.code == Some(2) && none.err.contains("add admin = "), "{}", none.err);
    let unknown = ground.session(&["revoke", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.out.is_empty() && unknown.err.contains("nobody"), "{}", unknown.err);
    let socket = format!("unix:{}", ground.gate.path("admin.sock").display());
    let listed = said(Command::new(TIDEGATE).args(["session", "list", "--admin", &socket]));
    assert!(listed.code == Some(0) && listed.out.contains("configured"), "{}", listed.err);
}

#[test]
fn threat_87_signed_tokens_stand_in_no_record_page_metric_log_or_file() {
    let ground = Ground::new();
    let tokens = [ground.create("s2"), ground.token_of(&["token", "s2"]), ground.token_of(&["token", "configured"])];
    let mut seen = String::new();
    for token in &tokens {
        seen += &ground.ask_with(token).text();
        seen += &ground.ask_with(&token[..token.len() - 1]).text();
        let (_, answer) = ground.admin("POST", &format!("/sessions/{token}/token"), "");
        seen += &answer["reason"].to_string();
    }
    for path in ["/sessions", "/sessions/s2"] {
        seen += &ground.admin("GET", path, "").1.to_string();
    }
    seen += &ground.session(&["show", "s2"]).out;
    ground.session(&["revoke", "s2"]);
    seen += &ground.ask_with(&tokens[0]).text();
    seen += &ground.gate.audit_text();
    seen += &ground.gate.metrics();
    seen += &read_all(&ground.gate.path("state"));
    let key = read_all(&ground.gate.path("state/keys"));
    seen += &ground.gate.finish();
    for token in &tokens {
        let signature = token.split('.').nth(2).expect("three parts");
        for part in [&token[..], &signature[signature.len() - 40..], &BASE64_STANDARD.encode(format!("x:{token}"))] {
            assert!(!seen.contains(part), "{part}");
        }
    }
    assert_eq!(seen.matches(key.trim()).count(), 1, "the key stands in its own file alone");
}

fn read_all(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        text += &if path.is_dir() { read_all(&path) } else { fs::read_to_string(&path).expect("a file") };
    }
    text
}

const ADMIN_TOKEN: &str = "admin-token-0123456789abcdef0123456789";

#[test]
fn the_policy_of_a_session_is_read_again_when_its_file_changes() {
    let mut ground = Ground::new();
    let path = ground.gate.path("own.toml");
    let allowing = fs::read_to_string(ground.gate.path("policy.toml")).unwrap();
    fs::write(&path, "[content]\nblocklists = [\"bad.txt\"]\n").unwrap();
    fs::write(ground.gate.path("bad.txt"), "").unwrap();
    let token = ground.token_of(&["create", "--id", "own", "--policy", path.to_str().unwrap()]);
    assert_eq!(ground.ask_with(&token).verdict(), (403, "host_not_allowed"));
    fs::write(&path, format!("{allowing}\n[content]\nblocklists = [\"bad.txt\"]\n")).unwrap();
    eventually("the policy is read again", || ground.ask_with(&token).status == 200);
    fs::write(ground.gate.path("bad.txt"), "allowed.test\n").unwrap();
    eventually("its list is read again", || ground.ask_with(&token).status == 403);
    // One that cannot be used changes nothing, and is not tried for ever.
    let failed = || ground.gate.metric("tidegate_policy_reloads_total{result=\"failed\"}");
    fs::write(&path, "access = 7").unwrap();
    eventually("the failure is counted", || failed() == 1);
    let generation = ground.gate.metric("tidegate_policy_generation");
    fs::write(ground.gate.path("bad.txt"), "").unwrap();
    fs::write(&path, allowing).unwrap();
    eventually("it is read once it can be", || ground.ask_with(&token).status == 200);
    assert_eq!((failed(), ground.gate.metric("tidegate_policy_generation")), (1, generation + 1));
    // Nor is a session lost whose policy was not there at the start.
    fs::rename(&path, ground.gate.path("away.toml")).unwrap();
    eventually("the failure is counted", || failed() == 2);
    ground.gate.crash_and_restart();
    assert_ne!(ground.ask_with(&token).status, 200);
    fs::rename(ground.gate.path("away.toml"), &path).unwrap();
    eventually("the file is there again", || ground.ask_with(&token).status == 200);
}

#[test]
fn threat_83_deep_json_on_the_admin_socket_makes_no_session() {
    let ground = Ground::new();
    let sessions = || ground.admin("GET", "/sessions", "").1.as_array().map(Vec::len);
    let (before, known, began) = (ground.gate.peak_memory(), sessions(), Instant::now());
    for (body, status) in [
        ("{".repeat(100_000), 400),
        ("{\"repositories\":".repeat(10_000), 400),
        (format!("{{\"repositories\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000)), 400),
        (format!("{{{}}}", (0..10_000).map(|number| format!("\"a{number}\": 1")).collect::<Vec<_>>().join(",")), 400),
        ("[".repeat(1_000_000), 413),
    ] {
        let (answered, said) = ground.admin("POST", "/sessions", &body);
        assert_eq!(answered, status, "{body:.40}: {said}");
    }
    let (grown, took) = (ground.gate.peak_memory() - before, began.elapsed());
    assert!(grown < 16 << 10 && took < Duration::from_secs(5), "{grown} KiB, {took:?}");
    assert_eq!(sessions(), known);
    assert!(ground.create("s9").starts_with("v4."), "and it goes on");
}

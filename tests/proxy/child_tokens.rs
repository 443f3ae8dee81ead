//! Tokens that may do less than their session: asked for from inside and made by the owner, with the real program; and storms of wrong ones.

use std::{
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::harness::{
    Client, Dns, Origin, PATIENCE, Reply, Setup, Tidegate,
    client::{ask, get},
    tidegate::TIDEGATE,
};

const ONE: &str = "one-token-one-token-one-token-one-token";
const TWO: &str = "two-token-two-token-two-token-two-token";
const GRANTS: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/x\"]\nforce = false";

/// A proxy that asks everybody, with two sessions that may reach the origin, and an owner.
struct Ground {
    gate: Tidegate,
    origin: Origin,
    _dns: Dns,
}

impl Ground {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(more: impl Fn(Setup) -> Setup) -> Self {
        let (origin, dns) = (Origin::saying("from the origin"), Dns::loopback());
        let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
        let setup = Setup::new(policy).dns(dns.address()).listen("require_session = true").listen("admin = \"unix:admin.sock\"");
        let gate = more(setup).session("one", ONE, GRANTS).session("two", TWO, "").start();
        Self { gate, origin, _dns: dns }
    }

    /// A GET to the origin with this token.
    fn ask_with(&self, token: &str) -> Reply {
        let line = format!("\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
        ask(self.gate.proxy(), get(&format!("allowed.test:{}", self.origin.port())).replacen("\r\n\r\n", &line, 1))
    }

    fn page(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n");
        ask(self.gate.proxy(), head + body)
    }

    /// A token that may do less, as it is asked for from inside.
    fn child(&self, token: &str, wish: &Value) -> (u16, Value) {
        let reply = self.page(token, "POST", "/session/child", &wish.to_string());
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_else(|_| Value::String(reply.text())))
    }

    #[track_caller]
    fn token(&self, token: &str, wish: &Value) -> String {
        let (status, answer) = self.child(token, wish);
        assert_eq!(status, 201, "{answer:#}");
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Whether a session may push a branch, by its own page.
    fn may_push(&self, token: &str, name: &str, change: &str) -> String {
        let body = json!({"repository": "octo/spoon", "service": "push", "ref": name, "change": change}).to_string();
        let page: Value = serde_json::from_slice(&self.page(token, "POST", "/explain", &body).body).expect("JSON");
        page["reason"].as_str().unwrap_or("allow").to_owned()
    }

    /// stdout of `tidegate session …`, and its stderr.
    #[track_caller]
    fn owner(&self, arguments: &[&str]) -> (String, String) {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.gate.path("tidegate.toml");
        let output = Command::new(TIDEGATE).args(["session", command, "--config"]).arg(config).args(rest).output().expect("tidegate runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{arguments:?}: {err}");
        (out, err)
    }
}

#[test]
fn a_token_for_a_helper_does_what_it_was_asked_for_and_ends_with_its_session() {
    let mut ground = Ground::new();
    let wish = json!({"ttl": "30m", "repositories": [{"name": "octo/spoon", "access": "write", "push": ["refs/heads/x"]}]});
    let (status, made) = ground.child(ONE, &wish);
    assert_eq!((status, &made["session"], &made["only"]), (201, &json!("one~1"), &json!(["egress", "git", "api"])), "{made:#}");
    let token = made["token"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("v4.public.") && made["expires"].is_string());
    for _ in 0..2 {
        assert_eq!(ground.ask_with(&token).text(), "from the origin");
        let session: Value = serde_json::from_slice(&ground.page(&token, "GET", "/session", "").body).expect("JSON");
        assert_eq!((&session["session"], &session["asking"]), (&json!("one~1"), &json!(false)));
        let judged = ["update", "force"].map(|change| ground.may_push(&token, "refs/heads/x", change));
        assert_eq!(judged, ["allow", "ref_not_granted"], "it says force, and its session has none");
        assert_eq!(ground.page(&token, "POST", "/request-access", "{\"host\": \"a.test\"}").status, 404);
        ground.gate.crash_and_restart();
    }
    let asked = ground.gate.wait_for_record(|record| record["path"] == "/session/child");
    assert_eq!((&asked["session"], &asked["kind"], &asked["verdict"]), (&json!("one"), &json!("admin"), &json!("allow")));
    let used = ground.gate.wait_for_record(|record| record["session"] == "one~1" && record["kind"] == "http");
    assert_eq!(used["verdict"], "allow");
    assert!(ground.owner(&["show", "one"]).0.contains("token one~1 is for egress, git, api, it ends at "));
    ground.owner(&["revoke", "one"]);
    assert_eq!(ground.ask_with(&token).verdict(), (407, "session_revoked"));
}

#[test]
fn nothing_is_handed_on_that_a_sandbox_has_not() {
    let ground = Ground::new();
    let spoon = |rest: Value| {
        let mut repository = json!({"name": "octo/spoon"});
        repository.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        json!({"repositories": [repository]})
    };
    for (token, wish, reason) in [
        (ONE, json!({"repositories": [{"name": "octo/secret"}]}), "repository_not_granted"),
        (ONE, spoon(json!({"access": "write", "push": ["refs/heads/main"]})), "ref_not_granted"),
        (ONE, spoon(json!({"grants": ["merge"]})), "api_not_allowed"),
        (TWO, spoon(json!({})), "repository_not_granted"),
    ] {
        let (status, answer) = ground.child(token, &wish);
        assert_eq!((status, &answer["reason"]), (403, &json!(reason)), "{wish}: {answer:#}");
    }
    let git = ground.token(ONE, &json!({"only": ["git"]}));
    assert_eq!(ground.child(&git, &json!({})).1["reason"], "network_disabled");
    for bad in ["[]", "{\"only\": []}", "{\"only\": [\"git\"], \"only\": [\"api\"]}", "{\"token\": \"x\"}", "{"] {
        let reply = ground.page(ONE, "POST", "/session/child", bad);
        assert!(reply.status == 400 && reply.text().contains("This is no token to be asked for"), "{bad}: {}", reply.text());
    }
    assert_eq!(ground.page(ONE, "GET", "/session/child", "").status, 405);
}

#[test]
fn a_token_for_one_use_is_for_no_other_and_expires_apart() {
    let ground = Ground::new();
    let git = ground.token(ONE, &json!({"only": ["git"]}));
    assert_eq!(ground.ask_with(&git).verdict(), (403, "network_disabled"));
    assert_eq!(ground.may_push(&git, "refs/heads/x", "update"), "allow");
    let egress = ground.token(ONE, &json!({"only": ["egress"], "ttl": "2s"}));
    assert_eq!(ground.may_push(&egress, "refs/heads/x", "update"), "repository_not_granted");
    let since = Instant::now();
    let mut last = ground.ask_with(&egress);
    assert_eq!(last.status, 200, "{}", last.text());
    while last.status == 200 && since.elapsed() < PATIENCE {
        last = ground.ask_with(&egress);
    }
    assert_eq!(last.verdict(), (407, "session_expired"), "{}", last.text());
    assert_eq!((ground.ask_with(ONE).status, ground.ask_with(&git).reason()), (200, "network_disabled"));
}

#[test]
fn an_owner_makes_a_token_that_may_do_less_and_is_told_how_it_is_used() {
    let ground = Ground::with(|setup| setup.listen("git = \"127.0.0.1:0\""));
    let (out, err) = ground.owner(&["token", "one", "--only", "git,api", "--ttl", "1h", "--repo", "octo/spoon:x"]);
    let token = out.trim_end();
    assert!(token.starts_with("v4.public.") && !err.contains(token), "the token stands on stdout alone: {err}");
    for text in ["token one~1 is for git, api, it ends at ", "eval \"$(tidegate env --config ", "--token-file one~1.token)\""] {
        assert!(err.contains(text), "{text} in {err}");
    }
    assert_eq!(ground.may_push(token, "refs/heads/x", "update"), "allow");
    let again = ground.owner(&["token", "one~1"]).0;
    assert_eq!(again.trim_end(), token, "it is one token");
    let (made, err) = ground.owner(&["create", "--id", "s3", "--ttl", "1h"]);
    assert!(made.starts_with("v4.public.") && err.contains("session s3 is made") && err.contains("--token-file s3.token"), "{err}");
    ground.owner(&["revoke", "one~1"]);
    assert_eq!(ground.ask_with(token).verdict(), (407, "session_revoked"));
    assert_eq!(ground.ask_with(ONE).status, 200, "its session goes on");
}

/// `from` says so for one token, `bind_tokens` for all that sandboxes ask for.
#[test]
fn threat_91_a_token_is_nobody_s_at_another_address() {
    let ground = Ground::with(|setup| setup.listen("bind_tokens = true"));
    let own = ground.token(ONE, &json!({}));
    assert_eq!(ground.ask_with(&own).status, 200, "where it was asked for");
    let elsewhere = ground.token(ONE, &json!({"from": "127.0.0.2"}));
    let refused = ground.ask_with(&elsewhere);
    assert_eq!(refused.verdict(), (407, "session_unknown"), "{}", refused.text());
    let child = ground.page(&own, "POST", "/session/child", "{\"from\": \"127.0.0.2\"}");
    assert_eq!(child.status, 403, "{}", child.text());
    let owners = ground.owner(&["token", "two", "--from", "127.0.0.2"]).0;
    assert_eq!(ground.ask_with(owners.trim_end()).verdict(), (407, "session_unknown"));
    let unbound = ground.owner(&["token", "two", "--only", "egress"]).0;
    assert_eq!(ground.ask_with(unbound.trim_end()).status, 200, "the owner's are bound where the owner says so");
}

#[test]
fn threat_97_keys_change_while_it_runs() {
    let ground = Ground::new();
    let old = ground.owner(&["create", "--id", "s3", "--ttl", "1h"]).0;
    let keys = ground.gate.path("state/keys");
    let first = std::fs::read_dir(&keys).expect("keys").next().expect("a key").expect("a key").path();
    let added = keys.join("zz-2");
    std::fs::write(&added, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n").expect("a key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&added, mode).expect("its mode");
    let policy = std::fs::read_to_string(ground.gate.path("policy.toml")).expect("the policy");
    ground.gate.reload(&policy);
    let new = ground.owner(&["token", "s3"]).0;
    assert_eq!([&old, &new].map(|token| ground.ask_with(token.trim_end()).status), [200, 200]);
    std::fs::remove_file(first).expect("a key");
    ground.gate.reload(&policy);
    assert_eq!(ground.ask_with(old.trim_end()).verdict(), (407, "session_unknown"));
    assert_eq!(ground.ask_with(new.trim_end()).status, 200);
}

/// Wrong tokens are answered in turn; nobody who shows a right one waits for that.
#[test]
fn threat_90_a_storm_of_wrong_tokens_is_held_up_and_the_right_one_is_not() {
    let ground = Ground::new();
    let proxy = ground.gate.proxy();
    let wrong = |number: usize| format!("GET /session HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer wrong-{number}\r\n\r\n");
    let since = Instant::now();
    let storm: Vec<_> = (0..8)
        .map(|client| {
            thread::spawn(move || {
                let replies = (0..20).map(|number| ask(proxy, wrong(client * 100 + number)));
                replies.map(|reply| (reply.status, reply.header("retry-after").is_some())).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut right = Client::connect(proxy);
    let line = format!("GET /session HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {ONE}\r\n\r\n");
    while ground.gate.metric("tidegate_limited_total{limit=\"wrong_tokens\"}") == 0 && since.elapsed() < PATIENCE {
        assert_eq!(right.send(&line).reply().status, 200);
    }
    let fresh = Instant::now();
    assert_eq!(ground.ask_with(TWO).status, 200, "on a connection of its own, in the middle of it");
    let took = fresh.elapsed();
    let replies: Vec<_> = storm.into_iter().flat_map(|client| client.join().expect("a client")).collect();
    assert!(replies.iter().all(|(status, _)| *status == 407), "{replies:?}");
    let held = replies.iter().filter(|(_, again)| *again).count();
    assert!(held > 50 && held < replies.len(), "{held} of {}", replies.len());
    assert!(since.elapsed().as_secs() >= 2 && took.as_secs() < 2, "{:?}, and {took:?} for the right one", since.elapsed());
}

/// `tidegate credential`, as git runs it.
#[test]
fn the_credential_helper_gives_the_token_to_the_doors_alone() {
    let ground = Ground::with(|setup| setup.listen("git = \"127.0.0.1:0\"").file("t", ONE));
    let door = ground.gate.listener("git");
    let told = |operation: &str, host: &str, protocol: &str| {
        let asked = format!("protocol={protocol}\nhost={host}\n\n");
        let mut command = Command::new(TIDEGATE);
        command.args(["credential", "--door", &format!("http://{door}"), "--token-file"]).arg(ground.gate.path("t")).arg(operation);
        command.env_remove("HTTPS_PROXY").env("https_proxy", format!("http://x:{TWO}@{}", ground.gate.proxy()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tidegate runs");
        // One that has nothing to read may be gone already.
        let _ = std::io::Write::write_all(&mut child.stdin.take().expect("its stdin"), asked.as_bytes());
        let output = child.wait_with_output().expect("its output");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let given = format!("username=tidegate\npassword={ONE}\n");
    assert_eq!(told("get", &door.to_string(), "http"), given);
    assert_eq!(told("get", &ground.gate.proxy().to_string(), "http"), given);
    for (operation, host, protocol) in [
        ("get", "github.com".to_owned(), "https"),
        ("get", door.to_string(), "https"),
        ("get", "127.0.0.1:1".to_owned(), "http"),
        ("get", format!("127.0.0.2:{}", door.port()), "http"),
        ("store", door.to_string(), "http"),
        ("erase", door.to_string(), "http"),
        ("capability", door.to_string(), "http"),
    ] {
        assert_eq!(told(operation, &host, protocol), "", "{operation} {protocol}://{host}");
    }
    let url = format!("http://{door}/git/octo/spoon");
    let helper = format!("credential.helper=!{TIDEGATE} credential --door http://{door} --token-file {}", ground.gate.path("t").display());
    let git = Command::new("git")
        .args(["-c", "credential.helper=", "-c", &helper, "ls-remote", &url])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("https_proxy")
        .output()
        .expect("git is needed: apt-get install git");
    let said = String::from_utf8_lossy(&git.stderr);
    ground.gate.wait_for_record(|record| record["repository"] == "octo/spoon" && record["session"] == "one");
    assert!(!said.contains("Authentication failed") && !said.contains(ONE), "{said}");
}

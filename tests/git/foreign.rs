//! Tokens of GitHub's that a sandbox brings itself: refused, or used for what anybody may read; never replaced, and always on record.

use std::fs;

use serde_json::Value;

use crate::harness::{
    Plan, World,
    bytes::{CAPABILITIES, FETCH_TYPE, PUSH_TYPE, ZERO, basic, push_body, request},
    client::ask,
    hub::random,
    pair::{Pair, Terms},
};

const OPEN: &str = "https://github.test/octo/open";
const PUBLIC: &str = "public_read = true\nforeign_credentials = \"public\"\n";
const WHAT_IS_SHOWN: &str = "info/refs?service=git-upload-pack";

/// What a sandbox may have found in its environment.
fn mine() -> String {
    format!("ghp_{}{}", random(), "abcd")
}

/// A world where `octo/open`, which nobody was granted, and `octo/reading`, which is granted, are public.
fn world(github: &'static str) -> World {
    let world = World::of(&Plan { github, ..Plan::default() });
    world.hub.copy("octo/spoon", "octo/open");
    world.hub.publish("octo/open");
    world.hub.publish("octo/reading");
    world.behind_the_proxy()
}

/// The `Authorization` of every request upstream so far.
fn shown_upstream(world: &World) -> Vec<Option<String>> {
    world.hub.seen().iter().map(|seen| seen.header("authorization")).collect()
}

fn as_basic(token: &str) -> Option<String> {
    basic("x-access-token", token).strip_prefix("Authorization: ").map(str::to_owned)
}

/// git, which shows a token that the sandbox brought.
#[track_caller]
fn git_with(world: &World, token: &str, arguments: &[&str]) -> crate::harness::Done {
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    world.sandbox.git(".", &[&["-c", header.as_str()], arguments].concat())
}

#[track_caller]
fn record_of(world: &World, repository: &str, verdict: &str) -> Value {
    world.gate().wait_for_record(|record| record["repository"] == repository && record["verdict"] == verdict && record["kind"] != "connect")
}

#[test]
fn where_tokens_are_refused_none_is_used_replaced_or_dropped() {
    let world = world("public_read = true\n");
    let token = mine();
    for repository in ["octo/open", "octo/spoon", "octo/secret"] {
        let done = git_with(&world, &token, &["ls-remote", &format!("https://github.test/{repository}")]);
        done.assert(128, &["remote: Tidegate: The request carries a credential that is not this session's token", "403"]);
        let record = record_of(&world, repository, "deny");
        assert_eq!(
            [&record["reason"], &record["github_token"], &record["credential"]],
            [&Value::from("credential_not_allowed"), &"header".into(), &Value::Null],
            "{record:#}"
        );
    }
    world.hub.assert_untouched("a token of the sandbox's own");
    // Without it each is read as it always is.
    world.sandbox.git_ok(".", &["ls-remote", OPEN]);
    world.sandbox.git_ok(".", &["ls-remote", "https://github.test/octo/spoon"]);
    let real = as_basic(&world.real);
    assert_eq!(shown_upstream(&world), [None, None, real.clone(), real], "two requests each");
    let [public, granted] = ["octo/open", "octo/spoon"].map(|name| record_of(&world, name, "allow"));
    assert_eq!((&public["credential"], &granted["credential"]), (&Value::Null, &"user".into()), "{public:#}{granted:#}");
    assert!(world.gate().audit_text().lines().all(|line| !line.contains(&token)));
    world.finish();
}

/// At a door where nobody has to show a token, one is no less somebody's wish to act by it.
#[test]
fn where_no_session_has_to_be_proved_tokens_are_refused_too() {
    let pair = Pair::of(&Terms { entry: "session = \"s1\"", ..Terms::default() });
    let door = pair.gate.listener("git");
    let target = format!("/git/octo/spoon/{WHAT_IS_SHOWN}");
    for line in [format!("Authorization: token {}", mine()), basic("x", &mine()), basic("x", "anything"), "Authorization: Digest x".into()]
    {
        let reply = ask(door, request("GET", &target, &[&line], b""));
        assert_eq!(reply.verdict(), (403, "credential_not_allowed"), "{line}: {reply:?}");
        assert!(reply.text().contains("The request carries a credential"), "{}", reply.text());
    }
    assert!(pair.first.seen().is_empty());
    for line in [basic("x", &pair.token), format!("Authorization: token {}", pair.token), "X-Nothing: 1".into()] {
        let reply = ask(door, request("GET", &target, &[&line], b""));
        assert_eq!(reply.status, 200, "{line}: {reply:?}");
    }
    pair.finish();
}

#[test]
fn a_token_of_the_sandbox_s_own_reads_what_is_public() {
    let world = world(PUBLIC);
    let token = mine();
    for (repository, name) in [("octo/open", "open"), ("octo/reading", "reading")] {
        let before = world.hub.seen().len();
        let done = git_with(&world, &token, &["clone", "--quiet", &format!("https://github.test/{repository}"), name]);
        done.assert(0, &[]);
        assert!(world.sandbox.path(name).join("third.txt").exists());
        let seen = world.hub.seen().split_off(before);
        let of_git: Vec<_> = seen.iter().map(|seen| (seen.header("authorization"), seen.target.ends_with(WHAT_IS_SHOWN))).collect();
        // Nobody's credential first, to see that anybody may; once, however much follows.
        assert_eq!(of_git[..2], [(None, true), (as_basic(&token), true)], "{seen:#?}");
        assert!(of_git[2..].iter().all(|(shown, _)| *shown == as_basic(&token)) && of_git.len() > 2, "{seen:#?}");
        let record = record_of(&world, repository, "allow");
        assert_eq!((&record["credential"], &record["github_token"]), (&"sandbox".into(), &"header".into()), "{record:#}");
    }
    for version in ["--http1.1", "--http2"] {
        let shown = world.curl(&[version, "--header", &format!("Authorization: token {token}"), &format!("{OPEN}/{WHAT_IS_SHOWN}")]).out;
        assert!(shown.contains("application/x-git-upload-pack-advertisement"), "{shown}");
    }
    assert_eq!(world.hub.seen().iter().filter(|seen| seen.header("authorization").is_none()).count(), 2, "once a repository");
    world.finish();
}

/// The token may open more than what is public; that it does not show here.
#[test]
fn threat_92_a_token_of_the_sandbox_s_own_opens_nothing_that_is_not_public() {
    let world = world(PUBLIC);
    world.sandbox.cloned("https://github.test/octo/spoon", &["agent/fix-1"]);
    let token = mine();
    let before = world.hub.seen().len();
    for repository in ["octo/secret", "octo/spoon", "octo/absent"] {
        let done = git_with(&world, &token, &["ls-remote", &format!("https://github.test/{repository}")]);
        done.assert(128, &["is not public: a token that the sandbox brought serves for public reads alone", "403"]);
        assert_eq!(record_of(&world, repository, "deny")["reason"], "credential_not_allowed");
    }
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    for repository in ["octo/open", "octo/reading", "octo/spoon"] {
        let url = format!("https://github.test/{repository}");
        let done = world.sandbox.git("clone", &["-c", &header, "push", &url, "agent/fix-1"]);
        assert!(done.code != Some(0) && done.err.contains("remote: "), "{}", done.err);
        let refs = world.hub.refs(repository);
        assert!(!refs.contains_key("refs/heads/agent/fix-1"), "{refs:?}");
    }
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let body = push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES);
    fs::write(world.sandbox.path("push"), body).unwrap();
    let data = format!("@{}", world.sandbox.path("push").display());
    let receive = "https://github.test/octo/spoon/git-receive-pack";
    let lines = ["--header", PUSH_TYPE, "--header", &header["http.extraHeader=".len()..]];
    let shown = world.curl(&[&["--http1.1"], &lines[..], &["--data-binary", &data, receive]].concat()).out;
    assert!(shown.contains("serves for public reads alone"), "{shown}");
    let seen = world.hub.seen().split_off(before);
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none() && seen.method == "GET"), "{seen:#?}");
    assert!(!world.hub.refs("octo/spoon").contains_key("refs/heads/agent/fix-1"));
    world.finish();
}

/// The owner's credential, were it to be found, and any session's token are nobody's to bring; what is no token of GitHub's goes nowhere.
#[test]
fn threat_91_what_is_another_s_serves_for_nothing() {
    let world = world(PUBLIC);
    let revoked = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/reading"]);
    world.session(&["revoke", "s4"]);
    let asked = world.hub.seen().len();
    let others = [&world.real, &world.other_token, &world.expired_token, &revoked, "0123456789012345678901234567890123456789", "ghp_short"];
    for token in others {
        let shown = world.curl(&["--header", &format!("Authorization: token {token}"), &format!("{OPEN}/{WHAT_IS_SHOWN}")]).out;
        assert!(shown.contains("x-deny-reason: credential_not_allowed"), "{shown}");
    }
    assert_eq!(world.hub.seen().len(), asked, "nothing of it went upstream");
    world.finish();
}

/// Calls of the API are made by the owner's credential or by nobody's, also where a token of the sandbox's own reads what is public.
#[test]
fn threat_92_a_token_of_the_sandbox_s_own_makes_no_calls() {
    let world = world(PUBLIC);
    let asked = world.hub.seen().len();
    for repository in ["octo/open", "octo/reading", "octo/spoon"] {
        let line = format!("Authorization: token {}", mine());
        let shown = world.curl(&["--header", &line, &format!("https://github.test/api/v3/repos/{repository}")]).out;
        assert!(shown.contains("x-deny-reason: credential_not_allowed"), "{shown}");
        assert!(shown.contains("The request carries a credential that is not this session's token"), "{shown}");
    }
    world.gate().wait_for_record(|record| record["kind"] == "api" && record["reason"] == "credential_not_allowed");
    assert_eq!(world.hub.seen().len(), asked, "nothing of it went upstream");
    world.finish();
}

#[test]
fn a_token_that_the_upstream_turns_away_is_said_to_be_none() {
    let world = world(PUBLIC);
    let token = mine();
    world.hub.turn_away(&token);
    let done = git_with(&world, &token, &["ls-remote", OPEN]);
    done.assert(128, &["answered 401 to the token that the sandbox brought", "403"]);
    assert_eq!(record_of(&world, "octo/open", "deny")["reason"], "credential_not_allowed");
    assert_eq!(shown_upstream(&world), [None, as_basic(&token)], "and nothing takes its place");
    world.finish();
}

#[test]
fn files_are_read_by_it_where_they_are_public() {
    let github = "codeload_url = \"{HUB}/codeload\"\nraw_url = \"{HUB}/raw\"\npublic_read = true\nforeign_credentials = \"public\"\n";
    let world = World::of(&Plan { host: "github.com", github, ..Plan::default() });
    world.hub.copy("octo/spoon", "octo/open");
    world.hub.publish("octo/open");
    let world = world.behind_the_proxy();
    let (token, file) = (mine(), |name: &str| format!("https://raw.githubusercontent.com/octo/{name}/main/third.txt"));
    let line = format!("Authorization: token {token}");
    let shown = world.curl(&["--header", &line, &file("open")]).out;
    assert!(shown.contains(" 200 ") && shown.ends_with("third\n"), "{shown}");
    assert_eq!(shown_upstream(&world), [None, Some(format!("Bearer {token}"))]);
    for name in ["secret", "spoon"] {
        let shown = world.curl(&["--header", &line, &file(name)]).out;
        assert!(shown.contains("x-deny-reason: credential_not_allowed"), "{name}: {shown}");
    }
    assert!(shown_upstream(&world)[2..].iter().all(Option::is_none));
    world.finish();
}

/// Wherever one stands, at any door: the record says where, and holds nothing of it.
#[test]
fn a_token_in_what_a_sandbox_sends_is_on_record() {
    let world = World::new().behind_the_proxy();
    let token = mine();
    let (git, proxy) = (world.door(), world.gate().proxy());
    let own = basic("x", &world.token);
    let fetch = "/git/octo/spoon/git-upload-pack";
    let body = format!("0000{token}");
    for (place, door, sent) in [
        ("header", git, request("GET", &format!("/git/octo/spoon/{WHAT_IS_SHOWN}"), &[&own, &format!("Cookie: a={token}")], b"")),
        ("header", git, request("GET", &format!("/git/octo/spoon/{WHAT_IS_SHOWN}"), &[&basic("x", &token)], b"")),
        ("target", git, request("GET", &format!("/git/octo/{token}/{WHAT_IS_SHOWN}"), &[&own], b"")),
        ("body", git, request("POST", fetch, &[FETCH_TYPE, &own], body.as_bytes())),
        ("header", proxy, request("GET", "/session", &[&format!("Proxy-{own}"), &format!("X-Token: {token}")], b"")),
        ("header", proxy, request("GET", "http://nowhere.test/", &[&format!("Proxy-{}", basic("x", &token))], b"")),
        ("target", proxy, request("GET", &format!("http://gate/{}", token.replace('_', "%5f")), &[&format!("Proxy-{own}")], b"")),
        ("header", proxy, request("CONNECT", "nowhere.test:443", &[&format!("Proxy-Authorization: token {token}")], b"")),
    ] {
        let before = world.gate().records().len();
        let sent = String::from_utf8(sent).unwrap();
        let sent = if sent.starts_with("CONNECT") { sent.replace("Host: gate", "Host: nowhere.test:443") } else { sent };
        let sent =
            sent.replace("Host: gate\r\n", if sent.contains("http://nowhere.test") { "Host: nowhere.test\r\n" } else { "Host: gate\r\n" });
        world.hear(&ask(door, sent.as_bytes()));
        let record = world.gate().wait_for_record_after(before, |record| record["github_token"] == place);
        assert!(place != "target" || record["path"].is_null(), "{record:#}");
    }
    let reply = world.ask(request("GET", &format!("/git/octo/spoon/{WHAT_IS_SHOWN}"), &[&basic("x", &token)], b""));
    assert!(reply.verdict() == (401, "session_unknown") && reply.text().contains("holds a GitHub token"), "{reply:?}");
    let socks = world.gate().listener("socks").to_string();
    let before = world.gate().records().len();
    let proxy = format!("socks5h://x:{token}@{socks}");
    let done = world.sandbox.run_program("curl", &["--silent", "--max-time", "20", "--proxy", &proxy, "http://nowhere.test/"]);
    assert_ne!(done.code, Some(0));
    world.gate().wait_for_record_after(before, |record| record["github_token"] == "password" && record["reason"] == "session_unknown");
    let audit = world.gate().audit_text();
    assert!(!audit.contains(&token) && !audit.contains(&token.replace('_', "%5f")), "{audit}");
    world.gate().wait_for_record(|record| record["github_token"].is_null());
    world.finish();
}

#[test]
fn where_no_secret_may_leave_such_a_request_is_refused() {
    let world = World::of(&Plan { policy: "access = \"none\"\n[content]\nrefuse_secrets = true\n", ..Plan::default() });
    let token = mine();
    let discovery = format!("/git/octo/spoon/{WHAT_IS_SHOWN}");
    for (lines, target) in [
        (vec![format!("Cookie: a={token}")], discovery.clone()),
        (vec![format!("X-Token: {}", world.real)], discovery.clone()),
        (vec![], format!("/git/octo/{token}/{WHAT_IS_SHOWN}")),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let reply = world.ask_as("GET", &target, &lines, b"");
        assert_eq!(reply.verdict(), (403, "secret_in_request"), "{reply:?}");
    }
    let body = format!("0000{token}");
    let reply = world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[FETCH_TYPE], body.as_bytes());
    assert!(reply.text().contains("ERR ") && reply.text().contains("a GitHub token"), "{reply:?}");
    world.assert_denied("fetch", "secret_in_request");
    let lfs = format!("{{\"operation\":\"download\",\"objects\":[],\"note\":\"{token}\"}}");
    let typed = "Content-Type: application/vnd.git-lfs+json";
    let reply = world.ask_as("POST", "/git/octo/spoon/info/lfs/objects/batch", &[typed], lfs.as_bytes());
    assert_eq!(reply.verdict(), (403, "secret_in_request"), "{reply:?}");
    assert!(world.hub.seen().iter().all(|seen| !seen.whole), "{:#?}", world.hub.seen());
    assert_eq!(world.ask_as("GET", &discovery, &["X-Nothing: 1"], b"").status, 200);
    world.finish();
}

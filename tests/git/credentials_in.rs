//! Who is asked who they are, what is taken for an answer, and when a session ends.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::harness::{
    Answer, Reply, When, World,
    bytes::{CAPABILITIES, FETCH_TYPE, PUSH_TYPE, ZERO, basic, noise, push_body, report, request},
    eventually,
    tidegate::TIDEGATE,
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";

#[track_caller]
fn assert_challenged(reply: &Reply, reason: &str) {
    assert_eq!(reply.verdict(), (401, reason), "{}", reply.text());
    assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"tidegate\", charset=\"UTF-8\""), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{reply:?}");
    assert!(reply.header("proxy-authenticate").is_none(), "{reply:?}");
    assert!(!reply.text().trim().is_empty() && !reply.text().starts_with('{'), "{}", reply.text());
}

/// A helper that answers with this password, and notes what git tells it.
fn install_helper(world: &World, password: &str) {
    let script = format!(
        "#!/bin/sh\necho \"== $1\" >>\"$HOME/helper.log\"\ncat >>\"$HOME/helper.log\"\n\
         [ \"$1\" = get ] && printf 'username=git\\npassword=%s\\n' '{password}'\nexit 0\n"
    );
    let path = world.sandbox.path("helper");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    world.sandbox.git_ok(".", &["config", "--global", "credential.helper", &path.display().to_string()]);
}

fn helper_log(world: &World) -> String {
    fs::read_to_string(world.sandbox.path("helper.log")).unwrap_or_default()
}

#[test]
fn g_15_without_a_credential_git_is_asked_for_one() {
    let world = World::new();
    assert_challenged(&world.ask(request("GET", DISCOVERY, &[], b"")), "session_required");
    assert_challenged(&world.ask(request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE], b"0000")), "session_required");
    let done = world.sandbox.git(".", &["ls-remote", &world.bare_url("octo/spoon")]);
    done.assert(128, &["could not read Username", "terminal prompts disabled"]);
    world.hub.assert_untouched("no session");
    install_helper(&world, &world.token);
    world.sandbox.git_ok(".", &["ls-remote", &world.bare_url("octo/spoon")]);
    let log = helper_log(&world);
    for told in ["== get", "wwwauth[]=Basic realm=\"tidegate\", charset=\"UTF-8\"", "== store"] {
        assert!(log.contains(told), "{told} in\n{log}");
    }
    assert!(!log.contains("== erase"), "{log}");
    world.finish();
}

#[test]
fn g_15_who_is_not_known_learns_nothing_of_repositories() {
    let world = World::new();
    let answers: Vec<_> = ["octo/spoon", "octo/secret", "octo/absent"]
        .map(|name| world.ask(request("GET", &format!("/git/{name}/info/refs?service=git-upload-pack"), &[], b"")))
        .into_iter()
        .map(|reply| (reply.status, reply.text()))
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    world.finish();
}

#[test]
fn g_16_a_first_request_without_a_credential_is_no_attack() {
    let world = World::new();
    for _ in 0..20 {
        world.sandbox.git_ok(".", &["ls-remote", "--quiet", &world.url("octo/spoon"), "refs/heads/main"]);
    }
    let asked = world.hub.seen();
    assert!(asked.len() >= 20 && asked.iter().all(|seen| seen.header("authorization").is_some()), "{asked:#?}");
    world.finish();
}

#[test]
fn g_17_each_way_a_credential_can_be_bad_has_its_own_words() {
    let world = World::new();
    let revoked = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon"]);
    world.session(&["revoke", "s4"]);
    // The owner was told what the repository is like.
    let asked = world.hub.seen().len();
    let mut said = Vec::new();
    for (token, reason, word) in [
        ("nobody-has-this-token-0123456789abcdef", "session_unknown", "unknown"),
        (&*world.expired_token, "session_expired", "expired"),
        (&*revoked, "session_revoked", "revoked"),
    ] {
        let reply = world.ask(request("GET", DISCOVERY, &[&basic("x", token)], b""));
        assert_challenged(&reply, reason);
        let done = world.sandbox.git(".", &["ls-remote", &world.url_with(token, "octo/spoon")]);
        done.assert(128, &["remote: ", "Authentication failed"]);
        assert!(done.err.contains(word) || reason == "session_unknown", "{word:?} in {}", done.err);
        done.assert_silent_about(&["prompts disabled"]);
        said.push(reply.text());
        world.gate().wait_for_record(|record| record["reason"] == reason && record["door"] == "git" && record["verdict"] == "deny");
    }
    said.dedup();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert_eq!(world.hub.seen().len(), asked, "no session");
    world.finish();
}

#[test]
fn g_17_a_bad_credential_is_taken_out_of_the_helper() {
    let world = World::new();
    install_helper(&world, &world.expired_token);
    let done = world.sandbox.git(".", &["ls-remote", &world.bare_url("octo/spoon")]);
    done.assert(128, &["remote: ", "expired", "Authentication failed"]);
    let log = helper_log(&world);
    assert!(log.contains("== erase") && !log.contains("== store"), "{log}");
    world.finish();
}

#[test]
fn g_18_bearer_in_an_extra_header() {
    let world = World::new();
    let bearer = |token: &str| format!("http.extraHeader=Authorization: Bearer {token}");
    let url = world.bare_url("octo/spoon");
    let done = world.sandbox.git_ok(".", &["-c", &bearer(&world.token), "ls-remote", &url, "refs/heads/main"]);
    assert!(done.out.ends_with("\trefs/heads/main\n"), "{}", done.out);
    world.sandbox.git_ok(".", &["-c", &bearer(&world.token), "clone", "--quiet", &url, "clone"]);
    world.sandbox.git_ok("clone", &["-c", &bearer(&world.token), "push", "--quiet", "origin", "HEAD:refs/heads/agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("main"));
    let done = world.sandbox.git(".", &["-c", &bearer("nobody-has-this-token-0123456789abcdef"), "ls-remote", &url]);
    done.assert(128, &["could not read Username"]);
    world.finish();
}

/// Between discovery and push the session ends. A push in one piece and a push in chunks.
#[test]
fn g_19_a_session_that_ends_before_the_push_itself() {
    for buffer in ["1048576", "1000"] {
        let world = World::new();
        let token = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon:agent/fix-1"]);
        world.sandbox.cloned(&world.url_with(&token, "octo/spoon"), &["agent/fix-1"]);
        fs::write(world.sandbox.path("clone/noise"), noise(20_000)).unwrap();
        world.sandbox.commit("clone", "noise");
        let before = world.hub.refs("octo/spoon");
        // Run by git when it has seen the refs and before it sends the pack.
        let config = world.gate().path("tidegate.toml");
        let hook = format!("#!/bin/sh\n'{TIDEGATE}' session revoke --config '{}' s4\n", config.display());
        let path = world.sandbox.path("clone/.git/hooks/pre-push");
        fs::write(&path, hook).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let done = world.sandbox.git("clone", &["-c", &format!("http.postBuffer={buffer}"), "push", "origin", "main:agent/fix-1"]);
        assert!(done.code != Some(0), "{}", done.err);
        done.assert_silent_about(&["Everything up-to-date\n\n", "main -> agent/fix-1\n"]);
        assert_eq!(world.hub.refs("octo/spoon"), before);
        assert!(world.pushes().is_empty(), "nothing went up");
        world.gate().wait_for_record(|record| record["reason"] == "session_revoked" && record["method"] == "POST");
        world.finish();
    }
}

#[test]
fn g_19b_the_user_name_says_nothing() {
    let world = World::new();
    let token = &world.token;
    for (user, password) in [
        ("x-access-token", token.as_str()),
        ("git", token),
        ("local_proxy", token),
        ("", token),
        ("s2", token),
        (token, ""),
        (token, "x-oauth-basic"),
    ] {
        let reply = world.ask(request("GET", DISCOVERY, &[&basic(user, password)], b""));
        assert_eq!(reply.status, 200, "{user}: {reply:?}");
    }
    for userinfo in [format!("{token}:"), format!("{token}:x-oauth-basic"), format!("git:{token}")] {
        let url = world.bare_url("octo/spoon").replacen("://", &format!("://{userinfo}@"), 1);
        world.sandbox.git_ok(".", &["ls-remote", "--quiet", &url, "refs/heads/main"]);
    }
    world.finish();
}

#[test]
fn g_19c_two_credentials_are_none() {
    let world = World::new();
    let (good, other) = (basic("x", &world.token), basic("x", &world.other_token));
    let bearer = format!("Authorization: Bearer {}", world.token);
    for pair in [[&good, &good], [&good, &other], [&good, &bearer], [&bearer, &good]] {
        let reply = world.ask(request("GET", DISCOVERY, &pair.map(String::as_str), b""));
        assert_eq!(reply.verdict(), (400, "bad_request"), "{reply:?}");
    }
    let both = format!("{good}, Bearer {}", world.token);
    let reply = world.ask(request("GET", DISCOVERY, &[&both], b""));
    assert!([400, 401].contains(&reply.status), "{reply:?}");
    world.hub.assert_untouched("two credentials");
    world.finish();
}

#[test]
fn threat_90_tokens_that_nobody_here_made() {
    let (world, elsewhere) = (World::new(), World::new());
    let create = ["create", "--id", "s9", "--ttl", "1h", "--repo", "octo/spoon"];
    let (token, foreign) = (world.session(&create), elsewhere.session(&create));
    let ask = |token: &str| world.ask(request("GET", DISCOVERY, &[&basic("x", token)], b""));
    assert_eq!(ask(&token).status, 200);
    let before = world.hub.seen().len();
    let (body, footer) = token.strip_prefix("v4.public.").unwrap().split_once('.').unwrap();
    let last = if body.ends_with('A') { 'B' } else { 'A' };
    for forged in [
        foreign.clone(),
        format!("v4.public.{body}"),
        format!("v4.public.{body}.{footer}.{footer}"),
        format!("v4.local.{body}.{footer}"),
        format!("v3.public.{body}.{footer}"),
        format!("v4.public.{}{last}.{footer}", &body[..body.len() - 1]),
        format!("v4.public.{body}.Li4vLi4vZGV2L251bGw"),
        format!("{token}="),
        format!("{token} "),
        token.to_uppercase(),
        "eyJhbGciOiJub25lIn0.eyJzaWQiOiJzOSJ9.".into(),
        world.token[..world.token.len() - 1].into(),
        format!("{}0", world.token),
        world.token.to_uppercase(),
    ] {
        assert_challenged(&ask(&forged), "session_unknown");
    }
    assert_eq!(world.hub.seen().len(), before, "nothing went upstream");
    elsewhere.finish();
    world.finish();
}

#[test]
fn threat_91_each_token_gives_its_own_grant() {
    let world = World::new();
    world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&world.other_token, "octo/secret")]);
    world.sandbox.git(".", &["ls-remote", &world.url_with(&world.other_token, "octo/spoon")]).assert(128, &["403"]);
    world.sandbox.git(".", &["ls-remote", &world.url("octo/secret")]).assert(128, &["403"]);
    let of = |session: &str, repository: &str| {
        let record = world.gate().wait_for_record(|record| record["session"] == session && record["repository"] == repository);
        record["verdict"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!([of("s2", "octo/secret"), of("s2", "octo/spoon"), of("s1", "octo/secret")], ["allow", "deny", "deny"]);
    world.finish();
}

/// What a sandbox says besides stays below: that is held for every test at its end, and here it is tried.
#[test]
fn threat_92_g_14_nothing_of_the_sandbox_s_own_goes_upstream() {
    let world = World::new();
    let token = world.token.clone();
    let lines = [
        "Cookie: session=abc".to_owned(),
        format!("X-GitHub-Token: {token}"),
        "X-GitHub-Sudo: 1".into(),
        "X-Forwarded-For: 10.0.0.1".into(),
        "X-Forwarded-Host: evil.test".into(),
        "Forwarded: for=10.0.0.1".into(),
        format!("Proxy-Authorization: Basic {token}"),
        "Proxy-Connection: keep-alive".into(),
        "X-HTTP-Method-Override: DELETE".into(),
        format!("Referer: http://x:{token}@gate/"),
        "Accept-Encoding: gzip".into(),
        "Accept-Language: de".into(),
        "Connection: Cookie, X-GitHub-Token, Upgrade".into(),
        "Upgrade: h2c".into(),
        "Pragma: no-cache".into(),
        "User-Agent: git/2.47.3".into(),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let reply = world.ask_as("GET", DISCOVERY, &lines, b"");
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = world.hub.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("user-agent").as_deref(), Some("git/2.47.3"));
    assert_eq!(
        seen[0].header("authorization"),
        Some(format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{}", world.real))))
    );
    for (target, line) in [(format!("{DISCOVERY}&access_token={token}"), "X: 1"), (DISCOVERY.into(), "Connection: Authorization, Host")] {
        assert_eq!(world.ask_as("GET", &target, &[line], b"").verdict(), (400, "bad_request"), "{line}");
    }
    assert_eq!(world.hub.seen().len(), 1);
    world.finish();
}

#[test]
fn threat_93_credentials_that_are_not_quite_ones() {
    let world = World::new();
    let token = &world.token;
    let encoded = |pair: &str| BASE64_STANDARD.encode(pair);
    for value in [
        format!("Basic {}", encoded(&format!("x:{token}\0"))),
        format!("Basic {}", encoded(&format!("x\0:{token}"))),
        format!("Basic {}", encoded(&format!("x:{token}:extra"))),
        format!("Basic {}", encoded(&format!("x:extra:{token}"))),
        format!("Basic {}", encoded(token)),
        format!("Basic {token}"),
        format!("Basic {} ", encoded(&format!("x:{token} "))),
        format!("Basic {}x", encoded(&format!("x:{token}"))),
        format!("Basic{}", encoded(&format!("x:{token}"))),
        format!("token {token} x"),
        format!("token {token},"),
        format!("token={token}"),
        format!("Digest username=\"{token}\""),
        format!("Bearer {token}, Basic x"),
        "Basic".into(),
        String::new(),
    ] {
        let reply = world.ask(request("GET", DISCOVERY, &[&format!("Authorization: {value}")], b""));
        assert_eq!(reply.status, 401, "{}: {reply:?}", value.replace(token, "TOKEN"));
        assert!(reply.reason().starts_with("session_"), "{reply:?}");
    }
    world.hub.assert_untouched("no credential");
    for value in [
        format!("bAsIc {}", encoded(&format!("x:{token}"))),
        format!("bearer {token}"),
        format!("token {token}"),
        format!("ToKeN  {token}"),
    ] {
        let reply = world.ask(request("GET", DISCOVERY, &[&format!("authorization: {value}")], b""));
        assert_eq!(reply.status, 200, "the scheme's case is free: {reply:?}");
    }
    world.finish();
}

#[test]
fn threat_97_a_revoked_session_is_refused_within_a_second() {
    let world = World::new();
    let token = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon:agent/fix-1"]);
    world.sandbox.cloned(&world.url_with(&token, "octo/spoon"), &["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    world.sandbox.commit("clone", "later");
    let (before, asked) = (world.hub.refs("octo/spoon"), world.hub.seen().len());
    world.session(&["revoke", "s4"]);
    let since = Instant::now();
    let done = world.push(&["origin", "main:agent/fix-1"]);
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    done.assert(128, &["remote: ", "revoked", "Authentication failed"]);
    world.sandbox.git("clone", &["fetch"]).assert(128, &["revoked"]);
    assert_eq!((world.hub.refs("octo/spoon"), world.hub.seen().len()), (before, asked));
    world.finish();
}

#[test]
fn a_session_that_expires_is_told_so() {
    let world = World::new();
    let token = world.session(&["create", "--id", "s4", "--ttl", "1s", "--repo", "octo/spoon"]);
    // Not granted, so that nothing is under way when the moment comes.
    let elsewhere = DISCOVERY.replace("spoon", "secret");
    eventually("it expires", || {
        let reply = world.ask(request("GET", &elsewhere, &[&basic("x", &token)], b""));
        assert!([(403, "repository_not_granted"), (401, "session_expired")].contains(&reply.verdict()), "{reply:?}");
        reply.status == 401
    });
    assert_challenged(&world.ask(request("GET", DISCOVERY, &[&basic("x", &token)], b"")), "session_expired");
    let done = world.sandbox.git(".", &["ls-remote", &world.url_with(&token, "octo/spoon")]);
    done.assert(128, &["remote: ", "expired", "Authentication failed"]);
    world.finish();
}

/// The session ends while the upstream takes its time: whoever waits is told within a second.
#[test]
fn threat_97_a_session_that_ends_while_the_upstream_is_silent() {
    let world = World::new();
    world.hub.set(When::Always, Answer::Silence);
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let push = push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES);
    for (id, method, target, line, body) in [
        ("s4", "POST", "/git/octo/spoon/git-upload-pack", FETCH_TYPE, &b"0000"[..]),
        ("s5", "POST", "/git/octo/spoon/git-receive-pack", PUSH_TYPE, &push),
        ("s6", "GET", DISCOVERY, "Connection: close", b""),
    ] {
        let token = world.session(&["create", "--id", id, "--ttl", "1h", "--repo", "octo/spoon:agent/fix-1"]);
        let before = world.hub.seen().len();
        let mut client = world.connect();
        client.send(request(method, target, &[line, &basic("x", &token)], body));
        eventually("the upstream is asked", || world.hub.seen().len() > before);
        world.session(&["revoke", id]);
        let since = Instant::now();
        let answer = client.rest();
        assert!(since.elapsed() < Duration::from_secs(3), "{target}: it took {:?}", since.elapsed());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.contains("x-deny-reason: session_revoked"), "{target}: {answer}");
        world.gate().wait_for_record(|record| record["session"] == id && record["reason"] == "session_revoked");
    }
    world.finish();
}

/// The session ends while its push is on the way: what was decided when the request came holds for the whole of it, or nothing of it does.
#[test]
fn threat_120_a_push_is_one_decision() {
    let world = World::new();
    let token = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon:agent/fix-1"]);
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let body = push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES);
    let whole = request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &token)], &body);
    let (first, last) = whole.split_at(whole.len() - 10);
    let mut client = world.connect();
    client.send(first);
    world.hub.wait_for(|seen| seen.target.ends_with("/git-receive-pack") && !seen.body.is_empty());
    world.session(&["revoke", "s4"]);
    let rest = client.send(last).close_sending().rest();
    let moved = world.hub.refs("octo/spoon").get("refs/heads/agent/fix-1").cloned();
    let answered = rest.windows(2).any(|pair| pair == b"ok");
    // Either the push was whole and its sender learned so, or it was cut off before its end and moved nothing.
    assert!(moved == answered.then_some(main), "{moved:?}, and the answer was {}", rest.escape_ascii());
    if rest.starts_with(b"HTTP/1.1 200") && answered {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(!rest[end..].is_empty());
    }
    let reply = world.ask(request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &token)], &body));
    assert_challenged(&reply, "session_revoked");
    world.finish();
}

#[test]
fn a_probe_with_a_bad_credential_is_challenged() {
    let world = World::new();
    let reply = world.ask(request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &world.expired_token)], b"0000"));
    assert_challenged(&reply, "session_expired");
    let reply = world.post_push(b"0000");
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    let body = push_body(&[format!("{ZERO} {} refs/heads/main", "1".repeat(40))], CAPABILITIES);
    let said = report(&world.post_push(&body));
    assert!(said.lines[0] == "unpack ok" && said.lines[1].starts_with("ng refs/heads/main "), "{said:?}");
    world.hub.assert_untouched("neither");
    world.finish();
}

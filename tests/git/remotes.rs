//! Remotes as they are: `https://github.test/octo/spoon.git` through the proxy door, where GitHub's hosts end at the gateway.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Answer, Hub, Plan, Sandbox, When, Wire, World,
    bytes::{CAPABILITIES, ZERO, basic, noise, push_body, report},
    client::{Client, Reply, ask},
    eventually,
    sandbox::Heard,
    tidegate::Setup,
    world::refs_of,
};

const SPOON: &str = "https://github.test/octo/spoon";
const DISCOVERY: &str = "https://github.test/octo/spoon/info/refs?service=git-upload-pack";
const VERSIONS: [&str; 2] = ["HTTP/1.1", "HTTP/2"];

fn world() -> World {
    World::new().behind_the_proxy()
}

/// What curl shows of the last answer: its status, and a field of it.
#[track_caller]
fn status_and<'t>(shown: &'t str, field: &str) -> (&'t str, &'t str) {
    let (head, _) = shown.rsplit_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {shown}"));
    let head = head.rsplit("\r\n\r\n").next().unwrap();
    let value = head.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    (head.split(' ').nth(1).unwrap_or_default(), value.unwrap_or_default())
}

/// Fails unless something through the proxy door was refused so and recorded so.
#[track_caller]
fn assert_denied(world: &World, kind: &str, reason: &str) -> Value {
    let record = world.assert_denied(kind, reason);
    assert_eq!((&record["door"], &record["session"]), (&"proxy".into(), &"s1".into()), "{record:#}");
    record
}

/// `git remote -v` of the clone says what was written, and nothing of a gate (G-77).
#[track_caller]
fn assert_remote_is(world: &World, url: &str) {
    let shown = world.sandbox.git_ok("clone", &["remote", "-v"]).out;
    assert_eq!(shown, format!("origin\t{url} (fetch)\norigin\t{url} (push)\n"));
}

#[test]
fn a_clone_a_fetch_and_a_push_of_an_unmodified_remote_at_access_none() {
    for version in VERSIONS {
        let world = world();
        world.sandbox.git_ok(".", &["config", "--global", "http.version", version]);
        world.sandbox.cloned(SPOON, &["agent/fix-1"]);
        assert_remote_is(&world, SPOON);
        world.sandbox.git_ok(".", &["clone", "--quiet", "https://github.test/octo/reading.git", "reading"]);
        world.hub.git("octo/spoon", &["update-ref", "refs/heads/new", "refs/heads/other"]);
        world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
        assert_eq!(world.sandbox.id("origin/new"), world.hub.refs("octo/spoon")["refs/heads/new"]);
        // Longer than git buffers, so that it comes in chunks, after a push that is empty.
        fs::write(world.sandbox.path("clone/noise"), noise(2_000_000)).unwrap();
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
        world.sandbox.commit("clone", "noise");
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
        let pushed = world.push_record("allow");
        assert_eq!((&pushed["door"], &pushed["host"]), (&"proxy".into(), &"github.test".into()), "{pushed:#}");
        assert_eq!((&pushed["repository"], refs_of(&pushed)), (&"octo/spoon".into(), vec!["refs/heads/agent/fix-1"]), "{pushed:#}");
        let fetched = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["repository"] == "octo/reading");
        assert_eq!([&fetched["door"], &fetched["session"], &fetched["verdict"]], ["proxy", "s1", "allow"], "{fetched:#}");
        // The tunnel is on record when it is opened, and at its end with the bytes of all its requests.
        let ended = world.gate().wait_for_record(|record| record["kind"] == "connect" && record["bytes_up"].as_u64() > Some(2_000_000));
        assert_eq!([&ended["verdict"], &ended["host"]], ["allow", "github.test"], "{ended:#}");
        world.finish();
    }
}

#[test]
fn a_clone_a_fetch_and_pushes_of_an_unmodified_remote_by_socks() {
    let world = World::new();
    let door = format!("socks5h://x:{}@{}", world.token, world.gate().listener("socks"));
    world.sandbox.behind(&door, &world.root());
    world.sandbox.cloned(&format!("{SPOON}.git"), &["agent/fix-1"]);
    world.hub.git("octo/spoon", &["update-ref", "refs/heads/new", "refs/heads/other"]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
    assert_eq!(world.sandbox.id("origin/new"), world.hub.refs("octo/spoon")["refs/heads/new"]);
    assert_remote_is(&world, &format!("{SPOON}.git"));
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    let before = world.hub.refs("octo/spoon");
    world.push(&["origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: ", "refs/heads/agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/spoon"), before);
    for (verdict, kind) in [("allow", "connect"), ("allow", "fetch"), ("allow", "push"), ("deny", "push")] {
        let record = world.gate().wait_for_record(|record| record["verdict"] == verdict && record["kind"] == kind);
        assert_eq!([&record["door"], &record["session"], &record["host"]], ["socks", "s1", "github.test"], "{record:#}");
    }
    let done = world.sandbox.git(".", &["clone", "https://github.test/octo/secret", "other"]);
    done.assert(128, &["remote: Tidegate: This session has no grant for octo/secret"]);
    world.finish();
}

/// Nothing but what `tidegate env` prints tells this git of the proxy, of its token, and of whom to trust.
#[test]
fn remotes_written_for_ssh_go_through_the_gate_where_env_is_evaluated() {
    let world = World::new();
    for (remote, clone) in [("git@github.test:octo/spoon.git", "by-path"), ("ssh://git@github.test/octo/spoon", "by-url")] {
        world.told(&["git", "clone", "--quiet", remote, clone]).assert(0, &[]);
        assert_eq!(world.sandbox.git_ok(clone, &["remote", "get-url", "origin"]).out.trim(), remote);
    }
    let fetched = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["repository"] == "octo/spoon");
    assert_eq!([&fetched["door"], &fetched["session"], &fetched["verdict"]], ["proxy", "s1", "allow"], "{fetched:#}");
    world.finish();
}

#[test]
fn a_push_that_is_not_granted_is_refused_in_git_s_own_words() {
    for version in VERSIONS {
        let world = world();
        world.sandbox.git_ok(".", &["config", "--global", "http.version", version]);
        world.sandbox.cloned(SPOON, &[]);
        let before = world.hub.refs("octo/spoon");
        let done = world.push(&["origin", "main"]);
        done.assert(1, &["! [remote rejected] main -> main (policy: ", "remote: ", "refs/heads/agent/fix-1"]);
        assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
        let record = assert_denied(&world, "push", "ref_not_granted");
        assert_eq!((&record["repository"], refs_of(&record)), (&"octo/spoon".into(), vec!["refs/heads/main"]), "{record:#}");
        world.finish();
    }
}

#[test]
fn threat_114_no_other_repository_is_reached() {
    let world = world();
    let done = world.sandbox.git(".", &["clone", "https://github.test/octo/secret", "clone"]);
    done.assert(128, &["remote: Tidegate: This session has no grant for octo/secret", "403"]);
    for (path, reason) in [
        ("octo/spoon/../secret/info/refs?service=git-upload-pack", "bad_request"),
        ("octo/%2e%2e/octo/secret/info/refs?service=git-upload-pack", "bad_request"),
        ("octo/spoon.git.git/info/refs?service=git-upload-pack", "repository_not_granted"),
        ("octo/spoon.wiki/info/refs?service=git-upload-pack", "repository_not_granted"),
        ("octo/spoon/objects/info/packs", "api_not_allowed"),
        ("octo/spoon/info/refs?service=git-upload-pack&service=git-receive-pack", "bad_request"),
        ("git/octo/spoon/info/refs?service=git-upload-pack", "path_not_allowed"),
    ] {
        for version in ["--http1.1", "--http2"] {
            let shown = world.curl(&[version, "--path-as-is", &format!("https://github.test/{path}")]).out;
            assert_eq!(status_and(&shown, "x-deny-reason").1, reason, "{version} {path}: {shown}");
        }
    }
    world.hub.assert_untouched("no repository of the session's");
    world.finish();
}

/// Neither a deny entry, nor a skipped host, nor a rule, nor the level changes what grants say; the operator is told.
#[test]
fn no_policy_has_a_say_about_the_host() {
    for policy in [
        "access = \"none\"\ndeny = [\"github.test\"]\n[tls]\nskip = [\"github.test\"]\n",
        "access = \"none\"\ndeny = [\"**.test\"]\n[[rule]]\nname = \"nothing\"\nhosts = [\"github.test\"]\nmethods = [\"DELETE\"]\n",
    ] {
        let world = World::of(&Plan { policy, ..Plan::default() }).behind_the_proxy();
        world.sandbox.cloned(SPOON, &["agent/fix-1"]);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        let said = world.gate().stderr();
        assert_eq!(said.matches("has no effect on github.test").count(), 2, "{said}");
        world.finish();
    }
}

#[test]
fn a_policy_that_allows_everything_opens_no_way_around_the_gateway() {
    let world = World::of(&Plan { policy: "access = \"full\"", ..Plan::default() }).behind_the_proxy();
    // A leaf of ours is shown, not the certificate of whoever has that name.
    world.sandbox.git(".", &["clone", "https://github.test/octo/secret", "clone"]).assert(128, &["This session has no grant"]);
    let shown = world.curl(&["https://api.github.test/user/emails"]).out;
    assert_eq!(status_and(&shown, "x-deny-reason"), ("403", "api_not_allowed"), "{shown}");
    world.hub.assert_untouched("not granted");
    world.finish();
}

#[test]
fn threat_124_what_is_not_served_of_the_api_and_its_like_is_refused_in_their_own_language() {
    for version in ["--http1.1", "--http2"] {
        let world = world();
        for (url, kind, json) in [
            ("https://api.github.test/repos/octo/spoon/hooks", "api", true),
            ("https://api.github.test/graphql", "api", true),
            ("https://uploads.github.test/repos/octo/spoon/keys", "api", true),
            ("https://github.test/api/v3/user/emails", "api", true),
            ("https://github.test/api/graphql", "api", true),
            ("https://gist.github.test/0123456789abcdef.git/info/refs?service=git-receive-pack", "http", false),
            ("https://github.test/octo/spoon/pulls", "http", false),
            ("https://github.test/", "http", false),
        ] {
            let shown = world.curl(&[version, url]).out;
            assert_eq!(status_and(&shown, "x-deny-reason"), ("403", "api_not_allowed"), "{url}: {shown}");
            let body = shown.rsplit_once("\r\n\r\n").unwrap().1;
            if json {
                let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
                assert_eq!((body["status"].as_str(), body["message"].is_string()), (Some("403"), true), "{body:#}");
                assert_eq!(body["documentation_url"], "http://tidegate.internal/refusals");
            } else {
                assert!(body.starts_with("Tidegate: "), "{body}");
            }
            let path = url.split('?').next().unwrap().splitn(4, '/').nth(3).unwrap();
            let record = world.gate().wait_for_record(|record| record["path"] == format!("/{path}"));
            assert_eq!(
                [&record["kind"], &record["verdict"], &record["reason"], &record["door"], &record["method"]],
                [kind, "deny", "api_not_allowed", "proxy", "GET"],
                "{record:#}"
            );
        }
        world.hub.assert_untouched("no API");
        world.finish();
    }
}

#[test]
fn threat_83_deep_json_and_ten_thousand_aliases_are_refused_unread() {
    let world = world();
    let aliases = (0..10_000).map(|number| format!("a{number}: viewer {{ login }} ")).collect::<Vec<_>>().concat();
    let bodies = ["{".repeat(100_000), format!("{{\"query\": {}", "[".repeat(100_000)), format!("{{\"query\": \"{{ {aliases} }}\"}}")];
    // What it takes to answer at all.
    world.curl(&["https://api.github.test/graphql"]);
    let (before, began) = (world.gate().peak_memory(), Instant::now());
    for (number, body) in bodies.iter().enumerate() {
        let file = format!("body{number}");
        fs::write(world.sandbox.path(&file), body).unwrap();
        let data = format!("@{}", world.sandbox.path(&file).display());
        let json = "Content-Type: application/json";
        // Over HTTP/2 this curl loses answers that come before it has sent all.
        let done = world.curl(&["--http1.1", "--data-binary", &data, "-H", json, "https://api.github.test/graphql"]);
        assert_eq!(status_and(&done.out, "x-deny-reason"), ("403", "api_not_allowed"), "{number}: {}{}", done.out, done.err);
    }
    let (grown, took) = (world.gate().peak_memory() - before, began.elapsed());
    assert!(grown < 16 << 10 && took < Duration::from_secs(10), "{grown} KiB, {took:?}");
    let refused =
        world.gate().records().iter().filter(|record| record["reason"] == "api_not_allowed" && record["method"] == "POST").count();
    assert_eq!(refused, bodies.len());
    world.hub.assert_untouched("no API");
    world.finish();
}

/// What CONNECT is answered.
#[track_caller]
fn connect(world: &World, authority: &str) -> Result<Client, Reply> {
    let mut client = Client::connect(world.gate().proxy());
    let authorization = basic("x", &world.token);
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-{authorization}\r\n\r\n"));
    let reply = client.reply_to("CONNECT");
    if reply.status == 200 { Ok(client) } else { Err(reply) }
}

#[test]
fn nothing_but_https_at_its_own_port() {
    let world = world();
    for authority in ["github.test:22", "github.test:80", "github.test:8443", "api.github.test:80", "gist.github.test:22"] {
        let refused = connect(&world, authority).err().expect("a refusal");
        assert_eq!(refused.verdict(), (403, "port_not_allowed"), "{authority}: {refused:?}");
        assert!(refused.text().contains("https://github.test/OWNER/NAME.git"), "{refused:?}");
    }
    let authorization = basic("x", &world.token);
    let plain = ask(
        world.gate().proxy(),
        format!("GET http://github.test/octo/spoon HTTP/1.1\r\nHost: github.test\r\nProxy-{authorization}\r\n\r\n"),
    );
    assert_eq!(plain.verdict(), (403, "port_not_allowed"), "{plain:?}");
    world.sandbox.git(".", &["clone", "http://github.test/octo/spoon", "clone"]).assert(128, &["https://github.test/OWNER/NAME.git"]);
    assert_denied(&world, "http", "port_not_allowed");
    assert_denied(&world, "connect", "port_not_allowed");
    world.hub.assert_untouched("no https");
    world.finish();
}

#[test]
fn threats_39_to_42_every_name_is_the_host_s() {
    let world = world();
    // The server name is another's than the tunnel's.
    for hello in [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec(), b"SSH-2.0-x\r\n".to_vec()] {
        let mut client = connect(&world, "github.test:443").expect("a tunnel");
        client.send(&hello).assert_closed_or_alert();
    }
    assert_denied(&world, "connect", "opaque_tunnel");
    let done = world.curl(&["--connect-to", "evil.test:443:github.test:443", "https://evil.test/octo/spoon"]);
    assert!(done.code != Some(0) && !done.out.contains("Tidegate"), "{}{}", done.out, done.err);
    assert_denied(&world, "connect", "misdirected");
    // Host is another's than the server name.
    for version in ["--http1.1", "--http2"] {
        for host in ["api.github.test", "evil.test", "github.test:8443"] {
            let shown = world.curl(&[version, "--header", &format!("Host: {host}"), DISCOVERY]).out;
            assert_eq!(status_and(&shown, "x-deny-reason"), ("421", "misdirected"), "{version} {host}: {shown}");
        }
    }
    let shown = world.curl(&["--http1.1", "--request-target", "https://api.github.test/user", DISCOVERY]).out;
    assert_eq!(status_and(&shown, "x-deny-reason"), ("421", "misdirected"), "{shown}");
    world.hub.assert_untouched("other names");
    world.finish();
}

/// Threats 91 to 93 where a tunnel says whose a request is: a token of somebody else's, or of nobody's, is refused, and that of
/// the session is dropped.
#[test]
fn threats_91_92_and_93_no_credential_of_the_sandbox_s_own_counts() {
    let world = world();
    let foreign = [
        basic("x", &world.other_token),
        basic("x", &world.expired_token),
        basic("x-access-token", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        "Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345".into(),
        basic("x", &format!("{}:extra", world.token)),
        basic("x\0y", &world.token),
        "Authorization: Digest username=\"x\"".into(),
    ];
    for version in ["--http1.1", "--http2"] {
        for line in &foreign {
            let shown = world.curl(&[version, "--header", line, DISCOVERY]).out;
            assert_eq!(status_and(&shown, "x-deny-reason"), ("403", "credential_not_allowed"), "{version} {line}: {shown}");
            assert!(shown.contains("Tidegate: The request carries a credential"), "{shown}");
        }
        let twice = ["--header", &basic("x", &world.token), "--header", &basic("x", &world.token)];
        let shown = world.curl(&[&[version], &twice[..], &[DISCOVERY]].concat()).out;
        assert_ne!(status_and(&shown, "x-deny-reason"), ("200", ""), "{shown}");
    }
    // git shows why.
    let header = format!("http.extraHeader={}", foreign[3]);
    let done = world.sandbox.git(".", &["-c", &header, "clone", SPOON, "clone"]);
    done.assert(128, &["remote: Tidegate: The request carries a credential that is not this session's token", "403"]);
    assert_denied(&world, "fetch", "credential_not_allowed");
    world.hub.assert_untouched("foreign credentials");
    // What a sandbox adds besides goes nowhere: the harness looks at every request upstream.
    for version in ["--http1.1", "--http2"] {
        let own = ["--header", "Cookie: a=b", "--header", "X-GitHub-Api-Version: 1", "--header", &basic("any", &world.token)];
        let shown = world.curl(&[&[version], &own[..], &[DISCOVERY]].concat()).out;
        assert_eq!(status_and(&shown, "content-type"), ("200", "application/x-git-upload-pack-advertisement"), "{shown}");
    }
    let shown = world.curl(&[&format!("{DISCOVERY}&access_token=x")]).out;
    assert_eq!(status_and(&shown, "x-deny-reason").1, "bad_request", "{shown}");
    let authorizations: Vec<_> = world.hub.seen().iter().map(|seen| seen.header("authorization")).collect();
    let real = basic("x-access-token", &world.real).strip_prefix("Authorization: ").map(str::to_owned);
    assert!(authorizations.len() == 2 && authorizations.iter().all(|shown| *shown == real), "the owner's credential alone");
    world.finish();
}

/// Threat 94: what only looks like GitHub is no host of it, and at this level no destination either.
#[test]
fn threat_94_a_host_that_looks_like_it_gets_nothing() {
    let world = world();
    for host in ["github.test.evil", "evilgithub.test", "api.github.test.evil", "www.github.test", "x.api.github.test"] {
        let refused = connect(&world, &format!("{host}:443")).err().expect("a refusal");
        assert_eq!(refused.verdict(), (403, "network_disabled"), "{host}: {refused:?}");
        let done = world.sandbox.git(".", &["clone", &format!("https://{host}/octo/spoon"), "clone"]);
        assert_eq!(done.code, Some(128), "{}", done.err);
    }
    // A user name in the URL is the client's own matter, and goes nowhere.
    world.sandbox.git_ok(".", &["clone", "--quiet", "https://me@github.test/octo/spoon", "clone"]);
    world.finish();
}

#[test]
fn a_reload_that_withdraws_the_grant_ends_a_fetch_under_way() {
    for version in VERSIONS {
        let world = World::of(&Plan { policy: "access = \"none\"", ..Plan::default() }).behind_the_proxy();
        world.sandbox.git_ok(".", &["config", "--global", "http.version", version]);
        world.hub.set(When::Post, Answer::Silence);
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| world.sandbox.git(".", &["clone", SPOON, "clone"]));
            world.hub.wait_for(|seen| seen.target.ends_with("/git-upload-pack") && seen.whole);
            let path = world.gate().path("tidegate.toml");
            let written = fs::read_to_string(&path).unwrap();
            fs::write(&path, written.replace("name = \"octo/spoon\"", "name = \"octo/other\"")).unwrap();
            world.gate().signal("HUP");
            let done = fetching.join().unwrap();
            done.assert(128, &["This session has no grant for octo/spoon"]);
        });
        assert_denied(&world, "fetch", "repository_not_granted");
        world.finish();
    }
}

#[test]
fn the_end_of_the_session_ends_its_tunnels() {
    let world = world();
    world.hub.set(When::Post, Answer::Silence);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| world.sandbox.git(".", &["clone", SPOON, "clone"]));
        world.hub.wait_for(|seen| seen.target.ends_with("/git-upload-pack") && seen.whole);
        world.session(&["revoke", "s1"]);
        assert_eq!(fetching.join().unwrap().code, Some(128));
    });
    assert_denied(&world, "connect", "session_revoked");
    let refused = connect(&world, "github.test:443").err().expect("a refusal");
    assert_eq!(refused.verdict(), (407, "session_revoked"), "{refused:?}");
    world.finish();
}

/// A second GitHub, at which nothing is granted: nothing is passed on unread.
#[test]
fn another_github_is_read_and_serves_nothing() {
    let github = "[[github]]\nhost = \"code.localhost\"\ncredential = { env = \"REAL_TOKEN\" }\n";
    let world = World::of(&Plan { github, policy: "access = \"full\"", ..Plan::default() }).behind_the_proxy();
    let done = world.sandbox.git(".", &["clone", "https://code.localhost/octo/spoon", "clone"]);
    done.assert(128, &["remote: Tidegate: This session has no grant for code.localhost/octo/spoon."]);
    let record = assert_denied(&world, "fetch", "repository_not_granted");
    assert_eq!((&record["host"], &record["repository"]), (&"code.localhost".into(), &"code.localhost/octo/spoon".into()), "{record:#}");
    world.hub.assert_untouched("another GitHub");
    world.finish();
}

#[test]
fn a_github_may_have_a_name_of_this_machine() {
    let world = World::of(&Plan { host: "git.localhost", ..Plan::default() }).behind_the_proxy();
    world.sandbox.git_ok(".", &["clone", "--quiet", "https://git.localhost/octo/spoon.git", "clone"]);
    let refused = connect(&world, "other.localhost:443").err().expect("a refusal");
    assert_eq!(refused.status, 403, "{refused:?}");
    world.finish();
}

#[test]
fn the_sandbox_s_own_pages_say_who_decides() {
    let world = world();
    let page: Value = serde_json::from_str(&world.own_page("GET", "/session", "").text()).unwrap();
    assert_eq!(page["github"], "github.test", "{page:#}");
    for (target, method, verdict) in [
        (format!("{SPOON}.git/info/refs?service=git-upload-pack"), "GET", "allow"),
        (format!("{SPOON}.git/git-receive-pack"), "POST", "allow"),
        ("https://github.test/octo/secret/git-upload-pack".into(), "POST", "repository_not_granted"),
        ("https://github.test/octo/reading/git-receive-pack".into(), "POST", "read_only"),
        ("https://api.github.test/user/emails".into(), "GET", "api_not_allowed"),
        ("http://github.test/octo/spoon".into(), "GET", "port_not_allowed"),
        ("https://github.test.evil/octo/spoon".into(), "GET", "network_disabled"),
    ] {
        assert_eq!(world.explained(&target, method), verdict, "{target}");
    }
    world.hub.assert_untouched("asked about alone");
    world.finish();
}

#[test]
fn tunnels_and_requests_count_against_the_session_s_limits() {
    let policy = "access = \"none\"\n[limits]\ntunnels = 1\n";
    let world = World::of(&Plan { policy, ..Plan::default() }).behind_the_proxy();
    let held = connect(&world, "github.test:443").expect("a tunnel");
    let refused = connect(&world, "github.test:443").err().expect("a refusal");
    assert_eq!(refused.verdict(), (503, "too_many_tunnels"), "{refused:?}");
    drop(held);
    eventually("the place is free", || connect(&world, "github.test:443").is_ok());
    world.finish();
    // Streams that share a connection take a place each.
    let policy = "access = \"none\"\n[limits]\nconnections = 1\n";
    let world = World::of(&Plan { policy, ..Plan::default() }).behind_the_proxy();
    for (version, expected) in [("--http1.1", ("200", "")), ("--http2", ("503", "too_many_connections"))] {
        eventually("the connection before has ended", || {
            let shown = world.curl(&[version, DISCOVERY]).out;
            status_and(&shown, "x-deny-reason") == expected
        });
    }
    world.finish();
}

/// Where nobody is asked who they are, the one session there is has no grants: what anybody may read is all, and a credential of the
/// sandbox's own is refused all the same.
#[test]
fn without_sessions_only_what_anybody_may_read_is_served() {
    for public_read in [true, false] {
        let hub = Hub::start(Wire::Plain, None);
        let github = format!("[[github]]\nhost = \"github.test\"\ngit_url = \"{}\"\npublic_read = {public_read}\n", hub.url());
        let gate = Setup::new("access = \"none\"").tables(&github).start();
        let sandbox = Sandbox::new(&Heard::default());
        let root = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").text();
        sandbox.behind(&format!("http://{}", gate.proxy()), &root);
        let own = ["-c", "http.extraHeader=Authorization: Bearer ghp_own", "clone", SPOON, "own"];
        sandbox.git(".", &own).assert(128, &["remote: Tidegate: The request carries a credential"]);
        let done = sandbox.git(".", &["clone", SPOON, "clone"]);
        if public_read {
            done.assert(0, &[]);
            sandbox.commit("clone", "mine");
            sandbox.git("clone", &["push", "origin", "main"]).assert(128, &["remote: Tidegate: "]);
            assert!(hub.seen().iter().all(|seen| seen.header("authorization").is_none() && !seen.target.contains("receive")));
        } else {
            done.assert(128, &["remote: Tidegate: This session has no grant for octo/spoon"]);
            hub.assert_untouched("not granted");
        }
        gate.finish();
    }
}

/// A push by hand inside the tunnel: the report is git's own, whatever the client is.
#[test]
fn a_push_over_http_2_by_another_client_is_answered_natively() {
    let world = world();
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let body = world.sandbox.path("push.bin");
    fs::write(&body, push_body(&[format!("{ZERO} {main} refs/heads/main2")], CAPABILITIES)).unwrap();
    for version in ["--http1.1", "--http2"] {
        let data = format!("@{}", body.display());
        let kind = "Content-Type: application/x-git-receive-pack-request";
        let url = format!("{SPOON}/git-receive-pack");
        let shown = world.curl(&[version, "--header", kind, "--data-binary", &data, &url]).out;
        let (head, body) = shown.rsplit_once("\r\n\r\n").unwrap();
        let headers = vec![("content-type".to_owned(), status_and(&shown, "content-type").1.to_owned())];
        let reply = Reply { status: 200, headers, body: body.as_bytes().to_vec() };
        assert!(head.contains("x-deny-reason: ref_not_granted"), "{head}");
        let report = report(&reply);
        assert!(report.lines[1].starts_with("ng refs/heads/main2 "), "{report:?}");
    }
    world.finish();
}

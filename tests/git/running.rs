//! The door beside everything else: limits, records, reload, the sandbox's own pages, and repositories on disk.

use std::fs;

use crate::harness::{
    Plan, World,
    bytes::{CAPABILITIES, FETCH_TYPE, PUSH_TYPE, ZERO, basic, line, noise, push_body, report, request},
    eventually,
    world::{GRANTS, refs_of},
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";

/// Repositories that lie on disk, one for writing and one for reading; the credential is for neither.
const ON_DISK: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*"]
delete = true
upstream_path = "{HUB}/octo/spoon.git"

[[session.repository]]
name = "octo/reading"
access = "read"
upstream_path = "{HUB}/octo/reading.git"
"#;

#[test]
fn a_repository_on_disk_is_served_in_the_same_way() {
    let world = World::granting(ON_DISK).cloned(&["agent/a"]);
    let before = world.hub.refs("octo/spoon");
    world.push(&["origin", "main", "agent/a"]).assert(
        1,
        &[
            "! [remote rejected] main -> main (policy: ",
            "agent/a -> agent/a (not attempted: another ref was refused)",
            "refs/heads/agent/*",
        ],
    );
    assert_eq!(world.hub.refs("octo/spoon"), before);
    for buffer in ["1024", "1048576"] {
        fs::write(world.sandbox.path("clone/noise"), noise_of(buffer)).unwrap();
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/a"]);
        world.sandbox.commit("clone", &format!("noise-{buffer}"));
        let option = format!("http.postBuffer={buffer}");
        world.sandbox.git("clone", &["-c", &option, "push", "origin", "agent/a"]).assert(0, &["agent/a -> agent/a"]);
        assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/a"], world.sandbox.id("agent/a"));
    }
    world.push(&["origin", "--delete", "agent/a"]).assert(0, &["[deleted]"]);
    for version in ["0", "1", "2"] {
        let copy = format!("copy{version}");
        world.sandbox.git_ok(".", &["-c", &format!("protocol.version={version}"), "clone", "--quiet", &world.url("octo/reading"), &copy]);
    }
    let shallow = ["clone", "--quiet", "--depth", "1", "--filter=blob:none", &world.url("octo/reading"), "shallow"];
    world.sandbox.git_ok(".", &shallow);
    world.sandbox.git("copy2", &["push", "origin", "HEAD:refs/heads/agent/a"]).assert(128, &["read only for this session"]);
    world.push(&["--push-option", "ci.skip", "origin", "agent/a"]).assert(1, &["does not support push options"]);
    world.hub.assert_untouched("on disk");
    world.finish();
}

fn noise_of(seed: &str) -> Vec<u8> {
    [noise(200_000), seed.as_bytes().to_vec()].concat()
}

#[test]
fn of_a_repository_on_disk_no_sandbox_sees_where_it_lies() {
    let world = World::granting(ON_DISK);
    let place = world.hub.root().display().to_string();
    fs::remove_dir_all(world.hub.path("octo/reading")).unwrap();
    let done = world.sandbox.git(".", &["clone", &world.url("octo/reading"), "clone"]);
    done.assert(128, &["remote: "]);
    done.assert_silent_about(&[&place]);
    for (method, target, body) in [
        ("GET", "/git/octo/reading/info/refs?service=git-upload-pack", Vec::new()),
        ("POST", "/git/octo/reading/git-upload-pack", [line("command=ls-refs\n"), b"0000".to_vec()].concat()),
    ] {
        let reply = world.ask_as(method, target, &[FETCH_TYPE, "Git-Protocol: version=2"], &body);
        assert!(!reply.reason().is_empty() && !format!("{:?} {}", reply.headers, reply.text()).contains(&place), "{reply:?}");
    }
    world.finish();
}

#[test]
fn g_29_too_many_requests_are_told_to_wait() {
    let world = World::of(&Plan { policy: "access = \"none\"\n[limits]\nrequests_per_second = 1\n", ..Plan::default() });
    let mut last = world.ask_as("GET", DISCOVERY, &[], b"");
    for _ in 0..50 {
        if last.status != 200 {
            break;
        }
        last = world.ask_as("GET", DISCOVERY, &[], b"");
    }
    assert_eq!(last.verdict(), (429, "rate_limited"), "{last:?}");
    assert!(last.header("retry-after").is_some() && !last.text().starts_with('{'), "{last:?}");
    let asked = world.hub.seen().len();
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let reply = world.post_push(&push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES));
    assert_eq!((reply.status, reply.reason()), (200, "rate_limited"), "{reply:?}");
    assert!(report(&reply).lines[1].starts_with("ng refs/heads/agent/fix-1 "), "{reply:?}");
    let reply = world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[FETCH_TYPE], &line("command=ls-refs\n"));
    assert!((reply.status, reply.reason()) == (200, "rate_limited") && reply.body[4..].starts_with(b"ERR "), "{reply:?}");
    assert_eq!(world.hub.seen().len(), asked, "nothing went upstream");
    world.finish();
}

#[test]
fn threat_133_what_cannot_be_recorded_does_not_happen() {
    let world = World::of(&Plan { audit: "file = \"/dev/full\"", ..Plan::default() });
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let reply = world.post_push(&push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES));
    assert_eq!((reply.status, reply.reason()), (200, "audit_unavailable"), "{reply:?}");
    assert_eq!(world.ask_as("GET", DISCOVERY, &[], b"").verdict(), (503, "audit_unavailable"));
    world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]).assert(128, &["503"]);
    world.hub.assert_untouched("no record");
    world.finish();
}

#[test]
fn a_reload_changes_what_may_be_pushed() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let path = world.gate().path("tidegate.toml");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(&path, written.replace("refs/heads/agent/fix-1", "refs/heads/agent/fix-2")).unwrap();
    let before = world.gate().metric("tidegate_policy_generation");
    world.gate().signal("HUP");
    eventually("the reload", || world.gate().metric("tidegate_policy_generation") > before);
    world
        .push(&["origin", "agent/fix-1"])
        .assert(1, &["! [remote rejected] agent/fix-1 -> agent/fix-1 (policy: ", "refs/heads/agent/fix-2"]);
    world.push(&["origin", "agent/fix-1:agent/fix-2"]).assert(0, &["agent/fix-1 -> agent/fix-2"]);
    world.finish();
}

/// The grant changes while a push is on the way: it is whole, or it is not.
#[test]
fn threat_120_a_push_under_a_grant_that_changes() {
    let world = World::new();
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    let body = push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES);
    let whole = request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &world.token)], &body);
    let (first, last) = whole.split_at(whole.len() - 10);
    let mut client = world.connect();
    client.send(first);
    world.hub.wait_for(|seen| seen.target.ends_with("/git-receive-pack") && !seen.body.is_empty());
    let path = world.gate().path("tidegate.toml");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(&path, written.replace("refs/heads/agent/fix-1", "refs/heads/agent/fix-2")).unwrap();
    world.gate().signal("HUP");
    // Cut off, although its sender says nothing more.
    world.hub.wait_for(|seen| seen.target.ends_with("/git-receive-pack") && seen.over && !seen.whole);
    let answer = String::from_utf8_lossy(&client.send(last).rest()).into_owned();
    // Where the upstream had begun its answer, that ends without its end.
    let cut_off = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("chunked\r\n") && answer.ends_with("\r\n\r\n");
    let cut_off = cut_off && !answer.ends_with("0\r\n\r\n");
    assert!(answer.is_empty() || answer.contains("x-deny-reason: ref_not_granted") || cut_off, "{answer}");
    world.gate().wait_for_record(|record| record["reason"] == "ref_not_granted" && record["kind"] == "push");
    assert!(!world.hub.refs("octo/spoon").contains_key("refs/heads/agent/fix-1"));
    assert!(world.pushes().iter().all(|seen| !seen.whole), "{:#?}", world.pushes());
    world.finish();
}

#[test]
fn the_sandbox_s_own_pages_are_behind_this_door_too() {
    let world = World::new();
    let own = |path: &str, token: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: tidegate.internal\r\n{}\r\n\r\n", basic("x", token));
        world.ask(text)
    };
    let page = own("/session", &world.token);
    assert!(page.status == 200 && page.text().contains("\"s1\""), "{page:?}");
    let refused = own("/session", &world.expired_token);
    assert_eq!(refused.verdict(), (401, "session_expired"), "{refused:?}");
    assert_eq!(world.ask_as("GET", "/session", &[], b"").verdict(), (403, "path_not_allowed"));
    world.ask_as("GET", "/git/octo/secret/info/refs?service=git-upload-pack", &[], b"");
    let latest = own("/refusals", &world.token);
    assert!(latest.status != 200 || latest.text().contains("repository_not_granted"), "{latest:?}");
    world.finish();
}

/// What the record of a fetch and of a push holds at their ends.
#[test]
fn the_ends_of_a_fetch_and_a_push_are_recorded_with_their_sizes() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    let fetched =
        world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["bytes_down"].as_u64().is_some_and(|bytes| bytes > 300));
    assert_eq!((&fetched["repository"], &fetched["verdict"]), (&"octo/spoon".into(), &"allow".into()), "{fetched:#}");
    let pushed = world.gate().wait_for_record(|record| record["kind"] == "push" && record["bytes_up"].as_u64().is_some());
    let sent = world.pushes().pop().unwrap().length;
    assert_eq!((refs_of(&pushed), pushed["bytes_up"].as_u64()), (vec!["refs/heads/agent/fix-1"], Some(sent)), "{pushed:#}");
    let records = world.gate().records();
    let of_pushes: Vec<_> = records.iter().filter(|record| record["kind"] == "push" && record["method"] == "POST").collect();
    assert_eq!(of_pushes.len(), 2, "decided, and over: {of_pushes:#?}");
    for record in &records {
        assert!(!record["path"].as_str().unwrap_or_default().contains('?'), "{record:#}");
    }
    world.finish();
}

#[test]
fn g_56_a_push_beyond_the_upload_budget_moves_nothing() {
    for (grants, natively) in [(GRANTS, true), (ON_DISK, false)] {
        let policy = "access = \"none\"\n[limits]\nupload_budget = \"64 KiB\"";
        let world = World::of(&Plan { policy, grants, ..Plan::default() }).cloned(&["agent/fix-1"]);
        let before = world.hub.refs("octo/spoon");
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
        fs::write(world.sandbox.path("clone/large"), noise(1 << 20)).unwrap();
        world.sandbox.commit("clone", "much");
        let done = world.push(&["origin", "agent/fix-1"]);
        assert!(done.code.is_some_and(|code| code != 0), "{}", done.err);
        if natively {
            done.assert(1, &["! [remote rejected]", "upload_budget of [limits], 65536 octets"]);
            let sent: usize = world.pushes().iter().map(|seen| seen.body.len()).sum();
            assert!(sent <= 64 << 10, "{sent} octets left");
        }
        world.assert_denied("push", "budget_exhausted");
        assert_eq!(world.hub.refs("octo/spoon"), before);
        let fetched = world.sandbox.git("clone", &["fetch", "origin"]);
        assert!(fetched.code.is_some_and(|code| code != 0) && fetched.err.contains("upload_budget"), "{}", fetched.err);
        world.finish();
    }
}

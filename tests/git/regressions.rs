//! What once went wrong.

use std::fs;

use crate::harness::{
    Answer, Plan, When, World,
    bytes::{CAPABILITIES, FETCH_TYPE, PUSH_TYPE, ZERO, basic, line, noise, push_body, request},
    eventually,
};

const ON_DISK: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*", "refs/notes/*"]
upstream_path = "{HUB}/octo/spoon.git"
"#;

const FORWARD_ONLY_ON_DISK: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*", "refs/notes/*"]
force = false
upstream_path = "{HUB}/octo/spoon.git"
"#;

/// Rewrites the configuration and waits until it holds.
#[track_caller]
fn reload(world: &World, from: &str, to: &str) {
    let path = world.gate().path("tidegate.toml");
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains(from), "{written}");
    fs::write(&path, written.replacen(from, to, 1)).unwrap();
    let before = world.gate().metric("tidegate_policy_generation");
    world.gate().signal("HUP");
    eventually("the reload", || world.gate().metric("tidegate_policy_generation") > before);
}

/// git refuses to move branches back, and no other refs.
#[test]
fn without_force_nothing_on_disk_but_a_branch_is_moved() {
    let world = World::granting(FORWARD_ONLY_ON_DISK).cloned(&["agent/a"]);
    world.push(&["origin", "agent/a:refs/notes/a"]).assert(0, &["[new reference]"]);
    let before = world.hub.refs("octo/spoon");
    for new in ["agent/a^", "main"] {
        world.push(&["--force", "origin", &format!("{new}:refs/notes/a")]).assert(1, &["! [remote rejected]", "no commit is left behind"]);
        assert_eq!(world.hub.refs("octo/spoon"), before, "{new}");
    }
    world.assert_push_denied("push_not_judgeable", &["refs/notes/a"]);
    world.push(&["origin", "agent/a"]).assert(0, &["agent/a -> agent/a"]);
    world.finish();
}

/// An answer that cannot be passed on says nothing about what the upstream did before it.
#[test]
fn a_push_that_the_upstream_had_is_not_said_not_to_have_been_attempted() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let headers = vec![("content-type", "application/x-git-receive-pack-result; charset=utf-8".to_owned())];
    world.hub.set(When::Post, Answer::Reply(200, headers, b"0000".to_vec()));
    let done = world.push(&["origin", "agent/fix-1"]);
    assert_ne!(done.code, Some(0), "{}", done.err);
    done.assert_silent_about(&["not attempted"]);
    assert!(done.err.contains("Whether the push took effect is not known"), "{}", done.err);
    assert!(world.pushes().iter().all(|seen| seen.whole), "{:#?}", world.pushes());
    world.finish();
}

/// The sandbox is still sending, and would lose an answer whose connection is closed.
#[test]
fn a_report_that_comes_before_the_pack_was_read_arrives() {
    let world = World::new().cloned(&["agent/fix-1"]);
    fs::write(world.sandbox.path("clone/noise"), noise(16 << 20)).unwrap();
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.commit("clone", "noise");
    let report = [line("unpack ok\n"), line("ng refs/heads/agent/fix-1 too large\n"), b"0000".to_vec()].concat();
    let body = [line([&[1], &*report].concat()), b"0000".to_vec()].concat();
    let headers = vec![("content-type", "application/x-git-receive-pack-result".to_owned())];
    world.hub.set(When::Post, Answer::Early(200, headers, body));
    world.push(&["origin", "agent/fix-1"]).assert(1, &["! [remote rejected] agent/fix-1 -> agent/fix-1 (too large)"]);
    world.finish();
}

/// Whoever opens fetches and leaves them open takes no more than its share of processes, and others have theirs.
#[test]
fn a_session_has_only_so_many_gits_at_once() {
    let other = "[[session.repository]]\nname = \"octo/secret\"\naccess = \"read\"";
    let world = World::granting(ON_DISK);
    reload(&world, other, &format!("{other}\nupstream_path = \"{}\"", world.hub.path("octo/secret").display()));
    let opening = |token: &str, repository: &str| {
        let lines = [FETCH_TYPE, &basic("x", token), "Transfer-Encoding: chunked"];
        request("POST", &format!("/git/{repository}/git-upload-pack"), &lines, b"4\r\n0014\r\n")
    };
    let mut open: Vec<_> = (0..40).map(|_| world.connect()).collect();
    for client in &mut open {
        client.send(opening(&world.token, "octo/spoon"));
    }
    let discovery = "/git/octo/spoon/info/refs?service=git-upload-pack";
    let refused = world.gate().wait_for_record(|record| record["reason"] == "too_many_connections");
    assert_eq!((&refused["kind"], &refused["session"]), (&"fetch".into(), &"s1".into()), "{refused:#}");
    eventually("all places are taken", || {
        let reply = world.ask_as("GET", discovery, &[], b"");
        reply.verdict() == (503, "too_many_connections") && reply.header("retry-after").is_some()
    });
    world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&world.other_token, "octo/secret")]);
    drop(open);
    eventually("places are given back", || world.ask_as("GET", discovery, &[], b"").status == 200);
    world.finish();
}

#[test]
fn a_push_under_way_leaves_no_commit_behind_once_it_may_not() {
    let world = World::granting(ON_DISK).cloned(&["agent/a"]);
    world.push(&["origin", "agent/a"]).assert(0, &[]);
    let (old, new) = (world.sandbox.id("agent/a"), world.sandbox.id("agent/a^"));
    let body = push_body(&[format!("{old} {new} refs/heads/agent/a")], CAPABILITIES);
    let whole = request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &world.token)], &body);
    let (first, last) = whole.split_at(whole.len() - 10);
    let mut client = world.connect();
    client.send(first);
    eventually("the push is let in", || {
        let records = world.gate().records();
        records.iter().filter(|record| record["kind"] == "push" && record["method"] == "POST").count() == 3
    });
    reload(&world, "access = \"write\"", "access = \"write\"\nforce = false");
    world.gate().wait_for_record(|record| record["reason"] == "ref_not_granted" && record["kind"] == "push");
    client.send(last).close_sending().rest();
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/a"], old);
    world.finish();
}

#[test]
fn what_is_fetched_with_a_credential_does_not_go_on_as_a_public_read() {
    let world = World::of(&Plan { github: "public_read = true", ..Plan::default() });
    let body = [line("command=fetch"), b"0001".to_vec(), line(format!("want {ZERO}\n")), line("done\n"), b"0000".to_vec()].concat();
    let authorization = basic("x", &world.token);
    let whole = request("POST", "/git/octo/reading/git-upload-pack", &[FETCH_TYPE, "Git-Protocol: version=2", &authorization], &body);
    let (first, last) = whole.split_at(whole.len() - 10);
    let mut client = world.connect();
    client.send(first);
    world.hub.wait_for(|seen| seen.target.ends_with("/git-upload-pack") && !seen.body.is_empty());
    reload(&world, "name = \"octo/reading\"", "name = \"octo/other\"");
    world.hub.wait_for(|seen| seen.target.ends_with("/git-upload-pack") && seen.over && !seen.whole);
    world.gate().wait_for_record(|record| record["reason"] == "repository_not_granted" && record["kind"] == "fetch");
    client.send(last).close_sending().rest();
    world.finish();
}

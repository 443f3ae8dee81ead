//! A push that takes long to look through: its client is told so, and then of its end as of any other.

use std::{fs, thread};

use crate::harness::{
    Answer, Done, When, World,
    bytes::{PUSH_TYPE, ZERO, basic, push_body, request},
    eventually,
};

/// Of refs that are named whole, so that nobody has to ask first which branch is the default one.
const RULES: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/a", "refs/heads/agent/b"]
delete = true
content = { deny_paths = [".github/**"] }
"#;

/// What git prints on a terminal, or told to show progress.
const WORD: &str = "remote: Tidegate: this push is being looked through and sent on, ";

/// Pushes a branch, whose upstream does not say yet which branches it has; `then` happens once git has told that this takes its time.
fn push_held(world: &World, branch: &str, then: impl FnOnce()) -> Done {
    world.hub.set(When::Post, Answer::Held);
    let (said, pushed) = (world.sandbox.path("said"), world.pushes().len());
    let script = format!("cd clone && exec git push --progress origin {branch} 2> ../said");
    thread::scope(|scope| {
        let pushing = scope.spawn(|| world.sandbox.run_program("sh", &["-c", &script]));
        eventually("git prints a word", || fs::read_to_string(&said).is_ok_and(|text| text.contains(WORD)));
        assert_eq!(world.pushes().len(), pushed, "nothing went up");
        then();
        let done = pushing.join().unwrap();
        Done { err: fs::read_to_string(&said).unwrap(), ..done }
    })
}

#[test]
fn a_push_that_takes_long_is_told_so_and_lands() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    let done = push_held(&world, "agent/a", || world.hub.calm());
    done.assert(0, &["agent/a -> agent/a"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/a"], world.sandbox.id("agent/a"));
    let pushed = world.gate().wait_for_record(|record| record["kind"] == "push" && record["bytes_up"].as_u64().is_some());
    assert_eq!((&pushed["verdict"], &pushed["refs"][0]), (&"allow".into(), &"refs/heads/agent/a".into()), "{pushed:#}");
    assert_eq!(pushed["bytes_up"].as_u64(), Some(world.pushes().pop().unwrap().length), "{pushed:#}");
    // The connection and the turn of the push are free again.
    world.push(&["origin", "--delete", "agent/a"]).assert(0, &["[deleted]"]);
    world.finish();
}

/// As an unmodified remote, by the proxy door.
#[test]
fn a_push_that_takes_long_is_refused_as_any_other() {
    let world = World::granting(RULES).cloned(&["agent/a"]).behind_the_proxy();
    world.sandbox.git_ok("clone", &["remote", "set-url", "origin", "https://github.test/octo/spoon.git"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/a"]);
    fs::create_dir_all(world.sandbox.path("clone/.github")).unwrap();
    world.sandbox.commit("clone", ".github/x");
    let before = world.hub.refs("octo/spoon");
    let done = push_held(&world, "agent/a", || world.hub.calm());
    let says = ["! [remote rejected] agent/a -> agent/a (policy: .github/x.txt may not be changed (content deny_paths \".github/**\"))"];
    done.assert(1, &says);
    let record = world.push_record("deny");
    assert_eq!((&record["reason"], &record["refs"][0]), (&"push_content_not_allowed".into(), &"refs/heads/agent/a".into()), "{record:#}");
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.finish();
}

#[test]
fn a_push_that_takes_long_ends_with_its_session() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    let before = world.hub.refs("octo/spoon");
    let done = push_held(&world, "agent/a", || drop(world.session(&["revoke", "s1"])));
    done.assert(1, &["! [remote rejected] agent/a -> agent/a (session_revoked"]);
    world.assert_push_denied("session_revoked", &["refs/heads/agent/a"]);
    world.hub.calm();
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.finish();
}

/// Nothing goes up of a push whose client has gone, and the next one need not wait for it.
#[test]
fn a_push_that_takes_long_ends_with_its_client() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    world.hub.set(When::Post, Answer::Held);
    // Whoever asked for quiet is kept waiting without a word, as by git itself.
    let body = push_body(&[format!("{ZERO} {main} refs/heads/agent/b")], " report-status side-band-64k quiet");
    let mut client = world.connect();
    client.send(request("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, &basic("x", &world.token)], &body));
    let mut answer = Vec::new();
    while !answer.ends_with(b"0005\x01") {
        answer.extend(client.exactly(1));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    drop(client);
    eventually("the end of its connection is seen", || world.gate().metric("tidegate_connections{door=\"git\"}") == 0);
    world.hub.calm();
    world.push(&["--quiet", "origin", "main:agent/b"]).assert(0, &[]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/b"], world.sandbox.id("main"));
    assert_eq!(world.pushes().len(), 1, "{:#?}", world.pushes());
    world.finish();
}

//! Rights by ref: what each entry of a grant lets a push do, which branch no pattern stands for, and when a push leaves commits behind.

use std::{fs, process::Command, thread};

use serde_json::Value;
use tidegate::{
    github::push::{ObjectFormat, ObjectId},
    pack::PackReader,
};

use crate::harness::{
    Answer, Plan, When, World,
    bytes::{EMPTY_PACK, noise},
    eventually,
    tidegate::TIDEGATE,
    world::refs_of,
};

/// Entries with rights of their own.
const ROWS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = [
    { ref = "refs/heads/new/*", update = false },
    { ref = "refs/heads/old/*", create = false },
    { ref = "refs/heads/own/*", delete = true },
    { ref = "refs/heads/kept/*", force = false },
]
tags = ["v2*"]
"#;

/// Any branch by a pattern.
const ANY: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/**"]
"#;

/// Any branch, from which no commit may be lost.
const FORWARD: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1", "refs/heads/agent/fix-2"]
force = false
"#;

#[test]
fn g_30_p6_each_entry_has_rights_of_its_own() {
    let world = World::granting(ROWS).cloned(&["new/a", "old/a", "own/a", "kept/a"]);
    world.hub.git("octo/spoon", &["branch", "old/b", "main"]);
    let lands = |branch: &str, arguments: &[&str]| {
        world.push(&[&["origin"], arguments].concat()).assert(0, &[branch]);
    };
    let refused = |arguments: &[&str], right: &str, entry: &str| {
        let before = world.hub.refs("octo/spoon");
        let done = world.push(&[&["origin"], arguments].concat());
        let named = format!("the entry refs/heads/{entry} names it, without \"{right}\"");
        done.assert(1, &["! [remote rejected]", &format!("this session may not {right} this ref"), &named, "remote: push = [{ ref = "]);
        assert_eq!(world.hub.refs("octo/spoon"), before);
    };
    lands("new/a", &["new/a"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "new/a"]);
    world.sandbox.commit("clone", "more");
    refused(&["new/a"], "update", "new/*");
    refused(&["old/a"], "create", "old/*");
    lands("old/b", &["old/a:old/b"]);
    lands("own/a", &["own/a"]);
    lands("own/a", &["--delete", "own/a"]);
    refused(&["--delete", "new/a"], "delete", "new/*");
    lands("v2.0", &["main:refs/tags/v2.0"]);
    // All or nothing, whichever entry refuses.
    let before = world.hub.refs("octo/spoon");
    world.push(&["origin", "own/a", "new/a"]).assert(1, &["own/a -> own/a (not attempted: another ref was refused)"]);
    assert_eq!(world.hub.refs("octo/spoon"), before);
    world.finish();
}

#[test]
fn g_35_p22_no_pattern_stands_for_the_real_default_branch() {
    let world = World::granting(ANY).cloned(&["trunk", "agent/a"]);
    world.hub.git("octo/spoon", &["branch", "trunk", "main"]);
    world.hub.git("octo/spoon", &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let before = world.hub.refs("octo/spoon");
    let done = world.push(&["origin", "trunk"]);
    done.assert(
        1,
        &[
            "! [remote rejected] trunk -> trunk (policy: this session may not push a default branch by a pattern)",
            "the entry refs/heads/** names it, without \"default_branch\"",
            "remote: push = [\"refs/heads/trunk\"]",
        ],
    );
    world.assert_push_denied("ref_not_granted", &["refs/heads/trunk"]);
    world.push(&["origin", "--delete", "trunk"]).assert(1, &["[remote rejected]"]);
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.push(&["origin", "agent/a"]).assert(0, &["agent/a -> agent/a"]);
    // Once was enough to learn it.
    let asked = world
        .hub
        .seen()
        .iter()
        .filter(|seen| seen.body.windows(14).any(|part| part == b"ref-prefix HEAD") && seen.body.windows(6).any(|part| part == b"unborn"))
        .count();
    assert!(asked <= 3, "{asked}");
    world.finish();
}

#[test]
fn g_35_a_default_branch_is_reached_where_it_is_meant() {
    const MEANT: &str =
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [{ ref = \"refs/heads/*\", default_branch = true }]\n";
    const WRITTEN: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/main\"]\n";
    for grants in [MEANT, WRITTEN] {
        let world = World::granting(grants).cloned(&[]);
        world.push(&["origin", "main"]).assert(0, &["main -> main"]);
        assert_eq!(world.hub.refs("octo/spoon")["refs/heads/main"], world.sandbox.id("main"));
        world.finish();
    }
}

#[test]
fn p5_a_base_is_not_a_branch_to_push() {
    const BASES: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/a\"]\nbases = [\"main\", \"agent/b\"]\n";
    let world = World::granting(BASES).cloned(&["agent/b"]);
    for branch in ["main", "agent/b"] {
        world.push(&["origin", branch]).assert(1, &["[remote rejected]", "this session may not push this ref"]);
    }
    assert!(world.pushes().is_empty());
    world.finish();
}

#[test]
fn g_35_an_unborn_default_branch_is_a_default_branch() {
    let world = World::granting(ANY).cloned(&["trunk", "agent/a"]);
    world.hub.git("octo/spoon", &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    world.push(&["origin", "trunk"]).assert(1, &["may not push a default branch by a pattern"]);
    world.push(&["origin", "agent/a"]).assert(0, &["agent/a -> agent/a"]);
    world.finish();
}

#[test]
fn g_35_where_the_default_branch_is_not_known_a_pattern_stands_for_none() {
    let world = World::granting(ANY).cloned(&["agent/a"]);
    world.hub.git("octo/spoon", &["update-ref", "--no-deref", "HEAD", "refs/heads/main"]);
    world.push(&["origin", "agent/a"]).assert(1, &["the default branch is not known, and no pattern may stand for it"]);
    world.assert_push_denied("push_not_judgeable", &["refs/heads/agent/a"]);
    assert!(world.pushes().is_empty());
    // An upstream in trouble is trouble, and says nothing of the grant.
    world.hub.set(When::Post, Answer::Reply(503, vec![], vec![]));
    world.push(&["origin", "agent/a"]).assert(1, &["upstream_closed: the upstream answered 503, nothing was sent, safe to retry"]);
    world.finish();
}

#[test]
fn g_51_a_push_that_goes_on_lands_without_force() {
    let world = World::granting(FORWARD).cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["[new branch]"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    for step in ["one", "two", "three"] {
        fs::write(world.sandbox.path("clone/large"), noise(400_000)).unwrap();
        world.sandbox.commit("clone", step);
    }
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    world.hub.git("octo/spoon", &["fsck", "--strict"]);
    // Merging what the upstream has goes on, too, and so does moving on to it: it is asked for the commits between.
    world.sandbox.git_ok("clone", &["merge", "--quiet", "--no-edit", "origin/other"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    world.push(&["origin", "agent/fix-1~1:refs/heads/agent/fix-2"]).assert(0, &["[new branch]"]);
    world.push(&["origin", "agent/fix-1:agent/fix-2"]).assert(0, &["agent/fix-2"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-2"], world.sandbox.id("agent/fix-1"));
    world.finish();
}

#[test]
fn g_51_threat_108_a_push_that_leaves_commits_behind_is_refused_before_it_goes_up() {
    let world = World::granting(FORWARD).cloned(&["agent/fix-1"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.commit("clone", "first");
    world.push(&["origin", "agent/fix-1"]).assert(0, &["[new branch]"]);
    let before = world.hub.refs("octo/spoon");
    let pushed = world.pushes().len();
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--amend", "-m", "otherwise"]);
    let expected = &["! [remote rejected]", "This session may not force refs/heads/agent/fix-1"];
    world.push(&["--force", "origin", "agent/fix-1"]).assert(1, expected);
    // Back to what the upstream has already, and to a history of its own.
    world.push(&["--force", "origin", "origin/main:refs/heads/agent/fix-1"]).assert(1, expected);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "--orphan", "lonely"]);
    world.sandbox.commit("clone", "lonely");
    world.push(&["--force", "origin", "lonely:refs/heads/agent/fix-1"]).assert(1, expected);
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, pushed));
    world.assert_push_denied("ref_not_granted", &["refs/heads/agent/fix-1"]);
    assert!(
        fs::read_dir(world.gate().path("state")).unwrap().flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with(".push"))
    );
    world.finish();
}

#[test]
fn g_51_what_is_no_pack_is_refused_where_it_has_to_be_read() {
    let world = World::granting(FORWARD).cloned(&[]);
    let [old, new] = ["main", "main~1"].map(|name| world.sandbox.id(name));
    let mut body = crate::harness::bytes::push_body(&[format!("{old} {new} refs/heads/agent/fix-1")], crate::harness::bytes::CAPABILITIES);
    body.truncate(body.len() - EMPTY_PACK.len());
    body.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\x07rubbish");
    let report = crate::harness::bytes::report(&world.post_push(&body));
    assert!(report.lines[1].starts_with("ng refs/heads/agent/fix-1 push_not_judgeable"), "{report:?}");
    assert!(world.pushes().is_empty());
    world.finish();
}

#[test]
fn g_06_a_wiki_is_reached_by_its_own_right_alone() {
    const NONE: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/**\"]\n";
    const READ: &str =
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/**\"]\ngrants = [\"wiki.read\"]\n";
    const WRITE: &str = "[[session.repository]]\nname = \"octo/spoon\"\ngrants = [\"wiki\"]\n";
    for (grants, reads, writes) in [(NONE, false, false), (READ, true, false), (WRITE, true, true)] {
        let world = World::granting(grants);
        world.hub.copy("octo/spoon", "octo/spoon.wiki");
        let url = world.url("octo/spoon.wiki");
        let read = world.sandbox.git(".", &["ls-remote", &url]);
        assert_eq!(read.code == Some(0), reads, "{grants}: {}", read.err);
        if !reads {
            assert!(read.err.contains("repository octo/spoon.wiki") || read.err.contains("octo/spoon.wiki"), "{}", read.err);
            world.finish();
            continue;
        }
        let world = world.cloned(&["more"]);
        let pushed = world.sandbox.git("clone", &["push", &url, "main", "more"]);
        assert_eq!(pushed.code == Some(0), writes, "{grants}: {}", pushed.err);
        if writes {
            assert_eq!(world.hub.refs("octo/spoon.wiki")["refs/heads/main"], world.sandbox.id("main"));
            world.sandbox.git("clone", &["push", "--force", &url, "main~1:main"]).assert(1, &["[remote rejected]"]);
            world.sandbox.git("clone", &["push", "--delete", &url, "more"]).assert(1, &["this session may not delete this ref"]);
            world.push(&["origin", "more"]).assert(128, &["read only for this session"]);
        } else {
            assert!(pushed.err.contains("read only for this session"), "{}", pushed.err);
        }
        world.finish();
    }
}

#[test]
fn g_60_the_record_of_a_push_has_both_tips_of_each_ref() {
    let world = World::granting(ROWS).cloned(&["own/a", "own/b"]);
    world.push(&["origin", "own/b"]).assert(0, &[]);
    let old = world.sandbox.id("own/b");
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "own/b"]);
    world.sandbox.commit("clone", "more");
    let new = world.sandbox.id("own/b");
    world.push(&["--atomic", "origin", "own/a", "own/b"]).assert(0, &[]);
    let record = world.gate().wait_for_record(|record| refs_of(record).len() == 2);
    let tips = |name: &str| {
        let at = refs_of(&record).iter().position(|found| *found == name).unwrap();
        record["tips"][at].clone()
    };
    assert_eq!(tips("refs/heads/own/b"), serde_json::json!({ "old": old, "new": new }), "{record:#}");
    assert_eq!(tips("refs/heads/own/a"), serde_json::json!({ "old": Value::Null, "new": world.sandbox.id("own/a") }), "{record:#}");
    world.finish();
}

#[test]
fn g_61_two_pushes_to_one_ref_take_turns() {
    let world = World::granting(ROWS).cloned(&["own/a", "own/b"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "own/a"]);
    world.sandbox.commit("clone", "more");
    // The upstream is asked for nothing more while the first of them goes up.
    world.push(&["origin", "own/b"]).assert(0, &[]);
    world.hub.set(When::Post, Answer::Silence);
    thread::scope(|scope| {
        let first = scope.spawn(|| world.push(&["origin", "own/a"]));
        eventually("the first push goes up", || world.pushes().len() == 2);
        let second = scope.spawn(|| world.push(&["--force", "origin", "own/b:own/a"]));
        let other = scope.spawn(|| world.push(&["origin", "own/b:refs/heads/own/c"]));
        eventually("a push to another ref goes up", || world.pushes().len() == 3);
        let done = second.join().unwrap();
        done.assert(1, &["[remote rejected]", "too_many_connections", "Another push of this session to the same ref is still under way"]);
        assert_eq!(world.pushes().len(), 3);
        world.session(&["revoke", "s1"]);
        let _ = (first.join().unwrap(), other.join().unwrap());
    });
    world.finish();
}

/// Packs of real git, whole and thin, of a history with merges: a descent is proved exactly where git knows of one.
#[test]
fn g_51_descent_agrees_with_git_on_its_own_packs() {
    let world = World::new().cloned(&["side"]);
    let git = |arguments: &[&str]| world.sandbox.git_ok("clone", arguments);
    for round in 0..6 {
        git(&["checkout", "--quiet", if round % 2 == 0 { "main" } else { "side" }]);
        world.sandbox.commit("clone", &format!("round {round}"));
        if round == 3 {
            git(&["merge", "--quiet", "--no-edit", "main"]);
        }
    }
    let clone = world.sandbox.path("clone");
    let output = |arguments: &[&str]| Command::new("git").arg("-C").arg(&clone).args(arguments).output().unwrap();
    let text = |arguments: &[&str]| String::from_utf8(output(arguments).stdout).unwrap();
    let ids: Vec<_> = text(&["rev-list", "--all"]).lines().map(|id| ObjectId::parse(id.as_bytes()).unwrap()).collect();
    fs::write(
        clone.join("all"),
        text(&["rev-list", "--objects", "--all"]).lines().map(|line| format!("{}\n", &line[..40])).collect::<Vec<_>>().concat(),
    )
    .unwrap();
    let packed = Command::new("sh")
        .current_dir(&clone)
        .args(["-c", "git pack-objects --stdout --delta-base-offset --depth=50 --window=50 -q < all"])
        .output()
        .unwrap();
    for piece in [1000, 1 << 20] {
        let mut reader = PackReader::new(ObjectFormat::Sha1);
        packed.stdout.chunks(piece).for_each(|piece| reader.take(piece).unwrap());
        let commits = reader.finish().unwrap();
        for (old, new) in ids.iter().flat_map(|old| ids.iter().map(move |new| (old, new))) {
            let known = output(&["merge-base", "--is-ancestor", old.as_str(), new.as_str()]).status.success();
            assert_eq!(commits.descent(old, new).is_ok(), known, "{old} {new}");
        }
    }
    world.finish();
}

#[test]
fn g_60_who_grants_is_told_what_is_public_there_already_or_the_default() {
    for guarded in [false, true] {
        let world = World::of(&Plan { guarded, ..Plan::default() });
        let create = |repository: &str, more: &[&str]| {
            let config = world.gate().path("tidegate.toml");
            let arguments = ["session", "create", "--repo", repository, "--config", config.to_str().unwrap()];
            let output = Command::new(TIDEGATE).args(arguments).args(more).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let public = "warning: octo/spoon is public";
        for (repository, warned) in [
            ("octo/spoon:main", Some("warning: refs/heads/main of octo/spoon is its default branch")),
            ("octo/spoon:other", Some("warning: refs/heads/other of octo/spoon is there already")),
            ("octo/spoon:agent/new", None),
        ] {
            let (_, said) = create(repository, &[]);
            assert_eq!(
                (said.contains(public), said.matches("warning: refs/").count()),
                (!guarded, usize::from(warned.is_some())),
                "{said}"
            );
            assert!(warned.is_none_or(|warned| said.contains(warned)), "{said}");
        }
        let (answer, _) = create("octo/spoon:other", &["--json"]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["warnings"].as_array().map(Vec::len), Some(if guarded { 1 } else { 2 }), "{answer:#}");
        // Nothing is said, and the session is made, where the upstream says nothing.
        world.hub.set(When::Always, Answer::Reply(500, vec![], vec![]));
        assert!(!create("octo/spoon:main", &[]).1.contains("warning"));
        world.finish();
    }
}

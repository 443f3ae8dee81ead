//! Pushes of real git: which land, and what git prints of those that do not.

use std::fs;

use crate::harness::{
    Wire, World,
    bytes::{EMPTY_PACK, noise},
    world::refs_of,
};

/// Several branches and tags to push, and the right to delete.
const MUCH: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*", "refs/heads/team/**"]
delete = true
tags = ["v2*"]
"#;

#[test]
fn g_30_a_branch_is_made_and_moved() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let before = world.hub.refs("octo/spoon");
    let done = world.push(&["origin", "agent/fix-1"]);
    done.assert(0, &["* [new branch]      agent/fix-1 -> agent/fix-1"]);
    done.assert_silent_about(&["remote: "]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.commit("clone", "later");
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    let mut expected = before;
    expected.insert("refs/heads/agent/fix-1".into(), world.sandbox.id("agent/fix-1"));
    assert_eq!(world.hub.refs("octo/spoon"), expected);
    let record = world.push_record("allow");
    assert_eq!((refs_of(&record), &record["repository"]), (vec!["refs/heads/agent/fix-1"], &"octo/spoon".into()), "{record:#}");
    assert!(record["reason"].is_null() && record["session"] == "s1", "{record:#}");
    world.hub.git("octo/spoon", &["fsck", "--strict"]);
    world.finish();
}

#[test]
fn g_20_a_refused_push_is_a_remote_rejection() {
    let world = World::new().cloned(&[]);
    let before = world.hub.refs("octo/spoon");
    for version in ["0", "1", "2"] {
        let done = world.sandbox.git("clone", &["-c", &format!("protocol.version={version}"), "push", "origin", "main"]);
        done.assert(1, &["! [remote rejected] main -> main (", "remote: ", "refs/heads/agent/fix-1", "error: failed to push some refs"]);
        done.assert_silent_about(&["Everything up-to-date", "RPC failed", "hung up", "bad band", "unpack failed"]);
    }
    assert_eq!(world.hub.refs("octo/spoon"), before);
    assert!(world.pushes().is_empty(), "nothing of it went up: {:#?}", world.pushes());
    world.assert_push_denied("ref_not_granted", &["refs/heads/main"]);
    assert!(
        world.gate().metric("tidegate_decisions_total{kind=\"push\",reason=\"ref_not_granted\",verdict=\"deny\"}") == 3,
        "{}",
        world.gate().metrics()
    );
    world.finish();
}

#[test]
fn g_20_the_rejection_names_what_may_be_pushed_before_the_reason_per_ref() {
    let world = World::new().cloned(&[]);
    let done = world.push(&["origin", "main"]);
    let advice: Vec<_> = done.err.lines().filter(|line| line.starts_with("remote: ")).map(str::trim_end).collect();
    assert!(advice.iter().any(|line| line.contains("main")), "{advice:#?}");
    assert!(advice.iter().any(|line| line.contains("refs/heads/agent/fix-1")), "{advice:#?}");
    let rejected = done.err.lines().find(|line| line.contains("[remote rejected]")).unwrap();
    let reason = rejected.rsplit_once(" (").unwrap().1;
    assert!(reason.starts_with("policy: ") && reason.len() < 200, "{reason}");
    world.finish();
}

#[test]
fn g_20_porcelain_has_the_reason_of_each_ref() {
    let world = World::new().cloned(&["agent/fix-1", "agent/fix-2"]);
    let before = world.hub.refs("octo/spoon");
    let done = world.push(&["--porcelain", "origin", "main", "agent/fix-1", "agent/fix-2"]);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    for (name, words) in [("main", "policy: "), ("agent/fix-2", "policy: "), ("agent/fix-1", "not attempted: another ref was refused")] {
        let start = format!("!\trefs/heads/{name}:refs/heads/{name}\t[remote rejected] ({words}");
        assert!(done.out.lines().any(|line| line.starts_with(&start)), "{start} in\n{}", done.out);
    }
    assert_eq!(world.hub.refs("octo/spoon"), before);
    world.finish();
}

#[test]
fn g_31_a_mixed_push_moves_nothing() {
    for atomic in [&[][..], &["--atomic"]] {
        let world = World::new().cloned(&["agent/fix-1"]);
        let before = world.hub.refs("octo/spoon");
        let done = world.push(&[atomic, &["origin", "agent/fix-1", "main"]].concat());
        done.assert(
            1,
            &["! [remote rejected] main -> main (policy: ", "agent/fix-1 -> agent/fix-1 (not attempted: another ref was refused)"],
        );
        assert_eq!(world.hub.refs("octo/spoon"), before);
        assert!(world.pushes().is_empty(), "{:#?}", world.pushes());
        let record = world.push_record("deny");
        let mut refs = refs_of(&record);
        refs.sort_unstable();
        assert_eq!((refs, &record["reason"]), (vec!["refs/heads/agent/fix-1", "refs/heads/main"], &"ref_not_granted".into()), "{record:#}");
        // The objects that came with it are not there either.
        assert!(
            !world
                .hub
                .path("octo/spoon")
                .join("objects")
                .join(&world.sandbox.id("main")[..2])
                .join(&world.sandbox.id("main")[2..])
                .exists()
        );
        world.finish();
    }
}

#[test]
fn g_43_an_atomic_push_of_what_is_granted_lands() {
    let world = World::granting(MUCH).cloned(&["agent/a", "team/x/y"]);
    world.push(&["--atomic", "origin", "agent/a", "team/x/y"]).assert(0, &["agent/a -> agent/a", "team/x/y -> team/x/y"]);
    let refs = world.hub.refs("octo/spoon");
    assert_eq!((&refs["refs/heads/agent/a"], &refs["refs/heads/team/x/y"]), (&world.sandbox.id("agent/a"), &world.sandbox.id("team/x/y")));
    assert!(world.pushes().last().unwrap().body.windows(7).any(|word| word == b" atomic"), "it goes on");
    world.finish();
}

#[test]
fn g_30_g_38_a_branch_is_deleted_where_that_is_granted() {
    let world = World::granting(MUCH).cloned(&["agent/a"]);
    world.push(&["origin", "agent/a"]).assert(0, &[]);
    let done = world.push(&["origin", "--delete", "agent/a"]);
    done.assert(0, &["- [deleted]         agent/a"]);
    assert!(!world.hub.refs("octo/spoon").contains_key("refs/heads/agent/a"));
    let last = world.pushes().pop().unwrap();
    assert!(last.body.ends_with(b"0000") && last.whole, "nothing behind the flush: {}", last.body.escape_ascii());
    let done = world.push(&["origin", "--delete", "main"]);
    done.assert(1, &["! [remote rejected] main (policy: "]);
    assert!(world.hub.refs("octo/spoon").contains_key("refs/heads/main"));
    world.finish();
}

#[test]
fn g_44_threat_108_a_delete_without_the_right_is_rejected_with_a_reason() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    let before = world.hub.refs("octo/spoon");
    for arguments in [&["origin", "--delete", "agent/fix-1"][..], &["origin", ":agent/fix-1"], &["origin", ":other"]] {
        let done = world.push(arguments);
        done.assert(1, &["! [remote rejected] ", "(policy: this session may not "]);
    }
    assert_eq!(world.hub.refs("octo/spoon"), before);
    assert_eq!(world.pushes().len(), 1);
    world.finish();
}

#[test]
fn threat_108_force_is_the_session_s_own_on_its_branch_only() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--amend", "-m", "otherwise"]);
    world.push(&["origin", "agent/fix-1"]).assert(1, &["[rejected]", "non-fast-forward"]);
    let lease = format!("--force-with-lease=agent/fix-1:{}", world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"]);
    world.push(&[&lease, "origin", "agent/fix-1"]).assert(0, &["(forced update)"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    world.push(&["--force", "origin", "agent/fix-1:main"]).assert(1, &["[remote rejected] agent/fix-1 -> main (policy: "]);
    world.finish();
}

#[test]
fn g_30_each_right_by_itself() {
    const NO_UPDATE: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\", \"refs/heads/other\"]\nupdate = false\n";
    const NO_CREATE: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\", \"refs/heads/other\"]\ncreate = false\n";
    for (grants, new, existing) in [(NO_UPDATE, None, Some("update")), (NO_CREATE, Some("create"), None)] {
        let world = World::granting(grants).cloned(&["agent/a"]);
        world.sandbox.git_ok("clone", &["branch", "--quiet", "other", "origin/other"]);
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "other"]);
        world.sandbox.commit("clone", "more");
        for (branch, missing) in [("agent/a", new), ("other", existing)] {
            let done = world.push(&["origin", branch]);
            match missing {
                Some(right) => done.assert(1, &["[remote rejected]", &format!("this session may not {right} this ref")]),
                None => done.assert(0, &[branch]),
            }
            let landed = world.hub.refs("octo/spoon").get(&format!("refs/heads/{branch}")) == Some(&world.sandbox.id(branch));
            assert_eq!(landed, missing.is_none(), "{branch}");
        }
        world.finish();
    }
}

#[test]
fn g_34_g_35_patterns_and_what_only_looks_like_a_branch() {
    let world = World::granting(MUCH).cloned(&["agent/a", "team/x/y"]);
    for (destination, lands) in [
        ("refs/heads/agent/b", true),
        ("refs/heads/agent/b/c", false),
        ("refs/heads/agents", false),
        ("refs/heads/team/x/y", true),
        ("refs/heads/team/a/b/c/d", true),
        ("refs/heads/refs/heads/main", false),
        ("refs/heads/refs/heads/agent/a", false),
        ("refs/heads/Agent/b2", false),
        ("refs/heads/HEAD", false),
        ("refs/tags/v2.1", true),
        ("refs/tags/v1.9", false),
        ("refs/tags/v2/x", false),
    ] {
        let done = world.push(&["origin", &format!("main:{destination}")]);
        assert_eq!(world.hub.refs("octo/spoon").contains_key(destination), lands, "{destination}\n{}", done.err);
        if lands {
            done.assert(0, &["[new "]);
        } else {
            done.assert(1, &["! [remote rejected]", "(policy: "]);
        }
    }
    world.finish();
}

#[test]
fn threat_99_refs_that_are_no_branches_of_the_session_s() {
    let world = World::granting(MUCH).cloned(&["agent/a"]);
    let before = world.hub.refs("octo/spoon");
    for destination in [
        "refs/heads/main",
        "refs/heads/new",
        "refs/tags/v1",
        "refs/tags/new",
        "refs/notes/commits",
        "refs/pull/1/head",
        "refs/pull/9/merge",
        "refs/for/main",
        "refs/replace/1234567890123456789012345678901234567890",
        "refs/remotes/origin/main",
        "refs/changes/01/1/1",
        "refs/keep-around/x",
        "refs/stash",
    ] {
        let done = world.push(&["--force", "origin", &format!("agent/a:{destination}")]);
        done.assert(1, &["! [remote rejected]", "remote: "]);
    }
    assert_eq!(world.hub.refs("octo/spoon"), before);
    assert!(world.pushes().is_empty(), "{:#?}", world.pushes());
    world.finish();
}

#[test]
fn threat_101_neither_the_parent_nor_the_child_of_a_ref() {
    let world = World::new().cloned(&[]);
    let before = world.hub.refs("octo/spoon");
    for branch in ["agent/fix-10", "agent/fix-1/x", "agent", "agent/fix-", "agent/fix", "xagent/fix-1", "refs/heads/agent/fix-1"] {
        world.push(&["origin", &format!("main:refs/heads/{branch}")]).assert(1, &["! [remote rejected]", "(policy: "]);
    }
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.finish();
}

#[test]
fn g_53_everything_at_once_is_one_clear_report() {
    let world = World::granting(MUCH).cloned(&["agent/a", "agent/b"]);
    world.sandbox.git_ok("clone", &["tag", "v2.0", "main"]);
    let before = world.hub.refs("octo/spoon");
    for arguments in [&["--mirror", "origin"][..], &["--all", "origin"], &["--prune", "origin", "refs/heads/*"]] {
        let done = world.push(arguments);
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert!(done.err.contains("not attempted: another ref was refused"), "{}", done.err);
    }
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.push(&["origin", "agent/a", "agent/b", "v2.0"]).assert(0, &["[new tag]"]);
    assert!(world.hub.refs("octo/spoon").contains_key("refs/tags/v2.0"));
    world.push(&["--force", "origin", "agent/a:refs/tags/v2.0"]).assert(1, &["this session may create tags, not change or delete them"]);
    world.finish();
}

#[test]
fn g_36_g_37_small_and_large_buffers_of_git() {
    for buffer in ["1", "1024", "70000", "10485760"] {
        let world = World::new().cloned(&["agent/fix-1"]);
        fs::write(world.sandbox.path("clone/large"), noise(300_000)).unwrap();
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
        world.sandbox.commit("clone", "large");
        let option = format!("http.postBuffer={buffer}");
        world.sandbox.git("clone", &["-c", &option, "push", "origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: "]);
        assert!(world.pushes().is_empty());
        let records = world.gate().records().into_iter().filter(|record| record["kind"] == "push" && record["method"] == "POST").count();
        assert_eq!(records, 1, "a probe is no push");
        world.sandbox.git("clone", &["-c", &option, "push", "origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
        assert_eq!(world.pushes().len(), 1, "the probe stays here");
        world.finish();
    }
}

#[test]
fn g_39_a_branch_at_a_commit_that_is_there() {
    let world = World::new().cloned(&[]);
    world.push(&["origin", "origin/main:refs/heads/agent/fix-1"]).assert(0, &["[new branch]"]);
    let refs = world.hub.refs("octo/spoon");
    assert_eq!(refs["refs/heads/agent/fix-1"], refs["refs/heads/main"]);
    let body = world.pushes().pop().unwrap().body;
    assert!(body.ends_with(EMPTY_PACK), "{}", body.escape_ascii());
    world.finish();
}

#[test]
fn g_40_a_push_from_a_shallow_clone() {
    let world = World::new();
    world.sandbox.git_ok(".", &["clone", "--quiet", "--depth", "1", &world.url("octo/spoon"), "clone"]);
    world.sandbox.commit("clone", "shallow");
    world.push(&["origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: "]);
    world.push(&["origin", "main:agent/fix-1"]).assert(0, &["main -> agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("main"));
    let body = world.pushes().pop().unwrap().body;
    assert!(body[4..].starts_with(b"shallow "), "{}", body.escape_ascii());
    world.finish();
}

#[test]
fn g_41_push_options_are_not_served() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let done = world.push(&["--push-option", "ci.skip", "origin", "agent/fix-1"]);
    done.assert(1, &["fatal: the receiving end does not support push options"]);
    assert!(world.pushes().is_empty());
    world.finish();
}

#[test]
fn g_42_signed_pushes_are_not_served() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let done = world.push(&["--signed", "origin", "agent/fix-1"]);
    done.assert(1, &["fatal: the receiving end does not support --signed push"]);
    assert!(world.pushes().is_empty());
    world.push(&["--signed=if-asked", "origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    world.finish();
}

#[test]
fn g_46_what_the_sandbox_says_of_itself() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.sandbox.git_ok("clone", &["config", "transfer.advertiseSID", "true"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    let body = String::from_utf8_lossy(&world.pushes().pop().unwrap().body).into_owned();
    assert!(body.contains(" agent=git/") && !body.contains("session-id"), "{}", body.escape_debug());
    world.finish();
}

#[test]
fn a_push_to_each_kind_of_upstream() {
    for wire in [Wire::Plain, Wire::Tls, Wire::Http2] {
        let world = World::over(wire).cloned(&["agent/fix-1"]);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        world.push(&["origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: "]);
        // In chunks, with a probe before.
        fs::write(world.sandbox.path("clone/numbers"), noise(300_000)).unwrap();
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
        world.sandbox.commit("clone", "numbers");
        world
            .sandbox
            .git("clone", &["-c", "http.postBuffer=1024", "push", "origin", "agent/fix-1"])
            .assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
        assert!(world.pushes().iter().all(|seen| seen.whole), "{:#?}", world.pushes());
        world.finish();
    }
}

#[test]
fn g_54_g_55_a_dry_run_and_a_push_of_nothing_ask_for_refs_only() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["--dry-run", "origin", "main"]).assert(0, &["main -> main"]);
    world.push(&["origin", "origin/main:main"]).assert(0, &["Everything up-to-date"]);
    assert!(world.pushes().is_empty());
    world.finish();
}

#[test]
fn g_57_what_the_upstream_says_of_a_push_is_passed_on() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let hook = world.hub.path("octo/spoon").join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho 'GH013: a rule of the repository' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let done = world.push(&["origin", "agent/fix-1"]);
    done.assert(
        1,
        &["remote: GH013: a rule of the repository", "! [remote rejected] agent/fix-1 -> agent/fix-1 (pre-receive hook declined)"],
    );
    assert!(!world.hub.refs("octo/spoon").contains_key("refs/heads/agent/fix-1"));
    world.finish();
}

#[test]
fn a_stale_push_is_the_upstream_s_to_refuse() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.hub.git("octo/spoon", &["update-ref", "refs/heads/agent/fix-1", "refs/heads/other"]);
    world.push(&["origin", "agent/fix-1"]).assert(1, &["[rejected]", "non-fast-forward"]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.hub.refs("octo/spoon")["refs/heads/other"]);
    world.finish();
}

/// The ref moves upstream after git has seen it and before its push is there.
#[test]
fn g_50_a_tip_that_moved_meanwhile_is_the_upstream_s_to_refuse() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    let upstream = world.hub.path("octo/spoon");
    let hook = format!("#!/bin/sh\ngit --git-dir '{}' update-ref refs/heads/agent/fix-1 refs/heads/other\n", upstream.display());
    let path = world.sandbox.path("clone/.git/hooks/pre-push");
    fs::write(&path, hook).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.commit("clone", "more");
    let done = world.push(&["origin", "agent/fix-1"]);
    assert_eq!(done.code, Some(1), "{}", done.err);
    done.assert(1, &["! [remote rejected] agent/fix-1 -> agent/fix-1 ("]);
    done.assert_silent_about(&["policy: ", "Tidegate"]);
    assert_eq!(world.pushes().len(), 2, "it went up");
    let refs = world.hub.refs("octo/spoon");
    assert_eq!(refs["refs/heads/agent/fix-1"], refs["refs/heads/other"]);
    world.finish();
}

#[test]
fn g_52_a_lease_is_the_client_s_own_affair() {
    let world = World::new().cloned(&["agent/fix-1"]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &[]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--amend", "-m", "otherwise"]);
    world.push(&["--force-with-lease", "origin", "agent/fix-1"]).assert(0, &["(forced update)"]);
    let lease = format!("--force-with-lease=agent/fix-1:{}", world.sandbox.id("main"));
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--amend", "-m", "once more"]);
    world.push(&[&lease, "origin", "agent/fix-1"]).assert(1, &["! [rejected]", "(stale info)"]);
    assert_eq!(world.pushes().len(), 2, "nothing was sent");
    world.finish();
}

#[test]
fn g_53_tags_that_follow_are_judged_as_tags() {
    let world = World::granting(MUCH).cloned(&["agent/a"]);
    for tag in ["v2.1", "v3.0"] {
        let before = world.hub.refs("octo/spoon");
        world.sandbox.git_ok("clone", &["tag", "-a", "-m", tag, tag, "agent/a"]);
        let done = world.push(&["--follow-tags", "origin", "agent/a"]);
        if tag == "v2.1" {
            done.assert(0, &["[new tag]"]);
            assert!(world.hub.refs("octo/spoon").contains_key("refs/tags/v2.1"));
        } else {
            done.assert(1, &["! [remote rejected] v3.0 -> v3.0 (policy: "]);
            assert_eq!(world.hub.refs("octo/spoon"), before);
        }
    }
    world.push(&["--tags", "origin"]).assert(1, &["! [remote rejected] v3.0 -> v3.0 (policy: "]);
    world.finish();
}

/// A hook of the upstream speaks and then waits for its word to have come to the sandbox: nothing is held back until the end.
#[test]
fn g_59_what_the_upstream_says_while_it_works_comes_at_once() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let hook = world.hub.path("octo/spoon").join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let heard = world.sandbox.path("heard");
    let script = format!(
        "#!/bin/sh\necho 'one moment' >&2\ni=0\nwhile ! grep -q 'one moment' '{}'; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.05; done\n\
         echo 'there it is' >&2\n",
        heard.display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(&heard, "").unwrap();
    let done = world.sandbox.run_program("sh", &["-c", "cd clone && git push origin agent/fix-1 2> ../heard"]);
    let said = fs::read_to_string(&heard).unwrap();
    assert!(done.code == Some(0) && said.contains("remote: one moment") && said.contains("remote: there it is"), "{said}");
    world.finish();
}

//! Work is never stranded: GitHub away at each stage, in words that git prints, and nothing invented about what was sent.

use std::{fs, io::Write as _, net::TcpListener, os::unix::fs::PermissionsExt as _};

use crate::harness::{
    Answer, Plan, When, Wire, World,
    bytes::{CAPABILITIES, ZERO, push_body, report},
    eventually,
};

const MINE: &str = "refs/heads/agent/fix-1";

/// A push of the session's own branch as git would send it, whose discovery went well.
fn posted(world: &World) -> (Vec<String>, String) {
    let id = "1".repeat(40);
    let said = report(&world.post_push(&push_body(&[format!("{ZERO} {id} {MINE}")], CAPABILITIES)));
    (said.lines, said.advice)
}

/// What a sandbox reads of an upstream that is not there, at discovery and in the report of a push.
fn assert_stage(world: &World, reason: &str, stage: &str, status: &str) {
    world.sandbox.git(".", &["ls-remote", &world.url("octo/spoon")]).assert(128, &["remote: Tidegate: ", "asking again is safe", status]);
    world.sandbox.git(".", &["init", "--quiet", "work"]).assert(0, &[]);
    world.sandbox.commit("work", "kept");
    let push = world.sandbox.git("work", &["push", &world.url("octo/spoon"), &format!("HEAD:{MINE}")]);
    push.assert(
        128,
        &["remote: Nothing was sent, and pushing again is safe.", "git bundle create work.bundle --branches --not --remotes", status],
    );
    world.sandbox.git_ok("work", &["bundle", "create", "work.bundle", "--branches", "--not", "--remotes"]);
    let (lines, advice) = posted(world);
    assert_eq!(lines, ["unpack ok".to_owned(), format!("ng {MINE} {reason}: {stage}, nothing was sent, safe to retry")]);
    assert!(advice.contains("git bundle create work.bundle") && advice.contains("pushing again is safe"), "{advice}");
    let record = world.push_record("error");
    assert_eq!(record["reason"], reason, "{record:#}");
}

#[test]
fn g_29_p3_nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::of(&Plan { git_url: Some(format!("http://{closed}")), ..Plan::default() });
    assert_stage(&world, "connect_failed", "the upstream could not be reached", "502");
    world.finish();
}

#[test]
fn g_29_p3_no_name() {
    let git_url = Some("http://github.invalid:3999".into());
    let world = World::of(&Plan { git_url, timeouts: &["dns = \"1s\""], ..Plan::default() });
    // The name server of these tests is not there.
    assert_stage(&world, "upstream_timeout", "the upstream did not answer in time", "504");
    world.finish();
}

#[test]
fn g_29_p3_no_trust() {
    let world = World::of(&Plan { wire: Wire::Tls, trusted: false, ..Plan::default() });
    assert_stage(&world, "tls_failed", "no TLS came about with the upstream", "502");
    world.hub.assert_untouched("no trust");
    world.finish();
}

#[test]
fn g_29_p3_no_answer_to_discovery() {
    let world = World::of(&Plan { timeouts: &["first_byte = \"1s\""], ..Plan::default() });
    world.hub.set(When::Discovery, Answer::Silence);
    let ls = world.sandbox.git(".", &["ls-remote", &world.url("octo/spoon")]);
    ls.assert(128, &["remote: ", "asking again is safe", "504"]);
    world.finish();
}

#[test]
fn g_29_p3_no_credential() {
    let world = World::of(&Plan { session: "credential = { command = [\"false\"] }", ..Plan::default() });
    assert_stage(&world, "credential_unavailable", "the owner's credential cannot be had", "503");
    world.hub.assert_untouched("no credential");
    world.finish();
}

#[test]
fn g_29_errors_at_discovery_say_what_is_safe() {
    let world = World::new().cloned(&["agent/fix-1"]);
    for status in [429, 500, 502, 503] {
        world.hub.set(When::Discovery, Answer::Reply(status, vec![("retry-after", "7".to_owned())], b"<html>".to_vec()));
        world.sandbox.git("clone", &["fetch"]).assert(128, &["remote: ", &status.to_string(), "asking again is safe"]);
        let push = world.push(&["origin", "agent/fix-1"]);
        push.assert(128, &["remote: Nothing was sent, and pushing again is safe.", "git bundle create work.bundle"]);
        push.assert_silent_about(&["<html>", "Everything up-to-date"]);
        world.hub.calm();
    }
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    world.finish();
}

/// After forwarding began nobody knows, and nobody says.
#[test]
fn g_29_after_forwarding_began_no_status_is_invented() {
    let world = World::of(&Plan { timeouts: &["first_byte = \"1s\""], ..Plan::default() }).cloned(&["agent/fix-1"]);
    for answer in [Answer::Silence, Answer::Reply(502, Vec::new(), b"bad gateway".to_vec())] {
        world.hub.set(When::Post, answer);
        let push = world.push(&["origin", "agent/fix-1"]);
        assert_ne!(push.code, Some(0), "{}", push.err);
        assert!(push.err.contains("Whether the push took effect is not known: ask with git ls-remote"), "{}", push.err);
        push.assert_silent_about(&["[remote rejected]", "safe to retry", "pushing again is safe", "Nothing was sent", "[new branch]"]);
        world.hub.calm();
    }
    let record = world.push_record("error");
    assert!(record["bytes_up"].as_u64().is_some_and(|sent| sent > 0), "that something was sent is on record: {record:#}");
    world.finish();
}

/// G-58: who turned the credential away, and for what, in our own words.
#[test]
fn g_58_a_credential_that_is_turned_away_is_told_apart() {
    let world = World::new().cloned(&["agent/fix-1"]);
    for (status, header, body, said) in [
        (401, None, "Bad credentials", "does not know the owner's credential"),
        (403, Some("required; url=https://github.test/sso?token=SECRET"), "", "single sign-on"),
        (403, None, "The repository owner has an IP allow list enabled, and 192.0.2.1 is not permitted", "IP allow list"),
        (403, None, "This installation has been suspended", "suspended"),
        (403, None, "Write access to repository not granted.", "does not let the owner's credential do this"),
    ] {
        let headers: Vec<_> = header.map(|value| ("x-github-sso", value.to_owned())).into_iter().collect();
        for when in [When::Discovery, When::Post] {
            world.hub.set(when, Answer::Reply(status, headers.clone(), body.as_bytes().to_vec()));
            let push = world.push(&["origin", "agent/fix-1"]);
            assert_ne!(push.code, Some(0), "{}", push.err);
            assert!(push.err.contains(said), "{status} {body}: {}", push.err);
            push.assert_silent_about(&["SECRET", "192.0.2.1", "not granted.", "Authentication failed", "Everything up-to-date"]);
            world.hub.calm();
        }
    }
    world.finish();
}

/// G-58: a command's credential that went stale is fetched anew before a push is sent.
#[test]
fn g_58_a_stale_credential_is_renewed_once() {
    let directory = tempfile::tempdir().unwrap();
    let [script, count, real] = ["credential", "count", "real"].map(|name| directory.path().join(name));
    let mut file = fs::File::create(&script).unwrap();
    // The first is stale; the one after it is the one that the upstream takes.
    writeln!(
        file,
        "#!/bin/sh\necho x >> {0}\nif [ $(wc -l < {0}) = 1 ]; then echo ghs_stale_stale_stale_stale_stale; else cat {1}; fi",
        count.display(),
        real.display()
    )
    .unwrap();
    drop(file);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let session: &'static str = format!("credential = {{ command = [\"{}\"] }}", script.display()).leak();
    let world = World::of(&Plan { session, ..Plan::default() });
    fs::write(&real, &world.real).unwrap();
    let ls = || world.sandbox.git(".", &["ls-remote", &world.url("octo/spoon")]);
    // One that has just been fetched is not fetched again and again, whatever is answered.
    ls().assert(128, &["does not know the owner's credential"]);
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 1);
    eventually("another credential", || ls().code == Some(0));
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 2);
    world.finish();
}

//! Repositories that were renamed or transferred while a session used them, and names that became another's: G-12, G-62.

use serde_json::Value;

use crate::harness::{
    Answer, Done, Hub, When, Wire,
    pair::{Pair, Terms},
};

const SPOON: &str = "https://github.test/octo/spoon";

/// A clone of `octo/spoon`, by which its grant is bound to number 7.
#[track_caller]
fn cloned() -> Pair {
    let pair = Pair::new().behind_the_proxy();
    pair.sandbox.cloned(SPOON, &["agent/fix-1"]);
    assert_eq!(asked(&pair.first), ["/api/v3/repos/octo/spoon"]);
    pair
}

/// What the API was asked for.
fn asked(hub: &Hub) -> Vec<String> {
    hub.seen().into_iter().map(|seen| seen.target).filter(|target| target.starts_with("/api/")).collect()
}

#[track_caller]
fn push(pair: &Pair) -> Done {
    pair.sandbox.git("clone", &["push", "origin", "agent/fix-1"])
}

#[track_caller]
fn assert_refused(pair: &Pair, done: &Done, says: &str) {
    assert_eq!(done.code, Some(128), "{}", done.err);
    assert!(done.err.contains(says), "{says:?} in {}", done.err);
    let record = pair.gate.wait_for_record(|record| record["reason"] == "repository_not_granted");
    assert_eq!((&record["verdict"], &record["repository"]), (&"deny".into(), &"octo/spoon".into()), "{record:#}");
}

/// G-12: the same number under another name, of the same owner or of another: fetched from and pushed to, and the client sees no more
/// than that it works.
#[test]
fn g_12_a_rename_and_a_transfer_are_followed_to_the_same_number() {
    for new in ["octo/fork", "umbrella/spoon"] {
        let pair = cloned();
        pair.first.git("octo/spoon", &["update-ref", "refs/heads/new", "refs/heads/other"]);
        pair.first.rename("octo/spoon", new);
        let done = pair.sandbox.git_ok("clone", &["fetch", "origin"]);
        done.assert_silent_about(&["redirect", "warning", new]);
        assert_eq!(pair.sandbox.id("origin/new"), pair.first.refs(new)["refs/heads/new"]);
        let done = push(&pair);
        done.assert(0, &["agent/fix-1 -> agent/fix-1"]);
        done.assert_silent_about(&["redirect", "warning", new]);
        assert_eq!(pair.first.refs(new)["refs/heads/agent/fix-1"], pair.sandbox.id("agent/fix-1"));
        let record = pair.gate.wait_for_record(|record| record["kind"] == "push" && record["refs"].is_array());
        assert_eq!((&record["verdict"], &record["repository"]), (&"allow".into(), &"octo/spoon".into()), "{record:#}");
        // A clone by the old name goes to the new one at once.
        pair.sandbox.git_ok(".", &["clone", "--quiet", SPOON, "again"]);
        pair.finish();
    }
}

/// The API sends nobody on from the old name: the name in the redirect is asked about.
#[test]
fn g_12_a_redirect_alone_is_followed_where_its_number_is_the_granted_one() {
    let pair = cloned();
    pair.first.copy("octo/spoon", "octo/fork");
    pair.first.number("octo/fork", 7);
    let location = "/octo/fork.git/info/refs?service=git-upload-pack".to_owned();
    pair.first.set(When::Below("/octo/spoon/"), Answer::Reply(302, vec![("location", location)], Vec::new()));
    pair.first.forget("octo/spoon");
    pair.sandbox.git_ok("clone", &["fetch", "origin"]).assert_silent_about(&["redirect", "warning"]);
    push(&pair).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert_eq!(pair.first.refs("octo/fork")["refs/heads/agent/fix-1"], pair.sandbox.id("agent/fix-1"));
    pair.finish();
}

#[test]
fn g_12_a_redirect_to_another_number_is_refused_by_name() {
    let pair = cloned();
    pair.first.number("octo/secret", 9);
    let location = "https://github.test/octo/secret/info/refs?service=git-upload-pack".to_owned();
    pair.first.set(When::Below("/octo/spoon/"), Answer::Reply(301, vec![("location", location)], Vec::new()));
    let done = pair.sandbox.git("clone", &["fetch", "origin"]);
    assert_refused(&pair, &done, "octo/spoon is another repository by now, and leads to octo/secret");
    assert!(pair.first.seen().iter().all(|seen| !seen.target.starts_with("/octo/secret")), "{:#?}", pair.first.seen());
    pair.finish();
}

#[test]
fn g_12_nobody_is_followed_to_another_host() {
    let elsewhere = Hub::start(Wire::Plain, None);
    elsewhere.number("octo/spoon", 7);
    for location in
        [format!("{}/octo/spoon/info/refs?service=git-upload-pack", elsewhere.url()), "//ghe.test/octo/spoon/info/refs".to_owned()]
    {
        let pair = cloned();
        pair.first.set(When::Below("/octo/spoon/"), Answer::Reply(301, vec![("location", location.clone())], Vec::new()));
        let done = pair.sandbox.git("clone", &["fetch", "origin"]);
        assert_refused(&pair, &done, "octo/spoon has moved on github.test");
        done.assert_silent_about(&[&location]);
        pair.other.assert_untouched("another host");
        pair.finish();
    }
    elsewhere.assert_untouched("another host");
}

/// The API sends its own readers on to another host, where the credential must not go.
#[test]
fn the_api_is_not_followed_to_another_host() {
    let elsewhere = Hub::start(Wire::Plain, None);
    let pair = Pair::new().behind_the_proxy();
    let location = format!("{}/repositories/7", elsewhere.api_url());
    pair.first.set(When::Below("/api/"), Answer::Reply(301, vec![("location", location)], Vec::new()));
    pair.sandbox.cloned(SPOON, &[]);
    elsewhere.assert_untouched("another host");
    pair.finish();
}

/// G-62: the record of a session outlives the process, and what its grant is for does too.
#[test]
fn g_62_a_name_that_became_another_s_is_refused() {
    let mut pair = Pair::new();
    let config = pair.gate.path("tidegate.toml").display().to_string();
    let create =
        ["session", "create", "--config", &config, "--id", "made", "--repo", "octo/spoon:agent/fix-1", "--repo", "ghe.test/octo/spoon"];
    let made = std::process::Command::new(crate::harness::tidegate::TIDEGATE).args(create).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
    let door = |pair: &Pair, repository: &str| format!("http://x:{token}@{}/git/{repository}", pair.gate.listener("git"));
    pair.sandbox.git_ok(".", &["clone", "--quiet", &door(&pair, "octo/spoon"), "clone"]);
    pair.sandbox.git_ok(".", &["clone", "--quiet", &door(&pair, "ghe.test/octo/spoon"), "other"]);
    let record: Value = serde_json::from_slice(&std::fs::read(pair.gate.path("state/sessions/made.json")).unwrap()).unwrap();
    assert_eq!(record["bound"], serde_json::json!({ "ghe.test/octo/spoon": 1_000_007, "octo/spoon": 7 }), "{record:#}");
    assert_eq!(record["github"], "github.test");

    pair.gate.crash_and_restart();
    pair.sandbox.git_ok(".", &["clone", "--quiet", &door(&pair, "octo/spoon"), "again"]);
    // The repository goes, and somebody else takes its name.
    pair.first.number("octo/spoon", 8);
    pair.gate.crash_and_restart();
    let before = pair.first.seen_at("/git-upload-pack").len();
    let done = pair.sandbox.git(".", &["clone", &door(&pair, "octo/spoon"), "third"]);
    assert_refused(&pair, &done, "octo/spoon is another repository by now");
    let url = door(&pair, "octo/spoon");
    let done = pair.sandbox.git("clone", &["push", &url, "HEAD:refs/heads/agent/fix-1"]);
    done.assert(128, &["octo/spoon is another repository by now"]);
    assert_eq!(pair.first.seen_at("/git-upload-pack").len(), before);
    assert!(pair.first.refs("octo/spoon").keys().all(|name| name != "refs/heads/agent/fix-1"));
    // What is bound is refused where nothing tells what it is; another host says nothing of it.
    pair.first.break_api();
    pair.gate.crash_and_restart();
    let done = pair.sandbox.git(".", &["clone", &door(&pair, "octo/spoon"), "third"]);
    done.assert(128, &["Nothing tells whether octo/spoon is still the repository that was granted"]);
    pair.sandbox.git_ok(".", &["clone", "--quiet", &door(&pair, "ghe.test/octo/spoon"), "fourth"]);
    pair.finish();
}

/// Without an API that answers, git works as ever, and no redirect is followed.
#[test]
fn an_api_that_does_not_answer_stops_nothing_but_redirects() {
    let pair = Pair::new().behind_the_proxy();
    pair.first.break_api();
    pair.sandbox.cloned(SPOON, &["agent/fix-1"]);
    push(&pair).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    // It is not asked again with every request.
    assert_eq!(asked(&pair.first), ["/api/v3/repos/octo/spoon"]);
    pair.first.rename("octo/spoon", "octo/fork");
    let done = pair.sandbox.git("clone", &["fetch", "origin"]);
    assert_refused(&pair, &done, "octo/spoon has moved to octo/fork on github.test");
    pair.finish();
}

/// A push whose repository is renamed between its two requests changes nothing, and says so.
#[test]
fn a_push_is_not_sent_after_a_repository_that_moves_meanwhile() {
    let pair = cloned();
    let before = pair.first.refs("octo/spoon");
    let location = "/octo/fork/git-receive-pack".to_owned();
    pair.first.set(When::Post, Answer::Reply(307, vec![("location", location)], Vec::new()));
    push(&pair).assert(1, &["! [remote rejected] agent/fix-1 -> agent/fix-1", "has moved to octo/fork"]);
    pair.first.calm();
    assert_eq!(pair.first.refs("octo/spoon"), before);
    push(&pair).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    pair.finish();
}

/// The credential that serves the API is the one that serves git.
#[test]
fn a_session_s_own_credential_asks_the_api() {
    let pair = Pair::of(&Terms { own_credentials: true, ..Terms::default() }).behind_the_proxy();
    pair.sandbox.cloned(SPOON, &["agent/fix-1"]);
    pair.first.rename("octo/spoon", "octo/fork");
    push(&pair).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    pair.finish();
}

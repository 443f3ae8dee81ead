//! The same rows through every door: what git prints and what moves upstream is the same, whichever way a remote is reached.

use crate::harness::{
    namespace::{isolated, redirect},
    pair::{Pair, Terms},
    world::GRANTS,
};

/// The git door, the proxy door with TLS ended there, SOCKS, and redirected connections.
#[test]
fn every_door_serves_git_alike() {
    isolated("doors::every_door_serves_git_alike", || {
        let entry = "transparent = \"127.0.0.1:0\"\ndns = \"127.0.0.1:0\"\nsocks = \"127.0.0.1:0\"\nsession = \"s1\"";
        let pair = Pair::of(&Terms { entry, grants: GRANTS, ..Terms::default() });
        redirect(pair.gate.listener("transparent"), pair.gate.listener("dns"));
        rows(&pair, "git", &pair.door(""));
        let proxies = [("proxy", format!("http://{}", pair.gate.proxy())), ("socks", format!("socks5h://{}", pair.gate.listener("socks")))];
        for (door, proxy) in proxies.into_iter().chain([("transparent", "\"\"".to_owned())]) {
            pair.sandbox.behind(&proxy, &pair.root());
            rows(&pair, door, "https://github.test/");
        }
        pair.finish();
    });
}

/// Rows G-20, G-25, G-30, G-31, G-40, G-44, G-52, G-54, G-71, G-74 and G-79, at a door below this address.
#[track_caller]
fn rows(pair: &Pair, door: &str, base: &str) {
    let (sandbox, hub) = (&pair.sandbox, &pair.first);
    let [spoon, reading, secret] = ["octo/spoon", "octo/reading.git", "octo/secret"].map(|name| format!("{base}{name}"));
    sandbox.cloned(&spoon, &["agent/fix-1"]);
    let push = |arguments: &[&str]| sandbox.git("clone", &[&["push"], arguments].concat());
    let before = hub.refs("octo/spoon");
    push(&["--dry-run", "origin", "main"]).assert(0, &["main -> main"]);
    push(&["origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: ", "refs/heads/agent/fix-1"]);
    push(&["origin", "agent/fix-1", "main"]).assert(1, &["agent/fix-1 -> agent/fix-1 (not attempted: another ref was refused)"]);
    push(&["origin", "--delete", "other"]).assert(1, &["! [remote rejected] other (policy: "]);
    push(&[&reading, "agent/fix-1"]).assert(128, &["remote: ", "read only for this session", "403"]);
    assert_eq!(hub.refs("octo/spoon"), before, "{door}");
    push(&["origin", "agent/fix-1"]).assert(0, &["[new branch]"]);
    sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    sandbox.git_ok("clone", &["commit", "--quiet", "--amend", "-m", "otherwise"]);
    push(&["--force-with-lease", "origin", "agent/fix-1"]).assert(0, &["(forced update)"]);
    assert_eq!(hub.refs("octo/spoon")["refs/heads/agent/fix-1"], sandbox.id("agent/fix-1"), "{door}");
    let done = sandbox.git(".", &["clone", &secret, "secret"]);
    done.assert(128, &["remote: ", "octo/secret", "403"]);
    let listed = sandbox.git_ok(".", &["ls-remote", &reading, "refs/pull/1/head"]).out;
    assert!(listed.ends_with("\trefs/pull/1/head\n"), "{door}: {listed}");
    sandbox.git_ok(".", &["clone", "--quiet", "--depth", "1", &spoon, "shallow"]);
    sandbox.commit("shallow", "more");
    sandbox.git("shallow", &["push", "origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: "]);
    sandbox.git("shallow", &["push", "--force", "origin", "main:agent/fix-1"]).assert(0, &["main -> agent/fix-1"]);
    sandbox.git_ok(".", &["clone", "--quiet", "--filter=blob:none", "--no-checkout", &reading, "partial"]);
    sandbox.git_ok("partial", &["checkout", "--quiet", "main"]);
    assert!(sandbox.path("partial/third.txt").exists(), "{door}");
    for (kind, verdict) in [("push", "allow"), ("push", "deny"), ("fetch", "allow"), ("fetch", "deny")] {
        pair.gate.wait_for_record(|record| record["kind"] == kind && record["verdict"] == verdict && record["door"] == door);
    }
    hub.git("octo/spoon", &["update-ref", "-d", "refs/heads/agent/fix-1"]);
    for clone in ["clone", "shallow", "partial"] {
        std::fs::remove_dir_all(sandbox.path(clone)).unwrap();
    }
}

//! Tokens that may do less than their session, as git shows them: at the git door, and in the URL of the proxy.

use crate::harness::{
    World,
    bytes::{FETCH_TYPE, basic, request},
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";

#[test]
fn a_token_for_git_pushes_its_branch_and_no_other_of_the_session_s() {
    let world = World::granting(
        "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\"]\n\
         [[session.repository]]\nname = \"octo/fork\"\n",
    );
    let token = world.session(&["token", "s1", "--only", "git", "--ttl", "1h", "--repo", "octo/spoon:agent/one"]);
    world.sandbox.cloned(&world.url_with(&token, "octo/spoon"), &["agent/one", "agent/two"]);
    world.push(&["origin", "agent/one"]).assert(0, &["agent/one -> agent/one"]);
    let before = world.hub.refs("octo/spoon");
    world
        .push(&["origin", "agent/two"])
        .assert(1, &["! [remote rejected] agent/two -> agent/two (policy: this session may not push this ref)"]);
    world.sandbox.git(".", &["ls-remote", &world.url_with(&token, "octo/fork")]).assert(128, &["no grant for octo/fork"]);
    assert_eq!(world.hub.refs("octo/spoon"), before);
    let record = world.push_record("deny");
    assert_eq!((&record["session"], &record["reason"]), (&"s1~1".into(), &"ref_not_granted".into()), "{record:#}");
    world.sandbox.git("clone", &["push", &world.url("octo/spoon"), "agent/two"]).assert(0, &["agent/two -> agent/two"]);
    world.finish();
}

#[test]
fn a_token_that_is_not_for_git_asks_no_repository() {
    let world = World::new();
    for only in ["egress", "api", "egress,api"] {
        let token = world.session(&["token", "s1", "--only", only]);
        for (method, target) in [("GET", "/git/octo/spoon/info/refs?service=git-receive-pack"), ("POST", "/git/octo/spoon/git-upload-pack")]
        {
            let reply = world.ask(request(method, target, &[&basic("x", &token), FETCH_TYPE], b"0000"));
            assert_eq!(reply.reason(), "repository_not_granted", "{only} {method} {target}: {reply:?}");
        }
        let reply = world.ask(request("GET", DISCOVERY, &[&basic("x", &token)], b""));
        assert_eq!(reply.verdict(), (403, "repository_not_granted"), "{reply:?}");
        assert!(reply.text().contains("and not for git."), "{}", reply.text());
    }
    world.hub.assert_untouched("tokens that are not for git");
    world.finish();
}

/// A remote as it is, through the proxy door: the token opens the tunnel, and the host's requests go by its grant.
#[test]
fn a_token_for_git_in_the_url_of_the_proxy() {
    let world = World::new().behind_the_proxy();
    let token = world.session(&["token", "s1", "--only", "git", "--repo", "octo/spoon"]);
    world.sandbox.behind(&world.proxy_for(&token), &world.root());
    world.sandbox.git_ok(".", &["ls-remote", "https://github.test/octo/spoon.git"]);
    let record = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["verdict"] == "allow");
    assert_eq!((&record["session"], &record["door"]), (&"s1~1".into(), &"proxy".into()), "{record:#}");
    let curl = world.sandbox.run_program("curl", &["-sS", "-i", "--max-time", "20", "--proxy", &world.proxy_for(&token), "http://a.test/"]);
    assert!(curl.out.contains("x-deny-reason: network_disabled"), "{}{}", curl.out, curl.err);
    world.finish();
}

#[test]
fn threat_97_a_token_that_is_revoked_is_refused_and_its_session_is_not() {
    let world = World::new();
    let token = world.session(&["token", "s1", "--only", "git"]);
    world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&token, "octo/spoon")]);
    world.session(&["revoke", "s1~1"]);
    world.sandbox.git(".", &["ls-remote", &world.url_with(&token, "octo/spoon")]).assert(128, &["revoked", "Authentication failed"]);
    world.sandbox.git_ok(".", &["ls-remote", &world.url("octo/spoon")]);
    world.finish();
}

//! Several hosts of repositories at once: each by its own host, its own credential and its own authority, and the same owner and name on two of
//! them are two repositories.

use serde_json::Value;

use crate::harness::{
    Plan, World,
    namespace::{isolated, redirect},
    pair::{FIRST, OTHER, Pair, Terms},
};

/// Each host saw requests of git's and of its own API, by its own credential, and nothing else. What it saw of the other's credential
/// is searched for at the end.
#[track_caller]
fn assert_both_used(pair: &Pair) {
    for hub in [&pair.first, &pair.other] {
        let seen = hub.seen();
        assert!(seen.iter().any(|seen| seen.target == "/octo/spoon/git-receive-pack"), "{seen:#?}");
        assert!(seen.iter().any(|seen| seen.target == "/api/v3/repos/octo/spoon"), "{seen:#?}");
        let expected = ["/octo/spoon/", "/api/v3/repos/octo/spoon"];
        assert!(seen.iter().all(|seen| expected.iter().any(|begin| seen.target.starts_with(begin))), "{seen:#?}");
    }
    for (host, repository) in [(FIRST, "octo/spoon"), (OTHER, "ghe.test/octo/spoon")] {
        let record = pair
            .gate
            .wait_for_record(|record| record["kind"] == "push" && record["repository"] == repository && record["verdict"] == "allow");
        assert_eq!(record["host"], host, "{record:#}");
    }
}

#[test]
fn two_hosts_through_the_git_door() {
    let pair = Pair::new();
    pair.work(&pair.door("octo/spoon"), &pair.first, "one");
    pair.work(&pair.door("ghe.test/octo/spoon.git"), &pair.other, "two");
    pair.work(&pair.door("GitHub.Test/Octo/Spoon"), &pair.first, "three");
    assert_both_used(&pair);
    pair.finish();
}

#[test]
fn two_hosts_through_the_proxy() {
    let pair = Pair::new().behind_the_proxy();
    pair.work("https://github.test/octo/spoon.git", &pair.first, "one");
    pair.work("https://ghe.test/octo/spoon", &pair.other, "two");
    assert_both_used(&pair);
    pair.finish();
}

#[test]
fn two_hosts_through_the_transparent_door() {
    isolated("hosts::two_hosts_through_the_transparent_door", || {
        let entry = "transparent = \"127.0.0.1:0\"\ndns = \"127.0.0.1:0\"\nsession = \"s1\"";
        let pair = Pair::of(&Terms { entry, ..Terms::default() });
        redirect(pair.gate.listener("transparent"), pair.gate.listener("dns"));
        pair.sandbox.behind("\"\"", &pair.root());
        pair.work("https://github.test/octo/spoon", &pair.first, "one");
        pair.work("https://ghe.test/octo/spoon.git", &pair.other, "two");
        assert_both_used(&pair);
        pair.finish();
    });
}

#[test]
fn a_session_s_own_credentials_are_each_for_one_host() {
    let pair = Pair::of(&Terms { own_credentials: true, ..Terms::default() });
    pair.work(&pair.door("octo/spoon"), &pair.first, "one");
    pair.work(&pair.door("ghe.test/octo/spoon"), &pair.other, "two");
    assert_both_used(&pair);
    pair.finish();
}

#[test]
fn a_session_s_one_credential_is_for_the_first_host_alone() {
    let world = World::of(&Plan {
        session: "credential = { env = \"REAL_TOKEN\" }",
        grants: "[[session.repository]]\nname = \"ghe.test/octo/spoon\"\naccess = \"read\"\n",
        github: "[[github]]\nhost = \"ghe.test\"\ngit_url = \"http://127.0.0.1:9\"\n",
        ..Plan::default()
    });
    let done = world.sandbox.git(".", &["clone", &world.url("ghe.test/octo/spoon"), "clone"]);
    done.assert(128, &["remote: Tidegate: There is no credential for this repository"]);
    assert!(world.gate().stderr().contains("there is no credential for ghe.test"), "{}", world.gate().stderr());
    world.hub.assert_untouched("the other host's");
    world.finish();
}

/// An authority vouches for the host that it is written for, and for no other.
#[test]
fn the_authority_of_one_host_says_nothing_of_another() {
    let pair = Pair::of(&Terms { crossed: true, ..Terms::default() });
    for repository in ["octo/spoon", "ghe.test/octo/spoon"] {
        let done = pair.sandbox.git(".", &["clone", &pair.door(repository), "clone"]);
        assert_eq!(done.code, Some(128), "{}", done.err);
        pair.gate.wait_for_record(|record| record["repository"] == repository && record["reason"] == "tls_failed");
    }
    for hub in [&pair.first, &pair.other] {
        hub.assert_untouched("nobody vouches for it");
    }
    pair.finish();
}

/// G-02: the grant for a repository at one host is none for the same name at another.
#[test]
fn a_grant_is_for_one_host() {
    let grants = "[[session.repository]]\nname = \"ghe.test/octo/spoon\"\naccess = \"read\"\n";
    let pair = Pair::of(&Terms { grants, ..Terms::default() }).behind_the_proxy();
    let refused = "This session has no grant for octo/spoon. It may use ghe.test/octo/spoon.";
    pair.sandbox.git(".", &["clone", "https://github.test/octo/spoon", "clone"]).assert(128, &[refused]);
    for repository in ["octo/spoon", "github.test/octo/spoon"] {
        pair.sandbox.git(".", &["-c", "http.proxy=", "clone", &pair.door(repository), "clone"]).assert(128, &[refused]);
    }
    let done = pair.sandbox.git(".", &["-c", "http.proxy=", "clone", &pair.door("other.test/octo/spoon"), "clone"]);
    done.assert(128, &["none has the host other.test, there is github.test, ghe.test"]);
    pair.first.assert_untouched("not granted");
    pair.sandbox.git_ok(".", &["clone", "--quiet", "https://ghe.test/octo/spoon", "clone"]);
    pair.finish();
}

/// On a server of somebody's own, pages, API and git share one host.
#[test]
fn of_a_ghes_host_git_and_the_api_alone_are_served() {
    let pair = Pair::new().behind_the_proxy();
    let (proxy, root) = (format!("http://x:{}@{}", pair.token, pair.gate.proxy()), pair.sandbox.path("root.pem"));
    for (path, reason, json) in [
        ("", "api_not_allowed", false),
        ("login", "api_not_allowed", false),
        ("octo/spoon/settings", "api_not_allowed", false),
        ("gist/0123456789abcdef", "api_not_allowed", false),
        ("api/v3/repos/octo/spoon/hooks", "api_not_allowed", true),
        ("api/graphql", "api_not_allowed", true),
        ("api/uploads/repos/octo/spoon/keys", "api_not_allowed", true),
        ("api/v3/../../octo/secret/info/refs?service=git-upload-pack", "bad_request", true),
        ("octo/spoon/../secret/info/refs?service=git-upload-pack", "bad_request", false),
        ("octo/spoon//info/refs?service=git-upload-pack", "bad_request", false),
        ("octo/%73poon/info/refs?service=git-upload-pack", "bad_request", false),
        ("octo/secret/info/refs?service=git-upload-pack", "repository_not_granted", false),
        ("github.test/octo/spoon/info/refs?service=git-upload-pack", "repository_not_granted", false),
    ] {
        let url = format!("https://ghe.test/{path}");
        let fixed = ["--silent", "--show-error", "--include", "--max-time", "20", "--path-as-is", "--proxy", &proxy, "--cacert"];
        let shown = pair.sandbox.run_program("curl", &[&fixed[..], &[root.to_str().unwrap(), &url]].concat()).out;
        assert!(shown.contains(&format!("x-deny-reason: {reason}\r\n")), "{url}: {shown}");
        let body = shown.rsplit_once("\r\n\r\n").unwrap().1;
        assert_eq!(serde_json::from_str::<Value>(body).is_ok(), json, "{url}: {body}");
    }
    pair.other.assert_untouched("no request of git's for what is granted");
    pair.finish();
}

#[test]
fn a_host_of_ghe_com_and_those_beside_it() {
    let pair = Pair::of(&Terms { other: "acme.ghe.com", ..Terms::default() }).behind_the_proxy();
    pair.work("https://acme.ghe.com/octo/spoon", &pair.other, "one");
    let (proxy, root) = (format!("http://x:{}@{}", pair.token, pair.gate.proxy()), pair.sandbox.path("root.pem"));
    for (host, reason) in [
        ("api.acme.ghe.com", "api_not_allowed"),
        ("uploads.acme.ghe.com", "api_not_allowed"),
        ("gist.acme.ghe.com", "api_not_allowed"),
        ("ghe.com", "network_disabled"),
        ("other.ghe.com", "network_disabled"),
    ] {
        let arguments = ["--silent", "--include", "--max-time", "20", "--proxy", &proxy, "--cacert", root.to_str().unwrap()];
        let shown = pair.sandbox.run_program("curl", &[&arguments[..], &[&format!("https://{host}/user/emails")]].concat()).out;
        assert!(shown.contains(&format!("x-deny-reason: {reason}\r\n")), "{host}: {shown}");
    }
    pair.finish();
}

#[test]
fn a_session_made_by_its_owner_names_hosts_that_are_configured() {
    let world = World::of(&Plan { github: "[[github]]\nhost = \"ghe.test\"\n", ..Plan::default() });
    let create = |id: &str, name: &str| {
        let config = world.gate().path("tidegate.toml").display().to_string();
        let arguments = ["session", "create", "--config", &config, "--id", id, "--repo", name];
        std::process::Command::new(crate::harness::tidegate::TIDEGATE).args(arguments).output().unwrap()
    };
    let refused = create("a", "other.test/octo/spoon");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("none has the host other.test"), "{said}");
    for (id, written, shown) in [("b", "ghe.test/octo/spoon", "ghe.test/octo/spoon"), ("c", "github.test/octo/spoon", "octo/spoon")] {
        assert!(create(id, written).status.success());
        let session: Value = serde_json::from_str(&world.session(&["show", "--json", id])).unwrap();
        assert_eq!(session["repositories"][0]["name"], shown, "{session:#}");
    }
    world.finish();
}

//! Submodules (G-75): relative URLs stay where their repository is, HTTPS and SSH URLs come to the gate as well, and one that is not granted is
//! refused by its name.

use crate::harness::{Plan, World};

/// `octo/whole` and four repositories in it; `octo/secret` is not granted.
const GRANTED: &str = r#"
[[session.repository]]
name = "octo/whole"
access = "read"

[[session.repository]]
name = "octo/spoon"
access = "read"

[[session.repository]]
name = "octo/reading"
access = "read"

[[session.repository]]
name = "octo/by-path"
access = "read"

[[session.repository]]
name = "octo/by-url"
access = "read"
"#;

/// A submodule by each kind of URL.
const KINDS: [(&str, &str); 4] = [
    ("relative", "../reading.git"),
    ("https", "https://github.test/octo/spoon.git"),
    ("by-path", "git@github.test:octo/by-path.git"),
    ("by-url", "ssh://git@github.test/octo/by-url"),
];

/// A world whose `octo/whole` has these submodules, at their places.
#[track_caller]
fn world(submodules: &[(&str, &str)]) -> World {
    let world = World::of(&Plan { grants: GRANTED, ..Plan::default() });
    for copy in ["octo/by-path", "octo/by-url"] {
        world.hub.copy("octo/reading", copy);
    }
    let commit = world.hub.refs("octo/reading")["refs/heads/main"].clone();
    let named: Vec<_> =
        submodules.iter().map(|(place, url)| format!("[submodule \"{place}\"]\n\tpath = {place}\n\turl = {url}\n")).collect();
    let commits: Vec<_> = submodules.iter().map(|(place, _)| (*place, commit.as_str())).collect();
    world.hub.add("octo/whole", &[(".gitmodules", &named.concat())], &commits);
    world
}

#[test]
fn g_75_submodules_by_relative_https_and_ssh_urls_come_with_a_recursive_clone() {
    for remote in ["https://github.test/octo/whole.git", "git@github.test:octo/whole.git"] {
        let world = world(&KINDS);
        world.told(&["git", "clone", "--quiet", "--recurse-submodules", remote, "clone"]).assert(0, &[]);
        for (place, url) in KINDS {
            let within = format!("clone/{place}");
            assert!(world.sandbox.path(&within).join("third.txt").exists(), "{place} of {remote}");
            let shown = world.sandbox.git_ok(&within, &["remote", "get-url", "origin"]).out;
            let expected = if place == "relative" { remote.replace("whole", "reading") } else { url.to_owned() };
            assert_eq!(shown.trim(), expected);
        }
        world.told(&["git", "-C", "clone", "submodule", "--quiet", "foreach", "git fetch --quiet origin"]).assert(0, &[]);
        for name in ["octo/reading", "octo/spoon", "octo/by-path", "octo/by-url"] {
            let fetched = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["repository"] == name);
            assert_eq!([&fetched["verdict"], &fetched["door"]], ["allow", "proxy"], "{fetched:#}");
        }
        world.finish();
    }
}

/// At the git door there are no names but its own: the relative ones stay on it.
#[test]
fn g_75_a_relative_submodule_stays_on_the_git_door() {
    let world = world(&KINDS[..1]);
    world.sandbox.git_ok(".", &["clone", "--quiet", "--recurse-submodules", &world.url("octo/whole.git"), "clone"]);
    assert!(world.sandbox.path("clone/relative/third.txt").exists());
    let fetched = world.gate().wait_for_record(|record| record["repository"] == "octo/reading" && record["verdict"] == "allow");
    assert_eq!([&fetched["kind"], &fetched["door"]], ["fetch", "git"], "{fetched:#}");
    world.finish();
}

#[test]
fn g_75_a_submodule_that_is_not_granted_is_refused_by_name_and_says_what_to_ask_for() {
    for url in ["../secret.git", "https://github.test/octo/secret", "git@github.test:octo/secret.git", "ssh://git@github.test/octo/secret"]
    {
        let world = world(&[("granted", "../reading.git"), ("secret", url)]);
        let done = world.told(&["git", "clone", "--recurse-submodules", "https://github.test/octo/whole", "clone"]);
        done.assert(
            1,
            &[
                "remote: Tidegate: This session has no grant for octo/secret. It may use octo/whole, octo/spoon, ",
                "name = \"octo/secret\"",
                "fatal: clone of '",
            ],
        );
        assert!(world.sandbox.path("clone/.gitmodules").exists(), "what is granted is there");
        let refused = world.assert_denied("fetch", "repository_not_granted");
        assert_eq!(refused["repository"], "octo/secret", "{refused:#}");
        assert!(world.hub.seen().iter().all(|seen| !seen.target.contains("secret")), "nothing of it was asked for");
        world.finish();
    }
}

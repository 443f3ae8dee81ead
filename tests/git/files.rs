//! Archives, single files and files of releases (`github.md` 6, row Host): they follow the grant of the repository that their URL names, and
//! are a policy's matter where it names none.

use std::fs;

use serde_json::Value;

use crate::harness::{Answer, Done, Plan, When, World, bytes::basic};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
const ARCHIVE: &str = "https://codeload.github.com/octo/spoon/tar.gz/refs/heads/main";
const FILE: &str = "https://raw.githubusercontent.com/octo/spoon/main/third.txt";

const STORES: &str = "codeload_url = \"{HUB}/codeload\"\nraw_url = \"{HUB}/raw\"\n";
const PUBLIC: &str = "codeload_url = \"{HUB}/codeload\"\nraw_url = \"{HUB}/raw\"\npublic_read = true\n";

fn plan() -> Plan {
    Plan { host: "github.com", github: STORES, ..Plan::default() }
}

#[track_caller]
fn world() -> World {
    World::of(&plan()).behind_the_proxy()
}

/// What the last answer says: its status, its reason if it is a refusal, its fields and its body.
#[track_caller]
fn last(done: &Done) -> (&str, &str, &str, &str) {
    let (before, body) = done.out.rsplit_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {}{}", done.out, done.err));
    let head = before.rsplit("\r\n\r\n").next().unwrap();
    let reason = head.lines().find_map(|line| line.strip_prefix("x-deny-reason: ")).unwrap_or_default();
    (head.split(' ').nth(1).unwrap_or_default(), reason, head, body)
}

#[test]
fn archives_and_files_of_a_granted_repository_are_read_with_the_owner_s_credential() {
    for version in VERSIONS {
        let world = world();
        let shown = world.curl(&[version, FILE]);
        let (status, _, head, body) = last(&shown);
        assert_eq!((status, body), ("200", "third\n".repeat(100).as_str()), "{head}");
        assert!(head.contains("etag: \"a-tag\"") && !head.contains("set-cookie") && !head.contains("x-oauth-scopes"), "{head}");
        let archive = world.sandbox.path("archive.tar.gz");
        let into = archive.to_str().unwrap();
        // A token in a query would be somebody else's.
        world.curl(&[version, "--no-include", "--output", into, &format!("{ARCHIVE}?token=AAAA")]).assert(0, &[]);
        let listed = world.sandbox.run_program("tar", &["--list", "--gzip", "--file", into]);
        assert!(listed.out.contains("spoon-archive/third.txt"), "{}{}", listed.out, listed.err);
        assert_eq!(last(&world.curl(&[version, "--head", FILE])).0, "200");
        let targets: Vec<_> = world.hub.seen().into_iter().map(|seen| (seen.method, seen.target)).collect();
        let expected = [
            ("GET", "/raw/octo/spoon/main/third.txt"),
            ("GET", "/codeload/octo/spoon/tar.gz/refs/heads/main"),
            ("HEAD", "/raw/octo/spoon/main/third.txt"),
        ];
        assert_eq!(targets, expected.map(|(method, target)| (method.to_owned(), target.to_owned())));
        let record = world
            .gate()
            .wait_for_record(|record| record["path"] == "/octo/spoon/tar.gz/refs/heads/main" && record["bytes_down"].as_u64() > Some(0));
        assert_eq!(
            [&record["kind"], &record["repository"], &record["host"], &record["verdict"], &record["session"]],
            ["fetch", "octo/spoon", "codeload.github.com", "allow", "s1"],
            "{record:#}"
        );
        world.finish();
    }
}

#[test]
fn what_is_not_granted_is_refused_by_name_and_nothing_is_asked() {
    for version in VERSIONS {
        let world = world();
        for url in [
            "https://codeload.github.com/octo/secret/tar.gz/main",
            "https://raw.githubusercontent.com/octo/secret/main/third.txt",
            "https://github.com/octo/secret/archive/main.zip",
            "https://github.com/octo/secret/raw/main/third.txt",
            "https://github.com/octo/secret/releases/download/v1/asset.txt",
        ] {
            let shown = world.curl(&[version, url]);
            let (status, reason, head, body) = last(&shown);
            assert_eq!((status, reason), ("403", "repository_not_granted"), "{url}: {head}");
            assert!(body.contains("This session has no grant for octo/secret. It may use octo/spoon, octo/reading."), "{url}: {body}");
            assert!(body.contains("name = \"octo/secret\""), "{url}: {body}");
        }
        let refused = world.assert_denied("http", "repository_not_granted");
        assert_eq!([&refused["repository"], &refused["host"]], ["octo/secret", "codeload.github.com"], "{refused:#}");
        world.hub.assert_untouched("not granted");
        world.finish();
    }
}

/// Threat 114 at these hosts: no way of writing a path leads to another repository with the credential of a granted one.
#[test]
fn threat_114_no_spelling_leads_into_another_repository() {
    let world = world();
    for path in [
        "octo/spoon/../secret/main/third.txt",
        "octo/spoon/%2e%2e/secret/main/third.txt",
        "octo/spoon/main/..%2f..%2f..%2fsecret%2fmain%2fthird.txt",
        "octo/spoon/main/..;/..;/..;/secret/main/third.txt",
        "octo/spoon/main/..%5c..%5csecret/third.txt",
        "octo/spoon/main//third.txt",
        "octo/sp%6fon/../secret/main/third.txt",
        "./octo/secret/main/third.txt",
    ] {
        for version in VERSIONS {
            let shown = world.curl(&[version, "--path-as-is", &format!("https://raw.githubusercontent.com/{path}")]);
            // What names no repository plainly is the policy's to judge, and at this level there is none.
            let (status, reason, head, _) = last(&shown);
            assert_eq!((status, reason), ("403", "network_disabled"), "{path}: {head}");
        }
    }
    for line in ["Host: raw.githubusercontent.com.evil", "Host: codeload.github.com"] {
        let shown = world.curl(&["--http1.1", "--header", line, FILE]);
        assert_eq!(last(&shown).1, "misdirected", "{line}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let shown = world.curl(&["--request", method, FILE]);
        assert_eq!((last(&shown).0, last(&shown).1), ("403", "method_not_allowed"), "{method}");
    }
    let foreign = ["--header", "Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345"];
    assert_eq!(last(&world.curl(&[&foreign[..], &[FILE]].concat())).1, "credential_not_allowed");
    world.hub.assert_untouched("nothing that is granted");
    // The session's own token counts for nothing more.
    assert_eq!(last(&world.curl(&["--header", &basic("x", &world.token), FILE])).0, "200");
    world.finish();
}

/// G-76: what is public is read without any credential.
#[test]
fn g_76_what_nobody_granted_is_read_without_a_credential_where_everybody_may() {
    let world = World::of(&Plan { github: PUBLIC, ..plan() }).behind_the_proxy();
    // This upstream shows nothing to nobody.
    for url in ["https://raw.githubusercontent.com/octo/secret/main/third.txt", "https://codeload.github.com/octo/secret/zip/main"] {
        let shown = world.curl(&[url]);
        let (status, reason, head, body) = last(&shown);
        assert_eq!((status, reason), ("404", "repository_not_granted"), "{head}");
        assert!(body.contains("shows octo/secret to nobody without a credential"), "{body}");
    }
    let shown = world.curl(&["https://github.com/octo/secret/releases/download/v1/asset.txt"]);
    assert_eq!(last(&shown).0, "302");
    assert_eq!(world.hub.seen().len(), 3);
    assert!(world.hub.seen().iter().all(|seen| seen.header("authorization").is_none()));
    world.finish();
    let world = World::of(&Plan { github: PUBLIC, guarded: false, ..plan() }).behind_the_proxy();
    let shown = world.curl(&["https://raw.githubusercontent.com/octo/secret/main/third.txt"]);
    assert_eq!((last(&shown).0, last(&shown).3), ("200", "third\n".repeat(100).as_str()));
    assert!(world.hub.seen().iter().all(|seen| seen.header("authorization").is_none()));
    world.finish();
}

#[test]
fn pages_that_lead_to_files_send_there_without_a_token() {
    for version in VERSIONS {
        let world = world();
        for (page, place) in [
            ("archive/refs/heads/main.tar.gz", "https://codeload.github.com/octo/spoon/tar.gz/refs/heads/main"),
            ("archive/v1.zip", "https://codeload.github.com/octo/spoon/zip/v1"),
            ("tarball/main", "https://codeload.github.com/octo/spoon/legacy.tar.gz/main"),
            ("raw/main/third.txt?token=AAAA", FILE),
        ] {
            let shown = world.curl(&[version, &format!("https://github.com/octo/spoon/{page}")]);
            let (status, _, head, _) = last(&shown);
            assert!(status == "302" && head.lines().any(|line| line == format!("location: {place}")), "{page}: {head}");
        }
        world.hub.assert_untouched("where they are is known");
        let shown = world.curl(&[version, "--location", "https://github.com/octo/spoon/raw/main/third.txt"]);
        assert_eq!((last(&shown).0, last(&shown).3), ("200", "third\n".repeat(100).as_str()));
        world.finish();
    }
}

/// Section 10 K: of a release only where it is comes in, if that is GitHub's storage, which a policy judges.
#[test]
fn a_release_leads_to_storage_and_takes_no_credential() {
    for version in VERSIONS {
        let world = world();
        let release = |file: &str| format!("https://github.com/octo/spoon/releases/download/v1/{file}");
        let shown = world.curl(&[version, &release("asset.txt")]);
        let (status, _, head, _) = last(&shown);
        assert!(status == "302" && !head.contains("set-cookie"), "{head}");
        assert!(head.lines().any(|line| line == "location: https://release-assets.githubusercontent.com/asset/1?sig=signed"), "{head}");
        let shown = world.curl(&[version, &release("elsewhere")]);
        assert!(last(&shown).1 == "upstream_closed" && !last(&shown).2.contains("location"), "{}", shown.out);
        assert_eq!(last(&world.curl(&[version, &release("missing")])).0, "404");
        let shown = world.curl(&[version, "https://github.com/octo/spoon/releases/tag/v1"]);
        assert_eq!(last(&shown).1, "api_not_allowed", "pages for people are none of it");
        assert!(world.hub.seen().len() == 3 && world.hub.seen().iter().all(|seen| seen.header("authorization").is_none()));
        let followed = world.curl(&[version, "--location", &release("asset.txt")]);
        assert!(followed.err.contains("CONNECT tunnel failed, response 403"), "{}", followed.err);
        assert_eq!(world.assert_denied("connect", "network_disabled")["host"], "release-assets.githubusercontent.com");
        world.finish();
    }
}

/// What no grant lets through a policy may: it goes as to any other host, which here has no address.
#[test]
fn a_policy_that_lists_the_host_judges_what_no_grant_names() {
    let policy = "access = \"custom\"\nallow = [\"raw.githubusercontent.com\"]\ndeny = [\"codeload.github.com\"]\n[tls]\nskip = [\"raw.githubusercontent.com\"]\n";
    let upstream = "proxy = \"http://127.0.0.1:9\"".to_owned();
    let world = World::of(&Plan { policy, upstream, ..plan() }).behind_the_proxy();
    for path in ["octo/secret/main/third.txt", "robots.txt"] {
        let shown = world.curl(&[&format!("https://raw.githubusercontent.com/{path}")]);
        let (_, reason, head, _) = last(&shown);
        assert!(["connect_failed", "dns_failed", "upstream_closed"].contains(&reason), "{path}: {head}");
        let record = world.gate().wait_for_record(|record| record["path"] == format!("/{path}") && record["verdict"] != "allow");
        assert_eq!(
            [&record["kind"], &record["verdict"], &record["repository"]],
            [&Value::from("http"), &"error".into(), &Value::Null],
            "{record:#}"
        );
    }
    let shown = world.curl(&["https://codeload.github.com/octo/secret/zip/main"]);
    assert_eq!(last(&shown).1, "repository_not_granted");
    world.hub.assert_untouched("no grant");
    world.finish();
}

#[test]
fn of_an_upstream_in_a_bad_mood_no_word_comes_in() {
    let world = world();
    for (status, expected) in [(500, "502"), (404, "404"), (403, "503"), (301, "403")] {
        world.hub.set(When::Always, Answer::Reply(status, vec![("location", "https://evil.test/".to_owned())], b"a word".to_vec()));
        let shown = world.curl(&[FILE]);
        let (code, reason, head, body) = last(&shown);
        assert!(code == expected && !reason.is_empty(), "{status}: {head}");
        assert!(!body.contains("a word") && !head.contains("evil.test"), "{status}: {head}{body}");
    }
    world.hub.set(When::Always, Answer::Echo);
    let shown = world.curl(&[FILE]);
    assert_eq!(last(&shown).1, "credential_unavailable");
    world.finish();
}

#[test]
fn the_sandbox_s_own_pages_know_of_files() {
    let world = world();
    for (target, method, verdict) in [
        (FILE, "GET", "allow"),
        (FILE, "POST", "method_not_allowed"),
        ("https://codeload.github.com/octo/secret/zip/main", "GET", "repository_not_granted"),
        ("https://github.com/octo/spoon/archive/main.zip", "GET", "allow"),
        ("https://github.com/octo/secret/releases/download/v1/x", "GET", "repository_not_granted"),
        ("https://raw.githubusercontent.com/robots.txt", "GET", "network_disabled"),
        ("https://objects.githubusercontent.com/x", "GET", "network_disabled"),
    ] {
        assert_eq!(world.explained(target, method), verdict, "{target}");
    }
    world.hub.assert_untouched("asked about alone");
    world.finish();
}

/// The grant goes while a file is on its way.
#[test]
fn a_reload_that_withdraws_the_grant_ends_a_file_under_way() {
    let world = world();
    world.hub.set(When::Always, Answer::Silence);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| world.curl(&[FILE]));
        world.hub.wait_for(|seen| seen.target.starts_with("/raw/"));
        let path = world.gate().path("tidegate.toml");
        let written = fs::read_to_string(&path).unwrap();
        fs::write(&path, written.replace("name = \"octo/spoon\"", "name = \"octo/other\"")).unwrap();
        world.gate().signal("HUP");
        let done = reading.join().unwrap();
        assert_eq!(last(&done).1, "repository_not_granted", "{}", done.out);
    });
    world.finish();
}

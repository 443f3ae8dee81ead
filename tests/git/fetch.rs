//! Cloning and fetching: every version of the protocol, parts of a repository, and what is refused.

use std::{
    fs,
    io::Read as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};

use crate::harness::{
    Answer, Plan, When, Wire, World,
    bytes::{FETCH_TYPE, PUSH_TYPE, basic, line, lines, request},
    client::ask,
};

#[test]
fn a_clone_in_every_version_of_the_protocol() {
    let world = World::new();
    let main = world.hub.git("octo/spoon", &["rev-parse", "main"]);
    for version in ["0", "1", "2"] {
        let (clone, protocol) = (format!("clone{version}"), format!("protocol.version={version}"));
        let before = world.hub.seen().len();
        world.sandbox.git_ok(".", &["-c", &protocol, "clone", "--quiet", &world.url("octo/spoon"), &clone]);
        let head = world.sandbox.git_ok(&clone, &["rev-parse", "HEAD", "v1", "origin/other"]).out;
        assert!(head.starts_with(&main) && head.lines().count() == 3, "{head}");
        assert!(fs::read_to_string(world.sandbox.path(&format!("{clone}/third.txt"))).unwrap().starts_with("third\n"));
        let asked: Vec<_> = world.hub.seen().split_off(before).iter().map(|seen| seen.header("git-protocol")).collect();
        let expected = (version != "0").then(|| format!("version={version}"));
        assert!(!asked.is_empty() && asked.iter().all(|version| *version == expected), "{asked:?}");
        world.sandbox.git_ok(&clone, &["fsck", "--strict"]);
    }
    let record = world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["session"] == "s1");
    assert_eq!(
        [&record["verdict"], &record["repository"], &record["door"], &record["session"]],
        ["allow", "octo/spoon", "git", "s1"],
        "{record:#}"
    );
    let records = world.gate().records();
    assert!(records.iter().all(|record| record["kind"] != "push"), "{records:#?}");
    world.finish();
}

#[test]
fn a_clone_from_each_kind_of_upstream() {
    for wire in [Wire::Plain, Wire::Tls, Wire::Http2] {
        let world = World::over(wire);
        world.sandbox.git_ok(".", &["clone", "--quiet", &world.url("octo/reading"), "clone"]);
        world.hub.git("octo/reading", &["update-ref", "refs/heads/main", "refs/heads/other"]);
        world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
        assert_eq!(world.sandbox.id("origin/main"), world.hub.refs("octo/reading")["refs/heads/main"]);
        let expected = if wire == Wire::Http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
        assert!(world.hub.seen().iter().all(|seen| seen.version == expected && seen.whole), "{:#?}", world.hub.seen());
        world.finish();
    }
}

#[test]
fn g_45_a_clone_whose_objects_are_named_in_sha_256() {
    let world = World::granting("[[session.repository]]\nname = \"octo/long\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\"]\n");
    world.hub.add_long();
    world.sandbox.cloned(&world.url("octo/long"), &["agent/fix-1"]);
    assert_eq!(world.sandbox.id("agent/fix-1").len(), 64);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/long")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    let done = world.push(&["origin", "main"]);
    done.assert(1, &["! [remote rejected] main -> main (", "refs/heads/agent/*"]);
    world.finish();
}

#[test]
fn g_45_a_repository_of_another_format_is_git_s_own_trouble() {
    let world = World::granting("[[session.repository]]\nname = \"octo/long\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\"]\n");
    world.hub.add_long();
    world.sandbox.git_ok(".", &["init", "--quiet", "clone"]);
    world.sandbox.commit("clone", "short");
    let done = world.push(&[&world.url("octo/long"), "main:agent/x"]);
    assert!(done.code != Some(0) && world.pushes().is_empty(), "{}", done.err);
    world.finish();
}

#[test]
fn g_70_a_long_negotiation_comes_compressed() {
    let world = World::new().cloned(&[]);
    for version in ["0", "2"] {
        // git compresses what is longer than a kilobyte: so many wants are.
        for number in 0..30 {
            let (branch, words) = (format!("refs/heads/new/{version}/{number}"), format!("{number} for {version}"));
            let commit = world.hub.git("octo/spoon", &["commit-tree", "-p", "main", "-m", &words, "main^{tree}"]);
            world.hub.git("octo/spoon", &["update-ref", &branch, &commit]);
        }
        world.sandbox.git_ok("clone", &["-c", &format!("protocol.version={version}"), "fetch", "--quiet", "origin"]);
        let fetched = world.sandbox.id(&format!("origin/new/{version}/29"));
        assert_eq!(fetched, world.hub.refs("octo/spoon")[&format!("refs/heads/new/{version}/29")]);
    }
    let compressed: Vec<_> = world.hub.seen().into_iter().filter(|seen| seen.header("content-encoding").is_some()).collect();
    assert!(compressed.len() >= 2, "git compressed nothing");
    for seen in compressed {
        assert_eq!(seen.header("content-encoding").as_deref(), Some("gzip"));
        assert!(seen.body.starts_with(&[0x1f, 0x8b]) && seen.whole, "{seen:?}");
    }
    world.finish();
}

#[test]
fn threat_111_a_fetch_in_another_encoding_is_refused() {
    let world = World::new();
    let body = line("command=ls-refs\n");
    for encodings in [&["deflate"][..], &["br"], &["identity, gzip"], &["gzip, gzip"], &["gzip", "gzip"], &["gzip\tx"]] {
        let encodings: Vec<_> = encodings.iter().map(|encoding| format!("Content-Encoding: {encoding}")).collect();
        let mut headers = vec![FETCH_TYPE, "Git-Protocol: version=2"];
        headers.extend(encodings.iter().map(String::as_str));
        let reply = world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &headers, &body);
        assert_eq!(reply.reason(), "bad_request", "{encodings:?}: {reply:?}");
        assert!(reply.status == 415 || reply.status == 400 || reply.body[4..].starts_with(b"ERR "), "{reply:?}");
    }
    world.hub.assert_untouched("no encoding of git's");
    world.finish();
}

#[test]
fn threat_82_a_gzip_bomb_in_a_fetch_goes_on_as_it_came() {
    let world = World::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::repeat(b'0').take(256 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[FETCH_TYPE, "Git-Protocol: version=2"], b"0000");
    let (before, began) = (world.gate().peak_memory(), Instant::now());
    let lines = [FETCH_TYPE, "Git-Protocol: version=2", "Content-Encoding: gzip"];
    let reply = world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &lines, &bomb);
    let seen = world.hub.seen().pop().unwrap();
    assert_eq!((seen.header("content-encoding").as_deref(), seen.length), (Some("gzip"), bomb.len() as u64), "{:?}", seen.headers);
    assert_ne!(reply.status, 415, "{reply:?}");
    // A push is opened as far as it is read.
    let reply = world.ask_as("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, "Content-Encoding: gzip"], &bomb);
    assert_eq!(reply.verdict(), (400, "bad_request"), "{reply:?}");
    assert!(world.pushes().is_empty());
    let (grown, took) = (world.gate().peak_memory() - before, began.elapsed());
    assert!(grown < 16 << 10 && took < Duration::from_secs(10), "{grown} KiB, {took:?}");
    world.finish();
}

#[test]
fn g_70_the_commands_of_the_second_version() {
    let world = World::new();
    let main = world.hub.git("octo/spoon", &["rev-parse", "main"]);
    let ask = |commands: &[String]| {
        let body: Vec<u8> =
            commands.iter().flat_map(|text| if text == "0001" { b"0001".to_vec() } else { line(text) }).chain(*b"0000").collect();
        world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[FETCH_TYPE, "Git-Protocol: version=2"], &body)
    };
    let listed = ask(&["command=ls-refs\n".into(), "object-format=sha1".into(), "0001".into(), "ref-prefix refs/heads/main\n".into()]);
    assert_eq!(
        (listed.status, listed.text()),
        (200, format!("{}0000", String::from_utf8(line(format!("{main} refs/heads/main\n"))).unwrap()))
    );
    assert_eq!(listed.header("content-type"), Some("application/x-git-upload-pack-result"));
    let fetched = ask(&["command=fetch".into(), "object-format=sha1".into(), "0001".into(), format!("want {main}\n"), "done\n".into()]);
    assert!(fetched.status == 200 && fetched.body.starts_with(b"000dpackfile\n"), "{}", fetched.body.escape_ascii());
    world.finish();
}

#[test]
fn a_shallow_clone_that_is_deepened() {
    for version in ["0", "2"] {
        let world = World::new();
        let protocol = format!("protocol.version={version}");
        world.sandbox.git_ok(".", &["-c", &protocol, "clone", "--quiet", "--depth", "1", &world.url("octo/spoon"), "clone"]);
        let count = || world.sandbox.git_ok("clone", &["rev-list", "--count", "HEAD"]).out.trim().to_owned();
        assert_eq!(count(), "1");
        world.sandbox.git_ok("clone", &["-c", &protocol, "fetch", "--quiet", "--depth", "2"]);
        assert_eq!(count(), "2");
        world.sandbox.git_ok("clone", &["-c", &protocol, "fetch", "--quiet", "--unshallow"]);
        assert_eq!(count(), "3");
        world.finish();
    }
}

#[test]
fn g_71_a_clone_without_blobs_fetches_them_when_they_are_read() {
    let world = World::new();
    world.sandbox.git_ok(".", &["clone", "--quiet", "--no-checkout", "--filter=blob:none", &world.url("octo/spoon"), "clone"]);
    let missing = || world.sandbox.git_ok("clone", &["rev-list", "--objects", "--all", "--missing=print"]).out.matches("\n?").count();
    assert_eq!(missing(), 4);
    let before = world.hub.seen_at("/git-upload-pack").len();
    for file in ["first", "second"] {
        let shown = world.sandbox.git_ok("clone", &["show", &format!("main:{file}.txt")]).out;
        assert_eq!(shown, format!("{file}\n").repeat(100));
    }
    let posts = world.hub.seen_at("/git-upload-pack").split_off(before);
    assert!(posts.iter().filter(|seen| seen.method == "POST").count() >= 2, "{posts:#?}");
    assert_eq!(missing(), 2);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "main"]);
    assert_eq!(missing(), 1, "that of the branch beside");
    world.finish();
}

#[test]
fn g_72_g_74_a_grant_to_read_is_for_everything_in_the_repository() {
    let world = World::new();
    let url = world.url("octo/reading");
    let names = world.sandbox.git_ok(".", &["ls-remote", &url]).out;
    let refs = world.hub.refs("octo/reading");
    for (name, id) in &refs {
        assert!(names.contains(&format!("{id}\t{name}\n")), "{name} in\n{names}");
    }
    world.sandbox.git_ok(".", &["init", "--quiet", "clone"]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", &url, "refs/pull/1/head:refs/heads/pull"]);
    assert_eq!(world.sandbox.id("pull"), refs["refs/pull/1/head"]);
    let inner = world.hub.git("octo/reading", &["rev-parse", "main~1"]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", &url, &inner]);
    assert_eq!(world.sandbox.id("FETCH_HEAD"), inner);
    world.finish();
}

#[test]
fn g_73_nothing_in_an_advertisement_sends_git_elsewhere() {
    let world = World::new();
    let discovery = "/git/octo/spoon/info/refs?service=git-upload-pack";
    let reply = world.ask_as("GET", discovery, &["Git-Protocol: version=2"], b"");
    assert_eq!(reply.header("content-type"), Some("application/x-git-upload-pack-advertisement"));
    let mut advertised: Vec<String> = lines(&reply.body).iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect();
    // Asked by itself, the upstream offers them all.
    let offered = straight(&world, discovery);
    for word in ["bundle-uri", "packfile-uris", "session-id="] {
        assert!(offered.contains(word), "the upstream offers {word}: {offered}");
        assert!(!reply.text().contains(word), "{word} in {advertised:#?}");
    }
    for word in ["version 2", "ls-refs=unborn", "object-format=sha1"] {
        assert!(advertised.iter().any(|line| line == word), "{word} in {advertised:#?}");
    }
    let fetch = advertised.iter().position(|line| line.starts_with("fetch=")).expect("fetch is kept");
    let fetch: Vec<String> = advertised.remove(fetch)["fetch=".len()..].split(' ').map(str::to_owned).collect();
    for word in ["shallow", "wait-for-done", "filter"] {
        assert!(fetch.iter().any(|other| other == word), "{word} in {fetch:?}");
    }
    world.finish();
}

#[test]
fn g_49_an_advertisement_keeps_every_ref_and_loses_words_only() {
    let world = World::new();
    for service in ["git-upload-pack", "git-receive-pack"] {
        let discovery = format!("/git/octo/spoon/info/refs?service={service}");
        let reply = world.ask_as("GET", &discovery, &[], b"");
        assert_eq!(reply.header("content-type"), Some(format!("application/x-{service}-advertisement").as_str()));
        let (told, offered) = (lines(&reply.body), straight(&world, &discovery));
        assert_eq!(told[0], format!("# service={service}\n").into_bytes());
        for (name, id) in world.hub.refs("octo/spoon") {
            assert!(told.iter().any(|line| line.starts_with(format!("{id} {name}").as_bytes())), "{name} in {}", reply.text());
        }
        for word in ["push-options", "push-cert=", "session-id="] {
            assert!(!reply.text().contains(word), "{word} in {}", reply.text());
            assert!(service == "git-upload-pack" || offered.contains(word), "the upstream offers {word}: {offered}");
        }
        let kept: &[&str] = if service == "git-upload-pack" {
            &["side-band-64k", "shallow", "filter", "object-format=sha1", "multi_ack_detailed"]
        } else {
            &["report-status", "report-status-v2", "delete-refs", "side-band-64k", "atomic", "ofs-delta", "object-format=sha1", "agent="]
        };
        for word in kept {
            assert!(reply.text().contains(word), "{word} in {}", reply.text());
        }
    }
    world.finish();
}

/// What the upstream answers when nobody is in between.
fn straight(world: &World, target: &str) -> String {
    let authorization = basic("x-access-token", &world.real);
    let target = target.strip_prefix("/git").unwrap();
    let address = world.hub.url().strip_prefix("http://").unwrap().parse().unwrap();
    let version = if target.contains("upload") { "Git-Protocol: version=2" } else { "Accept: */*" };
    ask(address, request("GET", target, &[&authorization, version], b"")).text()
}

#[test]
fn g_25_a_repository_without_a_grant_is_refused_in_words() {
    let world = World::new();
    for arguments in [&["clone"][..], &["ls-remote"], &["fetch"]] {
        world.sandbox.git_ok(".", &["init", "--quiet"]);
        let url = world.url("octo/secret");
        let done = world.sandbox.git(".", &[arguments, &[&url]].concat());
        done.assert(128, &["remote: ", "octo/secret", "unable to access", "The requested URL returned error: 403"]);
        done.assert_silent_about(&["{\"", "Authentication failed"]);
    }
    let record = world.assert_denied("fetch", "repository_not_granted");
    assert_eq!((&record["repository"], &record["door"]), (&"octo/secret".into(), &"git".into()), "{record:#}");
    assert_eq!(world.gate().metric("tidegate_decisions_total{kind=\"fetch\",reason=\"repository_not_granted\",verdict=\"deny\"}"), 3);
    world.hub.assert_untouched("no grant");
    world.finish();
}

#[test]
fn g_26_a_fetch_without_a_grant_is_told_so_by_an_error_packet() {
    let world = World::new();
    let reply = world.ask_as("POST", "/git/octo/secret/git-upload-pack", &[FETCH_TYPE], &line("command=ls-refs\n"));
    assert_eq!((reply.status, reply.reason()), (200, "repository_not_granted"), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/x-git-upload-pack-result"));
    let said = lines(&reply.body);
    assert!(said.len() == 1 && said[0].starts_with(b"ERR ") && !said[0].contains(&b'\n'), "{reply:?}");
    world.hub.assert_untouched("no grant");
    world.finish();
}

#[test]
fn g_26_git_prints_an_error_packet() {
    let world = World::new();
    let denied = line("ERR one line of trouble");
    let result = vec![("content-type", "application/x-git-upload-pack-result".to_owned())];
    world.hub.set(When::Post, Answer::Reply(200, result, denied));
    let done = world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]);
    done.assert(128, &["remote error: one line of trouble"]);
    world.finish();
}

#[test]
fn g_79_a_grant_to_read_is_none_to_push() {
    let world = World::new();
    world.sandbox.cloned(&world.url("octo/reading"), &["agent/fix-1"]);
    let before = world.hub.refs("octo/reading");
    for branch in ["main", "agent/fix-1"] {
        let done = world.push(&["origin", branch]);
        done.assert(128, &["remote: ", "read only for this session", "403"]);
        done.assert_silent_about(&["Everything up-to-date"]);
    }
    let record = world.assert_denied("push", "read_only");
    assert_eq!(record["repository"], "octo/reading", "{record:#}");
    let asked: Vec<_> = world.hub.seen().into_iter().filter(|seen| seen.target.contains("receive-pack")).collect();
    assert!(asked.is_empty(), "{asked:#?}");
    assert_eq!(world.hub.refs("octo/reading"), before);
    world.finish();
}

#[test]
fn g_04_curl_sees_the_same_words() {
    let world = World::new();
    let url = format!("{}/info/refs?service=git-receive-pack", world.url("octo/reading"));
    let done = world.sandbox.run_program("curl", &["-sS", "-i", "--noproxy", "*", "--max-time", "20", &url]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    for text in ["HTTP/1.1 403 ", "x-deny-reason: read_only", "read only for this session"] {
        assert!(done.out.contains(text), "{text} in\n{}", done.out);
    }
    world.finish();
}

#[test]
fn g_45_sha_256_through_the_intercepted_host() {
    let world = World::granting("[[session.repository]]\nname = \"octo/long\"\naccess = \"write\"\npush = [\"refs/heads/agent/*\"]\n");
    world.hub.add_long();
    let world = world.behind_the_proxy();
    world.sandbox.cloned("https://github.test/octo/long.git", &["agent/fix-1"]);
    world.push(&["origin", "main"]).assert(1, &["! [remote rejected] main -> main (policy: "]);
    world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/long")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    world.finish();
}

#[test]
fn g_76_a_public_repository_is_read_without_a_credential() {
    for guarded in [false, true] {
        let world = World::of(&Plan { guarded, github: "public_read = true", ..Plan::default() });
        let done = world.sandbox.git(".", &["clone", &world.url("octo/secret"), "clone"]);
        if guarded {
            // Private: the upstream wants a credential, and nobody is asked for one.
            done.assert(128, &["remote: ", "not found"]);
            done.assert_silent_about(&["could not read Username", "Authentication failed"]);
        } else {
            done.assert(0, &[]);
            world.sandbox.commit("clone", "mine");
            world.push(&["origin", "main"]).assert(128, &["remote: ", "403"]);
        }
        let seen = world.hub.seen();
        assert!(!seen.is_empty() && seen.iter().all(|seen| seen.header("authorization").is_none()), "{seen:#?}");
        assert!(world.pushes().is_empty());
        world.finish();
    }
}

#[test]
fn g_77_a_remote_stays_what_it_is() {
    let world = World::new().behind_the_proxy();
    let remote = "https://github.test/octo/spoon.git";
    world.sandbox.cloned(remote, &[]);
    let shown = world.sandbox.git_ok("clone", &["remote", "-v"]).out;
    assert_eq!(shown, format!("origin\t{remote} (fetch)\norigin\t{remote} (push)\n"));
    world.finish();
}

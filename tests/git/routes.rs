//! What is one of git's requests, and what only looks like one.

use crate::harness::{
    Answer, Reply, When, World,
    bytes::{EMPTY_PACK, FETCH_TYPE, PUSH_TYPE, ZERO, basic, line, push_body, request},
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";

/// The words that git prints: text, with the reason beside it.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, reason: &str) {
    assert_eq!(reply.verdict(), (status, reason), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{reply:?}");
    assert!(reply.header("proxy-status").is_some_and(|value| value.starts_with("tidegate; error=")), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
    let text = reply.text();
    assert!(!text.trim().is_empty() && !text.starts_with('{'), "sentences, which git prints: {text}");
}

#[test]
fn g_01_one_repository_however_it_is_spelled() {
    let world = World::new();
    let spellings = ["octo/spoon", "octo/spoon.git", "Octo/SPOON.GIT", "octo/Spoon", "octo/spoon/"];
    let wanted = world.hub.git("octo/spoon", &["rev-parse", "main"]);
    for spelling in spellings {
        let done = world.sandbox.git_ok(".", &["ls-remote", &world.url(spelling), "refs/heads/main"]);
        assert_eq!(done.out, format!("{wanted}\trefs/heads/main\n"), "{spelling}");
    }
    let mut targets: Vec<_> = world.hub.seen().into_iter().map(|seen| seen.target).collect();
    targets.sort();
    targets.dedup();
    let whole = targets.iter().all(|target| target.starts_with("/octo/spoon"));
    assert!(whole && targets.len() == 2, "one name upstream, asked for refs and for their names: {targets:?}");
    world.finish();
}

#[test]
fn g_01_git_only_once_at_the_end() {
    let world = World::new();
    for name in ["spoon.git.git", "spoon.GIT.git", ".git"] {
        let done = world.sandbox.git(".", &["ls-remote", &world.url(&format!("octo/{name}"))]);
        done.assert(128, &["remote: ", "403"]);
        assert_refused(
            &world.ask_as("GET", &format!("/git/octo/{name}/info/refs?service=git-upload-pack"), &[], b""),
            403,
            "repository_not_granted",
        );
    }
    world.hub.assert_untouched("no such name");
    world.finish();
}

#[test]
fn g_02_names_outside_the_grammar() {
    let world = World::new();
    let (long_owner, long_name) = ("o".repeat(40), "r".repeat(101));
    for (name, status, reason) in [
        (format!("{long_owner}/spoon"), 403, "repository_not_granted"),
        (format!("octo/{long_name}"), 403, "repository_not_granted"),
        ("octo./spoon".into(), 403, "repository_not_granted"),
        ("o.o/octo/spoon".into(), 403, "repository_not_granted"),
        ("o.o/spoon".into(), 403, "repository_not_granted"),
        ("gist/".into(), 400, "bad_request"),
    ] {
        let reply = world.ask_as("GET", &format!("/git/{name}/info/refs?service=git-upload-pack"), &[], b"");
        assert_refused(&reply, status, reason);
    }
    world.hub.assert_untouched("no names");
    world.finish();
}

#[test]
fn g_03_tricks_with_the_path() {
    let world = World::new();
    for path in [
        "/git/octo/%2e%2e/spoon",
        "/git/octo%2fspoon",
        "/git/octo%5cspoon",
        "/git//octo/spoon",
        "/git/octo//spoon",
        "/git/octo/./spoon",
        "/git/octo/../octo/spoon",
        "/git/octo/spoon/../secret",
        "/git/octo/spoon/..;/secret",
        "/git/octo/spoon;x=1",
        "/git/octo/spoon\\..\\secret",
        "/git/octo/spoon%00",
        "/git/octo/spoon%c0%ae%c0%ae",
        "/git/octo/spoon%252e%252e",
        "/git/octo/%73poon",
        "/git/octo/spoon%0a",
        "/git/octo/sp\u{f6}on",
    ] {
        let reply = world.ask_as("GET", &format!("{path}/info/refs?service=git-upload-pack"), &[], b"");
        assert_refused(&reply, 400, "bad_request");
    }
    for target in
        [&format!("http://gate{DISCOVERY}"), &format!("https://github.test{DISCOVERY}"), "*", "gate:80", "git/octo/spoon/info/refs"]
    {
        let reply = world.ask_as("GET", target, &[], b"");
        assert_eq!(reply.verdict(), (400, "bad_request"), "{target}: {reply:?}");
    }
    world.hub.assert_untouched("no plain paths");
    world.finish();
}

#[test]
fn g_03_one_host_and_a_whole_one() {
    let world = World::new();
    let authorization = basic("x", &world.token);
    for hosts in ["", "Host: gate\r\nHost: other\r\n", "Host: x@gate\r\n", "Host: gate/git\r\n", "Host: gate:99999\r\n", "Host: a b\r\n"] {
        let reply = world.ask(format!("GET {DISCOVERY} HTTP/1.1\r\n{hosts}{authorization}\r\n\r\n"));
        assert_eq!(reply.verdict(), (400, "bad_request"), "{hosts:?}: {reply:?}");
    }
    world.hub.assert_untouched("no host");
    world.finish();
}

#[test]
fn g_04_the_service_is_named_once_and_nothing_else_is_asked() {
    let world = World::new();
    let ask = |query: &str| world.ask_as("GET", &format!("/git/octo/spoon/info/refs{query}"), &[], b"");
    for query in ["", "?"] {
        let reply = ask(query);
        assert_refused(&reply, 403, "path_not_allowed");
        assert!(reply.text().contains("dumb HTTP is not served"), "{}", reply.text());
    }
    for query in ["?service=git-upload-archive", "?service=", "?service=upload-pack", "?service=git-Upload-pack"] {
        assert_refused(&ask(query), 403, "path_not_allowed");
    }
    for query in [
        "?service=git-upload-pack&service=git-receive-pack",
        "?service=git-upload-pack&service=git-upload-pack",
        "?service=git-upload-pack&access_token=x",
        "?x=1&service=git-upload-pack",
        "?service=git%2dupload-pack",
        "?service=git-upload-pack;x",
        "?Service=git-upload-pack",
    ] {
        assert_refused(&ask(query), 400, "bad_request");
    }
    world.hub.assert_untouched("no service");
    world.finish();
}

#[test]
fn g_05_threat_115_the_dumb_protocol_and_files_are_not_served() {
    let world = World::new();
    for rest in ["HEAD", "objects/info/packs", "objects/info/alternates", "objects/12/34567890123456789012345678901234567890"] {
        let reply = world.ask_as("GET", &format!("/git/octo/spoon/{rest}"), &[], b"");
        assert_refused(&reply, 403, "path_not_allowed");
        assert!(reply.text().contains("dumb HTTP is not served"), "{}", reply.text());
    }
    for rest in ["", "/", "/config", "/archive/main.tar.gz", "/info/lfs", "/git-upload-pack/x", "/info"] {
        assert_refused(&world.ask_as("GET", &format!("/git/octo/spoon{rest}"), &[], b""), 403, "path_not_allowed");
    }
    // Who asks for that is git-lfs, to which 404 says that there is no such thing.
    assert_eq!(world.ask_as("GET", "/git/octo/spoon/info/lfs/objects", &[], b"").verdict(), (404, "path_not_allowed"));
    for path in ["/", "/octo/spoon/info/refs?service=git-upload-pack", "/apiv3/user", "/gist/123/info/refs"] {
        assert_refused(&world.ask_as("GET", path, &[], b""), 403, "path_not_allowed");
    }
    world.hub.assert_untouched("none of git's requests");
    world.finish();
}

#[test]
fn g_05_a_foreign_content_type_does_not_make_git_dumb() {
    let world = World::new();
    let page = vec![("content-type", "text/html".to_owned())];
    world.hub.set(When::Discovery, Answer::Reply(200, page, b"<html>sign in</html>".to_vec()));
    let done = world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]);
    assert!(done.code == Some(128) && !done.err.contains("sign in"), "{}", done.err);
    let asked: Vec<_> = world.hub.seen().into_iter().map(|seen| seen.target).collect();
    assert!(asked.iter().all(|target| target.ends_with("/info/refs?service=git-upload-pack")), "{asked:?}");
    world.finish();
}

#[test]
fn g_06_g_07_a_wiki_and_a_gist_are_other_repositories() {
    let world = World::new();
    for name in ["octo/spoon.wiki", "octo/spoon.wiki.git", "gist/0123456789abcdef"] {
        let done = world.sandbox.git(".", &["clone", &world.url(name), "clone"]);
        done.assert(128, &["remote: ", "403"]);
        let done = world.sandbox.git(".", &["ls-remote", &world.url(name)]);
        done.assert(128, &["remote: "]);
    }
    let record = world.assert_denied("fetch", "repository_not_granted");
    assert_eq!(record["repository"], "octo/spoon.wiki", "{record:#}");
    world.hub.assert_untouched("no grant");
    world.finish();
}

#[test]
fn g_08_archives_are_not_served() {
    let world = World::new();
    let done = world.sandbox.git(".", &["archive", "--remote", &world.url("octo/spoon"), "main"]);
    done.assert(128, &["RPC failed; HTTP 403"]);
    let reply =
        world.ask_as("POST", "/git/octo/spoon/git-upload-archive", &["Content-Type: application/x-git-upload-archive-request"], b"0000");
    assert_refused(&reply, 403, "path_not_allowed");
    let asked: Vec<_> = world.hub.seen().into_iter().map(|seen| seen.target).collect();
    assert!(asked.iter().all(|target| target.ends_with("/info/refs?service=git-upload-pack")), "{asked:?}");
    world.finish();
}

#[test]
fn g_09_framing_in_doubt_ends_the_connection() {
    let world = World::new();
    let head = |lines: &str| {
        let authorization = basic("x", &world.token);
        format!("POST /git/octo/spoon/git-upload-pack HTTP/1.1\r\nHost: gate\r\n{authorization}\r\n{FETCH_TYPE}\r\n{lines}\r\n")
    };
    for request in [
        head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        head("Content-Length: 4\r\nContent-Length: 5\r\n") + "0000",
        head("Content-Length: 4, 4\r\n") + "0000",
        head("Content-Length: +4\r\n") + "0000",
        head("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n",
        head("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n",
        head("Transfer-Encoding: chunked\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1) + "0\r\n\r\n",
        head("Content-Length: 4\r\nX: a\r\n b\r\n") + "0000",
        head("Content-Length : 4\r\n") + "0000",
        head("Content-Length: 4\r\n").replace("\r\n", "\n") + "0000",
    ] {
        let mut client = world.connect();
        let reply = client.send(&request).reply();
        world.hear(&reply);
        assert_eq!(reply.verdict(), (400, "bad_request"), "{request}\n{reply:?}");
        client.rest();
    }
    world.hub.assert_untouched("no framing");
    world.finish();
}

#[test]
fn g_13_only_known_versions_go_on_and_never_for_a_push() {
    let world = World::new();
    for (value, expected) in [
        ("version=2", Some("version=2")),
        ("version=1", Some("version=1")),
        ("version=0", Some("version=0")),
        ("version=2:agent=x", Some("version=2")),
        ("version=3", None),
        ("version=2 ; x", None),
        ("anything", None),
    ] {
        let before = world.hub.seen().len();
        let reply = world.ask_as("GET", DISCOVERY, &[&format!("Git-Protocol: {value}")], b"");
        assert_eq!(reply.status, 200, "{value}: {reply:?}");
        let sent = world.hub.seen()[before].header("git-protocol");
        // The first version and none are the same.
        assert!(sent.as_deref() == expected || (expected == Some("version=0") && sent.is_none()), "{value}: {sent:?}");
        let push = DISCOVERY.replace("upload", "receive");
        let reply = world.ask_as("GET", &push, &[&format!("Git-Protocol: {value}")], b"");
        assert!(reply.status == 200 && !reply.text().contains("version 1"), "{reply:?}");
        assert_eq!(world.hub.seen()[before + 1].header("git-protocol"), None, "{value}");
    }
    world.finish();
}

#[test]
fn threat_113_one_service_and_its_content_type() {
    let world = World::new();
    let body = push_body(&[format!("{ZERO} {} refs/heads/agent/fix-1", "1".repeat(40))], " report-status");
    let push = "/git/octo/spoon/git-receive-pack";
    for content_type in [FETCH_TYPE, "Content-Type: text/plain", "Content-Type: application/x-git-receive-pack-result", "X-None: 1"] {
        let reply = world.ask_as("POST", push, &[content_type], &body);
        assert!(reply.reason() == "bad_request", "{content_type}: {reply:?}");
    }
    let reply = world.ask_as("POST", push, &[PUSH_TYPE, "Content-Type: text/plain"], &body);
    assert_eq!(reply.reason(), "bad_request", "{reply:?}");
    let reply = world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[PUSH_TYPE], &body);
    assert_eq!(reply.reason(), "bad_request", "{reply:?}");
    let reply = world.ask_as("POST", &format!("{push}?service=git-receive-pack"), &[PUSH_TYPE], &body);
    assert_eq!(reply.reason(), "bad_request", "{reply:?}");
    world.hub.assert_untouched("no request of git's");
    world.finish();
}

#[test]
fn threat_113_a_push_in_the_body_of_a_fetch_changes_nothing() {
    let world = World::new();
    let before = world.hub.refs("octo/spoon");
    let mut body = push_body(&[format!("{} {ZERO} refs/heads/other", before["refs/heads/other"])], " report-status delete-refs");
    body.extend_from_slice(EMPTY_PACK);
    world.ask_as("POST", "/git/octo/spoon/git-upload-pack", &[FETCH_TYPE], &body);
    assert_eq!(world.hub.refs("octo/spoon"), before);
    assert!(world.pushes().is_empty());
    world.finish();
}

#[test]
fn threat_113_the_method_is_the_one_of_the_line() {
    let world = World::new();
    for (method, target) in [
        ("POST", DISCOVERY),
        ("HEAD", DISCOVERY),
        ("PUT", "/git/octo/spoon/git-receive-pack"),
        ("GET", "/git/octo/spoon/git-receive-pack"),
        ("DELETE", DISCOVERY),
        ("OPTIONS", DISCOVERY),
        ("get", DISCOVERY),
    ] {
        let reply = world.ask_as(method, target, &["X-HTTP-Method-Override: GET"], b"");
        assert_eq!(reply.verdict(), (403, "method_not_allowed"), "{method}: {reply:?}");
    }
    for method in ["TRACE", "TRACK"] {
        let reply = world.ask_as(method, DISCOVERY, &[], b"");
        assert_eq!(reply.verdict(), (405, "method_refused"), "{method}: {reply:?}");
        assert!(!reply.text().contains("Authorization"), "{reply:?}");
    }
    let reply = world.ask_as("GET", DISCOVERY, &["X-HTTP-Method-Override: DELETE"], b"");
    assert_eq!(reply.status, 200, "the header says nothing: {reply:?}");
    world.finish();
}

#[test]
fn threat_114_the_credential_is_on_no_request_outside_the_grant() {
    let world = World::new();
    for name in ["octo/secret", "octo/long", "octo/absent", "other/spoon"] {
        let done = world.sandbox.git(".", &["clone", &world.url(name), "clone"]);
        done.assert(128, &["remote: ", "unable to access", "403"]);
        let record = world.gate().wait_for_record(|record| record["repository"] == name && record["session"] == "s1");
        assert_eq!((&record["verdict"], &record["reason"]), (&"deny".into(), &"repository_not_granted".into()), "{record:#}");
        let post = world.ask_as("POST", &format!("/git/{name}/git-upload-pack"), &[FETCH_TYPE], &line("command=ls-refs\n"));
        assert_eq!((post.status, post.reason()), (200, "repository_not_granted"), "{post:?}");
        assert!(post.body[4..].starts_with(b"ERR "), "{post:?}");
    }
    world.hub.assert_untouched("no grant");
    world.finish();
}

#[test]
fn threat_60_each_request_of_a_connection_is_judged_anew() {
    let world = World::new();
    let mut client = world.connect();
    let mut ask = |token: &str, name: &str| {
        let authorization = basic("x", token);
        let target = format!("/git/octo/{name}/info/refs?service=git-upload-pack");
        let reply = client.send(request("GET", &target, &[&authorization], b"")).reply();
        world.hear(&reply);
        if reply.header("connection") == Some("close") {
            client.assert_closed();
            client = world.connect();
        }
        (reply.status, reply.reason().to_owned())
    };
    for (token, name, status, reason) in [
        (&world.token, "spoon", 200, ""),
        (&world.token, "secret", 403, "repository_not_granted"),
        (&world.other_token, "secret", 200, ""),
        (&world.other_token, "spoon", 403, "repository_not_granted"),
        (&world.expired_token, "spoon", 401, "session_expired"),
        (&world.token, "spoon", 200, ""),
    ] {
        assert_eq!(ask(token, name), (status, reason.to_owned()), "{name}");
    }
    world.finish();
}

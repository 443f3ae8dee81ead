//! What passes to the upstream and back, and upstreams in a bad mood: none of it is an answer that git could misread, or holds a secret.

use crate::harness::{
    Answer, Done, Hub, Plan, Reply, When, Wire, World,
    bytes::{CAPABILITIES, FETCH_TYPE, ZERO, basic, line, noise, push_body},
};

const DISCOVERY: &str = "/git/octo/spoon/info/refs?service=git-upload-pack";
const FETCH: &str = "/git/octo/spoon/git-upload-pack";

fn text(body: &str) -> Vec<u8> {
    format!("<html>{body}</html>").into_bytes()
}

/// A push of the session's own branch, which the upstream may or may not take.
fn push_own(world: &World) -> Done {
    world.push(&["origin", "agent/fix-1"])
}

/// Not a word of the upstream's, and only headers that the door writes itself or that git needs.
#[track_caller]
fn assert_own_words(reply: &Reply) {
    assert!(!reply.text().contains("<html>"), "{reply:?}");
    let known = [
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "proxy-status",
        "retry-after",
        "transfer-encoding",
        "x-deny-reason",
    ];
    for (name, value) in &reply.headers {
        assert!(known.contains(&name.to_ascii_lowercase().as_str()), "{name}: {value} in {reply:?}");
    }
}

#[test]
fn g_12_threat_88_redirects_are_neither_followed_nor_passed_on() {
    let (world, elsewhere) = (World::new().cloned(&["agent/fix-1"]), Hub::start(Wire::Plain, None));
    let before = world.hub.refs("octo/spoon");
    let address = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        for target in
            [format!("{address}/octo/spoon"), "/octo/secret".into(), address.replacen("http:", "", 1), "https://evil.test/x".into()]
        {
            let location = vec![("location", format!("{target}/info/refs?service=git-upload-pack"))];
            world.hub.set(When::Discovery, Answer::Reply(status, location.clone(), text("moved")));
            let asked = world.hub.seen().len();
            let reply = world.ask_as("GET", DISCOVERY, &[], b"");
            assert_eq!(reply.verdict(), (403, "repository_not_granted"), "{status} to {target}: {reply:?}");
            assert!(reply.text().contains("moved"), "{}", reply.text());
            assert_own_words(&reply);
            assert_eq!(world.hub.seen().len(), asked + 1, "asked once");
            world.hub.set(When::Post, Answer::Reply(status, location, text("moved")));
            let reply = world.ask_as("POST", FETCH, &[FETCH_TYPE], &line("command=ls-refs\n"));
            assert_eq!(reply.reason(), "repository_not_granted", "{reply:?}");
            assert_own_words(&reply);
        }
    }
    let location = vec![("location", format!("{address}/octo/spoon/info/refs?service=git-upload-pack"))];
    world.hub.set(When::Discovery, Answer::Reply(301, location.clone(), text("x")));
    world.sandbox.git("clone", &["fetch"]).assert(128, &["remote: ", "moved", "403"]);
    world.hub.set(When::Post, Answer::Reply(308, location, text("x")));
    let done = push_own(&world);
    assert!(done.code == Some(1) || done.code == Some(128), "{}", done.err);
    done.assert_silent_about(&["<html>", "[new branch]"]);
    assert_eq!(world.hub.refs("octo/spoon"), before);
    elsewhere.assert_untouched("a redirect");
    world.finish();
}

#[test]
fn g_14_threat_95_of_an_answer_only_what_git_needs_comes_back() {
    for wire in [Wire::Plain, Wire::Http2] {
        let world = World::over(wire);
        let real = world.real.clone();
        world.hub.set(
            When::Always,
            Answer::Beside(vec![
                ("set-cookie", format!("token={real}")),
                ("www-authenticate", format!("Basic realm=\"{real}\"")),
                ("x-oauth-scopes", "repo, workflow".into()),
                ("x-accepted-oauth-scopes", "repo".into()),
                ("x-github-request-id", "1".into()),
                ("x-github-sso", format!("required; url=https://github.test/?token={real}")),
                ("github-authentication-token-expiration", "2027".into()),
                ("location", format!("https://x:{real}@evil.test/")),
                ("alt-svc", "h3=\":443\"".into()),
                ("server", "hub".into()),
                ("x-deny-reason", "read_only".into()),
                ("proxy-status", "hub".into()),
                ("strict-transport-security", "max-age=1".into()),
            ]),
        );
        let reply = world.ask_as("GET", DISCOVERY, &["Git-Protocol: version=2"], b"");
        assert_eq!((reply.status, reply.reason()), (200, ""), "{reply:?}");
        assert_own_words(&reply);
        assert!(reply.header("cache-control").is_some_and(|value| value.contains("no-cache")), "git's own: {reply:?}");
        let body = [line("command=ls-refs\n"), b"0000".to_vec()].concat();
        let reply = world.ask_as("POST", FETCH, &[FETCH_TYPE, "Git-Protocol: version=2"], &body);
        assert_eq!((reply.status, reply.reason()), (200, ""), "{reply:?}");
        assert_own_words(&reply);
        let main = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
        let reply = world.post_push(&push_body(&[format!("{ZERO} {main} refs/heads/agent/fix-1")], CAPABILITIES));
        assert_eq!((reply.status, reply.reason()), (200, ""), "{reply:?}");
        assert_own_words(&reply);
        world.finish();
    }
}

#[test]
fn an_answer_in_an_encoding_is_not_passed_on_as_one() {
    let world = World::new();
    world.hub.set(When::Always, Answer::Beside(vec![("content-encoding", "gzip".into())]));
    for reply in [
        world.ask_as("GET", DISCOVERY, &[], b""),
        world.ask_as("POST", FETCH, &[FETCH_TYPE, "Git-Protocol: version=2"], &[line("command=ls-refs\n"), b"0000".to_vec()].concat()),
    ] {
        assert_eq!(reply.header("content-encoding"), None, "{reply:?}");
        assert_own_words(&reply);
    }
    world.finish();
}

#[test]
fn g_58_the_operator_s_credential_that_is_refused_is_the_operator_s_trouble() {
    for status in [401, 403] {
        let world = World::new().cloned(&["agent/fix-1"]);
        let before = world.hub.refs("octo/spoon");
        let headers = vec![("www-authenticate", "Basic realm=\"GitHub\"".to_owned()), ("content-type", "text/html".to_owned())];
        world.hub.set(When::Always, Answer::Reply(status, headers, text("bad credentials")));
        for service in ["git-upload-pack", "git-receive-pack"] {
            let reply = world.ask_as("GET", &format!("/git/octo/spoon/info/refs?service={service}"), &[], b"");
            assert_eq!(reply.verdict(), (503, "credential_unavailable"), "{reply:?}");
            assert_own_words(&reply);
        }
        let done = world.sandbox.git("clone", &["fetch"]);
        done.assert(128, &["remote: ", "503"]);
        // git is not made to ask its user for another password.
        done.assert_silent_about(&["Authentication failed", "could not read Username"]);
        let record = world.gate().wait_for_record(|record| record["reason"] == "credential_unavailable");
        assert_eq!((&record["verdict"], &record["repository"]), (&"error".into(), &"octo/spoon".into()), "{record:#}");
        let answer = Answer::Reply(status, vec![("www-authenticate", "Basic realm=\"GitHub\"".to_owned())], text("bad credentials"));
        world.hub.set(When::Post, answer);
        let done = push_own(&world);
        assert!(done.code != Some(0), "{}", done.err);
        done.assert_silent_about(&["<html>", "[new branch]", "Authentication failed", "could not read Username"]);
        assert_eq!(world.hub.refs("octo/spoon"), before);
        world.finish();
    }
}

#[test]
fn g_25_a_repository_that_is_not_there() {
    let world = World::granting("[[session.repository]]\nname = \"octo/absent\"\naccess = \"write\"\npush = [\"refs/heads/x\"]\n");
    let done = world.sandbox.git(".", &["clone", &world.url("octo/absent"), "clone"]);
    done.assert(128, &["remote: ", "not found"]);
    let reply = world.ask_as("GET", "/git/octo/absent/info/refs?service=git-receive-pack", &[], b"");
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("text/plain; charset=utf-8")), "{reply:?}");
    assert_own_words(&reply);
    world.finish();
}

#[test]
fn g_29_an_upstream_that_asks_to_wait() {
    for status in [429, 503] {
        let world = World::new().cloned(&["agent/fix-1"]);
        let before = world.hub.refs("octo/spoon");
        let headers = vec![("retry-after", "17".to_owned()), ("content-type", "text/html".to_owned())];
        world.hub.set(When::Discovery, Answer::Reply(status, headers.clone(), text("slow down")));
        let reply = world.ask_as("GET", DISCOVERY, &[], b"");
        assert!([429, 502, 503].contains(&reply.status) && !reply.reason().is_empty(), "{reply:?}");
        assert_own_words(&reply);
        assert!(reply.header("retry-after") == Some("17") || reply.text().contains("17"), "the wait: {reply:?}");
        let done = world.sandbox.git("clone", &["fetch"]);
        done.assert(128, &["remote: "]);
        world.hub.set(When::Post, Answer::Reply(status, headers, text("slow down")));
        let done = push_own(&world);
        assert!(done.code != Some(0), "{}", done.err);
        done.assert_silent_about(&["<html>", "[new branch]"]);
        assert_eq!(world.hub.refs("octo/spoon"), before);
        world.hub.calm();
        push_own(&world).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        world.finish();
    }
}

#[test]
fn threat_89_an_upstream_that_says_what_it_was_sent() {
    for wire in [Wire::Plain, Wire::Http2] {
        let world = World::over(wire).cloned(&["agent/fix-1"]);
        world.hub.set(When::Always, Answer::Echo);
        world.sandbox.git("clone", &["fetch"]).assert(128, &["remote: "]);
        assert!(push_own(&world).code != Some(0));
        for (method, target) in [("GET", DISCOVERY), ("POST", FETCH)] {
            let reply = world.ask_as(method, target, &[FETCH_TYPE], &line("command=ls-refs\n"));
            assert!(reply.header("x-you-sent").is_none() && !reply.text().contains("you sent"), "{reply:?}");
        }
        world.hub.set(When::Post, Answer::Echo);
        assert!(push_own(&world).code != Some(0));
        // As an answer to a push that looks like git's.
        let authorization = world.hub.seen().last().unwrap().header("authorization").unwrap();
        assert!(authorization.starts_with("Basic "));
        world.finish();
    }
}

/// A line of git's protocol in a band.
fn band(number: u8, text: &str) -> Vec<u8> {
    line([&[number], text.as_bytes()].concat())
}

/// What moves a terminal's cursor comes as the data that it is, and the credential, were it said, is hidden; whole or in pieces.
#[test]
fn threat_119_what_an_upstream_says_in_bands_is_data_and_holds_no_credential() {
    let hidden = |real: &str| "*".repeat(real.len());
    for wire in [Wire::Plain, Wire::Http2] {
        let world = World::over(wire).cloned(&["agent/fix-1"]);
        let real = world.real.clone();
        let (first, second) = real.split_at(11);
        let escapes = "\x1b[2J\x1b]0;owned\x07";
        let said = [
            band(2, &format!("{escapes}you sent {real}\n")),
            band(2, &format!("in two: {first}")),
            band(2, &format!("{second}.\nand {}\n", basic("x-access-token", &real))),
        ]
        .concat();
        let report = [line("unpack ok\n"), line(format!("ng refs/heads/agent/fix-1 {real}\n")), b"0000".to_vec()].concat();
        let answer = [&said[..], &line([&[1], &report[..]].concat()), b"0000"].concat();
        let typed = |kind: &str| vec![("content-type", format!("application/x-git-{kind}-result"))];
        world.hub.set(When::Post, Answer::Reply(200, typed("receive-pack"), answer));
        let done = push_own(&world);
        done.assert(1, &["remote: ", &format!("you sent {}", hidden(&real)), &format!("in two: {}.", hidden(&real))]);
        assert!(done.err.contains(&format!("agent/fix-1 ({})", hidden(&real))), "{}", done.err);
        let answer = [&line("packfile\n")[..], &said, &band(3, &format!("no pack for {real}")), b"0000"].concat();
        world.hub.set(When::Post, Answer::Reply(200, typed("upload-pack"), answer));
        let reply = world.ask_as("POST", FETCH, &[FETCH_TYPE, "Git-Protocol: version=2"], &line("command=fetch\n"));
        let text = reply.text();
        assert!(reply.status == 200 && text.contains(escapes) && text.contains(&format!("you sent {}", hidden(&real))), "{reply:?}");
        assert!(text.contains(&format!("no pack for {}", hidden(&real))), "{reply:?}");
        let headers = vec![("content-type", "application/x-git-upload-pack-advertisement".to_owned())];
        let body = [&line("# service=git-upload-pack\n")[..], b"0000", &line(format!("ERR {real} is not enough")), b"0000"].concat();
        world.hub.set(When::Discovery, Answer::Reply(200, headers, body));
        let done = world.sandbox.git("clone", &["fetch"]);
        assert_ne!(done.code, Some(0), "{}", done.err);
        world.finish();
    }
}

#[test]
fn answers_that_are_none_of_git_s() {
    let world = World::new().cloned(&["agent/fix-1"]);
    for (status, content_type) in [
        (200, "text/html"),
        (200, "text/plain"),
        (200, "application/x-git-receive-pack-advertisement"),
        (200, "application/x-git-upload-pack-result"),
        (200, "application/x-git-upload-pack-advertisement; charset=utf-8"),
        (204, "application/x-git-upload-pack-advertisement"),
        (206, "application/x-git-upload-pack-advertisement"),
        (500, "application/x-git-upload-pack-advertisement"),
    ] {
        world.hub.set(When::Always, Answer::Reply(status, vec![("content-type", content_type.to_owned())], text("nonsense")));
        let reply = world.ask_as("GET", DISCOVERY, &[], b"");
        assert!((500..600).contains(&reply.status) && !reply.reason().is_empty(), "{status} {content_type}: {reply:?}");
        assert_own_words(&reply);
        let reply = world.ask_as("POST", FETCH, &[FETCH_TYPE], &line("command=ls-refs\n"));
        let as_asked = (status, content_type) == (200, "application/x-git-upload-pack-result");
        assert!(as_asked || !reply.text().contains("nonsense"), "{status} {content_type}: {reply:?}");
    }
    // The right type around nonsense: an advertisement that cannot be read is not passed on either.
    let headers = vec![("content-type", "application/x-git-upload-pack-advertisement".to_owned())];
    world.hub.set(When::Discovery, Answer::Reply(200, headers, text("nonsense")));
    let reply = world.ask_as("GET", DISCOVERY, &[], b"");
    assert!(reply.status >= 500 && !reply.text().contains("nonsense"), "{reply:?}");
    world.finish();
}

#[test]
fn an_upstream_with_a_huge_head() {
    let world = World::new();
    let headers = (0..64).map(|_| ("x-padding", "p".repeat(32 * 1024))).collect();
    world.hub.set(When::Discovery, Answer::Reply(200, headers, text("x")));
    let reply = world.ask_as("GET", DISCOVERY, &[], b"");
    assert!(reply.status == 502 && !reply.reason().is_empty(), "{reply:?}");
    assert_own_words(&reply);
    world.hub.calm();
    assert_eq!(world.ask_as("GET", DISCOVERY, &[], b"").status, 200, "the next one is served");
    world.finish();
}

#[test]
fn an_upstream_that_breaks_off() {
    for wire in [Wire::Plain, Wire::Tls, Wire::Http2] {
        let world = World::over(wire).cloned(&["agent/fix-1"]);
        world.hub.set(When::Discovery, Answer::Broken(60));
        assert_eq!(world.sandbox.git("clone", &["fetch"]).code, Some(128));
        world.hub.set(When::Post, Answer::Broken(100));
        let done = world.sandbox.git(".", &["clone", &world.url("octo/reading"), "copy"]);
        assert!(done.code == Some(128) && !world.sandbox.path("copy").exists(), "{}", done.err);
        world.hub.set(When::Post, Answer::Broken(8));
        let done = push_own(&world);
        assert!(done.code != Some(0), "{}", done.err);
        // What became of it nobody knows, so nobody says.
        done.assert_silent_about(&["[remote rejected]", "[new branch]"]);
        world.hub.calm();
        world.sandbox.git_ok("clone", &["fetch", "--quiet"]);
        world.finish();
    }
}

#[test]
fn an_upstream_that_answers_before_the_push_is_there() {
    for wire in [Wire::Plain, Wire::Http2] {
        let world = World::over(wire).cloned(&["agent/fix-1"]);
        let before = world.hub.refs("octo/spoon");
        std::fs::write(world.sandbox.path("clone/large"), noise(3_000_000)).unwrap();
        world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
        world.sandbox.commit("clone", "large");
        world.hub.set(When::Post, Answer::Early(503, Vec::new(), text("no")));
        let done = world.sandbox.git("clone", &["-c", "http.postBuffer=1024", "push", "origin", "agent/fix-1"]);
        assert!(done.code != Some(0), "{}", done.err);
        done.assert_silent_about(&["<html>", "[new branch]"]);
        assert_eq!(world.hub.refs("octo/spoon"), before);
        world.finish();
    }
}

#[test]
fn an_upstream_that_says_nothing() {
    let world = World::of(&Plan { timeouts: &["first_byte = \"1s\""], ..Plan::default() });
    world.hub.set(When::Always, Answer::Silence);
    let reply = world.ask_as("GET", DISCOVERY, &[], b"");
    assert_eq!(reply.verdict(), (504, "upstream_timeout"), "{reply:?}");
    let done = world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]);
    done.assert(128, &["remote: ", "504"]);
    let record = world.gate().wait_for_record(|record| record["reason"] == "upstream_timeout");
    assert_eq!((&record["kind"], &record["verdict"]), (&"fetch".into(), &"error".into()), "{record:#}");
    world.finish();
}

#[test]
fn an_upstream_that_is_not_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::of(&Plan { git_url: Some(format!("http://{closed}")), ..Plan::default() });
    let reply = world.ask_as("GET", DISCOVERY, &[], b"");
    assert_eq!(reply.verdict(), (502, "connect_failed"), "{reply:?}");
    world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]).assert(128, &["remote: ", "502"]);
    world.finish();
}

#[test]
fn threat_94_an_upstream_that_nobody_vouches_for_gets_no_credential() {
    for wire in [Wire::Tls, Wire::Http2] {
        let world = World::of(&Plan { wire, trusted: false, ..Plan::default() });
        let reply = world.ask_as("GET", DISCOVERY, &[], b"");
        assert_eq!(reply.verdict(), (502, "tls_failed"), "{reply:?}");
        world.sandbox.git(".", &["clone", &world.url("octo/spoon"), "clone"]).assert(128, &["remote: ", "502"]);
        world.hub.assert_untouched("no trust");
        world.finish();
    }
}

#[test]
fn a_public_upstream_is_asked_with_the_credential_too() {
    let world = World::of(&Plan { guarded: false, ..Plan::default() }).cloned(&["agent/fix-1"]);
    push_own(&world).assert(0, &["agent/fix-1 -> agent/fix-1"]);
    assert!(world.hub.seen().iter().all(|seen| seen.header("authorization").is_some()));
    world.finish();
}

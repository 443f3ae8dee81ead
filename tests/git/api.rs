//! Calls of GitHub's REST API (`github.md` 6, 7, 10, 13): what leaves for the upstream and what comes back, by each door. What is judged of
//! them stands in the table's own tests.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Plan, Reply, When, World,
    bytes::{basic, request},
    client::{Client, ask},
    hub::Seen,
};

const API: &str = "api_url = \"{HUB}/api/v3\"\nupload_url = \"{HUB}/api/uploads\"\n";
const JSON: &str = "Content-Type: application/json";
const PULLS: &str = "/repos/octo/spoon/pulls";

const GRANTS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*"]
tags = ["refs/tags/v1.*"]
bases = ["main"]
grants = ["pull_requests", "issues", "comments", "releases"]
"#;

fn plan() -> Plan {
    Plan { github: API, grants: GRANTS, ..Plan::default() }
}

/// A world whose GitHub has an API, where `octo/spoon` is number 7.
#[track_caller]
fn world_of(plan: &Plan) -> World {
    let world = World::of(plan);
    world.hub.number("octo/spoon", 7);
    world
}

#[track_caller]
fn world() -> World {
    world_of(&plan())
}

/// A call by the git door.
#[track_caller]
fn call(world: &World, method: &str, target: &str, lines: &[&str], body: &str) -> Reply {
    let length = format!("Content-Length: {}", body.len());
    let mut lines = lines.to_vec();
    if !body.is_empty() {
        lines.push(JSON);
    }
    // The harness writes it for POST.
    if method != "POST" && !body.is_empty() {
        lines.push(&length);
    }
    let authorization = basic("x", &world.token);
    let bytes = request(method, &format!("/api/v3{target}"), &[&[authorization.as_str()], &lines[..]].concat(), body.as_bytes());
    let reply = if method == "HEAD" {
        let mut client = world.connect();
        client.send(bytes);
        client.reply_to("HEAD")
    } else {
        return world.ask(bytes);
    };
    world.hear(&reply);
    reply
}

#[track_caller]
fn get(world: &World, target: &str) -> Reply {
    call(world, "GET", target, &[], "")
}

fn answer(status: u16, body: &Value, fields: &[(&'static str, String)]) -> Answer {
    let kind = ("content-type", "application/json; charset=utf-8".to_owned());
    Answer::Reply(status, [&[kind], fields].concat(), body.to_string().into_bytes())
}

fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// The calls that reached the upstream, without those that ask which repository a name is.
fn calls(world: &World) -> Vec<Seen> {
    let own = |seen: &Seen| seen.target == "/api/v3/repos/octo/spoon" || !seen.target.starts_with("/api/");
    world.hub.seen().into_iter().filter(|seen| !own(seen)).collect()
}

/// Fails unless a call was refused so, and recorded so.
#[track_caller]
fn assert_refused(world: &World, reply: &Reply, status: u16, reason: &str) -> String {
    assert_eq!((reply.status, reply.header("x-deny-reason")), (status, Some(reason)), "{reply:?}");
    let said = read(reply);
    assert_eq!(said["status"], status.to_string(), "{said:#}");
    let record = world.gate().wait_for_record(|record| record["kind"] == "api" && record["reason"] == reason);
    assert_eq!(record["session"], "s1", "{record:#}");
    said["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_call_goes_up_with_the_owner_s_credential_and_comes_back_without_it() {
    let world = world();
    let fields = [
        ("etag", "\"a-tag\"".to_owned()),
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", "4999".to_owned()),
        ("x-github-request-id", "ABCD".to_owned()),
        ("x-oauth-scopes", "repo".to_owned()),
        ("x-accepted-oauth-scopes", "repo".to_owned()),
        ("x-oauth-client-id", "1".to_owned()),
        ("github-authentication-token-expiration", "2030-01-01".to_owned()),
        ("set-cookie", "a=b".to_owned()),
        ("x-deny-reason", "not_ours".to_owned()),
    ];
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([{ "number": 1 }]), &fields));
    let lines = [
        "Accept: application/vnd.github+json",
        "X-GitHub-Api-Version: 2022-11-28",
        "User-Agent: octokit-rest.js/22.0.0 octokit-core.js/7 Node.js/24",
        "Cookie: a=b",
        "X-Forwarded-For: 192.0.2.1",
        "X-GitHub-OTP: 123456",
        "Accept-Encoding: gzip",
    ];
    let reply = call(&world, "GET", "/repos/Octo/SPOON/pulls?state=open&access_token=ghp_x", &lines, "");
    assert_eq!((reply.status, read(&reply)), (200, json!([{ "number": 1 }])), "{reply:?}");
    for (name, value) in [("etag", "\"a-tag\""), ("x-ratelimit-remaining", "4999"), ("cache-control", "private, no-cache")] {
        assert_eq!(reply.header(name), Some(value), "{reply:?}");
    }
    for name in ["x-oauth-scopes", "x-accepted-oauth-scopes", "x-oauth-client-id", "set-cookie", "x-deny-reason"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("github-authentication-token-expiration"), None);
    let seen = calls(&world);
    let [seen] = seen.as_slice() else { panic!("{seen:#?}") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/api/v3/repos/octo/spoon/pulls?state=open"));
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent", "x-github-api-version"]);
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {}", world.real)));
    assert_eq!(
        (seen.header("accept-encoding").as_deref(), seen.header("user-agent").as_deref()),
        (Some("identity"), Some("octokit-rest.js/22.0.0"))
    );
    let record = world.gate().wait_for_record(|record| record["kind"] == "api" && record["bytes_down"].as_u64() > Some(0));
    assert_eq!(
        [&record["verdict"], &record["door"], &record["method"], &record["path"], &record["repository"], &record["session"]],
        ["allow", "git", "GET", "/api/v3/repos/Octo/SPOON/pulls", "octo/spoon", "s1"],
        "{record:#}"
    );
    world.finish();
}

/// Threats 124 and 94: each door leads to the API, by its exact name and path; what looks like one leads nowhere.
#[test]
fn threat_124_every_door_and_what_only_looks_like_one() {
    let world = world().behind_the_proxy();
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([{ "number": 1 }]), &[]));
    assert_eq!(get(&world, PULLS).status, 200);
    for version in ["--http1.1", "--http2"] {
        for base in ["https://api.github.test", "https://github.test/api/v3"] {
            let shown = world.curl(&[version, &format!("{base}{PULLS}")]).out;
            assert!(shown.contains("{\"number\":1}") && shown.contains("200"), "{base}: {shown}");
        }
    }
    assert!(calls(&world).iter().all(|seen| seen.target == "/api/v3/repos/octo/spoon/pulls"), "{:#?}", calls(&world));
    assert_eq!(calls(&world).len(), 5);
    for (url, reason) in [
        ("https://api.github.test/api/v3/repos/octo/spoon/pulls", "api_not_allowed"),
        ("https://api.github.test/graphql", "api_not_allowed"),
        ("https://github.test/api/graphql", "api_not_allowed"),
        ("https://github.test/repos/octo/spoon/pulls", "api_not_allowed"),
        ("https://github.test/API/v3/repos/octo/spoon/pulls", "api_not_allowed"),
        ("https://gist.github.test/repos/octo/spoon/pulls", "api_not_allowed"),
        ("https://uploads.github.test/repos/octo/spoon/pulls/x", "api_not_allowed"),
        ("https://api.github.test.evil/repos/octo/spoon/pulls", "network_disabled"),
        ("https://x.api.github.test/repos/octo/spoon/pulls", "network_disabled"),
    ] {
        let shown = world.curl(&[url]).out;
        assert!(shown.contains(&format!("x-deny-reason: {reason}\r\n")), "{url}: {shown}");
    }
    assert_eq!(calls(&world).len(), 5, "nothing of that went up");
    world.finish();
}

/// `gh` asks a GitHub of this name in plain HTTP, through the proxy.
#[test]
fn a_name_of_this_machine_is_asked_in_plain_http() {
    let world = world_of(&Plan { host: "github.localhost", ..plan() });
    let link = format!("<{}/api/v3/repositories/7/pulls?page=2>; rel=\"next\"", world.hub.url());
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([{ "number": 1 }]), &[("link", link)]));
    let proxied = |authorization: &str, target: &str, lines: &str| {
        let reply = ask(world.gate().proxy(), format!("GET {target} HTTP/1.1\r\nHost: api.github.localhost\r\n{authorization}{lines}\r\n"));
        world.hear(&reply);
        reply
    };
    let own = format!("Proxy-{}\r\n", basic("x", &world.token));
    let bearer = format!("Authorization: Bearer {}\r\n", world.token);
    let reply = proxied(&own, "http://api.github.localhost/repos/octo/spoon/pulls", &bearer);
    assert_eq!((reply.status, read(&reply)), (200, json!([{ "number": 1 }])), "{reply:?}");
    assert_eq!(reply.header("link"), Some("<http://api.github.localhost/repositories/7/pulls?page=2>; rel=\"next\""));
    let stranger = proxied("", "http://api.github.localhost/repos/octo/spoon/pulls", "");
    assert_eq!((stranger.status, stranger.header("x-deny-reason")), (407, Some("session_required")), "{stranger:?}");
    let foreign = proxied(&own, "http://api.github.localhost/repos/octo/spoon/pulls", "Authorization: Bearer ghp_foreign\r\n");
    assert_eq!((foreign.status, foreign.header("x-deny-reason")), (403, Some("credential_not_allowed")), "{foreign:?}");
    let other = proxied(&own, "http://api.github.localhost:8080/user", "");
    assert_eq!(other.header("x-deny-reason"), Some("port_not_allowed"), "{other:?}");
    assert_eq!(calls(&world).len(), 1);
    world.finish();
}

/// The same in a tunnel, for clients that open one whatever they speak.
#[test]
fn a_tunnel_to_a_name_of_this_machine_is_read() {
    let world = world_of(&Plan { host: "github.localhost", ..plan() });
    let link = format!("<{}/api/v3/repositories/7/pulls?page=2>; rel=\"next\"", world.hub.url());
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([{ "number": 1 }]), &[("link", link)]));
    let authority = "api.github.localhost:80";
    let asked = |method: &str, target: &str, host: &str| {
        let mut client = Client::connect(world.gate().proxy());
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-{}\r\n\r\n", basic("x", &world.token)));
        assert_eq!(client.reply_to("CONNECT").status, 200);
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
        let reply = client.reply_to(method);
        world.hear(&reply);
        reply
    };
    let reply = asked("GET", "/repos/octo/spoon/pulls", "api.github.localhost");
    assert_eq!((reply.status, read(&reply)), (200, json!([{ "number": 1 }])), "{reply:?}");
    assert_eq!(reply.header("link"), Some("<http://api.github.localhost/repositories/7/pulls?page=2>; rel=\"next\""));
    let refused = asked("DELETE", "/repos/octo/spoon", "api.github.localhost");
    assert_eq!((refused.status, refused.header("x-deny-reason")), (403, Some("api_not_allowed")), "{refused:?}");
    let elsewhere = asked("GET", "/repos/octo/spoon/pulls", "uploads.github.localhost");
    assert_eq!((elsewhere.status, elsewhere.header("x-deny-reason")), (421, Some("misdirected")), "{elsewhere:?}");
    let tunnel = world.gate().wait_for_record(|record| record["kind"] == "connect" && record["host"] == "api.github.localhost");
    assert_eq!((&tunnel["verdict"], &tunnel["port"]), (&"allow".into(), &80.into()), "{tunnel:#}");
    for (method, reason) in [("DELETE", "api_not_allowed"), ("GET", "misdirected")] {
        world.gate().wait_for_record(|record| record["kind"] == "api" && record["method"] == method && record["reason"] == reason);
    }
    assert_eq!(calls(&world).len(), 1);
    world.finish();
}

#[test]
fn threat_121_what_would_move_more_than_the_session_may_is_refused() {
    let world = world();
    for (method, target, body) in [
        ("PATCH", "/repos/octo/spoon/git/refs/heads/main", r#"{"sha":"0123456789012345678901234567890123456789"}"#),
        ("POST", "/repos/octo/spoon/git/refs", r#"{"ref":"refs/heads/main","sha":"0123456789012345678901234567890123456789"}"#),
        ("PUT", "/repos/octo/spoon/contents/x?branch=main", r#"{"message":"x","content":"eA==","branch":"main"}"#),
        ("PUT", "/repos/octo/spoon/contents/x", r#"{"message":"x","content":"eA=="}"#),
        ("POST", "/repos/octo/spoon/merges", r#"{"base":"main","head":"agent/x"}"#),
        ("PUT", "/repos/octo/spoon/pulls/1/merge", "{}"),
        ("POST", "/repos/octo/spoon/dispatches", r#"{"event_type":"x"}"#),
        ("POST", "/repos/octo/spoon/actions/workflows/1/dispatches", r#"{"ref":"main"}"#),
        ("PUT", "/repos/octo/spoon/branches/main/protection", "{}"),
        ("POST", "/repos/octo/spoon/keys", r#"{"key":"x"}"#),
        ("POST", "/repos/octo/spoon/hooks", r#"{"config":{}}"#),
        ("DELETE", "/repos/octo/spoon", ""),
        ("PATCH", "/repos/octo/spoon", r#"{"default_branch":"agent/x"}"#),
        ("POST", "/repos/octo/spoon/forks", "{}"),
        ("POST", "/gists", r#"{"files":{}}"#),
        ("POST", "/user/keys", r#"{"key":"x"}"#),
    ] {
        let reply = call(&world, method, target, &[], body);
        let reason = reply.header("x-deny-reason").unwrap_or_default();
        let refused = ["api_not_allowed", "ref_not_granted", "bad_request"].contains(&reason);
        assert!(refused && [400, 403].contains(&reply.status), "{method} {target}: {reply:?}");
        let path = format!("/api/v3{}", target.split('?').next().unwrap());
        let record =
            world.gate().wait_for_record(|record| record["path"] == path && record["method"] == method && record["reason"] == reason);
        assert_eq!((&record["kind"], &record["verdict"]), (&"api".into(), &"deny".into()), "{record:#}");
    }
    assert!(calls(&world).iter().all(|seen| seen.method == "GET"), "{:#?}", calls(&world));
    world.finish();
}

/// A method, a path or a body that another reader would take for something else; another name of a repository; a redirect of one.
#[test]
fn threat_123_what_is_judged_is_what_leaves() {
    let world = world();
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/"), answer(200, &json!({}), &[]));
    let overridden = call(&world, "GET", PULLS, &["X-HTTP-Method-Override: DELETE", "X-Method-Override: PUT"], "");
    assert_eq!(overridden.status, 200);
    assert_eq!(call(&world, "GET", "/repos/octo/spoon/pulls?_method=DELETE", &[], "").status, 200);
    for seen in calls(&world) {
        assert!(seen.method == "GET" && seen.target == "/api/v3/repos/octo/spoon/pulls", "{seen:#?}");
        assert!(seen.headers.iter().all(|(name, _)| !name.contains("override")), "{seen:#?}");
    }
    let before = calls(&world).len();
    for (target, status, reason) in [
        ("/repos/octo/spoon/../secret/pulls", 400, "bad_request"),
        ("/repos/octo/spoon/%2e%2e/secret/pulls", 400, "bad_request"),
        ("/repos/octo/spoon//pulls", 400, "bad_request"),
        ("/repos/octo/spoon/pulls/%00", 400, "bad_request"),
        ("/repos/octo/spoon%2Fpulls", 403, "api_not_allowed"),
        ("/repos/octo/secret/pulls", 403, "repository_not_granted"),
        ("/repos/octo/spoon/pulls?state=open&state=all", 400, "bad_request"),
    ] {
        let reply = get(&world, target);
        assert_eq!((reply.status, reply.header("x-deny-reason")), (status, Some(reason)), "{target}: {reply:?}");
    }
    for (lines, body, status) in [
        (&[][..], r#"{"title":"x","title":"y"}"#, 400),
        (&[], "{\"title\":\"\u{0}\"}", 400),
        (&[], "[1]", 400),
        (&[], "\u{feff}{}", 400),
        (&[], "_method=DELETE", 400),
        (&["Content-Encoding: gzip"], "{}", 415),
        (&["Content-Type: text/plain"], "{}", 415),
    ] {
        let reply = call(&world, "POST", "/repos/octo/spoon/issues", lines, body);
        assert_eq!((reply.status, reply.header("x-deny-reason")), (status, Some("bad_request")), "{body}: {reply:?}");
    }
    assert_eq!(call(&world, "TRACE", PULLS, &[], "").header("x-deny-reason"), Some("method_refused"));
    assert_eq!(calls(&world).len(), before, "nothing of that went up");
    // By its number: what the number is of is asked, and what is not granted stays unknown.
    world.hub.number("octo/secret", 9);
    assert_eq!(get(&world, "/repositories/7/pulls").status, 200);
    assert_refused(&world, &get(&world, "/repositories/9/pulls"), 403, "repository_not_granted");
    let targets: Vec<_> = calls(&world).into_iter().skip(before).map(|seen| seen.target).collect();
    assert_eq!(targets, ["/api/v3/repositories/7", "/api/v3/repos/octo/spoon/pulls", "/api/v3/repositories/9"]);
    // What a write is sent on to gets no body.
    let moved = format!("{}/api/v3/repositories/9/issues", world.hub.url());
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/issues"), answer(307, &json!({}), &[("location", moved)]));
    let reply = call(&world, "POST", "/repos/octo/spoon/issues", &[], r#"{"title":"x"}"#);
    assert_refused(&world, &reply, 403, "repository_not_granted");
    assert!(reply.header("location").is_none() && calls(&world).iter().all(|seen| seen.target != "/api/v3/repositories/9/issues"));
    world.finish();
}

/// A repository that was renamed since it was granted is asked for by its name of now.
#[test]
fn a_renamed_repository_is_followed_to_the_same_number() {
    let world = world();
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/"), answer(200, &json!([]), &[]));
    assert_eq!(get(&world, PULLS).status, 200);
    world.hub.rename("octo/spoon", "octo/fork");
    let moved = format!("{}/api/v3/repositories/7/pulls", world.hub.url());
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/"), answer(301, &json!({}), &[("location", moved)]));
    world.hub.also(When::Below("/api/v3/repos/octo/fork/"), answer(200, &json!([{ "number": 2 }]), &[]));
    assert_eq!(read(&get(&world, PULLS)), json!([{ "number": 2 }]));
    let written = call(&world, "POST", "/repos/octo/spoon/issues", &[], r#"{"title":"x"}"#);
    assert_eq!((written.status, calls(&world).last().unwrap().target.as_str()), (200, "/api/v3/repos/octo/fork/issues"));
    world.finish();
}

/// Whoever asks for what it has gets GitHub's own word on whether that changed, and nobody another one's.
#[test]
fn threat_126_nothing_is_kept_for_anybody_else() {
    let world = world();
    let tagged = answer(304, &Value::Null, &[("etag", "\"a-tag\"".to_owned())]);
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), tagged);
    for _ in 0..2 {
        let reply = call(&world, "GET", PULLS, &["If-None-Match: \"a-tag\""], "");
        assert_eq!(
            (reply.status, reply.header("etag"), reply.header("cache-control")),
            (304, Some("\"a-tag\""), Some("private, no-cache"))
        );
    }
    let tags: Vec<_> = calls(&world).iter().map(|seen| seen.header("if-none-match")).collect();
    assert_eq!(tags, vec![Some("\"a-tag\"".to_owned()); 2]);
    // Another session, with the same tag.
    let other = basic("x", &world.other_token);
    let reply = world.ask(request("GET", "/api/v3/repos/octo/spoon/pulls", &[&other, "If-None-Match: \"a-tag\""], b""));
    assert_eq!((reply.status, reply.header("x-deny-reason")), (403, Some("repository_not_granted")), "{reply:?}");
    assert_eq!(calls(&world).len(), 2);
    world.finish();
}

#[test]
fn pages_lead_on_through_the_same_door() {
    let world = world();
    let url = world.hub.url();
    let link = format!("<{url}/api/v3/repositories/7/pulls?page=2>; rel=\"next\", <https://evil.test/x>; rel=\"last\"");
    let fields = [("link", link), ("location", format!("{url}/api/v3/repos/octo/spoon/pulls/1"))];
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([]), &fields));
    for method in ["GET", "HEAD"] {
        let reply = call(&world, method, PULLS, &[], "");
        assert_eq!(reply.header("link"), Some("<http://gate/api/v3/repositories/7/pulls?page=2>; rel=\"next\""), "{reply:?}");
        assert_eq!(reply.header("location"), Some("http://gate/api/v3/repos/octo/spoon/pulls/1"));
        assert_eq!(reply.body.is_empty(), method == "HEAD");
    }
    assert_eq!(calls(&world).iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["GET", "HEAD"]);
    assert_eq!(get(&world, "/repositories/7/pulls?page=2").status, 200);
    world.finish();
}

/// Threats 88 and 95: a link that is a credential stays here, and ours goes to nobody else.
#[test]
fn threats_88_and_95_what_lies_in_storage_is_fetched_here() {
    let policy = "access = \"none\"\n[addresses]\nallow = [\"127.0.0.1/32\"]";
    let world = world_of(&Plan { policy, ..plan() });
    let logs = "/repos/octo/spoon/actions/runs/1/logs";
    let content = Answer::Reply(200, vec![("content-type", "application/zip".into()), ("set-cookie", "a=b".into())], b"PK-logs".to_vec());
    world.hub.also(When::Below("/storage/"), content);
    let signed = format!("{}/storage/logs.zip?sig=secret-signature", world.hub.url());
    world.hub.also(When::Below("/api/v3/repos/octo/spoon/actions"), answer(302, &json!({}), &[("location", signed)]));
    let reply = get(&world, logs);
    assert_eq!((reply.status, reply.body.as_slice(), reply.header("content-type")), (200, &b"PK-logs"[..], Some("application/zip")));
    assert_eq!((reply.header("location"), reply.header("set-cookie")), (None, None), "{reply:?}");
    let seen = world.hub.seen_at("/storage/logs.zip?sig=secret-signature");
    assert!(seen.len() == 1 && seen[0].header("authorization").is_none(), "{seen:#?}");
    // Storage is judged where it is none of the operator's places.
    for (location, reason) in [
        ("http://127.0.0.2:9/x?sig=1", "address_not_allowed"),
        ("http://localhost:9/x", "address_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "address_not_allowed"),
        ("//evil.test/x", "repository_not_granted"),
    ] {
        world.hub.set(When::Below("/api/v3/repos/octo/spoon/actions"), answer(302, &json!({}), &[("location", location.to_owned())]));
        let reply = get(&world, logs);
        assert_eq!(reply.header("x-deny-reason"), Some(reason), "{location}: {reply:?}");
        assert!(reply.header("location").is_none());
    }
    let all = world.gate().audit_text();
    assert!(!all.contains("secret-signature"), "{all}");
    world.finish();
}

#[test]
fn threat_88_what_clones_a_repository_by_itself_is_not_told() {
    let world = world();
    let repository = json!({ "temp_clone_token": "AAAABBBBCCCC", "name": "spoon" });
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(200, &json!([{ "base": { "repo": repository } }]), &[]));
    let told = read(&get(&world, PULLS));
    assert_eq!(told, json!([{ "base": { "repo": { "temp_clone_token": "************", "name": "spoon" } } }]));
    world.finish();
}

#[test]
fn where_no_secret_may_leave_calls_are_looked_through() {
    let world = world_of(&Plan { policy: "access = \"none\"\n[content]\nrefuse_secrets = true\n", ..plan() });
    let target = "/repos/octo/spoon/issues/1/comments";
    for body in [
        r#"{"body":"the key AKIAQWERTYUIOPASDFGH"}"#.to_owned(),
        r#"{"body":"A\u004bIAQWERTYUIOPASDFGH"}"#.to_owned(),
        json!({ "body": world.real }).to_string(),
    ] {
        assert_refused(&world, &call(&world, "POST", target, &[], &body), 403, "secret_in_request");
    }
    assert!(calls(&world).iter().all(|seen| seen.method != "POST"), "{:#?}", calls(&world));
    world.finish();
}

#[test]
fn threat_89_an_answer_that_repeats_the_credential_is_masked() {
    let world = world();
    let body = json!({ "message": format!("you sent Bearer {}", world.real) });
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(400, &body, &[("x-github-request-id", world.real.clone())]));
    let reply = get(&world, PULLS);
    assert_eq!(reply.status, 400);
    let stars = "*".repeat(world.real.len());
    assert_eq!(
        (read(&reply)["message"].as_str(), reply.header("x-github-request-id")),
        (Some(&*format!("you sent Bearer {stars}")), Some(&*stars))
    );
    // To the sandbox its own token is good.
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(401, &body, &[]));
    let reply = get(&world, PULLS);
    assert_eq!((reply.status, reply.header("x-deny-reason")), (503, Some("credential_unavailable")), "{reply:?}");
    let encoded = answer(200, &body, &[("content-encoding", "gzip".to_owned())]);
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), encoded);
    assert_eq!(get(&world, PULLS).header("x-deny-reason"), Some("upstream_closed"));
    world.finish();
}

#[test]
fn some_questions_need_no_github() {
    let world = world();
    let root = read(&get(&world, "/"));
    assert_eq!(root["current_user_url"], "http://gate/api/v3/user");
    assert_eq!(read(&get(&world, "/meta")).get("installed_version"), None, "nobody answered");
    let limit = read(&get(&world, "/rate_limit"));
    assert_eq!(limit["rate"]["limit"], 3000, "{limit:#}");
    let user = read(&get(&world, "/user"));
    assert_eq!(user["name"], "session s1", "{user:#}");
    world.hub.set(When::Below("/api/v3/user"), answer(200, &json!({ "login": "octo", "id": 5, "type": "User", "email": "o@x.test" }), &[]));
    world.hub.also(When::Below("/api/v3/meta"), answer(200, &json!({ "installed_version": "3.14.2", "hooks": ["192.0.2.0/24"] }), &[]));
    let user = read(&get(&world, "/user"));
    assert_eq!((&user["login"], user.get("email")), (&"octo".into(), None), "{user:#}");
    let meta = read(&get(&world, "/meta"));
    assert_eq!((&meta["installed_version"], meta.get("hooks")), (&"3.14.2".into(), None), "{meta:#}");
    assert_refused(&world, &get(&world, "/user/emails"), 403, "api_not_allowed");
    let options = call(&world, "OPTIONS", PULLS, &[], "");
    assert!(options.status == 204 && options.header("allow").is_some_and(|allow| allow.contains("PATCH")), "{options:?}");
    world.finish();
}

#[test]
fn a_session_has_so_many_calls_an_hour() {
    let policy = "access = \"none\"\n[limits]\napi_calls_per_hour = 4\napi_writes_per_hour = 3\napi_comments_per_hour = 1";
    let world = world_of(&Plan { policy, ..plan() });
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/"), answer(201, &json!({ "id": 1 }), &[]));
    let comment = |world: &World| call(world, "POST", "/repos/octo/spoon/issues/1/comments", &[], r#"{"body":"x"}"#);
    assert_eq!(comment(&world).status, 201);
    let refused = comment(&world);
    let said = assert_refused(&world, &refused, 429, "rate_limited");
    assert!(said.contains("api_comments_per_hour of [limits]"), "{said}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(get(&world, PULLS).status, 201);
    let left = read(&get(&world, "/rate_limit"));
    assert_eq!((&left["rate"]["limit"], &left["rate"]["remaining"]), (&4.into(), &1.into()), "{left:#}");
    assert_eq!(get(&world, PULLS).status, 201);
    assert!(assert_refused(&world, &get(&world, PULLS), 429, "rate_limited").contains("api_calls_per_hour"));
    assert_eq!(calls(&world).len(), 3);
    assert!(world.gate().metric("tidegate_limited_total{limit=\"api_comments_per_hour\"}") >= 1);
    world.finish();
}

/// GitHub's own limits: relayed, and heeded for whoever asks by the same credential.
#[test]
fn whoever_is_told_to_wait_waits() {
    let world = world();
    let body = json!({ "message": "You have exceeded a secondary rate limit" });
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/pulls"), answer(403, &body, &[("retry-after", "60".to_owned())]));
    let reply = get(&world, PULLS);
    assert_eq!((reply.status, reply.header("retry-after"), read(&reply)), (403, Some("60"), body), "{reply:?}");
    let refused = get(&world, PULLS);
    assert_refused(&world, &refused, 429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    assert_eq!(calls(&world).len(), 1, "GitHub was left alone");
    world.finish();
}

/// What a session says to people names it, and it may change what it made and nothing else.
#[test]
fn comments_are_signed_and_their_author_s() {
    let github = "api_url = \"{HUB}/api/v3\"\ncomment_footer = \"Written by the agent of {session}.\"\n";
    let world = world_of(&Plan { github, ..plan() });
    world.hub.set(When::Below("/api/v3/repos/octo/spoon/"), answer(201, &json!({ "id": 77, "number": 3 }), &[]));
    let refused = call(&world, "PATCH", "/repos/octo/spoon/issues/comments/77", &[], r#"{"body":"y"}"#);
    assert_refused(&world, &refused, 403, "api_not_allowed");
    let made = call(&world, "POST", "/repos/octo/spoon/issues/1/comments", &[], r#"{"body":"x"}"#);
    assert_eq!((made.status, read(&made)["id"].as_u64()), (201, Some(77)));
    assert_eq!(call(&world, "PATCH", "/repos/octo/spoon/issues/comments/77", &[], r#"{"body":"y"}"#).status, 201);
    let refused = call(&world, "PATCH", "/repos/octo/spoon/issues/comments/78", &[], r#"{"body":"y"}"#);
    assert_eq!(refused.header("x-deny-reason"), Some("api_not_allowed"));
    let sent: Vec<_> = calls(&world).iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    let below = "\\n\\n---\\nWritten by the agent of s1.\"}";
    assert_eq!(sent, [format!("{{\"body\":\"x{below}"), format!("{{\"body\":\"y{below}")]);
    world.finish();
}

/// A file beside a release: as large as it is, at the host for it, and only at a tag that the session may create.
#[test]
fn a_release_s_asset_streams_through() {
    let world = world();
    world.hub.also(When::Below("/api/uploads/"), answer(201, &json!({ "id": 1 }), &[]));
    world.hub.also(When::Below("/api/v3/repos/octo/spoon/releases/5"), answer(200, &json!({ "id": 5, "tag_name": "v1.0" }), &[]));
    world.hub.also(When::Below("/api/v3/repos/octo/spoon/releases/6"), answer(200, &json!({ "id": 6, "tag_name": "v2.0" }), &[]));
    let authorization = basic("x", &world.token);
    let file = vec![7; 3 << 20];
    let upload = |id: u64| {
        let target = format!("/api/uploads/repos/octo/spoon/releases/{id}/assets?name=x.bin");
        world.ask(request("POST", &target, &[&authorization, "Content-Type: application/zip"], &file))
    };
    assert_eq!(upload(5).status, 201);
    let seen = calls(&world).into_iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!((seen.target.as_str(), seen.length), ("/api/uploads/repos/octo/spoon/releases/5/assets?name=x.bin", 3 << 20));
    assert_eq!(seen.header("content-type").as_deref(), Some("application/zip"));
    let refused = upload(6);
    assert_eq!((refused.status, refused.header("x-deny-reason")), (403, Some("ref_not_granted")), "{refused:?}");
    assert_eq!(calls(&world).iter().filter(|seen| seen.method == "POST").count(), 1);
    world.finish();
}

/// Whoever has no token is asked for one as an origin server asks.
#[test]
fn without_a_token_nothing_is_answered() {
    let world = world();
    for target in ["/api/v3/repos/octo/spoon/pulls", "/api/v3/", "/api/graphql"] {
        let reply = world.ask(request("GET", target, &[], b""));
        assert_eq!((reply.status, reply.header("x-deny-reason")), (401, Some("session_required")), "{target}: {reply:?}");
        assert!(reply.header("www-authenticate").is_some() && read(&reply)["message"].is_string());
    }
    world.hub.assert_untouched("nobody asked");
    world.finish();
}

//! A sandbox asks its owner for a repository or a ref, and uses it without a restart; and what `/explain` says of both beforehand.

use serde_json::{Value, json};

use crate::harness::{Plan, Reply, World, bytes::basic};

/// One of the sandbox's own pages, over the git door.
#[track_caller]
fn page(world: &World, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let (authorization, body) = (basic("x", token), if body.is_null() { String::new() } else { body.to_string() });
    let length = body.len();
    world.ask(format!("{method} {path} HTTP/1.1\r\nHost: tidegate.internal\r\n{authorization}\r\nContent-Length: {length}\r\n\r\n{body}"))
}

#[track_caller]
fn request(world: &World, body: &Value) -> (u16, Value) {
    let reply = page(world, &world.token, "POST", "/request-access", body);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{}", reply.text())))
}

#[track_caller]
fn explain(world: &World, body: &Value) -> Value {
    let reply = page(world, &world.token, "POST", "/explain", body);
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{}", reply.text()))
}

#[test]
fn p8_p9_a_repository_is_refused_asked_for_granted_and_cloned() {
    // The git door works at every level.
    for policy in ["access = \"none\"", "access = \"trusted\""] {
        let world = World::of(&Plan { policy, ..Plan::default() });
        let clone = || world.sandbox.git(".", &["clone", "--quiet", &world.url("octo/secret"), "secret"]);
        clone().assert(128, &["no grant for octo/secret", "ask the owner for it: POST /request-access"]);
        assert_eq!(world.hub.seen_at("octo/secret/info/refs?service=git-upload-pack").len(), 0);
        let (status, asked) = request(&world, &json!({"repository": "octo/secret", "why": "a submodule"}));
        assert_eq!((status, &asked["id"], &asked["state"]), (202, &json!("s1/1"), &json!("pending")), "{asked:#}");
        assert_eq!(clone().code, Some(128), "asking is not having");
        assert_eq!(world.session(&["requests"]), "s1/1  pending  to read octo/secret: \"a submodule\"");
        world.session(&["grant", "s1/1"]);
        clone().assert(0, &[]);
        let pushed = world.sandbox.git("secret", &["push", "origin", "HEAD:refs/heads/x"]);
        pushed.assert(128, &["read only for this session"]);
        let record = world.gate().wait_for_record(|record| record["path"] == "/sessions/s1/requests/1/grant");
        assert_eq!((&record["kind"], &record["repository"]), (&json!("admin"), &json!("octo/secret")), "{record:#}");
        world.finish();
    }
}

#[test]
fn p4_p8_a_ref_is_refused_asked_for_granted_and_pushed() {
    let world = World::new().cloned(&["agent/fix-1", "agent/fix-2"]);
    let push = || world.push(&["origin", "agent/fix-2"]);
    push().assert(1, &["[remote rejected]", "this session may not push this ref", "ask the owner for it: POST /request-access"]);
    let wish = json!({"repository": "octo/spoon", "access": "write", "ref": "refs/heads/agent/fix-2", "why": "the pull request is there"});
    assert_eq!(request(&world, &wish).0, 202);
    let sheet = world.session(&["show", "s1"]);
    assert!(sheet.contains("s1/1  pending  to push refs/heads/agent/fix-2 of octo/spoon: \"the pull"), "{sheet}");
    world.session(&["grant", "s1/1"]);
    push().assert(0, &["agent/fix-2 -> agent/fix-2"]);
    world.push(&["origin", "agent/fix-2:agent/fix-3"]).assert(1, &["this session may not push this ref"]);
    world.push(&["origin", "--delete", "agent/fix-2"]).assert(1, &["this session may not delete this ref"]);
    let pages = page(&world, &world.token, "GET", "/session", &Value::Null);
    let session: Value = serde_json::from_slice(&pages.body).unwrap();
    assert_eq!(session["repositories"][0]["push"], json!(["refs/heads/agent/fix-1", "refs/heads/agent/fix-2"]));
    assert_eq!(session["requests"][0]["state"], "granted");
    world.session(&["grant", "--deny", "s1/1"]);
    push().assert(0, &["Everything up-to-date"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-2"]);
    world.sandbox.commit("clone", "more");
    push().assert(1, &["this session may not push this ref"]);
    world.finish();
}

/// What is asked through the door of intercepted hosts counts there and on the git door alike.
#[test]
fn a_grant_counts_on_every_door() {
    let world = World::new().behind_the_proxy();
    let ls = || world.sandbox.git(".", &["ls-remote", "https://github.test/octo/secret.git"]);
    ls().assert(128, &["no grant for octo/secret", "POST /request-access"]);
    let asked = world.curl(&["--data", r#"{"repository": "octo/secret"}"#, "http://tidegate.internal/request-access"]);
    assert!(asked.out.contains("\"pending\""), "{}", asked.out);
    world.session(&["grant", "s1/1"]);
    ls().assert(0, &[]);
    world.sandbox.git(".", &["-c", "http.proxy=", "ls-remote", &world.url("octo/secret")]).assert(0, &[]);
    world.finish();
}

#[test]
fn g_54_what_is_explained_of_refs_is_what_a_push_meets() {
    let world = World::new().cloned(&["agent/fix-1"]);
    let spoon = |more: Value| {
        let mut body = json!({"repository": "octo/spoon"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        explain(&world, &body)
    };
    for (more, verdict, reason) in [
        (json!({}), "allow", Value::Null),
        (json!({"service": "push"}), "allow", Value::Null),
        (json!({"service": "push", "ref": "refs/heads/agent/fix-1", "change": "create"}), "allow", Value::Null),
        (json!({"service": "push", "ref": "refs/heads/agent/fix-1", "change": "force"}), "allow", Value::Null),
        (json!({"ref": "refs/heads/agent/fix-1", "change": "delete"}), "deny", json!("ref_not_granted")),
        (json!({"ref": "refs/heads/main", "change": "update"}), "deny", json!("ref_not_granted")),
        (json!({"ref": "refs/tags/v1", "change": "create"}), "deny", json!("ref_not_granted")),
    ] {
        let said = spoon(more.clone());
        assert_eq!((&said["verdict"], &said["reason"]), (&json!(verdict), &reason), "{more}: {said:#}");
    }
    let said = spoon(json!({"ref": "refs/heads/main"}));
    assert_eq!((&said["allow_with"], &said["may_ask"]), (&json!("push = [\"refs/heads/main\"]"), &json!(true)), "{said:#}");
    world.push(&["origin", "main"]).assert(1, &[said["detail"].as_str().unwrap().split('.').next().unwrap()]);
    assert_eq!(spoon(json!({"ref": "refs/heads/agent/fix-1", "change": "delete"}))["may_ask"], false, "no request can ask for that");
    for (repository, service, reason) in [("octo/secret", "fetch", "repository_not_granted"), ("octo/reading", "push", "read_only")] {
        let said = explain(&world, &json!({"repository": repository, "service": service}));
        assert_eq!((&said["verdict"], &said["reason"]), (&json!("deny"), &json!(reason)), "{said:#}");
    }
    for wrong in [
        json!([]),
        json!({}),
        json!({"repository": "octo"}),
        json!({"repository": "octo/spoon", "target": "http://x/"}),
        json!({"repository": "octo/spoon", "service": "steal"}),
        json!({"repository": "octo/spoon", "service": "fetch", "ref": "refs/heads/x"}),
        json!({"repository": "octo/spoon", "ref": "main"}),
        json!({"repository": "octo/spoon", "change": "create"}),
        json!({"target": "http://x/", "metod": "GET"}),
    ] {
        assert_eq!(page(&world, &world.token, "POST", "/explain", &wrong).status, 400, "{wrong}");
    }
    assert_eq!(world.pushes().len(), 0);
    world.finish();
}

#[test]
fn a_host_of_github_is_asked_for_by_its_repositories() {
    let world = World::new();
    let (status, said) = request(&world, &json!({"host": "github.test"}));
    assert!(status == 409 && said["detail"].as_str().unwrap().contains("ask for a repository"), "{said:#}");
    let (status, said) = request(&world, &json!({"repository": "octo/reading"}));
    assert_eq!((status, &said["state"]), (200, &json!("allowed")));
    world.finish();
}

/// A call of GitHub's API is explained by the table, and nobody is asked.
#[test]
fn what_is_explained_of_calls_names_the_row_and_what_would_pass() {
    const GRANTS: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/fix-1\"]\n\
                          bases = [\"main\"]\ngrants = [\"pull_requests\"]\n";
    let world = World::granting(GRANTS);
    let call = |method: &str, path: &str, body: Value| {
        let mut asked = json!({"target": format!("https://api.github.test{path}"), "method": method});
        if !body.is_null() {
            asked["body"] = body;
        }
        explain(&world, &asked)
    };
    let pull = |head: &str| json!({"title": "t", "head": head, "base": "main"});
    let said = call("POST", "/repos/octo/spoon/pulls", pull("agent/fix-1"));
    assert_eq!((&said["verdict"], &said["conditions"]), (&json!("allow"), &json!([])), "{said:#}");
    assert!(said["rule"].as_str().unwrap().starts_with("POST /repos/{owner}/{repo}/pulls (github/rest.txt:"), "{said:#}");
    let said = call("POST", "/repos/octo/spoon/pulls", pull("main"));
    assert_eq!((&said["reason"], &said["allow_with"]), (&json!("ref_not_granted"), &json!("push = [\"refs/heads/main\"]")), "{said:#}");
    let said = call("PATCH", "/repos/octo/spoon/pulls/7", json!({"state": "closed"}));
    assert!(said["conditions"][0].as_str().unwrap().starts_with("the pull request 7 of octo/spoon comes from"), "{said:#}");
    let said = call("PUT", "/repos/octo/spoon/pulls/7/merge", Value::Null);
    assert_eq!((&said["reason"], &said["allow_with"]), (&json!("api_not_allowed"), &json!("grants = [\"merge\"]")), "{said:#}");
    for (method, path, reason) in [
        ("GET", "/repos/octo/secret", "repository_not_granted"),
        ("DELETE", "/repos/octo/spoon", "api_not_allowed"),
        ("POST", "/repos/octo/spoon/../secret/merges", "bad_request"),
    ] {
        assert_eq!(call(method, path, Value::Null)["reason"], reason, "{method} {path}");
    }
    assert_eq!(world.hub.seen().len(), 0, "nobody was asked");
    world.finish();
}

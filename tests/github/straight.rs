//! That the GitHub of these tests is one, asked without the program between.

use serde_json::json;

use crate::harness::{
    Fake, Place, Speech,
    flow::assert_flow,
    random,
    sandbox::{Heard, Sandbox},
    scripts::Work,
};

#[test]
fn octokit_works_with_it() {
    for (speech, place) in [(Speech::Plain, Place::Api), (Speech::Http1, Place::Web)] {
        let real = format!("ghs_{}", random());
        let fake = Fake::start(speech, &real);
        let sandbox = Sandbox::new(&Heard::default());
        let work = Work { base: fake.api(place), token: &real, proxy: String::new(), root: Fake::authority() };
        let found = work.run(&sandbox, "flow.js", &["octo/spoon", "agent/fix-1", "main"]);
        assert_flow(&fake, &found);
    }
}

#[test]
fn what_changes_is_seen() {
    let real = format!("ghs_{}", random());
    let fake = Fake::start(Speech::Plain, &real);
    let sandbox = Sandbox::new(&Heard::default());
    let work = Work { base: fake.api(Place::Api), token: &real, proxy: String::new(), root: String::new() };
    let mut last = fake.state();
    for (method, path, body) in [
        ("PUT", "/repos/octo/spoon/contents/a.txt", json!({ "message": "a", "content": "YQ==" })),
        ("PUT", "/repos/octo/spoon/contents/b.txt?branch=other", json!({ "message": "b", "content": "YQ==" })),
        ("DELETE", "/repos/Octo/Spoon.git/contents/a.txt", json!({ "message": "c" })),
        ("POST", "/repos/octo/spoon/merges", json!({ "base": "main", "head": "agent/fix-1" })),
        ("POST", "/repos/octo/spoon/merge-upstream", json!({ "branch": "main" })),
        ("PUT", "/repos/octo/spoon/pulls/2/merge", json!({})),
        ("PUT", "/repositories/NUMBER/pulls/3/update-branch", json!({})),
        ("POST", "/repos/octo/spoon/branches/other/rename", json!({ "new_name": "elsewhere" })),
        ("DELETE", "/repos/octo/spoon/git/refs/heads%2felsewhere", json!({})),
        ("DELETE", "/repos/octo/secret/../spoon/git/refs/tags/v1", json!({})),
        ("POST", "/repos/octo/spoon/releases", json!({ "tag_name": "v2", "target_commitish": "main" })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews", json!({ "event": "APPROVE" })),
        ("POST", "/repos/octo/spoon/pulls/3/requested_reviewers", json!({ "reviewers": ["helpful[bot]"] })),
        ("POST", "/repos/octo/spoon/actions/workflows/1/dispatches", json!({ "ref": "main" })),
        ("PATCH", "/repos/octo/spoon", json!({ "default_branch": "agent/fix-1" })),
        ("POST", "/repos/octo/spoon/forks", json!({ "organization": "rival" })),
        ("POST", "/user/repos", json!({ "name": "mine" })),
        ("POST", "/repos/octo/spoon/hooks", json!({ "config": {} })),
        ("PUT", "/repos/octo/spoon/branches/main/protection", json!({})),
        ("POST", "/gists", json!({ "files": {} })),
        ("POST", "/graphql", json!({ "query": "mutation { x }" })),
        ("DELETE", "/repos/acme/tools", json!({})),
    ] {
        let number = fake.model().repositories[0].id.to_string();
        let call = json!([{ "method": method, "path": path.replace("NUMBER", &number), "body": body }]).to_string();
        let done = work.run(&sandbox, "calls.js", &[&call]);
        assert!(done[0]["status"].as_u64().is_some_and(|status| (200..300).contains(&status)), "{method} {path}: {done:#}");
        let now = fake.state();
        assert_ne!(now, last, "{method} {path} changed something");
        last = now;
    }
    assert_eq!(fake.seen(Place::Api).len(), 22, "{:#?}", fake.seen(Place::Api));
}

#[test]
fn nobody_else_is_answered() {
    let real = format!("ghs_{}", random());
    let fake = Fake::start(Speech::Plain, &real);
    let sandbox = Sandbox::new(&Heard::default());
    let call = json!([
        { "method": "GET", "path": "/repos/octo/spoon" },
        { "method": "GET", "path": "/repos/acme/tools" },
        { "method": "POST", "path": "/repos/acme/tools/issues", "body": { "title": "x" } },
    ]);
    for (token, expected) in [("", [404, 200, 401]), ("ghs_of_somebody_else", [401, 401, 401])] {
        let work = Work { base: fake.api(Place::Api), token, proxy: String::new(), root: String::new() };
        let done = work.run(&sandbox, "calls.js", &[&call.to_string()]);
        assert_eq!([0, 1, 2].map(|place| done[place]["status"].as_u64().unwrap()), expected, "{done:#}");
    }
}

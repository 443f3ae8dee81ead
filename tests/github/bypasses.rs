//! The catalogue of indirect ways to change more than the session's branches, as far as the REST API goes (section 10 of the reference):
//! each entry in its spellings, refused with a reason and a record, and nothing moved.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{
    client::Reply,
    gate::{Door, EVERYTHING, Gate, Sent, USUAL, assert_refused},
};

/// What is tried: method, path, body. `ID` is the number of `octo/spoon`, `SECRET` that of `octo/secret`, `RUN` a run of `main`, `JOB` its
/// job, `HEAD` the tip of `main`, `COMMENT`, `REMARK` and `REVIEW` what others wrote, `RELEASE` and `ASSET` what is published.
type Try = (&'static str, &'static str, Value);

/// A. What writes to the default branch, or to any that is not the session's.
fn writers() -> Vec<Try> {
    let file = |branch: Value| json!({ "message": "x", "content": "eA==", "sha": "0".repeat(40), "branch": branch });
    let mut tries = Vec::new();
    for path in ["/repos/octo/spoon/contents/a.txt", "/repos/OCTO/Spoon/contents/a.txt", "/repositories/ID/contents/a.txt"] {
        tries.push(("PUT", path, json!({ "message": "x", "content": "eA==" })));
        for branch in ["main", "refs/heads/main", "other", "", "HEAD", "agent/../main", "Agent/fix-1", "v1", "refs/tags/v1"] {
            tries.extend(["PUT", "DELETE"].map(|method| (method, path, file(branch.into()))));
        }
        tries.push(("PUT", path, file(Value::Null)));
        tries.push(("PUT", path, file(json!(["agent/fix-1"]))));
    }
    tries.extend([
        ("PUT", "/repos/octo/spoon/contents/a.txt?branch=agent/fix-1", json!({ "message": "x", "content": "eA==" })),
        ("PUT", "/repos/octo/spoon/contents/a.txt?branch=main", file("agent/fix-1".into())),
        ("DELETE", "/repos/octo/spoon/contents/about.txt?branch=main&message=x&sha=HEAD", Value::Null),
        ("POST", "/repos/octo/spoon/merges", json!({ "base": "main", "head": "agent/fix-1" })),
        ("POST", "/repos/octo/spoon/merges", json!({ "base": "refs/heads/main", "head": "agent/fix-1" })),
        ("POST", "/repos/octo/spoon/merges", json!({ "head": "agent/fix-1" })),
        ("PUT", "/repos/octo/spoon/pulls/2/merge", json!({})),
        ("PUT", "/repos/octo/spoon/pulls/3/merge", json!({ "merge_method": "squash" })),
        ("PUT", "/repositories/ID/pulls/3/merge", json!({})),
        ("PUT", "/repos/octo/spoon/pulls/3/merge-async", json!({})),
        ("PUT", "/repos/octo/spoon/pulls/2/update-branch", json!({})),
        ("PATCH", "/repos/octo/spoon/pulls/2", json!({ "title": "mine" })),
        ("PATCH", "/repos/octo/spoon/pulls/2", json!({ "state": "closed" })),
        ("PATCH", "/repos/octo/spoon/pulls/3", json!({ "base": "other" })),
        ("POST", "/repos/octo/spoon/merge-upstream", json!({ "branch": "main" })),
        ("POST", "/repos/octo/spoon/branches/agent%2Ffix-1/rename", json!({ "new_name": "main" })),
        ("POST", "/repos/octo/spoon/branches/main/rename", json!({ "new_name": "agent/main" })),
        ("PATCH", "/repos/octo/spoon", json!({ "default_branch": "agent/fix-1" })),
        ("PATCH", "/repos/octo/spoon", json!({ "private": false })),
        ("DELETE", "/repos/octo/spoon", Value::Null),
        ("POST", "/repos/octo/spoon/transfer", json!({ "new_owner": "rival" })),
        ("POST", "/repos/octo/spoon/code-scanning/alerts/1/autofix", json!({})),
        ("POST", "/repos/octo/spoon/code-scanning/alerts/1/autofix/commits", json!({ "target_ref": "refs/heads/main", "message": "x" })),
    ]);
    for body in [
        json!({ "title": "x", "head": "main", "base": "other" }),
        json!({ "title": "x", "head": "main", "base": "main" }),
        json!({ "title": "x", "head": "other", "base": "main" }),
        json!({ "title": "x", "head": "agent/fix-1", "base": "other" }),
        json!({ "title": "x", "head": "agent/fix-1" }),
        json!({ "title": "x", "head": "rival:agent/fix-1", "base": "main" }),
        json!({ "title": "x", "head": "octo:other", "base": "main" }),
        json!({ "title": "x", "head": "octo:agent/fix-1", "head_repo": "secret", "base": "main" }),
        json!({ "title": "x", "head": "agent/fix-1", "head_repo": "octo/secret", "base": "main" }),
    ] {
        tries.push(("POST", "/repos/octo/spoon/pulls", body));
    }
    tries
}

/// B. What writes refs under other names.
fn refs() -> Vec<Try> {
    let mut tries = Vec::new();
    for tail in [
        "heads/main",
        "heads%2Fmain",
        "heads%2fmain",
        "heads/agent%2F..%2Fmain",
        "heads/agent/../main",
        "heads/%2e%2e/heads/main",
        "heads//main",
        "heads/main/",
        "heads/main;x",
        "heads%5Cmain",
        "heads/main%00",
        "heads%252Fmain",
        "tags/v1",
        "pull/2/head",
        "heads/other",
    ] {
        let path: &'static str = format!("/repos/octo/spoon/git/refs/{tail}").leak();
        tries.push(("PATCH", path, json!({ "sha": "HEAD", "force": true })));
        tries.push(("DELETE", path, Value::Null));
    }
    for name in [
        "refs/heads/evil",
        "refs/heads/agent/../evil",
        "refs/heads/main",
        "refs/tags/v2",
        "refs/pull/9/head",
        "refs/notes/commits",
        "heads/agent/x",
        "agent/x",
        "refs/heads/agent/a b",
        "refs/heads/agent/$(id);\n",
        "refs/heads/agent/deep/er",
        "refs/heads/refs/heads/main",
        "HEAD",
    ] {
        tries.push(("POST", "/repos/octo/spoon/git/refs", json!({ "ref": name, "sha": "HEAD" })));
    }
    tries.extend([
        ("POST", "/repos/octo/spoon/releases", json!({ "tag_name": "v2", "target_commitish": "main" })),
        ("POST", "/repos/octo/spoon/releases", json!({ "tag_name": "refs/tags/v9", "target_commitish": "main" })),
        ("PATCH", "/repos/octo/spoon/releases/RELEASE", json!({ "tag_name": "v3" })),
        ("DELETE", "/repos/octo/spoon/releases/RELEASE", Value::Null),
        ("DELETE", "/repos/octo/spoon/releases/assets/ASSET", Value::Null),
        ("POST", "/repos/octo/spoon/deployments", json!({ "ref": "agent/fix-1" })),
        ("POST", "/repos/octo/spoon/pages", json!({ "source": { "branch": "agent/fix-1" } })),
        ("POST", "/repos/octo/spoon/pages/deployments", json!({})),
    ]);
    tries
}

/// C. What lifts a gate.
fn gates() -> Vec<Try> {
    vec![
        ("POST", "/repos/octo/spoon/pulls/3/reviews", json!({ "event": "APPROVE" })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews", json!({ "event": "approve" })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews", json!({ "event": ["APPROVE"] })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews/REVIEW/events", json!({ "event": "APPROVE" })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews/REVIEW/events", json!({ "event": "COMMENT" })),
        ("PUT", "/repos/octo/spoon/pulls/3/reviews/REVIEW", json!({ "body": "as if they had said it" })),
        ("PUT", "/repos/octo/spoon/pulls/3/reviews/REVIEW/dismissals", json!({ "message": "x", "event": "DISMISS" })),
        ("DELETE", "/repos/octo/spoon/pulls/3/reviews/REVIEW", Value::Null),
        ("POST", "/repos/octo/spoon/statuses/HEAD", json!({ "state": "success" })),
        ("POST", "/repos/octo/spoon/check-runs", json!({ "name": "ci", "head_sha": "HEAD", "conclusion": "success" })),
        ("PATCH", "/repos/octo/spoon/check-runs/1", json!({ "conclusion": "success" })),
        ("POST", "/repos/octo/spoon/check-suites", json!({ "head_sha": "HEAD" })),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/approve", json!({})),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/pending_deployments", json!({ "state": "approved" })),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/deployment_protection_rule", json!({ "state": "approved" })),
        ("PUT", "/repos/octo/spoon/branches/main/protection", json!({})),
        ("DELETE", "/repos/octo/spoon/branches/main/protection", Value::Null),
        ("DELETE", "/repos/octo/spoon/branches/main/protection/enforce_admins", Value::Null),
        ("POST", "/repos/octo/spoon/rulesets", json!({ "name": "x", "enforcement": "disabled" })),
        ("DELETE", "/repos/octo/spoon/rulesets/1", Value::Null),
        ("POST", "/repos/octo/spoon/secret-scanning/push-protection-bypasses", json!({ "reason": "false_positive" })),
        ("PATCH", "/repos/octo/spoon/dependabot/alerts/1", json!({ "state": "dismissed" })),
        ("PATCH", "/repos/octo/spoon/code-scanning/alerts/1", json!({ "state": "dismissed" })),
        ("PUT", "/repos/octo/spoon/issues/3/lock", json!({})),
        ("PUT", "/repos/octo/spoon/interaction-limits", json!({ "limit": "existing_users" })),
        ("DELETE", "/repos/octo/spoon/automated-security-fixes", Value::Null),
        ("POST", "/repos/octo/spoon/attestations", json!({ "bundle": {} })),
        ("POST", "/repos/octo/spoon/dependency-graph/snapshots", json!({ "version": 0 })),
    ]
}

/// D and E. What runs code with the repository's secrets, and what stays.
fn footholds() -> Vec<Try> {
    vec![
        ("POST", "/repos/octo/spoon/dispatches", json!({ "event_type": "x" })),
        ("POST", "/repos/octo/spoon/actions/workflows/build.yml/dispatches", json!({ "ref": "main" })),
        ("POST", "/repos/octo/spoon/actions/workflows/1/dispatches", json!({ "ref": "refs/heads/main" })),
        ("POST", "/repos/octo/spoon/actions/workflows/1/dispatches", json!({})),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/rerun", json!({})),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/rerun-failed-jobs", json!({ "enable_debug_logging": true })),
        ("POST", "/repos/octo/spoon/actions/jobs/JOB/rerun", json!({})),
        ("POST", "/repos/octo/spoon/actions/runs/RUN/cancel", json!({})),
        ("DELETE", "/repos/octo/spoon/actions/runs/RUN", Value::Null),
        ("DELETE", "/repos/octo/spoon/actions/caches?key=x", Value::Null),
        ("PUT", "/repos/octo/spoon/actions/workflows/1/disable", json!({})),
        ("PUT", "/repos/octo/spoon/actions/permissions", json!({ "enabled": true })),
        ("POST", "/repos/octo/spoon/actions/runners/registration-token", json!({})),
        ("POST", "/repos/octo/spoon/actions/runners/generate-jitconfig", json!({ "name": "x" })),
        ("PUT", "/repos/octo/spoon/actions/secrets/X", json!({ "encrypted_value": "x", "key_id": "1" })),
        ("POST", "/repos/octo/spoon/actions/variables", json!({ "name": "X", "value": "x" })),
        ("PUT", "/repos/octo/spoon/environments/production", json!({})),
        ("PUT", "/repos/octo/spoon/dependabot/secrets/X", json!({})),
        ("PUT", "/repos/octo/spoon/codespaces/secrets/X", json!({})),
        ("POST", "/repos/octo/spoon/codespaces", json!({})),
        ("POST", "/repos/octo/spoon/pulls/3/codespaces", json!({})),
        ("POST", "/repos/octo/spoon/keys", json!({ "key": "ssh-ed25519 AAAA", "read_only": false })),
        ("POST", "/repos/octo/spoon/hooks", json!({ "config": { "url": "https://evil.test" } })),
        ("POST", "/repos/octo/spoon/hooks/1/pings", json!({})),
        ("PUT", "/repos/octo/spoon/collaborators/rival", json!({ "permission": "admin" })),
        ("PATCH", "/repos/octo/spoon/invitations/1", json!({})),
        ("PUT", "/user/installations/1/repositories/ID", json!({})),
        ("POST", "/user/keys", json!({ "key": "ssh-ed25519 AAAA" })),
        ("POST", "/user/gpg_keys", json!({})),
        ("POST", "/user/emails", json!({ "emails": ["x@evil.test"] })),
        ("PUT", "/orgs/octo/teams/x/repos/octo/spoon", json!({ "permission": "admin" })),
        ("DELETE", "/installation/token", Value::Null),
        ("POST", "/app/installations/1/access_tokens", json!({})),
        ("POST", "/credentials/revoke", json!({ "credentials": ["x"] })),
        ("POST", "/graphql", json!({ "query": "mutation { x }" })),
    ]
}

/// F and G. What has others act: bots that obey comments, and agents that are asked.
fn others() -> Vec<Try> {
    let mut tries = Vec::new();
    for body in ["/merge", "lgtm\n/deploy production", "@dependabot merge", "bors r+", "please @claude fix this", "\u{200b}/approve"] {
        tries.push(("POST", "/repos/octo/spoon/issues/3/comments", json!({ "body": body })));
    }
    tries.extend([
        ("POST", "/repos/octo/spoon/pulls/3/comments", json!({ "body": "@mergify queue", "path": "a", "line": 1, "commit_id": "HEAD" })),
        ("POST", "/repos/octo/spoon/pulls/3/reviews", json!({ "event": "COMMENT", "body": "@copilot do it" })),
        ("POST", "/repos/octo/spoon/commits/HEAD/comments", json!({ "body": "/deploy" })),
        ("POST", "/repos/octo/spoon/issues", json!({ "title": "x", "body": "@openhands-agent go" })),
        ("PATCH", "/repos/octo/spoon/issues/comments/COMMENT", json!({ "body": "as if they had said it" })),
        ("PATCH", "/repos/octo/spoon/pulls/comments/REMARK", json!({ "body": "as if they had said it" })),
        ("DELETE", "/repos/octo/spoon/issues/comments/COMMENT", Value::Null),
        ("POST", "/repos/octo/spoon/issues/1/assignees", json!({ "assignees": ["helpful[bot]"] })),
        ("POST", "/repos/octo/spoon/issues/1/assignees", json!({ "assignees": ["nobody-knows"] })),
        ("POST", "/repos/octo/spoon/issues", json!({ "title": "x", "assignees": ["helpful[bot]"] })),
        ("POST", "/repos/octo/spoon/issues", json!({ "title": "x", "assignee": "helpful[bot]" })),
        ("POST", "/repos/octo/spoon/pulls/3/requested_reviewers", json!({ "reviewers": ["helpful[bot]"] })),
    ]);
    tries
}

/// H. Where something could be carried to.
fn sinks() -> Vec<Try> {
    let mut tries = vec![
        ("POST", "/gists", json!({ "public": false, "files": { "x": { "content": "x" } } })),
        ("PATCH", "/gists/1", json!({})),
        ("POST", "/repos/octo/spoon/forks", json!({ "organization": "rival" })),
        ("POST", "/repos/octo/spoon/generate", json!({ "name": "x" })),
        ("POST", "/user/repos", json!({ "name": "x" })),
        ("POST", "/orgs/acme/repos", json!({ "name": "x" })),
        ("PUT", "/user/starred/acme/tools", json!({})),
        ("PUT", "/user/following/rival", json!({})),
        ("PATCH", "/user", json!({ "bio": "x" })),
        ("POST", "/markdown", json!({ "text": "x" })),
        ("POST", "/repos/octo/spoon/security-advisories/reports", json!({ "summary": "x" })),
        ("PUT", "/notifications", json!({})),
        ("GET", "/notifications", Value::Null),
        ("GET", "/user/repos", Value::Null),
        ("GET", "/user/emails", Value::Null),
        ("GET", "/orgs/acme/repos", Value::Null),
        ("GET", "/users/octo/repos", Value::Null),
        ("GET", "/installation/repositories", Value::Null),
        ("GET", "/repositories", Value::Null),
        ("GET", "/events", Value::Null),
        ("GET", "/networks/octo/secret/events", Value::Null),
        ("GET", "/search/issues?q=is:open", Value::Null),
        ("GET", "/search/issues?q=repo:octo/secret", Value::Null),
        ("GET", "/search/issues?q=repo:octo/spoon+repo:octo/secret", Value::Null),
        ("GET", "/search/issues?q=repo:octo/spoon+OR+repo:octo/secret", Value::Null),
        ("GET", "/search/issues?q=repo:octo/spoon+org:octo", Value::Null),
        ("GET", "/search/issues?q=repo:octo/spoon&q=is:open", Value::Null),
        ("GET", "/search/code?q=x+user:octo", Value::Null),
        ("GET", "/repos/octo/spoon/compare/main...octo:secret:main", Value::Null),
        ("GET", "/repos/octo/spoon/secret-scanning/alerts", Value::Null),
        ("GET", "/repos/octo/spoon/actions/secrets/public-key", Value::Null),
    ];
    for repository in ["octo/secret", "acme/tools"] {
        let at = |rest: &str| -> &'static str { format!("/repos/{repository}{rest}").leak() };
        tries.extend([
            ("POST", at("/issues"), json!({ "title": "x" })),
            ("POST", at("/issues/1/comments"), json!({ "body": "x" })),
            ("POST", at("/pulls"), json!({ "title": "x", "head": "octo:agent/fix-1", "base": "main" })),
            ("PUT", at("/contents/a.txt"), json!({ "message": "x", "content": "eA==", "branch": "agent/fix-1" })),
            ("PATCH", at("/git/refs/heads/agent/fix-1"), json!({ "sha": "HEAD", "force": true })),
            ("GET", at(""), Value::Null),
            ("GET", at("/pulls/2"), Value::Null),
            ("GET", at("/contents/about.txt"), Value::Null),
            ("GET", at("/tarball/main"), Value::Null),
        ]);
    }
    tries
}

/// I. What one reader takes for this and the next for that.
fn differentials() -> Vec<Try> {
    let comment = || json!({ "body": "x" });
    vec![
        ("GET", "/repos/octo/spoon/../secret", Value::Null),
        ("GET", "/repos/octo/spoon/%2e%2e/secret", Value::Null),
        ("GET", "/repos/octo%2Fsecret/x", Value::Null),
        ("GET", "/repos/octo/spoon%2F..%2Fsecret", Value::Null),
        ("GET", "/repos/octo/spoon%2f%2e%2e%2fsecret/pulls", Value::Null),
        ("GET", "/repos//octo/spoon", Value::Null),
        ("GET", "/repos/octo/spoon;/../secret", Value::Null),
        ("GET", "/repos/octo/spoon%5c..%5csecret", Value::Null),
        ("GET", "/repos/octo/spoon%00/issues", Value::Null),
        ("GET", "/repos/octo/spoon%c0%af..%c0%afsecret", Value::Null),
        ("GET", "/repos/octo/spoon%252f..%252fsecret", Value::Null),
        ("GET", "/repos/octo/./secret", Value::Null),
        ("GET", "/repositories/SECRET", Value::Null),
        ("GET", "/repositories/SECRET/issues?page=2", Value::Null),
        ("GET", "/repositories/0SECRET", Value::Null),
        ("GET", "/repositories/+SECRET", Value::Null),
        ("POST", "/repositories/SECRET/issues/1/comments", comment()),
        ("PATCH", "/repositories/SECRET/git/refs/heads/agent/fix-1", json!({ "sha": "HEAD" })),
        ("POST", "/repos/octo/spoon.git.git/issues/1/comments", comment()),
        ("POST", "/repos/octo/spoon/issues/1/comments?body=y", comment()),
        ("POST", "/repos/octo/spoon/issues/+1/comments", comment()),
        ("POST", "/repos/octo/spoon/issues/1%2f..%2f2/comments", comment()),
        ("PURGE", "/repos/octo/spoon", Value::Null),
        ("patch", "/repos/octo/spoon/pulls/3", json!({ "title": "x" })),
        ("GET", "/api/v3/repos/octo/secret", Value::Null),
        ("GET", "/repos/octo/spoon/no-such-thing", Value::Null),
        ("GET", "/no-such-thing", Value::Null),
    ]
}

/// A path and a body as they are tried in one gate.
fn meant(gate: &Gate, text: &str) -> String {
    let model = gate.fake.model();
    let [spoon, secret] = [0, 1].map(|place| &model.repositories[place]);
    let (pull, run, release) = (spoon.issue(3).unwrap(), &spoon.runs[0], &spoon.releases[0]);
    let (lines, reviews) = (&pull.pull.as_ref().unwrap().comments, &pull.pull.as_ref().unwrap().reviews);
    let mut text = text.to_owned();
    for (word, value) in [
        ("SECRET", secret.id.to_string()),
        ("RELEASE", release.id.to_string()),
        ("ASSET", release.assets[0].id.to_string()),
        ("COMMENT", pull.comments[0].id.to_string()),
        ("REMARK", lines[0].id.to_string()),
        ("REVIEW", reviews[0].id.to_string()),
        ("RUN", run.id.to_string()),
        ("JOB", run.job.to_string()),
        ("ID", spoon.id.to_string()),
        ("\"HEAD\"", format!("\"{}\"", spoon.refs()["refs/heads/main"])),
        ("/HEAD", format!("/{}", spoon.refs()["refs/heads/main"])),
    ] {
        // The event of a review is no number of one.
        if word != "COMMENT" || !text.contains("\"event\"") {
            text = text.replace(word, &value);
        }
    }
    text
}

/// Fails unless each of these is refused, put on record with its reason, and has changed nothing.
#[track_caller]
fn assert_all_refused(gate: &Gate, tries: &[Try]) {
    let before = gate.fake.state();
    let mut wrong = Vec::new();
    for (method, path, body) in tries {
        let (path, body) = (meant(gate, path), Some(meant(gate, &body.to_string())).filter(|_| !body.is_null()).unwrap_or_default());
        let lines: &[&str] = if body.is_empty() { &[] } else { &["Content-Type: application/json"] };
        let recorded = gate.tidegate.records().len();
        let reply = gate.send(Sent { method, path: &path, lines, body: body.as_bytes() });
        let what = format!("{method} {path} {body}");
        if let Some(trouble) = trouble(gate, recorded, &reply) {
            wrong.push(format!("{what}: {trouble}"));
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    assert_eq!(gate.fake.state(), before, "nothing has moved");
    assert_eq!(gate.writes(), [], "no write went upstream");
}

/// What is not as it should be with a refusal.
fn trouble(gate: &Gate, recorded: usize, reply: &Reply) -> Option<String> {
    if reply.status < 400 || reply.status >= 500 || ["", "of-the-origin"].contains(&reply.reason()) {
        return Some(format!("{reply:?}"));
    }
    assert_refused(reply, "a refusal");
    let is_this = |record: &Value| record["verdict"] == "deny" && record["reason"] == reply.reason();
    let record = gate.tidegate.wait_for_record_after(recorded, is_this);
    (record["kind"] != "api").then(|| format!("{record:#}"))
}

fn all() -> Vec<Try> {
    [writers(), refs(), gates(), footholds(), others(), sinks(), differentials()].concat()
}

/// Threats 121, 123 to 125.
#[test]
fn threats_121_and_125_nothing_moves_for_a_session_with_the_usual_grants() {
    let gate = Gate::granting(Door::Git, USUAL);
    assert_all_refused(&gate, &all());
    gate.finish();
}

/// The same where every grant is given, so that it is the condition that refuses.
#[test]
fn threats_121_and_125_nothing_moves_for_a_session_with_every_grant() {
    let gate = Gate::granting(Door::Git, EVERYTHING);
    assert_all_refused(&gate, &all());
    gate.finish();
}

/// A few of each, through every other door.
#[test]
fn threat_124_each_door_refuses_the_same() {
    for door in [Door::Intercepted, Door::Server, Door::Localhost] {
        let gate = Gate::granting(door, USUAL);
        let tries: Vec<_> = [writers(), refs(), gates(), footholds(), others(), sinks(), differentials()]
            .iter()
            .flat_map(|group| group.iter().step_by(5).cloned())
            .collect();
        assert_all_refused(&gate, &tries);
        gate.finish();
    }
}

/// Bodies that two readers take differently.
#[test]
fn threat_123_bodies_that_are_read_in_two_ways_are_refused() {
    use std::io::Write as _;
    let gate = Gate::granting(Door::Git, EVERYTHING);
    let before = gate.fake.state();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(br#"{"event":"APPROVE"}"#).unwrap();
    let packed = packed.finish().unwrap();
    let wide: Vec<u8> = r#"{"event":"APPROVE"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = ["[".repeat(2000), "]".repeat(2000)].concat();
    let long = format!(r#"{{"body":"{}"}}"#, "x".repeat(2 << 20));
    let json: &[&str] = &["Content-Type: application/json"];
    let review = "/repos/octo/spoon/pulls/3/reviews";
    for (path, lines, body) in [
        (review, json, &br#"{"event":"APPROVE","event":"COMMENT"}"#[..]),
        (review, json, br#"{"event":"COMMENT","event":"APPROVE"}"#),
        (review, json, br#"{"event":"COMMENT","ev\u0065nt":"APPROVE"}"#),
        (review, json, br#"{"event":"COMMENT","body":"x","comments":[{"body":"a","body":"b"}]}"#),
        (review, json, b"\xef\xbb\xbf{\"event\":\"COMMENT\"}"),
        (review, json, b"{\"event\":\"COMMENT\",\"body\":\"\xff\"}"),
        (review, json, br#"{"event":"COMMENT","body":"\ud800"}"#),
        (review, json, br#"{"event":"COMMENT"} {"event":"APPROVE"}"#),
        (review, json, br#"["APPROVE"]"#),
        (review, json, br#"{"event":"COMMENT",}"#),
        (review, json, deep.as_bytes()),
        (review, json, long.as_bytes()),
        (review, &["Content-Type: application/json", "Content-Encoding: gzip"], &packed),
        (review, &["Content-Type: application/json; charset=utf-16"], &wide),
        (review, &["Content-Type: application/x-www-form-urlencoded"], b"event=APPROVE"),
        (review, &["Content-Type: multipart/form-data; boundary=x"], b"--x\r\n\r\nevent=APPROVE\r\n--x--"),
        (review, &["Content-Type: application/json", "Content-Length: 3", "Content-Length: 19"], br#"{"event":"APPROVE"}"#),
        (
            review,
            &["Content-Type: application/json", "Content-Length: 2", "Transfer-Encoding: chunked"],
            b"13\r\n{\"event\":\"APPROVE\"}\r\n0\r\n\r\n",
        ),
    ] {
        let reply = gate.send(Sent { method: "POST", path, lines, body });
        let reason = reply.reason().to_owned();
        assert!((400..500).contains(&reply.status) && !reason.is_empty(), "{}: {reply:?}", body[..body.len().min(80)].escape_ascii());
    }
    assert_eq!(gate.fake.state(), before, "nothing has moved");
    assert_eq!(gate.writes(), []);
    gate.finish();
}

/// A method in a header is nobody's business: the method of the request is judged, and is what leaves.
#[test]
fn threat_123_a_method_is_what_the_request_says() {
    let gate = Gate::granting(Door::Git, EVERYTHING);
    let json = "Content-Type: application/json";
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let before = gate.fake.state();
        let line = format!("{name}: DELETE");
        let reply = gate.send(Sent { method: "GET", path: "/repos/octo/spoon/git/refs/heads/main", lines: &[&line], body: b"" });
        assert!([200, 400, 403, 404].contains(&reply.status), "{reply:?}");
        assert_eq!(gate.fake.state(), before, "{name}");
        let body = br#"{"body":"words","_method":"DELETE"}"#;
        gate.send(Sent { method: "POST", path: "/repos/octo/spoon/issues/1/comments?_method=DELETE", lines: &[json, &line], body });
        assert_eq!(gate.fake.model().repositories[0].issue(1).unwrap().comments.len(), 1, "{name}");
    }
    gate.finish();
}

/// J and K. A token that is not the session's is no way in, and what GitHub says of the credential stays outside.
#[test]
fn threat_92_nothing_of_the_credential_is_told() {
    let gate = Gate::granting(Door::Git, USUAL);
    for lines in [
        &["Authorization: token ghp_0123456789abcdefghijklmnopqrstuvwxyz"][..],
        &["Authorization: Bearer x", "Authorization: Bearer y"],
        &["Authorization: Digest x"],
        &["Authorization:"],
    ] {
        let reply = gate.send(Sent { method: "GET", path: "/repos/octo/spoon", lines, body: b"" });
        assert!([400, 401, 403].contains(&reply.status) && !reply.reason().is_empty(), "{lines:?}: {reply:?}");
    }
    assert!(gate.writes().is_empty() && gate.fake.seen(crate::harness::Place::Api).is_empty(), "nobody asked");
    let lines = ["Cookie: user_session=x", "X-GitHub-Otp: 1", "X-Forwarded-For: 1.2.3.4", "X-GitHub-Next-Global-ID: 1", "Sudo: rival"];
    let reply = gate.send(Sent { method: "GET", path: "/repos/octo/spoon?access_token=abc", lines: &lines, body: b"" });
    if reply.status == 200 {
        assert!(gate.fake.seen(crate::harness::Place::Api).iter().all(|seen| !seen.target.contains("access_token")));
    }
    let reply = gate.call("GET", "/repos/octo/spoon/issues?per_page=1", None);
    assert_eq!(reply.status, 200, "{reply:?}");
    let names: BTreeSet<_> = reply.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in [
        "set-cookie",
        "x-oauth-scopes",
        "x-accepted-oauth-scopes",
        "x-oauth-client-id",
        "github-authentication-token-expiration",
        "x-deny-reason",
    ] {
        assert!(!names.contains(name), "{name}: {reply:?}");
    }
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "etag", "link"] {
        assert!(names.contains(name), "{name}: {reply:?}");
    }
    gate.finish();
}

/// L. A name that was given up leads to no other repository, and no write is sent again to where it leads.
#[test]
fn threat_123_no_write_follows_a_redirect() {
    let gate = Gate::granting(Door::Git, USUAL);
    let comment = || gate.call("POST", "/repos/octo/spoon/issues/1/comments", Some(&json!({ "body": "words" })));
    assert_eq!(comment().status, 201);
    {
        let mut model = gate.fake.model();
        model.repositories[0].name = "ladle".into();
        model.repositories[0].formerly = vec!["octo/spoon".into()];
    }
    assert_refused(&comment(), "what moved while the session runs");
    assert_eq!(gate.fake.model().repositories[0].issue(1).unwrap().comments.len(), 2);
    {
        let mut model = gate.fake.model();
        model.repositories[0].formerly.clear();
        model.repositories[1].formerly = vec!["octo/spoon".into(), "octo/ladle".into()];
    }
    let before = gate.fake.state();
    for (method, path) in [("POST", "/repos/octo/spoon/issues/1/comments"), ("GET", "/repos/octo/spoon/issues/1")] {
        let reply = gate.call(method, path, (method == "POST").then(|| json!({ "body": "words" })).as_ref());
        assert!(reply.status >= 300 && !reply.text().contains("marker-of-octo-secret"), "{method} {path}: {reply:?}");
    }
    assert_eq!(gate.fake.state(), before, "nothing got to the other repository");
    gate.finish();
}

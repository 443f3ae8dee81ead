use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    destination::{Host, Name},
    github::{
        RepositoryName,
        api::{Answer, Call, Head, Question},
        push::RefName,
    },
    policy::{
        ForgeHosts, Whereabouts,
        grant::{Grant, Purpose, Purposes},
    },
    reason::Reason,
};

fn host(text: &str) -> Name {
    Host::parse(text.as_bytes()).unwrap().name().unwrap().clone()
}

fn repository(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

const ALL: &[&str] = &[
    "pull_requests",
    "issues",
    "comments",
    "comments.delete",
    "merge",
    "refs",
    "contents",
    "releases",
    "actions.rerun",
    "actions.dispatch",
    "assignees",
    "reviewers",
    "search",
    "organization.read",
];

/// One that may do all to `octo/spoon` that its refs let it do, and read `octo/fork`; one more is kept by the operator, one is elsewhere.
fn grant(words: &[&str]) -> Grant {
    let written = json!([
        {"name": "octo/spoon", "access": "write", "push": ["refs/heads/agent/*", "refs/heads/fix", {"ref": "refs/heads/slow", "force": false}],
         "delete": true, "tags": ["v*"], "bases": ["main", "release/*"], "grants": words},
        {"name": "octo/fork", "grants": ["comments", "contents", "refs", "pull_requests"]},
        {"name": "octo/kept", "access": "write", "upstream_path": "/srv/kept.git"},
        {"name": "ghe.test/octo/other", "access": "write", "push": ["refs/heads/agent/*"], "grants": words},
    ]);
    serde_json::from_value(written).unwrap()
}

fn hosts() -> ForgeHosts {
    ForgeHosts::new([host("github.com"), host("ghe.test")])
}

/// What GitHub would say, whoever is asked.
fn answer(question: &Question) -> Answer {
    let head = |from: &str, branch: &str| Head { repository: Some(repository(from)), branch: Some(name(branch)) };
    let pull = |from: &str, branch: &str, base: &str| Answer::PullRequest { head: head(from, branch), base: name(base) };
    match question {
        Question::Repository(1) => Answer::Repository(repository("octo/spoon")),
        Question::Repository(2) => Answer::Repository(repository("octo/secret")),
        Question::DefaultBranch(_) => Answer::DefaultBranch(Some(name("refs/heads/agent/trunk"))),
        Question::PullRequest { number: 7, .. } => pull("octo/spoon", "refs/heads/agent/fix", "refs/heads/main"),
        Question::PullRequest { number: 8, .. } => pull("octo/spoon", "refs/heads/main", "refs/heads/release/1"),
        Question::PullRequest { number: 9, .. } => pull("evil/spoon", "refs/heads/agent/fix", "refs/heads/main"),
        Question::PullRequest { number: 10, .. } => pull("octo/spoon", "refs/heads/agent/fix", "refs/heads/stable"),
        Question::PullRequest { number: 13 | 14, .. } => pull("octo/fork", "refs/heads/agent/fix", "refs/heads/main"),
        Question::PullRequest { number: 11, .. } => Answer::PullRequest {
            head: Head { repository: None, branch: Some(name("refs/heads/agent/fix")) },
            base: name("refs/heads/main"),
        },
        Question::Run { id: 1, .. } => Answer::Run(head("octo/spoon", "refs/heads/agent/fix")),
        Question::Run { id: 2, .. } => Answer::Run(head("octo/spoon", "refs/heads/main")),
        Question::Job { id, .. } => Answer::Job(*id),
        Question::Release { id: 1, .. } => Answer::Release("v1".into()),
        Question::Release { id: 2, .. } => Answer::Release("nightly".into()),
        Question::Account(login) => Answer::Account { is_person: &**login == "ann" },
        Question::Repository(_) | Question::PullRequest { .. } | Question::Run { .. } | Question::Release { .. } => Answer::Missing,
    }
}

fn made() -> Made {
    let mut made = Made::default();
    for (kind, number) in [
        (MadeKind::Issue, 20),
        (MadeKind::IssueComment, 21),
        (MadeKind::ReviewComment, 22),
        (MadeKind::CommitComment, 23),
        (MadeKind::Review, 24),
    ] {
        made.remember(kind, repository("octo/spoon"), number);
    }
    made
}

/// Judges as a door does, and gives what leaves.
fn run(grant: &Grant, hosts: &ForgeHosts, at: &str, call: &Call) -> Result<Step, Box<crate::policy::Denial>> {
    let (made, forge, mut known) = (made(), host(at), Known::default());
    let session = ApiSession { grant, hosts, forge: &forge, login: Some("octo-agent"), made: &made };
    for _ in 0..=MAX_QUESTIONS {
        match decide_api(&session, call, &known)? {
            Step::Learn(question) => {
                let answer = answer(&question);
                known.learn(question, answer);
            }
            step @ (Step::Go(_) | Step::Answer(_)) => return Ok(step),
        }
    }
    panic!("more than {MAX_QUESTIONS} questions: {call:?}")
}

fn call(method: &str, target: &str, body: &Value) -> Call {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Call::read(method, target, &body, false).unwrap()
}

fn decide(method: &str, target: &str, body: &Value) -> Result<String, Reason> {
    match run(&grant(ALL), &hosts(), "github.com", &call(method, target, body)) {
        Ok(Step::Go(permit)) => {
            assert_eq!(permit.body(), (!body.is_null()).then(|| body.to_string().into_bytes()), "what was judged is what leaves");
            Ok(permit.target(None))
        }
        Ok(step) => Ok(format!("{step:?}")),
        Err(denial) => {
            assert!(denial.detail.ends_with('.') && denial.detail.len() < 600, "{denial}");
            Err(denial.reason)
        }
    }
}

/// A case: method, path below `/repos/octo/spoon/`, body, and whether it may be.
type Case = (&'static str, &'static str, Value, Result<(), Reason>);

fn check(cases: &[Case]) {
    for (method, below, body, expected) in cases {
        let target = format!("/repos/octo/spoon/{below}");
        assert_eq!(decide(method, &target, body).map(drop), *expected, "{method} {target} {body}");
    }
}

const API: Result<(), Reason> = Err(Reason::ApiNotAllowed);
const REF: Result<(), Reason> = Err(Reason::RefNotGranted);
const NOT_GRANTED: Result<(), Reason> = Err(Reason::RepositoryNotGranted);
const BAD: Result<(), Reason> = Err(Reason::BadRequest);

#[test]
fn a_repository_is_reached_by_its_grant() {
    for (method, target, expected) in [
        ("GET", "/repos/octo/spoon", Ok("/repos/octo/spoon")),
        ("HEAD", "/repos/Octo/Spoon.git/pulls?state=open", Ok("/repos/Octo/Spoon.git/pulls?state=open")),
        ("GET", "/repos/octo/fork/contents/src/lib.rs?ref=x", Ok("/repos/octo/fork/contents/src/lib.rs?ref=x")),
        ("GET", "/repositories/1/pulls?page=2", Ok("/repos/octo/spoon/pulls?page=2")),
        ("GET", "/repositories/2/pulls", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repositories/3", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repositories/01", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repos/octo/secret", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repos/octo/other", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repos/octo/spoon.wiki", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repos/octo/spoon.git.git", Err(Reason::RepositoryNotGranted)),
        ("GET", "/repos/octo/kept", Err(Reason::ApiNotAllowed)),
        ("GET", "/repos/octo%2Fspoon/pulls", Err(Reason::ApiNotAllowed)),
        ("DELETE", "/repos/octo/spoon", Err(Reason::ApiNotAllowed)),
        ("GET", "/repos/octo/spoon/pulls/07", Err(Reason::ApiNotAllowed)),
        ("GET", "/Repos/octo/spoon", Err(Reason::ApiNotAllowed)),
        ("GET", "/no/such", Err(Reason::ApiNotAllowed)),
        ("POST", "/repos/octo/fork/merges", Err(Reason::ReadOnly)),
        ("GET", "/users/ann", Ok("/users/ann")),
        ("GET", "/user", Ok("Answer(User)")),
        ("GET", "/", Ok("Answer(Root)")),
    ] {
        assert_eq!(decide(method, target, &Value::Null), expected.map(str::to_owned), "{method} {target}");
    }
}

#[test]
fn a_repository_is_its_hosts() {
    let at = |at: &str, target: &str| match run(&grant(ALL), &hosts(), at, &call("GET", target, &Value::Null)) {
        Ok(Step::Go(permit)) => Ok(permit.repository().map(ToString::to_string)),
        Ok(step) => panic!("{step:?}"),
        Err(denial) => Err(denial.reason),
    };
    assert_eq!(at("ghe.test", "/repos/octo/other"), Ok(Some("ghe.test/octo/other".into())));
    assert_eq!(at("ghe.test", "/repos/octo/spoon"), Err(Reason::RepositoryNotGranted));
    assert_eq!(at("ghe.test", "/repositories/1"), Err(Reason::RepositoryNotGranted));
    let nothing = Grant::default();
    let denied = run(&nothing, &hosts(), "github.com", &call("GET", "/users/ann", &Value::Null)).unwrap_err();
    assert_eq!(denied.reason, Reason::RepositoryNotGranted);
}

#[test]
fn what_anybody_may_read_goes_without_a_credential() {
    let public = hosts().public_at([host("github.com")]);
    let go = |method: &str, target: &str| match run(&grant(&[]), &public, "github.com", &call(method, target, &Value::Null)) {
        Ok(Step::Go(permit)) => Ok((permit.is_public(), permit.credential().map(ToString::to_string))),
        Ok(step) => panic!("{step:?}"),
        Err(denial) => Err(denial.reason),
    };
    assert_eq!(go("GET", "/repos/evil/spoon/issues"), Ok((true, None)));
    assert_eq!(go("GET", "/repos/octo/spoon/issues"), Ok((false, Some("octo/spoon".into()))));
    assert_eq!(go("GET", "/users/ann"), Ok((false, Some("octo/spoon".into()))));
    for (method, target) in [("POST", "/repos/evil/spoon/issues"), ("GET", "/repos/evil/spoon/hooks"), ("GET", "/repositories/2")] {
        assert_eq!(go(method, target), Err(Reason::RepositoryNotGranted), "{method} {target}");
    }
}

#[test]
fn a_permit_says_all_that_its_door_needs() {
    let body = json!({"ref": "refs/heads/agent/new", "sha": "0"});
    let Ok(Step::Go(permit)) = run(&grant(ALL), &hosts(), "github.com", &call("POST", "/repos/Octo/spoon/git/refs", &body)) else {
        panic!()
    };
    assert_eq!((permit.method(), permit.template(), permit.is_write()), (Method::Post, "/repos/{owner}/{repo}/git/refs", true));
    assert_eq!((permit.budget(), permit.makes(), permit.access()), (Budget::Write, None, crate::policy::grant::Access::Write));
    let changes: Vec<_> = permit.changes().iter().map(|change| (change.name.as_str(), change.kind.as_str())).collect();
    assert_eq!(changes, [("refs/heads/agent/new", "create")]);
    assert_eq!(permit.target(Some(&Whereabouts::as_named(&repository("octo/ladle")))), "/repos/octo/ladle/git/refs");
    assert!(permit.rule().to_string().starts_with("POST /repos/{owner}/{repo}/git/refs (github/rest.txt:"), "{}", permit.rule());

    let comment = call("POST", "/repos/octo/fork/issues/3/comments", &json!({"body": "done"}));
    let Ok(Step::Go(permit)) = run(&grant(ALL), &hosts(), "github.com", &comment) else { panic!() };
    assert_eq!((permit.budget(), permit.makes()), (Budget::Comment, Some(MadeKind::IssueComment)));
}

#[test]
fn pull_requests_are_made_from_pushable_branches() {
    let new = |head: &str, base: &str| json!({"title": "t", "head": head, "base": base});
    check(&[
        ("POST", "pulls", json!({"title": "t", "head": "agent/fix", "base": "main", "body": "b", "draft": true}), Ok(())),
        ("POST", "pulls", new("octo:agent/fix", "release/2"), Ok(())),
        ("POST", "pulls", json!({"issue": 3, "head": "Octo:fix", "base": "main", "head_repo": "Spoon"}), Ok(())),
        ("POST", "pulls", new("main", "release/2"), REF),
        ("POST", "pulls", new("agent/trunk", "main"), REF),
        ("POST", "pulls", new("refs/heads/agent/fix", "main"), API),
        ("POST", "pulls", new("octo:spoon:agent/fix", "main"), API),
        ("POST", "pulls", new("agent/fix", "stable"), REF),
        ("POST", "pulls", new("agent/fix", "refs/heads/main"), API),
        ("POST", "pulls", new("agent/fix", "release/1/x"), REF),
        ("POST", "pulls", new("evil:agent/fix", "main"), NOT_GRANTED),
        ("POST", "pulls", json!({"title": "t", "head": "agent/fix", "base": "main", "head_repo": "fork"}), Err(Reason::ReadOnly)),
        ("POST", "pulls", json!({"title": "t", "head": "agent/fix", "base": "main", "head_repo": "evil/spoon"}), API),
        ("POST", "pulls", json!({"title": "t", "head": "agent/fix"}), API),
        ("POST", "pulls", json!({"title": "t", "base": "main"}), API),
        ("POST", "pulls", json!({"title": "t", "base": "main", "head": ["agent/fix"]}), API),
        ("POST", "pulls", json!({"title": "t", "base": "main", "head": null}), API),
        ("POST", "pulls", json!({"title": "t", "base": "main", "head": "agent/fix", "head_repo_id": 5}), API),
        ("POST", "pulls", json!({"title": "/merge", "base": "main", "head": "agent/fix"}), API),
        ("POST", "pulls", Value::Null, API),
        ("POST", "pulls?head=evil:x&base=main", new("agent/fix", "main"), BAD),
        ("PATCH", "pulls/7", json!({"title": "t", "state": "closed", "base": "release/2"}), Ok(())),
        ("PATCH", "pulls/7", json!({"base": "stable"}), REF),
        ("PATCH", "pulls/8", json!({"title": "t"}), REF),
        ("PATCH", "pulls/9", json!({"title": "t"}), NOT_GRANTED),
        ("PATCH", "pulls/11", json!({"title": "t"}), API),
        ("PATCH", "pulls/12", json!({"title": "t"}), API),
        ("PUT", "pulls/7/update-branch", Value::Null, Ok(())),
        ("PUT", "pulls/8/update-branch", Value::Null, REF),
        ("PUT", "pulls/7/merge", json!({"merge_method": "squash", "sha": "0"}), Ok(())),
        ("PUT", "pulls/8/merge", Value::Null, REF),
        ("PUT", "pulls/9/merge", Value::Null, NOT_GRANTED),
        ("PUT", "pulls/10/merge", Value::Null, REF),
        ("PUT", "pulls/7/merge", json!({"commit_message": "bors r+"}), API),
    ]);
}

#[test]
fn a_refusal_names_what_would_pass() {
    let denied = |words: &[&str], method: &str, below: &str, body: Value| {
        let denial = run(&grant(words), &hosts(), "github.com", &call(method, &format!("/repos/octo/spoon/{below}"), &body)).unwrap_err();
        (denial.detail, denial.allow_with.unwrap_or_default())
    };
    let new = json!({"title": "t", "head": "agent/fix", "base": "stable"});
    assert_eq!(
        denied(ALL, "POST", "pulls", new.clone()),
        (
            "POST /repos/{owner}/{repo}/pulls is refused: of octo/spoon the branch \"stable\" is no base for this session's pull requests, \
             which are main, release/*."
                .to_owned(),
            "bases = [\"stable\"]".to_owned()
        )
    );
    let (detail, allow_with) = denied(&[], "POST", "pulls", new);
    assert_eq!(allow_with, "grants = [\"pull_requests\"]", "{detail}");
    let (detail, allow_with) = denied(ALL, "POST", "git/refs", json!({"ref": "refs/heads/other", "sha": "0"}));
    assert_eq!(allow_with, "push = [\"refs/heads/other\"]", "{detail}");
    assert!(detail.contains("refs/heads/other") && detail.starts_with("POST /repos/{owner}/{repo}/git/refs is refused: "), "{detail}");
}

#[test]
fn threat_121_refs_move_as_a_push_may_move_them() {
    check(&[
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/new", "sha": "0"}), Ok(())),
        ("POST", "git/refs", json!({"ref": "refs/tags/v1", "sha": "0"}), Ok(())),
        ("POST", "git/refs", json!({"ref": "refs/heads/main", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/trunk", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/tags/nightly", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/pull/7/head", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "heads/agent/new", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/../main", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/new\n", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/heads/Agent/new", "sha": "0"}), REF),
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/new", "sha": "0", "key": "refs/heads/main"}), API),
        ("POST", "git/refs", json!({"sha": "0"}), API),
        ("PATCH", "git/refs/heads/agent/fix", json!({"sha": "0"}), Ok(())),
        ("PATCH", "git/refs/heads%2Fagent%2Ffix", json!({"sha": "0", "force": true}), Ok(())),
        ("PATCH", "git/refs/heads/slow", json!({"sha": "0", "force": false}), Ok(())),
        ("PATCH", "git/refs/heads/slow", json!({"sha": "0", "force": true}), REF),
        ("PATCH", "git/refs/heads/slow", json!({"sha": "0", "force": "false"}), API),
        ("PATCH", "git/refs/heads/main", json!({"sha": "0"}), REF),
        ("PATCH", "git/refs/heads%2Fmain", json!({"sha": "0"}), REF),
        ("PATCH", "git/refs/heads/agent/fix", json!({"sha": "0", "ref": "refs/heads/main"}), API),
        ("PATCH", "git/refs/tags/v1", json!({"sha": "0", "force": true}), REF),
        ("PATCH", "git/refs/refs/heads/fix", json!({"sha": "0"}), REF),
        ("DELETE", "git/refs/heads/agent/fix", Value::Null, Ok(())),
        ("DELETE", "git/refs/heads/main", Value::Null, REF),
        ("DELETE", "git/refs/tags/v1", Value::Null, REF),
        ("PUT", "contents/src/lib.rs", json!({"message": "m", "content": "", "branch": "agent/fix"}), Ok(())),
        ("PUT", "contents/src%2Flib.rs", json!({"message": "m", "content": "", "branch": "main"}), REF),
        ("PUT", "contents/x", json!({"message": "m", "content": ""}), API),
        ("PUT", "contents/x", json!({"message": "m", "content": "", "branch": null}), API),
        ("PUT", "contents/x?branch=main", json!({"message": "m", "content": "", "branch": "agent/fix"}), BAD),
        ("PUT", "contents/x", json!({"message": "m", "content": "", "branch": "refs/heads/agent/fix"}), API),
        ("PUT", "contents/x", json!({"message": "m", "content": "", "branch": "heads/agent/fix"}), API),
        ("POST", "merges", json!({"base": "heads/main", "head": "agent/fix"}), API),
        ("POST", "merges", json!({"base": "HEAD", "head": "agent/fix"}), API),
        ("POST", "merges", json!({"base": "@", "head": "agent/fix"}), API),
        ("POST", "git/blobs", json!({"content": "", "owner": "evil"}), API),
        ("POST", "git/blobs", json!({"content": "", "owner": "octo", "repo": "spoon"}), Ok(())),
        ("DELETE", "contents/x", json!({"message": "m", "sha": "0", "branch": "agent/trunk"}), REF),
        ("DELETE", "contents/x", json!({"message": "m", "sha": "0", "branch": "agent/fix"}), Ok(())),
        ("POST", "merges", json!({"base": "agent/fix", "head": "main"}), Ok(())),
        ("POST", "merges", json!({"base": "main", "head": "agent/fix"}), REF),
        ("POST", "merge-upstream", json!({"branch": "agent/fix"}), Ok(())),
        ("POST", "merge-upstream", json!({"branch": "main"}), REF),
        ("POST", "branches/agent%2Ffix/rename", json!({"new_name": "agent/y"}), API),
        ("POST", "statuses/0", json!({"state": "success"}), API),
        ("POST", "dispatches", json!({"event_type": "x"}), API),
        ("POST", "keys", json!({"key": "k"}), API),
        ("POST", "hooks", json!({"config": {}}), API),
        ("POST", "forks", Value::Null, API),
        ("PUT", "branches/agent/fix/protection", json!({}), API),
        ("PUT", "actions/runs/1/approve", Value::Null, API),
    ]);
    let fork = |method: &str, below: &str, body| decide(method, &format!("/repos/octo/fork/{below}"), &body).map(drop);
    assert_eq!(fork("PUT", "contents/x", json!({"message": "m", "content": "", "branch": "agent/fix"})), Err(Reason::ReadOnly));
    assert_eq!(fork("POST", "git/refs", json!({"ref": "refs/heads/agent/fix", "sha": "0"})), Err(Reason::ReadOnly));
    assert_eq!(fork("POST", "git/blobs", json!({"content": ""})), Err(Reason::ReadOnly));
}

#[test]
fn releases_runs_and_dispatches_stay_with_the_sessions_refs() {
    check(&[
        ("POST", "releases", json!({"tag_name": "v2", "target_commitish": "main", "draft": true}), Ok(())),
        ("POST", "releases", json!({"tag_name": "nightly"}), REF),
        ("POST", "releases", json!({"name": "v2"}), API),
        ("POST", "releases", json!({"tag_name": "refs/tags/v2"}), API),
        ("POST", "releases", json!({"tag_name": "tags/v2"}), API),
        ("POST", "releases", json!({"tag_name": "v2", "body": "/deploy"}), API),
        ("POST", "releases", json!({"tag_name": "v2", "discussion_category_name": "x"}), API),
        ("PATCH", "releases/1", json!({"draft": false}), Ok(())),
        ("PATCH", "releases/1", json!({"tag_name": "nightly"}), REF),
        ("PATCH", "releases/2", json!({"tag_name": "v3"}), REF),
        ("PATCH", "releases/3", json!({}), API),
        ("POST", "actions/workflows/ci.yml/dispatches", json!({"ref": "agent/fix", "inputs": {"a": "b"}}), Ok(())),
        ("POST", "actions/workflows/7/dispatches", json!({"ref": "refs/heads/agent/fix"}), Ok(())),
        ("POST", "actions/workflows/ci.yml/dispatches", json!({"ref": "main"}), REF),
        ("POST", "actions/workflows/ci.yml/dispatches", json!({"ref": "refs/tags/v1"}), API),
        ("POST", "actions/workflows/ci.yml/dispatches", json!({"inputs": {}}), API),
        ("POST", "actions/runs/1/rerun", Value::Null, Ok(())),
        ("POST", "actions/runs/1/rerun", json!({"enable_debug_logging": true}), API),
        ("POST", "actions/runs/2/rerun", Value::Null, REF),
        ("POST", "actions/runs/3/cancel", Value::Null, API),
        ("POST", "actions/jobs/1/rerun", Value::Null, Ok(())),
        ("POST", "actions/jobs/2/rerun", Value::Null, REF),
        ("GET", "compare/main...agent%2Ffix", Value::Null, Ok(())),
        ("GET", "compare/octo:main...octo:fork:x", Value::Null, Ok(())),
        ("GET", "compare/main...evil:x", Value::Null, NOT_GRANTED),
        ("GET", "compare/octo:secret:x...main", Value::Null, NOT_GRANTED),
    ]);
}

/// What a push is looked through for is not written by a way around it.
#[test]
fn where_pushes_are_looked_through_calls_write_nothing() {
    let written = json!([{
        "name": "octo/spoon", "access": "write", "push": ["refs/heads/agent/*"], "delete": true, "grants": ALL,
        "tags": ["v2"], "bases": ["main"], "content": {"deny_paths": [".github/**"]}
    }, {"name": "octo/fork", "access": "write", "push": ["refs/heads/agent/*"]}]);
    let grant: Grant = serde_json::from_value(written).unwrap();
    let write = json!({"message": "m", "content": "", "branch": "agent/fix"});
    for (method, below, body, is_allowed) in [
        ("PUT", "contents/x", write.clone(), false),
        ("DELETE", "contents/.github/x", write, false),
        ("POST", "git/blobs", json!({"content": ""}), false),
        ("POST", "git/trees", json!({"tree": []}), false),
        ("POST", "git/refs", json!({"ref": "refs/heads/agent/new", "sha": "0"}), false),
        ("PATCH", "git/refs/heads/agent/fix", json!({"sha": "0"}), false),
        ("DELETE", "git/refs/heads/agent/fix", Value::Null, true),
        ("POST", "merges", json!({"base": "agent/fix", "head": "main"}), true),
        ("POST", "merges", json!({"base": "agent/fix", "head": "0123abcd"}), false),
        ("POST", "merges", json!({"base": "agent/fix", "head": "pull/9/head"}), false),
        ("POST", "merges", json!({"base": "agent/fix", "head": "refs/pull/9/head"}), false),
        ("POST", "merges", json!({"base": "agent/fix", "head": "main~1"}), false),
        ("POST", "merge-upstream", json!({"branch": "agent/fix"}), false),
        ("PUT", "pulls/7/merge", json!({}), true),
        ("PUT", "pulls/13/merge", json!({}), false),
        ("POST", "releases", json!({"tag_name": "v2", "target_commitish": "main"}), true),
        ("POST", "releases", json!({"tag_name": "v2", "target_commitish": "0123abcd"}), false),
        ("POST", "releases", json!({"tag_name": "v2", "target_commitish": "refs/pull/9/head"}), false),
    ] {
        let judged = run(&grant, &hosts(), "github.com", &call(method, &format!("/repos/octo/spoon/{below}"), &body));
        let judged = judged.map(|_| true).map_err(|denial| denial.reason);
        assert_eq!(judged, if is_allowed { Ok(true) } else { Err(Reason::ApiNotAllowed) }, "{method} {below} {body}");
    }
}

/// Nor does a pull request bring it from another repository, where nobody looks; and what may only be read is merged into by nobody.
#[test]
fn what_another_repository_holds_comes_by_a_push() {
    let pull = |content: &str, access: &str, path: &str| {
        let mut written = json!([
            {"name": "octo/spoon", "access": access, "bases": ["main"], "grants": ALL},
            {"name": "octo/fork", "access": "write", "push": ["refs/heads/agent/*"]},
        ]);
        if access == "write" {
            written[0]["push"] = json!(["refs/heads/agent/*"]);
        }
        if let Some(entry) = written.as_array_mut().unwrap().iter_mut().find(|entry| entry["name"] == content) {
            entry["content"] = json!({"deny_paths": [".github/**"]});
        }
        let grant: Grant = serde_json::from_value(written).unwrap();
        let call = call("PUT", &format!("/repos/octo/spoon/pulls/{path}"), &json!({}));
        run(&grant, &hosts(), "github.com", &call).map(drop).map_err(|denial| denial.reason)
    };
    // 14 comes from the fork, 7 from the repository itself.
    for (content, path, expected) in [
        ("", "14/merge", Ok(())),
        ("octo/spoon", "14/merge", API),
        ("octo/fork", "14/merge", Ok(())),
        ("octo/spoon", "7/merge", Ok(())),
        ("", "14/update-branch", Ok(())),
        ("octo/fork", "14/update-branch", API),
        ("octo/spoon", "14/update-branch", Ok(())),
        ("octo/spoon", "7/update-branch", Ok(())),
    ] {
        assert_eq!(pull(content, "write", path), expected, "{content} {path}");
    }
    assert_eq!(pull("", "read", "14/merge"), Err(Reason::ReadOnly));
}

/// A token for something else makes no calls, and one for calls alone moves refs by them.
#[test]
fn a_token_is_for_calls_or_it_is_not() {
    let moving = call("PATCH", "/repos/octo/spoon/git/refs/heads/agent/fix", &json!({"sha": "0"}));
    let judged = |purpose| {
        let grant = grant(ALL).narrowed(None, Purposes::of(&[purpose]).unwrap());
        run(&grant, &hosts(), "github.com", &moving).map(drop).map_err(|denial| denial.reason)
    };
    assert_eq!([Purpose::Api, Purpose::Git, Purpose::Egress].map(judged), [Ok(()), API, API]);
}

#[test]
fn only_assets_of_releases_are_uploaded() {
    let upload = |target: &str| {
        let call = Call::read("POST", target, b"\x7fELF", true).unwrap();
        match run(&grant(ALL), &hosts(), "github.com", &call) {
            Ok(Step::Go(permit)) => Ok((permit.is_upload(), permit.target(None), permit.body())),
            Ok(step) => panic!("{step:?}"),
            Err(denial) => Err(denial.reason),
        }
    };
    let target = "/repos/octo/spoon/releases/1/assets?name=a.tar.gz&label=x";
    assert_eq!(upload(target), Ok((true, target.to_owned(), None)));
    assert_eq!(upload("/repos/octo/spoon/releases/2/assets?name=a"), Err(Reason::RefNotGranted));
    assert_eq!(upload("/repos/octo/spoon/releases/1/assets?name=a&x=y"), Err(Reason::BadRequest));
    // What it says in its body, nobody read.
    assert_eq!(upload("/repos/octo/spoon/pulls"), Err(Reason::ApiNotAllowed));
    assert_eq!(upload("/repos/octo/spoon/merges"), Err(Reason::ApiNotAllowed));
}

#[test]
fn reviews_and_comments_are_the_sessions_own() {
    check(&[
        ("POST", "pulls/7/reviews", json!({"event": "COMMENT", "body": "b", "comments": [{"path": "a", "body": "c"}]}), Ok(())),
        ("POST", "pulls/7/reviews", json!({"body": "b"}), Ok(())),
        ("POST", "pulls/7/reviews", json!({"event": "APPROVE"}), API),
        ("POST", "pulls/7/reviews", json!({"event": "approve"}), API),
        ("POST", "pulls/7/reviews", json!({"event": ["APPROVE"]}), API),
        ("POST", "pulls/7/reviews", json!({"event": null}), API),
        ("POST", "pulls/7/reviews", json!({"event": "COMMENT", "comments": [{"path": "a", "body": "@dependabot merge"}]}), API),
        ("POST", "pulls/7/reviews/24/events", json!({"event": "APPROVE"}), API),
        ("POST", "pulls/7/reviews/24/events", json!({"event": "REQUEST_CHANGES"}), Ok(())),
        ("POST", "pulls/7/reviews/25/events", json!({"event": "COMMENT"}), API),
        ("PUT", "pulls/7/reviews/24", json!({"body": "b"}), Ok(())),
        ("PUT", "pulls/7/reviews/25", json!({"body": "b"}), API),
        ("PUT", "pulls/7/reviews/24/dismissals", json!({"message": "m"}), API),
        ("DELETE", "pulls/7/reviews/24", Value::Null, Ok(())),
        ("PATCH", "issues/comments/21", json!({"body": "b"}), Ok(())),
        ("PATCH", "issues/comments/22", json!({"body": "b"}), API),
        ("PATCH", "issues/comments/21", json!({"body": "/merge"}), API),
        ("DELETE", "issues/comments/21", Value::Null, Ok(())),
        ("PATCH", "pulls/comments/22", json!({"body": "b"}), Ok(())),
        ("PATCH", "pulls/comments/21", json!({"body": "b"}), API),
        ("PATCH", "comments/23", json!({"body": "b"}), Ok(())),
        ("DELETE", "comments/21", Value::Null, API),
        ("POST", "issues/3/comments", json!({"body": "b"}), Ok(())),
        ("POST", "issues/3/comments", json!({"body": "/deploy"}), API),
        ("POST", "issues/3/comments", json!({"body": "@claude fix this"}), API),
    ]);
    // The same numbers in another repository are somebody else's.
    assert_eq!(decide("PATCH", "/repos/octo/fork/issues/comments/21", &json!({"body": "b"})), Err(Reason::ApiNotAllowed));
    let commanding = run(
        &grant(&["comments", "comments.commands"]),
        &hosts(),
        "github.com",
        &call("POST", "/repos/octo/spoon/issues/3/comments", &json!({"body": "/deploy"})),
    );
    assert!(commanding.is_ok());
}

#[test]
fn issues_are_the_sessions_own_and_no_bot_gets_them() {
    check(&[
        ("POST", "issues", json!({"title": "t", "body": "b"}), Ok(())),
        ("POST", "issues", json!({"title": "t", "assignees": ["octo-agent"]}), API),
        ("POST", "issues", json!({"title": "t", "assignees": ["ann"], "assignee": null}), Ok(())),
        ("POST", "issues", json!({"title": "t", "assignees": ["Copilot"]}), API),
        ("POST", "issues", json!({"title": "t", "assignee": "copilot-swe-agent[bot]"}), API),
        ("POST", "issues", json!({"title": "t", "assignees": [{"login": "ann"}]}), API),
        ("POST", "issues", json!({"title": "t", "labels": ["bug"]}), API),
        ("POST", "issues", json!({"title": "t", "milestone": 1}), API),
        ("POST", "issues", json!({"title": "@dependabot merge"}), API),
        ("POST", "issues", json!({"title": "t", "parent_issue_id": 5}), API),
        ("PATCH", "issues/20", json!({"state": "closed", "state_reason": "completed"}), Ok(())),
        ("PATCH", "issues/7", json!({"title": "t"}), Ok(())),
        ("PATCH", "issues/8", json!({"title": "t"}), API),
        ("PATCH", "issues/3", json!({"state": "closed"}), API),
        ("PATCH", "issues/20", json!({"labels": []}), API),
        ("POST", "issues/3/assignees", json!({"assignees": ["ann"]}), Ok(())),
        ("POST", "issues/3/assignees", json!({"assignees": ["ann", "codex"]}), API),
        ("DELETE", "issues/3/assignees", json!({"assignees": ["codex"]}), Ok(())),
        ("POST", "pulls/7/requested_reviewers", json!({"reviewers": ["ann"], "team_reviewers": ["core"]}), Ok(())),
        ("POST", "pulls/7/requested_reviewers", json!({"reviewers": ["copilot-pull-request-reviewer[bot]"]}), API),
        ("POST", "pulls/7/requested_reviewers", json!({"reviewers": "eve"}), API),
        ("PUT", "issues/20/lock", Value::Null, API),
        ("POST", "issues/20/sub_issues", json!({"sub_issue_id": 1}), API),
    ]);
    let more = grant(&["issues", "issues.edit", "labels", "milestones"]);
    let edit = call("PATCH", "/repos/octo/spoon/issues/3", &json!({"state": "closed", "labels": ["x"], "milestone": null}));
    assert!(run(&more, &hosts(), "github.com", &edit).is_ok());
}

#[test]
fn a_search_leaves_for_one_granted_repository() {
    for (target, expected) in [
        ("/search/issues?q=bug+repo:Octo/Spoon&sort=created", Ok("/search/issues?q=bug%20repo%3Aocto%2Fspoon&sort=created")),
        ("/search/code?q=repo:octo/fork+x", Ok("/search/code?q=x%20repo%3Aocto%2Ffork")),
        ("/search/issues?q=(+bug+)+repo:octo/spoon", Ok("/search/issues?q=bug%20repo%3Aocto%2Fspoon")),
        ("/search/issues?q=(+bug+repo:octo/spoon", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=(+(+bug+)+)+repo:octo/spoon", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=)+bug+(+repo:octo/spoon", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=(bug)+repo:octo/spoon", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=bug", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=repo:octo/spoon+repo:octo/fork", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=repo:octo/secret", Err(Reason::RepositoryNotGranted)),
        ("/search/issues?q=repo:octo/kept", Err(Reason::RepositoryNotGranted)),
        ("/search/issues?q=repo:octo/other", Err(Reason::RepositoryNotGranted)),
        ("/search/issues?q=repo:ghe.test/octo/other", Err(Reason::RepositoryNotGranted)),
        ("/search/issues?q=repo:octo/spoon+OR+org:evil", Err(Reason::ApiNotAllowed)),
        ("/search/issues?q=repo:octo/secret&repository_id=1", Err(Reason::RepositoryNotGranted)),
        ("/search/issues", Err(Reason::ApiNotAllowed)),
        ("/search/labels?repository_id=1&q=x", Ok("/search/labels?repository_id=1&q=x")),
        ("/search/labels?repository_id=2&q=x", Err(Reason::RepositoryNotGranted)),
        ("/search/labels?q=repo:octo/spoon", Err(Reason::ApiNotAllowed)),
        ("/search/repositories?q=x", Ok("/search/repositories?q=x")),
        ("/orgs/Octo", Ok("/orgs/Octo")),
        ("/orgs/evil", Err(Reason::RepositoryNotGranted)),
    ] {
        assert_eq!(decide("GET", target, &Value::Null), expected.map(str::to_owned), "{target}");
    }
    let denied = run(&grant(&[]), &hosts(), "github.com", &call("GET", "/orgs/octo", &Value::Null)).unwrap_err();
    assert_eq!((denied.reason, denied.allow_with.as_deref()), (Reason::ApiNotAllowed, Some("grants = [\"organization.read\"]")));
}

/// Every row is one that something here can judge.
#[test]
fn every_local_row_has_its_answer() {
    let local: Vec<_> = Table::shipped().rows().iter().filter(|row| row.verdict == Verdict::Local).collect();
    assert!(!local.is_empty() && local.iter().all(|row| Local::of(&row.template).is_some()), "{local:?}");
}

fn body() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(
        &["main", "agent/fix", "agent/trunk", "evil:x", "octo:agent/fix", "v1", "nightly", "refs/heads/main", "COMMENT"][..],
    );
    let leaf = prop_oneof![text.prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(Value::Null), Just(json!(["ann"]))];
    let key =
        prop::sample::select(&["head", "base", "branch", "ref", "tag_name", "head_repo", "title", "sha", "force", "event", "new_name"][..]);
    prop::collection::btree_map(key, leaf, 0..5).prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(
        &[
            "repos",
            "repositories",
            "octo",
            "evil",
            "spoon",
            "secret",
            "fork",
            "1",
            "2",
            "7",
            "8",
            "pulls",
            "issues",
            "git",
            "refs",
            "heads",
            "main",
            "agent%2Ffix",
            "agent",
            "fix",
            "merge",
            "merges",
            "contents",
            "comments",
            "reviews",
            "releases",
            "compare",
            "search",
            "actions",
            "runs",
            "rerun",
            "main...evil:x",
            "hooks",
            "forks",
            "spoon.wiki",
            "%6Dain",
        ][..],
    );
    let anything = prop::collection::vec(part, 1..8).prop_map(|parts| format!("/{}", parts.join("/")));
    let row =
        (0..Table::shipped().rows().len(), prop::sample::select(&["octo/spoon", "octo/secret", "octo/fork"][..])).prop_map(|(at, name)| {
            let template = Table::shipped().rows()[at].template.replace("{owner}/{repo}", name).replace("/**", "/x");
            template.split('/').map(|part| if part.starts_with('{') { "7" } else { part }).collect::<Vec<_>>().join("/")
        });
    prop_oneof![anything, row]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What may leave is about granted repositories and refs alone, and says what was judged.
    #[test]
    fn what_is_allowed_is_granted(method in 0..5_usize, path in path(), body in body()) {
        let method = Method::ALL[method];
        let body = if method == Method::Get { Value::Null } else { body };
        let Ok(call) = Call::read(method.as_str(), &path, &if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }, false) else {
            return Ok(());
        };
        let grant = grant(ALL);
        let Ok(Step::Go(permit)) = run(&grant, &hosts(), "github.com", &call) else { return Ok(()) };
        let credential = permit.credential().expect("nothing is public here");
        prop_assert!(grant.find(credential).is_some());
        let target = permit.target(None);
        prop_assert!(!target.to_ascii_lowercase().starts_with("/repositories"), "{}", target);
        if let Some(rest) = target.strip_prefix("/repos/") {
            let name = RepositoryName::parse(&rest.split('/').take(2).collect::<Vec<_>>().join("/")).unwrap();
            prop_assert_eq!(Some(&name), permit.repository());
            prop_assert!(grant.find(&name).is_some(), "{}", name);
        }
        for change in permit.changes() {
            let name = change.name.as_str();
            let is_granted = name == "refs/heads/fix" || name == "refs/heads/slow" || name.starts_with("refs/tags/v")
                || (name.starts_with("refs/heads/agent/") && name != "refs/heads/agent/trunk");
            prop_assert!(is_granted, "{} moves {}", target, name);
        }
        // It reads the same at the other end, and would be judged the same.
        let again = Call::read(method.as_str(), &target, &permit.body().unwrap_or_default(), false).unwrap();
        let Ok(Step::Go(same)) = run(&grant, &hosts(), "github.com", &again) else { panic!("{target}") };
        prop_assert_eq!((same.target(None), same.body(), same.template()), (target, permit.body(), permit.template()));
    }
}

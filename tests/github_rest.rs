//! The verdicts of `policies/github/rest.txt`, held against GitHub's own description of its API: of github.com, of its enterprise cloud and of
//! its servers.
//!
//! `make setup` installs the description. `github_rest/operations.txt` says what becomes of each of its operations, so that a new version of
//! it shows as a difference to read; `docs/rest.md` is made of the same table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use self::description::{Kind, Operation, operations};
use tidegate::{
    github::api::Method,
    policy::api::{Condition, Row, Table, Verdict},
};

#[path = "github_rest/description.rs"]
mod description;
#[path = "github_rest/page.rs"]
mod page;

/// Every operation has a row of its own, or one that refuses all below some path; every row is one of some operation.
#[test]
fn every_operation_has_a_verdict_and_every_row_an_operation() {
    let operations = operations();
    assert!(operations.len() > 1500, "only {} operations were read", operations.len());
    let mut wrong = String::new();
    let mut used = BTreeSet::new();
    for ((path, method), operation) in operations {
        match find(method, &example(path, operation)) {
            Some(row) if row.template.ends_with("**") || *row.template == *spelled(path) => {
                used.insert(row.line);
            }
            found => {
                let other = found.map_or("no row", |row| &row.template);
                let _ = writeln!(wrong, "{method} {path} ({}): {other}", hosts(operation));
            }
        }
    }
    for row in Table::shipped().rows().iter().filter(|row| !used.contains(&row.line)) {
        let _ = writeln!(wrong, "line {}: {} is no operation", row.line, row.template);
    }
    assert!(wrong.is_empty(), "write what becomes of these into policies/github/rest.txt:\n{wrong}");
}

/// A number is only taken for a number, and slashes only where GitHub takes them: else a path could be another operation there.
#[test]
fn names_stand_for_what_github_takes_there() {
    let mut wrong = String::new();
    for ((path, method), operation) in operations() {
        let row = find(method, &example(path, operation)).filter(|row| !matches!(row.verdict, Verdict::Deny(_)));
        let Some(line) = row.map(|row| row.line) else { continue };
        for (name, kind) in &operation.path {
            let finds = |text: &str| {
                let instead = example(&path.replace(&format!("{{{name}}}"), text), operation);
                find(method, &instead).is_some_and(|row| row.line == line)
            };
            let is_kept = match kind {
                Kind::Number => finds("7") && !finds("07") && !finds("x") && !finds("7/7"),
                Kind::Segment => finds("x.y") && !finds("7/7"),
                Kind::Segments => finds("x") && finds("x/y"),
            };
            if !is_kept && !OTHERWISE.contains(&(path, name)) {
                let _ = writeln!(wrong, "{method} {path}: {{{name}}} is a {kind:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where GitHub marks one path and not the other of the same refs, and a digest (`sha256:…`) as if it had slashes.
const OTHERWISE: &[(&str, &str)] = &[
    ("/repos/{owner}/{repo}/attestations/{subject_digest}", "subject_digest"),
    ("/repos/{owner}/{repo}/compare/{base}...{head}", "base"),
    ("/repos/{owner}/{repo}/compare/{base}...{head}", "head"),
    ("/repos/{owner}/{repo}/dependency-graph/compare/{basehead}", "basehead"),
];

/// A condition reads something of a call: its operations have it.
#[test]
fn every_condition_fits_its_operations() {
    for ((path, method), operation) in operations() {
        let row = find(method, &example(path, operation)).unwrap();
        let (Verdict::Allow(Some(condition)) | Verdict::Grant(_, Some(condition))) = row.verdict else { continue };
        let has = |names: &&[&str]| {
            names.iter().all(|name| operation.path.contains_key(*name) || operation.query.contains(*name) || operation.body.contains(*name))
        };
        assert!(reads(condition).iter().any(has), "line {}: {} of {method} {path}", row.line, condition.as_str());
    }
}

/// What a condition reads: all names of one of these.
fn reads(condition: Condition) -> &'static [&'static [&'static str]] {
    match condition {
        Condition::HeadAndBase => &[&["head", "base"]],
        Condition::OwnHead | Condition::OwnHeadIntoBase => &[&["pull_number"]],
        Condition::NoApproval => &[&["pull_number", "event"]],
        Condition::OwnReview => &[&["review_id"]],
        Condition::OwnComment => &[&["comment_id"]],
        Condition::PlainWords => &[&["body"]],
        Condition::NewIssue => &[&["assignees", "labels", "milestone"]],
        Condition::OwnIssue => &[&["issue_number", "assignees", "labels", "milestone", "state"]],
        Condition::NoBots => &[&["assignees"], &["reviewers", "team_reviewers"]],
        Condition::PushableRef | Condition::PushableDispatch => &[&["ref"]],
        Condition::PushableBranch => &[&["branch"]],
        Condition::PushableBase => &[&["base", "head"]],
        Condition::GrantedTag => &[&["tag_name"], &["release_id"]],
        Condition::OwnRun => &[&["run_id"], &["job_id"]],
        Condition::OneRepository => &[&["q"], &["repository_id"]],
        Condition::GrantedSides => &[&["basehead"], &["base", "head"]],
        Condition::GrantedOwner => &[&["org"]],
    }
}

/// What changes something without a condition, by the word that has to be granted.
#[test]
fn few_writes_pass_without_a_condition() {
    let mut without: Vec<_> =
        Table::shipped().rows().iter().filter(|row| row.method != Some(Method::Get)).filter_map(unconditional).collect();
    without.sort();
    without.dedup();
    assert_eq!(without, ["allow /repos/{owner}/{repo}/releases/generate-notes", "comments", "labels", "milestones", "refs"]);
}

fn unconditional(row: &Row) -> Option<String> {
    match &row.verdict {
        Verdict::Allow(None) => Some(format!("allow {}", row.template)),
        Verdict::Grant(word, None) => Some(word.to_string()),
        Verdict::Allow(Some(_)) | Verdict::Grant(_, Some(_)) | Verdict::Local | Verdict::Deny(_) => None,
    }
}

/// What would let a session past its refs, its gates or its own end: no grant opens it, whatever else the table says.
#[test]
fn threat_121_what_reaches_beyond_the_session_is_refused_by_name() {
    for call in REFUSED {
        let (method, path) = call.split_once(' ').unwrap();
        let row = find(method, path).unwrap_or_else(|| panic!("{call} has no row"));
        assert!(matches!(row.verdict, Verdict::Deny(_)), "{call}: line {}", row.line);
    }
}

const REFUSED: &[&str] = &[
    "DELETE /repos/o/r",
    "PATCH /repos/o/r",
    "POST /repos/o/r/transfer",
    "POST /repos/o/r/forks",
    "POST /repos/o/r/generate",
    "POST /repos/o/r/branches/topic%2Fone/rename",
    "PUT /repos/o/r/branches/main/protection",
    "PUT /repos/o/r/branches/release%2F1/protection",
    "DELETE /repos/o/r/branches/release/1/protection/enforce_admins",
    "POST /repos/o/r/rulesets",
    "POST /repos/o/r/statuses/0123456",
    "POST /repos/o/r/check-runs",
    "PATCH /repos/o/r/check-runs/7",
    "POST /repos/o/r/check-suites",
    "POST /repos/o/r/deployments",
    "POST /repos/o/r/deployments/7/statuses",
    "POST /repos/o/r/attestations",
    "POST /repos/o/r/dependency-graph/snapshots",
    "POST /repos/o/r/code-scanning/sarifs",
    "POST /repos/o/r/code-scanning/alerts/7/autofix/commits",
    "PATCH /repos/o/r/code-scanning/alerts/7",
    "PATCH /repos/o/r/secret-scanning/alerts/7",
    "GET /repos/o/r/secret-scanning/alerts",
    "POST /repos/o/r/secret-scanning/push-protection-bypasses",
    "PUT /repos/o/r/pulls/7/reviews/7/dismissals",
    "PUT /repos/o/r/pulls/7/merge-async",
    "POST /repos/o/r/pulls/7/codespaces",
    "POST /repos/o/r/actions/runs/7/approve",
    "POST /repos/o/r/actions/runs/7/pending_deployments",
    "POST /repos/o/r/actions/runs/7/deployment_protection_rule",
    "POST /repos/o/r/dispatches",
    "PUT /repos/o/r/actions/permissions",
    "POST /repos/o/r/actions/runners/registration-token",
    "PUT /repos/o/r/actions/secrets/TOKEN",
    "GET /repos/o/r/actions/secrets/public-key",
    "PUT /repos/o/r/environments/production",
    "PUT /repos/o/r/environments/production/secrets/TOKEN",
    "POST /repos/o/r/keys",
    "POST /repos/o/r/hooks",
    "GET /repos/o/r/hooks/7/deliveries/7",
    "PUT /repos/o/r/collaborators/mallory",
    "POST /repos/o/r/pages",
    "DELETE /repos/o/r/releases/7",
    "PUT /repos/o/r/topics",
    "POST /gists",
    "PATCH /user",
    "GET /user/emails",
    "GET /user/repos",
    "POST /user/keys",
    "POST /user/repos",
    "POST /orgs/o/repos",
    "GET /orgs/o/members",
    "GET /notifications",
    "POST /app/installations/7/access_tokens",
    "DELETE /installation/token",
    "POST /credentials/revoke",
    "POST /markdown",
    "GET /repositories",
];

/// The listing of what becomes of each operation is the one of the installed description.
#[test]
fn the_operations_are_the_ones_that_were_read() {
    let before = fs::read_to_string(listing()).unwrap_or_default();
    let now = listed();
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), now.lines().collect());
    let mut difference = String::new();
    old.difference(&new).for_each(|line| _ = writeln!(difference, "- {line}"));
    new.difference(&old).for_each(|line| _ = writeln!(difference, "+ {line}"));
    assert!(before == now, "GitHub's description or the table changed:\n{difference}\nto take it down: {HOW}");
}

#[test]
#[ignore = "writes tests/github_rest/operations.txt"]
fn the_operations_are_written() {
    fs::write(listing(), listed()).unwrap();
}

const HOW: &str = "cargo test --test github_rest -- --ignored --exact the_operations_are_written";

fn listing() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/github_rest/operations.txt")
}

fn listed() -> String {
    operations().iter().fold(String::new(), |mut text, ((path, method), operation)| {
        let verdict = find(method, &example(path, operation)).map_or_else(|| "none".to_owned(), |row| page::spell(&row.verdict));
        let _ = writeln!(text, "{method} {path} | {} | {verdict}", hosts(operation));
        text
    })
}

fn hosts(operation: &Operation) -> String {
    operation.hosts.iter().copied().collect::<Vec<_>>().join(" ")
}

/// The row of a call, whose path may have escaped slashes.
fn find(method: &str, path: &str) -> Option<&'static Row> {
    let method = page::METHODS.iter().find(|(word, _)| *word == method).unwrap().1;
    let segments: Vec<Box<str>> =
        path.split('/').filter(|segment| !segment.is_empty()).map(|text| text.replace("%2F", "/").into()).collect();
    let table: &'static Table = Table::shipped();
    let line = table.find(method, &segments)?.0.line;
    table.rows().iter().find(|row| row.line == line)
}

/// A path of an operation, with something plausible for each name.
fn example(path: &str, operation: &Operation) -> String {
    operation
        .path
        .iter()
        .fold(path.to_owned(), |path, (name, kind)| path.replace(&format!("{{{name}}}"), if *kind == Kind::Number { "7" } else { "x" }))
}

/// As the table spells a path. Two refs with dots between them are one parameter in GitHub's newer spelling, and two in its older one.
fn spelled(path: &str) -> String {
    path.replace("{base}...{head}", "{basehead}")
}

//! What a verdict about a call of GitHub's REST API costs: time by call, and memory by the whole table.

use divan::{AllocProfiler, Bencher, black_box};
use tidegate::{
    destination::{Host, Name},
    github::{
        RepositoryName,
        api::{Answer, Call, Head, Method, Question},
        push::RefName,
    },
    policy::{
        ForgeHosts,
        api::{ApiSession, Known, Made, Table, decide_api},
        grant::Grant,
    },
};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The row of a call: one with words and numbers, one that ends in a path, one with a branch in its middle, one that is refused as many are, and
/// one that no row matches.
#[divan::bench(args = [
    (Method::Patch, "/repos/octo/spoon/issues/comments/123456789"),
    (Method::Get, "/repos/octo/spoon/contents/src/policy/api/table/tree.rs"),
    (Method::Get, "/repos/octo/spoon/commits/agent/fix-1/check-runs"),
    (Method::Put, "/repos/octo/spoon/actions/secrets/TOKEN"),
    (Method::Get, "/repos/octo/spoon/nothing/of/the/kind"),
])]
fn find(bencher: Bencher<'_, '_>, (method, path): (Method, &str)) {
    let segments: Vec<Box<str>> = path.split('/').skip(1).map(Into::into).collect();
    let table = Table::shipped();
    bencher.bench(|| black_box(table).find(black_box(method), black_box(&segments)).map(|(row, _)| row.line));
}

/// The whole decision on a call that was read, with all that it depends on known.
#[divan::bench(args = [
    ("GET", "/repos/octo/spoon/contents/src/policy/api/table/tree.rs", ""),
    ("GET", "/search/issues?q=is:open+repo:octo/spoon+label:bug", ""),
    ("POST", "/repos/octo/spoon/issues/7/comments", r#"{"body": "It is fixed by this."}"#),
    ("POST", "/repos/octo/spoon/pulls", r#"{"title": "A fix", "head": "agent/fix-1", "base": "main", "body": "It is fixed by this."}"#),
    ("PATCH", "/repos/octo/spoon/pulls/7", r#"{"title": "A better fix"}"#),
    ("PATCH", "/repos/octo/spoon/git/refs/heads/agent/fix-1", r#"{"sha": "0123456789012345678901234567890123456789"}"#),
    ("PUT", "/repos/octo/spoon/actions/secrets/TOKEN", r#"{"encrypted_value": "x"}"#),
])]
fn decide(bencher: Bencher<'_, '_>, (method, target, body): (&str, &str, &str)) {
    let (grant, hosts, made) = (grant(), ForgeHosts::new([forge()]), Made::default());
    let (forge, known) = (forge(), known());
    let session = ApiSession { grant: &grant, hosts: &hosts, forge: &forge, login: None, made: &made };
    let Ok(call) = Call::read(method, target, body.as_bytes(), false) else { panic!("{method} {target} is no call") };
    bencher.bench(|| decide_api(black_box(&session), black_box(&call), black_box(&known)));
}

fn grant() -> Grant {
    let written = r#"[{"name": "octo/spoon", "access": "write", "push": ["refs/heads/agent/*"], "bases": ["main"],
        "grants": ["pull_requests", "issues", "comments", "refs"]}]"#;
    serde_json::from_str(written).unwrap_or_else(|error| panic!("{error}"))
}

fn forge() -> Name {
    Host::parse(b"github.com").ok().and_then(|host| host.name().cloned()).unwrap_or_else(|| panic!("a name"))
}

/// The pull request that is asked for.
fn known() -> Known {
    let ref_name = |text: &str| RefName::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let repository = RepositoryName::parse("octo/spoon").unwrap_or_else(|error| panic!("{error}"));
    let head = Head { repository: Some(repository.clone()), branch: Some(ref_name("refs/heads/agent/fix-1")) };
    let mut known = Known::default();
    known.learn(Question::PullRequest { repository, number: 7 }, Answer::PullRequest { head, base: ref_name("refs/heads/main") });
    known
}

/// The whole table, read from its text: the most that is allocated is the table and what reading it takes.
#[divan::bench]
fn parse() -> Table {
    Table::parse(black_box(TEXT)).unwrap_or_default()
}

const TEXT: &str = include_str!("../policies/github/rest.txt");

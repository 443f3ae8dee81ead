//! A call that is allowed is about a granted repository and moves granted refs alone, and reads the same when it is written anew: the
//! same row, the same path, query and body, the same judgment.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    destination::{Host, Name},
    github::{
        RepositoryName,
        api::{Answer, Call, Head, Question, Search, find_command},
        push::RefName,
    },
    policy::{
        ForgeHosts,
        api::{ApiPermit, ApiSession, Known, MAX_QUESTIONS, Made, MadeKind, Step, decide_api},
        grant::{Access, Capability, Grant, PushEntry, RefPattern, RepositoryGrant},
    },
};

// `METHOD TARGET`, and the body behind a line feed; a method in lower case uploads it.
fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Ok(head) = std::str::from_utf8(head) else { return };
    let Some((written, target)) = head.split_once(' ') else { return };
    let (method, is_upload) = (written.to_ascii_uppercase(), written.starts_with(|letter: char| letter.is_ascii_lowercase()));
    let _ = find_command(target);
    if let Ok(search) = Search::read(target) {
        let again = Search::read(&search.within("octo/spoon")).expect("what leaves is a search");
        assert_eq!(again.repositories, [Box::from("octo/spoon")]);
    }
    let Ok(call) = Call::read(&method, target, body, is_upload) else { return };
    let written = call.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let again = Call::read(&method, &call.target(None), &written, is_upload).expect("what leaves is a call");
    assert_eq!(again, call);
    let Some(permit) = judge(&call) else { return };
    check(&permit);
    let left = Call::read(&method, &permit.target(None), &permit.body().unwrap_or_default(), is_upload).expect("what leaves is a call");
    let same = judge(&left).expect("what leaves is allowed");
    assert_eq!((same.target(None), same.body(), same.template()), (permit.target(None), permit.body(), permit.template()));
});

fn check(permit: &ApiPermit) {
    let grant = &*GRANT;
    let credential = permit.credential().expect("nothing is public here");
    assert!(grant.find(credential).is_some());
    let target = permit.target(None);
    assert!(!target.to_ascii_lowercase().starts_with("/repositories/"));
    if let Some(rest) = target.strip_prefix("/repos/") {
        let end = rest.find('?').unwrap_or(rest.len());
        let mut segments = rest[..end].split('/');
        let (owner, name) = (segments.next().expect("an owner"), segments.next().expect("a name"));
        let named = RepositoryName::from_parts(owner, name).expect("a repository");
        assert!(grant.find(&named).is_some() && permit.repository() == Some(&named), "{target}");
    }
    for change in permit.changes() {
        let name = change.name.as_str();
        let is_branch = name.strip_prefix("refs/heads/agent/").is_some_and(|rest| !rest.contains('/') && rest != "trunk");
        assert!(is_branch || name.starts_with("refs/tags/v"), "{target} moves {name}");
        assert!(permit.repository().is_some_and(|repository| repository.as_str() == "octo/spoon"), "{target} moves {name}");
    }
}

/// As a door judges, with a GitHub that knows a little.
fn judge(call: &Call) -> Option<Box<ApiPermit>> {
    let (hosts, forge) = (ForgeHosts::new([HOST.clone()]), &*HOST);
    let session = ApiSession { grant: &GRANT, hosts: &hosts, forge, login: Some("agent"), made: &MADE };
    let mut known = Known::default();
    for _ in 0..=MAX_QUESTIONS {
        match decide_api(&session, call, &known).ok()? {
            Step::Go(permit) => return Some(permit),
            Step::Answer(_) => return None,
            Step::Learn(question) => {
                assert!(
                    question.repository().is_none_or(|repository| GRANT.find(repository).is_some()),
                    "{question:?} asks beyond the grant"
                );
                let answer = answer(&question);
                known.learn(question, answer);
            }
        }
    }
    panic!("more than {MAX_QUESTIONS} questions");
}

fn answer(question: &Question) -> Answer {
    let head = |number: u64| {
        let (repository, branch) =
            [("octo/spoon", "agent/fix"), ("octo/spoon", "main"), ("evil/spoon", "agent/fix"), ("octo/fork", "agent/fix")]
                [usize::try_from(number % 4).expect("small")];
        Head { repository: RepositoryName::parse(repository).ok(), branch: name(&format!("refs/heads/{branch}")) }
    };
    match question {
        Question::Repository(id) => {
            let names = ["octo/spoon", "octo/fork", "octo/secret", "evil/spoon"];
            Answer::Repository(RepositoryName::parse(names[usize::try_from(id % 4).expect("small")]).expect("a name"))
        }
        Question::DefaultBranch(_) => Answer::DefaultBranch(name("refs/heads/agent/trunk")),
        Question::PullRequest { number, .. } => Answer::PullRequest { head: head(*number), base: name("refs/heads/main").expect("a name") },
        Question::Run { id, .. } => Answer::Run(head(*id)),
        Question::Job { id, .. } => Answer::Job(*id),
        Question::Release { id, .. } => Answer::Release(if id % 2 == 0 { "v1".into() } else { "nightly".into() }),
        Question::Account(login) => Answer::Account { is_person: login.starts_with('a') },
    }
}

fn name(text: &str) -> Option<RefName> {
    RefName::parse(text.as_bytes()).ok()
}

static HOST: LazyLock<Name> = LazyLock::new(|| Host::parse(b"github.com").ok().and_then(|host| host.name().cloned()).expect("a name"));

static GRANT: LazyLock<Grant> = LazyLock::new(|| {
    let words = [
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
        "labels",
        "milestones",
        "search",
        "organization.read",
    ];
    let grants: Vec<_> = words.iter().map(|word| Capability::parse(word).expect("a word")).collect();
    let pattern = |text: &str| RefPattern::parse(text).expect("a pattern");
    let spoon = RepositoryGrant {
        access: Access::Write,
        push: vec![PushEntry::parse("refs/heads/agent/*").expect("an entry")],
        delete: true,
        tags: vec![pattern("v*")],
        bases: vec![pattern("main")],
        grants: grants.clone(),
        ..RepositoryGrant::reading(RepositoryName::parse("octo/spoon").expect("a name"))
    };
    let fork = RepositoryGrant { grants, ..RepositoryGrant::reading(RepositoryName::parse("octo/fork").expect("a name")) };
    Grant::new(vec![spoon, fork]).expect("a grant")
});

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let mut made = Made::default();
    let spoon = RepositoryName::parse("octo/spoon").expect("a name");
    for kind in [MadeKind::Issue, MadeKind::IssueComment, MadeKind::ReviewComment, MadeKind::CommitComment, MadeKind::Review] {
        made.remember(kind, spoon.clone(), 7);
    }
    made
});

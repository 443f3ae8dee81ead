use std::collections::HashSet;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    github::{RepositoryName, Service},
    policy::{
        DefaultBranch, LfsAct, decide_lfs, decide_push, decide_repository,
        grant::{Capability, OwnRights, Purpose, RefPattern},
        refs::decide_refs,
    },
};

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn grant(json: &str) -> Grant {
    serde_json::from_str(json).unwrap()
}

/// A session that may push two branches and all of `agent/`, without force to `agent/old`.
fn session() -> Grant {
    grant(
        r#"[{"name":"octo/spoon","access":"write","bases":["main"],"grants":["wiki","pull_requests"],"tags":["v*"],
             "push":["refs/heads/fix-1",{"ref":"refs/heads/agent/**","delete":true},{"ref":"refs/heads/agent/old","force":false}]},
            {"name":"octo/fork"}]"#,
    )
}

fn checked(body: &str) -> Result<(), Reason> {
    Narrowing::parse(body.as_bytes()).unwrap().check(&session()).map_err(|denial| denial.reason)
}

#[test]
fn what_is_asked_for_is_read_strictly() {
    let read = |body: &str| Narrowing::parse(body.as_bytes());
    assert_eq!(read(""), Ok(Narrowing::default()));
    assert_eq!(read("{}"), Ok(Narrowing::default()));
    let whole = read(r#"{"only":["git","api"],"repositories":[{"name":"octo/spoon"}],"ttl":"30m","from":"::ffff:10.0.0.7"}"#).unwrap();
    assert_eq!(whole.only.list(), [Purpose::Git, Purpose::Api]);
    assert_eq!((whole.life, whole.from), (Some(Duration::from_secs(1800)), Some([10, 0, 0, 7].into())));
    assert_eq!(whole.repositories, Some(grant(r#"[{"name":"octo/spoon"}]"#)));
    for bad in [
        "[]",
        "null",
        r#"{"only":[]}"#,
        r#"{"only":["mail"]}"#,
        r#"{"only":["git"],"only":["api"]}"#,
        r#"{"ttl":"0s"}"#,
        r#"{"ttl":30}"#,
        r#"{"from":"10.0.0.0/8"}"#,
        r#"{"from":"localhost"}"#,
        r#"{"repositories":[{"name":"octo/spoon","upstream_path":"/srv/x"}]}"#,
        r#"{"repositories":[{"name":"octo/spoon"},{"name":"Octo/Spoon"}]}"#,
        r#"{"repositories":[{"name":"octo/spoon","push":["refs/heads/x"]}]}"#,
        r#"{"grants":[]}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert!(read(&format!("{}{{}}", " ".repeat(MAX_NARROWING))).is_err());
}

#[test]
fn nobody_hands_on_what_they_have_not() {
    let spoon = |rest: &str| format!(r#"{{"repositories":[{{"name":"octo/spoon",{rest}}}]}}"#);
    for (body, expected) in [
        (String::new(), Ok(())),
        (r#"{"repositories":[]}"#.into(), Ok(())),
        (r#"{"repositories":[{"name":"OCTO/fork"}]}"#.into(), Ok(())),
        (r#"{"repositories":[{"name":"octo/knife"}]}"#.into(), Err(Reason::RepositoryNotGranted)),
        (r#"{"repositories":[{"name":"octo/fork","access":"write"}]}"#.into(), Err(Reason::ReadOnly)),
        (spoon(r#""access":"write","push":["refs/heads/fix-1"]"#), Ok(())),
        (spoon(r#""access":"write","push":["refs/heads/agent/x","refs/heads/agent/old"]"#), Ok(())),
        (spoon(r#""access":"write","push":["refs/heads/fix-2"]"#), Err(Reason::RefNotGranted)),
        (spoon(r#""access":"write","push":["refs/heads/main"]"#), Err(Reason::RefNotGranted)),
        (spoon(r#""access":"write","push":["refs/heads/**"]"#), Ok(())),
        (spoon(r#""bases":["main"],"grants":["wiki.read","pull_requests"]"#), Ok(())),
        (spoon(r#""bases":["*"]"#), Err(Reason::ApiNotAllowed)),
        (spoon(r#""grants":["merge"]"#), Err(Reason::ApiNotAllowed)),
    ] {
        assert_eq!(checked(&body), expected, "{body}");
    }
}

#[test]
fn a_token_for_one_use_hands_on_no_other() {
    let git = session().narrowed(None, Purposes::of(&[Purpose::Git]).unwrap());
    let check = |body: &str, grant: &Grant| Narrowing::parse(body.as_bytes()).unwrap().check(grant).map_err(|denial| denial.reason);
    assert_eq!(check(r#"{"only":["git"]}"#, &git), Ok(()));
    assert_eq!(check("", &git), Err(Reason::NetworkDisabled));
    assert_eq!(check(r#"{"only":["git","api"]}"#, &git), Err(Reason::ApiNotAllowed));
    let api = session().narrowed(None, Purposes::of(&[Purpose::Api]).unwrap());
    assert_eq!(check(r#"{"only":["git"]}"#, &api), Err(Reason::RepositoryNotGranted));
    let refs = r#"{"only":["api"],"repositories":[{"name":"octo/spoon","access":"write","push":["refs/heads/fix-1"]}]}"#;
    assert_eq!(check(refs, &api), Ok(()));
    for service in [Service::UploadPack, Service::ReceivePack] {
        let judged = decide_repository(&api, &name("octo/spoon"), service, true);
        assert_eq!(judged.unwrap_err().detail, "This token is for api alone, and not for git.");
    }
    let change = RefChange { name: RefName::parse(b"refs/heads/fix-1").unwrap(), kind: ChangeKind::Update };
    let pushed = decide_push(&api, &name("octo/spoon"), std::slice::from_ref(&change), &DefaultBranch::Unknown);
    assert_eq!(pushed.unwrap_err().reason, Reason::RepositoryNotGranted);
    assert!(decide_push(&git, &name("octo/spoon"), &[change], &DefaultBranch::Unknown).is_ok());
}

#[test]
fn a_push_is_judged_by_the_rules_of_both() {
    let own = grant(
        r#"[{"name":"octo/spoon","access":"write","delete":true,"push":["refs/heads/agent/**","refs/heads/main"]},{"name":"octo/knife"}]"#,
    );
    let narrowed = session().narrowed(Some(&own), Purposes::default());
    let default = DefaultBranch::Named(RefName::parse(b"refs/heads/main").unwrap());
    let may = |reference: &str, kind| {
        let change = RefChange { name: RefName::parse(reference.as_bytes()).unwrap(), kind };
        decide_push(&narrowed, &name("octo/spoon"), &[change], &default).is_ok()
    };
    assert!(may("refs/heads/agent/x", ChangeKind::Delete) && may("refs/heads/agent/old", ChangeKind::Update));
    assert!(!may("refs/heads/agent/old", ChangeKind::Force), "a closer entry of the session's still counts");
    assert!(!may("refs/heads/main", ChangeKind::Update) && !may("refs/heads/fix-1", ChangeKind::Update));
    assert_eq!(narrowed.repositories().len(), 1, "what the session has not is not there");
    let page = serde_json::to_string(&narrowed).unwrap();
    assert!(!page.contains("within") && !page.contains("fix-1"), "{page}");
}

// ── over generated grants

fn patterns() -> impl Strategy<Value = RefPattern> {
    select(vec![
        "refs/heads/a",
        "refs/heads/main",
        "refs/heads/a/b",
        "refs/heads/a/c",
        "refs/heads/*",
        "refs/heads/**",
        "refs/heads/a/*",
        "refs/heads/a*",
    ])
    .prop_map(|text| RefPattern::parse(text).unwrap())
}

fn entries() -> impl Strategy<Value = PushEntry> {
    let right = || prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (patterns(), right(), right(), right(), right(), any::<bool>()).prop_map(|(refs, create, update, force, delete, default_branch)| {
        PushEntry { refs, own: OwnRights { create, update, force, delete }, default_branch }
    })
}

fn words(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all, 0..=all.len())
}

fn repositories(name_of: &'static str) -> impl Strategy<Value = RepositoryGrant> {
    let lists =
        (vec(entries(), 0..4), words(&["v*", "v1", "**"]), words(&["main", "*", "a"]), words(&["wiki", "wiki.read", "lfs.locks", "merge"]));
    (any::<bool>(), any::<[bool; 4]>(), lists).prop_map(|(writes, [create, update, force, delete], (push, tags, bases, grants))| {
        let parse = |list: Vec<&str>| list.into_iter().map(|text| RefPattern::parse(text).unwrap()).collect::<Vec<_>>();
        let access = if writes { Access::Write } else { Access::Read };
        let (push, tags) = if writes { (push, parse(tags)) } else { (Vec::new(), Vec::new()) };
        let grants = grants.into_iter().map(|word| Capability::parse(word).unwrap()).collect();
        RepositoryGrant {
            access,
            push,
            create,
            update,
            force,
            delete,
            tags,
            bases: parse(bases),
            grants,
            ..RepositoryGrant::reading(name(name_of))
        }
    })
}

fn grants() -> impl Strategy<Value = Grant> {
    let some = |name| proptest::option::weighted(0.8, repositories(name));
    (some("octo/spoon"), some("octo/fork")).prop_map(|(one, other)| Grant::new(one.into_iter().chain(other).collect()).unwrap())
}

fn purposes() -> impl Strategy<Value = Purposes> {
    (1..8_u8).prop_map(|bits| {
        let list: Vec<_> = Purpose::ALL.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 > 0).map(|(_, purpose)| purpose).collect();
        Purposes::of(&list).unwrap()
    })
}

/// Everything that a grant may allow, over a small world: a line for each thing allowed.
fn allowed(grant: &Grant) -> HashSet<String> {
    let mut lines = HashSet::new();
    let mut note = |is_allowed: bool, line: fmt::Arguments<'_>| {
        if is_allowed {
            lines.insert(line.to_string());
        }
    };
    for purpose in Purpose::ALL {
        note(grant.check_purpose(purpose).is_ok(), format_args!("{purpose:?}"));
    }
    for repository in ["octo/spoon", "octo/fork", "octo/spoon.wiki", "octo/none"].map(name) {
        for service in [Service::UploadPack, Service::ReceivePack] {
            note(decide_repository(grant, &repository, service, false).is_ok(), format_args!("{repository} {service}"));
        }
        for act in [LfsAct::Upload(None), LfsAct::ChangeLocks, LfsAct::ForceLocks] {
            note(decide_lfs(grant, &repository, &act, false).is_ok(), format_args!("{repository} {act:?}"));
        }
        // As every push is judged, but that the rules are read once.
        let rules = grant.reach(&repository).filter(|reach| reach.access() == Access::Write).map(|reach| reach.rules());
        for default in [DefaultBranch::Unknown, DefaultBranch::Named(RefName::parse(b"refs/heads/a").unwrap())] {
            for reference in
                ["refs/heads/a", "refs/heads/main", "refs/heads/a/b", "refs/heads/a/b/c", "refs/heads/ab", "refs/tags/v1", "refs/notes/x"]
            {
                for kind in [ChangeKind::Create, ChangeKind::Update, ChangeKind::Force, ChangeKind::Delete] {
                    let change = RefChange { name: RefName::parse(reference.as_bytes()).unwrap(), kind };
                    let judged = rules.and_then(|rules| decide_refs(rules, &repository, &[change], &default).ok());
                    let verified = judged.as_ref().is_some_and(|permit| permit.to_verify().is_empty());
                    note(judged.is_some(), format_args!("{repository} {reference} {kind:?} {default:?}"));
                    note(verified, format_args!("{repository} {reference} {kind:?} {default:?} unverified"));
                }
            }
        }
        let granted = grant.find(&repository);
        let bases = granted.into_iter().flat_map(|granted| &granted.bases).map(|base| format!("{repository} base {base}"));
        let words = ["wiki", "wiki.read", "lfs.locks", "merge"].into_iter();
        let words = words.filter(|word| granted.is_some_and(|granted| granted.grants(word))).map(|word| format!("{repository} {word}"));
        bases.chain(words).for_each(|line| note(true, format_args!("{line}")));
    }
    lines
}

/// What two tokens in a row leave of a grant, whatever they say, allows nothing that the grant does not.
fn check_narrowed(whole: &Grant, own: &[(Option<Grant>, Purposes)]) -> Result<(), TestCaseError> {
    let (mut before, mut allows_before) = (whole.clone(), allowed(whole));
    for (own, only) in own {
        let narrowed = before.narrowed(own.as_ref(), *only);
        let allows = allowed(&narrowed);
        let wider: Vec<_> = allows.difference(&allows_before).collect();
        prop_assert!(wider.is_empty(), "{:?}: {:?} of {:?}", wider, own, before);
        (before, allows_before) = (narrowed, allows);
    }
    Ok(())
}

fn own() -> impl Strategy<Value = Vec<(Option<Grant>, Purposes)>> {
    vec((proptest::option::weighted(0.9, grants()), purposes()), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_allows_nothing_that_its_session_does_not(whole in grants(), own in own()) {
        check_narrowed(&whole, &own)?;
    }

    /// Whoever asks for what it has gets it: narrowing by itself takes nothing away but what is not for these uses.
    #[test]
    fn a_token_that_asks_for_everything_allows_everything(whole in grants()) {
        prop_assert_eq!(allowed(&whole.narrowed(None, Purposes::default())), allowed(&whole));
        prop_assert_eq!(allowed(&whole.narrowed(Some(&whole), Purposes::default())), allowed(&whole));
        let asked = Narrowing { repositories: Some(whole.clone()), ..Narrowing::default() };
        for repository in whole.repositories().iter().filter(|repository| repository.push.is_empty()) {
            let one = Narrowing { repositories: Some(Grant::new(vec![repository.clone()]).unwrap()), ..asked.clone() };
            prop_assert!(one.check(&whole).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_answered(body in vec(any::<u8>(), 0..64)) {
        let _ = Narrowing::parse(&body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100_000) })]

    /// The same over as many grants as are asked for; in a release build.
    #[test]
    #[ignore = "takes minutes in a debug build: make long"]
    fn a_hundred_thousand_tokens_allow_nothing_that_their_sessions_do_not(whole in grants(), own in own()) {
        check_narrowed(&whole, &own)?;
    }
}

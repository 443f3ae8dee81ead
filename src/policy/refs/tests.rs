use ChangeKind::{Create, Delete, Force, Update};

use super::{denial::MAX_ADVICE, *};
use crate::reason::Reason;

fn strings(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn rules(push: &[&str], tags: &[&str]) -> RefRules {
    RefRules::parse(&strings(push), &strings(tags), Rights::default()).unwrap()
}

fn change(name: &str, kind: ChangeKind) -> RefChange {
    RefChange { name: RefName::parse(name.as_bytes()).unwrap(), kind }
}

fn repository() -> RepositoryName {
    RepositoryName::parse("octo/spoon").unwrap()
}

#[test]
fn what_a_pattern_names() {
    for (pattern, matching, others) in [
        (
            "refs/heads/agent/fix-1",
            &["refs/heads/agent/fix-1"][..],
            &[
                "refs/heads/agent/fix-10",
                "refs/heads/agent/fix-1/x",
                "refs/heads/agent/fix",
                "refs/heads/agent/Fix-1",
                "refs/heads/refs/heads/agent/fix-1",
                "refs/remotes/agent/fix-1",
                "refs/heads/agent/f\u{131}x-1",
            ][..],
        ),
        (
            "refs/heads/agent/*",
            &["refs/heads/agent/a", "refs/heads/agent/é"],
            &["refs/heads/agent/a/b", "refs/heads/agents", "refs/heads/xagent/a"],
        ),
        ("refs/heads/agent/**", &["refs/heads/agent/a", "refs/heads/agent/a/b/c"], &["refs/heads/agent", "refs/heads/agents/a"]),
        ("refs/heads/**/x", &["refs/heads/x", "refs/heads/a/b/x"], &["refs/heads/a/b/y"]),
        ("refs/heads/a-*-b", &["refs/heads/a-x-b", "refs/heads/a--b"], &["refs/heads/a-x/y-b", "refs/heads/a-b"]),
        ("refs/heads/{a,b}*", &["refs/heads/{a,b}c"], &["refs/heads/a", "refs/heads/ac"]),
        ("refs/notes/agent", &["refs/notes/agent"], &["refs/heads/notes/agent"]),
    ] {
        let rules = rules(&[pattern], &[]);
        for name in matching {
            assert_eq!(rules.judge(&change(name, Update)), Ok(pattern), "{name}");
        }
        for name in others {
            assert_eq!(rules.judge(&change(name, Update)), Err(Refusal::Ref), "{pattern}: {name}");
        }
    }
}

#[test]
fn g_35_a_star_does_not_stand_for_the_usual_default_branch() {
    for name in ["refs/heads/main", "refs/heads/master"] {
        for pattern in ["refs/heads/*", "refs/heads/**", "refs/heads/ma*"] {
            assert_eq!(rules(&[pattern], &[]).judge(&change(name, Update)), Err(Refusal::Ref), "{pattern}: {name}");
        }
        assert_eq!(rules(&["refs/heads/*", name], &[]).judge(&change(name, Update)), Ok(name));
    }
    assert_eq!(rules(&["refs/heads/**"], &[]).judge(&change("refs/heads/x/main", Update)), Ok("refs/heads/**"));
}

#[test]
fn what_no_branch_pattern_reaches() {
    let rules = rules(&["refs/heads/**"], &[]);
    for (name, refusal) in [
        ("refs/tags/v1", Refusal::Tag),
        ("refs/notes/commits", Refusal::Ref),
        ("refs/remotes/origin/main", Refusal::Ref),
        ("refs/for/main", Refusal::Ref),
        ("refs/Heads/main", Refusal::Ref),
        ("refs/pull/1/head", Refusal::Reserved),
        ("refs/replace/1111111111111111111111111111111111111111", Refusal::Reserved),
        ("refs/heads/HEAD", Refusal::Reserved),
    ] {
        assert_eq!(rules.judge(&change(name, Create)), Err(refusal), "{name}");
    }
}

#[test]
fn rights() {
    let branch = "refs/heads/a";
    let with = |rights| RefRules::parse(&strings(&[branch]), &strings(&["v*", "refs/tags/w"]), rights).unwrap();
    let none = Rights { create: false, update: false, force: false, delete: false };
    for (rights, allowed) in [
        (Rights::default(), &[Create, Update, Force][..]),
        (Rights { create: true, ..none }, &[Create]),
        (Rights { update: true, ..none }, &[Update]),
        (Rights { force: true, ..none }, &[]),
        (Rights { force: true, update: true, ..none }, &[Update, Force]),
        (Rights { delete: true, ..none }, &[Delete]),
    ] {
        for kind in [Create, Update, Force, Delete] {
            let expected = if allowed.contains(&kind) { Ok(branch) } else { Err(Refusal::Change(kind)) };
            assert_eq!(with(rights).judge(&change(branch, kind)), expected, "{rights:?}");
            for (tag, entry) in [("refs/tags/v1", "refs/tags/v*"), ("refs/tags/w", "refs/tags/w")] {
                let expected = if kind == Create { Ok(entry) } else { Err(Refusal::TagStands) };
                assert_eq!(with(rights).judge(&change(tag, kind)), expected);
            }
        }
    }
}

#[test]
fn what_force_would_be_is_to_be_verified() {
    let strict = Rights { force: false, ..Rights::default() };
    let strict = RefRules::parse(&strings(&["refs/heads/*"]), &[], strict).unwrap();
    let changes = [change("refs/heads/a", Update), change("refs/heads/b", Create)];
    let permit = decide_refs(&strict, &repository(), &changes).unwrap();
    assert_eq!((permit.repository(), permit.to_verify()), (&repository(), &[changes[0].name.clone()][..]));
    assert_eq!(decide_refs(&rules(&["refs/heads/*"], &[]), &repository(), &changes).unwrap().to_verify(), []);
}

#[test]
fn a_mixed_push_is_refused_whole() {
    let (good, bad) = (change("refs/heads/agent/a", Update), change("refs/heads/main", Update));
    let denial = |changes: &[RefChange]| *decide_refs(&rules(&["refs/heads/agent/*"], &["v*"]), &repository(), changes).unwrap_err();
    let refused = (bad.name.clone(), "policy: this session may not push this ref".to_owned());
    let spared = (good.name.clone(), "not attempted: another ref was refused".to_owned());
    let expected = PushDenial {
        reason: Reason::RefNotGranted,
        repository: repository(),
        refs: vec![spared.clone(), refused.clone()],
        may_push: strings(&["refs/heads/agent/*", "refs/tags/v*"]),
        allow_with: strings(&["push = [\"refs/heads/main\"]"]),
        advice: strings(&[
            "refs/heads/main of octo/spoon: this session may not push this ref.",
            "This session may push: refs/heads/agent/*, refs/tags/v*",
        ]),
    };
    assert_eq!(denial(&[good.clone(), bad.clone()]), expected);
    assert_eq!(denial(&[bad.clone(), good.clone()]), PushDenial { refs: vec![refused, spared], ..expected });
    // One bad ref behind very many good ones.
    let mut many: Vec<_> = (0..500).map(|number| change(&format!("refs/heads/agent/{number}"), Create)).collect();
    many.push(bad);
    assert_eq!(denial(&many).refs.len(), 501);
    // Advice does not grow with a push.
    let mirror: Vec<_> = (0..500).map(|number| change(&format!("refs/x/{number}"), Create)).collect();
    assert_eq!((denial(&mirror).advice.len(), &*denial(&mirror).advice[MAX_ADVICE]), (MAX_ADVICE + 2, "And 490 more."));
}

#[test]
fn a_remedy_is_toml_whatever_a_ref_is_called() {
    for name in ["refs/heads/é", "refs/heads/a\"b'c", "refs/heads/\u{202e}x\u{9b}2J"] {
        let changes = [change(name, Create), change("refs/heads/b", Create), change("refs/tags/c", Create)];
        let remedies = decide_refs(&rules(&[], &[]), &repository(), &changes).unwrap_err().allow_with;
        let remedy = remedies.join("\n");
        let table: toml::Table = remedy.parse().unwrap();
        assert_eq!(table["push"][0].as_str(), Some(name), "{remedy}");
        assert!(!remedy.contains(['\u{202e}', '\u{9b}']), "{remedy}");
    }
}

#[test]
fn whole_repositories() {
    let changes = [change("refs/heads/a", Update)];
    let denial = PushDenial::read_only(&repository(), &changes);
    assert_eq!((denial.reason, denial.refs[0].1.as_str()), (Reason::ReadOnly, "policy: read only for this session"));
    assert_eq!(PushDenial::not_granted(&repository(), &changes).reason, Reason::RepositoryNotGranted);
}

#[test]
fn entries_that_name_no_refs() {
    let malformed = |entry: &str| RefRulesError::Malformed(entry.into());
    for (entry, error) in [
        ("", malformed("")),
        ("main", malformed("main")),
        ("*", malformed("*")),
        ("**", malformed("**")),
        ("refs/*", malformed("refs/*")),
        ("refs/heads/", malformed("refs/heads/")),
        ("refs/heads/a**", malformed("refs/heads/a**")),
        ("refs/heads/***", malformed("refs/heads/***")),
        ("refs/heads/a b", malformed("refs/heads/a b")),
        ("refs/heads/a?", malformed("refs/heads/a?")),
        ("refs/heads/[ab]", malformed("refs/heads/[ab]")),
        ("/refs/heads/a", malformed("/refs/heads/a")),
        ("refs/**/x", RefRulesError::Namespace("refs/**/x".into())),
        ("refs/*/x", RefRulesError::Namespace("refs/*/x".into())),
        ("refs/tags/v1", RefRulesError::TagInPush("refs/tags/v1".into())),
        ("refs/pull/1/head", RefRulesError::Reserved("refs/pull/1/head".into())),
        ("refs/replace/*", RefRulesError::Reserved("refs/replace/*".into())),
        ("refs/heads/HEAD", RefRulesError::Reserved("refs/heads/HEAD".into())),
    ] {
        assert_eq!(RefRules::parse(&strings(&[entry]), &[], Rights::default()).unwrap_err(), error, "{entry}");
    }
    for (entry, error) in [
        ("", malformed("refs/tags/")),
        ("refs/heads/v1", RefRulesError::NoTag("refs/heads/v1".into())),
        ("refs/tags", RefRulesError::NoTag("refs/tags".into())),
        ("../heads/x", malformed("refs/tags/../heads/x")),
    ] {
        assert_eq!(RefRules::parse(&[], &strings(&[entry]), Rights::default()).unwrap_err(), error, "{entry}");
    }
}

use ChangeKind::{Create, Delete, Force, Update};

use proptest::prelude::*;

use super::{denial::MAX_ADVICE, *};
use crate::reason::Reason;

fn strings(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn rules(push: &[&str], tags: &[&str]) -> RefRules {
    with_rights(push, tags, Rights::default()).unwrap()
}

fn with_rights(push: &[&str], tags: &[&str], rights: Rights) -> Result<RefRules, RefRulesError> {
    let push: Vec<_> = push.iter().map(|entry| plain(entry, rights)).collect();
    RefRules::parse(&push, tags, rights)
}

fn plain(entry: &str, rights: Rights) -> PushRule<'_> {
    PushRule { entry, rights, default_branch: false }
}

/// A default branch that has nothing to do with anything.
fn trunk() -> DefaultBranch {
    DefaultBranch::Named(RefName::parse(b"refs/heads/trunk").unwrap())
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
            assert_eq!(rules.judge(&change(name, Update), Some(&trunk())), Ok(pattern), "{name}");
        }
        for name in others {
            assert_eq!(rules.judge(&change(name, Update), Some(&trunk())), Err(Refusal::Ref), "{pattern}: {name}");
        }
    }
}

#[test]
fn g_35_a_star_does_not_stand_for_the_usual_default_branch() {
    for name in ["refs/heads/main", "refs/heads/master"] {
        for pattern in ["refs/heads/*", "refs/heads/**", "refs/heads/ma*"] {
            assert_eq!(
                rules(&[pattern], &[]).judge(&change(name, Update), Some(&trunk())),
                Err(Refusal::Default(pattern)),
                "{pattern}: {name}"
            );
            let flagged = PushRule { default_branch: true, ..plain(pattern, Rights::default()) };
            let flagged = RefRules::parse(&[flagged], &[], Rights::default()).unwrap();
            assert_eq!(flagged.judge(&change(name, Update), Some(&DefaultBranch::Unknown)), Ok(pattern));
        }
        assert_eq!(rules(&["refs/heads/*", name], &[]).judge(&change(name, Update), Some(&trunk())), Ok(name));
    }
    assert_eq!(rules(&["refs/heads/**"], &[]).judge(&change("refs/heads/x/main", Update), Some(&trunk())), Ok("refs/heads/**"));
}

#[test]
fn g_35_a_pattern_does_not_stand_for_the_real_default_branch() {
    let rules = rules(&["refs/heads/**", "refs/heads/written"], &[]);
    let changes = |name| [change(name, Update)];
    assert_eq!(rules.judge(&change("refs/heads/trunk", Update), Some(&trunk())), Err(Refusal::Default("refs/heads/**")));
    assert_eq!(rules.judge(&change("refs/heads/a", Update), Some(&DefaultBranch::Unknown)), Err(Refusal::DefaultUnknown("refs/heads/**")));
    assert_eq!(rules.judge(&change("refs/heads/written", Update), Some(&DefaultBranch::Unknown)), Ok("refs/heads/written"));
    assert!(depends_on_default(&rules, &changes("refs/heads/a")));
    for settled in ["refs/heads/written", "refs/heads/main", "refs/notes/a", "refs/tags/v1"] {
        assert!(!depends_on_default(&rules, &changes(settled)), "{settled}");
    }
    let denial = *decide_refs(&rules, &repository(), &changes("refs/heads/trunk"), &trunk()).unwrap_err();
    assert_eq!((denial.reason, &*denial.allow_with[0]), (Reason::RefNotGranted, "push = [\"refs/heads/trunk\"]"));
    let denial = *decide_refs(&rules, &repository(), &changes("refs/heads/a"), &DefaultBranch::Unknown).unwrap_err();
    assert_eq!(denial.reason, Reason::PushNotJudgeable);
}

#[test]
fn of_several_entries_the_closest_decides() {
    let own = Rights { create: false, update: true, force: false, delete: true };
    let of = |entry, rights| PushRule { entry, rights, default_branch: false };
    let entries = [
        of("refs/heads/**", Rights::default()),
        of("refs/heads/a/*", own),
        of("refs/heads/a/b", Rights { delete: false, ..own }),
        of("refs/heads/a/**", Rights::default()),
    ];
    let mut orders = vec![entries, entries];
    orders[1].reverse();
    for entries in orders {
        let rules = RefRules::parse(&entries, &[], Rights::default()).unwrap();
        for (name, kind, expected) in [
            ("refs/heads/x", Create, Ok("refs/heads/**")),
            ("refs/heads/a/b", Delete, Err("refs/heads/a/b")),
            ("refs/heads/a/b", Update, Ok("refs/heads/a/b")),
            ("refs/heads/a/b/c", Create, Ok("refs/heads/a/**")),
            ("refs/heads/ab", Create, Ok("refs/heads/**")),
        ] {
            let judged = rules.judge(&change(name, kind), Some(&trunk()));
            let judged = judged.map_err(|refusal| if let Refusal::Change { entry, .. } = refusal { entry } else { panic!("{refusal:?}") });
            assert_eq!(judged, expected, "{name} {kind:?}");
        }
    }
    // Two that are as close: the one that is written last.
    let judged = |first, second| {
        let rules = RefRules::parse(&[of("refs/heads/a", first), of("refs/heads/a", second)], &[], Rights::default()).unwrap();
        rules.judge(&change("refs/heads/a", Delete), Some(&trunk())).is_ok()
    };
    assert_eq!((judged(own, Rights::default()), judged(Rights::default(), own)), (false, true));
}

#[test]
fn a_refusal_names_the_entry_what_it_lacks_and_the_line_that_allows_it() {
    let repository_rights = Rights { force: false, ..Rights::default() };
    let entry = PushRule { rights: Rights { create: false, ..repository_rights }, ..plain("refs/heads/agent/*", repository_rights) };
    let rules = RefRules::parse(&[entry], &[], repository_rights).unwrap();
    for (kind, line) in [
        (Create, r#"push = [{ ref = "refs/heads/agent/a" }]"#),
        (Delete, r#"push = [{ ref = "refs/heads/agent/a", create = false, delete = true }]"#),
        (Force, r#"push = [{ ref = "refs/heads/agent/a", create = false, force = true }]"#),
    ] {
        let denial = *decide_refs(&rules, &repository(), &[change("refs/heads/agent/a", kind)], &trunk()).unwrap_err();
        assert_eq!(denial.allow_with, [line]);
        let said = format!("the entry refs/heads/agent/* names it, without \"{}\".", kind.as_str());
        assert!(denial.advice[0].ends_with(&said), "{:?}", denial.advice);
    }
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
        assert_eq!(rules.judge(&change(name, Create), Some(&trunk())), Err(refusal), "{name}");
    }
}

#[test]
fn rights() {
    let branch = "refs/heads/a";
    let with = |rights| with_rights(&[branch], &["v*", "refs/tags/w"], rights).unwrap();
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
            let expected = if allowed.contains(&kind) { Ok(branch) } else { Err(Refusal::Change { kind, entry: branch, rights }) };
            assert_eq!(with(rights).judge(&change(branch, kind), Some(&trunk())), expected, "{rights:?}");
            for (tag, entry) in [("refs/tags/v1", "refs/tags/v*"), ("refs/tags/w", "refs/tags/w")] {
                let expected = if kind == Create { Ok(entry) } else { Err(Refusal::TagStands) };
                assert_eq!(with(rights).judge(&change(tag, kind), Some(&trunk())), expected);
            }
        }
    }
}

#[test]
fn what_force_would_be_is_to_be_verified() {
    let strict = Rights { force: false, ..Rights::default() };
    let strict = with_rights(&["refs/heads/*"], &[], strict).unwrap();
    let changes = [change("refs/heads/a", Update), change("refs/heads/b", Create)];
    let permit = decide_refs(&strict, &repository(), &changes, &trunk()).unwrap();
    assert_eq!((permit.repository(), permit.to_verify()), (&repository(), &[changes[0].name.clone()][..]));
    assert_eq!(decide_refs(&rules(&["refs/heads/*"], &[]), &repository(), &changes, &trunk()).unwrap().to_verify(), []);
}

#[test]
fn a_mixed_push_is_refused_whole() {
    let (good, bad) = (change("refs/heads/agent/a", Update), change("refs/heads/main", Update));
    let denial =
        |changes: &[RefChange]| *decide_refs(&rules(&["refs/heads/agent/*"], &["v*"]), &repository(), changes, &trunk()).unwrap_err();
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
        let remedies = decide_refs(&rules(&[], &[]), &repository(), &changes, &trunk()).unwrap_err().allow_with;
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
        assert_eq!(with_rights(&[entry], &[], Rights::default()).unwrap_err(), error, "{entry}");
    }
    for (entry, error) in [
        ("", malformed("refs/tags/")),
        ("refs/heads/v1", RefRulesError::NoTag("refs/heads/v1".into())),
        ("refs/tags", RefRulesError::NoTag("refs/tags".into())),
        ("../heads/x", malformed("refs/tags/../heads/x")),
    ] {
        assert_eq!(with_rights(&[], &[entry], Rights::default()).unwrap_err(), error, "{entry}");
    }
}

proptest! {
    /// Against a slow reading of the same rules: patterns matched level by level, entries compared one by one.
    #[test]
    fn rules_agree_with_a_slow_reading_of_them(
        entries in prop::collection::vec((pattern(), any::<[bool; 5]>()), 0..5),
        levels in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "main"]), 1..4),
        kind in prop::sample::select(vec![Create, Update, Force, Delete]),
        default in prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "main"]), 1..3)),
    ) {
        let name = format!("refs/heads/{}", levels.join("/"));
        let default = default.map(|levels| format!("refs/heads/{}", levels.join("/")));
        let written: Vec<_> = entries.iter().map(|(entry, [create, update, force, delete, default_branch])| PushRule {
            entry,
            rights: Rights { create: *create, update: *update, force: *force, delete: *delete },
            default_branch: *default_branch,
        }).collect();
        let known = default.as_ref().map_or(DefaultBranch::Unknown, |name| DefaultBranch::Named(RefName::parse(name.as_bytes()).unwrap()));
        let rules = RefRules::parse(&written, &[], Rights::default()).unwrap();
        let judged = rules.judge(&change(&name, kind), Some(&known));
        prop_assert_eq!(judged.ok(), slowly(&written, &name, kind, default.as_deref()), "{:?}", written);
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "*", "**", "a*", "*b", "main"]);
    prop::collection::vec(level, 1..4).prop_map(|levels| format!("refs/heads/{}", levels.join("/")))
}

/// The entry that allows it.
fn slowly<'e>(entries: &[PushRule<'e>], name: &str, kind: ChangeKind, default: Option<&str>) -> Option<&'e str> {
    let levels: Vec<_> = name.split('/').collect();
    let mut left: Vec<_> = entries.iter().filter(|rule| stands_for(&rule.entry.split('/').collect::<Vec<_>>(), &levels)).collect();
    while !left.is_empty() {
        let closeness = |rule: &PushRule<'_>| (!rule.entry.contains('*'), rule.entry.split('*').next().unwrap().len());
        let most = left.iter().map(|rule| closeness(rule)).max().unwrap();
        let at = left.iter().rposition(|rule| closeness(rule) == most).unwrap();
        let rule = left.remove(at);
        let unbound = !rule.entry.contains('*') || rule.default_branch;
        if !unbound && ["refs/heads/main", "refs/heads/master"].contains(&name) {
            continue;
        }
        if !unbound && default? == name {
            continue;
        }
        let Rights { create, update, force, delete } = rule.rights;
        let allowed = match kind {
            Create => create,
            Update => update,
            Force => force && update,
            Delete => delete,
        };
        return allowed.then_some(rule.entry);
    }
    None
}

fn stands_for(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((&"**", [])), _) => !name.is_empty(),
        (Some((&"**", rest)), _) => (0..=name.len()).any(|skipped| stands_for(rest, &name[skipped..])),
        (Some((level, rest)), Some((first, others))) => level_stands_for(level, first) && stands_for(rest, others),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn level_stands_for(level: &str, text: &str) -> bool {
    match level.split_once('*') {
        None => level == text,
        Some((before, after)) => text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after),
    }
}

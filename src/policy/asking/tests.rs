use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::{
    policy::{ChangeKind, DefaultBranch, Facts, RefChange, Way, decide_push},
    reason::Reason,
};

fn parse(text: &str) -> Result<Asking, String> {
    Asking::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn wish(text: &str) -> Wish {
    parse(text).unwrap().wish
}

fn host(text: &str) -> HostWish {
    match wish(&format!("{{\"host\": \"{text}\"}}")) {
        Wish::Host(host) => host,
        Wish::Repository(_) => panic!("a host: {text}"),
    }
}

fn repository(text: &str) -> RepositoryWish {
    match wish(text) {
        Wish::Repository(repository) => repository,
        Wish::Host(_) => panic!("a repository: {text}"),
    }
}

#[test]
fn what_can_be_asked_for() {
    for (text, shown, again) in [
        (r#"{"host": "Example.com."}"#, "to reach example.com", r#"{"host":"example.com"}"#),
        (r#"{"host": "example.com:80", "why": "x"}"#, "to reach example.com", r#"{"host":"example.com"}"#),
        (r#" {"host": "db.example.com:5432"}"#, "to reach db.example.com:5432", r#"{"host":"db.example.com:5432"}"#),
        (r#"{"host": "192.0.2.1"}"#, "to reach 192.0.2.1", r#"{"host":"192.0.2.1"}"#),
        (r#"{"repository": "Octo/Spoon.git"}"#, "to read octo/spoon", r#"{"repository":"octo/spoon","access":"read"}"#),
        (
            r#"{"repository": "octo/spoon", "ref": "refs/heads/x"}"#,
            "to push refs/heads/x of octo/spoon",
            r#"{"repository":"octo/spoon","access":"write","ref":"refs/heads/x"}"#,
        ),
        (
            r#"{"repository": "octo/spoon", "access": "write", "ref": "refs/tags/v1", "why": ""}"#,
            "to push refs/tags/v1 of octo/spoon",
            r#"{"repository":"octo/spoon","access":"write","ref":"refs/tags/v1"}"#,
        ),
    ] {
        let wish = wish(text);
        assert_eq!((wish.to_string(), serde_json::to_string(&wish).unwrap()), (shown.into(), again.into()), "{text}");
        assert_eq!(serde_json::from_str::<Wish>(again).unwrap(), wish);
    }
}

#[test]
fn what_cannot() {
    for text in [
        "",
        "null",
        "[]",
        r#"["example.com", null, null, null, ""]"#,
        "{}",
        r#"{"host": ""}"#,
        r#"{"host": "*.example.com"}"#,
        r#"{"host": "com"}"#,
        r#"{"host": "co.uk"}"#,
        r#"{"host": "https://example.com/"}"#,
        r#"{"host": "a@example.com"}"#,
        r#"{"host": "example.com:*"}"#,
        r#"{"host": "example.com:0"}"#,
        r#"{"host": "10.0.0.0/8"}"#,
        r#"{"host": "0x7f.1"}"#,
        r#"{"host": "example.com", "host": "other.com"}"#,
        r#"{"host": "example.com", "repository": "octo/spoon"}"#,
        r#"{"host": "example.com", "access": "read"}"#,
        r#"{"host": "example.com", "whom": "x"}"#,
        r#"{"host": "example.com"} x"#,
        r#"{"repository": "octo"}"#,
        r#"{"repository": "octo/*"}"#,
        r#"{"repository": "octo/../spoon"}"#,
        r#"{"repository": "octo/spoon", "access": "admin"}"#,
        r#"{"repository": "octo/spoon", "access": "write"}"#,
        r#"{"repository": "octo/spoon", "access": "read", "ref": "refs/heads/x"}"#,
        r#"{"repository": "octo/spoon", "ref": "main"}"#,
        r#"{"repository": "octo/spoon", "ref": "refs/heads/*"}"#,
        r#"{"repository": "octo/spoon", "ref": "refs/pull/1/head"}"#,
        r#"{"repository": "octo/spoon", "ref": "refs/heads/HEAD"}"#,
        r#"{"repository": "octo/spoon", "ref": "refs/heads/a..b"}"#,
        "{\"repository\": \"octo/spoon\", \"ref\": \"refs/heads/a\u{202e}b\"}",
        "{\"repository\": \"octo/spoon\", \"ref\": \"refs/heads/a\u{9b}b\"}",
        r#"{"repository": "octo/spoon", "grants": ["merge"]}"#,
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let long = "x".repeat(MAX_WORDS + 1);
    assert!(parse(&format!("{{\"host\": \"example.com\", \"why\": \"{long}\"}}")).is_err());
    assert!(parse(&format!("{{\"host\": \"example.com\", \"why\": \"{}\"}}", &long[1..])).is_ok());
    assert!(parse(&format!("{{\"host\": \"example.com\"}}{}", " ".repeat(MAX_ASKING))).unwrap_err().contains("longer"));
}

#[test]
fn words_move_no_terminal() {
    for (written, shown) in [
        ("because of \"it\" \\ o'clock", "because of \"it\" \\ o'clock"),
        (" two\nlines\t", "two\\nlines"),
        ("\u{1b}[2Jgone\u{9b}1A\u{7}\u{8}", "\\u{1b}[2Jgone\\u{9b}1A\\u{7}\\u{8}"),
        ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}", "a\\u{202e}b\\u{2066}c\\u{200b}d\\u{feff}"),
        ("e\u{301}\u{301}", "e\\u{301}\\u{301}"),
        ("a\u{a0}b\u{2028}c\u{e0041}", "a\\u{a0}b\\u{2028}c\\u{e0041}"),
        ("\u{fc}\u{4e2d}\u{1f600}", "\u{fc}\u{4e2d}\u{1f600}"),
    ] {
        let words = Words::of(written).unwrap();
        assert_eq!(words.as_str(), shown);
        assert_eq!(serde_json::from_str::<Words>(&serde_json::to_string(&words).unwrap()).unwrap(), words);
    }
    assert!(serde_json::from_str::<Words>("\"a\\u001bb\"").is_err(), "a record that somebody wrote");
}

fn rule_of(policy: &Policy, destination: &str) -> Result<String, Reason> {
    let destination = Destination::parse(destination.as_bytes(), Some(443)).unwrap();
    let facts = Facts { destination: &destination, way: Way::Connect, now: SystemTime::UNIX_EPOCH };
    let decided = policy.decide_destination(&facts);
    decided.map(|permit| permit.rule().map(ToString::to_string).unwrap_or_default()).map_err(|denial| denial.reason)
}

#[test]
fn a_granted_host_is_that_host_and_no_more() {
    let text = "allow = [{ host = \"*.read.example\", intercept = true }, \"db.example:1\"]\ndeny = [\"bad.example\"]";
    let written = Policy::parse("p.toml", text).unwrap().0;
    let granted =
        written.granting(&["one.example", "db.example:5432", "bad.example", "a.read.example", "127.0.0.1", "localhost"].map(host));
    for (destination, expected) in [
        ("one.example", Ok("one.example (granted by the owner:1)".to_owned())),
        ("one.example:80", Ok("one.example (granted by the owner:1)".to_owned())),
        ("one.example:8080", Err(Reason::PortNotAllowed)),
        ("a.one.example", Err(Reason::HostNotAllowed)),
        ("example", Err(Reason::HostNotAllowed)),
        ("db.example:5432", Ok("db.example:5432 (granted by the owner:2)".to_owned())),
        ("db.example:1", Ok("db.example:1 (p.toml:1)".to_owned())),
        ("db.example", Err(Reason::PortNotAllowed)),
        ("bad.example", Err(Reason::HostDenied)),
        ("localhost", Err(Reason::AddressNotAllowed)),
        // The entry of the document, which has it read, is not passed by.
        ("a.read.example", Ok("*.read.example (p.toml:1)".to_owned())),
    ] {
        assert_eq!(rule_of(&granted, destination), expected, "{destination}");
    }
    assert_eq!(rule_of(&written, "one.example"), Err(Reason::HostNotAllowed), "the document is as it was");
    assert_eq!(rule_of(&granted.granting(&[]), "one.example"), Err(Reason::HostNotAllowed));
    let none = Policy::parse("p.toml", "access = \"none\"").unwrap().0.granting(&[host("one.example")]);
    assert_eq!(rule_of(&none, "one.example"), Err(Reason::NetworkDisabled));
    assert_eq!(granted.show().entries.iter().filter(|entry| &*entry.rule.source == GRANTED).count(), 6, "and shown");
}

#[test]
fn a_granted_ref_is_that_ref_and_no_more() {
    let spoon = |name: &str| format!("{{\"repository\": \"octo/spoon\", \"ref\": \"{name}\"}}");
    let before: Grant = serde_json::from_str(r#"[{"name":"octo/fork"},{"name":"octo/spoon","grants":["issues"]}]"#).unwrap();
    let after = before.granting(&repository(&spoon("refs/heads/x"))).unwrap().granting(&repository(&spoon("refs/tags/v1"))).unwrap();
    let expected = r#"[{"name":"octo/fork"},
        {"name":"octo/spoon","access":"write","push":["refs/heads/x"],"tags":["refs/tags/v1"],"grants":["issues"]}]"#;
    assert_eq!(after, serde_json::from_str(expected).unwrap());
    assert_eq!(after.granting(&repository(&spoon("refs/heads/x"))).unwrap(), after, "twice is once");
    let change = |name: &str, kind| RefChange { name: RefName::parse(name.as_bytes()).unwrap(), kind };
    let decide = |name: &str, kind| {
        decide_push(&after, &RepositoryName::parse("octo/spoon").unwrap(), &[change(name, kind)], &DefaultBranch::Unknown).is_ok()
    };
    for (name, kind, expected) in [
        ("refs/heads/x", ChangeKind::Create, true),
        ("refs/heads/x", ChangeKind::Update, true),
        ("refs/heads/x", ChangeKind::Delete, false),
        ("refs/heads/x/y", ChangeKind::Create, false),
        ("refs/heads/main", ChangeKind::Update, false),
        ("refs/tags/v1", ChangeKind::Create, true),
        ("refs/tags/v1", ChangeKind::Update, false),
        ("refs/tags/v2", ChangeKind::Create, false),
    ] {
        assert_eq!(decide(name, kind), expected, "{name} {kind:?}");
    }
    let new = before.granting(&repository(r#"{"repository": "octo/knife"}"#)).unwrap();
    assert_eq!(new.repositories().last(), Some(&RepositoryGrant::reading(RepositoryName::parse("octo/knife").unwrap())));
    let whole =
        Grant::new((0..256).map(|number| RepositoryGrant::reading(RepositoryName::parse(&format!("a/{number}")).unwrap())).collect());
    assert_eq!(whole.unwrap().granting(&repository(r#"{"repository": "octo/knife"}"#)), Err(GrantError::TooMany));
}

proptest! {
    /// What was understood is written as it is read, and nothing in it moves a terminal.
    #[test]
    fn whatever_is_asked(
        host in "[a-z0-9.:*-]{0,12}",
        name in "[A-Za-z./]{0,10}",
        reference in "(refs/(heads|tags)/)?\\PC{0,8}",
        why in "\\PC{0,20}|[\\x00-\\x1f\u{80}-\u{9f}\u{202a}-\u{202e}]{0,8}",
        shape in 0..4,
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let text = match shape {
            0 => format!("{{\"host\": {}, \"why\": {}}}", quoted(&host), quoted(&why)),
            1 => format!("{{\"repository\": {}, \"why\": {}}}", quoted(&format!("o/{name}")), quoted(&why)),
            2 => format!("{{\"repository\": \"o/r\", \"ref\": {}}}", quoted(&reference)),
            _ => why.clone(),
        };
        if let Ok(Asking { wish, why }) = Asking::parse(text.as_bytes()) {
            let again: Wish = serde_json::from_str(&serde_json::to_string(&wish).unwrap()).unwrap();
            prop_assert_eq!(&again, &wish);
            let shown = format!("{wish} {why}");
            prop_assert!(shown.chars().all(is_visible), "{:?}", shown);
        }
    }
}

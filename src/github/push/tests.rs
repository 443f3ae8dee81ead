use proptest::prelude::*;

use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";
const CAPABILITIES: &str = "\0 report-status-v2 side-band-64k object-format=sha1 agent=git/2.47.3";

fn line(content: &str) -> String {
    format!("{:04x}{content}", content.len() + 4)
}

fn first(name: &str) -> String {
    line(&format!("{OLD} {NEW} {name}{CAPABILITIES}"))
}

fn commands(bytes: &str) -> CommandList {
    match parse(bytes.as_bytes()) {
        Ok(Some(Prelude::Commands(list))) => list,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn named(list: &CommandList) -> Vec<&str> {
    list.updates.iter().map(|update| update.name.as_str()).collect()
}

#[test]
fn what_git_sends() {
    let prelude = format!(
        "{}{}{}{}0000",
        line(&format!("shallow {OLD}\n")),
        first("refs/heads/a"),
        line(&format!("{ZERO} {NEW} refs/heads/b")),
        line(&format!("{OLD} {ZERO} refs/tags/c")),
    );
    let list = commands(&format!("{prelude}PACK and so on"));
    assert_eq!(named(&list), ["refs/heads/a", "refs/heads/b", "refs/tags/c"]);
    assert_eq!((list.shallow.len(), list.length, list.has_pack()), (1, prelude.len(), true));
    assert_eq!(String::from_utf8(list.to_bytes()).unwrap(), prelude);
    assert!(list.capabilities.has_report() && list.capabilities.has_bands());
}

#[test]
fn what_other_clients_send() {
    // A line feed after each line, no space before the capabilities, upper-case digits of a length.
    let list = commands(&format!("{}0000", line(&format!("{OLD} {NEW} refs/heads/{}\0report-status \n", "a".repeat(31)))));
    assert_eq!(list.capabilities.to_string(), " report-status");
    assert_eq!(
        commands(&format!(
            "{}0000",
            first("refs/heads/a").to_uppercase().replacen(&first("refs/heads/a").to_uppercase()[4..], &first("refs/heads/a")[4..], 1)
        ))
        .updates
        .len(),
        1
    );
    let plain = commands(&format!("{}0000", line(&format!("{OLD} {NEW} refs/heads/a"))));
    assert_eq!((plain.capabilities.has_report(), plain.capabilities.to_string().as_str()), (false, ""));
    let only_delete = commands(&format!("{}0000", line(&format!("{OLD} {ZERO} refs/heads/a{CAPABILITIES} session-id=x"))));
    assert!(!only_delete.has_pack());
    assert!(!only_delete.capabilities.to_string().contains("session-id"));
}

#[test]
fn sha256_only_where_it_is_said() {
    let (old, new) = ("a".repeat(64), "b".repeat(64));
    let list = commands(&format!("{}0000", line(&format!("{old} {new} refs/heads/a\0 object-format=sha256"))));
    assert_eq!(list.capabilities.object_format(), ObjectFormat::Sha256);
    for (bytes, format) in [
        (line(&format!("{old} {new} refs/heads/a{CAPABILITIES}")), ObjectFormat::Sha1),
        (line(&format!("{old} {new} refs/heads/a")), ObjectFormat::Sha1),
        (line(&format!("{OLD} {NEW} refs/heads/a\0object-format=sha256")), ObjectFormat::Sha256),
        (line(&format!("{OLD} {new} refs/heads/a{CAPABILITIES}")), ObjectFormat::Sha1),
        (line(&format!("shallow {old}")) + &first("refs/heads/a"), ObjectFormat::Sha1),
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(PushError::ObjectFormat(format)), "{bytes}");
    }
}

#[test]
fn a_flush_is_a_probe() {
    assert_eq!(parse(b"0000"), Ok(Some(Prelude::Nothing { length: 4 })));
    let shallow = line(&format!("shallow {OLD}")) + "0000";
    assert_eq!(parse(shallow.as_bytes()), Ok(Some(Prelude::Nothing { length: shallow.len() })));
}

#[test]
fn what_git_would_read_otherwise_is_refused() {
    let good = first("refs/heads/a");
    for (bytes, expected) in [
        // Lengths (threats 103 to 105).
        ("+03f".into(), PushError::Line("+03f".into())),
        (" 3f0".into(), PushError::Line(" 3f0".into())),
        ("0x3f".into(), PushError::Line("0x3f".into())),
        ("-001".into(), PushError::Line("-001".into())),
        ("zzzz".into(), PushError::Line("zzzz".into())),
        ("fff1".into(), PushError::Line("fff1".into())),
        ("ffff".into(), PushError::Line("ffff".into())),
        ("0003".into(), PushError::Line("0003".into())),
        (format!("{good}0004"), PushError::Line("0004".into())),
        (format!("{good}0001"), PushError::End),
        (format!("{good}0002"), PushError::End),
        // Shapes of a command.
        (line(&format!("{OLD} {NEW}")), PushError::Command(format!("{OLD} {}…", &NEW[..19]).into())),
        (line("hello"), PushError::Command("hello".into())),
        (line("ERR no"), PushError::Command("ERR no".into())),
        (line(&format!("{} {NEW} refs/heads/a", &OLD[1..])), PushError::Command(format!("{} {}…", &OLD[1..], &NEW[..20]).into())),
        (line(&format!("{} {NEW} refs/heads/a", "A".repeat(40))), PushError::Command(format!("{} {}…", "A".repeat(40), &NEW[..19]).into())),
        (line(&format!("{OLD}\t{NEW} refs/heads/a")), PushError::Command(format!("{OLD}\\t{}…", &NEW[..19]).into())),
        (line(&format!("{ZERO} {ZERO} refs/heads/a")), PushError::NoChange(RefName::parse(b"refs/heads/a").unwrap())),
        // A second reader of capabilities, and certificates (threats 102, 105).
        (good.clone() + &line(&format!("{OLD} {NEW} refs/heads/b\0report-status")), PushError::LateCapabilities),
        (good.clone() + &line(&format!("{OLD} {NEW} refs/heads/b\0")), PushError::LateCapabilities),
        (line("push-cert\0 report-status\n"), PushError::Certificate),
        (good.clone() + &line("push-cert"), PushError::Certificate),
        // Shallow lines (threat 106).
        (line("shallow "), PushError::Shallow("".into())),
        (line(&format!("shallow {OLD} ")), PushError::Shallow(format!("{OLD} ").into())),
        (line(&format!("shallow {OLD}\0report-status")), PushError::Shallow(OLD.into())),
        (good.clone() + &line(&format!("shallow {OLD}")), PushError::LateShallow),
        // Twice, be it in another case (G-32).
        (good.clone() + &line(&format!("{OLD} {NEW} refs/heads/a")), PushError::Twice(RefName::parse(b"refs/heads/a").unwrap())),
        (good.clone() + &line(&format!("{OLD} {NEW} refs/heads/A")), PushError::Twice(RefName::parse(b"refs/heads/A").unwrap())),
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(expected), "{bytes}");
    }
}

#[test]
fn capabilities_are_known_or_refused() {
    for (word, expected) in [
        ("push-options", CapabilityError::Unknown("push-options".into())),
        ("push-cert=nonce", CapabilityError::Unknown("push-cert=nonce".into())),
        ("no-such", CapabilityError::Unknown("no-such".into())),
        ("atomic=1", CapabilityError::Unknown("atomic=1".into())),
        ("agent", CapabilityError::Unknown("agent".into())),
        ("object-format=md5", CapabilityError::Unknown("object-format=md5".into())),
        ("object-format=sha1 object-format=sha256", CapabilityError::Twice("object-format".into())),
        ("session-id=a session-id=b", CapabilityError::Twice("session-id".into())),
        ("agent=a\nreport-status", CapabilityError::Character("agent=a\\nreport-status".into())),
        ("agent=a\tatomic", CapabilityError::Character("agent=a\\tatomic".into())),
        ("atomic\0quiet", CapabilityError::Character("atomic\\x00quiet".into())),
    ] {
        let bytes = line(&format!("{OLD} {NEW} refs/heads/a\0{word}"));
        assert_eq!(parse(bytes.as_bytes()), Err(PushError::Capability(expected)), "{word:?}");
    }
}

#[test]
fn names_of_refs() {
    for name in [
        "refs/heads/main",
        "refs/heads/-x",
        "refs/heads/refs/heads/main",
        "refs/heads/é",
        "refs/heads/@",
        "refs/heads/a{b}",
        "refs/x/y",
        "refs/stash",
    ] {
        assert_eq!(RefName::parse(name.as_bytes()).map(|name| name.to_string()), Ok(name.to_owned()));
    }
    let invalid: &[&[u8]] = &[
        b"",
        b"HEAD",
        b"main",
        b"refs",
        b"refs/",
        b"/refs/heads/a",
        b"refs//heads/a",
        b"Refs/heads/a",
        b"heads/main",
        b"refs/heads/a/",
        b"refs/heads//a",
        b"refs/heads/./a",
        b"refs/heads/../a",
        b"refs/heads/a..b",
        b"refs/heads/.a",
        b"refs/heads/a.",
        b"refs/heads/a.lock",
        b"refs/heads/a.lock/b",
        b"refs/heads/a b",
        b"refs/heads/a ",
        b" refs/heads/a",
        b"refs/heads/a~",
        b"refs/heads/a^",
        b"refs/heads/a:b",
        b"refs/heads/a?",
        b"refs/heads/*",
        b"refs/heads/[a",
        b"refs/heads/a\\b",
        b"refs/heads/a@{b",
        b"refs/heads/a\n",
        b"refs/heads/a\nrefs/heads/main",
        b"refs/heads/a\x7f",
        b"refs/heads/\xff",
    ];
    for name in invalid {
        assert_eq!(RefName::parse(name), Err(RefNameError::Invalid(excerpt(name))), "{}", name.escape_ascii());
    }
    let long = format!("refs/heads/{}", "a".repeat(MAX_REF_NAME - 11));
    assert!(RefName::parse(long.as_bytes()).is_ok());
    assert_eq!(RefName::parse(format!("{long}a").as_bytes()), Err(RefNameError::TooLong(excerpt(long.as_bytes()))));
}

#[test]
fn bounds() {
    let many = |count: usize| first("refs/heads/a") + &(1..count).map(|n| line(&format!("{OLD} {NEW} refs/heads/{n}"))).collect::<String>();
    assert_eq!(commands(&(many(MAX_COMMANDS) + "0000")).updates.len(), MAX_COMMANDS);
    assert_eq!(parse(many(MAX_COMMANDS + 1).as_bytes()), Err(PushError::TooManyCommands));
    let shallow = line(&format!("shallow {OLD}"));
    assert_eq!(parse(shallow.repeat(MAX_SHALLOW).as_bytes()), Ok(None));
    assert_eq!(parse(shallow.repeat(MAX_SHALLOW + 1).as_bytes()), Err(PushError::TooManyShallow));
    let wide = |n: usize| line(&format!("{OLD} {NEW} refs/heads/{}{n:04}", "a".repeat(900)));
    let long: String = (0..MAX_PRELUDE / 900).map(wide).collect();
    assert_eq!(parse(long.as_bytes()), Err(PushError::TooLong));
    // A line that would end past the bound is not waited for.
    let near: String = (0..MAX_PRELUDE / 1001).map(wide).collect();
    assert_eq!(parse(near.as_bytes()), Ok(None));
    assert_eq!(parse(format!("{near}fff0").as_bytes()), Err(PushError::TooLong));
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_changes_nothing(parts in prop::collection::vec(prop_oneof![
        3 => Just(first("refs/heads/a")),
        3 => "[a-c]{1,2}".prop_map(|name| line(&format!("{OLD} {NEW} refs/heads/{name}"))),
        2 => Just(line(&format!("shallow {OLD}"))),
        2 => Just("0000".to_owned()),
        1 => "[ -~]{0,8}",
    ], 0..6)) {
        let bytes = parts.concat().into_bytes();
        let mut reader = PreludeReader::default();
        let slowly = (0..=bytes.len()).map(|end| reader.read(&bytes[..end])).find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        prop_assert_eq!(parse(&bytes), slowly.clone());
        if let Ok(Some(Prelude::Commands(list))) = slowly {
            let written = list.to_bytes();
            let length = written.len();
            prop_assert_eq!(parse(&written), Ok(Some(Prelude::Commands(CommandList { length, ..list }))));
        }
    }
}

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

fn names(texts: &[&str]) -> BTreeSet<RepositoryName> {
    texts.iter().map(|text| RepositoryName::parse(text).unwrap()).collect()
}

fn ids(numbers: &[u64]) -> BTreeSet<RepositoryId> {
    let id = |number| super::super::identity::read(format!("{{\"id\":{number},\"full_name\":\"o/r\"}}").as_bytes()).unwrap().id;
    numbers.iter().copied().map(id).collect()
}

fn permissions(written: &[(&str, Level)]) -> Permissions {
    let mut permissions = Permissions::default();
    for (name, level) in written {
        permissions.raise(name, *level);
    }
    permissions
}

#[test]
fn an_installation_is_read() {
    let whole = br#"{"id":42,"account":{"login":"Octo","id":1},"repository_selection":"selected","app_id":7,
        "permissions":{"contents":"write","metadata":"read","organization_projects":"admin","secret_scanning":"other"},
        "events":["push"],"suspended_at":null,"suspended_by":null}"#;
    let read = Installation::read(whole).unwrap();
    let expected = permissions(&[("contents", Level::Write), ("metadata", Level::Read), ("organization_projects", Level::Admin)]);
    assert_eq!((read.id.to_string().as_str(), &read.permissions, read.is_suspended), ("42", &expected, false));
    assert!(Installation::read(br#"{"id":42,"permissions":{},"suspended_at":"2026-01-01T00:00:00Z"}"#).unwrap().is_suspended);
    for other in [
        r"[42,{}]",
        r#"{"id":0,"permissions":{}}"#,
        r#"{"id":42}"#,
        r#"{"id":"42","permissions":{}}"#,
        r#"{"id":42,"id":43,"permissions":{}}"#,
        r#"{"id":42,"permissions":["contents"]}"#,
        "",
    ] {
        assert_eq!(Installation::read(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn a_request_is_never_for_everything() {
    assert_eq!(TokenRequest::learning(BTreeSet::new()), None);
    assert_eq!(TokenRequest::new(BTreeSet::new(), permissions(&[("contents", Level::Read)])), None);
    assert_eq!(TokenRequest::new(ids(&[7]), Permissions::default()), None);
    let learning = TokenRequest::learning(names(&["octo/spoon", "ghe.test/octo/fork"])).unwrap();
    assert_eq!(String::from_utf8(learning.to_bytes()).unwrap(), r#"{"repositories":["spoon","fork"],"permissions":{"metadata":"read"}}"#);
    let asked = TokenRequest::new(ids(&[9, 7]), permissions(&[("metadata", Level::Read), ("contents", Level::Write)])).unwrap();
    assert_eq!(
        String::from_utf8(asked.to_bytes()).unwrap(),
        r#"{"repository_ids":[7,9],"permissions":{"contents":"write","metadata":"read"}}"#
    );
}

const MADE: &str = r#"{"token":"ghs_abc","expires_at":"1970-01-01T01:00:00Z","permissions":{"contents":"write","metadata":"read"},
    "repository_selection":"selected","repositories":[{"id":9,"full_name":"Octo/Fork","x":1},{"id":7,"full_name":"octo/spoon"}]}"#;

#[test]
fn a_token_is_good_for_what_was_asked_for_or_is_not_used() {
    let asked =
        |numbers: &[u64], level| TokenRequest::new(ids(numbers), permissions(&[("metadata", Level::Read), ("contents", level)])).unwrap();
    let read = || MadeToken::read(MADE.as_bytes()).unwrap();
    let narrowed = asked(&[7, 9], Level::Write).check(read()).unwrap();
    assert_eq!((narrowed.secret.expose(), narrowed.expires), (&b"ghs_abc"[..], UNIX_EPOCH + Duration::from_secs(3600)));
    assert_eq!(narrowed.repositories.len(), 2);
    for (asked, wider) in [
        (asked(&[7], Level::Write), "2 repositories"),
        (asked(&[7, 8], Level::Write), "2 repositories"),
        (asked(&[7, 9, 11], Level::Write), "2 repositories"),
        (asked(&[7, 9], Level::Read), "contents: write, metadata: read"),
        (TokenRequest::new(ids(&[7, 9]), permissions(&[("contents", Level::Write)])).unwrap(), "metadata: read"),
    ] {
        let mismatch = asked.check(read()).unwrap_err().wider.to_string();
        assert!(mismatch.contains(wider), "{wider:?} in {mismatch}");
    }
    let learnt = MADE.replace(r#""contents":"write","#, "");
    let learning = |texts| TokenRequest::learning(names(texts)).unwrap().check(MadeToken::read(learnt.as_bytes()).unwrap());
    assert!(learning(&["octo/spoon", "octo/fork"]).is_ok());
    for texts in [&["octo/spoon"][..], &["octo/spoon", "octo/knife"], &["octo/spoon", "umbrella/fork"]] {
        assert!(learning(texts).is_err(), "{texts:?}");
    }
    let twice = learnt.replace(r#""id":9,"full_name":"Octo/Fork""#, r#""id":7,"full_name":"octo/spoon""#);
    let asked = TokenRequest::learning(names(&["octo/spoon"])).unwrap();
    assert!(asked.check(MadeToken::read(twice.as_bytes()).unwrap()).is_err());
}

#[test]
fn a_token_is_read_and_never_shown() {
    let made = MadeToken::read(MADE.as_bytes()).unwrap();
    assert!(!format!("{made:?}").contains("ghs_abc"));
    assert_eq!(made.secret.expose(), b"ghs_abc");
    let long = MADE.replace("ghs_abc", &"x".repeat(4096));
    assert_eq!(MadeToken::read(long.as_bytes()).unwrap().secret.expose().len(), 4096);
    for (from, to) in [
        ("ghs_abc", ""),
        ("ghs_abc", "ghs abc"),
        ("ghs_abc", "ghs_\\u0061"),
        ("1970-01-01T01:00:00Z", "soon"),
        ("\"read\"", "\"root\""),
        ("\"id\":9,", ""),
        ("Octo/Fork", "Fork"),
        ("\"repositories\"", "\"others\""),
    ] {
        assert!(MadeToken::read(MADE.replace(from, to).as_bytes()).is_none(), "{from} as {to}");
    }
    assert!(MadeToken::read(MADE.replace("ghs_abc", &"x".repeat(MAX_TOKEN + 1)).as_bytes()).is_none());
}

#[test]
fn a_date_of_an_answer() {
    let date = |text| read_date(text).map(|date| date.duration_since(UNIX_EPOCH).unwrap().as_secs());
    assert_eq!(date("Thu, 01 Jan 1970 01:00:00 GMT"), Some(3600));
    for other in ["", "1970-01-01T01:00:00Z", "Thu, 01 Jan 1970"] {
        assert_eq!(date(other), None, "{other}");
    }
}

#[test]
fn permissions_go_as_far_as_both() {
    let wish = permissions(&[("contents", Level::Write), ("issues", Level::Write), ("checks", Level::Read)]);
    let has = permissions(&[("contents", Level::Read), ("issues", Level::Admin), ("metadata", Level::Read)]);
    assert_eq!(wish.within(&has), permissions(&[("contents", Level::Read), ("issues", Level::Write)]));
    assert_eq!(wish.to_string(), "checks: read, contents: write, issues: write");
}

proptest! {
    #[test]
    fn what_passes_is_what_was_asked_for(asked in prop::collection::btree_set(1_u64..6, 1..4), made in prop::collection::vec(1_u64..6, 0..5), write in any::<bool>()) {
        let numbers: Vec<_> = asked.iter().copied().collect();
        let request = TokenRequest::new(ids(&numbers), permissions(&[("contents", Level::Read)])).unwrap();
        let repositories: Vec<_> = made.iter().map(|id| format!("{{\"id\":{id},\"full_name\":\"o/r{id}\"}}")).collect();
        let level = if write { "write" } else { "read" };
        let answer = format!(
            "{{\"token\":\"t\",\"expires_at\":\"2030-01-01T00:00:00Z\",\"permissions\":{{\"contents\":\"{level}\"}},\"repositories\":[{}]}}",
            repositories.join(",")
        );
        let passes = request.check(MadeToken::read(answer.as_bytes()).unwrap()).is_ok();
        let mut sorted = made.clone();
        sorted.sort_unstable();
        prop_assert_eq!(passes, !write && sorted == numbers);
    }

    #[test]
    fn whatever_comes_is_read_or_not(body in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Installation::read(&body);
        let _ = MadeToken::read(&body);
    }
}

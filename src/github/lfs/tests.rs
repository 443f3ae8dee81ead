use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn oid(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn request(operation: &str) -> BatchRequest {
    let text = format!(r#"{{"operation":"{operation}","objects":[{{"oid":"{}","size":1}}],"ref":{{"name":"refs/heads/x"}}}}"#, oid('a'));
    BatchRequest::parse(text.as_bytes()).unwrap()
}

/// What becomes of the one object of a request, given what the upstream says of it.
fn outcome(operation: &str, said: &str) -> Outcome {
    let answer = format!(r#"{{"objects":[{{"oid":"{}",{said}}}]}}"#, oid('a'));
    let BatchAnswer(mut answered) = BatchAnswer::parse(answer.as_bytes(), &request(operation), at(1000)).unwrap();
    answered.pop().unwrap().outcome
}

fn until(said: &str) -> Option<u64> {
    match outcome("download", &format!(r#""actions":{{"download":{{"href":"https://s.test/x"{said}}}}}"#)) {
        Outcome::Download(action) => Some(action.until.duration_since(at(1000)).unwrap().as_secs()),
        Outcome::Failed(502) => None,
        other @ (Outcome::Failed(_) | Outcome::Upload(..) | Outcome::Present) => panic!("{other:?}"),
    }
}

#[test]
fn what_is_asked_below_a_repository() {
    let handle = Handle::new([7; HANDLE]);
    for (method, below, call) in [
        ("POST", "objects/batch".to_owned(), Call::Batch),
        ("GET", "locks".into(), Call::Locks),
        ("POST", "locks".into(), Call::CreateLock),
        ("POST", "locks/verify".into(), Call::VerifyLocks),
        ("POST", "locks/17/unlock".into(), Call::Unlock(LockId::parse("17").unwrap())),
        ("PUT", format!("transfers/{handle}"), Call::Transfer(handle)),
    ] {
        assert_eq!((Call::parse(method, &below), call.to_string()), (Ok(call), below));
    }
    for (method, below, error) in [
        ("GET", "objects/batch", Some("POST")),
        ("DELETE", "locks", Some("GET or POST")),
        ("GET", "locks/1/unlock", Some("POST")),
        ("POST", "locks//unlock", None),
        ("POST", "locks/1/unlock/", None),
        ("POST", "objects", None),
        ("GET", "transfers/AAAA", None),
        ("GET", "", None),
    ] {
        assert_eq!(Call::parse(method, below), Err(error), "{method} {below}");
    }
    assert!(LockId::parse(&"a".repeat(MAX_LOCK_ID)).is_some() && LockId::parse(&"a".repeat(MAX_LOCK_ID + 1)).is_none());
    assert!(!format!("{handle:?}").contains(&handle.to_string()), "it is not shown");
    for (path, shown) in [
        ("/lfs/abc", "/lfs/-"),
        ("/octo/spoon.git/info/lfs/transfers/abc", "/octo/spoon.git/info/lfs/transfers/-"),
        ("/lfs", "/lfs"),
        ("/octo/spoon.git/info/lfs/objects/batch", "/octo/spoon.git/info/lfs/objects/batch"),
    ] {
        assert_eq!(without_handle(path), shown);
    }
}

#[test]
fn l_6_what_leaves_is_what_was_understood() {
    let text = format!(
        r#"{{"operation":"upload","transfers":["tus","basic"],"x":1,"ref":{{"name":"refs/heads/x","y":2}},"objects":[{{"oid":"{}","size":1,"z":3}}]}}"#,
        oid('a')
    );
    let asked = BatchRequest::parse(text.as_bytes()).unwrap();
    let written = format!(
        r#"{{"operation":"upload","transfers":["basic"],"objects":[{{"oid":"{}","size":1}}],"hash_algo":"sha256","ref":{{"name":"refs/heads/x"}}}}"#,
        oid('a')
    );
    assert_eq!(String::from_utf8(asked.to_bytes()).unwrap(), written);
    assert_eq!(BatchRequest::parse(&asked.to_bytes()), Ok(asked));
}

#[test]
fn l_4_a_link_ends_when_the_upstream_says_and_never_late() {
    for (said, left) in [
        ("", Some(3600)),
        (r#","expires_in":0"#, Some(3600)),
        (r#","expires_in":60"#, Some(60)),
        (r#","expires_in":9999999999"#, Some(3600)),
        (r#","expires_in":-1"#, None),
        (r#","expires_at":"1970-01-01T00:20:00Z""#, Some(200)),
        (r#","expires_at":"1970-01-01T00:20:00Z","expires_in":60"#, Some(60)),
        (r#","expires_at":"1970-01-01T00:10:00Z""#, None),
        (r#","expires_at":"0001-01-01T00:00:00Z""#, Some(3600)),
        (r#","expires_at":"tomorrow""#, None),
    ] {
        assert_eq!(until(said), left, "{said}");
    }
}

#[test]
fn fields_of_a_link_are_its_own() {
    let field = |name: &str, value: &str| {
        let said = format!(r#""actions":{{"download":{{"href":"https://s.test/x","header":{{"{name}":"{value}"}}}}}}"#);
        match outcome("download", &said) {
            Outcome::Download(action) => Some(action.headers.len()),
            Outcome::Failed(_) | Outcome::Upload(..) | Outcome::Present => None,
        }
    };
    assert_eq!(field("Authorization", "RemoteAuth x"), Some(1));
    for name in ["Host", "content-length", "Transfer-Encoding", "Connection", "range"] {
        assert_eq!(field(name, "x"), Some(0), "{name}");
    }
    assert_eq!((field("a b", "x"), field("", "x"), field("a", "\\n")), (None, None, None));
    assert_eq!(field("a", &"x".repeat(17 * 1024)), None);
    let said = r#""actions":{"download":{"href":"https://s.test/secret","header":{"Authorization":"secret"}}}"#;
    assert!(!format!("{:?}", outcome("download", said)).contains("secret"), "neither is shown");
}

#[test]
fn links_are_absolute_and_plain() {
    for good in ["https://s.test/x", "http://s.test:81/x?y=%20z&a=b:c", "https://[2001:db8::1]/x"] {
        assert!(Href::parse(good).is_ok(), "{good}");
    }
    let long = format!("https://s.test/{}", "x".repeat(8 * 1024));
    for bad in [
        "",
        "/x",
        "//s.test/x",
        "ftp://s.test/x",
        "https://s.test",
        "https://s.test?x",
        "https://u@s.test/x",
        "https://s.test/x#y",
        "https://s.test/ x",
        "https://s.test/\u{e9}",
        "https://s.test\\x",
        "https://s.test:0/x",
        "https:///x",
        &long,
    ] {
        assert!(Href::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_part_is_one_range_within_the_object() {
    let parse = |value: &str| Range::parse([value.as_bytes()], 10).map(|range| (range.first, range.last));
    for (value, range) in [
        ("bytes=3-9", Some((3, 9))),
        ("bytes=3-", Some((3, 9))),
        ("bytes=0-8", Some((0, 8))),
        ("bytes=3-99", Some((3, 9))),
        ("bytes=0-9", None),
        ("bytes=0-", None),
        ("bytes=10-", None),
        ("bytes=5-4", None),
        ("bytes=-3", None),
        ("bytes=+3-9", None),
        ("bytes=1-2,4-5", None),
        ("octets=1-2", None),
        ("bytes=1-99999999999999999999", None),
    ] {
        assert_eq!(parse(value), range, "{value}");
    }
    assert_eq!(Range::parse([&b"bytes=1-2"[..], b"bytes=1-2"], 10), None);
    assert_eq!(Range::parse([&b"bytes=0-"[..]], 0), None);
    let range = Range { first: 3, last: 9 };
    assert!(is_range_of([&b"bytes 3-9/10"[..]], range, 10) && !is_range_of([&b"bytes 3-9/*"[..]], range, 10));
    assert!(!is_range_of([], range, 10) && !is_range_of([&b"bytes 3-9/10"[..]; 2], range, 10));
}

#[test]
fn locks_are_asked_for_by_known_keys() {
    let query = |text: &str| LockQuery::parse(text).map(|query| query.to_query());
    assert_eq!(query("").as_deref(), Ok(""));
    assert_eq!(
        query("path=a%20b%2Fc+d&limit=5&cursor=&id=7&refspec=refs%2Fheads%2Fx").as_deref(),
        Ok("?path=a%20b%2Fc%20d&id=7&limit=5&refspec=refs%2Fheads%2Fx")
    );
    for bad in ["path", "path=%", "path=%zz", "path=%00", "path=%ff", "x=1", "path=a&path=a", "limit=x", "id=a/b", "refspec=x", "&"] {
        assert!(LockQuery::parse(bad).is_err(), "{bad}");
    }
    let listing = LockListing::parse(br#"{"locks":[{"id":"1","path":"a","owner":{"name":"o","x":1},"y":2}],"z":3}"#).unwrap();
    assert_eq!(listing.to_bytes(), br#"{"locks":[{"id":"1","path":"a","owner":{"name":"o"}}]}"#);
    assert!(LockListing::parse(br#"{"locks":[{"id":"1","path":"a\u001b[2J"}]}"#).is_err(), "it ends in a terminal");
}

proptest! {
    #[test]
    fn no_bytes_break_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]:,\"a-z0-9 .-]{0,80}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = BatchRequest::parse(bytes);
            let _ = BatchAnswer::parse(bytes, &request("upload"), at(0));
            let _ = (LockQuery::parse_body(bytes), LockChange::parse_creating(bytes), LockChange::parse_unlocking(bytes));
            let _ = (LockListing::parse(bytes), LockAnswer::parse(bytes), read_object(bytes));
        }
        let _ = (LockQuery::parse(&text), Href::parse(&text), Call::parse("POST", &text));
    }

    #[test]
    fn a_request_reads_the_same_when_it_is_written_anew(
        objects in prop::collection::btree_map("[0-9a-f]{64}", 1..1_u64 << 40, 1..20),
        upload: bool,
        name in prop::option::of("refs/heads/[a-z]{1,9}"),
    ) {
        let objects: Vec<_> = objects.into_iter().map(|(oid, size)| Object { oid: Oid::parse(&oid).unwrap(), size }).collect();
        let operation = if upload { Operation::Upload } else { Operation::Download };
        let reference = name.map(|name| crate::github::push::RefName::parse(name.as_bytes()).unwrap());
        let asked = BatchRequest { operation, reference, objects };
        prop_assert_eq!(BatchRequest::parse(&asked.to_bytes()), Ok(asked));
    }

    #[test]
    fn a_query_reads_the_same_when_it_is_written_anew(path in "[^\\p{C}]{1,20}", cursor in "[!-~]{1,20}", limit: u32) {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let asked = LockQuery::parse(&format!("path={}&cursor={}&limit={limit}", encode(&path), encode(&cursor))).unwrap();
        prop_assert_eq!(LockQuery::parse(asked.to_query().trim_start_matches('?')), Ok(asked));
    }

    #[test]
    fn a_link_leads_where_it_says(host in "[a-z]{1,9}\\.test", port in 1..=u16::MAX, target in "/[!-~&&[^#\\\\\"<>]]{0,40}") {
        if let Ok(href) = Href::parse(&format!("https://{host}:{port}{target}")) {
            prop_assert_eq!(href.destination.to_string(), format!("{host}:{port}"));
            prop_assert_eq!(href.target().as_str(), target);
        }
    }
}

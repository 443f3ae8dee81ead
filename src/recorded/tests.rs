use std::time::Duration;

use proptest::prelude::*;

use super::*;

const LINE: &str = r#"{"schema":1,"time":"2026-11-21T12:00:00.000042Z","sequence":1,"generation":4,"session":"s1","door":"proxy","kind":"http","verdict":"deny","reason":"host_not_allowed","rule":null,"would_deny":null,"host":"[2001:db8::1]","port":80,"address":"192.0.2.1","method":"GET","path":"/a\n","repository":null,"refs":null,"bytes_up":null,"bytes_down":null,"duration_ms":null,"pid":null,"exe":null,"redirected_by":"a.test:443"}"#;

#[test]
fn a_line_is_read() {
    let expected = Recorded {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_262_400_000_042),
        session: Some("s1".into()),
        asked: Asked::Http,
        reason: Some(Reason::HostNotAllowed),
        would_deny: None,
        destination: Destination::parse(b"[2001:db8::1]:80", None).ok(),
        address: Some([192, 0, 2, 1].into()),
        method: Some("GET".into()),
        path: Some("/a\n".into()),
        redirected_by: Destination::parse(b"a.test:443", None).ok(),
        ended: false,
    };
    assert_eq!(Recorded::read(LINE.as_bytes()), Ok(expected));
}

#[test]
fn later_fields_mean_nothing_and_absent_ones_are_none() {
    let line = br#"{"later":{"a":[1]},"kind":"push","time":"2026-11-21T12:00:00Z","schema":1}"#;
    let recorded = Recorded::read(line).unwrap();
    assert_eq!((recorded.asked, recorded.destination, recorded.reason), (Asked::Other, None, None));
}

#[test]
fn what_is_no_record_is_an_error() {
    let replaced = |from: &str, to: &str| {
        let line = LINE.replace(from, to);
        assert_ne!(line, LINE, "{from}");
        Recorded::read(line.as_bytes()).unwrap_err().to_string()
    };
    for (from, to, expected) in [
        ("\"schema\":1", "\"schema\":2", "an audit record of schema 2, where 1 is known"),
        ("2026-11-21T", "yesterday ", "not an audit record: nothing that \"time\" may be"),
        ("[2001:db8::1]", "A.test/", "not an audit record: nothing that \"host\" may be"),
        ("\"port\":80", "\"port\":null", "not an audit record: nothing that \"port\" may be"),
        ("\"port\":80", "\"port\":0", "not an audit record: nothing that \"host\" may be"),
        ("\"port\":80", "\"port\":65536", "not an audit record"),
        ("host_not_allowed", "because", "not an audit record: nothing that \"reason\" may be"),
        ("a.test:443", "a.test", "not an audit record: nothing that \"redirected_by\" may be"),
        ("\"kind\":\"http\",", "", "not an audit record"),
        ("}", "", "not an audit record"),
        ("}", "}{}", "not an audit record"),
    ] {
        assert_eq!(replaced(from, to), expected, "{from} → {to}");
    }
    assert_eq!(Recorded::read(&vec![b' '; MAX_LINE + 1]), Err(RecordedError::TooLong));
    assert_eq!(Recorded::read(b""), Err(RecordedError::Form));
}

proptest! {
    #[test]
    fn no_line_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..LINE.len(), byte: u8) {
        let _ = Recorded::read(&bytes);
        let mut line = LINE.as_bytes().to_vec();
        line[at] = byte;
        let _ = Recorded::read(&line);
    }
}

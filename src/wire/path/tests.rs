use proptest::prelude::*;

use super::*;

fn problem(origin_form: &str) -> Problem {
    match CanonicalTarget::read(origin_form) {
        Ok(read) => panic!("{origin_form} reads as {read}"),
        Err(error) => error.problem,
    }
}

#[test]
fn one_spelling_leaves() {
    let table = [
        ("/", "/"),
        ("/org/x", "/org/x"),
        ("/org/", "/org/"),
        ("/%6frg/x", "/org/x"),
        ("/%6Frg/%7ex", "/org/~x"),
        ("/org/%e4%bd%a0", "/org/%E4%BD%A0"),
        ("/org/a%20b%3fc%23d", "/org/a%20b%3Fc%23d"),
        ("/org/100%25", "/org/100%25"),
        ("/org/100%25zz", "/org/100%25zz"),
        ("/org/...", "/org/..."),
        ("/org/.git/..x", "/org/.git/..x"),
        ("/org/a;v=1/b", "/org/a;v=1/b"),
        ("/org/a%3bv", "/org/a%3Bv"),
        ("/org/{a}|^!$&'()*+,:@", "/org/{a}|^!$&'()*+,:@"),
        ("/org/?q=../", "/org/?q=../"),
        ("/org?q=//%2e%2E%zz?", "/org?q=//%2e%2E%zz?"),
        ("/org?", "/org?"),
    ];
    for (sent, leaves) in table {
        assert_eq!(CanonicalTarget::read(sent).unwrap().to_string(), leaves, "{sent}");
    }
    let read = CanonicalTarget::read("/%61?b").unwrap();
    assert_eq!((read.path(), read.query()), ("/a", Some("b")));
}

#[test]
fn dot_segments_in_every_spelling() {
    for path in [
        "/org/../evil",
        "/org/%2e%2e/evil",
        "/org/.%2e/evil",
        "/org/%2E./evil",
        "/org/..;/evil",
        "/org/..;x=1/evil",
        "/org/%2e%2e%3b/evil",
        "/org/..%3Bx/evil",
        "/org/./x",
        "/org/%2e/x",
        "/org/.;/x",
        "/..",
        "/.",
        "/org/..",
        "/org/..?q",
    ] {
        assert_eq!(problem(path), Problem::Dots, "{path}");
    }
}

#[test]
fn empty_segments() {
    for path in ["//org/x", "/org//x", "/org//", "//", "/;/org", "/org/;a=1/x", "/org/%3b/x", "/org/;"] {
        assert_eq!(problem(path), Problem::Empty, "{path}");
    }
}

#[test]
fn escapes_that_hide_something() {
    for (path, hidden) in [
        ("/org%2Fx", b'/'),
        ("/org%2fx", b'/'),
        ("/org%5c..%5cevil", b'\\'),
        ("/org/%00", 0),
        ("/org/%0d%0aX:", 13),
        ("/org/%1f", 31),
        ("/org/%7F", 127),
    ] {
        assert_eq!(problem(path), Problem::Hidden(hidden), "{path}");
    }
    for path in ["/org%252f..", "/org%252F", "/%252e%252e/x", "/%25%32%66", "/%2500", "/%25252f"] {
        assert_eq!(problem(path), Problem::Twice, "{path}");
    }
    for path in ["/%", "/%2", "/%zz", "/%+1", "/%%32f", "/a%2%65"] {
        assert_eq!(problem(path), Problem::Escape, "{path}");
    }
    for path in ["/org/%c0%ae%c0%ae/evil", "/org/%e0%80%af", "/%ff", "/%e4%bd"] {
        assert_eq!(problem(path), Problem::NotUtf8, "{path}");
    }
}

#[test]
fn characters_and_forms_that_are_foreign() {
    assert_eq!(problem("/org/\\..\\evil"), Problem::Character(b'\\'));
    assert_eq!(problem("/org#f"), Problem::Character(b'#'));
    assert_eq!(problem("/org x"), Problem::Character(b' '));
    assert_eq!(problem("/org/é"), Problem::Character(0xc3));
    assert_eq!(problem("/org/\0"), Problem::Character(0));
    for form in ["*", "", "?", "org", "a.test:443", "http://a.test/"] {
        assert_eq!(problem(form), Problem::Form, "{form}");
    }
}

#[test]
fn errors_say_what_to_write() {
    let said = |path| CanonicalTarget::read(path).unwrap_err().to_string();
    assert_eq!(said("/a/../b"), "a path has no dot segment, write what it resolves to: \"/a/../b\"");
    assert_eq!(said("/a%2fb"), "%2F may not stand in a path that rules judge, leave it out: \"/a%2fb\"");
    assert_eq!(said("/a%"), "\"%\" stands before two hexadecimal digits, write \"%25\" for itself: \"/a%\"");
    assert_eq!(CanonicalTarget::read("//").unwrap_err().reason(), Reason::BadRequest);
}

proptest! {
    #[test]
    fn what_is_canonical_reads_back_and_holds_no_trick(text in "/([./;%a?]|%(2[eEfF5]|6f|3[bB]|25|5c|c3%a9)){0,12}") {
        if let Ok(read) = CanonicalTarget::read(&text) {
            prop_assert_eq!(CanonicalTarget::read(&read.to_string()), Ok(read.clone()));
            let path = read.path().to_ascii_lowercase();
            prop_assert!(!path.contains("//") && !path.contains("%2e") && !path.contains("%2f") && !path.contains("%5c"), "{}", path);
            prop_assert!(path.split('/').filter_map(|segment| segment.split(';').next()).all(|name| name != "." && name != ".."), "{}", path);
        }
    }

    #[test]
    fn any_text_is_answered(text in ".{0,64}") {
        let _ = CanonicalTarget::read(&text);
    }
}

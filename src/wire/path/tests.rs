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
        ("/org/...x", "/org/...x"),
        ("/org/caf%c3%a9%20%26%20bar", "/org/caf%C3%A9%20%26%20bar"),
        ("/org/%20a%20/x", "/org/%20a%20/x"),
        ("/org/a..%20b", "/org/a..%20b"),
        ("/org/and%20so%20on%E2%80%A6", "/org/and%20so%20on%E2%80%A6"),
        ("/org/%EF%BC%8Ea", "/org/%EF%BC%8Ea"),
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

/// What is left where a server trims names (Windows, Java), normalises them (NFKC), drops what cannot be seen (HFS+), or all of it.
#[test]
fn dot_segments_that_are_seen_after_trimming_or_folding() {
    for segment in [
        "..%20",
        ".%20",
        "%20..",
        ".%20.",
        "..%20.",
        "%2e%2e%20",
        "...",
        "....",
        "..%C2%A0",
        "..%E3%80%80",
        "..%E2%80%8B",
        "%EF%BB%BF..",
        "%EF%BC%8E%EF%BC%8E",
        ".%EF%BC%8E",
        "%EF%BC%8E",
        "%E2%80%A4%E2%80%A4",
        "%E2%80%A5",
        "%EF%B8%B0",
        "%E2%80%A6",
        "%EF%B9%92.",
        "%E3%80%82%E3%80%82",
        "..%EF%BC%9B",
        "..%CD%BEx",
        "..%20;x",
    ] {
        for path in [format!("/org/{segment}/evil"), format!("/org/{segment}"), format!("/{segment}/x")] {
            assert_eq!(problem(&path), Problem::Dots, "{path}");
        }
    }
    for path in ["/org/%20/x", "/%20", "/org/%E2%80%8B", "/%C2%A0/org", "/org/%20;x/y"] {
        assert_eq!(problem(path), Problem::Empty, "{path}");
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
        ("/org%2Fx", '/'),
        ("/org%2fx", '/'),
        ("/org%5c..%5cevil", '\\'),
        ("/org/%00", '\0'),
        ("/org/%0d%0aX:", '\r'),
        ("/org/%1f", '\u{1f}'),
        ("/org/%7F", '\u{7f}'),
        ("/org/..%09/evil", '\t'),
        ("/org/%C2%85", '\u{85}'),
        ("/org%EF%BC%8F..%EF%BC%8Fevil", '\u{ff0f}'),
        ("/org/..%E2%88%95evil", '\u{2215}'),
        ("/org/a%E2%81%84b", '\u{2044}'),
        ("/org/..%EF%BC%BCevil", '\u{ff3c}'),
        ("/org/%EF%BC%852e", '\u{ff05}'),
        ("/org/..%C2%A5evil", '\u{a5}'),
        ("/org/..%E2%82%A9evil", '\u{20a9}'),
    ] {
        assert_eq!(problem(path), Problem::Hidden(hidden), "{path}");
    }
    for path in ["/org%252f..", "/org%252F", "/%252e%252e/x", "/%25%32%66", "/%2500", "/%25252f"] {
        assert_eq!(problem(path), Problem::Twice, "{path}");
    }
    for path in ["/%", "/%2", "/%zz", "/%+1", "/%%32f", "/a%2%65"] {
        assert_eq!(problem(path), Problem::Escape, "{path}");
    }
    for path in
        ["/org/%c0%ae%c0%ae/evil", "/org/%e0%80%ae", "/org/%c0%af", "/org/%e0%80%af", "/%f0%80%80%ae", "/%ed%a0%80", "/%ff", "/%e4%bd"]
    {
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
    assert_eq!(said("/a%ef%bc%8fb"), "%EF%BC%8F may not stand in a path that rules judge, leave it out: \"/a%ef%bc%8fb\"");
    assert_eq!(CanonicalTarget::read("//").unwrap_err().reason(), Reason::BadRequest);
}

fn escape(text: &str) -> String {
    text.bytes().flat_map(|octet| ["%".to_owned(), format!("{octet:02x}")]).collect()
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
    fn names_of_letters_and_blanks_pass(name in "[a-zäé日]{1,4}([ .&][a-zäé日]{1,4}){0,3}[ .]?") {
        let read = CanonicalTarget::read(&format!("/x/{}/y", escape(&name)));
        prop_assert!(read.is_ok_and(|read| read.path().is_ascii()));
    }

    #[test]
    fn what_folds_to_a_dot_segment_is_refused(
        dots in proptest::collection::vec(proptest::sample::select([DOTS, &[' ', '\u{a0}', '\u{200b}']].concat()), 1..5),
        after in "([;；][a-z]?)?",
    ) {
        let path = format!("/org/{}/x", escape(&(dots.iter().collect::<String>() + &after)));
        prop_assert!(matches!(problem(&path), Problem::Dots | Problem::Empty), "{}", path);
    }

    #[test]
    fn any_text_is_answered(text in ".{0,64}") {
        let _ = CanonicalTarget::read(&text);
    }
}

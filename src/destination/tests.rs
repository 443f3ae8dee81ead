use proptest::prelude::*;

use super::*;

fn host(input: &str) -> Result<String, String> {
    Host::parse(input.as_bytes()).map(|host| host.to_string()).map_err(|error| error.to_string())
}

#[test]
fn names_have_one_canonical_form() {
    for (input, canonical) in [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("r3---sn-abc.example", "r3---sn-abc.example"),
        ("a1.0x7f.example", "a1.0x7f.example"),
        ("1.2.3.4", "1.2.3.4"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("com", "com"),
    ] {
        assert_eq!(host(input).as_deref(), Ok(canonical), "{input}");
    }
}

#[test]
fn bounds_are_exact() {
    let label = "a".repeat(MAX_LABEL);
    assert!(host(&label).is_ok());
    assert!(host(&format!("{label}a")).is_err());
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), MAX_NAME);
    assert!(host(&longest).is_ok());
    assert!(host(&format!("{longest}.")).is_ok());
    assert!(host(&format!("{longest}a")).is_err());
    assert!(host(&"a.".repeat(50_000)).is_err());
}

#[test]
fn everything_else_is_refused() {
    for input in [
        "",
        ".",
        "..",
        "example.com..",
        ".example.com",
        "exa..mple.com",
        "-a.example",
        "a-.example",
        "xn--a",
        "xn--",
        "xn--.example",
        "exam%70le.com",
        "example.com\0.x",
        "exa mple.com",
        "example.com\r\n",
        "ｅxample.com",
        "example。com",
        "example.com/evil",
        "evil.net#example.com",
        "evil.net\\example.com",
        "*.example.com",
        "*",
        "[example.com]",
        "[[example.com]]",
        "[::1",
        "::1]",
        "::1",
        "[::1%lo]",
        "[::1%25lo]",
        "[v1.x]",
        "[]",
        "[127.0.0.1]",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.01",
        "127.000.000.001",
        "0",
        "0x",
        "127.0.0.1.",
        "256.256.256.256",
        "1.2.3.4.5",
        "example.0x7f",
        "example.1",
    ] {
        assert!(host(input).is_err(), "{input:?} gave {:?}", host(input));
    }
}

#[test]
fn authorities() {
    let parse = |input: &str, default| Destination::parse(input.as_bytes(), default).map(|destination| destination.to_string());
    assert_eq!(parse("Example.com:443", None).unwrap(), "example.com:443");
    assert_eq!(parse("example.com", Some(80)).unwrap(), "example.com:80");
    assert_eq!(parse("[::1]:8080", None).unwrap(), "[::1]:8080");
    for input in [
        "example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:83616",
        "example.com:+443",
        "example.com: 443",
        "example.com:0x1bb",
        "example.com:443:22",
        "example.com:0443",
        ":443",
        "[::1]",
        "[::1]443",
        "::1:443",
        "user:pw@example.com:443",
        "@example.com:443",
        "[::1]]:443",
        "[[::1]]:443",
    ] {
        assert!(parse(input, None).is_err(), "{input}");
    }
}

#[test]
fn errors_show_the_input_escaped_and_bounded() {
    assert_eq!(host("a\nb").unwrap_err(), "\"\\n\" may not stand in a host, which is plain ASCII here: \"a\\nb\"");
    assert!(host(&"\u{1}".repeat(250)).unwrap_err().len() < 600);
}

#[test]
fn suffixes_run_from_the_name_to_the_top() {
    let Ok(Host::Name(name)) = Host::parse(b"a.b.c") else { panic!("a name") };
    assert_eq!(name.suffixes().collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
}

proptest! {
    #[test]
    fn what_parses_prints_and_parses_back(input in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(destination) = Destination::parse(&input, Some(80)) {
            let printed = destination.to_string();
            prop_assert_eq!(Destination::parse(printed.as_bytes(), None), Ok(destination));
        }
    }

    #[test]
    fn names_like_real_ones_parse_back(input in "([a-zA-Z0-9_]{1,10}\\.){1,4}[a-z]{2,6}\\.?(:[1-9][0-9]{0,3})?") {
        let destination = Destination::parse(input.as_bytes(), Some(80)).unwrap();
        prop_assert_eq!(Destination::parse(destination.to_string().as_bytes(), None), Ok(destination));
    }
}

use super::*;

fn effective(input: &str) -> String {
    input.parse::<Pattern>().unwrap_or_else(|error| panic!("{input}: {error:?}")).to_string()
}

/// The error and the way out, as a person reads them.
fn complaint(input: &str) -> String {
    let error = match input.parse::<Pattern>() {
        Ok(pattern) => pattern.check_width().expect_err(input),
        Err(error) => error,
    };
    [Some(error.message), error.help].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[test]
fn patterns_have_an_effective_form() {
    for (input, expected) in [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("*.Example.com.", "*.example.com"),
        ("**.example.com:8443", "**.example.com:8443"),
        ("example.com:*", "example.com:*"),
        ("api-*.example.com", "api-*.example.com"),
        ("*-api.*.example.com:1", "*-api.*.example.com:1"),
        ("_acme._tcp.example.com", "_acme._tcp.example.com"),
        ("db:5432", "db:5432"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example:8443", "*.xn--bcher-kva.example:8443"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("10.1.2.3:5432", "10.1.2.3:5432"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8:5432", "10.0.0.0/8:5432"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("fd00::/8", "fd00::/8"),
        ("[fd00::/8]:*", "[fd00::/8]:*"),
    ] {
        assert_eq!(effective(input), expected, "{input}");
    }
}

#[test]
fn what_is_no_pattern_says_what_to_write() {
    for (input, expected) in COMPLAINTS {
        assert_eq!(complaint(input), *expected, "{input}");
    }
}

const COMPLAINTS: &[(&str, &str)] = &[
    ("", "an empty pattern matches nothing; write a host, such as \"example.com\""),
    ("https://example.com/", "a pattern is a host, not a URL: \"https://example.com/\"; write \"example.com\""),
    (
        "https://user@example.com:8443/x?y",
        "a pattern is a host, not a URL: \"https://user@example.com:8443/x?y\"; write \"example.com:8443\"",
    ),
    ("example.com/v1", "a path may not stand in a pattern: \"example.com/v1\"; write \"example.com\""),
    ("example.com:8443/v1", "a path may not stand in a pattern: \"example.com:8443/v1\"; write \"example.com:8443\""),
    ("me@example.com", "user information may not stand in a pattern: \"me@example.com\"; write \"example.com\""),
    ("a.example b.example", "a pattern has no blanks: \"a.example b.example\"; write one host per entry, such as \"example.com\""),
    ("a.example\0", "a pattern has no blanks: \"a.example\\0\"; write one host per entry, such as \"example.com\""),
    (
        ".example.com",
        "a pattern does not begin with a dot: \".example.com\"; write \"**.example.com\" for the domain and everything below, or \"*.example.com\" for what is below only",
    ),
    (
        "*",
        "\"*\" would match every host; access = \"full\" allows every name and access = \"none\" none; else write the domains that are meant",
    ),
    (
        "**:443",
        "\"**:443\" would match every host; access = \"full\" allows every name and access = \"none\" none; else write the domains that are meant",
    ),
    (
        "*.com",
        "\"*.com\" would match every name under the public suffix \"com\"; write the domain that is meant, such as \"*.example.com\"",
    ),
    (
        "**.co.uk",
        "\"**.co.uk\" would match every name under the public suffix \"co.uk\"; write the domain that is meant, such as \"*.example.co.uk\"",
    ),
    ("*.ck", "\"*.ck\" would match every name under the public suffix \"ck\"; write the domain that is meant, such as \"*.example.ck\""),
    (
        "my-*.com:8443",
        "\"my-*.com:8443\" would match every name under the public suffix \"com\"; write the domain that is meant, such as \"*.example.com\"",
    ),
    (
        "*.*.com",
        "\"*.*.com\" would match every name under the public suffix \"com\"; write the domain that is meant, such as \"*.example.com\"",
    ),
    (
        "*.рф",
        "\"*.xn--p1ai\" would match every name under the public suffix \"xn--p1ai\"; write the domain that is meant, such as \"*.example.xn--p1ai\"",
    ),
    ("com", "\"com\" is a public suffix, nobody's host; write the domain that is meant, such as \"*.example.com\""),
    ("0.0.0.0/0", "\"0.0.0.0/0\" would match every address; write the network that is meant, such as \"10.1.2.0/24\""),
    (
        "example.*",
        "the last label of a pattern is written out: \"example.*\"; wildcards are \"*.\" or \"**.\" before a domain, or \"*\" inside a label",
    ),
    (
        "a.**.example.com",
        "\"**\" stands only before the first dot: \"a.**.example.com\"; wildcards are \"*.\" or \"**.\" before a domain, or \"*\" inside a label",
    ),
    (
        "example.com:0",
        "a port is a number from 1 to 65535, or *: \"example.com:0\"; write one entry per port, such as \"example.com:8443\"",
    ),
    (
        "example.com:65536",
        "a port is a number from 1 to 65535, or *: \"example.com:65536\"; write one entry per port, such as \"example.com:8443\"",
    ),
    (
        "example.com:80-90",
        "a port is a number from 1 to 65535, or *: \"example.com:80-90\"; write one entry per port, such as \"example.com:8443\"",
    ),
    ("example.com:", "a port is a number from 1 to 65535, or *: \"example.com:\"; write one entry per port, such as \"example.com:8443\""),
    (
        "10.1.2.3/8",
        "a network whose address has bits beyond its prefix: \"10.1.2.3/8\"; write \"10.0.0.0/8\" for the network or \"10.1.2.3\" for the address",
    ),
    ("10.1.2.0/33", "not a network: \"10.1.2.0/33\"; write an address and a prefix length, such as \"10.1.2.0/24\""),
    (
        "2001:db8::1:x",
        "not an IPv6 address or network: \"2001:db8::1:x\"; write it plainly, or in brackets where a port follows: \"[2001:db8::1]:443\"",
    ),
    ("[example.com]:443", "brackets belong around an IPv6 address: \"[example.com]:443\"; write \"[2001:db8::1]:443\""),
    ("[::1", "brackets belong around an IPv6 address: \"[::1\"; write \"[2001:db8::1]:443\""),
    ("127.1", "an IPv4 address is written as four decimal numbers without leading zeros: \"127.1\""),
    (
        "10.1.2.*",
        "the last label of a pattern is written out: \"10.1.2.*\"; wildcards are \"*.\" or \"**.\" before a domain, or \"*\" inside a label",
    ),
    ("*.1.2.3", "an IPv4 address is written as four decimal numbers without leading zeros: \"1.2.3\""),
    ("-a.example.com", "a label of a host neither begins nor ends with a hyphen: \"-a.example.com\""),
    ("||example.com^", "\"|\" may not stand in a host, which is plain ASCII here: \"||example.com^\""),
    ("a?.example.com", "a path may not stand in a pattern: \"a?.example.com\"; write \"a\""),
    ("[ab].example.com", "brackets belong around an IPv6 address: \"[ab].example.com\"; write \"[2001:db8::1]:443\""),
    ("xn--*.example.com", "not a pattern of hosts: \"xn--*.example.com\""),
    (
        "bü*.example",
        "a \"*\" inside a label and letters beyond ASCII do not go together: \"bü*.example\"; write the labels in ASCII (xn--…)",
    ),
];

#[test]
fn what_only_looks_too_wide_passes() {
    for input in ["*.example.com", "*.googleapis.com", "*.github.io", "*.amazonaws.com", "*.internal", "*.wild.test", "0.0.0.0/1", "db"] {
        assert_eq!(input.parse::<Pattern>().unwrap().check_width(), Ok(()), "{input}");
    }
}

#[test]
fn suffixes_shared_with_strangers() {
    let shared = |input: &str| input.parse::<Pattern>().unwrap().shared_suffix().map(str::to_owned);
    assert_eq!(shared("*.github.io").as_deref(), Some("github.io"));
    assert_eq!(shared("my-*.googleapis.com").as_deref(), Some("googleapis.com"));
    assert_eq!(shared("*.mine.github.io"), None);
    assert_eq!(shared("mine.github.io"), None);
    assert_eq!(shared("*.example.com"), None);
}

#[test]
fn globs_do_not_cross_a_dot() {
    let matches = |pattern: &str, name: &str| {
        let Ok(Pattern { host: HostPattern::Name(pattern), .. }) = pattern.parse() else { panic!("a pattern of names") };
        pattern.matches_glob(Host::parse(name.as_bytes()).unwrap().name().unwrap())
    };
    for (pattern, name, expected) in [
        ("api-*.example.com", "api-1.example.com", true),
        ("api-*.example.com", "api-1.example.com.x", false),
        ("api-*.example.com", "api-a.b.example.com", false),
        ("api-*.example.com", "a.api-1.example.com", false),
        ("api-*.example.com", "example.com", false),
        ("*.api-*.example.com", "a.b.api-1.example.com", true),
        ("*.api-*.example.com", "api-1.example.com", false),
        ("**.api-*.example.com", "api-1.example.com", true),
        ("a.*.example.com", "a.b.example.com", true),
        ("a.*.example.com", "a.b.c.example.com", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

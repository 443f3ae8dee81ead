use super::*;

mod properties;
mod rules;

fn policy(text: &str) -> Policy {
    match Policy::parse("policy.toml", text) {
        Ok((policy, _)) => policy,
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn destination(authority: &str) -> Destination {
    Destination::parse(authority.as_bytes(), Some(443)).unwrap()
}

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

fn decide_at(policy: &Policy, authority: &str, way: Way, now: SystemTime) -> Result<Permit, Box<Denial>> {
    policy.decide_destination(&Facts { destination: &destination(authority), way, now })
}

fn decide(policy: &Policy, authority: &str) -> Result<Permit, Box<Denial>> {
    decide_at(policy, authority, Way::Connect, moment(1_800_000_000))
}

/// What becomes of an authority as it comes over the wire: `allow`, or the reason.
fn verdict(policy: &Policy, authority: &[u8]) -> &'static str {
    let Ok(destination) = Destination::parse(authority, Some(443)) else { return Reason::BadRequest.as_str() };
    match policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: moment(1_800_000_000) }) {
        Ok(permit) => permit.would_deny().map_or("allow", Reason::as_str),
        Err(denial) => denial.reason.as_str(),
    }
}

fn assert_verdicts(policy: &Policy, table: &[(&str, &str)]) {
    for (authority, expected) in table {
        assert_eq!(verdict(policy, authority.as_bytes()), *expected, "{authority:?}");
    }
}

const SPELLINGS: &str = r#"
    allow = ["example.com", "*.example.org"]
    deny = ["bad.example.org"]
"#;

#[test]
fn host_spellings() {
    let policy = policy(SPELLINGS);
    assert_verdicts(
        &policy,
        &[
            ("example.com", "allow"),
            ("EXAMPLE.com", "allow"),
            ("example.com.", "allow"),
            ("example.com:80", "allow"),
            ("_dmarc.example.org", "allow"),
            ("a.b.c.example.org", "allow"),
            ("x.bad.example.org", "allow"),
            ("bad.example.org", "host_denied"),
            ("BAD.example.org.", "host_denied"),
            ("bad.example.org:8443", "host_denied"),
            ("example.org", "host_not_allowed"),
            ("xn--bcher-kva.example", "host_not_allowed"),
            ("www.example.com", "host_not_allowed"),
            ("example.org.evil.net", "host_not_allowed"),
            ("evilexample.com", "host_not_allowed"),
            ("xexample.org", "host_not_allowed"),
            ("com", "host_not_allowed"),
            ("intranet", "host_not_allowed"),
            ("localhost", "address_not_allowed"),
            ("LOCALHOST.", "address_not_allowed"),
            ("x.localhost", "address_not_allowed"),
            ("metadata.google.internal", "address_not_allowed"),
            ("Metadata.Google.Internal.", "address_not_allowed"),
            ("ip6-localhost", "host_not_allowed"),
            ("host.docker.internal", "host_not_allowed"),
            ("printer.local", "host_not_allowed"),
        ],
    );
}

#[test]
fn malformed_hosts_are_no_question_of_policy() {
    let policy = policy(SPELLINGS);
    for malformed in [
        "",
        "example.com..",
        ".example.com",
        "exa..mple.com",
        "example.com\0.x",
        "example.com ",
        "exam\tple.com",
        "example.com\r\n",
        "example.com\u{7f}",
        "ｅxample.com",
        "exam%70le.com",
        "example。com",
        "exam\u{ad}ple.com",
        "exam\u{200d}ple.com",
        "еxample.com",
        "xn--a",
        "example.com@evil.net",
        "evil.net#example.com",
        "evil.net\\example.com",
        "example.com/evil",
        "[example.com]",
        "[[example.com]]",
        "[::1",
        "::1]",
        "::1:443",
        "user:pw@example.com:443",
        "*.example.org",
        "example.com:0",
        "example.com:65536",
    ] {
        assert_eq!(verdict(&policy, malformed.as_bytes()), "bad_request", "{malformed:?}");
    }
    assert_eq!(verdict(&policy, format!("{}.example.org", "a".repeat(64)).as_bytes()), "bad_request");
    assert_eq!(verdict(&policy, format!("{}example.org", "a.".repeat(200)).as_bytes()), "bad_request");
}

#[test]
fn ip_literals_are_refused_unless_spelled_out() {
    for level in [Access::Custom, Access::Trusted, Access::Full] {
        let policy = policy(&format!("access = \"{level}\"\nallow = [\"*.example.org\"]"));
        for literal in [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "8.8.8.8",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:808:808::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[100::1]",
        ] {
            assert_eq!(verdict(&policy, literal.as_bytes()), "ip_literal_not_allowed", "{level} {literal}");
        }
        for spelling in [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.01",
            "0127.0.0.1",
            "127.000.000.001",
            "0",
            "2852039166",
            "0xA9FEA9FE",
            "025177524776",
            "0xA9.0xFE.0xA9.0xFE",
            "0251.254.169.254",
            "169.254.43518",
            "1684300900",
            "127.0.0.1.",
            "256.256.256.256",
            "1.2.3.4.5",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.x]",
        ] {
            assert_eq!(verdict(&policy, spelling.as_bytes()), "bad_request", "{level} {spelling}");
        }
    }
}

#[test]
fn a_literal_entry_is_that_literal_and_its_ports() {
    let policy = policy(
        r#"
        allow = ["10.1.2.3", "10.9.0.0/16:5432", "[2001:db8::1]:8443", "2001:db8:1::/48"]
        deny = ["10.9.1.0/24", "2001:db8:1:2::/64"]
        "#,
    );
    assert_verdicts(
        &policy,
        &[
            ("10.1.2.3", "allow"),
            ("10.1.2.3:80", "allow"),
            ("10.1.2.3:22", "port_not_allowed"),
            ("10.1.2.4", "ip_literal_not_allowed"),
            ("[::ffff:10.1.2.3]", "ip_literal_not_allowed"),
            ("10.9.3.1:5432", "allow"),
            ("10.9.3.1", "port_not_allowed"),
            ("10.9.1.1:5432", "host_denied"),
            ("[2001:db8::1]:8443", "allow"),
            ("[2001:db8::1]", "port_not_allowed"),
            ("[2001:db8:1::7]", "allow"),
            ("[2001:db8:1:2::7]", "host_denied"),
        ],
    );
}

#[test]
fn a_denied_address_is_denied_in_every_disguise() {
    let policy = policy("allow = [\"::/1\"]\ndeny = [\"8.8.8.0/24\"]");
    assert_verdicts(
        &policy,
        &[("[::ffff:8.8.8.8]", "host_denied"), ("[64:ff9b::808:808]", "host_denied"), ("[2002:808:808::1]", "host_denied")],
    );
}

#[test]
fn levels() {
    let written = |level: &str| {
        policy(&format!(
            "access = \"{level}\"\nallow = [\"example.com\", \"db.example.com:5432\", \"192.0.2.7\"]\ncontrol_plane = [\"api.control.example\"]\ndeny = [\"denied.example\"]"
        ))
    };
    for (level, table) in [
        ("none", ["network_disabled", "network_disabled", "network_disabled", "network_disabled", "network_disabled", "network_disabled"]),
        ("custom", ["allow", "allow", "allow", "host_not_allowed", "host_not_allowed", "host_denied"]),
        ("trusted", ["allow", "allow", "allow", "allow", "host_not_allowed", "host_denied"]),
        ("full", ["allow", "allow", "allow", "allow", "allow", "host_denied"]),
    ] {
        let policy = written(level);
        let hosts = ["example.com", "db.example.com:5432", "192.0.2.7", "github.com", "unheard.example", "denied.example"];
        for (host, expected) in hosts.into_iter().zip(table) {
            assert_eq!(verdict(&policy, host.as_bytes()), expected, "{level} {host}");
        }
        assert_verdicts(&policy, &[("api.control.example", "allow"), ("api.control.example:80", "allow")]);
        let local = if level == "none" { "network_disabled" } else { "address_not_allowed" };
        assert_verdicts(&policy, &[("localhost", local), ("metadata.google.internal", local)]);
    }
}

#[test]
fn full_lets_names_out_on_the_web_ports_alone() {
    let policy = policy("access = \"full\"\nallow = [\"db.example.com:5432\"]");
    assert_verdicts(
        &policy,
        &[
            ("any.example:443", "allow"),
            ("any.example:80", "allow"),
            ("any.example:22", "port_not_allowed"),
            ("db.example.com:5432", "allow"),
            ("db.example.com:443", "allow"),
            ("db.example.com:22", "port_not_allowed"),
            ("8.8.8.8", "ip_literal_not_allowed"),
        ],
    );
}

#[test]
fn an_empty_policy_allows_nothing() {
    for text in ["", "allow = []", "access = \"custom\"", "include = []"] {
        let (policy, warnings) = Policy::parse("policy.toml", text).unwrap();
        assert_eq!(verdict(&policy, b"example.com"), "host_not_allowed", "{text}");
        assert_eq!(warnings.len(), 1, "{text}");
    }
}

#[test]
fn levels_without_a_document() {
    let verdicts = |host: &str| Access::ALL.iter().map(|level| verdict(&Policy::level(*level), host.as_bytes())).collect::<Vec<_>>();
    assert_eq!(verdicts("github.com"), ["network_disabled", "allow", "host_not_allowed", "allow"]);
    assert_eq!(verdicts("unheard.example"), ["network_disabled", "host_not_allowed", "host_not_allowed", "allow"]);
    assert_eq!(Policy::level(Access::Trusted).name(), "--access trusted");
}

#[test]
fn ports_and_what_they_speak() {
    let policy = policy(
        r#"
        allow = [
            "plain.example",
            "db.example:5432",
            "any.example:*",
            { host = "tls.example:8443", tls = true },
            { host = "http.example:8080", http = true },
            { host = "*.deep.example:*", tls = true },
        ]
        "#,
    );
    let speaks = |authority: &str| decide(&policy, authority).map(|permit| permit.protocol()).map_err(|denial| denial.reason);
    for (authority, expected) in [
        ("plain.example:443", Ok(Protocol::Tls)),
        ("plain.example:80", Ok(Protocol::Http)),
        ("plain.example:8080", Err(Reason::PortNotAllowed)),
        ("db.example:5432", Ok(Protocol::Any)),
        ("db.example:443", Err(Reason::PortNotAllowed)),
        ("any.example:443", Ok(Protocol::Tls)),
        ("any.example:80", Ok(Protocol::Http)),
        ("any.example:22", Ok(Protocol::Any)),
        ("tls.example:8443", Ok(Protocol::Tls)),
        ("http.example:8080", Ok(Protocol::Http)),
        ("a.deep.example:9000", Ok(Protocol::Tls)),
        ("a.deep.example:80", Ok(Protocol::Http)),
    ] {
        assert_eq!(speaks(authority), expected, "{authority}");
    }
    let plain = |authority: &str| {
        decide_at(&policy, authority, Way::Http, moment(0)).map(|permit| permit.protocol()).map_err(|denial| denial.reason)
    };
    assert_eq!(plain("plain.example:80"), Ok(Protocol::Http));
    assert_eq!(plain("any.example:8080"), Ok(Protocol::Http));
    assert_eq!(plain("http.example:8080"), Ok(Protocol::Http));
    assert_eq!(plain("plain.example:443"), Err(Reason::OpaqueTunnel));
    assert_eq!(plain("tls.example:8443"), Err(Reason::OpaqueTunnel));
    assert_eq!(plain("other.example:443"), Err(Reason::HostNotAllowed));
}

#[test]
fn the_most_telling_entry_decides() {
    let policy = policy(
        r#"
        allow = [
            "*.example.com:*",
            { host = "**.api.example.com:9000", http = true },
            { host = "v*.api.example.com:9000", tls = true },
            "v1.api.example.com:9000",
            "v1.api.example.com:*",
        ]
        "#,
    );
    for (authority, entry, protocol) in [
        ("x.example.com:9000", "*.example.com:*", Protocol::Any),
        ("api.example.com:9000", "**.api.example.com:9000", Protocol::Http),
        ("x.api.example.com:9000", "**.api.example.com:9000", Protocol::Http),
        ("v2.api.example.com:9000", "v*.api.example.com:9000", Protocol::Tls),
        ("v1.api.example.com:9000", "v1.api.example.com:9000", Protocol::Any),
        ("v1.api.example.com:22", "v1.api.example.com:*", Protocol::Any),
        ("v2.api.example.com:22", "*.example.com:*", Protocol::Any),
    ] {
        let permit = decide(&policy, authority).unwrap();
        assert_eq!((permit.rule().unwrap().entry.as_ref(), permit.protocol()), (entry, protocol), "{authority}");
    }
}

#[test]
fn a_deny_wins_in_any_order_and_on_every_port() {
    for text in [
        "allow = [\"a.example.com\"]\ndeny = [\"*.example.com\"]",
        "deny = [\"a.example.com\"]\nallow = [\"a.example.com\", \"a.example.com:*\"]",
        "access = \"full\"\ndeny = [\"**.example.com\"]",
        "deny = [\"a*.example.com\"]\nallow = [\"*.example.com\"]",
        "control_plane = [\"a.example.com\"]\ndeny = [\"a.example.com\"]\naccess = \"none\"",
    ] {
        let policy = policy(text);
        assert_verdicts(&policy, &[("a.example.com", "host_denied"), ("a.example.com:80", "host_denied")]);
    }
    let policy = policy("allow = [\"a.example.com:*\"]\ndeny = [\"a.example.com:22\"]");
    assert_verdicts(&policy, &[("a.example.com:22", "host_denied"), ("a.example.com:443", "allow"), ("a.example.com:23", "allow")]);
}

#[test]
fn entries_end() {
    let policy = policy(
        r#"
        allow = [{ host = "a.example", until = 2026-12-01T00:00:00Z }, "b.example"]
        deny = [{ host = "b.example", until = 2026-12-01T00:00:00Z }]
        "#,
    );
    let end = 1_796_083_200;
    let at = |authority, seconds| decide_at(&policy, authority, Way::Connect, moment(seconds)).map(|_| ()).map_err(|denial| denial.reason);
    assert_eq!(at("a.example", end - 1), Ok(()));
    assert_eq!(at("a.example", end), Err(Reason::HostNotAllowed));
    assert_eq!(at("b.example", end - 1), Err(Reason::HostDenied));
    assert_eq!(at("b.example", end), Ok(()));
    let denial = decide_at(&policy, "a.example", Way::Connect, moment(end)).unwrap_err();
    assert_eq!(denial.detail, "a.example is not on the list of policy.toml. The entry a.example (policy.toml:2) has expired.");
}

#[test]
fn a_denial_of_a_name_explains_itself() {
    let rule = |entry: &str, line| Some(RuleRef { entry: entry.into(), source: "policy.toml".into(), line });
    for (authority, reason, rule, allow_with, detail) in [
        (
            "example.net:443",
            Reason::HostNotAllowed,
            None,
            Some("allow = [\"example.net\"]"),
            "example.net is not on the list of policy.toml.",
        ),
        (
            "example.org:443",
            Reason::HostNotAllowed,
            None,
            Some("allow = [\"example.org\"]"),
            "example.org is not on the list of policy.toml. The entry *.example.org (policy.toml:3) matches names below it and not itself.",
        ),
        (
            "example.com:5432",
            Reason::PortNotAllowed,
            rule("example.com", 2),
            Some("allow = [\"example.com:5432\"]"),
            "example.com is allowed by example.com (policy.toml:2), but not on port 5432.",
        ),
        (
            "bad.example.org:443",
            Reason::HostDenied,
            rule("bad.example.org", 5),
            None,
            "bad.example.org:443 is denied by bad.example.org (policy.toml:5); only taking that entry out would allow it.",
        ),
    ] {
        assert_denial(authority, reason, rule, allow_with, detail);
    }
}

#[test]
fn a_denial_without_an_entry_explains_itself() {
    for (authority, reason, allow_with, detail) in [
        (
            "10.1.2.3:5432",
            Reason::IpLiteralNotAllowed,
            Some("allow = [\"10.1.2.3:5432\"]"),
            "10.1.2.3 is an address, and no entry of policy.toml spells it out.",
        ),
        (
            "127.0.0.1:443",
            Reason::IpLiteralNotAllowed,
            Some("allow = [\"127.0.0.1\"]\n[addresses]\nallow = [\"127.0.0.1/32\"]"),
            "127.0.0.1 is an address, and no entry of policy.toml spells it out.",
        ),
        (
            "169.254.169.254:443",
            Reason::IpLiteralNotAllowed,
            None,
            "169.254.169.254 is an address, and no entry of policy.toml spells it out.",
        ),
        (
            "localhost:443",
            Reason::AddressNotAllowed,
            None,
            "localhost is a name of this host or of a metadata service, and never a destination.",
        ),
        ("co.uk:443", Reason::HostNotAllowed, None, "co.uk is not on the list of policy.toml."),
    ] {
        assert_denial(authority, reason, None, allow_with, detail);
    }
}

fn assert_denial(authority: &str, reason: Reason, rule: Option<RuleRef>, allow_with: Option<&str>, detail: &str) {
    let policy = policy("allow = [\n  \"example.com\",\n  \"*.example.org\",\n]\ndeny = [\"bad.example.org\"]");
    let denial = *decide(&policy, authority).unwrap_err();
    let Destination { host, port } = destination(authority);
    let allow_with = allow_with.map(Into::into);
    assert_eq!(
        denial,
        Denial { reason, host: Some(host), port: Some(port), address: None, rule, allow_with, detail: detail.into() },
        "{authority}"
    );
}

#[test]
fn a_denial_at_level_none_names_the_level() {
    let denial = *decide(&policy("\naccess = \"none\""), "example.com").unwrap_err();
    assert_eq!(denial.rule.unwrap().to_string(), "access = \"none\" (policy.toml:2)");
    assert_eq!(denial.allow_with.unwrap(), "access = \"custom\"\nallow = [\"example.com\"]");
    assert_eq!(denial.detail, "The access level of policy.toml is none, which lets out only control_plane, and example.com is not on it.");
}

#[test]
fn report_mode_permits_and_says_so() {
    let policy = policy("report = true\nallow = [\"example.com\"]\ndeny = [\"bad.example\"]");
    for (authority, would_deny) in [
        ("example.com", None),
        ("example.net", Some(Reason::HostNotAllowed)),
        ("bad.example", Some(Reason::HostDenied)),
        ("example.com:22", Some(Reason::PortNotAllowed)),
        ("8.8.8.8", Some(Reason::IpLiteralNotAllowed)),
    ] {
        assert_eq!(decide(&policy, authority).unwrap().would_deny(), would_deny, "{authority}");
    }
    assert_eq!(decide(&policy, "localhost").unwrap_err().reason, Reason::AddressNotAllowed);
}

#[test]
fn report_mode_at_level_none() {
    let policy = policy("access = \"none\"\nreport = true");
    assert_eq!(decide(&policy, "a.example").unwrap().would_deny(), Some(Reason::NetworkDisabled));
    assert_eq!(decide(&policy, "metadata.goog").unwrap_err().reason, Reason::NetworkDisabled);
}

#[test]
fn an_entry_may_report_for_itself() {
    let policy = policy(
        r#"
        allow = [{ host = "a.example", report = true }, "b.example"]
        deny = [{ host = "b.example", report = true }, { host = "c.example", report = true }]
        "#,
    );
    let would_deny = |authority| decide(&policy, authority).map(|permit| permit.would_deny()).map_err(|denial| denial.reason);
    assert_eq!(would_deny("a.example"), Ok(None));
    assert_eq!(would_deny("a.example:22"), Ok(Some(Reason::PortNotAllowed)));
    assert_eq!(would_deny("b.example"), Ok(Some(Reason::HostDenied)));
    assert_eq!(would_deny("b.example:22"), Err(Reason::PortNotAllowed));
    assert_eq!(would_deny("c.example"), Err(Reason::HostNotAllowed));
}

#[test]
fn show_tells_where_each_entry_comes_from() {
    let policy = policy(
        r#"access = "trusted"
allow = ["Bücher.Example", { host = "db.example:5432", tls = true, until = 2026-12-01T00:00:00Z }]
deny = ["bad.example"]
[addresses]
allow = ["10.0.0.0/8"]
[tls]
skip = ["pinned.example"]
ech = "outer"
[limits]
tunnels = 7
"#,
    );
    let show = policy.show();
    let lines: Vec<_> = show.entries.iter().map(|entry| format!("{} {} from {}", entry.list.as_str(), entry.pattern, entry.rule)).collect();
    for line in [
        "allow xn--bcher-kva.example from Bücher.Example (policy.toml:2)",
        "allow db.example:5432 from db.example:5432 (policy.toml:2)",
        "deny bad.example:* from bad.example (policy.toml:3)",
        "[addresses] allow 10.0.0.0/8:* from 10.0.0.0/8 (policy.toml:5)",
        "[tls] skip pinned.example from pinned.example (policy.toml:7)",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line} is not in {lines:#?}");
    }
    let shipped = show.entries.iter().find(|entry| entry.pattern == "github.com").unwrap();
    assert_eq!(shipped.rule.source.as_ref(), "lists/trusted");
    assert!(shipped.group.is_some());
    assert_eq!((show.access, show.report, show.ech), (Access::Trusted, false, Ech::Outer));
    assert_eq!(show.limits, Limits { tunnels: 7, ..Limits::default() });
    assert_eq!(policy.limits(), show.limits);
}

#[test]
fn every_shipped_list_compiles_without_a_word() {
    for name in lists::names() {
        let (_, warnings) = Policy::parse("policy.toml", &format!("include = [\"{name}\"]")).unwrap();
        assert_eq!(warnings, [], "{name}");
    }
}

#[test]
fn an_unknown_list_is_an_error_that_names_the_lists() {
    let problems = Policy::parse("policy.toml", "include = [\"fortran\"]").unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.line_column(), problem.message.as_str()), ((1, 12), "no shipped list is called \"fortran\""));
    assert_eq!(problem.help, Some(format!("the shipped lists are {}", lists::names().collect::<Vec<_>>().join(", "))));
}

#[test]
fn hostile_documents_end_quickly() {
    for text in ["[".repeat(100_000), "a = ".to_owned() + &"[".repeat(100_000), "a.".repeat(100_000), "{ a = ".repeat(10_000)] {
        assert!(Policy::parse("policy.toml", &text).is_err());
    }
}

// Threats, by their numbers in the catalogue; those that the spellings above hold already are not repeated.

const THREATS: &str = r#"allow = ["allowed.test", "*.wild.test"]"#;

#[test]
fn threats_1_to_3_and_9_suffix_prefix_depth_and_case() {
    assert_verdicts(
        &policy(THREATS),
        &[
            ("xwild.test:443", "host_not_allowed"),
            ("allowed.test.evil.test:443", "host_not_allowed"),
            ("wild.test:443", "host_not_allowed"),
            ("a.wild.test:443", "allow"),
            ("a.b.wild.test:443", "allow"),
            ("ALLOWED.TEST.:443", "allow"),
            ("allowed.test..:443", "bad_request"),
        ],
    );
}

#[test]
fn threats_4_to_8_and_13_nothing_hides_in_a_host() {
    let policy = policy(THREATS);
    for byte in (0..=0x20).chain(0x7f..=0xff).chain(*b"#?/\\@:;,|&$%[]{}*!\"'()+=<>^`~") {
        let mut authority = b"evil.test".to_vec();
        authority.push(byte);
        authority.extend(b".wild.test:443");
        assert_eq!(verdict(&policy, &authority), "bad_request", "{byte:#x}");
    }
    for authority in [
        "evil.test%00.wild.test:443",
        "evil.test%2e.wild.test:443",
        "allowed.test:80@evil.test:80",
        "[allowed.test]:443",
        "[evil.test]",
        "*.wild.test",
        "*",
        ".",
    ] {
        assert_eq!(verdict(&policy, authority.as_bytes()), "bad_request", "{authority}");
    }
}

#[test]
fn threat_10_unicode_stays_out() {
    let policy = policy("allow = [\"*.wild.test\", \"xn--bcher-kva.test\"]");
    for host in [
        "a\u{3002}wild.test",
        "a\u{ff0e}wild.test",
        "a\u{2024}wild.test",
        "a\u{ad}.wild.test",
        "\u{200b}a.wild.test",
        "\u{202e}a.wild.test",
        "bücher.test",
    ] {
        assert_eq!(verdict(&policy, host.as_bytes()), "bad_request", "{host:?}");
    }
    assert_verdicts(
        &policy,
        &[("xn--bcher-kva.test", "allow"), ("xn--bcher-kva.wild.test", "allow"), ("xn--bcher-kva.evil", "host_not_allowed")],
    );
}

#[test]
fn threats_11_and_12_ports_and_lengths() {
    let policy = policy(THREATS);
    for port in ["0", "65536", "83616", "+443", " 443", "0x1bb", "443:22", ""] {
        assert_eq!(verdict(&policy, format!("allowed.test:{port}").as_bytes()), "bad_request", "{port}");
    }
    assert_eq!(verdict(&policy, b"allowed.test:22"), "port_not_allowed");
    assert_eq!(verdict(&policy, "a".repeat(100_000).as_bytes()), "bad_request");
}

#[test]
fn threat_23_metadata_names_are_refused_whatever_allows_them() {
    for text in [
        "access = \"full\"",
        "allow = [\"metadata.google.internal\", \"*.internal\", \"instance-data\"]",
        "allow = [\"**.google.internal:*\"]",
    ] {
        let policy = policy(text);
        for name in ["metadata.google.internal", "metadata.google.internal:80", "instance-data", "localhost"] {
            assert_eq!(verdict(&policy, name.as_bytes()), "address_not_allowed", "{text} {name}");
        }
    }
}

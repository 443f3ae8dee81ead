//! How hosts and ports may be spelled, and which are reached: through CONNECT and in absolute-form alike.
//!
//! Every name resolves to the origin, so whatever is not refused arrives there.

use crate::harness::{Answer, Client, Dns, Origin, Reply, Setup, Tidegate, client::ask};

/// A proxy, a name server for which every name is the origin, and the origin.
struct Ground {
    gate: Tidegate,
    dns: Dns,
    origin: Origin,
    seen: usize,
}

impl Ground {
    /// With this policy, in which PORT stands for the origin's.
    #[track_caller]
    fn new(policy: &str) -> Self {
        let origin = Origin::saying("from the origin");
        let dns = Dns::loopback();
        let policy = policy.replace("PORT", &origin.port().to_string());
        let gate = Setup::new(policy).dns(dns.address()).start();
        Self { gate, dns, origin, seen: 0 }
    }

    fn usual() -> Self {
        Self::new(
            r#"
            allow = [
                "example.com:PORT", "*.example.org:PORT", "allowed.test:PORT", "*.wild.test:PORT",
                "**.both.test:PORT", "api-*.glob.test:PORT", "bücher.test:PORT", "default.test",
            ]
            deny = ["bad.example.org:*"]
            [addresses]
            allow = ["127.0.0.0/8"]
            "#,
        )
    }

    /// The answer to `CONNECT target`.
    fn connect(&self, target: &[u8]) -> Reply {
        ask(self.gate.proxy(), [b"CONNECT ", target, b" HTTP/1.1\r\nHost: ", target, b"\r\n\r\n"].concat())
    }

    /// The answer to `GET http://authority/`.
    fn get(&self, authority: &[u8]) -> Reply {
        ask(self.gate.proxy(), [b"GET http://", authority, b"/ HTTP/1.1\r\nHost: ", authority, b"\r\nConnection: close\r\n\r\n"].concat())
    }

    /// `host` on the origin's port.
    fn at_origin(&self, host: &[u8]) -> Vec<u8> {
        [host, format!(":{}", self.origin.port()).as_bytes()].concat()
    }

    #[track_caller]
    fn allows(&mut self, host: &str) {
        let authority = self.at_origin(host.as_bytes());
        let connected = self.connect(&authority);
        assert_eq!((connected.status, connected.reason()), (200, ""), "CONNECT {host}: {}", connected.text());
        let got = self.get(&authority);
        assert_eq!((got.status, got.text().as_str()), (200, "from the origin"), "GET {host}");
        // A tunnel is recorded twice: when it is decided and when it ends.
        let records = self.gate.wait_for_records(self.seen + 3);
        assert_eq!(records.len(), self.seen + 3, "{host}: {records:#?}");
        assert!(records[self.seen..].iter().all(|record| record["verdict"] == "allow" && record["reason"].is_null()), "{records:#?}");
        self.seen = records.len();
    }

    /// Refused either way, on the origin's port.
    #[track_caller]
    fn refuses(&mut self, host: impl AsRef<[u8]>, status: u16, reason: &str) {
        let authority = self.at_origin(host.as_ref());
        self.refuses_authority(&authority, status, reason);
    }

    #[track_caller]
    fn refuses_authority(&mut self, authority: impl AsRef<[u8]>, status: u16, reason: &str) {
        let authority = authority.as_ref();
        self.refused("CONNECT", authority, &self.connect(authority), status, reason);
        self.refused("GET", authority, &self.get(authority), status, reason);
    }

    /// The reply is this refusal, recorded once, and nothing was asked or dialled for it.
    #[track_caller]
    fn refused(&mut self, method: &str, authority: &[u8], reply: &Reply, status: u16, reason: &str) {
        let case = format!("{method} {}", authority.escape_ascii());
        assert_eq!(reply.verdict(), (status, reason), "{case}: {}", reply.text());
        let records = self.gate.wait_for_records(self.seen + 1);
        assert_eq!(records.len(), self.seen + 1, "{case}: {records:#?}");
        self.seen += 1;
        let record = &records[self.seen - 1];
        assert_eq!((record["verdict"].as_str(), record["reason"].as_str()), (Some("deny"), Some(reason)), "{case}: {record:#}");
        assert_eq!(self.dns.asked(), [], "{case}: a refused name is not resolved");
        self.origin.assert_untouched(&case);
    }
}

// ── egress 6.1: spellings of a host

#[test]
fn egress_6_1_case_and_one_trailing_dot_are_the_same_host() {
    let mut ground = Ground::usual();
    for host in ["example.com", "EXAMPLE.com", "example.com.", "ExAmPlE.CoM."] {
        ground.allows(host);
    }
}

#[test]
fn egress_6_1_any_depth_and_underscores_under_a_wildcard() {
    let mut ground = Ground::usual();
    for host in ["a.b.c.example.org", "_dmarc.example.org", "x.bad.example.org", "A.example.org.", "xn--bcher-kva.example.org"] {
        ground.allows(host);
    }
}

#[test]
fn egress_6_1_a_wildcard_is_not_its_apex() {
    let mut ground = Ground::usual();
    ground.refuses("example.org", 403, "host_not_allowed");
    ground.refuses("example.org.", 403, "host_not_allowed");
    ground.allows("both.test");
    ground.allows("a.b.both.test");
}

#[test]
fn egress_6_1_a_glob_does_not_cross_a_dot() {
    let mut ground = Ground::usual();
    ground.refuses("api-a.b.glob.test", 403, "host_not_allowed");
    ground.refuses("api.glob.test", 403, "host_not_allowed");
    ground.allows("api-a.glob.test");
}

#[test]
fn egress_6_1_dots_labels_and_lengths() {
    let mut ground = Ground::usual();
    let long_label = format!("{}.example.org", "a".repeat(64));
    let long_name = format!("{}example.org", "a.".repeat(122));
    for host in
        ["example.com..", ".example.com", "exa..mple.com", "", ".", "..", "-a.example.org", "a-.example.org", &long_label, &long_name]
    {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_1_longest_label_and_name_are_good() {
    let mut ground = Ground::usual();
    ground.allows(&format!("{}.example.org", "a".repeat(63)));
    ground.allows(&format!("{}example.org", "a.".repeat(121)));
}

#[test]
fn egress_6_1_controls_and_spaces_close_the_connection() {
    let mut ground = Ground::usual();
    for byte in (0..=0x20).chain([0x7f]) {
        let host = [b"example.com", &[byte][..], b".example.org"].concat();
        ground.refuses(&host, 400, "bad_request");
        let mut client = Client::connect(ground.gate.proxy());
        client.send([b"CONNECT ", &host[..], b":443 HTTP/1.1\r\n\r\n"].concat());
        assert_eq!(client.reply().verdict(), (400, "bad_request"), "byte {byte:#04x}");
        client.assert_closed();
        ground.seen = ground.gate.wait_for_records(ground.seen + 1).len();
    }
}

#[test]
fn egress_6_1_only_ascii_and_nothing_encoded() {
    let mut ground = Ground::usual();
    let spellings =
        ["ｅxample.com", "exam%70le.com", "example。com", "exam\u{ad}ple.com", "exam\u{200d}ple.com", "\u{435}xample.com", "bücher.test"];
    for host in spellings {
        ground.refuses(host, 400, "bad_request");
    }
    for byte in 0x80..=0xff_u8 {
        ground.refuses([b"a", &[byte][..], b".example.org"].concat(), 400, "bad_request");
    }
}

#[test]
fn egress_6_1_a_labels_as_written_in_the_policy() {
    let mut ground = Ground::usual();
    ground.refuses("xn--mnchen-3ya.test", 403, "host_not_allowed");
    ground.refuses("xn--a.example.org", 400, "bad_request");
    ground.refuses("xn--a", 400, "bad_request");
    ground.allows("xn--bcher-kva.test");
}

#[test]
fn egress_6_1_a_deny_wins_over_the_wildcard_that_covers_it() {
    let mut ground = Ground::usual();
    for host in ["bad.example.org", "BAD.example.org.", "bad.example.org."] {
        ground.refuses(host, 403, "host_denied");
    }
}

#[test]
fn egress_6_1_names_that_only_look_alike() {
    let mut ground = Ground::usual();
    for host in ["example.org.evil.net", "evilexample.com", "example.com.evil.net", "xexample.org"] {
        ground.refuses(host, 403, "host_not_allowed");
    }
    for host in ["example.com@evil.net", "evil.net#example.com", "evil.net\\example.com", "example.com/evil", "evil.net?.example.org"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_1_brackets_only_around_an_ipv6_address() {
    let mut ground = Ground::usual();
    for host in ["[example.com]", "[[example.com]]", "[::1", "::1]", "::1", "[]", "[127.0.0.1]", "[::1]x", "x[::1]"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_1_no_user_information() {
    let mut ground = Ground::usual();
    for host in ["user:pw@example.com", "user@example.com", "@example.com", "example.com:80@evil.test"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_1_local_and_metadata_names_are_refused_at_every_level_but_none() {
    for policy in ["access = \"full\"", "access = \"custom\"", "allow = [\"example.com:PORT\"]"] {
        let mut ground = Ground::new(policy);
        for host in ["localhost", "LOCALHOST.", "x.localhost", "a.b.localhost", "metadata.google.internal", "METADATA.google.internal."] {
            ground.refuses_authority(format!("{host}:80"), 403, "address_not_allowed");
        }
    }
}

#[test]
fn egress_6_1_host_names_of_a_network_are_judged_by_what_they_resolve_to() {
    let ground = Ground::new("access = \"full\"");
    let hosts = ["ip6-localhost", "db.internal", "printer.local", "host.docker.internal", "127.0.0.1.nip.example"];
    for host in hosts {
        assert_eq!(ground.connect(format!("{host}:443").as_bytes()).verdict(), (403, "address_not_allowed"), "{host}");
        assert_eq!(ground.get(format!("{host}:80").as_bytes()).verdict(), (403, "address_not_allowed"), "{host}");
        assert!(ground.dns.asked().iter().any(|(asked, _)| asked == host), "{host}: {:?}", ground.dns.asked());
    }
    ground.origin.assert_untouched("loopback is not open");
}

#[test]
fn egress_6_1_a_single_label_is_a_name_like_any_other() {
    let mut ground = Ground::usual();
    for host in ["com", "intranet", "test", "org"] {
        ground.refuses(host, 403, "host_not_allowed");
    }
}

// ── egress 6.2: spellings of an address

const IPV4_SPELLINGS: &[&str] = &[
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
    "0x7f.1",
    "127.0.0.0x1",
    "example.com.1",
    "1.1.1.",
    "0x",
];
const DOTTED_QUADS: &[&str] = &["127.0.0.1", "0.0.0.0", "169.254.169.254", "100.100.100.200", "255.255.255.255", "8.8.8.8", "10.0.0.1"];
const IPV6_LITERALS: &[&str] = &[
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[2606:4700::1111]",
];
const BAD_LITERALS: &[&str] =
    &["[fe80::1%25eth0]", "[fe80::1%eth0]", "[v1.x]", "[::ffff:127.1]", "[::1::]", "[1:2:3:4:5:6:7:8:9]", "[::g]"];

#[test]
fn egress_6_2_every_other_spelling_of_an_ipv4_address() {
    let mut ground = Ground::usual();
    for host in IPV4_SPELLINGS {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_2_dotted_quads_are_not_names() {
    let mut ground = Ground::usual();
    for host in DOTTED_QUADS {
        ground.refuses(host, 403, "ip_literal_not_allowed");
    }
}

#[test]
fn egress_6_2_ipv6_literals_are_not_names() {
    let mut ground = Ground::usual();
    for host in IPV6_LITERALS {
        ground.refuses(host, 403, "ip_literal_not_allowed");
    }
    for host in BAD_LITERALS {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn egress_6_2_literals_need_an_entry_at_level_full_too() {
    let mut ground = Ground::new("access = \"full\"");
    for host in DOTTED_QUADS.iter().chain(IPV6_LITERALS) {
        ground.refuses_authority(format!("{host}:80"), 403, "ip_literal_not_allowed");
        ground.refuses_authority(format!("{host}:443"), 403, "ip_literal_not_allowed");
    }
}

#[test]
fn egress_6_2_an_entry_for_a_literal_is_that_literal_and_port() {
    let mut ground = Ground::new("allow = [\"127.0.0.1:PORT\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    for host in ["127.0.0.2", "[::ffff:127.0.0.1]", "[::1]"] {
        ground.refuses(host, 403, "ip_literal_not_allowed");
    }
    ground.refuses_authority("127.0.0.1:1", 403, "port_not_allowed");
    ground.refuses("127.1", 400, "bad_request");
    ground.allows("127.0.0.1");
    assert_eq!(ground.dns.asked(), [], "an address is not resolved");
}

#[test]
fn egress_6_2_a_listed_loopback_literal_is_refused_unless_declared() {
    let mut ground = Ground::new("allow = [\"127.0.0.1:PORT\"]");
    ground.refuses("127.0.0.1", 403, "address_not_allowed");
}

// ── threats 1 to 18

#[test]
fn threat_01_a_suffix_without_its_dot() {
    let mut ground = Ground::usual();
    ground.refuses("xwild.test", 403, "host_not_allowed");
    ground.refuses("evil-wild.test", 403, "host_not_allowed");
}

#[test]
fn threat_02_an_allowed_name_as_a_prefix() {
    let mut ground = Ground::usual();
    ground.refuses("allowed.test.evil.test", 403, "host_not_allowed");
}

#[test]
fn threat_03_depth_of_a_wildcard() {
    let mut ground = Ground::usual();
    ground.refuses("wild.test", 403, "host_not_allowed");
    ground.allows("a.wild.test");
    ground.allows("a.b.wild.test");
}

#[test]
fn threat_04_nul_before_an_allowed_suffix() {
    let mut ground = Ground::usual();
    for host in [&b"evil.test\0.wild.test"[..], b"evil.test%00.wild.test", b"\0allowed.test", b"allowed.test\0"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn threat_05_line_ends_and_spaces_inside_a_host() {
    let mut ground = Ground::usual();
    for inside in ["\r\n", "\r", "\n", "\t", " ", "\x0b", "\x0c", "\x7f"] {
        ground.refuses(format!("evil.test{inside}.wild.test"), 400, "bad_request");
    }
}

#[test]
fn threat_06_delimiters_before_an_allowed_suffix() {
    let mut ground = Ground::usual();
    for delimiter in ["#", "?", "/", "\\", "@", ":", ";", ",", "|", "&", "$", "%2e", "%", "<", ">", "\"", "'", "(", "`", "{", "~", "!", "="]
    {
        ground.refuses(format!("evil.test{delimiter}.wild.test"), 400, "bad_request");
    }
}

#[test]
fn threat_07_userinfo() {
    let mut ground = Ground::usual();
    for target in
        ["http://allowed.test:80@evil.test/", "http://evil.test@allowed.test/", "http://u:p@allowed.test/", "http://@allowed.test/"]
    {
        let reply = ask(ground.gate.proxy(), format!("GET {target} HTTP/1.1\r\nHost: allowed.test\r\n\r\n"));
        ground.refused("GET", target.as_bytes(), &reply, 400, "bad_request");
    }
}

#[test]
fn threat_08_brackets_around_a_name() {
    let mut ground = Ground::usual();
    for host in ["[allowed.test]", "[evil.test]", "[::1", "[allowed.test", "allowed.test]"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn threat_09_case_and_trailing_dots() {
    let mut ground = Ground::usual();
    ground.refuses("EVIL.TEST.", 403, "host_not_allowed");
    ground.refuses("allowed.test..", 400, "bad_request");
    ground.allows("ALLOWED.TEST.");
}

#[test]
fn threat_10_unicode_that_folds_into_ascii() {
    let mut ground = Ground::usual();
    let spellings = [
        "evil\u{3002}wild.test",
        "a\u{ff0e}wild.test",
        "a\u{2024}wild.test",
        "allo\u{ad}wed.test",
        "allowed\u{200b}.test",
        "\u{202e}allowed.test",
        "\u{430}llowed.test",
        "ａllowed.test",
        "allowed.tes\u{0442}",
        "ALLOWED\u{212a}.test",
    ];
    for host in spellings {
        ground.refuses(host, 400, "bad_request");
    }
    ground.refuses("xn--llowed-2nf.test", 403, "host_not_allowed");
}

#[test]
fn threat_11_ports_that_are_none() {
    let mut ground = Ground::usual();
    for port in [":0", ":65536", ":83616", ":+443", ": 443", ":0x1bb", ":443:22", ":", ":-1", ":0443", ":４４３", ":443.", "::443"] {
        ground.refuses_authority(format!("allowed.test{port}"), 400, "bad_request");
    }
    let missing = ground.connect(b"allowed.test");
    ground.refused("CONNECT", b"allowed.test", &missing, 400, "bad_request");
}

#[test]
fn threat_11_ports_that_no_entry_has() {
    let mut ground = Ground::usual();
    for port in [1, 22, 25, 80, 443, 8080, 65535] {
        ground.refuses_authority(format!("allowed.test:{port}"), 403, "port_not_allowed");
    }
    for port in [22, 25, 8443] {
        ground.refuses_authority(format!("default.test:{port}"), 403, "port_not_allowed");
    }
}

#[test]
fn threat_12_names_beyond_all_measure() {
    let ground = Ground::usual();
    for length in [254, 8 * 1024, 100_000] {
        let reply = ground.connect(&ground.at_origin(&[b"a".repeat(length), b".wild.test".to_vec()].concat()));
        assert!(matches!(reply.verdict(), (400, "bad_request") | (431, "head_too_large")), "{length}: {:?}", reply.verdict());
    }
    assert_eq!(ground.dns.asked(), []);
    ground.origin.assert_untouched("a name of 100 kB");
}

#[test]
fn threat_13_patterns_are_not_hosts() {
    let mut ground = Ground::usual();
    for host in ["*.wild.test", "*", ".", "", "a.*.test", "**.both.test", "api-*.glob.test"] {
        ground.refuses(host, 400, "bad_request");
    }
}

#[test]
fn threat_14_schemes_other_than_http() {
    let mut ground = Ground::usual();
    let port = ground.origin.port();
    let targets = [
        format!("https://allowed.test:{port}/"),
        format!("ftp://allowed.test:{port}/"),
        format!("gopher://allowed.test:{port}/"),
        format!("ws://allowed.test:{port}/"),
        "file:///etc/passwd".into(),
        format!("http:allowed.test:{port}"),
        "http:///allowed.test".into(),
        "http://".into(),
        format!("//allowed.test:{port}//"),
        format!("allowed.test:{port}"),
        "://allowed.test/".into(),
        "*".into(),
    ];
    for target in targets.iter().filter(|target| !target.starts_with('/')) {
        let reply = ask(ground.gate.proxy(), format!("GET {target} HTTP/1.1\r\nHost: allowed.test:{port}\r\n\r\n"));
        ground.refused("GET", target.as_bytes(), &reply, 400, "bad_request");
    }
    for target in ["http://allowed.test:80/", "/", "https://allowed.test:443"] {
        let reply = ground.connect(target.as_bytes());
        ground.refused("CONNECT", target.as_bytes(), &reply, 400, "bad_request");
    }
}

#[test]
fn threat_14_the_scheme_ignores_case() {
    let ground = Ground::usual();
    let port = ground.origin.port();
    let reply = ask(ground.gate.proxy(), format!("GET HTTP://allowed.test:{port}/ HTTP/1.1\r\nHost: allowed.test:{port}\r\n\r\n"));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn threat_17_a_deny_wins_in_any_order() {
    for policy in [
        "deny = [\"a.wild.test:*\"]\nallow = [\"*.wild.test:PORT\", \"a.wild.test:PORT\"]",
        "allow = [\"a.wild.test:PORT\", \"*.wild.test:PORT\"]\ndeny = [\"*.wild.test:*\"]",
        "access = \"full\"\nallow = [\"a.wild.test:PORT\"]\ndeny = [\"**.wild.test:*\"]",
        "control_plane = [\"a.wild.test:PORT\"]\ndeny = [\"a.wild.test:*\"]",
    ] {
        Ground::new(policy).refuses("a.wild.test", 403, "host_denied");
    }
}

#[test]
fn threat_18_what_a_relay_adds_changes_nothing() {
    let mut ground = Ground::usual();
    let relayed =
        "Via: 1.1 relay\r\nForwarded: for=10.0.0.1;host=allowed.test\r\nX-Forwarded-Host: allowed.test\r\nX-Forwarded-For: 10.0.0.1\r\n";
    let reply = ask(ground.gate.proxy(), format!("CONNECT evil.test:443 HTTP/1.1\r\n{relayed}Host: evil.test:443\r\n\r\n"));
    ground.refused("CONNECT", b"evil.test:443", &reply, 403, "host_not_allowed");
    let reply = ask(ground.gate.proxy(), format!("GET http://evil.test/ HTTP/1.1\r\n{relayed}Host: evil.test\r\n\r\n"));
    ground.refused("GET", b"evil.test", &reply, 403, "host_not_allowed");
}

// ── threats 21 to 24 and levels

#[test]
fn threat_21_spellings_of_an_address_are_no_names_even_at_level_full() {
    let mut ground = Ground::new("access = \"full\"");
    for host in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0"] {
        ground.refuses_authority(format!("{host}:80"), 400, "bad_request");
    }
}

#[test]
fn threat_22_ipv6_spellings_of_this_host() {
    let mut ground = Ground::new("access = \"full\"");
    for host in ["[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]"] {
        ground.refuses_authority(format!("{host}:80"), 403, "ip_literal_not_allowed");
    }
    ground.refuses_authority("[fe80::1%lo]:80", 400, "bad_request");
}

#[test]
fn threat_23_metadata_names_that_a_wildcard_allows() {
    let mut ground =
        Ground::new("allow = [\"*.google.internal:PORT\", \"metadata.google.internal:PORT\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    ground.refuses("metadata.google.internal", 403, "address_not_allowed");
    ground.allows("other.google.internal");
}

#[test]
fn threat_24_an_allowed_name_on_loopback() {
    let ground = Ground::new("allow = [\"allowed.test:PORT\"]");
    ground.dns.say("allowed.test", Answer::of(&["127.0.0.1"]));
    assert_eq!(ground.connect(&ground.at_origin(b"allowed.test")).verdict(), (403, "address_not_allowed"));
    let record = ground.gate.wait_for_record(|record| record["reason"] == "address_not_allowed");
    assert_eq!((record["host"].as_str(), record["verdict"].as_str()), (Some("allowed.test"), Some("deny")), "{record:#}");
    ground.origin.assert_untouched("loopback is not open");
}

#[test]
fn empty_policies_allow_nothing() {
    for policy in ["", "access = \"custom\"", "allow = []", "access = \"custom\"\nallow = []\ninclude = []"] {
        let mut ground = Ground::new(policy);
        ground.refuses("example.com", 403, "host_not_allowed");
        ground.refuses_authority("example.com:443", 403, "host_not_allowed");
    }
}

#[test]
fn level_none_disables_the_network_but_for_the_control_plane() {
    let mut ground = Ground::new(
        "access = \"none\"\nallow = [\"allowed.test:PORT\"]\ncontrol_plane = [\"model.test:PORT\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]",
    );
    for host in ["allowed.test", "evil.test", "localhost", "127.0.0.1", "[::1]"] {
        ground.refuses(host, 403, "network_disabled");
    }
    ground.refuses("allowed..test", 400, "bad_request");
    ground.allows("model.test");
}

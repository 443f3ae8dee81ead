use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    address::{Opening, classify},
    destination::{Destination, Host},
    policy::{Facts, Own, Permit, Policy, Problem, Way, is_local_name},
    reason::Reason,
    recorded::{Asked, Recorded},
};

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400 + seconds)
}

fn destination(authority: &str) -> Destination {
    Destination::parse(authority.as_bytes(), Some(443)).unwrap()
}

/// A tunnel that was let out.
fn connect(authority: &str) -> Recorded {
    Recorded {
        time: moment(0),
        session: Some("s1".into()),
        asked: Asked::Connect,
        reason: None,
        would_deny: None,
        destination: Some(destination(authority)),
        address: None,
        method: Some("CONNECT".into()),
        path: None,
        redirected_by: None,
        ended: false,
    }
}

/// One that report mode let out.
fn reported(authority: &str) -> Recorded {
    Recorded { would_deny: Some(Reason::HostNotAllowed), ..connect(authority) }
}

fn refused(authority: &str, reason: Reason) -> Recorded {
    Recorded { reason: Some(reason), ..connect(authority) }
}

fn request(authority: &str, method: &str, path: &str) -> Recorded {
    Recorded { asked: Asked::Http, method: Some(method.into()), path: Some(path.into()), ..connect(authority) }
}

fn at(recorded: Recorded, address: &str) -> Recorded {
    Recorded { address: Some(address.parse().unwrap()), ..recorded }
}

fn suggest<'r>(records: impl IntoIterator<Item = &'r Recorded>) -> String {
    let mut observations = Observations::default();
    records.into_iter().for_each(|recorded| observations.add(recorded));
    observations.suggest().to_string()
}

/// What stands in a suggestion beside comments.
fn bare(suggestion: &str) -> Vec<&str> {
    suggestion.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The entries of `allow`.
fn allowed<'r>(records: impl IntoIterator<Item = &'r Recorded>) -> String {
    let suggestion = suggest(records);
    let (policy, _) = parse(&suggestion);
    let shown: Vec<_> =
        policy.show().entries.into_iter().filter(|entry| entry.list.as_str() == "allow").map(|entry| entry.pattern).collect();
    shown.join(" ")
}

#[track_caller]
fn parse(text: &str) -> (Policy, Vec<Problem>) {
    Policy::parse("suggested.toml", text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

#[test]
fn what_was_asked_for_too_fast_to_be_judged_is_not_let_out() {
    let unknown = |reason| Recorded { session: None, ..refused("evil.test", reason) };
    for reason in [Reason::RateLimited, Reason::TooManyTunnels, Reason::Misdirected] {
        assert_eq!(allowed(&[connect("good.test"), unknown(reason)]), allowed(&[connect("good.test")]), "{reason}");
    }
    assert!(allowed(&[refused("slow.test", Reason::RateLimited)]).contains("slow.test"), "behind its entry it was judged");
}

#[test]
fn a_suggestion_says_what_used_each_entry() {
    let later = Recorded { time: moment(60), session: Some("s2".into()), ..reported("b.test:8443") };
    let records = [
        reported("b.test:8443"),
        Recorded { ended: true, ..reported("b.test:8443") },
        later,
        at(request("a.test:80", "GET", "/x"), "10.1.2.3"),
        Recorded { reason: Some(Reason::DnsFailed), ..connect("gone.test") },
        Recorded { redirected_by: Some(destination("a.test:80")), ..refused("evil.test", Reason::HostNotAllowed) },
        refused("localhost:80", Reason::AddressNotAllowed),
        at(refused("meta.test", Reason::AddressNotAllowed), "169.254.169.254"),
    ];
    let expected = "\
# What 7 requests of 2 sessions asked for.
# The sandbox chose these hosts: read them before you enforce them. Rules, credentials and limits are for you to add.

allow = [
    # 1 request (GET), 2026-11-21T12:00:00Z
    \"a.test\",
    # 2 requests (CONNECT), 2026-11-21T12:00:00Z to 2026-11-21T12:01:00Z; without an entry host_not_allowed ×2
    \"b.test:8443\",
    # 1 request (CONNECT), 2026-11-21T12:00:00Z; trouble dns_failed ×1
    \"gone.test\",
    # Refused, and not let out here. What is meant to be goes without its \"#\".
    # 1 request (CONNECT), 2026-11-21T12:00:00Z; without an entry address_not_allowed ×1
    # no entry lets out localhost
    # 1 request (CONNECT), 2026-11-21T12:00:00Z; without an entry host_not_allowed ×1; allowed a.test:80 redirects to refused evil.test
    # \"evil.test\",
    # 1 request (CONNECT), 2026-11-21T12:00:00Z; without an entry address_not_allowed ×1; 169.254.169.254 is a cloud metadata service, which nothing opens
    # \"meta.test\",
]

[addresses]
allow = [
    # a.test, private (RFC 1918)
    \"10.1.2.3/32\",
]
";
    let suggestion = suggest(&records);
    assert_eq!(suggestion, expected);
    assert_eq!(parse(&suggestion).1, []);
}

#[test]
fn nothing_recorded_allows_nothing() {
    assert_eq!(bare(&suggest(&[])), ["allow = [", "]"]);
    let own = [refused("tidegate.internal:80", Reason::HostNotAllowed), connect("tidegate.internal:80")];
    let owner = [Recorded { asked: Asked::Other, ..connect("github.com") }, Recorded { destination: None, ..connect("a.test") }];
    let strangers = [refused("a.test", Reason::SessionRequired), refused("a.test", Reason::BadRequest)];
    for recorded in own.iter().chain(&owner).chain(&strangers) {
        assert_eq!(suggest([recorded]), suggest(&[]), "{recorded:?}");
    }
}

#[test]
fn three_siblings_make_a_wildcard_and_two_do_not() {
    for (hosts, expected) in [
        ("a.x.example b.x.example", "a.x.example b.x.example"),
        ("a.x.example b.x.example a.x.example:80", "a.x.example b.x.example"),
        ("a.x.example b.x.example c.x.example", "*.x.example"),
        ("a.x.example b.x.example c.x.example x.example d.c.x.example", "x.example *.x.example"),
        ("a.x.example:8443 b.x.example:8443 c.x.example", "c.x.example a.x.example:8443 b.x.example:8443"),
        ("a.x.example:8443 b.x.example:8443 c.x.example:8443 d.x.example", "d.x.example *.x.example:8443"),
        ("a.y.x.example b.y.x.example c.y.x.example", "*.y.x.example"),
        ("a.example.co.uk b.example.co.uk c.example.co.uk", "*.example.co.uk"),
        ("10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.1 10.0.0.2 10.0.0.3"),
    ] {
        let mut got: Vec<_> = allowed(&hosts.split(' ').map(reported).collect::<Vec<_>>()).split(' ').map(str::to_owned).collect();
        let mut expected: Vec<_> = expected.split(' ').collect();
        got.sort();
        expected.sort_unstable();
        assert_eq!(got, expected, "{hosts}");
    }
}

#[test]
fn no_wildcard_crosses_a_public_suffix() {
    for hosts in [
        "a.com b.com c.com",
        "a.co.uk b.co.uk c.co.uk",
        "a.test b.test c.test",
        "a.github.io b.github.io c.github.io",
        "a.x.ck b.x.ck c.x.ck",
        "a.s3.amazonaws.com b.s3.amazonaws.com c.s3.amazonaws.com",
    ] {
        assert_eq!(allowed(&hosts.split(' ').map(reported).collect::<Vec<_>>()), hosts);
    }
}

#[test]
fn no_entry_lets_out_what_was_refused() {
    let siblings = ["a.x.example", "b.x.example", "c.x.example"].map(reported);
    let with = |recorded| allowed(siblings.iter().chain([&recorded]));
    assert_eq!(with(refused("evil.x.example", Reason::HostNotAllowed)), "a.x.example b.x.example c.x.example");
    assert_eq!(with(refused("evil.y.x.example:80", Reason::HostDenied)), "a.x.example b.x.example c.x.example");
    assert_eq!(with(refused("evil.x.example:22", Reason::PortNotAllowed)), "*.x.example");
    assert_eq!(allowed(&[connect("a.test:80"), refused("a.test:443", Reason::PortNotAllowed)]), "a.test:80");
    let denied = Recorded { would_deny: Some(Reason::HostDenied), ..connect("a.test") };
    assert_eq!(allowed(&[denied]), "");
}

#[test]
fn what_was_met_behind_a_destination_keeps_it() {
    let suggestion = suggest(&[Recorded { reason: Some(Reason::MethodNotAllowed), ..request("a.test", "POST", "/") }]);
    assert_eq!(bare(&suggestion), ["allow = [", "\"a.test\",", "]"]);
    assert!(suggestion.contains("; whatever the entry method_not_allowed ×1\n"), "{suggestion}");
}

#[test]
fn addresses_are_declared_where_a_policy_wants_them_to_be() {
    let own = Recorded { would_deny: Some(Reason::AddressNotAllowed), ..at(connect("own.test"), "8.8.4.4") };
    let records = [
        at(connect("a.test"), "8.8.8.8"),
        at(connect("b.test"), "::ffff:127.0.0.1"),
        at(connect("10.0.0.1"), "10.0.0.1"),
        at(connect("127.0.0.2:8080"), "127.0.0.2"),
        at(connect("[fd00::1]:8443"), "fd00::1"),
        at(connect("c.test"), "fd00::2"),
        own,
    ];
    let suggestion = suggest(&records);
    let expected = [
        "allow = [",
        "\"a.test\",",
        "\"b.test\",",
        "\"c.test\",",
        "\"own.test\",",
        "\"10.0.0.1\",",
        "\"127.0.0.2:8080\",",
        "\"[fd00::1]:8443\",",
        "]",
        "[addresses]",
        "allow = [",
        "\"8.8.4.4/32\",",
        "\"127.0.0.1/32\",",
        "\"127.0.0.2/32\",",
        "\"fd00::2/128\",",
        "]",
    ];
    assert_eq!(bare(&suggestion), expected, "{suggestion}");
    assert_eq!(parse(&suggestion).1, []);
}

#[test]
fn a_shipped_list_is_named_and_not_taken() {
    let hosts = ["www.python.org", "astral.sh", "bootstrap.pypa.io"].map(reported);
    let suggestion = suggest(&hosts);
    let said = "# The shipped list \"python\" has astral.sh, bootstrap.pypa.io, www.python.org of its 11 entries here; include = [\"python\"] lets out all of it.\n";
    assert!(suggestion.contains(said), "{suggestion}");
    assert_eq!(allowed(&hosts), "bootstrap.pypa.io www.python.org astral.sh");
    let refused = refused("docs.python.org", Reason::HostDenied);
    assert!(!suggest(hosts.iter().chain([&refused])).contains("shipped"));
    assert!(!suggest(&hosts[1..]).contains("shipped"));
}

#[test]
fn nothing_recorded_leaves_its_comment() {
    let hostile = Recorded { method: Some("GET\n]\nallow = [\"evil.test\"]".into()), session: Some("\n]".into()), ..reported("a.test") };
    assert_eq!(bare(&suggest(&[hostile])), ["allow = [", "\"a.test\",", "]"]);
}

fn changes(old: &str, new: &str, records: &[Recorded]) -> Vec<String> {
    let [old, new] = [old, new].map(|text| parse(text).0);
    let mut replay = Replay::new(&old, &new, moment(0));
    for recorded in records {
        replay.add(recorded);
    }
    let text = |change: &Change| {
        let Change { destination, refuses, reason, rule, old_rule, first, count } = change;
        let entry = |rule: &Option<crate::policy::RuleRef>| rule.as_ref().map(|rule| rule.entry.to_string());
        format!("{refuses} {reason} {destination} ×{count} {:?} {:?} {first:?}", entry(rule), entry(old_rule))
    };
    replay.changes().map(text).collect()
}

#[test]
fn a_replay_tells_what_another_policy_changes() {
    let records = [
        connect("a.test"),
        connect("a.test"),
        Recorded { ended: true, ..connect("a.test") },
        connect("b.test"),
        connect("c.test"),
        refused("c.test", Reason::SessionExpired),
        Recorded { asked: Asked::Other, ..connect("a.test") },
        connect("tidegate.internal:80"),
    ];
    let got = changes("allow = [\"a.test\", \"b.test\"]", "allow = [\"b.test\", \"c.test\"]", &records);
    assert_eq!(
        got,
        [
            "true host_not_allowed a.test:443 ×2 None Some(\"a.test\") None",
            "false host_not_allowed c.test:443 ×1 Some(\"c.test\") None None"
        ]
    );
    assert_eq!(changes("allow = [\"a.test\"]", "allow = [\"a.test\"]", &records), Vec::<String>::new());
}

#[test]
fn a_replay_judges_addresses_methods_and_paths() {
    let open = "allow = [\"a.test\", { host = \"a.test:8443\", tls = true }]\n[addresses]\nallow = [\"10.0.0.0/8\"]\n";
    let rule = "[[rule]]\nname = \"reading\"\nhosts = [\"a.test\"]\nmethods = [\"GET\"]\npaths = [\"/v1/**\"]\n";
    let records = [
        at(connect("a.test"), "10.0.0.1"),
        request("a.test", "GET", "/v1/x"),
        request("a.test", "POST", "/v1/x"),
        request("a.test", "GET", "/v2"),
        connect("a.test:8443"),
        request("a.test:8443", "DELETE", "/v1/y"),
    ];
    let got = changes(open, &format!("{open}{rule}"), &records);
    assert_eq!(
        got,
        [
            "true method_not_allowed a.test:443 ×1 Some(\"reading\") Some(\"a.test\") Some((\"POST\", \"/v1/x\"))",
            "true method_not_allowed a.test:8443 ×1 Some(\"reading\") Some(\"a.test:8443\") Some((\"DELETE\", \"/v1/y\"))",
            "true path_not_allowed a.test:443 ×1 Some(\"reading\") Some(\"a.test\") Some((\"GET\", \"/v2\"))",
        ]
    );
    let got = changes(open, "allow = [\"a.test\", \"a.test:8443\"]", &records);
    assert_eq!(got, ["true address_not_allowed a.test:443 ×1 None Some(\"a.test\") None"]);
}

fn host() -> impl Strategy<Value = Host> {
    let label = select(vec!["a", "b", "c", "d"]);
    let end = select(vec!["x.test", "x.example.com", "co.uk", "github.io", "com", "ck", "localhost", "metadata.goog", "s3.amazonaws.com"]);
    let name =
        (prop::collection::vec(label, 0..3), end).prop_map(|(labels, end)| labels.into_iter().chain([end]).collect::<Vec<_>>().join("."));
    prop_oneof![
        8 => name.prop_map(|name| Host::parse(name.as_bytes()).unwrap()),
        1 => address().prop_map(Host::Ip),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        select(vec![
            "8.8.8.8",
            "10.0.0.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "169.254.169.254",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1"
        ])
        .prop_map(|text| text.parse().unwrap()),
    ]
}

/// Records as the proxy makes them: what was let out was dialled at an address that may be, a literal at itself.
fn record() -> impl Strategy<Value = Recorded> {
    let of_destination = select(vec![Reason::HostNotAllowed, Reason::HostDenied, Reason::PortNotAllowed, Reason::AddressNotAllowed]);
    let reason = prop_oneof![
        6 => Just((None, None)),
        6 => of_destination.clone().prop_map(|reason| (None, Some(reason))),
        2 => of_destination.prop_map(|reason| (Some(reason), None)),
        1 => select(vec![Reason::DnsFailed, Reason::MethodNotAllowed, Reason::SessionUnknown]).prop_map(|reason| (Some(reason), None)),
    ];
    let port = prop_oneof![select(vec![443, 80, 8443]), 1..=u16::MAX];
    (host(), port, prop::option::of(address()), reason, any::<bool>(), any::<bool>()).prop_filter_map(
        "could not have happened",
        |(host, port, address, (reason, would_deny), is_request, ended)| {
            let let_out = !reason.is_some_and(Reason::is_of_destination);
            let address = host.ip().or(address);
            let never =
                address.is_some_and(|address| classify(address).opening() == Opening::Never) || host.name().is_some_and(is_local_name);
            let asked = if is_request && port != 443 { Asked::Http } else { Asked::Connect };
            let recorded = Recorded { asked, reason, would_deny, address, ended, ..connect("a.test") };
            (!let_out || !never).then_some(Recorded { destination: Some(Destination { host, port }), ..recorded })
        },
    )
}

fn judge(policy: &Policy, recorded: &Recorded) -> Result<Permit, Box<crate::policy::Denial>> {
    let way = if recorded.asked == Asked::Http { Way::Http } else { Way::Connect };
    policy.decide_destination(&Facts { destination: recorded.destination.as_ref().unwrap(), way, now: moment(0) })
}

/// A public suffix may have been let out by the level `full`, and no entry names one.
fn is_public_suffix(host: &Host) -> bool {
    host.name().is_some_and(|name| {
        psl::suffix(name.as_str().as_bytes())
            .is_some_and(|suffix| suffix.as_bytes() == name.as_str().as_bytes() && suffix.typ() == Some(psl::Type::Icann))
    })
}

proptest! {
    #[test]
    fn a_suggestion_refuses_nothing_that_was_let_out_and_lets_out_nothing_that_was_refused(records in prop::collection::vec(record(), 0..40)) {
        let text = suggest(&records);
        let (policy, _) = parse(&text);
        let of = |recorded: &Recorded| records.iter().filter(|other| other.destination == recorded.destination).cloned().collect::<Vec<_>>();
        for recorded in records.iter().filter(|recorded| recorded.reason != Some(Reason::SessionUnknown)) {
            let all = of(recorded);
            let denied = all.iter().any(|one| [one.reason, one.would_deny].contains(&Some(Reason::HostDenied)));
            let is_let_out = |one: &Recorded| !one.reason.is_some_and(Reason::is_of_destination) && one.reason != Some(Reason::SessionUnknown);
            let let_out = all.iter().any(is_let_out);
            let permit = judge(&policy, recorded);
            if denied || !let_out || is_public_suffix(&recorded.destination.as_ref().unwrap().host) {
                prop_assert!(permit.is_err(), "{recorded:?}\n{text}");
                continue;
            }
            prop_assert!(permit.is_ok(), "{recorded:?}\n{permit:?}\n{text}");
            if let Some(address) = recorded.address.filter(|_| is_let_out(recorded)) {
                let admitted = permit.unwrap().admit(&[address], &Own::default());
                prop_assert!(admitted.is_ok(), "{recorded:?}\n{admitted:?}\n{text}");
            }
        }
        prop_assert!(policy.show().entries.len() <= 2 * records.len());
    }
}

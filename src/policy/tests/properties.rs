use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::{prelude::*, sample::select};

use super::*;

/// A list as a person would read it: every entry is looked at, the pattern as text.
fn scan(entries: &[String], destination: &Destination, deny: bool) -> (bool, bool) {
    let mut found = (false, false);
    for entry in entries {
        let (host, port) = split(entry);
        let host_matches = match &destination.host {
            Host::Name(name) => matches_name(host, name.as_str()),
            Host::Ip(address) => {
                host.parse::<IpNet>().or_else(|_| host.parse::<IpAddr>().map(IpNet::from)).is_ok_and(|net| net.contains(address))
            }
        };
        let port_matches = match port {
            None => deny || [443, 80].contains(&destination.port),
            Some("*") => true,
            Some(port) => port == destination.port.to_string(),
        };
        found.0 |= host_matches;
        found.1 |= host_matches && port_matches;
    }
    found
}

fn split(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        let (inside, port) = rest.split_once(']').unwrap();
        return (inside, port.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**.") {
        return matches_name(rest, name) || matches_name(&format!("*.{rest}"), name);
    }
    if let Some(rest) = pattern.strip_prefix("*.") {
        return name.match_indices('.').any(|(dot, _)| matches_name(rest, &name[dot + 1..]));
    }
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), name.split('.').collect());
    pattern.len() == name.len() && pattern.iter().zip(&name).all(|(pattern, label)| matches_label(pattern.as_bytes(), label.as_bytes()))
}

fn matches_label(pattern: &[u8], label: &[u8]) -> bool {
    match pattern.split_first() {
        None => label.is_empty(),
        Some((b'*', rest)) => (0..=label.len()).any(|taken| matches_label(rest, &label[taken..])),
        Some((byte, rest)) => label.split_first().is_some_and(|(first, after)| first == byte && matches_label(rest, after)),
    }
}

fn name() -> impl Strategy<Value = String> {
    (prop::collection::vec(select(vec!["a", "b", "ab", "aab", "a-b"]), 0..4), select(vec!["x.test", "y.test", "b.x.test"]))
        .prop_map(|(labels, end)| labels.into_iter().chain([end]).collect::<Vec<_>>().join("."))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4u8, 0..4u8).prop_map(|(c, d)| IpAddr::V4(Ipv4Addr::new(10, 0, c, d))),
        (0..4u16, 0..4u16).prop_map(|(g, h)| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, g, h))),
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        select(vec!["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]).prop_map(|text| text.parse().unwrap()),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![select(vec![443, 80, 22, 8443]), 1..=u16::MAX]
}

fn asked() -> impl Strategy<Value = Destination> {
    let host = prop_oneof![
        4 => name().prop_map(|name| Host::parse(name.as_bytes()).unwrap()),
        1 => address().prop_map(Host::Ip),
        1 => select(vec!["localhost", "metadata.goog", "co.uk", "github.com"]).prop_map(|name| Host::parse(name.as_bytes()).unwrap()),
    ];
    (host, port()).prop_map(|(host, port)| Destination { host, port })
}

fn entry() -> impl Strategy<Value = String> {
    let globs = select(vec!["a", "b", "a*", "*b", "a*b", "*", "ab"]);
    let names = (select(vec!["", "*.", "**."]), prop::collection::vec(globs, 0..3), select(vec!["x.test", "y.test"])).prop_map(
        |(depth, labels, end)| {
            let labels: Vec<_> = labels.into_iter().chain([end]).collect();
            // "*.*" at the front reads as a depth and a glob, which the scan reads in the same way.
            format!("{depth}{}", labels.join("."))
        },
    );
    let nets = (address(), 1..=32u8).prop_map(|(address, bits)| {
        let bits = if address.is_ipv4() { bits } else { bits * 4 };
        let net = IpNet::new(address, bits).unwrap().trunc();
        if net.addr().is_ipv4() { net.to_string() } else { format!("[{net}]") }
    });
    let ports = prop_oneof![3 => Just(String::new()), 1 => Just(":*".to_owned()), 2 => port().prop_map(|port| format!(":{port}"))];
    (prop_oneof![4 => names, 1 => nets], ports).prop_map(|(host, port)| format!("{host}{port}"))
}

fn entries() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(entry(), 0..8)
}

fn document(level: Access, allow: &[String], deny: &[String]) -> String {
    format!("access = \"{level}\"\nallow = {allow:?}\ndeny = {deny:?}\n")
}

fn level() -> impl Strategy<Value = Access> {
    select(Access::ALL)
}

fn way() -> impl Strategy<Value = Way> {
    select(vec![Way::Connect, Way::Http])
}

/// Adds lines to a document as their reader would: lists grow, anything else is replaced.
pub(super) fn add(document: &str, lines: &str) -> String {
    fn merge(into: &mut toml::Table, from: toml::Table) {
        for (key, value) in from {
            match (into.get_mut(&key), value) {
                (Some(toml::Value::Array(old)), toml::Value::Array(new)) => old.extend(new),
                (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
                (_, value) => drop(into.insert(key, value)),
            }
        }
    }
    fn print(value: &toml::Value) -> String {
        match value {
            toml::Value::Array(values) => format!("[{}]", values.iter().map(print).collect::<Vec<_>>().join(", ")),
            toml::Value::Table(table) => {
                format!("{{ {} }}", table.iter().map(|(key, value)| format!("{key} = {}", print(value))).collect::<Vec<_>>().join(", "))
            }
            toml::Value::String(text) => format!("{text:?}"),
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) => panic!("{value:?}"),
        }
    }
    let mut table: toml::Table = document.parse().unwrap();
    merge(&mut table, lines.parse().unwrap());
    table.iter().map(|(key, value)| format!("{key} = {}", print(value))).collect::<Vec<_>>().join("\n")
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_scan(allow in entries(), deny in entries(), asked in asked()) {
        let policy = policy(&document(Access::Custom, &allow, &deny));
        let now = moment(0);
        let found = policy.rules.allow.find(&asked, now);
        prop_assert_eq!((found.host.is_some(), found.port.is_some()), scan(&allow, &asked, false));
        let by_any_face = match &asked.host {
            Host::Name(_) => scan(&deny, &asked, true).1,
            Host::Ip(address) => crate::address::reached(*address).any(|face| scan(&deny, &Destination { host: Host::Ip(face), port: asked.port }, true).1),
        };
        prop_assert_eq!(policy.rules.deny.denying(&asked, now).enforced.is_some(), by_any_face);
    }

    #[test]
    fn a_permit_needs_an_entry_or_level_full(allow in entries(), deny in entries(), level in level(), way in way(), asked in asked()) {
        prop_assume!(level != Access::Trusted);
        let policy = policy(&document(level, &allow, &deny));
        let permitted = policy.decide_destination(&Facts { destination: &asked, way, now: moment(0) }).is_ok();
        let listed = scan(&allow, &asked, false).1 && level != Access::None;
        let any_name = level == Access::Full && asked.host.name().is_some() && [443, 80].contains(&asked.port);
        prop_assert!(!permitted || listed || any_name);
        prop_assert!(!permitted || !scan(&deny, &asked, true).1);
        prop_assert!(!permitted || !is_local(&asked.host));
    }

    #[test]
    fn a_deny_never_allows(allow in entries(), deny in entries(), more in entry(), level in level(), way in way(), asked in asked()) {
        let ask = |deny: &[String]| policy(&document(level, &allow, deny)).decide_destination(&Facts { destination: &asked, way, now: moment(0) }).is_ok();
        let before = ask(&deny);
        let after = ask(&[deny, vec![more]].concat());
        prop_assert!(before || !after);
    }

    #[test]
    fn the_line_that_would_allow_does(allow in entries(), deny in entries(), level in level(), way in way(), asked in asked()) {
        let document = document(level, &allow, &deny);
        let facts = Facts { destination: &asked, way, now: moment(0) };
        if let Err(denial) = policy(&document).decide_destination(&facts)
            && let Some(lines) = denial.allow_with
        {
            let changed = add(&document, &lines);
            let permit = policy(&changed).decide_destination(&facts);
            prop_assert!(permit.is_ok(), "{lines}\n{changed}\n{permit:?}");
            if let Host::Ip(address) = asked.host {
                let admitted = permit.unwrap().admit(&[address], &Own::default());
                prop_assert!(admitted.is_ok(), "{lines}\n{admitted:?}");
            }
        }
    }

    #[test]
    fn the_line_that_would_admit_does(deny in entries(), answer in prop::collection::vec(address(), 1..4)) {
        let document = document(Access::Custom, &["a.x.test".into()], &deny);
        let admit = |text: &str| {
            let permit = policy(text).decide_destination(&Facts { destination: &destination("a.x.test"), way: Way::Connect, now: moment(0) }).ok()?;
            Some(permit.admit(&answer, &Own::default()))
        };
        if let Some(Err(denial)) = admit(&document)
            && let Some(lines) = denial.allow_with
        {
            let admitted = admit(&add(&document, &lines)).unwrap();
            prop_assert!(admitted.is_ok(), "{lines}\n{admitted:?}");
        }
    }

    #[test]
    fn report_mode_opens_nothing_that_never_opens(allow in entries(), opened in prop::collection::vec(address(), 0..3), asked in asked(), answer in prop::collection::vec(address(), 1..4)) {
        let opened: Vec<_> = opened.into_iter().filter(|address| classify(*address).opening() != Opening::Never).map(|address| address.to_canonical().to_string()).collect();
        let policy = policy(&format!("report = true\nallow = {allow:?}\n[addresses]\nallow = {opened:?}"));
        let own = Own { addresses: vec!["8.8.4.4".parse().unwrap()], listeners: vec!["0.0.0.0:443".parse().unwrap(), "127.0.0.1:80".parse().unwrap()] };
        let permit = policy.decide_destination(&Facts { destination: &asked, way: Way::Connect, now: moment(0) });
        prop_assert_eq!(permit.is_err(), is_local(&asked.host));
        if let Ok(admitted) = permit.map_err(drop).and_then(|permit| permit.admit(&answer, &own).map_err(drop)) {
            for address in admitted.addresses() {
                let opening = classify(address.ip()).opening();
                prop_assert_ne!(opening, Opening::Never, "{}", address);
                prop_assert!(opening != Opening::Loopback || opened.contains(&address.ip().to_canonical().to_string()), "{}", address);
                prop_assert!(!(address.port() == 443 && address.ip().to_canonical().is_loopback()));
            }
        }
    }

    #[test]
    fn a_name_may_be_asked_for_exactly_where_some_port_may_be_reached(
        allow in entries(), deny in entries(), skip in entries(), ruled in entries(), level in level(), report: bool, asked in asked(), other in port(),
    ) {
        prop_assume!(asked.host.name().is_some());
        let skip: Vec<_> = skip.into_iter().filter(|entry| entry.contains("test")).collect();
        let ruled: Vec<_> = ruled.into_iter().filter(|entry| entry.contains("test")).chain(["z.test".to_owned()]).collect();
        let text = format!("report = {report}\n{}[tls]\nskip = {skip:?}\n[[rule]]\nhosts = {ruled:?}\nmethods = [\"GET\"]", document(level, &allow, &deny));
        let parsed = Policy::parse("policy.toml", &text);
        prop_assume!(parsed.is_ok());
        let (policy, _) = parsed.unwrap();
        let written = [&allow, &deny, &skip].into_iter().flatten().filter_map(|entry| split(entry).1?.parse().ok());
        let ports = written.chain([443, 80, 22, 8443, asked.port, other]);
        let decide = |port| {
            let destination = Destination { port, ..asked.clone() };
            [Way::Connect, Way::Http].map(|way| policy.decide_destination(&Facts { destination: &destination, way, now: moment(0) }).ok())
        };
        let permits: Vec<_> = ports.flat_map(decide).flatten().collect();
        let name = policy.decide_name(&NameFacts { name: asked.host.name().unwrap(), now: moment(0) });
        prop_assert_eq!(name.is_ok(), !permits.is_empty(), "{:?}", name);
        if let Ok(permit) = name {
            prop_assert_eq!(permit.would_deny().is_none(), permits.iter().any(|permit| permit.would_deny().is_none()));
        }
    }

    #[test]
    fn patterns_print_and_parse_back(entry in entry()) {
        let pattern: Pattern = entry.parse().unwrap();
        let printed = pattern.to_string();
        prop_assert_eq!(printed.parse::<Pattern>().unwrap().to_string(), printed);
    }

    #[test]
    fn no_text_breaks_the_reader(text in ".{0,200}", pattern in ".{0,40}") {
        let _ = Policy::parse("policy.toml", &text);
        let _ = Policy::parse("policy.toml", &format!("allow = [{pattern:?}]\ndeny = [{pattern:?}]"));
        let _ = pattern.parse::<Pattern>();
    }
}

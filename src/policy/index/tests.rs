use super::*;

fn index(patterns: impl IntoIterator<Item = String>) -> Index {
    let entry = |pattern: String| Entry {
        list: ListKind::Allow,
        pattern: pattern.parse().unwrap(),
        speaks: None,
        until: None,
        report: false,
        intercept: false,
        rule: RuleRef { entry: pattern.into(), source: "policy.toml".into(), line: 1 },
        group: None,
    };
    Index::new(patterns.into_iter().map(entry).collect())
}

fn entry<'a>(index: &'a Index, authority: &str) -> Option<&'a str> {
    let destination = Destination::parse(authority.as_bytes(), Some(443)).unwrap();
    Some(&index.find(&destination, SystemTime::UNIX_EPOCH).port?.rule.entry)
}

#[test]
fn a_longer_prefix_tells_more() {
    let index = index(["10.0.0.0/8:*", "10.1.0.0/16", "10.1.2.0/24:22", "10.1.2.3"].map(Into::into));
    assert_eq!(entry(&index, "10.1.2.3:443"), Some("10.1.2.3"));
    assert_eq!(entry(&index, "10.1.2.3:22"), Some("10.1.2.0/24:22"));
    assert_eq!(entry(&index, "10.1.2.4:443"), Some("10.1.0.0/16"));
    assert_eq!(entry(&index, "10.1.2.4:5432"), Some("10.0.0.0/8:*"));
    assert_eq!(entry(&index, "11.1.2.4:443"), None);
}

/// What a look-up visits is bounded by the labels of the name and the prefix lengths in use, never by the entries.
#[test]
fn a_look_up_does_not_grow_with_the_entries() {
    let visited = |entries: u32| {
        let names =
            (0..entries).flat_map(|n| [format!("h{n}.example.com"), format!("*.d{n}.example.com"), format!("g{n}-*.d{n}.example.com")]);
        let nets = (0..entries).flat_map(|n| [format!("10.{}.{}.0/24", n / 256, n % 256), format!("h.example.com:{}", n + 1000)]);
        let index = index(names.chain(nets).chain(["*.example.com".into()]));
        ["a.b.d7.example.com", "h7.example.com", "h.example.com", "g7-x.d7.example.com", "10.0.7.1", "172.16.0.1"].map(|host| {
            let destination = Destination::parse(host.as_bytes(), Some(443)).unwrap();
            index.slots(&destination.host).map(|slot| slot.at(destination.port).count()).collect::<Vec<_>>()
        })
    };
    assert_eq!(visited(10), visited(1000));
}

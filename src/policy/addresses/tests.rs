use super::*;
use crate::policy::{Facts, Permit, Policy, Way};

fn permit(document: &str, destination: &str) -> Permit {
    let (policy, _) = Policy::parse("policy.toml", document).unwrap();
    let destination = Destination::parse(destination.as_bytes(), Some(443)).unwrap();
    policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: SystemTime::UNIX_EPOCH }).unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What may be dialled of an answer for `a.example`, and what is dropped.
fn admit(declared: &str, answer: &[&str], own: &Own) -> Result<(Vec<String>, Vec<IpAddr>), Box<Denial>> {
    let permit = permit(&format!("allow = [\"a.example\"]\n[addresses]\nallow = [{declared}]"), "a.example");
    let admitted = permit.admit(&addresses(answer), own)?;
    Ok((admitted.addresses().iter().map(ToString::to_string).collect(), admitted.dropped().to_vec()))
}

fn opens(declared: &str, address: &str) -> bool {
    admit(declared, &[address], &Own::default()).is_ok()
}

/// Egress 6.3: what no declaration opens.
const NEVER: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "169.254.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:2:3:4:a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
    "2001:0:808:808:0:0:80ff:fffe",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a9fe:a9fe",
];

/// Egress 6.3: what a declaration opens.
const DECLARABLE: &[&str] = &[
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "::ffff:127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "fc00::1",
    "fd12::1",
    "fec0::1",
    "2001:db8::1",
    "100::1",
    "2001:20::1",
    "64:ff9b::10.1.2.3",
    "2002:a01:203::1",
];

const OPEN: &[&str] = &["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"];

const EVERYTHING: &str = "\"0.0.0.0/0\", \"::/0\"";

#[test]
fn threats_22_to_24_only_public_addresses_unless_declared() {
    for address in NEVER {
        assert!(!opens("", address), "{address}");
        assert!(!opens(EVERYTHING, address), "{address}");
    }
    for address in DECLARABLE {
        assert!(!opens("", address), "{address}");
        assert!(opens(EVERYTHING, address), "{address}");
    }
    for address in OPEN {
        assert!(opens("", address), "{address}");
    }
}

#[test]
fn a_declaration_holds_for_the_address_itself() {
    assert!(opens("\"10.1.2.0/24\"", "10.1.2.3"));
    assert!(opens("\"10.1.2.0/24\"", "::ffff:10.1.2.3"));
    assert!(!opens("\"10.1.2.0/24\"", "10.1.3.3"));
    assert!(!opens("\"10.1.2.0/24\"", "64:ff9b::10.1.2.3"));
    assert!(opens("\"64:ff9b::/96\"", "64:ff9b::10.1.2.3"));
    assert!(opens("\"127.0.0.1\"", "127.0.0.1"));
    assert!(!opens("\"127.0.0.1\"", "127.0.0.2"));
    assert!(!opens("\"127.0.0.1\"", "::1"));
}

#[test]
fn threat_26_refused_addresses_of_a_mixed_answer_are_dropped() {
    for answer in [["8.8.8.8", "127.0.0.1", "10.0.0.1"], ["10.0.0.1", "8.8.8.8", "127.0.0.1"]] {
        let (dialled, mut dropped) = admit("", &answer, &Own::default()).unwrap();
        dropped.sort();
        assert_eq!(dialled, ["8.8.8.8:443"]);
        assert_eq!(dropped, addresses(&["10.0.0.1", "127.0.0.1"]));
    }
    let (dialled, _) = admit("", &["10.0.0.1", "2606:4700::1111"], &Own::default()).unwrap();
    assert_eq!(dialled, ["[2606:4700::1111]:443"]);
}

#[test]
fn a_denial_names_the_address_and_the_declaration() {
    let denial = |answer: &[&str]| {
        let denial = admit("", answer, &Own::default()).unwrap_err();
        assert_eq!(denial.host.as_ref().map(ToString::to_string).as_deref(), Some("a.example"));
        (denial.reason, denial.detail, denial.allow_with)
    };
    let refused = Reason::AddressNotAllowed;
    assert_eq!(
        denial(&["10.1.2.3"]),
        (
            refused,
            "a.example resolves to 10.1.2.3, which is refused: it is private (RFC 1918).".into(),
            Some("[addresses]\nallow = [\"10.1.2.3/32\"]".into())
        )
    );
    assert_eq!(
        denial(&["169.254.169.254", "::1"]),
        (
            refused,
            "a.example resolves to 2 addresses, and each is refused; of the first, 169.254.169.254: it is a cloud metadata service.".into(),
            Some("[addresses]\nallow = [\"::1/128\"]".into())
        )
    );
    assert_eq!(denial(&["fe80::1"]), (refused, "a.example resolves to fe80::1, which is refused: it is link-local.".into(), None));
    assert_eq!(denial(&[]), (Reason::DnsFailed, "a.example has no address.".into(), None));
}

#[test]
fn threat_28_this_host_is_no_destination() {
    let own = Own { addresses: addresses(&["203.0.113.9", "8.8.4.4", "10.5.5.5"]), listeners: vec!["0.0.0.0:443".parse().unwrap()] };
    let mine = |declared: &str, address: &str, own: &Own| admit(declared, &[address], own).map_err(|denial| denial.detail);
    for address in [
        "8.8.4.4",
        "::ffff:8.8.4.4",
        "64:ff9b::808:404",
        "2002:808:404::1",
        "10.5.5.5",
        "127.0.0.1",
        "127.0.0.9",
        "::1",
        "::ffff:127.0.0.1",
    ] {
        let detail = mine(EVERYTHING, address, &own).unwrap_err();
        assert!(detail.contains("it is this proxy itself"), "{address}: {detail}");
    }
    assert!(mine(EVERYTHING, "10.5.5.6", &own).is_ok());
    let elsewhere = Own { listeners: vec!["127.0.0.1:3128".parse().unwrap(), "[::1]:443".parse().unwrap()], ..own };
    assert_eq!(
        mine("", "8.8.4.4", &elsewhere).unwrap_err(),
        "a.example resolves to 8.8.4.4, which is refused: it is an address of this host."
    );
    assert!(mine("\"8.8.4.4\"", "8.8.4.4", &elsewhere).is_ok());
    assert!(mine(EVERYTHING, "127.0.0.1", &elsewhere).is_ok());
    assert!(mine(EVERYTHING, "::1", &elsewhere).is_err());
}

#[test]
fn a_literal_entry_declares_its_address_but_not_loopback() {
    let literal = |document: &str, address: &str| {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        permit(document, &host)
            .admit(&addresses(&[address]), &Own::default())
            .map(|_| ())
            .map_err(|denial| (denial.detail, denial.allow_with))
    };
    assert_eq!(literal("allow = [\"10.1.2.3\"]", "10.1.2.3"), Ok(()));
    assert_eq!(literal("allow = [\"10.0.0.0/8\"]", "10.1.2.3"), Ok(()));
    assert_eq!(literal("allow = [\"2001:db8::1\"]", "2001:db8::1"), Ok(()));
    assert_eq!(
        literal("allow = [\"127.0.0.1\"]", "127.0.0.1"),
        Err(("The address 127.0.0.1 is refused: it is loopback.".into(), Some("[addresses]\nallow = [\"127.0.0.1/32\"]".into())))
    );
    assert_eq!(literal("allow = [\"127.0.0.1\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", "127.0.0.1"), Ok(()));
    assert_eq!(
        literal("allow = [\"169.254.169.254\"]", "169.254.169.254"),
        Err(("The address 169.254.169.254 is refused: it is a cloud metadata service.".into(), None))
    );
}

#[test]
fn a_denied_network_is_denied_to_names_too() {
    let answer = |document: &str, address: &str| permit(document, "a.example").admit(&addresses(&[address]), &Own::default());
    let document = "allow = [\"a.example\"]\ndeny = [\"8.8.0.0/16\"]\n[addresses]\nallow = [\"0.0.0.0/0\"]";
    let denial = answer(document, "8.8.8.8").unwrap_err();
    assert_eq!(
        (denial.reason, denial.rule.clone().map(|rule| rule.line), denial.allow_with.clone()),
        (Reason::AddressNotAllowed, Some(2), None)
    );
    assert_eq!(denial.detail, "a.example resolves to 8.8.8.8, which is refused: it is denied by 8.8.0.0/16 (policy.toml:2).");
    assert!(answer(document, "64:ff9b::808:808").is_err());
    assert!(answer(document, "8.9.8.8").is_ok());
}

#[test]
fn report_mode_admits_what_a_declaration_could_open_except_loopback() {
    let own = Own { addresses: addresses(&["8.8.4.4"]), listeners: vec!["8.8.4.4:443".parse().unwrap()] };
    let would_deny = |answer: &[&str]| {
        let permit = permit("report = true\nallow = [\"a.example\"]", "a.example");
        permit.admit(&addresses(answer), &own).map(|admitted| (admitted.addresses().len(), admitted.permit().would_deny())).ok()
    };
    assert_eq!(would_deny(&["8.8.8.8"]), Some((1, None)));
    assert_eq!(would_deny(&["10.0.0.1", "8.8.8.8"]), Some((1, None)));
    assert_eq!(would_deny(&["10.0.0.1", "127.0.0.1", "169.254.1.1"]), Some((1, Some(Reason::AddressNotAllowed))));
    for address in ["127.0.0.1", "::1", "8.8.4.4"].iter().chain(NEVER) {
        assert_eq!(would_deny(&[address]), None, "{address}");
    }
}

#[test]
fn local_names() {
    let is_local = |name: &str| is_local_name(Host::parse(name.as_bytes()).unwrap().name().unwrap());
    for name in
        ["localhost", "a.localhost", "a.b.localhost", "metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"]
    {
        assert!(is_local(name), "{name}");
    }
    for name in
        ["localhost.example", "notlocalhost", "ip6-localhost", "google.internal", "a.metadata.google.internal", "host.docker.internal"]
    {
        assert!(!is_local(name), "{name}");
    }
}

#[test]
fn a_parent_proxy_is_left_names_and_no_address() {
    let admitted = permit("allow = [\"a.example\"]", "a.example").admit_by_parent().unwrap();
    assert_eq!((admitted.addresses(), admitted.permit().destination().to_string().as_str()), (&[][..], "a.example:443"));
    for address in ["127.0.0.1", "10.0.0.1", "192.0.2.1", "[::1]", "[fe80::1]"] {
        let given_back = permit(&format!("allow = [\"{}\"]", address.trim_matches(['[', ']'])), address).admit_by_parent();
        assert!(given_back.is_err_and(|permit| permit.destination().host.ip().is_some()), "{address}");
    }
}

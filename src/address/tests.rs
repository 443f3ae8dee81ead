use super::*;

fn class(address: &str) -> AddressClass {
    classify(address.parse().unwrap())
}

#[test]
fn every_range_of_ipv4_has_its_class() {
    use AddressClass as C;
    for (address, expected) in [
        ("8.8.8.8", C::Public),
        ("1.0.0.0", C::Public),
        ("223.255.255.255", C::Public),
        ("0.0.0.0", C::Unspecified),
        ("0.255.255.255", C::Unspecified),
        ("10.0.0.0", C::Private),
        ("10.255.255.255", C::Private),
        ("11.0.0.0", C::Public),
        ("100.63.255.255", C::Public),
        ("100.64.0.0", C::Shared),
        ("100.100.100.200", C::Metadata),
        ("100.127.255.255", C::Shared),
        ("100.128.0.0", C::Public),
        ("127.0.0.0", C::Loopback),
        ("127.255.255.255", C::Loopback),
        ("168.63.129.16", C::Metadata),
        ("168.63.129.17", C::Public),
        ("169.254.0.0", C::LinkLocal),
        ("169.254.169.254", C::Metadata),
        ("169.254.170.2", C::LinkLocal),
        ("172.15.255.255", C::Public),
        ("172.16.0.0", C::Private),
        ("172.31.255.255", C::Private),
        ("172.32.0.0", C::Public),
        ("192.0.0.1", C::Protocol),
        ("192.0.0.192", C::Metadata),
        ("192.0.2.1", C::Documentation),
        ("192.88.99.1", C::Relay),
        ("192.168.255.255", C::Private),
        ("198.17.255.255", C::Public),
        ("198.18.0.0", C::Benchmarking),
        ("198.19.255.255", C::Benchmarking),
        ("198.51.100.1", C::Documentation),
        ("203.0.113.1", C::Documentation),
        ("224.0.0.1", C::Multicast),
        ("239.255.255.255", C::Multicast),
        ("240.0.0.0", C::Reserved),
        ("255.255.255.254", C::Reserved),
        ("255.255.255.255", C::Broadcast),
    ] {
        assert_eq!(class(address), expected, "{address}");
    }
}

#[test]
fn every_range_of_ipv6_has_its_class() {
    use AddressClass as C;
    for (address, expected) in [
        ("2606:4700::1111", C::Public),
        ("::", C::Unspecified),
        ("::1", C::Loopback),
        ("::2", C::Unspecified),
        ("100::1", C::Discard),
        ("2001:db8::1", C::Documentation),
        ("3fff::1", C::Documentation),
        ("2001:20::1", C::Protocol),
        ("2001:200::1", C::Public),
        ("4000::1", C::Unassigned),
        ("1::1", C::Unassigned),
        ("fc00::1", C::UniqueLocal),
        ("fdff::1", C::UniqueLocal),
        ("fd00:ec2::254", C::Metadata),
        ("fd00:ec2::23", C::Metadata),
        ("fd20:ce::254", C::Metadata),
        ("fd20:ce::253", C::UniqueLocal),
        ("fd00:c1::a9fe:a9fe", C::Metadata),
        ("fd00:42::42", C::Metadata),
        ("fe80::1", C::LinkLocal),
        ("febf::1", C::LinkLocal),
        ("fec0::1", C::SiteLocal),
        ("ff02::1", C::Multicast),
    ] {
        assert_eq!(class(address), expected, "{address}");
    }
}

#[test]
fn what_an_address_embeds_counts() {
    use AddressClass as C;
    for (address, expected) in [
        // mapped: the very IPv4 address
        ("::ffff:127.0.0.1", C::Loopback),
        ("::ffff:a9fe:a9fe", C::Metadata),
        ("::ffff:8.8.8.8", C::Public),
        ("::ffff:10.0.0.1", C::Private),
        // compatible
        ("::127.0.0.1", C::EmbeddedLoopback),
        ("::10.0.0.1", C::Unassigned),
        ("::169.254.169.254", C::Metadata),
        ("::8.8.8.8", C::Unassigned),
        // translated
        ("::ffff:0:127.0.0.1", C::EmbeddedLoopback),
        ("::ffff:0:169.254.1.1", C::LinkLocal),
        ("::ffff:0:8.8.8.8", C::Unassigned),
        // NAT64
        ("64:ff9b::7f00:1", C::EmbeddedLoopback),
        ("64:ff9b::10.0.0.1", C::Private),
        ("64:ff9b::8.8.8.8", C::Public),
        ("64:ff9b::a83f:8110", C::Metadata),
        ("64:ff9b:1::7f00:1", C::EmbeddedLoopback),
        ("64:ff9b:1:abcd::169.254.169.254", C::Metadata),
        ("64:ff9b:1::8.8.8.8", C::LocalTranslation),
        // 6to4
        ("2002:7f00:1::", C::EmbeddedLoopback),
        ("2002:a00:1::1", C::Private),
        ("2002:808:808::1", C::Public),
        ("2002:e000:1::", C::Multicast),
        // Teredo: server 127.0.0.1; client 10.0.0.1; client 127.0.0.1; both public
        ("2001:0:7f00:1:0:0:f7f7:f7f7", C::EmbeddedLoopback),
        ("2001:0:808:808:0:0:f5ff:fffe", C::Protocol),
        ("2001:0:808:808:0:0:80ff:fffe", C::EmbeddedLoopback),
        ("2001:0:808:808:0:0:f7f7:f7f7", C::Protocol),
        // ISATAP, with and without the universal bit, under a public and a local prefix
        ("2606:4700::5efe:7f00:1", C::EmbeddedLoopback),
        ("2606:4700::200:5efe:10.0.0.1", C::Private),
        ("2606:4700::5efe:808:808", C::Public),
        ("fe80::5efe:808:808", C::LinkLocal),
        ("fd00::5efe:169.254.169.254", C::Metadata),
    ] {
        assert_eq!(class(address), expected, "{address}");
    }
}

#[test]
fn openings() {
    assert_eq!(class("8.8.8.8").opening(), Opening::Open);
    assert_eq!(class("10.0.0.1").opening(), Opening::Declarable);
    assert_eq!(class("127.0.0.1").opening(), Opening::Loopback);
    for never in ["0.0.0.0", "169.254.1.1", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "64:ff9b::7f00:1", "fe80::1"] {
        assert_eq!(class(never).opening(), Opening::Never, "{never}");
    }
}

#[test]
fn networks_that_never_open() {
    for net in
        ["169.254.0.0/16", "169.254.1.0/24", "224.0.0.0/3", "0.0.0.0/32", "100.100.100.200/32", "fe80::/10", "fe80::/64", "ff02::/16"]
    {
        assert!(is_never_opened(net.parse().unwrap()), "{net}");
    }
    for net in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "100.100.100.0/24", "127.0.0.1/32", "192.0.0.0/24", "8.8.8.8/32", "fe00::/7", "fd00::/8"]
    {
        assert!(!is_never_opened(net.parse().unwrap()), "{net}");
    }
}

#[test]
fn what_an_address_reaches() {
    let all = |address: &str| reached(address.parse().unwrap()).map(|address| address.to_string()).collect::<Vec<_>>();
    assert_eq!(all("10.0.0.1"), ["10.0.0.1"]);
    assert_eq!(all("::ffff:10.0.0.1"), ["::ffff:10.0.0.1", "10.0.0.1"]);
    assert_eq!(all("64:ff9b::a00:1"), ["64:ff9b::a00:1", "10.0.0.1"]);
    assert_eq!(all("2001:0:808:808:0:0:f5ff:fffe"), ["2001:0:808:808::f5ff:fffe", "8.8.8.8", "10.0.0.1"]);
    assert_eq!(all("::1"), ["::1"]);
}

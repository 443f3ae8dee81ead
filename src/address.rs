//! What kind of address an IP address is, and what hides inside it: the table that decides what may be dialled.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address is for, from harmless to worst. The order counts: an address is as bad as the worst of what it is
/// and what it embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressClass {
    /// Global unicast.
    Public,
    /// Inside a network that is not the internet: RFC 1918.
    Private,
    /// Between a provider and its customers: RFC 6598.
    Shared,
    /// Unique local: RFC 4193.
    UniqueLocal,
    /// The deprecated site-local: RFC 3879.
    SiteLocal,
    /// Examples in texts: RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// Measurements of network devices: RFC 2544.
    Benchmarking,
    /// Held by the IETF for its protocols: RFC 6890, RFC 2928 (Teredo among them).
    Protocol,
    /// The deprecated anycast of 6to4 relays: RFC 7526.
    Relay,
    /// A black hole: RFC 6666.
    Discard,
    /// Translated to IPv4 by a translator of the local network: RFC 8215.
    LocalTranslation,
    /// IPv6 that is not assigned for global unicast: RFC 4291, section 2.4.
    Unassigned,
    /// This host: RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3.
    Loopback,
    /// An IPv6 address other than a mapped one that embeds an IPv4 loopback address: nothing honest.
    EmbeddedLoopback,
    /// "This network": RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.2. Dialled, it reaches this host.
    Unspecified,
    /// One link only: RFC 3927, RFC 4291 section 2.5.6.
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials.
    Metadata,
    /// Groups: RFC 5771, RFC 4291 section 2.7.
    Multicast,
    /// Every host of a link: RFC 919.
    Broadcast,
    /// Held for a future that will not come: RFC 1112, section 4.
    Reserved,
}

/// What it takes to dial an address of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// Nothing.
    Open,
    /// A declaration in `[addresses]`, or an entry that spells the address out.
    Declarable,
    /// A declaration in `[addresses]`, which an entry that spells the address out does not replace.
    Loopback,
    /// No declaration opens it.
    Never,
}

impl AddressClass {
    /// What it takes to dial an address of this class.
    pub const fn opening(self) -> Opening {
        match self {
            Self::Public => Opening::Open,
            Self::Private
            | Self::Shared
            | Self::UniqueLocal
            | Self::SiteLocal
            | Self::Documentation
            | Self::Benchmarking
            | Self::Protocol
            | Self::Relay
            | Self::Discard
            | Self::LocalTranslation
            | Self::Unassigned => Opening::Declarable,
            Self::Loopback => Opening::Loopback,
            Self::EmbeddedLoopback
            | Self::Unspecified
            | Self::LinkLocal
            | Self::Metadata
            | Self::Multicast
            | Self::Broadcast
            | Self::Reserved => Opening::Never,
        }
    }

    /// The class in words that complete "it is …".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private (RFC 1918)",
            Self::Shared => "shared address space (RFC 6598)",
            Self::UniqueLocal => "unique local (RFC 4193)",
            Self::SiteLocal => "site-local (RFC 3879)",
            Self::Documentation => "for documentation",
            Self::Benchmarking => "for benchmarking (RFC 2544)",
            Self::Protocol => "held for protocols of the IETF",
            Self::Relay => "the 6to4 relay anycast (RFC 7526)",
            Self::Discard => "discard-only (RFC 6666)",
            Self::LocalTranslation => "local IPv4 translation (RFC 8215)",
            Self::Unassigned => "not assigned for global unicast",
            Self::Loopback => "loopback",
            Self::EmbeddedLoopback => "loopback in disguise",
            Self::Unspecified => "unspecified (this network)",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud metadata service",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of an address: the worst of what it is and of every IPv4 address that it embeds. A mapped address
/// (`::ffff:a.b.c.d`) is its IPv4 address and nothing else, since that is what a socket dials.
pub fn classify(address: IpAddr) -> AddressClass {
    match address.to_canonical() {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => embedded(address).map(classify_embedded).fold(classify_v6(address), AddressClass::max),
    }
}

/// Every address that dialling this one might reach: itself, the IPv4 address it maps, and those it embeds.
pub fn reached(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let canonical = address.to_canonical();
    let hidden = match canonical {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(embedded(address).map(IpAddr::V4)),
    };
    std::iter::once(address).chain((canonical != address).then_some(canonical)).chain(hidden.into_iter().flatten())
}

/// Whether no address of a network can ever be opened.
pub fn is_never_opened(net: IpNet) -> bool {
    let never = || {
        RANGES_V4
            .iter()
            .copied()
            .map(v4_range)
            .chain(RANGES_V6.iter().copied().map(v6_range))
            .filter(|range| range.1.opening() == Opening::Never)
    };
    if never().any(|(range, _)| range.contains(&net)) {
        return true;
    }
    never().any(|(range, _)| net.contains(&range)) && net.subnets(net.prefix_len() + 1).is_ok_and(|mut halves| halves.all(is_never_opened))
}

/// The IPv4 addresses that an IPv6 address embeds, in every form that some translator, tunnel or stack honours.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let segments = address.segments();
    let found = match segments {
        // Itself a loopback or unspecified address, which only looks compatible.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // In turn: IPv4-compatible (RFC 4291, section 2.5.5.1) and IPv4-translated (RFC 2765, section 2.1); NAT64 by the
        // well-known prefix (RFC 6052, section 2.1); NAT64 of local use (RFC 8215), read at /96; 6to4, the router's
        // address (RFC 3056, section 2).
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => [Some(join(high, low)), None],
        // Teredo: the server, and the client with every bit inverted (RFC 4380, section 4).
        [0x2001, 0, high, low, .., client_high, client_low] => [Some(join(high, low)), Some(join(!client_high, !client_low))],
        _ => [None, None],
    };
    // ISATAP: an interface identifier under any prefix (RFC 5214, section 6.1).
    let isatap = match segments {
        [.., flags, 0x5efe, high, low] if flags & !0x0300 == 0 => Some(join(high, low)),
        _ => None,
    };
    found.into_iter().chain([isatap]).flatten()
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn classify_embedded(address: Ipv4Addr) -> AddressClass {
    let class = classify_v4(address);
    if class == AddressClass::Loopback { AddressClass::EmbeddedLoopback } else { class }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    RANGES_V4
        .iter()
        .copied()
        .map(v4_range)
        .find(|(range, _)| range.contains(&IpAddr::V4(address)))
        .map_or(AddressClass::Public, |(_, class)| class)
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    RANGES_V6
        .iter()
        .copied()
        .map(v6_range)
        .find(|(range, _)| range.contains(&IpAddr::V6(address)))
        .map_or(AddressClass::Unassigned, |(_, class)| class)
}

fn v4_range((octets, prefix, class): RangeV4) -> (IpNet, AddressClass) {
    (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(octets), prefix)), class)
}

fn v6_range((segments, prefix, class): RangeV6) -> (IpNet, AddressClass) {
    (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(segments), prefix)), class)
}

type RangeV4 = ([u8; 4], u8, AddressClass);
type RangeV6 = ([u16; 8], u8, AddressClass);

/// Everything in IPv4 that is not public; the first range that contains an address decides.
const RANGES_V4: &[RangeV4] = &[
    ([255, 255, 255, 255], 32, AddressClass::Broadcast),  // RFC 919
    ([169, 254, 169, 254], 32, AddressClass::Metadata),   // most clouds
    ([100, 100, 100, 200], 32, AddressClass::Metadata),   // Alibaba Cloud
    ([168, 63, 129, 16], 32, AddressClass::Metadata),     // Azure
    ([192, 0, 0, 192], 32, AddressClass::Metadata),       // Oracle Cloud
    ([0, 0, 0, 0], 8, AddressClass::Unspecified),         // RFC 1122
    ([127, 0, 0, 0], 8, AddressClass::Loopback),          // RFC 1122
    ([169, 254, 0, 0], 16, AddressClass::LinkLocal),      // RFC 3927
    ([224, 0, 0, 0], 4, AddressClass::Multicast),         // RFC 5771
    ([240, 0, 0, 0], 4, AddressClass::Reserved),          // RFC 1112
    ([10, 0, 0, 0], 8, AddressClass::Private),            // RFC 1918
    ([172, 16, 0, 0], 12, AddressClass::Private),         // RFC 1918
    ([192, 168, 0, 0], 16, AddressClass::Private),        // RFC 1918
    ([100, 64, 0, 0], 10, AddressClass::Shared),          // RFC 6598
    ([192, 0, 0, 0], 24, AddressClass::Protocol),         // RFC 6890
    ([192, 0, 2, 0], 24, AddressClass::Documentation),    // RFC 5737
    ([198, 51, 100, 0], 24, AddressClass::Documentation), // RFC 5737
    ([203, 0, 113, 0], 24, AddressClass::Documentation),  // RFC 5737
    ([198, 18, 0, 0], 15, AddressClass::Benchmarking),    // RFC 2544
    ([192, 88, 99, 0], 24, AddressClass::Relay),          // RFC 7526
];

/// The same for IPv6, where what no range contains is unassigned.
const RANGES_V6: &[RangeV6] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, AddressClass::Unspecified),          // RFC 4291
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, AddressClass::Loopback),             // RFC 4291
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, AddressClass::Metadata),     // AWS
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Metadata), // Google Cloud
    ([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, AddressClass::Metadata), // Oracle Cloud
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, AddressClass::Metadata),  // Scaleway
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::LinkLocal),        // RFC 4291
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, AddressClass::Multicast),         // RFC 4291
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::SiteLocal),        // RFC 3879
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, AddressClass::UniqueLocal),       // RFC 4193
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, AddressClass::Public),        // RFC 6052: what it embeds decides
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, AddressClass::LocalTranslation), // RFC 8215
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, AddressClass::Discard),           // RFC 6666
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, AddressClass::Documentation), // RFC 3849
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, AddressClass::Documentation),    // RFC 9637
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, AddressClass::Protocol),         // RFC 2928
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, AddressClass::Public),            // RFC 4291
];

#[cfg(test)]
mod tests;

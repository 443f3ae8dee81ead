//! The rules of nftables that lead to our doors what was sent elsewhere, and refuse what no door takes.
//!
//! As `nft list ruleset` shows them; what is marked + is there only in a namespace that others share:
//!
//! ```text
//! table inet tidegate {
//!     chain redirect {
//!         type nat hook output priority dstnat; policy accept;
//! +       meta skuid EXEMPT accept
//!         meta l4proto tcp th dport 53 redirect to :DNS
//!         meta l4proto udp th dport 53 redirect to :DNS
//! +       meta l4proto tcp th dport CLOSED redirect to :TRANSPARENT
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//!         meta l4proto tcp redirect to :TRANSPARENT
//!     }
//!     chain refuse {
//!         type filter hook output priority filter; policy drop;
//! +       oif != lo meta skuid EXEMPT ct mark set OURS meta mark set OURS accept
//!         meta l4proto tcp ct state invalid drop
//!         oif lo ct status dnat accept
//! +       oif lo accept
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//! +       meta skuid != EXEMPT reject with icmpx admin-prohibited
//! +       meta l4proto tcp ct mark OURS meta mark set OURS accept
//! +       icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
//!         reject with icmpx admin-prohibited
//!     }
//! +   chain forward {
//!         type filter hook forward priority filter; policy drop;
//!     }
//! +   chain leave {
//!         type filter hook postrouting priority filter; policy drop;
//!         oif lo accept
//!         meta mark OURS accept
//!         icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
//!     }
//! }
//! + table netdev tidegate {
//!     chain leave {
//!         type filter hook egress devices = { all but lo } priority filter; policy drop;
//!         meta skuid != EXEMPT drop
//!         meta mark OURS accept
//!         meta protocol arp accept
//!         icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
//!     }
//! }
//! ```
//!
//! A packet has the user of the socket that it was sent by. What the kernel sends by itself has none: the last segments of a connection
//! whose socket is closed, which is why connections of the exempt user carry a mark, and messages by which neighbours are found. In the
//! chain at `output`, the interface is the one before translation; what it is after, `leave` sees.

use super::{
    netlink::Request,
    nftables::{ACCEPT, Chain, DROP, EGRESS, FORWARD, INET, LOCAL_OUT, NETDEV, POST_ROUTING, batch, table, without_table},
    rules::{IPV6, Rule, TCP, UDP},
};

/// Where the doors listen, on 127.0.0.1 and on `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) transparent: u16,
    /// Of UDP and TCP.
    pub(crate) dns: u16,
}

/// A network namespace in which whoever serves the doors lives beside those who are led to them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    /// Ports that nobody but the exempt user reaches: a connection to one is led to the transparent door, which refuses it.
    pub(crate) closed: Vec<u16>,
    /// Whose packets go where they are sent.
    pub(crate) exempt: u32,
}

/// Our table of one family, as it is wanted. Without a chain there is none.
pub(super) struct Wanted {
    pub(super) family: u8,
    pub(super) chains: Vec<&'static Chain>,
    pub(super) rules: Vec<Rule>,
    /// Those that chains of [`NETDEV`] hold.
    pub(super) interfaces: Vec<String>,
}

impl Wanted {
    /// What leads a namespace's own programs to the doors.
    pub(super) fn redirection(ports: Ports, shared: Option<&Shared>) -> Self {
        let chains = if shared.is_some() { vec![&REDIRECT, &REFUSE, &FORWARDED, &LEAVE] } else { vec![&REDIRECT, &REFUSE] };
        let mut rules = redirecting(ports, shared);
        rules.extend(refusing(shared.map(|shared| shared.exempt)));
        if shared.is_some() {
            rules.push(Rule::of(&LEAVE).by_loopback().accept());
            rules.push(Rule::of(&LEAVE).marked(OURS).accept());
            rules.extend(NEIGHBOURS.map(|kind| Rule::of(&LEAVE).family(IPV6).icmpv6(kind).accept()));
        }
        Self { family: INET, chains, rules, interfaces: Vec::new() }
    }

    /// What holds packets that come from below IP, on interfaces that lead elsewhere.
    pub(super) fn egress(shared: &Shared, interfaces: Vec<String>) -> Self {
        if interfaces.is_empty() {
            return Self::nothing(NETDEV);
        }
        let mut rules = vec![
            Rule::of(&EGRESS_OF_ALL).of_user_other_than(shared.exempt).drop(),
            Rule::of(&EGRESS_OF_ALL).marked(OURS).accept(),
            Rule::of(&EGRESS_OF_ALL).ether(ARP).accept(),
        ];
        rules.extend(NEIGHBOURS.map(|kind| Rule::of(&EGRESS_OF_ALL).ether(ETHER_OF_IPV6).icmpv6(kind).accept()));
        Self { family: NETDEV, chains: vec![&EGRESS_OF_ALL], rules, interfaces }
    }

    pub(super) fn nothing(family: u8) -> Self {
        Self { family, chains: Vec::new(), rules: Vec::new(), interfaces: Vec::new() }
    }

    /// Everything that brings it about in place of what there is, all of it or nothing.
    pub(super) fn programme(self) -> Vec<Request> {
        let Self { family, chains, rules, interfaces } = self;
        let anew = (!chains.is_empty()).then(|| table(family));
        let chains = chains.into_iter().map(|chain| chain.request(&interfaces));
        batch(without_table(family).into_iter().chain(anew).chain(chains).chain(rules.into_iter().map(Rule::request)))
    }
}

fn redirecting(ports: Ports, shared: Option<&Shared>) -> Vec<Rule> {
    let mut rules: Vec<_> = shared.iter().map(|shared| Rule::of(&REDIRECT).of_user(shared.exempt).accept()).collect();
    rules.push(Rule::of(&REDIRECT).protocol(TCP).port(NAMES).redirect(ports.dns));
    rules.push(Rule::of(&REDIRECT).protocol(UDP).port(NAMES).redirect(ports.dns));
    let closed = shared.map_or(&[][..], |shared| &shared.closed);
    rules.extend(closed.iter().map(|port| Rule::of(&REDIRECT).protocol(TCP).port(*port).redirect(ports.transparent)));
    rules.push(Rule::of(&REDIRECT).for_loopback_v4().accept());
    rules.push(Rule::of(&REDIRECT).for_loopback_v6().accept());
    rules.push(Rule::of(&REDIRECT).protocol(TCP).redirect(ports.transparent));
    rules
}

fn refusing(exempt: Option<u32>) -> Vec<Rule> {
    let ours = |exempt| Rule::of(&REFUSE).by_another_interface().of_user(exempt).mark_connection(OURS).mark(OURS).accept();
    let mut rules: Vec<_> = exempt.map(ours).into_iter().collect();
    // A segment that the kernel takes for none of its connection's would pass untranslated, and its receiver would reset the
    // connection. Dropped, it is sent again.
    rules.push(Rule::of(&REFUSE).protocol(TCP).invalid().drop());
    // What a door answers to a client that chose another source address than loopback's goes there.
    rules.push(Rule::of(&REFUSE).by_loopback().redirected().accept());
    // Where not every address is a local one, it leads nowhere else; so the kernel's word that something was refused arrives.
    rules.extend(exempt.map(|_| Rule::of(&REFUSE).by_loopback().accept()));
    rules.push(Rule::of(&REFUSE).for_loopback_v4().accept());
    rules.push(Rule::of(&REFUSE).for_loopback_v6().accept());
    if let Some(exempt) = exempt {
        rules.push(Rule::of(&REFUSE).of_user_other_than(exempt).reject());
        rules.push(Rule::of(&REFUSE).protocol(TCP).of_marked_connection(OURS).mark(OURS).accept());
        rules.extend(NEIGHBOURS.map(|kind| Rule::of(&REFUSE).family(IPV6).icmpv6(kind).accept()));
    }
    rules.push(Rule::of(&REFUSE).reject());
    rules
}

static REDIRECT: Chain = Chain { family: INET, name: "redirect", kind: "nat", hook: LOCAL_OUT, priority: -100, policy: ACCEPT };
static REFUSE: Chain = Chain { family: INET, name: "refuse", kind: "filter", hook: LOCAL_OUT, priority: 0, policy: DROP };
static FORWARDED: Chain = Chain { family: INET, name: "forward", kind: "filter", hook: FORWARD, priority: 0, policy: DROP };
static LEAVE: Chain = Chain { family: INET, name: "leave", kind: "filter", hook: POST_ROUTING, priority: 0, policy: DROP };
static EGRESS_OF_ALL: Chain = Chain { family: NETDEV, name: "leave", kind: "filter", hook: EGRESS, priority: 0, policy: DROP };

/// The mark of connections and packets of the exempt user; in ASCII it reads "tide".
const OURS: u32 = 0x7469_6465;

/// The port that names are asked for at (RFC 1035, section 4.2).
pub(super) const NAMES: u16 = 53;
/// Router solicitations, neighbour solicitations and advertisements (RFC 4861, section 4).
const NEIGHBOURS: [u8; 3] = [133, 135, 136];

// linux/if_ether.h
const ARP: u16 = 0x0806;
const ETHER_OF_IPV6: u16 = 0x86dd;

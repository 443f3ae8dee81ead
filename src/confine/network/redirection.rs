//! The rules of nftables that lead to our doors what was sent elsewhere, and refuse what no door takes.
//!
//! As `nft list ruleset` shows them:
//!
//! ```text
//! table inet tidegate {
//!     chain redirect {
//!         type nat hook output priority dstnat; policy accept;
//!         meta l4proto tcp th dport 53 redirect to :DNS
//!         meta l4proto udp th dport 53 redirect to :DNS
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//!         meta l4proto tcp redirect to :TRANSPARENT
//!     }
//!     chain refuse {
//!         type filter hook output priority filter; policy drop;
//!         meta l4proto tcp ct state invalid drop
//!         ct status dnat accept
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//!         reject with icmpx admin-prohibited
//!     }
//! }
//! ```

use super::{
    netlink::Request,
    nftables::{ACCEPT, Chain, DROP, Rule, TCP, UDP, batch, table},
};

/// Where the doors listen, on 127.0.0.1 and on `::1`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) transparent: u16,
    /// Of UDP and TCP.
    pub(super) dns: u16,
}

/// Everything that brings the table about, all of it or nothing.
pub(super) fn programme(ports: Ports) -> Vec<Request> {
    let chains = [table(), REDIRECT.request(), REFUSE.request()];
    batch(chains.into_iter().chain(rules(ports).into_iter().map(Rule::request)))
}

fn rules(ports: Ports) -> [Rule; 10] {
    [
        Rule::of(&REDIRECT).protocol(TCP).port(NAMES).redirect(ports.dns),
        Rule::of(&REDIRECT).protocol(UDP).port(NAMES).redirect(ports.dns),
        Rule::of(&REDIRECT).for_loopback_v4().accept(),
        Rule::of(&REDIRECT).for_loopback_v6().accept(),
        Rule::of(&REDIRECT).protocol(TCP).redirect(ports.transparent),
        // A segment that the kernel takes for none of its connection's would pass untranslated, and its receiver would reset the
        // connection. Dropped, it is sent again.
        Rule::of(&REFUSE).protocol(TCP).invalid().drop(),
        // What a door answers to a client that chose another source address than loopback's goes there.
        Rule::of(&REFUSE).redirected().accept(),
        Rule::of(&REFUSE).for_loopback_v4().accept(),
        Rule::of(&REFUSE).for_loopback_v6().accept(),
        Rule::of(&REFUSE).reject(),
    ]
}

const REDIRECT: Chain = Chain { name: "redirect", kind: "nat", priority: -100, policy: ACCEPT };
const REFUSE: Chain = Chain { name: "refuse", kind: "filter", priority: 0, policy: DROP };

/// The port that names are asked for at (RFC 1035, section 4.2).
pub(super) const NAMES: u16 = 53;

//! Requests to nftables (`linux/netfilter/nf_tables.h`) beside its rules: batches, our table of a family, and its chains.

use std::iter;

use super::netlink::{ACKNOWLEDGE, Attributes, CREATE, EVERY, EXCLUSIVE, Request};

/// Requests that the kernel carries out as a whole or not at all; nftables takes no others.
pub(super) fn batch(requests: impl Iterator<Item = Request>) -> Vec<Request> {
    iter::once(end(BATCH_BEGIN)).chain(requests).chain([end(BATCH_END)]).collect()
}

fn end(kind: u16) -> Request {
    Request {
        purpose: "redirect connections by nftables",
        remedy: WITHOUT_NFTABLES,
        kind,
        flags: 0,
        header: header(0, SUBSYSTEM),
        attributes: Attributes::new(),
    }
}

/// What takes a family's table of ours away, whether there is one or not.
pub(super) fn without_table(family: u8) -> [Request; 2] {
    [table(family), of_table(DELETE_TABLE, family, ACKNOWLEDGE)]
}

/// Our table of a family.
pub(super) fn table(family: u8) -> Request {
    of_table(NEW_TABLE, family, ACKNOWLEDGE | CREATE)
}

fn of_table(kind: u16, family: u8, flags: u16) -> Request {
    Request {
        purpose: "make a table of nftables",
        remedy: without(family),
        kind: SUBSYSTEM << 8 | kind,
        flags,
        header: header(family, 0),
        attributes: Attributes::new().text(TABLE_NAME, TABLE),
    }
}

/// What there is of something in the tables of a family.
pub(super) fn listed(kind: u16, family: u8) -> Request {
    Request {
        purpose: "read the rules of nftables",
        remedy: without(family),
        kind: SUBSYSTEM << 8 | kind,
        flags: EVERY,
        header: header(family, 0),
        attributes: Attributes::new(),
    }
}

pub(super) fn without(family: u8) -> &'static str {
    if family == NETDEV { WITHOUT_INTERFACES } else { WITHOUT_NFTABLES }
}

/// A place in the way of packets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// [`INET`] or [`NETDEV`].
    pub(super) family: u8,
    pub(super) name: &'static str,
    /// `nat` or `filter`.
    pub(super) kind: &'static str,
    /// Where it is, by the family's numbers.
    pub(super) hook: u32,
    /// Chains of lower priority come first.
    pub(super) priority: i32,
    /// What becomes of what no rule speaks of: [`ACCEPT`] or [`DROP`].
    pub(super) policy: u32,
}

impl Chain {
    /// `interfaces` are those whose packets a chain of [`NETDEV`] sees.
    pub(super) fn request(&self, interfaces: &[String]) -> Request {
        let mut hook = Attributes::new().with(HOOK_NUMBER, &self.hook.to_be_bytes()).with(HOOK_PRIORITY, &self.priority.to_be_bytes());
        if self.family == NETDEV {
            let names = interfaces.iter().fold(Attributes::new(), |names, name| names.text(LIST_ELEMENT, name));
            hook = hook.nested(HOOK_INTERFACES, &names);
        }
        let attributes = Attributes::new()
            .text(CHAIN_TABLE, TABLE)
            .text(CHAIN_NAME, self.name)
            .nested(CHAIN_HOOK, &hook)
            .with(CHAIN_POLICY, &self.policy.to_be_bytes())
            .text(CHAIN_TYPE, self.kind);
        Request {
            purpose: "make a chain of nftables",
            remedy: if self.kind == "nat" { WITHOUT_TRANSLATION } else { without(self.family) },
            kind: SUBSYSTEM << 8 | NEW_CHAIN,
            flags: ACKNOWLEDGE | CREATE | EXCLUSIVE,
            header: header(self.family, 0),
            attributes,
        }
    }
}

/// `struct nfgenmsg`: family, version, and a number that only the ends of a batch have.
pub(super) fn header(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

pub(super) const TABLE: &str = "tidegate";

const WITHOUT_NFTABLES: &str = "it takes a kernel of 5.2 or later with nftables (CONFIG_NF_TABLES_INET): modprobe nf_tables";
const WITHOUT_INTERFACES: &str =
    "it takes a kernel of 5.16 or later with CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_EGRESS: modprobe nf_tables";
const WITHOUT_TRANSLATION: &str = "it takes a kernel of 5.2 or later with CONFIG_NFT_NAT: modprobe nft_chain_nat";

// linux/netfilter.h, linux/netfilter/nf_conntrack_common.h
pub(super) const INET: u8 = 1;
pub(super) const NETDEV: u8 = 5;
pub(super) const FORWARD: u32 = 2;
pub(super) const LOCAL_OUT: u32 = 3;
pub(super) const POST_ROUTING: u32 = 4;
/// Of [`NETDEV`].
pub(super) const EGRESS: u32 = 1;
pub(super) const DROP: u32 = 0;
pub(super) const ACCEPT: u32 = 1;

// linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
pub(super) const SUBSYSTEM: u16 = 10;

// linux/netfilter/nf_tables.h, in the order of its enumerations
const NEW_TABLE: u16 = 0;
pub(super) const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const GET_RULE: u16 = 7;
pub(super) const LIST_ELEMENT: u16 = 1;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const HOOK_INTERFACES: u16 = 4;
pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const CHAIN_FLAGS: u16 = 10;

//! Requests to nftables (`linux/netfilter/nf_tables.h`): a table, its chains and their rules, of which a rule is a list of small
//! expressions that hand each other a value in a register.

use std::{
    iter,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::netlink::{ACKNOWLEDGE, APPEND, Attributes, CREATE, EXCLUSIVE, Request};

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

/// Our table.
pub(super) fn table() -> Request {
    Request {
        purpose: "make a table of nftables",
        remedy: WITHOUT_NFTABLES,
        kind: SUBSYSTEM << 8 | NEW_TABLE,
        flags: ACKNOWLEDGE | CREATE | EXCLUSIVE,
        header: header(INET, 0),
        attributes: Attributes::new().text(TABLE_NAME, TABLE),
    }
}

/// A place in the way of what this machine sends.
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `nat` or `filter`.
    pub(super) kind: &'static str,
    /// Chains of lower priority come first.
    pub(super) priority: i32,
    /// What becomes of what no rule speaks of: [`ACCEPT`] or [`DROP`].
    pub(super) policy: u32,
}

impl Chain {
    pub(super) fn request(&self) -> Request {
        let hook = Attributes::new().with(HOOK_NUMBER, &LOCAL_OUT.to_be_bytes()).with(HOOK_PRIORITY, &self.priority.to_be_bytes());
        let attributes = Attributes::new()
            .text(CHAIN_TABLE, TABLE)
            .text(CHAIN_NAME, self.name)
            .nested(CHAIN_HOOK, &hook)
            .with(CHAIN_POLICY, &self.policy.to_be_bytes())
            .text(CHAIN_TYPE, self.kind);
        Request {
            purpose: "make a chain of nftables",
            remedy: if self.kind == "nat" { WITHOUT_TRANSLATION } else { WITHOUT_NFTABLES },
            kind: SUBSYSTEM << 8 | NEW_CHAIN,
            flags: ACKNOWLEDGE | CREATE | EXCLUSIVE,
            header: header(INET, 0),
            attributes,
        }
    }
}

/// One rule: what it speaks of, and what becomes of that. Expressions hand each other values in one register.
pub(super) struct Rule {
    chain: &'static str,
    remedy: &'static str,
    expressions: Attributes,
}

impl Rule {
    pub(super) fn of(chain: &Chain) -> Self {
        Self { chain: chain.name, remedy: WITHOUT_NFTABLES, expressions: Attributes::new() }
    }

    /// Of this transport protocol.
    pub(super) fn protocol(self, number: u8) -> Self {
        self.meta(META_TRANSPORT).equals(&[number])
    }

    /// To this port.
    pub(super) fn port(self, port: u16) -> Self {
        self.payload(TRANSPORT_HEADER, 2, 2).equals(&port.to_be_bytes())
    }

    pub(super) fn for_loopback_v4(self) -> Self {
        let [network, ..] = Ipv4Addr::LOCALHOST.octets();
        self.meta(META_FAMILY).equals(&[IPV4]).payload(NETWORK_HEADER, 16, 1).equals(&[network])
    }

    pub(super) fn for_loopback_v6(self) -> Self {
        self.meta(META_FAMILY).equals(&[IPV6]).payload(NETWORK_HEADER, 24, 16).equals(&Ipv6Addr::LOCALHOST.octets())
    }

    /// Of a connection that was redirected, either way.
    pub(super) fn redirected(self) -> Self {
        self.tracked(CT_STATUS, DESTINATION_CHANGED)
    }

    /// Of no connection that the kernel knows, and not the first of one either.
    pub(super) fn invalid(self) -> Self {
        self.tracked(CT_STATE, INVALID)
    }

    pub(super) fn accept(self) -> Self {
        self.verdict(ACCEPT)
    }

    pub(super) fn drop(self) -> Self {
        self.verdict(DROP)
    }

    /// To a port of this machine's loopback address, of the family that it is.
    pub(super) fn redirect(mut self, port: u16) -> Self {
        self.remedy = WITHOUT_REDIRECTION;
        let rule = self.immediate(REGISTER, &value(&port.to_be_bytes()));
        rule.expression("redir", &Attributes::new().with(REDIRECT_PORT, &REGISTER))
    }

    /// The sender's call fails with `EPERM`, and a connected socket's next with what stands for "administratively prohibited".
    pub(super) fn reject(mut self) -> Self {
        self.remedy = WITHOUT_REJECTION;
        let how = Attributes::new().with(REJECT_TYPE, &ICMP_OF_EITHER.to_be_bytes()).with(REJECT_CODE, &[PROHIBITED]);
        self.expression("reject", &how)
    }

    fn verdict(self, code: u32) -> Self {
        let verdict = Attributes::new().with(VERDICT_CODE, &code.to_be_bytes());
        self.immediate(VERDICT_REGISTER, &Attributes::new().nested(DATA_VERDICT, &verdict))
    }

    /// With one of the bits of `mask` in what the tracking of connections knows under `key`.
    fn tracked(mut self, key: u32, mask: u32) -> Self {
        self.remedy = WITHOUT_TRACKING;
        let known = Attributes::new().with(CT_TO, &REGISTER).with(CT_KEY, &key.to_be_bytes());
        let masked = Attributes::new()
            .with(BITWISE_FROM, &REGISTER)
            .with(BITWISE_TO, &REGISTER)
            .with(BITWISE_LENGTH, &4_u32.to_be_bytes())
            .nested(BITWISE_MASK, &value(&mask.to_ne_bytes()))
            .nested(BITWISE_XOR, &value(&0_u32.to_ne_bytes()));
        self.expression("ct", &known).expression("bitwise", &masked).compare(DIFFERS, &0_u32.to_ne_bytes())
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", &Attributes::new().with(META_TO, &REGISTER).with(META_KEY, &key.to_be_bytes()))
    }

    fn payload(self, base: u32, offset: u32, length: u32) -> Self {
        let data = Attributes::new()
            .with(PAYLOAD_TO, &REGISTER)
            .with(PAYLOAD_BASE, &base.to_be_bytes())
            .with(PAYLOAD_OFFSET, &offset.to_be_bytes())
            .with(PAYLOAD_LENGTH, &length.to_be_bytes());
        self.expression("payload", &data)
    }

    fn equals(self, octets: &[u8]) -> Self {
        self.compare(EQUALS, octets)
    }

    fn compare(self, how: u32, octets: &[u8]) -> Self {
        let data =
            Attributes::new().with(COMPARE_FROM, &REGISTER).with(COMPARE_HOW, &how.to_be_bytes()).nested(COMPARE_DATA, &value(octets));
        self.expression("cmp", &data)
    }

    fn immediate(self, register: [u8; 4], data: &Attributes) -> Self {
        self.expression("immediate", &Attributes::new().with(IMMEDIATE_TO, &register).nested(IMMEDIATE_DATA, data))
    }

    fn expression(mut self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::new().text(EXPRESSION_NAME, name).nested(EXPRESSION_DATA, data);
        self.expressions = self.expressions.nested(LIST_ELEMENT, &expression);
        self
    }

    pub(super) fn request(self) -> Request {
        Request {
            purpose: "make a rule of nftables",
            remedy: self.remedy,
            kind: SUBSYSTEM << 8 | NEW_RULE,
            flags: ACKNOWLEDGE | CREATE | APPEND,
            header: header(INET, 0),
            attributes: Attributes::new().text(RULE_TABLE, TABLE).text(RULE_CHAIN, self.chain).nested(RULE_EXPRESSIONS, &self.expressions),
        }
    }
}

/// `struct nfgenmsg`: family, version, and a number that only the ends of a batch have.
fn header(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

fn value(octets: &[u8]) -> Attributes {
    Attributes::new().with(DATA_VALUE, octets)
}

const TABLE: &str = "tidegate";

const WITHOUT_NFTABLES: &str = "it takes a kernel of 5.2 or later with nftables (CONFIG_NF_TABLES_INET): modprobe nf_tables";
const WITHOUT_TRANSLATION: &str = "it takes a kernel of 5.2 or later with CONFIG_NFT_NAT: modprobe nft_chain_nat";
const WITHOUT_REDIRECTION: &str = "it takes a kernel with CONFIG_NFT_REDIR: modprobe nft_redir";
const WITHOUT_TRACKING: &str = "it takes a kernel with CONFIG_NFT_CT: modprobe nft_ct";
const WITHOUT_REJECTION: &str = "it takes a kernel with CONFIG_NFT_REJECT_INET: modprobe nft_reject_inet";

/// Numbers of protocols in the header of IP.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

// linux/netfilter.h, linux/netfilter/nf_conntrack_common.h
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const LOCAL_OUT: u32 = 3;
pub(super) const DROP: u32 = 0;
pub(super) const ACCEPT: u32 = 1;
const INVALID: u32 = 1;
const DESTINATION_CHANGED: u32 = 1 << 5;

// linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const SUBSYSTEM: u16 = 10;

// linux/netfilter/nf_tables.h, in the order of its enumerations
const VERDICT_REGISTER: [u8; 4] = 0_u32.to_be_bytes();
const REGISTER: [u8; 4] = 1_u32.to_be_bytes();
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const LIST_ELEMENT: u16 = 1;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_TO: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const BITWISE_FROM: u16 = 1;
const BITWISE_TO: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const EQUALS: u32 = 0;
const DIFFERS: u32 = 1;
const COMPARE_FROM: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_DATA: u16 = 3;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const PAYLOAD_TO: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
const META_TO: u16 = 1;
const META_KEY: u16 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_TO: u16 = 1;
const CT_KEY: u16 = 2;
const ICMP_OF_EITHER: u32 = 2;
const PROHIBITED: u8 = 3;
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
const REDIRECT_PORT: u16 = 1;

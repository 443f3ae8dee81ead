//! Rules of nftables: each a list of small expressions (`linux/netfilter/nf_tables.h`) that hand each other a value in a register.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    netlink::{ACKNOWLEDGE, APPEND, Attributes, CREATE, Request},
    nftables::{ACCEPT, Chain, DROP, LIST_ELEMENT, SUBSYSTEM, TABLE, header, without},
    routes,
};

/// One rule: what it speaks of, and what becomes of that. Expressions hand each other values in one register.
pub(super) struct Rule {
    pub(super) chain: &'static Chain,
    remedy: &'static str,
    pub(super) expressions: Attributes,
}

impl Rule {
    pub(super) fn of(chain: &'static Chain) -> Self {
        Self { chain, remedy: without(chain.family), expressions: Attributes::new() }
    }

    /// From a socket of this user, by the number that it has in the namespace.
    pub(super) fn of_user(self, user: u32) -> Self {
        self.meta(META_USER).equals(&user.to_ne_bytes())
    }

    /// From a socket of any other user: neither this one's, nor what the kernel sends by itself.
    pub(super) fn of_user_other_than(self, user: u32) -> Self {
        self.meta(META_USER).compare(DIFFERS, &user.to_ne_bytes())
    }

    /// To an address of this machine itself, before any translation.
    pub(super) fn by_loopback(self) -> Self {
        self.meta(META_OUTPUT_INTERFACE).equals(&routes::LOOPBACK.to_ne_bytes())
    }

    pub(super) fn by_another_interface(self) -> Self {
        self.meta(META_OUTPUT_INTERFACE).compare(DIFFERS, &routes::LOOPBACK.to_ne_bytes())
    }

    pub(super) fn marked(self, mark: u32) -> Self {
        self.meta(META_MARK).equals(&mark.to_ne_bytes())
    }

    /// Of a connection that carries a mark.
    pub(super) fn of_marked_connection(mut self, mark: u32) -> Self {
        self.remedy = WITHOUT_TRACKING;
        let known = Attributes::new().with(CT_TO, &REGISTER).with(CT_KEY, &CT_MARK.to_be_bytes());
        self.expression("ct", &known).equals(&mark.to_ne_bytes())
    }

    /// Gives the packet a mark.
    pub(super) fn mark(self, mark: u32) -> Self {
        let set = Attributes::new().with(META_KEY, &META_MARK.to_be_bytes()).with(META_FROM, &REGISTER);
        self.immediate(REGISTER, &value(&mark.to_ne_bytes())).expression("meta", &set)
    }

    /// Gives the connection a mark.
    pub(super) fn mark_connection(mut self, mark: u32) -> Self {
        self.remedy = WITHOUT_TRACKING;
        let set = Attributes::new().with(CT_KEY, &CT_MARK.to_be_bytes()).with(CT_FROM, &REGISTER);
        self.immediate(REGISTER, &value(&mark.to_ne_bytes())).expression("ct", &set)
    }

    /// Of a protocol of Ethernet.
    pub(super) fn ether(self, number: u16) -> Self {
        self.meta(META_ETHER).equals(&number.to_be_bytes())
    }

    /// A message of `ICMPv6` (RFC 4443), where nothing but IPv6 comes.
    pub(super) fn icmpv6(self, kind: u8) -> Self {
        self.protocol(ICMPV6).payload(TRANSPORT_HEADER, 0, 1).equals(&[kind])
    }

    /// Of this transport protocol.
    pub(super) fn protocol(self, number: u8) -> Self {
        self.meta(META_TRANSPORT).equals(&[number])
    }

    /// To this port.
    pub(super) fn port(self, port: u16) -> Self {
        self.payload(TRANSPORT_HEADER, 2, 2).equals(&port.to_be_bytes())
    }

    pub(super) fn family(self, number: u8) -> Self {
        self.meta(META_FAMILY).equals(&[number])
    }

    pub(super) fn for_loopback_v4(self) -> Self {
        let [network, ..] = Ipv4Addr::LOCALHOST.octets();
        self.family(IPV4).payload(NETWORK_HEADER, 16, 1).equals(&[network])
    }

    pub(super) fn for_loopback_v6(self) -> Self {
        self.family(IPV6).payload(NETWORK_HEADER, 24, 16).equals(&Ipv6Addr::LOCALHOST.octets())
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
        let ports = Attributes::new().with(REDIRECT_PORT, &REGISTER).with(REDIRECT_LAST_PORT, &REGISTER);
        rule.expression("redir", &ports.with(REDIRECT_FLAGS, &WITH_PORT.to_be_bytes()))
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
            header: header(self.chain.family, 0),
            attributes: Attributes::new()
                .text(RULE_TABLE, TABLE)
                .text(RULE_CHAIN, self.chain.name)
                .nested(RULE_EXPRESSIONS, &self.expressions),
        }
    }
}

fn value(octets: &[u8]) -> Attributes {
    Attributes::new().with(DATA_VALUE, octets)
}

const WITHOUT_REDIRECTION: &str = "it takes a kernel with CONFIG_NFT_REDIR: modprobe nft_redir";
const WITHOUT_TRACKING: &str = "it takes a kernel with CONFIG_NFT_CT: modprobe nft_ct";
const WITHOUT_REJECTION: &str = "it takes a kernel with CONFIG_NFT_REJECT_INET: modprobe nft_reject_inet";

/// Numbers of protocols in the header of IP.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMPV6: u8 = 58;

// linux/netfilter.h, linux/netfilter/nf_conntrack_common.h, linux/netfilter/nf_nat.h
const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
const INVALID: u32 = 1;
const DESTINATION_CHANGED: u32 = 1 << 5;
const WITH_PORT: u32 = 1 << 1;

// linux/netfilter/nf_tables.h, in the order of its enumerations
const VERDICT_REGISTER: [u8; 4] = 0_u32.to_be_bytes();
const REGISTER: [u8; 4] = 1_u32.to_be_bytes();
const NEW_RULE: u16 = 6;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
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
const META_ETHER: u32 = 1;
const META_MARK: u32 = 3;
const META_OUTPUT_INTERFACE: u32 = 5;
const META_USER: u32 = 10;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
const META_TO: u16 = 1;
const META_KEY: u16 = 2;
const META_FROM: u16 = 3;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
const CT_TO: u16 = 1;
const CT_KEY: u16 = 2;
const CT_FROM: u16 = 4;
const ICMP_OF_EITHER: u32 = 2;
const PROHIBITED: u8 = 3;
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
const REDIRECT_PORT: u16 = 1;
const REDIRECT_LAST_PORT: u16 = 2;
const REDIRECT_FLAGS: u16 = 3;

//! rtnetlink(7): loopback, and routes that end at it.

use std::net::IpAddr;

use super::{
    Obstacle,
    netlink::{self, ACKNOWLEDGE, Attributes, CREATE, EVERY, EXCLUSIVE, Request, attributes},
};

/// Brings loopback up, which gives it its addresses.
pub(super) fn loopback_up() -> Request {
    // struct ifinfomsg: family, filler, type, index, flags, which of the flags are to change
    let words = [0, LOOPBACK, INTERFACE_UP, INTERFACE_UP];
    Request {
        purpose: "bring loopback up",
        remedy: KERNEL_WITHOUT_ROUTES,
        kind: SET_INTERFACE,
        flags: ACKNOWLEDGE,
        header: words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        attributes: Attributes::new(),
    }
}

/// The interfaces of this namespace that lead out of it: all but loopback, up or not.
pub(super) fn interfaces() -> Result<Vec<String>, Obstacle> {
    let every = Request {
        purpose: "list the interfaces",
        remedy: KERNEL_WITHOUT_ROUTES,
        kind: GET_INTERFACE,
        flags: EVERY,
        // struct ifinfomsg: of any family
        header: vec![0; INTERFACE_HEADER],
        attributes: Attributes::new(),
    };
    let names = netlink::list(None, &every)?.into_iter().filter_map(|message| {
        let index = message.get(4..8)?;
        let name = attributes(message.get(INTERFACE_HEADER..)?).ok()?.text(INTERFACE_NAME)?;
        (index != LOOPBACK.to_ne_bytes()).then_some(name)
    });
    Ok(names.collect())
}

/// Makes every address of a family one of this machine's. `source`, the family's loopback address, is where connections to them
/// come from: without it they would seem to come from the very address they go to, and programs that ask a socket for their own
/// address would take that for theirs.
pub(super) fn everything_local(source: IpAddr) -> Request {
    let (family, source) = match source {
        IpAddr::V4(address) => (IPV4, address.octets().to_vec()),
        IpAddr::V6(address) => (IPV6, address.octets().to_vec()),
    };
    Request {
        purpose: "make every address a local one",
        remedy: KERNEL_WITHOUT_ROUTES,
        kind: NEW_ROUTE,
        flags: ACKNOWLEDGE | CREATE | EXCLUSIVE,
        // struct rtmsg: family, length of destination and of source, TOS, table, protocol, scope, type, flags (four octets)
        header: vec![family, 0, 0, 0, LOCAL_TABLE, BY_ADMINISTRATOR, HOST_SCOPE, LOCAL, 0, 0, 0, 0],
        attributes: Attributes::new().with(OUTPUT_INTERFACE, &LOOPBACK.to_ne_bytes()).with(PREFERRED_SOURCE, &source),
    }
}

// linux/rtnetlink.h, linux/if.h
const SET_INTERFACE: u16 = 16;
const GET_INTERFACE: u16 = 18;
const INTERFACE_HEADER: usize = 16;
const INTERFACE_NAME: u16 = 3;
const NEW_ROUTE: u16 = 24;
/// Loopback is the first interface of every namespace.
pub(super) const LOOPBACK: u32 = 1;
const INTERFACE_UP: u32 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const LOCAL_TABLE: u8 = 255;
/// As `ip route` writes.
const BY_ADMINISTRATOR: u8 = 3;
const HOST_SCOPE: u8 = 254;
/// The type of route.
const LOCAL: u8 = 2;
const OUTPUT_INTERFACE: u16 = 4;
const PREFERRED_SOURCE: u16 = 7;

const KERNEL_WITHOUT_ROUTES: &str = "it takes a kernel with CONFIG_INET";

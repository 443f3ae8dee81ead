//! Where a connection was going before the kernel led it to us.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
};

use rustix::net::{
    getsockname,
    sockopt::{ip_original_dst, ipv6_original_dst},
};

/// The address and port that a redirected TCP connection was opened to (`SO_ORIGINAL_DST` and `IP6T_SO_ORIGINAL_DST`,
/// `linux/netfilter_ipv4.h` and `linux/netfilter_ipv6/ip6_tables.h`). An IPv4 address is shown as such, on a socket of IPv6 too; of a
/// link-local one the kernel does not tell the interface.
///
/// A connection that nothing redirected was opened to this socket's own address, and that is the answer: whoever follows it
/// comes back to this listener. Where the kernel tracks no connections at all, there is `ENOENT` or `ENOPROTOOPT`.
pub(crate) fn original_destination(stream: impl AsFd) -> io::Result<SocketAddr> {
    let own = SocketAddr::try_from(getsockname(&stream)?)?;
    Ok(match own.ip().to_canonical() {
        IpAddr::V4(_) => ip_original_dst(&stream)?.into(),
        IpAddr::V6(_) => ipv6_original_dst(&stream)?.into(),
    })
}

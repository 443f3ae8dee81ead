//! What makes a network namespace one from which nothing leaves but by our listeners.
//!
//! One that is shared with a sandbox ([`Shared`]) has ways out, which rules keep for the exempt user alone. A namespace of `run` has
//! loopback and no other interface, so nothing can leave it at all. So that every destination still has an answer, all addresses are made
//! local ones, and nftables leads what is sent to them to the doors that listen here: all of TCP, and whatever is sent to port 53. The
//! rest is refused at once.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, netlink::NETFILTER, socket_with},
};

mod netlink;
mod routes;
mod nftables;
mod rules;
mod redirection;
mod standing;
mod shared;

use self::redirection::Wanted;
pub(crate) use self::{
    redirection::{Ports, Shared},
    shared::{Complete, clear, differences, set_up},
};
use super::Obstacle;
use crate::processes::Diagnosis;

/// What listens in a closed namespace, and goes on to when it is handed to a process outside. All of it on loopback, and
/// nonblocking.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Port 3128, of IPv4.
    pub(crate) proxy: TcpListener,
    /// Port 3129, of IPv4.
    pub(crate) git: TcpListener,
    /// Whatever TCP was opened to another address, one listener for each family. Where the namespace has no IPv6, there is one, and
    /// no address of IPv6 can be reached.
    pub(crate) transparent: Vec<TcpListener>,
    /// Datagrams to port 53 of any address, for each family as above.
    pub(crate) dns: Vec<UdpSocket>,
    /// Connections to port 53 of any address, for each family as above.
    pub(crate) dns_streams: Vec<TcpListener>,
    /// By which the kernel tells of connections in the namespace, where it does.
    pub(crate) diagnosis: Option<OwnedFd>,
}

/// Closes the network namespace of this thread, which has to be new: brings loopback up, binds the listeners, leads everything to
/// them that has another destination, and makes every address local. It takes `CAP_NET_ADMIN` over the namespace.
///
/// After an error a new namespace is closed all the same, since it has no way out; only the answers are missing.
pub(crate) fn close() -> Result<Bound, Obstacle> {
    hold_that_it_is_new()?;
    netlink::converse(None, &[routes::loopback_up()])?;
    let (bound, ports) = listeners()?;
    netlink::converse(Some(NETFILTER), &Wanted::redirection(ports, None).programme())?;
    let families: &[IpAddr] = if bound.transparent.len() > 1 { &[V4, V6] } else { &[V4] };
    let local: Vec<_> = families.iter().copied().map(routes::everything_local).collect();
    netlink::converse(None, &local)?;
    Ok(bound)
}

/// In a new namespace there is no way to loopback yet. In any other, what we do would cut off whoever uses it.
fn hold_that_it_is_new() -> Result<(), Obstacle> {
    let tried = "close this network namespace";
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags(), None).map_err(|error| Obstacle::new(tried, error))?;
    match connect(&socket, &SocketAddr::new(V4, redirection::NAMES)) {
        Err(Errno::NETUNREACH) => Ok(()),
        Err(error) => Err(Obstacle::new(tried, error)),
        Ok(()) => Err(Obstacle::new(tried, io::Error::other("it is not new: loopback is up"))),
    }
}

/// The redirection knows one port for both families; in a new namespace what is free for one is free for the other.
fn listeners() -> Result<(Bound, Ports), Obstacle> {
    let transparent = stream(V4, ANY_PORT)?;
    let dns = stream(V4, ANY_PORT)?;
    let ports = Ports { transparent: port_of(&transparent)?, dns: port_of(&dns)? };
    let mut bound = Bound {
        proxy: stream(V4, PROXY)?,
        git: stream(V4, GIT)?,
        transparent: vec![transparent],
        dns: vec![datagrams(V4, ports.dns)?],
        dns_streams: vec![dns],
        diagnosis: Diagnosis::open().ok(),
    };
    match stream(V6, ports.transparent) {
        Ok(transparent) => {
            bound.transparent.push(transparent);
            bound.dns.push(datagrams(V6, ports.dns)?);
            bound.dns_streams.push(stream(V6, ports.dns)?);
        }
        Err(obstacle) if without_ipv6(&obstacle.error) => {}
        Err(obstacle) => return Err(obstacle),
    }
    Ok((bound, ports))
}

/// Whether the kernel was built or started without IPv6, or has it turned off in new namespaces.
fn without_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn stream(address: IpAddr, port: u16) -> Result<TcpListener, Obstacle> {
    let address = SocketAddr::new(address, port);
    let bound = || {
        let socket = socket_with(family(address.ip()), SocketType::STREAM, flags(), None)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|error: Errno| Obstacle::new(format!("listen on {address}"), error))
}

/// Bound to the address itself and not to any, or else answers would come from another address than they were asked of.
fn datagrams(address: IpAddr, port: u16) -> Result<UdpSocket, Obstacle> {
    let address = SocketAddr::new(address, port);
    let bound = || {
        let socket = socket_with(family(address.ip()), SocketType::DGRAM, flags(), None)?;
        bind(&socket, &address)?;
        Ok(socket.into())
    };
    bound().map_err(|error: Errno| Obstacle::new(format!("listen on {address} for UDP"), error))
}

fn flags() -> SocketFlags {
    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn port_of(listener: &TcpListener) -> Result<u16, Obstacle> {
    listener.local_addr().map(|address| address.port()).map_err(|error| Obstacle::new("learn the port of a listener", error))
}

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// The ports of `[listen]` in the documented configuration, in a namespace where nobody has taken them.
const PROXY: u16 = 3128;
const GIT: u16 = 3129;
const ANY_PORT: u16 = 0;
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests;

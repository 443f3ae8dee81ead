//! What the kernel says of a socket (`sock_diag(7)`).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{self, SocketAddrNetlink},
    recv, sendto, socket_with,
};

use super::Ends;

/// A way to ask about the sockets of one network namespace: the one in which it was opened, whoever asks.
#[derive(Debug)]
pub(crate) struct Diagnosis(Option<OwnedFd>);

impl Diagnosis {
    /// For the namespace of this thread.
    pub(crate) fn open() -> io::Result<OwnedFd> {
        Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?)
    }

    /// By what [`open`](Self::open) gave. Without it nothing is ever known, as where a kernel has no such thing.
    pub(crate) fn of(opened: Option<OwnedFd>) -> Self {
        Self(opened)
    }

    pub(super) fn is_possible(&self) -> bool {
        self.0.is_some()
    }

    /// The number of the client's socket in its file system, if the connection is in that namespace and somebody holds it.
    pub(super) fn socket(&self, ends: &Ends, sequence: u32) -> Option<u32> {
        let socket = self.0.as_ref()?;
        sendto(socket, &request(ends, sequence), SendFlags::empty(), &SocketAddrNetlink::new(KERNEL, 0)).ok()?;
        // It has answered before the call returned. An answer to a question before this one would be in the way.
        for _ in 0..MOST_ANSWERS {
            let mut answer = [0; MAX_ANSWER];
            let (_, length) = recv(socket, &mut answer, RecvFlags::DONTWAIT).ok()?;
            let answer = answer.get(..length)?;
            if number_at(answer, AT_SEQUENCE) == Some(sequence) {
                return holder(answer, ends);
            }
        }
        None
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` for the one socket that has these ends.
fn request(ends: &Ends, sequence: u32) -> Vec<u8> {
    let family = if ends.client.ip().to_canonical().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let body = [&[family, TCP, 0, 0][..], &ANY_STATE, &identity(ends), &ANY_INTERFACE, &ANY_COOKIE].concat();
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let header =
        [&length.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &REQUEST.to_ne_bytes(), &sequence.to_ne_bytes(), &KERNEL.to_ne_bytes()];
    [&header.concat()[..], &body].concat()
}

/// The beginning of `struct inet_diag_sockid`: both ports, and both addresses in sixteen octets each.
fn identity(ends: &Ends) -> Vec<u8> {
    let address = |end: &SocketAddr| match end.ip().to_canonical() {
        IpAddr::V4(address) => [&address.octets()[..], &[0; 12]].concat(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let ports = [ends.client.port().to_be_bytes(), ends.server.port().to_be_bytes()].concat();
    [ports, address(&ends.client), address(&ends.server)].concat()
}

/// The inode of `struct inet_diag_msg`, where it is of a connection with these ends: where there is none, the kernel may show a socket
/// that listens.
fn holder(answer: &[u8], ends: &Ends) -> Option<u32> {
    let kind = answer.get(AT_KIND..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
    let body = answer.get(HEADER..).filter(|_| kind == BY_FAMILY)?;
    let identity = identity(ends);
    if body.get(AT_IDENTITY..AT_IDENTITY + identity.len())? != identity {
        return None;
    }
    number_at(body, AT_INODE).filter(|inode| *inode != 0)
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

// linux/netlink.h
const HEADER: usize = 16;
const AT_KIND: usize = 4;
const AT_SEQUENCE: usize = 8;
const REQUEST: u16 = 1;
/// The kernel's own port.
const KERNEL: u32 = 0;
// linux/sock_diag.h, linux/inet_diag.h
const BY_FAMILY: u16 = 20;
const TCP: u8 = 6;
const ANY_STATE: [u8; 4] = [0xff; 4];
const ANY_INTERFACE: [u8; 4] = [0; 4];
const ANY_COOKIE: [u8; 8] = [0xff; 8];
const AT_IDENTITY: usize = 4;
const AT_INODE: usize = 68;
/// Longer than any answer about one socket, of which no more is asked for.
const MAX_ANSWER: usize = 4096;
const MOST_ANSWERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        Ends { client: "192.0.2.1:50000".parse().unwrap(), server: "198.51.100.7:443".parse().unwrap() }
    }

    /// An answer about the socket with these ends.
    fn answer(ends: &Ends, inode: u32) -> Vec<u8> {
        let body = [&[2, 1, 0, 0][..], &identity(ends), &[0; 12], &[0; 16], &inode.to_ne_bytes()].concat();
        [&88_u32.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &[0; 10], &body].concat()
    }

    #[test]
    fn a_request_is_written_as_the_kernel_reads_it() {
        let written = request(&ends(), 7);
        assert_eq!(written.len(), 72);
        assert_eq!(written[..8], [&72_u32.to_ne_bytes()[..], &[20, 0, 1, 0]].concat());
        assert_eq!(written[16..24], [2, 6, 0, 0, 255, 255, 255, 255]);
        assert_eq!(written[24..32], [0xc3, 0x50, 1, 187, 192, 0, 2, 1]);
        assert_eq!(written[44..48], [198, 51, 100, 7]);
        let mapped = Ends { client: "[::ffff:192.0.2.1]:50000".parse().unwrap(), server: "[::ffff:198.51.100.7]:443".parse().unwrap() };
        assert_eq!(request(&mapped, 7), written, "a socket of IPv6 that speaks IPv4");
        let six = Ends { client: "[2001:db8::1]:1".parse().unwrap(), server: "[::1]:2".parse().unwrap() };
        assert_eq!(request(&six, 7)[16], 10);
    }

    #[test]
    fn only_the_connection_that_was_asked_for_is_believed() {
        assert_eq!(holder(&answer(&ends(), 4711), &ends()), Some(4711));
        assert_eq!(holder(&answer(&ends(), 0), &ends()), None, "nobody holds it any more");
        let listening = Ends { server: "0.0.0.0:0".parse().unwrap(), ..ends() };
        assert_eq!(holder(&answer(&listening, 4711), &ends()), None, "a socket that listens at the client's port");
        let whole = answer(&ends(), 4711);
        for end in 0..whole.len() {
            assert_eq!(holder(&whole[..end], &ends()), None, "{end}");
        }
        let refused = [&36_u32.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[0; 10], &(-2_i32).to_ne_bytes(), &[0; 88]].concat();
        assert_eq!(holder(&refused, &ends()), None);
    }
}

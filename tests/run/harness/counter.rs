//! Whoever counts packets outside: every packet of a network namespace, whatever sent it, on every interface.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroU32,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::wait::poll;

/// Counts the packets of this network namespace from its start on.
pub(crate) struct Counter {
    seen: Arc<Mutex<Vec<String>>>,
    fence: UdpSocket,
}

impl Counter {
    #[track_caller]
    pub(crate) fn start() -> Self {
        // ETH_P_ALL of linux/if_ether.h, in the order of the network: packets of all protocols.
        let all = NonZeroU32::new(u32::from(3_u16.to_be())).map(Protocol::from_raw);
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC, all).expect("a packet socket");
        let counter = Self { seen: Arc::default(), fence: UdpSocket::bind("127.0.0.1:0").expect("a port") };
        let seen = Arc::clone(&counter.seen);
        thread::spawn(move || watch(&socket, &seen));
        counter
    }

    /// Every packet since this was last asked, each kind once: protocol, source and destination.
    #[track_caller]
    pub(crate) fn packets(&self) -> Vec<String> {
        // Packets wait in a queue: when this one has been seen, all before it were. It also shows that the counter counts.
        let own = self.fence.local_addr().expect("an address");
        self.fence.send_to(b"fence", own).expect("a packet");
        let fence = format!("{UDP} {own} > {own}");
        let fenced = || {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // Loopback shows each twice: as it leaves, and as it comes.
            (seen.iter().filter(|packet| **packet == fence).count() == 2).then(|| std::mem::take(&mut *seen))
        };
        let mut packets = poll(fenced).expect("the counter sees its own packet");
        packets.retain(|packet| *packet != fence);
        packets.sort();
        packets.dedup();
        packets
    }

    /// Fails if there was any packet.
    #[track_caller]
    pub(crate) fn assert_silent(&self, after: &str) {
        let packets = self.packets();
        assert!(packets.is_empty(), "{after}, and outside were seen {packets:#?}");
    }
}

fn watch(socket: &OwnedFd, seen: &Mutex<Vec<String>>) {
    let mut buffer = [0; 128];
    while let Ok((length, _)) = recv(socket, &mut buffer[..], RecvFlags::empty()) {
        let packet = describe(&buffer[..length]);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
    }
}

/// Protocol, source and destination, with ports where there are any.
fn describe(packet: &[u8]) -> String {
    let four = |at: usize| IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("four octets")));
    let six = |at: usize| IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen octets")));
    let (protocol, from, to, header) = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => (packet[9], four(12), four(16), usize::from(packet[0] & 15) * 4),
        Some(6) if packet.len() >= 40 => (packet[6], six(8), six(24), 40),
        _ => return format!("not of IP: {}", packet.escape_ascii()),
    };
    match packet.get(header..header + 4) {
        Some(&[a, b, c, d]) if [TCP, UDP, SCTP].contains(&protocol) => {
            let at = |ip, port| SocketAddr::new(ip, u16::from_be_bytes(port));
            format!("{protocol} {} > {}", at(from, [a, b]), at(to, [c, d]))
        }
        _ => format!("{protocol} {from} > {to}"),
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

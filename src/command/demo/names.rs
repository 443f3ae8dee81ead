//! A name server that knows a few names (RFC 1035), and remembers what it was asked.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::UdpSocket;

/// What the server knows: each name, in lower case, and its one address.
type Zone = &'static [(&'static str, Ipv4Addr)];

/// A name server on loopback, over UDP, that lives as long as the runtime.
pub(super) struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub(super) async fn start(zone: Zone) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = Self { address: socket.local_addr()?, asked: Arc::default() };
        let asked = Arc::clone(&server.asked);
        tokio::spawn(async move {
            let mut query = [0; MAX_MESSAGE];
            while let Ok((length, resolver)) = socket.recv_from(&mut query).await {
                let Some((name, reply)) = query.get(..length).and_then(|query| answer(query, zone)) else { continue };
                remember(&asked, name);
                let _ = socket.send_to(&reply, resolver).await;
            }
        });
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names that were asked for, each once.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn remember(asked: &Mutex<Vec<String>>, name: String) {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    if !asked.contains(&name) {
        asked.push(name);
    }
}

/// The name of the one question of a query, and the answer to it: the address of a known name, nothing for its other
/// types, and `NXDOMAIN` for an unknown name. `None` where it is no such query.
fn answer(query: &[u8], zone: Zone) -> Option<(String, Vec<u8>)> {
    let (id, counts) = (query.get(..2)?, query.get(4..6)?);
    if counts != [0, 1] {
        return None;
    }
    let (name, end) = read_name(query)?;
    let (question, kind) = (query.get(HEADER..end + 4)?, query.get(end..end + 2)?);
    let address = zone.iter().find(|(known, _)| *known == name).map(|(_, address)| address);
    let answers = u8::from(address.is_some() && kind == TYPE_A);
    let code = if address.is_some() { NO_ERROR } else { NAME_ERROR };
    let mut reply = [id, &[0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0], question].concat();
    if let (Some(address), 1) = (address, answers) {
        // The name by pointer to the question, type A, class IN, for a second, four octets.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some((name, reply))
}

/// The name that stands behind the header, in lower case, and where it ends.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), HEADER);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = std::str::from_utf8(query.get(at..at + length)?).ok()?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&label.to_ascii_lowercase());
        at += length;
    }
}

/// Octets of a message's header.
const HEADER: usize = 12;
/// Longest message over UDP without extensions.
const MAX_MESSAGE: usize = 512;
const TYPE_A: &[u8] = &[0, 1];
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{Message, Query, ResponseCode},
        rr::{Name, RData, RecordType},
    };

    use super::*;

    #[test]
    fn another_implementation_understands_the_answers() {
        const ZONE: Zone = &[("a.test", Ipv4Addr::new(192, 0, 2, 1))];
        for (name, kind, expected) in [
            ("a.test.", RecordType::A, (ResponseCode::NoError, Some(Ipv4Addr::new(192, 0, 2, 1)))),
            ("A.Test.", RecordType::A, (ResponseCode::NoError, Some(Ipv4Addr::new(192, 0, 2, 1)))),
            ("a.test.", RecordType::AAAA, (ResponseCode::NoError, None)),
            ("b.test.", RecordType::A, (ResponseCode::NXDomain, None)),
        ] {
            let mut query = Message::query();
            query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
            let (asked, reply) = answer(&query.to_vec().unwrap(), ZONE).unwrap();
            let reply = Message::from_vec(&reply).unwrap();
            let address = reply.answers.first().map(|record| {
                let RData::A(address) = record.data else { panic!("{record:?}") };
                address.0
            });
            assert_eq!((asked.as_str(), (reply.response_code, address)), (name.trim_end_matches('.').to_lowercase().as_str(), expected));
            assert_eq!((reply.id, &reply.queries), (query.id, &query.queries));
        }
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        for query in [&b""[..], &[0; 11], &[0; 12], b"\0\0\0\0\0\x01\0\0\0\0\0\0\x05ab", b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01a\0\0"] {
            assert_eq!(answer(query, &[]), None, "{query:?}");
        }
    }
}

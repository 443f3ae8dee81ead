//! A name server on UDP and TCP that answers from a script, lies on cue and counts what it was asked.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::CNAME},
};

use super::wait::PATIENCE;

/// What is said about a name; addresses of the family that was not asked for are left out.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Addresses(Vec<IpAddr>),
    /// Addresses with this time to live.
    Lasting(u32, Vec<IpAddr>),
    /// The name is an alias of the first of these, that of the next, and so on; the last has the addresses.
    Chain(Vec<&'static str>, Vec<IpAddr>),
    /// Addresses of another name than the one that was asked for.
    Foreign(&'static str, Vec<IpAddr>),
    /// First an answer with a wrong id and the first addresses, then the right one with the second.
    Spoofed(Vec<IpAddr>, Vec<IpAddr>),
    /// The name does not exist.
    Nothing,
    Failure,
    Silence,
}

impl Answer {
    /// These addresses, each written out.
    pub(crate) fn of(addresses: &[&str]) -> Self {
        Self::Addresses(ips(addresses))
    }
}

/// Addresses, each written out.
pub(crate) fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}

/// The server; it runs until the test ends.
pub(crate) struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Vec<Answer>>,
    otherwise: Option<Answer>,
    asked: Vec<(String, RecordType)>,
}

impl Dns {
    /// A server that knows no name.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1")
    }

    /// The same at another address of this machine's.
    pub(crate) fn start_at(ip: &str) -> Self {
        let (udp, tcp) = bind(ip);
        let address = udp.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let (for_udp, for_tcp) = (state.clone(), state.clone());
        thread::spawn(move || serve_udp(&udp, &for_udp));
        thread::spawn(move || serve_tcp(&tcp, &for_tcp));
        Self { address, state }
    }

    /// A server for which every name is 127.0.0.1.
    pub(crate) fn loopback() -> Self {
        let dns = Self::start();
        locked(&dns.state).otherwise = Some(Answer::of(&["127.0.0.1"]));
        dns
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says about a name from now on.
    pub(crate) fn say(&self, name: &str, answer: Answer) -> &Self {
        self.say_in_turn(name, vec![answer])
    }

    /// What it says to the first query of each type, the second, and so on; the last answer stays.
    pub(crate) fn say_in_turn(&self, name: &str, answers: Vec<Answer>) -> &Self {
        locked(&self.state).names.insert(name.to_owned(), answers);
        self
    }

    /// Every question so far, the name without its trailing dot.
    #[track_caller]
    pub(crate) fn asked(&self) -> Vec<(String, RecordType)> {
        self.fence();
        let asked = &locked(&self.state).asked;
        asked.iter().filter(|(name, _)| name != FENCE).cloned().collect()
    }

    /// How often a type of a name was asked for.
    #[track_caller]
    pub(crate) fn count(&self, name: &str, kind: RecordType) -> usize {
        self.asked().iter().filter(|(asked, of)| asked == name && *of == kind).count()
    }

    /// Queries wait in a queue: when this one is answered, all before it were counted.
    fn fence(&self) {
        let mut query = Message::query();
        query.add_query(hickory_proto::op::Query::query(Name::from_ascii(FENCE).expect("a name"), RecordType::A));
        let query = query.to_vec().expect("a query");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.send_to(&query, self.address).expect("a query");
        socket.recv(&mut [0; 512]).expect("the name server answers");
        let mut stream = TcpStream::connect(self.address).expect("the name server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&framed(&query)).expect("a query");
        stream.read_exact(&mut [0; 2]).expect("the name server answers");
    }
}

/// UDP and TCP on one port.
fn bind(ip: &str) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).expect("a port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")) {
            return (udp, tcp);
        }
    }
    panic!("no port is free on UDP and TCP at once");
}

fn serve_udp(socket: &UdpSocket, state: &Mutex<State>) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        for answer in answers(&buffer[..length], state) {
            let _ = socket.send_to(&fitting(answer), peer);
        }
    }
}

/// The answer, or where it is too long for UDP, that it is to be had on TCP (RFC 1035, section 4.2.1).
fn fitting(answer: Vec<u8>) -> Vec<u8> {
    if answer.len() <= MAX_UDP {
        return answer;
    }
    let mut truncated = Message::from_vec(&answer).expect("our own answer").truncate();
    truncated.metadata.truncation = true;
    truncated.to_vec().expect("an answer")
}

fn serve_tcp(listener: &TcpListener, state: &Mutex<State>) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                break;
            }
            for answer in answers(&query, state) {
                let _ = stream.write_all(&framed(&answer));
            }
            if is_fence(&query) {
                break;
            }
        }
    }
}

fn is_fence(query: &[u8]) -> bool {
    Message::from_vec(query).is_ok_and(|query| query.queries.first().is_some_and(|question| question.name().to_ascii().starts_with(FENCE)))
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message fits");
    [&length.to_be_bytes(), message].concat()
}

fn answers(query: &[u8], state: &Mutex<State>) -> Vec<Vec<u8>> {
    let Ok(query) = Message::from_vec(query) else { return Vec::new() };
    let Some(question) = query.queries.first() else { return Vec::new() };
    let kind = question.query_type();
    let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let mut state = locked(state);
    let turn = state.asked.iter().filter(|(asked, of)| *asked == name && *of == kind).count();
    state.asked.push((name.clone(), kind));
    let script = state.names.get(&name);
    let answer = script.and_then(|script| script.get(turn).or(script.last())).or(state.otherwise.as_ref());
    let replies = reply(&query, question.name(), kind, answer.unwrap_or(&Answer::Nothing));
    replies.iter().map(|reply| reply.to_vec().expect("an answer")).collect()
}

fn reply(query: &Message, name: &Name, kind: RecordType, answer: &Answer) -> Vec<Message> {
    let code = |code| Message::error_msg(query.metadata.id, OpCode::Query, code);
    let good = |records: Vec<Record>| {
        let mut message = code(ResponseCode::NoError);
        message.add_answers(records);
        message
    };
    let addresses = |name: &Name, ttl, addresses: &[IpAddr]| addresses.iter().filter_map(|&ip| record(name, ttl, kind, ip)).collect();
    let mut messages = match answer {
        Answer::Addresses(ips) => vec![good(addresses(name, USUAL_TTL, ips))],
        Answer::Lasting(ttl, ips) => vec![good(addresses(name, *ttl, ips))],
        Answer::Chain(names, ips) => vec![good(chain(name, names, |last| addresses(last, USUAL_TTL, ips)))],
        Answer::Foreign(other, ips) => vec![good(addresses(&absolute(other), USUAL_TTL, ips))],
        Answer::Spoofed(first, second) => {
            let mut spoofed = good(addresses(name, USUAL_TTL, first));
            spoofed.metadata.id = !query.metadata.id;
            vec![spoofed, good(addresses(name, USUAL_TTL, second))]
        }
        Answer::Nothing => vec![code(ResponseCode::NXDomain)],
        Answer::Failure => vec![code(ResponseCode::ServFail)],
        Answer::Silence => Vec::new(),
    };
    for message in &mut messages {
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.queries.clone_from(&query.queries);
    }
    messages
}

fn chain(name: &Name, names: &[&str], addresses: impl Fn(&Name) -> Vec<Record>) -> Vec<Record> {
    let mut records = Vec::new();
    let mut last = name.clone();
    for next in names {
        let next = absolute(next);
        records.push(Record::from_rdata(last, USUAL_TTL, RData::CNAME(CNAME(next.clone()))));
        last = next;
    }
    records.extend(addresses(&last));
    records
}

fn record(name: &Name, ttl: u32, kind: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (kind, address) {
        (RecordType::A, IpAddr::V4(address)) => RData::A(address.into()),
        (RecordType::AAAA, IpAddr::V6(address)) => RData::AAAA(address.into()),
        _ => return None,
    };
    Some(Record::from_rdata(name.clone(), ttl, data))
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a name")
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const MAX_UDP: usize = 512;
const USUAL_TTL: u32 = 60;
const FENCE: &str = "fence.invalid";

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Mutex,
    time::SystemTime,
};

use hickory_resolver::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name as DnsName, RData, Record, RecordType, rdata},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

use super::*;
use crate::{
    destination::Destination,
    policy::{Facts, Policy, Way},
};

const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;
const LIMIT: Duration = Duration::from_secs(20);

/// What a scripted name server does with a query.
pub(crate) enum Reply {
    Records(Vec<RData>),
    /// Records that are good for so many seconds; all others are for none.
    For(u32, Vec<RData>),
    /// Aliases from the name asked for, one to the next, and what stands at the last.
    Alias(Vec<&'static str>, Vec<RData>),
    Code(ResponseCode),
    /// Truncated over UDP, complete over TCP.
    OverTcp(Vec<RData>),
    Forged(Vec<RData>),
    Silence,
}

/// A name server on loopback, UDP and TCP, that answers by a script and remembers what it was asked.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl NameServer {
    pub(crate) async fn start(script: impl Fn(RecordType, usize) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), asked.clone());
        let over_tcp = script.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let (name, family) = (query.queries[0].name().to_string(), query.queries[0].query_type());
                let nth = {
                    let mut log = log.lock().unwrap();
                    log.push((name, family));
                    log.iter().filter(|(_, other)| *other == family).count()
                };
                for reply in replies(&query, script(family, nth), false) {
                    udp.send_to(&reply, peer).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let script = over_tcp.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut query = vec![0; length.into()];
                        stream.read_exact(&mut query).await.unwrap();
                        let query = Message::from_vec(&query).unwrap();
                        for reply in replies(&query, script(query.queries[0].query_type(), 1), true) {
                            stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                            stream.write_all(&reply).await.unwrap();
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<(String, RecordType)> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn replies(query: &Message, reply: Reply, tcp: bool) -> Vec<Vec<u8>> {
    let name = query.queries[0].name().clone();
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.queries = query.queries.clone();
    let records = |owner: &DnsName, data: Vec<RData>| -> Vec<Record> {
        data.into_iter().map(|data| Record::from_rdata(owner.clone(), 0, data)).collect()
    };
    match reply {
        Reply::Records(data) => message.answers = records(&name, data),
        Reply::For(ttl, data) => {
            message.answers = data.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data)).collect();
        }
        Reply::Alias(aliases, data) => {
            let mut owner = name;
            for alias in aliases {
                let alias = DnsName::from_ascii(alias).unwrap();
                message.answers.extend(records(&owner, vec![RData::CNAME(rdata::CNAME(alias.clone()))]));
                owner = alias;
            }
            message.answers.extend(records(&owner, data));
        }
        Reply::Code(code) => message.metadata.response_code = code,
        Reply::OverTcp(data) if tcp => message.answers = records(&name, data),
        Reply::OverTcp(_) => message.metadata.truncation = true,
        Reply::Forged(data) => {
            let (mut wrong_id, mut wrong_name) = (message.clone(), message.clone());
            for forged in [&mut wrong_id, &mut wrong_name] {
                forged.answers = records(&name, vec![v4([192, 0, 2, 66])]);
            }
            wrong_id.metadata.id = wrong_id.metadata.id.wrapping_add(1);
            wrong_name.queries = vec![Query::query(DnsName::from_ascii("other.example.").unwrap(), A)];
            message.answers = records(&name, data);
            return [wrong_id, wrong_name, message].iter().map(|message| message.to_vec().unwrap()).collect();
        }
        Reply::Silence => return Vec::new(),
    }
    vec![message.to_vec().unwrap()]
}

pub(crate) fn v4(octets: [u8; 4]) -> RData {
    RData::A(rdata::A(Ipv4Addr::from(octets)))
}

fn v6(address: &str) -> RData {
    RData::AAAA(rdata::AAAA(address.parse::<Ipv6Addr>().unwrap()))
}

/// Only A records: `octets` for each query in turn, the last for all that follow.
fn in_turn(octets: Vec<[u8; 4]>) -> impl Fn(RecordType, usize) -> Reply {
    move |family, nth| {
        if family == A { Reply::Records(vec![v4(octets[(nth - 1).min(octets.len() - 1)])]) } else { Reply::Records(Vec::new()) }
    }
}

fn upstream(server: SocketAddr, dns_timeout: Duration) -> Upstream {
    let settings = UpstreamSettings { name_servers: NameServers::One(server), dns_timeout, connect_timeout: LIMIT, keep_alive: LIMIT };
    Upstream::new(&settings, Arc::new(Metrics::new().unwrap())).unwrap()
}

fn permit(authority: &str) -> Permit {
    let text = "access = \"custom\"\nallow = [\"host.example:*\", \"127.0.0.1:*\"]\n[addresses]\nallow = [\"127.0.0.1/32\", \"::1/128\"]";
    let (policy, _) = Policy::parse("policy.toml", text).unwrap();
    let destination = Destination::parse(authority.as_bytes(), None).unwrap();
    policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: SystemTime::UNIX_EPOCH }).unwrap()
}

async fn resolve(server: &NameServer, authority: &str) -> Result<Vec<String>, Refused> {
    let admitted = upstream(server.address, LIMIT).resolve(permit(authority)).await?;
    Ok(admitted.addresses().iter().map(ToString::to_string).collect())
}

async fn failure(server: &NameServer, dns_timeout: Duration) -> Failure {
    match upstream(server.address, dns_timeout).resolve(permit("host.example:443")).await {
        Err(Refused::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn asked_once() -> Vec<(String, RecordType)> {
    vec![("host.example.".into(), A), ("host.example.".into(), AAAA)]
}

#[tokio::test]
async fn a_name_is_asked_for_once_in_each_family() {
    let server = NameServer::start(|family, _| {
        Reply::Records(if family == A { vec![v4([192, 88, 0, 1]), v4([192, 88, 0, 2])] } else { vec![v6("2600::1")] })
    })
    .await;
    let addresses = resolve(&server, "host.example:443").await.unwrap();
    assert_eq!(addresses, ["[2600::1]:443", "192.88.0.1:443", "192.88.0.2:443"]);
    assert_eq!(server.asked(), asked_once());
}

#[tokio::test]
async fn only_records_of_the_family_that_was_asked_for_count() {
    let server = NameServer::start(|_, _| Reply::Records(vec![v4([192, 88, 0, 1])])).await;
    assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"]);
}

#[tokio::test]
async fn an_address_is_not_resolved() {
    let server = NameServer::start(|_, _| Reply::Silence).await;
    assert_eq!(resolve(&server, "127.0.0.1:8443").await.unwrap(), ["127.0.0.1:8443"]);
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn refused_addresses_of_an_answer_are_dropped() {
    for answer in [[[10, 0, 0, 1], [192, 88, 0, 1]], [[192, 88, 0, 1], [10, 0, 0, 1]]] {
        let server = NameServer::start(move |family, _| {
            Reply::Records(if family == A { answer.map(v4).into() } else { vec![v6("fd00::1"), v6("::ffff:10.0.0.1")] })
        })
        .await;
        assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"]);
    }
}

#[tokio::test]
async fn an_answer_without_an_admitted_address_is_denied() {
    let server = NameServer::start(in_turn(vec![[169, 254, 169, 254]])).await;
    match resolve(&server, "host.example:443").await {
        Err(Refused::Denied(denial)) => assert_eq!(denial.reason, Reason::AddressNotAllowed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_use_of_a_name_is_judged_anew() {
    let server = NameServer::start(in_turn(vec![[192, 88, 0, 1], [10, 0, 0, 1], [192, 88, 0, 3]])).await;
    let upstream = upstream(server.address, LIMIT);
    let first = upstream.resolve(permit("host.example:443")).await.unwrap();
    let second = upstream.resolve(permit("host.example:443")).await;
    let third = upstream.resolve(permit("host.example:443")).await.unwrap();
    assert_eq!(first.addresses(), ["192.88.0.1:443".parse().unwrap()]);
    assert!(matches!(second, Err(Refused::Denied(_))), "{second:?}");
    assert_eq!(third.addresses(), ["192.88.0.3:443".parse().unwrap()]);
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn an_alias_is_judged_by_its_end_and_never_asked_for() {
    let server = NameServer::start(|family, _| {
        if family == A {
            Reply::Alias(vec!["cdn.elsewhere.test.", "edge.elsewhere.test."], vec![v4([192, 88, 0, 9])])
        } else {
            Reply::Alias(vec!["cdn.elsewhere.test."], Vec::new())
        }
    })
    .await;
    assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.9:443"]);
    assert_eq!(server.asked(), asked_once());

    let dangling = NameServer::start(|_, _| Reply::Alias(vec!["cdn.elsewhere.test."], Vec::new())).await;
    let failure = failure(&dangling, LIMIT).await;
    assert_eq!((failure.reason, failure.detail.as_str()), (Reason::DnsFailed, "The name host.example has no address."));
    assert_eq!(dangling.asked(), asked_once());

    let circle = NameServer::start(|_, _| Reply::Alias(vec!["a.test.", "host.example."], vec![])).await;
    assert!(matches!(resolve(&circle, "host.example:443").await, Err(Refused::Failed(_))));
}

#[tokio::test]
async fn trouble_with_a_name_says_what_it_is() {
    for (code, detail) in [
        (ResponseCode::NXDomain, "The name host.example does not exist (NXDOMAIN)."),
        (ResponseCode::NoError, "The name host.example has no address."),
        (ResponseCode::ServFail, "Resolving host.example failed: the name server answered Server Failure."),
        (ResponseCode::Refused, "Resolving host.example failed: the name server answered Query Refused."),
    ] {
        let server = NameServer::start(move |_, _| Reply::Code(code)).await;
        let expected = Failure { reason: Reason::DnsFailed, detail: detail.into(), address: None };
        assert_eq!(failure(&server, LIMIT).await, expected);
        assert_eq!(server.asked(), asked_once(), "{code}");
    }
}

#[tokio::test]
async fn a_silent_name_server_times_out() {
    let server = NameServer::start(|_, _| Reply::Silence).await;
    let failure = failure(&server, Duration::from_millis(50)).await;
    assert_eq!((failure.reason, failure.address), (Reason::UpstreamTimeout, None));
    assert_eq!(failure.detail, "The name servers did not answer for host.example within 50ms.");
}

#[tokio::test]
async fn a_lost_query_is_sent_again() {
    let server = NameServer::start(|family, nth| match (family, nth) {
        (A, 1) => Reply::Silence,
        (A, _) => Reply::Records(vec![v4([192, 88, 0, 1])]),
        _ => Reply::Records(Vec::new()),
    })
    .await;
    assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"]);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn one_family_does_not_wait_long_for_the_other() {
    let server = NameServer::start(|family, _| if family == A { Reply::Records(vec![v4([192, 88, 0, 1])]) } else { Reply::Silence }).await;
    assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"]);
}

#[tokio::test]
async fn a_family_that_fails_leaves_the_other() {
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain, ResponseCode::NotImp] {
        let server =
            NameServer::start(move |family, _| if family == A { Reply::Records(vec![v4([192, 88, 0, 1])]) } else { Reply::Code(code) })
                .await;
        assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"], "{code}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let server = NameServer::start(|family, _| {
        if family == A { Reply::OverTcp((1..=100).map(|last| v4([192, 88, 0, last])).collect()) } else { Reply::Records(Vec::new()) }
    })
    .await;
    let addresses = resolve(&server, "host.example:443").await.unwrap();
    assert_eq!((addresses.len(), addresses[0].as_str()), (64, "192.88.0.1:443"), "and bounded");
}

#[tokio::test]
async fn forged_answers_are_ignored() {
    let server =
        NameServer::start(|family, _| if family == A { Reply::Forged(vec![v4([192, 88, 0, 1])]) } else { Reply::Records(Vec::new()) })
            .await;
    assert_eq!(resolve(&server, "host.example:443").await.unwrap(), ["192.88.0.1:443"]);
}

#[tokio::test]
async fn own_addresses_are_refused_once_named() {
    let server = NameServer::start(in_turn(vec![[192, 88, 0, 1]])).await;
    let upstream = upstream(server.address, LIMIT);
    assert!(upstream.resolve(permit("host.example:443")).await.is_ok());
    upstream.set_own(Own { addresses: vec![IpAddr::from([192, 88, 0, 1])], listeners: Vec::new() });
    assert!(matches!(upstream.resolve(permit("host.example:443")).await, Err(Refused::Denied(_))));
}

#[tokio::test]
async fn what_was_judged_is_what_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = NameServer::start(in_turn(vec![[127, 0, 0, 1], [127, 0, 0, 2]])).await;
    let upstream = upstream(server.address, LIMIT);
    let admitted = upstream.resolve(permit(&format!("host.example:{}", address.port()))).await.unwrap();
    let dialled = upstream.dial(admitted).await.unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!((dialled.reached.address, dialled.reached.stream.local_addr().unwrap()), (Some(address), peer));
    assert!(dialled.reached.stream.nodelay().unwrap());
    assert_eq!(dialled.permit().destination().to_string(), format!("host.example:{}", address.port()));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn the_next_address_is_dialled_when_one_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = NameServer::start(|family, _| Reply::Records(if family == A { vec![v4([127, 0, 0, 1])] } else { vec![v6("::1")] })).await;
    let upstream = upstream(server.address, LIMIT);
    let admitted = upstream.resolve(permit(&format!("host.example:{}", address.port()))).await.unwrap();
    assert_eq!(admitted.addresses().len(), 2);
    assert_eq!(upstream.dial(admitted).await.unwrap().address(), Some(address.ip()));
}

#[tokio::test]
async fn a_refused_connection_names_address_and_error() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = upstream(closed, LIMIT);
    let admitted = upstream.resolve(permit(&closed.to_string())).await.unwrap();
    let expected = Failure {
        reason: Reason::ConnectFailed,
        detail: format!("Connecting to {closed} failed: Connection refused (os error 111)."),
        address: Some(closed),
    };
    assert_eq!(upstream.dial(admitted).await.unwrap_err(), expected);
}

#[tokio::test]
async fn a_connection_that_nobody_accepts_times_out() {
    // The queue of a listener that never accepts is filled first; the next handshake gets no answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let settings = UpstreamSettings {
        name_servers: NameServers::One(address),
        dns_timeout: LIMIT,
        connect_timeout: Duration::from_millis(50),
        keep_alive: LIMIT,
    };
    let upstream = Upstream::new(&settings, Arc::new(Metrics::new().unwrap())).unwrap();
    let admitted = upstream.resolve(permit(&address.to_string())).await.unwrap();
    let expected = Failure {
        reason: Reason::UpstreamTimeout,
        detail: format!("{address} did not accept a connection within 50ms."),
        address: Some(address),
    };
    assert_eq!(upstream.dial(admitted).await.unwrap_err(), expected);
}

#[test]
fn families_take_turns() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let four = ["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"].map(address);
    let six = ["[2::1]:1", "[2::2]:1"].map(address);
    assert_eq!(interleaved(&[&four[..], &six].concat()), [six[0], four[0], six[1], four[1], four[2]]);
    assert_eq!(interleaved(&six), six);
    assert_eq!(interleaved(&[]), []);
}

#[test]
fn own_addresses_hold_loopback() {
    assert!(own_addresses().unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
}

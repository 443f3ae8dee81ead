//! Asks what answers: our own pages over HTTP, name servers, proxies of SOCKS, and whatever an address leads to. Every wait has an end.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::facts::{Reply, Way};
use crate::{
    destination::{Destination, Host, OWN_PAGES},
    secret::Secret,
    wire::http1::{ResponseHead, ResponseReader},
};

/// An answer that is on its way.
pub(super) struct Pending<T>(mpsc::Receiver<T>);

/// Asks beside whatever else is asked.
pub(super) fn begin<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
    let (answered, answer) = mpsc::channel();
    thread::spawn(move || answered.send(ask()));
    Pending(answer)
}

impl<T> Pending<T> {
    /// The answer; where there is none for too long, what is said of that.
    pub(super) fn end(self, late: impl FnOnce() -> T) -> T {
        self.0.recv_timeout(PATIENCE_WITH_ONE).unwrap_or_else(|_| late())
    }
}

/// As what somebody is asked for our own pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Proxy,
    Server,
}

/// What answers there for our own pages.
pub(super) fn session(at: &Destination, whom: As, authorization: Option<&Secret>) -> Reply {
    let stream = match connect(at) {
        Ok(stream) => stream,
        Err(error) => return Reply::Nothing(in_words(&error)),
    };
    get(stream, whom, "/session", authorization).map_or_else(|_| Reply::Other("it does not speak HTTP".to_owned()), |answer| reply(&answer))
}

/// The certificate to trust, in PEM, as the gate there says.
pub(super) fn root(at: &Destination, whom: As, authorization: Option<&Secret>) -> Option<Vec<u8>> {
    let (head, body) = connect(at).and_then(|stream| get(stream, whom, "/ca.pem", authorization)).ok()?;
    (head.status == 200).then_some(body)
}

fn reply((head, body): &(ResponseHead, Vec<u8>)) -> Reply {
    let field = |name: &str| head.fields().find(|(known, _)| *known == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    if let Some(reason) = field("x-deny-reason") {
        return Reply::Refused(reason);
    }
    let session =
        serde_json::from_slice(body).ok().filter(|value: &serde_json::Value| value["session"].is_string() && value["access"].is_string());
    match session {
        Some(session) if head.status == 200 => Reply::Session(session),
        Some(_) | None => Reply::Other(format!("it answers {} and is no Tidegate", head.status)),
    }
}

/// Where a connection to an address comes that no proxy is asked for.
pub(super) fn stream(to: SocketAddr) -> Way {
    let stream = match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => return stopped(&error),
    };
    let Ok(answer) = patient(stream).and_then(|stream| get(stream, As::Server, "/session", None)) else { return Way::Out };
    if reply(&answer).is_gate() { Way::Gate } else { Way::Out }
}

/// Who answers a question for a name there. Nobody but our DNS door knows `tidegate.internal`.
pub(super) fn name(server: SocketAddr) -> Way {
    match converse(server, QUESTION) {
        Ok(answer) => match answer[..] {
            // RFC 1035, section 4.1.1: the id, that it is an answer, no error, and how many records answer.
            [id0, id1, flags, code, _, _, high, low, ..] if [id0, id1] == QUESTION[..2] && flags & 0x80 != 0 => {
                if code % 16 == 0 && [high, low] != [0, 0] { Way::Gate } else { Way::Out }
            }
            _ => Way::Out,
        },
        Err(error) => stopped(&error),
    }
}

/// Whether a datagram comes to somebody who answers.
pub(super) fn datagram(to: SocketAddr) -> Way {
    converse(to, b"tidegate doctor").map_or_else(|error| stopped(&error), |_| Way::Out)
}

/// Whether SOCKS 5 is spoken there (RFC 1928, section 3).
pub(super) fn socks(at: &Destination) -> bool {
    let mut answer = [0; 2];
    connect(at).and_then(|mut stream| stream.write_all(&[5, 1, 0]).and_then(|()| stream.read_exact(&mut answer))).is_ok() && answer[0] == 5
}

/// What a program printed, where it could be run and ended well.
pub(super) fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let stdout = child.stdout.take()?;
    let text = begin(move || {
        let mut text = Vec::new();
        stdout.take(MAX_ANSWER).read_to_end(&mut text).map(|_| text)
    });
    let ended_well = wait(&mut child);
    let text = text.end(|| Err(io::ErrorKind::TimedOut.into())).ok()?;
    (ended_well == Some(true)).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Whether it ended well; `None` where it did not end, and was ended.
fn wait(child: &mut Child) -> Option<bool> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.success());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn connect(at: &Destination) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match &at.host {
        Host::Ip(address) => vec![SocketAddr::new(*address, at.port)],
        Host::Name(name) => (name.as_str(), at.port).to_socket_addrs()?.collect(),
    };
    let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses.iter().take(MAX_ADDRESSES) {
        outcome = TcpStream::connect_timeout(address, PATIENCE).and_then(patient);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One page of ours, and whatever answers in its place.
fn get(mut stream: TcpStream, whom: As, path: &str, authorization: Option<&Secret>) -> io::Result<(ResponseHead, Vec<u8>)> {
    let target = match whom {
        As::Proxy => format!("http://{OWN_PAGES}{path}"),
        As::Server => path.to_owned(),
    };
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {OWN_PAGES}\r\nConnection: close\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request)?;
    let deadline = Instant::now() + PATIENCE;
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    let most = usize::try_from(MAX_ANSWER).unwrap_or(usize::MAX);
    while answer.len() < most && Instant::now() < deadline {
        match stream.read(&mut piece)? {
            0 => break,
            length => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    let read = ResponseReader::default().read(&answer).map_err(|error| io::Error::other(error.to_string()))?;
    let (head, length) = read.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head, answer.split_off(length)))
}

/// Sends one datagram and waits for one.
fn converse(to: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(message)?;
    let mut answer = vec![0; 512];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn stopped(error: &io::Error) -> Way {
    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) { Way::Silent } else { Way::Stopped(in_words(error)) }
}

/// Without the number.
pub(super) fn in_words(error: &io::Error) -> String {
    let said = error.to_string();
    let said = said.split(" (os error").next().unwrap_or_default();
    said.to_lowercase()
}

/// A question for the address of `tidegate.internal` (RFC 1035, section 4).
const QUESTION: &[u8] = b"td\x01\0\0\x01\0\0\0\0\0\0\x08tidegate\x08internal\0\0\x01\0\x01";

/// Longest wait for one step, and for an answer of several.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Most octets of an answer that are read.
const MAX_ANSWER: u64 = 4 << 20;
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

//! The proxy of the operator's through which everything upstream goes, where there is one.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{Failure, Reached, Upstream, interleaved};
use crate::{
    credentials,
    destination::{Destination, Host},
    endpoint::Endpoint,
    reason::Reason,
    secret::Secret,
    wire::http1::{MAX_HEAD, ResponseReader},
};

/// A proxy that is spoken to in HTTP/1.1 without TLS. Displayed without its credentials.
#[derive(Debug)]
pub(crate) struct Parent {
    destination: Destination,
    /// A user name without colon, and the password; sent to nobody else.
    credentials: Option<(Box<str>, Secret)>,
}

/// What a connection through a parent proxy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Whatever the destination speaks: CONNECT (RFC 9110, section 9.3.6).
    Tunnel,
    /// Requests in plain HTTP, for each of which the parent is asked (RFC 9112, section 3.2.2).
    Requests,
}

impl Line {
    /// Who reads what is sent, if it is not the destination.
    pub(super) fn asks(self, parent: &Arc<Parent>) -> Option<Arc<Parent>> {
        (self == Self::Requests).then(|| Arc::clone(parent))
    }
}

impl Parent {
    pub(crate) fn new(destination: Destination, credentials: Option<(Box<str>, Secret)>) -> Self {
        Self { destination, credentials }
    }

    /// Puts the parent's own credentials into what is sent to it.
    pub(super) fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(authorization) = self.authorization() {
            headers.insert(header::PROXY_AUTHORIZATION, authorization);
        }
    }

    /// It answered with 407.
    pub(super) fn wants_credentials(&self) -> Failure {
        self.failure(if self.credentials.is_some() { "refuses its credentials" } else { "asks for credentials" })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.as_ref().and_then(|(user, password)| credentials::basic(user, password))
    }

    fn failure(&self, did: &str) -> Failure {
        Failure { reason: Reason::ConnectFailed, detail: format!("{self} {did}."), address: None }
    }

    /// Asks for a tunnel; afterwards the next octet of the stream is the destination's. Nothing of an answer is repeated in an error:
    /// it may hold what the parent was shown.
    async fn connect(&self, stream: &mut TcpStream, destination: &Destination) -> Result<(), Failure> {
        let broke = |error: io::Error| self.failure(&format!("broke off before it answered CONNECT {destination}: {error}"));
        stream.write_all(&self.request(destination)).await.map_err(broke)?;
        let Some(status) = read_status(stream).await.map_err(broke)? else {
            return Err(self.failure(&format!("answered CONNECT {destination} with what is no HTTP")));
        };
        match status {
            200..=299 => Ok(()),
            407 => Err(self.wants_credentials()),
            _ => Err(self.failure(&format!("answered CONNECT {destination} with {status}"))),
        }
    }

    fn request(&self, destination: &Destination) -> Zeroizing<Vec<u8>> {
        let (destination, authorization) = (destination.to_string(), self.authorization());
        let field: [&[u8]; 3] = match &authorization {
            Some(authorization) => [b"Proxy-Authorization: ", authorization.as_bytes(), b"\r\n"],
            None => [b""; 3],
        };
        let start = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
        Zeroizing::new([&[start.as_bytes()], &field[..], &[b"\r\n"]].concat().concat())
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The parent proxy {}", self.destination)
    }
}

/// The status of the answer at the beginning of a stream, of which its head is taken and nothing behind it; `None` where it is no
/// answer in HTTP/1. Interim answers are skipped, within the bounds of one head.
async fn read_status(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    let (mut reader, mut head) = (ResponseReader::default(), Vec::new());
    let (mut chunk, mut taken) = (vec![0; CHUNK], 0);
    loop {
        let count = stream.peek(&mut chunk).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = head.len();
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        loop {
            match reader.read(head.get(taken..).unwrap_or_default()) {
                Err(_) => return Ok(None),
                Ok(None) => {
                    take(stream, &mut chunk, count).await?;
                    break;
                }
                Ok(Some((answer, length))) if answer.is_interim() => taken += length,
                Ok(Some((answer, length))) => {
                    take(stream, &mut chunk, (taken + length).saturating_sub(known)).await?;
                    return Ok(Some(answer.status));
                }
            }
        }
        if taken > MAX_HEAD {
            return Ok(None);
        }
    }
}

/// Takes as many octets as were seen.
async fn take(stream: &mut TcpStream, chunk: &mut [u8], count: usize) -> io::Result<()> {
    stream.read_exact(chunk.get_mut(..count).unwrap_or_default()).await.map(drop)
}

impl Upstream {
    /// A connection to the operator's own endpoint, whose addresses are not judged.
    pub(super) async fn reach(&self, endpoint: &Endpoint) -> Result<Reached, Failure> {
        let destination = &endpoint.destination;
        let Some(parent) = &self.parent else { return Ok(self.connect_to(destination, endpoint).await?.into()) };
        // A name is the parent's to resolve; of an address it is known whose it is.
        let address = match destination.host {
            Host::Ip(_) => self.addresses_of(destination, endpoint).await?.first().copied(),
            Host::Name(_) => None,
        };
        let line = if endpoint.secure { Line::Tunnel } else { Line::Requests };
        Ok(Reached { stream: self.reach_by(parent, destination, line).await?, address, parent: line.asks(parent) })
    }

    /// A connection to the parent proxy, which for a tunnel is asked to connect to the destination.
    pub(super) async fn reach_by(&self, parent: &Arc<Parent>, destination: &Destination, line: Line) -> Result<TcpStream, Failure> {
        let connected = self.connect_to(&parent.destination, parent).await;
        let (mut stream, _) = connected.map_err(|failure| Failure { address: None, ..failure })?;
        if line == Line::Tunnel {
            let limit = self.connect_timeout;
            timeout(limit, parent.connect(&mut stream, destination)).await.map_err(|_| Failure {
                reason: Reason::UpstreamTimeout,
                ..parent.failure(&format!("did not answer CONNECT {destination} within {limit:?}"))
            })??;
        }
        Ok(stream)
    }

    /// Connects to what is the operator's word, and is not this program itself. `who` is named in errors.
    async fn connect_to(&self, destination: &Destination, who: &impl fmt::Display) -> Result<(TcpStream, SocketAddr), Failure> {
        let addresses = self.addresses_of(destination, who).await?;
        self.connect(&interleaved(&addresses)).await.map_err(|failure| failure.reaching(who))
    }

    /// Never empty.
    async fn addresses_of(&self, destination: &Destination, who: &impl fmt::Display) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = match &destination.host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => self.look_up(name).await.map_err(|failure| failure.reaching(who))?,
        };
        let (own, port) = (self.own.load(), destination.port);
        let others = addresses.iter().filter(|address| !own.listens_on(**address, port));
        let others: Vec<_> = others.map(|address| SocketAddr::new(*address, port)).collect();
        if others.is_empty() {
            let address = addresses.first().map(|address| SocketAddr::new(*address, port));
            return Err(Failure { reason: Reason::LoopDetected, detail: format!("{who} is this proxy itself."), address });
        }
        Ok(others)
    }
}

impl Failure {
    fn reaching(self, who: &impl fmt::Display) -> Self {
        Self { detail: format!("{who} cannot be reached. {}", self.detail), ..self }
    }
}

/// Octets of an answer that are looked at in one go.
const CHUNK: usize = 4096;

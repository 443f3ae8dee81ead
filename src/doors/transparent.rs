//! Connections that were redirected to us: to any port, of programs that know of no proxy.
//!
//! Such a connection was opened to an address, and an address is the sandbox's word: it is never dialled for the name that a sandbox
//! says is behind it. Where it leads is settled so, and the port is always the one that it was opened to:
//!
//! 1. An address that our DNS lent to a name stands for that name.
//! 2. Any other address stands for what the first bytes name: the server name of a `ClientHello`, the Host of a first request. The name is
//!    judged and resolved here, and the address is forgotten.
//! 3. Where the bytes name nothing, the address is an IP literal, and judged as one. Of the pool that is lent from it is refused: it
//!    stood for a name once, if ever. One that an entry allows for any protocol is dialled at once, since the server may speak first.
//!
//! From there it is what a CONNECT is, and what its bytes name later has to agree.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::watch};

use super::opened::{self, Opened};
use crate::{
    destination::{Destination, Host, Name},
    downstream::{Downstream, redirected::original_destination},
    metrics::Kind,
    passage::{Asked, Gate, Subject, Visitor, part, reader_of},
    policy::{Protocol, Way},
    reason::Reason,
    respond::Refusal,
    sessions::synthetic::{Found, InUse},
    wire::opening::Opening,
};

/// Serves one connection to its end.
pub(super) async fn serve(visitor: &Arc<Visitor>, stream: TcpStream, draining: &watch::Receiver<bool>) {
    // Where the kernel knows of no redirection, it was opened to this listener itself.
    if let Ok(original) = original_destination(&stream).or_else(|_| stream.local_addr()) {
        lead(visitor, stream, original, draining).await;
    }
}

/// Leads it where one to `original` goes.
async fn lead(visitor: &Arc<Visitor>, stream: TcpStream, original: SocketAddr, draining: &watch::Receiver<bool>) {
    let gate = &visitor.gate;
    let mut downstream = Downstream::new(stream, gate.patience, Arc::clone(visitor.stranger.known()));
    let mut asked = Asked::new(visitor.door, Kind::Connect);
    let mut subject = None;
    let refusal = match open(visitor, &mut downstream, original, &mut asked, &mut subject).await {
        Ok((opened, _in_use)) => {
            let Some(subject) = subject else { return };
            return opened.run(visitor, subject, asked, downstream, draining).await;
        }
        Err(refusal) => refusal,
    };
    let opening = downstream.opening(HESITATION).await;
    if opening == Some(Opening::Http1)
        && let Ok(Some(head)) = downstream.first_head().await
    {
        asked.reader = reader_of(head.values("accept"));
    }
    part(downstream, gate.refuse_opening(subject.as_ref(), &asked, refusal, opening)).await;
}

/// While the connection is open, the name that its address was lent to keeps it.
async fn open(
    visitor: &Visitor,
    downstream: &mut Downstream,
    original: SocketAddr,
    asked: &mut Asked,
    subject: &mut Option<Subject>,
) -> Result<(Opened, Option<InUse>), Refusal> {
    let gate = &visitor.gate;
    let at_port = |host| Destination { host, port: original.port() };
    let literal = at_port(Host::Ip(original.ip().to_canonical()));
    asked.destination = Some(literal.clone());
    let subject = subject.insert(visitor.identify(|| Ok(None)).await?);
    if gate.upstream.own().listens_on(original.ip(), original.port()) {
        return Err(Refusal::new(Reason::LoopDetected, format!("{literal} is this proxy itself, which is for redirected connections.")));
    }
    let mut in_use = None;
    let destination = match subject.session.synthetic().find(original.ip()) {
        Found::Name(lent) => at_port(Host::Name(in_use.insert(lent).name().clone())),
        Found::Outside if may_be_silent(gate, subject, &literal) => literal,
        Found::Outside => shown(gate, downstream).await?.map_or(literal, |name| at_port(Host::Name(name))),
        Found::Unlent => match shown(gate, downstream).await? {
            Some(name) => at_port(Host::Name(name)),
            None => {
                return Err(Refusal::new(Reason::IpLiteralNotAllowed, format!("{} stands for no name: resolve it anew.", literal.host)));
            }
        },
    };
    Ok((opened::open(gate, subject, asked, destination, None).await?, in_use))
}

/// Whether an entry allows an address for any protocol, so that nothing that the sandbox sends has to be waited for.
fn may_be_silent(gate: &Gate, subject: &Subject, literal: &Destination) -> bool {
    let permit = gate.decide(subject, literal, Way::Connect);
    permit.is_ok_and(|permit| permit.protocol() == Protocol::Any && permit.would_deny().is_none())
}

/// The name that the first bytes show, which stay on the stream.
async fn shown(gate: &Gate, downstream: &mut Downstream) -> Result<Option<Name>, Refusal> {
    match downstream.opening(gate.patience.client_hello).await {
        Some(Opening::Tls) => Ok(downstream.client_hello().await?.server_name),
        Some(Opening::Http1) => {
            let head = downstream.first_head().await?;
            Ok(head.and_then(|head| head.host?.host.name().cloned()))
        }
        Some(Opening::Http2 | Opening::Ssh | Opening::Other) | None => Ok(None),
    }
}

/// Waited for the first bytes of whoever is refused already, to answer in their language; they may be waiting for a server to speak.
const HESITATION: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

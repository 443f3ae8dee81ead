//! Every way in. A door reads what is wanted and joins the one passage.

mod serving;
mod multiplexed;
mod forward;
mod files;
mod forge;
mod listener;
mod intercept;
mod opened;
mod connect;
mod socks;
mod transparent;
mod dns;
mod git;

use std::sync::Arc;

use tokio::{
    net::{TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use crate::{
    downstream::{Downstream, Next, redirected::original_destination},
    metrics::{Door, Kind},
    passage::{Asked, Gate, Visitor},
    processes::Ends,
    reason::Reason,
    respond::{Reader, Refusal},
    secret::Secret,
    wire::authorization,
};

/// Serves one connection to a door.
///
/// Once `draining` turns true, a connection that waits for a request closes; what is under way goes on.
pub(crate) async fn serve(gate: Arc<Gate>, door: Door, stream: TcpStream, draining: watch::Receiver<bool>) {
    let _counted = gate.metrics.connection(door);
    let visitor = Arc::new(Visitor::new(gate, door, ends(&stream)));
    match door {
        Door::Socks => socks::serve(&visitor, stream, &draining).await,
        Door::Transparent => transparent::serve(&visitor, stream, &draining).await,
        Door::Dns => dns::serve(&visitor, stream, &draining).await,
        Door::Proxy | Door::Git | Door::Admin => serve_http(&visitor, stream, draining).await,
    }
}

/// The addresses of a connection as its client knows them, wherever the kernel led it.
fn ends(stream: &TcpStream) -> Option<Ends> {
    let server = original_destination(stream).or_else(|_| stream.local_addr()).ok()?;
    Some(Ends { client: stream.peer_addr().ok()?, server })
}

/// Answers the names that are asked for by UDP, until draining begins.
pub(crate) async fn answer_names(gate: Arc<Gate>, socket: UdpSocket, draining: watch::Receiver<bool>) {
    let socket = Arc::new(socket);
    loop {
        // A task of its own: a panic ends the answer to one question, and not the door.
        let mut answering = JoinSet::new();
        answering.spawn(dns::answer(Arc::clone(&gate), Arc::clone(&socket), draining.clone()));
        match answering.join_next().await {
            Some(Err(error)) if error.is_panic() => gate.metrics.panicked(),
            Some(_) | None => return,
        }
    }
}

/// Serves one connection to the proxy listener (CONNECT, absolute-form HTTP/1 and this proxy's own pages) or to the git listener.
async fn serve_http(visitor: &Arc<Visitor>, stream: TcpStream, mut draining: watch::Receiver<bool>) {
    let (gate, door) = (&visitor.gate, visitor.door);
    let mut downstream = Downstream::new(stream, gate.patience, Arc::clone(visitor.stranger.known()));
    loop {
        let next = tokio::select! {
            next = downstream.next() => next,
            () = until(&mut draining) => return,
            () = visitor.stranger.evicted() => return,
        };
        let back = match (next, door) {
            (Ok(Next::Message), Door::Git) => git::serve(visitor, downstream, &draining).await,
            (Ok(Next::Message), _) => listener::serve(visitor, downstream, &draining).await,
            (Ok(Next::Connect(_)), Door::Git) => {
                refuse(visitor, downstream, Refusal::new(Reason::MethodRefused, NO_PROXY)).await;
                None
            }
            (Ok(Next::Connect(head)), _) => connect::serve(visitor, downstream, &head, &draining).await,
            (Ok(Next::Refused(failure)), _) => {
                refuse(visitor, downstream, failure.into()).await;
                None
            }
            (Ok(Next::Closed) | Err(_), _) => None,
        };
        match back {
            Some(returned) => downstream = returned,
            None => return,
        }
    }
}

/// Answers what is no request of this door, and closes.
async fn refuse(visitor: &Visitor, mut downstream: Downstream, refusal: Refusal) {
    let subject = visitor.identify(|| Ok(None)).await.ok();
    let answer = visitor.gate.refuse(subject.as_ref(), &asked(visitor.door), refusal);
    let _ = downstream.send(&answer.to_octets()).await;
    downstream.close().await;
}

/// Tells a connection that there is no room for it, without taking time for it.
pub(crate) fn turn_away(gate: &Gate, door: Door, stream: &TcpStream) {
    let refusal = Refusal::new(Reason::Overloaded, "This proxy has as many connections open as it can hold.");
    let answer = gate.refuse(None, &asked(door), refusal);
    // What speaks no HTTP, or nobody knows what, is closed.
    if !matches!(door, Door::Socks | Door::Transparent | Door::Dns) {
        let _ = stream.try_write(&answer.to_octets());
    }
}

/// A request of which nothing is known but its door.
fn asked(door: Door) -> Asked {
    let reader = if door == Door::Git { Reader::Git } else { Reader::Client };
    let kind = if door == Door::Dns { Kind::Dns } else { Kind::Http };
    Asked { reader, ..Asked::new(door, kind) }
}

/// Ends when draining begins.
async fn until(draining: &mut watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The token of a `Proxy-Authorization` or an `Authorization`; more than one of them is nobody's.
fn presented<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Secret>, Refusal> {
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::new(Reason::SessionUnknown, "Credentials were sent more than once."));
    }
    let presented = authorization::parse(value)
        .map_err(|error| Refusal::new(Reason::SessionUnknown, format!("The credentials that were sent cannot be read: {error}.")))?;
    Ok(Some(presented.token))
}

const NO_PROXY: &str = "This is the git door and no proxy; it serves /git/OWNER/NAME.";

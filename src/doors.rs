//! Every way in. A door reads what is wanted and joins the one passage.

mod forward;
mod connect;

use std::sync::Arc;

use tokio::{net::TcpStream, sync::watch};

use crate::{
    downstream::{Downstream, Next},
    metrics::{Door, Kind},
    passage::{Asked, Gate, Visitor},
    reason::Reason,
    respond::Refusal,
    secret::Secret,
    wire::authorization,
};

/// Serves one connection to the proxy listener: CONNECT, absolute-form HTTP/1, and this proxy's own pages.
///
/// Once `draining` turns true, a connection that waits for a request closes; what is under way goes on.
pub(crate) async fn proxy(gate: Arc<Gate>, stream: TcpStream, mut draining: watch::Receiver<bool>) {
    let _counted = gate.metrics.connection(Door::Proxy);
    let visitor = Arc::new(Visitor::new(Arc::clone(&gate), Door::Proxy));
    let mut downstream = Downstream::new(stream, gate.patience, Arc::clone(visitor.stranger.known()));
    loop {
        let next = tokio::select! {
            next = downstream.next() => next,
            () = until(&mut draining) => return,
            () = visitor.stranger.evicted() => return,
        };
        let back = match next {
            Ok(Next::Connect(head)) => connect::serve(&visitor, downstream, &head, &draining).await,
            Ok(Next::Message) => forward::serve(&visitor, downstream, forward::Inside::Listener, &draining).await,
            Ok(Next::Refused(failure)) => {
                let refusal = failure.into();
                let subject = visitor.identify(|| Ok(None)).ok();
                let answer = gate.refuse(subject.as_ref(), &Asked::new(Door::Proxy, Kind::Http), refusal);
                let _ = downstream.send(&answer.to_octets()).await;
                downstream.close().await;
                None
            }
            Ok(Next::Closed) | Err(_) => None,
        };
        match back {
            Some(returned) => downstream = returned,
            None => return,
        }
    }
}

/// Tells a connection that there is no room for it, without taking time for it.
pub(crate) fn turn_away(gate: &Gate, stream: &TcpStream) {
    let refusal = Refusal::new(Reason::Overloaded, "This proxy has as many connections open as it can hold.");
    let answer = gate.refuse(None, &Asked::new(Door::Proxy, Kind::Http), refusal);
    let _ = stream.try_write(&answer.to_octets());
}

/// Ends when draining begins.
async fn until(draining: &mut watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The token of a `Proxy-Authorization`; more than one of them is nobody's.
fn presented<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Secret>, Refusal> {
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::new(Reason::SessionUnknown, "Proxy-Authorization was sent more than once."));
    }
    let presented = authorization::parse(value)
        .map_err(|error| Refusal::new(Reason::SessionUnknown, format!("Proxy-Authorization was refused: {error}.")))?;
    Ok(Some(presented.token))
}

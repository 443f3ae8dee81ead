//! CONNECT (RFC 9110, section 9.3.6): decided, resolved, judged by address and dialled; then 200; then its first bytes.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    opened::{self, Opened},
    presented,
};
use crate::{
    downstream::Downstream,
    metrics::Kind,
    passage::{Asked, Subject, Visitor, reader_of},
    reason::Reason,
    respond::Refusal,
    wire::{
        http1::Head,
        target::{self, RequestTarget},
    },
};

/// Serves one CONNECT. Gives the connection back when it may be used again: after 407.
pub(crate) async fn serve(
    visitor: &Arc<Visitor>,
    mut downstream: Downstream,
    head: &Head,
    draining: &watch::Receiver<bool>,
) -> Option<Downstream> {
    let mut asked = Asked::new(visitor.door, Kind::Connect);
    asked.method = Some("CONNECT".into());
    asked.reader = reader_of(head.values("accept"));
    asked.look(&head.method, [&*head.target].into_iter(), head.fields());
    let mut subject = None;
    let opened = open(visitor, head, &mut asked, &mut subject).await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            let answer = visitor.gate.refuse(subject.as_ref(), &asked, refusal);
            let sent = downstream.send(&answer.to_octets()).await;
            if sent.is_ok() && answer.keeps_connection() {
                return Some(downstream);
            }
            downstream.close().await;
            return None;
        }
    };
    if downstream.send(ESTABLISHED).await.is_ok() {
        opened.run(visitor, subject?, asked, downstream, draining).await;
    }
    None
}

/// Syntax and session come first.
async fn open(visitor: &Visitor, head: &Head, asked: &mut Asked, subject: &mut Option<Subject>) -> Result<Opened, Refusal> {
    let destination = match target::parse(&head.method, head.target.as_bytes()) {
        Ok(RequestTarget::Authority(destination)) => destination,
        Ok(_) => return Err(Refusal::new(Reason::BadRequest, "CONNECT takes host:port as its target.")),
        Err(error) => return Err(Refusal::new(error.reason(), format!("The target of CONNECT was refused: {error}."))),
    };
    asked.destination = Some(destination.clone());
    let subject =
        subject.insert(visitor.identify(|| presented(head.values("proxy-authorization"))).await.map_err(|refusal| asked.explain(refusal))?);
    opened::open(&visitor.gate, subject, asked, destination, head.host.as_ref()).await
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

//! CONNECT (RFC 9110, section 9.3.6): decided, resolved, judged by address and dialled; then 200; then its first bytes.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    forward::{self, Inside, refuse_inside},
    intercept::{self, Beyond},
    presented,
};
use crate::{
    destination::Destination,
    downstream::Downstream,
    limits::Slot,
    metrics::Kind,
    passage::{Asked, Ending, Gate, Subject, Visitor, is_pages, reader_of, tunnel},
    policy::{ForgePermit, Interception, Protocol, Way},
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
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
    if downstream.send(ESTABLISHED).await.is_err() {
        return None;
    }
    let subject = subject?;
    let (destination, dialled, ending) = match opened {
        Opened::Tunnel(dialled, slot) => {
            tunnel(visitor, subject, asked, downstream, dialled, slot).await;
            return None;
        }
        Opened::Intercepted(beyond, slot) => {
            let opened = intercept::Opened { subject, asked, beyond, slot };
            intercept::serve(visitor, downstream, opened, draining).await;
            return None;
        }
        Opened::Pages(destination) => (destination, None, None),
        Opened::Http(dialled, slot) => {
            let ending = Ending::new(&visitor.gate, &subject, &asked, Some(&dialled), slot);
            (dialled.permit().destination().clone(), Some(dialled), Some(ending))
        }
    };
    let traffic = ending.as_ref().map_or_else(|| Arc::new(visitor.gate.traffic(&subject)), |ending| Arc::clone(ending.traffic()));
    let inside = Inside::tunnel(subject.clone(), destination.clone(), dialled, traffic);
    let stopped = forward::serve(visitor, downstream, inside, draining).await;
    drop(ending);
    if let Some(stopped) = stopped {
        asked.destination = Some(destination);
        refuse_inside(visitor, &subject, &asked, stopped).await;
    }
    None
}

enum Opened {
    Pages(Destination),
    Http(Dialled, Slot),
    Tunnel(Dialled, Slot),
    /// TLS that ends here.
    Intercepted(Beyond, Slot),
}

/// The order is the contract's: syntax, session, policy, limits, address.
async fn open(visitor: &Visitor, head: &Head, asked: &mut Asked, subject: &mut Option<Subject>) -> Result<Opened, Refusal> {
    let gate = &visitor.gate;
    let destination = match target::parse(&head.method, head.target.as_bytes()) {
        Ok(RequestTarget::Authority(destination)) => destination,
        Ok(_) => return Err(Refusal::new(Reason::BadRequest, "CONNECT takes host:port as its target.")),
        Err(error) => return Err(Refusal::new(error.reason(), format!("The target of CONNECT was refused: {error}."))),
    };
    asked.destination = Some(destination.clone());
    let subject = subject.insert(visitor.identify(|| presented(head.values("proxy-authorization"))).await?);
    if is_pages(&destination) {
        return if destination.port == 80 { Ok(Opened::Pages(destination)) } else { Err(Refusal::new(Reason::PortNotAllowed, PAGES_PORT)) };
    }
    if let Some(judged) = gate.forge_hosts.decide(&destination, Way::Connect) {
        return open_forge(gate, subject, asked, head, judged?).await;
    }
    let permit = gate.paced(subject, gate.decide(subject, &destination, Way::Connect)).await?;
    let interception = permit.interception();
    if let Some(interception) = &interception {
        check_authority(gate, interception)?;
    }
    if let Some(host) = &head.host {
        asked.would_deny = permit.expectation().decide_host(&host.destination(destination.port))?.would_deny();
    }
    gate.count_upstream(subject).await?;
    let slot = gate.within(subject.session.limits().tunnel())?;
    let admitted = gate.admit(subject, asked, permit).await?;
    let protocol = admitted.permit().protocol();
    Ok(match (interception, protocol) {
        (Some(interception), _) => Opened::Intercepted(Beyond::Upstream(interception, Box::new(gate.upstream.dial(admitted).await?)), slot),
        (None, Protocol::Http) => Opened::Http(gate.upstream.dial_plain(admitted).await?, slot),
        (None, Protocol::Tls | Protocol::Any) => Opened::Tunnel(gate.upstream.dial(admitted).await?, slot),
    })
}

/// To a host of a GitHub: what may be done there is decided inside, by grants.
async fn open_forge(gate: &Gate, subject: &Subject, asked: &Asked, head: &Head, permit: ForgePermit) -> Result<Opened, Refusal> {
    let interception = permit.interception();
    check_authority(gate, &interception)?;
    if let Some(host) = &head.host {
        interception.expectation().decide_host(&host.destination(permit.destination().port))?;
    }
    gate.count_upstream(subject).await?;
    let slot = gate.within(subject.session.limits().tunnel())?;
    gate.record_leave(subject, asked)?;
    Ok(Opened::Intercepted(Beyond::Forge(permit), slot))
}

/// Whoever has to be read is never let through unread.
fn check_authority(gate: &Gate, interception: &Interception) -> Result<(), Refusal> {
    gate.authority.get((gate.clock)()).map(drop).map_err(|error| {
        let destination = interception.destination();
        tracing::error!(%destination, %error, "refused: requests to it have to be read, and no authority can be used");
        Refusal::new(Reason::PolicyUnavailable, NO_AUTHORITY)
    })
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

const NO_AUTHORITY: &str =
    "Requests to this destination have to be read, and this proxy cannot; the operator finds the cause in Tidegate's log.";
const PAGES_PORT: &str = "This proxy's own pages are served on port 80: http://tidegate.internal/.";

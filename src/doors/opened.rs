//! A connection whose one destination is known, by whichever door it came: decided, resolved, judged by address and dialled; then run
//! to its end.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    forge,
    forward::{self, Inside, refuse_inside},
    intercept::{self, Beyond},
    serving,
};
use crate::{
    destination::Destination,
    downstream::Downstream,
    limits::Slot,
    passage::{Asked, Ending, Gate, Subject, Visitor, is_pages, tunnel},
    policy::{ForgePermit, Interception, Protocol, Way},
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
    wire::http1::HostField,
};

/// Where it leads, before any of its bytes was judged.
pub(super) enum Opened {
    Pages(Destination),
    Http(Dialled, Slot),
    Tunnel(Dialled, Slot),
    /// TLS that ends here.
    Intercepted(Beyond, Slot),
    /// Plain requests to the host of a GitHub.
    Forge(ForgePermit, Slot),
}

/// Opens one to `destination`; `host` is named beside it, and has to be the same. The order is the contract's: policy, limits, address.
pub(super) async fn open(
    gate: &Gate,
    subject: &Subject,
    asked: &mut Asked,
    destination: Destination,
    host: Option<&HostField>,
) -> Result<Opened, Refusal> {
    asked.destination = Some(destination.clone());
    if is_pages(&destination) {
        return if destination.port == 80 { Ok(Opened::Pages(destination)) } else { Err(Refusal::new(Reason::PortNotAllowed, PAGES_PORT)) };
    }
    let beyond = match gate.forge_hosts.decide(&destination, Way::Connect) {
        Some(judged) => Some(Beyond::Forge(judged?)),
        None => gate.forge_hosts.decide_files(&destination, Way::Connect).map(Beyond::Files),
    };
    if let Some(beyond) = beyond {
        return open_forge(gate, subject, asked, host, beyond).await;
    }
    let permit = gate.paced(subject, gate.decide(subject, &destination, Way::Connect)).await?;
    let interception = permit.interception();
    if let Some(interception) = &interception {
        check_authority(gate, interception)?;
    }
    if let Some(host) = host {
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

/// To a host of a GitHub or of its files: what may be done there is decided inside, by grants.
async fn open_forge(gate: &Gate, subject: &Subject, asked: &Asked, host: Option<&HostField>, beyond: Beyond) -> Result<Opened, Refusal> {
    let interception = beyond.interception();
    let plain = match &beyond {
        Beyond::Forge(permit) if permit.is_plain() => Some(permit.clone()),
        Beyond::Upstream(..) | Beyond::Forge(_) | Beyond::Files(_) => None,
    };
    if plain.is_none() {
        check_authority(gate, &interception)?;
    }
    if let Some(host) = host {
        interception.expectation().decide_host(&host.destination(interception.destination().port))?;
    }
    gate.count_upstream(subject).await?;
    let slot = gate.within(subject.session.limits().tunnel())?;
    gate.record_leave(subject, asked)?;
    Ok(match plain {
        Some(permit) => Opened::Forge(permit, slot),
        None => Opened::Intercepted(beyond, slot),
    })
}

/// Whoever has to be read is never let through unread.
fn check_authority(gate: &Gate, interception: &Interception) -> Result<(), Refusal> {
    gate.authority.get((gate.clock)()).map(drop).map_err(|error| {
        let destination = interception.destination();
        tracing::error!(%destination, %error, "refused: requests to it have to be read, and no authority can be used");
        Refusal::new(Reason::PolicyUnavailable, NO_AUTHORITY)
    })
}

impl Opened {
    /// Runs it to its end, and records that.
    pub(super) async fn run(
        self,
        visitor: &Arc<Visitor>,
        subject: Subject,
        asked: Asked,
        downstream: Downstream,
        draining: &watch::Receiver<bool>,
    ) {
        let (ending, stopped) = match self {
            Self::Tunnel(dialled, slot) => return tunnel(visitor, subject, asked, downstream, dialled, slot).await,
            Self::Intercepted(beyond, slot) => {
                let opened = intercept::Opened { subject, asked, beyond, slot };
                return intercept::serve(visitor, downstream, opened, draining).await;
            }
            Self::Pages(destination) => {
                let traffic = Arc::new(visitor.gate.traffic(&subject));
                let inside = Inside::tunnel(subject.clone(), destination, None, traffic);
                (None, forward::serve(visitor, downstream, inside, draining).await)
            }
            Self::Http(dialled, slot) => {
                let ending = Ending::new(&visitor.gate, &subject, &asked, Some(&dialled), slot);
                let (destination, traffic) = (dialled.permit().destination().clone(), Arc::clone(ending.traffic()));
                let inside = Inside::tunnel(subject.clone(), destination, Some(dialled), traffic);
                (Some(ending), forward::serve(visitor, downstream, inside, draining).await)
            }
            Self::Forge(permit, slot) => {
                let ending = Ending::new(&visitor.gate, &subject, &asked, None, slot);
                let inside = forge::Tunnel { permit, subject: subject.clone(), traffic: Arc::clone(ending.traffic()) };
                (Some(ending), serving::serve(downstream, draining, |request| forge::answer(visitor, &inside, request)).await)
            }
        };
        drop(ending);
        if let Some(stopped) = stopped {
            refuse_inside(visitor, &subject, &asked, stopped).await;
        }
    }
}

const NO_AUTHORITY: &str =
    "Requests to this destination have to be read, and this proxy cannot; the operator finds the cause in Tidegate's log.";
const PAGES_PORT: &str = "This proxy's own pages are served on port 80: http://tidegate.internal/.";

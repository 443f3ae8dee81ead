//! A tunnel after it was permitted: its first bytes judged, then bytes both ways until it ends or may no longer be.

use super::{
    Asked, Gate, Subject, Visitor,
    ending::Ending,
    farewell::part,
    relay::{End, Unseen, relay},
    standing::Stream,
    traffic::Traffic,
};
use crate::{
    downstream::{Downstream, HelloFailure},
    limits::Slot,
    policy::{Cleared, Expectation, HelloFacts, Protocol, Way},
    respond::Refusal,
    upstream::Dialled,
};

/// Runs a tunnel to its end and records the end. Nothing goes upstream before the first bytes are judged.
pub(crate) async fn tunnel(visitor: &Visitor, subject: Subject, asked: Asked, mut downstream: Downstream, dialled: Dialled, slot: Slot) {
    let gate = &visitor.gate;
    let mut ending = Ending::new(gate, &subject, &asked, Some(&dialled), slot);
    match judge(gate, &mut downstream, &dialled).await {
        Ok(cleared) => {
            ending.shows(cleared.would_deny());
            let outcome = carry(gate, &subject, downstream, dialled, cleared, ending.traffic()).await;
            ending.end(outcome.err());
        }
        Err(turned_back) => {
            drop(dialled);
            turned_back.end(downstream, ending).await;
        }
    }
}

/// Why a tunnel ends at its first bytes.
pub(crate) enum TurnedBack {
    Refused(Refusal),
    /// It was closed before there were any, as by clients that try several addresses at once and keep one: nothing was asked for.
    Unused,
}

impl<E: Into<Refusal>> From<E> for TurnedBack {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl TurnedBack {
    /// Ends the tunnel, once the upstream is let go: a sandbox that will not hang up holds nothing but its own connection.
    pub(crate) async fn end(self, downstream: Downstream, ending: Ending) {
        match self {
            Self::Refused(refusal) => {
                let answer = ending.answer(&refusal, downstream.opening_so_far());
                ending.end(Some(refusal));
                part(downstream, answer).await;
            }
            Self::Unused => ending.end(None),
        }
    }
}

/// Bytes both ways until both have ended; the error is why the tunnel ended before its time.
async fn carry(
    gate: &Gate,
    subject: &Subject,
    downstream: Downstream,
    dialled: Dialled,
    cleared: Cleared,
    traffic: &Traffic,
) -> Result<(), Refusal> {
    let destination = dialled.permit().destination().clone();
    let stream = Stream { subject: subject.clone(), destination, way: Way::Connect, address: dialled.address() };
    let mut upstream = dialled.open(cleared);
    let (mut sandbox, early) = downstream.into_parts();
    let (mut up, mut down) = (Unseen, Unseen);
    let carried = relay(sandbox.split(), early, upstream.split(), gate.patience.idle, traffic, (&mut up, &mut down));
    let ended = tokio::select! {
        // What was withdrawn while it was dialled sends nothing.
        biased;
        refusal = stream.withdrawn_or_intercepted(gate) => Err(refusal),
        end = carried => match end {
            End::Exhausted(exhausted) => Err(exhausted.into()),
            end @ (End::Closed | End::Broken | End::Idle) => Ok(end),
        },
    };
    if !matches!(ended, Ok(End::Closed | End::Idle)) {
        let _ = (sandbox.set_zero_linger(), upstream.set_zero_linger());
    }
    tracing::debug!(destination = %stream.destination, ?ended, "tunnel ended");
    ended.map(drop)
}

async fn judge(gate: &Gate, downstream: &mut Downstream, dialled: &Dialled) -> Result<Cleared, TurnedBack> {
    let expectation = dialled.permit().expectation();
    if expectation.protocol() == Protocol::Any {
        return Ok(expectation.decide_opaque()?);
    }
    judge_hello(gate, downstream, &expectation).await
}

/// Judges the `ClientHello` of a tunnel, which stays on the stream.
pub(crate) async fn judge_hello(gate: &Gate, downstream: &mut Downstream, expectation: &Expectation) -> Result<Cleared, TurnedBack> {
    let hello = downstream.client_hello().await.map_err(|failure| match failure {
        HelloFailure::Unused => TurnedBack::Unused,
        HelloFailure::Refused(_) | HelloFailure::Late(_) | HelloFailure::Closed => {
            Refusal::from(failure).of(expectation.destination()).into()
        }
    })?;
    let server_name = hello.server_name.as_ref().map(|name| name.as_str().as_bytes());
    if let Some(server_name) = server_name {
        gate.forge_hosts.decide_server_name(expectation.destination(), server_name)?;
    }
    Ok(expectation.decide_hello(&HelloFacts { server_name, encrypted: hello.encrypted })?)
}

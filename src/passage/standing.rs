//! What was opened under one policy, held to those that come after it.

use std::{net::IpAddr, time::SystemTime};

use tokio::time::sleep;

use super::{Gate, Subject};
use crate::{
    destination::Destination,
    policy::{Facts, Permit, RequestFacts, Way},
    reason::Reason,
    respond::Refusal,
};

/// A tunnel or an exchange that is under way.
pub(crate) struct Stream {
    /// Whose it is, under the policy of when it began.
    pub(crate) subject: Subject,
    pub(crate) destination: Destination,
    pub(crate) way: Way,
    /// The destination's address that was dialled, where it is known.
    pub(crate) address: Option<IpAddr>,
}

/// What a request says that rules judge; its host was judged when it came.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) method: Box<str>,
    pub(super) origin_form: Box<str>,
}

impl Said {
    fn facts(&self) -> RequestFacts<'_> {
        RequestFacts { method: &self.method, host: None, target: None, origin_form: &self.origin_form, body_length: None }
    }
}

impl Stream {
    /// Ends once it may no longer be: its session is over, the entry that allowed it has ended, or a policy of a later
    /// generation refuses it.
    pub(crate) async fn withdrawn(&self, gate: &Gate) -> Refusal {
        withdrawn(gate, || self.judge(gate, |_| Ok(()))).await
    }

    /// The same for one request: it ends too once a rule refuses it.
    pub(super) async fn withdrawn_from(&self, gate: &Gate, said: &Said) -> Refusal {
        let may_go_on = |permit: &Permit| permit.expectation().decide_request(&said.facts()).map(drop).map_err(Refusal::from);
        withdrawn(gate, || self.judge(gate, may_go_on)).await
    }

    /// The same for one that nobody reads: it ends too once a policy wants it read.
    pub(super) async fn withdrawn_or_intercepted(&self, gate: &Gate) -> Refusal {
        withdrawn(gate, || self.judge(gate, may_be_opaque)).await
    }

    /// Judges it by the policy of now. Gives back when that verdict may change by itself.
    fn judge(&self, gate: &Gate, also: impl Fn(&Permit) -> Result<(), Refusal>) -> Result<Option<SystemTime>, Refusal> {
        let Self { destination, way, address, .. } = self;
        let subject = gate.again(&self.subject)?;
        let judged = || {
            let permit = subject.policy().decide_destination(&Facts { destination, way: *way, now: (gate.clock)() })?;
            also(&permit)?;
            let until = [subject.governing.expires, permit.until()].into_iter().flatten().min();
            gate.upstream.readmit(permit, *address)?;
            Ok(until)
        };
        judged().map_err(|refusal| Refusal { generation: Some(subject.governing.generation), ..refusal })
    }
}

fn may_be_opaque(permit: &Permit) -> Result<(), Refusal> {
    if permit.interception().is_some() {
        let detail = format!("The policy now wants requests to {} to be read; connect again.", permit.destination());
        return Err(Refusal::new(Reason::OpaqueTunnel, detail));
    }
    Ok(())
}

/// Ends once the session is over.
pub(crate) async fn session_over(gate: &Gate, subject: &Subject) -> Refusal {
    withdrawn(gate, || Ok(gate.again(subject)?.governing.expires)).await
}

/// Ends once `judge` refuses. It is asked at once, whenever sessions or policies change, and when the moment comes that it names,
/// at which its verdict may change by itself.
pub(crate) async fn withdrawn(gate: &Gate, judge: impl Fn() -> Result<Option<SystemTime>, Refusal>) -> Refusal {
    let mut generation = gate.sessions.generation();
    loop {
        generation.mark_unchanged();
        let until = match judge() {
            Ok(until) => until.and_then(|until| until.duration_since((gate.clock)()).ok()),
            Err(refusal) => return refusal,
        };
        tokio::select! {
            Ok(()) = generation.changed() => {}
            () = async { sleep(until.unwrap_or_default()).await }, if until.is_some() => {}
            else => std::future::pending().await,
        }
    }
}

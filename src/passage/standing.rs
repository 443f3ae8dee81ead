//! What was opened under one policy, held to those that come after it.

use std::{net::IpAddr, time::SystemTime};

use tokio::time::sleep;

use super::{Gate, Subject};
use crate::{
    destination::Destination,
    policy::{Facts, Way},
    respond::Refusal,
};

/// A tunnel or an exchange that is under way.
pub(super) struct Stream {
    /// Whose it is, under the policy of when it began.
    pub(super) subject: Subject,
    pub(super) destination: Destination,
    pub(super) way: Way,
    /// The address that was dialled.
    pub(super) address: IpAddr,
}

impl Stream {
    /// Ends once it may no longer be: its session is over, the entry that allowed it has ended, or a policy of a later
    /// generation refuses it.
    pub(super) async fn withdrawn(&self, gate: &Gate) -> Refusal {
        withdrawn(gate, || self.judge(gate)).await
    }

    /// Judges it by the policy of now. Gives back when that verdict may change by itself.
    fn judge(&self, gate: &Gate) -> Result<Option<SystemTime>, Refusal> {
        let Self { destination, way, address, .. } = self;
        let subject = gate.again(&self.subject)?;
        let permit = subject.policy().decide_destination(&Facts { destination, way: *way, now: (gate.clock)() })?;
        let until = [subject.governing.expires, permit.until()].into_iter().flatten().min();
        permit.admit(&[*address], &gate.upstream.own())?;
        Ok(until)
    }
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

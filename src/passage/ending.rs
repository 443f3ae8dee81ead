//! The end of a tunnel or of a stream: counted and recorded however it comes about.

use std::{net::IpAddr, sync::Arc};

use super::{Asked, Gate, Subject, farewell::answer, standing::Stream, traffic::Traffic};
use crate::{
    limits::Slot,
    metrics::Open,
    policy::{Permit, RuleRef},
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
    wire::opening::Opening,
};

/// Holds a tunnel's place while it lasts, and records the end of a tunnel or stream when it is dropped, so that one that is cut
/// off when the process ends is recorded too.
pub(crate) struct Ending {
    gate: Arc<Gate>,
    subject: Subject,
    asked: Asked,
    address: Option<IpAddr>,
    rule: Option<RuleRef>,
    would_deny: Option<Reason>,
    traffic: Arc<Traffic>,
    /// Why it ended before its time.
    refusal: Option<Refusal>,
    place: Option<(Slot, Open)>,
}

impl Ending {
    /// Of a tunnel; one that ends at this proxy has dialled nothing.
    pub(crate) fn new(gate: &Arc<Gate>, subject: &Subject, asked: &Asked, dialled: Option<&Dialled>, slot: Slot) -> Self {
        let permit = dialled.map(Dialled::permit);
        Self {
            gate: Arc::clone(gate),
            subject: subject.clone(),
            asked: asked.clone(),
            address: dialled.and_then(Dialled::address),
            rule: permit.and_then(|permit| permit.rule().cloned()),
            would_deny: permit.and_then(Permit::would_deny),
            traffic: Arc::new(gate.traffic(subject)),
            refusal: None,
            place: Some((slot, gate.metrics.tunnel())),
        }
    }

    /// Of a WebSocket. It holds no place of its own where it is all that a tunnel carries.
    pub(super) fn of_socket(
        gate: &Arc<Gate>,
        stream: &Stream,
        asked: &Asked,
        rule: Option<RuleRef>,
        traffic: Arc<Traffic>,
        slot: Option<Slot>,
    ) -> Self {
        let mut ending = Self::of_exchange(gate, &stream.subject, asked, traffic);
        (ending.address, ending.rule) = (stream.address, rule);
        ending.place = slot.map(|slot| (slot, gate.metrics.tunnel()));
        ending
    }

    /// Of an exchange that is no tunnel.
    pub(crate) fn of_exchange(gate: &Arc<Gate>, subject: &Subject, asked: &Asked, traffic: Arc<Traffic>) -> Self {
        Self {
            gate: Arc::clone(gate),
            subject: subject.clone(),
            asked: asked.clone(),
            address: None,
            rule: None,
            would_deny: asked.would_deny,
            traffic,
            refusal: None,
            place: None,
        }
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// What its first bytes would have been refused for, had report mode not let them through.
    pub(crate) fn shows(&mut self, would_deny: Option<Reason>) {
        self.would_deny = self.would_deny.or(would_deny);
    }

    /// It ends before its time.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// The answer to whoever is refused, in the language of these first bytes.
    pub(super) fn answer(&self, refusal: &Refusal, opening: Option<Opening>) -> Option<Vec<u8>> {
        answer(&self.gate, Some(&self.subject), &self.asked, refusal, opening)
    }

    /// Ends it, before its time where a refusal says so.
    pub(crate) fn end(mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Free before anyone can read that it is.
        self.place = None;
        let Self { gate, subject, asked, traffic, .. } = self;
        let record = asked.record().by(self.rule.as_ref()).at(self.address).would_deny(self.would_deny);
        let record = record.ended(traffic.up(), traffic.down(), traffic.duration());
        match self.refusal.take() {
            // Nobody is left to be told that the end of a tunnel could not be recorded.
            None => drop(gate.record(Some(subject), record)),
            Some(refusal) => drop(gate.note(Some(subject), asked, refusal, record)),
        }
    }
}

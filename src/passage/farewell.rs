//! How a connection ends that is refused at its first bytes: in the language of whoever sent them.

use super::{Asked, Gate, Subject};
use crate::{
    downstream::Downstream,
    metrics::Door,
    respond::{Refusal, in_language},
    wire::opening::Opening,
};

impl Gate {
    /// Records a refusal, remembers it for the session's pages, and words the answer in the language of these first bytes.
    pub(crate) fn refuse_opening(
        &self,
        subject: Option<&Subject>,
        asked: &Asked,
        refusal: Refusal,
        opening: Option<Opening>,
    ) -> Option<Vec<u8>> {
        let refusal = self.note(subject, asked, refusal, asked.record());
        answer(self, subject, asked, &refusal, opening)
    }
}

/// Whoever has opened a tunnel by CONNECT was answered already, and is sent an alert or nothing.
pub(super) fn answer(
    gate: &Gate,
    subject: Option<&Subject>,
    asked: &Asked,
    refusal: &Refusal,
    opening: Option<Opening>,
) -> Option<Vec<u8>> {
    if !speaks_to_the_origin(asked.door) && opening != Some(Opening::Tls) {
        return Some(Vec::new());
    }
    in_language(opening?, refusal, &asked.context(gate, subject, refusal))
}

/// Whether a client of this door has no proxy in mind while it speaks: what it is told has to be in the language that it has chosen.
pub(crate) fn speaks_to_the_origin(door: Door) -> bool {
    matches!(door, Door::Socks | Door::Transparent)
}

/// Sends a last answer and closes. Whoever speaks nothing that could be answered is broken off, since what ends well looks whole: the
/// reason stands on the session's pages.
pub(crate) async fn part(mut downstream: Downstream, answer: Option<Vec<u8>>) {
    let Some(answer) = answer else { return downstream.reset() };
    let _ = downstream.send(&answer).await;
    downstream.close().await;
}

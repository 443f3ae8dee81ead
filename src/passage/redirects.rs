//! Redirects to other hosts: remembered where an answer makes one, named where its target is refused.

use std::{fmt::Write as _, time::SystemTime};

use http::{Response, header};

use super::{Gate, Subject};
use crate::{destination::Destination, policy::Denial, wire::location::redirected_to};

/// Remembers where an answer of `from` sends the session, if that is another host.
pub(super) fn remember<B>(gate: &Gate, subject: &Subject, from: &Destination, secure: bool, response: &Response<B>) {
    let location = response.headers().get(header::LOCATION);
    let to = location.and_then(|location| redirected_to(response.status().as_u16(), location.as_bytes(), secure));
    if let Some(to) = to.filter(|to| to.host != from.host) {
        subject.session.redirects().remember(from.clone(), to, (gate.clock)());
    }
}

/// Names what led to a destination that is refused, and gives it back.
pub(super) fn explain(subject: &Subject, denial: &mut Denial, now: SystemTime) -> Option<Destination> {
    if !denial.reason.is_of_destination() {
        return None;
    }
    let to = Destination { host: denial.host.clone()?, port: denial.port? };
    let from = subject.session.redirects().leading_to(&to, now)?;
    let _ = write!(denial.detail, " An answer sent the sandbox there: allowed {from} redirects to refused {to}.");
    Some(from)
}

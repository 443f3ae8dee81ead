//! What a session does, taken off what its limits allow.

use http::{HeaderMap, Method, Uri};
use tokio::time::sleep;

use super::{Gate, Subject, headers, traffic::Traffic};
use crate::{
    destination::Name,
    limits::{Exhausted, Limit, Limited, soon},
    respond::Refusal,
};

impl Gate {
    /// Counts a limit that was met.
    pub(crate) fn within<T>(&self, limited: Result<T, Limited>) -> Result<T, Refusal> {
        limited.inspect_err(|limited| self.metrics.limited(limited.limit)).map_err(Refusal::from)
    }

    /// Counts one request, after a short wait where that is all it needs.
    pub(crate) async fn count_request(&self, subject: &Subject) -> Result<(), Refusal> {
        self.within(soon(|| subject.session.limits().request()).await)
    }

    /// Gives back what was decided, and counts what was refused like any request. Whoever asks too often for what is refused anyway gets
    /// the same answer later: each one is written down.
    pub(crate) async fn paced<T>(&self, subject: &Subject, decided: Result<T, Refusal>) -> Result<T, Refusal> {
        if decided.is_err()
            && let Err(limited) = soon(|| subject.session.limits().request()).await
        {
            self.metrics.limited(limited.limit);
            sleep(limited.retry_after()).await;
        }
        decided
    }

    /// Counts one request that is to go upstream, where its session may still send anything.
    pub(crate) async fn count_upstream(&self, subject: &Subject) -> Result<(), Refusal> {
        self.within_budget(subject.session.limits().octets().may_send())?;
        self.count_request(subject).await
    }

    /// Takes the head of a request off what its session may send: about as long as it is in HTTP/1.1. One that is sent again because a
    /// connection was no longer good counts once.
    pub(crate) fn spend_head(&self, subject: &Subject, method: &Method, uri: &Uri, fields: &HeaderMap) -> Result<(), Refusal> {
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
        let octets = method.as_str().len() + target + headers::length(fields) + HEAD_FRAME;
        self.within_budget(subject.session.limits().octets().take_whole(octets as u64))
    }

    /// The same for a name that is asked for: whoever answers for it reads it.
    pub(super) fn spend_name(&self, subject: &Subject, name: &Name) -> Result<(), Refusal> {
        self.within_budget(subject.session.limits().octets().take_whole(name.as_str().len() as u64))
    }

    fn within_budget<T>(&self, taken: Result<T, Exhausted>) -> Result<T, Refusal> {
        taken.inspect_err(|_| self.metrics.limited(Limit::Uploads)).map_err(Refusal::from)
    }

    /// What a session sends and receives is counted in this, and held to its limits.
    pub(crate) fn traffic(&self, subject: &Subject) -> Traffic {
        Traffic::new(&self.metrics, subject.session.limits().octets())
    }
}

/// Spaces, version and line ends of the head of a request.
const HEAD_FRAME: usize = "  HTTP/1.1\r\n\r\n".len();

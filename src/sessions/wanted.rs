//! What a session is to be, by its configuration and its record.

use std::{sync::Arc, time::Duration};

use super::{
    FIRST, SessionSettings, SessionsError,
    digest::TokenDigest,
    policies::{Unusable, policy_of},
    record::{Bound, Record},
    requests::Requests,
    session::{Governing, Session},
    store::Found,
};
use crate::{
    credentials::Equipped,
    destination::Name,
    policy::{Access, Policy},
    reason::Reason,
};

/// A session as it is to be.
pub(super) struct Wanted {
    pub(super) id: Arc<str>,
    pub(super) configured: bool,
    pub(super) governing: Governing,
    pub(super) closed: Option<Reason>,
    /// What its grants are known to be for.
    pub(super) bound: Bound,
}

impl Wanted {
    pub(super) fn into_session(self) -> Arc<Session> {
        let session = Session::new(self.id, self.configured, self.governing).binding(self.bound);
        if let Some(reason) = self.closed {
            session.close(reason);
        }
        Arc::new(session)
    }
}

/// A session of the configuration with what its record remembers of it: that it was revoked, or what it was granted since.
pub(super) fn configured(settings: SessionSettings, found: Option<&Found>, first: Option<&Name>, generation: u64) -> Wanted {
    let SessionSettings { id, token, expires, policy, grant, credentials } = settings;
    let governing =
        Governing { expires, fixed: token.as_ref().map(TokenDigest::of), credentials, ..Governing::new(policy, grant, generation) };
    let (governing, closed) = match found {
        None => (governing, None),
        Some(Ok(record)) if !record.revoked => (with_requests(governing, &id, &record.requests(first)), None),
        Some(Ok(_) | Err(_)) => (governing, Some(Reason::SessionRevoked)),
    };
    let bound = found.and_then(|found| found.as_ref().ok()).map(|record| record.bound(first)).unwrap_or_default();
    Wanted { id, configured: true, governing, closed, bound }
}

/// What governs a session together with what it was granted; where that no longer fits, it is remembered and counts for nothing.
fn with_requests(governing: Governing, id: &str, requests: &Requests) -> Governing {
    governing.requesting(requests.clone()).unwrap_or_else(|error| {
        tracing::error!(id, %error, "what the owner granted this session no longer fits beside what is written, and is left out");
        Governing { requests: Arc::new(requests.clone()), ..governing }
    })
}

/// A session as its record has it. At a start it is refused where its policy cannot be used; later the reload is.
pub(super) fn recorded(
    record: &Record,
    first: Option<&Name>,
    default: Option<&Arc<Equipped>>,
    patience: Duration,
    generation: u64,
) -> Result<Wanted, SessionsError> {
    let id: Arc<str> = Arc::from(&*record.id);
    let grant = record.grant(first).map_err(|error| SessionsError::Grant(id.clone(), error.to_string()))?;
    let expires = record.expires();
    let closed = record.revoked.then_some(Reason::SessionRevoked);
    let (policy, closed) = match (closed, policy_of(record.policy.as_deref(), default, patience)) {
        (_, Ok(policy)) => (policy, closed),
        (Some(_), Err(_)) => (Arc::new(Equipped::bare(Policy::level(Access::None))), closed),
        (None, Err(Unusable { why, .. })) if generation > FIRST => return Err(SessionsError::Policy(id, why)),
        (None, Err(Unusable { why, files })) => {
            tracing::error!(id = &*id, why, "the policy of a session cannot be used, and the session is refused");
            (Arc::new(Equipped::bare(Policy::level(Access::None)).made_of(files)), Some(Reason::PolicyUnavailable))
        }
    };
    let governing = Governing { expires, ..Governing::new(policy, grant, generation) };
    let governing = with_requests(governing, &id, &record.requests(first));
    Ok(Wanted { id, configured: false, governing, closed, bound: record.bound(first) })
}

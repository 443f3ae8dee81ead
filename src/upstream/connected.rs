//! The connection that a request goes over: one of the session's own that has carried others, or a new one.

use std::net::{IpAddr, SocketAddr};

use http::Request;
use http_body::Body;

use super::{
    Dialled, Upstream,
    lease::Lease,
    pool::{Found, Home, Key},
};
use crate::policy::{Admitted, Cleared, Permit};

/// The connection that a request goes over.
pub(crate) enum Connected {
    /// A new one, and where it belongs afterwards; none where it is for this request alone.
    Dialled(Dialled, Option<Home>),
    Reused(Reused),
}

impl Connected {
    pub(super) fn permit(&self) -> &Permit {
        match self {
            Self::Dialled(dialled, _) => dialled.permit(),
            Self::Reused(reused) => reused.admitted.permit(),
        }
    }

    /// The destination's address that the connection leads to, which the request's permit has admitted; none where a parent proxy has
    /// resolved the name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.socket_address().map(|address| address.ip())
    }

    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Dialled(dialled, _) => dialled.reached.address,
            Self::Reused(reused) => reused.lease.address(),
        }
    }
}

/// A connection that has carried requests, and that this request's permit admitted.
pub(crate) struct Reused {
    lease: Lease,
    admitted: Admitted,
}

impl Reused {
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// Gives the connection to whoever shows that what goes over it was judged.
    pub(super) fn open(self, _cleared: &Cleared) -> (Lease, Admitted) {
        (self.lease, self.admitted)
    }
}

impl Upstream {
    /// A connection that has carried requests of the same key, where the permit admits its address now; else the permit again, and
    /// where a connection belongs that is dialled by it. Waits for whoever opens one that can be shared.
    pub(crate) async fn reuse<B>(&self, key: &Key, request: &Request<B>, mut permit: Permit) -> Result<Reused, (Permit, Home)>
    where
        B: Body,
    {
        loop {
            let lease = match self.pool.find(key, request.method(), is_repeatable(request)) {
                Found::Sole(sole, home) => Lease::Sole(sole, Some(home)),
                Found::Shared(shared, home) => Lease::stream(shared, Some(home)),
                Found::Wait(mut opening) => {
                    if opening.wait_for(|shared| *shared).await.is_err() {
                        return Err((permit, self.pool.home(key.clone())));
                    }
                    continue;
                }
                Found::Nothing(home) => return Err((permit, home)),
            };
            let admitted = self.leave_to_parent(permit).or_else(|permit| match lease.address() {
                Some(address) => permit.admit_open(address.ip(), &self.own.load()),
                None => Err(permit),
            });
            match admitted {
                Ok(admitted) => return Ok(Reused { lease, admitted }),
                Err(given_back) => {
                    permit = *given_back;
                    lease.retire();
                }
            }
        }
    }

    /// Where a connection belongs that is there already.
    pub(crate) fn home(&self, key: Key) -> Home {
        self.pool.home(key)
    }

    /// Closes all connections that wait for another request, and begins none on those in use.
    pub(crate) fn forget_connections(&self) {
        self.pool.forget_all();
    }
}

/// Whether a request may be sent twice: it has no body, and acting on it twice is the same as once (RFC 9110, section 9.2.2).
pub(super) fn is_repeatable<B: Body>(request: &Request<B>) -> bool {
    request.method().is_idempotent() && request.body().is_end_stream()
}

#[cfg(test)]
mod tests;

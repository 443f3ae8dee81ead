//! Where repositories are that are not on this machine.

use std::sync::Arc;

use crate::{
    credentials::Credential,
    destination::{Destination, Host, Name},
    endpoint::Endpoint,
    upstream::{ExchangeTimeouts, TlsClient},
};

/// A GitHub as the operator configured it.
pub(crate) struct Forge {
    /// The name that sandboxes know.
    pub(crate) host: Name,
    /// Where its git really is.
    pub(crate) git: Endpoint,
    pub(crate) tls: TlsClient,
    pub(crate) timeouts: ExchangeTimeouts,
    /// Of sessions that have none of their own.
    pub(crate) credential: Option<Arc<Credential>>,
    /// Whether a repository without a grant may be read as anybody may read it.
    pub(crate) public_read: bool,
}

impl Forge {
    /// What records and refusals call it.
    pub(crate) fn destination(&self) -> Destination {
        Destination { host: Host::Name(self.host.clone()), port: self.git.destination.port }
    }
}

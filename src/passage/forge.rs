//! Where repositories are that are not on this machine.

use std::sync::Arc;

use super::identities::Identities;
use crate::{
    credentials::Credential,
    destination::{Destination, Host, Name},
    endpoint::Endpoint,
    github::RepositoryName,
    upstream::{ExchangeTimeouts, TlsClient},
};

/// Every GitHub of the configuration, in its order.
#[derive(Default)]
pub(crate) struct Forges(Box<[Forge]>);

/// A GitHub as the operator configured it.
pub(crate) struct Forge {
    /// The name that sandboxes know.
    pub(crate) host: Name,
    /// Where its git really is.
    pub(crate) git: Endpoint,
    /// Where its API really is, if that is known.
    pub(crate) api: Option<Endpoint>,
    /// Where archives and single files of its repositories really are, if that is known.
    pub(crate) archives: Option<Endpoint>,
    pub(crate) raw: Option<Endpoint>,
    pub(crate) tls: TlsClient,
    pub(crate) timeouts: ExchangeTimeouts,
    /// Of sessions that have none of their own for it.
    pub(crate) credential: Option<Arc<Credential>>,
    /// What its API said.
    pub(crate) identities: Identities,
}

impl Forges {
    pub(crate) fn new(forges: impl IntoIterator<Item = Forge>) -> Self {
        Self(forges.into_iter().collect())
    }

    /// Where a repository is: at the first one where its name is without a host.
    pub(crate) fn of(&self, repository: &RepositoryName) -> Option<&Forge> {
        match repository.host() {
            None => self.0.first(),
            Some(host) => self.0.iter().find(|forge| forge.host == *host),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Forge> {
        self.0.iter()
    }
}

impl Forge {
    /// What records and refusals call it.
    pub(crate) fn destination(&self) -> Destination {
        Destination { host: Host::Name(self.host.clone()), port: self.git.destination.port }
    }
}

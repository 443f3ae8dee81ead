//! Where repositories are that are not on this machine.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{identities::Identities, restraint::Restraint};
use crate::{
    credentials::GithubCredential,
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
    /// Where files beside a release are sent, if that is known.
    pub(crate) uploads: Option<Endpoint>,
    /// Where archives and single files of its repositories really are, if that is known.
    pub(crate) archives: Option<Endpoint>,
    pub(crate) raw: Option<Endpoint>,
    pub(crate) tls: TlsClient,
    pub(crate) timeouts: ExchangeTimeouts,
    /// Of sessions that have none of their own for it.
    pub(crate) credential: Option<Arc<GithubCredential>>,
    /// What its API said.
    pub(crate) identities: Identities,
    /// What it showed to nobody in particular.
    pub(crate) shown: Shown,
    /// What stands below each comment; `{session}` in it is whose.
    pub(crate) footer: Option<Box<str>>,
    /// How long its API wants to be left alone.
    pub(crate) restraint: Restraint,
}

/// Repositories that a GitHub showed without any credential, each for [`SHOWN`].
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<HashMap<RepositoryName, SystemTime>>);

impl Shown {
    pub(crate) fn holds(&self, repository: &RepositoryName, now: SystemTime) -> bool {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(repository).is_some_and(|since| now.duration_since(*since).is_ok_and(|age| age <= SHOWN))
    }

    pub(crate) fn learn(&self, repository: RepositoryName, now: SystemTime) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= MAX_SHOWN {
            shown.clear();
        }
        shown.insert(repository, now);
    }
}

/// A repository that was public may be private from one minute to the next.
const SHOWN: Duration = Duration::from_secs(60);
const MAX_SHOWN: usize = 10_000;

impl Forges {
    pub(crate) fn new(forges: impl IntoIterator<Item = Forge>) -> Self {
        Self(forges.into_iter().collect())
    }

    /// Where a repository is: at the first one where its name is without a host.
    pub(crate) fn of(&self, repository: &RepositoryName) -> Option<&Forge> {
        self.find(repository.host())
    }

    /// The one of this name, or the first.
    pub(crate) fn find(&self, host: Option<&Name>) -> Option<&Forge> {
        match host {
            None => self.0.first(),
            Some(host) => self.0.iter().find(|forge| forge.host == *host),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Forge> {
        self.0.iter()
    }
}

impl Forge {
    /// Where a link leads that an answer of its own named, if that is a place of the operator's: none other is this GitHub itself.
    pub(crate) fn place(&self, secure: bool, destination: &Destination) -> Option<&Endpoint> {
        let parts = [self.api.as_ref(), self.archives.as_ref(), self.raw.as_ref(), self.uploads.as_ref()];
        let known = parts.into_iter().flatten().chain([&self.git]);
        known.into_iter().find(|endpoint| endpoint.secure == secure && endpoint.destination == *destination)
    }

    /// What records and refusals call it.
    pub(crate) fn destination(&self) -> Destination {
        Destination { host: Host::Name(self.host.clone()), port: self.git.destination.port }
    }
}

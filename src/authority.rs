//! The local certificate authority, and the TLS configurations by which hosts are served whose connections are intercepted.

mod validity;
mod root;
mod trusted;
mod store;
mod served;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::ServerConfig;

use self::{
    root::{Root, Trouble},
    served::Served,
};
pub(crate) use self::{trusted::Trusted, validity::validity_of};
use crate::{
    metrics::{Leaf, Metrics},
    policy::Interception,
};

/// An authority that is opened at its first need, so that who intercepts nothing has none.
pub(crate) struct LocalAuthority {
    state: Option<PathBuf>,
    metrics: Arc<Metrics>,
    opened: OnceLock<Arc<Authority>>,
    /// Why it could not be opened, and when; held by who opens it.
    failed: Mutex<Option<(SystemTime, AuthorityError)>>,
}

impl LocalAuthority {
    /// Kept in the directory `state`. One that is there already is opened at once.
    ///
    /// # Errors
    /// One that is there and cannot be used.
    pub(crate) fn new(state: Option<&Path>, metrics: Arc<Metrics>, now: SystemTime) -> Result<Self, AuthorityError> {
        let local = Self { state: state.map(Path::to_owned), metrics, opened: OnceLock::new(), failed: Mutex::default() };
        if state.is_some_and(store::exists) {
            local.get(now)?;
        }
        Ok(local)
    }

    /// One that is kept nowhere.
    pub(crate) fn of(authority: Authority, metrics: Arc<Metrics>) -> Self {
        Self { state: None, metrics, opened: OnceLock::from(Arc::new(authority)), failed: Mutex::default() }
    }

    /// The authority; the first call opens it, and makes it where there is none yet. One that failed is
    /// tried again a second later.
    ///
    /// # Errors
    /// It cannot be used, or there is no place for it.
    pub(crate) fn get(&self, now: SystemTime) -> Result<Arc<Authority>, AuthorityError> {
        if let Some(authority) = self.opened.get() {
            return Ok(Arc::clone(authority));
        }
        let state = self.state.as_deref().ok_or_else(|| AuthorityError::new("there is no place for it: name one by [state] dir"))?;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever had the lock before may have opened it.
        if let Some(authority) = self.opened.get() {
            return Ok(Arc::clone(authority));
        }
        let lately = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < FAILURE_HOLDS);
        if let Some((_, error)) = failed.as_ref().filter(|(at, _)| lately(*at)) {
            return Err(error.clone());
        }
        let authority = Authority::open(state, now).inspect_err(|error| *failed = Some((now, error.clone())))?;
        Ok(Arc::clone(self.opened.get_or_init(|| Arc::new(authority))))
    }

    /// See [`Authority::server_config`]. Each call is counted.
    pub(crate) fn server_config(
        &self,
        session: &str,
        interception: &Interception,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let served = self.get(now).and_then(|authority| authority.server_config(session, interception, now));
        self.metrics.leaf(served.as_ref().map_or(Leaf::Failed, |(_, leaf)| *leaf));
        served.map(|(config, _)| config)
    }
}

/// The root that sandboxes trust, and what is served in its name.
pub(crate) struct Authority {
    root: Root,
    served: Served,
}

impl Authority {
    /// Opens the one that is kept in the directory `state`, or makes it: two starts at once agree, and a crash leaves nothing half.
    /// The bundle beside it is brought up to date.
    ///
    /// # Errors
    /// A key that others may read or that is not the certificate's, a root that has expired, one that Tidegate did not make, and
    /// the published test authority.
    pub(crate) fn open(state: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        let root = store::open(state, now)?;
        Ok(Self { root, served: Served::new().map_err(AuthorityError::new)? })
    }

    /// A new one that is gone with this process.
    pub(crate) fn make(now: SystemTime) -> Result<Self, AuthorityError> {
        let (root, _) = Root::make(now).map_err(AuthorityError::new)?;
        Ok(Self { root, served: Served::new().map_err(AuthorityError::new)? })
    }

    /// Where [`Authority::open`] puts the root together with the system's roots; for the JVM the same stands beside it as `.p12`.
    pub(crate) fn bundle(state: &Path) -> PathBuf {
        store::bundle(state)
    }

    /// The root in PEM.
    pub(crate) fn pem(&self) -> &str {
        self.root.pem()
    }

    /// The configuration by which the sandbox of `session` is served as the host of `interception`, until it is made anew. Asking again
    /// gives the same one, with its resumable TLS sessions, which are of this session and host alone.
    ///
    /// # Errors
    /// The root has expired, or there is no entropy.
    fn server_config(
        &self,
        session: &str,
        interception: &Interception,
        now: SystemTime,
    ) -> Result<(Arc<ServerConfig>, Leaf), AuthorityError> {
        self.served.get(&self.root, session, &interception.destination().host, now).map_err(AuthorityError::new)
    }
}

/// Why there is no authority, or no certificate of it. It never holds a key.
#[derive(Debug, Clone)]
pub(crate) struct AuthorityError(Trouble);

impl AuthorityError {
    fn new(trouble: impl Into<Trouble>) -> Self {
        Self(trouble.into())
    }

    fn of_file(path: &Path, why: &dyn fmt::Display) -> Self {
        Self(format!("cannot use {}: {why}", path.display()).into())
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate authority cannot be used: {}", self.0)
    }
}

impl std::error::Error for AuthorityError {}

/// For so long nobody tries to open what could not be opened.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

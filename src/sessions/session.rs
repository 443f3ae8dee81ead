//! One session as it runs: what governs it, what it has open, what was last refused to it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    OwnCredentials, heads::Heads, redirects::Redirects, requests::Requests, store::Bound, synthetic::Synthetic, transfers::Transfers,
    turns::Turns,
};
use crate::{
    audit::{bounded_method, bounded_path},
    credentials::Equipped,
    destination::Host,
    github::{RepositoryName, identity::RepositoryId},
    limits::SessionLimits,
    policy::{
        Denial, RuleRef,
        grant::{Grant, GrantError},
    },
    reason::Reason,
};

/// One session that was made, as no other ever was in this process: an id may come again once its session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64);

impl Identity {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self(MADE.fetch_add(1, Ordering::Relaxed))
    }
}

/// One sandbox's grant.
pub(crate) struct Session {
    identity: Identity,
    id: Arc<str>,
    /// It stands in the configuration; else it was made over the admin interface.
    configured: bool,
    limits: SessionLimits,
    governing: ArcSwap<Governing>,
    /// Why it holds no more, once it does not; it never holds again.
    closed: OnceLock<Reason>,
    refusals: Mutex<VecDeque<Refusal>>,
    redirects: Redirects,
    synthetic: Synthetic,
    /// Which repository each granted name was when it was first used.
    bound: Mutex<Bound>,
    heads: Heads,
    turns: Arc<Turns>,
    transfers: Transfers,
    /// Places for gits of this machine that work for it.
    gits: Arc<Semaphore>,
}

/// What a reload replaces at once, and an owner who grants what was asked for.
#[derive(Clone)]
pub(crate) struct Governing {
    /// As written, with what was granted since.
    pub(crate) policy: Arc<Equipped>,
    pub(crate) grant: Grant,
    pub(crate) written: Arc<Written>,
    /// What it asked its owner for.
    pub(crate) requests: Arc<Requests>,
    pub(crate) generation: u64,
    pub(crate) expires: Option<SystemTime>,
    /// Tokens that we signed prove it; else a fixed one of the operator's does.
    pub(crate) signed: bool,
    /// None for those made over the admin interface.
    pub(crate) credentials: OwnCredentials,
}

/// A session's rights as its configuration or its maker wrote them.
pub(crate) struct Written {
    pub(crate) policy: Arc<Equipped>,
    pub(crate) grant: Grant,
}

impl Governing {
    /// A session of the configuration or one that was made, which never asked for anything; proved by tokens that we sign, without end.
    pub(super) fn new(policy: Arc<Equipped>, grant: Grant, generation: u64) -> Self {
        let written = Arc::new(Written { policy: Arc::clone(&policy), grant: grant.clone() });
        Self {
            policy,
            grant,
            written,
            requests: Arc::default(),
            generation,
            expires: None,
            signed: true,
            credentials: OwnCredentials::new(),
        }
    }

    /// The same, whose owner decided so on its requests.
    ///
    /// # Errors
    /// More than a grant can hold, together with what is written.
    pub(super) fn requesting(&self, requests: Requests) -> Result<Self, GrantError> {
        let Written { policy, grant } = &*self.written;
        let grant = requests.repositories().try_fold(grant.clone(), |grant, wish| grant.granting(wish))?;
        let has_hosts = requests.hosts().next().is_some();
        let policy = if has_hosts { Arc::new(policy.granting(requests.hosts())) } else { Arc::clone(policy) };
        Ok(Self { policy, grant, requests: Arc::new(requests), ..self.clone() })
    }
}

impl Session {
    pub(super) fn new(id: Arc<str>, configured: bool, governing: Governing) -> Self {
        Self {
            identity: Identity::new(),
            limits: SessionLimits::new(&id, &governing.policy.limits()),
            id,
            configured,
            governing: ArcSwap::from_pointee(governing),
            closed: OnceLock::new(),
            refusals: Mutex::default(),
            redirects: Redirects::default(),
            synthetic: Synthetic::default(),
            bound: Mutex::default(),
            heads: Heads::default(),
            turns: Arc::default(),
            transfers: Transfers::default(),
            gits: Arc::new(Semaphore::new(MAX_GITS)),
        }
    }

    /// The same, of which it is known what its grants are for.
    pub(super) fn binding(self, bound: Bound) -> Self {
        Self { bound: Mutex::new(bound), ..self }
    }

    /// What the grant for a name is for, once that is known.
    pub(crate) fn bound(&self, repository: &RepositoryName) -> Option<RepositoryId> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).get(repository).copied()
    }

    /// Binds the grant for a name, unless it is bound already; and what it is for, and whether that is new.
    pub(super) fn bind(&self, repository: &RepositoryName, id: RepositoryId) -> (RepositoryId, bool) {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let before = bound.len();
        let id = *bound.entry(repository.clone()).or_insert(id);
        (id, bound.len() > before)
    }

    pub(super) fn govern(&self, governing: Governing) {
        self.limits.update(&governing.policy.limits());
        self.governing.store(Arc::new(governing));
    }

    /// Ends it for good.
    pub(super) fn close(&self, reason: Reason) {
        let _ = self.closed.set(reason);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.configured
    }

    pub(crate) fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// Where answers have sent it.
    pub(crate) fn redirects(&self) -> &Redirects {
        &self.redirects
    }

    /// What its names are called by inside.
    pub(crate) fn synthetic(&self) -> &Synthetic {
        &self.synthetic
    }

    /// The default branches of its repositories.
    pub(crate) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Which refs its pushes are about to change.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Its links to objects of Git LFS.
    pub(crate) fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Takes a place for a git of this machine, of which there are [`MAX_GITS`], or says that there is none.
    pub(crate) fn git(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gits).try_acquire_owned().ok()
    }

    /// The same for a push that is kept, on disk and its commits in memory: it takes the places of [`GITS_OF_A_KEPT_PUSH`].
    pub(crate) fn keeping(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gits).try_acquire_many_owned(GITS_OF_A_KEPT_PUSH).ok()
    }

    /// The policy in force and its generation: for one decision, not for as long as a stream lives.
    pub(crate) fn governing(&self) -> Arc<Governing> {
        self.governing.load_full()
    }

    /// Whether it still holds; for what was opened earlier.
    ///
    /// # Errors
    /// [`Reason::SessionExpired`], [`Reason::SessionRevoked`], [`Reason::PolicyUnavailable`].
    pub(crate) fn standing(&self, now: SystemTime) -> Result<(), Reason> {
        if let Some(reason) = self.closed.get() {
            return Err(*reason);
        }
        match self.governing.load().expires {
            Some(expires) if expires <= now => Err(Reason::SessionExpired),
            Some(_) | None => Ok(()),
        }
    }

    /// Remembers a refusal, forgetting the oldest above [`MAX_REFUSALS`].
    pub(crate) fn remember(&self, refusal: Refusal) {
        let mut refusals = self.lock();
        if refusals.len() == MAX_REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back(refusal);
    }

    /// The latest refusals, the last one first.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What was refused to a sandbox, as its own pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) time: SystemTime,
    pub(crate) reason: Reason,
    pub(crate) host: Option<Host>,
    pub(crate) port: Option<u16>,
    pub(crate) method: Option<String>,
    /// Without its query.
    pub(crate) path: Option<String>,
    pub(crate) rule: Option<RuleRef>,
    pub(crate) allow_with: Option<String>,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(denial: &Denial, time: SystemTime) -> Self {
        let Denial { reason, host, port, address: _, rule, allow_with, detail } = denial.clone();
        Self { time, reason, host, port, method: None, path: None, rule, allow_with, detail }
    }

    /// The same for a request; method and path are cut as in an audit record.
    #[must_use]
    pub(crate) fn requesting(self, method: &str, path: Option<&str>) -> Self {
        Self { method: Some(bounded_method(method).to_owned()), path: path.map(|path| bounded_path(path).to_owned()), ..self }
    }
}

/// Most gits of this machine that work for one session at once: each takes up to three processes and five descriptors.
pub(crate) const MAX_GITS: usize = 32;
/// A session has at most four kept pushes, each with up to 512 MiB on disk and some 64 MiB of memory.
const GITS_OF_A_KEPT_PUSH: u32 = 8;
/// Refusals that a session remembers.
pub(crate) const MAX_REFUSALS: usize = 100;

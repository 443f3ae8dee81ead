//! One session as it runs: what governs it, what it has open, what was last refused to it.

mod lineage;

use std::{
    collections::VecDeque,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::lineage::Lineage;
use super::{
    OwnCredentials,
    calls::Calls,
    digest::TokenDigest,
    heads::Heads,
    record::{Bound, Child},
    redirects::Redirects,
    refusal::Refusal,
    requests::Requests,
    synthetic::Synthetic,
    transfers::Transfers,
    turns::Turns,
};
use crate::{
    credentials::{Equipped, Tokens},
    github::{RepositoryName, identity::RepositoryId},
    limits::SessionLimits,
    policy::grant::{Grant, GrantError},
    reason::Reason,
    token::CHILD,
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
    /// Of it and its children together.
    limits: Arc<SessionLimits>,
    governing: Source,
    /// Why it holds no more, once it does not; it never holds again.
    closed: OnceLock<Reason>,
    refusals: Mutex<VecDeque<Refusal>>,
    redirects: Redirects,
    synthetic: Synthetic,
    /// Which repository each granted name was when it was first used.
    bound: Arc<Mutex<Bound>>,
    heads: Heads,
    calls: Calls,
    turns: Arc<Turns>,
    transfers: Transfers,
    tokens: Arc<Tokens>,
    /// Places for gits of this machine that work for it.
    gits: Arc<Semaphore>,
}

/// Where what governs a session comes from.
enum Source {
    Own(ArcSwap<Governing>),
    /// It is a token that may do less than its session.
    Parent(Lineage),
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
    /// The operator's own token that proves it; without one, tokens that we signed do.
    pub(super) fixed: Option<TokenDigest>,
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
            fixed: None,
            credentials: OwnCredentials::new(),
        }
    }

    /// Whether tokens that we sign prove it.
    pub(crate) fn is_signed(&self) -> bool {
        self.fixed.is_none()
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
            limits: Arc::new(SessionLimits::new(&id, &governing.policy.limits())),
            id,
            configured,
            governing: Source::Own(ArcSwap::from_pointee(governing)),
            closed: OnceLock::new(),
            refusals: Mutex::default(),
            redirects: Redirects::default(),
            synthetic: Synthetic::default(),
            bound: Arc::default(),
            heads: Heads::default(),
            calls: Calls::default(),
            turns: Arc::default(),
            transfers: Transfers::default(),
            tokens: Arc::default(),
            gits: Arc::new(Semaphore::new(MAX_GITS)),
        }
    }

    /// The same, of which it is known what its grants are for.
    pub(super) fn binding(self, bound: Bound) -> Self {
        Self { bound: Arc::new(Mutex::new(bound)), ..self }
    }

    /// A token of it that may do less. What it has open counts as the session's own.
    pub(super) fn child(self: &Arc<Self>, child: Child) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity::new(),
            id: child_id(self.root(), child.number).into(),
            configured: self.configured,
            limits: Arc::clone(&self.limits),
            closed: OnceLock::new(),
            refusals: Mutex::default(),
            redirects: Redirects::default(),
            synthetic: Synthetic::default(),
            bound: Arc::clone(&self.bound),
            heads: Heads::default(),
            turns: Arc::clone(&self.turns),
            transfers: Transfers::default(),
            tokens: Arc::clone(&self.tokens),
            calls: Calls::default(),
            gits: Arc::clone(&self.gits),
            governing: Source::Parent(Lineage::new(Arc::clone(self), child)),
        })
    }

    fn lineage(&self) -> Option<&Lineage> {
        match &self.governing {
            Source::Own(_) => None,
            Source::Parent(lineage) => Some(lineage),
        }
    }

    /// The session that a token which may do less asked for, or was asked for by.
    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        self.lineage().map(Lineage::parent)
    }

    /// What it was asked for as, where it may do less than its session.
    pub(super) fn as_child(&self) -> Option<&Child> {
        self.lineage().map(Lineage::child)
    }

    /// Whether it is no session of its own, but a token that may do less than one.
    pub(crate) fn is_child(&self) -> bool {
        self.lineage().is_some()
    }

    /// Whether it may be shown from an address.
    pub(super) fn holds_at(&self, from: Option<IpAddr>) -> bool {
        self.lineage().is_none_or(|lineage| lineage.holds_at(from))
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

    /// A token that may do less is governed by what governs its session.
    pub(super) fn govern(&self, governing: Governing) {
        if let Source::Own(own) = &self.governing {
            self.limits.update(&governing.policy.limits());
            own.store(Arc::new(governing));
        }
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

    /// What its calls of an API learnt and made.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Which refs its pushes are about to change.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Its links to objects of Git LFS.
    pub(crate) fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Its tokens of GitHub Apps.
    pub(crate) fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
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
        match &self.governing {
            Source::Own(own) => own.load_full(),
            Source::Parent(lineage) => lineage.governing(),
        }
    }

    /// Whether it still holds; for what was opened earlier.
    ///
    /// # Errors
    /// [`Reason::SessionExpired`], [`Reason::SessionRevoked`], [`Reason::PolicyUnavailable`].
    pub(crate) fn standing(&self, now: SystemTime) -> Result<(), Reason> {
        if let Some(reason) = self.closed.get() {
            return Err(*reason);
        }
        self.lineage().map_or(Ok(()), |lineage| lineage.standing(now))?;
        match self.governing().expires {
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

/// The id of a token that may do less than its session.
pub(super) fn child_id(session: &str, number: u32) -> String {
    format!("{session}{CHILD}{number}")
}

/// Most gits of this machine that work for one session at once: each takes up to three processes and five descriptors.
pub(crate) const MAX_GITS: usize = 32;
/// A session has at most four kept pushes, each with up to 512 MiB on disk and some 64 MiB of memory.
const GITS_OF_A_KEPT_PUSH: u32 = 8;
/// Refusals that a session remembers.
pub(crate) const MAX_REFUSALS: usize = 100;

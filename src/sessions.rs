//! Who may come in, under which policy, and what was last refused to them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::watch;

use crate::{
    audit::{bounded_method, bounded_path},
    destination::Host,
    limits::SessionLimits,
    policy::{Denial, Policy, RuleRef},
    reason::Reason,
    secret::Secret,
};

/// The session of an entry that asks for none and names none.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// Fewest octets of a token. A token is found by its digest, which keeps it from being guessed piece by piece only
/// where it cannot be guessed whole.
pub(crate) const MIN_TOKEN: usize = 32;

/// How a connection finds its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// All who come are this session; what they present is not looked at.
    Bound(Arc<str>),
    /// Whoever comes presents a session's token.
    Required,
}

/// One session as the configuration has it.
pub(crate) struct SessionSettings {
    pub(crate) id: Arc<str>,
    /// None where the session is reached by a bound entry only.
    pub(crate) token: Option<Secret>,
    /// From this moment on it is expired.
    pub(crate) expires: Option<SystemTime>,
    pub(crate) policy: Arc<Policy>,
}

/// Settings that cannot all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionsError {
    DuplicateId(Arc<str>),
    /// Two sessions have the same token.
    SharedToken(Arc<str>, Arc<str>),
    ShortToken(Arc<str>),
    /// The entry is bound to a session that does not exist.
    UnknownEntry(Arc<str>),
}

impl fmt::Display for SessionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two sessions have the id {id:?}"),
            Self::SharedToken(one, other) => write!(f, "sessions {one:?} and {other:?} have the same token, give each its own"),
            Self::ShortToken(id) => write!(f, "the token of session {id:?} has fewer than {MIN_TOKEN} characters"),
            Self::UnknownEntry(id) => write!(f, "listen.session names a session that does not exist: {id:?}"),
        }
    }
}

impl std::error::Error for SessionsError {}

/// Every session there is.
pub(crate) struct Sessions {
    entry: Entry,
    table: ArcSwap<Table>,
    generation: watch::Sender<u64>,
    /// Held while a reload is applied.
    applying: Mutex<()>,
}

impl Sessions {
    /// The sessions of generation 1.
    pub(crate) fn new(entry: Entry, settings: Vec<SessionSettings>) -> Result<Self, SessionsError> {
        let sessions = Self { entry, table: ArcSwap::default(), generation: watch::Sender::new(0), applying: Mutex::new(()) };
        sessions.apply(settings)?;
        Ok(sessions)
    }

    /// Whether who comes has to present a token.
    pub(crate) fn asks(&self) -> bool {
        self.entry == Entry::Required
    }

    /// Finds the session of a connection or request by what it presented.
    ///
    /// Tokens are looked up by their SHA-256. The time that takes depends on the digest alone, of which nobody can
    /// choose a part without knowing the token, so it tells nothing about other tokens, however many there are.
    ///
    /// # Errors
    /// [`Reason::SessionRequired`], [`Reason::SessionUnknown`], [`Reason::SessionExpired`], [`Reason::SessionRevoked`].
    pub(crate) fn identify(&self, presented: Option<&Secret>, now: SystemTime) -> Result<Arc<Session>, Reason> {
        let table = self.table.load();
        let session = match &self.entry {
            Entry::Bound(id) => table.by_id.get(id).ok_or(Reason::SessionRevoked)?,
            Entry::Required => {
                let digest = TokenDigest::of(presented.ok_or(Reason::SessionRequired)?);
                table.by_token.get(&digest).ok_or_else(|| table.reason_without(&digest))?
            }
        };
        session.standing(now)?;
        Ok(session.clone())
    }

    /// Puts new settings in the place of all present ones and returns their generation. A session that is in both keeps
    /// its counts and refusals; one that is no longer there is revoked, and so is a token that is no longer anyone's.
    /// Where the settings cannot hold, nothing changes.
    pub(crate) fn apply(&self, settings: Vec<SessionSettings>) -> Result<u64, SessionsError> {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = check(&self.entry, &settings)?;
        let before = self.table.load_full();
        let generation = *self.generation.borrow() + 1;
        let by_id: HashMap<_, _> = settings.into_iter().map(|settings| (settings.id.clone(), before.renew(settings, generation))).collect();
        for (id, session) in &before.by_id {
            if !by_id.contains_key(id) {
                session.revoked.store(true, Ordering::Release);
            }
        }
        self.table.store(Arc::new(before.succeed(by_id, tokens)));
        self.generation.send_replace(generation);
        Ok(generation)
    }

    /// The generation in force; it changes after every session has its new policy, so that whoever watches it can judge
    /// again what is open.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// All of them, by id.
    pub(crate) fn list(&self) -> Vec<Arc<Session>> {
        let mut sessions: Vec<_> = self.table.load().by_id.values().cloned().collect();
        sessions.sort_by(|one, other| one.id.cmp(&other.id));
        sessions
    }
}

/// One sandbox's grant.
pub(crate) struct Session {
    id: Arc<str>,
    limits: SessionLimits,
    governing: ArcSwap<Governing>,
    revoked: AtomicBool,
    refusals: Mutex<VecDeque<Refusal>>,
}

/// What a reload replaces at once.
pub(crate) struct Governing {
    pub(crate) policy: Arc<Policy>,
    pub(crate) generation: u64,
    pub(crate) expires: Option<SystemTime>,
}

impl Session {
    fn new(settings: SessionSettings, generation: u64) -> Self {
        let SessionSettings { id, token: _, expires, policy } = settings;
        Self {
            id,
            limits: SessionLimits::new(&policy.limits()),
            governing: ArcSwap::from_pointee(Governing { policy, generation, expires }),
            revoked: AtomicBool::new(false),
            refusals: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// The policy in force and its generation: for one decision, not for as long as a stream lives.
    pub(crate) fn governing(&self) -> Arc<Governing> {
        self.governing.load_full()
    }

    /// Whether it still holds; for what was opened earlier.
    ///
    /// # Errors
    /// [`Reason::SessionExpired`], [`Reason::SessionRevoked`].
    pub(crate) fn standing(&self, now: SystemTime) -> Result<(), Reason> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Reason::SessionRevoked);
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

/// Whether two tokens are the same, in a time that tells nothing about either: their digests are compared.
pub(crate) fn is_same_token(one: &Secret, other: &Secret) -> bool {
    TokenDigest::of(one) == TokenDigest::of(other)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TokenDigest([u8; 32]);

impl TokenDigest {
    fn of(token: &Secret) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, token.expose()).as_ref());
        Self(octets)
    }
}

#[derive(Default)]
struct Table {
    by_id: HashMap<Arc<str>, Arc<Session>>,
    by_token: HashMap<TokenDigest, Arc<Session>>,
    /// Tokens that were a session's and are nobody's now.
    revoked: HashSet<TokenDigest>,
}

impl Table {
    /// The session that is known by this id, under its new settings, or a new one.
    fn renew(&self, settings: SessionSettings, generation: u64) -> Arc<Session> {
        let Some(known) = self.by_id.get(&settings.id) else {
            return Arc::new(Session::new(settings, generation));
        };
        let SessionSettings { id: _, token: _, expires, policy } = settings;
        known.limits.update(&policy.limits());
        known.governing.store(Arc::new(Governing { policy, generation, expires }));
        known.clone()
    }

    fn succeed(&self, by_id: HashMap<Arc<str>, Arc<Session>>, tokens: HashMap<TokenDigest, Arc<str>>) -> Self {
        let revoked = self.by_token.keys().chain(&self.revoked).filter(|digest| !tokens.contains_key(digest)).copied().collect();
        let by_token = tokens.into_iter().filter_map(|(digest, id)| Some((digest, by_id.get(&id)?.clone()))).collect();
        Self { by_id, by_token, revoked }
    }

    fn reason_without(&self, digest: &TokenDigest) -> Reason {
        if self.revoked.contains(digest) { Reason::SessionRevoked } else { Reason::SessionUnknown }
    }
}

/// Whose token is whose, where all settings can hold together.
fn check(entry: &Entry, settings: &[SessionSettings]) -> Result<HashMap<TokenDigest, Arc<str>>, SessionsError> {
    let mut ids = HashSet::new();
    let mut tokens = HashMap::new();
    for SessionSettings { id, token, .. } in settings {
        if !ids.insert(id) {
            return Err(SessionsError::DuplicateId(id.clone()));
        }
        let Some(token) = token else { continue };
        if token.expose().len() < MIN_TOKEN {
            return Err(SessionsError::ShortToken(id.clone()));
        }
        if let Some(other) = tokens.insert(TokenDigest::of(token), id.clone()) {
            return Err(SessionsError::SharedToken(other, id.clone()));
        }
    }
    match entry {
        Entry::Bound(id) if !ids.contains(id) => Err(SessionsError::UnknownEntry(id.clone())),
        Entry::Bound(_) | Entry::Required => Ok(tokens),
    }
}

/// Refusals that a session remembers.
pub(crate) const MAX_REFUSALS: usize = 100;

#[cfg(test)]
mod tests;

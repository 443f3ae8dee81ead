//! Who may come in, under which policy, and what was last refused to them.

mod error;
mod keys;
mod digest;
mod hosts;
mod policies;
mod requests;
pub mod record;
mod store;
mod redirects;
mod calls;
mod heads;
mod refusal;
mod turns;
pub(crate) mod synthetic;
pub(crate) mod transfers;
mod session;
mod wanted;
mod holders;
mod changes;
mod asking;
mod children;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

pub(crate) use self::{
    asking::AskError,
    changes::{ChangeError, Draft},
    digest::{is_same_token, spelled},
    error::SessionsError,
    holders::Holders,
    hosts::OwnCredentials,
    refusal::Refusal,
    requests::{Request, State, TooMuch, Verdict},
    session::{Governing, Identity, MAX_REFUSALS, Session},
    store::Store,
    turns::Turn,
};
use self::{
    digest::TokenDigest,
    record::Bound,
    store::Found,
    wanted::{Wanted, configured, recorded},
};
pub(crate) use crate::files::StoreError;
use crate::{
    credentials::Equipped,
    destination::Name,
    policy::{Access, Policy, grant::Grant},
    reason::Reason,
    secret::Secret,
    token::{self, TokenError},
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
    /// A fixed one of the operator's. None: tokens that we sign prove it, where the entry asks for any.
    pub(crate) token: Option<Secret>,
    /// From this moment on it is expired.
    pub(crate) expires: Option<SystemTime>,
    pub(crate) policy: Arc<Equipped>,
    pub(crate) grant: Grant,
    pub(crate) credentials: OwnCredentials,
}

/// What a configuration says of sessions.
pub(crate) struct Settings {
    pub(crate) sessions: Vec<SessionSettings>,
    /// The policy of sessions that name none.
    pub(crate) policy: Option<Arc<Equipped>>,
    /// Bounds one run of a credential's command, and one reading of its file.
    pub(crate) patience: Duration,
    /// Where repositories are whose names are without a host.
    pub(crate) first: Option<Name>,
}

/// Every session there is: those of the configuration and those made over the admin interface.
pub(crate) struct Sessions {
    entry: Entry,
    table: ArcSwap<Table>,
    holders: ArcSwap<Holders>,
    generation: watch::Sender<u64>,
    /// When new settings were last found to be of no use; none where those in force came after them.
    kept_since: ArcSwapOption<SystemTime>,
    store: Option<Store>,
    /// Held while anything about the table changes.
    kept: Mutex<Kept>,
    /// Where repositories are whose names are without a host, for as long as the process runs.
    first: Option<Name>,
}

/// What the store holds, and what new sessions begin with.
#[derive(Default)]
struct Kept {
    records: BTreeMap<Arc<str>, Found>,
    policy: Option<Arc<Equipped>>,
    patience: Duration,
}

impl Sessions {
    /// The sessions of generation 1.
    pub(crate) fn new(entry: Entry, settings: Settings, store: Option<Store>, now: SystemTime) -> Result<Self, SessionsError> {
        let records = match &store {
            Some(store) => store.load(now).map_err(|error| SessionsError::Store(error.to_string()))?,
            None => BTreeMap::new(),
        };
        let kept = Mutex::new(Kept { records, ..Kept::default() });
        let first = settings.first.clone();
        let sessions = Self {
            entry,
            table: ArcSwap::default(),
            holders: ArcSwap::default(),
            generation: watch::Sender::new(0),
            kept_since: ArcSwapOption::empty(),
            store,
            kept,
            first,
        };
        sessions.apply(settings)?;
        Ok(sessions)
    }

    /// Whether who comes has to present a token.
    pub(crate) fn asks(&self) -> bool {
        self.entry == Entry::Required
    }

    /// Finds the session of a connection or request by what it presented, and from which address.
    ///
    /// Fixed tokens are looked up by their SHA-256. The time that takes depends on the digest alone, of which nobody can
    /// choose a part without knowing the token, so it tells nothing about other tokens, however many there are. A signed
    /// token holds no secret to be compared with: whoever sees it may check it.
    ///
    /// # Errors
    /// [`Reason::SessionRequired`], [`Reason::SessionUnknown`], [`Reason::SessionExpired`], [`Reason::SessionRevoked`],
    /// [`Reason::PolicyUnavailable`].
    pub(crate) fn identify(&self, presented: Option<&Secret>, from: Option<IpAddr>, now: SystemTime) -> Result<Arc<Session>, Reason> {
        let table = self.table.load();
        let session = match &self.entry {
            Entry::Bound(id) => table.by_id.get(id).ok_or(Reason::SessionRevoked)?,
            Entry::Required => self.find_by_token(&table, presented.ok_or(Reason::SessionRequired)?, now)?,
        };
        session.standing(now)?;
        if session.holds_at(from) { Ok(session.clone()) } else { Err(Reason::SessionUnknown) }
    }

    /// Whether a token is a session's own, however its connections find it.
    pub(crate) fn is_own(&self, session: &Arc<Session>, token: &Secret, now: SystemTime) -> bool {
        self.find_by_token(&self.table.load(), token, now).is_ok_and(|found| Arc::ptr_eq(found, session))
    }

    /// Whether a token is any session's, of now or of before, or one of these real credentials. It is compared by its digest alone.
    pub(crate) fn knows(&self, token: &Secret, real: impl IntoIterator<Item = Arc<Secret>>, now: SystemTime) -> bool {
        let is_real = real.into_iter().any(|real| TokenDigest::of(&real) == TokenDigest::of(token));
        is_real || self.find_by_token(&self.table.load(), token, now).map(drop) != Err(Reason::SessionUnknown)
    }

    fn find_by_token<'t>(&self, table: &'t Table, token: &Secret, now: SystemTime) -> Result<&'t Arc<Session>, Reason> {
        let digest = TokenDigest::of(token);
        match table.by_token.get(&digest) {
            Some(session) => Ok(session),
            None if table.revoked.contains(&digest) => Err(Reason::SessionRevoked),
            None => self.find_signed(table, token, now),
        }
    }

    fn find_signed<'t>(&self, table: &'t Table, token: &Secret, now: SystemTime) -> Result<&'t Arc<Session>, Reason> {
        let store = self.store.as_ref().filter(|_| token::is_signed(token.expose())).ok_or(Reason::SessionUnknown)?;
        let claims = store.known.load().verify(token, now).map_err(|error| match error {
            TokenError::Expired => Reason::SessionExpired,
            TokenError::Form | TokenError::Key | TokenError::Signature | TokenError::Claims | TokenError::Audience | TokenError::Early => {
                Reason::SessionUnknown
            }
        })?;
        // We signed it, so there was such a session, and whoever ended it meant the token to end.
        let session = table.find(&claims.session).ok_or(Reason::SessionRevoked)?;
        let is_its_own = match session.as_child() {
            None => session.governing().fixed.is_none(),
            Some(child) => child.issued() == claims.issued,
        };
        if is_its_own { Ok(session) } else { Err(Reason::SessionRevoked) }
    }

    /// Puts new settings in the place of those of the configuration before and returns their generation. A session that
    /// is in both keeps its counts and refusals; one that is no longer there is revoked, and so is a token that is no longer
    /// anyone's. Sessions made over the admin interface stay. Where the settings cannot hold, nothing changes.
    pub(crate) fn apply(&self, settings: Settings) -> Result<u64, SessionsError> {
        let mut kept = self.lock();
        let tokens = self.check(&settings, &kept.records)?;
        let keys = self.store.as_ref().map(Store::read_keys).transpose().map_err(|error| SessionsError::Store(error.to_string()))?;
        let before = self.table.load_full();
        let generation = *self.generation.borrow() + 1;
        let mut wanted = Vec::new();
        for session in settings.sessions {
            let session = session.seen_from(settings.first.as_ref(), self.first.as_ref())?;
            let found = kept.records.get(&session.id);
            wanted.push(configured(session, found, self.first.as_ref(), generation));
        }
        for (id, found) in &kept.records {
            match found {
                Ok(record) if record.configured => {}
                Ok(record) => wanted.push(recorded(record, self.first.as_ref(), settings.policy.as_ref(), settings.patience, generation)?),
                Err(error) if tokens.ids.contains(id) => tracing::error!(%error, "the session is refused"),
                Err(error) => {
                    tracing::error!(%error, "the session is refused");
                    let (governing, closed) = (nothing(generation), Some(Reason::SessionRevoked));
                    wanted.push(Wanted { id: id.clone(), configured: false, governing, closed, bound: Bound::new() });
                }
            }
        }
        let by_id: HashMap<_, _> = wanted.into_iter().map(|wanted| (wanted.id.clone(), before.renew(wanted))).collect();
        for (_, session) in before.by_id.iter().filter(|(id, _)| !by_id.contains_key(*id)) {
            session.close(Reason::SessionRevoked);
        }
        self.forget_what_left(&mut kept, &tokens.ids);
        let children = self.children_of(&by_id, &kept.records, &before);
        self.put(Table { children, ..before.succeed(by_id, tokens.owners) });
        if let (Some(store), Some(keys)) = (&self.store, keys) {
            store.known.store(Arc::new(keys));
        }
        (kept.policy, kept.patience) = (settings.policy, settings.patience);
        self.kept_since.store(None);
        self.generation.send_replace(generation);
        Ok(generation)
    }

    /// The generation in force; it changes after every session has its new policy, so that whoever watches it can judge
    /// again what is open. Whoever watches is also told, by the same number, that a session was revoked.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Notes that there are new settings which cannot be used: those in force stay.
    pub(crate) fn keep(&self, now: SystemTime) {
        self.kept_since.store(Some(Arc::new(now)));
    }

    /// Since when the settings in force are not those that were meant to be.
    pub(crate) fn kept_since(&self) -> Option<SystemTime> {
        self.kept_since.load().as_deref().copied()
    }

    /// All of them, by id.
    pub(crate) fn list(&self) -> Vec<Arc<Session>> {
        let mut sessions: Vec<_> = self.table.load().by_id.values().cloned().collect();
        sessions.sort_by(|one, other| one.id().cmp(other.id()));
        sessions
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.table.load().find(id).cloned()
    }

    /// Who holds real credentials on behalf of all of them.
    pub(crate) fn holders(&self) -> Arc<Holders> {
        self.holders.load_full()
    }

    fn put(&self, table: Table) {
        self.holders.store(Arc::new(Holders::of(table.by_id.values())));
        self.table.store(Arc::new(table));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token is whose, where all settings can hold together.
    fn check(&self, settings: &Settings, records: &BTreeMap<Arc<str>, Found>) -> Result<Tokens, SessionsError> {
        let mut tokens = Tokens { ids: HashSet::new(), owners: HashMap::new() };
        for SessionSettings { id, token, .. } in &settings.sessions {
            if !tokens.ids.insert(id.clone()) {
                return Err(SessionsError::DuplicateId(id.clone()));
            }
            if records.get(id).is_some_and(|found| found.as_ref().is_ok_and(|record| !record.configured)) {
                return Err(SessionsError::TakenId(id.clone()));
            }
            let Some(token) = token else {
                if self.entry == Entry::Required && self.store.is_none() {
                    return Err(SessionsError::NoState(id.clone()));
                }
                continue;
            };
            if token.expose().len() < MIN_TOKEN {
                return Err(SessionsError::ShortToken(id.clone()));
            }
            if let Some(other) = tokens.owners.insert(TokenDigest::of(token), id.clone()) {
                return Err(SessionsError::SharedToken(other, id.clone()));
            }
        }
        match &self.entry {
            Entry::Bound(id) if !tokens.ids.contains(id) => Err(SessionsError::UnknownEntry(id.clone())),
            Entry::Bound(_) | Entry::Required => Ok(tokens),
        }
    }
}

/// The ids of the configuration's sessions, and whose each fixed token is.
struct Tokens {
    ids: HashSet<Arc<str>>,
    owners: HashMap<TokenDigest, Arc<str>>,
}

/// What governs a session of which nothing is known.
fn nothing(generation: u64) -> Governing {
    let policy = Arc::new(Equipped::bare(Policy::level(Access::None)));
    Governing::new(policy, Grant::default(), generation)
}

#[derive(Clone, Default)]
struct Table {
    by_id: HashMap<Arc<str>, Arc<Session>>,
    /// Their tokens that may do less, by id too.
    children: HashMap<Arc<str>, Arc<Session>>,
    by_token: HashMap<TokenDigest, Arc<Session>>,
    /// Tokens that were a session's and are nobody's now.
    revoked: HashSet<TokenDigest>,
}

impl Table {
    fn find(&self, id: &str) -> Option<&Arc<Session>> {
        self.by_id.get(id).or_else(|| self.children.get(id))
    }

    /// The session that is known by this id, under what is to govern it, or a new one.
    fn renew(&self, wanted: Wanted) -> Arc<Session> {
        match self.by_id.get(&wanted.id) {
            Some(known) if wanted.closed.is_none() && !known.is_closed() && known.is_configured() == wanted.configured => {
                known.govern(wanted.governing);
                known.clone()
            }
            Some(_) | None => wanted.into_session(),
        }
    }

    fn succeed(&self, by_id: HashMap<Arc<str>, Arc<Session>>, tokens: HashMap<TokenDigest, Arc<str>>) -> Self {
        let revoked = self.by_token.keys().chain(&self.revoked).filter(|digest| !tokens.contains_key(digest)).copied().collect();
        let by_token = tokens.into_iter().filter_map(|(digest, id)| Some((digest, by_id.get(&id)?.clone()))).collect();
        Self { by_id, by_token, revoked, children: HashMap::new() }
    }
}

/// The generation of a start.
const FIRST: u64 = 1;

#[cfg(test)]
mod tests;

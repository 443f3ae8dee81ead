//! What the owner changes while the program runs: sessions made, proved anew and revoked.

use std::{fmt, io, path::PathBuf, sync::Arc, time::SystemTime};

use aws_lc_rs::rand;

use super::{
    ANONYMOUS, Kept, Sessions, Wanted,
    keys::hex,
    policies::policy_of,
    record::{Bound, Child, MAX_CHILDREN, Record},
    requests::MAX_GRANTED,
    session::{Governing, Session},
    store::Store,
};
use crate::{
    github::{RepositoryName, identity::RepositoryId},
    policy::{
        Denial,
        grant::{Grant, GrantError},
    },
    reason::Reason,
    secret::Secret,
    token::{Claims, MAX_ID, is_session_id},
};

/// A session that is to be made.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// None: any that is free.
    pub(crate) id: Option<String>,
    /// An absolute path; none: the policy of sessions that name none.
    pub(crate) policy: Option<PathBuf>,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) grant: Grant,
}

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum ChangeError {
    NoState,
    Id(String),
    Taken(Arc<str>),
    Past,
    TooMany,
    RelativePolicy(PathBuf),
    Policy(String),
    Unknown(String),
    /// The session holds no more, so nothing can prove it.
    Ended(Reason),
    /// A token of the operator's proves it.
    Fixed(Arc<str>),
    Signature,
    /// It has no request of this number.
    NoRequest(u32),
    /// The request is for something else than its owner looked at.
    OtherWish(u32),
    /// As many requests of it are granted as can be.
    TooManyGranted,
    /// What is granted would be more than a grant can hold.
    Grant(GrantError),
    /// What is asked for is more than who asks has.
    Wider(Box<Denial>),
    /// As many tokens of it hold as may that may do less than it.
    TooManyChildren,
    /// Nobody here is asked for a token.
    Unasked,
    /// It is no session of its own, but a token that may do less than one.
    Child(Arc<str>),
    /// The session is made or revoked until the next start, and not beyond.
    Unwritten(io::Error),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoState => f.write_str("there is no place for records: write [state] and dir = \"…\" in the configuration"),
            Self::Id(id) => write!(f, "no session id: {:?}; it is 1 to {MAX_ID} letters, digits, '-', '_' and '.'", excerpt(id)),
            Self::Taken(id) => write!(f, "there is a session {id:?} already, or there was one: choose another id"),
            Self::Past => f.write_str("the session would have expired already"),
            Self::TooMany => write!(f, "there are {MAX_RECORDS} records of sessions: give sessions an expiry, and they go by themselves"),
            Self::RelativePolicy(path) => write!(f, "the policy {:?} is no absolute path", excerpt(&path.display().to_string())),
            Self::Policy(why) => write!(f, "the policy cannot be used: {why}"),
            Self::Unknown(id) => write!(f, "there is no session {:?}", excerpt(id)),
            Self::Ended(reason) => write!(f, "the session holds no more ({reason}): make another"),
            Self::Fixed(id) => write!(f, "session {id:?} is proved by the token that the configuration names"),
            Self::Signature => f.write_str("no token could be signed"),
            Self::NoRequest(number) => write!(f, "the session has no request {number}"),
            Self::OtherWish(number) => write!(f, "request {number} is for something else by now: look at it again"),
            Self::TooManyGranted => {
                write!(f, "{MAX_GRANTED} requests of the session are granted: deny one of these, or make another session")
            }
            Self::Grant(error) => write!(f, "the session's grant cannot hold this too: {error}"),
            Self::Wider(denial) => write!(f, "a token may do no more than who asks for it: {}", denial.detail),
            Self::TooManyChildren => {
                write!(f, "{MAX_CHILDREN} tokens of the session that may do less than it are good, and no more may be: some have to expire")
            }
            Self::Unasked => f.write_str("nobody is asked for a token here: whoever comes in has all that the session has"),
            Self::Child(id) => write!(f, "{id} is a token that may do less than its session, and is granted no more"),
            Self::Unwritten(error) => write!(f, "the change cannot be written and ends with this process: {error}"),
        }
    }
}

impl std::error::Error for ChangeError {}

impl Sessions {
    /// Makes a session and its first token. It is on disk before it holds.
    pub(crate) fn create(&self, draft: Draft, now: SystemTime) -> Result<(Arc<Session>, Secret), ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoState)?;
        let mut kept = self.lock();
        self.forget_expired(store, &mut kept, now);
        if kept.records.len() >= MAX_RECORDS {
            return Err(ChangeError::TooMany);
        }
        let id = self.free_id(&kept, draft.id)?;
        if draft.expires.is_some_and(|expires| expires <= now) {
            return Err(ChangeError::Past);
        }
        if let Some(path) = draft.policy.as_ref().filter(|path| !path.is_absolute()) {
            return Err(ChangeError::RelativePolicy(path.clone()));
        }
        let policy = policy_of(draft.policy.as_deref(), kept.policy.as_ref(), kept.patience)
            .map_err(|unusable| ChangeError::Policy(unusable.why))?;
        let record = Record::new(&id, now, draft.expires, draft.policy, draft.grant.clone()).where_first_is(self.first.as_ref());
        let (expires, generation) = (record.expires(), *self.generation.borrow());
        let governing = Governing { expires, ..Governing::new(policy, draft.grant, generation) };
        let session = Wanted { id: id.clone(), configured: false, governing, closed: None, bound: Bound::new() }.into_session();
        let token = sign(store, &session, now)?;
        store.write(&record).map_err(ChangeError::Unwritten)?;
        kept.records.insert(id.clone(), Ok(record));
        let mut table = self.table.load().as_ref().clone();
        table.by_id.insert(id, Arc::clone(&session));
        self.put(table);
        Ok((session, token))
    }

    /// Another token of a session; those before it stay good.
    pub(crate) fn mint(&self, id: &str, now: SystemTime) -> Result<Secret, ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoState)?;
        let session = self.find(id).ok_or_else(|| ChangeError::Unknown(id.to_owned()))?;
        session.standing(now).map_err(ChangeError::Ended)?;
        sign(store, &session, now)
    }

    /// Ends a session for good: at once, and for every start to come.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`]. The session is revoked even where the error says that this could not be written.
    pub(crate) fn revoke(&self, id: &str, now: SystemTime) -> Result<Arc<Session>, ChangeError> {
        let mut kept = self.lock();
        let session = self.find(id).ok_or_else(|| ChangeError::Unknown(id.to_owned()))?;
        session.close(Reason::SessionRevoked);
        self.generation.send_modify(|_| {});
        let root = session.root();
        let record = match (kept.records.get(root), session.as_child()) {
            // A record that cannot be read refuses its session as it is.
            (Some(Err(_)), _) | (None, Some(_)) => return Ok(session),
            (Some(Ok(record)), Some(child)) => record.clone().without(child.number),
            (Some(Ok(record)), None) => record.clone().revoked(),
            (None, None) => Record::of_configured(root, now).revoked(),
        };
        self.store.as_ref().ok_or(ChangeError::NoState)?.write(&record).map_err(ChangeError::Unwritten)?;
        kept.records.insert(root.clone(), Ok(record));
        Ok(session)
    }

    /// Binds the grant of a session for a name to the repository that the name is, unless it is bound already; and what it is for.
    /// That outlives the process as the session's record does.
    pub(crate) fn bind(&self, session: &Session, repository: &RepositoryName, id: RepositoryId) -> RepositoryId {
        let (id, is_new) = session.bind(repository, id);
        if is_new && let Err(error) = self.note(session, repository, id) {
            tracing::warn!(%error, session = &**session.id(), "which repository a grant is for cannot be written, and is forgotten at the end");
        }
        id
    }

    fn note(&self, session: &Session, repository: &RepositoryName, id: RepositoryId) -> io::Result<()> {
        let mut kept = self.lock();
        let Some((store, Some(Ok(record)))) = self.store.as_ref().map(|store| (store, kept.records.get_mut(session.root()))) else {
            return Ok(());
        };
        record.bind(repository.clone().seen_from(self.first.as_ref(), record.first().or(self.first.as_ref())), id);
        store.write(record)
    }

    fn free_id(&self, kept: &Kept, wanted: Option<String>) -> Result<Arc<str>, ChangeError> {
        let id: Arc<str> = match wanted {
            Some(id) if id == ANONYMOUS || !is_session_id(&id) => return Err(ChangeError::Id(id)),
            Some(id) => id.into(),
            None => {
                let mut octets = [0; 8];
                rand::fill(&mut octets).map_err(|_| ChangeError::Signature)?;
                format!("s-{}", &*hex(&octets)).into()
            }
        };
        if kept.records.contains_key(&id) || self.find(&id).is_some() { Err(ChangeError::Taken(id)) } else { Ok(id) }
    }

    fn forget_expired(&self, store: &Store, kept: &mut Kept, now: SystemTime) {
        let mut table = self.table.load().as_ref().clone();
        let before = kept.records.len();
        kept.records.retain(|id, found| {
            let forgotten = found.as_ref().is_ok_and(|record| record.is_forgettable(now));
            if forgotten {
                store.forget(id);
                table.by_id.remove(id);
                table.children.retain(|_, child| child.root() != id);
            }
            !forgotten
        });
        if kept.records.len() < before {
            self.put(table);
        }
    }
}

pub(super) fn sign(store: &Store, session: &Session, now: SystemTime) -> Result<Secret, ChangeError> {
    let governing = session.governing();
    if governing.fixed.is_some() && !session.is_child() {
        return Err(ChangeError::Fixed(session.id().clone()));
    }
    // A token that may do less is one: asked for again, it is the same.
    let issued = session.as_child().map_or(now, Child::issued);
    let claims = Claims { session: session.id().as_ref().into(), issued, expires: governing.expires };
    store.known.load().sign(&claims).ok_or(ChangeError::Signature)
}

fn excerpt(text: &str) -> String {
    text.chars().take(MAX_EXCERPT).collect()
}

/// Most records of sessions.
const MAX_RECORDS: usize = 20_000;
/// Most characters of an offending text that an error shows.
const MAX_EXCERPT: usize = 60;

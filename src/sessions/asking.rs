//! What a sandbox asks its owner for, and what the owner grants of it while the program runs.

use std::{collections::HashSet, fmt, sync::Arc, time::SystemTime};

use super::{
    ChangeError, Kept, Sessions,
    record::Record,
    requests::{MAX_GRANTED, MAX_HOURLY, MAX_OPEN, MAX_OPEN_IN_ALL, Request, Requests, State, TooMuch, Verdict},
    session::{Governing, Session},
};
use crate::{
    policy::asking::{Asking, Wish},
    reason::Reason,
};

/// Why a request was not taken.
#[derive(Debug)]
pub(crate) enum AskError {
    TooMuch(TooMuch),
    /// As many requests of all sessions wait as may.
    Crowded,
    Change(ChangeError),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch(TooMuch::Open) => write!(f, "{MAX_OPEN} requests of this session wait for its owner, and no more may"),
            Self::TooMuch(TooMuch::Hourly(_)) => write!(f, "a session may ask {MAX_HOURLY} times within an hour"),
            Self::Crowded => write!(f, "{MAX_OPEN_IN_ALL} requests of all sessions wait for their owner, and no more may"),
            Self::Change(error) => write!(f, "{error}"),
        }
    }
}

impl From<ChangeError> for AskError {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl Sessions {
    /// Notes what a session asks for, on disk before it counts. What was asked for already and waits, or was denied within the last
    /// hour, is not asked anew: that request is given back.
    pub(crate) fn ask(&self, session: &Arc<Session>, asking: Asking, now: SystemTime) -> Result<Request, AskError> {
        let mut kept = self.lock();
        self.holding(session, now)?;
        if session.is_child() {
            return Err(ChangeError::Child(session.id().clone()).into());
        }
        let governing = session.governing();
        if let Some(request) = governing.requests.answering(&asking.wish, now) {
            return Ok(request.clone());
        }
        let open: usize = self.list().iter().map(|session| session.governing().requests.open()).sum();
        if open >= MAX_OPEN_IN_ALL {
            return Err(AskError::Crowded);
        }
        let requests = governing.requests.asking(asking, now).map_err(AskError::TooMuch)?;
        let request = requests.all().last().cloned().ok_or(ChangeError::NoRequest(0))?;
        self.put_requests(&mut kept, session, &governing, requests, now)?;
        Ok(request)
    }

    /// Grants a request or denies it, also one that was decided otherwise before: what it had granted is taken back then. On every door
    /// and for every open stream this counts at once, and it is on disk before. `seen` is what the owner looked at, where that is known.
    pub(crate) fn decide(
        &self,
        id: &str,
        number: u32,
        seen: Option<&Wish>,
        verdict: Verdict,
        now: SystemTime,
    ) -> Result<(Arc<Session>, Request), ChangeError> {
        let mut kept = self.lock();
        let session = self.find(id).ok_or_else(|| ChangeError::Unknown(id.to_owned()))?;
        self.holding(&session, now)?;
        let governing = session.governing();
        let request = governing.requests.find(number).ok_or(ChangeError::NoRequest(number))?;
        if seen.is_some_and(|seen| *seen != request.wish) {
            return Err(ChangeError::OtherWish(number));
        }
        if verdict.grants && request.state != State::Granted && governing.requests.count(State::Granted) >= MAX_GRANTED {
            return Err(ChangeError::TooManyGranted);
        }
        let requests = governing.requests.deciding(number, verdict, now);
        let request = requests.find(number).cloned().ok_or(ChangeError::NoRequest(number))?;
        self.put_requests(&mut kept, &session, &governing, requests, now)?;
        self.generation.send_modify(|_| {});
        Ok((session, request))
    }

    /// It is the session of its id, and holds.
    pub(super) fn holding(&self, session: &Arc<Session>, now: SystemTime) -> Result<(), ChangeError> {
        let is_known = self.find(session.id()).is_some_and(|known| Arc::ptr_eq(&known, session));
        if is_known { session.standing(now).map_err(ChangeError::Ended) } else { Err(ChangeError::Ended(Reason::SessionRevoked)) }
    }

    fn put_requests(
        &self,
        kept: &mut Kept,
        session: &Session,
        governing: &Governing,
        requests: Requests,
        now: SystemTime,
    ) -> Result<(), ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoState)?;
        let governing = governing.requesting(requests.clone()).map_err(ChangeError::Grant)?;
        let record = self.record_of(kept, session.id(), now)?.requesting(requests, self.first.as_ref());
        store.write(&record).map_err(ChangeError::Unwritten)?;
        kept.records.insert(session.id().clone(), Ok(record));
        session.govern(governing);
        Ok(())
    }

    /// What is kept of a session that holds, or is to be kept of it.
    pub(super) fn record_of(&self, kept: &Kept, id: &str, now: SystemTime) -> Result<Record, ChangeError> {
        match kept.records.get(id) {
            Some(Ok(record)) => Ok(record.clone()),
            // Nothing is written over a record that cannot be read; its session does not hold.
            Some(Err(_)) => Err(ChangeError::Ended(Reason::SessionRevoked)),
            None => Ok(Record::of_configured(id, now).where_first_is(self.first.as_ref())),
        }
    }

    /// Forgets what sessions asked for that are no longer in the configuration: another of the same id begins without it.
    pub(super) fn forget_what_left(&self, kept: &mut Kept, ids: &HashSet<Arc<str>>) {
        kept.records.retain(|id, found| {
            let left = found.as_ref().is_ok_and(|record| record.configured && !record.revoked) && !ids.contains(id);
            if let (true, Some(store)) = (left, &self.store) {
                store.forget(id);
            }
            !left
        });
    }
}

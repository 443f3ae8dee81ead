//! What a sandbox asked its owner for, and what became of it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    destination::Name,
    policy::asking::{Asking, HostWish, RepositoryWish, Wish, Words},
};

/// One request; its number is its own within its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) number: u32,
    pub(crate) wish: Wish,
    /// The sandbox's own words.
    pub(crate) why: Words,
    /// Times are seconds since 1970.
    asked: u64,
    pub(crate) state: State,
    #[serde(deserialize_with = "Option::deserialize")]
    decided: Option<u64>,
    /// What the owner says to it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) word: Option<Words>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Pending,
    Granted,
    Denied,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Denied => "denied",
        }
    }
}

impl Request {
    pub(crate) fn asked(&self) -> SystemTime {
        from_seconds(self.asked).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(crate) fn decided(&self) -> Option<SystemTime> {
        self.decided.and_then(from_seconds)
    }
}

/// What an owner decides.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) grants: bool,
    pub(crate) word: Option<Words>,
}

/// Why a session may not ask for more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// [`MAX_OPEN`] wait for the owner.
    Open,
    /// [`MAX_HOURLY`] were asked within an hour; one more may be asked after this time.
    Hourly(Duration),
}

/// The requests of one session, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Requests(Vec<Request>);

impl Requests {
    pub(crate) fn all(&self) -> &[Request] {
        &self.0
    }

    pub(crate) fn find(&self, number: u32) -> Option<&Request> {
        self.0.iter().find(|request| request.number == number)
    }

    /// How many wait for the owner.
    pub(crate) fn open(&self) -> usize {
        self.count(State::Pending)
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.0.iter().filter(|request| request.state == state).count()
    }

    /// The same by what repositories are called where names without a host mean `now`, and no longer `before`.
    #[must_use]
    pub(super) fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Self {
        let seen = |request: Request| Request { wish: request.wish.seen_from(before, now), ..request };
        Self(self.0.into_iter().map(seen).collect())
    }

    /// The hosts that were granted.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostWish> {
        self.granted().filter_map(|wish| match wish {
            Wish::Host(host) => Some(host),
            Wish::Repository(_) => None,
        })
    }

    /// The repositories that were granted, and refs of them.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = &RepositoryWish> {
        self.granted().filter_map(|wish| match wish {
            Wish::Host(_) => None,
            Wish::Repository(repository) => Some(repository),
        })
    }

    fn granted(&self) -> impl Iterator<Item = &Wish> {
        self.0.iter().filter(|request| request.state == State::Granted).map(|request| &request.wish)
    }

    /// The request that answers for a wish already: one that waits, or one that was denied within the last hour.
    pub(super) fn answering(&self, wish: &Wish, now: SystemTime) -> Option<&Request> {
        let answers = |request: &&Request| match request.state {
            State::Pending => true,
            State::Granted => false,
            State::Denied => request.decided.is_some_and(|decided| decided.saturating_add(HOUR) > seconds(now)),
        };
        self.0.iter().rev().filter(|request| request.wish == *wish).find(answers)
    }

    /// The same with one request more, which is its last.
    pub(super) fn asking(&self, asking: Asking, now: SystemTime) -> Result<Self, TooMuch> {
        if self.open() >= MAX_OPEN {
            return Err(TooMuch::Open);
        }
        // The latest are all there: what is forgotten came before [`MAX_HOURLY`] others.
        let oldest = self.0.iter().rev().nth(MAX_HOURLY - 1);
        let wait = oldest.map_or(0, |oldest| oldest.asked.saturating_add(HOUR).saturating_sub(seconds(now)));
        if wait > 0 {
            return Err(TooMuch::Hourly(Duration::from_secs(wait)));
        }
        let number = self.0.last().map_or(1, |last| last.number.saturating_add(1));
        let Asking { wish, why } = asking;
        let request = Request { number, wish, why, asked: seconds(now), state: State::Pending, decided: None, word: None };
        let mut requests = self.0.clone();
        requests.push(request);
        Ok(Self(requests).forgetting())
    }

    /// The same, one of them decided.
    pub(super) fn deciding(&self, number: u32, verdict: Verdict, now: SystemTime) -> Self {
        let mut requests = self.0.clone();
        if let Some(request) = requests.iter_mut().find(|request| request.number == number) {
            request.state = if verdict.grants { State::Granted } else { State::Denied };
            (request.decided, request.word) = (Some(seconds(now)), verdict.word);
        }
        Self(requests).forgetting()
    }

    /// Forgets the oldest that were denied, of which no more than [`MAX_HOURLY`] stay.
    fn forgetting(mut self) -> Self {
        let mut surplus = self.count(State::Denied).saturating_sub(MAX_HOURLY);
        self.0.retain(|request| {
            let forgotten = request.state == State::Denied && surplus > 0;
            surplus -= usize::from(forgotten);
            !forgotten
        });
        self
    }
}

/// Since 1970, as records have times.
pub(super) fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The moment of a number of [`seconds`]; one that lies too far ahead is none that ever comes.
pub(super) fn from_seconds(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// In seconds.
const HOUR: u64 = 3600;
/// Most requests of a session that wait for its owner.
pub(crate) const MAX_OPEN: usize = 20;
/// Most requests of a session within an hour.
pub(crate) const MAX_HOURLY: usize = 40;
/// Most requests of a session that are granted.
pub(super) const MAX_GRANTED: usize = 100;
/// Most requests of all sessions that wait for their owner.
pub(super) const MAX_OPEN_IN_ALL: usize = 1000;

#[cfg(test)]
mod tests;

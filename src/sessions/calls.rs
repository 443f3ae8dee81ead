//! What a session's calls of an API learnt and made.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{
    destination::Name,
    github::{
        RepositoryName,
        api::{Answer, Question},
    },
    policy::api::{Known, Made, MadeKind},
};

/// Of one session, in memory alone: after a restart it may not change what it made before.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// By the host, none for the first; since when the oldest answer is known.
    known: Mutex<HashMap<Option<Name>, (SystemTime, Known)>>,
    made: Mutex<Made>,
}

impl Calls {
    /// What was learnt at a host, none of it longer than [`MEMORY`] ago.
    pub(crate) fn known(&self, host: Option<&Name>, now: SystemTime) -> Known {
        let known = lock(&self.known);
        let found = known.get(&host.cloned()).filter(|(since, _)| is_fresh(*since, now));
        found.map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// Notes an answer.
    pub(crate) fn learn(&self, host: Option<&Name>, question: Question, answer: Answer, now: SystemTime) {
        let mut known = lock(&self.known);
        let (since, known) = known.entry(host.cloned()).or_insert_with(|| (now, Known::default()));
        if !is_fresh(*since, now) {
            (*since, *known) = (now, Known::default());
        }
        known.learn(question, answer);
    }

    /// Forgets what was learnt at a host, since something changes there.
    pub(crate) fn forget(&self, host: Option<&Name>) {
        lock(&self.known).remove(&host.cloned());
    }

    /// Judges by what was made.
    pub(crate) fn with_made<T>(&self, judge: impl FnOnce(&Made) -> T) -> T {
        judge(&lock(&self.made))
    }

    /// Notes what a call made.
    pub(crate) fn remember(&self, kind: MadeKind, repository: &RepositoryName, number: u64) {
        lock(&self.made).remember(kind, repository.clone(), number);
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_fresh(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age <= MEMORY)
}

/// A pull request may have another base from one minute to the next.
const MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_counts_for_a_minute_at_its_own_host() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let host = crate::destination::Host::parse(b"ghe.test").unwrap();
        let (calls, other, question) = (Calls::default(), host.name(), Question::Repository(7));
        calls.learn(None, question.clone(), Answer::Missing, at(10));
        let known = |host, now| calls.known(host, at(now)).find(&question).is_some();
        assert_eq!((known(None, 70), known(None, 71), known(None, 9), known(other, 10)), (true, false, false, false));
        calls.learn(None, Question::Repository(8), Answer::Missing, at(71));
        assert!(!known(None, 71), "what is old goes with what is new");
        calls.learn(other, question.clone(), Answer::Missing, at(71));
        calls.forget(None);
        assert_eq!((known(other, 71), calls.known(None, at(71)).find(&Question::Repository(8))), (true, None));
    }

    #[test]
    fn what_was_made_is_one_repository_s() {
        let [spoon, fork] = ["octo/spoon", "octo/fork"].map(|name| RepositoryName::parse(name).unwrap());
        let calls = Calls::default();
        calls.remember(MadeKind::IssueComment, &spoon, 7);
        let holds = |kind, repository| calls.with_made(|made| made.holds(kind, repository, 7));
        assert!(holds(MadeKind::IssueComment, &spoon) && !holds(MadeKind::IssueComment, &fork) && !holds(MadeKind::ReviewComment, &spoon));
    }
}

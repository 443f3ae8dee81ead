//! Default branches as they were last learnt.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::github::{RepositoryName, push::RefName};

/// The default branches of a session's repositories, each for [`MEMORY`].
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<VecDeque<Head>>);

#[derive(Debug)]
struct Head {
    repository: RepositoryName,
    branch: RefName,
    time: SystemTime,
}

impl Heads {
    /// Remembers it, forgetting the oldest above [`MAX_HEADS`].
    pub(crate) fn remember(&self, repository: RepositoryName, branch: RefName, time: SystemTime) {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heads.retain(|head| head.repository != repository);
        if heads.len() == MAX_HEADS {
            heads.pop_front();
        }
        heads.push_back(Head { repository, branch, time });
    }

    /// The one of a repository, if it was learnt lately.
    pub(crate) fn of(&self, repository: &RepositoryName, now: SystemTime) -> Option<RefName> {
        let heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let head = heads.iter().find(|head| head.repository == *repository)?;
        let is_fresh = now.duration_since(head.time).is_ok_and(|age| age <= MEMORY);
        is_fresh.then(|| head.branch.clone())
    }
}

const MAX_HEADS: usize = 64;
/// A default branch may be another one from one minute to the next.
const MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_branch_is_remembered_for_a_minute() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let name = |number| RepositoryName::parse(&format!("octo/{number}")).unwrap();
        let branch = |text: &str| RefName::parse(text.as_bytes()).unwrap();
        let heads = Heads::default();
        heads.remember(name(0), branch("refs/heads/a"), at(10));
        heads.remember(name(0), branch("refs/heads/b"), at(11));
        assert_eq!(heads.of(&name(0), at(71)), Some(branch("refs/heads/b")));
        assert_eq!((heads.of(&name(0), at(72)), heads.of(&name(0), at(10)), heads.of(&name(1), at(11))), (None, None, None));
        (1..=MAX_HEADS).for_each(|number| heads.remember(name(number), branch("refs/heads/c"), at(11)));
        assert_eq!((heads.of(&name(0), at(11)), heads.0.lock().unwrap().len()), (None, MAX_HEADS));
    }
}

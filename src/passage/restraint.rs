//! How long the API of a GitHub wants to be left alone: who was told to wait asks it nothing before that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::sessions;

/// Until when, by whose credential was asked: a session's own, or none for all that go by the host's.
#[derive(Default)]
pub(crate) struct Restraint(Mutex<HashMap<Option<sessions::Identity>, Instant>>);

impl Restraint {
    /// Whoever asks by the same credential waits for so long from now on.
    pub(crate) fn hold(&self, whose: Option<sessions::Identity>, now: Instant, wait: Duration) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        if until.len() < MAX_HELD || until.contains_key(&whose) {
            until.insert(whose, now + wait.min(LONGEST));
        }
    }

    /// How long it still has to wait; none where it may ask.
    pub(crate) fn left(&self, whose: Option<sessions::Identity>, now: Instant) -> Option<Duration> {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&whose)?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

/// GitHub counts by the hour.
const LONGEST: Duration = Duration::from_secs(3600);
/// Sessions with a credential of their own that are kept in mind.
const MAX_HELD: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_told_to_wait_waits_and_nobody_else() {
        let (restraint, now, second) = (Restraint::default(), Instant::now(), Duration::from_secs(1));
        let own = Some(sessions::Identity::new());
        restraint.hold(own, now, second * 5);
        assert_eq!((restraint.left(own, now + second), restraint.left(None, now)), (Some(second * 4), None));
        assert_eq!(restraint.left(own, now + second * 5), None);
        restraint.hold(None, now + second * 6, second * 100_000);
        assert_eq!(restraint.left(None, now + second * 6), Some(LONGEST));
        assert_eq!(restraint.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}

//! Something that takes time to get and is good for a while: got once for all who ask meanwhile.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// What was got last, or is being got.
pub(super) struct Latest<T, E>(Mutex<Option<Run<T, E>>>);

/// One attempt; its end is `None` as long as it lasts.
struct Run<T, E> {
    begun: Instant,
    ended: watch::Receiver<Option<Ended<T, E>>>,
}

struct Ended<T, E> {
    at: Instant,
    outcome: Result<T, E>,
}

impl<T, E> Default for Latest<T, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static, E: Clone + Send + Sync + 'static> Latest<T, E> {
    /// What an attempt gave that is under way, or whose outcome `holds` by what it gave and when it began; else that of a new one.
    /// Whoever stops waiting does not stop the attempt. A failure is told to those who wait for it and to those who ask in the second
    /// after it. `None` where the attempt was given up. Needs a Tokio runtime.
    pub(super) async fn get<F>(&self, holds: impl Fn(&T, Instant) -> bool, attempt: impl FnOnce() -> F) -> Option<Result<T, E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut ended = self.latest(holds, attempt);
        let ended = ended.wait_for(Option::is_some).await.ok()?;
        ended.as_ref().map(|ended| ended.outcome.clone())
    }

    fn latest<F>(&self, holds: impl Fn(&T, Instant) -> bool, attempt: impl FnOnce() -> F) -> watch::Receiver<Option<Ended<T, E>>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut latest = self.lock();
        let now = Instant::now();
        if let Some(run) = latest.as_ref().filter(|run| run.holds(&holds, now)) {
            return run.ended.clone();
        }
        let (teller, ended) = watch::channel(None);
        *latest = Some(Run { begun: now, ended: ended.clone() });
        let attempt = attempt();
        tokio::spawn(async move {
            let outcome = attempt.await;
            teller.send_replace(Some(Ended { at: Instant::now(), outcome }));
        });
        ended
    }

    /// Forgets what the last attempt gave, if `gone` says so by what it gave and when it began. Whether that is so.
    pub(super) fn forget(&self, gone: impl Fn(&T, Instant) -> bool) -> bool {
        let is_gone = |run: &mut Run<T, E>| match &*run.ended.borrow() {
            Some(Ended { outcome: Ok(given), .. }) => gone(given, run.begun),
            Some(Ended { outcome: Err(_), .. }) | None => false,
        };
        self.lock().take_if(is_gone).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Run<T, E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> Run<T, E> {
    fn holds(&self, holds: impl Fn(&T, Instant) -> bool, now: Instant) -> bool {
        match &*self.ended.borrow() {
            // Its task is gone where nobody can send any more.
            None => self.ended.has_changed().is_ok(),
            Some(Ended { outcome: Ok(given), .. }) => holds(given, self.begun),
            Some(Ended { at, outcome: Err(_) }) => now.duration_since(*at) < FAILURE_HOLDS,
        }
    }
}

/// After an attempt failed nothing is tried for so long, however many ask.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_97_what_was_got_is_used_no_longer_than_it_holds() {
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let run = |outcome: Option<Result<(), ()>>| {
            let (teller, ended) = watch::channel(outcome.map(|outcome| Ended { at: after(20_000), outcome }));
            (Run { begun, ended }, teller)
        };
        let holds = |run: &Run<(), ()>, at| run.holds(|(), begun| after(at) - begun < Duration::from_secs(600), after(at));
        let (given, _teller) = run(Some(Ok(())));
        assert_eq!([20_000, 599_999, 600_000].map(|at| holds(&given, at)), [true, true, false]);
        let (failed, _teller) = run(Some(Err(())));
        assert_eq!([20_000, 20_999, 21_000].map(|at| holds(&failed, at)), [true, true, false]);
        let (lasting, teller) = run(None);
        assert!(holds(&lasting, 900_000));
        drop(teller);
        assert!(!holds(&lasting, 0));
    }
}

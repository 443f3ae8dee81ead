//! Connections that have not shown whose they are. No session's limits hold them yet, so they have bounds of their own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// All strangers there are. Where there are too many the one that has waited longest gives way: to turn newcomers away
/// would let a crowd of strangers shut out everyone else.
pub(crate) struct Strangers {
    most: usize,
    arrived: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

impl Strangers {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, arrived: AtomicU64::new(0), waiting: Mutex::default() })
    }

    /// Lets one in, and asks the oldest to leave where there are too many.
    pub(crate) fn enter(self: &Arc<Self>) -> Stranger {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let leave = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        waiting.insert(number, Arc::clone(&leave));
        if waiting.len() > self.most
            && let Some((_, oldest)) = waiting.pop_first()
        {
            oldest.notify_one();
        }
        drop(waiting);
        Stranger { among: Arc::clone(self), number, leave, known: Arc::default(), failures: AtomicU32::new(0) }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, until it is known whose it is.
pub(crate) struct Stranger {
    among: Arc<Strangers>,
    number: u64,
    leave: Arc<Notify>,
    known: Arc<AtomicBool>,
    failures: AtomicU32,
}

impl Stranger {
    /// Whether it is known by now.
    pub(crate) fn known(&self) -> &Arc<AtomicBool> {
        &self.known
    }

    /// It has shown whose it is, and is held by that session's limits from now on.
    pub(crate) fn introduce(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.among.waiting().remove(&self.number);
        }
    }

    /// It could not show whose it is. Says whether it may try again on this connection: real clients need one answer to
    /// learn that they are asked, and have no use for many.
    pub(crate) fn fail(&self) -> bool {
        self.known.load(Ordering::Relaxed) || self.failures.fetch_add(1, Ordering::Relaxed) + 1 < MAX_FAILURES
    }

    /// Ends when it has to give way; never for one that is known.
    pub(crate) async fn evicted(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.among.waiting().remove(&self.number);
    }
}

/// Requests without a session on one connection, the last of which closes it.
const MAX_FAILURES: u32 = 3;

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    async fn is_evicted(stranger: &Stranger) -> bool {
        timeout(Duration::ZERO, stranger.evicted()).await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_stranger_gives_way_and_nobody_who_is_known() {
        let strangers = Strangers::new(2);
        let [first, second] = [strangers.enter(), strangers.enter()];
        first.introduce();
        let [third, fourth] = [strangers.enter(), strangers.enter()];
        assert!(!is_evicted(&first).await, "known");
        assert!(is_evicted(&second).await, "the oldest");
        assert!(!is_evicted(&third).await && !is_evicted(&fourth).await);
        drop(third);
        let fifth = strangers.enter();
        assert!(!is_evicted(&fourth).await && !is_evicted(&fifth).await, "who has left makes room");
    }

    #[test]
    fn a_stranger_may_fail_twice() {
        let strangers = Strangers::new(1);
        let stranger = strangers.enter();
        assert_eq!([stranger.fail(), stranger.fail(), stranger.fail()], [true, true, false]);
        let known = strangers.enter();
        known.introduce();
        assert!((0..10).all(|_| known.fail()));
    }
}

//! What one session may do so many times an hour.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::clock::{Clock, DefaultClock, Reference as _};

use super::{Limit, Limited};

/// Counts by the hour, which begins with the first of its uses: so GitHub counts, and so nobody has twice as many around a full hour.
pub(crate) struct Hourly<C: Clock = DefaultClock> {
    limit: Limit,
    most: AtomicU32,
    hour: Mutex<Option<Hour<C>>>,
}

struct Hour<C: Clock> {
    began: C::Instant,
    used: u32,
}

/// How much of an hour is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) most: u32,
    pub(crate) taken: u32,
    /// Until it begins anew.
    pub(crate) left: Duration,
}

impl<C: Clock> Hourly<C> {
    pub(super) fn new(limit: Limit, most: u32) -> Self {
        Self { limit, most: AtomicU32::new(most), hour: Mutex::new(None) }
    }

    /// Changes how many there may be, and keeps the count.
    pub(super) fn update(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Counts one.
    pub(super) fn take(&self, clock: &C) -> Result<(), Limited> {
        let (now, most) = (clock.now(), self.most.load(Ordering::Relaxed));
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let left = hour.as_ref().and_then(|hour| hour.left(now));
        if let Some((hour, wait)) = hour.as_mut().zip(left) {
            if hour.used >= most {
                return Err(Limited { limit: self.limit, wait });
            }
            hour.used += 1;
        } else {
            *hour = Some(Hour { began: now, used: 1 });
        }
        Ok(())
    }

    /// What is used up of it.
    pub(super) fn used(&self, clock: &C) -> Used {
        let hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let going_on = hour.as_ref().and_then(|hour| Some((hour.used, hour.left(clock.now())?)));
        let (taken, left) = going_on.unwrap_or((0, HOUR));
        Used { most: self.most.load(Ordering::Relaxed), taken, left }
    }
}

impl<C: Clock> Hour<C> {
    /// How long it goes on; none where it is over.
    fn left(&self, now: C::Instant) -> Option<Duration> {
        HOUR.checked_sub(now.duration_since(self.began).into()).filter(|left| !left.is_zero())
    }
}

const HOUR: Duration = Duration::from_secs(3600);

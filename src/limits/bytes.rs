//! How many octets one session may still send up, and how fast its octets may go each way.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use super::SHORTEST_WAIT;
use crate::policy::Limits;

/// Which way octets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The octets of one session, held to `upload_budget` and `bytes_per_second`. What goes up is counted from the session's beginning,
/// with or without a budget, so that one that a reload brings is a budget for the whole session.
pub(crate) struct Octets<C: Clock = DefaultClock> {
    clock: C,
    /// Whose they are.
    session: Arc<str>,
    sent: AtomicU64,
    /// [`u64::MAX`] where there is none.
    budget: AtomicU64,
    /// That little is left was said.
    warned: AtomicBool,
    up: ArcSwapOption<Pace<C>>,
    down: ArcSwapOption<Pace<C>>,
}

/// Why octets may not go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// They may be asked for again then.
    For(Duration),
    Exhausted(Exhausted),
}

/// The session has sent up what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    budget: u64,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The upload_budget of [limits], {} octets for the whole session, has no room for this; only a policy with a larger one gives \
             more.",
            self.budget
        )
    }
}

impl<C: Clock + Clone> Octets<C> {
    pub(super) fn new(session: Arc<str>, bounds: &Limits, clock: C) -> Self {
        let octets = Self {
            clock,
            session,
            sent: AtomicU64::new(0),
            budget: AtomicU64::new(u64::MAX),
            warned: AtomicBool::new(false),
            up: ArcSwapOption::empty(),
            down: ArcSwapOption::empty(),
        };
        octets.update(bounds);
        octets
    }

    /// Changes the bounds and keeps the count. A pace that changed starts with a full bucket.
    pub(super) fn update(&self, bounds: &Limits) {
        let budget = bounds.upload_budget.unwrap_or(u64::MAX);
        if self.budget.swap(budget, Ordering::Relaxed) != budget {
            self.warned.store(false, Ordering::Relaxed);
        }
        for pace in [&self.up, &self.down] {
            if pace.load().as_ref().map(|pace| pace.per_second) != bounds.bytes_per_second {
                pace.store(bounds.bytes_per_second.map(|per_second| Arc::new(Pace::new(per_second, &self.clock))));
            }
        }
    }

    /// Takes leave for as many of the `wanted` octets as may go now: at least one, where any are wanted, and all where nothing bounds
    /// them. Beside [`Exhausted`] nothing is ever refused: it waits.
    pub(crate) fn take(&self, direction: Direction, wanted: u64) -> Result<u64, Held> {
        let (pace, room) = match direction {
            Direction::Up => (&self.up, self.room(1).map_err(Held::Exhausted)),
            Direction::Down => (&self.down, Ok(u64::MAX)),
        };
        if wanted == 0 {
            return Ok(0);
        }
        let mut portion = wanted.min(room?);
        if let Some(pace) = &*pace.load() {
            portion = pace.take(portion, &self.clock).map_err(Held::For)?;
        }
        if direction == Direction::Down { Ok(portion) } else { self.spend(portion, 1).map_err(Held::Exhausted) }
    }

    /// Takes what goes up in one piece or not at all, as the head of a request does; it does not wait.
    pub(crate) fn take_whole(&self, octets: u64) -> Result<(), Exhausted> {
        self.spend(octets, octets).map(drop)
    }

    /// Whether anything may go up; what asks for more is refused where not.
    pub(crate) fn may_send(&self) -> Result<(), Exhausted> {
        self.room(1).map(drop)
    }

    /// What may still go up, if it is `least` or more.
    fn room(&self, least: u64) -> Result<u64, Exhausted> {
        let budget = self.budget.load(Ordering::Relaxed);
        let room = budget.saturating_sub(self.sent.load(Ordering::Relaxed));
        if room < least { Err(Exhausted { budget }) } else { Ok(room) }
    }

    /// Takes up to `most` octets off the budget, and none where fewer than `least` are left.
    fn spend(&self, most: u64, least: u64) -> Result<u64, Exhausted> {
        let budget = self.budget.load(Ordering::Relaxed);
        let room = |sent| budget.saturating_sub(sent);
        let take = |sent| (room(sent) >= least).then(|| sent + most.min(room(sent)));
        let before = self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Exhausted { budget })?;
        let taken = most.min(room(before));
        if budget != u64::MAX && budget - room(before + taken) >= budget / 5 * 4 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(session = &*self.session, budget, "four fifths of the session's upload_budget are used up");
        }
        Ok(taken)
    }
}

/// Octets a second, one way.
struct Pace<C: Clock> {
    per_second: u64,
    /// Octets that count as one; a token for each would come faster than the clock ticks.
    unit: u64,
    /// Most that go at once, so that those who wait take turns.
    most: u64,
    /// None where the rate is zero.
    bucket: Option<RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>>,
}

impl<C: Clock + Clone> Pace<C> {
    fn new(per_second: u64, clock: &C) -> Self {
        let unit = (per_second >> UNITS_PER_SECOND.ilog2()).max(1);
        let period = (NANOSECONDS * u128::from(unit)).checked_div(u128::from(per_second)).and_then(|period| {
            // Rounded up: never faster than was said.
            Quota::with_period(Duration::from_nanos(u64::try_from(period).ok()?.saturating_add(1)))
        });
        let burst = u32::try_from(per_second.max(LEAST_BURST) / unit).ok().and_then(NonZeroU32::new);
        let quota = period.zip(burst).map(|(period, burst)| period.allow_burst(burst));
        let bucket = quota.map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()));
        Self { per_second, unit, most: (per_second / 8).clamp(LEAST_PORTION, MOST_PORTION), bucket }
    }

    /// As many of these as may go at once, or how long they have to wait. What fails waits.
    fn take(&self, wanted: u64, clock: &C) -> Result<u64, Duration> {
        let portion = wanted.min(self.most);
        let units = u32::try_from(portion.div_ceil(self.unit)).ok().and_then(NonZeroU32::new);
        let (Some(bucket), Some(units)) = (&self.bucket, units) else { return Err(SHORTEST_WAIT) };
        match bucket.check_n(units) {
            Ok(Ok(())) => Ok(portion),
            Ok(Err(early)) => Err(early.wait_time_from(clock.now())),
            Err(_) => Err(SHORTEST_WAIT),
        }
    }
}

const NANOSECONDS: u128 = 1_000_000_000;
/// Of a pace, about.
const UNITS_PER_SECOND: u64 = 1 << 22;
/// The burst is a second's worth, and no less than this.
const LEAST_BURST: u64 = 256 * 1024;
const LEAST_PORTION: u64 = 1024;
const MOST_PORTION: u64 = 64 * 1024;

#[cfg(test)]
mod tests;

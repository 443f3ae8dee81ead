//! How much one session may have open, how fast it may ask, and how much it may send: counts without a lock, rates by token bucket.

mod bytes;
mod guesses;
mod hourly;
mod strangers;

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::{Instant, sleep};

use self::hourly::Hourly;
pub(crate) use self::{
    bytes::{Direction, Exhausted, Held, Octets},
    guesses::Guesses,
    hourly::Used,
    strangers::{Stranger, Strangers},
};
use crate::{policy::Limits, reason::Reason};

/// Which bound was met, by the name of its key in a policy where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    Tunnels,
    NewConnections,
    Requests,
    Names,
    Bandwidth,
    Uploads,
    Guesses,
    ApiCalls,
    ApiWrites,
    ApiComments,
}

impl Limit {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Connections,
        Self::Tunnels,
        Self::NewConnections,
        Self::Requests,
        Self::Names,
        Self::Bandwidth,
        Self::Uploads,
        Self::Guesses,
        Self::ApiCalls,
        Self::ApiWrites,
        Self::ApiComments,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Tunnels => "tunnels",
            Self::NewConnections => "new_connections_per_second",
            Self::Requests => "requests_per_second",
            Self::Names => "dns_queries_per_second",
            Self::Bandwidth => "bytes_per_second",
            Self::Uploads => "upload_budget",
            Self::Guesses => "wrong_tokens",
            Self::ApiCalls => "api_calls_per_hour",
            Self::ApiWrites => "api_writes_per_hour",
            Self::ApiComments => "api_comments_per_hour",
        }
    }
}

/// A bound that was met, and when asking again may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) limit: Limit,
    wait: Duration,
}

impl Limited {
    pub(crate) const fn reason(&self) -> Reason {
        match self.limit {
            Limit::Connections => Reason::TooManyConnections,
            Limit::Tunnels => Reason::TooManyTunnels,
            Limit::NewConnections
            | Limit::Requests
            | Limit::Names
            | Limit::Bandwidth
            | Limit::ApiCalls
            | Limit::ApiWrites
            | Limit::ApiComments => Reason::RateLimited,
            Limit::Uploads => Reason::BudgetExhausted,
            Limit::Guesses => Reason::SessionUnknown,
        }
    }

    /// Whole seconds, at least one: ready for `Retry-After` (RFC 9110, section 10.2.3).
    pub(crate) fn retry_after(&self) -> Duration {
        whole_seconds(self.wait)
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of [limits]", self.limit.as_str())
    }
}

/// Tries until it is given what it asks for, as long as that is a matter of [`LONGEST_DELAY`] in all; dropping this stops it.
pub(crate) async fn soon<T>(take: impl Fn() -> Result<T, Limited>) -> Result<T, Limited> {
    let deadline = Instant::now() + LONGEST_DELAY;
    loop {
        match take() {
            Err(limited) if Instant::now() + limited.wait <= deadline => sleep(limited.wait).await,
            taken => return taken,
        }
    }
}

/// The counters of one session, held to the `[limits]` of its policy; they live and end with it, and there are no others. A registrable
/// domain needs no bucket of its own: one of the same size, full when the session's is and fed with a part of what that lets through,
/// can never run dry before the session's does.
pub(crate) struct SessionLimits<C: Clock = DefaultClock> {
    clock: C,
    connections: Cap,
    tunnels: Cap,
    new_connections: ArcSwap<Rate<C>>,
    requests: ArcSwap<Rate<C>>,
    names: ArcSwap<Rate<C>>,
    octets: Arc<Octets<C>>,
    api_calls: Hourly<C>,
    api_writes: Hourly<C>,
    api_comments: Hourly<C>,
}

impl SessionLimits {
    pub(crate) fn new(session: &Arc<str>, bounds: &Limits) -> Self {
        Self::with_clock(session, bounds, DefaultClock::default())
    }
}

impl<C: Clock + Clone> SessionLimits<C> {
    fn with_clock(session: &Arc<str>, bounds: &Limits, clock: C) -> Self {
        Self {
            connections: Cap::new(bounds.connections),
            tunnels: Cap::new(bounds.tunnels),
            new_connections: ArcSwap::from_pointee(Rate::of_connections(bounds, &clock)),
            requests: ArcSwap::from_pointee(Rate::of_requests(bounds, &clock)),
            names: ArcSwap::from_pointee(Rate::of_names(bounds, &clock)),
            octets: Arc::new(Octets::new(Arc::clone(session), bounds, clock.clone())),
            api_calls: Hourly::new(Limit::ApiCalls, bounds.api_calls_per_hour),
            api_writes: Hourly::new(Limit::ApiWrites, bounds.api_writes_per_hour),
            api_comments: Hourly::new(Limit::ApiComments, bounds.api_comments_per_hour),
            clock,
        }
    }

    /// Takes a place for one downstream connection. One that finds no place does not count against the rate.
    pub(crate) fn connection(&self) -> Result<Slot, Limited> {
        let slot = self.connections.take(Limit::Connections)?;
        self.new_connections.load().check(Limit::NewConnections, &self.clock)?;
        Ok(slot)
    }

    /// Takes a place for one connection upstream, of those that share one of the sandbox's.
    pub(crate) fn exchange(&self) -> Result<Slot, Limited> {
        self.connections.take(Limit::Connections)
    }

    /// Takes a place for one tunnel.
    pub(crate) fn tunnel(&self) -> Result<Slot, Limited> {
        self.tunnels.take(Limit::Tunnels)
    }

    /// Counts one request.
    pub(crate) fn request(&self) -> Result<(), Limited> {
        self.requests.load().check(Limit::Requests, &self.clock)
    }

    /// Counts one use of a name, whether it is asked for or remembered.
    pub(crate) fn name(&self) -> Result<(), Limited> {
        self.names.load().check(Limit::Names, &self.clock)
    }

    /// Counts one call of an API.
    pub(crate) fn api_call(&self) -> Result<(), Limited> {
        self.api_calls.take(&self.clock)
    }

    /// The same for one that changes something.
    pub(crate) fn api_write(&self) -> Result<(), Limited> {
        self.api_writes.take(&self.clock)
    }

    /// The same for one that says something to people.
    pub(crate) fn api_comment(&self) -> Result<(), Limited> {
        self.api_comments.take(&self.clock)
    }

    /// How many calls of an API it had this hour, of how many.
    pub(crate) fn api_used(&self) -> Used {
        self.api_calls.used(&self.clock)
    }

    /// What it sends and receives.
    pub(crate) fn octets(&self) -> &Arc<Octets<C>> {
        &self.octets
    }

    /// Changes the bounds and keeps the counts: who is in stays in, though nobody new comes in above a lowered bound. A
    /// rate that changed starts with a full bucket.
    pub(crate) fn update(&self, bounds: &Limits) {
        self.connections.most.store(bounds.connections, Ordering::Relaxed);
        self.tunnels.most.store(bounds.tunnels, Ordering::Relaxed);
        if self.new_connections.load().per_second != bounds.new_connections_per_second {
            self.new_connections.store(Arc::new(Rate::of_connections(bounds, &self.clock)));
        }
        if self.requests.load().per_second != bounds.requests_per_second {
            self.requests.store(Arc::new(Rate::of_requests(bounds, &self.clock)));
        }
        if self.names.load().per_second != bounds.dns_queries_per_second {
            self.names.store(Arc::new(Rate::of_names(bounds, &self.clock)));
        }
        self.octets.update(bounds);
        self.api_calls.update(bounds.api_calls_per_hour);
        self.api_writes.update(bounds.api_writes_per_hour);
        self.api_comments.update(bounds.api_comments_per_hour);
    }
}

/// A place among those that may be open at once; given back on drop.
#[derive(Debug)]
#[must_use = "the place is given back on drop"]
pub(crate) struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Cap {
    taken: Arc<AtomicU32>,
    most: AtomicU32,
}

impl Cap {
    fn new(most: u32) -> Self {
        Self { taken: Arc::default(), most: AtomicU32::new(most) }
    }

    fn take(&self, limit: Limit) -> Result<Slot, Limited> {
        let most = self.most.load(Ordering::Relaxed);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1)) {
            Ok(_) => Ok(Slot(self.taken.clone())),
            Err(_) => Err(Limited { limit, wait: SHORTEST_WAIT }),
        }
    }
}

struct Rate<C: Clock> {
    per_second: u32,
    /// None where the rate is zero.
    bucket: Option<RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>>,
}

impl<C: Clock + Clone> Rate<C> {
    fn of_connections(bounds: &Limits, clock: &C) -> Self {
        Self::new(bounds.new_connections_per_second, 1, clock)
    }

    fn of_requests(bounds: &Limits, clock: &C) -> Self {
        Self::new(bounds.requests_per_second, BURST, clock)
    }

    fn of_names(bounds: &Limits, clock: &C) -> Self {
        Self::new(bounds.dns_queries_per_second, BURST, clock)
    }

    fn new(per_second: u32, burst: u32, clock: &C) -> Self {
        let quota = NonZeroU32::new(per_second)
            .zip(NonZeroU32::new(per_second.saturating_mul(burst)))
            .map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        Self { per_second, bucket: quota.map(|quota| RateLimiter::direct_with_clock(quota, clock.clone())) }
    }

    fn check(&self, limit: Limit, clock: &C) -> Result<(), Limited> {
        let Some(bucket) = &self.bucket else {
            return Err(Limited { limit, wait: SHORTEST_WAIT });
        };
        bucket.check().map_err(|refusal| Limited { limit, wait: refusal.wait_time_from(clock.now()) })
    }
}

fn whole_seconds(wait: Duration) -> Duration {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds).max(SHORTEST_WAIT)
}

/// Requests that may come at once, and names, in seconds' worth of the rate.
const BURST: u32 = 4;
/// Whoever gets what it asks for within this time waits for it.
const LONGEST_DELAY: Duration = Duration::from_millis(100);
/// What `Retry-After` says where nobody knows when a place becomes free.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

//! Tokens that prove no session: how fast those who show them are answered. Whoever shows a right one is never held up by it.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};
use tokio::time::{Instant, sleep};

/// One network of whoever may have any address in it: an IPv4 address, or a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !(u128::MAX >> 64)).into(),
            four @ IpAddr::V4(_) => four,
        })
    }
}

type Each<C> = RateLimiter<Source, HashMapStateStore<Source>, C, NoOpMiddleware<<C as Clock>::Instant>>;
type All<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// How many wrong tokens are answered at once, of each source and of all of them.
pub(crate) struct Guesses<C: Clock = DefaultClock> {
    each: Each<C>,
    all: All<C>,
    clock: C,
}

impl Default for Guesses {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Guesses<C> {
    fn with_clock(clock: C) -> Self {
        let quota = |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST));
        Self {
            each: RateLimiter::hashmap_with_clock(quota(PER_SOURCE), clock.clone()),
            all: RateLimiter::direct_with_clock(quota(IN_ALL), clock.clone()),
            clock,
        }
    }

    /// Counts one, and ends when it may be answered: at once, or where there are too many in its turn, after [`LONGEST_HOLD`] at the latest.
    /// Gives when it makes sense to come again, where there were too many.
    pub(crate) async fn hold(&self, source: Option<IpAddr>) -> Option<Duration> {
        let source = source.map(Source::of);
        let deadline = Instant::now() + LONGEST_HOLD;
        let mut wait = self.count(source)?;
        while Instant::now() + wait <= deadline {
            sleep(wait).await;
            match self.count(source) {
                None => return Some(AGAIN),
                Some(longer) => wait = longer,
            }
        }
        sleep(deadline.saturating_duration_since(Instant::now())).await;
        Some(wait.max(AGAIN))
    }

    /// How long until one more may be answered; `None`: now, and it is counted.
    fn count(&self, source: Option<Source>) -> Option<Duration> {
        let now = || self.clock.now();
        if let Some(source) = source {
            if self.each.len() >= MAX_SOURCES {
                self.each.retain_recent();
            }
            // Where there are too many to tell apart, what holds all of them has to do.
            if self.each.len() < MAX_SOURCES
                && let Err(early) = self.each.check_key(&source)
            {
                return Some(early.wait_time_from(now()).max(SHORTEST_WAIT));
            }
        }
        self.all.check().err().map(|early| early.wait_time_from(now()).max(SHORTEST_WAIT))
    }
}

/// Wrong tokens of one source that are answered in a second.
const PER_SOURCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Wrong tokens of all sources that are answered in a second.
const IN_ALL: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// How many may come at once, in seconds' worth of these: a sandbox whose session was replaced shows the old token in many requests.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// How long one waits for its answer.
const LONGEST_HOLD: Duration = Duration::from_secs(2);
/// What its answer says when it came to be answered at all: there is no hurry to be wrong again.
const AGAIN: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Sources that are told apart.
const MAX_SOURCES: usize = 10_000;

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn counted(guesses: &Guesses<FakeRelativeClock>, from: &str) -> bool {
        guesses.count(Some(Source::of(address(from)))).is_none()
    }

    #[test]
    fn a_source_that_is_wrong_too_often_has_to_wait_and_no_other() {
        let clock = FakeRelativeClock::default();
        let guesses = Guesses::with_clock(clock.clone());
        for _ in 0..PER_SOURCE.saturating_mul(BURST).get() {
            assert!(counted(&guesses, "2001:db8::1"));
        }
        assert!(!counted(&guesses, "2001:db8::1"));
        assert!(!counted(&guesses, "2001:db8::ffff:0:0:2"), "of the same network");
        assert!(counted(&guesses, "2001:db8:0:1::1") && counted(&guesses, "10.0.0.1"));
        clock.advance(Duration::from_millis(100));
        assert!(counted(&guesses, "2001:db8::1") && !counted(&guesses, "2001:db8::1"));
    }

    #[test]
    fn all_sources_together_have_to_wait_too() {
        let guesses = Guesses::with_clock(FakeRelativeClock::default());
        let one = |number: u32| guesses.count(Some(Source::of(std::net::Ipv4Addr::from_bits(number).into()))).is_none();
        let most = IN_ALL.saturating_mul(BURST).get();
        assert!((0..most).all(one));
        assert!(!one(most));
    }

    #[tokio::test]
    async fn a_wrong_token_is_answered_late_and_told_so() {
        let clock = FakeRelativeClock::default();
        let guesses = Guesses::with_clock(clock);
        for _ in 0..PER_SOURCE.saturating_mul(BURST).get() {
            assert_eq!(guesses.hold(Some(address("10.0.0.1"))).await, None);
        }
        let since = Instant::now();
        assert!(guesses.hold(Some(address("10.0.0.1"))).await.is_some_and(|again| again >= AGAIN));
        assert!(since.elapsed() >= LONGEST_HOLD, "{:?}", since.elapsed());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let guesses = Guesses::with_clock(FakeRelativeClock::default());
        for number in 0..2 * u32::try_from(MAX_SOURCES).unwrap() {
            guesses.count(Some(Source::of(std::net::Ipv4Addr::from_bits(number).into())));
        }
        assert!(guesses.each.len() <= MAX_SOURCES);
    }
}

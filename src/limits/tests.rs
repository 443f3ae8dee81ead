use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    connections: 3,
    tunnels: 2,
    new_connections_per_second: 5,
    requests_per_second: 10,
    dns_queries_per_second: 10,
    bytes_per_second: None,
    upload_budget: None,
    api_calls_per_hour: 10,
    api_writes_per_hour: 2,
    api_comments_per_hour: 1,
};

fn limits(bounds: Limits) -> (SessionLimits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (SessionLimits::with_clock(&"s".into(), &bounds, clock.clone()), clock)
}

/// Which limit was met, and the seconds to wait for it.
fn told<T>(taken: Result<T, Limited>) -> Option<(Limit, u64)> {
    taken.err().map(|limited| (limited.limit, limited.retry_after().as_secs()))
}

#[test]
fn a_place_is_given_back_on_drop() {
    let (limits, _clock) = limits(LIMITS);
    let first = limits.tunnel().unwrap();
    let _second = limits.tunnel().unwrap();
    assert_eq!(told(limits.tunnel()), Some((Limit::Tunnels, 1)));
    assert_eq!(limits.tunnel().unwrap_err().reason(), Reason::TooManyTunnels);
    drop(first);
    let _third = limits.tunnel().unwrap();
    assert!(limits.tunnel().is_err());
}

#[test]
fn connections_have_a_cap_and_a_rate() {
    let (limits, clock) = limits(LIMITS);
    let held: Vec<_> = (0..3).map(|_| limits.connection().unwrap()).collect();
    assert_eq!(told(limits.connection()), Some((Limit::Connections, 1)));
    assert_eq!(limits.connection().unwrap_err().reason(), Reason::TooManyConnections);
    drop(held);
    for _ in 0..2 {
        drop(limits.connection().unwrap());
    }
    assert_eq!(told(limits.connection()), Some((Limit::NewConnections, 1)));
    assert_eq!(limits.connection().unwrap_err().reason(), Reason::RateLimited);
    clock.advance(Duration::from_millis(200));
    drop(limits.connection().unwrap());
    assert!(limits.connection().is_err());
}

#[test]
fn one_that_meets_the_rate_takes_no_place() {
    let (limits, clock) = limits(Limits { connections: 1, new_connections_per_second: 1, ..LIMITS });
    drop(limits.connection().unwrap());
    assert_eq!(limits.connection().unwrap_err().limit, Limit::NewConnections);
    clock.advance(Duration::from_secs(1));
    assert!(limits.connection().is_ok());
}

#[test]
fn requests_come_in_bursts_of_four_seconds() {
    let (limits, clock) = limits(LIMITS);
    for _ in 0..40 {
        limits.request().unwrap();
    }
    assert_eq!(told(limits.request()), Some((Limit::Requests, 1)));
    clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        limits.request().unwrap();
    }
    assert_eq!(told(limits.request()), Some((Limit::Requests, 1)));
}

#[test]
fn zero_lets_nothing_through() {
    let (limits, clock) = limits(Limits { connections: 0, tunnels: 0, new_connections_per_second: 0, requests_per_second: 0, ..LIMITS });
    clock.advance(Duration::from_secs(60));
    assert_eq!(told(limits.connection()), Some((Limit::Connections, 1)));
    assert_eq!(told(limits.tunnel()), Some((Limit::Tunnels, 1)));
    assert_eq!(told(limits.request()), Some((Limit::Requests, 1)));
}

#[test]
fn a_reload_keeps_counts_and_unchanged_rates() {
    let (limits, _clock) = limits(LIMITS);
    let held = (limits.tunnel().unwrap(), limits.tunnel().unwrap());
    for _ in 0..40 {
        limits.request().unwrap();
    }
    limits.update(&Limits { tunnels: 1, ..LIMITS });
    assert_eq!(told(limits.request()), Some((Limit::Requests, 1)));
    drop(held.0);
    assert!(limits.tunnel().is_err(), "one is still open, and one is all there may be");
    drop(held.1);
    let _open = limits.tunnel().unwrap();

    limits.update(&Limits { requests_per_second: 1, ..LIMITS });
    for _ in 0..4 {
        limits.request().unwrap();
    }
    assert!(limits.request().is_err());
}

#[test]
fn waits_are_whole_seconds_rounded_up() {
    for (milliseconds, seconds) in [(0, 1), (200, 1), (1000, 1), (1001, 2), (3999, 4)] {
        assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), Duration::from_secs(seconds), "{milliseconds}");
    }
}

#[test]
fn words_are_the_keys_of_a_policy() {
    let words: Vec<_> = Limit::ALL.iter().map(|limit| limit.as_str()).collect();
    let keys = [
        "connections",
        "tunnels",
        "new_connections_per_second",
        "requests_per_second",
        "dns_queries_per_second",
        "bytes_per_second",
        "upload_budget",
        "api_calls_per_hour",
        "api_writes_per_hour",
        "api_comments_per_hour",
    ];
    // Nobody writes the one of wrong tokens: whoever sends them has no session.
    let words: Vec<_> = words.into_iter().filter(|word| *word != "wrong_tokens").collect();
    assert_eq!(words, keys);
}

#[test]
fn names_have_a_rate_of_their_own() {
    let (limits, clock) = limits(Limits { dns_queries_per_second: 1, ..LIMITS });
    for _ in 0..4 {
        limits.name().unwrap();
    }
    assert_eq!(told(limits.name()), Some((Limit::Names, 1)));
    limits.request().unwrap();
    clock.advance(Duration::from_secs(1));
    limits.name().unwrap();
    limits.update(&Limits { dns_queries_per_second: 0, ..LIMITS });
    assert_eq!(limits.name().unwrap_err().reason(), Reason::RateLimited);
}

#[test]
fn an_hour_begins_with_its_first_call() {
    let (limits, clock) = limits(LIMITS);
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let used = |taken, left| Used { most: 10, taken, left };
    assert_eq!(limits.api_used(), used(0, hour));
    clock.advance(minute * 30);
    limits.api_call().unwrap();
    clock.advance(minute * 59);
    (0..9).for_each(|_| limits.api_call().unwrap());
    assert_eq!((limits.api_used(), told(limits.api_call())), (used(10, minute), Some((Limit::ApiCalls, 60))));
    assert_eq!(limits.api_call().unwrap_err().reason(), Reason::RateLimited);
    // Each has its own.
    (0..2).for_each(|_| limits.api_write().unwrap());
    assert_eq!((told(limits.api_write()), limits.api_comment().is_ok()), (Some((Limit::ApiWrites, 3600)), true));
    assert_eq!(told(limits.api_comment()), Some((Limit::ApiComments, 3600)));
    clock.advance(minute);
    limits.api_call().unwrap();
    assert_eq!(limits.api_used(), used(1, hour));
    limits.update(&Limits { api_calls_per_hour: 1, ..LIMITS });
    assert_eq!(told(limits.api_call()), Some((Limit::ApiCalls, 3600)));
}

#[tokio::test]
async fn what_is_there_soon_is_waited_for_and_nothing_else() {
    let tries = AtomicU32::new(0);
    let after = |needed: u32, milliseconds: u64| {
        let tries = &tries;
        tries.store(0, Ordering::Relaxed);
        move || {
            let before = tries.fetch_add(1, Ordering::Relaxed);
            if before >= needed { Ok(()) } else { Err(Limited { limit: Limit::Requests, wait: Duration::from_millis(milliseconds) }) }
        }
    };
    let began = Instant::now();
    assert_eq!(told(soon(after(1, 20)).await), None);
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(told(soon(after(1, 101)).await), Some((Limit::Requests, 1)));
    assert_eq!(tries.load(Ordering::Relaxed), 1, "it is refused at once");
    // Somebody else is always faster.
    assert_eq!(told(soon(after(u32::MAX, 30)).await), Some((Limit::Requests, 1)));
    assert!(tries.load(Ordering::Relaxed) <= 4, "no longer than 100 ms in all");
}

proptest! {
    /// In any window the number of requests let through is at most the burst and what the time refilled.
    #[test]
    fn no_more_than_burst_and_refill(rate in 1_u32..50, steps in prop::collection::vec((0_u64..500, 0_usize..60), 1..40)) {
        let (limits, clock) = limits(Limits { requests_per_second: rate, ..LIMITS });
        let (mut elapsed, mut passed) = (0_u64, 0_u64);
        for (milliseconds, requests) in steps {
            clock.advance(Duration::from_millis(milliseconds));
            elapsed += milliseconds;
            passed += (0..requests).filter(|_| limits.request().is_ok()).count() as u64;
            prop_assert!(passed <= u64::from(rate) * (u64::from(BURST) * 1000 + elapsed) / 1000 + 1);
        }
    }

    /// The number of open places equals the number of slots held, whatever the order of taking and dropping.
    #[test]
    fn places_are_counted_exactly(cap in 0_u32..6, steps in prop::collection::vec(any::<bool>(), 0..60)) {
        let (limits, _clock) = limits(Limits { tunnels: cap, ..LIMITS });
        let mut held = Vec::new();
        for take in steps {
            if take {
                let room = held.len() < cap as usize;
                let slot = limits.tunnel();
                prop_assert_eq!(slot.is_ok(), room);
                held.extend(slot);
            } else {
                held.pop();
            }
        }
    }
}

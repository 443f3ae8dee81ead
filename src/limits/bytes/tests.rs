use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn bounds(bytes_per_second: Option<u64>, upload_budget: Option<u64>) -> Limits {
    Limits { bytes_per_second, upload_budget, ..Limits::default() }
}

fn octets(pace: Option<u64>, budget: Option<u64>) -> (Octets<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Octets::new("s".into(), &bounds(pace, budget), clock.clone()), clock)
}

/// Takes until it would have to wait, or has all.
fn take_all(octets: &Octets<FakeRelativeClock>, direction: Direction, wanted: u64) -> (u64, Option<Held>) {
    let mut taken = 0;
    while taken < wanted {
        match octets.take(direction, wanted - taken) {
            Ok(portion) => taken += portion,
            Err(held) => return (taken, Some(held)),
        }
    }
    (taken, None)
}

#[test]
fn without_limits_all_goes_at_once() {
    let (octets, _clock) = octets(None, None);
    assert_eq!(octets.take(Direction::Up, u64::MAX / 2), Ok(u64::MAX / 2));
    assert_eq!(octets.take(Direction::Down, u64::MAX), Ok(u64::MAX));
    assert_eq!(octets.take(Direction::Down, u64::MAX), Ok(u64::MAX));
}

#[test]
fn a_count_that_would_overflow_is_used_up() {
    let (octets, _clock) = octets(None, None);
    assert_eq!(octets.take(Direction::Up, u64::MAX), Ok(u64::MAX));
    assert_eq!(octets.take(Direction::Up, 1), Err(Held::Exhausted(Exhausted { budget: u64::MAX })));
    assert!(octets.take_whole(1).is_err());
}

#[test]
fn a_budget_is_spent_to_its_last_octet_and_no_further() {
    let (octets, _clock) = octets(None, Some(1000));
    assert_eq!(octets.take(Direction::Up, 600), Ok(600));
    octets.take_whole(300).unwrap();
    let exhausted = Exhausted { budget: 1000 };
    assert_eq!(octets.take_whole(101), Err(exhausted), "a head goes whole or not at all");
    assert_eq!(octets.may_send(), Ok(()));
    assert_eq!(octets.take(Direction::Up, 600), Ok(100));
    assert_eq!(octets.take(Direction::Up, 1), Err(Held::Exhausted(exhausted)));
    assert_eq!((octets.may_send(), octets.take(Direction::Up, 0)), (Err(exhausted), Ok(0)));
    assert_eq!(octets.take(Direction::Down, 5000), Ok(5000), "it is of what goes up");
    assert!(exhausted.to_string().contains("upload_budget of [limits], 1000 octets"));
}

#[test]
fn a_reload_changes_the_budget_and_keeps_the_count() {
    let (octets, _clock) = octets(None, None);
    assert_eq!(octets.take(Direction::Up, 600), Ok(600));
    octets.update(&bounds(None, Some(500)));
    assert!(octets.may_send().is_err(), "more than that went already");
    octets.update(&bounds(None, Some(700)));
    assert_eq!(octets.take(Direction::Up, 600), Ok(100));
    octets.update(&bounds(None, None));
    assert_eq!(octets.take(Direction::Up, 600), Ok(600));
}

#[test]
fn a_pace_holds_each_way_on_its_own_and_refuses_nothing() {
    let (octets, clock) = octets(Some(MIB), None);
    let (up, held) = take_all(&octets, Direction::Up, 4 * MIB);
    assert_eq!(up, MIB, "the burst is a second's worth");
    let Some(Held::For(wait)) = held else { panic!("{held:?}") };
    assert!(wait <= Duration::from_millis(125), "for the next portion: {wait:?}");
    assert_eq!(take_all(&octets, Direction::Down, 4 * MIB).0, MIB);
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1));
        let (up, _) = take_all(&octets, Direction::Up, 4 * MIB);
        assert!((MIB - MOST_PORTION..=MIB).contains(&up), "{up}");
    }
    octets.update(&bounds(None, None));
    assert_eq!(octets.take(Direction::Up, 4 * MIB), Ok(4 * MIB));
}

#[test]
fn every_pace_can_be_kept() {
    for per_second in [1, 1000, LEAST_BURST, 50 * MIB, 1 << 32, 1 << 50, u64::MAX] {
        let (octets, clock) = octets(Some(per_second), None);
        let burst = per_second.max(LEAST_BURST);
        if burst < 1 << 24 {
            let (taken, held) = take_all(&octets, Direction::Up, 2 * burst);
            assert!(held.is_some() && taken <= burst && taken + LEAST_PORTION > burst, "{per_second}: {taken}");
            let Some(Held::For(wait)) = held else { panic!("{held:?}") };
            clock.advance(wait);
        }
        assert!(octets.take(Direction::Up, 1 << 30).is_ok_and(|portion| (1..=MOST_PORTION).contains(&portion)), "{per_second}");
    }
}

#[test]
fn no_pace_at_all_lets_nothing_through() {
    let (octets, clock) = octets(Some(0), None);
    clock.advance(Duration::from_secs(1000));
    assert_eq!(octets.take(Direction::Down, 1), Err(Held::For(SHORTEST_WAIT)));
}

#[test]
fn those_who_send_at_once_share_one_budget() {
    let octets = Octets::new("s".into(), &bounds(None, Some(MIB)), DefaultClock::default());
    let sent: u64 = std::thread::scope(|scope| {
        let send = || (0..4000).filter_map(|_| octets.take(Direction::Up, 100).ok()).sum::<u64>();
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!(sent, MIB);
}

#[derive(Debug, Clone)]
enum Step {
    Send(u64),
    Receive(u64),
    SendHead(u64),
    Pass(u64),
    Reload(Option<u64>, Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let budget = || prop::option::of(0..8 * MIB);
    let pace = || prop::option::of(1..4 * MIB);
    prop_oneof![
        4 => (1..MIB).prop_map(Step::Send),
        4 => (1..MIB).prop_map(Step::Receive),
        2 => (1_u64..8192).prop_map(Step::SendHead),
        4 => (0_u64..1500).prop_map(Step::Pass),
        1 => (pace(), budget()).prop_map(|(pace, budget)| Step::Reload(pace, budget)),
    ]
}

/// What a pace has let through since it was set.
#[derive(Debug, Default)]
struct Window {
    milliseconds: u64,
    up: u64,
    down: u64,
}

impl Window {
    /// The burst and what the time refilled; an octet for what is rounded.
    fn holds(&self, pace: u64) -> bool {
        let most = pace.max(LEAST_BURST) + pace * self.milliseconds / 1000 + 1;
        self.up <= most && self.down <= most
    }
}

proptest! {
    /// Whatever is sent, received, waited and reloaded in whatever order: no octet beyond the budget, none faster than the pace, none
    /// held back without cause, and what is held back goes on after the wait that was named or the reload that gives more.
    #[test]
    fn budget_and_pace_hold(pace in prop::option::of(1..4 * MIB), budget in prop::option::of(0..8 * MIB),
                            steps in prop::collection::vec(step(), 1..60)) {
        let (octets, clock) = octets(pace, budget);
        let (mut pace, mut budget) = (pace, budget);
        let (mut sent, mut window) = (0, Window::default());
        for step in steps {
            let room = budget.map_or(u64::MAX, |budget| budget.saturating_sub(sent));
            match step {
                Step::Send(wanted) => {
                    let (taken, held) = take_all(&octets, Direction::Up, wanted);
                    sent += taken;
                    window.up += taken;
                    prop_assert!(taken <= room);
                    match held {
                        None => prop_assert_eq!(taken, wanted),
                        Some(Held::Exhausted(_)) => prop_assert_eq!(taken, room),
                        Some(Held::For(wait)) => {
                            prop_assert!(pace.is_some() && taken < room);
                            clock.advance(wait);
                            window.milliseconds += u64::try_from(wait.as_millis()).unwrap() + 1;
                            let more = octets.take(Direction::Up, wanted - taken);
                            prop_assert!(more.is_ok(), "after {wait:?}: {more:?}");
                            sent += more.unwrap();
                            window.up += more.unwrap();
                        }
                    }
                }
                Step::Receive(wanted) => {
                    let (taken, held) = take_all(&octets, Direction::Down, wanted);
                    window.down += taken;
                    prop_assert!(taken == wanted || (pace.is_some() && matches!(held, Some(Held::For(_)))), "{held:?}");
                }
                Step::SendHead(length) => {
                    let taken = octets.take_whole(length).is_ok();
                    prop_assert_eq!(taken, length <= room);
                    sent += if taken { length } else { 0 };
                }
                Step::Pass(milliseconds) => {
                    clock.advance(Duration::from_millis(milliseconds));
                    window.milliseconds += milliseconds;
                }
                Step::Reload(new_pace, new_budget) => {
                    octets.update(&bounds(new_pace, new_budget));
                    if new_pace != pace {
                        window = Window::default();
                    }
                    (pace, budget) = (new_pace, new_budget);
                }
            }
            prop_assert!(pace.is_none_or(|pace| window.holds(pace)), "{window:?} at {pace:?}");
            prop_assert_eq!(octets.may_send().is_ok(), budget.is_none_or(|budget| sent < budget));
        }
    }
}

//! Waiting, always for something and never for longer than [`PATIENCE`].

use std::{
    thread,
    time::{Duration, Instant},
};

/// The longest that any wait of a test lasts.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Asks until there is an answer; `None` when patience ran out.
pub(crate) fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until `holds`, and fails the test with `what` when it never does.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(poll(|| holds().then_some(())).is_some(), "waited {PATIENCE:?} in vain: {what}");
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

//! Where the answers that a session got have sent it, so that whoever is refused there learns why they came.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::destination::Destination;

/// The latest redirects of a session to other hosts.
#[derive(Debug, Default)]
pub(crate) struct Redirects(Mutex<VecDeque<Redirect>>);

#[derive(Debug)]
struct Redirect {
    from: Destination,
    to: Destination,
    time: SystemTime,
}

impl Redirects {
    /// Remembers that an answer of `from` led to `to`, forgetting the oldest above [`MAX_REDIRECTS`].
    pub(crate) fn remember(&self, from: Destination, to: Destination, time: SystemTime) {
        let mut redirects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        redirects.retain(|redirect| (&redirect.from, &redirect.to) != (&from, &to));
        if redirects.len() == MAX_REDIRECTS {
            redirects.pop_front();
        }
        redirects.push_back(Redirect { from, to, time });
    }

    /// What led to a destination last, if that is no longer ago than [`MEMORY`].
    pub(crate) fn leading_to(&self, to: &Destination, now: SystemTime) -> Option<Destination> {
        let redirects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = redirects.iter().rev().find(|redirect| redirect.to == *to)?;
        let is_fresh = now.duration_since(last.time).is_ok_and(|age| age <= MEMORY);
        is_fresh.then(|| last.from.clone())
    }
}

const MAX_REDIRECTS: usize = 64;
/// A client follows a redirect at once; whoever comes later had another reason.
const MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn to(host: &str) -> Destination {
        Destination::parse(format!("{host}.test:443").as_bytes(), None).unwrap()
    }

    #[test]
    fn the_last_redirect_counts_while_it_is_fresh() {
        let redirects = Redirects::default();
        redirects.remember(to("a"), to("c"), at(0));
        redirects.remember(to("b"), to("c"), at(10));
        assert_eq!(redirects.leading_to(&to("c"), at(70)), Some(to("b")));
        assert_eq!(redirects.leading_to(&to("c"), at(71)), None);
        redirects.remember(to("a"), to("c"), at(71));
        assert_eq!(redirects.leading_to(&to("c"), at(71)), Some(to("a")));
        assert_eq!(redirects.leading_to(&to("a"), at(71)), None);
    }

    #[test]
    fn only_the_latest_are_kept() {
        let redirects = Redirects::default();
        redirects.remember(to("a"), to("first"), at(0));
        (1..MAX_REDIRECTS).for_each(|number| redirects.remember(to("a"), to(&format!("n{number}")), at(0)));
        redirects.remember(to("a"), to("first"), at(0));
        assert_eq!(redirects.leading_to(&to("first"), at(0)), Some(to("a")));
        redirects.remember(to("a"), to("last"), at(0));
        assert_eq!(redirects.leading_to(&to("n1"), at(0)), None);
        assert_eq!(redirects.0.lock().unwrap().len(), MAX_REDIRECTS);
    }
}

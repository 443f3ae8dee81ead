//! What the API of a GitHub said about names of repositories, asked once for all who want to know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as Turns, time::Instant};

use crate::{
    github::{RepositoryName, identity::Identity},
    sessions,
};

/// What was last learnt of each name.
#[derive(Default)]
pub(crate) struct Identities(Mutex<HashMap<Asking, Arc<Turns<Known>>>>);

/// A name, and who asks for it: a session whose credential is its own sees what others do not, and they what it does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asking {
    pub(crate) name: RepositoryName,
    /// None for all that go by the credential of the host.
    pub(crate) session: Option<sessions::Identity>,
}

#[derive(Default)]
struct Known {
    /// When it was last asked, whether or not there was an answer.
    asked: Option<Instant>,
    found: Option<(Instant, Identity)>,
}

impl Identities {
    /// The repository that has a name. `ask` is called where nobody has asked for [`FRESH`] before `now`, or with `again` not since
    /// then; what it cannot tell stays as it was for [`STANDS`].
    pub(crate) async fn find<F>(&self, asking: &Asking, now: Instant, again: bool, ask: impl FnOnce() -> F) -> Option<Identity>
    where
        F: Future<Output = Option<Identity>>,
    {
        let known = self.known(asking);
        let mut known = known.lock().await;
        let enough = if again { Duration::ZERO } else { FRESH };
        if known.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= enough && now != asked) {
            let found = ask().await;
            known.asked = Some(now);
            if let Some(found) = found {
                known.found = Some((now, found));
            }
        }
        let (_, identity) = known.found.as_ref().filter(|(found, _)| now.saturating_duration_since(*found) < STANDS)?;
        Some(identity.clone())
    }

    /// Notes what a name leads to, by another way than asking for it.
    pub(crate) async fn learn(&self, asking: &Asking, now: Instant, identity: Identity) {
        *self.known(asking).lock().await = Known { asked: Some(now), found: Some((now, identity)) };
    }

    fn known(&self, asking: &Asking) -> Arc<Turns<Known>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_NAMES && !all.contains_key(asking) {
            all.clear();
        }
        Arc::clone(all.entry(asking.clone()).or_default())
    }
}

/// How long an answer is taken for the state of things, so that a name given to another repository is noticed.
const FRESH: Duration = Duration::from_secs(60);
/// How long an API that does not answer leaves things as it last said they were.
const STANDS: Duration = Duration::from_secs(3600);
/// Names of which something is kept: granted ones, and those that they lead to.
const MAX_NAMES: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::github::identity::read;

    fn name(text: &str) -> Asking {
        Asking { name: RepositoryName::parse(text).unwrap(), session: None }
    }

    fn identity(id: u64) -> Identity {
        read(format!("{{\"id\":{id},\"full_name\":\"o/r\"}}").as_bytes()).unwrap()
    }

    /// An API that answers so, and how often it was asked.
    struct Api {
        answer: Cell<Option<u64>>,
        asked: Cell<u32>,
    }

    impl Api {
        async fn find(&self, identities: &Identities, now: Instant, again: bool) -> (Option<Identity>, u32) {
            let ask = || async {
                self.asked.set(self.asked.get() + 1);
                tokio::task::yield_now().await;
                self.answer.get().map(identity)
            };
            let found = identities.find(&name("octo/spoon"), now, again, ask).await;
            (found, self.asked.get())
        }
    }

    #[tokio::test]
    async fn an_answer_is_fresh_for_a_while_and_stands_for_longer() {
        let (identities, api) = (Identities::default(), Api { answer: Cell::new(Some(7)), asked: Cell::new(0) });
        let mut now = Instant::now();
        let both = tokio::join!(api.find(&identities, now, false), api.find(&identities, now, false));
        assert_eq!(both, ((Some(identity(7)), 1), (Some(identity(7)), 1)));
        api.answer.set(Some(8));
        now += FRESH / 2;
        assert_eq!(api.find(&identities, now, false).await, (Some(identity(7)), 1));
        now += FRESH / 2;
        assert_eq!(api.find(&identities, now, false).await, (Some(identity(8)), 2));
        api.answer.set(Some(9));
        now += Duration::from_secs(1);
        for _ in 0..2 {
            assert_eq!(api.find(&identities, now, true).await, (Some(identity(9)), 3));
        }
        // An API that falls silent is asked no more often than one that answers.
        api.answer.set(None);
        now += FRESH;
        for _ in 0..2 {
            assert_eq!(api.find(&identities, now, false).await, (Some(identity(9)), 4));
        }
        now += STANDS;
        assert_eq!(api.find(&identities, now, false).await, (None, 5));
        identities.learn(&name("octo/spoon"), now, identity(7)).await;
        assert_eq!(api.find(&identities, now, false).await, (Some(identity(7)), 5));
    }

    /// Nobody learns by another's credential, or goes without because of it.
    #[tokio::test]
    async fn what_a_session_s_own_credential_sees_is_its_own() {
        let (identities, now) = (Identities::default(), Instant::now());
        let [one, other] = [(); 2].map(|()| Asking { session: Some(sessions::Identity::new()), ..name("octo/spoon") });
        assert_eq!(identities.find(&one, now, false, || async { None }).await, None);
        assert_eq!(identities.find(&other, now, false, || async { Some(identity(7)) }).await, Some(identity(7)));
        let later = now + Duration::from_secs(1);
        assert_eq!(identities.find(&one, later, false, || async { panic!("asked lately") }).await, None);
        assert_eq!(identities.find(&name("octo/spoon"), later, false, || async { Some(identity(8)) }).await, Some(identity(8)));
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_the_question_to_the_next() {
        let (identities, spoon, now) = (Identities::default(), name("octo/spoon"), Instant::now());
        let stopped = identities.find(&spoon, now, false, std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(1), stopped).await.is_err());
        let found = identities.find(&spoon, now, false, || async { Some(identity(7)) }).await;
        assert_eq!(found, Some(identity(7)));
    }

    #[tokio::test]
    async fn no_more_is_kept_than_has_a_bound() {
        let identities = Identities::default();
        for number in 0..=MAX_NAMES {
            identities.known(&name(&format!("octo/{number}")));
        }
        assert_eq!(identities.0.lock().unwrap().len(), 1);
    }
}

//! One push at a time for each ref.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::github::{RepositoryName, push::RefName};

/// The refs that pushes of a session are about to change.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    busy: Mutex<HashSet<(RepositoryName, RefName)>>,
    freed: Notify,
}

/// The turn of one push, over when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    refs: Vec<(RepositoryName, RefName)>,
}

impl Turns {
    /// Waits until none of the refs is another push's. All are taken at once, so that no two pushes wait for each other.
    pub(crate) async fn take(self: &Arc<Self>, repository: &RepositoryName, refs: &[RefName]) -> Turn {
        let refs: Vec<_> = refs.iter().map(|name| (repository.clone(), name.clone())).collect();
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.try_take(&refs) {
                return Turn { turns: Arc::clone(self), refs };
            }
            freed.await;
        }
    }

    fn try_take(&self, refs: &[(RepositoryName, RefName)]) -> bool {
        let mut busy = self.lock();
        let free = refs.iter().all(|name| !busy.contains(name));
        if free {
            busy.extend(refs.iter().cloned());
        }
        free
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(RepositoryName, RefName)>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut busy = self.turns.lock();
        for name in &self.refs {
            busy.remove(name);
        }
        drop(busy);
        self.turns.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn g_61_a_ref_is_one_push_s_at_a_time() {
        let name = |text: &str| RefName::parse(text.as_bytes()).unwrap();
        let (turns, repository) = (Arc::<Turns>::default(), RepositoryName::parse("octo/spoon").unwrap());
        let [a, b, c] = ["refs/heads/a", "refs/heads/b", "refs/heads/c"].map(name);
        let soon = Duration::from_millis(50);
        let first = turns.take(&repository, &[a.clone(), b.clone()]).await;
        let _other = timeout(soon, turns.take(&repository, std::slice::from_ref(&c))).await.expect("a ref that is free");
        assert!(timeout(soon, turns.take(&repository, std::slice::from_ref(&b))).await.is_err());
        let waiting = tokio::spawn({
            let (turns, repository) = (turns.clone(), repository.clone());
            async move { turns.take(&repository, &[b]).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = timeout(Duration::from_secs(5), waiting).await.expect("its turn").unwrap();
        assert_eq!(turns.lock().len(), 2);
        drop(second);
        let _again = timeout(soon, turns.take(&repository, &[a])).await.expect("what was given up for another ref is free");
    }
}

//! The tasks of one exchange or connection: hyper begins some for HTTP/2, and none may outlive whoever waits for the answer.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::rt::Executor;
use tokio::task::JoinSet;

/// What runs for one exchange or connection, and ends when this is dropped.
#[derive(Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(crate) fn group(&self) -> Group {
        Group(Arc::downgrade(&self.0))
    }
}

/// Where tasks are begun, also by one another: they keep nothing alive.
#[derive(Clone)]
pub(crate) struct Group(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Group {
    fn execute(&self, task: F) {
        if let Some(tasks) = self.0.upgrade() {
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            // A connection lives long and begins a task for each stream: those that have ended make room.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }
}

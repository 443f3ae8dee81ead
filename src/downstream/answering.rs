//! Whether an answer is on its way to the sandbox.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

/// The answers of one connection, which come one after the other.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Sending>>);

/// Whether an answer is on its way, and who waits for its end.
#[derive(Default)]
enum Sending {
    #[default]
    No,
    Yes(Option<Waker>),
}

impl Answers {
    /// A message was handed on, and its answer is to come.
    pub(super) fn expect(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Sending::Yes(None);
    }

    /// What the answer that is on its way has to hold.
    pub(crate) fn begin(&self) -> Answering {
        Answering(Arc::clone(&self.0))
    }

    /// Ready once no answer is on its way.
    pub(super) fn poll_sent(&self, context: &Context<'_>) -> Poll<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Sending::No => Poll::Ready(()),
            Sending::Yes(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Held by an answer that is on its way to the sandbox.
pub(crate) struct Answering(Arc<Mutex<Sending>>);

impl Drop for Answering {
    fn drop(&mut self) {
        let sending = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if let Sending::Yes(Some(waiting)) = sending {
            waiting.wake();
        }
    }
}

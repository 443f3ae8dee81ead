//! Bounds on waits that are polled.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// A timer that starts with the first wait and is disarmed by progress.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    pub(crate) fn poll_expired(&mut self, context: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.armed {
            sleep.as_mut().reset(Instant::now() + limit);
            self.armed = true;
        }
        sleep.as_mut().poll(context)
    }

    /// A write that is ready, or an error once the other side has taken nothing for `limit`.
    pub(crate) fn bound<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>, limit: Duration) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.disarm();
            return written;
        }
        ready!(self.poll_expired(context, limit));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "what was sent is not taken")))
    }
}

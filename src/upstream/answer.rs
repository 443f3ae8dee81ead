//! The body of an upstream's answer, on its way to whoever asked.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor as _};

use super::{
    tasks::Tasks,
    upload::{Fault, FirstFault, Progress},
};
use crate::downstream::Timer;

/// Streamed as fast as it is asked for, its trailers included. An error is a body that is not whole: the upstream broke it off,
/// sent nothing for the idle time while the request's body did not move either, or the request it answers was given up. When this is dropped, so is the connection.
pub(crate) struct ResponseBody {
    inner: Incoming,
    /// Octets still to come, where a length was announced.
    rest: Option<u64>,
    idle: Duration,
    timer: Timer,
    /// Of the request's body, which may go on being sent.
    upload: Progress,
    fault: FirstFault,
    tasks: Tasks,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, idle: Duration, upload: Progress, fault: FirstFault, tasks: Tasks) -> Self {
        // In HTTP/2 a length may stand where there is no body, as in the answer to HEAD.
        let rest = if inner.is_end_stream() { None } else { inner.size_hint().exact() };
        Self { rest, inner, idle, timer: Timer::default(), upload, fault, tasks }
    }

    /// Breaks off the exchange once `withdrawn` ends, and closes the connection, whether or not anybody reads.
    pub(crate) fn end_when(&self, withdrawn: impl Future<Output = ()> + Send + 'static) {
        let (group, fault) = (self.tasks.group(), FirstFault::clone(&self.fault));
        self.tasks.group().execute(async move {
            withdrawn.await;
            let _ = fault.set(Fault::Withdrawn);
            group.end();
        });
    }

    /// A body that seems to have ended.
    fn end(&self) -> Option<Result<Frame<Bytes>, Box<dyn StdError + Send + Sync>>> {
        if self.fault.get().is_some() {
            return Some(Err("the request was given up while it was answered".into()));
        }
        // An HTTP/2 stream that is reset without an error looks like one that has ended.
        match self.rest {
            None | Some(0) => None,
            Some(missing) => Some(Err(format!("the upstream ended its answer {missing} octets early").into())),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            ready!(this.timer.poll_expired(context, this.idle));
            while this.upload.moved(this.idle) {
                this.timer.disarm();
                ready!(this.timer.poll_expired(context, this.idle));
            }
            return Poll::Ready(Some(Err(format!("the upstream sent nothing for {:?}", this.idle).into())));
        };
        this.timer.disarm();
        Poll::Ready(match frame {
            None => this.end(),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.rest = this.rest.map(|rest| rest.saturating_sub(length));
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

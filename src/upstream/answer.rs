//! The body of an upstream's answer, on its way to whoever asked.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{tasks::Tasks, upload::FirstFault};
use crate::downstream::Timer;

/// Streamed as fast as it is asked for, without trailers. An error is a body that is not whole: the upstream broke it off,
/// sent nothing for the idle time, or the request it answers was given up. When this is dropped, so is the connection.
pub(crate) struct ResponseBody {
    inner: Incoming,
    /// Octets still to come, where a length was announced.
    rest: Option<u64>,
    idle: Duration,
    timer: Timer,
    fault: FirstFault,
    _tasks: Tasks,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, idle: Duration, fault: FirstFault, tasks: Tasks) -> Self {
        Self { rest: inner.size_hint().exact(), inner, idle, timer: Timer::default(), fault, _tasks: tasks }
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
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                ready!(this.timer.poll_expired(context, this.idle));
                return Poll::Ready(Some(Err(format!("the upstream sent nothing for {:?}", this.idle).into())));
            };
            this.timer.disarm();
            return Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
                None => this.end(),
                Some(Ok(Err(_trailers))) => continue,
                Some(Ok(Ok(data))) => {
                    this.rest = this.rest.map(|rest| rest.saturating_sub(data.len() as u64));
                    Some(Ok(Frame::data(data)))
                }
                Some(Err(error)) => Some(Err(error.into())),
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

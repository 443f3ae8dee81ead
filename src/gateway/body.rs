//! Bodies on their way through the gateway: counted, and back-pressured by whoever reads them.

use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

use crate::{
    passage::{Direction, Ending, Patient, Traffic},
    respond::Refusal,
};

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of one of git's requests.
pub(super) type Asking = Patient<Incoming>;

/// A body that goes to the sandbox: one of ours, or an upstream's.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body on its way up: what was understood of it, written anew, then the rest as it arrives.
pub(super) struct Upload {
    first: Option<Bytes>,
    rest: Option<Asking>,
    traffic: Arc<Traffic>,
    /// Gets what is left of the sandbox's upload, if the upstream takes no more of it.
    back: Option<oneshot::Sender<Asking>>,
}

impl Upload {
    /// No body at all.
    pub(super) fn none(traffic: &Arc<Traffic>) -> Self {
        Self { first: None, rest: None, traffic: Arc::clone(traffic), back: None }
    }

    /// The upload, and what comes of its rest.
    pub(super) fn new(first: Bytes, rest: Asking, traffic: &Arc<Traffic>) -> (Self, Rest) {
        let (back, left) = oneshot::channel();
        let first = (!first.is_empty()).then_some(first);
        (Self { first, rest: Some(rest), traffic: Arc::clone(traffic), back: Some(back) }, Rest(left))
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            this.traffic.add(Direction::Up, first.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
            match ready!(Pin::new(rest).poll_frame(context)) {
                // What follows a body as trailers means nothing to git.
                Some(Ok(frame)) if !frame.is_data() => {}
                Some(Ok(frame)) => {
                    this.traffic.add(Direction::Up, frame.data_ref().map_or(0, Bytes::len) as u64);
                    return Poll::Ready(Some(Ok(frame)));
                }
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        length_of(self.first.as_ref(), self.rest.as_ref().map_or(Some(0), |rest| rest.size_hint().exact()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(rest), Some(back)) = (self.rest.take(), self.back.take()) {
            let _ = back.send(rest);
        }
    }
}

/// What the upstream did not take of an upload.
pub(super) struct Rest(oneshot::Receiver<Asking>);

impl Rest {
    /// Reads and drops it, so that a client that still sends reads its answer.
    pub(super) async fn drain(self) {
        if let Some(rest) = self.left().await {
            drain(rest).await;
        }
    }

    /// Waits until the upstream gets no more of it.
    pub(super) async fn left(self) -> Option<Asking> {
        timeout(LET_GO, self.0).await.ok()?.ok()
    }
}

/// Reads and drops what is left of an upload, in bounded size and time.
pub(super) async fn drain(mut body: Asking) {
    let reading = async {
        let mut drained: u64 = 0;
        while drained < MAX_DRAINED {
            let Some(Ok(frame)) = body.frame().await else { return };
            drained = drained.saturating_add(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
    };
    let _ = timeout(DRAINING, reading).await;
}

/// An upstream's body on its way to the sandbox, for as long as its session may have it.
pub(super) struct Download {
    first: Option<Bytes>,
    rest: Body,
    withdrawn: Pin<Box<dyn Future<Output = Refusal> + Send>>,
    traffic: Arc<Traffic>,
    ending: Option<Ending>,
    /// Lets go of what the upstream left of the upload, at the end.
    draining: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Download {
    /// `first`, then `rest`, until `withdrawn` ends.
    pub(super) fn new(first: Bytes, rest: Body, withdrawn: impl Future<Output = Refusal> + Send + 'static, traffic: Arc<Traffic>) -> Self {
        let first = (!first.is_empty()).then_some(first);
        Self { first, rest, withdrawn: Box::pin(withdrawn), traffic, ending: None, draining: None }
    }

    /// The same, whose end is recorded.
    pub(super) fn recorded(self, ending: Ending) -> Self {
        Self { ending: Some(ending), ..self }
    }

    /// The same, which ends once the upload was read to its end: a client that still sends would lose an answer that came early.
    pub(super) fn after(self, upload: Rest) -> Self {
        Self { draining: Some(Box::pin(upload.drain())), ..self }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(refusal) = this.withdrawn.as_mut().poll(context) {
            let text = refusal.denial.to_string();
            if let Some(ending) = &mut this.ending {
                ending.refuse(refusal);
            }
            return Poll::Ready(Some(Err(text.into())));
        }
        if let Some(first) = this.first.take() {
            this.traffic.add(Direction::Down, first.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            match ready!(Pin::new(&mut this.rest).poll_frame(context)) {
                Some(Ok(frame)) if !frame.is_data() => {}
                Some(Ok(frame)) => {
                    this.traffic.add(Direction::Down, frame.data_ref().map_or(0, Bytes::len) as u64);
                    return Poll::Ready(Some(Ok(frame)));
                }
                None => {
                    // Whoever answers holds the upload.
                    this.rest = Empty::new().map_err(|never| match never {}).boxed_unsync();
                    if let Some(draining) = &mut this.draining {
                        ready!(draining.as_mut().poll(context));
                        this.draining = None;
                    }
                    return Poll::Ready(None);
                }
                error => return Poll::Ready(error),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream() && self.draining.is_none()
    }

    /// Not known as long as something is to be done after the last octet.
    fn size_hint(&self) -> SizeHint {
        if self.draining.is_some() {
            return SizeHint::default();
        }
        length_of(self.first.as_ref(), self.rest.size_hint().exact())
    }
}

/// Of what was read and of what is to come, where that is known.
fn length_of(first: Option<&Bytes>, rest: Option<u64>) -> SizeHint {
    let first = first.map_or(0, Bytes::len) as u64;
    rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(first.saturating_add(rest)))
}

/// An upload is read to its end up to this size, so that a refusal of any push that GitHub would take is read.
const MAX_DRAINED: u64 = 4 << 30;
const DRAINING: Duration = Duration::from_secs(600);
/// For a connection to let go of an upload whose answer is there.
const LET_GO: Duration = Duration::from_secs(2);

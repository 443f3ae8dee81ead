//! The body of a request on its way to an upstream: held to the length it announces, and watched from outside.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::reason::Reason;

/// An error of a request's body that says itself what it comes to: the exchange fails by it, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyFault {
    pub(crate) reason: Reason,
    /// One whole sentence.
    pub(crate) detail: String,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for BodyFault {}

/// Why an exchange was given up, whatever hyper makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body of the request could not be read, and its source says what that comes to.
    Told(BodyFault),
    /// The same; the cause in its own words.
    Source(String),
    /// It ended before its announced length, or gave a piece that goes beyond it.
    Length,
    /// The upstream took nothing of it for too long.
    Stalled,
    /// Whoever asked may not have the answer any more.
    Withdrawn,
}

impl Fault {
    fn of(error: Box<dyn StdError + Send + Sync>) -> Self {
        error.downcast().map_or_else(|error| Self::Source(error.to_string()), |told| Self::Told(*told))
    }
}

/// The first fault of an exchange, by which its upload ends.
#[derive(Clone, Default)]
pub(super) struct FirstFault(Arc<Found>);

#[derive(Default)]
struct Found {
    fault: OnceLock<Fault>,
    upload: Mutex<Option<Waker>>,
}

impl FirstFault {
    pub(super) fn get(&self) -> Option<&Fault> {
        self.0.fault.get()
    }

    /// Counts where it is the first.
    pub(super) fn set(&self, fault: Fault) {
        let _ = self.0.fault.set(fault);
        if let Some(upload) = self.lock().take() {
            upload.wake();
        }
    }

    fn wake_upload(&self, context: &Context<'_>) {
        *self.lock() = Some(context.waker().clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.upload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a body waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its source has no more at the moment.
    Source,
    /// The upstream has yet to take what was handed on.
    Upstream,
    /// All of it was handed on, or no more is wanted.
    Ended { at: Instant, whole: bool },
}

/// A request's body, whatever it was.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// A request body, its trailers included.
pub(super) struct Upload {
    inner: Outgoing,
    /// Octets still to come, where a length was announced.
    rest: Option<u64>,
    stage: watch::Sender<Stage>,
    fault: FirstFault,
}

/// The body ends here, and not as it should; the [`FirstFault`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was broken off")
    }
}

impl StdError for BrokenOff {}

/// The head announces more than one length, or one that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LengthInDoubt;

/// How far a body has come.
#[derive(Clone)]
pub(super) struct Progress(watch::Receiver<Stage>);

/// Puts the body under watch, and its length into the head where it is known.
pub(super) fn watched(request: Request<Outgoing>, fault: &FirstFault) -> Result<(Request<Upload>, Progress), LengthInDoubt> {
    let (mut parts, inner) = request.into_parts();
    let length = announced(&parts.headers)?.or_else(|| inner.size_hint().exact());
    parts.headers.remove(header::TRANSFER_ENCODING);
    let means_a_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        Some(0) if !means_a_body && inner.is_end_stream() => {}
        Some(length) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {}
    }
    let (stage, progress) = watch::channel(Stage::Upstream);
    let upload = Upload { inner, rest: length, stage, fault: fault.clone() };
    Ok((Request::from_parts(parts, upload), Progress(progress)))
}

fn announced(headers: &HeaderMap) -> Result<Option<u64>, LengthInDoubt> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(|value| value.parse().ok()).map(Some).ok_or(LengthInDoubt),
        (Some(_), Some(_)) => Err(LengthInDoubt),
    }
}

impl Upload {
    fn fail(&self, fault: Fault) -> BrokenOff {
        self.fault.set(fault);
        BrokenOff
    }

    /// Whether its length has to be told by chunks, or by frames.
    pub(super) fn is_of_unknown_length(&self) -> bool {
        self.rest.is_none()
    }

    fn end(&self, whole: bool) {
        self.stage.send_if_modified(|stage| {
            let going = !matches!(stage, Stage::Ended { .. });
            if going {
                *stage = Stage::Ended { at: Instant::now(), whole };
            }
            going
        });
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.fault.wake_upload(context);
        if this.fault.get().is_some() {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            this.stage.send_if_modified(|stage| std::mem::replace(stage, Stage::Source) != Stage::Source);
            return Poll::Pending;
        };
        let Some(frame) = frame else {
            if !matches!(this.rest, None | Some(0)) {
                return Poll::Ready(Some(Err(this.fail(Fault::Length))));
            }
            this.end(true);
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| this.fail(Fault::of(error)))?;
        if let Some(rest) = &mut this.rest {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            // Nothing comes after trailers.
            match rest.checked_sub(length).filter(|left| *left == 0 || frame.is_data()) {
                Some(left) => *rest = left,
                None => return Poll::Ready(Some(Err(this.fail(Fault::Length)))),
            }
        }
        this.stage.send_replace(Stage::Upstream);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, None | Some(0)) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// hyper drops a body where it wants no more of it.
impl Drop for Upload {
    fn drop(&mut self) {
        self.end(self.rest == Some(0));
    }
}

impl Progress {
    /// Of a request that has no body.
    pub(super) fn over() -> Self {
        Self(watch::channel(Stage::Ended { at: Instant::now(), whole: true }).1)
    }

    /// Ends with true once the upstream has taken nothing for `idle`, or with false once the body has ended.
    pub(super) async fn stalls(mut self, idle: Duration) -> bool {
        loop {
            let stage = *self.0.borrow_and_update();
            match stage {
                Stage::Ended { .. } => return false,
                Stage::Source => {
                    if self.0.changed().await.is_err() {
                        return false;
                    }
                }
                Stage::Upstream => match timeout(idle, self.0.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return false,
                    Err(_) => return true,
                },
            }
        }
    }

    /// When the body ended; waits for it.
    pub(super) async fn ended(mut self) -> Instant {
        match self.0.wait_for(|stage| matches!(stage, Stage::Ended { .. })).await.as_deref() {
            Ok(Stage::Ended { at, .. }) => *at,
            Ok(Stage::Source | Stage::Upstream) | Err(_) => Instant::now(),
        }
    }

    /// Whether the body was handed on further since this was last asked, or has ended within that time.
    pub(super) fn moved(&mut self, within: Duration) -> bool {
        let moved = self.0.has_changed().unwrap_or(false);
        self.0.mark_unchanged();
        moved || matches!(*self.0.borrow(), Stage::Ended { at, .. } if at.elapsed() < within)
    }

    /// How long ago the body ended; nothing where it goes on.
    pub(super) fn since_end(&self) -> Duration {
        match *self.0.borrow() {
            Stage::Ended { at, .. } => at.elapsed(),
            Stage::Source | Stage::Upstream => Duration::ZERO,
        }
    }

    /// Whether all of it was handed on.
    pub(super) fn is_whole(&self) -> bool {
        matches!(*self.0.borrow(), Stage::Ended { whole: true, .. })
    }
}

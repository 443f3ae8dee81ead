//! The body of a request on its way to an upstream: held to the length it announces, and watched from outside.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use http_body::{Body, Frame, SizeHint};
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

/// The first fault of an exchange.
pub(super) type FirstFault = Arc<OnceLock<Fault>>;

/// What a body waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its source has no more at the moment.
    Source,
    /// The upstream has yet to take what was handed on.
    Upstream,
    /// All of it was handed on, or no more is wanted.
    Ended(Instant),
}

/// A request body, its trailers included.
pub(super) struct Upload<B> {
    inner: B,
    /// Octets still to come, where a length was announced.
    rest: Option<u64>,
    stage: watch::Sender<Stage>,
    fault: FirstFault,
}

/// The head announces more than one length, or one that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LengthInDoubt;

/// How far a body has come.
#[derive(Clone)]
pub(super) struct Progress(watch::Receiver<Stage>);

/// Puts the body under watch, and its length into the head: a length that is known, else chunks where that is not for frames
/// to say.
pub(super) fn watched<B: Body>(request: Request<B>, fault: &FirstFault) -> Result<(Request<Upload<B>>, Progress), LengthInDoubt> {
    let (mut parts, inner) = request.into_parts();
    let length = announced(&parts.headers)?.or_else(|| inner.size_hint().exact());
    parts.headers.remove(header::TRANSFER_ENCODING);
    let means_a_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        Some(0) if !means_a_body && inner.is_end_stream() => {}
        Some(length) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None if parts.version == Version::HTTP_2 => {}
        None => {
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    let (stage, progress) = watch::channel(Stage::Upstream);
    let upload = Upload { inner, rest: length, stage, fault: Arc::clone(fault) };
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

impl<B> Upload<B> {
    fn fail(&self, fault: Fault) -> Box<dyn StdError + Send + Sync> {
        let words = match &fault {
            Fault::Told(BodyFault { detail: words, .. }) | Fault::Source(words) => words.clone(),
            Fault::Length => "the body is not as long as was announced".to_owned(),
            Fault::Stalled | Fault::Withdrawn => "the exchange was given up".to_owned(),
        };
        let _ = self.fault.set(fault);
        words.into()
    }

    fn end(&self) {
        self.stage.send_if_modified(|stage| {
            let going = !matches!(stage, Stage::Ended(_));
            if going {
                *stage = Stage::Ended(Instant::now());
            }
            going
        });
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            this.stage.send_if_modified(|stage| std::mem::replace(stage, Stage::Source) != Stage::Source);
            return Poll::Pending;
        };
        let Some(frame) = frame else {
            if !matches!(this.rest, None | Some(0)) {
                return Poll::Ready(Some(Err(this.fail(Fault::Length))));
            }
            this.end();
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| this.fail(Fault::of(error.into())))?;
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
impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Progress {
    /// Of a request that has no body.
    pub(super) fn over() -> Self {
        Self(watch::channel(Stage::Ended(Instant::now())).1)
    }

    /// Ends with true once the upstream has taken nothing for `idle`, or with false once the body has ended.
    pub(super) async fn stalls(mut self, idle: Duration) -> bool {
        loop {
            let stage = *self.0.borrow_and_update();
            match stage {
                Stage::Ended(_) => return false,
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
        match self.0.wait_for(|stage| matches!(stage, Stage::Ended(_))).await.as_deref() {
            Ok(Stage::Ended(at)) => *at,
            Ok(Stage::Source | Stage::Upstream) | Err(_) => Instant::now(),
        }
    }

    /// Whether the body was handed on further since this was last asked, or has ended within that time.
    pub(super) fn moved(&mut self, within: Duration) -> bool {
        let moved = self.0.has_changed().unwrap_or(false);
        self.0.mark_unchanged();
        moved || matches!(*self.0.borrow(), Stage::Ended(at) if at.elapsed() < within)
    }

    /// How long ago the body ended; nothing where it goes on.
    pub(super) fn since_end(&self) -> Duration {
        match *self.0.borrow() {
            Stage::Ended(at) => at.elapsed(),
            Stage::Source | Stage::Upstream => Duration::ZERO,
        }
    }
}

//! The body of a request on its way to an upstream: held to the length it announces, and watched from outside.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Why an exchange was given up, whatever hyper makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body of the request could not be read; the cause in its own words.
    Source(String),
    /// It ended before its announced length, or gave a piece that goes beyond it.
    Length,
    /// The upstream took nothing of it for too long.
    Stalled,
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

/// A request body whose trailers are dropped.
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

/// Puts the body under watch, and its length into the head: a length that is known, else chunks.
pub(super) fn watched<B: Body>(request: Request<B>, fault: &FirstFault) -> Result<(Request<Upload<B>>, Progress), LengthInDoubt> {
    let (mut parts, inner) = request.into_parts();
    let length = announced(&parts.headers)?.or_else(|| inner.size_hint().exact());
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::TRAILER);
    let without_body = matches!(parts.method, Method::GET | Method::HEAD) && inner.is_end_stream();
    match length {
        Some(0) if without_body => {}
        Some(length) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
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
            Fault::Source(words) => words.clone(),
            Fault::Length => "the body is not as long as was announced".to_owned(),
            Fault::Stalled => "the body was not taken".to_owned(),
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
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                this.stage.send_if_modified(|stage| std::mem::replace(stage, Stage::Source) != Stage::Source);
                return Poll::Pending;
            };
            let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                None if matches!(this.rest, None | Some(0)) => {
                    this.end();
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(Some(Err(this.fail(Fault::Length)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(this.fail(Fault::Source(error.into().to_string()))))),
                Some(Ok(Err(_trailers))) => continue,
                Some(Ok(Ok(data))) => data,
            };
            if let Some(rest) = &mut this.rest {
                let Some(left) = rest.checked_sub(data.len() as u64) else {
                    return Poll::Ready(Some(Err(this.fail(Fault::Length))));
                };
                *rest = left;
            }
            this.stage.send_replace(Stage::Upstream);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
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

    /// How long ago the body ended; nothing where it goes on.
    pub(super) fn since_end(&self) -> Duration {
        match *self.0.borrow() {
            Stage::Ended(at) => at.elapsed(),
            Stage::Source | Stage::Upstream => Duration::ZERO,
        }
    }
}

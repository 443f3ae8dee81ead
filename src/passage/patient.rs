//! The body of an HTTP/2 request, which may not stand still for ever; in HTTP/1 whoever reads the connection sees to that.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::sightings::BodyLookout;
use crate::{
    downstream::{Patience, Timer},
    reason::Reason,
    upstream::BodyFault,
};

/// A body that fails with [`Reason::HeadTimeout`] once it has brought nothing for too long: for [`Patience::body`] where its
/// length was announced. Without a length it is a stream, such as the requests of a gRPC call, which may say nothing while it
/// listens: it has [`Patience::idle`] until its answer begins, and from then on the answer is what is timed.
pub(crate) struct Patient<B> {
    inner: B,
    /// None for a body that somebody else times.
    limit: Option<Limit>,
    timer: Timer,
    lookout: Option<Box<BodyLookout>>,
}

struct Limit {
    silence: Duration,
    /// Where it holds only as long as the answer is awaited: what lives until then.
    awaited: Option<Weak<()>>,
}

impl<B: Body> Patient<B> {
    /// The body of a request by `version`. `awaited` has to live until the answer begins.
    pub(crate) fn new(inner: B, version: Version, patience: Patience, awaited: &Arc<()>) -> Self {
        let limit = || match inner.size_hint().exact() {
            Some(_) => Limit { silence: patience.body, awaited: None },
            None => Limit { silence: patience.idle, awaited: Some(Arc::downgrade(awaited)) },
        };
        let limit = (version == Version::HTTP_2).then(limit);
        Self { inner, limit, timer: Timer::default(), lookout: None }
    }

    /// The same, at which somebody looks while it flows.
    pub(crate) fn watched(self, lookout: Option<BodyLookout>) -> Self {
        Self { lookout: lookout.map(Box::new), ..self }
    }
}

impl<B> Patient<B> {
    fn look(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyFault> {
        if let (Some(lookout), Some(data)) = (&mut self.lookout, frame.data_ref())
            && !lookout.take(data)?
        {
            self.lookout = None;
        }
        Ok(())
    }
}

impl Limit {
    fn holds(&self) -> bool {
        self.awaited.as_ref().is_none_or(|awaited| awaited.strong_count() > 0)
    }
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.timer.disarm();
            if let Some(Ok(frame)) = &frame {
                this.look(frame)?;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(limit) = this.limit.as_ref().filter(|limit| limit.holds()) else { return Poll::Pending };
        ready!(this.timer.poll_expired(context, limit.silence));
        let detail = format!("The body of the request brought nothing for {} s.", limit.silence.as_secs_f32());
        Poll::Ready(Some(Err(BodyFault { reason: Reason::HeadTimeout, detail }.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

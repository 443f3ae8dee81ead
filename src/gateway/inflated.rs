//! The body of a request whose gzip is undone where it has to be read.

use std::{
    error::Error as StdError,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    reason::Reason,
    upstream::BodyFault,
    wire::encoded::{EncodingError, Gunzip},
};

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// A body as it came, or as it was before it was compressed.
pub(super) struct Inflated<B> {
    inner: B,
    /// None where it stays as it came.
    gunzip: Option<Box<Gunzip>>,
    is_over: bool,
}

impl<B> Inflated<B> {
    /// As it came.
    pub(super) fn plain(inner: B) -> Self {
        Self { inner, gunzip: None, is_over: false }
    }

    /// The same without its gzip, of which nothing was read.
    pub(super) fn without_gzip(self) -> Self {
        Self { gunzip: Some(Box::default()), ..self }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Inflated<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { inner, gunzip, is_over } = self.get_mut();
        let Some(gunzip) = gunzip else { return Pin::new(inner).poll_frame(context) };
        while !*is_over {
            let frame = ready!(Pin::new(&mut *inner).poll_frame(context)?);
            let text = match frame.map(Frame::into_data) {
                Some(Ok(piece)) => gunzip.push(&piece),
                Some(Err(_trailers)) => continue,
                None => {
                    *is_over = true;
                    gunzip.finish()
                }
            };
            let text = text.map_err(fault)?;
            if !text.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(text.into()))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        if self.gunzip.is_some() { self.is_over } else { self.inner.is_end_stream() }
    }

    fn size_hint(&self) -> SizeHint {
        if self.gunzip.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

fn fault(error: EncodingError) -> BodyFault {
    let reason = match error {
        EncodingError::Form => Reason::BadRequest,
        EncodingError::Bomb => Reason::BodyTooLarge,
    };
    BodyFault { reason, detail: format!("The request could not be read: its body {error}.") }
}

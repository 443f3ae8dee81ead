//! A body in which a real credential is masked before a sandbox sees it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::wire::masking::Masker;

/// A body as it came, or with its secrets masked: as long, and delayed by no more than what may be the beginning of a secret.
pub(crate) struct Masked<B> {
    inner: B,
    masker: Option<Masker>,
    /// They follow what is held back.
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> Masked<B> {
    pub(crate) fn new(inner: B, masker: Option<Masker>) -> Self {
        Self { inner, masker, trailers: None, ended: false }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Masked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(masker) = &mut this.masker else { return Pin::new(&mut this.inner).poll_frame(context) };
        while !this.ended {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    let data = masker.push(&data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                }
                Some(Err(frame)) => {
                    this.trailers = frame.into_trailers().ok().map(|mut trailers| {
                        mask_values(&mut trailers, masker);
                        trailers
                    });
                    this.ended = true;
                }
                None => this.ended = true,
            }
        }
        let rest = masker.finish();
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let holds = self.trailers.is_some() || self.masker.as_ref().is_some_and(|masker| !masker.is_empty());
        !holds && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.masker.as_ref().map_or(0, |masker| masker.len() as u64);
        let inner = if self.ended { SizeHint::with_exact(0) } else { self.inner.size_hint() };
        let mut whole = SizeHint::new();
        whole.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole
    }
}

/// Masks secrets in the values of fields; one that would be no value any more goes.
pub(crate) fn mask_values(headers: &mut HeaderMap, masker: &Masker) {
    for value in headers.values_mut() {
        if let Some(masked) = masker.mask(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&masked).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible};

    use http_body_util::BodyExt;

    use super::*;

    /// Frames, one after the other.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum())
        }
    }

    fn body(pieces: &[&'static str], trailers: Option<HeaderMap>) -> Masked<Frames> {
        let data = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
        Masked::new(Frames(data.chain(trailers.map(Frame::trailers)).collect()), Some(Masker::new([b"secret".as_slice()])))
    }

    async fn collect(mut body: Masked<Frames>) -> (String, Option<HeaderMap>) {
        let (mut text, mut trailers) = (String::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        assert!(body.is_end_stream());
        (text, trailers)
    }

    #[tokio::test]
    async fn threat_89_a_secret_is_masked_across_frames() {
        for pieces in [&["a secret b secre"][..], &["a s", "", "ecre", "t b se", "cre"], &["a secre", "t b secre"]] {
            let body = body(pieces, None);
            assert_eq!(body.size_hint().exact(), Some(16));
            assert_eq!(collect(body).await, ("a ****** b secre".to_owned(), None), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn trailers_come_last_and_masked() {
        let fields = |value| HeaderMap::from_iter([(http::HeaderName::from_static("x-seen"), HeaderValue::from_static(value))]);
        let (text, trailers) = collect(body(&["a se"], Some(fields("my secret")))).await;
        assert_eq!((text.as_str(), trailers), ("a se", Some(fields("my ******"))));
    }

    #[tokio::test]
    async fn a_body_that_holds_something_back_has_not_ended() {
        let mut body = body(&["a", "se"], None);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, Some(2)));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "se");
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn without_secrets_a_body_is_what_it_was() {
        let plain = Masked::new(body(&["a sec", "ret"], None).inner, None);
        assert_eq!(collect(plain).await, ("a secret".to_owned(), None));
    }
}

//! An upstream's answer of git's, with the credential that it was asked by taken out of what it says.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::body::{Body, BoxError};
use crate::{
    credentials::masker,
    github::{Service, words::Words},
    secret::Secret,
};

/// Such an answer: its objects as they come, its words masked. How long it is is not known.
pub(super) struct Spoken {
    inner: Body,
    words: Words,
    ended: bool,
}

impl Spoken {
    pub(super) fn new(inner: Body, credential: &std::sync::Arc<Secret>, service: Service) -> Self {
        Self { inner, words: Words::new(masker(std::slice::from_ref(credential)), service), ended: false }
    }
}

impl HttpBody for Spoken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        while !this.ended {
            let said = match ready!(Pin::new(&mut this.inner).poll_frame(context)?).map(Frame::into_data) {
                Some(Ok(data)) if this.words.passes(data.len()) => data,
                Some(Ok(data)) => this.words.push(&data).into(),
                // Trailers mean nothing to git.
                Some(Err(_)) => Bytes::new(),
                None => {
                    this.ended = true;
                    this.words.finish().into()
                }
            };
            if !said.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(said))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

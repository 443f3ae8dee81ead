//! The first bytes of a connection or a tunnel, looked at and left on the stream.

use std::time::Duration;

use bytes::Buf;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::timeout,
};

use super::{Downstream, HeadFailure, READ_SIZE};
use crate::wire::{
    client_hello::{ClientHello, HelloError, HelloReader},
    http1::{Head, HeadReader},
    opening::{self, Opening},
};

/// Why no `ClientHello` could be read.
#[derive(Debug)]
pub(crate) enum HelloFailure {
    Refused(HelloError),
    Late(Duration),
    /// The sandbox closed first, or the connection broke.
    Closed,
    /// The same before anything was sent.
    Unused,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    /// What the sandbox speaks; `None` where it said too little within `limit`, or closed.
    pub(crate) async fn opening(&mut self, limit: Duration) -> Option<Opening> {
        timeout(limit, self.look(opening::read)).await.ok().flatten()
    }

    /// The same by what was read and not handed on.
    pub(crate) fn opening_so_far(&self) -> Option<Opening> {
        opening::read(&self.buffer)
    }

    /// Whether nothing has come that was not handed on.
    pub(crate) fn is_silent(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes off the stream what `read` finds at its front, and how long it is; `None` where the sandbox closed first.
    pub(crate) async fn take<T, E>(&mut self, read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>) -> Result<Option<T>, E> {
        let Some(found) = self.look(|bytes| read(bytes).transpose()).await else { return Ok(None) };
        let (found, length) = found?;
        self.buffer.advance(length);
        Ok(Some(found))
    }

    /// Reads a `ClientHello`.
    pub(crate) async fn client_hello(&mut self) -> Result<ClientHello, HelloFailure> {
        let limit = self.patience.client_hello;
        let mut reader = HelloReader::default();
        match timeout(limit, self.look(|bytes| reader.read(bytes).transpose())).await {
            Ok(Some(hello)) => hello.map_err(HelloFailure::Refused),
            Ok(None) if self.buffer.is_empty() => Err(HelloFailure::Unused),
            Ok(None) => Err(HelloFailure::Closed),
            Err(_) => Err(HelloFailure::Late(limit)),
        }
    }

    /// Reads the head of the first request, which [`next`](Self::next) will read again; `None` where the sandbox closed first.
    pub(crate) async fn first_head(&mut self) -> Result<Option<Head>, HeadFailure> {
        let limit = self.patience.head;
        let mut reader = HeadReader::default();
        match timeout(limit, self.look(|bytes| reader.read(bytes).transpose())).await {
            Ok(head) => head.transpose().map(|head| head.map(|(head, _)| head)).map_err(HeadFailure::Malformed),
            Err(_) => Err(HeadFailure::Late(limit)),
        }
    }

    /// Reads more until `look` finds what it looks for in all that was read; `None` where the stream ends before.
    async fn look<T>(&mut self, mut look: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = look(&self.buffer) {
                return Some(found);
            }
            self.buffer.reserve(READ_SIZE);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

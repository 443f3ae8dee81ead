//! The upstream's side of a connection in HTTP/1: each answer is judged and framed before hyper sees it, and nothing counts as an
//! answer that no request was sent for.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::wire::http1::{BodyFramer, BodyLength, ResponseHead, ResponseReader, Version};

/// How far the exchange of a connection has come: shared with whoever asks over it.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No octet of the answer has come yet.
    Asked {
        by_head: bool,
    },
    Answering,
    /// The answer has come to its end, nothing stood behind it, and another request may follow.
    Answered,
    /// Nothing more may be asked.
    Spoilt,
}

impl Turn {
    /// The turn of a connection over which `method` will be the first to ask.
    pub(super) fn first(method: &Method) -> Self {
        Self(Arc::new(Mutex::new(State::Asked { by_head: method == Method::HEAD })))
    }

    /// Begins the next exchange; the connection cannot be used where this is `None`.
    pub(super) fn next(&self, method: &Method) -> Option<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*state == State::Answered).then(|| *state = State::Asked { by_head: method == Method::HEAD })
    }

    /// Whether the answer was whole, and another request may follow.
    pub(super) fn is_over(&self) -> bool {
        self.get() == State::Answered
    }

    /// Whether no octet of an answer has come.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.get(), State::Asked { .. })
    }

    fn get(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// A connection that carries one exchange after another. Interim answers (1xx) end here; an answer whose framing is in doubt is
/// an error, since hyper would repair it and the sandbox might read it otherwise; so is whatever comes where nothing was asked.
pub(super) struct Origin<S> {
    stream: S,
    turn: Turn,
    stage: Stage,
    /// What was read; its first `judged` octets are hyper's to take.
    buffer: BytesMut,
    judged: usize,
}

enum Stage {
    /// Between two exchanges.
    Idle,
    Head {
        reader: ResponseReader,
        interim: usize,
        by_head: bool,
    },
    Body {
        framer: BodyFramer,
        goes_on: bool,
    },
    /// What ends with the connection.
    Rest,
}

impl Stage {
    fn head(by_head: bool) -> Self {
        Self::Head { reader: ResponseReader::default(), interim: 0, by_head }
    }

    /// What follows a final head (RFC 9112, section 6.3).
    fn after(head: &ResponseHead, by_head: bool) -> Self {
        let length = match head.body {
            _ if head.status == 101 => return Self::Rest,
            _ if by_head || matches!(head.status, 204 | 304) => BodyLength::None,
            BodyLength::None => return Self::Rest,
            length @ (BodyLength::Length(_) | BodyLength::Chunked) => length,
        };
        Self::Body { framer: BodyFramer::new(length), goes_on: head.keep_alive && head.version == Version::Http11 }
    }
}

impl<S: AsyncRead + Unpin> Origin<S> {
    /// Over a connection whose first request is sent next.
    pub(super) fn new(stream: S, turn: Turn) -> Self {
        let by_head = matches!(turn.get(), State::Asked { by_head: true });
        Self { stream, turn, stage: Stage::head(by_head), buffer: BytesMut::new(), judged: 0 }
    }

    /// Judges what was read. False: more has to be read first.
    fn judge(&mut self) -> io::Result<bool> {
        loop {
            match &mut self.stage {
                Stage::Idle => return Ok(true),
                Stage::Rest => {
                    self.judged = self.buffer.len();
                    return Ok(true);
                }
                Stage::Head { reader, interim, by_head } => match reader.read(&self.buffer).map_err(in_doubt)? {
                    None => return Ok(false),
                    Some((head, length)) if head.is_interim() => {
                        self.buffer.advance(length);
                        *interim += 1;
                        if *interim > MAX_INTERIM {
                            return Err(in_doubt("too many interim answers"));
                        }
                    }
                    Some((head, length)) => {
                        self.judged = length;
                        self.stage = Stage::after(&head, *by_head);
                    }
                },
                Stage::Body { framer, goes_on } => {
                    let advance = framer.advance(self.buffer.get(self.judged..).unwrap_or_default()).map_err(in_doubt)?;
                    self.judged += advance.released;
                    if !advance.complete {
                        return Ok(self.judged > 0);
                    }
                    let clean = *goes_on && self.buffer.len() == self.judged;
                    self.buffer.truncate(self.judged);
                    self.stage = Stage::Idle;
                    self.turn.set(if clean { State::Answered } else { State::Spoilt });
                }
            }
        }
    }

    /// Reads more of an answer; 0 octets where there is no more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(READ_SIZE);
        let read = std::pin::pin!(self.stream.read_buf(&mut self.buffer));
        let count = ready!(read.poll(context))?;
        if count > 0 && self.turn.is_unanswered() {
            self.turn.set(State::Answering);
        }
        Poll::Ready(Ok(count))
    }

    /// Between two exchanges only the end may come.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut octet = [0];
        let mut read = ReadBuf::new(&mut octet);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        if read.filled().is_empty() { Poll::Ready(Ok(())) } else { Poll::Ready(Err(in_doubt("something came that nobody asked for"))) }
    }

    /// Before the first octet of the next request is written, nothing of what came before may stand unread.
    fn begin(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let (Stage::Idle, State::Asked { by_head }) = (&self.stage, self.turn.get()) else { return Ok(()) };
        match self.poll_end(context) {
            Poll::Pending => {
                self.stage = Stage::head(by_head);
                Ok(())
            }
            Poll::Ready(Ok(())) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed before the request was sent")),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn poll_judged(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.judged == 0 {
            match self.stage {
                Stage::Idle => return self.poll_end(context),
                Stage::Rest => return Pin::new(&mut self.stream).poll_read(context, out),
                Stage::Head { .. } | Stage::Body { .. } => {}
            }
            if !self.judge()? && ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before its answer was complete")));
            }
        }
        let count = self.judged.min(out.remaining());
        out.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        self.judged -= count;
        Poll::Ready(Ok(()))
    }
}

fn in_doubt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + Unpin> AsyncRead for Origin<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = ready!(this.poll_judged(context, out));
        if read.is_err() && !this.turn.is_unanswered() {
            this.turn.set(State::Spoilt);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Origin<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.begin(context)?;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.begin(context)?;
        Pin::new(&mut this.stream).poll_write_vectored(context, parts)
    }
}

const READ_SIZE: usize = 32 * 1024;
/// Interim answers that an origin may send before the final one.
const MAX_INTERIM: usize = 16;

//! The sandbox's side of one connection, read ahead of everything else: what it hands on has been judged.
//!
//! [`Downstream`] frames HTTP/1 itself, message by message, and is the reader that hyper gets. hyper repairs or accepts
//! framing that others read differently (two lengths, bare line feeds, two Hosts); here such a message ends what hyper
//! may read, so no two parties can disagree about where it ends.

mod answering;
pub(crate) mod redirected;
mod timer;
mod unread;
mod first;

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

pub(crate) use self::{
    answering::{Answering, Answers},
    first::HelloFailure,
    timer::{Bounded, Timer},
    unread::Unread,
};
use crate::{
    reason::Reason,
    wire::{
        http1::{BodyFramer, Head, HeadError, HeadReader},
        target::{self, RequestTarget, TargetError},
        websocket,
    },
};

/// How long each wait for the sandbox may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From a connection's beginning to its first byte, and from the first byte of a request head to its last.
    pub(crate) head: Duration,
    /// Without a byte of a body that was announced.
    pub(crate) body: Duration,
    /// Between two requests.
    pub(crate) keep_alive: Duration,
    /// From the answer to CONNECT to the end of the `ClientHello`; for the first bytes of a redirected connection.
    pub(crate) client_hello: Duration,
    /// From the end of a `ClientHello` that is answered to the end of the handshake.
    pub(crate) handshake: Duration,
    /// Without a byte moved on an established tunnel or stream.
    pub(crate) idle: Duration,
}

/// What comes next on the connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// The sandbox closed, or was idle for too long.
    Closed,
    /// A CONNECT; its head has been taken off the stream.
    Connect(Box<Head>),
    /// A message for hyper, which reads it from this stream.
    Message,
    /// A head that is no HTTP/1, is too large, or did not arrive in time.
    Refused(HeadFailure),
}

/// Why a head is not handed on.
#[derive(Debug)]
pub(crate) enum HeadFailure {
    Malformed(HeadError),
    Target(TargetError),
    /// The target is one that hyper would not take; it would say so without a reason.
    Unreadable,
    /// The whole head did not arrive within this time.
    Late(Duration),
}

impl HeadFailure {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Malformed(error) => error.reason(),
            Self::Target(error) => error.reason(),
            Self::Unreadable => Reason::BadRequest,
            Self::Late(_) => Reason::HeadTimeout,
        }
    }
}

impl fmt::Display for HeadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Target(error) => write!(f, "{error}"),
            Self::Unreadable => f.write_str("the request-target is not a URI"),
            Self::Late(limit) => write!(f, "the request head was not complete within {} s", limit.as_secs_f32()),
        }
    }
}

/// One connection: the sandbox's own, or what stands inside its TLS.
pub(crate) struct Downstream<S = TcpStream> {
    stream: Bounded<S>,
    /// Read from the stream and not yet handed on.
    buffer: BytesMut,
    /// How much of the buffer's front has been judged.
    judged: usize,
    state: State,
    reader: HeadReader,
    /// Reads a request-target as it is written on this stream.
    target: fn(&str, &[u8]) -> Result<RequestTarget, TargetError>,
    patience: Patience,
    timer: Timer,
    /// Whether it is known whose connection this is; a stranger is given less time.
    known: Arc<AtomicBool>,
    /// Whether a message was handed on whose answer is not yet sent.
    answers: Answers,
}

enum State {
    Head,
    Body(BodyFramer),
    /// A WebSocket was asked for: what follows is its data, or nothing. hyper reads no further, and learns that after the answer.
    Upgrade,
    /// hyper reads no further: what comes next is not for it.
    Stop(Option<Next>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    pub(crate) fn new(stream: S, patience: Patience, known: Arc<AtomicBool>) -> Self {
        Self {
            stream: Bounded::new(stream, patience.idle),
            buffer: BytesMut::new(),
            judged: 0,
            state: State::Head,
            reader: HeadReader::default(),
            target: target::parse,
            patience,
            timer: Timer::default(),
            known,
            answers: Answers::default(),
        }
    }

    /// What stands inside the TLS of somebody known, where requests name `https`.
    pub(crate) fn inside_tls(stream: S, patience: Patience) -> Self {
        Self { target: target::parse_inside_tls, ..Self::new(stream, patience, Arc::new(AtomicBool::new(true))) }
    }

    /// Waits for what comes next. After [`Next::Message`] the stream is hyper's until hyper gives it back.
    pub(crate) async fn next(&mut self) -> io::Result<Next> {
        poll_fn(|context| match &mut self.state {
            State::Stop(next) => {
                let next = next.take().unwrap_or(Next::Closed);
                self.state = State::Head;
                Poll::Ready(Ok(next))
            }
            State::Head => self.poll_head(context),
            State::Body(_) | State::Upgrade => Poll::Ready(Ok(Next::Closed)),
        })
        .await
    }

    /// Whether hyper stopped at something that is not for it, so that [`next`](Self::next) has an answer at once.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stop(_))
    }

    /// Gives out what an answer has to hold until it is sent: only then does hyper learn that nothing more is for it, since it
    /// would take the end for a sandbox that has gone, and give up the answer.
    pub(crate) fn answers(&self) -> Answers {
        self.answers.clone()
    }

    /// The stream, and what was read from it and not handed on.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.stream.into_inner(), self.buffer)
    }

    /// The stream as if nothing of it had been read. What is sent on it has to be taken, as before.
    pub(crate) fn into_unread(self) -> Unread<Bounded<S>> {
        Unread::new(self.buffer, self.stream)
    }

    /// Sends a short answer of our own, which has to be taken as fast as a head has to arrive.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(self.patience.head, self.stream.write_all(bytes)).await?
    }

    /// Closes so that the last answer arrives: a socket closed with unread input resets the connection, and the
    /// sandbox's client would lose the refusal it is being given.
    pub(crate) async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = 0;
        let drain = async {
            while discarded < MAX_DISCARDED {
                self.buffer.clear();
                self.buffer.reserve(READ_SIZE);
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => discarded += count,
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            match self.reader.read(&self.buffer) {
                Ok(Some((head, length))) => {
                    self.timer.disarm();
                    return Poll::Ready(Ok(self.accept(head, length)));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Ok(Next::Refused(HeadFailure::Malformed(error)))),
            }
            let idle = self.buffer.is_empty();
            match self.poll_fill(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Next::Closed)),
                Poll::Ready(Ok(_)) if idle => self.timer.disarm(),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if idle {
                        // hyper reads on while it answers, to learn of a sandbox that has gone; nothing else is due before the end.
                        ready!(self.answers.poll_sent(context));
                    }
                    let limit = if idle && self.known.load(Ordering::Relaxed) { self.patience.keep_alive } else { self.patience.head };
                    ready!(self.timer.poll_expired(context, limit));
                    return Poll::Ready(Ok(if idle { Next::Closed } else { Next::Refused(HeadFailure::Late(limit)) }));
                }
            }
        }
    }

    fn accept(&mut self, head: Head, length: usize) -> Next {
        if &*head.method == "CONNECT" {
            self.buffer.advance(length);
            return Next::Connect(Box::new(head));
        }
        if let Err(error) = (self.target)(&head.method, head.target.as_bytes()) {
            return Next::Refused(HeadFailure::Target(error));
        }
        if head.target.parse::<http::Uri>().is_err() {
            return Next::Refused(HeadFailure::Unreadable);
        }
        self.judged = length;
        self.answers.expect();
        self.state = if websocket::is_asked_by(&head) { State::Upgrade } else { State::Body(BodyFramer::new(head.body)) };
        Next::Message
    }

    /// Judges more of the body, reading as needed, until something may be handed on or the message ends.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let State::Body(framer) = &mut self.state else { return Poll::Ready(Ok(())) };
            let advance = framer.advance(&self.buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.judged = advance.released;
            if advance.complete {
                self.timer.disarm();
                self.state = State::Head;
                return Poll::Ready(Ok(()));
            }
            if self.judged > 0 {
                return Poll::Ready(Ok(()));
            }
            match self.poll_fill(context)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(_) => self.timer.disarm(),
                Poll::Pending => {
                    ready!(self.timer.poll_expired(context, self.patience.body));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no byte of the announced body")));
                }
            }
        }
    }

    /// Ready once the answer to a request for a WebSocket is sent, or the sandbox has gone. What it sends early is kept, in bounded size.
    fn poll_answered(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.answers.poll_sent(context).is_pending() && self.buffer.len() < READ_SIZE {
            if matches!(ready!(self.poll_fill(context)), Ok(0) | Err(_)) {
                return Poll::Ready(());
            }
        }
        self.answers.poll_sent(context)
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(READ_SIZE);
        let mut read = std::pin::pin!(self.stream.read_buf(&mut self.buffer));
        read.as_mut().poll(context)
    }
}

impl Downstream {
    /// Breaks the connection off, so that its client takes what it was sent for no whole answer.
    pub(crate) fn reset(self) {
        let _ = self.stream.into_inner().set_zero_linger();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Downstream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.judged > 0 {
                let count = this.judged.min(out.remaining());
                out.put_slice(&this.buffer[..count]);
                this.buffer.advance(count);
                this.judged -= count;
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Head => {
                    let next = ready!(this.poll_head(context))?;
                    if !matches!(next, Next::Message) {
                        this.state = State::Stop(Some(next));
                    }
                }
                State::Body(_) => ready!(this.poll_body(context))?,
                // A sandbox that has gone is one whose request need not be answered.
                State::Stop(Some(Next::Closed) | None) => return Poll::Ready(Ok(())),
                State::Upgrade => return this.poll_answered(context).map(Ok),
                State::Stop(Some(_)) => return this.answers.poll_sent(context).map(Ok),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Downstream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
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
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }
}

/// Asked of the socket at a time.
const READ_SIZE: usize = 16 * 1024;
/// Discarded from a sandbox that still sends after its refusal.
const MAX_DISCARDED: usize = 4 * 1024 * 1024;
/// Waited for such a sandbox to close.
const LINGER: Duration = Duration::from_secs(2);

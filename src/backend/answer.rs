//! What a running git answers, and the two ways in which that ends: with git, or with whoever no longer listens.

use std::{
    error::Error,
    mem,
    os::unix::process::ExitStatusExt as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    process::{ChildStdin, ChildStdout},
    select,
    sync::oneshot,
};

use super::{
    BackendError,
    cgi::Head,
    process::{Asked, Ended, Pipes, Process},
};

/// The body of an answer, as git writes it. Ends git when it is dropped before its end.
#[derive(Debug)]
pub(crate) struct BackendBody {
    /// Read, and not yet passed on.
    ahead: BytesMut,
    /// Where git writes, and whom to tell that it has written all. `None` after that.
    source: Option<(ChildStdout, oneshot::Sender<()>)>,
    /// How it ended. `None` once that was passed on.
    end: Option<oneshot::Receiver<Result<Ended, BackendError>>>,
}

/// Feeds a git that was started, and watches over it until it ends.
pub(super) fn begin<B>((process, Pipes { stdin, stdout }): (Process, Pipes), body: B, place: impl Send + 'static) -> BackendBody
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let ((tell_read, read), (tell_end, end)) = (oneshot::channel(), oneshot::channel());
    let watching = watch(process, feed(body.map_err(Into::into), stdin), read, tell_end);
    tokio::spawn(async move {
        watching.await;
        drop(place);
    });
    BackendBody { ahead: BytesMut::with_capacity(MAX_HEAD), source: Some((stdout, tell_read)), end: Some(end) }
}

/// Ends `process` when its answer was `read` to the end, is no longer wanted, or cannot be given since the body of the request
/// failed. Then reads on what git left of that body.
async fn watch(
    process: Process,
    feeding: impl Future<Output = Result<(), BackendError>>,
    mut read: oneshot::Receiver<()>,
    end: oneshot::Sender<Result<Ended, BackendError>>,
) {
    let mut feeding = Box::pin(feeding);
    let mut fed = false;
    let error = loop {
        select! {
            told = &mut read => break told.err().map(|_| BackendError::Abandoned),
            result = &mut feeding, if !fed => match result {
                Ok(()) => fed = true,
                Err(error) => break Some(error),
            },
        }
    };
    if let Some(error) = error {
        drop(feeding);
        process.end(if fed { Asked::AtOnce } else { Asked::Later }).await;
        let _ = end.send(Err(error));
        return;
    }
    let _ = end.send(process.finish().await.inspect(log));
    if !fed {
        let _ = feeding.await;
    }
}

fn log(ended: &Ended) {
    if !ended.said.is_empty() {
        tracing::debug!(status = %ended.status, said = %ended.said, "git http-backend");
    }
}

/// Writes the body to git, as fast as git takes it, and closes the pipe at its end. What git does not want to read is dropped.
///
/// The last piece is held back until it is known to be the last: git acts on a push as soon as it has all of a pack, and an upload
/// that broke off at its end would be taken for whole. (Where something follows a pack that git does not want, it acts before.)
async fn feed<B>(mut body: B, mut stdin: ChildStdin) -> Result<(), BackendError>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    let (mut held, mut unread) = (Bytes::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BackendError::Request(error.to_string().into()))?;
        let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else { continue };
        let data = mem::replace(&mut held, data);
        match &mut unread {
            None if stdin.write_all(&data).await.is_err() => unread = Some(0),
            None => {}
            Some(octets) if *octets > MAX_UNREAD => break,
            Some(octets) => *octets += data.len(),
        }
    }
    // Whether git still wants it shows in what git answers.
    let _ = stdin.write_all(&held).await;
    Ok(())
}

impl BackendBody {
    /// Reads the head of the answer.
    pub(super) async fn head(mut self) -> Result<Response<Self>, BackendError> {
        loop {
            if let Some(length) = Head::length(&self.ahead) {
                let head = Head::parse(&self.ahead.split_to(length)).map_err(BackendError::Answer)?;
                return Ok(head.with(self));
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(BackendError::Answer("the head is too long"));
            }
            let Some((stdout, _)) = &mut self.source else { return Err(BackendError::Abandoned) };
            match stdout.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(self.early_end().await),
            }
        }
    }

    /// Why the answer ended within its head.
    async fn early_end(mut self) -> BackendError {
        if let Some((_, tell)) = self.source.take() {
            let _ = tell.send(());
        }
        match self.end.take() {
            Some(end) => end.await.unwrap_or(Err(BackendError::Abandoned)).map_or_else(|error| error, died),
            None => BackendError::Abandoned,
        }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ahead.has_remaining() {
            return Poll::Ready(Some(self.ahead.split().freeze()));
        }
        let Some((stdout, _)) = &mut self.source else { return Poll::Ready(None) };
        self.ahead.resize(CHUNK, 0);
        let mut chunk = ReadBuf::new(&mut self.ahead);
        let read = Pin::new(stdout).poll_read(context, &mut chunk);
        let length = chunk.filled().len();
        let data = self.ahead.split_to(length).freeze();
        self.ahead.clear();
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if length > 0 => Poll::Ready(Some(data)),
            Poll::Ready(Ok(()) | Err(_)) => {
                if let Some((_, tell)) = self.source.take() {
                    let _ = tell.send(());
                }
                Poll::Ready(None)
            }
        }
    }
}

impl Body for BackendBody {
    type Data = Bytes;
    type Error = BackendError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BackendError>>> {
        let this = self.get_mut();
        if let Some(data) = ready!(this.poll_data(context)) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(end) = &mut this.end else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(end).poll(context)).unwrap_or(Err(BackendError::Abandoned));
        this.end = None;
        Poll::Ready(match ended {
            Err(error) => Some(Err(error)),
            Ok(ended) if ended.status.signal().is_some() => Some(Err(died(ended))),
            // Where git gives up it has said so in its own protocol, and a client finds what is missing.
            Ok(_) => None,
        })
    }
}

fn died(Ended { status, said }: Ended) -> BackendError {
    BackendError::Died(status.to_string().into(), said)
}

/// Longest head of an answer in octets.
const MAX_HEAD: usize = 8 * 1024;

/// Most octets that are read from git at once.
const CHUNK: usize = 32 * 1024;

/// Most octets of a body that are read for nobody.
const MAX_UNREAD: usize = 256 * 1024 * 1024;

//! The upstream's side of one exchange in HTTP/1: the head of its answer is judged before hyper sees it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::wire::http1::ResponseReader;

/// A connection that carries one request and its answer. Interim answers (1xx) end here; an answer whose framing is in
/// doubt is an error, since hyper would repair it and the sandbox might read it otherwise.
pub(super) struct Origin<S> {
    stream: S,
    buffer: BytesMut,
    /// None once the head has been judged.
    head: Option<ResponseReader>,
    interim: usize,
}

impl<S: AsyncRead + Unpin> Origin<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), head: Some(ResponseReader::default()), interim: 0 }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(reader) = &mut self.head {
            match reader.read(&self.buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                Some((head, length)) if head.is_interim() => {
                    self.buffer.advance(length);
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many interim answers")));
                    }
                }
                Some(_) => self.head = None,
                None => {
                    self.buffer.reserve(READ_SIZE);
                    let read = std::pin::pin!(self.stream.read_buf(&mut self.buffer));
                    if ready!(read.poll(context))? == 0 {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before its answer was complete")));
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Origin<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(context))?;
        if this.buffer.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, out);
        }
        let count = this.buffer.len().min(out.remaining());
        out.put_slice(&this.buffer[..count]);
        this.buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Origin<S> {
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

const READ_SIZE: usize = 16 * 1024;
/// Interim answers that an origin may send before the final one.
const MAX_INTERIM: usize = 16;

//! hyper, given a connection that speaks HTTP/2.

use std::{
    cell::Cell,
    convert::Infallible,
    error::Error as StdError,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn, upgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until},
};

use super::until;
use crate::{
    downstream::Timer,
    passage::{Answered, Traffic},
    upstream::{Group, Tasks},
};

/// How long a connection, and each of its streams, may stand still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stillness {
    /// Without a stream.
    pub(super) empty: Duration,
    /// With streams, and no byte of any body moved.
    pub(super) stalled: Duration,
    /// With more of one answer than its client takes: that stream is reset, and the others go on.
    pub(super) untaken: Duration,
}

/// Lets hyper serve the streams of a connection by `answer`, until it ends or stands still. Once `told` turns true no new
/// stream is accepted, and it ends with those that are open. Whoever drops this ends them all.
pub(super) async fn serve<S, A, B>(
    stream: S,
    told: &watch::Receiver<bool>,
    traffic: &Traffic,
    stillness: Stillness,
    answer: impl Fn(Request<Incoming>) -> A,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Answered<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let (tasks, streams) = (Tasks::default(), watch::Sender::new(0));
    let service = service_fn(|mut request| {
        let (open, upgrade) = (Open::new(&streams), upgrade::on(&mut request));
        let (answer, group) = (answer(request), tasks.group());
        // Boxed: hyper holds one for every stream.
        Box::pin(async move {
            let Answered { response, socket } = answer.await;
            let open = if let Some(socket) = socket {
                group.execute(async {
                    let _open = open;
                    if let Ok(stream) = upgrade.await {
                        socket.carry(TokioIo::new(stream)).await;
                    }
                });
                None
            } else {
                Some(open)
            };
            let mut response = response.map(|body| Offered { body, _open: open });
            // What ends a connection in HTTP/1.1 ends a stream here.
            response.headers_mut().remove(header::CONNECTION);
            Ok::<_, Infallible>(response)
        })
    });
    let executor = Streams { tasks: tasks.group(), untaken: stillness.untaken };
    let mut connection = pin!(bounded(http2::Builder::new(executor)).serve_connection(TokioIo::new(stream), service));
    let mut told = told.clone();
    tokio::select! {
        _ = &mut connection => return,
        () = until(&mut told) => {}
        () = still(streams.subscribe(), traffic, stillness) => if *streams.borrow() > 0 { return },
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = still(streams.subscribe(), traffic, stillness) => {}
    }
}

/// Every bound on what a peer can make this side hold or do (CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).
fn bounded<E>(mut builder: http2::Builder<E>) -> http2::Builder<E> {
    builder
        .auto_date_header(false)
        // For WebSockets alone (RFC 8441); whatever else a CONNECT asks for is refused as a request.
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    builder
}

/// Ends once the connection stands still.
async fn still(mut streams: watch::Receiver<usize>, traffic: &Traffic, stillness: Stillness) {
    let mut changed = Instant::now();
    loop {
        let limit = if *streams.borrow_and_update() == 0 { stillness.empty } else { stillness.stalled };
        let deadline = changed.max(traffic.last()) + limit;
        tokio::select! {
            Ok(()) = streams.changed() => changed = Instant::now(),
            () = sleep_until(deadline) => if changed.max(traffic.last()) + limit <= Instant::now() {
                return;
            }
        }
    }
}

tokio::task_local! {
    /// Of the stream whose task this is: since when its client has had something of the answer to take.
    static OFFERED: Cell<Option<Instant>>;
}

/// The body of an answer, which notes when it gives something to be taken.
struct Offered<B> {
    body: B,
    _open: Option<Open>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Offered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.get_mut().body).poll_frame(context);
        let _ = OFFERED.try_with(|offered| offered.set(frame.is_ready().then(Instant::now)));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs hyper's task for each stream.
#[derive(Clone)]
struct Streams {
    tasks: Group,
    untaken: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let stream = Taken { stream: Box::pin(stream), limit: self.untaken, since: None, timer: Timer::default() };
        self.tasks.execute(OFFERED.scope(Cell::default(), stream));
    }
}

/// hyper's task for a stream, which ends once its client has taken nothing for too long: hyper asks the body for more only where
/// there is room, and its end resets the stream.
struct Taken<F> {
    stream: Pin<Box<F>>,
    limit: Duration,
    since: Option<Instant>,
    timer: Timer,
}

impl<F: Future<Output = ()>> Future for Taken<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let since = OFFERED.with(Cell::get);
        if since != this.since {
            this.since = since;
            this.timer.disarm();
        }
        if since.is_some() { this.timer.poll_expired(context, this.limit) } else { Poll::Pending }
    }
}

/// Counts a stream until it is answered, or until its WebSocket has ended.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(streams: &watch::Sender<usize>) -> Self {
        streams.send_modify(|open| *open += 1);
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

const MAX_STREAMS: u32 = 128;
/// Octets of a head, as HTTP/2 counts them (RFC 9113, section 6.5.2).
const MAX_HEAD: u32 = 64 * 1024;
/// Octets of all bodies, and of one, that may be under way before they are asked for.
const WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Octets of one answer that may wait to be taken.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset, by the peer before they were accepted or by us for its errors; one more ends the connection.
const MAX_RESETS: usize = 20;

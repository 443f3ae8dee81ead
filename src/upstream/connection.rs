//! Connections to upstreams that speak HTTP.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::Method;
use hyper::{
    client::conn::{http1, http2},
    rt::Executor as _,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    origin::{Origin, Turn},
    parent::Parent,
    tasks::Tasks,
    upload::Upload,
};

/// One connection in HTTP/1, for one exchange at a time. Dropping it closes it.
pub(super) struct Sole {
    pub(super) sender: http1::SendRequest<Upload>,
    pub(super) turn: Turn,
    pub(super) address: Option<SocketAddr>,
    pub(super) parent: Option<Arc<Parent>>,
    pub(super) opened: Instant,
    _tasks: Tasks,
}

impl Sole {
    /// Over a stream whose first request, by `method`, is sent next.
    pub(super) async fn open<S>(stream: S, address: Option<SocketAddr>, parent: Option<Arc<Parent>>, method: &Method) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (tasks, turn) = (Tasks::default(), Turn::first(method));
        let origin = TokioIo::new(Origin::new(stream, turn.clone()));
        let (sender, connection) = http1::Builder::new().max_headers(H1_MAX_FIELDS).max_buf_size(SEND_BUFFER).handshake(origin).await?;
        tasks.group().execute(async { drop(connection.await) });
        Ok(Self { sender, turn, address, parent, opened: Instant::now(), _tasks: tasks })
    }

    /// Whether another request may be sent over it.
    pub(super) fn is_free(&self) -> bool {
        self.turn.is_over() && !self.sender.is_closed()
    }

    /// Begins the next exchange.
    pub(super) fn begin(&self, method: &Method) -> Option<()> {
        self.turn.next(method)
    }
}

/// One connection in HTTP/2, for many exchanges at once. It closes once nobody holds it.
pub(super) struct Shared {
    pub(super) sender: http2::SendRequest<Upload>,
    streams: AtomicUsize,
    /// Exchanges at once that the upstream allows.
    most: Arc<AtomicUsize>,
    /// Set once no more exchanges may begin.
    retired: AtomicBool,
    /// When the last exchange ended, where none is under way.
    idle_since: Mutex<Instant>,
    pub(super) address: Option<SocketAddr>,
    pub(super) opened: Instant,
    _tasks: Tasks,
}

impl Shared {
    pub(super) async fn open<S>(stream: S, address: Option<SocketAddr>) -> hyper::Result<Arc<Self>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = Tasks::default();
        let (sender, mut connection) = http2::Builder::new(tasks.group())
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_header_list_size(H2_MAX_HEAD)
            .max_send_buf_size(SEND_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let tell = Arc::clone(&most);
        tasks.group().execute(poll_fn(move |context| {
            let ended = Pin::new(&mut connection).poll(context).map(drop);
            tell.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        }));
        let now = Instant::now();
        Ok(Arc::new(Self {
            sender,
            most,
            streams: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            idle_since: Mutex::new(now),
            address,
            opened: now,
            _tasks: tasks,
        }))
    }

    /// Whether exchanges may begin on it, now or once others have ended.
    pub(super) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Whether the upstream takes one more exchange now.
    pub(super) fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed).min(MAX_STREAMS)
    }

    /// Counts an exchange that begins.
    pub(super) fn begin(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an exchange that has ended.
    pub(super) fn end(&self) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Since when no exchange is under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.streams.load(Ordering::Relaxed) == 0;
        idle.then(|| *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets no more exchanges begin.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// Header lines of an answer in HTTP/1.1.
pub(super) const H1_MAX_FIELDS: usize = 256;
/// Octets of an answer's head in HTTP/2, as it counts them (RFC 9113, section 6.5.2).
const H2_MAX_HEAD: u32 = 64 * 1024;
/// Octets of an answer that may be under way before they are asked for.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all answers of a connection: one that nobody reads must not hold up the others.
const H2_CONNECTION_WINDOW: u32 = 100 * H2_STREAM_WINDOW;
/// Exchanges of a connection at once, where the upstream allows more.
const MAX_STREAMS: usize = 100;
/// Octets of a request that may wait to be taken; in HTTP/1.1 also the most of an answer's head.
pub(super) const SEND_BUFFER: usize = 128 * 1024;

//! Bytes from socket to socket, both ways, each direction ending on its own.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Instant, sleep_until},
};

use crate::metrics::Metrics;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// How many bytes went each way, and when the last one did.
pub(crate) struct Traffic {
    metrics: Arc<Metrics>,
    started: Instant,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds from `started` to the last byte.
    last: AtomicU64,
}

impl Traffic {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    pub(crate) fn duration(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the last byte went either way; the beginning, where none did.
    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, direction: Direction, count: u64) {
        let sum = match direction {
            Direction::Up => {
                self.metrics.sent_up(count);
                &self.up
            }
            Direction::Down => {
                self.metrics.sent_down(count);
                &self.down
            }
        };
        sum.fetch_add(count, Ordering::Relaxed);
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }
}

/// Why a relay ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions were closed by their senders.
    Closed,
    /// One side broke.
    Broken,
    /// No byte moved for the idle time.
    Idle,
}

/// Relays until both directions have ended, one side breaks, or nothing moves for `idle`. A side that stops sending is
/// shut down on the other side only (half-close).
pub(crate) async fn relay(downstream: &mut TcpStream, upstream: &mut TcpStream, idle: Duration, traffic: &Traffic) -> End {
    let (mut down_read, mut down_write) = downstream.split();
    let (mut up_read, mut up_write) = upstream.split();
    let both = async {
        tokio::try_join!(
            pump(&mut down_read, &mut up_write, Direction::Up, traffic),
            pump(&mut up_read, &mut down_write, Direction::Down, traffic)
        )
    };
    tokio::select! {
        ended = both => if ended.is_ok() { End::Closed } else { End::Broken },
        () = idle_for(idle, traffic) => End::Idle,
    }
}

async fn pump(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, direction: Direction, traffic: &Traffic) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        traffic.add(direction, count as u64);
    }
}

/// Ends once no byte has moved for `idle`.
async fn idle_for(idle: Duration, traffic: &Traffic) {
    loop {
        let deadline = traffic.last() + idle;
        if Instant::now() >= deadline {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// Per direction; its pages are touched only as far as a read fills them.
const BUFFER: usize = 64 * 1024;

//! Bytes from socket to socket, both ways, each direction ending on its own.

use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
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
    /// Of what it is a part of.
    whole: Option<Arc<Traffic>>,
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
            whole: None,
            started: Instant::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Of a part of `whole`, where its bytes count too.
    pub(crate) fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::new(&whole.metrics) }
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
        match (&self.whole, direction) {
            (Some(whole), _) => whole.add(direction, count),
            (None, Direction::Up) => self.metrics.sent_up(count),
            (None, Direction::Down) => self.metrics.sent_down(count),
        }
        let sum = if direction == Direction::Up { &self.up } else { &self.down };
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

/// What looks at bytes on their way.
pub(crate) trait Passing {
    /// Gives what goes on of the bytes that came; an error breaks the relay off, and nothing of them goes on.
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> io::Result<Cow<'b, [u8]>>;

    /// What it gave last was taken whole.
    fn taken(&mut self) {}
}

/// Bytes that nobody looks at.
pub(crate) struct Unseen;

impl Passing for Unseen {
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> io::Result<Cow<'b, [u8]>> {
        Ok(Cow::Borrowed(bytes))
    }
}

/// Relays between two streams, each given as its two halves, until both directions have ended, one side breaks, or nothing moves for
/// `idle`. A side that stops sending is shut down on the other side only (half-close). Of `passing` one sees what goes up, the other what goes
/// down.
pub(crate) async fn relay<R, W, S, T>(
    (mut down_read, mut down_write): (R, W),
    (mut up_read, mut up_write): (S, T),
    idle: Duration,
    traffic: &Traffic,
    passing: (&mut impl Passing, &mut impl Passing),
) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    T: AsyncWrite + Unpin,
{
    let both = async {
        tokio::try_join!(
            pump(&mut down_read, &mut up_write, Direction::Up, traffic, passing.0),
            pump(&mut up_read, &mut down_write, Direction::Down, traffic, passing.1)
        )
    };
    tokio::select! {
        ended = both => if ended.is_ok() { End::Closed } else { End::Broken },
        () = idle_for(idle, traffic) => End::Idle,
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    direction: Direction,
    traffic: &Traffic,
    passing: &mut impl Passing,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let passed = passing.pass(&buffer[..count])?;
        to.write_all(&passed).await?;
        // What encrypts keeps what it was given until it is told.
        to.flush().await?;
        passing.taken();
        traffic.add(direction, passed.len() as u64);
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

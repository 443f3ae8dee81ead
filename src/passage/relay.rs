//! Bytes from socket to socket, both ways, each direction ending on its own.

use std::{borrow::Cow, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until},
};

use super::traffic::Traffic;
use crate::limits::{Direction, Exhausted};

/// Why a relay ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions were closed by their senders.
    Closed,
    /// One side broke.
    Broken,
    /// More was to go up than the session may send.
    Exhausted(Exhausted),
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

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Passing for Unseen {
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> io::Result<Cow<'b, [u8]>> {
        Ok(Cow::Borrowed(bytes))
    }
}

/// Relays between two streams, each given as its two halves, until both directions have ended, one side breaks, nothing moves for
/// `idle`, or more is to go up than may. A side that stops sending is shut down on the other side only (half-close). `early` was read
/// of the sandbox's before. Of `passing` one sees what goes up behind that, the other what goes down.
pub(crate) async fn relay<R, W, S, T>(
    (mut down_read, mut down_write): (R, W),
    early: impl AsRef<[u8]>,
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
    let up = async {
        write(&mut up_write, early.as_ref(), Direction::Up, traffic).await?;
        drop(early);
        pump(&mut down_read, &mut up_write, Direction::Up, traffic, passing.0).await
    };
    let both = async { tokio::try_join!(up, pump(&mut up_read, &mut down_write, Direction::Down, traffic, passing.1)) };
    tokio::select! {
        ended = both => ended.err().unwrap_or(End::Closed),
        () = idle_for(idle, traffic) => End::Idle,
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    direction: Direction,
    traffic: &Traffic,
    passing: &mut impl Passing,
) -> Result<(), End> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        let passed = passing.pass(&buffer[..count])?;
        write(to, &passed, direction, traffic).await?;
        passing.taken();
    }
}

/// Writes bytes as they may go, and counts what went.
async fn write(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], direction: Direction, traffic: &Traffic) -> Result<(), End> {
    loop {
        let leave = traffic.admit(direction, bytes.len()).await.map_err(End::Exhausted)?;
        let (now, later) = leave.split(bytes);
        to.write_all(now).await?;
        // What encrypts keeps what it was given until it is told.
        to.flush().await?;
        traffic.count(leave);
        if later.is_empty() {
            return Ok(());
        }
        bytes = later;
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

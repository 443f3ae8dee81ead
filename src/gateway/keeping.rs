//! A pack that is kept until it was looked through, as it arrives.

use std::io;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{task::spawn_blocking, time::Duration};

use super::{
    Visit,
    body::{Asking, BoxError},
    spool::{Room, Spool},
};
use crate::{
    pack::{PackError, PackReader, Shelf},
    reason::Reason,
    respond::Refusal,
    upstream::BodyFault,
};

/// A pack that is being read and kept.
pub(super) struct Keeping {
    pub(super) spool: Spool,
    pub(super) reader: PackReader,
    /// Octets that may still come.
    left: u64,
}

impl Keeping {
    /// With a place of the session's, of which there are few.
    pub(super) fn of_push(visit: &Visit<'_>, reader: PackReader, most: u64) -> Result<Self, Refusal> {
        let place = visit.subject.session.keeping().ok_or_else(|| full(TOO_MANY))?;
        let spool = Spool::new(visit.gate.backend.scratch(), &ROOM, Some(place)).map_err(|error| unkept(&error))?;
        Ok(Self { spool, reader, left: most })
    }

    /// A pack of the upstream's, beside a push that has its place.
    pub(super) fn beside(visit: &Visit<'_>, reader: PackReader, most: u64) -> Result<Self, Refusal> {
        Ok(Self { spool: shelf(visit)?, reader, left: most })
    }

    /// Reads a push to its end: `behind`, then `rest`.
    pub(super) async fn gather(mut self, behind: &Bytes, rest: &mut Asking) -> Result<Self, Refusal> {
        let mut waiting = BytesMut::from(&**behind);
        loop {
            let frame = rest.frame().await.transpose().map_err(broken)?;
            let ended = frame.is_none();
            waiting.extend_from_slice(frame.as_ref().and_then(|frame| frame.data_ref()).map_or(&[], |data| data));
            if !ended && waiting.len() < PIECE {
                continue;
            }
            self = self.take(waiting.split().freeze()).await?;
            if ended {
                return Ok(self);
            }
        }
    }

    /// Takes what comes next.
    pub(super) async fn take(self, piece: Bytes) -> Result<Self, Refusal> {
        // Inflating takes its time.
        apart(move || self.keep(&piece)).await?
    }

    fn keep(mut self, piece: &[u8]) -> Result<Self, Refusal> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| Refusal::new(Reason::PushNotJudgeable, TOO_LARGE))?;
        self.reader.take(piece).map_err(untold)?;
        self.spool.write(piece).map_err(|error| unkept(&error))?;
        Ok(self)
    }
}

/// Where whole objects of a push are put.
pub(super) fn shelf(visit: &Visit<'_>) -> Result<Spool, Refusal> {
    Spool::new(visit.gate.backend.scratch(), &ROOM, None).map_err(|error| unkept(&error))
}

/// The same as what a reader puts them on.
pub(super) fn boxed_shelf(visit: &Visit<'_>) -> Result<Box<dyn Shelf>, Refusal> {
    Ok(Box::new(shelf(visit)?))
}

/// Does something that takes its time where nobody waits behind it; what panics is a refusal.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    spawn_blocking(work).await.map_err(|_| Refusal::new(Reason::Internal, UNTOLD))
}

/// A push that cannot be judged.
pub(super) fn untold(error: PackError) -> Refusal {
    if error == PackError::Unkept {
        return full(NO_ROOM);
    }
    Refusal::new(Reason::PushNotJudgeable, format!("{UNTOLD} In detail: {error}."))
}

fn full(text: &str) -> Refusal {
    Refusal { retry_after: Some(FEW_MOMENTS), ..Refusal::new(Reason::TooManyConnections, text) }
}

pub(super) fn unkept(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::StorageFull {
        tracing::warn!(%error, "a push is refused, as those that are kept until they are judged fill their room");
        return full(NO_ROOM);
    }
    tracing::error!(%error, "a push cannot be kept until it is judged");
    Refusal::new(Reason::Internal, "The push cannot be kept until it is judged; the operator finds the cause in Tidegate's log.")
}

fn broken(error: BoxError) -> Refusal {
    match error.downcast::<BodyFault>() {
        Ok(fault) => Refusal::new(fault.reason, fault.detail),
        Err(error) => Refusal::new(Reason::BadRequest, format!("The push could not be read: {error}.")),
    }
}

/// What all sessions together may have kept.
static ROOM: Room = Room::of(4 << 30);
/// Octets that are kept and inflated at once.
const PIECE: usize = 256 << 10;
/// For another push that is kept to end.
const FEW_MOMENTS: Duration = Duration::from_secs(5);

const UNTOLD: &str = "The push has to be looked through before it goes on, and cannot be.";
const TOO_MANY: &str = "This session has as many pushes under way that are looked through as it may have at once.";
const NO_ROOM: &str = "There is no room at the moment to keep a push until it was looked through. Push again in a moment.";
const TOO_LARGE: &str = "The push is too large to be looked through, which this session's grant demands. Push in smaller steps.";

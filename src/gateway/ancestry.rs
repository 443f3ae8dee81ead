//! Whether a push leaves commits behind, judged before any of it goes up.
//!
//! What a session pushes to a branch brings the commits between the old tip and the new one with it: the pack is kept until it has
//! come, and its commits are walked from the new tip to the old. Where the walk leaves the pack, as where a branch is moved to what
//! the upstream has already, the upstream is asked for the commits that are missing, and those are walked.

use std::io;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::{
    task::spawn_blocking,
    time::{Duration, timeout},
};

use super::{
    Visit,
    body::{Asking, Body, Upload},
    errand::Errand,
    spool::{Room, Spool},
};
use crate::{
    github::{
        ProtocolVersion, RepositoryName, Service, fetch,
        push::{CommandList, ObjectId, RefName, RefUpdate},
    },
    pack::{Commits, Descent, PackError, PackReader, Unproven},
    policy::{PushPermit, decide_repository},
    reason::Reason,
    respond::Refusal,
    upstream::BodyFault,
};

/// Keeps the pack of a push until all of it was read: `behind`, then `rest`. Gives back what to send on, and the permit without the
/// refs of which it was proved that they leave nothing behind.
///
/// # Errors
/// A ref leaves a commit behind, or that cannot be told: [`Reason::RefNotGranted`], [`Reason::PushNotJudgeable`].
pub(super) async fn prove(
    visit: &Visit<'_>,
    repository: &RepositoryName,
    list: &CommandList,
    headers: &HeaderMap,
    permit: PushPermit,
    behind: &Bytes,
    rest: &mut Asking,
) -> Result<(PushPermit, Spool), Refusal> {
    let doubtful: Vec<_> = list.updates.iter().filter(|update| permit.verifies(&update.name)).collect();
    if doubtful.len() > MAX_DOUBTFUL {
        return Err(Refusal::new(Reason::PushNotJudgeable, TOO_MANY_REFS));
    }
    let (spool, mut commits) = gather(visit, list, behind, rest).await?;
    let mut asked = 0;
    let mut verified = Vec::new();
    for update in doubtful {
        let descent = match commits.descent(&update.old, &update.new) {
            Err(Unproven::Beyond(missing)) => {
                asked += missing.len();
                if asked > MAX_MISSING {
                    return Err(Refusal::new(Reason::PushNotJudgeable, UNTOLD));
                }
                let asking = ask(visit, repository, list, headers, &missing, &update.old);
                let found = timeout(PATIENCE, asking).await.map_err(|_| Refusal::new(Reason::UpstreamTimeout, LATE))??;
                commits.join(found).map_err(untold)?;
                // All that the old commit does not contain is there now.
                commits.descent(&update.old, &update.new)
            }
            known => known,
        };
        verified.push(verify(update, descent)?);
    }
    Ok((permit.verified(|name| verified.contains(&name)), spool))
}

fn verify(update: &RefUpdate, descent: Result<Descent, Unproven>) -> Result<&RefName, Refusal> {
    let name = &update.name;
    descent.map(|Descent { .. }| name).map_err(|_| {
        let text =
            format!("This session may not force {}: the push leaves commits behind that it holds now.", name.as_str().escape_debug());
        Refusal::new(Reason::RefNotGranted, text)
    })
}

/// Reads a pack to its end, keeping it, and walks through it as it comes.
async fn gather(visit: &Visit<'_>, list: &CommandList, behind: &Bytes, rest: &mut Asking) -> Result<(Spool, Commits), Refusal> {
    let place = visit.subject.session.keeping().ok_or_else(|| full(TOO_MANY))?;
    let spool = Spool::new(visit.gate.backend.scratch(), &ROOM, Some(place)).map_err(|error| unkept(&error))?;
    let mut work = Work { spool, reader: PackReader::new(list.capabilities.object_format()) };
    let mut waiting = BytesMut::from(&**behind);
    loop {
        let frame = rest.frame().await.transpose().map_err(broken)?;
        let ended = frame.is_none();
        waiting.extend_from_slice(frame.as_ref().and_then(|frame| frame.data_ref()).map_or(&[], |data| data));
        if !ended && waiting.len() < PIECE {
            continue;
        }
        let piece = waiting.split().freeze();
        // Inflating takes its time.
        work = spawn_blocking(move || work.take(&piece)).await.map_err(|_| Refusal::new(Reason::Internal, UNTOLD))??;
        if ended {
            break;
        }
    }
    let Work { mut spool, reader } = work;
    spool.rewind().map_err(|error| unkept(&error))?;
    let commits = reader.finish().map_err(untold)?;
    Ok((spool, commits))
}

struct Work {
    spool: Spool,
    reader: PackReader,
}

impl Work {
    fn take(mut self, piece: &[u8]) -> Result<Self, Refusal> {
        if self.spool.length() + piece.len() as u64 > MAX_KEPT {
            return Err(Refusal::new(Reason::PushNotJudgeable, TOO_LARGE));
        }
        self.reader.take(piece).map_err(untold)?;
        self.spool.write(piece).map_err(|error| unkept(&error))?;
        Ok(self)
    }
}

/// Asks the upstream for `missing` and all that they contain and the old tip does not, commits only.
async fn ask(
    visit: &Visit<'_>,
    repository: &RepositoryName,
    list: &CommandList,
    headers: &HeaderMap,
    missing: &[ObjectId],
    old: &ObjectId,
) -> Result<Commits, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let format = list.capabilities.object_format();
    let permit = decide_repository(&visit.subject.governing.grant, repository, Service::UploadPack, false)?;
    let mut errand = Errand::fetch(permit, headers);
    errand.protocol = Some(ProtocolVersion::V2);
    let own = visit.gate.traffic(visit.subject).into();
    let request = fetch::commits(format, missing, old);
    let answer = errand.run(visit, Upload::whole(request.into(), &own).0).await.map_err(|trouble| trouble.refusal)?;
    read(answer.into_body(), PackReader::new(format)).await.ok_or_else(|| Refusal::new(Reason::PushNotJudgeable, UNTOLD))
}

/// The commits of an upstream's pack; `None` where it is none, or more than is read.
async fn read(mut body: Body, mut pack: PackReader) -> Option<Commits> {
    let (mut answer, mut bytes, mut length) = (fetch::Answer::default(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.ok()?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        length += frame.data_ref().map_or(0, Bytes::len) as u64;
        if length > MAX_ASKED {
            return None;
        }
        let (used, pieces) = answer.read(&bytes).inspect_err(|error| tracing::info!(%error, "commits cannot be had")).ok()?;
        pieces.iter().try_for_each(|piece| pack.take(piece)).ok()?;
        let _ = bytes.split_to(used);
    }
    pack.finish().ok()
}

fn untold(error: PackError) -> Refusal {
    Refusal::new(Reason::PushNotJudgeable, format!("{UNTOLD} In detail: {error}."))
}

fn full(text: &str) -> Refusal {
    Refusal { retry_after: Some(FEW_MOMENTS), ..Refusal::new(Reason::TooManyConnections, text) }
}

fn unkept(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::StorageFull {
        tracing::warn!(%error, "a push is refused, as those that are kept until they are judged fill their room");
        return full(NO_ROOM);
    }
    tracing::error!(%error, "a push cannot be kept until it is judged");
    Refusal::new(Reason::Internal, "The push cannot be kept until it is judged; the operator finds the cause in Tidegate's log.")
}

fn broken(error: super::body::BoxError) -> Refusal {
    match error.downcast::<BodyFault>() {
        Ok(fault) => Refusal::new(fault.reason, fault.detail),
        Err(error) => Refusal::new(Reason::BadRequest, format!("The push could not be read: {error}.")),
    }
}

/// Largest pack that is kept until it is judged.
const MAX_KEPT: u64 = 512 << 20;
/// What all sessions together may have kept.
static ROOM: Room = Room::of(4 << 30);
/// Octets that are kept and inflated at once.
const PIECE: usize = 256 << 10;
/// Most octets of an upstream's answer: commits and no more.
const MAX_ASKED: u64 = 64 << 20;
/// Most commits that an upstream is asked for by name, for one push.
const MAX_MISSING: usize = 64;
/// Most refs of a push that are judged so: the history is walked for each.
const MAX_DOUBTFUL: usize = 64;
/// For another push that is kept to end.
const FEW_MOMENTS: Duration = Duration::from_secs(5);
/// Longest that it may take to give them.
const PATIENCE: Duration = Duration::from_secs(60);

const LATE: &str = "The upstream did not say in time whether the push leaves commits behind, which this session may not do.";
const UNTOLD: &str = "Whether the push leaves commits behind cannot be told, and this session may not do that. Push to a ref that is new.";
const TOO_MANY: &str = "This session has as many pushes under way whose commits are looked through as it may have at once.";
const TOO_MANY_REFS: &str = "The push updates more refs than are looked through for commits that it leaves behind, which this session may not do. \
     Push fewer at a time.";
const NO_ROOM: &str = "There is no room at the moment to keep a push until it was looked through for commits that it leaves behind. \
     Push again in a moment.";
const TOO_LARGE: &str = "The push is too large to tell whether it leaves commits behind, which this session may not do. \
     Push in smaller steps, or to a ref that is new.";

//! What an upstream is asked by ourselves on account of a push: commits, trees, and which branches there are.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::time::{Duration, timeout};

use super::{
    Visit,
    body::{Body, Upload},
    default_branch,
    errand::Errand,
    keeping::{Keeping, apart, untold},
};
use crate::{
    github::{
        ProtocolVersion, RepositoryName, Service, fetch, ls_refs,
        push::{CommandList, ObjectFormat},
    },
    pack::{Commits, Contents, Origin, PackReader},
    policy::decide_repository,
    reason::Reason,
    respond::Refusal,
};

/// Who asks, and where.
pub(super) struct Inquiry<'a> {
    pub(super) visit: &'a Visit<'a>,
    pub(super) repository: &'a RepositoryName,
    pub(super) headers: &'a HeaderMap,
    pub(super) format: ObjectFormat,
}

impl<'a> Inquiry<'a> {
    /// On account of this push.
    pub(super) fn of(visit: &'a Visit<'_>, repository: &'a RepositoryName, list: &CommandList, headers: &'a HeaderMap) -> Inquiry<'a> {
        Inquiry { visit, repository, headers, format: list.capabilities.object_format() }
    }

    /// The commits of an answer, and nothing else of it.
    pub(super) async fn commits(&self, request: Vec<u8>) -> Result<Commits, Refusal> {
        let reading = async { Ok(read_commits(self.ask(request).await?, PackReader::new(self.format)).await) };
        in_time(reading).await?.ok_or_else(|| Refusal::new(Reason::PushNotJudgeable, UNTOLD))
    }

    /// All that an answer holds, in addition to what there is.
    pub(super) async fn objects(&self, request: Vec<u8>, contents: Contents, origin: Origin) -> Result<Contents, Refusal> {
        in_time(async {
            let body = self.ask(request).await?;
            let keeping = Keeping::beside(self.visit, contents.beside(origin), MAX_ASKED)?;
            let Keeping { spool, reader, .. } = read_objects(body, keeping).await?;
            let arrived = reader.finish_beside().map_err(untold)?;
            apart(move || arrived.resolve(&spool)).await?.map_err(untold)
        })
        .await
    }

    /// HEAD and every branch, as far as the upstream says; where these are too many, HEAD and what a push is for.
    pub(super) async fn branches(&self, list: &CommandList) -> Result<ls_refs::Listing, Refusal> {
        let pushed = list.updates.iter().map(|update| &update.name).filter(|name| name.as_str().starts_with("refs/heads/"));
        for request in [ls_refs::branches(self.format), ls_refs::request(self.format, pushed)] {
            let reading = async { Ok(default_branch::read(self.ask(request).await?).await) };
            if let Some(listing) = in_time(reading).await? {
                return Ok(listing);
            }
        }
        Ok(ls_refs::Listing::default())
    }

    async fn ask(&self, request: Vec<u8>) -> Result<Body, Refusal> {
        let Self { visit, repository, headers, .. } = self;
        visit.gate.count_upstream(visit.subject).await?;
        let permit = decide_repository(&visit.subject.governing.grant, repository, Service::UploadPack, false)?;
        let mut errand = Errand::fetch(permit, headers);
        errand.protocol = Some(ProtocolVersion::V2);
        // Our own octets: the push has sent none yet.
        let own = visit.gate.traffic(visit.subject).into();
        let answer = Box::pin(errand.run(visit, Upload::whole(request.into(), &own).0)).await.map_err(|trouble| trouble.refusal)?;
        Ok(answer.into_body())
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(PATIENCE, asking).await.map_err(|_| Refusal::new(Reason::UpstreamTimeout, LATE))?
}

/// The commits of an upstream's pack; `None` where it is none, or more than is read.
async fn read_commits(mut body: Body, mut pack: PackReader) -> Option<Commits> {
    let (mut answer, mut bytes, mut length) = (fetch::Answer::default(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.ok()?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        length += frame.data_ref().map_or(0, Bytes::len) as u64;
        if length > MAX_COMMITS {
            return None;
        }
        let (used, pieces) = answer.read(&bytes).inspect_err(|error| tracing::info!(%error, "commits cannot be had")).ok()?;
        pieces.iter().try_for_each(|piece| pack.take(piece)).ok()?;
        let _ = bytes.split_to(used);
    }
    pack.finish().ok()
}

/// Reads and keeps an upstream's pack.
async fn read_objects(mut body: Body, mut keeping: Keeping) -> Result<Keeping, Refusal> {
    let (mut answer, mut bytes) = (fetch::Answer::default(), BytesMut::new());
    let refuse = || Refusal::new(Reason::PushNotJudgeable, UNTOLD);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::info!(error, "what a push is compared with cannot be had");
            refuse()
        })?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        let (used, pieces) = answer.read(&bytes).map_err(|error| {
            tracing::info!(%error, "what a push is compared with cannot be had");
            refuse()
        })?;
        let piece = pieces.concat();
        let _ = bytes.split_to(used);
        if !piece.is_empty() {
            keeping = keeping.take(piece.into()).await?;
        }
    }
    Ok(keeping)
}

/// Most octets of an answer that holds commits and no more.
const MAX_COMMITS: u64 = 64 << 20;
/// Most octets of any other.
const MAX_ASKED: u64 = 256 << 20;
/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

const LATE: &str = "The upstream did not say in time what the push is compared with.";
const UNTOLD: &str =
    "The push has to be compared with what the upstream has, and that cannot be had. Fetch first, or push to a ref that is new.";

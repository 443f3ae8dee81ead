//! The default branch of a repository, asked where it is, for a push that depends on it.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{
    Visit,
    body::{Body, Upload},
    errand::Errand,
};
use crate::{
    github::{ProtocolVersion, RepositoryName, Service, ls_refs, push::ObjectFormat},
    policy::{DefaultBranch, decide_repository},
    reason::Reason,
    respond::Refusal,
};

/// What is known of it: learnt lately, else now. Where the upstream answers and does not name it, nothing is.
///
/// # Errors
/// The upstream gave no answer of git's.
pub(super) async fn learn(
    visit: &Visit<'_>,
    repository: &RepositoryName,
    format: ObjectFormat,
    headers: &HeaderMap,
) -> Result<DefaultBranch, Refusal> {
    let (heads, now) = (visit.subject.session.heads(), (visit.gate.clock)());
    if let Some(branch) = heads.of(repository, now) {
        return Ok(DefaultBranch::Named(branch));
    }
    let asking = ask(visit, repository, format, headers);
    let listing = timeout(PATIENCE, asking).await.map_err(|_| Refusal::new(Reason::UpstreamTimeout, LATE))??;
    Ok(listing.and_then(|listing| listing.default).map_or(DefaultBranch::Unknown, |branch| {
        heads.remember(repository.clone(), branch.clone(), now);
        DefaultBranch::Named(branch)
    }))
}

async fn ask(
    visit: &Visit<'_>,
    repository: &RepositoryName,
    format: ObjectFormat,
    headers: &HeaderMap,
) -> Result<Option<ls_refs::Listing>, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let permit = decide_repository(&visit.subject.governing.grant, repository, Service::UploadPack, false)?;
    let mut errand = Errand::fetch(permit, headers);
    errand.protocol = Some(ProtocolVersion::V2);
    // Our own octets: the push has sent none yet.
    let own = Arc::new(visit.gate.traffic(visit.subject));
    let (upload, _) = Upload::whole(ls_refs::request(format, []).into(), &own);
    let answer = errand.run(visit, upload).await.map_err(|trouble| trouble.refusal)?;
    Ok(read(answer.into_body()).await)
}

/// `None` where it is no list of refs.
pub(super) async fn read(mut body: Body) -> Option<ls_refs::Listing> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = body.frame().await?.ok()?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        match ls_refs::parse(&bytes) {
            Ok(Some(listing)) => return Some(listing),
            Ok(None) => {}
            Err(error) => {
                tracing::info!(%error, "the default branch of a repository cannot be learnt");
                return None;
            }
        }
    }
}

/// Longest that an upstream may take to name it.
const PATIENCE: Duration = Duration::from_secs(20);

const LATE: &str = "The upstream did not say in time which branch is the default one, which no pattern may stand for.";

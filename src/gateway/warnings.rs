//! What an owner should know of the repositories that a session is granted, asked where they are. It never fails a grant.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::{Duration, timeout};

use super::{Scheme, Visit, body::Upload, default_branch, errand::Errand};
use crate::{
    github::{
        ProtocolVersion, Service, ls_refs,
        push::{ObjectFormat, RefName},
    },
    metrics::{Door, Kind},
    passage::{Asked, Gate, Subject},
    policy::{
        RepositoryPermit, decide_repository,
        grant::{Grant, RepositoryGrant},
    },
    sessions::Session,
};

/// A sentence for each that is public, and for each branch that may be pushed and is there already or is the default one. What the
/// upstream does not say in time is left out.
pub(crate) async fn of_grant(gate: &Arc<Gate>, session: &Arc<Session>) -> Vec<String> {
    let subject = Subject::of(Arc::clone(session));
    let mut warnings = Vec::new();
    let asking = async {
        for granted in subject.governing.grant.repositories().iter().take(MAX_REPOSITORIES) {
            let mut asked = Asked::new(Door::Admin, Kind::Fetch);
            let traffic = Arc::new(gate.traffic(&subject));
            let visit = Visit { gate, subject: &subject, asked: &mut asked, traffic, brought: None, scheme: Scheme::Https };
            of_repository(&visit, granted, &mut warnings).await;
        }
    };
    let _ = timeout(PATIENCE, asking).await;
    warnings
}

async fn of_repository(visit: &Visit<'_>, granted: &RepositoryGrant, warnings: &mut Vec<String>) {
    let RepositoryGrant { name, push, upstream_path, .. } = granted;
    let written: Vec<_> = push.iter().filter_map(|entry| RefName::parse(entry.refs.as_str().as_bytes()).ok()).collect();
    let permit = |grant: &Grant, public_read| decide_repository(grant, name, Service::UploadPack, public_read).ok();
    if upstream_path.is_none()
        && let Some(permit) = permit(&Grant::default(), true)
        && list(visit, permit, &[]).await.is_some()
    {
        warnings.push(format!("{name} is public: whatever the session pushes there can be read by everybody"));
    }
    let Some(permit) = permit(&visit.subject.governing.grant, false) else { return };
    let Some(listing) = list(visit, permit, &written).await else { return };
    for branch in written {
        if listing.default.as_ref() == Some(&branch) {
            warnings.push(format!("{branch} of {name} is its default branch: the session may change what everybody starts from"));
        } else if listing.refs.contains(&branch) {
            warnings.push(format!("{branch} of {name} is there already: the session may change what others have pushed"));
        }
    }
    if let (Some(default), Some(entry)) = (listing.default, push.iter().find(|entry| entry.default_branch)) {
        warnings.push(format!("{} of {name} may stand for its default branch, {default}", entry.refs));
    }
}

async fn list(visit: &Visit<'_>, permit: RepositoryPermit, refs: &[RefName]) -> Option<ls_refs::Listing> {
    let mut errand = Errand::fetch(permit, &HeaderMap::new());
    errand.protocol = Some(ProtocolVersion::V2);
    let request = ls_refs::request(ObjectFormat::Sha1, refs.iter().take(MAX_REFS));
    let answer = errand.run(visit, Upload::whole(request.into(), &visit.traffic).0).await.ok()?;
    default_branch::read(answer.into_body()).await
}

/// Longest that a grant waits for what there is to say of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most repositories that are asked about.
const MAX_REPOSITORIES: usize = 8;
/// Most refs of each.
const MAX_REFS: usize = 32;

//! For how long a call and its answer may stand.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;

use crate::{
    gateway::{Visit, body::Body},
    github::Service,
    passage::session_over,
    policy::api::ApiPermit,
    respond::Refusal,
};

/// Ends once the session is over, or may not use the repository any more.
pub(super) async fn withdrawn(visit: &Visit<'_>, permit: &ApiPermit) -> Refusal {
    match permit.repository() {
        Some(repository) => visit.standing(repository, Service::UploadPack).withdrawn().await,
        None => session_over(visit.gate, visit.subject).await,
    }
}

/// An answer on its way to the sandbox, for as long as it may stand.
pub(super) fn pass(visit: &Visit<'_>, permit: &ApiPermit, first: Bytes, rest: Body) -> Body {
    if let Some(repository) = permit.repository() {
        return visit.download_after(first, rest, visit.standing(repository, Service::UploadPack).withdrawn()).boxed_unsync();
    }
    let (gate, subject) = (Arc::clone(visit.gate), visit.subject.clone());
    visit.download_after(first, rest, async move { session_over(&gate, &subject).await }).boxed_unsync()
}

//! Who has locked which file.

use http::{Request, Response, StatusCode};

use super::{Question, admit, answer, ask, gather, malformed, misread};
use crate::{
    gateway::{
        Visit,
        body::{Asking, Body},
    },
    github::{
        RepositoryName,
        lfs::{Call, LockAnswer, LockChange, LockListing, LockQuery},
        push::RefName,
    },
    policy::LfsAct,
    respond::Refusal,
};

/// Answers `GET locks`.
pub(super) async fn list(visit: &mut Visit<'_>, repository: &RepositoryName, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let query = LockQuery::parse(request.uri().query().unwrap_or_default()).map_err(|error| malformed(&error))?;
    name(visit, query.reference.as_ref());
    let permit = admit(visit, repository, &LfsAct::Read).await?;
    let question = Question { permit, call: Call::Locks, query: query.to_query(), body: None };
    let reply = ask(visit, request.headers(), question, &[200]).await?;
    let listing = LockListing::parse(&reply.body).map_err(misread(visit))?;
    Ok(answer(visit, StatusCode::OK, reply.told(listing.to_bytes())))
}

/// Answers `POST locks/verify`.
pub(super) async fn verify(
    visit: &mut Visit<'_>,
    repository: &RepositoryName,
    request: Request<Asking>,
) -> Result<Response<Body>, Refusal> {
    let headers = request.headers().clone();
    let query = LockQuery::parse_body(&gather(request).await?).map_err(|error| malformed(&error))?;
    name(visit, query.reference.as_ref());
    let permit = admit(visit, repository, &LfsAct::VerifyLocks).await?;
    let question = Question { permit, call: Call::VerifyLocks, query: String::new(), body: Some(query.to_bytes()) };
    let reply = ask(visit, &headers, question, &[200]).await?;
    let listing = LockListing::parse(&reply.body).map_err(misread(visit))?;
    Ok(answer(visit, StatusCode::OK, reply.told(listing.to_bytes())))
}

/// Answers `POST locks` and `POST locks/ID/unlock`.
pub(super) async fn change(
    visit: &mut Visit<'_>,
    repository: &RepositoryName,
    call: Call,
    request: Request<Asking>,
) -> Result<Response<Body>, Refusal> {
    let headers = request.headers().clone();
    let read = if call == Call::CreateLock { LockChange::parse_creating } else { LockChange::parse_unlocking };
    let change = read(&gather(request).await?).map_err(|error| malformed(&error))?;
    name(visit, change.reference.as_ref());
    let act = if change.force { LfsAct::ForceLocks } else { LfsAct::ChangeLocks };
    let permit = admit(visit, repository, &act).await?;
    let question = Question { permit, call, query: String::new(), body: Some(change.to_bytes()) };
    let reply = ask(visit, &headers, question, &[200, 201, 409]).await?;
    let changed = LockAnswer::parse(&reply.body).map_err(misread(visit))?;
    let changed = if reply.status == StatusCode::CONFLICT { changed.in_the_way() } else { changed };
    Ok(answer(visit, reply.status, reply.told(changed.to_bytes())))
}

/// What records call it by.
fn name(visit: &mut Visit<'_>, reference: Option<&RefName>) {
    visit.asked.refs = reference.cloned().into_iter().collect();
}

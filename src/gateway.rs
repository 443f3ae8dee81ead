//! Git's requests to a repository: judged by the session's grant, sent to where the repository really is with the real credential,
//! and refused in git's own words.

mod content;
mod spool;
mod body;
mod standing;
mod trouble;
mod identity;
mod errand;
mod default_branch;
mod ancestry;
pub(crate) mod warnings;
mod fetch;
mod push;
mod lfs;
mod files;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

pub(crate) use self::body::Body;
use self::{
    body::{Asking, Download},
    standing::Standing,
};
use crate::{
    github::{
        self, RepositoryName, Service, check_content_type,
        route::{Kind, Route, Wanted},
    },
    passage::{Asked, Ending, Forge, Gate, Patient, Subject, Traffic},
    policy::{DefaultBranch, FilePermit, LfsPermit, RefChange},
    reason::Reason,
    respond::{Answer, Refusal},
};

/// One request, by whom, and what is recorded of it.
struct Visit<'v> {
    gate: &'v Arc<Gate>,
    subject: &'v Subject,
    asked: &'v mut Asked,
    /// Its bytes.
    traffic: Arc<Traffic>,
}

impl Visit<'_> {
    /// What begins here, to be held to the grants that come after.
    fn standing(&self, repository: &RepositoryName, service: Service) -> Standing {
        let (gate, subject) = (Arc::clone(self.gate), self.subject.clone());
        Standing { gate, subject, repository: repository.clone(), service, changes: Vec::new(), default: None, storage: None }
    }

    /// The same for a push, by what was known when it was judged.
    fn standing_push(&self, repository: &RepositoryName, changes: &[RefChange], default: &DefaultBranch) -> Standing {
        Standing { changes: changes.to_vec(), default: Some(default.clone()), ..self.standing(repository, Service::ReceivePack) }
    }

    /// The same for what Git LFS moves ahead of a push.
    fn standing_upload(&self, permit: &LfsPermit) -> Standing {
        Standing { changes: permit.changes().to_vec(), ..self.standing(permit.repository(), permit.service()) }
    }

    /// An upstream's answer on its way to the sandbox, for as long as it may stand and its request went on. Its end is recorded.
    fn download(&self, body: Body, standing: Standing, spent: impl Future<Output = Refusal> + Send + 'static) -> Download {
        let ending = Ending::of_exchange(self.gate, self.subject, self.asked, Arc::clone(&self.traffic));
        let withdrawn = async {
            tokio::select! {
                refusal = standing.withdrawn() => refusal,
                refusal = spent => refusal,
            }
        };
        Download::new(Bytes::new(), body, withdrawn, &self.traffic).recorded(ending)
    }
}

/// Answers one of git's requests or of Git LFS's, whose bytes are counted in `traffic`.
pub(crate) async fn serve(
    gate: &Arc<Gate>,
    subject: &Subject,
    asked: &mut Asked,
    wanted: Wanted,
    traffic: Traffic,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let repository = wanted.repository();
    let on_disk = repository.and_then(|name| subject.governing.grant.find(name)).is_some_and(|granted| granted.upstream_path.is_some());
    asked.destination = repository.and_then(|name| gate.forges.of(name)).filter(|_| !on_disk).map(Forge::destination);
    let mut visit = Visit { gate, subject, asked, traffic: Arc::new(traffic) };
    let (awaited, version) = (Arc::new(()), request.version());
    let request = request.map(|body| Patient::new(body, version, gate.patience, &awaited));
    match wanted {
        Wanted::Git(route) => serve_git(&mut visit, &route, request).await,
        Wanted::Lfs(..) if on_disk => Err(Refusal::new(Reason::PathNotAllowed, ON_DISK)),
        Wanted::Lfs(repository, call) => lfs::serve(&mut visit, &repository, call, request).await,
        Wanted::Object(handle) => lfs::transfer(&mut visit, None, handle, request).await,
    }
}

async fn serve_git(visit: &mut Visit<'_>, route: &Route, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    match route.kind {
        Kind::Advertisement(_) => fetch::advertise(visit, route, &request).await,
        Kind::Rpc(Service::UploadPack) => fetch::serve(visit, route, request).await,
        Kind::Rpc(Service::ReceivePack) => push::serve(visit, route, request).await,
    }
}

/// Answers a request for a file of a repository.
pub(crate) async fn read_file(
    gate: &Arc<Gate>,
    subject: &Subject,
    asked: &mut Asked,
    permit: FilePermit,
    traffic: Traffic,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let mut visit = Visit { gate, subject, asked, traffic: Arc::new(traffic) };
    let (awaited, version) = (Arc::new(()), request.version());
    let request = request.map(|body| Patient::new(body, version, gate.patience, &awaited));
    files::read(&mut visit, permit, request).await
}

/// An answer of our own as a body like an upstream's.
pub(crate) fn whole(answer: Answer) -> Response<Body> {
    answer.into_response().map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// How the body of a request for `service` is encoded, if git would read it as it is read here.
fn check_body(service: Service, request: &Request<Asking>) -> Result<github::ContentEncoding, Refusal> {
    let values = |name| request.headers().get_all(name).iter().map(http::HeaderValue::as_bytes);
    let encoding = github::ContentEncoding::parse(service, values(header::CONTENT_ENCODING));
    let encoding = encoding.map_err(|error| Refusal {
        status: Some(http::StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ..Refusal::new(error.reason(), format!("The request was refused: {error}."))
    })?;
    check_content_type(service, values(header::CONTENT_TYPE))
        .map_err(|error| Refusal::new(error.reason(), format!("The request was refused: {error}.")))?;
    Ok(encoding)
}

const ON_DISK: &str = "This repository is served from the disk of this machine, where there is no Git LFS.";

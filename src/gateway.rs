//! Git's requests to a repository, and calls of its GitHub's API: judged by the session's grant, sent to where the repository really is
//! with the real credential, and refused in the client's own words.

mod content;
mod spool;
mod inflated;
mod body;
mod standing;
mod trouble;
mod identity;
mod app;
mod spoken;
mod errand;
mod publicly;
mod default_branch;
mod keeping;
mod inquiry;
mod ancestry;
mod examination;
pub(crate) mod warnings;
mod fetch;
mod progress;
mod pushing;
mod push;
mod lfs;
mod files;
mod api;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

pub(crate) use self::{app::take_back, body::Body};
use self::{
    body::{Asking, Download},
    inflated::Inflated,
    standing::Standing,
};
use crate::{
    github::{
        self, RepositoryName, Service, check_content_type,
        route::{Kind, Route, Wanted},
    },
    metrics::Door,
    passage::{Asked, BodyLookout, Brought, Ending, Forge, Gate, Patient, Subject, Traffic, look_through},
    policy::{DefaultBranch, FilePermit, LfsPermit, RefChange, grant::Bearer},
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
    /// What the sandbox wants to read by, in place of the owner's credential.
    brought: Option<Brought>,
    /// How its client asks, and is answered by links.
    scheme: Scheme,
}

/// A visit that may outlast the beginning of its answer. Nothing was brought to it.
struct Stay {
    gate: Arc<Gate>,
    subject: Subject,
    asked: Asked,
    traffic: Arc<Traffic>,
    scheme: Scheme,
}

impl Stay {
    fn visit(&mut self) -> Visit<'_> {
        let Self { gate, subject, asked, traffic, scheme } = self;
        Visit { gate, subject, asked, traffic: Arc::clone(traffic), brought: None, scheme: *scheme }
    }
}

/// How a URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// The one that a request came by, as long as it is known by what its sandbox asked for.
    fn of(asked: &Asked) -> Self {
        let is_plain = asked.destination.as_ref().is_some_and(|destination| destination.port == Self::Http.port());
        if asked.door == Door::Git || is_plain { Self::Http } else { Self::Https }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Visit<'_> {
    /// The same for as long as it takes, where nothing was brought.
    fn stay(&self) -> Stay {
        let (gate, subject, asked) = (Arc::clone(self.gate), self.subject.clone(), self.asked.clone());
        Stay { gate, subject, asked, traffic: Arc::clone(&self.traffic), scheme: self.scheme }
    }

    /// Records what is allowed, and whose credential goes with it. Nothing goes with what is public but what the sandbox brought.
    fn record_leave(&mut self, repository: &RepositoryName, is_public: bool) -> Result<(), Refusal> {
        let is_on_disk = self.subject.governing.grant.find(repository).is_some_and(|granted| granted.upstream_path.is_some());
        self.asked.credential = match &self.brought {
            _ if is_on_disk => None,
            Some(_) => Some(Bearer::Sandbox),
            None if is_public => None,
            None => self.bearer(repository),
        };
        self.gate.record_leave(self.subject, self.asked)
    }

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
        let withdrawn = async {
            tokio::select! {
                refusal = standing.withdrawn() => refusal,
                refusal = spent => refusal,
            }
        };
        self.download_after(Bytes::new(), body, withdrawn)
    }

    /// The same, of which the beginning was read.
    fn download_after(&self, first: Bytes, rest: Body, withdrawn: impl Future<Output = Refusal> + Send + 'static) -> Download {
        let ending = Ending::of_exchange(self.gate, self.subject, self.asked, Arc::clone(&self.traffic));
        Download::new(first, rest, withdrawn, &self.traffic).recorded(ending)
    }
}

/// Answers one of git's requests or of Git LFS's, whose bytes are counted in `traffic`.
pub(crate) async fn serve(
    gate: &Arc<Gate>,
    subject: &Subject,
    asked: &mut Asked,
    wanted: Wanted,
    traffic: Traffic,
    brought: Option<Brought>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let scheme = Scheme::of(asked);
    let repository = wanted.repository();
    let on_disk = repository.and_then(|name| subject.governing.grant.find(name)).is_some_and(|granted| granted.upstream_path.is_some());
    let forge = match &wanted {
        Wanted::Api(entrance) => gate.forges.find(entrance.forge.as_ref()),
        Wanted::Git(_) | Wanted::Lfs(..) | Wanted::Object(_) => repository.and_then(|name| gate.forges.of(name)).filter(|_| !on_disk),
    };
    asked.destination = forge.map(Forge::destination);
    look_through(gate, subject, asked, &request)?;
    let (awaited, version, lookout) = (Arc::new(()), request.version(), lookout(gate, subject, asked, request.body()));
    let request = request.map(|body| Inflated::plain(Patient::new(body, version, gate.patience, &awaited).watched(lookout)));
    let mut visit = Visit { gate, subject, asked, traffic: Arc::new(traffic), brought, scheme };
    match wanted {
        Wanted::Git(route) => Box::pin(serve_git(&mut visit, &route, request)).await,
        Wanted::Lfs(..) if on_disk => Err(Refusal::new(Reason::PathNotAllowed, ON_DISK)),
        Wanted::Lfs(repository, call) => Box::pin(lfs::serve(&mut visit, &repository, call, request)).await,
        Wanted::Object(handle) => lfs::transfer(&mut visit, None, handle, request).await,
        Wanted::Api(entrance) => Box::pin(api::serve(&mut visit, entrance, request)).await,
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
    brought: Option<Brought>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    look_through(gate, subject, asked, &request)?;
    let scheme = Scheme::of(asked);
    let (awaited, version, lookout) = (Arc::new(()), request.version(), lookout(gate, subject, asked, request.body()));
    let request = request.map(|body| Inflated::plain(Patient::new(body, version, gate.patience, &awaited).watched(lookout)));
    let mut visit = Visit { gate, subject, asked, traffic: Arc::new(traffic), brought, scheme };
    files::read(&mut visit, permit, request).await
}

/// What looks at the body of a request, by the session's own word on secrets.
fn lookout(gate: &Arc<Gate>, subject: &Subject, asked: &Asked, body: &Incoming) -> Option<BodyLookout> {
    let rule = asked.destination.as_ref().and_then(|destination| subject.policy().secret_rule(destination));
    BodyLookout::new(gate, subject, asked, rule, body)
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

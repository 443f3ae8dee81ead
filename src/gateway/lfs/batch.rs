//! Which objects are to be moved: the upstream's links stay here, and what stands for them is bound to the session.

use std::time::SystemTime;

use http::{Request, Response, StatusCode, header};

use super::{Question, admit, answer, ask, gather, malformed, misread};
use crate::{
    destination::{Destination, Host},
    gateway::{
        Visit,
        body::{Asking, Body},
    },
    github::{
        RepositoryName,
        lfs::{self, Action, BatchAnswer, BatchRequest, Call, Handle, Link, Object, Operation, Way},
    },
    metrics::Door,
    policy::LfsAct,
    reason::Reason,
    respond::Refusal,
    sessions::transfers::Transfer,
};

pub(super) async fn serve(visit: &mut Visit<'_>, repository: &RepositoryName, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let headers = request.headers().clone();
    let here = Here::of(visit, repository, &request);
    let asked = BatchRequest::parse(&gather(request).await?).map_err(|error| malformed(&error))?;
    let here = here?;
    visit.asked.refs = asked.reference.iter().cloned().collect();
    let act = match asked.operation {
        Operation::Download => LfsAct::Read,
        Operation::Upload => LfsAct::Upload(asked.reference.clone()),
    };
    let permit = admit(visit, repository, &act).await?;
    let is_public = permit.is_public();
    let question = Question { permit, call: Call::Batch, query: String::new(), body: Some(asked.to_bytes()) };
    let reply = ask(visit, &headers, question, &[200]).await?;
    let now = (visit.gate.clock)();
    let answered = BatchAnswer::parse(&reply.body, &asked, now).map_err(misread(visit))?;
    let lend = |object: Object, way: Way, action: Action| {
        let until = action.until;
        let (repository, reference) = (repository.clone(), asked.reference.clone());
        let transfer = Transfer { repository, object, way, action, reference, is_public };
        let handle = visit.subject.session.transfers().lend(transfer);
        let handle = handle.ok_or_else(|| Refusal::new(Reason::Internal, "There is no randomness to be had for a link."))?;
        Ok::<_, Refusal>(here.link(handle, until, now))
    };
    let written = answered.write(lend)?;
    Ok(answer(visit, StatusCode::OK, reply.told(written)))
}

/// Where the sandbox that asks finds objects.
struct Here {
    /// What handles stand behind.
    prefix: String,
    /// By which the session was known. A link is asked for like anything else here, but clients send along what they are told alone.
    authorization: Option<String>,
}

impl Here {
    fn of(visit: &Visit<'_>, repository: &RepositoryName, request: &Request<Asking>) -> Result<Self, Refusal> {
        let is_git_door = visit.asked.door == Door::Git;
        let (scheme, port) = (visit.scheme.as_str(), visit.scheme.port());
        let host = request.headers().get(header::HOST).map(|host| Destination::parse(host.as_bytes(), Some(port)));
        let Destination { host, port: named } = host
            .and_then(Result::ok)
            .ok_or_else(|| Refusal::new(Reason::BadRequest, "The request names no Host, which links to objects have to name."))?;
        let authority = if named == port { host.to_string() } else { Destination { host: Host::clone(&host), port: named }.to_string() };
        if !is_git_door {
            return Ok(Self {
                prefix: format!("{scheme}://{authority}/{}.git/info/lfs/transfers/", repository.path()),
                authorization: None,
            });
        }
        let authorization = request.headers().get(header::AUTHORIZATION).filter(|_| visit.brought.is_none());
        let authorization = authorization.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { prefix: format!("{scheme}://{authority}{}", lfs::HANDLES), authorization })
    }

    fn link(&self, handle: Handle, until: SystemTime, now: SystemTime) -> Link {
        let url = format!("{}{handle}", self.prefix);
        let expires_in = until.duration_since(now).unwrap_or_default();
        Link { url, authorization: self.authorization.clone(), expires_in }
    }
}

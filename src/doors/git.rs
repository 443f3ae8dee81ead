//! Git over HTTP (git's `http-protocol`): below `/git/OWNER/NAME` this is the server that git talks to, and below `/api/` the one that
//! clients of GitHub's API talk to.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{asked, presented, serving};
use crate::{
    destination::Destination,
    downstream::Downstream,
    gateway::{self, Body},
    github::{lfs, route::Wanted},
    metrics::Kind,
    passage::{Asked, Subject, Visitor, is_pages},
    reason::Reason,
    respond::{Reader, Refusal},
};

/// Serves the requests of a connection. Gives it back when something else comes next.
pub(super) async fn serve(visitor: &Arc<Visitor>, downstream: Downstream, draining: &watch::Receiver<bool>) -> Option<Downstream> {
    serving::serve(downstream, draining, |request| answer(visitor, request)).await
}

async fn answer(visitor: &Visitor, request: Request<Incoming>) -> Response<Body> {
    let mut asked = asked(visitor.door);
    asked.method = Some(request.method().as_str().into());
    asked.path = Some(lfs::without_handle(request.uri().path()).into());
    asked.look_at(request.method().as_str(), request.uri(), request.headers());
    let mut subject = None;
    match exchange(visitor, request, &mut asked, &mut subject).await {
        Ok(response) => response,
        Err(refusal) => gateway::whole(visitor.gate.refuse(subject.as_ref(), &asked, refusal)),
    }
}

/// The order is the contract's: syntax, session, then what the session may do.
async fn exchange(
    visitor: &Visitor,
    request: Request<Incoming>,
    asked: &mut Asked,
    subject: &mut Option<Subject>,
) -> Result<Response<Body>, Refusal> {
    let origin_form = request.uri().to_string();
    let is_page = names_pages(&request);
    let path = request.uri().path();
    if !is_page && (lfs::is_path(path) || path.starts_with(lfs::HANDLES)) {
        (asked.reader, asked.kind) = (Reader::Lfs, Kind::Lfs);
    } else if !is_page && path.starts_with("/api/") {
        (asked.reader, asked.kind) = (Reader::Api, Kind::Api);
    }
    let wanted = match visitor.gate.forge_hosts.read_route(request.method().as_str(), &origin_form) {
        Err(denial) if !is_page && denial.reason == Reason::BadRequest => return Err(denial.into()),
        wanted => wanted,
    };
    if let Ok(wanted) = &wanted {
        asked.is_for(wanted);
    }
    let mut credentials: Vec<_> = request.headers().get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    if matches!(wanted, Ok(Wanted::Object(_))) {
        // What the client is told to send again, it may send of its own accord besides.
        credentials.dedup();
    }
    if credentials.len() > 1 {
        return Err(Refusal::new(Reason::BadRequest, "Authorization was sent more than once."));
    }
    let shown = || presented(credentials.iter().copied());
    let subject = subject.insert(visitor.identify(shown).await.map_err(|refusal| asked.explain(refusal))?);
    if is_page {
        if asked.github_token.is_some() {
            visitor.gate.record_leave(subject, asked)?;
        }
        let response = serving::page(visitor, subject, request, &origin_form).await?;
        return Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()));
    }
    let (gate, wanted) = (&visitor.gate, wanted?);
    // Where nobody has to prove a session, what is shown says whose credential the sender means to use.
    let brought = if gate.sessions.asks() { None } else { gate.judge_brought(subject, shown(), wanted.repository())? };
    gateway::serve(gate, subject, asked, wanted, gate.traffic(subject), brought, request).await
}

/// Whether a request is for this proxy's own pages.
fn names_pages(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| Destination::parse(host.as_bytes(), Some(80)).ok());
    host.is_some_and(|host| is_pages(&host))
}

//! Git over HTTP (git's `http-protocol`): below `/git/OWNER/NAME` this is the server that git talks to.

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
    passage::{Asked, Subject, Visitor, is_pages},
    reason::Reason,
    respond::Refusal,
};

/// Serves the requests of a connection. Gives it back when something else comes next.
pub(super) async fn serve(visitor: &Arc<Visitor>, downstream: Downstream, draining: &watch::Receiver<bool>) -> Option<Downstream> {
    serving::serve(downstream, draining, |request| answer(visitor, request)).await
}

async fn answer(visitor: &Visitor, request: Request<Incoming>) -> Response<Body> {
    let mut asked = asked(visitor.door);
    asked.method = Some(request.method().as_str().into());
    asked.path = Some(request.uri().path().into());
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
    let route = match visitor.gate.forge_hosts.read_route(request.method().as_str(), &origin_form) {
        Err(denial) if !is_page && denial.reason == Reason::BadRequest => return Err(denial.into()),
        route => route,
    };
    if let Ok(route) = &route {
        asked.is_for(route);
    }
    let credentials: Vec<_> = request.headers().get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    if credentials.len() > 1 {
        return Err(Refusal::new(Reason::BadRequest, "Authorization was sent more than once."));
    }
    let subject = subject.insert(visitor.identify(|| presented(credentials.into_iter())).await?);
    if is_page {
        let response = serving::page(&visitor.gate, subject, request, &origin_form).await?;
        return Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()));
    }
    gateway::serve(&visitor.gate, subject, asked, &route?, visitor.gate.traffic(subject), request).await
}

/// Whether a request is for this proxy's own pages.
fn names_pages(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| Destination::parse(host.as_bytes(), Some(80)).ok());
    host.is_some_and(|host| is_pages(&host))
}

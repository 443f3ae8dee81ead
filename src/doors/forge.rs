//! The hosts of a GitHub, inside a tunnel whose TLS ends here: git's requests take the way of the git door, and there is no other.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    files::{self, check_credentials},
    forward::{read_inside, settle},
    serving::Sent,
};
use crate::{
    gateway::{self, Body},
    github::lfs,
    metrics::{Door, Kind},
    passage::{Asked, Gate, Subject, Traffic, Visitor},
    policy::{ForgePermit, RequestFacts},
    respond::{Reader, Refusal},
};

/// A tunnel to such a host.
pub(super) struct Tunnel {
    pub(super) permit: ForgePermit,
    /// Whose it is.
    pub(super) subject: Subject,
    /// Of all its requests.
    pub(super) traffic: Arc<Traffic>,
}

/// A request to such a host, of which no more is known than its path.
pub(super) fn asked(door: Door, permit: &ForgePermit, path: &str) -> Asked {
    let reads_json = permit.is_api() || path.starts_with("/api/");
    let mut asked = Asked::new(door, if permit.is_api() { Kind::Api } else { Kind::Http });
    asked.reader = if reads_json { Reader::Api } else { Reader::Git };
    if !permit.is_api() && lfs::is_path(path) {
        (asked.reader, asked.kind) = (Reader::Lfs, Kind::Lfs);
    }
    asked.destination = Some(permit.destination().clone());
    asked
}

/// Answers one request, whatever version of HTTP brought it.
pub(super) async fn answer(visitor: &Visitor, tunnel: &Tunnel, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let mut asked = asked(visitor.door, &tunnel.permit, path);
    asked.method = Some(request.method().as_str().into());
    asked.path = Some(lfs::without_handle(path).into());
    match exchange(&visitor.gate, tunnel, request, &mut asked).await {
        Ok(response) => response,
        Err(refusal) => gateway::whole(visitor.gate.refuse(Some(&tunnel.subject), &asked, refusal)),
    }
}

async fn exchange(gate: &Arc<Gate>, tunnel: &Tunnel, request: Request<Incoming>, asked: &mut Asked) -> Result<Response<Body>, Refusal> {
    let shares_connection = request.version() == Version::HTTP_2;
    let (_, request) = settle(request)?;
    let origin_form = read_inside(tunnel.permit.destination(), &request)?;
    let subject = gate.again(&tunnel.subject)?;
    let facts = RequestFacts {
        method: request.method().as_str(),
        host: request.headers().get(header::HOST).map(HeaderValue::as_bytes),
        target: None,
        origin_form: &origin_form,
        body_length: None,
    };
    if let Some(route) = gate.forge_hosts.find_file(tunnel.permit.destination(), &origin_form) {
        tunnel.permit.interception().expectation().decide_request(&facts)?;
        asked.repository = Some(route.repository.clone());
        let destination = tunnel.permit.destination();
        let permit = gate.forge_hosts.decide_file(route, destination, &subject.governing.grant, facts.method)?;
        asked.is_for_file(&permit);
        let place = files::Place { subject: &subject, traffic: &tunnel.traffic, shares_connection };
        return files::read(gate, &place, asked, permit, request).await;
    }
    let wanted = tunnel.permit.decide_request(&facts)?;
    asked.is_for(&wanted);
    check_credentials(gate, &subject, request.headers())?;
    // Each stream holds a connection upstream, however many of them share one of the sandbox's.
    let place = if shares_connection { Some(gate.within(subject.session.limits().exchange())?) } else { None };
    let response = gateway::serve(gate, &subject, asked, wanted, Traffic::part_of(&tunnel.traffic), request).await?;
    Ok(response.map(|body| Sent { body, _held: place }.boxed_unsync()))
}

//! The hosts of a GitHub, inside a tunnel whose TLS ends here, or in plain HTTP, in a tunnel or without one, where they are names of this
//! machine: git's requests and calls of the API take the way of the git door, and there is no other.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    files::{self, Place, check_credentials},
    forward::{read_inside, read_plain, settle},
    presented,
    serving::Sent,
};
use crate::{
    destination::{Destination, Host},
    gateway::{self, Body},
    github::lfs,
    metrics::{Door, Kind},
    passage::{Asked, Gate, Subject, Traffic, Visitor},
    policy::{ForgePermit, RequestFacts, Way},
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
    let mut asked = Asked::new(door, if reads_json { Kind::Api } else { Kind::Http });
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
    asked.look_at(request.method().as_str(), request.uri(), request.headers());
    match exchange(&visitor.gate, tunnel, request, &mut asked).await {
        Ok(response) => response,
        Err(refusal) => gateway::whole(visitor.gate.refuse(Some(&tunnel.subject), &asked, refusal)),
    }
}

async fn exchange(gate: &Arc<Gate>, tunnel: &Tunnel, request: Request<Incoming>, asked: &mut Asked) -> Result<Response<Body>, Refusal> {
    let shares_connection = request.version() == Version::HTTP_2;
    let (_, request) = settle(request)?;
    let read = if tunnel.permit.is_plain() { read_plain } else { read_inside };
    let origin_form = read(tunnel.permit.destination(), &request)?;
    let subject = gate.again(&tunnel.subject)?;
    let place = Place { subject: &subject, traffic: &tunnel.traffic, shares_connection };
    serve(gate, &tunnel.permit, &place, &origin_form, request, asked).await
}

/// The host that a plain request to the listener is for, where that is one of these.
pub(super) fn find_plain(gate: &Gate, request: &Request<Incoming>) -> Option<ForgePermit> {
    let uri = request.uri();
    let host = Host::parse(uri.host()?.as_bytes()).ok()?;
    let destination = Destination { host, port: uri.port_u16().unwrap_or(80) };
    gate.forge_hosts.decide(&destination, Way::Http).and_then(Result::ok)
}

/// Answers such a request.
pub(super) async fn answer_plain(visitor: &Visitor, permit: &ForgePermit, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let mut asked = asked(visitor.door, permit, path);
    asked.method = Some(request.method().as_str().into());
    asked.path = Some(lfs::without_handle(path).into());
    let mut subject = None;
    match exchange_plain(visitor, permit, request, &mut asked, &mut subject).await {
        Ok(response) => response,
        Err(refusal) => gateway::whole(visitor.gate.refuse(subject.as_ref(), &asked, refusal)),
    }
}

async fn exchange_plain(
    visitor: &Visitor,
    permit: &ForgePermit,
    request: Request<Incoming>,
    asked: &mut Asked,
    subject: &mut Option<Subject>,
) -> Result<Response<Body>, Refusal> {
    // Whom a proxy asks for a session is its own client.
    let reader = std::mem::take(&mut asked.reader);
    let (_, request) = settle(request)?;
    let origin_form = read_plain(permit.destination(), &request)?;
    let values = request.headers().get_all(header::PROXY_AUTHORIZATION);
    let subject = subject.insert(visitor.identify(|| presented(values.iter().map(HeaderValue::as_bytes))).await?);
    asked.reader = reader;
    let traffic = Arc::new(visitor.gate.traffic(subject));
    let place = Place { subject, traffic: &traffic, shares_connection: false };
    serve(&visitor.gate, permit, &place, &origin_form, request, asked).await
}

async fn serve(
    gate: &Arc<Gate>,
    permit: &ForgePermit,
    place: &Place<'_>,
    origin_form: &str,
    request: Request<Incoming>,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let Place { subject, traffic, shares_connection } = place;
    let facts = RequestFacts {
        method: request.method().as_str(),
        host: request.headers().get(header::HOST).map(HeaderValue::as_bytes),
        target: None,
        origin_form,
        body_length: None,
    };
    let destination = permit.destination();
    if let Some(route) = gate.forge_hosts.find_file(destination, origin_form) {
        permit.interception().expectation().decide_request(&facts)?;
        asked.repository = Some(route.repository.clone());
        let permit = gate.forge_hosts.decide_file(route, destination, &subject.governing.grant, facts.method)?;
        asked.is_for_file(&permit);
        return files::read(gate, place, asked, permit, request).await;
    }
    let wanted = permit.decide_request(&facts)?;
    asked.is_for(&wanted);
    let brought = check_credentials(gate, subject, request.headers(), wanted.repository())?;
    // Each stream holds a connection upstream, however many of them share one of the sandbox's.
    let held = if *shares_connection { Some(gate.within(subject.session.limits().exchange())?) } else { None };
    let response = Box::pin(gateway::serve(gate, subject, asked, wanted, Traffic::part_of(traffic), brought, request)).await?;
    Ok(response.map(|body| Sent { body, _held: held }.boxed_unsync()))
}

//! Files of a repository beside git: at the hosts that a GitHub has for them, inside a tunnel whose TLS ends here, and by pages of its own host.
//!
//! A request that names a repository which the session may read takes the gateway's way. Any other is a policy's to judge, as if nobody knew
//! of a GitHub; where the policy refuses the host too, the refusal names the repository.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    forward::{self, Inside, read_inside, settle},
    presented,
    serving::Sent,
};
use crate::{
    gateway::{self, Body},
    github::RepositoryName,
    metrics::{Door, Kind},
    passage::{Answered, Asked, Brought, Gate, Subject, Traffic, Visitor, reader_of},
    policy::{Facts, FilePermit, FilesPermit, RequestFacts, Way},
    reason::Reason,
    respond::Refusal,
};

/// A tunnel to such a host.
pub(super) struct Tunnel {
    permit: FilesPermit,
    subject: Subject,
    /// Of all its requests.
    traffic: Arc<Traffic>,
    /// The way of what a policy judges.
    beyond: Inside,
}

impl Tunnel {
    pub(super) fn new(permit: FilesPermit, subject: Subject, traffic: Arc<Traffic>) -> Self {
        let beyond = Inside::undialled(subject.clone(), permit.destination().clone(), Arc::clone(&traffic));
        Self { permit, subject, traffic, beyond }
    }
}

/// A request to such a host, of which nothing more is known.
pub(super) fn asked(door: Door, permit: &FilesPermit) -> Asked {
    let mut asked = Asked::new(door, Kind::Http);
    asked.destination = Some(permit.destination().clone());
    asked
}

/// Answers one request, whatever version of HTTP brought it.
pub(super) async fn answer(visitor: &Visitor, tunnel: &Tunnel, request: Request<Incoming>) -> Answered<Body> {
    let gate = &visitor.gate;
    let mut asked = asked(visitor.door, &tunnel.permit);
    asked.method = Some(request.method().as_str().into());
    asked.path = Some(request.uri().path().into());
    asked.reader = reader_of(request.headers().get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes));
    asked.look_at(request.method().as_str(), request.uri(), request.headers());
    let served = match judge(gate, tunnel, &request, &mut asked) {
        Ok(None) => {
            let Answered { response, socket } = forward::answer(visitor, &tunnel.beyond, request).await;
            return Answered { response: response.map(BodyExt::boxed_unsync), socket };
        }
        Ok(Some(permit)) => serve(gate, tunnel, &mut asked, permit, request).await,
        Err(refusal) => Err(refusal),
    };
    served.unwrap_or_else(|refusal| gateway::whole(gate.refuse(Some(&tunnel.subject), &asked, refusal))).into()
}

/// `None`: a policy's to judge.
fn judge(gate: &Gate, tunnel: &Tunnel, request: &Request<Incoming>, asked: &mut Asked) -> Result<Option<FilePermit>, Refusal> {
    let destination = tunnel.permit.destination();
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let Some(route) = gate.forge_hosts.find_file(destination, target) else { return Ok(None) };
    let subject = gate.again(&tunnel.subject)?;
    let name = route.repository.clone();
    match gate.forge_hosts.decide_file(route, destination, &subject.governing.grant, request.method().as_str()) {
        Ok(permit) => {
            asked.is_for_file(&permit);
            Ok(Some(permit))
        }
        Err(denial) => {
            let facts = Facts { destination, way: Way::Connect, now: (gate.clock)() };
            if denial.reason == Reason::RepositoryNotGranted && subject.policy().decide_destination(&facts).is_ok() {
                return Ok(None);
            }
            asked.repository = Some(name);
            Err(denial.into())
        }
    }
}

async fn serve(
    gate: &Arc<Gate>,
    tunnel: &Tunnel,
    asked: &mut Asked,
    permit: FilePermit,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let shares_connection = request.version() == Version::HTTP_2;
    let (_, request) = settle(request)?;
    let origin_form = read_inside(tunnel.permit.destination(), &request)?;
    let facts = RequestFacts {
        method: request.method().as_str(),
        host: request.headers().get(header::HOST).map(HeaderValue::as_bytes),
        target: None,
        origin_form: &origin_form,
        body_length: None,
    };
    tunnel.permit.interception().expectation().decide_request(&facts)?;
    let subject = gate.again(&tunnel.subject)?;
    let place = Place { subject: &subject, traffic: &tunnel.traffic, shares_connection };
    read(gate, &place, asked, permit, request).await
}

/// Where a request for a file stands.
pub(super) struct Place<'p> {
    pub(super) subject: &'p Subject,
    pub(super) traffic: &'p Arc<Traffic>,
    pub(super) shares_connection: bool,
}

/// Answers a request for a file that may be read.
pub(super) async fn read(
    gate: &Arc<Gate>,
    place: &Place<'_>,
    asked: &mut Asked,
    permit: FilePermit,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let Place { subject, traffic, shares_connection } = place;
    let brought = check_credentials(gate, subject, request.headers(), Some(permit.repository().repository()))?;
    // Each stream holds a connection upstream, however many of them share one of the sandbox's.
    let held = if *shares_connection { Some(gate.within(subject.session.limits().exchange())?) } else { None };
    let response = gateway::read_file(gate, subject, asked, permit, Traffic::part_of(traffic), brought, request).await?;
    Ok(response.map(|body| Sent { body, _held: held }.boxed_unsync()))
}

/// The connection says whose a request is, and what its sender shows besides is judged by itself: see [`Gate::judge_brought`].
pub(super) fn check_credentials(
    gate: &Gate,
    subject: &Subject,
    headers: &HeaderMap,
    repository: Option<&RepositoryName>,
) -> Result<Option<Brought>, Refusal> {
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    gate.judge_brought(subject, presented(values), repository)
}

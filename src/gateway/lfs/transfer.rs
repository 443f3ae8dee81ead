//! An object itself: from where its upstream keeps it or to there, never by a link that a sandbox sees, and never as what it is not.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};

use super::{admit_transfer, answer, gather, malformed};
use crate::{
    destination::Host,
    gateway::{
        Visit,
        body::{Asking, Body, Upload, drain},
        content::Content,
        errand::{forge, user_agent, wait},
        standing::Standing,
        whole,
    },
    github::{
        RepositoryName,
        lfs::{CONTENT_TYPE, Handle, Range, Way, is_range_of, read_object},
    },
    passage::{Ending, Forge},
    policy::LfsPermit,
    reason::Reason,
    respond::Refusal,
    sessions::transfers::Transfer,
};

/// A transfer that was judged.
struct Errand {
    transfer: Arc<Transfer>,
    permit: Arc<LfsPermit>,
}

/// Answers a request for what a handle stands for, at the repository that its path names if it names one.
pub(in crate::gateway) async fn transfer(
    visit: &mut Visit<'_>,
    repository: Option<&RepositoryName>,
    handle: Handle,
    request: Request<Asking>,
) -> Result<Response<Body>, Refusal> {
    let errand = match judge(visit, repository, handle, &request).await {
        Ok(errand) => errand,
        Err(refusal) => return Ok(refuse(visit, refusal, drain(request.into_body())).await),
    };
    match errand.transfer.way {
        Way::Download => download(visit, errand, &request.into_parts().0).await,
        Way::Upload => upload(visit, errand, request).await,
        Way::Verify => verify(visit, errand, request).await,
    }
}

/// Refuses, which is on record before the rest of an upload is read: that may take as long as its sender likes.
async fn refuse(visit: &Visit<'_>, refusal: Refusal, draining: impl Future<Output = ()>) -> Response<Body> {
    let answer = visit.gate.refuse(Some(visit.subject), visit.asked, refusal);
    draining.await;
    whole(answer)
}

async fn judge(
    visit: &mut Visit<'_>,
    repository: Option<&RepositoryName>,
    handle: Handle,
    request: &Request<Asking>,
) -> Result<Errand, Refusal> {
    let transfer = visit.subject.session.transfers().find(&handle, (visit.gate.clock)());
    let is_there = |transfer: &Arc<Transfer>| repository.is_none_or(|repository| transfer.repository == *repository);
    let transfer = transfer.filter(is_there).ok_or_else(|| Refusal::new(Reason::PathNotAllowed, GONE))?;
    visit.asked.repository = Some(transfer.repository.clone());
    visit.asked.refs = transfer.reference.iter().cloned().collect();
    visit.asked.path = Some(format!("/{}.git/info/lfs/objects/{}", transfer.repository.path(), transfer.object.oid).into());
    let wanted = transfer.way.method();
    if request.method() != wanted {
        return Err(Refusal::new(Reason::MethodNotAllowed, format!("This link is for {wanted} alone.")));
    }
    if transfer.way == Way::Upload && request.body().size_hint().exact() != Some(transfer.object.size) {
        let text = format!("This link is for an object of {} octets, which Content-Length has to announce.", transfer.object.size);
        return Err(Refusal::new(Reason::BadRequest, text));
    }
    let permit = admit_transfer(visit, &transfer).await?;
    visit.asked.destination = Some(transfer.action.href.destination.clone());
    Ok(Errand { transfer, permit: Arc::new(permit) })
}

async fn download(visit: &mut Visit<'_>, errand: Errand, head: &Parts) -> Result<Response<Body>, Refusal> {
    let object = errand.transfer.object;
    let range = Range::parse(head.headers.get_all(header::RANGE).iter().map(HeaderValue::as_bytes), object.size);
    let mut request = errand.request(Upload::none(&visit.traffic), &head.headers);
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(range) = range.and_then(|range| HeaderValue::try_from(range.to_string()).ok()) {
        request.headers_mut().insert(header::RANGE, range);
    }
    let answer = tokio::select! {
        biased;
        refusal = errand.standing(visit).withdrawn() => return Err(refusal),
        answer = errand.ask(visit, request) => answer?,
    };
    let (head, body) = answer.into_parts();
    let values = |name| head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let part =
        range.filter(|range| head.status == StatusCode::PARTIAL_CONTENT && is_range_of(values(header::CONTENT_RANGE), *range, object.size));
    let content = match (head.status, part) {
        (StatusCode::OK, _) => Content::whole(object, Reason::UpstreamClosed),
        (_, Some(part)) => Content::part(part.length(), Reason::UpstreamClosed),
        (_, None) => return Err(errand.trouble(head.status, &head.headers)),
    };
    let encoded = values(header::CONTENT_ENCODING).any(|value| value != b"identity");
    if encoded || body.size_hint().exact().is_some_and(|length| length != content.left()) {
        return Err(Refusal::new(Reason::UpstreamClosed, format!("{} sent something else than the object.", errand.host())));
    }
    let mut response = Response::new(());
    if let Some(value) = part.and_then(|part| HeaderValue::try_from(part.content_range(object.size)).ok()) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content.left()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    let standing = errand.standing(visit);
    Ok(response.map(|()| visit.download(body, standing, std::future::pending()).holding(content).boxed_unsync()))
}

async fn upload(visit: &mut Visit<'_>, errand: Errand, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let object = errand.transfer.object;
    let (head, body) = request.into_parts();
    let (upload, rest, spent) = Upload::new(Bytes::new(), body, &visit.traffic);
    let mut request = errand.request(upload.holding(Content::whole(object, Reason::BadRequest)), &head.headers);
    request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(object.size));
    request.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(OCTETS));
    let standing = errand.standing(visit);
    let answered = tokio::select! {
        biased;
        refusal = standing.withdrawn() => Err(refusal),
        refusal = spent.refusal() => Err(refusal),
        answer = errand.ask(visit, request) => answer,
    };
    let taken = answered.and_then(|answer| {
        if !answer.status().is_success() {
            return Err(errand.trouble(answer.status(), answer.headers()));
        }
        if visit.traffic.up() < object.size {
            return Err(Refusal::new(Reason::UpstreamClosed, format!("{} said that it has the object before it was sent.", errand.host())));
        }
        Ok(())
    });
    if let Err(refusal) = taken {
        return Ok(refuse(visit, refusal, rest.drain()).await);
    }
    Ending::of_exchange(visit.gate, visit.subject, visit.asked, Arc::clone(&visit.traffic)).end(None);
    Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync()))
}

async fn verify(visit: &mut Visit<'_>, errand: Errand, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let headers = request.headers().clone();
    let object = read_object(&gather(request).await?).map_err(|error| malformed(&error))?;
    if object != errand.transfer.object {
        return Err(Refusal::new(Reason::BadRequest, "This link is for verifying another object."));
    }
    let (body, spent) = Upload::whole(object.to_bytes().into(), &visit.traffic);
    let mut request = errand.request(body, &headers);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(CONTENT_TYPE));
    let standing = errand.standing(visit);
    let reply = tokio::select! {
        biased;
        refusal = standing.withdrawn() => Err(refusal),
        refusal = spent.refusal() => Err(refusal),
        reply = errand.ask(visit, request) => reply,
    }?;
    if !reply.status().is_success() {
        return Err(errand.trouble(reply.status(), reply.headers()));
    }
    Ok(answer(visit, StatusCode::OK, b"{}".to_vec()))
}

impl Errand {
    /// The request as it leaves: what the upstream said that its link wants, and nothing of the sandbox's but what its client is called.
    fn request(&self, body: Upload, headers: &HeaderMap) -> Request<Upload> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.transfer.way.method().as_bytes()).unwrap_or_default();
        *request.uri_mut() = self.transfer.action.href.target().clone().into();
        request.headers_mut().clone_from(&self.transfer.action.headers);
        request.headers_mut().entry(header::USER_AGENT).or_insert(user_agent(headers));
        request
    }

    /// Asks where the link leads: the GitHub itself, which is the operator's word, or storage of its naming, which is judged. No
    /// credential of ours goes to either.
    async fn ask(&self, visit: &Visit<'_>, request: Request<Upload>) -> Result<Response<Body>, Refusal> {
        let forge = forge(visit, self.permit.repository())?;
        let href = &self.transfer.action.href;
        let answer = if self.leads_to(forge) {
            visit.gate.spend_head(visit.subject, request.method(), request.uri(), request.headers())?;
            visit.gate.record_leave(visit.subject, visit.asked)?;
            visit.gate.upstream.exchange(&forge.git, &forge.tls, forge.timeouts, request).await?
        } else if !href.secure && forge.git.secure {
            return Err(Refusal::new(Reason::TlsFailed, format!("The server of this repository leads to {} without TLS.", self.host())));
        } else {
            let permit = visit.subject.policy().decide_storage(&self.permit, href, (visit.gate.clock)())?;
            let by = (href.secure.then_some(&forge.tls), forge.timeouts);
            visit.gate.ask_storage(visit.subject, visit.asked, permit, by, request).await?
        };
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// Whether the link leads to the GitHub itself.
    fn leads_to(&self, forge: &Forge) -> bool {
        let href = &self.transfer.action.href;
        href.secure == forge.git.secure && href.destination == forge.git.destination
    }

    /// What it is held to while it is under way.
    fn standing(&self, visit: &Visit<'_>) -> Standing {
        let standing = visit.standing_upload(&self.permit);
        let is_judged = visit.gate.forges.of(self.permit.repository()).is_none_or(|forge| !self.leads_to(forge));
        let storage = is_judged.then(|| (Arc::clone(&self.permit), Arc::clone(&self.transfer)));
        Standing { storage, ..standing }
    }

    fn host(&self) -> &Host {
        &self.transfer.action.href.destination.host
    }

    /// What an answer without what was asked for means. No word of its body is shown, and nobody is sent elsewhere.
    fn trouble(&self, status: StatusCode, headers: &HeaderMap) -> Refusal {
        let host = self.host();
        let (text, passed_on) = match status.as_u16() {
            300..=399 => (format!("{host} leads elsewhere for this object, where nobody is sent."), false),
            401 | 403 => (format!("{host} answered {status}: its link is of no use any more, ask for another."), true),
            404 | 410 | 413 | 422 | 507 => (format!("{host} answered {status} for this object."), true),
            429 | 503 => (format!("{host} answered {status} and can be asked again later."), true),
            _ => (format!("{host} answered {status}, which is no answer for an object."), false),
        };
        Refusal { status: passed_on.then_some(status), retry_after: wait(headers), ..Refusal::new(Reason::UpstreamClosed, text) }
    }
}

const OCTETS: &str = "application/octet-stream";
const GONE: &str = "This link stands for no object, or not for one of this session's, or not any more: ask for another.";

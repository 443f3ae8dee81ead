//! A permitted call on its way, and its answer: what of its head a sandbox sees, and a body without the owner's credential.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, response::Parts};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::time::Instant;

use super::{
    Desk, NO_API,
    asking::{self, Answered, Errand},
    redirected,
    standing::{pass, withdrawn},
};
use crate::{
    destination::Destination,
    endpoint::Endpoint,
    gateway::{
        Visit,
        body::{Asking, Body, Upload, drain},
        errand::{explain, upstream},
        whole,
    },
    github::{
        api::{MAX_ANSWER, Veil, links::Places, read_made, waiting},
        denied::Denied,
    },
    passage::{Masked, Spent, mask_head},
    policy::{Whereabouts, api::ApiPermit},
    reason::Reason,
    respond::Refusal,
};

/// Makes a call that may be made, and gives back its answer with the body still to come.
pub(super) async fn answer(
    visit: &Visit<'_>,
    desk: &Desk<'_>,
    permit: &ApiPermit,
    client: &HeaderMap,
    rest: Option<Asking>,
) -> Result<Response<Body>, Refusal> {
    let endpoint = if permit.is_upload() { desk.forge.uploads.as_ref() } else { desk.forge.api.as_ref() };
    let endpoint = endpoint.ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, NO_API))?;
    if rest.is_some() {
        return upload(visit, desk, permit, (endpoint, client), rest).await;
    }
    let body: Bytes = written(visit, desk, permit).unwrap_or_default().into();
    let mut at = locate(visit, desk, permit).await?;
    for is_last in [false, true] {
        let (upload, spent) = Upload::whole(body.clone(), &visit.traffic);
        let errand = write(permit, endpoint, at.as_ref(), client);
        let answered = send(visit, desk, permit, &errand, upload, spent).await?;
        // 401 says that nothing was done.
        if answered.is_renewed && errand.method.is_idempotent() && !is_last {
            continue;
        }
        let head = (answered.response.status(), answered.response.headers());
        if !is_last && let Some(moved) = redirected::follow(visit, desk, permit, at.as_ref(), head).await? {
            at = Some(moved);
            continue;
        }
        return receive(visit, desk, permit, answered).await;
    }
    Err(Refusal::new(Reason::Internal, "The call was made twice without an answer."))
}

/// The same for a file, whose octets come as they are sent.
async fn upload(
    visit: &Visit<'_>,
    desk: &Desk<'_>,
    permit: &ApiPermit,
    (endpoint, client): (&Endpoint, &HeaderMap),
    rest: Option<Asking>,
) -> Result<Response<Body>, Refusal> {
    let Some(rest) = rest else { return Err(Refusal::new(Reason::Internal, "There is no file to send.")) };
    let at = locate(visit, desk, permit).await?;
    let (upload, rest, spent) = Upload::new(Bytes::new(), rest, &visit.traffic);
    let mut errand = write(permit, endpoint, at.as_ref(), client);
    let kind = client.get(header::CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/octet-stream"));
    errand.headers.insert(header::CONTENT_TYPE, kind);
    let answered = match send(visit, desk, permit, &errand, upload, spent).await {
        Ok(answered) => answered,
        Err(refusal) => {
            let answer = visit.gate.refuse(Some(visit.subject), visit.asked, refusal);
            if let Some(rest) = rest.left().await {
                drain(rest).await;
            }
            return Ok(whole(answer));
        }
    };
    receive(visit, desk, permit, answered).await
}

/// Where the repository is that a call is about, by the name that it has there.
async fn locate(visit: &Visit<'_>, desk: &Desk<'_>, permit: &ApiPermit) -> Result<Option<Whereabouts>, Refusal> {
    match permit.repository() {
        Some(repository) if permit.is_public() => Ok(Some(Whereabouts::as_named(repository))),
        Some(repository) => visit.locate(desk.forge, repository).await.map(Some),
        None => Ok(None),
    }
}

/// The request as it leaves, built from what was judged.
fn write<'e>(permit: &'e ApiPermit, endpoint: &'e Endpoint, at: Option<&Whereabouts>, client: &HeaderMap) -> Errand<'e> {
    let mut headers = asking::passed_on(client);
    if permit.body().is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    let method = if permit.head_only() { "HEAD" } else { permit.method().as_str() };
    Errand {
        endpoint,
        method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
        target: permit.target(at),
        headers,
        credential: permit.credential().map(|repository| (repository, permit.access())),
    }
}

/// The body as it leaves, with what the operator has stand below a comment.
fn written(visit: &Visit<'_>, desk: &Desk<'_>, permit: &ApiPermit) -> Option<Vec<u8>> {
    match &desk.forge.footer {
        Some(footer) => permit.signed(&footer.replace("{session}", visit.subject.session.id())),
        None => permit.body(),
    }
}

async fn send(
    visit: &Visit<'_>,
    desk: &Desk<'_>,
    permit: &ApiPermit,
    errand: &Errand<'_>,
    body: Upload,
    spent: Spent,
) -> Result<Answered, Refusal> {
    let answered = tokio::select! {
        biased;
        refusal = withdrawn(visit, permit) => Err(refusal),
        refusal = spent.refusal() => Err(refusal),
        answered = asking::ask(visit, desk, errand, body) => answered,
    };
    if permit.is_write() {
        // It may have changed what was known, whatever became of it.
        visit.subject.session.calls().forget(desk.host);
    }
    answered
}

async fn receive(visit: &Visit<'_>, desk: &Desk<'_>, permit: &ApiPermit, answered: Answered) -> Result<Response<Body>, Refusal> {
    let Answered { response, masker, .. } = answered;
    let (mut parts, body) = response.into_parts();
    desk.heed(visit, waiting::wanted(parts.status.as_u16(), &parts.headers, (visit.gate.clock)()));
    if parts.status.is_redirection() && parts.status != StatusCode::NOT_MODIFIED {
        return redirected::fetch(visit, desk, permit, &parts).await;
    }
    let names_sso = parts.headers.contains_key("x-github-sso");
    if parts.status == StatusCode::UNAUTHORIZED || names_sso && parts.status == StatusCode::FORBIDDEN {
        return Err(turned_away(visit, permit, &parts, names_sso));
    }
    if let Some(masker) = &masker {
        let has_body = !http_body::Body::is_end_stream(&body) && !permit.head_only();
        mask_head(&mut parts, has_body, masker)?;
    }
    let mut answer = Response::new(());
    *answer.status_mut() = parts.status;
    show(desk, &parts.headers, answer.headers_mut());
    let mut body = veiled(&parts.headers, Masked::new(body, masker).boxed_unsync());
    let mut first = Bytes::new();
    if parts.status.is_success()
        && let (Some(kind), Some(repository)) = (permit.makes(), permit.repository())
    {
        first = gather(&mut body).await.map_err(|why| {
            Refusal::new(Reason::UpstreamClosed, format!("{} broke its answer off: {why}; the call was made.", upstream(visit)))
        })?;
        if let Some(number) = read_made(&first, kind.key()) {
            visit.subject.session.calls().remember(kind, repository, number);
        }
    }
    Ok(answer.map(|()| pass(visit, permit, first, body)))
}

/// JSON without what opens a repository by itself; anything else as it is.
fn veiled(headers: &HeaderMap, body: Body) -> Body {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    if !kind.get(..JSON.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(JSON)) {
        return body;
    }
    let mut veil = Veil::default();
    let hidden = move |frame: Frame<Bytes>| {
        frame.map_data(|data| {
            let mut data = data.to_vec();
            veil.hide(&mut data);
            Bytes::from(data)
        })
    };
    body.map_frame(hidden).boxed_unsync()
}

/// As much of an answer as tells what was made.
async fn gather(body: &mut Body) -> Result<Bytes, String> {
    let mut read = BytesMut::new();
    while read.len() < MAX_ANSWER {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| error.to_string())?;
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    Ok(read.freeze())
}

/// What an answer means that turns the owner's credential away. To a sandbox it is no answer to its own.
fn turned_away(visit: &Visit<'_>, permit: &ApiPermit, parts: &Parts, names_sso: bool) -> Refusal {
    let denied = Denied::read(parts.status.as_u16(), names_sso, b"");
    match permit.repository() {
        Some(repository) => explain(visit, (repository, permit.is_public()), parts.status, &parts.headers, denied),
        None => {
            Refusal::new(Reason::CredentialUnavailable, format!("{} answered {}: it {}.", upstream(visit), parts.status, denied.words()))
        }
    }
}

/// The fields of an answer that a sandbox sees, links in them made its own.
fn show(desk: &Desk<'_>, from: &HeaderMap, to: &mut HeaderMap) {
    for name in &SHOWN {
        to.extend(from.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    }
    if let Some(api) = &desk.forge.api {
        let places = Places { api, host: &desk.forge.host, here: &desk.here };
        let one = |name: HeaderName| from.get(name).and_then(|value| value.to_str().ok());
        let links = one(header::LINK).and_then(|value| places.links(value));
        let location = one(header::LOCATION).and_then(|value| places.url(value));
        let valued = |value: Option<String>| value.and_then(|value| HeaderValue::try_from(value).ok());
        to.extend(valued(links).map(|links| (header::LINK, links)));
        to.extend(valued(location).map(|location| (header::LOCATION, location)));
    }
    to.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

impl Desk<'_> {
    /// Leaves GitHub alone for as long as it asked for.
    pub(super) fn heed(&self, visit: &Visit<'_>, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let host = &visit.asked.destination.as_ref().map(Destination::to_string);
            tracing::info!(?host, wait = wait.as_secs(), "GitHub wants to be left alone by whoever uses the owner's credential");
            self.forge.restraint.hold(self.whose, Instant::now(), wait);
        }
    }
}

const JSON: &[u8] = b"application/json";
/// What a client learns of an answer beside its content, its links and whether it may keep it. Nothing of the owner's credential is among it.
const SHOWN: [HeaderName; 18] = [
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::VARY,
    HeaderName::from_static("deprecation"),
    HeaderName::from_static("sunset"),
    HeaderName::from_static("x-github-api-version-selected"),
    HeaderName::from_static("x-github-media-type"),
    HeaderName::from_static("x-github-request-id"),
    HeaderName::from_static("x-poll-interval"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("x-ratelimit-resource"),
    HeaderName::from_static("x-ratelimit-used"),
];

//! Answers that lead elsewhere: to a repository's new name, which is asked once more, or to where GitHub keeps files, which are fetched here
//! since the link is a credential.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, response::Parts};
use http_body_util::BodyExt;

use super::{
    Desk,
    standing::{pass, withdrawn},
};
use crate::{
    gateway::{
        Visit,
        body::{Body, Upload},
        errand::{explain, upstream, wait},
    },
    github::{api::links::Places, denied::Denied, lfs::Href},
    passage::Asked,
    policy::{Whereabouts, api::ApiPermit},
    reason::Reason,
    respond::Refusal,
};

/// Where the repository is by now of a call that reads and was sent on to another place of the API; none where that is the same one.
pub(super) async fn follow(
    visit: &Visit<'_>,
    desk: &Desk<'_>,
    permit: &ApiPermit,
    at: Option<&Whereabouts>,
    (status, headers): (StatusCode, &HeaderMap),
) -> Result<Option<Whereabouts>, Refusal> {
    let is_sent_on = status.is_redirection() && location(headers).is_some_and(|location| is_api(desk, location));
    match permit.repository().zip(at).filter(|_| is_sent_on && !permit.is_write() && !permit.is_public()) {
        Some((repository, at)) => visit.follow(desk.forge, repository, at, None).await,
        None => Ok(None),
    }
}

/// Fetches what an answer leads to. No credential of ours goes there.
pub(super) async fn fetch(visit: &Visit<'_>, desk: &Desk<'_>, permit: &ApiPermit, parts: &Parts) -> Result<Response<Body>, Refusal> {
    let location = location(&parts.headers).filter(|location| !permit.is_write() && !is_api(desk, location));
    let href = location.and_then(|location| Href::parse(location).ok()).ok_or_else(|| match permit.repository() {
        Some(repository) => explain(visit, (repository, permit.is_public()), parts.status, &parts.headers, Denied::Permission),
        None => Refusal::new(Reason::UpstreamClosed, format!("{} leads elsewhere for this, where nobody is sent.", upstream(visit))),
    })?;
    let answer = tokio::select! {
        biased;
        refusal = withdrawn(visit, permit) => return Err(refusal),
        answer = ask(visit, desk, permit, &href) => answer?,
    };
    let (head, body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Err(trouble(&href, head.status, &head.headers));
    }
    let mut answer = Response::new(());
    for name in &SHOWN {
        answer.headers_mut().extend(head.headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(answer.map(|()| pass(visit, permit, bytes::Bytes::new(), body)))
}

/// Asks a place of the operator's, which is his word, or one of GitHub's naming, which is judged.
async fn ask(visit: &Visit<'_>, desk: &Desk<'_>, permit: &ApiPermit, href: &Href) -> Result<Response<Body>, Refusal> {
    let (gate, subject, forge) = (visit.gate, visit.subject, desk.forge);
    let mut request = Request::new(Upload::none(&visit.traffic));
    *request.method_mut() = if permit.head_only() { Method::HEAD } else { Method::GET };
    *request.uri_mut() = href.target().clone().into();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("tidegate"));
    let answer = if let Some(place) = forge.place(href.secure, &href.destination) {
        gate.spend_head(subject, request.method(), request.uri(), request.headers())?;
        gate.upstream.exchange(place, &forge.tls, forge.timeouts, request).await?
    } else if !href.secure && forge.git.secure {
        return Err(Refusal::new(Reason::TlsFailed, format!("{} leads to {} without TLS.", upstream(visit), href.destination.host)));
    } else {
        let leave = subject.policy().decide_download(permit, href, (gate.clock)())?;
        let asked = Asked { destination: Some(href.destination.clone()), ..visit.asked.clone() };
        gate.ask_storage(subject, &asked, leave, (href.secure.then_some(&forge.tls), forge.timeouts), request).await?
    };
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// What an answer means that is no file. No word of its body is shown, and nobody is sent elsewhere.
fn trouble(href: &Href, status: StatusCode, headers: &HeaderMap) -> Refusal {
    let host = &href.destination.host;
    let (text, passed_on) = match status.as_u16() {
        404 | 410 => (format!("{host} answered {status} for this file."), true),
        429 | 503 => (format!("{host} answered {status} and can be asked again later."), true),
        _ => (format!("{host} answered {status}, which is no answer for a file."), false),
    };
    Refusal { status: passed_on.then_some(status), retry_after: wait(headers), ..Refusal::new(Reason::UpstreamClosed, text) }
}

fn location(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::LOCATION)?.to_str().ok()
}

fn is_api(desk: &Desk<'_>, location: &str) -> bool {
    let Some(api) = &desk.forge.api else { return false };
    Places { api, host: &desk.forge.host, here: &desk.here }.is_api(location)
}

/// What a client learns of a file beside its content.
const SHOWN: [HeaderName; 6] = [
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
];

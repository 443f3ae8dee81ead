//! Files of a repository beside git: read where its GitHub has them, by the credential that git's requests go with.

use std::{future::pending, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;

use super::{
    Visit,
    body::{Asking, Body, Upload},
    errand::{explain, forge, upstream, user_agent},
    whole,
};
use crate::{
    credentials::authorize_api,
    endpoint::Endpoint,
    github::{
        Service,
        denied::Denied,
        files::{Store, check_redirect},
    },
    passage::Forge,
    policy::{FilePermit, Whereabouts, grant::Access},
    reason::Reason,
    respond::{Answer, Refusal},
    secret::Secret,
};

/// Answers a request for a file.
pub(super) async fn read(visit: &mut Visit<'_>, permit: FilePermit, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let permit = if visit.brought.is_some() { permit.publicly()? } else { permit };
    let repository = permit.repository().repository();
    let granted = visit.subject.governing.grant.find(repository);
    if granted.is_some_and(|granted| granted.upstream_path.is_some()) {
        return Err(Refusal::new(Reason::PathNotAllowed, ON_DISK));
    }
    visit.check_public(repository).await?;
    // No credential goes with what is answered here, or with a release, which is a page of GitHub's own host that takes none.
    let goes_with_one = permit.elsewhere().is_none() && permit.route().store != Store::Releases;
    if goes_with_one {
        visit.record_leave(repository, permit.repository().is_public())?;
    } else {
        visit.gate.record_leave(visit.subject, visit.asked)?;
    }
    if let Some(host) = permit.elsewhere() {
        let location = format!("https://{}{}", host.as_str(), permit.route().path(repository.path()));
        return Ok(whole(Answer::redirect(&location)));
    }
    let standing = || visit.standing(repository, Service::UploadPack);
    let answer = tokio::select! {
        biased;
        refusal = standing().withdrawn() => return Err(refusal),
        answer = ask(visit, &permit, &request) => answer?,
    };
    judge(visit, &permit, answer).map(|answer| answer.map(|body| visit.download(body, standing(), pending()).boxed_unsync()))
}

/// Asks where it is, once more where the credential was turned away and there may be another.
async fn ask(visit: &Visit<'_>, permit: &FilePermit, request: &Request<Asking>) -> Result<Response<Body>, Refusal> {
    let (answer, shown) = ask_once(visit, permit, request).await?;
    let repository = permit.repository().repository();
    let turned_away = shown.filter(|_| answer.status() == StatusCode::UNAUTHORIZED);
    match turned_away {
        Some(secret) if visit.turned_away(forge(visit, repository)?, repository, &secret) => Ok(ask_once(visit, permit, request).await?.0),
        Some(_) | None => Ok(answer),
    }
}

/// The answer, and by which credential it came. The request is built from what was understood, and from a few fields of the client's that
/// choose between answers.
async fn ask_once(
    visit: &Visit<'_>,
    permit: &FilePermit,
    request: &Request<Asking>,
) -> Result<(Response<Body>, Option<Arc<Secret>>), Refusal> {
    let (repository, is_public) = (permit.repository().repository(), permit.repository().is_public());
    let forge = forge(visit, repository)?;
    let endpoint = endpoint(forge, permit.route().store).ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, UNKNOWN))?;
    let at = if is_public { Whereabouts::as_named(repository) } else { visit.locate(forge, repository).await? };
    let mut asking = Request::new(Upload::none(&visit.traffic));
    // Nothing else was judged.
    *asking.method_mut() = if *request.method() == Method::HEAD { Method::HEAD } else { Method::GET };
    let target = format!("{}{}", endpoint.prefix, permit.route().path(at.path()));
    *asking.uri_mut() =
        target.parse().map_err(|error| Refusal::new(Reason::Internal, format!("The request to {endpoint} cannot be written: {error}.")))?;
    copy(request.headers(), asking.headers_mut(), &ASKED);
    asking.headers_mut().insert(header::USER_AGENT, user_agent(request.headers()));
    let takes_credential = permit.route().store != Store::Releases;
    let mut shown = None;
    if let Some(brought) = visit.brought.as_ref().filter(|_| takes_credential) {
        brought.authorize_api(asking.headers_mut());
    } else if !is_public && takes_credential {
        let secret = visit.secret(forge, repository, Access::Read).await?;
        authorize_api(asking.headers_mut(), &secret);
        shown = Some(secret);
    }
    visit.gate.spend_head(visit.subject, asking.method(), asking.uri(), asking.headers())?;
    let answer = visit.gate.upstream.exchange(endpoint, &forge.tls, forge.timeouts, asking).await?;
    Ok((answer.map(|body| body.map_err(Into::into).boxed_unsync()), shown))
}

fn endpoint(forge: &Forge, store: Store) -> Option<&Endpoint> {
    match store {
        Store::Archives => forge.archives.as_ref(),
        Store::Raw => forge.raw.as_ref(),
        Store::Releases => Some(&forge.git),
    }
}

/// Lets a file through, and where a release is; of anything else no word is shown.
fn judge(visit: &Visit<'_>, permit: &FilePermit, answer: Response<Body>) -> Result<Response<Body>, Refusal> {
    let (parts, body) = answer.into_parts();
    let repository = permit.repository().repository();
    match parts.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => {
            let mut answer = Response::new(body);
            *answer.status_mut() = parts.status;
            copy(&parts.headers, answer.headers_mut(), &ANSWERED);
            answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            Ok(answer)
        }
        StatusCode::FOUND if permit.route().store == Store::Releases => {
            let forge = visit.gate.forges.of(repository).map(|forge| &forge.host);
            let location = parts.headers.get(header::LOCATION).and_then(|location| location.to_str().ok()).zip(forge);
            let (location, forge) = location.ok_or_else(|| refuse(visit, permit, parts.status, &parts.headers))?;
            check_redirect(forge, repository, location).map_err(|place| {
                let text = format!("A release of {repository} is said to be at \"{place}\", where no GitHub keeps one.");
                Refusal::new(Reason::UpstreamClosed, text)
            })?;
            Ok(whole(Answer::redirect(location)))
        }
        status => Err(refuse(visit, permit, status, &parts.headers)),
    }
}

/// What an answer without a file means.
fn refuse(visit: &Visit<'_>, permit: &FilePermit, status: StatusCode, headers: &HeaderMap) -> Refusal {
    let repository = permit.repository().repository();
    if [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::RANGE_NOT_SATISFIABLE].contains(&status) {
        let text = format!("{} has no such file of {repository}, or shows it to others only.", upstream(visit));
        return Refusal { status: Some(status), ..Refusal::new(Reason::CredentialUnavailable, text) };
    }
    let denied = Denied::read(status.as_u16(), headers.contains_key("x-github-sso"), b"");
    explain(visit, (repository, permit.repository().is_public()), status, headers, denied)
}

/// Those fields of these names that stand there once.
fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        let mut values = from.get_all(name).iter();
        if let (Some(value), None) = (values.next(), values.next()) {
            to.insert(name, value.clone());
        }
    }
}

/// What a client may say of the answer that it wants.
const ASKED: [HeaderName; 6] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE];
/// What a client learns of a file beside its content.
const ANSWERED: [HeaderName; 9] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::VARY,
];

const ON_DISK: &str = "This repository is served from the disk of this machine, by git alone: clone it instead.";
const UNKNOWN: &str =
    "This proxy does not know where this GitHub has its files; its operator writes codeload_url and raw_url in [[github]].";

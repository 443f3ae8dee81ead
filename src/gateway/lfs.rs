//! Git LFS: what is asked is read to its end, judged, written anew, and asked where the repository really is. Links that come back stay
//! here; a sandbox gets handles in their place.

mod batch;
mod locks;
mod transfer;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};

pub(super) use self::transfer::transfer;
use super::{
    Visit,
    body::{Asking, Body, Download, Unread, Upload, collect, drain, read},
    errand::{explain, forge, upstream, user_agent, wait},
};
use crate::{
    credentials::{authorize, masker},
    github::{
        RepositoryName,
        denied::Denied,
        lfs::{CONTENT_TYPE, Call, LfsError, MAX_ANSWER, MAX_REQUEST, Way},
    },
    policy::{LfsAct, LfsPermit, Whereabouts, decide_lfs, grant::Access},
    reason::Reason,
    respond::Refusal,
    secret::Secret,
    sessions::transfers::Transfer,
};

/// Answers what is asked below a repository's `info/lfs/`.
pub(super) async fn serve(
    visit: &mut Visit<'_>,
    repository: &RepositoryName,
    call: Call,
    request: Request<Asking>,
) -> Result<Response<Body>, Refusal> {
    match call {
        Call::Batch => batch::serve(visit, repository, request).await,
        Call::Locks => locks::list(visit, repository, request).await,
        Call::VerifyLocks => locks::verify(visit, repository, request).await,
        Call::CreateLock | Call::Unlock(_) => locks::change(visit, repository, call, request).await,
        Call::Transfer(handle) => transfer(visit, Some(repository), handle, request).await,
    }
}

/// A request of Git LFS's API to where the repository really is.
struct Question {
    permit: LfsPermit,
    call: Call,
    /// Empty, or with its question mark.
    query: String,
    /// None where nothing is said.
    body: Option<Vec<u8>>,
}

/// What came back.
struct Reply {
    status: StatusCode,
    body: Bytes,
    /// The credential that it was asked by.
    used: Option<Arc<Secret>>,
}

impl Reply {
    /// What was written of it for a sandbox, without that credential.
    fn told(&self, written: Vec<u8>) -> Vec<u8> {
        masker(self.used.as_slice()).mask(&written).unwrap_or(written)
    }
}

/// Decides, and records what is allowed.
async fn admit(visit: &mut Visit<'_>, repository: &RepositoryName, act: &LfsAct) -> Result<LfsPermit, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let public_read = visit.gate.forge_hosts.public_read(repository);
    let permit = decide_lfs(&visit.subject.governing.grant, repository, act, public_read)?;
    let permit = if visit.brought.is_some() { permit.publicly()? } else { permit };
    visit.check_public(repository).await?;
    visit.record_leave(repository, permit.is_public())?;
    Ok(permit)
}

/// The same for an object, of which a link was handed out under the grant of then. What was handed out with a credential does not
/// go on as what anybody may read.
async fn admit_transfer(visit: &Visit<'_>, transfer: &Transfer) -> Result<LfsPermit, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let act = match transfer.way {
        Way::Download => LfsAct::Read,
        Way::Upload | Way::Verify => LfsAct::Upload(transfer.reference.clone()),
    };
    if visit.brought.is_some() && !transfer.is_public {
        return Err(Refusal::new(Reason::CredentialNotAllowed, NOT_LENT));
    }
    let public_read = transfer.is_public && visit.gate.forge_hosts.public_read(&transfer.repository);
    Ok(decide_lfs(&visit.subject.governing.grant, &transfer.repository, &act, public_read)?)
}

/// Asks, and gives back what one of these statuses came with; anything else is trouble, and no word of it is shown.
async fn ask(visit: &Visit<'_>, headers: &HeaderMap, question: Question, wanted: &[u16]) -> Result<Reply, Refusal> {
    let Question { permit, call, query, body } = question;
    let repository = permit.repository();
    let forge = forge(visit, repository)?;
    let at = if permit.is_public() { Whereabouts::as_named(repository) } else { visit.locate(forge, repository).await? };
    let (method, length) = (if body.is_some() { Method::POST } else { Method::GET }, body.as_ref().map(Vec::len));
    let (upload, spent) = Upload::whole(body.unwrap_or_default().into(), &visit.traffic);
    let mut request = Request::new(upload);
    *request.method_mut() = method;
    *request.uri_mut() = format!("{}/{}.git/info/lfs/{call}{query}", forge.git.prefix, at.path())
        .parse()
        .map_err(|error| Refusal::new(Reason::Internal, format!("The request to {} cannot be written: {error}.", forge.git)))?;
    request.headers_mut().insert(header::USER_AGENT, user_agent(headers));
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(CONTENT_TYPE));
    if length.is_some() {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    }
    let standing = visit.standing_upload(&permit);
    let asking = async {
        let mut used = None;
        if let Some(brought) = &visit.brought {
            brought.authorize(request.headers_mut());
        } else if !permit.is_public() {
            let secret = visit.secret(forge, repository, Access::of(permit.service())).await?;
            authorize(request.headers_mut(), &secret);
            used = Some(secret);
        }
        visit.gate.spend_head(visit.subject, request.method(), request.uri(), request.headers())?;
        let answer = visit.gate.upstream.exchange(&forge.git, &forge.tls, forge.timeouts, request).await?;
        let (head, body) = answer.into_parts();
        if let Some(secret) = used.as_ref().filter(|_| head.status == StatusCode::UNAUTHORIZED) {
            // A client that asks again comes with another one.
            visit.turned_away(forge, repository, secret);
        }
        let encoded = head.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
        if !wanted.contains(&head.status.as_u16()) || encoded {
            return Err(trouble(visit, &permit, head.status, &head.headers));
        }
        let body = collect(body.map_err(Into::into).boxed_unsync(), MAX_ANSWER).await.map_err(|why| unusable(visit, &why))?;
        Ok(Reply { status: head.status, body, used })
    };
    tokio::select! {
        biased;
        refusal = standing.withdrawn() => Err(refusal),
        refusal = spent.refusal() => Err(refusal),
        reply = asking => reply,
    }
}

/// What an answer without what was asked for means. Clients act on some statuses, which they get.
fn trouble(visit: &Visit<'_>, permit: &LfsPermit, status: StatusCode, headers: &HeaderMap) -> Refusal {
    let known = match status.as_u16() {
        413 => "the request is too large for it",
        422 => "it finds fault with what is asked",
        501 => "it has no Git LFS for this",
        507 | 509 => "it takes no more, as the repository's quota is used up",
        _ => return explain(visit, (permit.repository(), permit.is_public()), status, headers, Denied::Permission),
    };
    let text = format!("{} answered {status} for {}: {known}.", upstream(visit), permit.repository());
    Refusal { status: Some(status), retry_after: wait(headers), ..Refusal::new(Reason::UpstreamClosed, text) }
}

fn unusable(visit: &Visit<'_>, why: &str) -> Refusal {
    Refusal::new(Reason::UpstreamClosed, format!("{} gave an answer that is not Git LFS's: {why}.", upstream(visit)))
}

fn misread(visit: &Visit<'_>) -> impl Fn(LfsError) -> Refusal {
    move |error| unusable(visit, &error.to_string())
}

/// The body of a request, whole.
async fn gather(request: Request<Asking>) -> Result<Bytes, Refusal> {
    let (head, mut body) = request.into_parts();
    let mut values = head.headers.get_all(header::CONTENT_TYPE).iter();
    let is_ours = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
    };
    let is_typed = values.next().is_some_and(is_ours) && values.next().is_none();
    let encoded = head.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
    let gathered = if is_typed && !encoded { read(&mut body, MAX_REQUEST).await } else { Err(Unread::Other(NOT_TYPED.to_owned())) };
    match gathered {
        Ok(bytes) => Ok(bytes),
        Err(unread) => {
            drain(body).await;
            Err(match unread {
                Unread::TooLong => Refusal::new(Reason::BodyTooLarge, TOO_LONG),
                Unread::Refused(refusal) => refusal,
                Unread::Other(why) => Refusal::new(Reason::BadRequest, format!("The request to Git LFS could not be read: {why}.")),
            })
        }
    }
}

fn malformed(error: &LfsError) -> Refusal {
    Refusal::new(Reason::BadRequest, format!("The request to Git LFS was refused: {error}."))
}

/// An answer written here.
fn answer(visit: &Visit<'_>, status: StatusCode, written: Vec<u8>) -> Response<Body> {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let body = Download::new(written.into(), nothing, std::future::pending(), &visit.traffic);
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

const NOT_LENT: &str = "This link was not given for what the sandbox's own token reads: ask for it without that token.";
const NOT_TYPED: &str = "it has the content type application/vnd.git-lfs+json and no encoding";
const TOO_LONG: &str = "A request to Git LFS has at most a MiB; ask for fewer objects at once.";

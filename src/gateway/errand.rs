//! One request to where a repository really is, and what its answer means.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{
    Visit,
    body::{Body, Upload},
    spoken::Spoken,
};
use crate::{
    backend::{BackendError, Call},
    credentials::authorize,
    endpoint::Endpoint,
    github::{
        ContentEncoding, ProtocolVersion, RepositoryName, Service, answer_content_type, check_answer_type,
        denied::{Denied, MAX_READ},
        identity,
        push::RefName,
        request_content_type,
        route::Kind,
    },
    passage::Forge,
    policy::{PushPermit, RepositoryPermit, Whereabouts, grant::Access},
    reason::Reason,
    respond::Refusal,
};

/// What leaves: only what a permit names, and of the client's own header no more than this.
pub(super) struct Errand {
    permit: Permit,
    kind: Kind,
    pub(super) protocol: Option<ProtocolVersion>,
    pub(super) encoding: ContentEncoding,
    user_agent: HeaderValue,
}

/// Why no answer of git's came.
pub(super) struct Trouble {
    pub(super) refusal: Refusal,
    /// What the upstream answered instead; `None` where it gave no answer.
    pub(super) answered: Option<StatusCode>,
}

impl<T: Into<Refusal>> From<T> for Trouble {
    fn from(refusal: T) -> Self {
        Self { refusal: refusal.into(), answered: None }
    }
}

/// What an upstream answered.
enum Asked {
    Answered(Response<Body>),
    /// It turned the credential away, and the next request may have another.
    Renewed(Response<Body>),
}

impl Asked {
    fn into_answer(self) -> Response<Body> {
        let (Self::Answered(answer) | Self::Renewed(answer)) = self;
        answer
    }
}

/// Leave to ask, which only judging gives.
enum Permit {
    Repository(RepositoryPermit),
    Push(PushPermit),
}

impl Errand {
    /// To learn which refs there are.
    pub(super) fn advertisement(permit: RepositoryPermit, headers: &HeaderMap) -> Self {
        let kind = Kind::Advertisement(permit.service());
        Self::new(Permit::Repository(permit), kind, headers)
    }

    /// To fetch.
    pub(super) fn fetch(permit: RepositoryPermit, headers: &HeaderMap) -> Self {
        Self::new(Permit::Repository(permit), Kind::Rpc(Service::UploadPack), headers)
    }

    /// To push what was judged.
    pub(super) fn push(permit: PushPermit, headers: &HeaderMap) -> Self {
        Self::new(Permit::Push(permit), Kind::Rpc(Service::ReceivePack), headers)
    }

    fn new(permit: Permit, kind: Kind, headers: &HeaderMap) -> Self {
        Self { permit, kind, protocol: None, encoding: ContentEncoding::Identity, user_agent: user_agent(headers) }
    }

    fn repository(&self) -> &RepositoryName {
        match &self.permit {
            Permit::Repository(permit) => permit.repository(),
            Permit::Push(permit) => permit.repository(),
        }
    }

    fn is_public(&self) -> bool {
        matches!(&self.permit, Permit::Repository(permit) if permit.is_public())
    }

    /// What its credential is for. Nobody is shown the refs for a push who may not write.
    fn access(&self) -> Access {
        Access::of(self.kind.service())
    }

    /// The refs of which the upstream has to refuse what leaves a commit behind.
    fn forward_only(&self) -> &[RefName] {
        match &self.permit {
            Permit::Repository(_) => &[],
            Permit::Push(permit) => permit.to_verify(),
        }
    }

    /// Whether the upstream has to refuse what leaves a commit behind.
    pub(super) fn fast_forward_only(&self) -> bool {
        !self.forward_only().is_empty()
    }

    /// Asks, and gives back an answer that is git's.
    pub(super) async fn run(self, visit: &Visit<'_>, body: Upload) -> Result<Response<Body>, Trouble> {
        if matches!(&self.permit, Permit::Push(permit) if permit.to_examine().is_some()) {
            return Err(Refusal::new(Reason::PushNotJudgeable, UNEXAMINED).into());
        }
        let granted = visit.subject.governing.grant.find(self.repository());
        let answer = if let Some(path) = granted.and_then(|granted| granted.upstream_path.as_deref()) {
            self.ask_disk(visit, path, body).await?
        } else {
            self.ask_forge(visit, forge(visit, self.repository())?, body).await?
        };
        let status = answer.status();
        self.judge(visit, answer).await.map_err(|refusal| Trouble { refusal, answered: Some(status) })
    }

    async fn ask_disk(&self, visit: &Visit<'_>, path: &Path, body: Upload) -> Result<Response<Body>, Refusal> {
        // git holds this for branches and for nothing else.
        if self.forward_only().iter().any(|name| !name.as_str().starts_with(BRANCHES)) {
            return Err(Refusal::new(Reason::PushNotJudgeable, REWIND));
        }
        let place = visit
            .subject
            .session
            .git()
            .ok_or_else(|| Refusal { retry_after: Some(FEW_MOMENTS), ..Refusal::new(Reason::TooManyConnections, TOO_MANY) })?;
        let call =
            Call { path, kind: self.kind, protocol: self.protocol, encoding: self.encoding, fast_forward_only: self.fast_forward_only() };
        let answer = visit.gate.backend.serve(call, body, place).await.map_err(|error| refuse_backend(&error))?;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    async fn ask_forge(&self, visit: &Visit<'_>, forge: &Forge, body: Upload) -> Result<Response<Body>, Refusal> {
        if self.fast_forward_only() {
            return Err(Refusal::new(Reason::PushNotJudgeable, REWIND));
        }
        if self.is_public() {
            return Ok(self.ask_at(visit, forge, &Whereabouts::as_named(self.repository()), body).await?.into_answer());
        }
        let at = visit.locate(forge, self.repository()).await?;
        let asked = self.ask_at(visit, forge, &at, body).await?;
        // Before anything is pushed git asks for an advertisement: that is asked again, and a push is not.
        if !matches!(self.kind, Kind::Advertisement(_)) {
            return Ok(asked.into_answer());
        }
        let answer = match asked {
            Asked::Renewed(_) => self.ask_at(visit, forge, &at, Upload::none(&visit.traffic)).await?.into_answer(),
            Asked::Answered(answer) => answer,
        };
        if !answer.status().is_redirection() {
            return Ok(answer);
        }
        match visit.follow(forge, self.repository(), &at, read_moved(forge, answer.headers())).await? {
            Some(at) => Ok(self.ask_at(visit, forge, &at, Upload::none(&visit.traffic)).await?.into_answer()),
            None => Ok(answer),
        }
    }

    async fn ask_at(&self, visit: &Visit<'_>, forge: &Forge, at: &Whereabouts, body: Upload) -> Result<Asked, Refusal> {
        let mut request = self.request(&forge.git, at, body)?;
        let mut used = None;
        if let Some(brought) = &visit.brought {
            brought.authorize(request.headers_mut());
        } else if !self.is_public() {
            let secret = visit.secret(forge, self.repository(), self.access()).await?;
            authorize(request.headers_mut(), &secret);
            used = Some(secret);
        }
        visit.gate.spend_head(visit.subject, request.method(), request.uri(), request.headers())?;
        let answer = visit.gate.upstream.exchange(&forge.git, &forge.tls, forge.timeouts, request).await?;
        let answer = answer.map(|body| {
            let body = body.map_err(Into::into).boxed_unsync();
            match &used {
                Some(secret) => Spoken::new(body, secret, self.kind.service()).boxed_unsync(),
                None => body,
            }
        });
        let turned_away = used.filter(|_| answer.status() == StatusCode::UNAUTHORIZED);
        let renewed = turned_away.is_some_and(|secret| visit.turned_away(forge, self.repository(), &secret));
        Ok(if renewed { Asked::Renewed(answer) } else { Asked::Answered(answer) })
    }

    /// The request as it leaves, built from what was understood and from nothing else.
    fn request(&self, endpoint: &Endpoint, at: &Whereabouts, body: Upload) -> Result<Request<Upload>, Refusal> {
        let (prefix, repository, service) = (&endpoint.prefix, at.path(), self.kind.service());
        let (method, target) = match self.kind {
            Kind::Advertisement(_) => (Method::GET, format!("{prefix}/{repository}/info/refs?service={service}")),
            Kind::Rpc(_) => (Method::POST, format!("{prefix}/{repository}/{service}")),
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target
            .parse()
            .map_err(|error| Refusal::new(Reason::Internal, format!("The request to {endpoint} cannot be written: {error}.")))?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static(answer_content_type(self.kind)));
        if matches!(self.kind, Kind::Rpc(_)) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request_content_type(service)));
        }
        if self.encoding == ContentEncoding::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(protocol) = self.protocol {
            headers.insert("git-protocol", HeaderValue::from_static(protocol.as_str()));
        }
        Ok(request)
    }

    /// Lets through what git sends and says what anything else means. Of the upstream's header its content type alone comes in.
    async fn judge(&self, visit: &Visit<'_>, answer: Response<Body>) -> Result<Response<Body>, Refusal> {
        let (parts, body) = answer.into_parts();
        let values = |name| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let encoded = values(header::CONTENT_ENCODING).any(|value| value != b"identity");
        if parts.status != StatusCode::OK || encoded {
            let denied = match parts.status.as_u16() {
                status @ (401 | 403) => Denied::read(status, parts.headers.contains_key(SSO), &beginning(body).await),
                _ => Denied::Permission,
            };
            return Err(explain(visit, (self.repository(), self.is_public()), parts.status, &parts.headers, denied));
        }
        check_answer_type(self.kind, values(header::CONTENT_TYPE)).map_err(|error| {
            Refusal::new(Reason::UpstreamClosed, format!("{} gave an answer that is not git's: {error}.", upstream(visit)))
        })?;
        Ok(said(self.kind, body))
    }
}

/// An answer of git's.
pub(super) fn said(kind: Kind, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer_content_type(kind)));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// What an answer without what was asked for means. No word of its body is shown.
pub(super) fn explain(
    visit: &Visit<'_>,
    (repository, is_public): (&RepositoryName, bool),
    status: StatusCode,
    headers: &HeaderMap,
    denied: Denied,
) -> Refusal {
    let upstream = upstream(visit);
    let trouble = |reason, text: String| Refusal { status: Some(status), ..Refusal::new(reason, text) };
    match status.as_u16() {
        code @ (401 | 403) if visit.brought.is_some() => {
            let text = format!("{upstream} answered {code} to the token that the sandbox brought; send the request without it.");
            Refusal::new(Reason::CredentialNotAllowed, text)
        }
        300..=399 => {
            let forge = visit.gate.forges.of(repository);
            let to = forge.and_then(|forge| read_moved(forge, headers)).filter(|to| to.path() != repository.path());
            let to = to.map(|to| format!(" to {}", to.path())).unwrap_or_default();
            let text = format!("{repository} has moved{to} on {upstream}; this session's grant is for the name that it had.");
            Refusal::new(Reason::RepositoryNotGranted, text)
        }
        404 => trouble(Reason::CredentialUnavailable, format!("{upstream} has no {repository}, or shows it to others only.")),
        401 if is_public => Refusal {
            status: Some(StatusCode::NOT_FOUND),
            ..Refusal::new(
                Reason::RepositoryNotGranted,
                format!("{upstream} shows {repository} to nobody without a credential, and this session has no grant for it."),
            )
        },
        code @ (401 | 403) => {
            let text = format!("{upstream} answered {code} for {repository}: it {}.", denied.words());
            Refusal::new(Reason::CredentialUnavailable, text)
        }
        429 | 503 => {
            let refusal = trouble(Reason::UpstreamClosed, format!("{upstream} answered {status} and can be asked again later."));
            Refusal { retry_after: wait(headers), ..refusal }
        }
        _ => Refusal::new(Reason::UpstreamClosed, format!("{upstream} answered {status}, which is not git's.")),
    }
}

/// How long an upstream wants to be left alone.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_WAIT)))
}

/// The GitHub that has a repository.
pub(super) fn forge<'v>(visit: &Visit<'v>, repository: &RepositoryName) -> Result<&'v Forge, Refusal> {
    visit.gate.forges.of(repository).ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, NO_FORGE))
}

/// As much of a body as tells why a credential was turned away, in bounded time.
async fn beginning(mut body: Body) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < MAX_READ {
            let Some(Ok(frame)) = body.frame().await else { return };
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    let _ = timeout(FEW_MOMENTS, reading).await;
    read
}

/// What the upstream is called in front of the sandbox.
pub(super) fn upstream(visit: &Visit<'_>) -> String {
    visit.asked.destination.as_ref().map_or_else(|| "The repository's server".to_owned(), |destination| destination.host.to_string())
}

/// Where a repository went on the same host, if that can be read.
fn read_moved(forge: &Forge, headers: &HeaderMap) -> Option<RepositoryName> {
    identity::read_moved(headers.get(header::LOCATION)?.to_str().ok()?, &forge.git, &[forge.host.as_str()])
}

fn refuse_backend(error: &BackendError) -> Refusal {
    tracing::error!(%error, "a repository on disk cannot be served");
    Refusal::new(error.reason(), error.public())
}

/// What the client calls itself, by which servers know it: one product and its version, too short to carry a token.
pub(super) fn user_agent(headers: &HeaderMap) -> HeaderValue {
    product(headers).unwrap_or(HeaderValue::from_static("git/2"))
}

/// The same; none where it calls itself nothing of the kind.
pub(super) fn product(headers: &HeaderMap) -> Option<HeaderValue> {
    let spelled = |word: &str| {
        (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let product = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()?.split(' ').next()?.split_once('/'));
    let product = product.filter(|(name, version)| spelled(name) && spelled(version)).map(|(name, version)| format!("{name}/{version}"));
    HeaderValue::try_from(product?).ok()
}

/// Most characters of a client's name, and of its version.
const MAX_WORD: usize = 24;
/// Where branches are.
const BRANCHES: &str = "refs/heads/";
/// By which GitHub says that a credential lacks single sign-on; where to get it is the owner's to know.
const SSO: &str = "x-github-sso";
/// For one of a session's gits to end, and for an upstream to say why it turns somebody away.
const FEW_MOMENTS: Duration = Duration::from_secs(5);
/// Longest wait that an upstream can ask a sandbox for, in seconds.
const MAX_WAIT: u64 = 3600;

const TOO_MANY: &str = "This session has as many fetches and pushes of repositories on disk under way as it may have at once.";
const NO_FORGE: &str = "This proxy knows of no GitHub; its operator configures one in [[github]].";
const UNEXAMINED: &str = "This session's grant holds what a push contains to rules, and nobody has looked.";
const REWIND: &str = "This session may update the ref only where no commit is left behind, and a push does not show that. \
     Push to a ref that is new.";

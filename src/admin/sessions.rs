//! The owner's sessions: listed, shown, made, proved anew and revoked. Each of it is recorded.

use std::{path::PathBuf, pin::pin, sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{HEAD_TIMEOUT, requests};
use crate::{
    audit::rfc3339,
    gateway::warnings,
    passage::Gate,
    policy::{ForgeHosts, grant::Grant, narrowing::Narrowing, parse_duration, warn_of_words},
    reason::Reason,
    respond::Answer,
    sessions::{ChangeError, Draft, Session, State, Verdict, spelled},
};

/// Answers one request of the owner's in JSON. What cannot be recorded is not done, but for a session's end.
pub(super) async fn answer(gate: &Arc<Gate>, request: Request<Incoming>) -> Answer {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = Route::parse(&method, &path);
    let known = route.as_ref().is_ok_and(|route| route.id().is_none_or(|id| gate.sessions.find(id).is_some()));
    let outcome = match route {
        Ok(route) => act(gate, route, request).await,
        Err(failure) => Err(failure),
    };
    let (session, wish, reason) = match &outcome {
        Ok(done) => (done.session.as_deref(), done.decided.as_ref().map(|decided| &decided.wish), None),
        Err(failure) => (None, None, Some(failure.reason)),
    };
    // An id that is nobody's may be anything, a token pasted by mistake too.
    let recorded = gate.record_owner(session, wish, method.as_str(), known.then_some(&*path), reason);
    let outcome = match (outcome, recorded) {
        (Ok(done), Err(refusal)) => Err(undo(gate, &done, Failure::new(StatusCode::SERVICE_UNAVAILABLE, refusal.reason(), UNRECORDED))),
        (outcome, _) => outcome,
    };
    gate.metrics.sessions(gate.sessions.list().len());
    match outcome {
        Ok(done) => page(done.status, &done.body),
        Err(failure) => page(failure.status, &json!({ "error": failure.error, "reason": failure.reason.as_str() })),
    }
}

/// A session that nobody could record was never made, and nothing was granted.
fn undo(gate: &Gate, done: &Done, failure: Failure) -> Failure {
    let (Some(session), now) = (&done.session, (gate.clock)()) else { return failure };
    if done.status == StatusCode::CREATED {
        drop(gate.sessions.revoke(session.id(), now));
    }
    if let Some(granted) = done.decided.as_ref().filter(|decided| decided.state == State::Granted) {
        drop(gate.sessions.decide(session.id(), granted.number, None, Verdict { grants: false, word: None }, now));
    }
    failure
}

enum Route<'p> {
    List,
    Create,
    Show(&'p str),
    Token(&'p str),
    Revoke(&'p str),
    /// What all sessions asked for, or one of them.
    Requests(Option<&'p str>),
    /// To grant one of them, or to deny it.
    Decide(&'p str, u32, bool),
}

impl<'p> Route<'p> {
    fn parse(method: &Method, path: &'p str) -> Result<Self, Failure> {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        let parts = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        if let (Some("sessions"), Some(id), Some("requests"), Some(number), Some(word @ ("grant" | "deny")), None) = parts {
            let number = requests::number(number).filter(|_| method == Method::POST);
            let refusal = || Failure::new(StatusCode::METHOD_NOT_ALLOWED, Reason::MethodRefused, INDEX);
            return number.map(|number| Self::Decide(id, number, word == "grant")).ok_or_else(refusal);
        }
        let (first, id, word, None, None, None) = parts else { return Err(Failure::new(StatusCode::NOT_FOUND, Reason::BadRequest, INDEX)) };
        match (method.as_str(), (first, id, word)) {
            ("GET" | "HEAD", (Some("sessions"), None, None)) => Ok(Self::List),
            ("POST", (Some("sessions"), None, None)) => Ok(Self::Create),
            ("GET" | "HEAD", (Some("sessions"), Some(id), None)) => Ok(Self::Show(id)),
            ("POST", (Some("sessions"), Some(id), Some("token"))) => Ok(Self::Token(id)),
            ("POST", (Some("sessions"), Some(id), Some("revoke"))) => Ok(Self::Revoke(id)),
            ("GET" | "HEAD", (Some("requests"), None, None)) => Ok(Self::Requests(None)),
            ("GET" | "HEAD", (Some("sessions"), Some(id), Some("requests"))) => Ok(Self::Requests(Some(id))),
            (_, (Some("requests"), None, None) | (Some("sessions"), _, None | Some("token" | "revoke" | "requests"))) => {
                Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, Reason::MethodRefused, INDEX))
            }
            _ => Err(Failure::new(StatusCode::NOT_FOUND, Reason::BadRequest, INDEX)),
        }
    }

    fn id(&self) -> Option<&'p str> {
        match self {
            Self::List | Self::Create => None,
            Self::Requests(id) => *id,
            Self::Show(id) | Self::Token(id) | Self::Revoke(id) | Self::Decide(id, ..) => Some(id),
        }
    }
}

/// What was done, before it is recorded.
struct Done {
    status: StatusCode,
    session: Option<Arc<Session>>,
    decided: Option<crate::sessions::Request>,
    body: Value,
}

impl Done {
    fn new(session: Arc<Session>, body: Value) -> Self {
        Self { status: StatusCode::OK, session: Some(session), decided: None, body }
    }

    fn listed(body: Value) -> Self {
        Self { status: StatusCode::OK, session: None, decided: None, body }
    }
}

struct Failure {
    status: StatusCode,
    reason: Reason,
    error: String,
}

impl Failure {
    fn new(status: StatusCode, reason: Reason, error: impl Into<String>) -> Self {
        Self { status, reason, error: error.into() }
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, error)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let (status, reason) = match &error {
            ChangeError::Id(_) | ChangeError::Past | ChangeError::RelativePolicy(_) | ChangeError::Fixed(_) | ChangeError::Child(_) => {
                (StatusCode::BAD_REQUEST, Reason::BadRequest)
            }
            ChangeError::Policy(_) => (StatusCode::BAD_REQUEST, Reason::PolicyUnavailable),
            ChangeError::Wider(denial) => (StatusCode::CONFLICT, denial.reason),
            ChangeError::Taken(_)
            | ChangeError::OtherWish(_)
            | ChangeError::TooManyGranted
            | ChangeError::TooManyChildren
            | ChangeError::Unasked
            | ChangeError::Grant(_) => (StatusCode::CONFLICT, Reason::BadRequest),
            ChangeError::Ended(reason) => (StatusCode::CONFLICT, *reason),
            ChangeError::Unknown(_) => (StatusCode::NOT_FOUND, Reason::SessionUnknown),
            ChangeError::NoRequest(_) => (StatusCode::NOT_FOUND, Reason::BadRequest),
            ChangeError::TooMany | ChangeError::NoState | ChangeError::Signature | ChangeError::Unwritten(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Reason::Internal)
            }
        };
        Self::new(status, reason, error.to_string())
    }
}

async fn act(gate: &Arc<Gate>, route: Route<'_>, request: Request<Incoming>) -> Result<Done, Failure> {
    let now = (gate.clock)();
    let find = |id: &str| gate.sessions.find(id).ok_or_else(|| Failure::from(ChangeError::Unknown(id.to_owned())));
    match route {
        Route::List => {
            let all = gate.sessions.list().iter().map(|session| shown(gate, session, now)).collect();
            Ok(Done::listed(all))
        }
        Route::Create => {
            let body = body_of(request).await?;
            let (session, token) = gate.sessions.create(draft(&body, &gate.forge_hosts, now)?, now)?;
            let mut warnings = warn_of_words(&session.governing().grant);
            warnings.append(&mut warnings::of_grant(gate, &session).await);
            let body = json!({ "session": shown(gate, &session, now), "token": spelled(&token), "warnings": warnings });
            Ok(Done { status: StatusCode::CREATED, ..Done::new(session, body) })
        }
        Route::Show(id) => {
            let session = find(id)?;
            let body = shown(gate, &session, now);
            Ok(Done::new(session, body))
        }
        Route::Token(id) => {
            let session = find(id)?;
            let (session, token) = match &*body_of(request).await? {
                [] => (session, gate.sessions.mint(id, now)?),
                wish => gate.sessions.narrow(&session, narrowing(wish, &gate.forge_hosts)?, now)?,
            };
            let body = json!({ "session": shown(gate, &session, now), "token": spelled(&token) });
            Ok(Done::new(session, body))
        }
        Route::Revoke(id) => {
            let session = gate.sessions.revoke(id, now)?;
            let body = shown(gate, &session, now);
            Ok(Done::new(session, body))
        }
        Route::Requests(None) => {
            let all = gate.sessions.list().iter().flat_map(|session| requests::all(session)).collect();
            Ok(Done::listed(all))
        }
        Route::Requests(Some(id)) => {
            let session = find(id)?;
            let body = requests::all(&session).into();
            Ok(Done::new(session, body))
        }
        Route::Decide(id, number, grants) => {
            let (seen, word) = requests::decided(&body_of(request).await?).map_err(Failure::bad)?;
            let (session, request) = gate.sessions.decide(id, number, seen.as_ref(), Verdict { grants, word }, now)?;
            let mut body = requests::shown(&session, &request);
            if grants {
                body["warnings"] = json!(warnings::of_grant(gate, &session).await);
            }
            Ok(Done { decided: Some(request), ..Done::new(session, body) })
        }
    }
}

/// A session as its owner sees it: nothing of a token.
fn shown(gate: &Gate, session: &Session, now: SystemTime) -> Value {
    let governing = session.governing();
    let state = session.standing(now).map_or_else(|reason| reason.as_str().trim_start_matches("session_"), |()| "active");
    json!({
        "id": session.id().as_ref(),
        "state": state,
        "origin": if session.is_configured() { "configuration" } else { "admin" },
        "token": if governing.is_signed() { "signed" } else { "fixed" },
        "expires": governing.expires.map(rfc3339),
        "policy": governing.policy.name(),
        "access": governing.policy.access().as_str(),
        "generation": governing.generation,
        "repositories": governing.grant.repositories(),
        "requests": requests::all(session),
        "only": governing.grant.purposes(),
        "children": gate.sessions.children(session, now).iter().map(|child| child_to_json(child)).collect::<Vec<_>>(),
    })
}

/// A token that may do less than its session.
fn child_to_json(child: &Session) -> Value {
    let governing = child.governing();
    json!({
        "id": child.id().as_ref(),
        "only": governing.grant.purposes(),
        "expires": governing.expires.map(rfc3339),
        "repositories": governing.grant.repositories(),
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    id: Option<String>,
    policy: Option<PathBuf>,
    expires: Option<String>,
    ttl: Option<String>,
    repositories: Grant,
}

fn draft(body: &[u8], hosts: &ForgeHosts, now: SystemTime) -> Result<Draft, Failure> {
    let Wish { id, policy, expires, ttl, repositories: grant } = match body {
        [] => Wish::default(),
        // serde would read an array as the fields in their order.
        body if !body.trim_ascii_start().starts_with(b"{") => return Err(Failure::bad("the body is no session: write a JSON object")),
        body => serde_json::from_slice(body).map_err(|error| Failure::bad(format!("the body is no session: {error}")))?,
    };
    let expires = match (expires, ttl) {
        (Some(_), Some(_)) => return Err(Failure::bad("\"expires\" and \"ttl\" exclude each other: write one of them")),
        (Some(moment), None) => {
            let moment: Timestamp =
                moment.parse().map_err(|_| Failure::bad("\"expires\" names no moment: write one such as 2026-12-01T00:00:00Z"))?;
            Some(moment.into())
        }
        (None, Some(ttl)) => {
            let ttl = parse_duration(&ttl).map_err(|error| Failure::bad(format!("\"ttl\" is {error}: write one such as 8h")))?;
            Some(now + ttl)
        }
        (None, None) => None,
    };
    let grant = grant.located(hosts).map_err(|error| Failure::bad(error.to_string()))?;
    Ok(Draft { id, policy, expires, grant })
}

fn narrowing(body: &[u8], hosts: &ForgeHosts) -> Result<Narrowing, Failure> {
    let wish = Narrowing::parse(body).and_then(|wish| wish.located(hosts));
    wish.map_err(|error| Failure::bad(format!("the body is no token to be asked for: {error}")))
}

async fn body_of(request: Request<Incoming>) -> Result<Bytes, Failure> {
    let late = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, Reason::HeadTimeout, "the body did not come in time");
    timeout(HEAD_TIMEOUT, gather(request.into_body())).await.map_err(late)?
}

async fn gather(body: Incoming) -> Result<Bytes, Failure> {
    let too_large = || {
        let error = format!("{MAX_BODY} bytes at most are read");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::BodyTooLarge, error)
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(body, MAX_BODY));
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() { too_large() } else { Failure::bad(format!("the body cannot be read: {error}")) }
        })?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

fn page(status: StatusCode, body: &Value) -> Answer {
    Answer::page(status, "application/json", format!("{body:#}\n"))
}

/// Most octets of a body.
const MAX_BODY: usize = 256 * 1024;
const INDEX: &str = "GET or POST /sessions, GET /sessions/ID, POST /sessions/ID/token, POST /sessions/ID/revoke, GET /requests, \
     GET /sessions/ID/requests and POST /sessions/ID/requests/NUMBER/grant or …/deny are here";
const UNRECORDED: &str = "it could not be recorded, and so it does not hold; the cause stands in the log";

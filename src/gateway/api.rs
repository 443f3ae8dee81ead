//! Calls of GitHub's API: read to their end, judged by the one table, written anew and asked with the owner's credential; what comes back is
//! held to what a sandbox may see of it.

mod reading;
mod asking;
mod learning;
mod standing;
mod redirected;
mod answering;
mod local;

use std::time::SystemTime;

use http::{Method, Request, Response, StatusCode, header};

use self::reading::Read;
use super::{
    Visit,
    body::{Asking, Body, drain},
    whole,
};
use crate::{
    destination::{Destination, Name},
    github::api::{self, Call, Entrance, Service},
    passage::{Forge, look_through_body},
    policy::api::{ApiPermit, ApiSession, Budget, Known, Local, MAX_QUESTIONS, Step, decide_api},
    reason::Reason,
    respond::{Answer, Refusal},
    sessions,
};

/// The GitHub that is asked, and where its API is for whoever asks.
struct Desk<'d> {
    forge: &'d Forge,
    /// None for the first.
    host: Option<&'d Name>,
    /// A base URL without a slash at its end.
    here: String,
    /// Whose limits at the GitHub these calls take of: a session's that has a credential of its own, else of all others.
    whose: Option<sessions::Identity>,
}

/// What was decided of a call.
enum Decided {
    Go(Box<ApiPermit>),
    Answer(Local),
}

/// Answers one call.
pub(super) async fn serve(visit: &mut Visit<'_>, entrance: Entrance, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    visit.gate.count_request(visit.subject).await?;
    let host = entrance.forge.as_ref();
    let forge = visit.gate.forges.find(host).ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, NO_FORGE))?;
    let own = visit.subject.governing.credentials.contains_key(&entrance.forge);
    let here = here(visit, &entrance, &request)?;
    let desk = Desk { forge, host, here, whose: own.then(|| visit.subject.session.identity()) };
    if request.method() == Method::OPTIONS {
        return Ok(whole(Answer::page(StatusCode::NO_CONTENT, JSON, "").allowing(METHODS)));
    }
    let is_upload = entrance.service == Service::Uploads;
    let Read { head, body, rest } = reading::read(request, is_upload).await?;
    let decided = match Call::read(head.method.as_str(), &entrance.target, &body, is_upload) {
        Ok(call) => {
            visit.asked.repository = call.repository(host);
            decide(visit, &desk, &call).await
        }
        Err(error) => Err(Refusal::new(error.reason(), format!("The call was refused: {error}."))),
    };
    let permit = match decided {
        Ok(Decided::Go(permit)) => permit,
        Ok(Decided::Answer(answer)) => return local::answer(visit, &desk, answer).await,
        Err(refusal) => return refuse(visit, refusal, rest).await,
    };
    look_through_body(visit.gate, visit.subject, visit.asked, &body)?;
    visit.asked.refs = permit.changes().iter().map(|change| change.name.clone()).collect();
    let bearer = permit.credential().and_then(|repository| visit.bearer(repository));
    visit.asked.credential = bearer;
    if let Err(refusal) = take(visit, permit.budget()) {
        return refuse(visit, refusal, rest).await;
    }
    visit.gate.record_leave(visit.subject, visit.asked)?;
    answering::answer(visit, &desk, &permit, &head.headers, rest).await
}

/// Refuses. What is left of an upload is read first, so that its sender reads why; the refusal is on record before that.
async fn refuse(visit: &Visit<'_>, refusal: Refusal, rest: Option<Asking>) -> Result<Response<Body>, Refusal> {
    let Some(rest) = rest else { return Err(refusal) };
    let answer = visit.gate.refuse(Some(visit.subject), visit.asked, refusal);
    drain(rest).await;
    Ok(whole(answer))
}

/// Judges a call, and asks GitHub what has to be known for that.
async fn decide(visit: &mut Visit<'_>, desk: &Desk<'_>, call: &Call) -> Result<Decided, Refusal> {
    let calls = visit.subject.session.calls();
    let mut known: Known = calls.known(desk.host, (visit.gate.clock)());
    if call.method != api::Method::Get {
        known.forget_changing();
    }
    for _ in 0..=MAX_QUESTIONS {
        let step = calls.with_made(|made| {
            let session = ApiSession {
                grant: &visit.subject.governing.grant,
                hosts: &visit.gate.forge_hosts,
                forge: &desk.forge.host,
                login: None,
                made,
            };
            decide_api(&session, call, &known)
        });
        match step {
            Ok(Step::Go(permit)) => {
                visit.asked.repository = permit.repository().cloned();
                return Ok(Decided::Go(permit));
            }
            Ok(Step::Answer(local)) => return Ok(Decided::Answer(local)),
            Ok(Step::Learn(question)) => {
                let answer = learning::learn(visit, desk, &question).await?;
                calls.learn(desk.host, question.clone(), answer.clone(), (visit.gate.clock)());
                known.learn(question, answer);
            }
            Err(denial) => return Err(denial.into()),
        }
    }
    Err(Refusal::new(Reason::Internal, UNDECIDED))
}

/// Takes a call off what its session has of an hour, where GitHub itself lets anybody ask.
fn take(visit: &Visit<'_>, budget: Budget) -> Result<(), Refusal> {
    let limits = visit.subject.session.limits();
    visit.gate.within(limits.api_call())?;
    if budget != Budget::Read {
        visit.gate.within(limits.api_write())?;
    }
    if budget == Budget::Comment {
        visit.gate.within(limits.api_comment())?;
    }
    Ok(())
}

impl Desk<'_> {
    /// That GitHub does not want to be left alone.
    fn check_restraint(&self) -> Result<(), Refusal> {
        match self.forge.restraint.left(self.whose, tokio::time::Instant::now()) {
            None => Ok(()),
            Some(left) => Err(Refusal { retry_after: Some(left), ..Refusal::new(Reason::RateLimited, RESTRAINED) }),
        }
    }
}

/// Where the API is for whoever asks.
fn here(visit: &Visit<'_>, entrance: &Entrance, request: &Request<Asking>) -> Result<String, Refusal> {
    let scheme = visit.scheme;
    let host = request.headers().get(header::HOST).map(|host| Destination::parse(host.as_bytes(), Some(scheme.port())));
    let named = host.and_then(Result::ok).ok_or_else(|| Refusal::new(Reason::BadRequest, NO_HOST))?;
    let authority = if named.port == scheme.port() { named.host.to_string() } else { named.to_string() };
    Ok(format!("{}://{authority}{}", scheme.as_str(), entrance.prefix))
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

const JSON: &str = "application/json; charset=utf-8";
const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
const NO_FORGE: &str = "This proxy knows of no GitHub; its operator configures one in [[github]].";
const NO_API: &str = "This proxy does not know where this GitHub has its API; its operator writes api_url and upload_url in [[github]].";
const NO_HOST: &str = "The request names no Host, which links in the answer have to name.";
const UNDECIDED: &str = "This proxy could not come to a decision about the call.";
const RESTRAINED: &str = "GitHub asked for a pause of whoever uses the owner's credential, and is not asked before that is over.";

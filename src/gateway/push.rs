//! A push: its list of commands is read and judged as a whole before a byte of it goes up, and refused as git refuses one.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;

use super::{
    Visit,
    body::{Asking, Body, Upload, drain},
    check_body,
    errand::{Errand, Trouble},
    whole,
};
use crate::{
    github::{
        RepositoryName, Service, answer_content_type,
        push::{Capabilities, CommandList, Prelude, PreludeReader},
        report,
        route::{Kind, Route},
    },
    policy::{Denial, PushDenial, RefChange, decide_push},
    reason::Reason,
    respond::{self, Answer, Refusal},
    upstream::BodyFault,
};

/// Answers `POST git-receive-pack`.
pub(super) async fn serve(visit: &mut Visit<'_>, route: &Route, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let checked = check_body(Service::ReceivePack, &request);
    let (headers, mut body) = (request.headers().clone(), request.into_body());
    let read = match checked {
        Ok(_) => read_prelude(&mut body).await,
        Err(refusal) => Err(Unread { refusal, capabilities: None }),
    };
    match read {
        Ok((Prelude::Nothing { length }, bytes)) if bytes.len() == length && ends(&mut body).await => Ok(nothing_to_do()),
        Ok((Prelude::Nothing { .. }, _)) => {
            drain(body).await;
            Err(Refusal::new(Reason::BadRequest, "The push names no ref, and something follows its list of commands."))
        }
        Ok((Prelude::Commands(list), bytes)) => push(visit, &route.repository, &headers, list, bytes, body).await,
        Err(Unread { refusal, capabilities }) => {
            let told = capabilities.and_then(|capabilities| report::unpack_error(&capabilities, &refusal.denial.detail, &[]));
            let answer = match told {
                Some(body) => Ok(whole(refuse(visit, refusal, body))),
                None => Err(refusal),
            };
            drain(body).await;
            answer
        }
    }
}

/// A list of commands that means nothing here, and what its sender can be told by.
struct Unread {
    refusal: Refusal,
    capabilities: Option<Capabilities>,
}

/// Reads as far as the list of commands goes, and whatever arrived behind it.
async fn read_prelude(body: &mut Asking) -> Result<(Prelude, BytesMut), Unread> {
    let (mut reader, mut bytes) = (PreludeReader::default(), BytesMut::new());
    let unread =
        |reader: &PreludeReader, reason, text| Unread { refusal: Refusal::new(reason, text), capabilities: reader.capabilities().cloned() };
    loop {
        match reader.read(&bytes) {
            Ok(Some(prelude)) => return Ok((prelude, bytes)),
            Ok(None) => {}
            Err(error) => return Err(unread(&reader, error.reason(), format!("The push was refused: {error}."))),
        }
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => {
                return Err(match error.downcast::<BodyFault>() {
                    Ok(fault) => unread(&reader, fault.reason, fault.detail),
                    Err(error) => unread(&reader, Reason::BadRequest, format!("The push could not be read: {error}.")),
                });
            }
            None => return Err(unread(&reader, Reason::BadRequest, "The push ended within its list of commands.".to_owned())),
        }
    }
}

/// Whether nothing follows; what does is read no further than its beginning.
async fn ends(body: &mut Asking) -> bool {
    loop {
        match body.frame().await {
            None => return true,
            Some(Ok(frame)) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
            Some(_) => return false,
        }
    }
}

/// git asks before a long push whether it will be let in, with a list that is empty.
fn nothing_to_do() -> Response<Body> {
    let mut answer = Response::new(http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(RESULT));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

async fn push(
    visit: &mut Visit<'_>,
    repository: &RepositoryName,
    headers: &HeaderMap,
    list: CommandList,
    bytes: BytesMut,
    mut body: Asking,
) -> Result<Response<Body>, Refusal> {
    visit.asked.refs = list.updates.iter().map(|update| update.name.clone()).collect();
    let changes: Vec<_> = list.updates.iter().map(RefChange::from).collect();
    let behind = bytes.get(list.length..).unwrap_or_default();
    let begins = if list.has_pack() { true } else { behind.is_empty() && ends(&mut body).await };
    let judged =
        if begins { judge(visit, repository, &changes, headers).await } else { Err(Refusal::new(Reason::BadRequest, SURPLUS).into()) };
    let errand = match judged {
        Ok(errand) => errand,
        Err(not_pushed) => {
            // On record before the rest of the upload is read: that may take as long as its sender likes.
            let answer = answer_refused(visit, &list, not_pushed);
            drain(body).await;
            return answer;
        }
    };
    let first = [&list.to_bytes(), behind].concat();
    let (upload, rest, spent) = Upload::new(first.into(), body, &visit.traffic);
    let mut spent = Box::pin(spent.refusal());
    let changes = if errand.fast_forward_only() { changes } else { changes.into_iter().map(RefChange::at_worst).collect() };
    let standing = |visit: &Visit<'_>| visit.standing(repository, Service::ReceivePack, &changes);
    let answer = tokio::select! {
        biased;
        refusal = standing(visit).withdrawn() => Err(Trouble::from(refusal)),
        refusal = &mut spent => Err(Trouble::from(refusal)),
        answer = errand.run(visit, upload) => answer,
    };
    match answer {
        Ok(answer) => {
            let standing = standing(visit);
            Ok(answer.map(|body| visit.download(body, standing, spent).after(rest).boxed_unsync()))
        }
        Err(Trouble { refusal, answered }) => {
            // From here on nothing more is sent.
            let left = rest.left().await;
            // After something was sent, only who is told that it was refused, or is to be elsewhere, or who did not send the rest,
            // knows that nothing was done.
            let is_refused = answered.is_some_and(|status| status.is_client_error() || status.is_redirection());
            let answer = if visit.traffic.up() == 0 || is_refused || refusal.reason() == Reason::BudgetExhausted {
                answer_refused(visit, &list, NotPushed::Refused(refusal))
            } else {
                Ok(whole(answer_unknown(visit, &list, refusal)))
            };
            if let Some(left) = left {
                drain(left).await;
            }
            answer
        }
    }
}

/// Decides, and records what is allowed.
async fn judge(visit: &Visit<'_>, repository: &RepositoryName, changes: &[RefChange], headers: &HeaderMap) -> Result<Errand, NotPushed> {
    visit.gate.count_upstream(visit.subject).await?;
    let permit = decide_push(&visit.subject.governing.grant, repository, changes)?;
    visit.gate.record_leave(visit.subject, visit.asked)?;
    Ok(Errand::push(permit, headers))
}

/// Why no ref changes.
enum NotPushed {
    Denied(Box<PushDenial>),
    Refused(Refusal),
}

impl From<Box<PushDenial>> for NotPushed {
    fn from(denial: Box<PushDenial>) -> Self {
        Self::Denied(denial)
    }
}

impl From<Refusal> for NotPushed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Tells for each ref why it does not change; without git's own words for it where the client did not ask for them.
fn answer_refused(visit: &Visit<'_>, list: &CommandList, not_pushed: NotPushed) -> Result<Response<Body>, Refusal> {
    let (refusal, refs) = match not_pushed {
        NotPushed::Denied(denial) => (Refusal::from(Box::new(Denial::from(&*denial))), denial.refs),
        NotPushed::Refused(refusal) => {
            let mut words = format!("{}: not attempted", refusal.reason());
            if let Some(status) = refusal.status {
                let _ = write!(words, ", the upstream answered {}", status.as_u16());
            }
            let refs = list.updates.iter().map(|update| (update.name.clone(), words.clone())).collect();
            (refusal, refs)
        }
    };
    let refs = refs.iter().map(|(name, words)| (name, words.as_str()));
    match report::refusal(&list.capabilities, refs, &respond::advice(&refusal)) {
        Some(body) => Ok(whole(refuse(visit, refusal, body))),
        None => Err(refusal),
    }
}

fn answer_unknown(visit: &Visit<'_>, list: &CommandList, refusal: Refusal) -> Answer {
    let text = format!("{} Whether the push took effect is not known: ask with git ls-remote before pushing again.", refusal.denial.detail);
    let body = report::interrupted(&list.capabilities, &text).unwrap_or_default();
    refuse(visit, refusal, body)
}

fn refuse(visit: &Visit<'_>, refusal: Refusal, body: Vec<u8>) -> Answer {
    visit.gate.refuse_natively(visit.subject, visit.asked, refusal, RESULT, body)
}

const RESULT: &str = answer_content_type(Kind::Rpc(Service::ReceivePack));

const SURPLUS: &str = "The push only deletes, and something follows its list of commands.";

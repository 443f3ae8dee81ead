//! A push: its list of commands is read and judged as a whole before a byte of it goes up, and refused as git refuses one.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use tokio::time::{Duration, timeout};

use super::{
    Visit, ancestry,
    body::{Asking, Body, Upload, drain},
    check_body, default_branch,
    errand::{Errand, Trouble},
    spool::Spool,
    trouble, whole,
};
use crate::{
    github::{
        RepositoryName, Service, answer_content_type,
        push::{Capabilities, CommandList, Prelude, PreludeReader},
        report,
        route::{Kind, Route},
    },
    policy::{DefaultBranch, Denial, PushDenial, PushPermit, RefChange, decide_push, depends_on_default},
    reason::Reason,
    respond::{self, Answer, Refusal},
    sessions::Turn,
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
    mut bytes: BytesMut,
    mut body: Asking,
) -> Result<Response<Body>, Refusal> {
    visit.asked.refs = list.updates.iter().map(|update| update.name.clone()).collect();
    visit.asked.tips = list.updates.iter().map(|update| [update.old.clone(), update.new.clone()]).collect();
    let behind = bytes.split_off(list.length).freeze();
    let begins = if list.has_pack() { true } else { behind.is_empty() && ends(&mut body).await };
    let judged = if begins {
        judge(visit, repository, &list, headers, &behind, &mut body).await
    } else {
        Err(Refusal::new(Reason::BadRequest, SURPLUS).into())
    };
    let Judged { permit, changes, default, turn, kept } = match judged {
        Ok(judged) => judged,
        Err(not_pushed) => {
            // On record before the rest of the upload is read: that may take as long as its sender likes.
            let answer = answer_refused(visit, &list, not_pushed);
            drain(body).await;
            return answer;
        }
    };
    let errand = Errand::push(permit, headers);
    let (upload, rest, spent) = match kept {
        Some(spool) => Upload::kept(list.to_bytes().into(), spool, &visit.traffic),
        None => Upload::new([&*list.to_bytes(), &behind].concat().into(), body, &visit.traffic),
    };
    let mut spent = Box::pin(spent.refusal());
    let standing = |visit: &Visit<'_>| visit.standing_push(repository, &changes, &default);
    let answer = tokio::select! {
        biased;
        refusal = standing(visit).withdrawn() => Err(Trouble::from(refusal)),
        refusal = &mut spent => Err(Trouble::from(refusal)),
        answer = errand.run(visit, upload) => answer,
    };
    match answer {
        Ok(answer) => {
            let standing = standing(visit);
            Ok(answer.map(|body| visit.download(body, standing, spent).during(turn).after(rest).boxed_unsync()))
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

/// A push that may go on.
struct Judged {
    permit: PushPermit,
    /// At worst, as far as it is not known better.
    changes: Vec<RefChange>,
    /// As it was known.
    default: DefaultBranch,
    /// Until its answer is over no other push of the session's changes these refs.
    turn: Turn,
    /// The pack, where all of it had to be read first.
    kept: Option<Spool>,
}

/// Decides once it is this push's turn, and records what is allowed.
async fn judge(
    visit: &Visit<'_>,
    repository: &RepositoryName,
    list: &CommandList,
    headers: &HeaderMap,
    behind: &Bytes,
    body: &mut Asking,
) -> Result<Judged, NotPushed> {
    visit.gate.count_upstream(visit.subject).await?;
    let grant = &visit.subject.governing.grant;
    let changes: Vec<_> = list.updates.iter().map(RefChange::from).collect();
    let default = if depends_on_default(grant, repository, &changes) {
        default_branch::learn(visit, repository, list.capabilities.object_format(), headers).await?
    } else {
        DefaultBranch::Unknown
    };
    let permit = decide_push(grant, repository, &changes, &default)?;
    let taking = visit.subject.session.turns().take(repository, &visit.asked.refs);
    let turn = timeout(FOR_A_TURN, taking).await.map_err(|_| busy(ANOTHER_PUSH))?;
    let at_worst = |change: RefChange| if permit.verifies(&change.name) { change } else { change.at_worst() };
    let changes: Vec<_> = changes.into_iter().map(at_worst).collect();
    let on_disk = grant.find(repository).is_some_and(|granted| granted.upstream_path.is_some());
    // The git of this machine verifies that itself.
    let (permit, kept) = if permit.to_verify().is_empty() || on_disk {
        (permit, None)
    } else {
        let standing = visit.standing_push(repository, &changes, &default);
        let (permit, spool) = tokio::select! {
            biased;
            refusal = standing.withdrawn() => return Err(refusal.into()),
            proved = ancestry::prove(visit, repository, list, headers, permit, behind, body) => proved?,
        };
        (permit, Some(spool))
    };
    visit.gate.record_leave(visit.subject, visit.asked)?;
    Ok(Judged { permit, changes, default, turn, kept })
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_after: Some(FOR_A_TURN), ..Refusal::new(Reason::TooManyConnections, text) }
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
            let unsent = trouble::unsent(&refusal).filter(|_| visit.traffic.up() == 0);
            let is_unsent = unsent.is_some();
            let words = unsent.unwrap_or_else(|| {
                let mut words = format!("{}: not attempted", refusal.reason());
                if let Some(status) = refusal.status {
                    let _ = write!(words, ", the upstream answered {}", status.as_u16());
                }
                words
            });
            let refs = list.updates.iter().map(|update| (update.name.clone(), words.clone())).collect();
            (if is_unsent { trouble::of_push(refusal, list.has_pack()) } else { refusal }, refs)
        }
    };
    let refs = refs.iter().map(|(name, words)| (name, words.as_str()));
    match report::refusal(&list.capabilities, refs, &respond::advice(&refusal, visit.gate.owner)) {
        Some(body) => Ok(whole(refuse(visit, refusal, body))),
        None => Err(refusal),
    }
}

fn answer_unknown(visit: &Visit<'_>, list: &CommandList, refusal: Refusal) -> Answer {
    let text = format!("{} Whether the push took effect is not known: ask with git ls-remote before pushing again.", refusal.denial.detail);
    let body = report::interrupted(&list.capabilities, &text).unwrap_or_default();
    visit.gate.refuse_begun(visit.subject, visit.asked, &visit.traffic, refusal, RESULT, body)
}

fn refuse(visit: &Visit<'_>, refusal: Refusal, body: Vec<u8>) -> Answer {
    visit.gate.refuse_natively(visit.subject, visit.asked, refusal, RESULT, body)
}

const RESULT: &str = answer_content_type(Kind::Rpc(Service::ReceivePack));

const SURPLUS: &str = "The push only deletes, and something follows its list of commands.";

/// Longest that a push waits for another one of its session to the same ref.
const FOR_A_TURN: Duration = Duration::from_secs(20);

const ANOTHER_PUSH: &str = "Another push of this session to the same ref is still under way; push again once it is over.";

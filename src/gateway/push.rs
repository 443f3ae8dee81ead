//! A push: its list of commands is read and judged as a whole before a byte of it goes up, and refused as git refuses one.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::time::{Duration, timeout};

use super::{
    Visit,
    body::{Asking, Body, Upload, drain},
    check_body, default_branch,
    errand::said,
    keeping::{Keeping, boxed_shelf},
    progress, publicly,
    pushing::{NotPushed, Pushing, Terms, answer_refused, looking, refuse},
    whole,
};
use crate::{
    github::{
        ContentEncoding, RepositoryName, Service,
        push::{Capabilities, CommandList, Prelude, PreludeReader},
        report,
        route::{Kind, Route},
    },
    pack::PackReader,
    policy::{DefaultBranch, PushPermit, RefChange, decide_push, depends_on_default},
    reason::Reason,
    respond::Refusal,
    upstream::BodyFault,
};

/// Answers `POST git-receive-pack`.
pub(super) async fn serve(visit: &mut Visit<'_>, route: &Route, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let checked = check_body(Service::ReceivePack, &request);
    let (headers, mut body) = (request.headers().clone(), request.into_body());
    let read = match checked {
        Ok(encoding) => {
            // What was not read was not judged, and what is sent on is what was judged.
            body = if encoding == ContentEncoding::Gzip { body.without_gzip() } else { body };
            read_prelude(&mut body).await
        }
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
    said(Kind::Rpc(Service::ReceivePack), http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync())
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
    let Judged { permit, terms, kept } = match judged {
        Ok(judged) => judged,
        Err(not_pushed) => {
            // On record before the rest of the upload is read: that may take as long as its sender likes.
            let answer = answer_refused(visit, &list, not_pushed);
            drain(body).await;
            return answer;
        }
    };
    let pushing = Pushing { repository: repository.clone(), headers: headers.clone(), list, terms };
    match kept {
        None => {
            let upload = Upload::new([&*pushing.list.to_bytes(), &behind].concat().into(), body, &visit.traffic);
            pushing.send(visit, permit, upload).await
        }
        Some(kept) => {
            let (capabilities, stay) = (pushing.list.capabilities.clone(), visit.stay());
            progress::keep_waiting(&capabilities, pushing.conclude(stay, permit, kept)).await
        }
    }
}

/// A push that may go on, but for what has to be looked through.
struct Judged {
    permit: PushPermit,
    terms: Terms,
    /// The pack, where it has to be looked through first.
    kept: Option<Keeping>,
}

/// Decides once it is this push's turn. Keeps the pack where it has to be looked through; otherwise records what is allowed.
async fn judge(
    visit: &mut Visit<'_>,
    repository: &RepositoryName,
    list: &CommandList,
    headers: &HeaderMap,
    behind: &Bytes,
    body: &mut Asking,
) -> Result<Judged, NotPushed> {
    if visit.brought.is_some() {
        return Err(Refusal::new(Reason::CredentialNotAllowed, publicly::READS_ALONE).into());
    }
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
    let is_to_prove = !permit.to_verify().is_empty() && !on_disk;
    let kept = if permit.to_examine().is_some() || is_to_prove {
        let standing = visit.standing_push(repository, &changes, &default);
        let kept = tokio::select! {
            biased;
            refusal = standing.withdrawn() => return Err(refusal.into()),
            kept = keep(visit, list, &permit, behind, body) => kept?,
        };
        Some(kept)
    } else {
        visit.record_leave(repository, false)?;
        None
    };
    Ok(Judged { permit, terms: Terms { is_to_prove, changes, default, turn }, kept })
}

/// Keeps a pack, and reads of it what is to be judged.
async fn keep(visit: &Visit<'_>, list: &CommandList, permit: &PushPermit, behind: &Bytes, body: &mut Asking) -> Result<Keeping, Refusal> {
    let format = list.capabilities.object_format();
    let (reader, most) = match permit.to_examine() {
        Some(rules) => (PackReader::examining(format, looking(visit, rules)?, boxed_shelf(visit)?), MAX_EXAMINED),
        None => (PackReader::new(format), MAX_PROVED),
    };
    Keeping::of_push(visit, reader, most)?.gather(behind, body).await
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_after: Some(FOR_A_TURN), ..Refusal::new(Reason::TooManyConnections, text) }
}

const SURPLUS: &str = "The push only deletes, and something follows its list of commands.";

/// Longest that a push waits for another one of its session to the same ref.
const FOR_A_TURN: Duration = Duration::from_secs(20);

/// Largest pack that is kept until its commits were walked through.
const MAX_PROVED: u64 = 512 << 20;
/// The same where all that it holds is looked through: GitHub takes no larger one.
const MAX_EXAMINED: u64 = 2 << 30;

const ANOTHER_PUSH: &str = "Another push of this session to the same ref is still under way; push again once it is over.";

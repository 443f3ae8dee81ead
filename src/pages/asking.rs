//! A sandbox asks its owner for more. Nothing is asked that the owner could not grant, or that is granted already.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Visit, json_page, request_to_json, text};
use crate::{
    github::Service,
    policy::{
        ChangeKind, DefaultBranch, Denial, Question, RefChange, Way,
        asking::{Asking, HostWish, RepositoryWish, Wish},
        decide_push, decide_repository,
        grant::Grant,
    },
    reason::Reason,
    respond::{Answer, Owner, Refusal},
    sessions::{AskError, ChangeError, State, TooMuch},
};

/// Answers with the state of the request: one that was made now, or one that asked for the same before.
pub(super) fn answer(visit: &Visit<'_>, body: &[u8]) -> Result<Answer, Refusal> {
    let mut asking = match Asking::parse(body) {
        Ok(asking) => asking,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, format!("This cannot be asked for: {error}.\n{EXAMPLES}"))),
    };
    if visit.session.is_child() {
        let detail = "A token that may do less is granted no more; ask with the session's own.";
        return Ok(json_page(StatusCode::NOT_FOUND, &json!({ "state": "refused", "detail": detail })));
    }
    if visit.owner != Owner::Listening {
        return Ok(json_page(StatusCode::NOT_FOUND, &json!({ "state": "refused", "detail": nobody(visit.owner, &asking.wish) })));
    }
    let judged = match &mut asking.wish {
        Wish::Host(wish) => judge_host(visit, wish),
        Wish::Repository(wish) => judge_repository(visit, wish),
    };
    match judged {
        Asked::Allowed => return Ok(json_page(StatusCode::OK, &json!({ "state": "allowed", "wish": asking.wish }))),
        Asked::Vain(why) => return Ok(json_page(StatusCode::CONFLICT, &refused(&why))),
        Asked::Open => {}
    }
    (visit.record)(&asking.wish)?;
    let request = visit.sessions.ask(visit.session, asking, visit.now).map_err(|error| refuse(&error))?;
    let status = if request.state == State::Pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(json_page(status, &request_to_json(visit, &request)))
}

/// What a wish is worth.
enum Asked {
    /// The owner can grant it.
    Open,
    /// It is granted.
    Allowed,
    /// It would be refused even if it were granted.
    Vain(Box<Denial>),
}

fn judge_host(visit: &Visit<'_>, wish: &HostWish) -> Asked {
    let destination = wish.destination();
    let judge = |policy| Question::parse(&destination.to_string(), None).and_then(|question| question.decide(policy, visit.now));
    if let Some(judged) = visit.forge_hosts.decide(destination, Way::Connect) {
        let detail = format!("{destination} is a GitHub's, of which repositories are granted and not the host: ask for a repository.");
        return judged
            .map_or_else(Asked::Vain, |_| Asked::Vain(Box::new(Denial::new(Reason::RepositoryNotGranted, detail).of(destination))));
    }
    let policy = &visit.governing.policy;
    if judge(policy).is_ok_and(|approval| approval.would_deny.is_none()) {
        return Asked::Allowed;
    }
    match judge(&policy.granting(visit.governing.requests.hosts().chain([wish]))) {
        Ok(_) => Asked::Open,
        Err(denial) => Asked::Vain(denial),
    }
}

fn judge_repository(visit: &Visit<'_>, wish: &mut RepositoryWish) -> Asked {
    let grant = &visit.governing.grant;
    match visit.forge_hosts.find_repository(wish.repository.clone()) {
        Ok(located) => wish.repository = located,
        Err(denial) => return Asked::Vain(denial),
    }
    if decide_wish(grant, wish).is_ok() {
        return Asked::Allowed;
    }
    let is_on_disk = grant.find(&wish.repository).is_some_and(|granted| granted.upstream_path.is_some());
    if visit.forge_hosts.first().is_none() && !is_on_disk {
        let detail = format!("This proxy knows of no GitHub that could have {}.", wish.repository);
        return Asked::Vain(Box::new(Denial::new(Reason::RepositoryNotGranted, detail)));
    }
    let granted = grant.granting(wish).map_err(|error| {
        let detail = format!("The grant of this session cannot hold this too: {error}.");
        Box::new(Denial::new(Reason::RepositoryNotGranted, detail))
    });
    match granted.and_then(|granted| decide_wish(&granted, wish)) {
        Ok(()) => Asked::Open,
        Err(denial) => Asked::Vain(denial),
    }
}

/// Whether a grant gives what is wished: to read, or that the ref can be pushed in some way.
fn decide_wish(grant: &Grant, wish: &RepositoryWish) -> Result<(), Box<Denial>> {
    let RepositoryWish { repository, reference } = wish;
    let Some(name) = reference else {
        return decide_repository(grant, repository, Service::UploadPack, false).map(drop);
    };
    let decide = |kind| {
        let change = RefChange { name: name.clone(), kind };
        decide_push(grant, repository, &[change], &DefaultBranch::Unknown).map(drop)
    };
    decide(ChangeKind::Create).or_else(|_| decide(ChangeKind::Update)).map_err(|denial| Box::new(Denial::from(&*denial)))
}

fn refused(denial: &Denial) -> Value {
    json!({ "state": "refused", "reason": denial.reason.as_str(), "detail": denial.detail })
}

fn refuse(error: &AskError) -> Refusal {
    let (reason, wait) = match error {
        AskError::TooMuch(TooMuch::Hourly(wait)) => (Reason::RateLimited, Some(*wait)),
        AskError::TooMuch(TooMuch::Open) | AskError::Crowded => (Reason::RateLimited, Some(OWNER)),
        AskError::Change(ChangeError::Ended(reason)) => (*reason, None),
        AskError::Change(error) => {
            tracing::error!(%error, "what a sandbox asks for cannot be kept");
            return Refusal::new(Reason::Internal, "The request could not be kept; the operator finds the cause in Tidegate's log.");
        }
    };
    Refusal { retry_after: wait, ..Refusal::new(reason, format!("The owner was not asked: {error}.")) }
}

/// What to say where nobody can be asked: what is to be written instead, by whom.
fn nobody(owner: Owner, wish: &Wish) -> String {
    match (owner, wish) {
        (Owner::Starting, Wish::Host(host)) => {
            format!("Nobody can be asked while this runs. Whoever runs it says so at its start: tidegate run --allow {}", host.entry())
        }
        (Owner::Starting, Wish::Repository(RepositoryWish { repository, reference })) => {
            let branch = reference.as_ref().and_then(|name| name.as_str().strip_prefix("refs/heads/"));
            let branch = branch.map(|branch| format!(":{branch}")).unwrap_or_default();
            format!("Nobody can be asked while this runs. Whoever runs it says so at its start: tidegate run --repo {repository}{branch}")
        }
        (_, Wish::Host(host)) => {
            format!("Nobody can be asked here. The operator of this proxy adds to the policy: allow = [\"{}\"]", host.entry())
        }
        (_, Wish::Repository(RepositoryWish { repository, .. })) => {
            format!(
                "Nobody can be asked here. The operator of this proxy grants {repository} in a [[session.repository]] of the configuration."
            )
        }
    }
}

/// After which it is worth asking whether the owner has answered.
const OWNER: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Send {\"host\": \"example.com\", \"why\": \"…\"}; a port may stand behind the host.
Or {\"repository\": \"octo/spoon\", \"access\": \"read\", \"why\": \"…\"},
or {\"repository\": \"octo/spoon\", \"access\": \"write\", \"ref\": \"refs/heads/fix-1\", \"why\": \"…\"}.
";

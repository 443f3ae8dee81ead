//! Whether something would pass, by the decisions that it would meet.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Visit, calls, json_page, text};
use crate::{
    github::{
        RepositoryName, Service,
        push::RefName,
        route::{Route, Wanted},
    },
    policy::{
        Approval, ChangeKind, Denial, ForgePermit, LfsAct, Question, RefChange, RequestFacts, Way, decide_lfs, decide_repository,
        depends_on_default, foresee_push,
    },
    reason::{Reason, Verdict},
    respond::{Answer, Owner},
};

/// Of a request, `{"target": "https://host/path", "method": "GET"}`, of a call of GitHub's API with its `body`; of git, `{"repository": "octo/spoon", "service": "push", "ref":
/// "refs/heads/x", "change": "create"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    target: Option<String>,
    method: Option<String>,
    body: Option<Value>,
    repository: Option<String>,
    service: Option<GitService>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    change: Option<Change>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GitService {
    Fetch,
    Push,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Create,
    Update,
    Force,
    Delete,
}

impl From<Change> for ChangeKind {
    fn from(change: Change) -> Self {
        match change {
            Change::Create => Self::Create,
            Change::Update => Self::Update,
            Change::Force => Self::Force,
            Change::Delete => Self::Delete,
        }
    }
}

/// What a sandbox wants to know.
enum Asked {
    Request {
        target: String,
        method: Option<String>,
        body: Option<Value>,
    },
    Fetch(RepositoryName),
    /// None: whether any push would be looked at.
    Push(RepositoryName, Option<RefChange>),
}

pub(super) fn answer(visit: &Visit<'_>, body: &[u8]) -> Answer {
    let decided = match read(body) {
        Ok(Asked::Request { target, method, body }) => of_request(visit, &target, method.as_deref(), body.as_ref()),
        Ok(Asked::Fetch(repository)) => of_service(visit, repository, Service::UploadPack),
        Ok(Asked::Push(repository, None)) => of_service(visit, repository, Service::ReceivePack),
        Ok(Asked::Push(repository, Some(change))) => of_change(visit, repository, change),
        Err(why) => return text(StatusCode::BAD_REQUEST, format!("This cannot be asked: {why}.\n{EXAMPLES}")),
    };
    json_page(StatusCode::OK, &decided.unwrap_or_else(|denial| refused(visit, &denial)))
}

fn read(body: &[u8]) -> Result<Asked, String> {
    // serde would read an array as the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("it is no JSON object".to_owned());
    }
    let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match written {
        Written { target: Some(target), method, body, repository: None, service: None, reference: None, change: None } => {
            Ok(Asked::Request { target, method, body })
        }
        Written { target: None, method: None, body: None, repository: Some(repository), service, reference, change } => {
            let repository = RepositoryName::parse(&repository).map_err(|error| error.to_string())?;
            let name = reference.map(|name| RefName::parse(name.as_bytes())).transpose().map_err(|error| error.to_string())?;
            match (service, name, change) {
                (None | Some(GitService::Fetch), None, None) => Ok(Asked::Fetch(repository)),
                (Some(GitService::Push), None, None) => Ok(Asked::Push(repository, None)),
                (None | Some(GitService::Push), Some(name), change) => {
                    let kind = change.map_or(ChangeKind::Update, ChangeKind::from);
                    Ok(Asked::Push(repository, Some(RefChange { name, kind })))
                }
                (_, _, _) => Err("\"change\" is of a \"ref\", and \"ref\" of a push".to_owned()),
            }
        }
        _ => Err("write either \"target\" or \"repository\"".to_owned()),
    }
}

fn of_request(visit: &Visit<'_>, target: &str, method: Option<&str>, body: Option<&Value>) -> Result<Value, Box<Denial>> {
    let question = Question::parse(target, method)?;
    let approval = match (decide_file(visit, &question), visit.forge_hosts.decide(&question.destination, question.way)) {
        (Some(judged), _) => judged?,
        (None, Some(judged)) => match decide_forge(visit, &judged?, &question)? {
            Some(call) => return calls::decide(visit, &call, body),
            None => Approval { rule: None, would_deny: None },
        },
        (None, None) => question.decide(&visit.governing.policy, visit.now)?,
    };
    Ok(json!({
        "verdict": Verdict::Allow.as_str(),
        "rule": approval.rule.map(|rule| rule.to_string()),
        "would_deny": approval.would_deny.map(Reason::as_str),
    }))
}

/// What the gateway would say of a file; `None` where that is a policy's to judge, or no file is asked for.
fn decide_file(visit: &Visit<'_>, question: &Question) -> Option<Result<Approval, Box<Denial>>> {
    let route = visit.forge_hosts.find_file(&question.destination, &question.origin_form).filter(|_| question.way == Way::Connect)?;
    let method = question.method.as_deref()?;
    match visit.forge_hosts.decide_file(route, &question.destination, &visit.governing.grant, method) {
        Ok(_granted) => Some(Ok(Approval { rule: None, would_deny: None })),
        Err(denial) => {
            let is_policy_s = visit.forge_hosts.decide_files(&question.destination, question.way).is_some()
                && denial.reason == Reason::RepositoryNotGranted
                && question.decide(&visit.governing.policy, visit.now).is_ok();
            (!is_policy_s).then_some(Err(denial))
        }
    }
}

/// What the gateway would say, but of a call of an API, which is judged apart.
fn decide_forge<'q>(visit: &Visit<'_>, permit: &'q ForgePermit, question: &'q Question) -> Result<Option<calls::Asked<'q>>, Box<Denial>> {
    let Some(method) = &question.method else { return Ok(None) };
    let facts = RequestFacts { method, host: None, target: None, origin_form: &question.origin_form, body_length: None };
    let grant = &visit.governing.grant;
    let public_read = |repository| visit.forge_hosts.public_read(repository);
    match permit.decide_request(&facts)? {
        Wanted::Git(Route { repository, kind }) => {
            let _granted = decide_repository(grant, &repository, kind.service(), public_read(&repository))?;
        }
        Wanted::Lfs(repository, call) => {
            let _granted = decide_lfs(grant, &repository, &LfsAct::at_least(call), public_read(&repository))?;
        }
        Wanted::Object(_) => {}
        Wanted::Api(entrance) => return Ok(Some(calls::Asked { forge: permit.forge(), entrance, method })),
    }
    Ok(None)
}

fn of_service(visit: &Visit<'_>, repository: RepositoryName, service: Service) -> Result<Value, Box<Denial>> {
    let repository = &visit.forge_hosts.find_repository(repository)?;
    let permit = decide_repository(&visit.governing.grant, repository, service, visit.forge_hosts.public_read(repository))?;
    Ok(json!({ "verdict": Verdict::Allow.as_str(), "repository": repository.as_str(), "public": permit.is_public() }))
}

/// Nobody is asked for the repository's default branch, for which no pattern stands: that shows when the ref is pushed.
fn of_change(visit: &Visit<'_>, repository: RepositoryName, change: RefChange) -> Result<Value, Box<Denial>> {
    let repository = &visit.forge_hosts.find_repository(repository)?;
    let (grant, changes) = (&visit.governing.grant, &[change]);
    let depends = depends_on_default(grant, repository, changes);
    let foreseen = foresee_push(grant, repository, changes).map_err(|denial| Box::new(Denial::from(&*denial)))?;
    let conditions = [
        (!foreseen.to_verify().is_empty()).then_some("the ref loses no commit, which has to show when it is pushed"),
        depends.then_some("it is not the repository's default branch, which is asked for when it is pushed"),
    ];
    Ok(json!({
        "verdict": Verdict::Allow.as_str(),
        "repository": repository.as_str(),
        "rule": foreseen.entries().first(),
        "conditions": conditions.into_iter().flatten().collect::<Vec<_>>(),
    }))
}

fn refused(visit: &Visit<'_>, denial: &Denial) -> Value {
    json!({
        "verdict": Verdict::Deny.as_str(),
        "reason": denial.reason.as_str(),
        "rule": denial.rule.as_ref().map(ToString::to_string),
        "allow_with": denial.allow_with,
        "detail": denial.detail,
        // Whether asking the owner can help.
        "may_ask": visit.owner == Owner::Listening && denial.may_be_asked_for(),
    })
}

const EXAMPLES: &str = "\
Send {\"target\": \"https://example.com/\", \"method\": \"GET\"}; the method may be left out, and a call of GitHub's API has a \"body\".
Or {\"repository\": \"octo/spoon\", \"service\": \"fetch\"},
or {\"repository\": \"octo/spoon\", \"service\": \"push\", \"ref\": \"refs/heads/x\", \"change\": \"create\"}; a change is create, update, force or delete.
";

//! What a sandbox may ask about itself: its session, its latest refusals, and whether something would pass.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    audit::rfc3339,
    authority::LocalAuthority,
    destination::Name,
    github::route::{Route, Wanted},
    policy::{Approval, Denial, ForgeHosts, ForgePermit, LfsAct, Question, RequestFacts, decide_lfs, decide_repository},
    reason::{Reason, Verdict},
    respond::Answer,
    sessions::{Governing, Session},
    shown,
};

/// Whose pages, and when.
pub(crate) struct Visit<'a> {
    pub(crate) session: &'a Session,
    pub(crate) governing: &'a Governing,
    /// Since when there are newer settings that cannot be used.
    pub(crate) kept_since: Option<SystemTime>,
    pub(crate) authority: &'a LocalAuthority,
    pub(crate) forge_hosts: &'a ForgeHosts,
    pub(crate) now: SystemTime,
}

/// Answers a request for one of this proxy's own pages; `path` may carry a query, which means nothing here.
pub(crate) fn serve(visit: &Visit<'_>, method: &str, path: &str, body: &[u8]) -> Answer {
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET" | "HEAD", "/") => text(StatusCode::OK, front(visit)),
        ("GET" | "HEAD", "/session") => json_page(StatusCode::OK, &session(visit)),
        ("GET" | "HEAD", "/refusals") => json_page(StatusCode::OK, &refusals(visit)),
        ("GET" | "HEAD", "/ca.pem") => authority(visit),
        ("POST", "/explain") => explain(visit, body),
        (_, "/" | "/session" | "/refusals" | "/ca.pem") => not_read_so(path, "GET, HEAD"),
        (_, "/explain") => not_read_so(path, "POST"),
        (_, "/request-access") => {
            text(StatusCode::NOT_FOUND, "this version takes no requests; show the owner what /refusals says would allow it\n".to_owned())
        }
        _ => text(StatusCode::NOT_FOUND, format!("there is no page {path}\n\n{INDEX}")),
    }
}

fn not_read_so(path: &str, methods: &str) -> Answer {
    text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is read with {methods}\n\n{INDEX}")).allowing(methods)
}

fn front(visit: &Visit<'_>) -> String {
    let policy = &visit.governing.policy;
    let kept = visit.kept_since.map(|since| {
        format!("The settings were changed, and could not be used at {}: those of this generation stay in force.\n\n", rfc3339(since))
    });
    let show = policy.show();
    let mut inside = Vec::new();
    // Writing into memory does not fail.
    let _ = shown::write_limits(&show.limits, &mut inside).and_then(|()| shown::write_inside(&show, &mut inside));
    format!(
        "This is Tidegate, the only way out of this sandbox.\n\nSession {}, policy {}, access {}, generation {}.\n\n{}{}\n{INDEX}",
        visit.session.id(),
        policy.name(),
        policy.access(),
        visit.governing.generation,
        kept.unwrap_or_default(),
        String::from_utf8_lossy(&inside)
    )
}

fn session(visit: &Visit<'_>) -> Value {
    let policy = &visit.governing.policy;
    let show = policy.show();
    json!({
        "session": visit.session.id().as_ref(),
        "expires": visit.governing.expires.map(rfc3339),
        "policy": policy.name(),
        "generation": visit.governing.generation,
        "reload_failed": visit.kept_since.map(rfc3339),
        "access": show.access.as_str(),
        "report": show.report,
        // Decided by the repositories alone, whatever the access level and the entries say.
        "github": visit.forge_hosts.first().map(Name::as_str),
        "repositories": visit.governing.grant.for_sandbox(),
        "entries": show.entries.iter().map(|entry| json!({
            "list": entry.list.as_str(),
            "entry": entry.rule.entry.as_ref(),
            "source": entry.rule.source.as_ref(),
            "line": entry.rule.line,
        })).collect::<Vec<_>>(),
        "limits": shown::limits_to_json(&show.limits),
        "intercepted": shown::intercepted(&show),
        "rules": shown::rules_to_json(&show),
        "credentials": shown::credentials_to_json(&show),
        "content": shown::content_to_json(&show),
    })
}

fn refusals(visit: &Visit<'_>) -> Value {
    visit
        .session
        .refusals()
        .into_iter()
        .map(|refusal| {
            json!({
                "time": rfc3339(refusal.time),
                "reason": refusal.reason.as_str(),
                "host": refusal.host.as_ref().map(ToString::to_string),
                "port": refusal.port,
                "method": refusal.method,
                "path": refusal.path,
                "rule": refusal.rule.as_ref().map(ToString::to_string),
                "allow_with": refusal.allow_with,
                "detail": refusal.detail,
            })
        })
        .collect()
}

/// The root to trust, by which intercepted hosts are served.
fn authority(visit: &Visit<'_>) -> Answer {
    match visit.authority.get(visit.now) {
        Ok(authority) => Answer::page(StatusCode::OK, "application/pem-certificate-chain", authority.pem()),
        Err(error) => {
            // The sandbox has no use for the paths of this machine.
            tracing::error!(%error, "/ca.pem cannot be shown");
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the certificate authority cannot be used; the owner finds the reason in the log\n".to_owned(),
            )
        }
    }
}

/// `{"target": "https://host/path", "method": "GET"}`, or the bare target.
fn explain(visit: &Visit<'_>, body: &[u8]) -> Answer {
    let Some((target, method)) = read_question(body) else {
        return text(
            StatusCode::BAD_REQUEST,
            "send {\"target\": \"https://example.com/\", \"method\": \"GET\"}; the method may be left out\n".to_owned(),
        );
    };
    let decided = Question::parse(&target, method.as_deref()).and_then(|question| decide(visit, &question));
    json_page(
        StatusCode::OK,
        &match decided {
            Ok(approval) => json!({
                "verdict": Verdict::Allow.as_str(),
                "rule": approval.rule.map(|rule| rule.to_string()),
                "would_deny": approval.would_deny.map(Reason::as_str),
            }),
            Err(denial) => json!({
                "verdict": Verdict::Deny.as_str(),
                "reason": denial.reason.as_str(),
                "rule": denial.rule.as_ref().map(ToString::to_string),
                "allow_with": denial.allow_with,
                "detail": denial.detail,
            }),
        },
    )
}

fn decide(visit: &Visit<'_>, question: &Question) -> Result<Approval, Box<Denial>> {
    match visit.forge_hosts.decide(&question.destination, question.way) {
        Some(judged) => decide_forge(visit, &judged?, question),
        None => question.decide(&visit.governing.policy, visit.now),
    }
}

/// What the gateway would say.
fn decide_forge(visit: &Visit<'_>, permit: &ForgePermit, question: &Question) -> Result<Approval, Box<Denial>> {
    if let Some(method) = &question.method {
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
        }
    }
    Ok(Approval { rule: None, would_deny: None })
}

fn read_question(body: &[u8]) -> Option<(String, Option<String>)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let target = value.get("target")?.as_str()?.to_owned();
    let method = match value.get("method") {
        None | Some(Value::Null) => None,
        Some(method) => Some(method.as_str()?.to_owned()),
    };
    Some((target, method))
}

fn text(status: StatusCode, body: String) -> Answer {
    Answer::page(status, "text/plain; charset=utf-8", body)
}

fn json_page(status: StatusCode, value: &Value) -> Answer {
    Answer::page(status, "application/json", format!("{value:#}\n"))
}

/// Largest body that a page reads, in octets.
pub(crate) const MAX_BODY: usize = 16 * 1024;

const INDEX: &str = "\
GET  /session   what this sandbox may do
GET  /refusals  the latest hundred refusals, each with what would allow it
GET  /ca.pem    the certificate authority to trust where TLS is intercepted
POST /explain   whether something would pass: {\"target\": \"https://example.com/\", \"method\": \"GET\"}

The same pages answer at http://tidegate.internal/ through the proxy.
";

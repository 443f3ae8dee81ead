//! What a sandbox may ask about itself: its session, its latest refusals, whether something would pass, and its owner for more.

mod calls;
mod explain;
mod asking;
mod narrowing;

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    audit::rfc3339,
    authority::LocalAuthority,
    destination::Name,
    policy::{ForgeHosts, asking::Wish},
    respond::{Answer, Owner, Refusal},
    sessions::{Governing, Request, Session, Sessions},
    shown,
};

/// Whose pages, and when.
pub(crate) struct Visit<'a> {
    pub(crate) session: &'a Arc<Session>,
    pub(crate) governing: &'a Governing,
    pub(crate) sessions: &'a Sessions,
    pub(crate) owner: Owner,
    /// Puts on record that the owner is asked for something.
    pub(crate) record: &'a (dyn Fn(&Wish) -> Result<(), Refusal> + Sync),
    /// The same for a token that may do less.
    pub(crate) record_narrowing: &'a (dyn Fn() -> Result<(), Refusal> + Sync),
    /// Where alone such a token is to hold; none where that is for whoever asks to say.
    pub(crate) from: Option<IpAddr>,
    /// Since when there are newer settings that cannot be used.
    pub(crate) kept_since: Option<SystemTime>,
    pub(crate) authority: &'a LocalAuthority,
    pub(crate) forge_hosts: &'a ForgeHosts,
    pub(crate) now: SystemTime,
}

/// Answers a request for one of this proxy's own pages; `path` may carry a query, which means nothing here.
///
/// # Errors
/// More was asked for than may be at once, or what is asked for cannot be recorded.
pub(crate) fn serve(visit: &Visit<'_>, method: &str, path: &str, body: &[u8]) -> Result<Answer, Refusal> {
    let path = path.split('?').next().unwrap_or_default();
    Ok(match (method, path) {
        ("GET" | "HEAD", "/") => text(StatusCode::OK, front(visit)),
        ("GET" | "HEAD", "/session") => json_page(StatusCode::OK, &session(visit)),
        ("GET" | "HEAD", "/refusals") => json_page(StatusCode::OK, &refusals(visit)),
        ("GET" | "HEAD", "/ca.pem") => authority(visit),
        ("POST", "/explain") => explain::answer(visit, body),
        ("POST", REQUEST_ACCESS) => return asking::answer(visit, body),
        ("POST", CHILD) => return narrowing::answer(visit, body),
        (_, "/" | "/session" | "/refusals" | "/ca.pem") => not_read_so(path, "GET, HEAD"),
        (_, "/explain" | REQUEST_ACCESS | CHILD) => not_read_so(path, "POST"),
        _ => text(StatusCode::NOT_FOUND, format!("there is no page {path}\n\n{}", index(visit))),
    })
}

fn index(visit: &Visit<'_>) -> String {
    let asking = if visit.owner == Owner::Listening { ASKING } else { "" };
    format!("{INDEX}{asking}{ELSEWHERE}")
}

fn not_read_so(path: &str, methods: &str) -> Answer {
    text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is read with {methods}\n")).allowing(methods)
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
        "This is Tidegate, the only way out of this sandbox.\n\nSession {}, policy {}, access {}, generation {}.\n\n{}{}\n{}",
        visit.session.id(),
        policy.name(),
        policy.access(),
        visit.governing.generation,
        kept.unwrap_or_default(),
        String::from_utf8_lossy(&inside),
        index(visit)
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
        "only": visit.governing.grant.purposes(),
        "asking": visit.owner == Owner::Listening && !visit.session.is_child(),
        "requests": visit.governing.requests.all().iter().map(|request| request_to_json(visit, request)).collect::<Vec<_>>(),
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

/// A request to the owner as the sandbox that made it sees it.
fn request_to_json(visit: &Visit<'_>, request: &Request) -> Value {
    json!({
        "id": format!("{}/{}", visit.session.id(), request.number),
        "state": request.state.as_str(),
        "wish": request.wish,
        "why": request.why,
        "asked": rfc3339(request.asked()),
        "decided": request.decided().map(rfc3339),
        "word": request.word,
    })
}

fn text(status: StatusCode, body: String) -> Answer {
    Answer::page(status, "text/plain; charset=utf-8", body)
}

fn json_page(status: StatusCode, value: &Value) -> Answer {
    Answer::page(status, "application/json", format!("{value:#}\n"))
}

/// Largest body that a page reads, in octets.
pub(crate) const MAX_BODY: usize = 16 * 1024;

/// Where a sandbox asks its owner.
pub(crate) const REQUEST_ACCESS: &str = "/request-access";
/// Where a sandbox asks for a token that may do less than it.
pub(crate) const CHILD: &str = "/session/child";

const INDEX: &str = "\
GET  /session   what this sandbox may do
GET  /refusals  the latest hundred refusals, each with what would allow it
GET  /ca.pem    the certificate authority to trust where TLS is intercepted
POST /explain   whether something would pass: {\"target\": \"https://example.com/\", \"method\": \"GET\"}, or
                {\"repository\": \"octo/spoon\", \"service\": \"push\", \"ref\": \"refs/heads/x\", \"change\": \"create\"}
POST /session/child  a token that may do less, for a helper of yours: {\"only\": [\"git\"], \"ttl\": \"30m\",
                \"repositories\": [{\"name\": \"octo/spoon\", \"access\": \"read\"}]}; each may be left out
";
const ASKING: &str = "\
POST /request-access  asks the owner for more: {\"host\": \"example.com\", \"why\": \"…\"}, or
                {\"repository\": \"octo/spoon\", \"access\": \"write\", \"ref\": \"refs/heads/x\", \"why\": \"…\"};
                what became of it stands in /session
";
const ELSEWHERE: &str = "\nThe same pages answer at http://tidegate.internal/ through the proxy.\n";

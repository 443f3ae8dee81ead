//! Calls that are answered here.

use std::time::SystemTime;

use http::{Response, StatusCode};

use super::{
    Desk, JSON,
    learning::{any, ask},
    unix,
};
use crate::{
    gateway::{Visit, body::Body, whole},
    github::{
        api::local::{self, Account, Hour, read_version},
        hosts::is_own_server,
    },
    policy::api::Local,
    respond::{Answer, Refusal},
};

/// The answer, written down like any other.
pub(super) async fn answer(visit: &Visit<'_>, desk: &Desk<'_>, what: Local) -> Result<Response<Body>, Refusal> {
    visit.gate.record_leave(visit.subject, visit.asked)?;
    let written = match what {
        Local::Root => local::root(&desk.here),
        Local::User => local::user(account(visit, desk).await.as_ref(), visit.subject.session.id(), &desk.here, &desk.forge.host),
        Local::RateLimit => local::rate_limit(hour(visit)),
        Local::Meta => local::meta(version(visit, desk).await.as_deref()),
    };
    Ok(whole(Answer::page(StatusCode::OK, JSON, written)))
}

/// Whom the owner's credential acts for; an App's acts for nobody, and a GitHub that does not answer tells of nobody.
async fn account(visit: &Visit<'_>, desk: &Desk<'_>) -> Option<Account> {
    let repository = any(visit, desk)?;
    let (status, body) = ask(visit, desk, "/user".to_owned(), Some(repository)).await.ok()?;
    Account::read(&body).filter(|_| status == 200)
}

/// Of a server of somebody's own.
async fn version(visit: &Visit<'_>, desk: &Desk<'_>) -> Option<Box<str>> {
    let repository = any(visit, desk).filter(|_| is_own_server(&desk.forge.host))?;
    let (status, body) = ask(visit, desk, "/meta".to_owned(), Some(repository)).await.ok()?;
    read_version(&body).filter(|_| status == 200)
}

fn hour(visit: &Visit<'_>) -> Hour {
    let used = visit.subject.session.limits().api_used();
    let now: SystemTime = (visit.gate.clock)();
    Hour { limit: used.most, used: used.taken, reset: unix(now + used.left) }
}

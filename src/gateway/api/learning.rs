//! What has to be known before a call can be judged, asked of its GitHub by the owner's credential.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::timeout;

use super::{
    Desk,
    asking::{self, Errand},
};
use crate::{
    gateway::{
        Visit,
        body::{Upload, collect},
        errand::upstream,
    },
    github::{
        RepositoryName,
        api::{Answer, MAX_ANSWER, Question, waiting},
    },
    policy::grant::Access,
    reason::Reason,
    respond::Refusal,
};

/// The answer to a question, which counts as a call of the session's.
pub(super) async fn learn(visit: &Visit<'_>, desk: &Desk<'_>, question: &Question) -> Result<Answer, Refusal> {
    let at = match question.repository() {
        Some(repository) => visit.locate(desk.forge, repository).await?.path().to_owned(),
        None => String::new(),
    };
    let repository = question.repository().or_else(|| any(visit, desk));
    let (status, body) = ask(visit, desk, question.path(&at), repository).await?;
    Answer::read(question, status, &body).ok_or_else(|| {
        let text = format!("{} answered {status} when it was asked for what the call depends on.", upstream(visit));
        Refusal::new(Reason::UpstreamClosed, text)
    })
}

/// Status and body of the answer to a GET of ours.
pub(super) async fn ask(
    visit: &Visit<'_>,
    desk: &Desk<'_>,
    target: String,
    repository: Option<&RepositoryName>,
) -> Result<(u16, bytes::Bytes), Refusal> {
    let endpoint = desk.forge.api.as_ref().ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, super::NO_API))?;
    visit.gate.within(visit.subject.session.limits().api_call())?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("tidegate"));
    let credential = repository.map(|repository| (repository, Access::Read));
    let errand = Errand { endpoint, method: Method::GET, target, headers, credential };
    let asking = async {
        let own = Arc::new(visit.gate.traffic(visit.subject));
        let mut answered = asking::ask(visit, desk, &errand, Upload::none(&own)).await?;
        if answered.is_renewed {
            answered = asking::ask(visit, desk, &errand, Upload::none(&own)).await?;
        }
        let (head, body) = answered.response.into_parts();
        desk.heed(visit, waiting::wanted(head.status.as_u16(), &head.headers, (visit.gate.clock)()));
        let body = collect(body, MAX_ANSWER)
            .await
            .map_err(|why| Refusal::new(Reason::UpstreamClosed, format!("{} gave an answer that is not used: {why}.", upstream(visit))))?;
        Ok((head.status.as_u16(), body))
    };
    timeout(PATIENCE, asking).await.map_err(|_| Refusal::new(Reason::UpstreamTimeout, LATE))?
}

/// A granted repository at the same GitHub: its credential serves for what is about none.
pub(super) fn any<'v>(visit: &'v Visit<'_>, desk: &Desk<'_>) -> Option<&'v RepositoryName> {
    let granted = visit.subject.governing.grant.repositories().iter();
    granted.map(|granted| &granted.name).find(|name| name.host() == desk.host)
}

/// For one question, while the call waits.
const PATIENCE: Duration = Duration::from_secs(20);
const LATE: &str = "GitHub did not tell in time what the call depends on; it was not made, and can be made again.";

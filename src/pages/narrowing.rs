//! A sandbox asks for a token that may do less than it, for a helper of its own.

use http::StatusCode;
use serde_json::json;

use super::{Visit, json_page, text};
use crate::{
    audit::rfc3339,
    policy::{Denial, narrowing::Narrowing},
    respond::{Answer, Refusal},
    sessions::{ChangeError, spelled},
};

/// Answers with the token, once it is on record that it was asked for; a wish for more than the sandbox has is answered with what it is refused for.
pub(super) fn answer(visit: &Visit<'_>, body: &[u8]) -> Result<Answer, Refusal> {
    let wish = match Narrowing::parse(body).and_then(|wish| wish.located(visit.forge_hosts)) {
        Ok(wish) => wish,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, format!("This is no token to be asked for: {error}.\n{EXAMPLE}"))),
    };
    let wish = Narrowing { from: wish.from.or(visit.from), ..wish };
    (visit.record_narrowing)()?;
    match visit.sessions.narrow(visit.session, wish, visit.now) {
        Ok((child, token)) => {
            let governing = child.governing();
            let page = json!({
                "session": child.id().as_ref(),
                "token": spelled(&token),
                "expires": governing.expires.map(rfc3339),
                "only": governing.grant.purposes(),
                "repositories": governing.grant.for_sandbox(),
            });
            Ok(json_page(StatusCode::CREATED, &page))
        }
        Err(ChangeError::Wider(denial)) => Ok(wider(&denial)),
        Err(ChangeError::Ended(reason)) => Err(Refusal::new(reason, "The session is over.")),
        Err(error @ (ChangeError::TooManyChildren | ChangeError::Unasked | ChangeError::NoState)) => {
            Ok(json_page(StatusCode::CONFLICT, &json!({ "detail": format!("There is no such token to be had: {error}.") })))
        }
        Err(error) => {
            tracing::error!(%error, "a token that a sandbox asks for cannot be made");
            Ok(json_page(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "detail": "The token could not be made; the operator finds the cause in Tidegate's log." }),
            ))
        }
    }
}

fn wider(denial: &Denial) -> Answer {
    json_page(StatusCode::FORBIDDEN, &json!({ "reason": denial.reason.as_str(), "detail": denial.detail }))
}

const EXAMPLE: &str = "\
Send {\"only\": [\"git\"], \"ttl\": \"30m\", \"repositories\": [{\"name\": \"octo/spoon\", \"access\": \"write\", \"push\": [\"refs/heads/fix-1\"]}]}.
Each key may be left out; \"only\" names egress, git and api. Nothing in it may be more than this sandbox has.
";

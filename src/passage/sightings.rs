//! Tokens of GitHub's in what a sandbox sends, to whom and by whichever door: each is on record, whatever becomes of the request.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use http_body::Body;

use super::{Asked, Gate, Subject};
use crate::{
    audit::Sighting,
    policy::SecretRule,
    reason::Reason,
    respond::Refusal,
    upstream::BodyFault,
    wire::{
        authorization,
        secrets::{Found, Lookout, shows_github_token},
    },
};

impl Asked {
    /// Looks at the head of a request.
    pub(crate) fn look_at(&mut self, method: &str, target: &Uri, fields: &HeaderMap) {
        let parts = [target.authority().map(http::uri::Authority::as_str), target.path_and_query().map(http::uri::PathAndQuery::as_str)];
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.look(method, parts.into_iter().flatten(), fields);
    }

    /// Looks at what a head is made of.
    pub(crate) fn look<'h>(
        &mut self,
        method: &str,
        mut target: impl Iterator<Item = &'h str>,
        mut fields: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) {
        self.github_token = if Lookout::finds(method.as_bytes()) {
            Some(Sighting::Method)
        } else if target.any(|part| if part.contains('%') { shows_github_token(part.as_bytes()) } else { Lookout::finds(part.as_bytes()) })
        {
            Some(Sighting::Target)
        } else if fields.any(|(name, value)| Lookout::finds(name.as_bytes()) || is_shown(name, value)) {
            Some(Sighting::Header)
        } else {
            None
        };
    }

    /// A refusal in words that fit: who shows a token of GitHub's in place of a session's is told that it is none.
    pub(crate) fn explain(&self, mut refusal: Refusal) -> Refusal {
        if refusal.reason() == Reason::SessionUnknown && self.github_token == Some(Sighting::Header) {
            refusal.denial.detail.push_str(IN_PLACE);
        }
        refusal
    }
}

fn is_shown(name: &str, value: &[u8]) -> bool {
    if CREDENTIALS.contains(&name) { authorization::shows_github_token(value) } else { Lookout::finds(value) }
}

/// Looks out for a token in the body of a request while it flows, and has the first one on record.
pub(crate) struct BodyLookout {
    lookout: Lookout,
    gate: Arc<Gate>,
    subject: Subject,
    asked: Asked,
    /// By what it may not pass; none where it is recorded alone.
    rule: Option<SecretRule>,
}

impl BodyLookout {
    /// Of a request whose body nobody looks into otherwise; none where there is no body, or a token was seen in the head already.
    pub(crate) fn new<B: Body>(gate: &Arc<Gate>, subject: &Subject, asked: &Asked, rule: Option<SecretRule>, body: &B) -> Option<Self> {
        if body.is_end_stream() || rule.is_none() && asked.github_token.is_some() {
            return None;
        }
        let asked = Asked { github_token: Some(Sighting::Body), ..asked.clone() };
        Some(Self { lookout: Lookout::default(), gate: Arc::clone(gate), subject: subject.clone(), asked, rule })
    }

    /// Looks at the next octets. Whether it goes on looking.
    ///
    /// # Errors
    /// They complete a token that may not leave.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<bool, BodyFault> {
        if !self.lookout.push(data) {
            return Ok(true);
        }
        let Self { gate, subject, asked, rule, .. } = self;
        if let Some(rule) = rule.as_ref().filter(|rule| !rule.reports()) {
            let denial = rule.found(Found::Shaped(TOKEN), "the body");
            return Err(BodyFault { reason: denial.reason, detail: denial.detail });
        }
        // It is seen and not decided on: a record that is lost is counted by the audit itself.
        let _ = gate.record(Some(subject), asked.record());
        Ok(false)
    }
}

const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];
const IN_PLACE: &str = " What was shown holds a GitHub token, which no sandbox needs: show the session's token in its place.";
const TOKEN: &str = "a GitHub token";

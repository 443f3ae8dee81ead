//! Secrets that a request may not carry out (`[content] refuse_secrets`).

use http::HeaderMap;

use super::{Asked, Gate};
use crate::{
    policy::{Denial, SecretRule},
    reason::Reason,
    respond::Refusal,
    wire::secrets::Scan,
};

/// A request that is looked through as it leaves.
pub(super) struct Search {
    rule: SecretRule,
    /// Over the body; ended once something was found that is only reported.
    body: Option<Scan>,
}

impl Search {
    /// Looks through what the sandbox wrote of a head: path, query and fields, before anything real is put in.
    ///
    /// # Errors
    /// [`Reason::SecretInRequest`]; [`Reason::PolicyUnavailable`] where it cannot be looked for.
    pub(super) fn of(gate: &Gate, rule: &SecretRule, asked: &mut Asked, origin_form: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        let known = gate.known_secrets().map_err(|_| Refusal::new(Reason::PolicyUnavailable, TOO_MANY))?;
        let in_target = known.find(origin_form.as_bytes()).map(|found| rule.found(found, "the request-target"));
        let in_fields = || {
            headers.iter().find_map(|(name, value)| {
                let found = known.find(value.as_bytes()).or_else(|| known.find(name.as_str().as_bytes()))?;
                Some(rule.found(found, &format!("the header {name}")))
            })
        };
        if let Some(denial) = in_target.or_else(in_fields) {
            if !rule.reports() {
                return Err(denial.into());
            }
            asked.would_deny = asked.would_deny.or(Some(denial.reason));
        }
        Ok(Self { rule: rule.clone(), body: Some(Scan::new(&known)) })
    }

    /// Looks through the next octets of the body.
    ///
    /// # Errors
    /// The refusal of the body, which these octets would complete a secret in: they may not pass.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), Box<Denial>> {
        let Some(found) = self.body.as_mut().and_then(|body| body.push(data)) else { return Ok(()) };
        if self.rule.reports() {
            self.body = None;
            return Ok(());
        }
        Err(self.rule.found(found, "the body"))
    }
}

const TOO_MANY: &str =
    "Whether the request holds a secret cannot be said, and what cannot be said is refused; the operator finds more in Tidegate's log.";

//! Secrets that a request may not carry out (`[content] refuse_secrets`).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, header};

use super::{Asked, Gate, Subject, headers};
use crate::{
    policy::{Denial, SecretRule},
    reason::Reason,
    respond::Refusal,
    wire::{
        encoded::{Coding, EncodedScan, EncodingError},
        excerpt,
        secrets::{Known, Scan},
        websocket::ClientFrames,
    },
};

/// What the sandbox wrote of a request's head, before anything real is put in.
pub(super) struct Written<'h> {
    pub(super) method: &'h str,
    pub(super) origin_form: &'h str,
    pub(super) headers: &'h HeaderMap,
    pub(super) has_body: bool,
}

/// A request that is looked through as it leaves.
pub(super) struct Search {
    rule: SecretRule,
    known: Arc<Known>,
    /// Over the body; ended once something was found that is only reported.
    body: Option<EncodedScan>,
}

impl Search {
    /// Looks through a head: method, path, query and fields.
    ///
    /// # Errors
    /// [`Reason::SecretInRequest`], also for a body whose coding hides what it holds; [`Reason::PolicyUnavailable`] where it cannot be
    /// looked for.
    pub(super) fn of(gate: &Gate, rule: &SecretRule, asked: &mut Asked, head: &Written<'_>) -> Result<Self, Refusal> {
        let known = gate.known_secrets().map_err(|_| Refusal::new(Reason::PolicyUnavailable, TOO_MANY))?;
        let coding = Coding::read(head.headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes));
        let coding = coding.filter(|_| !headers::has_encoded_messages(head.headers));
        let hidden = || (coding.is_none() && head.has_body).then(|| rule.hidden());
        let in_method = known.find(head.method.as_bytes()).map(|found| rule.found(found, "the method"));
        let in_target = known.find(head.origin_form.as_bytes()).map(|found| rule.found(found, "the request-target"));
        // Nor does it stand in records and on pages.
        asked.method.take_if(|_| in_method.is_some());
        asked.path.take_if(|_| in_target.is_some());
        if let Some(denial) = in_method.or(in_target).or_else(|| look(&known, rule, head.headers)).or_else(hidden) {
            if !rule.reports() {
                return Err(denial.into());
            }
            asked.would_deny = asked.would_deny.or(Some(denial.reason));
        }
        let body = coding.map(|coding| EncodedScan::new(coding, Scan::new(&known)));
        Ok(Self { rule: rule.clone(), known, body })
    }

    /// Looks through the next octets of the body.
    ///
    /// # Errors
    /// The refusal of the body, which these octets would complete a secret in, or make something that cannot be looked into: they may not
    /// pass.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), Box<Denial>> {
        let Some(body) = &mut self.body else { return Ok(()) };
        let denial = match body.push(data) {
            Ok(None) => return Ok(()),
            Ok(Some(found)) => self.rule.found(found, "the body"),
            Err(error) => {
                let reason = if error == EncodingError::Bomb { Reason::BodyTooLarge } else { Reason::BadRequest };
                self.rule.unreadable(reason, &format!("The body {error}"))
            }
        };
        if self.rule.reports() {
            self.body = None;
            return Ok(());
        }
        Err(denial)
    }

    /// The same for what goes up a WebSocket.
    pub(super) fn of_socket(self) -> SocketSearch {
        SocketSearch { frames: Some(ClientFrames::new(&self.known)), rule: self.rule, would_deny: None }
    }
}

/// Looks through the head of a request to a GitHub for what its session may not send. Its `Authorization` is judged elsewhere, since what
/// stands there goes nowhere or where it is meant to go.
///
/// # Errors
/// [`Reason::SecretInRequest`], [`Reason::PolicyUnavailable`].
pub(crate) fn look_through<B>(gate: &Gate, subject: &Subject, asked: &mut Asked, request: &Request<B>) -> Result<(), Refusal> {
    let rule = asked.destination.as_ref().and_then(|destination| subject.policy().secret_rule(destination));
    let Some(rule) = rule else { return Ok(()) };
    let mut headers = request.headers().clone();
    headers.remove(header::AUTHORIZATION);
    let origin_form = request.uri().path_and_query().map_or("", |target| target.as_str());
    let head = Written { method: request.method().as_str(), origin_form, headers: &headers, has_body: false };
    Search::of(gate, &rule, asked, &head).map(drop)
}

/// Looks through the whole body of a call to a GitHub's API for the same.
///
/// # Errors
/// [`Reason::SecretInRequest`], [`Reason::PolicyUnavailable`].
pub(crate) fn look_through_body(gate: &Gate, subject: &Subject, asked: &mut Asked, body: &[u8]) -> Result<(), Refusal> {
    let rule = asked.destination.as_ref().and_then(|destination| subject.policy().secret_rule(destination));
    let Some(rule) = rule else { return Ok(()) };
    let known = gate.known_secrets().map_err(|_| Refusal::new(Reason::PolicyUnavailable, TOO_MANY))?;
    let Some(denial) = known.find(body).map(|found| rule.found(found, "the body")) else { return Ok(()) };
    if rule.reports() {
        asked.would_deny = asked.would_deny.or(Some(denial.reason));
        return Ok(());
    }
    Err(denial.into())
}

fn look(known: &Arc<Known>, rule: &SecretRule, fields: &HeaderMap) -> Option<Box<Denial>> {
    fields.iter().find_map(|(name, value)| {
        if let Some(found) = known.find(name.as_str().as_bytes()) {
            return Some(rule.found(found, "the name of a header"));
        }
        Some(rule.found(known.find(value.as_bytes())?, &format!("the header {}", excerpt(name.as_str().as_bytes()))))
    })
}

/// A WebSocket whose messages are looked through as they leave.
pub(super) struct SocketSearch {
    rule: SecretRule,
    /// Ended once something was found that is only reported.
    frames: Option<ClientFrames>,
    pub(super) would_deny: Option<Reason>,
}

impl SocketSearch {
    /// Looks through the next octets.
    ///
    /// # Errors
    /// Why they may not pass.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), Box<Denial>> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let denial = match frames.push(data) {
            Ok(None) => return Ok(()),
            Ok(Some(found)) => self.rule.found(found, "a message"),
            Err(error) => self.rule.unreadable(Reason::BadRequest, &format!("What stands in the WebSocket is no frame: {error}")),
        };
        if self.rule.reports() {
            (self.frames, self.would_deny) = (None, Some(denial.reason));
            return Ok(());
        }
        Err(denial)
    }
}

const TOO_MANY: &str =
    "Whether the request holds a secret cannot be said, and what cannot be said is refused; the operator finds more in Tidegate's log.";

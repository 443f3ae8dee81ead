//! What may be asked of an allowed host: the `[[rule]]` tables of a document, ready to judge requests.

use std::{sync::Arc, time::SystemTime};

use super::{
    blocklist::Blocklist,
    decision::{BodyLimit, Cleared, Denial, RuleRef},
    index::Index,
    paths::PathPattern,
};
use crate::{
    destination::Destination,
    reason::Reason,
    wire::{excerpt, path::CanonicalTarget},
};

/// A `[[rule]]` of an effective policy, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRule {
    /// Its name, or its number, and where it is written.
    pub rule: RuleRef,
    /// The hosts it is about; one without a port is meant with every port.
    pub hosts: Vec<String>,
    /// The methods it lets through; any where there is none.
    pub methods: Vec<String>,
    /// The paths it lets through; any where there is none.
    pub paths: Vec<String>,
    /// The most octets of a body.
    pub max_request_body: Option<u64>,
}

/// One rule, without its hosts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestRule {
    /// Compared exactly (RFC 9110, section 9.1); any where empty.
    pub(super) methods: Box<[Box<str>]>,
    /// Any where empty.
    pub(super) paths: Box<[PathPattern]>,
    /// In octets.
    pub(super) max_request_body: Option<u64>,
    pub(super) rule: RuleRef,
}

/// The rules of a document in its order, each with the hosts it is about.
#[derive(Debug, Default)]
pub(super) struct RequestRules(pub(super) Vec<(Index, Arc<RequestRule>)>);

/// What is said about one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bearing {
    /// In the order of the document.
    rules: Vec<Arc<RequestRule>>,
    /// Lists that deny a part of it.
    denied: Option<Arc<[Blocklist]>>,
}

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requested<'a> {
    pub(super) method: &'a str,
    /// Path and query as sent.
    pub(super) origin_form: &'a str,
    /// Octets of the body, where they are known beforehand.
    pub(super) body_length: Option<u64>,
}

impl RequestRules {
    /// The rules about a destination, by any address that dialling it might reach, and lists that deny a part of it.
    pub(super) fn bearing_on(&self, destination: &Destination, denied: Option<Arc<[Blocklist]>>, now: SystemTime) -> Bearing {
        let names = |hosts: &Index| hosts.denying(destination, now).enforced.is_some();
        Bearing { rules: self.0.iter().filter(|(hosts, _)| names(hosts)).map(|(_, rule)| rule.clone()).collect(), denied }
    }

    pub(super) fn show(&self) -> Vec<ShownRule> {
        let show = |(hosts, rule): &(Index, Arc<RequestRule>)| ShownRule {
            rule: rule.rule.clone(),
            hosts: hosts.entries().iter().map(|entry| entry.rule.entry.to_string()).collect(),
            methods: rule.methods.iter().map(ToString::to_string).collect(),
            paths: rule.paths.iter().map(ToString::to_string).collect(),
            max_request_body: rule.max_request_body,
        };
        self.0.iter().map(show).collect()
    }
}

impl RequestRule {
    fn takes_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|taken| **taken == *method)
    }

    fn takes_path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.matches(path))
    }
}

impl Bearing {
    pub(super) fn first(&self) -> Option<&RuleRef> {
        self.rules.first().map(|rule| &rule.rule)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.denied.is_none()
    }

    /// Judges a request by the first rule that takes its method and path. Paths are made canonical, and leave so, where
    /// any rule looks at them. Where no rule bears on the destination, everything passes as it is.
    ///
    /// # Errors
    /// [`Reason::BadRequest`] for a path that has no canonical form; [`Reason::MethodNotAllowed`] where no rule takes the
    /// method, or none with this path; [`Reason::PathNotAllowed`]; [`Reason::BodyTooLarge`] for a length known beforehand.
    pub(super) fn judge(&self, requested: &Requested<'_>, destination: &Destination) -> Result<Cleared, Box<Denial>> {
        if self.is_empty() {
            return Ok(Cleared::plain(None));
        }
        let target = self.target(requested.origin_form, destination)?;
        if let Some(denied) = target.as_ref().and_then(|target| self.find_denied(target, destination)) {
            return Err(denied);
        }
        let path = target.as_ref().map_or("", CanonicalTarget::path);
        if self.rules.is_empty() {
            return Ok(Cleared { origin_form: target.map(|target| target.to_string().into()), ..Cleared::plain(None) });
        }
        let taken = self.rules.iter().find(|rule| rule.takes_method(requested.method) && rule.takes_path(path));
        let Some(rule) = taken else {
            return Err(Box::new(self.explain(requested.method, target.as_ref(), destination)));
        };
        let limit = rule.max_request_body.map(|octets| BodyLimit::new(octets, rule.rule.clone(), destination.clone()));
        if let (Some(limit), Some(length)) = (&limit, requested.body_length)
            && length > limit.octets()
        {
            return Err(limit.exceeded());
        }
        Ok(Cleared {
            would_deny: None,
            origin_form: target.map(|target| target.to_string().into()),
            body_limit: limit,
            strips_method_override: !rule.methods.is_empty(),
            secrets: None,
        })
    }

    fn find_denied(&self, target: &CanonicalTarget, destination: &Destination) -> Option<Box<Denial>> {
        let rule = self.denied.as_ref()?.iter().find_map(|list| list.find_url(destination, target))?;
        let detail = format!("{} is denied by {rule}; only taking that line out would allow it.", excerpt(target.path().as_bytes()));
        Some(Box::new(Denial { rule: Some(rule), ..Denial::new(Reason::PathNotAllowed, detail).of(destination) }))
    }

    /// The canonical target where a rule or a list looks at paths.
    fn target(&self, origin_form: &str, destination: &Destination) -> Result<Option<CanonicalTarget>, Box<Denial>> {
        if self.denied.is_none() && self.rules.iter().all(|rule| rule.paths.is_empty()) {
            return Ok(None);
        }
        CanonicalTarget::read(origin_form).map(Some).map_err(|error| {
            let mut denial = Denial::new(error.reason(), format!("The request-target was refused: {error}.")).of(destination);
            denial.rule = self.first().cloned();
            Box::new(denial)
        })
    }

    fn explain(&self, method: &str, target: Option<&CanonicalTarget>, destination: &Destination) -> Denial {
        let path = target.map_or("", CanonicalTarget::path);
        let with_path = self.rules.iter().find(|rule| rule.takes_path(path));
        let with_method = self.rules.iter().find(|rule| rule.takes_method(method));
        let host = &destination.host;
        let (reason, rule, detail) = match (with_method, with_path) {
            (Some(rule), None) => {
                let paths = listed(self.rules.iter().filter(|rule| rule.takes_method(method)).flat_map(|rule| &rule.paths));
                (
                    Reason::PathNotAllowed,
                    Some(rule),
                    format!("{method} to {host} is for the paths {paths} and not for {}.", excerpt(path.as_bytes())),
                )
            }
            (_, with_path) => {
                let methods =
                    listed(self.rules.iter().filter(|rule| rule.takes_path(path) || with_path.is_none()).flat_map(|rule| &rule.methods));
                (Reason::MethodNotAllowed, with_path.or(self.rules.first()), format!("{host} takes {methods} here and not {method}."))
            }
        };
        let mut denial = Denial::new(reason, detail).of(destination);
        denial.rule = rule.map(|rule| rule.rule.clone());
        denial.allow_with = remedy(method, target, destination);
        denial
    }
}

/// The rule that, added to the document, would let a request through; none where it could not be written.
fn remedy(method: &str, target: Option<&CanonicalTarget>, destination: &Destination) -> Option<String> {
    let path = target.map(CanonicalTarget::path);
    // A path that holds "**" would be read as more than itself.
    if path.is_some_and(|path| path.len() > MAX_SHOWN || path.contains('*')) || !is_plain(method) {
        return None;
    }
    let paths = path.map(|path| format!("\npaths = [\"{path}\"]")).unwrap_or_default();
    Some(format!("[[rule]]\nhosts = [\"{destination}\"]\nmethods = [\"{method}\"]{paths}"))
}

fn is_plain(method: &str) -> bool {
    method.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The first of them, as a sentence takes them.
fn listed<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let mut items: Vec<_> = items.map(|item| item.to_string()).collect();
    if items.len() > MAX_LISTED {
        items.truncate(MAX_LISTED);
        items.push("…".to_owned());
    }
    items.join(", ")
}

/// Most of a path that a denial writes out, in octets.
const MAX_SHOWN: usize = 200;
/// Most methods or paths that a denial names.
const MAX_LISTED: usize = 8;

//! What was refused, as a session remembers it.

use std::time::SystemTime;

use crate::{
    audit::{bounded_method, bounded_path},
    destination::Host,
    policy::{Denial, RuleRef},
    reason::Reason,
};

/// What was refused to a sandbox, as its own pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) time: SystemTime,
    pub(crate) reason: Reason,
    pub(crate) host: Option<Host>,
    pub(crate) port: Option<u16>,
    pub(crate) method: Option<String>,
    /// Without its query.
    pub(crate) path: Option<String>,
    pub(crate) rule: Option<RuleRef>,
    pub(crate) allow_with: Option<String>,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(denial: &Denial, time: SystemTime) -> Self {
        let Denial { reason, host, port, address: _, rule, allow_with, detail } = denial.clone();
        Self { time, reason, host, port, method: None, path: None, rule, allow_with, detail }
    }

    /// The same for a request; method and path are cut as in an audit record.
    #[must_use]
    pub(crate) fn requesting(self, method: &str, path: Option<&str>) -> Self {
        Self { method: Some(bounded_method(method).to_owned()), path: path.map(|path| bounded_path(path).to_owned()), ..self }
    }
}

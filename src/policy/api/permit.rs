//! Leave for one call.

use serde_json::Value;

use super::made::MadeKind;
use crate::{
    github::{
        RepositoryName,
        api::{Call, Method},
    },
    policy::{decision::RuleRef, grant::Access, identity::Whereabouts, refs::RefChange},
};

/// Leave to make a call as it was judged, and no other.
#[derive(Debug)]
#[must_use]
pub struct ApiPermit {
    pub(super) call: Call,
    pub(super) template: Box<str>,
    pub(super) rule: RuleRef,
    pub(super) repository: Option<RepositoryName>,
    pub(super) credential: Option<RepositoryName>,
    pub(super) changes: Vec<RefChange>,
}

/// Of which budget a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Budget {
    Read,
    Write,
    /// It makes something that people are told of.
    Comment,
}

impl ApiPermit {
    pub fn method(&self) -> Method {
        self.call.method
    }

    pub fn head_only(&self) -> bool {
        self.call.head_only
    }

    pub fn is_upload(&self) -> bool {
        self.call.is_upload
    }

    /// The path of the table's row, for records and metrics.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The row.
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// The repository that it is about, if it is about one.
    pub fn repository(&self) -> Option<&RepositoryName> {
        self.repository.as_ref()
    }

    /// The granted repository with whose credential it goes: the one that it is about, or else any of the session's at that host. `None`
    /// for what anybody may read, which goes without any.
    pub fn credential(&self) -> Option<&RepositoryName> {
        self.credential.as_ref()
    }

    pub fn is_public(&self) -> bool {
        self.credential.is_none()
    }

    pub fn is_write(&self) -> bool {
        self.call.method != Method::Get
    }

    /// What the credential has to be good for.
    pub fn access(&self) -> Access {
        if self.is_write() { Access::Write } else { Access::Read }
    }

    pub fn budget(&self) -> Budget {
        match (self.is_write(), self.makes()) {
            (false, _) => Budget::Read,
            (true, None) => Budget::Write,
            (true, Some(_)) => Budget::Comment,
        }
    }

    /// What it makes that its session may change afterwards.
    pub fn makes(&self) -> Option<MadeKind> {
        MadeKind::made_by(self.call.method, &self.template)
    }

    /// The refs that it changes, as they were judged.
    pub fn changes(&self) -> &[RefChange] {
        &self.changes
    }

    /// The target as it leaves, in origin-form below the API's own prefix; `at` is where the repository is that it is about.
    pub fn target(&self, at: Option<&Whereabouts>) -> String {
        self.call.target(at.map(Whereabouts::path))
    }

    /// The body as it leaves, `None` where there is none. That of an upload is not here.
    pub fn body(&self) -> Option<Vec<u8>> {
        self.call.body.as_ref().map(|body| Value::to_string(body).into_bytes())
    }
}

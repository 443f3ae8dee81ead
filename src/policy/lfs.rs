//! Git LFS: who may have objects moved, whose locks may change, and where an upstream may keep what it hands out links to.

use std::time::SystemTime;

use super::{
    Policy,
    addresses::declaration,
    decision::{Denial, Protocol},
    grant::{Access, Grant},
    is_local,
    permit::Permit,
    refs::{ChangeKind, PushDenial, RefChange},
    repositories::{RepositoryPermit, decide_repository, foresee_push},
    rules::Bearing,
};
use crate::{
    github::{
        RepositoryName, Service,
        lfs::{Call, Href},
        push::RefName,
    },
    reason::Reason,
};

/// What is asked of Git LFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LfsAct {
    /// Objects, or who has locked what.
    Read,
    /// Objects are sent, for this ref where the client names one.
    Upload(Option<RefName>),
    /// Before a push: which locks it has to heed.
    VerifyLocks,
    /// A lock is made, or given up.
    ChangeLocks,
    /// Another's lock is taken away.
    ForceLocks,
}

impl LfsAct {
    /// The least that a request may turn out to be, before its body is read.
    pub fn at_least(call: Call) -> Self {
        match call {
            Call::Batch | Call::Locks | Call::Transfer(_) => Self::Read,
            Call::VerifyLocks => Self::VerifyLocks,
            Call::CreateLock | Call::Unlock(_) => Self::ChangeLocks,
        }
    }
}

/// Leave to ask a repository's upstream for what was judged, and to go where its answer leads.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct LfsPermit {
    leave: RepositoryPermit,
    changes: Vec<RefChange>,
}

impl LfsPermit {
    pub fn repository(&self) -> &RepositoryName {
        self.leave.repository()
    }

    /// The service of git's that takes the same grant.
    pub fn service(&self) -> Service {
        self.leave.service()
    }

    /// The change of a ref that was judged in its place; empty where none is named.
    pub fn changes(&self) -> &[RefChange] {
        &self.changes
    }

    /// It is read as anybody may read it, without the owner's credential.
    pub fn is_public(&self) -> bool {
        self.leave.is_public()
    }

    /// The same for reading as anybody may; see [`RepositoryPermit::publicly`].
    ///
    /// # Errors
    /// Those of that.
    pub fn publicly(self) -> Result<Self, Box<Denial>> {
        Ok(Self { leave: self.leave.publicly()?, ..self })
    }
}

/// Whether a session may do so at a repository. An upload comes before the push that it is for: a ref that it names has to be one that
/// may be created or updated, and where it names none there has to be some ref that may be pushed.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`], [`Reason::ReadOnly`], [`Reason::RefNotGranted`]; [`Reason::ApiNotAllowed`] for locks whose
/// change is not granted.
pub fn decide_lfs(grant: &Grant, repository: &RepositoryName, act: &LfsAct, public_read: bool) -> Result<LfsPermit, Box<Denial>> {
    let service = if *act == LfsAct::Read { Service::UploadPack } else { Service::ReceivePack };
    let leave = decide_repository(grant, repository, service, public_read)?;
    let changes = match act {
        LfsAct::Read | LfsAct::VerifyLocks => Vec::new(),
        LfsAct::Upload(Some(name)) => vec![pushable(grant, repository, name)?],
        LfsAct::Upload(None) => {
            check_any_ref(grant, repository)?;
            Vec::new()
        }
        LfsAct::ChangeLocks => {
            check_granted(grant, repository, LOCKS)?;
            Vec::new()
        }
        LfsAct::ForceLocks => {
            check_granted(grant, repository, FORCED_LOCKS)?;
            Vec::new()
        }
    };
    Ok(LfsPermit { leave, changes })
}

/// The change that lets a ref be pushed: whether it is there already does not show.
fn pushable(grant: &Grant, repository: &RepositoryName, name: &RefName) -> Result<RefChange, Box<Denial>> {
    let judge = |kind| {
        let change = RefChange { name: name.clone(), kind };
        foresee_push(grant, repository, std::slice::from_ref(&change)).map(|_| change)
    };
    let judged = judge(ChangeKind::Create).or_else(|denial| judge(ChangeKind::Update).map_err(|_| denial));
    judged.map_err(|denial: Box<PushDenial>| Box::new(Denial::from(&*denial)))
}

fn check_any_ref(grant: &Grant, repository: &RepositoryName) -> Result<(), Box<Denial>> {
    let granted = grant.find(repository).filter(|granted| granted.access == Access::Write);
    if granted.is_some_and(|granted| !granted.push.is_empty() || !granted.tags.is_empty()) {
        return Ok(());
    }
    Err(Box::new(Denial::new(
        Reason::RefNotGranted,
        format!("This session may push nothing to {repository}, and objects are sent for a push."),
    )))
}

fn check_granted(grant: &Grant, repository: &RepositoryName, capability: &str) -> Result<(), Box<Denial>> {
    let granted = grant.find(repository).is_some_and(|granted| granted.grants.iter().any(|word| word.as_str() == capability));
    if granted {
        return Ok(());
    }
    let detail = format!("This session may not change whose files of {repository} are locked: its grant lacks \"{capability}\".");
    Err(Box::new(Denial { allow_with: Some(format!("grants = [\"{capability}\"]")), ..Denial::new(Reason::ApiNotAllowed, detail) }))
}

impl Policy {
    /// Leave to go where the upstream of a repository keeps its objects, as its answer names it. No list has to let it through, since
    /// who granted the repository granted what it holds; `deny`, lists of others and the rules about addresses hold as for any
    /// destination, and an address that is spelled out has to be declared in `[addresses]`.
    ///
    /// # Errors
    /// [`Reason::HostDenied`], [`Reason::AddressNotAllowed`], [`Reason::PolicyUnavailable`].
    pub fn decide_storage(&self, _granted: &LfsPermit, href: &Href, now: SystemTime) -> Result<Permit, Box<Denial>> {
        self.decide_named(href, now)
    }

    /// The same for whoever shows another leave.
    pub(super) fn decide_named(&self, href: &Href, now: SystemTime) -> Result<Permit, Box<Denial>> {
        let Href { secure, destination, .. } = href;
        let host = &destination.host;
        let denial = |reason, why: &str| {
            let detail = format!("The server of this repository keeps objects at {host}, which {why}.");
            Box::new(Denial::new(reason, detail).of(destination))
        };
        if is_local(host) {
            return Err(denial(Reason::AddressNotAllowed, "is a name of this host or of a metadata service, and never a destination"));
        }
        if let Some(address) = host.ip().filter(|address| !self.rules.addresses.declares(*address)) {
            let undeclared = denial(Reason::AddressNotAllowed, "is an address that the policy's [addresses] does not declare");
            return Err(Box::new(Denial { allow_with: Some(declaration(address)), ..*undeclared }));
        }
        let denying = self.rules.deny.denying(destination, now).enforced.map(|entry| entry.rule.clone());
        let listed =
            self.content.find_host(host).map_err(|_| denial(Reason::PolicyUnavailable, "is looked up in lists that were not read"))?;
        if let Some(rule) = denying.or(listed) {
            let denied = denial(Reason::HostDenied, &format!("is denied by {rule}"));
            return Err(Box::new(Denial { rule: Some(rule), ..*denied }));
        }
        Ok(Permit {
            destination: destination.clone(),
            protocol: if *secure { Protocol::Tls } else { Protocol::Http },
            rule: None,
            until: None,
            addresses: self.rules.addresses.clone(),
            ech: self.ech,
            now,
            would_deny: None,
            report: false,
            rules: Bearing::default(),
            secrets: None,
            intercepts: false,
        })
    }
}

/// What of a grant lets locks be made and given up, and taken from others.
pub(super) const LOCKS: &str = "lfs.locks";
pub(super) const FORCED_LOCKS: &str = "lfs.locks.force";

#[cfg(test)]
mod tests;

//! What a session may do with a repository: its grant is looked up by name, and nothing else is granted.

use super::{
    decision::Denial,
    grant::{Access, Grant, RepositoryGrant},
    refs::{PushDenial, PushPermit, RefChange, decide_refs},
};
use crate::{
    github::{RepositoryName, Service},
    reason::Reason,
};

/// Leave to fetch from a repository, or to learn what refs it has before a push.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct RepositoryPermit {
    repository: RepositoryName,
    service: Service,
    is_public: bool,
}

impl RepositoryPermit {
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    pub fn service(&self) -> Service {
        self.service
    }

    /// No grant names the repository: it is read as anybody may read it, without a credential.
    pub fn is_public(&self) -> bool {
        self.is_public
    }
}

/// Whether a session may use a service of a repository; what a push may change is [`decide_push`]'s to say. With `public_read` every
/// repository may be read, for which nobody's credential is used.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`], [`Reason::ReadOnly`].
pub fn decide_repository(
    grant: &Grant,
    repository: &RepositoryName,
    service: Service,
    public_read: bool,
) -> Result<RepositoryPermit, Box<Denial>> {
    let permit = |is_public| RepositoryPermit { repository: repository.clone(), service, is_public };
    match (grant.find(repository), service) {
        (Some(_), Service::UploadPack) => Ok(permit(false)),
        (Some(granted), Service::ReceivePack) if granted.access == Access::Write => Ok(permit(false)),
        (None, Service::UploadPack) if public_read => Ok(permit(true)),
        (Some(_), Service::ReceivePack) => Err(Box::new((&PushDenial::read_only(repository, &[])).into())),
        (None, Service::ReceivePack) => Err(Box::new((&PushDenial::not_granted(repository, &[])).into())),
        (None, Service::UploadPack) => Err(Box::new(not_granted(grant, repository))),
    }
}

/// Whether a push may make its changes: all of them, or none.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`], [`Reason::ReadOnly`], [`Reason::RefNotGranted`].
pub fn decide_push(grant: &Grant, repository: &RepositoryName, changes: &[RefChange]) -> Result<PushPermit, Box<PushDenial>> {
    match grant.find(repository) {
        None => Err(Box::new(PushDenial::not_granted(repository, changes))),
        Some(granted) if granted.access == Access::Read => Err(Box::new(PushDenial::read_only(repository, changes))),
        Some(granted) => {
            // A grant is made only with rules that can be read.
            let rules = granted.rules().map_err(|_| PushDenial::not_granted(repository, changes))?;
            decide_refs(&rules, repository, changes)
        }
    }
}

fn not_granted(grant: &Grant, repository: &RepositoryName) -> Denial {
    let names: Vec<_> = grant.repositories().iter().take(MAX_NAMED).map(|granted: &RepositoryGrant| granted.name.as_str()).collect();
    let granted = if names.is_empty() { "It has no grant for any.".to_owned() } else { format!("It may use {}.", names.join(", ")) };
    let allow_with = format!("[[session.repository]]\nname = \"{repository}\"\naccess = \"read\"");
    Denial {
        allow_with: Some(allow_with),
        ..Denial::new(Reason::RepositoryNotGranted, format!("This session has no grant for {repository}. {granted}"))
    }
}

impl From<&PushDenial> for Denial {
    fn from(denial: &PushDenial) -> Self {
        let allow_with = (!denial.allow_with.is_empty()).then(|| denial.allow_with.join("\n"));
        Self { allow_with, ..Self::new(denial.reason, denial.advice.join(" ")) }
    }
}

/// Most granted repositories that a refusal names.
const MAX_NAMED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::push::RefName;
    use crate::policy::ChangeKind;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    fn grant() -> Grant {
        let pushing = RepositoryGrant::pushing(name("octo/spoon"), "agent").unwrap();
        Grant::new(vec![pushing, RepositoryGrant::reading(name("octo/fork"))]).unwrap()
    }

    #[test]
    fn a_service_needs_its_grant() {
        let decide = |repository: &str, service, public_read| {
            decide_repository(&grant(), &name(repository), service, public_read)
                .map(|permit| permit.is_public())
                .map_err(|denial| denial.reason)
        };
        for (repository, service, public_read, expected) in [
            ("octo/spoon", Service::UploadPack, false, Ok(false)),
            ("Octo/Spoon.git", Service::ReceivePack, false, Ok(false)),
            ("octo/fork", Service::UploadPack, true, Ok(false)),
            ("octo/fork", Service::ReceivePack, true, Err(Reason::ReadOnly)),
            ("octo/knife", Service::UploadPack, false, Err(Reason::RepositoryNotGranted)),
            ("octo/knife", Service::UploadPack, true, Ok(true)),
            ("octo/knife", Service::ReceivePack, true, Err(Reason::RepositoryNotGranted)),
            ("octo/spoon.wiki", Service::UploadPack, false, Err(Reason::RepositoryNotGranted)),
            ("octo/spoon.wiki", Service::ReceivePack, false, Err(Reason::RepositoryNotGranted)),
        ] {
            assert_eq!(decide(repository, service, public_read), expected, "{repository} {service} {public_read}");
        }
    }

    #[test]
    fn a_refusal_says_what_may_be_used_and_what_would_allow_it() {
        let denial = decide_repository(&grant(), &name("octo/knife"), Service::UploadPack, false).unwrap_err();
        assert_eq!(denial.detail, "This session has no grant for octo/knife. It may use octo/spoon, octo/fork.");
        assert_eq!(denial.allow_with.as_deref(), Some("[[session.repository]]\nname = \"octo/knife\"\naccess = \"read\""));
    }

    #[test]
    fn a_push_needs_its_grant() {
        let change = RefChange { name: RefName::parse(b"refs/heads/agent").unwrap(), kind: ChangeKind::Update };
        let decide = |repository: &str| decide_push(&grant(), &name(repository), std::slice::from_ref(&change));
        let permit = decide("octo/spoon").unwrap();
        assert_eq!((permit.repository(), permit.entries()), (&name("octo/spoon"), &["refs/heads/agent".into()][..]));
        assert_eq!(decide("octo/fork").unwrap_err().reason, Reason::ReadOnly);
        assert_eq!(decide("octo/knife").unwrap_err().reason, Reason::RepositoryNotGranted);
    }
}

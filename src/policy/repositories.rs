//! What a session may do with a repository: its grant is looked up by name, and nothing else is granted.

use super::{
    decision::Denial,
    grant::{Access, Grant, Purpose, Reach, RepositoryGrant, WIKI, WIKI_READ},
    push_content::ContentRules,
    refs::{self, ChangeKind, DefaultBranch, Foreseen, PushDenial, PushPermit, RefChange, RefRules, decide_refs, foresee_refs},
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

    /// It is read as anybody may read it, without the owner's credential: no grant names it, or that is what was wanted.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// The same for reading as anybody may, whatever a grant opens beyond that.
    ///
    /// # Errors
    /// [`Reason::CredentialNotAllowed`] for anything but reading.
    pub fn publicly(self) -> Result<Self, Box<Denial>> {
        if self.service == Service::UploadPack {
            return Ok(Self { is_public: true, ..self });
        }
        Err(Box::new(Denial::new(Reason::CredentialNotAllowed, READS_ALONE)))
    }
}

/// Whether a session may use a service of a repository; what a push may change is [`decide_push`]'s to say. With `public_read` every
/// repository may be read, for which nobody's credential is used.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`], also for a token that is not for git; [`Reason::ReadOnly`].
pub fn decide_repository(
    grant: &Grant,
    repository: &RepositoryName,
    service: Service,
    public_read: bool,
) -> Result<RepositoryPermit, Box<Denial>> {
    grant.check_purpose(Purpose::Git)?;
    let permit = |is_public| RepositoryPermit { repository: repository.clone(), service, is_public };
    match (grant.reach(repository), service) {
        (Some(_), Service::UploadPack) => Ok(permit(false)),
        (Some(reach), Service::ReceivePack) if reach.access() == Access::Write => Ok(permit(false)),
        (None, Service::UploadPack) if public_read => Ok(permit(true)),
        (Some(reach), Service::ReceivePack) => Err(Box::new((&read_only(reach, repository, &[])).into())),
        (None, Service::ReceivePack) => Err(Box::new((&unreached(grant, repository, &[])).into())),
        (None, Service::UploadPack) => Err(Box::new(not_granted(grant, repository))),
    }
}

/// Whether a push may make its changes: all of them, or none. `default` is what is known of the repository's default branch; whether it
/// has to be known at all, [`depends_on_default`] says.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`], [`Reason::ReadOnly`], [`Reason::RefNotGranted`], and [`Reason::PushNotJudgeable`] where the default
/// branch would have to be known.
pub fn decide_push(
    grant: &Grant,
    repository: &RepositoryName,
    changes: &[RefChange],
    default: &DefaultBranch,
) -> Result<PushPermit, Box<PushDenial>> {
    let permit = decide_refs(writing(grant, repository, changes)?, repository, changes, default)?;
    Ok(permit.holding(content(grant, repository, changes)))
}

/// The same before any ref moves, while nobody asks for the default branch: of what goes ahead of a push, and of what is only asked about.
///
/// # Errors
/// As [`decide_push`], but for the last.
pub fn foresee_push(grant: &Grant, repository: &RepositoryName, changes: &[RefChange]) -> Result<Foreseen, Box<PushDenial>> {
    let foreseen = foresee_refs(writing(grant, repository, changes)?, repository, changes)?;
    Ok(foreseen.holding(content(grant, repository, changes)))
}

/// Whether a ref may change by something that is no push, of which the token's purpose was checked.
///
/// # Errors
/// As [`decide_push`].
pub(super) fn check_change(
    grant: &Grant,
    repository: &RepositoryName,
    change: &RefChange,
    default: &DefaultBranch,
) -> Result<(), Box<PushDenial>> {
    let changes = std::slice::from_ref(change);
    decide_refs(rules(grant, repository, changes)?, repository, changes, default).map(drop)
}

/// What the objects of a push are judged by; whoever only deletes sends none.
fn content(grant: &Grant, repository: &RepositoryName, changes: &[RefChange]) -> Option<ContentRules> {
    let sends = changes.iter().any(|change| change.kind != ChangeKind::Delete);
    grant.reach(repository).filter(|_| sends)?.content()
}

/// What the refs of a repository are judged by that may be written to.
fn writing<'g>(grant: &'g Grant, repository: &RepositoryName, changes: &[RefChange]) -> Result<&'g RefRules, Box<PushDenial>> {
    if let Err(denial) = grant.check_purpose(Purpose::Git) {
        let (allow_with, advice) = (Vec::new(), vec![denial.detail]);
        return Err(Box::new(PushDenial { allow_with, advice, ..PushDenial::not_granted(repository, changes) }));
    }
    rules(grant, repository, changes)
}

/// The same, whatever the token is for.
fn rules<'g>(grant: &'g Grant, repository: &RepositoryName, changes: &[RefChange]) -> Result<&'g RefRules, Box<PushDenial>> {
    match grant.reach(repository) {
        None => Err(Box::new(unreached(grant, repository, changes))),
        Some(reach) if reach.access() == Access::Read => Err(Box::new(read_only(reach, repository, changes))),
        Some(reach) => Ok(reach.rules()),
    }
}

/// Whether all that is missing to judge a push is the name of the repository's default branch, for which no pattern stands.
pub fn depends_on_default(grant: &Grant, repository: &RepositoryName, changes: &[RefChange]) -> bool {
    let reach = grant.reach(repository).filter(|reach| reach.access() == Access::Write);
    reach.is_some_and(|reach| refs::depends_on_default(reach.rules(), changes))
}

fn unreached(grant: &Grant, repository: &RepositoryName, changes: &[RefChange]) -> PushDenial {
    match grant.find_wiki(repository) {
        Some(granted) => {
            let allow_with =
                vec!["[[session.repository]]".into(), format!("name = \"{}\"", granted.name), format!("grants = [\"{WIKI}\"]")];
            PushDenial { allow_with, ..PushDenial::not_granted(repository, changes) }
        }
        None => PushDenial::not_granted(repository, changes),
    }
}

fn read_only(reach: Reach<'_>, repository: &RepositoryName, changes: &[RefChange]) -> PushDenial {
    let denial = PushDenial::read_only(repository, changes);
    match reach {
        Reach::Repository(..) => denial,
        Reach::Wiki(..) => PushDenial { allow_with: vec![format!("grants = [\"{WIKI}\"]")], ..denial },
    }
}

pub(super) fn not_granted(grant: &Grant, repository: &RepositoryName) -> Denial {
    let names: Vec<_> = grant.repositories().iter().take(MAX_NAMED).map(|granted: &RepositoryGrant| granted.name.as_str()).collect();
    let granted = if names.is_empty() { "It has no grant for any.".to_owned() } else { format!("It may use {}.", names.join(", ")) };
    let allow_with = match grant.find_wiki(repository) {
        Some(granted) => format!("[[session.repository]]\nname = \"{}\"\ngrants = [\"{WIKI_READ}\"]", granted.name),
        None => format!("[[session.repository]]\nname = \"{repository}\"\naccess = \"read\""),
    };
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

const READS_ALONE: &str = "A token that the sandbox brought serves for public reads alone; send the request without it: the owner's \
     credential is put in where the session has a grant.";
/// Most granted repositories that a refusal names.
const MAX_NAMED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::push::RefName;

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

    /// Whatever a grant opens beyond that: a token that the sandbox brought is no owner's.
    #[test]
    fn what_is_wanted_publicly_is_read_alone() {
        let publicly = |repository: &str, service| {
            let permit = decide_repository(&grant(), &name(repository), service, true).unwrap();
            permit.publicly().map(|permit| (permit.repository().clone(), permit.is_public())).map_err(|denial| denial.reason)
        };
        for repository in ["octo/spoon", "octo/fork", "octo/knife"] {
            assert_eq!(publicly(repository, Service::UploadPack), Ok((name(repository), true)));
        }
        assert_eq!(publicly("octo/spoon", Service::ReceivePack), Err(Reason::CredentialNotAllowed));
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
        let decide = |repository: &str| decide_push(&grant(), &name(repository), std::slice::from_ref(&change), &DefaultBranch::Unknown);
        let permit = decide("octo/spoon").unwrap();
        let by_pattern = serde_json::from_str(r#"[{"name":"octo/spoon","access":"write","push":["refs/heads/*"]}]"#).unwrap();
        let depends = |grant: &Grant| depends_on_default(grant, &name("octo/spoon"), std::slice::from_ref(&change));
        assert_eq!((depends(&grant()), depends(&by_pattern)), (false, true));
        assert_eq!((permit.repository(), permit.entries()), (&name("octo/spoon"), &["refs/heads/agent".into()][..]));
        assert_eq!(decide("octo/fork").unwrap_err().reason, Reason::ReadOnly);
        assert_eq!(decide("octo/knife").unwrap_err().reason, Reason::RepositoryNotGranted);
    }
}

//! Which repository a grant is for, once that is known: the one that had its name when the session first used it.

use super::decision::Denial;
use crate::{
    github::{
        RepositoryName, WIKI,
        identity::{Identity, RepositoryId},
    },
    reason::Reason,
};

/// Leave to ask for a granted repository at its host, by the name that it has there now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Whereabouts {
    path: Box<str>,
}

impl Whereabouts {
    /// Of a repository without a number: one that anybody may read, or whose host has no API that could be asked.
    pub fn as_named(repository: &RepositoryName) -> Self {
        Self { path: repository.path().into() }
    }

    /// `owner/name`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Where a granted repository is. `bound` is the number that the session's grant is for, if it is known, `found` what its host says
/// of the name, if it said anything.
///
/// # Errors
/// [`Reason::RepositoryNotGranted`] where the name is another repository's by now; [`Reason::UpstreamClosed`] where nothing tells
/// whether it is.
pub fn decide_identity(
    repository: &RepositoryName,
    bound: Option<RepositoryId>,
    found: Option<&Identity>,
) -> Result<Whereabouts, Box<Denial>> {
    let deny = |reason, detail| Err(Box::new(Denial::new(reason, detail)));
    match (bound, found) {
        (None, None) => Ok(Whereabouts::as_named(repository)),
        (bound, Some(found)) if bound.is_none_or(|bound| bound == found.id) => {
            // A wiki goes with its repository.
            let wiki = if repository.has_wiki().is_some() { WIKI } else { "" };
            Ok(Whereabouts { path: format!("{}{wiki}", found.name.path()).into() })
        }
        (_, Some(found)) => {
            let is_moved = found.name.path() != base_of(repository).path();
            let by_now = if is_moved { format!(", and leads to {}", found.name) } else { String::new() };
            deny(
                Reason::RepositoryNotGranted,
                format!(
                    "{repository} is another repository by now{by_now}; this session's grant is for the one that had the name when it was \
                     first used. A new session can be granted the other one."
                ),
            )
        }
        (Some(_), None) => deny(
            Reason::UpstreamClosed,
            format!(
                "Nothing tells whether {repository} is still the repository that was granted: GitHub's API does not answer. Try again later."
            ),
        ),
    }
}

/// The repository that a name leads to: a wiki belongs to one, and has no number of its own.
pub fn base_of(repository: &RepositoryName) -> RepositoryName {
    repository.has_wiki().unwrap_or_else(|| repository.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::identity::read;

    fn found(id: u64, name: &str) -> Identity {
        read(format!("{{\"id\":{id},\"full_name\":\"{name}\"}}").as_bytes()).unwrap()
    }

    #[test]
    fn a_grant_is_for_one_repository_whatever_it_is_called() {
        let id = |id| Some(found(id, "o/r").id);
        for (repository, bound, found, expected) in [
            ("octo/spoon", None, None, Ok("octo/spoon")),
            ("octo/spoon", None, Some(found(7, "octo/spoon")), Ok("octo/spoon")),
            ("octo/spoon", id(7), Some(found(7, "octo/fork")), Ok("octo/fork")),
            ("ghe.example/octo/spoon", id(7), Some(found(7, "other/spoon")), Ok("other/spoon")),
            ("octo/spoon.wiki", id(7), Some(found(7, "octo/fork")), Ok("octo/fork.wiki")),
            ("octo/spoon.wiki", None, None, Ok("octo/spoon.wiki")),
            ("octo/spoon", id(7), Some(found(8, "octo/spoon")), Err(Reason::RepositoryNotGranted)),
            ("octo/spoon", id(7), Some(found(8, "octo/fork")), Err(Reason::RepositoryNotGranted)),
            ("octo/spoon.wiki", id(7), Some(found(8, "octo/spoon")), Err(Reason::RepositoryNotGranted)),
            ("octo/spoon", id(7), None, Err(Reason::UpstreamClosed)),
        ] {
            let decided = decide_identity(&RepositoryName::parse(repository).unwrap(), bound, found.as_ref());
            let decided = decided.as_ref().map(Whereabouts::path).map_err(|denial| denial.reason);
            assert_eq!(decided, expected, "{repository} {bound:?} {found:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_the_name_leads_to() {
        let named = RepositoryName::parse("octo/spoon").unwrap();
        let denial = |name| decide_identity(&named, Some(found(7, "o/r").id), Some(&found(8, name))).unwrap_err().detail;
        assert!(denial("octo/fork").contains("and leads to octo/fork;"), "{}", denial("octo/fork"));
        assert!(!denial("octo/spoon").contains("leads to"), "{}", denial("octo/spoon"));
    }
}

//! By which right a repository is reached, and what its refs are judged by.

use super::{Access, RepositoryGrant};
use crate::policy::{push_content::ContentRules, refs::RefRules};

/// What the refs of one repository are judged by, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(in crate::policy) push: RefRules,
    /// Into which branches pull requests may be made.
    pub(in crate::policy) bases: RefRules,
}

/// The right by which a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'g> {
    Repository(&'g RepositoryGrant, &'g Rules),
    /// As the wiki of a granted repository, whose branch rules do not count there.
    Wiki(Access, &'g RepositoryGrant),
}

impl<'g> Reach<'g> {
    pub fn access(&self) -> Access {
        match self {
            Self::Repository(granted, _) => granted.access,
            Self::Wiki(access, _) => *access,
        }
    }

    /// What refs are judged by.
    pub fn rules(&self) -> &'g RefRules {
        match self {
            Self::Repository(_, rules) => &rules.push,
            Self::Wiki(..) => RefRules::of_wiki(),
        }
    }

    /// What a push is looked through for.
    pub fn content(&self) -> Option<ContentRules> {
        match self {
            Self::Repository(granted, _) => granted.content.clone(),
            Self::Wiki(_, granted) => granted.content.as_ref().map(ContentRules::of_wiki),
        }
    }
}

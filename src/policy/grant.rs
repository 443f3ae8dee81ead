//! What a session may do with repositories, as written: validated data, which nothing here judges by.

mod access;
mod bearer;
mod entry;
mod purpose;
mod narrowed;
mod reach;

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    access::Access,
    bearer::Bearer,
    entry::{OwnRights, PushEntry},
    purpose::{Purpose, Purposes},
    reach::{Reach, Rules},
};
use super::{
    forge::{ForgeHosts, UnknownHost},
    push_content::ContentRules,
    refs::{RefRules, RefRulesError, Rights},
};
use crate::{
    destination::Name,
    github::{NameError, RepositoryName},
};

/// The repositories of a session; none is granted twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<RepositoryGrant>", into = "Vec<RepositoryGrant>")]
pub struct Grant {
    repositories: Vec<RepositoryGrant>,
    /// Of each, in their order.
    rules: Vec<Rules>,
    /// All but for a token that is for less.
    purposes: Purposes,
}

impl Grant {
    /// # Errors
    /// More than [`MAX_REPOSITORIES`], the same name twice, rights to push beside read access, a `push` or `tags` that no ref can
    /// be judged by, or a relative path.
    pub fn new(repositories: Vec<RepositoryGrant>) -> Result<Self, GrantError> {
        if repositories.len() > MAX_REPOSITORIES {
            return Err(GrantError::TooMany);
        }
        let mut names = BTreeSet::new();
        let mut rules = Vec::with_capacity(repositories.len());
        for repository in &repositories {
            rules.push(repository.check()?);
            if !names.insert(&repository.name) {
                return Err(GrantError::Twice(repository.name.clone()));
            }
        }
        Ok(Self { repositories, rules, purposes: Purposes::default() })
    }

    pub fn repositories(&self) -> &[RepositoryGrant] {
        &self.repositories
    }

    /// What the token is for that was shown.
    pub fn purposes(&self) -> Purposes {
        self.purposes
    }

    pub fn find(&self, name: &RepositoryName) -> Option<&RepositoryGrant> {
        self.find_judged(name).map(|(granted, _)| granted)
    }

    /// The same, with what its refs are judged by.
    pub(super) fn find_judged(&self, name: &RepositoryName) -> Option<(&RepositoryGrant, &Rules)> {
        self.repositories.iter().zip(&self.rules).find(|(granted, _)| granted.name == *name)
    }

    /// The same, each repository by the one name that it has where these hosts are.
    ///
    /// # Errors
    /// A host that is none of them; those of [`Self::new`].
    pub fn located(self, hosts: &ForgeHosts) -> Result<Self, GrantError> {
        let located = |granted: RepositoryGrant| Ok(RepositoryGrant { name: hosts.locate(granted.name)?, ..granted });
        Self::new(self.repositories.into_iter().map(located).collect::<Result<_, UnknownHost>>()?)
    }

    /// The same repositories by what they are called where names without a host mean `now`, and no longer `before`.
    ///
    /// # Errors
    /// Those of [`Self::new`]: two names may turn out to be one repository's.
    pub fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Result<Self, GrantError> {
        let seen = |granted: RepositoryGrant| RepositoryGrant { name: granted.name.seen_from(before, now), ..granted };
        Self::new(self.repositories.into_iter().map(seen).collect())
    }

    /// By which right a repository is reached: its own grant, or the one of the repository whose wiki it is.
    pub fn reach(&self, name: &RepositoryName) -> Option<Reach<'_>> {
        if let Some((granted, rules)) = self.find_judged(name) {
            return Some(Reach::Repository(granted, rules));
        }
        let granted = self.find_wiki(name)?;
        let has = |word: &str| granted.grants.iter().any(|capability| capability.as_str() == word);
        let access = if has(WIKI) { Access::Write } else { Access::Read };
        (access == Access::Write || has(WIKI_READ)).then_some(Reach::Wiki(access, granted))
    }

    /// The granted repository whose wiki this is, whether or not that is granted, too.
    pub fn find_wiki(&self, name: &RepositoryName) -> Option<&RepositoryGrant> {
        self.find(&name.has_wiki()?)
    }

    /// What a sandbox may see of it: nothing of where the operator keeps things.
    #[must_use]
    pub fn for_sandbox(&self) -> Self {
        let repositories = self.repositories.iter().cloned();
        let repositories = repositories.map(|repository| RepositoryGrant { upstream_path: None, ..repository }).collect();
        Self { repositories, rules: self.rules.clone(), purposes: self.purposes }
    }
}

impl TryFrom<Vec<RepositoryGrant>> for Grant {
    type Error = GrantError;

    fn try_from(repositories: Vec<RepositoryGrant>) -> Result<Self, GrantError> {
        Self::new(repositories)
    }
}

impl From<Grant> for Vec<RepositoryGrant> {
    fn from(grant: Grant) -> Self {
        grant.repositories
    }
}

/// One repository's rights. What is not written is not granted, but for `create`, `update` and `force`: a ref that may be
/// pushed is the session's own, and may be made and moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key that its author writes, and none depends on another")]
pub struct RepositoryGrant {
    pub name: RepositoryName,
    #[serde(default)]
    pub access: Access,
    /// What may be pushed, each with rights of its own where it has them, else with those that follow.
    #[serde(default)]
    pub push: Vec<PushEntry>,
    #[serde(default = "granted")]
    pub create: bool,
    #[serde(default = "granted")]
    pub update: bool,
    #[serde(default = "granted")]
    pub force: bool,
    #[serde(default)]
    pub delete: bool,
    /// Tags that may be created.
    #[serde(default)]
    pub tags: Vec<RefPattern>,
    /// Branches that a pull request may target.
    #[serde(default)]
    pub bases: Vec<RefPattern>,
    /// What else may be done, by name.
    #[serde(default)]
    pub grants: Vec<Capability>,
    /// What a push may hold; none where nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentRules>,
    /// A bare repository or a bundle on disk in GitHub's place; absolute, and the operator's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_path: Option<PathBuf>,
    /// What this was narrowed from, to whose rules its pushes are held besides; of tokens that may do less than their session.
    #[serde(skip)]
    pub within: Option<Arc<RepositoryGrant>>,
}

impl RepositoryGrant {
    /// To be read and nothing else.
    pub fn reading(name: RepositoryName) -> Self {
        let Rights { create, update, force, delete } = Rights::default();
        let (push, tags, bases, grants) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (content, upstream_path, within) = (None, None, None);
        Self { name, access: Access::Read, push, create, update, force, delete, tags, bases, grants, content, upstream_path, within }
    }

    /// To be read, and one branch pushed.
    pub fn pushing(name: RepositoryName, branch: &str) -> Result<Self, GrantError> {
        let push = vec![PushEntry::plain(RefPattern::parse(&format!("refs/heads/{branch}"))?)];
        Ok(Self { access: Access::Write, push, ..Self::reading(name) })
    }

    fn check(&self) -> Result<Rules, GrantError> {
        if self.access == Access::Read && !(self.push.is_empty() && self.tags.is_empty()) {
            return Err(GrantError::ReadOnly(self.name.clone()));
        }
        let denied = self.content.as_ref().map_or(0, |content| content.deny_paths.len());
        if [self.push.len(), self.tags.len(), self.bases.len(), self.grants.len(), denied].iter().any(|count| *count > MAX_PATTERNS) {
            return Err(GrantError::TooMany);
        }
        if self.upstream_path.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(GrantError::RelativePath(self.name.clone()));
        }
        self.rules().map_err(GrantError::Rules)
    }

    /// The rights of one of its entries.
    pub(super) fn rights_of(&self, entry: &PushEntry) -> Rights {
        entry.rule(self.rights()).rights
    }

    /// The rights of entries that say nothing themselves.
    fn rights(&self) -> Rights {
        let &Self { create, update, force, delete, .. } = self;
        Rights { create, update, force, delete }
    }

    /// What its refs are judged by.
    fn rules(&self) -> Result<Rules, RefRulesError> {
        Ok(Rules { push: self.push_rules()?, bases: RefRules::of_bases(self.bases.iter().map(RefPattern::as_str)) })
    }

    fn push_rules(&self) -> Result<RefRules, RefRulesError> {
        let rights = self.rights();
        let push: Vec<_> = self.push.iter().map(|entry| entry.rule(rights)).collect();
        let tags: Vec<_> = self.tags.iter().map(RefPattern::as_str).collect();
        let rules = RefRules::parse(&push, &tags, rights)?;
        match &self.within {
            Some(whole) => Ok(rules.within(whole.push_rules()?)),
            None => Ok(rules),
        }
    }
}

impl RefPattern {
    /// An entry of `tags`, by which a ref can be judged.
    pub fn of_tags(text: &str) -> Result<Self, GrantError> {
        let pattern = Self::parse(text)?;
        RefRules::parse(&[], &[text], Rights::default()).map_err(GrantError::Rules)?;
        Ok(pattern)
    }
}

const fn granted() -> bool {
    true
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $error:ident, $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, GrantError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(GrantError::$error(excerpt(text))) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = GrantError;

            fn try_from(text: String) -> Result<Self, GrantError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

words! {
    /// A ref, a branch or a tag, or a pattern of them: `*` stays inside one level, `**` does not. Otherwise as
    /// git-check-ref-format(1) has it.
    RefPattern, Pattern, is_pattern;
    /// Something that may be done with a repository, such as `pull_requests` or `actions.rerun`.
    Capability, Capability, is_capability;
}

fn is_pattern(text: &str) -> bool {
    let is_level =
        |level: &str| !level.is_empty() && !level.starts_with('.') && !level.ends_with('.') && level.strip_suffix(".lock").is_none();
    let refused = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '~' | '^' | ':' | '?' | '[' | '\\');
    text.len() <= MAX_PATTERN && text.split('/').all(is_level) && !text.contains(refused) && !text.contains("..") && !text.contains("@{")
}

fn is_capability(text: &str) -> bool {
    let spelled = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    text.len() <= MAX_CAPABILITY && text.split('.').all(spelled)
}

/// Why something is no grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantError {
    Name(NameError),
    Host(UnknownHost),
    Access(Box<str>),
    Pattern(Box<str>),
    Capability(Box<str>),
    /// A `push` or `tags` that no ref can be judged by.
    Rules(RefRulesError),
    /// Rights to push where the access is `read`.
    ReadOnly(RepositoryName),
    /// An `upstream_path` that says nothing without a directory to start from.
    RelativePath(RepositoryName),
    Twice(RepositoryName),
    TooMany,
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "{error}"),
            Self::Host(error) => write!(f, "{error}"),
            Self::Rules(error) => write!(f, "{error}"),
            Self::Access(text) => write!(f, "no access: \"{text}\"; write \"read\" or \"write\""),
            Self::Pattern(text) => write!(f, "no ref and no pattern of refs: \"{text}\"; write one such as \"refs/heads/agent/*\""),
            Self::Capability(text) => write!(f, "nothing that can be granted: \"{text}\"; write one such as \"pull_requests\""),
            Self::ReadOnly(name) => write!(f, "{name} may be pushed to and has access \"read\"; write access = \"write\""),
            Self::RelativePath(name) => write!(f, "the upstream_path of {name} is relative; write one that begins with a slash"),
            Self::Twice(name) => write!(f, "{name} is granted twice; write one table for each repository"),
            Self::TooMany => write!(f, "more than {MAX_REPOSITORIES} repositories, or {MAX_PATTERNS} entries in one list"),
        }
    }
}

impl std::error::Error for GrantError {}

impl From<UnknownHost> for GrantError {
    fn from(error: UnknownHost) -> Self {
        Self::Host(error)
    }
}

fn excerpt(text: &str) -> Box<str> {
    text.chars().take(MAX_EXCERPT).flat_map(char::escape_debug).collect::<String>().into()
}

/// What lets a wiki be read and written to.
pub const WIKI: &str = "wiki";
/// What lets a wiki be read.
pub const WIKI_READ: &str = "wiki.read";
/// What lets pushes touch workflows: GitHub itself refuses one that does by a token of an App without it.
pub const WORKFLOWS: &str = "workflows";
/// Most repositories of one session.
const MAX_REPOSITORIES: usize = 256;
/// Most entries of `push`, `tags`, `bases`, `grants` and `deny_paths`.
const MAX_PATTERNS: usize = 256;
const MAX_PATTERN: usize = 255;
const MAX_CAPABILITY: usize = 64;
/// Most characters of an offending text that an error shows.
const MAX_EXCERPT: usize = 60;

#[cfg(test)]
mod tests;

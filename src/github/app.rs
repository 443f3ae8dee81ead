//! GitHub Apps: what its API says of an installation, what it is asked for, and the token that it made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU64,
    time::SystemTime,
};

use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, Serialize};

use super::{
    RepositoryName,
    identity::{Identity, RepositoryId},
};
use crate::secret::Secret;

/// How far a permission goes; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Read,
    Write,
    Admin,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a token may do with each of its repositories, by GitHub's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeMap<Box<str>, Level>);

impl Permissions {
    /// Adds one, or makes it go further.
    pub fn raise(&mut self, name: &str, level: Level) {
        let known = self.0.entry(name.into()).or_insert(level);
        *known = level.max(*known);
    }

    pub fn get(&self, name: &str) -> Option<Level> {
        self.0.get(name).copied()
    }

    /// What of it `other` goes as far as: a permission that it has less far is there less far, one that it lacks is not there.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let both = self.0.iter().filter_map(|(name, level)| Some((name.clone(), other.get(name)?.min(*level))));
        Self(both.collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Level)> {
        self.0.iter().map(|(name, level)| (&**name, *level))
    }
}

/// As in `contents: write, metadata: read`.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, level)) in self.iter().enumerate() {
            write!(f, "{}{name}: {}", if number > 0 { ", " } else { "" }, level.as_str())?;
        }
        Ok(())
    }
}

/// The number of an installation of an App, which is one account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(NonZeroU64);

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The installation of an App that covers a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub id: InstallationId,
    /// What its owner lets it do at most.
    pub permissions: Permissions,
    pub is_suspended: bool,
}

impl Installation {
    /// Reads the answer to `GET /repos/OWNER/NAME/installation`, of which the rest means nothing here. `None` for anything else, and for
    /// more than [`MAX_ANSWER`] octets.
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            id: InstallationId,
            permissions: BTreeMap<Box<str>, Box<str>>,
            #[serde(default)]
            suspended_at: Option<Box<str>>,
        }
        let Answer { id, permissions, suspended_at } = read_object(body)?;
        // A level of a kind that is not known here is none that could be asked for.
        let known = permissions.into_iter().filter_map(|(name, level)| Some((name, level_of(&level)?)));
        Some(Self { id, permissions: Permissions(known.collect()), is_suspended: suspended_at.is_some() })
    }
}

fn level_of(word: &str) -> Option<Level> {
    [Level::Read, Level::Write, Level::Admin].into_iter().find(|level| level.as_str() == word)
}

/// What a token is asked to be good for: never for everything that an installation covers, which is what an empty list would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    repositories: Repositories,
    permissions: Permissions,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Repositories {
    /// By `owner/name`, all of one owner.
    Named(BTreeSet<RepositoryName>),
    Numbered(BTreeSet<RepositoryId>),
}

impl TokenRequest {
    /// To learn which numbers these names have, and for nothing else. `None` for no name.
    pub fn learning(names: BTreeSet<RepositoryName>) -> Option<Self> {
        let mut permissions = Permissions::default();
        permissions.raise(METADATA, Level::Read);
        (!names.is_empty()).then_some(Self { repositories: Repositories::Named(names), permissions })
    }

    /// `None` for no repository, or no permission.
    pub fn new(repositories: BTreeSet<RepositoryId>, permissions: Permissions) -> Option<Self> {
        let is_narrow = !repositories.is_empty() && !permissions.0.is_empty();
        is_narrow.then_some(Self { repositories: Repositories::Numbered(repositories), permissions })
    }

    /// The body of `POST /app/installations/ID/access_tokens`.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'r> {
            #[serde(skip_serializing_if = "Option::is_none")]
            repositories: Option<Vec<&'r str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            repository_ids: Option<&'r BTreeSet<RepositoryId>>,
            permissions: &'r Permissions,
        }
        let (repositories, repository_ids) = match &self.repositories {
            // An installation is one account's, and its repositories are named without it.
            Repositories::Named(names) => (Some(names.iter().filter_map(|name| Some(name.path().split_once('/')?.1)).collect()), None),
            Repositories::Numbered(ids) => (None, Some(ids)),
        };
        serde_json::to_vec(&Body { repositories, repository_ids, permissions: &self.permissions }).unwrap_or_default()
    }

    /// Whether what was made is what was asked for, and nothing more.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn check(&self, made: MadeToken) -> Result<Narrowed, Mismatch> {
        let MadeToken { secret, expires, permissions, repositories } = made;
        if permissions != self.permissions {
            return Err(Mismatch { wider: Wider::Permissions(permissions), secret });
        }
        let is_asked = match &self.repositories {
            Repositories::Named(names) => names.iter().map(RepositoryName::path).eq(sorted(&repositories, |found| found.name.path())),
            Repositories::Numbered(ids) => ids.iter().copied().eq(sorted(&repositories, |found| found.id)),
        };
        if is_asked {
            Ok(Narrowed { secret, expires, repositories })
        } else {
            Err(Mismatch { wider: Wider::Repositories(repositories.len()), secret })
        }
    }
}

fn sorted<'i, T: Ord>(found: &'i [Identity], key: impl Fn(&'i Identity) -> T) -> Vec<T> {
    let mut keys: Vec<_> = found.iter().map(key).collect();
    keys.sort_unstable();
    keys
}

/// A token as it was made, whatever it is good for.
#[derive(Debug)]
pub struct MadeToken {
    secret: Secret,
    expires: SystemTime,
    permissions: Permissions,
    repositories: Vec<Identity>,
}

impl MadeToken {
    /// Reads the answer to a [`TokenRequest`], of which the rest means nothing here. `None` for anything else, for a token that could not
    /// stand in a field, and for more than [`MAX_ANSWER`] octets.
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            token: &'a str,
            expires_at: &'a str,
            permissions: Permissions,
            #[serde(borrow)]
            repositories: Vec<Repository<'a>>,
        }
        #[derive(Deserialize)]
        struct Repository<'a> {
            id: RepositoryId,
            full_name: &'a str,
        }
        let Answer { token, expires_at, permissions, repositories } = read_object(body)?;
        let is_token = (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            return None;
        }
        let identity = |Repository { id, full_name }| {
            let (owner, name) = full_name.split_once('/')?;
            Some(Identity { id, name: RepositoryName::from_parts(owner, name).ok()? })
        };
        Some(Self {
            secret: Secret::new(token),
            expires: expires_at.parse::<Timestamp>().ok()?.into(),
            permissions,
            repositories: repositories.into_iter().map(identity).collect::<Option<_>>()?,
        })
    }
}

/// A token that is good for what it was asked for and for nothing else.
#[derive(Debug)]
#[must_use]
pub struct Narrowed {
    pub secret: Secret,
    /// By GitHub's clock.
    pub expires: SystemTime,
    /// Each of its repositories once.
    pub repositories: Vec<Identity>,
}

/// A token that is good for something else than was asked for, to be taken back.
#[derive(Debug)]
pub struct Mismatch {
    pub wider: Wider,
    pub secret: Secret,
}

/// What else a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wider {
    Permissions(Permissions),
    /// For so many repositories, which are not those that were asked for.
    Repositories(usize),
}

impl fmt::Display for Wider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permissions(permissions) => write!(f, "it may do something else than was asked for: {permissions}"),
            Self::Repositories(count) => write!(f, "it is good for {count} repositories, which are not those that were asked for"),
        }
    }
}

/// The moment that a field `Date` names (RFC 9110, section 5.6.7).
pub fn read_date(value: &str) -> Option<SystemTime> {
    rfc2822::DateTimeParser::new().parse_timestamp(value).ok().map(Into::into)
}

/// An object of bounded size; serde would read an array as the fields in their order.
fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let is_object = body.len() <= MAX_ANSWER && body.trim_ascii_start().starts_with(b"{");
    if is_object { serde_json::from_slice(body).ok() } else { None }
}

/// What every token of an App has.
pub const METADATA: &str = "metadata";
/// Most octets of an answer: a token's tells all about each of its repositories.
pub const MAX_ANSWER: usize = 4 << 20;
/// Most octets of a token.
const MAX_TOKEN: usize = 8192;

#[cfg(test)]
mod tests;

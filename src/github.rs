//! What a request means to git and GitHub.
//!
//! Pure readers, like those of `wire`: what two readers could read differently is refused, and what goes upstream is written anew
//! from what was understood.

mod pkt_line;
mod form;

pub mod hosts;
pub mod files;
pub mod identity;
pub mod app;
pub mod push;
pub mod api;
pub mod lfs;
pub mod route;
mod headers;
pub mod report;
pub mod words;
pub mod denied;
pub mod advertisement;
pub mod ls_refs;
pub mod fetch;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::headers::{
    ContentEncoding, HeaderError, ProtocolVersion, answer_content_type, check_answer_type, check_content_type, request_content_type,
};
use crate::{
    destination::{Host, Name},
    reason::Reason,
    wire::excerpt,
};

/// A repository as it is looked up: `[host/]owner/name` in lower case, without `.git`. Without a host it is the one of that name at
/// the first `[[github]]`; the same name at two hosts is two repositories.
///
/// GitHub knows no two repositories whose names differ in case only. A wiki is a repository of its own, `name.wiki`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName {
    host: Option<Name>,
    text: Box<str>,
    /// Where the owner begins.
    owner: usize,
    /// Where the slash behind the owner stands.
    slash: usize,
}

impl RepositoryName {
    /// Reads `OWNER/NAME`, `OWNER/NAME.git` or either behind `HOST/`, in any case.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some((first, rest)) = text.split_once('/') else { return Err(NameError::Form(excerpt(text.as_bytes()))) };
        match rest.split_once('/') {
            None => Self::from_parts(first, rest),
            Some((owner, name)) => Ok(Self::from_parts(owner, name)?.at(Some(host(first)?))),
        }
    }

    /// The same from two segments of a path.
    ///
    /// An owner is 1 to [`MAX_OWNER`] of `A-Z a-z 0-9 - _`, a name 1 to [`MAX_NAME`] of these and `.`, but neither `.` nor `..`.
    pub fn from_parts(owner: &str, name: &str) -> Result<Self, NameError> {
        let in_owner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if owner.is_empty() || owner.len() > MAX_OWNER || !owner.bytes().all(in_owner) {
            return Err(NameError::Owner(excerpt(owner.as_bytes())));
        }
        let bare = without_git(name).unwrap_or(name);
        let in_name = |byte: u8| in_owner(byte) || byte == b'.';
        // Servers differ on how many ".git" they take off.
        let ambiguous = without_git(bare).is_some();
        if bare.is_empty() || bare.len() > MAX_NAME || !bare.bytes().all(in_name) || ambiguous || matches!(bare, "." | "..") {
            return Err(NameError::Name(excerpt(name.as_bytes())));
        }
        Ok(Self { host: None, text: format!("{owner}/{bare}").to_ascii_lowercase().into(), owner: 0, slash: owner.len() })
    }

    /// The repository of this name at another host; `None`: at the first `[[github]]`.
    #[must_use]
    pub fn at(self, host: Option<Name>) -> Self {
        let (path, length) = (self.path(), self.slash - self.owner);
        let (text, owner) = match &host {
            Some(host) => (format!("{}/{path}", host.as_str()).into(), host.as_str().len() + 1),
            None => (path.into(), 0),
        };
        Self { host, text, owner, slash: owner + length }
    }

    /// The same repository by what it is called where names without a host mean `now`, and no longer `before`.
    #[must_use]
    pub fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Self {
        let host = rehosted(self.host.clone(), before, now);
        self.at(host)
    }

    /// `None`: the first `[[github]]`.
    pub fn host(&self) -> Option<&Name> {
        self.host.as_ref()
    }

    /// `[host/]owner/name`, for people and records.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `owner/name`, as its host knows it.
    pub fn path(&self) -> &str {
        &self.text[self.owner..]
    }

    pub fn owner(&self) -> &str {
        &self.text[self.owner..self.slash]
    }

    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// The repository whose wiki this one is, by its name.
    pub fn has_wiki(&self) -> Option<Self> {
        Some(Self::from_parts(self.owner(), self.name().strip_suffix(WIKI)?).ok()?.at(self.host.clone()))
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.text.into()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A host by what it is called where leaving it out means `now`, and no longer `before`.
pub fn rehosted(host: Option<Name>, before: Option<&Name>, now: Option<&Name>) -> Option<Name> {
    host.or_else(|| before.cloned()).filter(|host| Some(host) != now)
}

fn host(text: &str) -> Result<Name, NameError> {
    match Host::parse(text.as_bytes()) {
        // One spelling: without the root's dot.
        Ok(Host::Name(name)) if !text.ends_with('.') => Ok(name),
        Ok(_) | Err(_) => Err(NameError::Host(excerpt(text.as_bytes()))),
    }
}

fn without_git(name: &str) -> Option<&str> {
    let (bare, suffix) = name.split_at_checked(name.len().checked_sub(GIT.len())?)?;
    suffix.eq_ignore_ascii_case(GIT).then_some(bare)
}

/// What names no repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// Not two parts with a slash between them.
    Form(Box<str>),
    /// No name before two parts.
    Host(Box<str>),
    Owner(Box<str>),
    Name(Box<str>),
}

impl NameError {
    pub fn reason(&self) -> Reason {
        Reason::RepositoryNotGranted
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => write!(f, "a repository is written OWNER/NAME or HOST/OWNER/NAME: \"{text}\""),
            Self::Host(host) => write!(f, "the host of a repository is a name, as in HOST/OWNER/NAME: \"{host}\""),
            Self::Owner(owner) => {
                write!(f, "the owner of a repository is 1 to {MAX_OWNER} letters, digits, \"-\" and \"_\": \"{owner}\"")
            }
            Self::Name(name) => {
                write!(
                    f,
                    "the name of a repository is 1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\", and \".git\" once: \"{name}\""
                )
            }
        }
    }
}

impl std::error::Error for NameError {}

/// What git does at a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Fetching.
    UploadPack,
    /// Pushing.
    ReceivePack,
}

impl Service {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The service of this name, spelled exactly.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|service| service.as_str() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Most characters of an owner on GitHub.
pub const MAX_OWNER: usize = 39;

/// Most characters of a repository's name on GitHub.
pub const MAX_NAME: usize = 100;

const GIT: &str = ".git";

/// What stands behind the name of a repository in that of its wiki.
pub const WIKI: &str = ".wiki";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name() {
        for text in ["octo/spoon", "Octo/SPOON", "octo/spoon.git", "octo/Spoon.GIT"] {
            let name = RepositoryName::parse(text).unwrap();
            assert_eq!((name.as_str(), name.owner(), name.name()), ("octo/spoon", "octo", "spoon"), "{text}");
            assert_eq!((name.path(), name.host()), ("octo/spoon", None));
        }
        for text in ["o/.github", "o_x/r", "-o/-r", "o/r.wiki", "o/...", "o/git", "o/.gitx"] {
            assert_eq!(RepositoryName::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(RepositoryName::parse("o/r.wiki.git").unwrap().as_str(), "o/r.wiki");
        for (text, of) in [("O/R.wiki.git", Some("o/r")), ("o/r", None), ("o/wiki", None), ("o/.wiki", None), ("o/r.wiki.x", None)] {
            assert_eq!(RepositoryName::parse(text).unwrap().has_wiki(), of.map(|of| RepositoryName::parse(of).unwrap()), "{text}");
        }
    }

    /// G-02, and the same owner and name at two hosts.
    #[test]
    fn a_repository_is_its_host_s() {
        let [here, there] = ["octo/spoon", "GHE.example/Octo_1/Spoon.git"].map(|text| RepositoryName::parse(text).unwrap());
        assert_eq!((there.as_str(), there.path()), ("ghe.example/octo_1/spoon", "octo_1/spoon"));
        assert_eq!((there.host().unwrap().as_str(), there.owner(), there.name()), ("ghe.example", "octo_1", "spoon"));
        let moved = here.clone().at(there.host().cloned());
        assert_eq!((moved.as_str(), moved.owner(), moved.name()), ("ghe.example/octo/spoon", "octo", "spoon"));
        assert_ne!(moved, here);
        assert_eq!(moved.clone().at(None), here);
        assert_eq!(RepositoryName::parse(moved.as_str()), Ok(moved));
    }

    #[test]
    fn a_name_stays_a_repository_s_when_another_host_comes_first() {
        let [one, other] = ["one.test", "other.test"].map(|text| host(text).unwrap());
        for (written, before, now, expected) in [
            ("o/r", Some(&one), Some(&one), "o/r"),
            ("o/r", Some(&one), Some(&other), "one.test/o/r"),
            ("other.test/o/r", Some(&one), Some(&other), "o/r"),
            ("o/r", None, Some(&one), "o/r"),
            ("o/r", Some(&one), None, "one.test/o/r"),
            ("third.test/o/r", Some(&one), Some(&other), "third.test/o/r"),
        ] {
            let name = RepositoryName::parse(written).unwrap();
            assert_eq!(name.seen_from(before, now).as_str(), expected, "{written} {before:?} {now:?}");
        }
    }

    #[test]
    fn what_names_no_repository() {
        let (owner, name) = (|text: &str| NameError::Owner(text.into()), |text: &str| NameError::Name(text.into()));
        for (text, error) in [
            ("", NameError::Form("".into())),
            ("octo", NameError::Form("octo".into())),
            ("/r", owner("")),
            ("o.o/r", owner("o.o")),
            ("o%6f/r", owner("o%6f")),
            ("o/", name("")),
            ("o/r/x/y", name("x/y")),
            ("/o/r", NameError::Host("".into())),
            ("127.0.0.1/o/r", NameError::Host("127.0.0.1".into())),
            ("https://o/r", owner("")),
            ("ghe.example./o/r", NameError::Host("ghe.example.".into())),
            ("ghe.example:8443/o/r", NameError::Host("ghe.example:8443".into())),
            ("o/.", name(".")),
            ("o/..", name("..")),
            ("o/.git", name(".git")),
            ("o/..git", name("..git")),
            ("o/r.git.git", name("r.git.git")),
            ("o/r.GIT.git", name("r.GIT.git")),
            ("o/r;x", name("r;x")),
            ("o/r%2e", name("r%2e")),
            ("o/r\\x", name("r\\\\x")),
            ("o/r\0", name("r\\x00")),
            ("o/\u{e9}", name("\\xc3\\xa9")),
        ] {
            assert_eq!(RepositoryName::parse(text), Err(error), "{text:?}");
        }
        assert!(RepositoryName::from_parts(&"o".repeat(MAX_OWNER), &"r".repeat(MAX_NAME)).is_ok());
        assert!(RepositoryName::from_parts(&"o".repeat(MAX_OWNER + 1), "r").is_err());
        assert!(RepositoryName::from_parts("o", &"r".repeat(MAX_NAME + 1)).is_err());
    }
}

//! What a sandbox asks its owner for: read strictly, granted as it was asked for and no wider.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Policy,
    decision::{Protocol, RuleRef},
    document,
    grant::{Access, Grant, GrantError, PushEntry, RefPattern, RepositoryGrant},
    index::{Entry, Index, ListKind},
    patterns::{self, Pattern},
};
use crate::{
    destination::{Destination, Name},
    github::{RepositoryName, push::RefName},
};

/// What a sandbox sends: a wish, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    pub wish: Wish,
    pub why: Words,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenWish", into = "WrittenWish")]
pub enum Wish {
    /// To reach a host: an entry of `allow`, of one name or address, without a star.
    Host(HostWish),
    /// To read a repository; with a ref, to push that ref too.
    Repository(RepositoryWish),
}

impl Wish {
    /// The same by what repositories are called where names without a host mean `now`, and no longer `before`.
    #[must_use]
    pub fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Self {
        match self {
            Self::Host(host) => Self::Host(host),
            Self::Repository(wish) => Self::Repository(RepositoryWish { repository: wish.repository.seen_from(before, now), ..wish }),
        }
    }
}

/// A host, and a port where it is not one of the web's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWish {
    destination: Destination,
    /// As a policy has it.
    entry: Box<str>,
}

/// A repository, and the one ref of it that is to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryWish {
    pub repository: RepositoryName,
    /// A branch or a tag, whole and without a star.
    pub reference: Option<RefName>,
}

impl Asking {
    /// Reads one JSON object, `{"host": "example.com:8443", "why": "…"}` or `{"repository": "octo/spoon", "access": "write", "ref":
    /// "refs/heads/x", "why": "…"}`, of at most [`MAX_ASKING`] octets. `why` may be left out, `access` too: it follows from `ref`.
    ///
    /// # Errors
    /// Anything else, a key that is unknown or written twice, and what no owner could grant.
    pub fn parse(body: &[u8]) -> Result<Self, AskingError> {
        if body.len() > MAX_ASKING {
            return Err(AskingError(format!("it is longer than {MAX_ASKING} bytes")));
        }
        // serde would read an array as the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(AskingError("it is no JSON object".to_owned()));
        }
        let written: WrittenAsking = serde_json::from_slice(body).map_err(|error| AskingError(error.to_string()))?;
        let WrittenAsking { host, repository, access, reference, why } = written;
        let wish = Wish::try_from(WrittenWish { host, repository, access, reference })?;
        Ok(Self { wish, why: Words::of(&why)? })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAsking {
    host: Option<String>,
    repository: Option<String>,
    access: Option<Access>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    why: String,
}

/// A wish as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWish {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl TryFrom<WrittenWish> for Wish {
    type Error = AskingError;

    fn try_from(written: WrittenWish) -> Result<Self, AskingError> {
        match written {
            WrittenWish { host: Some(host), repository: None, access: None, reference: None } => HostWish::parse(&host).map(Self::Host),
            WrittenWish { host: None, repository: Some(repository), access, reference } => {
                RepositoryWish::parse(&repository, access, reference.as_deref()).map(Self::Repository)
            }
            _ => Err(AskingError("write either \"host\", or \"repository\" with \"access\" and \"ref\"".to_owned())),
        }
    }
}

impl From<Wish> for WrittenWish {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Host(HostWish { entry, .. }) => Self { host: Some(entry.into()), repository: None, access: None, reference: None },
            Wish::Repository(RepositoryWish { repository, reference }) => Self {
                host: None,
                repository: Some(repository.into()),
                access: Some(if reference.is_some() { Access::Write } else { Access::Read }),
                reference: reference.map(|name| name.as_str().to_owned()),
            },
        }
    }
}

/// As its owner reads it: nothing in it moves a terminal.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(HostWish { entry, .. }) => write!(f, "to reach {entry}"),
            Self::Repository(RepositoryWish { repository, reference: None }) => write!(f, "to read {repository}"),
            Self::Repository(RepositoryWish { repository, reference: Some(name) }) => {
                write!(f, "to push {} of {repository}", visible(name.as_str()))
            }
        }
    }
}

impl HostWish {
    /// Reads `HOST` or `HOST:PORT`. Of the ports of the web, 443 and 80, an entry means both.
    fn parse(text: &str) -> Result<Self, AskingError> {
        let Destination { host, port } = Destination::parse(text.as_bytes(), Some(443)).map_err(|error| AskingError(error.to_string()))?;
        let port = Protocol::port_to_write(port);
        let entry = patterns::entry(&host, port);
        let destination = Destination { host, port: port.unwrap_or(443) };
        entry.parse::<Pattern>().and_then(|pattern| pattern.check_width()).map_err(|error| AskingError(error.message))?;
        Ok(Self { destination, entry: entry.into() })
    }

    /// Where the sandbox wants to go.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The entry of `allow` that would let it.
    pub fn entry(&self) -> &str {
        &self.entry
    }
}

impl RepositoryWish {
    fn parse(repository: &str, access: Option<Access>, reference: Option<&str>) -> Result<Self, AskingError> {
        let repository = RepositoryName::parse(repository).map_err(|error| AskingError(error.to_string()))?;
        match (access, reference) {
            (Some(Access::Write), None) => Err(AskingError("name the one \"ref\" to be written, such as \"refs/heads/fix-1\"".to_owned())),
            (Some(Access::Read), Some(_)) => Err(AskingError("a \"ref\" is to be written: \"access\" is \"write\" then".to_owned())),
            (_, None) => Ok(Self { repository, reference: None }),
            (_, Some(reference)) => {
                let name = RefName::parse(reference.as_bytes()).map_err(|error| AskingError(error.to_string()))?;
                if !reference.chars().all(is_visible) {
                    return Err(AskingError(format!("no ref that its owner could read: {}", visible(reference))));
                }
                let wish = Self { repository, reference: Some(name) };
                // What no grant can hold is not worth a question.
                wish.granted_beside(None).map_err(|error| AskingError(error.to_string()))?;
                Ok(wish)
            }
        }
    }

    /// The rights to the repository once it is granted, `before` being those there are. A ref gets what the other refs of the
    /// repository have.
    pub fn granted_beside(&self, before: Option<&RepositoryGrant>) -> Result<RepositoryGrant, GrantError> {
        let mut granted = before.cloned().unwrap_or_else(|| RepositoryGrant::reading(self.repository.clone()));
        if let Some(name) = &self.reference {
            let text = name.as_str();
            if text.starts_with(TAGS) {
                add(&mut granted.tags, RefPattern::of_tags(text)?);
            } else {
                add(&mut granted.push, PushEntry::parse(text)?);
            }
            granted.access = Access::Write;
        }
        Ok(granted)
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

impl Grant {
    /// The same, and what is wished beside it.
    ///
    /// # Errors
    /// More than a grant can hold.
    pub fn granting(&self, wish: &RepositoryWish) -> Result<Self, GrantError> {
        let mut repositories = self.repositories().to_vec();
        match repositories.iter_mut().find(|granted| granted.name == wish.repository) {
            Some(granted) => *granted = wish.granted_beside(Some(granted))?,
            None => repositories.push(wish.granted_beside(None)?),
        }
        Self::new(repositories)
    }
}

impl Policy {
    /// The same, and these hosts beside what the document allows: each counts only where no entry of the document does, and at level
    /// none not at all, like any other entry of `allow`.
    #[must_use]
    pub fn granting<'w>(&self, wishes: impl IntoIterator<Item = &'w HostWish>) -> Self {
        let source: Arc<str> = GRANTED.into();
        let entry = |(line, wish): (u32, &HostWish)| {
            let rule = RuleRef { entry: (*wish.entry).into(), source: Arc::clone(&source), line };
            let pattern = wish.entry.parse().ok()?;
            Some(Entry { list: ListKind::Allow, pattern, speaks: None, until: None, report: false, intercept: false, rule, group: None })
        };
        let counts = self.access != document::Access::None;
        let entries = (1..).zip(wishes).filter(|_| counts).filter_map(entry).collect();
        Self { granted: Arc::new(Index::new(entries)), ..self.clone() }
    }
}

/// A few words of somebody who is not to be trusted, on one line, safe to show on a terminal: what would not be seen, or would change how
/// the rest is seen, is written as Rust escapes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Words(Box<str>);

impl Words {
    /// Any text of at most [`MAX_WORDS`] characters.
    pub fn of(text: &str) -> Result<Self, AskingError> {
        if text.chars().nth(MAX_WORDS).is_some() {
            return Err(AskingError(format!("a reason has at most {MAX_WORDS} characters")));
        }
        Ok(Self(visible(text.trim()).into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Words {
    type Error = AskingError;

    fn try_from(text: String) -> Result<Self, AskingError> {
        if text.chars().all(is_visible) { Ok(Self(text.into())) } else { Err(AskingError("a reason holds what is not shown".to_owned())) }
    }
}

impl From<Words> for String {
    fn from(words: Words) -> Self {
        words.0.into()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn visible(text: &str) -> String {
    text.chars().flat_map(|letter| if is_visible(letter) { [letter].to_vec() } else { letter.escape_debug().collect() }).collect()
}

/// Whether a letter is seen as itself: no control, no mark that changes its neighbours or their order, no blank but the common one.
fn is_visible(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().len() == 1
}

/// Why something cannot be asked for: no whole sentence, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskingError(String);

impl fmt::Display for AskingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AskingError {}

/// Most octets of what a sandbox sends.
pub const MAX_ASKING: usize = 4096;
/// Most characters of a reason.
pub const MAX_WORDS: usize = 500;
const TAGS: &str = "refs/tags/";
/// Where an entry stands that no document has.
const GRANTED: &str = "granted by the owner";

#[cfg(test)]
mod tests;

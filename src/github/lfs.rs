//! Git LFS over HTTP (git-lfs, `docs/api`): what is asked below a repository's `info/lfs`, and what an upstream answers.
//!
//! Both sides are read strictly and written anew from what was understood: a key that is not known leads nowhere, and one that stands
//! twice refuses the whole. What an upstream names (links, and the header fields they want) never reaches a sandbox.

mod object;
mod href;
mod range;
mod locks;
mod batch;
mod answer;

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

pub use self::{
    answer::{Action, Answered, BatchAnswer, Link, MAX_ANSWER, Outcome},
    batch::{BatchRequest, MAX_OBJECTS, Operation},
    href::{Href, HrefError},
    locks::{LockAnswer, LockChange, LockListing, LockQuery},
    object::{MAX_SIZE, Object, Oid, read_object},
    range::{Range, is_range_of},
};
use super::push::RefNameError;
use crate::wire::excerpt;

/// The content type of every request and answer but those that carry an object.
pub const CONTENT_TYPE: &str = "application/vnd.git-lfs+json";

/// Octets of the longest request, the objects themselves apart.
pub const MAX_REQUEST: usize = 1 << 20;

/// What is asked below a repository's `info/lfs/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `POST objects/batch`: which objects are to be moved, and which way.
    Batch,
    /// `GET locks`.
    Locks,
    /// `POST locks`.
    CreateLock,
    /// `POST locks/verify`: which locks a push has to heed.
    VerifyLocks,
    /// `POST locks/ID/unlock`.
    Unlock(LockId),
    /// An object itself, by a link that an answer of ours named.
    Transfer(Handle),
}

impl Call {
    /// Reads the path below `info/lfs/`, and the method that goes with it.
    ///
    /// # Errors
    /// The method that belongs to a path that is known; none where the path is not.
    pub fn parse(method: &str, below: &str) -> Result<Self, Option<&'static str>> {
        let call = match below {
            "objects/batch" => Self::Batch,
            "locks" if method == "GET" => Self::Locks,
            "locks" if method == "POST" => Self::CreateLock,
            "locks" => return Err(Some("GET or POST")),
            "locks/verify" => Self::VerifyLocks,
            other => match (other.strip_prefix("locks/"), other.strip_prefix(TRANSFERS)) {
                (Some(lock), _) => Self::Unlock(lock.strip_suffix("/unlock").and_then(LockId::parse).ok_or(None)?),
                (_, Some(handle)) => Self::Transfer(Handle::parse(handle).ok_or(None)?),
                (None, None) => return Err(None),
            },
        };
        let (fits, wanted) = match call {
            Self::Locks | Self::CreateLock => (true, "GET or POST"),
            Self::Transfer(_) => (matches!(method, "GET" | "PUT" | "POST"), "GET, PUT or POST"),
            Self::Batch | Self::VerifyLocks | Self::Unlock(_) => (method == "POST", "POST"),
        };
        if fits { Ok(call) } else { Err(Some(wanted)) }
    }
}

/// The path below `info/lfs/`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("objects/batch"),
            Self::Locks | Self::CreateLock => f.write_str("locks"),
            Self::VerifyLocks => f.write_str("locks/verify"),
            Self::Unlock(id) => write!(f, "locks/{id}/unlock"),
            Self::Transfer(handle) => write!(f, "{TRANSFERS}{handle}"),
        }
    }
}

/// What a server calls a lock: 1 to [`MAX_LOCK_ID`] letters, digits, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockId {
    octets: [u8; MAX_LOCK_ID],
    length: usize,
}

impl LockId {
    pub fn parse(text: &str) -> Option<Self> {
        let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut octets = [0; MAX_LOCK_ID];
        octets.get_mut(..text.len()).filter(|_| !text.is_empty() && text.bytes().all(spelled))?.copy_from_slice(text.as_bytes());
        Some(Self { octets, length: text.len() })
    }

    pub fn as_str(&self) -> &str {
        self.octets.get(..self.length).and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default()
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockId({self})")
    }
}

/// What is done by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Download,
    Upload,
    /// After an upload the server is asked whether it has the object.
    Verify,
}

impl Way {
    /// The method that goes with it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Download => "GET",
            Self::Upload => "PUT",
            Self::Verify => "POST",
        }
    }
}

/// Stands for a link of an upstream's in front of one sandbox: 256 random bits, written in base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle([u8; HANDLE]);

impl Handle {
    pub fn new(random: [u8; HANDLE]) -> Self {
        Self(random)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let octets = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Whoever has it may use it, so it is not shown.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(…)")
    }
}

/// A request or an answer that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LfsError {
    /// Not the JSON object that belongs there; where its reader stopped.
    Json {
        line: usize,
        column: usize,
    },
    /// No name of an object: 64 lower-case hexadecimal digits.
    Oid(Box<str>),
    /// Larger than [`MAX_SIZE`].
    Size(u64),
    /// An empty object by the name of another, or another by the name of the empty one.
    Empty,
    /// None, or more than [`MAX_OBJECTS`].
    Objects(usize),
    /// One object with two sizes.
    TwoSizes(Oid),
    /// Anything but `sha256`.
    HashAlgorithm(Box<str>),
    /// No transfer that is served among those that are offered: only `basic` is.
    Transfers,
    RefName(RefNameError),
    /// A path, an id or a cursor that is empty, too long, or holds a control character.
    Text(&'static str),
    /// A query with a key that is not known, that stands twice, or is not written as a form writes it.
    Query(Box<str>),
}

impl From<serde_json::Error> for LfsError {
    /// Of the error's own words none are kept: they repeat what was sent.
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

impl From<RefNameError> for LfsError {
    fn from(error: RefNameError) -> Self {
        Self::RefName(error)
    }
}

impl fmt::Display for LfsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => write!(f, "not the JSON that belongs there, from line {line}, column {column} on"),
            Self::Oid(oid) => write!(f, "an object is named by 64 lower-case hexadecimal digits: \"{oid}\""),
            Self::Size(size) => write!(f, "an object has at most {MAX_SIZE} octets: {size}"),
            Self::Empty => f.write_str("an object without octets has the SHA-256 of nothing, and no other object has"),
            Self::Objects(count) => write!(f, "a batch is of 1 to {MAX_OBJECTS} objects, ask in several: {count}"),
            Self::TwoSizes(oid) => write!(f, "one object has two sizes: {oid}"),
            Self::HashAlgorithm(name) => write!(f, "objects are named by sha256 alone: \"{name}\""),
            Self::Transfers => f.write_str("of the ways to transfer objects only basic is served, and it is not offered"),
            Self::RefName(error) => error.fmt(f),
            Self::Text(what) => write!(f, "a {what} is 1 to {} octets without control characters", locks::MAX_TEXT),
            Self::Query(key) => write!(f, "no query for locks: \"{key}\""),
        }
    }
}

impl std::error::Error for LfsError {}

/// Whether a path below a repository is one of Git LFS's, or looks like one: whoever asks for it reads its JSON.
pub fn is_path(path: &str) -> bool {
    path.contains("/info/lfs/")
}

/// A path as it may be shown: whoever has a handle may use it.
pub fn without_handle(path: &str) -> String {
    let before = |mark: &str| path.find(mark).map(|at| at + mark.len());
    let kept = if path.starts_with(HANDLES) { Some(HANDLES.len()) } else { before("/info/lfs/transfers/") };
    kept.and_then(|kept| path.get(..kept)).map_or_else(|| path.to_owned(), |kept| format!("{kept}-"))
}

/// Where the git door serves objects.
pub const HANDLES: &str = "/lfs/";
/// The same below a repository's `info/lfs/`.
const TRANSFERS: &str = "transfers/";
/// Octets of randomness.
pub const HANDLE: usize = 32;
/// Longest name of a lock.
pub const MAX_LOCK_ID: usize = 64;

#[cfg(test)]
mod tests;

//! Calls of GitHub's REST API: what a sandbox asks for, read once and strictly, so that what is judged is what leaves.

mod entrance;
mod json;
mod target;
mod search;
mod words;
mod question;
mod veil;
pub mod links;
pub mod local;
pub mod waiting;

use std::fmt;

use serde_json::Value;

pub use self::{
    entrance::{Entrance, Service},
    json::{JsonError, MAX_BODY, MAX_DEPTH},
    question::{Answer, Head, MAX_ANSWER, Question, read_made},
    search::{Search, SearchError},
    veil::Veil,
    words::find_command,
};
use super::RepositoryName;
use crate::{destination::Name, reason::Reason, wire::excerpt};

/// One call, whichever door brought it and whatever stood before its path there.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub method: Method,
    /// Whether only the head of the answer is wanted (HEAD, which is judged as GET).
    pub head_only: bool,
    /// The decoded segments of the path: `["repos", "octo", "spoon", "pulls"]`. One holds a slash where it was written `%2F`.
    pub segments: Vec<Box<str>>,
    /// The decoded fields of the query, in their order, each once.
    pub query: Vec<(Box<str>, Box<str>)>,
    /// The object of the body, where there is one. It is written anew from this before it leaves.
    pub body: Option<Value>,
    /// Whether it is one of the uploads host's, whose body is a file and no JSON.
    pub is_upload: bool,
}

impl Call {
    /// Reads a call by its method, its target in origin-form below the API's own prefix, and its body of at most [`MAX_BODY`] octets,
    /// empty where it has none. The body of an upload is not read.
    ///
    /// What two servers could read differently is refused: a path by the rules of [`CanonicalTarget`](crate::wire::path::CanonicalTarget), but that
    /// `%2F` may stand inside a segment; a field of the query that stands twice; JSON that is not strict.
    pub fn read(method: &str, target: &str, body: &[u8], is_upload: bool) -> Result<Self, CallError> {
        let (named, head_only) = Method::parse(method).ok_or_else(|| CallError::Method(excerpt(method.as_bytes())))?;
        let (segments, query) = target::read(target)?;
        if named == Method::Get && !body.is_empty() {
            return Err(CallError::Body);
        }
        let body = if is_upload || body.is_empty() { None } else { Some(json::read(body).map_err(CallError::Json)?) };
        Ok(Self { method: named, head_only, segments, query, body, is_upload })
    }

    /// The target as it leaves, in origin-form below the API's own prefix. With `repository`, `owner/name`, that stands in the path in place
    /// of the name that a repository was asked for by.
    pub fn target(&self, repository: Option<&str>) -> String {
        let names = repository.filter(|_| self.segments.first().is_some_and(|first| &**first == REPOS));
        target::write(&self.segments, names, &self.query)
    }

    /// The repository that the path names by owner and name, at this host or the first one.
    pub fn repository(&self, host: Option<&Name>) -> Option<RepositoryName> {
        match &*self.segments {
            [first, owner, name, ..] if &**first == REPOS => Some(RepositoryName::from_parts(owner, name).ok()?.at(host.cloned())),
            _ => None,
        }
    }

    /// The value of a field of the query.
    pub fn find_query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }

    /// The value of a field of the body.
    pub fn find_field(&self, key: &str) -> Option<&Value> {
        self.body.as_ref()?.get(key)
    }
}

/// What GitHub's API is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of a request, spelled exactly, and whether it wants the head of the answer alone.
    pub fn parse(method: &str) -> Option<(Self, bool)> {
        if method == "HEAD" {
            return Some((Self::Get, true));
        }
        Self::ALL.into_iter().find(|known| known.as_str() == method).map(|known| (known, false))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is no call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    Method(Box<str>),
    /// A path that servers read in different ways, and why.
    Path(Box<str>),
    /// A field of the query without a plain name, in an unknown spelling, or one that stands twice.
    Query(Box<str>),
    /// A body where none belongs.
    Body,
    Json(JsonError),
}

impl CallError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Method(_) => Reason::ApiNotAllowed,
            Self::Path(_) | Self::Query(_) | Self::Body | Self::Json(_) => Reason::BadRequest,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => write!(f, "GitHub's API is asked with GET, HEAD, POST, PUT, PATCH or DELETE: \"{method}\""),
            Self::Path(why) => f.write_str(why),
            Self::Query(field) => write!(f, "a field of the query has a plain name, one value and stands once: \"{field}\""),
            Self::Body => f.write_str("a GET has no body"),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

/// What the path of a repository begins with.
const REPOS: &str = "repos";

#[cfg(test)]
mod tests;

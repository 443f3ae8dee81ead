//! Which of git's own requests (its `http-protocol`) a request is, or of Git LFS's, or that it is none.

use std::fmt;

use super::{
    NameError, RepositoryName, Service,
    api::Entrance,
    host,
    lfs::{self, Call, Handle},
};
use crate::{reason::Reason, wire::excerpt};

/// One of git's requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    pub repository: RepositoryName,
    pub kind: Kind,
}

/// What a request asks of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `GET …/info/refs?service=…`: what refs there are.
    Advertisement(Service),
    /// `POST …/git-upload-pack` or `…/git-receive-pack`.
    Rpc(Service),
}

impl Kind {
    pub const fn service(self) -> Service {
        match self {
            Self::Advertisement(service) | Self::Rpc(service) => service,
        }
    }
}

/// A request that is served at a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    Git(Route),
    Lfs(RepositoryName, Call),
    /// An object of Git LFS's, by a link that an answer of ours named.
    Object(Handle),
    /// A call of GitHub's API, which names its repository in ways of its own.
    Api(Entrance),
}

impl Wanted {
    /// The same, its repository called as `name` has it.
    pub fn calling<E>(self, name: impl FnOnce(RepositoryName) -> Result<RepositoryName, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Git(Route { repository, kind }) => Self::Git(Route { repository: name(repository)?, kind }),
            Self::Lfs(repository, call) => Self::Lfs(name(repository)?, call),
            Self::Object(handle) => Self::Object(handle),
            Self::Api(entrance) => Self::Api(entrance),
        })
    }

    /// The repository that its path names.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Git(route) => Some(&route.repository),
            Self::Lfs(repository, _) => Some(repository),
            Self::Object(_) | Self::Api(_) => None,
        }
    }
}

/// Reads a request of git's or of Git LFS's below `/git/`, given its method and its target in origin-form. As in [`parse`] nothing
/// is decoded; below `info/lfs/` only a question for locks has a query, which is the caller's to read.
pub fn read(method: &str, target: &str) -> Result<Wanted, RouteError> {
    let Some(below) = target.strip_prefix(lfs::HANDLES) else { return read_below(PREFIX, true, method, target) };
    let handle = Handle::parse(below).ok_or_else(|| RouteError::Unknown(excerpt(target.as_bytes())))?;
    Call::parse(method, &Call::Transfer(handle).to_string()).map_err(|wanted| misused(method, target, wanted))?;
    Ok(Wanted::Object(handle))
}

/// The same on the host of a GitHub, where repositories stand at the root and among much else.
pub fn read_on_host(method: &str, target: &str) -> Result<Wanted, RouteError> {
    let path = target.split('?').next().unwrap_or_default();
    if lfs::is_path(path) || ENDS.iter().any(|end| path.ends_with(end)) {
        read_below("/", false, method, target)
    } else {
        Err(RouteError::Page(excerpt(path.as_bytes())))
    }
}

fn read_below(prefix: &str, names_host: bool, method: &str, target: &str) -> Result<Wanted, RouteError> {
    let (repository, rest, query) = split(prefix, names_host, target)?;
    let Some(below) = rest.strip_prefix(INFO_LFS) else {
        return parse_rest(repository, rest, query, method).map(Wanted::Git);
    };
    let call = Call::parse(method, below).map_err(|wanted| misused(method, rest, wanted))?;
    match query.filter(|_| call != Call::Locks) {
        Some(query) => Err(RouteError::Query(excerpt(query.as_bytes()))),
        None => Ok(Wanted::Lfs(repository, call)),
    }
}

/// Reads a request of git's below `/git/OWNER/NAME` or `/git/HOST/OWNER/NAME`, given its method and its target in origin-form. A first
/// segment with a dot is a host's name: no owner has one.
///
/// Nothing is decoded or normalised: a path that would have to be is refused, since two readers could do it differently. The
/// query is `service` once, with a name that is known, and only where refs are asked for.
pub fn parse(method: &str, target: &str) -> Result<Route, RouteError> {
    let (repository, rest, query) = split(PREFIX, true, target)?;
    parse_rest(repository, rest, query, method)
}

fn misused(method: &str, rest: &str, wanted: Option<&'static str>) -> RouteError {
    match wanted {
        Some(wanted) => RouteError::Method(excerpt(method.as_bytes()), wanted),
        None => RouteError::Unknown(excerpt(rest.as_bytes())),
    }
}

/// The repository, what of the path is left behind it, and the query.
fn split<'t>(prefix: &str, names_host: bool, target: &'t str) -> Result<(RepositoryName, &'t str, Option<&'t str>), RouteError> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = plain(path)?;
    let below = path.strip_prefix(prefix).ok_or_else(|| RouteError::Elsewhere(excerpt(path.as_bytes())))?;
    let (at, below) = match below.split_once('/') {
        Some((first, rest)) if names_host && first.contains('.') => {
            // Then it stands where an owner would.
            if rest.split_once('/').is_some_and(|(_, end)| end == INFO_REFS || Service::parse(end).is_some()) {
                return Err(NameError::Owner(excerpt(first.as_bytes())).into());
            }
            (Some(host(first)?), rest)
        }
        Some(_) | None => (None, below),
    };
    let mut segments = below.splitn(3, '/');
    let (owner, name) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    Ok((RepositoryName::from_parts(owner, name)?.at(at), segments.next().unwrap_or_default(), query))
}

fn parse_rest(repository: RepositoryName, rest: &str, query: Option<&str>, method: &str) -> Result<Route, RouteError> {
    let kind = match (rest, Service::parse(rest)) {
        (INFO_REFS, _) => Kind::Advertisement(parse_query(query)?),
        (_, Some(_)) if query.is_some() => return Err(RouteError::Query(excerpt(query.unwrap_or_default().as_bytes()))),
        (_, Some(service)) => Kind::Rpc(service),
        (_, None) => return Err(not_git(rest)),
    };
    let wanted = match kind {
        Kind::Advertisement(_) => "GET",
        Kind::Rpc(_) => "POST",
    };
    if method == wanted { Ok(Route { repository, kind }) } else { Err(RouteError::Method(excerpt(method.as_bytes()), wanted)) }
}

/// A path without anything that a server might decode, normalise or cut off.
fn plain(path: &str) -> Result<&str, RouteError> {
    let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let dots = |segment: &str| matches!(segment, "." | "..");
    let doubled = path.contains("//");
    if path.len() > MAX_PATH || doubled || !path.bytes().all(spelled) || path.split('/').any(dots) {
        return Err(RouteError::Path(excerpt(path.as_bytes())));
    }
    Ok(path)
}

fn parse_query(query: Option<&str>) -> Result<Service, RouteError> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Err(RouteError::Dumb(INFO_REFS.into())) };
    let value = query.strip_prefix("service=").filter(|value| !value.contains(['&', ';', '=', '?', '%', '+']));
    let value = value.ok_or_else(|| RouteError::Query(excerpt(query.as_bytes())))?;
    Service::parse(value).ok_or_else(|| RouteError::Service(excerpt(value.as_bytes())))
}

fn not_git(rest: &str) -> RouteError {
    let dumb = rest == "HEAD" || rest.starts_with("objects/");
    let shown = excerpt(rest.as_bytes());
    if dumb { RouteError::Dumb(shown) } else { RouteError::Unknown(shown) }
}

/// What is none of git's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// Not below `/git/`.
    Elsewhere(Box<str>),
    /// On the host of a GitHub, what is not spelled like a request of git's.
    Page(Box<str>),
    /// A path longer than [`MAX_PATH`], or one with an escape, an empty or dot segment, or a foreign character.
    Path(Box<str>),
    Name(NameError),
    /// A query that is not `service=…` once.
    Query(Box<str>),
    Service(Box<str>),
    /// A request of the protocol without a service, which reads a repository's files.
    Dumb(Box<str>),
    /// Something else below a repository.
    Unknown(Box<str>),
    /// The method that came, and the one that belongs to the route.
    Method(Box<str>, &'static str),
}

impl RouteError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Path(_) | Self::Query(_) => Reason::BadRequest,
            Self::Name(error) => error.reason(),
            Self::Page(_) => Reason::ApiNotAllowed,
            Self::Elsewhere(_) | Self::Service(_) | Self::Dumb(_) | Self::Unknown(_) => Reason::PathNotAllowed,
            Self::Method(method, _) if MIRRORING.contains(&&**method) => Reason::MethodRefused,
            Self::Method(..) => Reason::MethodNotAllowed,
        }
    }
}

impl From<NameError> for RouteError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(path) => {
                write!(f, "repositories are served below {PREFIX}OWNER/NAME and {PREFIX}HOST/OWNER/NAME, not at \"{path}\"")
            }
            Self::Page(path) => write!(f, "of this host git is served, at /OWNER/NAME.git, and the API, and not \"{path}\""),
            Self::Path(path) => write!(f, "write the path of a repository plainly, without escapes, empty or dot segments: \"{path}\""),
            Self::Name(error) => error.fmt(f),
            Self::Query(query) => write!(f, "the query is service=NAME once and nothing else where refs are asked for: \"{query}\""),
            Self::Service(name) => write!(f, "the services are git-upload-pack and git-receive-pack: \"{name}\""),
            Self::Dumb(what) => write!(f, "dumb HTTP is not served, use a git of version 1.6.6 or later: \"{what}\""),
            Self::Unknown(what) => write!(f, "none of git's requests, and none of Git LFS's: \"{what}\""),
            Self::Method(method, wanted) => write!(f, "this is asked for with {wanted}: \"{method}\""),
        }
    }
}

impl std::error::Error for RouteError {}

/// Methods that no door serves: they mirror credentials back (RFC 9110, section 9.3.8).
const MIRRORING: &[&str] = &["TRACE", "TRACK"];

/// Longest path in octets.
pub const MAX_PATH: usize = 256;

/// Where repositories are served.
const PREFIX: &str = "/git/";

const INFO_REFS: &str = "info/refs";

/// Where Git LFS asks.
const INFO_LFS: &str = "info/lfs/";

/// How every path of git's ends.
const ENDS: [&str; 3] = ["/info/refs", "/git-upload-pack", "/git-receive-pack"];

#[cfg(test)]
mod tests;

//! A link of an upstream's: where it leads, and the path and query that ask for one object. It may hold a signature, by which whoever
//! has the link has the object.

use std::fmt;

use http::uri::PathAndQuery;

use crate::destination::{Destination, DestinationError};

/// A link, shown only as far as its host.
#[derive(Clone, PartialEq, Eq)]
pub struct Href {
    /// Whether it is asked for over TLS.
    pub secure: bool,
    pub destination: Destination,
    target: PathAndQuery,
}

impl Href {
    /// Reads an absolute URL of the scheme `http` or `https`, of at most [`MAX_HREF`] printable characters, without user information and
    /// fragment.
    pub fn parse(url: &str) -> Result<Self, HrefError> {
        if url.len() > MAX_HREF {
            return Err(HrefError::TooLong);
        }
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(HrefError::Scheme),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let destination = Destination::parse(authority.as_bytes(), Some(if secure { 443 } else { 80 }))?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>');
        if !target.starts_with('/') || !target.bytes().all(plain) {
            return Err(HrefError::Path);
        }
        Ok(Self { secure, destination, target: target.parse().map_err(|_| HrefError::Path)? })
    }

    /// Path and query as they leave.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

impl fmt::Debug for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Href({}://{}/…)", if self.secure { "https" } else { "http" }, self.destination)
    }
}

/// What is no link. Nothing of it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HrefError {
    TooLong,
    Scheme,
    Authority(DestinationError),
    Path,
}

impl From<DestinationError> for HrefError {
    fn from(error: DestinationError) -> Self {
        Self::Authority(error)
    }
}

/// Longest link in octets.
const MAX_HREF: usize = 8 * 1024;

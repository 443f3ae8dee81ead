//! Where an upstream of the operator's own really is.

use std::fmt;

use crate::destination::{Destination, DestinationError};

/// `http://` or `https://`, a host, a port where it is not the scheme's, and a path to which paths are appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub secure: bool,
    pub destination: Destination,
    /// Empty, or segments that each begin with a slash.
    pub prefix: Box<str>,
}

impl Endpoint {
    /// Reads a URL without user information, query and fragment. A slash at its end says nothing.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(EndpointError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let destination = Destination::parse(authority.as_bytes(), Some(if secure { 443 } else { 80 }))?;
        let prefix = path.strip_suffix('/').unwrap_or(path);
        let spelled = |segment: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
            !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
        };
        if !prefix.is_empty() && !prefix.split('/').skip(1).all(spelled) {
            return Err(EndpointError::Path);
        }
        Ok(Self { secure, destination, prefix: prefix.into() })
    }

    /// The host, and the port where it is not the scheme's: what `Host` and `:authority` say.
    pub fn authority(&self) -> String {
        let Destination { host, port } = &self.destination;
        if *port == if self.secure { 443 } else { 80 } { host.to_string() } else { self.destination.to_string() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority(), self.prefix)
    }
}

/// A URL that names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    Scheme,
    Authority(DestinationError),
    Path,
}

impl From<DestinationError> for EndpointError {
    fn from(error: DestinationError) -> Self {
        Self::Authority(error)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a URL begins with https://, or with http:// where nothing has to be kept from the network"),
            Self::Authority(error) => error.fmt(f),
            Self::Path => f.write_str("the path of a base URL is plain segments, without query, fragment and escapes"),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_an_endpoint() {
        for (url, authority, shown) in [
            ("https://github.com", "github.com", "https://github.com"),
            ("https://GitHub.com:443/", "github.com", "https://github.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://ghe.example/api/v3/", "ghe.example", "https://ghe.example/api/v3"),
            ("http://[::1]:80", "[::1]", "http://[::1]"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((&*endpoint.authority(), &*endpoint.to_string()), (authority, shown), "{url}");
            assert_eq!(Endpoint::parse(shown), Ok(endpoint));
        }
    }

    #[test]
    fn urls_that_name_none() {
        for url in [
            "github.com",
            "ssh://github.com",
            "https://",
            "https://user@github.com",
            "https://github.com?x",
            "https://github.com/a?b",
            "https://github.com/a#b",
            "https://github.com/a//b",
            "https://github.com//",
            "https://github.com/../b",
            "https://github.com/%61",
            "https://github.com:0",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}

//! The request-target (RFC 9112, section 3.2), read by method and far more strictly than hyper does.

use std::fmt;

use super::excerpt;
use crate::{
    destination::{Destination, DestinationError},
    reason::Reason,
};

/// Longest request-target in octets.
pub const MAX_TARGET: usize = 8 * 1024;

/// What a request-target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestTarget {
    /// `CONNECT host:port`.
    Authority(Destination),
    /// `GET http://host[:port]/path?query`; the scheme is always `http`, the port 80 where none is written. Inside TLS the
    /// scheme is always `https`, the port 443.
    Absolute {
        destination: Destination,
        /// Path and query as they go upstream; begins with `/`.
        origin_form: Box<str>,
    },
    /// `GET /path?query`; begins with `/`. Neither path nor query is decoded or normalised.
    Origin(Box<str>),
    /// `OPTIONS *`.
    Asterisk,
}

/// Reads `target` in the form that `method` calls for: authority-form for CONNECT and for nothing else, asterisk-form for
/// OPTIONS only, otherwise absolute-form or origin-form.
///
/// Visible ASCII only, and none of `` " # < > \ ` ``: RFC 3986 has no place for them in a request-target, and servers
/// differ on what they mean. (`^ { | }` are as foreign to it, but clients send them and nobody mistakes them.)
pub fn parse(method: &str, target: &[u8]) -> Result<RequestTarget, TargetError> {
    read(method, target, parse_absolute)
}

/// The same for a request inside TLS, where absolute-form takes `https`, and the port is 443 where none is written.
pub fn parse_inside_tls(method: &str, target: &[u8]) -> Result<RequestTarget, TargetError> {
    read(method, target, parse_absolute_inside_tls)
}

type Absolute = fn(&str, &str) -> Result<RequestTarget, TargetError>;

fn read(method: &str, target: &[u8], absolute: Absolute) -> Result<RequestTarget, TargetError> {
    let target = printable(target)?;
    if method == "CONNECT" {
        return Ok(RequestTarget::Authority(Destination::parse(target.as_bytes(), None)?));
    }
    if target == "*" && method == "OPTIONS" {
        return Ok(RequestTarget::Asterisk);
    }
    if target.starts_with('/') {
        return Ok(RequestTarget::Origin(target.into()));
    }
    let (scheme, rest) = target.split_once("://").ok_or_else(|| TargetError::Form(excerpt(target.as_bytes())))?;
    absolute(scheme, rest)
}

fn printable(target: &[u8]) -> Result<&str, TargetError> {
    if target.is_empty() {
        return Err(TargetError::Empty);
    }
    if target.len() > MAX_TARGET {
        return Err(TargetError::TooLong);
    }
    if let Some(&byte) = target.iter().find(|byte| !byte.is_ascii_graphic() || FOREIGN.contains(byte)) {
        return Err(if byte == b'#' { TargetError::Fragment } else { TargetError::Character(byte) });
    }
    std::str::from_utf8(target).map_err(|_| TargetError::Empty)
}

fn parse_absolute(scheme: &str, rest: &str) -> Result<RequestTarget, TargetError> {
    if scheme.eq_ignore_ascii_case("https") {
        let (authority, _) = split_authority(rest);
        return Err(TargetError::HttpsWithoutConnect(Destination::parse(authority.as_bytes(), Some(443))?));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(TargetError::Scheme(excerpt(scheme.as_bytes())));
    }
    absolute(rest, 80)
}

fn parse_absolute_inside_tls(scheme: &str, rest: &str) -> Result<RequestTarget, TargetError> {
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::SchemeInsideTls(excerpt(scheme.as_bytes())));
    }
    absolute(rest, 443)
}

fn absolute(rest: &str, default_port: u16) -> Result<RequestTarget, TargetError> {
    let (authority, path_and_query) = split_authority(rest);
    let destination = Destination::parse(authority.as_bytes(), Some(default_port))?;
    let slash = if path_and_query.starts_with('/') { "" } else { "/" };
    Ok(RequestTarget::Absolute { destination, origin_form: format!("{slash}{path_and_query}").into() })
}

fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// A request-target that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    Empty,
    /// Longer than [`MAX_TARGET`].
    TooLong,
    Character(u8),
    /// A `#`, which a client keeps to itself (RFC 9112, section 3.2).
    Fragment,
    /// Not a form that the method may have.
    Form(Box<str>),
    /// Absolute-form with a scheme other than `http`.
    Scheme(Box<str>),
    /// Absolute-form with a scheme other than `https`, inside TLS.
    SchemeInsideTls(Box<str>),
    /// Absolute-form with `https`: TLS ends at the destination, so it is reached by CONNECT.
    HttpsWithoutConnect(Destination),
    Destination(DestinationError),
}

impl TargetError {
    pub fn reason(&self) -> Reason {
        Reason::BadRequest
    }
}

impl From<DestinationError> for TargetError {
    fn from(error: DestinationError) -> Self {
        Self::Destination(error)
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the request-target is empty"),
            Self::TooLong => write!(f, "the request-target is longer than {MAX_TARGET} octets"),
            Self::Character(byte) => write!(f, "\"{}\" may not stand in a request-target, percent-encode it", byte.escape_ascii()),
            Self::Fragment => f.write_str("a fragment may not stand in a request-target, leave out \"#\" and what follows"),
            Self::Form(target) => {
                write!(f, "the request-target has no form that its method may have, send http://host/path to the proxy: \"{target}\"")
            }
            Self::SchemeInsideTls(scheme) => write!(f, "inside TLS the scheme is https, not \"{scheme}\""),
            Self::Scheme(scheme) => write!(f, "a proxy serves http:// targets and CONNECT, no other scheme: \"{scheme}\""),
            Self::HttpsWithoutConnect(destination) => {
                write!(f, "an https:// target cannot be fetched without a tunnel, send CONNECT {destination} instead")
            }
            Self::Destination(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TargetError {}

/// Visible ASCII that may not stand in a request-target.
const FOREIGN: &[u8] = b"\"#<>\\`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn destination(text: &str) -> Destination {
        Destination::parse(text.as_bytes(), None).unwrap()
    }

    fn absolute(to: &str, origin_form: &str) -> RequestTarget {
        RequestTarget::Absolute { destination: destination(to), origin_form: origin_form.into() }
    }

    #[test]
    fn each_method_reads_its_own_form() {
        let table = [
            ("CONNECT", "a.test:443", RequestTarget::Authority(destination("a.test:443"))),
            ("CONNECT", "A.TEST.:8443", RequestTarget::Authority(destination("a.test:8443"))),
            ("CONNECT", "[2001:db8::1]:443", RequestTarget::Authority(destination("[2001:db8::1]:443"))),
            ("GET", "http://a.test/x/y?q=1&r={|}^", absolute("a.test:80", "/x/y?q=1&r={|}^")),
            ("get", "HTTP://A.Test:8080", absolute("a.test:8080", "/")),
            ("POST", "http://a.test?q", absolute("a.test:80", "/?q")),
            ("GET", "http://a.test//b", absolute("a.test:80", "//b")),
            ("GET", "http://[::1]/", absolute("[::1]:80", "/")),
            ("GET", "http://a.test/http://b.test/", absolute("a.test:80", "/http://b.test/")),
            ("OPTIONS", "*", RequestTarget::Asterisk),
            ("OPTIONS", "/", RequestTarget::Origin("/".into())),
            ("GET", "/session?x=http://b.test/", RequestTarget::Origin("/session?x=http://b.test/".into())),
            ("GET", "//b.test/x", RequestTarget::Origin("//b.test/x".into())),
        ];
        for (method, target, expected) in table {
            assert_eq!(parse(method, target.as_bytes()), Ok(expected), "{method} {target}");
        }
    }

    #[test]
    fn threat_11_connect_without_a_whole_port() {
        for target in ["a.test", "a.test:", "a.test:0", "a.test:65536", "a.test:83616", "a.test:+443", "a.test:0x1bb", "a.test:443:22"] {
            assert!(matches!(parse("CONNECT", target.as_bytes()), Err(TargetError::Destination(_))), "{target}");
        }
    }

    #[test]
    fn threat_7_user_information() {
        for target in ["http://a.test:80@evil.test/", "http://evil.test@a.test/", "http://u:p@a.test/", "http://@a.test/"] {
            assert!(matches!(parse("GET", target.as_bytes()), Err(TargetError::Destination(_))), "{target}");
        }
        assert!(matches!(parse("CONNECT", b"u:p@a.test:443"), Err(TargetError::Destination(_))));
    }

    #[test]
    fn threat_14_scheme_tricks() {
        let form = |target: &str| TargetError::Form(target.into());
        let scheme = |scheme: &str| TargetError::Scheme(scheme.into());
        let table = [
            ("https://a.test/x", TargetError::HttpsWithoutConnect(destination("a.test:443"))),
            ("HTTPS://a.test:8443", TargetError::HttpsWithoutConnect(destination("a.test:8443"))),
            ("ftp://a.test/", scheme("ftp")),
            ("gopher://a.test/", scheme("gopher")),
            ("file:///etc/passwd", scheme("file")),
            ("ws://a.test/", scheme("ws")),
            ("://a.test/", scheme("")),
            ("http:a.test", form("http:a.test")),
            ("http:/a.test", form("http:/a.test")),
            ("a.test", form("a.test")),
            ("a.test:443", form("a.test:443")),
            ("*", form("*")),
        ];
        for (target, expected) in table {
            assert_eq!(parse("GET", target.as_bytes()), Err(expected), "{target}");
        }
        for target in ["http:///x", "http://", "https:///x", "http://?q", "http://:80/"] {
            assert!(matches!(parse("GET", target.as_bytes()), Err(TargetError::Destination(_))), "{target}");
        }
        assert!(matches!(parse("CONNECT", b"http://a.test/"), Err(TargetError::Destination(_))));
        assert!(matches!(parse("CONNECT", b"/"), Err(TargetError::Destination(_))));
    }

    #[test]
    fn threat_58_whitespace_controls_and_foreign_characters() {
        for byte in (0..=0x20).chain(0x7f..=0xff).chain(*b"\"<>\\`") {
            for target in [[b"/a", &[byte][..], b"b"].concat(), [b"/?", &[byte][..]].concat(), [b"http://a.test/", &[byte][..]].concat()] {
                assert_eq!(parse("GET", &target), Err(TargetError::Character(byte)), "{}", target.escape_ascii());
            }
        }
        for target in ["/org#f", "http://a.test#f", "http://a.test/?q#", "#"] {
            assert_eq!(parse("GET", target.as_bytes()), Err(TargetError::Fragment), "{target}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let mut target = vec![b'/'; MAX_TARGET];
        assert!(parse("GET", &target).is_ok());
        target.push(b'/');
        assert_eq!(parse("GET", &target), Err(TargetError::TooLong));
        assert_eq!(parse("GET", b""), Err(TargetError::Empty));
    }

    #[test]
    fn messages_say_the_way_out() {
        let said = |method, target: &str| parse(method, target.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            said("GET", "https://a.test/secret"),
            "an https:// target cannot be fetched without a tunnel, send CONNECT a.test:443 instead"
        );
        assert_eq!(said("GET", "/a\\b"), "\"\\\\\" may not stand in a request-target, percent-encode it");
        assert_eq!(said("CONNECT", "a.test"), "a port is missing, write host:port: \"a.test\"");
    }

    proptest! {
        #[test]
        fn what_parses_goes_upstream_as_it_came(method in "GET|CONNECT|OPTIONS", target in "(http://)?[a-z.:/?*@#]{0,20}") {
            match parse(&method, target.as_bytes()) {
                Ok(RequestTarget::Authority(to)) => prop_assert_eq!(method, if to.port == 0 { "" } else { "CONNECT" }),
                Ok(RequestTarget::Absolute { origin_form, .. }) => {
                    prop_assert!(origin_form.starts_with('/'));
                    prop_assert!(target.ends_with(origin_form.as_ref()) || target.ends_with(&origin_form[1..]));
                }
                Ok(RequestTarget::Origin(origin_form)) => prop_assert_eq!(origin_form.as_ref(), target.as_str()),
                Ok(RequestTarget::Asterisk) => prop_assert_eq!((method.as_str(), target.as_str()), ("OPTIONS", "*")),
                Err(error) => prop_assert_eq!(error.reason(), Reason::BadRequest),
            }
        }

        #[test]
        fn any_bytes_are_answered(target in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse("GET", &target);
        }
    }
}

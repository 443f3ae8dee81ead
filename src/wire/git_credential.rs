//! What git asks a credential helper for (git-credential(1), "INPUT/OUTPUT FORMAT").

use std::fmt;

use super::excerpt;
use crate::destination::{Destination, DestinationError};

/// The server for which git wants a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// It is asked over TLS.
    pub secure: bool,
    pub destination: Destination,
}

/// Reads lines of `key=value`, up to an empty one or the end, of at most [`MAX_ASKED`] octets in all. Keys that say nothing of the server
/// mean nothing here. `None` where it is asked for in another way than by HTTP.
///
/// # Errors
/// A line without `=`, a control character, a server that is named twice or not at all.
pub fn parse(input: &[u8]) -> Result<Option<Wanted>, AskedError> {
    if input.len() > MAX_ASKED {
        return Err(AskedError::Long);
    }
    let (mut protocol, mut host) = (None, None);
    for line in input.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty()) {
        if line.iter().any(u8::is_ascii_control) {
            return Err(AskedError::Line(excerpt(line)));
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(|| AskedError::Line(excerpt(line)))?;
        let (key, value) = (&line[..equals], &line[equals + 1..]);
        let place = match key {
            b"protocol" => &mut protocol,
            b"host" => &mut host,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(AskedError::Twice);
        }
    }
    let (Some(protocol), Some(host)) = (protocol, host) else { return Err(AskedError::Nowhere) };
    let (secure, port) = match protocol {
        b"http" => (false, 80),
        b"https" => (true, 443),
        _ => return Ok(None),
    };
    let destination = Destination::parse(host, Some(port)).map_err(AskedError::Host)?;
    Ok(Some(Wanted { secure, destination }))
}

/// Why it is not known what git asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedError {
    Long,
    Line(Box<str>),
    Twice,
    Nowhere,
    Host(DestinationError),
}

impl fmt::Display for AskedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => write!(f, "git asks in {MAX_ASKED} bytes at most"),
            Self::Line(line) => write!(f, "no line of git's: \"{line}\"; it writes key=value"),
            Self::Twice => f.write_str("a server has one \"protocol\" and one \"host\""),
            Self::Nowhere => f.write_str("a server has a \"protocol\" and a \"host\""),
            Self::Host(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AskedError {}

/// Most octets that git asks in.
pub const MAX_ASKED: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(input: &str) -> Option<String> {
        let wanted = parse(input.as_bytes()).unwrap()?;
        Some(format!("{}{}", if wanted.secure { "https " } else { "" }, wanted.destination))
    }

    #[test]
    fn what_git_asks_for() {
        for (input, expected) in [
            ("protocol=http\nhost=127.0.0.1:3129\n", Some("127.0.0.1:3129")),
            (
                "capability[]=authtype\nprotocol=http\nhost=Gate.test\npath=git/a/b\nwwwauth[]=Basic realm=\"x=y\"\n\nhost=evil.test\n",
                Some("gate.test:80"),
            ),
            ("protocol=https\nhost=[::1]:8443", Some("https [::1]:8443")),
            ("protocol=cert\nhost=\n", None),
        ] {
            assert_eq!(wanted(input).as_deref(), expected, "{input}");
        }
        for bad in [
            "",
            "\n",
            "protocol=http\n",
            "host=a.test\n",
            "protocol=http\nhost=a.test\nhost=b.test\n",
            "protocol=http\nprotocol=http\nhost=a.test\n",
            "protocol=http\nhost=a.test\r\n",
            "protocol=http\nhost=a.test\0b\n",
            "protocol=http\nhost\n",
            "protocol=http\nhost=user@a.test\n",
            "protocol=http\nhost=a.test/x\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(parse(&vec![b'x'; MAX_ASKED + 1]), Err(AskedError::Long));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&input);
        }
    }
}

//! Header and trailer lines (RFC 9110, section 5; RFC 9112, section 5).

use std::{fmt, ops::Range};

use super::super::excerpt;

/// The header lines of one message.
#[derive(Clone)]
pub(super) struct Fields {
    /// Names in lower case and values, one after the other.
    octets: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    /// Reads lines that have lost their CRLF.
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, FieldError> {
        let mut fields = Self { octets: Vec::new(), lines: Vec::new() };
        for line in lines {
            let (name, value) = parse(line)?;
            let name = fields.push(name);
            fields.octets[name.clone()].make_ascii_lowercase();
            let value = fields.push(value);
            fields.lines.push(Line { name, value });
        }
        Ok(fields)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|line| {
            let name = std::str::from_utf8(&self.octets[line.name.clone()]).unwrap_or_default();
            (name, &self.octets[line.value.clone()])
        })
    }

    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter_map(move |(field, value)| (field == name).then_some(value))
    }

    fn push(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }
}

/// Names only: a value may be a credential.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Reads `name: value` without its CRLF. The name is a token that no server would take for another name of
/// [`RESERVED`]; the value, without surrounding whitespace, is visible ASCII, space, tab or opaque octets from 0x80.
pub(super) fn parse(line: &[u8]) -> Result<(&[u8], &[u8]), FieldError> {
    let end_of_name = line.iter().position(|&byte| !is_token_byte(byte)).ok_or(FieldError::Colon)?;
    let (name, rest) = line.split_at(end_of_name);
    let value = match rest.split_first() {
        Some((b' ' | b'\t', _)) if name.is_empty() => return Err(FieldError::Folded),
        Some((b':', _)) if name.is_empty() => return Err(FieldError::NameMissing),
        Some((b':', value)) => value,
        Some((&byte, _)) => return Err(FieldError::NameCharacter { before: excerpt(name), byte }),
        None => return Err(FieldError::Colon),
    };
    if is_disguised(name) {
        return Err(FieldError::Disguised(excerpt(name)));
    }
    match value.iter().find(|&&byte| byte.is_ascii_control() && byte != b'\t') {
        Some(&byte) => Err(FieldError::ValueCharacter { name: excerpt(name), byte }),
        None => Ok((name, value.trim_ascii())),
    }
}

/// `tchar` (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether two names, of header fields or of a query's keys, are one to a server that maps names onto variables, where `_`, `.`, `-` and
/// every other sign become the same, and case means nothing.
pub fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    one.iter().map(fold).eq(other.iter().map(fold))
}

/// Whether such a server would read a reserved name in another.
fn is_disguised(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'_' | b'.')) && RESERVED.iter().any(|reserved| is_same_name(name, reserved.as_bytes()))
}

/// A line that is no header line. Shows names, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldError {
    /// Begins with whitespace: obsolete line folding.
    Folded,
    /// A token and nothing after it.
    Colon,
    NameMissing,
    /// Among them whitespace before the colon.
    NameCharacter {
        before: Box<str>,
        byte: u8,
    },
    /// Turns into the name of a framing or credential header where `_` or `.` is read as `-`.
    Disguised(Box<str>),
    ValueCharacter {
        name: Box<str>,
        byte: u8,
    },
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folded => f.write_str("a header line begins with whitespace, write each header on one line"),
            Self::Colon => f.write_str("a header line has no colon"),
            Self::NameMissing => f.write_str("a header line has no name before its colon"),
            Self::NameCharacter { before, byte } => {
                write!(f, "\"{}\" may not stand in a header name, after \"{before}\"", byte.escape_ascii())
            }
            Self::Disguised(name) => write!(f, "a header name that some servers take for another, write it with \"-\": \"{name}\""),
            Self::ValueCharacter { name, byte } => {
                write!(f, "\"{}\" may not stand in a header value, in \"{name}\"", byte.escape_ascii())
            }
        }
    }
}

impl std::error::Error for FieldError {}

const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

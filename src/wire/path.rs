//! The one spelling of a request-target that path rules judge, and that is sent on where they do.

use std::fmt::{self, Write as _};

use super::excerpt;
use crate::reason::Reason;

/// Path and query of a request in canonical spelling: whatever server reads the path sees the same segments.
///
/// The path begins with `/`, is visible ASCII, holds no empty segment but the last, no dot segment, and no escape that
/// stands for an unreserved character, a separator, a control or a character that some servers fold into a separator; its
/// escapes are upper-case and decode to UTF-8. A segment of dots and blanks alone, however wide they are written and
/// whatever parameters follow, counts as a dot segment or as empty. The query stays as it was sent. Displayed as it
/// leaves; that reads back to the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalTarget {
    path: Box<str>,
    query: Option<Box<str>>,
}

impl CanonicalTarget {
    /// Reads an origin-form (RFC 9112, section 3.2.1) as [`parse`](super::target::parse) gives it.
    ///
    /// # Errors
    /// What servers are known to read in different ways.
    pub fn read(origin_form: &str) -> Result<Self, PathError> {
        let (path, query) = match origin_form.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (origin_form, None),
        };
        let refuse = |problem| Err(PathError { path: excerpt(path.as_bytes()), problem });
        if !path.starts_with('/') {
            return refuse(Problem::Form);
        }
        match canonical(path) {
            Ok(canonical) => Ok(Self { path: canonical.into(), query: query.map(Into::into) }),
            Err(problem) => refuse(problem),
        }
    }

    /// Without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands after the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl fmt::Display for CanonicalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

/// A path that servers read in different ways, with its beginning (escaped, bounded) and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    path: Box<str>,
    problem: Problem,
}

impl PathError {
    /// The word of the closed list.
    pub fn reason(&self) -> Reason {
        Reason::BadRequest
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Form,
    Character(u8),
    Escape,
    Hidden(char),
    Twice,
    NotUtf8,
    Empty,
    Dots,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.problem {
            Problem::Form => write!(f, "where rules judge paths a path begins with \"/\": \"{path}\""),
            Problem::Character(byte) => write!(f, "\"{}\" may not stand in a path, percent-encode it: \"{path}\"", byte.escape_ascii()),
            Problem::Escape => write!(f, "\"%\" stands before two hexadecimal digits, write \"%25\" for itself: \"{path}\""),
            Problem::Hidden(character) => {
                character.encode_utf8(&mut [0; 4]).bytes().try_for_each(|octet| write!(f, "%{octet:02X}"))?;
                write!(f, " may not stand in a path that rules judge, leave it out: \"{path}\"")
            }
            Problem::Twice => write!(f, "a path is percent-encoded once, and this one is twice: \"{path}\""),
            Problem::NotUtf8 => write!(f, "the escapes of a path spell UTF-8: \"{path}\""),
            Problem::Empty => write!(f, "a path has no empty segment, write one \"/\": \"{path}\""),
            Problem::Dots => write!(f, "a path has no dot segment, write what it resolves to: \"{path}\""),
        }
    }
}

impl std::error::Error for PathError {}

/// The path with its escapes in their one spelling.
fn canonical(path: &str) -> Result<String, Problem> {
    let mut written = String::with_capacity(path.len());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if !byte.is_ascii_graphic() || FOREIGN.contains(&byte) {
                return Err(Problem::Character(byte));
            }
            decoded.push(byte);
            written.push(char::from(byte));
            continue;
        }
        let (octet, after) = escaped(rest).ok_or(Problem::Escape)?;
        rest = after;
        decoded.push(octet);
        if matches!(octet, b'/' | b'\\') {
            return Err(Problem::Hidden(char::from(octet)));
        }
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            written.push(char::from(octet));
        } else {
            let _ = write!(written, "%{octet:02X}");
        }
    }
    // What is no UTF-8 may be an overlong spelling of a dot or a slash.
    let decoded = std::str::from_utf8(&decoded).map_err(|_| Problem::NotUtf8)?;
    doubt(decoded).map_or(Ok(written), Err)
}

/// The octet that two hexadecimal digits spell, and what follows them.
fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = rest.split_at_checked(2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = [digit(*digits.first()?)?, digit(*digits.last()?)?];
    Some((u8::try_from(high * 16 + low).ok()?, after))
}

/// What a server might make something else of in a decoded path. A parameter (`;…`) counts as not there: some servers drop it first.
fn doubt(decoded: &str) -> Option<Problem> {
    if let Some(hidden) = decoded.chars().find(|&character| character.is_control() || SEPARATORS.contains(&character)) {
        return Some(Problem::Hidden(hidden));
    }
    if decoded.split('%').skip(1).any(|after| escaped(after.as_bytes()).is_some()) {
        return Some(Problem::Twice);
    }
    let segments = decoded.strip_prefix('/').unwrap_or(decoded);
    let mut left = segments.split('/').count();
    segments.split('/').find_map(|segment| {
        left -= 1;
        let mut name = segment.split(SEMICOLONS).next().unwrap_or_default().chars().filter(|character| !is_blank(*character)).peekable();
        match name.peek() {
            None => (left > 0 || !segment.is_empty()).then_some(Problem::Empty),
            Some(_) => name.all(|character| DOTS.contains(&character)).then_some(Problem::Dots),
        }
    })
}

/// Whether servers are known to drop a character at either end of a name, or anywhere in it.
fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Characters that compatibility normalisation (Unicode NFKC) or a narrower character set makes `/`, `\` or `%` of, or names that
/// hold one.
const SEPARATORS: &[char] = &[
    '\u{a5}', '\u{20a9}', '\u{2044}', '\u{2100}', '\u{2101}', '\u{2105}', '\u{2106}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}',
    '\u{fe68}', '\u{fe6a}', '\u{ff05}', '\u{ff0f}', '\u{ff3c}',
];
/// Likewise `;`, first itself.
const SEMICOLONS: &[char] = &[';', '\u{37e}', '\u{fe14}', '\u{fe54}', '\u{ff1b}'];
/// Likewise one dot or more, first itself.
const DOTS: &[char] =
    &['.', '\u{2024}', '\u{2025}', '\u{2026}', '\u{3002}', '\u{fe12}', '\u{fe19}', '\u{fe30}', '\u{fe52}', '\u{ff0e}', '\u{ff61}'];
/// Visible ASCII that may not stand in a path.
const FOREIGN: &[u8] = b"\"#<>?\\`";

#[cfg(test)]
mod tests;

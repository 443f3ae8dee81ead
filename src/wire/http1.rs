//! HTTP/1 requests, framed strictly (RFC 9112).
//!
//! Every downstream connection is read here before hyper sees it, and hyper is handed only octets that were judged:
//! it would take both lengths at once, bare LF, two Hosts and more, and whoever disagrees with it about where a message
//! ends is a smuggler. Everything ambiguous is an error, after which nothing more of the connection means anything.
//!
//! Lines end in CRLF and nothing else. No empty line is skipped before a request line.

mod field;
mod error;
mod body;
mod response;

use self::field::Fields;
pub use self::{
    body::{Advance, BodyError, BodyFramer},
    error::HeadError,
    field::{FieldError, is_same_name},
    response::{ResponseHead, ResponseReader},
};
use super::{excerpt, target::MAX_TARGET};
use crate::destination::{Destination, DestinationError, Host};

/// Most octets of a head, request line and empty line included.
pub const MAX_HEAD: usize = 64 * 1024;
/// Most header lines of a head.
pub const MAX_FIELDS: usize = 256;
/// Longest body in octets: what a signed number holds, since some readers count in those.
pub const MAX_BODY: u64 = i64::MAX as u64;
/// Longest method in octets.
pub const MAX_METHOD: usize = 32;

/// The head of a request whose framing leaves no doubt.
#[derive(Debug, Clone)]
pub struct Head {
    /// A token, its case as sent.
    pub method: Box<str>,
    /// Visible ASCII, 1 to [`MAX_TARGET`] octets; [`super::target::parse`] says what it names.
    pub target: Box<str>,
    pub version: Version,
    /// Present in every HTTP/1.1 request but CONNECT.
    pub host: Option<HostField>,
    pub body: BodyLength,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// Whether the client means to send another request after this one (RFC 9112, section 9.3).
    pub keep_alive: bool,
    fields: Fields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// The `Host` header: a host in canonical form, and the port if one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostField {
    pub host: Host,
    pub port: Option<u16>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No body was announced.
    None,
    /// `Content-Length`; may be 0.
    Length(u64),
    Chunked,
}

impl Head {
    /// The values of the header `name` (in lower case), one per line, in the order sent, without surrounding whitespace.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter_map(move |(field, value)| (field == name).then_some(value))
    }

    /// Every header line in the order sent: name in lower case, value without surrounding whitespace.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// The options of all `Connection` lines, their case as sent: names of headers that end at this hop, beside `close`
    /// and `keep-alive`. Never `host`, `content-length` or `transfer-encoding`, which make the head an error.
    pub fn connection_options(&self) -> impl Iterator<Item = &str> {
        list(self.values("connection")).filter_map(|option| std::str::from_utf8(option).ok())
    }
}

impl HostField {
    fn parse(value: &[u8]) -> Result<Self, DestinationError> {
        if let Ok(host) = Host::parse(value) {
            return Ok(Self { host, port: None });
        }
        // What is no host alone is one with a port, or nothing; the default goes unused.
        let Destination { host, port } = Destination::parse(value, Some(80))?;
        Ok(Self { host, port: Some(port) })
    }

    /// Where it points when the scheme's port is `default_port`.
    pub fn destination(&self, default_port: u16) -> Destination {
        Destination { host: self.host.clone(), port: self.port.unwrap_or(default_port) }
    }
}

/// [`HeadReader::read`] on a buffer that is seen once.
pub fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
    HeadReader::default().read(buffer)
}

/// Reads one head after another from a growing buffer, looking at each octet once.
#[derive(Debug, Default)]
pub struct HeadReader {
    search: LineSearch,
}

impl HeadReader {
    /// Reads the head at the beginning of `buffer`, which holds what it held at the last call and what came since.
    ///
    /// `None`: the head is not whole yet, and may become a good one. Otherwise the head and its length in octets, and
    /// the reader is ready for the next one. Bytes that no HTTP/1 client sends are an error as soon as they show.
    pub fn read(&mut self, buffer: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
        check_beginning(buffer)?;
        match self.search.end_of_head(buffer)? {
            Some(end) => judge(&buffer[..end]).map(|head| Some((head, end))),
            None => Ok(None),
        }
    }
}

/// Looks for the end of a head in a growing buffer, line by line, within the bounds of a head.
#[derive(Debug, Default)]
struct LineSearch {
    line_start: usize,
    searched: usize,
    lines: usize,
}

impl LineSearch {
    /// The length of the head once it is whole, after which the next one may be searched.
    fn end_of_head(&mut self, buffer: &[u8]) -> Result<Option<usize>, HeadError> {
        let window = &buffer[..buffer.len().min(MAX_HEAD)];
        while let Some(length) = window[self.searched..].iter().position(|&byte| byte == b'\n') {
            let end = self.searched + length + 1;
            self.searched = end;
            if self.is_end_of_head(&window[self.line_start..end])? {
                *self = Self::default();
                return Ok(Some(end));
            }
            self.line_start = end;
        }
        self.searched = window.len();
        if self.lines == 0 && window.len() > MAX_REQUEST_LINE + "\r".len() {
            return Err(HeadError::TargetTooLong);
        }
        if window.len() == MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }

    fn is_end_of_head(&mut self, line: &[u8]) -> Result<bool, HeadError> {
        if self.lines == 0 && line.len() > MAX_REQUEST_LINE + "\r\n".len() {
            return Err(HeadError::TargetTooLong);
        }
        if !line.ends_with(b"\r\n") {
            return Err(HeadError::LineEnd);
        }
        if line == b"\r\n" {
            return Ok(true);
        }
        self.lines += 1;
        if self.lines > 1 + MAX_FIELDS {
            return Err(HeadError::TooManyFields);
        }
        Ok(false)
    }
}

/// Whether octets begin as a request does, `None` while that is open: a method is a token of bounded length and a space follows it.
pub(super) fn begins_request(buffer: &[u8]) -> Option<bool> {
    let beginning = &buffer[..buffer.len().min(MAX_METHOD + 1)];
    match end_of_token(beginning) {
        None if beginning.len() <= MAX_METHOD => None,
        None => Some(false),
        Some(length) => Some(length > 0 && beginning[length] == b' '),
    }
}

/// Enough to know TLS, SOCKS and the PROXY protocol's binary form by their first octet.
fn check_beginning(buffer: &[u8]) -> Result<(), HeadError> {
    if begins_request(buffer) != Some(false) {
        return Ok(());
    }
    let beginning = &buffer[..buffer.len().min(MAX_METHOD + 1)];
    let shown = end_of_token(beginning).map_or(beginning, |length| &beginning[..=length]);
    Err(HeadError::NotHttp(excerpt(shown)))
}

/// Where the first octet is that no token holds.
fn end_of_token(octets: &[u8]) -> Option<usize> {
    octets.iter().position(|&byte| !field::is_token_byte(byte))
}

fn judge(head: &[u8]) -> Result<Head, HeadError> {
    let mut lines = head.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
    let fields = Fields::parse(lines.take_while(|line| !line.is_empty()))?;
    let values = |name| fields.values(name);

    let host = host(values("host"))?;
    if host.is_none() && version == Version::Http11 && method != "CONNECT" {
        return Err(HeadError::HostMissing);
    }
    let body = body_length(method, version, content_length(values("content-length"))?, chunked(values("transfer-encoding"))?)?;
    let keep_alive = keep_alive(version, values("connection"))?;
    let expect_continue = expect_continue(values("expect"))? && version == Version::Http11;
    Ok(Head { method: method.into(), target: target.into(), version, host, body, expect_continue, keep_alive, fields })
}

fn request_line(line: &[u8]) -> Result<(&str, &str, Version), HeadError> {
    let line = match line.iter().find(|byte| !matches!(byte, b' '..=b'~')) {
        Some(&byte) => return Err(HeadError::RequestLineCharacter(byte)),
        None => std::str::from_utf8(line).map_err(|_| HeadError::RequestLine)?,
    };
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(HeadError::RequestLine);
    };
    if method == "PRI" {
        return Err(HeadError::Http2);
    }
    if target.is_empty() {
        return Err(HeadError::RequestLine);
    }
    if target.len() > MAX_TARGET {
        return Err(HeadError::TargetTooLong);
    }
    let version = match version {
        "HTTP/1.1" => Version::Http11,
        "HTTP/1.0" => Version::Http10,
        other => return Err(HeadError::Version(excerpt(other.as_bytes()))),
    };
    Ok((method, target, version))
}

fn host<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<HostField>, HeadError> {
    at_most_one(values, HeadError::HostTwice)?.map(HostField::parse).transpose().map_err(HeadError::Host)
}

fn content_length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, HeadError> {
    let Some(value) = at_most_one(values, HeadError::ContentLengthTwice)? else {
        return Ok(None);
    };
    // `u64::from_str` alone would take a plus sign.
    let digits = value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()).flatten();
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) if length <= MAX_BODY => Ok(Some(length)),
        Some(_) | None => Err(HeadError::ContentLength(excerpt(value))),
    }
}

fn chunked<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<bool, HeadError> {
    match at_most_one(values, HeadError::TransferEncodingTwice)? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"chunked") => Ok(true),
        Some(value) => Err(HeadError::TransferEncoding(excerpt(value))),
    }
}

fn body_length(method: &str, version: Version, length: Option<u64>, chunked: bool) -> Result<BodyLength, HeadError> {
    match (length, chunked) {
        (Some(_), true) => Err(HeadError::BothLengths),
        (None, true) if version == Version::Http10 => Err(HeadError::ChunkedHttp10),
        (Some(1..), false) | (None, true) if method == "CONNECT" => Err(HeadError::ConnectBody),
        // A client that says 0 beside CONNECT says that there is no body, which is so.
        (Some(0), false) if method == "CONNECT" => Ok(BodyLength::None),
        (Some(length), false) => Ok(BodyLength::Length(length)),
        (None, true) => Ok(BodyLength::Chunked),
        (None, false) => Ok(BodyLength::None),
    }
}

fn keep_alive<'a>(version: Version, values: impl Iterator<Item = &'a [u8]>) -> Result<bool, HeadError> {
    let mut close = false;
    let mut keep_alive = version == Version::Http11;
    for option in list(values) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if !option.iter().copied().all(field::is_token_byte) || ["host", "content-length", "transfer-encoding"].into_iter().any(is) {
            return Err(HeadError::ConnectionOption(excerpt(option)));
        }
        close |= is("close");
        keep_alive |= is("keep-alive");
    }
    Ok(keep_alive && !close)
}

fn expect_continue<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<bool, HeadError> {
    let mut expected = false;
    for value in values {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::Expect(excerpt(value)));
        }
        expected = true;
    }
    Ok(expected)
}

fn at_most_one<'a>(mut values: impl Iterator<Item = &'a [u8]>, twice: HeadError) -> Result<Option<&'a [u8]>, HeadError> {
    let first = values.next();
    if values.next().is_some() { Err(twice) } else { Ok(first) }
}

/// The elements of a list that may span several lines, empty ones left out (RFC 9110, section 5.6.1).
pub(super) fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Longest request line that could be a good one, without its CRLF.
const MAX_REQUEST_LINE: usize = MAX_METHOD + " ".len() + MAX_TARGET + " HTTP/1.1".len();

#[cfg(test)]
mod tests;

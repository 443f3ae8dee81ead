//! Response heads, as strictly as request heads (RFC 9112, sections 4 and 6.3).

use super::{BodyLength, HeadError, LineSearch, Version, body_length, chunked, content_length, field::Fields, keep_alive};
use crate::wire::excerpt;

/// The head of a response whose framing leaves no doubt.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    pub version: Version,
    /// What the head announces; [`BodyLength::None`] where the body ends with the connection, or where the request or the
    /// status rules one out.
    pub body: BodyLength,
    /// Whether another request may follow (RFC 9112, section 9.3); never where `Connection` leaves doubt.
    pub keep_alive: bool,
    fields: Fields,
}

impl ResponseHead {
    /// Whether another head follows for the same request: 1xx but 101, after which the connection is no longer HTTP.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Every header line in the order sent: name in lower case, value without surrounding whitespace.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }
}

/// Reads one response head after another from a growing buffer, looking at each octet once.
#[derive(Debug, Default)]
pub struct ResponseReader {
    search: LineSearch,
}

impl ResponseReader {
    /// Reads the head at the beginning of `buffer`, which holds what it held at the last call and what came since.
    ///
    /// `None`: the head is not whole yet, and may become a good one. Otherwise the head and its length in octets, and the
    /// reader is ready for the next one.
    pub fn read(&mut self, buffer: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        let beginning = &buffer[..buffer.len().min(PROTOCOL.len())];
        if !PROTOCOL.starts_with(beginning) {
            return Err(HeadError::NotHttp(excerpt(beginning)));
        }
        match self.search.end_of_head(buffer)? {
            Some(end) => judge(&buffer[..end]).map(|head| Some((head, end))),
            None => Ok(None),
        }
    }
}

fn judge(head: &[u8]) -> Result<ResponseHead, HeadError> {
    let mut lines = head.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    let (version, status) = status_line(lines.next().unwrap_or_default())?;
    let fields = Fields::parse(lines.take_while(|line| !line.is_empty()))?;
    let values = |name| fields.values(name);
    let body = body_length("", version, content_length(values("content-length"))?, chunked(values("transfer-encoding"))?)?;
    let keep_alive = keep_alive(version, values("connection")).unwrap_or(false);
    Ok(ResponseHead { status, version, body, keep_alive, fields })
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`: servers leave out the reason, and some the space before it.
fn status_line(line: &[u8]) -> Result<(Version, u16), HeadError> {
    let invalid = || HeadError::StatusLine(excerpt(line));
    let (version, rest) = match line.split_at_checked(PROTOCOL.len() + 2).ok_or_else(invalid)? {
        (b"HTTP/1.1 ", rest) => (Version::Http11, rest),
        (b"HTTP/1.0 ", rest) => (Version::Http10, rest),
        _ => return Err(invalid()),
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or_else(invalid)?;
    let clean = reason.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    if !(clean && (reason.is_empty() || reason[0] == b' ') && digits.iter().all(u8::is_ascii_digit)) {
        return Err(invalid());
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if (100..=599).contains(&status) { Ok((version, status)) } else { Err(invalid()) }
}

const PROTOCOL: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<(u16, BodyLength)>, HeadError> {
        ResponseReader::default().read(head.as_bytes()).map(|read| read.map(|(head, _)| (head.status, head.body)))
    }

    #[test]
    fn heads_of_real_servers() {
        for (head, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, BodyLength::Length(5)),
            ("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", 200, BodyLength::Chunked),
            ("HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n", 404, BodyLength::None),
            ("HTTP/1.1 304 \r\n\r\n", 304, BodyLength::None),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 103, BodyLength::None),
        ] {
            assert_eq!(read(head), Ok(Some((status, body))), "{head:?}");
        }
    }

    #[test]
    fn threat_65_heads_of_hostile_servers_are_errors() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\nX: a\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 600 High\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "<html>",
        ] {
            assert!(read(head).is_err(), "{head:?} gave {:?}", read(head));
        }
    }

    #[test]
    fn an_unfinished_head_is_awaited_and_a_huge_one_is_not() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(read(&head[..length]), Ok(None));
        }
        assert!(read(&format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(super::super::MAX_HEAD))).is_err());
    }
}

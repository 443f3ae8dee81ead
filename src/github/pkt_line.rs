//! Lines with their length before them (git's `gitprotocol-common`).

use gix_packetline::{PacketLineRef, decode};

use crate::wire::excerpt;

/// Reads the line at `start`, of which there may be more to come, and says where it ends. `None`: not yet. A line that would end
/// behind `bound` is not waited for.
pub(super) fn read(bytes: &[u8], start: usize, bound: usize) -> Result<Option<(PacketLineRef<'_>, usize)>, LineError> {
    // Ahead of what the octets say: the answer is the same with one octet of the length as with all.
    if start + LENGTH > bound {
        return Err(LineError::TooLong);
    }
    let rest = bytes.get(start..).unwrap_or_default();
    let line = decode::streaming(rest).map_err(|_| LineError::Length(excerpt(&rest[..rest.len().min(LENGTH)])))?;
    let (line, end) = match line {
        decode::Stream::Complete { line, bytes_consumed } => (Some(line), start + bytes_consumed),
        decode::Stream::Incomplete { bytes_needed } => (None, start + rest.len() + bytes_needed),
    };
    if end > bound { Err(LineError::TooLong) } else { Ok(line.map(|line| (line, end))) }
}

/// What is no line, or none that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LineError {
    /// Not four hexadecimal digits, 5 to 65520.
    Length(Box<str>),
    TooLong,
}

/// Appends one line, or several where `content` is longer than fits in one.
pub(super) fn write(content: &[u8], out: &mut Vec<u8>) {
    for part in content.chunks(MAX_CONTENT) {
        out.extend_from_slice(format!("{:04x}", part.len() + LENGTH).as_bytes());
        out.extend_from_slice(part);
    }
}

/// Appends `content` on a band of a side-band-64k stream.
pub(super) fn write_band(band: Band, content: &[u8], out: &mut Vec<u8>) {
    for part in content.chunks(MAX_CONTENT - 1) {
        out.extend_from_slice(format!("{:04x}", part.len() + 1 + LENGTH).as_bytes());
        out.push(band as u8);
        out.extend_from_slice(part);
    }
}

/// Appends that a side-band-64k stream goes on, and nothing else.
pub(super) fn write_empty_band(band: Band, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0005");
    out.push(band as u8);
}

/// What a stream of a side-band-64k stream is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Band {
    /// What the client reads.
    Data = 1,
    /// What the client prints after `remote: `.
    Progress = 2,
    /// What the client prints so, too, and then fails.
    Failure = 3,
}

pub(super) const FLUSH: &[u8] = b"0000";

/// Octets of the length.
const LENGTH: usize = 4;

/// Most octets of a line without its length.
const MAX_CONTENT: usize = 65_516;

//! Lines with their length before them (git's `protocol-common`), as they are written; they are read by gix.

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

/// What a stream of a side-band-64k stream is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Band {
    /// What the client reads.
    Data = 1,
    /// What the client prints after `remote: `.
    Progress = 2,
}

pub(super) const FLUSH: &[u8] = b"0000";

/// Octets of the length.
const LENGTH: usize = 4;

/// Most octets of a line without its length.
const MAX_CONTENT: usize = 65_516;

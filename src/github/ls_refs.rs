//! What refs a repository has, asked by ourselves: one command of version 2 to `git-upload-pack` (git's `gitprotocol-v2`, `ls-refs`)
//! and what comes back. A server that speaks no version 2 answers with an error.

use std::fmt;

use gix_packetline::PacketLineRef;

use super::{
    pkt_line::{self, LineError},
    push::{ObjectFormat, ObjectId, RefName},
};
use crate::wire::excerpt;

/// The body of a request for HEAD, be it of an empty repository, and for what begins like one of `refs`.
pub fn request<'a>(format: ObjectFormat, refs: impl IntoIterator<Item = &'a RefName>) -> Vec<u8> {
    prefixed(format, refs.into_iter().map(RefName::as_str))
}

/// The same for HEAD and every branch.
pub fn branches(format: ObjectFormat) -> Vec<u8> {
    prefixed(format, ["refs/heads/"])
}

fn prefixed<'a>(format: ObjectFormat, prefixes: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write(b"command=ls-refs\n", &mut out);
    pkt_line::write(format!("object-format={format}\n").as_bytes(), &mut out);
    out.extend_from_slice(DELIMITER);
    for argument in ["symrefs\n", "unborn\n", "ref-prefix HEAD\n"] {
        pkt_line::write(argument.as_bytes(), &mut out);
    }
    for prefix in prefixes {
        pkt_line::write(format!("ref-prefix {prefix}\n").as_bytes(), &mut out);
    }
    out.extend_from_slice(pkt_line::FLUSH);
    out
}

/// What a repository has of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What HEAD stands for: the default branch, be it unborn. None where HEAD names a commit itself, or is not shown.
    pub default: Option<RefName>,
    pub refs: Vec<RefName>,
    /// The commits that HEAD and these stand for, in the order of the answer.
    pub tips: Vec<ObjectId>,
}

/// Reads a [`Listing`]: `OBJECT NAME` and attributes a line, or `unborn HEAD` and attributes, up to a flush. `None`: not yet; no more
/// than [`MAX_LISTING`] octets are ever waited for.
pub fn parse(body: &[u8]) -> Result<Option<Listing>, ListingError> {
    let (mut listing, mut start) = (Listing::default(), 0);
    while let Some((line, end)) = pkt_line::read(body, start, MAX_LISTING)? {
        start = end;
        match line {
            PacketLineRef::Data(line) => read_line(line, &mut listing)?,
            PacketLineRef::Flush => return Ok(Some(listing)),
            PacketLineRef::Delimiter | PacketLineRef::ResponseEnd => return Err(ListingError::End),
        }
    }
    Ok(None)
}

fn read_line(line: &[u8], listing: &mut Listing) -> Result<(), ListingError> {
    let malformed = || ListingError::Line(excerpt(line));
    if line.starts_with(b"ERR ") {
        // Its words are not repeated: they could hold what the request was sent with.
        return Err(ListingError::Upstream);
    }
    let mut words = line.strip_suffix(b"\n").unwrap_or(line).split(|byte| *byte == b' ');
    let (id, name) = (words.next().unwrap_or_default(), words.next().ok_or_else(malformed)?);
    match ObjectId::parse(id) {
        Some(id) => listing.tips.push(id),
        None if id == UNBORN => {}
        None => return Err(malformed()),
    }
    if name != b"HEAD" {
        listing.refs.push(RefName::parse(name).map_err(|_| malformed())?);
        return Ok(());
    }
    if let Some(target) = words.find_map(|word| word.strip_prefix(b"symref-target:")) {
        let target = RefName::parse(target).map_err(|_| malformed())?;
        // Two could be read differently by two readers.
        if listing.default.replace(target).is_some() {
            return Err(malformed());
        }
    }
    Ok(())
}

/// An answer that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingError {
    /// A line without a length, or more than is waited for.
    Framing,
    /// No line of a ref.
    Line(Box<str>),
    /// Ended with anything but a flush.
    End,
    /// The upstream says why there is none.
    Upstream,
}

impl From<LineError> for ListingError {
    fn from(_: LineError) -> Self {
        Self::Framing
    }
}

impl fmt::Display for ListingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing => write!(f, "the upstream's answer to ls-refs is no sequence of lines, or has more than {MAX_LISTING} octets"),
            Self::Line(line) => write!(f, "the upstream's answer to ls-refs has a line that names no ref: \"{line}\""),
            Self::End => f.write_str("the upstream's answer to ls-refs does not end with a flush"),
            Self::Upstream => f.write_str("the upstream answers ls-refs with ERR"),
        }
    }
}

impl std::error::Error for ListingError {}

/// Most octets of an answer.
pub const MAX_LISTING: usize = 256 << 10;

const DELIMITER: &[u8] = b"0001";
/// In the place of an object where HEAD names a branch that has none yet.
const UNBORN: &[u8] = b"unborn";

#[cfg(test)]
mod tests;

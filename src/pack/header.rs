//! What stands before the octets of a pack and of its objects.

use super::{PackError, id::Id, kind::ObjectKind};
use crate::github::push::ObjectFormat;

/// What an object begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Of what is deflated behind it.
    pub(super) size: u64,
    /// Octets of the header.
    pub(super) length: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole(ObjectKind),
    Delta(Base),
}

/// What a difference is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The object that begins so many octets before it.
    Before(u64),
    Named(Id),
}

/// How many objects there are.
pub(super) fn start(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(b"PACK")?;
    let (version, count) = rest.split_first_chunk::<4>()?;
    let known = matches!(u32::from_be_bytes(*version), 2 | 3);
    Some(u32::from_be_bytes(count.try_into().ok()?)).filter(|_| known)
}

/// `None`: not all of it is there.
pub(super) fn read(bytes: &[u8], format: ObjectFormat) -> Result<Option<Header>, PackError> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let (mut size, mut shift, mut length, mut more) = (u64::from(first & 0x0f), 4, 1, first & 0x80 != 0);
    for byte in rest {
        if !more {
            break;
        }
        let part = u64::from(byte & 0x7f);
        if shift > 56 {
            return Err(PackError::Header);
        }
        (size, shift, length, more) = (size | part << shift, shift + 7, length + 1, byte & 0x80 != 0);
    }
    if more {
        return Ok(None);
    }
    let behind = bytes.get(length..).unwrap_or_default();
    let (kind, more) = match (first >> 4) & 7 {
        1 => (Kind::Whole(ObjectKind::Commit), 0),
        2 => (Kind::Whole(ObjectKind::Tree), 0),
        3 => (Kind::Whole(ObjectKind::Blob), 0),
        4 => (Kind::Whole(ObjectKind::Tag), 0),
        6 => match distance(behind)? {
            Some((distance, more)) => (Kind::Delta(Base::Before(distance)), more),
            None => return Ok(None),
        },
        7 => match behind.get(..format.digits() / 2).and_then(Id::of) {
            Some(id) => (Kind::Delta(Base::Named(id)), format.digits() / 2),
            None => return Ok(None),
        },
        _ => return Err(PackError::Header),
    };
    Ok(Some(Header { kind, size, length: length + more }))
}

/// A distance backwards, and of how many octets it is written.
fn distance(bytes: &[u8]) -> Result<Option<(u64, usize)>, PackError> {
    let mut distance: u64 = 0;
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 {
            distance = distance.checked_add(1).and_then(|distance| distance.checked_mul(128)).ok_or(PackError::Header)?;
        }
        distance |= u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(Some((distance, number + 1)));
        }
    }
    Ok(None)
}

/// Octets before the first object.
pub(super) const START: usize = 12;
/// Longest header of an object: a size of ten octets, and the name of an object of 32 or a distance of ten.
pub(super) const LONGEST: usize = 48;

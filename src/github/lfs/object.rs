//! An object: by its name, which is its SHA-256, and its size.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{LfsError, excerpt};

/// The SHA-256 of an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid([u8; 32]);

impl Oid {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, LfsError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut octets = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let read = pairs.iter().zip(&mut octets).all(|([high, low], octet)| {
            let both = digit(*high).zip(digit(*low));
            *octet = both.map_or(0, |(high, low)| high << 4 | low);
            both.is_some()
        });
        if read && rest.is_empty() && pairs.len() == octets.len() { Ok(Self(octets)) } else { Err(LfsError::Oid(excerpt(text.as_bytes()))) }
    }

    pub fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// An object, and how many octets it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    pub oid: Oid,
    pub size: u64,
}

/// As it stands in JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) oid: String,
    pub(super) size: u64,
}

impl Object {
    /// As it is written to an upstream that verifies it.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.written()).unwrap_or_default()
    }

    pub(super) fn written(&self) -> Written {
        Written { oid: self.oid.to_string(), size: self.size }
    }

    pub(super) fn read(written: &Written) -> Result<Self, LfsError> {
        if written.size > MAX_SIZE {
            return Err(LfsError::Size(written.size));
        }
        // No octet would come by which this could be told later.
        if (written.oid == OF_NOTHING) != (written.size == 0) {
            return Err(LfsError::Empty);
        }
        Ok(Self { oid: Oid::parse(&written.oid)?, size: written.size })
    }
}

/// Reads what a client sends to have an object verified.
pub fn read_object(bytes: &[u8]) -> Result<Object, LfsError> {
    Object::read(&serde_json::from_slice(bytes)?)
}

/// Most octets of an object: a TiB.
pub const MAX_SIZE: u64 = 1 << 40;
/// The SHA-256 of nothing.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

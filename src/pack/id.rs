//! Names of objects in octets.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::kind::ObjectKind;
use crate::github::push::{ObjectFormat, ObjectId};

/// The name of an object in octets; a short one is followed by zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id([u8; 32]);

impl Id {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut id = [0; 32];
        id.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(id))
    }

    /// From hexadecimal digits; git takes those in upper case, too.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            b'A'..=b'F' => Some(digit - b'A' + 10),
            _ => None,
        };
        let pair = |pair: &[u8]| Some(value(*pair.first()?)? << 4 | value(*pair.get(1)?)?);
        Self::of(&digits.chunks(2).map(pair).collect::<Option<Vec<_>>>()?)
    }

    /// That of an object by what it is and its octets, which were given to `hash` behind [`Self::naming`].
    pub(super) fn of_hash(hash: Context) -> Self {
        Self::of(hash.finish().as_ref()).unwrap_or_default()
    }

    /// The beginning of the hash of an object.
    pub(super) fn naming(kind: ObjectKind, length: u64, format: ObjectFormat) -> Context {
        let algorithm = match format {
            ObjectFormat::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            ObjectFormat::Sha256 => &SHA256,
        };
        let mut hash = Context::new(algorithm);
        hash.update(format!("{} {length}\0", kind.as_str()).as_bytes());
        hash
    }

    /// The name of a whole object.
    pub(super) fn name(kind: ObjectKind, content: &[u8], format: ObjectFormat) -> Self {
        let mut hash = Self::naming(kind, content.len() as u64, format);
        hash.update(content);
        Self::of_hash(hash)
    }

    pub(super) fn shown(self, format: ObjectFormat) -> Option<ObjectId> {
        let digits: Vec<_> = self.0.iter().take(format.digits() / 2).map(|byte| format!("{byte:02x}")).collect();
        ObjectId::parse(digits.concat().as_bytes())
    }
}

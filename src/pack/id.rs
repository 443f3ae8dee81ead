//! Names of objects in octets.

use crate::github::push::{ObjectFormat, ObjectId};

/// The name of an object in octets; a short one is followed by zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Id([u8; 32]);

impl Id {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut id = [0; 32];
        id.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(id))
    }

    /// From hexadecimal digits in lower case.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let pair = |pair: &[u8]| Some(value(*pair.first()?)? << 4 | value(*pair.get(1)?)?);
        Self::of(&digits.chunks(2).map(pair).collect::<Option<Vec<_>>>()?)
    }

    pub(super) fn shown(self, format: ObjectFormat) -> Option<ObjectId> {
        let digits: Vec<_> = self.0.iter().take(format.digits() / 2).map(|byte| format!("{byte:02x}")).collect();
        ObjectId::parse(digits.concat().as_bytes())
    }
}

//! Tokens by their digests, which tell nothing of them.

use aws_lc_rs::digest::{SHA256, digest};

use super::keys::hex;
use crate::secret::Secret;

/// Whether two tokens are the same, in a time that tells nothing about either: their digests are compared.
pub(crate) fn is_same_token(one: &Secret, other: &Secret) -> bool {
    TokenDigest::of(one) == TokenDigest::of(other)
}

/// A token that we signed, for whoever is to have it.
pub(crate) fn spelled(token: &Secret) -> &str {
    // Our own are ASCII.
    str::from_utf8(token.expose()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &Secret) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, token.expose()).as_ref());
        Self(octets)
    }

    /// In hexadecimal.
    pub(super) fn written(&self) -> Box<str> {
        hex(&self.0).as_str().into()
    }
}

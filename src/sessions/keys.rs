//! The keys that sign session tokens: one file each, named by the key's id.

use std::{path::Path, time::SystemTime};

use aws_lc_rs::{
    rand,
    signature::{Ed25519KeyPair, KeyPair},
};
use jiff::Timestamp;
use pasetors::{
    keys::AsymmetricSecretKey,
    version4::{PublicToken, V4},
};
use zeroize::Zeroizing;

use crate::{
    files::{self, StoreError},
    secret::Secret,
    token::{self, Claims, KeyId, TokenError, VerifyingKeys},
};

/// Every key there is. The one whose name sorts last signs; the tokens of all are accepted.
pub(super) struct Keys {
    verifying: VerifyingKeys,
    signing: (KeyId, AsymmetricSecretKey<V4>),
}

impl Keys {
    /// Reads the keys of a directory, and makes the first one where there is none.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(super) fn open(directory: &Path, now: SystemTime) -> Result<Self, StoreError> {
        files::make_directory(directory).map_err(|error| StoreError::new(directory, &error))?;
        if names(directory)?.is_empty() {
            make(directory, now)?;
        }
        Self::read(directory)
    }

    /// Reads the keys of a directory. A file holds the 32 octets of an Ed25519 seed in hexadecimal.
    ///
    /// # Errors
    /// A key that cannot be read or is none: to go on without it would refuse its tokens without a word. And that there is none.
    pub(super) fn read(directory: &Path) -> Result<Self, StoreError> {
        let mut verifying = VerifyingKeys::default();
        let mut signing = None;
        for name in names(directory)? {
            let path = directory.join(&name);
            let id = KeyId::parse(&name).ok_or_else(|| StoreError::new(&path, &"a key's name is letters, digits, '-' and '_'"))?;
            let secret = read(&path)?;
            verifying
                .insert(id.clone(), secret.as_bytes().get(SEED..).unwrap_or_default())
                .map_err(|error| StoreError::new(&path, &error))?;
            signing = Some((id, secret));
        }
        let signing = signing.ok_or_else(|| StoreError::new(directory, &"there is no key"))?;
        Ok(Self { verifying, signing })
    }

    /// A token that says this.
    pub(super) fn sign(&self, claims: &Claims) -> Option<Secret> {
        let (id, secret) = &self.signing;
        let (payload, footer) = (claims.to_payload(), token::footer_of(id));
        PublicToken::sign(secret, payload.as_bytes(), Some(footer.as_bytes()), None).ok().map(Secret::new)
    }

    pub(super) fn verify(&self, token: &Secret, now: SystemTime) -> Result<Claims, TokenError> {
        token::verify(token.expose(), &self.verifying, now)
    }
}

/// In their order.
fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    files::names(directory).map_err(|error| StoreError::new(directory, &error))
}

/// Makes a key whose name begins with the time, so that a later one sorts after it.
fn make(directory: &Path, now: SystemTime) -> Result<(), StoreError> {
    let failed = |_| StoreError::new(directory, &"no random octets for a key");
    let (mut seed, mut tail) = (Zeroizing::new([0; SEED]), [0; 4]);
    rand::fill(&mut *seed).map_err(failed)?;
    rand::fill(&mut tail).map_err(failed)?;
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let name = format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), &*hex(&tail));
    files::replace(directory, &name, format!("{}\n", &*hex(&*seed)).as_bytes(), files::PRIVATE)
        .map_err(|error| StoreError::new(&directory.join(name), &error))
}

fn read(path: &Path) -> Result<AsymmetricSecretKey<V4>, StoreError> {
    let text = files::read_private(path, MAX_FILE).map(Zeroizing::new).map_err(|error| StoreError::new(path, &error))?;
    let no_key = || StoreError::new(path, &"it is no key: 64 hexadecimal digits, as of openssl rand -hex 32");
    let seed = unhex(text.trim_ascii_end()).ok_or_else(no_key)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| no_key())?;
    let whole = Zeroizing::new([&seed[..], pair.public_key().as_ref()].concat());
    AsymmetricSecretKey::from(&whole).map_err(|_| no_key())
}

pub(super) fn hex(octets: &[u8]) -> Zeroizing<String> {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    Zeroizing::new(octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect())
}

fn unhex(digits: &[u8]) -> Option<Zeroizing<[u8; SEED]>> {
    let mut octets = Zeroizing::new([0; SEED]);
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != SEED || !rest.is_empty() {
        return None;
    }
    for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *octet = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(octets)
}

/// Octets of an Ed25519 seed.
const SEED: usize = 32;
const MAX_FILE: u64 = 256;

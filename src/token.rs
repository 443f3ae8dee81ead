//! Session tokens of our own making: PASETO `v4.public`, which knows one algorithm, so that a token cannot choose.
//!
//! A token carries ids and times only. What its session may do stands in the session's record, where it can change and
//! be revoked.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use pasetors::{
    keys::AsymmetricPublicKey,
    token::{Public, UntrustedToken},
    version4::{PublicToken, V4},
};
use serde::{Deserialize, Serialize};

/// What a token says, once its signature was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The session's id, with [`CHILD`] and a number where the token may do less than it.
    pub session: Box<str>,
    pub issued: SystemTime,
    /// From this moment on it proves nothing.
    pub expires: Option<SystemTime>,
}

/// The name of a signing key: 1 to 64 letters, digits, `-` and `_`. It is looked up among the keys that are known and
/// never becomes a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    pub fn parse(text: &str) -> Option<Self> {
        let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        ((1..=MAX_ID).contains(&text.len()) && text.bytes().all(spelled)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The public halves of the keys whose tokens are accepted.
#[derive(Default)]
pub struct VerifyingKeys(BTreeMap<KeyId, AsymmetricPublicKey<V4>>);

impl VerifyingKeys {
    /// Accepts tokens signed by this key too.
    ///
    /// # Errors
    /// [`TokenError::Key`] where the octets are no public key.
    pub fn insert(&mut self, id: KeyId, public: &[u8]) -> Result<(), TokenError> {
        self.0.insert(id, AsymmetricPublicKey::from(public).map_err(|_| TokenError::Key)?);
        Ok(())
    }
}

/// Whether a text can name a session: 1 to 64 letters, digits, `-`, `_` and `.`.
pub fn is_session_id(text: &str) -> bool {
    let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(spelled)
}

/// Whether a text can name whose token it is: a session's id, or that with the number of a token that may do less, `s1~3`.
fn is_holder(text: &str) -> bool {
    match text.split_once(CHILD) {
        None => is_session_id(text),
        Some((session, number)) => {
            is_session_id(session) && number.parse().is_ok_and(|parsed: u32| parsed > 0 && parsed.to_string() == number)
        }
    }
}

/// Whether a text claims to be one of our tokens; any other is an operator's.
pub fn is_signed(text: &[u8]) -> bool {
    text.starts_with(PublicToken::HEADER.as_bytes())
}

/// Reads a token that one of these keys signed and that holds at this time.
///
/// # Errors
/// The first fault found: length and form before any cryptography, what the token says only after its signature.
pub fn verify(text: &[u8], keys: &VerifyingKeys, now: SystemTime) -> Result<Claims, TokenError> {
    if text.len() > MAX_TOKEN {
        return Err(TokenError::Form);
    }
    let text = std::str::from_utf8(text).map_err(|_| TokenError::Form)?;
    let token = read(text)?;
    let key = keys.0.get(&key_id(token.untrusted_footer())?).ok_or(TokenError::Key)?;
    PublicToken::verify(key, &token, None, None).map_err(|_| TokenError::Signature)?;
    let claims = Claims::from_payload(token.untrusted_payload())?;
    if claims.issued > now + SKEW {
        return Err(TokenError::Early);
    }
    match claims.expires {
        Some(expires) if expires <= now => Err(TokenError::Expired),
        Some(_) | None => Ok(claims),
    }
}

/// Exactly four parts in the one way that their octets are written in base64url: two texts are never the same token.
fn read(text: &str) -> Result<UntrustedToken<Public, V4>, TokenError> {
    let encoded = text.strip_prefix(PublicToken::HEADER).ok_or(TokenError::Form)?;
    let (message, footer) = encoded.split_once('.').ok_or(TokenError::Form)?;
    for part in [message, footer] {
        let octets = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)?;
        if octets.is_empty() {
            return Err(TokenError::Form);
        }
    }
    UntrustedToken::try_from(text).map_err(|_| TokenError::Form)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer<'f> {
    kid: &'f str,
}

fn key_id(footer: &[u8]) -> Result<KeyId, TokenError> {
    let Footer { kid } = serde_json::from_slice(footer).map_err(|_| TokenError::Form)?;
    let id = KeyId::parse(kid).ok_or(TokenError::Form)?;
    if footer_of(&id).as_bytes() == footer { Ok(id) } else { Err(TokenError::Form) }
}

/// The footer of a token that this key signs.
pub fn footer_of(key: &KeyId) -> String {
    // A key's name needs no escape in JSON.
    format!(r#"{{"kid":"{}"}}"#, key.as_str())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'p> {
    aud: &'p str,
    sid: &'p str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

impl Claims {
    /// What a signature is put under: times to the second, in one form.
    pub fn to_payload(&self) -> String {
        let expires = self.expires.map(|expires| format!(r#","exp":{}"#, seconds(expires))).unwrap_or_default();
        // A session's id needs no escape in JSON.
        format!(r#"{{"aud":"{AUDIENCE}","sid":"{}","iat":{}{expires}}}"#, self.session, seconds(self.issued))
    }

    fn from_payload(octets: &[u8]) -> Result<Self, TokenError> {
        let Payload { aud, sid, iat, exp } = serde_json::from_slice(octets).map_err(|_| TokenError::Claims)?;
        if aud != AUDIENCE {
            return Err(TokenError::Audience);
        }
        let (issued, expires) = (moment(iat)?, exp.map(moment).transpose()?);
        let claims = Self { session: sid.into(), issued, expires };
        if is_holder(sid) && claims.to_payload().as_bytes() == octets { Ok(claims) } else { Err(TokenError::Claims) }
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment before the year 10000, far from overflowing a clock.
fn moment(seconds: u64) -> Result<SystemTime, TokenError> {
    if seconds > LAST_SECOND {
        return Err(TokenError::Claims);
    }
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Why a text proves no session. Says nothing of what it would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token in its one form.
    Form,
    /// No key has the name it gives.
    Key,
    Signature,
    /// Signed by us, and not what we sign.
    Claims,
    /// Signed for another use.
    Audience,
    /// Issued in the future.
    Early,
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not a session token",
            Self::Key => "signed by a key that is not known here",
            Self::Signature => "the signature is not good",
            Self::Claims => "the token says something that session tokens do not say",
            Self::Audience => "the token is for another use",
            Self::Early => "the token was issued in the future",
            Self::Expired => "the token has expired",
        })
    }
}

impl std::error::Error for TokenError {}

/// Most octets of a token.
pub const MAX_TOKEN: usize = 1024;
/// Most characters of a session's id, and of a key's.
pub const MAX_ID: usize = 64;
/// What stands between the id of a session and the number of a token of it that may do less.
pub const CHILD: char = '~';
/// What our tokens are for.
const AUDIENCE: &str = "tidegate-session";
/// How far the clock of whoever issued a token may run ahead.
const SKEW: Duration = Duration::from_secs(30);
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests;

//! The value of `Proxy-Authorization` or `Authorization`, as far as it carries a session token.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::secrets::Lookout;
use crate::secret::Secret;

/// A token that somebody showed; nobody has looked yet whether it is good for anything.
#[derive(Debug)]
pub struct Presented {
    pub token: Secret,
}

/// Reads `Basic` (RFC 7617: padded base64 of `user:password`; the token is the password, or the user name where the
/// password is empty or GitHub's word for none), `Bearer` (RFC 6750: token68) or `token`, which is what GitHub's clients write for the
/// same. The scheme's case is free, one or more spaces follow it (RFC 9110, section 11.4).
pub fn parse(value: &[u8]) -> Result<Presented, AuthorizationError> {
    let end_of_scheme = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end_of_scheme);
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    let credentials = &rest[spaces..];
    if scheme.eq_ignore_ascii_case(b"basic") {
        parse_basic(credentials)
    } else if scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"token") {
        parse_bearer(credentials)
    } else {
        Err(AuthorizationError::Scheme)
    }
}

/// Whether a value shows a token of one of GitHub's shapes, be it within what `Basic` encodes.
pub fn shows_github_token(value: &[u8]) -> bool {
    let encoded = value.split_at_checked(BASIC.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BASIC)).map(|(_, rest)| rest);
    let mut decoded = Zeroizing::new(Vec::with_capacity(encoded.map_or(0, <[u8]>::len)));
    let is_basic = encoded.is_some_and(|encoded| BASE64_STANDARD.decode_vec(encoded.trim_ascii(), &mut decoded).is_ok());
    Lookout::finds(if is_basic { &decoded } else { value })
}

fn parse_basic(credentials: &[u8]) -> Result<Presented, AuthorizationError> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(credentials.len()));
    BASE64_STANDARD.decode_vec(credentials, &mut decoded).map_err(|_| AuthorizationError::Base64)?;
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(AuthorizationError::Control);
    }
    let colon = decoded.iter().position(|&byte| byte == b':').ok_or(AuthorizationError::Colon)?;
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    let token = if password.is_empty() || password == NO_PASSWORD { user } else { password };
    if token.is_empty() {
        return Err(AuthorizationError::Empty);
    }
    Ok(Presented { token: Secret::new(token) })
}

fn parse_bearer(credentials: &[u8]) -> Result<Presented, AuthorizationError> {
    if credentials.is_empty() {
        return Err(AuthorizationError::Empty);
    }
    let padding = credentials.iter().rev().take_while(|&&byte| byte == b'=').count();
    let (token, _) = credentials.split_at(credentials.len() - padding);
    let is_token68 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if token.is_empty() || !token.iter().all(is_token68) {
        return Err(AuthorizationError::Token68);
    }
    Ok(Presented { token: Secret::new(credentials) })
}

const BASIC: &[u8] = b"basic ";
/// What GitHub's clients write where the token is the user name.
const NO_PASSWORD: &[u8] = b"x-oauth-basic";

/// Why a value carries no token. Never holds a byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationError {
    Scheme,
    Base64,
    Colon,
    Control,
    Token68,
    Empty,
}

impl fmt::Display for AuthorizationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "credentials are understood as Basic, Bearer or token only",
            Self::Base64 => "Basic credentials are not base64 with its padding",
            Self::Colon => "Basic credentials have no colon between user name and password",
            Self::Control => "Basic credentials contain a control character",
            Self::Token68 => "a Bearer token contains a character that may not stand in one",
            Self::Empty => "the credentials are empty, the session token belongs in the password",
        })
    }
}

impl std::error::Error for AuthorizationError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Case = (&'static [u8], Result<&'static [u8], AuthorizationError>);

    fn token(value: &[u8]) -> Result<Vec<u8>, AuthorizationError> {
        parse(value).map(|presented| presented.token.expose().to_vec())
    }

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn basic_carries_the_token_as_password() {
        let table: [Case; 12] = [
            (b"x:token", Ok(b"token")),
            (b":token", Ok(b"token")),
            (b"x:to:ken", Ok(b"to:ken")),
            (b"token:", Ok(b"token")),
            (b"token:x-oauth-basic", Ok(b"token")),
            (b":x-oauth-basic", Err(AuthorizationError::Empty)),
            (b"x:t\xc3\xa4", Ok(b"t\xc3\xa4")),
            (b":", Err(AuthorizationError::Empty)),
            (b"token", Err(AuthorizationError::Colon)),
            (b"", Err(AuthorizationError::Colon)),
            (b"x:to\0ken", Err(AuthorizationError::Control)),
            (b"x\n:token", Err(AuthorizationError::Control)),
        ];
        for (pair, expected) in table {
            assert_eq!(token(&basic(pair)), expected.map(<[u8]>::to_vec), "{}", pair.escape_ascii());
        }
    }

    #[test]
    fn values_as_clients_write_them() {
        let table: [Case; 23] = [
            (b"Basic eDp0b2tlbg==", Ok(b"token")),
            (b"bAsIc   eDp0b2tlbg==", Ok(b"token")),
            (b"Bearer abc.DEF-_~+/123==", Ok(b"abc.DEF-_~+/123==")),
            (b"bearer a", Ok(b"a")),
            (b"token v4.public.abc-_DEF", Ok(b"v4.public.abc-_DEF")),
            (b"Token  a", Ok(b"a")),
            (b"token", Err(AuthorizationError::Empty)),
            (b"token a b", Err(AuthorizationError::Token68)),
            (b"tokens a", Err(AuthorizationError::Scheme)),
            (b"Basic eDp0b2tlbg", Err(AuthorizationError::Base64)),
            (b"Basic eDp0b2tlbh==", Err(AuthorizationError::Base64)),
            (b"Basic eDp0 b2tlbg==", Err(AuthorizationError::Base64)),
            (b"Basic", Err(AuthorizationError::Colon)),
            (b"Bearer", Err(AuthorizationError::Empty)),
            (b"Bearer ", Err(AuthorizationError::Empty)),
            (b"Bearer a b", Err(AuthorizationError::Token68)),
            (b"Bearer a=b", Err(AuthorizationError::Token68)),
            (b"Bearer ==", Err(AuthorizationError::Token68)),
            (b"Bearer a,b", Err(AuthorizationError::Token68)),
            (b"Digest username=\"x\"", Err(AuthorizationError::Scheme)),
            (b"Bearer \ta", Err(AuthorizationError::Token68)),
            (b"Bearer\ta", Err(AuthorizationError::Scheme)),
            (b"", Err(AuthorizationError::Scheme)),
        ];
        for (value, expected) in table {
            assert_eq!(token(value), expected.map(<[u8]>::to_vec), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn tokens_of_github_s_show_in_every_scheme() {
        let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
        for value in [
            format!("Bearer {token}"),
            format!("token {token}"),
            format!("bASIC  {}", BASE64_STANDARD.encode(format!("x:{token}"))),
            token.into(),
        ] {
            assert!(shows_github_token(value.as_bytes()), "{value}");
        }
        for value in ["Basic eDp0b2tlbg==", "Basic", "Bearer v4.public.abc", "", "Basic !"] {
            assert!(!shows_github_token(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn nothing_of_a_token_is_shown() {
        assert_eq!(format!("{:?}", parse(b"Bearer s3cr3t")), "Ok(Presented { token: Secret(…) })");
        assert!(!parse(b"Bearer s3cr3t\"").unwrap_err().to_string().contains("s3cr3t"));
    }

    proptest! {
        #[test]
        fn a_password_comes_back(user in "[ -9;-~]{0,20}", password in "[ -~]{1,40}") {
            prop_assert_eq!(token(&basic(format!("{user}:{password}").as_bytes())), Ok(password.into_bytes()));
        }

        #[test]
        fn any_bytes_are_answered(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&value);
        }
    }
}

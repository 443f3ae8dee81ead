//! Where a real credential is put into a request, and what hides it in an answer.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use zeroize::Zeroizing;

use crate::{
    policy::Placement,
    secret::Secret,
    wire::{masking::Masker, secrets},
};

/// Puts a real credential into a request, in place of any other there, and never shown by `Debug`. `origin_form` is path and query;
/// of the sandbox's own it has lost the key already.
pub(crate) fn put_in(placement: &Placement, secret: &Secret, headers: &mut HeaderMap, origin_form: &mut String) {
    match placement {
        Placement::Header { name, before, after } => {
            let value = Zeroizing::new([before.as_bytes(), secret.expose(), after.as_bytes()].concat());
            insert(headers, name, &value);
        }
        Placement::Basic { user } => insert_basic(headers, user, secret),
        Placement::Query { key } => {
            origin_form.push(if origin_form.contains('?') { '&' } else { '?' });
            origin_form.push_str(key);
            origin_form.push('=');
            for &byte in secret.expose() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    origin_form.push(char::from(byte));
                } else {
                    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default().to_ascii_uppercase();
                    origin_form.extend(['%', digit(byte >> 4), digit(byte & 15)]);
                }
            }
        }
    }
}

/// Puts a real credential into a request as GitHub takes it for git (RFC 7617, of any kind of token).
pub(crate) fn authorize(headers: &mut HeaderMap, secret: &Secret) {
    insert_basic(headers, USER, secret);
}

/// The same as it takes it for its API (RFC 6750).
pub(crate) fn authorize_api(headers: &mut HeaderMap, secret: &Secret) {
    insert(headers, &AUTHORIZATION, &Zeroizing::new([b"Bearer ", secret.expose()].concat()));
}

/// Whether what somebody shows looks like a token of GitHub's.
pub(crate) fn is_github_token(shown: &Secret) -> bool {
    secrets::is_github_token(shown.expose())
}

/// What takes these out of an answer.
pub(crate) fn masker(secrets: &[Arc<Secret>]) -> Masker {
    Masker::new(secrets.iter().map(|secret| secret.expose()))
}

fn insert_basic(headers: &mut HeaderMap, user: &str, secret: &Secret) {
    headers.remove(AUTHORIZATION);
    if let Some(value) = basic(user, secret) {
        headers.insert(AUTHORIZATION, value);
    }
}

/// User and password as a field's value (RFC 7617), never shown by `Debug`.
pub(crate) fn basic(user: &str, secret: &Secret) -> Option<HeaderValue> {
    let pair = Zeroizing::new([user.as_bytes(), b":", secret.expose()].concat());
    // Room for all of it, so that no part stays where a smaller buffer was.
    let mut value = Zeroizing::new(String::with_capacity(SCHEME.len() + pair.len().div_ceil(3) * 4));
    value.push_str(SCHEME);
    BASE64_STANDARD.encode_string(pair.as_slice(), &mut value);
    hidden(value.as_bytes())
}

/// Where a value could not stand in a field, none stands there.
fn insert(headers: &mut HeaderMap, name: &http::HeaderName, value: &[u8]) {
    headers.remove(name);
    if let Some(value) = hidden(value) {
        headers.insert(name, value);
    }
}

fn hidden(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// With this user name GitHub takes every kind of token for git.
const USER: &str = "x-access-token";
const SCHEME: &str = "Basic ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::MAX_CREDENTIAL, policy::Policy};

    /// A request after a credential was put in as written: its fields, and path and query.
    fn put(written: &str, secret: &str, origin_form: &str) -> (Vec<(String, String)>, String) {
        let text = format!("[[credential]]\nhosts = [\"a.test\"]\nvalue = {{ env = \"KEY\" }}\n{written}\n");
        let (policy, _) = Policy::parse("policy.toml", &text).unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", HeaderValue::from_static("own"));
        headers.append("x-api-key", HeaderValue::from_static("own too"));
        let mut target = origin_form.to_owned();
        put_in(policy.credentials()[0].placement(), &Secret::new(secret), &mut headers, &mut target);
        assert!(!format!("{headers:?}").contains(secret));
        let fields = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (fields.filter(|(_, value)| !value.starts_with("own")).collect(), target)
    }

    #[test]
    fn credentials_stand_where_they_are_written_to() {
        let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let table = [
            ("header = \"X-Api-Key\"", "/a?b=c", field("x-api-key", "s3cr/t+"), "/a?b=c"),
            ("header = \"authorization\"\nformat = \"Bearer {} v1\"", "/", field("authorization", "Bearer s3cr/t+ v1"), "/"),
            ("basic_user = \"x\"", "/", field("authorization", "Basic eDpzM2NyL3Qr"), "/"),
            ("query = \"key\"", "/a", Vec::new(), "/a?key=s3cr%2Ft%2B"),
            ("query = \"key\"", "/a?b=c", Vec::new(), "/a?b=c&key=s3cr%2Ft%2B"),
        ];
        for (written, target, fields, expected) in table {
            assert_eq!(put(written, "s3cr/t+", target), (fields, expected.to_owned()), "{written}");
        }
    }

    #[test]
    fn one_credential_takes_the_place_of_all_others() {
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", HeaderValue::from_static("one"));
        headers.append("x-api-key", HeaderValue::from_static("two"));
        let placement = Placement::Header { name: http::HeaderName::from_static("x-api-key"), before: "".into(), after: "".into() };
        put_in(&placement, &Secret::new("real"), &mut headers, &mut "/".to_owned());
        assert_eq!(headers.get_all("x-api-key").iter().collect::<Vec<_>>(), ["real"]);
    }

    #[test]
    fn a_request_is_authorized_by_one_field() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer one"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer two"));
        authorize(&mut headers, &Secret::new("ghp_x"));
        let values: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
        let [value] = values.as_slice() else { panic!("{values:?}") };
        // printf x-access-token:ghp_x | base64
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3g="[..], true));
        authorize(&mut headers, &Secret::new("x".repeat(MAX_CREDENTIAL)));
        assert_eq!(
            headers.get(AUTHORIZATION).map(HeaderValue::len),
            Some(SCHEME.len() + (USER.len() + 1 + MAX_CREDENTIAL).div_ceil(3) * 4)
        );
    }
}

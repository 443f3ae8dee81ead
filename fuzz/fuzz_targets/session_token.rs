//! A text that verifies is the one text of what it says: its claims, signed again, are the same octets. The input is
//! taken as a token, and as what a token that we signed might say.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use libfuzzer_sys::fuzz_target;
use pasetors::{
    keys::{AsymmetricKeyPair, Generate},
    version4::{PublicToken, V4},
};
use tidegate::token::{CHILD, KeyId, VerifyingKeys, footer_of, is_session_id, verify};

static PAIR: LazyLock<AsymmetricKeyPair<V4>> = LazyLock::new(|| AsymmetricKeyPair::generate().expect("random octets"));

fuzz_target!(|input: &[u8]| {
    let id = KeyId::parse("k1").expect("the name of a key");
    let footer = footer_of(&id);
    let mut keys = VerifyingKeys::default();
    keys.insert(id, PAIR.public.as_bytes()).expect("a public key");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400);
    let sign = |payload: &[u8], footer: &[u8]| PublicToken::sign(&PAIR.secret, payload, Some(footer), None);

    assert!(verify(input, &keys, now).is_err(), "nobody else has the key");
    if let Ok(token) = sign(input, footer.as_bytes())
        && let Ok(claims) = verify(token.as_bytes(), &keys, now)
    {
        assert_eq!(claims.to_payload().as_bytes(), input);
        let mut parts = claims.session.split(CHILD);
        assert!(parts.next().is_some_and(is_session_id));
        assert!(parts.next().is_none_or(|number| number.parse().is_ok_and(|number: u32| number > 0)) && parts.next().is_none());
    }
    if let Ok(token) = sign(br#"{"aud":"tidegate-session","sid":"s1","iat":1}"#, input) {
        assert_eq!(verify(token.as_bytes(), &keys, now).is_ok(), input == footer.as_bytes());
    }
});

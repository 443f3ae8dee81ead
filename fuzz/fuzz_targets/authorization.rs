//! A token that is read comes back from the plainest value that carries it.
#![no_main]

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::authorization::parse;

fuzz_target!(|value: &[u8]| {
    if let Ok(presented) = parse(value) {
        let token = presented.token.expose();
        assert!(!token.is_empty());
        let plain = format!("Basic {}", BASE64_STANDARD.encode([b":", token].concat()));
        let again = parse(plain.as_bytes()).expect("a token that was read once");
        assert_eq!(again.token.expose(), token);
    }
});

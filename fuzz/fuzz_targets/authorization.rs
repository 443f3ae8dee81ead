//! A token that is read comes back from the plainest value that carries it.
#![no_main]

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::{
    authorization::{parse, shows_github_token},
    secrets::is_github_token,
};

fuzz_target!(|value: &[u8]| {
    if let Ok(presented) = parse(value) {
        let token = presented.token.expose();
        assert!(!token.is_empty());
        assert!(!is_github_token(token) || shows_github_token(value));
        if token == b"x-oauth-basic" {
            // Behind a colon it is GitHub's word for no password.
            return;
        }
        let plain = format!("Basic {}", BASE64_STANDARD.encode([b":", token].concat()));
        let again = parse(plain.as_bytes()).expect("a token that was read once");
        assert_eq!(again.token.expose(), token);
    }
});

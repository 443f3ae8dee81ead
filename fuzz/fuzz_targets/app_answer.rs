//! Whatever GitHub answers an App: a token that passes is good for what was asked for and for nothing else, and is never shown.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::github::{
    app::{Installation, Level, MAX_ANSWER, MadeToken, Permissions, TokenRequest, read_date},
    identity::{self, RepositoryId},
};

/// Numbers 7 and 9, to be read.
static REQUEST: LazyLock<TokenRequest> = LazyLock::new(|| {
    let mut permissions = Permissions::default();
    permissions.raise("contents", Level::Read);
    permissions.raise("metadata", Level::Read);
    TokenRequest::new([7, 9].map(number).into(), permissions).expect("a request")
});

fn number(number: u64) -> RepositoryId {
    identity::read(format!("{{\"id\":{number},\"full_name\":\"o/r\"}}").as_bytes()).expect("a number").id
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(installation) = Installation::read(bytes) {
        let mut wish = Permissions::default();
        wish.raise("contents", Level::Write);
        let within = wish.within(&installation.permissions);
        assert!(within.iter().all(|(name, level)| name == "contents" && level <= Level::Write));
        assert_eq!(within.within(&installation.permissions), within);
    }
    if let Some(made) = MadeToken::read(bytes) {
        assert!(bytes.len() <= MAX_ANSWER);
        let shown = format!("{made:?}");
        match REQUEST.check(made) {
            Ok(narrowed) => {
                let mut numbers: Vec<_> = narrowed.repositories.iter().map(|found| found.id).collect();
                numbers.sort_unstable();
                assert_eq!(numbers, [7, 9].map(number));
                let token = narrowed.secret.expose();
                assert!((1..=8192).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic));
                assert!(shown.contains("Secret(…)"));
            }
            Err(mismatch) => assert!(!mismatch.secret.expose().is_empty()),
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = read_date(text);
    }
});

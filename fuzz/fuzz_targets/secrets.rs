//! Pieces change nothing, and a secret that this process holds is found wherever it stands. The first octet says how long the secret is
//! that follows it, the second how long the pieces are.
#![no_main]

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::secrets::{Known, Lookout, MIN_SECRET, Scan, shows_github_token};

fuzz_target!(|bytes: &[u8]| {
    let [length, piece, rest @ ..] = bytes else { return };
    let Some((secret, text)) = rest.split_at_checked(usize::from(*length)) else { return };
    let known = Arc::new(Known::new([secret]).expect("one secret"));
    let mut scan = Scan::new(&known);
    let slowly = text.chunks(usize::from(*piece).max(1)).find_map(|piece| scan.push(piece));
    assert_eq!(known.find(text), slowly);
    let mut lookout = Lookout::default();
    let plainly = text.chunks(usize::from(*piece).max(1)).any(|piece| lookout.push(piece));
    assert_eq!(Lookout::finds(text), plainly);
    assert!(!plainly || shows_github_token(text), "what stands there plainly is found by the whole search");
    if secret.len() >= MIN_SECRET && !secret.contains(&0) {
        assert!(known.find(&[text, secret].concat()).is_some());
        assert!(known.find(BASE64_STANDARD.encode([text, secret].concat()).as_bytes()).is_some());
    }
});

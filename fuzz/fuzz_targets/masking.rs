//! Pieces change nothing, no length changes, and no secret survives. The first octet says how long the secret is that follows it, the
//! second how long the pieces are.
#![no_main]

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::masking::{MASK, MIN_ENCODED, Masker};

fuzz_target!(|bytes: &[u8]| {
    let [length, piece, rest @ ..] = bytes else { return };
    let Some((secret, text)) = rest.split_at_checked(usize::from(*length)) else { return };
    let masker = || Masker::new([secret]);
    let at_once = masker().mask(text).unwrap_or_else(|| text.to_vec());

    let mut slow = masker();
    let mut slowly = Vec::new();
    for piece in text.chunks(usize::from(*piece).max(1)) {
        slowly.append(&mut slow.push(piece));
    }
    slowly.append(&mut slow.finish());
    assert_eq!(at_once, slowly);
    assert!(slow.is_empty());

    assert_eq!(at_once.len(), text.len());
    assert!(at_once.iter().zip(text).all(|(octet, was)| octet == was || *octet == MASK));
    if !secret.is_empty() && !secret.contains(&MASK) {
        assert!(!at_once.windows(secret.len()).any(|window| window == secret));
    }
    if secret.len() >= MIN_ENCODED {
        let references: String = secret.iter().map(|octet| format!("&#x{octet:x};")).collect();
        assert_eq!(masker().mask(references.as_bytes()), Some(vec![MASK; references.len()]));
        let percent: String = secret.iter().map(|octet| format!("%{octet:02X}")).collect();
        assert_eq!(masker().mask(percent.as_bytes()), Some(vec![MASK; percent.len()]));
    }
    if secret.len() >= MIN_ENCODED && secret.len() % 3 == 0 {
        let encoded = BASE64_STANDARD.encode(secret);
        let masked = masker().mask(encoded.as_bytes());
        assert_eq!(masked, Some(vec![MASK; encoded.len()]));
    }
});

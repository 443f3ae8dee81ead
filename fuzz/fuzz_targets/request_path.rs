//! A canonical request-target reads back to itself, and no segment of its path, however often it is decoded, leads
//! anywhere but down.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::path::CanonicalTarget;

fuzz_target!(|input: &str| {
    let Ok(read) = CanonicalTarget::read(input) else { return };
    assert_eq!(CanonicalTarget::read(&read.to_string()), Ok(read.clone()));
    let mut path = read.path().as_bytes().to_vec();
    for _ in 0..3 {
        assert!(path.split(|byte| matches!(byte, b'/' | b'\\')).all(|segment| {
            let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
            name != b"." && name != b".."
        }));
        path = decode(&path);
    }
    // As a server has it that folds wide forms and trims names.
    let folded = String::from_utf8(path).expect("what decodes to no UTF-8 is refused").replace(['．', '․'], ".").replace('‥', "..");
    assert!(!folded.contains(['／', '＼', '⁄', '∕']));
    assert!(!folded.split('/').any(|segment| matches!(segment.trim_matches(' '), "." | "..")));
});

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let octet = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(octet.unwrap_or(byte));
        if octet.is_some() {
            rest = &after[2..];
        }
    }
    decoded
}

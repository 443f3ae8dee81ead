//! Octets that follow change no answer, and it agrees with the readers of what was told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::{
    client_hello,
    http1::{HeadError, parse_head},
    opening::{MAX_OPENING, Opening, read},
};

fuzz_target!(|bytes: &[u8]| {
    let mut told = None;
    for end in 0..=bytes.len().min(2 * MAX_OPENING) {
        let now = read(&bytes[..end]);
        assert!(told.is_none() || now == told, "{told:?}, then {now:?} at {end}");
        assert!(now.is_some() || end < MAX_OPENING);
        told = now;
    }
    let Some(told) = told else { return };
    let is_request = !matches!(parse_head(bytes), Err(HeadError::NotHttp(_)));
    match told {
        Opening::Http1 | Opening::Http2 => assert!(is_request),
        Opening::Tls | Opening::Other => assert!(!is_request),
        Opening::Ssh => {}
    }
    let is_tls = !matches!(client_hello::parse(bytes), Err(client_hello::HelloError::NotTls(_)));
    assert_eq!(told == Opening::Tls, is_tls);
});

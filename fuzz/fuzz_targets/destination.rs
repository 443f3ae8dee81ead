//! What parses is canonical: printed and parsed again it is the same, and so is the print.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::destination::Destination;

fuzz_target!(|authority: &[u8]| {
    if let Ok(destination) = Destination::parse(authority, Some(443)) {
        let printed = destination.to_string();
        assert!(printed.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{printed}");
        assert_eq!(Destination::parse(printed.as_bytes(), None).as_ref(), Ok(&destination), "{printed}");
        if let Some(name) = destination.host.name() {
            assert!(name.suffixes().all(|suffix| !suffix.is_empty() && suffix.len() <= 253), "{printed}");
        }
    }
});

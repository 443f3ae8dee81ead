//! Whatever an origin writes, a redirect leads to a destination in its one canonical form, or nowhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{destination::Destination, wire::location::redirected_to};

fuzz_target!(|location: &[u8]| {
    for secure in [true, false] {
        assert_eq!(redirected_to(200, location, secure), None);
        if let Some(to) = redirected_to(302, location, secure) {
            let printed = to.to_string();
            assert_eq!(Destination::parse(printed.as_bytes(), None).as_ref(), Ok(&to), "{printed}");
            assert_eq!(redirected_to(307, format!("//{printed}/").as_bytes(), secure), Some(to), "{printed}");
        }
    }
});

//! The server for which git wants a credential is written as git writes it, and then the same is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::git_credential::{Wanted, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(wanted)) = parse(bytes) else { return };
    let Wanted { secure, destination } = &wanted;
    let written = format!("protocol={}\nhost={destination}\n", if *secure { "https" } else { "http" });
    assert_eq!(parse(written.as_bytes()), Ok(Some(wanted)));
});

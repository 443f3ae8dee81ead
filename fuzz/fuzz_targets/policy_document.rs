//! Any document is answered: with a policy, or with what is wrong in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::policy::Policy;

fuzz_target!(|document: &str| {
    let _ = Policy::parse("fuzz", document);
});

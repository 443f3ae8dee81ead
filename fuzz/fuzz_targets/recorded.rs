//! Whatever stands in an audit file, what is suggested for it is a policy that says the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{
    policy::{Policy, learning::Observations},
    recorded::Recorded,
};

fuzz_target!(|bytes: &[u8]| {
    let mut observations = Observations::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(recorded) = Recorded::read(line) {
            observations.add(&recorded);
        }
    }
    if !observations.is_empty() {
        let suggested = observations.suggest().to_string();
        let problems = Policy::parse("suggested.toml", &suggested).err();
        assert!(problems.is_none(), "{problems:#?}\n{suggested}");
    }
});

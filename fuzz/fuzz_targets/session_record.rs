//! A session's record that can be read is written so that it is read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::sessions::record::{Record, RecordError};

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::parse("s1", bytes) else { return };
    match record.to_text() {
        Ok(text) => assert_eq!(Record::parse("s1", &text), Ok(record)),
        Err(error) => assert_eq!(error, RecordError::Long),
    }
    assert!(Record::parse("s2", bytes).is_err());
});

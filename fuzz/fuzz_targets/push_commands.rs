//! Segments change nothing, what follows changes nothing, and what is accepted reads the same when it is written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::github::push::{CommandList, MAX_COMMANDS, MAX_SHALLOW, Prelude, PreludeReader, parse};

fuzz_target!(|bytes: &[u8]| {
    let at_once = parse(bytes);
    let mut reader = PreludeReader::default();
    let slowly = (0..=bytes.len()).map(|end| reader.read(&bytes[..end])).find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(at_once, slowly);

    match at_once {
        Ok(Some(Prelude::Commands(list))) => {
            assert!(!list.updates.is_empty() && list.updates.len() <= MAX_COMMANDS && list.shallow.len() <= MAX_SHALLOW);
            assert_eq!(parse(&bytes[..list.length]), Ok(Some(Prelude::Commands(list.clone()))));
            let written = list.to_bytes();
            let again = CommandList { length: written.len(), ..list };
            assert_eq!(parse(&written), Ok(Some(Prelude::Commands(again.clone()))));
            assert_eq!(again.to_bytes(), written);
        }
        Ok(Some(Prelude::Nothing { length })) => assert!(bytes[..length].ends_with(b"0000")),
        Ok(None) | Err(_) => {}
    }
});

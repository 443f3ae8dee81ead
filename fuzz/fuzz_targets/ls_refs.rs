//! Nothing is read of what has not come, and nothing beyond the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::github::ls_refs::{MAX_LISTING, parse};

fuzz_target!(|answer: &[u8]| {
    let at_once = parse(answer);
    let slowly = (0..=answer.len()).map(|end| parse(&answer[..end])).find(|found| *found != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(at_once, slowly);
    assert!(at_once != Ok(None) || answer.len() <= MAX_LISTING);
});

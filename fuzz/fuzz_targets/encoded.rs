//! Pieces change nothing in what is found behind a content coding. The first octet says which coding, the second how long the pieces are.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidegate::wire::{
    encoded::{Coding, EncodedScan},
    secrets::{Known, Scan},
};

fuzz_target!(|bytes: &[u8]| {
    let [coding, piece, body @ ..] = bytes else { return };
    let known = Arc::new(Known::new([b"secret-secret".as_slice()]).expect("one secret"));
    let coding = [Coding::Plain, Coding::Gzip, Coding::Deflate][usize::from(*coding) % 3];
    let scan = || EncodedScan::new(coding, Scan::new(&known));
    let mut slow = scan();
    let slowly = body.chunks(usize::from(*piece).max(1)).find_map(|piece| slow.push(piece).transpose()).transpose();
    let at_once = scan().push(body);
    // A body that decodes to too much may be known for one later where there is more room.
    assert!(slowly == at_once || slowly.is_err() || at_once.is_err());
});

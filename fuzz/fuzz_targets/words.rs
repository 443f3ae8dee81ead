//! What an upstream says to git reads the same however it is cut into pieces, and grows by no more than it is cut up. The first octet says how
//! long the pieces are, and whether it answers a push.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{
    github::{Service, words::Words},
    wire::masking::Masker,
};

const SECRET: &[u8] = b"ghs_0123456789secret";

fuzz_target!(|bytes: &[u8]| {
    let [first, answer @ ..] = bytes else { return };
    let service = if first & 1 == 0 { Service::UploadPack } else { Service::ReceivePack };
    let at_once = through(service, &[answer]);
    let pieces: Vec<_> = answer.chunks(usize::from(first >> 1).max(1)).collect();
    assert_eq!(through(service, &pieces), at_once);
    assert!(at_once.len() <= 4 * answer.len() + 16, "what is held back comes in at most one line more a section");
});

fn through(service: Service, pieces: &[&[u8]]) -> Vec<u8> {
    let mut words = Words::new(Masker::new([SECRET]), service);
    let mut out = Vec::new();
    for piece in pieces {
        if words.passes(piece.len()) { out.extend_from_slice(piece) } else { out.extend(words.push(piece)) }
    }
    out.extend(words.finish());
    out
}

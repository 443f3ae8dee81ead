//! However a server's frames are cut, the same octets pass, and no length changes; however a client's are, the same is found. The first octet says how long the pieces are, and
//! whether a secret is looked for.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidegate::wire::{
    masking::Masker,
    secrets::Known,
    websocket::{ClientFrames, ServerFrames},
};

fuzz_target!(|bytes: &[u8]| {
    let [piece, stream @ ..] = bytes else { return };
    client(stream, usize::from(*piece).max(1));
    let frames = || ServerFrames::new((piece & 1 == 1).then(|| Masker::new([b"secret".as_slice()])));
    let mut whole = frames();
    let at_once = whole.pass(stream).map(std::borrow::Cow::into_owned);

    let mut slow = frames();
    let mut slowly = Vec::new();
    let mut taken = 0;
    for piece in stream.chunks(usize::from(*piece).max(1)) {
        match slow.pass(piece) {
            Ok(passed) => slowly.extend_from_slice(&passed),
            Err(error) => return assert_eq!(Err(error), at_once),
        }
        taken += piece.len();
        assert!(slowly.len() <= taken);
        assert!(!slow.is_between() || slowly.len() == taken);
    }
    assert_eq!(Ok(slowly), at_once);
    assert_eq!(slow.is_between(), whole.is_between());
});

fn client(stream: &[u8], size: usize) {
    let known = Arc::new(Known::new([b"secret-secret".as_slice()]).expect("one secret"));
    let mut slow = ClientFrames::new(&known);
    let slowly = stream.chunks(size).find_map(|piece| slow.push(piece).transpose()).transpose();
    assert_eq!(slowly, ClientFrames::new(&known).push(stream));
}

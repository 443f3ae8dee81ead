//! Pieces change nothing, what is read stays within its bounds, and no commit descends from one that is not there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{
    github::push::{ObjectFormat, ObjectId},
    pack::{PackError, PackReader, Unproven},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, pack)) = bytes.split_first() else { return };
    let format = if first & 1 == 0 { ObjectFormat::Sha1 } else { ObjectFormat::Sha256 };
    let mut at_once = PackReader::new(format);
    let whole = at_once.take(pack).and_then(|()| at_once.finish());
    let mut piecewise = PackReader::new(format);
    let pieces = pack.chunks(usize::from(first >> 1) + 1).try_for_each(|piece| piecewise.take(piece)).and_then(|()| piecewise.finish());
    // A stream that is too long and broken is refused for what shows first, which hangs on how far the inflater looks ahead.
    let shown = |error: PackError| if error == PackError::Compression { PackError::Size } else { error };
    let (whole, pieces) = match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => (whole, pieces),
        (whole, pieces) => return assert_eq!(whole.err().map(shown), pieces.err().map(shown)),
    };
    let id = |digit: &str| ObjectId::parse(digit.repeat(format.digits()).as_bytes()).unwrap();
    let (old, new) = (id("1"), id("2"));
    assert_eq!(whole.descent(&old, &new), Err(Unproven::Beyond(vec![new.clone()])));
    assert_eq!(pieces.descent(&old, &new), whole.descent(&old, &new));
});

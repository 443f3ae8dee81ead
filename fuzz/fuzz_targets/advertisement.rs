//! Segments change nothing, what is written reads the same and is no longer, and offers nothing that would be refused. The first octet
//! says which service was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::github::{
    Service,
    advertisement::{Advertisement, AdvertisementReader, MAX_ADVERTISEMENT},
    push::Capabilities,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, answer)) = bytes.split_first() else { return };
    let service = if *first == b'p' { Service::ReceivePack } else { Service::UploadPack };
    let at_once = AdvertisementReader::new(service).read(answer);
    let mut reader = AdvertisementReader::new(service);
    let slowly = (0..=answer.len()).map(|end| reader.read(&answer[..end])).find(|found| *found != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(at_once, slowly);

    let Ok(Some(Advertisement { written, length, version })) = at_once else { return };
    assert!(written.len() <= length && length <= answer.len() && length <= MAX_ADVERTISEMENT);
    assert_eq!(AdvertisementReader::new(service).read(&answer[..length]), slowly);
    let again = Advertisement { written: written.clone(), length: written.len(), version };
    assert_eq!(AdvertisementReader::new(service).read(&written), Ok(Some(again)));

    let text = String::from_utf8_lossy(&written);
    let Some((_, capabilities)) = text.split_once('\0') else { return };
    for word in capabilities.split([' ', '\n']).filter(|word| !word.is_empty() && word.is_ascii()) {
        let asked_for = || Capabilities::parse(word.as_bytes()).is_ok_and(|one| !one.to_string().is_empty());
        assert!(!word.contains("://") && word.split('=').next() != Some("session-id"), "{word}");
        assert!(service == Service::UploadPack || word == "no-thin" || asked_for(), "{word}");
    }
});

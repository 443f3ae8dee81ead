//! What is read of Git LFS is bounded, reads the same when it is written anew, and nothing of an upstream's link is in what a sandbox
//! gets.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use tidegate::github::lfs::{
    BatchAnswer, BatchRequest, Handle, Href, Link, LockAnswer, LockChange, LockListing, LockQuery, MAX_OBJECTS, Range, read_object,
};

fuzz_target!(|bytes: &[u8]| {
    // The request and, behind an octet that JSON has no use for, the upstream's answer.
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let (asked, answered) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    if let Ok(request) = BatchRequest::parse(asked) {
        assert!((1..=MAX_OBJECTS).contains(&request.objects.len()));
        let written = request.to_bytes();
        assert_eq!(BatchRequest::parse(&written), Ok(request.clone()));
        answer(&request, answered);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(query) = LockQuery::parse(text) {
            assert_eq!(LockQuery::parse(query.to_query().trim_start_matches('?')), Ok(query));
        }
        if let Some(handle) = Handle::parse(text) {
            assert_eq!(handle.to_string(), text, "a handle has one spelling");
        }
        if let Ok(href) = Href::parse(text) {
            assert!(text.ends_with(href.target().as_str()) && href.destination.port > 0);
        }
    }
    for range in [Range::parse([bytes], 100), Range::parse([bytes], u64::MAX)].into_iter().flatten() {
        assert!(range.first <= range.last && range.length() >= 1);
    }
    if let Ok(query) = LockQuery::parse_body(bytes) {
        assert_eq!(LockQuery::parse_body(&query.to_bytes()), Ok(query));
    }
    if let Ok(change) = LockChange::parse_creating(bytes) {
        assert_eq!(LockChange::parse_creating(&change.to_bytes()), Ok(change));
    }
    if let Ok(change) = LockChange::parse_unlocking(bytes) {
        assert_eq!(LockChange::parse_unlocking(&change.to_bytes()), Ok(change));
    }
    if let Ok(listing) = LockListing::parse(bytes) {
        assert_eq!(LockListing::parse(&listing.to_bytes()), Ok(listing));
    }
    if let Ok(changed) = LockAnswer::parse(bytes) {
        assert_eq!(LockAnswer::parse(&changed.to_bytes()), Ok(changed));
    }
    if let Ok(object) = read_object(bytes) {
        assert_eq!(read_object(&object.to_bytes()), Ok(object));
    }
});

fn answer(request: &BatchRequest, answered: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let Ok(answer) = BatchAnswer::parse(answered, request, now) else { return };
    assert_eq!(answer.0.len(), request.objects.len());
    let mut links = Vec::new();
    let written = answer.write(|_, _, action| {
        let expires_in = action.until.duration_since(now).expect("a link of use");
        assert!(expires_in <= Duration::from_secs(3600));
        links.push(action.href.target().as_str().to_owned());
        Ok::<_, ()>(Link { url: String::new(), authorization: None, expires_in })
    });
    let written = String::from_utf8(written.expect("every link is lent")).expect("JSON");
    for link in links.iter().filter(|link| link.len() > 8) {
        assert!(!written.contains(link.as_str()), "{link} in {written}");
    }
}

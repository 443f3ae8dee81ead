//! A file is of the repository that stands first in its path, at whatever host, and no spelling leads out of it; a release leads to no other.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    destination::{Host, Name},
    github::{
        RepositoryName,
        files::{FileRoute, MAX_PATH, Store, check_redirect},
    },
    wire::path::CanonicalTarget,
};

static FORGE: LazyLock<Name> = LazyLock::new(|| match Host::parse(b"github.com") {
    Ok(Host::Name(name)) => name,
    _ => panic!("a name"),
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let at = [Store::Archives, Store::Raw, Store::Releases].map(|store| FileRoute::read_at(store, text));
    for route in at.into_iter().chain([FileRoute::read_on_host(text)]).flatten() {
        let path = route.path(route.repository.path());
        assert_eq!(FileRoute::read_at(route.store, &path).as_ref(), Some(&route), "{text}");
        assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")) && !path.contains(['?', '#', '\\', ' ']), "{text}");
        assert!(path.len() <= MAX_PATH + 32, "{text}");
        // In its one spelling, which is what leaves.
        let canonical = CanonicalTarget::read(text).expect("a canonical path");
        let mut segments = canonical.path().split('/').skip(1);
        let named = RepositoryName::from_parts(segments.next().expect("an owner"), segments.next().expect("a name"));
        assert_eq!(named, Ok(route.repository), "{text}");
    }
    let repository = RepositoryName::parse("octo/spoon").expect("a name");
    if check_redirect(&FORGE, &repository, text).is_ok() {
        let host = text.strip_prefix("https://").and_then(|rest| rest.split(['/', ':', '?']).next()).expect("https").to_ascii_lowercase();
        assert!(host.trim_end_matches('.') == "github.com" || host.trim_end_matches('.').ends_with(".githubusercontent.com"), "{text}");
    }
});

//! Whatever an API answers, a repository has a number and a name that can be asked for; and nobody is sent to another host.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    endpoint::Endpoint,
    github::{
        RepositoryName,
        identity::{Elsewhere, read, read_moved},
    },
};

static API: LazyLock<Endpoint> = LazyLock::new(|| Endpoint::parse("https://ghe.test/api/v3").expect("an endpoint"));

fuzz_target!(|bytes: &[u8]| {
    if let Some(identity) = read(bytes) {
        assert_eq!(RepositoryName::parse(identity.name.path()), Ok(identity.name));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = RepositoryName::parse(text) {
        assert_eq!(RepositoryName::parse(name.as_str()).as_ref(), Ok(&name));
        assert_eq!(name.clone().at(None).at(name.host().cloned()), name);
    }
    let is_here = text.starts_with('/')
        || text.to_ascii_lowercase().starts_with("https://ghe.test/")
        || text.to_ascii_lowercase().starts_with("http://ghe.test/");
    if let Some(to) = Elsewhere::read(text, &API, &[]) {
        assert!(is_here && !text.starts_with("//"), "{text}");
        assert_eq!(Elsewhere::read(&to.path(), &API, &[]), Some(to));
    }
    if let Some(name) = read_moved(text, &API, &[]) {
        assert!(is_here && !text.starts_with("//") && name.host().is_none(), "{text}");
    }
});

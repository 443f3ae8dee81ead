//! What is a route is spelled as git spells it, but for the case of names and the suffix.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::github::{
    RepositoryName,
    route::{Kind, MAX_PATH, Route, parse, parse_on_host},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((method, target)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' ')) else { return };
    if let Some(below) = target.strip_prefix("/git") {
        // On the host of a GitHub the same request is the same, but for the bound on its length.
        match (parse(method, target), parse_on_host(method, below)) {
            // There a host is named by whoever connects.
            (Ok(route), on_host) if route.repository.host().is_some() => assert!(on_host.is_err(), "{target}"),
            (Ok(route), on_host) => assert_eq!(Ok(route), on_host),
            (Err(_), Ok(_)) => assert!(target.len() > MAX_PATH, "{target}"),
            (Err(_), Err(_)) => {}
        }
    }
    let Ok(Route { repository, kind }) = parse(method, target) else { return };
    assert_eq!(RepositoryName::parse(repository.as_str()), Ok(repository.clone()));
    let (wanted, rest) = match kind {
        Kind::Advertisement(service) => ("GET", format!("info/refs?service={service}")),
        Kind::Rpc(service) => ("POST", service.to_string()),
    };
    assert_eq!(method, wanted);
    let start = target.strip_suffix(&rest).expect("the end of a route").to_ascii_lowercase();
    assert!([format!("/git/{repository}/"), format!("/git/{repository}.git/")].contains(&start), "{target}");
});

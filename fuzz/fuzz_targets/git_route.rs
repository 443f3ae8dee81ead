//! What is a route is spelled as git and Git LFS spell it, but for the case of names and the suffix.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::github::{
    RepositoryName,
    lfs::HANDLES,
    route::{Kind, MAX_PATH, Route, Wanted, read, read_on_host},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((method, target)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' ')) else { return };
    let wanted = read(method, target);
    if let Some(below) = target.strip_prefix("/git") {
        let names_host = wanted.as_ref().is_ok_and(|wanted| wanted.repository().is_some_and(|name| name.host().is_some()));
        // On the host of a GitHub the same request is the same, but for the bound on its length.
        match (&wanted, read_on_host(method, below)) {
            (Ok(_), _) if names_host => {}
            (Ok(_), on_host) => assert_eq!(wanted, on_host),
            (Err(_), Ok(_)) => assert!(target.len() > MAX_PATH, "{target}"),
            (Err(_), Err(_)) => {}
        }
    }
    let (repository, methods, rest) = match wanted {
        Ok(Wanted::Git(Route { repository, kind: Kind::Advertisement(service) })) => {
            (repository, &["GET"][..], format!("info/refs?service={service}"))
        }
        Ok(Wanted::Git(Route { repository, kind: Kind::Rpc(service) })) => (repository, &["POST"][..], service.to_string()),
        Ok(Wanted::Lfs(repository, call)) => (repository, &["GET", "PUT", "POST"][..], format!("info/lfs/{call}")),
        Ok(Wanted::Object(handle)) => return assert_eq!(target, format!("{HANDLES}{handle}")),
        Ok(Wanted::Api(_)) => panic!("below /git/ there is no API: {target}"),
        Err(_) => return,
    };
    assert_eq!(RepositoryName::parse(repository.as_str()), Ok(repository.clone()));
    assert!(methods.contains(&method));
    let path = if rest.contains('?') { target } else { target.split('?').next().unwrap_or_default() };
    let start = path.strip_suffix(&rest).expect("the end of a route").to_ascii_lowercase();
    assert!([format!("/git/{repository}/"), format!("/git/{repository}.git/")].contains(&start), "{target}");
});

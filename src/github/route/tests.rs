use proptest::prelude::*;

use super::*;
use crate::reason::Reason::{ApiNotAllowed, BadRequest, MethodNotAllowed, PathNotAllowed, RepositoryNotGranted};

fn route(kind: Kind) -> Route {
    Route { repository: RepositoryName::parse("octo/spoon").unwrap(), kind }
}

#[test]
fn git_asks_four_things() {
    for (method, target, kind) in [
        ("GET", "info/refs?service=git-upload-pack", Kind::Advertisement(Service::UploadPack)),
        ("GET", "info/refs?service=git-receive-pack", Kind::Advertisement(Service::ReceivePack)),
        ("POST", "git-upload-pack", Kind::Rpc(Service::UploadPack)),
        ("POST", "git-receive-pack", Kind::Rpc(Service::ReceivePack)),
    ] {
        for repository in ["octo/spoon", "octo/spoon.git", "Octo/Spoon.GIT"] {
            assert_eq!(parse(method, &format!("/git/{repository}/{target}")), Ok(route(kind)), "{repository} {target}");
        }
    }
}

/// A host before the owner, of which the git door's paths alone need to speak.
#[test]
fn a_route_may_name_a_host() {
    let target = |repository: &str| format!("/git/{repository}/info/refs?service=git-upload-pack");
    for repository in ["ghe.example/octo/spoon", "GHE.Example/Octo/Spoon.git"] {
        let route = parse("GET", &target(repository)).unwrap();
        assert_eq!((route.repository.as_str(), route.repository.path()), ("ghe.example/octo/spoon", "octo/spoon"), "{repository}");
    }
    let on_host = read_on_host("GET", "/ghe.example/octo/spoon/info/refs?service=git-upload-pack");
    assert_eq!(on_host.unwrap_err().reason(), RepositoryNotGranted);
}

#[test]
fn nothing_else_is_git() {
    for &(method, target, reason) in NOTHING_OF_GIT {
        assert_eq!(parse(method, target).map_err(|error| error.reason()), Err(reason), "{method} {target:?}");
    }
    let long = format!("/git/octo/spoon/{}", "x".repeat(MAX_PATH));
    assert!(matches!(parse("GET", &long), Err(RouteError::Path(_))));
}

proptest! {
    #[test]
    fn a_route_has_one_spelling_but_for_case_and_suffix(method in "GET|POST", target in "/git/[ -~]{0,60}") {
        if let Ok(Route { repository, kind }) = parse(&method, &target) {
            let rest = match kind {
                Kind::Advertisement(service) => format!("info/refs?service={service}"),
                Kind::Rpc(service) => service.to_string(),
            };
            let start = target.strip_suffix(&rest).unwrap().to_lowercase();
            let (plain, git) = (format!("/git/{repository}/"), format!("/git/{repository}.git/"));
            prop_assert!(start == plain || start == git);
        }
    }
}

const NOTHING_OF_GIT: &[(&str, &str, Reason)] = &[
    // Paths that a server might decode, normalise or cut (G-03).
    ("GET", "/git/octo/%2e%2e/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/sp%6fon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo%2fspoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon%5cx/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon%252e/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon%00/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon\\x/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon;x/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/..;/spoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/../spoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/./spoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo//spoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "//git/octo/spoon/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon//info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/../info/refs?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs\0?service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spo\u{f6}n/info/refs?service=git-upload-pack", BadRequest),
    ("GET", "http://github.com/git/octo/spoon/info/refs?service=git-upload-pack", BadRequest),
    // Names (G-01, G-02).
    ("GET", "/git/octo/spoon.git.git/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/o.o/spoon/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("POST", "/git/o.o/spoon/git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/o.o/o.o/spoon/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/o.o./octo/spoon/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/127.0.0.1/octo/spoon/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/-o.o/octo/spoon/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/octo/.git/info/refs?service=git-upload-pack", RepositoryNotGranted),
    ("GET", "/git/octo/", RepositoryNotGranted),
    ("GET", "/git/", RepositoryNotGranted),
    // The service (G-04).
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-archive", PathNotAllowed),
    ("GET", "/git/octo/spoon/info/refs?service=", PathNotAllowed),
    ("GET", "/git/octo/spoon/info/refs?service=GIT-UPLOAD-PACK", PathNotAllowed),
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack&service=git-receive-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack&service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack&x", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack&", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?service=git-upload-pack;x", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?x=1&service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?service=git%2dupload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs?Service=git-upload-pack", BadRequest),
    ("GET", "/git/octo/spoon/info/refs??service=git-upload-pack", BadRequest),
    ("POST", "/git/octo/spoon/git-upload-pack?service=git-receive-pack", BadRequest),
    ("POST", "/git/octo/spoon/git-receive-pack?", BadRequest),
    // The protocol that reads files (G-05), and what else a repository's path might hold (G-08).
    ("GET", "/git/octo/spoon/info/refs", PathNotAllowed),
    ("GET", "/git/octo/spoon/info/refs?", PathNotAllowed),
    ("GET", "/git/octo/spoon/HEAD", PathNotAllowed),
    ("GET", "/git/octo/spoon/objects/info/packs", PathNotAllowed),
    ("GET", "/git/octo/spoon/objects/12/34", PathNotAllowed),
    ("GET", "/git/octo/spoon/config", PathNotAllowed),
    ("GET", "/git/octo/spoon", PathNotAllowed),
    ("POST", "/git/octo/spoon/git-upload-archive", PathNotAllowed),
    ("POST", "/git/octo/spoon/git-upload-pack/", PathNotAllowed),
    ("POST", "/git/octo/spoon/x/git-upload-pack", PathNotAllowed),
    ("POST", "/git/octo/spoon/GIT-UPLOAD-PACK", PathNotAllowed),
    ("GET", "/git/octo/spoon/info/refs/?service=git-upload-pack", PathNotAllowed),
    ("GET", "/GIT/octo/spoon/info/refs?service=git-upload-pack", PathNotAllowed),
    ("GET", "/octo/spoon/info/refs?service=git-upload-pack", PathNotAllowed),
    ("GET", "", PathNotAllowed),
    ("HEAD", "/git/octo/spoon/info/refs?service=git-upload-pack", MethodNotAllowed),
    ("POST", "/git/octo/spoon/info/refs?service=git-upload-pack", MethodNotAllowed),
    ("GET", "/git/octo/spoon/git-receive-pack", MethodNotAllowed),
    ("post", "/git/octo/spoon/git-receive-pack", MethodNotAllowed),
];

/// At the root of GitHub's own host the same requests are git's, and the rest of what stands there is not.
#[test]
fn a_route_on_the_host_is_the_same_one() {
    for &(method, target, reason) in NOTHING_OF_GIT {
        let Some(target) = target.strip_prefix("/git") else { continue };
        let refused = read_on_host(method, target).unwrap_err().reason();
        assert!(refused == reason || refused == ApiNotAllowed, "{method} {target:?}: {refused}");
    }
    let page = read_on_host("GET", "/login?return_to=/octo/spoon/info/refs").unwrap_err();
    assert_eq!((page.reason(), page.to_string().contains("\"/login\"")), (ApiNotAllowed, true));
}

proptest! {
    #[test]
    fn a_request_to_the_host_is_read_as_below_git(method in "GET|POST", target in "/octo/[a-z.%]{1,8}/(info/refs\\?service=|)git-(upload|receive)-pack") {
        prop_assert_eq!(read_on_host(&method, &target).ok(), read(&method, &format!("/git{target}")).ok());
    }
}

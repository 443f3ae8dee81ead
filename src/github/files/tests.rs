use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Host::parse(text.as_bytes()).unwrap().name().unwrap().clone()
}

/// Where a URL leads, as a path of its store.
fn shown(route: Option<FileRoute>) -> Option<(Store, String)> {
    route.map(|route| (route.store, route.path(route.repository.path())))
}

#[test]
fn urls_of_the_stores_name_their_repository() {
    for (store, target, expected) in [
        (Store::Archives, "/octo/spoon/tar.gz/main", "/octo/spoon/tar.gz/main"),
        (Store::Archives, "/Octo/Spoon/legacy.zip/refs/heads/agent/fix-1", "/octo/spoon/legacy.zip/refs/heads/agent/fix-1"),
        (Store::Archives, "/octo/spoon/zip/v1?token=AAAA", "/octo/spoon/zip/v1"),
        (Store::Raw, "/octo/spoon/main/a%20b/c%c3%a9.txt", "/octo/spoon/main/a%20b/c%C3%A9.txt"),
        (Store::Raw, "/octo/spoon/refs/heads/main/README.md", "/octo/spoon/refs/heads/main/README.md"),
        (Store::Releases, "/octo/spoon/releases/download/v1/x.tgz", "/octo/spoon/releases/download/v1/x.tgz"),
    ] {
        assert_eq!(shown(FileRoute::read_at(store, target)), Some((store, expected.to_owned())), "{target}");
    }
    for (store, target) in [
        (Store::Archives, "/octo/spoon"),
        (Store::Archives, "/octo/spoon/tar.gz/"),
        (Store::Archives, "/octo/spoon/rar/main"),
        (Store::Archives, "/octo/tar.gz/main"),
        (Store::Raw, "/octo/spoon/main"),
        (Store::Raw, "/octo/spoon/main/"),
        (Store::Raw, "/robots.txt"),
        (Store::Raw, "/octo/spoon/../secret/main/x"),
        (Store::Raw, "/octo/spoon/%2e%2e/secret/main/x"),
        (Store::Raw, "/octo/spoon/main/..%2f..%2fsecret/main/x"),
        (Store::Raw, "/octo/spoon/main/..;/x"),
        (Store::Raw, "/octo//spoon/main/x"),
        (Store::Raw, "/octo/spo%20on/main/x"),
        (Store::Raw, "//octo/spoon/main/x"),
        (Store::Raw, "octo/spoon/main/x"),
        (Store::Raw, "*"),
    ] {
        assert_eq!(FileRoute::read_at(store, target), None, "{target}");
    }
    assert_eq!(FileRoute::read_at(Store::Raw, &format!("/octo/spoon/main/{}", "x".repeat(MAX_PATH))), None);
}

#[test]
fn pages_that_lead_to_files_are_known_by_where_they_lead() {
    for (target, expected) in [
        ("/octo/spoon/archive/main.tar.gz", Some((Store::Archives, "/octo/spoon/tar.gz/main"))),
        ("/octo/spoon/archive/refs/tags/v1.0.zip", Some((Store::Archives, "/octo/spoon/zip/refs/tags/v1.0"))),
        ("/octo/spoon/tarball/main", Some((Store::Archives, "/octo/spoon/legacy.tar.gz/main"))),
        ("/octo/spoon/zipball/v1?x=y", Some((Store::Archives, "/octo/spoon/legacy.zip/v1"))),
        ("/octo/spoon/raw/main/a/b.txt", Some((Store::Raw, "/octo/spoon/main/a/b.txt"))),
        ("/octo/spoon/releases/download/v1/x.tgz", Some((Store::Releases, "/octo/spoon/releases/download/v1/x.tgz"))),
        ("/octo/spoon/releases/latest/download/x", Some((Store::Releases, "/octo/spoon/releases/latest/download/x"))),
        ("/octo/spoon/archive/main", None),
        ("/octo/spoon/archive/.zip", None),
        ("/octo/spoon/archive/main.rar", None),
        ("/octo/spoon/raw/main", None),
        ("/octo/spoon/releases", None),
        ("/octo/spoon/releases/tag/v1", None),
        ("/octo/spoon/releases/download/v1", None),
        ("/octo/spoon/releases/download/v1/a/b", None),
        ("/octo/spoon/blob/main/README.md", None),
        ("/octo/spoon/info/refs", None),
        ("/octo/spoon", None),
        ("/login", None),
    ] {
        assert_eq!(shown(FileRoute::read_on_host(target)), expected.map(|(store, path)| (store, path.to_owned())), "{target}");
    }
}

#[test]
fn a_release_leads_to_the_storage_of_github_or_to_itself_and_nowhere_else() {
    let repository = RepositoryName::parse("octo/spoon").unwrap();
    let check = |forge: &str, location: &str| check_redirect(&name(forge), &repository, location).is_ok();
    for (forge, location, expected) in [
        ("github.com", "https://release-assets.githubusercontent.com/github-production-release-asset/1/2?sp=r&sig=x", true),
        ("github.com", "https://objects.githubusercontent.com/x?X-Amz-Signature=y", true),
        ("github.com", "https://github.com/octo/spoon/releases/download/v2/x.tgz", true),
        ("github.com", "https://github.com/Octo/Spoon/releases/download/v2/x.tgz", true),
        ("github.com", "https://github.com/octo/secret/releases/download/v2/x.tgz", false),
        ("github.com", "https://github.com/login", false),
        ("github.com", "http://objects.githubusercontent.com/x", false),
        ("github.com", "https://objects.githubusercontent.com:8443/x", false),
        ("github.com", "https://objects.githubusercontent.com.evil/x", false),
        ("github.com", "https://user@objects.githubusercontent.com/x", false),
        ("github.com", "//objects.githubusercontent.com/x", false),
        ("github.com", "/octo/spoon/releases/download/v2/x.tgz", false),
        ("ghe.test", "https://objects.githubusercontent.com/x", false),
    ] {
        assert_eq!(check(forge, location), expected, "{forge} {location}");
    }
}

#[test]
fn each_store_has_a_host() {
    let hosts =
        |forge: &str| [Store::Archives, Store::Raw, Store::Releases].map(|store| host(&name(forge), store).unwrap().as_str().to_owned());
    assert_eq!(hosts("github.com"), ["codeload.github.com", "raw.githubusercontent.com", "github.com"]);
    assert_eq!(hosts("ghe.test"), ["codeload.ghe.test", "raw.ghe.test", "ghe.test"]);
}

proptest! {
    /// What is understood is written so that it is understood as the same, and leads out of no repository.
    #[test]
    fn a_file_reads_back(target in "/[a-z.%2eF/]{1,8}/[a-z.]{1,5}/(archive/|tarball/|raw/|zip/|tar.gz/|releases/download/)?[a-zé.%2eEfF/;?~ \\\\-]{0,20}(.zip)?") {
        let at = [Store::Archives, Store::Raw, Store::Releases].map(|store| FileRoute::read_at(store, &target));
        for route in at.into_iter().chain([FileRoute::read_on_host(&target)]).flatten() {
            let path = route.path(route.repository.path());
            let again = FileRoute::read_at(route.store, &path);
            prop_assert_eq!(Some(&route), again.as_ref());
            prop_assert!(!path.contains(['?', '#', '\\', ' ']) && path.split('/').all(|segment| !matches!(segment, "." | "..")), "{}", path);
        }
    }
}

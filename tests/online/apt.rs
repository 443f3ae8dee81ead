//! apt, to the archive of Debian's that this machine uses, which is plain HTTP as a rule.

use std::process::Command;

use crate::{
    Ground, assert_success,
    harness::program::{Ran, run},
    run::each_under,
};

/// In directories of its own, as whoever runs it; the archive and its release are `$0` and `$1`.
pub(crate) const APT: &str = r#"mkdir -p lists/partial cache/archives/partial
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $0 $1 main" > sources.list
apt() {
    apt-get -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache \
        -o APT::Sandbox::User=$(id -un) -o APT::Update::Error-Mode=any -o Acquire::Retries=0 "$@"
}
apt update && apt download hostname && ls *.deb"#;

/// The archive that holds most of a Debian, and its release.
fn archive() -> [String; 2] {
    let ran = run(
        Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Origin: Debian"]),
        "apt",
    );
    let first = ran.stdout.lines().next().and_then(|line| line.split_once(' '));
    first
        .map(|(uri, release)| [uri.to_owned(), release.to_owned()])
        .unwrap_or_else(|| panic!("this machine knows of no archive of Debian's: apt-get update"))
}

/// The host of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_else(|| panic!("not a URL: {url:?}"))
}

fn apt(ground: &Ground, [uri, release]: &[String; 2]) -> Ran {
    run(ground.client("sh").args(["-ec", APT, uri, release]), "apt")
}

#[test]
fn trusted_with_debian_s_list_apt_downloads() {
    let archive = archive();
    let ran = apt(&Ground::under("access = \"trusted\"\ninclude = [\"debian\"]", host(&archive[0])), &archive);
    assert_success(&ran);
    assert!(ran.stdout.contains("hostname_"), "{}", ran.said);
}

#[test]
fn none_refuses_apt() {
    let archive = archive();
    let ground = Ground::under("access = \"none\"", host(&archive[0]));
    let ran = apt(&ground, &archive);
    ground.assert_disabled(&ran, "403");
}

#[test]
fn apt_downloads_inside() {
    let [uri, release] = archive();
    let client = format!("sh -ec '{}' {uri} {release}", APT.replace('\'', "'\\''"));
    each_under("access = \"trusted\"\ninclude = [\"debian\"]", host(&uri), &client, |ran| ran.stdout.contains("hostname_"));
}

//! Bundles as upstreams.

use super::{
    super::*,
    SPOON, clone, commit,
    site::{Site, git, git_ok, text, tip},
};

/// A site whose repository is a bundle of what `arguments` name, and the state directory below it.
async fn bundled(arguments: &[&str]) -> Site {
    let site = Site::with_state().await;
    let bare = site.repository(SPOON, "sha1").await;
    let bundle = site.path().join("spoon.bundle");
    git_ok(&bare, &[&["bundle", "create", "--quiet", bundle.to_str().unwrap()], arguments].concat()).await;
    fs::rename(bare, site.path().join("away")).unwrap();
    site
}

fn unpacked(site: &Site) -> Vec<PathBuf> {
    fs::read_dir(site.path().join("state/repositories")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_unpacked_once_and_keeps_what_is_pushed() {
    let site = bundled(&["--all"]).await;
    let (work, other) = tokio::join!(clone(&site, &[], "work"), clone(&site, &[], "other"));
    assert_eq!(unpacked(&site).len(), 1);
    assert_eq!(fs::read(work.join("README")).unwrap(), fs::read(other.join("README")).unwrap());
    let pushed = commit(&work, "agent/x", b"new").await;
    git_ok(&work, &["push", "--quiet", "origin", "HEAD"]).await;
    // Another process, later.
    let again = Backend::new(Some(&site.path().join("state")));
    let repository = again.repository(&site.path().join("spoon.bundle")).await.unwrap();
    assert_eq!(vec![repository.clone()], unpacked(&site));
    assert_eq!(tip(&repository, "refs/heads/agent/x").await, Some(pushed));
    assert!(!fs::read_to_string(repository.join("config")).unwrap().contains("remote"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_replaced_is_unpacked_anew() {
    let site = bundled(&["--all"]).await;
    clone(&site, &[], "work").await;
    let bundle = site.path().join("spoon.bundle");
    let away = site.path().join("away");
    git_ok(&away, &["branch", "old", "main~9"]).await;
    git_ok(&away, &["bundle", "create", "--quiet", bundle.to_str().unwrap(), "old"]).await;
    let again = clone(&site, &[], "again").await;
    assert_eq!(fs::read_to_string(again.join("README")).unwrap(), "191\n");
    assert_eq!(unpacked(&site).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_a_head_gets_one() {
    let site = bundled(&["main"]).await;
    let work = clone(&site, &[], "work").await;
    assert_eq!(fs::read_to_string(work.join("README")).unwrap(), "200\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_bundle_is_refused() {
    let part = bundled(&["main~3..main"]).await;
    let none = Site::with_state().await;
    fs::write(none.path().join("spoon.bundle"), "no bundle").unwrap();
    for site in [&part, &none] {
        let output = git(site.path(), &["clone", "--quiet", &site.url(SPOON), "work"]).await;
        let stderr = text(&output.stderr);
        assert!(stderr.contains("The requested URL returned error: 503"), "{stderr}");
        assert!(stderr.contains("remote: The repository cannot be served") && !stderr.contains("state"), "{stderr}");
        let errors = site.seen();
        assert!(errors.iter().any(|error| error.contains("cannot unpack the bundle")), "{errors:?}");
        assert_eq!(unpacked(site), Vec::<PathBuf>::new());
    }
}

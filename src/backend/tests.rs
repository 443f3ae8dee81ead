//! Real git on both sides.

use std::{collections::BTreeSet, process::Output};

use self::site::{Site, git, git_ok, text};
use super::*;

mod site;
mod broken;
mod bundles;

const SPOON: &str = "spoon";

async fn clone(site: &Site, arguments: &[&str], to: &str) -> PathBuf {
    let target = site.path().join(to);
    let url = site.url(SPOON);
    let arguments = [&["clone", "--quiet"], arguments, &[&url, target.to_str().unwrap()]].concat();
    git_ok(site.path(), &arguments).await;
    target
}

/// Commits a file on a new branch of a clone.
async fn commit(clone: &Path, branch: &str, content: &[u8]) -> String {
    git_ok(clone, &["switch", "--quiet", "-c", branch]).await;
    fs::write(clone.join("file"), content).unwrap();
    git_ok(clone, &["add", "file"]).await;
    git_ok(clone, &["commit", "--quiet", "-m", branch]).await;
    git_ok(clone, &["rev-parse", "HEAD"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_and_pushes_in_every_version_of_the_protocol() {
    let site = Site::new().await;
    site.repository(SPOON, "sha1").await;
    for version in ["0", "1", "2"] {
        let protocol = format!("protocol.version={version}");
        let work = clone(&site, &["-c", &protocol], version).await;
        assert_eq!(fs::read_to_string(work.join("README")).unwrap(), "200\n");
        let pushed = commit(&work, &format!("agent/{version}"), b"new").await;
        git_ok(&work, &["push", "--quiet", "origin", "HEAD"]).await;
        assert_eq!(site.tip(SPOON, &format!("refs/heads/agent/{version}")).await, Some(pushed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_a_part_and_fetches_what_is_missing() {
    let site = Site::new().await;
    site.repository(SPOON, "sha1").await;
    let shallow = clone(&site, &["--depth=1"], "shallow").await;
    assert_eq!(git_ok(&shallow, &["rev-list", "--count", "HEAD"]).await, "1");
    let pushed = commit(&shallow, "agent/shallow", b"new").await;
    git_ok(&shallow, &["push", "--quiet", "origin", "HEAD"]).await;
    assert_eq!(site.tip(SPOON, "refs/heads/agent/shallow").await, Some(pushed));
    git_ok(&shallow, &["fetch", "--quiet", "--unshallow"]).await;
    assert_eq!(git_ok(&shallow, &["rev-list", "--count", "origin/main"]).await, "200");
    for version in ["protocol.version=0", "protocol.version=2"] {
        let partial = clone(&site, &["-c", version, "--filter=blob:none", "--no-checkout"], version).await;
        let missing = git_ok(&partial, &["rev-list", "--objects", "--missing=print", "HEAD"]).await;
        assert_eq!(missing.lines().filter(|line| line.starts_with('?')).count(), 200, "{version}");
        // A blob that no branch begins with: asked for by its name alone.
        assert_eq!(git_ok(&partial, &["show", "HEAD~3:README"]).await, "197");
    }
}

/// git compresses what it sends once it names many commits that both may have.
#[tokio::test(flavor = "multi_thread")]
async fn reads_a_compressed_negotiation() {
    let site = Site::new().await;
    site.repository(SPOON, "sha1").await;
    let work = clone(&site, &[], "work").await;
    let other = clone(&site, &[], "other").await;
    let pushed = commit(&other, "agent/more", b"more").await;
    git_ok(&other, &["push", "--quiet", "origin", "HEAD"]).await;
    for _ in 0..100 {
        git_ok(&work, &["commit", "--quiet", "--allow-empty", "-m", "ours"]).await;
    }
    git_ok(&work, &["fetch", "--quiet", "origin", "agent/more"]).await;
    assert_eq!(git_ok(&work, &["rev-parse", "FETCH_HEAD"]).await, pushed);
    assert!(site.seen().iter().any(|encoding| encoding == "gzip"), "{:?}", site.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_sha256_repository() {
    let site = Site::new().await;
    site.repository(SPOON, "sha256").await;
    let work = clone(&site, &[], "work").await;
    let pushed = commit(&work, "agent/long", b"new").await;
    git_ok(&work, &["push", "--quiet", "origin", "HEAD"]).await;
    assert_eq!((pushed.len(), site.tip(SPOON, "refs/heads/agent/long").await), (64, Some(pushed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sandboxes_work_at_once() {
    let site = Site::new().await;
    site.repository(SPOON, "sha1").await;
    let work = async |name: &str| {
        let work = clone(&site, &[], name).await;
        let branch = format!("agent/{name}");
        // Larger than git's buffer: sent in chunks.
        let pushed = commit(&work, &branch, &incompressible(8 << 20)).await;
        git_ok(&work, &["-c", "core.compression=0", "push", "--quiet", "origin", "HEAD"]).await;
        assert_eq!(site.tip(SPOON, &format!("refs/heads/{branch}")).await, Some(pushed));
    };
    tokio::join!(work("one"), work("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_a_branch_back_unless_only_forward_is_allowed() {
    for only_forward in [false, true] {
        let site = if only_forward { Site::fast_forward_only().await } else { Site::new().await };
        site.repository(SPOON, "sha1").await;
        let work = clone(&site, &[], "work").await;
        let first = commit(&work, "agent/x", b"first").await;
        git_ok(&work, &["push", "--quiet", "origin", "HEAD"]).await;
        git_ok(&work, &["commit", "--quiet", "--amend", "-m", "other"]).await;
        let other = git_ok(&work, &["rev-parse", "HEAD"]).await;
        let Output { status, stderr, .. } = git(&work, &["push", "--force", "origin", "HEAD"]).await;
        let stderr = text(&stderr);
        let refused = stderr.contains("[remote rejected] HEAD -> agent/x (non-fast-forward)");
        assert_eq!((status.success(), refused), (!only_forward, only_forward), "{stderr}");
        assert_eq!(site.tip(SPOON, "refs/heads/agent/x").await, Some(if only_forward { first } else { other }));
    }
}

/// The hooks of a repository are its owner's; what they see of us is where programs are.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_our_environment_reaches_git() {
    let site = Site::new().await;
    let repository = site.repository(SPOON, "sha1").await;
    let seen = site.path().join("environment");
    site.hook(SPOON, "pre-receive", &format!("env -0 > {}; cat >/dev/null; echo kept safe >&2", seen.display()));
    let work = clone(&site, &[], "work").await;
    commit(&work, "agent/x", b"new").await;
    let Output { stderr, .. } = git(&work, &["push", "origin", "HEAD"]).await;
    assert!(text(&stderr).contains("remote: kept safe"), "{}", text(&stderr));
    let seen = fs::read_to_string(seen).unwrap();
    let seen: Vec<(&str, &str)> = seen.split_terminator('\0').filter_map(|variable| variable.split_once('=')).collect();
    // git's own, of which there are different ones in different versions, and the shell's.
    let not_theirs = |name: &&str| !name.starts_with("GIT_") && !["PWD", "SHLVL", "_", "OLDPWD"].contains(name);
    let names: BTreeSet<&str> = seen.iter().map(|(name, _)| *name).filter(not_theirs).collect();
    let given = ["CONTENT_TYPE", "GATEWAY_INTERFACE", "HOME", "PATH", "PATH_INFO", "QUERY_STRING", "REMOTE_USER", "REQUEST_METHOD"];
    let given: BTreeSet<&str> = given.into_iter().chain(["SERVER_PROTOCOL"]).collect();
    assert_eq!(names, given);
    // cargo gives its tests this one.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let value = |name: &str| seen.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
    assert_eq!(value("GIT_PROJECT_ROOT"), repository.to_str());
    assert_eq!(
        (value("GIT_CONFIG_GLOBAL"), value("GIT_CONFIG_NOSYSTEM"), value("HOME")),
        (Some("/dev/null"), Some("1"), Some("/nonexistent"))
    );
}

/// A git that gives up early still gets its reasons through to a client that is not done sending.
#[tokio::test(flavor = "multi_thread")]
async fn what_git_refuses_is_read_to_its_end() {
    let site = Site::new().await;
    let bare = site.repository(SPOON, "sha1").await;
    git_ok(&bare, &["config", "receive.maxInputSize", "100k"]).await;
    let work = clone(&site, &[], "work").await;
    commit(&work, "agent/x", &incompressible(8 << 20)).await;
    let Output { status, stderr, .. } = git(&work, &["-c", "core.compression=0", "push", "origin", "HEAD"]).await;
    let stderr = text(&stderr);
    assert!(!status.success() && stderr.contains("! [remote rejected] HEAD -> agent/x (unpacker error)"), "{stderr}");
    assert!(stderr.contains("pack exceeds maximum allowed size") && !stderr.contains("RPC failed"), "{stderr}");
    assert_eq!(site.tip(SPOON, "refs/heads/agent/x").await, None);
}

fn incompressible(length: u32) -> Vec<u8> {
    (0..length / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

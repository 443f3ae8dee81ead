//! Bundles, unpacked once each.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Mutex;

use super::{
    BackendError,
    error::shown,
    process::{configure, git, run},
};

/// A directory of repositories that were bundles.
#[derive(Debug, Clone)]
pub(super) struct Bundles {
    directory: PathBuf,
    search: OsString,
    /// Held by whoever unpacks: one at a time, and nobody the same one twice.
    turn: Arc<Mutex<()>>,
}

impl Bundles {
    /// The directory need not exist yet.
    pub(super) fn new(directory: PathBuf, search: OsString) -> Self {
        Self { directory, search, turn: Arc::default() }
    }

    /// The repository that a bundle, named by its absolute path, was unpacked to, or is now.
    pub(super) async fn unpacked(&self, bundle: &Path, metadata: &Metadata) -> Result<PathBuf, BackendError> {
        let repository = self.directory.join(name(bundle, metadata));
        if repository.is_dir() {
            return Ok(repository);
        }
        // A task of its own: whoever asked first may have left before it is done, and who asks next should not begin anew.
        let (this, bundle, wanted) = (self.clone(), bundle.to_owned(), repository.clone());
        let unpacking = tokio::spawn(async move {
            let _turn = this.turn.lock().await;
            if wanted.is_dir() { Ok(()) } else { this.unpack(&bundle, &wanted).await }
        });
        unpacking.await.unwrap_or(Err(BackendError::Abandoned))?;
        Ok(repository)
    }

    /// Unpacks beside the place that is wanted, and takes it when all is there.
    async fn unpack(&self, bundle: &Path, wanted: &Path) -> Result<(), BackendError> {
        let unusable = |error: io::Error| BackendError::Machine("write to the state directory", error.to_string().into());
        let draft = wanted.with_extension(DRAFT);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(unusable)?;
        remove(&draft).map_err(unusable)?;
        if let Err(error) = self.clone_bundle(bundle, &draft).await {
            let BackendError::Died(_, said) = error else { return Err(error) };
            return Err(BackendError::Bundle(shown(bundle), said));
        }
        fs::rename(&draft, wanted).map_err(unusable)
    }

    /// Every ref of the bundle under its own name, and a `HEAD` that names a branch where there is one.
    async fn clone_bundle(&self, bundle: &Path, draft: &Path) -> Result<(), BackendError> {
        let mut clone = git(&self.search);
        configure(&mut clone, &[("safe.directory", "*")]);
        clone.args(["clone", "--quiet", "--mirror", "--template=", "--"]).args([bundle, draft]);
        run(clone, UNPACK_PATIENCE).await?;
        // Nothing of where it came from: it stands on its own.
        self.git_in(draft, &["config", "--remove-section", "remote.origin"]).await?;
        if self.git_in(draft, &["rev-parse", "--quiet", "--verify", "HEAD"]).await.is_ok() {
            return Ok(());
        }
        for branches in HEADS {
            let found = self.git_in(draft, &["for-each-ref", "--count=1", "--format=%(refname)", branches]).await?;
            let branch = OsStr::from_bytes(found.trim_ascii_end());
            if !branch.is_empty() {
                self.git_in(draft, &[OsStr::new("symbolic-ref"), OsStr::new("HEAD"), branch]).await?;
                return Ok(());
            }
        }
        Ok(())
    }

    async fn git_in(&self, repository: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>, BackendError> {
        let mut command = git(&self.search);
        configure(&mut command, &[("safe.directory", "*")]);
        command.env("GIT_DIR", repository).args(arguments);
        run(command, UNPACK_PATIENCE).await
    }
}

/// SHA-256 of what makes a bundle this one: its path, size and time of modification.
fn name(bundle: &Path, metadata: &Metadata) -> String {
    let mut text = bundle.as_os_str().as_bytes().to_vec();
    for number in [i128::from(metadata.size()), metadata.mtime().into(), metadata.mtime_nsec().into()] {
        text.push(0);
        text.extend_from_slice(number.to_string().as_bytes());
    }
    digest(&SHA256, &text).as_ref().iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// Removes what a process left that ended while it unpacked.
fn remove(draft: &Path) -> io::Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where `HEAD` of a bundle is looked for that has none, the first that exists.
const HEADS: [&str; 3] = ["refs/heads/main", "refs/heads/master", "refs/heads/"];

const DRAFT: &str = "draft";

/// Longest that unpacking a bundle may take.
const UNPACK_PATIENCE: Duration = Duration::from_secs(30 * 60);

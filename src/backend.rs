//! Repositories on disk, served by the git of this machine: `git http-backend` (git-http-backend(1), a CGI program by RFC 3875)
//! for every request, so that whoever asks need not know whether GitHub answers or a directory does.
//!
//! What git gets to see is written anew: nothing of our own environment reaches it, and no configuration but the repository's own
//! and ours. The hooks of a repository are its owner's and run.

use std::{
    error::Error,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use tokio::time::timeout;

use crate::github::{ContentEncoding, ProtocolVersion, route::Kind};

mod error;
mod process;
mod cgi;
mod bundles;
mod answer;

pub(crate) use answer::BackendBody;
use bundles::Bundles;
pub(crate) use error::BackendError;
use error::shown;
use process::Process;

/// Repositories on disk, served by the git of this machine.
///
/// A directory is a bare repository and served as it is. A file is a bundle (gitformat-bundle(5)), which has to be unpacked once:
/// into `repositories/` of the state directory, under a name made of the bundle's absolute path, size and time of modification.
/// What is pushed lands there, never in the bundle, and outlives this process. A bundle that is replaced or moved is another
/// repository: it is unpacked anew, and what was pushed before stays where it was until somebody removes it.
pub(crate) struct Backend {
    /// Where programs are looked for: ours.
    search: OsString,
    bundles: Option<Bundles>,
    /// Where files without a name are.
    scratch: PathBuf,
}

/// One of git's requests, judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// A bare repository or a bundle.
    pub(crate) path: &'a Path,
    pub(crate) kind: Kind,
    /// Not passed on for a push.
    pub(crate) protocol: Option<ProtocolVersion>,
    pub(crate) encoding: ContentEncoding,
    /// Lets git refuse to move a branch to what does not contain it. git holds this for `refs/heads/` only.
    pub(crate) fast_forward_only: bool,
}

impl Backend {
    /// Without a state directory bundles cannot be served.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        let search = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        // git starts elsewhere than we do.
        let state = state.map(|state| absolute(state).unwrap_or_else(|_| state.to_owned()));
        let scratch = state.clone().unwrap_or_else(std::env::temp_dir);
        Self { bundles: state.map(|state| Bundles::new(state.join(REPOSITORIES), search.clone())), search, scratch }
    }

    /// Where what is too large for memory may be kept for as long as it is worked on.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Starts git, feeds it the body while its answer is read, and returns once the head of the answer is there. The status is git's
    /// own: 404 where it cannot open the repository, 500 where it fails early.
    ///
    /// git ends, with all that it started, when the answer is dropped, and when the body fails: an upload that broke off is never
    /// taken for whole, and the answer fails too. What git leaves unread of a body is read and dropped, up to a bound, so that a
    /// client still sending gets its answer.
    ///
    /// `place` is given back when that git is gone.
    pub(crate) async fn serve<B>(&self, call: Call<'_>, body: B, place: impl Send + 'static) -> Result<Response<BackendBody>, BackendError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let repository = self.repository(call.path).await?;
        let mut command = process::git(&self.search);
        command.arg("http-backend");
        cgi::describe(&mut command, &repository, &call);
        let answer = answer::begin(Process::start(command)?, body, place);
        timeout(HEAD_PATIENCE, answer.head()).await.map_err(|_| BackendError::Late(HEAD_PATIENCE))?
    }

    /// The repository itself: links followed, a bundle unpacked.
    async fn repository(&self, path: &Path) -> Result<PathBuf, BackendError> {
        let missing = |error: io::Error| BackendError::NoRepository(shown(path), error.to_string().into());
        let path = &path.canonicalize().map_err(missing)?;
        let metadata = fs::metadata(path).map_err(missing)?;
        if metadata.is_dir() {
            return if is_bare(path) { Ok(path.clone()) } else { Err(BackendError::NoRepository(shown(path), NOT_BARE.into())) };
        }
        if !metadata.is_file() {
            return Err(BackendError::NoRepository(shown(path), "it is neither a directory nor a file".into()));
        }
        let bundles = self.bundles.as_ref().ok_or_else(|| BackendError::NoState(shown(path)))?;
        bundles.unpacked(path, &metadata).await
    }
}

/// Whether git would open this directory itself: where it holds a `.git`, git would open that instead.
fn is_bare(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir() && !path.join(".git").exists()
}

const NOT_BARE: &str = "it has no HEAD, objects and refs of its own, as a bare repository has";

/// Below the state directory.
const REPOSITORIES: &str = "repositories";

/// Where programs are looked for if our environment does not say.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Longest until git has begun to answer; it does so before it reads anything of a body.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

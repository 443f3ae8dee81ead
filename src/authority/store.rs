//! Where the authority is kept from one run to the next: `ca.pem` and `key.pem` in a directory of their own, and what clients read
//! beside them, `bundle.pem` and `bundle.p12`.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use zeroize::Zeroizing;

use super::{AuthorityError, root::Root, trusted::Trusted};
use crate::files;

/// The authority's directory.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

/// What clients that take one file of roots are given: it holds the system's too.
pub(super) fn bundle(state: &Path) -> PathBuf {
    directory(state).join(BUNDLE)
}

/// The root that is kept there. Where there is none one is made, and shown only whole: of two that are made at once the first
/// stays, and both starts have it.
pub(super) fn open(state: &Path, now: SystemTime) -> Result<Root, AuthorityError> {
    let directory = directory(state);
    if !exists(state) {
        make(state, &directory, now)?;
    }
    let failed = |file: &str| {
        let path = directory.join(file);
        move |error: io::Error| AuthorityError::of_file(&path, &error)
    };
    let key = files::read_private(&directory.join(KEY), MAX_FILE).map(Zeroizing::new).map_err(failed(KEY))?;
    let certificate = read(&directory.join(CERTIFICATE)).map_err(failed(CERTIFICATE))?;
    let key = str::from_utf8(&key).map_err(|_| AuthorityError::of_file(&directory.join(KEY), &"it is no text"))?;
    let root = Root::read(&certificate, key, now).map_err(|trouble| AuthorityError::of_file(&directory, &trouble))?;
    write_bundle(&directory, root.pem()).map_err(failed(BUNDLE))?;
    Ok(root)
}

/// Whether there is anything: a directory that holds nothing is none.
pub(super) fn exists(state: &Path) -> bool {
    fs::read_dir(directory(state)).map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |mut entries| entries.next().is_some())
}

fn make(state: &Path, directory: &Path, now: SystemTime) -> Result<(), AuthorityError> {
    let (root, key) = Root::make(now).map_err(AuthorityError::new)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(|error| AuthorityError::of_file(state, &error))?;
    let draft = state.join(files::draft_of(DIRECTORY));
    let written = fill(&draft, root.pem(), &key).and_then(|()| fs::rename(&draft, directory)).and_then(|()| files::sync_directory(state));
    let Err(error) = written else { return Ok(()) };
    // Best effort: what is left behind is named a draft, and is no one's authority.
    let _ = fs::remove_dir_all(&draft);
    if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) {
        return Ok(());
    }
    Err(AuthorityError::of_file(directory, &error))
}

fn fill(draft: &Path, certificate: &str, key: &str) -> io::Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    files::make_directory(draft)?;
    files::replace(draft, KEY, key.as_bytes(), files::PRIVATE)?;
    files::replace(draft, CERTIFICATE, certificate.as_bytes(), files::PUBLIC)
}

/// Writes what clients read anew where the system's roots, or ours, are others than before.
fn write_bundle(directory: &Path, root: &str) -> io::Result<()> {
    let Trusted { pem, key_store } = Trusted::beside_the_system(root);
    for (name, content) in [(BUNDLE, pem.as_bytes()), (KEY_STORE, &key_store)] {
        if !fs::read(directory.join(name)).is_ok_and(|before| before == content) {
            files::replace(directory, name, content, files::PUBLIC)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE} bytes")));
    }
    fs::read_to_string(path)
}

const DIRECTORY: &str = "ca";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "key.pem";
const BUNDLE: &str = "bundle.pem";
const KEY_STORE: &str = "bundle.p12";
/// Octets of a certificate or a key.
const MAX_FILE: u64 = 16 * 1024;

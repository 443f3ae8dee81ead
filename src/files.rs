//! Files that outlive the process: whole or not there at all, and nobody else's to read. And whether files have changed.

mod stamps;

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) use self::stamps::Stamps;

/// Makes a directory that only its owner enters, those above it too where they are missing.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Puts `content` in the place of a file at once: whoever reads it after a crash finds the old one or the new one. `mode` says
/// who may read it.
pub(crate) fn replace(directory: &Path, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = directory.join(draft_of(name));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    // Whatever the process masks.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(name))?;
    sync_directory(directory)
}

/// Makes the entries of a directory outlast a crash of the machine.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A name beside `name` that no other writer takes, of this process or another that runs.
pub(crate) fn draft_of(name: &str) -> String {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    format!("{name}.{}-{}{DRAFT}", process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed))
}

/// The whole content of a file of at most `most` octets that only its owner may read.
pub(crate) fn read_private(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it, and it is to be its owner's alone: chmod 600"));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(content)
}

/// The names of a directory's files, but for drafts that a crash left behind.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().into_string().map_err(|name| io::Error::other(format!("no name of ours: {}", name.display())))?;
        if name.strip_suffix(DRAFT).is_none() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A file that cannot be used.
#[derive(Debug)]
pub(crate) struct StoreError(String);

impl StoreError {
    pub(crate) fn new(path: &Path, why: &dyn fmt::Display) -> Self {
        Self(format!("cannot use {}: {why}", path.display()))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// For its owner alone.
pub(crate) const PRIVATE: u32 = 0o600;
/// For all whom the directory lets in.
pub(crate) const PUBLIC: u32 = 0o644;
const DRAFT: &str = ".draft";

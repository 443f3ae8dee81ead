//! Whether files that a configuration is made of have changed since they were read.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::config::Environment;

/// An environment that remembers which files were read of it, and what they were then.
pub(super) struct Remembering<'e> {
    inner: &'e dyn Environment,
    read: RefCell<Files>,
}

impl<'e> Remembering<'e> {
    pub(super) fn new(inner: &'e dyn Environment) -> Self {
        Self { inner, read: RefCell::default() }
    }

    pub(super) fn into_files(self) -> Files {
        self.read.into_inner()
    }
}

impl Environment for Remembering<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.inner.variable(name)
    }

    /// Looked at before it is read: what changes in between counts as changed.
    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read.borrow_mut().0.insert(path.to_owned(), Stamp::of(path));
        self.inner.file(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        self.inner.open(path)
    }

    fn find(&self, path: &Path) -> io::Result<()> {
        self.inner.find(path)
    }
}

/// Files as they were when they were read; one that was not there counts as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<PathBuf, Option<Stamp>>);

impl Files {
    /// The same files as they are now. A link is followed: whoever swaps directories behind one changes its files.
    pub(super) fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }
}

/// By what a change of a file is seen without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Process;

    #[test]
    fn a_file_that_is_written_swapped_made_or_removed_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let [policy, link, missing] = ["policy.toml", "link.toml", "missing.toml"].map(|name| directory.path().join(name));
        fs::write(&policy, "access = 'none'").unwrap();
        std::os::unix::fs::symlink(&policy, &link).unwrap();
        let read = || {
            let environment = Remembering::new(&Process);
            assert!(environment.file(&link).is_ok());
            let _ = environment.file(&missing);
            environment.into_files()
        };
        let files = read();
        assert_eq!(files, files.now());
        fs::write(&policy, "access = 'full'").unwrap();
        assert_ne!(files, files.now());
        let files = read();
        let other = directory.path().join("other.toml");
        fs::write(&other, "access = 'full'").unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert_ne!(files, files.now());
        let files = read();
        fs::write(&missing, "").unwrap();
        assert_ne!(files, files.now());
        let files = read();
        fs::remove_file(&missing).unwrap();
        assert_ne!(files, files.now());
        // A file that was never read is of no interest.
        let files = read();
        fs::write(directory.path().join("else"), "").unwrap();
        assert_eq!(files, files.now());
    }
}

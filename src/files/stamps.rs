//! Whether files have changed since they were read.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Files as they were when they were read; one that was not there counts as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Notes a file as it is now. Before it is read: what changes in between counts as changed.
    pub(crate) fn note(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), Stamp::of(path));
    }

    /// The same files as they are now. A link is followed: whoever swaps directories behind one changes its files.
    pub(crate) fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// These and those of others. A file that was read in two states has changed since one of them.
    pub(crate) fn merge(&mut self, others: &Self) {
        for (path, stamp) in &others.0 {
            match self.0.entry(path.clone()) {
                Entry::Vacant(place) => drop(place.insert(*stamp)),
                Entry::Occupied(mut place) if place.get() != stamp => drop(place.insert(None)),
                Entry::Occupied(_) => {}
            }
        }
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
    use std::os::unix::fs::symlink;

    use super::*;

    fn noted(paths: &[&PathBuf]) -> Stamps {
        let mut stamps = Stamps::default();
        for path in paths {
            stamps.note(path);
        }
        stamps
    }

    #[test]
    fn a_file_that_is_written_swapped_made_or_removed_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let [policy, link, missing, other] =
            ["policy.toml", "link.toml", "missing.toml", "other.toml"].map(|name| directory.path().join(name));
        fs::write(&policy, "access = 'none'").unwrap();
        symlink(&policy, &link).unwrap();
        let files = noted(&[&link, &missing]);
        assert_eq!(files, files.now());
        fs::write(&policy, "access = 'full'").unwrap();
        assert_ne!(files, files.now());
        let files = files.now();
        fs::write(&other, "access = 'full'").unwrap();
        assert_eq!(files, files.now(), "a file that was never read is of no interest");
        fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        assert_ne!(files, files.now());
        let files = files.now();
        fs::write(&missing, "").unwrap();
        assert_ne!(files, files.now());
        let files = files.now();
        fs::remove_file(&missing).unwrap();
        assert_ne!(files, files.now());
    }

    #[test]
    fn a_directory_that_is_swapped_behind_a_link_changes_its_files() {
        // As a volume of Kubernetes changes: by one rename of the link `..data`.
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("policy.toml"), "access = 'none'").unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/policy.toml", at("policy.toml")).unwrap();
        let files = noted(&[&at("policy.toml")]);
        assert_eq!(files, files.now());
        symlink("..2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert_ne!(files, files.now());
    }

    #[test]
    fn a_file_that_was_read_in_two_states_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
        for path in [&one, &other] {
            fs::write(path, "first").unwrap();
        }
        let (mut early, both) = (noted(&[&one]), noted(&[&one, &other]));
        early.merge(&both);
        assert_eq!((&early, early.now()), (&both, both.clone()));
        fs::write(&one, "the second").unwrap();
        let mut late = noted(&[&one]);
        late.merge(&both);
        assert_ne!(late, late.now());
    }
}

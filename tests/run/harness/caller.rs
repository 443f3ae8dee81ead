//! Who runs Tidegate: root and an ordinary user, each with a home and a Tidegate in it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The user without rights that every Linux knows.
const NOBODY: u32 = 65534;

/// Where programs are.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Somebody with a home, which no wall hides of itself, who has a Tidegate there that is his to start.
pub(crate) struct Caller {
    uid: u32,
    home: TempDir,
}

/// Both kinds of callers, where this user may be both.
pub(crate) fn callers() -> Vec<Caller> {
    root().into_iter().chain([user()]).collect()
}

/// Root; `None`, with a word about it, where the tests run as somebody else.
pub(crate) fn root() -> Option<Caller> {
    if our_uid() == 0 {
        return Some(Caller::new(0));
    }
    eprintln!("NOT TESTED AS ROOT: these tests run as user {}", our_uid());
    None
}

/// An ordinary user.
pub(crate) fn user() -> Caller {
    Caller::new(if our_uid() == 0 { NOBODY } else { our_uid() })
}

pub(crate) fn our_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

impl Caller {
    fn new(uid: u32) -> Self {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let caller = Self { uid, home };
        // By another process: a descriptor of ours to write to it may be inherited by what another test starts just now, and who is
        // written to cannot be started.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tidegate")).arg(caller.program()).status();
        assert!(copied.unwrap().success());
        caller.give(caller.home());
        caller
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.home().join("tidegate")
    }

    /// Makes a path this caller's own.
    pub(crate) fn give(&self, path: &Path) {
        if our_uid() == 0 {
            chown(path, Some(self.uid), Some(self.uid)).unwrap();
        }
    }
}

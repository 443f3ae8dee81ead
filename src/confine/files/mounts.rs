//! Mounts, with the path in the error.

use std::{ffi::CString, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::CWD,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_remount, move_mount, open_tree},
};

use crate::confine::{Obstacle, namespaces::obstacle};

/// What no mount of ours is for: programs with the rights of their owner, and devices.
pub(super) const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// A file or a directory with all that is mounted below it, taken out of the host's tree to be laid elsewhere.
#[derive(Debug)]
pub(super) struct Tree(OwnedFd);

impl Tree {
    pub(super) fn of(path: &Path) -> Result<Self, Obstacle> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        open_tree(CWD, path, flags).map(Self).map_err(|error| obstacle(format!("take {}", path.display()), error))
    }

    pub(super) fn lay(self, path: &Path) -> Result<(), Obstacle> {
        move_mount(self.0, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|error| obstacle(format!("lay something over {}", path.display()), error))
    }
}

/// An empty directory in memory over another.
pub(super) fn tmpfs(path: &Path, mode: u32) -> Result<(), Obstacle> {
    filesystem("tmpfs", path, PLAIN, &format!("mode={mode:o}"))
}

/// Mounts a new file system of a kind.
pub(super) fn filesystem(kind: &str, path: &Path, flags: MountFlags, options: &str) -> Result<(), Obstacle> {
    let mounted = match CString::new(options) {
        Ok(options) => mount(kind, path, kind, flags, options.as_c_str()).map_err(Into::into),
        Err(error) => Err(error.into()),
    };
    mounted.map_err(|error: std::io::Error| obstacle(format!("mount {kind} on {}", path.display()), error))
}

/// Lets nobody write any more to what is mounted at a path.
pub(super) fn read_only(path: &Path) -> Result<(), Obstacle> {
    remount(path, MountFlags::RDONLY | PLAIN)
}

/// Says anew what is allowed at a mount, here alone.
pub(super) fn remount(path: &Path, flags: MountFlags) -> Result<(), Obstacle> {
    mount_remount(path, MountFlags::BIND | flags, "").map_err(|error| obstacle(format!("restrict {}", path.display()), error))
}

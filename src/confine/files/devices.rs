//! A `/dev` with what every program may expect, and nothing that leads to the machine.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::mounts::{Tree, filesystem, read_only};
use crate::confine::Obstacle;

pub(super) const SHARED_MEMORY: &str = "/dev/shm";

const NODES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// The host's nodes, by the paths that they are to have.
#[derive(Debug)]
pub(super) struct Devices(Vec<(&'static str, Tree)>);

/// Takes the nodes out of the host's `/dev`. The terminal that COMMAND shares becomes `/dev/console`, since its own name is one
/// of the host's: programs that look for the name of their terminal find that one.
pub(super) fn take() -> Result<Devices, Obstacle> {
    let nodes = NODES.iter().map(|path| Ok((*path, Tree::of(Path::new(path))?)));
    let console = terminal().map(|path| Ok(("/dev/console", Tree::of(&path)?)));
    nodes.chain(console).collect::<Result<_, _>>().map(Devices)
}

/// The terminal that this process holds, where it holds one: a descriptor's link names it, unless it was opened as `/dev/tty`.
fn terminal() -> Option<PathBuf> {
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let mut open = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    open.find(|path| {
        let path = path.as_os_str().as_encoded_bytes();
        path.starts_with(b"/dev/pts/") || path.starts_with(b"/dev/tty") && path != b"/dev/tty"
    })
}

impl Devices {
    pub(super) fn lay(self) -> Result<(), Obstacle> {
        let dev = Path::new("/dev");
        filesystem("tmpfs", dev, MountFlags::NOSUID, "mode=755")?;
        let made = |path: &str, made: io::Result<()>| made.map_err(|error| Obstacle::new(format!("make {path}"), error));
        for (path, node) in self.0 {
            made(path, File::create(path).map(drop))?;
            node.lay(Path::new(path))?;
        }
        for (path, target) in LINKS {
            made(path, symlink(target, path))?;
        }
        made(SHARED_MEMORY, fs::create_dir(SHARED_MEMORY))?;
        made("/dev/pts", fs::create_dir("/dev/pts"))?;
        filesystem("devpts", Path::new("/dev/pts"), MountFlags::NOSUID | MountFlags::NOEXEC, "newinstance,ptmxmode=0666,mode=620")?;
        read_only(dev)
    }
}

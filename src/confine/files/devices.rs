//! A `/dev` with what every program may expect, and nothing that leads to the machine.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStringExt, fs::symlink},
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::mounts::{Tree, filesystem, read_only, remount};
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

/// Makes every device unusable that lies in the host's tree, such as in the `/dev` of a chroot or of a container: root opens what its
/// mode allows.
pub(super) fn shut_others() -> Result<(), Obstacle> {
    let listing = "/proc/self/mountinfo";
    let mounts = fs::read(listing).map_err(|error| Obstacle::new(format!("read {listing}"), error))?;
    for (path, flags) in with_devices(&mounts) {
        match remount(&path, flags | MountFlags::NODEV) {
            // What another mount lies over is reached by nobody.
            Err(obstacle) if [ErrorKind::InvalidInput, ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&obstacle.error.kind()) => {}
            remounted => remounted?,
        }
    }
    Ok(())
}

/// Where the mounts of such a listing lie that let devices be opened, and what else is said of each that may not be taken back
/// (`proc_pid_mountinfo(5)`).
fn with_devices(mounts: &[u8]) -> Vec<(PathBuf, MountFlags)> {
    let mounts = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (path, options) = (fields.next()?, fields.next()?);
        let options: Vec<_> = options.split(|byte| *byte == b',').collect();
        let said = KEPT.iter().filter(|(name, _)| options.contains(&name.as_bytes()));
        let flags = said.fold(MountFlags::empty(), |flags, (_, flag)| flags | *flag);
        (!options.contains(&&b"nodev"[..])).then(|| (unescaped(path), flags))
    });
    mounts.collect()
}

const KEPT: &[(&str, MountFlags)] =
    &[("ro", MountFlags::RDONLY), ("nosuid", MountFlags::NOSUID), ("noexec", MountFlags::NOEXEC), ("nosymfollow", MountFlags::NOSYMFOLLOW)];

/// A path in which blanks and the like are written as a backslash and three octal digits.
fn unescaped(path: &[u8]) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(plain).into()
}

impl Devices {
    pub(super) fn lay(self) -> Result<(), Obstacle> {
        let dev = Path::new("/dev");
        filesystem("tmpfs", dev, MountFlags::NOSUID, "mode=755")?;
        let made = |path: &str, made: io::Result<()>| made.map_err(|error| Obstacle::new(format!("make {path}"), error));
        for (path, node) in self.0 {
            made(path, File::create(path).map(drop))?;
            node.lay(Path::new(path))?;
            // Of a device this keeps what it is, its owner and its mode, and nothing else.
            remount(Path::new(path), MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_with_devices_are_told_by_their_options() {
        let listing = b"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            22 21 0:5 / /srv/a\\040chroot\\134/dev ro,nosuid,noexec - devtmpfs devtmpfs rw\n\
            23 21 0:6 / /run rw,nosuid,nodev - tmpfs tmpfs rw\nbroken\n";
        let expected = [("/", MountFlags::empty()), ("/srv/a chroot\\/dev", MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC)];
        assert_eq!(with_devices(listing), expected.map(|(path, flags)| (PathBuf::from(path), flags)));
    }
}

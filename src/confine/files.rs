//! What COMMAND sees of the file system: the host's, less what leads out of the sandbox or gives the caller away.
//!
//! The host's mounts stay where they are, and ours lie over them. COMMAND cannot take ours off: it has no `CAP_SYS_ADMIN` here,
//! and in a user namespace that it makes for itself every mount is locked to the others, so that none can be removed and no
//! part of the tree be bound elsewhere without what lies over it.
//!
//! What is hidden is what there is when COMMAND starts. A credential or a socket that is made later is seen, and so is a hidden file
//! that the host puts another in the place of (`rename(2)`): the kernel takes off what lies over a name that goes. Directories
//! stay hidden whatever is put into them.

mod credentials;
mod sockets;
mod mounts;
mod devices;
mod kernel;

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, Mode, access},
    io::Errno,
    mount::{MountPropagationFlags, mount_change},
    process::{chdir, getuid, umask},
    system::uname,
};

use self::mounts::{Tree, tmpfs};
pub(crate) use self::{
    credentials::{credentials, homes},
    sockets::sockets,
};
use super::{Obstacle, namespaces};

/// Where Tidegate's own files lie inside, read-only.
pub(crate) const OWN: &str = "/run/tidegate";
/// The combined CA bundle, by a name that is the same everywhere.
pub(crate) const BUNDLE: &str = "/run/tidegate/ca-bundle.pem";
const EMPTY: &str = "/run/tidegate/empty";

/// Directories in which hosts keep sockets and other people's files: empty inside, and to be written to.
const PRIVATE: &[(&str, u32)] = &[("/run", 0o755), ("/var/run", 0o755), ("/tmp", 0o1777), (devices::SHARED_MEMORY, 0o1777)];

/// Our own files and what they lie over, where a system has it.
const OVER: &[(&str, &[&str])] = &[
    (RESOLVER, &["/etc/resolv.conf"]),
    (HOSTS, &["/etc/hosts"]),
    (
        BUNDLE,
        &[
            "/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch, Alpine
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
            "/etc/pki/tls/certs/ca-bundle.crt",                  // the same by an older name
            "/var/lib/ca-certificates/ca-bundle.pem",            // SUSE
            "/etc/ssl/ca-bundle.pem",                            // the same by an older name
            "/etc/ssl/certs/ca-bundle.crt",                      // NixOS
            "/etc/ssl/cert.pem",                                 // OpenSSL
        ],
    ),
];
const RESOLVER: &str = "/run/tidegate/resolv.conf";
const HOSTS: &str = "/run/tidegate/hosts";

/// What of the host's files is hidden, and what lies in its place.
#[derive(Debug)]
pub(crate) struct Files {
    /// The working directory, absolute and without symbolic links: it stays as it is, wherever it lies.
    pub(crate) directory: PathBuf,
    /// `$XDG_RUNTIME_DIR`: empty inside.
    pub(crate) runtime: Option<PathBuf>,
    /// Directories that are to be empty, files and sockets that are to be empty files. What there is not is passed over.
    pub(crate) hidden: Vec<PathBuf>,
    /// What Tidegate goes on to read or to run outside by these paths: nobody inside changes it, or puts something else there.
    pub(crate) fixed: Vec<PathBuf>,
    /// What is trusted in place of the system's authorities.
    pub(crate) bundle: Vec<u8>,
    /// More files for [`OWN`], by name.
    pub(crate) own: Vec<(String, Vec<u8>)>,
}

/// Lays everything over the host's files, in the mount namespace of this process, which must be its own, and moves into the
/// working directory again. Whatever this process still has open leads to the host's files.
///
/// A program that lies in `/tmp` or another directory that is hidden cannot be started, except from the working directory.
pub(crate) fn shut(files: &Files) -> Result<(), Obstacle> {
    let masked = umask(Mode::from_raw_mode(0o022));
    let shut = lay(files);
    umask(masked);
    shut
}

fn lay(files: &Files) -> Result<(), Obstacle> {
    let directory = files.directory.as_path();
    if directory != Path::new("/") && Path::new(OWN).starts_with(directory) {
        let error = io::Error::other("Tidegate puts files of its own there");
        return Err(Obstacle { remedy: Some("start it elsewhere"), ..Obstacle::new(format!("work in {}", directory.display()), error) });
    }
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|error| namespaces::obstacle("separate the mounts from the host's", error))?;
    // All that is taken from the host is looked up before anything lies over it.
    let private = private(files.runtime.as_deref());
    let hidden = there(&files.hidden)?;
    let fixed = there(&files.fixed)?;
    let over: Vec<(&str, PathBuf)> =
        OVER.iter().flat_map(|(own, paths)| paths.iter().filter_map(|path| Some((*own, behind_links(path)?)))).collect();
    let devices = devices::take()?;
    if getuid().is_root() {
        devices::shut_others()?;
    }
    let covers = |path: &Path| directory.starts_with(path);
    let is_covered = private.iter().map(|(path, _)| path).chain(&hidden).any(|path| covers(path));
    let kept = if is_covered { Some(Tree::of(directory)?) } else { None };

    kernel::show_processes()?;
    kernel::show_devices()?;
    devices.lay()?;
    let (inner, outer): (Vec<_>, Vec<_>) = private.iter().partition(|(path, _)| path.starts_with(directory) && path != directory);
    outer.into_iter().try_for_each(|(path, mode)| empty(path, *mode))?;
    for path in hidden.iter().filter(|path| covers(path)) {
        hide(path, Some(directory))?;
    }
    if let Some(kept) = kept {
        make_directory(directory)?;
        kept.lay(directory)?;
    }
    inner.into_iter().try_for_each(|(path, mode)| empty(path, *mode))?;
    lay_own(files)?;
    let is_empty = |path: &Path| private.iter().any(|(private, _)| path.starts_with(private)) && !path.starts_with(directory);
    for path in hidden.iter().filter(|path| !covers(path) && !is_empty(path)) {
        hide(path, None)?;
    }
    for (own, path) in over {
        replace(&path, own, &private)?;
    }
    fixed.iter().try_for_each(|path| fix(path))?;
    if getuid().is_root() {
        kernel::mask()?;
    }
    chdir(directory).map_err(|error| Obstacle::new(format!("enter {}", directory.display()), error))
}

/// The directories that are to be empty and what `chmod` says of each, those above before those below.
fn private(runtime: Option<&Path>) -> Vec<(PathBuf, u32)> {
    let fixed = PRIVATE.iter().map(|(path, mode)| (Path::new(path), *mode));
    let there = fixed.chain(runtime.map(|path| (path, 0o700))).filter_map(|(path, mode)| Some((fs::canonicalize(path).ok()?, mode)));
    let mut private: Vec<_> = there.collect();
    private.sort();
    private.dedup_by(|(later, _), (earlier, _)| later == earlier);
    private
}

/// What there is of these paths, without links, those above before those below.
fn there(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Obstacle> {
    let mut there = Vec::new();
    for path in paths {
        match fs::canonicalize(path) {
            Ok(path) => there.push(path),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(Obstacle::new(format!("find {}", path.display()), error)),
        }
    }
    there.sort();
    there.dedup();
    Ok(there)
}

/// Whether there is nothing at a path, or nothing that COMMAND, which may no more than we, comes to.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Where a path leads, also where there is nothing there; `None` where its links lead in circles.
fn behind_links(path: &str) -> Option<PathBuf> {
    let mut path = PathBuf::from(path);
    for _ in 0..40 {
        let (above, there) = path.ancestors().skip(1).find_map(|above| Some((above, fs::canonicalize(above).ok()?)))?;
        let below = path.strip_prefix(above).ok()?;
        let led = there.join(below);
        match fs::read_link(&led) {
            Ok(target) => path = there.join(target),
            Err(_) => return Some(led),
        }
    }
    None
}

/// Our own files, which nobody changes once they lie there.
fn lay_own(files: &Files) -> Result<(), Obstacle> {
    empty(Path::new(OWN), 0o755)?;
    let host = uname().nodename().to_string_lossy().into_owned();
    let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {host}\n");
    let resolver = "nameserver 127.0.0.1\noptions edns0\n";
    let own = [(EMPTY, &b""[..]), (RESOLVER, resolver.as_bytes()), (HOSTS, hosts.as_bytes()), (BUNDLE, &files.bundle)];
    let more = files.own.iter().map(|(name, content)| (name.as_str(), &content[..]));
    for (name, content) in own.into_iter().chain(more) {
        let path = Path::new(OWN).join(name);
        fs::write(&path, content).map_err(|error| Obstacle::new(format!("write {}", path.display()), error))?;
    }
    mounts::read_only(Path::new(OWN))
}

/// Empties what there is at a path for good; `but`, a directory below it, is left as a place to mount on.
fn hide(path: &Path, but: Option<&Path>) -> Result<(), Obstacle> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            tmpfs(path, 0o755)?;
            if let Some(but) = but {
                make_directory(but)?;
            }
            mounts::read_only(path)
        }
        Ok(_) => Tree::of(Path::new(EMPTY))?.lay(path),
        // What lies over it hides it already.
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(Obstacle::new(format!("hide {}", path.display()), error)),
    }
}

/// Lets what is at a path be neither changed nor moved away, nor any directory above it that could be: what is mounted on is not renamed.
fn fix(path: &Path) -> Result<(), Obstacle> {
    if !path.exists() {
        return Ok(());
    }
    let movable = |path: &&Path| path.parent().is_some_and(|above| access(above, Access::WRITE_OK).is_ok());
    let movable: Vec<_> = path.ancestors().filter(movable).collect();
    for path in movable.into_iter().rev().chain([path]) {
        Tree::of(path)?.lay(path)?;
    }
    mounts::read_only(path)
}

/// Lays a file of ours over another one; one that a link leads to in an empty directory is made.
fn replace(path: &Path, own: &str, private: &[(PathBuf, u32)]) -> Result<(), Obstacle> {
    if !path.exists() {
        let (Some(above), true) = (path.parent(), private.iter().any(|(private, _)| path.starts_with(private))) else { return Ok(()) };
        make_directory(above)?;
        File::create(path).map_err(|error| Obstacle::new(format!("make {}", path.display()), error))?;
    }
    Tree::of(Path::new(own))?.lay(path)
}

/// Makes a directory empty, and makes it where there is none.
fn empty(path: &Path, mode: u32) -> Result<(), Obstacle> {
    make_directory(path)?;
    tmpfs(path, mode)
}

fn make_directory(path: &Path) -> Result<(), Obstacle> {
    fs::create_dir_all(path).map_err(|error| Obstacle::new(format!("make {}", path.display()), error))
}

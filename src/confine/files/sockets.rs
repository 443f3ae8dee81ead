//! The host's sockets that have a path: others reach them by the path alone, from any namespace.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Path, PathBuf},
};

use crate::confine::Obstacle;

/// The paths of sockets that processes have bound in this network namespace, and in those of each process that we may look at. To be
/// asked outside, before [`super::shut`].
///
/// A path that starts from nowhere is looked for where its process works by now; that of a process which we may not look at is not found.
pub(crate) fn sockets() -> Result<Vec<PathBuf>, Obstacle> {
    let ours = Path::new("/proc/self");
    let mut found = listed(ours).map_err(|error| Obstacle::new("read /proc/self/net/unix", error))?;
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let processes: Vec<_> = processes.filter(|path| path.as_os_str().as_bytes().last().is_some_and(u8::is_ascii_digit)).collect();
    let network = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    let mut known: HashSet<_> = network(ours).into_iter().collect();
    for process in &processes {
        if network(process).is_some_and(|network| known.insert(network)) {
            // It may have ended by now.
            found.extend(listed(process).unwrap_or_default());
        }
    }
    let (absolute, relative): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, path)| path.is_absolute());
    let relative = by_processes(&relative.into_iter().collect(), &processes);
    Ok(absolute.into_iter().flat_map(|(_, path)| still_there(path)).chain(relative).collect())
}

/// The sockets in the network of a process, by what a descriptor of theirs is called.
fn listed(process: &Path) -> io::Result<Vec<(OsString, PathBuf)>> {
    fs::read(process.join("net/unix")).map(|listing| bound(&listing))
}

/// What such a listing says of sockets with a path, which is all that follows the seventh column; an abstract name starts with an `@`.
fn bound(listing: &[u8]) -> Vec<(OsString, PathBuf)> {
    let sockets = listing.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let mut rest = line;
        let mut inode = &b""[..];
        for _ in 0..7 {
            let begin = rest.trim_ascii_start();
            let end = begin.iter().position(|byte| *byte == b' ')?;
            (inode, rest) = begin.split_at(end);
        }
        let path = rest.get(1..).filter(|path| !path.is_empty() && !path.starts_with(b"@"))?;
        Some((OsStr::from_bytes(&[b"socket:[", inode, b"]"].concat()).to_owned(), PathBuf::from(OsStr::from_bytes(path))))
    });
    sockets.collect()
}

/// What a socket that was bound to this path can be reached by now. What another put in its place is no socket, and nobody's to have
/// hidden; where nothing is there, it may have been given another name in its directory, as `ssh` does it.
fn still_there(path: PathBuf) -> Vec<PathBuf> {
    match (fs::metadata(&path), path.parent()) {
        (Ok(found), _) if !found.file_type().is_socket() => Vec::new(),
        (Err(error), Some(above)) if error.kind() == ErrorKind::NotFound => {
            let beside = fs::read_dir(above).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
            beside.filter(|path| is_socket(path)).collect()
        }
        _ => vec![path],
    }
}

/// Where these sockets lie as seen from the processes that hold them.
fn by_processes(relative: &HashMap<OsString, PathBuf>, processes: &[PathBuf]) -> Vec<PathBuf> {
    let holders = processes.iter().filter(|_| !relative.is_empty());
    let paths = holders.filter_map(|process| {
        let directory = fs::read_link(process.join("cwd")).ok()?;
        let descriptors = fs::read_dir(process.join("fd")).ok()?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let held = descriptors.filter_map(|descriptor| relative.get(descriptor.as_os_str()));
        Some(held.map(|path| directory.join(path)).filter(|path| is_socket(path)).collect::<Vec<_>>())
    });
    paths.flatten().collect()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_found_by_the_name_that_it_has_now() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let _socket = UnixListener::bind(at("made")).unwrap();
        assert_eq!(still_there(at("made")), [at("made")]);
        fs::rename(at("made"), at("given")).unwrap();
        fs::write(at("plain"), "").unwrap();
        assert_eq!(still_there(at("made")), [at("given")]);
        assert_eq!(still_there(at("plain")), Vec::<PathBuf>::new());
        fs::create_dir(at("made")).unwrap();
        assert_eq!(still_there(at("made")), Vec::<PathBuf>::new());
        assert_eq!(still_there(at("absent/made")), Vec::<PathBuf>::new());
    }

    #[test]
    fn path_sockets_are_told_from_abstract_ones() {
        let listing = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21434 /run/docker.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 27434\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22172 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000002 00000000 00010000 0001 01   173 relative /one.sock\n\
            0000000000000000: 00000002 00000000 00000000 0002 01 23133 /home/a/with a space \xff.sock\n";
        let expected: [(&str, &[u8]); 3] = [
            ("socket:[21434]", b"/run/docker.sock"),
            ("socket:[173]", b"relative /one.sock"),
            ("socket:[23133]", b"/home/a/with a space \xff.sock"),
        ];
        assert_eq!(bound(listing), expected.map(|(name, path)| (name.into(), PathBuf::from(OsStr::from_bytes(path)))));
    }
}

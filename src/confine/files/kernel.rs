//! What the kernel shows as files: `/proc` of the sandbox's own processes, `/sys` to read.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::{
    hide,
    mounts::{PLAIN, Tree, filesystem, read_only, tmpfs},
};
use crate::confine::Obstacle;

const UNCHANGED: MountFlags = PLAIN.union(MountFlags::NOEXEC).union(MountFlags::RDONLY);

/// How the kernel forbids a `/proc` that would show what was hidden in the one that there is.
const HIDDEN_PROC: &str = "parts of /proc are hidden here, as container runtimes do, so that none may be mounted that shows them: start the \
                           container without that (docker: --security-opt systempaths=unconfined, Kubernetes: procMount: Unmasked)";

/// A `/proc` with the processes of this PID namespace, whose init this is.
pub(super) fn show_processes() -> Result<(), Obstacle> {
    filesystem("proc", Path::new("/proc"), PLAIN | MountFlags::NOEXEC, "").map_err(|obstacle| {
        let is_forbidden = obstacle.error.kind() == ErrorKind::PermissionDenied;
        Obstacle { remedy: if is_forbidden { Some(HIDDEN_PROC) } else { obstacle.remedy }, ..obstacle }
    })
}

/// A `/sys` that cannot be written to, with the devices of this network namespace and the limits of this control group: a
/// caller may own control groups, and could end or stop the host's processes there. Where the kernel does not let us, it is
/// empty.
pub(super) fn show_devices() -> Result<(), Obstacle> {
    let sys = Path::new("/sys");
    if filesystem("sysfs", sys, UNCHANGED, "").is_err() {
        tmpfs(sys, 0o755)?;
        return read_only(sys);
    }
    // What is not mounted shows nothing.
    let _ = filesystem("cgroup2", Path::new("/sys/fs/cgroup"), UNCHANGED, "");
    Ok(())
}

/// Shown to root, but not to be written to: settings of the whole machine, which belong to its root whoever holds capabilities.
const READ: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Shown to root only outside.
const HIDDEN: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Keeps root from the machine, whose files in `/proc` belong to root here too. It may not make user namespaces either, where it
/// would hold the capabilities again that it gave up.
///
/// Nobody else needs it: such files are the host's root's. And with parts hidden the kernel would refuse the `/proc` that
/// sandboxes inside this one mount.
pub(super) fn mask() -> Result<(), Obstacle> {
    let namespaces = "/proc/sys/user/max_user_namespaces";
    fs::write(namespaces, "0").map_err(|error| Obstacle::new(format!("write {namespaces}"), error))?;
    for path in READ.iter().map(PathBuf::from).filter(|path| path.exists()) {
        Tree::of(&path)?.lay(&path)?;
        read_only(&path)?;
    }
    HIDDEN.iter().try_for_each(|path| hide(Path::new(path), None))
}

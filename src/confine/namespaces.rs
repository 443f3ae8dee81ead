//! Namespaces of one's own, and which ids of the caller hold inside.

use std::{fs, io};

use rustix::{
    io::Errno,
    process::{getegid, geteuid},
    thread::{CapabilitySet, UnshareFlags, capabilities},
};

use super::{Obstacle, privileges};

const EVERY: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS)
    .union(UnshareFlags::NEWCGROUP);

/// Moves this process, which must have a single thread, into namespaces of its own; the first child that it starts is the init
/// of the new PID namespace. It holds all capabilities there, and so does every program that it starts, until
/// [`privileges::drop`]. It has no ids until its parent calls [`map_ids`]; nothing may be started before.
pub(crate) fn enter() -> Result<(), Obstacle> {
    #[expect(deprecated, reason = "unsafe with FILES only, which is not asked for")]
    rustix::thread::unshare(EVERY).map_err(|error| obstacle("make namespaces of its own", error))?;
    privileges::pass_on().map_err(|error| obstacle("hold capabilities in its own user namespace", error))
}

/// Lets ids of this process hold in the user namespace that its child entered. They mean the same inside and outside: all that
/// this process knows, where it may set ids (as root), so that packages can be installed and files given away; otherwise its
/// own user and group alone.
pub(crate) fn map_ids(child: u32) -> Result<(), Obstacle> {
    let write = |name: &str, content: io::Result<String>| {
        let path = format!("/proc/{child}/{name}");
        content.and_then(|content| fs::write(&path, content)).map_err(|error| obstacle(format!("write {path}"), error))
    };
    if sets_ids().map_err(|error| Obstacle::new("read its own capabilities", error))? {
        write("uid_map", identity("uid_map"))?;
        write("gid_map", identity("gid_map"))
    } else {
        let (user, group) = (geteuid(), getegid());
        write("uid_map", Ok(format!("{user} {user} 1")))?;
        // A member maps its group only where nobody inside can leave one.
        write("setgroups", Ok("deny".to_owned()))?;
        write("gid_map", Ok(format!("{group} {group} 1")))
    }
}

/// Whether this user namespace has a number for a user.
pub(crate) fn has_user(user: u32) -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    Ok(map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&user.into()))
    }))
}

fn sets_ids() -> io::Result<bool> {
    Ok(capabilities(None)?.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID))
}

/// Maps everything that holds in this process's own user namespace to itself.
fn identity(map: &str) -> io::Result<String> {
    let ours = fs::read_to_string(format!("/proc/self/{map}"))?;
    let lines = ours.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [inside, _, count] => Some(format!("{inside} {inside} {count}\n")),
        _ => None,
    });
    Ok(lines.collect())
}

/// An obstacle in the way of namespaces, with what removes it as far as this system tells.
pub(super) fn obstacle(tried: impl Into<String>, error: impl Into<io::Error>) -> Obstacle {
    let error = error.into();
    let remedy = Some(remedy(&error, &|path| fs::read_to_string(path).ok()));
    Obstacle { remedy, ..Obstacle::new(tried, error) }
}

/// Settings that forbid namespaces: the file, the value that does, and the way out.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0: let root run sysctl kernel.unprivileged_userns_clone=1",
    ),
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0: let root run sysctl user.max_user_namespaces=10000"),
    ("/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces is 0: let root run sysctl user.max_net_namespaces=10000"),
    ("/proc/sys/user/max_mnt_namespaces", "0", "user.max_mnt_namespaces is 0: let root run sysctl user.max_mnt_namespaces=10000"),
    ("/proc/sys/user/max_pid_namespaces", "0", "user.max_pid_namespaces is 0: let root run sysctl user.max_pid_namespaces=10000"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1: give tidegate an AppArmor profile that says \"userns,\", or let root run \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// `read` gives the content of a file, where it can be read.
fn remedy(error: &io::Error, read: &dyn Fn(&str) -> Option<String>) -> &'static str {
    let set = |path: &str, value: &str| read(path).is_some_and(|content| content.trim() == value);
    if let Some((_, _, remedy)) = SETTINGS.iter().find(|(path, value, _)| set(path, value)) {
        return remedy;
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::USERS) => "a limit user.max_*_namespaces is used up: end other sandboxes, or let root raise it",
        Some(Errno::INVAL | Errno::NOSYS) => "this kernel is built without namespaces (CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_PID_NS)",
        _ if is_filtered(read) => {
            "a seccomp filter is on this process, a container runtime's for instance: start the container with a profile that lets \
             unshare and mount through (docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)"
        }
        _ => "it takes unprivileged user namespaces, or CAP_SYS_ADMIN outside of a chroot",
    }
}

fn is_filtered(read: &dyn Fn(&str) -> Option<String>) -> bool {
    let status = read("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNFILTERED: &str = "Name:\tx\nSeccomp:\t0\n";
    const FILTERED: &str = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn told(errno: Errno, files: &[(&str, &str)]) -> &'static str {
        remedy(&errno.into(), &|path| files.iter().find(|(name, _)| *name == path).map(|(_, content)| (*content).to_owned()))
    }

    #[test]
    fn an_obstacle_names_the_setting_that_forbids_namespaces() {
        for (path, value, remedy) in SETTINGS {
            let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
            assert!(remedy.starts_with(&format!("{name} is {value}: ")), "{remedy}");
            assert_eq!(told(Errno::PERM, &[(path, &format!("{value}\n")), ("/proc/self/status", FILTERED)]), *remedy);
        }
    }

    #[test]
    fn an_obstacle_without_a_setting_goes_by_the_answer() {
        let allowed = [("/proc/sys/user/max_user_namespaces", "96365\n"), ("/proc/self/status", UNFILTERED)];
        assert!(told(Errno::NOSPC, &allowed).contains("user.max_*_namespaces"));
        assert!(told(Errno::INVAL, &allowed).contains("CONFIG_USER_NS"));
        assert!(told(Errno::PERM, &allowed).contains("CAP_SYS_ADMIN"));
        assert!(told(Errno::PERM, &[("/proc/self/status", FILTERED)]).contains("seccomp"));
    }
}

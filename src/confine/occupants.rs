//! Who is in this network namespace beside us, and what would get them around its rules.

use std::{
    fs,
    io::{self, ErrorKind},
    iter,
    path::{Path, PathBuf},
};

use rustix::thread::CapabilitySet;

/// A process of this network namespace, or one that may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Occupant {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) standing: Standing,
}

/// What the rules are to a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They let it through: the proxy, or what the proxy has started.
    Exempt,
    /// They hold it, and it has no means to change that.
    Held,
    /// It has means to get around them: each in words that follow its name.
    Able(Vec<String>),
    /// Nobody tells us which network it is in.
    Unseen,
}

/// The processes of this network namespace but ourselves, as far as `/proc` shows them, by their numbers there. `exempt` is the user that
/// the rules let through.
pub(crate) fn occupants(exempt: u32) -> io::Result<Vec<Occupant>> {
    let (ourselves, here) = (fs::read_link("/proc/self")?, fs::read_link("/proc/self/ns/net")?);
    let users = fs::read_link("/proc/self/ns/user")?;
    let mut found = Vec::new();
    for pid in numbers(Path::new("/proc"))? {
        if ourselves.as_os_str() == pid.to_string().as_str() {
            continue;
        }
        // Whoever ended meanwhile is nobody.
        match occupant(pid, exempt, &here, &users) {
            Ok(occupant) => found.extend(occupant),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
                found.push(Occupant { pid, name, standing: Standing::Unseen });
            }
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The threads of a process that are in the network `here`, as one; `None` where none is.
fn occupant(pid: u32, exempt: u32, here: &Path, users: &Path) -> io::Result<Option<Occupant>> {
    let mut occupant: Option<Occupant> = None;
    for thread in numbers(Path::new(&format!("/proc/{pid}/task")))? {
        let thread = PathBuf::from(format!("/proc/{pid}/task/{thread}"));
        if fs::read_link(thread.join("ns/net"))? != here {
            continue;
        }
        // Capabilities of a namespace of users within ours say nothing about a network that is ours.
        let counts = fs::read_link(thread.join("ns/user"))? == users;
        let status = fs::read_to_string(thread.join("status"))?;
        let standing = judge(&status, exempt, counts);
        let standing =
            if standing == Standing::Exempt && !is_the_proxys(pid) { Standing::Able(vec![NOT_THE_PROXY.into()]) } else { standing };
        match &mut occupant {
            None => occupant = Some(Occupant { pid, name: field(&status, "Name").unwrap_or_default().to_owned(), standing }),
            Some(known) => known.standing = worse(std::mem::replace(&mut known.standing, Standing::Held), standing),
        }
    }
    Ok(occupant)
}

/// Whether it runs a program that is called as this one is, or comes from one that does: what tells the proxy, and its helpers, from a
/// sandbox that was given the proxy's user. Whoever is that user already can deceive us in this; a mistake does not.
fn is_the_proxys(pid: u32) -> bool {
    let program = |pid: &str| {
        Some(fs::read_link(format!("/proc/{pid}/exe")).ok()?.file_name()?.to_string_lossy().trim_end_matches(DELETED).to_owned())
    };
    let Some(ours) = program("self") else { return false };
    let parent = |pid: &String| field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "PPid").map(str::to_owned);
    iter::successors(Some(pid.to_string()), parent).take(MAX_ANCESTORS).any(|pid| program(&pid).as_ref() == Some(&ours))
}

fn worse(one: Standing, other: Standing) -> Standing {
    match (one, other) {
        (Standing::Able(mut one), Standing::Able(other)) => {
            one.extend(other);
            one.sort();
            one.dedup();
            Standing::Able(one)
        }
        (able @ Standing::Able(_), _) | (_, able @ Standing::Able(_)) => able,
        (Standing::Exempt, Standing::Exempt) => Standing::Exempt,
        (Standing::Exempt, _) | (_, Standing::Exempt) => Standing::Able(vec!["runs as the exempt user in some of its threads".into()]),
        (one, _) => one,
    }
}

/// What the status of a thread (`proc_pid_status(5)`) comes to. `counts`: whether its capabilities are ones over this network.
fn judge(status: &str, exempt: u32, counts: bool) -> Standing {
    let users: Option<Vec<u32>> = field(status, "Uid").map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect());
    let held = ["CapPrm", "CapInh", "CapAmb"]
        .map(|set| field(status, set).and_then(|set| u64::from_str_radix(set, 16).ok()))
        .into_iter()
        .try_fold(0, |all, set| set.map(|set| all | set));
    let (Some(users), Some(held)) = (users.filter(|users| users.len() == 4), held) else {
        return Standing::Able(vec!["has a status that cannot be read".into()]);
    };
    if users.iter().all(|user| *user == exempt) {
        return Standing::Exempt;
    }
    let mut means = Vec::new();
    if users.contains(&exempt) {
        means.push("can become the exempt user".to_owned());
    }
    if users.contains(&0) {
        means.push("runs as root".to_owned());
    }
    if counts && held != 0 {
        means.push(format!("holds {}", names(CapabilitySet::from_bits_retain(held))));
    }
    if field(status, "NoNewPrivs") != Some("1") {
        means.push("can gain privileges by set-user-id programs: no_new_privs is not set".to_owned());
    }
    if means.is_empty() { Standing::Held } else { Standing::Able(means) }
}

fn names(held: CapabilitySet) -> String {
    let known = held.iter_names().fold(CapabilitySet::empty(), |known, (_, capability)| known | capability);
    let unknown = held.difference(known).bits();
    let unknown = (unknown != 0).then(|| format!("{unknown:#x}"));
    let shown: Vec<_> = held.iter_names().map(|(name, _)| format!("CAP_{name}")).chain(unknown).collect();
    if shown.len() > MAX_NAMED { format!("{} capabilities", shown.len()) } else { shown.join(", ") }
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// The entries of a directory that are numbers, from the lowest.
fn numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut numbers: Vec<_> = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

const NOT_THE_PROXY: &str = "runs as the exempt user, and is no tidegate";
/// What the kernel adds to the path of a program that was replaced meanwhile.
const DELETED: &str = " (deleted)";
/// A helper is a child of the proxy's, or a child of that.
const MAX_ANCESTORS: usize = 8;
/// More capabilities are counted.
const MAX_NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(uid: &str, capabilities: &str, no_new_privs: &str, counts: bool) -> Standing {
        let status = format!(
            "Name:\tnode\nUid:\t{uid}\nCapInh:\t0000000000000000\nCapPrm:\t{capabilities}\nCapEff:\t0\nCapBnd:\t1ff\n\
             CapAmb:\t0000000000000000\nNoNewPrivs:\t{no_new_privs}\n"
        );
        judge(&status, 7, counts)
    }

    #[test]
    fn whoever_has_no_means_is_held() {
        assert_eq!(judged("8\t8\t8\t8", "0", "1", true), Standing::Held);
        assert_eq!(judged("8\t8\t8\t8", "3000", "1", false), Standing::Held);
        assert_eq!(judged("7\t7\t7\t7", "0", "0", true), Standing::Exempt);
    }

    #[test]
    fn each_means_is_named() {
        let able = |uid, capabilities, no_new_privs| match judged(uid, capabilities, no_new_privs, true) {
            Standing::Able(means) => means.join("; "),
            other @ (Standing::Exempt | Standing::Held | Standing::Unseen) => panic!("{other:?}"),
        };
        assert_eq!(able("8\t8\t0\t8", "0", "1"), "runs as root");
        assert_eq!(able("8\t8\t7\t8", "0", "1"), "can become the exempt user");
        assert_eq!(able("8\t8\t8\t8", "3000", "1"), "holds CAP_NET_ADMIN, CAP_NET_RAW");
        assert_eq!(able("8\t8\t8\t8", "4000000000000000", "1"), "holds 0x4000000000000000");
        assert_eq!(able("8\t8\t8\t8", "1ffffffffff", "1"), "holds 41 capabilities");
        assert_eq!(able("8\t8\t8\t8", "0", "0"), "can gain privileges by set-user-id programs: no_new_privs is not set");
        for (uid, capabilities) in [("8\t8", "0"), ("8\t8\t8\t8", "x"), ("", "0")] {
            assert_eq!(able(uid, capabilities, "1"), "has a status that cannot be read");
        }
        assert_eq!(judge("", 7, true), Standing::Able(vec!["has a status that cannot be read".into()]));
    }

    #[test]
    fn a_process_is_what_its_worst_thread_is() {
        let able = |what: &str| Standing::Able(vec![what.to_owned()]);
        assert_eq!(worse(Standing::Held, able("a")), able("a"));
        assert_eq!(worse(able("b"), able("a")), Standing::Able(vec!["a".into(), "b".into()]));
        assert_eq!(worse(Standing::Held, Standing::Held), Standing::Held);
        assert_eq!(worse(Standing::Exempt, Standing::Held), able("runs as the exempt user in some of its threads"));
    }
}

//! Which process of this machine is at the other end of a connection, where the kernel tells.
//!
//! The kernel tells which socket that is ([`Diagnosis`]), and in `/proc` stands which process holds it. To look there costs time for every
//! process there is, and a sandbox can start many and open much. So one thread looks, for a bounded share of the time, and whoever asks while
//! there is none left, or for longer than a moment, learns nothing. A process that passes its sockets on, or hides them behind others,
//! misleads about itself and about nobody else.

mod diagnosis;

use std::{
    collections::VecDeque,
    ffi::CStr,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Dir, Mode, OFlags, open, readlinkat_raw};
use tokio::{sync::oneshot, time::timeout};

pub(crate) use self::diagnosis::Diagnosis;

/// A process, as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The path of its program; none where that is not ours to know.
    pub(crate) exe: Option<Box<str>>,
}

/// The addresses of a TCP connection as its client knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    /// Where it was opened to, whoever answers there.
    pub(crate) server: SocketAddr,
}

/// Finds processes by a thread of its own, which starts with the first search and ends with this.
pub(crate) struct Processes {
    diagnosis: Arc<Diagnosis>,
    searches: OnceLock<Option<SyncSender<Search>>>,
}

struct Search {
    ends: Ends,
    answer: oneshot::Sender<Option<Arc<Process>>>,
}

impl Processes {
    /// Of connections in the network that the diagnosis is of.
    pub(crate) fn new(diagnosis: Diagnosis) -> Self {
        Self { diagnosis: Arc::new(diagnosis), searches: OnceLock::new() }
    }

    /// The process that holds the client's end, within [`PATIENCE`]; none where there is any doubt.
    pub(crate) async fn find(&self, ends: Ends) -> Option<Arc<Process>> {
        let (answer, found) = oneshot::channel();
        self.searches.get_or_init(|| start(&self.diagnosis)).as_ref()?.try_send(Search { ends, answer }).ok()?;
        timeout(PATIENCE, found).await.ok()?.ok()?
    }
}

fn start(diagnosis: &Arc<Diagnosis>) -> Option<SyncSender<Search>> {
    if !diagnosis.is_possible() {
        return None;
    }
    let (searches, received) = sync_channel(MOST_WAITING);
    let mut seeker = Seeker::new(Arc::clone(diagnosis));
    thread::Builder::new().name("processes".into()).spawn(move || seeker.work(&received)).ok().map(|_| searches)
}

/// Looks for one process after the other.
struct Seeker {
    diagnosis: Arc<Diagnosis>,
    sequence: u32,
    /// Who was found last comes first: who opens one connection opens more.
    recent: VecDeque<u32>,
    /// Where the last search ran out of time.
    stopped: Option<u32>,
    /// How long may be looked without a rest.
    credit: Duration,
    credited: Instant,
}

impl Seeker {
    fn new(diagnosis: Arc<Diagnosis>) -> Self {
        Self { diagnosis, sequence: 0, recent: VecDeque::new(), stopped: None, credit: MOST_CREDIT, credited: Instant::now() }
    }

    fn work(&mut self, searches: &Receiver<Search>) {
        while let Ok(Search { ends, answer }) = searches.recv() {
            let begun = Instant::now();
            self.credit = MOST_CREDIT.min(self.credit + begun.duration_since(self.credited) / SHARE);
            self.credited = begun;
            // Whoever has waited too long hears nothing any more.
            if self.credit.is_zero() || answer.is_closed() {
                continue;
            }
            let found = self.find(&ends, begun + LONGEST_SEARCH);
            self.credit = self.credit.saturating_sub(begun.elapsed());
            let _ = answer.send(found.map(Arc::new));
        }
    }

    fn find(&mut self, ends: &Ends, deadline: Instant) -> Option<Process> {
        self.sequence = self.sequence.wrapping_add(1);
        let socket = format!("socket:[{}]", self.diagnosis.socket(ends, self.sequence)?);
        let known = self.recent.iter().copied().find_map(|pid| holder(pid, &socket));
        let found = known.or_else(|| self.search(&socket, deadline))?;
        self.recent.retain(|pid| *pid != found.pid);
        self.recent.push_front(found.pid);
        self.recent.truncate(MOST_RECENT);
        Some(found)
    }

    /// Looks through all processes, from where time ran out the last time: who is old is found in the end.
    fn search(&mut self, socket: &str, deadline: Instant) -> Option<Process> {
        let mut pids = newest_first();
        if let Some(stopped) = self.stopped.take() {
            let begin = pids.partition_point(|pid| *pid > stopped);
            pids.rotate_left(begin);
        }
        for pid in pids {
            if Instant::now() >= deadline {
                self.stopped = Some(pid);
                return None;
            }
            if let Some(found) = holder(pid, socket) {
                return Some(found);
            }
        }
        None
    }
}

/// The processes there are, of which the last to start are looked at first: whoever has just connected is mostly young.
fn newest_first() -> Vec<u32> {
    let Ok(entries) = fs::read_dir(PROC) else { return Vec::new() };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable_by(|one, other| other.cmp(one));
    pids.truncate(MOST_PROCESSES);
    pids
}

/// A process, if it holds this socket both before and after its program was looked at: its number may be another's by then.
fn holder(pid: u32, socket: &str) -> Option<Process> {
    let process = Path::new(PROC).join(pid.to_string());
    let descriptors = open(process.join("fd"), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut buffer = [0; LONGEST_TARGET];
    let mut is_it = |name: &CStr| {
        let length = readlinkat_raw(&descriptors, name, &mut buffer);
        length.is_ok_and(|length| buffer.get(..length) == Some(socket.as_bytes()))
    };
    let mut names = Dir::read_from(&descriptors).ok()?.flatten().take(MOST_DESCRIPTORS).map(|entry| entry.file_name().to_owned());
    let name = names.find(|name| is_it(name))?;
    let exe = fs::read_link(process.join("exe")).ok().map(|exe| exe.to_string_lossy().into());
    is_it(&name).then_some(Process { pid, exe })
}

const PROC: &str = "/proc";
/// A decision waits no longer for this.
const PATIENCE: Duration = Duration::from_millis(50);
const LONGEST_SEARCH: Duration = Duration::from_millis(20);
/// The part of the time that is looked in the long run: one in so many.
const SHARE: u32 = 20;
/// What may be looked in one go, as when many connections come at once.
const MOST_CREDIT: Duration = Duration::from_millis(200);
const MOST_WAITING: usize = 64;
const MOST_RECENT: usize = 8;
const MOST_PROCESSES: usize = 4096;
/// Of a link to a socket; longer ones are cut, and lead elsewhere.
const LONGEST_TARGET: usize = 64;
/// Of one process.
const MOST_DESCRIPTORS: usize = 1024;

#[cfg(test)]
mod tests;

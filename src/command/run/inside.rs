//! The processes between us and COMMAND. Each is this program run again, before it has a second thread or a runtime:
//!
//! 1. the *keeper* makes the namespaces, starts the first process in them, and waits for it;
//! 2. the *first process* is pid 1 inside: it raises the walls, hands out the listeners, starts COMMAND and reaps orphans;
//! 3. the *last step* gives up what COMMAND is not to have, and becomes COMMAND.
//!
//! The first two have the channel to us in the place of stdin. They die with us: by a signal of the kernel, and when the channel ends.
//! When the first process ends, the kernel ends everything inside.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    fs::File,
    io::{self, Read, Stdin, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command},
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use nix::sys::signal::{SigSet, SigmaskHow, Signal as NixSignal};
use rustix::{
    process::{
        DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, getpgrp, kill_process_group, set_dumpable_behavior,
        set_parent_process_death_signal, wait,
    },
    termios::tcsetpgrp,
};
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    channel::{receive, send},
};
use crate::confine::{
    Obstacle,
    files::{self, Files},
    namespaces, network, privileges, syscalls,
};

/// What the outside is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The keeper has its namespaces, and waits for ids to be mapped into them.
    Unmapped,
    /// The network is closed; the listeners come with this, in the order of [`network::Bound`].
    Bound,
    /// A wall cannot be had, and why. Nothing comes after this.
    Failed(String),
    /// A signal stopped COMMAND.
    Stopped(i32),
    /// COMMAND has ended, with this exit status as a shell shows it.
    Ended(u8),
}

/// What the inside is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The ids are mapped.
    Mapped,
    /// Raise the other walls and start COMMAND: what is needed for that comes in a file, COMMAND's stdin comes after it, and then the
    /// terminal if there is one.
    Start,
    /// Send this signal to COMMAND's process group.
    Signal(i32),
    /// Give the terminal to COMMAND's process group.
    Foreground,
}

/// What COMMAND is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The program and its arguments; not empty.
    pub(super) command: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Whether it begins in the foreground of the terminal.
    pub(super) foreground: bool,
    /// Behind walls, what is behind them.
    pub(super) files: Option<Surroundings>,
}

/// What COMMAND finds in the file system: see [`Files`]. Paths are texts of the system's, since JSON has no other way to write any path.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Surroundings {
    pub(super) directory: OsString,
    pub(super) runtime: Option<OsString>,
    pub(super) hidden: Vec<OsString>,
    pub(super) fixed: Vec<OsString>,
    /// The certificates to trust, in PEM.
    pub(super) bundle: String,
    /// The same for the JVM, in base64.
    pub(super) key_store: String,
}

impl Surroundings {
    fn into_files(self) -> Result<Files, Failure> {
        let Self { directory, runtime, hidden, fixed, bundle, key_store } = self;
        let own = vec![(KEY_STORE.to_owned(), BASE64_STANDARD.decode(key_store)?)];
        let paths = |texts: Vec<OsString>| texts.into_iter().map(PathBuf::from).collect();
        let (hidden, fixed) = (paths(hidden), paths(fixed));
        Ok(Files { directory: directory.into(), runtime: runtime.map(PathBuf::from), hidden, fixed, bundle: bundle.into(), own })
    }
}

/// One of these processes, by the word that is its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Keeper,
    /// Behind the walls.
    First,
    /// The same without walls, which only starts COMMAND.
    Unconfined,
    Last,
    /// The same without walls.
    LastUnconfined,
}

impl Step {
    const ALL: [Self; 5] = [Self::Keeper, Self::First, Self::Unconfined, Self::Last, Self::LastUnconfined];

    const fn word(self) -> &'static str {
        match self {
            Self::Keeper => "run: keeper",
            Self::First => "run: first process",
            Self::Unconfined => "run: without walls",
            Self::Last => "run: last step",
            Self::LastUnconfined => "run: last step without walls",
        }
    }

    fn of(word: &OsStr) -> Option<Self> {
        Self::ALL.into_iter().find(|step| word == step.word())
    }

    /// This program again, as that process, with nothing of our environment.
    pub(super) fn program(self) -> Command {
        let mut program = Command::new(OURSELVES);
        program.arg0("tidegate").arg(self.word()).env_clear();
        program
    }
}

/// Takes the step that the arguments of this process name, if they do, and says with which status it ended.
pub(in crate::command) fn step(arguments: &[OsString]) -> Option<u8> {
    let (step, rest) = arguments.get(1..)?.split_first()?;
    let step = Step::of(step)?;
    let channel = io::stdin();
    let ended = match step {
        Step::Last | Step::LastUnconfined => return Some(become_command(step, rest)),
        Step::Keeper => keep(&channel),
        Step::First => begin(&channel, Walls::Raised),
        Step::Unconfined => begin(&channel, Walls::None),
    };
    Some(match ended {
        Ok(()) => 0,
        Err(Failure(why)) => {
            // Whoever does not listen any more needs no reason.
            let _ = send(&channel, &Told::Failed(why), &[]);
            OURS
        }
    })
}

/// Makes the namespaces, and everything inside depends on this process from then on.
fn keep(channel: &Stdin) -> Result<(), Failure> {
    close_inherited()?;
    die_with_parent()?;
    namespaces::enter()?;
    send(channel, &Told::Unmapped, &[])?;
    let Some((Order::Mapped, _)) = receive(channel)? else { return Err(Failure("nobody mapped the ids".into())) };
    // The kernel may have forgotten it with the new credentials.
    die_with_parent()?;
    let mut first = Step::First.program().stdin(channel.as_fd().try_clone_to_owned()?).spawn()?;
    first.wait()?;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walls {
    Raised,
    None,
}

/// Raises the walls, starts COMMAND when told to, and does what it is told until the channel ends.
fn begin(channel: &Stdin, walls: Walls) -> Result<(), Failure> {
    die_with_parent()?;
    if walls == Walls::Raised {
        hand_out(channel, &network::close()?)?;
    } else {
        close_inherited()?;
    }
    let Some((order, came)) = receive(channel)? else { return Ok(()) };
    let mut came = came.into_iter();
    let (Order::Start, Some(file), Some(stdin)) = (order, came.next(), came.next()) else {
        return Err(Failure("COMMAND was not started before anything else".into()));
    };
    let terminal = came.next();
    let mut text = Vec::new();
    File::from(file).read_to_end(&mut text)?;
    let mut start: Start = serde_json::from_slice(&text)?;
    if let Some(surroundings) = start.files.take() {
        files::shut(&surroundings.into_files()?)?;
        // Whoever is inside has this user's rights, and nothing to look for in here.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    let command = start_command(start, stdin, walls)?;
    let group = Pid::from_child(&command);
    let telling = channel.as_fd().try_clone_to_owned()?;
    thread::Builder::new().spawn(move || watch(group, &telling))?;
    obey(channel, group, terminal.as_ref())
}

fn hand_out(channel: &Stdin, bound: &network::Bound) -> io::Result<()> {
    let mut listeners = vec![bound.proxy.as_fd(), bound.git.as_fd()];
    listeners.extend(bound.transparent.iter().map(AsFd::as_fd));
    listeners.extend(bound.dns.iter().map(AsFd::as_fd));
    listeners.extend(bound.dns_streams.iter().map(AsFd::as_fd));
    listeners.extend(bound.diagnosis.iter().map(AsFd::as_fd));
    send(channel, &Told::Bound, &listeners)
}

fn start_command(start: Start, stdin: OwnedFd, walls: Walls) -> Result<Child, Failure> {
    let step = if walls == Walls::Raised { Step::Last } else { Step::LastUnconfined };
    let mut command = step.program();
    command.arg(if start.foreground { FOREGROUND } else { BACKGROUND }).args(start.command).envs(start.environment);
    Ok(command.stdin(stdin).process_group(0).spawn()?)
}

/// Reaps whatever ends in here, and tells what becomes of COMMAND until it has ended.
fn watch(command: Pid, channel: &OwnedFd) {
    while let Ok(ended) = wait(WaitOptions::UNTRACED) {
        let told = match ended {
            Some((pid, status)) if pid == command => tell(status),
            Some(_) | None => continue,
        };
        if send(channel, &told, &[]).is_err() || matches!(told, Told::Ended(_)) {
            return;
        }
    }
}

/// What became of COMMAND; how it ended as a shell shows it.
fn tell(status: WaitStatus) -> Told {
    let low = |number: i32| u8::try_from(number).unwrap_or(OURS);
    match (status.stopping_signal(), status.exit_status(), status.terminating_signal()) {
        (Some(signal), _, _) => Told::Stopped(signal),
        (None, Some(code), _) => Told::Ended(low(code)),
        (None, None, Some(signal)) => Told::Ended(low(signal).saturating_add(SIGNALLED)),
        (None, None, None) => Told::Ended(OURS),
    }
}

/// Passes signals on to COMMAND and gives it the terminal, until the channel ends.
fn obey(channel: &Stdin, group: Pid, terminal: Option<&OwnedFd>) -> Result<(), Failure> {
    // Who is not in the foreground asks for it, and is stopped for asking unless this signal is blocked.
    ttou().thread_block()?;
    while let Some((order, _)) = receive(channel)? {
        match order {
            Order::Signal(number) => {
                // A group that is gone needs no signal.
                let _ = Signal::from_named_raw(number).map(|signal| kill_process_group(group, signal));
            }
            Order::Foreground => {
                let _ = terminal.map(|terminal| tcsetpgrp(terminal, group));
            }
            Order::Mapped | Order::Start => return Err(Failure(format!("there is no {order:?} any more"))),
        }
    }
    Ok(())
}

/// Becomes COMMAND; gives back a status where that cannot be.
fn become_command(step: Step, arguments: &[OsString]) -> u8 {
    let Some(([place, program], arguments)) = arguments.split_first_chunk() else { return OURS };
    if place == FOREGROUND {
        // Without a terminal there is no foreground; COMMAND is given it later where this fails.
        let _ = take_foreground();
    }
    if step == Step::Last
        && let Err(obstacle) = give_up_privileges()
    {
        complain(format_args!("{obstacle}"));
        return OURS;
    }
    let error = Command::new(program).args(arguments).exec();
    complain(format_args!("cannot run {}: {error}", program.display()));
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

fn give_up_privileges() -> Result<(), Obstacle> {
    privileges::drop()?;
    syscalls::filter()
}

/// Makes this process's group the foreground of its terminal.
fn take_foreground() -> io::Result<()> {
    let terminal = File::open(TERMINAL)?;
    let before = ttou().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let taken = tcsetpgrp(terminal, getpgrp());
    before.thread_set_mask()?;
    Ok(taken?)
}

fn ttou() -> SigSet {
    let mut set = SigSet::empty();
    set.add(NixSignal::SIGTTOU);
    set
}

/// Has the kernel end this process when the one that started it ends.
fn die_with_parent() -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Closes every descriptor but 0 to 2: the caller's are not COMMAND's.
fn close_inherited() -> io::Result<()> {
    let numbers: Vec<i32> = fs::read_dir(DESCRIPTORS)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The one by which they were listed is gone already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "tidegate: {line}");
}

/// The program that this process runs, wherever its file is by now.
pub(in crate::command) const OURSELVES: &str = "/proc/self/exe";
const DESCRIPTORS: &str = "/proc/self/fd";
const TERMINAL: &str = "/dev/tty";

/// Beside the bundle, as it lies beside it elsewhere.
const KEY_STORE: &str = "ca-bundle.p12";

const FOREGROUND: &str = "foreground";
const BACKGROUND: &str = "background";

/// Statuses as `env(1)` has them.
pub(in crate::command) const OURS: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What a shell adds to the number of the signal that ended a program.
pub(in crate::command) const SIGNALLED: u8 = 128;

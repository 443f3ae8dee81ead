//! `tidegate run`: a command in namespaces of its own, whose only way out is this process.

mod channel;
mod inside;
mod inherited;
mod terminal;
mod room;
mod repositories;
mod settings;
mod scrub;
mod surroundings;
mod signals;
mod summary;

use std::{
    env,
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::{self, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use clap::ValueEnum;
use tokio::{
    net::{TcpListener, UdpSocket},
    runtime::{self, Runtime},
    select,
    sync::mpsc,
    time::timeout,
};

pub(super) use self::{
    channel::{pair, receive, send},
    inside::{OURS, OURSELVES, SIGNALLED, step},
    settings::Settings,
    surroundings::Job,
};
use self::{
    inside::{Start, Told},
    room::{Events, GONE, Room},
    signals::{CONTINUE, Signals},
    surroundings::Bundle,
    terminal::{Next, Terminal, suspend},
};
use super::{ChosenPolicy, Console, LogFormat, session::parse_repository, set_up_log};
use crate::{
    authority::{Authority, AuthorityError, Trusted},
    config::Listen,
    metrics::Door,
    policy::grant::RepositoryGrant,
    server::{Listeners, Order, Server, seal},
    sessions::Refusal,
};

/// Run a command whose only way out is Tidegate
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, override_usage = "tidegate run [OPTIONS] -- COMMAND...")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: ChosenPolicy,
    /// Take all but [listen] from this file of serve
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let it reach these hosts too (repeatable)
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<String>,
    /// Keep it from these hosts (repeatable)
    #[arg(long, value_name = "PATTERN")]
    deny: Vec<String>,
    /// Let it read OWNER/NAME, push BRANCH (repeatable)
    #[arg(long, value_name = "REPO[:BRANCH]", value_parser = parse_repository)]
    repo: Vec<RepositoryGrant>,
    /// Append a record of each decision
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// netns (default), or env: no wall, only variables
    #[arg(long, value_name = "netns|env", default_value = "netns", hide_default_value = true, hide_possible_values = true)]
    isolation: Isolation,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", hide = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Isolation {
    Netns,
    Env,
}

/// Why there is no run, or no more of it.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn run(arguments: &Arguments, log_format: LogFormat, console: &mut Console<'_>) -> u8 {
    match lead(arguments, log_format, console) {
        Ok(status) => status,
        Err(Failure(why)) => {
            console.say(format_args!("tidegate: {why}"));
            OURS
        }
    }
}

/// From the arguments to COMMAND's exit status.
fn lead(arguments: &Arguments, log_format: LogFormat, console: &mut Console<'_>) -> Result<u8, Failure> {
    let isolation = arguments.isolation;
    let hint = |failure| if isolation == Isolation::Netns { without_walls(failure) } else { failure };
    // Before anything is read that is nobody else's to see.
    seal().map_err(|error| Failure(format!("cannot keep other processes out of its memory: {error}")))?;
    if isolation == Isolation::Netns {
        inherited::hold_that_they_end_here()?;
    }
    let sandbox = Sandbox::begin(isolation, console.clock).map_err(hint)?;
    let settings = Settings::read(arguments, console)?;
    set_up_log("error", log_format, console).map_err(Failure)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let doors = sandbox.doors(&runtime).map_err(hint)?;
    if isolation == Isolation::Env {
        console.say(format_args!("tidegate: {NOT_CONFINED}"));
    }
    let caller = console.environment;
    let mut warn = |warning: &str| console.say(format_args!("tidegate: warning: {warning}"));
    let job = Job {
        command: arguments.command.clone(),
        variables: env::vars_os().collect(),
        directory: None,
        // It may hold a password, and so is hidden with what it names.
        hidden: arguments.config.iter().map(path::absolute).collect::<io::Result<_>>()?,
        stdin: io::stdin().as_fd().try_clone_to_owned()?,
        has_terminal: true,
        caller,
        warn: (!arguments.repo.is_empty()).then_some(&mut warn),
    };
    let (status, refusals) = sandbox.run(&runtime, doors, settings, job)?;
    for line in summary::lines(&refusals) {
        console.say(format_args!("tidegate: {line}"));
    }
    status
}

/// Namespaces or none, and the authority that COMMAND is to trust: both on their way.
pub(super) struct Sandbox {
    isolation: Isolation,
    room: Room,
    making: JoinHandle<Result<(Authority, Trusted), AuthorityError>>,
    clock: fn() -> SystemTime,
}

impl Sandbox {
    /// Has to be called by the main thread, which what is inside ends with.
    pub(super) fn begin(isolation: Isolation, clock: fn() -> SystemTime) -> Result<Self, Failure> {
        let room = match isolation {
            Isolation::Netns => Room::confined()?,
            Isolation::Env => Room::unconfined()?,
        };
        let making = thread::spawn(move || {
            let authority = Authority::make(clock())?;
            let trusted = Trusted::beside_the_system(authority.pem());
            Ok((authority, trusted))
        });
        if isolation == Isolation::Netns {
            room.map_ids()?;
        }
        Ok(Self { isolation, room, making, clock })
    }

    /// The doors inside, where nothing else can be reached; without walls some on this machine's loopback, which nobody is led to but by
    /// variables.
    pub(super) fn doors(&self, runtime: &Runtime) -> Result<Listeners, Failure> {
        match self.isolation {
            Isolation::Netns => closed_doors(&self.room, runtime),
            Isolation::Env => open_doors(runtime),
        }
    }

    /// Runs COMMAND to its end: how it ended, and what it was refused.
    pub(super) fn run(
        self,
        runtime: &Runtime,
        doors: Listeners,
        settings: Settings,
        job: Job<'_>,
    ) -> Result<(Result<u8, Failure>, Vec<Refusal>), Failure> {
        let Settings { config, session, token } = settings;
        let (authority, trusted) = self.making.join().map_err(|_| Failure("the certificate authority could not be made".into()))??;
        let (bundle, files) = match self.isolation {
            Isolation::Netns => (Bundle::Inside, Some(surroundings::files(&config, &job, &trusted)?)),
            Isolation::Env => (Bundle::write(&trusted)?, None),
        };
        let environment = surroundings::environment(&config, job.variables, doors.address(Door::Proxy)?, &bundle, &token)?;
        let server = {
            let _context = runtime.enter();
            Server::over(doors, Some(authority), config, self.clock)?
        };
        let session = server.session(&session).ok_or_else(|| Failure("the session is lost".into()))?;
        if let Some(warn) = job.warn {
            runtime.block_on(server.warnings(&session)).iter().for_each(|warning| warn(warning));
        }
        let mut terminal = if job.has_terminal { Terminal::open() } else { None };
        let foreground = terminal.as_mut().is_some_and(Terminal::lend_at_start);
        let start = Start { command: job.command, environment, foreground, files };
        let status = runtime.block_on(conduct(server, self.room, &start, job.stdin, &mut terminal));
        if let Some(terminal) = &mut terminal {
            terminal.take_back();
        }
        Ok((status, session.refusals()))
    }
}

/// The doors inside, where nothing else can be reached.
fn closed_doors(room: &Room, runtime: &Runtime) -> Result<Listeners, Failure> {
    let bound = room.listeners()?;
    let _context = runtime.enter();
    let mut listeners = Listeners { elsewhere: true, diagnosis: bound.diagnosis, ..Listeners::default() };
    let transparent = bound.transparent.into_iter().map(|listener| (Door::Transparent, listener));
    let dns = bound.dns_streams.into_iter().map(|listener| (Door::Dns, listener));
    for (door, listener) in [(Door::Proxy, bound.proxy), (Door::Git, bound.git)].into_iter().chain(transparent).chain(dns) {
        listeners.streams.push((door, TcpListener::from_std(listener)?));
    }
    for socket in bound.dns {
        listeners.datagrams.push(UdpSocket::from_std(socket)?);
    }
    Ok(listeners)
}

/// Doors on this machine's loopback, which nobody is led to but by variables.
fn open_doors(runtime: &Runtime) -> Result<Listeners, Failure> {
    let _context = runtime.enter();
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    Ok(Listeners::bind(&Listen { proxy: any, git: any, ..Listen::default() })?)
}

/// What stands in the way of a wall, and what can be had without any.
fn without_walls(Failure(why): Failure) -> Failure {
    Failure(format!("{why}\n{WITHOUT_WALLS}"))
}

/// Has COMMAND started, serves it, passes on what it is sent, and ends with it.
async fn conduct(server: Server, room: Room, start: &Start, stdin: OwnedFd, terminal: &mut Option<Terminal>) -> Result<u8, Failure> {
    let mut signals = Signals::new()?;
    let (orders, received) = mpsc::channel(1);
    let serving = tokio::spawn(server.run(received));
    let mut events = tell(room.start(start, stdin.as_fd(), terminal.as_ref())?);
    // It is COMMAND's alone, so that its other end learns when COMMAND is gone.
    drop(stdin);
    let ended = loop {
        select! {
            signal = signals.next() => room.signal(signal),
            told = events.recv() => match told {
                Some(Told::Stopped(signal)) => {
                    if resume(terminal.as_mut(), signal) == Next::Foreground {
                        room.foreground();
                    }
                    room.signal(CONTINUE);
                }
                Some(Told::Ended(status)) => break Ok(status),
                Some(Told::Failed(why)) => break Err(Failure(why)),
                Some(Told::Unmapped | Told::Bound) | None => break Err(Failure(GONE.into())),
            },
        }
    };
    // What COMMAND left running ends with this, and with that the connections.
    drop(room);
    let _ = orders.send(Order::Drain).await;
    let _ = timeout(LEAVE, serving).await;
    ended
}

/// Stops with COMMAND, as whoever waits for us expects, and says how it goes on.
fn resume(terminal: Option<&mut Terminal>, signal: i32) -> Next {
    if let Some(terminal) = terminal {
        return terminal.stopped(signal);
    }
    suspend();
    Next::Background
}

/// What is told, by a thread that waits for it.
fn tell(events: Events) -> mpsc::Receiver<Told> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        while let Some(told) = events.next() {
            if sender.blocking_send(told).is_err() {
                return;
            }
        }
    });
    receiver
}

const WITHOUT_WALLS: &str = "tidegate: --isolation env runs it all the same, without any wall: then only variables lead it here";

const NOT_CONFINED: &str =
    "WARNING: --isolation env confines NOTHING: variables lead COMMAND here, and whatever does not follow them goes anywhere";

/// How long what is under way may take to end once COMMAND is gone.
const LEAVE: Duration = Duration::from_secs(2);

const AFTER_HELP: &str = "\
Exit status: COMMAND's; 125 it was not run, 126 and 127 as of env

Example:
  tidegate run --allow api.example.com -- npm test";

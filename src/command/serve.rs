//! `tidegate serve`: from the configuration to a running server, and from signals and changed files to its orders.

mod watch;

use std::{
    io,
    path::{Path, PathBuf},
};

use sd_notify::NotifyState;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use self::watch::{Remembering, Watched};
use super::{Console, DONE, LogFormat, REFUSED, report, set_up_log};
use crate::{
    config::{Config, Environment},
    files::Stamps,
    policy::Problem,
    server::{Order, Server, seal},
};

/// Run the proxy
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments, log_format: LogFormat, console: &mut Console<'_>) -> u8 {
    // Before anything is read that is nobody else's to see.
    if let Err(error) = seal() {
        console.say(format_args!("tidegate: cannot keep other processes out of its memory: {error}"));
        return REFUSED;
    }
    let (config, files) = load(&arguments.config, console.environment);
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            show(&problems, console);
            console.say(format_args!("tidegate: {} cannot be used: {}", arguments.config.display(), report::count(&problems)));
            return REFUSED;
        }
    };
    show(&config.warnings, console);
    let started = set_up_log("info", log_format, console).and_then(|()| {
        let (sessions, roots, state) = (config.sessions.len(), config.upstream_roots.len(), config.state.as_deref());
        tracing::debug!(sessions, roots, ?state, "configuration read");
        let runtime =
            runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| format!("cannot start threads: {error}"))?;
        runtime.block_on(serve(config, files, arguments, console))
    });
    match started {
        Ok(()) => DONE,
        Err(error) => {
            console.say(format_args!("tidegate: {error}"));
            REFUSED
        }
    }
}

/// The configuration, and of which files it is made.
fn load(path: &Path, environment: &dyn Environment) -> (Result<Config, Vec<Problem>>, Stamps) {
    let environment = Remembering::new(environment);
    let config = Config::load(path, &environment);
    (config, environment.into_files())
}

async fn serve(config: Config, files: Stamps, arguments: &Arguments, console: &mut Console<'_>) -> Result<(), String> {
    // Before anything listens, so that no signal finds its default action, which is to die.
    let signals = Signals::new().map_err(|error| format!("cannot receive signals: {error}"))?;
    let server = Server::bind(config, console.clock).map_err(|error| error.to_string())?;
    for (name, address) in server.addresses() {
        console.say(format_args!("listening {name} {address}"));
    }
    console.say(format_args!("ready"));
    notify(&[NotifyState::Ready]);
    let (orders, received) = mpsc::channel(ORDERS);
    let of_sessions = server.files_of_sessions();
    let watched = Watched::new(files, &of_sessions);
    tokio::select! {
        () = server.run(received) => {}
        () = give_orders(signals, watched, &orders, || load(&arguments.config, console.environment)) => {}
    }
    Ok(())
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let [hangup, terminate, interrupt] = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { hangup: hangup?, terminate: terminate?, interrupt: interrupt? })
    }
}

/// Turns signals and changed files into orders, until nobody takes them any more.
async fn give_orders(
    mut signals: Signals,
    mut watched: Watched<'_>,
    orders: &mpsc::Sender<Order>,
    load: impl Fn() -> (Result<Config, Vec<Problem>>, Stamps),
) {
    let mut draining = false;
    loop {
        let order = tokio::select! {
            _ = signals.hangup.recv() => reload(watched.renew(&load)),
            () = watched.change() => reload(watched.renew(&load)),
            _ = signals.terminate.recv() => end(&mut draining),
            _ = signals.interrupt.recv() => end(&mut draining),
        };
        if orders.send(order).await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn reload(config: Result<Config, Vec<Problem>>) -> Order {
    let (order, problems) = match config {
        Ok(mut config) => {
            let warnings = std::mem::take(&mut config.warnings);
            (Order::Reload(Box::new(config)), warnings)
        }
        Err(problems) => (Order::KeepOld, problems),
    };
    for problem in &problems {
        // A line of the log for each, though its help stands on a line of its own elsewhere.
        tracing::warn!("{}", problem.to_string().replace('\n', ";"));
    }
    if matches!(order, Order::KeepOld) {
        tracing::error!("the new configuration cannot be used, the old one stays in force");
    }
    order
}

/// The first request to end lets things finish, the second does not.
fn end(draining: &mut bool) -> Order {
    notify(&[NotifyState::Stopping]);
    if std::mem::replace(draining, true) { Order::Stop } else { Order::Drain }
}

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be notified");
    }
}

fn show(problems: &[Problem], console: &mut Console<'_>) {
    let _ = write!(console.err, "{}", report::render(problems, console.err_colour));
}

const AFTER_HELP: &str = "\
Signals:
  HUP   reads policies and sessions again; what they now refuse ends
  TERM  drains, and INT as well; a second one stops

Files that change are read again by themselves, a second after the last
change; where they cannot be used, what was in force stays in force.

Exit status: 0 it ended as told, 1 it could not start

Example:
  tidegate serve --config tidegate.toml";

/// Orders that may wait to be taken.
const ORDERS: usize = 4;

//! The command line: arguments in, results on stdout, everything else on stderr, an exit code out.

mod report;
mod stage;
mod push;
mod api;
mod check;
mod policy;
mod serve;
mod ca;
mod env;
mod session;
mod credential;
mod doctor;
mod netns;
mod run;
mod demo;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use self::report::{Colour, render};
use crate::{
    config::{Environment, Process},
    credentials::read_list,
    policy::{Access, Policy, Problems, Source},
};

/// What a command sees of the world: where it writes, what it may read, what time it is.
pub struct Console<'c> {
    out: &'c mut dyn Write,
    err: &'c mut dyn Write,
    out_colour: Colour,
    err_colour: Colour,
    environment: &'c dyn Environment,
    clock: fn() -> SystemTime,
}

/// Runs one command line, the program's name first, in this process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(status) = run::step(&arguments).or_else(|| demo::step(&arguments)) {
        return ExitCode::from(status);
    }
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let (out_colour, err_colour) = (Colour::on(out.is_terminal(), &Process), Colour::on(err.is_terminal(), &Process));
    let mut console = Console { out: &mut out, err: &mut err, out_colour, err_colour, environment: &Process, clock: now };
    ExitCode::from(run(arguments, &mut console))
}

fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let runs = arguments.get(1).is_some_and(|command| command == "run");
    let ended = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.run(arguments.log_format, console),
        // Any other status would be taken for COMMAND's.
        Err(usage) if runs && usage.use_stderr() => console.show_usage(&usage).map(|_| run::OURS),
        Err(usage) => console.show_usage(&usage),
    };
    match ended.and_then(|code| console.out.flush().map(|()| code)) {
        Ok(code) => code,
        // Whoever read our results has seen enough: no reason to say anything.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => BROKEN_PIPE,
        Err(error) => {
            console.say(format_args!("tidegate: cannot write the results: {error}"));
            FAILED
        }
    }
}

/// The only way out of a sandbox: an egress gate for code agents
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
struct Arguments {
    /// How its own log is written
    #[arg(long, global = true, value_name = "text|json", default_value = "text", hide_possible_values = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Serve(serve::Arguments),
    /// Say whether something would be let out, and why
    #[command(subcommand, after_help = check::AFTER_HELP)]
    Check(check::Check),
    /// Lint a policy, show what it comes to, or learn one from an audit
    #[command(subcommand, after_help = policy::AFTER_HELP)]
    Policy(policy::Command),
    /// Manage the sessions of a running proxy
    #[command(subcommand, after_help = session::AFTER_HELP)]
    Session(session::Command),
    /// Find the certificate authority that sandboxes are to trust
    #[command(subcommand, after_help = ca::AFTER_HELP)]
    Ca(ca::Command),
    Env(env::Arguments),
    // Git runs it, and no person.
    #[command(hide = true)]
    Credential(credential::Arguments),
    Doctor(doctor::Arguments),
    /// Lead a network namespace that is shared with a sandbox to the proxy
    #[command(subcommand, after_help = netns::AFTER_HELP)]
    Netns(netns::Command),
    Demo(demo::Arguments),
}

impl Command {
    /// Runs the command; fails only where its results cannot be written.
    fn run(self, log_format: LogFormat, console: &mut Console<'_>) -> io::Result<u8> {
        match self {
            Self::Run(arguments) => Ok(run::run(&arguments, log_format, console)),
            Self::Serve(arguments) => Ok(serve::run(&arguments, log_format, console)),
            Self::Check(check) => check.run(console),
            Self::Policy(policy::Command::Lint(arguments)) => policy::lint(&arguments, console),
            Self::Policy(policy::Command::Show(arguments)) => policy::show(&arguments, console),
            Self::Policy(policy::Command::Suggest(arguments)) => policy::suggest(&arguments, console),
            Self::Policy(policy::Command::Diff(arguments)) => policy::diff(&arguments, console),
            Self::Session(command) => session::run(&command, console),
            Self::Ca(ca::Command::Show(arguments)) => ca::show(&arguments, console),
            Self::Env(arguments) => env::run(&arguments, console),
            Self::Credential(arguments) => credential::run(&arguments, console),
            Self::Doctor(arguments) => doctor::run(&arguments, console),
            Self::Netns(command) => netns::run(&command, console),
            Self::Demo(demo::Arguments {}) => demo::run(console),
        }
    }
}

/// Which policy a command judges by.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct ChosenPolicy {
    /// Judge by this policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Or by none, trusted (default), custom or full
    #[arg(long, value_name = "LEVEL", value_parser = parse_access)]
    access: Option<Access>,
}

impl ChosenPolicy {
    /// The policy; `None`, once it was said why, where there is none to use.
    fn load(&self, console: &mut Console<'_>) -> Option<Policy> {
        let Some(path) = &self.policy else { return Some(Policy::level(self.access.unwrap_or(Access::Trusted))) };
        console.policy(path)
    }
}

/// A policy with the lists that it denies.
fn with_lists(mut policy: Policy, path: &Path, text: &str, console: &mut Console<'_>) -> Option<Policy> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let environment = console.environment;
    let read = |name: &str| read_list(directory, name, &|path| environment.file(path));
    let Err(found) = policy.read_blocklists(read) else { return Some(policy) };
    let mut problems = Problems::new(Arc::new(Source::new(&path.display().to_string(), text)));
    for (place, message) in found {
        problems.error(place, message, None);
    }
    let report = render(&problems.into_vec(), console.err_colour);
    console.say(format_args!("{}", report.trim_end()));
    None
}

impl Console<'_> {
    /// A line on stderr. That nobody reads it is no reason to end.
    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.err, "{line}");
    }

    /// A text file; `None`, once it was said why, where it cannot be read.
    fn read(&mut self, path: &Path) -> Option<String> {
        let shown = path.display();
        match self.environment.file(path).map(String::from_utf8) {
            Ok(Ok(text)) => return Some(text),
            Ok(Err(_)) => self.say(format_args!("tidegate: cannot read {shown}: it is not UTF-8")),
            Err(error) => self.say(format_args!("tidegate: cannot read {shown}: {error}")),
        }
        None
    }

    /// The policy of a file; `None`, once it was said why, where there is none to use.
    fn policy(&mut self, path: &Path) -> Option<Policy> {
        let text = self.read(path)?;
        match Policy::parse(&path.display().to_string(), &text) {
            Ok((policy, _)) => with_lists(policy, path, &text, self),
            Err(problems) => {
                let report = render(&problems, self.err_colour);
                self.say(format_args!("{}", report.trim_end()));
                None
            }
        }
    }

    fn show_usage(&mut self, usage: &clap::Error) -> io::Result<u8> {
        let (to, colour): (&mut dyn Write, _) =
            if usage.use_stderr() { (&mut *self.err, self.err_colour) } else { (&mut *self.out, self.out_colour) };
        match colour {
            Colour::Plain => write!(to, "{}", usage.render())?,
            Colour::Terminal => write!(to, "{}", usage.render().ansi())?,
        }
        Ok(u8::try_from(usage.exit_code()).unwrap_or(FAILED))
    }
}

fn parse_access(word: &str) -> Result<Access, String> {
    let words = || Access::ALL.iter().map(|access| access.as_str()).collect::<Vec<_>>().join(", ");
    Access::parse(word).ok_or_else(|| format!("the levels are {}", words()))
}

/// Has this process write its own log, at the level `unless_told` where the environment says nothing.
fn set_up_log(unless_told: &str, format: LogFormat, console: &Console<'_>) -> Result<(), String> {
    let filter = console.environment.variable("TIDEGATE_LOG").unwrap_or_else(|| unless_told.into());
    let filter = filter.to_str().ok_or("TIDEGATE_LOG is not UTF-8")?;
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("TIDEGATE_LOG is no filter: {filter:?}: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(console.err_colour == Colour::Terminal);
    let set = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    set.map_err(|error| format!("cannot set up the log: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "the roof is where the clock is read, once, to be passed down")]
fn now() -> SystemTime {
    SystemTime::now()
}

const AFTER_HELP: &str = "\
TIDEGATE_LOG is the level or filter of its own log [info], NO_COLOR says none.
Example:
  tidegate check url --access trusted https://github.com/";

/// Done, and the answer is yes.
const DONE: u8 = 0;
/// Done, and the answer is no.
const REFUSED: u8 = 1;
/// Not done: wrong arguments, or a file that cannot be used.
const FAILED: u8 = 2;
/// What a shell reports of a program that a closed pipe ended: 128 and SIGPIPE.
const BROKEN_PIPE: u8 = 141;

#[cfg(test)]
mod tests;

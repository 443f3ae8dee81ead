//! `tidegate netns`: a network namespace that a proxy shares with a sandbox, from which nothing leaves but by the proxy.

use std::{io, net::SocketAddr, path::PathBuf};

use serde_json::json;

use super::{Console, DONE, FAILED, REFUSED, report};
use crate::{
    config::{Admin, Config, Listen},
    confine::{
        namespaces,
        network::{self, Complete, Ports, Shared},
        occupants::{Occupant, Standing, occupants},
    },
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Setup(SetupArguments),
    Check(CheckArguments),
    Clear(ClearArguments),
}

/// What the namespace is to be led by.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// The proxy's configuration, for its [listen]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The user that the proxy runs as
    #[arg(long, value_name = "UID")]
    exempt_uid: u32,
}

/// Lead this network namespace to the proxy that will listen in it
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_SETUP)]
pub(super) struct SetupArguments {
    #[command(flatten)]
    chosen: Chosen,
}

/// Say whether the wall stands, by what the kernel has
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_CHECK)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Print one JSON object a line for each finding
    #[arg(long)]
    json: bool,
}

/// Take away what setup made
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_CLEAR)]
pub(super) struct ClearArguments {}

pub(super) fn run(command: &Command, console: &mut Console<'_>) -> io::Result<u8> {
    match command {
        Command::Setup(SetupArguments { chosen }) => set_up(chosen, console),
        Command::Check(arguments) => check(arguments, console),
        Command::Clear(ClearArguments {}) => Ok(match network::clear() {
            Ok(()) => DONE,
            Err(obstacle) => console.failed(obstacle),
        }),
    }
}

impl Chosen {
    /// What is wanted; `None`, once it was said why, where it cannot be.
    fn load(&self, console: &mut Console<'_>) -> Option<Shared> {
        let listen = match Config::listeners(&self.config, console.environment) {
            Ok(listen) => listen,
            Err(problems) => {
                console.say(format_args!("{}", report::render(&problems, console.err_colour).trim_end()));
                return None;
            }
        };
        match shared(&listen, self.exempt_uid).and_then(|shared| self.hold_that_user_is_known().map(|()| shared)) {
            Ok(shared) => Some(shared),
            Err(why) => {
                console.say(format_args!("tidegate: {}: {why}", self.config.display()));
                None
            }
        }
    }

    /// To rules, every user that a user namespace has no number for is the same one.
    fn hold_that_user_is_known(&self) -> Result<(), String> {
        let user = self.exempt_uid;
        match namespaces::has_user(user) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("--exempt-uid {user}: this user namespace has no such user: choose one of /proc/self/uid_map")),
            Err(error) => Err(format!("--exempt-uid {user}: cannot read /proc/self/uid_map: {error}")),
        }
    }
}

/// What listeners and a user come to, or why they make no wall.
fn shared(listen: &Listen, exempt: u32) -> Result<Shared, String> {
    if exempt == 0 {
        return Err("--exempt-uid 0: whatever runs as root would be let through: let the proxy run as a user of its own".into());
    }
    let ports = Ports {
        transparent: port("transparent", &listen.transparent, "\"127.0.0.1:3130\"")?,
        dns: port("dns", &listen.dns, "\"127.0.0.1:5353\"")?,
    };
    let admin = match &listen.admin {
        Some(Admin::Tcp { address, .. }) => Some(("admin", *address)),
        Some(Admin::Unix(_)) | None => None,
    };
    let closed = admin.into_iter().chain(listen.metrics.map(|address| ("metrics", address)));
    let closed = closed.map(|(name, address)| known_port(name, address)).collect::<Result<_, _>>()?;
    Ok(Shared { ports, closed, exempt })
}

/// The port of a door to which this namespace's own traffic can be led.
fn port(name: &str, addresses: &[SocketAddr], example: &str) -> Result<u16, String> {
    let Some(first) = addresses.first() else {
        return Err(format!("[listen] has no \"{name}\", so there is nothing to lead the sandbox to: write {name} = {example}"));
    };
    for address in addresses {
        let ip = address.ip();
        if ip != network::V4 && ip != network::V6 && !(ip.is_unspecified() && name != "dns") {
            return Err(format!(
                "{name} {address} is not where the kernel leads to: bind 127.0.0.1, ::1, or both: {name} = [{example}, …]"
            ));
        }
        if address.port() != first.port() {
            return Err(format!("{name} {first} and {address} have two ports, and the kernel leads to one: write the same for both"));
        }
    }
    known_port(name, *first)
}

fn known_port(name: &str, address: SocketAddr) -> Result<u16, String> {
    match address.port() {
        0 => Err(format!("{name} {address} has a port that is not known before the proxy listens: write one that is free")),
        port => Ok(port),
    }
}

fn set_up(chosen: &Chosen, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(shared) = chosen.load(console) else { return Ok(FAILED) };
    let Shared { ports: Ports { transparent, dns }, exempt, .. } = shared;
    match network::set_up(&shared) {
        Ok(complete) => {
            writeln!(console.out, "TCP of all but user {exempt} is led to port {transparent}, names to port {dns}; nothing else leaves")?;
            let Complete::NotBelowIp(obstacle) = complete else { return Ok(DONE) };
            console.say(format_args!(
                "tidegate: the wall is incomplete: {obstacle}\nWhoever holds CAP_NET_RAW here sends what he likes. Give it to nobody."
            ));
            Ok(REFUSED)
        }
        Err(obstacle) => Ok(console.failed(obstacle)),
    }
}

/// One thing that makes the wall one, or does not.
struct Finding {
    about: &'static str,
    pid: Option<u32>,
    holds: bool,
    detail: String,
}

fn check(CheckArguments { chosen, json }: &CheckArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(shared) = chosen.load(console) else { return Ok(FAILED) };
    let found = match network::differences(&shared) {
        Ok(found) => found,
        Err(obstacle) => return Ok(console.failed(obstacle)),
    };
    let processes = match occupants(shared.exempt) {
        Ok(processes) => processes,
        Err(error) => return Ok(console.failed(format_args!("cannot read /proc: {error}"))),
    };
    let mut findings = of_rules(&shared, found);
    findings.extend(processes.iter().map(of_process));
    for Finding { about, pid, holds, detail } in &findings {
        if *json {
            writeln!(console.out, "{}", json!({ "finding": about, "pid": pid, "holds": holds, "detail": detail }))?;
        } else {
            writeln!(console.out, "{:8}{about}: {detail}", if *holds { "holds" } else { "FAILS" })?;
        }
    }
    if !json {
        console.say(format_args!("note: processes of other PID namespaces, such as other containers', are not seen from here"));
    }
    Ok(if findings.iter().all(|finding| finding.holds) { DONE } else { REFUSED })
}

fn of_rules(shared: &Shared, found: [Vec<String>; 2]) -> Vec<Finding> {
    let Shared { ports: Ports { transparent, dns }, exempt, .. } = shared;
    let stands = [
        format!("TCP of all but user {exempt} is led to port {transparent}, names to port {dns}, the rest is refused"),
        format!("no interface lets out a packet that is not user {exempt}'s, AF_PACKET's included"),
    ];
    let mut findings = Vec::new();
    for ((about, differences), stands) in ["redirection", "interfaces"].into_iter().zip(found).zip(stands) {
        let finding = |holds, detail| Finding { about, pid: None, holds, detail };
        if differences.is_empty() {
            findings.push(finding(true, stands));
        }
        findings.extend(differences.into_iter().map(|difference| finding(false, difference)));
    }
    findings
}

fn of_process(Occupant { pid, name, standing }: &Occupant) -> Finding {
    let (holds, what) = match standing {
        Standing::Exempt => (true, "runs as the exempt user: what it sends goes where it sends it".to_owned()),
        Standing::Held => (true, "is held".to_owned()),
        Standing::Able(means) => (false, means.join("; ")),
        Standing::Unseen => (false, "shows its network to nobody without CAP_SYS_PTRACE: check as root".to_owned()),
    };
    Finding { about: "process", pid: Some(*pid), holds, detail: format!("{pid} ({}) {what}", name.escape_debug()) }
}

impl Console<'_> {
    /// Says what stood in the way.
    fn failed(&mut self, why: impl std::fmt::Display) -> u8 {
        self.say(format_args!("tidegate: {why}"));
        FAILED
    }
}

pub(super) const AFTER_HELP: &str = "\
It takes CAP_NET_ADMIN. docs/sidecar.md says when this is a wall.

Example:
  tidegate netns setup --config tidegate.toml --exempt-uid 1337";

const AFTER_HELP_SETUP: &str = "\
TCP and names of every other user go to the ports of \"transparent\" and \"dns\",
and nothing else leaves. It may be called again, and leaves no process behind.

Exit status: 0 it stands, 1 it stands but for packets sent below IP,
2 nothing was changed

Example:
  tidegate netns setup --config tidegate.toml --exempt-uid 1337";

const AFTER_HELP_CHECK: &str = "\
The rules are compared with what setup would make, and every process that is
seen in this network namespace is looked at for means to get around them.

Exit status: 0 the wall stands, 1 it does not, 2 it cannot be told

Example:
  tidegate netns check --config tidegate.toml --exempt-uid 1337";

const AFTER_HELP_CLEAR: &str = "\
Exit status: 0 nothing of it is left, 2 it cannot be taken away

Example:
  tidegate netns clear";

#[cfg(test)]
mod tests;

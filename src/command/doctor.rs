//! `tidegate doctor`: what reaches a sandbox, which of its clients are told wrong, and whether its wall stands. An ordinary client: it knows
//! nothing that any code in there could not find out.

mod settings;
mod facts;
mod ask;
mod gather;
mod judge;
mod report;

use std::{io, net::SocketAddr};

use self::{
    gather::gather,
    judge::{Level, judge},
};
use super::{Console, DONE, REFUSED};

/// Say what reaches this sandbox, and what is wrong in it
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
    /// Try one that answers outside (repeatable)
    #[arg(long, value_name = "ADDRESS:PORT")]
    outside: Vec<SocketAddr>,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    let facts = gather(&arguments.outside, console);
    let findings = judge(&facts);
    let is_well = findings.iter().all(|finding| finding.level == Level::Note);
    if arguments.json {
        writeln!(console.out, "{:#}", report::as_json(&facts, &findings, is_well))?;
    } else {
        report::write(&facts, &findings, console.out)?;
    }
    Ok(if is_well { DONE } else { REFUSED })
}

const AFTER_HELP: &str = "\
It asks as any program in here could. To see whether there is a wall it sends a
question, two connections and a datagram to addresses of nobody (192.0.2.1,
2001:db8::1), and a question to each name server.

Exit status: 0 all well, 1 something is wrong, 2 it could not be said

Example:
  tidegate doctor";

#[cfg(test)]
mod tests;

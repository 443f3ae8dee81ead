//! `tidegate ca`: the certificate authority by which intercepted hosts are served.

use std::{io, path::PathBuf};

use super::{Console, DONE, FAILED, report};
use crate::{
    authority::Authority,
    config::{Config, default_state},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Show(ShowArguments),
}

/// Print the path of the bundle that sandboxes are to trust
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_SHOW)]
pub(super) struct ShowArguments {
    /// The proxy's configuration, if any
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn show(arguments: &ShowArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let state = match &arguments.config {
        None => default_state(console.environment),
        Some(path) => match Config::load(path, console.environment) {
            Ok(config) => config.state,
            Err(problems) => {
                console.say(format_args!("{}", report::render(&problems, console.err_colour).trim_end()));
                return Ok(FAILED);
            }
        },
    };
    let Some(state) = state else {
        console.say(format_args!("tidegate: there is no place for an authority: name one by [state] dir"));
        return Ok(FAILED);
    };
    if let Err(error) = Authority::open(&state, (console.clock)()) {
        console.say(format_args!("tidegate: {error}"));
        return Ok(FAILED);
    }
    writeln!(console.out, "{}", Authority::bundle(&state).display())?;
    Ok(DONE)
}

pub(super) const AFTER_HELP: &str = "\
Example:
  tidegate ca show --config tidegate.toml";

const AFTER_HELP_SHOW: &str = "\
The bundle holds the authority and the system's roots, for clients take one file
for all. What is missing is made: run this as the user of the proxy.

Exit status: 0 it is there, 2 it cannot be used

Example:
  tidegate ca show --config tidegate.toml";

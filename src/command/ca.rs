//! `tidegate ca`: the certificate authority by which intercepted hosts are served.

use std::{
    io,
    path::{Path, PathBuf},
};

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
        Some(path) => match Config::outside(path, console.environment) {
            Ok(outside) => outside.state,
            Err(problems) => {
                console.say(format_args!("{}", report::render(&problems, console.err_colour).trim_end()));
                return Ok(FAILED);
            }
        },
    };
    match open(state.as_deref(), console) {
        Ok(bundle) => writeln!(console.out, "{}", bundle.display()).map(|()| DONE),
        Err(why) => {
            console.say(format_args!("{why}"));
            Ok(FAILED)
        }
    }
}

/// The bundle of the authority that is kept in `state`, which is made where there is none; or why there is none, in words.
pub(super) fn open(state: Option<&Path>, console: &Console<'_>) -> Result<PathBuf, String> {
    let state = state.ok_or("tidegate: there is no place for an authority: name one by [state] dir")?;
    Authority::open(state, (console.clock)()).map_err(|error| format!("tidegate: {error}"))?;
    Ok(Authority::bundle(state))
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

//! `tidegate credential`: a credential helper of git's, which gives a session's token to the doors of the proxy and to nobody else.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use super::{
    Console, DONE, FAILED,
    env::{self, variables::Proxy},
};
use crate::{
    destination::{Destination, Host},
    secret::Secret,
    wire::git_credential::{self, MAX_ASKED, Wanted},
};

/// Give git a session's token, for the doors of the proxy alone
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Where the token is, else in the proxy's URL
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A door beside that proxy, such as the git door
    #[arg(long = "door", value_name = "URL", value_parser = env::parse_proxy)]
    doors: Vec<Proxy>,
    /// Or all of this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What git wants: get; to store and erase means nothing
    operation: String,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    // Whoever asks for what is not known here is to get nothing (gitcredentials(7)).
    if arguments.operation != "get" {
        return Ok(DONE);
    }
    let mut asked = Vec::new();
    io::stdin().lock().take(MAX_ASKED as u64 + 1).read_to_end(&mut asked)?;
    match answer(arguments, &asked, console) {
        Ok(None) => Ok(DONE),
        Ok(Some(token)) => {
            console.out.write_all(&[b"username=tidegate\npassword=", token.expose(), b"\n"].concat())?;
            Ok(DONE)
        }
        Err(why) => {
            console.say(format_args!("tidegate: {why}"));
            Ok(FAILED)
        }
    }
}

/// The token, if it is one of the doors that asks for it; they speak plain HTTP.
fn answer(arguments: &Arguments, asked: &[u8], console: &Console<'_>) -> Result<Option<Secret>, String> {
    let wanted = git_credential::parse(asked).map_err(|error| format!("what git asks for is not known: {error}"))?;
    let Some(Wanted { secure: false, destination }) = wanted else { return Ok(None) };
    let proxy = env::told_proxy(console);
    let mut doors: Vec<_> = arguments.doors.iter().chain(&proxy).map(|door| door.at.clone()).collect();
    if let Some(path) = &arguments.config {
        let outside = env::outside(path, console)?;
        let at = [outside.proxy, outside.git].into_iter().flatten();
        doors.extend(at.map(|at| Destination { host: Host::Ip(at.ip()), port: at.port() }));
    }
    if !doors.contains(&destination) {
        return Ok(None);
    }
    match (&arguments.token_file, proxy) {
        (Some(path), _) => env::read_token(path, console).map(Some),
        (None, Some(proxy)) => Ok(proxy.token()),
        (None, None) => Err("which token? name its file by --token-file FILE".to_owned()),
    }
}

const AFTER_HELP: &str = "\
Exit status: 0 done, 2 the token cannot be read

git config --global credential.http://127.0.0.1:3129.helper \"!tidegate …\"

Example:
  tidegate credential --door http://127.0.0.1:3129 --token-file s1.token get";

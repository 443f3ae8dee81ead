//! What somebody pastes who has a token, so that the programs of a sandbox use it. The token itself is not shown: what is said here may end in
//! a log.

use std::path::{self, Path};

use super::Console;
use crate::{command::env, config::Outside};

/// Says how the token of a session, once it is in a file, is used.
pub(super) fn say(config: Option<&Path>, session: &str, console: &mut Console<'_>) {
    let file = format!("{session}.token");
    let told = config.and_then(|config| Some((path::absolute(config).ok()?, env::outside(config, console).ok()?)));
    console.say(format_args!("to set up a sandbox, with the token in {file} (mode 600):"));
    match &told {
        Some((config, _)) => {
            console.say(format_args!("  eval \"$(tidegate env --config {} --token-file {file})\"", quoted(&config.display().to_string())));
        }
        None => console.say(format_args!("  eval \"$(tidegate env --proxy http://HOST:PORT --ca FILE --token-file {file})\"")),
    }
    if let Some((_, Outside { git: Some(door), .. })) = told
        && door.port() > 0
        && !door.ip().is_unspecified()
    {
        console.say(format_args!(
            "  git config --global credential.http://{door}.helper \"!tidegate credential --door http://{door} --token-file $PWD/{file}\""
        ));
    }
}

/// A word of a POSIX shell's.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

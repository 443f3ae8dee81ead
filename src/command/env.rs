//! `tidegate env`: the variables by which clients find their way through a gate.

pub(super) mod variables;
mod formats;

use std::{
    fs, io,
    path::{self, Path, PathBuf},
};

use zeroize::Zeroizing;

use self::{
    formats::Format,
    variables::{Gate, Proxy},
};
use super::{Console, DONE, FAILED, ca, report};
use crate::{
    config::{Config, Outside},
    credentials::{FORM, read_line},
    destination::{Destination, Host},
    files,
    secret::Secret,
};

/// Print the variables that clients need
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// sh, fish, json, docker or github
    #[arg(long, value_name = "FORMAT", default_value = "sh", hide_possible_values = true)]
    format: Format,
    /// The configuration of the proxy
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients reach the proxy
    #[arg(long, value_name = "URL", value_parser = parse_proxy)]
    proxy: Option<Proxy>,
    /// Where clients find its CA bundle
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A session's token, if it asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    match tell(arguments, console) {
        Ok(told) => console.out.write_all(&told).map(|()| DONE),
        Err(why) => {
            console.say(format_args!("{why}"));
            Ok(FAILED)
        }
    }
}

/// What is printed, or why nothing can be.
fn tell(arguments: &Arguments, console: &mut Console<'_>) -> Result<Vec<u8>, String> {
    let outside = match &arguments.config {
        None => None,
        Some(path) => Some(outside(path, console)?),
    };
    let token = match &arguments.token_file {
        None => None,
        Some(path) => Some(read_token(path, console)?),
    };
    let mut proxy = arguments.proxy(outside.as_ref(), console).map_err(|why| format!("tidegate: {why}"))?;
    match &token {
        Some(token) => proxy = proxy.showing(token),
        None if outside.as_ref().is_some_and(|outside| outside.asks) => return Err(format!("tidegate: {TOKEN_MISSING}")),
        None => {}
    }
    let bundle = arguments.bundle(outside.as_ref(), console)?;
    let key_store = bundle.with_extension("p12");
    let has_key_store = key_store.exists();
    if !has_key_store {
        console.say(format_args!("tidegate: there is no {}: programs in Java are not told whom to trust", key_store.display()));
    }
    // Beside a bundle of ours and nobody else's.
    let wgetrc = match (&arguments.ca, &outside) {
        (None, Some(_)) => {
            Some(write_wgetrc(&bundle).map_err(|error| format!("tidegate: cannot write beside {}: {error}", bundle.display()))?)
        }
        (Some(_), _) | (None, None) => None,
    };
    let gate = Gate {
        proxy: &proxy,
        bundle: &bundle,
        key_store: has_key_store.then_some(&key_store),
        wgetrc: wgetrc.as_deref(),
        github: outside.as_ref().map_or(&[], |outside| &outside.github),
        token: token.as_ref(),
    };
    let variables = gate.variables(&|name| console.environment.variable(name));
    arguments.format.write(&variables).map_err(|why| format!("tidegate: {why}"))
}

impl Arguments {
    fn proxy(&self, outside: Option<&Outside>, console: &Console<'_>) -> Result<Proxy, &'static str> {
        if let Some(proxy) = &self.proxy {
            return Ok(proxy.clone());
        }
        let Some(outside) = outside else {
            return told_proxy(console).ok_or(PROXY_MISSING);
        };
        match outside.proxy {
            None => Err("this configuration has no proxy in [listen]: name one by --proxy URL"),
            Some(at) if at.port() == 0 => {
                Err("the port of this proxy is known once it runs, and printed then: name it by --proxy http://HOST:PORT")
            }
            Some(at) if at.ip().is_unspecified() => {
                Err("this proxy listens on every address of its machine: name the one that clients reach by --proxy http://HOST:PORT")
            }
            Some(at) => Ok(Proxy::new(Destination { host: Host::Ip(at.ip()), port: at.port() })),
        }
    }

    /// The absolute path of the bundle.
    fn bundle(&self, outside: Option<&Outside>, console: &Console<'_>) -> Result<PathBuf, String> {
        let told = || console.environment.variable("SSL_CERT_FILE").map(PathBuf::from).filter(|_| self.proxy.is_none());
        let bundle = match (&self.ca, outside) {
            (Some(bundle), _) => bundle.clone(),
            (None, Some(outside)) => ca::open(outside.state.as_deref(), console)?,
            (None, None) => told().ok_or_else(|| format!("tidegate: {CA_MISSING}"))?,
        };
        path::absolute(&bundle).map_err(|error| format!("tidegate: cannot use {}: {error}", bundle.display()))
    }
}

/// Writes what wget is to read in place of the system's file, for no variable tells it whom to trust: that file, and one line more. It lies
/// beside the bundle.
pub(super) fn write_wgetrc(bundle: &Path) -> io::Result<PathBuf> {
    let directory = bundle.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let system = fs::read("/etc/wgetrc").unwrap_or_default();
    let line = [b"\nca_certificate = ", bundle.as_os_str().as_encoded_bytes(), b"\n"].concat();
    files::replace(directory, "wgetrc", &[system, line].concat(), files::PUBLIC)?;
    Ok(directory.join("wgetrc"))
}

/// What was told to a sandbox already.
pub(super) fn told_proxy(console: &Console<'_>) -> Option<Proxy> {
    let told = ["https_proxy", "HTTPS_PROXY"].into_iter().find_map(|name| console.environment.variable(name));
    told.and_then(|url| Proxy::parse(url.to_str()?))
}

pub(super) fn outside(path: &Path, console: &Console<'_>) -> Result<Outside, String> {
    Config::outside(path, console.environment).map_err(|problems| report::render(&problems, console.err_colour).trim_end().to_owned())
}

pub(super) fn read_token(path: &Path, console: &Console<'_>) -> Result<Secret, String> {
    let content = console.environment.file(path).map(Zeroizing::new);
    let content = content.map_err(|error| format!("tidegate: cannot read {}: {error}", path.display()))?;
    read_line(&content).ok_or_else(|| format!("tidegate: a token is {FORM}, and what {} holds is not", path.display()))
}

pub(super) fn parse_proxy(url: &str) -> Result<Proxy, &'static str> {
    match Proxy::parse(url) {
        Some(proxy) if proxy.asks() => Err("a password is no argument, which others can read: name a file by --token-file"),
        Some(proxy) => Ok(proxy),
        None => Err("write http://HOST:PORT"),
    }
}

const PROXY_MISSING: &str = "which proxy? name its configuration by --config FILE, or write --proxy URL and --ca FILE";
const CA_MISSING: &str = "which authority? name its bundle by --ca FILE, or the proxy's configuration by --config FILE";
const TOKEN_MISSING: &str = "this proxy asks for the token of a session: write it into a file, and name that by --token-file FILE";

const AFTER_HELP: &str = "\
Without --config and --proxy: the proxy and bundle that its environment names.

Exit status: 0 printed, 2 not everything is known

Example:
  tidegate env --config tidegate.toml --format docker > tidegate.env";

//! What COMMAND finds around it: its environment, whom it trusts, and which of the caller's files it does not see.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf, absolute},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Failure, inside, scrub::scrub, settings::NOWHERE};
use crate::{
    audit::Target,
    authority::Trusted,
    command::{
        env::{
            variables::{Gate, Proxy},
            write_wgetrc,
        },
        stage::Stage,
    },
    config::{Config, Environment, default_state},
    confine::files::{BUNDLE, credentials, homes, sockets},
    credentials::{Credential, GithubCredential},
    destination::{Destination, Host},
    secret::Secret,
};

/// Where the bundle lies that COMMAND is told to trust; the key store lies beside it.
pub(super) enum Bundle {
    /// In the file system behind the walls, in the place of the system's too.
    Inside,
    /// In a directory of this machine that is gone with this value, beside what wget is to read.
    Outside { stage: Stage, wgetrc: PathBuf },
}

impl Bundle {
    /// Writes it where COMMAND sees the caller's files.
    pub(super) fn write(trusted: &Trusted) -> io::Result<Self> {
        let stage = Stage::new()?;
        let bundle = stage.path().join(OUTSIDE);
        fs::write(&bundle, &trusted.pem)?;
        fs::write(bundle.with_extension(KEY_STORE), &trusted.key_store)?;
        let wgetrc = write_wgetrc(&bundle)?;
        Ok(Self::Outside { stage, wgetrc })
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Inside => BUNDLE.into(),
            Self::Outside { stage, .. } => stage.path().join(OUTSIDE),
        }
    }

    fn wgetrc(&self) -> Option<&Path> {
        match self {
            Self::Inside => None,
            Self::Outside { wgetrc, .. } => Some(wgetrc),
        }
    }
}

/// What is to be run, and what it would have without us.
pub(in crate::command) struct Job<'c> {
    /// The program and its arguments; not empty.
    pub(in crate::command) command: Vec<OsString>,
    pub(in crate::command) variables: Vec<(OsString, OsString)>,
    /// Where it works behind walls, absolute and without links; `None`: where we do.
    pub(in crate::command) directory: Option<PathBuf>,
    /// What it does not see behind walls, besides all that nobody does; absolute.
    pub(in crate::command) hidden: Vec<PathBuf>,
    pub(in crate::command) stdin: OwnedFd,
    /// Whether it takes turns with us at our terminal.
    pub(in crate::command) has_terminal: bool,
    /// Where the caller's credentials lie, which nobody sees behind walls.
    pub(in crate::command) caller: &'c dyn Environment,
    /// Told what its repositories are like before it starts; nobody asks about them where this is none.
    pub(in crate::command) warn: Option<&'c mut dyn FnMut(&str)>,
}

/// COMMAND's environment: the caller's without what leads to a credential or around the gate, and what leads to the gate.
pub(super) fn environment(
    config: &Config,
    inherited: Vec<(OsString, OsString)>,
    proxy: SocketAddr,
    bundle: &Bundle,
    token: &Secret,
) -> Result<Vec<(OsString, OsString)>, Failure> {
    let had_token = inherited.iter().any(|(name, _)| name == GITHUB_TOKEN);
    let held: Vec<_> = named(config).filter_map(Credential::held).collect();
    let mut kept = scrub(inherited, &held).map_err(|_| Failure(TOO_MANY.into()))?.kept;
    let (bundle, wgetrc) = (bundle.path(), bundle.wgetrc());
    let github: Vec<_> = config.github.iter().map(|github| github.host.clone()).collect();
    let gate = Gate {
        proxy: &Proxy::new(Destination { host: Host::Ip(proxy.ip()), port: proxy.port() }),
        bundle: &bundle,
        key_store: Some(&bundle.with_extension(KEY_STORE)),
        wgetrc,
        github: &github,
        token: Some(token),
    };
    let mut variables = gate.variables(&|name| kept.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
    if had_token && github.is_empty() {
        variables.push((GITHUB_TOKEN.into(), String::from_utf8_lossy(token.expose()).into_owned().into()));
    }
    kept.retain(|(known, _)| variables.iter().all(|(name, _)| known != name.as_str()));
    kept.extend(variables.into_iter().map(|(name, value)| (name.into(), value)));
    Ok(kept)
}

/// Every real credential that a configuration names.
fn named(config: &Config) -> impl Iterator<Item = &Credential> {
    let policies = config.policy.iter().chain(config.sessions.iter().map(|session| &session.policy));
    policies.flat_map(|policy| policy.all_credentials()).chain(of_githubs(config).filter_map(GithubCredential::user))
}

/// The same for GitHub.
fn of_githubs(config: &Config) -> impl Iterator<Item = &GithubCredential> {
    let of_sessions = config.sessions.iter().flat_map(|session| session.credentials.values().map(AsRef::as_ref));
    of_sessions.chain(config.github.iter().filter_map(|github| github.credential.as_deref()))
}

/// What lies behind the walls.
pub(super) fn files(config: &Config, job: &Job<'_>, trusted: &Trusted) -> Result<inside::Surroundings, Failure> {
    let variable = |name: &str| job.caller.variable(name);
    let is_absent = |path: &PathBuf| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // Most are not there.
    let mut hidden = credentials(variable, homes());
    hidden.retain(|path| !is_absent(path));
    hidden.extend(sockets()?);
    hidden.extend(default_state(job.caller));
    hidden.extend(config.state.iter().chain(&job.hidden).cloned());
    for ours in named(config).filter_map(Credential::file).chain(of_githubs(config).filter_map(GithubCredential::file)) {
        hidden.push(absolute(ours)?);
    }
    if let Target::File(file) = &config.audit
        && *file != Path::new(NOWHERE)
    {
        hidden.push(absolute(file)?);
    }
    let directory = job.directory.clone().map_or_else(env::current_dir, Ok)?;
    let granted = config.sessions.iter().flat_map(|session| session.grant.repositories());
    let mut fixed: Vec<PathBuf> = granted.filter_map(|repository| repository.upstream_path.clone()).collect();
    hidden.extend(fixed.iter().cloned());
    // Elsewhere COMMAND may do with a program what the caller may.
    for program in named(config).filter_map(Credential::program) {
        fixed.extend(Some(absolute(program)?).filter(|program| program.starts_with(&directory)));
    }
    Ok(inside::Surroundings {
        directory: directory.into_os_string(),
        runtime: variable("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute()),
        hidden: hidden.into_iter().map(PathBuf::into_os_string).collect(),
        fixed: fixed.into_iter().map(PathBuf::into_os_string).collect(),
        bundle: trusted.pem.clone(),
        key_store: BASE64_STANDARD.encode(&trusted.key_store),
    })
}

const TOO_MANY: &str = "there are too many credentials to keep out of COMMAND's environment";
const GITHUB_TOKEN: &str = "GH_TOKEN";
const KEY_STORE: &str = "p12";
const OUTSIDE: &str = "ca-bundle.pem";

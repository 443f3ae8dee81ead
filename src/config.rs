//! The settings of `serve`: a TOML document, the files it names and the environment, read once into a [`Config`].

mod sections;
mod repositories;
mod credentials;
mod sessions;
mod github;
mod parent;
mod policies;
mod outside;

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::CertificateDer;

pub(crate) use self::github::Github;
pub(crate) use self::outside::Outside;
pub(crate) use self::repositories::{Locate, read_grant};
use self::sections::Reader;
use crate::{
    audit,
    credentials::Equipped,
    files,
    policy::{Access, Additions, Problem, Problems, Source},
    secret::Secret,
    sessions::{Entry, SessionSettings},
    upstream::Parent,
};

/// What a configuration may read beside its own text; the process itself, or a test's table.
pub(crate) trait Environment {
    /// A variable's value, `None` where it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// The whole content of a file.
    fn file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The same of a file that only its owner may read, which is small.
    fn private_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// A file to be read from its beginning.
    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>>;

    /// That a path leads to a directory or a file; an error says why it does not.
    fn find(&self, path: &Path) -> io::Result<()>;
}

/// The environment and the file system of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process;

impl Environment for Process {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn private_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        files::read_private(path, MAX_PRIVATE)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(std::fs::File::open(path)?))
    }

    fn find(&self, path: &Path) -> io::Result<()> {
        let found = std::fs::metadata(path)?;
        if found.is_dir() || found.is_file() { Ok(()) } else { Err(io::Error::other("neither a directory nor a file")) }
    }
}

/// Where this program keeps what outlives it, if its configuration does not say (XDG Base Directory: a relative `XDG_STATE_HOME` is
/// ignored).
pub(crate) fn default_state(environment: &dyn Environment) -> Option<PathBuf> {
    let absolute = |name| environment.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    home.map(|home| home.join("tidegate"))
}

/// Everything that `serve` does, as used: files read, paths joined to the directory of the configuration, defaults
/// filled in.
pub(crate) struct Config {
    pub(crate) listen: Listen,
    /// Where this program keeps what outlives it; `None` where neither the file nor the environment says.
    pub(crate) state: Option<PathBuf>,
    /// How a connection finds its session; one of `sessions` where it is bound.
    pub(crate) entry: Entry,
    /// Sessions known at start, the anonymous one among them where the entry is bound to it. Ids and tokens are distinct.
    pub(crate) sessions: Vec<SessionSettings>,
    /// Every GitHub that the git door leads to. Hosts are distinct.
    pub(crate) github: Vec<Github>,
    /// The policy of sessions that name none.
    pub(crate) policy: Option<Arc<Equipped>>,
    pub(crate) audit: audit::Target,
    pub(crate) on_audit_failure: audit::OnFailure,
    pub(crate) resolver: Resolver,
    /// The proxy through which everything upstream goes.
    pub(crate) parent: Option<Parent>,
    /// Roots beside the system's; each was found to be a usable trust anchor.
    pub(crate) upstream_roots: Vec<CertificateDer<'static>>,
    pub(crate) timeouts: Timeouts,
    /// What is used although its author may have meant something else.
    pub(crate) warnings: Vec<Problem>,
}

impl Config {
    /// Reads a configuration and what it names. May be called again for a reload: it changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place; errors of policy files stand in the policy file.
    pub(crate) fn load(path: &Path, environment: &dyn Environment) -> Result<Self, Vec<Problem>> {
        Self::reader(path, environment)?.read()
    }

    /// The configuration of one sandbox that comes in by doors of its own. `path` names what `serve` would be told, where there is
    /// any of that: of its `[listen]` only `session` counts, and without that the sandbox is the only session there is, or else
    /// an anonymous one.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn load_single(path: Option<&Path>, single: Single, environment: &dyn Environment) -> Result<Self, Vec<Problem>> {
        let mut reader = match path {
            Some(path) => Self::reader(path, environment)?,
            None => Reader::new(Arc::new(Source::new("the command line", "")), Path::new(""), environment),
        };
        reader.single = Some(single);
        reader.read()
    }

    /// The admin listener of a configuration, of which nothing else is read but the rest of `[listen]`.
    pub(crate) fn admin(path: &Path, environment: &dyn Environment) -> Result<Option<Admin>, Vec<Problem>> {
        Self::listeners(path, environment).map(|listen| listen.admin)
    }

    /// What its clients have to know of a configuration, of which nothing else is read.
    pub(crate) fn outside(path: &Path, environment: &dyn Environment) -> Result<Outside, Vec<Problem>> {
        Self::reader(path, environment)?.read_outside()
    }

    /// The listeners of a configuration, of which nothing else is read.
    pub(crate) fn listeners(path: &Path, environment: &dyn Environment) -> Result<Listen, Vec<Problem>> {
        Self::reader(path, environment)?.read_listeners()
    }

    fn reader<'e>(path: &Path, environment: &'e dyn Environment) -> Result<Reader<'e>, Vec<Problem>> {
        let name = path.display().to_string();
        let unreadable = |message: String| {
            let mut problems = Problems::new(Arc::new(Source::new(&name, "")));
            problems.error(0..0, message, None);
            problems.into_vec()
        };
        let bytes = environment.file(path).map_err(|error| unreadable(format!("cannot read the configuration: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("the configuration is not UTF-8".into()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(Reader::new(Arc::new(Source::new(&name, &text)), directory, environment))
    }
}

/// What a command line says of its sandbox.
#[derive(Debug, Default)]
pub(crate) struct Single {
    /// Its policy, whatever the configuration says.
    pub(crate) policy: Option<Chosen>,
    /// Added to that policy, or to those of the configuration.
    pub(crate) additions: Additions,
}

/// A policy that was chosen.
#[derive(Debug)]
pub(crate) enum Chosen {
    File(PathBuf),
    Level(Access),
}

/// The doors, and the ways in for whoever runs this program. At least one is set.
#[derive(Debug, Default)]
pub(crate) struct Listen {
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) git: Option<SocketAddr>,
    pub(crate) socks: Option<SocketAddr>,
    /// Where redirected connections arrive: an address for each family, or none.
    pub(crate) transparent: Vec<SocketAddr>,
    /// Where names are asked for, by UDP and TCP; likewise.
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) admin: Option<Admin>,
    /// Whether a token that a sandbox asks for holds at the address alone from which it was asked for.
    pub(crate) bind_tokens: bool,
}

/// Where the admin interface listens, and what proves a caller's right to it.
#[derive(Debug)]
pub(crate) enum Admin {
    /// A socket in the file system: the kernel tells who calls.
    Unix(PathBuf),
    /// Whoever knows the token.
    Tcp { address: SocketAddr, token: Secret },
}

/// Who answers for allowed names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    System,
    Server(SocketAddr),
}

/// Every timer there is; `docs/configuration.md` says what each one bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) head: Duration,
    pub(crate) client_hello: Duration,
    pub(crate) tls_handshake: Duration,
    pub(crate) dns: Duration,
    pub(crate) connect: Duration,
    pub(crate) body: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) credential: Duration,
    pub(crate) drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(10),
            client_hello: seconds(10),
            tls_handshake: seconds(10),
            dns: seconds(5),
            connect: seconds(10),
            body: seconds(60),
            first_byte: seconds(600),
            idle: seconds(3600),
            keep_alive: seconds(75),
            credential: seconds(30),
            drain: seconds(30),
        }
    }
}

/// Most octets of a file that only its owner may read: a private key.
const MAX_PRIVATE: u64 = 64 << 10;

#[cfg(test)]
mod tests;

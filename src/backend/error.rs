//! Why a repository on disk is not served.

use std::{fmt, path::Path, time::Duration};

use crate::reason::Reason;

/// Why a repository on disk is not served. What is displayed is for the operator and names paths; what a sandbox may read is
/// [`public`](Self::public).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BackendError {
    /// There is no git to run.
    NoGit,
    /// The path, and why it is neither a bare repository nor a bundle.
    NoRepository(Box<str>, Box<str>),
    /// A bundle, and no directory to unpack it in.
    NoState(Box<str>),
    /// A bundle, and why it cannot be unpacked.
    Bundle(Box<str>, Box<str>),
    /// What this machine did not let us do, and why.
    Machine(&'static str, Box<str>),
    /// How git ended before its answer was whole, and what it said.
    Died(Box<str>, Box<str>),
    /// What is no head of a CGI answer.
    Answer(&'static str),
    /// git said nothing for so long.
    Late(Duration),
    /// Why the body of the request has no end.
    Request(Box<str>),
    /// Nobody read the answer to its end, or this process is ending.
    Abandoned,
}

impl BackendError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NoGit | Self::NoRepository(..) | Self::NoState(_) | Self::Bundle(..) | Self::Machine(..) => Reason::Internal,
            Self::Died(..) | Self::Answer(_) | Self::Abandoned => Reason::UpstreamClosed,
            Self::Late(_) => Reason::UpstreamTimeout,
            Self::Request(_) => Reason::BadRequest,
        }
    }

    /// One sentence for the sandbox, without anything of this machine.
    pub(crate) fn public(&self) -> &'static str {
        match self {
            Self::NoGit | Self::NoRepository(..) | Self::NoState(_) | Self::Bundle(..) | Self::Machine(..) => {
                "The repository cannot be served as it is set up; whoever runs Tidegate finds the reason in its log."
            }
            Self::Died(..) | Self::Answer(_) | Self::Abandoned => {
                "The git that serves the repository ended before its answer was whole; try again."
            }
            Self::Late(_) => "The git that serves the repository did not answer in time; try again.",
            Self::Request(_) => "The request broke off before its end.",
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGit => write!(f, "there is no git on the PATH to serve repositories with; install the package git"),
            Self::NoRepository(path, why) => {
                write!(f, "cannot serve {path}: {why}; let upstream_path name a bare repository (git init --bare) or a bundle")
            }
            Self::NoState(path) => {
                write!(f, "cannot serve the bundle {path}: there is nowhere to unpack it; set [state] directory, or unpack it yourself")
            }
            Self::Bundle(path, why) => write!(f, "cannot unpack the bundle {path}: {why}; make a whole one: git bundle create FILE --all"),
            Self::Machine(what, why) => write!(f, "cannot {what}: {why}"),
            Self::Died(how, said) => {
                write!(
                    f,
                    "git http-backend ended before its answer was whole ({how}): \"{said}\"; see that it runs here (Alpine has it in git-daemon)"
                )
            }
            Self::Answer(what) => write!(f, "git http-backend gave no CGI answer: {what}"),
            Self::Late(limit) => write!(f, "git was not done within {limit:?}"),
            Self::Request(why) => write!(f, "the request to git broke off: {why}"),
            Self::Abandoned => write!(f, "git was ended, since nobody waits for its answer"),
        }
    }
}

impl std::error::Error for BackendError {}

/// A path as errors show it: escaped, and cut where it is longer than any that is in use.
pub(super) fn shown(path: &Path) -> Box<str> {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .take(MAX_SHOWN_PATH)
        .copied()
        .flat_map(std::ascii::escape_default)
        .map(char::from)
        .collect::<String>()
        .into()
}

/// Most octets of a path that an error shows.
const MAX_SHOWN_PATH: usize = 1024;

//! The walls of `tidegate run`: namespaces of its own, files, capabilities and system calls; and the rules of a network namespace that is
//! shared with a sandbox. Synchronous; each function is
//! called by one step of the process tree that `command::run` builds, and changes the process or thread it is called in.

pub(crate) mod network;
pub(crate) mod privileges;
pub(crate) mod namespaces;
pub(crate) mod files;
pub(crate) mod syscalls;
pub(crate) mod occupants;

use std::{error::Error, fmt, io};

/// What stands in the way of a wall: what was tried, how the kernel answered, and what to do about it.
#[derive(Debug)]
pub(crate) struct Obstacle {
    /// Follows "cannot": `make a user namespace`.
    pub(crate) tried: String,
    pub(crate) error: io::Error,
    pub(crate) remedy: Option<&'static str>,
}

impl Obstacle {
    pub(crate) fn new(tried: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self { tried: tried.into(), error: error.into(), remedy: None }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.tried, self.error)?;
        match self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error for Obstacle {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

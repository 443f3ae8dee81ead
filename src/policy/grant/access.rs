//! Reading and writing.

use serde::{Deserialize, Serialize};

use super::{GrantError, excerpt};
use crate::github::Service;

/// Whether a repository may be written to at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    #[default]
    Read,
    Write,
}

impl Access {
    /// What a service of git's takes.
    pub fn of(service: Service) -> Self {
        match service {
            Service::UploadPack => Self::Read,
            Service::ReceivePack => Self::Write,
        }
    }

    pub fn parse(word: &str) -> Result<Self, GrantError> {
        match word {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            other => Err(GrantError::Access(excerpt(other))),
        }
    }
}

//! What a token of a session is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Grant;
use crate::{policy::decision::Denial, reason::Reason};

/// One use of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Whatever a policy lets out.
    Egress,
    /// Repositories by git and Git LFS, and files of theirs.
    Git,
    /// A GitHub's API.
    Api,
}

impl Purpose {
    pub const ALL: [Self; 3] = [Self::Egress, Self::Git, Self::Api];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Git => "git",
            Self::Api => "api",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// For what something is refused to a token that is for something else.
    const fn reason(self) -> Reason {
        match self {
            Self::Egress => Reason::NetworkDisabled,
            Self::Git => Reason::RepositoryNotGranted,
            Self::Api => Reason::ApiNotAllowed,
        }
    }
}

/// At least one use. Written as a list of words; all where nothing is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Purpose>", into = "Vec<Purpose>")]
pub struct Purposes(u8);

impl Purposes {
    /// Those of a list; `None` where it is empty.
    pub fn of(list: &[Purpose]) -> Option<Self> {
        let bits = list.iter().fold(0, |bits, purpose| bits | purpose.bit());
        (bits > 0).then_some(Self(bits))
    }

    pub fn has(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() > 0
    }

    pub fn list(self) -> Vec<Purpose> {
        Purpose::ALL.into_iter().filter(|purpose| self.has(*purpose)).collect()
    }

    /// Those that both have: it may be none.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Default for Purposes {
    fn default() -> Self {
        Self(Purpose::ALL.into_iter().fold(0, |bits, purpose| bits | purpose.bit()))
    }
}

impl TryFrom<Vec<Purpose>> for Purposes {
    type Error = &'static str;

    fn try_from(list: Vec<Purpose>) -> Result<Self, &'static str> {
        Self::of(&list).ok_or("a token is for something: write \"egress\", \"git\" or \"api\"")
    }
}

impl From<Purposes> for Vec<Purpose> {
    fn from(purposes: Purposes) -> Self {
        purposes.list()
    }
}

impl fmt::Display for Purposes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().into_iter().map(Purpose::as_str).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Purposes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Grant {
    /// Whether the token that was shown is for this; a session's own token is for everything.
    ///
    /// # Errors
    /// The reason that what it is not for is refused with everywhere.
    pub fn check_purpose(&self, purpose: Purpose) -> Result<(), Box<Denial>> {
        if self.purposes.has(purpose) {
            return Ok(());
        }
        let detail = format!("This token is for {} alone, and not for {}.", self.purposes, purpose.as_str());
        Err(Box::new(Denial::new(purpose.reason(), detail)))
    }
}

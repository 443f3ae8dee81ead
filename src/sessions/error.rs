//! Settings of sessions that cannot all hold.

use std::{fmt, sync::Arc};

use super::MIN_TOKEN;

/// Settings that cannot all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionsError {
    DuplicateId(Arc<str>),
    /// A session of the configuration has the id of one that was made over the admin interface.
    TakenId(Arc<str>),
    /// Two sessions have the same token.
    SharedToken(Arc<str>, Arc<str>),
    ShortToken(Arc<str>),
    /// The entry is bound to a session that does not exist.
    UnknownEntry(Arc<str>),
    /// A session is to be proved by signed tokens, and there is no place for the keys.
    NoState(Arc<str>),
    /// The policy of a session made over the admin interface cannot be used.
    Policy(Arc<str>, String),
    /// The repositories of a session cannot be granted beside each other.
    Grant(Arc<str>, String),
    /// The records cannot be read.
    Store(String),
}

impl fmt::Display for SessionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two sessions have the id {id:?}"),
            Self::TakenId(id) => {
                write!(f, "session {id:?} of the configuration has the id of one made over the admin interface, choose another")
            }
            Self::SharedToken(one, other) => write!(f, "sessions {one:?} and {other:?} have the same token, give each its own"),
            Self::ShortToken(id) => write!(f, "the token of session {id:?} has fewer than {MIN_TOKEN} characters"),
            Self::UnknownEntry(id) => write!(f, "listen.session names a session that does not exist: {id:?}"),
            Self::NoState(id) => {
                write!(
                    f,
                    "session {id:?} has no token and there is no place for keys to sign one: write [state] and dir = \"…\", and start anew"
                )
            }
            Self::Policy(id, why) => write!(f, "the policy of session {id:?} cannot be used: {why}"),
            Self::Grant(id, why) => write!(f, "the repositories of session {id:?} cannot be granted: {why}"),
            Self::Store(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SessionsError {}

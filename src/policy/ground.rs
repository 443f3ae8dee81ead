//! Why a destination is refused.

use super::{decision::RuleRef, index::Entry};
use crate::reason::Reason;

/// Why a destination is refused, before it is put into words.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ground<'a> {
    LevelNone,
    LocalName,
    IpLiteral,
    Denied(&'a Entry),
    /// By a list of others.
    Listed(&'a RuleRef),
    /// Such lists are not known.
    Unlisted,
    NotListed,
    /// The entry matches the host alone; none where a level allows every name.
    Port(Option<&'a Entry>),
    WantsTls(Option<&'a Entry>),
    /// A rule judges requests that cannot be seen.
    Unread(&'a RuleRef, Option<&'a Entry>),
}

impl<'a> Ground<'a> {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::LevelNone => Reason::NetworkDisabled,
            Self::LocalName => Reason::AddressNotAllowed,
            Self::IpLiteral => Reason::IpLiteralNotAllowed,
            Self::Denied(_) | Self::Listed(_) => Reason::HostDenied,
            Self::Unlisted => Reason::PolicyUnavailable,
            Self::NotListed => Reason::HostNotAllowed,
            Self::Port(_) => Reason::PortNotAllowed,
            Self::WantsTls(_) | Self::Unread(..) => Reason::OpaqueTunnel,
        }
    }

    /// The entry that refuses, or that allows too little.
    pub(super) fn entry(self) -> Option<&'a Entry> {
        match self {
            Self::LevelNone | Self::LocalName | Self::IpLiteral | Self::Listed(_) | Self::Unlisted | Self::NotListed => None,
            Self::Denied(entry) => Some(entry),
            Self::Port(entry) | Self::WantsTls(entry) | Self::Unread(_, entry) => entry,
        }
    }
}

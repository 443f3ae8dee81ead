//! What is known of a sandbox, before anything is made of it.

use std::{net::SocketAddr, path::PathBuf, time::SystemTime};

use serde_json::Value;

use super::settings::Told;
use crate::{command::env::variables::Proxy, destination::Destination};

/// Everything that was looked at.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) now: SystemTime,
    pub(super) told: Told,
    /// What answered for our own pages at each proxy that clients were told of, and at `tidegate.internal` as any name is asked for.
    pub(super) proxies: Vec<(Proxy, Reply)>,
    pub(super) internal: Reply,
    /// The same where a git door is, or would be.
    pub(super) git_doors: Vec<(Destination, Reply)>,
    /// Whether SOCKS is spoken there.
    pub(super) socks: Vec<(Destination, bool)>,
    /// The root by which intercepted hosts are served.
    pub(super) root: Option<Root>,
    /// What is in the files in which clients look for roots, or why they cannot be read.
    pub(super) stores: Vec<(PathBuf, Result<Vec<u8>, String>)>,
    /// Questions for a name, connections and datagrams that go to no proxy.
    pub(super) names: Vec<(SocketAddr, Way)>,
    pub(super) streams: Vec<(SocketAddr, Way)>,
    pub(super) datagrams: Vec<(SocketAddr, Way)>,
    /// Connections to addresses of which the caller says that they answer outside.
    pub(super) outside: Vec<(SocketAddr, Way)>,
    /// Major and minor version of the Node that would be started.
    pub(super) node: Option<(u32, u32)>,
}

/// What answers as a gate does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// Whose session it is, as `GET /session` says it.
    Session(Value),
    /// A gate, which refuses for this reason.
    Refused(String),
    /// Something else, and what can be said of it.
    Other(String),
    /// Nothing, and why.
    Nothing(String),
}

/// Where something came that was sent to an address and no proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Gate,
    /// Something else answered.
    Out,
    /// It was stopped, and how.
    Stopped(String),
    /// Nothing was heard of it.
    Silent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) der: Vec<u8>,
    pub(super) validity: Option<(SystemTime, SystemTime)>,
}

impl Facts {
    /// The session, by whichever door it was said.
    pub(super) fn session(&self) -> Option<&Value> {
        let replies = self.proxies.iter().map(|(_, reply)| reply).chain([&self.internal]);
        replies.chain(self.git_doors.iter().map(|(_, reply)| reply)).find_map(Reply::session)
    }

    /// The first proxy that is a gate.
    pub(super) fn gate(&self) -> Option<&Proxy> {
        self.proxies.iter().find(|(_, reply)| reply.is_gate()).map(|(proxy, _)| proxy)
    }

    /// Whether the network leads here who was told nothing: its names, and its connections.
    pub(super) fn redirected(&self) -> bool {
        let leads = |ways: &[(SocketAddr, Way)]| ways.iter().any(|(_, way)| *way == Way::Gate);
        leads(&self.streams) && leads(&self.names)
    }
}

impl Reply {
    pub(super) fn session(&self) -> Option<&Value> {
        match self {
            Self::Session(session) => Some(session),
            Self::Refused(_) | Self::Other(_) | Self::Nothing(_) => None,
        }
    }

    pub(super) fn is_gate(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Refused(_))
    }
}

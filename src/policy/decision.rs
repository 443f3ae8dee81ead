//! What judging says: how a connection may go on, or a [`Denial`] that explains itself.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::{
    destination::{Destination, Host},
    reason::Reason,
};

/// Which entry of which document decided, as the author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// The entry, such as `*.example.org` or `access = "none"`.
    pub entry: Arc<str>,
    /// The document: a path as given, or a shipped list such as `lists/trusted`.
    pub source: Arc<str>,
    /// Its line there, from 1.
    pub line: u32,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.entry, self.source, self.line)
    }
}

/// What a permitted connection has to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TLS whose server name is the destination; nothing goes upstream before the `ClientHello` is judged.
    Tls,
    /// HTTP/1, judged per request.
    Http,
    /// Whatever it is: the entry names the port.
    Any,
}

impl Protocol {
    /// What a port wants unless an entry says otherwise: 443 TLS, 80 HTTP, any other port anything.
    pub(super) const fn of_port(port: u16) -> Self {
        match port {
            443 => Self::Tls,
            80 => Self::Http,
            _ => Self::Any,
        }
    }
}

/// Leave to send bytes to the destination that was dialled: what they show has been judged.
#[derive(Debug)]
pub struct Cleared {
    pub(super) would_deny: Option<Reason>,
}

impl Cleared {
    /// What would have been refused, had report mode not let it through.
    pub fn would_deny(&self) -> Option<Reason> {
        self.would_deny
    }
}

/// A refusal with everything its reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The word of the closed list.
    pub reason: Reason,
    /// Where the request wanted to go.
    pub host: Option<Host>,
    /// The port it wanted.
    pub port: Option<u16>,
    /// The address that was refused or could not be reached, where one was known.
    pub address: Option<IpAddr>,
    /// The entry that refused; none where nothing allowed.
    pub rule: Option<RuleRef>,
    /// The line of the policy document that would allow it, ready to paste; none where no line would.
    pub allow_with: Option<String>,
    /// What was refused and why: whole sentences without the remedy.
    pub detail: String,
}

impl Denial {
    /// A refusal that no entry of a policy decides.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, host: None, port: None, address: None, rule: None, allow_with: None, detail: detail.into() }
    }

    /// The same, naming where the request wanted to go.
    #[must_use]
    pub fn of(mut self, destination: &Destination) -> Self {
        self.host = Some(destination.host.clone());
        self.port = Some(destination.port);
        self
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

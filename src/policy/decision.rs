//! What judging says: how a connection may go on, or a [`Denial`] that explains itself.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::{
    destination::{Destination, Host},
    reason::Reason,
    wire::secrets::Found,
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

    /// The port that an entry has to write; none for those that it means without.
    pub(super) fn port_to_write(port: u16) -> Option<u16> {
        (Self::of_port(port) == Self::Any).then_some(port)
    }
}

/// Leave to send bytes to the destination that was dialled: what they show has been judged.
#[derive(Debug)]
pub struct Cleared {
    pub(super) would_deny: Option<Reason>,
    pub(super) origin_form: Option<Box<str>>,
    pub(super) body_limit: Option<BodyLimit>,
    pub(super) strips_method_override: bool,
    pub(super) secrets: Option<SecretRule>,
}

impl Cleared {
    /// Leave for what no rule looks into.
    pub(super) fn plain(would_deny: Option<Reason>) -> Self {
        Self { would_deny, origin_form: None, body_limit: None, strips_method_override: false, secrets: None }
    }

    /// What would have been refused, had report mode not let it through.
    pub fn would_deny(&self) -> Option<Reason> {
        self.would_deny
    }

    /// Path and query as they have to leave: the spelling that rules judged. None where they leave as they came.
    pub fn origin_form(&self) -> Option<&str> {
        self.origin_form.as_deref()
    }

    /// How long the body may be.
    pub fn body_limit(&self) -> Option<&BodyLimit> {
        self.body_limit.as_ref()
    }

    /// The most octets that the body may have.
    pub fn max_request_body(&self) -> Option<u64> {
        self.body_limit.as_ref().map(BodyLimit::octets)
    }

    /// Whether fields that make a server take another method have to go, since the method was judged.
    pub fn strips_method_override(&self) -> bool {
        self.strips_method_override
    }

    /// That the request has to be looked through for secrets, if it has.
    pub fn secrets(&self) -> Option<&SecretRule> {
        self.secrets.as_ref()
    }
}

/// How long the body of one request may be, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyLimit {
    octets: u64,
    rule: RuleRef,
    destination: Destination,
}

impl BodyLimit {
    pub(super) fn new(octets: u64, rule: RuleRef, destination: Destination) -> Self {
        Self { octets, rule, destination }
    }

    /// The most octets of the body, its framing not counted.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The refusal of a longer one.
    pub fn exceeded(&self) -> Box<Denial> {
        let Self { octets, rule, destination } = self;
        let detail = format!("A body to {} may have {octets} octets, by {rule}, and this one has more.", destination.host);
        let mut denial = Denial::new(Reason::BodyTooLarge, detail).of(destination);
        denial.rule = Some(rule.clone());
        Box::new(denial)
    }
}

/// That no secret may leave in a request, by which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRule {
    pub(super) rule: RuleRef,
    pub(super) destination: Destination,
    pub(super) report: bool,
}

impl SecretRule {
    /// Whether what is found is only reported.
    pub fn reports(&self) -> bool {
        self.report
    }

    /// The refusal of a request in which something was found, `place` being such as "the header x-key".
    pub fn found(&self, found: Found, place: &str) -> Box<Denial> {
        let Self { rule, destination, .. } = self;
        let detail = format!("{} holds {found}, which may not leave for {}, by {rule}.", Capitalized(place), destination.host);
        self.refuse(Reason::SecretInRequest, detail)
    }

    /// The refusal of a body in a coding that is not undone here.
    pub fn hidden(&self) -> Box<Denial> {
        let detail = "Its encoding hides what the body holds, and secrets have to be looked for; send it as it is, or in gzip or deflate";
        self.unreadable(Reason::SecretInRequest, detail)
    }

    /// The refusal of what cannot be looked into; `detail` says why, without its full stop.
    pub fn unreadable(&self, reason: Reason, detail: &str) -> Box<Denial> {
        self.refuse(reason, format!("{detail}, by {}.", self.rule))
    }

    fn refuse(&self, reason: Reason, detail: String) -> Box<Denial> {
        let mut denial = Denial::new(reason, detail).of(&self.destination);
        denial.rule = Some(self.rule.clone());
        Box::new(denial)
    }
}

/// As it begins a sentence.
struct Capitalized<'a>(&'a str);

impl fmt::Display for Capitalized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        if let Some(first) = characters.next() {
            write!(f, "{}{}", first.to_ascii_uppercase(), characters.as_str())?;
        }
        Ok(())
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

    /// Whether its owner could grant what was refused, were it asked for; see [`super::asking`]. Of what a ref may suffer, a grant that is
    /// asked for adds nothing to what the other refs may.
    pub fn may_be_asked_for(&self) -> bool {
        let Some(remedy) = &self.allow_with else { return false };
        let adds_to_lists = remedy.lines().all(|line| line.starts_with("push = [\"") || line.starts_with("tags = [\""));
        matches!(self.reason, Reason::HostNotAllowed | Reason::PortNotAllowed | Reason::RepositoryNotGranted | Reason::ReadOnly)
            || (self.reason == Reason::RefNotGranted && adds_to_lists)
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

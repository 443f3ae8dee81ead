//! What the bytes of a permitted connection may show: the server name of a `ClientHello`, the head of an HTTP request.

use super::{
    decision::{Cleared, Denial, Protocol, SecretRule},
    rules::{Bearing, Requested},
};
use crate::{
    destination::{Destination, Host},
    reason::Reason,
};

/// What a policy makes of an encrypted `ClientHello` (`[tls] ech`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ech {
    /// It is refused. GREASE looks the same by design, and is refused too.
    #[default]
    Refuse,
    /// The outer server name is judged as if there were no inner one.
    Outer,
}

impl Ech {
    /// The word in a policy document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Outer => "outer",
        }
    }
}

/// What the bytes of one connection are held to; taken from its [`Permit`](super::Permit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    pub(super) destination: Destination,
    pub(super) protocol: Protocol,
    pub(super) ech: Ech,
    pub(super) report: bool,
    pub(super) rules: Bearing,
    pub(super) secrets: Option<SecretRule>,
}

/// What a `ClientHello` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloFacts<'a> {
    /// The octets of the one `host_name` of its `server_name` extension (RFC 6066, section 3).
    pub server_name: Option<&'a [u8]>,
    /// Whether it carries the `encrypted_client_hello` extension (0xfe0d).
    pub encrypted: bool,
}

/// What the head of an HTTP request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// The value of its one Host field.
    pub host: Option<&'a [u8]>,
    /// The authority of an absolute-form target, its port filled in by the scheme.
    pub target: Option<&'a Destination>,
    /// Path and query as sent; `*` in asterisk-form.
    pub origin_form: &'a str,
    /// Octets of its body, where they are known beforehand.
    pub body_length: Option<u64>,
}

impl Expectation {
    /// Where the connection goes.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What it has to speak.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Judges a `ClientHello`. Its server name must be the destination; for a destination that is an address it must have
    /// none. Where the entry lets any protocol through, TLS is held to this only as far as it names a server.
    ///
    /// # Errors
    /// [`Reason::EchNotAllowed`], [`Reason::OpaqueTunnel`], [`Reason::Misdirected`].
    pub fn decide_hello(&self, facts: &HelloFacts<'_>) -> Result<Cleared, Box<Denial>> {
        let host = &self.destination.host;
        if facts.encrypted && self.ech == Ech::Refuse {
            return self
                .refuse(Reason::EchNotAllowed, format!("The ClientHello to {host} is encrypted, which hides the name it asks for."));
        }
        let Some(server_name) = facts.server_name else {
            if host.ip().is_some() || self.protocol == Protocol::Any {
                return Ok(Cleared::plain(None));
            }
            return self.refuse(Reason::OpaqueTunnel, format!("The ClientHello to {host} names no server (no SNI)."));
        };
        match Host::parse(server_name) {
            Ok(Host::Name(name)) if host.name() == Some(&name) => Ok(Cleared::plain(None)),
            Ok(_) | Err(_) => {
                let shown = server_name.get(..MAX_SHOWN).unwrap_or(server_name).escape_ascii();
                self.refuse(Reason::Misdirected, format!("The ClientHello asks for \"{shown}\", but the connection is to {host}."))
            }
        }
    }

    /// Judges first bytes that are neither TLS nor HTTP, or not the one of them that is expected.
    ///
    /// # Errors
    /// [`Reason::OpaqueTunnel`] unless the entry lets any protocol through.
    pub fn decide_opaque(&self) -> Result<Cleared, Box<Denial>> {
        let wanted = match self.protocol {
            Protocol::Any => return Ok(Cleared::plain(None)),
            Protocol::Tls => "TLS",
            Protocol::Http => "HTTP",
        };
        self.refuse(Reason::OpaqueTunnel, format!("{} wants {wanted}, and what was sent is something else.", self.destination))
    }

    /// Judges the head of a request: every name in it must be the destination, and a port that is written must be its
    /// port. Methods that only proxies and mirrors answer are refused in report mode too. Then the rules about the
    /// destination judge method, path and the length of the body; in report mode they change nothing.
    ///
    /// # Errors
    /// [`Reason::MethodRefused`]; [`Reason::BadRequest`] where Host is malformed, or a path that rules judge is;
    /// [`Reason::Misdirected`]; [`Reason::MethodNotAllowed`], [`Reason::PathNotAllowed`], [`Reason::BodyTooLarge`].
    pub fn decide_request(&self, facts: &RequestFacts<'_>) -> Result<Cleared, Box<Denial>> {
        let named = self.decide_names(facts)?;
        let &RequestFacts { method, origin_form, body_length, .. } = facts;
        let judged = self.rules.judge(&Requested { method, origin_form, body_length }, &self.destination);
        let secrets = self.secrets.clone();
        if self.report {
            let would_deny = named.would_deny().or(judged.err().map(|denial| denial.reason));
            return Ok(Cleared { secrets, ..Cleared::plain(would_deny) });
        }
        judged.map(|cleared| Cleared { secrets, ..cleared })
    }

    fn decide_names(&self, facts: &RequestFacts<'_>) -> Result<Cleared, Box<Denial>> {
        check_method(facts.method).map_err(|denial| Box::new(denial.of(&self.destination)))?;
        let host = match facts.host.map(|host| Destination::parse(host, Some(self.destination.port))).transpose() {
            Ok(host) => host,
            Err(error) => {
                let detail = format!("The Host field is malformed: {error}.");
                return Err(Box::new(Denial::new(Reason::BadRequest, detail).of(&self.destination)));
            }
        };
        if let Some(named) = facts.target.filter(|named| **named != self.destination) {
            return self
                .refuse(Reason::Misdirected, format!("The request target names {named}, but the connection is to {}.", self.destination));
        }
        host.map_or(Ok(Cleared::plain(None)), |named| self.decide_host(&named))
    }

    /// Judges what a Host field names, its port filled in with the destination's.
    ///
    /// # Errors
    /// [`Reason::Misdirected`] where it is not the destination.
    pub fn decide_host(&self, named: &Destination) -> Result<Cleared, Box<Denial>> {
        if *named == self.destination {
            return Ok(Cleared::plain(None));
        }
        self.refuse(Reason::Misdirected, format!("The Host field names {named}, but the connection is to {}.", self.destination))
    }

    fn refuse(&self, reason: Reason, detail: String) -> Result<Cleared, Box<Denial>> {
        if self.report {
            return Ok(Cleared::plain(Some(reason)));
        }
        Err(Box::new(Denial::new(reason, detail).of(&self.destination)))
    }
}

/// That a method is none of [`REFUSED_METHODS`].
///
/// # Errors
/// [`Reason::MethodRefused`].
pub(super) fn check_method(method: &str) -> Result<(), Box<Denial>> {
    if REFUSED_METHODS.iter().any(|refused| refused.eq_ignore_ascii_case(method)) {
        let detail = format!("The method {} is never passed on.", method.to_ascii_uppercase());
        return Err(Box::new(Denial::new(Reason::MethodRefused, detail)));
    }
    Ok(())
}

/// TRACE and TRACK mirror credentials back (RFC 9110, section 9.3.8); CONNECT asks for a tunnel in a tunnel.
pub(super) const REFUSED_METHODS: &[&str] = &["CONNECT", "TRACE", "TRACK"];

/// Most of an offending server name that a denial shows, in octets.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests;

//! `[[credential]]`: which real credential is put into requests to which hosts, and what becomes of the sandbox's own.
//!
//! A policy knows where a credential comes from and where it goes in, never the credential itself.

use std::{borrow::Cow, fmt, time::Duration};

use http::HeaderName;
use toml::Spanned;

use super::{
    Policy,
    decision::{Denial, RuleRef},
};
use crate::{
    destination::{Destination, Host, Name},
    reason::Reason,
    wire::http1::is_same_name,
};

mod reading;

pub(crate) use self::reading::read_source;
pub(super) use self::reading::{Written, places, read};

/// Where a real credential comes from, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A variable of the environment.
    Env(Spanned<String>),
    /// A file, relative to the directory of the document.
    File(Spanned<String>),
    /// A program and its arguments, with the place of the whole; what it prints is used until it is so old.
    Command(Spanned<Vec<String>>, Duration),
}

/// Where in a request a real credential stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// The value of a field, between two texts.
    Header { name: HeaderName, before: Box<str>, after: Box<str> },
    /// The password of `Authorization: Basic` with this user name (RFC 7617).
    Basic { user: Box<str> },
    /// The value of a key in the query.
    Query { key: Box<str> },
}

impl Placement {
    /// The field that it fills, if it is one.
    fn field(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name.as_str()),
            Self::Basic { .. } => Some("authorization"),
            Self::Query { .. } => None,
        }
    }

    /// Whether two credentials would stand in each other's place.
    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Query { key }, Self::Query { key: other }) => is_same_name(key.as_bytes(), other.as_bytes()),
            _ => self.field().zip(other.field()).is_some_and(|(field, other)| is_same_name(field.as_bytes(), other.as_bytes())),
        }
    }
}

/// As a policy document writes it.
impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, before, after } => write!(f, "header {name}: {before}{{}}{after}"),
            Self::Basic { user } => write!(f, "basic_user {user}"),
            Self::Query { key } => write!(f, "query {key}"),
        }
    }
}

/// One real credential and the hosts it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRule {
    pub(super) hosts: Vec<BoundHost>,
    pub(super) placement: Placement,
    pub(super) source: CredentialSource,
    /// Whether a credential that the sandbox brings is refused; else it is removed.
    pub(super) pin: bool,
    pub(super) rule: RuleRef,
}

impl CredentialRule {
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    pub fn source(&self) -> &CredentialSource {
        &self.source
    }

    fn covers(&self, destination: &Destination) -> bool {
        self.hosts.iter().any(|host| host.covers(destination))
    }
}

/// A name, and its port where it is not 443 (and 80, where nothing is put in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoundHost {
    pub(super) name: Name,
    pub(super) port: Option<u16>,
}

impl BoundHost {
    fn covers(&self, destination: &Destination) -> bool {
        let port = self.port.map_or(WEB_PORTS.contains(&destination.port), |port| port == destination.port);
        port && destination.host.name() == Some(&self.name)
    }

    /// Whether some destination is covered by both.
    fn overlaps(&self, other: &Self) -> bool {
        let ports = match (self.port, other.port) {
            (Some(port), Some(other)) => port == other,
            (Some(port), None) | (None, Some(port)) => WEB_PORTS.contains(&port),
            (None, None) => true,
        };
        ports && self.name == other.name
    }

    /// Where a credential would be put in.
    pub(super) fn destination(&self) -> Destination {
        Destination { host: Host::Name(self.name.clone()), port: self.port.unwrap_or(443) }
    }
}

impl fmt::Display for BoundHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// One `[[credential]]` for people to read: never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCredential {
    /// The hosts, with a port where one was written.
    pub hosts: Vec<String>,
    pub placement: Placement,
    pub pin: bool,
    /// Where it is written.
    pub rule: RuleRef,
}

/// What a request shows that may be a credential.
#[derive(Debug, Clone, Copy)]
pub struct CredentialFacts<'a> {
    pub destination: &'a Destination,
    /// The names of all its fields, in any case, each as often as it stands there.
    pub names: &'a [&'a str],
    /// Path and query as they would leave.
    pub origin_form: &'a str,
}

/// What becomes of the credentials of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution<'a> {
    /// The names of fields that must go, as they stand in the request.
    pub removed: Vec<&'a str>,
    /// Path and query without the keys that are the credential's.
    pub origin_form: Cow<'a, str>,
    /// Which credentials of the policy are put in, and where: over verified TLS and never else.
    pub put_in: Vec<(usize, &'a Placement)>,
    /// What would have been refused, had report mode not let it through.
    pub would_deny: Option<Reason>,
}

/// Every credential of a policy, in the order of the document.
#[derive(Debug, Default)]
pub(super) struct Credentials(Vec<CredentialRule>);

impl Credentials {
    pub(super) fn all(&self) -> &[CredentialRule] {
        &self.0
    }

    pub(super) fn covers(&self, destination: &Destination) -> bool {
        self.0.iter().any(|rule| rule.covers(destination))
    }

    /// Ports of a host that are written.
    pub(super) fn ports_of(&self, host: &Host) -> impl Iterator<Item = u16> {
        let hosts = self.0.iter().flat_map(|rule| &rule.hosts);
        hosts.filter(|bound| host.name() == Some(&bound.name)).filter_map(|bound| bound.port)
    }

    pub(super) fn show(&self) -> Vec<ShownCredential> {
        let show = |rule: &CredentialRule| ShownCredential {
            hosts: rule.hosts.iter().map(ToString::to_string).collect(),
            placement: rule.placement.clone(),
            pin: rule.pin,
            rule: rule.rule.clone(),
        };
        self.0.iter().map(show).collect()
    }

    /// Judges the credentials that a request brings itself; `None` where the destination has none of ours.
    pub(super) fn decide<'a>(&'a self, facts: &CredentialFacts<'a>, report: bool) -> Result<Option<Substitution<'a>>, Box<Denial>> {
        let covering: Vec<_> = self.0.iter().enumerate().filter(|(_, rule)| rule.covers(facts.destination)).collect();
        if covering.is_empty() {
            return Ok(None);
        }
        let fields = || OWN_FIELDS.iter().copied().chain(covering.iter().filter_map(|(_, rule)| rule.placement.field()));
        let removed: Vec<_> =
            facts.names.iter().copied().filter(|name| fields().any(|field| is_same_name(name.as_bytes(), field.as_bytes()))).collect();
        let keys: Vec<_> = covering.iter().filter_map(|(_, rule)| rule.placement.key()).collect();
        let origin_form = without_keys(facts.origin_form, &keys);
        // The session's token is shown to this proxy, and so nobody's credential upstream.
        let field = removed.iter().copied().find(|name| !is_same_name(name.as_bytes(), PROXY_AUTHORIZATION.as_bytes()));
        let brought = field.map(|name| format!("the field {name}")).or_else(|| {
            let Cow::Owned(_) = origin_form else { return None };
            Some(format!("the key {} in the query", keys.join(" or ")))
        });
        let pinned = covering.iter().find(|(_, rule)| rule.pin);
        let mut would_deny = None;
        if let (Some((_, pinned)), Some(brought)) = (pinned, brought) {
            if !report {
                return Err(Box::new(refuse(facts.destination, pinned, &brought)));
            }
            would_deny = Some(Reason::CredentialNotAllowed);
        }
        let put_in = covering.iter().map(|(index, rule)| (*index, &rule.placement)).collect();
        Ok(Some(Substitution { removed, origin_form, put_in, would_deny }))
    }
}

impl Placement {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Query { key } => Some(key),
            Self::Header { .. } | Self::Basic { .. } => None,
        }
    }
}

fn refuse(destination: &Destination, pinned: &CredentialRule, brought: &str) -> Denial {
    let detail = format!(
        "The request to {destination} brings a credential of its own, in {brought}. The proxy puts its own in: send the request without one."
    );
    let mut denial = Denial::new(Reason::CredentialNotAllowed, detail).of(destination);
    denial.rule = Some(pinned.rule.clone());
    denial
}

/// Path and query without the pairs whose key is one of these, however it is spelled; borrowed where there is none.
fn without_keys<'a>(origin_form: &'a str, keys: &[&str]) -> Cow<'a, str> {
    let Some((path, query)) = origin_form.split_once('?') else { return Cow::Borrowed(origin_form) };
    let is_kept = |pair: &&str| !keys.iter().any(|key| names_key(pair, key));
    // Some servers part pairs at a semicolon, too.
    let pairs = || query.split_inclusive(['&', ';']);
    if pairs().all(|pair| is_kept(&pair)) {
        return Cow::Borrowed(origin_form);
    }
    let kept: String = pairs().filter(is_kept).collect();
    let kept = kept.trim_end_matches(['&', ';']);
    Cow::Owned(if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") })
}

/// Whether a server may read a pair's key as this one: decoded, case and punctuation set aside, and what frameworks take for an index
/// (`key[]`) left out.
fn names_key(pair: &str, key: &str) -> bool {
    let written = pair.trim_end_matches(['&', ';']).split('=').next().unwrap_or_default();
    let decoded = decode(written);
    let name = decoded.split(|&byte| byte == b'[').next().unwrap_or_default();
    is_same_name(name.trim_ascii(), key.as_bytes())
}

/// The octets that a percent-encoded text means; a `%` that begins no octet stands for itself.
fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, digit(tail.first()), digit(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                octets.push(high << 4 | low);
                tail.get(2..).unwrap_or_default()
            }
            (b'+', _, _) => {
                octets.push(b' ');
                tail
            }
            _ => {
                octets.push(first);
                tail
            }
        };
    }
    octets
}

/// Fields in which clients show who they are, whatever field ours goes into. Cookies pass: they are a session with the host, and pages
/// do not work without.
const OWN_FIELDS: &[&str] = &["authorization", PROXY_AUTHORIZATION, "x-api-key"];
const PROXY_AUTHORIZATION: &str = "proxy-authorization";

/// What a host without a port means, as in every list of a policy.
const WEB_PORTS: &[u16] = &[443, 80];

impl Policy {
    /// Judges the credentials that a request brings itself, and says which real ones it gets; `None` where its destination has none.
    ///
    /// # Errors
    /// [`Reason::CredentialNotAllowed`] where it brings one and a credential of the destination is pinned.
    pub fn decide_credentials<'a>(&'a self, facts: &CredentialFacts<'a>) -> Result<Option<Substitution<'a>>, Box<Denial>> {
        self.rules.credentials.decide(facts, self.report)
    }
}

#[cfg(test)]
mod tests;

//! What an entry of a policy says about hosts and ports: the pattern language of the contract, read strictly.
//!
//! `example.com` is that host; `*.example.com` any depth of subdomain and not the apex; `**.example.com` both; `*` inside
//! a label is a glob that does not cross a dot. An IP literal or a CIDR stands for itself. `:port` narrows to a port and
//! `:*` widens to all; IPv6 then wants brackets, `[::1]:443` and `[fd00::/8]:443`, while IPv4 does not,
//! `10.0.0.0/8:5432`.

use std::{fmt, net::IpAddr, str::FromStr};

use globset::{Glob, GlobMatcher};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use ipnet::IpNet;

use super::decision::Protocol;
use crate::destination::{Host, Name};

/// Which destinations an entry is about, in its effective form: names are ASCII, lower case, without trailing dot.
/// Displayed so that it parses back to the same pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub(super) host: HostPattern,
    pub(super) ports: Ports,
}

/// The part of a pattern before the port.
#[derive(Debug, Clone)]
pub(super) enum HostPattern {
    Name(NamePattern),
    /// An address is a network of its own.
    Net(IpNet),
}

/// The ports of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ports {
    /// No port was written: 443 and 80 (in `deny`: every port).
    Default,
    /// This one.
    One(u16),
    /// All of them.
    Any,
}

/// Where a name may stand relative to the labels of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Depth {
    /// `x`: there.
    At,
    /// `*.x`: any depth below.
    Below,
    /// `**.x`: there or below.
    AtAndBelow,
}

/// A pattern of names.
#[derive(Debug, Clone)]
pub(super) struct NamePattern {
    pub(super) depth: Depth,
    /// The labels after the `*.` or `**.`; a `*` in them is a glob.
    pub(super) labels: Box<str>,
    /// The same from the right, compiled; empty where no label is a glob, since then a hash look-up does.
    compiled: Box<[Label]>,
}

#[derive(Debug, Clone)]
enum Label {
    Literal(Box<str>),
    Glob(Box<GlobMatcher>),
}

/// Why something is not a pattern, or not one that should be used, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong: lower case, with the offending input.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl PatternError {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl Pattern {
    /// The host without the port, as a network: for what takes addresses only.
    pub(super) fn net(&self) -> Option<IpNet> {
        match &self.host {
            HostPattern::Net(net) => Some(*net),
            HostPattern::Name(_) => None,
        }
    }

    /// The name that the pattern spells out in full.
    pub(super) fn exact_name(&self) -> Option<Name> {
        match &self.host {
            HostPattern::Name(name) if name.depth == Depth::At && !name.is_glob() => {
                Host::parse(name.labels.as_bytes()).ok()?.name().cloned()
            }
            HostPattern::Name(_) | HostPattern::Net(_) => None,
        }
    }

    /// Every port of a network.
    pub(super) fn every_port_of(net: IpNet) -> Self {
        Self { host: HostPattern::Net(net), ports: Ports::Any }
    }

    /// What is wrong with saying what an entry speaks: 443 is TLS and 80 is HTTP, whatever an entry says.
    pub(super) fn contradicts(&self, speaks: Protocol) -> Option<&'static str> {
        match (self.ports, speaks) {
            (Ports::One(443), Protocol::Http) => Some("port 443 wants TLS, not HTTP"),
            (Ports::One(80), Protocol::Tls) => Some("port 80 wants HTTP, not TLS"),
            (Ports::Default | Ports::Any | Ports::One(_), Protocol::Tls | Protocol::Http | Protocol::Any) => None,
        }
    }

    /// Takes every port where no port was written.
    pub(super) fn widen_to_every_port(&mut self) {
        if self.ports == Ports::Default {
            self.ports = Ports::Any;
        }
    }
}

/// The entry for one host: on this port, or on those that an entry without a port means.
pub(super) fn entry(host: &Host, port: Option<u16>) -> String {
    match (host, port) {
        (Host::Name(name), None) => name.as_str().to_owned(),
        (Host::Ip(address), None) => address.to_string(),
        (_, Some(port)) => format!("{host}:{port}"),
    }
}

impl NamePattern {
    pub(super) fn is_glob(&self) -> bool {
        !self.compiled.is_empty()
    }

    pub(super) fn is_wild(&self) -> bool {
        self.is_glob() || self.depth != Depth::At
    }

    /// What stands after the last label with a `*`: every name that matches ends with it, on a label's boundary.
    pub(super) fn literal_suffix(&self) -> &str {
        let wild = self.labels.rfind('*').map_or("", |star| &self.labels[star..]);
        match wild.split_once('.') {
            Some((_, suffix)) => suffix,
            None => &self.labels,
        }
    }

    /// Whether a name matches a pattern that is a glob.
    pub(super) fn matches_glob(&self, name: &Name) -> bool {
        let mut labels = name.as_str().rsplit('.');
        let all = self.compiled.iter().all(|pattern| {
            labels.next().is_some_and(|label| match pattern {
                Label::Literal(literal) => **literal == *label,
                Label::Glob(glob) => glob.is_match(label),
            })
        });
        let deeper = labels.next().is_some();
        all && match self.depth {
            Depth::At => !deeper,
            Depth::Below => deeper,
            Depth::AtAndBelow => true,
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(input: &str) -> Result<Self, PatternError> {
        check_shape(input)?;
        let (host, port) = split_port(input)?;
        Ok(Self { host: parse_host(host, input)?, ports: parse_ports(port, input)? })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = self.ports != Ports::Default && matches!(self.host, HostPattern::Net(IpNet::V6(_)));
        if brackets { write!(f, "[{}]", self.host) } else { write!(f, "{}", self.host) }?;
        match self.ports {
            Ports::Default => Ok(()),
            Ports::One(port) => write!(f, ":{port}"),
            Ports::Any => f.write_str(":*"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                let depth = match name.depth {
                    Depth::At => "",
                    Depth::Below => "*.",
                    Depth::AtAndBelow => "**.",
                };
                write!(f, "{depth}{}", name.labels)
            }
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Self::Net(net) => write!(f, "{net}"),
        }
    }
}

/// Refuses what is something else than a pattern, saying what to write instead.
fn check_shape(input: &str) -> Result<(), PatternError> {
    let shown = shown(input);
    if input.is_empty() {
        return Err(PatternError::new("an empty pattern matches nothing", "write a host, such as \"example.com\""));
    }
    if input.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(PatternError::new(format!("a pattern has no blanks: {shown}"), "write one host per entry, such as \"example.com\""));
    }
    if let Some((_, rest)) = input.split_once("://") {
        return Err(PatternError::new(format!("a pattern is a host, not a URL: {shown}"), instead(rest)));
    }
    if let Some((before, _)) = input.split_once(['/', '?', '#', '\\']) {
        let is_address = before.trim_start_matches('[').parse::<IpAddr>().is_ok();
        if !is_address {
            return Err(PatternError::new(format!("a path may not stand in a pattern: {shown}"), instead(input)));
        }
    }
    if input.contains('@') {
        return Err(PatternError::new(format!("user information may not stand in a pattern: {shown}"), instead(input)));
    }
    if let Some(domain) = input.strip_prefix('.') {
        let help = format!("write \"**.{domain}\" for the domain and everything below, or \"*.{domain}\" for what is below only");
        return Err(PatternError::new(format!("a pattern does not begin with a dot: {shown}"), help));
    }
    Ok(())
}

/// What to write instead of (the rest of) a URL.
fn instead(url: &str) -> String {
    let authority = url.split(['/', '?', '#', '\\']).next().unwrap_or(url);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("write \"{}\"", host.escape_debug())
}

/// Takes a pattern apart into its host, without brackets, and what follows a colon.
fn split_port(input: &str) -> Result<(&str, Option<&str>), PatternError> {
    if let Some(rest) = input.strip_prefix('[') {
        let inside = rest.split_once(']').filter(|(inside, after)| inside.contains(':') && (after.is_empty() || after.starts_with(':')));
        let (inside, after) = inside.ok_or_else(|| {
            PatternError::new(format!("brackets belong around an IPv6 address: {}", shown(input)), "write \"[2001:db8::1]:443\"")
        })?;
        return Ok((inside, after.strip_prefix(':')));
    }
    if input.matches(':').count() > 1 {
        return Ok((input, None));
    }
    Ok(input.split_once(':').map_or((input, None), |(host, port)| (host, Some(port))))
}

fn parse_ports(port: Option<&str>, input: &str) -> Result<Ports, PatternError> {
    let Some(port) = port else { return Ok(Ports::Default) };
    if port == "*" {
        return Ok(Ports::Any);
    }
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    port.parse().ok().filter(|_| plain).map(Ports::One).ok_or_else(|| {
        PatternError::new(
            format!("a port is a number from 1 to 65535, or *: {}", shown(input)),
            "write one entry per port, such as \"example.com:8443\"",
        )
    })
}

fn parse_host(host: &str, input: &str) -> Result<HostPattern, PatternError> {
    if let Some(net) = parse_net(host)? {
        return Ok(HostPattern::Net(net));
    }
    let everything = |text: &str| text.split('.').all(|label| !label.is_empty() && label.bytes().all(|byte| byte == b'*'));
    if everything(host) {
        let help = "access = \"full\" allows every name and access = \"none\" none; else write the domains that are meant";
        return Err(PatternError::new(format!("{} would match every host", shown(input)), help));
    }
    let (depth, labels) = match (host.strip_prefix("**."), host.strip_prefix("*.")) {
        (Some(labels), _) => (Depth::AtAndBelow, labels),
        (None, Some(labels)) => (Depth::Below, labels),
        (None, None) => (Depth::At, host),
    };
    let labels = canonical_labels(labels, input)?;
    let compiled = if labels.contains('*') { compile(&labels)? } else { Box::default() };
    Ok(HostPattern::Name(NamePattern { depth, labels, compiled }))
}

/// Reads an address or a network; `None` where the text is neither and must be a name.
pub(super) fn parse_net(host: &str) -> Result<Option<IpNet>, PatternError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Some(IpNet::from(address)));
    }
    let (what, help) = if host.contains(':') {
        ("an IPv6 address or network", "write it plainly, or in brackets where a port follows: \"[2001:db8::1]:443\"")
    } else if host.contains('/') {
        ("a network", "write an address and a prefix length, such as \"10.1.2.0/24\"")
    } else {
        return Ok(None);
    };
    let net: IpNet = host.parse().map_err(|_| PatternError::new(format!("not {what}: {}", shown(host)), help))?;
    if net != net.trunc() {
        let help = format!("write \"{}\" for the network or \"{}\" for the address", net.trunc(), net.addr());
        return Err(PatternError::new(format!("a network whose address has bits beyond its prefix: {}", shown(host)), help));
    }
    Ok(Some(net))
}

/// Turns labels with globs into A-labels, lower case, without trailing dot, and judges each as the wire would.
fn canonical_labels(labels: &str, input: &str) -> Result<Box<str>, PatternError> {
    let wildcards = "\"*.\" or \"**.\" before a domain, or \"*\" inside a label";
    if labels.contains("**") {
        return Err(PatternError::new(
            format!("\"**\" stands only before the first dot: {}", shown(input)),
            format!("wildcards are {wildcards}"),
        ));
    }
    let ascii = if labels.is_ascii() { labels.to_ascii_lowercase() } else { to_a_labels(labels, input)? };
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.rsplit('.').next().is_some_and(|last| last.contains('*')) {
        return Err(PatternError::new(
            format!("the last label of a pattern is written out: {}", shown(input)),
            format!("wildcards are {wildcards}"),
        ));
    }
    // A star stands for at least nothing and at most a label: the rest must be a valid name with it.
    match Host::parse(name.replace('*', "x").as_bytes()) {
        Ok(Host::Name(_)) => Ok(name.into()),
        Ok(Host::Ip(_)) => Err(PatternError { message: format!("a wildcard never matches an address: {}", shown(input)), help: None }),
        Err(_) => {
            let error =
                Host::parse(name.as_bytes()).err().map_or_else(|| format!("not a host: {}", shown(input)), |error| error.to_string());
            Err(PatternError {
                message: if name.contains('*') { format!("not a pattern of hosts: {}", shown(input)) } else { error },
                help: None,
            })
        }
    }
}

fn to_a_labels(labels: &str, input: &str) -> Result<String, PatternError> {
    if labels.contains('*') {
        return Err(PatternError::new(
            format!("a \"*\" inside a label and letters beyond ASCII do not go together: {}", shown(input)),
            "write the labels in ASCII (xn--…)",
        ));
    }
    match Uts46::new().to_ascii(labels.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore) {
        Ok(ascii) => Ok(ascii.into_owned()),
        Err(_) => Err(PatternError { message: format!("not an internationalized domain name: {}", shown(input)), help: None }),
    }
}

fn compile(labels: &str) -> Result<Box<[Label]>, PatternError> {
    let label = |text: &str| {
        if !text.contains('*') {
            return Ok(Label::Literal(text.into()));
        }
        let glob = Glob::new(text).map_err(|error| PatternError { message: format!("not a glob: {error}"), help: None })?;
        Ok(Label::Glob(Box::new(glob.compile_matcher())))
    };
    labels.rsplit('.').map(label).collect()
}

/// An offending input, quoted, escaped and bounded.
pub(super) fn shown(input: &str) -> String {
    let bounded: String = input.chars().take(MAX_SHOWN).collect();
    let ellipsis = if bounded.len() < input.len() { "…" } else { "" };
    format!("\"{}{ellipsis}\"", bounded.escape_debug())
}

/// Most of an offending input that an error shows, in characters.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests;

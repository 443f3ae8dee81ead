//! Where a request wants to go, parsed and made canonical once: the only form that policy, SNI, Host and dial see.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Longest host name in octets, without the root's dot (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 253;
/// Longest label in octets (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// The host name of this program's own pages, through any door.
pub const OWN_PAGES: &str = "tidegate.internal";

/// A host name in its one canonical form: ASCII, lower case, no trailing dot, at least one label; every label has 1 to
/// 63 octets of letters, digits, `-` and `_`, neither begins nor ends with `-`, and is a valid A-label where it begins
/// with `xn--`. Never a spelling of an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name itself, then each of its parents: `a.b.c`, `b.c`, `c`.
    pub fn suffixes(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |suffix| suffix.split_once('.').map(|(_, parent)| parent))
    }
}

/// A host as the sandbox named it: a name still to be resolved, or an address spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(Name),
    Ip(IpAddr),
}

impl Host {
    /// Reads a host as it may stand in an authority (RFC 3986, section 3.2.2), far more strictly than that: ASCII only,
    /// no percent-encoding, brackets only around a valid IPv6 address without zone, and IPv4 only as a dotted quad
    /// without leading zeros. One trailing dot of a name is removed.
    pub fn parse(input: &[u8]) -> Result<Self, DestinationError> {
        let fail = |problem| DestinationError::new(input, problem);
        if input.is_empty() {
            return Err(fail(Problem::Empty));
        }
        if input.len() > MAX_NAME + 1 {
            return Err(fail(Problem::NameTooLong));
        }
        if let Some(rest) = input.strip_prefix(b"[") {
            let inner = rest.strip_suffix(b"]").ok_or_else(|| fail(Problem::Brackets))?;
            let text = std::str::from_utf8(inner).map_err(|_| fail(Problem::Brackets))?;
            return match Ipv6Addr::from_str(text) {
                Ok(address) => Ok(Self::Ip(IpAddr::V6(address))),
                Err(_) => Err(fail(Problem::Brackets)),
            };
        }
        if let Some(&byte) = input.iter().find(|byte| !is_name_byte(**byte)) {
            return Err(fail(Problem::Character(byte)));
        }
        let text = std::str::from_utf8(input).map_err(|_| fail(Problem::Empty))?;
        if is_ipv4_attempt(text) {
            return parse_dotted_quad(text).map(|address| Self::Ip(IpAddr::V4(address))).ok_or_else(|| fail(Problem::Ipv4Spelling));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        check_labels(&name).map_err(fail)?;
        Ok(Self::Name(Name(name.into_boxed_str())))
    }

    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(address) => Some(*address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A host and a port from 1 to 65535. Displayed as `host:port`, which parses back to the same value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub host: Host,
    pub port: u16,
}

impl Destination {
    /// Reads `host:port` (authority-form, RFC 9112, section 3.2.3); the port may be left out only where the scheme gives
    /// one, as `default_port`. User information is refused.
    pub fn parse(authority: &[u8], default_port: Option<u16>) -> Result<Self, DestinationError> {
        let fail = |problem| DestinationError::new(authority, problem);
        if authority.contains(&b'@') {
            return Err(fail(Problem::UserInformation));
        }
        let end_of_host = match authority.iter().rposition(|&byte| byte == b']') {
            Some(bracket) => bracket + 1,
            None => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
        };
        let (host, rest) = authority.split_at(end_of_host);
        let port = match (rest.split_first(), default_port) {
            (None, Some(port)) => port,
            (None, None) => return Err(fail(Problem::PortMissing)),
            (Some((b':', digits)), _) => parse_port(digits).ok_or_else(|| fail(Problem::Port))?,
            (Some(_), _) => return Err(fail(Problem::Brackets)),
        };
        Ok(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A host or authority that means nothing here, with the input (bounded, escaped) and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationError {
    input: Box<str>,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Empty,
    NameTooLong,
    LabelLength,
    LabelHyphen,
    ALabel,
    Character(u8),
    Brackets,
    Ipv4Spelling,
    UserInformation,
    PortMissing,
    Port,
}

impl DestinationError {
    fn new(input: &[u8], problem: Problem) -> Self {
        let shown = &input[..input.len().min(MAX_SHOWN)];
        let ellipsis = if shown.len() < input.len() { "…" } else { "" };
        Self { input: format!("{}{ellipsis}", shown.escape_ascii()).into(), problem }
    }
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = &self.input;
        match self.problem {
            Problem::Empty => write!(f, "no host in \"{input}\""),
            Problem::NameTooLong => write!(f, "host longer than {MAX_NAME} octets: \"{input}\""),
            Problem::LabelLength => write!(f, "a label of a host has 1 to {MAX_LABEL} octets: \"{input}\""),
            Problem::LabelHyphen => write!(f, "a label of a host neither begins nor ends with a hyphen: \"{input}\""),
            Problem::ALabel => write!(f, "a label beginning with xn-- is not a valid A-label: \"{input}\""),
            Problem::Character(byte) => {
                write!(f, "\"{}\" may not stand in a host, which is plain ASCII here: \"{input}\"", byte.escape_ascii())
            }
            Problem::Brackets => write!(f, "brackets belong around an IPv6 address without zone and nothing else: \"{input}\""),
            Problem::Ipv4Spelling => write!(f, "an IPv4 address is written as four decimal numbers without leading zeros: \"{input}\""),
            Problem::UserInformation => write!(f, "user information may not stand before a host: \"{input}\""),
            Problem::PortMissing => write!(f, "a port is missing, write host:port: \"{input}\""),
            Problem::Port => write!(f, "a port is a number from 1 to 65535: \"{input}\""),
        }
    }
}

impl std::error::Error for DestinationError {}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Whether a C resolver could take this for an IPv4 address: the last label is a decimal, octal or hexadecimal number.
fn is_ipv4_attempt(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or(text);
    let hexadecimal = last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    if hexadecimal {
        last[2..].bytes().all(|byte| byte.is_ascii_hexdigit())
    } else {
        !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Four decimal numbers up to 255 without leading zeros; [`Ipv4Addr`]'s own parser is exactly that strict.
fn parse_dotted_quad(text: &str) -> Option<Ipv4Addr> {
    Ipv4Addr::from_str(text).ok()
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn check_labels(name: &str) -> Result<(), Problem> {
    if name.len() > MAX_NAME {
        return Err(Problem::NameTooLong);
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(Problem::LabelLength);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(Problem::LabelHyphen);
        }
        if label.starts_with("xn--") && !is_a_label(label) {
            return Err(Problem::ALabel);
        }
    }
    Ok(())
}

fn is_a_label(label: &str) -> bool {
    Uts46::new().to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify).is_ok_and(|ascii| ascii == label)
}

/// Most of an offending input that an error shows, in octets.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests;

//! Whether something would pass, asked without doing it.

use std::{net::IpAddr, time::SystemTime};

use super::{Denial, Facts, Own, Policy, Protocol, RequestFacts, RuleRef, Way};
use crate::{
    destination::Destination,
    reason::Reason,
    wire::{
        http1::MAX_METHOD,
        target::{self, RequestTarget},
    },
};

/// A request that somebody thinks of making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub destination: Destination,
    /// What its name resolves to, where that is known.
    pub address: Option<IpAddr>,
    pub way: Way,
    /// Whether the connection would speak TLS, where the target says so.
    pub tls: bool,
    pub method: Option<Box<str>>,
    /// Path and query.
    pub origin_form: Box<str>,
}

/// What would pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The entry that allows it; none where a level allows without one.
    pub rule: Option<RuleRef>,
    /// What would be refused, if report mode did not let it through.
    pub would_deny: Option<Reason>,
}

impl Question {
    /// Reads `http://host[:port][/…]` as the proxy would be asked for it, `https://host[:port][/…]` as CONNECT followed by
    /// TLS, and `host[:port]` as CONNECT alone, on port 443 where none is written. The method of a request is GET where none
    /// is named; a method without a path is one for `/`.
    ///
    /// # Errors
    /// [`Reason::BadRequest`], as the wire would answer.
    pub fn parse(target: &str, method: Option<&str>) -> Result<Self, Box<Denial>> {
        let is_token = |method: &str| {
            (1..=MAX_METHOD).contains(&method.len())
                && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !method.is_none_or(is_token) {
            return Err(malformed("a method is a word such as GET"));
        }
        let named = method.map(Into::into);
        let method = named.clone().or_else(|| Some("GET".into()));
        // A client keeps the fragment to itself (RFC 9110, section 7.1).
        let target = target.split('#').next().unwrap_or_default();
        match target.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => match target::parse("GET", target.as_bytes()) {
                Ok(RequestTarget::Absolute { destination, origin_form }) => {
                    Ok(Self { destination, address: None, way: Way::Http, tls: false, method, origin_form })
                }
                Ok(_) => Err(malformed("write http://host/path")),
                Err(error) => Err(malformed(&error.to_string())),
            },
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let slash = if path_and_query.starts_with('/') { "" } else { "/" };
                let destination = parse_authority(authority)?;
                let origin_form = format!("{slash}{path_and_query}").into();
                Ok(Self { destination, address: None, way: Way::Connect, tls: true, method, origin_form })
            }
            Some(_) => Err(malformed("only http:// and https:// can be asked about")),
            None => {
                let destination = parse_authority(target)?;
                Ok(Self { destination, address: None, way: Way::Connect, tls: false, method: named, origin_form: "/".into() })
            }
        }
    }

    /// Asks the policy exactly what the wire would ask, in its order, but for the addresses of a name that are not known:
    /// those are judged when it is dialled. An address that is spelled out is judged.
    ///
    /// # Errors
    /// What the wire would refuse it with.
    pub fn decide(&self, policy: &Policy, now: SystemTime) -> Result<Approval, Box<Denial>> {
        let Self { destination, address, way, tls, method, origin_form } = self;
        let permit = policy.decide_destination(&Facts { destination, way: *way, now })?;
        let expectation = permit.expectation();
        let rule = permit.rule().cloned();
        // Where a tunnel is not read, nobody sees what is asked in it.
        let is_read = permit.interception().is_some() || (!tls && expectation.protocol() == Protocol::Http);
        let mut would_deny = permit.would_deny();
        if let Some(address) = destination.host.ip().or(*address) {
            would_deny = permit.admit(&[address], &Own::default())?.permit().would_deny();
        }
        if *tls && expectation.protocol() == Protocol::Http {
            would_deny = would_deny.or(expectation.decide_opaque()?.would_deny());
        }
        if let Some(method) = method.as_ref().filter(|_| is_read) {
            let cleared = expectation.decide_request(&RequestFacts { method, host: None, target: None, origin_form, body_length: None })?;
            would_deny = would_deny.or(cleared.would_deny());
        }
        Ok(Approval { rule, would_deny })
    }
}

fn parse_authority(authority: &str) -> Result<Destination, Box<Denial>> {
    Destination::parse(authority.as_bytes(), Some(443)).map_err(|error| malformed(&error.to_string()))
}

fn malformed(problem: &str) -> Box<Denial> {
    Box::new(Denial::new(Reason::BadRequest, format!("The target cannot be asked about: {problem}.")))
}

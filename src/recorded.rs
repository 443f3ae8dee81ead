//! One line of an audit file, read back: what was asked for, and what was decided.

use std::{borrow::Cow, fmt, net::IpAddr, time::SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    destination::{Destination, Host},
    reason::Reason,
};

/// A decision as it stands in the audit; what nothing is learned from is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub time: SystemTime,
    pub session: Option<Box<str>>,
    pub asked: Asked,
    /// Why it was refused or failed; none where it was allowed.
    pub reason: Option<Reason>,
    /// What report mode alone let through.
    pub would_deny: Option<Reason>,
    pub destination: Option<Destination>,
    /// What was dialled, or refused.
    pub address: Option<IpAddr>,
    pub method: Option<Box<str>>,
    /// Without its query.
    pub path: Option<Box<str>>,
    /// The destination whose answer led here.
    pub redirected_by: Option<Destination>,
    /// It tells of the end of what an earlier record decided.
    pub ended: bool,
}

/// What kind of thing was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A tunnel.
    Connect,
    /// A request.
    Http,
    /// What no list of hosts decides: repositories, names, the owner's own doing.
    Other,
}

impl Recorded {
    /// Reads a line without its end, [`MAX_LINE`] octets at most: a JSON object of schema 1. Fields that are not known here mean
    /// nothing.
    ///
    /// # Errors
    /// Whatever no record of this program looks like.
    pub fn read(line: &[u8]) -> Result<Self, RecordedError> {
        if line.len() > MAX_LINE {
            return Err(RecordedError::TooLong);
        }
        let written: Written<'_> = serde_json::from_slice(line).map_err(|_| RecordedError::Form)?;
        if written.schema != SCHEMA {
            return Err(RecordedError::Schema(written.schema));
        }
        let time: Timestamp = written.time.parse().map_err(|_| RecordedError::Field("time"))?;
        let destination = match (&written.host, written.port) {
            (None, _) => None,
            // A name that was asked for: nothing was connected to.
            (Some(_), None) if written.kind == "dns" => None,
            (Some(_), None) => return Err(RecordedError::Field("port")),
            (Some(host), Some(port)) => Some(destination(host, port).ok_or(RecordedError::Field("host"))?),
        };
        let redirected_by = written.redirected_by.as_deref().map(|from| Destination::parse(from.as_bytes(), None));
        Ok(Self {
            time: time.into(),
            session: written.session.map(|session| session.into_owned().into()),
            asked: match &*written.kind {
                "connect" => Asked::Connect,
                "http" => Asked::Http,
                _ => Asked::Other,
            },
            reason: reason(written.reason.as_deref()).ok_or(RecordedError::Field("reason"))?,
            would_deny: reason(written.would_deny.as_deref()).ok_or(RecordedError::Field("would_deny"))?,
            destination,
            address: written.address,
            method: written.method.map(|method| method.into_owned().into()),
            path: written.path.map(|path| path.into_owned().into()),
            redirected_by: redirected_by.transpose().map_err(|_| RecordedError::Field("redirected_by"))?,
            ended: written.duration_ms.is_some(),
        })
    }
}

fn destination(host: &str, port: u16) -> Option<Destination> {
    (port > 0).then_some(Destination { host: Host::parse(host.as_bytes()).ok()?, port })
}

/// No word, a known word, or `None`.
#[expect(clippy::option_option, reason = "an absent word is no fault")]
fn reason(word: Option<&str>) -> Option<Option<Reason>> {
    word.map_or(Some(None), |word| Reason::parse(word).map(Some))
}

/// A record as far as it is read.
#[derive(Deserialize)]
struct Written<'l> {
    schema: u64,
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    kind: Cow<'l, str>,
    #[serde(borrow)]
    session: Option<Cow<'l, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'l, str>>,
    #[serde(borrow)]
    would_deny: Option<Cow<'l, str>>,
    #[serde(borrow)]
    host: Option<Cow<'l, str>>,
    port: Option<u16>,
    address: Option<IpAddr>,
    #[serde(borrow)]
    method: Option<Cow<'l, str>>,
    #[serde(borrow)]
    path: Option<Cow<'l, str>>,
    #[serde(borrow)]
    redirected_by: Option<Cow<'l, str>>,
    duration_ms: Option<u64>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedError {
    /// Longer than [`MAX_LINE`].
    TooLong,
    /// No JSON object with the fields of a record.
    Form,
    /// Of a schema that is not known here.
    Schema(u64),
    /// This field holds what no record does.
    Field(&'static str),
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a record has at most {MAX_LINE} octets"),
            Self::Form => f.write_str("not an audit record"),
            Self::Schema(schema) => write!(f, "an audit record of schema {schema}, where {SCHEMA} is known"),
            Self::Field(name) => write!(f, "not an audit record: nothing that \"{name}\" may be"),
        }
    }
}

impl std::error::Error for RecordedError {}

/// The longest line in octets: a push of as many refs as are recorded, each of the longest name and escaped, stays below.
pub const MAX_LINE: usize = 1024 * 1024;
const SCHEMA: u64 = 1;

#[cfg(test)]
mod tests;

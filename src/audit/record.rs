//! What a record holds, and how it is written.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::ser::{Formatter, Serializer as JsonSerializer};

use crate::{
    destination::{Destination, Host, Name},
    github::{
        RepositoryName,
        push::{ObjectId, RefName},
    },
    metrics::{Door, Kind},
    policy::{RuleRef, asking::Wish, grant::Bearer},
    processes::Process,
    reason::{Reason, Verdict},
};

/// What is recorded of one decision, or of the end of a tunnel. It can hold no header, body or secret, and what it
/// takes from the sandbox is bounded.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    door: Door,
    kind: Kind,
    session: Option<Arc<str>>,
    generation: u64,
    reason: Option<Reason>,
    rule: Option<RuleRef>,
    would_deny: Option<Reason>,
    host: Option<Host>,
    port: Option<u16>,
    address: Option<IpAddr>,
    method: Option<String>,
    path: Option<String>,
    repository: Option<RepositoryName>,
    /// None where there is no push.
    refs: Option<Vec<String>>,
    /// Of these refs, where there are any.
    tips: Vec<Tips>,
    passed: Option<Passed>,
    process: Option<Arc<Process>>,
    /// Written only where there is one.
    redirected_by: Option<Destination>,
    /// Written only where a credential went with it.
    credential: Option<Bearer>,
    /// Written only where one was seen.
    github_token: Option<Sighting>,
}

/// Where a token of one of GitHub's shapes stood in what a sandbox sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sighting {
    Method,
    Target,
    Header,
    /// Of a door that asks for one.
    Password,
    Body,
}

impl Sighting {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Target => "target",
            Self::Header => "header",
            Self::Password => "password",
            Self::Body => "body",
        }
    }
}

/// Where a ref pointed and is to point; none where it is made or deleted.
#[derive(Debug, Clone, Serialize)]
struct Tips {
    old: Option<String>,
    new: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Passed {
    up: u64,
    down: u64,
    duration: Duration,
}

impl Record {
    /// Something allowed, of which nothing more is known.
    pub(crate) fn new(door: Door, kind: Kind) -> Self {
        Self {
            door,
            kind,
            session: None,
            generation: 0,
            reason: None,
            rule: None,
            would_deny: None,
            host: None,
            port: None,
            address: None,
            method: None,
            path: None,
            repository: None,
            refs: None,
            tips: Vec::new(),
            passed: None,
            process: None,
            redirected_by: None,
            credential: None,
            github_token: None,
        }
    }

    /// Of this session, under the policy of this generation.
    #[must_use]
    pub(crate) fn under(self, session: &Arc<str>, generation: u64) -> Self {
        Self { session: Some(session.clone()), generation, ..self }
    }

    /// To this destination.
    #[must_use]
    pub(crate) fn to(self, destination: &Destination) -> Self {
        Self { host: Some(destination.host.clone()), port: Some(destination.port), ..self }
    }

    /// About this name alone, to which nothing is connected.
    #[must_use]
    pub(crate) fn naming(self, name: &Name) -> Self {
        Self { host: Some(Host::Name(name.clone())), ..self }
    }

    /// A request with this method, and this path unless it is a CONNECT; both cut to their bounds and the path to before
    /// its query.
    #[must_use]
    pub(crate) fn requesting(self, method: &str, path: Option<&str>) -> Self {
        Self { method: Some(bounded_method(method).to_owned()), path: path.map(|path| bounded_path(path).to_owned()), ..self }
    }

    /// Of a repository, and of these refs of it where it is a push; the first [`MAX_REFS`] of them and how many more there are.
    #[must_use]
    pub(crate) fn of(self, repository: &RepositoryName, refs: &[RefName]) -> Self {
        let mut names: Vec<_> = refs.iter().take(MAX_REFS).map(|name| name.as_str().to_owned()).collect();
        if refs.len() > MAX_REFS {
            names.push(format!("… {} more", refs.len() - MAX_REFS));
        }
        Self { repository: Some(repository.clone()), refs: (!names.is_empty()).then_some(names), ..self }
    }

    /// What it makes of the refs, in their order: the old object and the new one of the first [`MAX_REFS`].
    #[must_use]
    pub(crate) fn moving(self, tips: &[[ObjectId; 2]]) -> Self {
        let shown = |id: &ObjectId| (!id.is_zero()).then(|| id.to_string());
        Self { tips: tips.iter().take(MAX_REFS).map(|[old, new]| Tips { old: shown(old), new: shown(new) }).collect(), ..self }
    }

    /// About what a sandbox asks its owner for.
    #[must_use]
    pub(crate) fn wishing(self, wish: &Wish) -> Self {
        match wish {
            Wish::Host(host) => self.to(host.destination()),
            Wish::Repository(wish) => self.of(&wish.repository, wish.reference.as_slice()),
        }
    }

    /// Refused or failed: the verdict follows from the reason.
    #[must_use]
    pub(crate) fn refused(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Decided by this entry of a policy.
    #[must_use]
    pub(crate) fn by(self, rule: Option<&RuleRef>) -> Self {
        Self { rule: rule.cloned(), ..self }
    }

    /// Let through by report mode alone.
    #[must_use]
    pub(crate) fn would_deny(self, reason: Option<Reason>) -> Self {
        Self { would_deny: reason, ..self }
    }

    /// Dialled at this address, where it is known.
    #[must_use]
    pub(crate) fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// Over: so many bytes went upstream and downstream in that time.
    #[must_use]
    pub(crate) fn ended(self, up: u64, down: u64, duration: Duration) -> Self {
        Self { passed: Some(Passed { up, down, duration }), ..self }
    }

    /// Asked for by this process, where it is known.
    #[must_use]
    pub(crate) fn of_process(self, process: Option<&Arc<Process>>) -> Self {
        Self { process: process.cloned(), ..self }
    }

    /// Where an answer of this destination led.
    #[must_use]
    pub(crate) fn redirected_by(self, from: Destination) -> Self {
        Self { redirected_by: Some(from), ..self }
    }

    /// Done with a credential of this kind.
    #[must_use]
    pub(crate) fn with_credential(self, credential: Option<Bearer>) -> Self {
        Self { credential, ..self }
    }

    /// A token of GitHub's stood there in what the sandbox sent.
    #[must_use]
    pub(crate) fn showing(self, github_token: Option<Sighting>) -> Self {
        Self { github_token, ..self }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Why it was refused or failed; none where it was allowed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The record without its stamp: a JSON object in printable ASCII.
    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut json = Vec::with_capacity(USUAL_LINE);
        self.serialize(&mut JsonSerializer::with_formatter(&mut json, Ascii))?;
        Ok(json)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = self.reason.map_or(Verdict::Allow, Reason::verdict);
        let mut object = serializer.serialize_struct("Record", FIELDS)?;
        object.serialize_field("generation", &self.generation)?;
        object.serialize_field("session", &self.session.as_deref())?;
        object.serialize_field("door", self.door.as_str())?;
        object.serialize_field("kind", self.kind.as_str())?;
        object.serialize_field("verdict", verdict.as_str())?;
        object.serialize_field("reason", &self.reason.map(Reason::as_str))?;
        object.serialize_field("rule", &self.rule.as_ref().map(ToString::to_string))?;
        object.serialize_field("would_deny", &self.would_deny.map(Reason::as_str))?;
        object.serialize_field("host", &self.host.as_ref().map(ToString::to_string))?;
        object.serialize_field("port", &self.port)?;
        object.serialize_field("address", &self.address)?;
        object.serialize_field("method", &self.method)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("repository", &self.repository)?;
        object.serialize_field("refs", &self.refs)?;
        object.serialize_field("bytes_up", &self.passed.map(|passed| passed.up))?;
        object.serialize_field("bytes_down", &self.passed.map(|passed| passed.down))?;
        object.serialize_field("duration_ms", &self.passed.map(|passed| passed.duration.as_millis()))?;
        object.serialize_field("pid", &self.process.as_ref().map(|process| process.pid))?;
        object.serialize_field("exe", &self.process.as_ref().and_then(|process| Some(cut(process.exe.as_deref()?, MAX_EXE))))?;
        if !self.tips.is_empty() {
            object.serialize_field("tips", &self.tips)?;
        }
        if let Some(from) = &self.redirected_by {
            object.serialize_field("redirected_by", &from.to_string())?;
        }
        if let Some(credential) = self.credential {
            object.serialize_field("credential", credential.as_str())?;
        }
        if let Some(sighting) = self.github_token {
            object.serialize_field("github_token", sighting.as_str())?;
        }
        object.end()
    }
}

/// The line of a record: its stamp, then `body`, the JSON object of its other fields.
pub(super) fn line(time: SystemTime, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut line = format!(r#"{{"schema":{SCHEMA},"time":"{}","sequence":{sequence},"#, rfc3339(time)).into_bytes();
    line.extend_from_slice(body.strip_prefix(b"{").unwrap_or(body));
    line.push(b'\n');
    line
}

/// A time in UTC, to the microsecond (RFC 3339).
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.6}", Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// As much of a method as is recorded: 32 octets at most.
pub(crate) fn bounded_method(method: &str) -> &str {
    cut(method, MAX_METHOD)
}

/// As much of a path as is recorded: what stands before a query, 2 KiB at most.
pub(crate) fn bounded_path(path: &str) -> &str {
    cut(path.split(['?', '#']).next().unwrap_or(path), MAX_PATH)
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// JSON in printable ASCII: a terminal that shows a record takes no orders from the sandbox.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            match character {
                ' '..='~' => write!(writer, "{character}")?,
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

const SCHEMA: u32 = 1;
/// Fields of a record besides its stamp, at most.
const FIELDS: usize = 24;
const MAX_METHOD: usize = 32;
const MAX_PATH: usize = 2048;
const MAX_EXE: usize = 1024;
/// Refs of a push that are recorded by name.
const MAX_REFS: usize = 256;
const USUAL_LINE: usize = 512;

#[cfg(test)]
mod tests;

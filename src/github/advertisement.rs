//! What an upstream answers to `GET info/refs?service=…`, as it reaches the sandbox (git's `gitprotocol-http`, `gitprotocol-pack` and
//! `gitprotocol-v2`).
//!
//! Refs are not touched: git needs them all to know what it may leave out of a pack. Taken out are capabilities that would lead git
//! into a refusal, send it to another host, or name a process: of a push everything that may not be asked for, such as
//! `push-options` and `push-cert`; of a fetch `session-id`, `bundle-uri`, `packfile-uris`, `promisor-remote`, and whatever holds an
//! address.

use std::fmt;

use gix_packetline::PacketLineRef;

use super::{
    ProtocolVersion, Service,
    pkt_line::{self, LineError},
    push::{self, ObjectId},
};
use crate::{reason::Reason, wire::excerpt};

/// The beginning of an advertisement, up to where nothing has to be written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// What to send on in place of the first `length` octets; it is not longer. Everything behind them follows as it came. Reading it
    /// gives the same.
    pub written: Vec<u8>,
    /// Octets that were read.
    pub length: usize,
    /// What the upstream speaks, whatever it was asked for.
    pub version: ProtocolVersion,
}

/// Reads an [`Advertisement`] while its bytes arrive.
///
/// It is `# service=NAME` and a flush, then one of: refs, the first with the capabilities behind a NUL, or only a flush (version 0); a
/// line `version 1` and the same; a line `version 2` and capabilities up to a flush, which may stand without the service, too.
#[derive(Debug)]
pub struct AdvertisementReader {
    service: Service,
    expected: Expected,
    /// Octets that were read.
    length: usize,
    /// Lines that were read.
    lines: usize,
    written: Vec<u8>,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Service,
    FlushOfService,
    /// A version, or the first ref of version 0.
    Version,
    FirstRef(ProtocolVersion),
    /// A capability of version 2.
    Capability,
    Nothing(ProtocolVersion),
}

impl AdvertisementReader {
    pub fn new(service: Service) -> Self {
        Self { service, expected: Expected::Service, length: 0, lines: 0, written: Vec::new() }
    }

    /// Is offered all bytes of the answer that there are, from the first, each time. `None`: not yet; no more than [`MAX_ADVERTISEMENT`]
    /// octets are ever waited for. After an answer other than `None` the reader is done.
    pub fn read(&mut self, body: &[u8]) -> Result<Option<Advertisement>, AdvertisementError> {
        loop {
            let Some((line, end)) = pkt_line::read(body, self.length, MAX_ADVERTISEMENT)? else { return Ok(None) };
            self.length = end;
            self.lines += 1;
            if self.lines > MAX_LINES {
                return Err(AdvertisementError::TooManyLines);
            }
            self.expected = match line {
                PacketLineRef::Data(line) => self.line(line)?,
                PacketLineRef::Flush => self.flush()?,
                PacketLineRef::Delimiter | PacketLineRef::ResponseEnd => return Err(AdvertisementError::End),
            };
            if let Expected::Nothing(version) = self.expected {
                return Ok(Some(Advertisement { written: std::mem::take(&mut self.written), length: self.length, version }));
            }
        }
    }

    /// Writes a line anew and says what may come behind it.
    fn line(&mut self, line: &[u8]) -> Result<Expected, AdvertisementError> {
        let (content, end) = match line.strip_suffix(b"\n") {
            Some(content) => (content, b"\n".as_slice()),
            None => (line, b"".as_slice()),
        };
        if content.starts_with(b"ERR ") {
            // Its words are not repeated: they could hold what the request was sent with.
            return Err(AdvertisementError::Upstream);
        }
        let (content, next) = match self.expected {
            Expected::Service => (Some(content.to_vec()), self.service(content)?),
            Expected::FlushOfService | Expected::Nothing(_) => return Err(AdvertisementError::Service(self.service, excerpt(content))),
            Expected::Version => match self.version(content)? {
                Some(next) => (Some(content.to_vec()), next),
                None => (Some(first_ref(self.service, content)?), Expected::Nothing(ProtocolVersion::V0)),
            },
            Expected::FirstRef(version) => (Some(first_ref(self.service, content)?), Expected::Nothing(version)),
            Expected::Capability => (capability(content)?, Expected::Capability),
        };
        if let Some(content) = content {
            pkt_line::write(&[&content, end].concat(), &mut self.written);
        }
        Ok(next)
    }

    fn flush(&mut self) -> Result<Expected, AdvertisementError> {
        self.written.extend_from_slice(pkt_line::FLUSH);
        match self.expected {
            Expected::FlushOfService => Ok(Expected::Version),
            // Old servers say no more of an empty repository.
            Expected::Version => Ok(Expected::Nothing(ProtocolVersion::V0)),
            Expected::FirstRef(version) => Ok(Expected::Nothing(version)),
            Expected::Capability => Ok(Expected::Nothing(ProtocolVersion::V2)),
            Expected::Service | Expected::Nothing(_) => Err(AdvertisementError::End),
        }
    }

    fn service(&self, content: &[u8]) -> Result<Expected, AdvertisementError> {
        match content.strip_prefix(b"# service=") {
            Some(name) if name == self.service.as_str().as_bytes() => Ok(Expected::FlushOfService),
            None if content == b"version 2" => self.version(content)?.ok_or(AdvertisementError::End),
            Some(_) | None => Err(AdvertisementError::Service(self.service, excerpt(content))),
        }
    }

    /// What follows a line that names a version.
    fn version(&self, content: &[u8]) -> Result<Option<Expected>, AdvertisementError> {
        match (content, self.service) {
            (b"version 1", _) => Ok(Some(Expected::FirstRef(ProtocolVersion::V1))),
            (b"version 2", Service::UploadPack) => Ok(Some(Expected::Capability)),
            _ if content.starts_with(b"version ") => Err(AdvertisementError::Version(self.service, excerpt(content))),
            _ => Ok(None),
        }
    }
}

/// The line of the first ref, with the capabilities that are left of it.
fn first_ref(service: Service, line: &[u8]) -> Result<Vec<u8>, AdvertisementError> {
    let nul = line.iter().position(|byte| *byte == 0);
    let (line, capabilities) = line.split_at(nul.unwrap_or(line.len()));
    let (id, name) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
    if ObjectId::parse(id).is_none() || name.len() < 2 || has_control(name) {
        return Err(AdvertisementError::Ref(excerpt(line)));
    }
    let mut written = line.to_vec();
    if let Some(capabilities) = capabilities.strip_prefix(b"\0") {
        if has_control(capabilities) {
            return Err(AdvertisementError::Capability(excerpt(capabilities)));
        }
        written.push(0);
        written.append(&mut words(capabilities, |word| stays(service, word)));
    }
    Ok(written)
}

/// Whether a capability of versions 0 and 1 is sent on.
fn stays(service: Service, word: &[u8]) -> bool {
    let (name, value) = name_and_value(word);
    let asked_for = match (service, std::str::from_utf8(name), value.map(std::str::from_utf8).transpose()) {
        (Service::UploadPack, ..) => name != b"session-id",
        // No sender asks for this: it says what a receiver cannot do.
        (Service::ReceivePack, Ok("no-thin"), Ok(None)) => true,
        (Service::ReceivePack, Ok(name), Ok(value)) => push::is_served(name, value),
        (Service::ReceivePack, ..) => false,
    };
    asked_for && !has_address(word)
}

/// What is left of a capability of version 2.
fn capability(line: &[u8]) -> Result<Option<Vec<u8>>, AdvertisementError> {
    let (name, value) = name_and_value(line);
    if name.is_empty() || has_control(line) {
        return Err(AdvertisementError::Capability(excerpt(line)));
    }
    let Some(value) = value.filter(|_| name == b"fetch") else {
        let taken_out = matches!(name, b"session-id" | b"promisor-remote") || name.starts_with(b"bundle-uri") || has_address(line);
        return Ok((!taken_out).then(|| line.to_vec()));
    };
    let value = words(value, |word| name_and_value(word).0 != b"packfile-uris" && !has_address(word));
    Ok(Some(if value.is_empty() { name.to_vec() } else { [name, b"=", &value].concat() }))
}

/// The words that stay, with one space between them.
fn words(text: &[u8], stays: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let kept: Vec<_> = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty() && stays(word)).collect();
    kept.join(&b' ')
}

fn name_and_value(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(equals) => (&word[..equals], word.get(equals + 1..)),
        None => (word, None),
    }
}

/// git ends a list at a NUL, and takes other white space for a space.
fn has_control(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_control)
}

fn has_address(text: &[u8]) -> bool {
    text.windows(ADDRESS.len()).any(|part| part == ADDRESS.as_bytes())
}

/// An answer that is not sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvertisementError {
    /// A line without a length: four hexadecimal digits, 5 to 65520.
    Line(Box<str>),
    /// Longer than [`MAX_ADVERTISEMENT`] up to the last capability.
    TooLong,
    /// More than [`MAX_LINES`] up to the last capability.
    TooManyLines,
    /// Ended where something was to come, or with anything but a flush.
    End,
    /// Another line than the service that was asked for and a flush.
    Service(Service, Box<str>),
    /// A version that the service is not spoken in.
    Version(Service, Box<str>),
    /// The first ref is not the name of an object and its own.
    Ref(Box<str>),
    /// Capabilities with a control character or a second NUL, or one without a name.
    Capability(Box<str>),
    /// The upstream says why there are none in the place of refs.
    Upstream,
}

impl AdvertisementError {
    pub fn reason(&self) -> Reason {
        Reason::UpstreamClosed
    }
}

impl From<LineError> for AdvertisementError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Length(digits) => Self::Line(digits),
            LineError::TooLong => Self::TooLong,
        }
    }
}

impl fmt::Display for AdvertisementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(length) => write!(f, "a line of the upstream does not begin with its length: \"{length}\""),
            Self::TooLong => write!(f, "the upstream has more than {MAX_ADVERTISEMENT} octets of capabilities"),
            Self::TooManyLines => write!(f, "the upstream has more than {MAX_LINES} lines of capabilities"),
            Self::End => f.write_str("the upstream ended its capabilities too early, or not with a flush"),
            Self::Service(service, line) => write!(f, "the upstream does not answer as {service} over HTTP: \"{line}\""),
            Self::Version(service, line) => write!(f, "the upstream speaks {service} in a version that is not known: \"{line}\""),
            Self::Ref(line) => write!(f, "the upstream's first ref is not OBJECT NAME: \"{line}\""),
            Self::Capability(line) => write!(f, "the upstream's capabilities are not words of visible characters: \"{line}\""),
            Self::Upstream => f.write_str("it says ERR in the place of refs"),
        }
    }
}

impl std::error::Error for AdvertisementError {}

/// Most octets up to the last capability: the longest line, and what stands before it.
pub const MAX_ADVERTISEMENT: usize = 66 << 10;

/// Most lines up to the last capability.
pub const MAX_LINES: usize = 200;

/// What stands in every address between the scheme and the host.
const ADDRESS: &str = "://";

#[cfg(test)]
mod tests;

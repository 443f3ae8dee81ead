//! What a push wants to change: the beginning of a request to `git-receive-pack`, up to the pack (git's `gitprotocol-pack`,
//! "Reference Update Request").
//!
//! `*shallow 1*command flush`, then the pack. What a `git receive-pack` would take otherwise than it is taken here is refused: a
//! list that ends with anything but a flush, capabilities on a second line, a push certificate (whose commands stand inside it), push
//! options, and every capability that is not known.

mod capabilities;
mod ref_name;

use std::{collections::HashSet, fmt};

use gix_packetline::PacketLineRef;

pub(super) use self::capabilities::is_served;
pub use self::{
    capabilities::{Capabilities, CapabilityError, ObjectFormat},
    ref_name::{MAX_REF_NAME, RefName, RefNameError},
};
use super::pkt_line::{self, LineError};
use crate::{reason::Reason, wire::excerpt};

/// What stands before the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prelude {
    /// No command: git's probe before a long push, which is a flush, or `shallow` lines and a flush. Nothing may follow, and nothing is
    /// to be done.
    Nothing {
        /// Octets up to the end of the flush.
        length: usize,
    },
    Commands(CommandList),
}

/// What a push wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandList {
    /// At least one, each of another ref, in their order.
    pub updates: Vec<RefUpdate>,
    pub capabilities: Capabilities,
    /// Commits at which the sender's history is cut off.
    pub shallow: Vec<ObjectId>,
    /// Octets that were read, the flush included: what follows is the pack.
    pub length: usize,
}

impl CommandList {
    /// Whether a pack follows. After a list that only deletes the request ends.
    pub fn has_pack(&self) -> bool {
        self.updates.iter().any(|update| !update.new.is_zero())
    }

    /// The list as it goes upstream: written from what was understood, flush included. Reading it gives the same list.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length);
        for commit in &self.shallow {
            // git ends these lines with a line feed, and a command's not.
            pkt_line::write(format!("shallow {commit}\n").as_bytes(), &mut out);
        }
        let mut capabilities = format!("\0{}", self.capabilities);
        for RefUpdate { old, new, name } in &self.updates {
            pkt_line::write(format!("{old} {new} {name}{}", std::mem::take(&mut capabilities)).as_bytes(), &mut out);
        }
        out.extend_from_slice(pkt_line::FLUSH);
        out
    }
}

/// One command: make a ref point elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Where the sender believes it points; zero where it believes there is none.
    pub old: ObjectId,
    /// Where it is to point; zero to delete it. Never zero together with `old`.
    pub new: ObjectId,
    pub name: RefName,
}

/// The name of an object in lower-case hexadecimal: 40 digits of SHA-1 or 64 of SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let format = [ObjectFormat::Sha1, ObjectFormat::Sha256].into_iter().find(|format| format.digits() == digits.len());
        let spelled = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let text = std::str::from_utf8(digits).ok().filter(|_| spelled && format.is_some())?;
        Some(Self(text.into()))
    }

    /// Whether it stands for no object.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|digit| digit == b'0')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a [`Prelude`] while its bytes arrive.
#[derive(Debug, Default)]
pub struct PreludeReader {
    /// Octets that were read.
    length: usize,
    shallow: Vec<ObjectId>,
    updates: Vec<RefUpdate>,
    /// Names in lower case, to find two that differ in case only.
    names: HashSet<String>,
    capabilities: Option<Capabilities>,
}

impl PreludeReader {
    /// Is offered all bytes of the body that there are, from the first, each time. `None`: not yet; no more than [`MAX_PRELUDE`] octets
    /// are ever waited for. After an answer other than `None` the reader is done.
    pub fn read(&mut self, body: &[u8]) -> Result<Option<Prelude>, PushError> {
        loop {
            let Some((line, end)) = pkt_line::read(body, self.length, MAX_PRELUDE)? else { return Ok(None) };
            self.length = end;
            match line {
                PacketLineRef::Data(line) => self.line(line)?,
                PacketLineRef::Flush => return Ok(Some(self.end())),
                // git reads these two as the end of the list.
                PacketLineRef::Delimiter | PacketLineRef::ResponseEnd => return Err(PushError::End),
            }
        }
    }

    /// What the sender can do, once its first line with capabilities was read: an error can then be reported in git's own words. After
    /// an error in that line, only what concerns a report.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    fn line(&mut self, line: &[u8]) -> Result<(), PushError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (command, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(nul) => (&line[..nul], line.get(nul + 1..)),
            None => (line, None),
        };
        if command == b"push-cert" {
            self.capabilities = capabilities.map(Capabilities::of_report);
            return Err(PushError::Certificate);
        }
        if let Some(commit) = command.strip_prefix(b"shallow ") {
            return self.shallow(commit, capabilities.is_some());
        }
        if !self.updates.is_empty() && capabilities.is_some() {
            return Err(PushError::LateCapabilities);
        }
        if self.updates.is_empty() {
            let written = capabilities.unwrap_or_default();
            // Kept even where they are refused: they say how to tell it.
            self.capabilities = Some(Capabilities::of_report(written));
            self.capabilities = Some(Capabilities::parse(written)?);
        }
        self.command(command)
    }

    fn shallow(&mut self, commit: &[u8], has_capabilities: bool) -> Result<(), PushError> {
        if !self.updates.is_empty() {
            return Err(PushError::LateShallow);
        }
        if self.shallow.len() == MAX_SHALLOW {
            return Err(PushError::TooManyShallow);
        }
        let id = ObjectId::parse(commit).filter(|_| !has_capabilities);
        self.shallow.push(id.ok_or_else(|| PushError::Shallow(excerpt(commit)))?);
        Ok(())
    }

    fn command(&mut self, command: &[u8]) -> Result<(), PushError> {
        let malformed = || PushError::Command(excerpt(command));
        let mut words = command.splitn(3, |byte| *byte == b' ');
        let mut id = || words.next().and_then(ObjectId::parse).ok_or_else(malformed);
        let (old, new) = (id()?, id()?);
        let name = RefName::parse(words.next().ok_or_else(malformed)?)?;
        self.check_format(&[&old, &new])?;
        if old.is_zero() && new.is_zero() {
            return Err(PushError::NoChange(name));
        }
        if self.updates.len() == MAX_COMMANDS {
            return Err(PushError::TooManyCommands);
        }
        if !self.names.insert(name.as_str().to_lowercase()) {
            return Err(PushError::Twice(name));
        }
        self.updates.push(RefUpdate { old, new, name });
        Ok(())
    }

    /// Holds the names of objects to the format that the capabilities name: with the first command those before it, too.
    fn check_format(&self, ids: &[&ObjectId]) -> Result<(), PushError> {
        let format = self.capabilities.as_ref().map(Capabilities::object_format).unwrap_or_default();
        let agrees = |id: &ObjectId| id.as_str().len() == format.digits();
        let before = if self.updates.is_empty() { &*self.shallow } else { &[] };
        if ids.iter().all(|id| agrees(id)) && before.iter().all(agrees) { Ok(()) } else { Err(PushError::ObjectFormat(format)) }
    }

    fn end(&mut self) -> Prelude {
        let (updates, shallow, length) = (std::mem::take(&mut self.updates), std::mem::take(&mut self.shallow), self.length);
        match self.capabilities.take() {
            Some(capabilities) if !updates.is_empty() => Prelude::Commands(CommandList { updates, capabilities, shallow, length }),
            Some(_) | None => Prelude::Nothing { length },
        }
    }
}

/// Reads a [`Prelude`] from a body, of which there may be more to come.
pub fn parse(body: &[u8]) -> Result<Option<Prelude>, PushError> {
    PreludeReader::default().read(body)
}

/// A push that git would read in another way, or that is more than will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushError {
    /// A line without a length: four hexadecimal digits, 5 to 65520.
    Line(Box<str>),
    /// Longer than [`MAX_PRELUDE`].
    TooLong,
    /// The list does not end with a flush.
    End,
    /// No `shallow` line with an object's name, or one with capabilities.
    Shallow(Box<str>),
    /// A `shallow` line after a command.
    LateShallow,
    /// More than [`MAX_SHALLOW`].
    TooManyShallow,
    /// Not two names of objects and one of a ref, with one space between them.
    Command(Box<str>),
    /// More than [`MAX_COMMANDS`].
    TooManyCommands,
    RefName(RefNameError),
    /// A ref that two commands name, be it in different case.
    Twice(RefName),
    /// Neither an old nor a new object.
    NoChange(RefName),
    /// The name of an object is not of the format of the repository.
    ObjectFormat(ObjectFormat),
    Capability(CapabilityError),
    /// Capabilities on another line than the first command's.
    LateCapabilities,
    Certificate,
}

impl PushError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Capability(error) => error.reason(),
            Self::TooLong | Self::TooManyShallow | Self::TooManyCommands | Self::Certificate => Reason::PushNotJudgeable,
            Self::Line(_)
            | Self::End
            | Self::Shallow(_)
            | Self::LateShallow
            | Self::Command(_)
            | Self::RefName(_)
            | Self::Twice(_)
            | Self::NoChange(_)
            | Self::ObjectFormat(_)
            | Self::LateCapabilities => Reason::BadRequest,
        }
    }
}

impl From<LineError> for PushError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Length(digits) => Self::Line(digits),
            LineError::TooLong => Self::TooLong,
        }
    }
}

impl From<CapabilityError> for PushError {
    fn from(error: CapabilityError) -> Self {
        Self::Capability(error)
    }
}

impl From<RefNameError> for PushError {
    fn from(error: RefNameError) -> Self {
        Self::RefName(error)
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(length) => write!(f, "a line begins with its length, 5 to 65520 in four hexadecimal digits: \"{length}\""),
            Self::TooLong => write!(f, "the list of commands is longer than {MAX_PRELUDE} octets, push fewer refs at a time"),
            Self::End => f.write_str("a list of commands ends with a flush"),
            Self::Shallow(line) => write!(f, "a shallow line names one object and nothing else: \"{line}\""),
            Self::LateShallow => f.write_str("shallow lines stand before the first command"),
            Self::TooManyShallow => write!(f, "more than {MAX_SHALLOW} shallow lines, fetch more of the history first"),
            Self::Command(line) => write!(f, "a command is OLD NEW REF: \"{line}\""),
            Self::TooManyCommands => write!(f, "more than {MAX_COMMANDS} commands, push fewer refs at a time"),
            Self::RefName(error) => error.fmt(f),
            Self::Twice(name) => write!(f, "two commands for one ref, push it once: \"{}\"", name.as_str().escape_debug()),
            Self::NoChange(name) => write!(f, "neither an old nor a new object of \"{}\"", name.as_str().escape_debug()),
            Self::ObjectFormat(format) => write!(f, "the name of an object is not {} digits of {format}", format.digits()),
            Self::Capability(error) => error.fmt(f),
            Self::LateCapabilities => f.write_str("capabilities stand on the first command's line only"),
            Self::Certificate => f.write_str("signed pushes are not served, push without --signed"),
        }
    }
}

impl std::error::Error for PushError {}

/// Most octets before the pack.
pub const MAX_PRELUDE: usize = 1 << 20;

/// Most refs of one push.
pub const MAX_COMMANDS: usize = 2000;

/// Most commits at which a sender's history may be cut off.
pub const MAX_SHALLOW: usize = 10_000;

#[cfg(test)]
mod tests;

//! What a sender asks of the receiver, behind the NUL of its first command.

use std::fmt;

use crate::{reason::Reason, wire::excerpt};

/// The capabilities of a push, as far as they go upstream. Displayed as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Each known and named once, in their order; `session-id`, which names a process in the sandbox, is left out.
    kept: Vec<Box<str>>,
    object_format: ObjectFormat,
}

/// How objects are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ObjectFormat {
    /// Also where nothing is said.
    #[default]
    Sha1,
    Sha256,
}

impl ObjectFormat {
    /// Hexadecimal digits of a name.
    pub const fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        })
    }
}

impl Capabilities {
    /// Reads words with spaces between them. git takes other white space for a space and ignores what stands behind a second
    /// NUL; here neither may stand.
    pub fn parse(bytes: &[u8]) -> Result<Self, CapabilityError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let text = text.ok_or_else(|| CapabilityError::Character(excerpt(bytes)))?;
        let mut capabilities = Self::default();
        let mut seen = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            if seen.contains(&name) {
                return Err(CapabilityError::Twice(excerpt(name.as_bytes())));
            }
            seen.push(name);
            match (name, value) {
                ("session-id", Some(_)) => continue,
                ("object-format", Some("sha256")) => capabilities.object_format = ObjectFormat::Sha256,
                _ if is_served(name, value) => {}
                _ => return Err(CapabilityError::Unknown(excerpt(word.as_bytes()))),
            }
            capabilities.kept.push(word.into());
        }
        Ok(capabilities)
    }

    /// What can be said of how its sender reads a report, whatever else it asked for.
    pub(super) fn of_report(bytes: &[u8]) -> Self {
        let words = bytes.split(|byte| *byte == b' ').filter_map(|word| std::str::from_utf8(word).ok());
        let kept = words.filter(|word| matches!(*word, "report-status" | "report-status-v2" | "side-band-64k")).map(Box::from).collect();
        Self { kept, ..Self::default() }
    }

    /// How the sender names objects.
    pub fn object_format(&self) -> ObjectFormat {
        self.object_format
    }

    /// Whether the sender reads a report in bands.
    pub fn has_bands(&self) -> bool {
        self.has("side-band-64k")
    }

    /// Whether the sender reads a report at all.
    pub fn has_report(&self) -> bool {
        self.has("report-status") || self.has("report-status-v2")
    }

    /// Whether the sender wants to be told of nothing but the end.
    pub fn is_quiet(&self) -> bool {
        self.has("quiet")
    }

    fn has(&self, name: &str) -> bool {
        self.kept.iter().any(|kept| **kept == *name)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // git writes a space before each.
        self.kept.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

/// Whether a sender may ask for this, and it goes upstream: `name` or `name=value`.
pub(in crate::github) fn is_served(name: &str, value: Option<&str>) -> bool {
    match (name, value) {
        ("agent", Some(_)) | ("object-format", Some("sha1" | "sha256")) => true,
        (name, None) => PLAIN.contains(&name),
        (_, Some(_)) => false,
    }
}

/// Capabilities that would let a receiver do what was not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityError {
    /// An octet that is no visible ASCII and no space.
    Character(Box<str>),
    Twice(Box<str>),
    /// Unknown, or without the value that it has.
    Unknown(Box<str>),
}

impl CapabilityError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Character(_) | Self::Twice(_) => Reason::BadRequest,
            Self::Unknown(_) => Reason::PushNotJudgeable,
        }
    }
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(text) => write!(f, "capabilities are words of visible ASCII with spaces between them: \"{text}\""),
            Self::Twice(name) => write!(f, "a capability stands there twice: \"{name}\""),
            Self::Unknown(word) => write!(f, "this capability is not served, push without it: \"{word}\""),
        }
    }
}

impl std::error::Error for CapabilityError {}

/// Known capabilities without a value.
const PLAIN: &[&str] = &["atomic", "delete-refs", "ofs-delta", "quiet", "report-status", "report-status-v2", "side-band-64k"];

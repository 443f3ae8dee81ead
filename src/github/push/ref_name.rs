//! The name of a ref, by git's own rules.

use std::fmt;

use crate::wire::excerpt;

/// The full name of a ref, `refs/heads/main`: valid by `git check-ref-format`, below `refs/`, UTF-8. Compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(Box<str>);

impl RefName {
    /// Reads a name; nothing is trimmed or normalised.
    pub fn parse(name: &[u8]) -> Result<Self, RefNameError> {
        if name.len() > MAX_REF_NAME {
            return Err(RefNameError::TooLong(excerpt(name)));
        }
        let valid = gix_validate::reference::name(name.into()).is_ok();
        let text = std::str::from_utf8(name).ok().filter(|_| valid);
        let is_full = |text: &&str| text.starts_with("refs/");
        text.filter(is_full).map(|text| Self(text.into())).ok_or_else(|| RefNameError::Invalid(excerpt(name)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is not the full name of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefNameError {
    /// Longer than [`MAX_REF_NAME`].
    TooLong(Box<str>),
    Invalid(Box<str>),
}

impl fmt::Display for RefNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(name) => write!(f, "the name of a ref is longer than {MAX_REF_NAME} octets: \"{name}\""),
            Self::Invalid(name) => write!(f, "no full name of a ref, such as refs/heads/main: \"{name}\""),
        }
    }
}

impl std::error::Error for RefNameError {}

/// Longest name of a ref in octets.
pub const MAX_REF_NAME: usize = 1024;

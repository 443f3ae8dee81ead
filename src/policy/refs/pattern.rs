//! An entry of `push` or `tags`, read.

use std::fmt;

use crate::{github::push::RefName, policy::paths::matches_wildcards};

/// A name of refs in which `*` and `**` may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefPattern {
    pub(super) text: Box<str>,
    /// The octets of the levels before the one with the first star, which are written out; none where all are.
    written_out: Option<usize>,
}

impl RefPattern {
    pub(super) fn parse(text: &str) -> Result<Self, RefRulesError> {
        let malformed = || RefRulesError::Malformed(text.chars().take(MAX_SHOWN).collect());
        // A level with more than one star in a row could be meant in two ways.
        let glued = text.split('/').any(|level| level != "**" && level.contains("**"));
        // Valid where a name that it matches is.
        let example = text.replace("**", "x").replace('*', "x");
        if glued || RefName::parse(example.as_bytes()).is_err() {
            return Err(malformed());
        }
        let written_out = text.split_once('*').map(|(before, _)| before.rfind('/').map_or(0, |slash| slash + 1));
        Ok(Self { text: text.into(), written_out })
    }

    pub(super) fn matches(&self, name: &RefName) -> bool {
        let Some(written_out) = self.written_out else { return *self.text == *name.as_str() };
        let Some((before, levels)) = self.text.split_at_checked(written_out) else { return false };
        let Some(given) = name.as_str().strip_prefix(before) else { return false };
        let [mut levels, given] = [levels, given].map(|text| text.split('/').collect::<Vec<_>>());
        // Below a branch is not the branch itself.
        if levels.ends_with(&["**"]) {
            levels.push("*");
        }
        matches_wildcards(&levels, &given, |level| *level == "**", |level, given| matches_level(level, given))
    }

    /// Whether it names one ref and no other.
    pub(super) fn is_exact(&self) -> bool {
        self.written_out.is_none()
    }

    /// How closely it names what it names: a name that is written out most, of two patterns the one with more before its first star.
    pub(super) fn closeness(&self) -> (bool, usize) {
        (self.is_exact(), self.text.find('*').unwrap_or(self.text.len()))
    }
}

fn matches_level(level: &str, given: &str) -> bool {
    matches_wildcards(level.as_bytes(), given.as_bytes(), |byte| *byte == b'*', |one, other| one == other)
}

pub(super) fn push_pattern(entry: &str) -> Result<RefPattern, RefRulesError> {
    let pattern = RefPattern::parse(entry)?;
    let shown = || entry.chars().take(MAX_SHOWN).collect();
    if entry.split('/').count() < LEVELS {
        return Err(RefRulesError::Malformed(shown()));
    }
    let mut levels = entry.split('/').skip(1);
    let namespace = levels.next().unwrap_or_default();
    if namespace.contains('*') {
        return Err(RefRulesError::Namespace(shown()));
    }
    if entry.starts_with(TAGS) {
        return Err(RefRulesError::TagInPush(shown()));
    }
    if RESERVED.iter().any(|reserved| entry.starts_with(reserved)) || entry == HEAD {
        return Err(RefRulesError::Reserved(shown()));
    }
    Ok(pattern)
}

pub(super) fn tag_pattern(entry: &str) -> Result<RefPattern, RefRulesError> {
    match entry.strip_prefix("refs/") {
        Some(rest) if !rest.starts_with("tags/") => Err(RefRulesError::NoTag(entry.chars().take(MAX_SHOWN).collect())),
        Some(_) => RefPattern::parse(entry),
        None => RefPattern::parse(&format!("{TAGS}{entry}")),
    }
}

pub(super) fn is_reserved(name: &RefName) -> bool {
    name.as_str().split('/').count() < LEVELS
        || name.as_str() == HEAD
        || RESERVED.iter().any(|reserved| name.as_str().starts_with(reserved))
}

/// An entry of a grant that names no refs, or some that no grant can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefRulesError {
    Malformed(Box<str>),
    /// A star in the second level.
    Namespace(Box<str>),
    TagInPush(Box<str>),
    NoTag(Box<str>),
    Reserved(Box<str>),
}

impl fmt::Display for RefRulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(entry) => {
                write!(
                    f,
                    "no ref, write it in full, such as refs/heads/agent/*, where * stays in one level and a level ** does not: {entry:?}"
                )
            }
            Self::Namespace(entry) => write!(f, "a star may not stand for what kind of ref it is, write refs/heads/**: {entry:?}"),
            Self::TagInPush(entry) => write!(f, "tags are named by \"tags\": {entry:?}"),
            Self::NoTag(entry) => write!(f, "no tag, such as refs/tags/v1: {entry:?}"),
            Self::Reserved(entry) => write!(f, "no session may push this ref: {entry:?}"),
        }
    }
}

impl std::error::Error for RefRulesError {}

pub(super) const TAGS: &str = "refs/tags/";

/// A branch that git takes for the repository's own HEAD in places.
const HEAD: &str = "refs/heads/HEAD";

/// Of a ref that can be made: git makes none right below `refs/`.
const LEVELS: usize = 3;

/// GitHub writes the first; the second makes git read other objects than those it names.
const RESERVED: &[&str] = &["refs/pull/", "refs/replace/"];

/// Most of a malformed entry that is shown, in characters.
const MAX_SHOWN: usize = 100;

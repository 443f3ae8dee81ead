//! An entry of `push` or `tags`, read.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use crate::github::push::RefName;

/// A name of refs in which `*` and `**` may stand.
#[derive(Debug, Clone)]
pub(super) struct RefPattern {
    pub(super) text: Box<str>,
    /// None where the name is exact.
    glob: Option<GlobMatcher>,
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
        let glob = if text.contains('*') {
            let levels = text.split('/').map(|level| if level == "**" { level.to_owned() } else { escape_but_stars(level) });
            let glob = levels.collect::<Vec<_>>().join("/");
            Some(GlobBuilder::new(&glob).literal_separator(true).build().map_err(|_| malformed())?.compile_matcher())
        } else {
            None
        };
        Ok(Self { text: text.into(), glob })
    }

    pub(super) fn matches(&self, name: &RefName) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(name.as_str()),
            None => *self.text == *name.as_str(),
        }
    }

    /// Whether it names one ref and no other.
    pub(super) fn is_exact(&self) -> bool {
        self.glob.is_none()
    }

    /// How closely it names what it names: a name that is written out most, of two patterns the one with more before its first star.
    pub(super) fn closeness(&self) -> (bool, usize) {
        (self.is_exact(), self.text.find('*').unwrap_or(self.text.len()))
    }
}

fn escape_but_stars(level: &str) -> String {
    level.split('*').map(globset::escape).collect::<Vec<_>>().join("*")
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

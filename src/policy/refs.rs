//! Which refs a session may push, and how.

mod denial;

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

pub use self::denial::PushDenial;
use crate::github::{
    RepositoryName,
    push::{RefName, RefUpdate},
};

/// What a grant of one repository says about refs.
#[derive(Debug, Clone)]
pub struct RefRules {
    push: Vec<RefPattern>,
    tags: Vec<RefPattern>,
    rights: Rights,
}

/// What may be done to the refs that a grant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four keys of a grant that are each true or false")]
pub struct Rights {
    pub create: bool,
    pub update: bool,
    /// An update that leaves commits behind.
    pub force: bool,
    pub delete: bool,
}

impl Default for Rights {
    fn default() -> Self {
        Self { create: true, update: true, force: true, delete: false }
    }
}

impl RefRules {
    /// Reads the `push` and `tags` of a grant. An entry of `push` is a full name, `refs/heads/agent/fix-1`, in which `*` stands for anything
    /// inside one level and a level `**` for any levels; its second level is spelled out. No star stands for `main` or `master`. An entry of `tags` is one below
    /// `refs/tags/`, with or without writing that.
    pub fn parse(push: &[String], tags: &[String], rights: Rights) -> Result<Self, RefRulesError> {
        let push = push.iter().map(|entry| push_pattern(entry)).collect::<Result<_, _>>()?;
        let tags = tags.iter().map(|entry| tag_pattern(entry)).collect::<Result<_, _>>()?;
        Ok(Self { push, tags, rights })
    }

    /// The entry that lets a ref change in a way, or why none does.
    pub fn judge(&self, change: &RefChange) -> Result<&str, Refusal> {
        let RefChange { name, kind } = change;
        let spelled = |patterns: &'_ [RefPattern]| patterns.iter().position(|pattern| pattern.matches(name));
        if is_reserved(name) {
            return Err(Refusal::Reserved);
        }
        if name.as_str().starts_with(TAGS) {
            return match (spelled(&self.tags), kind) {
                (Some(found), ChangeKind::Create) => Ok(self.tags.get(found).map_or("", |pattern| &pattern.text)),
                (Some(_), ChangeKind::Update | ChangeKind::Force | ChangeKind::Delete) => Err(Refusal::TagStands),
                (None, _) => Err(Refusal::Tag),
            };
        }
        let pattern = spelled(&self.push).and_then(|found| self.push.get(found)).ok_or(Refusal::Ref)?;
        if self.has_right(*kind) { Ok(&pattern.text) } else { Err(Refusal::Change(*kind)) }
    }

    fn has_right(&self, kind: ChangeKind) -> bool {
        let Rights { create, update, force, delete } = self.rights;
        match kind {
            ChangeKind::Create => create,
            ChangeKind::Update => update,
            ChangeKind::Force => update && force,
            ChangeKind::Delete => delete,
        }
    }

    /// The entries as a sandbox may see them.
    fn shown(&self) -> Vec<String> {
        self.push.iter().chain(&self.tags).map(|pattern| pattern.text.to_string()).collect()
    }
}

/// A change of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefChange {
    pub name: RefName,
    pub kind: ChangeKind,
}

/// How a ref changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    Create,
    /// It points elsewhere. Whether that leaves commits behind does not show in a push.
    Update,
    /// An update that is known to leave commits behind.
    Force,
    Delete,
}

impl ChangeKind {
    /// The key of a grant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Force => "force",
            Self::Delete => "delete",
        }
    }
}

impl RefChange {
    /// What it may turn out to be: an update may leave commits behind.
    #[must_use]
    pub fn at_worst(self) -> Self {
        let kind = if self.kind == ChangeKind::Update { ChangeKind::Force } else { self.kind };
        Self { kind, ..self }
    }
}

impl From<&RefUpdate> for RefChange {
    fn from(update: &RefUpdate) -> Self {
        let kind = match (update.old.is_zero(), update.new.is_zero()) {
            (_, true) => ChangeKind::Delete,
            (true, false) => ChangeKind::Create,
            (false, false) => ChangeKind::Update,
        };
        Self { name: update.name.clone(), kind }
    }
}

/// Leave to push, to one repository and no more than was judged.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct PushPermit {
    repository: RepositoryName,
    entries: Vec<Box<str>>,
    to_verify: Vec<RefName>,
}

impl PushPermit {
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The entry of the grant that allows each change, in their order.
    pub fn entries(&self) -> &[Box<str>] {
        &self.entries
    }

    /// The refs whose update the grant allows only if it leaves no commit behind. A push does not show that: who forwards it verifies
    /// that the new commit descends from the old, or refuses. Empty where the grant has `force`.
    pub fn to_verify(&self) -> &[RefName] {
        &self.to_verify
    }
}

/// Whether every change of a push may be made, or else none is: objects of a refused change would go up with the others.
pub(super) fn decide_refs(rules: &RefRules, repository: &RepositoryName, changes: &[RefChange]) -> Result<PushPermit, Box<PushDenial>> {
    let verdicts: Vec<_> = changes.iter().map(|change| rules.judge(change)).collect();
    if verdicts.iter().any(Result::is_err) {
        let refusals: Vec<_> = verdicts.into_iter().map(Result::err).collect();
        return Err(Box::new(PushDenial::of_refs(rules, repository, changes, &refusals)));
    }
    let unknown = |change: &&RefChange| change.kind == ChangeKind::Update && !rules.rights.force;
    let to_verify = changes.iter().filter(unknown).map(|change| change.name.clone()).collect();
    Ok(PushPermit { repository: repository.clone(), entries: verdicts.into_iter().flatten().map(Box::from).collect(), to_verify })
}

/// Why a ref may not change so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No entry of `push` names it.
    Ref,
    /// No entry of `tags` names it.
    Tag,
    /// A tag that may be created would change or go.
    TagStands,
    /// An entry names it, and the grant lacks this.
    Change(ChangeKind),
    /// No grant can name it.
    Reserved,
}

impl Refusal {
    /// A few words behind a ref's name.
    fn words(self) -> &'static str {
        match self {
            Self::Ref => "this session may not push this ref",
            Self::Tag => "this session may not create this tag",
            Self::TagStands => "this session may create tags, not change or delete them",
            Self::Change(ChangeKind::Create) => "this session may not create this ref",
            Self::Change(ChangeKind::Update) => "this session may not update this ref",
            Self::Change(ChangeKind::Force) => "this session may not force this ref",
            Self::Change(ChangeKind::Delete) => "this session may not delete this ref",
            Self::Reserved => "no session may push this ref",
        }
    }
}

/// A name as a TOML string, safe to show.
fn quoted(name: &RefName) -> String {
    let escaped = |letter: char| match letter {
        '"' => "\\\"".to_owned(),
        '\'' => letter.to_string(),
        _ if letter.escape_debug().len() > 1 => format!("\\U{:08X}", u32::from(letter)),
        _ => letter.to_string(),
    };
    format!("\"{}\"", name.as_str().chars().map(escaped).collect::<String>())
}

/// A name of refs in which `*` and `**` may stand.
#[derive(Debug, Clone)]
struct RefPattern {
    text: Box<str>,
    /// None where the name is exact.
    glob: Option<GlobMatcher>,
}

impl RefPattern {
    fn parse(text: &str) -> Result<Self, RefRulesError> {
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

    /// A star never stands for a branch that is usually the default: that one is written out by whoever means it.
    fn matches(&self, name: &RefName) -> bool {
        match &self.glob {
            Some(glob) => !USUAL_DEFAULTS.contains(&name.as_str()) && glob.is_match(name.as_str()),
            None => *self.text == *name.as_str(),
        }
    }
}

fn escape_but_stars(level: &str) -> String {
    level.split('*').map(globset::escape).collect::<Vec<_>>().join("*")
}

fn push_pattern(entry: &str) -> Result<RefPattern, RefRulesError> {
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

fn tag_pattern(entry: &str) -> Result<RefPattern, RefRulesError> {
    match entry.strip_prefix("refs/") {
        Some(rest) if !rest.starts_with("tags/") => Err(RefRulesError::NoTag(entry.chars().take(MAX_SHOWN).collect())),
        Some(_) => RefPattern::parse(entry),
        None => RefPattern::parse(&format!("{TAGS}{entry}")),
    }
}

fn is_reserved(name: &RefName) -> bool {
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

const TAGS: &str = "refs/tags/";

/// A branch that git takes for the repository's own HEAD in places.
const HEAD: &str = "refs/heads/HEAD";

/// What most repositories call the branch that everybody else starts from.
const USUAL_DEFAULTS: &[&str] = &["refs/heads/main", "refs/heads/master"];

/// Of a ref that can be made: git makes none right below `refs/`.
const LEVELS: usize = 3;

/// GitHub writes the first; the second makes git read other objects than those it names.
const RESERVED: &[&str] = &["refs/pull/", "refs/replace/"];

/// Most of a malformed entry that is shown, in characters.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests;

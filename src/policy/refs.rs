//! Which refs a session may push, and how.

mod denial;
mod pattern;
mod permit;

use std::{cmp::Reverse, sync::LazyLock};

use self::pattern::{RefPattern, TAGS, is_reserved, push_pattern, tag_pattern};
pub use self::{
    denial::PushDenial,
    pattern::RefRulesError,
    permit::{Foreseen, PushPermit},
};
use crate::github::{
    RepositoryName,
    push::{RefName, RefUpdate},
};

/// What a grant of one repository says about refs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefRules {
    /// The closest first: the first that reaches a ref decides about it.
    push: Vec<Entry>,
    tags: Vec<RefPattern>,
    /// Of entries that say nothing themselves.
    rights: Rights,
    /// What they are narrowed from.
    whole: Option<Box<RefRules>>,
}

/// An entry of `push`, as it is written.
#[derive(Debug, Clone, Copy)]
pub struct PushRule<'a> {
    pub entry: &'a str,
    pub rights: Rights,
    /// Whether a pattern may stand for the default branch.
    pub default_branch: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    pattern: RefPattern,
    rights: Rights,
    default_branch: bool,
}

/// What may be done to the refs that an entry names.
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

impl Rights {
    fn has(self, kind: ChangeKind) -> bool {
        let Self { create, update, force, delete } = self;
        match kind {
            ChangeKind::Create => create,
            ChangeKind::Update => update,
            ChangeKind::Force => update && force,
            ChangeKind::Delete => delete,
        }
    }

    /// The same and what a change needs besides.
    fn with(self, kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Create => Self { create: true, ..self },
            ChangeKind::Update => Self { update: true, ..self },
            ChangeKind::Force => Self { update: true, force: true, ..self },
            ChangeKind::Delete => Self { delete: true, ..self },
        }
    }

    /// By the keys of a grant.
    fn keys(self) -> [(&'static str, bool); 4] {
        let Self { create, update, force, delete } = self;
        [("create", create), ("update", update), ("force", force), ("delete", delete)]
    }
}

/// The branch that everybody else starts from, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultBranch {
    /// It was not asked for, or could not be learnt: no pattern reaches any ref then.
    Unknown,
    Named(RefName),
}

/// Whether an entry that names a ref may stand for it.
enum Standing {
    Stands,
    /// It is a default branch, and the entry is a pattern that may not stand for one.
    Default,
    /// Nobody knows whether it is.
    Unknown,
}

impl Entry {
    fn standing(&self, name: &RefName, default: Option<&DefaultBranch>) -> Standing {
        if self.pattern.is_exact() || self.default_branch {
            return Standing::Stands;
        }
        match default {
            _ if USUAL_DEFAULTS.contains(&name.as_str()) => Standing::Default,
            Some(DefaultBranch::Named(default)) if default == name => Standing::Default,
            Some(DefaultBranch::Named(_)) | None => Standing::Stands,
            Some(DefaultBranch::Unknown) => Standing::Unknown,
        }
    }
}

impl RefRules {
    /// Reads the `push` and `tags` of a grant. An entry of `push` is a full name, `refs/heads/agent/fix-1`, in which `*` stands for anything
    /// inside one level and a level `**` for any levels; its second level is spelled out. An entry of `tags` is one below
    /// `refs/tags/`, with or without writing that.
    pub fn parse(push: &[PushRule<'_>], tags: &[&str], rights: Rights) -> Result<Self, RefRulesError> {
        let entry = |rule: &PushRule<'_>| {
            let &PushRule { entry, rights, default_branch } = rule;
            Ok(Entry { pattern: push_pattern(entry)?, rights, default_branch })
        };
        let mut push = push.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        // What is written later comes first among what is as close: an entry that is added counts.
        push.reverse();
        push.sort_by_key(|entry| Reverse(entry.pattern.closeness()));
        let tags = tags.iter().map(|entry| tag_pattern(entry)).collect::<Result<_, _>>()?;
        Ok(Self { push, tags, rights, whole: None })
    }

    /// The same, which allow only what `whole` allows too.
    pub(super) fn within(self, whole: Self) -> Self {
        Self { whole: Some(Box::new(whole)), ..self }
    }

    /// What a wiki is written to by: every branch may be made and moved on, and none may lose a commit.
    pub(super) fn of_wiki() -> &'static Self {
        const RIGHTS: Rights = Rights { create: true, update: true, force: false, delete: false };
        static OF_WIKI: LazyLock<RefRules> = LazyLock::new(|| {
            let every = PushRule { entry: BRANCHES, rights: RIGHTS, default_branch: true };
            RefRules::parse(&[every], &[], RIGHTS).unwrap_or_default()
        });
        &OF_WIKI
    }

    /// What says into which branches pull requests may be made: any of `bases`, each a branch with or without `refs/heads/`. One that names
    /// no branch lets none through.
    pub(super) fn of_bases<'b>(bases: impl Iterator<Item = &'b str>) -> Self {
        let rights = Rights::default();
        let full = bases.map(|base| if base.starts_with("refs/") { base.to_owned() } else { format!("{HEADS}{base}") });
        let patterns = full.filter_map(|entry| push_pattern(&entry).ok());
        let push = patterns.map(|pattern| Entry { pattern, rights, default_branch: true }).collect();
        Self { push, rights, ..Self::default() }
    }

    /// Whether a ref may be changed so, whichever branch is the default one.
    pub(super) fn allows(&self, change: &RefChange) -> bool {
        self.judge(change, Some(&DefaultBranch::Unknown)).is_ok()
    }

    /// The entry that lets a ref change in a way, or why none does. Of the entries that name the ref the closest decides: a name that is
    /// written out, else the pattern with more before its first star, of two alike the one that is written last. A pattern does not
    /// stand for `main`, `master` and the default branch unless it says so. That is `None` where nobody asks for it.
    fn judge(&self, change: &RefChange, default: Option<&DefaultBranch>) -> Result<&str, Refusal<'_>> {
        let entry = self.judge_alone(change, default)?;
        match &self.whole {
            Some(whole) => whole.judge(change, default).map(|_| entry),
            None => Ok(entry),
        }
    }

    fn judge_alone(&self, change: &RefChange, default: Option<&DefaultBranch>) -> Result<&str, Refusal<'_>> {
        let RefChange { name, kind } = change;
        if is_reserved(name) {
            return Err(Refusal::Reserved);
        }
        if name.as_str().starts_with(TAGS) {
            return match (self.tags.iter().find(|pattern| pattern.matches(name)), kind) {
                (Some(pattern), ChangeKind::Create) => Ok(&pattern.text),
                (Some(_), ChangeKind::Update | ChangeKind::Force | ChangeKind::Delete) => Err(Refusal::TagStands),
                (None, _) => Err(Refusal::Tag),
            };
        }
        let entry = self.closest(name, default)?;
        let (Entry { pattern, rights, .. }, kind) = (entry, *kind);
        if rights.has(kind) { Ok(&pattern.text) } else { Err(Refusal::Change { kind, entry: &pattern.text, rights: *rights }) }
    }

    fn closest(&self, name: &RefName, default: Option<&DefaultBranch>) -> Result<&Entry, Refusal<'_>> {
        let mut refusal = Refusal::Ref;
        for entry in self.push.iter().filter(|entry| entry.pattern.matches(name)) {
            match entry.standing(name, default) {
                Standing::Stands => return Ok(entry),
                Standing::Default => refusal = Refusal::Default(&entry.pattern.text),
                Standing::Unknown => return Err(Refusal::DefaultUnknown(&entry.pattern.text)),
            }
        }
        Err(refusal)
    }

    /// The entries as a sandbox may see them.
    fn shown(&self) -> Vec<String> {
        let push = self.push.iter().map(|entry| &entry.pattern);
        push.chain(&self.tags).map(|pattern| pattern.text.to_string()).collect()
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

/// Whether every change of a push may be made, or else none is: objects of a refused change would go up with the others.
pub(super) fn decide_refs(
    rules: &RefRules,
    repository: &RepositoryName,
    changes: &[RefChange],
    default: &DefaultBranch,
) -> Result<PushPermit, Box<PushDenial>> {
    judge_all(rules, repository, changes, Some(default))
}

/// The same before any ref moves, while nobody asks for the default branch.
pub(super) fn foresee_refs(rules: &RefRules, repository: &RepositoryName, changes: &[RefChange]) -> Result<Foreseen, Box<PushDenial>> {
    judge_all(rules, repository, changes, None).map(Foreseen)
}

fn judge_all(
    rules: &RefRules,
    repository: &RepositoryName,
    changes: &[RefChange],
    default: Option<&DefaultBranch>,
) -> Result<PushPermit, Box<PushDenial>> {
    let verdicts: Vec<_> = changes.iter().map(|change| rules.judge(change, default)).collect();
    if verdicts.iter().any(Result::is_err) {
        // What is refused anyway is refused for what is known.
        let settled = verdicts.iter().any(|verdict| verdict.is_err_and(|refusal| !refusal.is_unknown()));
        let refusals: Vec<_> =
            verdicts.into_iter().map(|verdict| verdict.err().filter(|refusal| !(settled && refusal.is_unknown()))).collect();
        return Err(Box::new(PushDenial::of_refs(rules, repository, changes, &refusals)));
    }
    let unsure = |change: &&RefChange| change.kind == ChangeKind::Update && rules.judge(&(*change).clone().at_worst(), default).is_err();
    let to_verify = changes.iter().filter(unsure).map(|change| change.name.clone()).collect();
    let entries = verdicts.into_iter().flatten().map(Box::from).collect();
    Ok(PushPermit { repository: repository.clone(), entries, to_verify, to_examine: None })
}

/// Whether all that is missing for a judgment is the name of the default branch.
pub(super) fn depends_on_default(rules: &RefRules, changes: &[RefChange]) -> bool {
    let refusals = changes.iter().filter_map(|change| rules.judge(change, Some(&DefaultBranch::Unknown)).err());
    let mut refusals = refusals.peekable();
    refusals.peek().is_some() && refusals.all(Refusal::is_unknown)
}

/// Why a ref may not change so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'r> {
    /// No entry of `push` names it.
    Ref,
    /// No entry of `tags` names it.
    Tag,
    /// A tag that may be created would change or go.
    TagStands,
    /// This entry names it, and lacks the right to do this.
    Change { kind: ChangeKind, entry: &'r str, rights: Rights },
    /// It is the default branch or one that usually is, and this entry is a pattern.
    Default(&'r str),
    /// It may be the default branch, and this entry is a pattern.
    DefaultUnknown(&'r str),
    /// No grant can name it.
    Reserved,
}

impl Refusal<'_> {
    /// Whether nothing but the name of the default branch is missing.
    fn is_unknown(self) -> bool {
        matches!(self, Self::DefaultUnknown(_))
    }

    /// A few words behind a ref's name.
    fn words(self) -> &'static str {
        match self {
            Self::Ref => "this session may not push this ref",
            Self::Tag => "this session may not create this tag",
            Self::TagStands => "this session may create tags, not change or delete them",
            Self::Change { kind: ChangeKind::Create, .. } => "this session may not create this ref",
            Self::Change { kind: ChangeKind::Update, .. } => "this session may not update this ref",
            Self::Change { kind: ChangeKind::Force, .. } => "this session may not force this ref",
            Self::Change { kind: ChangeKind::Delete, .. } => "this session may not delete this ref",
            Self::Default(_) => "this session may not push a default branch by a pattern",
            Self::DefaultUnknown(_) => "the default branch is not known, and no pattern may stand for it",
            Self::Reserved => "no session may push this ref",
        }
    }

    /// Which entry was looked at, and what it lacks.
    fn ground(self) -> Option<String> {
        match self {
            Self::Change { kind, entry, .. } => Some(format!("the entry {entry} names it, without \"{}\"", kind.as_str())),
            Self::Default(entry) | Self::DefaultUnknown(entry) => Some(format!("the entry {entry} names it, without \"default_branch\"")),
            Self::Ref | Self::Tag | Self::TagStands | Self::Reserved => None,
        }
    }
}

/// Every branch.
const BRANCHES: &str = "refs/heads/**";
const HEADS: &str = "refs/heads/";

/// What most repositories call the branch that everybody else starts from.
const USUAL_DEFAULTS: &[&str] = &["refs/heads/main", "refs/heads/master"];

#[cfg(test)]
mod tests;

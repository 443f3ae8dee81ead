//! A refused push, in words.

use std::fmt;

use super::{RefChange, RefRules, Refusal, Rights};
use crate::policy::push_content::Broken;
use crate::{
    github::{RepositoryName, push::RefName},
    reason::Reason,
};

/// A refused push, with what git is to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushDenial {
    pub reason: Reason,
    pub repository: RepositoryName,
    /// Each ref of the push, in order, with a few words why it does not change.
    pub refs: Vec<(RefName, String)>,
    /// The entries of the grant.
    pub may_push: Vec<String>,
    /// Lines of a session's table that would allow it, each once; empty where none would.
    pub allow_with: Vec<String>,
    /// Whole sentences for the session's people, a line each: what was refused and what may be done instead.
    pub advice: Vec<String>,
}

impl PushDenial {
    /// No grant names the repository.
    pub fn not_granted(repository: &RepositoryName, changes: &[RefChange]) -> Self {
        Self {
            reason: Reason::RepositoryNotGranted,
            repository: repository.clone(),
            refs: same(changes, "policy: this session has no grant for this repository"),
            may_push: Vec::new(),
            allow_with: vec!["[[session.repository]]".into(), format!("name = \"{repository}\""), "access = \"write\"".into()],
            advice: vec![format!("This session has no grant for {repository}.")],
        }
    }

    /// The grant is for reading.
    pub fn read_only(repository: &RepositoryName, changes: &[RefChange]) -> Self {
        Self {
            reason: Reason::ReadOnly,
            repository: repository.clone(),
            refs: same(changes, "policy: read only for this session"),
            may_push: Vec::new(),
            allow_with: vec!["access = \"write\"".into()],
            advice: vec![format!("{repository} is read only for this session.")],
        }
    }

    /// Objects of the push break a rule.
    pub(super) fn of_content(repository: &RepositoryName, changes: &[RefChange], broken: &[Broken]) -> Self {
        let words = broken.first().map(|broken| format!("policy: {broken}")).unwrap_or_default();
        let mut advice: Vec<_> = broken.iter().take(MAX_ADVICE).map(|broken| format!("{repository}: {broken}.")).collect();
        if let Some(more) = broken.len().checked_sub(MAX_ADVICE + 1) {
            advice.push(format!("And {} more.", more + 1));
        }
        advice.push(TAKE_OUT.into());
        let (reason, refs) = (Reason::PushContentNotAllowed, same(changes, &words));
        Self { reason, repository: repository.clone(), refs, may_push: Vec::new(), allow_with: Vec::new(), advice }
    }

    pub(super) fn of_refs(rules: &RefRules, repository: &RepositoryName, changes: &[RefChange], verdicts: &[Option<Refusal<'_>>]) -> Self {
        let may_push = rules.shown();
        let words = |refusal: &Option<Refusal<'_>>| match refusal {
            Some(refusal) => format!("policy: {}", refusal.words()),
            None => "not attempted: another ref was refused".to_owned(),
        };
        let refs = changes.iter().zip(verdicts).map(|(change, refusal)| (change.name.clone(), words(refusal))).collect();
        let refused = || changes.iter().zip(verdicts).filter_map(|(change, refusal)| Some((&change.name, (*refusal)?)));
        let mut advice: Vec<_> = refused().take(MAX_ADVICE).map(|(name, refusal)| sentence(repository, name, refusal)).collect();
        if let Some(more) = refused().count().checked_sub(MAX_ADVICE + 1) {
            advice.push(format!("And {} more.", more + 1));
        }
        advice.push(match &*may_push {
            [] => format!("This session may push nothing to {repository}."),
            entries => format!("This session may push: {}", entries.join(", ")),
        });
        let allow_with = remedies(rules.rights, &refused().collect::<Vec<_>>());
        let unknown = refused().all(|(_, refusal)| refusal.is_unknown());
        let reason = if unknown { Reason::PushNotJudgeable } else { Reason::RefNotGranted };
        Self { reason, repository: repository.clone(), refs, may_push, allow_with, advice }
    }
}

impl fmt::Display for PushDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.advice.join(" "))
    }
}

fn same(changes: &[RefChange], words: &str) -> Vec<(RefName, String)> {
    changes.iter().map(|change| (change.name.clone(), words.to_owned())).collect()
}

fn sentence(repository: &RepositoryName, name: &RefName, refusal: Refusal<'_>) -> String {
    let ground = refusal.ground().map(|ground| format!("; {ground}")).unwrap_or_default();
    format!("{} of {repository}: {}{ground}.", name.as_str().escape_debug(), refusal.words())
}

/// The lines of a grant that would allow it, a key each, with as many refs as advice names: entries that spell out what was pushed.
fn remedies(rights: Rights, refused: &[(&RefName, Refusal<'_>)]) -> Vec<String> {
    let list = |key: &str, entries: Vec<String>| (!entries.is_empty()).then(|| format!("{key} = [{}]", entries.join(", ")));
    let push = refused.iter().filter_map(|(name, refusal)| match refusal {
        Refusal::Ref | Refusal::Default(_) | Refusal::DefaultUnknown(_) => Some(quoted(name)),
        Refusal::Change { kind, rights: own, .. } => Some(table(name, rights, own.with(*kind))),
        Refusal::Tag | Refusal::TagStands | Refusal::Reserved => None,
    });
    let tags = refused.iter().filter(|(_, refusal)| *refusal == Refusal::Tag).map(|(name, _)| quoted(name));
    [list("push", push.take(MAX_ADVICE).collect()), list("tags", tags.take(MAX_ADVICE).collect())].into_iter().flatten().collect()
}

/// An entry with the rights in which it differs from its repository's.
fn table(name: &RefName, repository: Rights, own: Rights) -> String {
    let keys = own.keys().into_iter().zip(repository.keys()).filter(|(own, repository)| own != repository);
    let keys = keys.map(|((key, set), _)| format!(", {key} = {set}")).collect::<Vec<_>>().concat();
    format!("{{ ref = {}{keys} }}", quoted(name))
}

/// What helps whoever pushed it by accident, and whoever sends what the upstream has long had.
const TAKE_OUT: &str = "Take it out of every commit that is pushed, or, where others have pushed it before, git fetch; then push again.";
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

/// Most refused refs that advice names one by one.
pub(super) const MAX_ADVICE: usize = 10;

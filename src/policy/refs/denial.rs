//! A refused push, in words.

use std::fmt;

use super::{ChangeKind, RefChange, RefRules, Refusal, quoted};
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

    pub(super) fn of_refs(rules: &RefRules, repository: &RepositoryName, changes: &[RefChange], verdicts: &[Option<Refusal>]) -> Self {
        let may_push = rules.shown();
        let words = |refusal: &Option<Refusal>| match refusal {
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
        let allow_with = remedies(&refused().collect::<Vec<_>>());
        Self { reason: Reason::RefNotGranted, repository: repository.clone(), refs, may_push, allow_with, advice }
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

fn sentence(repository: &RepositoryName, name: &RefName, refusal: Refusal) -> String {
    format!("{} of {repository}: {}.", name.as_str().escape_debug(), refusal.words())
}

/// The lines of a grant that would allow it, a key each, with as many refs as advice names.
fn remedies(refused: &[(&RefName, Refusal)]) -> Vec<String> {
    let list = |(key, wanted): (&str, Refusal)| {
        let names = refused.iter().filter(|(_, refusal)| *refusal == wanted).take(MAX_ADVICE).map(|(name, _)| quoted(name));
        let names = names.collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| format!("{key} = [{names}]"))
    };
    let rights = [ChangeKind::Create, ChangeKind::Update, ChangeKind::Force, ChangeKind::Delete].into_iter();
    let lacking = rights.filter(|kind| refused.iter().any(|(_, refusal)| *refusal == Refusal::Change(*kind)));
    let lists = [("push", Refusal::Ref), ("tags", Refusal::Tag)].into_iter().filter_map(list);
    lists.chain(lacking.map(|kind| format!("{} = true", kind.as_str()))).collect()
}

/// Most refused refs that advice names one by one.
pub(super) const MAX_ADVICE: usize = 10;

//! What a token is to be good for that may do less than the session whose it is: read strictly, and never more than who asks has.

use std::{fmt, net::IpAddr, time::Duration};

use serde::Deserialize;

use super::{
    decision::Denial,
    durations,
    forge::ForgeHosts,
    grant::{Access, Grant, Purposes, PushEntry, RepositoryGrant},
    refs::{ChangeKind, RefChange, RefRules, Rights, foresee_refs},
};
use crate::{github::push::RefName, reason::Reason};

/// What a token is to be good for. By default: for everything that the session is good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// For which uses.
    pub only: Purposes,
    /// Which repositories, with which rights; none: all those of the session, now and later, with the rights that it has.
    pub repositories: Option<Grant>,
    /// How long it holds at most; it ends with its session anyway.
    pub life: Option<Duration>,
    /// From which address alone it is shown.
    pub from: Option<IpAddr>,
}

impl Narrowing {
    /// Reads one JSON object, `{"only": ["git"], "repositories": [{"name": "octo/spoon"}], "ttl": "30m", "from": "10.0.0.7"}`, of at
    /// most [`MAX_NARROWING`] octets. Each key may be left out, and all of it.
    ///
    /// # Errors
    /// Anything else, and a key that is unknown or written twice.
    pub fn parse(body: &[u8]) -> Result<Self, NarrowingError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        if body.len() > MAX_NARROWING {
            return Err(NarrowingError(format!("it is longer than {MAX_NARROWING} bytes")));
        }
        // serde would read an array as the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(NarrowingError("it is no JSON object".to_owned()));
        }
        let written: Written = serde_json::from_slice(body).map_err(|error| NarrowingError(error.to_string()))?;
        let Written { only, repositories, ttl, from } = written;
        let all = repositories.as_ref().map_or(&[][..], Grant::repositories);
        if let Some(on_disk) = all.iter().find(|repository| repository.upstream_path.is_some()) {
            return Err(NarrowingError(format!("where {} is on disk is not a token's to say: leave out \"upstream_path\"", on_disk.name)));
        }
        let life = ttl.map(|ttl| durations::parse(&ttl)).transpose();
        let life = life.map_err(|error| NarrowingError(format!("\"ttl\" is {error}: write one such as 30m")))?;
        Ok(Self { only: only.unwrap_or_default(), repositories, life, from: from.map(|from| from.to_canonical()) })
    }

    /// The same, each repository by the one name that it has where these hosts are.
    ///
    /// # Errors
    /// A host that is none of them, or a repository that is named twice.
    pub fn located(self, hosts: &ForgeHosts) -> Result<Self, NarrowingError> {
        let repositories = self.repositories.map(|grant| grant.located(hosts)).transpose();
        Ok(Self { repositories: repositories.map_err(|error| NarrowingError(error.to_string()))?, ..self })
    }

    /// Whether who has this grant may have such a token: it asks for nothing that the grant has not. A pattern of refs may be wider, since a push
    /// is judged by the grant too.
    ///
    /// # Errors
    /// What is refused to who has the grant, with the reason that it is refused with.
    pub fn check(&self, grant: &Grant) -> Result<(), Box<Denial>> {
        self.only.list().into_iter().try_for_each(|purpose| grant.check_purpose(purpose))?;
        let all = self.repositories.as_ref().map_or(&[][..], Grant::repositories);
        all.iter().try_for_each(|wanted| check_repository(wanted, grant))
    }
}

fn check_repository(wanted: &RepositoryGrant, grant: &Grant) -> Result<(), Box<Denial>> {
    let RepositoryGrant { name, access, push, bases, grants, .. } = wanted;
    let missing = |what: String| Box::new(Denial::new(Reason::ApiNotAllowed, format!("This session's grant for {name} has no {what}.")));
    let (granted, rules) = grant.find_judged(name).ok_or_else(|| {
        Box::new(Denial::new(Reason::RepositoryNotGranted, format!("This session has no grant for {name}, and hands none on.")))
    })?;
    if *access == Access::Write && granted.access == Access::Read {
        return Err(Box::new(Denial::new(Reason::ReadOnly, format!("{name} is read only for this session."))));
    }
    push.iter().try_for_each(|entry| check_entry(wanted, entry, &rules.push))?;
    if let Some(base) = bases.iter().find(|base| !granted.bases.contains(base)) {
        return Err(missing(format!("entry \"{base}\" among its \"bases\"")));
    }
    match grants.iter().find(|word| !granted.grants(word.as_str())) {
        Some(word) => Err(missing(format!("\"{word}\""))),
        None => Ok(()),
    }
}

/// A ref that is written out has to be one that can be changed in some way that both let it.
fn check_entry(wanted: &RepositoryGrant, entry: &PushEntry, rules: &RefRules) -> Result<(), Box<Denial>> {
    let Ok(name) = RefName::parse(entry.refs.as_str().as_bytes()) else { return Ok(()) };
    let Rights { create, update, delete, .. } = wanted.rights_of(entry);
    let kinds = [(create, ChangeKind::Create), (update, ChangeKind::Update), (delete, ChangeKind::Delete)];
    let mut refused = None;
    for (_, kind) in kinds.into_iter().filter(|(has, _)| *has) {
        match foresee_refs(rules, &wanted.name, &[RefChange { name: name.clone(), kind }]) {
            Ok(_) => return Ok(()),
            Err(denial) => refused = refused.or(Some(Box::new(Denial::from(&*denial)))),
        }
    }
    refused.map_or(Ok(()), Err)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    only: Option<Purposes>,
    repositories: Option<Grant>,
    ttl: Option<String>,
    from: Option<IpAddr>,
}

/// Why something is no token to be asked for: no whole sentence, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarrowingError(String);

impl fmt::Display for NarrowingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NarrowingError {}

/// Most octets of what a token is to be good for.
pub const MAX_NARROWING: usize = 4096;

#[cfg(test)]
mod tests;

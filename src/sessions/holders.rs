//! Who holds real credentials on behalf of sessions, and which files their policies are made of.

use std::{collections::HashSet, sync::Arc};

use super::Session;
use crate::{
    credentials::{Credential, Equipped},
    files::Stamps,
    secret::Secret,
};

/// The policies of all sessions and the credentials of their own, each once.
#[derive(Default)]
pub(crate) struct Holders {
    policies: Vec<Arc<Equipped>>,
    own: Vec<Arc<Credential>>,
}

impl Holders {
    pub(super) fn of<'s>(sessions: impl Iterator<Item = &'s Arc<Session>>) -> Self {
        let (mut seen, mut seen_own) = (HashSet::new(), HashSet::new());
        let mut holders = Self::default();
        for governing in sessions.map(|session| session.governing()) {
            // What was granted since brings no credential with it.
            let policy = &governing.written.policy;
            if seen.insert(Arc::as_ptr(policy)) {
                holders.policies.push(Arc::clone(policy));
            }
            holders.own.extend(governing.credentials.values().filter(|own| seen_own.insert(Arc::as_ptr(own))).cloned());
        }
        holders
    }

    /// The files that policies are made of, where a session's record names them.
    pub(crate) fn files(&self) -> Stamps {
        let mut files = Stamps::default();
        self.policies.iter().for_each(|policy| files.merge(policy.files()));
        files
    }

    /// What they hold now.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Arc<Secret>> {
        let of_policies = self.policies.iter().flat_map(|policy| policy.all_credentials());
        of_policies.chain(self.own.iter().map(Arc::as_ref)).filter_map(Credential::held)
    }
}

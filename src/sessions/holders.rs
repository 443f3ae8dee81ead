//! Who holds real credentials on behalf of sessions, and which files their policies are made of.

use std::{collections::HashSet, sync::Arc};

use super::Session;
use crate::{
    credentials::{Credential, Equipped, GithubCredential, Tokens},
    files::Stamps,
    secret::Secret,
};

/// The policies of all sessions and the credentials of their own, each once, and the tokens that were made for them.
#[derive(Default)]
pub(crate) struct Holders {
    policies: Vec<Arc<Equipped>>,
    own: Vec<Arc<GithubCredential>>,
    tokens: Vec<Arc<Tokens>>,
}

impl Holders {
    pub(super) fn of<'s>(sessions: impl Iterator<Item = &'s Arc<Session>>) -> Self {
        let (mut seen, mut seen_own) = (HashSet::new(), HashSet::new());
        let mut holders = Self::default();
        for session in sessions {
            holders.tokens.push(Arc::clone(session.tokens()));
            let governing = session.governing();
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
        let own = self.own.iter().filter_map(|own| own.held());
        of_policies.filter_map(Credential::held).chain(own).chain(self.tokens.iter().flat_map(|tokens| tokens.held()))
    }
}

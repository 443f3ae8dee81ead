//! What is left of a grant for a token that may do less.

use std::sync::Arc;

use super::{Access, Grant, Purposes, RepositoryGrant, WIKI, WIKI_READ};

impl Grant {
    /// The same for a token of its session: of its repositories those in `own`, or all where that is none, each with the rights that both
    /// give, and for the purposes that both have. Whatever `own` says, the result allows nothing that this does not: every push is
    /// judged by the rules of both.
    #[must_use]
    pub fn narrowed(&self, own: Option<&Self>, only: Purposes) -> Self {
        let purposes = self.purposes.and(only);
        let Some(own) = own else { return Self { purposes, ..self.clone() } };
        // What both are judged by was read before.
        let narrowed = |own: &RepositoryGrant| {
            let narrowed = self.find(&own.name)?.narrowed(own);
            Some((narrowed.rules().ok()?, narrowed))
        };
        let (rules, repositories) = own.repositories.iter().filter_map(narrowed).unzip();
        Self { repositories, rules, purposes }
    }
}

impl RepositoryGrant {
    /// What is not the token's own to say stays as it is here.
    fn narrowed(&self, own: &Self) -> Self {
        let access = self.access.min(own.access);
        // Without an entry nothing is pushed, and no object is sent ahead.
        let writes = |entries: usize| access == Access::Write && entries > 0;
        let push = if writes(self.push.len()) { own.push.clone() } else { Vec::new() };
        let tags = if writes(self.tags.len()) { own.tags.clone() } else { Vec::new() };
        let bases = own.bases.iter().filter(|base| self.bases.contains(base)).cloned().collect();
        let grants = own.grants.iter().filter(|word| self.grants(word.as_str())).cloned().collect();
        let &Self { create, update, force, delete, .. } = own;
        let within = Some(Arc::new(self.clone()));
        Self { access, push, create, update, force, delete, tags, bases, grants, within, ..self.clone() }
    }

    /// Whether something is granted by its name, alone or with more.
    pub(in crate::policy) fn grants(&self, name: &str) -> bool {
        let has = |name: &str| self.grants.iter().any(|word| word.as_str() == name);
        has(name) || name == WIKI_READ && has(WIKI)
    }
}

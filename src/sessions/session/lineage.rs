//! A token that may do less than its session is a session of its own, whose rights are its parent's of the moment, narrowed.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use arc_swap::ArcSwapOption;

use super::{Child, Governing, Session, TokenDigest};
use crate::{
    credentials::Equipped,
    policy::{Access, Policy, grant::Purpose},
    reason::Reason,
};

/// Whose token it is, and what was asked for.
pub(super) struct Lineage {
    parent: Arc<Session>,
    child: Child,
    /// What governed the parent when it was last looked at, and what is left of it.
    narrowed: ArcSwapOption<(Arc<Governing>, Arc<Governing>)>,
}

impl Lineage {
    pub(super) fn new(parent: Arc<Session>, child: Child) -> Self {
        Self { parent, child, narrowed: ArcSwapOption::empty() }
    }

    pub(super) fn parent(&self) -> &Arc<Session> {
        &self.parent
    }

    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    /// What is left of what governs the parent now.
    pub(super) fn governing(&self) -> Arc<Governing> {
        let whole = self.parent.governing();
        if let Some(known) = &*self.narrowed.load()
            && Arc::ptr_eq(&known.0, &whole)
        {
            return Arc::clone(&known.1);
        }
        let narrowed = Arc::new(whole.narrowed(&self.child));
        self.narrowed.store(Some(Arc::new((whole, Arc::clone(&narrowed)))));
        narrowed
    }

    /// It ends with its parent, and with the operator's token by which the parent was proved when it was asked for.
    pub(super) fn standing(&self, now: SystemTime) -> Result<(), Reason> {
        self.parent.standing(now)?;
        let by = self.parent.governing().fixed.as_ref().map(TokenDigest::written);
        if by == self.child.by { Ok(()) } else { Err(Reason::SessionRevoked) }
    }

    /// Whether it may be shown from an address.
    pub(super) fn holds_at(&self, from: Option<IpAddr>) -> bool {
        self.child.from.is_none_or(|bound| from.map(|from| from.to_canonical()) == Some(bound)) && self.parent.holds_at(from)
    }
}

impl Session {
    /// The session itself.
    pub(crate) fn whole(self: &Arc<Self>) -> &Arc<Self> {
        self.parent().map_or(self, |parent| parent.whole())
    }

    /// The same by its id.
    pub(in crate::sessions) fn root(&self) -> &Arc<str> {
        self.parent().map_or(&self.id, |parent| parent.root())
    }
}

impl Governing {
    fn narrowed(&self, child: &Child) -> Self {
        let nothing = || Arc::new(Equipped::bare(Policy::level(Access::None)));
        Self {
            policy: if child.only.has(Purpose::Egress) { Arc::clone(&self.policy) } else { nothing() },
            grant: self.grant.narrowed(child.repositories.as_ref(), child.only),
            expires: [self.expires, child.expires()].into_iter().flatten().min(),
            requests: Arc::default(),
            ..self.clone()
        }
    }
}

//! Tokens that may do less than their session, asked for while the program runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use super::{
    ChangeError, Sessions, Table,
    changes::sign,
    digest::TokenDigest,
    record::{Asker, Child},
    session::{Session, child_id},
    store::Found,
};
use crate::{
    policy::{Denial, narrowing::Narrowing},
    reason::Reason,
    secret::Secret,
};

impl Sessions {
    /// Makes a token that may do less than who asks for it, on disk before it holds. It never holds longer, or anywhere else.
    ///
    /// # Errors
    /// [`ChangeError::Wider`], [`ChangeError::TooManyChildren`], [`ChangeError::Unasked`] and those of [`Self::mint`].
    pub(crate) fn narrow(&self, parent: &Arc<Session>, wish: Narrowing, now: SystemTime) -> Result<(Arc<Session>, Secret), ChangeError> {
        let store = self.store.as_ref().ok_or(ChangeError::NoState)?;
        if !self.asks() {
            return Err(ChangeError::Unasked);
        }
        let mut kept = self.lock();
        self.holding(parent, now)?;
        let governing = parent.governing();
        wish.check(&governing.grant).map_err(ChangeError::Wider)?;
        if !(wish.from.is_none() || parent.holds_at(wish.from)) {
            return Err(ChangeError::Wider(Box::new(Denial::new(Reason::SessionUnknown, ELSEWHERE))));
        }
        let asker = Asker {
            number: parent.as_child().map(|child| child.number),
            expires: governing.expires,
            by: governing.fixed.as_ref().map(TokenDigest::written),
        };
        let record = self.record_of(&kept, parent.root(), now)?;
        let issued = record.issuing(asker, wish, self.first.as_ref(), now).map_err(ChangeError::Grant)?;
        let (record, child) = issued.ok_or(ChangeError::TooManyChildren)?;
        let session = parent.child(child);
        let token = sign(store, &session, now)?;
        store.write(&record).map_err(ChangeError::Unwritten)?;
        kept.records.insert(parent.root().clone(), Ok(record));
        let mut table = self.table.load().as_ref().clone();
        table.children.retain(|_, child| child.standing(now).is_ok());
        table.children.insert(session.id().clone(), Arc::clone(&session));
        self.put(table);
        Ok((session, token))
    }

    /// Those of a session that hold, by their numbers.
    pub(crate) fn children(&self, session: &Session, now: SystemTime) -> Vec<Arc<Session>> {
        let table = self.table.load();
        let mut children: Vec<_> = table.children.values().filter(|child| child.root() == session.root()).cloned().collect();
        children.retain(|child| child.standing(now).is_ok());
        children.sort_by_key(|child| child.as_child().map(|child| child.number));
        children
    }

    /// Those of these sessions as their records have them; one that is known under its parent stays what it is.
    pub(super) fn children_of(
        &self,
        sessions: &HashMap<Arc<str>, Arc<Session>>,
        records: &BTreeMap<Arc<str>, Found>,
        before: &Table,
    ) -> HashMap<Arc<str>, Arc<Session>> {
        let mut children: HashMap<Arc<str>, Arc<Session>> = HashMap::new();
        for (id, session) in sessions {
            for child in self.recorded_children(id, records) {
                let parent = child.of.map_or(Some(session), |of| children.get(&*child_id(id, of)));
                let Some(parent) = parent.cloned() else { continue };
                let own_id = child_id(id, child.number);
                let is_its = |known: &&Arc<Session>| known.parent().is_some_and(|known| Arc::ptr_eq(known, &parent));
                let known = before.children.get(&*own_id).filter(is_its).cloned();
                children.insert(own_id.into(), known.unwrap_or_else(|| parent.child(child)));
            }
        }
        children
    }

    /// None where its names no longer tell its repositories apart.
    fn recorded_children(&self, id: &str, records: &BTreeMap<Arc<str>, Found>) -> Vec<Child> {
        let Some(Ok(record)) = records.get(id) else { return Vec::new() };
        record.children(self.first.as_ref()).unwrap_or_else(|error| {
            tracing::error!(id, %error, "the tokens of this session that may do less than it cannot be used");
            Vec::new()
        })
    }
}

const ELSEWHERE: &str = "This token holds at one address, and hands none on that holds elsewhere.";

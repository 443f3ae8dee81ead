//! What directories hold that none of those before them held at the same path.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    PackError,
    id::Id,
    kind::ObjectKind,
    objects::Objects,
    tree::{self, Entry},
};

/// A walk through trees, beside those that they are compared with. What is the same as one of those is left alone.
pub(super) struct Survey {
    steps: Vec<Step>,
    /// What waits for trees that are missing.
    put_off: Vec<Step>,
    seen: HashSet<(Box<[u8]>, Option<Id>)>,
    touched: BTreeSet<Box<[u8]>>,
    taken: usize,
}

/// A directory to be looked at.
#[derive(Clone)]
struct Step {
    path: Box<[u8]>,
    /// None where it is gone.
    new: Option<Id>,
    /// The same directory in what it is compared with, each once; none where it was not there.
    before: Vec<Option<Id>>,
}

/// Which paths a survey is for.
pub(super) type Concern<'c> = &'c dyn Fn(&[u8], Aspect) -> bool;

/// What is asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Whether it matters itself.
    Itself,
    /// Whether anything below it may.
    Below,
    /// Whether it matters, or what is found by way of it does, where it leads elsewhere.
    Link,
}

impl Survey {
    /// From these roots, beside those.
    pub(super) fn new(roots: &[Id], before: &[Id]) -> Self {
        let before = if before.is_empty() { vec![None] } else { before.iter().copied().map(Some).collect() };
        let steps = roots.iter().map(|root| Step { path: Box::default(), new: Some(*root), before: before.clone() });
        let (put_off, seen, touched) = Default::default();
        Self { steps: steps.collect(), put_off, seen, touched, taken: 0 }
    }

    /// Goes on as far as the trees are there, and gives the names of those that are not.
    pub(super) fn run(&mut self, objects: &Objects, concern: Concern<'_>) -> Result<Vec<Id>, PackError> {
        self.steps.append(&mut self.put_off);
        let mut missing = BTreeSet::new();
        while let Some(step) = self.steps.pop() {
            if !self.seen.insert((step.path.clone(), step.new)) {
                continue;
            }
            let trees = step.before.iter().flatten().chain(&step.new);
            let lacks: Vec<_> = trees.filter(|id| objects.kind(id).is_none()).copied().collect();
            if lacks.is_empty() {
                self.take(objects, concern, &step)?;
            } else {
                self.seen.remove(&(step.path.clone(), step.new));
                missing.extend(lacks);
                self.put_off.push(step);
            }
        }
        Ok(missing.into_iter().collect())
    }

    pub(super) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Paths that changed, in their order.
    pub(super) fn touched(self) -> Vec<Box<[u8]>> {
        self.touched.into_iter().collect()
    }

    fn take(&mut self, objects: &Objects, concern: Concern<'_>, step: &Step) -> Result<(), PackError> {
        self.taken += 1;
        if self.taken > MAX_STEPS {
            return Err(PackError::Beyond);
        }
        let read = |id: &Id| objects.get_of(ObjectKind::Tree, id).ok_or(PackError::Tree);
        let new = step.new.as_ref().map(read).transpose()?.unwrap_or_default();
        let before = step.before.iter().map(|id| id.as_ref().map(read).transpose().map(Option::unwrap_or_default));
        let before = before.collect::<Result<Vec<_>, _>>()?;
        let entries = |content| tree::read(content, objects.format).ok_or(PackError::Tree);
        let new = entries(&new)?;
        let before = before.iter().map(|content| entries(content)).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&[u8]> = before.iter().flat_map(BTreeMap::keys).chain(new.keys()).copied().collect();
        for name in names {
            let (entry, others) = (new.get(name), before.iter().map(|before| before.get(name)).collect::<Vec<_>>());
            // One that it is like is enough.
            if !others.contains(&entry) {
                let path = if step.path.is_empty() { name.into() } else { [&*step.path, b"/", name].concat() };
                self.compare(concern, path.into(), entry, &others)?;
            }
        }
        Ok(())
    }

    /// Takes a path that is like none of the others.
    fn compare(&mut self, concern: Concern<'_>, path: Box<[u8]>, new: Option<&Entry>, before: &[Option<&Entry>]) -> Result<(), PackError> {
        if path.len() > MAX_PATH {
            return Err(PackError::Tree);
        }
        let directory = |entry: Option<&Entry>| entry.filter(|entry| entry.is_directory()).map(|entry| entry.id);
        let file = |entry: Option<&Entry>| entry.filter(|entry| !entry.is_directory()).copied();
        let is_touched = before.iter().all(|other| file(*other) != file(new));
        let aspect = if new.is_some_and(|new| new.leads_elsewhere()) { Aspect::Link } else { Aspect::Itself };
        if is_touched && concern(&path, aspect) && self.touched.len() < MAX_TOUCHED {
            self.touched.insert(path.clone());
        }
        let (new, mut before) = (directory(new), before.iter().copied().map(directory).collect::<Vec<_>>());
        before.sort_unstable();
        before.dedup();
        if !before.contains(&new) && concern(&path, Aspect::Below) {
            self.steps.push(Step { path, new, before });
        }
        Ok(())
    }
}

/// Most directories that are looked at for one push.
const MAX_STEPS: usize = 1_000_000;
/// Most paths that are noted.
const MAX_TOUCHED: usize = 1000;
/// Longest path, in octets.
const MAX_PATH: usize = 4096;

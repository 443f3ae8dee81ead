//! Commits by their names, and whose parents they are.

use std::collections::{HashMap, HashSet};

use super::{MAX_COMMIT, MAX_COMMITS, PackError, delta, header::Base, id::Id, kind::ObjectKind};
use crate::github::push::{ObjectFormat, ObjectId};

/// Commits that were read, each under the name that its octets hash to.
pub struct Commits {
    format: ObjectFormat,
    parents: HashMap<Id, Vec<Id>>,
    /// Parents of all of them together.
    links: usize,
    /// Where commits begin whose octets are kept, for those that are written as a difference from them.
    places: HashMap<u64, Id>,
    contents: HashMap<Id, Vec<u8>>,
    kept: usize,
}

/// That a commit descends from another, which [`Commits::descent`] alone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descent {
    pub old: ObjectId,
    pub new: ObjectId,
}

/// Why no descent was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproven {
    /// Every line of the history ends, and none of them in the old commit: it is left behind.
    LeftBehind,
    /// The history goes on with these, which were not read.
    Beyond(Vec<ObjectId>),
}

impl Commits {
    pub(super) fn new(format: ObjectFormat) -> Self {
        let (parents, places, contents) = Default::default();
        Self { format, parents, places, contents, links: 0, kept: 0 }
    }

    /// Whether the octets that a difference is from are at hand.
    pub(super) fn knows(&self, base: &Base, offset: u64) -> bool {
        self.content(base, offset).is_some()
    }

    fn content(&self, base: &Base, offset: u64) -> Option<&Vec<u8>> {
        let id = match base {
            Base::Before(distance) => self.places.get(&offset.checked_sub(*distance)?)?,
            Base::Named(id) => id,
        };
        self.contents.get(id)
    }

    /// Adds the commit that begins at `offset`, and says how many octets were made of a difference.
    pub(super) fn add(&mut self, offset: u64, base: Option<&Base>, content: Vec<u8>) -> Result<u64, PackError> {
        let mut made = 0;
        let content = match base {
            None => content,
            Some(base) => {
                let whole = self.content(base, offset).and_then(|base| delta::apply(base, &content, MAX_COMMIT));
                let Some(whole) = whole else { return Ok(0) };
                made = whole.len() as u64;
                whole
            }
        };
        let id = Id::name(ObjectKind::Commit, &content, self.format);
        let parents = parents(&content, self.format);
        self.links += parents.len();
        if self.parents.len() == MAX_COMMITS || self.links > MAX_LINKS {
            return Err(PackError::TooLarge);
        }
        self.parents.insert(id, parents);
        if self.kept + content.len() <= MAX_KEPT {
            self.kept += content.len();
            self.places.insert(offset, id);
            self.contents.insert(id, content);
        }
        Ok(made)
    }

    /// Adds what another pack holds, within the bounds of one.
    pub fn join(&mut self, other: Self) -> Result<(), PackError> {
        self.links += other.links;
        if self.parents.len() + other.parents.len() > MAX_COMMITS || self.links > MAX_LINKS {
            return Err(PackError::TooLarge);
        }
        self.parents.extend(other.parents);
        Ok(())
    }

    /// Whether a commit was read.
    pub(super) fn contains(&self, id: &Id) -> bool {
        self.parents.contains_key(id)
    }

    /// Whether `new` is `old` or descends from it, by way of commits that were read and no others.
    pub fn descent(&self, old: &ObjectId, new: &ObjectId) -> Result<Descent, Unproven> {
        let [Some(to), Some(from)] = [old, new].map(|id| Id::parse(id.as_str().as_bytes())) else {
            return Err(Unproven::LeftBehind);
        };
        let (mut left, mut seen, mut beyond) = (vec![from], HashSet::from([from]), Vec::new());
        while let Some(id) = left.pop() {
            if id == to {
                return Ok(Descent { old: old.clone(), new: new.clone() });
            }
            match self.parents.get(&id) {
                Some(parents) => left.extend(parents.iter().copied().filter(|parent| seen.insert(*parent))),
                None => beyond.extend(id.shown(self.format)),
            }
        }
        Err(if beyond.is_empty() { Unproven::LeftBehind } else { Unproven::Beyond(beyond) })
    }
}

/// The parents of a commit, as git reads them: the lines right behind that of its tree.
pub(super) fn parents(content: &[u8], format: ObjectFormat) -> Vec<Id> {
    let mut lines = content.split(|byte| *byte == b'\n');
    if !lines.next().is_some_and(|tree| tree.starts_with(b"tree ")) {
        return Vec::new();
    }
    let parent = |line: &[u8]| {
        let digits = line.strip_prefix(b"parent ")?;
        (digits.len() == format.digits()).then(|| Id::parse(digits)).flatten()
    };
    lines.map_while(parent).collect()
}

/// Most parents of all commits together.
const MAX_LINKS: usize = 4 * MAX_COMMITS;
/// Most octets of commits that are kept for what is written as a difference from them.
const MAX_KEPT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_that_are_read_together_have_the_bounds_of_one() {
        let read = |links| Commits { links, ..Commits::new(ObjectFormat::Sha1) };
        let mut commits = read(MAX_LINKS - 1);
        assert_eq!(commits.join(read(1)), Ok(()));
        assert_eq!(commits.join(read(1)), Err(PackError::TooLarge));
        let id = |number: usize| Id::of(&number.to_be_bytes()).unwrap();
        let mut many = read(0);
        many.parents.extend((0..MAX_COMMITS).map(|number| (id(number), Vec::new())));
        let mut one = read(0);
        one.parents.insert(id(MAX_COMMITS), Vec::new());
        assert_eq!(one.join(many), Err(PackError::TooLarge));
    }
}

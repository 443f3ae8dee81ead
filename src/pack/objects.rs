//! Objects of packs, each under the name that its octets hash to, and what was found in them.

use std::{collections::HashMap, sync::Arc};

use super::{PackError, id::Id, kind::ObjectKind};
use crate::{
    github::push::ObjectFormat,
    wire::secrets::{FileScan, Found, Known},
};

/// Octets that are kept outside of memory.
pub trait Shelf: Send {
    /// Puts octets behind those that are there; `None` where there is no room.
    fn put(&mut self, octets: &[u8]) -> Option<()>;

    /// Reads octets from a place on, and says how many there were.
    fn get(&self, offset: u64, into: &mut [u8]) -> Option<usize>;
}

/// What is looked for in the objects of a push.
#[derive(Debug, Clone, Default)]
pub struct Looking {
    pub secrets: Option<Arc<Known>>,
    /// Files of more octets than this.
    pub larger: Option<u64>,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Secret(Found),
    /// A file of so many octets.
    Large(u64),
}

/// Whose objects a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The sandbox's: they are looked through, and their commits judged.
    Push,
    /// The upstream's, from nowhere that the push may start at: their commits are judged.
    Beyond,
    /// The upstream's, to compare with or to undo differences from.
    Upstream,
}

/// Every commit, tree and tag of some packs, and what was found in all their objects.
pub(super) struct Objects {
    pub(super) format: ObjectFormat,
    pub(super) looking: Looking,
    shelf: Box<dyn Shelf>,
    /// Octets on it.
    shelved: u64,
    places: HashMap<Id, Place>,
    /// Commits to judge.
    pub(super) commits: Vec<Id>,
    pub(super) flaws: Vec<(Id, ObjectKind, Flaw)>,
    /// Octets that may still come of what is inflated and of differences.
    pub(super) left: u64,
}

struct Place {
    kind: ObjectKind,
    offset: u64,
    length: u32,
}

impl Objects {
    pub(super) fn new(format: ObjectFormat, looking: Looking, shelf: Box<dyn Shelf>) -> Self {
        let (places, commits, flaws) = Default::default();
        Self { format, looking, shelf, shelved: 0, places, commits, flaws, left: MAX_MADE }
    }

    /// Takes octets off what may still be made.
    pub(super) fn spend(&mut self, octets: u64) -> Result<(), PackError> {
        self.left = self.left.checked_sub(octets).ok_or(PackError::Beyond)?;
        Ok(())
    }

    /// Takes a whole object that was not looked through yet.
    pub(super) fn add(&mut self, origin: Origin, kind: ObjectKind, content: &[u8]) -> Result<Id, PackError> {
        let id = Id::name(kind, content, self.format);
        if origin == Origin::Push {
            let mut scan = self.looking.secrets.as_ref().map(FileScan::new);
            if let Some(scan) = &mut scan {
                scan.push(content);
                self.spend(CLOSELY * scan.take_strain())?;
            }
            self.note(id, kind, content.len() as u64, scan.and_then(FileScan::finish));
        }
        self.keep(origin, kind, id, content)?;
        Ok(id)
    }

    /// Notes what is wrong with an object of a push.
    pub(super) fn note(&mut self, id: Id, kind: ObjectKind, size: u64, found: Option<Found>) {
        let large = self.looking.larger.filter(|most| kind == ObjectKind::Blob && size > *most).map(|_| Flaw::Large(size));
        let flaws = [found.map(Flaw::Secret), large];
        let room = MAX_FLAWS.saturating_sub(self.flaws.len());
        self.flaws.extend(flaws.into_iter().flatten().take(room).map(|flaw| (id, kind, flaw)));
    }

    /// Puts an object where it is found again: any but the files of a push, which nobody asks for.
    pub(super) fn keep(&mut self, origin: Origin, kind: ObjectKind, id: Id, content: &[u8]) -> Result<(), PackError> {
        if kind == ObjectKind::Blob && origin != Origin::Upstream {
            return Ok(());
        }
        if kind == ObjectKind::Commit && origin != Origin::Upstream {
            self.commits.push(id);
        }
        if self.places.contains_key(&id) {
            return Ok(());
        }
        if self.places.len() == MAX_OBJECTS {
            return Err(PackError::Beyond);
        }
        let length = u32::try_from(content.len()).map_err(|_| PackError::Beyond)?;
        self.shelf.put(content).ok_or(PackError::Unkept)?;
        self.places.insert(id, Place { kind, offset: self.shelved, length });
        self.shelved += u64::from(length);
        Ok(())
    }

    /// An object that was kept.
    pub(super) fn get(&self, id: &Id) -> Option<(ObjectKind, Vec<u8>)> {
        let Place { kind, offset, length } = self.places.get(id)?;
        let mut content = vec![0; usize::try_from(*length).ok()?];
        let mut filled = 0;
        while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += self.shelf.get(offset + filled as u64, rest).filter(|read| *read > 0)?;
        }
        Some((*kind, content))
    }

    pub(super) fn get_of(&self, kind: ObjectKind, id: &Id) -> Option<Vec<u8>> {
        self.get(id).filter(|(found, _)| *found == kind).map(|(_, content)| content)
    }

    pub(super) fn kind(&self, id: &Id) -> Option<ObjectKind> {
        self.places.get(id).map(|place| place.kind)
    }
}

/// Most objects of a pack, and most that are kept of all of them.
pub(super) const MAX_OBJECTS: usize = 1_000_000;
/// Most octets that are made of all packs of a push together.
pub const MAX_MADE: u64 = 8 << 30;
/// Of those, what an octet counts for that was looked at closely on account of what stands near it: so many take as long as one.
pub(super) const CLOSELY: u64 = 16;
/// Most flaws that are noted.
const MAX_FLAWS: usize = 1000;

//! Objects that a pack holds as differences from others (git's `gitformat-pack`), made whole once all of the pack was kept.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use flate2::{Decompress, FlushDecompress, Status};

use super::{
    PackError, delta,
    header::Base,
    id::Id,
    kind::ObjectKind,
    objects::{MAX_OBJECTS, Objects, Origin, Shelf},
};

/// Where the objects of one pack begin, and what they are.
#[derive(Default)]
pub(super) struct Index {
    /// By their places.
    wholes: Vec<Whole>,
    /// In the order of their places.
    deltas: Vec<Delta>,
    /// Differences whose base is named and was not seen, by its name.
    waiting: HashMap<Id, Vec<usize>>,
    is_begun: bool,
    /// Differences that were undone.
    undone: usize,
}

struct Whole {
    stored: Stored,
    kind: ObjectKind,
    id: Id,
}

struct Delta {
    stored: Stored,
    base: Base,
}

/// Where an object is in its pack.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) offset: u64,
    /// Octets of its header.
    pub(super) header: u8,
    /// Octets that it inflates to.
    pub(super) size: u64,
}

/// An object that differences are from, until the last of them was undone.
struct Basis {
    kind: ObjectKind,
    content: Vec<u8>,
    /// The last one first.
    deltas: Vec<usize>,
}

/// Numbers of differences behind the places of what they are from, in order.
struct ByPlace(Vec<(u64, usize)>);

impl ByPlace {
    fn of(&self, place: u64) -> &[(u64, usize)] {
        let Self(all) = self;
        let (start, end) = (all.partition_point(|(other, _)| *other < place), all.partition_point(|(other, _)| *other <= place));
        all.get(start..end).unwrap_or_default()
    }
}

impl Index {
    pub(super) fn add_whole(&mut self, stored: Stored, kind: ObjectKind, id: Id) -> Result<(), PackError> {
        self.wholes.push(Whole { stored, kind, id });
        self.check()
    }

    pub(super) fn add_delta(&mut self, stored: Stored, base: Base) -> Result<(), PackError> {
        self.deltas.push(Delta { stored, base });
        self.check()
    }

    fn check(&self) -> Result<(), PackError> {
        if self.wholes.len() + self.deltas.len() > MAX_OBJECTS { Err(PackError::Beyond) } else { Ok(()) }
    }

    /// Makes whole what can be made, from the pack as it was kept, and gives the names of bases that are missing: those are to be added
    /// to `objects` before it is asked again.
    pub(super) fn resolve(&mut self, objects: &mut Objects, origin: Origin, pack: &dyn Shelf) -> Result<Vec<Id>, PackError> {
        let by_place = self.by_place();
        if !self.is_begun {
            self.is_begun = true;
            let named = self.deltas.iter().enumerate().filter_map(|(number, delta)| match delta.base {
                Base::Named(id) => Some((id, number)),
                Base::Before(_) => None,
            });
            for (id, number) in named {
                self.waiting.entry(id).or_default().push(number);
            }
            for whole in std::mem::take(&mut self.wholes) {
                let deltas = self.deltas_of(&by_place, whole.stored.offset, &whole.id);
                if !deltas.is_empty() {
                    let content = inflate(pack, whole.stored)?;
                    objects.spend(whole.stored.size)?;
                    self.undo(objects, origin, pack, &by_place, Basis { kind: whole.kind, content, deltas })?;
                }
            }
        }
        let there: BTreeSet<_> = self.waiting.keys().filter(|id| objects.kind(id).is_some()).copied().collect();
        for id in there {
            let (Some(deltas), Some((kind, content))) = (self.waiting.remove(&id), objects.get(&id)) else {
                return Err(PackError::Unkept);
            };
            self.undo(objects, origin, pack, &by_place, Basis { kind, content, deltas })?;
        }
        Ok(self.waiting.keys().copied().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Differences by the places of the objects that they are from. Of those from one object that comes first on which most hangs, so
    /// that it is undone last and little is held meanwhile.
    fn by_place(&self) -> ByPlace {
        let place = |delta: &Delta| match delta.base {
            Base::Before(distance) => delta.stored.offset.checked_sub(distance),
            Base::Named(_) => None,
        };
        let placed = self.deltas.iter().enumerate().filter_map(|(number, delta)| Some((place(delta)?, number)));
        let mut by_place = ByPlace(placed.collect());
        by_place.0.sort_unstable();
        let mut weights = vec![1_u32; self.deltas.len()];
        for (number, delta) in self.deltas.iter().enumerate().rev() {
            let of = |(_, other): &(u64, usize)| weights.get(*other).copied().unwrap_or_default();
            let sum = by_place.of(delta.stored.offset).iter().map(of).fold(1, u32::saturating_add);
            if let Some(weight) = weights.get_mut(number) {
                *weight = sum;
            }
        }
        by_place.0.sort_unstable_by_key(|(place, number)| (*place, Reverse(weights.get(*number).copied())));
        by_place
    }

    /// The differences from an object, each once.
    fn deltas_of(&mut self, by_place: &ByPlace, offset: u64, id: &Id) -> Vec<usize> {
        let mut deltas: Vec<_> = by_place.of(offset).iter().map(|(_, number)| *number).collect();
        deltas.extend(self.waiting.remove(id).unwrap_or_default());
        deltas
    }

    fn undo(&mut self, objects: &mut Objects, origin: Origin, pack: &dyn Shelf, by_place: &ByPlace, first: Basis) -> Result<(), PackError> {
        let mut held = first.content.len();
        let mut bases = vec![first];
        while let Some(basis) = bases.last_mut() {
            let kind = basis.kind;
            let Some(number) = basis.deltas.pop() else {
                bases.pop();
                continue;
            };
            let is_last = basis.deltas.is_empty();
            let Some(stored) = self.deltas.get(number).map(|delta| delta.stored) else { return Err(PackError::Base) };
            let difference = inflate(pack, stored)?;
            objects.spend(stored.size)?;
            let content = delta::apply(&basis.content, &difference, MAX_HELD).ok_or(PackError::Difference)?;
            objects.spend(content.len() as u64)?;
            self.undone += 1;
            if is_last && let Some(gone) = bases.pop() {
                held -= gone.content.len();
            }
            let id = objects.add(origin, kind, &content)?;
            let deltas = self.deltas_of(by_place, stored.offset, &id);
            if !deltas.is_empty() {
                held += content.len();
                if held > MAX_TOGETHER {
                    return Err(PackError::Difference);
                }
                bases.push(Basis { kind, content, deltas });
            }
        }
        Ok(())
    }

    /// Whether every difference was undone: one from where no object begins never is.
    pub(super) fn is_whole(&self) -> bool {
        self.undone == self.deltas.len()
    }
}

/// Inflates an object once more.
fn inflate(pack: &dyn Shelf, stored: Stored) -> Result<Vec<u8>, PackError> {
    let size = usize::try_from(stored.size).ok().filter(|_| stored.size <= MAX_HELD).ok_or(PackError::Difference)?;
    // One more, so that an end that follows is seen.
    let mut content = Vec::with_capacity(size + 1);
    let mut offset = stored.offset + u64::from(stored.header);
    let mut inflater = Decompress::new(true);
    let mut input = [0; CHUNK];
    loop {
        let length = pack.get(offset, &mut input).ok_or(PackError::Unkept)?;
        let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
        let read = input.get(..length).unwrap_or_default();
        let status = inflater.decompress_vec(read, &mut content, FlushDecompress::None).map_err(|_| PackError::Compression)?;
        offset += inflater.total_in() - before_in;
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if inflater.total_in() == before_in && inflater.total_out() == before_out => {
                return Err(PackError::Compression);
            }
            Status::Ok | Status::BufError => {}
        }
    }
    if content.len() == size { Ok(content) } else { Err(PackError::Size) }
}

/// Largest object that is made of a difference, or that one is from.
pub const MAX_HELD: u64 = 32 << 20;
/// Most octets of such objects that are held at once.
const MAX_TOGETHER: usize = 64 << 20;
/// Octets that are read at once.
const CHUNK: usize = 16 << 10;

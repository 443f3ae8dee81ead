//! What a push holds, beside what the upstream has: asked for piece by piece, since nothing here can ask.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
};

use super::{
    Commits, PackError, PackReader,
    commits::parents,
    differences::Index,
    id::Id,
    kind::ObjectKind,
    objects::{Flaw, Looking, Objects, Origin, Shelf},
    survey::{self, Concern},
    tree,
};
use crate::{
    github::push::{ObjectFormat, ObjectId},
    wire::secrets::Found,
};

/// The objects of a push, and of what the upstream was asked for on their account.
pub struct Contents {
    objects: Objects,
    index: Index,
    /// Octets of the pack that was pushed.
    octets: u64,
}

/// A pack of the upstream's that was read to its end.
pub struct Arrived {
    contents: Contents,
    index: Index,
    origin: Origin,
}

/// A walk through what was pushed, beside what is there.
pub struct Survey(survey::Survey);

/// What was seen of a push: the facts that it is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    octets: u64,
    flaws: Vec<Flawed>,
    touched: Option<Vec<Box<[u8]>>>,
}

/// Something wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flawed {
    /// Where it is, if it is a file.
    pub path: Option<Box<[u8]>>,
    /// What it is, and its name.
    pub object: String,
    pub flaw: Flaw,
}

impl Examined {
    /// Of the pack.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    pub fn flaws(&self) -> &[Flawed] {
        &self.flaws
    }

    /// The same with what was found in the names of its refs, if anything was.
    #[must_use]
    pub fn naming(mut self, found: Option<Found>) -> Self {
        let flaw = |found| Flawed { path: None, object: "the name of a ref".to_owned(), flaw: Flaw::Secret(found) };
        self.flaws.extend(found.map(flaw));
        self
    }

    /// Paths that changed among those that were asked about; `None` where nobody compared.
    pub fn touched(&self) -> Option<&[Box<[u8]>]> {
        self.touched.as_deref()
    }
}

impl Contents {
    /// Before anything was read.
    pub(super) fn new(format: ObjectFormat, looking: Looking, shelf: Box<dyn Shelf>) -> Self {
        Self { objects: Objects::new(format, looking, shelf), index: Index::default(), octets: 0 }
    }

    pub(super) fn split(self) -> (Objects, Index, u64) {
        (self.objects, self.index, self.octets)
    }

    pub(super) fn of(objects: Objects, index: Index, octets: u64) -> Self {
        Self { objects, index, octets }
    }

    /// Makes whole what the push holds as differences, from its pack as it was kept, and gives the names of objects that the upstream is
    /// to be asked for first; none once it is done.
    ///
    /// # Errors
    /// [`PackError`]: it cannot be judged.
    pub fn resolve(&mut self, pack: &dyn Shelf) -> Result<Vec<ObjectId>, PackError> {
        let missing = self.index.resolve(&mut self.objects, Origin::Push, pack)?;
        if missing.is_empty() && !self.index.is_whole() {
            return Err(PackError::Base);
        }
        Ok(self.shown(missing))
    }

    /// Reads a pack of the upstream's in addition.
    pub fn beside(self, origin: Origin) -> PackReader {
        PackReader::beside(self, origin)
    }

    /// What the history of the push goes on with and is not to be judged yet: these new tips themselves, or parents of commits that were.
    ///
    /// # Errors
    /// [`PackError::Tip`] for a tip that is neither a commit nor a tag of one.
    pub fn beyond(&self, tips: &[ObjectId]) -> Result<Vec<ObjectId>, PackError> {
        let mut beyond = BTreeSet::new();
        for tip in tips {
            let (kind, id) = self.peel(tip)?;
            match kind {
                Some(ObjectKind::Commit) | None => _ = beyond.insert(id),
                Some(_) => return Err(PackError::Tip),
            }
        }
        for id in &self.objects.commits {
            let content = self.objects.get_of(ObjectKind::Commit, id).ok_or(PackError::Unkept)?;
            beyond.extend(parents(&content, self.objects.format));
        }
        // What is there for another reason, as the base of a difference, is judged by nobody.
        for judged in &self.objects.commits {
            beyond.remove(judged);
        }
        Ok(self.shown(beyond))
    }

    /// Those of these objects that were not read.
    pub fn lacking(&self, ids: &[ObjectId]) -> Vec<ObjectId> {
        let lacks = |id: &&ObjectId| parse(id).is_none_or(|id| self.objects.kind(&id).is_none());
        ids.iter().filter(lacks).cloned().collect()
    }

    /// Compares every commit of the push, but those that the upstream is known to have, with what these commits hold.
    pub fn survey(&self, before: &[ObjectId], known: Option<&Commits>) -> Result<Survey, PackError> {
        let pushed = self.objects.commits.iter().filter(|id| known.is_none_or(|known| !known.contains(id)));
        let roots: BTreeSet<_> = pushed.map(|id| self.tree_of(id)).collect::<Result<_, _>>()?;
        let before = before.iter().map(|tip| match self.peel(tip)? {
            (Some(ObjectKind::Commit), id) => self.tree_of(&id),
            (_, _) => Err(PackError::Tip),
        });
        let before: BTreeSet<_> = before.collect::<Result<_, _>>()?;
        let [roots, before] = [roots, before].map(|ids| ids.into_iter().collect::<Vec<_>>());
        Ok(Survey(survey::Survey::new(&roots, &before)))
    }

    /// What was seen. Files with a flaw are looked for in the trees of the push.
    pub fn examined(&self, survey: Option<Survey>) -> Result<Examined, PackError> {
        let paths = self.paths()?;
        let flaws = self.objects.flaws.iter().map(|(id, kind, flaw)| {
            let name = id.shown(self.objects.format).map(|id| id.to_string()).unwrap_or_default();
            let object = format!("the {} {name}", kind.as_str());
            Flawed { path: paths.get(id).cloned(), object, flaw: *flaw }
        });
        Ok(Examined { octets: self.octets, flaws: flaws.collect(), touched: survey.map(|Survey(survey)| survey.touched()) })
    }

    /// What a name stands for behind tags, as far as it was read.
    fn peel(&self, tip: &ObjectId) -> Result<(Option<ObjectKind>, Id), PackError> {
        let mut id = parse(tip).ok_or(PackError::Tip)?;
        for _ in 0..MAX_TAGS {
            match self.objects.get_of(ObjectKind::Tag, &id) {
                Some(tag) => id = tree::of_tag(&tag, self.objects.format).ok_or(PackError::Tip)?,
                None => return Ok((self.objects.kind(&id), id)),
            }
        }
        Err(PackError::Tip)
    }

    fn tree_of(&self, commit: &Id) -> Result<Id, PackError> {
        let content = self.objects.get_of(ObjectKind::Commit, commit).ok_or(PackError::Unkept)?;
        tree::of_commit(&content, self.objects.format).ok_or(PackError::Tree)
    }

    /// A path of each object with a flaw, as far as trees that were read show one.
    fn paths(&self) -> Result<HashMap<Id, Box<[u8]>>, PackError> {
        let mut wanted: HashSet<_> = self.objects.flaws.iter().map(|(id, ..)| *id).collect();
        let (mut found, mut seen) = (HashMap::new(), HashSet::new());
        let mut left: Vec<(Box<[u8]>, Id)> = Vec::new();
        for commit in &self.objects.commits {
            if wanted.is_empty() {
                break;
            }
            left.push((Box::default(), self.tree_of(commit)?));
            while let Some((directory, id)) = left.pop() {
                let Some(content) = self.objects.get_of(ObjectKind::Tree, &id).filter(|_| seen.insert(id)) else { continue };
                let entries = tree::read(&content, self.objects.format).ok_or(PackError::Tree)?;
                for (name, entry) in entries {
                    let path = || if directory.is_empty() { name.into() } else { [&*directory, b"/", name].concat().into_boxed_slice() };
                    if wanted.remove(&entry.id) {
                        found.insert(entry.id, path());
                    }
                    if entry.is_directory() && !seen.contains(&entry.id) && directory.len() < MAX_PATH {
                        left.push((path(), entry.id));
                    }
                }
            }
        }
        Ok(found)
    }

    fn shown(&self, ids: impl IntoIterator<Item = Id>) -> Vec<ObjectId> {
        ids.into_iter().filter_map(|id| id.shown(self.objects.format)).collect()
    }
}

impl Arrived {
    pub(super) fn new(contents: Contents, index: Index, origin: Origin) -> Self {
        Self { contents, index, origin }
    }

    /// Makes whole what the pack holds as differences; its bases are in it.
    pub fn resolve(mut self, pack: &dyn Shelf) -> Result<Contents, PackError> {
        let missing = self.index.resolve(&mut self.contents.objects, self.origin, pack)?;
        if missing.is_empty() && self.index.is_whole() { Ok(self.contents) } else { Err(PackError::Base) }
    }
}

impl Survey {
    /// Goes on as far as the trees were read, and gives the names of those that the upstream is to be asked for; none once it is done.
    /// `concern` says of a path whether it matters, and of a directory whether anything below it does.
    pub fn run(&mut self, contents: &Contents, concern: Concern<'_>) -> Result<Vec<ObjectId>, PackError> {
        let Self(survey) = self;
        survey.run(&contents.objects, concern).map(|missing| contents.shown(missing))
    }

    /// Whether a path that matters has changed.
    pub fn has_touched(&self) -> bool {
        self.0.has_touched()
    }
}

fn parse(id: &ObjectId) -> Option<Id> {
    Id::parse(id.as_str().as_bytes())
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").field("octets", &self.octets).finish_non_exhaustive()
    }
}

/// Most tags that stand for tags.
const MAX_TAGS: usize = 16;
/// Longest directory whose files are told by their paths.
const MAX_PATH: usize = 4096;

#[cfg(test)]
mod tests;

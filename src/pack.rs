//! The commits of a pack while it arrives (git's `gitformat-pack`), and what they prove about each other.
//!
//! A commit is taken for what its own octets hash to, so that what is proved here holds whoever made the pack and however another
//! reader takes it apart. Trees, blobs and tags are inflated and thrown away. A commit that is written as a difference from one that
//! was not kept, or does not stand before it, is not known; nothing is proved by it. Where the content of a push is judged, its other
//! objects are looked through as well, and differences are undone once all of it was kept: [`Contents`].

mod kind;
mod id;
mod header;
mod delta;
mod commits;
mod tree;
mod objects;
mod differences;
mod examiner;
mod survey;
mod contents;

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

pub use self::{
    commits::{Commits, Descent, Unproven},
    contents::{Arrived, Contents, Examined, Flawed, Survey},
    differences::MAX_HELD,
    objects::{Flaw, Looking, MAX_MADE, Origin, Shelf},
    survey::Aspect,
};
use self::{
    differences::{Index, Stored},
    examiner::Examiner,
    header::{Base, Header, Kind},
    kind::ObjectKind,
    objects::MAX_OBJECTS,
};
use crate::github::push::ObjectFormat;

/// Reads a pack as it comes.
pub struct PackReader {
    format: ObjectFormat,
    state: State,
    /// What has come of a header, or of the checksum at the end.
    pending: Vec<u8>,
    /// Octets that were read.
    offset: u64,
    objects_left: u32,
    /// Octets that came of them.
    inflated: u64,
    /// Most of those.
    bound: u64,
    commits: Commits,
    /// What is looked at beside commits.
    examined: Option<Box<Examination>>,
}

struct Examination {
    examiner: Examiner,
    /// Of a push that this pack is beside, and its octets.
    pushed: Option<(Index, u64)>,
}

enum State {
    /// `PACK`, a version, and how many objects.
    Start,
    Header,
    Object(Box<Object>),
    Checksum,
    Over,
}

/// An object that is being inflated.
struct Object {
    /// Where it begins.
    offset: u64,
    size: u64,
    got: u64,
    /// What is to become of it; nothing where it is thrown away.
    kept: Option<Kept>,
    inflater: Decompress,
}

struct Kept {
    /// Whose difference it is; none where it is whole.
    base: Option<Base>,
    content: Vec<u8>,
}

impl PackReader {
    pub fn new(format: ObjectFormat) -> Self {
        let (commits, bound) = (Commits::new(format), MAX_INFLATED);
        let state = State::Start;
        Self { format, state, pending: Vec::new(), offset: 0, objects_left: 0, inflated: 0, bound, commits, examined: None }
    }

    /// The same for a push whose objects are looked through, too. All but its files are put on the shelf.
    pub fn examining(format: ObjectFormat, looking: Looking, shelf: Box<dyn Shelf>) -> Self {
        let (objects, ..) = Contents::new(format, looking, shelf).split();
        let examination = Examination { examiner: Examiner::new(objects, Origin::Push), pushed: None };
        Self { bound: MAX_MADE, examined: Some(Box::new(examination)), ..Self::new(format) }
    }

    fn beside(contents: Contents, origin: Origin) -> Self {
        let (objects, index, octets) = contents.split();
        let format = objects.format;
        let examination = Examination { examiner: Examiner::new(objects, origin), pushed: Some((index, octets)) };
        Self { bound: MAX_MADE, examined: Some(Box::new(examination)), ..Self::new(format) }
    }

    /// Takes the octets that come next.
    ///
    /// # Errors
    /// No pack, or more of it than is read: [`MAX_COMMITS`], [`MAX_INFLATED`].
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), PackError> {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::Start => self.start(bytes)?,
                State::Header => self.header(bytes)?,
                State::Object(_) => self.object(bytes)?,
                State::Checksum => self.checksum(bytes),
                State::Over => return Err(PackError::Surplus),
            };
            self.offset += used as u64;
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// The commits, once all of it was taken.
    pub fn finish(self) -> Result<Commits, PackError> {
        if matches!(self.state, State::Over) { Ok(self.commits) } else { Err(PackError::Short) }
    }

    /// The same, and what a push holds, where that is looked through.
    pub fn finish_push(mut self) -> Result<(Commits, Option<Contents>), PackError> {
        let (examined, octets) = (self.examined.take(), self.offset);
        let contents = examined.map(|examined| Contents::of(examined.examiner.objects, examined.examiner.index, octets));
        Ok((self.finish()?, contents))
    }

    /// The pack of an upstream that was read by [`Contents::beside`].
    pub fn finish_beside(mut self) -> Result<Arrived, PackError> {
        let Some(Examination { examiner, pushed: Some((index, octets)) }) = self.examined.take().map(|examined| *examined) else {
            return Err(PackError::Unkept);
        };
        let _commits = self.finish()?;
        let Examiner { objects, index: arrived, origin, .. } = examiner;
        Ok(Arrived::new(Contents::of(objects, index, octets), arrived, origin))
    }

    fn start(&mut self, bytes: &[u8]) -> Result<usize, PackError> {
        let used = self.gather(bytes, header::START);
        if self.pending.len() == header::START {
            self.objects_left = header::start(&self.pending).ok_or(PackError::Start)?;
            self.pending.clear();
            self.state = self.next();
        }
        Ok(used)
    }

    fn header(&mut self, bytes: &[u8]) -> Result<usize, PackError> {
        let before = self.pending.len();
        self.gather(bytes, header::LONGEST);
        let Some(Header { kind, size, length }) = header::read(&self.pending, self.format)? else {
            return Ok(self.pending.len() - before);
        };
        self.pending.clear();
        let offset = self.offset - before as u64;
        if let Some(examined) = &mut self.examined {
            let stored = Stored { offset, header: u8::try_from(length).unwrap_or_default(), size };
            examined.examiner.begin(&kind, stored)?;
        }
        let kept = match kind {
            Kind::Whole(ObjectKind::Commit) => Some(None),
            Kind::Delta(base) => self.commits.knows(&base, offset).then_some(Some(base)),
            Kind::Whole(_) => None,
        };
        // A commit of a size that nobody writes is not worth the memory.
        let kept = kept.filter(|_| size <= MAX_COMMIT).map(|base| Kept { base, content: Vec::new() });
        self.objects_left -= 1;
        self.state = State::Object(Box::new(Object { offset, size, got: 0, kept, inflater: Decompress::new(true) }));
        Ok(length - before)
    }

    /// Inflates a piece. The stream shows its own end.
    fn object(&mut self, bytes: &[u8]) -> Result<usize, PackError> {
        let State::Object(object) = &mut self.state else { return Ok(0) };
        let mut out = [0; CHUNK];
        let mut used = 0;
        loop {
            let (before_in, before_out) = (object.inflater.total_in(), object.inflater.total_out());
            let rest = bytes.get(used..).unwrap_or_default();
            let status = object.inflater.decompress(rest, &mut out, FlushDecompress::None).map_err(|_| PackError::Compression)?;
            let (took, gave) = (object.inflater.total_in() - before_in, object.inflater.total_out() - before_out);
            used += usize::try_from(took).unwrap_or(rest.len());
            let piece = out.get(..usize::try_from(gave).unwrap_or_default()).unwrap_or_default();
            object.got += gave;
            self.inflated += gave;
            if object.got > object.size {
                return Err(PackError::Size);
            }
            if self.inflated > self.bound {
                return Err(PackError::TooLarge);
            }
            if let Some(examined) = &mut self.examined {
                examined.examiner.piece(piece)?;
            }
            if let Some(kept) = &mut object.kept {
                kept.content.extend_from_slice(piece);
            }
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError if took == 0 && gave == 0 => return Ok(used),
                Status::Ok | Status::BufError => {}
            }
        }
        if object.got != object.size {
            return Err(PackError::Size);
        }
        if let Some(examined) = &mut self.examined {
            examined.examiner.end()?;
        }
        let (offset, kept) = (object.offset, object.kept.take());
        if let Some(Kept { base, content }) = kept {
            self.inflated += self.commits.add(offset, base.as_ref(), content)?;
        }
        self.state = self.next();
        Ok(used)
    }

    fn checksum(&mut self, bytes: &[u8]) -> usize {
        let length = self.format.digits() / 2;
        let used = self.gather(bytes, length);
        if self.pending.len() == length {
            self.state = State::Over;
        }
        used
    }

    fn next(&self) -> State {
        if self.objects_left == 0 { State::Checksum } else { State::Header }
    }

    /// Takes as much as is missing up to a length, and says how much.
    fn gather(&mut self, bytes: &[u8], length: usize) -> usize {
        let used = bytes.len().min(length.saturating_sub(self.pending.len()));
        self.pending.extend_from_slice(bytes.get(..used).unwrap_or_default());
        used
    }
}

impl fmt::Debug for PackReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackReader").field("offset", &self.offset).field("objects_left", &self.objects_left).finish_non_exhaustive()
    }
}

/// What is no pack, or more than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackError {
    /// No `PACK` of version 2 or 3.
    Start,
    /// An object of no known kind, or a size or distance that no number holds.
    Header,
    /// What is not deflated.
    Compression,
    /// An object of another size than is written before it.
    Size,
    /// It ends within an object.
    Short,
    /// Something follows its end.
    Surplus,
    /// More than [`MAX_COMMITS`] or [`MAX_INFLATED`].
    TooLarge,
    /// More than [`MAX_OBJECTS`] or [`MAX_MADE`], where objects are looked through.
    Beyond,
    /// A difference that is none, or from or to more than [`MAX_HELD`]; or such a commit, tree or tag.
    Difference,
    /// A difference from an object that is nowhere.
    Base,
    /// A commit without a tree, or a tree that git does not write.
    Tree,
    /// A ref would point to no commit.
    Tip,
    /// There is no room to keep what was read.
    Unkept,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("a pack begins with PACK and its version"),
            Self::Header => f.write_str("an object of the pack has a header that means nothing"),
            Self::Compression => f.write_str("an object of the pack is not compressed as it should be"),
            Self::Size => f.write_str("an object of the pack is not as large as it says"),
            Self::Short => f.write_str("the pack ends too early"),
            Self::Surplus => f.write_str("something follows the pack"),
            Self::TooLarge => write!(f, "the pack holds more than {MAX_COMMITS} commits or {MAX_INFLATED} octets, push fewer at a time"),
            Self::Beyond => write!(f, "the push holds more than {MAX_OBJECTS} objects or {MAX_MADE} octets, push fewer commits at a time"),
            Self::Difference => write!(
                f,
                "an object of the pack is a difference that cannot be undone, or one of more than {MAX_HELD} octets, \
                 push with git -c core.bigFileThreshold=16m"
            ),
            Self::Base => f.write_str("an object of the pack is a difference from one that nobody has"),
            Self::Tree => f.write_str("a commit or a tree of the push is not as git writes them"),
            Self::Tip => f.write_str("a ref would point to something other than a commit"),
            Self::Unkept => f.write_str("there is no room to keep what was pushed"),
        }
    }
}

impl std::error::Error for PackError {}

/// Most commits of a pack.
pub const MAX_COMMITS: usize = 100_000;

/// Most octets of all objects together, inflated.
pub const MAX_INFLATED: u64 = 2 << 30;

/// Largest commit that is looked at, and largest difference between two.
const MAX_COMMIT: u64 = 1 << 20;

/// Octets that are inflated at once.
const CHUNK: usize = 16 << 10;

#[cfg(test)]
mod tests;

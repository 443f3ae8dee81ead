//! The objects of a pack while they arrive: whole ones are looked through at once, differences are only noted.

use aws_lc_rs::digest::Context;

use super::{
    PackError,
    differences::{Index, Stored},
    header::Kind,
    id::Id,
    kind::ObjectKind,
    objects::{CLOSELY, Objects, Origin},
};
use crate::wire::secrets::FileScan;

/// What looks through the objects of one pack.
pub(super) struct Examiner {
    pub(super) objects: Objects,
    pub(super) index: Index,
    pub(super) origin: Origin,
    /// The one that is arriving, where it is whole.
    current: Option<Current>,
}

struct Current {
    stored: Stored,
    kind: ObjectKind,
    name: Context,
    scan: Option<FileScan>,
    /// Its octets, where they are asked for again.
    content: Option<Vec<u8>>,
}

impl Examiner {
    pub(super) fn new(objects: Objects, origin: Origin) -> Self {
        Self { objects, index: Index::default(), origin, current: None }
    }

    pub(super) fn begin(&mut self, kind: &Kind, stored: Stored) -> Result<(), PackError> {
        let kind = match kind {
            Kind::Whole(kind) => *kind,
            Kind::Delta(base) => return self.index.add_delta(stored, *base),
        };
        let is_kept = kind != ObjectKind::Blob || self.origin == Origin::Upstream;
        if is_kept && stored.size > super::MAX_HELD {
            return Err(PackError::Difference);
        }
        let secrets = self.objects.looking.secrets.as_ref().filter(|_| self.origin == Origin::Push);
        let name = Id::naming(kind, stored.size, self.objects.format);
        self.current = Some(Current { stored, kind, name, scan: secrets.map(FileScan::new), content: is_kept.then(Vec::new) });
        Ok(())
    }

    pub(super) fn piece(&mut self, piece: &[u8]) -> Result<(), PackError> {
        self.objects.spend(piece.len() as u64)?;
        if let Some(Current { name, scan, content, .. }) = &mut self.current {
            name.update(piece);
            if let Some(scan) = scan {
                scan.push(piece);
                self.objects.spend(CLOSELY * scan.take_strain())?;
            }
            if let Some(content) = content {
                content.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), PackError> {
        let Some(Current { stored, kind, name, scan, content }) = self.current.take() else { return Ok(()) };
        let id = Id::of_hash(name);
        if self.origin == Origin::Push {
            self.objects.note(id, kind, stored.size, scan.and_then(FileScan::finish));
        }
        if let Some(content) = content {
            self.objects.keep(self.origin, kind, id, &content)?;
        }
        self.index.add_whole(stored, kind, id)
    }
}

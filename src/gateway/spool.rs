//! An upload that is kept until it is judged, and what is looked at beside it: in a file without a name, so that it is gone with whoever holds it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::pack::Shelf;

/// Octets that may be kept at once, by all uploads together that are kept there.
pub(super) struct Room {
    most: u64,
    taken: AtomicU64,
}

impl Room {
    pub(super) const fn of(most: u64) -> Self {
        Self { most, taken: AtomicU64::new(0) }
    }

    fn take(&self, octets: u64) -> io::Result<()> {
        let fits = |taken: u64| taken.checked_add(octets).filter(|sum| *sum <= self.most);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }
}

/// What was kept of an upload, to be read from its beginning.
pub(super) struct Spool {
    file: File,
    length: u64,
    room: &'static Room,
    /// Of the room, until it is gone.
    taken: u64,
    /// Of its session's, for as long as it is there.
    _place: Option<OwnedSemaphorePermit>,
}

impl Spool {
    /// In this directory, for nobody but us.
    pub(super) fn new(directory: &Path, room: &'static Room, place: Option<OwnedSemaphorePermit>) -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!(".push-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        // One that was left behind is nobody's.
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file, length: 0, room, taken: 0, _place: place })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Keeps what comes next.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] where there is no room for it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.room.take(bytes.len() as u64)?;
        self.taken += bytes.len() as u64;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind()
    }

    /// The octets that come next; none at the end.
    pub(super) fn read(&mut self) -> io::Result<Bytes> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.length).unwrap_or(PIECE))];
        let length = self.file.read(&mut piece)?;
        piece.truncate(length);
        self.length = self.length.saturating_sub(length as u64);
        if piece.is_empty() && self.length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(piece.into())
    }
}

impl Shelf for Spool {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.write(octets).inspect_err(|error| tracing::warn!(%error, "what is looked at of a push cannot be kept")).ok()
    }

    fn get(&self, offset: u64, into: &mut [u8]) -> Option<usize> {
        self.file.read_at(into, offset).inspect_err(|error| tracing::error!(%error, "what was kept of a push cannot be read")).ok()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Octets that are read at once.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_leaves_nothing_behind() {
        static ROOM: Room = Room::of(1 << 20);
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(directory.path(), &ROOM, None).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let octets: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        octets.chunks(70_000).for_each(|piece| spool.write(piece).unwrap());
        assert_eq!(spool.length(), octets.len() as u64);
        spool.rewind().unwrap();
        let mut read = Vec::new();
        while spool.length() > 0 {
            read.extend_from_slice(&spool.read().unwrap());
        }
        assert!(read == octets && spool.read().unwrap().is_empty());
    }

    #[test]
    fn all_that_is_kept_together_has_a_bound() {
        static ROOM: Room = Room::of(10);
        let directory = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [(), ()].map(|()| Spool::new(directory.path(), &ROOM, None).unwrap());
        one.write(&[0; 6]).unwrap();
        assert_eq!(other.write(&[0; 5]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        other.write(&[0; 4]).unwrap();
        assert!(one.write(&[0]).is_err());
        drop(other);
        one.write(&[0; 4]).unwrap();
        drop(one);
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
    }
}

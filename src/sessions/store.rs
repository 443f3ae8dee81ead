//! What is kept of sessions between one run and the next: a record each, and the keys of their tokens.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;

use super::{
    keys::Keys,
    record::{MAX_RECORD, Record},
};
use crate::{
    files::{self, StoreError},
    token::is_session_id,
};

/// A record, or why it is none: its session is refused then.
pub(super) type Found = Result<Record, StoreError>;

/// A directory that outlives the process.
pub(crate) struct Store {
    records: PathBuf,
    keys: PathBuf,
    /// Those by which tokens are signed and accepted.
    pub(super) known: ArcSwap<Keys>,
}

impl Store {
    /// Whether a directory was used as a store before.
    pub(crate) fn exists(state: &Path) -> bool {
        fs::symlink_metadata(state.join(RECORDS)).is_ok()
    }

    /// Opens a directory, and makes what is missing in it, the first signing key too.
    pub(crate) fn open(state: &Path, now: SystemTime) -> Result<Self, StoreError> {
        let records = state.join(RECORDS);
        files::make_directory(&records).map_err(|error| StoreError::new(&records, &error))?;
        let keys = state.join(KEYS);
        Ok(Self { known: ArcSwap::from_pointee(Keys::open(&keys, now)?), keys, records })
    }

    /// The keys as they are on disk now.
    pub(super) fn read_keys(&self) -> Result<Keys, StoreError> {
        Keys::read(&self.keys)
    }

    /// Every record by the id that its file's name gives. What is forgettable is removed.
    pub(super) fn load(&self, now: SystemTime) -> Result<BTreeMap<Arc<str>, Found>, StoreError> {
        let mut found = BTreeMap::new();
        for name in files::names(&self.records).map_err(|error| StoreError::new(&self.records, &error))? {
            let Some(id) = name.strip_suffix(SUFFIX).filter(|id| is_session_id(id)) else {
                return Err(StoreError::new(&self.records.join(name), &"no name of a session's record"));
            };
            match self.read(id) {
                Ok(record) if record.is_forgettable(now) => self.forget(id),
                record => drop(found.insert(id.into(), record)),
            }
        }
        Ok(found)
    }

    fn read(&self, id: &str) -> Found {
        let path = self.path(id);
        let text = files::read_private(&path, MAX_RECORD).map_err(|error| StoreError::new(&path, &error))?;
        Record::parse(id, &text).map_err(|error| StoreError::new(&path, &error))
    }

    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = record.to_text().map_err(io::Error::other)?;
        files::replace(&self.records, &format!("{}{SUFFIX}", record.id), &text, files::PRIVATE)
    }

    /// Removes a record; one that stays is removed another time.
    pub(super) fn forget(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.path(id)) {
            tracing::warn!(%error, id, "the record of a session long expired cannot be removed");
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.records.join(format!("{id}{SUFFIX}"))
    }
}

const RECORDS: &str = "sessions";
const KEYS: &str = "keys";
const SUFFIX: &str = ".json";

//! What is kept of sessions between one run and the next: a record each, and the keys of their tokens.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    keys::Keys,
    requests::{Requests, from_seconds, seconds},
};
use crate::{
    destination::{Host, Name},
    files::{self, StoreError},
    github::{RepositoryName, identity::RepositoryId},
    policy::grant::{Grant, GrantError},
    token::is_session_id,
};

/// Which repository each granted name was when it was first used.
pub(super) type Bound = BTreeMap<RepositoryName, RepositoryId>;

/// One session as its file has it. Every key must be there: one that was lost must not be taken for one never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    schema: u32,
    pub(super) id: Box<str>,
    /// The session stands in the configuration, and this only remembers that it was revoked, and what it asked for.
    pub(super) configured: bool,
    /// Times are seconds since 1970.
    pub(super) created: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) expires: Option<u64>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) policy: Option<PathBuf>,
    repositories: Grant,
    /// Where the repositories are whose names are without a host; missing in records of versions that knew one host alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    github: Option<First>,
    /// Which repository each granted name was when it was first used.
    #[serde(default, skip_serializing_if = "Bound::is_empty")]
    bound: Bound,
    pub(super) revoked: bool,
    /// Where they are lost, nothing is granted by them.
    #[serde(default)]
    requests: Requests,
}

impl Record {
    /// A session that holds, made now.
    pub(super) fn new(id: &str, now: SystemTime, expires: Option<SystemTime>, policy: Option<PathBuf>, repositories: Grant) -> Self {
        let expires = expires.map(seconds);
        let (configured, created) = (false, seconds(now));
        let (github, bound, requests) = (None, Bound::new(), Requests::default());
        Self { schema: SCHEMA, id: id.into(), configured, created, expires, policy, repositories, github, bound, revoked: false, requests }
    }

    /// The same, whose repositories without a host are at this one.
    #[must_use]
    pub(super) fn where_first_is(self, first: Option<&Name>) -> Self {
        Self { github: first.cloned().map(First), ..self }
    }

    /// What its names without a host mean, where that is written.
    pub(super) fn first(&self) -> Option<&Name> {
        self.github.as_ref().map(|First(name)| name)
    }

    /// Remembers which repository a name is, of those that its grants name.
    pub(super) fn bind(&mut self, repository: RepositoryName, id: RepositoryId) {
        self.bound.insert(repository, id);
    }

    /// What its grants are for, by names as below.
    pub(super) fn bound(&self, first: Option<&Name>) -> Bound {
        self.bound.iter().map(|(name, id)| (name.clone().seen_from(self.first().or(first), first), *id)).collect()
    }

    /// Its repositories, by what they are called where names without a host mean `first`.
    pub(super) fn grant(&self, first: Option<&Name>) -> Result<Grant, GrantError> {
        self.repositories.clone().seen_from(self.first().or(first), first)
    }

    /// What is kept of a session of the configuration.
    pub(super) fn of_configured(id: &str, now: SystemTime) -> Self {
        Self { configured: true, ..Self::new(id, now, None, None, Grant::default()) }
    }

    /// What was asked for, by names as above.
    pub(super) fn requests(&self, first: Option<&Name>) -> Requests {
        self.requests.clone().seen_from(self.first().or(first), first)
    }

    /// The same session, which asked for these, by names as above.
    #[must_use]
    pub(super) fn requesting(self, requests: Requests, first: Option<&Name>) -> Self {
        Self { requests: requests.seen_from(first, self.first().or(first)), ..self }
    }

    #[must_use]
    pub(super) fn revoked(self) -> Self {
        Self { revoked: true, ..self }
    }

    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.expires.and_then(from_seconds)
    }

    /// Whether no token of it can be good any more, whatever this machine's clock did meanwhile.
    pub(super) fn is_forgettable(&self, now: SystemTime) -> bool {
        self.expires().is_some_and(|expires| expires + KEPT_AFTER_EXPIRY < now)
    }
}

/// The host of the first `[[github]]` when a record was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct First(Name);

impl TryFrom<String> for First {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Host::parse(text.as_bytes()) {
            Ok(Host::Name(name)) => Ok(Self(name)),
            Ok(Host::Ip(_)) => Err("the host of a GitHub is a name".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl From<First> for String {
    fn from(First(name): First) -> Self {
        name.as_str().to_owned()
    }
}

/// A record, or why it is none: its session is refused then.
pub(super) type Found = Result<Record, StoreError>;

/// A directory that outlives the process.
pub(crate) struct Store {
    records: PathBuf,
    pub(super) keys: Keys,
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
        Ok(Self { keys: Keys::open(&state.join(KEYS), now)?, records })
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
        let record: Record = serde_json::from_slice(&text).map_err(|error| StoreError::new(&path, &error))?;
        // serde would read an array as the fields in their order.
        if !text.starts_with(b"{") || record.schema != SCHEMA || *record.id != *id {
            return Err(StoreError::new(&path, &"it is the record of another session, or of another version"));
        }
        Ok(record)
    }

    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(record)?;
        text.push(b'\n');
        if text.len() as u64 > MAX_RECORD {
            return Err(io::Error::other(format!("a session's record is {MAX_RECORD} bytes at most")));
        }
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

const SCHEMA: u32 = 1;
const RECORDS: &str = "sessions";
const KEYS: &str = "keys";
const SUFFIX: &str = ".json";
/// Most octets of a record.
const MAX_RECORD: u64 = 1024 * 1024;
/// A clock that was set back by less than this brings no session back to life.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 3600);

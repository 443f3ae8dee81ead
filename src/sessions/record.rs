//! What is kept of one session: read strictly, and written as it is read.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::requests::{Requests, from_seconds, seconds};
use crate::{
    destination::{Host, Name},
    github::{RepositoryName, identity::RepositoryId},
    policy::{
        grant::{Grant, GrantError, Purposes},
        narrowing::Narrowing,
    },
    token::is_session_id,
};

/// Which repository each granted name was when it was first used.
pub(super) type Bound = BTreeMap<RepositoryName, RepositoryId>;

/// One session as its file has it. Every key must be there: one that was lost must not be taken for one never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
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
    /// Its tokens that may do less than it, in the order of their numbers; where they are lost, none of them is good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Child>,
    /// How many of those there ever were: no number comes again.
    #[serde(default)]
    issued: u32,
}

/// A token of a session that may do less than it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Child {
    pub(super) number: u32,
    /// Who asked for it: another of them, or else the session itself.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) of: Option<u32>,
    pub(super) issued: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) expires: Option<u64>,
    pub(super) only: Purposes,
    /// None: those of whoever asked.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) repositories: Option<Grant>,
    /// From where alone it is shown.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) from: Option<IpAddr>,
    /// The digest of the operator's own token by which the session was proved then, in hexadecimal: it ends with that.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) by: Option<Box<str>>,
}

impl Child {
    pub(super) fn issued(&self) -> SystemTime {
        from_seconds(self.issued).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.expires.and_then(from_seconds)
    }

    /// Whether it takes a place among those of its session: until it has expired, and for a while in any case.
    fn counts(&self, now: SystemTime) -> bool {
        let now = seconds(now);
        self.expires.is_none_or(|expires| expires > now) || self.issued.saturating_add(SHORTEST_PLACE) > now
    }

    fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Result<Self, GrantError> {
        let repositories = self.repositories.map(|grant| grant.seen_from(before, now)).transpose()?;
        Ok(Self { repositories, ..self })
    }
}

/// Who asks for a token, and until when it may hold.
pub(super) struct Asker {
    /// None: the session itself.
    pub(super) number: Option<u32>,
    pub(super) expires: Option<SystemTime>,
    pub(super) by: Option<Box<str>>,
}

impl Record {
    /// A session that holds, made now.
    pub(super) fn new(id: &str, now: SystemTime, expires: Option<SystemTime>, policy: Option<PathBuf>, repositories: Grant) -> Self {
        let expires = expires.map(seconds);
        let (configured, created) = (false, seconds(now));
        let (github, bound, requests) = (None, Bound::new(), Requests::default());
        let (revoked, children, issued) = (false, Vec::new(), 0);
        let id = id.into();
        Self { schema: SCHEMA, id, configured, created, expires, policy, repositories, github, bound, revoked, requests, children, issued }
    }

    /// Reads the record of the session with this id: of at most [`MAX_RECORD`] octets.
    ///
    /// # Errors
    /// What is no record, one of another session, or of another version.
    pub fn parse(id: &str, text: &[u8]) -> Result<Self, RecordError> {
        if text.len() as u64 > MAX_RECORD {
            return Err(RecordError::Long);
        }
        let record: Self = serde_json::from_slice(text).map_err(|error| RecordError::Form(error.to_string()))?;
        // serde would read an array as the fields in their order.
        if !text.starts_with(b"{") || record.schema != SCHEMA || *record.id != *id || !is_session_id(id) {
            return Err(RecordError::Other);
        }
        let numbers = || record.children.iter().map(|child| child.number);
        let ascend = numbers().zip(numbers().skip(1)).all(|(number, next)| number < next);
        let known = record.children.iter().all(|child| child.number <= record.issued && child.of.is_none_or(|of| of < child.number));
        if ascend && known { Ok(record) } else { Err(RecordError::Children) }
    }

    /// As its file has it.
    ///
    /// # Errors
    /// [`RecordError::Long`].
    pub fn to_text(&self) -> Result<Vec<u8>, RecordError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| RecordError::Form(error.to_string()))?;
        text.push(b'\n');
        if text.len() as u64 > MAX_RECORD { Err(RecordError::Long) } else { Ok(text) }
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

    /// Its tokens that may do less, by names as above.
    pub(super) fn children(&self, first: Option<&Name>) -> Result<Vec<Child>, GrantError> {
        self.children.iter().map(|child| child.clone().seen_from(self.first().or(first), first)).collect()
    }

    /// The same session with one such token more, by names as above, and that token. None where it has [`MAX_CHILDREN`].
    pub(super) fn issuing(
        mut self,
        asker: Asker,
        wish: Narrowing,
        first: Option<&Name>,
        now: SystemTime,
    ) -> Result<Option<(Self, Child)>, GrantError> {
        self.children.retain(|child| child.counts(now));
        if self.children.len() >= MAX_CHILDREN {
            return Ok(None);
        }
        let Asker { number: of, expires, by } = asker;
        let Narrowing { only, repositories, life, from } = wish;
        let wanted = life.map(|life| now + life);
        let expires = [expires, wanted].into_iter().flatten().min().map(seconds);
        self.issued = self.issued.saturating_add(1);
        let child = Child { number: self.issued, of, issued: seconds(now), expires, only, repositories, from, by };
        let kept = child.clone().seen_from(first, self.first().or(first))?;
        self.children.push(kept);
        Ok(Some((self, child)))
    }

    /// The same session without one of those tokens, and those that were asked for by it.
    #[must_use]
    pub(super) fn without(mut self, number: u32) -> Self {
        let mut gone = vec![number];
        for child in &self.children {
            if child.of.is_some_and(|of| gone.contains(&of)) {
                gone.push(child.number);
            }
        }
        self.children.retain(|child| !gone.contains(&child.number));
        self
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

/// Why something is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    Form(String),
    Other,
    Children,
    Long,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => f.write_str(why),
            Self::Other => f.write_str("it is the record of another session, or of another version"),
            Self::Children => f.write_str("its \"children\" are not in the order of their numbers"),
            Self::Long => write!(f, "a session's record is {MAX_RECORD} bytes at most"),
        }
    }
}

impl std::error::Error for RecordError {}

const SCHEMA: u32 = 1;
/// Most octets of a record.
pub(super) const MAX_RECORD: u64 = 1024 * 1024;
/// Most tokens of a session at once that may do less than it.
pub(crate) const MAX_CHILDREN: usize = 64;
/// How long, in seconds, a token takes a place however soon it expires, so that nobody has records written without end.
const SHORTEST_PLACE: u64 = 60;
/// A clock that was set back by less than this brings no session back to life.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 3600);

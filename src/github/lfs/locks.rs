//! Locks of files: which there are, and changing them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LfsError, LockId, excerpt};
use crate::github::{
    form::{decoded, encoded},
    push::RefName,
};

/// A ref, as requests name it.
#[derive(Debug, Deserialize)]
pub(super) struct Ref {
    name: String,
}

impl Ref {
    pub(super) fn read(self) -> Result<RefName, LfsError> {
        Ok(RefName::parse(self.name.as_bytes())?)
    }
}

/// Which locks are asked for: the query of `GET locks`, or the body of `POST locks/verify`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockQuery {
    path: Option<Text>,
    id: Option<LockId>,
    cursor: Option<Text>,
    limit: Option<u32>,
    pub reference: Option<RefName>,
}

#[derive(Deserialize)]
struct Verifying {
    cursor: Option<String>,
    limit: Option<u32>,
    #[serde(rename = "ref")]
    reference: Option<Ref>,
}

impl LockQuery {
    /// Reads a query as forms write it: known keys, each once. An empty value says nothing.
    pub fn parse(query: &str) -> Result<Self, LfsError> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let malformed = || LfsError::Query(excerpt(pair.as_bytes()));
            let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
            let value = decoded(value).ok_or_else(malformed)?;
            if value.is_empty() {
                continue;
            }
            let again = match key {
                "path" => asked.path.replace(Text::read("path", value)?).is_some(),
                "id" => asked.id.replace(LockId::parse(&value).ok_or_else(malformed)?).is_some(),
                "cursor" => asked.cursor.replace(Text::read("cursor", value)?).is_some(),
                "limit" => asked.limit.replace(value.parse().map_err(|_| malformed())?).is_some(),
                "refspec" => asked.reference.replace(RefName::parse(value.as_bytes())?).is_some(),
                _ => return Err(malformed()),
            };
            if again {
                return Err(malformed());
            }
        }
        Ok(asked)
    }

    /// Reads the body of `POST locks/verify`.
    pub fn parse_body(bytes: &[u8]) -> Result<Self, LfsError> {
        let Verifying { cursor, limit, reference } = serde_json::from_slice(bytes)?;
        let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| Text::read("cursor", cursor)).transpose()?;
        Ok(Self { cursor, limit, reference: reference.map(Ref::read).transpose()?, ..Self::default() })
    }

    /// The query as it leaves, with its question mark; empty where nothing is asked for.
    pub fn to_query(&self) -> String {
        let values = [
            ("path", self.path.as_ref().map(|path| path.0.clone())),
            ("id", self.id.map(|id| id.to_string())),
            ("cursor", self.cursor.as_ref().map(|cursor| cursor.0.clone())),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("refspec", self.reference.as_ref().map(|name| name.as_str().to_owned())),
        ];
        let pairs = values.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(&value?))));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { query } else { format!("?{query}") }
    }

    /// The body as it leaves.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut asked = json!({});
        if let Some(cursor) = &self.cursor {
            asked["cursor"] = json!(cursor.0);
        }
        if let Some(limit) = self.limit {
            asked["limit"] = json!(limit);
        }
        put_ref(&mut asked, self.reference.as_ref());
        asked.to_string().into_bytes()
    }
}

/// A lock that is to be made, or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockChange {
    /// Of the file, where one is locked.
    path: Option<Text>,
    /// To take away another's.
    pub force: bool,
    pub reference: Option<RefName>,
}

#[derive(Deserialize)]
struct Creating {
    path: String,
    #[serde(rename = "ref")]
    reference: Option<Ref>,
}

#[derive(Deserialize)]
struct Unlocking {
    force: Option<bool>,
    #[serde(rename = "ref")]
    reference: Option<Ref>,
}

impl LockChange {
    /// Reads the body of `POST locks`.
    pub fn parse_creating(bytes: &[u8]) -> Result<Self, LfsError> {
        let Creating { path, reference } = serde_json::from_slice(bytes)?;
        Ok(Self { path: Some(Text::read("path", path)?), force: false, reference: reference.map(Ref::read).transpose()? })
    }

    /// Reads the body of `POST locks/ID/unlock`.
    pub fn parse_unlocking(bytes: &[u8]) -> Result<Self, LfsError> {
        let Unlocking { force, reference } = serde_json::from_slice(bytes)?;
        Ok(Self { path: None, force: force.unwrap_or(false), reference: reference.map(Ref::read).transpose()? })
    }

    /// The body as it leaves.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut asked = match &self.path {
            Some(path) => json!({ "path": path.0 }),
            None => json!({ "force": self.force }),
        };
        put_ref(&mut asked, self.reference.as_ref());
        asked.to_string().into_bytes()
    }
}

/// One lock, as an upstream describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lock {
    id: Text,
    path: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_at: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    name: Text,
}

/// An upstream's answer to a question for locks; read by its own keys alone, and written by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockListing {
    #[serde(skip_serializing_if = "Option::is_none")]
    locks: Option<Vec<Lock>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Vec<Lock>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<Vec<Lock>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    next_cursor: String,
}

impl LockListing {
    pub fn parse(bytes: &[u8]) -> Result<Self, LfsError> {
        let listing: Self = serde_json::from_slice(bytes)?;
        if !listing.next_cursor.is_empty() {
            Text::read("cursor", listing.next_cursor.clone())?;
        }
        Ok(listing)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The same to a change: the lock that was made or given up, or the one that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockAnswer {
    lock: Lock,
    /// Ours, where another lock is in the way.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    message: Option<Box<str>>,
}

impl LockAnswer {
    pub fn parse(bytes: &[u8]) -> Result<Self, LfsError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The same, where the file is locked already.
    #[must_use]
    pub fn in_the_way(self) -> Self {
        Self { message: Some("The file is locked already.".into()), ..self }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// 1 to [`MAX_TEXT`] octets without control characters: it ends in a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl Text {
    fn read(what: &'static str, text: String) -> Result<Self, LfsError> {
        let fits = (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control);
        if fits { Ok(Self(text)) } else { Err(LfsError::Text(what)) }
    }
}

impl TryFrom<String> for Text {
    type Error = LfsError;

    fn try_from(text: String) -> Result<Self, LfsError> {
        Self::read("text", text)
    }
}

fn put_ref(asked: &mut Value, reference: Option<&RefName>) {
    if let Some(name) = reference {
        asked["ref"] = json!({ "name": name.as_str() });
    }
}

/// Longest path, cursor, id or name.
pub(super) const MAX_TEXT: usize = 4096;

//! An entry of `push`: a ref or a pattern, alone or in a table with keys of its own.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{GrantError, RefPattern};
use crate::policy::refs::{PushRule, RefRules, Rights};

/// An entry of `push`. What it does not say itself its repository's keys say. Written as a string where it says nothing itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEntry {
    /// A whole ref, such as `refs/heads/agent/fix-1`, or a pattern.
    pub refs: RefPattern,
    pub own: OwnRights,
    /// Whether a pattern may stand for the repository's default branch; a name that is written out does anyway.
    pub default_branch: bool,
}

/// The rights that an entry has of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnRights {
    pub create: Option<bool>,
    pub update: Option<bool>,
    pub force: Option<bool>,
    pub delete: Option<bool>,
}

impl PushEntry {
    /// An entry that says nothing itself.
    pub fn plain(refs: RefPattern) -> Self {
        Self { refs, own: OwnRights::default(), default_branch: false }
    }

    /// The same from its text, by which a ref can be judged.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let entry = Self::plain(RefPattern::parse(text)?);
        RefRules::parse(&[entry.rule(Rights::default())], &[], Rights::default()).map_err(GrantError::Rules)?;
        Ok(entry)
    }

    /// What refs are judged by, in a repository with these rights.
    pub(super) fn rule(&self, rights: Rights) -> PushRule<'_> {
        let OwnRights { create, update, force, delete } = self.own;
        let rights = Rights {
            create: create.unwrap_or(rights.create),
            update: update.unwrap_or(rights.update),
            force: force.unwrap_or(rights.force),
            delete: delete.unwrap_or(rights.delete),
        };
        PushRule { entry: self.refs.as_str(), rights, default_branch: self.default_branch }
    }
}

impl Serialize for PushEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { refs, own: OwnRights { create, update, force, delete }, default_branch } = self.clone();
        if self.own == OwnRights::default() && !default_branch {
            return refs.serialize(serializer);
        }
        Written { refs, create, update, force, delete, default_branch }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PushEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

/// The table of an entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "ref")]
    refs: RefPattern,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    force: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<bool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    default_branch: bool,
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = PushEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ref, a pattern, or a table with a \"ref\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PushEntry, E> {
        RefPattern::parse(text).map(PushEntry::plain).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PushEntry, A::Error> {
        let Written { refs, create, update, force, delete, default_branch } = Written::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PushEntry { refs, own: OwnRights { create, update, force, delete }, default_branch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_as_it_was_read() {
        for text in [
            r#""refs/heads/a""#,
            r#"{"ref":"refs/heads/b/**","force":false,"delete":true}"#,
            r#"{"ref":"refs/heads/*","default_branch":true}"#,
            r#"{"ref":"refs/heads/a","create":true,"update":false}"#,
        ] {
            let entry: PushEntry = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        }
        for bad in [
            "1",
            "[]",
            "{}",
            r#"{"delete":true}"#,
            r#"{"ref":"refs/heads/a","tags":true}"#,
            r#"{"ref":"refs/heads/a","ref":"refs/heads/b"}"#,
            r#"{"ref":"refs/heads/a","delete":"yes"}"#,
            r#"{"ref":"refs/heads/a b"}"#,
        ] {
            assert!(serde_json::from_str::<PushEntry>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_entry_does_not_say_its_repository_says() {
        let entry: PushEntry = serde_json::from_str(r#"{"ref":"refs/heads/a","force":false,"delete":true}"#).unwrap();
        let repository = Rights { create: false, ..Rights::default() };
        assert_eq!(entry.rule(repository).rights, Rights { create: false, update: true, force: false, delete: true });
    }
}

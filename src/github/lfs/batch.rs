//! `objects/batch`, as it is asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{LfsError, Object, Oid, excerpt, locks::Ref, object::Written};
use crate::github::push::RefName;

/// Which way objects are to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Download,
    Upload,
}

/// Which objects are to be moved, and for which ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    pub operation: Operation,
    /// What an upload is for; a client may leave it out.
    pub reference: Option<RefName>,
    /// Each once, in the order of their first mention; one at least.
    pub objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Asked {
    operation: Operation,
    transfers: Option<Vec<String>>,
    #[serde(rename = "ref")]
    reference: Option<Ref>,
    objects: Vec<Written>,
    hash_algo: Option<String>,
}

impl BatchRequest {
    /// Reads a body, whose length is bounded already. What it offers beside `basic` is not passed on.
    pub fn parse(bytes: &[u8]) -> Result<Self, LfsError> {
        let Asked { operation, transfers, reference, objects, hash_algo } = serde_json::from_slice(bytes)?;
        if let Some(name) = hash_algo.filter(|name| name != SHA256) {
            return Err(LfsError::HashAlgorithm(excerpt(name.as_bytes())));
        }
        if transfers.is_some_and(|offered| !offered.is_empty() && !offered.iter().any(|name| name == BASIC)) {
            return Err(LfsError::Transfers);
        }
        if !(1..=MAX_OBJECTS).contains(&objects.len()) {
            return Err(LfsError::Objects(objects.len()));
        }
        let mut sizes: BTreeMap<Oid, u64> = BTreeMap::new();
        let mut each = Vec::with_capacity(objects.len());
        for written in &objects {
            let object = Object::read(written)?;
            match sizes.insert(object.oid, object.size) {
                None => each.push(object),
                Some(size) if size == object.size => {}
                Some(_) => return Err(LfsError::TwoSizes(object.oid)),
            }
        }
        let reference = reference.map(Ref::read).transpose()?;
        Ok(Self { operation, reference, objects: each })
    }

    /// The same as an upstream is asked.
    pub fn to_bytes(&self) -> Vec<u8> {
        let operation = match self.operation {
            Operation::Download => "download",
            Operation::Upload => "upload",
        };
        let objects: Vec<_> = self.objects.iter().map(Object::written).collect();
        let mut asked = json!({ "operation": operation, "transfers": [BASIC], "objects": objects, "hash_algo": SHA256 });
        if let (Some(name), Some(asked)) = (&self.reference, asked.as_object_mut()) {
            asked.insert("ref".into(), json!({ "name": name.as_str() }));
        }
        asked.to_string().into_bytes()
    }
}

/// Most objects of one batch.
pub const MAX_OBJECTS: usize = 1000;
/// The one way of transferring that is served: a request for each object.
pub(super) const BASIC: &str = "basic";
pub(super) const SHA256: &str = "sha256";

//! What was asked for, as records and refusals say it.

use std::sync::Arc;

use super::{Gate, Subject};
use crate::{
    audit::Record,
    destination::{Destination, Name},
    github::{
        RepositoryName, Service,
        push::{ObjectId, RefName},
        route::Wanted,
    },
    metrics::{Door, Kind},
    policy::FilePermit,
    reason::Reason,
    respond::{Context, Reader, Refusal},
};

/// What was asked for, as far as it is known: what records and refusals say.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) door: Door,
    pub(crate) kind: Kind,
    pub(crate) destination: Option<Destination>,
    /// The name that is asked for, where nothing is connected to.
    pub(crate) name: Option<Name>,
    pub(crate) method: Option<Box<str>>,
    pub(crate) path: Option<Box<str>>,
    pub(crate) repository: Option<RepositoryName>,
    /// What a push wants to change.
    pub(crate) refs: Vec<RefName>,
    /// Where each of them points, as its sender believes, and where it is to point.
    pub(crate) tips: Vec<[ObjectId; 2]>,
    pub(crate) reader: Reader,
    /// What its bytes would have been refused for, had report mode not let them through.
    pub(crate) would_deny: Option<Reason>,
}

impl Asked {
    pub(crate) fn new(door: Door, kind: Kind) -> Self {
        Self {
            door,
            kind,
            destination: None,
            name: None,
            method: None,
            path: None,
            repository: None,
            refs: Vec::new(),
            tips: Vec::new(),
            reader: Reader::default(),
            would_deny: None,
        }
    }

    /// It is one of git's requests, or of Git LFS's.
    pub(crate) fn is_for(&mut self, wanted: &Wanted) {
        self.repository = wanted.repository().cloned();
        self.kind = match wanted {
            Wanted::Git(route) if route.kind.service() == Service::UploadPack => Kind::Fetch,
            Wanted::Git(_) => Kind::Push,
            Wanted::Lfs(..) | Wanted::Object(_) => Kind::Lfs,
        };
    }

    /// It is for a file of a repository.
    pub(crate) fn is_for_file(&mut self, permit: &FilePermit) {
        self.repository = Some(permit.repository().repository().clone());
        self.kind = Kind::Fetch;
    }

    /// Who reads a refusal of it, and under which policy.
    pub(super) fn context(&self, gate: &Gate, subject: Option<&Subject>, refusal: &Refusal) -> Context {
        let policy = subject.map(|subject| Arc::from(subject.policy().name()));
        let generation = refusal.generation.or(subject.map(|subject| subject.governing.generation));
        Context { policy, generation, reader: self.reader, owner: gate.owner }
    }

    pub(super) fn record(&self) -> Record {
        let mut record = Record::new(self.door, self.kind);
        if let Some(destination) = &self.destination {
            record = record.to(destination);
        }
        if let Some(name) = &self.name {
            record = record.naming(name);
        }
        if let Some(method) = &self.method {
            record = record.requesting(method, self.path.as_deref());
        }
        if let Some(repository) = &self.repository {
            record = record.of(repository, &self.refs).moving(&self.tips);
        }
        record
    }
}

//! What was asked for, as records and refusals say it.

use std::sync::Arc;

use super::{Gate, Subject};
use crate::{
    audit::{Record, Sighting},
    destination::{Destination, Name},
    github::{
        RepositoryName, Service,
        push::{ObjectId, RefName},
        route::Wanted,
    },
    metrics::{Door, Kind},
    policy::{FilePermit, grant::Bearer},
    reason::Reason,
    respond::{Context, Reader, Refusal},
    wire::secrets::Lookout,
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
    /// Whose credential goes with it, where one does.
    pub(crate) credential: Option<Bearer>,
    /// Where a token of GitHub's stood in what the sandbox sent.
    pub(crate) github_token: Option<Sighting>,
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
            credential: None,
            github_token: None,
        }
    }

    /// It is one of git's requests, or of Git LFS's.
    pub(crate) fn is_for(&mut self, wanted: &Wanted) {
        self.repository = wanted.repository().cloned();
        self.kind = match wanted {
            Wanted::Git(route) if route.kind.service() == Service::UploadPack => Kind::Fetch,
            Wanted::Git(_) => Kind::Push,
            Wanted::Lfs(..) | Wanted::Object(_) => Kind::Lfs,
            Wanted::Api(_) => Kind::Api,
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
        if let Some((method, path)) = self.request() {
            record = record.requesting(method, path);
        }
        // Nor does a name hold a token.
        let is_plain = |name: &str| !Lookout::finds(name.as_bytes());
        if let Some(repository) = self.repository.as_ref().filter(|repository| is_plain(repository.as_str())) {
            record = if self.refs.iter().all(|name| is_plain(name.as_str())) {
                record.of(repository, &self.refs).moving(&self.tips)
            } else {
                record.of(repository, &[])
            };
        }
        record.with_credential(self.credential).showing(self.github_token)
    }

    /// Its method, and its path where that is known; nothing that holds a token.
    pub(super) fn request(&self) -> Option<(&str, Option<&str>)> {
        let method = self.method.as_deref().filter(|_| self.github_token != Some(Sighting::Method))?;
        Some((method, self.path.as_deref().filter(|_| self.github_token != Some(Sighting::Target))))
    }
}

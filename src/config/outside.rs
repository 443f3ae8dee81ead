//! Parts of a configuration for those who only talk to the running program, or point others to it. Nothing else of it is read, so that
//! no credential has to be at hand.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Listen,
    sections::{Reader, WrittenEntry},
};
use crate::{
    destination::{Host, Name},
    policy::{Problem, Table},
};

/// A gate as its clients see it.
pub(crate) struct Outside {
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) git: Option<SocketAddr>,
    /// Whether it asks for the token of a session.
    pub(crate) asks: bool,
    pub(crate) state: Option<PathBuf>,
    /// The names of its `[[github]]`.
    pub(crate) github: Vec<Name>,
}

impl Reader<'_> {
    /// What clients have to know, or what is wrong with it.
    pub(super) fn read_outside(self) -> Result<Outside, Vec<Problem>> {
        self.read_part(|reader, whole| {
            let (listen, entry) = reader.listen(whole);
            let (state, github) = (reader.state(whole), reader.github_names(whole));
            Outside { proxy: listen.proxy, git: listen.git, asks: matches!(entry, WrittenEntry::Required), state, github }
        })
    }

    /// Every listener, or what is wrong with `[listen]`.
    pub(super) fn read_listeners(self) -> Result<Listen, Vec<Problem>> {
        self.read_part(|reader, whole| reader.listen(whole).0)
    }

    fn read_part<T>(mut self, read: impl FnOnce(&mut Self, &mut Table<'_>) -> T) -> Result<T, Vec<Problem>> {
        let source = self.problems.source.clone();
        let part = Table::parse(&source.text, &mut self.problems).map(|mut whole| read(&mut self, &mut whole));
        match part {
            Some(part) if !self.problems.has_errors() => Ok(part),
            Some(_) | None => Err(self.problems.into_vec()),
        }
    }

    fn github_names(&mut self, whole: &mut Table<'_>) -> Vec<Name> {
        let mut names = Vec::new();
        for value in whole.array("github", &mut self.problems) {
            let Some(mut table) = Table::of(value, "an element of \"github\"", &mut self.problems) else { continue };
            self.require(&table, "host", "a GitHub has a \"host\"", "write host = \"github.com\"");
            let Some(host) = table.string("host", &mut self.problems) else { continue };
            match Host::parse(host.get_ref().as_bytes()) {
                Ok(Host::Name(name)) => names.push(name),
                Ok(Host::Ip(_)) => self.problems.error(host.span(), "sandboxes name a GitHub, and this is an address", None),
                Err(error) => self.problems.error(host.span(), error.to_string(), None),
            }
        }
        names
    }
}

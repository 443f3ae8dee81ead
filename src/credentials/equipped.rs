//! A policy together with the real credentials that it names.

use std::{
    ffi::OsString,
    io,
    ops::{Deref, Range},
    path::Path,
    sync::Arc,
    time::Duration,
};

use toml::Spanned;
use zeroize::Zeroizing;

use super::{Credential, FORM, Source, read_line, withhold};
use crate::{
    files::Stamps,
    policy::{CredentialSource, Policy, asking::HostWish},
    secret::Secret,
};

/// A policy, and every credential it names, in its order.
#[derive(Debug)]
pub(crate) struct Equipped {
    policy: Policy,
    credentials: Arc<[Credential]>,
    files: Stamps,
}

/// What a document refers to beside its own text.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Where its relative paths start.
    pub(crate) directory: &'a Path,
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(crate) file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Bounds one run of a command and one reading of a file.
    pub(crate) patience: Duration,
}

impl Equipped {
    /// A policy with its credentials and the lists that it denies. A variable is read now, and so are lists; a credential's file is looked
    /// at now, and read anew when it is needed.
    ///
    /// # Errors
    /// Every source that holds no credential now, and every list that cannot be used: where the document names it, and what is wrong
    /// with it.
    pub(crate) fn new(mut policy: Policy, surroundings: &Surroundings<'_>) -> Result<Self, Vec<(Range<usize>, String)>> {
        let mut problems =
            policy.read_blocklists(|name| read_list(surroundings.directory, name, surroundings.file)).err().unwrap_or_default();
        let mut credentials = Vec::new();
        for rule in policy.credentials() {
            match surroundings.source(rule.source()) {
                Ok((source, given)) => credentials.push(Credential::new(source, surroundings.patience).having_given(given)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { policy, credentials: credentials.into(), files: Stamps::default() }) } else { Err(problems) }
    }

    /// A policy that names no credential; one that does can put none in.
    pub(crate) fn bare(policy: Policy) -> Self {
        Self { policy, credentials: Arc::default(), files: Stamps::default() }
    }

    /// The same with the same credentials, whose policy allows these hosts too.
    pub(crate) fn granting<'w>(&self, hosts: impl IntoIterator<Item = &'w HostWish>) -> Self {
        Self { policy: self.policy.granting(hosts), credentials: Arc::clone(&self.credentials), files: self.files.clone() }
    }

    /// The same, made of these files.
    pub(crate) fn made_of(self, files: Stamps) -> Self {
        Self { files, ..self }
    }

    /// Of which files it was made, where nobody else knows.
    pub(crate) fn files(&self) -> &Stamps {
        &self.files
    }

    /// Every credential, in the order of the document.
    pub(crate) fn all_credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// The credential that stands in this place of the document.
    pub(crate) fn credential(&self, index: usize) -> Option<&Credential> {
        self.credentials.get(index)
    }
}

impl Deref for Equipped {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl Surroundings<'_> {
    /// A source, and what a file gives now.
    fn source(&self, written: &CredentialSource) -> Result<(Source, Option<Secret>), (Range<usize>, String)> {
        let formless = |name: &Spanned<String>| (name.span(), format!("a credential is {FORM}, and what {} holds is not", name.get_ref()));
        match written {
            CredentialSource::Env(name) => {
                withhold(name.get_ref());
                let value = (self.variable)(name.get_ref());
                let value = value.ok_or_else(|| (name.span(), format!("the environment has no {}", name.get_ref())))?;
                let secret = read_line(&Zeroizing::new(value.into_encoded_bytes()));
                secret.map(|secret| (Source::Value(secret), None)).ok_or_else(|| formless(name))
            }
            CredentialSource::File(name) => {
                let path = self.directory.join(name.get_ref());
                let content = (self.file)(&path).map_err(|error| (name.span(), format!("cannot read {}: {error}", name.get_ref())))?;
                let secret = read_line(&Zeroizing::new(content));
                secret.map(|secret| (Source::File(path), Some(secret))).ok_or_else(|| formless(name))
            }
            CredentialSource::Command(argv, max_age) => Ok((Source::command(argv.get_ref().clone(), self.directory, *max_age), None)),
        }
    }
}

/// The text of a list that a document in `directory` names; what is wrong with it names it.
pub(crate) fn read_list(directory: &Path, name: &str, file: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<String, String> {
    let content = file(&directory.join(name)).map_err(|error| format!("cannot read {name}: {error}"))?;
    if content.len() > MAX_LIST {
        return Err(format!("{name} is larger than {MAX_LIST} octets"));
    }
    String::from_utf8(content).map_err(|_| format!("{name} is not UTF-8"))
}

/// Most octets of a list; about two million hosts.
const MAX_LIST: usize = 64 << 20;

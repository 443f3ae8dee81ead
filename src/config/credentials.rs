//! `credential`: where a real credential comes from, as written.

use std::{sync::Arc, time::Duration};

use toml::Spanned;
use zeroize::Zeroizing;

use super::sections::Reader;
use crate::{
    credentials::{Credential, FORM, Source, read_line},
    policy::{CredentialSource, Table, read_source},
    secret::Secret,
};

impl Reader<'_> {
    /// The credential that a table names, if it does. `patience` bounds whatever fetches it.
    pub(super) fn credential(&mut self, table: &mut Table<'_>, patience: Duration) -> Option<Arc<Credential>> {
        let written = table.table("credential", &mut self.problems)?;
        let (source, given) = self.source(written)?;
        Some(Arc::new(Credential::new(source, patience).having_given(given)))
    }

    /// A source, and what a file gives now.
    fn source(&mut self, table: Table<'_>) -> Option<(Source, Option<Secret>)> {
        match read_source(table, LATER_CREDENTIAL, &mut self.problems)? {
            CredentialSource::Env(name) => Some((self.credential_of_variable(&name)?, None)),
            CredentialSource::File(name) => self.credential_of_file(&name),
            CredentialSource::Command(argv, max_age) => Some((Source::command(argv.into_inner(), &self.directory, max_age), None)),
        }
    }

    fn credential_of_variable(&mut self, name: &Spanned<String>) -> Option<Source> {
        let Some(value) = self.environment.variable(name.get_ref()) else {
            self.problems.error(name.span(), format!("the environment has no {}", name.get_ref()), None);
            return None;
        };
        let secret = read_line(&Zeroizing::new(value.into_encoded_bytes()));
        self.formed(secret, name).map(Source::Value)
    }

    /// A file that holds a credential now; it is read anew when the credential is needed.
    fn credential_of_file(&mut self, name: &Spanned<String>) -> Option<(Source, Option<Secret>)> {
        let content = Zeroizing::new(self.file(name)?);
        let secret = self.formed(read_line(&content), name)?;
        Some((Source::File(self.directory.join(name.get_ref())), Some(secret)))
    }

    fn formed<T>(&mut self, secret: Option<T>, name: &Spanned<String>) -> Option<T> {
        if secret.is_none() {
            self.problems.error(name.span(), format!("a credential is {FORM}, and what {} holds is not", name.get_ref()), None);
        }
        secret
    }
}

/// Keys of the interface that this version does not have yet, with why.
const LATER_CREDENTIAL: &[(&str, &str)] = &[("app", "this version does not have GitHub Apps")];

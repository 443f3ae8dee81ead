//! `credential`: where a real credential comes from, as written.

use std::{path::Path, sync::Arc, time::Duration};

use toml::Spanned;
use zeroize::Zeroizing;

use super::sections::Reader;
use crate::{
    credentials::{Credential, FORM, Source, read_line},
    policy::Table,
};

impl Reader<'_> {
    /// The credential that a table names, if it does. `patience` bounds whatever fetches it.
    pub(super) fn credential(&mut self, table: &mut Table<'_>, patience: Duration) -> Option<Arc<Credential>> {
        let written = table.table("credential", &mut self.problems)?;
        let source = self.source(written)?;
        Some(Arc::new(Credential::new(source, patience)))
    }

    fn source(&mut self, mut table: Table<'_>) -> Option<Source> {
        let span = table.span.clone();
        let sources = ["env", "file", "command", "app"].into_iter().filter(|key| table.has(key)).count();
        let stray_age = table.has("max_age") && !table.has("command");
        let env = table.string("env", &mut self.problems);
        let file = table.string("file", &mut self.problems);
        let command = table.has("command").then(|| table.strings("command", &mut self.problems));
        let max_age = self.duration(&mut table, "max_age").unwrap_or(MAX_AGE);
        table.finish(LATER_CREDENTIAL, &mut self.problems);
        if sources != 1 {
            self.problems.error(span, "a credential comes from one place", Some(SOURCES.into()));
            return None;
        }
        if stray_age {
            self.problems.error(span, "\"max_age\" belongs to a \"command\"", Some("remove it: nothing else is kept".into()));
            return None;
        }
        match (env, file, command) {
            (Some(name), _, _) => self.credential_of_variable(&name),
            (None, Some(name), _) => self.credential_of_file(&name),
            (None, None, Some(words)) => {
                let argv = self.argv(words, &span)?;
                Some(Source::Command { argv, max_age })
            }
            (None, None, None) => None,
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
    fn credential_of_file(&mut self, name: &Spanned<String>) -> Option<Source> {
        let content = Zeroizing::new(self.file(name)?);
        self.formed(read_line(&content), name).map(|_| Source::File(self.directory.join(name.get_ref())))
    }

    fn formed<T>(&mut self, secret: Option<T>, name: &Spanned<String>) -> Option<T> {
        if secret.is_none() {
            self.problems.error(name.span(), format!("a credential is {FORM}, and what {} holds is not", name.get_ref()), None);
        }
        secret
    }

    /// A program, found by `PATH` unless it is written as a path, and its arguments.
    fn argv(&mut self, words: Vec<Spanned<String>>, span: &std::ops::Range<usize>) -> Option<Vec<String>> {
        let mut argv: Vec<_> = words.into_iter().map(Spanned::into_inner).collect();
        let Some(program) = argv.first_mut().filter(|program| !program.is_empty()) else {
            if !self.problems.has_errors_in(span) {
                self.problems.error(span.clone(), "a \"command\" begins with a program", Some(SOURCES.into()));
            }
            return None;
        };
        if program.contains('/') && Path::new(program).is_relative() {
            *program = self.directory.join(&*program).to_string_lossy().into_owned();
        }
        Some(argv)
    }
}

/// Keys of the interface that this version does not have yet, with why.
const LATER_CREDENTIAL: &[(&str, &str)] = &[("app", "this version does not have GitHub Apps")];

const SOURCES: &str = "write { env = \"NAME\" }, { file = \"FILE\" } or { command = [\"gh\", \"auth\", \"token\"] }";

/// For how long what a command gave is used, unless it is written.
const MAX_AGE: Duration = Duration::from_secs(600);

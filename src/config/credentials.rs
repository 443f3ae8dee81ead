//! `credential`: where a real credential comes from, as written.

use std::{sync::Arc, time::Duration};

use toml::Spanned;
use zeroize::Zeroizing;

use super::sections::Reader;
use crate::{
    credentials::{App, Credential, FORM, GithubCredential, Source, read_line, withhold},
    destination::{Host, Name},
    github::rehosted,
    policy::{CredentialSource, Table, read_source},
    secret::Secret,
    sessions::OwnCredentials,
};

impl Reader<'_> {
    /// The credential that a table is. `patience` bounds whatever fetches it.
    pub(super) fn credential(&mut self, written: Table<'_>, patience: Duration) -> Option<Arc<GithubCredential>> {
        if written.has("app") {
            return self.app(written, patience).map(|app| Arc::new(GithubCredential::App(Arc::new(app))));
        }
        let (source, given) = self.source(written)?;
        Some(Arc::new(Credential::new(source, patience).having_given(given).into()))
    }

    /// A GitHub App.
    fn app(&mut self, mut written: Table<'_>, patience: Duration) -> Option<App> {
        let span = written.span.clone();
        let app = written.table("app", &mut self.problems);
        written.finish(OTHER_SOURCES, &mut self.problems);
        let mut app = app?;
        for key in ["id", "key_file"] {
            self.require(&app, key, "an App has an \"id\" and a \"key_file\"", "write app = { id = 12345, key_file = \"app.pem\" }");
        }
        let id = app.count("id", u32::MAX, &mut self.problems);
        let key_file = app.string("key_file", &mut self.problems);
        app.finish(&[], &mut self.problems);
        let (id, key_file) = (id?, key_file?);
        if self.problems.has_errors_in(&span) {
            return None;
        }
        let path = self.directory.join(key_file.get_ref());
        let pem = self.environment.private_file(&path).map(Secret::new);
        let pem =
            pem.map_err(|error| self.problems.error(key_file.span(), format!("cannot read {}: {error}", key_file.get_ref()), None)).ok()?;
        let app = App::new(id, &pem, path, patience);
        if app.is_none() {
            let message = format!("{} holds no private key of an App", key_file.get_ref());
            self.problems.error(key_file.span(), message, Some("download one in the App's settings: RSA, in PEM".into()));
        }
        app
    }

    /// Those of a session's own user: its `credential` for the first `[[github]]`, and each of its `credentials` for the one whose host
    /// it names.
    pub(super) fn own_credentials(&mut self, session: &mut Table<'_>, patience: Duration) -> OwnCredentials {
        let mut own = OwnCredentials::new();
        if let Some(written) = session.table("credential", &mut self.problems) {
            own.extend(self.credential(written, patience).map(|credential| (None, credential)));
        }
        for value in session.array("credentials", &mut self.problems) {
            let Some(mut table) = Table::of(value, "an element of \"credentials\"", &mut self.problems) else { continue };
            let span = table.span.clone();
            self.require(&table, "host", "each of the credentials has a \"host\"", "write host = \"HOST\", that of a [[github]]");
            let host = table.string("host", &mut self.problems).and_then(|host| self.host_of_credential(&host));
            let credential = self.credential(table, patience);
            let Some((host, credential)) = host.zip(credential) else { continue };
            if own.insert(rehosted(Some(host), None, self.hosts.first()), credential).is_some() {
                let help = "\"credential\" is that of the first [[github]], \"credentials\" are those of others";
                self.problems.error(span, "two credentials of a session are for one host", Some(help.into()));
            }
        }
        own
    }

    /// The host of a `[[github]]`.
    fn host_of_credential(&mut self, written: &Spanned<String>) -> Option<Name> {
        let named = Host::parse(written.get_ref().as_bytes()).ok().and_then(|host| host.name().cloned());
        let known = named.filter(|name| self.hosts.names().contains(name));
        if known.is_none() {
            self.problems.error(written.span(), format!("no [[github]] has the host {:?}", written.get_ref()), None);
        }
        known
    }

    /// A source, and what a file gives now.
    fn source(&mut self, table: Table<'_>) -> Option<(Source, Option<Secret>)> {
        match read_source(table, &[], &mut self.problems)? {
            CredentialSource::Env(name) => Some((self.credential_of_variable(&name)?, None)),
            CredentialSource::File(name) => self.credential_of_file(&name),
            CredentialSource::Command(argv, max_age) => Some((Source::command(argv.into_inner(), &self.directory, max_age), None)),
        }
    }

    fn credential_of_variable(&mut self, name: &Spanned<String>) -> Option<Source> {
        withhold(name.get_ref());
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

/// Keys that say where a credential comes from, but for `app`.
const OTHER_SOURCES: &[(&str, &str)] = &[("env", ONE_SOURCE), ("file", ONE_SOURCE), ("command", ONE_SOURCE), ("max_age", ONE_SOURCE)];
const ONE_SOURCE: &str = "a credential comes from one place, and here that is an App";

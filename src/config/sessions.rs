//! `[[session]]`: the sessions known at start, what proves them, and who comes in without proof.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use toml::Spanned;

use super::{
    Environment,
    repositories::{Locate, read_grant},
    sections::{Reader, WrittenEntry},
};
use crate::{
    credentials::{Equipped, withhold},
    policy::{Table, grant::Grant},
    secret::Secret,
    sessions::{ANONYMOUS, Entry, MIN_TOKEN, OwnCredentials, SessionSettings},
    token::{MAX_ID, is_session_id},
};

impl Reader<'_> {
    /// The sessions of the file. `default` is the `[policy]`, where it can be used; `patience` bounds whatever fetches a credential.
    pub(super) fn sessions(
        &mut self,
        whole: &mut Table<'_>,
        default: Option<&Arc<Equipped>>,
        entry: &WrittenEntry,
        patience: Duration,
    ) -> Vec<SessionSettings> {
        let mut sessions: Vec<SessionSettings> = Vec::new();
        for value in whole.array("session", &mut self.problems) {
            let Some(table) = Table::of(value, "an element of \"session\"", &mut self.problems) else { continue };
            if let Some(session) = self.session(table, default, entry, patience, &sessions) {
                sessions.push(session);
            }
        }
        sessions
    }

    /// Who the sandbox is, by the `session` of `[listen]`, of which nothing else counts.
    pub(super) fn entry_of_single(&mut self, whole: &mut Table<'_>) -> WrittenEntry {
        let Some(mut listen) = whole.table("listen", &mut self.problems) else { return WrittenEntry::Single };
        listen.string("session", &mut self.problems).map_or(WrittenEntry::Single, WrittenEntry::Bound)
    }

    /// How a connection finds its session, once these are known; `None` where an error says why that is open.
    pub(super) fn entry(
        &mut self,
        written: WrittenEntry,
        has_admin: bool,
        sessions: &mut Vec<SessionSettings>,
        default: Option<Arc<Equipped>>,
    ) -> Option<Entry> {
        match written {
            WrittenEntry::Required if self.ids.is_empty() && !has_admin && !self.problems.has_errors() => {
                let help = "add a [[session]] with an id, or an admin in [listen] to make sessions with";
                self.problems.warning(0..0, "a session is required and there is none: everything is refused", Some(help.into()));
                Some(Entry::Required)
            }
            WrittenEntry::Required => Some(Entry::Required),
            WrittenEntry::Bound(id) if self.has_id(id.get_ref()) => Some(Entry::Bound(id.into_inner().into())),
            WrittenEntry::Bound(id) => {
                let help = match self.ids.as_slice() {
                    [] => "add a [[session]] with this id".to_owned(),
                    ids => format!("the ids are {}", ids.join(", ")),
                };
                self.problems.error(id.span(), format!("no [[session]] has the id {:?}", id.get_ref()), Some(help));
                None
            }
            WrittenEntry::Single if self.ids.len() > 1 => {
                let help = "write session = \"ID\" in [listen]";
                self.problems.error(0..0, format!("which session? the ids are {}", self.ids.join(", ")), Some(help.into()));
                None
            }
            WrittenEntry::Single if !self.ids.is_empty() => self.ids.first().cloned().map(Entry::Bound),
            WrittenEntry::Anonymous | WrittenEntry::Single => {
                if default.is_none() && !self.problems.has_errors() {
                    self.problems.error(0..0, "nothing says what is allowed: there is no [policy]", Some(POLICY_HELP.into()));
                }
                let id = Arc::<str>::from(ANONYMOUS);
                let (grant, credentials) = (Grant::default(), OwnCredentials::new());
                sessions.push(SessionSettings { id: id.clone(), token: None, expires: None, policy: default?, grant, credentials });
                Some(Entry::Bound(id))
            }
        }
    }

    fn session(
        &mut self,
        mut table: Table<'_>,
        default: Option<&Arc<Equipped>>,
        entry: &WrittenEntry,
        patience: Duration,
        others: &[SessionSettings],
    ) -> Option<SessionSettings> {
        let span = table.span.clone();
        self.require(&table, "id", "a session has an \"id\"", "write id = \"s1\"");
        let id = table.string("id", &mut self.problems).and_then(|id| self.session_id(&id));
        let token = table.table("token", &mut self.problems);
        let token = token.and_then(|token| self.session_token(token, others));
        let expires = table.moment("expires", &mut self.problems);
        let policy = table.string("policy", &mut self.problems);
        let credentials = self.own_credentials(&mut table, patience);
        let (directory, environment, hosts) = (&self.directory, self.environment, &self.hosts);
        let locate = Locate { path: &|path| find_repository(directory, path, environment), name: &|name| hosts.locate(name) };
        let grant = read_grant(&mut table, &locate, &mut self.problems);
        let own_policy = policy.as_ref().map(|file| self.policy(file));
        table.finish(&[], &mut self.problems);
        let id = id?;
        self.check_reach(&id, &span, entry);
        if own_policy.is_none() && default.is_none() && !self.problems.has_errors() {
            let message = format!("nothing says what session {id} may do: it has no \"policy\", and there is no [policy]");
            self.problems.error(span, message, Some(POLICY_HELP.into()));
        }
        let policy = own_policy.unwrap_or_else(|| default.cloned())?;
        Some(SessionSettings { id, token, expires, policy, grant: grant?, credentials })
    }

    fn session_id(&mut self, id: &Spanned<String>) -> Option<Arc<str>> {
        let text = id.get_ref();
        if text == ANONYMOUS {
            self.problems.error(
                id.span(),
                format!("{ANONYMOUS:?} is the session of those who need none"),
                Some("choose another id".into()),
            );
            return None;
        }
        if !is_session_id(text) {
            let help = format!("an id is 1 to {MAX_ID} letters, digits, '-', '_' and '.'");
            self.problems.error(id.span(), format!("no session id: {text:?}"), Some(help));
            return None;
        }
        if self.has_id(text) {
            self.problems.error(id.span(), format!("two sessions have the id {text:?}"), None);
            return None;
        }
        let id: Arc<str> = text.as_str().into();
        self.ids.push(id.clone());
        Some(id)
    }

    fn has_id(&self, id: &str) -> bool {
        self.ids.iter().any(|known| **known == *id)
    }

    /// Whether anyone can come in as this session.
    fn check_reach(&mut self, id: &str, span: &Range<usize>, entry: &WrittenEntry) {
        match entry {
            WrittenEntry::Bound(here) if here.get_ref() == id || self.single.is_some() => {}
            WrittenEntry::Bound(_) | WrittenEntry::Anonymous => {
                let help = "write require_session = true in [listen], or session with this id";
                self.problems.warning(
                    span.clone(),
                    format!("nobody comes in as session {id}: no door asks for a token"),
                    Some(help.into()),
                );
            }
            WrittenEntry::Required | WrittenEntry::Single => {}
        }
    }

    fn session_token(&mut self, mut table: Table<'_>, others: &[SessionSettings]) -> Option<Secret> {
        let span = table.span.clone();
        let (env, file) = (table.string("env", &mut self.problems), table.string("file", &mut self.problems));
        if !self.problems.has_errors_in(&span) && env.is_some() == file.is_some() {
            self.problems.error(
                span.clone(),
                "a token comes from one place",
                Some("write { env = \"NAME\" } or { file = \"FILE\" }".into()),
            );
            return None;
        }
        table.finish(&[], &mut self.problems);
        let token = match (env, file) {
            (Some(env), _) => self.token_of_variable(&env)?,
            (None, Some(file)) => self.token_of_file(&file)?,
            (None, None) => return None,
        };
        if others.iter().filter_map(|other| other.token.as_ref()).any(|other| other.expose() == token.expose()) {
            self.problems.error(span, "two sessions have the same token", Some("a token proves one session: give each its own".into()));
            return None;
        }
        Some(token)
    }

    fn token_of_variable(&mut self, name: &Spanned<String>) -> Option<Secret> {
        withhold(name.get_ref());
        let Some(value) = self.environment.variable(name.get_ref()) else {
            self.problems.error(name.span(), format!("the environment has no {}", name.get_ref()), None);
            return None;
        };
        self.token(value.into_encoded_bytes(), name.span())
    }

    /// A token on the one line of a file.
    pub(super) fn token_of_file(&mut self, name: &Spanned<String>) -> Option<Secret> {
        let mut bytes = self.file(name)?;
        bytes.truncate(bytes.trim_ascii_end().len());
        self.token(bytes, name.span())
    }

    /// A token, which no message ever shows.
    fn token(&mut self, bytes: Vec<u8>, span: Range<usize>) -> Option<Secret> {
        let token = Secret::new(bytes);
        if token.expose().len() < MIN_TOKEN || !token.expose().iter().all(u8::is_ascii_graphic) {
            let message = format!("a token is {MIN_TOKEN} or more visible ASCII characters, and this one is not");
            self.problems.error(span, message, Some("make one with: openssl rand -hex 32".into()));
            return None;
        }
        Some(token)
    }
}

/// The absolute path of a repository on disk, or why it cannot be one.
fn find_repository(directory: &Path, written: &str, environment: &dyn Environment) -> Result<PathBuf, String> {
    let path = std::path::absolute(directory.join(written)).and_then(|path| environment.find(&path).map(|()| path));
    path.map_err(|error| format!("there is no repository at {written}: {error}; write the path of a bare repository or of a bundle"))
}

const POLICY_HELP: &str = "write [policy] and file = \"policy.toml\"";

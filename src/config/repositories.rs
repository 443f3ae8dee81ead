//! `[[session.repository]]`: what a session may do with repositories.

use std::{fmt, path::PathBuf};

use toml::{Spanned, de::DeValue};

use crate::{
    github::RepositoryName,
    policy::{
        ContentRules, Problems, Table, UnknownHost,
        grant::{Access, Capability, Grant, GrantError, OwnRights, PushEntry, RefPattern, RepositoryGrant},
        known_words, read_string, warn_of_word, wrong_type,
    },
};

/// What a written repository leads to.
pub(crate) struct Locate<'l> {
    /// From an `upstream_path` to an absolute one, or why there is none.
    pub(crate) path: &'l dyn Fn(&str) -> Result<PathBuf, String>,
    /// From a name to the one by which the repository is looked up.
    pub(crate) name: &'l dyn Fn(RepositoryName) -> Result<RepositoryName, UnknownHost>,
}

/// The repositories of one session; `None` where an error says why they cannot be granted.
pub(crate) fn read_grant(session: &mut Table<'_>, locate: &Locate<'_>, problems: &mut Problems) -> Option<Grant> {
    let span = session.span.clone();
    let mut repositories = Vec::new();
    let mut whole = true;
    for value in session.array("repository", problems) {
        let table = Table::of(value, "an element of \"repository\"", problems);
        match table.and_then(|table| read_repository(table, locate, problems)) {
            Some(repository) => repositories.push(repository),
            None => whole = false,
        }
    }
    match Grant::new(repositories) {
        Ok(grant) => whole.then_some(grant),
        Err(error) => {
            problems.error(span, error.to_string(), None);
            None
        }
    }
}

fn read_repository(mut table: Table<'_>, locate: &Locate<'_>, problems: &mut Problems) -> Option<RepositoryGrant> {
    if !table.has("name") {
        problems.error(table.span.clone(), "a repository has a \"name\"", Some("write name = \"OWNER/NAME\"".into()));
    }
    let name = table.string("name", problems);
    let access = table.string("access", problems);
    let push = table.array("push", problems);
    let [tags, bases] = ["tags", "bases"].map(|key| table.strings(key, problems));
    let written = table.strings("grants", problems);
    let [create, update, force, delete] = read_rights(&mut table, problems);
    let upstream_path = table.string("upstream_path", problems);
    let content = table.table("content", problems).map(|content| read_content(content, problems));
    table.finish(&[], problems);
    let name = name.and_then(|name| word(&name, |text| located(locate, text), problems));
    let access = access.map(|access| word(&access, Access::parse, problems));
    let push = push.into_iter().map(|value| read_entry(value, problems)).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    let tags = words(&tags, RefPattern::of_tags, problems);
    let bases = words(&bases, RefPattern::parse, problems);
    let grants = words(&written, Capability::parse, problems);
    warn_of_idle(&written, grants.as_deref(), problems);
    let upstream_path = upstream_path.map(|path| word(&path, locate.path, problems));
    let nothing = RepositoryGrant::reading(name?);
    Some(RepositoryGrant {
        access: access.unwrap_or(Some(nothing.access))?,
        push: push?,
        create: create.unwrap_or(nothing.create),
        update: update.unwrap_or(nothing.update),
        force: force.unwrap_or(nothing.force),
        delete: delete.unwrap_or(nothing.delete),
        tags: tags?,
        bases: bases?,
        grants: grants?,
        content: content.map_or(Some(None), |content| content.map(Some))?,
        upstream_path: upstream_path.map_or(Some(None), |path| path.map(Some))?,
        ..nothing
    })
}

fn read_content(mut table: Table<'_>, problems: &mut Problems) -> Option<ContentRules> {
    let deny_paths = table.strings("deny_paths", problems);
    let [max_file, max_pack] = ["max_file", "max_pack"].map(|key| table.octets(key, problems));
    let refuse_secrets = table.boolean("refuse_secrets", problems).is_none_or(Spanned::into_inner);
    table.finish(&[], problems);
    let deny_paths = words(&deny_paths, str::parse, problems)?;
    Some(ContentRules { deny_paths, max_file, max_pack, refuse_secrets })
}

/// Words that open nothing are another's mistake than the gate's: they are told, and do no harm.
fn warn_of_idle(written: &[Spanned<String>], grants: Option<&[Capability]>, problems: &mut Problems) {
    for (text, word) in written.iter().zip(grants.unwrap_or_default()) {
        if let Some(warning) = warn_of_word(word) {
            problems.warning(text.span(), warning, Some(format!("the words are {}", known_words())));
        }
    }
}

fn located(locate: &Locate<'_>, text: &str) -> Result<RepositoryName, GrantError> {
    Ok((locate.name)(RepositoryName::parse(text).map_err(GrantError::Name)?)?)
}

fn read_rights(table: &mut Table<'_>, problems: &mut Problems) -> [Option<bool>; 4] {
    ["create", "update", "force", "delete"].map(|key| table.boolean(key, problems).map(Spanned::into_inner))
}

/// An entry of `push`: a string, or a table whose keys hold for what it names.
fn read_entry(value: Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<PushEntry> {
    const WHAT: &str = "an element of \"push\"";
    match value.get_ref() {
        DeValue::String(_) => word(&read_string(&value, WHAT, problems)?, PushEntry::parse, problems),
        DeValue::Table(_) => read_entry_table(Table::of(value, WHAT, problems)?, problems),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            wrong_type(&value, WHAT, "a string or a table with a \"ref\"", problems);
            None
        }
    }
}

fn read_entry_table(mut table: Table<'_>, problems: &mut Problems) -> Option<PushEntry> {
    if !table.has("ref") {
        let help = "write { ref = \"refs/heads/agent/*\", … }";
        problems.error(table.span.clone(), "an entry of \"push\" has a \"ref\"", Some(help.into()));
    }
    let refs = table.string("ref", problems);
    let [create, update, force, delete] = read_rights(&mut table, problems);
    let default_branch = table.boolean("default_branch", problems).is_some_and(Spanned::into_inner);
    table.finish(&[], problems);
    let entry = word(&refs?, PushEntry::parse, problems)?;
    Some(PushEntry { own: OwnRights { create, update, force, delete }, default_branch, ..entry })
}

fn words<T, E: fmt::Display>(texts: &[Spanned<String>], parse: fn(&str) -> Result<T, E>, problems: &mut Problems) -> Option<Vec<T>> {
    let words: Vec<_> = texts.iter().filter_map(|text| word(text, parse, problems)).collect();
    (words.len() == texts.len()).then_some(words)
}

fn word<T, E: fmt::Display>(text: &Spanned<String>, parse: impl Fn(&str) -> Result<T, E>, problems: &mut Problems) -> Option<T> {
    parse(text.get_ref()).inspect_err(|error| problems.error(text.span(), error.to_string(), None)).ok()
}

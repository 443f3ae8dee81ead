//! A `[[credential]]` as written, read and made a [`CredentialRule`].

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use http::HeaderName;
use toml::Spanned;

use super::{BoundHost, CredentialRule, CredentialSource, Credentials, Placement};
use crate::{
    policy::{
        decision::RuleRef,
        index::Index,
        patterns::{Pattern, Ports},
        problem::Problems,
        table::Table,
    },
    wire::http1::is_same_name,
};

/// A credential and the places of its hosts, in their order.
#[derive(Debug)]
pub(in crate::policy) struct Written {
    rule: CredentialRule,
    places: Vec<Range<usize>>,
}

/// Reads every `[[credential]]` of a document; what cannot be used is an error and left out.
pub(in crate::policy) fn read(whole: &mut Table<'_>, problems: &mut Problems) -> Vec<Written> {
    let tables = whole.array("credential", problems);
    tables.into_iter().filter_map(|value| read_one(Table::of(value, "a \"credential\"", problems)?, problems)).collect()
}

fn read_one(mut table: Table<'_>, problems: &mut Problems) -> Option<Written> {
    let span = table.span.clone();
    let written = table.strings("hosts", problems);
    if written.is_empty() && !problems.has_errors_in(&span) {
        problems.error(span.clone(), "a credential is bound to hosts", Some("write hosts = [\"api.example.com\"]".into()));
    }
    let (hosts, places): (Vec<_>, Vec<_>) = written.iter().filter_map(|host| Some((read_host(host, problems)?, host.span()))).unzip();
    let placement = read_placement(&mut table, problems);
    if !table.has("value") {
        problems.error(span.clone(), "a credential has a \"value\"", Some(SOURCES.replace("write ", "write value = ")));
    }
    let source = table.table("value", problems).and_then(|value| read_source(value, LATER_SOURCE, problems));
    let pin = table.boolean("pin", problems).is_some_and(Spanned::into_inner);
    table.finish(&[], problems);
    let (placement, source) = (placement?, source?);
    let entry = format!("[[credential]] {placement}").into();
    let line = problems.source.line(places.first().map_or(span.start, |place| place.start));
    let rule = RuleRef { entry, source: problems.source.name.clone(), line };
    Some(Written { rule: CredentialRule { hosts, placement, source, pin, rule }, places })
}

fn read_host(written: &Spanned<String>, problems: &mut Problems) -> Option<BoundHost> {
    let pattern = written.get_ref().parse::<Pattern>();
    let pattern = pattern.map_err(|error| problems.error(written.span(), error.message, error.help)).ok()?;
    let port = match pattern.ports {
        Ports::Default => Some(None),
        Ports::One(port) => Some(Some(port)),
        Ports::Any => None,
    };
    let (Some(name), Some(port)) = (pattern.exact_name(), port) else {
        let message = format!("a credential is bound to exact hosts, and {:?} is none", written.get_ref());
        problems.error(
            written.span(),
            message,
            Some("write each name in full, such as \"api.example.com\" or \"api.example.com:8443\"".into()),
        );
        return None;
    };
    if port == Some(80) {
        problems.error(
            written.span(),
            "a credential is never put into plain HTTP",
            Some("leave the port out, or write the one of TLS".into()),
        );
        return None;
    }
    Some(BoundHost { name, port })
}

fn read_placement(table: &mut Table<'_>, problems: &mut Problems) -> Option<Placement> {
    let span = table.span.clone();
    let places = ["header", "basic_user", "query"].into_iter().filter(|key| table.has(key)).count();
    let [header, user, key, format] = ["header", "basic_user", "query", "format"].map(|key| table.string(key, problems));
    if places != 1 {
        let help = "write header = \"x-api-key\", basic_user = \"x\" or query = \"key\"";
        problems.error(span, "a credential goes into one place", Some(help.into()));
        return None;
    }
    if let (None, Some(format)) = (&header, &format) {
        problems.error(format.span(), "\"format\" belongs to a \"header\"", Some("remove it: the value stands as it is".into()));
        return None;
    }
    match (header, user, key) {
        (Some(name), _, _) => read_header(&name, format.as_ref(), problems),
        (None, Some(user), _) => {
            let is_user = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b':';
            let usable = user.get_ref().len() <= MAX_TEXT && user.get_ref().bytes().all(is_user);
            or_error(usable, &user, "no user name of RFC 7617", "write visible ASCII without a colon", problems)?;
            Some(Placement::Basic { user: user.into_inner().into() })
        }
        (None, None, Some(key)) => {
            let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let usable = (1..=MAX_TEXT).contains(&key.get_ref().len()) && key.get_ref().bytes().all(is_key);
            or_error(usable, &key, "no key of a query", "write letters, digits, '-', '.', '_' and '~'", problems)?;
            Some(Placement::Query { key: key.into_inner().into() })
        }
        (None, None, None) => None,
    }
}

fn read_header(name: &Spanned<String>, format: Option<&Spanned<String>>, problems: &mut Problems) -> Option<Placement> {
    let parsed = HeaderName::from_bytes(name.get_ref().as_bytes()).ok().filter(|_| name.get_ref().len() <= MAX_TEXT);
    or_error(parsed.is_some(), name, "no name of a header field", "write one such as \"x-api-key\"", problems)?;
    let reserved =
        parsed.as_ref().is_some_and(|name| RESERVED.iter().any(|field| is_same_name(field.as_bytes(), name.as_str().as_bytes())));
    or_error(!reserved, name, "a field that HTTP itself needs", "write the one that the host takes credentials in", problems)?;
    let (before, after) = match format {
        None => ("", ""),
        Some(format) => {
            let text = format.get_ref().as_str();
            let printable = text.trim_ascii() == text && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            let parts = text.split_once("{}").filter(|(_, after)| !after.contains("{}") && printable && text.len() <= MAX_TEXT);
            or_error(
                parts.is_some(),
                format,
                "no format of a credential",
                "write {} once, where the value stands: \"Bearer {}\"",
                problems,
            )?;
            parts?
        }
    };
    Some(Placement::Header { name: parsed?, before: before.into(), after: after.into() })
}

/// Notes an error about a text unless it is usable.
fn or_error(usable: bool, text: &Spanned<String>, message: &str, help: &str, problems: &mut Problems) -> Option<()> {
    if !usable {
        problems.error(text.span(), format!("{message}: {:?}", text.get_ref()), Some(help.into()));
    }
    usable.then_some(())
}

/// Reads where a credential comes from. `later` names keys that the contract knows and this version does not, with why.
pub(crate) fn read_source(mut table: Table<'_>, later: &[(&str, &str)], problems: &mut Problems) -> Option<CredentialSource> {
    let span = table.span.clone();
    let sources = ["env", "file", "command"].into_iter().chain(later.iter().map(|(key, _)| *key)).filter(|key| table.has(key)).count();
    let stray_age = table.has("max_age") && !table.has("command");
    let env = table.string("env", problems);
    let file = table.string("file", problems);
    let command = table.has("command").then(|| table.strings("command", problems));
    let max_age = table.duration("max_age", problems).unwrap_or(MAX_AGE);
    table.finish(later, problems);
    if sources != 1 {
        problems.error(span, "a credential comes from one place", Some(SOURCES.into()));
        return None;
    }
    if stray_age {
        problems.error(span, "\"max_age\" belongs to a \"command\"", Some("remove it: nothing else is kept".into()));
        return None;
    }
    match (env, file, command) {
        (Some(name), _, _) => Some(CredentialSource::Env(name)),
        (None, Some(name), _) => Some(CredentialSource::File(name)),
        (None, None, Some(words)) => {
            let argv: Vec<_> = words.into_iter().map(Spanned::into_inner).collect();
            if argv.first().is_none_or(String::is_empty) {
                if !problems.has_errors_in(&span) {
                    problems.error(span, "a \"command\" begins with a program", Some(SOURCES.into()));
                }
                return None;
            }
            Some(CredentialSource::Command(Spanned::new(span, argv), max_age))
        }
        (None, None, None) => None,
    }
}

impl Credentials {
    /// What can be used of what is written, in its order. `skip` are the hosts that are never intercepted.
    pub(in crate::policy) fn compile(written: &[Written], skip: &Index, problems: &mut Problems) -> Self {
        let mut credentials = Self::default();
        let mut taken: Vec<(&BoundHost, &Placement, u32)> = Vec::new();
        for Written { rule, places } in written {
            for (host, place) in rule.hosts.iter().zip(places) {
                if let Some(entry) = skip.find(&host.destination(), SystemTime::UNIX_EPOCH).host {
                    let message = format!("no credential is put into requests to {host}: [tls] skip has {}", entry.rule);
                    problems.error(place.clone(), message, Some("take it out of one of them".into()));
                }
                if let Some((_, _, line)) = taken.iter().find(|(other, into, _)| other.overlaps(host) && into.collides(&rule.placement)) {
                    let message = format!("{host} gets a credential in the same place already, in line {line}");
                    problems.error(place.clone(), message, Some("write one credential a host and place".into()));
                }
                taken.push((host, &rule.placement, problems.source.line(place.start)));
            }
            credentials.0.push(rule.clone());
        }
        credentials
    }
}

/// Each host with its place.
pub(in crate::policy) fn places(written: &[Written]) -> impl Iterator<Item = (&BoundHost, &Range<usize>)> {
    written.iter().flat_map(|written| written.rule.hosts.iter().zip(&written.places))
}

/// Fields that frame a message, route it or concern one hop of it (RFC 9110, sections 7.6 and 8.6), and those that this proxy writes.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Keys of the interface's other credentials.
const LATER_SOURCE: &[(&str, &str)] = &[("app", "a GitHub App belongs to a [[github]] of the configuration")];

const SOURCES: &str = "write { env = \"NAME\" }, { file = \"FILE\" } or { command = [\"gh\", \"auth\", \"token\"] }";

/// For how long what a command gave is used, unless it is written.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Longest name, key, user or format in octets.
const MAX_TEXT: usize = 256;

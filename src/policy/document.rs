//! A policy document as written, with the place of everything in it.

use std::{fmt, sync::Arc, time::SystemTime};

use toml::{Spanned, de::DeValue};

use super::{
    content::WrittenContent,
    credential,
    decision::{Protocol, RuleRef},
    problem::{Problems, Source},
    requests::Ech,
    table::{Table, string, wrong_type},
    written_rule::WrittenRule,
};

/// How much a policy allows before its own entries: the access level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Only `control_plane`.
    None,
    /// The shipped list `trusted`, and what is written.
    Trusted,
    /// Only what is written.
    #[default]
    Custom,
    /// Any name on ports 443 and 80, and what is written.
    Full,
}

impl Access {
    /// Every level, from the least to the most.
    pub const ALL: &'static [Self] = &[Self::None, Self::Trusted, Self::Custom, Self::Full];

    /// The word in a policy document and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trusted => "trusted",
            Self::Custom => "custom",
            Self::Full => "full",
        }
    }

    /// The level that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|access| access.as_str() == word)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one session may have or do at a time; every number is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u32,
    /// Tunnels at a time.
    pub tunnels: u32,
    /// New connections a second, and as many at once.
    pub new_connections_per_second: u32,
    /// Requests a second; the burst is four times as many.
    pub requests_per_second: u32,
    /// Names that are asked for a second; the burst is four times as many.
    pub dns_queries_per_second: u32,
    /// Octets a second, each way; any number where there is none.
    pub bytes_per_second: Option<u64>,
    /// Octets that may go up in all; any number where there is none.
    pub upload_budget: Option<u64>,
    /// Calls of GitHub's API in an hour; of those, calls that change something; of those, comments and their like.
    pub api_calls_per_hour: u32,
    pub api_writes_per_hour: u32,
    pub api_comments_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            tunnels: 1024,
            new_connections_per_second: 500,
            requests_per_second: 500,
            dns_queries_per_second: 200,
            bytes_per_second: None,
            upload_budget: None,
            api_calls_per_hour: 3000,
            api_writes_per_hour: 500,
            api_comments_per_hour: 100,
        }
    }
}

/// A whole document as written; what is absent has its default.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) source: Arc<Source>,
    pub(super) access: Option<Spanned<Access>>,
    pub(super) include: Vec<Spanned<String>>,
    pub(super) allow: Vec<WrittenEntry>,
    pub(super) deny: Vec<WrittenEntry>,
    pub(super) control_plane: Vec<WrittenEntry>,
    pub(super) report: bool,
    pub(super) rules: Vec<WrittenRule>,
    pub(super) addresses: Vec<Spanned<String>>,
    pub(super) skip: Vec<Spanned<String>>,
    pub(super) ech: Ech,
    pub(super) limits: Limits,
    pub(super) credentials: Vec<credential::Written>,
    pub(super) content: WrittenContent,
}

/// An entry of `allow`, `deny` or `control_plane` as written: a string, or a table with more to say.
#[derive(Debug)]
pub(super) struct WrittenEntry {
    pub(super) host: Spanned<String>,
    pub(super) speaks: Option<Spanned<Protocol>>,
    pub(super) until: Option<SystemTime>,
    pub(super) report: bool,
    pub(super) intercept: Option<Spanned<bool>>,
}

impl Document {
    /// An empty document.
    pub(super) fn empty(source: Arc<Source>) -> Self {
        Self {
            source,
            access: None,
            include: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            control_plane: Vec::new(),
            report: false,
            rules: Vec::new(),
            addresses: Vec::new(),
            skip: Vec::new(),
            ech: Ech::default(),
            limits: Limits::default(),
            credentials: Vec::new(),
            content: WrittenContent::default(),
        }
    }

    /// Reads a document as far as it can be read.
    pub(super) fn parse(problems: &mut Problems) -> Self {
        let source = problems.source.clone();
        let mut document = Self::empty(source.clone());
        let Some(mut table) = Table::parse(&source.text, problems) else { return document };
        document.access = table.string("access", problems).and_then(|word| parse_access(&word, problems));
        document.include = table.strings("include", problems);
        document.allow = parse_entries(&mut table, "allow", problems);
        document.deny = parse_entries(&mut table, "deny", problems);
        document.control_plane = parse_entries(&mut table, "control_plane", problems);
        document.report = table.boolean("report", problems).is_some_and(Spanned::into_inner);
        let rules = table.array("rule", problems);
        document.rules = rules.into_iter().filter_map(|rule| WrittenRule::parse(rule, problems)).collect();
        if let Some(mut addresses) = table.table("addresses", problems) {
            document.addresses = addresses.strings("allow", problems);
            addresses.finish(&[], problems);
        }
        if let Some(tls) = table.table("tls", problems) {
            document.parse_tls(tls, problems);
        }
        if let Some(limits) = table.table("limits", problems) {
            document.parse_limits(limits, problems);
        }
        document.credentials = credential::read(&mut table, problems);
        if let Some(content) = table.table("content", problems) {
            document.content = WrittenContent::parse(content, problems);
        }
        table.finish(&[], problems);
        document
    }

    /// The access level, written or not.
    pub(super) fn level(&self) -> Access {
        self.access.as_ref().map(|access| *access.get_ref()).unwrap_or_default()
    }

    /// Where the access level is written.
    pub(super) fn access_rule(&self) -> Option<RuleRef> {
        let access = self.access.as_ref()?;
        let entry = format!("access = \"{}\"", access.get_ref()).into();
        Some(RuleRef { entry, source: self.source.name.clone(), line: self.source.line(access.span().start) })
    }

    fn parse_tls(&mut self, mut tls: Table<'_>, problems: &mut Problems) {
        self.skip = tls.strings("skip", problems);
        if let Some(word) = tls.string("ech", problems) {
            match [Ech::Refuse, Ech::Outer].into_iter().find(|ech| ech.as_str() == word.get_ref()) {
                Some(ech) => self.ech = ech,
                None => problems.error(
                    word.span(),
                    format!("no way to treat ECH: {:?}", word.get_ref()),
                    Some("write \"refuse\" or \"outer\"".into()),
                ),
            }
        }
        tls.finish(&[], problems);
    }

    fn parse_limits(&mut self, mut limits: Table<'_>, problems: &mut Problems) {
        let mut set = |key, limit: &mut u32| *limit = limits.count(key, MAX_LIMIT, problems).unwrap_or(*limit);
        set("connections", &mut self.limits.connections);
        set("tunnels", &mut self.limits.tunnels);
        set("new_connections_per_second", &mut self.limits.new_connections_per_second);
        set("requests_per_second", &mut self.limits.requests_per_second);
        set("dns_queries_per_second", &mut self.limits.dns_queries_per_second);
        set("api_calls_per_hour", &mut self.limits.api_calls_per_hour);
        set("api_writes_per_hour", &mut self.limits.api_writes_per_hour);
        set("api_comments_per_hour", &mut self.limits.api_comments_per_hour);
        self.limits.bytes_per_second = limits.octets("bytes_per_second", problems);
        self.limits.upload_budget = limits.octets("upload_budget", problems);
        limits.finish(&[], problems);
    }
}

fn parse_access(word: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<Access>> {
    let access = Access::parse(word.get_ref());
    if access.is_none() {
        let help = "write \"none\", \"trusted\", \"custom\" or \"full\"";
        problems.error(word.span(), format!("no access level: {:?}", word.get_ref()), Some(help.into()));
    }
    access.map(|access| Spanned::new(word.span(), access))
}

fn parse_entries(table: &mut Table<'_>, key: &'static str, problems: &mut Problems) -> Vec<WrittenEntry> {
    let values = table.array(key, problems);
    values.into_iter().filter_map(|value| parse_entry(value, key, problems)).collect()
}

fn parse_entry(value: Spanned<DeValue<'_>>, list: &'static str, problems: &mut Problems) -> Option<WrittenEntry> {
    let what = format!("an entry of \"{list}\"");
    let plain = |host| WrittenEntry { host, speaks: None, until: None, report: false, intercept: None };
    match value.get_ref() {
        DeValue::String(_) => string(&value, &what, problems).map(plain),
        DeValue::Table(_) => parse_entry_table(Table::of(value, &what, problems)?, list, problems),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            wrong_type(&value, &what, "a string or a table with a \"host\"", problems);
            None
        }
    }
}

fn parse_entry_table(mut table: Table<'_>, list: &'static str, problems: &mut Problems) -> Option<WrittenEntry> {
    let host = table.string("host", problems);
    if host.is_none() && !problems.has_errors_in(&table.span) {
        problems.error(table.span.clone(), "an entry has a \"host\"", Some("write { host = \"example.com\", … }".into()));
    }
    let until = table.moment("until", problems);
    let report = table.boolean("report", problems).is_some_and(Spanned::into_inner);
    let (speaks, intercept) = match list {
        "deny" => (None, None),
        _ => (parse_speaks(&mut table, problems), table.boolean("intercept", problems).filter(|set| *set.get_ref())),
    };
    table.finish(&[], problems);
    Some(WrittenEntry { host: host?, speaks, until, report, intercept })
}

/// Reads `tls = true` or `http = true`; `false` is what an entry says anyway.
fn parse_speaks(table: &mut Table<'_>, problems: &mut Problems) -> Option<Spanned<Protocol>> {
    let [tls, http] = ["tls", "http"].map(|key| table.boolean(key, problems).filter(|set| *set.get_ref()));
    if let (Some(_), Some(http)) = (&tls, &http) {
        problems.error(http.span(), "an entry wants TLS or HTTP, not both", Some("write one entry per port".into()));
    }
    let tls = tls.map(|set| Spanned::new(set.span(), Protocol::Tls));
    tls.or_else(|| http.map(|set| Spanned::new(set.span(), Protocol::Http)))
}

/// The largest limit: four times it, the burst, still fits 32 bits.
const MAX_LIMIT: u32 = 1_000_000_000;

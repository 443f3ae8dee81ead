//! A document made into a policy.

use std::{collections::HashSet, ops::Range, sync::Arc};

use toml::Spanned;

use super::{
    addresses::{self, AddressRules},
    conflicts,
    credential::Credentials,
    decision::RuleRef,
    document::{Access, Document, WrittenEntry},
    index::{Entry, Index, ListKind},
    lists,
    patterns::{Pattern, PatternError, parse_net, shown},
    problem::{Problems, Source},
    requests::REFUSED_METHODS,
    rules::{RequestRule, RequestRules},
    written_rule::WrittenRule,
};
use crate::wire::http1::MAX_METHOD;

/// The lists of a policy, ready to decide.
#[derive(Debug)]
pub(super) struct Rules {
    /// What is allowed at the document's level: at none that is `control_plane` alone.
    pub(super) allow: Index,
    pub(super) deny: Arc<Index>,
    pub(super) addresses: Arc<AddressRules>,
    pub(super) skip: Index,
    pub(super) requests: RequestRules,
    pub(super) credentials: Credentials,
}

impl Rules {
    /// Makes lists of what can be used in a document and of what is added to it; what cannot is an error and left out.
    pub(super) fn compile(document: &Document, added: Added, problems: &mut Problems) -> Self {
        let mut allow = compile_entries(&document.control_plane, ListKind::ControlPlane, problems);
        let mut own = compile_entries(&document.allow, ListKind::Allow, problems);
        own.extend(added.allow);
        let included = included(document, problems);
        if document.level() != Access::None {
            allow.extend(own);
            allow.extend(included);
        }
        let mut deny = compile_entries(&document.deny, ListKind::Deny, problems);
        deny.extend(added.deny);
        for entry in &mut deny {
            entry.pattern.widen_to_every_port();
        }
        let deny = Arc::new(Index::new(deny));
        let opened = document.addresses.iter().filter_map(|net| compile_address(net, problems)).collect();
        let skip = compile_hosts(&document.skip, ListKind::TlsSkip, problems);
        let requests = compile_rules(document, &allow, &skip, problems);
        let skip = Index::new(skip);
        let credentials = Credentials::compile(&document.credentials, &skip, problems);
        Self {
            allow: Index::new(allow),
            addresses: Arc::new(AddressRules { opened: Index::new(opened), denied: deny.clone() }),
            deny,
            skip,
            requests,
            credentials,
        }
    }
}

/// Entries beside those of a document.
#[derive(Default)]
pub(super) struct Added {
    pub(super) allow: Vec<Entry>,
    pub(super) deny: Vec<Entry>,
}

/// Plain entries of hosts.
pub(super) fn compile_hosts(written: &[Spanned<String>], list: ListKind, problems: &mut Problems) -> Vec<Entry> {
    let plain = |host: &Spanned<String>| WrittenEntry { host: host.clone(), speaks: None, until: None, report: false, intercept: None };
    compile_entries(&written.iter().map(plain).collect::<Vec<_>>(), list, problems)
}

fn compile_rules(document: &Document, allow: &[Entry], skip: &[Entry], problems: &mut Problems) -> RequestRules {
    let mut rules = Vec::with_capacity(document.rules.len());
    for (place, written) in document.rules.iter().enumerate() {
        let mut hosts = compile_hosts(&written.hosts, ListKind::RuleHosts, problems);
        for host in &mut hosts {
            host.pattern.widen_to_every_port();
        }
        let hosts = Index::new(hosts);
        // A host that is no pattern was left out, and with it goes the whole document.
        conflicts::report(&hosts, &written.hosts, allow, skip, problems);
        rules.push((hosts, Arc::new(compile_rule(written, place + 1, problems))));
    }
    RequestRules(rules)
}

fn compile_rule(written: &WrittenRule, number: usize, problems: &mut Problems) -> RequestRule {
    let mut methods: Vec<&str> = Vec::new();
    for method in &written.methods {
        let word = method.get_ref().as_str();
        if word == READ_ONLY.0 {
            methods.extend(READ_ONLY.1);
        } else if let Some(message) = no_method(word) {
            let help = format!("the word for several is \"{}\": {}", READ_ONLY.0, READ_ONLY.1.join(", "));
            problems.error(method.span(), format!("{message}: {}", shown(word)), Some(help));
        } else {
            methods.push(word);
        }
    }
    let first = |(place, method): &(usize, &str)| !methods[..*place].contains(method);
    let methods = methods.iter().copied().enumerate().filter(first).map(|(_, method)| method.into()).collect();
    let paths = written.paths.iter().filter_map(|path| or_report(path.get_ref().parse(), path.span(), problems)).collect();
    let name = written.name.as_ref().map_or_else(|| format!("rule {number}"), |name| name.get_ref().clone());
    RequestRule { methods, paths, max_request_body: written.max_request_body, rule: rule_at(&problems.source, &written.span, name) }
}

/// The word that stands for methods in a rule, and which: those by which nothing is asked to change (RFC 9110, section 9.2.1), but
/// for TRACE, which is never passed on.
const READ_ONLY: (&str, &[&str]) = ("read-only", &["GET", "HEAD", "OPTIONS"]);

/// Why something is no method that a rule may let through.
fn no_method(method: &str) -> Option<&'static str> {
    let is_word = (1..=MAX_METHOD).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let lower = method.bytes().any(|byte| byte.is_ascii_lowercase());
    let refused = REFUSED_METHODS.iter().any(|refused| refused.eq_ignore_ascii_case(method));
    match (is_word, lower, refused) {
        (false, _, _) => Some("a method is a word such as GET"),
        (true, true, _) => Some("methods are compared exactly, write it in capitals"),
        (true, false, true) => Some("no rule lets this method through"),
        (true, false, false) => None,
    }
}

fn compile_entries(written: &[WrittenEntry], list: ListKind, problems: &mut Problems) -> Vec<Entry> {
    written.iter().filter_map(|entry| compile_entry(entry, list, problems)).collect()
}

fn compile_entry(written: &WrittenEntry, list: ListKind, problems: &mut Problems) -> Option<Entry> {
    let host = &written.host;
    let parsed = host.get_ref().parse::<Pattern>().and_then(|pattern| match list {
        // What narrows can hardly be too wide.
        ListKind::Deny | ListKind::RuleHosts => Ok(pattern),
        ListKind::Allow | ListKind::ControlPlane | ListKind::TlsSkip | ListKind::Addresses => pattern.check_width().map(|()| pattern),
    });
    let pattern = or_report(parsed, host.span(), problems)?;
    if let Some(speaks) = &written.speaks
        && let Some(message) = pattern.contradicts(*speaks.get_ref())
    {
        problems.error(speaks.span(), message, Some("name the port that speaks it, such as \"example.com:8443\"".into()));
        return None;
    }
    if let Some(intercept) = &written.intercept
        && let Some((message, help)) = conflicts::never_tls(&pattern, written.speaks.as_ref().map(|speaks| *speaks.get_ref()))
    {
        problems.error(intercept.span(), message, Some(help.into()));
        return None;
    }
    Some(Entry {
        list,
        pattern,
        speaks: written.speaks.as_ref().map(|speaks| *speaks.get_ref()),
        until: written.until,
        report: written.report,
        intercept: written.intercept.is_some(),
        rule: rule_at(&problems.source, &host.span(), host.get_ref().as_str()),
        group: None,
    })
}

/// The shipped lists that the level and `include` name, each once.
fn included(document: &Document, problems: &mut Problems) -> Vec<Entry> {
    let trusted =
        (document.level() == Access::Trusted).then(|| ("trusted", document.access.as_ref().map(Spanned::span).unwrap_or_default()));
    let named = document.include.iter().map(|name| (name.get_ref().as_str(), name.span()));
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    for (name, span) in trusted.into_iter().chain(named) {
        if !seen.insert(name) {
            continue;
        }
        let Some(list) = lists::read(name) else {
            let help = format!("the shipped lists are {}", lists::names().collect::<Vec<_>>().join(", "));
            problems.error(span, format!("no shipped list is called {}", shown(name)), Some(help));
            continue;
        };
        let list = match list {
            Ok(list) => list,
            Err(found) => {
                let first = found.first().map(ToString::to_string).unwrap_or_default();
                problems.error(span, format!("the shipped list \"{name}\" is broken: {first}"), None);
                continue;
            }
        };
        for (group, host) in &list.hosts {
            let parsed = host.get_ref().parse::<Pattern>().and_then(|pattern| pattern.check_width().map(|()| pattern));
            let Some(pattern) = or_report(parsed, span.clone(), problems) else { continue };
            let rule = rule_at(&list.source, &host.span(), host.get_ref().as_str());
            entries.push(Entry {
                list: ListKind::Allow,
                pattern,
                speaks: None,
                until: None,
                report: false,
                intercept: false,
                rule,
                group: Some(group.clone()),
            });
        }
    }
    entries
}

/// An entry of `[addresses]`: an address or a network that some declaration may open.
fn compile_address(written: &Spanned<String>, problems: &mut Problems) -> Option<Entry> {
    let text = written.get_ref();
    let help = "write an address or a network, such as \"10.1.2.0/24\"";
    let parsed = parse_net(text).and_then(|net| {
        net.ok_or_else(|| PatternError { message: format!("not an address or a network: {}", shown(text)), help: Some(help.into()) })
    });
    let net = or_report(parsed, written.span(), problems)?;
    if let Some(class) = addresses::never_opens(net) {
        let help = "loopback, private, shared, documentation and benchmarking networks can be opened";
        problems.error(written.span(), format!("no entry opens {}: it is {class}", shown(text)), Some(help.into()));
        return None;
    }
    let canonical = net.network().to_canonical();
    if net.prefix_len() >= 96 && canonical != net.network() {
        problems.error(written.span(), format!("a mapped address is judged as IPv4: {}", shown(text)), Some("write it as IPv4".into()));
        return None;
    }
    let rule = rule_at(&problems.source, &written.span(), text.as_str());
    let pattern = Pattern::every_port_of(net);
    Some(Entry { list: ListKind::Addresses, pattern, speaks: None, until: None, report: false, intercept: false, rule, group: None })
}

fn rule_at(source: &Source, span: &Range<usize>, entry: impl Into<Arc<str>>) -> RuleRef {
    RuleRef { entry: entry.into(), source: source.name.clone(), line: source.line(span.start) }
}

fn or_report<T>(parsed: Result<T, PatternError>, span: Range<usize>, problems: &mut Problems) -> Option<T> {
    parsed.map_err(|error| problems.error(span, error.message, error.help)).ok()
}

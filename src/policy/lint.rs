//! What a document says that its author may not have meant: warnings, which change no decision.

use std::{collections::HashMap, time::SystemTime};

use toml::Spanned;

use super::{
    addresses::is_local_name,
    compile::Rules,
    credential,
    document::{Access, Document, WrittenEntry},
    patterns::{Depth, HostPattern, Pattern, Ports},
    problem::Problems,
};
use crate::{
    address::{Opening, classify, is_never_opened},
    destination::{Destination, Host},
};

/// Looks over a document as far as it could be read.
pub(super) fn lint(document: &Document, rules: &Rules, problems: &mut Problems) {
    lint_whole(document, rules, problems);
    for (name, list) in [("allow", &document.allow), ("deny", &document.deny), ("control_plane", &document.control_plane)] {
        let entries: Vec<_> = list.iter().filter_map(|written| Some((written, written.host.get_ref().parse().ok()?))).collect();
        lint_duplicates(name, &entries, problems);
        if name == "deny" {
            continue;
        }
        for (written, pattern) in &entries {
            lint_entry(written, pattern, rules, problems);
        }
        lint_foreign_wildcards(&entries, rules, problems);
    }
    lint_includes(document, problems);
    lint_rules(document, rules, problems);
    lint_credentials(document, rules, problems);
}

type Parsed<'a> = (&'a WrittenEntry, Pattern);

fn lint_whole(document: &Document, rules: &Rules, problems: &mut Problems) {
    let all = 0..0;
    if rules.allow.entries().is_empty() && document.level() == Access::Custom && !problems.has_errors() {
        let help = "add allow = [\"example.com\"], or include = [\"trusted\"]";
        problems.warning(all.clone(), "this policy allows nothing", Some(help.into()));
    }
    if document.level() == Access::None {
        if let Some(first) = document.allow.first() {
            let help = "write them to control_plane, or choose another level".to_owned();
            problems.warning(first.host.span(), "entries of allow have no effect at the access level none", Some(help));
        }
        if let Some(first) = document.include.first() {
            problems.warning(first.span(), "include has no effect at the access level none", None);
        }
    }
    if document.report {
        problems.warning(
            all,
            "report mode: what this policy refuses passes all the same",
            Some("remove report = true to enforce it".into()),
        );
    }
}

fn lint_includes(document: &Document, problems: &mut Problems) {
    let mut seen: Vec<&str> = Vec::new();
    if document.access.as_ref().is_some_and(|access| *access.get_ref() == Access::Trusted) {
        seen.push("trusted");
    }
    for name in &document.include {
        if seen.contains(&name.get_ref().as_str()) {
            problems.warning(name.span(), format!("\"{}\" is included already", name.get_ref()), None);
        }
        seen.push(name.get_ref());
    }
}

/// Warns of rules for hosts that nothing allows. Only hosts that are spelled out are looked up.
fn lint_rules(document: &Document, rules: &Rules, problems: &mut Problems) {
    if document.level() == Access::Full {
        return;
    }
    for host in document.rules.iter().flat_map(|rule| &rule.hosts) {
        let Ok(pattern) = host.get_ref().parse::<Pattern>() else { continue };
        let named = pattern.exact_name().map(Host::Name);
        let Some(spelled) = named.or_else(|| host.get_ref().parse().ok().map(Host::Ip)) else { continue };
        let destination = Destination { host: spelled, port: 443 };
        if rules.allow.find(&destination, SystemTime::UNIX_EPOCH).host.is_none() {
            let help = format!("a rule narrows what is allowed; add allow = [\"{pattern}\"]");
            problems.warning(host.span(), format!("the rule for \"{pattern}\" has no effect: nothing allows that host"), Some(help));
        }
    }
}

/// Warns of credentials that nobody can ask with.
fn lint_credentials(document: &Document, rules: &Rules, problems: &mut Problems) {
    for (host, place) in credential::places(&document.credentials) {
        let destination = host.destination();
        let any_name = document.level() == Access::Full && destination.port == 443;
        if !any_name && rules.allow.find(&destination, SystemTime::UNIX_EPOCH).port.is_none() {
            let help = format!("write allow = [\"{host}\"]: a credential allows nothing by itself");
            problems.warning(place.clone(), format!("no entry allows {host}, where a credential is put in"), Some(help));
        }
    }
}

fn lint_duplicates(list: &str, entries: &[Parsed<'_>], problems: &mut Problems) {
    let mut first: HashMap<String, u32> = HashMap::new();
    for (written, pattern) in entries {
        let line = problems.source.line(written.host.span().start);
        if let Some(line) = first.get(&pattern.to_string()) {
            problems.warning(written.host.span(), format!("\"{pattern}\" stands in {list} already, in line {line}"), None);
        } else {
            first.insert(pattern.to_string(), line);
        }
    }
}

fn lint_entry(written: &WrittenEntry, pattern: &Pattern, rules: &Rules, problems: &mut Problems) {
    let span = written.host.span();
    if let Some(deny) = rules.deny.covering(pattern) {
        problems.warning(span.clone(), format!("\"{pattern}\" has no effect: the deny entry {} covers it", deny.rule), None);
    }
    if let Some(suffix) = pattern.shared_suffix() {
        let message = format!("\"{pattern}\" matches names of strangers: anyone may get one under \"{suffix}\"");
        problems.warning(span.clone(), message, Some("write the hosts that are meant".into()));
    }
    lint_unreachable(&written.host, pattern, rules, problems);
    if let (Some(speaks), Ports::Default | Ports::One(443 | 80)) = (&written.speaks, pattern.ports)
        && pattern.contradicts(*speaks.get_ref()).is_none()
    {
        let message = "\"tls\" and \"http\" change nothing here: 443 wants TLS and 80 wants HTTP anyway";
        problems.warning(speaks.span(), message, Some("they are for entries with another port".into()));
    }
    lint_skipped(written, pattern, rules, problems);
    if let HostPattern::Name(name) = &pattern.host
        && name.depth == Depth::Below
        && name.labels.starts_with("*.")
    {
        let help = "\"*.example.com\" matches any depth here; in other tools one label".to_owned();
        problems.warning(span, format!("\"{pattern}\" matches names of at least two labels below"), Some(help));
    }
}

/// Warns of entries that ask for interception of what is never intercepted.
fn lint_skipped(written: &WrittenEntry, pattern: &Pattern, rules: &Rules, problems: &mut Problems) {
    let Some(intercept) = &written.intercept else { return };
    let mut over_tls = pattern.clone();
    if over_tls.ports == Ports::Default {
        over_tls.ports = Ports::One(443);
    }
    if let Some(skip) = rules.skip.covering(&over_tls) {
        let message = format!("\"intercept\" has no effect: {} in [tls] skip goes before it", skip.rule);
        problems.warning(intercept.span(), message, Some("take the host out of one of them".into()));
    }
}

/// Warns of entries that can let nothing through, whatever asks.
fn lint_unreachable(host: &Spanned<String>, pattern: &Pattern, rules: &Rules, problems: &mut Problems) {
    let local = match &pattern.host {
        HostPattern::Name(name) => name.labels.as_ref() == "localhost" || pattern.exact_name().is_some_and(|name| is_local_name(&name)),
        HostPattern::Net(_) => false,
    };
    if local {
        let help = "for loopback write the address, \"127.0.0.1:8080\", and open it in [addresses]";
        problems.warning(
            host.span(),
            format!("\"{pattern}\" has no effect: names of this host and of metadata services are never reached"),
            Some(help.into()),
        );
    }
    let Some(net) = pattern.net() else { return };
    let class = classify(net.network());
    match class.opening() {
        Opening::Never if is_never_opened(net) => {
            problems.warning(host.span(), format!("\"{pattern}\" has no effect: it is {class}, which nothing opens"), None);
        }
        Opening::Loopback if !rules.addresses.declares(net.network()) => {
            let help = format!("add [addresses] allow = [\"{net}\"]");
            problems.warning(host.span(), format!("\"{pattern}\" has no effect: loopback must be opened in [addresses]"), Some(help));
        }
        Opening::Never | Opening::Loopback | Opening::Open | Opening::Declarable => {}
    }
}

/// Warns where a list looks pasted from a tool that reads `*.` otherwise: as one label beside `**.` for more, or as the
/// domain and what is below it.
fn lint_foreign_wildcards(entries: &[Parsed<'_>], rules: &Rules, problems: &mut Problems) {
    let domain = |pattern: &Pattern, depth| match &pattern.host {
        HostPattern::Name(name) if name.depth == depth && !name.is_glob() => Some(name.labels.clone()),
        HostPattern::Name(_) | HostPattern::Net(_) => None,
    };
    let both: Vec<_> = entries.iter().filter_map(|(_, pattern)| domain(pattern, Depth::AtAndBelow)).collect();
    let mut without_apex = Vec::new();
    for (written, pattern) in entries {
        let Some(labels) = domain(pattern, Depth::Below) else { continue };
        if both.contains(&labels) {
            let help = "\"*.\" matches any depth here, and \"**.\" the domain too; in other tools \"*.\" is one label".to_owned();
            problems.warning(written.host.span(), format!("\"{pattern}\" stands beside \"**.{labels}\", which covers it"), Some(help));
        } else if psl::domain_str(&labels) == Some(&labels) && !allows_apex(rules, &labels) {
            without_apex.push((written, labels));
        }
    }
    if let [(first, labels), _, ..] = without_apex.as_slice() {
        let message = format!("\"*.{labels}\" and other wildcards do not match the domain itself, which no entry allows");
        let help = format!("where the list comes from a tool that reads them so, write \"**.{labels}\"");
        problems.warning(first.host.span(), message, Some(help));
    }
}

/// Whether some entry allows the name of a domain itself.
fn allows_apex(rules: &Rules, domain: &str) -> bool {
    let Ok(destination) = Destination::parse(domain.as_bytes(), Some(443)) else { return false };
    rules.allow.find(&destination, SystemTime::UNIX_EPOCH).host.is_some()
}

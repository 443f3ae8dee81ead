//! An effective policy in words, for whoever wrote it and for who is held to it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::{
    audit::rfc3339,
    policy::{Limits, Protocol, RuleRef, Show, ShownCredential, ShownEntry, ShownRule},
};

/// Writes it as text, list by list.
pub(crate) fn write(name: &str, show: &Show, out: &mut dyn Write) -> io::Result<()> {
    let Show { access, access_rule, report, ech, entries, .. } = show;
    let place = access_rule.as_ref().map(|rule| format!("  ({}:{})", rule.source, rule.line)).unwrap_or_default();
    writeln!(out, "policy  {name}\naccess  {access}{place}\nreport  {report}\nech     {}", ech.as_str())?;
    write_limits(&show.limits, out)?;
    let width = entries.iter().map(|entry| entry.pattern.chars().count()).max().unwrap_or_default().min(MAX_WIDTH);
    for list in entries.chunk_by(|one, next| one.list == next.list) {
        for (number, entry) in list.iter().enumerate() {
            if number == 0 {
                writeln!(out, "\n{}", entry.list.as_str())?;
            }
            write_entry(entry, width, out)?;
        }
    }
    write_inside(show, out)
}

/// Writes what becomes of requests that are read: their rules, and the credentials that they get.
pub(crate) fn write_inside(show: &Show, out: &mut dyn Write) -> io::Result<()> {
    let intercepted = intercepted(show);
    if !intercepted.is_empty() {
        writeln!(out, "\nintercepted over TLS\n  {}", intercepted.into_iter().collect::<Vec<_>>().join(", "))?;
    }
    show.rules.iter().try_for_each(|rule| write_rule(rule, out))?;
    write_credentials(&show.credentials, out)?;
    write_content(show, out)
}

pub(crate) fn write_limits(limits: &Limits, out: &mut dyn Write) -> io::Result<()> {
    let &Limits { connections, tunnels, new_connections_per_second, requests_per_second, dns_queries_per_second, .. } = limits;
    write!(out, "limits  connections {connections}, tunnels {tunnels}, a second: ")?;
    write!(out, "connections {new_connections_per_second}, requests {requests_per_second}, names {dns_queries_per_second}")?;
    if let Some(octets) = limits.bytes_per_second {
        write!(out, ", octets each way {octets}")?;
    }
    writeln!(out)?;
    let &Limits { api_calls_per_hour, api_writes_per_hour, api_comments_per_hour, .. } = limits;
    writeln!(out, "api     an hour: calls {api_calls_per_hour}, writes {api_writes_per_hour}, comments {api_comments_per_hour}")?;
    limits.upload_budget.map_or(Ok(()), |octets| writeln!(out, "budget  {octets} octets up"))
}

/// The whole of it as one object.
pub(crate) fn as_json(name: &str, show: &Show) -> Value {
    let Show { access, access_rule, report, ech, limits, entries, .. } = show;
    json!({
        "policy": name,
        "access": access.as_str(),
        "access_rule": access_rule.as_ref().map(rule_to_json),
        "report": report,
        "ech": ech.as_str(),
        "limits": limits_to_json(limits),
        "entries": entries.iter().map(entry_to_json).collect::<Vec<_>>(),
        "intercepted": intercepted(show),
        "rules": rules_to_json(show),
        "credentials": credentials_to_json(show),
        "content": content_to_json(show),
    })
}

/// The hosts whose TLS ends at this proxy, as they are written; what `[tls] skip` excepts is excepted.
pub(crate) fn intercepted(show: &Show) -> BTreeSet<&str> {
    let entries = show.entries.iter().filter(|entry| entry.intercept).map(|entry| entry.pattern.as_str());
    let rules = show.rules.iter().flat_map(|rule| &rule.hosts).map(String::as_str);
    let credentials = show.credentials.iter().flat_map(|credential| &credential.hosts).map(String::as_str);
    // Plain HTTP is read as it is.
    entries.chain(rules).chain(credentials).filter(|host| !host.ends_with(":80")).collect()
}

pub(crate) fn limits_to_json(limits: &Limits) -> Value {
    json!({
        "connections": limits.connections,
        "tunnels": limits.tunnels,
        "new_connections_per_second": limits.new_connections_per_second,
        "requests_per_second": limits.requests_per_second,
        "dns_queries_per_second": limits.dns_queries_per_second,
        "bytes_per_second": limits.bytes_per_second,
        "upload_budget": limits.upload_budget,
        "api_calls_per_hour": limits.api_calls_per_hour,
        "api_writes_per_hour": limits.api_writes_per_hour,
        "api_comments_per_hour": limits.api_comments_per_hour,
    })
}

pub(crate) fn rules_to_json(show: &Show) -> Value {
    show.rules.iter().map(shown_rule_to_json).collect()
}

/// Where credentials are put in, never which or where from.
pub(crate) fn credentials_to_json(show: &Show) -> Value {
    show.credentials.iter().map(credential_to_json).collect()
}

fn write_entry(entry: &ShownEntry, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let ShownEntry { list: _, pattern, speaks, until, report, intercept, rule, group } = entry;
    write!(out, "  {pattern:width$}  {}:{}", rule.source, rule.line)?;
    let more = [
        group.as_ref().map(|group| format!("group {group}")),
        speaks.map(|speaks| format!("speaks {}", protocol(speaks))),
        until.map(|until| format!("until {}", rfc3339(until))),
        report.then(|| "report only".to_owned()),
        intercept.then(|| "intercept".to_owned()),
    ];
    for more in more.iter().flatten() {
        write!(out, "  {more}")?;
    }
    writeln!(out)
}

fn write_rule(rule: &ShownRule, out: &mut dyn Write) -> io::Result<()> {
    let ShownRule { rule, hosts, methods, paths, max_request_body } = rule;
    let any = |items: &[String]| if items.is_empty() { "any".to_owned() } else { items.join(", ") };
    writeln!(out, "\n[[rule]] {}  {}:{}", rule.entry, rule.source, rule.line)?;
    writeln!(out, "  hosts    {}\n  methods  {}\n  paths    {}", hosts.join(", "), any(methods), any(paths))?;
    max_request_body.map_or(Ok(()), |octets| writeln!(out, "  body     at most {octets} octets"))
}

fn write_credentials(credentials: &[ShownCredential], out: &mut dyn Write) -> io::Result<()> {
    if !credentials.is_empty() {
        writeln!(out, "\ncredential")?;
    }
    for ShownCredential { hosts, placement, pin, rule } in credentials {
        let pin = if *pin { "  pin" } else { "" };
        writeln!(out, "  {}  {placement}{pin}  {}:{}", hosts.join(", "), rule.source, rule.line)?;
    }
    Ok(())
}

/// What may not leave, and what is denied beside the entries.
pub(crate) fn content_to_json(show: &Show) -> Value {
    json!({
        "refuse_secrets": show.refuse_secrets.as_ref().map(rule_to_json),
        "blocklists": show.blocklists.iter().map(|(name, entries)| json!({ "list": &**name, "entries": entries })).collect::<Vec<_>>(),
    })
}

fn write_content(show: &Show, out: &mut dyn Write) -> io::Result<()> {
    if show.refuse_secrets.is_none() && show.blocklists.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ncontent")?;
    if let Some(rule) = &show.refuse_secrets {
        writeln!(out, "  no secret may leave, so every host is read that [tls] skip does not name  {}:{}", rule.source, rule.line)?;
    }
    show.blocklists.iter().try_for_each(|(name, entries)| writeln!(out, "  denied by {name}: {entries}"))
}

fn entry_to_json(entry: &ShownEntry) -> Value {
    let ShownEntry { list, pattern, speaks, until, report, intercept, rule, group } = entry;
    json!({
        "list": list.as_str(),
        "pattern": pattern,
        "speaks": speaks.map(protocol),
        "until": until.map(rfc3339),
        "report": report,
        "intercept": intercept,
        "rule": rule_to_json(rule),
        "group": group.as_deref(),
    })
}

fn shown_rule_to_json(rule: &ShownRule) -> Value {
    let ShownRule { rule, hosts, methods, paths, max_request_body } = rule;
    json!({ "rule": rule_to_json(rule), "hosts": hosts, "methods": methods, "paths": paths, "max_request_body": max_request_body })
}

fn credential_to_json(credential: &ShownCredential) -> Value {
    let ShownCredential { hosts, placement, pin, rule } = credential;
    json!({ "hosts": hosts, "placement": placement.to_string(), "pin": pin, "rule": rule_to_json(rule) })
}

/// An entry and where it stands.
pub(crate) fn rule_to_json(rule: &RuleRef) -> Value {
    json!({ "entry": &*rule.entry, "source": &*rule.source, "line": rule.line })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tls => "tls",
        Protocol::Http => "http",
        Protocol::Any => "any",
    }
}

/// Widest column of patterns; a longer one pushes its own line aside.
const MAX_WIDTH: usize = 48;

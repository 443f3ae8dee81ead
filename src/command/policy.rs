//! `tidegate policy`: what is wrong with a policy, and what it comes to.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{ChosenPolicy, Console, DONE, FAILED, REFUSED, report};
use crate::{
    audit::rfc3339,
    policy::{Limits, Policy, Problem, Protocol, RuleRef, Severity, Show, ShownCredential, ShownEntry, ShownRule},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Lint(LintArguments),
    Show(ShowArguments),
}

/// Print every error and warning of policies, with its place
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_LINT)]
pub(super) struct LintArguments {
    /// Print one JSON object a line for each problem
    #[arg(long)]
    json: bool,
    /// The policies
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Print the effective policy, with where each entry comes from
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_SHOW)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    chosen: ChosenPolicy,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn lint(arguments: &LintArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let (mut unreadable, mut problems) = (false, Vec::new());
    for path in &arguments.files {
        match console.read(path) {
            Some(text) => problems
                .append(&mut Policy::parse(&path.display().to_string(), &text).map_or_else(|errors| errors, |(_, warnings)| warnings)),
            None => unreadable = true,
        }
    }
    if arguments.json {
        for problem in &problems {
            writeln!(console.out, "{}", problem_to_json(problem))?;
        }
    } else {
        write!(console.out, "{}", report::render(&problems, console.out_colour))?;
        if !unreadable || !problems.is_empty() {
            console.say(format_args!("{}", report::count(&problems)));
        }
    }
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(if unreadable {
        FAILED
    } else if errors {
        REFUSED
    } else {
        DONE
    })
}

pub(super) fn show(arguments: &ShowArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(policy) = arguments.chosen.load(console) else { return Ok(FAILED) };
    if arguments.json {
        writeln!(console.out, "{}", show_to_json(policy.name(), &policy.show()))?;
    } else {
        write_show(policy.name(), &policy.show(), console.out)?;
    }
    Ok(DONE)
}

fn write_show(name: &str, show: &Show, out: &mut dyn Write) -> io::Result<()> {
    let Show { access, access_rule, report, ech, limits, entries, rules, credentials } = show;
    let Limits { connections, tunnels, new_connections_per_second, requests_per_second } = limits;
    let place = access_rule.as_ref().map(|rule| format!("  ({}:{})", rule.source, rule.line)).unwrap_or_default();
    writeln!(out, "policy  {name}\naccess  {access}{place}\nreport  {report}\nech     {}", ech.as_str())?;
    write!(out, "limits  connections {connections}, tunnels {tunnels}, a second: ")?;
    writeln!(out, "connections {new_connections_per_second}, requests {requests_per_second}")?;
    let width = entries.iter().map(|entry| entry.pattern.chars().count()).max().unwrap_or_default().min(MAX_WIDTH);
    for list in entries.chunk_by(|one, next| one.list == next.list) {
        for (number, entry) in list.iter().enumerate() {
            if number == 0 {
                writeln!(out, "\n{}", entry.list.as_str())?;
            }
            write_entry(entry, width, out)?;
        }
    }
    rules.iter().try_for_each(|rule| write_rule(rule, out))?;
    write_credentials(credentials, out)
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

fn write_entry(entry: &ShownEntry, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let ShownEntry { list: _, pattern, speaks, until, report, rule, group } = entry;
    write!(out, "  {pattern:width$}  {}:{}", rule.source, rule.line)?;
    let more = [
        group.as_ref().map(|group| format!("group {group}")),
        speaks.map(|speaks| format!("speaks {}", protocol(speaks))),
        until.map(|until| format!("until {}", rfc3339(until))),
        report.then(|| "report only".to_owned()),
    ];
    for more in more.iter().flatten() {
        write!(out, "  {more}")?;
    }
    writeln!(out)
}

fn show_to_json(name: &str, show: &Show) -> Value {
    let Show { access, access_rule, report, ech, limits, entries, rules, credentials } = show;
    json!({
        "policy": name,
        "access": access.as_str(),
        "access_rule": access_rule.as_ref().map(rule_to_json),
        "report": report,
        "ech": ech.as_str(),
        "limits": {
            "connections": limits.connections,
            "tunnels": limits.tunnels,
            "new_connections_per_second": limits.new_connections_per_second,
            "requests_per_second": limits.requests_per_second,
        },
        "entries": entries.iter().map(entry_to_json).collect::<Vec<_>>(),
        "rules": rules.iter().map(shown_rule_to_json).collect::<Vec<_>>(),
        "credentials": credentials.iter().map(credential_to_json).collect::<Vec<_>>(),
    })
}

fn credential_to_json(credential: &ShownCredential) -> Value {
    let ShownCredential { hosts, placement, pin, rule } = credential;
    json!({ "hosts": hosts, "placement": placement.to_string(), "pin": pin, "rule": rule_to_json(rule) })
}

fn entry_to_json(entry: &ShownEntry) -> Value {
    let ShownEntry { list, pattern, speaks, until, report, rule, group } = entry;
    json!({
        "list": list.as_str(),
        "pattern": pattern,
        "speaks": speaks.map(protocol),
        "until": until.map(rfc3339),
        "report": report,
        "rule": rule_to_json(rule),
        "group": group.as_deref(),
    })
}

fn shown_rule_to_json(rule: &ShownRule) -> Value {
    let ShownRule { rule, hosts, methods, paths, max_request_body } = rule;
    json!({ "rule": rule_to_json(rule), "hosts": hosts, "methods": methods, "paths": paths, "max_request_body": max_request_body })
}

fn rule_to_json(rule: &RuleRef) -> Value {
    json!({ "entry": &*rule.entry, "source": &*rule.source, "line": rule.line })
}

fn problem_to_json(problem: &Problem) -> Value {
    let (line, column) = problem.line_column();
    json!({
        "source": &*problem.source.name,
        "line": line,
        "column": column,
        "severity": problem.severity.to_string(),
        "message": problem.message,
        "help": problem.help,
    })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tls => "tls",
        Protocol::Http => "http",
        Protocol::Any => "any",
    }
}

pub(super) const AFTER_HELP: &str = "\
Example:
  tidegate policy lint policy.toml";

const AFTER_HELP_LINT: &str = "\
Exit status: 0 no errors, 1 errors, 2 a file cannot be read

Example:
  tidegate policy lint policy.toml";

const AFTER_HELP_SHOW: &str = "\
Example:
  tidegate policy show --access trusted";

/// Widest column of patterns; a longer one pushes its own line aside.
const MAX_WIDTH: usize = 48;

#[cfg(test)]
mod tests;

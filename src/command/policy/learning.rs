//! `tidegate policy suggest` and `tidegate policy diff`: what an audit says about a policy.

use std::{io, path::PathBuf};

use serde_json::{Value, json};

use super::{
    super::{Console, DONE, FAILED, REFUSED},
    records,
};
use crate::{
    policy::learning::{Change, Observations, Replay},
    shown::rule_to_json,
};

/// Print the smallest policy that lets out what an audit recorded
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_SUGGEST)]
pub(in super::super) struct SuggestArguments {
    /// The audit file, best of sessions under a policy with report = true
    #[arg(value_name = "AUDIT")]
    audit: PathBuf,
}

/// Judge recorded requests by two policies, and print those that differ
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_DIFF)]
pub(in super::super) struct DiffArguments {
    /// The policy to compare with
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy that is to come
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The audit file
    #[arg(long, value_name = "AUDIT")]
    audit: PathBuf,
    /// Print one JSON object a line for each change
    #[arg(long)]
    json: bool,
}

pub(in super::super) fn suggest(arguments: &SuggestArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let mut observations = Observations::default();
    let whole = records::for_each(&arguments.audit, console, |recorded| observations.add(recorded));
    if whole || !observations.is_empty() {
        write!(console.out, "{}", observations.suggest())?;
    }
    Ok(if whole { DONE } else { FAILED })
}

pub(in super::super) fn diff(arguments: &DiffArguments, console: &mut Console<'_>) -> io::Result<u8> {
    let policies = [&arguments.old, &arguments.new].map(|path| console.policy(path));
    let [Some(old), Some(new)] = policies else { return Ok(FAILED) };
    let mut replay = Replay::new(&old, &new, (console.clock)());
    let whole = records::for_each(&arguments.audit, console, |recorded| replay.add(recorded));
    let (mut groups, mut changed) = (0, 0);
    for change in replay.changes() {
        (groups, changed) = (groups + 1, changed + change.count);
        if arguments.json {
            writeln!(console.out, "{}", to_json(change))?;
        } else {
            writeln!(console.out, "{}", to_text(change))?;
        }
    }
    if !arguments.json {
        console.say(format_args!("{changed} of {} recorded decisions change", replay.judged()));
    }
    Ok(match (whole, groups) {
        (false, _) => FAILED,
        (true, 0) => DONE,
        (true, _) => REFUSED,
    })
}

fn to_text(change: &Change) -> String {
    let Change { destination, refuses, reason, rule, old_rule, first, count } = change;
    let verdict = if *refuses { "now refused" } else { "now allowed" };
    let by = rule.as_ref().map(|rule| format!("  by {rule}")).unwrap_or_default();
    let before = old_rule.as_ref().map(|rule| format!("  before by {rule}")).unwrap_or_default();
    let first = first.as_ref().map(|(method, path)| format!("  such as {} {}", shown(method), shown(path))).unwrap_or_default();
    format!("{verdict}: {reason} {destination} ×{count}{by}{before}{first}")
}

fn to_json(change: &Change) -> Value {
    let Change { destination, refuses, reason, rule, old_rule, first, count } = change;
    json!({
        "change": if *refuses { "refused" } else { "allowed" },
        "reason": reason.as_str(),
        "host": destination.host.to_string(),
        "port": destination.port,
        "count": count,
        "rule": rule.as_ref().map(rule_to_json),
        "old_rule": old_rule.as_ref().map(rule_to_json),
        "method": first.as_ref().map(|(method, _)| method),
        "path": first.as_ref().map(|(_, path)| path),
    })
}

/// What a sandbox chose, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_default).collect()
}

const AFTER_HELP_SUGGEST: &str = "\
Exit status: 0 done, 2 the audit or a line of it cannot be read

Example:
  tidegate policy suggest audit.jsonl > policy.toml";

const AFTER_HELP_DIFF: &str = "\
Exit status: 0 nothing changes, 1 some verdict does, 2 a file cannot be used

Example:
  tidegate policy diff policy.toml new.toml --audit audit.jsonl";

/// Most of a method or path that is shown, in characters.
const MAX_SHOWN: usize = 100;

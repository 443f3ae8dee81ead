//! `tidegate check`: what the wire would answer, asked offline.

use std::{io, time::SystemTime};

use serde_json::{Value, json};

use super::{ChosenPolicy, Console, DONE, FAILED, REFUSED, api, push, report::shown};
use crate::{
    destination::Destination,
    policy::{Approval, Denial, Policy, Question},
    reason::{Reason, Verdict},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Check {
    Url(Arguments),
    Push(push::Arguments),
    Api(api::Arguments),
}

impl Check {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        match self {
            Self::Url(arguments) => run(arguments, console),
            Self::Push(arguments) => push::run(arguments, console),
            Self::Api(arguments) => api::run(arguments, console),
        }
    }
}

/// Say whether a sandbox may reach each TARGET, and by which rule
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP_URL)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: ChosenPolicy,
    /// Judge a request with this method [URL: GET]
    #[arg(long, value_name = "METHOD")]
    method: Option<http::Method>,
    /// Print one JSON object a line for each target
    #[arg(long)]
    json: bool,
    #[arg(required = true, value_name = "TARGET", help = "https://HOST[:PORT][/PATH], http:// likewise, or HOST[:PORT]")]
    targets: Vec<String>,
}

fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(policy) = arguments.chosen.load(console) else { return Ok(FAILED) };
    let now = (console.clock)();
    let (mut code, mut names) = (DONE, false);
    for target in &arguments.targets {
        let outcome = judge(&policy, target, arguments.method.as_ref().map(http::Method::as_str), now);
        match &outcome {
            Ok((destination, _)) => names |= destination.host.name().is_some(),
            Err(_) => code = REFUSED,
        }
        if arguments.json {
            writeln!(console.out, "{}", to_json(target, &outcome))?;
        } else {
            write!(console.out, "{}", to_text(target, &outcome))?;
        }
    }
    if names && !arguments.json {
        console.say(format_args!("note: no name was resolved; the addresses of an allowed name are judged when it is dialled"));
    }
    Ok(code)
}

/// What a target and its method come to: leave to go to a destination, or the refusal.
type Outcome = Result<(Destination, Approval), Box<Denial>>;

fn judge(policy: &Policy, target: &str, method: Option<&str>, now: SystemTime) -> Outcome {
    let question = Question::parse(target, method)?;
    let approval = question.decide(policy, now)?;
    Ok((question.destination, approval))
}

fn to_text(target: &str, outcome: &Outcome) -> String {
    match outcome {
        Ok((destination, Approval { rule, would_deny })) => {
            let by = rule.as_ref().map_or_else(|| "the access level".to_owned(), ToString::to_string);
            let report = would_deny.map(|reason| format!("{INDENT}report mode: it would be {reason}\n")).unwrap_or_default();
            format!("{:7}{destination}  by {by}\n{report}", Verdict::Allow.as_str())
        }
        Err(denial) => {
            let what = match (&denial.host, denial.port) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (_, _) => shown(target),
            };
            let by = denial.rule.as_ref().map(|rule| format!("  by {rule}")).unwrap_or_default();
            let remedy = denial.allow_with.as_ref().map(|lines| {
                let lines: Vec<_> = lines.lines().collect();
                format!("{INDENT}This would allow it:\n{INDENT}  {}\n", lines.join(&format!("\n{INDENT}  ")))
            });
            let verdict = denial.reason.verdict().as_str();
            format!("{verdict:7}{what}  {}{by}\n{INDENT}{}\n{}", denial.reason, denial.detail, remedy.unwrap_or_default())
        }
    }
}

fn to_json(target: &str, outcome: &Outcome) -> Value {
    let (host, port, reason, rule, would_deny, allow_with, detail) = match outcome {
        Ok((destination, Approval { rule, would_deny })) => {
            let detail = "Its addresses are judged when it is dialled.";
            let detail = destination.host.name().map(|_| detail);
            (Some(&destination.host), Some(destination.port), None, rule.as_ref(), *would_deny, None, detail)
        }
        Err(denial) => {
            let Denial { reason, host, port, address: _, rule, allow_with, detail } = &**denial;
            (host.as_ref(), *port, Some(*reason), rule.as_ref(), None, allow_with.as_deref(), Some(detail.as_str()))
        }
    };
    json!({
        "target": target,
        "host": host.map(ToString::to_string),
        "port": port,
        "verdict": reason.map_or(Verdict::Allow, Reason::verdict).as_str(),
        "reason": reason.map(Reason::as_str),
        "rule": rule.map(|rule| &*rule.entry),
        "source": rule.map(|rule| &*rule.source),
        "line": rule.map(|rule| rule.line),
        "would_deny": would_deny.map(Reason::as_str),
        "allow_with": allow_with,
        "detail": detail,
    })
}

pub(super) const AFTER_HELP: &str = "\
Example:
  tidegate check url --policy policy.toml https://example.com";

const AFTER_HELP_URL: &str = "\
Exit status: 0 all are allowed, 1 one is denied, 2 the policy cannot be used

Example:
  tidegate check url --policy policy.toml https://example.com http://10.0.0.1/";

/// What stands under a verdict.
const INDENT: &str = "       ";

#[cfg(test)]
mod tests;

//! `tidegate policy`: what is wrong with a policy, what it comes to, and what an audit says about it.

mod records;
mod learning;

use std::{io, path::PathBuf};

use serde_json::{Value, json};

use self::learning::{DiffArguments, SuggestArguments};
pub(super) use self::learning::{diff, suggest};
use super::{ChosenPolicy, Console, DONE, FAILED, REFUSED, report};
use crate::{
    policy::{Policy, Problem, Severity},
    shown,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Lint(LintArguments),
    Show(ShowArguments),
    Suggest(SuggestArguments),
    Diff(DiffArguments),
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
        writeln!(console.out, "{}", shown::as_json(policy.name(), &policy.show()))?;
    } else {
        shown::write(policy.name(), &policy.show(), console.out)?;
    }
    Ok(DONE)
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

#[cfg(test)]
mod tests;

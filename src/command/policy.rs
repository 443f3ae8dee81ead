//! `tidegate policy`: what is wrong with a policy, what it comes to, and what an audit says about it.

mod records;
mod learning;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use self::learning::{DiffArguments, SuggestArguments};
pub(super) use self::learning::{diff, suggest};
use super::{ChosenPolicy, Console, DONE, FAILED, REFUSED, report};
use crate::{
    credentials::read_list,
    policy::{Blocklist, Policy, Problem, Problems, Severity, Source},
    shown,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Lint(LintArguments),
    Show(ShowArguments),
    Suggest(SuggestArguments),
    Diff(DiffArguments),
}

/// Print every error and warning of policies and their lists
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
            Some(text) => problems.append(&mut problems_of(path, &text, console)),
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

/// Everything that is wrong with a policy and the lists that it denies, each in its own file.
fn problems_of(path: &Path, text: &str, console: &Console<'_>) -> Vec<Problem> {
    let name = path.display().to_string();
    let (policy, mut found) = match Policy::parse(&name, text) {
        Ok(parsed) => parsed,
        Err(errors) => return errors,
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut unreadable = Problems::new(Arc::new(Source::new(&name, text)));
    for (list, place) in policy.blocklists() {
        match read_list(directory, list, &|path| console.environment.file(path)) {
            Ok(text) => {
                let list = directory.join(list).display().to_string();
                found.append(&mut Blocklist::parse(&list, &text).err().unwrap_or_default());
            }
            Err(why) => unreadable.error(place, why, None),
        }
    }
    found.append(&mut unreadable.into_vec());
    found
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

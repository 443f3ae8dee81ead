//! `tidegate check api`: what a call of GitHub's REST API would be answered.

use std::{io, path::PathBuf};

use serde_json::{Value, json};

use super::{
    Console, DONE, FAILED, REFUSED,
    push::{FIRST, Grants, INDENT},
    report::shown,
};
use crate::{
    destination::{Host, Name},
    github::api::Call,
    policy::{
        Denial, ForgeHosts,
        api::{ApiSession, Known, Made, Step, decide_api, depends_on},
    },
    reason::{Reason, Verdict},
};

/// Say whether a session may make a call of GitHub's REST API
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// A file with one [[session]]
    #[arg(long, value_name = "FILE")]
    session: PathBuf,
    /// The call's body, a JSON object
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[arg(value_name = "METHOD", help = "GET, POST, …")]
    method: String,
    #[arg(value_name = "PATH", help = "Below the API, with its query: /repos/OWNER/NAME/pulls")]
    path: String,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> io::Result<u8> {
    let Some(grants) = Grants::load(&arguments.session, console) else { return Ok(FAILED) };
    let body = match arguments.body.as_ref().map(|file| console.read(file)) {
        None => String::new(),
        Some(Some(text)) => text,
        Some(None) => return Ok(FAILED),
    };
    let answer = if grants.expires.is_some_and(|end| end <= (console.clock)()) {
        Err(Box::new(Denial::new(Reason::SessionExpired, "The session has expired.")))
    } else {
        judge(&grants, &arguments.method, &arguments.path, &body)
    };
    if arguments.json {
        writeln!(console.out, "{}", to_json(arguments, &answer))?;
    } else {
        write!(console.out, "{}", to_text(arguments, &answer))?;
    }
    Ok(if answer.is_ok() { DONE } else { REFUSED })
}

/// What would pass.
struct Allowed {
    /// The row that allows it, once it is known.
    rule: Option<String>,
    /// What more there is to it, as a sentence.
    remark: Option<String>,
}

fn judge(grants: &Grants, method: &str, path: &str, body: &str) -> Result<Allowed, Box<Denial>> {
    let Grants { grant, hosts, .. } = grants;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let call = Call::read(method, &format!("{slash}{path}"), body.as_bytes(), false)
        .map_err(|error| Box::new(Denial::new(error.reason(), format!("The call cannot be judged: {error}."))))?;
    // Where nothing says which hosts there are, repositories without a host are at the usual one.
    let usual = || ForgeHosts::new(Host::parse(FIRST.as_bytes()).ok().and_then(|host| host.name().cloned()));
    let hosts = if hosts.names().is_empty() { &usual() } else { hosts };
    let Some(forge): Option<&Name> = hosts.first() else { return Err(Box::new(Denial::new(Reason::Internal, NO_HOST))) };
    let session = ApiSession { grant, hosts, forge, login: None, made: &Made::default() };
    Ok(match decide_api(&session, &call, &Known::default())? {
        Step::Go(permit) => Allowed { rule: Some(permit.rule().to_string()), remark: None },
        // Nobody is asked here, and all else was judged before.
        Step::Learn(question) => Allowed { rule: None, remark: Some(format!("Only if {}.", depends_on(&question))) },
        Step::Answer(_) => Allowed { rule: None, remark: Some(ANSWERED.to_owned()) },
    })
}

fn to_text(arguments: &Arguments, answer: &Result<Allowed, Box<Denial>>) -> String {
    let what = format!("{} {}", shown(&arguments.method), shown(&arguments.path));
    match answer {
        Ok(Allowed { rule, remark }) => {
            let by = rule.as_ref().map(|rule| format!("  by {rule}")).unwrap_or_default();
            let remark = remark.as_ref().map(|remark| format!("{INDENT}{remark}\n")).unwrap_or_default();
            format!("{:7}{what}{by}\n{remark}", Verdict::Allow.as_str())
        }
        Err(denial) => {
            let by = denial.rule.as_ref().map(|rule| format!("  by {rule}")).unwrap_or_default();
            let lines: Vec<_> =
                denial.allow_with.iter().flat_map(|lines| lines.lines()).map(|line| format!("{INDENT}  {line}\n")).collect();
            let remedy = if lines.is_empty() { String::new() } else { format!("{INDENT}This would allow it:\n{}", lines.concat()) };
            format!("{:7}{what}  {}{by}\n{INDENT}{}\n{remedy}", denial.reason.verdict().as_str(), denial.reason, denial.detail)
        }
    }
}

fn to_json(arguments: &Arguments, answer: &Result<Allowed, Box<Denial>>) -> Value {
    let denial = answer.as_ref().err();
    let (rule, detail) = match answer {
        Ok(Allowed { rule, remark }) => (rule.clone(), remark.clone()),
        Err(denial) => (denial.rule.as_ref().map(ToString::to_string), Some(denial.detail.clone())),
    };
    json!({
        "method": arguments.method,
        "path": arguments.path,
        "verdict": denial.map_or(Verdict::Allow, |denial| denial.reason.verdict()).as_str(),
        "reason": denial.map(|denial| denial.reason.as_str()),
        "rule": rule,
        "allow_with": denial.and_then(|denial| denial.allow_with.as_deref()),
        "detail": detail,
    })
}

const AFTER_HELP: &str = "\
Exit status: 0 it is allowed, 1 it is denied, 2 the file cannot be used

Example:
  tidegate check api --session s.toml --body b.json POST /repos/octo/spoon/pulls";

const ANSWERED: &str = "It is answered by Tidegate itself, and GitHub is not asked.";
const NO_HOST: &str = "There is no GitHub that could be asked.";

#[cfg(test)]
mod tests;

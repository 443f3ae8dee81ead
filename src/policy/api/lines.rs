//! The lines of a table: what is an explanation, what a row, and what neither.

use std::{collections::BTreeSet, fmt};

use super::{Condition, Row, Verdict};
use crate::github::api::Method;

/// What stands in a table: its rows, and the words and conditions that it explains, and what it says of these.
#[derive(Debug, Default)]
struct Lines {
    rows: Vec<Row>,
    words: BTreeSet<Box<str>>,
    conditions: Vec<(Condition, Box<str>)>,
}

/// Where a table is none, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    /// From 1.
    pub line: u32,
    pub fault: Fault,
}

/// Why a line is not one of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It begins with neither a method nor `grant` nor `if`.
    Unknown(Box<str>),
    Template(Box<str>),
    Verdict(Box<str>),
    /// `*` or `/**` in a row that does not refuse.
    Wide(Box<str>),
    /// A word or a condition without an explanation before it, or a condition that there is none of.
    Unexplained(Box<str>),
    /// An explanation of what no row names, or without a text.
    Idle(Box<str>),
    /// A row or an explanation of what another is there for.
    Twice(Box<str>),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.fault {
            Fault::Unknown(text) => write!(f, "\"{text}\" begins no line; write a method or *, grant, if, or # before a remark"),
            Fault::Template(text) => write!(f, "\"{text}\" is no template; write one such as /repos/{{owner}}/{{repo}}/pulls"),
            Fault::Verdict(text) => write!(f, "\"{text}\" is no verdict; write allow, grant WORD, local or deny WHY"),
            Fault::Wide(text) => write!(f, "{text} is allowed by a row for any method or for all below; write one row for each call"),
            Fault::Unexplained(text) => write!(f, "\"{text}\" is not explained; write a line for it before the rows"),
            Fault::Idle(text) => write!(f, "\"{text}\" is explained and no row has it, or its explanation is empty"),
            Fault::Twice(text) => write!(f, "\"{text}\" has a line already"),
        }
    }
}

impl std::error::Error for TableError {}

/// The rows of a table, and the words of `grants` that it explains.
pub(super) fn read(text: &str) -> Result<(Vec<Row>, BTreeSet<Box<str>>), TableError> {
    let mut lines = Lines::default();
    let mut explained = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let fault = |fault| TableError { line, fault };
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        match first {
            "" | "#" | "##" => {}
            "grant" | "if" => explained.push((line, explain(&mut lines, first, rest.trim()).map_err(fault)?)),
            _ => {
                let row = row(line, first, rest.trim()).map_err(fault)?;
                check_explained(&lines, &row.verdict).map_err(fault)?;
                lines.rows.push(row);
            }
        }
    }
    let is_named = |word: &str| lines.rows.iter().any(|row| names(&row.verdict, word)) || explains_by(&lines, word);
    let idle = explained.into_iter().find(|(_, word)| !is_named(word));
    match idle {
        Some((line, word)) => Err(TableError { line, fault: Fault::Idle(word) }),
        None => Ok((lines.rows, lines.words)),
    }
}

/// Takes down what a word means, and returns it.
fn explain(lines: &mut Lines, first: &str, rest: &str) -> Result<Box<str>, Fault> {
    let Some((word, meaning)) = rest.split_once(' ') else { return Err(Fault::Idle(rest.into())) };
    let is_known = if first == "grant" {
        !lines.words.insert(word.into())
    } else {
        let condition = Condition::parse(word).ok_or_else(|| Fault::Unexplained(word.into()))?;
        lines.conditions.push((condition, meaning.trim().into()));
        lines.conditions.iter().filter(|(known, _)| *known == condition).count() > 1
    };
    if is_known { Err(Fault::Twice(word.into())) } else { Ok(word.into()) }
}

fn row(line: u32, method: &str, rest: &str) -> Result<Row, Fault> {
    let method = match method {
        "*" => None,
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        "PATCH" => Some(Method::Patch),
        "DELETE" => Some(Method::Delete),
        other => return Err(Fault::Unknown(other.into())),
    };
    let (template, verdict) = rest.split_once(' ').unwrap_or((rest, ""));
    if !is_template(template) {
        return Err(Fault::Template(template.into()));
    }
    let verdict = read_verdict(verdict.trim())?;
    let is_wide = method.is_none() || template.ends_with("**");
    if is_wide && !matches!(verdict, Verdict::Deny(_)) {
        return Err(Fault::Wide(template.into()));
    }
    Ok(Row { line, method, template: template.into(), verdict })
}

/// Segments after slashes: words and names, and `**` at the end.
fn is_template(text: &str) -> bool {
    let Some(segments) = text.strip_prefix('/') else { return false };
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let is_segment = |text: &str| is_plain(text.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(text));
    let plain = segments.strip_suffix("/**").unwrap_or(segments);
    segments.is_empty() || plain.split('/').all(is_segment)
}

fn read_verdict(text: &str) -> Result<Verdict, Fault> {
    let fault = || Fault::Verdict(text.into());
    if let Some(why) = text.strip_prefix("deny ") {
        return Ok(Verdict::Deny(why.trim().into()));
    }
    let (verdict, condition) = match text.split_once(" if ") {
        Some((verdict, word)) => (verdict, Some(Condition::parse(word).ok_or_else(|| Fault::Unexplained(word.into()))?)),
        None => (text, None),
    };
    match (verdict.split_once(' '), condition) {
        (None, condition) if verdict == "allow" => Ok(Verdict::Allow(condition)),
        (None, None) if verdict == "local" => Ok(Verdict::Local),
        (Some(("grant", word)), condition) if !word.contains(' ') => Ok(Verdict::Grant(word.into(), condition)),
        _ => Err(fault()),
    }
}

fn check_explained(lines: &Lines, verdict: &Verdict) -> Result<(), Fault> {
    let (word, condition) = words_of(verdict);
    if let Some(word) = word.filter(|word| !lines.words.contains(*word)) {
        return Err(Fault::Unexplained(word.into()));
    }
    match condition.filter(|condition| !lines.conditions.iter().any(|(known, _)| known == condition)) {
        Some(condition) => Err(Fault::Unexplained(condition.as_str().into())),
        None => Ok(()),
    }
}

fn names(verdict: &Verdict, word: &str) -> bool {
    let (granted, condition) = words_of(verdict);
    granted == Some(word) || condition.is_some_and(|condition| condition.as_str() == word)
}

/// Whether a condition depends on a word.
fn explains_by(lines: &Lines, word: &str) -> bool {
    let quoted = format!("`{word}`");
    lines.conditions.iter().any(|(_, meaning)| meaning.contains(&quoted))
}

/// The word that has to be granted, and the condition.
fn words_of(verdict: &Verdict) -> (Option<&str>, Option<Condition>) {
    match verdict {
        Verdict::Allow(condition) => (None, *condition),
        Verdict::Grant(word, condition) => (Some(word), *condition),
        Verdict::Local | Verdict::Deny(_) => (None, None),
    }
}

//! What is wrong with a document, and where.

use std::{fmt, ops::Range, sync::Arc};

/// A text with the name under which its reader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A path as given, or a shipped list such as `lists/trusted`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Box<str>,
    /// Where each line begins.
    lines: Box<[usize]>,
}

impl Source {
    /// A text under a name.
    pub fn new(name: &str, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        Self { name: name.into(), text: text.into(), lines }
    }

    /// Line and column (in characters) of an octet of the text, both from 1. Past the end is the end.
    pub fn line_column(&self, offset: usize) -> (u32, u32) {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// The line of an octet of the text, from 1.
    pub fn line(&self, offset: usize) -> u32 {
        self.line_column(offset).0
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The document is not used.
    Error,
    /// The document is used, and may not mean what its author meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, with its place and, where there is one, the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, with the offending input.
    pub message: String,
    /// Where it stands.
    pub source: Arc<Source>,
    /// Octets of the source's text.
    pub span: Range<usize>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// Line and column where it begins, both from 1.
    pub fn line_column(&self) -> (u32, u32) {
        self.source.line_column(self.span.start)
    }
}

/// `NAME:LINE:COLUMN: error: MESSAGE`, and the help on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}: {}: {}", self.source.name, self.severity, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// The problems of one source as they are found.
#[derive(Debug)]
pub(crate) struct Problems {
    pub(crate) source: Arc<Source>,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, found: Vec::new() }
    }

    pub(crate) fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, span, message.into(), help);
    }

    pub(crate) fn warning(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Warning, span, message.into(), help);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether an error lies within a part of the text.
    pub(crate) fn has_errors_in(&self, span: &Range<usize>) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error && span.contains(&problem.span.start))
    }

    /// All of them, in the order of the text.
    pub(crate) fn into_vec(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.span.start, problem.severity));
        self.found
    }

    fn push(&mut self, severity: Severity, span: Range<usize>, message: String, help: Option<String>) {
        self.found.push(Problem { severity, message, source: self.source.clone(), span, help });
    }
}

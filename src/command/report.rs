//! Problems as a person reads them: the place, the line with a caret under it, the way out.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use crate::{
    config::Environment,
    policy::{Problem, Severity},
};

/// Whether a text may carry the colours of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Terminal,
}

impl Colour {
    /// What suits an output, given whether it is a terminal; `NO_COLOR` rules colours out (no-color.org).
    pub(super) fn on(terminal: bool, environment: &dyn Environment) -> Self {
        let refused = environment.variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        if terminal && !refused { Self::Terminal } else { Self::Plain }
    }
}

/// Every problem with its place, an empty line after each.
pub(super) fn render(problems: &[Problem], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Plain => Renderer::plain(),
        Colour::Terminal => Renderer::styled(),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    problems.iter().map(|problem| renderer.render(&report(problem)) + "\n\n").collect()
}

/// `1 error, 2 warnings`.
pub(super) fn count(problems: &[Problem]) -> String {
    let count = |severity, one: &str| {
        let count = problems.iter().filter(|problem| problem.severity == severity).count();
        format!("{count} {one}{}", if count == 1 { "" } else { "s" })
    };
    format!("{}, {}", count(Severity::Error, "error"), count(Severity::Warning, "warning"))
}

fn report(problem: &Problem) -> Vec<Group<'_>> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (path, title) = (&*problem.source.name, level.primary_title(&*problem.message));
    // What concerns a document as a whole stands at its beginning; there is no line to show then.
    let body = if problem.span.is_empty() && problem.span.start == 0 {
        title.element(Origin::path(path))
    } else {
        let place = AnnotationKind::Primary.span(visible(problem));
        title.element(Snippet::source(&*problem.source.text).path(path).annotation(place))
    };
    let help = problem.help.as_ref().map(|help| Group::with_title(Level::HELP.secondary_title(help)));
    std::iter::once(body).chain(help).collect()
}

/// The part of a problem's place on its first line: a caret under each of ten lines helps nobody.
fn visible(problem: &Problem) -> std::ops::Range<usize> {
    let span = problem.span.clone();
    let first_line = problem.source.text.get(span.clone()).map_or(span.len(), |text| text.find('\n').unwrap_or(text.len()));
    span.start..span.start + first_line
}

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
    let (line, column) = problem.line_column();
    let [line, column] = [line, column].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let body = if problem.span.is_empty() && problem.span.start == 0 {
        title.element(Origin::path(path))
    } else if may_hold_password(problem.source.text.lines().nth(line.saturating_sub(1)).unwrap_or_default()) {
        title.element(Origin::path(path).line(line).char_column(column))
    } else {
        let place = AnnotationKind::Primary.span(visible(problem));
        title.element(Snippet::source(&*problem.source.text).path(path).annotation(place))
    };
    let help = problem.help.as_ref().map(|help| Group::with_title(Level::HELP.secondary_title(help)));
    std::iter::once(body).chain(help).collect()
}

/// Whether a URL of this line has user information, or something else than a port behind a colon where the rest was forgotten.
fn may_hold_password(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let authority = rest.split(['"', '\'', '/', '?', '#', ' ']).next().unwrap_or_default();
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        rest.contains('@') || !port.bytes().all(|byte| byte.is_ascii_digit() || byte == b']')
    })
}

/// The part of a problem's place on its first line: a caret under each of ten lines helps nobody.
fn visible(problem: &Problem) -> std::ops::Range<usize> {
    let span = problem.span.clone();
    let first_line = problem.source.text.get(span.clone()).map_or(span.len(), |text| text.find('\n').unwrap_or(text.len()));
    span.start..span.start + first_line
}

/// An argument for a terminal: bounded, and without what is no print.
pub(super) fn shown(argument: &str) -> String {
    argument.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// Most of an argument that is shown, in characters.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::Source;

    fn shown(text: &str) -> String {
        let start = text.find('"').unwrap_or_default();
        let source = Arc::new(Source::new("serve.toml", text));
        let (message, help) = ("no such thing".into(), Some("write another".into()));
        render(&[Problem { severity: Severity::Error, message, source, span: start..text.len(), help }], Colour::Plain)
    }

    #[test]
    fn a_line_that_may_hold_a_password_is_not_shown() {
        for url in ["http://u:hunter2@p.example:3128", "https://u:hunter2@p.example", "http://u:hunter2", "http://u:hun@p:1/ter2"] {
            let expected = "error: no such thing\n--> serve.toml:2:9\n |\nhelp: write another\n\n";
            assert_eq!(shown(&format!("[upstream]\nproxy = \"{url}\"")), expected, "{url}");
        }
        for url in ["http://p.example:3128", "https://p.example/path", "http://[::1]", "http://[::1]:3128", "a@b"] {
            assert!(shown(&format!("[upstream]\nproxy = \"{url}\"")).contains(&format!("2 | proxy = \"{url}\"")), "{url}");
        }
    }
}

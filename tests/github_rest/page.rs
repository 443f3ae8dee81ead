//! `docs/rest.md`, made of the table.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use tidegate::{
    github::api::Method,
    policy::api::{Condition, Row, Table, Verdict},
};

#[test]
fn the_page_is_up_to_date() {
    let page = fs::read_to_string(page()).unwrap();
    assert!(page == rendered(&page), "docs/rest.md is not what policies/github/rest.txt says; {HOW}");
}

#[test]
#[ignore = "writes docs/rest.md"]
fn the_page_is_written() {
    let before = fs::read_to_string(page()).unwrap();
    fs::write(page(), rendered(&before)).unwrap();
}

const HOW: &str = "to write it: cargo test --test github_rest -- --ignored --exact page::the_page_is_written";

pub(crate) const METHODS: [(&str, Method); 5] =
    [("GET", Method::Get), ("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch), ("DELETE", Method::Delete)];

/// A verdict as the table has it.
pub(crate) fn spell(verdict: &Verdict) -> String {
    let condition = |condition: &Option<Condition>| condition.map_or_else(String::new, |it| format!(" if {}", it.as_str()));
    match verdict {
        Verdict::Allow(only_if) => format!("allow{}", condition(only_if)),
        Verdict::Grant(word, only_if) => format!("grant {word}{}", condition(only_if)),
        Verdict::Local => "local".to_owned(),
        Verdict::Deny(why) => format!("deny {why}"),
    }
}

/// The page with the table between its markers.
fn rendered(page: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("a marker where the table begins");
    let (_, after) = rest.split_once(END).expect("a marker where it ends");
    let mut text = String::new();
    let mut rows = Table::shipped().rows().iter().peekable();
    let mut above = "";
    for (line, written) in (1..).zip(TABLE.lines()) {
        if let Some(row) = rows.next_if(|row| row.line == line) {
            head(&mut text, &mut above, "row");
            let _ = writeln!(text, "{}", rendered_row(row));
        } else if let Some(title) = written.strip_prefix("## ") {
            let _ = write!(text, "\n## {title}\n");
            above = title;
        } else if let Some((first @ ("grant" | "if"), rest)) = written.split_once(' ') {
            head(&mut text, &mut above, first);
            let (word, meaning) = rest.trim().split_once(' ').unwrap();
            let _ = writeln!(text, "| `{word}` | {} |", meaning.trim());
        }
    }
    format!("{before}{BEGIN}\n{text}\n{END}{after}")
}

/// Begins a table of these lines, unless the last line was one of them.
fn head<'t>(text: &mut String, above: &mut &'t str, kind: &'t str) {
    if *above != kind {
        let _ = match kind {
            "row" => write!(text, "\n| call | |\n|---|---|\n"),
            "grant" => write!(text, "\n## Words of `grants`\n\n| word | what for |\n|---|---|\n"),
            _ => write!(text, "\n## Conditions\n\n| condition | holds where |\n|---|---|\n"),
        };
        *above = kind;
    }
}

fn rendered_row(row: &Row) -> String {
    let method = METHODS.iter().find(|(_, method)| row.method == Some(*method)).map_or("any", |(word, _)| word);
    let verdict = match &row.verdict {
        Verdict::Deny(why) => format!("refused: {why}"),
        Verdict::Local => "answered here".to_owned(),
        Verdict::Allow(None) => "allowed".to_owned(),
        Verdict::Allow(Some(condition)) => format!("allowed if `{}`", condition.as_str()),
        Verdict::Grant(word, None) => format!("by `{word}`"),
        Verdict::Grant(word, Some(condition)) => format!("by `{word}`, if `{}`", condition.as_str()),
    };
    format!("| `{method} {}` | {verdict} |", row.template)
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rest.md")
}

const TABLE: &str = include_str!("../../policies/github/rest.txt");
const BEGIN: &str = "<!-- table: written by tests/github_rest/page.rs -->";
const END: &str = "<!-- end of the table -->";

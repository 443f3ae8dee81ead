//! A tree of the words of the templates. Every way through it that fits a path is tried; there are few.

use std::ops::Range;

use super::Row;
use crate::github::api::Method;

/// What a segment of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'t> {
    Word(&'t str),
    Name(&'t str, Kind),
}

/// What may stand where a template has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number as GitHub counts things: digits, without a zero before them.
    Number,
    /// One segment.
    Text,
    /// One segment, in which slashes may be escaped.
    Escaped,
    /// One segment or more.
    Several,
}

impl<'t> Place<'t> {
    pub(super) fn of(segment: &'t str) -> Self {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return Self::Word(segment) };
        let is_number = (name.ends_with("_id") || name.ends_with("_number")) && !WRITTEN.contains(&name);
        let kind = match name {
            _ if SEVERAL.contains(&name) => Kind::Several,
            _ if ESCAPED.contains(&name) => Kind::Escaped,
            _ if is_number => Kind::Number,
            _ => Kind::Text,
        };
        Self::Name(name, kind)
    }
}

/// What a part of a path is, between two slashes however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'p> {
    pub(super) text: &'p str,
    /// The slash behind it is escaped.
    pub(super) is_escaped: bool,
}

/// What GitHub's description marks as several segments.
const SEVERAL: &[&str] = &["basehead", "branch", "commit_sha", "dir", "path", "ref", "tag", "tree_sha"];
/// What is named by people, who put slashes into names of labels and environments.
const ESCAPED: &[&str] = &["concurrency_group_name", "environment_name", "name"];
/// What is called an id and is no number, or may be something else.
const WRITTEN: &[&str] = &["ghsa_id", "workflow_id"];

/// The segments of a template, without a `**` at its end.
pub(super) fn places(template: &str) -> impl Iterator<Item = Place<'_>> {
    template.split('/').filter(|segment| !matches!(*segment, "" | "**")).map(Place::of)
}

/// The rows of a table by the words of their templates.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// In the order of the words.
    words: Vec<(Box<str>, Tree)>,
    number: Option<Box<Tree>>,
    text: Option<Box<Tree>>,
    escaped: Option<Box<Tree>>,
    several: Option<Box<Tree>>,
    /// The rows whose templates end here.
    whole: Vec<(Option<Method>, u32)>,
    /// Those that stand for all below as well.
    below: Vec<(Option<Method>, u32)>,
}

/// The row that a path fits best, and which of its parts stand in the one place that takes slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) row: u32,
    pub(super) slashed: Range<usize>,
    /// How specific it is: its words, whether it is no `**`, whether it names the method.
    rank: (usize, bool, bool),
}

/// There is a row for the same calls.
#[derive(Debug)]
pub(super) struct Twice;

impl Tree {
    /// # Errors
    /// Another row stands for the same calls.
    pub(super) fn insert(&mut self, row: &Row, number: u32) -> Result<(), Twice> {
        if let Some(folder) = row.template.strip_suffix("/{path}") {
            self.put(folder, row, number)?; // the folder at the top, whose path is empty
        }
        self.put(&row.template, row, number)
    }

    fn put(&mut self, template: &str, row: &Row, number: u32) -> Result<(), Twice> {
        let end = places(template).fold(self, Self::child);
        let rows = if template.ends_with("**") { &mut end.below } else { &mut end.whole };
        if rows.iter().any(|(method, _)| *method == row.method) {
            return Err(Twice);
        }
        rows.push((row.method, number));
        Ok(())
    }

    fn child(&mut self, place: Place<'_>) -> &mut Self {
        let word = match place {
            Place::Word(word) => word,
            Place::Name(_, Kind::Number) => return self.number.get_or_insert_default(),
            Place::Name(_, Kind::Text) => return self.text.get_or_insert_default(),
            Place::Name(_, Kind::Escaped) => return self.escaped.get_or_insert_default(),
            Place::Name(_, Kind::Several) => return self.several.get_or_insert_default(),
        };
        let at = self.words.partition_point(|(known, _)| **known < *word);
        if self.words.get(at).is_none_or(|(known, _)| **known != *word) {
            self.words.insert(at, (word.into(), Self::default()));
        }
        &mut self.words[at].1
    }

    /// The most specific row for a path.
    pub(super) fn find(&self, method: Method, parts: &[Part<'_>]) -> Option<Found> {
        let mut search = Search { method, parts, best: None };
        search.walk(self, 0, 0, 0..0);
        search.best
    }
}

struct Search<'p> {
    method: Method,
    parts: &'p [Part<'p>],
    best: Option<Found>,
}

impl Search<'_> {
    /// Every way on from where `at` parts are taken, of these `words` by words, and `slashed` by the place that takes slashes.
    fn walk(&mut self, tree: &Tree, at: usize, words: usize, slashed: Range<usize>) {
        self.offer(&tree.below, (words, false), &slashed);
        let Some(part) = self.parts.get(at) else { return self.offer(&tree.whole, (words, true), &slashed) };
        if let Ok(found) = tree.words.binary_search_by(|(word, _)| (**word).cmp(part.text)) {
            self.walk(&tree.words[found].1, at + 1, words + 1, slashed.clone());
        }
        if let Some(next) = tree.number.as_deref().filter(|_| is_number(part.text)) {
            self.walk(next, at + 1, words, slashed.clone());
        }
        if let Some(next) = tree.text.as_deref() {
            self.walk(next, at + 1, words, slashed);
        }
        if let Some(next) = tree.escaped.as_deref() {
            let end = at + 1 + self.parts.iter().skip(at).take_while(|part| part.is_escaped).count();
            self.walk(next, end, words, at..end);
        }
        if let Some(next) = tree.several.as_deref() {
            for end in at + 1..=self.parts.len() {
                self.walk(next, end, words, at..end);
            }
        }
    }

    fn offer(&mut self, rows: &[(Option<Method>, u32)], (words, whole): (usize, bool), slashed: &Range<usize>) {
        for (method, row) in rows.iter().filter(|(method, _)| method.is_none_or(|method| method == self.method)) {
            let rank = (words, whole, method.is_some());
            if self.best.as_ref().is_none_or(|best| best.rank < rank) {
                self.best = Some(Found { row: *row, slashed: slashed.clone(), rank });
            }
        }
    }
}

fn is_number(part: &str) -> bool {
    part.len() <= MAX_DIGITS && part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
}

/// Of a number that GitHub counts by: each fits into 63 bits.
const MAX_DIGITS: usize = 18;

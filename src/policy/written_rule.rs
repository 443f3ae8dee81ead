//! A `[[rule]]` of a document as written.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

use super::{problem::Problems, table::Table};

/// One `[[rule]]`.
#[derive(Debug)]
pub(super) struct WrittenRule {
    pub(super) span: Range<usize>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) hosts: Vec<Spanned<String>>,
    pub(super) methods: Vec<Spanned<String>>,
    pub(super) paths: Vec<Spanned<String>>,
    /// In octets.
    pub(super) max_request_body: Option<u64>,
}

impl WrittenRule {
    pub(super) fn parse(value: Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self> {
        let mut table = Table::of(value, "an element of \"rule\"", problems)?;
        let span = table.span.clone();
        let rule = Self {
            name: table.string("name", problems),
            hosts: table.strings("hosts", problems),
            methods: table.strings("methods", problems),
            paths: table.strings("paths", problems),
            max_request_body: table.octets("max_request_body", problems),
            span: span.clone(),
        };
        table.finish(&[], problems);
        if rule.hosts.is_empty() && !problems.has_errors_in(&span) {
            problems.error(span, "a rule names \"hosts\"", Some("write hosts = [\"example.com\"]".into()));
        }
        Some(rule)
    }
}

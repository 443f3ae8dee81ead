//! What a policy says of contents (`[content]`): that secrets may not leave, and which lists of others it denies.

use std::{ops::Range, sync::Arc};

use toml::Spanned;

use super::{
    blocklist::Blocklist,
    decision::RuleRef,
    problem::{Problems, Source},
    table::Table,
};
use crate::destination::Host;

/// `[content]` as written.
#[derive(Debug, Default)]
pub(super) struct WrittenContent {
    refuse_secrets: Option<Spanned<bool>>,
    blocklists: Vec<Spanned<String>>,
}

impl WrittenContent {
    pub(super) fn parse(mut table: Table<'_>, problems: &mut Problems) -> Self {
        let refuse_secrets = table.boolean("refuse_secrets", problems).filter(|set| *set.get_ref());
        let blocklists = table.strings("blocklists", problems);
        table.finish(&[], problems);
        Self { refuse_secrets, blocklists }
    }
}

/// What is in force of it.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// The key that says that no secret may leave.
    pub(super) refuse_secrets: Option<RuleRef>,
    /// Files, each with its place in the document.
    named: Vec<Spanned<String>>,
    /// None until they were read.
    lists: Option<Arc<[Blocklist]>>,
}

/// The lists that a document names were not read, and what they deny is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread;

impl Content {
    pub(super) fn new(written: &WrittenContent, source: &Source) -> Self {
        let refuse_secrets = written.refuse_secrets.as_ref().map(|set| RuleRef {
            entry: "[content] refuse_secrets".into(),
            source: source.name.clone(),
            line: source.line(set.span().start),
        });
        let lists = written.blocklists.is_empty().then(Arc::default);
        Self { refuse_secrets, named: written.blocklists.clone(), lists }
    }

    /// The lists, each by its name as it is written and its place in the document.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.named.iter().map(|name| (name.get_ref().as_str(), name.span()))
    }

    /// Reads the lists by `read`, which takes a name as it is written.
    ///
    /// # Errors
    /// For each list that cannot be used: where the document names it, and why.
    pub(super) fn read(&mut self, read: impl Fn(&str) -> Result<String, String>) -> Result<(), Vec<(Range<usize>, String)>> {
        let (mut lists, mut problems) = (Vec::new(), Vec::new());
        for named in &self.named {
            let name = named.get_ref();
            let list = read(name).and_then(|text| {
                Blocklist::parse(name, &text).map_err(|found| {
                    let first = found.first().map(ToString::to_string).unwrap_or_default();
                    format!("{first}{}", if found.len() > 1 { format!("; and {} more", found.len() - 1) } else { String::new() })
                })
            });
            match list {
                Ok(list) => lists.push(list),
                Err(problem) => problems.push((named.span(), problem)),
            }
        }
        if problems.is_empty() {
            self.lists = Some(lists.into());
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Each list, and how many entries it has.
    pub(super) fn show(&self) -> Vec<(Arc<str>, usize)> {
        self.lists.iter().flat_map(|lists| lists.iter()).map(|list| (Arc::clone(list.name()), list.len())).collect()
    }

    /// The entry of a list that means a host.
    pub(super) fn find_host(&self, host: &Host) -> Result<Option<RuleRef>, Unread> {
        let lists = self.lists.as_ref().ok_or(Unread)?;
        Ok(lists.iter().find_map(|list| list.find_host(host)))
    }

    /// The lists, where one of them means a part of a host.
    pub(super) fn urls_of(&self, host: &Host) -> Option<Arc<[Blocklist]>> {
        self.lists.as_ref().filter(|lists| lists.iter().any(|list| list.has_urls_of(host))).cloned()
    }
}

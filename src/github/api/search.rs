//! What `q` of a search asks for (`GET /search/…`), as far as it says where is searched.

use std::fmt;

use crate::wire::excerpt;

/// A search without anything that could reach beyond what it names: no `OR`, no negation of a place, no grouping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The values of `repo:`, as they are written.
    pub repositories: Vec<Box<str>>,
    rest: Vec<Box<str>>,
}

impl Search {
    /// Reads a query. Words stand apart by blanks outside of quotation marks; a qualifier is one that is known to narrow a search.
    pub fn read(query: &str) -> Result<Self, SearchError> {
        if let Some(letter) = query.chars().find(|letter| QUOTING.contains(letter)) {
            return Err(SearchError::Letter(letter));
        }
        let mut search = Self { repositories: Vec::new(), rest: Vec::new() };
        for word in ungrouped(words(query)?)? {
            match repository(word)? {
                Some(repository) => search.repositories.push(repository.into()),
                None => search.rest.push(word.into()),
            }
        }
        Ok(search)
    }

    /// The same search in one repository, `owner/name`, and nowhere else.
    pub fn within(&self, repository: &str) -> String {
        let mut words = self.rest.join(" ");
        words.push_str(if words.is_empty() { "repo:" } else { " repo:" });
        words + repository
    }
}

/// What a search could mean more than one thing by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchError {
    /// One that may hide the end of a quotation or be taken for one.
    Letter(char),
    /// A quotation without an end, or one that begins or ends inside a word.
    Quotation,
    /// A word that joins or turns others, or groups them, or is a pattern.
    Operator(Box<str>),
    /// One that is not known to narrow a search.
    Qualifier(Box<str>),
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => write!(f, "quotation marks of a search are plain ones, and it has no \"{}\"", letter.escape_default()),
            Self::Quotation => f.write_str("a quotation in a search is a whole word or the whole value of a qualifier, and has an end"),
            Self::Operator(word) => write!(f, "a search has no operators, groups and patterns, put a text in quotation marks: \"{word}\""),
            Self::Qualifier(word) => {
                write!(f, "a search is narrowed by qualifiers that are known, put a text in quotation marks: \"{word}\"")
            }
        }
    }
}

impl std::error::Error for SearchError {}

fn words(query: &str) -> Result<Vec<&str>, SearchError> {
    let (mut words, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, letter) in query.char_indices() {
        if letter == '"' {
            let (before, after) = (query.get(start..at).unwrap_or_default(), query.get(at + 1..).unwrap_or_default());
            let is_at_edge = if is_quoted { !after.starts_with(|next: char| !next.is_whitespace()) } else { may_quote_after(before) };
            if !is_at_edge {
                return Err(SearchError::Quotation);
            }
            is_quoted = !is_quoted;
        } else if letter.is_whitespace() && !is_quoted {
            words.extend(query.get(start..at));
            start = at + letter.len_utf8();
        }
    }
    words.extend(query.get(start..));
    words.retain(|word| !word.is_empty());
    if is_quoted { Err(SearchError::Quotation) } else { Ok(words) }
}

/// The words without the parentheses that stand apart around some of them, as `gh` sends what it was asked for: without operators these
/// change nothing.
fn ungrouped(mut words: Vec<&str>) -> Result<Vec<&str>, SearchError> {
    let mut is_within = false;
    for word in words.iter().filter(|word| GROUP.contains(word)) {
        if is_within == (*word == GROUP[0]) {
            return Err(SearchError::Operator((*word).into()));
        }
        is_within = !is_within;
    }
    if is_within {
        return Err(SearchError::Operator(GROUP[0].into()));
    }
    words.retain(|word| !GROUP.contains(word));
    Ok(words)
}

/// Whether a quotation may follow what stands of a word: inside of one it begins a quotation to some servers and none to others.
fn may_quote_after(word: &str) -> bool {
    matches!(word, "" | "-") || word.ends_with(':')
}

/// The repository that a word narrows the search to; `None` for a word that narrows it otherwise.
fn repository(word: &str) -> Result<Option<&str>, SearchError> {
    let shown = || excerpt(word.as_bytes());
    let unquoted: String = word.split('"').step_by(2).collect();
    let plain = word.strip_prefix('-').unwrap_or(word);
    let joins = JOINING.iter().any(|joining| joining.eq_ignore_ascii_case(word));
    if joins || plain.is_empty() || plain.starts_with(TURNING) || !unquoted.chars().all(is_plain) {
        return Err(SearchError::Operator(shown()));
    }
    let Some((qualifier, value)) = plain.split_once(':').filter(|(qualifier, _)| !qualifier.contains('"')) else { return Ok(None) };
    let qualifier = qualifier.to_ascii_lowercase();
    match &*qualifier {
        "repo" if word == plain => Ok(Some(value)),
        known if NARROWING.contains(&known) => Ok(None),
        _ => Err(SearchError::Qualifier(shown())),
    }
}

/// Whether a letter outside of quotation marks is one that no server makes a sign with a meaning of.
fn is_plain(letter: char) -> bool {
    if letter.is_ascii() { letter.is_ascii_graphic() && !matches!(letter, '(' | ')' | '|' | '&') } else { letter.is_alphanumeric() }
}

const GROUP: [&str; 2] = ["(", ")"];
const JOINING: &[&str] = &["or", "and", "not", "||", "&&"];
/// What a word may not begin with: of `/` a pattern would.
const TURNING: &[char] = &['-', '+', '!', '/'];
/// Letters that are quotation marks to some, or take that from one.
const QUOTING: &[char] = &['\\', '\u{ab}', '\u{bb}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{301d}', '\u{301e}', '\u{ff02}'];
/// Qualifiers that leave results out and add none.
const NARROWING: &[&str] = &[
    "archived",
    "assignee",
    "author",
    "author-date",
    "author-email",
    "author-name",
    "base",
    "closed",
    "commenter",
    "comments",
    "committer",
    "committer-date",
    "committer-email",
    "committer-name",
    "content",
    "created",
    "draft",
    "extension",
    "filename",
    "hash",
    "head",
    "in",
    "interactions",
    "involves",
    "is",
    "label",
    "language",
    "linked",
    "mentions",
    "merge",
    "merged",
    "milestone",
    "no",
    "parent",
    "path",
    "reactions",
    "reason",
    "review",
    "review-requested",
    "reviewed-by",
    "sha",
    "size",
    "sort",
    "state",
    "status",
    "symbol",
    "tree",
    "type",
    "updated",
];

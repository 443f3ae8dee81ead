//! The table, read once, and looked up by the words of a path: a tree of them, without regular expressions.

use std::{borrow::Cow, collections::BTreeSet, ops::Range, sync::LazyLock};

pub use super::lines::{Fault, TableError};
use super::{
    Row, lines,
    tree::{Found, Kind, Part, Place, Tree, places},
};
use crate::github::api::Method;

/// The rows of a table, in their order.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Row>,
    words: BTreeSet<Box<str>>,
    tree: Tree,
}

impl Table {
    /// The one that the program holds everybody to.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Table> = LazyLock::new(|| Table::parse(SHIPPED_TEXT).unwrap_or_default());
        &SHIPPED
    }

    /// Reads a table; its own head says how one is written.
    ///
    /// # Errors
    /// The first line that is none: no row and no explanation, two rows for the same calls, `*` or `**` in what allows, a word or a
    /// condition that is not explained, or explained and not used.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let (rows, words) = lines::read(text)?;
        let mut tree = Tree::default();
        for (number, row) in (0..).zip(&rows) {
            tree.insert(row, number).map_err(|_| TableError { line: row.line, fault: Fault::Twice(row.template.clone()) })?;
        }
        Ok(Self { rows, words, tree })
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The words of `grants` by which something is opened, each once.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }

    /// The most specific row for a call, and what stands in its path where the template has names. `None` where no row matches: such a
    /// call is refused.
    ///
    /// A slash inside a segment (written `%2F`) divides as one outside does, and may stand only inside what holds slashes: a ref, a branch, a
    /// path, a label. What is named as a number is one.
    pub fn find<'a>(&'a self, method: Method, segments: &'a [Box<str>]) -> Option<(&'a Row, Parameters<'a>)> {
        let parts = divide(segments);
        let Found { row, slashed, .. } = self.tree.find(method, &parts)?;
        let row = self.rows.get(usize::try_from(row).ok()?)?;
        let is_inside = |at| slashed.start <= at && at + 1 < slashed.end;
        let is_sound = parts.iter().enumerate().all(|(at, part)| !part.text.is_empty() && (!part.is_escaped || is_inside(at)));
        is_sound.then(|| (row, Parameters::of(row, &parts, &slashed)))
    }
}

/// The parts of a path, whichever way the slashes between them are written.
fn divide(segments: &[Box<str>]) -> Vec<Part<'_>> {
    let mut parts = Vec::with_capacity(segments.len());
    for segment in segments {
        parts.extend(segment.split('/').map(|text| Part { text, is_escaped: true }));
        if let Some(last) = parts.last_mut() {
            last.is_escaped = false;
        }
    }
    parts
}

/// What stands in a path where the template of its row has names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters<'a> {
    values: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Parameters<'a> {
    /// What stands at `{name}`, decoded; with slashes where it has any.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// What stands at the `{name}` of a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    fn of(row: &'a Row, parts: &[Part<'a>], slashed: &Range<usize>) -> Self {
        let mut at = 0;
        let mut values = Vec::new();
        for place in places(&row.template) {
            let span = match place {
                Place::Name(_, Kind::Escaped | Kind::Several) => slashed.clone(),
                Place::Word(_) | Place::Name(_, Kind::Number | Kind::Text) => at..at + 1,
            };
            at = span.end;
            if let Place::Name(name, _) = place {
                values.push((name, join(parts.get(span).unwrap_or_default())));
            }
        }
        Self { values }
    }
}

fn join<'p>(parts: &[Part<'p>]) -> Cow<'p, str> {
    match parts {
        [one] => Cow::Borrowed(one.text),
        several => Cow::Owned(several.iter().map(|part| part.text).collect::<Vec<_>>().join("/")),
    }
}

const SHIPPED_TEXT: &str = include_str!("../../../policies/github/rest.txt");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Condition, Verdict},
        *,
    };

    /// The line and the parameters that a path finds.
    fn find(table: &Table, method: Method, path: &str) -> Option<(u32, Vec<(String, String)>)> {
        let segments: Vec<Box<str>> = path.split('/').skip(1).map(|segment| segment.replace("%2F", "/").into()).collect();
        let (row, parameters) = table.find(method, &segments)?;
        Some((row.line, parameters.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_owned())).collect()))
    }

    fn line(method: Method, path: &str) -> Option<u32> {
        find(&Table::parse(SMALL).unwrap(), method, path).map(|(line, _)| line)
    }

    const SMALL: &str = "# a remark
grant issues  to open issues
if no_bots    a person
## Rows
GET    /r/{repo}/branches/{branch}              allow
GET    /r/{repo}/branches/{branch}/protection   grant issues
*      /r/{repo}/branches/{branch}/protection/** deny it guards
GET    /r/{repo}/contents/{path}                allow
GET    /r/{repo}/releases/latest                allow
GET    /r/{repo}/releases/{release_id}          allow if no_bots
PATCH  /r/{repo}/releases/{release_id}          grant issues if no_bots
*      /r/{repo}/hooks/**                       deny they outlive the session
GET    /                                        local
DELETE /r/{repo}/labels/{name}                  allow
GET    /user/{account_id}                       allow
*      /user/**                                 deny it is a person's
";

    #[test]
    fn the_most_specific_row_counts() {
        assert_eq!(line(Method::Get, "/r/a/releases/latest"), Some(9));
        assert_eq!(line(Method::Get, "/r/a/releases/7"), Some(10));
        assert_eq!(line(Method::Patch, "/r/a/releases/7"), Some(11));
        assert_eq!(line(Method::Get, "/r/a/branches/main"), Some(5));
        assert_eq!(line(Method::Get, "/r/a/branches/main/protection"), Some(6));
        assert_eq!(line(Method::Put, "/r/a/branches/main/protection"), Some(7));
        assert_eq!(line(Method::Get, "/user/7"), Some(15));
        assert_eq!(line(Method::Get, "/user"), Some(16));
        assert_eq!(line(Method::Get, "/user/keys"), Some(16));
    }

    #[test]
    fn what_no_row_matches_is_not_found() {
        for path in ["/r", "/r/a", "/r/a/releases", "/r/a/releases/latest/x", "/R/a/releases/latest", "/r/a/releases/8a", "/x"] {
            assert_eq!(line(Method::Get, path), None, "{path}");
        }
        for number in ["07", "+7", "-7", "7.0", "", "1234567890123456789"] {
            assert_eq!(line(Method::Get, &format!("/r/a/releases/{number}")), None, "{number}");
        }
        assert_eq!(line(Method::Patch, "/r/a/releases/latest"), None);
        assert_eq!(line(Method::Post, "/r/a/branches/main"), None);
    }

    #[test]
    fn a_slash_divides_whether_it_is_escaped_or_not() {
        let table = Table::parse(SMALL).unwrap();
        let named = |line, branch: &str| Some((line, vec![("repo".to_owned(), "a".to_owned()), ("branch".to_owned(), branch.to_owned())]));
        for path in ["/r/a/branches/topic/one", "/r/a/branches/topic%2Fone"] {
            assert_eq!(find(&table, Method::Get, path), named(5, "topic/one"), "{path}");
        }
        for path in ["/r/a/branches/topic/one/protection", "/r/a/branches/topic%2Fone/protection"] {
            assert_eq!(find(&table, Method::Get, path), named(6, "topic/one"), "{path}");
        }
        assert_eq!(line(Method::Delete, "/r/a/labels/kind%2Fbug"), Some(14));
        assert_eq!(line(Method::Delete, "/r/a/labels/kind/bug"), None);
        // A refusal below a name with slashes holds, however the slashes are written.
        for path in ["/r/a/branches/topic/one/protection/new", "/r/a/branches/main/protection/new"] {
            assert_eq!(line(Method::Get, path), Some(7), "{path}");
        }
        for path in
            ["/r/a%2Fb/branches/main", "/r/a%2Fhooks", "/r/a/releases%2F7", "/r/a/branches/main%2Fprotection", "/r/a%2F/hooks", "/r//hooks"]
        {
            assert_eq!(line(Method::Get, path), None, "{path}");
        }
    }

    #[test]
    fn a_path_may_be_empty() {
        let table = Table::parse(SMALL).unwrap();
        let path = |path| find(&table, Method::Get, path).map(|(line, values)| (line, values.last().unwrap().1.clone()));
        assert_eq!(path("/r/a/contents"), Some((8, String::new())));
        assert_eq!(path("/r/a/contents/src/lib.rs"), Some((8, "src/lib.rs".into())));
        let segments: [Box<str>; 0] = [];
        assert_eq!(table.find(Method::Get, &segments).unwrap().0.line, 13);
    }

    #[test]
    fn what_stands_where_the_template_has_names() {
        let table = Table::parse(SMALL).unwrap();
        let segments: Vec<Box<str>> = ["r", "spoon", "releases", "7"].map(Into::into).into();
        let (row, parameters) = table.find(Method::Patch, &segments).unwrap();
        assert_eq!(row.verdict, Verdict::Grant("issues".into(), Some(Condition::NoBots)));
        assert_eq!((parameters.get("repo"), parameters.number("release_id"), parameters.get("owner")), (Some("spoon"), Some(7), None));
    }

    #[test]
    fn what_is_no_table() {
        let fault = |text: &str| Table::parse(text).map(drop).unwrap_err().to_string();
        let explained = "grant issues to open issues\n";
        assert_eq!(fault("FETCH / allow"), "line 1: \"FETCH\" begins no line; write a method or *, grant, if, or # before a remark");
        for template in ["", "x", "/x/", "/x y", "//x", "/{x", "/x/**/y", "/x/{a}...{b}"] {
            assert!(Table::parse(&format!("GET {template} allow")).is_err(), "{template}");
        }
        for verdict in ["", "alow", "allow if", "local if no_bots", "grant", "grant a b", "deny", "deny "] {
            assert!(fault(&format!("{explained}GET /x {verdict}")).contains("is no verdict"), "{verdict}");
        }
        assert_eq!(fault("GET /x allow if bots"), "line 1: \"bots\" is not explained; write a line for it before the rows");
        assert_eq!(fault("GET /x grant issues"), "line 1: \"issues\" is not explained; write a line for it before the rows");
        assert_eq!(fault(explained), "line 1: \"issues\" is explained and no row has it, or its explanation is empty");
        assert_eq!(fault(&format!("{explained}{explained}")), "line 2: \"issues\" has a line already");
        assert_eq!(fault("GET /x/{a} allow\nGET /x/{b} allow"), "line 2: \"/x/{b}\" has a line already");
        for row in ["* /x allow", "GET /x/** allow", "GET /x/** local"] {
            assert_eq!(fault(row).split(' ').nth(3), Some("is"), "{row}");
            assert!(fault(row).contains("by a row for any method or for all below"), "{row}");
        }
    }

    /// The program's own is one, so that nothing is refused for want of it.
    #[test]
    fn the_shipped_table_is_one() {
        let table = Table::parse(SHIPPED_TEXT).unwrap();
        assert_eq!(table.rows(), Table::shipped().rows());
        let condition = |row: &Row| match row.verdict {
            Verdict::Allow(condition) | Verdict::Grant(_, condition) => condition,
            Verdict::Local | Verdict::Deny(_) => None,
        };
        let used: Vec<_> = table.rows().iter().filter_map(condition).collect();
        let unused: Vec<_> = Condition::ALL.iter().filter(|condition| !used.contains(condition)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    /// Whether a template fits parts, tried in the plainest way: what stands for its next segment, then the rest.
    fn fits(template: &[&str], parts: &[Part<'_>]) -> bool {
        let Some((first, others)) = template.split_first() else { return parts.is_empty() };
        if *first == "**" {
            return parts.iter().all(|part| !part.text.is_empty());
        }
        if *first == "{path}" && parts.is_empty() {
            return fits(others, parts);
        }
        let escapes = |span: &[Part<'_>]| span.iter().rev().skip(1).all(|part| part.is_escaped);
        let ends = |span: &[Part<'_>]| span.last().is_some_and(|part| !part.is_escaped);
        (1..=parts.len()).any(|length| {
            let (span, rest) = parts.split_at(length);
            let full = span.iter().all(|part| !part.text.is_empty());
            let fits_here = match Place::of(first) {
                Place::Word(word) => length == 1 && span[0].text == word,
                Place::Name(_, Kind::Number) => {
                    length == 1 && span[0].text.parse::<u64>().is_ok_and(|number| number.to_string() == span[0].text)
                }
                Place::Name(_, Kind::Text) => length == 1,
                Place::Name(_, Kind::Escaped) => escapes(span),
                Place::Name(_, Kind::Several) => true,
            };
            full && fits_here && (ends(span) || others == ["**"]) && fits(others, rest)
        })
    }

    /// The best rows by reading all of them.
    fn search(table: &Table, method: Method, segments: &[Box<str>]) -> Vec<u32> {
        let parts = divide(segments);
        let fitting = table.rows().iter().filter(|row| row.method.is_none_or(|named| named == method)).filter_map(|row| {
            let template: Vec<_> = row.template.split('/').filter(|segment| !segment.is_empty()).collect();
            let words = places(&row.template).filter(|place| matches!(place, Place::Word(_))).count();
            fits(&template, &parts).then_some(((words, !row.template.ends_with("**"), row.method.is_some()), row.line))
        });
        let fitting: Vec<_> = fitting.collect();
        let best = fitting.iter().map(|(rank, _)| *rank).max();
        fitting.iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, line)| *line).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

        /// The tree finds what reading every row finds; where slashes are escaped, nothing else, or nothing.
        #[test]
        fn the_tree_finds_what_the_rows_say(
            row in any::<prop::sample::Index>(),
            method in prop::sample::select(vec![Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]),
            values in prop::collection::vec(prop::sample::select(VALUES.to_vec()), 8),
            tail in prop::collection::vec(prop::sample::select(VALUES.to_vec()), 0..3),
            cut in 0_usize..3,
        ) {
            let table = Table::shipped();
            let mut values = values.into_iter().cycle();
            let template = &row.get(table.rows()).template;
            let mut segments: Vec<Box<str>> = template.split('/').filter(|segment| !matches!(*segment, "" | "**")).map(|segment| {
                if segment.starts_with('{') { values.next().unwrap_or_default().into() } else { segment.into() }
            }).collect();
            segments.truncate(segments.len().saturating_sub(cut));
            segments.extend(tail.iter().map(|text| Box::from(*text)));
            let found = table.find(method, &segments).map(|(row, _)| row.line);
            let expected = search(table, method, &segments);
            let is_escaped = segments.iter().any(|segment| segment.contains('/'));
            prop_assert!(
                found.map_or(is_escaped || expected.is_empty(), |line| expected.contains(&line)),
                "{method:?} {segments:?}: {found:?} and not {expected:?}"
            );
        }
    }

    const VALUES: &[&str] =
        &["7", "07", "x", "octo", "main", "agent/fix-1", "protection", "latest", "hooks/7", "comments", "pulls", ".git", "a b", "/", ""];
}

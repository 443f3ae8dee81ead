//! Reads Rust as far as the rules need: code without comments, literals and tests, the module tree, and every path.
//!
//! No parser: it relies on the code being formatted by rustfmt and compiled.

use std::collections::BTreeMap;

/// Files by path below `src/`, with `/` between folders.
pub(crate) type Sources = BTreeMap<String, String>;

/// One module, or the binary's `main.rs`.
#[derive(Debug)]
pub(crate) struct Module {
    /// Names from the crate's root; empty for the root itself, `["main"]` for the binary.
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    /// The file without tests; comments and literals are blanks, lines are where they were unless a test stood before.
    pub(crate) code: String,
    /// Names of the child modules, in the order of their `mod` lines.
    pub(crate) children: Vec<String>,
}

/// A path as it stands in code, `use` groups expanded: `["crate", "policy", "Permit"]`. A glob ends in `*`.
pub(crate) type Path = Vec<String>;

/// The modules that `lib.rs` declares, from the root down in the order of the `mod` lines, then `main.rs`. Modules that
/// exist in tests only are left out.
pub(crate) fn modules(sources: &Sources) -> Vec<Module> {
    let mut found = Vec::new();
    collect(sources, "lib.rs", &[], &mut found);
    collect(sources, "main.rs", &["main".into()], &mut found);
    found
}

fn collect(sources: &Sources, file: &str, path: &[String], found: &mut Vec<Module>) {
    let Some(text) = sources.get(file) else { return };
    let code = without_tests(&blank(text));
    let children = declared(&code);
    let folder = match file {
        "lib.rs" | "main.rs" => String::new(),
        other => format!("{}/", other.trim_end_matches(".rs")),
    };
    found.push(Module { path: path.to_vec(), file: file.into(), code, children: children.clone() });
    for child in children {
        let file = format!("{folder}{child}.rs");
        collect(sources, &file, &[path, &[child]].concat(), found);
    }
}

/// The names in `mod name;` lines.
fn declared(code: &str) -> Vec<String> {
    code.lines()
        .filter_map(|line| line.trim().strip_suffix(';')?.rsplit_once("mod ").filter(|(before, _)| is_visibility(before)))
        .map(|(_, name)| name.trim().to_owned())
        .collect()
}

fn is_visibility(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with("pub")
}

/// The same text with comments and the content of string and character literals as blanks. Line breaks stay.
pub(crate) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = out.chars().next_back().is_some_and(is_word);
        let length = opaque_length(rest, after_word);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (opaque, after) = rest.split_at(length);
            out.extend(opaque.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    out
}

/// How many bytes of a comment or literal `text` starts with; 0 where it starts with code.
fn opaque_length(text: &str, after_word: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    if text.starts_with('"') {
        return quoted_length(text, '"');
    }
    if text.starts_with('\'') {
        return character_length(text);
    }
    if !after_word {
        for prefix in ["br", "cr", "r"] {
            if let Some(length) = text.strip_prefix(prefix).and_then(raw_length) {
                return prefix.len() + length;
            }
        }
    }
    0
}

fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character literal, not a lifetime: `'a'`, `'\''`, `'→'`.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => quoted_length(text, '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// What follows the `r` of a raw string: hashes, a quote, anything, a quote, as many hashes.
fn raw_length(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let content = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(content.find(&end).map_or(text.len(), |at| hashes + 1 + at + end.len()))
}

/// Takes out each item below `#[cfg(test)]`, with its attributes. The text must have been through [`blank`].
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST_ONLY) {
        out.push_str(&rest[..at]);
        let item = &rest[at + TEST_ONLY.len()..];
        rest = &item[item_length(item)..];
    }
    out + rest
}

/// Up to the `;` outside of brackets, or the `}` of the first block that stands outside of other brackets.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            let semicolon = usize::from(item[at + 1..].starts_with(';'));
            return at + 1 + semicolon;
        }
    }
    item.len()
}

/// Every path of two or more names, and every `use`, in a text that has been through [`blank`].
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at = expand(&tokens, at + 1, &[], &mut found);
        } else if starts_path(&tokens, at) {
            let mut path = vec![tokens[at].to_owned()];
            at += 1;
            while at + 1 < tokens.len() && tokens[at] == "::" && tokens[at + 1].starts_with(is_word) {
                path.push(tokens[at + 1].to_owned());
                at += 2;
            }
            found.push(path);
        } else {
            at += 1;
        }
    }
    found
}

fn starts_path(tokens: &[&str], at: usize) -> bool {
    let begins = at == 0 || tokens[at - 1] != "::";
    begins && tokens[at].starts_with(is_word) && tokens.get(at + 1) == Some(&"::")
}

/// Expands one `use` tree that starts at `at`; returns the index behind it.
fn expand(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        match tokens[at] {
            "::" => at += 1,
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = if tokens[at] == "," { at + 1 } else { expand(tokens, at, &path, found) };
                }
                return at + 1;
            }
            "as" => at += 2,
            name if name == "*" || name.starts_with(is_word) => {
                if name != "self" || path.is_empty() {
                    path.push(name.to_owned());
                }
                at += 1;
            }
            _ => break,
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    at
}

fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// Whether a word stands in code, whole.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    tokens(code).contains(&word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Each function with the number of lines of code in its body; blank lines and comments do not count, as in clippy's count.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let signature = lines[at..].iter().take_while(|line| !line.trim_end().ends_with(['{', '}', ';'])).count();
        let has_block = lines.get(at + signature).is_some_and(|line| line.trim_end().ends_with('{'));
        let body = lines.iter().skip(at + signature + 1).take_while(|line| **line != end);
        let length = if has_block { body.filter(|line| !line.trim().is_empty()).count() } else { 0 };
        found.push((name.to_owned(), length));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = before.split_whitespace().all(|word| word.starts_with("pub") || QUALIFIERS.contains(&word));
    qualifiers.then(|| after.split(|c| !is_word(c)).next().unwrap_or_default())
}

const TEST_ONLY: &str = "#[cfg(test)]";
const QUALIFIERS: &[&str] = &["const", "async", "unsafe", "extern", "default", "super)", "crate)", "in"];

mod tests {
    use super::{Sources, blank, functions, has_word, modules, paths, without_tests};

    fn words(path: &str) -> Vec<String> {
        path.split("::").map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_literals_are_blank() {
        let text = "a // use crate::b;\n/* x /* y */ z */ b \"use \\\" c\" r#\"d \" e\"# 'f' '\\'' b\"g\" &'h str br\"i\"";
        let code: Vec<String> = blank(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(code, ["a", "b", "b", "&'h", "str"]);
        assert_eq!(blank("\"a\nb\"\nc"), "  \n  \nc");
    }

    #[test]
    fn tests_are_taken_out_whole() {
        let code =
            "a;\n#[cfg(test)]\nmod tests {\n fn b() { c }\n}\nd;\n#[cfg(test)]\n#[path(x)]\nmod e;\nf;\n#[cfg(test)]\nuse g::{h, i};\nj";
        assert_eq!(without_tests(code), "a;\n\nd;\n\nf;\n\nj");
    }

    #[test]
    fn use_groups_are_expanded() {
        let code = "pub(crate) use crate::{a, b::{self, c as d}, e::*};\nuse ::std::{fs,\n    io::{self, Read},\n};\nuse super::f;";
        let expected = ["crate::a", "crate::b", "crate::b::c", "crate::e::*", "std::fs", "std::io", "std::io::Read", "super::f"];
        assert_eq!(paths(code), expected.map(words));
    }

    #[test]
    fn paths_in_code_are_found() {
        let code = "fn f(x: crate::a::B<c::D>) -> e::F { tracing::debug!(x); x.g::<h::I>(); Self::j(); k as l }";
        let expected = ["crate::a::B", "c::D", "e::F", "tracing::debug", "g", "h::I", "Self::j"];
        assert_eq!(paths(code), expected.map(words));
    }

    #[test]
    fn modules_come_in_the_order_of_their_lines() {
        let sources: Sources = [
            ("lib.rs", "pub mod b;\nmod a;\n#[cfg(test)]\nmod only_in_tests;"),
            ("a.rs", "//! mod c;\npub(crate) mod z;\nmod y;\n#[cfg(test)]\nmod tests;"),
            ("a/y.rs", ""),
            ("a/z.rs", ""),
            ("a/tests.rs", ""),
            ("b.rs", ""),
            ("main.rs", "fn main() {}"),
        ]
        .map(|(file, text)| (file.to_owned(), text.to_owned()))
        .into();
        let found: Vec<String> = modules(&sources).iter().map(|module| module.path.join("::")).collect();
        assert_eq!(found, ["", "b", "a", "a::z", "a::y", "main"]);
    }

    #[test]
    fn functions_are_measured() {
        let code = "impl A {\n    pub(super) async fn b(\n        c: D,\n    ) {\n        e;\n\n        if f {\n            g;\n        }\n    }\n    fn h(&self);\n    fn k(\n        l: M,\n    ) -> N;\n}\nfn i() {}\n";
        assert_eq!(functions(code), [("b".to_owned(), 4), ("h".to_owned(), 0), ("k".to_owned(), 0), ("i".to_owned(), 0)]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
    }
}

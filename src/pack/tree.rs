//! Trees: what a directory holds.

use std::collections::BTreeMap;

use super::id::Id;
use crate::github::push::ObjectFormat;

/// What a name in a tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    mode: u32,
    pub(super) id: Id,
}

impl Entry {
    /// Whether it is a directory; else it is a file, a link, or a commit of another repository.
    pub(super) fn is_directory(self) -> bool {
        self.mode & KIND == DIRECTORY
    }

    /// Whether it is a link, or a commit of another repository.
    pub(super) fn leads_elsewhere(self) -> bool {
        !matches!(self.mode & KIND, DIRECTORY | FILE)
    }
}

/// The entries of a tree by their names; `None` where it is none that git writes: a name that leads elsewhere, or that stands twice.
pub(super) fn read(mut content: &[u8], format: ObjectFormat) -> Option<BTreeMap<&[u8], Entry>> {
    let mut entries = BTreeMap::new();
    while !content.is_empty() {
        let space = content.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = content.split_at_checked(space)?;
        let rest = rest.get(1..)?;
        let (name, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?)?;
        let (id, rest) = rest.get(1..)?.split_at_checked(format.digits() / 2)?;
        content = rest;
        if mode.is_empty() || mode.len() > LONGEST_MODE || name.contains(&b'/') || matches!(name, b"" | b"." | b"..") {
            return None;
        }
        let digit = |mode: u32, digit: &u8| matches!(digit, b'0'..=b'7').then(|| mode << 3 | u32::from(digit - b'0'));
        let entry = Entry { mode: mode.iter().try_fold(0, digit)?, id: Id::of(id)? };
        if entries.insert(name, entry).is_some() {
            return None;
        }
    }
    Some(entries)
}

/// The tree of a commit.
pub(super) fn of_commit(content: &[u8], format: ObjectFormat) -> Option<Id> {
    id_behind(content, b"tree ", format)
}

/// What a tag stands for.
pub(super) fn of_tag(content: &[u8], format: ObjectFormat) -> Option<Id> {
    id_behind(content, b"object ", format)
}

fn id_behind(content: &[u8], word: &[u8], format: ObjectFormat) -> Option<Id> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    let digits = line.strip_prefix(word)?;
    (digits.len() == format.digits()).then(|| Id::parse(digits)).flatten()
}

const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
/// Most digits of a mode.
const LONGEST_MODE: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(mode: &str, name: &[u8]) -> Vec<u8> {
        [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()
    }

    #[test]
    fn what_a_tree_holds() {
        let content =
            [line("100644", b"a"), line("40000", b"b"), line("040000", b"c"), line("160000", b"d"), line("120000", b"\xff")].concat();
        let entries = read(&content, ObjectFormat::Sha1).unwrap();
        let directories: Vec<_> = entries.iter().filter(|(_, entry)| entry.is_directory()).map(|(name, _)| *name).collect();
        assert_eq!((entries.len(), directories), (5, vec![&b"b"[..], b"c"]));
        assert!(read(&content, ObjectFormat::Sha256).is_none());
        assert_eq!(read(b"", ObjectFormat::Sha1).unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_tree_of_git_s() {
        for bad in [
            line("100644", b""),
            line("100644", b"."),
            line("40000", b".."),
            line("100644", b"a/b"),
            line("", b"a"),
            line("100648", b"a"),
            line("12345670", b"a"),
            line("100644", b"a").repeat(2),
            [line("100644", b"a"), line("40000", b"a")].concat(),
            line("100644", b"a")[..26].to_vec(),
            b"100644".to_vec(),
        ] {
            assert!(read(&bad, ObjectFormat::Sha1).is_none(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_a_commit_and_a_tag_are_of() {
        let id = "1".repeat(40);
        let of = Id::parse(id.as_bytes());
        assert_eq!(of_commit(format!("tree {id}\nparent x").as_bytes(), ObjectFormat::Sha1), of);
        assert_eq!(of_tag(format!("object {id}\ntype commit\n").as_bytes(), ObjectFormat::Sha1), of);
        for bad in [format!("parent {id}\n"), format!("tree {id}0\n"), format!("\ntree {id}\n"), "tree \n".into()] {
            assert_eq!(of_commit(bad.as_bytes(), ObjectFormat::Sha1), None, "{bad}");
        }
    }
}

//! The words that `grants` of a repository hold: those of the table for calls, and those of pushes, wikis and Git LFS.

use super::{
    api::Table,
    grant::{Capability, Grant, WIKI, WIKI_READ, WORKFLOWS},
    lfs::{FORCED_LOCKS, LOCKS},
};

/// Every word that opens something, by name.
fn known() -> impl Iterator<Item = &'static str> {
    Table::shipped().words().chain([WIKI, WIKI_READ, LOCKS, FORCED_LOCKS, WORKFLOWS])
}

/// What to tell who wrote a word that opens nothing: no whole sentence. `None` for one that opens something.
pub fn warn_of_word(word: &Capability) -> Option<String> {
    let opens = known().any(|known| known == word.as_str());
    (!opens).then(|| format!("\"{word}\" among \"grants\" opens nothing"))
}

/// The words that would open something.
pub fn known_words() -> String {
    let mut all: Vec<_> = known().collect();
    all.sort_unstable();
    all.join(", ")
}

/// A warning for each word of a grant that opens nothing.
pub fn warn_of_words(grant: &Grant) -> Vec<String> {
    let words = grant.repositories().iter().flat_map(|granted| granted.grants.iter().map(move |word| (&granted.name, word)));
    words.filter_map(|(name, word)| Some(format!("{}, of {name}; the words are {}", warn_of_word(word)?, known_words()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        github::api::Method,
        policy::{api::Verdict, app::opens},
    };

    #[test]
    fn words_that_open_nothing_are_told() {
        let granted = r#"[{"name":"o/r","grants":["issues","issue","comments.commands","wiki","lfs.locks.force","workflows"]},
            {"name":"o/s","grants":["wiki.write","actions","merge"]}]"#;
        let told = warn_of_words(&serde_json::from_str(granted).unwrap());
        let first: Vec<_> = told.iter().filter_map(|told| told.split_once(';')).map(|(first, _)| first).collect();
        let expected = [("issue", "o/r"), ("wiki.write", "o/s"), ("actions", "o/s")];
        assert_eq!(first, expected.map(|(word, name)| format!("\"{word}\" among \"grants\" opens nothing, of {name}")));
        assert!(told.iter().all(|told| told.contains("actions.dispatch, actions.rerun, administration.read")), "{told:?}");
    }

    /// Whatever lets something be changed is asked for of GitHub's Apps, too.
    #[test]
    fn what_writes_is_in_the_tokens_of_apps() {
        let writes = Table::shipped().rows().iter().filter(|row| row.method != Some(Method::Get));
        for row in writes {
            if let Verdict::Grant(word, _) = &row.verdict {
                assert!(!opens(word).is_empty(), "{word}: {row:?}");
            }
        }
        assert!([WIKI, LOCKS, FORCED_LOCKS, WORKFLOWS].into_iter().all(|word| !opens(word).is_empty()));
        assert!(opens(WIKI_READ).is_empty());
    }

    /// What is known is known by one spelling, and each can be written.
    #[test]
    fn each_word_can_be_granted() {
        let mut all: Vec<_> = known().collect();
        assert!(all.iter().all(|word| Capability::parse(word).is_ok_and(|word| warn_of_word(&word).is_none())), "{all:?}");
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}

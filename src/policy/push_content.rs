//! What a push to a repository may hold (`content` of a grant): paths that stay as they are, how large it may be, and no secrets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::paths::matches_wildcards;
use crate::pack::{Aspect, Examined, Flaw};

/// The rules of one repository, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentRules {
    /// Paths that no push adds, changes or removes.
    #[serde(default)]
    pub deny_paths: Vec<DeniedPath>,
    /// Octets of the largest file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file: Option<u64>,
    /// Octets of the largest pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pack: Option<u64>,
    /// Whether tokens of known shapes and the real credentials of this process are refused.
    #[serde(default = "refused")]
    pub refuse_secrets: bool,
}

const fn refused() -> bool {
    true
}

impl Default for ContentRules {
    fn default() -> Self {
        Self { deny_paths: Vec::new(), max_file: None, max_pack: None, refuse_secrets: refused() }
    }
}

impl ContentRules {
    /// Whether a path is denied in this respect.
    pub fn concerns(&self, path: &[u8], aspect: Aspect) -> bool {
        self.deny_paths.iter().any(|denied| denied.concerns(path, aspect))
    }

    /// The same for a wiki, whose paths are none of the repository's.
    #[must_use]
    pub fn of_wiki(&self) -> Self {
        Self { deny_paths: Vec::new(), ..self.clone() }
    }

    /// What a push breaks, one entry for each thing that is found, the pack first.
    pub(super) fn judge(&self, examined: &Examined) -> Vec<Broken> {
        let octets = examined.octets();
        let pack = self.max_pack.filter(|most| octets > *most).map(|most| Broken {
            place: "the pack".into(),
            fault: format!("has {octets} octets, more than {most}"),
            rule: "max_pack".into(),
        });
        // Nobody says that of paths which were not compared.
        let unseen = (examined.touched().is_none() && !self.deny_paths.is_empty()).then(|| Broken {
            place: "the push".into(),
            fault: "was not compared with what is there".into(),
            rule: "deny_paths".into(),
        });
        let paths = examined.touched().unwrap_or_default().iter().filter_map(|path| {
            let denied = self.deny_paths.iter().find(|denied| denied.concerns(path, Aspect::Link))?;
            Some(Broken { place: shown(path), fault: "may not be changed".into(), rule: format!("deny_paths \"{denied}\"") })
        });
        let flaws = examined.flaws().iter().filter_map(|found| {
            let (fault, rule) = match found.flaw {
                Flaw::Secret(secret) => (format!("holds {secret}"), Some("refuse_secrets").filter(|_| self.refuse_secrets)?),
                Flaw::Large(octets) => {
                    let most = self.max_file.filter(|most| octets > *most)?;
                    (format!("has {octets} octets, more than {most}"), "max_file")
                }
            };
            let place = found.path.as_deref().map_or_else(|| found.object.clone(), shown);
            Some(Broken { place, fault, rule: rule.into() })
        });
        pack.into_iter().chain(unseen).chain(paths).chain(flaws).collect()
    }
}

/// What is wrong with a push, in words that hold nothing of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// A path, or what else it is in.
    pub(super) place: String,
    pub(super) fault: String,
    /// The key of `content` that says so.
    pub(super) rule: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (content {})", self.place, self.fault, self.rule)
    }
}

/// A path as people read it, and no terminal obeys it.
fn shown(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path).chars().flat_map(char::escape_debug).collect();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    // Its end says most.
    let skipped = text.chars().count() - MAX_SHOWN;
    format!("…{}", text.chars().skip(skipped).collect::<String>())
}

/// A path from the root of a repository, with all that is below it: `*` stands for anything inside a level, a level `**` for any levels,
/// none included. It stands for all names that a file system somewhere takes for the same: in whatever case, and with what HFS+ leaves
/// out of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeniedPath {
    text: Box<str>,
    /// The last one is [`Level::Any`].
    levels: Box<[Level]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    /// `**`
    Any,
    Glob(Box<[u8]>),
}

impl Level {
    /// Whether a [folded] name is meant.
    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Glob(glob) => matches_wildcards(glob, name, |byte| *byte == b'*', |one, other| one == other),
        }
    }
}

impl DeniedPath {
    fn concerns(&self, path: &[u8], aspect: Aspect) -> bool {
        match aspect {
            Aspect::Itself => self.matches(path),
            Aspect::Below => self.reaches_below(path),
            Aspect::Link => self.passes_through(path),
        }
    }

    fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<_> = path.split(|byte| *byte == b'/').map(folded).collect();
        matches_wildcards(&self.levels, &names, |level| *level == Level::Any, |level, name| level.takes(name))
    }

    /// Whether it may match something below a directory; the root is the empty path.
    fn reaches_below(&self, directory: &[u8]) -> bool {
        let names = directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        for (level, name) in self.levels.iter().zip(names) {
            match level {
                Level::Any => return true,
                Level::Glob(_) if level.takes(&folded(name)) => {}
                Level::Glob(_) => return false,
            }
        }
        true
    }

    /// Whether it is meant, or above what is by the levels that are written before any `**`.
    fn passes_through(&self, path: &[u8]) -> bool {
        let mut levels = self.levels.iter().zip(path.split(|byte| *byte == b'/'));
        self.matches(path) || levels.all(|(level, name)| *level != Level::Any && level.takes(&folded(name)))
    }
}

impl FromStr for DeniedPath {
    type Err = DeniedPathError;

    fn from_str(text: &str) -> Result<Self, DeniedPathError> {
        let error = || DeniedPathError(text.chars().take(MAX_SHOWN).collect());
        // As many write a directory.
        let levels = text.strip_suffix('/').unwrap_or(text).split('/').map(|level| match level {
            "**" => Some(Level::Any),
            "" | "." | ".." => None,
            _ if level.contains("**") || level.contains(char::is_control) => None,
            _ => Some(Level::Glob(folded(level.as_bytes()).into())),
        });
        let mut levels = levels.collect::<Option<Vec<_>>>().filter(|_| text.len() <= MAX_PATTERN).ok_or_else(error)?;
        if levels.last() != Some(&Level::Any) {
            levels.push(Level::Any);
        }
        Ok(Self { text: text.into(), levels: levels.into() })
    }
}

impl TryFrom<String> for DeniedPath {
    type Error = DeniedPathError;

    fn try_from(text: String) -> Result<Self, DeniedPathError> {
        text.parse()
    }
}

impl From<DeniedPath> for String {
    fn from(path: DeniedPath) -> Self {
        path.text.into()
    }
}

impl fmt::Display for DeniedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name as file systems that tell no case apart compare it, and HFS+, which ignores some characters.
fn folded(name: &[u8]) -> Vec<u8> {
    let Ok(text) = str::from_utf8(name) else { return name.to_ascii_lowercase() };
    let is_ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let characters = text.chars().filter(|c| !is_ignored(c)).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    characters.collect::<String>().into_bytes()
}

/// What names no path of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedPathError(Box<str>);

impl fmt::Display for DeniedPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "no path of a repository: {text:?}; write one from its root such as \".github/**\", where a level ** stands for any levels"
        )
    }
}

impl std::error::Error for DeniedPathError {}

/// Most octets of a pattern.
const MAX_PATTERN: usize = 255;
/// Most of a path that a refusal shows, in characters.
const MAX_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> DeniedPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_means_what_is_below_it_too() {
        for (pattern, yes, no) in [
            (".github/**", &[".github", ".github/x", ".github/workflows/x.yml"][..], &["github", "a/.github/x", ".github2/x"][..]),
            (".github", &[".github", ".github/x"], &[".githu", "x/.github"]),
            ("docs/", &["docs/a", "docs"], &["doc"]),
            ("**/package.json", &["package.json", "a/b/package.json"], &["package.jsonx", "a/package.json.x"]),
            ("*.yml", &["a.yml", ".yml", "a.yml/b"], &["a/b.yml"]),
            ("a/*/c", &["a/b/c", "a/b/c/d"], &["a/c", "a/b/b/c"]),
            ("**", &["a", "a/b"], &[]),
        ] {
            for name in yes {
                assert!(path(pattern).matches(name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!path(pattern).matches(name.as_bytes()), "{pattern} {name}");
            }
        }
        assert!(path("a*").matches(b"a\xff/x"), "a name need be no text");
    }

    #[test]
    fn a_pattern_means_every_spelling_that_a_file_system_takes_for_it() {
        let denied = path(".github/Kits/**");
        for name in [".GitHub/kits/x", ".github/\u{212a}its/x", ".git\u{200c}hub/kit\u{17f}/x", ".GITHUB/KITS"] {
            assert!(denied.matches(name.as_bytes()), "{name}");
            assert!(denied.reaches_below(name.rsplit_once('/').unwrap().0.as_bytes()), "{name}");
        }
        assert!(!denied.matches(".g\u{ed}thub/kits".as_bytes()));
    }

    #[test]
    fn what_leads_elsewhere_is_no_way_around_a_pattern() {
        let link = |pattern: &str, name: &str| path(pattern).concerns(name.as_bytes(), Aspect::Link);
        assert!(link(".github/workflows/**", ".github") && link(".github/workflows/**", ".GitHub/workflows"));
        assert!(link("a/*/c", "a/b") && link("a/*/c", "a/b/c/d"));
        assert!(!link(".github/workflows/**", "github") && !link(".github/workflows/**", ".github/other"));
        assert!(!link("**/package.json", "a") && link("**/package.json", "a/package.json"), "any link could lead there");
    }

    #[test]
    fn what_is_no_path() {
        for bad in ["", "/", "/a", "a//b", "a/../b", "./a", "a/**b", "a\nb", &"x".repeat(256)] {
            assert!(bad.parse::<DeniedPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_written_as_they_were_read() {
        for text in [
            r#"{"deny_paths":[".github/**"],"max_file":5,"max_pack":6,"refuse_secrets":false}"#,
            r#"{"deny_paths":[],"refuse_secrets":true}"#,
        ] {
            let rules: ContentRules = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&rules).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<ContentRules>("{}").unwrap(), ContentRules::default());
        assert!(serde_json::from_str::<ContentRules>(r#"{"deny_path":[]}"#).is_err());
    }

    proptest! {
        /// Whoever does not look below a directory misses nothing.
        #[test]
        fn every_directory_above_a_denied_path_is_reached(
            pattern in "([ab*]{1,2}|\\*\\*)(/([ab*]{1,2}|\\*\\*)){0,3}", name in "[ab]{1,2}(/[ab]{1,2}){0,4}"
        ) {
            let Ok(denied) = pattern.parse::<DeniedPath>() else { return Ok(()) };
            if denied.matches(name.as_bytes()) {
                for (at, _) in name.match_indices('/').chain([(0, "")]) {
                    prop_assert!(denied.reaches_below(&name.as_bytes()[..at]), "{} {} {}", pattern, name, at);
                }
            }
        }
    }
}

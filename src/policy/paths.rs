//! What a rule says about paths: `*` stands for anything inside a segment, `**` for any number of whole segments, none
//! included (`/v1/**` is `/v1` and all below it).

use std::{fmt, str::FromStr};

use super::patterns::{PatternError, shown};
use crate::wire::path::CanonicalTarget;

/// Which paths a rule is about. Compared with canonical paths, and canonical itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    segments: Box<[Segment]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`
    Any,
    Glob(Box<str>),
}

impl PathPattern {
    /// Whether a canonical path, without query, is one of these.
    pub(super) fn matches(&self, path: &str) -> bool {
        let segments: Vec<&str> = segments(path).collect();
        let is_any = |segment: &Segment| matches!(segment, Segment::Any);
        matches_wildcards(&self.segments, &segments, is_any, |pattern, segment| match pattern {
            Segment::Any => true,
            Segment::Glob(glob) => matches_segment(glob, segment),
        })
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let read = CanonicalTarget::read(text).map_err(|error| PatternError { message: error.to_string(), help: None })?;
        if read.query().is_some() {
            let message = format!("rules judge a path without its query: {}", shown(text));
            return Err(PatternError::new(message, "leave out \"?\" and what follows"));
        }
        let segments = segments(read.path()).map(|segment| match segment {
            "**" => Ok(Segment::Any),
            _ if segment.contains("**") => {
                let message = format!("\"**\" stands for whole segments: {}", shown(text));
                Err(PatternError::new(message, "write \"/**\" or \"/**/\", or one \"*\" inside a segment"))
            }
            _ => Ok(Segment::Glob(segment.into())),
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Any => f.write_str("/**"),
            Segment::Glob(glob) => write!(f, "/{glob}"),
        })
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// The empty segment after a last `/` is not anything: only an empty one matches it.
fn matches_segment(glob: &str, segment: &str) -> bool {
    glob.is_empty() == segment.is_empty()
        && matches_wildcards(glob.as_bytes(), segment.as_bytes(), |&byte| byte == b'*', |one, other| one == other)
}

/// Whether a pattern, some of whose elements stand for any number of elements, matches the whole input. Only the latest
/// of those ever has to be tried again, so the time is at most the product of the lengths.
pub(super) fn matches_wildcards<P, T>(pattern: &[P], input: &[T], is_wild: impl Fn(&P) -> bool, matches: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry = None;
    loop {
        match (pattern.get(at), input.get(place)) {
            (None, None) => return true,
            (Some(element), _) if is_wild(element) => {
                at += 1;
                retry = Some((at, place));
            }
            (Some(element), Some(given)) if matches(element, given) => (at, place) = (at + 1, place + 1),
            (_, _) => {
                let Some((after, from)) = retry.filter(|(_, from)| *from < input.len()) else { return false };
                (at, place) = (after, from + 1);
                retry = Some((at, place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<PathPattern>().unwrap().matches(path)
    }

    #[test]
    fn wildcards_inside_a_segment_and_across() {
        for (pattern, yes, no) in [
            ("/", &["/"][..], &["/a", "/a/"][..]),
            ("/org", &["/org"], &["/org/", "/Org", "/organ", "/", "/x/org"]),
            ("/org/**", &["/org", "/org/", "/org/x", "/org/x/y/"], &["/orga", "/", "/x/org/y"]),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            ("/**/x", &["/x", "/a/x", "/a/b/x"], &["/x/", "/ax", "/x/a"]),
            ("/a/**/z/**/b", &["/a/z/b", "/a/1/z/2/z/3/b"], &["/a/b", "/a/z/b/c"]),
            ("/v*/x", &["/v/x", "/v1/x"], &["/v1/2/x", "/w/x"]),
            ("/*", &["/a", "/a;b"], &["/", "/a/"]),
            ("/a*b*c", &["/abc", "/aXbYbZc"], &["/abcd", "/acb"]),
            ("/%6frg/%c3%a9", &["/org/%C3%A9"], &["/org/%C3%A8"]),
        ] {
            for path in yes {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
            for path in no {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "org", "*", "**", "/a/../b", "/a//b", "/a**", "/**a", "/***", "/a?q", "/a%2fb", "/a b", "/%"] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_slow_matcher(pattern in "(/(\\*\\*|[ab*]{1,4})){1,4}/?", path in "(/[ab]{1,3}){1,5}/?") {
            fn slow(pattern: &[&str], path: &[&str]) -> bool {
                match pattern.split_first() {
                    None => path.is_empty(),
                    Some((&"**", rest)) => (0..=path.len()).any(|taken| slow(rest, &path[taken..])),
                    Some((glob, rest)) => path.split_first().is_some_and(|(segment, after)| {
                        glob.is_empty() == segment.is_empty() && slow_glob(glob.as_bytes(), segment.as_bytes()) && slow(rest, after)
                    }),
                }
            }
            fn slow_glob(glob: &[u8], segment: &[u8]) -> bool {
                match glob.split_first() {
                    None => segment.is_empty(),
                    Some((b'*', rest)) => (0..=segment.len()).any(|taken| slow_glob(rest, &segment[taken..])),
                    Some((byte, rest)) => segment.split_first().is_some_and(|(given, after)| given == byte && slow_glob(rest, after)),
                }
            }
            if let Ok(parsed) = pattern.parse::<PathPattern>() {
                let [parts, given] = [&pattern, &path].map(|text| segments(text).collect::<Vec<_>>());
                prop_assert_eq!(parsed.matches(&path), slow(&parts, &given), "{} {}", pattern, path);
                prop_assert_eq!(parsed.to_string(), pattern);
            }
        }
    }
}

//! From a text to a policy, and what a command line adds on the way.

use std::sync::Arc;

use toml::Spanned;

use super::{
    Policy,
    compile::{Added, Rules, compile_hosts},
    document::{Access, Document},
    index::ListKind,
    lint,
    problem::{Problem, Problems, Source},
};

/// What a command line adds to a document: patterns of hosts, as they would stand there.
#[derive(Debug, Default)]
pub struct Additions {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

impl Policy {
    /// Reads a document known to its reader by `name`, and gives its warnings beside it.
    ///
    /// # Errors
    /// Every error found, and the warnings; a text that is not TOML has one error.
    pub fn parse(name: &str, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        Self::parse_with(name, text, &Additions::default())
    }

    /// The same with what a command line adds.
    ///
    /// # Errors
    /// As above, those of the additions last.
    pub fn parse_with(name: &str, text: &str, additions: &Additions) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut problems = Problems::new(Arc::new(Source::new(name, text)));
        let document = Document::parse(&mut problems);
        let (added, mut wrong) = additions.compile();
        let rules = Rules::compile(&document, added, &mut problems);
        lint::lint(&document, &rules, &mut problems);
        let failed = problems.has_errors() || !wrong.is_empty();
        let mut found = problems.into_vec();
        found.append(&mut wrong);
        if failed { Err(found) } else { Ok((Self::new(&document, rules), found)) }
    }

    /// A level without a document.
    pub fn level(access: Access) -> Self {
        Self::of_level(access, Added::default())
    }

    /// The same with what a command line adds.
    ///
    /// # Errors
    /// Everything that is wrong with the additions.
    pub fn level_with(access: Access, additions: &Additions) -> Result<Self, Vec<Problem>> {
        let (added, wrong) = additions.compile();
        if wrong.is_empty() { Ok(Self::of_level(access, added)) } else { Err(wrong) }
    }

    fn of_level(access: Access, added: Added) -> Self {
        let source = Arc::new(Source::new(&format!("--access {access}"), ""));
        let mut document = Document::empty(source.clone());
        document.access = Some(Spanned::new(0..0, access));
        let rules = Rules::compile(&document, added, &mut Problems::new(source));
        Self { access_rule: None, ..Self::new(&document, rules) }
    }
}

impl Additions {
    /// Entries of the documents `--allow` and `--deny`, in which every pattern has a line, and everything that is wrong with them.
    fn compile(&self) -> (Added, Vec<Problem>) {
        let mut found = Vec::new();
        let mut compile = |option, patterns: &[String], list| {
            let mut problems = Problems::new(Arc::new(Source::new(option, &patterns.join("\n"))));
            let mut start = 0;
            let written = patterns.iter().map(|pattern| {
                let end = start + pattern.len();
                Spanned::new(std::mem::replace(&mut start, end + 1)..end, pattern.clone())
            });
            let entries = compile_hosts(&written.collect::<Vec<_>>(), list, &mut problems);
            found.append(&mut problems.into_vec());
            entries
        };
        let added = Added { allow: compile("--allow", &self.allow, ListKind::Allow), deny: compile("--deny", &self.deny, ListKind::Deny) };
        (added, found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        destination::Destination,
        policy::{Facts, Way},
        reason::Reason,
    };

    fn additions(allow: &[&str], deny: &[&str]) -> Additions {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Additions { allow: owned(allow), deny: owned(deny) }
    }

    /// The rule that lets a destination through, or the reason and rule that does not.
    fn decided(policy: &Policy, destination: &str) -> Result<String, (Reason, String)> {
        let destination = Destination::parse(destination.as_bytes(), Some(443)).unwrap();
        let rule = |rule: Option<&super::super::RuleRef>| rule.map(ToString::to_string).unwrap_or_default();
        match policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: SystemTime::UNIX_EPOCH }) {
            Ok(permit) => Ok(rule(permit.rule())),
            Err(denial) => Err((denial.reason, rule(denial.rule.as_ref()))),
        }
    }

    #[test]
    fn what_is_added_counts_as_if_it_were_written() {
        let added = additions(&["one.example", "db.example:5432"], &["first.example", "*.python.org"]);
        let (document, _) = Policy::parse_with("policy.toml", "allow = ['first.example', 'two.example']", &added).unwrap();
        for policy in [&document, &Policy::level_with(Access::Trusted, &added).unwrap()] {
            assert_eq!(decided(policy, "one.example"), Ok("one.example (--allow:1)".into()));
            assert_eq!(decided(policy, "db.example:5432"), Ok("db.example:5432 (--allow:2)".into()));
            assert_eq!(decided(policy, "first.example"), Err((Reason::HostDenied, "first.example (--deny:1)".into())));
            assert_eq!(decided(policy, "www.python.org"), Err((Reason::HostDenied, "*.python.org (--deny:2)".into())));
        }
        assert_eq!(decided(&document, "two.example"), Ok("two.example (policy.toml:1)".into()));
        let none = Policy::level_with(Access::None, &added).unwrap();
        assert_eq!(decided(&none, "one.example").unwrap_err().0, Reason::NetworkDisabled);
    }

    #[test]
    fn what_is_wrong_with_an_addition_is_said_by_its_number() {
        let added = additions(&["ok.example", "*.com"], &["a b"]);
        let shown = |problems: Vec<Problem>| {
            problems.iter().map(|problem| problem.to_string().lines().next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let expected = shown(Policy::level_with(Access::Trusted, &added).unwrap_err());
        assert_eq!(expected.len(), 2, "{expected:?}");
        assert!(expected[0].starts_with("--allow:2:1: error: "), "{expected:?}");
        assert!(expected[1].starts_with("--deny:1:1: error: "), "{expected:?}");
        assert_eq!(shown(Policy::parse_with("p", "access = 'full'", &added).unwrap_err())[..], expected[..]);
    }
}

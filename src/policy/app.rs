//! What a token of a GitHub App has to be good for: what the session's grant needs of it, and nothing else.

use std::collections::BTreeSet;

use super::{
    base_of,
    grant::{Access, Grant, RepositoryGrant, WIKI, WIKI_READ, WORKFLOWS},
};
use crate::github::{
    RepositoryName,
    app::{Level, METADATA, Permissions},
};

/// A token that a session may use, before it is known what an installation lets it do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenWish {
    repositories: BTreeSet<RepositoryName>,
    permissions: Permissions,
}

impl TokenWish {
    /// Granted ones of one owner at one host; at least one.
    pub fn repositories(&self) -> &BTreeSet<RepositoryName> {
        &self.repositories
    }

    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The same for fewer repositories.
    #[must_use]
    pub fn only(&self, kept: impl Fn(&RepositoryName) -> bool) -> Self {
        let repositories = self.repositories.iter().filter(|name| kept(name)).cloned().collect();
        Self { repositories, permissions: self.permissions.clone() }
    }

    /// What can be asked of an installation that has these permissions. Of what is only nice to have, such as reading checks, what it
    /// lacks is left out.
    ///
    /// # Errors
    /// It lacks what git needs.
    pub fn within(&self, installed: &Permissions) -> Result<Permissions, Lacking> {
        let permissions = self.permissions.within(installed);
        let lacking = self.permissions.iter().find(|(name, level)| *name == CONTENTS && permissions.get(name) != Some(*level));
        match lacking {
            Some((name, level)) => Err(Lacking { name: name.into(), level }),
            None => Ok(permissions),
        }
    }
}

/// A permission that an installation does not have, and without which nothing works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub name: Box<str>,
    pub level: Level,
}

/// What a token is good for that goes with a request to a repository: all granted repositories of its owner that take the same
/// permissions, so that none gets more than its own grant says, or as many of them as [`MAX_TOGETHER`]. `None` where the repository is not granted, or is on disk.
pub fn wish_token(grant: &Grant, repository: &RepositoryName, access: Access) -> Option<TokenWish> {
    let base = base_of(repository);
    let asked = grant.find(repository).or_else(|| grant.find(&base)).filter(|granted| is_there(granted))?;
    let permissions = permissions(asked, access);
    let beside = grant.repositories().iter().filter(|granted| {
        is_there(granted)
            && granted.name.host() == base.host()
            && owner(&granted.name) == owner(&base)
            && self::permissions(granted, access) == permissions
    });
    let all: Vec<_> = beside.map(|granted| base_of(&granted.name)).collect::<BTreeSet<_>>().into_iter().collect();
    let together = all.chunks(MAX_TOGETHER).find(|chunk| chunk.contains(&base))?;
    Some(TokenWish { repositories: together.iter().cloned().collect(), permissions })
}

fn is_there(granted: &RepositoryGrant) -> bool {
    granted.upstream_path.is_none()
}

fn owner(name: &RepositoryName) -> &str {
    name.path().split('/').next().unwrap_or_default()
}

/// What one repository's grant takes: everything that may be read of it, and with [`Access::Write`] what may be changed.
fn permissions(granted: &RepositoryGrant, access: Access) -> Permissions {
    let mut permissions = Permissions::default();
    for name in READ {
        permissions.raise(name, Level::Read);
    }
    let reads = |word: &str| granted.grants.iter().any(|capability| capability.as_str() == word);
    let read = READ_BY_NAME.iter().filter(|(word, _)| reads(word)).flat_map(|(_, permissions)| *permissions);
    read.for_each(|name| permissions.raise(name, Level::Read));
    if access == Access::Read {
        return permissions;
    }
    if granted.access == Access::Write {
        permissions.raise(CONTENTS, Level::Write);
    }
    let opened = granted.grants.iter().flat_map(|capability| opens(capability.as_str()));
    opened.for_each(|name| permissions.raise(name, Level::Write));
    permissions
}

/// The permissions that something takes that is granted by name. A word that is not known here opens nothing.
pub(super) fn opens(capability: &str) -> &'static [&'static str] {
    let known = OPENED.iter().find(|(word, _)| {
        let rest = capability.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    known.map_or(&[], |(_, permissions)| permissions)
}

/// Most repositories that a token is good for; each is looked up before one is made.
const MAX_TOGETHER: usize = 16;
const CONTENTS: &str = "contents";
/// What reading takes, of git and of the API.
const READ: [&str; 7] = [METADATA, CONTENTS, "actions", "checks", "issues", "pull_requests", "statuses"];

/// What reading takes of what is granted by name.
const READ_BY_NAME: &[(&str, &[&str])] = &[
    ("alerts.read", &["security_events", "vulnerability_alerts"]),
    ("environments.read", &["environments", "actions_variables", "secrets"]),
    ("administration.read", &["administration", "repository_hooks"]),
    ("organization.read", &["members"]),
];

/// What is granted by name, alone or with more behind a dot, and the permissions that it takes.
const OPENED: &[(&str, &[&str])] = &[
    (WIKI_READ, &[]),
    (WIKI, &[CONTENTS]),
    ("contents", &[CONTENTS]),
    ("refs", &[CONTENTS]),
    ("releases", &[CONTENTS]),
    ("lfs", &[CONTENTS]),
    ("merge", &[CONTENTS, "pull_requests"]),
    ("pull_requests", &["pull_requests"]),
    ("reviewers", &["pull_requests"]),
    ("issues", &["issues"]),
    ("comments", &["issues", "pull_requests"]),
    ("labels", &["issues", "pull_requests"]),
    ("milestones", &["issues", "pull_requests"]),
    ("assignees", &["issues", "pull_requests"]),
    ("actions", &["actions"]),
    (WORKFLOWS, &["workflows"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(written: &str) -> Grant {
        serde_json::from_str(written).unwrap()
    }

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    /// What a grant of these words needs beside what everybody has who reads.
    fn written(access: &str, grants: &str) -> String {
        let granted = grant(&format!(r#"[{{"name":"o/r","access":"{access}","grants":[{grants}]}}]"#));
        let wish = wish_token(&granted, &name("o/r"), Access::Write).unwrap();
        wish.permissions().iter().filter(|(_, level)| *level > Level::Read).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_token_that_writes_writes_what_is_granted() {
        for (access, grants, expected) in [
            ("read", "", ""),
            ("write", "", "contents"),
            ("read", r#""issues""#, "issues"),
            ("read", r#""pull_requests""#, "pull_requests"),
            ("write", r#""pull_requests","issues","comments""#, "contents issues pull_requests"),
            ("read", r#""comments""#, "issues pull_requests"),
            ("read", r#""labels""#, "issues pull_requests"),
            ("read", r#""merge""#, "contents pull_requests"),
            ("read", r#""wiki""#, "contents"),
            ("read", r#""wiki.read""#, ""),
            ("read", r#""releases""#, "contents"),
            ("read", r#""actions.rerun""#, "actions"),
            ("read", r#""actions.dispatch""#, "actions"),
            ("read", r#""lfs.locks""#, "contents"),
            ("write", r#""workflows""#, "contents workflows"),
            ("write", r#""workflow","actionsx","administration","secrets""#, "contents"),
        ] {
            assert_eq!(written(access, grants), expected, "{access} {grants}");
        }
    }

    #[test]
    fn a_token_that_reads_writes_nothing() {
        let granted = grant(r#"[{"name":"o/r","access":"write","grants":["workflows","merge","issues","actions.rerun"]}]"#);
        let wish = wish_token(&granted, &name("o/r"), Access::Read).unwrap();
        assert!(wish.permissions().iter().all(|(_, level)| level == Level::Read), "{wish:?}");
        assert!(wish.permissions().get("workflows").is_none());
    }

    #[test]
    fn what_is_read_by_name_is_only_read() {
        let granted = grant(r#"[{"name":"o/r","access":"write","grants":["alerts.read","administration.read"]},{"name":"o/s"}]"#);
        for access in [Access::Read, Access::Write] {
            let [with, without] = ["o/r", "o/s"].map(|repository| wish_token(&granted, &name(repository), access).unwrap());
            let more = with.permissions().iter().filter(|(name, _)| without.permissions().get(name).is_none());
            let more: Vec<_> = more.map(|(name, level)| format!("{name}: {}", level.as_str())).collect();
            let expected = ["administration: read", "repository_hooks: read", "security_events: read", "vulnerability_alerts: read"];
            assert_eq!(more, expected);
        }
    }

    #[test]
    fn a_token_is_good_for_granted_repositories_of_one_owner_that_take_the_same() {
        let granted = grant(
            r#"[{"name":"o/a","access":"write"},{"name":"o/b","access":"read"},{"name":"o/c","access":"write","grants":["issues"]},
                {"name":"o/d","access":"write"},{"name":"p/a","access":"write"},{"name":"ghe.test/o/a","access":"write"},
                {"name":"o/disk","access":"write","upstream_path":"/srv/disk"}]"#,
        );
        for (repository, access, expected) in [
            ("o/a", Access::Write, Some("o/a o/d")),
            ("o/a.wiki", Access::Write, Some("o/a o/d")),
            ("o/c", Access::Write, Some("o/c")),
            ("o/b", Access::Write, Some("o/b")),
            ("o/b", Access::Read, Some("o/a o/b o/c o/d")),
            ("p/a", Access::Read, Some("p/a")),
            ("ghe.test/o/a", Access::Read, Some("ghe.test/o/a")),
            ("o/disk", Access::Read, None),
            ("o/z", Access::Read, None),
        ] {
            let wish = wish_token(&granted, &name(repository), access);
            let names = wish.map(|wish| wish.repositories().iter().map(RepositoryName::as_str).collect::<Vec<_>>().join(" "));
            assert_eq!(names.as_deref(), expected, "{repository} {access:?}");
        }
    }

    #[test]
    fn what_an_installation_lacks_is_left_out_unless_git_needs_it() {
        let granted = grant(r#"[{"name":"o/r","access":"write","grants":["issues"]}]"#);
        let mut installed = Permissions::default();
        installed.raise(METADATA, Level::Read);
        let wish = |access| wish_token(&granted, &name("o/r"), access).unwrap();
        assert_eq!(wish(Access::Read).within(&installed).unwrap_err(), Lacking { name: CONTENTS.into(), level: Level::Read });
        installed.raise(CONTENTS, Level::Read);
        assert_eq!(wish(Access::Read).within(&installed).unwrap().to_string(), "contents: read, metadata: read");
        assert_eq!(wish(Access::Write).within(&installed).unwrap_err(), Lacking { name: CONTENTS.into(), level: Level::Write });
        installed.raise(CONTENTS, Level::Write);
        assert_eq!(wish(Access::Write).within(&installed).unwrap().to_string(), "contents: write, metadata: read");
        assert_eq!(wish(Access::Read).within(&installed).unwrap().to_string(), "contents: read, metadata: read");
    }
}

//! What a GitHub knows: accounts, repositories and all that belongs to them. Whoever answers, by REST or otherwise, answers from this.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Value, json};

use super::objects;
use crate::harness::{repository, repository::Refs};

/// Everything. Whatever changes by a request changes in here, or in the repositories on disk.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    #[serde(skip)]
    root: PathBuf,
    pub(crate) accounts: Vec<Account>,
    pub(crate) repositories: Vec<Repository>,
    /// Writes that have no other effect here, each as method, path and body: hooks, keys, secrets, settings, and what nobody knows.
    pub(crate) settings: Vec<(String, String, Value)>,
    /// The last number that was given to anything.
    #[serde(skip)]
    last: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) login: String,
    /// `User`, `Organization` or `Bot`.
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    pub(crate) owner: String,
    pub(crate) name: String,
    /// Names of before, as `owner/name`.
    pub(crate) formerly: Vec<String>,
    pub(crate) private: bool,
    pub(crate) default_branch: String,
    /// A word that stands in everything that is told of it, and nowhere else.
    pub(crate) marker: String,
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// Pull requests too, in the order of their numbers.
    pub(crate) issues: Vec<Issue>,
    pub(crate) labels: Vec<Label>,
    pub(crate) commit_comments: Vec<Comment>,
    pub(crate) releases: Vec<Release>,
    pub(crate) runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Issue {
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) author: String,
    pub(crate) open: bool,
    pub(crate) locked: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) assignees: Vec<String>,
    pub(crate) reactions: Vec<String>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) pull: Option<Pull>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Pull {
    /// The repository of its head.
    pub(crate) from: u64,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) draft: bool,
    pub(crate) maintainer_can_modify: bool,
    /// The commit by which it was merged.
    pub(crate) merged: Option<String>,
    pub(crate) reviewers: Vec<String>,
    pub(crate) reviews: Vec<Review>,
    pub(crate) comments: Vec<Comment>,
}

/// A comment on an issue, on a commit, or on a line of a pull request.
#[derive(Debug, Serialize)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) author: String,
    pub(crate) body: String,
    pub(crate) reactions: Vec<String>,
    /// Path and line.
    pub(crate) place: Option<(String, u64)>,
    pub(crate) commit: Option<String>,
    pub(crate) in_reply_to: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Review {
    pub(crate) id: u64,
    pub(crate) author: String,
    pub(crate) body: String,
    /// `PENDING`, `COMMENTED`, `CHANGES_REQUESTED`, `APPROVED` or `DISMISSED`.
    pub(crate) state: &'static str,
    pub(crate) commit: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Label {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) color: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Release {
    pub(crate) id: u64,
    pub(crate) tag: String,
    pub(crate) target: String,
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) draft: bool,
    pub(crate) assets: Vec<Asset>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Asset {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// A run of the one workflow, which has one job.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) job: u64,
    pub(crate) artifact: u64,
    pub(crate) branch: String,
    pub(crate) commit: String,
    pub(crate) event: String,
    pub(crate) attempt: u64,
    pub(crate) status: &'static str,
}

/// What a node is, by the beginning of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Account,
    Repository,
    Issue,
    Pull,
    IssueComment,
    CommitComment,
    ReviewComment,
    Review,
    Label,
    Release,
    Asset,
    Run,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Account => "U",
            Self::Repository => "R",
            Self::Issue => "I",
            Self::Pull => "PR",
            Self::IssueComment => "IC",
            Self::CommitComment => "CC",
            Self::ReviewComment => "PRRC",
            Self::Review => "PRR",
            Self::Label => "LA",
            Self::Release => "RE",
            Self::Asset => "RA",
            Self::Run => "WFR",
        }
    }

    /// The node id of what has this number, in the form that GitHub has had since 2021.
    pub(crate) fn node(self, id: u64) -> String {
        let packed = [&[0x93, 0x00, 0xcf][..], &id.to_be_bytes(), &[0x00]].concat();
        format!("{}_{}", self.prefix(), BASE64_URL_SAFE_NO_PAD.encode(packed))
    }
}

impl Model {
    /// Two owners, three repositories: `octo/spoon` and `octo/secret`, which are private, and `acme/tools`, which everybody may read. Each
    /// has branches `main`, `other` and `agent/fix-1`, an issue (1), a pull request from `other` (2), one from `agent/fix-1` (3), all into
    /// `main`, a release of `v1` and a run on each branch.
    pub(crate) fn new(root: &Path) -> Self {
        let (accounts, repositories, settings) = Default::default();
        let mut model = Self { root: root.to_owned(), accounts, repositories, settings, last: 1000 };
        for (login, kind) in [(US, "User"), ("octo", "Organization"), ("acme", "Organization"), ("helpful[bot]", "Bot"), ("rival", "User")]
        {
            let id = model.next();
            model.accounts.push(Account { id, login: login.to_owned(), kind });
        }
        for (owner, name, private) in [("octo", "spoon", true), ("octo", "secret", true), ("acme", "tools", false)] {
            model.add(owner, name, private);
        }
        model
    }

    /// A number that nothing has.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Another repository like those that there are, and its place.
    pub(crate) fn add(&mut self, owner: &str, name: &str, private: bool) -> usize {
        let path = self.root.join(format!("{owner}/{name}.git"));
        let marker = format!("marker-of-{owner}-{name}");
        repository::make(&path, "sha1");
        objects::write(&path, "main", &[("about.txt", &marker), (".github/workflows/build.yml", WORKFLOW)], "about", &[]);
        repository::git(&path, &["branch", "agent/fix-1", "main"]);
        for (branch, name) in [("agent/fix-1", "work.txt"), ("other", "other.txt")] {
            objects::write(&path, branch, &[(name, &format!("{branch} {marker}"))], &format!("work on {branch}"), &[]);
        }
        let (id, issues, labels) =
            (self.next(), self.issues(&marker), vec![Label { id: self.next(), name: "bug".into(), color: "d73a4a".into() }]);
        let tag = Asset { id: self.next(), name: "spoon.bin".into(), content: marker.clone().into_bytes() };
        let (name_of, body) = (format!("first of {marker}"), marker.clone());
        let release =
            Release { id: self.next(), tag: "v1".into(), target: "main".into(), name: name_of, body, draft: false, assets: vec![tag] };
        let mut runs = Vec::new();
        for branch in ["main", "agent/fix-1", "other"] {
            let commit = objects::resolve(&path, branch).expect("a branch");
            runs.push(self.run(branch, commit, "push"));
        }
        self.repositories.push(Repository {
            id,
            owner: owner.into(),
            name: name.into(),
            formerly: Vec::new(),
            private,
            default_branch: "main".into(),
            marker,
            path,
            issues: Vec::new(),
            labels,
            commit_comments: Vec::new(),
            releases: vec![release],
            runs,
        });
        let place = self.repositories.len() - 1;
        self.repositories[place].issues = issues;
        for issue in &mut self.repositories[place].issues {
            if let Some(pull) = &mut issue.pull {
                pull.from = id;
            }
        }
        place
    }

    fn issues(&mut self, marker: &str) -> Vec<Issue> {
        let mut issues = Vec::new();
        for (number, head) in [None, Some("other"), Some("agent/fix-1")].into_iter().enumerate() {
            let mut issue = self.issue(number as u64 + 1, &format!("number {} of {marker}", number + 1), "", "rival");
            let comment = self.comment("rival", &format!("said of {marker}"));
            issue.comments.push(comment);
            issue.pull = head.map(|head| Pull::new(0, head, "main"));
            if let Some(pull) = &mut issue.pull {
                let mut comment = self.comment("rival", &format!("on a line of {marker}"));
                comment.place = Some(("work.txt".into(), 1));
                pull.comments.push(comment);
                let id = self.next();
                pull.reviews.push(Review { id, author: "rival".into(), body: marker.into(), state: "COMMENTED", commit: String::new() });
            }
            issues.push(issue);
        }
        issues
    }

    pub(crate) fn issue(&mut self, number: u64, title: &str, body: &str, author: &str) -> Issue {
        let (id, title, body, author) = (self.next(), title.to_owned(), body.to_owned(), author.to_owned());
        let (labels, assignees, reactions, comments) = Default::default();
        Issue { id, number, title, body, author, open: true, locked: false, labels, assignees, reactions, comments, pull: None }
    }

    pub(crate) fn comment(&mut self, author: &str, body: &str) -> Comment {
        let (author, body, id) = (author.to_owned(), body.to_owned(), self.next());
        Comment { id, author, body, reactions: Vec::new(), place: None, commit: None, in_reply_to: None }
    }

    pub(crate) fn run(&mut self, branch: &str, commit: String, event: &str) -> Run {
        let [id, job, artifact] = [(); 3].map(|()| self.next());
        Run { id, job, artifact, branch: branch.into(), commit, event: event.into(), attempt: 1, status: "completed" }
    }

    /// Where the repository of this name is, whatever its case; one by a name of before is in the second place.
    pub(crate) fn named(&self, owner: &str, name: &str) -> Result<usize, Option<usize>> {
        let name = name.strip_suffix(".git").unwrap_or(name);
        let is = |repository: &&Repository| repository.owner.eq_ignore_ascii_case(owner) && repository.name.eq_ignore_ascii_case(name);
        let whole = format!("{owner}/{name}");
        let found = self.repositories.iter().position(|repository| is(&repository));
        found.ok_or_else(|| {
            let was = |repository: &Repository| repository.formerly.iter().any(|former| former.eq_ignore_ascii_case(&whole));
            self.repositories.iter().position(was)
        })
    }

    /// Where the repository of this number is.
    pub(crate) fn numbered(&self, id: u64) -> Option<usize> {
        self.repositories.iter().position(|repository| repository.id == id)
    }

    /// All of it as it is now, with the refs of each repository, to compare.
    pub(crate) fn state(&self) -> Value {
        let repositories = self.repositories.iter().map(|repository| {
            let mut known = serde_json::to_value(repository).expect("JSON");
            known["refs"] = json!(repository.refs());
            (repository.full_name(), known)
        });
        json!({ "repositories": repositories.collect::<serde_json::Map<_, _>>(), "settings": self.settings })
    }
}

impl Pull {
    pub(crate) fn new(from: u64, head: &str, base: &str) -> Self {
        let (reviewers, reviews, comments) = Default::default();
        let (head, base) = (head.to_owned(), base.to_owned());
        Self { from, head, base, draft: false, maintainer_can_modify: false, merged: None, reviewers, reviews, comments }
    }
}

impl Repository {
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(crate) fn refs(&self) -> Refs {
        repository::refs(&self.path)
    }

    pub(crate) fn issue(&self, number: u64) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.number == number)
    }

    pub(crate) fn issue_mut(&mut self, number: u64) -> Option<&mut Issue> {
        self.issues.iter_mut().find(|issue| issue.number == number)
    }

    /// Every comment of whatever kind, with what kind it is.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (Kind, &Comment)> {
        let of_issues = self.issues.iter().flat_map(|issue| &issue.comments).map(|comment| (Kind::IssueComment, comment));
        let pulls = self.issues.iter().filter_map(|issue| issue.pull.as_ref());
        let of_lines = pulls.flat_map(|pull| &pull.comments).map(|comment| (Kind::ReviewComment, comment));
        of_issues.chain(of_lines).chain(self.commit_comments.iter().map(|comment| (Kind::CommitComment, comment)))
    }

    /// The list in which a comment of that kind and number stands, and its place there.
    pub(crate) fn comment_mut(&mut self, kind: Kind, id: u64) -> Option<(&mut Vec<Comment>, usize)> {
        let lists: Vec<&mut Vec<Comment>> = if kind == Kind::IssueComment {
            self.issues.iter_mut().map(|issue| &mut issue.comments).collect()
        } else if kind == Kind::ReviewComment {
            self.issues.iter_mut().filter_map(|issue| issue.pull.as_mut()).map(|pull| &mut pull.comments).collect()
        } else {
            vec![&mut self.commit_comments]
        };
        lists.into_iter().find_map(|list| list.iter().position(|comment| comment.id == id).map(|place| (list, place)))
    }
}

/// Who the real credential is.
pub(crate) const US: &str = "tide-rider";

const WORKFLOW: &str = "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make\n";

//! What a session made by calls of its own, by number: what it may change again.

use std::collections::BTreeSet;

use crate::github::{RepositoryName, api::Method};

/// What a call makes that is named by a number afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MadeKind {
    Issue,
    PullRequest,
    IssueComment,
    /// Of a line of a pull request.
    ReviewComment,
    CommitComment,
    Review,
}

impl MadeKind {
    /// The field of the answer where the number stands.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Issue | Self::PullRequest => "number",
            Self::IssueComment | Self::ReviewComment | Self::CommitComment | Self::Review => "id",
        }
    }

    /// What an operation makes.
    pub(super) fn made_by(method: Method, template: &str) -> Option<Self> {
        let below = template.strip_prefix(BELOW).filter(|_| method == Method::Post)?;
        Some(match below {
            "issues" => Self::Issue,
            "pulls" => Self::PullRequest,
            "issues/{issue_number}/comments" => Self::IssueComment,
            "pulls/{pull_number}/comments" | "pulls/{pull_number}/comments/{comment_id}/replies" => Self::ReviewComment,
            "commits/{commit_sha}/comments" => Self::CommitComment,
            "pulls/{pull_number}/reviews" => Self::Review,
            _ => return None,
        })
    }

    /// What an operation changes or takes away.
    pub(super) fn changed_by(template: &str) -> Option<Self> {
        let below = template.strip_prefix(BELOW)?;
        let of = [
            ("issues/comments/{comment_id}", Self::IssueComment),
            ("pulls/comments/{comment_id}", Self::ReviewComment),
            ("comments/{comment_id}", Self::CommitComment),
            ("pulls/{pull_number}/reviews/{review_id}", Self::Review),
            ("pulls/{pull_number}/reviews/{review_id}/events", Self::Review),
        ];
        of.into_iter().find(|(known, _)| *known == below).map(|(_, kind)| kind)
    }
}

/// The numbers of what one session made, at most [`MAX_MADE`]: what it makes beyond that it may not change.
#[derive(Debug, Clone, Default)]
pub struct Made(BTreeSet<(MadeKind, RepositoryName, u64)>);

impl Made {
    pub fn remember(&mut self, kind: MadeKind, repository: RepositoryName, number: u64) {
        if self.0.len() < MAX_MADE {
            self.0.insert((kind, repository, number));
        }
    }

    pub fn holds(&self, kind: MadeKind, repository: &RepositoryName, number: u64) -> bool {
        self.0.contains(&(kind, repository.clone(), number))
    }
}

const BELOW: &str = "/repos/{owner}/{repo}/";
/// Most things that a session is remembered to have made.
const MAX_MADE: usize = 10_000;

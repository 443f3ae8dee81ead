//! What a session may ask of GitHub's REST API: a verdict for every operation, by the one table in `policies/github/rest.txt`.

mod lines;
mod tree;
mod table;
mod made;
mod known;
mod permit;
mod judging;
mod pulls;
mod talk;
mod refs;
mod runs;
mod decide;
mod download;
mod footer;

pub use self::{
    decide::{Local, MAX_QUESTIONS, Step, decide_api},
    judging::ApiSession,
    known::{Known, depends_on},
    made::{Made, MadeKind},
    permit::{ApiPermit, Budget},
    table::{Fault, Parameters, Table, TableError},
};
use crate::github::api::Method;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands, from 1.
    pub line: u32,
    pub method: Option<Method>,
    /// As GitHub's description has it, such as `/repos/{owner}/{repo}/pulls/{pull_number}`; `**` at its end stands for anything below.
    pub template: Box<str>,
    pub verdict: Verdict,
}

/// What becomes of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// For a granted repository; where the path names none, for every session with a grant at the host.
    Allow(Option<Condition>),
    /// The same where the repository's `grants` hold this word.
    Grant(Box<str>, Option<Condition>),
    /// Answered here; GitHub is not asked.
    Local,
    /// By nobody's leave, and why.
    Deny(Box<str>),
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What else has to hold of a call, by the word that stands in the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Condition { $($(#[$doc])* $name,)* }

        impl Condition {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the table.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|condition| condition.as_str() == word)
            }
        }
    };
}

conditions! {
    /// `POST …/pulls`: from a branch that the session may push, into one of `bases`.
    HeadAndBase = "head_and_base";
    /// `PATCH …/pulls/{pull_number}`, `PUT …/update-branch`: the pull request's head is a branch that the session may push; a new `base` is
    /// one of `bases`.
    OwnHead = "own_head";
    /// `PUT …/pulls/{pull_number}/merge`: the same, and the base it has is one of `bases`.
    OwnHeadIntoBase = "own_head_into_base";
    /// `POST …/pulls/{pull_number}/reviews`: it approves nothing.
    NoApproval = "no_approval";
    /// `PUT`, `DELETE …/reviews/{review_id}`, `POST …/reviews/{review_id}/events`: a review that this session made, and no approval.
    OwnReview = "own_review";
    /// `PATCH`, `DELETE …/comments/{comment_id}` of issues, pull requests and commits: a comment that this session made.
    OwnComment = "own_comment";
    /// `POST` of a comment: its words command no bot.
    PlainWords = "plain_words";
    /// `POST …/issues`: labels, milestones and assignees by grants of their own, and no bot assigned.
    NewIssue = "new_issue";
    /// `PATCH …/issues/{issue_number}`: an issue that this session made, or a pull request from a branch that it may push; else the grant
    /// `issues.edit`. Fields as of a new issue.
    OwnIssue = "own_issue";
    /// Assignees and reviewers: people, and no bots.
    NoBots = "no_bots";
    /// `POST …/git/refs`, `PATCH`, `DELETE …/git/refs/{ref}`: a change of a ref that the session could push.
    PushableRef = "pushable_ref";
    /// `PUT`, `DELETE …/contents/{path}`, `POST …/merge-upstream`: the body's `branch` is one that the session may push.
    PushableBranch = "pushable_branch";
    /// `POST …/merges`: the body's `base` is one that the session may push.
    PushableBase = "pushable_base";
    /// Releases and what belongs to one: its tag is one that the session may create.
    GrantedTag = "granted_tag";
    /// `POST …/dispatches` of a workflow: the body's `ref` is a branch that the session may push.
    PushableDispatch = "pushable_dispatch";
    /// Of a run or one of its jobs: its head is a branch that the session may push.
    OwnRun = "own_run";
    /// `GET /search/…`: in exactly one repository, which is granted.
    OneRepository = "one_repository";
    /// `GET …/compare/{basehead}`: both sides are in this repository or in a granted one.
    GrantedSides = "granted_sides";
    /// `GET /orgs/{org}`: it owns a granted repository.
    GrantedOwner = "granted_owner";
}

#[cfg(test)]
mod tests;

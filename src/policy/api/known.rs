//! What has been learnt from GitHub for the judgment of calls.

use std::collections::BTreeMap;

use crate::github::api::{Answer, Question};

/// Answers to questions. Whoever keeps them decides how long they count.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeMap<Question, Answer>);

impl Known {
    /// Beyond [`MAX_KNOWN`] the others are forgotten first.
    pub fn learn(&mut self, question: Question, answer: Answer) {
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(question, answer);
    }

    /// Forgets what others may change at any time: a call that changes something is judged by what holds when it is made.
    pub fn forget_changing(&mut self) {
        let changes =
            |question: &Question| matches!(question, Question::DefaultBranch(_) | Question::PullRequest { .. } | Question::Release { .. });
        self.0.retain(|question, _| !changes(question));
    }

    pub fn find(&self, question: &Question) -> Option<&Answer> {
        self.0.get(question)
    }
}

/// Most answers that are kept.
const MAX_KNOWN: usize = 1024;

/// What a call is still judged by when a question is all that is left of its judgment: it may be made only if this holds, which is asked
/// when it is made.
pub fn depends_on(question: &Question) -> String {
    match question {
        Question::Repository(id) => format!("the repository with the number {id} is a granted one, by whose grant it would be judged"),
        Question::DefaultBranch(repository) => format!("the branch is not the default branch of {repository}"),
        Question::PullRequest { repository, number } => {
            format!(
                "the pull request {number} of {repository} comes from a branch that the session may push, and a merge goes to one of its bases"
            )
        }
        Question::Run { repository, id } => format!("the run {id} of {repository} is of a branch that the session may push"),
        Question::Job { repository, id } => format!("the job {id} of {repository} is of a branch that the session may push"),
        Question::Release { repository, id } => format!("the tag of the release {id} of {repository} is one that the session may create"),
        Question::Account(login) => format!("{login} and whoever else it names are people, and no bots"),
    }
}

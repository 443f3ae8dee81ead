//! Issues, comments, reviews, and who is asked to look at them.

use serde_json::Value;

use super::{
    judging::{Judged, Judging, shown},
    made::MadeKind,
};
use crate::github::api::{Answer, Method, Question};

impl Judging<'_> {
    /// `POST …/reviews`.
    pub(super) fn no_approval(&self) -> Judged<()> {
        self.only_fields(&["body", "event", "comments", "commit_id"])?;
        match self.text("event")? {
            None | Some("COMMENT" | "REQUEST_CHANGES" | "PENDING") => self.plain_words(),
            Some(event) => Err(self.refuse(&format!("its \"event\" is COMMENT or REQUEST_CHANGES, and no \"{}\"", shown(event)))),
        }
    }

    /// `PUT`, `DELETE …/reviews/{review_id}`, `POST …/reviews/{review_id}/events`.
    pub(super) fn own_review(&self) -> Judged<()> {
        self.made_here("review_id")?;
        self.no_approval()
    }

    /// `PATCH`, `DELETE …/comments/{comment_id}`.
    pub(super) fn own_comment(&self) -> Judged<()> {
        self.only_fields(&["body"])?;
        self.made_here("comment_id")?;
        self.plain_words()
    }

    fn made_here(&self, parameter: &str) -> Judged<()> {
        let number = self.facts.number(parameter)?;
        let made = |kind| self.facts.session.made.holds(kind, self.repository(), number);
        if MadeKind::changed_by(&self.facts.row.template).is_some_and(made) {
            return Ok(());
        }
        Err(self.refuse(&format!("this session did not make what has the number {number}, and may change only what it made")))
    }

    /// `POST …/issues`.
    pub(super) fn new_issue(&self) -> Judged<()> {
        self.only_fields(&["title", "body", "labels", "milestone", "assignee", "assignees", "type"])?;
        self.plain_words()?;
        self.marks()?;
        self.assigned_are_people()
    }

    /// `PATCH …/issues/{issue_number}`.
    pub(super) fn own_issue(&self) -> Judged<()> {
        self.only_fields(&["title", "body", "state", "state_reason", "labels", "milestone", "assignee", "assignees", "type"])?;
        self.plain_words()?;
        self.marks()?;
        let number = self.facts.number("issue_number")?;
        let is_made = self.facts.session.made.holds(MadeKind::Issue, self.repository(), number);
        if !is_made && !self.has(EDIT) && !self.is_own_pull_request(self.repository(), number)? {
            return Err(self.facts.lacks(EDIT, &format!("changing the issue {number}, which this session did not make,")));
        }
        self.assigned_are_people()
    }

    /// Labels, milestones and assignees, which tell and start others.
    fn marks(&self) -> Judged<()> {
        let says = |key: &str| !matches!(self.facts.call.find_field(key), None | Some(Value::Null));
        for (key, word) in [("labels", "labels"), ("milestone", "milestones")] {
            if says(key) && !self.has(word) {
                return Err(self.facts.lacks(word, &format!("its field \"{key}\"")));
            }
        }
        let is_self = |login: &str| self.facts.session.login.is_some_and(|own| own.eq_ignore_ascii_case(login));
        match self.assigned()?.into_iter().find(|login| !is_self(login)).filter(|_| !self.has(ASSIGNEES)) {
            None => Ok(()),
            Some(login) => Err(self.facts.lacks(ASSIGNEES, &format!("assigning \"{}\"", shown(login)))),
        }
    }

    fn assigned(&self) -> Judged<Vec<&str>> {
        Ok([self.logins("assignee")?, self.logins("assignees")?].concat())
    }

    fn assigned_are_people(&self) -> Judged<()> {
        self.assigned()?.into_iter().try_for_each(|login| self.is_person(login))
    }

    /// Assignees and reviewers, who may always be taken off.
    pub(super) fn no_bots(&self) -> Judged<()> {
        self.only_fields(&["assignees", "reviewers", "team_reviewers"])?;
        if self.facts.call.method == Method::Delete {
            return Ok(());
        }
        [self.logins("assignees")?, self.logins("reviewers")?].concat().into_iter().try_for_each(|login| self.is_person(login))
    }

    fn logins(&self, key: &str) -> Judged<Vec<&str>> {
        let none = || self.refuse(&format!("its field \"{key}\" names at most {MAX_LOGINS} users by their logins"));
        match self.facts.call.find_field(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(login)) => Ok(vec![login]),
            Some(Value::Array(logins)) if logins.len() <= MAX_LOGINS => {
                logins.iter().map(|login| login.as_str().ok_or_else(none)).collect()
            }
            Some(_) => Err(none()),
        }
    }

    /// That a login is a person's: an agent that is told to do something does it by rights of its own.
    fn is_person(&self, login: &str) -> Judged<()> {
        let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_login = (1..=MAX_LOGIN).contains(&login.len()) && login.bytes().all(spelled);
        let question = Question::Account(login.to_ascii_lowercase().into());
        match is_login.then(|| self.facts.learn(question)).transpose()? {
            Some(Answer::Account { is_person: true }) => Ok(()),
            _ => Err(self.refuse(&format!("\"{}\" is not known to be a person, and bots are not asked to act", shown(login)))),
        }
    }
}

/// What lets issues of others be changed.
const EDIT: &str = "issues.edit";
/// What lets others be assigned.
const ASSIGNEES: &str = "assignees";
/// Most users that one call names, as GitHub has it for assignees.
const MAX_LOGINS: usize = 10;
const MAX_LOGIN: usize = 39;

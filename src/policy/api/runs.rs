//! Runs of workflows.

use super::judging::{Judged, Judging};
use crate::{
    github::api::{Answer, Question},
    policy::refs::ChangeKind,
};

impl Judging<'_> {
    /// `POST …/actions/runs/{run_id}/…`, `POST …/actions/jobs/{job_id}/…`.
    pub(super) fn own_run(&self) -> Judged<()> {
        self.only_fields(&["enable_debug_logging"])?;
        if self.flag("enable_debug_logging")? {
            return Err(self.refuse("a run that logs more than usual may show what it is trusted with; leave out \"enable_debug_logging\""));
        }
        let repository = self.repository();
        let run = if self.facts.parameter("job_id").is_none() {
            self.facts.number("run_id")?
        } else {
            let question = Question::Job { repository: repository.clone(), id: self.facts.number("job_id")? };
            let Answer::Job(run) = self.facts.learn(question)? else { return Err(self.refuse("there is no such job")) };
            *run
        };
        let Answer::Run(head) = self.facts.learn(Question::Run { repository: repository.clone(), id: run })? else {
            return Err(self.refuse("there is no such run"));
        };
        self.own(head, &[ChangeKind::Create, ChangeKind::Update]).map(drop)
    }
}

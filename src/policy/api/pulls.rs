//! Pull requests: where their commits come from, and where they go to.

use serde_json::Value;

use super::judging::{Halt, Judged, Judging, shown};
use crate::{
    github::{
        RepositoryName,
        api::{Answer, Head, Method, Question},
        push::RefName,
    },
    policy::{
        grant::{Access, RefPattern},
        refs::{ChangeKind, RefChange},
    },
    reason::Reason,
};

impl Judging<'_> {
    /// `POST …/pulls`.
    pub(super) fn head_and_base(&self) -> Judged<()> {
        self.only_fields(&["title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"])?;
        let head = self.required("head")?;
        let (owner, branch) = head.split_once(':').unwrap_or((self.repository().owner(), head));
        // Which of an owner's repositories it is meant to be, GitHub finds out by itself; here it has to be the one of the same name.
        let name = self.text("head_repo")?.unwrap_or(self.repository().name());
        let Some(repository) = self.facts.name(owner, name) else {
            return Err(self.refuse(&format!("its \"head\" is BRANCH or OWNER:BRANCH, and no \"{}\"", shown(head))));
        };
        self.is_base(&self.branch(self.required("base")?)?)?;
        self.plain_words()?;
        self.may_push(&repository, &self.branch(branch)?, &[ChangeKind::Create, ChangeKind::Update]).map(drop)
    }

    /// `PATCH …/pulls/{pull_number}`, `PUT …/pulls/{pull_number}/update-branch`: the refs that it changes.
    pub(super) fn own_head(&self) -> Judged<Vec<RefChange>> {
        self.only_fields(&["title", "body", "state", "base", "maintainer_can_modify", "expected_head_sha"])?;
        if let Some(base) = self.text("base")? {
            self.is_base(&self.branch(base)?)?;
        }
        self.plain_words()?;
        let (head, _) = self.pull_request()?;
        let moves_head = self.facts.call.method == Method::Put;
        let kinds: &[ChangeKind] = if moves_head { &[ChangeKind::Update] } else { &[ChangeKind::Create, ChangeKind::Update] };
        let change = self.own(head, kinds)?;
        if moves_head && let Some(into) = self.other(head) {
            self.is_unread(&into)?;
        }
        Ok(if moves_head { vec![change] } else { Vec::new() })
    }

    /// `PUT …/pulls/{pull_number}/merge`.
    pub(super) fn own_head_into_base(&self) -> Judged<()> {
        self.only_fields(&["commit_title", "commit_message", "sha", "merge_method"])?;
        self.plain_words()?;
        if self.granted.access == Access::Read {
            return Err(self.facts.reads_only(self.repository()));
        }
        let (head, base) = self.pull_request()?;
        self.is_base(base)?;
        if self.other(head).is_some() {
            self.is_unread(self.repository())?;
        }
        self.own(head, &[ChangeKind::Create, ChangeKind::Update]).map(drop)
    }

    /// The repository that the commits come from, where it is not the one that they go to.
    fn other(&self, head: &Head) -> Option<RepositoryName> {
        let from = self.facts.session.here(head.repository.clone()?);
        (from != *self.repository()).then_some(from)
    }

    /// That a repository may get the commits of another: not where its own pushes are looked through.
    fn is_unread(&self, into: &RepositoryName) -> Judged<()> {
        let granted = self.facts.session.grant.find(into);
        if granted.is_some_and(|granted| granted.content.is_some()) { Err(self.unread(into)) } else { Ok(()) }
    }

    fn pull_request(&self) -> Judged<(&Head, &RefName)> {
        let question = Question::PullRequest { repository: self.repository().clone(), number: self.facts.number("pull_number")? };
        let Answer::PullRequest { head, base } = self.facts.learn(question)? else {
            return Err(self.refuse("there is no such pull request"));
        };
        Ok((head, base))
    }

    /// That the commits of a pull request or a run come from a branch that the session may push.
    pub(super) fn own(&self, head: &Head, kinds: &[ChangeKind]) -> Judged<RefChange> {
        let Head { repository: Some(repository), branch: Some(branch) } = head else {
            return Err(self.refuse("the branch that it comes from is gone"));
        };
        self.may_push(&self.facts.session.here(repository.clone()), branch, kinds)
    }

    /// That pull requests may be made into a branch.
    fn is_base(&self, base: &RefName) -> Judged<()> {
        let change = RefChange { name: base.clone(), kind: ChangeKind::Update };
        let granted = self.facts.session.grant.find_judged(self.repository());
        if granted.is_some_and(|(_, rules)| rules.bases.allows(&change)) {
            return Ok(());
        }
        let short = base.as_str().strip_prefix(BRANCHES).unwrap_or(base.as_str());
        let bases: Vec<_> = self.granted.bases.iter().map(RefPattern::as_str).collect();
        let may = if bases.is_empty() { "none".to_owned() } else { bases.join(", ") };
        let why = format!(
            "of {} the branch \"{}\" is no base for this session's pull requests, which are {may}",
            self.repository(),
            shown(short)
        );
        Err(self.facts.deny(Reason::RefNotGranted, &why, Some(format!("bases = [{}]", Value::from(short)))))
    }

    /// Whether an issue is a pull request from a branch that the session may push.
    pub(super) fn is_own_pull_request(&self, repository: &RepositoryName, number: u64) -> Judged<bool> {
        let Answer::PullRequest { head, .. } = self.facts.learn(Question::PullRequest { repository: repository.clone(), number })? else {
            return Ok(false);
        };
        self.own(head, &[ChangeKind::Create, ChangeKind::Update]).map_or_else(Halt::denied, |_| Ok(true))
    }
}

const BRANCHES: &str = "refs/heads/";

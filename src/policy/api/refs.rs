//! Calls that move refs, whatever they are called: held to the rules for pushes.

use super::judging::{Halt, Judged, Judging, is_short, shown};
use crate::{
    github::{
        RepositoryName,
        api::{Answer, Method, Question},
        push::RefName,
    },
    policy::refs::{ChangeKind, RefChange},
    reason::Reason,
};

impl Judging<'_> {
    /// `POST …/git/refs`, `PATCH`, `DELETE …/git/refs/{ref}`.
    pub(super) fn pushable_ref(&self) -> Judged<RefChange> {
        self.only_fields(&["ref", "sha", "force"])?;
        let method = self.facts.call.method;
        let (name, kind) = match (method, self.facts.parameter("ref")) {
            (Method::Post, None) => (self.required("ref")?.to_owned(), ChangeKind::Create),
            (Method::Patch, Some(tail)) if self.flag("force")? => (format!("refs/{tail}"), ChangeKind::Force),
            // GitHub refuses an update that leaves commits behind unless it is told to force it.
            (Method::Patch, Some(tail)) => (format!("refs/{tail}"), ChangeKind::Update),
            (Method::Delete, Some(tail)) => (format!("refs/{tail}"), ChangeKind::Delete),
            _ => return Err(self.refuse("it names no ref")),
        };
        if method != Method::Post && self.text("ref")?.is_some() {
            return Err(self.refuse("it names its ref in the path"));
        }
        let name = RefName::parse(name.as_bytes())
            .map_err(|_| self.facts.deny(Reason::RefNotGranted, &format!("\"{}\" is no full name of a ref", shown(&name)), None))?;
        self.may_push(self.repository(), &name, &[kind])
    }

    /// `PUT`, `DELETE …/contents/{path}`, `POST …/merge-upstream`. What names no branch is meant for the default one.
    pub(super) fn pushable_branch(&self) -> Judged<RefChange> {
        self.only_fields(&["branch", "message", "content", "sha", "committer", "author"])?;
        if self.granted.content.is_some() {
            return Err(self.unread(self.repository()));
        }
        self.moved("branch")
    }

    /// `POST …/merges`.
    pub(super) fn pushable_base(&self) -> Judged<RefChange> {
        self.only_fields(&["base", "head", "commit_message"])?;
        self.looked_through("head", self.required("head")?)?;
        self.moved("base")
    }

    /// Where pushes are looked through: that what is taken is a branch of the repository's. What a commit or a pull request holds nobody has
    /// looked through.
    fn looked_through(&self, key: &str, taken: &str) -> Judged<()> {
        let is_commit = taken.len() >= SHORTEST_ID && taken.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.granted.content.is_some() && (is_commit || taken.starts_with("pull/") || self.branch(taken).is_err()) {
            return Err(self.refuse(&format!("its \"{key}\" is a branch of {}, and no \"{}\"", self.repository(), shown(taken))));
        }
        Ok(())
    }

    /// A refusal of what would bring in what nobody has looked through.
    pub(super) fn unread(&self, repository: &RepositoryName) -> Halt {
        self.refuse(&format!("what {repository} may hold is looked for in pushes, and not in what a call brings in; push it instead"))
    }

    fn moved(&self, key: &str) -> Judged<RefChange> {
        let branch = self.branch(self.required(key)?)?;
        self.may_push(self.repository(), &branch, &[ChangeKind::Update])
    }

    /// `POST …/actions/workflows/{workflow_id}/dispatches`.
    pub(super) fn pushable_dispatch(&self) -> Judged<()> {
        self.only_fields(&["ref", "inputs", "return_run_details"])?;
        let written = self.required("ref")?;
        let branch = self.branch(written.strip_prefix("refs/heads/").unwrap_or(written))?;
        self.may_push(self.repository(), &branch, &[ChangeKind::Create, ChangeKind::Update]).map(drop)
    }

    /// Releases: the tag is made where it is not there yet.
    pub(super) fn granted_tag(&self) -> Judged<RefChange> {
        self.only_fields(&[
            "tag_name",
            "target_commitish",
            "name",
            "body",
            "draft",
            "prerelease",
            "generate_release_notes",
            "make_latest",
        ])?;
        self.text("target_commitish")?.map_or(Ok(()), |taken| self.looked_through("target_commitish", taken))?;
        self.plain_words()?;
        let written = self.text("tag_name")?.map(|tag| self.tag(tag)).transpose()?;
        if self.facts.parameter("release_id").is_none() {
            return written.ok_or_else(|| self.refuse("it names no tag"));
        }
        let question = Question::Release { repository: self.repository().clone(), id: self.facts.number("release_id")? };
        let Answer::Release(tag) = self.facts.learn(question)? else { return Err(self.refuse("there is no such release")) };
        let kept = self.tag(tag)?;
        Ok(written.unwrap_or(kept))
    }

    /// That a tag is one that may be created.
    fn tag(&self, tag: &str) -> Judged<RefChange> {
        let name = RefName::parse(format!("refs/tags/{tag}").as_bytes()).ok().filter(|_| is_short(tag));
        let name = name.ok_or_else(|| self.refuse(&format!("\"{}\" is no name of a tag", shown(tag))))?;
        self.may_push(self.repository(), &name, &[ChangeKind::Create])
    }

    /// `GET …/compare/{basehead}`: `BRANCH`, `OWNER:BRANCH` or `OWNER:REPOSITORY:BRANCH` at each side.
    pub(super) fn granted_sides(&self) -> Judged<()> {
        let sides = self.facts.parameter("basehead").unwrap_or_default();
        // Of three dots or of two: no branch has two in its name.
        for side in sides.split("...").flat_map(|side| side.split("..")) {
            let mut parts = side.splitn(3, ':');
            let name = match (parts.next(), parts.next(), parts.next()) {
                (Some(owner), Some(name), Some(_)) => self.facts.name(owner, name),
                (Some(owner), Some(_), None) => self.facts.name(owner, self.repository().name()),
                (_, _, _) => continue,
            };
            if name.is_none_or(|name| self.facts.session.grant.find(&name).is_none()) {
                return Err(self.facts.deny(
                    Reason::RepositoryNotGranted,
                    &format!("this session has no grant for what \"{}\" is compared with", shown(side)),
                    None,
                ));
            }
        }
        Ok(())
    }
}

/// Fewest digits that GitHub takes for the name of a commit.
const SHORTEST_ID: usize = 4;

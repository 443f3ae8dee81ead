//! What things look like in GitHub's REST API.

use serde_json::{Value, json};

use super::{
    model::{Account, Asset, Comment, Issue, Kind, Label, Model, Pull, Release, Repository, Review, Run},
    objects,
};

/// Where everything is, as base URLs without a slash at the end.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(crate) api: String,
    pub(crate) uploads: String,
    pub(crate) web: String,
    pub(crate) storage: String,
    /// What makes links to files good.
    pub(crate) signature: String,
}

impl Links {
    /// A link to a file.
    pub(super) fn stored(&self, path: &str) -> String {
        format!("{}/{path}?sig={}", self.storage, self.signature)
    }
}

/// Shows what a model knows.
#[derive(Clone, Copy)]
pub(crate) struct Shapes<'s> {
    pub(crate) model: &'s Model,
    pub(crate) links: &'s Links,
}

impl Shapes<'_> {
    pub(crate) fn account(self, login: &str) -> Value {
        let Some(Account { id, login, kind }) = self.model.accounts.iter().find(|account| account.login.eq_ignore_ascii_case(login)) else {
            return Value::Null;
        };
        let url = format!("{}/users/{login}", self.links.api);
        let web = format!("{}/{login}", self.links.web);
        json!({
            "login": login, "id": id, "node_id": Kind::Account.node(*id), "avatar_url": format!("{web}.png"), "gravatar_id": "",
            "url": url, "html_url": web, "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
            "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"), "repos_url": format!("{url}/repos"),
            "events_url": format!("{url}/events{{/privacy}}"), "received_events_url": format!("{url}/received_events"),
            "type": kind, "site_admin": false,
        })
    }

    fn accounts(self, logins: &[String]) -> Vec<Value> {
        logins.iter().map(|login| self.account(login)).filter(|account| !account.is_null()).collect()
    }

    /// The URL of a repository in the API.
    pub(crate) fn url(self, repository: &Repository) -> String {
        format!("{}/repos/{}", self.links.api, repository.full_name())
    }

    fn web(self, repository: &Repository) -> String {
        format!("{}/{}", self.links.web, repository.full_name())
    }

    pub(crate) fn repository(self, repository: &Repository) -> Value {
        let (url, web) = (self.url(repository), self.web(repository));
        json!({
            "id": repository.id, "node_id": Kind::Repository.node(repository.id), "name": repository.name, "full_name": repository.full_name(),
            "private": repository.private, "visibility": if repository.private { "private" } else { "public" },
            "owner": self.account(&repository.owner), "html_url": web, "description": repository.marker, "fork": false, "url": url,
            "git_url": web.replacen("http", "git", 1), "clone_url": format!("{web}.git"), "ssh_url": "git@github.test:x/y.git",
            "pulls_url": format!("{url}/pulls{{/number}}"), "issues_url": format!("{url}/issues{{/number}}"),
            "contents_url": format!("{url}/contents/{{+path}}"), "default_branch": repository.default_branch, "size": 1,
            "has_issues": true, "has_wiki": false, "has_projects": false, "has_pages": false, "archived": false, "disabled": false,
            "allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": true, "open_issues_count": repository.issues.len(),
            "permissions": { "admin": true, "maintain": true, "push": true, "triage": true, "pull": true },
            "created_at": TIME, "updated_at": TIME, "pushed_at": TIME,
        })
    }

    pub(crate) fn label(self, repository: &Repository, name: &str) -> Value {
        let known = repository.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
        let (id, name, color) = match known {
            Some(Label { id, name, color }) => (*id, name.as_str(), color.as_str()),
            None => (1, name, "ededed"),
        };
        json!({
            "id": id, "node_id": Kind::Label.node(id), "url": format!("{}/labels/{name}", self.url(repository)), "name": name, "color": color,
            "default": false, "description": null,
        })
    }

    pub(crate) fn issue(self, repository: &Repository, issue: &Issue) -> Value {
        let (base, web) = (self.url(repository), self.web(repository));
        let url = format!("{base}/issues/{}", issue.number);
        let labels: Vec<_> = issue.labels.iter().map(|name| self.label(repository, name)).collect();
        let kind = if issue.pull.is_some() { Kind::Pull } else { Kind::Issue };
        let mut shown = json!({
            "id": issue.id, "node_id": kind.node(issue.id), "url": url, "repository_url": base, "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"), "events_url": format!("{url}/events"), "timeline_url": format!("{url}/timeline"),
            "html_url": format!("{web}/issues/{}", issue.number), "number": issue.number, "state": state_of(issue), "state_reason": null,
            "title": issue.title, "body": issue.body, "user": self.account(&issue.author), "labels": labels,
            "assignees": self.accounts(&issue.assignees), "assignee": self.accounts(&issue.assignees).first(), "milestone": null,
            "locked": issue.locked, "comments": issue.comments.len(), "author_association": "MEMBER",
            "created_at": TIME, "updated_at": TIME, "closed_at": if issue.open { Value::Null } else { TIME.into() },
        });
        if issue.pull.is_some() {
            let [page, difference, patch] = ["", ".diff", ".patch"].map(|end| format!("{web}/pull/{}{end}", issue.number));
            let url = format!("{base}/pulls/{}", issue.number);
            shown["pull_request"] = json!({ "url": url, "html_url": page, "diff_url": difference, "patch_url": patch });
        }
        shown
    }

    pub(crate) fn pull(self, repository: &Repository, issue: &Issue, pull: &Pull) -> Value {
        let mut shown = self.issue(repository, issue);
        let base = self.url(repository);
        let url = format!("{base}/pulls/{}", issue.number);
        let (head, tip) = (self.end(pull.from, &pull.head), self.end(repository.id, &pull.base));
        for (key, value) in json!({
            "url": url, "html_url": shown["pull_request"]["html_url"], "issue_url": shown["url"], "commits_url": format!("{url}/commits"),
            "diff_url": shown["pull_request"]["diff_url"], "patch_url": shown["pull_request"]["patch_url"],
            "comments_url": format!("{base}/issues/{}/comments", issue.number), "review_comments_url": format!("{url}/comments"),
            "review_comment_url": format!("{base}/pulls/comments{{/number}}"), "statuses_url": format!("{base}/statuses/x"),
            "head": head, "base": tip, "draft": pull.draft, "merged": pull.merged.is_some(), "merge_commit_sha": pull.merged,
            "merged_at": pull.merged.as_ref().map(|_| TIME), "mergeable": true, "mergeable_state": "clean", "rebaseable": true,
            "maintainer_can_modify": pull.maintainer_can_modify, "requested_reviewers": self.accounts(&pull.reviewers),
            "requested_teams": [], "auto_merge": null, "review_comments": pull.comments.len(), "commits": 1, "additions": 1, "deletions": 0,
            "changed_files": 1,
        })
        .as_object()
        .expect("an object")
        {
            shown[key] = value.clone();
        }
        shown.as_object_mut().expect("an object").remove("pull_request");
        shown
    }

    /// A branch as the end of a pull request.
    fn end(self, repository: u64, branch: &str) -> Value {
        let Some(repository) = self.model.numbered(repository).map(|place| &self.model.repositories[place]) else { return Value::Null };
        let commit = objects::resolve(&repository.path, &format!("refs/heads/{branch}")).unwrap_or_else(|| "0".repeat(40));
        json!({
            "label": format!("{}:{branch}", repository.owner), "ref": branch, "sha": commit, "user": self.account(&repository.owner),
            "repo": self.repository(repository),
        })
    }

    pub(crate) fn comment(self, repository: &Repository, kind: Kind, comment: &Comment) -> Value {
        let (place, base, web) = (
            if kind == Kind::IssueComment {
                "issues/comments"
            } else if kind == Kind::ReviewComment {
                "pulls/comments"
            } else {
                "comments"
            },
            self.url(repository),
            self.web(repository),
        );
        let of = repository.issues.iter().find(|issue| {
            let lines = issue.pull.iter().flat_map(|pull| &pull.comments);
            issue.comments.iter().chain(lines).any(|other| other.id == comment.id)
        });
        let of = of.map(|issue| issue.number);
        let url = format!("{base}/{place}/{}", comment.id);
        let mut shown = json!({
            "id": comment.id, "node_id": kind.node(comment.id), "url": url, "html_url": format!("{web}/comment/{}", comment.id),
            "user": self.account(&comment.author), "body": comment.body, "author_association": "MEMBER", "created_at": TIME, "updated_at": TIME,
            "reactions": { "url": format!("{url}/reactions"), "total_count": comment.reactions.len() },
        });
        if kind == Kind::IssueComment {
            shown["issue_url"] = of.map(|number| format!("{base}/issues/{number}")).into();
        } else {
            let (path, line) = comment.place.clone().unzip();
            let commit = comment.commit.clone().unwrap_or_else(|| "0".repeat(40));
            let more = [
                ("path", json!(path)),
                ("line", json!(line)),
                ("position", json!(line)),
                ("commit_id", json!(commit)),
                ("original_commit_id", json!(commit)),
                ("diff_hunk", json!("@@ -0,0 +1 @@")),
                ("in_reply_to_id", json!(comment.in_reply_to)),
                ("pull_request_url", json!(of.map(|number| format!("{base}/pulls/{number}")))),
                ("pull_request_review_id", json!(1)),
                ("_links", json!({ "self": { "href": url }, "html": { "href": web }, "pull_request": { "href": base } })),
            ];
            for (key, value) in more {
                shown[key] = value;
            }
        }
        shown
    }

    pub(crate) fn review(self, repository: &Repository, number: u64, review: &Review) -> Value {
        let pull = format!("{}/pulls/{number}", self.url(repository));
        let page = format!("{}/pull/{number}#pullrequestreview-{}", self.web(repository), review.id);
        json!({
            "id": review.id, "node_id": Kind::Review.node(review.id), "user": self.account(&review.author), "body": review.body,
            "state": review.state, "html_url": page, "pull_request_url": pull, "commit_id": review.commit, "submitted_at": TIME,
            "author_association": "MEMBER", "_links": { "html": { "href": page }, "pull_request": { "href": pull } },
        })
    }

    pub(crate) fn release(self, repository: &Repository, release: &Release) -> Value {
        let base = self.url(repository);
        let url = format!("{base}/releases/{}", release.id);
        let uploads = format!("{}/repos/{}/releases/{}/assets{{?name,label}}", self.links.uploads, repository.full_name(), release.id);
        let assets: Vec<_> = release.assets.iter().map(|asset| self.asset(repository, asset)).collect();
        json!({
            "url": url, "html_url": format!("{}/releases/tag/{}", self.web(repository), release.tag), "assets_url": format!("{url}/assets"),
            "upload_url": uploads, "tarball_url": format!("{base}/tarball/{}", release.tag),
            "zipball_url": format!("{base}/zipball/{}", release.tag), "id": release.id, "node_id": Kind::Release.node(release.id),
            "tag_name": release.tag, "target_commitish": release.target, "name": release.name, "body": release.body, "draft": release.draft,
            "prerelease": false, "created_at": TIME, "published_at": TIME, "author": self.account("rival"), "assets": assets,
        })
    }

    pub(crate) fn asset(self, repository: &Repository, asset: &Asset) -> Value {
        let web = format!("{}/releases/download/{}", self.web(repository), asset.name);
        json!({
            "url": format!("{}/releases/assets/{}", self.url(repository), asset.id), "browser_download_url": web, "id": asset.id,
            "node_id": Kind::Asset.node(asset.id), "name": asset.name, "label": null, "state": "uploaded", "size": asset.content.len(),
            "content_type": "application/octet-stream", "download_count": 0, "created_at": TIME, "updated_at": TIME,
            "uploader": self.account("rival"),
        })
    }

    pub(crate) fn run(self, repository: &Repository, run: &Run) -> Value {
        let base = self.url(repository);
        let url = format!("{base}/actions/runs/{}", run.id);
        let who = json!({ "name": "Octo", "email": "octo@example.com" });
        let head = json!({
            "id": run.commit, "tree_id": run.commit, "message": "work", "timestamp": TIME, "author": who, "committer": who,
        });
        json!({
            "id": run.id, "name": "build", "node_id": Kind::Run.node(run.id), "head_branch": run.branch, "head_sha": run.commit,
            "path": ".github/workflows/build.yml", "run_number": 1, "run_attempt": run.attempt, "event": run.event, "status": run.status,
            "conclusion": if run.status == "completed" { json!("success") } else { Value::Null }, "workflow_id": 1, "url": url,
            "display_title": repository.marker,
            "html_url": format!("{}/actions/runs/{}", self.web(repository), run.id), "pull_requests": [], "created_at": TIME,
            "updated_at": TIME, "run_started_at": TIME, "jobs_url": format!("{url}/jobs"), "logs_url": format!("{url}/logs"),
            "check_suite_url": format!("{base}/check-suites/1"), "artifacts_url": format!("{url}/artifacts"),
            "cancel_url": format!("{url}/cancel"), "rerun_url": format!("{url}/rerun"), "workflow_url": format!("{base}/actions/workflows/1"),
            "head_commit": head, "repository": self.repository(repository), "head_repository": self.repository(repository),
        })
    }

    /// A commit, as the lists of them show it.
    pub(crate) fn commit(self, repository: &Repository, id: &str) -> Value {
        let format = "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B";
        let told = objects::git(&repository.path, &["show", "--no-patch", format, id]).unwrap_or_default();
        let parts: Vec<_> = told.split('\0').collect();
        let [tree, parents, author, author_mail, authored, committer, committer_mail, recorded, message] = parts[..] else {
            return Value::Null;
        };
        let url = self.url(repository);
        let parents: Vec<_> = parents.split_whitespace().map(|id| json!({ "sha": id, "url": format!("{url}/commits/{id}") })).collect();
        json!({
            "sha": id, "node_id": format!("C_{id}"), "url": format!("{url}/commits/{id}"), "html_url": format!("{}/commit/{id}", self.web(repository)),
            "comments_url": format!("{url}/commits/{id}/comments"), "parents": parents, "author": null, "committer": null,
            "commit": {
                "url": format!("{url}/git/commits/{id}"), "message": message, "comment_count": 0, "tree": { "sha": tree, "url": format!("{url}/git/trees/{tree}") },
                "author": { "name": author, "email": author_mail, "date": authored },
                "committer": { "name": committer, "email": committer_mail, "date": recorded },
                "verification": { "verified": false, "reason": "unsigned", "signature": null, "payload": null },
            },
        })
    }

    pub(crate) fn reference(self, repository: &Repository, name: &str, id: &str) -> Value {
        let url = self.url(repository);
        let kind = objects::kind(&repository.path, id).unwrap_or_else(|| "commit".into());
        json!({
            "ref": name, "node_id": format!("REF_{name}"), "url": format!("{url}/git/{name}"),
            "object": { "type": kind, "sha": id, "url": format!("{url}/git/{kind}s/{id}") },
        })
    }
}

pub(crate) fn state_of(issue: &Issue) -> &'static str {
    if issue.open { "open" } else { "closed" }
}

/// When everything happened.
pub(crate) const TIME: &str = "2026-11-20T12:00:00Z";

//! Pull requests, their reviews, and comments on their lines.

use http::Method;
use serde_json::{Value, json};

use super::{Here, Said, author, created, invalid, not_found, ok, repository::files};
use crate::harness::fake::{
    model::{Issue, Kind, Pull, Review},
    objects,
    shapes::state_of,
};

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let method = here.asked.method.clone();
    match (&method, path) {
        (&Method::GET, ["pulls"]) => list(here, path),
        (&Method::POST, ["pulls"]) => open(here),
        (_, ["pulls", "comments", ..]) => None,
        (_, ["pulls", number, rest @ ..]) => {
            let number = number.parse().ok()?;
            if here.repository().issue(number).is_none_or(|issue| issue.pull.is_none()) {
                return not_found();
            }
            of_one(here, &method, number, rest)
        }
        _ => None,
    }
}

/// An issue that is a pull request, both ways.
fn found<'h>(here: &'h Here<'_>, number: u64) -> Option<(&'h Issue, &'h Pull)> {
    let issue = here.repository().issue(number)?;
    issue.pull.as_ref().map(|pull| (issue, pull))
}

fn pull_mut<'h>(here: &'h mut Here<'_>, number: u64) -> Option<&'h mut Pull> {
    here.repository_mut().issue_mut(number)?.pull.as_mut()
}

fn shown(here: &Here<'_>, number: u64) -> Value {
    found(here, number).map_or(Value::Null, |(issue, pull)| here.shapes().pull(here.repository(), issue, pull))
}

fn list(here: &Here<'_>, path: &[&str]) -> Option<Said> {
    let (state, asked) = (here.asked.in_query("state").unwrap_or("open"), here.asked);
    let issues = here.repository().issues.iter().filter(|issue| state == "all" || state_of(issue) == state);
    let pulls = issues.filter_map(|issue| Some((issue, issue.pull.as_ref()?)));
    let pulls = pulls.map(|(issue, pull)| here.shapes().pull(here.repository(), issue, pull));
    let is_asked_for = |pull: &Value| {
        asked.in_query("head").is_none_or(|head| pull["head"]["label"] == head)
            && asked.in_query("base").is_none_or(|base| pull["base"]["ref"] == base)
    };
    here.list(path, pulls.filter(is_asked_for).collect())
}

fn open(here: &mut Here<'_>) -> Option<Said> {
    let asked = here.asked;
    let (Some(head), Some(base)) = (asked.text("head"), asked.text("base")) else { return invalid("head and base are needed") };
    let (owner, branch) = head.split_once(':').map_or((None, head), |(owner, branch)| (Some(owner), branch));
    let name = asked.text("head_repo").unwrap_or(&here.repository().name).to_owned();
    let from = match (asked.text("head_repo"), owner) {
        (None, None) => Ok(here.place),
        (_, owner) => here.model.named(owner.unwrap_or(&here.repository().owner), &name),
    };
    let Ok(from) = from else { return invalid("head: invalid") };
    let from = &here.model.repositories[from];
    let is_there = |path: &std::path::Path, branch: &str| objects::resolve(path, &format!("refs/heads/{branch}")).is_some();
    if !is_there(&from.path, branch) || !is_there(&here.repository().path, base) {
        return invalid("head or base: invalid");
    }
    let mut pull = Pull::new(from.id, branch, base);
    pull.draft = asked.body["draft"].as_bool().unwrap_or_default();
    pull.maintainer_can_modify = asked.body["maintainer_can_modify"].as_bool().unwrap_or_default();
    let number = if let Some(number) = asked.body["issue"].as_u64() {
        number
    } else {
        let number = here.repository().issues.len() as u64 + 1;
        let words = ["title", "body"].map(|key| asked.text(key).unwrap_or_default());
        let issue = here.model.issue(number, words[0], words[1], &author());
        here.repository_mut().issues.push(issue);
        number
    };
    here.repository_mut().issue_mut(number)?.pull = Some(pull);
    created(shown(here, number))
}

fn of_one(here: &mut Here<'_>, method: &Method, number: u64, path: &[&str]) -> Option<Said> {
    match (method, path) {
        (&Method::GET, []) => read(here, number),
        (&Method::PATCH, []) => change(here, number),
        (&Method::GET, ["files" | "commits" | "merge"]) => parts(here, number, path),
        (&Method::PUT, ["merge" | "merge-async"]) => merge(here, number),
        (&Method::PUT, ["update-branch"]) => {
            let (_, pull) = found(here, number)?;
            let from = &here.model.repositories[here.model.numbered(pull.from)?];
            let [head, base] = [&pull.head, &pull.base].map(|branch| format!("refs/heads/{branch}"));
            let Ok(made) = objects::merged(&from.path, &head, &base, "update") else { return invalid("merge conflict") };
            objects::set(&from.path, &head, &made).ok()?;
            Some(Said::json(202, &json!({ "message": "Updating pull request branch.", "url": "x" })))
        }
        (&Method::GET, ["requested_reviewers"]) => {
            let pull = shown(here, number);
            ok(json!({ "users": pull["requested_reviewers"], "teams": [] }))
        }
        (&Method::POST | &Method::DELETE, ["requested_reviewers"]) => {
            let wanted = here.asked.texts("reviewers");
            let is_asked = method == Method::POST;
            let pull = pull_mut(here, number)?;
            pull.reviewers.retain(|login| !wanted.contains(login));
            pull.reviewers.extend(wanted.into_iter().filter(|_| is_asked));
            created(shown(here, number))
        }
        (&Method::GET, ["comments"]) => {
            let (_, pull) = found(here, number)?;
            let shapes = here.shapes();
            let all = pull.comments.iter().map(|comment| shapes.comment(here.repository(), Kind::ReviewComment, comment));
            here.list(&["pulls", &number.to_string(), "comments"], all.collect())
        }
        (&Method::POST, ["comments"]) => comment(here, number, None),
        (&Method::POST, ["comments", id, "replies"]) => comment(here, number, id.parse().ok()),
        (_, ["reviews", rest @ ..]) => reviews(here, method, number, rest),
        _ => None,
    }
}

fn read(here: &Here<'_>, number: u64) -> Option<Said> {
    if !here.asked.wants("diff") && !here.asked.wants("patch") {
        return ok(shown(here, number));
    }
    let (_, pull) = found(here, number)?;
    let range = format!("refs/heads/{}...refs/heads/{}", pull.base, pull.head);
    let arguments = if here.asked.wants("patch") { ["format-patch", "--stdout", &range] } else { ["diff", "--no-color", &range] };
    Some(Said::text(
        "application/vnd.github.v3.diff; charset=utf-8",
        objects::bytes(&here.repository().path, &arguments).unwrap_or_default(),
    ))
}

fn change(here: &mut Here<'_>, number: u64) -> Option<Said> {
    let asked = here.asked;
    let issue = here.repository_mut().issue_mut(number)?;
    super::issues::edit(issue, asked);
    let pull = issue.pull.as_mut()?;
    if let Some(base) = asked.text("base") {
        base.clone_into(&mut pull.base);
    }
    if let Some(may) = asked.body["maintainer_can_modify"].as_bool() {
        pull.maintainer_can_modify = may;
    }
    ok(shown(here, number))
}

fn parts(here: &Here<'_>, number: u64, path: &[&str]) -> Option<Said> {
    let (_, pull) = found(here, number)?;
    let [base, head] = [&pull.base, &pull.head].map(|branch| format!("refs/heads/{branch}"));
    let place = ["pulls", &number.to_string(), path[0]];
    match path {
        ["files"] => here.list(&place, files(here, &["diff", "--numstat", &format!("{base}...{head}")])),
        ["commits"] => {
            let ids = objects::git(&here.repository().path, &["rev-list", "--reverse", &format!("{base}..{head}")]).unwrap_or_default();
            here.list(&place, ids.lines().map(|id| here.shapes().commit(here.repository(), id)).collect())
        }
        _ if pull.merged.is_some() => Some(Said::empty()),
        _ => not_found(),
    }
}

fn merge(here: &mut Here<'_>, number: u64) -> Option<Said> {
    let (_, pull) = found(here, number)?;
    let path = here.repository().path.clone();
    let [base, head] = [&pull.base, &pull.head].map(|branch| format!("refs/heads/{branch}"));
    let Ok(made) = objects::merged(&path, &base, &head, here.asked.text("commit_title").unwrap_or("merge")) else {
        return Some(Said::json(405, &json!({ "message": "Pull Request is not mergeable" })));
    };
    objects::set(&path, &base, &made).ok()?;
    let issue = here.repository_mut().issue_mut(number)?;
    issue.open = false;
    issue.pull.as_mut()?.merged = Some(made.clone());
    ok(json!({ "sha": made, "merged": true, "message": "Pull Request successfully merged" }))
}

fn comment(here: &mut Here<'_>, number: u64, to: Option<u64>) -> Option<Said> {
    let asked = here.asked;
    let mut comment = here.model.comment(&author(), asked.text("body").unwrap_or_default());
    comment.place = asked.text("path").map(|path| (path.to_owned(), asked.body["line"].as_u64().unwrap_or(1)));
    comment.commit = asked.text("commit_id").map(str::to_owned);
    comment.in_reply_to = to.or_else(|| asked.body["in_reply_to"].as_u64());
    pull_mut(here, number)?.comments.push(comment);
    let comment = found(here, number)?.1.comments.last()?;
    created(here.shapes().comment(here.repository(), Kind::ReviewComment, comment))
}

fn reviews(here: &mut Here<'_>, method: &Method, number: u64, path: &[&str]) -> Option<Said> {
    let asked = here.asked;
    let wanted = match asked.text("event") {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some("COMMENT") => "COMMENTED",
        Some(_) => return invalid("event: unknown"),
        None => "PENDING",
    };
    if let (&Method::GET, []) = (method, path) {
        let (_, pull) = found(here, number)?;
        let all = pull.reviews.iter().map(|review| here.shapes().review(here.repository(), number, review)).collect();
        return here.list(&["pulls", &number.to_string(), "reviews"], all);
    }
    if let (&Method::POST, []) = (method, path) {
        let (id, body) = (here.model.next(), asked.text("body").unwrap_or_default().to_owned());
        let commit = shown(here, number)["head"]["sha"].as_str().unwrap_or_default().to_owned();
        pull_mut(here, number)?.reviews.push(Review { id, author: author(), body, state: wanted, commit });
        for line in asked.body["comments"].as_array().into_iter().flatten() {
            let mut comment = here.model.comment(&author(), line["body"].as_str().unwrap_or_default());
            comment.place = line["path"].as_str().map(|path| (path.to_owned(), line["line"].as_u64().unwrap_or(1)));
            pull_mut(here, number)?.comments.push(comment);
        }
        let review = found(here, number)?.1.reviews.last()?;
        return ok(here.shapes().review(here.repository(), number, review));
    }
    let id: u64 = path.first()?.parse().ok()?;
    let pull = pull_mut(here, number)?;
    let Some(place) = pull.reviews.iter().position(|review| review.id == id) else { return not_found() };
    let review = &mut pull.reviews[place];
    match (method, &path[1..]) {
        (&Method::GET, []) => {}
        (&Method::PUT, []) => asked.text("body").unwrap_or_default().clone_into(&mut review.body),
        (&Method::DELETE, []) => drop(pull.reviews.remove(place)),
        (&Method::POST, ["events"]) => review.state = wanted,
        (&Method::PUT, ["dismissals"]) => review.state = "DISMISSED",
        _ => return None,
    }
    let review = found(here, number)?.1.reviews.get(place);
    ok(review.map_or(Value::Null, |review| here.shapes().review(here.repository(), number, review)))
}

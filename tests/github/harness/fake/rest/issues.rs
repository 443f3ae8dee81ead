//! Issues, comments of every kind, labels and reactions.

use http::Method;
use serde_json::json;

use super::{Asked, Here, Said, author, created, not_found, ok};
use crate::harness::fake::{
    model::{Issue, Kind, Label},
    shapes::state_of,
};

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let method = here.asked.method.clone();
    match (&method, path) {
        (_, ["issues", "comments", rest @ ..]) => comments(here, &method, Kind::IssueComment, rest),
        (_, ["pulls", "comments", rest @ ..]) => comments(here, &method, Kind::ReviewComment, rest),
        (_, ["comments", rest @ ..]) => comments(here, &method, Kind::CommitComment, rest),
        (&Method::POST, ["commits", id, "comments"]) => {
            let mut comment = here.model.comment(&author(), here.asked.text("body").unwrap_or_default());
            comment.commit = Some((*id).to_owned());
            here.repository_mut().commit_comments.push(comment);
            let comment = here.repository().commit_comments.last()?;
            created(here.shapes().comment(here.repository(), Kind::CommitComment, comment))
        }
        (&Method::GET, ["issues"]) => {
            let state = here.asked.in_query("state").unwrap_or("open");
            let issues = here.repository().issues.iter().filter(|issue| state == "all" || state_of(issue) == state);
            here.list(path, issues.map(|issue| here.shapes().issue(here.repository(), issue)).collect())
        }
        (&Method::POST, ["issues"]) => {
            let (asked, number) = (here.asked, here.repository().issues.len() as u64 + 1);
            let mut issue = here.model.issue(number, "", "", &author());
            edit(&mut issue, asked);
            here.repository_mut().issues.push(issue);
            created(here.shapes().issue(here.repository(), here.repository().issue(number)?))
        }
        (_, ["issues", number, rest @ ..]) => {
            let Some(number) = number.parse().ok().filter(|number| here.repository().issue(*number).is_some()) else { return not_found() };
            of_one(here, &method, number, rest)
        }
        (&Method::GET, ["labels"]) => {
            let labels = here.repository().labels.iter();
            here.list(path, labels.map(|label| here.shapes().label(here.repository(), &label.name)).collect())
        }
        (&Method::POST, ["labels"]) => {
            let [name, color] = ["name", "color"].map(|key| here.asked.text(key).unwrap_or_default().to_owned());
            let id = here.model.next();
            here.repository_mut().labels.push(Label { id, name: name.clone(), color });
            created(here.shapes().label(here.repository(), &name))
        }
        _ => None,
    }
}

/// Changes what a request says of an issue.
pub(super) fn edit(issue: &mut Issue, asked: &Asked) {
    for (name, field) in [("title", &mut issue.title), ("body", &mut issue.body)] {
        if let Some(text) = asked.text(name) {
            text.clone_into(field);
        }
    }
    if let Some(state) = asked.text("state") {
        issue.open = state == "open";
    }
    for (name, list) in [("labels", &mut issue.labels), ("assignees", &mut issue.assignees)] {
        if asked.body[name].is_array() {
            *list = asked.texts(name);
        }
    }
    if let Some(login) = asked.text("assignee") {
        issue.assignees = vec![login.to_owned()];
    }
}

fn of_one(here: &mut Here<'_>, method: &Method, number: u64, path: &[&str]) -> Option<Said> {
    let (asked, place) = (here.asked, number.to_string());
    match (method, path) {
        (&Method::GET, []) => ok(here.shapes().issue(here.repository(), here.repository().issue(number)?)),
        (&Method::PATCH, []) => {
            edit(here.repository_mut().issue_mut(number)?, asked);
            ok(here.shapes().issue(here.repository(), here.repository().issue(number)?))
        }
        (&Method::GET, ["comments" | "timeline"]) => {
            let comments = here.repository().issue(number)?.comments.iter();
            let shown = comments.map(|comment| here.shapes().comment(here.repository(), Kind::IssueComment, comment)).collect();
            here.list(&["issues", &place, path[0]], shown)
        }
        (&Method::POST, ["comments"]) => {
            let comment = here.model.comment(&author(), asked.text("body").unwrap_or_default());
            here.repository_mut().issue_mut(number)?.comments.push(comment);
            let comment = here.repository().issue(number)?.comments.last()?;
            created(here.shapes().comment(here.repository(), Kind::IssueComment, comment))
        }
        (_, ["labels", rest @ ..]) => {
            let labels = &mut here.repository_mut().issue_mut(number)?.labels;
            match (method, rest) {
                (&Method::POST, []) => labels.extend(asked.texts("labels")),
                (&Method::PUT, []) => *labels = asked.texts("labels"),
                (&Method::DELETE, rest) => labels.retain(|label| !rest.is_empty() && label != rest[0]),
                _ => {}
            }
            let issue = here.shapes().issue(here.repository(), here.repository().issue(number)?);
            ok(issue["labels"].clone())
        }
        (&Method::POST | &Method::DELETE, ["assignees"]) => {
            let (wanted, is_added) = (asked.texts("assignees"), method == Method::POST);
            let assignees = &mut here.repository_mut().issue_mut(number)?.assignees;
            assignees.retain(|login| !wanted.contains(login));
            assignees.extend(wanted.into_iter().filter(|_| is_added));
            created(here.shapes().issue(here.repository(), here.repository().issue(number)?))
        }
        (&Method::PUT | &Method::DELETE, ["lock"]) => {
            here.repository_mut().issue_mut(number)?.locked = method == Method::PUT;
            Some(Said::empty())
        }
        (_, ["reactions", ..]) => react(method, asked, &mut here.repository_mut().issue_mut(number)?.reactions),
        _ => None,
    }
}

fn comments(here: &mut Here<'_>, method: &Method, kind: Kind, path: &[&str]) -> Option<Said> {
    let asked = here.asked;
    let Some((id, rest)) = path.split_first() else {
        let all = here.repository().comments().filter(|(other, _)| *other == kind);
        let shown = all.map(|(_, comment)| here.shapes().comment(here.repository(), kind, comment)).collect::<Vec<_>>();
        return if method == Method::GET { ok(shown.into()) } else { None };
    };
    let id = id.parse().ok()?;
    let Some((list, place)) = here.repository_mut().comment_mut(kind, id) else { return not_found() };
    match (method, rest) {
        (&Method::GET, []) => {}
        // By POST too, as clients did before there was PATCH.
        (&Method::PATCH | &Method::POST, []) => asked.text("body").unwrap_or_default().clone_into(&mut list[place].body),
        (&Method::DELETE, []) => {
            list.remove(place);
            return Some(Said::empty());
        }
        (_, ["reactions", ..]) => return react(method, asked, &mut list[place].reactions),
        _ => return None,
    }
    let (_, comment) = here.repository().comments().find(|(_, comment)| comment.id == id)?;
    ok(here.shapes().comment(here.repository(), kind, comment))
}

fn react(method: &Method, asked: &Asked, reactions: &mut Vec<String>) -> Option<Said> {
    match *method {
        Method::POST => reactions.push(asked.text("content").unwrap_or("+1").to_owned()),
        Method::DELETE => {
            reactions.pop();
            return Some(Said::empty());
        }
        _ => return ok(json!(reactions)),
    }
    created(json!({ "id": reactions.len(), "node_id": "REA_1", "content": reactions.last() }))
}

//! What is no repository's: who is asking, searches, and everything of an account.

use http::Method;
use serde_json::{Value, json};

use super::{Asked, Said, created, ok, ok_page};
use crate::harness::fake::{
    model::{Model, US},
    shapes::{Links, Shapes},
};

pub(super) fn answer(model: &mut Model, links: &Links, asked: &Asked, path: &[&str]) -> Option<Said> {
    if asked.method == Method::POST && (path == ["user", "repos"] || matches!(path, ["orgs", _, "repos"])) {
        let owner = if path.len() == 3 { path[1].to_owned() } else { US.to_owned() };
        let place = model.add(&owner, asked.text("name").unwrap_or("new"), true);
        return created(Shapes { model, links }.repository(&model.repositories[place]));
    }
    if asked.method != Method::GET {
        return None;
    }
    let shapes = Shapes { model, links };
    match path {
        [] => {
            let url = |rest: &str| format!("{}/{rest}", links.api);
            ok(json!({
                "current_user_url": url("user"), "repository_url": url("repos/{owner}/{repo}"), "issue_search_url": url("search/issues{?q}"),
                "rate_limit_url": url("rate_limit"),
            }))
        }
        ["user"] if asked.known => ok(shapes.account(US)),
        ["users", login] => Some(shapes.account(login)).filter(|account| !account.is_null()).and_then(ok),
        ["meta"] => ok(json!({ "verifiable_password_authentication": false, "installed_version": "3.19.0" })),
        ["rate_limit"] => {
            let core = json!({ "limit": 5000, "used": 13, "remaining": 4987, "reset": 1_795_180_000 });
            ok(json!({ "resources": { "core": core, "search": core }, "rate": core }))
        }
        ["installation" | "search", "repositories"] | ["user", "repos"] | ["orgs" | "users", _, "repos"] | ["repositories"] => {
            let all = visible(shapes, asked);
            ok_page(asked, all, |page, size| format!("{}/{}?page={page}&per_page={size}", links.api, path.join("/")))
        }
        ["search", "issues"] => search(shapes, asked),
        ["search", kind] => {
            let found = searched(shapes, asked).map(|repository| json!({ "kind": kind, "name": repository.marker })).collect::<Vec<_>>();
            ok(json!({ "total_count": found.len(), "incomplete_results": false, "items": found }))
        }
        // Whatever it is, it tells of every repository.
        ["notifications" | "issues" | "gists" | "events" | "user" | "orgs" | "users" | "networks" | "enterprises" | "teams", ..] => {
            ok(visible(shapes, asked).into())
        }
        _ => None,
    }
}

fn visible(shapes: Shapes<'_>, asked: &Asked) -> Vec<Value> {
    let all = shapes.model.repositories.iter().filter(|repository| asked.known || !repository.private);
    all.map(|repository| shapes.repository(repository)).collect()
}

/// The repositories that a search is about: those whose `repo:` it names, or else all. Where it has `OR`, a qualifier holds nothing back.
fn searched<'s>(shapes: Shapes<'s>, asked: &'s Asked) -> impl Iterator<Item = &'s crate::harness::fake::model::Repository> {
    let words = asked.in_query("q").unwrap_or_default();
    let mut named = words.split_whitespace().filter_map(|word| word.trim_matches(['"', '(', ')']).strip_prefix("repo:"));
    let is_open = words.split_whitespace().any(|word| word == "OR") || named.clone().next().is_none();
    let named: Vec<_> = named.by_ref().map(|name| name.trim_matches('"').to_ascii_lowercase()).collect();
    let all = shapes.model.repositories.iter().filter(|repository| asked.known || !repository.private);
    all.filter(move |repository| is_open || named.contains(&repository.full_name().to_ascii_lowercase()))
}

fn search(shapes: Shapes<'_>, asked: &Asked) -> Option<Said> {
    let found: Vec<_> =
        searched(shapes, asked).flat_map(|repository| repository.issues.iter().map(move |issue| shapes.issue(repository, issue))).collect();
    ok(json!({ "total_count": found.len(), "incomplete_results": false, "items": found }))
}

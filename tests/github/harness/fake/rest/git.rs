//! The objects and refs of a repository, as the API has them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Method;
use serde_json::json;

use super::{Here, Said, created, invalid, not_found, ok};
use crate::harness::fake::objects;

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let ["git", path @ ..] = path else { return None };
    let method = here.asked.method.clone();
    match (&method, path) {
        (&Method::GET, ["ref" | "refs", name @ ..]) if !name.is_empty() => {
            let name = format!("refs/{}", name.join("/"));
            let refs = here.repository().refs();
            refs.get(&name).map_or_else(not_found, |id| ok(here.shapes().reference(here.repository(), &name, id)))
        }
        (&Method::GET, ["matching-refs", name @ ..]) => {
            let begin = format!("refs/{}", name.join("/"));
            let refs = here.repository().refs();
            let found = refs.iter().filter(|(name, _)| name.starts_with(&begin));
            ok(found.map(|(name, id)| here.shapes().reference(here.repository(), name, id)).collect::<Vec<_>>().into())
        }
        (&Method::POST, ["refs"]) => create(here),
        (&Method::PATCH, ["refs", name @ ..]) => update(here, &format!("refs/{}", name.join("/"))),
        (&Method::DELETE, ["refs", name @ ..]) => {
            let name = format!("refs/{}", name.join("/"));
            if !here.repository().refs().contains_key(&name) {
                return invalid("Reference does not exist");
            }
            objects::git(&here.repository().path, &["update-ref", "-d", &name]).ok()?;
            Some(Said::empty())
        }
        (&Method::POST, ["blobs" | "trees" | "commits" | "tags"]) => create_object(here, path[0]),
        (&Method::GET, ["blobs" | "trees" | "commits", name @ ..]) => object(here, path[0], &name.join("/")),
        _ => None,
    }
}

fn create_object(here: &Here<'_>, kind: &str) -> Option<Said> {
    match kind {
        "blobs" => {
            let text = here.asked.text("content").unwrap_or_default();
            let is_encoded = here.asked.text("encoding") == Some("base64");
            let content = if is_encoded { BASE64_STANDARD.decode(text).unwrap_or_default() } else { text.as_bytes().to_vec() };
            made(here, "blobs", objects::store(&here.repository().path, "blob", &content))
        }
        "trees" => tree(here),
        "commits" => {
            let (tree, parents) = (here.asked.text("tree")?, here.asked.texts("parents"));
            let parents: Vec<_> = parents.iter().map(String::as_str).collect();
            let id = objects::commit(&here.repository().path, tree, &parents, here.asked.text("message").unwrap_or_default());
            made(here, "commits", id)
        }
        _ => {
            let asked = here.asked;
            let text = |name: &str| asked.text(name).unwrap_or_default().to_owned();
            let content = format!(
                "object {}\ntype {}\ntag {}\ntagger Octo <octo@example.com> 1700000000 +0000\n\n{}\n",
                text("object"),
                text("type"),
                text("tag"),
                text("message")
            );
            made(here, "tags", objects::store(&here.repository().path, "tag", content.as_bytes()))
        }
    }
}

fn object(here: &Here<'_>, kind: &str, name: &str) -> Option<Said> {
    match kind {
        "blobs" => {
            let Ok(content) = objects::bytes(&here.repository().path, &["cat-file", "blob", name]) else { return not_found() };
            ok(json!({ "sha": name, "encoding": "base64", "size": content.len(), "content": BASE64_STANDARD.encode(&content), "url": "x" }))
        }
        "trees" => {
            let Ok(told) = objects::git(&here.repository().path, &["ls-tree", "--end-of-options", name]) else {
                return not_found();
            };
            let entries = told.lines().filter_map(|line| {
                let (facts, path) = line.split_once('\t')?;
                let [mode, kind, id] = facts.split(' ').collect::<Vec<_>>()[..] else { return None };
                Some(json!({ "path": path, "mode": mode, "type": kind, "sha": id }))
            });
            ok(json!({ "sha": name, "truncated": false, "tree": entries.collect::<Vec<_>>() }))
        }
        _ => {
            let shown = here.shapes().commit(here.repository(), name);
            if shown.is_null() {
                not_found()
            } else {
                ok(json!({ "sha": name, "tree": shown["commit"]["tree"], "message": shown["commit"]["message"] }))
            }
        }
    }
}

fn made(here: &Here<'_>, kind: &str, id: Result<String, String>) -> Option<Said> {
    match id {
        Ok(id) => created(
            json!({ "sha": id, "node_id": format!("O_{id}"), "url": format!("{}/git/{kind}/{id}", here.shapes().url(here.repository())) }),
        ),
        Err(error) => invalid(&error),
    }
}

fn create(here: &Here<'_>) -> Option<Said> {
    let (asked, repository) = (here.asked, here.repository());
    let (Some(name), Some(id)) = (asked.text("ref"), asked.text("sha")) else { return invalid("ref and sha are needed") };
    if repository.refs().contains_key(name) {
        return invalid("Reference already exists");
    }
    match objects::set(&repository.path, name, id) {
        Ok(()) => created(here.shapes().reference(repository, name, id)),
        Err(error) => invalid(&error),
    }
}

fn update(here: &Here<'_>, name: &str) -> Option<Said> {
    let (asked, repository) = (here.asked, here.repository());
    let Some(old) = repository.refs().remove(name) else { return invalid("Reference does not exist") };
    let Some(id) = asked.text("sha") else { return invalid("sha is needed") };
    let is_forced = asked.body["force"].as_bool() == Some(true);
    if !is_forced && objects::git(&repository.path, &["merge-base", "--is-ancestor", &old, id]).is_err() {
        return invalid("Update is not a fast forward");
    }
    match objects::set(&repository.path, name, id) {
        Ok(()) => ok(here.shapes().reference(repository, name, id)),
        Err(error) => invalid(&error),
    }
}

fn tree(here: &Here<'_>) -> Option<Said> {
    let path = &here.repository().path;
    let base = here.asked.text("base_tree").and_then(|base| objects::git(path, &["ls-tree", base]).ok()).unwrap_or_default();
    let mut lines: Vec<_> = base.lines().map(str::to_owned).collect();
    for entry in here.asked.body["tree"].as_array().into_iter().flatten() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let id = match entry["content"].as_str() {
            Some(content) => objects::store(path, "blob", content.as_bytes()).unwrap_or_default(),
            None => text("sha").to_owned(),
        };
        lines.retain(|line| !line.ends_with(&format!("\t{}", text("path"))));
        let kind = entry["type"].as_str().unwrap_or("blob");
        lines.push(format!("{} {kind} {id}\t{}", text("mode"), text("path")));
    }
    lines.push(String::new());
    made(here, "trees", objects::tree(path, &lines.join("\n")))
}

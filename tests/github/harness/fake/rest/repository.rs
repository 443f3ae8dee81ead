//! A repository itself: its settings, branches, commits and files.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Method;
use serde_json::{Value, json};

use super::{Here, Said, created, invalid, not_found, ok};
use crate::harness::fake::objects;

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let method = here.asked.method.clone();
    match (&method, path) {
        (&Method::GET, []) => ok(here.shapes().repository(here.repository())),
        (&Method::PATCH, []) => change(here),
        (&Method::DELETE, []) => {
            let gone = here.model.repositories.remove(here.place);
            here.model.settings.push(("DELETE".into(), gone.full_name(), Value::Null));
            Some(Said::empty())
        }
        (&Method::POST, ["forks"]) => {
            let (owner, name) = (here.asked.text("organization").unwrap_or("rival").to_owned(), here.repository().name.clone());
            let place = here.model.add(&owner, &format!("{name}-fork"), false);
            Some(Said::json(202, &here.shapes().repository(&here.model.repositories[place])))
        }
        (&Method::GET, ["branches"]) => here.list(path, branches(here)),
        (&Method::GET, ["branches", name @ ..]) => {
            let name = name.join("/");
            let found = branches(here).into_iter().find(|branch| branch["name"] == name.as_str());
            found.map_or_else(not_found, ok)
        }
        (&Method::POST, ["branches", name @ .., "rename"]) => rename(here, &name.join("/")),
        (&Method::GET, ["commits"]) => commits(here, path),
        (&Method::GET, ["commits", id]) => commit(here, id),
        (&Method::GET, ["compare", ends @ ..]) => compare(here, &ends.join("/")),
        (&Method::GET, ["readme"]) => file(here, "about.txt"),
        (&Method::GET, ["contents", name @ ..]) => file(here, &name.join("/")),
        (&Method::PUT | &Method::DELETE, ["contents", name @ ..]) => write(here, &name.join("/")),
        (&Method::POST, ["merges"]) => merge(here),
        (&Method::POST, ["merge-upstream"]) => {
            let branch = here.asked.text("branch").unwrap_or("main").to_owned();
            let path = here.repository().path.clone();
            if objects::resolve(&path, &format!("refs/heads/{branch}")).is_none() {
                return not_found();
            }
            objects::write(&path, &branch, &[("synced.txt", "synced")], "synced with upstream", &[]);
            ok(json!({ "message": "Successfully fetched and fast-forwarded", "merge_type": "fast-forward", "base_branch": branch }))
        }
        (&Method::GET, [format @ ("tarball" | "zipball"), name @ ..]) => {
            let name = if name.is_empty() { here.repository().default_branch.clone() } else { name.join("/") };
            Some(Said::moved(302, here.links.stored(&format!("archive/{}/{format}/{name}", here.repository().id))))
        }
        _ => None,
    }
}

fn change(here: &mut Here<'_>) -> Option<Said> {
    let (asked, formerly) = (here.asked, here.repository().full_name());
    let repository = here.repository_mut();
    if let Some(branch) = asked.text("default_branch") {
        branch.clone_into(&mut repository.default_branch);
    }
    if let Some(private) = asked.body["private"].as_bool() {
        repository.private = private;
    }
    if let Some(name) = asked.text("name") {
        name.clone_into(&mut repository.name);
        repository.formerly.push(formerly);
    }
    here.model.settings.push(("PATCH".into(), here.repository().full_name(), asked.body.clone()));
    ok(here.shapes().repository(here.repository()))
}

fn branches(here: &Here<'_>) -> Vec<Value> {
    let (url, default) = (here.shapes().url(here.repository()), &here.repository().default_branch);
    let refs = here.repository().refs();
    let heads = refs.iter().filter_map(|(name, id)| Some((name.strip_prefix("refs/heads/")?, id)));
    let shown = heads.map(|(name, id)| {
        json!({ "name": name, "commit": { "sha": id, "url": format!("{url}/commits/{id}") }, "protected": name == default.as_str() })
    });
    shown.collect()
}

fn rename(here: &mut Here<'_>, name: &str) -> Option<Said> {
    let new = here.asked.text("new_name").unwrap_or("renamed").to_owned();
    let repository = here.repository_mut();
    if objects::git(&repository.path, &["branch", "--force", "--move", "--", name, &new]).is_err() {
        return not_found();
    }
    if repository.default_branch == name {
        repository.default_branch.clone_from(&new);
    }
    created(json!({ "name": new, "protected": false }))
}

fn commits(here: &Here<'_>, path: &[&str]) -> Option<Said> {
    let from = here.asked.in_query("sha").unwrap_or(&here.repository().default_branch);
    let Some(from) = objects::resolve(&here.repository().path, from) else { return not_found() };
    let ids = objects::git(&here.repository().path, &["rev-list", &from]).unwrap_or_default();
    here.list(path, ids.lines().map(|id| here.shapes().commit(here.repository(), id)).collect())
}

fn commit(here: &Here<'_>, revision: &str) -> Option<Said> {
    let repository = here.repository();
    let Some(id) = objects::resolve(&repository.path, revision) else { return invalid("No commit found for SHA") };
    let difference = ["show", "--format=", &id];
    if here.asked.wants("diff") || here.asked.wants("patch") {
        return Some(Said::text("text/plain; charset=utf-8", objects::bytes(&repository.path, &difference).unwrap_or_default()));
    }
    let mut shown = here.shapes().commit(repository, &id);
    shown["files"] = files(here, &[&difference[..], &["--numstat"]].concat()).into();
    shown["stats"] = json!({ "total": 1, "additions": 1, "deletions": 0 });
    ok(shown)
}

/// Changed files, as `--numstat` says.
pub(super) fn files(here: &Here<'_>, arguments: &[&str]) -> Vec<Value> {
    let told = objects::git(&here.repository().path, arguments).unwrap_or_default();
    let lines = told.lines().filter_map(|line| {
        let [added, removed, name] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let [added, removed] = [added, removed].map(|count| count.parse::<u64>().unwrap_or_default());
        let url = format!("{}/contents/{name}", here.shapes().url(here.repository()));
        Some(json!({
            "sha": "0".repeat(40), "filename": name, "status": "modified", "additions": added, "deletions": removed, "changes": added + removed,
            "blob_url": url, "raw_url": url, "contents_url": url, "patch": here.repository().marker,
        }))
    });
    lines.collect()
}

fn compare(here: &Here<'_>, ends: &str) -> Option<Said> {
    let repository = here.repository();
    let Some((base, head)) = ends.split_once("...") else { return not_found() };
    // `owner:branch` is a branch of another repository of the network, which here is this one.
    let [base, head] = [base, head].map(|end| end.rsplit(':').next().unwrap_or(end));
    let ([Some(from), Some(to)], whole) = ([base, head].map(|end| objects::resolve(&repository.path, end)), format!("{base}...{head}"))
    else {
        return not_found();
    };
    let difference = ["diff", &format!("{from}...{to}")];
    if here.asked.wants("diff") || here.asked.wants("patch") {
        return Some(Said::text("text/plain; charset=utf-8", objects::bytes(&repository.path, &difference).unwrap_or_default()));
    }
    let count =
        |range: String| objects::git(&repository.path, &["rev-list", "--count", &range]).ok().and_then(|text| text.parse::<u64>().ok());
    let (ahead, behind) = (count(format!("{from}..{to}")), count(format!("{to}..{from}")));
    let commits = objects::git(&repository.path, &["rev-list", "--reverse", &format!("{from}..{to}")]).unwrap_or_default();
    let commits: Vec<_> = commits.lines().map(|id| here.shapes().commit(repository, id)).collect();
    let state = match (ahead, behind) {
        (Some(0), Some(0)) => "identical",
        (Some(0), _) => "behind",
        (_, Some(0)) => "ahead",
        _ => "diverged",
    };
    let base = objects::git(&repository.path, &["merge-base", &from, &to]).unwrap_or_default();
    ok(json!({
        "url": whole, "status": state, "ahead_by": ahead, "behind_by": behind, "total_commits": commits.len(), "commits": commits,
        "base_commit": here.shapes().commit(repository, &from), "merge_base_commit": here.shapes().commit(repository, &base),
        "files": files(here, &[&difference[..], &["--numstat"]].concat()),
    }))
}

fn file(here: &Here<'_>, name: &str) -> Option<Said> {
    let repository = here.repository();
    let revision = here.asked.in_query("ref").unwrap_or(&repository.default_branch);
    let Some(commit) = objects::resolve(&repository.path, revision) else { return not_found() };
    let place = format!("{commit}:{}", name.trim_matches('/'));
    let Ok(id) = objects::git(&repository.path, &["rev-parse", "--verify", "--quiet", &place]) else { return not_found() };
    let url = |name: &str| format!("{}/contents/{name}", here.shapes().url(repository));
    if objects::kind(&repository.path, &id).as_deref() == Some("tree") {
        let told = objects::git(&repository.path, &["ls-tree", &id]).unwrap_or_default();
        let entries = told.lines().filter_map(|line| {
            let (facts, entry) = line.split_once('\t')?;
            let [_, kind, id] = facts.split(' ').collect::<Vec<_>>()[..] else { return None };
            let path = format!("{name}/{entry}");
            let kind = if kind == "tree" { "dir" } else { "file" };
            Some(json!({ "type": kind, "name": entry, "path": path.trim_start_matches('/'), "sha": id, "size": 0, "url": url(&path) }))
        });
        return ok(entries.collect::<Vec<_>>().into());
    }
    let content = objects::bytes(&repository.path, &["cat-file", "blob", &id]).unwrap_or_default();
    if here.asked.wants("raw") {
        return Some(Said::text("application/vnd.github.raw; charset=utf-8", content));
    }
    ok(json!({
        "type": "file", "encoding": "base64", "size": content.len(), "name": name.rsplit('/').next(), "path": name, "sha": id, "url": url(name),
        "content": BASE64_STANDARD.encode(&content), "html_url": url(name), "git_url": url(name), "download_url": url(name),
        "_links": { "self": url(name), "git": url(name), "html": url(name) },
    }))
}

/// Writes or removes one file by a commit; without a branch on the default one.
fn write(here: &Here<'_>, name: &str) -> Option<Said> {
    let (repository, asked) = (here.repository(), here.asked);
    let branch = asked.text("branch").unwrap_or(&repository.default_branch);
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let Some(tip) = objects::resolve(&repository.path, &format!("refs/heads/{branch}")) else { return not_found() };
    let content = BASE64_STANDARD.decode(asked.text("content").unwrap_or_default().replace('\n', "")).unwrap_or_default();
    let is_written = asked.method == Method::PUT;
    let (files, removed) = ([(name, &content[..])], [name]);
    let tree = objects::amended(&repository.path, &tip, &files[..usize::from(is_written)], &removed[..usize::from(!is_written)]);
    let Ok(made) = tree.and_then(|tree| objects::commit(&repository.path, &tree, &[&tip], asked.text("message").unwrap_or("change")))
    else {
        return invalid("Invalid request");
    };
    objects::set(&repository.path, &format!("refs/heads/{branch}"), &made).ok()?;
    let content = if is_written { json!({ "name": name, "path": name, "sha": "0".repeat(40) }) } else { Value::Null };
    let shown = json!({ "content": content, "commit": here.shapes().commit(repository, &made)["commit"] });
    if is_written { created(shown) } else { ok(shown) }
}

fn merge(here: &Here<'_>) -> Option<Said> {
    let (repository, asked) = (here.repository(), here.asked);
    let (Some(base), Some(head)) = (asked.text("base"), asked.text("head")) else { return invalid("base and head are needed") };
    let base = base.strip_prefix("refs/heads/").unwrap_or(base);
    let [Some(into), Some(from)] = [&format!("refs/heads/{base}"), head].map(|name| objects::resolve(&repository.path, name)) else {
        return not_found();
    };
    let message = asked.text("commit_message").unwrap_or("merge");
    let Ok(made) = objects::merged(&repository.path, &into, &from, message) else {
        return Some(Said::json(409, &json!({ "message": "Merge conflict" })));
    };
    objects::set(&repository.path, &format!("refs/heads/{base}"), &made).ok()?;
    created(here.shapes().commit(repository, &made))
}

//! Every write operation of GitHub's own description, sent with arguments that it would take: for the granted repository and for one that is
//! not, about the session's branch and about another, with all of its fields and with those that have to be there.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};

use crate::harness::{
    fake::model::{Model, US},
    gate::{Door, EVERYTHING, Gate, Sent, USUAL, assert_refused},
};

/// What a call is about.
#[derive(Debug, Clone, Copy)]
struct About<'a> {
    model: &'a Model,
    /// The place of its repository in the model.
    place: usize,
    /// Whether it is about the branch that the session may push, or about another.
    own: bool,
    /// Whether it has every field that it may have, or only those that it must have.
    whole: bool,
}

/// An operation of the description, with all of it at hand.
struct Operation<'d> {
    description: &'d Value,
    method: &'d str,
    template: &'d str,
    says: &'d Value,
}

impl About<'_> {
    /// What a field of this name holds, where the name says it.
    fn named(self, name: &str) -> Option<Value> {
        let repository = &self.model.repositories[self.place];
        let pull = repository.issue(if self.own { 3 } else { 2 })?;
        let of_lines = pull.pull.as_ref()?;
        let run = repository.runs.iter().find(|run| run.branch == if self.own { "agent/fix-1" } else { "main" })?;
        let branch = if self.own { "agent/fix-1" } else { "main" };
        Some(match name {
            "owner" | "org" | "template_owner" => json!(repository.owner),
            "repo" | "template_repo" => json!(repository.name),
            "pull_number" | "issue_number" => json!(pull.number),
            "comment_id" => json!(pull.comments[0].id),
            "review_id" => json!(of_lines.reviews[0].id),
            "run_id" => json!(run.id),
            "job_id" => json!(run.job),
            "artifact_id" => json!(run.artifact),
            "workflow_id" => json!(1),
            "release_id" => json!(repository.releases[0].id),
            "asset_id" => json!(repository.releases[0].assets[0].id),
            "repository_id" | "head_repository_id" => json!(repository.id),
            "selected_repository_ids" | "repository_ids" => json!([repository.id]),
            "branch" | "base" | "head" | "target_commitish" | "default_branch" | "head_branch" => json!(branch),
            "new_name" => json!(if self.own { "agent/new" } else { "renamed" }),
            "tag_name" => json!(if self.own { "v9" } else { "v1" }),
            "sha" | "commit_sha" | "head_sha" | "commit_id" | "object" | "commit_oid" => json!(repository.refs()["refs/heads/main"]),
            "event" => json!(if self.own { "COMMENT" } else { "APPROVE" }),
            "username" | "assignee" | "new_owner" => json!("rival"),
            "assignees" | "reviewers" => json!(["rival"]),
            "labels" => json!(["bug"]),
            "force" => json!(true),
            "content" => json!("eA=="),
            "message" | "title" | "body" | "name" => json!("plain words"),
            "path" => json!("a.txt"),
            _ => return None,
        })
    }
}

impl Operation<'_> {
    fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        let pointer = value["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        pointer.and_then(|pointer| self.description.pointer(pointer)).map_or(value, |found| self.resolved(found))
    }

    fn path(&self, about: About<'_>) -> String {
        let parameters = self.says["parameters"].as_array().into_iter().flatten().map(|parameter| self.resolved(parameter));
        let mut path = self.template.to_owned();
        for parameter in parameters.filter(|parameter| parameter["in"] == "path") {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = match name {
                "ref" => json!(if about.own { "heads/agent/fix-1" } else { "heads/main" }),
                name => about.named(name).unwrap_or_else(|| self.example(about, name, &parameter["schema"], 0)),
            };
            let text = value.as_str().map_or_else(|| value.to_string(), |text| text.replace(' ', "-"));
            let text = if name == "branch" { text.replace('/', "%2F") } else { text };
            path = path.replace(&format!("{{{name}}}"), &text);
        }
        path
    }

    fn body(&self, about: About<'_>) -> Option<Value> {
        let content = &self.resolved(&self.says["requestBody"])["content"]["application/json"];
        if content.is_null() {
            return None;
        }
        Some(self.example(about, "", &content["schema"], 0))
    }

    /// Something that a schema describes.
    fn example(&self, about: About<'_>, name: &str, schema: &Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        if name == "ref" {
            return json!(if about.own { "refs/heads/agent/new" } else { "refs/heads/main" });
        }
        if let Some(value) = about.named(name) {
            return value;
        }
        let alternatives = ["oneOf", "anyOf", "allOf"].into_iter().find_map(|key| schema[key].as_array()?.first());
        if let Some(alternative) = alternatives.filter(|_| schema["properties"].is_null()) {
            return self.example(about, name, alternative, depth + 1);
        }
        if let Some(fields) = schema["properties"].as_object() {
            return self.object(about, schema, fields, depth);
        }
        if let Some(value) = schema["enum"].as_array().and_then(|all| all.first()) {
            return value.clone();
        }
        if !schema["example"].is_null() && !schema["example"].is_object() {
            return schema["example"].clone();
        }
        match schema["type"].as_str() {
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("array") if depth < MAX_DEPTH => json!([self.example(about, "", &schema["items"], depth + 1)]),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!("x"),
        }
    }

    fn object(&self, about: About<'_>, schema: &Value, fields: &Map<String, Value>, depth: usize) -> Value {
        let required: BTreeSet<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let wanted = fields.iter().filter(|(key, _)| depth < MAX_DEPTH && (about.whole || required.contains(key.as_str())));
        let object: Map<_, _> = wanted.map(|(key, schema)| (key.clone(), self.example(about, key, schema, depth + 1))).collect();
        object.into()
    }
}

/// Sends every write, and says which operations reached the GitHub.
#[track_caller]
fn send_all(gate: &Gate) -> BTreeSet<String> {
    let description = description();
    let (mut refused, mut sent, mut reached) = (0, 0, BTreeSet::new());
    for (template, methods) in description["paths"].as_object().expect("paths") {
        for (method, says) in methods.as_object().into_iter().flatten().filter(|(method, _)| WRITES.contains(&method.as_str())) {
            let operation = Operation { description: &description, method, template, says };
            for (place, own, whole) in [0, 1, 2].into_iter().flat_map(|place| KINDS.map(|(own, whole)| (place, own, whole))) {
                if send(gate, &operation, place, own, whole) {
                    refused += 1;
                } else {
                    sent += 1;
                    reached.insert(format!("{} {template}", method.to_ascii_uppercase()));
                }
            }
        }
    }
    assert_eq!(gate.writes().len(), sent, "what was not refused went upstream, and nothing else");
    crate::harness::eventually("every refusal is on record", || gate.denials().len() == refused);
    reached
}

/// Whether it was refused.
#[track_caller]
fn send(gate: &Gate, operation: &Operation<'_>, place: usize, own: bool, whole: bool) -> bool {
    let (path, body) = {
        let model = gate.fake.model();
        let about = About { model: &model, place, own, whole };
        (operation.path(about), operation.body(about).map(|body| body.to_string()).unwrap_or_default())
    };
    let lines: &[&str] = if body.is_empty() { &[] } else { &["Content-Type: application/json"] };
    let method = operation.method.to_ascii_uppercase();
    let reply = gate.send(Sent { method: &method, path: &path, lines, body: body.as_bytes() });
    let what = format!("{method} {path} {body}");
    for foreign in ["marker-of-octo-secret", "marker-of-acme-tools"] {
        assert!(!reply.text().contains(foreign), "{what}: {}", reply.text());
    }
    if reply.reason().is_empty() {
        assert!(reply.status < 500 && place == 0, "{what}: {reply:?}");
        return false;
    }
    assert_refused(&reply, &what);
    true
}

#[track_caller]
fn description() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/components/openapi/generated/api.github.com.json");
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}: make setup", file.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// Fails unless all is as it was but for what the table lets a session do: its own branches and tags, and what it said itself.
#[track_caller]
fn assert_kept(gate: &Gate, before: &Value) {
    let now = gate.fake.state();
    for setting in now["settings"].as_array().expect("settings") {
        let [method, path] = [0, 1].map(|place| setting[place].as_str().unwrap_or_default());
        let rest = path.strip_prefix("repos/octo/spoon/").unwrap_or_else(|| panic!("{setting:#}"));
        let is_harmless = HARMLESS.iter().any(|(harmless, begin)| *harmless == method && rest.starts_with(begin));
        assert!(is_harmless, "{setting:#}");
    }
    let names = |state: &Value| state["repositories"].as_object().expect("repositories").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&now), names(before), "the same repositories");
    for name in ["octo/secret", "acme/tools"] {
        assert_eq!(now["repositories"][name], before["repositories"][name], "{name}");
    }
    let [was, is] = [before, &now].map(|state| &state["repositories"]["octo/spoon"]);
    for field in ["id", "owner", "name", "private", "default_branch"] {
        assert_eq!(is[field], was[field], "{field}");
    }
    let refs = |state: &Value| {
        let mut refs = state["refs"].as_object().expect("refs").clone();
        refs.retain(|name, _| !name.starts_with("refs/heads/agent/") && !name.starts_with("refs/tags/v9"));
        refs
    };
    assert_eq!(refs(is), refs(was), "no ref that is not the session's has moved");
    let model = gate.fake.model();
    let ours = &model.repositories[0];
    for (number, issue) in was["issues"].as_array().expect("issues").iter().enumerate() {
        let now = &is["issues"][number];
        for comment in issue["comments"].as_array().expect("comments") {
            let mut kept = now["comments"].as_array().expect("comments").iter();
            assert!(kept.any(|other| other["id"] == comment["id"] && other["body"] == comment["body"]), "{comment:#}");
        }
        assert_eq!((&now["author"], &now["pull"]["merged"]), (&issue["author"], &issue["pull"]["merged"]));
    }
    let other = ours.issue(2).expect("a pull request of others");
    assert_eq!((other.open, other.pull.as_ref().expect("one").base.as_str()), (true, "main"));
    let reviews = ours.issues.iter().filter_map(|issue| issue.pull.as_ref()).flat_map(|pull| &pull.reviews);
    assert!(reviews.clone().all(|review| review.state != "APPROVED" && review.state != "DISMISSED"), "nothing was approved");
    assert!(reviews.filter(|review| review.author != US).all(|review| review.body == "marker-of-octo-spoon"));
}

/// Threat 121.
#[test]
fn threat_121_every_write_of_the_description_with_the_usual_grants() {
    let gate = Gate::granting(Door::Git, USUAL);
    let before = gate.fake.state();
    let reached = send_all(&gate);
    assert_kept(&gate, &before);
    assert_eq!(reached.iter().map(String::as_str).collect::<Vec<_>>(), REACHED_BY_USUAL);
    gate.finish();
}

/// Threat 121.
#[test]
fn threat_121_every_write_of_the_description_with_every_grant() {
    let gate = Gate::granting(Door::Git, EVERYTHING);
    let before = gate.fake.state();
    let reached = send_all(&gate);
    assert_kept(&gate, &before);
    let reached: Vec<_> = reached.iter().map(String::as_str).collect();
    assert_eq!(reached, REACHED_BY_EVERY);
    gate.finish();
}

const WRITES: &[&str] = &["post", "put", "patch", "delete"];
const KINDS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];
/// How deep bodies are.
const MAX_DEPTH: usize = 4;

/// What a session may do that nothing else depends on, and that has no other effect in this GitHub.
const HARMLESS: &[(&str, &str)] = &[
    ("POST", "releases/"),
    ("DELETE", "releases/"),
    ("POST", "milestones"),
    ("PATCH", "milestones/"),
    ("DELETE", "milestones/"),
    ("PATCH", "labels/"),
    ("DELETE", "labels/"),
];

/// What of all this a session with the usual grants does.
const REACHED_BY_USUAL: &[&str] = &[
    "DELETE /repos/{owner}/{repo}/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/releases/{release_id}/reactions/{reaction_id}",
    "PATCH /repos/{owner}/{repo}/issues/{issue_number}",
    "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
    "POST /repos/{owner}/{repo}/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/commits/{commit_sha}/comments",
    "POST /repos/{owner}/{repo}/issues",
    "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/reactions",
    "POST /repos/{owner}/{repo}/merge-upstream",
    "POST /repos/{owner}/{repo}/merges",
    "POST /repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/comments",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
    "POST /repos/{owner}/{repo}/releases/generate-notes",
    "POST /repos/{owner}/{repo}/releases/{release_id}/reactions",
    "PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch",
];

/// And one with every grant.
const REACHED_BY_EVERY: &[&str] = &[
    "DELETE /repos/{owner}/{repo}/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/contents/{path}",
    "DELETE /repos/{owner}/{repo}/git/refs/{ref}",
    "DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/assignees",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions/{reaction_id}",
    "DELETE /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
    "DELETE /repos/{owner}/{repo}/releases/{release_id}/reactions/{reaction_id}",
    "PATCH /repos/{owner}/{repo}/git/refs/{ref}",
    "PATCH /repos/{owner}/{repo}/issues/{issue_number}",
    "PATCH /repos/{owner}/{repo}/milestones/{milestone_number}",
    "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
    "POST /repos/{owner}/{repo}/actions/jobs/{job_id}/rerun",
    "POST /repos/{owner}/{repo}/actions/runs/{run_id}/cancel",
    "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun",
    "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
    "POST /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches",
    "POST /repos/{owner}/{repo}/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/commits/{commit_sha}/comments",
    "POST /repos/{owner}/{repo}/git/blobs",
    "POST /repos/{owner}/{repo}/git/commits",
    "POST /repos/{owner}/{repo}/git/refs",
    "POST /repos/{owner}/{repo}/git/tags",
    "POST /repos/{owner}/{repo}/git/trees",
    "POST /repos/{owner}/{repo}/issues",
    "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/assignees",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/reactions",
    "POST /repos/{owner}/{repo}/labels",
    "POST /repos/{owner}/{repo}/merge-upstream",
    "POST /repos/{owner}/{repo}/merges",
    "POST /repos/{owner}/{repo}/milestones",
    "POST /repos/{owner}/{repo}/pulls/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/comments",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
    "POST /repos/{owner}/{repo}/releases",
    "POST /repos/{owner}/{repo}/releases/generate-notes",
    "POST /repos/{owner}/{repo}/releases/{release_id}/reactions",
    "PUT /repos/{owner}/{repo}/contents/{path}",
    "PUT /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch",
];

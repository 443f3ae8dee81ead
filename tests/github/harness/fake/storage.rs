//! Where a GitHub keeps files: behind links that are good for whoever has them, and for nobody who shows a credential besides.

use serde_json::{Value, json};

use super::{
    model::{Model, Repository},
    objects,
    rest::{Asked, Said},
    shapes::Links,
};

pub(super) fn answer(model: &Model, links: &Links, asked: &Asked, has_credential: bool) -> Said {
    let refused = |status, why: &str| Said::json(status, &Value::from(why));
    if has_credential {
        return refused(400, "only one way to prove who you are is allowed");
    }
    if !asked.query.iter().any(|(key, value)| key == "sig" && *value == links.signature) {
        return refused(403, "the signature does not match");
    }
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let id = path.get(1).and_then(|id| id.parse().ok()).unwrap_or_default();
    let find = |has: &dyn Fn(&Repository) -> bool| model.repositories.iter().find(|repository| has(repository));
    let content = match path[..] {
        ["archive", _, format, ref name @ ..] => find(&|repository| repository.id == id).and_then(|repository| {
            let format = if format == "zipball" { "--format=zip" } else { "--format=tar.gz" };
            objects::bytes(&repository.path, &["archive", format, "--prefix=archive/", &name.join("/")]).ok()
        }),
        ["asset", _] => model
            .repositories
            .iter()
            .flat_map(|repository| &repository.releases)
            .flat_map(|release| &release.assets)
            .find(|asset| asset.id == id)
            .map(|asset| asset.content.clone()),
        ["log" | "artifact", _] => find(&|repository| repository.runs.iter().any(|run| [run.id, run.job, run.artifact].contains(&id)))
            .map(|repository| format!("{} of {}", path[0], repository.marker).into_bytes()),
        _ => None,
    };
    let Some(body) = content else { return Said::json(404, &json!("no such file")) };
    Said { status: 200, headers: vec![("content-type", "application/octet-stream".to_owned())], body }
}

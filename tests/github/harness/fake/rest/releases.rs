//! Releases and their files.

use http::Method;
use serde_json::json;

use super::{Here, Said, created, not_found, ok};
use crate::harness::fake::{
    model::{Asset, Release},
    objects,
};

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let ["releases", rest @ ..] = path else { return None };
    let (method, asked) = (here.asked.method.clone(), here.asked);
    match (&method, rest) {
        (&Method::GET, []) => {
            let releases = here.repository().releases.iter();
            here.list(path, releases.map(|release| here.shapes().release(here.repository(), release)).collect())
        }
        (&Method::POST, []) => create(here),
        (&Method::POST, ["generate-notes"]) => ok(json!({ "name": asked.text("tag_name"), "body": here.repository().marker })),
        (&Method::GET, ["latest"]) => show(here, here.repository().releases.last()),
        (&Method::GET, ["tags", tag @ ..]) => {
            let tag = tag.join("/");
            show(here, here.repository().releases.iter().find(|release| release.tag == tag))
        }
        (_, ["assets", id]) => asset(here, &method, id.parse().ok()?),
        (_, [id, rest @ ..]) => {
            let id: u64 = id.parse().ok()?;
            let Some(place) = here.repository().releases.iter().position(|release| release.id == id) else { return not_found() };
            of_one(here, &method, place, rest)
        }
        _ => None,
    }
}

fn show(here: &Here<'_>, release: Option<&Release>) -> Option<Said> {
    release.map_or_else(not_found, |release| ok(here.shapes().release(here.repository(), release)))
}

fn of_one(here: &mut Here<'_>, method: &Method, place: usize, path: &[&str]) -> Option<Said> {
    let asked = here.asked;
    match (method, path) {
        (&Method::GET, []) => show(here, here.repository().releases.get(place)),
        (&Method::PATCH, []) => {
            let release = &mut here.repository_mut().releases[place];
            let fields = [("tag_name", &mut release.tag), ("name", &mut release.name), ("body", &mut release.body)];
            for (name, field) in fields {
                if let Some(text) = asked.text(name) {
                    text.clone_into(field);
                }
            }
            tag(here, place);
            show(here, here.repository().releases.get(place))
        }
        (&Method::DELETE, []) => {
            here.repository_mut().releases.remove(place);
            Some(Said::empty())
        }
        (&Method::GET, ["assets"]) => {
            let assets = here.repository().releases[place].assets.iter();
            ok(assets.map(|asset| here.shapes().asset(here.repository(), asset)).collect::<Vec<_>>().into())
        }
        (&Method::POST, ["assets"]) => {
            let name = asked.in_query("name").unwrap_or("nameless").to_owned();
            let asset = Asset { id: here.model.next(), name, content: asked.bytes.clone() };
            here.repository_mut().releases[place].assets.push(asset);
            created(here.shapes().asset(here.repository(), here.repository().releases[place].assets.last()?))
        }
        _ => None,
    }
}

fn create(here: &mut Here<'_>) -> Option<Said> {
    let asked = here.asked;
    let text = |name: &str| asked.text(name).unwrap_or_default().to_owned();
    let target = asked.text("target_commitish").unwrap_or(&here.repository().default_branch).to_owned();
    let draft = asked.body["draft"].as_bool().unwrap_or_default();
    let (tag_name, name, body, id) = (text("tag_name"), text("name"), text("body"), here.model.next());
    here.repository_mut().releases.push(Release { id, tag: tag_name, target, name, body, draft, assets: Vec::new() });
    tag(here, here.repository().releases.len() - 1);
    created(here.shapes().release(here.repository(), here.repository().releases.last()?))
}

/// A release that is no draft has a tag: it is made where there is none.
fn tag(here: &Here<'_>, place: usize) {
    let (repository, release) = (here.repository(), &here.repository().releases[place]);
    let name = format!("refs/tags/{}", release.tag);
    if !release.draft
        && !repository.refs().contains_key(&name)
        && let Some(commit) = objects::resolve(&repository.path, &release.target)
    {
        let _ = objects::set(&repository.path, &name, &commit);
    }
}

fn asset(here: &mut Here<'_>, method: &Method, id: u64) -> Option<Said> {
    let asked = here.asked;
    let list = here.repository_mut().releases.iter_mut().map(|release| &mut release.assets);
    let found = list.into_iter().find_map(|list| list.iter().position(|asset| asset.id == id).map(|place| (list, place)));
    let Some((list, place)) = found else { return not_found() };
    match *method {
        Method::DELETE => {
            list.remove(place);
            return Some(Said::empty());
        }
        Method::PATCH => asked.text("name").unwrap_or_default().clone_into(&mut list[place].name),
        _ => {}
    }
    if asked.wants("octet-stream") {
        return Some(Said::moved(302, here.links.stored(&format!("asset/{id}"))));
    }
    let asset = here.repository().releases.iter().flat_map(|release| &release.assets).find(|asset| asset.id == id)?;
    ok(here.shapes().asset(here.repository(), asset))
}

//! GitHub's REST API, as lenient as any server behind such a name may be: what of a request is meant, a careless reader decides here.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
};

use http::Method;
use serde_json::{Value, json};

use super::{
    model::{Model, Repository, US},
    shapes::{Links, Shapes},
};

mod account;
mod actions;
mod git;
mod issues;
mod pulls;
mod releases;
mod repository;

/// A request as it is understood.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Decoded, without empty segments and `.`; a `..` has gone up.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) accept: String,
    pub(crate) if_none_match: Option<String>,
    /// Null where it is no JSON.
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
    /// Whether it carries the real credential.
    pub(crate) known: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Said {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let content_type = ("content-type", "application/json; charset=utf-8".to_owned());
        Self { status, headers: vec![content_type], body: serde_json::to_vec(body).expect("JSON") }
    }

    fn text(content_type: &str, body: Vec<u8>) -> Self {
        Self { status: 200, headers: vec![("content-type", content_type.to_owned())], body }
    }

    fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    fn moved(status: u16, to: String) -> Self {
        let mut said = Self::json(status, &json!({ "message": "Moved", "url": to }));
        said.headers.push(("location", to));
        said
    }
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "it ends an arm of a match, as what is no path there ends it by none"
)]
fn ok(body: Value) -> Option<Said> {
    Some(Said::json(200, &body))
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "it ends an arm of a match, as what is no path there ends it by none"
)]
fn created(body: Value) -> Option<Said> {
    Some(Said::json(201, &body))
}

#[expect(clippy::unnecessary_wraps, reason = "what is no path there is answered by none")]
fn not_found() -> Option<Said> {
    Some(Said::json(404, &json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404" })))
}

#[expect(clippy::unnecessary_wraps, reason = "what is no path there is answered by none")]
fn invalid(message: &str) -> Option<Said> {
    Some(Said::json(422, &json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": "422" })))
}

impl Asked {
    /// A field of the body, or else of the query.
    fn text(&self, name: &str) -> Option<&str> {
        self.body[name].as_str().or_else(|| self.in_query(name))
    }

    fn in_query(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let list = if self.body.is_array() { &self.body } else { &self.body[name] };
        list.as_array().into_iter().flatten().filter_map(|value| value.as_str().or(value["name"].as_str())).map(str::to_owned).collect()
    }

    fn wants(&self, kind: &str) -> bool {
        self.accept.contains(kind)
    }
}

/// What a request within one repository finds there.
struct Here<'h> {
    model: &'h mut Model,
    links: &'h Links,
    asked: &'h Asked,
    place: usize,
}

impl Here<'_> {
    fn repository(&self) -> &Repository {
        &self.model.repositories[self.place]
    }

    fn repository_mut(&mut self) -> &mut Repository {
        &mut self.model.repositories[self.place]
    }

    fn shapes(&self) -> Shapes<'_> {
        Shapes { model: self.model, links: self.links }
    }

    /// One page of these, and where the others are.
    fn list(&self, path: &[&str], all: Vec<Value>) -> Option<Said> {
        ok_page(self.asked, all, |page, size| {
            let (api, id, rest) = (&self.links.api, self.repository().id, path.join("/"));
            format!("{api}/repositories/{id}/{rest}?page={page}&per_page={size}")
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what is no path there is answered by none")]
fn ok_page(asked: &Asked, all: Vec<Value>, link: impl Fn(usize, usize) -> String) -> Option<Said> {
    let number = |name: &str, otherwise: usize| asked.in_query(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise).max(1);
    let (page, size) = (number("page", 1), number("per_page", 30).min(100));
    let last = all.len().div_ceil(size).max(1);
    let shown: Vec<_> = all.into_iter().skip((page - 1) * size).take(size).collect();
    let mut said = Said::json(200, &shown.into());
    let mut links = Vec::new();
    if page > 1 {
        links.extend([(page - 1, "prev"), (1, "first")]);
    }
    if page < last {
        links.extend([(page + 1, "next"), (last, "last")]);
    }
    if !links.is_empty() {
        let links: Vec<_> = links.iter().map(|(page, relation)| format!("<{}>; rel=\"{relation}\"", link(*page, size))).collect();
        said.headers.push(("link", links.join(", ")));
    }
    Some(said)
}

/// What GitHub would answer, and do.
pub(crate) fn answer(model: &mut Model, links: &Links, asked: &Asked) -> Said {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let is_read = asked.method == Method::GET;
    let said = if !is_read && !asked.known {
        Some(Said::json(401, &json!({ "message": "Requires authentication" })))
    } else {
        match path[..] {
            ["repos", owner, name, ref rest @ ..] => match model.named(owner, name) {
                Ok(place) => within(model, links, asked, place, rest),
                Err(Some(place)) => {
                    let to = format!("{}/repositories/{}/{}", links.api, model.repositories[place].id, rest.join("/"));
                    Some(Said::moved(if is_read { 301 } else { 307 }, to.trim_end_matches('/').to_owned()))
                }
                Err(None) => not_found(),
            },
            ["repositories", id, ref rest @ ..] => match id.parse().ok().and_then(|id| model.numbered(id)) {
                Some(place) => within(model, links, asked, place, rest),
                None => not_found(),
            },
            _ => account::answer(model, links, asked, &path),
        }
    };
    let said = said.unwrap_or_else(|| {
        if is_read {
            return not_found().expect("an answer");
        }
        model.settings.push((asked.method.to_string(), path.join("/"), asked.body.clone()));
        Said::json(if asked.method == Method::POST { 201 } else { 200 }, &json!({ "id": 1, "node_id": "X_1", "written": path.join("/") }))
    });
    dressed(asked, said)
}

fn within(model: &mut Model, links: &Links, asked: &Asked, place: usize, rest: &[&str]) -> Option<Said> {
    if model.repositories[place].private && !asked.known {
        return not_found();
    }
    let mut here = Here { model, links, asked, place };
    for part in [repository::answer, git::answer, pulls::answer, issues::answer, releases::answer, actions::answer] {
        if let Some(said) = part(&mut here, rest) {
            return Some(said);
        }
    }
    // What is read of it and is nothing of the above says whose it is.
    if asked.method == Method::GET { ok(json!({ "of": here.repository().marker, "read": rest.join("/") })) } else { None }
}

/// With what GitHub has in every answer, and more than a sandbox should see.
fn dressed(asked: &Asked, mut said: Said) -> Said {
    let mut hasher = DefaultHasher::new();
    said.body.hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    if asked.method == Method::GET && said.status == 200 {
        if asked.if_none_match.as_deref() == Some(&tag) {
            (said.status, said.body) = (304, Vec::new());
        }
        said.headers.push(("etag", tag));
        said.headers.push(("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT".to_owned()));
    }
    let every = [
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "4987"),
        ("x-ratelimit-used", "13"),
        ("x-ratelimit-reset", "1795180000"),
        ("x-ratelimit-resource", "core"),
        ("x-github-media-type", "github.v3; format=json"),
        ("x-github-request-id", "AAAA:BBBB:1:2:3"),
        ("x-github-api-version-selected", "2022-11-28"),
        ("cache-control", "private, max-age=60, s-maxage=60"),
        ("vary", "Accept, Authorization, Cookie, X-GitHub-OTP"),
        ("x-oauth-scopes", "admin:org, repo, workflow"),
        ("x-accepted-oauth-scopes", "repo"),
        ("x-oauth-client-id", "178c6fc778ccc68e1d6a"),
        ("github-authentication-token-expiration", "2027-01-01 00:00:00 UTC"),
        ("set-cookie", "logged_in=yes; domain=github.test; HttpOnly"),
        ("x-deny-reason", "of-the-origin"),
        ("server", "github.com"),
    ];
    said.headers.extend(every.map(|(name, value)| (name, value.to_owned())));
    said
}

/// Who wrote what is written now.
fn author() -> String {
    US.to_owned()
}

//! Path and query of a call.

use super::CallError;
use crate::{
    github::form::{decoded, encoded},
    wire::{excerpt, path::CanonicalTarget},
};

type Segments = Vec<Box<str>>;
type Query = Vec<(Box<str>, Box<str>)>;

/// The decoded segments of an origin-form and the fields of its query. A slash at the end of the path says nothing: clients write one where
/// what would follow is empty.
pub(super) fn read(target: &str) -> Result<(Segments, Query), CallError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok((segments(path)?, fields(query)?))
}

/// The same as it leaves; `repository` takes the place of the second and third segment.
pub(super) fn write(segments: &[Box<str>], repository: Option<&str>, query: &[(Box<str>, Box<str>)]) -> String {
    let rest = if repository.is_some() { segments.get(3..).unwrap_or_default() } else { segments };
    let before = repository.map(|repository| format!("/repos/{repository}")).unwrap_or_default();
    let path = rest.iter().map(|segment| format!("/{}", encoded(segment))).collect::<Vec<_>>().concat();
    let path = if before.is_empty() && path.is_empty() { "/".to_owned() } else { before + &path };
    let query: Vec<_> = query.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn segments(path: &str) -> Result<Segments, CallError> {
    // An escaped slash is judged as the slash that a server may take it for.
    let apart = path.replace("%2F", "/").replace("%2f", "/");
    let canonical = CanonicalTarget::read(&apart).map_err(|error| CallError::Path(error.to_string().into()))?;
    if path == "/" {
        return Ok(Vec::new());
    }
    let (path, canonical) = match (path.strip_suffix('/'), canonical.path()) {
        (None, canonical) => (path, canonical),
        (Some(shorter), canonical) => (shorter, canonical.strip_suffix('/').unwrap_or(canonical)),
    };
    let mut parts = canonical.split('/').skip(1).map(|part| {
        let spelled = decoded(&part.replace('+', "%2B")).filter(|part| !part.is_empty());
        spelled
            .ok_or_else(|| CallError::Path(format!("a path does not end with an escaped slash: \"{}\"", excerpt(path.as_bytes())).into()))
    });
    let together = |segment: &str| {
        let count = 1 + segment.matches("%2F").count() + segment.matches("%2f").count();
        Ok(parts.by_ref().take(count).collect::<Result<Vec<_>, CallError>>()?.join("/").into())
    };
    path.split('/').skip(1).map(together).collect()
}

fn fields(query: &str) -> Result<Query, CallError> {
    let mut fields = Query::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).filter(|value| !value.contains(char::is_control));
        // A server makes lists and objects of a name with brackets.
        let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        let stands = fields.iter().any(|(known, _)| **known == *key);
        match value {
            Some(value) if is_plain && !stands => fields.push((key.into(), value.into())),
            Some(_) | None => return Err(CallError::Query(excerpt(key.as_bytes()))),
        }
    }
    fields.retain(|(key, _)| !DROPPED.contains(&&**key));
    Ok(fields)
}

/// What would be a credential, or another method than the one that is judged.
const DROPPED: &[&str] = &["access_token", "client_id", "client_secret", "_method"];

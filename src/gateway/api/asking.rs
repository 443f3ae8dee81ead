//! One request to where an API really is, with the owner's credential.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;

use super::Desk;
use crate::{
    credentials::{authorize_api, masker},
    endpoint::Endpoint,
    gateway::{
        Visit,
        body::{Body, Upload},
        errand::product,
    },
    github::RepositoryName,
    policy::grant::Access,
    reason::Reason,
    respond::Refusal,
    secret::Secret,
    wire::masking::Masker,
};

/// A request as it leaves, but for its credential and its body.
pub(super) struct Errand<'e> {
    pub(super) endpoint: &'e Endpoint,
    pub(super) method: Method,
    /// Path and query below the endpoint's own.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// The granted repository whose credential goes along, and for what; none where nobody's does.
    pub(super) credential: Option<(&'e RepositoryName, Access)>,
}

/// An answer, and what takes the credential out of it that went up.
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    pub(super) masker: Option<Masker>,
    /// The upstream turned the credential away, and the next request may have another.
    pub(super) is_renewed: bool,
}

/// Asks. Nothing of the client's goes up that is not in the errand.
pub(super) async fn ask(visit: &Visit<'_>, desk: &Desk<'_>, errand: &Errand<'_>, body: Upload) -> Result<Answered, Refusal> {
    desk.check_restraint()?;
    let Errand { endpoint, method, target, headers, credential } = errand;
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = format!("{}{target}", endpoint.prefix)
        .parse()
        .map_err(|error| Refusal::new(Reason::Internal, format!("The request to {endpoint} cannot be written: {error}.")))?;
    request.headers_mut().clone_from(headers);
    // What is encoded cannot be looked through for the credential.
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut used: Option<(&RepositoryName, Arc<Secret>)> = None;
    if let Some((repository, access)) = credential {
        let secret = visit.secret(desk.forge, repository, *access).await?;
        authorize_api(request.headers_mut(), &secret);
        used = Some((repository, secret));
    }
    visit.gate.spend_head(visit.subject, request.method(), request.uri(), request.headers())?;
    let answer = visit.gate.upstream.exchange(endpoint, &desk.forge.tls, desk.forge.timeouts, request).await?;
    let response = answer.map(|body| body.map_err(Into::into).boxed_unsync());
    let turned_away = used.as_ref().filter(|_| response.status() == StatusCode::UNAUTHORIZED);
    let is_renewed = turned_away.is_some_and(|(repository, secret)| visit.turned_away(desk.forge, repository, secret));
    let masker = used.map(|(_, secret)| masker(&[secret]));
    Ok(Answered { response, masker, is_renewed })
}

/// What of a client's header goes up with a call: what chooses between answers, and what the client is called.
pub(super) fn passed_on(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in &PASSED_ON {
        let mut values = from.get_all(name).iter();
        if let (Some(value), None) = (values.next(), values.next())
            && (name != header::ACCEPT || !asks_for_rendered(value))
        {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::USER_AGENT, product(from).unwrap_or(HeaderValue::from_static("tidegate")));
    headers
}

/// Whether it wants texts rendered (GitHub's media types `html`, `text` and `full`), which shows what the credential's owner may see of whatever
/// they mention.
fn asks_for_rendered(accept: &HeaderValue) -> bool {
    let words = accept.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    words.into_iter().any(|word| RENDERED.iter().any(|rendered| word.eq_ignore_ascii_case(rendered)))
}

const RENDERED: [&[u8]; 3] = [b"html", b"text", b"full"];
const PASSED_ON: [HeaderName; 4] =
    [header::ACCEPT, header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH, HeaderName::from_static("x-github-api-version")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_for_that_is_rendered_for_its_owner() {
        for (accept, goes_on) in [
            ("application/vnd.github+json", true),
            ("application/vnd.github.v3.diff", true),
            ("application/vnd.github.raw+json", true),
            ("*/*", true),
            ("application/vnd.github.html+json", false),
            ("application/vnd.github.v3.FULL+json", false),
            ("application/json, application/vnd.github.text+json;q=0.5", false),
            ("text/html", false),
        ] {
            let from = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(passed_on(&from).contains_key(header::ACCEPT), goes_on, "{accept}");
        }
    }
}

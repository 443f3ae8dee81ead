//! Real credentials of a policy: put into a request in place of the sandbox's own, and kept out of the answer to it.
//!
//! None goes into plain HTTP: there the sandbox's own are removed, and nothing takes their place.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode, response};
use hyper::ext::ReasonPhrase;

use super::{
    Asked, Subject,
    headers::{ask_for_whole, is_encoded},
    masked::mask_values,
};
use crate::{
    credentials::{masker, put_in},
    destination::Destination,
    policy::CredentialFacts,
    reason::Reason,
    respond::Refusal,
    secret::Secret,
    wire::masking::Masker,
};

/// A request whose credentials were judged.
pub(crate) struct Credited {
    /// Path and query as they leave: they may hold a real credential.
    pub(crate) origin_form: String,
    /// What takes the real credentials out of the answer.
    pub(crate) masker: Option<Masker>,
}

/// Takes the sandbox's own credentials out of a request and, where it goes on by verified TLS (`secure`), puts the real ones in, if its
/// destination has any. Such a request asks for
/// the whole of an answer, not encoded, since a piece of a secret cannot be found in what is cut or compressed. The fields of the
/// sandbox's hop are gone already: its `Connection` could name ours. `check` sees what is left of the sandbox's own, before anything
/// real is put in.
///
/// # Errors
/// [`Reason::CredentialNotAllowed`], [`Reason::CredentialUnavailable`] where a source gives nothing, and what `check` finds.
pub(crate) async fn credit(
    subject: &Subject,
    asked: &mut Asked,
    secure: bool,
    destination: &Destination,
    headers: &mut HeaderMap,
    origin_form: &str,
    check: impl FnOnce(&mut Asked, &str, &HeaderMap) -> Result<(), Refusal>,
) -> Result<Credited, Refusal> {
    let names: Vec<_> = headers.keys().cloned().collect();
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    let facts = CredentialFacts { destination, names: &names, origin_form };
    let Some(substitution) = subject.policy().decide_credentials(&facts)? else {
        check(asked, origin_form, headers)?;
        return Ok(Credited { origin_form: origin_form.to_owned(), masker: None });
    };
    asked.would_deny = asked.would_deny.or(substitution.would_deny);
    for name in substitution.removed {
        headers.remove(name);
    }
    let mut origin_form = substitution.origin_form.into_owned();
    check(asked, &origin_form, headers)?;
    if !secure {
        return Ok(Credited { origin_form, masker: None });
    }
    let mut secrets: Vec<Arc<Secret>> = Vec::new();
    for (index, placement) in substitution.put_in {
        let credential = subject.governing.policy.credential(index);
        let credential = credential.ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, NOT_TO_BE_HAD))?;
        let secret = credential.secret().await.map_err(|error| {
            tracing::error!(%error, %destination, "a real credential cannot be had");
            Refusal::new(Reason::CredentialUnavailable, NOT_TO_BE_HAD)
        })?;
        put_in(placement, &secret, headers, &mut origin_form);
        secrets.push(secret);
    }
    ask_for_whole(headers);
    Ok(Credited { origin_form, masker: Some(masker(&secrets)) })
}

/// Masks real credentials in the fields of an answer, whose body goes through [`Masked`](super::masked::Masked).
///
/// # Errors
/// [`Reason::UpstreamClosed`] where the body is encoded, or only a piece: what it holds cannot be seen.
pub(crate) fn mask_head(parts: &mut response::Parts, has_body: bool, masker: &Masker) -> Result<(), Refusal> {
    if has_body && is_encoded(&parts.headers) {
        return Err(Refusal::new(Reason::UpstreamClosed, ENCODED));
    }
    if has_body && parts.status == StatusCode::PARTIAL_CONTENT {
        return Err(Refusal::new(Reason::UpstreamClosed, IN_PIECES));
    }
    mask_values(&mut parts.headers, masker);
    // The origin's own words beside the status code.
    parts.extensions.remove::<ReasonPhrase>();
    Ok(())
}

const NOT_TO_BE_HAD: &str = "The credential for this host cannot be had at the moment; the operator's log says why.";
const ENCODED: &str =
    "The upstream encoded its answer though it was asked not to, and what it shows of the proxy's credential could not be masked.";
const IN_PIECES: &str = "The upstream answered with a piece though it was asked for the whole, and what it shows of the proxy's credential could not be masked.";

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        time::{Duration, SystemTime},
    };

    use http::{HeaderValue, Response};

    use super::*;
    use crate::{
        credentials::{Equipped, Surroundings},
        metrics::{Door, Kind},
        policy::{Policy, grant::Grant},
        sessions::{Entry, SessionSettings, Sessions, Settings},
    };

    const POLICY: &str = "allow = ['a.test', 'b.test', 'c.test']
        [[credential]]
        hosts = ['a.test']
        header = 'x-api-key'
        value = { env = 'KEY' }
        [[credential]]
        hosts = ['a.test', 'b.test']
        query = 'key'
        value = { env = 'KEY' }
        pin = true
        [[credential]]
        hosts = ['c.test']
        basic_user = 'x'
        value = { command = ['false'] }";

    fn subject() -> Subject {
        let (policy, _) = Policy::parse("policy.toml", POLICY).unwrap();
        let surroundings = Surroundings {
            directory: Path::new(""),
            variable: &|_| Some("real/credential".into()),
            file: &|path| std::fs::read(path),
            patience: Duration::from_secs(60),
        };
        let policy = Arc::new(Equipped::new(policy, &surroundings).unwrap());
        let session = SessionSettings {
            id: "s1".into(),
            token: None,
            expires: None,
            policy,
            grant: Grant::default(),
            credentials: std::collections::BTreeMap::new(),
        };
        let settings = Settings { sessions: vec![session], policy: None, patience: Duration::ZERO, first: None };
        let sessions = Sessions::new(Entry::Bound("s1".into()), settings, None, SystemTime::UNIX_EPOCH).unwrap();
        Subject::of(sessions.identify(None, None, SystemTime::UNIX_EPOCH).unwrap())
    }

    /// The fields with which a request leaves, its path and query, and whether its answer is masked.
    type Left = (Vec<String>, String, bool);

    async fn left(host: &str, secure: bool, fields: &[(&'static str, &'static str)], origin_form: &str) -> Result<Left, Reason> {
        let mut headers: HeaderMap =
            fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let destination = Destination::parse(host.as_bytes(), Some(if secure { 443 } else { 80 })).unwrap();
        let mut asked = Asked::new(Door::Proxy, Kind::Http);
        let credited = credit(&subject(), &mut asked, secure, &destination, &mut headers, origin_form, |_, _, _| Ok(())).await;
        let Credited { origin_form, masker } = credited.map_err(|refusal| refusal.reason())?;
        let mut fields: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        fields.sort();
        Ok((fields, origin_form, masker.is_some_and(|masker| masker.mask(b"real%2Fcredential").is_some())))
    }

    fn expected(fields: &[&str], origin_form: &str, masked: bool) -> Left {
        (fields.iter().map(|&field| field.to_owned()).collect(), origin_form.to_owned(), masked)
    }

    #[tokio::test]
    async fn real_credentials_leave_over_tls_alone() {
        let own = [("accept", "*/*"), ("accept-encoding", "gzip"), ("range", "bytes=0-9"), ("cookie", "c=1")];
        let with = ["accept-encoding: identity", "accept: */*", "cookie: c=1", "x-api-key: real/credential"];
        assert_eq!(left("a.test", true, &own, "/p?q=1").await, Ok(expected(&with, "/p?q=1&key=real%2Fcredential", true)));
        assert_eq!(left("b.test", true, &[], "/p").await, Ok(expected(&with[..1], "/p?key=real%2Fcredential", true)));
        let without = ["accept-encoding: gzip", "accept: */*", "cookie: c=1", "range: bytes=0-9"];
        assert_eq!(left("a.test", false, &own, "/p?q=1").await, Ok(expected(&without, "/p?q=1", false)));
    }

    #[tokio::test]
    async fn a_credential_of_the_sandboxs_own_never_leaves() {
        let own = [("authorization", "Bearer mine")];
        assert_eq!(left("c.test", false, &own, "/").await, Ok(expected(&[], "/", false)));
        assert_eq!(left("other.test", true, &own, "/?key=1").await, Ok(expected(&["authorization: Bearer mine"], "/?key=1", false)));
        for secure in [true, false] {
            assert_eq!(left("b.test", secure, &own, "/").await, Err(Reason::CredentialNotAllowed));
            assert_eq!(left("b.test", secure, &[], "/?%6bey=mine").await, Err(Reason::CredentialNotAllowed));
        }
    }

    #[tokio::test]
    async fn without_its_credential_nothing_is_sent() {
        assert_eq!(left("c.test", true, &[], "/").await, Err(Reason::CredentialUnavailable));
    }

    fn judged(fields: &[(&'static str, &'static str)], has_body: bool) -> Result<Vec<(String, String)>, (Reason, String)> {
        let mut response = Response::builder();
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (mut parts, ()) = response.body(()).unwrap().into_parts();
        let masker = Masker::new([b"real-credential".as_slice()]);
        mask_head(&mut parts, has_body, &masker).map_err(|refusal| (refusal.denial.reason, refusal.denial.detail.clone()))?;
        Ok(parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
    }

    #[test]
    fn threats_89_and_95_no_field_of_an_answer_shows_a_credential() {
        let shown = judged(&[("location", "/a?key=real-credential&b"), ("etag", "1"), ("content-encoding", "identity")], true);
        let expected = [("location", "/a?key=***************&b"), ("etag", "1"), ("content-encoding", "identity")];
        assert_eq!(shown, Ok(expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
    }

    #[test]
    fn what_cannot_be_read_is_not_passed_on() {
        for coding in ["gzip", "identity, br", "GZIP", "x"] {
            let refused = Err((Reason::UpstreamClosed, ENCODED.to_owned()));
            assert_eq!(judged(&[("content-encoding", coding)], true), refused, "{coding}");
            assert!(judged(&[("content-encoding", coding)], false).is_ok(), "{coding}");
        }
    }
}

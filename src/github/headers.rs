//! The header fields by which git says how to read a body.

use std::fmt;

use super::{Service, route::Kind};
use crate::{reason::Reason, wire::excerpt};

/// How the body of a request is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    Identity,
    Gzip,
}

impl ContentEncoding {
    /// Reads `Content-Encoding`: every value the request has, in order. git compresses what it sends to fetch, `JGit` a push as well.
    pub fn parse<'a>(service: Service, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, HeaderError> {
        match one(values) {
            Ok(None | Some(b"identity")) => Ok(Self::Identity),
            Ok(Some(b"gzip")) => Ok(Self::Gzip),
            Ok(Some(other)) | Err(other) => Err(HeaderError::ContentEncoding(service, excerpt(other))),
        }
    }
}

/// The content type of a request to `service`.
pub const fn request_content_type(service: Service) -> &'static str {
    match service {
        Service::UploadPack => "application/x-git-upload-pack-request",
        Service::ReceivePack => "application/x-git-receive-pack-request",
    }
}

/// The content type of the answer to a request of this kind.
pub const fn answer_content_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Advertisement(Service::UploadPack) => "application/x-git-upload-pack-advertisement",
        Kind::Advertisement(Service::ReceivePack) => "application/x-git-receive-pack-advertisement",
        Kind::Rpc(Service::UploadPack) => "application/x-git-upload-pack-result",
        Kind::Rpc(Service::ReceivePack) => "application/x-git-receive-pack-result",
    }
}

/// Holds `Content-Type` to the one that a request for `service` has, to the letter.
pub fn check_content_type<'a>(service: Service, values: impl IntoIterator<Item = &'a [u8]>) -> Result<(), HeaderError> {
    is_only(values, request_content_type(service)).map_err(|found| HeaderError::ContentType(service, found))
}

/// The same of an answer of an upstream. What has another type git would not take for its own, but a browser might.
pub fn check_answer_type<'a>(kind: Kind, values: impl IntoIterator<Item = &'a [u8]>) -> Result<(), HeaderError> {
    is_only(values, answer_content_type(kind)).map_err(|found| HeaderError::AnswerType(kind, found))
}

/// The version of git's protocol that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    V0,
    V1,
    V2,
}

impl ProtocolVersion {
    /// Reads `Git-Protocol`: keys with a colon between them, of which `version` is the only one in use. As a server does, takes
    /// the field for absent where it names no version that is known; where two are named, too.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let value = one(values).ok()??;
        let mut versions = value.split(|byte| *byte == b':').filter_map(|key| key.strip_prefix(b"version="));
        match (versions.next()?, versions.next()) {
            (b"0", None) => Some(Self::V0),
            (b"1", None) => Some(Self::V1),
            (b"2", None) => Some(Self::V2),
            (_, _) => None,
        }
    }

    /// The value to ask an upstream with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0 => "version=0",
            Self::V1 => "version=1",
            Self::V2 => "version=2",
        }
    }
}

/// The value that is there instead of `wanted` alone.
fn is_only<'a>(values: impl IntoIterator<Item = &'a [u8]>, wanted: &str) -> Result<(), Box<str>> {
    match one(values) {
        Ok(Some(found)) if found == wanted.as_bytes() => Ok(()),
        Ok(found) => Err(excerpt(found.unwrap_or_default())),
        Err(second) => Err(excerpt(second)),
    }
}

/// The only value; the second, where there is one.
fn one<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, &'a [u8]> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (only, None) => Ok(only),
        (_, Some(second)) => Err(second),
    }
}

/// A header field with which a body would not be read as git reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// Not the one type of a request for this service.
    ContentType(Service, Box<str>),
    ContentEncoding(Service, Box<str>),
    /// Not the one type of an upstream's answer of this kind.
    AnswerType(Kind, Box<str>),
}

impl HeaderError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ContentType(..) | Self::ContentEncoding(..) => Reason::BadRequest,
            Self::AnswerType(..) => Reason::UpstreamClosed,
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType(service, found) => {
                write!(f, "a request to {service} has the content type {}, not \"{found}\"", request_content_type(*service))
            }
            Self::ContentEncoding(service, found) => {
                write!(f, "a request to {service} is sent as it is or with gzip, not with \"{found}\"")
            }
            Self::AnswerType(kind, found) => {
                write!(f, "the upstream's answer has the content type {}, not \"{found}\"", answer_content_type(*kind))
            }
        }
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    const FETCH: Service = Service::UploadPack;
    const PUSH: Service = Service::ReceivePack;

    #[test]
    fn content_types() {
        let error = |service, found: &str| Err(HeaderError::ContentType(service, found.into()));
        for (service, values, expected) in [
            (FETCH, &["application/x-git-upload-pack-request"][..], Ok(())),
            (PUSH, &["application/x-git-receive-pack-request"], Ok(())),
            (PUSH, &["application/x-git-upload-pack-request"], error(PUSH, "application/x-git-upload-pack-request")),
            (FETCH, &["application/x-git-receive-pack-request"], error(FETCH, "application/x-git-receive-pack-request")),
            (PUSH, &["application/x-git-receive-pack-request; a=b"], error(PUSH, "application/x-git-receive-pack-request; a=b")),
            (PUSH, &["text/plain"], error(PUSH, "text/plain")),
            (PUSH, &[], error(PUSH, "")),
            (PUSH, &["application/x-git-receive-pack-request", "text/plain"], error(PUSH, "text/plain")),
        ] {
            assert_eq!(check_content_type(service, values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
    }

    #[test]
    fn types_of_answers() {
        let (refs, answer) = (Kind::Advertisement(FETCH), Kind::Rpc(PUSH));
        let error = |kind, found: &str| Err(HeaderError::AnswerType(kind, found.into()));
        for (kind, values, expected) in [
            (refs, &["application/x-git-upload-pack-advertisement"][..], Ok(())),
            (Kind::Advertisement(PUSH), &["application/x-git-receive-pack-advertisement"], Ok(())),
            (Kind::Rpc(FETCH), &["application/x-git-upload-pack-result"], Ok(())),
            (answer, &["application/x-git-receive-pack-result"], Ok(())),
            (answer, &["application/x-git-upload-pack-result"], error(answer, "application/x-git-upload-pack-result")),
            (answer, &["application/x-git-receive-pack-request"], error(answer, "application/x-git-receive-pack-request")),
            (refs, &["application/x-git-upload-pack-result"], error(refs, "application/x-git-upload-pack-result")),
            (refs, &["application/x-git-upload-pack-advertisement;a=b"], error(refs, "application/x-git-upload-pack-advertisement;a=b")),
            (refs, &["Application/x-git-upload-pack-advertisement"], error(refs, "Application/x-git-upload-pack-advertisement")),
            (refs, &["text/html\n"], error(refs, "text/html\\n")),
            (refs, &[], error(refs, "")),
            (refs, &["application/x-git-upload-pack-advertisement", "text/html"], error(refs, "text/html")),
        ] {
            assert_eq!(check_answer_type(kind, values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
        assert_eq!(HeaderError::AnswerType(refs, "text/html".into()).reason(), Reason::UpstreamClosed);
        assert_eq!(
            HeaderError::AnswerType(refs, "text/html".into()).to_string(),
            "the upstream's answer has the content type application/x-git-upload-pack-advertisement, not \"text/html\""
        );
    }

    #[test]
    fn content_encodings() {
        let error = |service, found: &str| Err(HeaderError::ContentEncoding(service, found.into()));
        for (service, values, expected) in [
            (FETCH, &[][..], Ok(ContentEncoding::Identity)),
            (PUSH, &[], Ok(ContentEncoding::Identity)),
            (PUSH, &["identity"], Ok(ContentEncoding::Identity)),
            (FETCH, &["gzip"], Ok(ContentEncoding::Gzip)),
            (PUSH, &["gzip"], Ok(ContentEncoding::Gzip)),
            (PUSH, &["deflate"], error(PUSH, "deflate")),
            (PUSH, &["x-gzip"], error(PUSH, "x-gzip")),
            (FETCH, &["deflate"], error(FETCH, "deflate")),
            (FETCH, &["identity, gzip"], error(FETCH, "identity, gzip")),
            (FETCH, &["gzip", "gzip"], error(FETCH, "gzip")),
            (PUSH, &["identity", "gzip"], error(PUSH, "gzip")),
            (PUSH, &[""], error(PUSH, "")),
        ] {
            assert_eq!(ContentEncoding::parse(service, values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
    }

    #[test]
    fn protocol_versions() {
        for (values, expected) in [
            (&["version=2"][..], Some(ProtocolVersion::V2)),
            (&["version=1"], Some(ProtocolVersion::V1)),
            (&["version=0"], Some(ProtocolVersion::V0)),
            (&["version=2:agent=x"], Some(ProtocolVersion::V2)),
            (&["a:version=1"], Some(ProtocolVersion::V1)),
            (&["version=3"], None),
            (&["version=2 "], None),
            (&["version=1:version=2"], None),
            (&["version=1", "version=2"], None),
            (&["Version=2"], None),
            (&[""], None),
            (&[], None),
        ] {
            let version = ProtocolVersion::parse(values.iter().map(|value| value.as_bytes()));
            assert_eq!(version, expected, "{values:?}");
            assert_eq!(version.and_then(|version| ProtocolVersion::parse([version.as_str().as_bytes()])), version);
        }
    }
}

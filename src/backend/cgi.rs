//! The words of CGI (RFC 3875) between us and `git http-backend`.

use std::path::Path;

use http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use tokio::process::Command;

use super::{Call, process::configure};
use crate::github::{ContentEncoding, Service, route::Kind};

/// Tells git what is asked of which repository, and how to serve it.
pub(super) fn describe(command: &mut Command, repository: &Path, call: &Call<'_>) {
    // git joins the two, and strips what it knows off the end: only this repository can be meant.
    command.env("GIT_PROJECT_ROOT", repository).env("GIT_HTTP_EXPORT_ALL", "1");
    let service = match call.kind {
        Kind::Advertisement(service) => {
            command.env("REQUEST_METHOD", "GET").env("PATH_INFO", "/info/refs").env("QUERY_STRING", format!("service={service}"));
            service
        }
        Kind::Rpc(service) => {
            command.env("REQUEST_METHOD", "POST").env("PATH_INFO", format!("/{service}")).env("QUERY_STRING", "");
            command.env("CONTENT_TYPE", format!("application/x-{service}-request"));
            // No CONTENT_LENGTH: git reads to the end, and does so itself; given a length, it would wait for what broke off.
            if call.encoding == ContentEncoding::Gzip {
                command.env("HTTP_CONTENT_ENCODING", "gzip");
            }
            service
        }
    };
    command.env("GATEWAY_INTERFACE", "CGI/1.1").env("SERVER_PROTOCOL", "HTTP/1.1");
    match service {
        Service::UploadPack => call.protocol.map(|version| command.env("GIT_PROTOCOL", version.as_str())),
        Service::ReceivePack => Some(command.env("REMOTE_USER", REMOTE_USER)),
    };
    let forced: &[_] = if call.fast_forward_only { &[("receive.denyNonFastForwards", "true")] } else { &[] };
    configure(command, &[SERVING, forced].concat());
}

/// Status, and what the body is. The rest of what git says about caches is not ours to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    status: StatusCode,
    content_type: Option<HeaderValue>,
}

impl Head {
    /// How long the head at the start of `bytes` is, the empty line included; `None` as long as that has not come.
    pub(super) fn length(bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if matches!(bytes.get(start..at), Some(b"" | b"\r")) {
                return Some(at + 1);
            }
            start = at + 1;
        }
        None
    }

    /// Reads a head (RFC 3875, section 6.3): lines with or without a CR, `Status` and `Content-Type` once each at most.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (mut status, mut content_type) = (None, None);
        for line in bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
        {
            let colon = line.iter().position(|byte| *byte == b':').ok_or("a line is no field")?;
            let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default().trim_ascii());
            let name = HeaderName::from_bytes(name).map_err(|_| "a field has no name")?;
            let value = HeaderValue::from_bytes(value).map_err(|_| "a field has no value")?;
            let twice = match name.as_str() {
                "status" => status.replace(parse_status(&value)?).is_some(),
                "content-type" => content_type.replace(value).is_some(),
                _ => false,
            };
            if twice {
                return Err("a field stands twice");
            }
        }
        Ok(Self { status: status.unwrap_or(StatusCode::OK), content_type })
    }

    pub(super) fn with<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        response
    }
}

/// Three digits, and words of no meaning after a space.
fn parse_status(value: &HeaderValue) -> Result<StatusCode, &'static str> {
    let code = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(code).map_err(|_| "the status is none")?;
    if status.is_informational() { Err("the status ends nothing") } else { Ok(status) }
}

/// What holds for every repository that is served, whatever its own configuration says: as GitHub does it, and no more. The gate
/// before us has judged who may push. Whom the directory belongs to is not asked: the operator named it.
const SERVING: &[(&str, &str)] = &[
    ("safe.directory", "*"),
    ("http.getanyfile", "false"),
    ("http.uploadpack", "true"),
    ("http.receivepack", "true"),
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowTipSHA1InWant", "true"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
];

/// Who pushed, in the reflog of the repository.
const REMOTE_USER: &str = "tidegate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head = |status, content_type: Option<&'static str>| {
            Ok(Head { status: StatusCode::from_u16(status).unwrap(), content_type: content_type.map(HeaderValue::from_static) })
        };
        for (text, expected) in [
            ("Content-Type: text/plain\r\n\r\n", head(200, Some("text/plain"))),
            ("Status: 404 Not Found\nExpires: never\ncontent-type:a/b\n\n", head(404, Some("a/b"))),
            ("Status: 500\r\n\r\n", head(500, None)),
            ("\n", head(200, None)),
            ("Status: 200\nStatus: 200\n\n", Err("a field stands twice")),
            ("Content-Type: a/b\nContent-Type: a/b\n\n", Err("a field stands twice")),
            ("Status: 100 Continue\n\n", Err("the status ends nothing")),
            ("Status: OK\n\n", Err("the status is none")),
            ("HTTP/1.1 200 OK\n\n", Err("a line is no field")),
            (": x\n\n", Err("a field has no name")),
            ("a b: x\n\n", Err("a field has no name")),
            ("a: \u{1}\n\n", Err("a field has no value")),
        ] {
            let whole = format!("{text}\nbody\n\n");
            assert_eq!(Head::length(whole.as_bytes()), Some(text.len()), "{text:?}");
            assert_eq!(Head::parse(text.as_bytes()), expected, "{text:?}");
            for cut in 0..text.len() {
                assert_eq!(Head::length(&text.as_bytes()[..cut]), None, "{text:?} up to {cut}");
            }
        }
    }
}

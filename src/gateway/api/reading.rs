//! The request of a call, as far as it is read before it is judged.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::BodyExt;

use crate::{
    gateway::body::{Asking, drain},
    github::api::MAX_BODY,
    reason::Reason,
    respond::Refusal,
};

/// A call's head, its body where that is JSON, and the rest that is still to come where it is a file.
pub(super) struct Read {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) rest: Option<Asking>,
}

pub(super) async fn read(request: Request<Asking>, is_upload: bool) -> Result<Read, Refusal> {
    let (head, mut body) = request.into_parts();
    if is_upload {
        return Ok(Read { head, body: Bytes::new(), rest: Some(body) });
    }
    let gathered = match check(&head.headers) {
        Ok(()) => gather(&mut body).await,
        Err(refusal) => Err(refusal),
    };
    match gathered {
        Ok(bytes) => Ok(Read { head, body: bytes, rest: None }),
        Err(refusal) => {
            drain(body).await;
            Err(refusal)
        }
    }
}

/// That a body is what it is read as: JSON in UTF-8, without any coding. `curl` calls every body a form unless it is told otherwise, and what
/// is a form is no JSON.
fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    if values(header::CONTENT_ENCODING).any(|value| !value.eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("a body is sent without Content-Encoding"));
    }
    let mut types = values(header::CONTENT_TYPE);
    let Some(value) = types.next() else { return Ok(()) };
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = essence == b"application/json" || essence == FORM || essence.starts_with(b"application/") && essence.ends_with(b"+json");
    let is_utf8 = parts.all(|parameter| [&b"charset=utf-8"[..], b"charset=\"utf-8\""].contains(&&*parameter.to_ascii_lowercase()));
    if is_json && is_utf8 && types.next().is_none() { Ok(()) } else { Err(unsupported("a body is application/json in UTF-8")) }
}

fn unsupported(what: &str) -> Refusal {
    let refusal = Refusal::new(Reason::BadRequest, format!("The call was refused: {what}."));
    Refusal { status: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), ..refusal }
}

async fn gather(body: &mut Asking) -> Result<Bytes, Refusal> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::new(Reason::BadRequest, format!("The body of the call could not be read: {error}.")))?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if read.len() + data.len() > MAX_BODY {
            return Err(Refusal::new(Reason::BodyTooLarge, TOO_LONG));
        }
        read.extend_from_slice(data);
    }
    Ok(read.freeze())
}

/// What `curl` calls a body of which it knows nothing.
const FORM: &[u8] = b"application/x-www-form-urlencoded";
const TOO_LONG: &str = "The body of a call has at most a MiB.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_in_utf_8() {
        let checked = |fields: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = fields.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
            check(&headers).map_err(|refusal| (refusal.reason(), refusal.status.unwrap().as_u16()))
        };
        for value in
            ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/vnd.github+json"]
        {
            assert_eq!(checked(&[("content-type", value)]), Ok(()), "{value}");
        }
        assert_eq!(checked(&[("content-encoding", "identity")]), Ok(()));
        for value in
            ["text/plain", "application/json; charset=utf-7", "application/json; charset=utf-8; charset=utf-16", "multipart/form-data"]
        {
            assert_eq!(checked(&[("content-type", value)]), Err((Reason::BadRequest, 415)), "{value}");
        }
        assert!(checked(&[("content-encoding", "gzip")]).is_err());
        let twice = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let mut twice = twice;
        twice.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(check(&twice).is_err());
    }
}

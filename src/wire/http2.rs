//! HTTP/2 requests (RFC 9113), held to what HTTP/1.1 can say.
//!
//! hyper has framed them; what they say is judged by the one reader of heads that there is, so that no field means more
//! in one version than in the other, and what is passed on as HTTP/1.1 is what was judged.

use std::fmt;

use http::{HeaderValue, Method, Uri, header, request::Parts, uri::Scheme};

use super::{
    excerpt,
    http1::{self, BodyLength, HeadError, MAX_HEAD},
    websocket,
};
use crate::{
    destination::{Destination, DestinationError},
    reason::Reason,
};

/// Turns the head of a request inside TLS into the head that the same request has in HTTP/1.1: origin-form, the authority in
/// its one Host field, its cookies in one field (RFC 9113, section 8.2.3). `protocol` is its `:protocol`: a CONNECT for `websocket`
/// (RFC 8441) becomes the GET that it is in HTTP/1.1, whose hop-by-hop fields and key are left to whoever sends it on.
///
/// # Errors
/// What cannot be said in HTTP/1.1, or names its server twice in different ways; a CONNECT for anything else; a WebSocket of another
/// version, or with a body.
pub fn settle(parts: &mut Parts, protocol: Option<&str>) -> Result<Asks, StreamError> {
    let asks = match (&parts.method, protocol) {
        (&Method::CONNECT, Some("websocket")) => Asks::WebSocket,
        (&Method::CONNECT, _) | (_, Some(_)) => return Err(StreamError::Connect),
        (_, None) => Asks::Request,
    };
    if asks == Asks::WebSocket {
        as_get(parts)?;
    }
    let authority = parts.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str())).transpose();
    let authority = authority.map_err(|_| StreamError::Head(HeadError::HostMissing))?;
    // A URI holds no scheme without an authority: where Host stands alone it is not known.
    if authority.is_some() && parts.uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(StreamError::Scheme(excerpt(parts.uri.scheme_str().unwrap_or_default().as_bytes())));
    }
    let host = agreed_host(parts, authority.as_ref())?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    parts.uri = Uri::try_from(&target).map_err(|_| StreamError::Head(HeadError::RequestLine))?;
    parts.headers.insert(header::HOST, host);
    join_cookies(parts);
    match http1::parse_head(&as_http1(parts, &target)) {
        Ok(Some((head, _))) if asks == Asks::WebSocket && head.body != BodyLength::None => Err(StreamError::WebSocket),
        Ok(Some(_)) => Ok(asks),
        Ok(None) => Err(StreamError::Head(HeadError::TooLarge)),
        Err(error) => Err(StreamError::Head(error)),
    }
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Request,
    WebSocket,
}

/// The head of an extended CONNECT as that of a GET.
fn as_get(parts: &mut Parts) -> Result<(), StreamError> {
    let mut versions = parts.headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    let (Some(version), None) = (versions.next(), versions.next()) else { return Err(StreamError::WebSocket) };
    if version != websocket::VERSION {
        return Err(StreamError::WebSocket);
    }
    parts.method = Method::GET;
    parts.headers.remove(header::SEC_WEBSOCKET_KEY);
    Ok(())
}

/// Either `:authority` or Host names the server; both have to be one (RFC 9113, section 8.3.1).
fn agreed_host(parts: &Parts, authority: Option<&HeaderValue>) -> Result<HeaderValue, StreamError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(StreamError::Head(HeadError::HostTwice));
    }
    let (Some(authority), Some(host)) = (authority, host) else {
        return authority.or(host).cloned().ok_or(StreamError::Head(HeadError::HostMissing));
    };
    let read = |value: &HeaderValue| Destination::parse(value.as_bytes(), Some(443)).map_err(StreamError::Authority);
    let (named, repeated) = (read(authority)?, read(host)?);
    if named == repeated { Ok(authority.clone()) } else { Err(StreamError::TwoServers { authority: named, host: repeated }) }
}

fn join_cookies(parts: &mut Parts) {
    let crumbs: Vec<_> = parts.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        parts.headers.insert(header::COOKIE, cookies);
    }
}

fn as_http1(parts: &Parts, target: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(MAX_HEAD / 16);
    for piece in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Why the head of a stream is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamError {
    /// A tunnel inside a tunnel.
    Connect,
    /// An extended CONNECT that begins no WebSocket.
    WebSocket,
    /// Not `https`.
    Scheme(Box<str>),
    Authority(DestinationError),
    /// `:authority` and Host differ.
    TwoServers {
        authority: Destination,
        host: Destination,
    },
    /// It could not be said in HTTP/1.1.
    Head(HeadError),
}

impl StreamError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Connect => Reason::MethodRefused,
            Self::WebSocket | Self::Scheme(_) | Self::Authority(_) => Reason::BadRequest,
            Self::TwoServers { .. } => Reason::Misdirected,
            Self::Head(error) => error.reason(),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("a tunnel cannot be opened inside a tunnel"),
            Self::WebSocket => f.write_str("a WebSocket begins with one \"Sec-WebSocket-Version: 13\", and without a body"),
            Self::Scheme(scheme) => write!(f, "inside TLS the scheme is https, not \"{scheme}\""),
            Self::Authority(error) => write!(f, "in :authority or Host: {error}"),
            Self::TwoServers { authority, host } => write!(f, ":authority names {authority}, and Host names {host}"),
            Self::Head(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn settled(uri: &str, fields: &[(&str, &str)]) -> Result<Parts, StreamError> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        settle(&mut parts, None).map(|_| parts)
    }

    fn reason(uri: &str, fields: &[(&str, &str)]) -> Reason {
        settled(uri, fields).unwrap_err().reason()
    }

    #[test]
    fn the_authority_becomes_host_and_cookies_become_one() {
        let parts = settled("https://a.test:8443/x?y", &[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")]).unwrap();
        assert_eq!(parts.uri, "/x?y");
        assert_eq!(parts.headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(parts.headers[header::HOST], "a.test:8443");
        let parts = settled("https://a.test/", &[("host", "A.test:443")]).unwrap();
        assert_eq!(parts.headers[header::HOST], "a.test");
    }

    #[test]
    fn threat_42_two_names_for_the_server_have_to_agree() {
        assert_eq!(reason("https://a.test/", &[("host", "b.test")]), Reason::Misdirected);
        assert_eq!(reason("https://a.test/", &[("host", "a.test:444")]), Reason::Misdirected);
        assert_eq!(reason("https://a.test/", &[("host", "a.test"), ("host", "a.test")]), Reason::BadRequest);
        assert_eq!(reason("https://user@a.test/", &[]), Reason::BadRequest);
    }

    fn extended(protocol: Option<&str>, fields: &[(&str, &str)]) -> Result<(Asks, Parts), StreamError> {
        let mut request = Request::builder().method("CONNECT").uri("https://a.test/chat?x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        settle(&mut parts, protocol).map(|asks| (asks, parts))
    }

    #[test]
    fn a_websocket_is_the_get_that_it_is_in_http1() {
        let fields = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"), ("sec-websocket-key", "of another hop")];
        let (asks, parts) = extended(Some("websocket"), &fields).unwrap();
        assert_eq!((asks, parts.method, parts.uri), (Asks::WebSocket, Method::GET, Uri::from_static("/chat?x")));
        assert_eq!(parts.headers[header::HOST], "a.test");
        assert!(parts.headers.contains_key("sec-websocket-protocol") && !parts.headers.contains_key("sec-websocket-key"));
    }

    #[test]
    fn threat_76_connect_is_for_websockets_alone() {
        let version = ("sec-websocket-version", "13");
        for protocol in [None, Some("connect-udp"), Some("WebSocket"), Some("")] {
            assert_eq!(extended(protocol, &[version]).unwrap_err().reason(), Reason::MethodRefused, "{protocol:?}");
        }
        for fields in [&[][..], &[("sec-websocket-version", "8")], &[version, version], &[version, ("content-length", "5")]] {
            assert_eq!(extended(Some("websocket"), fields).unwrap_err(), StreamError::WebSocket, "{fields:?}");
        }
        let (mut parts, ()) = Request::builder().uri("https://a.test/").body(()).unwrap().into_parts();
        assert_eq!(settle(&mut parts, Some("websocket")), Err(StreamError::Connect));
    }

    #[test]
    fn host_alone_names_the_server() {
        let parts = settled("/x", &[("host", "a.test:8443")]).unwrap();
        assert_eq!((parts.uri.to_string().as_str(), &parts.headers[header::HOST]), ("/x", &HeaderValue::from_static("a.test:8443")));
        assert_eq!(reason("/x", &[]), Reason::BadRequest);
        assert_eq!(reason("/x", &[("host", "a.test"), ("host", "b.test")]), Reason::BadRequest);
    }

    #[test]
    fn threat_75_what_http1_cannot_say_is_refused() {
        for (name, value) in [("content-length", "+5"), ("transfer-encoding", "xchunked"), ("content_length", "5"), ("expect", "gold")] {
            assert_eq!(reason("https://a.test/", &[(name, value)]), Reason::BadRequest, "{name}");
        }
        assert_eq!(reason("https://a.test/", &[("content-length", "5"), ("content-length", "5")]), Reason::BadRequest);
        assert_eq!(reason("http://a.test/", &[]), Reason::BadRequest);
    }
}

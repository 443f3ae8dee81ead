//! Which header fields cross the gate, in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::wire::http1::is_same_name;

/// Makes a request's fields fit to leave: hop-by-hop fields and credentials for this proxy go (RFC 9110, section 7.6.1), Via
/// names this proxy. That trailers are welcome stays said. Host and the framing are written with the connection, where HTTP/2
/// leaves out Connection.
pub(crate) fn prepare_request(headers: &mut HeaderMap, via: &HeaderValue) {
    let welcomes_trailers = welcomes_trailers(headers);
    remove_hop_by_hop(headers);
    headers.remove(header::PROXY_AUTHORIZATION);
    headers.remove(header::EXPECT);
    if welcomes_trailers {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.append(header::VIA, via.clone());
}

/// Takes away what makes some servers act by another method than the one that was judged.
pub(crate) fn strip_method_override(headers: &mut HeaderMap) {
    strip(headers, &METHOD_OVERRIDE);
}

/// Takes away what makes some servers act by another path than the one that was judged.
pub(crate) fn strip_path_override(headers: &mut HeaderMap) {
    strip(headers, &PATH_OVERRIDE);
}

/// Asks for the whole of an answer, not encoded, neither it nor the messages that it is made of.
pub(crate) fn ask_for_whole(headers: &mut HeaderMap) {
    strip(headers, &ASKS_FOR_LESS);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Whether an answer or the messages in it are encoded.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    has_coding(headers, &[header::CONTENT_ENCODING.as_str()]) || has_encoded_messages(headers)
}

/// Whether the messages that a body is made of are encoded, each by itself.
pub(crate) fn has_encoded_messages(headers: &HeaderMap) -> bool {
    has_coding(headers, &MESSAGE_ENCODING)
}

fn has_coding(headers: &HeaderMap, names: &[&str]) -> bool {
    let values = names.iter().flat_map(|name| headers.get_all(*name));
    let codings = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// How long fields are in HTTP/1.1.
pub(crate) fn length(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + "\r\n".len()).sum()
}

/// Takes these fields away however they are spelled.
fn strip(headers: &mut HeaderMap, fields: &[&str]) {
    let is_one = |name: &&HeaderName| fields.iter().any(|field| is_same_name(name.as_str().as_bytes(), field.as_bytes()));
    let named: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// Makes a response's fields fit to come in: hop-by-hop fields go, and so does what would make an origin's answer look
/// like this proxy's or lead the client around it.
pub(crate) fn prepare_response(headers: &mut HeaderMap, via: &HeaderValue) {
    remove_hop_by_hop(headers);
    for name in [&X_DENY_REASON, &PROXY_STATUS, &header::PROXY_AUTHENTICATE, &header::ALT_SVC] {
        headers.remove(name);
    }
    headers.append(header::VIA, via.clone());
}

/// Trailer fields that would act as header fields if a recipient merged them (RFC 9110, section 6.5.1).
pub(crate) fn filter_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [
        &header::HOST,
        &header::CONTENT_LENGTH,
        &header::CONTENT_TYPE,
        &header::CONTENT_ENCODING,
        &header::CONTENT_RANGE,
        &header::AUTHORIZATION,
        &header::PROXY_AUTHORIZATION,
        &header::COOKIE,
        &header::SET_COOKIE,
        &header::LOCATION,
        &header::EXPECT,
        &header::RANGE,
        &header::CACHE_CONTROL,
        &header::TRAILER,
        &X_DENY_REASON,
        &PROXY_STATUS,
    ] {
        trailers.remove(name);
    }
}

/// Whether this very proxy has handled the request before.
pub(crate) fn is_loop(headers: &HeaderMap, via: &HeaderValue) -> bool {
    let via = via.as_bytes();
    headers.get_all(header::VIA).iter().any(|value| value.as_bytes().split(|&byte| byte == b',').any(|hop| hop.trim_ascii() == via))
}

fn welcomes_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::TE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        // A sandbox may not use Connection to strip what the next hop relies on.
        .filter(|name| !KEPT_AGAINST_CONNECTION.contains(name))
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

const X_DENY_REASON: HeaderName = HeaderName::from_static("x-deny-reason");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const PATH_OVERRIDE: [&str; 4] = ["x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-prefix"];
/// Pieces (RFC 9110, section 14; the second as Netscape asked for them, which Apache may heed), and encodings: of the answer, and of
/// messages in gRPC and Connect.
const ASKS_FOR_LESS: [&str; 6] =
    ["range", "request-range", "if-range", "accept-encoding", "grpc-accept-encoding", "connect-accept-encoding"];
const MESSAGE_ENCODING: [&str; 2] = ["grpc-encoding", "connect-content-encoding"];
const METHOD_OVERRIDE: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

const KEPT_AGAINST_CONNECTION: [HeaderName; 6] =
    [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::AUTHORIZATION, header::COOKIE, header::VIA];

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    const VIA: HeaderValue = HeaderValue::from_static("1.1 tidegate-1");

    #[test]
    fn threat_62_connection_removes_what_it_names_but_no_security_field() {
        let mut headers = map(&[
            ("connection", "x-private, authorization, close"),
            ("x-private", "1"),
            ("authorization", "Bearer a"),
            ("proxy-authorization", "Basic b"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("te", "gzip, Trailers"),
            ("trailer", "x-checksum"),
            ("host", "other.test"),
        ]);
        prepare_request(&mut headers, &VIA);
        let left = [
            ("authorization", "Bearer a"),
            ("trailer", "x-checksum"),
            ("host", "other.test"),
            ("via", "1.1 tidegate-1"),
            ("connection", "te"),
            ("te", "trailers"),
        ];
        assert_eq!(headers, map(&left));
    }

    #[test]
    fn an_origin_cannot_speak_as_the_proxy() {
        let mut headers =
            map(&[("x-deny-reason", "host_not_allowed"), ("proxy-status", "tidegate"), ("alt-svc", "h3=\":443\""), ("etag", "1")]);
        prepare_response(&mut headers, &VIA);
        assert_eq!(headers, map(&[("etag", "1"), ("via", "1.1 tidegate-1")]));
    }

    #[test]
    fn threat_59_trailers_cannot_act_as_headers() {
        let mut trailers =
            map(&[("host", "b"), ("content-length", "3"), ("transfer-encoding", "chunked"), ("authorization", "x"), ("x-checksum", "1")]);
        filter_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-checksum", "1")]));
    }

    #[test]
    fn what_was_judged_is_not_overridden_however_it_is_spelled() {
        let mut headers =
            map(&[("x_http_method_override", "DELETE"), ("x-method.override", "PUT"), ("x-original_url", "/admin"), ("accept", "a")]);
        strip_method_override(&mut headers);
        strip_path_override(&mut headers);
        assert_eq!(headers, map(&[("accept", "a")]));
    }

    #[test]
    fn a_loop_is_our_own_name_in_via() {
        assert!(is_loop(&map(&[("via", "1.0 a, 1.1 tidegate-1")]), &VIA));
        assert!(!is_loop(&map(&[("via", "1.1 tidegate-12, 1.1 a")]), &VIA));
        assert!(!is_loop(&HeaderMap::new(), &VIA));
    }
}

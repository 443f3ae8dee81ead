use proptest::prelude::*;

use super::*;
use crate::reason::Reason;

/// Lines joined by CRLF, with the empty line at the end.
fn head(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn get(lines: &[&str]) -> Vec<u8> {
    head(&[&["GET / HTTP/1.1", "Host: a.test"][..], lines].concat())
}

fn good(buffer: &[u8]) -> Head {
    match parse_head(buffer) {
        Ok(Some((head, length))) if length == buffer.len() => head,
        other => panic!("{other:?} of {}", buffer.escape_ascii()),
    }
}

fn error(buffer: &[u8]) -> HeadError {
    match parse_head(buffer) {
        Err(error) => error,
        Ok(other) => panic!("{other:?} of {}", buffer.escape_ascii()),
    }
}

fn bad_request(buffers: &[Vec<u8>]) {
    for buffer in buffers {
        assert_eq!(error(buffer).reason(), Reason::BadRequest, "{}", buffer.escape_ascii());
    }
}

/// Offers one octet more each time, to the first answer.
fn read_slowly(bytes: &[u8]) -> (Result<Option<(Head, usize)>, HeadError>, usize) {
    let mut reader = HeadReader::default();
    for end in 0..=bytes.len() {
        match reader.read(&bytes[..end]) {
            Ok(None) => {}
            answer => return (answer, end),
        }
    }
    (Ok(None), bytes.len())
}

/// What can be compared of a head.
fn facts(head: &Head) -> (String, Vec<(String, Vec<u8>)>) {
    let plain = format!("{:?}", (&head.method, &head.target, head.version, &head.host, head.body, head.expect_continue, head.keep_alive));
    (plain, head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
}

#[test]
fn a_request_as_curl_sends_it() {
    let bytes = head(&[
        "POST http://a.test:8080/x?y HTTP/1.1",
        "Host: A.test:8080",
        "Proxy-Authorization: Basic eDp5",
        "User-Agent:curl/8",
        "Accept: \t */* \t",
        "X-Name: J\u{e4}ger",
        "accept: second",
        "Empty:",
        "Content-Length: 12",
        "Expect: 100-Continue",
    ]);
    let head = good(&bytes);
    assert_eq!((&*head.method, &*head.target, head.version), ("POST", "http://a.test:8080/x?y", Version::Http11));
    assert_eq!(head.host, Some(HostField { host: Host::parse(b"a.test").unwrap(), port: Some(8080) }));
    assert_eq!((head.body, head.expect_continue, head.keep_alive), (BodyLength::Length(12), true, true));
    assert_eq!(head.values("accept").collect::<Vec<_>>(), [&b"*/*"[..], b"second"]);
    assert_eq!(head.values("x-name").collect::<Vec<_>>(), ["J\u{e4}ger".as_bytes()]);
    assert_eq!(head.values("empty").collect::<Vec<_>>(), [b""]);
    assert_eq!(
        head.fields().map(|(name, _)| name).collect::<Vec<_>>().join(" "),
        "host proxy-authorization user-agent accept x-name accept empty content-length expect"
    );
    assert!(!format!("{head:?}").contains("eDp5"), "a header value shows in Debug");
}

#[test]
fn connect_as_python_and_others_send_it() {
    for (lines, host) in [
        (&["CONNECT a.test:443 HTTP/1.0"][..], None),
        (&["CONNECT a.test:443 HTTP/1.1"], None),
        (&["CONNECT a.test:443 HTTP/1.1", "Host: a.test:443", "Proxy-Connection: Keep-Alive"], Some("a.test:443")),
        (&["CONNECT a.test:443 HTTP/1.1", "Host: a.test", "Content-Length: 0"], Some("a.test:443")),
    ] {
        let head = good(&head(lines));
        assert_eq!((&*head.method, &*head.target, head.body), ("CONNECT", "a.test:443", BodyLength::None));
        assert_eq!(head.host.map(|host| host.destination(443).to_string()).as_deref(), host);
    }
}

#[test]
fn octets_behind_the_head_are_left_alone() {
    let first = get(&[]);
    let both = [&first[..], b"GET /second HTTP/1.1\r\n"].concat();
    let mut reader = HeadReader::default();
    let (_, length) = reader.read(&both).unwrap().unwrap();
    assert_eq!(length, first.len());
    assert!(matches!(reader.read(&both[length..]), Ok(None)));
    let rest = [&both[length..], b"Host: b.test\r\n\r\n"].concat();
    let (second, _) = reader.read(&rest).unwrap().unwrap();
    assert_eq!((&*second.target, second.host.unwrap().destination(80).to_string().as_str()), ("/second", "b.test:80"));
}

#[test]
fn keep_alive_by_version_and_connection() {
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "keep-alive", true),
        ("1.1", "Close", false),
        ("1.1", "keep-alive, close", false),
        ("1.1", "x-hop,, close ,", false),
        ("1.0", "", false),
        ("1.0", "Keep-Alive", true),
        ("1.0", "keep-alive,close", false),
    ] {
        let bytes = head(&[&format!("GET / HTTP/{version}"), "Host: a.test", &format!("Connection: {connection}")]);
        assert_eq!(good(&bytes).keep_alive, expected, "{version} {connection}");
    }
    assert!(!good(&get(&["Connection: close", "Connection: keep-alive"])).keep_alive);
}

#[test]
fn threat_53_content_length_beside_transfer_encoding() {
    let both = ["Content-Length: 5", "Transfer-Encoding: chunked"];
    assert_eq!(error(&get(&both)), HeadError::BothLengths);
    assert_eq!(error(&get(&[both[1], both[0]])), HeadError::BothLengths);
    assert_eq!(error(&get(&["Content-Length: 0", both[1]])), HeadError::BothLengths);
    assert_eq!(error(&get(&[both[1], both[1]])), HeadError::TransferEncodingTwice);
    assert_eq!(error(&get(&[both[1], "Transfer-Encoding: identity"])), HeadError::TransferEncodingTwice);
}

#[test]
fn threat_54_content_length_that_is_not_one_number() {
    for value in ["+3", "-0", "0x3", "3,3", "3, 4", "", "3 ", "3 3", "9223372036854775808", "18446744073709551616", "3.0", "\u{b2}", "3;"] {
        let expected = (value != "3 ").then(|| HeadError::ContentLength(excerpt(value.as_bytes())));
        let answer = parse_head(&get(&[&format!("Content-Length: {value}")]));
        assert_eq!(answer.err(), expected, "{value:?}");
    }
    assert_eq!(error(&get(&["Content-Length: 3", "Content-Length: 3"])), HeadError::ContentLengthTwice);
    assert_eq!(error(&get(&["Content-Length: 3", "content-length: 4"])), HeadError::ContentLengthTwice);
    assert_eq!(good(&get(&["Content-Length: 9223372036854775807"])).body, BodyLength::Length(MAX_BODY));
    assert_eq!(good(&get(&["Content-Length: 0"])).body, BodyLength::Length(0));
}

#[test]
fn threat_55_transfer_encoding_that_is_not_chunked_alone() {
    for value in [
        "xchunked",
        "chunked, chunked",
        "identity, chunked",
        "chunked, identity",
        "gzip, chunked",
        "chunked;q=1",
        "chunked,",
        "identity",
        "",
    ] {
        let expected = HeadError::TransferEncoding(excerpt(value.as_bytes()));
        assert_eq!(error(&get(&[&format!("Transfer-Encoding: {value}")])), expected);
    }
    bad_request(&[get(&["Transfer-Encoding: \x0bchunked"]), get(&["Transfer-Encoding: chunked\x0c"])]);
    assert_eq!(error(&head(&["POST / HTTP/1.0", "Transfer-Encoding: chunked"])), HeadError::ChunkedHttp10);
    assert_eq!(good(&get(&["Transfer-Encoding: CHUNKED"])).body, BodyLength::Chunked);
}

#[test]
fn threat_57_line_ends_folding_and_whitespace() {
    let raw = |text: &str| text.as_bytes().to_vec();
    let host = "Host: a.test";
    assert_eq!(error(&raw("GET / HTTP/1.1\nHost: a.test\n\n")), HeadError::LineEnd);
    assert_eq!(error(&raw("GET / HTTP/1.1\r\nHost: a.test\n\r\n")), HeadError::LineEnd);
    assert_eq!(error(&raw("GET / HTTP/1.1\r\nHost: a.test\r\n\n")), HeadError::LineEnd);
    assert_eq!(error(&raw("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n")).reason(), Reason::BadRequest);
    assert_eq!(error(&get(&["X: a", " b"])), HeadError::Field(FieldError::Folded));
    assert_eq!(error(&get(&["X: a", "\tb: c"])), HeadError::Field(FieldError::Folded));
    assert_eq!(error(&head(&["GET / HTTP/1.1", " X: a", host])), HeadError::Field(FieldError::Folded));
    for (line, before, byte) in [
        ("Transfer-Encoding : chunked", "Transfer-Encoding", b' '),
        ("X\t: a", "X", b'\t'),
        ("X\u{e4}: a", "X", 0xc3),
        ("a(b: c", "a", b'('),
    ] {
        let expected = FieldError::NameCharacter { before: before.into(), byte };
        assert_eq!(error(&get(&[line])), HeadError::Field(expected), "{line}");
    }
    assert_eq!(error(&get(&[": a"])), HeadError::Field(FieldError::NameMissing));
    assert_eq!(error(&get(&["no-colon"])), HeadError::Field(FieldError::Colon));
    for byte in (0..0x20).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n')) {
        for value in [&[b'a', byte, b'b'][..], &[byte, b'a'], &[b'a', byte]] {
            let bytes = [b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ", value, b"\r\n\r\n"].concat();
            assert_eq!(error(&bytes), HeadError::Field(FieldError::ValueCharacter { name: "X".into(), byte }), "{byte}");
        }
    }
}

#[test]
fn threat_58_request_lines() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        "GET /",
        "GET / a HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET  HTTP/1.1",
        "GET ",
        "PROXY TCP4 192.0.2.1 192.0.2.2 5 6",
    ] {
        assert_eq!(error(&head(&[line, "Host: a.test"])), HeadError::RequestLine, "{line}");
    }
    for (line, byte) in [
        ("GET /\ta HTTP/1.1", b'\t'),
        ("GET\u{20}/\u{e4} HTTP/1.1", 0xc3),
        ("GET /\x7f HTTP/1.1", 0x7f),
        ("GET /\0 HTTP/1.1", 0),
        ("GET /\r HTTP/1.1", b'\r'),
    ] {
        assert_eq!(error(&head(&[line, "Host: a.test"])), HeadError::RequestLineCharacter(byte), "{line}");
    }
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.10", "HTTP/1", "HTTP/01.1", "ICY"] {
        assert_eq!(error(&head(&[&format!("GET / {version}"), "Host: a.test"])), HeadError::Version(version.into()));
    }
    assert_eq!(&*good(&head(&["get-It!~ / HTTP/1.1", "Host: a.test"])).method, "get-It!~");
}

#[test]
fn threat_16_host_headers() {
    assert_eq!(error(&get(&["Host: b.test"])), HeadError::HostTwice);
    assert_eq!(error(&get(&["host: a.test"])), HeadError::HostTwice);
    assert_eq!(error(&head(&["GET / HTTP/1.1"])), HeadError::HostMissing);
    assert_eq!(good(&head(&["GET / HTTP/1.0"])).host, None);
    assert!(matches!(error(&head(&["GET / HTTP/1.1", "Host : a.test"])), HeadError::Field(FieldError::NameCharacter { .. })));
    assert_eq!(error(&head(&["GET / HTTP/1.1", "Host: a.test", "\tb.test"])), HeadError::Field(FieldError::Folded));
    for value in [
        "",
        "a.test, b.test",
        "a.test b.test",
        "a@b.test",
        "http://a.test",
        "a.test/",
        "a.test:",
        "a.test:0",
        "a..test",
        "\u{e4}.test",
        "127.1",
        "::1",
    ] {
        assert!(matches!(error(&head(&["GET / HTTP/1.1", &format!("Host: {value}")])), HeadError::Host(_)), "{value}");
    }
    for (value, host, port) in [
        ("a.test", "a.test", None),
        ("A.Test.:443", "a.test", Some(443)),
        ("[::1]:80", "[::1]", Some(80)),
        ("192.0.2.1", "192.0.2.1", None),
    ] {
        let expected = HostField { host: Host::parse(host.as_bytes()).unwrap(), port };
        assert_eq!(good(&head(&["GET / HTTP/1.1", &format!("Host: {value}")])).host, Some(expected));
    }
}

#[test]
fn threat_20_other_protocols_are_known_at_once() {
    for (bytes, after) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], 1),
        (b"\x05\x01\x00", 1),
        (b"\x04\x01\x01\xbb", 1),
        (b"\r\n\r\n\0\r\nQUIT\n", 1),
        (b"\r\nGET / HTTP/1.1\r\n", 1),
        (b" GET / HTTP/1.1\r\n", 1),
        (b"\n", 1),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 20),
        (b"GET\r\n", 4),
        (b"GET\t/ HTTP/1.1\r\n", 4),
        (b"EHLO\0", 5),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33),
    ] {
        let (answer, octets) = read_slowly(bytes);
        assert!(matches!(answer, Err(HeadError::NotHttp(_))), "{}", bytes.escape_ascii());
        assert_eq!(octets, after, "{}", bytes.escape_ascii());
        assert!(matches!(parse_head(bytes), Err(HeadError::NotHttp(_))), "{}", bytes.escape_ascii());
    }
}

#[test]
fn threat_64_the_preface_of_http2_is_a_refused_method() {
    let refused = error(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!((&refused, refused.reason()), (&HeadError::Http2, Reason::MethodRefused));
}

#[test]
fn threat_53_connect_announces_no_body() {
    for line in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        assert_eq!(error(&head(&["CONNECT a.test:443 HTTP/1.1", line])), HeadError::ConnectBody);
    }
}

#[test]
fn threat_62_connection_may_not_remove_framing() {
    for option in ["Host", "content-length", "Transfer-Encoding", "a b", "\"x\"", "x;y"] {
        let expected = HeadError::ConnectionOption(excerpt(option.as_bytes()));
        assert_eq!(error(&get(&[&format!("Connection: keep-alive, {option}")])), expected);
    }
    let head = good(&get(&["Connection: Authorization , X-Hop", "connection: close,,"]));
    assert_eq!(head.connection_options().collect::<Vec<_>>(), ["Authorization", "X-Hop", "close"]);
}

#[test]
fn threat_61_upgrades_are_shown() {
    let head = good(&get(&["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]));
    assert_eq!(head.values("upgrade").collect::<Vec<_>>(), [b"h2c"]);
}

#[test]
fn threat_63_expectations() {
    assert_eq!(error(&get(&["Expect: 200-ok"])), HeadError::Expect("200-ok".into()));
    assert_eq!(error(&get(&["Expect: 100-continue, x"])), HeadError::Expect("100-continue, x".into()));
    assert!(!good(&head(&["GET / HTTP/1.0", "Expect: 100-continue"])).expect_continue);
}

#[test]
fn names_that_fold_onto_framing_or_credentials() {
    for name in [
        "Content_Length",
        "transfer.encoding",
        "proxy_authorization",
        "Proxy-Authorization_".trim_end_matches('_'),
        "KEEP_ALIVE",
        "proxy.connection",
    ] {
        let answer = parse_head(&get(&[&format!("{name}: 1")]));
        let disguised = matches!(answer, Err(HeadError::Field(FieldError::Disguised(_))));
        assert_eq!(disguised, name.contains(['_', '.']), "{name}");
    }
    for name in ["x_request_id", "a.b", "host_", "content_type", "_"] {
        assert!(parse_head(&get(&[&format!("{name}: 1")])).is_ok(), "{name}");
    }
}

#[test]
fn sizes_are_bounded() {
    let filled = |length: usize| {
        let empty = get(&["X: "]);
        get(&[&format!("X: {}", "x".repeat(length - empty.len()))])
    };
    assert_eq!(good(&filled(MAX_HEAD)).values("x").count(), 1);
    assert_eq!(error(&filled(MAX_HEAD + 1)), HeadError::TooLarge);
    assert_eq!(error(&filled(MAX_HEAD + 1)).reason(), Reason::HeadTooLarge);
    assert_eq!(read_slowly(&filled(MAX_HEAD + 1)).1, MAX_HEAD);

    let lines = |count: usize| get(&vec!["X: y"; count - 1]);
    assert_eq!(good(&lines(MAX_FIELDS)).fields().count(), MAX_FIELDS);
    assert_eq!(error(&lines(MAX_FIELDS + 1)), HeadError::TooManyFields);
    assert_eq!(error(&lines(MAX_FIELDS + 1)).reason(), Reason::HeadTooLarge);

    let target = |length: usize| head(&[&format!("GET {} HTTP/1.1", "/".repeat(length)), "Host: a.test"]);
    assert_eq!(good(&target(MAX_TARGET)).target.len(), MAX_TARGET);
    for length in [MAX_TARGET + 1, MAX_TARGET + MAX_METHOD, MAX_HEAD] {
        assert_eq!(error(&target(length)), HeadError::TargetTooLong);
        assert_eq!(read_slowly(&target(length)).0.err(), Some(HeadError::TargetTooLong));
    }
    assert_eq!(HeadError::TargetTooLong.reason(), Reason::BadRequest);
}

#[test]
fn egress_6_6_a_hundred_header_lines_of_8_kib() {
    let line = format!("X: {}", "x".repeat(8 * 1024));
    assert_eq!(error(&get(&vec![line.as_str(); 100])), HeadError::TooLarge);
}

#[test]
fn messages_name_place_and_way_out() {
    let said = |line: &str| error(&get(&[line])).to_string();
    assert_eq!(said("Content-Length: +3"), "Content-Length is not one decimal number: \"+3\"");
    assert_eq!(said("X : secret"), "\" \" may not stand in a header name, after \"X\"");
    assert_eq!(said("Content_Length: 3"), "a header name that some servers take for another, write it with \"-\": \"Content_Length\"");
    assert_eq!(said("Authorization: secret\x01"), "\"\\x01\" may not stand in a header value, in \"Authorization\"");
}

/// Runs a framer over `body` cut into pieces; like a door, offers again what was held back. The octets released, or the error.
fn frame(length: BodyLength, body: &[u8], pieces: impl IntoIterator<Item = usize>) -> Result<(usize, bool), BodyError> {
    let mut framer = BodyFramer::new(length);
    let (mut released, mut end) = (0, 0);
    for piece in pieces.into_iter().chain([body.len()]) {
        end = (end + piece).min(body.len());
        let advance = framer.advance(&body[released..end])?;
        released += advance.released;
        assert!(advance.complete || end - released < BodyFramer::MAX_HELD);
        if advance.complete {
            return Ok((released, true));
        }
    }
    Ok((released, false))
}

fn frame_both_ways(length: BodyLength, body: &[u8]) -> Result<(usize, bool), BodyError> {
    let whole = frame(length, body, []);
    assert_eq!(frame(length, body, std::iter::repeat_n(1, body.len())), whole, "{}", body.escape_ascii());
    whole
}

fn chunked_body(text: &str) -> Result<(usize, bool), BodyError> {
    frame_both_ways(BodyLength::Chunked, text.as_bytes())
}

#[test]
fn bodies_end_where_they_say() {
    assert_eq!(frame_both_ways(BodyLength::None, b"GET"), Ok((0, true)));
    assert_eq!(frame_both_ways(BodyLength::Length(0), b"GET"), Ok((0, true)));
    assert_eq!(frame_both_ways(BodyLength::Length(3), b"abcGET"), Ok((3, true)));
    assert_eq!(frame_both_ways(BodyLength::Length(9), b"abc"), Ok((3, false)));
    for body in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "00A\r\n0123456789\r\n000\r\n\r\n",
        "1\r\n\n\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        "1;a=b;c=\"d\"\r\nx\r\n0;z\r\n\r\n",
    ] {
        assert_eq!(chunked_body(&format!("{body}GET")), Ok((body.len(), true)), "{body:?}");
        for end in 0..body.len() {
            assert!(matches!(chunked_body(&body[..end]), Ok((_, false))), "{:?}", &body[..end]);
        }
    }
}

#[test]
fn lines_are_held_back_until_they_are_whole() {
    for (bytes, released) in [
        ("5", 0),
        ("5\r", 0),
        ("5\r\n", 3),
        ("5\r\nab", 5),
        ("5\r\nabcde", 8),
        ("5\r\nabcde\r", 8),
        ("5\r\nabcde\r\n0", 10),
        ("0\r\nX: y\r", 3),
        ("0\r\nX: y\r\n\r", 9),
    ] {
        let advance = BodyFramer::new(BodyLength::Chunked).advance(bytes.as_bytes());
        assert_eq!(advance, Ok(Advance { released, complete: false }), "{bytes:?}");
    }
}

#[test]
fn threat_56_chunk_sizes() {
    for line in ["", "+3", "-3", "0x3", "3 ", " 3", "3\t", "3 ;a", "g", "10000000000000000", "00000000000000003", ";a", "3,3", "3\r", "\r3"]
    {
        assert_eq!(chunked_body(&format!("{line}\r\nabc\r\n0\r\n\r\n")), Err(BodyError::ChunkSize(excerpt(line.as_bytes()))), "{line:?}");
    }
    assert_eq!(chunked_body("ffffffffffffffff\r\nabc"), Ok((21, false)));
    assert_eq!(chunked_body("3\nabc\r\n"), Err(BodyError::LineEnd));
    assert_eq!(chunked_body("3\rabc"), Ok((0, false)));
}

#[test]
fn threat_56_line_after_the_data() {
    for end in ["0\r\n\r\n", "\n0\r\n\r\n", "\r0\r\n\r\n", "\rX", "x\r\n0\r\n\r\n"] {
        assert_eq!(chunked_body(&format!("3\r\nabc{end}")), Err(BodyError::ChunkEnd), "{end:?}");
    }
}

#[test]
fn threat_56_extension_flood() {
    let line = |octets: usize| format!("1;{}\r\nx\r\n", "a".repeat(octets - 1));
    assert_eq!(chunked_body(&line(256)), Ok((262, false)));
    assert_eq!(chunked_body(&line(257)), Err(BodyError::ChunkExtension));
    assert_eq!(chunked_body(&line(300)), Err(BodyError::ChunkLineTooLong));
    assert_eq!(chunked_body(&line(256).repeat(16)), Ok((262 * 16, false)));
    assert_eq!(chunked_body(&(line(256).repeat(16) + &line(1))), Err(BodyError::ChunkExtension));
    assert_eq!(chunked_body(&"1".repeat(1000)), Err(BodyError::ChunkLineTooLong));
    for extension in [";a b", ";a\t", ";\u{e4}", ";\r", ";a\x01", ";a=\""] {
        assert_eq!(chunked_body(&format!("1{extension}\r\nx\r\n")), Err(BodyError::ChunkExtension), "{extension:?}");
    }
}

#[test]
fn threat_59_trailers() {
    for name in ["Host", "content-length", "Transfer-Encoding", "AUTHORIZATION", "Proxy-Authorization", "Trailer", "Connection"] {
        let body = format!("0\r\n{name}: a\r\n\r\n");
        assert_eq!(chunked_body(&body), Ok((body.len(), true)), "{name}: framed here, dropped by the path");
    }
    assert_eq!(chunked_body("0\r\ncontent_length: 3\r\n\r\n"), Err(BodyError::Trailer(FieldError::Disguised("content_length".into()))));
    assert_eq!(chunked_body("0\r\nX: a\r\n b\r\n\r\n"), Err(BodyError::Trailer(FieldError::Folded)));
    assert_eq!(chunked_body("0\r\nX : a\r\n\r\n"), Err(BodyError::Trailer(FieldError::NameCharacter { before: "X".into(), byte: b' ' })));
    assert_eq!(chunked_body("0\r\nX: a\n\r\n"), Err(BodyError::LineEnd));
    assert_eq!(chunked_body("0\r\n\n"), Err(BodyError::LineEnd));
    assert_eq!(
        chunked_body("0\r\nGET / HTTP/1.1\r\n\r\n"),
        Err(BodyError::Trailer(FieldError::NameCharacter { before: "GET".into(), byte: b' ' }))
    );
    let lines = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(chunked_body(&lines(64)), Ok((3 + 64 * 6 + 2, true)));
    assert_eq!(chunked_body(&lines(65)), Err(BodyError::TrailersTooLarge));
    let octets = |count: usize| format!("0\r\nX: {}\r\n\r\n", "x".repeat(count - 7));
    assert_eq!(chunked_body(&octets(8192)), Ok((3 + 8192, true)));
    assert_eq!(chunked_body(&octets(8193)), Err(BodyError::TrailersTooLarge));
}

#[test]
fn threat_60_a_second_request_is_not_part_of_the_first() {
    let first = b"5\r\nhello\r\n0\r\n\r\n";
    let pipelined = [&first[..], b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"].concat();
    assert_eq!(frame_both_ways(BodyLength::Chunked, &pipelined), Ok((first.len(), true)));
}

proptest! {
    #[test]
    fn segments_change_nothing_of_a_head(lines in proptest::collection::vec("[A-Za-z_.]{0,4}[ :\t\r\n\0]{0,2}[ -~]{0,12}(\r\n)?", 0..4)) {
        for beginning in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            let bytes = format!("{beginning}{}\r\n\r\n", lines.join("\r\n")).into_bytes();
            let at_once = parse_head(&bytes).map(|found| found.map(|(head, length)| (facts(&head), length)));
            let slowly = read_slowly(&bytes).0.map(|found| found.map(|(head, length)| (facts(&head), length)));
            prop_assert_eq!(at_once, slowly);
        }
    }

    #[test]
    fn segments_change_nothing_of_a_body(body in "([0-3;ag\r\n]{1,5}|1\r\nx\r\n|2\r\n\r\n\r\n|0\r\nX: y\r\n){0,8}", pieces in proptest::collection::vec(1_usize..9, 0..30)) {
        let whole = frame(BodyLength::Chunked, body.as_bytes(), []);
        prop_assert_eq!(frame(BodyLength::Chunked, body.as_bytes(), pieces), whole.clone());
        prop_assert_eq!(frame_both_ways(BodyLength::Chunked, body.as_bytes()), whole);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_head(&bytes);
        let _ = parse_head(&[b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat());
        let _ = frame_both_ways(BodyLength::Chunked, &bytes);
    }
}

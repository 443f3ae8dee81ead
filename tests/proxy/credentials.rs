//! Real credentials: put into requests that leave by verified TLS to their hosts and into no others, and shown to nobody.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::harness::{
    Approach, Ground, Origin, Site,
    h2::{H2, Outcome},
    origin::{Conversation, find},
};

const KEY: &str = "sk-real-0123456789abcdef/+=";

const POLICY: &str = "[[credential]]\nhosts = [HOSTS]\nheader = \"x-api-key\"\nvalue = { env = \"KEY\" }\n\
                      [[credential]]\nhosts = [HOSTS]\nheader = \"authorization\"\nformat = \"Bearer {}\"\nvalue = { env = \"KEY\" }\n";

/// A proxy that has a key for `allowed.test`, wherever it is, and none for `other.test`.
fn ground(origin: impl Fn() -> Origin) -> Ground {
    Ground::with(origin, POLICY, |setup| setup.environment("KEY", KEY))
}

fn saying() -> Ground {
    ground(|| Origin::saying("from the origin"))
}

/// The key as programs may write it: as it is, in hexadecimal digits, in a URL, and in base64 wherever it may begin there.
fn written() -> Vec<String> {
    let hex = KEY.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let percent = KEY.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let encoded = ["", "x", "xy"].map(|before| BASE64_STANDARD.encode(format!("{before}{KEY}")));
    [vec![KEY.to_owned(), hex.to_uppercase(), hex, percent], encoded.to_vec()].concat()
}

/// What is sought: at its ends base64 depends on what stands beside the key.
fn forms() -> Vec<String> {
    let base64 = |form: &str| BASE64_STANDARD.decode(form).is_ok() && !form.starts_with("73");
    written().into_iter().map(|form| if base64(&form) { form[4..form.len() - 4].to_owned() } else { form }).collect()
}

#[track_caller]
fn assert_hidden(shown: &[u8], what: &str) {
    for form in forms() {
        assert_eq!(find(shown, form.as_bytes()), None, "{what} shows {form}: {}", shown.escape_ascii());
    }
}

/// What `site` has written so far.
#[track_caller]
fn assert_nothing_written(site: &Site<'_>) {
    assert_hidden(site.gate.stderr().as_bytes(), "stderr");
    assert_hidden(site.gate.audit_text().as_bytes(), "the audit file");
    assert_hidden(site.gate.metrics().as_bytes(), "the metrics");
}

#[test]
fn threat_94_a_credential_is_bound_to_its_host_and_to_tls() {
    let ground = saying();
    let site = ground.site(Approach::Intercepted);
    let sent = site.passes_on(site.get("/"));
    assert!(sent.contains(&format!("x-api-key: {KEY}\r\n")) && sent.contains(&format!("authorization: Bearer {KEY}\r\n")), "{sent}");
    // Without TLS its host is not asked at all.
    let plain = ground.site(Approach::Listener);
    assert_eq!(plain.ask(plain.get("/")).verdict(), (403, "opaque_tunnel"));
    plain.assert_unasked("a request in the clear");
    let plain = ground.site(Approach::Tunnel);
    plain.client().send(plain.get("/")).assert_closed();
    plain.assert_unasked("a request in the clear");
    site.origin.forget();
    let authority = site.authority_of("other.test");
    let mut other = site.secured_to("other.test", &["http/1.1"]);
    assert_eq!(other.send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().text(), "from the origin");
    assert_hidden(&site.origin.received(), "a request to another name of the same machine");
    // Neither Host nor the request-target makes it another's.
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", site.authority()),
        format!("GET https://{}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n", site.authority()),
    ] {
        let reply = site.secured_to("other.test", &["http/1.1"]).send(request).reply();
        assert_eq!(reply.verdict(), (421, "misdirected"), "{}", reply.text());
    }
    assert_hidden(&site.origin.received(), "a request that names two hosts");
    assert_nothing_written(&site);
}

#[test]
fn threats_62_and_92_the_sandbox_s_own_credential_neither_goes_up_nor_takes_the_real_one_away() {
    let ground = saying();
    let site = ground.site(Approach::Intercepted);
    for lines in [
        "Authorization: Bearer stolen",
        "Authorization: Bearer stolen\r\nAuthorization: Basic stolen",
        "X-Api-Key: stolen\r\nx-API-key: stolen",
        "X_Api_Key: stolen",
        "Proxy-Authorization: Basic stolen",
        "Connection: x-api-key\r\nX-Api-Key: stolen",
        "Connection: authorization, x-api-key, close",
        "Connection: keep-alive\r\nConnection: X-API-KEY",
    ] {
        let sent = site.passes_on(site.request("GET", lines, ""));
        let of = |name: &str| sent.lines().filter(|line| line.to_ascii_lowercase().starts_with(name)).collect::<Vec<_>>();
        assert_eq!(of("x-api-key:"), [format!("x-api-key: {KEY}")], "{lines}: {sent}");
        assert_eq!(of("authorization:"), [format!("authorization: Bearer {KEY}")], "{lines}: {sent}");
        assert!(!sent.contains("stolen"), "{lines}: {sent}");
    }
    let trailer = "Transfer-Encoding: chunked\r\nTrailer: x-api-key";
    let sent = site.passes_on(site.request("POST", trailer, "1\r\na\r\n0\r\nX-Api-Key: stolen\r\nAuthorization: stolen\r\n\r\n"));
    assert!(!sent.contains("stolen") && sent.contains(KEY), "{sent}");
    assert_nothing_written(&site);
}

/// Says what it was sent, in every place of an answer, in every form, and in pieces.
fn echo(conversation: &mut Conversation) {
    while let Some(request) = conversation.request() {
        let request = String::from_utf8_lossy(&request).into_owned();
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let (first, second) = KEY.split_at(9);
        let body = [chunk(&request), chunk(first), chunk(second)].concat() + &written().iter().map(|form| chunk(form)).collect::<String>();
        let fields = [
            format!("Location: https://elsewhere.test/?key={KEY}"),
            format!("WWW-Authenticate: Bearer realm=\"{KEY}\""),
            format!("Set-Cookie: key={KEY}"),
            format!("Refresh: 0; url=/{KEY}"),
            format!("X-Encoded: {}", BASE64_STANDARD.encode(KEY)),
            "Trailer: X-Late".to_owned(),
        ]
        .join("\r\n");
        let status = if request.starts_with("GET /moved") { 302 } else { 401 };
        let interim = format!("HTTP/1.1 103 {KEY}\r\nLink: <{KEY}>\r\n\r\n");
        let head = format!("HTTP/1.1 {status} {KEY}\r\n{fields}\r\nTransfer-Encoding: chunked\r\n\r\n");
        conversation.send(format!("{interim}{head}{body}0\r\nX-Late: {KEY}\r\n\r\n").as_bytes());
    }
}

#[test]
fn threats_87_to_89_and_95_an_origin_that_shows_what_it_was_sent() {
    let ground = ground(|| Origin::scripted(echo));
    let site = ground.site(Approach::Intercepted);
    for path in ["/", "/moved"] {
        let mut client = site.client();
        let shown = client.send(site.request("GET", "Connection: close\r\nTE: trailers", "")).rest();
        assert!(find(&shown, b"****").is_some(), "{path}: {}", shown.escape_ascii());
        assert_hidden(&shown, "an answer");
        let outcome = H2::connect(&site).ask_for(path);
        let Outcome::Answered(body) = &outcome else { panic!("{path}: {outcome:?}") };
        assert!(body.contains("****"), "{path}: {body}");
        assert_hidden(body.as_bytes(), "an answer over HTTP/2");
    }
    let reply = site.ask(site.get("/moved"));
    assert_eq!(reply.status, 302, "a redirection is the sandbox's to follow");
    assert_eq!(reply.header("location"), Some(&*format!("https://elsewhere.test/?key={}", "*".repeat(KEY.len()))));
    assert_nothing_written(&site);
}

#[test]
fn threat_89_an_answer_whose_encoding_hides_what_it_shows_is_refused() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd";
    let ground = ground(|| Origin::replying(reply));
    let site = ground.site(Approach::Intercepted);
    let answer = site.ask(site.request("GET", "Accept-Encoding: gzip, br\r\nRange: bytes=0-3", ""));
    assert_eq!(answer.verdict(), (502, "upstream_closed"), "{}", answer.text());
    let sent = String::from_utf8_lossy(&site.origin.received()).to_ascii_lowercase();
    assert!(sent.contains("accept-encoding: identity\r\n") && !sent.contains("range:"), "{sent}");
    assert_eq!(site.ask(site.request("GET", "Request_Range: bytes=0-3", "")).status, 502);
    assert!(!String::from_utf8_lossy(&site.origin.received()).to_ascii_lowercase().contains("range:"));
    // No key of another host's went up, so none can come back.
    let authority = site.authority_of("other.test");
    let mut other = site.secured_to("other.test", &["http/1.1"]);
    let answer = other.send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply();
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcd"));
}

#[test]
fn threat_89_messages_in_an_answer_are_asked_for_unencoded_too_and_pieces_are_refused() {
    for said in [
        "200 OK\r\nContent-Type: application/grpc\r\nGrpc-Encoding: gzip",
        "200 OK\r\nContent-Type: application/connect+proto\r\nConnect-Content-Encoding: gzip",
        "206 Partial Content\r\nContent-Range: bytes 0-3/8",
    ] {
        let ground = ground(|| Origin::replying(format!("HTTP/1.1 {said}\r\nContent-Length: 4\r\n\r\nabcd")));
        let site = ground.site(Approach::Intercepted);
        let asked = "Content-Length: 0\r\nGrpc-Accept-Encoding: gzip\r\nConnect-Accept-Encoding: gzip";
        let answer = site.ask(site.request("POST", asked, ""));
        assert_eq!(answer.verdict(), (502, "upstream_closed"), "{said}: {}", answer.text());
        let sent = String::from_utf8_lossy(&site.origin.received()).to_ascii_lowercase();
        assert!(sent.contains("post /first http/1.1\r\n") && !sent.contains("gzip"), "{sent}");
    }
}

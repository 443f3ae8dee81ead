//! What may not leave whatever the host: secrets in requests that are read, and hosts and URLs on lists of others.

use std::{fs, io::Write};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::Value;

use crate::harness::{
    Approach, Ground, Origin, Site,
    client::ask,
    eventually,
    h2::{H2, Outcome, block, frame, headers},
    origin::find,
};

const KEY: &str = "real-key-0123456789-abcdefghij";
const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

/// Hosts to which no secret may go; a real credential belongs to `other.test` alone.
fn ground() -> Ground {
    let policy = "[content]\nrefuse_secrets = true\n[[credential]]\nhosts = [OTHERS]\nheader = \"x-api-key\"\nvalue = { env = \"KEY\" }\n";
    Ground::with(|| Origin::saying("from the origin"), policy, |setup| setup.environment("KEY", KEY))
}

/// Refused for the secret, which nobody is told; what reached the origin does not hold it.
#[track_caller]
fn assert_held(site: &Site<'_>, sent: &str, secret: &str) {
    let reply = site.ask(sent);
    assert_eq!(reply.verdict(), (403, "secret_in_request"), "{:?}: {}", site.way, reply.text());
    assert!(!reply.text().contains(secret), "{}", reply.text());
    assert!(find(&site.origin.received(), secret.as_bytes()).is_none(), "{:?}: it has left", site.way);
}

#[test]
fn a_secret_in_a_head_never_leaves() {
    let ground = ground();
    let encoded = "dXNlcjpyZWFsLWtleS0wMTIzNDU2Nzg5LWFiY2RlZmdoaWo=";
    for site in ground.sites() {
        assert_held(&site, &String::from_utf8(site.request(KEY, "", "")).unwrap(), KEY);
        assert_held(&site, &String::from_utf8(site.request("GET", &format!("{TOKEN}: x"), "")).unwrap(), TOKEN);
        let fields = [format!("X-Key: {KEY}"), format!("Authorization: Bearer {TOKEN}"), format!("Authorization: Basic {encoded}")];
        for field in fields {
            assert_held(&site, &String::from_utf8(site.request("GET", &field, "")).unwrap(), KEY);
        }
        let escaped = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        for path in [format!("/a?key={KEY}"), format!("/{TOKEN}/x"), format!("/{KEY}"), format!("/{escaped}")] {
            assert_held(&site, &site.get(&path), KEY);
        }
        assert!(site.origin.received().is_empty(), "a head was refused");
        assert_eq!(site.ask(site.get("/harmless?key=0")).text(), "from the origin");
    }
    ground.gate.wait_for_record(|record| record["reason"] == "secret_in_request" && record["verdict"] == "deny");
    let recorded = ground.gate.audit_text();
    let shown = ask(ground.gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n").text();
    for secret in [KEY, TOKEN] {
        assert!(!recorded.contains(secret) && !shown.contains(secret) && !ground.gate.stderr().contains(secret), "{recorded}{shown}");
    }
}

#[test]
fn a_secret_in_a_body_never_leaves_whole() {
    let ground = ground();
    for site in ground.sites() {
        for secret in [KEY, TOKEN] {
            let (one, other) = secret.split_at(11);
            let plain = format!("before {secret} behind");
            let length = format!("Content-Length: {}", plain.len());
            let whole = String::from_utf8(site.request("POST", &length, &plain)).unwrap();
            assert_held(&site, &whole, secret);
            let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", one.len(), other.len());
            let cut = String::from_utf8(site.request("POST", "Transfer-Encoding: chunked", &chunks)).unwrap();
            assert_held(&site, &cut, secret);
        }
    }
}

/// Where it may leave, it is on record that it did, and nothing of it.
#[test]
fn a_token_of_github_s_is_on_record_wherever_it_stands() {
    let ground = Ground::new();
    for site in ground.sites() {
        let chunks = format!("{:x}\r\nbefore {}\r\n{:x}\r\n{} behind\r\n0\r\n\r\n", 18, &TOKEN[..11], TOKEN.len() - 4, &TOKEN[11..]);
        for (place, request) in [
            ("target", site.get(&format!("/a?key={TOKEN}"))),
            ("target", site.get(&format!("/{TOKEN}/x"))),
            ("target", site.get(&format!("/{}", TOKEN.replace('_', "%5F")))),
            ("header", String::from_utf8(site.request("GET", &format!("Authorization: token {TOKEN}"), "")).unwrap()),
            (
                "header",
                String::from_utf8(site.request("GET", "Authorization: Basic eDpnaHBfMDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6", ""))
                    .unwrap(),
            ),
            ("body", String::from_utf8(site.request("POST", "Transfer-Encoding: chunked", &chunks)).unwrap()),
        ] {
            let before = ground.gate.records().len();
            assert_eq!(site.ask(&request).text(), "from the origin", "{:?} {request}", site.way);
            let record = ground.gate.wait_for_record_after(before, |record| record["github_token"] == place);
            assert_eq!([&record["verdict"], &record["kind"]], ["allow", "http"], "{record:#}");
        }
        let before = ground.gate.records().len();
        let almost = String::from_utf8(site.request("POST", "Content-Length: 39", &TOKEN[..39])).unwrap();
        assert_eq!(site.ask(&almost).text(), "from the origin");
        ground.gate.wait_for_record_after(before, |record| record["kind"] == "http");
        assert!(ground.gate.records().iter().skip(before).all(|record| record["github_token"].is_null()));
    }
    let told = ground.gate.audit_text();
    assert!(!told.contains(TOKEN) && !told.contains(&TOKEN.replace('_', "%5F")), "{told}");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// A request whose body is in a coding.
fn encoded(site: &Site<'_>, coding: &str, body: &[u8]) -> Vec<u8> {
    let lines = format!("Content-Encoding: {coding}\r\nContent-Length: {}", body.len());
    [site.request("POST", &lines, ""), body.to_vec()].concat()
}

#[test]
fn a_secret_in_an_encoded_body_never_leaves_whole() {
    let ground = ground();
    for site in ground.sites() {
        let text = format!("before {KEY} behind");
        for (coding, body) in [("gzip", gzip(text.as_bytes())), ("deflate", deflate(text.as_bytes()))] {
            site.origin.forget();
            assert_eq!(site.ask(encoded(&site, coding, &body)).verdict(), (403, "secret_in_request"), "{:?} {coding}", site.way);
            assert!(find(&site.origin.received(), &body).is_none(), "{:?}: it has left", site.way);
        }
        site.origin.forget();
        for coding in ["br", "zstd", "gzip, gzip"] {
            let reply = site.ask(encoded(&site, coding, b"who knows"));
            assert_eq!(reply.verdict(), (403, "secret_in_request"), "{:?} {coding}", site.way);
            assert!(reply.text().contains("Its encoding hides what the body holds"), "{}", reply.text());
        }
        let of_messages = site.request("POST", "Grpc-Encoding: gzip\r\nContent-Length: 9", "who knows");
        assert_eq!(site.ask(of_messages).verdict(), (403, "secret_in_request"), "{:?}", site.way);
        assert!(find(&site.origin.received(), b"who knows").is_none(), "{:?}: it has left", site.way);
        assert_eq!(site.ask(encoded(&site, "gzip", b"no such thing at all")).verdict(), (400, "bad_request"), "{:?}", site.way);
        // What is harmless leaves as it came.
        let harmless = gzip(b"harmless");
        assert_eq!(site.ask(encoded(&site, "gzip", &harmless)).text(), "from the origin");
        site.origin.wait_for(|sent| find(sent, &harmless).is_some());
    }
}

#[test]
fn threat_82_a_gzip_bomb_that_has_to_be_looked_into_is_refused() {
    let ground = ground();
    let site = ground.site(Approach::Intercepted);
    let before = ground.gate.peak_memory();
    let bomb = gzip(&vec![0; 256 << 20]);
    let reply = site.ask(encoded(&site, "gzip", &bomb));
    assert_eq!(reply.verdict(), (413, "body_too_large"), "{}", reply.text());
    assert!(reply.text().contains("decodes to more than 32 times its length"), "{}", reply.text());
    let grown = ground.gate.peak_memory() - before;
    assert!(grown < 32 << 10, "{grown} KiB for a body of {} octets", bomb.len());
    assert_eq!(ground.gate.wait_for_record(|record| record["reason"] == "body_too_large")["verdict"], "deny");
    assert_eq!(site.ask(encoded(&site, "gzip", &gzip(&vec![0; 1 << 20]))).text(), "from the origin");
}

/// Frames of a client, masked with the key `mask`.
fn message(first: u8, payload: &str) -> Vec<u8> {
    let length = 0x80 | u8::try_from(payload.len()).expect("a short one");
    let payload: Vec<_> = payload.bytes().zip(b"mask".iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    [&[first, length][..], b"mask", &payload].concat()
}

#[test]
fn a_secret_in_messages_of_a_websocket_never_leaves_whole() {
    // The key and the accept of RFC 6455, section 1.3.
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     Sec-WebSocket-Extensions: permessage-deflate";
    let origin = move || {
        Origin::scripted(move |conversation| {
            let _ = conversation.request();
            conversation.send(agreed.as_bytes());
            while conversation.read().is_some() {}
        })
    };
    let policy = "[content]\nrefuse_secrets = true\n";
    let ground = Ground::with(origin, policy, |setup| setup);
    let (one, other) = TOKEN.split_at(20);
    for site in ground.sites() {
        let (first, rest) = (message(0x01, one), [message(0x89, "in between"), message(0x80, other)].concat());
        let before = ground.gate.records().len();
        let mut client = site.client();
        client.send(site.request("GET", handshake, ""));
        assert_eq!(client.reply().status, 101, "{:?}", site.way);
        let harmless = message(0x81, "harmless");
        client.send([&harmless[..], &first].concat());
        let sent = site.origin.wait_for(|sent| find(sent, &first).is_some());
        assert!(find(&sent, &harmless).is_some() && find(&sent, b"permessage-deflate").is_none(), "{}", sent.escape_ascii());
        client.send(&rest);
        let close = [&[0x88, 19][..], &1008_u16.to_be_bytes(), b"secret_in_request"].concat();
        assert_eq!(client.exactly(close.len()).escape_ascii().to_string(), close.escape_ascii().to_string(), "{:?}", site.way);
        client.assert_closed();
        let left = site.origin.received();
        assert!(find(&left, &message(0x80, other)).is_none(), "{:?}: it has left", site.way);
        let is_end = |record: &Value| record["reason"] == "secret_in_request" && record["bytes_up"].is_u64();
        let end = ground.gate.wait_for_record_after(before, is_end);
        assert_eq!(end["bytes_up"], harmless.len() + first.len(), "{end:#}");
    }
    let page = ask(ground.gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n").text();
    assert!(page.contains("A message holds a GitHub token") && !page.contains(one), "{page}");
    ground.gate.reload(&format!("report = true\n{}", fs::read_to_string(ground.gate.path("policy.toml")).unwrap()));
    let site = ground.site(Approach::Intercepted);
    let mut client = site.client();
    client.send(site.request("GET", handshake, ""));
    assert_eq!(client.reply().status, 101);
    let whole = message(0x81, TOKEN);
    client.send(&whole);
    site.origin.wait_for(|sent| find(sent, &whole).is_some());
    drop(client);
    let end = ground.gate.wait_for_record(|record| record["would_deny"] == "secret_in_request" && record["bytes_up"].is_u64());
    assert_eq!(end["verdict"], "allow", "{end:#}");
}

#[test]
fn a_secret_cut_across_two_frames_of_http_2_is_caught() {
    let ground = ground();
    let site = ground.site(Approach::Intercepted);
    for (one, other) in [KEY.split_at(7), TOKEN.split_at(30)] {
        site.origin.forget();
        let mut h2 = H2::connect(&site);
        let stream = h2.stream();
        let head = headers(stream, 0x4, &block(&h2.fields("POST", "/upload")));
        let body = [frame(0, 0, stream, one.as_bytes()), frame(0, 0x1, stream, other.as_bytes())].concat();
        h2.send([head, body].concat());
        let outcome = h2.outcome(stream);
        assert_eq!(outcome.reason().as_deref(), Some("secret_in_request"), "{outcome:?}");
        assert!(find(&site.origin.received(), [one, other].concat().as_bytes()).is_none());
    }
    let mut h2 = H2::connect(&site);
    assert!(matches!(h2.ask_for("/harmless"), Outcome::Answered(_)));
}

#[test]
fn the_sandbox_s_own_key_is_replaced_at_the_host_that_has_a_real_one() {
    let ground = ground();
    let site = ground.site(Approach::Intercepted);
    let mut client = site.secured_to("other.test", &["http/1.1"]);
    let host = site.authority_of("other.test");
    let reply = client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {TOKEN}\r\n\r\n")).reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = site.origin.wait_for(|sent| find(sent, KEY.as_bytes()).is_some());
    assert!(find(&sent, TOKEN.as_bytes()).is_none());
    // In a place of its own choice it may not use the real one even there.
    let mut client = site.secured_to("other.test", &["http/1.1"]);
    let reply = client.send(format!("GET /?copy={KEY} HTTP/1.1\r\nHost: {host}\r\n\r\n")).reply();
    assert_eq!(reply.verdict(), (403, "secret_in_request"));
}

#[test]
fn in_report_mode_a_secret_passes_and_is_recorded() {
    let ground = ground();
    let policy = fs::read_to_string(ground.gate.path("policy.toml")).unwrap();
    ground.gate.reload(&format!("report = true\n{policy}"));
    let site = ground.site(Approach::Intercepted);
    assert_eq!(site.ask(site.request("GET", &format!("X-Key: {TOKEN}"), "")).text(), "from the origin");
    ground.gate.wait_for_record(|record| record["would_deny"] == "secret_in_request" && record["verdict"] == "allow");
}

#[test]
fn lists_of_others_deny_hosts_and_urls_and_are_read_again_when_they_change() {
    let list = "# of others\n0.0.0.0 other.test\nhttp://allowed.test:PLAIN/evil/\nhttps://allowed.test:SECURE/evil/\n";
    let ground =
        Ground::with(|| Origin::saying("from the origin"), "[content]\nblocklists = [\"bad.txt\"]\n", |setup| setup.file("bad.txt", ""));
    let write = |text: &str| {
        let before = ground.gate.metric("tidegate_policy_generation");
        let [plain, secure] = [Approach::Tunnel, Approach::Intercepted].map(|way| ground.site(way).origin.port().to_string());
        fs::write(ground.gate.path("bad.txt"), text.replace("PLAIN", &plain).replace("SECURE", &secure)).unwrap();
        eventually("the list is read again", || ground.gate.metric("tidegate_policy_generation") > before);
    };
    for site in ground.sites() {
        assert_eq!(site.ask(site.get("/evil/x")).status, 200);
    }
    write(list);
    for site in ground.sites() {
        let reply = site.ask(site.get("/evil/x"));
        assert_eq!(reply.verdict(), (403, "path_not_allowed"), "{:?}", site.way);
        assert!(reply.text().contains("bad.txt:"), "{}", reply.text());
        assert_eq!(site.ask(site.get("/%65vil/x")).verdict(), (403, "path_not_allowed"));
        assert!(site.origin.received().is_empty(), "a URL is on the list");
        assert_eq!(site.ask(site.get("/evil")).status, 200);
    }
    let site = ground.site(Approach::Listener);
    let denied = site.ask(format!("GET http://{}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", site.authority_of("other.test")));
    assert_eq!(denied.verdict(), (403, "host_denied"));
    assert!(denied.json()["rule"].as_str().is_some_and(|rule| rule.contains("bad.txt:2")), "{}", denied.text());
    // What is no list changes nothing.
    fs::write(ground.gate.path("bad.txt"), "no host at all\n").unwrap();
    eventually("the failure is counted", || ground.gate.metric("tidegate_policy_reloads_total{result=\"failed\"}") == 1);
    assert_eq!(site.ask(site.get("/evil/x")).verdict(), (403, "path_not_allowed"));
}

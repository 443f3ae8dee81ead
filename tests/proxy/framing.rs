//! Requests whose end is in doubt, and what is passed on of those whose end is not, by every way on which requests are read.
//!
//! The origin reads in the plainest way, so a second request hidden in a first one would become one there.

use crate::harness::{Approach, Ground, Origin, origin::find};

fn head_of(bytes: &str) -> String {
    bytes.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase()
}

// ── threats 53 to 58: requests that two readers would read differently

#[test]
fn threat_53_two_lengths() {
    let ground = Ground::new();
    for site in ground.sites() {
        for lines in [
            "Content-Length: 6\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 6",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "content-length: 5\r\nCONTENT-LENGTH: 0",
        ] {
            site.refuses(site.request("POST", lines, &format!("0\r\n\r\n{}", site.hidden())));
        }
    }
}

#[test]
fn threat_54_lengths_that_are_none() {
    let ground = Ground::new();
    for site in ground.sites() {
        for length in [
            "+3",
            "-0",
            "-1",
            "0x3",
            "3,3",
            "3,4",
            "3, 3",
            "",
            " ",
            "3 3",
            "3;",
            "3.0",
            "1e1",
            "18446744073709551616",
            "99999999999999999999999",
            "٣",
            "three",
        ] {
            site.refuses(site.request("POST", &format!("Content-Length: {length}"), "abc"));
        }
    }
}

#[test]
fn threat_55_codings_that_are_not_chunked() {
    let ground = Ground::new();
    for site in ground.sites() {
        for coding in [
            "xchunked",
            "chunked, chunked",
            "identity, chunked",
            "chunked, identity",
            "gzip, chunked",
            "\x0bchunked",
            "identity",
            "chunked;q=1",
            "\"chunked\"",
            "chunked,",
            ", chunked",
            "chun\0ked",
            "",
        ] {
            site.refuses(site.request("POST", &format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"));
        }
        let authority = site.authority();
        let target = site.target("/");
        site.refuses(format!("POST {target} HTTP/1.0\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    }
}

#[test]
fn threat_56_chunks_that_are_none() {
    let hostile = [
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\rabc\r0\r\r",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "g\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\nX-T: a\nHost: b\r\n\r\n",
    ];

    let endless = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000));
    let ground = Ground::new();
    for site in ground.sites() {
        for body in hostile.into_iter().chain([&*endless]) {
            let before = site.gate.records().len();
            let mut client = site.client();
            client.send(site.request("POST", "Transfer-Encoding: chunked", &format!("{body}{}", site.hidden())));
            let answer = client.rest();
            let answer = String::from_utf8_lossy(&answer);
            // The head was good, so it may be on its way already: what counts is that nobody takes the request for whole.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{:?} {body:?}: {answer}", site.way);
            assert_eq!(find(&site.origin.received(), b"smuggled"), None, "{:?} {body:?}", site.way);
            site.gate.wait_for_record_after(before, |record| record["reason"] == "bad_request");
        }
    }
}

#[test]
fn threat_57_folds_spaces_and_line_ends() {
    let ground = Ground::new();
    for site in ground.sites() {
        for lines in [
            "X-A: 1\r\n folded",
            "X-A: 1\r\n\tfolded",
            " X-A: 1",
            "X-A : 1",
            "X-A\t: 1",
            "X-A: a\0b",
            "X-A: a\rb",
            "X A: 1",
            ": 1",
            "X-A",
            "X-\x7f: 1",
            "X-é: 1",
            "X-A: 1\nX-B: 2",
            "X-A: \x01",
            "Transfer-Encoding : chunked",
            "Content-Length : 3",
            "Content-Length: 3\n",
        ] {
            site.refuses(site.request("POST", lines, "abc"));
        }
        let (authority, target) = (site.authority(), site.target("/"));
        site.refuses(format!("GET {target} HTTP/1.1\nHost: {authority}\n\n"));
        site.refuses(format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\n\n"));
        site.refuses(format!("GET {target} HTTP/1.1\r\n X: 1\r\nHost: {authority}\r\n\r\n"));
    }
}

#[test]
fn threat_58_request_lines() {
    let ground = Ground::new();
    for site in ground.sites() {
        let (authority, target) = (site.authority(), site.target("/"));
        for line in [
            format!("GET  {target} HTTP/1.1"),
            format!("GET {target} a HTTP/1.1"),
            format!("GET {target}\ta HTTP/1.1"),
            format!("GET\t{target} HTTP/1.1"),
            format!("GET {target}  HTTP/1.1"),
            format!("GET {target} HTTP/1.1 "),
            format!(" GET {target} HTTP/1.1"),
            format!("GET {target}\0 HTTP/1.1"),
            format!("GET {target}\x7f HTTP/1.1"),
            format!("GET {target}é HTTP/1.1"),
            format!("GET {target}#f HTTP/1.1"),
            format!("GET {target}\\ HTTP/1.1"),
            format!("GET {target} HTTP/1.2"),
            format!("GET {target} HTTP/2.0"),
            format!("GET {target} HTTP/0.9"),
            format!("GET {target} http/1.1"),
            format!("GET {target}"),
            format!("GE(T {target} HTTP/1.1"),
            "GET".into(),
            "GET ".into(),
        ] {
            site.refuses(format!("{line}\r\nHost: {authority}\r\n\r\n"));
        }
    }
}

#[test]
fn connect_with_a_body() {
    let ground = Ground::new();
    let site = ground.site(Approach::Listener);
    let authority = site.authority();
    for lines in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        site.refuses(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n\r\nabc"));
    }
}

// ── threat 59: trailers

#[test]
fn threat_59_trailers_that_would_be_headers() {
    let ground = Ground::new();
    for site in ground.sites() {
        for name in
            ["Host", "Content-Length", "Transfer-Encoding", "Authorization", "Proxy-Authorization", "Connection", "Cookie", "Trailer"]
        {
            let request = site.request("POST", "Transfer-Encoding: chunked", &format!("3\r\nabc\r\n0\r\n{name}: hidden\r\n\r\n"));
            let reply = site.ask(request);
            assert!([200, 400].contains(&reply.status), "{:?} {name}: {}", site.way, reply.text());
            assert_eq!(find(&site.origin.received(), b"hidden"), None, "{:?} {name}", site.way);
        }
    }
}

#[test]
fn a_harmless_trailer_is_passed_on() {
    let ground = Ground::new();
    for site in ground.sites() {
        let sent = site.passes_on(site.request(
            "POST",
            "Transfer-Encoding: chunked\r\nTrailer: X-Checksum",
            "3\r\nabc\r\n0\r\nX-Checksum: 1\r\n\r\n",
        ));
        assert!(sent.ends_with("\r\n3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n"), "{sent}");
    }
}

#[test]
fn threat_56_a_line_end_in_a_quoted_chunk_extension_ends_the_line() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Transfer-Encoding: chunked", &format!("3;a=\"\r\nabc\r\n0\r\n\r\n\"\r\n{}", site.hidden())));
        let answer = client.rest();
        assert_eq!(find(&site.origin.received(), b"smuggled"), None, "{}", answer.escape_ascii());
    }
}

// ── threat 60: pipelines

#[test]
fn threat_60_pipelined_requests_are_decided_one_by_one() {
    let ground = Ground::new();
    for site in ground.sites() {
        let (refused, verdict) = site.refused("GET");
        let mut client = site.client();
        client.send(format!("{}{refused}\r\n", site.get("/")));
        assert_eq!(client.reply().status, 200, "{:?}", site.way);
        assert_eq!(client.reply().verdict(), verdict, "{:?}", site.way);
        assert_eq!(find(&site.origin.received(), b"evil"), None);
    }
}

#[test]
fn threat_60_what_follows_a_malformed_request_is_not_executed() {
    let ground = Ground::new();
    for site in ground.sites() {
        site.refuses([site.request("POST", "Content-Length: +3", "abc"), site.hidden().into_bytes()].concat());
    }
    let listener = ground.site(Approach::Listener);
    let before = listener.origin.connections().len();
    let mut client = listener.client();
    let reply = client.send([b"CONNECT allowed..test:443 HTTP/1.1\r\n\r\n", listener.hidden().as_bytes()].concat()).reply();
    assert_eq!(reply.verdict(), (400, "bad_request"));
    client.assert_closed();
    assert_eq!(listener.origin.connections().len(), before, "what came was meant for the tunnel");
}

#[test]
fn threat_60_what_follows_a_refusal_is_answered_or_not_executed() {
    let ground = Ground::new();
    for site in ground.sites() {
        let (refused, verdict) = site.refused("GET");
        let mut client = site.client();
        client.send(format!("{refused}\r\n{}", site.get("/")));
        let refusal = client.reply();
        assert_eq!(refusal.verdict(), verdict, "{:?}", site.way);
        if refusal.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            client.assert_closed();
            site.assert_unasked("the connection was over");
        } else {
            assert_eq!(client.reply().text(), "from the origin");
        }
    }
}

#[test]
fn threat_60_the_body_of_a_refused_request_is_not_a_request() {
    let ground = Ground::new();
    for site in ground.sites() {
        let hidden = site.hidden();
        for (lines, body) in [
            (format!("Content-Length: {}", hidden.len()), hidden.clone()),
            ("Transfer-Encoding: chunked".into(), format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())),
        ] {
            let (refused, verdict) = site.refused("POST");
            let mut client = site.client();
            client.send(format!("{refused}{lines}\r\n\r\n{body}"));
            assert_eq!(client.reply().verdict(), verdict, "{:?}", site.way);
            client.close_sending().assert_closed();
        }
        site.assert_unasked("a body is no request");
    }
}

#[test]
fn what_follows_a_refused_connect_is_not_a_request() {
    let ground = Ground::new();
    let site = ground.site(Approach::Listener);
    let mut client = site.client();
    client.send(format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n{}", site.hidden()));
    let refusal = client.reply();
    assert_eq!(refusal.verdict(), (403, "host_not_allowed"));
    if refusal.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        client.assert_closed();
        site.assert_unasked("what came was meant for the tunnel");
    }
}

#[test]
fn many_requests_on_one_connection() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        for _ in 0..50 {
            assert_eq!(client.send(site.get("/")).reply().text(), "from the origin");
        }
        client.send(site.get("/").repeat(20));
        for _ in 0..20 {
            assert_eq!(client.reply().text(), "from the origin");
        }
    }
}

// ── threats 61 to 64: headers that end here, expectations, methods

#[test]
fn hop_by_hop_headers_are_not_passed_on() {
    let ground = Ground::new();
    for site in ground.sites() {
        let lines = "Connection: keep-alive, X-Private, x-OTHER\r\nX-Private: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                     Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==\r\nTE: trailers\r\nX-End-To-End: 3\r\nAccept-Encoding: br";
        let sent = head_of(&site.passes_on(site.request("GET", lines, "")));
        for name in ["x-private", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "c2vjcmv0"] {
            assert!(!sent.contains(&format!("{name}:")) && !sent.contains("c2vjcmv0"), "{name} in {sent}");
        }
        assert!(sent.contains("x-end-to-end: 3") && sent.contains("accept-encoding: br"), "{sent}");
        assert!(sent.starts_with("get /first http/1.1\r\n"), "{sent}");
        assert!(sent.contains(&format!("host: {}", site.authority())), "{sent}");
    }
}

#[test]
fn header_names_that_some_servers_take_for_others() {
    let ground = Ground::new();
    for site in ground.sites() {
        for line in ["Proxy_Authorization: Basic x", "Transfer_Encoding: chunked", "Content_Length: 9", "content_length: 9"] {
            let reply = site.ask(site.request("GET", line, ""));
            let sent = site.origin.received();
            assert!(reply.verdict() == (400, "bad_request") || find(&sent, b"_").is_none(), "{line}: {}", sent.escape_ascii());
        }
    }
}

#[test]
fn threat_61_upgrades_that_ask_for_no_websocket_are_not_passed_on() {
    let ground = Ground::new();
    for site in ground.sites() {
        for upgrade in [
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=",
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            "Connection: upgrade\r\nUpgrade: TLS/1.0",
            "Upgrade: websocket",
        ] {
            let sent = head_of(&site.passes_on(site.request("GET", upgrade, "")));
            assert!(!sent.contains("upgrade:") && !sent.contains("http2-settings"), "{:?}: {sent}", site.way);
            assert!(!sent.contains("connection: upgrade"), "{:?}: {sent}", site.way);
        }
    }
}

#[test]
fn threat_62_connection_options_that_would_remove_framing() {
    let ground = Ground::new();
    for site in ground.sites() {
        for options in ["Host", "Content-Length", "close, Transfer-Encoding", "keep-alive,HOST", "a b", "\"host\""] {
            site.refuses(site.request("POST", &format!("Connection: {options}\r\nContent-Length: 3"), "abc"));
        }
    }
}

#[test]
fn threat_63_expect_to_a_refused_host_is_refused_at_once() {
    let ground = Ground::new();
    for site in ground.sites() {
        let (refused, verdict) = site.refused("POST");
        let reply = site.ask(format!("{refused}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
        assert_eq!(reply.verdict(), verdict, "{:?}: and not 100", site.way);
    }
}

#[test]
fn threat_63_expect_to_an_allowed_host() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Content-Length: 3\r\nExpect: 100-continue", ""));
        assert_eq!(client.reply().status, 100);
        assert_eq!(client.send("abc").reply().text(), "from the origin");
        assert_eq!(client.send(site.get("/")).reply().text(), "from the origin", "in step");
    }
}

#[test]
fn threat_63_expect_with_the_body_at_once() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Content-Length: 3\r\nExpect: 100-continue", "abc")).send(site.get("/"));
        let mut replies = Vec::new();
        while replies.len() < 2 {
            let reply = client.reply();
            if reply.status != 100 {
                replies.push(reply.text());
            }
        }
        assert_eq!(replies, ["from the origin", "from the origin"]);
    }
}

#[test]
fn threat_63_expect_and_then_silence() {
    let ground = Ground::with(|| Origin::saying("from the origin"), "", |setup| setup.timeout("body = \"300ms\""));
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Content-Length: 3\r\nExpect: 100-continue", ""));
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("from the origin") && !answer.contains(" 200 "), "{:?}: {answer}", site.way);
    }
}

#[test]
fn threat_63_other_expectations() {
    let ground = Ground::new();
    for site in ground.sites() {
        for expect in ["200-ok", "100-continue, 100-continue", "100-continue;q=1", ""] {
            site.refuses(site.request("POST", &format!("Expect: {expect}\r\nContent-Length: 3"), "abc"));
        }
    }
}

#[test]
fn threat_64_methods_that_are_never_passed_on() {
    let ground = Ground::new();
    for site in ground.sites() {
        for method in ["TRACE", "TRACK"] {
            let reply = site.ask(site.request(method, "X-Secret: abc", ""));
            assert_eq!(reply.verdict(), (405, "method_refused"), "{method}");
            let allow = reply.header("allow").unwrap_or_default().to_owned();
            assert!(allow.contains("GET") && !allow.contains(method), "{allow}");
            assert!(!reply.text().contains("abc"), "never an echo");
        }
        let mut client = site.client();
        let reply = client.send(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", site.hidden())).reply();
        assert_eq!(reply.verdict(), (405, "method_refused"), "PRI");
        client.assert_closed();
        site.assert_unasked("never passed on");
    }
}

#[test]
fn methods_are_passed_on_as_they_are() {
    let ground = Ground::new();
    for site in ground.sites() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "FOO"] {
            let sent = site.passes_on(site.request(method, "Content-Length: 3", "abc"));
            assert!(sent.starts_with(&format!("{method} /first HTTP/1.1\r\n")) && sent.ends_with("\r\n\r\nabc"), "{sent}");
        }
    }
}

#[test]
fn path_and_query_are_passed_on_as_they_came() {
    let ground = Ground::new();
    for site in ground.sites() {
        for path in ["/", "/a/../b", "//x", "/%2e%2e/%2F", "/a?b=c&d=%20", "/?", "/a;b=c", "/~{}|^"] {
            let sent = site.passes_on(site.get(path));
            assert!(sent.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{:?} {path}: {sent}", site.way);
        }
    }
    let site = ground.site(Approach::Listener);
    assert!(site.passes_on(site.get("?q")).starts_with("GET /?q HTTP/1.1\r\n"));
}

#[test]
fn bodies_are_passed_on_byte_for_byte() {
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let ground = Ground::new();
    for site in ground.sites() {
        let reply = site.ask([site.request("POST", &format!("Content-Length: {}", body.len()), ""), body.clone()].concat());
        assert_eq!(reply.text(), "from the origin", "{:?}", site.way);
        assert!(site.origin.received().ends_with(&body), "{:?}", site.way);
    }
}

#[test]
fn chunked_bodies_are_passed_on_whole_however_they_are_cut() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send_slowly(site.request("POST", "Transfer-Encoding: chunked", "3\r\nabc\r\n04;x=y\r\ndefg\r\n0\r\n\r\n"));
        assert_eq!(client.reply().text(), "from the origin");
        let sent = String::from_utf8(site.origin.received()).unwrap();
        let chunks = sent.split("\r\n\r\n").nth(1).unwrap_or_default();
        let content: String = chunks.split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(content, "abcdefg", "{sent}");
    }
}

#[test]
fn a_length_beyond_all_measure_is_only_a_promise() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Content-Length: 9223372036854775807", "abc"));
        site.origin.wait_for(|bytes| find(bytes, b"abc").is_some());
        drop(client);
        assert_eq!(site.ask(site.get("/")).text(), "from the origin");
    }
}

#[test]
fn threat_54_the_largest_lengths_are_answered_like_any_other_bad_one() {
    let ground = Ground::new();
    for site in ground.sites() {
        for length in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
            let before = site.gate.records().len();
            let mut client = site.client();
            client.send(site.request("POST", &format!("Content-Length: {length}"), "abc")).close_sending();
            let reply = client.reply();
            let refused = matches!(reply.verdict(), (400, "bad_request") | (413, "body_too_large"));
            assert!(refused, "{:?} {length}: {} {:?}", site.way, reply.status, reply.headers);
            site.gate.wait_for_record_after(before, |record| record["verdict"] == "deny");
        }
    }
}

#[test]
fn a_client_that_wants_to_close_is_closed() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        let reply = client.send(site.request("GET", "Connection: close", "")).reply();
        assert_eq!(reply.text(), "from the origin");
        client.assert_closed();
    }
}

#[test]
fn http_1_0_gets_no_chunks_and_the_end() {
    let ground = Ground::before(|| Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    for site in ground.sites() {
        let mut client = site.client();
        let reply = client.send(site.get("/").replace("HTTP/1.1", "HTTP/1.0")).reply();
        assert_eq!((reply.text().as_str(), reply.header("transfer-encoding")), ("abc", None), "{:?}", site.way);
        client.assert_closed();
    }
}

#[test]
fn any_bytes_at_all_leave_the_proxy_standing() {
    let ground = Ground::with(|| Origin::saying("from the origin"), "[limits]\nnew_connections_per_second = 5000\n", |setup| setup);
    for site in ground.sites() {
        let mut state = 0x7469_6465_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let good = site.request("POST", "Transfer-Encoding: chunked\r\nX-A: b", "3\r\nabc\r\n0\r\n\r\n");
        for _ in 0..if site.way == Approach::Listener { 300 } else { 60 } {
            let mut bytes = good.clone();
            for _ in 0..next() % 4 {
                let at = usize::from(next()) * bytes.len() / 256;
                bytes[at] = next();
            }
            let noise: Vec<u8> = (0..next()).map(|_| next()).collect();
            for sent in [bytes, noise] {
                let answer = site.client().send(&sent).close_sending().rest();
                let answer = String::from_utf8_lossy(&answer);
                let refused = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5");
                assert!(!refused || answer.contains("x-deny-reason: "), "{}: {answer}", sent.escape_ascii());
            }
        }
        assert_eq!(site.ask(site.get("/")).text(), "from the origin");
        assert_eq!(site.gate.metric("tidegate_panics_total"), 0);
    }
}

// ── heads too slow and too large

#[test]
fn a_head_that_comes_too_slowly() {
    let ground = Ground::with(|| Origin::saying(""), "", |setup| setup.timeout("head = \"300ms\""));
    for site in ground.sites() {
        for sent in ["G", &format!("GET {} HTTP/1.1\r\nHost: allow", site.target("/")), "CONNECT allowed.test:443 HTTP/1.1\r\n"] {
            let before = site.gate.records().len();
            let mut client = site.client();
            let reply = client.send(sent).reply();
            assert_eq!(reply.verdict(), (408, "head_timeout"), "{:?} {sent:?}", site.way);
            client.assert_closed();
            site.gate.wait_for_record_after(before, |record| record["reason"] == "head_timeout" && record["verdict"] == "deny");
        }
        site.assert_unasked("no head was whole");
    }
}

#[test]
fn a_connection_on_which_nothing_ever_comes_is_closed_too() {
    let timeouts = ["head = \"300ms\"", "keep_alive = \"300ms\""];
    let ground = Ground::with(|| Origin::saying(""), "", |setup| timeouts.iter().fold(setup, |setup, line| setup.timeout(line)));
    for site in ground.sites() {
        let answer = site.client().rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{:?}: {}", site.way, answer.escape_ascii());
    }
}

#[test]
fn a_head_that_is_too_large() {
    let ground = Ground::new();
    for site in ground.sites() {
        let one_long_line = format!("X-Long: {}", "a".repeat(70_000));
        let many_lines = (0..300).map(|number| format!("X-{number}: a")).collect::<Vec<_>>().join("\r\n");
        let many_long_lines = (0..100).map(|number| format!("X-{number}: {}", "a".repeat(8000))).collect::<Vec<_>>().join("\r\n");
        for lines in [one_long_line, many_lines, many_long_lines, format!("X-Long: {}", "a".repeat(2_000_000))] {
            let mut client = site.client();
            let reply = client.send(site.request("GET", &lines, "")).reply();
            assert_eq!(reply.verdict(), (431, "head_too_large"), "{} bytes", lines.len());
            client.assert_closed();
        }
        site.assert_unasked("no head was good");
    }
}

#[test]
fn a_head_that_is_just_large() {
    let ground = Ground::new();
    for site in ground.sites() {
        let lines = (0..100).map(|number| format!("X-{number}: {}", "a".repeat(400))).collect::<Vec<_>>().join("\r\n");
        assert!(site.passes_on(site.request("GET", &lines, "")).len() > 40_000);
        let lines = (0..250).map(|number| format!("X-{number}: a")).collect::<Vec<_>>().join("\r\n");
        assert!(site.passes_on(site.request("GET", &lines, "")).to_ascii_lowercase().contains("x-249: a"));
        let path = format!("/{}", "a".repeat(8000));
        assert!(site.passes_on(site.get(&path)).starts_with(&format!("GET {path} ")));
    }
}

//! HTTP/2 inside TLS that ends at the proxy, by a client that sends frames as no real one would.

use std::time::{Duration, Instant};

use crate::harness::{
    Approach, Client, Ground, Origin, Site, eventually,
    h2::{
        ACK, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, H2, HEADERS, Outcome, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block, frame, headers, string,
    },
    origin::find,
};

fn good() -> Outcome {
    Outcome::Answered("from the origin".into())
}

/// What `act` returns, after which the proxy holds no more than 64 MiB more than before, and answers a good request at once.
#[track_caller]
fn unharmed<T>(site: &Site<'_>, what: &str, act: impl FnOnce(&mut H2) -> T) -> T {
    assert_eq!(H2::connect(site).ask_for("/before"), good(), "{what}");
    let before = site.gate.peak_memory();
    let mut h2 = H2::connect(site);
    let result = act(&mut h2);
    let started = Instant::now();
    assert_eq!(H2::connect(site).ask_for("/after"), good(), "{what}");
    assert!(started.elapsed() < Duration::from_secs(2), "{what}: a good request took {:?}", started.elapsed());
    let grown = site.gate.peak_memory() - before;
    assert!(grown < 64 * 1024, "{what}: {grown} KiB more than before");
    result
}

fn intercepted(ground: &Ground) -> Site<'_> {
    ground.site(Approach::Intercepted)
}

// ── whom a stream is for

#[test]
fn threat_42_each_stream_names_the_one_server() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let mut h2 = H2::connect(&site);
    let (here, sibling) = (site.authority(), site.authority_of("other.test"));
    assert_eq!(h2.ask_for("/1"), good());
    for (authority, host) in [
        (Some(&*sibling), None),
        (Some("evil.test"), None),
        (Some("allowed.test:444"), None),
        (Some(&*here), Some(&*sibling)),
        (Some(&*sibling), Some(&*here)),
        (None, Some(&*sibling)),
        (None, Some("evil.test")),
    ] {
        let mut fields = vec![(":method", "GET"), (":scheme", "https"), (":path", "/wrong")];
        fields.extend(authority.map(|authority| (":authority", authority)));
        fields.extend(host.map(|host| ("host", host)));
        let outcome = h2.ask(&fields);
        assert_eq!(outcome.reason().as_deref(), Some("misdirected"), "{authority:?} {host:?}: {outcome:?}");
    }
    // A stream was refused, not its connection.
    assert_eq!(h2.ask_for("/2"), good());
    assert_eq!(find(&site.origin.received(), b"/wrong"), None);
}

#[test]
fn host_may_stand_for_the_authority() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let mut h2 = H2::connect(&site);
    let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/1"), ("host", &site.authority())];
    assert_eq!(h2.ask(&fields), good());
    assert_eq!(h2.ask(&fields[..3]).reason().as_deref(), Some("bad_request"), "nobody is named");
    let received = String::from_utf8(site.origin.received()).unwrap().to_ascii_lowercase();
    assert!(received.starts_with("get /1 http/1.1\r\n") && received.contains(&format!("\r\nhost: {}\r\n", site.authority())), "{received}");
}

#[test]
fn egress_6_5_paths_are_judged_like_those_of_http_1() {
    let rules = "[[rule]]\nhosts = [HOSTS]\nmethods = [\"GET\"]\npaths = [\"/org/**\"]\n";
    let ground = Ground::with(|| Origin::saying("from the origin"), rules, |setup| setup);
    let site = intercepted(&ground);
    let mut h2 = H2::connect(&site);
    for (method, path, reason) in [
        ("GET", "/org/../evil", "bad_request"),
        ("GET", "/org/%2e%2e/evil", "bad_request"),
        ("GET", "/org/..;/evil", "bad_request"),
        ("GET", "/org//x", "bad_request"),
        ("GET", "//org/x", "bad_request"),
        ("GET", "/org%2Fx", "bad_request"),
        ("GET", "/org%252f..", "bad_request"),
        ("GET", "/org/%00", "bad_request"),
        ("GET", "/other", "path_not_allowed"),
        ("POST", "/org/x", "method_not_allowed"),
        ("get", "/org/x", "method_not_allowed"),
        ("TRACE", "/org/x", "method_refused"),
        ("TRACK", "/org/x", "method_refused"),
    ] {
        let stream = h2.stream();
        let head = headers(stream, END_STREAM, &block(&h2.fields(method, path)));
        let outcome = h2.send(head).outcome(stream);
        assert_eq!(outcome.reason().as_deref(), Some(reason), "{method} {path}: {outcome:?}");
    }
    site.assert_unasked("a rule refused");
    assert_eq!(h2.ask_for("/%6frg/x"), good());
    assert!(site.origin.received().starts_with(b"GET /org/x HTTP/1.1\r\n"));
}

// ── threat 75: what HTTP/1.1 would read otherwise

/// Fields beside those of a good request.
const ADDED: &[(&[u8], &[u8])] = &[
    (b"x-a", b"b\r\nHost: evil.test\r\n\r\nGET /smuggled HTTP/1.1"),
    (b"x-a", b"b\0c"),
    (b"x-a", b"b\nX-B: c"),
    (b"x-a", b"b\rX-B: c"),
    (b"x-a", b"\x7f"),
    (b"x\r\nx-b", b"c"),
    (b"x\0a", b"b"),
    (b"x a", b"b"),
    (b"x:a", b"b"),
    (b"X-Upper", b"b"),
    (b"", b"b"),
    (b"transfer-encoding", b"chunked"),
    (b"connection", b"close"),
    (b"connection", b"host"),
    (b"keep-alive", b"timeout=5"),
    (b"proxy-connection", b"keep-alive"),
    (b"upgrade", b"h2c"),
    (b"te", b"gzip"),
    (b"host", b"evil.test\r\nx: y"),
    (b"content-length", b"+0"),
    (b"content-length", b"0, 0"),
    (b"expect", b"gold"),
    (b"transfer_encoding", b"chunked"),
    (b":path", b"/second"),
    (b":method", b"POST"),
    (b":authority", b"evil.test"),
    (b":scheme", b"http"),
    (b":status", b"200"),
    (b":evil", b"1"),
];

/// In the place of what stands in a good request.
const REPLACED: &[(&str, &[u8])] = &[
    (":path", b"/a b"),
    (":path", b"/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /smuggled"),
    (":path", b"/\0"),
    (":path", b""),
    (":path", b"x"),
    (":path", b"*"),
    (":path", b"https://evil.test/"),
    (":method", b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\nGET"),
    (":method", b"G ET"),
    (":method", b""),
    (":method", b"PRI"),
    (":scheme", b"http"),
    (":scheme", b"https\r\nx: y"),
    (":scheme", b"ftp"),
    (":authority", b"user@allowed.test"),
    (":authority", b"allowed.test\r\nx: y"),
    (":authority", b"allowed.test evil.test"),
    (":authority", b"allowed.test/"),
    (":authority", b"allowed.test\0"),
    (":authority", b""),
];

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The pseudo-header fields of a good request.
fn pseudo(site: &Site<'_>) -> Fields {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", &*site.authority()), (":path", "/")];
    fields.map(|(name, value)| (name.into(), value.into())).into()
}

#[test]
fn threat_75_fields_that_would_be_lines() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let added = |fields: &[(&[u8], &[u8])]| -> Fields {
        [pseudo(&site), fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()].concat()
    };
    let mut cases: Vec<Fields> = ADDED.iter().map(|field| added(&[*field])).collect();
    cases.push(added(&[(b"content-length", b"0"), (b"content-length", b"0")]));
    for (name, value) in REPLACED {
        let put = |(other, old): (Vec<u8>, Vec<u8>)| if other == name.as_bytes() { (other, value.to_vec()) } else { (other, old) };
        cases.push(pseudo(&site).into_iter().map(put).collect());
    }
    for left_out in 0..4 {
        let mut fields = pseudo(&site);
        let field = fields.remove(left_out);
        cases.push(fields.clone());
        // A pseudo-header field that comes late.
        fields.extend([(b"x".to_vec(), b"y".to_vec()), field]);
        cases.push(fields);
    }
    for fields in cases {
        let case =
            fields.iter().map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii())).collect::<Vec<_>>().join("; ");
        let mut h2 = H2::connect(&site);
        let stream = h2.stream();
        let outcome = h2.send(headers(stream, END_STREAM, &block(&fields))).outcome(stream);
        assert!(outcome.is_refusal(), "{case}: {outcome:?}");
        site.assert_unasked(&case);
    }
}

#[test]
fn a_fragment_is_left_out_of_what_is_judged_and_passed_on() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    assert_eq!(H2::connect(&site).ask_for("/shown#hidden"), good());
    let received = site.origin.received();
    assert!(received.starts_with(b"GET /shown HTTP/1.1\r\n") && find(&received, b"hidden").is_none(), "{}", received.escape_ascii());
}

#[test]
fn threat_75_a_body_that_is_not_as_long_as_announced() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    for (length, body) in [("3", "abcGET /smuggled HTTP/1.1\r\n\r\n"), ("100", "abc"), ("0", "GET /smuggled HTTP/1.1\r\n\r\n"), ("3", "")] {
        let mut h2 = H2::connect(&site);
        let stream = h2.stream();
        let mut fields = h2.fields("POST", "/upload");
        fields.push(("content-length", length));
        let sent = [headers(stream, 0, &block(&fields)), frame(DATA, END_STREAM, stream, body.as_bytes())].concat();
        let outcome = h2.send(sent).outcome(stream);
        assert!(outcome.is_refusal(), "{length} {body:?}: {outcome:?}");
        assert_eq!(find(&site.origin.received(), b"smuggled"), None, "{length} {body:?}");
    }
    assert_eq!(H2::connect(&site).ask_for("/"), good());
}

#[test]
fn threat_59_trailers_that_would_be_headers() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    for name in ["host", "content-length", "authorization", "proxy-authorization", "cookie", "trailer", "transfer-encoding", ":path"] {
        let mut h2 = H2::connect(&site);
        let stream = h2.stream();
        let fields = block(&h2.fields("POST", "/upload"));
        let sent = [headers(stream, 0, &fields), frame(DATA, 0, stream, b"abc"), headers(stream, END_STREAM, &block(&[(name, "hidden")]))];
        let outcome = h2.send(sent.concat()).outcome(stream);
        assert!(outcome == good() || outcome.is_refusal(), "{name}: {outcome:?}");
        assert_eq!(find(&site.origin.received(), b"hidden"), None, "{name}");
    }
}

// ── threat 76: tunnels in streams

#[test]
fn threat_76_a_tunnel_in_a_stream() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let mut h2 = H2::connect(&site);
    for authority in ["evil.test:443".to_owned(), site.authority()] {
        let stream = h2.stream();
        let outcome = h2.send(headers(stream, 0, &block(&[(":method", "CONNECT"), (":authority", &*authority)]))).outcome(stream);
        assert_eq!(outcome.reason().as_deref(), Some("method_refused"), "{authority}: {outcome:?}");
    }
    for (authority, protocol) in [("evil.test", "websocket"), (&*site.authority(), "connect-udp"), ("evil.test", "connect-ip")] {
        let mut h2 = H2::connect(&site);
        let fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":authority", authority), (":path", "/")];
        let stream = h2.stream();
        let outcome = h2.send(headers(stream, 0, &block(&fields))).outcome(stream);
        assert!(outcome.is_refusal(), "{protocol}: {outcome:?}");
    }
    site.assert_unasked("a tunnel inside a tunnel");
}

#[test]
fn egress_6_6_http_2_where_nobody_agreed_on_it() {
    let ground = Ground::new();
    for way in [Approach::Listener, Approach::Tunnel, Approach::Intercepted] {
        let site = ground.site(way);
        let mut client: Client = site.client();
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", &*site.authority()), (":path", "/")];
        client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), &headers(1, END_STREAM, &block(&fields))].concat());
        let reply = client.reply();
        assert_eq!(reply.verdict(), (405, "method_refused"), "{way:?}: {}", reply.text());
        client.assert_closed();
        site.assert_unasked("HTTP/1.1 is spoken here");
    }
}

// ── threats 69 to 74: floods

#[test]
fn threat_69_streams_that_are_reset_at_once() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let end = unharmed(&site, "rapid reset", |h2| {
        let flood: Vec<u8> = (0..20_000)
            .flat_map(|_| {
                let stream = h2.stream();
                [h2.get(stream, "/flood"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
            })
            .collect();
        h2.flood(&flood).end()
    });
    assert!(matches!(end, Outcome::GoneAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{end:?}");
    let asked = site.origin.received().windows(6).filter(|window| window == b"/flood").count();
    assert!(asked < 1000, "{asked} of 20 000 were passed on");
}

#[test]
fn threat_70_heads_without_end() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    for (what, piece, count) in
        [("CONTINUATION", block(&[("x-flood", "a".repeat(1000))]), 20_000), ("empty CONTINUATION", Vec::new(), 200_000)]
    {
        let end = unharmed(&site, what, |h2| {
            let stream = h2.stream();
            let start = frame(HEADERS, END_STREAM, stream, &block(&h2.fields("GET", "/flood")));
            h2.flood(&[start, frame(CONTINUATION, 0, stream, &piece).repeat(count)].concat()).end()
        });
        assert!(matches!(end, Outcome::GoneAway(_) | Outcome::Closed), "{what}: {end:?}");
    }
    assert_eq!(find(&site.origin.received(), b"/flood"), None);
}

#[test]
fn threat_71_a_small_head_that_says_much() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    unharmed(&site, "HPACK bomb", |h2| {
        let pseudo = block(&h2.fields("GET", "/flood"));
        // The entry is put into the table once (RFC 7541, section 6.2.1), and named by its index (6.1) ever after.
        let entry = [&[0x40][..], &string(b"x-bomb"), &string(&[b'a'; 4000])].concat();
        let mut flood = Vec::new();
        for number in 0..100 {
            let first: &[u8] = if number == 0 { &entry } else { &[] };
            flood.extend(headers(h2.stream(), END_STREAM, &[&pseudo, first, &[0xbe; 12_000]].concat()));
        }
        h2.flood(&flood);
    });
    assert_eq!(find(&site.origin.received(), b"/flood"), None);
}

#[test]
fn threat_72_frames_that_say_nothing() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let floods = [
        ("SETTINGS", frame(SETTINGS, 0, 0, b""), 30_000),
        (
            "SETTINGS that change",
            [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])].concat(),
            50_000,
        ),
        ("SETTINGS acknowledged", frame(SETTINGS, ACK, 0, b""), 30_000),
        ("PING", frame(PING, 0, 0, b"12345678"), 30_000),
        ("PING acknowledged", frame(PING, ACK, 0, b"12345678"), 30_000),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]), 60_000),
        ("PRIORITY of unknown streams", (0..1000_u32).flat_map(|n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 16])).collect(), 50),
        ("WINDOW_UPDATE of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), 30_000),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()), 30_000),
        ("frames of no known kind", frame(0xfa, 0, 0, b"1"), 30_000),
    ];
    for (what, piece, count) in floods {
        let after = unharmed(&site, what, |h2| h2.flood(&piece.repeat(count)).ask_for("/again"));
        assert!(after == good() || matches!(after, Outcome::GoneAway(_) | Outcome::Closed), "{what}: {after:?}");
    }
    let after = unharmed(&site, "empty DATA", |h2| {
        let stream = h2.stream();
        let start = headers(stream, 0, &block(&h2.fields("POST", "/flood")));
        h2.flood(&[start, frame(DATA, 0, stream, b"").repeat(200_000)].concat()).ask_for("/again")
    });
    assert!(after == good() || matches!(after, Outcome::GoneAway(_) | Outcome::Closed), "{after:?}");
}

/// What is wrong, and the frame on a stream that does it.
type Fault = (&'static str, fn(u32) -> Vec<u8>);

#[test]
fn threat_73_streams_that_we_are_made_to_reset() {
    let ground = Ground::new();
    let site = intercepted(&ground);
    let faults: [Fault; 4] = [
        ("WINDOW_UPDATE of nothing", |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("a window too large", |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())),
        ("PRIORITY on itself", |stream| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[16]].concat())),
        ("DATA after the end", |stream| frame(DATA, 0, stream, b"x")),
    ];
    for (what, fault) in faults {
        site.origin.forget();
        let end = unharmed(&site, what, |h2| {
            let flood: Vec<u8> = (0..20_000)
                .flat_map(|_| {
                    let stream = h2.stream();
                    [h2.get(stream, "/flood"), fault(stream)].concat()
                })
                .collect();
            h2.flood(&flood).end()
        });
        assert!(matches!(end, Outcome::GoneAway(_) | Outcome::Closed), "{what}: {end:?}");
        let asked = site.origin.received().windows(6).filter(|window| window == b"/flood").count();
        assert!(asked < 1000, "{what}: {asked} of 20 000 were passed on");
    }
}

/// Asks on so many streams whose windows are empty (`SETTINGS_INITIAL_WINDOW_SIZE`, RFC 9113, section 6.5.2).
fn flooded(h2: &mut H2, streams: usize) -> &mut H2 {
    let mut flood = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for _ in 0..streams {
        let stream = h2.stream();
        flood.extend(h2.get(stream, "/large"));
    }
    h2.flood(&flood)
}

#[test]
fn threat_74_answers_that_are_never_taken() {
    let large = || Origin::replying([b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n".to_vec(), vec![b'x'; 4_000_000]].concat());
    let short = ["idle = \"1s\"", "first_byte = \"1s\"", "keep_alive = \"1s\""];
    let ground = Ground::with(large, "", |setup| short.iter().fold(setup, |setup, line| setup.timeout(line)));
    let site = intercepted(&ground);
    let before = site.gate.peak_memory();
    // More streams than are allowed end the connection.
    let mut h2 = H2::connect(&site);
    assert!(matches!(flooded(&mut h2, 500).end(), Outcome::GoneAway(_) | Outcome::Closed));
    let mut h2 = H2::connect(&site);
    flooded(&mut h2, 128);
    site.gate.wait_for_record(|record| record["path"] == "/large");
    let grown = || site.gate.peak_memory().saturating_sub(before);
    assert!(matches!(h2.end(), Outcome::GoneAway(_) | Outcome::Closed), "nobody waits for ever");
    eventually("the tunnel's end is on record", || site.gate.records().iter().any(|record| record["kind"] == "connect"));
    assert!(grown() < 64 * 1024, "{} KiB more than before", grown());
    let mut other = H2::connect(&site);
    assert!(matches!(other.ask_for("/large"), Outcome::Answered(_) | Outcome::Closed | Outcome::Reset(_)));
}

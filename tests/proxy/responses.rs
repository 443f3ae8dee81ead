//! Answers whose end is in doubt, and what is passed back of those whose end is not, by every way on which requests are read.

use std::sync::{Arc, Mutex, mpsc};

use crate::harness::{
    Approach, Client, Dns, Ground, Origin, PATIENCE, Reply, Setup, Site,
    client::ask,
    h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, Outcome, PREFACE, PUSH_PROMISE, RST_STREAM, SETTINGS, block,
        frame, headers,
    },
    identity,
    origin::{Conversation, find},
    tls::trusting,
};

/// Answers the first request of a connection with what stands in its place of `replies`, which is the number in its path, and
/// closes.
fn choosing(replies: &[&str]) -> Origin {
    let replies: Vec<String> = replies.iter().map(|reply| (*reply).to_owned()).collect();
    Origin::scripted(move |conversation| {
        if let Some(reply) = chosen(conversation, &replies) {
            conversation.send(reply.as_bytes());
        }
    })
}

fn chosen<'r>(conversation: &mut Conversation, replies: &'r [String]) -> Option<&'r str> {
    let request = String::from_utf8(conversation.request()?).ok()?;
    let path = request.split(' ').nth(1)?;
    replies.get(path.trim_start_matches('/').parse::<usize>().ok()?).map(String::as_str)
}

/// Asks for each of `replies` by each way.
fn each(replies: &[&str], judge: impl Fn(&Site<'_>, &str, &str)) {
    let ground = Ground::before(|| choosing(replies));
    for site in ground.sites() {
        for (number, reply) in replies.iter().enumerate() {
            judge(&site, &site.get(&format!("/{number}")), reply);
        }
    }
}

/// The answers of an origin that sends these bytes and closes, by each way.
fn answered(reply: &str, judge: impl Fn(Approach, Reply)) {
    each(&[reply], |site, request, _| judge(site.way, site.ask(request)));
}

#[test]
fn threat_65_heads_that_are_none() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Huge: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(2_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-A: b\r\n".repeat(20_000));
    let replies = [
        "",
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 1000 OK\r\n\r\n",
        "HTTP/3 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Len",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        &huge,
        &many,
    ];
    each(&replies, |site, request, reply| {
        let before = site.gate.records().len();
        let answer = site.ask(request);
        let shown = &reply[..reply.len().min(80)];
        assert_eq!(answer.verdict(), (502, "upstream_closed"), "{:?} {shown:?}: {}", site.way, answer.text());
        site.gate.wait_for_record_after(before, |record| record["verdict"] == "error" && record["reason"] == "upstream_closed");
    });
    let ground = Ground::before(|| choosing(&replies));
    let mut h2 = H2::connect(&ground.site(Approach::Intercepted));
    for (number, reply) in replies.iter().enumerate() {
        let outcome = h2.ask_for(&format!("/{number}"));
        assert_eq!(outcome.reason().as_deref(), Some("upstream_closed"), "{:?}: {outcome:?}", &reply[..reply.len().min(80)]);
    }
}

#[test]
fn threat_65_two_lengths_in_a_response_are_one_body_or_none() {
    for lines in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"] {
        answered(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), |way, answer| match answer.status {
            502 => assert_eq!(answer.reason(), "upstream_closed", "{way:?}"),
            status => assert_eq!((status, answer.text().as_str(), answer.header("content-length")), (200, "hello", None), "{way:?}"),
        });
    }
}

#[test]
fn threat_65_a_body_that_breaks_off_is_not_passed_on_as_whole() {
    let replies = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nX: y",
    ];
    each(&replies, |site, request, reply| assert_broken_off(&mut site.client(), request, reply));
    let ground = Ground::before(|| choosing(&replies));
    let site = ground.site(Approach::Intercepted);
    for (number, reply) in replies.iter().enumerate() {
        let outcome = H2::connect(&site).ask_for(&format!("/{number}"));
        assert!(outcome.is_refusal(), "{reply:?} became {outcome:?}");
    }
}

/// An answer without a length, whose end is not told apart from its breaking off but by TLS.
#[test]
fn threat_65_tls_that_ends_without_a_word_breaks_the_body_off() {
    let reply = "HTTP/1.1 200 OK\r\n\r\nshort";
    let ground = Ground::before(|| {
        Origin::scripted(|conversation| {
            if conversation.request().is_some() {
                conversation.send(reply.as_bytes());
                conversation.break_off();
            }
        })
    });
    let site = ground.site(Approach::Intercepted);
    assert_broken_off(&mut site.client(), &site.get("/"), reply);
}

#[track_caller]
fn assert_broken_off(client: &mut Client, request: &str, reply: &str) {
    let answer = client.send(request).rest();
    let answer = String::from_utf8_lossy(&answer);
    let whole = answer.contains("\r\n0\r\n\r\n") || answer.contains("ontent-length: 5\r\n");
    assert!(!whole, "{reply:?} became {answer:?}");
}

#[test]
fn threat_65_a_second_response_is_nobodys() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let ground = Ground::before(|| Origin::replying(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal{second}")));
    for site in ground.sites() {
        let mut client = site.client();
        for _ in 0..5 {
            assert_eq!(client.send(site.get("/")).reply().text(), "real", "{:?}", site.way);
        }
    }
}

#[test]
fn threat_65_interim_responses_without_end() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10_000);
    each(&[&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")], |site, request, _| {
        let mut client = site.client();
        client.send(request);
        let last = loop {
            let reply = client.reply();
            if reply.status >= 200 {
                break reply;
            }
        };
        assert!(last.text() == "done" || last.verdict() == (502, "upstream_closed"), "{:?}: {last:?}", site.way);
    });
}

#[test]
fn threat_65_switching_protocols_that_nobody_asked_for() {
    answered("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes", |way, answer| {
        assert_eq!(answer.verdict(), (502, "upstream_closed"), "{way:?}: {answer:?}");
    });
}

#[test]
fn threats_65_and_77_fields_of_a_response_that_end_here() {
    let lines = "Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Connection: close\r\n\
                 Upgrade: h2c\r\nAlt-Svc: h3=\":443\"; ma=86400\r\nX-End-To-End: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2";
    answered(&format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 2\r\n\r\nok"), |way, answer| {
        for name in ["x-private", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade", "alt-svc"] {
            assert_eq!(answer.header(name), None, "{way:?}: {answer:?}");
        }
        assert_eq!(answer.header("x-end-to-end"), Some("2"), "{way:?}");
        let cookies = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        assert_eq!(cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"], "{way:?}");
    });
}

#[test]
fn threat_66_bodies_where_there_is_none() {
    let replies = [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "HTTP/1.1 204 No Content\r\n\r\nforged",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nforged",
        "HTTP/1.1 204 No Content\r\nContent-Length: 36\r\n\r\nHTTP/1.1 200 OK\r\nX-Forged: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
    ];
    let owned: Vec<String> = replies.iter().map(|reply| (*reply).to_owned()).collect();
    let ground = Ground::before(move || {
        let owned = owned.clone();
        Origin::scripted(move |conversation| {
            while let Some(reply) = chosen(conversation, &owned) {
                conversation.send(reply.as_bytes());
            }
        })
    });
    for site in ground.sites() {
        for (number, method) in ["HEAD", "GET", "GET", "GET"].into_iter().enumerate() {
            let mut client = site.client();
            let answer = client.send(site.get(&format!("/{number}")).replacen("GET", method, 1)).reply_to(method);
            assert!(answer.body.is_empty() && answer.status < 400, "{:?} {number}: {answer:?}", site.way);
            let second = client.send(site.get("/4")).reply();
            assert_eq!((second.status, second.text().as_str()), (200, "second"), "{:?} {number}", site.way);
            assert_eq!(second.header("x-forged"), None);
        }
    }
    let mut h2 = H2::connect(&ground.site(Approach::Intercepted));
    for (number, method) in ["HEAD", "GET", "GET", "GET"].into_iter().enumerate() {
        let path = format!("/{number}");
        let stream = h2.stream();
        let head = headers(stream, END_STREAM, &block(&h2.fields(method, &path)));
        assert_eq!(h2.send(head).outcome(stream), Outcome::Answered(String::new()), "{number}");
        assert_eq!(h2.ask_for("/4"), Outcome::Answered("second".into()), "{number}");
    }
}

#[test]
fn threat_67_a_request_that_breaks_off_leaves_no_connection_behind() {
    let ground = Ground::new();
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.request("POST", "Content-Length: 100", "only this"));
        site.origin.wait_for(|bytes| find(bytes, b"only this").is_some());
        drop(client);
        assert_eq!(site.ask(site.get("/")).text(), "from the origin", "{:?}", site.way);
        let connections = site.origin.connections();
        let broken: Vec<_> = connections.iter().filter(|sent| find(sent, b"only this").is_some()).collect();
        assert_eq!(broken.len(), 1, "{:?}", site.way);
        assert_eq!(find(broken[0], b"GET"), None, "{:?}: the broken one is not used again", site.way);
    }
}

#[test]
fn a_client_that_gives_up_frees_the_upstream() {
    let (ended, end) = mpsc::channel();
    let ended = Arc::new(Mutex::new(ended));
    let ground = Ground::before(|| {
        let ended = ended.clone();
        Origin::scripted(move |conversation| {
            if conversation.request().is_some() {
                let _ = ended.lock().unwrap().send(conversation.read());
            }
        })
    });
    for site in ground.sites() {
        let mut client = site.client();
        client.send(site.get("/"));
        site.origin.wait_for(|bytes| find(bytes, b"GET").is_some());
        client.reset();
        assert_eq!(end.recv_timeout(PATIENCE / 2), Ok(None), "{:?}: the origin's connection ends with the client's", site.way);
    }
}

#[test]
fn an_origin_that_never_answers_is_upstream_timeout() {
    let ground = Ground::with(Origin::silent, "", |setup| setup.timeout("first_byte = \"300ms\""));
    for site in ground.sites() {
        let reply = site.ask(site.get("/"));
        assert_eq!(reply.verdict(), (504, "upstream_timeout"), "{:?}: {}", site.way, reply.text());
    }
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    answered("HTTP/1.1 200 OK\r\n\r\nuntil the end", |way, answer| assert_eq!(answer.text(), "until the end", "{way:?}"));
}

// ── origins that speak HTTP/2

/// Sends these frames once it is asked something, as the first stream's answer.
fn speaking_h2(frames: Vec<u8>) -> Origin {
    let origin = Origin::scripted(move |conversation| {
        conversation.send(&frame(SETTINGS, 0, 0, b""));
        let mut sent = Vec::new();
        while !holds_a_request(&sent) {
            let Some(more) = conversation.read() else { return };
            sent.extend(more);
        }
        conversation.send(&frames);
        while conversation.read().is_some() {}
    });
    let mut config = (*identity::server(&["allowed.test"])).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    origin.over_tls(Arc::new(config))
}

fn holds_a_request(sent: &[u8]) -> bool {
    let mut rest = sent.get(PREFACE.len()..).unwrap_or_default();
    while let [a, b, c, kind, ..] = rest {
        if *kind == HEADERS {
            return true;
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Judges what each of these origins' answers becomes, on a connection of its own.
fn each_of_http_2(answers: &[(&str, Vec<u8>)], judge: impl Fn(&str, &mut Client)) {
    let origins: Vec<_> = answers.iter().map(|(_, frames)| speaking_h2(frames.clone())).collect();
    let entry = |origin: &Origin| format!("{{ host = \"allowed.test:{}\", tls = true, intercept = true }}", origin.port());
    let entries: Vec<_> = origins.iter().map(entry).collect();
    let policy = format!("allow = [{}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", entries.join(", "));
    let gate = identity::trusted_by(Setup::new(policy).dns(Dns::loopback().address())).start();
    let root = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body;
    for ((what, _), origin) in answers.iter().zip(&origins) {
        let authority = format!("allowed.test:{}", origin.port());
        let tunnel = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
        let mut client = tunnel.secured("allowed.test", trusting(&root, &["http/1.1"]));
        client.send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        judge(what, &mut client);
    }
}

fn status(status: &str, more: &[(&str, &str)]) -> Vec<u8> {
    block(&[&[(":status", status)], more].concat())
}

#[test]
fn threat_65_heads_that_http_2_does_not_allow() {
    let whole = |block: &[u8]| [headers(1, 0, block), frame(DATA, END_STREAM, 1, b"forged")].concat();
    let flood = |piece: &[u8], count| {
        [
            frame(HEADERS, 0, 1, &status("200", &[])),
            frame(CONTINUATION, 0, 1, piece).repeat(count),
            frame(CONTINUATION, END_HEADERS, 1, b""),
        ]
        .concat()
    };
    let answers = [
        ("no status", whole(&block(&[("x", "y")]))),
        ("two statuses", whole(&status("200", &[(":status", "204")]))),
        ("status 099", whole(&status("099", &[]))),
        ("status 2000", whole(&status("2000", &[]))),
        ("a status in words", whole(&status("OK", &[]))),
        ("101", whole(&status("101", &[]))),
        ("Connection", whole(&status("200", &[("connection", "close")]))),
        ("Transfer-Encoding", whole(&status("200", &[("transfer-encoding", "chunked")]))),
        ("upper case", whole(&status("200", &[("X-Upper", "b")]))),
        ("NUL in a value", whole(&status("200", &[("x", "a\0b")]))),
        ("a line in a value", whole(&status("200", &[("x", "a\r\nx-forged: b")]))),
        ("a line in a name", whole(&status("200", &[("x\r\ny", "b")]))),
        ("two lengths", whole(&status("200", &[("content-length", "6"), ("content-length", "7")]))),
        ("a length that is none", whole(&status("200", &[("content-length", "+6")]))),
        ("a head of 2 MB", flood(&block(&[("x-huge", &*"a".repeat(16_000))]), 125)),
        ("CONTINUATION without end", flood(b"", 20_000)),
        ("DATA before any head", frame(DATA, END_STREAM, 1, b"forged")),
        ("a stream of its own", [headers(2, 0, &status("200", &[])), frame(DATA, END_STREAM, 2, b"forged")].concat()),
        ("a push", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&[(":method", "GET"), (":path", "/pushed")])].concat())),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])),
        ("no frame", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged".to_vec()),
    ];
    each_of_http_2(&answers, |what, client| {
        let reply = client.reply();
        assert_eq!(reply.verdict(), (502, "upstream_closed"), "{what}: {reply:?}");
        assert!(!reply.text().contains("forged"), "{what}: {}", reply.text());
    });
}

#[test]
fn threat_65_a_body_of_http_2_that_breaks_off() {
    let begun = |length: &str| headers(1, 0, &status("200", &[("content-length", length)]));
    let endless = headers(1, 0, &status("200", &[]));
    let short = frame(DATA, 0, 1, b"short");
    let answers = [
        ("too short", [begun("100"), frame(DATA, END_STREAM, 1, b"short")].concat()),
        ("RST_STREAM", [endless.clone(), short.clone(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])].concat()),
        ("RST_STREAM without an error", [begun("100"), short.clone(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 0])].concat()),
        ("no frame", [endless.clone(), short.clone(), b"garbage that is no frame".to_vec()].concat()),
        ("GOAWAY", [endless, short, frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])].concat()),
    ];
    each_of_http_2(&answers, |what, client| {
        let answer = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        let whole = answer.contains("\r\n0\r\n\r\n") || answer.contains("ontent-length: 5\r\n");
        assert!(!whole, "{what} became {answer:?}");
    });
}

#[test]
fn threat_66_bodies_of_http_2_that_are_too_long() {
    let answers = [
        ("a longer body", [headers(1, 0, &status("200", &[("content-length", "3")])), frame(DATA, END_STREAM, 1, b"yesforged")].concat()),
        ("204", [headers(1, 0, &status("204", &[])), frame(DATA, END_STREAM, 1, b"forged")].concat()),
        ("304", [headers(1, 0, &status("304", &[])), frame(DATA, END_STREAM, 1, b"forged")].concat()),
    ];
    each_of_http_2(&answers, |what, client| {
        client.close_sending();
        let answer = client.rest();
        assert_eq!(find(&answer, b"forged"), None, "{what}: {}", answer.escape_ascii());
    });
}

#[test]
fn interim_answers_of_http_2_are_passed_over() {
    let interim = headers(1, 0, &status("103", &[("link", "</a>")]));
    let last = [headers(1, 0, &status("200", &[])), frame(DATA, END_STREAM, 1, b"done")].concat();
    let answers = [("two", [interim.repeat(2), last.clone()].concat()), ("many", [interim.repeat(10_000), last].concat())];
    each_of_http_2(&answers, |what, client| {
        let reply = client.reply();
        assert!(reply.text() == "done" || (what == "many" && reply.verdict() == (502, "upstream_closed")), "{what}: {reply:?}");
    });
}

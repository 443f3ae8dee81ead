//! TLS that ends at the proxy, and TLS to the origin behind it.

use std::{
    io::{Read, Write},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, HandshakeKind};

use crate::harness::{
    Approach, Client, Dns, Ground, Hello, Origin, Reply, Setup, Site, Tidegate,
    client::ask,
    hello::{fatal_alert, server_hello},
    identity::{self, Flaw},
    program::{program, run},
    tls::trusting,
    wire::Wire,
};

/// A proxy before these origins, all of them `allowed.test`, which intercepts what goes there, and its root.
fn before(origins: &[Origin]) -> (Tidegate, Vec<u8>) {
    let entries: Vec<_> = origins.iter().map(|origin| entry("allowed.test", origin)).collect();
    let policy = format!("allow = [{}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", entries.join(", "));
    let gate = identity::trusted_by(Setup::new(policy).dns(Dns::loopback().address())).start();
    let root = root(&gate);
    (gate, root)
}

fn entry(host: &str, origin: &Origin) -> String {
    format!("{{ host = \"{host}:{}\", tls = true, intercept = true }}", origin.port())
}

fn root(gate: &Tidegate) -> Vec<u8> {
    ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body
}

/// What a request to this origin is answered.
fn asked(gate: &Tidegate, root: &[u8], origin: &Origin) -> Reply {
    let authority = format!("allowed.test:{}", origin.port());
    let tunnel = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    let mut inside = tunnel.secured("allowed.test", trusting(root, &["http/1.1"]));
    inside.send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply()
}

// ── the origin's side

#[test]
fn threat_44_certificates_that_prove_nothing() {
    let flaws = [
        (Flaw::Expired, "has expired"),
        (Flaw::NotYetValid, "not valid yet"),
        (Flaw::SelfSigned, "unknown issuer"),
        (Flaw::UnknownIssuer, "unknown issuer"),
        (Flaw::OtherName, "certificate for another name"),
        (Flaw::OtherUsage, "that cannot be verified"),
        (Flaw::Chain(40), "shows a certificate"),
        (Flaw::Chain(400), "TLS handshake"),
    ];
    let origin = |flaw| Origin::saying("from the origin").over_tls(identity::flawed("allowed.test", flaw));
    let origins: Vec<_> = flaws.iter().map(|(flaw, _)| origin(*flaw)).chain([origin(Flaw::Chain(2))]).collect();
    let (gate, root) = before(&origins);
    for ((flaw, cause), origin) in flaws.iter().zip(&origins) {
        let count = gate.records().len();
        let started = Instant::now();
        let reply = asked(&gate, &root, origin);
        assert_eq!(reply.verdict(), (502, "tls_failed"), "{flaw:?}: {}", reply.text());
        assert!(reply.text().contains(cause), "{flaw:?}: {}", reply.text());
        assert!(started.elapsed() < Duration::from_secs(2), "{flaw:?} took {:?}", started.elapsed());
        assert_eq!(origin.received(), b"", "{flaw:?}");
        gate.wait_for_record_after(count, |record| record["reason"] == "tls_failed" && record["verdict"] == "error");
    }
    assert_eq!(asked(&gate, &root, &origins[flaws.len()]).text(), "from the origin", "a chain may have some length");
}

#[test]
fn threat_47_origins_that_speak_old_or_no_tls() {
    let answers = [
        server_hello(0x0300, 0x002f, 0),
        server_hello(0x0301, 0xc013, 0),
        server_hello(0x0302, 0xc013, 0),
        // Without encryption, without a certificate, compressed, with a suite that nobody offered.
        server_hello(0x0303, 0x003b, 0),
        server_hello(0x0303, 0x0034, 0),
        server_hello(0x0303, 0xc02b, 1),
        server_hello(0x0303, 0x1301, 0),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"220 ready\r\n".to_vec(),
        Vec::new(),
    ];
    let origins = answers.clone().map(|answer| {
        Origin::scripted(move |conversation| {
            if conversation.read().is_some() {
                conversation.send(&answer);
                conversation.close_sending();
                while conversation.read().is_some() {}
            }
        })
    });
    let (gate, root) = before(&origins);
    for (answer, origin) in answers.iter().zip(&origins) {
        let reply = asked(&gate, &root, origin);
        assert_eq!(reply.verdict(), (502, "tls_failed"), "{}: {}", answer.escape_ascii(), reply.text());
        assert!(!String::from_utf8_lossy(&origin.received()).contains("GET "), "{}", answer.escape_ascii());
    }
}

#[test]
fn threat_49_protocols_that_the_origin_does_not_speak() {
    let speaking = |protocol: &str| {
        let mut config = (*identity::server(&["allowed.test"])).clone();
        config.alpn_protocols = vec![protocol.into()];
        Origin::saying("from the origin").over_tls(Arc::new(config))
    };
    let origins = [speaking("acme-tls/1"), speaking("http/1.1")];
    let (gate, root) = before(&origins);
    let reply = asked(&gate, &root, &origins[0]);
    assert_eq!(reply.verdict(), (502, "tls_failed"), "{}", reply.text());
    assert_eq!(asked(&gate, &root, &origins[1]).text(), "from the origin");
}

// ── the sandbox's side

/// These first bytes are answered by this alert; nothing is sent upstream.
#[track_caller]
fn alerted(site: &Site<'_>, hello: &Hello, alert: u8, what: &str) {
    let before = site.gate.records().len();
    let mut client = site.tunnel();
    let rest = client.send(hello.bytes()).rest();
    assert_eq!(fatal_alert(&rest), Some(alert), "{what}: {}", rest.escape_ascii());
    site.gate.wait_for_record_after(before, |record| record["reason"] == "tls_failed" || record["reason"] == "opaque_tunnel");
    site.assert_unasked(what);
}

#[test]
fn threat_47_old_versions_and_suites_without_encryption() {
    let ground = Ground::new();
    let site = ground.site(Approach::Intercepted);
    for version in [0x0300, 0x0301, 0x0302] {
        alerted(&site, &Hello::to("allowed.test").version(version), PROTOCOL_VERSION, &format!("{version:x}"));
    }
    // Without encryption, without a certificate, RC4, 3DES, static RSA.
    for suite in [0x0000, 0x003b, 0x0034, 0xc018, 0x0005, 0x000a, 0x002f] {
        let hello = Hello::to("allowed.test").version(0x0303).ciphers(&[suite]);
        alerted(&site, &hello, HANDSHAKE_FAILURE, &format!("suite {suite:x}"));
    }
}

#[test]
fn threat_49_protocols_that_are_not_spoken_here() {
    let ground = Ground::new();
    let site = ground.site(Approach::Intercepted);
    for protocols in [&["acme-tls/1"][..], &["http/1.0"], &["h2c"], &["h3"], &["spdy/3", "smtp"]] {
        let before = site.gate.records().len();
        let reply = site.secured(protocols).send(site.get("/")).rest();
        assert_eq!(reply, b"", "{protocols:?}");
        site.gate.wait_for_record_after(before, |record| record["reason"] == "tls_failed");
        site.assert_unasked("no protocol was agreed on");
    }
    for protocols in [&[][..], &["http/1.1"], &["acme-tls/1", "http/1.1"]] {
        assert_eq!(site.secured(protocols).send(site.get("/")).reply().text(), "from the origin", "{protocols:?}");
    }
}

/// A handshake and an answer, by a client that remembers; and whether it could have sent early data.
fn remembered(site: &Site<'_>, config: &Arc<ClientConfig>) -> (HandshakeKind, bool) {
    let mut wire = Wire::to_server(site.tunnel().into_stream(), "allowed.test", config.clone());
    let Wire::Client(stream) = &mut wire else { panic!("a client") };
    let early = stream.conn.early_data().is_some();
    wire.write_all(site.get("/").as_bytes()).expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"from the origin") {
        let mut part = [0; 1024];
        let length = wire.read(&mut part).expect("an answer");
        assert!(length > 0, "only {}", answer.escape_ascii());
        answer.extend_from_slice(&part[..length]);
    }
    let Wire::Client(stream) = wire else { panic!("a client") };
    (stream.conn.handshake_kind().expect("a handshake"), early || stream.conn.is_early_data_accepted())
}

#[test]
fn threat_48_nothing_is_said_before_the_handshake() {
    let ground = Ground::new();
    let site = ground.site(Approach::Intercepted);
    let mut config = (*trusting(&root(&ground.gate), &["http/1.1"])).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    assert_eq!(remembered(&site, &config), (HandshakeKind::Full, false));
    assert_eq!(remembered(&site, &config), (HandshakeKind::Resumed, false), "no ticket allows early data");
}

/// A real client that offers the TLS session it remembers to whom it was not given by.
#[test]
fn threat_51_a_tls_session_is_of_one_session_and_one_name() {
    let origin = Origin::saying("");
    let policy =
        format!("allow = [{}, {}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", entry("allowed.test", &origin), entry("other.test", &origin));
    let tokens = [("one", "one-0123456789abcdef0123456789abcdef"), ("two", "two-0123456789abcdef0123456789abcdef")];
    let setup = Setup::new(policy).dns(Dns::loopback().address()).timeout("keep_alive = \"300ms\"").listen("require_session = true");
    let gate = tokens.iter().fold(setup, |setup, (id, token)| setup.session(id, token, "")).start();
    let connect = |(_, token): (&str, &str), host: &str, version: &str, session: &[&str]| {
        let mut openssl: Command = program("openssl");
        openssl.args(["s_client", "-ign_eof", version, "-proxy", &gate.proxy().to_string()]);
        openssl.args(["-proxy_user", "x", "-proxy_pass", &format!("pass:{token}"), "-servername", host]);
        openssl.args(["-connect", &format!("{host}:{}", origin.port())]).args(session);
        let said = run(&mut openssl, "openssl").said;
        (said.contains("Reused, TLSv1."), said.contains("New, TLSv1."))
    };
    let (resumed, full) = ((true, false), (false, true));
    for version in ["-tls1_2", "-tls1_3"] {
        let kept = gate.path(&format!("session{version}"));
        let kept = kept.to_str().expect("a path");
        assert_eq!(connect(tokens[0], "allowed.test", version, &["-sess_out", kept]), full, "{version}");
        assert_eq!(connect(tokens[1], "allowed.test", version, &["-sess_in", kept]), full, "{version}: of another session");
        assert_eq!(connect(tokens[0], "other.test", version, &["-sess_in", kept]), full, "{version}: of another name");
        assert_eq!(connect(tokens[0], "allowed.test", version, &["-sess_in", kept]), resumed, "{version}: its own");
    }
    assert_eq!(origin.received(), b"");
}

// ── threat 45: certificates that are asked for

#[test]
fn threat_45_no_certificate_for_what_is_refused() {
    let ground = Ground::new();
    let site = ground.site(Approach::Intercepted);
    let made = || site.gate.metric("tidegate_leaf_certificates_total{result=\"made\"}");
    for number in 0..200 {
        let refused = Client::tunnel(site.gate.proxy(), &site.authority_of(&format!("w{number}.evil.test")));
        assert_eq!(refused.map(drop).unwrap_err().verdict(), (403, "host_not_allowed"));
        let mut client = site.tunnel();
        client.send(Hello::to(format!("w{number}.evil.test")).bytes()).assert_closed_or_alert();
    }
    assert_eq!(made(), 0, "nobody was allowed anything");
    assert_eq!(site.ask(site.get("/")).text(), "from the origin");
    assert_eq!(made(), 1);
}

#[test]
fn threat_45_a_flood_of_allowed_names_is_bounded() {
    let origin = Origin::silent();
    let policy = format!("allow = [{}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", entry("*.wild.test", &origin));
    let gate = Setup::new(policy).dns(Dns::loopback().address()).start();
    let shown = |name: &str| {
        let mut client = Client::tunnel(gate.proxy(), &format!("{name}:{}", origin.port())).expect("a tunnel");
        assert_eq!(client.send(Hello::to(name).bytes()).exactly(6)[5], 2, "{name}: a ServerHello");
    };
    shown("w.wild.test");
    let before = gate.peak_memory();
    for number in 0..1200 {
        shown(&format!("w{number}.wild.test"));
    }
    let grown = gate.peak_memory() - before;
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
    assert_eq!(gate.metric("tidegate_leaf_certificates_total{result=\"made\"}"), 1201);
    assert_eq!(origin.received(), b"");
}

/// RFC 8446, section 6.2.
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

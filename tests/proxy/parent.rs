//! A parent proxy: what goes through it and how, what it may refuse, and what it is never asked.

use std::net::TcpListener;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::harness::{
    Answer, Client, Dns, Nginx, Origin, Pki, Reply, Setup, Tidegate,
    client::{ask, ask_for},
    origin::find,
    program::{Ran, program, run},
    tinyproxy::Tinyproxy,
};

/// The password as it is; in a URL two of its characters are escaped.
const PASSWORD: &str = "p@rent/password-0123456789abcdef0123456789";

fn in_url() -> String {
    PASSWORD.replace('@', "%40").replace('/', "%2F")
}

fn shown() -> String {
    format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("child:{PASSWORD}")))
}

/// The lines of `[upstream]` for a parent there.
fn through(setup: Setup, parent: impl std::fmt::Display) -> Setup {
    setup.tables(&format!("[upstream]\nproxy = \"http://child:{}@{parent}\"", in_url()))
}

/// A proxy that resolves no name, behind one that does and that asks who it is; and an origin behind both.
struct Ground {
    gate: Tidegate,
    parent: Tidegate,
    nginx: Nginx,
    pki: Pki,
    root: NamedTempFile,
}

impl Ground {
    fn new() -> Self {
        let pki = Pki::for_names(&["read.test", "unread.test"]);
        let nginx = Nginx::start(&pki);
        nginx.put("v1/file", "from nginx");
        let (plain, secure) = (nginx.http(), nginx.https());
        let host = |host: &str, port: u16, over: &str| format!("{{ host = \"{host}.test:{port}\", {over} = true }}");
        let hosts =
            [host("read", secure, "tls"), host("unread", secure, "tls"), host("plain", plain, "http"), host("nowhere", plain, "http")];
        let allow = format!("allow = [{}]\n", hosts.join(", "));
        let dns = Dns::loopback();
        dns.say("nowhere.test", Answer::Nothing);
        let parent = Setup::new(format!("{allow}[addresses]\nallow = [\"127.0.0.0/8\"]"))
            .dns(dns.address())
            .listen("require_session = true")
            .session("child", PASSWORD, "")
            .start();
        let rule = format!("[[rule]]\nhosts = [\"read.test:{secure}\"]\npaths = [\"/v1/**\"]\n");
        let setup = through(Setup::new(format!("{allow}{rule}")), parent.proxy());
        let gate = setup
            .tables("ca_file = \"origin-ca.pem\"")
            .file("origin-ca.pem", &std::fs::read_to_string(pki.root()).unwrap())
            .environment("TIDEGATE_LOG", "trace")
            .start();
        let root = NamedTempFile::new().unwrap();
        std::fs::write(root.path(), ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body).unwrap();
        Self { gate, parent, nginx, pki, root }
    }

    fn curl(&self, arguments: &[&str], url: &str) -> Ran {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--proxy", &format!("http://{}", self.gate.proxy())]);
        run(curl.args(arguments).arg(url), "curl")
    }
}

fn words<'r>(record: &'r Value, keys: &[&str]) -> Vec<&'r str> {
    keys.iter().map(|key| record[key].as_str().unwrap_or("-")).collect()
}

#[track_caller]
fn assert_hidden(gate: &Tidegate, replies: &[&[u8]]) {
    let page = ask(gate.proxy(), "GET /session HTTP/1.1\r\nHost: tidegate.internal\r\n\r\n");
    let basic = BASE64_STANDARD.encode(format!("child:{PASSWORD}"));
    let (log, audit, metrics, output) = (gate.stderr(), gate.audit_text(), gate.metrics(), gate.stdout());
    let heard = [log.as_bytes(), audit.as_bytes(), metrics.as_bytes(), output.as_bytes(), &page.body];
    for bytes in heard.iter().chain(replies) {
        for form in [PASSWORD, &in_url(), &basic, &basic[..basic.len() / 2]] {
            assert_eq!(find(bytes, form.as_bytes()), None, "{form} is shown: {}", bytes.escape_ascii());
        }
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", gate.pid())).unwrap();
    assert_eq!(find(&arguments, PASSWORD.as_bytes()), None);
}

#[test]
fn tls_goes_by_connect_whether_it_is_read_or_not() {
    let ground = Ground::new();
    let (port, origin, own) = (ground.nginx.https(), ground.pki.root(), ground.root.path());
    let unread = ground.curl(&["--cacert", origin.to_str().unwrap()], &format!("https://unread.test:{port}/v1/file"));
    assert_eq!(unread.stdout, "from nginx", "{}", unread.said);
    for version in ["--http1.1", "--http2"] {
        let url = format!("https://read.test:{port}/v1/mirror");
        let read = ground.curl(&[version, "--cacert", own.to_str().unwrap()], &url);
        assert!(read.stdout.contains(&format!("HTTP/2.0 host=read.test:{port}")), "{}", read.said);
    }
    for gate in [&ground.gate, &ground.parent] {
        for host in ["unread.test", "read.test"] {
            let record = gate.wait_for_record(|record| record["host"] == host && record["kind"] == "connect");
            assert_eq!(words(&record, &["verdict", "host"]), ["allow", host], "{record:#}");
            // Only who resolves a name knows its address.
            assert_eq!(record["address"].is_null(), std::ptr::eq(gate, &raw const ground.gate), "{record:#}");
        }
    }
    assert!(ground.parent.records().iter().all(|record| record["kind"] == "connect" && record["session"] == "child"));
    let refused = ground.curl(&["--cacert", own.to_str().unwrap(), "--write-out", "%{http_code}"], &format!("https://read.test:{port}/v2"));
    assert!(refused.stdout.ends_with("403"), "{}", refused.said);
    assert_hidden(&ground.gate, &[unread.said.as_bytes(), refused.said.as_bytes()]);
}

#[test]
fn plain_requests_go_in_absolute_form_over_connections_that_are_kept() {
    let ground = Ground::new();
    let url = format!("http://plain.test:{}/v1/connection", ground.nginx.http());
    // In absolute-form to the listener, and inside CONNECT.
    for arguments in [&[][..], &["--proxytunnel"]] {
        let before = ground.gate.metric("tidegate_connect_seconds_count");
        let ran = ground.curl(arguments, &format!("{url}?[1-3]"));
        let lines: Vec<_> = ran.stdout.lines().collect();
        assert!(lines.len() == 3 && lines.iter().all(|line| line.ends_with(" HTTP/1.1")), "{}", ran.said);
        assert!(ground.gate.metric("tidegate_connect_seconds_count") <= before + 1, "one connection to the parent serves all");
    }
    let records = ground.parent.wait_for_records(6);
    assert!(records.iter().all(|record| words(record, &["kind", "method", "host"]) == ["http", "GET", "plain.test"]), "{records:?}");
    let record = ground.gate.wait_for_record(|record| record["kind"] == "http");
    assert_eq!((record["verdict"].as_str(), record["address"].is_null()), (Some("allow"), true), "{record:#}");
    assert_hidden(&ground.gate, &[]);
}

#[test]
fn a_name_that_the_parent_cannot_resolve_is_the_parents_to_refuse() {
    let ground = Ground::new();
    let authority = format!("nowhere.test:{}", ground.nginx.http());
    // The answer to a plain request may be anybody's behind the parent, and is passed on as what came.
    let reply = ask_for(ground.gate.proxy(), &authority);
    assert_eq!(reply.verdict(), (502, ""), "{}", reply.text());
    let record = ground.parent.wait_for_record(|record| record["host"] == "nowhere.test" && record["verdict"] != "allow");
    assert_eq!(record["reason"], "dns_failed", "{record:#}");
    assert_hidden(&ground.gate, &[&reply.body]);
}

#[test]
fn tinyproxy_understands_both_ways() {
    let (origin, parent) = (Origin::saying("from the origin"), Tinyproxy::start("child", "0123456789abcdef"));
    let authority = format!("127.0.0.1:{}", origin.port());
    let policy = |over: &str| format!("allow = [{{ host = \"{authority}\"{over} }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]");
    let start = |password: &str, over: &str| {
        Setup::new(policy(over)).tables(&format!("[upstream]\nproxy = \"http://child:{password}@{}\"", parent.address())).start()
    };
    let (plain, any) = (start("0123456789abcdef", ", http = true"), start("0123456789abcdef", ""));
    let reply = ask_for(plain.proxy(), &authority);
    assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin"), "{reply:?}");
    let mut inside = Client::tunnel(plain.proxy(), &authority).unwrap();
    assert_eq!(inside.send(format!("GET /inside HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().text(), "from the origin");
    let mut tunnel = Client::tunnel(any.proxy(), &authority).unwrap();
    assert_eq!(tunnel.send(format!("GET /tunnel HTTP/1.1\r\nHost: {authority}\r\n\r\n")).reply().text(), "from the origin");
    let requests = parent.requests();
    let expected = [
        format!("GET http://{authority}/ HTTP/1.1"),
        format!("GET http://{authority}/inside HTTP/1.1"),
        format!("CONNECT {authority} HTTP/1.1"),
    ];
    assert_eq!(requests, expected);
    assert_eq!(find(&origin.received().to_ascii_lowercase(), b"proxy-authorization"), None, "credentials end at the parent");
    origin.forget();
    let bare = Setup::new(policy("")).tables(&format!("[upstream]\nproxy = \"http://{}\"", parent.address())).start();
    let with_401 = format!("answered CONNECT {authority} with 401");
    for (gate, did) in [(start("wrong", ""), &*with_401), (bare, "asks for credentials")] {
        let reply = refused(&gate, &authority);
        assert_eq!(reply.verdict(), (502, "connect_failed"), "{}", reply.text());
        assert!(reply.text().contains(&format!("The parent proxy {} {did}.", parent.address())), "{}", reply.text());
    }
    assert!(origin.received().is_empty());
}

#[track_caller]
fn refused(gate: &Tidegate, authority: &str) -> Reply {
    Client::tunnel(gate.proxy(), authority).map(drop).expect_err("a refusal")
}

/// A proxy behind this parent, which allows `any.test:9` for everything and `plain.test:80` for plain HTTP.
fn behind(parent: impl std::fmt::Display) -> Tidegate {
    let policy = "allow = [\"any.test:9\", { host = \"plain.test:80\", http = true }]";
    through(Setup::new(policy), parent).timeout("connect = \"400ms\"").environment("TIDEGATE_LOG", "trace").start()
}

#[test]
fn what_a_parent_refuses_is_told_with_its_name_and_its_status() {
    for (answer, said) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "answered CONNECT any.test:9 with 403."),
        ("HTTP/1.1 101 Switching\r\n\r\n", "answered CONNECT any.test:9 with 101."),
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", "refuses its credentials."),
        ("220 mail ready\r\n", "answered CONNECT any.test:9 with what is no HTTP."),
        ("HTTP/1.1 200", "broke off before it answered CONNECT any.test:9: unexpected end of file."),
    ] {
        // An answer that echoes what it was shown.
        let parent = Origin::replying_once(answer.replace("\r\n\r\n", &format!("\r\nX-Echo: {}\r\n\r\n", shown().trim_end())));
        let address = format!("127.0.0.1:{}", parent.port());
        let gate = behind(&address);
        let reply = refused(&gate, "any.test:9");
        assert_eq!(reply.verdict(), (502, "connect_failed"), "{}", reply.text());
        assert!(reply.text().contains(&format!("The parent proxy {address} {said}")), "{}", reply.text());
        let record = gate.wait_for_record(|record| record["reason"] == "connect_failed");
        assert!(record["address"].is_null() && record["host"] == "any.test", "{record:#}");
        let asked = format!("CONNECT any.test:9 HTTP/1.1\r\nHost: any.test:9\r\n{}\r\n", shown());
        assert_eq!(String::from_utf8_lossy(&parent.received()), asked);
        assert_hidden(&gate, &[&reply.body]);
    }
}

#[test]
fn a_parent_that_asks_for_credentials_does_not_ask_the_sandbox() {
    let parent = Origin::replying("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
    let address = format!("127.0.0.1:{}", parent.port());
    let policy = "allow = [\"any.test:9\", { host = \"plain.test:80\", http = true }]";
    let bare = Setup::new(policy).tables(&format!("[upstream]\nproxy = \"http://{address}/\"")).start();
    for (gate, did) in [(bare, "asks for credentials"), (behind(&address), "refuses its credentials")] {
        for reply in [refused(&gate, "any.test:9"), ask_for(gate.proxy(), "plain.test")] {
            assert_eq!(reply.verdict(), (502, "connect_failed"), "{}", reply.text());
            assert!(reply.text().contains(&format!("The parent proxy {address} {did}.")), "{}", reply.text());
            assert_eq!(reply.header("proxy-authenticate"), None);
        }
    }
    let asked = String::from_utf8(parent.received()).unwrap();
    assert_eq!(asked.matches(shown().trim_end().split_once(' ').unwrap().1).count(), 2, "shown by the one that has credentials: {asked}");
    assert!(asked.contains("GET http://plain.test/ HTTP/1.1\r\n"), "{asked}");
}

#[test]
fn a_parent_that_is_down_or_silent_is_waited_for_no_longer_than_any_upstream() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = behind(closed);
    for reply in [refused(&gate, "any.test:9"), ask_for(gate.proxy(), "plain.test")] {
        assert_eq!(reply.verdict(), (502, "connect_failed"), "{}", reply.text());
        assert!(reply.text().contains(&format!("The parent proxy {closed} cannot be reached.")), "{}", reply.text());
    }
    assert!(gate.records().iter().all(|record| record["address"].is_null()), "{:?}", gate.records());
    let silent = Origin::silent();
    let gate = behind(format!("127.0.0.1:{}", silent.port()));
    let reply = refused(&gate, "any.test:9");
    assert_eq!(reply.verdict(), (504, "upstream_timeout"), "{}", reply.text());
    assert!(reply.text().contains("did not answer CONNECT any.test:9 within 400ms."), "{}", reply.text());
    assert_hidden(&gate, &[&reply.body]);
}

#[test]
fn a_listener_of_ours_is_never_the_parent() {
    // The port is reserved, then given up to the proxy: nothing else here takes a port that it names itself.
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dns = Dns::loopback();
    for parent in [own.to_string(), format!("parent.test:{}", own.port())] {
        let policy = "allow = [\"any.test:9\", { host = \"plain.test:80\", http = true }]";
        let mut gate = through(Setup::new(policy).dns(dns.address()).listen(&format!("proxy = \"{own}\"")), &parent).start();
        for reply in [refused(&gate, "any.test:9"), ask_for(gate.proxy(), "plain.test")] {
            assert_eq!(reply.verdict(), (508, "loop_detected"), "{}", reply.text());
            assert!(reply.text().contains(&format!("The parent proxy {parent} is this proxy itself.")), "{}", reply.text());
        }
        gate.signal("TERM");
        gate.wait_for_exit();
    }
}

#[test]
fn what_is_refused_without_a_parent_is_refused_with_one_and_the_parent_never_hears_of_it() {
    let parent = Origin::saying("from the parent");
    let policy = "allow = [\"127.0.0.1:9\", \"169.254.169.254:80\", \"localhost:9\", \"metadata.google.internal:80\", \"*.test:9\"]\n\
                  deny = [\"denied.test:9\", \"192.0.2.0/24\"]";
    let gate = through(Setup::new(policy), format!("127.0.0.1:{}", parent.port())).start();
    for (authority, reason) in [
        ("127.0.0.1:9", "address_not_allowed"),
        ("169.254.169.254:80", "address_not_allowed"),
        ("localhost:9", "address_not_allowed"),
        ("metadata.google.internal:80", "address_not_allowed"),
        ("denied.test:9", "host_denied"),
        ("other.example:9", "host_not_allowed"),
        ("a.test:10", "port_not_allowed"),
    ] {
        for reply in [refused(&gate, authority), ask_for(gate.proxy(), authority)] {
            assert_eq!(reply.verdict(), (403, reason), "{authority}: {}", reply.text());
        }
    }
    parent.assert_untouched("what is refused");
}

#[test]
fn nothing_behind_the_answer_to_connect_is_lost_and_nothing_of_it_passes() {
    for pieces in [
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nfirst words"][..],
        &["HTTP/1.0 200\r\n", "\r", "\nfirst", " words"],
        &["HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 10", "3 Early\r\n\r\nHTTP/1.1 299 Odd\r\n\r\nfirst words"],
    ] {
        let parent = Origin::scripted(move |conversation| {
            conversation.request();
            for piece in pieces {
                conversation.send(piece.as_bytes());
            }
            while let Some(bytes) = conversation.read() {
                conversation.send(&bytes);
            }
        });
        let gate = behind(format!("127.0.0.1:{}", parent.port()));
        let mut tunnel = Client::tunnel(gate.proxy(), "any.test:9").unwrap();
        assert_eq!(tunnel.exactly(11), b"first words", "{pieces:?}");
        assert_eq!(tunnel.send("and back").exactly(8), b"and back");
    }
    let endless = Origin::replying_once("HTTP/1.1 103 Early\r\n\r\n".repeat(10_000));
    let gate = behind(format!("127.0.0.1:{}", endless.port()));
    assert_eq!(refused(&gate, "any.test:9").verdict(), (502, "connect_failed"));
}

#[test]
fn a_tunnel_through_a_parent_outlives_policies_that_allow_it_and_no_other() {
    let parent = Origin::scripted(|conversation| {
        conversation.request();
        conversation.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while let Some(bytes) = conversation.read() {
            conversation.send(&bytes);
        }
    });
    let gate = behind(format!("127.0.0.1:{}", parent.port()));
    let mut tunnel = Client::tunnel(gate.proxy(), "any.test:9").unwrap();
    assert_eq!(tunnel.send("before").exactly(6), b"before");
    gate.reload("allow = [\"any.test:9\", \"other.test:9\"]");
    assert_eq!(tunnel.send("between").exactly(7), b"between");
    gate.reload("allow = [\"other.test:9\"]");
    assert!(tunnel.is_reset());
    let end = gate.wait_for_record(|record| record["verdict"] == "deny");
    assert_eq!(words(&end, &["host", "reason", "address"]), ["any.test", "host_not_allowed", "-"], "{end:#}");
}

#[test]
fn a_parent_that_cannot_be_used_is_told_at_the_start_without_its_password() {
    for url in ["https://child:PASSWORD@p.test:3128", "http://child:PASSWORD@p.test:3128/path", "http://child:PASSWORD"] {
        let tables = format!("[upstream]\nproxy = \"{}\"", url.replace("PASSWORD", &in_url()));
        let failed = Setup::new("allow = []").tables(&tables).try_start().map(drop).unwrap_err();
        assert!(failed.stderr.contains("parent proxy") && failed.stderr.contains("help: write \"http://HOST:PORT\""), "{}", failed.stderr);
        assert!(!failed.stderr.contains("password-0123"), "{}", failed.stderr);
    }
}

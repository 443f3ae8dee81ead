//! `WebSocket` between real clients and real servers, by every way through the gate; and what is refused, ended and kept from them.

use std::{fs, io::Write, process::Command, time::Instant};

use tempfile::NamedTempFile;

use crate::harness::{
    Client, Dns, Origin, PATIENCE, Pki, Script, Setup, Tidegate,
    client::ask,
    eventually,
    program::run,
    script::{node, python},
};

const HOST: &str = "ws.test";
const KEY: &str = "sk-real-0123456789abcdef0123456789";
const SERVER_JS: &str = include_str!("websocket/server.js");
const SERVER_PY: &str = include_str!("websocket/server.py");
const CLIENT_JS: &str = include_str!("websocket/client.js");
const CLIENT_PY: &str = include_str!("websocket/client.py");
const HTTP2_JS: &str = include_str!("websocket/http2.js");

const RULE: &str =
    "[[rule]]\nname = \"sockets\"\nhosts = [\"HOST\"]\nmethods = [\"GET\"]\npaths = [\"/echo\", \"/unauthorized\", \"/mirror/*\"]\n";
const CREDENTIAL: &str = "[[credential]]\nhosts = [\"HOST\"]\nheader = \"x-api-key\"\nvalue = { env = \"KEY\" }\n";

/// What a client sees of a server that does all it is asked for.
const SEEN: &str = "text hello\nbinary true\nprotocol chat\ndeflate true\npong tide\nclose 4001 bye\n";

/// What the gate sees of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Plain HTTP in a tunnel.
    Plain,
    /// TLS that it does not look into.
    Opaque,
    /// TLS that ends at the gate.
    Intercepted,
}

/// A gate before a real server.
struct Ground {
    gate: Tidegate,
    server: Script,
    way: Way,
    port: u16,
    root: NamedTempFile,
}

impl Ground {
    #[track_caller]
    fn new(way: Way, server: Command) -> Self {
        Self::with(way, server, if way == Way::Opaque { "" } else { RULE }, |setup| setup)
    }

    #[track_caller]
    fn with(way: Way, mut server: Command, rules: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let pki = Pki::for_names(&[HOST]);
        if way != Way::Plain {
            server.arg(pki.key()).arg(pki.certificate());
        }
        let mut server = Script::start(server);
        let port = server.port();
        let setup = Setup::new(policy(way, port, rules))
            .dns(Dns::loopback().address())
            .tables("[upstream]\nca_file = \"origin-ca.pem\"")
            .file("origin-ca.pem", &fs::read_to_string(pki.root()).unwrap())
            .environment("KEY", KEY);
        let gate = more(setup).start();
        let root = NamedTempFile::new().unwrap();
        let trusted = if way == Way::Intercepted {
            ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body
        } else {
            fs::read(pki.root()).unwrap()
        };
        fs::write(root.path(), trusted).unwrap();
        Self { gate, server, way, port, root }
    }

    fn authority(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    fn told(&self, mut client: Command, path: &str) -> Command {
        let scheme = if self.way == Way::Plain { "ws" } else { "wss" };
        client.arg(self.gate.proxy().to_string()).arg(format!("{scheme}://{}{path}", self.authority())).arg(self.root.path());
        client
    }

    fn over_http2(&self, paths: &[&str]) -> Command {
        let mut client = node(HTTP2_JS);
        client.arg(self.gate.proxy().to_string()).arg(self.authority()).arg(self.root.path()).args(paths);
        client
    }

    /// The record of a socket's end.
    #[track_caller]
    fn end(&self, path: &str) -> serde_json::Value {
        self.gate.wait_for_record(|record| record["path"] == path && !record["bytes_down"].is_null())
    }
}

fn policy(way: Way, port: u16, rules: &str) -> String {
    let over = if way == Way::Plain { "http" } else { "tls" };
    let rules = rules.replace("HOST", &format!("{HOST}:{port}"));
    format!("allow = [{{ host = \"{HOST}:{port}\", {over} = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{rules}")
}

/// A client that has a socket and does nothing with it.
#[track_caller]
fn waiting(mut client: Command) -> Script {
    client.env("WAIT", "1");
    Script::start(client)
}

#[track_caller]
fn everything_passes(way: Way, server: Command, client: Command) {
    let ground = Ground::new(way, server);
    let ran = run(&mut ground.told(client, "/echo"), "nodejs");
    assert_eq!(ran.stdout, SEEN, "{}", ran.said);
    if way == Way::Opaque {
        return;
    }
    let end = ground.end("/echo");
    assert_eq!(
        (end["method"].as_str(), end["kind"].as_str(), end["verdict"].as_str(), end["host"].as_str()),
        (Some("GET"), Some("http"), Some("allow"), Some(HOST)),
        "{end:#}"
    );
    assert!(end["bytes_up"].as_u64() > Some(1 << 20) && end["bytes_down"].as_u64() > Some(1 << 20), "{end:#}");
    let tunnel = ground.gate.wait_for_record(|record| record["kind"] == "connect" && !record["bytes_up"].is_null());
    assert!(tunnel["bytes_up"].as_u64() >= end["bytes_up"].as_u64(), "what a tunnel carries counts there too: {tunnel:#}");
    eventually("no tunnel is open", || ground.gate.metric("tidegate_tunnels") == 0);
}

#[test]
fn ws_and_websockets_talk_in_plain_http() {
    everything_passes(Way::Plain, node(SERVER_JS), python(CLIENT_PY));
    everything_passes(Way::Plain, python(SERVER_PY), node(CLIENT_JS));
}

#[test]
fn ws_and_websockets_talk_through_a_tunnel_that_is_not_looked_into() {
    everything_passes(Way::Opaque, node(SERVER_JS), python(CLIENT_PY));
}

#[test]
fn ws_and_websockets_talk_through_interception() {
    everything_passes(Way::Intercepted, node(SERVER_JS), python(CLIENT_PY));
    everything_passes(Way::Intercepted, python(SERVER_PY), node(CLIENT_JS));
}

#[test]
fn sockets_go_by_connect_through_a_parent_proxy() {
    for way in [Way::Plain, Way::Opaque, Way::Intercepted] {
        let parent = Setup::new("allow = [\"nothing.test\"]").dns(Dns::loopback().address()).start();
        let through = |setup: Setup| setup.tables(&format!("proxy = \"http://{}\"", parent.proxy()));
        let rules = if way == Way::Opaque { "" } else { RULE };
        let ground = Ground::with(way, node(SERVER_JS), rules, through);
        parent.reload(&policy(way, ground.port, ""));
        let ran = run(&mut ground.told(node(CLIENT_JS), "/echo"), "nodejs");
        assert_eq!(ran.stdout, SEEN, "{way:?}: {}", ran.said);
        let asked = parent.wait_for_record(|record| record["kind"] == "connect");
        assert_eq!((asked["host"].as_str(), asked["verdict"].as_str()), (Some(HOST), Some("allow")), "{way:?}: {asked:#}");
        assert!(ground.gate.records().iter().all(|record| record["address"].is_null()), "{way:?}: {}", ground.gate.audit_text());
    }
}

#[test]
fn threats_52_and_76_over_http2_websockets_pass_and_no_other_connect_does() {
    let ground = Ground::new(Way::Intercepted, node(SERVER_JS));
    let paths = ["/echo", "/other", "/echo,other.test", "/echo,,connect-udp", "/echo,,websocket,8", "/unauthorized"];
    let authority = ground.authority();
    let paths = paths.map(|path| path.replace(",,", &format!(",{authority},")));
    let ran = run(&mut ground.over_http2(&paths.each_ref().map(|path| &**path)), "nodejs");
    let expected = [
        "extended true",
        "/echo 200 - chat -",
        "heard hello over h2",
        "close 4001 bye",
        "/other 403 path_not_allowed - -",
        "/echo 421 misdirected - -",
        "/echo 405 method_refused - -",
        "/echo 400 bad_request - -",
        "/unauthorized 401 - - -",
    ];
    let said: Vec<_> = ran.stdout.lines().filter(|line| !line.starts_with("stream ")).collect();
    assert_eq!(said, expected, "{}", ran.said);
    let end = ground.end("/echo");
    assert_eq!((end["method"].as_str(), end["verdict"].as_str()), (Some("GET"), Some("allow")), "{end:#}");
    let refused = ground.gate.wait_for_record(|record| record["reason"] == "path_not_allowed");
    assert_eq!((refused["method"].as_str(), refused["path"].as_str()), (Some("GET"), Some("/other")), "{refused:#}");
    let asked: Vec<_> = ground.server.lines().into_iter().filter(|line| line.starts_with("asked")).collect();
    assert!(asked.len() == 2 && asked[0].starts_with("asked GET /echo host=ws.test:"), "{asked:?}");
}

#[test]
fn threat_52_a_rule_forbids_a_websocket_and_a_server_may_decline_one() {
    for way in [Way::Plain, Way::Intercepted] {
        let mut ground = Ground::new(way, node(SERVER_JS));
        for (path, seen) in [("/other", "answered 403 path_not_allowed\n"), ("/unauthorized", "answered 401 undefined\n")] {
            let ran = run(&mut ground.told(node(CLIENT_JS), path), "nodejs");
            assert_eq!(ran.stdout, seen, "{way:?} {path} {}", ran.said);
        }
        ground.server.wait_for_line("asked GET /unauthorized");
        assert!(!ground.server.said().contains("/other"), "{}", ground.server.said());
        let record = ground.gate.wait_for_record(|record| record["reason"] == "path_not_allowed");
        assert_eq!((record["method"].as_str(), record["path"].as_str()), (Some("GET"), Some("/other")), "{record:#}");
    }
}

#[test]
fn a_reload_that_removes_the_host_ends_a_websocket_with_1012() {
    for way in [Way::Plain, Way::Intercepted] {
        let ground = Ground::with(way, node(SERVER_JS), RULE, |setup| setup);
        let mut clients = vec![waiting(ground.told(node(CLIENT_JS), "/mirror/1"))];
        clients[0].wait_for_line("open ");
        if way == Way::Intercepted {
            let mut second = waiting(ground.over_http2(&["/mirror/2"]));
            second.wait_for_line("heard key=");
            clients.push(second);
        }
        let began = Instant::now();
        ground.gate.reload("allow = []\n");
        for client in &mut clients {
            client.wait_for_line("close 1012 host_not_allowed");
        }
        assert!(began.elapsed().as_secs() < 5, "within a second, on a machine that does much else");
        for (number, _) in clients.iter().enumerate() {
            let end = ground.end(&format!("/mirror/{}", number + 1));
            assert_eq!((end["reason"].as_str(), end["verdict"].as_str()), (Some("host_not_allowed"), Some("deny")), "{end:#}");
            assert!(end["bytes_down"].as_u64() > Some(0), "{end:#}");
        }
    }
}

#[test]
fn a_reload_that_forbids_the_path_alone_ends_a_websocket_with_1012() {
    let ground = Ground::with(Way::Intercepted, node(SERVER_JS), RULE, |setup| setup);
    let mut client = waiting(ground.told(node(CLIENT_JS), "/mirror/1"));
    client.wait_for_line("open ");
    ground.gate.reload(&policy(Way::Intercepted, ground.port, &RULE.replace("/mirror/*", "/mirrors/*")));
    client.wait_for_line("close 1012 path_not_allowed");
    assert_eq!(ground.end("/mirror/1")["reason"], "path_not_allowed");
}

#[test]
fn threats_89_and_92_a_websocket_gets_the_real_key_and_never_shows_it() {
    let ground = Ground::with(Way::Intercepted, node(SERVER_JS), CREDENTIAL, |setup| setup);
    let mut clients = [waiting(ground.told(node(CLIENT_JS), "/mirror/1")), waiting(ground.over_http2(&["/mirror/2"]))];
    let masked = format!("key={} offered=undefined", "*".repeat(KEY.len()));
    assert_eq!(clients[0].wait_for_line("open "), format!("open {masked}"));
    assert_eq!(clients[1].wait_for_line("heard key="), format!("heard {masked}"));
}

#[test]
fn a_websocket_counts_as_a_tunnel_and_goes_on_while_the_gate_drains() {
    let limits = format!("{RULE}[limits]\ntunnels = 3\n");
    let mut ground = Ground::with(Way::Intercepted, node(SERVER_JS), &limits, |setup| setup);
    let mut over_http1 = waiting(ground.told(node(CLIENT_JS), "/mirror/1"));
    over_http1.wait_for_line("open ");
    let mut over_http2 = waiting(ground.over_http2(&["/mirror/2"]));
    over_http2.wait_for_line("heard hello over h2");
    // One takes over its whole tunnel, the other shares one.
    assert_eq!(ground.gate.metric("tidegate_tunnels"), 3);
    let refused = Client::tunnel(ground.gate.proxy(), &ground.authority()).map(drop).unwrap_err();
    assert_eq!(refused.verdict(), (503, "too_many_tunnels"));
    ground.gate.signal("TERM");
    eventually("nobody new is let in", || std::net::TcpStream::connect(ground.gate.proxy()).is_err());
    for client in [&mut over_http1, &mut over_http2] {
        client.tell("still here");
        client.wait_for_line("heard still here");
    }
    drop((over_http1, over_http2));
    assert!(ground.gate.wait_for_exit().success());
}

#[test]
fn over_http2_the_limit_of_tunnels_holds_for_each_websocket() {
    let limits = format!("{RULE}[limits]\ntunnels = 1\n");
    let ground = Ground::with(Way::Intercepted, node(SERVER_JS), &limits, |setup| setup);
    let ran = run(&mut ground.over_http2(&["/echo"]), "nodejs");
    assert!(ran.stdout.contains("/echo 503 too_many_tunnels"), "{}", ran.said);
    let record = ground.gate.wait_for_record(|record| record["reason"] == "too_many_tunnels");
    assert_eq!((record["path"].as_str(), record["kind"].as_str()), (Some("/echo"), Some("http")), "{record:#}");
    eventually("the tunnel has ended", || ground.gate.metric("tidegate_tunnels") == 0);
    let alone = run(&mut ground.told(node(CLIENT_JS), "/echo"), "nodejs");
    assert_eq!(alone.stdout, SEEN, "{}", alone.said);
}

const HANDSHAKE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A gate before an origin that says what a test wants said.
struct Scripted {
    gate: Tidegate,
    origin: Origin,
}

impl Scripted {
    fn new(origin: Origin, rules: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::new(policy(Way::Plain, origin.port(), rules)).dns(Dns::loopback().address());
        Self { gate: more(setup).start(), origin }
    }

    fn agreeing(then: &'static [u8]) -> Self {
        let origin = Origin::scripted(move |conversation| {
            conversation.request();
            conversation.send(&[AGREED.as_bytes(), then].concat());
            while let Some(bytes) = conversation.read() {
                conversation.send(&bytes);
            }
        });
        Self::new(origin, "", |setup| setup.timeout("idle = \"2s\""))
    }

    /// A client that has asked for a WebSocket in absolute-form and sent `early` behind it.
    fn asking(&self, path: &str, early: &str) -> Client {
        let authority = format!("{HOST}:{}", self.origin.port());
        let mut client = Client::connect(self.gate.proxy());
        client.send(format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{HANDSHAKE}\r\n{early}"));
        client
    }

    #[track_caller]
    fn end(&self) -> serde_json::Value {
        self.gate.wait_for_record(|record| !record["bytes_down"].is_null())
    }
}

#[test]
fn threat_52_in_absolute_form_bytes_pass_both_ways_and_are_counted() {
    let ground = Scripted::agreeing(b"\x81\x05first");
    let mut client = ground.asking("/chat?q", "GET /early HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.header("upgrade"), reply.header("connection"), reply.header("sec-websocket-accept")),
        (101, Some("websocket"), Some("Upgrade"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        "{reply:?}"
    );
    assert_eq!(client.exactly(7), b"\x81\x05first");
    let sent = String::from_utf8(ground.origin.wait_for(|bytes| bytes.ends_with(b"/early HTTP/1.1\r\n\r\n"))).unwrap();
    let (head, early) = sent.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("GET /chat?q HTTP/1.1\r\n") && early == "GET /early HTTP/1.1\r\n\r\n", "early bytes are data: {sent}");
    assert_eq!(ground.gate.metric("tidegate_tunnels"), 1);
    client.close_sending();
    client.rest();
    let end = ground.end();
    assert_eq!((end["bytes_up"].as_u64(), end["path"].as_str()), (Some(23), Some("/chat")), "{end:#}");
    assert_eq!(ground.origin.connections().len(), 1);
}

#[test]
fn threat_52_what_a_websocket_sends_is_held_to_the_limit_of_its_rule() {
    let rule = RULE.replace("methods", "max_request_body = 12\nmethods");
    let origin = Origin::scripted(|conversation| {
        conversation.request();
        conversation.send(AGREED.as_bytes());
        while conversation.read().is_some() {}
    });
    let ground = Scripted::new(origin, &rule, |setup| setup);
    let mut client = ground.asking("/echo", "");
    assert_eq!(client.reply().status, 101);
    client.send("twelve of us");
    let sent = ground.origin.wait_for(|bytes| bytes.ends_with(b"twelve of us"));
    assert_eq!(client.send("!").exactly(18), b"\x88\x10\x03\xf1body_too_large");
    client.assert_closed();
    assert_eq!(ground.origin.connections(), [sent], "nothing beyond the limit leaves");
    let end = ground.end();
    let seen = (end["verdict"].as_str(), end["reason"].as_str(), end["bytes_up"].as_u64());
    assert_eq!(seen, (Some("deny"), Some("body_too_large"), Some(12)), "{end:#}");
    assert!(end["rule"].as_str().is_some_and(|rule| rule.contains("sockets")), "{end:#}");
}

#[test]
fn threats_52_and_61_early_bytes_behind_a_refused_upgrade_are_no_request() {
    let origin = Origin::replying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    let ground = Scripted::new(origin, RULE, |setup| setup);
    let early = |ground: &Scripted| format!("GET http://{HOST}:{}/echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n", ground.origin.port());
    let mut refused = ground.asking("/other", &early(&ground));
    let reply = refused.reply();
    assert_eq!((reply.verdict(), reply.header("connection")), ((403, "path_not_allowed"), Some("close")));
    refused.assert_closed();
    ground.origin.assert_untouched("it was refused");
    let mut declined = ground.asking("/echo", &early(&ground));
    let reply = declined.reply();
    assert_eq!((reply.status, reply.header("connection"), reply.text()), (200, Some("close"), "no".into()), "{reply:?}");
    declined.assert_closed();
    assert_eq!(ground.origin.connections().len(), 1);
    assert_eq!(String::from_utf8(ground.origin.received()).unwrap().matches("GET ").count(), 1, "what came early was asked for");
}

#[test]
fn threat_65_an_agreement_that_does_not_fit_is_none() {
    for (from, to) in [
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Accept", "X-Accept"),
    ] {
        let ground = Scripted::new(Origin::replying_once(AGREED.replace(from, to)), "", |setup| setup);
        let mut client = ground.asking("/chat", "");
        assert_eq!(client.reply().verdict(), (502, "upstream_closed"), "{to}");
        client.assert_closed();
        assert_eq!(ground.gate.wait_for_record(|record| record["verdict"] == "error")["reason"], "upstream_closed");
    }
}

#[test]
fn a_server_that_masks_its_frames_is_cut_off() {
    let ground = Scripted::agreeing(b"\x81\x85abcdhello");
    let mut client = ground.asking("/chat", "");
    assert_eq!(client.reply().status, 101);
    client.assert_closed();
    assert_eq!(ground.end()["reason"], "upstream_closed");
}

#[test]
fn a_sandbox_that_does_not_read_makes_the_server_wait() {
    let origin = Origin::scripted(|conversation| {
        conversation.request();
        conversation.send(AGREED.as_bytes());
        // Frames without end, of 64 KiB each.
        let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &vec![7; 65536]].concat();
        conversation.stream().set_write_timeout(Some(PATIENCE)).unwrap();
        while conversation.stream().write_all(&frame).is_ok() {}
    });
    let ground = Scripted::new(origin, "", |setup| setup.timeout("idle = \"1s\""));
    let mut client = ground.asking("/chat", "");
    assert_eq!(client.reply().status, 101);
    let end = ground.end();
    assert!(end["duration_ms"].as_u64() >= Some(1000), "it ends for standing still: {end:#}");
    assert_small(&ground.gate);
}

#[test]
fn a_stream_that_does_not_read_makes_the_server_wait() {
    let ground = Ground::with(Way::Intercepted, node(SERVER_JS), &RULE.replace("/echo", "/flood"), |setup| {
        setup.timeout("idle = \"1s\"").timeout("first_byte = \"1s\"")
    });
    let mut client = ground.over_http2(&["/flood"]);
    client.env("STILL", "1");
    let mut client = Script::start(client);
    client.wait_for_line("/flood 200");
    let end = ground.end("/flood");
    assert!(end["bytes_down"].as_u64() < Some(4 << 20), "{end:#}");
    assert_small(&ground.gate);
}

/// Fails if it ever held much memory.
#[track_caller]
fn assert_small(gate: &Tidegate) {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 * 1024, "the gate held {peak} KiB");
}

#[test]
fn a_sandbox_that_goes_before_the_answer_is_not_waited_for() {
    let ground = Scripted::new(Origin::silent(), "", |setup| setup);
    let mut client = ground.asking("/chat", "early");
    ground.origin.wait_for(|bytes| bytes.ends_with(b"\r\n\r\n"));
    client.close_sending();
    client.assert_closed();
    drop(client);
    eventually("its connection is given back", || ground.gate.metric("tidegate_connections{door=\"proxy\"}") == 0);
}

#[test]
fn a_websocket_that_says_nothing_ends() {
    let ground = Scripted::agreeing(b"");
    let mut client = ground.asking("/chat", "");
    assert_eq!(client.reply().status, 101);
    client.assert_closed();
    let end = ground.end();
    assert!(end["duration_ms"].as_u64() >= Some(2000) && end["verdict"] == "allow", "{end:#}");
}

#[test]
fn no_close_frame_stands_in_the_middle_of_another() {
    let ground = Scripted::agreeing(b"\x82\x0ahalf");
    let mut client = ground.asking("/chat", "");
    assert_eq!(client.reply().status, 101);
    assert_eq!(client.exactly(6), b"\x82\x0ahalf");
    ground.gate.reload("allow = []\n");
    client.assert_closed();
    assert_eq!(ground.end()["reason"], "host_not_allowed");
}

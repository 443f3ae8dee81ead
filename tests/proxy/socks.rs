//! The SOCKS door: real clients by names and by addresses, what they are refused and how they are told, and bytes that no client sends.

use std::{
    fs,
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::harness::{
    Client, Dns, Hello, Origin, Setup, Tidegate,
    client::ask,
    eventually,
    hello::fatal_alert,
    identity,
    program::{Ran, program, run},
    script::python,
};

const TOKEN: &str = "first-token-0123456789abcdef0123456789";
/// Greeting of a client that has nothing to show, and its answer.
const HELLO: &[u8] = &[5, 1, 0];
const SUCCESS: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A SOCKS door, and behind it `allowed.test` at the ports of four origins.
struct Ground {
    gate: Tidegate,
    dns: Dns,
    /// Whose TLS nobody reads.
    opaque: Origin,
    /// Of whose requests those to `/secret` are refused.
    intercepted: Origin,
    http: Origin,
    /// Says back what it hears, on a port for any protocol.
    echo: Origin,
    /// What clients trust: the origins' authority, and the proxy's.
    roots: NamedTempFile,
}

impl Ground {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(more: impl FnOnce(Setup) -> Setup) -> Self {
        Self::at("127.0.0.1:0", more)
    }

    fn at(address: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let secure = || Origin::saying("from the origin").over_tls(identity::server(&["allowed.test"]));
        let (opaque, intercepted, http, echo) = (secure(), secure(), Origin::saying("from the origin"), Origin::echoing());
        let policy = format!(
            "allow = [{{ host = \"allowed.test:{}\", tls = true }}, {{ host = \"allowed.test:{read}\", tls = true }}, \
             {{ host = \"allowed.test:{http}\", http = true }}, {{ host = \"127.0.0.1:{http}\", http = true }}, \"allowed.test:{}\", \
             \"unknown.test\", \"allowed.test:9\"]\n\
             [addresses]\nallow = [\"127.0.0.0/8\"]\n\
             [[rule]]\nname = \"public\"\nhosts = [\"allowed.test:{read}\"]\npaths = [\"/public/**\"]",
            opaque.port(),
            echo.port(),
            http = http.port(),
            read = intercepted.port(),
        );
        let dns = Dns::start();
        for name in ["allowed.test", "evil.test"] {
            dns.say(name, crate::harness::Answer::of(&["127.0.0.1"]));
        }
        let setup = Setup::new(policy).listen(&format!("socks = \"{address}\"")).dns(dns.address());
        let gate = more(identity::trusted_by(setup)).start();
        let own = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
        let roots = NamedTempFile::new().expect("a file");
        fs::write(roots.path(), format!("{}{}", identity::root(), own.text())).expect("a file");
        Self { gate, dns, opaque, intercepted, http, echo, roots }
    }

    fn door(&self) -> SocketAddr {
        self.gate.listener("socks")
    }

    /// curl by a proxy of this scheme: `socks5h` leaves names to it, `socks5` resolves them.
    fn curl(&self, scheme: &str, arguments: &[&str], url: &str) -> Ran {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--proxy", &format!("{scheme}://{}", self.door()), "--cacert"]);
        curl.arg(self.roots.path()).args(arguments).arg(url);
        run(&mut curl, "curl")
    }

    fn client(&self) -> Client {
        Client::connect(self.door())
    }

    /// A tunnel to `allowed.test` at this port.
    #[track_caller]
    fn tunnel(&self, port: u16) -> Client {
        let mut client = self.client();
        client.send([HELLO, &named("allowed.test", port)].concat());
        assert_eq!(client.exactly(12), [&[5, 0][..], &SUCCESS].concat());
        client
    }

    /// Sends this request after the greeting, and gives the number of the reply; nothing may come after it.
    #[track_caller]
    fn reply_to(&self, request: &[u8]) -> u8 {
        let mut client = self.client();
        client.send([HELLO, request].concat());
        let reply = client.rest();
        assert!(reply.len() == 12 && reply.starts_with(&[5, 0, 5]) && reply[4..] == [0, 1, 0, 0, 0, 0, 0, 0], "{reply:?}");
        reply[3]
    }

    /// The last refusal: host, port and reason; by this door, and of the one session that there is.
    #[track_caller]
    fn refused(&self, before: usize) -> (Value, Value, String) {
        let record = self.gate.wait_for_record_after(before, |record| record["verdict"] != "allow");
        assert_eq!([&record["door"], &record["session"], &record["kind"]], ["socks", "anonymous", "connect"], "{record:#}");
        (record["host"].clone(), record["port"].clone(), record["reason"].as_str().unwrap_or_default().to_owned())
    }

    fn seen(&self) -> usize {
        self.gate.records().len()
    }

    fn assert_untouched(&self) {
        for origin in [&self.opaque, &self.intercepted, &self.http, &self.echo] {
            origin.assert_untouched("refused");
        }
    }
}

/// A request to connect to a name.
fn named(name: impl AsRef<[u8]>, port: u16) -> Vec<u8> {
    let name = name.as_ref();
    [&[5, 1, 0, 3, u8::try_from(name.len()).expect("a short name")], name, &port.to_be_bytes()].concat()
}

/// A user name and a password.
fn login(user: &str, password: &str) -> Vec<u8> {
    let length = |field: &str| [u8::try_from(field.len()).expect("a short field")];
    [&[1][..], &length(user), user.as_bytes(), &length(password), password.as_bytes()].concat()
}

// ── real clients

#[test]
fn curl_reaches_what_is_allowed_by_name_whoever_reads_the_bytes() {
    let ground = Ground::new();
    for (scheme, origin) in [("https", &ground.opaque), ("https", &ground.intercepted), ("http", &ground.http)] {
        let before = ground.seen();
        let ran = ground.curl("socks5h", &[], &format!("{scheme}://allowed.test:{}/public/x", origin.port()));
        assert_eq!(ran.stdout, "from the origin", "{}", ran.said);
        let opened = ground.gate.wait_for_record_after(before, |record| record["kind"] == "connect");
        let told = ["verdict", "door", "session", "host", "address", "method"].map(|key| opened[key].as_str().unwrap_or_default());
        assert_eq!(told, ["allow", "socks", "anonymous", "allowed.test", "127.0.0.1", "CONNECT"], "{opened:#}");
        assert_eq!(opened["port"], origin.port(), "{opened:#}");
        let ended = ground.gate.wait_for_record_after(before, |record| !record["duration_ms"].is_null());
        assert!(ended["door"] == "socks" && ended["bytes_down"].as_u64() >= Some(15), "{ended:#}");
    }
    let asked = ground.gate.wait_for_record(|record| record["kind"] == "http" && record["path"] == "/public/x");
    assert_eq!(asked["door"], "socks", "{asked:#}");
    let ran = ground.curl("socks5h", &[], "http://tidegate.internal/session");
    assert!(ran.stdout.contains("\"entries\""), "{}", ran.said);
    let connections = ground.gate.metrics();
    assert!(connections.contains("tidegate_connections{door=\"socks\"} "), "{connections}");
}

/// What `socks5://` of curl makes of a name: an address, which nothing allows unless an entry spells it out.
#[test]
fn curl_that_resolves_itself_asks_for_an_address() {
    let ground = Ground::new();
    let resolve = ["--resolve", &format!("allowed.test:{}:127.0.0.2", ground.opaque.port())];
    let ran = ground.curl("socks5", &resolve, &format!("https://allowed.test:{}/", ground.opaque.port()));
    assert!(!ran.success && ran.said.contains("(2)"), "{}", ran.said);
    assert_eq!(ground.refused(0), ("127.0.0.2".into(), ground.opaque.port().into(), "ip_literal_not_allowed".into()));
    ground.opaque.assert_untouched("an address that no entry names");
    let ran = ground.curl("socks5", &[], &format!("http://127.0.0.1:{}/", ground.http.port()));
    assert_eq!(ran.stdout, "from the origin", "{}", ran.said);
}

#[test]
fn curl_is_told_by_a_number_and_by_the_pages_why_it_is_refused() {
    let ground = Ground::new();
    for (url, number, host, port, reason) in [
        ("https://evil.test/", 2, "evil.test", 443, "host_not_allowed"),
        ("http://evil.test/", 2, "evil.test", 80, "host_not_allowed"),
        ("https://allowed.test:444/", 2, "allowed.test", 444, "port_not_allowed"),
        ("https://[2001:db8::7]/", 2, "[2001:db8::7]", 443, "ip_literal_not_allowed"),
        ("https://unknown.test/", 4, "unknown.test", 443, "dns_failed"),
        ("https://allowed.test:9/", 5, "allowed.test", 9, "connect_failed"),
    ] {
        let before = ground.seen();
        let ran = ground.curl("socks5h", &[], url);
        assert!(!ran.success && ran.said.contains("curl: (97)") && ran.said.contains(&format!("({number})")), "{url}: {}", ran.said);
        assert_eq!(ground.refused(before), (host.into(), port.into(), reason.into()), "{url}");
    }
    let listed = ground.curl("socks5h", &[], "http://tidegate.internal/refusals");
    assert!(listed.stdout.contains("evil.test is not on the list") && listed.stdout.contains("port_not_allowed"), "{}", listed.said);
    assert_eq!(ground.dns.asked().iter().filter(|(name, _)| name.starts_with("evil")).count(), 0, "a refused name is not asked for");
    ground.assert_untouched();
}

#[test]
fn what_the_bytes_show_is_judged_as_in_any_tunnel() {
    let ground = Ground::new();
    let secret = format!("https://allowed.test:{}/secret", ground.intercepted.port());
    let ran = ground.curl("socks5h", &["--include"], &secret);
    assert!(ran.stdout.contains("x-deny-reason: path_not_allowed"), "{}", ran.said);

    for (port, bytes, alert, reason) in [
        (ground.opaque.port(), Hello::to("evil.test").bytes(), 112, "misdirected"),
        (ground.opaque.port(), Hello::to("allowed.test").encrypted().bytes(), 49, "ech_not_allowed"),
        (ground.intercepted.port(), Hello::to("evil.test").bytes(), 112, "misdirected"),
    ] {
        let before = ground.seen();
        assert_eq!(fatal_alert(&ground.tunnel(port).send(bytes).rest()), Some(alert), "{reason}");
        let record = ground.gate.wait_for_record_after(before, |record| record["verdict"] == "deny");
        assert_eq!([&record["reason"], &record["door"]], [reason, "socks"], "{record:#}");
    }
    // Nobody who speaks HTTP here knows of a proxy: they are answered in HTTP.
    let mut client = ground.tunnel(ground.opaque.port());
    let reply = client.send("GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n").reply();
    assert_eq!(reply.verdict(), (403, "opaque_tunnel"));
    let mut client = ground.tunnel(ground.http.port());
    let reply = client.send("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").reply();
    assert_eq!(reply.verdict(), (421, "misdirected"));
    for origin in [&ground.opaque, &ground.intercepted, &ground.http] {
        assert_eq!(origin.received(), b"", "no byte went upstream");
    }
}

#[test]
fn python_by_pysocks_with_names_and_with_addresses() {
    let ground = Ground::new();
    let source = "
import socks, sys
host, port, door = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    stream = socks.create_connection((host, port), proxy_type=socks.SOCKS5, proxy_addr='127.0.0.1', proxy_port=door, proxy_rdns=True)
    stream.sendall(b'said and heard')
    print(stream.recv(14).decode())
except socks.ProxyError as error:
    print(error)
";
    let ask = |host: &str, port: u16| {
        run(python(source).args([host, &port.to_string(), &ground.door().port().to_string()]), "python3").stdout.trim().to_owned()
    };
    assert_eq!(ask("allowed.test", ground.echo.port()), "said and heard");
    assert!(ask("evil.test", 443).contains("0x02: Connection not allowed by ruleset"));
    assert!(ask("2001:db8::7", 443).contains("0x02: Connection not allowed by ruleset"));
    assert!(ground.gate.records().iter().any(|record| record["host"] == "[2001:db8::7]"), "an address of IPv6");
}

#[test]
fn ssh_by_nc_hears_the_server_that_speaks_first_or_that_it_is_refused() {
    let ground = Ground::new();
    let server = Origin::scripted(|conversation| {
        conversation.send(b"SSH-1.0-too_old\r\n");
        conversation.read();
    });
    ground.gate.reload(&format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", server.port()));
    let ssh = |host: &str| {
        let command = format!("ProxyCommand=nc -X 5 -x {} %h %p", ground.door());
        let (port, options) = (server.port().to_string(), ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", &command]);
        run(program("ssh").args(options).args(["-p", &port, host]), "openssh-client netcat-openbsd")
    };
    let ran = ssh("git@allowed.test");
    assert!(ran.said.contains("Protocol major versions differ"), "{}", ran.said);
    server.wait_for(|bytes| bytes.starts_with(b"SSH-2.0-"));
    let ran = ssh("git@evil.test");
    assert!(ran.said.contains("SOCKSv5 error: Connection not allowed by ruleset"), "{}", ran.said);
}

#[test]
fn the_door_listens_at_ipv6_as_well() {
    let ground = Ground::at("[::1]:0", |setup| setup);
    let ran = ground.curl("socks5h", &[], &format!("http://allowed.test:{}/", ground.http.port()));
    assert_eq!(ran.stdout, "from the origin", "{}", ran.said);
}

// ── who asks

#[test]
fn the_token_is_the_password_where_a_session_is_required() {
    let ground = Ground::with(|setup| setup.listen("require_session = true").session("s1", TOKEN, ""));
    let url = format!("http://allowed.test:{}/", ground.http.port());
    for user in ["x", "someone else"] {
        let ran = ground.curl("socks5h", &["--proxy-user", &format!("{user}:{TOKEN}")], &url);
        assert_eq!(ran.stdout, "from the origin", "{}", ran.said);
    }
    let opened = ground.gate.wait_for_record(|record| record["kind"] == "connect");
    assert_eq!([&opened["door"], &opened["session"], &opened["verdict"]], ["socks", "s1", "allow"], "{opened:#}");
    ground.http.forget();

    let denied = |before: usize| {
        let record = ground.gate.wait_for_record_after(before, |record| record["verdict"] == "deny");
        assert_eq!(
            [&record["door"], &record["kind"], &record["session"]],
            [&"socks".into(), &"connect".into(), &Value::Null],
            "{record:#}"
        );
        record["reason"].as_str().expect("a reason").to_owned()
    };
    let before = ground.seen();
    let ran = ground.curl("socks5h", &["--proxy-user", "x:another-token-0123456789abcdef012345678"], &url);
    assert!(ran.said.contains("curl: (97) User was rejected by the SOCKS5 server (1 1)"), "{}", ran.said);
    assert_eq!(denied(before), "session_unknown");
    let before = ground.seen();
    let ran = ground.curl("socks5h", &[], &url);
    assert!(ran.said.contains("curl: (97) No authentication method was acceptable"), "{}", ran.said);
    assert_eq!(denied(before), "session_required");
    for (sent, said, reason) in [
        (vec![5, 1, 0], vec![5, 0xff], "session_required"),
        ([&[5, 1, 2][..], &login("", "")].concat(), vec![5, 2, 1, 1], "session_required"),
        ([&[5, 1, 2][..], &login("", &TOKEN[1..])].concat(), vec![5, 2, 1, 1], "session_unknown"),
        (vec![5, 1, 2, 5, 1], vec![5, 2, 1, 1], "bad_request"),
    ] {
        let before = ground.seen();
        assert_eq!(ground.client().send(&sent).rest(), said, "{sent:?}");
        assert_eq!(denied(before), reason, "{sent:?}");
    }
    assert_eq!(ground.http.received(), b"", "nobody's");
}

/// A field holds 255 octets and a signed token may be longer: it begins in the user name.
#[test]
fn a_long_token_fills_the_user_name_and_goes_on_in_the_password() {
    let token = format!("{TOKEN}{}", "x".repeat(300));
    let ground = Ground::with(|setup| setup.listen("require_session = true").session("s1", &token, ""));
    let (user, password) = token.split_at(255);
    let mut client = ground.client();
    client.send([&[5, 2, 0, 2][..], &login(user, password), &named("allowed.test", ground.echo.port()), b"early"].concat());
    assert_eq!(client.exactly(14), [&[5, 2, 1, 0][..], &SUCCESS].concat());
    assert_eq!(client.exactly(5), b"early");
}

#[test]
fn a_door_that_is_bound_to_a_session_asks_nobody_and_takes_any_password() {
    let ground = Ground::with(|setup| setup.listen("session = \"s1\"").session("s1", TOKEN, ""));
    let request = named("allowed.test", ground.echo.port());
    for (sent, said) in
        [(vec![5, 1, 0], vec![5, 0]), (vec![5, 2, 2, 0], vec![5, 0]), ([&[5, 1, 2][..], &login("", "")].concat(), vec![5, 2, 1, 0])]
    {
        let mut client = ground.client();
        client.send([&sent[..], &request].concat());
        assert_eq!(client.exactly(said.len() + 10), [&said[..], &SUCCESS].concat(), "{sent:?}");
    }
    eventually("three tunnels and their ends", || ground.seen() == 6);
    assert!(ground.gate.records().iter().all(|record| record["session"] == "s1" && record["verdict"] == "allow"));
}

// ── bytes that no client sends

/// Threats 4, 5, 6, 7, 21 and 22 as SOCKS can say them.
#[test]
fn threat_04_a_name_with_nul_or_any_byte_that_no_host_has_is_refused_and_never_asked_for() {
    let ground = Ground::new();
    for name in [
        &b"evil.test\0.allowed.test"[..],
        b"allowed.test\0",
        b"allowed.test\r\n",
        b"allowed.test ",
        b"allowed.test\x7f",
        b"allowed.test\xff",
        "аllowed.test".as_bytes(),
        b"evil.test#.allowed.test",
        b"evil.test%00.allowed.test",
        b"user@allowed.test",
        b"allowed.test:443",
        b"allowed.test..",
        b"*.test",
        b"127.1",
        b"2130706433",
        b"0x7f.1",
        b"0177.0.0.1",
        b"0",
        b"",
        &[b'a'; 255],
    ] {
        let before = ground.seen();
        assert_eq!(ground.reply_to(&named(name, ground.http.port())), 1, "{}", name.escape_ascii());
        assert_eq!(ground.refused(before), (Value::Null, Value::Null, "bad_request".into()), "{}", name.escape_ascii());
    }
    for (request, reason) in [
        (named("127.0.0.2", ground.opaque.port()), "ip_literal_not_allowed"),
        ([&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat(), "ip_literal_not_allowed"),
        ([&[5, 1, 0, 4][..], &[0; 10], &[255, 255, 127, 0, 0, 1, 0, 80]].concat(), "ip_literal_not_allowed"),
        (vec![5, 1, 0, 1, 169, 254, 169, 254, 0, 80], "ip_literal_not_allowed"),
        (named("localhost", 80), "address_not_allowed"),
        (named("metadata.google.internal", 80), "address_not_allowed"),
    ] {
        let before = ground.seen();
        assert_eq!(ground.reply_to(&request), 2, "{request:?}");
        assert_eq!(ground.refused(before).2, reason, "{request:?}");
    }
    assert_eq!(ground.dns.asked(), []);
    ground.assert_untouched();
}

#[test]
fn other_commands_addresses_and_versions_are_refused_by_their_numbers() {
    let ground = Ground::new();
    for (request, number, method, reason) in [
        (&[5, 2, 0, 1, 127, 0, 0, 1, 0, 80][..], 7, "BIND".into(), "method_refused"),
        (&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0], 7, "UDP ASSOCIATE".into(), "method_refused"),
        (&[5, 9, 0, 1, 0, 0, 0, 0, 0, 0], 7, Value::Null, "method_refused"),
        (&[5, 1, 0, 2, 0, 0, 0, 0, 0, 0], 8, Value::Null, "bad_request"),
        (&[5, 1, 7, 1, 127, 0, 0, 1, 0, 80], 1, Value::Null, "bad_request"),
        (&[4, 1, 0, 1, 127, 0, 0, 1, 0, 80], 1, Value::Null, "bad_request"),
        (&[5, 1, 0, 1, 127, 0, 0, 1, 0, 0], 1, Value::Null, "bad_request"),
    ] {
        let before = ground.seen();
        assert_eq!(ground.reply_to(request), number, "{request:?}");
        let record = ground.gate.wait_for_record_after(before, |record| record["verdict"] == "deny");
        assert_eq!((&record["method"], &record["reason"]), (&method, &reason.into()), "{record:#}");
    }
    for greeting in [&[5, 0][..], &[5, 1, 1], &[5, 3, 1, 3, 128]] {
        assert_eq!(ground.client().send(greeting).rest(), [5, 0xff], "{greeting:?}");
    }
    ground.assert_untouched();
}

/// Row 20 of threats.md, seen from the door beside: what is no SOCKS gets an answer that its client understands, and leads nowhere.
#[test]
fn threat_20_what_is_no_socks_is_told_what_this_door_is() {
    let ground = Ground::new();
    for request in [
        format!("GET http://allowed.test:{}/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", ground.http.port()),
        format!("CONNECT allowed.test:{} HTTP/1.1\r\nHost: allowed.test\r\n\r\n", ground.http.port()),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n".to_owned(),
    ] {
        let before = ground.seen();
        let reply = ground.client().send(&request).reply();
        assert_eq!(reply.verdict(), (400, "bad_request"), "{request}");
        assert!(reply.text().contains("This is the SOCKS door: it speaks version 5 alone"), "{}", reply.text());
        assert_eq!(ground.refused(before).2, "bad_request", "{request}");
    }
    for (sent, said) in [
        // SOCKS 4, and 4a with a name.
        (&[4, 1, 0, 80, 127, 0, 0, 1, 0][..], vec![0, 91, 0, 0, 0, 0, 0, 0]),
        (&[4, 1, 0, 80, 0, 0, 0, 1, 0, b'a', 0], vec![0, 91, 0, 0, 0, 0, 0, 0]),
        (&Hello::to("allowed.test").bytes(), vec![21, 3, 3, 0, 2, 2, 49]),
    ] {
        let before = ground.seen();
        assert_eq!(ground.client().send(sent).rest(), said, "{sent:?}");
        assert_eq!(ground.refused(before).2, "bad_request", "{sent:?}");
    }
    for sent in [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0; 40], b"*1\r\n$4\r\nPING\r\n"] {
        assert!(ground.client().send(sent).is_reset(), "{sent:?}");
    }
    ground.assert_untouched();
}

#[test]
fn however_the_bytes_come_they_say_the_same_and_what_follows_is_kept() {
    let ground = Ground::new();
    let all = [HELLO, &named("allowed.test", ground.echo.port()), b"early"].concat();
    let mut slow = ground.client();
    slow.send_slowly(&all);
    let mut at_once = ground.client();
    at_once.send(&all);
    for client in [&mut slow, &mut at_once] {
        assert_eq!(client.exactly(12), [&[5, 0][..], &SUCCESS].concat());
        assert_eq!(client.exactly(5), b"early");
    }
}

#[test]
fn whoever_says_too_little_is_not_waited_for() {
    let ground = Ground::with(|setup| setup.timeout("head = \"1s\""));
    let before = ground.seen();
    ground.client().assert_closed();
    for (sent, said) in [(&[5][..], vec![5, 0xff]), (&[5, 1, 0, 5, 1], vec![5, 0, 5, 6, 0, 1, 0, 0, 0, 0, 0, 0])] {
        let before = ground.seen();
        assert_eq!(ground.client().send(sent).rest(), said, "{sent:?}");
        assert_eq!(ground.refused(before).2, "head_timeout", "{sent:?}");
    }
    // Who drips is late at the same moment as who is silent.
    let mut drip = ground.client();
    let begun = Instant::now();
    for byte in [HELLO, &named("a.".repeat(100), 80)].concat() {
        drip.send([byte]);
        sleep(Duration::from_millis(50));
        if begun.elapsed() > Duration::from_millis(1500) {
            break;
        }
    }
    assert_eq!(drip.rest(), [5, 0, 5, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ground.gate.records().len() - before, 3, "silence is nobody's refusal, the rest is");
}

#[test]
fn a_client_that_goes_away_early_leaves_nothing_behind() {
    let ground = Ground::new();
    for sent in [&[5][..], &[5, 1, 0], &[5, 1, 0, 5, 1, 0, 3, 12, b'a']] {
        let mut client = ground.client();
        client.send(sent).close_sending();
        let rest = client.rest();
        assert!(rest.is_empty() || rest == [5, 0], "{rest:?}");
    }
    eventually("no connection is left", || ground.gate.metric("tidegate_connections{door=\"socks\"}") == 0);
    assert_eq!(ground.seen(), 0);
}

#[test]
fn the_door_itself_is_no_destination() {
    let ground = Ground::new();
    let port = ground.door().port();
    ground.gate.reload(&format!("allow = [\"allowed.test:{port}\", \"127.0.0.1:{port}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]"));
    for request in [named("allowed.test", port), named("127.0.0.1", port)] {
        let before = ground.seen();
        assert_eq!(ground.reply_to(&request), 2);
        assert_eq!(ground.refused(before).2, "address_not_allowed");
    }
}

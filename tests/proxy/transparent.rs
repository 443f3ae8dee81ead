//! Programs that know of no proxy, whose connections the kernel redirects: each test has a network of its own.

use std::{
    fs,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    process::{Child, Command, Stdio},
};

use tempfile::NamedTempFile;

use crate::harness::{
    Client, Dns, Hello, Origin, Setup, Tidegate,
    client::ask,
    eventually,
    hello::fatal_alert,
    identity,
    namespace::{isolated, redirect},
    program::{Ran, program, run},
};

/// A transparent door, and behind it `allowed.test` at the ports of three origins.
struct Ground {
    gate: Tidegate,
    /// Whose TLS nobody reads.
    opaque: Origin,
    /// Of whose requests those to `/secret` are refused.
    intercepted: Origin,
    http: Origin,
    /// What clients trust: both origins' authority, and the proxy's.
    roots: NamedTempFile,
}

impl Ground {
    /// `address` is the listener's, at any port.
    fn at(address: &str) -> Self {
        Self::with(address, "")
    }

    /// The same where these entries are allowed too.
    fn with(address: &str, entries: &str) -> Self {
        let secure = || Origin::saying("from the origin").over_tls(identity::server(&["allowed.test"]));
        let (opaque, intercepted, http) = (secure(), secure(), Origin::saying("from the origin"));
        let policy = format!(
            "allow = [{{ host = \"allowed.test:{}\", tls = true }}, {{ host = \"allowed.test:{read}\", tls = true }}, \
             {{ host = \"allowed.test:{}\", http = true }}{entries}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n\
             [[rule]]\nname = \"public\"\nhosts = [\"allowed.test:{read}\"]\npaths = [\"/public/**\"]",
            opaque.port(),
            http.port(),
            read = intercepted.port(),
        );
        let setup = Setup::new(policy).listen(&format!("transparent = \"{address}\"\ndns = \"{address}\"")).dns(Dns::loopback().address());
        let gate = identity::trusted_by(setup).start();
        redirect(gate.listener("transparent"), gate.listener("dns"));
        let own = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
        let roots = NamedTempFile::new().expect("a file");
        fs::write(roots.path(), format!("{}{}", identity::root(), own.text())).expect("a file");
        Self { gate, opaque, intercepted, http, roots }
    }

    /// curl, without any variable of a proxy, for which every name stands for a foreign address.
    fn curl(&self, arguments: &[&str], url: &str) -> Ran {
        self.curl_to("203.0.113.7", arguments, url)
    }

    /// The same, connecting to this host instead, or to the one of the URL.
    fn curl_to(&self, address: &str, arguments: &[&str], url: &str) -> Ran {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"]).arg(self.roots.path());
        curl.args(["--connect-to", &format!("::{address}:")]).args(arguments).arg(url);
        run(&mut curl, "curl")
    }

    /// The last refusal: host, port and reason.
    #[track_caller]
    fn refused(&self, before: usize) -> (String, u64, String) {
        let record = self.gate.wait_for_record_after(before, |record| record["verdict"] != "allow");
        assert_eq!(record["door"], "transparent", "{record:#}");
        let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        (word("host"), record["port"].as_u64().unwrap_or_default(), word("reason"))
    }
}

/// Each host and port that was recorded as allowed, and the address that was dialled for it.
fn allowed(gate: &Tidegate) -> Vec<(String, String)> {
    let records = gate.records();
    let allowed =
        records.iter().filter(|record| record["verdict"] == "allow" && record["kind"] == "connect" && record["duration_ms"].is_null());
    allowed.map(|record| (format!("{}:{}", record["host"].as_str().unwrap(), record["port"]), record["address"].to_string())).collect()
}

#[test]
fn curl_reaches_what_is_allowed_by_the_name_it_shows() {
    isolated("transparent::curl_reaches_what_is_allowed_by_the_name_it_shows", || {
        let ground = Ground::at("127.0.0.1:0");
        for url in [
            format!("https://allowed.test:{}/public/x", ground.opaque.port()),
            format!("https://allowed.test:{}/public/x", ground.intercepted.port()),
            format!("http://allowed.test:{}/public/x", ground.http.port()),
        ] {
            let ran = ground.curl(&[], &url);
            assert_eq!(ran.stdout, "from the origin", "{url}: {}", ran.said);
        }
        let at = |origin: &Origin| (format!("allowed.test:{}", origin.port()), "\"127.0.0.1\"".to_owned());
        assert_eq!(allowed(&ground.gate), [&ground.opaque, &ground.intercepted, &ground.http].map(at));
        let ran = ground.curl(&[], "http://tidegate.internal/session");
        assert!(ran.stdout.contains("\"entries\""), "{}", ran.said);
    });
}

#[test]
fn curl_is_told_what_is_refused() {
    isolated("transparent::curl_is_told_what_is_refused", || {
        let ground = Ground::at("127.0.0.1:0");
        let seen = || ground.gate.records().len();

        let before = seen();
        let ran = ground.curl(&[], "https://evil.test/");
        assert!(!ran.success && ran.said.contains("access denied"), "{}", ran.said);
        assert_eq!(ground.refused(before), ("evil.test".into(), 443, "host_not_allowed".into()));

        let before = seen();
        let ran = ground.curl(&["--include"], "http://evil.test/");
        assert!(ran.stdout.starts_with("HTTP/1.1 403") && ran.stdout.contains("evil.test is not on the list"), "{}", ran.said);
        assert_eq!(ground.refused(before), ("evil.test".into(), 80, "host_not_allowed".into()));

        let before = seen();
        let ran = ground.curl(&["--include"], "http://203.0.113.7/");
        assert!(ran.stdout.contains("x-deny-reason: ip_literal_not_allowed"), "{}", ran.said);
        assert_eq!(ground.refused(before), ("203.0.113.7".into(), 80, "ip_literal_not_allowed".into()));

        let before = seen();
        let ran = ground.curl(&["--include"], &format!("https://allowed.test:{}/secret", ground.intercepted.port()));
        assert!(ran.stdout.contains("x-deny-reason: path_not_allowed"), "{}", ran.said);
        assert_eq!(ground.refused(before).2, "path_not_allowed");

        let before = seen();
        let fronted = format!("https://allowed.test:{}/public/x", ground.intercepted.port());
        let ran = ground.curl(&["--include", "--header", "Host: evil.test"], &fronted);
        assert!(ran.stdout.starts_with("HTTP/1.1 421") || ran.stdout.starts_with("HTTP/2 421"), "{}", ran.said);
        assert_eq!(ground.refused(before).2, "misdirected");

        assert_eq!(ground.intercepted.received(), b"", "nothing was asked for");
        ground.opaque.assert_untouched("refused");
        ground.http.assert_untouched("refused");
    });
}

#[test]
fn ssh_prints_why_it_is_refused() {
    isolated("transparent::ssh_prints_why_it_is_refused", || {
        let ground = Ground::at("127.0.0.1:0");
        let mut ssh = program("ssh");
        let ran = run(ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "git@203.0.113.7"]), "openssh-client");
        assert!(!ran.success && ran.said.contains("Tidegate: 203.0.113.7 is an address, and no entry of"), "{}", ran.said);
        assert_eq!(ground.refused(0), ("203.0.113.7".into(), 22, "ip_literal_not_allowed".into()));
    });
}

#[test]
fn ipv6_is_redirected_as_well() {
    isolated("transparent::ipv6_is_redirected_as_well", || {
        let ground = Ground::at("[::1]:0");
        let ran = ground.curl_to("[2001:db8::7]", &[], &format!("https://allowed.test:{}/x", ground.opaque.port()));
        assert_eq!(ran.stdout, "from the origin", "{}", ran.said);
        let ran = ground.curl_to("[2001:db8::7]", &["--include"], "http://[2001:db8::7]/");
        assert!(ran.stdout.contains("x-deny-reason: ip_literal_not_allowed"), "{}", ran.said);
        assert_eq!(ground.refused(0), ("[2001:db8::7]".into(), 80, "ip_literal_not_allowed".into()));
    });
}

#[test]
fn threat_38_a_connection_to_the_listener_itself_is_a_loop() {
    isolated("transparent::threat_38_a_connection_to_the_listener_itself_is_a_loop", || {
        let ground = Ground::at("127.0.0.1:0");
        let listener = ground.gate.listener("transparent");
        let mut client = Client::connect(listener);
        client.send(Hello::to("allowed.test").bytes());
        assert_eq!(fatal_alert(&client.rest()), Some(49));
        assert_eq!(ground.refused(0), ("127.0.0.1".into(), u64::from(listener.port()), "loop_detected".into()));
        ground.opaque.assert_untouched("a loop");
    });
}

// ── names that our own DNS answers

#[test]
fn curl_reaches_what_is_allowed_by_the_address_that_its_name_was_given() {
    isolated("transparent::curl_reaches_what_is_allowed_by_the_address_that_its_name_was_given", || {
        let ground = Ground::with("127.0.0.1:0", ", { host = \"other.test:*\", tls = true }");
        for (scheme, origin) in [("https", &ground.opaque), ("https", &ground.intercepted), ("http", &ground.http)] {
            let url = format!("{scheme}://allowed.test:{}/public/x", origin.port());
            let ran = ground.curl_to("", &["--write-out", " by %{remote_ip}"], &url);
            assert!(ran.stdout.starts_with("from the origin by 198.18."), "{url}: {}", ran.said);
        }
        let ran = ground.curl_to("", &[], "http://tidegate.internal/refusals");
        assert_eq!(ran.stdout, "[]\n", "{}", ran.said);

        let before = ground.gate.records().len();
        let ran = ground.curl_to("", &[], "https://evil.test/");
        assert!(!ran.success && ran.said.contains("Could not resolve host"), "{}", ran.said);
        let record = ground.gate.wait_for_record_after(before, |record| record["verdict"] == "deny");
        assert_eq!((&record["door"], &record["host"]), (&"dns".into(), &"evil.test".into()), "{record:#}");

        let before = ground.gate.records().len();
        let ran = ground.curl_to("other.test", &[], &format!("https://allowed.test:{}/public/x", ground.opaque.port()));
        assert!(!ran.success && ran.said.contains("unrecognized name"), "{}", ran.said);
        assert_eq!(ground.refused(before), ("other.test".into(), u64::from(ground.opaque.port()), "misdirected".into()));
    });
}

#[test]
fn ssh_is_told_of_the_port_and_where_to_go_instead() {
    isolated("transparent::ssh_is_told_of_the_port_and_where_to_go_instead", || {
        let ground = Ground::at("127.0.0.1:0");
        let mut ssh = program("ssh");
        let ran = run(ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "git@allowed.test"]), "openssh-client");
        assert!(!ran.success && ran.said.contains("Tidegate: allowed.test is allowed by"), "{}", ran.said);
        assert_eq!(ground.refused(0), ("allowed.test".into(), 22, "port_not_allowed".into()));
    });
}

#[test]
fn another_port_speaks_whatever_it_likes_redis_or_a_server_that_speaks_first() {
    isolated("transparent::another_port_speaks_whatever_it_likes_redis_or_a_server_that_speaks_first", || {
        let greeting = Origin::scripted(|conversation| conversation.send(b"220 ready\r\n"));
        let redis = Redis::start();
        let ground = Ground::with("127.0.0.1:0", &format!(", \"mail.test:{}\", \"db.test:{}\"", greeting.port(), redis.port));
        let port = redis.port.to_string();
        let ran = run(program("redis-cli").args(["-h", "db.test", "-p", &port, "set", "key", "value"]), "redis-tools");
        assert_eq!(ran.stdout, "OK\n", "{}", ran.said);
        let ran = run(program("redis-cli").args(["-h", "db.test", "-p", &port, "get", "key"]), "redis-tools");
        assert_eq!(ran.stdout, "value\n", "{}", ran.said);
        let before = ground.gate.records().len();
        let ran = run(program("redis-cli").args(["-h", "db.test", "-p", "6380", "ping"]), "redis-tools");
        assert!(!ran.stdout.contains("PONG"), "{}", ran.said);
        assert_eq!(ground.refused(before), ("db.test".into(), 6380, "port_not_allowed".into()));

        let mail = ("mail.test", greeting.port()).to_socket_addrs().expect("an address").next().expect("an address");
        let said = Client::connect(mail).rest();
        assert_eq!(said.escape_ascii().to_string(), "220 ready\\r\\n");
    });
}

/// The real Redis; killed when dropped.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
        let child = redis.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("redis-server is needed ({error}): apt-get install redis-server"));
        let redis = Self { child, port };
        eventually("redis listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

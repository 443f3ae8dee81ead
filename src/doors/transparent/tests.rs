//! Connections as they come out of a redirection, to addresses that a test says they were opened to.

use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    doors::intercept::tests::{PATIENT, World, within},
    downstream::Patience,
    metrics::Door,
    policy::ForgeHosts,
    sessions::synthetic::{Lent, MAX_NAMES, Synthetic},
};

/// A redirection, and behind the gate an upstream of any protocol at every name: it says `hello`, then sends back what comes.
struct Ground {
    world: World,
    draining: watch::Sender<bool>,
    upstream: u16,
}

impl Ground {
    /// With these entries in the policy, where `ORIGIN` is the port of an origin that speaks TLS, and `UPSTREAM` the other's.
    async fn allowing(entries: &str) -> Self {
        Self::with(PATIENT, &format!("allow = [{entries}]")).await
    }

    async fn with(patience: Patience, policy: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(b"hello").await.unwrap();
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        let ground = Self { world: World::start(patience).await, draining: watch::Sender::new(false), upstream };
        ground.reload(policy);
        ground
    }

    fn reload(&self, policy: &str) {
        let (origin, upstream) = (self.world.origin.to_string(), self.upstream.to_string());
        let policy = policy.replace("ORIGIN", &origin).replace("UPSTREAM", &upstream);
        self.world.reload(&format!("access = \"custom\"\n{policy}\n[addresses]\nallow = [\"127.0.0.1/32\"]"));
    }

    /// A connection that was opened to this address, as its client has it.
    async fn opened_to(&self, original: impl Into<SocketAddr>) -> TcpStream {
        let (original, listener) = (original.into(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let visitor = Arc::new(Visitor::new(Arc::clone(&self.world.gate), Door::Transparent, None));
        let draining = self.draining.subscribe();
        tokio::spawn(async move { lead(&visitor, stream, original, &draining).await });
        client
    }

    /// The address that is lent to a name.
    async fn lent(&self, name: &str) -> Ipv4Addr {
        lend(self.session().await.session.synthetic(), name).four
    }

    async fn session(&self) -> Subject {
        Visitor::new(Arc::clone(&self.world.gate), Door::Transparent, None).identify(|| Ok(None)).await.ok().unwrap()
    }

    /// What a connection to this address is told that begins with these bytes, and how it is recorded.
    async fn refuses(&self, original: impl Into<SocketAddr>, bytes: &[u8]) -> (Told, Value) {
        let before = self.world.records().len();
        let mut client = self.opened_to(original).await;
        client.write_all(bytes).await.unwrap();
        let mut told = Vec::new();
        let ended = within(client.read_to_end(&mut told)).await;
        let told = if ended.is_ok() { Told::Said(told) } else { Told::Reset };
        drop(client);
        let mut records = self.world.records();
        let refused = records.drain(before..).find(|record| record["verdict"] != "allow").expect("a refusal on record");
        assert_eq!((&refused["door"], &refused["session"]), (&"transparent".into(), &"s".into()), "{refused:#}");
        (told, refused)
    }

    /// Where connections went that carried something, or that were dialled.
    fn allowed(&self) -> Vec<String> {
        let records = self.world.records();
        let allowed = records.iter().filter(|record| record["verdict"] == "allow" && record["duration_ms"].is_null());
        allowed.map(|record| format!("{}:{}", record["host"].as_str().unwrap(), record["port"])).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Said(Vec<u8>),
    Reset,
}

impl Told {
    /// Status and reason of an answer in HTTP.
    fn verdict(&self) -> (String, String) {
        let Self::Said(said) = self else { panic!("no answer") };
        let said = String::from_utf8(said.clone()).unwrap();
        let status = said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_else(|| panic!("{said}"));
        let reason = said.split("x-deny-reason: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or_default();
        (status.to_owned(), reason.to_owned())
    }

    fn text(&self) -> String {
        let Self::Said(said) = self else { panic!("no answer") };
        String::from_utf8_lossy(said).into_owned()
    }
}

/// Lends a name an address, as the DNS door does.
fn lend(synthetic: &Synthetic, name: &str) -> Lent {
    let host = Host::parse(name.as_bytes()).unwrap();
    let name = host.name().unwrap();
    synthetic.lend(&ForgeHosts::new([name.clone()]).decide_name(name).unwrap()).unwrap()
}

fn alert(description: u8) -> Told {
    Told::Said(vec![21, 3, 3, 0, 2, 2, description])
}

/// A `ClientHello` that names this server, or none.
fn hello(server_name: Option<&str>) -> Vec<u8> {
    let vector = |content: &[u8]| [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat();
    let extension = |name: &str| {
        let list = vector(&[&[0][..], &vector(name.as_bytes())].concat());
        [&[0, 0][..], &vector(&list)].concat()
    };
    let extensions = vector(&server_name.map(extension).unwrap_or_default());
    let body = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 1]), &[1, 0], &extensions].concat();
    let message = [&[1, 0][..], &vector(&body)].concat();
    [&[22, 3, 1][..], &vector(&message)].concat()
}

fn words(record: &Value) -> (&str, &str) {
    (record["host"].as_str().unwrap_or_default(), record["reason"].as_str().unwrap_or_default())
}

fn get(host: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

const FOREIGN: [u8; 4] = [203, 0, 113, 7];
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";

mod names {
    use super::*;

    #[tokio::test]
    async fn an_address_that_was_lent_leads_to_its_name() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("db.test").await;
        let mut client = ground.opened_to((lent, ground.upstream)).await;
        let mut said = [0; 5];
        within(client.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, b"hello", "the server speaks first");
        client.write_all(b"and I").await.unwrap();
        within(client.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, b"and I");
        assert_eq!(ground.allowed(), [format!("db.test:{}", ground.upstream)]);
        let record = &ground.world.records()[0];
        assert_eq!((&record["kind"], &record["address"]), (&"connect".into(), &"127.0.0.1".into()), "{record:#}");
    }

    #[tokio::test]
    async fn its_ipv6_address_does_as_well() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let six = lend(ground.session().await.session.synthetic(), "db.test").six;
        let mut client = ground.opened_to((six, ground.upstream)).await;
        within(client.read_exact(&mut [0; 5])).await.unwrap();
        assert_eq!(ground.allowed(), [format!("db.test:{}", ground.upstream)]);
    }

    #[tokio::test]
    async fn a_name_keeps_its_address_while_a_connection_is_open() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("db.test").await;
        let mut client = ground.opened_to((lent, ground.upstream)).await;
        within(client.read_exact(&mut [0; 5])).await.unwrap();
        let session = ground.session().await.session;
        let lend_all = |prefix| {
            for number in 0..MAX_NAMES {
                lend(session.synthetic(), &format!("{prefix}{number}.test"));
            }
        };
        lend_all("n");
        assert_eq!(ground.lent("db.test").await, lent);
        drop(client);
        within(async {
            while ground.world.records().len() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        lend_all("m");
        assert_ne!(ground.lent("db.test").await, lent, "nothing holds it any more");
    }

    #[tokio::test]
    async fn the_address_of_a_client_is_not_dialled_for_the_name_it_shows() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let hello = hello(Some("DB.test"));
        let mut client = ground.opened_to((FOREIGN, ground.upstream)).await;
        for byte in &hello {
            client.write_all(&[*byte]).await.unwrap();
        }
        let mut came = vec![0; 5 + hello.len()];
        within(client.read_exact(&mut came)).await.unwrap();
        assert_eq!(came, [b"hello", &hello[..]].concat(), "unchanged");
        assert_eq!(ground.allowed(), [format!("db.test:{}", ground.upstream)]);
        assert_eq!(ground.world.records()[0]["address"], "127.0.0.1");
    }

    #[tokio::test]
    async fn a_host_is_a_name_too() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let request = get("db.test");
        let mut client = ground.opened_to((FOREIGN, ground.upstream)).await;
        client.write_all(&request).await.unwrap();
        let mut came = vec![0; 5 + request.len()];
        within(client.read_exact(&mut came)).await.unwrap();
        assert_eq!(came, [b"hello", &request[..]].concat());
        assert_eq!(ground.allowed(), [format!("db.test:{}", ground.upstream)]);
    }

    #[tokio::test]
    async fn an_address_of_the_pool_that_stands_for_nothing_is_no_destination() {
        let ground = Ground::allowing("\"198.18.0.0/15\", \"db.test:UPSTREAM\"").await;
        let unlent = ([198, 18, 9, 9], ground.upstream);
        let (told, record) = ground.refuses(unlent, b"*1\r\n$4\r\nPING\r\n").await;
        assert_eq!((told, words(&record)), (Told::Reset, ("198.18.9.9", "ip_literal_not_allowed")));
        let (told, record) = ground.refuses(unlent, &hello(None)).await;
        assert_eq!((told, words(&record)), (alert(49), ("198.18.9.9", "ip_literal_not_allowed")));
        let mut client = ground.opened_to(unlent).await;
        client.write_all(&hello(Some("db.test"))).await.unwrap();
        within(client.read_exact(&mut [0; 5])).await.unwrap();
        assert_eq!(ground.allowed(), [format!("db.test:{}", ground.upstream)], "the name was said");
    }

    #[tokio::test]
    async fn an_address_that_is_allowed_leads_to_itself_and_its_server_may_speak_first() {
        let ground = Ground::allowing("\"127.0.0.1:UPSTREAM\"").await;
        let mut client = ground.opened_to(([127, 0, 0, 1], ground.upstream)).await;
        within(client.read_exact(&mut [0; 5])).await.unwrap();
        assert_eq!(ground.allowed(), [format!("127.0.0.1:{}", ground.upstream)]);
    }
}

mod refusals {
    use super::*;

    #[tokio::test]
    async fn threat_45_what_is_not_allowed_gets_an_alert_and_never_a_certificate() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("evil.test").await;
        for original in [SocketAddr::from((lent, 443)), (FOREIGN, 443).into()] {
            let (told, record) = ground.refuses(original, &hello(Some("evil.test"))).await;
            assert_eq!((told, words(&record)), (alert(49), ("evil.test", "host_not_allowed")), "{original}");
            assert_eq!(record["port"], 443);
        }
        let (told, record) = ground.refuses((FOREIGN, 443), &hello(None)).await;
        assert_eq!((told, words(&record)), (alert(49), ("203.0.113.7", "ip_literal_not_allowed")));
        let metrics = ground.world.gate.metrics.render();
        let mut leaves = metrics.lines().filter(|line| line.starts_with("tidegate_leaf_certificates_total{"));
        assert!(leaves.all(|line| line.ends_with(" 0")), "{metrics}");
        assert!(ground.allowed().is_empty());
        assert_eq!(ground.session().await.session.refusals().len(), 3, "on the session's pages");
    }

    #[tokio::test]
    async fn threat_39_another_name_than_the_address_was_lent_for() {
        let ground = Ground::allowing("{ host = \"a.test:UPSTREAM\", tls = true }, { host = \"b.test:UPSTREAM\", tls = true }").await;
        let lent = ground.lent("a.test").await;
        let (told, record) = ground.refuses((lent, ground.upstream), &hello(Some("b.test"))).await;
        assert_eq!((told, words(&record)), (alert(112), ("a.test", "misdirected")));
        assert_eq!(record["bytes_up"], 0);
    }

    #[tokio::test]
    async fn threat_40_server_names_that_are_none() {
        let ground = Ground::allowing("\"203.0.113.7\", \"db.test\"").await;
        for name in ["203.0.113.7", "db.test\0.evil.test", "", "db..test"] {
            let (told, record) = ground.refuses((FOREIGN, 443), &hello(Some(name))).await;
            assert_eq!((told, words(&record)), (alert(112), ("203.0.113.7", "misdirected")), "{name:?}");
        }
        assert!(ground.allowed().is_empty());
    }

    #[tokio::test]
    async fn http_is_answered_in_http() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let (told, record) = ground.refuses((FOREIGN, 80), &get("evil.test")).await;
        assert_eq!((told.verdict(), words(&record)), (("403".into(), "host_not_allowed".into()), ("evil.test", "host_not_allowed")));
        assert!(told.text().contains("evil.test is not on the list"), "{}", told.text());
        let lent = ground.lent("evil.test").await;
        let (told, _) = ground.refuses((lent, 80), b"GET / HTTP/1.1\r\nHost: evil.test\r\nAccept: application/json\r\n\r\n").await;
        let facts = told.text().split("\r\n\r\n").nth(1).map(serde_json::from_str::<Value>).unwrap().unwrap();
        assert_eq!((&facts["reason"], &facts["port"]), (&"host_not_allowed".into(), &80.into()));
        for request in [&b"GET / HTTP/1.0\r\n\r\n"[..], &get("203.0.113.7"), &get("198.51.100.1"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (told, record) = ground.refuses((FOREIGN, 80), request).await;
            assert_eq!(told.verdict(), ("403".into(), "ip_literal_not_allowed".into()), "{}", request.escape_ascii());
            assert_eq!(words(&record).0, "203.0.113.7");
        }
        let (told, record) = ground.refuses((FOREIGN, 80), b"GET / HTTP/1.1\r\nHost: db.test\r\nHost: evil.test\r\n\r\n").await;
        assert_eq!((told.verdict(), words(&record).1), (("400".into(), "bad_request".into()), "bad_request"));
        assert!(ground.allowed().is_empty());
    }

    #[tokio::test]
    async fn ssh_is_answered_by_a_disconnect() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let (told, record) = ground.refuses((FOREIGN, 22), SSH).await;
        assert!(told.text().starts_with("SSH-2.0-Tidegate\r\n"), "{}", told.text());
        assert!(told.text().contains("Tidegate: 203.0.113.7 is an address, and no entry of policy.toml spells it out."), "{}", told.text());
        assert_eq!(words(&record), ("203.0.113.7", "ip_literal_not_allowed"));
    }

    #[tokio::test]
    async fn whatever_else_is_spoken_is_broken_off() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("db.test").await;
        for bytes in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"\x05\x01\0", b"QUIT\n"] {
            let (told, record) = ground.refuses((lent, 5432), bytes).await;
            assert_eq!((told, words(&record)), (Told::Reset, ("db.test", "port_not_allowed")), "{}", bytes.escape_ascii());
        }
        assert!(ground.allowed().is_empty());
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for_long() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("evil.test").await;
        let (told, record) = ground.refuses((lent, 25), b"").await;
        assert_eq!((told, words(&record)), (Told::Reset, ("evil.test", "host_not_allowed")));
        let ground = Ground::with(Patience { client_hello: Duration::from_millis(200), ..PATIENT }, "").await;
        let (told, record) = ground.refuses((FOREIGN, 25), b"").await;
        assert_eq!((told, words(&record)), (Told::Reset, ("203.0.113.7", "ip_literal_not_allowed")));
    }

    #[tokio::test]
    async fn threat_38_a_connection_to_this_proxy_itself_is_a_loop() {
        let ground = Ground::allowing("\"127.0.0.1:UPSTREAM\", \"db.test:UPSTREAM\"").await;
        let mut own = crate::policy::Own::clone(&ground.world.gate.upstream.own());
        own.listeners.push(([127, 0, 0, 1], 3130).into());
        ground.world.gate.upstream.set_own(own);
        for bytes in [&hello(Some("db.test"))[..], b"any bytes\n"] {
            let (_, record) = ground.refuses(([127, 0, 0, 1], 3130), bytes).await;
            assert_eq!(words(&record), ("127.0.0.1", "loop_detected"));
        }
        let (told, _) = ground.refuses(([127, 0, 0, 1], 3130), &get("db.test")).await;
        assert_eq!(told.verdict(), ("508".into(), "loop_detected".into()));
        assert!(ground.allowed().is_empty());
    }

    #[tokio::test]
    async fn threat_50_another_language_than_the_port_wants() {
        let entries = "{ host = \"tls.test:UPSTREAM\", tls = true }, { host = \"http.test:UPSTREAM\", http = true }";
        let ground = Ground::allowing(entries).await;
        let (tls, http) = (ground.lent("tls.test").await, ground.lent("http.test").await);
        let (told, record) = ground.refuses((tls, ground.upstream), &get("tls.test")).await;
        assert_eq!((told.verdict(), words(&record).1), (("403".into(), "opaque_tunnel".into()), "opaque_tunnel"));
        let (told, record) = ground.refuses((tls, ground.upstream), SSH).await;
        assert!(told.text().contains("TLS is expected"), "{}", told.text());
        assert_eq!(words(&record), ("tls.test", "opaque_tunnel"));
        let (told, record) = ground.refuses((http, ground.upstream), &hello(Some("http.test"))).await;
        assert_eq!((told, words(&record)), (alert(49), ("http.test", "bad_request")));
        let (told, _) = ground.refuses((http, ground.upstream), SSH).await;
        assert!(told.text().starts_with("SSH-2.0-Tidegate\r\n"), "{}", told.text());
        let (told, _) = ground.refuses((http, ground.upstream), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert_eq!(told.verdict(), ("405".into(), "method_refused".into()));
    }

    #[tokio::test]
    async fn threats_19_and_20_tunnels_and_prefaces_of_proxies() {
        let ground = Ground::allowing("{ host = \"http.test:UPSTREAM\", http = true }").await;
        let http = ground.lent("http.test").await;
        let (told, _) = ground.refuses((http, ground.upstream), b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n").await;
        assert_eq!(told.verdict(), ("405".into(), "method_refused".into()));
        let preface = [b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", &get("http.test")[..]].concat();
        for original in [SocketAddr::from((http, ground.upstream)), (FOREIGN, ground.upstream).into()] {
            let (told, _) = ground.refuses(original, &preface).await;
            assert_eq!(told.verdict(), ("400".into(), "bad_request".into()));
        }
    }

    #[tokio::test]
    async fn trouble_is_no_denial() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap().port();
        drop(listener);
        let ground = Ground::allowing(&format!("{{ host = \"db.test:{nobody}\", tls = true }}")).await;
        let lent = ground.lent("db.test").await;
        let (told, record) = ground.refuses((lent, nobody), &hello(Some("db.test"))).await;
        assert_eq!((told, words(&record)), (alert(80), ("db.test", "connect_failed")));
    }
}

mod read {
    use super::*;

    #[tokio::test]
    async fn tls_that_ends_here_shows_a_certificate_for_the_name() {
        let ground = Ground::allowing("{ host = \"origin.test:ORIGIN\", tls = true, intercept = true }").await;
        let lent = ground.lent("origin.test").await;
        for original in [SocketAddr::from((lent, ground.world.origin)), (FOREIGN, ground.world.origin).into()] {
            let client = ground.opened_to(original).await;
            let mut client = within(ground.world.shake_hands("origin.test", &[b"http/1.1"], client)).await.unwrap();
            client.write_all(&get(&format!("origin.test:{}", ground.world.origin))).await.unwrap();
            let mut came = vec![0; 4096];
            let length = within(client.read(&mut came)).await.unwrap();
            assert!(came[..length].starts_with(b"HTTP/1.1 200 OK"), "{}", came[..length].escape_ascii());
            client.write_all(&get("other.test")).await.unwrap();
            let length = within(client.read(&mut came)).await.unwrap();
            assert!(came[..length].starts_with(b"HTTP/1.1 421"), "{}", came[..length].escape_ascii());
        }
        assert_eq!(ground.world.asked().len(), 2);
    }

    #[tokio::test]
    async fn this_proxys_pages_answer_by_their_name() {
        let ground = Ground::allowing("\"db.test:UPSTREAM\"").await;
        let lent = ground.lent("tidegate.internal").await;
        for original in [SocketAddr::from((lent, 80)), (FOREIGN, 80).into()] {
            let mut client = ground.opened_to(original).await;
            client.write_all(b"GET /session HTTP/1.1\r\nHost: tidegate.internal\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut came = String::new();
            within(client.read_to_string(&mut came)).await.unwrap();
            assert!(came.starts_with("HTTP/1.1 200 OK") && came.contains("\"session\": \"s\""), "{came}");
        }
        let (told, record) = ground.refuses((lent, 443), &hello(Some("tidegate.internal"))).await;
        assert_eq!((told, words(&record)), (alert(49), ("tidegate.internal", "port_not_allowed")));
    }

    #[tokio::test]
    async fn the_hosts_of_a_github_are_read_whatever_the_policy_says() {
        let mut ground = Ground::allowing("\"forge.test:*\"").await;
        let host = Host::parse(b"forge.test").unwrap();
        Arc::get_mut(&mut ground.world.gate).unwrap().forge_hosts = ForgeHosts::new(host.name().cloned());
        let lent = ground.lent("forge.test").await;
        for original in [SocketAddr::from((lent, 443)), (FOREIGN, 443).into()] {
            let client = ground.opened_to(original).await;
            let mut client = within(ground.world.shake_hands("forge.test", &[b"http/1.1"], client)).await.unwrap();
            client.write_all(&get("forge.test")).await.unwrap();
            let mut came = vec![0; 4096];
            let length = within(client.read(&mut came)).await.unwrap();
            assert!(came[..length].starts_with(b"HTTP/1.1 403"), "{}", came[..length].escape_ascii());
        }
        let (told, record) = ground.refuses((lent, 22), SSH).await;
        assert!(told.text().contains("https://forge.test/OWNER/NAME.git"), "{}", told.text());
        assert_eq!(words(&record), ("forge.test", "port_not_allowed"));
    }
}

//! A real TLS client, the intercepted tunnel, and an origin that says what it was asked.

use std::{convert::Infallible, path::PathBuf, sync::Mutex, time::SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn as server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::{
    audit::{Audit, OnFailure, Target},
    authority::LocalAuthority,
    backend::Backend,
    credentials::Equipped,
    destination::Destination,
    downstream::Patience,
    limits::{Guesses, Strangers},
    metrics::{Door, Metrics},
    policy::{Facts, ForgeHosts, Own, Policy, Way, grant::Grant},
    processes::{Diagnosis, Processes},
    sessions::{Entry, SessionSettings, Sessions, Settings},
    upstream::{
        ExchangeTimeouts, LazyTlsClient, NameServers, Upstream, UpstreamSettings,
        tests::{NameServer, Reply, v4},
    },
};

const LIMIT: Duration = Duration::from_secs(20);
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const SHORT: Duration = Duration::from_millis(200);

pub(in crate::doors) const PATIENT: Patience =
    Patience { head: LIMIT, body: LIMIT, keep_alive: LIMIT, client_hello: LIMIT, handshake: LIMIT, idle: LIMIT };

/// One session that may reach `origin.test`, and what is behind that name.
pub(in crate::doors) struct World {
    pub(in crate::doors) gate: Arc<Gate>,
    pub(in crate::doors) origin: u16,
    asked: Arc<Mutex<Vec<String>>>,
    draining: watch::Sender<bool>,
    directory: tempfile::TempDir,
}

impl World {
    pub(in crate::doors) async fn start(patience: Patience) -> Self {
        Self::before(patience, BOTH, roots()).await
    }

    /// There is no place for keys.
    async fn without_authority() -> Self {
        let mut world = Self::start(PATIENT).await;
        let gate = Arc::get_mut(&mut world.gate).unwrap();
        gate.authority = LocalAuthority::new(None, Arc::clone(&gate.metrics), now()).unwrap();
        world
    }

    /// An origin that speaks `alpn`, and whose certificate is judged by the roots that are `trusted`.
    async fn before(patience: Patience, alpn: &[&[u8]], trusted: Vec<CertificateDer<'static>>) -> Self {
        let asked = Arc::default();
        let origin = origin(alpn, Arc::clone(&asked)).await;
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let names = NameServer::start(|_, _| Reply::Records(vec![v4([127, 0, 0, 1])])).await;
        let name_servers = NameServers::One(names.address);
        let upstream = UpstreamSettings { name_servers, dns_timeout: LIMIT, connect_timeout: LIMIT, keep_alive: LIMIT };
        let audit = Target::File(directory.path().join("audit.jsonl"));
        let gate = Arc::new(Gate {
            sessions: Sessions::new(Entry::Bound("s".into()), settings(&allowing(origin)), None, now()).unwrap(),
            guesses: Guesses::default(),
            bind_tokens: false,
            strangers: Strangers::new(16),
            upstream: Upstream::new(&upstream, Arc::clone(&metrics)).unwrap(),
            forges: crate::passage::Forges::default(),
            forge_hosts: ForgeHosts::default(),
            backend: Backend::new(None),
            owner: crate::respond::Owner::Writing,
            authority: LocalAuthority::new(Some(&directory.path().join("state")), Arc::clone(&metrics), now()).unwrap(),
            audit: Audit::open(audit, OnFailure::Refuse, now, Arc::clone(&metrics)).unwrap(),
            metrics,
            processes: Processes::new(Diagnosis::of(None)),
            patience,
            timeouts: ExchangeTimeouts { tls_handshake: LIMIT, first_byte: LIMIT, idle: LIMIT },
            tls: arc_swap::ArcSwap::from_pointee(LazyTlsClient::new(trusted)),
            held: crate::credentials::Held::default(),
            clock: now,
            via: HeaderValue::from_static("1.1 tidegate-test"),
        });
        Self { gate, origin, asked, draining: watch::Sender::new(false), directory }
    }

    fn authority(&self) -> String {
        format!("origin.test:{}", self.origin)
    }

    /// A tunnel that CONNECT has just opened.
    async fn open(&self) -> (TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let visitor = Arc::new(Visitor::new(Arc::clone(&self.gate), Door::Proxy, None));
        let subject = visitor.identify(|| Ok(None)).await.ok().unwrap();
        let destination = Destination::parse(self.authority().as_bytes(), None).unwrap();
        let facts = Facts { destination: &destination, way: Way::Connect, now: now() };
        let admitted = subject.policy().decide_destination(&facts).unwrap().admit(&[[127, 0, 0, 1].into()], &Own::default()).unwrap();
        let dialled = self.gate.upstream.dial(admitted).await.unwrap();
        let slot = self.gate.within(subject.session.limits().tunnel()).ok().unwrap();
        let mut asked = Asked::new(Door::Proxy, Kind::Connect);
        asked.destination = Some(destination);
        let interception = dialled.permit().interception().unwrap();
        let opened = Opened { subject, asked, beyond: Beyond::Upstream(interception, Box::new(dialled)), slot };
        let downstream = Downstream::new(stream, self.gate.patience, Arc::clone(visitor.stranger.known()));
        let draining = self.draining.subscribe();
        let served = tokio::spawn(async move { serve(&visitor, downstream, opened, &draining).await });
        (sandbox, served)
    }

    /// The inside of a tunnel.
    async fn inside(&self, alpn: &[&[u8]]) -> (client::TlsStream<TcpStream>, JoinHandle<()>) {
        let (sandbox, served) = self.open().await;
        (self.shake_hands("origin.test", alpn, sandbox).await.unwrap(), served)
    }

    /// The only root that the sandbox trusts.
    fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.gate.authority.get(now()).unwrap().pem().as_bytes()).unwrap()
    }

    pub(in crate::doors) async fn shake_hands(
        &self,
        name: &'static str,
        alpn: &[&[u8]],
        sandbox: TcpStream,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let connector = TlsConnector::from(client_config(&[self.root()], alpn));
        connector.connect(ServerName::try_from(name).unwrap(), sandbox).await
    }

    /// Only what the origin was asked, in the order it was asked.
    pub(in crate::doors) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn was_asked(&self) {
        while self.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    pub(in crate::doors) fn records(&self) -> Vec<Value> {
        let path: PathBuf = self.directory.path().join("audit.jsonl");
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Kind and reason of every record.
    fn reasons(&self) -> Vec<(String, String)> {
        let word = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
        self.records().iter().map(|record| (word(record, "kind"), word(record, "reason"))).collect()
    }

    pub(in crate::doors) fn reload(&self, policy: &str) {
        self.gate.sessions.apply(settings(policy)).unwrap();
    }
}

/// Noon of a day on which the test's certificates hold.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400)
}

/// The clock of the sandbox.
#[derive(Debug)]
struct Stopped;

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

fn settings(policy: &str) -> Settings {
    let (policy, _) = Policy::parse("policy.toml", policy).unwrap();
    let policy = Arc::new(Equipped::bare(policy));
    let session = SessionSettings {
        id: "s".into(),
        token: None,
        expires: None,
        policy,
        grant: Grant::default(),
        credentials: std::collections::BTreeMap::new(),
    };
    Settings { sessions: vec![session], policy: None, patience: LIMIT, first: None }
}

fn allowing(port: u16) -> String {
    format!(
        "access = \"custom\"\nallow = [{{ host = \"origin.test:{port}\", tls = true, intercept = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]"
    )
}

/// Answers with what it was asked: `/204`, `/304` with that status, everything else with its method, target, Host and body.
async fn origin(alpn: &[&[u8]], asked: Arc<Mutex<Vec<String>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(server_config(alpn));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (asked, acceptor) = (Arc::clone(&asked), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| said(request, Arc::clone(&asked)));
                let stream = TokioIo::new(stream);
                if is_http2 {
                    drop(server::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await);
                } else {
                    drop(server::http1::Builder::new().serve_connection(stream, service).await);
                }
            });
        }
    });
    port
}

async fn said(request: Request<Incoming>, asked: Arc<Mutex<Vec<String>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(ToString::to_string);
    let host = authority.or(parts.headers.get("host").and_then(|host| host.to_str().ok()).map(ToOwned::to_owned));
    let said = format!("{} {} {}", parts.method, parts.uri.path_and_query().unwrap(), host.unwrap_or_default());
    asked.lock().unwrap().push(said.clone());
    let body = gather(body).await;
    if parts.uri.path() == "/wait" {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(Full::new([said.as_bytes(), b" ", &body].concat().into()));
    if let Ok(status) = parts.uri.path()[1..].parse::<StatusCode>() {
        *response.status_mut() = status;
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

async fn gather(mut body: Incoming) -> Vec<u8> {
    let mut gathered = Vec::new();
    while let Some(frame) = body.frame().await {
        gathered.extend_from_slice(frame.unwrap().data_ref().map_or(&[], |data| data));
    }
    gathered
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn server_config(alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(&pem("origin.pem")).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem("origin.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn client_config(roots: &[CertificateDer<'static>], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let builder = ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(Stopped));
    let mut config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn roots() -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(&pem("ca.pem")).collect::<Result<_, _>>().unwrap()
}

pub(in crate::doors) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("in time")
}

mod handshakes {
    use super::*;

    #[tokio::test]
    async fn threat_39_another_server_name_is_refused_by_an_alert() {
        let world = World::start(PATIENT).await;
        let (sandbox, served) = world.open().await;
        let error = within(world.shake_hands("other.test", &[], sandbox)).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), "misdirected".to_owned())]);
    }

    #[tokio::test]
    async fn what_is_no_tls_is_refused() {
        let world = World::start(PATIENT).await;
        let (mut sandbox, served) = world.open().await;
        sandbox.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut nothing = Vec::new();
        within(sandbox.read_to_end(&mut nothing)).await.unwrap();
        assert_eq!(nothing, b"");
        drop(sandbox);
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), "opaque_tunnel".to_owned())]);
    }

    #[tokio::test]
    async fn one_that_stands_still_ends_in_time() {
        let world = World::start(Patience { handshake: SHORT, ..PATIENT }).await;
        let (mut sandbox, served) = world.open().await;
        let name = ServerName::try_from("origin.test").unwrap();
        let mut client = rustls::ClientConnection::new(client_config(&[world.root()], &[]), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        sandbox.write_all(&hello).await.unwrap();
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), "head_timeout".to_owned())]);
        assert!(world.gate.metrics.render().contains("tidegate_tls_handshake_seconds_count{side=\"downstream\"} 1"));
    }

    #[tokio::test]
    async fn a_client_that_does_not_trust_the_authority_is_on_record() {
        let world = World::start(PATIENT).await;
        let (sandbox, served) = world.open().await;
        let connector = TlsConnector::from(client_config(&[], &[]));
        within(connector.connect(ServerName::try_from("origin.test").unwrap(), sandbox)).await.unwrap_err();
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), "tls_failed".to_owned())]);
    }

    #[tokio::test]
    async fn threat_49_a_protocol_that_is_not_spoken_is_no_agreement() {
        let world = World::start(PATIENT).await;
        let (sandbox, served) = world.open().await;
        let error = within(world.shake_hands("origin.test", &[b"acme-tls/1"], sandbox)).await.unwrap_err();
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        within(served).await.unwrap();
    }
}

mod over_http1 {
    use super::*;

    /// Everything that comes back until the connection is closed in order.
    async fn ask(world: &World, alpn: &[&[u8]], requests: &str) -> String {
        let (mut inside, served) = world.inside(alpn).await;
        let requests = requests.replace("ORIGIN", &world.authority());
        inside.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = String::new();
        within(inside.read_to_string(&mut answers)).await.unwrap();
        drop(inside);
        within(served).await.unwrap();
        answers
    }

    fn statuses(answers: &str) -> Vec<&str> {
        answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).filter(|status| status.parse::<u16>().is_ok()).collect()
    }

    #[tokio::test]
    async fn requests_of_one_connection_are_judged_and_passed_on() {
        for alpn in [HTTP1, BOTH] {
            pass_on_two(World::before(PATIENT, alpn, roots()).await).await;
        }
    }

    async fn pass_on_two(world: World) {
        let two = "GET /1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n\
                   POST /2 HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
        let answers = ask(&world, HTTP1, two).await;
        assert_eq!(statuses(&answers), ["200", "200"], "{answers}");
        let authority = world.authority();
        assert!(answers.ends_with(&format!("POST /2 {authority} body")), "{answers}");
        assert_eq!(world.asked(), [format!("GET /1 {authority}"), format!("POST /2 {authority}")]);
        let records = world.records();
        let decided: Vec<_> = records.iter().map(|record| (&record["kind"], &record["verdict"])).collect();
        assert_eq!(serde_json::to_string(&decided).unwrap(), r#"[["http","allow"],["http","allow"],["connect","allow"]]"#);
        assert_eq!(records[2]["bytes_up"], 4, "{records:?}");
    }

    #[tokio::test]
    async fn it_is_spoken_where_nothing_was_agreed_on() {
        let world = World::start(PATIENT).await;
        let answers = ask(&world, &[], "GET /1 HTTP/1.1\r\nHost: ORIGIN\r\nConnection: close\r\n\r\n").await;
        assert_eq!(statuses(&answers), ["200"]);
    }

    #[tokio::test]
    async fn threat_42_every_request_names_the_one_server() {
        let good = "GET /1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";
        for bad in [
            "GET /2 HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "GET /2 HTTP/1.1\r\nHost: origin.test:1\r\n\r\n",
            "GET https://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "GET https://other.test/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
            "GET https://ORIGIN/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
        ] {
            let world = World::start(PATIENT).await;
            // What is pipelined behind a refusal is not executed.
            let answers = ask(&world, HTTP1, &format!("{bad}{good}")).await;
            assert_eq!(statuses(&answers), ["421"], "{bad}: {answers}");
            assert!(answers.contains("x-deny-reason: misdirected"), "{answers}");
            assert_eq!(world.asked(), [""; 0]);
            let answers = ask(&world, HTTP1, &format!("{good}{bad}{good}")).await;
            assert_eq!(statuses(&answers), ["200", "421"], "{bad}: {answers}");
            assert_eq!(world.asked().len(), 1);
        }
    }

    #[tokio::test]
    async fn threat_44_an_origin_that_nobody_vouches_for_is_trouble_inside() {
        let world = World::before(PATIENT, BOTH, Vec::new()).await;
        let answers = ask(&world, HTTP1, "GET /1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n").await;
        assert_eq!(statuses(&answers), ["502"], "{answers}");
        assert!(answers.contains("x-deny-reason: tls_failed"), "{answers}");
        assert_eq!(world.asked(), [""; 0]);
    }

    #[tokio::test]
    async fn absolute_form_may_name_the_server() {
        let world = World::start(PATIENT).await;
        let answers = ask(&world, HTTP1, "GET https://ORIGIN/1?q HTTP/1.1\r\nHost: ORIGIN\r\nConnection: close\r\n\r\n").await;
        assert_eq!(statuses(&answers), ["200"], "{answers}");
        assert_eq!(world.asked(), [format!("GET /1?q {}", world.authority())]);
    }

    #[tokio::test]
    async fn what_two_readers_could_read_differently_is_refused() {
        for (bad, status) in [
            ("POST / HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody", "400"),
            ("GET / HTTP/1.1\r\nHost: ORIGIN\r\nHost: ORIGIN\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\nHost: ORIGIN\n\n", "400"),
            ("GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", "400"),
            ("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n", "405"),
            ("TRACE / HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", "405"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "405"),
        ] {
            let world = World::start(PATIENT).await;
            let answers = ask(&world, HTTP1, bad).await;
            assert_eq!(statuses(&answers), [status], "{bad}: {answers}");
            assert_eq!(world.asked(), [""; 0], "{bad}");
        }
    }

    #[tokio::test]
    async fn threat_66_answers_without_a_body_end_at_their_heads() {
        let world = World::start(PATIENT).await;
        let requests = "HEAD /1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\nGET /204 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n\
                        GET /304 HTTP/1.1\r\nHost: ORIGIN\r\n\r\nGET /2 HTTP/1.1\r\nHost: ORIGIN\r\nConnection: close\r\n\r\n";
        let answers = ask(&world, HTTP1, requests).await;
        assert_eq!(statuses(&answers), ["200", "204", "304", "200"], "{answers}");
        assert!(answers.ends_with(&format!("GET /2 {} ", world.authority())), "{answers}");
    }

    #[tokio::test]
    async fn a_reload_that_withdraws_the_destination_ends_a_waiting_connection() {
        let world = World::start(PATIENT).await;
        let (mut inside, served) = world.inside(HTTP1).await;
        world.reload("access = \"none\"");
        let mut nothing = Vec::new();
        let _ = within(inside.read_to_end(&mut nothing)).await;
        assert_eq!(nothing, b"");
        drop(inside);
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), "network_disabled".to_owned())]);
    }

    #[tokio::test]
    async fn a_reload_tells_the_request_that_is_under_way() {
        let world = World::start(PATIENT).await;
        let (mut inside, served) = world.inside(HTTP1).await;
        inside.write_all(format!("GET /wait HTTP/1.1\r\nHost: {}\r\n\r\n", world.authority()).as_bytes()).await.unwrap();
        within(world.was_asked()).await;
        world.reload("access = \"none\"");
        let mut answer = Vec::new();
        let _ = within(inside.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("x-deny-reason: network_disabled"), "{answer}");
        drop(inside);
        within(served).await.unwrap();
    }

    #[tokio::test]
    async fn draining_ends_a_connection_that_waits() {
        let world = World::start(PATIENT).await;
        let (mut inside, served) = world.inside(HTTP1).await;
        world.draining.send_replace(true);
        let mut nothing = Vec::new();
        within(inside.read_to_end(&mut nothing)).await.unwrap();
        drop(inside);
        within(served).await.unwrap();
        assert_eq!(world.reasons(), [("connect".to_owned(), String::new())]);
    }
}

mod over_http2 {
    use http::{HeaderMap, Method, header};
    use hyper::client::conn::http2::{self, SendRequest};
    use tokio::task::JoinSet;

    use super::*;

    type Sender = SendRequest<Full<Bytes>>;

    /// A client, the end of its connection, and the end of the tunnel.
    async fn connect(world: &World) -> (Sender, JoinHandle<hyper::Result<()>>, JoinHandle<()>) {
        let (inside, served) = world.inside(BOTH).await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(inside)).await.unwrap();
        (sender, tokio::spawn(connection), served)
    }

    fn get(uri: &str) -> Request<Full<Bytes>> {
        Request::builder().uri(uri).body(Full::default()).unwrap()
    }

    async fn ask(sender: &mut Sender, request: Request<Full<Bytes>>) -> (u16, HeaderMap, String) {
        let (parts, body) = within(sender.send_request(request)).await.unwrap().into_parts();
        (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&within(gather(body)).await).into_owned())
    }

    #[tokio::test]
    async fn a_hundred_streams_at_once() {
        for alpn in [HTTP1, BOTH] {
            pass_on_a_hundred(World::before(PATIENT, alpn, roots()).await).await;
        }
    }

    async fn pass_on_a_hundred(world: World) {
        let (sender, connection, served) = connect(&world).await;
        let mut streams = JoinSet::new();
        for number in 0..100 {
            let (mut sender, authority) = (sender.clone(), world.authority());
            streams.spawn(async move {
                let body = Full::from(format!("body {number}"));
                let request = Request::post(format!("https://{authority}/{number}")).body(body).unwrap();
                (number, ask(&mut sender, request).await)
            });
        }
        let authority = world.authority();
        while let Some(done) = within(streams.join_next()).await {
            let (number, (status, _, said)) = done.unwrap();
            assert_eq!((status, said), (200, format!("POST /{number} {authority} body {number}")));
        }
        drop(sender);
        within(connection).await.unwrap().unwrap();
        within(served).await.unwrap();
        let reasons = world.reasons();
        assert_eq!(reasons.iter().filter(|(kind, reason)| kind == "http" && reason.is_empty()).count(), 100);
        assert_eq!(reasons.last().unwrap(), &("connect".to_owned(), String::new()));
    }

    #[tokio::test]
    async fn threat_42_every_stream_names_the_one_server() {
        let world = World::start(PATIENT).await;
        let (mut sender, _connection, _served) = connect(&world).await;
        let here = format!("https://{}/1", world.authority());
        assert_eq!(ask(&mut sender, get(&here)).await.0, 200);
        let mut both = get(&here);
        both.headers_mut().insert(header::HOST, HeaderValue::from_static("other.test"));
        for request in [get("https://other.test/"), get("https://origin.test:1/"), get("https://www.origin.test/"), both] {
            let (status, headers, text) = ask(&mut sender, request).await;
            assert_eq!((status, headers["x-deny-reason"].as_bytes()), (421, &b"misdirected"[..]), "{text}");
        }
        // The stream ended, not the connection.
        assert_eq!(ask(&mut sender, get(&here)).await.0, 200);
        assert_eq!(world.asked().len(), 2);
    }

    #[tokio::test]
    async fn what_no_request_may_be_is_refused_on_its_stream() {
        let world = World::start(PATIENT).await;
        let (mut sender, _connection, _served) = connect(&world).await;
        let here = format!("https://{}/", world.authority());
        let mut trace = get(&here);
        *trace.method_mut() = Method::TRACE;
        let mut disguised = get(&here);
        disguised.headers_mut().insert("content_length", HeaderValue::from_static("5"));
        for (request, refused) in [(trace, 405), (disguised, 400), (get(&here.replace("https", "http")), 400)] {
            let (status, headers, text) = ask(&mut sender, request).await;
            assert_eq!((status, headers.get(header::CONNECTION)), (refused, None), "{text}");
        }
        let mut connect = get("other.test:443");
        *connect.method_mut() = Method::CONNECT;
        let refused = within(sender.send_request(connect)).await.unwrap();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()["x-deny-reason"], "method_refused");
        assert_eq!(world.asked(), [""; 0]);
    }

    #[tokio::test]
    async fn a_reload_that_withdraws_the_destination_ends_the_connection_and_its_streams() {
        let world = World::start(PATIENT).await;
        let (mut sender, connection, served) = connect(&world).await;
        let waiting = sender.send_request(get(&format!("https://{}/wait", world.authority())));
        let (refused, ()) = within(async {
            tokio::join!(waiting, async {
                world.was_asked().await;
                world.reload("access = \"none\"");
            })
        })
        .await;
        assert_eq!(refused.unwrap().headers()["x-deny-reason"], "network_disabled");
        let _ = within(connection).await.unwrap();
        within(served).await.unwrap();
        assert_eq!(world.reasons().last().unwrap(), &("connect".to_owned(), "network_disabled".to_owned()));
    }

    #[tokio::test]
    async fn a_connection_without_a_stream_ends_in_time() {
        let world = World::start(Patience { keep_alive: SHORT, ..PATIENT }).await;
        let (mut sender, connection, served) = connect(&world).await;
        assert_eq!(ask(&mut sender, get(&format!("https://{}/1", world.authority()))).await.0, 200);
        within(connection).await.unwrap().unwrap();
        within(served).await.unwrap();
        assert_eq!(world.reasons().last().unwrap(), &("connect".to_owned(), String::new()));
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_ends_in_time() {
        let world = World::start(Patience { keep_alive: SHORT, ..PATIENT }).await;
        let (_inside, served) = world.inside(&[b"h2"]).await;
        within(served).await.unwrap();
    }

    /// Frames by hand: a client that opens streams and takes them back (CVE-2023-44487).
    #[tokio::test]
    async fn threat_69_streams_that_are_reset_at_once_end_the_connection() {
        let world = World::start(PATIENT).await;
        let (inside, served) = world.inside(&[b"h2"]).await;
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        let authority = world.authority();
        let mut block = vec![0x82, 0x87, 0x84, 0x41, u8::try_from(authority.len()).unwrap()];
        block.extend_from_slice(authority.as_bytes());
        for stream in (1..4000_u32).step_by(2) {
            flood.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 5]);
            flood.extend_from_slice(&stream.to_be_bytes());
            flood.extend_from_slice(&block);
            flood.extend_from_slice(&[0, 0, 4, 3, 0]);
            flood.extend_from_slice(&stream.to_be_bytes());
            flood.extend_from_slice(&[0, 0, 0, 8]);
        }
        let (mut read, mut write) = tokio::io::split(inside);
        let sending = tokio::spawn(async move { drop((write.write_all(&flood).await, write.flush().await)) });
        let mut answered = Vec::new();
        let _ = within(read.read_to_end(&mut answered)).await;
        within(served).await.unwrap();
        sending.abort();
        // ENHANCE_YOUR_CALM (RFC 9113, section 7).
        assert_eq!(goaway(&answered), Some(0xb));
    }

    /// The error code of the first GOAWAY.
    fn goaway(mut frames: &[u8]) -> Option<u32> {
        while let Some((head, rest)) = frames.split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (payload, more) = rest.split_at_checked(length)?;
            if head[3] == 7 {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
            frames = more;
        }
        None
    }
}

mod by_connect {
    use super::*;

    /// What CONNECT is answered, on the connection that it was sent on.
    async fn connect(world: &World) -> (TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sandbox = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(crate::doors::serve(Arc::clone(&world.gate), Door::Proxy, stream, world.draining.subscribe()));
        sandbox.write_all(format!("CONNECT {} HTTP/1.1\r\nHost: {0}\r\n\r\n", world.authority()).as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(within(sandbox.read_u8()).await.unwrap()));
        }
        (sandbox, head)
    }

    fn with_rule(port: u16) -> String {
        format!("{}\n[[rule]]\nname = \"reads\"\nhosts = [\"origin.test\"]\nmethods = [\"GET\"]\npaths = [\"/open/**\"]\n", allowing(port))
    }

    #[tokio::test]
    async fn a_rule_is_held_inside_tls() {
        let world = World::start(PATIENT).await;
        world.reload(&with_rule(world.origin));
        for (request, status) in [("GET /open/1", "200"), ("GET /other", "403"), ("POST /open/1", "403")] {
            let (sandbox, head) = connect(&world).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let mut inside = within(world.shake_hands("origin.test", HTTP1, sandbox)).await.unwrap();
            let request = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", world.authority());
            inside.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            within(inside.read_to_string(&mut answer)).await.unwrap();
            assert_eq!(answer.get(9..12), Some(status), "{request}: {answer}");
        }
        assert_eq!(world.asked(), [format!("GET /open/1 {}", world.authority())]);
    }

    #[tokio::test]
    async fn without_an_authority_nothing_is_let_through_unread() {
        let world = World::without_authority().await;
        world.reload(&with_rule(world.origin));
        let (_sandbox, head) = connect(&world).await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("x-deny-reason: policy_unavailable"), "{head}");
        assert_eq!(world.reasons(), [("connect".to_owned(), "policy_unavailable".to_owned())]);
    }

    #[tokio::test]
    async fn an_opaque_tunnel_ends_once_a_policy_wants_it_read() {
        let world = World::start(PATIENT).await;
        world.reload(&allowing(world.origin).replace(", intercept = true", ""));
        let (sandbox, _) = connect(&world).await;
        // The origin's own certificate.
        let connector = TlsConnector::from(client_config(&roots(), HTTP1));
        let mut inside = within(connector.connect(ServerName::try_from("origin.test").unwrap(), sandbox)).await.unwrap();
        world.reload(&with_rule(world.origin));
        let _ = within(inside.read_to_end(&mut Vec::new())).await;
        assert_eq!(world.reasons().last().unwrap(), &("connect".to_owned(), "opaque_tunnel".to_owned()));
    }
}

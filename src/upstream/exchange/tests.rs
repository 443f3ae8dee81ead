use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{
        NameServers, UpstreamSettings,
        tests::{NameServer, Reply, v4},
    },
    *,
};
use crate::{
    destination::Destination,
    metrics::Metrics,
    policy::{Facts, Own, Policy, Way},
};

pub(in crate::upstream) const LIMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(150);
pub(in crate::upstream) const PATIENT: ExchangeTimeouts = ExchangeTimeouts { tls_handshake: LIMIT, first_byte: LIMIT, idle: LIMIT };
const MIB: u64 = 1024 * 1024;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Spoken {
    H1,
    H1OverTls,
    H2,
}

pub(in crate::upstream) const ALL: [Spoken; 3] = [Spoken::H1, Spoken::H1OverTls, Spoken::H2];

/// A body of `left` octets in pieces, or one that breaks off or stands still after them; counts what was asked of it.
pub(in crate::upstream) struct Source {
    left: u64,
    then: Then,
    hint: bool,
    given: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq)]
pub(in crate::upstream) enum Then {
    End,
    /// Fails once what was given could be sent.
    Fail,
    FailAtOnce,
    Wait,
}

impl Source {
    pub(in crate::upstream) fn new(left: u64, then: Then) -> Self {
        Self { left, then, hint: false, given: Arc::default() }
    }

    pub(in crate::upstream) fn known(left: u64) -> Self {
        Self { hint: true, ..Self::new(left, Then::End) }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        static PIECE: [u8; 16 * 1024] = [7; 16 * 1024];
        let next = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE.len());
        if next == 0 {
            return match self.then {
                Then::End => Poll::Ready(None),
                Then::Fail => {
                    self.then = Then::FailAtOnce;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Then::FailAtOnce => Poll::Ready(Some(Err(io::Error::other("the source broke")))),
                Then::Wait => Poll::Pending,
            };
        }
        self.left -= next as u64;
        self.given.fetch_add(next as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..next])))))
    }

    fn is_end_stream(&self) -> bool {
        self.hint && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.hint { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

/// A body of what is sent into a channel, and trailers at its end.
pub(in crate::upstream) struct Channel(pub(in crate::upstream) mpsc::UnboundedReceiver<io::Result<Bytes>>, pub(in crate::upstream) bool);

impl Body for Channel {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|data| {
            let mut trailers = || {
                std::mem::replace(&mut self.1, false)
                    .then(|| Frame::trailers([(header::ETAG, "late".parse().unwrap())].into_iter().collect()))
            };
            data.map(|data| data.map(Frame::data)).or_else(|| trailers().map(Ok))
        })
    }
}

type Answer = http_body_util::combinators::BoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// An upstream that is a hyper server, and tells what became of the bodies and connections it got.
pub(in crate::upstream) struct Server {
    pub(in crate::upstream) endpoint: Endpoint,
    bodies: mpsc::UnboundedReceiver<Result<u64, String>>,
    /// Once nothing of its requests is read any more.
    pub(in crate::upstream) closed: mpsc::UnboundedReceiver<()>,
}

impl Server {
    pub(in crate::upstream) async fn start(spoken: Spoken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell_body, bodies) = mpsc::unbounded_channel();
        let (tell_closed, closed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell_body, tell_closed) = (tell_body.clone(), tell_closed.clone());
                tokio::spawn(async move {
                    let (reading, mut all_read) = mpsc::channel::<Infallible>(1);
                    let service = service_fn(move |request| {
                        let tell_body = (tell_body.clone(), reading.clone());
                        async move { Ok::<_, Infallible>(answer(request, tell_body).await) }
                    });
                    match spoken {
                        Spoken::H1 => drop(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
                        Spoken::H1OverTls => {
                            let Ok(stream) = acceptor(b"http/1.1").accept(stream).await else { return };
                            drop(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                        }
                        Spoken::H2 => {
                            let Ok(stream) = acceptor(b"h2").accept(stream).await else { return };
                            let builder = server::conn::http2::Builder::new(TokioExecutor::new());
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                    all_read.recv().await;
                    let _ = tell_closed.send(());
                });
            }
        });
        let scheme = if spoken == Spoken::H1 { "http" } else { "https" };
        let endpoint = Endpoint::parse(&format!("{scheme}://localhost.test:{port}/base")).unwrap();
        let destination = Destination::parse(format!("127.0.0.1:{port}").as_bytes(), None).unwrap();
        Self { endpoint: Endpoint { destination, ..endpoint }, bodies, closed }
    }

    pub(in crate::upstream) async fn body(&mut self) -> Result<u64, String> {
        within(self.bodies.recv()).await.unwrap()
    }

    /// Waits for the connection's end, and asserts that no whole request came over it.
    async fn was_aborted(&mut self) {
        assert_eq!(within(self.closed.recv()).await, Some(()));
        while let Ok(outcome) = self.bodies.try_recv() {
            assert!(outcome.is_err(), "{outcome:?}");
        }
    }
}

/// What the path asks for, once the request's body has been read, unless the path says early; and never where it says held.
async fn answer(
    request: Request<Incoming>,
    tell: (mpsc::UnboundedSender<Result<u64, String>>, mpsc::Sender<Infallible>),
) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/echo" {
        return echo(&parts, body);
    }
    let (send, receive) = mpsc::unbounded_channel();
    let path = parts.uri.path().to_owned();
    let shown = |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().unwrap());
    let said = format!(
        "{:?} {} {} host={} length={} encoding={} kept={}",
        parts.version,
        parts.method,
        parts.uri,
        shown("host"),
        shown("content-length"),
        shown("transfer-encoding"),
        shown("x-kept")
    );
    let early = path.starts_with("/early");
    let (read, is_read) = oneshot::channel::<()>();
    let answer = match path.as_str() {
        "/large" => Source::known(64 * MIB).map_err(Into::into).boxed(),
        "/endless" => Source::new(u64::MAX, Then::End).map_err(Into::into).boxed(),
        "/silent" => Source::new(100, Then::Wait).map_err(Into::into).boxed(),
        _ => Channel(receive, true).map_err(Into::into).boxed(),
    };
    tokio::spawn(async move {
        if early {
            let _ = send.send(Ok(Bytes::from_static(b"begun ")));
        }
        if path.ends_with("held") {
            let _kept = (body, read);
            return std::future::pending().await;
        }
        let outcome = count(body).await;
        if let Ok(length) = outcome {
            let _ = send.send(Ok(format!("{said} {length}").into()));
        }
        let _ = (tell.0.send(outcome), read.send(()), tell.1);
    });
    if !early {
        let _ = is_read.await;
    }
    Response::new(answer)
}

/// At once a head that tells what came, then the body as it comes, with its trailers. To HEAD, the length of what GET would get.
fn echo(parts: &Parts, body: Incoming) -> Response<Answer> {
    let mut said = vec![format!("{:?} {}", parts.version, parts.uri)];
    for name in ["host", "content-length", "transfer-encoding", "connection", "te", "cookie"] {
        said.extend(parts.headers.get_all(name).iter().map(|value| format!("{name}: {}", value.to_str().unwrap())));
    }
    let mut answer = Response::new(body.map_err(Into::into).boxed());
    answer.headers_mut().insert("x-said", said.join("; ").parse().unwrap());
    if let Some(named) = parts.headers.get(header::TRAILER) {
        answer.headers_mut().insert(header::TRAILER, named.clone());
    }
    if parts.method == Method::HEAD {
        answer.headers_mut().insert(header::CONTENT_LENGTH, "100".parse().unwrap());
    }
    answer
}

pub(in crate::upstream) async fn count<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<u64, String>
where
    B::Error: std::fmt::Display,
{
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.map_err(|error| error.to_string())?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(length)
}

fn acceptor(protocol: &[u8]) -> TlsAcceptor {
    static CONFIGS: OnceLock<ServerConfig> = OnceLock::new();
    let mut config = CONFIGS
        .get_or_init(|| {
            let certificates = vec![certificate(include_bytes!("../../../certs/origin.pem"))];
            let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../../certs/origin.key")).unwrap();
            let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
            builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(certificates, key).unwrap()
        })
        .clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config).into()
}

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).unwrap()
}

pub(in crate::upstream) fn tls() -> TlsClient {
    TlsClient::trusting(Vec::new(), &[certificate(include_bytes!("../../../certs/ca.pem"))]).unwrap()
}

fn upstream() -> Upstream {
    let settings = UpstreamSettings {
        name_servers: NameServers::One("127.0.0.1:9".parse().unwrap()),
        dns_timeout: LIMIT,
        connect_timeout: LIMIT,
        keep_alive: LIMIT,
    };
    Upstream::new(&settings, Arc::new(Metrics::new().unwrap())).unwrap()
}

pub(in crate::upstream) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("in time")
}

async fn ask(endpoint: &Endpoint, timeouts: ExchangeTimeouts, request: Request<Source>) -> Result<Response<ResponseBody>, Failure> {
    within(upstream().exchange(endpoint, &tls(), timeouts, request)).await
}

pub(in crate::upstream) fn request(method: Method, path: &str, body: Source) -> Request<Source> {
    Request::builder().method(method).uri(path).header("x-kept", "yes").body(body).unwrap()
}

pub(in crate::upstream) async fn text(response: Response<ResponseBody>) -> Result<String, String> {
    let body = Limited::new(response.into_body(), 64 * 1024);
    #[expect(clippy::disallowed_methods, reason = "the bound stands one line above")]
    let whole = within(body.collect()).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(whole.to_bytes().to_vec()).unwrap())
}

/// A server that reads a little, answers with `bytes` as they are, and keeps the connection; tells when the client closes it.
async fn raw(bytes: &'static [u8]) -> (Endpoint, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let mut read = stream.read(&mut buffer).await;
        stream.write_all(bytes).await.unwrap();
        while matches!(read, Ok(1..)) {
            read = stream.read(&mut buffer).await;
        }
    });
    (endpoint, served)
}

#[tokio::test]
async fn a_request_and_its_answer_in_each_protocol() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let authority = server.endpoint.authority();
        for (method, body, length, encoding, octets) in [
            (Method::GET, Source::known(0), "-", "-", 0),
            (Method::POST, Source::known(0), "0", "-", 0),
            (Method::POST, Source::known(20_000), "20000", "-", 20_000),
            (Method::POST, Source::new(20_000, Then::End), "-", "chunked", 20_000),
        ] {
            let mut asked = request(method.clone(), "/base/o/r?service=x", body);
            asked.headers_mut().insert(header::HOST, "elsewhere.test".parse().unwrap());
            let said = text(ask(&server.endpoint, PATIENT, asked).await.unwrap()).await;
            let expected = match spoken {
                Spoken::H2 => format!("HTTP/2.0 {method} https://{authority}/base/o/r?service=x host=- length={length} encoding=-"),
                Spoken::H1 | Spoken::H1OverTls => {
                    format!("HTTP/1.1 {method} /base/o/r?service=x host={authority} length={length} encoding={encoding}")
                }
            };
            assert_eq!(said, Ok(format!("{expected} kept=yes {octets}")), "{spoken:?}");
        }
    }
}

#[tokio::test]
async fn an_announced_length_is_kept_by_the_body() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        for (sent, announced) in [(100, "99"), (100, "101"), (0, "1")] {
            let mut asked = request(Method::POST, "/", Source::new(sent, Then::End));
            asked.headers_mut().insert(header::CONTENT_LENGTH, announced.parse().unwrap());
            let failure = ask(&server.endpoint, PATIENT, asked).await.map(drop).unwrap_err();
            let did = "was sent only a part of the request, whose body is not as long as announced";
            assert_eq!(
                (failure.reason, failure.detail),
                (Reason::BadRequest, format!("{} {did}.", server.endpoint)),
                "{spoken:?} {announced}"
            );
            server.was_aborted().await;
        }
    }
    let server = Server::start(Spoken::H1).await;
    let mut asked = request(Method::POST, "/", Source::new(5, Then::End));
    asked.headers_mut().append(header::CONTENT_LENGTH, "5".parse().unwrap());
    asked.headers_mut().append(header::CONTENT_LENGTH, "6".parse().unwrap());
    assert_eq!(ask(&server.endpoint, PATIENT, asked).await.map(drop).unwrap_err().reason, Reason::Internal);
}

#[tokio::test]
async fn an_early_answer_is_delivered_and_the_sending_goes_on() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let (send, receive) = mpsc::unbounded_channel();
        send.send(Ok(Bytes::from_static(b"first"))).unwrap();
        let asked = Request::builder().method(Method::POST).uri("/early").body(Channel(receive, true)).unwrap();
        let mut response = within(upstream().exchange(&server.endpoint, &tls(), PATIENT, asked)).await.unwrap();
        let begun = within(response.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(begun.into_data().unwrap(), "begun ", "{spoken:?}");
        send.send(Ok(Bytes::from_static(b" second"))).unwrap();
        drop(send);
        assert!(text(response).await.unwrap().ends_with(" 12"), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_body_that_fails_leaves_no_whole_request() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        let failure = ask(&server.endpoint, PATIENT, request(Method::POST, "/", Source::new(70_000, Then::Fail))).await;
        let expected = format!("{} was sent only a part of the request, whose body broke off: the source broke.", server.endpoint);
        let failure = failure.map(drop).unwrap_err();
        assert_eq!((failure.reason, failure.detail), (Reason::BadRequest, expected), "{spoken:?}");
        server.was_aborted().await;
        let failed = ask(&server.endpoint, PATIENT, request(Method::POST, "/", Source::new(70_000, Then::FailAtOnce))).await;
        assert_eq!(failed.map(drop).unwrap_err().reason, Reason::BadRequest, "{spoken:?}");
        server.was_aborted().await;
        // The same once the answer has begun.
        let (send, receive) = mpsc::unbounded_channel();
        let asked = Request::builder().method(Method::POST).uri("/early").body(Channel(receive, false)).unwrap();
        send.send(Ok(Bytes::from_static(b"first"))).unwrap();
        let response = within(upstream().exchange(&server.endpoint, &tls(), PATIENT, asked)).await.unwrap();
        send.send(Err(io::Error::other("the source broke"))).unwrap();
        assert!(text(response).await.is_err(), "{spoken:?}");
        server.was_aborted().await;
    }
}

#[tokio::test]
async fn a_request_that_is_not_taken_is_given_up() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let body = Source::new(u64::MAX, Then::End);
        let given = Arc::clone(&body.given);
        let timeouts = ExchangeTimeouts { idle: SHORT, ..PATIENT };
        let failure = ask(&server.endpoint, timeouts, request(Method::POST, "/held", body)).await.map(drop).unwrap_err();
        let expected = format!("{} took nothing of the request for 150ms.", server.endpoint);
        assert_eq!((failure.reason, failure.detail), (Reason::UpstreamTimeout, expected), "{spoken:?}");
        // Over HTTP/2 no socket's buffers count, but the windows alone.
        assert!(spoken != Spoken::H2 || given.load(Ordering::Relaxed) < 2 * MIB, "{given:?}");
    }
}

#[tokio::test]
async fn an_answer_ends_in_an_error_where_its_request_is_not_taken() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let timeouts = ExchangeTimeouts { idle: SHORT, ..PATIENT };
        let body = Source::new(u64::MAX, Then::End);
        let response = ask(&server.endpoint, timeouts, request(Method::POST, "/early-held", body)).await.unwrap();
        assert!(text(response).await.is_err(), "{spoken:?}");
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_each_way() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        let response = ask(&server.endpoint, PATIENT, request(Method::POST, "/", Source::new(64 * MIB, Then::End))).await.unwrap();
        assert!(text(response).await.unwrap().ends_with(&format!(" {}", 64 * MIB)), "{spoken:?}");
        assert_eq!(server.body().await, Ok(64 * MIB), "{spoken:?}");
        let response = ask(&server.endpoint, PATIENT, request(Method::GET, "/large", Source::known(0))).await.unwrap();
        assert_eq!(response.body().size_hint().exact(), Some(64 * MIB), "{spoken:?}");
        assert_eq!(within(count(response.into_body())).await, Ok(64 * MIB), "{spoken:?}");
    }
}

#[tokio::test]
async fn silence_ends_the_wait() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        // A server that has read the request, and answers no head.
        let (endpoint, _served) = raw(b"").await;
        let timeouts = ExchangeTimeouts { first_byte: SHORT, ..PATIENT };
        let failure = ask(&endpoint, timeouts, request(Method::POST, "/", Source::known(5))).await.map(drop).unwrap_err();
        let expected = format!("{endpoint} sent nothing within 150ms of the end of the request.");
        assert_eq!((failure.reason, failure.detail), (Reason::UpstreamTimeout, expected));
        // One whose answer stands still.
        let timeouts = ExchangeTimeouts { idle: SHORT, ..PATIENT };
        let response = ask(&server.endpoint, timeouts, request(Method::GET, "/silent", Source::known(0))).await.unwrap();
        assert_eq!(text(response).await, Err("the upstream sent nothing for 150ms".to_owned()), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_source_that_waits_is_no_stall() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let timeouts = ExchangeTimeouts { idle: SHORT, first_byte: SHORT, ..PATIENT };
        let (upstream, tls) = (upstream(), tls());
        let asked = request(Method::POST, "/", Source::new(100, Then::Wait));
        let exchange = upstream.exchange(&server.endpoint, &tls, timeouts, asked);
        assert!(timeout(4 * SHORT, exchange).await.is_err(), "{spoken:?}");
    }
}

#[tokio::test]
async fn whoever_drops_the_exchange_closes_the_connection() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        let response = ask(&server.endpoint, PATIENT, request(Method::GET, "/endless", Source::known(0))).await.unwrap();
        assert_eq!(server.body().await, Ok(0));
        drop(response);
        assert_eq!(within(server.closed.recv()).await, Some(()), "{spoken:?}");

        let (upstream, tls) = (upstream(), tls());
        let mut exchange =
            Box::pin(upstream.exchange(&server.endpoint, &tls, PATIENT, request(Method::POST, "/", Source::new(100, Then::Wait))));
        assert!(timeout(SHORT, &mut exchange).await.is_err());
        drop(exchange);
        server.was_aborted().await;
    }
}

#[tokio::test]
async fn answers_in_doubt_are_errors() {
    for (answer, why) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"[..], "the framing of its answer is in doubt"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "the framing of its answer is in doubt"),
        (b"SSH-2.0-x\r\n", "the framing of its answer is in doubt"),
    ] {
        let (endpoint, served) = raw(answer).await;
        let failure = ask(&endpoint, PATIENT, request(Method::GET, "/", Source::known(0))).await.map(drop).unwrap_err();
        let expected = format!("{endpoint} gave no answer that can be passed on: {why}.");
        assert_eq!((failure.reason, failure.detail), (Reason::UpstreamClosed, expected));
        within(served).await.unwrap();
    }
    let (endpoint, _served) = raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    let failure = ask(&endpoint, PATIENT, request(Method::GET, "/", Source::known(0))).await.map(drop).unwrap_err();
    assert_eq!(failure.detail, format!("{endpoint} switched protocols without being asked to."));
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let (endpoint, _served) =
        raw(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nhere").await;
    let response = ask(&endpoint, PATIENT, request(Method::GET, "/", Source::known(0))).await.unwrap();
    assert_eq!((response.status(), text(response).await.as_deref()), (StatusCode::NOT_FOUND, Ok("here")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor(b"h2").accept(stream).await.unwrap();
        // SETTINGS; HEADERS on stream 1 (:status 200, content-length 10); DATA of 5 octets; RST_STREAM with NO_ERROR.
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"\0\0\x06\x01\x04\0\0\0\x01\x88\x0f\x0d\x0210").await.unwrap();
        stream.write_all(b"\0\0\x05\0\0\0\0\0\x01hello\0\0\x04\x03\0\0\0\0\x01\0\0\0\0").await.unwrap();
        while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {}
    });
    let response = ask(&endpoint, PATIENT, request(Method::GET, "/", Source::known(0))).await.unwrap();
    assert_eq!(text(response).await, Err("the upstream ended its answer 5 octets early".to_owned()));
}

#[tokio::test]
async fn certificates_that_cannot_be_verified_are_said_to_be_so() {
    let server = Server::start(Spoken::H2).await;
    let other_roots = TlsClient::trusting(vec![certificate(include_bytes!("../../../certs/origin.pem"))], &[]).unwrap();
    let other_name = Endpoint::parse(&format!("https://unnamed.test:{}", server.endpoint.destination.port)).unwrap();
    let names = NameServer::start(|family, _| {
        Reply::Records(if family == hickory_resolver::proto::rr::RecordType::A { vec![v4([127, 0, 0, 1])] } else { Vec::new() })
    })
    .await;
    let settings =
        UpstreamSettings { name_servers: NameServers::One(names.address), dns_timeout: LIMIT, connect_timeout: LIMIT, keep_alive: LIMIT };
    let metrics = Arc::new(Metrics::new().unwrap());
    let upstream = Upstream::new(&settings, Arc::clone(&metrics)).unwrap();
    let unknown_issuer =
        "shows a certificate of an unknown issuer; if it is your own, name its authority's certificate by [upstream] ca_file";
    for (client, endpoint, did) in [
        (other_roots, &server.endpoint, unknown_issuer),
        (tls(), &other_name, "shows a certificate for another name"),
        (tls().at(Duration::from_secs(4_000_000_000)), &server.endpoint, "shows a certificate that has expired"),
    ] {
        let asked = request(Method::GET, "/", Source::known(0));
        let failure = within(upstream.exchange(endpoint, &client, PATIENT, asked)).await.map(drop).unwrap_err();
        assert_eq!((failure.reason, failure.detail), (Reason::TlsFailed, format!("{endpoint} {did}.")));
    }
    assert!(metrics.render().contains("tidegate_tls_handshake_seconds_count{side=\"upstream\"} 3\n"));
}

#[tokio::test]
async fn a_handshake_that_is_not_one_fails() {
    let (plain, _served) = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (silent, _served_too) = raw(b"").await;
    let timeouts = ExchangeTimeouts { tls_handshake: SHORT, ..PATIENT };
    for (endpoint, reason, did) in [
        (plain, Reason::TlsFailed, "answered the TLS handshake with something that is not TLS"),
        (silent, Reason::UpstreamTimeout, "did not finish the TLS handshake within 150ms"),
    ] {
        let endpoint = Endpoint { secure: true, ..endpoint };
        let failure = ask(&endpoint, timeouts, request(Method::GET, "/", Source::known(0))).await.map(drop).unwrap_err();
        assert_eq!((failure.reason, failure.detail), (reason, format!("{endpoint} {did}.")));
    }
}

#[tokio::test]
async fn an_own_listener_is_never_dialled() {
    let server = Server::start(Spoken::H1).await;
    let upstream = upstream();
    let address = SocketAddr::from(([127, 0, 0, 1], server.endpoint.destination.port));
    for listener in [address, SocketAddr::from(([0, 0, 0, 0], address.port()))] {
        upstream.set_own(Own { addresses: Vec::new(), listeners: vec![listener] });
        let failure =
            within(upstream.exchange(&server.endpoint, &tls(), PATIENT, request(Method::GET, "/", Source::known(0)))).await.map(drop);
        let expected =
            Failure { reason: Reason::LoopDetected, detail: format!("{} is this proxy itself.", server.endpoint), address: Some(address) };
        assert_eq!(failure, Err(expected));
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint::parse(&format!("http://{closed}/base")).unwrap();
    let failure = ask(&endpoint, PATIENT, request(Method::GET, "/", Source::known(0))).await.map(drop).unwrap_err();
    let expected = format!("{endpoint} cannot be reached. Connecting to {closed} failed: Connection refused (os error 111).");
    assert_eq!((failure.reason, failure.detail), (Reason::ConnectFailed, expected));

    let names = NameServer::start(|_, _| Reply::Code(hickory_resolver::proto::op::ResponseCode::NXDomain)).await;
    let settings =
        UpstreamSettings { name_servers: NameServers::One(names.address), dns_timeout: LIMIT, connect_timeout: LIMIT, keep_alive: LIMIT };
    let upstream = Upstream::new(&settings, Arc::new(Metrics::new().unwrap())).unwrap();
    let endpoint = Endpoint::parse("https://gone.test").unwrap();
    let asked = request(Method::GET, "/", Source::known(0));
    let failure = within(upstream.exchange(&endpoint, &tls(), PATIENT, asked)).await.map(drop).unwrap_err();
    let expected = "https://gone.test cannot be reached. The name gone.test does not exist (NXDOMAIN).";
    assert_eq!((failure.reason, &*failure.detail), (Reason::DnsFailed, expected));
}

/// Sends a request over a connection to `host` on loopback that a policy permits.
async fn ask_over(
    server: &Server,
    host: &str,
    tls: Option<&TlsClient>,
    request: Request<Answer>,
) -> Result<Response<ResponseBody>, Failure> {
    let names = NameServer::start(|family, _| {
        Reply::Records(if family == hickory_resolver::proto::rr::RecordType::A { vec![v4([127, 0, 0, 1])] } else { Vec::new() })
    })
    .await;
    let settings =
        UpstreamSettings { name_servers: NameServers::One(names.address), dns_timeout: LIMIT, connect_timeout: LIMIT, keep_alive: LIMIT };
    let upstream = Upstream::new(&settings, Arc::new(Metrics::new().unwrap())).unwrap();
    let text = format!("access = \"custom\"\nallow = [\"{host}:*\"]\n[addresses]\nallow = [\"127.0.0.1/32\"]");
    let (policy, _) = Policy::parse("policy.toml", &text).unwrap();
    let destination = Destination::parse(format!("{host}:{}", server.endpoint.destination.port).as_bytes(), None).unwrap();
    let facts = Facts { destination: &destination, way: Way::Connect, now: std::time::SystemTime::UNIX_EPOCH };
    let permit = policy.decide_destination(&facts).unwrap();
    let cleared = permit.expectation().decide_opaque().unwrap();
    let dialled = upstream.dial(upstream.resolve(permit).await.unwrap()).await.unwrap();
    within(upstream.exchange_over(Connected::Dialled(dialled, None), cleared, tls, PATIENT, request)).await
}

fn echoed(
    method: Method,
    body: impl Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Sync + 'static,
) -> Request<Answer> {
    Request::builder().method(method).uri("/echo?a=b").body(body.map_err(Into::into).boxed()).unwrap()
}

#[tokio::test]
async fn what_a_permit_admitted_streams_both_ways_at_once() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let authority = format!("allowed.test:{}", server.endpoint.destination.port);
        let (send, receive) = mpsc::unbounded_channel();
        let mut request = echoed(Method::POST, Channel(receive, true));
        *request.version_mut() = Version::HTTP_2;
        for (name, value) in [
            ("host", "elsewhere.test"),
            ("connection", "te"),
            ("te", "trailers"),
            ("trailer", "etag"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ] {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let tls = (spoken != Spoken::H1).then(tls);
        let mut response = ask_over(&server, "allowed.test", tls.as_ref(), request).await.unwrap();
        let expected = match spoken {
            Spoken::H2 => format!("HTTP/2.0 https://{authority}/echo?a=b; te: trailers; cookie: a=1; cookie: b=2"),
            Spoken::H1 | Spoken::H1OverTls => format!(
                "HTTP/1.1 /echo?a=b; host: {authority}; transfer-encoding: chunked; connection: te; connection: close; te: trailers; cookie: a=1; b=2"
            ),
        };
        assert_eq!(response.headers()["x-said"], expected, "{spoken:?}");
        for piece in ["first", "second"] {
            send.send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
            let frame = within(response.body_mut().frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece, "{spoken:?}");
        }
        drop(send);
        let trailers = within(response.body_mut().frame()).await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers, [(header::ETAG, "late".parse().unwrap())].into_iter().collect(), "{spoken:?}");
        assert!(within(response.body_mut().frame()).await.is_none(), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_certificate_has_to_name_the_host_of_the_permit() {
    let server = Server::start(Spoken::H2).await;
    let port = server.endpoint.destination.port;
    let other_roots = TlsClient::trusting(vec![certificate(include_bytes!("../../../certs/origin.pem"))], &[]).unwrap();
    for (host, client, outcome) in [
        ("allowed.test", tls(), None),
        ("127.0.0.1", tls(), None),
        ("unnamed.test", tls(), Some("shows a certificate for another name")),
        (
            "allowed.test",
            other_roots,
            Some("shows a certificate of an unknown issuer; if it is your own, name its authority's certificate by [upstream] ca_file"),
        ),
    ] {
        let answered = ask_over(&server, host, Some(&client), echoed(Method::GET, Source::known(0))).await;
        let failed = answered.map(drop).map_err(|failure| (failure.reason, failure.detail));
        let expected = outcome.map(|did| (Reason::TlsFailed, format!("https://{host}:{port} {did}.")));
        assert_eq!(failed.err(), expected, "{host}");
    }
}

#[tokio::test]
async fn an_answer_to_head_may_announce_what_it_does_not_hold() {
    for spoken in ALL {
        let server = Server::start(spoken).await;
        let tls = (spoken != Spoken::H1).then(tls);
        let response = ask_over(&server, "allowed.test", tls.as_ref(), echoed(Method::HEAD, Source::known(0))).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "100");
        assert_eq!(within(count(response.into_body())).await, Ok(0), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_body_says_itself_what_its_failure_comes_to() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        let fault = BodyFault { reason: Reason::BodyTooLarge, detail: "The request body is too large.".to_owned() };
        let told = fault.clone();
        let body = Source::new(70_000, Then::Fail).map_err(move |_| told.clone());
        let request = Request::builder().method(Method::POST).uri("/").body(body.map_err(Into::into).boxed()).unwrap();
        let tls = (spoken != Spoken::H1).then(tls);
        let failure = ask_over(&server, "allowed.test", tls.as_ref(), request).await.map(drop).unwrap_err();
        assert_eq!((failure.reason, failure.detail), (fault.reason, fault.detail), "{spoken:?}");
        server.was_aborted().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_withdrawn_breaks_off() {
    for spoken in ALL {
        let mut server = Server::start(spoken).await;
        let response = ask(&server.endpoint, PATIENT, request(Method::GET, "/silent", Source::known(0))).await.unwrap();
        let (withdraw, withdrawn) = oneshot::channel::<()>();
        response.body().end_when(async { drop(withdrawn.await) });
        withdraw.send(()).unwrap();
        // Nobody reads the answer yet.
        assert_eq!(within(server.closed.recv()).await, Some(()), "{spoken:?}");
        assert!(within(count(response.into_body())).await.is_err(), "{spoken:?}");
    }
}

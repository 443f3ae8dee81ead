//! The upstream: a web server in front of real git, which records what it is asked and can be in any mood.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, request::Parts};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    api::{self, Api},
    app::{self, App},
    backend, files,
    lfs::{self, Lfs},
    repository::{self, Refs},
    wait::poll,
};

/// How the upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Plain,
    Tls,
    Http2,
}

/// The upstream; it runs until it is dropped.
pub(crate) struct Hub {
    address: SocketAddr,
    wire: Wire,
    root: TempDir,
    shared: Arc<Shared>,
    pub(crate) lfs: Arc<Lfs>,
    _runtime: Runtime,
}

struct Shared {
    root: PathBuf,
    /// What `Authorization` has to be, of git and of whoever asks the API; anything where the repositories are public.
    wanted: Option<[String; 2]>,
    /// Repositories that anybody may read, by whichever token,
    open: Mutex<Vec<String>>,
    /// but not by these.
    turned_away: Mutex<Vec<String>>,
    api: Mutex<Api>,
    /// An App in place of `wanted`.
    app: Mutex<Option<App>>,
    seen: Mutex<Vec<Seen>>,
    moods: Mutex<Vec<Mood>>,
    lfs: Arc<Lfs>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: Vec<(String, String)>,
    /// The beginning of the body, as far as it is kept.
    pub(crate) body: Vec<u8>,
    /// Octets of the whole body.
    pub(crate) length: u64,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
    /// Whether it came to any.
    pub(crate) over: bool,
}

/// Which requests a mood is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Discovery,
    Post,
    Always,
    /// Those below a path.
    Below(&'static str),
}

/// An answer that git would not give.
#[derive(Debug, Clone)]
pub(crate) struct Mood {
    pub(crate) when: When,
    pub(crate) answer: Answer,
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status, headers and body, once the request was read.
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The same before the body of the request was read.
    Early(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// What git answers, with these headers besides.
    Beside(Vec<(&'static str, String)>),
    /// What git answers, up to so many octets; then the connection breaks.
    Broken(usize),
    /// 403, and the `Authorization` that came, in the body and in a header.
    Echo,
    /// No answer, and no end.
    Silence,
    /// What git answers, once nothing is to be held any more.
    Held,
}

impl Hub {
    /// An upstream with the repositories `octo/spoon`, `octo/reading` and `octo/secret`, each as [`repository::make`] makes it. It takes
    /// this credential and no other; without one everything is public.
    pub(crate) fn start(wire: Wire, credential: Option<&str>) -> Self {
        Self::over(wire, (wire != Wire::Plain).then(|| acceptor(wire)), credential)
    }

    /// The same with a certificate of the test's own.
    pub(crate) fn showing(server: Arc<ServerConfig>, credential: &str) -> Self {
        Self::over(Wire::Tls, Some(TlsAcceptor::from(server)), Some(credential))
    }

    fn over(wire: Wire, acceptor: Option<TlsAcceptor>, credential: Option<&str>) -> Self {
        let root = tempfile::tempdir().expect("a directory for repositories");
        let path = |name: &str| root.path().join(format!("octo/{name}.git"));
        repository::make(&path("spoon"), "sha1");
        for name in ["reading", "secret"] {
            repository::copy(&path("spoon"), &path(name));
        }
        let basic = |credential| format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{credential}")));
        let wanted = credential.map(|credential| [basic(credential), format!("Bearer {credential}")]);
        let (seen, moods, api, app, open, turned_away) = Default::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let [listener, storage] = [(); 2].map(|()| runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port"));
        let address = listener.local_addr().expect("an address");
        let secure = acceptor.is_some();
        let lfs = Arc::new(Lfs::new(storage.local_addr().expect("an address"), secure));
        let shared = Arc::new(Shared { root: root.path().to_owned(), wanted, open, turned_away, api, app, seen, moods, lfs: lfs.clone() });
        runtime.spawn(lfs::serve(storage, secure.then(|| self::acceptor(Wire::Tls)), lfs.clone()));
        let served = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, acceptor.clone(), wire, served.clone()));
            }
        });
        Self { address, wire, root, shared, lfs, _runtime: runtime }
    }

    /// Adds `octo/long`, whose objects are named in SHA-256.
    #[track_caller]
    pub(crate) fn add_long(&self) {
        repository::make(&self.path("octo/long"), "sha256");
    }

    /// From now on anybody may read a repository, such as `octo/spoon`.
    pub(crate) fn publish(&self, repository: &str) {
        locked(&self.shared.open).push(repository.to_owned());
    }

    /// From now on it knows nothing of a token.
    pub(crate) fn turn_away(&self, token: &str) {
        locked(&self.shared.turned_away).push(format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{token}"))));
    }

    /// From now on it has an API, where a repository has this number.
    pub(crate) fn number(&self, repository: &str, id: u64) {
        locked(&self.shared.api).add(repository, id);
    }

    /// From now on tokens of this App are taken, and nothing else.
    pub(crate) fn install(&self, app: App) {
        *locked(&self.shared.app) = Some(app);
    }

    /// The App as it is now, which may be changed.
    #[track_caller]
    pub(crate) fn app<T>(&self, look: impl FnOnce(&mut App) -> T) -> T {
        look(locked(&self.shared.app).as_mut().expect("an App"))
    }

    /// From now on a repository is called otherwise, and whoever asks by its old name is sent on.
    #[track_caller]
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let path = self.path(to);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::rename(self.path(from), path).expect("a repository of that name");
        locked(&self.shared.api).rename(from, to);
    }

    /// A repository with the content of another.
    #[track_caller]
    pub(crate) fn copy(&self, from: &str, to: &str) {
        repository::copy(&self.path(from), &self.path(to));
    }

    /// Adds a repository whose one branch, `main`, has these files and, by their paths, these commits of submodules.
    #[track_caller]
    pub(crate) fn add(&self, repository: &str, files: &[(&str, &str)], submodules: &[(&str, &str)]) {
        let (path, tree) = (self.path(repository), tempfile::tempdir().expect("a directory"));
        for (name, content) in files {
            let file = tree.path().join(name);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(file, content).expect("a file");
        }
        repository::make(&path, "sha1");
        let beside = ["-c", "core.bare=false", "--work-tree", tree.path().to_str().expect("a path")];
        let git = |arguments: &[&str]| repository::git(&path, &[&["--git-dir", "."], &beside[..], arguments].concat());
        git(&["add", "--all", "."]);
        for (place, commit) in submodules {
            git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{place}")]);
        }
        git(&["commit", "--quiet", "-m", "content"]);
    }

    /// From now on its API knows no repository of this name.
    pub(crate) fn forget(&self, repository: &str) {
        locked(&self.shared.api).forget(repository);
    }

    /// From now on its API answers nothing but 500.
    pub(crate) fn break_api(&self) {
        locked(&self.shared.api).fail();
    }

    /// Where its API is, as a base URL.
    pub(crate) fn api_url(&self) -> String {
        format!("{}{}", self.url(), api::PREFIX)
    }

    /// Where it is, as a base URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.wire == Wire::Plain { "http" } else { "https" }, self.address)
    }

    /// Where the repositories lie.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where a repository lies, such as `octo/spoon`.
    pub(crate) fn path(&self, repository: &str) -> PathBuf {
        self.root.path().join(format!("{repository}.git"))
    }

    #[track_caller]
    pub(crate) fn refs(&self, repository: &str) -> Refs {
        repository::refs(&self.path(repository))
    }

    /// What git says in a repository of the upstream's.
    #[track_caller]
    pub(crate) fn git(&self, repository: &str, arguments: &[&str]) -> String {
        repository::git(&self.path(repository), arguments)
    }

    /// From now on such requests are answered so.
    pub(crate) fn set(&self, when: When, answer: Answer) {
        *locked(&self.shared.moods) = vec![Mood { when, answer }];
    }

    /// The same beside what was said before, which comes after it.
    pub(crate) fn also(&self, when: When, answer: Answer) {
        locked(&self.shared.moods).insert(0, Mood { when, answer });
    }

    pub(crate) fn calm(&self) {
        locked(&self.shared.moods).clear();
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// The requests so far whose target ends so.
    pub(crate) fn seen_at(&self, end: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.target.ends_with(end)).collect()
    }

    /// The first request that is `wanted`, once there is one.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let found = poll(|| self.seen().into_iter().find(|seen| wanted(seen)));
        found.unwrap_or_else(|| panic!("the upstream saw only {:#?}", self.seen()))
    }

    /// Fails if any request came.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, why: &str) {
        let seen = self.seen();
        assert!(seen.is_empty(), "{why}: the upstream was asked {seen:#?}");
    }
}

impl Seen {
    /// Writes down a request whose body is yet to come, and gives back its place.
    pub(super) fn note(seen: &mut Vec<Self>, head: &Parts) -> usize {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let target = head.uri.path_and_query().map_or(String::new(), ToString::to_string);
        let (method, version) = (head.method.to_string(), head.version);
        seen.push(Self { method, target, version, headers, body: Vec::new(), length: 0, whole: false, over: false });
        seen.len() - 1
    }

    /// Every value of a header, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(" and "))
    }
}

async fn converse(stream: TcpStream, acceptor: Option<TlsAcceptor>, wire: Wire, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(shared.clone(), request));
    let Some(acceptor) = acceptor else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        return;
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    if wire == Wire::Http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

pub(super) type Sent = Either<Full<Bytes>, Piped>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Sent>, io::Error> {
    let (head, body) = request.into_parts();
    let number = shared.record(&head);
    let is_for = |mood: &&Mood| match mood.when {
        When::Always => true,
        When::Discovery => head.method != "POST",
        When::Post => head.method == "POST",
        When::Below(path) => head.uri.path().starts_with(path),
    };
    let mood = locked(&shared.moods).iter().find(is_for).cloned();
    let mut mood = mood.map(|mood| mood.answer);
    if matches!(mood, Some(Answer::Held)) {
        shared.released().await;
        mood = None;
    }
    match mood {
        Some(Answer::Early(status, headers, words)) => {
            // Kept, so that the sender is not reset for what nobody read.
            tokio::spawn(async move { drop(shared.receive(number, body, &mut None).await) });
            Ok(reply(status, &headers, words))
        }
        Some(Answer::Reply(status, headers, words)) => {
            shared.receive(number, body, &mut None).await;
            Ok(reply(status, &headers, words))
        }
        Some(Answer::Echo) => {
            shared.receive(number, body, &mut None).await;
            let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            let headers = [("content-type", "text/plain".to_owned()), ("x-you-sent", authorization.clone())];
            Ok(reply(403, &headers, format!("you sent {authorization}, {}", decoded(&authorization)).into_bytes()))
        }
        Some(Answer::Silence) => {
            shared.receive(number, body, &mut None).await;
            std::future::pending::<Infallible>().await;
            Err(io::ErrorKind::TimedOut.into())
        }
        Some(Answer::Beside(headers)) => {
            let mut response = shared.clone().serve(number, head, body).await?;
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().expect("a value"));
            }
            Ok(response.map(Either::Right))
        }
        Some(Answer::Broken(length)) => Ok(shared.serve(number, head, body).await?.map(|body| Either::Right(body.broken_after(length)))),
        None | Some(Answer::Held) if files::is_release(head.uri.path()) => {
            shared.receive(number, body, &mut None).await;
            let (status, headers, content) = files::release(head.uri.path());
            Ok(reply(status, &headers, content))
        }
        None | Some(Answer::Held) if !shared.is_admitted(&head) => {
            shared.receive(number, body, &mut None).await;
            Ok(reply(401, &[("www-authenticate", "Basic realm=\"hub\"".to_owned())], b"who are you".to_vec()))
        }
        None | Some(Answer::Held) => answer_as_meant(&shared, number, head, body).await,
    }
}

/// What GitHub would.
async fn answer_as_meant(shared: &Arc<Shared>, number: usize, head: Parts, body: Incoming) -> Result<Response<Sent>, io::Error> {
    let path = head.uri.path();
    if app::is_of_app(path) {
        let body = shared.receive(number, body, &mut None).await;
        let api = locked(&shared.api);
        let app_said = || locked(&shared.app).as_mut().map(|app| app.answer(&head, &body, api.ids()));
        let (status, location, words) = api.moved_installation(path).or_else(app_said).unwrap_or((404, None, String::new()));
        return Ok(reply(status, location.map(|location| ("location", location)).as_slice(), words.into_bytes()));
    }
    if path.contains("/info/lfs/") {
        let body = shared.receive(number, body, &mut None).await;
        let (status, said) = shared.lfs.answer(&head, &body);
        return Ok(reply(status, &[("content-type", "application/vnd.git-lfs+json; charset=utf-8".to_owned())], said));
    }
    if files::is_file(path) {
        shared.receive(number, body, &mut None).await;
        let (status, headers, content) = files::read(&shared.root, path);
        return Ok(reply(status, &headers, if head.method == http::Method::HEAD { Vec::new() } else { content }));
    }
    let said = locked(&shared.api).answer(&head);
    let Some((status, location, words)) = said else { return Ok(shared.clone().serve(number, head, body).await?.map(Either::Right)) };
    shared.receive(number, body, &mut None).await;
    let headers = location.map(|location| ("location", location));
    Ok(reply(status, headers.as_slice(), words.into_bytes()))
}

impl Shared {
    fn record(&self, head: &Parts) -> usize {
        Seen::note(&mut locked(&self.seen), head)
    }

    fn is_admitted(&self, head: &Parts) -> bool {
        if let Some(app) = &mut *locked(&self.app) {
            return app.admits(head, locked(&self.api).number_of(head.uri.path()));
        }
        let shown = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let Some([git, api]) = &self.wanted else { return true };
        let path = head.uri.path();
        let names = |name: &String| path.contains(&format!("/{name}/")) || path.contains(&format!("/{name}.git/"));
        if locked(&self.open).iter().any(names) && !head.uri.to_string().contains("git-receive-pack") {
            return !locked(&self.turned_away).iter().any(|token| shown == Some(token));
        }
        shown == Some(if path.starts_with(api::PREFIX) || files::is_file(path) { api } else { git })
    }

    async fn released(&self) {
        while locked(&self.moods).iter().any(|mood| matches!(mood.answer, Answer::Held)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads a body to its end, and gives it on; gives back what is kept of it.
    async fn receive(&self, number: usize, mut body: Incoming, stdin: &mut Option<tokio::process::ChildStdin>) -> Vec<u8> {
        let note = |change: &dyn Fn(&mut Seen)| locked(&self.seen).get_mut(number).map(change);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                note(&|seen| seen.over = true);
                return Vec::new();
            };
            let Ok(data) = frame.into_data() else { continue };
            note(&|seen| {
                let room = MAX_KEPT.saturating_sub(seen.body.len()).min(data.len());
                seen.body.extend_from_slice(&data[..room]);
                seen.length += data.len() as u64;
            });
            backend::feed(stdin, &data).await;
        }
        note(&|seen| (seen.whole, seen.over) = (true, true));
        locked(&self.seen).get(number).map(|seen| seen.body.clone()).unwrap_or_default()
    }

    async fn serve(self: Arc<Self>, number: usize, head: Parts, body: Incoming) -> io::Result<Response<Piped>> {
        let (child, stdin) = backend::start(&self.root, &head);
        tokio::spawn(async move { drop(self.receive(number, body, &mut Some(stdin)).await) });
        backend::answer(child).await
    }
}

pub(super) fn reply(status: u16, headers: &[(&'static str, String)], body: Vec<u8>) -> Response<Sent> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().expect("a value"));
    }
    response
}

fn decoded(authorization: &str) -> String {
    let encoded = authorization.strip_prefix("Basic ").unwrap_or_default();
    String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap_or_default()).unwrap_or_default()
}

/// A body that comes out of a pipe.
pub(super) struct Piped(pub(super) mpsc::Receiver<io::Result<Bytes>>);

impl Piped {
    fn broken_after(mut self, mut length: usize) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(piece)) = self.0.recv().await {
                let kept = piece.slice(..piece.len().min(length));
                length -= kept.len();
                let _ = sender.send(Ok(kept)).await;
                if length == 0 {
                    // What was sent should be on its way before the connection breaks.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let _ = sender.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                    return;
                }
            }
        });
        Self(receiver)
    }
}

impl Body for Piped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn acceptor(wire: Wire) -> TlsAcceptor {
    let certificates = CertificateDer::pem_file_iter(certs().join("origin.pem")).expect("certificates");
    let certificates = certificates.map(|certificate| certificate.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(certs().join("origin.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_no_client_auth().with_single_cert(certificates, key).expect("a certificate");
    config.alpn_protocols = vec![if wire == Wire::Http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    TlsAcceptor::from(Arc::new(config))
}

/// Where the published test CA lies.
pub(crate) fn certs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs")
}

pub(super) fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Thirty-two hexadecimal digits that nobody guesses.
pub(crate) fn random() -> String {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("randomness");
    format!("{:032x}", u128::from_le_bytes(bytes))
}

/// Most octets of a body that are kept.
const MAX_KEPT: usize = 256 * 1024;

//! A GitHub: repositories on disk that real git serves, and the REST API, which really moves them. It records all that it is asked.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Either, Limited};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

use self::{
    model::Model,
    rest::{Asked, Said},
    shapes::Links,
};
use super::{
    backend,
    hub::{Seen, Sent, certs, locked, random, reply},
};

pub(crate) mod model;
mod objects;
pub(crate) mod rest;
mod shapes;
mod storage;

/// Its parts, each at an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// git, and below `/api/v3` and `/api/uploads` what the next two have.
    Web,
    Api,
    Uploads,
    /// Where it keeps files; it takes signed links and no credential.
    Storage,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Plain,
    Http1,
    Http2,
}

/// It runs until it is dropped.
pub(crate) struct Fake {
    speech: Speech,
    shared: Arc<Shared>,
    _root: TempDir,
    _runtime: Runtime,
}

struct Shared {
    root: PathBuf,
    credential: String,
    links: Links,
    model: Mutex<Model>,
    seen: [Mutex<Vec<Seen>>; 4],
    /// Answers of a test's own to what begins so.
    instead: Mutex<Vec<(String, Said)>>,
}

impl Fake {
    /// One that takes this credential and no other. Its public repository may be read without.
    pub(crate) fn start(speech: Speech, credential: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory for repositories");
        let model = Mutex::new(Model::new(root.path()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listeners = [(); 4].map(|()| runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port"));
        let [web, api, uploads, storage] = [0, 1, 2, 3].map(|place: usize| {
            let address = listeners[place].local_addr().expect("an address");
            format!("{}://{address}", if speech == Speech::Plain { "http" } else { "https" })
        });
        let links = Links { web, api, uploads, storage, signature: random() };
        let (seen, instead) = Default::default();
        let shared = Shared { root: root.path().to_owned(), credential: credential.to_owned(), links, model, seen, instead };
        let shared = Arc::new(shared);
        let acceptor = (speech != Speech::Plain).then(|| acceptor(speech));
        for (listener, place) in listeners.into_iter().zip([Place::Web, Place::Api, Place::Uploads, Place::Storage]) {
            let (shared, acceptor) = (shared.clone(), acceptor.clone());
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(converse(stream, acceptor.clone(), place, shared.clone()));
                }
            });
        }
        Self { speech, shared, _root: root, _runtime: runtime }
    }

    /// Where a part of it is, as a base URL.
    pub(crate) fn url(&self, place: Place) -> &str {
        let links = &self.shared.links;
        match place {
            Place::Web => &links.web,
            Place::Api => &links.api,
            Place::Uploads => &links.uploads,
            Place::Storage => &links.storage,
        }
    }

    /// The base URL of its API, by the part of it that is asked.
    pub(crate) fn api(&self, place: Place) -> String {
        format!("{}{}", self.url(place), if place == Place::Web { "/api/v3" } else { "" })
    }

    /// Whom to trust to reach it, in PEM.
    pub(crate) fn authority() -> String {
        std::fs::read_to_string(certs().join("ca.pem")).expect("the test authority")
    }

    pub(crate) fn address(&self, place: Place) -> SocketAddr {
        self.url(place).rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address")
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.speech != Speech::Plain
    }

    /// The secret part of its links to files.
    pub(crate) fn signature(&self) -> &str {
        &self.shared.links.signature
    }

    /// What it knows now, to look at or to change.
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        locked(&self.shared.model)
    }

    /// All of it as it is now, to compare.
    pub(crate) fn state(&self) -> Value {
        self.model().state()
    }

    /// Every request that a part of it has had so far.
    pub(crate) fn seen(&self, place: Place) -> Vec<Seen> {
        locked(&self.shared.seen[place as usize]).clone()
    }

    /// From now on it answers so to what has this path in the API, or one that begins so.
    pub(crate) fn answer_instead(&self, begin: &str, said: Said) {
        locked(&self.shared.instead).push((begin.to_owned(), said));
    }
}

async fn converse(stream: TcpStream, acceptor: Option<TlsAcceptor>, place: Place, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(shared.clone(), place, request));
    let Some(acceptor) = acceptor else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        return;
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

async fn answer(shared: Arc<Shared>, place: Place, request: Request<Incoming>) -> Result<Response<Sent>, io::Error> {
    let (head, body) = request.into_parts();
    let number = Seen::note(&mut locked(&shared.seen[place as usize]), &head);
    #[expect(clippy::disallowed_methods, reason = "the bound stands here")]
    let body = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes);
    if let Some(seen) = locked(&shared.seen[place as usize]).get_mut(number) {
        (seen.over, seen.whole) = (true, body.is_ok());
        seen.body = body.as_ref().map(|body| body.to_vec()).unwrap_or_default();
        seen.length = seen.body.len() as u64;
    }
    let body = body.map_err(io::Error::other)?;
    if place == Place::Web && !head.uri.path().starts_with("/api/") {
        return shared.git(head, body).await;
    }
    let said = tokio::task::spawn_blocking(move || shared.said(place, &head, &body)).await;
    let said = said.unwrap_or_else(|error| Said::json(500, &Value::from(format!("a mistake of the test's: {error}"))));
    Ok(reply(said.status, &said.headers, said.body))
}

impl Shared {
    async fn git(&self, head: Parts, body: Bytes) -> Result<Response<Sent>, io::Error> {
        let segments: Vec<_> = head.uri.path().trim_start_matches('/').split('/').collect();
        let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{}", self.credential)));
        let is_known = head.headers.get("authorization").is_some_and(|value| value.as_bytes() == wanted.as_bytes());
        let is_public = match segments[..] {
            [owner, name, ..] => locked(&self.model).named(owner, name).is_ok_and(|place| !locked(&self.model).repositories[place].private),
            _ => false,
        };
        let is_read = head.uri.query() == Some("service=git-upload-pack") || head.uri.path().ends_with("/git-upload-pack");
        if !(is_known || is_public && is_read) {
            return Ok(reply(401, &[("www-authenticate", "Basic realm=\"GitHub\"".to_owned())], Vec::new()));
        }
        let (child, stdin) = backend::start(&self.root, &head);
        tokio::spawn(async move { backend::feed(&mut Some(stdin), &body).await });
        Ok(backend::answer(child).await?.map(Either::Right))
    }

    fn said(&self, place: Place, head: &Parts, body: &Bytes) -> Said {
        let mut asked = understood(head, body);
        let shown = head.headers.get("authorization").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if place == Place::Storage {
            return storage::answer(&locked(&self.model), &self.links, &asked, shown.is_some());
        }
        let mut links = self.links.clone();
        if place == Place::Web {
            asked.path.drain(..asked.path.len().min(2));
            (links.api, links.uploads) = (format!("{}/api/v3", links.web), format!("{}/api/uploads", links.web));
        }
        let path = asked.path.join("/");
        if let Some((_, said)) = locked(&self.instead).iter().rev().find(|(begin, _)| path.starts_with(begin)) {
            return said.clone();
        }
        match shown {
            None => {}
            Some(shown) if ["Bearer", "token"].iter().any(|scheme| shown == format!("{scheme} {}", self.credential)) => asked.known = true,
            Some(_) => return Said::json(401, &serde_json::json!({ "message": "Bad credentials", "status": "401" })),
        }
        rest::answer(&mut locked(&self.model), &links, &asked)
    }
}

/// Reads a request as the most careless of servers might: it takes another method from wherever it is offered, `..` and `;` as they were
/// meant, the last of two equal keys, and compressed bodies.
fn understood(head: &Parts, body: &Bytes) -> Asked {
    let header = |name: &str| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut path = Vec::new();
    for segment in decoded(head.uri.path()).split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(path.pop()),
            segment => path.push(segment.to_owned()),
        }
    }
    let fields = head.uri.query().unwrap_or_default().split('&').filter(|field| !field.is_empty());
    let fields = fields.map(|field| field.split_once('=').unwrap_or((field, "")));
    let query: Vec<_> = fields.map(|(key, value)| (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))).collect();
    let mut bytes = body.to_vec();
    if header("content-encoding").is_some_and(|coding| coding.contains("gzip")) {
        let mut plain = Vec::new();
        let _ = flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain);
        bytes = plain;
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let body: Value = serde_json::from_slice(text).unwrap_or_default();
    let other = header("x-http-method-override").or_else(|| query.iter().find(|(key, _)| key == "_method").map(|(_, value)| value.clone()));
    let other = other.or_else(|| body["_method"].as_str().map(str::to_owned));
    let method = other.and_then(|method| method.to_ascii_uppercase().parse().ok()).unwrap_or_else(|| head.method.clone());
    Asked {
        method: if method == Method::HEAD { Method::GET } else { method },
        path,
        query,
        accept: header("accept").unwrap_or_default(),
        if_none_match: header("if-none-match"),
        body,
        bytes,
        known: false,
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).0,
            None => (bytes.push(*first), rest = after).0,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn acceptor(speech: Speech) -> TlsAcceptor {
    let certificates = CertificateDer::pem_file_iter(certs().join("origin.pem")).expect("certificates");
    let certificates = certificates.map(|certificate| certificate.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(certs().join("origin.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_no_client_auth().with_single_cert(certificates, key).expect("a certificate");
    config.alpn_protocols = vec![if speech == Speech::Http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    TlsAcceptor::from(Arc::new(config))
}

/// Most bytes of a body, as a pack or a file of a release.
const MAX_BODY: usize = 64 << 20;

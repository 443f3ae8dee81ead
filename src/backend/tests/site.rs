//! A server of what a directory holds, and real git beside it.

use std::{
    convert::Infallible,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::Command,
    time::{sleep, timeout},
};

use super::super::{Backend, BackendBody, BackendError, Call};
use crate::github::{ContentEncoding, ProtocolVersion, Service, route};

/// Longest that anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory whose `NAME.git` and `NAME.bundle` are served as `/git/o/NAME`.
pub(super) struct Site {
    directory: TempDir,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: Backend,
    directory: PathBuf,
    fast_forward_only: bool,
    /// The content encoding of each request that was compressed, and each error.
    seen: Mutex<Vec<String>>,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(false, false).await
    }

    /// With a state directory, `state`.
    pub(super) async fn with_state() -> Self {
        Self::with(true, false).await
    }

    pub(super) async fn fast_forward_only() -> Self {
        Self::with(false, true).await
    }

    async fn with(state: bool, fast_forward_only: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = state.then(|| directory.path().join("state"));
        let shared = Shared {
            backend: Backend::new(state.as_deref()),
            directory: directory.path().canonicalize().unwrap(),
            fast_forward_only,
            seen: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { directory, address, shared }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/git/o/{name}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(super) fn bare(&self, name: &str) -> PathBuf {
        self.shared.directory.join(format!("{name}.git"))
    }

    /// A bare repository with 200 commits on `main`, each of which changes `README` to its number.
    pub(super) async fn repository(&self, name: &str, format: &str) -> PathBuf {
        let bare = self.bare(name);
        let format = format!("--object-format={format}");
        git_ok(self.path(), &["init", "--quiet", "--bare", "--initial-branch=main", &format, bare.to_str().unwrap()]).await;
        let mut stream = String::new();
        for number in 1..=200 {
            let content = format!("{number}\n");
            let _ = write!(
                stream,
                "commit refs/heads/main\ncommitter a <a@example> {number} +0000\ndata 1\nm\nM 100644 inline README\ndata {}\n{content}\n",
                content.len()
            );
        }
        let file = self.path().join("stream");
        std::fs::write(&file, stream).unwrap();
        let status = command(&bare, &["fast-import", "--quiet"]).stdin(std::fs::File::open(file).unwrap()).status().await.unwrap();
        assert!(status.success());
        bare
    }

    pub(super) fn hook(&self, name: &str, hook: &str, script: &str) {
        let path = self.bare(name).join("hooks");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(hook), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path.join(hook), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) async fn tip(&self, name: &str, reference: &str) -> Option<String> {
        tip(&self.bare(name), reference).await
    }
}

pub(super) async fn tip(bare: &Path, reference: &str) -> Option<String> {
    let Output { status, stdout, .. } = git(bare, &["rev-parse", "--quiet", "--verify", reference]).await;
    status.success().then(|| text(&stdout))
}

type Answer = Response<Either<BackendBody, Full<bytes::Bytes>>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let route = route::parse(request.method().as_str(), &request.uri().to_string()).unwrap();
    let values = |name| request.headers().get_all(name).iter().map(|value: &http::HeaderValue| value.as_bytes());
    let service = match route.kind {
        route::Kind::Advertisement(service) | route::Kind::Rpc(service) => service,
    };
    let encoding = ContentEncoding::parse(service, values("content-encoding")).unwrap();
    if encoding == ContentEncoding::Gzip {
        shared.seen.lock().unwrap().push("gzip".into());
    }
    let files = [".git", ".bundle"].map(|suffix| shared.directory.join(format!("{}{suffix}", route.repository.name())));
    let call = Call {
        path: files.iter().find(|path| path.exists()).unwrap_or(&files[0]),
        kind: route.kind,
        protocol: ProtocolVersion::parse(values("git-protocol")),
        encoding,
        fast_forward_only: shared.fast_forward_only && service == Service::ReceivePack,
    };
    Ok(match shared.backend.serve(call, request.into_body(), ()).await {
        Ok(response) => response.map(Either::Left),
        Err(error) => refusal(&shared, &error),
    })
}

fn refusal(shared: &Shared, error: &BackendError) -> Answer {
    shared.seen.lock().unwrap().push(error.to_string());
    let mut response = Response::new(Either::Right(Full::from(error.public())));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    *response.status_mut() = StatusCode::from_u16(error.reason().status()).unwrap();
    response
}

pub(super) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@example");
    command.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@example").kill_on_drop(true);
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

pub(super) async fn git(directory: &Path, arguments: &[&str]) -> Output {
    timeout(PATIENCE, command(directory, arguments).output()).await.unwrap().unwrap()
}

/// What a git that succeeds prints.
pub(super) async fn git_ok(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = git(directory, arguments).await;
    assert!(status.success(), "git {arguments:?}: {}", text(&stderr));
    text(&stdout)
}

/// Waits for something that no one tells us of.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

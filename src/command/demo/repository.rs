//! A private repository somewhere on the internet, for lack of an internet: served to whoever shows its credential.

use std::{
    convert::Infallible,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::home::Home;
use crate::{
    backend::{Backend, BackendBody, Call},
    command::stage::random_word,
    github::{
        ContentEncoding, ProtocolVersion,
        route::{self, Kind, Route},
    },
    secret::Secret,
};

/// A bare repository behind HTTP, as a private one of GitHub's is.
pub(super) struct PrivateRepository {
    address: SocketAddr,
    bare: PathBuf,
    home: Home,
    token: Secret,
}

impl PrivateRepository {
    /// Makes the repository in an empty directory and serves it, as [`NAME`], on a free port of loopback for as long as the runtime
    /// lives.
    pub(super) async fn start(directory: PathBuf) -> io::Result<Self> {
        let bare = directory.join("spoon.git");
        let readme = directory.join("seed/README.md");
        let home = Home::new(directory)?;
        home.git(&["init", "--quiet", "--initial-branch=main", "seed"])?.succeed()?;
        fs::write(readme, "# A private repository\n")?;
        home.git(&["-C", "seed", "add", "README.md"])?.succeed()?;
        home.git(&["-C", "seed", "commit", "--quiet", "--message", "Begin"])?.succeed()?;
        home.git(&["clone", "--quiet", "--bare", "seed", "spoon.git"])?.succeed()?;
        let token = random_word()?;
        let origin = Arc::new(Origin { backend: Backend::new(None), bare: bare.clone(), authorization: basic(&token) });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let origin = Arc::clone(&origin);
                let service = service_fn(move |request| answer(Arc::clone(&origin), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, bare, home, token: Secret::new(token) })
    }

    /// Where it is: repositories stand right below.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The real credential, the password of [`USER`].
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// What nobody but its owner may ever see: the credential, and how it is sent.
    pub(super) fn secrets(&self) -> [Vec<u8>; 2] {
        let token = String::from_utf8_lossy(self.token.expose()).into_owned();
        let sent = STANDARD.encode(format!("{USER}:{token}"));
        [token.into_bytes(), sent.into_bytes()]
    }

    /// The commit that a branch is at, if there is this branch.
    pub(super) fn tip(&self, branch: &str) -> io::Result<Option<String>> {
        let (bare, name) = (self.bare.to_string_lossy(), format!("refs/heads/{branch}"));
        let ran = self.home.git(&["-C", &bare, "rev-parse", "--quiet", "--verify", &name])?;
        Ok(ran.succeeded.then(|| ran.printed.trim_end().to_owned()))
    }
}

/// What is served, and to whom.
struct Origin {
    backend: Backend,
    bare: PathBuf,
    authorization: String,
}

type Answer = Response<Either<BackendBody, Full<Bytes>>>;

async fn answer(origin: Arc<Origin>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match origin.judge(&request) {
        Ok(call) => match origin.backend.serve(call, request.into_body(), ()).await {
            Ok(response) => response.map(Either::Left),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.public()),
        },
        Err(status) => refusal(status, "not here, or not for you\n"),
    })
}

impl Origin {
    /// What is asked, if it is the one repository, and who asks has the credential.
    fn judge(&self, request: &Request<Incoming>) -> Result<Call<'_>, StatusCode> {
        let values = |name| request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
        if !values(AUTHORIZATION).eq([self.authorization.as_bytes()]) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let target = request.uri().path_and_query().ok_or(StatusCode::NOT_FOUND)?;
        let route = route::parse(request.method().as_str(), &format!("/git{target}"));
        let Route { repository, kind } = route.map_err(|_| StatusCode::NOT_FOUND)?;
        if repository.as_str() != NAME {
            return Err(StatusCode::NOT_FOUND);
        }
        let (Kind::Advertisement(service) | Kind::Rpc(service)) = kind;
        let encoding = ContentEncoding::parse(service, values(http::header::CONTENT_ENCODING));
        let encoding = encoding.map_err(|_| StatusCode::UNSUPPORTED_MEDIA_TYPE)?;
        let protocol = ProtocolVersion::parse(request.headers().get_all(GIT_PROTOCOL).iter().map(HeaderValue::as_bytes));
        Ok(Call { path: &self.bare, kind, protocol, encoding, fast_forward_only: true })
    }
}

fn refusal(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"origin\""));
    }
    response
}

fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{token}")))
}

/// The one repository, as a grant names it.
pub(super) const NAME: &str = "octo/spoon";

/// The user that GitHub wants beside a token.
pub(super) const USER: &str = "x-access-token";

const GIT_PROTOCOL: &str = "git-protocol";

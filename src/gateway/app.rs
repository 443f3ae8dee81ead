//! Tokens of a GitHub App: made where a session needs one, narrowed to what its grant says, and taken back when it ends.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, timeout},
};
use zeroize::Zeroizing;

use super::Visit;
use crate::{
    credentials::{App, AppError, Token, authorize_api},
    github::{
        RepositoryName,
        app::{Installation, MAX_ANSWER, MadeToken, Mismatch, Narrowed, TokenRequest, read_date},
        denied::Denied,
        identity::{Elsewhere, Identity, RepositoryId},
    },
    metrics::Exchange,
    passage::{Forge, Gate, Subject, session_over},
    policy::{
        app::{TokenWish, wish_token},
        base_of,
        grant::Access,
    },
    secret::Secret,
    sessions::Session,
    upstream::ResponseBody,
};

impl Visit<'_> {
    /// The token of an App for what a session may do at a granted repository.
    pub(super) async fn token(&self, app: &Arc<App>, repository: &RepositoryName, access: Access) -> Result<Arc<Secret>, AppError> {
        let wish = wish_token(&self.subject.governing.grant, repository, access).ok_or(AppError::NotGranted)?;
        let (together, base) = (self.token_for(app, &wish).await?, base_of(repository));
        if together.repositories().contains(&base) {
            return Ok(Arc::clone(together.secret()));
        }
        // One that went to another account, or that no installation covers.
        let alone = self.token_for(app, &wish.only(|name| *name == base)).await?;
        Ok(Arc::clone(alone.secret()))
    }

    async fn token_for(&self, app: &Arc<App>, wish: &TokenWish) -> Result<Token, AppError> {
        // Tokens are the session's, whichever of its own tokens they were made for, and end with it alone.
        let session = self.subject.session.whole();
        if session.tokens().begin_watch() {
            let (gate, subject) = (Arc::clone(self.gate), Subject::of(Arc::clone(session)));
            tokio::spawn(async move {
                session_over(&gate, &subject).await;
                take_back(&gate, &subject.session).await;
            });
        }
        let (gate, session) = (Arc::clone(self.gate), Arc::clone(session));
        let errand = Errand { gate, session, app: Arc::clone(app), wish: wish.clone() };
        self.subject.session.tokens().get(app.id(), wish, || errand.run()).await
    }
}

/// Takes back every token that a session has, as far as GitHub does so in time; what is left ends by itself.
pub(crate) async fn take_back(gate: &Arc<Gate>, session: &Session) {
    let mut under_way = JoinSet::new();
    for token in session.tokens().take() {
        let gate = Arc::clone(gate);
        under_way.spawn(async move {
            if let Some(forge) = token.repositories().first().and_then(|name| gate.forges.of(name)) {
                revoke(&gate, forge, token.secret()).await;
            }
        });
    }
    if timeout(TAKING_BACK, under_way.join_all()).await.is_err() {
        tracing::warn!(session = &**session.id(), "tokens of a GitHub App could not be taken back in time, and end by themselves");
    }
}

async fn revoke(gate: &Gate, forge: &Forge, secret: &Secret) {
    let (mut headers, host) = (HeaderMap::new(), forge.host.as_str());
    authorize_api(&mut headers, secret);
    match ask(gate, forge, Method::DELETE, "/installation/token", headers, Vec::new()).await {
        Ok(said) if said.status.is_success() => tracing::debug!(host, "a token of a GitHub App was taken back"),
        Ok(Said { status, .. }) => tracing::warn!(%status, host, "a token of a GitHub App could not be taken back"),
        Err(error) => tracing::warn!(%error, host, "a token of a GitHub App could not be taken back"),
    }
}

/// The making of one token.
struct Errand {
    gate: Arc<Gate>,
    session: Arc<Session>,
    app: Arc<App>,
    wish: TokenWish,
}

impl Errand {
    async fn run(self) -> Result<Token, AppError> {
        let patience = self.app.patience();
        let made = timeout(patience, self.exchange()).await.unwrap_or(Err(AppError::Late(patience)));
        let token = made.inspect_err(|error| {
            let refused = if error.is_refusal() { Exchange::Refused } else { Exchange::Failed };
            self.gate.metrics.exchanged(if matches!(error, AppError::Wider(_)) { Exchange::Wider } else { refused });
        })?;
        if self.session.standing((self.gate.clock)()).is_err() {
            take_back(&self.gate, &self.session).await;
            return Err(AppError::Lost);
        }
        Ok(token)
    }

    async fn exchange(&self) -> Result<Token, AppError> {
        let (mut covered, mut installed) = (BTreeSet::new(), None::<Installation>);
        for name in self.wish.repositories() {
            let found = self.look_up(name).await?;
            // An account has one; a repository that went to another account has another.
            if let Some(found) = found.filter(|found| installed.as_ref().is_none_or(|known| known.id == found.id)) {
                covered.insert(name.clone());
                installed = Some(found);
            }
        }
        let installed = installed.ok_or(AppError::NotInstalled)?;
        if installed.is_suspended {
            return Err(AppError::Suspended);
        }
        let permissions = self.wish.within(&installed.permissions)?;
        let numbers = self.numbers(&installed, &covered).await?;
        let request = TokenRequest::new(numbers, permissions).ok_or(AppError::NotGranted)?;
        self.make(&installed, &request, &covered).await.map(|(token, _)| token)
    }

    /// The installation that covers a repository, if one does.
    async fn look_up(&self, name: &RepositoryName) -> Result<Option<Installation>, AppError> {
        let mut path = format!("/repos/{}", name.path());
        for _ in 0..=MAX_REDIRECTS {
            let (forge, said) = self.ask(Method::GET, &format!("{path}{INSTALLATION}"), Vec::new()).await?;
            match said.status {
                StatusCode::OK => return Installation::read(&said.body).map(Some).ok_or(AppError::Unreadable),
                StatusCode::NOT_FOUND => return Ok(None),
                status if status.is_redirection() => {
                    let location =
                        said.headers.get(header::LOCATION).and_then(|location| location.to_str().ok()?.strip_suffix(INSTALLATION));
                    let elsewhere = location.zip(forge.api.as_ref()).and_then(|(location, api)| {
                        let beside = format!("api.{}", forge.host.as_str());
                        Elsewhere::read(location, api, &[forge.host.as_str(), &beside])
                    });
                    path = elsewhere.ok_or(AppError::Unreadable)?.path();
                }
                _ => return Err(self.denied(&said)),
            }
        }
        Err(AppError::Unreadable)
    }

    /// Which repositories the names are: those that the session's grants are bound to, which is learnt here of those that are not yet.
    async fn numbers(&self, installed: &Installation, names: &BTreeSet<RepositoryName>) -> Result<BTreeSet<RepositoryId>, AppError> {
        let unknown = names.iter().filter(|name| self.session.bound(name).is_none()).cloned().collect();
        if let Some(request) = TokenRequest::learning(unknown) {
            let (_, found) = self.make(installed, &request, names).await?;
            for Identity { id, name } in found {
                if let Some(granted) = names.iter().find(|granted| granted.path() == name.path()) {
                    self.gate.sessions.bind(&self.session, granted, id);
                }
            }
        }
        Ok(names.iter().filter_map(|name| self.session.bound(name)).collect())
    }

    /// One exchange: the token, and the repositories that it is good for.
    async fn make(
        &self,
        installed: &Installation,
        request: &TokenRequest,
        names: &BTreeSet<RepositoryName>,
    ) -> Result<(Token, Vec<Identity>), AppError> {
        let asked = Instant::now();
        let path = format!("/app/installations/{}/access_tokens", installed.id);
        let (forge, said) = self.ask(Method::POST, &path, request.to_bytes()).await?;
        if said.status != StatusCode::CREATED {
            return Err(self.denied(&said));
        }
        let made = MadeToken::read(&said.body).ok_or(AppError::Unreadable)?;
        let Narrowed { secret, expires, repositories } = match request.check(made) {
            Ok(narrowed) => narrowed,
            Err(Mismatch { wider, secret }) => {
                revoke(&self.gate, forge, &secret).await;
                return Err(AppError::Wider(wider));
            }
        };
        // Dates are written in whole seconds.
        let now = said.date().map_or_else(|| (self.gate.clock)(), |date| date + Duration::from_secs(1));
        let life = expires.duration_since(now).map_err(|_| AppError::Over)?;
        let token = Token::new(secret, names.clone(), asked, life);
        self.session.tokens().keep(token.clone());
        self.gate.metrics.exchanged(Exchange::Made);
        Ok((token, repositories))
    }

    /// Asks as the App, at the GitHub of the wish.
    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(&Forge, Said), AppError> {
        let forge = self.wish.repositories().first().and_then(|name| self.gate.forges.of(name)).ok_or(AppError::NoApi)?;
        let mut headers = HeaderMap::new();
        self.app.sign_in(&mut headers)?;
        Ok((forge, ask(&self.gate, forge, method, path, headers, body).await?))
    }

    /// What an answer without what was asked for means.
    fn denied(&self, said: &Said) -> AppError {
        let status = said.status.as_u16();
        if !matches!(status, 401 | 403) {
            return AppError::Status(status);
        }
        let skew = said.date().map(|there| {
            let here = (self.gate.clock)();
            let seconds = |gap: Duration| i64::try_from(gap.as_secs()).unwrap_or(i64::MAX);
            here.duration_since(there).map_or_else(|behind| -seconds(behind.duration()), seconds)
        });
        AppError::Denied(Denied::read(status, said.headers.contains_key("x-github-sso"), &said.body), skew)
    }
}

/// What an API said.
struct Said {
    status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl Said {
    /// When, by its own clock.
    fn date(&self) -> Option<SystemTime> {
        read_date(self.headers.get(header::DATE)?.to_str().ok()?)
    }
}

/// Asks the API of a GitHub, and reads all that it says. Nobody is followed anywhere.
async fn ask(gate: &Gate, forge: &Forge, method: Method, path: &str, headers: HeaderMap, body: Vec<u8>) -> Result<Said, AppError> {
    let api = forge.api.as_ref().ok_or(AppError::NoApi)?;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("tidegate"));
    if method == Method::POST {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    *request.method_mut() = method;
    *request.uri_mut() = format!("{}{path}", api.prefix).parse().map_err(|_| AppError::NoApi)?;
    let answer = gate.upstream.exchange(api, &forge.tls, forge.timeouts, request).await;
    let (head, body) = answer.map_err(|failure| AppError::Unanswered(failure.to_string().into()))?.into_parts();
    let body = gather(body).await.ok_or(AppError::Unreadable)?;
    Ok(Said { status: head.status, headers: head.headers, body })
}

/// A body of bounded size, which may hold a token.
async fn gather(body: ResponseBody) -> Option<Zeroizing<Vec<u8>>> {
    let (mut body, mut bytes) = (pin!(Limited::new(body, MAX_ANSWER)), Zeroizing::new(Vec::new()));
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(frame.ok()?.data_ref().map_or(&[], |data| data));
    }
    Some(bytes)
}

/// Longest that the end of a session waits for its tokens to be taken back.
const TAKING_BACK: Duration = Duration::from_secs(10);
/// Most times that an API sends us on.
const MAX_REDIRECTS: usize = 2;
const INSTALLATION: &str = "/installation";

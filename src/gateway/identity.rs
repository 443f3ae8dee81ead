//! Which repository a granted name is at its host: asked of the host's API, by the credential that git's requests go with.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use tokio::time::{Instant, timeout};

use super::Visit;
use crate::{
    credentials::{GithubCredential, authorize_api},
    endpoint::Endpoint,
    github::{
        RepositoryName,
        identity::{self, Elsewhere, Identity},
    },
    passage::{Asking, Forge},
    policy::{
        Whereabouts, base_of, decide_identity,
        grant::{Access, Bearer},
    },
    reason::Reason,
    respond::Refusal,
    secret::Secret,
    upstream::ResponseBody,
};

impl Visit<'_> {
    /// Where a granted repository is. The first answer of the API binds the session's grant to the repository that it tells of.
    pub(super) async fn locate(&self, forge: &Forge, repository: &RepositoryName) -> Result<Whereabouts, Refusal> {
        let base = base_of(repository);
        let found = self.identify(forge, &base, &base, Instant::now(), false).await;
        self.decide(repository, &base, found.as_ref())
    }

    /// Where a granted repository is that git did not find at `asked`, but was sent on from there, to `named` as far as that is a
    /// repository of the same host. `None` where the API does not tell that it is the same one.
    pub(super) async fn follow(
        &self,
        forge: &Forge,
        repository: &RepositoryName,
        asked: &Whereabouts,
        named: Option<RepositoryName>,
    ) -> Result<Option<Whereabouts>, Refusal> {
        let (base, now) = (base_of(repository), Instant::now());
        if let Some(found) = self.identify(forge, &base, &base, now, true).await {
            let whereabouts = self.decide(repository, &base, Some(&found))?;
            if whereabouts != *asked {
                return Ok(Some(whereabouts));
            }
        }
        let Some((named, _bound)) = named.zip(self.subject.session.bound(&base)) else { return Ok(None) };
        let named = base_of(&named.at(base.host().cloned()));
        let Some(found) = self.identify(forge, &base, &named, now, true).await else { return Ok(None) };
        let whereabouts = self.decide(repository, &base, Some(&found))?;
        forge.identities.learn(&self.asking(&base), now, found).await;
        Ok(Some(whereabouts))
    }

    fn decide(&self, repository: &RepositoryName, base: &RepositoryName, found: Option<&Identity>) -> Result<Whereabouts, Refusal> {
        let session = &self.subject.session;
        let bound = found.map(|found| self.gate.sessions.bind(session, base, found.id)).or_else(|| session.bound(base));
        Ok(decide_identity(repository, bound, found)?)
    }

    /// Which repository a name is, by the credential for the one that is granted.
    async fn identify(
        &self,
        forge: &Forge,
        granted: &RepositoryName,
        name: &RepositoryName,
        now: Instant,
        again: bool,
    ) -> Option<Identity> {
        let api = forge.api.as_ref()?;
        let ask = || async {
            let secret = self.secret(forge, granted, Access::Read).await.ok()?;
            timeout(PATIENCE, self.ask(forge, api, (granted, name), secret)).await.ok().flatten()
        };
        forge.identities.find(&self.asking(name), now, again, ask).await
    }

    /// What the credential of a request sees is for those who go by the same.
    fn asking(&self, name: &RepositoryName) -> Asking {
        let is_own = self.subject.governing.credentials.contains_key(&name.host().cloned());
        Asking { name: name.clone(), session: is_own.then(|| self.subject.session.identity()) }
    }

    /// Follows the API to where it has the repository, and to no other host.
    async fn ask(
        &self,
        forge: &Forge,
        api: &Endpoint,
        (granted, name): (&RepositoryName, &RepositoryName),
        mut secret: Arc<Secret>,
    ) -> Option<Identity> {
        let beside = format!("api.{}", forge.host.as_str());
        let mut at = Elsewhere::Name(name.clone());
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Empty::<Bytes>::new());
            *request.uri_mut() = format!("{}{}", api.prefix, at.path()).parse().ok()?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
            request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("tidegate"));
            authorize_api(request.headers_mut(), &secret);
            let answer = self.gate.upstream.exchange(api, &forge.tls, forge.timeouts, request).await;
            let answer = answer.inspect_err(|error| tracing::info!(%error, repository = %name, "GitHub's API cannot be asked")).ok()?;
            if answer.status() == StatusCode::OK {
                return identity::read(&gather(answer.into_body()).await?);
            }
            if answer.status() == StatusCode::UNAUTHORIZED && self.turned_away(forge, granted, &secret) {
                secret = self.secret(forge, granted, Access::Read).await.ok()?;
                continue;
            }
            if !answer.status().is_redirection() {
                tracing::info!(status = %answer.status(), repository = %name, "GitHub's API tells nothing of a repository");
                return None;
            }
            let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
            at = Elsewhere::read(location, api, &[forge.host.as_str(), &beside])?;
        }
        None
    }

    /// The credential for a granted repository: the session's own for its host, or else the host's.
    fn credential<'c>(&'c self, forge: &'c Forge, repository: &RepositoryName) -> Result<&'c Arc<GithubCredential>, Refusal> {
        let own = self.subject.governing.credentials.get(&repository.host().cloned());
        own.or(forge.credential.as_ref()).ok_or_else(|| Refusal::new(Reason::CredentialUnavailable, NO_CREDENTIAL))
    }

    /// Whose credential goes with requests to a granted repository, where there is one.
    pub(super) fn bearer(&self, repository: &RepositoryName) -> Option<Bearer> {
        let forge = self.gate.forges.of(repository)?;
        Some(self.credential(forge, repository).ok()?.bearer())
    }

    /// What goes with a request to a granted repository: [`Access::Write`] for what was judged to write and for what GitHub shows only to
    /// who may write, [`Access::Read`] for everything else.
    ///
    /// # Errors
    /// [`Reason::CredentialUnavailable`].
    pub(super) async fn secret(&self, forge: &Forge, repository: &RepositoryName, access: Access) -> Result<Arc<Secret>, Refusal> {
        match &**self.credential(forge, repository)? {
            // One that a person or a program gave is what it is.
            GithubCredential::User(user) => user.secret().await.map_err(|error| {
                tracing::error!(%error, "a real credential cannot be had");
                Refusal::new(Reason::CredentialUnavailable, NOT_TO_BE_HAD)
            }),
            GithubCredential::App(app) => self.token(app, repository, access).await.map_err(|error| {
                tracing::error!(%error, %repository, "a real credential cannot be had");
                Refusal::new(Reason::CredentialUnavailable, error.public(repository))
            }),
        }
    }

    /// Notes that an upstream answered 401 to what [`Self::secret`] gave. Whether there may be another now, so that it is worth asking
    /// once more.
    pub(super) fn turned_away(&self, forge: &Forge, repository: &RepositoryName, secret: &Secret) -> bool {
        self.credential(forge, repository).is_ok_and(|credential| match &**credential {
            GithubCredential::User(user) => user.forget(secret),
            GithubCredential::App(_) => self.subject.session.tokens().forget(secret),
        })
    }
}

/// A body in bounded size.
async fn gather(body: ResponseBody) -> Option<BytesMut> {
    let (mut body, mut bytes) = (pin!(Limited::new(body, identity::MAX_ANSWER)), BytesMut::new());
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(frame.ok()?.data_ref().map_or(&[], |data| data));
    }
    Some(bytes)
}

/// For all that is asked of an API on account of one request, which waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most times that an API sends us on, or has us come with another token.
const MAX_REDIRECTS: usize = 3;

const NO_CREDENTIAL: &str = "There is no credential for this repository; the operator configures one in [[github]] or for the session.";
const NOT_TO_BE_HAD: &str = "The owner's credential cannot be had at the moment; the operator finds the cause in Tidegate's log.";

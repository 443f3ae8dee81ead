//! A token of GitHub's that a sandbox brought itself (`foreign_credentials`). It is refused, or serves for what anybody may read; nothing
//! takes its place.

use http::HeaderMap;

use super::{Gate, Subject};
use crate::{
    credentials::{authorize, authorize_api, is_github_token},
    github::RepositoryName,
    reason::Reason,
    respond::Refusal,
    secret::Secret,
};

/// One that may serve for public reads of a repository; only judging makes one. It is no session's, and no credential of ours.
#[derive(Debug)]
pub(crate) struct Brought {
    token: Secret,
    repository: RepositoryName,
}

impl Brought {
    /// The repository that it was shown for.
    pub(crate) fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Puts it into a request of git's.
    pub(crate) fn authorize(&self, headers: &mut HeaderMap) {
        authorize(headers, &self.token);
    }

    /// Puts it into a request for a file, or of the API's.
    pub(crate) fn authorize_api(&self, headers: &mut HeaderMap) {
        authorize_api(headers, &self.token);
    }
}

impl Gate {
    /// Judges what a request shows as its `Authorization` whose session is known otherwise: nothing, the session's own token, or a token
    /// that serves for public reads of the repository. Anything else is refused rather than dropped, since whoever sends it believes to act
    /// by it.
    ///
    /// # Errors
    /// [`Reason::CredentialNotAllowed`].
    pub(crate) fn judge_brought(
        &self,
        subject: &Subject,
        presented: Result<Option<Secret>, Refusal>,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<Brought>, Refusal> {
        let now = (self.clock)();
        let refusal = || Refusal::new(Reason::CredentialNotAllowed, FOREIGN);
        let Some(token) = presented.map_err(|_| refusal())? else { return Ok(None) };
        if self.sessions.is_own(&subject.session, &token, now) {
            return Ok(None);
        }
        let repository = repository.filter(|repository| self.forge_hosts.takes_token(repository)).ok_or_else(refusal)?;
        if !is_github_token(&token) || self.sessions.knows(&token, self.real_credentials(), now) {
            return Err(refusal());
        }
        Ok(Some(Brought { token, repository: repository.clone() }))
    }
}

const FOREIGN: &str = "The request carries a credential that is not this session's token, and this proxy passes on none; \
     send the request without it: the owner's credential is put in where the session has a grant.";

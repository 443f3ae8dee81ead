//! What a token of the sandbox's own reads: it goes to no repository that not everybody may read, whatever its owner could.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::{
    Visit,
    body::Upload,
    errand::{Errand, forge},
};
use crate::{
    github::{RepositoryName, Service},
    policy::{decide_repository, grant::Grant},
    reason::Reason,
    respond::Refusal,
};

impl Visit<'_> {
    /// Where the sandbox brought a token, makes sure that it reads what anybody may: the upstream is asked without any credential, once in
    /// a while for all who want to know.
    ///
    /// # Errors
    /// [`Reason::CredentialNotAllowed`] where it shows the repository to nobody then, or has none of it; trouble where it does not say.
    pub(super) async fn check_public(&mut self, repository: &RepositoryName) -> Result<(), Refusal> {
        let Some(brought) = self.brought.as_ref() else { return Ok(()) };
        let refusal = || Refusal::new(Reason::CredentialNotAllowed, format!("{repository} is not public: {READS_ALONE}"));
        let on_disk = self.subject.governing.grant.find(repository).is_some_and(|granted| granted.upstream_path.is_some());
        if on_disk || brought.repository() != repository {
            return Err(refusal());
        }
        let now = (self.gate.clock)();
        let known = &forge(self, repository)?.shown;
        if known.holds(repository, now) {
            return Ok(());
        }
        self.gate.count_upstream(self.subject).await?;
        // Our own octets, and nobody's credential.
        let traffic = Arc::new(self.gate.traffic(self.subject));
        let anybody = Visit { gate: self.gate, subject: self.subject, asked: self.asked, traffic, brought: None, scheme: self.scheme };
        let permit = decide_repository(&Grant::default(), repository, Service::UploadPack, true)?;
        let asking = Errand::advertisement(permit, &HeaderMap::new()).run(&anybody, Upload::none(&anybody.traffic));
        match timeout(PATIENCE, asking).await {
            Ok(Ok(_shown)) => {
                known.learn(repository.clone(), now);
                Ok(())
            }
            Ok(Err(trouble)) if trouble.answered.is_some_and(|status| HIDDEN.contains(&status)) => Err(refusal()),
            Ok(Err(trouble)) => Err(trouble.refusal),
            Err(_) => Err(Refusal::new(Reason::UpstreamTimeout, LATE)),
        }
    }
}

/// By which an upstream says that there is nothing to be seen without a credential.
const HIDDEN: [StatusCode; 3] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
/// Longest that it may take to say so.
const PATIENCE: Duration = Duration::from_secs(20);
const LATE: &str = "The upstream did not say in time whether the repository is public, which a token that the sandbox brought depends on.";

/// What such a token is good for.
pub(super) const READS_ALONE: &str = "a token that the sandbox brought serves for public reads alone; send the request without it, and the \
     owner's credential is put in where the session has a grant.";

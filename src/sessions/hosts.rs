//! Names of repositories in settings, where another `[[github]]` comes first than in this process: which one does stays as it was at the
//! start, and no reload moves a grant or a credential to another host.

use std::{collections::BTreeMap, sync::Arc};

use super::{SessionSettings, SessionsError};
use crate::{credentials::GithubCredential, destination::Name, github::rehosted};

/// Of a session's own user, by the host that each is for; `None`: the first `[[github]]`. For others the upstream's one serves.
pub(crate) type OwnCredentials = BTreeMap<Option<Name>, Arc<GithubCredential>>;

impl SessionSettings {
    /// The same by what hosts are called where leaving one out means `now`, and no longer `before`.
    pub(super) fn seen_from(self, before: Option<&Name>, now: Option<&Name>) -> Result<Self, SessionsError> {
        let grant = self.grant.seen_from(before, now).map_err(|error| SessionsError::Grant(self.id.clone(), error.to_string()))?;
        let credentials = self.credentials.into_iter().map(|(host, own)| (rehosted(host, before, now), own)).collect();
        Ok(Self { grant, credentials, ..self })
    }
}

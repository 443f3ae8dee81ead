//! What goes on at a repository, held to the grants that come after it was judged.

use std::{sync::Arc, time::SystemTime};

use crate::{
    github::{RepositoryName, Service},
    passage::{Gate, Subject, withdrawn},
    policy::{DefaultBranch, Denial, LfsPermit, RefChange, decide_push, decide_repository, foresee_push},
    respond::Refusal,
    sessions::transfers::Transfer,
};

/// A fetch or a push that is under way.
pub(super) struct Standing {
    pub(super) gate: Arc<Gate>,
    /// Whose it is, under the grant of when it began.
    pub(super) subject: Subject,
    pub(super) repository: RepositoryName,
    pub(super) service: Service,
    /// Of a push, or of one that is to come.
    pub(super) changes: Vec<RefChange>,
    /// As it was known when a push was judged; none where no ref moves yet.
    pub(super) default: Option<DefaultBranch>,
    /// Where an object goes on its way, and by what leave.
    pub(super) storage: Option<(Arc<LfsPermit>, Arc<Transfer>)>,
}

impl Standing {
    /// Ends once it may no longer be: its session is over, or its grant refuses it now.
    pub(super) async fn withdrawn(self) -> Refusal {
        withdrawn(&self.gate, || self.judge()).await
    }

    fn judge(&self) -> Result<Option<SystemTime>, Refusal> {
        let Self { gate, subject, repository, service, changes, default, storage } = self;
        let now = gate.again(subject)?;
        if let Some((permit, transfer)) = storage {
            let _still = now.policy().decide_storage(permit, &transfer.action.href, (gate.clock)())?;
        }
        let governing = now.governing;
        // What began with a credential does not go on as what anybody may read.
        let was_granted = subject.governing.grant.reach(repository).is_some();
        let public_read = !was_granted && gate.forge_hosts.public_read(repository);
        let _still = decide_repository(&governing.grant, repository, *service, public_read)?;
        if !changes.is_empty() {
            let grant = &governing.grant;
            let still = match default {
                Some(default) => decide_push(grant, repository, changes, default).map(drop),
                None => foresee_push(grant, repository, changes).map(drop),
            };
            still.map_err(|denial| Box::new(Denial::from(&*denial)))?;
        }
        Ok(governing.expires)
    }
}

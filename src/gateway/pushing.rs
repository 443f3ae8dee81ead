//! A push that was judged by what it names: its pack looked through where that is asked, sent on, and answered, as git refuses one where
//! nothing comes of it.

use std::{fmt::Write as _, sync::Arc};

use http::{HeaderMap, Response};
use http_body_util::BodyExt;

use super::{
    Stay, Visit, ancestry,
    body::{Body, Rest, Upload, drain},
    errand::{Errand, Trouble},
    examination,
    inquiry::Inquiry,
    keeping::{Keeping, unkept, untold},
    spool::Spool,
    standing::Standing,
    trouble, whole,
};
use crate::{
    github::{RepositoryName, Service, answer_content_type, push::CommandList, report, route::Kind},
    pack::Looking,
    passage::Spent,
    policy::{ContentRules, DefaultBranch, Denial, PushDenial, PushPermit, RefChange},
    reason::Reason,
    respond::{self, Answer, Refusal},
    sessions::Turn,
    wire::secrets::Known,
};

/// A push that was judged by what it names.
pub(super) struct Pushing {
    pub(super) repository: RepositoryName,
    pub(super) headers: HeaderMap,
    pub(super) list: CommandList,
    pub(super) terms: Terms,
}

impl Pushing {
    /// Looks through what was kept, records what is allowed, and sends it.
    pub(super) async fn conclude(self, mut stay: Stay, permit: PushPermit, kept: Keeping) -> Result<Response<Body>, Refusal> {
        let mut visit = stay.visit();
        match self.look_through(&mut visit, permit, kept).await {
            Ok((permit, spool)) => {
                let upload = Upload::kept(self.list.to_bytes().into(), spool, &visit.traffic);
                self.send(&visit, permit, upload).await
            }
            Err(not_pushed) => answer_refused(&visit, &self.list, not_pushed),
        }
    }

    async fn look_through(&self, visit: &mut Visit<'_>, permit: PushPermit, kept: Keeping) -> Result<(PushPermit, Spool), NotPushed> {
        let inquiry = Inquiry::of(visit, &self.repository, &self.list, &self.headers);
        let passed = tokio::select! {
            biased;
            refusal = self.standing(visit).withdrawn() => return Err(refusal.into()),
            passed = self.examine(&inquiry, permit, kept) => passed?,
        };
        visit.record_leave(&self.repository, false)?;
        Ok(passed)
    }

    /// Judges what a pack holds and which commits it leaves behind, as far as either is asked.
    async fn examine(&self, inquiry: &Inquiry<'_>, mut permit: PushPermit, kept: Keeping) -> Result<(PushPermit, Spool), NotPushed> {
        let Keeping { mut spool, reader, .. } = kept;
        let (commits, contents) = reader.finish_push().map_err(untold)?;
        if let (Some(contents), Some(rules)) = (contents, permit.to_examine().cloned()) {
            let examined;
            (spool, examined) = examination::examine(inquiry, &self.list, &rules, spool, contents).await?;
            let secrets = looking(inquiry.visit, &rules)?.secrets;
            let in_name = |known: &Arc<Known>| self.list.updates.iter().find_map(|update| known.find(update.name.as_str().as_bytes()));
            permit = permit.examined(&self.terms.changes, &examined.naming(secrets.as_ref().and_then(in_name)))?;
        }
        if self.terms.is_to_prove {
            permit = ancestry::prove(inquiry, &self.list, permit, commits).await?;
        }
        spool.rewind().map_err(|error| unkept(&error))?;
        Ok((permit, spool))
    }

    /// Sends what was judged, and gives the answer back.
    pub(super) async fn send(
        self,
        visit: &Visit<'_>,
        permit: PushPermit,
        (upload, rest, spent): (Upload, Rest, Spent),
    ) -> Result<Response<Body>, Refusal> {
        let errand = Errand::push(permit, &self.headers);
        let mut spent = Box::pin(spent.refusal());
        let answer = tokio::select! {
            biased;
            refusal = self.standing(visit).withdrawn() => Err(Trouble::from(refusal)),
            refusal = &mut spent => Err(Trouble::from(refusal)),
            answer = errand.run(visit, upload) => answer,
        };
        let standing = self.standing(visit);
        let Self { list, terms: Terms { turn, .. }, .. } = self;
        match answer {
            Ok(answer) => Ok(answer.map(|body| visit.download(body, standing, spent).during(turn).after(rest).boxed_unsync())),
            Err(Trouble { refusal, answered }) => {
                // From here on nothing more is sent.
                let left = rest.left().await;
                // After something was sent, only who is told that it was refused, or is to be elsewhere, or who did not send the rest,
                // knows that nothing was done.
                let is_refused = answered.is_some_and(|status| status.is_client_error() || status.is_redirection());
                let answer = if visit.traffic.up() == 0 || is_refused || refusal.reason() == Reason::BudgetExhausted {
                    answer_refused(visit, &list, NotPushed::Refused(refusal))
                } else {
                    Ok(whole(answer_unknown(visit, &list, refusal)))
                };
                if let Some(left) = left {
                    drain(left).await;
                }
                answer
            }
        }
    }

    fn standing(&self, visit: &Visit<'_>) -> Standing {
        visit.standing_push(&self.repository, &self.terms.changes, &self.terms.default)
    }
}

/// On which a push was judged.
pub(super) struct Terms {
    /// Whether it has to be proved that no commit is left behind.
    pub(super) is_to_prove: bool,
    /// At worst, as far as it is not known better.
    pub(super) changes: Vec<RefChange>,
    /// As it was known.
    pub(super) default: DefaultBranch,
    /// Until its answer is over no other push of the session's changes these refs.
    pub(super) turn: Turn,
}

/// Why no ref changes.
pub(super) enum NotPushed {
    Denied(Box<PushDenial>),
    Refused(Refusal),
}

impl From<Box<PushDenial>> for NotPushed {
    fn from(denial: Box<PushDenial>) -> Self {
        Self::Denied(denial)
    }
}

impl From<Refusal> for NotPushed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Tells for each ref why it does not change; without git's own words for it where the client did not ask for them.
pub(super) fn answer_refused(visit: &Visit<'_>, list: &CommandList, not_pushed: NotPushed) -> Result<Response<Body>, Refusal> {
    let (refusal, refs) = match not_pushed {
        NotPushed::Denied(denial) => (Refusal::from(Box::new(Denial::from(&*denial))), denial.refs),
        NotPushed::Refused(refusal) => {
            let unsent = trouble::unsent(&refusal).filter(|_| visit.traffic.up() == 0);
            let is_unsent = unsent.is_some();
            let words = unsent.unwrap_or_else(|| {
                let mut words = format!("{}: not attempted", refusal.reason());
                if let Some(status) = refusal.status {
                    let _ = write!(words, ", the upstream answered {}", status.as_u16());
                }
                words
            });
            let refs = list.updates.iter().map(|update| (update.name.clone(), words.clone())).collect();
            (if is_unsent { trouble::of_push(refusal, list.has_pack()) } else { refusal }, refs)
        }
    };
    let refs = refs.iter().map(|(name, words)| (name, words.as_str()));
    match report::refusal(&list.capabilities, refs, &respond::advice(&refusal, visit.gate.owner)) {
        Some(body) => Ok(whole(refuse(visit, refusal, body))),
        None => Err(refusal),
    }
}

fn answer_unknown(visit: &Visit<'_>, list: &CommandList, refusal: Refusal) -> Answer {
    let text = format!("{} Whether the push took effect is not known: ask with git ls-remote before pushing again.", refusal.denial.detail);
    let body = report::interrupted(&list.capabilities, &text).unwrap_or_default();
    visit.gate.refuse_begun(visit.subject, visit.asked, &visit.traffic, refusal, RESULT, body)
}

pub(super) fn refuse(visit: &Visit<'_>, refusal: Refusal, body: Vec<u8>) -> Answer {
    visit.gate.refuse_natively(visit.subject, visit.asked, refusal, RESULT, body)
}

const RESULT: &str = answer_content_type(Kind::Rpc(Service::ReceivePack));

/// What rules have looked for.
pub(super) fn looking(visit: &Visit<'_>, rules: &ContentRules) -> Result<Looking, Refusal> {
    let secrets = rules.refuse_secrets.then(|| visit.gate.known_secrets()).transpose();
    let secrets = secrets.map_err(|_| Refusal::new(Reason::PolicyUnavailable, TOO_MANY_SECRETS))?;
    Ok(Looking { secrets, larger: rules.max_file })
}

const TOO_MANY_SECRETS: &str = "This proxy holds more secrets than can be looked for, and this session may push none.";

//! What is refused: put on record, remembered for the session's pages, and worded.

use super::{Asked, Gate, Subject, Traffic, redirects};
use crate::{
    audit::Record,
    destination::Host,
    respond::{Answer, Refusal},
    sessions,
};

impl Gate {
    /// Records a refusal, remembers it for the session's pages, and answers in a protocol of the client's own.
    pub(crate) fn refuse_natively(&self, subject: &Subject, asked: &Asked, refusal: Refusal, content_type: &str, body: Vec<u8>) -> Answer {
        Answer::native(&self.note(Some(subject), asked, refusal, asked.record()), content_type, body)
    }

    /// The same for what had begun to go up: how much of it stands on record, since what became of that is not known.
    pub(crate) fn refuse_begun(
        &self,
        subject: &Subject,
        asked: &Asked,
        traffic: &Traffic,
        refusal: Refusal,
        content_type: &str,
        body: Vec<u8>,
    ) -> Answer {
        let record = asked.record().ended(traffic.up(), traffic.down(), traffic.duration());
        Answer::native(&self.note(Some(subject), asked, refusal, record), content_type, body)
    }

    /// Records a refusal, remembers it for the session's pages, and words the answer.
    pub(crate) fn refuse(&self, subject: Option<&Subject>, asked: &Asked, refusal: Refusal) -> Answer {
        let refusal = self.note(subject, asked, refusal, asked.record());
        Answer::refusal(&refusal, &asked.context(self, subject, &refusal))
    }

    /// Records a refusal without an answer, as when a tunnel ends. Gives it back with what was asked filled in.
    pub(super) fn note(&self, subject: Option<&Subject>, asked: &Asked, mut refusal: Refusal, record: Record) -> Refusal {
        let denial = &mut refusal.denial;
        if let (None, Some(destination)) = (&denial.host, &asked.destination) {
            denial.host = Some(destination.host.clone());
            denial.port = Some(destination.port);
        }
        if let (None, Some(name)) = (&denial.host, &asked.name) {
            denial.host = Some(Host::Name(name.clone()));
        }
        let mut record = record.refused(denial.reason).by(denial.rule.as_ref());
        if let Some(from) = subject.and_then(|subject| redirects::explain(subject, denial, (self.clock)())) {
            record = record.redirected_by(from);
        }
        if denial.address.is_some() {
            record = record.at(denial.address);
        }
        // It is refused either way; a record that is lost is counted by the audit itself.
        let _ = self.record_by(subject, refusal.generation, record);
        let Some(subject) = subject else { return refusal };
        let mut remembered = sessions::Refusal::new(denial, (self.clock)());
        if let Some((method, path)) = asked.request() {
            remembered = remembered.requesting(method, path);
        }
        subject.session.remember(remembered);
        refusal
    }
}

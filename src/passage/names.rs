//! Names that are asked for: decided, counted, recorded, and answered from the session's own pool. Nobody else is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Asked, Gate, Subject};
use crate::{
    policy::{NameFacts, is_localhost},
    reason::Reason,
    respond::Refusal,
    sessions::synthetic::Lent,
    wire::dns::{Kind, Question},
};

impl Gate {
    /// Who asks by a datagram, which presents nothing and takes no place: the session of the entry.
    pub(crate) fn identify_bound(&self) -> Result<Subject, Refusal> {
        self.find(None, None).map(Subject::of)
    }

    /// Decides whether a name may be asked for, and records that it was. Gives the address of the kind that was asked for, if any is. The
    /// hosts of a GitHub and our own pages are no policy's matter, and `localhost` is the sandbox's own.
    pub(crate) async fn resolve(&self, subject: &Subject, asked: &Asked, question: &Question) -> Result<Option<IpAddr>, Refusal> {
        let name = question.name();
        let permit = match self.forge_hosts.decide_name(name) {
            None if is_localhost(name) => None,
            None => {
                let decided = subject.policy().decide_name(&NameFacts { name, now: (self.clock)() });
                Some(self.paced(subject, decided.map_err(Refusal::from)).await?)
            }
            ours => ours,
        };
        self.within(subject.session.limits().name())?;
        let mut record = asked.record();
        let mut addresses = LOOPBACK;
        if let Some(permit) = permit {
            record = record.by(permit.rule()).would_deny(permit.would_deny());
            if question.kind() != Kind::Other {
                let full = || Refusal::new(Reason::TooManyConnections, FULL);
                addresses = subject.session.synthetic().lend(&permit).ok_or_else(full)?;
            }
        }
        self.record(Some(subject), record)?;
        Ok(match question.kind() {
            Kind::A => Some(addresses.four.into()),
            Kind::Aaaa => Some(addresses.six.into()),
            Kind::Other => None,
        })
    }

    /// Records that a question is refused, and remembers it for the session's pages. Gives the sentence that says why.
    pub(crate) fn refuse_name(&self, subject: Option<&Subject>, asked: &Asked, refusal: Refusal) -> String {
        self.note(subject, asked, refusal, asked.record()).denial.to_string()
    }
}

const LOOPBACK: Lent = Lent { four: Ipv4Addr::LOCALHOST, six: Ipv6Addr::LOCALHOST };
const FULL: &str = "This session has connections to as many names as it can have addresses for; one that ends makes room.";

//! The values that a passed check leaves behind, and that the next step demands.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use super::{
    addresses::{AddressRules, Own, explain_refused},
    decision::{Denial, Protocol, RuleRef, SecretRule},
    requests::{Ech, Expectation},
    rules::Bearing,
};
use crate::{
    destination::{Destination, Host},
    reason::Reason,
};

/// Leave to resolve and dial one destination, once. Only judging makes one; dialling consumes it.
#[derive(Debug)]
pub struct Permit {
    pub(super) destination: Destination,
    pub(super) protocol: Protocol,
    pub(super) rule: Option<RuleRef>,
    pub(super) until: Option<SystemTime>,
    pub(super) addresses: Arc<AddressRules>,
    pub(super) ech: Ech,
    /// When it was decided.
    pub(super) now: SystemTime,
    /// Set in report mode: what would have been refused, had it counted.
    pub(super) would_deny: Option<Reason>,
    /// Whether what is refused later is reported instead.
    pub(super) report: bool,
    /// The rules about the destination.
    pub(super) rules: Bearing,
    /// That no secret may leave for it.
    pub(super) secrets: Option<RuleRef>,
    /// Whether TLS has to be looked into.
    pub(super) intercepts: bool,
}

impl Permit {
    /// Where the permit leads.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What the connection has to speak.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The entry that allowed it; none where a level allows without one.
    pub fn rule(&self) -> Option<&RuleRef> {
        self.rule.as_ref()
    }

    /// When that entry ends, and what it allowed has to be judged again.
    pub fn until(&self) -> Option<SystemTime> {
        self.until
    }

    /// What would have been refused, had report mode not let it through.
    pub fn would_deny(&self) -> Option<Reason> {
        self.would_deny
    }

    /// What the bytes of the connection will be held to.
    pub fn expectation(&self) -> Expectation {
        let Self { protocol, ech, report, .. } = *self;
        let secrets = self.secrets.clone().map(|rule| SecretRule { rule, destination: self.destination.clone(), report });
        Expectation { destination: self.destination.clone(), protocol, ech, report, rules: self.rules.clone(), secrets }
    }

    /// Leave to end TLS here where it has to, so that requests can be judged: a rule names the host, or its entry asks for it.
    /// A tunnel that is passed on unread would escape what was decided. An encrypted `ClientHello` is judged by its outer name whatever the
    /// policy makes of others: what is encrypted in it nobody reads, since TLS ends here by that name.
    pub fn interception(&self) -> Option<Interception> {
        self.intercepts.then(|| Interception { expectation: Expectation { ech: Ech::Outer, ..self.expectation() } })
    }

    /// Judges the addresses that the name resolved to (or that was spelled out). Refused ones are dropped; if none is
    /// left the whole answer is refused. In report mode only what `[addresses]` could open is let through.
    ///
    /// # Errors
    /// [`Reason::AddressNotAllowed`] naming the first refused address and why; [`Reason::DnsFailed`] where the answer is
    /// empty.
    pub fn admit(mut self, answer: &[IpAddr], own: &Own) -> Result<Admitted, Box<Denial>> {
        let Destination { port, .. } = self.destination;
        let mut addresses = Vec::with_capacity(answer.len());
        let mut refused = Vec::new();
        for &address in answer {
            match self.addresses.judge(&self.destination, address, own, self.now) {
                Ok(()) => addresses.push(SocketAddr::new(address, port)),
                Err(refusal) => refused.push(refusal),
            }
        }
        if addresses.is_empty() && self.report {
            let (reported, never): (Vec<_>, _) = refused.into_iter().partition(|refusal| refusal.reportable);
            addresses = reported.iter().map(|refusal| SocketAddr::new(refusal.address, port)).collect();
            self.would_deny = self.would_deny.or((!addresses.is_empty()).then_some(Reason::AddressNotAllowed));
            refused = never;
        }
        if addresses.is_empty() {
            return Err(Box::new(explain_refused(&self.destination, &refused)));
        }
        let dropped = refused.into_iter().map(|refusal| refusal.address).collect();
        Ok(Admitted { permit: self, addresses, dropped })
    }

    /// Admits a name as it is, for a parent proxy that resolves it: no address is judged. Where the sandbox spelled out an address, the
    /// permit is given back, to be judged by that.
    pub fn admit_by_parent(self) -> Result<Admitted, Box<Self>> {
        match self.destination.host {
            Host::Name(_) => Ok(Admitted { permit: self, addresses: Vec::new(), dropped: Vec::new() }),
            Host::Ip(_) => Err(Box::new(self)),
        }
    }

    /// The same as [`admit`](Self::admit) for the address of a connection that is open already, which has to be admitted as it is. Where it is not, the
    /// permit is given back, for another connection.
    pub fn admit_open(self, address: IpAddr, own: &Own) -> Result<Admitted, Box<Self>> {
        match self.addresses.judge(&self.destination, address, own, self.now) {
            Ok(()) => {
                let addresses = vec![SocketAddr::new(address, self.destination.port)];
                Ok(Admitted { permit: self, addresses, dropped: Vec::new() })
            }
            Err(_) => Err(Box::new(self)),
        }
    }
}

/// Leave to show a certificate of our own for one host. Only judging makes one.
#[derive(Debug, Clone)]
pub struct Interception {
    pub(super) expectation: Expectation,
}

impl Interception {
    /// What the bytes of the connection are held to.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// The destination, whose host the certificate is for.
    pub fn destination(&self) -> &Destination {
        self.expectation.destination()
    }
}

/// Addresses that a permit let through: the only ones that may be dialled, in the order of the answer.
#[derive(Debug)]
pub struct Admitted {
    pub(super) permit: Permit,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) dropped: Vec<IpAddr>,
}

impl Admitted {
    /// The permit, which now also tells whether an address would have been refused.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Empty only where a parent proxy resolves the name.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Addresses of the same answer that may not be dialled.
    pub fn dropped(&self) -> &[IpAddr] {
        &self.dropped
    }
}

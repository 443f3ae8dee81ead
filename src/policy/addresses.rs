//! Which addresses a permitted name may resolve to: public ones, those that `[addresses]` declares, and never this
//! proxy itself.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use ipnet::IpNet;

use super::{
    decision::{Denial, RuleRef},
    index::Index,
};
use crate::{
    address::{AddressClass, Opening, classify, is_never_opened, reached},
    destination::{Destination, Host, Name},
    reason::Reason,
};

/// What this host itself is on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// The addresses of its interfaces; refused unless declared.
    pub addresses: Vec<IpAddr>,
    /// Where this program listens; always refused. An unspecified address stands for every own address and loopback.
    pub listeners: Vec<SocketAddr>,
}

/// The `[addresses]` of a policy, and the addresses that its `deny` names.
#[derive(Debug, Default)]
pub(super) struct AddressRules {
    pub(super) opened: Index,
    pub(super) denied: Arc<Index>,
}

/// Why an address is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) address: IpAddr,
    why: String,
    rule: Option<RuleRef>,
    /// Whether a declaration would open it.
    declarable: bool,
    /// Whether report mode lets it through: neither what no declaration opens, nor loopback.
    pub(super) reportable: bool,
}

impl AddressRules {
    /// Whether `[addresses]` declares an address itself, not one that it embeds.
    pub(super) fn declares(&self, address: IpAddr) -> bool {
        let destination = Destination { host: Host::Ip(address.to_canonical()), port: 0 };
        self.opened.find(&destination, SystemTime::UNIX_EPOCH).port.is_some()
    }

    /// Judges one address of the answer for a destination that is permitted.
    pub(super) fn judge(&self, destination: &Destination, address: IpAddr, own: &Own, now: SystemTime) -> Result<(), Refused> {
        let port = destination.port;
        let refuse = |why: String, declarable, reportable| Err(Refused { address, why, rule: None, declarable, reportable });
        if own.listens_on(address, port) {
            return refuse("it is this proxy itself".into(), false, false);
        }
        let class = classify(address);
        let opening = class.opening();
        if opening == Opening::Never {
            return refuse(format!("it is {class}"), false, false);
        }
        if let Some(entry) = self.denied.denying(&Destination { host: Host::Ip(address), port }, now).enforced {
            let why = format!("it is denied by {}", entry.rule);
            return Err(Refused {
                address,
                why,
                rule: Some(entry.rule.clone()),
                declarable: false,
                reportable: opening != Opening::Loopback,
            });
        }
        let spelled_out = destination.host.ip() == Some(address) && opening != Opening::Loopback;
        if spelled_out || self.declares(address) {
            return Ok(());
        }
        match opening {
            Opening::Open if own.has(address) => refuse("it is an address of this host".into(), true, true),
            Opening::Open => Ok(()),
            Opening::Declarable => refuse(format!("it is {class}"), true, true),
            Opening::Loopback | Opening::Never => refuse(format!("it is {class}"), true, false),
        }
    }
}

impl Own {
    fn has(&self, address: IpAddr) -> bool {
        reached(address).any(|reached| self.addresses.iter().any(|own| own.to_canonical() == reached))
    }

    /// Whether a connection to this address and port comes to a listener of ours.
    pub fn listens_on(&self, address: IpAddr, port: u16) -> bool {
        self.listeners.iter().filter(|listener| listener.port() == port).any(|listener| {
            let listening = listener.ip().to_canonical();
            if listening.is_unspecified() {
                self.has(address) || reached(address).any(|reached| reached.is_loopback() || reached.is_unspecified())
            } else {
                reached(address).any(|reached| reached == listening)
            }
        })
    }
}

/// Whether a name is one of this host or of a metadata service: refused whatever it resolves to, and never resolved.
pub fn is_local_name(name: &Name) -> bool {
    is_localhost(name) || METADATA_NAMES.contains(&name.as_str())
}

/// Whether a name is loopback's own (RFC 6761, section 6.3).
pub fn is_localhost(name: &Name) -> bool {
    name.suffixes().last() == Some("localhost")
}

/// Puts into words that every address of an answer is refused, or that there was none.
pub(super) fn explain_refused(destination: &Destination, refused: &[Refused]) -> Denial {
    let Some(first) = refused.first() else {
        return Denial::new(Reason::DnsFailed, format!("{} has no address.", destination.host)).of(destination);
    };
    let what = if destination.host.ip().is_some() {
        format!("The address {} is refused: {}.", first.address, first.why)
    } else if refused.len() == 1 {
        format!("{} resolves to {}, which is refused: {}.", destination.host, first.address, first.why)
    } else {
        let all = refused.len();
        format!("{} resolves to {all} addresses, and each is refused; of the first, {}: {}.", destination.host, first.address, first.why)
    };
    let mut denial = Denial::new(Reason::AddressNotAllowed, what).of(destination);
    denial.address = Some(first.address);
    denial.rule.clone_from(&first.rule);
    denial.allow_with = refused.iter().find(|refusal| refusal.declarable).map(|refusal| declaration(refusal.address));
    denial
}

/// The lines of a policy that declare an address.
pub(super) fn declaration(address: IpAddr) -> String {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("[addresses]\nallow = [\"{address}/{bits}\"]")
}

/// Why declaring a network in `[addresses]` opens nothing; `None` where it opens something.
pub(super) fn never_opens(net: IpNet) -> Option<AddressClass> {
    is_never_opened(net).then(|| classify(net.network()))
}

/// Names by which clouds reach their metadata services, beside `localhost`. They are compared whole.
const METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal", // Google Cloud
    "metadata.goog",            // Google Cloud
    "instance-data",            // AWS
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
];

#[cfg(test)]
mod tests;

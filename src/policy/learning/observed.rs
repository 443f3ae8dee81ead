//! What was recorded of each destination.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::SystemTime,
};

use crate::{
    address::{Opening, classify},
    destination::{Destination, OWN_PAGES},
    reason::Reason,
    recorded::{Asked, Recorded},
};

/// What was recorded of destinations, one record after the other.
#[derive(Debug, Default)]
pub struct Observations {
    pub(super) uses: HashMap<Destination, Use>,
    pub(super) sessions: HashSet<Box<str>>,
    /// Records of destinations above [`MAX_DESTINATIONS`].
    pub(super) left_out: u64,
}

/// What was recorded of one destination, or of several that one entry covers.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) requests: u64,
    /// The first [`MAX_METHODS`].
    pub(super) methods: BTreeSet<Box<str>>,
    pub(super) first: SystemTime,
    pub(super) last: SystemTime,
    /// It was let out at least once, by a policy or by report mode.
    let_out: bool,
    /// An entry of `deny` names it.
    denied: bool,
    /// Why it was refused, would have been, or failed.
    pub(super) reasons: BTreeMap<Reason, u64>,
    /// What was dialled and has to be declared.
    pub(super) to_declare: BTreeSet<IpAddr>,
    /// What was not dialled, for what it is.
    pub(super) refused: BTreeSet<IpAddr>,
    /// What redirected here, and was let out.
    pub(super) redirected_by: BTreeSet<Box<str>>,
}

/// What a record says of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It was let out, whatever became of it then.
    LetOut,
    Refused,
}

/// What a record says of which destination; none where no list of hosts had a say. This proxy's own pages are no destination.
pub(super) fn said(recorded: &Recorded) -> Option<(&Destination, Said)> {
    let destination = recorded.destination.as_ref().filter(|destination| !is_own(destination))?;
    if recorded.asked == Asked::Other {
        return None;
    }
    let said = match recorded.reason {
        None => Said::LetOut,
        Some(reason) if reason.is_of_destination() => Said::Refused,
        // Who asks too fast to be known has been judged by no list.
        Some(reason) if BEHIND_IT.contains(&reason) && recorded.session.is_some() => Said::LetOut,
        Some(_) => return None,
    };
    Some((destination, said))
}

fn is_own(destination: &Destination) -> bool {
    destination.host.name().is_some_and(|name| name.as_str() == OWN_PAGES)
}

impl Observations {
    /// Whether nothing was learned yet.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Takes one more record into account.
    pub fn add(&mut self, recorded: &Recorded) {
        let Some((destination, said)) = said(recorded) else { return };
        if self.uses.len() >= MAX_DESTINATIONS && !self.uses.contains_key(destination) {
            self.left_out += 1;
            return;
        }
        if let Some(session) = recorded.session.as_ref().filter(|_| self.sessions.len() < MAX_DESTINATIONS) {
            self.sessions.insert(session.clone());
        }
        let entry = self.uses.entry(destination.clone()).or_insert_with(|| Use::new(recorded.time));
        entry.add(recorded, destination, said);
    }
}

impl Use {
    fn new(time: SystemTime) -> Self {
        Self {
            requests: 0,
            methods: BTreeSet::new(),
            first: time,
            last: time,
            let_out: false,
            denied: false,
            reasons: BTreeMap::new(),
            to_declare: BTreeSet::new(),
            refused: BTreeSet::new(),
            redirected_by: BTreeSet::new(),
        }
    }

    fn add(&mut self, recorded: &Recorded, destination: &Destination, said: Said) {
        self.first = self.first.min(recorded.time);
        self.last = self.last.max(recorded.time);
        self.let_out |= said == Said::LetOut;
        let reasons = [recorded.would_deny, recorded.reason];
        self.denied |= reasons.contains(&Some(Reason::HostDenied));
        for reason in reasons.into_iter().flatten() {
            // The end of a tunnel repeats what was said of its destination.
            if !(recorded.ended && reason.is_of_destination()) {
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
        if !recorded.ended {
            self.requests += 1;
            if let Some(method) = recorded.method.as_ref().filter(|method| is_word(method)) {
                insert_bounded(&mut self.methods, method, MAX_METHODS);
            }
        }
        if let Some(address) = recorded.address {
            match said {
                Said::Refused => insert_bounded(&mut self.refused, &address, MAX_ADDRESSES),
                Said::LetOut if has_to_be_declared(address, destination, recorded.would_deny) => {
                    insert_bounded(&mut self.to_declare, &address.to_canonical(), MAX_ADDRESSES);
                }
                Said::LetOut => {}
            }
        }
        if let Some(from) = &recorded.redirected_by {
            insert_bounded(&mut self.redirected_by, &from.to_string().into(), MAX_METHODS);
        }
    }

    /// Whether an entry is to let it out. What a `deny` names is not: its author meant it.
    pub(super) fn is_to_be_allowed(&self) -> bool {
        self.let_out && !self.denied
    }

    /// Adds what was recorded of another destination of the same entry.
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        for method in &other.methods {
            insert_bounded(&mut self.methods, method, MAX_METHODS);
        }
        for (reason, count) in &other.reasons {
            *self.reasons.entry(*reason).or_default() += count;
        }
        for from in &other.redirected_by {
            insert_bounded(&mut self.redirected_by, from, MAX_METHODS);
        }
        self.refused.extend(&other.refused);
    }
}

/// Whether a policy has to declare an address that was dialled. That a public one is this host's own shows only where report mode said so.
fn has_to_be_declared(address: IpAddr, destination: &Destination, would_deny: Option<Reason>) -> bool {
    match classify(address).opening() {
        Opening::Open => would_deny == Some(Reason::AddressNotAllowed) && destination.host.ip().is_none(),
        Opening::Declarable => destination.host.ip() != Some(address),
        Opening::Loopback => true,
        Opening::Never => false,
    }
}

fn is_word(method: &str) -> bool {
    (1..=MAX_METHOD).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn insert_bounded<T: Ord + Clone>(set: &mut BTreeSet<T>, item: &T, most: usize) {
    if set.len() < most {
        set.insert(item.clone());
    }
}

/// Reasons that are met only behind a destination that was let out.
const BEHIND_IT: &[Reason] = &[
    Reason::MethodNotAllowed,
    Reason::PathNotAllowed,
    Reason::MethodRefused,
    Reason::Misdirected,
    Reason::OpaqueTunnel,
    Reason::EchNotAllowed,
    Reason::CredentialNotAllowed,
    Reason::SecretInRequest,
    Reason::BodyTooLarge,
    Reason::RateLimited,
    Reason::BudgetExhausted,
    Reason::TooManyTunnels,
    Reason::DnsFailed,
    Reason::ConnectFailed,
    Reason::TlsFailed,
    Reason::UpstreamClosed,
    Reason::UpstreamTimeout,
    Reason::CredentialUnavailable,
];

/// Destinations that are kept apart: more make no policy that anybody reads.
const MAX_DESTINATIONS: usize = 16_384;
/// Most methods and redirects that a comment names.
const MAX_METHODS: usize = 5;
const MAX_METHOD: usize = 32;
const MAX_ADDRESSES: usize = 256;

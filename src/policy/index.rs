//! The entries of a list, arranged so that a look-up costs the same however many there are: one hash look-up for the
//! name, one for each of its parents, one for each prefix length in use. Only globs are tried one by one, and only those
//! whose literal end the name shares.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::SystemTime};

use ipnet::IpNet;

use super::{
    decision::{Protocol, RuleRef},
    patterns::{Depth, HostPattern, NamePattern, Pattern, Ports},
};
use crate::{
    address,
    destination::{Destination, Host, Name},
};

/// One entry of an effective policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownEntry {
    /// The list it is in.
    pub list: ListKind,
    /// The effective form: IDN as A-labels, lower case; a port that a `deny` did not write as `:*`.
    pub pattern: String,
    /// What ports other than 443 and 80 have to speak, where the entry says so.
    pub speaks: Option<Protocol>,
    /// The entry counts before this moment.
    pub until: Option<SystemTime>,
    /// Whether what it refuses is only reported.
    pub report: bool,
    /// Whether TLS that it lets through has to end here.
    pub intercept: bool,
    /// The entry as written, and where.
    pub rule: RuleRef,
    /// The group of a shipped list that holds it.
    pub group: Option<Arc<str>>,
}

/// Which list of a policy an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListKind {
    /// `control_plane`.
    ControlPlane,
    /// `allow`, and what `access` and `include` add to it.
    Allow,
    /// `deny`.
    Deny,
    /// `[addresses] allow`.
    Addresses,
    /// `[tls] skip`.
    TlsSkip,
    /// `hosts` of a `[[rule]]`.
    RuleHosts,
}

impl ListKind {
    /// The key in a policy document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control_plane",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Addresses => "[addresses] allow",
            Self::TlsSkip => "[tls] skip",
            Self::RuleHosts => "[[rule]] hosts",
        }
    }
}

/// One entry of a list, as used.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) list: ListKind,
    pub(super) pattern: Pattern,
    /// What ports other than 443 and 80 have to speak, where the entry says so.
    pub(super) speaks: Option<Protocol>,
    /// The entry counts before this moment.
    pub(super) until: Option<SystemTime>,
    pub(super) report: bool,
    /// Whether TLS that it lets through has to end here.
    pub(super) intercept: bool,
    pub(super) rule: RuleRef,
    /// The group of a shipped list that holds it.
    pub(super) group: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn is_live(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// A sentence about why the entry does not match a name that it nearly does; see [`Index::missed`].
    pub(super) fn explain_miss(&self, now: SystemTime) -> String {
        let why = if self.is_live(now) { "matches names below it and not itself" } else { "has expired" };
        format!(" The entry {} {why}.", self.rule)
    }

    pub(super) fn show(&self) -> ShownEntry {
        ShownEntry {
            list: self.list,
            pattern: self.pattern.to_string(),
            speaks: self.speaks,
            until: self.until,
            report: self.report,
            intercept: self.intercept,
            rule: self.rule.clone(),
            group: self.group.clone(),
        }
    }

    /// What a connection to a port that the entry covers has to speak.
    pub(super) fn protocol_at(&self, port: u16) -> Protocol {
        match (Protocol::of_port(port), self.speaks) {
            (Protocol::Any, Some(speaks)) => speaks,
            (protocol, _) => protocol,
        }
    }
}

/// What the entries say about a destination, the most telling entry first: an exact name before a longer suffix before a
/// shorter one (a glob before the wildcard of the same suffix), a longer prefix before a shorter one; then its own port
/// before the default ports before any port; then the earlier entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    /// The first live entry that matches the host, whatever its ports.
    pub(super) host: Option<&'a Entry>,
    /// The first live entry that matches host and port.
    pub(super) port: Option<&'a Entry>,
}

/// Which entries of a deny list match a destination.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Denying<'a> {
    /// The first that counts.
    pub(super) enforced: Option<&'a Entry>,
    /// The first that only reports.
    pub(super) reported: Option<&'a Entry>,
}

/// The entries of one list.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<Entry>,
    exact: HashMap<Box<str>, Slot>,
    wild: HashMap<Box<str>, Wild>,
    nets: HashMap<IpNet, Slot>,
    /// Prefix lengths in use, longest first.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

/// The wildcards that end with the same literal labels.
#[derive(Debug, Default)]
struct Wild {
    below: Slot,
    apex: Slot,
    globs: Vec<(NamePattern, Slot)>,
}

/// Entries with the same host, by what they say about ports; numbers are places in [`Index::entries`], ascending.
#[derive(Debug, Default)]
struct Slot {
    all: Vec<usize>,
    one: HashMap<u16, Vec<usize>>,
    default: Vec<usize>,
    any: Vec<usize>,
}

impl Index {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut index = Self::default();
        for (number, entry) in entries.iter().enumerate() {
            index.insert(number, &entry.pattern);
        }
        let lengths = |v4: bool| {
            let mut lengths: Vec<u8> = index.nets.keys().filter(|net| net.addr().is_ipv4() == v4).map(IpNet::prefix_len).collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
            lengths
        };
        (index.lengths_v4, index.lengths_v6) = (lengths(true), lengths(false));
        index.entries = entries;
        index
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the list says about a destination. An address is taken as it is spelled.
    pub(super) fn find(&self, destination: &Destination, now: SystemTime) -> Found<'_> {
        let live = |number: &&usize| self.entries.get(**number).is_some_and(|entry| entry.is_live(now));
        let entry = |number: &usize| self.entries.get(*number);
        let mut found = Found::default();
        for slot in self.slots(&destination.host) {
            found.host = found.host.or_else(|| slot.all.iter().find(live).and_then(entry));
            found.port = slot.at(destination.port).find(live).and_then(entry);
            if found.port.is_some() {
                break;
            }
        }
        found
    }

    /// Which entries match a destination, by any address that dialling it might reach.
    pub(super) fn denying(&self, destination: &Destination, now: SystemTime) -> Denying<'_> {
        let mut denying = Denying::default();
        let names = self.slots(&destination.host);
        let hidden = destination.host.ip().into_iter().flat_map(address::reached).skip(1).flat_map(|address| self.net_slots(address));
        for entry in names.chain(hidden).flat_map(|slot| slot.at(destination.port)).filter_map(|number| self.entries.get(*number)) {
            match (entry.is_live(now), entry.report) {
                (false, _) => {}
                (true, true) => denying.reported = denying.reported.or(Some(entry)),
                (true, false) => {
                    denying.enforced = Some(entry);
                    break;
                }
            }
        }
        denying
    }

    /// The ports by which entries tell destinations of a host apart, beside those that they mean without naming any.
    pub(super) fn ports_of<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = u16> {
        self.slots(host).flat_map(|slot| slot.one.keys().copied())
    }

    /// An entry that does not match a name, and that its author may have expected to: one that has expired, or a wildcard
    /// of which the name is the apex.
    pub(super) fn missed(&self, host: &Host) -> Option<&Entry> {
        let expired = self.slots(host).flat_map(|slot| &slot.all).next();
        let apex = || self.wild.get(host.name()?.as_str())?.below.all.first();
        expired.or_else(apex).and_then(|number| self.entries.get(*number))
    }

    /// An entry without end or report mode that matches everything another pattern does. Not every such entry is found:
    /// for advice, never for decisions.
    pub(super) fn covering(&self, pattern: &Pattern) -> Option<&Entry> {
        let counts = |entry: &&Entry| entry.until.is_none() && !entry.report;
        let exact = pattern.exact_name();
        let slots: Vec<&Slot> = match (&pattern.host, &exact) {
            (HostPattern::Net(net), _) => self.net_slots(net.network()).collect(),
            (HostPattern::Name(_), Some(exact)) => self.name_slots(exact).collect(),
            (HostPattern::Name(name), None) => self.slots_over(name).collect(),
        };
        let numbers = |slot: &'_ &Slot| match pattern.ports {
            Ports::One(port) => slot.at(port).copied().collect::<Vec<_>>(),
            Ports::Default | Ports::Any => slot.any.clone(),
        };
        slots.iter().flat_map(numbers).filter_map(|number| self.entries.get(number)).find(|entry| counts(entry) && spans(entry, pattern))
    }

    fn insert(&mut self, number: usize, pattern: &Pattern) {
        let wild = |wild: &mut HashMap<Box<str>, Wild>, name: &NamePattern, of: fn(&mut Wild) -> &mut Slot| {
            of(wild.entry(name.labels.clone()).or_default()).insert(number, pattern.ports);
        };
        match &pattern.host {
            HostPattern::Net(net) => self.nets.entry(net.trunc()).or_default().insert(number, pattern.ports),
            HostPattern::Name(name) if name.is_glob() => {
                let globs = &mut self.wild.entry(name.literal_suffix().into()).or_default().globs;
                let same = globs.iter().position(|(glob, _)| glob.depth == name.depth && glob.labels == name.labels);
                if let Some((_, slot)) = same.and_then(|place| globs.get_mut(place)) {
                    slot.insert(number, pattern.ports);
                } else {
                    let mut slot = Slot::default();
                    slot.insert(number, pattern.ports);
                    globs.push((name.clone(), slot));
                }
            }
            HostPattern::Name(name) => match name.depth {
                Depth::At => self.exact.entry(name.labels.clone()).or_default().insert(number, pattern.ports),
                Depth::Below => wild(&mut self.wild, name, |wild| &mut wild.below),
                Depth::AtAndBelow => {
                    wild(&mut self.wild, name, |wild| &mut wild.below);
                    wild(&mut self.wild, name, |wild| &mut wild.apex);
                }
            },
        }
    }

    /// The slots that match a host, in order of precedence.
    fn slots<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Slot> {
        let names = host.name().into_iter().flat_map(|name| self.name_slots(name));
        let nets = host.ip().into_iter().flat_map(|address| self.net_slots(address));
        names.chain(nets)
    }

    fn name_slots<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Slot> {
        let exact = self.exact.get(name.as_str()).into_iter();
        let wild = name.suffixes().filter_map(|suffix| Some((suffix, self.wild.get(suffix)?)));
        exact.chain(wild.flat_map(move |(suffix, wild)| {
            let globs = wild.globs.iter().filter(move |(glob, _)| glob.matches_glob(name)).map(|(_, slot)| slot);
            let whole = suffix.len() == name.as_str().len();
            globs.chain(std::iter::once(if whole { &wild.apex } else { &wild.below }))
        }))
    }

    fn net_slots(&self, address: IpAddr) -> impl Iterator<Item = &Slot> {
        let lengths = if address.is_ipv4() { &self.lengths_v4 } else { &self.lengths_v6 };
        lengths.iter().filter_map(move |length| self.nets.get(&IpNet::new(address, *length).ok()?.trunc()))
    }

    /// The slots that match every name that a wildcard does.
    fn slots_over<'a>(&'a self, name: &'a NamePattern) -> impl Iterator<Item = &'a Slot> {
        let base = name.literal_suffix();
        let own = self
            .wild
            .get(base)
            .into_iter()
            .map(move |wild| if name.depth == Depth::AtAndBelow && !name.is_glob() { &wild.apex } else { &wild.below });
        let parents = std::iter::successors(base.split_once('.'), |(_, parent)| parent.split_once('.')).map(|(_, parent)| parent);
        own.chain(parents.filter_map(|parent| self.wild.get(parent)).map(|wild| &wild.below))
    }
}

impl Slot {
    fn insert(&mut self, number: usize, ports: Ports) {
        self.all.push(number);
        match ports {
            Ports::Default => self.default.push(number),
            Ports::One(port) => self.one.entry(port).or_default().push(number),
            Ports::Any => self.any.push(number),
        }
    }

    /// The entries that cover a port, in order of precedence.
    fn at(&self, port: u16) -> impl Iterator<Item = &usize> {
        let default: &[usize] = if Protocol::of_port(port) == Protocol::Any { &[] } else { &self.default };
        self.one.get(&port).into_iter().flatten().chain(default).chain(&self.any)
    }
}

/// Whether the network of an entry holds the whole network of a pattern; true for names, which need no second look.
fn spans(entry: &Entry, pattern: &Pattern) -> bool {
    match (entry.pattern.net(), pattern.net()) {
        (Some(outer), Some(inner)) => outer.contains(&inner),
        (_, _) => true,
    }
}

#[cfg(test)]
mod tests;

//! The smallest policy, in the words of a document.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Write as _},
    net::IpAddr,
    sync::LazyLock,
    time::SystemTime,
};

use jiff::Timestamp;

use super::observed::{Observations, Use};
use crate::{
    address::{Opening, classify},
    destination::{Destination, Host},
    policy::{
        Facts, Policy, Way,
        addresses::is_local_name,
        decision::Protocol,
        lists,
        patterns::{Pattern, entry},
    },
    reason::{Reason, Verdict},
};

/// A policy that lets out what was let out, and nothing else but siblings of three and more. Displayed as a document.
#[derive(Debug)]
pub struct Suggestion {
    sessions: usize,
    requests: u64,
    left_out: u64,
    /// In the order of names read from the right.
    entries: BTreeMap<Place, Entry>,
    /// Each with the hosts that were dialled there.
    opened: BTreeMap<IpAddr, BTreeSet<String>>,
    /// What was refused, or what no entry can let out.
    held: BTreeMap<Place, Entry>,
    lists: Vec<ListAdvice>,
}

/// Where an entry stands among others: addresses behind names, those read from the right.
type Place = (bool, Vec<String>, Option<u16>);

#[derive(Debug)]
struct Entry {
    pattern: String,
    uses: Use,
    /// The names that a wildcard stands for.
    names: BTreeSet<String>,
    /// Whether no entry lets it out.
    never: bool,
}

/// A shipped list that has several of the entries.
#[derive(Debug)]
struct ListAdvice {
    name: &'static str,
    covered: BTreeSet<String>,
    /// Entries of the list.
    of: usize,
}

impl Observations {
    /// The smallest policy under which everything would be let out that was; what was refused each time, or is named by a
    /// `deny`, it does not let out.
    pub fn suggest(&self) -> Suggestion {
        let (allowed, held): (Vec<_>, Vec<_>) = self.uses.iter().partition(|(destination, uses)| lets_out(destination, uses));
        let groups = Groups::find(self, &allowed, &held);
        let mut entries: BTreeMap<Place, Entry> = BTreeMap::new();
        let mut opened: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (destination, uses) in &allowed {
            let port = self.port_to_write(destination);
            let name = destination.host.to_string();
            let group = groups.covering(&name, port);
            let shown = group.as_ref().map_or_else(|| name.clone(), |parent| format!("*.{parent}"));
            let pattern = match (&group, port) {
                (None, _) => entry(&destination.host, port),
                (Some(_), None) => shown.clone(),
                (Some(_), Some(port)) => format!("{shown}:{port}"),
            };
            let place = place(&shown, &destination.host, port);
            add(&mut entries, place, pattern, uses).names.extend(group.map(|_| name));
            for address in &uses.to_declare {
                opened.entry(*address).or_default().insert(destination.host.to_string());
            }
        }
        let mut refused = BTreeMap::new();
        for (destination, uses) in &held {
            let port = self.port_to_write(destination);
            let place = place(&destination.host.to_string(), &destination.host, port);
            add(&mut refused, place, entry(&destination.host, port), uses).never = !is_allowable(destination);
        }
        Suggestion {
            sessions: self.sessions.len(),
            requests: self.uses.values().map(|uses| uses.requests).sum(),
            left_out: self.left_out,
            entries,
            opened,
            held: refused,
            lists: advise(&allowed, &held),
        }
    }

    /// The port that the entry for a destination writes: none where it may mean 443 and 80, neither of which is held apart from the
    /// other.
    fn port_to_write(&self, destination: &Destination) -> Option<u16> {
        let one = Destination { host: destination.host.clone(), port: if destination.port == 443 { 80 } else { 443 } };
        let lets_out = |destination| self.uses.get(destination).map(|uses| lets_out(destination, uses));
        let apart = lets_out(&one).is_some_and(|other| Some(other) != lets_out(destination));
        Protocol::port_to_write(destination.port).or(apart.then_some(destination.port))
    }
}

fn lets_out(destination: &Destination, uses: &Use) -> bool {
    uses.is_to_be_allowed() && is_allowable(destination)
}

/// Whether some entry of a policy can let a destination out.
fn is_allowable(destination: &Destination) -> bool {
    let never = match &destination.host {
        Host::Name(name) => is_local_name(name),
        Host::Ip(address) => classify(*address).opening() == Opening::Never,
    };
    let entry = entry(&destination.host, Protocol::port_to_write(destination.port));
    !never && entry.parse::<Pattern>().is_ok_and(|pattern| pattern.check_width().is_ok())
}

fn add<'e>(entries: &'e mut BTreeMap<Place, Entry>, place: Place, pattern: String, uses: &Use) -> &'e mut Entry {
    let entry = entries.entry(place);
    entry.and_modify(|entry| entry.uses.merge(uses)).or_insert_with(|| Entry {
        pattern,
        uses: uses.clone(),
        names: BTreeSet::new(),
        never: false,
    })
}

fn place(name: &str, host: &Host, port: Option<u16>) -> Place {
    match host {
        Host::Name(_) => (false, name.rsplit('.').map(str::to_owned).collect(), port),
        Host::Ip(_) => (true, vec![name.to_owned()], port),
    }
}

/// Names whose subdomains one wildcard lets out, each with the port that it writes, the shortest first.
struct Groups(Vec<(String, Option<u16>)>);

impl Groups {
    /// A name is one where [`MIN_SIBLINGS`] directly below it are let out alike, it belongs to somebody (it is no public suffix, of ICANN
    /// or private), and nothing is held back below it.
    fn find(observations: &Observations, allowed: &[(&Destination, &Use)], held: &[(&Destination, &Use)]) -> Self {
        let mut siblings: HashMap<(&str, Option<u16>), BTreeSet<&str>> = HashMap::new();
        for (destination, _) in allowed {
            let name = destination.host.name().and_then(|name| name.as_str().split_once('.'));
            if let Some((label, parent)) = name {
                siblings.entry((parent, observations.port_to_write(destination))).or_default().insert(label);
            }
        }
        let is_held = |parent: &str, port: Option<u16>| {
            held.iter().any(|(destination, _)| {
                let meant = port.map_or(Protocol::port_to_write(destination.port).is_none(), |port| port == destination.port);
                meant && destination.host.name().is_some_and(|name| is_below(name.as_str(), parent))
            })
        };
        let found = siblings.into_iter().filter(|((parent, port), labels)| {
            labels.len() >= MIN_SIBLINGS && psl::domain_str(parent).is_some() && !is_held(parent, *port)
        });
        let mut found: Vec<_> = found.map(|((parent, port), _)| (parent.to_owned(), port)).collect();
        found.sort_by_key(|(parent, _)| parent.len());
        Self(found)
    }

    fn covering(&self, name: &str, port: Option<u16>) -> Option<String> {
        self.0.iter().find(|(parent, meant)| *meant == port && is_below(name, parent)).map(|(parent, _)| parent.clone())
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// The lists that have at least [`MIN_OF_LIST`] of the hosts and nothing that is held back. They let out more than was used, so naming
/// one is left to whoever reads.
fn advise(allowed: &[(&Destination, &Use)], held: &[(&Destination, &Use)]) -> Vec<ListAdvice> {
    let advice = |(name, list): &(&'static str, Policy)| {
        let lets_out = |destination: &Destination| {
            let facts = Facts { destination, way: Way::Connect, now: SystemTime::UNIX_EPOCH };
            list.decide_destination(&facts).is_ok()
        };
        let covered = allowed.iter().filter(|(destination, _)| lets_out(destination)).map(|(destination, _)| destination.host.to_string());
        let covered: BTreeSet<_> = covered.collect();
        let opens_held = held.iter().any(|(destination, _)| lets_out(destination));
        let advises = covered.len() >= MIN_OF_LIST && !opens_held;
        advises.then(|| ListAdvice { name, covered, of: list.show().entries.len() })
    };
    SHIPPED.iter().filter_map(advice).collect()
}

/// Each shipped list of an ecosystem, as a policy that includes it and nothing else.
static SHIPPED: LazyLock<Vec<(&str, Policy)>> = LazyLock::new(|| {
    let of_ecosystems = lists::names().filter(|name| *name != "trusted");
    of_ecosystems.filter_map(|name| Some((name, Policy::parse(name, &format!("include = [\"{name}\"]")).ok()?.0))).collect()
});

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, requests, left_out, entries, opened, held, lists } = self;
        writeln!(f, "# What {} of {} asked for.", counted(*requests, "request"), counted(*sessions as u64, "session"))?;
        writeln!(f, "{ADVICE}")?;
        if *left_out > 0 {
            writeln!(f, "# Too many destinations: {} not looked at.", counted(*left_out, "record"))?;
        }
        for ListAdvice { name, covered, of } in lists {
            let covers = format!("has {} of its {of} entries here", listed(covered));
            writeln!(f, "# The shipped list \"{name}\" {covers}; include = [\"{name}\"] lets out all of it.")?;
        }
        writeln!(f, "\nallow = [")?;
        for entry in entries.values() {
            let names = if entry.names.is_empty() { String::new() } else { format!("{}: ", listed(&entry.names)) };
            writeln!(f, "    # {names}{}", entry.uses.in_words(&entry.pattern))?;
            writeln!(f, "    \"{}\",", entry.pattern)?;
        }
        if !held.is_empty() {
            writeln!(f, "    # Refused, and not let out here. What is meant to be goes without its \"#\".")?;
        }
        for entry in held.values() {
            writeln!(f, "    # {}{}", entry.uses.in_words(&entry.pattern), entry.uses.needs())?;
            if entry.never {
                writeln!(f, "    # no entry lets out {}", entry.pattern)?;
            } else {
                writeln!(f, "    # \"{}\",", entry.pattern)?;
            }
        }
        writeln!(f, "]")?;
        if !opened.is_empty() {
            writeln!(f, "\n[addresses]\nallow = [")?;
            for (address, hosts) in opened {
                writeln!(f, "    # {}, {}", listed(hosts), classify(*address))?;
                writeln!(f, "    \"{address}/{}\",", if address.is_ipv4() { 32 } else { 128 })?;
            }
            writeln!(f, "]")?;
        }
        Ok(())
    }
}

impl Use {
    /// How it was used, why it was refused, and how it was come by.
    fn in_words(&self, pattern: &str) -> String {
        let methods = if self.methods.is_empty() { String::new() } else { format!(" ({})", listed(&self.methods)) };
        let span = if self.first == self.last { moment(self.first) } else { format!("{} to {}", moment(self.first), moment(self.last)) };
        let mut words = format!("{}{methods}, {span}", counted(self.requests, "request"));
        let mut say = |what: &str, of: fn(Reason) -> bool| {
            let reasons = self.reasons.iter().filter(|(reason, _)| of(**reason));
            let reasons: Vec<_> = reasons.map(|(reason, count)| format!("{reason} ×{count}")).collect();
            if !reasons.is_empty() {
                let _ = write!(words, "; {what} {}", reasons.join(", "));
            }
        };
        say("without an entry", Reason::is_of_destination);
        say("whatever the entry", |reason| !reason.is_of_destination() && reason.verdict() == Verdict::Deny);
        say("trouble", |reason| reason.verdict() == Verdict::Error);
        for from in &self.redirected_by {
            let _ = write!(words, "; allowed {from} redirects to refused {pattern}");
        }
        words
    }

    /// What else it takes where addresses were refused.
    fn needs(&self) -> String {
        let needs = self.refused.iter().map(|address| match classify(*address).opening() {
            Opening::Never => format!("; {address} is {}, which nothing opens", classify(*address)),
            Opening::Open | Opening::Declarable | Opening::Loopback => {
                format!("; {address} has to stand in [addresses] allow")
            }
        });
        needs.take(MAX_LISTED).collect()
    }
}

/// In UTC, to the second.
fn moment(time: SystemTime) -> String {
    format!("{:.0}", Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The first of them, as a sentence takes them.
fn listed<'i, T: AsRef<str> + 'i>(items: impl IntoIterator<Item = &'i T>) -> String {
    let mut items = items.into_iter().map(AsRef::as_ref);
    let mut text = items.by_ref().take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    let more = items.count();
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

const ADVICE: &str =
    "# The sandbox chose these hosts: read them before you enforce them. Rules, credentials and limits are for you to add.";
/// Fewest subdomains of one name that a wildcard takes together.
const MIN_SIBLINGS: usize = 3;
/// Fewest hosts of a shipped list that make it worth naming.
const MIN_OF_LIST: usize = 3;
const MAX_LISTED: usize = 5;

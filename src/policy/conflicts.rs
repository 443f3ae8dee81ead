//! What a document demands and rules out at once. Patterns are compared by some of the names that they match, so not
//! every conflict is found here; what is not found is refused when somebody asks for it.

use std::time::SystemTime;

use toml::Spanned;

use super::{
    decision::Protocol,
    index::{Entry, Index},
    patterns::{Depth, HostPattern, Pattern, Ports},
    problem::Problems,
};
use crate::destination::{Destination, Host};

/// Reports hosts of a rule whose requests nobody will be able to read. `written` are the same hosts with their places.
pub(super) fn report(hosts: &Index, written: &[Spanned<String>], allow: &[Entry], skip: &[Entry], problems: &mut Problems) {
    for host in hosts.entries() {
        let place = written.iter().find(|written| *written.get_ref() == *host.rule.entry).map(Spanned::span).unwrap_or_default();
        if let Some(entry) = allow.iter().find(|entry| opaque_port(entry).is_some_and(|port| meet(host, entry, port))) {
            let message = format!("a rule for {} cannot judge what the entry {} lets through unread", host.rule.entry, entry.rule);
            problems.error(place.clone(), message, Some("write tls = true or http = true in the table of that entry".into()));
        }
        if let Some(entry) = skip.iter().find(|entry| meet(host, entry, tls_port(host, entry))) {
            let message = format!("a rule for {} needs interception, which {} in [tls] skip forbids", host.rule.entry, entry.rule);
            problems.error(place, message, Some("take the host out of one of them".into()));
        }
    }
}

/// Why an entry can have nothing that would be intercepted, and what to write instead.
pub(super) fn never_tls(pattern: &Pattern, speaks: Option<Protocol>) -> Option<(&'static str, &'static str)> {
    match (pattern.ports, speaks) {
        (Ports::Default | Ports::One(443), _) | (Ports::One(_) | Ports::Any, Some(Protocol::Tls)) => None,
        (_, Some(Protocol::Http)) | (Ports::One(80), _) => {
            Some(("plain HTTP is judged per request, and needs no interception", "leave it out"))
        }
        (Ports::One(_) | Ports::Any, Some(Protocol::Any) | None) => {
            Some(("an entry that lets any protocol through cannot be intercepted", "write tls = true beside it"))
        }
    }
}

/// A port at which an entry lets any protocol through.
fn opaque_port(entry: &Entry) -> Option<u16> {
    let port = match entry.pattern.ports {
        Ports::Default => return None,
        Ports::One(port) => port,
        Ports::Any => UNUSUAL_PORT,
    };
    (entry.protocol_at(port) == Protocol::Any).then_some(port)
}

fn tls_port(one: &Entry, other: &Entry) -> u16 {
    let written = |entry: &Entry| match entry.pattern.ports {
        Ports::One(port) if port != 80 => Some(port),
        Ports::One(_) | Ports::Default | Ports::Any => None,
    };
    written(one).or(written(other)).unwrap_or(443)
}

/// Whether both match some host at a port.
fn meet(one: &Entry, other: &Entry, port: u16) -> bool {
    let [one_alone, other_alone] = [one, other].map(|entry| Index::new(vec![entry.clone()]));
    let matches = |index: &Index, destination: &Destination| index.find(destination, SystemTime::UNIX_EPOCH).port.is_some();
    samples(&one.pattern).chain(samples(&other.pattern)).any(|host| {
        let destination = Destination { host, port };
        matches(&one_alone, &destination) && matches(&other_alone, &destination)
    })
}

/// Some hosts that a pattern matches.
fn samples(pattern: &Pattern) -> impl Iterator<Item = Host> {
    let hosts = match &pattern.host {
        HostPattern::Net(net) => vec![Host::Ip(net.addr())],
        HostPattern::Name(name) => {
            let at = name.labels.replace('*', "a");
            let below = format!("a.{at}");
            let names = match name.depth {
                Depth::At => vec![at],
                Depth::Below => vec![below],
                Depth::AtAndBelow => vec![at, below],
            };
            names.iter().filter_map(|name| Host::parse(name.as_bytes()).ok()).collect()
        }
    };
    hosts.into_iter()
}

/// Neither TLS nor HTTP by itself.
const UNUSUAL_PORT: u16 = 1;

//! Facts and findings, for people in a few lines, and whole for machines.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use serde_json::{Value, json};

use super::{
    facts::{Facts, Reply, Way},
    judge::{Finding, Level, Wall, shown, wall},
};
use crate::destination::OWN_PAGES;

pub(super) fn write(facts: &Facts, findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    write_session(facts, out)?;
    let doors = doors(facts);
    writeln!(out, "doors    {}", if doors.is_empty() { "none".to_owned() } else { doors.join(", ") })?;
    write_wall(facts, out)?;
    for Finding { level, places, what, remedy, .. } in findings {
        let places = if places.is_empty() { String::new() } else { format!("{}: ", places.join(", ")) };
        writeln!(out, "{:9}{places}{what}\n         {remedy}", level.as_str())?;
    }
    match findings.iter().filter(|finding| finding.level == Level::Wrong).count() {
        0 => writeln!(out, "all well"),
        1 => writeln!(out, "1 thing is wrong"),
        more => writeln!(out, "{more} things are wrong"),
    }
}

/// Whose session it is and what it may do.
fn write_session(facts: &Facts, out: &mut dyn Write) -> io::Result<()> {
    let Some(session) = facts.session() else { return writeln!(out, "session  none") };
    let word = |key: &str| shown(session[key].as_str().unwrap_or("none"));
    write!(out, "session  {}, access {}, policy {}", word("session"), word("access"), word("policy"))?;
    if let Some(expires) = session["expires"].as_str() {
        write!(out, ", until {}", shown(expires))?;
    }
    writeln!(out, "{}", if session["report"] == true { ", only reported" } else { "" })?;
    for repository in session["repositories"].as_array().into_iter().flatten().take(MAX_REPOSITORIES) {
        let [name, access] = ["name", "access"].map(|key| shown(repository[key].as_str().unwrap_or_default()));
        let refs = repository["push"].as_array().into_iter().flatten().filter_map(|entry| entry.as_str().or_else(|| entry["ref"].as_str()));
        let refs: Vec<_> = refs.take(MAX_REPOSITORIES).map(shown).collect();
        writeln!(out, "{}", format!("         {name} {access} {}", refs.join(" ")).trim_end())?;
    }
    Ok(())
}

/// Every door that answers.
fn doors(facts: &Facts) -> Vec<String> {
    let proxies = facts.proxies.iter().filter(|(_, reply)| reply.is_gate()).map(|(proxy, _)| format!("proxy {}", proxy.at));
    let mut doors: Vec<String> = proxies.collect();
    doors.dedup();
    doors.extend(facts.git_doors.iter().filter(|(_, reply)| reply.is_gate()).map(|(at, _)| format!("git {at}")));
    doors.extend(facts.socks.iter().filter(|(_, served)| *served).map(|(at, _)| format!("socks {at}")));
    for (ways, door) in [(&facts.names, "names"), (&facts.streams, "redirected connections")] {
        doors.extend(ways.iter().any(|(_, way)| *way == Way::Gate).then(|| door.to_owned()));
    }
    doors.extend(facts.internal.is_gate().then(|| OWN_PAGES.to_owned()));
    doors
}

fn write_wall(facts: &Facts, out: &mut dyn Write) -> io::Result<()> {
    let kinds = [("connections", &facts.streams), ("names", &facts.names), ("datagrams", &facts.datagrams), ("outside", &facts.outside)];
    let ways = kinds.iter().filter_map(|(kind, ways)| Some(format!("{kind} {}", in_words(worst(ways)?))));
    writeln!(out, "wall     {}: {}", wall(facts).as_str(), ways.collect::<Vec<_>>().join(", "))
}

/// The one that says most against a wall.
fn worst(ways: &[(SocketAddr, Way)]) -> Option<&Way> {
    let rank = |way: &Way| match way {
        Way::Out => 0,
        Way::Gate => 1,
        Way::Stopped(_) => 2,
        Way::Silent => 3,
    };
    ways.iter().map(|(_, way)| way).min_by_key(|way| rank(way))
}

fn in_words(way: &Way) -> String {
    match way {
        Way::Gate => "come to the gate".to_owned(),
        Way::Out => "go out".to_owned(),
        Way::Stopped(how) => format!("are stopped ({how})"),
        Way::Silent => "are lost".to_owned(),
    }
}

pub(super) fn as_json(facts: &Facts, findings: &[Finding], is_well: bool) -> Value {
    let ways = |ways: &[(SocketAddr, Way)]| -> Value {
        ways.iter().map(|(to, way)| json!({ "to": to.to_string(), "way": way_as_str(way) })).collect()
    };
    let answered = |at: String, reply: &Reply| json!({ "at": at, "answer": reply_to_json(reply) });
    json!({
        "well": is_well,
        "session": facts.session(),
        "doors": {
            "proxies": facts.proxies.iter().map(|(proxy, reply)| answered(proxy.at.to_string(), reply)).collect::<Vec<_>>(),
            "git": facts.git_doors.iter().map(|(at, reply)| answered(at.to_string(), reply)).collect::<Vec<_>>(),
            "socks": facts.socks.iter().map(|(at, served)| json!({ "at": at.to_string(), "served": served })).collect::<Vec<_>>(),
            "internal": reply_to_json(&facts.internal),
        },
        "wall": {
            "state": wall(facts).as_str(),
            "connections": ways(&facts.streams),
            "names": ways(&facts.names),
            "datagrams": ways(&facts.datagrams),
            "outside": ways(&facts.outside),
        },
        "findings": findings.iter().map(|Finding { level, code, places, what, remedy }| json!({
            "level": level.as_str(),
            "code": code,
            "places": places,
            "what": what,
            "remedy": remedy,
        })).collect::<Vec<_>>(),
    })
}

fn reply_to_json(reply: &Reply) -> Value {
    match reply {
        Reply::Session(_) => json!({ "kind": "session" }),
        Reply::Refused(why) => json!({ "kind": "refused", "why": why }),
        Reply::Other(why) => json!({ "kind": "other", "why": why }),
        Reply::Nothing(why) => json!({ "kind": "nothing", "why": why }),
    }
}

fn way_as_str(way: &Way) -> &'static str {
    match way {
        Way::Gate => "gate",
        Way::Out => "out",
        Way::Stopped(_) => "stopped",
        Way::Silent => "silent",
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Note => "note",
        }
    }
}

impl Wall {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// Most repositories, and refs of each, that are shown.
const MAX_REPOSITORIES: usize = 8;

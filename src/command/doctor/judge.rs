//! From facts to findings: what is wrong in a sandbox, and the way out of each. Depends on its arguments only.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use super::{
    facts::{Facts, Reply, Root, Way},
    settings::{Says, Setting},
};
use crate::{audit::rfc3339, command::env::variables::Proxy, destination::OWN_PAGES};

/// Something that whoever is in the sandbox, or its owner, should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What it is, of a closed list, for machines.
    pub(super) code: &'static str,
    /// Where it stands: variables, or files with their lines.
    pub(super) places: Vec<String>,
    pub(super) what: String,
    pub(super) remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Some client does not do what it could, or the sandbox is none.
    Wrong,
    /// It does no harm as things are.
    Note,
}

/// Whether anything leaves that the gate did not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wall {
    Stands,
    Open,
    /// What nothing answers may be stopped, or lost outside.
    Unknown,
}

/// Everything that is to be said of these facts, the worst first.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_there = facts.session().is_some() || facts.gate().is_some() || facts.internal.is_gate();
    if !is_there && !facts.redirected() {
        findings.push(wrong(
            "no_gate",
            "no Tidegate answers here".to_owned(),
            "start it inside: tidegate run -- COMMAND; or take what `tidegate env` prints where it runs".to_owned(),
        ));
    } else {
        findings.extend(missing(facts));
        findings.extend(node(facts));
    }
    findings.extend(facts.told.settings.iter().filter_map(|setting| judge_setting(facts, setting)));
    findings.extend(git_doors(facts));
    findings.extend(wall_findings(facts));
    findings.extend(facts.root.as_ref().and_then(|root| clock(facts, root)));
    findings.extend(facts.session().and_then(kept_back));
    merged(findings)
}

/// What becomes of what is sent to no proxy.
pub(super) fn wall(facts: &Facts) -> Wall {
    let all = || facts.names.iter().chain(&facts.streams).chain(&facts.datagrams).chain(&facts.outside);
    // Of what is lost only an address of the same family that answers outside says more.
    let asked = |to: &SocketAddr| facts.outside.iter().any(|(outside, _)| outside.is_ipv4() == to.is_ipv4());
    let decided = |(to, way): &(SocketAddr, Way)| matches!(way, Way::Gate | Way::Stopped(_)) || asked(to);
    if all().any(|(_, way)| *way == Way::Out) {
        Wall::Open
    } else if facts.streams.iter().all(decided) {
        Wall::Stands
    } else {
        Wall::Unknown
    }
}

fn wrong(code: &'static str, what: String, remedy: String) -> Finding {
    Finding { level: Level::Wrong, code, places: Vec::new(), what, remedy }
}

/// One finding for all places of which the same is to be said, the worst first.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |known: &&mut Finding| (known.code, &known.what, &known.remedy) == (finding.code, &finding.what, &finding.remedy);
        match merged.iter_mut().find(same) {
            Some(known) => {
                for place in finding.places {
                    if !known.places.contains(&place) {
                        known.places.push(place);
                    }
                }
            }
            None => merged.push(finding),
        }
    }
    merged.sort_by_key(|finding| finding.level);
    merged
}

/// Harmless where the network itself leads every client here.
fn unless_redirected(facts: &Facts) -> Level {
    if facts.redirected() { Level::Note } else { Level::Wrong }
}

/// Harmless where nobody meets a certificate of ours.
fn if_intercepted(facts: &Facts) -> Level {
    let some = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty()) || value.is_string();
    let intercepts = facts.session().is_none_or(|session| some(&session["intercepted"]) || some(&session["github"]));
    if intercepts { Level::Wrong } else { Level::Note }
}

/// Variables that lead nobody since they are not there.
fn missing(facts: &Facts) -> Vec<Finding> {
    let named = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let mut findings = Vec::new();
    if !facts.told.unled.is_empty() && !facts.redirected() {
        let what = "not set, so whoever reads it is not led to the proxy".to_owned();
        let finding = wrong("variable_missing", what, how_to_set(facts));
        findings.push(Finding { places: named(&facts.told.unled), ..finding });
    }
    if !facts.told.untrusting.is_empty() && facts.root.is_some() {
        let what = "not set, so whoever reads it may not trust the CA of this gate".to_owned();
        let finding = Finding { level: if_intercepted(facts), ..wrong("ca_variable_missing", what, how_to_set(facts)) };
        findings.push(Finding { places: named(&facts.told.untrusting), ..finding });
    }
    findings
}

/// The command that sets every variable.
fn how_to_set(facts: &Facts) -> String {
    let Some(Proxy { at, .. }) = facts.gate() else { return "set what `tidegate env` prints where the gate runs".to_owned() };
    let holding = facts
        .stores
        .iter()
        .find(|(_, content)| facts.root.as_ref().is_some_and(|root| content.as_deref().is_ok_and(|text| holds(text, root))));
    // A command to be run again has no name in it that a shell would read anything into.
    let plain = |path: &str| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte));
    let bundle = holding.and_then(|(path, _)| path.to_str()).filter(|path| plain(path)).unwrap_or("BUNDLE");
    let token = if facts.gate().is_some_and(Proxy::asks) { " --token-file FILE" } else { "" };
    format!("eval \"$(tidegate env --proxy http://{at} --ca {bundle}{token})\"")
}

fn judge_setting(facts: &Facts, Setting { place, says }: &Setting) -> Option<Finding> {
    let (level, code, what, remedy) = match says {
        Says::Proxy(None) => (Level::Wrong, "proxy_unreadable", "it names no proxy: that is http://HOST:PORT".to_owned(), lead_to(facts)),
        Says::Proxy(Some(proxy)) => judge_proxy(facts, proxy)?,
        Says::Socks(None) => {
            (Level::Wrong, "socks_not_served", "it names no SOCKS proxy: that is socks5h://HOST:PORT".to_owned(), UNSET.to_owned())
        }
        Says::Socks(Some(at)) if facts.socks.iter().any(|(known, served)| known == at && *served) => return None,
        Says::Socks(Some(at)) => (Level::Wrong, "socks_not_served", format!("no SOCKS is served at {at}"), UNSET.to_owned()),
        Says::NoProxy | Says::Off => {
            (unless_redirected(facts), "proxy_turned_off", "it turns the proxy off for this client".to_owned(), "take it out".to_owned())
        }
        Says::Bypass(exceptions) => {
            let mut others: Vec<_> = exceptions.iter().filter(|exception| !is_this_machine(exception)).map(|text| shown(text)).collect();
            others.truncate(MAX_NAMED);
            let others = if others.is_empty() { return None } else { others.join(", ") };
            let what = format!("{others} is asked for past the proxy");
            (
                unless_redirected(facts),
                "proxy_bypassed",
                what,
                "leave no name in it but this machine's: what may be reached is the policy's to say".to_owned(),
            )
        }
        Says::Bundle(path) => judge_store(facts, path, holds)?,
        Says::KeyStore(path) => judge_store(facts, path, shows)?,
        Says::Ssh(host) => {
            let remedy = "take it out of that file: SSH does not pass, HTTPS does".to_owned();
            (Level::Wrong, "git_over_ssh", format!("it turns https:// of {} into SSH", shown(host)), remedy)
        }
    };
    Some(Finding { level, code, places: vec![shown(place)], what, remedy })
}

type Judged = (Level, &'static str, String, String);

fn judge_proxy(facts: &Facts, proxy: &Proxy) -> Option<Judged> {
    let reply = facts.proxies.iter().find(|(known, _)| known == proxy).map(|(_, reply)| reply)?;
    let at = &proxy.at;
    let (code, what, remedy) = match reply {
        Reply::Session(_) => return None,
        Reply::Refused(reason) => {
            let what = format!("the gate at {at} knows no session by what this shows it ({})", shown(reason));
            (
                "session_not_proved",
                what,
                "let the owner give it a token: tidegate session token ID; it stands as http://x:TOKEN@HOST:PORT".to_owned(),
            )
        }
        Reply::Other(what) => ("proxy_elsewhere", format!("it leads to {at}: {}", shown(what)), lead_to(facts)),
        Reply::Nothing(why) => ("proxy_elsewhere", format!("it leads to {at}, where nothing answers ({})", shown(why)), lead_to(facts)),
    };
    Some((Level::Wrong, code, what, remedy))
}

fn lead_to(facts: &Facts) -> String {
    facts.gate().map_or_else(|| UNSET.to_owned(), |Proxy { at, .. }| format!("let it be http://{at}, or take it out"))
}

fn judge_store(facts: &Facts, path: &Path, found: fn(&[u8], &Root) -> bool) -> Option<Judged> {
    let shown = shown(&path.to_string_lossy());
    let remedy = || format!("name a file that holds http://{OWN_PAGES}/ca.pem and the system's roots, or take it out");
    let (_, content) = facts.stores.iter().find(|(known, _)| known == path)?;
    match (content, &facts.root) {
        (Err(why), _) => Some((Level::Wrong, "ca_unreadable", format!("{shown} cannot be read ({why})"), remedy())),
        (Ok(content), Some(root)) if !found(content, root) => {
            let what = format!("{shown} does not hold the CA of this gate");
            Some((if_intercepted(facts), "ca_not_trusted", what, remedy()))
        }
        (Ok(_), _) => None,
    }
}

fn holds(text: &[u8], root: &Root) -> bool {
    CertificateDer::pem_slice_iter(text).flatten().any(|certificate| certificate.as_ref() == root.der)
}

/// In a key store a certificate stands as it is, unless the store is encrypted.
fn shows(store: &[u8], root: &Root) -> bool {
    store.windows(root.der.len().max(1)).any(|window| window == root.der)
}

/// `localhost` and addresses of loopback, in every spelling that clients have for them.
fn is_this_machine(exception: &str) -> bool {
    let host =
        exception.split_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(exception, |(host, _)| host);
    let bare = host.trim_matches(['[', ']']);
    let network = bare.split('/').next().unwrap_or_default();
    bare == "localhost"
        || bare == ".localhost"
        || (bare.starts_with("127.") && bare.bytes().all(|byte| byte.is_ascii_digit() || b".*/".contains(&byte)))
        || network.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Node's own `fetch` reads variables from 22.21 and 24.5 on.
fn node(facts: &Facts) -> Option<Finding> {
    let (major, minor) = facts.node?;
    let reads = major > 24 || (major == 24 && minor >= 5) || (major == 22 && minor >= 21);
    let what = format!("the fetch of node {major}.{minor} looks at no proxy variable, NODE_USE_ENV_PROXY or not");
    let remedy = "take Node 22.21, 24.5 or a later one; what sets an agent of its own does without".to_owned();
    (!reads && !facts.redirected()).then(|| wrong("node_too_old", what, remedy))
}

fn git_doors(facts: &Facts) -> Vec<Finding> {
    let told = facts.git_doors.iter().filter(|(at, reply)| facts.told.git_doors.contains(at) && !reply.is_gate());
    told.map(|(at, _)| {
        wrong(
            "git_door_elsewhere",
            format!("git is led to {at}, where no git door answers"),
            "take that insteadOf out of git's configuration".to_owned(),
        )
    })
    .collect()
}

fn wall_findings(facts: &Facts) -> Vec<Finding> {
    let out =
        |ways: &[(SocketAddr, Way)]| ways.iter().filter(|(_, way)| *way == Way::Out).map(|(at, _)| at.to_string()).collect::<Vec<_>>();
    let mut streams = out(&facts.streams);
    streams.extend(out(&facts.outside));
    let mut findings = Vec::new();
    for (went, what) in [(streams, "a connection"), (out(&facts.names), "a question for a name"), (out(&facts.datagrams), "a datagram")] {
        if !went.is_empty() {
            let what = format!("no wall: {what} to {} went past the gate, and was answered", went.join(", "));
            findings.push(wrong("wall_open", what, WALL.to_owned()));
        }
    }
    if wall(facts) == Wall::Unknown {
        let what = "whether there is a wall cannot be said: nothing answered, and nothing said that it was stopped".to_owned();
        findings.push(wrong(
            "wall_unknown",
            what,
            "name one that answers outside, of IPv4 and of IPv6 where there is a way: tidegate doctor --outside ADDRESS:PORT".to_owned(),
        ));
    }
    findings
}

fn clock(facts: &Facts, root: &Root) -> Option<Finding> {
    let (from, until) = root.validity?;
    let (now, from, until) = (facts.now, from, until);
    if (from..=until).contains(&now) {
        return None;
    }
    let [here, from, until] = [now, from, until].map(rfc3339);
    let what = format!("the clock says {here}, and the CA of this gate holds from {from} to {until}");
    Some(wrong("clock", what, "set the clock; if it is right, the owner makes a new CA".to_owned()))
}

/// The owner's newer settings that cannot be used.
fn kept_back(session: &Value) -> Option<Finding> {
    let since = session["reload_failed"].as_str()?;
    let what = format!("newer settings of the gate could not be used at {}: those before them hold", shown(since));
    Some(Finding { level: Level::Note, ..wrong("settings_kept", what, "the owner finds the reason in its log".to_owned()) })
}

/// What others wrote, for a terminal: bounded, and without what is no print.
pub(super) fn shown(text: &str) -> String {
    let escaped = |c: char| if matches!(c, '\'' | '"') { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().take(MAX_SHOWN).map(escaped).collect()
}

const UNSET: &str = "take it out";
const WALL: &str = "run it in `tidegate run`, or shut every way but the gate's: docs/sidecar.md";
/// Most characters of a text of others, and most exceptions, that are shown.
const MAX_SHOWN: usize = 200;
const MAX_NAMED: usize = 8;

//! Looks at everything that a sandbox can see of itself, as any client in it could: variables, files, and what answers.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    ask::{self, As, Pending, begin},
    facts::{Facts, Reply, Root, Way},
    settings::{Client, Says, Told, Variable},
};
use crate::{
    authority::validity_of,
    command::{Console, env::variables::Proxy},
    destination::{Destination, Host, OWN_PAGES},
};

/// `outside` are addresses that answer outside of the sandbox.
pub(super) fn gather(outside: &[SocketAddr], console: &Console<'_>) -> Facts {
    let lookup =
        |name: &str| console.environment.variable(name).map(|value| value.to_string_lossy().into_owned()).filter(|v| !v.is_empty());
    let variable: Variable<'_> = &lookup;
    let node = begin(|| ask::printed("node", &["--version"]));
    let told = told(variable, console);
    let proxies = told.settings.iter().filter_map(|setting| if let Says::Proxy(proxy) = &setting.says { proxy.as_ref() } else { None });
    let proxies = begin_each(distinct(proxies.cloned()), |proxy| ask::session(&proxy.at, As::Proxy, proxy.authorization().as_ref()));
    let internal = begin(|| own_pages().map_or_else(|| Reply::Nothing(String::new()), |at| ask::session(&at, As::Server, None)));
    let socks = told.settings.iter().filter_map(|setting| if let Says::Socks(at) = &setting.says { at.clone() } else { None });
    let socks = begin_each(distinct(socks), ask::socks);
    let names = begin_each(name_servers(console), |server| ask::name(*server));
    let streams = begin_each(DOCUMENTED.map(|address| SocketAddr::new(address, 80)).to_vec(), |to| ask::stream(*to));
    let outside = begin_each(outside.to_vec(), |to| ask::stream(*to));
    let datagrams = begin_each(vec![SocketAddr::new(DOCUMENTED[0], 443)], |to| ask::datagram(*to));
    let nothing = || Reply::Nothing("no answer in time".to_owned());
    let proxies = end_each(proxies, nothing);
    let internal = internal.end(nothing);
    let gate = proxies.iter().find(|(_, reply)| reply.session().is_some()).map(|(proxy, _)| proxy.clone());
    let doors = git_doors(&told, gate.as_ref());
    let git_doors = begin_each(doors, |at| ask::session(at, As::Server, None));
    let root = root(gate.as_ref(), &internal);
    Facts {
        now: (console.clock)(),
        stores: stores(&told, console),
        git_doors: end_each(git_doors, nothing),
        socks: end_each(socks, || false),
        names: end_each(names, || Way::Silent),
        streams: end_each(streams, || Way::Silent),
        datagrams: end_each(datagrams, || Way::Silent),
        outside: end_each(outside, || Way::Silent),
        node: node.end(|| None).and_then(|version| version_of(&version)),
        told,
        proxies,
        internal,
        root,
    }
}

/// What clients were told, by variables, by files of their own and by git, which knows where its files are.
fn told(variable: Variable<'_>, console: &Console<'_>) -> Told {
    let mut told = Told::default();
    told.read_variables(variable);
    for client in Client::ALL {
        for path in client.files(variable) {
            let Ok(content) = read(&path, console) else { continue };
            told.read_file(client, &path, &String::from_utf8_lossy(&content), variable);
            if client == Client::Curl {
                break;
            }
        }
    }
    if let Some(printed) = ask::printed("git", &["config", "--list", "--null", "--show-origin"]) {
        told.read_git(&printed, variable);
    }
    told
}

fn read(path: &Path, console: &Console<'_>) -> io::Result<Vec<u8>> {
    console.environment.find(path)?;
    let mut content = Vec::new();
    console.environment.open(path)?.take(MAX_FILE).read_to_end(&mut content)?;
    Ok(content)
}

fn stores(told: &Told, console: &Console<'_>) -> Vec<(PathBuf, Result<Vec<u8>, String>)> {
    let paths = told.settings.iter().filter_map(|setting| match &setting.says {
        Says::Bundle(path) | Says::KeyStore(path) => Some(path.clone()),
        Says::Proxy(_) | Says::Socks(_) | Says::NoProxy | Says::Bypass(_) | Says::Off | Says::Ssh(_) => None,
    });
    let paths: BTreeSet<PathBuf> = paths.collect();
    paths.into_iter().map(|path| (path.clone(), read(&path, console).map_err(|error| ask::in_words(&error)))).collect()
}

fn root(gate: Option<&Proxy>, internal: &Reply) -> Option<Root> {
    let (at, whom, authorization) = match gate {
        Some(gate) => (gate.at.clone(), As::Proxy, gate.authorization()),
        None => (own_pages().filter(|_| internal.is_gate())?, As::Server, None),
    };
    let pem = begin(move || ask::root(&at, whom, authorization.as_ref())).end(|| None)?;
    let der = CertificateDer::from_pem_slice(&pem).ok()?.to_vec();
    Some(Root { validity: validity_of(&der), der })
}

/// Those that git was told of, and where the documented configuration has one.
fn git_doors(told: &Told, gate: Option<&Proxy>) -> Vec<Destination> {
    let usual = gate.map(|gate| Destination { host: gate.at.host.clone(), port: GIT });
    distinct(told.git_doors.iter().cloned().chain(usual))
}

/// Whom programs ask for names, and an address at which nobody would answer but a door.
fn name_servers(console: &Console<'_>) -> Vec<SocketAddr> {
    let text = console.environment.file("/etc/resolv.conf".as_ref()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    distinct(servers.take(MAX_NAME_SERVERS).chain([DOCUMENTED[0]])).into_iter().map(|address| SocketAddr::new(address, 53)).collect()
}

fn own_pages() -> Option<Destination> {
    Some(Destination { host: Host::parse(OWN_PAGES.as_bytes()).ok()?, port: 80 })
}

fn version_of(printed: &str) -> Option<(u32, u32)> {
    let mut numbers = printed.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// In the order in which they come first.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) && kept.len() < MAX_ASKED {
            kept.push(item);
        }
    }
    kept
}

fn begin_each<T: Clone + Send + 'static, A: Send + 'static>(asked: Vec<T>, ask: fn(&T) -> A) -> Vec<(T, Pending<A>)> {
    asked.into_iter().map(|item| (item.clone(), begin(move || ask(&item)))).collect()
}

fn end_each<T, A>(pending: Vec<(T, Pending<A>)>, late: fn() -> A) -> Vec<(T, A)> {
    pending.into_iter().map(|(item, pending)| (item, pending.end(late))).collect()
}

/// For documentation, of nobody (RFC 5737, RFC 3849).
const DOCUMENTED: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
/// The port of the git door in the documented configuration.
const GIT: u16 = 3129;
/// Most of one kind that is asked.
const MAX_ASKED: usize = 16;
/// As many as a resolver takes (resolv.conf(5)).
const MAX_NAME_SERVERS: usize = 3;
/// Most octets of a file that are read.
const MAX_FILE: u64 = 8 << 20;

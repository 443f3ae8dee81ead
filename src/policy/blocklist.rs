//! Lists of hosts and URLs that others keep, and that a policy denies: a hosts file, or one host or URL a line.

use std::{collections::HashMap, sync::Arc};

use super::{
    decision::RuleRef,
    problem::{Problem, Problems, Source},
};
use crate::{
    address,
    destination::{Destination, Host},
    wire::path::CanonicalTarget,
};

/// What one list says, each entry with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocklist {
    source: Arc<str>,
    hosts: HashMap<Host, u32>,
    /// Names of which everything below is meant.
    below: HashMap<Box<str>, u32>,
    urls: HashMap<Host, Vec<Url>>,
}

/// A path of a host, and all that lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    /// None: 443 and 80.
    port: Option<u16>,
    path: Box<str>,
    line: u32,
}

impl Blocklist {
    /// Reads a list. `#` begins a comment; a line that begins with an address names the hosts behind it, as in a hosts file, of which
    /// the names of the machine itself mean nothing; any other holds one host, `*.` and a name for all below it, or one URL (`http` or
    /// `https`), which means its path and all below it, whatever the query. Octets of the text are not bounded here; whoever reads the
    /// file bounds them.
    ///
    /// # Errors
    /// Every line that is none of these.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(Arc::new(Source::new(name, text)));
        let mut list = Self { source: name.into(), hosts: HashMap::new(), below: HashMap::new(), urls: HashMap::new() };
        let mut offset = 0;
        for (number, whole) in (1..).zip(text.split_inclusive('\n')) {
            let line = whole.split('#').next().unwrap_or_default().trim();
            if let Err(message) = list.add(line, number) {
                let start = offset + whole.find(line).unwrap_or_default();
                problems.error(start..start + line.len(), message, Some(HELP.into()));
            }
            offset += whole.len();
        }
        if problems.has_errors() { Err(problems.into_vec()) } else { Ok(list) }
    }

    /// The list as the document that names it knows it.
    pub fn name(&self) -> &Arc<str> {
        &self.source
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.hosts.len() + self.below.len() + self.urls.values().map(Vec::len).sum::<usize>()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry that means a whole host.
    pub fn find_host(&self, host: &Host) -> Option<RuleRef> {
        if let Some((host, &line)) = reached(host).find_map(|host| self.hosts.get_key_value(&host)) {
            return Some(self.rule(host.to_string(), line));
        }
        let name = host.name()?.as_str();
        let mut parents = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        parents.find_map(|parent| Some((self.below.get(parent)?, parent))).map(|(&line, parent)| self.rule(format!("*.{parent}"), line))
    }

    /// Whether it has URLs of a host, so that requests to it have to be read.
    pub fn has_urls_of(&self, host: &Host) -> bool {
        reached(host).any(|host| self.urls.contains_key(&host))
    }

    /// The entry that means a path of a destination.
    pub fn find_url(&self, destination: &Destination, target: &CanonicalTarget) -> Option<RuleRef> {
        let is_meant = |url: &&Url| {
            url.port.map_or(matches!(destination.port, 443 | 80), |port| port == destination.port) && url.covers(target.path())
        };
        let mut urls = reached(&destination.host).filter_map(|host| self.urls.get_key_value(&host));
        let (host, url) = urls.find_map(|(host, urls)| Some((host, urls.iter().find(is_meant)?)))?;
        let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(self.rule(format!("{host}{port}{}", url.path), url.line))
    }

    fn rule(&self, entry: String, line: u32) -> RuleRef {
        RuleRef { entry: entry.into(), source: Arc::clone(&self.source), line }
    }

    fn add(&mut self, text: &str, line: u32) -> Result<(), String> {
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        let mut words = words.peekable();
        if words.peek().is_none() {
            return self.add_one(first, line);
        }
        if !is_address(first) {
            return Err(format!("no host, no URL and no line of a hosts file: {:?}", excerpt(text)));
        }
        words.filter(|name| !is_own(name)).try_for_each(|name| self.add_host(name, line))
    }

    fn add_one(&mut self, text: &str, line: u32) -> Result<(), String> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return self.add_url(scheme, rest, line);
        }
        let Some(below) = text.strip_prefix("*.") else { return self.add_host(text, line) };
        match host(below)? {
            Host::Name(name) if name.as_str().contains('.') => {
                self.below.entry(name.as_str().into()).or_insert(line);
                Ok(())
            }
            Host::Name(_) | Host::Ip(_) => Err(format!("\"*.\" stands before a name of two labels or more: {:?}", excerpt(text))),
        }
    }

    fn add_host(&mut self, text: &str, line: u32) -> Result<(), String> {
        self.hosts.entry(host(text)?).or_insert(line);
        Ok(())
    }

    fn add_url(&mut self, scheme: &str, rest: &str, line: u32) -> Result<(), String> {
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(format!("a URL begins with http:// or https://: {:?}", excerpt(scheme)));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && !authority.ends_with(']') => {
                (name, Some(port.parse().map_err(|_| format!("no port: {:?}", excerpt(port)))?))
            }
            _ => (authority, None),
        };
        let host = host(name)?;
        if path.split('?').next().is_none_or(|path| path.is_empty() || path == "/") && port.is_none() {
            self.hosts.entry(host).or_insert(line);
            return Ok(());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let target = CanonicalTarget::read(&path).map_err(|error| error.to_string())?;
        self.urls.entry(host).or_default().push(Url { port, path: target.path().into(), line });
        Ok(())
    }
}

impl Url {
    fn covers(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&*self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'))
    }
}

/// A host, in a spelling that a list may have though no request may.
fn host(text: &str) -> Result<Host, String> {
    let bare: Result<std::net::IpAddr, _> = text.parse();
    if let Ok(address) = bare {
        return Ok(Host::Ip(address.to_canonical()));
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| format!("no host: {:?}", excerpt(text)))?;
    let host = Host::parse(ascii.as_bytes()).map_err(|error| error.to_string())?;
    Ok(host.ip().map_or(host, |address| Host::Ip(address.to_canonical())))
}

/// A host, and for an address all that dialling it might reach.
fn reached(host: &Host) -> impl Iterator<Item = Host> {
    let name = host.name().map(|_| host.clone());
    name.into_iter().chain(host.ip().into_iter().flat_map(address::reached).map(Host::Ip))
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// What hosts files say of the machine that they lie on.
fn is_own(name: &str) -> bool {
    let own = ["localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet"];
    let own = own.iter().chain(&["ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0"]);
    own.into_iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn excerpt(text: &str) -> String {
    text.chars().take(MAX_EXCERPT).collect()
}

const HELP: &str = "write a host, \"*.\" and a name, a URL, or an address and hosts; \"#\" begins a comment";
/// Most characters of an offending text that an error shows.
const MAX_EXCERPT: usize = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "\
# a comment
127.0.0.1 localhost
0.0.0.0 Bad.example\ttracker.example # two of them
::1 ip6-localhost v6.example

plain.example
*.below.example
bücher.example
192.0.2.7
http://files.example/evil/
https://files.example:8443/a%2db?q=1
https://whole.example/
http://[2001:db8::1]/x
http://192.0.2.8/x
";

    fn list() -> Blocklist {
        Blocklist::parse("bad-hosts.txt", LIST).unwrap()
    }

    fn host_of(name: &str) -> Option<(String, u32)> {
        list().find_host(&Host::parse(name.as_bytes()).unwrap()).map(|rule| (rule.entry.to_string(), rule.line))
    }

    fn url_of(destination: &str, path: &str) -> Option<(String, u32)> {
        let destination = Destination::parse(destination.as_bytes(), None).unwrap();
        let rule = list().find_url(&destination, &CanonicalTarget::read(path).unwrap());
        rule.map(|rule| (rule.entry.to_string(), rule.line))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
    fn entry(text: &str, line: u32) -> Option<(String, u32)> {
        Some((text.to_owned(), line))
    }

    #[test]
    fn hosts_are_found_in_every_form_of_a_list() {
        assert_eq!(host_of("bad.example"), entry("bad.example", 3));
        assert_eq!(host_of("TRACKER.example."), entry("tracker.example", 3));
        assert_eq!(host_of("v6.example"), entry("v6.example", 4));
        assert_eq!(host_of("plain.example"), entry("plain.example", 6));
        assert_eq!(host_of("a.b.below.example"), entry("*.below.example", 7));
        assert_eq!(host_of("xn--bcher-kva.example"), entry("xn--bcher-kva.example", 8));
        assert_eq!(host_of("192.0.2.7"), entry("192.0.2.7", 9));
        for same in ["[::ffff:192.0.2.7]", "[64:ff9b::192.0.2.7]"] {
            assert_eq!(host_of(same), entry("192.0.2.7", 9), "{same}");
        }
        assert_eq!(host_of("whole.example"), entry("whole.example", 12));
        for other in ["below.example", "a.plain.example", "localhost", "files.example", "notbad.example", "192.0.2.8"] {
            assert_eq!(host_of(other), None, "{other}");
        }
        assert_eq!((list().len(), list().is_empty(), &**list().name()), (12, false, "bad-hosts.txt"));
    }

    #[test]
    fn a_url_means_its_path_and_all_below() {
        for (destination, path, found) in [
            ("files.example:443", "/evil/x?y", entry("files.example/evil/", 10)),
            ("files.example:80", "/evil/", entry("files.example/evil/", 10)),
            ("files.example:80", "/evil", None),
            ("files.example:8080", "/evil/x", None),
            ("files.example:8443", "/a-b", entry("files.example:8443/a-b", 11)),
            ("files.example:8443", "/a-b/c", entry("files.example:8443/a-b", 11)),
            ("files.example:8443", "/a-bc", None),
            ("files.example:443", "/a-b", None),
            ("[::ffff:192.0.2.8]:80", "/x", entry("192.0.2.8/x", 14)),
            ("[2001:db8::1]:80", "/x", entry("[2001:db8::1]/x", 13)),
            ("other.example:443", "/evil/x", None),
        ] {
            assert_eq!(url_of(destination, path), found, "{destination}{path}");
        }
        assert!(list().has_urls_of(&Host::parse(b"files.example").unwrap()));
        assert!(!list().has_urls_of(&Host::parse(b"plain.example").unwrap()));
    }

    #[test]
    fn a_line_that_means_nothing_is_an_error_with_its_place() {
        for (text, place, message) in [
            ("ok.example\nno host", (2, 1), "no host, no URL and no line of a hosts file: \"no host\""),
            ("  ||ads.example^", (1, 3), "\"|\" may not stand in a host"),
            ("ftp://a.example/x", (1, 1), "a URL begins with http:// or https://: \"ftp\""),
            ("*.com", (1, 1), "\"*.\" stands before a name of two labels or more: \"*.com\""),
            ("http://a.example:x/y", (1, 1), "no port: \"x\""),
            ("http://a.example/../x/%2e%2e/y", (1, 1), "dot segment"),
            ("127.1", (1, 1), "an IPv4 address is written as four decimal numbers without leading zeros: \"127.1\""),
        ] {
            let problems = Blocklist::parse("list", text).unwrap_err();
            assert_eq!((problems.len(), problems[0].line_column()), (1, place), "{text}");
            assert!(problems[0].message.contains(message), "{text}: {}", problems[0].message);
        }
    }
    proptest! {
        #[test]
        fn a_list_that_is_read_denies_each_host_that_is_a_line_of_it(text in "([a-z]{1,8}\\.[a-z]{2,5}|[ -~]{0,20})(\n([a-z0-9*.-]{1,20}|[^\u{0}]{0,20})){0,5}") {
            if let Ok(list) = Blocklist::parse("list", &text) {
                for line in text.lines() {
                    if let (true, Ok(host)) = (!line.contains('#'), Host::parse(line.as_bytes())) {
                        prop_assert!(list.find_host(&host).is_some(), "{}", line);
                    }
                }
            }
        }
    }
}

//! Whether a name may be asked for: where some connection to it could be made.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Facts, Policy, Way,
    decision::{Denial, Protocol, RuleRef},
    forge::ForgeHosts,
};
use crate::{
    destination::{Destination, Host, Name, OWN_PAGES},
    reason::Reason,
};

/// Everything that can sway a decision about a name.
#[derive(Debug, Clone, Copy)]
pub struct NameFacts<'a> {
    /// What the sandbox asks for.
    pub name: &'a Name,
    /// Entries that end are compared with this.
    pub now: SystemTime,
}

/// Leave to have an address of our own stand for a name, and for nothing else: whoever connects to it is judged. Only judging makes one.
#[derive(Debug)]
pub struct NamePermit {
    name: Name,
    rule: Option<RuleRef>,
    would_deny: Option<Reason>,
}

impl NamePermit {
    /// What the permit is for.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The entry by which a connection to it would be allowed; none where that needs no entry.
    pub fn rule(&self) -> Option<&RuleRef> {
        self.rule.as_ref()
    }

    /// What would have been refused, had report mode not let it through.
    pub fn would_deny(&self) -> Option<Reason> {
        self.would_deny
    }
}

impl Policy {
    /// Decides whether a name may be asked for: it may where this policy would permit some connection or request to it, on some port.
    ///
    /// # Errors
    /// Why the likeliest one would be refused: on a port that an entry names, else on 443. The denial names no port.
    pub fn decide_name(&self, facts: &NameFacts<'_>) -> Result<NamePermit, Box<Denial>> {
        let NameFacts { name, now } = *facts;
        let host = Host::Name(name.clone());
        let decide = |(port, way)| {
            let destination = Destination { host: host.clone(), port };
            let permit = self.decide_destination(&Facts { destination: &destination, way, now })?;
            Ok(NamePermit { name: name.clone(), rule: permit.rule().cloned(), would_deny: permit.would_deny() })
        };
        let ports = self.telling_ports(&host);
        let mut best = decide((ports.first().copied().unwrap_or(443), Way::Connect));
        for next in ports.into_iter().flat_map(|port| [(port, Way::Connect), (port, Way::Http)]) {
            if worth(&best) == BEST {
                break;
            }
            let next = decide(next);
            if worth(&next) > worth(&best) {
                best = next;
            }
        }
        best.map_err(|denial| Box::new(Denial { port: None, ..*denial }))
    }

    /// Ports that tell all there is to know about a host, the likeliest first: those that an entry names, those that entries mean without
    /// naming any, and one for all others, which no entry tells apart.
    fn telling_ports(&self, host: &Host) -> Vec<u16> {
        let rules = &self.rules;
        let allowed: BTreeSet<u16> = rules.allow.ports_of(host).chain(self.granted.ports_of(host)).collect();
        let others = [&*rules.deny, &rules.skip].into_iter().flat_map(|index| index.ports_of(host)).chain(rules.credentials.ports_of(host));
        let mut ports: Vec<u16> = allowed.into_iter().chain([443, 80]).collect();
        ports.extend(others.collect::<BTreeSet<_>>());
        ports.extend((1..=u16::MAX).find(|port| Protocol::of_port(*port) == Protocol::Any && !ports.contains(port)));
        ports
    }
}

impl ForgeHosts {
    /// Leave for a name that no policy has a say about: that of a GitHub's host or of one for its files, or of this program's own pages.
    pub fn decide_name(&self, name: &Name) -> Option<NamePermit> {
        let is_ours =
            name.as_str() == OWN_PAGES || self.find(&Host::Name(name.clone())).is_some() || self.files().iter().any(|at| at.host == *name);
        is_ours.then(|| NamePermit { name: name.clone(), rule: None, would_deny: None })
    }
}

/// What is let through is better than what report mode alone lets through, and that is better than a refusal.
fn worth(decided: &Result<NamePermit, Box<Denial>>) -> u8 {
    decided.as_ref().map_or(0, |permit| if permit.would_deny.is_some() { 1 } else { BEST })
}

const BEST: u8 = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::Problem;

    /// In 2033.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
    }

    fn name(text: &str) -> Name {
        Host::parse(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    fn policy(text: &str) -> Policy {
        let parsed = Policy::parse("p.toml", text).map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>());
        parsed.unwrap().0
    }

    /// The entry that allows, or the reason that refuses; with what would have been refused.
    fn decide(text: &str, asked: &str) -> (String, Option<Reason>) {
        match policy(text).decide_name(&NameFacts { name: &name(asked), now: now() }) {
            Ok(permit) => (permit.rule().map_or("no rule", |rule| &rule.entry).to_owned(), permit.would_deny()),
            Err(denial) => {
                assert_eq!((denial.host.unwrap().to_string().as_str(), denial.port), (asked, None));
                (denial.reason.to_string(), None)
            }
        }
    }

    #[test]
    fn a_name_may_be_asked_for_where_anything_at_it_may_be_reached() {
        for (text, asked, expected) in [
            ("allow = [\"a.test\"]", "a.test", "a.test"),
            ("allow = [\"a.test\"]", "b.a.test", "host_not_allowed"),
            ("allow = [\"*.a.test\"]", "b.c.a.test", "*.a.test"),
            ("allow = [\"db.a.test:5432\"]", "db.a.test", "db.a.test:5432"),
            ("allow = [\"a.test:*\"]\ndeny = [\"a.test:443\", \"a.test:80\", \"a.test:1\"]", "a.test", "a.test:*"),
            ("allow = [\"a.test\"]\ndeny = [\"a.test:443\"]", "a.test", "a.test"),
            ("allow = [\"a.test\"]\ndeny = [\"a.test:443\", \"a.test:80\"]", "a.test", "host_denied"),
            ("allow = [\"a.test:22\"]\ndeny = [\"a.test:22\"]", "a.test", "host_denied"),
            ("access = \"full\"\ndeny = [\"*.evil.test\"]", "x.evil.test", "host_denied"),
            ("access = \"full\"", "anything.test", "no rule"),
            ("access = \"full\"", "localhost", "address_not_allowed"),
            ("access = \"full\"\nreport = true", "metadata.google.internal", "address_not_allowed"),
            ("access = \"none\"\nallow = [\"a.test\"]\ncontrol_plane = [\"c.test\"]", "a.test", "network_disabled"),
            ("access = \"none\"\ncontrol_plane = [\"c.test\"]", "c.test", "c.test"),
            ("allow = [{ host = \"a.test\", until = 2026-12-01T00:00:00Z }]", "a.test", "host_not_allowed"),
            ("allow = [\"a.test\"]\n[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"GET\"]\n[tls]\nskip = [\"b.test\"]", "a.test", "a.test"),
        ] {
            assert_eq!(decide(text, asked), (expected.to_owned(), None), "{text}: {asked}");
        }
    }

    #[test]
    fn report_mode_lets_names_through_and_tells_what_it_would_have_refused() {
        assert_eq!(decide("report = true", "a.test"), ("no rule".into(), Some(Reason::HostNotAllowed)));
        assert_eq!(decide("report = true\nallow = [\"a.test:22\"]", "a.test"), ("a.test:22".into(), None));
        let denied = "allow = [\"a.test\"]\ndeny = [{ host = \"a.test\", report = true }]";
        assert_eq!(decide(denied, "a.test"), ("a.test".into(), Some(Reason::HostDenied)));
    }

    #[test]
    fn a_refused_name_comes_with_the_line_that_would_allow_it() {
        let policy = policy("");
        let denial = policy.decide_name(&NameFacts { name: &name("a.test"), now: now() }).unwrap_err();
        assert_eq!(denial.allow_with.as_deref(), Some("allow = [\"a.test\"]"));
        assert_eq!(denial.detail, "a.test is not on the list of p.toml.");
    }

    #[test]
    fn hosts_of_a_github_and_our_own_pages_are_no_policys_matter() {
        let hosts = ForgeHosts::new([name("git.test")]);
        for ours in ["git.test", "api.git.test", "uploads.git.test", "gist.git.test", OWN_PAGES] {
            assert_eq!(hosts.decide_name(&name(ours)).unwrap().name(), &name(ours));
        }
        for other in ["www.git.test", "a.test", "x.tidegate.internal", "localhost"] {
            assert!(hosts.decide_name(&name(other)).is_none(), "{other}");
        }
    }
}

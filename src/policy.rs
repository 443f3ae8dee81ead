//! What a session may reach, and how: a policy document made into decisions.
//!
//! A decision is `Result<Permit, Denial>`. The first reason that applies is given, in the order of the contract: level
//! none, IP literal (and names of this host), deny, allow, port. Addresses are judged after resolving, by
//! [`Permit::admit`]; bytes after dialling, by [`Expectation`].

mod durations;
mod problem;
mod table;
mod decision;
mod patterns;
mod index;
mod width;
mod addresses;
mod paths;
mod blocklist;
mod content;
mod rules;
mod requests;
mod permit;
mod forge;
mod names;
mod push_content;
mod refs;
mod written_rule;
mod credential;
mod document;
pub mod grant;
mod repositories;
mod files;
mod identity;
pub mod app;
mod lfs;
pub mod api;
mod words;
pub mod lists;

mod conflicts;
mod compile;
mod lint;
mod additions;
pub mod asking;
pub mod narrowing;
mod question;
pub mod learning;
mod ground;

use std::{ops::Range, sync::Arc, time::SystemTime};

pub use self::{
    additions::Additions,
    addresses::{Own, is_local_name, is_localhost},
    blocklist::Blocklist,
    credential::{CredentialFacts, CredentialRule, CredentialSource, Placement, ShownCredential, Substitution},
    decision::{BodyLimit, Cleared, Denial, Protocol, RuleRef, SecretRule},
    document::{Access, Limits},
    files::{FilePermit, FilesPermit},
    forge::{ForgeHosts, ForgePermit, UnknownHost},
    identity::{Whereabouts, base_of, decide_identity},
    index::{ListKind, ShownEntry},
    lfs::{LfsAct, LfsPermit, decide_lfs},
    names::{NameFacts, NamePermit},
    patterns::{Pattern, PatternError, Ports},
    permit::{Admitted, Interception, Permit},
    problem::{Problem, Severity, Source},
    push_content::{ContentRules, DeniedPath, DeniedPathError},
    question::{Approval, Question},
    refs::{ChangeKind, DefaultBranch, Foreseen, PushDenial, PushPermit, PushRule, RefChange, RefRules, RefRulesError, Refusal, Rights},
    repositories::{RepositoryPermit, decide_push, decide_repository, depends_on_default, foresee_push},
    requests::{Ech, Expectation, HelloFacts, RequestFacts},
    rules::ShownRule,
    words::{known_words, warn_of_word, warn_of_words},
};
use self::{
    compile::Rules,
    content::{Content, Unread},
    document::Document,
    ground::Ground,
    index::{Denying, Entry, Found, Index},
};
pub(crate) use self::{
    credential::read_source,
    durations::parse as parse_duration,
    problem::Problems,
    table::{Table, string as read_string, wrong_type},
};
use crate::{
    address::{Opening, classify},
    destination::{Destination, Host},
    reason::Reason,
};

/// Everything that can sway a decision about a destination.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the sandbox wants to go.
    pub destination: &'a Destination,
    /// How it asked.
    pub way: Way,
    /// Entries that end are compared with this.
    pub now: SystemTime,
}

/// How the sandbox asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// A connection whose bytes will show what they are (CONNECT and its like).
    Connect,
    /// A request in absolute-form with the scheme `http`.
    Http,
}

/// A policy in force.
#[derive(Debug, Clone)]
pub struct Policy {
    name: Arc<str>,
    access: Access,
    /// Where the level is written.
    access_rule: Option<RuleRef>,
    report: bool,
    rules: Arc<Rules>,
    /// What the owner of a session granted beside the document; it counts where no entry of the document does.
    granted: Arc<Index>,
    ech: Ech,
    limits: Limits,
    content: Content,
}

/// The effective policy, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// The access level.
    pub access: Access,
    /// Where the level is written; none where it is not.
    pub access_rule: Option<RuleRef>,
    /// Whether the whole document only reports.
    pub report: bool,
    /// What becomes of an encrypted `ClientHello`.
    pub ech: Ech,
    /// The limits of a session.
    pub limits: Limits,
    /// Everything that counts at this level, list by list.
    pub entries: Vec<ShownEntry>,
    /// What may be asked of allowed hosts, in the order of the document.
    pub rules: Vec<ShownRule>,
    /// Which hosts get a real credential, and where.
    pub credentials: Vec<ShownCredential>,
    /// The key by which no secret may leave.
    pub refuse_secrets: Option<RuleRef>,
    /// Lists of others that are denied, and how many entries each has.
    pub blocklists: Vec<(Arc<str>, usize)>,
}

impl Policy {
    fn new(document: &Document, rules: Rules) -> Self {
        Self {
            name: document.source.name.clone(),
            access: document.level(),
            access_rule: document.access_rule(),
            report: document.report,
            rules: Arc::new(rules),
            granted: Arc::default(),
            ech: document.ech,
            limits: document.limits,
            content: Content::new(&document.content, &document.source),
        }
    }

    /// The lists that the document names, each as it is written and where.
    pub fn blocklists(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.content.named()
    }

    /// Reads the lists that the document names, by `read`, which takes a name as it is written. Until then nothing is allowed.
    ///
    /// # Errors
    /// For each list that cannot be used: where the document names it, and why.
    pub fn read_blocklists(&mut self, read: impl Fn(&str) -> Result<String, String>) -> Result<(), Vec<(Range<usize>, String)>> {
        self.content.read(read)
    }

    /// The name of the document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The access level.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The limits of a session.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The effective policy with where each entry comes from.
    pub fn show(&self) -> Show {
        let Rules { allow, deny, addresses, skip, .. } = &*self.rules;
        let lists = [allow.entries(), self.granted.entries(), deny.entries(), addresses.opened.entries(), skip.entries()];
        let mut entries: Vec<_> = lists.into_iter().flatten().map(Entry::show).collect();
        entries.sort_by_key(|entry| entry.list);
        let Self { access, ref access_rule, report, ech, limits, .. } = *self;
        Show {
            access,
            access_rule: access_rule.clone(),
            report,
            ech,
            limits,
            entries,
            rules: self.rules.requests.show(),
            credentials: self.rules.credentials.show(),
            refuse_secrets: self.content.refuse_secrets.clone(),
            blocklists: self.content.show(),
        }
    }

    /// The real credentials that are put in, in the order of the document.
    pub fn credentials(&self) -> &[CredentialRule] {
        self.rules.credentials.all()
    }

    /// Whether requests to a destination lose the sandbox's own credentials, and get a real one over TLS.
    pub fn has_credential(&self, destination: &Destination) -> bool {
        self.rules.credentials.covers(destination)
    }

    /// Decides whether a destination may be resolved and dialled.
    ///
    /// # Errors
    /// The first reason that applies. In report mode a permit that says what it would have been, except for names of this
    /// host and of metadata services, which stay refused.
    pub fn decide_destination(&self, facts: &Facts<'_>) -> Result<Permit, Box<Denial>> {
        let Facts { destination, way, now } = *facts;
        let found = self.find_allowing(destination, now);
        let denying = self.rules.deny.denying(destination, now);
        let bearing = self.rules.requests.bearing_on(destination, self.content.urls_of(&destination.host), now);
        let skipped = self.rules.skip.find(destination, now).port.is_some();
        let protocol = match way {
            Way::Http => Protocol::Http,
            Way::Connect => self.protocol(destination, found),
        };
        let unread = protocol == Protocol::Any || (protocol == Protocol::Tls && skipped);
        let unjudged = bearing.first().filter(|_| unread).map(|rule| Ground::Unread(rule, found.port));
        let listed = self.content.find_host(&destination.host);
        let ground = self.first_refusal(facts, found, denying, &listed).or(unjudged);
        if let Some(ground) = ground {
            let reports = self.report || ground.entry().is_some_and(|entry| entry.report);
            if !reports || is_local(&destination.host) || matches!(ground, Ground::Unlisted) {
                return Err(Box::new(self.explain(ground, facts)));
            }
        }
        let denied = denying.reported.map(|_| Reason::HostDenied);
        let would_deny = match ground {
            Some(ground @ (Ground::LevelNone | Ground::IpLiteral)) => Some(ground.reason()),
            Some(ground) => denied.or(Some(ground.reason())),
            None => denied,
        };
        let asks = found.port.is_some_and(|entry| entry.intercept) || self.content.refuse_secrets.is_some();
        Ok(Permit {
            destination: destination.clone(),
            protocol,
            rule: found.port.map(|entry| entry.rule.clone()),
            until: found.port.and_then(|entry| entry.until),
            addresses: self.rules.addresses.clone(),
            ech: self.ech,
            now,
            would_deny,
            report: self.report || found.port.or(found.host).is_some_and(|entry| entry.report),
            intercepts: protocol == Protocol::Tls && !skipped && (asks || !bearing.is_empty() || self.has_credential(destination)),
            rules: bearing,
            secrets: self.content.refuse_secrets.clone(),
        })
    }

    /// What entries say that allow: a granted one never stands in front of one of the document, which may ask for more.
    fn find_allowing(&self, destination: &Destination, now: SystemTime) -> Found<'_> {
        let written = self.rules.allow.find(destination, now);
        if written.port.is_some() {
            return written;
        }
        let granted = self.granted.find(destination, now);
        Found { host: written.host.or(granted.host), port: granted.port }
    }

    /// The order here is the order of the contract.
    fn first_refusal<'a>(
        &'a self,
        facts: &Facts<'_>,
        found: Found<'a>,
        denying: Denying<'a>,
        listed: &'a Result<Option<RuleRef>, Unread>,
    ) -> Option<Ground<'a>> {
        let Facts { destination, way, .. } = *facts;
        let host = &destination.host;
        if self.access == Access::None && found.host.is_none() {
            return Some(Ground::LevelNone);
        }
        if is_local(host) {
            return Some(Ground::LocalName);
        }
        if host.ip().is_some() && found.host.is_none() {
            return Some(Ground::IpLiteral);
        }
        if let Some(entry) = denying.enforced {
            return Some(Ground::Denied(entry));
        }
        match listed {
            Ok(Some(rule)) => return Some(Ground::Listed(rule)),
            Ok(None) => {}
            Err(Unread) => return Some(Ground::Unlisted),
        }
        let any_name = self.access == Access::Full && host.name().is_some();
        if found.host.is_none() && !any_name {
            return Some(Ground::NotListed);
        }
        let web = Protocol::of_port(destination.port) != Protocol::Any;
        if found.port.is_none() && !(any_name && web) {
            return Some(Ground::Port(found.host));
        }
        (way == Way::Http && self.protocol(destination, found) == Protocol::Tls).then_some(Ground::WantsTls(found.port))
    }

    /// What a connection has to speak by the entry that covers it, or by its port. Where a credential is put in, no other way leads around
    /// that.
    fn protocol(&self, destination: &Destination, found: Found<'_>) -> Protocol {
        let protocol = found.port.map_or(Protocol::of_port(destination.port), |entry| entry.protocol_at(destination.port));
        if destination.port != 80 && self.has_credential(destination) { Protocol::Tls } else { protocol }
    }

    fn explain(&self, ground: Ground<'_>, facts: &Facts<'_>) -> Denial {
        let Facts { destination, now, .. } = *facts;
        let (host, name) = (&destination.host, &self.name);
        let missed = || self.rules.allow.missed(host).map(|entry| entry.explain_miss(now)).unwrap_or_default();
        let rule = match ground {
            Ground::LevelNone => self.access_rule.as_ref(),
            Ground::Unread(rule, _) | Ground::Listed(rule) => Some(rule),
            Ground::LocalName
            | Ground::IpLiteral
            | Ground::Denied(_)
            | Ground::Unlisted
            | Ground::NotListed
            | Ground::Port(_)
            | Ground::WantsTls(_) => ground.entry().map(|entry| &entry.rule),
        };
        let detail = match ground {
            Ground::LevelNone => format!("The access level of {name} is none, which lets out only control_plane, and {host} is not on it."),
            Ground::LocalName => format!("{host} is a name of this host or of a metadata service, and never a destination."),
            Ground::IpLiteral => format!("{host} is an address, and no entry of {name} spells it out.{}", missed()),
            Ground::Denied(entry) => format!("{destination} is denied by {}; only taking that entry out would allow it.", entry.rule),
            Ground::Listed(rule) => format!("{host} is denied by {rule}; only taking that line out would allow it."),
            Ground::Unlisted => format!("The lists that {name} denies were not read, and nothing is allowed without them."),
            Ground::NotListed => format!("{host} is not on the list of {name}.{}", missed()),
            Ground::Port(Some(entry)) => format!("{host} is allowed by {}, but not on port {}.", entry.rule, destination.port),
            Ground::Port(None) => {
                format!("The access level of {name} is full, which lets names out on ports 443 and 80 alone, not on {}.", destination.port)
            }
            Ground::Unread(rule, _) => {
                format!("Requests to {host} are judged by {rule}, and what goes to port {} cannot be read.", destination.port)
            }
            Ground::WantsTls(_) => format!("{destination} wants TLS, and the request is plain HTTP: use https."),
        };
        let mut denial = Denial::new(ground.reason(), detail).of(destination);
        denial.rule = rule.cloned();
        let has_no_remedy = matches!(ground, Ground::Unread(..) | Ground::Listed(_) | Ground::Unlisted);
        denial.allow_with = if has_no_remedy { None } else { self.remedy(facts) };
        denial
    }

    /// The lines that, added to the document, would allow a destination that is refused; none where no line would.
    fn remedy(&self, facts: &Facts<'_>) -> Option<String> {
        let Facts { destination, way, now } = *facts;
        let plain_to_tls = way == Way::Http && self.protocol(destination, self.find_allowing(destination, now)) == Protocol::Tls;
        if plain_to_tls || is_local(&destination.host) || self.rules.deny.denying(destination, now).enforced.is_some() {
            return None;
        }
        let opening = destination.host.ip().map_or(Opening::Open, |address| classify(address).opening());
        let declaration = match (opening, destination.host.ip()) {
            (Opening::Never, _) => return None,
            (Opening::Loopback, Some(address)) if !self.rules.addresses.declares(address) => {
                format!("\n{}", addresses::declaration(address))
            }
            (Opening::Open | Opening::Declarable | Opening::Loopback, _) => String::new(),
        };
        let entry = patterns::entry(&destination.host, Protocol::port_to_write(destination.port));
        entry.parse::<Pattern>().and_then(|pattern| pattern.check_width()).ok()?;
        let level = if self.access == Access::None { "access = \"custom\"\n" } else { "" };
        Some(format!("{level}allow = [\"{entry}\"]{declaration}"))
    }
}

fn is_local(host: &Host) -> bool {
    host.name().is_some_and(is_local_name)
}

#[cfg(test)]
mod tests;

//! The hosts of a GitHub: what may be done there is a matter of a session's grants, and of no access level and no list.

use std::{fmt, time::SystemTime};

use super::{
    Policy, Way,
    decision::{Denial, Protocol, RuleRef, SecretRule},
    permit::Interception,
    requests::{Ech, Expectation, RequestFacts, check_method},
    rules::Bearing,
};
use crate::{
    destination::{Destination, Host, Name},
    github::{
        RepositoryName,
        api::{Entrance, Service},
        files::FileHost,
        hosts::is_here,
        route::{self, RouteError, Wanted},
    },
    reason::Reason,
};

/// The hosts of every GitHub that is configured: each by its name, and its `api.`, `uploads.` and `gist.` with it.
#[derive(Debug, Clone, Default)]
pub struct ForgeHosts {
    names: Box<[Name]>,
    /// Those where anybody may read what nobody was granted.
    public: Box<[Name]>,
    /// Those where a sandbox may read what anybody may read by a token of its own.
    taking_tokens: Box<[Name]>,
    /// Those beside them for files.
    files: Box<[FileHost]>,
}

/// A repository at a host that is no GitHub of the configuration's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownHost {
    repository: RepositoryName,
    known: Box<[Name]>,
}

impl fmt::Display for UnknownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.repository.host().map(Name::as_str).unwrap_or_default();
        let known: Vec<_> = self.known.iter().map(Name::as_str).collect();
        let known = if known.is_empty() { "none is configured".to_owned() } else { format!("there is {}", known.join(", ")) };
        write!(f, "{} is at no [[github]]: none has the host {host}, {known}", self.repository)
    }
}

impl std::error::Error for UnknownHost {}

/// What a host of a GitHub is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Its repositories, and its pages for people.
    Main,
    Api,
    Uploads,
    Gists,
}

impl ForgeHosts {
    /// By their names, in the order of the configuration: at the first one are the repositories whose names are without a host.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Self {
        Self { names: names.into_iter().collect(), ..Self::default() }
    }

    /// The same, at which of them repositories without a grant may be read.
    #[must_use]
    pub fn public_at(self, names: impl IntoIterator<Item = Name>) -> Self {
        Self { public: names.into_iter().collect(), ..self }
    }

    /// The same, at which of them a token of the sandbox's own serves for what anybody may read.
    #[must_use]
    pub fn taking_tokens_at(self, names: impl IntoIterator<Item = Name>) -> Self {
        Self { taking_tokens: names.into_iter().collect(), ..self }
    }

    /// The same with hosts for files.
    #[must_use]
    pub fn with_files(self, files: impl IntoIterator<Item = FileHost>) -> Self {
        Self { files: files.into_iter().collect(), ..self }
    }

    pub(super) fn files(&self) -> &[FileHost] {
        &self.files
    }

    /// Whether a repository without a grant may be read.
    pub fn public_read(&self, repository: &RepositoryName) -> bool {
        repository.host().or(self.first()).is_some_and(|host| self.public.contains(host))
    }

    /// Whether a token of the sandbox's own serves for what anybody may read there.
    pub fn takes_token(&self, repository: &RepositoryName) -> bool {
        repository.host().or(self.first()).is_some_and(|host| self.taking_tokens.contains(host))
    }

    /// In the order of the configuration.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Where repositories are whose names are without a host.
    pub fn first(&self) -> Option<&Name> {
        self.names.first()
    }

    /// The one name of a repository: without the host where that is the first one.
    ///
    /// # Errors
    /// A host that is none of these.
    pub fn locate(&self, repository: RepositoryName) -> Result<RepositoryName, UnknownHost> {
        match repository.host() {
            Some(host) if !self.names.contains(host) => Err(UnknownHost { repository, known: self.names.clone() }),
            Some(_) | None => Ok(repository.seen_from(self.first(), self.first())),
        }
    }

    /// Which request it is that the git door is asked for; calls of an API are for the first of these.
    ///
    /// # Errors
    /// Those of [`route::read`]; a repository at a host that is none of these; [`Reason::ApiNotAllowed`] for an API that is not served.
    pub fn read_route(&self, method: &str, origin_form: &str) -> Result<Wanted, Box<Denial>> {
        if let Some(entrance) = Entrance::below(origin_form) {
            check_method(method)?;
            return served(entrance);
        }
        let wanted = route::read(method, origin_form).map_err(|error| no_route(&error))?;
        wanted.calling(|repository| self.find_repository(repository))
    }

    /// The same as [`Self::locate`] for a sandbox that names one.
    ///
    /// # Errors
    /// [`Reason::RepositoryNotGranted`].
    pub fn find_repository(&self, repository: RepositoryName) -> Result<RepositoryName, Box<Denial>> {
        let deny = |error| Box::new(Denial::new(Reason::RepositoryNotGranted, format!("No session has a grant: {error}.")));
        self.locate(repository).map_err(deny)
    }

    /// Judges a connection or a plain request; `None` where it leads elsewhere, which is a policy's to judge.
    ///
    /// # Errors
    /// [`Reason::PortNotAllowed`] for anything but a connection to port 443, since nothing goes there unread; and but for plain requests to
    /// port 80 of a name of this machine's, which nobody else answers to.
    pub fn decide(&self, destination: &Destination, way: Way) -> Option<Result<ForgePermit, Box<Denial>>> {
        let (forge, role) = self.find(&destination.host)?;
        let is_plain = destination.port == PLAIN && is_here(forge);
        if is_plain || way == Way::Connect && destination.port == 443 {
            let is_first = self.first() == Some(forge);
            return Some(Ok(ForgePermit { destination: destination.clone(), forge: forge.clone(), role, is_first }));
        }
        let (host, forge) = (&destination.host, forge.as_str());
        let detail =
            format!("{host} is reached by https at port 443 alone; for a repository write https://{forge}/OWNER/NAME.git as its remote.");
        Some(Err(Box::new(Denial::new(Reason::PortNotAllowed, detail).of(destination))))
    }

    /// Judges the name that a `ClientHello` asks for in a tunnel to `destination`, whatever its policy makes of it: report mode lets
    /// much through, and would let the request past what the session is granted.
    ///
    /// # Errors
    /// [`Reason::Misdirected`] for the name of a GitHub's host in a tunnel to elsewhere.
    pub fn decide_server_name(&self, destination: &Destination, server_name: &[u8]) -> Result<(), Box<Denial>> {
        let named = Host::parse(server_name).ok().filter(|named| *named != destination.host && self.find(named).is_some());
        match named {
            None => Ok(()),
            Some(named) => {
                let detail = format!(
                    "The ClientHello asks for {named}, which is reached by a connection of its own, and not in one to {destination}."
                );
                Err(Box::new(Denial::new(Reason::Misdirected, detail).of(destination)))
            }
        }
    }

    pub(super) fn find(&self, host: &Host) -> Option<(&Name, Role)> {
        let name = host.name()?;
        if let Some(forge) = self.names.iter().find(|forge| *forge == name) {
            return Some((forge, Role::Main));
        }
        let (label, rest) = name.as_str().split_once('.')?;
        let role = match label {
            "api" => Role::Api,
            "uploads" => Role::Uploads,
            "gist" => Role::Gists,
            _ => return None,
        };
        self.names.iter().find(|forge| forge.as_str() == rest).map(|forge| (forge, role))
    }
}

/// Leave for a connection to a host of a GitHub, which ends here: each request in it is judged by what its session is granted.
#[derive(Debug, Clone)]
pub struct ForgePermit {
    destination: Destination,
    /// Whose host it is.
    forge: Name,
    role: Role,
    /// Whether repositories without a host are there.
    is_first: bool,
}

impl ForgePermit {
    /// The host.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Whose host it is.
    pub fn forge(&self) -> &Name {
        &self.forge
    }

    /// Whether requests come in plain HTTP.
    pub fn is_plain(&self) -> bool {
        self.destination.port == PLAIN
    }

    /// Leave to show a certificate for the host.
    pub fn interception(&self) -> Interception {
        Interception::of_a_forge(self.destination.clone())
    }

    /// Whether the host is one of GitHub's API, where its clients expect JSON.
    pub fn is_api(&self) -> bool {
        matches!(self.role, Role::Api | Role::Uploads)
    }

    /// Which request of git's or call of an API it is that is asked for.
    ///
    /// # Errors
    /// [`Reason::MethodRefused`], [`Reason::BadRequest`], [`Reason::Misdirected`] as for any host; [`Reason::ApiNotAllowed`] for
    /// whatever is neither; those of [`route::read_on_host`].
    pub fn decide_request(&self, facts: &RequestFacts<'_>) -> Result<Wanted, Box<Denial>> {
        self.interception().expectation().decide_request(facts)?;
        let of = |denial: Denial| Box::new(denial.of(&self.destination));
        let (host, target) = (&self.destination.host, facts.origin_form);
        let forge = (!self.is_first).then(|| self.forge.clone());
        let entrance = match self.role {
            Role::Main => Entrance::below(target),
            Role::Api => Some(Entrance::at_host(Service::Rest, target)),
            Role::Uploads => Some(Entrance::at_host(Service::Uploads, target)),
            Role::Gists => {
                let detail =
                    format!("No gists are served at {host}, only git at https://{}/OWNER/NAME.git and the API.", self.forge.as_str());
                return Err(of(Denial::new(Reason::ApiNotAllowed, detail)));
            }
        };
        if let Some(entrance) = entrance {
            return served(entrance.of(forge)).map_err(|denial| of(*denial));
        }
        let wanted = route::read_on_host(facts.method, target).map_err(|error| of(no_route(&error)))?;
        wanted.calling(|repository| Ok(repository.at(forge)))
    }
}

/// A call of an API that is served; what it may do is its session's grant to say.
fn served(entrance: Entrance) -> Result<Wanted, Box<Denial>> {
    match entrance.service {
        Service::Rest | Service::Uploads => Ok(Wanted::Api(entrance)),
        Service::GraphQl => Err(Box::new(Denial::new(Reason::ApiNotAllowed, NO_GRAPHQL))),
    }
}

impl Interception {
    /// Of a connection to a host where a session's grants count: no rule of a policy's bears on it.
    pub(super) fn of_a_forge(destination: Destination) -> Self {
        let expectation =
            Expectation { destination, protocol: Protocol::Tls, ech: Ech::Outer, report: false, secrets: None, rules: Bearing::default() };
        Self { expectation }
    }
}

/// Where HTTP is plain.
const PLAIN: u16 = 80;
const NO_GRAPHQL: &str = "This version of Tidegate serves nothing of GitHub's GraphQL API; most of what it does can be done by REST calls.";

fn no_route(error: &RouteError) -> Denial {
    Denial::new(error.reason(), format!("This is no request for git: {error}."))
}

impl Policy {
    /// What says that no secret may leave in a request, of whatever host it is.
    pub fn secret_rule(&self, destination: &Destination) -> Option<SecretRule> {
        let rule = self.content.refuse_secrets.clone()?;
        Some(SecretRule { rule, destination: destination.clone(), report: self.report })
    }

    /// The entries and rules that refuse a destination, judge its requests or have it passed on unread: where it is a host of a
    /// GitHub, they change nothing.
    pub fn entries_against(&self, destination: &Destination, now: SystemTime) -> Vec<RuleRef> {
        let rules = &self.rules;
        let denying = rules.deny.denying(destination, now).enforced.map(|entry| &entry.rule);
        let skipping = rules.skip.find(destination, now).port.map(|entry| &entry.rule);
        let bearing = rules.requests.bearing_on(destination, None, now);
        [denying, skipping, bearing.first()].into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests;

//! `[[github]]`: a GitHub by the name that sandboxes use, where it really is, and the credential that it takes.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::pki_types::CertificateDer;
use toml::Spanned;

use super::sections::Reader;
use crate::{
    credentials::GithubCredential,
    destination::{Destination, Host, Name},
    endpoint::Endpoint,
    github::hosts::{self, Part},
    policy::{ForgeHosts, Table},
    sessions::SessionSettings,
};

/// One GitHub. `host` is no other's.
pub(crate) struct Github {
    /// The name that sandboxes use.
    pub(crate) host: Name,
    pub(crate) git: Endpoint,
    /// None where it is not written and `git` is not where `host` says.
    pub(crate) api: Option<Endpoint>,
    /// Files beside a release, by the same rule.
    pub(crate) uploads: Option<Endpoint>,
    /// Archives and single files of its repositories, by the same rule.
    pub(crate) archives: Option<Endpoint>,
    pub(crate) raw: Option<Endpoint>,
    /// Roots for it beside all others; each was found to be a usable trust anchor.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// For sessions that have none of their own.
    pub(crate) credential: Option<Arc<GithubCredential>>,
    /// Repositories that no session is granted may be read, without any credential.
    pub(crate) public_read: bool,
    /// A token that a sandbox brought serves for what anybody may read.
    pub(crate) takes_tokens: bool,
    /// What stands below each comment that a sandbox makes; `{session}` in it is whose.
    pub(crate) comment_footer: Option<Box<str>>,
}

impl Github {
    /// One that is where its host says.
    pub(crate) fn by_name(host: Name, credential: Option<Arc<GithubCredential>>) -> Self {
        let destination = Destination { host: Host::Name(host.clone()), port: 443 };
        let git = Endpoint { secure: true, destination, prefix: "".into() };
        let parts = [Part::Api, Part::Uploads, Part::Archives, Part::Raw];
        let [api, uploads, archives, raw] = parts.map(|part| hosts::beside(&git, &host, part));
        let (roots, public_read, takes_tokens, comment_footer) = (Vec::new(), false, false, None);
        Self { host, git, api, uploads, archives, raw, roots, credential, public_read, takes_tokens, comment_footer }
    }
}

impl Reader<'_> {
    /// Every GitHub of the file. `patience` bounds whatever fetches a credential.
    pub(super) fn githubs(&mut self, whole: &mut Table<'_>, patience: Duration) -> Vec<Spanned<Github>> {
        let (mut githubs, mut names) = (Vec::new(), Vec::new());
        for value in whole.array("github", &mut self.problems) {
            let Some(table) = Table::of(value, "an element of \"github\"", &mut self.problems) else { continue };
            let span = table.span.clone();
            githubs.extend(self.github(table, patience, &mut names).map(|github| Spanned::new(span, github)));
        }
        self.hosts = ForgeHosts::new(names);
        githubs
    }

    /// Warns of what will not work as it may have been meant, once the rest is known.
    pub(super) fn check_githubs(&mut self, githubs: &[Spanned<Github>], sessions: &[SessionSettings]) {
        for (index, github) in githubs.iter().enumerate() {
            let (span, github) = (github.span(), github.get_ref());
            let own = (index > 0).then(|| github.host.clone());
            let has_own = sessions.iter().any(|session| session.credentials.contains_key(&own));
            if github.credential.is_none() && !has_own && !self.problems.has_errors() {
                let message =
                    format!("there is no credential for {}: only repositories on disk and public reads work", github.host.as_str());
                self.problems.warning(span.clone(), message, Some("write credential = { env = \"GITHUB_TOKEN\" }".into()));
            }
            let of_sessions = sessions.iter().filter_map(|session| session.credentials.get(&own));
            let has_app = of_sessions.chain(&github.credential).any(|credential| credential.user().is_none());
            if has_app && github.api.is_none() {
                let message =
                    format!("tokens of a GitHub App are made by an API, and nothing says where that of {} is", github.host.as_str());
                self.problems.error(span.clone(), message, Some("write api_url = \"https://…\"".into()));
            }
            self.warn_of_policies(&github.host, &span);
        }
    }

    /// Warns of what a policy says about a host that no policy has a say about.
    fn warn_of_policies(&mut self, host: &Name, span: &Range<usize>) {
        let destination = Destination { host: Host::Name(host.clone()), port: 443 };
        let policies = self.policies.values().flatten();
        let against: Vec<_> = policies.flat_map(|policy| policy.entries_against(&destination, SystemTime::UNIX_EPOCH)).collect();
        for rule in against {
            let message = format!("{rule} has no effect on {}: sessions use it by their grants alone", host.as_str());
            let help = "take that entry out; a session without a [[session.repository]] uses nothing there";
            self.problems.warning(span.clone(), message, Some(help.into()));
        }
    }

    /// One GitHub; its host is added to `names`, which holds those before it, even where the rest of it cannot be used.
    fn github(&mut self, mut table: Table<'_>, patience: Duration, names: &mut Vec<Name>) -> Option<Github> {
        self.require(&table, "host", "a GitHub has a \"host\"", "write host = \"github.com\"");
        let host = table.string("host", &mut self.problems);
        let keys = ["git_url", "api_url", "upload_url", "codeload_url", "raw_url"];
        let written = keys.map(|key| table.string(key, &mut self.problems));
        let ca_file = table.string("ca_file", &mut self.problems);
        let credential = table.table("credential", &mut self.problems).and_then(|written| self.credential(written, patience));
        let public_read = table.boolean("public_read", &mut self.problems).is_some_and(Spanned::into_inner);
        let foreign = table.string("foreign_credentials", &mut self.problems);
        let footer = table.string("comment_footer", &mut self.problems);
        table.finish(&[], &mut self.problems);
        let takes_tokens = foreign.is_some_and(|word| self.takes_tokens(&word));
        let comment_footer = footer.and_then(|footer| self.comment_footer(&footer));
        let roots = ca_file.and_then(|file| self.certificates(&file)).unwrap_or_default();
        let host = host.and_then(|host| self.github_host(host, names));
        names.extend(host.as_ref().map(|host| host.get_ref().clone()));
        let written = written.map(|url| url.map(|url| self.endpoint(&url)));
        // What is written and cannot be used is an error already.
        if written.iter().any(|url| matches!(url, Some(None))) {
            return None;
        }
        let [git, api, uploads, archives, raw] = written.map(Option::flatten);
        let by_name = Github::by_name(host?.into_inner(), credential);
        let git = git.unwrap_or(by_name.git);
        let beside = |written: Option<Endpoint>, part| written.or_else(|| hosts::beside(&git, &by_name.host, part));
        let (api, uploads) = (beside(api, Part::Api), beside(uploads, Part::Uploads));
        let (archives, raw) = (beside(archives, Part::Archives), beside(raw, Part::Raw));
        Some(Github { git, api, uploads, archives, raw, roots, public_read, takes_tokens, comment_footer, ..by_name })
    }

    fn github_host(&mut self, written: Spanned<String>, others: &[Name]) -> Option<Spanned<Name>> {
        let (span, text) = (written.span(), written.into_inner());
        let problem = match Host::parse(text.as_bytes()) {
            Ok(Host::Name(name)) if !others.contains(&name) => return Some(Spanned::new(span, name)),
            Ok(Host::Name(name)) => format!("two [[github]] have the host {:?}", name.as_str()),
            Ok(Host::Ip(address)) => format!("sandboxes name a GitHub, and this is an address: {address}"),
            Err(error) => error.to_string(),
        };
        self.problems.error(span, problem, Some("write a name such as \"github.com\"; where it really is says git_url".into()));
        None
    }

    /// Where requests go, as written.
    fn endpoint(&mut self, url: &Spanned<String>) -> Option<Endpoint> {
        let endpoint = match Endpoint::parse(url.get_ref()) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                self.problems.error(url.span(), format!("no base URL: {:?}", url.get_ref()), Some(error.to_string()));
                return None;
            }
        };
        if !endpoint.secure && !is_this_machine(&endpoint.destination.host) {
            let message = format!("the credential crosses the network to {} in the clear", endpoint.authority());
            self.problems.warning(url.span(), message, Some("write https://, or keep this upstream on the same machine".into()));
        }
        Some(endpoint)
    }

    fn comment_footer(&mut self, written: &Spanned<String>) -> Option<Box<str>> {
        let text = written.get_ref().trim();
        if text.is_empty() || text.len() > MAX_FOOTER {
            let message = format!("a comment_footer has 1 to {MAX_FOOTER} octets");
            self.problems.error(written.span(), message, Some(FOOTER_HELP.into()));
            return None;
        }
        Some(text.into())
    }

    /// `foreign_credentials`, as written.
    fn takes_tokens(&mut self, word: &Spanned<String>) -> bool {
        let takes = match word.get_ref().as_str() {
            "refuse" => Some(false),
            "public" => Some(true),
            _ => None,
        };
        if takes.is_none() {
            let message = format!("no way to treat a token that a sandbox brought: {:?}", word.get_ref());
            self.problems.error(word.span(), message, Some(FOREIGN_HELP.into()));
        }
        takes.unwrap_or_default()
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Ip(address) => address.is_loopback(),
        Host::Name(name) => name.as_str() == "localhost",
    }
}

/// Most octets of what stands below a comment.
const MAX_FOOTER: usize = 1000;

const FOOTER_HELP: &str = "write a sentence such as \"Written by the agent of session {session}.\"";
const FOREIGN_HELP: &str = "write \"refuse\", the default: what a sandbox brought goes nowhere; or \"public\": it serves for public reads";

//! From the document as written to the [`Config`] as used, section by section. Whatever is wrong is noted with its place,
//! and reading goes on, so that one start shows all of it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use toml::Spanned;

use super::{Admin, Config, Environment, Listen, Resolver, Single, Timeouts, default_state};
use crate::{
    audit::{OnFailure, Target},
    credentials::Equipped,
    policy::{ForgeHosts, Problem, Problems, Severity, Source, Table},
    upstream::Parent,
};

/// Reads one configuration.
pub(super) struct Reader<'e> {
    pub(super) directory: PathBuf,
    pub(super) environment: &'e dyn Environment,
    pub(super) problems: Problems,
    /// Where it is read for one sandbox.
    pub(super) single: Option<Single>,
    /// Every policy file read so far, `None` where it cannot be used.
    pub(super) policies: BTreeMap<PathBuf, Option<Arc<Equipped>>>,
    pub(super) problems_of_policies: Vec<Problem>,
    /// Bounds whatever fetches a credential.
    pub(super) patience: Duration,
    /// The ids of the sessions read so far, usable or not.
    pub(super) ids: Vec<Arc<str>>,
    /// Those of every `[[github]]`.
    pub(super) hosts: ForgeHosts,
}

/// How a connection finds its session, as written.
pub(super) enum WrittenEntry {
    Anonymous,
    Bound(Spanned<String>),
    Required,
    /// The only session there is, or else an anonymous one.
    Single,
}

impl<'e> Reader<'e> {
    /// A reader of a document whose relative paths start from `directory`.
    pub(super) fn new(source: Arc<Source>, directory: &Path, environment: &'e dyn Environment) -> Self {
        Self {
            directory: directory.to_owned(),
            environment,
            problems: Problems::new(source),
            single: None,
            policies: BTreeMap::new(),
            problems_of_policies: Vec::new(),
            patience: Timeouts::default().credential,
            ids: Vec::new(),
            hosts: ForgeHosts::default(),
        }
    }

    /// The configuration with its warnings, or everything that is wrong with it.
    pub(super) fn read(mut self) -> Result<Config, Vec<Problem>> {
        let source = self.problems.source.clone();
        let config = Table::parse(&source.text, &mut self.problems).and_then(|whole| self.whole(whole));
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let has_errors = self.problems.has_errors() || self.problems_of_policies.iter().any(is_error);
        let mut problems = self.problems.into_vec();
        problems.append(&mut self.problems_of_policies);
        match config {
            Some(config) if !has_errors => Ok(Config { warnings: problems, ..config }),
            Some(_) | None => Err(problems),
        }
    }

    fn whole(&mut self, mut whole: Table<'_>) -> Option<Config> {
        let (listen, entry) = match self.single {
            None => self.listen(&mut whole),
            Some(_) => (Listen::default(), self.entry_of_single(&mut whole)),
        };
        let state = self.state(&mut whole);
        let timeouts = self.timeouts(&mut whole);
        self.patience = timeouts.credential;
        let policy = match self.single {
            None => self.default_policy(&mut whole),
            Some(_) => self.policy_of_single(&mut whole),
        };
        let (audit, on_audit_failure) = self.audit(&mut whole);
        let resolver = self.resolver(&mut whole);
        let (parent, upstream_roots) = self.upstream(&mut whole);
        let github = self.githubs(&mut whole, timeouts.credential);
        let mut sessions = self.sessions(&mut whole, policy.as_ref(), &entry, timeouts.credential);
        whole.finish(&[], &mut self.problems);
        self.check_githubs(&github, &sessions);
        let entry = self.entry(entry, listen.admin.is_some(), &mut sessions, policy.clone())?;
        let warnings = Vec::new();
        Some(Config {
            listen,
            state,
            entry,
            sessions,
            github: github.into_iter().map(Spanned::into_inner).collect(),
            policy,
            audit,
            on_audit_failure,
            resolver,
            parent,
            upstream_roots,
            timeouts,
            warnings,
        })
    }

    pub(super) fn listen(&mut self, whole: &mut Table<'_>) -> (Listen, WrittenEntry) {
        let Some(mut table) = whole.table("listen", &mut self.problems) else {
            self.problems.error(0..0, "nothing listens: there is no [listen]", Some(LISTEN_HELP.into()));
            return (Listen::default(), WrittenEntry::Anonymous);
        };
        if !["proxy", "git", "socks", "transparent", "dns", "metrics", "admin"].iter().any(|key| table.has(key)) {
            self.problems.error(table.span.clone(), "nothing listens: [listen] names no address", Some(LISTEN_HELP.into()));
        }
        let proxy = table.string("proxy", &mut self.problems);
        let git = table.string("git", &mut self.problems);
        let socks = table.string("socks", &mut self.problems);
        let transparent = table.one_or_more("transparent", &mut self.problems);
        let dns = table.one_or_more("dns", &mut self.problems);
        let metrics = table.string("metrics", &mut self.problems);
        let admin = table.string("admin", &mut self.problems);
        let token_file = table.string("token_file", &mut self.problems);
        let session = table.string("session", &mut self.problems);
        let require_session = table.boolean("require_session", &mut self.problems).filter(|required| *required.get_ref());
        let bind_tokens = table.boolean("bind_tokens", &mut self.problems);
        table.finish(&[], &mut self.problems);
        if let (Some(bind), None) = (bind_tokens.as_ref().filter(|bind| *bind.get_ref()), &require_session) {
            let help = "write require_session = true, or leave it out";
            self.problems.error(bind.span(), "\"bind_tokens\" is about tokens, and nobody is asked for one", Some(help.into()));
        }
        let bind_tokens = bind_tokens.is_some_and(Spanned::into_inner);
        let entry = match (session, require_session) {
            (Some(_), Some(required)) => {
                let help = "write one of them: with \"session\", nobody is asked who they are";
                self.problems.error(required.span(), "\"session\" and \"require_session\" exclude each other", Some(help.into()));
                WrittenEntry::Required
            }
            (Some(session), None) => WrittenEntry::Bound(session),
            (None, Some(_)) => WrittenEntry::Required,
            (None, None) => WrittenEntry::Anonymous,
        };
        let admin = self.admin(admin.as_ref(), token_file.as_ref());
        let metrics = metrics.and_then(|text| self.address(&text));
        let proxy = self.door(proxy.as_ref(), &entry);
        let git = self.door(git.as_ref(), &entry);
        let socks = self.door(socks.as_ref(), &entry);
        let transparent = self.unasking_doors("transparent", &transparent, &entry);
        let dns = self.unasking_doors("dns", &dns, &entry);
        (Listen { proxy, git, socks, transparent, dns, metrics, admin, bind_tokens }, entry)
    }

    /// A door whose protocol has no place for a token, at each of its addresses.
    fn unasking_doors(&mut self, name: &str, texts: &[Spanned<String>], entry: &WrittenEntry) -> Vec<SocketAddr> {
        if let (Some(text), WrittenEntry::Required) = (texts.first(), entry) {
            let message = format!("nobody can show a token at \"{name}\", and require_session asks for one");
            self.problems.error(text.span(), message, Some("write session = \"ID\" instead: whoever comes through is that session".into()));
        }
        texts.iter().filter_map(|text| self.door(Some(text), entry)).collect()
    }

    /// Where sandboxes come in.
    fn door(&mut self, text: Option<&Spanned<String>>, entry: &WrittenEntry) -> Option<SocketAddr> {
        let text = text?;
        let address = self.address(text)?;
        if matches!(entry, WrittenEntry::Anonymous) && !address.ip().is_loopback() {
            let message = format!("{address} is open to other machines, and nobody is asked who they are");
            let help = "write require_session = true, or session = \"ID\" where the network keeps strangers out, or bind 127.0.0.1";
            self.problems.error(text.span(), message, Some(help.into()));
        }
        Some(address)
    }

    fn address(&mut self, text: &Spanned<String>) -> Option<SocketAddr> {
        let address = text.get_ref().parse().ok();
        if address.is_none() {
            let help = "write IP:PORT, such as \"127.0.0.1:3128\" or \"[::1]:3128\"; port 0 takes any that is free";
            self.problems.error(text.span(), format!("no address to listen on: {:?}", text.get_ref()), Some(help.into()));
        }
        address
    }

    fn admin(&mut self, text: Option<&Spanned<String>>, token_file: Option<&Spanned<String>>) -> Option<Admin> {
        let unix = text.and_then(|text| text.get_ref().strip_prefix("unix:"));
        if let (Some(file), true) = (token_file, text.is_none() || unix.is_some()) {
            let message = "\"token_file\" belongs to an \"admin\" that is IP:PORT";
            self.problems.error(file.span(), message, Some("remove it: on a socket in the file system the kernel tells who calls".into()));
        }
        let text = text?;
        if let Some(path) = unix {
            if path.is_empty() {
                self.problems.error(
                    text.span(),
                    "a path is missing after \"unix:\"",
                    Some("write \"unix:/run/tidegate/admin.sock\"".into()),
                );
            }
            return Some(Admin::Unix(self.directory.join(path)));
        }
        let address = self.address(text)?;
        let Some(file) = token_file else {
            let help = "write \"unix:PATH\" instead, or token_file = \"FILE\" beside it";
            self.problems.error(text.span(), format!("anyone who reaches {address} could administer this program"), Some(help.into()));
            return None;
        };
        let token = self.token_of_file(file)?;
        Some(Admin::Tcp { address, token })
    }

    /// The place for what outlives the program.
    pub(super) fn state(&mut self, whole: &mut Table<'_>) -> Option<PathBuf> {
        if let Some(mut table) = whole.table("state", &mut self.problems) {
            let directory = table.string("dir", &mut self.problems);
            table.finish(&[], &mut self.problems);
            if let Some(directory) = directory {
                return Some(self.directory.join(directory.get_ref()));
            }
        }
        default_state(self.environment)
    }

    /// Notes a key that must be there and is not.
    pub(super) fn require(&mut self, table: &Table<'_>, key: &str, missing: &str, help: &str) {
        if !table.has(key) {
            self.problems.error(table.span.clone(), missing, Some(help.into()));
        }
    }

    /// The content of a file that the document names.
    pub(super) fn file(&mut self, name: &Spanned<String>) -> Option<Vec<u8>> {
        match self.environment.file(&self.directory.join(name.get_ref())) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problems.error(name.span(), format!("cannot read {}: {error}", name.get_ref()), None);
                None
            }
        }
    }

    /// Where decisions are recorded: stdout, unless it says otherwise.
    fn audit(&mut self, whole: &mut Table<'_>) -> (Target, OnFailure) {
        let Some(mut table) = whole.table("audit", &mut self.problems) else { return (Target::Stdout, OnFailure::Refuse) };
        let target = match table.string("file", &mut self.problems) {
            Some(file) if file.get_ref() != "-" => Target::File(self.directory.join(file.get_ref())),
            Some(_) | None => Target::Stdout,
        };
        let on_failure = table.string("on_failure", &mut self.problems).and_then(|word| self.on_failure(&word));
        table.finish(&[], &mut self.problems);
        (target, on_failure.unwrap_or(OnFailure::Refuse))
    }

    fn on_failure(&mut self, word: &Spanned<String>) -> Option<OnFailure> {
        match word.get_ref().as_str() {
            "refuse" => Some(OnFailure::Refuse),
            "continue" => Some(OnFailure::Continue),
            other => {
                let help = "write \"refuse\": what cannot be recorded does not happen; or \"continue\": it is counted as lost";
                self.problems.error(word.span(), format!("no way to treat what cannot be recorded: {other:?}"), Some(help.into()));
                None
            }
        }
    }

    fn resolver(&mut self, whole: &mut Table<'_>) -> Resolver {
        let Some(mut table) = whole.table("dns", &mut self.problems) else { return Resolver::System };
        let resolver = table.string("resolver", &mut self.problems);
        table.finish(&[], &mut self.problems);
        let Some(resolver) = resolver.filter(|resolver| resolver.get_ref() != "system") else { return Resolver::System };
        match resolver.get_ref().parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => return Resolver::Server(address),
            Ok(_) | Err(_) => {}
        }
        let message = format!("no name server: {:?}", resolver.get_ref());
        self.problems.error(resolver.span(), message, Some("write \"system\", or IP:PORT such as \"192.0.2.53:53\"".into()));
        Resolver::System
    }

    fn upstream(&mut self, whole: &mut Table<'_>) -> (Option<Parent>, Vec<CertificateDer<'static>>) {
        let Some(mut table) = whole.table("upstream", &mut self.problems) else { return (None, Vec::new()) };
        let proxy = table.string("proxy", &mut self.problems);
        let file = table.string("ca_file", &mut self.problems);
        table.finish(&[], &mut self.problems);
        let roots = file.and_then(|file| self.certificates(&file)).unwrap_or_default();
        (proxy.and_then(|proxy| self.parent(&proxy)), roots)
    }

    /// The roots in a file that the document names.
    pub(super) fn certificates(&mut self, file: &Spanned<String>) -> Option<Vec<CertificateDer<'static>>> {
        let (name, bytes) = (file.get_ref(), self.file(file)?);
        let certificates: Vec<_> = match CertificateDer::pem_slice_iter(&bytes).collect() {
            Ok(certificates) => certificates,
            Err(error) => {
                self.problems.error(file.span(), format!("{name} is not PEM: {error}"), None);
                return None;
            }
        };
        if certificates.is_empty() {
            self.problems.error(
                file.span(),
                format!("no certificate in {name}"),
                Some("it begins with -----BEGIN CERTIFICATE-----".into()),
            );
        }
        for (number, certificate) in (1..).zip(&certificates) {
            if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
                self.problems.error(file.span(), format!("certificate {number} of {name} cannot be a root: {error}"), None);
            }
        }
        Some(certificates)
    }

    fn timeouts(&mut self, whole: &mut Table<'_>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(mut table) = whole.table("timeouts", &mut self.problems) else { return timeouts };
        let Timeouts { head, client_hello, tls_handshake, dns, connect, body, first_byte, idle, keep_alive, credential, drain } =
            &mut timeouts;
        for (key, timeout) in [
            ("head", head),
            ("client_hello", client_hello),
            ("tls_handshake", tls_handshake),
            ("dns", dns),
            ("connect", connect),
            ("body", body),
            ("first_byte", first_byte),
            ("idle", idle),
            ("keep_alive", keep_alive),
            ("credential", credential),
            ("drain", drain),
        ] {
            if let Some(duration) = table.duration(key, &mut self.problems) {
                *timeout = duration;
            }
        }
        table.finish(&[], &mut self.problems);
        timeouts
    }
}

const LISTEN_HELP: &str = "write [listen] and proxy = \"127.0.0.1:3128\"";

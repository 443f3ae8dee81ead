//! The running program: binds every listener first, serves until it is told to drain, and drains.

mod descriptors;
mod memory;
mod listeners;

use std::{
    collections::hash_map::RandomState,
    future::Future,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};

use self::listeners::{OwnerListener, accept, bind_tcp};
pub(crate) use self::{
    listeners::{Listeners, StartError},
    memory::seal,
};
use crate::{
    admin,
    audit::Audit,
    authority::{Authority, LocalAuthority},
    backend::Backend,
    config::{Config, Github, Resolver, Timeouts},
    credentials::Held,
    doors,
    downstream::Patience,
    files::Stamps,
    gateway::{self, warnings},
    github::files::{self, FileHost},
    limits::{Guesses, Strangers},
    metrics::{Door, Metrics, Reload},
    passage::{Forge, Forges, Gate, Identities, Restraint, Shown},
    policy::{ForgeHosts, Own},
    processes::{Diagnosis, Processes},
    respond::Owner,
    sessions::{Entry, Session, Sessions, Settings, Store, StoreError},
    upstream::{
        ExchangeTimeouts, LazyTlsClient, MAX_IDLE, NameServers, TlsClient, TlsClientError, Upstream, UpstreamSettings, own_addresses,
    },
};

/// What a running server can be told.
pub(crate) enum Order {
    /// Judge by these policies and sessions from now on; nothing else of the configuration changes.
    Reload(Box<Config>),
    /// The new configuration cannot be used: keep the old one, and count it.
    KeepOld,
    /// Accept nothing new, let what is under way end.
    Drain,
    /// End at once.
    Stop,
}

pub(crate) struct Server {
    gate: Arc<Gate>,
    doors: Listeners,
    metrics: Option<TcpListener>,
    owner: Option<OwnerListener>,
    drain: Duration,
    /// Sandboxes' connections at once.
    most: usize,
}

impl Server {
    /// Binds all listeners and opens the records; serves nothing yet.
    pub(crate) fn bind(config: Config, clock: fn() -> SystemTime) -> Result<Self, StartError> {
        let doors = Listeners::bind(&config.listen)?;
        Self::over(doors, None, config, clock)
    }

    /// The same where sandboxes come in by listeners that are bound already, and may be served by an authority of their own.
    pub(crate) fn over(
        mut doors: Listeners,
        authority: Option<Authority>,
        config: Config,
        clock: fn() -> SystemTime,
    ) -> Result<Self, StartError> {
        let metrics = config.listen.metrics.map(|address| bind_tcp("metrics", address)).transpose()?;
        let numbers = Arc::new(Metrics::new().map_err(StartError::new)?);
        let settings = upstream_settings(config.resolver, &config.timeouts);
        let most = descriptors::raise().saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION;
        let now = clock();
        let store = open_store(&config, now).map_err(StartError::new)?;
        let asked = match (&config.listen.admin, &store, &authority) {
            (Some(_), Some(_), _) => Owner::Listening,
            (_, _, Some(_)) => Owner::Starting,
            (_, _, None) => Owner::Writing,
        };
        let owner = config.listen.admin.map(OwnerListener::bind).transpose()?;
        let forge_hosts = forge_hosts(&config.github);
        let sessions = Settings {
            sessions: config.sessions,
            policy: config.policy,
            patience: config.timeouts.credential,
            first: forge_hosts.first().cloned(),
        };
        let authority = match authority {
            Some(authority) => LocalAuthority::of(authority, Arc::clone(&numbers)),
            None => LocalAuthority::new(config.state.as_deref(), Arc::clone(&numbers), now).map_err(StartError::new)?,
        };
        let diagnosis = if doors.elsewhere { Diagnosis::of(doors.diagnosis.take()) } else { Diagnosis::of(Diagnosis::open().ok()) };
        let gate = Arc::new(Gate {
            strangers: Strangers::new(most.min(MAX_STRANGERS)),
            guesses: Guesses::default(),
            bind_tokens: config.listen.bind_tokens,
            sessions: Sessions::new(config.entry, sessions, store, now).map_err(StartError::new)?,
            upstream: Upstream::new(&settings, Arc::clone(&numbers)).map_err(StartError::new)?.through(config.parent),
            forges: forges(config.github, &config.upstream_roots, &config.timeouts).map_err(StartError::new)?,
            forge_hosts,
            backend: Backend::new(config.state.as_deref()),
            owner: asked,
            authority,
            audit: Audit::open(config.audit, config.on_audit_failure, clock, Arc::clone(&numbers)).map_err(StartError::new)?,
            metrics: numbers,
            processes: Processes::new(diagnosis),
            patience: patience(&config.timeouts),
            timeouts: exchange_timeouts(&config.timeouts),
            tls: ArcSwap::from_pointee(LazyTlsClient::new(config.upstream_roots)),
            held: Held::default(),
            clock,
            via: pseudonym(),
        });
        let server = Self { gate, doors, metrics, owner, drain: config.timeouts.drain, most };
        server.learn_own_addresses();
        server.count_sessions();
        Ok(server)
    }

    /// Each listener's name and where it listens.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, String)> {
        let metrics = self.metrics.as_ref().and_then(|listener| Some(("metrics", listener.local_addr().ok()?.to_string())));
        let owner = self.owner.as_ref().map(|listener| ("admin", listener.to_string()));
        self.doors.addresses().map(|(name, address)| (name, address.to_string())).chain(metrics).chain(owner).collect()
    }

    pub(crate) fn session(&self, id: &str) -> Option<Arc<Session>> {
        self.gate.sessions.find(id)
    }

    /// What the owner of a session should know of the repositories that it is granted.
    pub(crate) async fn warnings(&self, session: &Arc<Session>) -> Vec<String> {
        warnings::of_grant(&self.gate, session).await
    }

    /// What tells of which files the policies of sessions are made that the configuration does not name.
    pub(crate) fn files_of_sessions(&self) -> impl Fn() -> Stamps + use<> {
        let gate = Arc::clone(&self.gate);
        move || gate.sessions.holders().files()
    }

    /// Serves until drained or stopped by `orders`; the end of `orders` stops as well.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let (draining, drained) = watch::channel(false);
        let mut connections = JoinSet::new();
        let _beside = self.serve_owner(&drained);
        let mut listeners = std::mem::take(&mut self.doors);
        for datagrams in listeners.datagrams.drain(..) {
            connections.spawn(doors::answer_names(Arc::clone(&self.gate), datagrams, drained.clone()));
        }
        let mut generation = self.gate.sessions.generation();
        loop {
            tokio::select! {
                (door, stream) = listeners.accept() => self.let_in(&mut connections, door, stream, &drained),
                // What was opened for a session that may be over, or by a policy that may be another now.
                Ok(()) = generation.changed() => self.gate.upstream.forget_connections(),
                Some(ended) = connections.join_next() => notice_panic(&self.gate.metrics, &ended),
                order = orders.recv() => match order {
                    Some(Order::Reload(config)) => self.reload(*config),
                    Some(Order::KeepOld) => self.keep_old(),
                    Some(Order::Drain) => break,
                    Some(Order::Stop) | None => return,
                },
            }
        }
        drop(listeners);
        draining.send_replace(true);
        let finish = async {
            while let Some(ended) = connections.join_next().await {
                notice_panic(&self.gate.metrics, &ended);
            }
        };
        tokio::select! {
            _ = timeout(self.drain, finish) => {}
            () = told_to_stop(&mut orders) => {}
        }
        self.take_back_tokens().await;
    }

    fn let_in(&self, connections: &mut JoinSet<()>, door: Door, stream: TcpStream, drained: &watch::Receiver<bool>) {
        if connections.len() < self.most {
            connections.spawn(doors::serve(Arc::clone(&self.gate), door, stream, drained.clone()));
        } else {
            doors::turn_away(&self.gate, door, &stream);
        }
    }

    fn serve_owner(&mut self, drained: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut beside = JoinSet::new();
        if let Some(listener) = self.metrics.take() {
            let (gate, drained) = (Arc::clone(&self.gate), drained.clone());
            beside.spawn(async move {
                let mut open = JoinSet::new();
                loop {
                    let stream = accept(&listener).await;
                    spawn_bounded(&mut open, admin::metrics(Arc::clone(&gate), stream, drained.clone())).await;
                }
            });
        }
        if let Some(listener) = self.owner.take() {
            let gate = Arc::clone(&self.gate);
            beside.spawn(async move {
                let mut open = JoinSet::new();
                loop {
                    let (io, token) = listener.accept().await;
                    spawn_bounded(&mut open, admin::owner(Arc::clone(&gate), io, token)).await;
                }
            });
        }
        beside
    }

    fn reload(&self, config: Config) {
        self.learn_own_addresses();
        if let Err(error) = self.gate.audit.reopen() {
            tracing::error!(%error, "the old audit file stays open");
        }
        let first = config.github.first().map(|github| github.host.clone());
        let patience = config.timeouts.credential;
        match self.gate.sessions.apply(Settings { sessions: config.sessions, policy: config.policy, patience, first }) {
            Ok(generation) => {
                if !self.gate.tls.load().trusts(&config.upstream_roots) {
                    self.gate.tls.store(Arc::new(LazyTlsClient::new(config.upstream_roots)));
                }
                self.gate.metrics.reloaded(Reload::Applied);
                self.count_sessions();
                tracing::info!(
                    generation,
                    "policies, sessions and trusted roots reloaded; listeners, timers and the rest stay as they were at start"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the old policies and sessions stay");
                self.keep_old();
            }
        }
    }

    /// Nobody uses tokens of GitHub Apps any more.
    async fn take_back_tokens(&self) {
        let mut under_way = JoinSet::new();
        for session in self.gate.sessions.list() {
            let gate = Arc::clone(&self.gate);
            under_way.spawn(async move { gateway::take_back(&gate, &session).await });
        }
        let _ = timeout(FAREWELL, under_way.join_all()).await;
    }

    fn keep_old(&self) {
        self.gate.metrics.reloaded(Reload::Failed);
        self.gate.sessions.keep((self.gate.clock)());
    }

    fn count_sessions(&self) {
        self.gate.metrics.generation(*self.gate.sessions.generation().borrow());
        self.gate.metrics.sessions(self.gate.sessions.list().len());
    }

    /// Addresses that are never dialled for a sandbox: our listeners, and this host's own unless declared. Where they
    /// cannot be read, what was known before stays.
    fn learn_own_addresses(&self) {
        let mut own = Own::clone(&self.gate.upstream.own());
        own.listeners.extend(self.doors.addresses().filter(|_| !self.doors.elsewhere).map(|(_, address)| address));
        own.listeners.extend(self.metrics.as_ref().and_then(|listener| listener.local_addr().ok()));
        own.listeners.extend(self.owner.as_ref().and_then(OwnerListener::tcp_address));
        match own_addresses() {
            Ok(addresses) => own.addresses = addresses,
            Err(error) => tracing::error!(%error, "the addresses of this host's interfaces cannot be read"),
        }
        self.gate.upstream.set_own(own);
    }
}

/// A panic ends its connection and nothing else; it is counted.
fn notice_panic(metrics: &Metrics, ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        metrics.panicked();
    }
}

/// The second request to end, after the one to drain, is an order to stop.
async fn told_to_stop(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Drain | Order::Stop) {
            return;
        }
    }
}

/// Spawns once fewer than [`MAX_OWNER_CONNECTIONS`] are open.
async fn spawn_bounded(open: &mut JoinSet<()>, serve: impl Future<Output = ()> + Send + 'static) {
    while open.try_join_next().is_some() {}
    if open.len() >= MAX_OWNER_CONNECTIONS {
        open.join_next().await;
    }
    open.spawn(serve);
}

/// The place for records of sessions and for keys: where sessions prove themselves or their owner may change them, and
/// where there is one already, so that what was revoked stays revoked.
fn open_store(config: &Config, now: SystemTime) -> Result<Option<Store>, StoreError> {
    let Some(state) = &config.state else { return Ok(None) };
    let signs = config.entry == Entry::Required && config.sessions.iter().any(|session| session.token.is_none());
    let needed = signs || config.listen.admin.is_some();
    if needed || Store::exists(state) { Store::open(state, now).map(Some) } else { Ok(None) }
}

fn forge_hosts(githubs: &[Github]) -> ForgeHosts {
    let public = githubs.iter().filter(|github| github.public_read);
    let files = githubs.iter().flat_map(|github| {
        let [archives, raw] = [(&github.archives, files::Store::Archives), (&github.raw, files::Store::Raw)];
        [archives, raw].into_iter().filter(|(known, _)| known.is_some()).filter_map(|(_, store)| FileHost::of(&github.host, store))
    });
    let hosts = ForgeHosts::new(githubs.iter().map(|github| github.host.clone()));
    let taking_tokens = githubs.iter().filter(|github| github.takes_tokens).map(|github| github.host.clone());
    hosts.public_at(public.map(|github| github.host.clone())).taking_tokens_at(taking_tokens).with_files(files)
}

/// Each GitHub with the roots that it alone is verified by, beside those of all.
fn forges(githubs: Vec<Github>, roots: &[CertificateDer<'static>], timeouts: &Timeouts) -> Result<Forges, TlsClientError> {
    let forges = githubs.into_iter().map(|github| {
        let Github { host, git, api, uploads, archives, raw, roots: own, credential, comment_footer: footer, .. } = github;
        let tls = TlsClient::new(&[roots, &own].concat())?;
        let timeouts = exchange_timeouts(timeouts);
        let (identities, shown, restraint) = (Identities::default(), Shown::default(), Restraint::default());
        Ok(Forge { host, git, api, uploads, archives, raw, tls, timeouts, credential, identities, shown, footer, restraint })
    });
    Ok(Forges::new(forges.collect::<Result<Vec<_>, _>>()?))
}

fn exchange_timeouts(timeouts: &Timeouts) -> ExchangeTimeouts {
    let &Timeouts { tls_handshake, first_byte, idle, .. } = timeouts;
    ExchangeTimeouts { tls_handshake, first_byte, idle }
}

fn upstream_settings(resolver: Resolver, timeouts: &Timeouts) -> UpstreamSettings {
    let name_servers = match resolver {
        Resolver::System => NameServers::System,
        Resolver::Server(address) => NameServers::One(address),
    };
    UpstreamSettings { name_servers, dns_timeout: timeouts.dns, connect_timeout: timeouts.connect, keep_alive: timeouts.keep_alive }
}

fn patience(timeouts: &Timeouts) -> Patience {
    let &Timeouts { head, body, keep_alive, client_hello, tls_handshake: handshake, idle, .. } = timeouts;
    Patience { head, body, keep_alive, client_hello, handshake, idle }
}

/// This process in `Via`, by a number that says nothing about it and that no other proxy has.
fn pseudonym() -> HeaderValue {
    let number = RandomState::new().build_hasher().finish();
    HeaderValue::try_from(format!("1.1 tidegate-{number:016x}")).unwrap_or(HeaderValue::from_static("1.1 tidegate"))
}

/// Longest that the end waits for tokens to be taken back.
const FAREWELL: Duration = Duration::from_secs(1);
/// A sandbox's side and the upstream's.
const DESCRIPTORS_PER_CONNECTION: usize = 2;
/// For listeners, records, queries of names, connections upstream that wait, and whoever runs this program.
const RESERVED_DESCRIPTORS: usize = 128 + MAX_IDLE;
/// Connections that have not shown whose they are.
const MAX_STRANGERS: usize = 1024;
const MAX_OWNER_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_connection_and_is_counted() {
        let metrics = Metrics::new().unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(async { panic!("one connection") });
        connections.spawn(async {});
        while let Some(ended) = connections.join_next().await {
            notice_panic(&metrics, &ended);
        }
        assert!(metrics.render().contains("tidegate_panics_total 1\n"));
    }
}

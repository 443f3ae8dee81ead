//! After a door has read what is wanted: decide, resolve, record, dial. Every door takes this one way.

mod asked;
mod headers;
mod limited;
mod traffic;
mod counting;
mod relay;
mod identities;
mod restraint;
mod forge;
mod standing;
mod farewell;
mod ending;
mod masked;
mod sightings;
mod patient;
mod credential;
mod secrets;
mod brought;
mod redirects;
mod refusing;
mod names;
mod request;
mod storage;
mod websocket;
mod tunnel;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::OnceCell;

pub(crate) use self::{
    asked::Asked,
    brought::Brought,
    credential::mask_head,
    ending::Ending,
    farewell::{part, speaks_to_the_origin},
    forge::{Forge, Forges, Shown},
    identities::{Asking, Identities},
    masked::Masked,
    patient::Patient,
    request::{Body, Errand, forward, reader_of},
    restraint::Restraint,
    secrets::{look_through, look_through_body},
    sightings::BodyLookout,
    standing::{Stream, session_over, withdrawn},
    traffic::{Metered, Spent, Traffic},
    tunnel::{judge_hello, tunnel},
    websocket::{Answered, open},
};
use crate::{
    audit::{Audit, Record},
    authority::LocalAuthority,
    backend::Backend,
    credentials::Held,
    destination::{Destination, Host, OWN_PAGES},
    downstream::Patience,
    limits::{Guesses, Limit, Slot, Stranger, Strangers, soon},
    metrics::{Door, Kind, Metrics},
    pages,
    policy::{Admitted, Facts, ForgeHosts, Permit, Policy, Way, asking::Wish},
    processes::{Ends, Process, Processes},
    reason::Reason,
    respond::{Owner, Refusal},
    secret::Secret,
    sessions::{Governing, Session, Sessions},
    upstream::{Connected, Dialled, ExchangeTimeouts, Key, LazyTlsClient, Upstream},
    wire::secrets::{Known, TooMany},
};

/// Everything a door needs to let something through, shared by all connections.
pub(crate) struct Gate {
    pub(crate) sessions: Sessions,
    pub(crate) strangers: Arc<Strangers>,
    /// Tokens that proved no session.
    pub(crate) guesses: Guesses,
    /// Whether a token that a sandbox asks for holds at the address alone from which it was asked for.
    pub(crate) bind_tokens: bool,
    pub(crate) upstream: Upstream,
    /// Where repositories are that are not on this machine.
    pub(crate) forges: Forges,
    /// The hosts that no policy has a say about.
    pub(crate) forge_hosts: ForgeHosts,
    pub(crate) backend: Backend,
    /// Whom a sandbox can ask for more.
    pub(crate) owner: Owner,
    /// By whom intercepted hosts are served.
    pub(crate) authority: LocalAuthority,
    pub(crate) audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
    /// Who is at the other end of a sandbox's connection.
    pub(crate) processes: Processes,
    pub(crate) patience: Patience,
    /// How long each wait for an upstream may take, once it is dialled.
    pub(crate) timeouts: ExchangeTimeouts,
    /// For requests that leave by TLS.
    pub(crate) tls: ArcSwap<LazyTlsClient>,
    /// What `[content]` looks for.
    pub(crate) held: Held,
    pub(crate) clock: fn() -> SystemTime,
    /// This process in a `Via` field, by which it recognizes its own requests.
    pub(crate) via: HeaderValue,
}

/// Whose request it is, and under which policy; both stay the same until it is answered.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) session: Arc<Session>,
    pub(crate) governing: Arc<Governing>,
    /// Which process asks, where that is known; records say it, and nothing depends on it.
    pub(crate) process: Option<Arc<Process>>,
}

impl Subject {
    pub(crate) fn of(session: Arc<Session>) -> Self {
        let governing = Arc::clone(&session.governing());
        Self { session, governing, process: None }
    }

    fn by(self, process: Option<Arc<Process>>) -> Self {
        Self { process, ..self }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.governing.policy
    }
}

/// One connection of a sandbox: its session's connection slot is taken once and kept while it lasts.
pub(crate) struct Visitor {
    pub(crate) gate: Arc<Gate>,
    pub(crate) door: Door,
    pub(crate) stranger: Stranger,
    held: Mutex<Option<(Arc<Session>, Slot)>>,
    /// None: not to be asked about.
    ends: Option<Ends>,
    process: OnceCell<Option<Arc<Process>>>,
}

impl Visitor {
    pub(crate) fn new(gate: Arc<Gate>, door: Door, ends: Option<Ends>) -> Self {
        let stranger = gate.strangers.enter();
        Self { gate, door, stranger, held: Mutex::new(None), ends, process: OnceCell::new() }
    }

    /// Who asks. Each request proves its session anew; what it presents is read only where somebody asks for it.
    pub(crate) async fn identify(&self, presented: impl FnOnce() -> Result<Option<Secret>, Refusal>) -> Result<Subject, Refusal> {
        let session = match self.find(presented) {
            Ok(session) => session,
            Err(refusal) => return Err(self.turn_away(refusal).await),
        };
        if !self.holds(&session) {
            let slot = self.gate.within(soon(|| session.limits().connection()).await)?;
            *self.lock() = Some((Arc::clone(&session), slot));
            self.stranger.introduce();
        }
        Ok(Subject::of(session).by(self.process().await))
    }

    /// Where the connection comes from.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.ends.map(|ends| ends.client.ip())
    }

    /// Who shows a wrong token is answered in its turn. One that shows none is asked for it, as often as that takes.
    async fn turn_away(&self, refusal: Refusal) -> Refusal {
        let closes = !self.stranger.fail();
        if refusal.reason() != Reason::SessionUnknown {
            return Refusal { closes, ..refusal };
        }
        let retry_after = self.gate.guesses.hold(self.from()).await;
        if retry_after.is_some() {
            self.gate.metrics.limited(Limit::Guesses);
        }
        Refusal { closes: closes || retry_after.is_some(), retry_after, ..refusal }
    }

    /// The process that has connected: looked for once, and not for strangers, who could have many looked for.
    async fn process(&self) -> Option<Arc<Process>> {
        let ends = self.ends?;
        self.process.get_or_init(|| self.gate.processes.find(ends)).await.clone()
    }

    /// Whether it has a place of this session; one of another session is given back.
    fn holds(&self, session: &Arc<Session>) -> bool {
        let mut held = self.lock();
        *held = held.take().filter(|(holder, _)| Arc::ptr_eq(holder, session));
        held.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Arc<Session>, Slot)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, presented: impl FnOnce() -> Result<Option<Secret>, Refusal>) -> Result<Arc<Session>, Refusal> {
        let presented = if self.gate.sessions.asks() { presented()? } else { None };
        self.gate.find(presented.as_ref(), self.from())
    }
}

impl Gate {
    fn find(&self, presented: Option<&Secret>, from: Option<IpAddr>) -> Result<Arc<Session>, Refusal> {
        self.sessions.identify(presented, from, (self.clock)()).map_err(refuse_session)
    }

    /// The same one asking again on a stream opened earlier, under the policy of now.
    pub(crate) fn again(&self, subject: &Subject) -> Result<Subject, Refusal> {
        subject.session.standing((self.clock)()).map_err(refuse_session)?;
        Ok(Subject::of(Arc::clone(&subject.session)).by(subject.process.clone()))
    }

    /// What no request may carry out: every real credential that this process holds, and tokens of known shapes.
    pub(crate) fn known_secrets(&self) -> Result<Arc<Known>, TooMany> {
        self.held.known(self.real_credentials())
    }

    fn real_credentials(&self) -> Vec<Arc<Secret>> {
        let of_forges = self.forges.iter().filter_map(|forge| forge.credential.as_ref()?.held());
        self.sessions.holders().secrets().chain(of_forges).collect()
    }

    /// Decides where something may go by the policy of whose it is. What is for a host of a GitHub never goes by a policy.
    pub(crate) fn decide(&self, subject: &Subject, destination: &Destination, way: Way) -> Result<Permit, Refusal> {
        match self.forge_hosts.decide(destination, way) {
            None => Ok(subject.policy().decide_destination(&Facts { destination, way, now: (self.clock)() })?),
            Some(Err(denial)) => Err(denial.into()),
            Some(Ok(_)) => Err(Refusal::new(Reason::OpaqueTunnel, format!("Requests to {destination} leave by no policy."))),
        }
    }

    /// Resolves what was permitted, lets the permit admit addresses, and records the decision: whoever holds the result
    /// may dial, and it is on record.
    pub(crate) async fn admit(&self, subject: &Subject, asked: &Asked, permit: Permit) -> Result<Admitted, Refusal> {
        if let Host::Name(name) = &permit.destination().host {
            self.within(subject.session.limits().name())?;
            self.spend_name(subject, name)?;
        }
        let admitted = self.upstream.resolve(permit).await?;
        self.record_admission(subject, asked, &admitted)?;
        Ok(admitted)
    }

    /// The connection to what was permitted itself: the one that CONNECT has dialled for it, if there is one. Either way its decision
    /// is on record.
    async fn dial(&self, subject: &Subject, asked: &Asked, permit: Permit, dialled: Option<Dialled>) -> Result<Dialled, Refusal> {
        if let Some(dialled) = dialled.filter(Dialled::is_end_to_end) {
            self.readmit(subject, asked, permit, &dialled)?;
            return Ok(dialled);
        }
        let admitted = self.admit(subject, asked, permit).await?;
        Ok(self.upstream.dial(admitted).await?)
    }

    /// The same for a connection that was dialled earlier, under a policy that may have changed since.
    fn readmit(&self, subject: &Subject, asked: &Asked, permit: Permit, dialled: &Dialled) -> Result<(), Refusal> {
        let admitted = self.upstream.readmit(permit, dialled.address())?;
        self.record_admission(subject, asked, &admitted)
    }

    /// The connection for a request that was permitted, and the decision on record: the one that was dialled for it, else one that
    /// has carried requests of the same session to the same destination, else a new one.
    async fn route<B: http_body::Body>(
        &self,
        subject: &Subject,
        asked: &Asked,
        permit: Permit,
        dialled: Option<Dialled>,
        key: Key,
        request: &http::Request<B>,
    ) -> Result<Connected, Refusal> {
        if let Some(dialled) = dialled {
            self.readmit(subject, asked, permit, &dialled)?;
            return Ok(Connected::Dialled(dialled, Some(self.upstream.home(key))));
        }
        match self.upstream.reuse(&key, request, permit).await {
            Ok(reused) => {
                self.record_admission(subject, asked, reused.admitted())?;
                Ok(Connected::Reused(reused))
            }
            Err((permit, home)) => {
                let admitted = self.admit(subject, asked, permit).await?;
                let dialled = if key.is_plain() { self.upstream.dial_plain(admitted).await? } else { self.upstream.dial(admitted).await? };
                Ok(Connected::Dialled(dialled, Some(home)))
            }
        }
    }

    fn record_admission(&self, subject: &Subject, asked: &Asked, admitted: &Admitted) -> Result<(), Refusal> {
        let permit = admitted.permit();
        let address = admitted.addresses().first().map(SocketAddr::ip);
        let record = asked.record().by(permit.rule()).at(address).would_deny(permit.would_deny().or(asked.would_deny));
        if !admitted.dropped().is_empty() {
            tracing::info!(host = %permit.destination().host, dropped = ?admitted.dropped(), "addresses that may not be dialled");
        }
        self.record(Some(subject), record)
    }

    /// Writes a record and counts it. What cannot be recorded is refused.
    fn record(&self, subject: Option<&Subject>, record: Record) -> Result<(), Refusal> {
        self.record_by(subject, None, record)
    }

    /// The same for what a generation decided that is not the subject's.
    fn record_by(&self, subject: Option<&Subject>, generation: Option<u64>, mut record: Record) -> Result<(), Refusal> {
        if let Some(subject) = subject {
            record =
                record.under(subject.session.id(), generation.unwrap_or(subject.governing.generation)).of_process(subject.process.as_ref());
        }
        let recorded = self.audit.record(&record).map_err(|_| Refusal::new(Reason::AuditUnavailable, UNRECORDED));
        // An approval that is not on record does not stand; what is refused instead is counted on its own.
        if recorded.is_ok() || record.reason().is_some() {
            self.metrics.decided(record.kind(), record.reason());
        }
        recorded
    }

    /// Records that something may be done which leads to no address of a policy's.
    pub(crate) fn record_leave(&self, subject: &Subject, asked: &Asked) -> Result<(), Refusal> {
        self.record(Some(subject), asked.record())
    }

    /// Records that a sandbox asks its owner for something.
    pub(crate) fn record_wish(&self, subject: &Subject, door: Door, wish: &Wish) -> Result<(), Refusal> {
        self.record(Some(subject), Record::new(door, Kind::Admin).requesting("POST", Some(pages::REQUEST_ACCESS)).wishing(wish))
    }

    /// Records that a sandbox asks for a token that may do less.
    pub(crate) fn record_narrowing(&self, subject: &Subject, door: Door) -> Result<(), Refusal> {
        self.record(Some(subject), Record::new(door, Kind::Admin).requesting("POST", Some(pages::CHILD)))
    }

    /// Records what the owner asked for over the admin interface, the wish of a sandbox that was decided, and what it was refused for.
    pub(crate) fn record_owner(
        &self,
        session: Option<&Session>,
        wish: Option<&Wish>,
        method: &str,
        path: Option<&str>,
        reason: Option<Reason>,
    ) -> Result<(), Refusal> {
        let mut record = Record::new(Door::Admin, Kind::Admin).requesting(method, path);
        if let Some(session) = session {
            record = record.under(session.id(), session.governing().generation);
        }
        if let Some(wish) = wish {
            record = record.wishing(wish);
        }
        if let Some(reason) = reason {
            record = record.refused(reason);
        }
        self.record(None, record)
    }
}

/// Whether a destination is this proxy's own pages.
pub(crate) fn is_pages(destination: &Destination) -> bool {
    matches!(&destination.host, Host::Name(name) if name.as_str() == OWN_PAGES)
}

fn refuse_session(reason: Reason) -> Refusal {
    let sentence = if reason == Reason::SessionRequired {
        "This proxy asks for the sandbox's session token: give it as the proxy password, with any user name."
    } else if reason == Reason::SessionExpired {
        "The session has expired; its owner can renew it."
    } else if reason == Reason::SessionRevoked {
        "The session was revoked by its owner."
    } else if reason == Reason::PolicyUnavailable {
        "The policy of this session cannot be used; the operator finds the cause in Tidegate's log."
    } else {
        "No session has this token; a token that was copied in part, belongs to another proxy, or holds at another address alone, looks like this."
    };
    Refusal::new(reason, sentence)
}

const UNRECORDED: &str =
    "The decision could not be recorded, and what cannot be recorded is refused; the operator finds the cause in Tidegate's log.";

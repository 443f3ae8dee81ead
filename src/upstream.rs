//! The way out: resolves what a permit names, lets it admit addresses, dials those and nothing else. Beside it, the way to
//! the operator's own upstreams, which no permit names.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    destination::{Host, Name},
    metrics::Metrics,
    policy::{Admitted, Cleared, Denial, Own, Permit},
    reason::Reason,
};

mod resolver;
mod names;
mod origin;
mod tls;
mod upload;
mod tasks;
mod parent;
mod connection;
mod pool;
mod lease;
mod answer;
mod connected;
mod exchange;
mod upgrade;

pub(crate) use self::{
    answer::ResponseBody,
    connected::Connected,
    exchange::ExchangeTimeouts,
    parent::Parent,
    pool::{Key, MAX_IDLE},
    resolver::{NameServers, ResolverError},
    tasks::{Group, Tasks},
    tls::{LazyTlsClient, TlsClient, TlsClientError},
    upgrade::{Switched, Upgrade},
    upload::BodyFault,
};
use self::{
    names::Names,
    parent::Line,
    pool::Pool,
    resolver::{Resolver, Unresolved},
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamSettings {
    pub(crate) name_servers: NameServers,
    /// For the whole of resolving one name.
    pub(crate) dns_timeout: Duration,
    /// For connecting to any of the addresses of one destination.
    pub(crate) connect_timeout: Duration,
    /// The longest that a connection may wait for another request.
    pub(crate) keep_alive: Duration,
}

/// Resolves and dials; shared by every door.
pub(crate) struct Upstream {
    names: Names,
    dns_timeout: Duration,
    connect_timeout: Duration,
    own: ArcSwap<Own>,
    /// The proxy through which everything goes, if there is one.
    parent: Option<Arc<Parent>>,
    pool: Pool,
    metrics: Arc<Metrics>,
}

impl Upstream {
    /// Reads the system's configuration where the name servers come from there. Until [`set_own`](Self::set_own) no
    /// address counts as this host's.
    pub(crate) fn new(settings: &UpstreamSettings, metrics: Arc<Metrics>) -> Result<Self, ResolverError> {
        let UpstreamSettings { name_servers, dns_timeout, connect_timeout, keep_alive } = *settings;
        let names = Names::new(Resolver::new(name_servers, dns_timeout)?);
        Ok(Self { names, dns_timeout, connect_timeout, own: ArcSwap::default(), parent: None, pool: Pool::new(keep_alive), metrics })
    }

    /// Leads everything through this proxy, where there is one.
    pub(crate) fn through(self, parent: Option<Parent>) -> Self {
        Self { parent: parent.map(Arc::new), ..self }
    }

    /// Names the addresses and listeners that no permit may reach.
    pub(crate) fn set_own(&self, own: Own) {
        self.own.store(Arc::new(own));
    }

    /// What [`set_own`](Self::set_own) named last.
    pub(crate) fn own(&self) -> Arc<Own> {
        self.own.load_full()
    }

    /// Resolves the destination and lets its permit admit addresses, those of a kept answer as those of a new one. A destination that
    /// is an address is not resolved. An alias leads where it leads: the addresses at its end are judged. Where a parent proxy resolves
    /// the name, no address is judged.
    pub(crate) async fn resolve(&self, permit: Permit) -> Result<Admitted, Refused> {
        let permit = match self.leave_to_parent(permit) {
            Ok(admitted) => return Ok(admitted),
            Err(permit) => permit,
        };
        let answer = match &permit.destination().host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => self.look_up(name).await.map_err(Refused::Failed)?,
        };
        permit.admit(&answer, &self.own.load()).map_err(Refused::Denied)
    }

    /// Lets a permit of now admit what was dialled earlier, by the address that it leads to; none where a parent proxy knows it alone.
    pub(crate) fn readmit(&self, permit: Permit, address: Option<IpAddr>) -> Result<Admitted, Box<Denial>> {
        self.leave_to_parent(permit).or_else(|permit| permit.admit(address.as_slice(), &self.own.load()))
    }

    /// Gives the permit back where its addresses have to be judged: there is no parent proxy, or the address was spelled out.
    fn leave_to_parent(&self, permit: Permit) -> Result<Admitted, Box<Permit>> {
        if self.parent.is_some() { permit.admit_by_parent() } else { Err(Box::new(permit)) }
    }

    /// Connects to the first of the admitted addresses that answers, within the connect timeout. The next address is
    /// tried when the one before fails or has not answered for a quarter of a second (RFC 8305, section 5). A parent proxy connects
    /// to the destination instead, and has the connect timeout for its answer too.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`], [`Reason::UpstreamTimeout`]; of the parent proxy also [`Reason::DnsFailed`] and
    /// [`Reason::LoopDetected`].
    pub(crate) async fn dial(&self, admitted: Admitted) -> Result<Dialled, Failure> {
        self.dial_over(admitted, Line::Tunnel).await
    }

    /// The same for requests in plain HTTP and nothing else: a parent proxy is asked for each of them.
    pub(crate) async fn dial_plain(&self, admitted: Admitted) -> Result<Dialled, Failure> {
        self.dial_over(admitted, Line::Requests).await
    }

    async fn dial_over(&self, admitted: Admitted, line: Line) -> Result<Dialled, Failure> {
        let addresses = admitted.addresses();
        let reached = match &self.parent {
            None => self.connect(&interleaved(addresses)).await?.into(),
            Some(parent) => {
                let stream = self.reach_by(parent, admitted.permit().destination(), line).await?;
                Reached { stream, address: addresses.first().copied(), parent: line.asks(parent) }
            }
        };
        Ok(Dialled { reached, admitted })
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
        let started = Instant::now();
        let connected = timeout(self.connect_timeout, connect_to_any(addresses)).await;
        self.metrics.dialled(started.elapsed());
        match connected {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(failures)) => Err(Failure::of_connecting(&failures)),
            Err(_) => Err(Failure::timed_out(addresses, self.connect_timeout)),
        }
    }

    async fn look_up(&self, name: &Name) -> Result<Vec<IpAddr>, Failure> {
        let started = Instant::now();
        let answer = timeout(self.dns_timeout, self.names.addresses(name, started)).await.unwrap_or(Err(Unresolved::TimedOut));
        self.metrics.resolved(started.elapsed());
        answer.map_err(|unresolved| Failure::of_resolving(name, &unresolved, self.dns_timeout))
    }
}

/// Why a permit did not lead to addresses.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The policy refuses every address.
    Denied(Box<Denial>),
    /// There are none: [`Reason::DnsFailed`], [`Reason::UpstreamTimeout`].
    Failed(Failure),
}

/// Trouble on the way out; no refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// What failed and why: one whole sentence.
    pub(crate) detail: String,
    /// The address that was dialled (the first of several); never a parent proxy's.
    pub(crate) address: Option<SocketAddr>,
}

impl Failure {
    fn of_resolving(name: &Name, unresolved: &Unresolved, limit: Duration) -> Self {
        let name = name.as_str();
        let (reason, detail) = match unresolved {
            Unresolved::TimedOut => (Reason::UpstreamTimeout, format!("The name servers did not answer for {name} within {limit:?}.")),
            Unresolved::NoSuchName => (Reason::DnsFailed, format!("The name {name} does not exist (NXDOMAIN).")),
            Unresolved::NoAddress => (Reason::DnsFailed, format!("The name {name} has no address.")),
            Unresolved::Failed(why) => (Reason::DnsFailed, format!("Resolving {name} failed: {why}.")),
        };
        Self { reason, detail, address: None }
    }

    fn of_connecting(failures: &[(SocketAddr, io::Error)]) -> Self {
        let detail = match failures {
            [] => "Nothing could be dialled.".to_owned(),
            [(address, error)] => format!("Connecting to {address} failed: {error}."),
            [(address, error), rest @ ..] => format!("Connecting to {address} failed: {error}; so did {} more.", rest.len()),
        };
        Self { reason: Reason::ConnectFailed, detail, address: failures.first().map(|(address, _)| *address) }
    }

    fn timed_out(addresses: &[SocketAddr], limit: Duration) -> Self {
        let address = addresses.first().copied();
        let who = address.map_or_else(|| "Nothing".to_owned(), |address| address.to_string());
        Self { reason: Reason::UpstreamTimeout, detail: format!("{who} did not accept a connection within {limit:?}."), address }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// A connection upstream that has carried no byte, and cannot before its bytes are cleared.
#[derive(Debug)]
pub(crate) struct Dialled {
    reached: Reached,
    admitted: Admitted,
}

/// A connection that leads upstream.
#[derive(Debug)]
struct Reached {
    stream: TcpStream,
    /// Where it leads; none where a parent proxy has resolved the name.
    address: Option<SocketAddr>,
    /// Who reads the requests in the destination's place.
    parent: Option<Arc<Parent>>,
}

impl From<(TcpStream, SocketAddr)> for Reached {
    fn from((stream, address): (TcpStream, SocketAddr)) -> Self {
        Self { stream, address: Some(address), parent: None }
    }
}

impl Dialled {
    pub(crate) fn permit(&self) -> &Permit {
        self.admitted.permit()
    }

    /// The destination's address that was dialled: one of those admitted; none where a parent proxy has resolved the name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.reached.address.map(|address| address.ip())
    }

    /// Whether the destination itself is at its other end, whatever is spoken.
    pub(crate) fn is_end_to_end(&self) -> bool {
        self.reached.parent.is_none()
    }

    /// Gives the connection to whoever shows that what goes over it was judged.
    pub(crate) fn open(self, cleared: Cleared) -> TcpStream {
        self.reach(cleared).stream
    }

    fn reach(self, _cleared: Cleared) -> Reached {
        self.reached
    }
}

/// The addresses of this host's interfaces, loopback included.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

/// Each family in its own order, the families in turn, IPv6 first (RFC 8305, section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (mut six, mut four) = (addresses.iter().filter(|address| address.is_ipv6()), addresses.iter().filter(|address| address.is_ipv4()));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(six.next().into_iter().chain(four.next()));
    }
    order
}

async fn connect_to_any(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move { (address, connect(address).await) });
        }
        let ended = if waiting.len() == 0 {
            attempts.join_next().await
        } else {
            match timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            None => return Err(failures),
            Some(Ok((address, Ok(stream)))) => return Ok((stream, address)),
            Some(Ok((address, Err(error)))) => failures.push((address, error)),
            Some(Err(_panicked)) => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long an address may keep the next one waiting (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
pub(crate) mod tests;

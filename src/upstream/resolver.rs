//! Names to addresses: one A and one AAAA query for each name, asked as fully qualified, and nothing kept.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use hickory_resolver::{
    Hosts,
    net::{
        DnsError, NetError,
        runtime::TokioRuntimeProvider,
        tcp::TcpClientStream,
        udp::UdpClientStream,
        xfer::{DnsHandle, DnsRequestSender, FirstAnswer},
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, Query, ResponseCode},
        rr::{Name as DnsName, RData, Record, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::time::timeout;

use crate::destination::Name;

/// Who answers for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameServers {
    /// Those of `/etc/resolv.conf`, after `/etc/hosts`; both are read once.
    System,
    /// This one alone: UDP, and TCP where an answer is truncated.
    One(SocketAddr),
}

/// A resolver that cannot be set up, with what is to blame.
#[derive(Debug)]
pub(crate) struct ResolverError(String);

impl fmt::Display for ResolverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot resolve names: {}; name a server by [dns] resolver = \"IP:PORT\"", self.0)
    }
}

impl std::error::Error for ResolverError {}

/// Why a name led to no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unresolved {
    TimedOut,
    NoSuchName,
    NoAddress,
    Failed(String),
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Never empty.
    pub(super) addresses: Vec<IpAddr>,
    /// How long every record that leads there is good for.
    pub(super) ttl: Duration,
}

/// Asks by the messages and transports of hickory; not by its resolver, which would chase aliases by queries of its
/// own, and whose pool takes a name without AAAA for a slow server and stops repeating lost queries.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    /// For one query to one server.
    limit: Duration,
    hosts: Hosts,
}

impl Resolver {
    /// `limit` is for all servers together: a query goes to one after the other, each with an equal part of it.
    pub(super) fn new(servers: NameServers, limit: Duration) -> Result<Self, ResolverError> {
        let (servers, hosts) = match servers {
            NameServers::System => system()?,
            NameServers::One(address) => (vec![address], Hosts::default()),
        };
        let parts = u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        Ok(Self { servers, limit: limit / parts, hosts })
    }

    /// The addresses of a name, those of IPv6 first, of each family at most [`MAX_ADDRESSES`].
    pub(super) async fn addresses(&self, name: &Name) -> Result<Resolved, Unresolved> {
        let name =
            DnsName::from_labels(name.as_str().split('.').map(str::as_bytes)).map_err(|error| Unresolved::Failed(error.to_string()))?;
        if let Some(addresses) = self.in_hosts(&name) {
            return Ok(Resolved { addresses, ttl: Duration::MAX });
        }
        match self.ask_both(&name).await {
            (Ok(six), Ok(four)) => Ok(Resolved { addresses: [six.addresses, four.addresses].concat(), ttl: six.ttl.min(four.ttl) }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(six), Err(four)) => Err(worse(six, four)),
        }
    }

    /// What the hosts file says; a name that stands there with one family has no address in the other.
    fn in_hosts(&self, name: &DnsName) -> Option<Vec<IpAddr>> {
        let of_family = |family| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), family))?;
            Some(addresses_of(lookup.answers(), name, family).addresses)
        };
        let addresses: Vec<_> = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of_family).flatten().collect();
        (!addresses.is_empty()).then_some(addresses)
    }

    /// Asks for both families at once. When the first answer has addresses the second may take [`FAMILY_DELAY`] more
    /// (RFC 8305, section 3): some servers never answer for AAAA.
    async fn ask_both(&self, name: &DnsName) -> (Answer, Answer) {
        let (mut six, mut four) = (pin!(self.ask(name, RecordType::AAAA)), pin!(self.ask(name, RecordType::A)));
        tokio::select! {
            six = &mut six => {
                let four = self.after(&six, four).await;
                (six, four)
            }
            four = &mut four => {
                let six = self.after(&four, six).await;
                (six, four)
            }
        }
    }

    async fn after(&self, first: &Answer, second: impl Future<Output = Answer>) -> Answer {
        if first.is_ok() { timeout(FAMILY_DELAY, second).await.unwrap_or(Err(Unresolved::TimedOut)) } else { second.await }
    }

    /// Asks the next server only where one fails or stays silent.
    async fn ask(&self, name: &DnsName, family: RecordType) -> Answer {
        let mut failure = Unresolved::Failed("there is no name server".to_owned());
        for &server in &self.servers {
            let answer = timeout(self.limit, self.ask_one(server, name, family)).await.unwrap_or(Err(NetError::Timeout));
            match answer.map_err(|error| unresolved(&error)) {
                Ok(resolved) if resolved.addresses.is_empty() => return Err(Unresolved::NoAddress),
                Err(trouble @ (Unresolved::TimedOut | Unresolved::Failed(_))) => failure = trouble,
                answer => return answer,
            }
        }
        Err(failure)
    }

    async fn ask_one(&self, server: SocketAddr, name: &DnsName, family: RecordType) -> Result<Resolved, NetError> {
        let mut options = DnsRequestOptions::default();
        // Answers of more than 512 octets come by UDP where the server takes EDNS (RFC 6891), by TCP elsewhere.
        options.use_edns = true;
        options.retry_interval = RESEND;
        let request = DnsRequest::from_query(Query::query(name.clone(), family), options);
        let provider = TokioRuntimeProvider::default();
        let mut udp = UdpClientStream::builder(server, provider.clone()).with_timeout(Some(self.limit)).with_max_retries(SENDS).build();
        let mut response = udp.send_message(request.clone()).first_answer().await?;
        if response.truncation {
            let tcp = TcpClientStream::exchange(server, None, self.limit, None, provider.clone()).await?;
            response = tcp.send(request).first_answer().await?;
        }
        Ok(addresses_of(&DnsError::from_response(response)?.answers, name, family))
    }
}

/// Of one family.
type Answer = Result<Resolved, Unresolved>;

/// The addresses of one family, if any, at the end of the aliases that begin at `name`. Only what the answer holds is followed: asking for an
/// alias' target would be a query for a name that nobody allowed.
fn addresses_of(answers: &[Record], name: &DnsName, family: RecordType) -> Resolved {
    let (mut owner, mut ttl) = (name, u32::MAX >> 1);
    let mut heed = |record: &Record| ttl = ttl.min(if record.ttl > u32::MAX >> 1 { 0 } else { record.ttl });
    for _ in 0..MAX_ALIASES {
        let alias = answers.iter().filter(|record| record.name == *owner).find_map(|record| {
            let RData::CNAME(alias) = &record.data else { return None };
            heed(record);
            Some(&alias.0)
        });
        match alias {
            Some(alias) => owner = alias,
            None => break,
        }
    }
    let of_family = answers.iter().filter(|record| record.name == *owner && record.record_type() == family);
    let addresses = of_family.filter_map(|record| record.data.ip_addr().inspect(|_| heed(record))).take(MAX_ADDRESSES).collect();
    Resolved { addresses, ttl: Duration::from_secs(ttl.into()) }
}

fn unresolved(error: &NetError) -> Unresolved {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        return if none.response_code == ResponseCode::NXDomain { Unresolved::NoSuchName } else { Unresolved::NoAddress };
    }
    if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        return Unresolved::Failed(format!("the name server answered {code}"));
    }
    if matches!(error, NetError::Timeout) { Unresolved::TimedOut } else { Unresolved::Failed(error.to_string()) }
}

/// Of two families without an address, what says more: an answer about the name, then trouble, then silence.
fn worse(six: Unresolved, four: Unresolved) -> Unresolved {
    let rank = |unresolved: &Unresolved| match unresolved {
        Unresolved::NoSuchName => 0,
        Unresolved::TimedOut => 1,
        Unresolved::Failed(_) => 2,
        Unresolved::NoAddress => 3,
    };
    if rank(&six) < rank(&four) { six } else { four }
}

fn system() -> Result<(Vec<SocketAddr>, Hosts), ResolverError> {
    let (config, _) = read_system_conf().map_err(|error| ResolverError(format!("/etc/resolv.conf: {error}")))?;
    let hosts = match Hosts::from_system() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Hosts::default(),
        hosts => hosts.map_err(|error| ResolverError(format!("/etc/hosts: {error}")))?,
    };
    let servers = config.name_servers.iter().map(|server| SocketAddr::new(server.ip, PORT)).take(MAX_SERVERS).collect();
    Ok((servers, hosts))
}

const PORT: u16 = 53;
/// A query over UDP is sent again after this time without an answer,
const RESEND: Duration = Duration::from_secs(1);
/// and at most so often in all.
const SENDS: u8 = 5;
/// As many as the C library asks (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// In one answer; more are not looked at.
const MAX_ADDRESSES: usize = 64;
/// In one answer.
const MAX_ALIASES: usize = 16;
/// How long the slower family may keep the other waiting.
const FAMILY_DELAY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{NameServer, Reply, v4},
        *,
    };
    use crate::destination::Host;

    async fn addresses(resolver: &Resolver, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        resolver.addresses(Host::parse(name.as_bytes()).unwrap().name().unwrap()).await.map(|resolved| resolved.addresses)
    }

    #[tokio::test]
    async fn a_name_in_the_hosts_file_is_not_asked_for() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"192.0.2.1 here.example also.example\n2001:db8::1 here.example\n"[..]).unwrap();
        let server = NameServer::start(|_, _| Reply::Silence).await;
        let resolver = Resolver { servers: vec![server.address], limit: Duration::from_millis(50), hosts };
        let (four, six) = (IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse().unwrap());
        assert_eq!(addresses(&resolver, "here.example").await, Ok(vec![six, four]));
        assert_eq!(addresses(&resolver, "also.example").await, Ok(vec![four]));
        assert_eq!(server.asked(), []);
        assert_eq!(addresses(&resolver, "gone.example").await, Err(Unresolved::TimedOut));
    }

    #[tokio::test]
    async fn the_next_server_is_asked_where_one_is_of_no_use() {
        let live =
            NameServer::start(
                |family, _| {
                    if family == RecordType::A { Reply::Records(vec![v4([192, 0, 2, 1])]) } else { Reply::Records(Vec::new()) }
                },
            )
            .await;
        for (reply, asked) in [(ResponseCode::ServFail, 2), (ResponseCode::Refused, 2), (ResponseCode::NXDomain, 0)] {
            let broken = NameServer::start(move |_, _| Reply::Code(reply)).await;
            let servers = vec![broken.address, live.address];
            let before = live.asked().len();
            let answer = addresses(&Resolver { servers, limit: Duration::from_secs(20), hosts: Hosts::default() }, "host.example").await;
            assert_eq!(answer.is_ok(), asked > 0, "{reply}");
            assert_eq!((broken.asked().len(), live.asked().len() - before), (2, asked), "{reply}");
        }
        let silent = NameServer::start(|_, _| Reply::Silence).await;
        let servers = vec![silent.address, live.address];
        let resolver = Resolver { servers, limit: Duration::from_millis(50), hosts: Hosts::default() };
        assert_eq!(addresses(&resolver, "host.example").await, Ok(vec![IpAddr::from([192, 0, 2, 1])]));
    }
}

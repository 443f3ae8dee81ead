//! TLS to upstreams: by whom they are verified, and what went wrong in words.

use std::{
    fmt, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Failure;
use crate::{destination::Host, reason::Reason};

/// A TLS client that trusts the system's roots and those of the operator, for HTTP/2 and HTTP/1.1, from TLS 1.2 on. Sessions are
/// resumed from memory.
#[derive(Clone)]
pub(crate) struct TlsClient {
    identity: Identity,
    config: Arc<ClientConfig>,
}

/// One TLS client that was made, as no other ever was in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity(u64);

impl Identity {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self(MADE.fetch_add(1, Ordering::Relaxed))
    }
}

impl TlsClient {
    /// Reads the system's roots. What of them cannot be read is logged and left out.
    pub(crate) fn new(extra: &[CertificateDer<'static>]) -> Result<Self, TlsClientError> {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a root certificate of the system cannot be read");
        }
        Self::trusting(system.certs, extra)
    }

    pub(super) fn trusting(system: Vec<CertificateDer<'static>>, extra: &[CertificateDer<'static>]) -> Result<Self, TlsClientError> {
        let mut roots = RootCertStore::empty();
        let (_, left_out) = roots.add_parsable_certificates(system);
        if left_out > 0 {
            tracing::warn!(left_out, "root certificates of the system that cannot be roots");
        }
        for (number, root) in (1..).zip(extra) {
            roots.add(root.clone()).map_err(|error| TlsClientError::Root { number, error })?;
        }
        if roots.is_empty() {
            return Err(TlsClientError::NoRoots);
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsClientError::Versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        Ok(Self { identity: Identity::new(), config: Arc::new(config) })
    }

    /// The same for its clones.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The same client, for HTTP/1.1 alone.
    pub(super) fn without_h2(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Self { identity: self.identity, config: Arc::new(config) }
    }

    /// Shakes hands with whoever shows a certificate for `host`.
    pub(super) async fn connect(&self, host: &Host, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsTrouble> {
        let name = match host {
            Host::Ip(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|_| TlsTrouble::Name)?,
        };
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.map_err(|error| TlsTrouble::of(&error))
    }
}

/// A TLS client that is made once it is needed: where nothing needs one, nobody has to be trusted.
pub(crate) struct LazyTlsClient {
    extra: Vec<CertificateDer<'static>>,
    made: OnceLock<Result<TlsClient, TlsClientError>>,
}

impl LazyTlsClient {
    /// Trusts `extra` beside the system's roots.
    pub(crate) fn new(extra: Vec<CertificateDer<'static>>) -> Self {
        Self { extra, made: OnceLock::new() }
    }

    /// Whether these are what it trusts beside the system's roots.
    pub(crate) fn trusts(&self, extra: &[CertificateDer<'static>]) -> bool {
        self.extra == extra
    }

    /// # Errors
    /// [`Reason::TlsFailed`] where no client can be made; the operator finds the cause in the log.
    pub(crate) fn get(&self) -> Result<TlsClient, Failure> {
        let make = || TlsClient::new(&self.extra).inspect_err(|error| tracing::error!(%error, "there is no TLS to upstreams"));
        self.made.get_or_init(make).clone().map_err(|error| Failure {
            reason: Reason::TlsFailed,
            detail: format!("This proxy cannot speak TLS to upstreams: {error}."),
            address: None,
        })
    }
}

/// Whether HTTP/2 was agreed on (RFC 7301).
pub(super) fn speaks_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

/// Why there is no TLS client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TlsClientError {
    NoRoots,
    /// One of the operator's, counted from 1.
    Root {
        number: usize,
        error: rustls::Error,
    },
    Versions(rustls::Error),
}

impl fmt::Display for TlsClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots => f.write_str(
                "no upstream can be verified: the system has no root certificates; install them (ca-certificates), or name a file of them by [upstream] ca_file",
            ),
            Self::Root { number, error } => write!(f, "certificate {number} of [upstream] ca_file cannot be a root: {error}"),
            Self::Versions(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for TlsClientError {}

/// Why a handshake failed, as the end of a sentence that begins with whom it was with.
#[derive(Debug)]
pub(super) enum TlsTrouble {
    /// The host is no name that a certificate could hold.
    Name,
    Certificate(CertificateError),
    Protocol(rustls::Error),
    /// The connection ended or broke.
    Broken(io::ErrorKind),
}

impl TlsTrouble {
    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(problem)) => Self::Certificate(problem.clone()),
            Some(other) => Self::Protocol(other.clone()),
            None => Self::Broken(error.kind()),
        }
    }
}

impl fmt::Display for TlsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateError as Problem;
        match self {
            Self::Name => f.write_str("has a name that no certificate can hold"),
            Self::Certificate(Problem::Expired | Problem::ExpiredContext { .. }) => f.write_str("shows a certificate that has expired"),
            Self::Certificate(Problem::NotValidYet | Problem::NotValidYetContext { .. }) => {
                f.write_str("shows a certificate that is not valid yet; the clock of this machine may be wrong")
            }
            Self::Certificate(Problem::UnknownIssuer) => f.write_str(
                "shows a certificate of an unknown issuer; if it is your own, name its authority's certificate by [upstream] ca_file",
            ),
            Self::Certificate(Problem::NotValidForName | Problem::NotValidForNameContext { .. }) => {
                f.write_str("shows a certificate for another name")
            }
            Self::Certificate(Problem::Revoked) => f.write_str("shows a certificate that was revoked"),
            Self::Certificate(_) => f.write_str("shows a certificate that cannot be verified"),
            Self::Protocol(rustls::Error::AlertReceived(alert)) => write!(f, "ended the TLS handshake with the alert {alert:?}"),
            Self::Protocol(rustls::Error::InvalidMessage(_)) => f.write_str("answered the TLS handshake with something that is not TLS"),
            Self::Protocol(error) => write!(f, "failed the TLS handshake: {error}"),
            Self::Broken(io::ErrorKind::UnexpectedEof) => f.write_str("closed the connection during the TLS handshake"),
            Self::Broken(kind) => write!(f, "broke off the TLS handshake ({kind})"),
        }
    }
}

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

    use super::*;

    /// A clock that stands still.
    #[derive(Debug)]
    struct Stopped(UnixTime);

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<UnixTime> {
            Some(self.0)
        }
    }

    impl TlsClient {
        /// The same client at another time since 1970.
        pub(crate) fn at(self, time: Duration) -> Self {
            let mut config = ClientConfig::clone(&self.config);
            config.time_provider = Arc::new(Stopped(UnixTime::since_unix_epoch(time)));
            Self { identity: Identity::new(), config: Arc::new(config) }
        }
    }

    #[test]
    fn who_trusts_nobody_is_told_the_way_out() {
        let none = TlsClient::trusting(Vec::new(), &[]).map(drop).unwrap_err();
        assert_eq!(none, TlsClientError::NoRoots);
        assert!(none.to_string().ends_with("or name a file of them by [upstream] ca_file"));
        let broken = CertificateDer::from(&b"no certificate"[..]);
        let failure = LazyTlsClient::new(vec![broken.clone()]).get().map(drop).unwrap_err();
        assert_eq!(failure.reason, Reason::TlsFailed);
        let beginning = "This proxy cannot speak TLS to upstreams: certificate 1 of [upstream] ca_file cannot be a root: ";
        assert!(failure.detail.starts_with(beginning), "{failure}");
        assert_eq!(TlsClient::trusting(vec![broken.clone()], &[]).map(drop), Err(TlsClientError::NoRoots));
        assert!(matches!(TlsClient::trusting(Vec::new(), &[broken]), Err(TlsClientError::Root { number: 1, .. })));
    }
}

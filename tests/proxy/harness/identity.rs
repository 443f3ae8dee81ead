//! Certificates of servers, good and bad, made in memory.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::tidegate::Setup;

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Expired,
    NotYetValid,
    /// Signed by itself.
    SelfSigned,
    OtherName,
    /// For clients only.
    OtherUsage,
    /// Of an authority that nobody trusts.
    UnknownIssuer,
    /// Under so many authorities, one below the other.
    Chain(usize),
}

/// A server's configuration under the one authority of these tests.
pub(crate) fn server(names: &[&str]) -> Arc<ServerConfig> {
    configured(authority(), &leaf(names))
}

/// The same for `name`, with a flaw.
pub(crate) fn flawed(name: &str, flaw: Flaw) -> Arc<ServerConfig> {
    let mut leaf = leaf(&[name]);
    let (past, future) = (date_time_ymd(2000, 1, 1), date_time_ymd(4000, 1, 1));
    match flaw {
        Flaw::Expired => (leaf.not_before, leaf.not_after) = (past, past + DAY),
        Flaw::NotYetValid => (leaf.not_before, leaf.not_after) = (future, future + DAY),
        Flaw::OtherName => leaf = self::leaf(&["elsewhere.test"]),
        Flaw::OtherUsage => leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Flaw::UnknownIssuer => return configured(&Authority::new("nobody's authority"), &leaf),
        Flaw::SelfSigned => {
            let key = KeyPair::generate().expect("a key");
            let certificate = leaf.self_signed(&key).expect("a certificate");
            return serving(vec![certificate.into()], &key);
        }
        Flaw::Chain(length) => return serve_below(length, &leaf),
    }
    configured(authority(), &leaf)
}

/// Makes the authority one that a proxy trusts upstream.
pub(crate) fn trusted_by(setup: Setup) -> Setup {
    setup.tables("[upstream]\nca_file = \"origin-ca.pem\"").file("origin-ca.pem", &authority().pem)
}

/// The authority, for clients that trust it.
pub(crate) fn root() -> &'static str {
    &authority().pem
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let pem = of_authority(name).self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(of_authority(name), key), pem }
    }
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("test authority"))
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = CertificateParams::new(names).expect("a name");
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf
}

fn configured(authority: &Authority, leaf: &CertificateParams) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let certificate = leaf.signed_by(&key, &authority.issuer).expect("a certificate");
    serving(vec![certificate.into()], &key)
}

fn serve_below(length: usize, leaf: &CertificateParams) -> Arc<ServerConfig> {
    let mut chain: Vec<CertificateDer<'static>> = Vec::new();
    let mut issuer: Option<Issuer<'static, KeyPair>> = None;
    for number in 1..=length {
        let key = KeyPair::generate().expect("a key");
        let params = of_authority(&format!("authority {number}"));
        let signed = params.signed_by(&key, issuer.as_ref().unwrap_or(&authority().issuer)).expect("a certificate");
        chain.insert(0, signed.into());
        issuer = Some(Issuer::new(params, key));
    }
    let key = KeyPair::generate().expect("a key");
    let signed = leaf.signed_by(&key, issuer.as_ref().unwrap_or(&authority().issuer)).expect("a certificate");
    chain.insert(0, signed.into());
    serving(chain, &key)
}

fn serving(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}

const DAY: Duration = Duration::from_secs(24 * 3600);

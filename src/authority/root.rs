//! The authority's own certificate and key.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, TrustAnchor, pem::PemObject},
};
use zeroize::Zeroizing;

use super::validity::validity_of;
use crate::destination::Host;

/// A self-signed certificate that may sign leaves and nothing else, with its P-256 key.
pub(super) struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    from: SystemTime,
    until: SystemTime,
}

/// What is wrong with a root, as the end of a sentence.
pub(super) type Trouble = Box<str>;

impl Root {
    /// A new one, from a day ago on: sandboxes' clocks may be behind. With it comes its key in PEM.
    pub(super) fn make(now: SystemTime) -> Result<(Self, Zeroizing<String>), Trouble> {
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let (from, until) = (now - BACKDATED, now + ROOT_LASTS);
        let pem = sign_root(&key, from, until)?.pem();
        Ok((Self { issuer: issuer(key), pem, from, until }, key_pem))
    }

    /// The one that was made before.
    pub(super) fn read(certificate: &str, key: &str, now: SystemTime) -> Result<Self, Trouble> {
        let key = KeyPair::from_pem(key).map_err(|_| "key.pem is no private key in PEM")?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| "ca.pem is no certificate in PEM")?;
        let found = anchor(&der).ok_or("ca.pem is no certificate of an authority")?;
        let published = CertificateDer::from_pem_slice(PUBLISHED).ok().and_then(|der| anchor(&der)).ok_or("the test authority is lost")?;
        let public = key.subject_public_key_info();
        // rustls has the key without the head of the sequence that holds it.
        if found.subject_public_key_info == published.subject_public_key_info || public.ends_with(&published.subject_public_key_info) {
            return Err(
                "it is Tidegate's published test authority, whose key everybody has; remove the directory, and a new one is made".into()
            );
        }
        let (from, until) = validity_of(&der).ok_or("ca.pem is no certificate that says how long it holds")?;
        if now >= until {
            return Err("ca.pem has expired; remove the directory, and a new one is made".into());
        }
        let expected = sign_root(&key, from, until)?;
        if Some(found) != anchor(expected.der()) {
            return Err("key.pem is not the key of ca.pem, or Tidegate did not make them".into());
        }
        Ok(Self { issuer: issuer(key), pem: certificate.to_owned(), from, until })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate by which `host` and nothing else is served, and the moment from which a new one is due.
    pub(super) fn sign_leaf(&self, host: &Host, key: &KeyPair, now: SystemTime) -> Result<(CertificateDer<'static>, SystemTime), Trouble> {
        if now >= self.until {
            return Err("the authority's certificate has expired".into());
        }
        let mut leaf = CertificateParams::default();
        leaf.not_before = date_time_ymd(1970, 1, 1) + age((now - BACKDATED).max(self.from));
        leaf.not_after = date_time_ymd(1970, 1, 1) + age((now + LEAF_LASTS).min(self.until));
        leaf.serial_number = Some(serial()?);
        leaf.distinguished_name = named("served by Tidegate");
        leaf.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.as_str().try_into().map_err(|error| failed(&error))?),
            Host::Ip(address) => SanType::IpAddress(*address),
        }];
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let signed = leaf.signed_by(key, &self.issuer).map_err(|error| failed(&error))?;
        Ok((signed.into(), (now + LEAF_IS_SERVED).min(self.until)))
    }
}

fn issuer(key: KeyPair) -> Issuer<'static, KeyPair> {
    Issuer::new(root_of(&key), key)
}

fn sign_root(key: &KeyPair, from: SystemTime, until: SystemTime) -> Result<Certificate, Trouble> {
    let mut root = root_of(key);
    root.not_before = date_time_ymd(1970, 1, 1) + age(from);
    root.not_after = date_time_ymd(1970, 1, 1) + age(until);
    root.serial_number = Some(serial()?);
    root.self_signed(key).map_err(|error| failed(&error))
}

/// All of a root but its serial number and validity. The number in its name is of the key, which is random: the authorities of two
/// hosts can be told apart, and the name need not be kept beside the key.
fn root_of(key: &KeyPair) -> CertificateParams {
    let mut root = CertificateParams::default();
    let number = root.key_identifier(key).first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
    root.distinguished_name = named(&format!("Tidegate authority {number:016x}"));
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    root
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::OrganizationName, "Tidegate");
    whole.push(DnType::CommonName, name);
    whole
}

/// Whom one trusts who trusts this root.
fn anchor(root: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone().into_owned()).ok()?;
    roots.roots.pop()
}

fn serial() -> Result<SerialNumber, Trouble> {
    let mut octets = [0; SERIAL];
    rand::fill(&mut octets).map_err(|_| "no random octets for a serial number")?;
    Ok(SerialNumber::from_slice(&octets))
}

/// Since 1970, in whole seconds, as certificates have it.
fn age(moment: SystemTime) -> Duration {
    Duration::from_secs(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn failed(error: &rcgen::Error) -> Trouble {
    format!("a certificate cannot be made: {error}").into()
}

const PUBLISHED: &[u8] = include_bytes!("../../certs/ca.pem");
/// Octets.
const SERIAL: usize = 16;

const DAY: Duration = Duration::from_secs(24 * 3600);
const BACKDATED: Duration = DAY;
const ROOT_LASTS: Duration = DAY.saturating_mul(5 * 365);
const LEAF_LASTS: Duration = DAY.saturating_mul(29);
/// How long one leaf is served: it outlasts every connection by a day.
const LEAF_IS_SERVED: Duration = DAY.saturating_mul(28);

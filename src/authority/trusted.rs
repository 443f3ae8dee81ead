//! What clients are to trust, in the forms that they read: a text of certificates, and a key store for the JVM, which reads no such text.

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Our root first, and then the system's: clients take one file for all.
pub(crate) struct Trusted {
    /// One certificate after the other (RFC 7468).
    pub(crate) pem: String,
    /// The same as PKCS#12 (RFC 7292) without a password: nothing in it is secret.
    pub(crate) key_store: Vec<u8>,
}

impl Trusted {
    /// A root in PEM, beside those that the system trusts now.
    pub(crate) fn beside_the_system(root: &str) -> Self {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a root certificate of the system cannot be read, and is not in the bundle");
        }
        Self::of(root, &system.certs)
    }

    fn of(root: &str, others: &[CertificateDer<'_>]) -> Self {
        let mut pem = root.to_owned();
        for certificate in others {
            push_pem(&mut pem, certificate);
        }
        let root = CertificateDer::from_pem_slice(root.as_bytes()).ok();
        let all = root.iter().chain(others).map(AsRef::as_ref);
        Self { pem, key_store: key_store(all) }
    }
}

fn push_pem(text: &mut String, certificate: &[u8]) {
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    // 48 octets come to 64 characters, a line (RFC 7468 section 2).
    for octets in certificate.chunks(48) {
        BASE64_STANDARD.encode_string(octets, text);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

/// Certificates as PKCS#12 (RFC 7292 section 4): one safe, neither encrypted nor authenticated, as the JDK keeps its own roots.
fn key_store<'c>(certificates: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let bags: Vec<_> = certificates.map(certificate_bag).collect();
    let safe = content(&element(SEQUENCE, &bags.concat()));
    let authenticated_safe = content(&element(SEQUENCE, &safe));
    element(SEQUENCE, &[element(INTEGER, &[PFX_VERSION]), authenticated_safe].concat())
}

/// A certificate (section 4.2.3) with the attribute without which the JVM takes it for no root.
fn certificate_bag(certificate: &[u8]) -> Vec<u8> {
    let value = element(SEQUENCE, &[element(OBJECT, X509_CERTIFICATE), explicit(&element(OCTETS, certificate))].concat());
    let usages = element(SET, &element(OBJECT, ANY_EXTENDED_KEY_USAGE));
    let trusted = element(SEQUENCE, &[element(OBJECT, TRUSTED_KEY_USAGE), usages].concat());
    element(SEQUENCE, &[element(OBJECT, CERTIFICATE_BAG), explicit(&value), element(SET, &trusted)].concat())
}

/// `ContentInfo` of the type `data` (RFC 2315 section 7).
fn content(data: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[element(OBJECT, DATA), explicit(&element(OCTETS, data))].concat())
}

fn explicit(inner: &[u8]) -> Vec<u8> {
    element(EXPLICIT, inner)
}

/// An element in DER (X.690 section 10.1).
fn element(tag: u8, inner: &[u8]) -> Vec<u8> {
    let length = inner.len().to_be_bytes();
    let significant = length.iter().position(|octet| *octet != 0).and_then(|first| length.get(first..)).unwrap_or(&[0]);
    let mut element = vec![tag];
    // Beyond 127 the number of its octets stands before them; it is eight at most.
    if inner.len() >= 0x80 {
        element.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
    }
    element.extend_from_slice(significant);
    element.extend_from_slice(inner);
    element
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT: u8 = 0xa0;

const PFX_VERSION: u8 = 3;
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.12.10.1.3
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
/// 1.2.840.113549.1.9.22.1
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 2.16.840.1.113894.746875.1.1, Oracle's
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
/// 2.5.29.37.0
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn lengths_of_every_form_stand_before_what_they_count() {
        for (length, head) in [
            (0, &[OCTETS, 0][..]),
            (0x7f, &[OCTETS, 0x7f]),
            (0x80, &[OCTETS, 0x81, 0x80]),
            (0xff, &[OCTETS, 0x81, 0xff]),
            (0x100, &[OCTETS, 0x82, 1, 0]),
            (0x1_0000, &[OCTETS, 0x83, 1, 0, 0]),
        ] {
            assert_eq!(element(OCTETS, &vec![7; length]), [head, &vec![7; length]].concat(), "{length}");
        }
    }

    #[test]
    fn the_jdk_and_openssl_read_every_root_of_the_key_store() {
        let root = include_str!("../../certs/ca.pem");
        let trusted = Trusted::beside_the_system(root);
        let others = trusted.pem.matches("-----BEGIN").count() - 1;
        assert!(trusted.pem.starts_with(root) && others > 0, "the system trusts nobody: apt-get install ca-certificates");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), trusted.key_store).unwrap();
        let listed = Command::new("keytool").args(["-list", "-rfc", "-keystore"]).arg(file.path()).output();
        let listed = listed.unwrap_or_else(|error| panic!("keytool is needed ({error}): apt-get install default-jdk-headless"));
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.matches("Entry type: trustedCertEntry").count(), others + 1, "{listed}");
        assert!(listed.replace("\r\n", "\n").contains(root), "{listed}");
        let openssl = ["pkcs12", "-nokeys", "-nomacver", "-passin", "pass:", "-in"];
        let read = Command::new("openssl").args(openssl).arg(file.path()).output().expect("openssl is needed: apt-get install openssl");
        assert_eq!(String::from_utf8(read.stdout).unwrap().matches("-----BEGIN CERTIFICATE").count(), others + 1);
    }
}

//! From when until when a certificate holds (RFC 5280 section 4.1.2.5), read from its DER.

use std::time::SystemTime;

use jiff::Timestamp;

/// The first and the last moment; `None` where it is no certificate.
pub(crate) fn validity_of(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (fields, _) = element(certificate, SEQUENCE)?;
    let rest = [VERSION, INTEGER, SEQUENCE, SEQUENCE].iter().try_fold(fields, |rest, tag| Some(element(rest, *tag)?.1))?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = moment(validity)?;
    Some((from, moment(rest)?.0))
}

/// The content of the element that `input` begins with, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match input.strip_prefix(&[tag])? {
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0x81, length, rest @ ..] | [length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time of either form, and what follows it.
fn moment(input: &[u8]) -> Option<(SystemTime, &[u8])> {
    let ((digits, rest), century) = match element(input, UTC_TIME) {
        Some(found @ ([b'5'..=b'9', ..], _)) => (found, "19"),
        Some(found) => (found, "20"),
        None => (element(input, GENERALIZED_TIME)?, ""),
    };
    let digits = str::from_utf8(digits.strip_suffix(b"Z")?).ok()?;
    let moment = Timestamp::strptime("%Y%m%d%H%M%S%z", format!("{century}{digits}+0000")).ok()?;
    Some((moment.into(), rest))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../../certs/ca.pem")).unwrap();
        let parsed = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
        assert_eq!(validity_of(&certificate), Some((parsed("2020-01-01T00:00:00Z"), parsed("2050-01-01T00:00:00Z"))));
        assert_eq!(moment(b"\x17\x0d991231235959Zx"), Some((parsed("1999-12-31T23:59:59Z"), &b"x"[..])));
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../../certs/ca.pem")).unwrap();
        for length in 0..certificate.len() {
            assert_eq!(validity_of(&certificate[..length]), None, "{length}");
        }
        for wrong in
            [&b""[..], b"\x17\x0d99123123595", b"\x17\x0d991231235959X", b"\x17\x0d99133123595xZ", b"\x17\x83\x00\x00\x0d991231235959Z"]
        {
            assert_eq!(moment(wrong), None, "{wrong:?}");
        }
    }
}

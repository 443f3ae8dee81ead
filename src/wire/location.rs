//! Where an answer sends its client instead: the host of a `Location` (RFC 9110, section 10.2.2).

use crate::destination::Destination;

/// The destination that a redirect names by its value of `Location`; none for a status that sends nobody elsewhere, and for a reference
/// that stays with its origin or means nothing. `secure` says whether the origin speaks TLS, whose scheme a `//host/path` keeps.
///
/// Read as browsers do (WHATWG URL, section 4.4): a backslash is a slash, and user information is passed over.
pub fn redirected_to(status: u16, location: &[u8], secure: bool) -> Option<Destination> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = location.trim_ascii();
    let (secure, rest) = match location.iter().position(|byte| *byte == b':') {
        Some(5) if location.get(..5)?.eq_ignore_ascii_case(b"https") => (true, location.get(6..)?),
        Some(4) if location.get(..4)?.eq_ignore_ascii_case(b"http") => (false, location.get(5..)?),
        Some(_) | None => (secure, location),
    };
    let [b'/' | b'\\', b'/' | b'\\', rest @ ..] = rest else { return None };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?.rsplit(|byte| *byte == b'@').next()?;
    Destination::parse(authority, Some(if secure { 443 } else { 80 })).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_of_a_redirect_is_read() {
        for (location, expected) in [
            ("https://b.test/x", Some("b.test:443")),
            ("HTTP://B.test", Some("b.test:80")),
            ("https://b.test:8443?x", Some("b.test:8443")),
            (" https://u:p@b.test/@c.test ", Some("b.test:443")),
            ("https:\\\\b.test\\c.test", Some("b.test:443")),
            ("//b.test/x", Some("b.test:443")),
            ("//b.test:80", Some("b.test:80")),
            ("http://[2001:db8::1]/", Some("[2001:db8::1]:80")),
            ("http://192.0.2.1/", Some("192.0.2.1:80")),
            ("/x", None),
            ("x?u=https://b.test/", None),
            ("", None),
            ("https:/b.test/", None),
            ("https:///b.test/", None),
            ("ftp://b.test/", None),
            ("https://b test/", None),
            ("https://0x7f.1/", None),
        ] {
            let expected = expected.map(|authority| Destination::parse(authority.as_bytes(), None).unwrap());
            assert_eq!(redirected_to(302, location.as_bytes(), true), expected, "{location}");
        }
        assert_eq!(redirected_to(302, b"//b.test", false), Destination::parse(b"b.test:80", None).ok());
    }

    #[test]
    fn only_a_redirect_sends_elsewhere() {
        let sends = (100..600).filter(|status| redirected_to(*status, b"//b.test", true).is_some());
        assert_eq!(sends.collect::<Vec<_>>(), [301, 302, 303, 307, 308]);
    }

    proptest! {
        #[test]
        fn no_location_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..100), secure: bool) {
            let _ = redirected_to(302, &bytes, secure);
        }

        #[test]
        fn what_is_written_is_read(host in "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}", port in 1..=u16::MAX, path in "[/?#\\\\][ -~]{0,20}", secure: bool) {
            let scheme = if secure { "https" } else { "http" };
            let found = redirected_to(302, format!("{scheme}://{host}:{port}{path}").as_bytes(), !secure);
            prop_assert_eq!(found.map(|found| found.to_string()), Some(format!("{host}:{port}")));
        }
    }
}

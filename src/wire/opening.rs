//! What a client speaks, by the first octets that it sends.

use super::http1;

/// What first octets begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A handshake record of TLS (RFC 8446, section 5.1), of whatever version.
    Tls,
    /// A method and a space, as a request line begins (RFC 9112, section 3).
    Http1,
    /// The preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
    /// An identification string of SSH (RFC 4253, section 4.2), of whatever version.
    Ssh,
    Other,
}

/// Most octets that are needed to tell.
pub const MAX_OPENING: usize = http1::MAX_METHOD + 1;

/// What a stream speaks that begins with `beginning`; `None` while more octets are needed. Octets that follow change no answer.
pub fn read(beginning: &[u8]) -> Option<Opening> {
    for (signature, opening) in SIGNATURES {
        if beginning.starts_with(signature) {
            return Some(*opening);
        }
        if signature.starts_with(beginning) {
            return None;
        }
    }
    let is_request = http1::begins_request(beginning)?;
    Some(if is_request { Opening::Http1 } else { Opening::Other })
}

/// None is the beginning of another.
const SIGNATURES: &[(&[u8], Opening)] =
    &[(&[0x16, 0x03], Opening::Tls), (b"SSH-", Opening::Ssh), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opening::Http2)];

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn what_clients_send_first() {
        let table: &[(&[u8], Opening)] = &[
            (&[0x16, 3, 1, 2, 0, 1], Opening::Tls),
            (&[0x16, 3], Opening::Tls),
            (b"GET / HTTP/1.1\r\n", Opening::Http1),
            (b"a-method-that-nobody-has-heard-o ", Opening::Http1),
            (b"PRI / HTTP/1.1\r\n", Opening::Http1),
            (b"SSH / HTTP/1.1\r\n", Opening::Http1),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", Opening::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", Opening::Http2),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Opening::Ssh),
            (b"SSH-1.99-old", Opening::Ssh),
            (b"*1\r\n$4\r\nPING\r\n", Opening::Other),
            (&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], Opening::Other),
            (&[0x80, 0x2e, 1, 0, 2], Opening::Other),
            (&[0x16, 2], Opening::Other),
            (&[5, 1, 0], Opening::Other),
            (b"\r\nGET / HTTP/1.1\r\n", Opening::Other),
            (b" ", Opening::Other),
            (b"PING\r\n", Opening::Other),
            (b"a-method-that-nobody-has-heard-of", Opening::Other),
        ];
        for (bytes, opening) in table {
            assert_eq!(read(bytes), Some(*opening), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_told_yet() {
        let beginnings: &[&[u8]] = &[
            b"",
            &[0x16],
            b"G",
            b"GET",
            b"S",
            b"SSH",
            b"P",
            b"PRI",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
            b"a-method-that-nobody-has-heard-o",
        ];
        for bytes in beginnings {
            assert_eq!(read(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    fn beginning() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![&b""[..], &[0x16, 3], b"SSH-", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET ", b"OPTIONS"]);
        (known, 0..30usize, vec(any::<u8>(), 0..60)).prop_map(|(known, length, more)| [&known[..known.len().min(length)], &more].concat())
    }

    proptest! {
        /// However the octets arrive, the answer comes by [`MAX_OPENING`] and is never another one.
        #[test]
        fn once_told_it_stays(bytes in beginning()) {
            let mut told = None;
            for end in 0..=bytes.len() {
                let now = read(&bytes[..end]);
                prop_assert!(told.is_none() || now == told, "{told:?}, then {now:?} at {end}");
                prop_assert!(now.is_some() || end < MAX_OPENING);
                told = now;
            }
        }
    }
}

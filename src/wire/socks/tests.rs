//! What clients of SOCKS send, whole, cut and wrong.

use proptest::{collection::vec, prelude::*};

use super::*;

fn destination(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    let read = read_request(bytes).map_err(|error| error.to_string())?;
    Ok(read.map(|(destination, length)| (destination.to_string(), length)))
}

fn named(name: &[u8]) -> Vec<u8> {
    [&[5, 1, 0, 3, u8::try_from(name.len()).unwrap()], name, &[1, 187]].concat()
}

fn token(bytes: &[u8]) -> Option<Vec<u8>> {
    let (presented, length) = read_password(bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    presented.map(|presented| presented.token.expose().to_vec())
}

fn login(user: &[u8], password: &[u8]) -> Vec<u8> {
    let length = |field: &[u8]| [u8::try_from(field.len()).unwrap()];
    [&[1][..], &length(user), user, &length(password), password].concat()
}

#[test]
fn greetings() {
    let both = |nothing, password| Greeting { nothing, password };
    let table: &[(&[u8], Greeting, usize)] = &[
        (&[5, 1, 0], both(true, false), 3),
        (&[5, 2, 0, 2], both(true, true), 4),
        (&[5, 3, 2, 1, 0, 5], both(true, true), 5),
        (&[5, 1, 2, 1], both(false, true), 3),
        (&[5, 2, 1, 128], both(false, false), 4),
        (&[5, 0, 5], both(false, false), 2),
    ];
    for (bytes, greeting, length) in table {
        assert_eq!(read_greeting(bytes), Ok(Some((*greeting, *length))), "{bytes:?}");
    }
    for bytes in [&[][..], &[5], &[5, 2, 0]] {
        assert_eq!(read_greeting(bytes), Ok(None), "{bytes:?}");
    }
    assert_eq!(read_greeting(&[4, 1]), Err(SocksError::Version4));
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0x16, 3, 1], &[0], &[6]] {
        assert_eq!(read_greeting(bytes), Err(SocksError::NotSocks), "{bytes:?}");
    }
}

#[test]
fn a_password_is_the_token() {
    assert_eq!(token(&login(b"any", b"token")), Some(b"token".to_vec()));
    assert_eq!(token(&login(b"", b"token")), Some(b"token".to_vec()));
    assert_eq!(token(&login(b"token", b"")), Some(b"token".to_vec()));
    assert_eq!(token(&login(b"", b"")), None);
    let long = [b'a'; FULL];
    assert_eq!(token(&login(&long, b"bc")), Some([&long[..], b"bc"].concat()));
    assert_eq!(token(&login(&long[1..], b"bc")), Some(b"bc".to_vec()), "a shorter user name is any");
    assert_eq!(token(&login(&long, b"")), Some(long.to_vec()));
    assert!(matches!(read_password(&[2, 1, b'a', 1, b'b']), Err(SocksError::PasswordVersion)));
    let shown = format!("{:?}", read_password(&login(b"any", b"s3cr3t")));
    assert!(!shown.contains("s3cr3t") && !shown.contains("115"), "{shown}");
}

#[test]
fn requests_to_names_and_addresses() {
    let table: &[(&[u8], &str)] = &[
        (&named(b"allowed.test"), "allowed.test:443"),
        (&named(b"ALLOWED.test."), "allowed.test:443"),
        (&named(b"192.0.2.1"), "192.0.2.1:443"),
        (&named(b"[2001:db8::1]"), "[2001:db8::1]:443"),
        (&[5, 1, 0, 1, 192, 0, 2, 1, 0, 80], "192.0.2.1:80"),
        (&[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80], "[2001:db8::1]:80"),
        (&[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1, 255, 255], "[::ffff:127.0.0.1]:65535"),
    ];
    for (bytes, expected) in table {
        assert_eq!(destination(bytes), Ok(Some(((*expected).to_owned(), bytes.len()))), "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(destination(&bytes[..end]), Ok(None), "{:?}", &bytes[..end]);
        }
        let more = [bytes, &[0x16, 3, 1][..]].concat();
        assert_eq!(destination(&more), Ok(Some(((*expected).to_owned(), bytes.len()))), "with what follows");
    }
}

/// Threats 4, 5, 21: what stands in a name is one host or none.
#[test]
fn requests_that_mean_nothing() {
    let table: &[(&[u8], &str)] = &[
        (
            &named(b"evil.test\0.allowed.test"),
            "\"\\x00\" may not stand in a host, which is plain ASCII here: \"evil.test\\x00.allowed.test\"",
        ),
        (&named(b"evil.test:80"), "\":\" may not stand in a host, which is plain ASCII here: \"evil.test:80\""),
        (&named(b"allowed.test\r\n"), "\"\\r\" may not stand in a host, which is plain ASCII here: \"allowed.test\\r\\n\""),
        (&named("ällowed.test".as_bytes()), "\"\\xc3\" may not stand in a host, which is plain ASCII here: \"\\xc3\\xa4llowed.test\""),
        (&named(b"user@allowed.test"), "\"@\" may not stand in a host, which is plain ASCII here: \"user@allowed.test\""),
        (&named(b"0x7f.1"), "an IPv4 address is written as four decimal numbers without leading zeros: \"0x7f.1\""),
        (&named(b"2130706433"), "an IPv4 address is written as four decimal numbers without leading zeros: \"2130706433\""),
        (&named(b""), "no host in \"\""),
        (&[5, 1, 0, 1, 192, 0, 2, 1, 0, 0], "a port is a number from 1 to 65535: 0"),
        (&[4], "the request is not of version 5"),
        (&[5, 2], "BIND, where only CONNECT is served"),
        (&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0], "UDP ASSOCIATE, where only CONNECT is served"),
        (&[5, 0xf0], "command 240, where only CONNECT is served"),
        (&[5, 1, 1], "the reserved octet of a request is zero"),
        (&[5, 1, 0, 2], "an address of type 2, where 1, 3 and 4 are known"),
    ];
    for (bytes, expected) in table {
        assert_eq!(destination(bytes), Err((*expected).to_owned()), "{bytes:?}");
    }
}

/// What begins like a message, so that not all of it ends at the first octet.
fn message(first: u8) -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![Just(vec![first]), Just(vec![first, 1, 0, 3]), Just(vec![first, 1, 0, 1]), Just(vec![])];
    let octet = || prop_oneof![any::<u8>(), 0..20_u8, Just(b'a')];
    // Few are as long as a message can be, since each is read at every length.
    (head, prop_oneof![19 => vec(octet(), 0..40), 1 => vec(octet(), 500..600)]).prop_map(|(head, more)| [head, more].concat())
}

/// Once told it stays, whatever follows, and it is told within the bound.
fn hold<T: fmt::Debug + PartialEq>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Option<T>, SocksError>) -> Result<(), TestCaseError> {
    let mut told = Ok(None);
    for end in 0..=bytes.len() {
        let now = read(&bytes[..end]);
        prop_assert!(told == Ok(None) || now == told, "{told:?}, then {now:?} at {end}");
        prop_assert!(now != Ok(None) || end < MAX_MESSAGE);
        told = now;
    }
    Ok(())
}

proptest! {
    #[test]
    fn however_it_is_cut_it_reads_the_same(greeting in message(5), password in message(1), request in message(5)) {
        hold(&greeting, read_greeting)?;
        hold(&request, read_request)?;
        hold(&password, |bytes| {
            let shown = |read: Option<(Option<Presented>, usize)>| read.map(|(shown, length)| (shown.map(|it| it.token.expose().to_vec()), length));
            read_password(bytes).map(shown)
        })?;
    }

    #[test]
    fn a_name_is_read_as_in_an_authority(name in vec(any::<u8>(), 0..255), port in 1..=u16::MAX) {
        let bytes = [&[5, 1, 0, 3, u8::try_from(name.len()).unwrap()], &name[..], &port.to_be_bytes()].concat();
        let read = read_request(&bytes).map(|read| read.map(|(destination, _)| destination.host));
        prop_assert_eq!(read, Host::parse(&name).map(Some).map_err(SocksError::Name));
    }
}

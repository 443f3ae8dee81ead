use std::sync::Arc;

use proptest::prelude::*;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::{SupportedKxGroup, aws_lc_rs},
    pki_types::ServerName,
};

use super::*;

/// A `ClientHello` as rustls would send it, in its records.
fn rustls_hello(name: &str, groups: &[&'static dyn SupportedKxGroup], alpn: Vec<Vec<u8>>) -> Vec<u8> {
    let provider = rustls::crypto::CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

fn with_length(octets: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - octets..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(2, content)].concat()
}

fn server_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|(kind, name)| [vec![*kind], with_length(2, name)].concat()).collect();
    extension(SERVER_NAME, &with_length(2, &list))
}

fn server_name(name: &[u8]) -> Vec<u8> {
    server_names(&[(HOST_NAME, name)])
}

/// Version, random, session id, two cipher suites (one of GREASE), one compression method.
fn beginning() -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &with_length(1, &[9; 32]), &with_length(2, &[0x0a, 0x0a, 0x13, 0x01]), &with_length(1, &[0])].concat()
}

fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    handshake(&[beginning(), with_length(2, &extensions.concat())].concat())
}

fn handshake(body: &[u8]) -> Vec<u8> {
    [&[CLIENT_HELLO][..], &with_length(3, body)].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|fragment| [&[HANDSHAKE, 3, 1][..], &with_length(2, fragment)].concat()).collect()
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    records(&message(extensions), MAX_RECORD)
}

fn named(name: &str) -> ClientHello {
    let Ok(Host::Name(name)) = Host::parse(name.as_bytes()) else { panic!("{name} is no name") };
    ClientHello { server_name: Some(name), encrypted: false, alpn: Vec::new() }
}

/// Reads octet by octet: the answer, and after how many octets it came.
fn read_slowly(bytes: &[u8]) -> (Result<Option<ClientHello>, HelloError>, usize) {
    let mut reader = HelloReader::default();
    for end in 0..=bytes.len() {
        match reader.read(&bytes[..end]) {
            Ok(None) => {}
            answer => return (answer, end),
        }
    }
    (Ok(None), bytes.len())
}

#[test]
fn hellos_of_rustls() {
    let classical: [&'static dyn SupportedKxGroup; 2] = [aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    let hybrid: [&'static dyn SupportedKxGroup; 2] = [aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
    for (groups, at_least) in [(&classical, 100), (&hybrid, 1184)] {
        let bytes = rustls_hello("API.example.com", groups, vec![b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(bytes.len() > at_least);
        let expected = ClientHello { alpn: vec![b"h2"[..].into(), b"http/1.1"[..].into()], ..named("api.example.com") };
        assert_eq!(parse(&bytes), Ok(Some(expected.clone())));
        assert_eq!(read_slowly(&bytes), (Ok(Some(expected)), bytes.len()));
    }
    assert_eq!(parse(&rustls_hello("192.0.2.1", &classical, vec![])).unwrap().unwrap().server_name, None);
}

#[test]
fn threat_43_a_hello_of_more_than_one_full_record() {
    let protocols: Vec<Vec<u8>> = (0..=99).map(|number| vec![number; 200]).collect();
    let bytes = rustls_hello("a.test", &[aws_lc_rs::kx_group::X25519MLKEM768], protocols.clone());
    assert!(bytes.len() > MAX_RECORD + 1184);
    let expected = ClientHello { alpn: protocols.into_iter().map(Vec::into_boxed_slice).collect(), ..named("a.test") };
    assert_eq!(parse(&bytes), Ok(Some(expected)));
}

#[test]
fn threat_43_one_octet_segments_and_many_records() {
    let message = message(&[extension(0x0a0a, b""), server_name(b"a.test"), extension(0xfafa, &[0])]);
    for size in [1, 2, 3, 5, 64, MAX_RECORD] {
        let bytes = records(&message, size);
        assert_eq!(parse(&bytes), Ok(Some(named("a.test"))), "records of {size}");
        assert_eq!(read_slowly(&bytes), (Ok(Some(named("a.test"))), bytes.len()), "records of {size}");
    }
}

#[test]
fn threat_43_length_is_bounded() {
    let padded = |padding: usize| records(&message(&[server_name(b"a.test"), extension(21, &vec![0; padding])]), MAX_RECORD);
    let fixed = padded(0).len();
    let biggest = MAX_CLIENT_HELLO - fixed - 4 * RECORD_HEADER;
    assert_eq!(parse(&padded(biggest)), Ok(Some(named("a.test"))));
    assert_eq!(parse(&padded(65_000)), Ok(Some(named("a.test"))));
    let announced = records(&[&[CLIENT_HELLO, 1, 0, 1][..], &[0; 100]].concat(), MAX_RECORD);
    assert_eq!(parse(&announced), Err(HelloError::TooLong));
    let in_tiny_records = records(&message(&[server_name(b"a.test"), extension(21, &vec![0; 20_000])]), 1);
    assert_eq!(parse(&in_tiny_records), Err(HelloError::TooLong));
    assert_eq!(read_slowly(&in_tiny_records), (Err(HelloError::TooLong), MAX_CLIENT_HELLO));
}

#[test]
fn octets_after_the_hello_are_not_looked_at() {
    let bytes = [hello(&[server_name(b"a.test")]), vec![20, 3, 3, 0, 1, 1, 23, 3, 3]].concat();
    assert_eq!(parse(&bytes), Ok(Some(named("a.test"))));
}

#[test]
fn threat_50_what_is_not_tls_is_known_at_once() {
    for (bytes, after) in [
        (&b"SSH-2.0-OpenSSH"[..], 1),
        (b"GET / HTTP/1.1\r\n", 1),
        (b"\x80\x2e\x01\x03\x01", 1),
        (b"\x05\x01\x00", 1),
        (b"\x16\x02\x00\x00\x01\x01", 2),
        (b"\x17\x03\x03\x00\x01\x01", 1),
        (b"\0", 1),
    ] {
        let (answer, octets) = read_slowly(bytes);
        assert_eq!(answer, Err(HelloError::NotTls(excerpt(&bytes[..after]))), "{}", bytes.escape_ascii());
        assert_eq!(parse(bytes), answer, "{}", bytes.escape_ascii());
        assert_eq!(octets, after, "{}", bytes.escape_ascii());
    }
}

#[test]
fn threat_40_server_names() {
    let long_name = [b"a.".repeat(126), b"bc".to_vec()].concat();
    let table: [(&[u8], Result<&str, ()>); 14] = [
        (b"a.test", Ok("a.test")),
        (b"A.TEST", Ok("a.test")),
        (b"a.test.", Ok("a.test")),
        (b"a.test..", Err(())),
        (b".", Err(())),
        (b"", Err(())),
        (b"a.test\0.evil.test", Err(())),
        (b"a.test\0", Err(())),
        (b" a.test", Err(())),
        (b"a.test:443", Err(())),
        (b"*.test", Err(())),
        (b"\xc3\xa4.test", Err(())),
        (b"127.1", Err(())),
        (&long_name, Err(())),
    ];
    for (name, expected) in table {
        let answer = parse(&hello(&[server_name(name)]));
        match expected {
            Ok(canonical) => assert_eq!(answer, Ok(Some(named(canonical))), "{}", name.escape_ascii()),
            Err(()) => assert!(matches!(answer, Err(HelloError::ServerName(_))), "{}", name.escape_ascii()),
        }
    }
}

#[test]
fn threat_40_address_or_not_one_name() {
    let count = HelloError::ServerNameCount;
    let table = [
        (hello(&[server_name(b"192.0.2.1")]), HelloError::ServerNameAddress("192.0.2.1".parse().unwrap())),
        (hello(&[server_name(b"[::1]")]), HelloError::ServerNameAddress("::1".parse().unwrap())),
        (hello(&[server_names(&[])]), count.clone()),
        (hello(&[server_names(&[(HOST_NAME, b"a.test"), (HOST_NAME, b"a.test")])]), count.clone()),
        (hello(&[server_names(&[(HOST_NAME, b"a.test"), (1, b"b.test")])]), count.clone()),
        (hello(&[server_names(&[(1, b"a.test")])]), count.clone()),
        (hello(&[server_name(b"a.test"), server_name(b"a.test")]), count),
    ];
    for (bytes, expected) in table {
        assert_eq!(expected.reason(), Reason::Misdirected);
        assert_eq!(parse(&bytes), Err(expected));
    }
    assert_eq!(parse(&hello(&[])).unwrap().unwrap().server_name, None);
    assert_eq!(parse(&records(&handshake(&beginning()), MAX_RECORD)).unwrap().unwrap().server_name, None);
}

#[test]
fn threat_41_encrypted_client_hello_shows() {
    for kind in [0xfe0d, 0xfe08, 0xffce] {
        let expected = ClientHello { encrypted: true, ..named("a.test") };
        assert_eq!(parse(&hello(&[server_name(b"a.test"), extension(kind, &[0, 1, 2])])), Ok(Some(expected)), "{kind:x}");
    }
}

#[test]
fn what_does_not_add_up_is_malformed() {
    let good = message(&[server_name(b"a.test")]);
    let with = |at: usize, octet: u8| {
        let mut changed = good.clone();
        changed[at] = octet;
        records(&changed, MAX_RECORD)
    };
    let alpn = |content: &[u8]| hello(&[extension(ALPN, content)]);
    let body = |parts: &[&[u8]]| records(&handshake(&parts.concat()), MAX_RECORD);
    let table = [
        (with(0, 2), "handshake type"),
        (with(4, 2), "version"),
        (with(3, good[3] - 1), "handshake length"),
        (records(&[good.clone(), vec![11]].concat(), MAX_RECORD), "handshake length"),
        (vec![22, 3, 1, 0, 0], "record length"),
        (vec![22, 3, 1, 0x40, 0x01], "record length"),
        ([records(&good[..10], MAX_RECORD), vec![21]].concat(), "record header"),
        ([records(&good[..10], MAX_RECORD), vec![22, 3, 1, 0, 0]].concat(), "record length"),
        (hello(&[extension(5, b""), extension(5, b"")]), "extensions, one of which stands there twice"),
        (hello(&[extension(SERVER_NAME, b"")]), "extension"),
        (hello(&[extension(SERVER_NAME, &[0, 1])]), "extension"),
        (hello(&[extension(SERVER_NAME, &[0, 0, 0])]), "extension"),
        (hello(&[extension(SERVER_NAME, &[0, 2, 0, 0])]), "server_name extension"),
        (hello(&[vec![0, 5, 0]]), "extensions"),
        (alpn(&[0, 0]), "ALPN extension"),
        (alpn(&[0, 1, 0]), "ALPN extension"),
        (alpn(&[0, 2, 2, 0]), "ALPN extension"),
        (alpn(&[0, 2, 1, 0, 0]), "extension"),
        (body(&[&[3, 3]]), "message"),
        (body(&[&beginning(), &[0]]), "message"),
        (body(&[&beginning(), &[0, 0, 0]]), "message"),
        (body(&[&[3, 3], &[0; 32], &with_length(1, &[0; 33])]), "session id"),
        (body(&[&[3, 3], &[0; 32], &[0], &[0, 0]]), "cipher suites"),
        (body(&[&[3, 3], &[0; 32], &[0], &[0, 3, 1, 2, 3]]), "cipher suites"),
        (body(&[&[3, 3], &[0; 32], &[0], &[0, 2, 1, 2], &[0]]), "compression methods"),
    ];
    for (bytes, part) in table {
        assert_eq!(parse(&bytes), Err(HelloError::Malformed(part)), "{}", bytes.escape_ascii());
    }
    assert_eq!(HelloError::Malformed("version").reason(), Reason::OpaqueTunnel);
}

#[test]
fn a_beginning_is_never_an_answer() {
    let bytes = rustls_hello("a.test", &[aws_lc_rs::kx_group::X25519], vec![]);
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
    }
}

proptest! {
    #[test]
    fn segments_and_records_change_nothing(
        octets in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        size in 1_usize..80,
    ) {
        let mut message = message(&[server_name(b"a.test"), extension(ALPN, &[0, 3, 2, b'h', b'2'])]);
        for (at, octet) in octets {
            let at = at.index(message.len());
            message[at] = octet;
        }
        let bytes = records(&message, size);
        let slowly = read_slowly(&bytes).0;
        prop_assert_eq!(&parse(&bytes), &slowly);
        if slowly.is_ok() {
            prop_assert_eq!(parse(&records(&message, MAX_RECORD)), slowly);
        }
    }

    #[test]
    fn any_bytes_are_answered(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&tail);
        let _ = parse(&records(&handshake(&[beginning(), tail].concat()), MAX_RECORD));
    }
}

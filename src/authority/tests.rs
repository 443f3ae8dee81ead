use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::Command,
    thread,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConnection,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

use super::*;
use crate::{
    destination::{Destination, Host},
    policy::{Facts, Policy, Way},
};

/// 21 November 2026: every test stands still there.
const NOW: Duration = Duration::from_secs(1_795_219_200);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

#[derive(Debug)]
struct Stopped;

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(NOW))
    }
}

fn leave(host: &str) -> Interception {
    let hosts = ["**.example", "127.0.0.1:443", "[2001:db8::1]:443"].map(|host| format!("{{ host = \"{host}\", intercept = true }}"));
    let text = format!("access = \"custom\"\nallow = [{}]", hosts.join(", "));
    let (policy, _) = Policy::parse("policy.toml", &text).unwrap();
    let destination = Destination::parse(host.as_bytes(), Some(443)).unwrap();
    policy.decide_destination(&Facts { destination: &destination, way: Way::Connect, now: now() }).unwrap().interception().unwrap()
}

fn local(state: &Path) -> LocalAuthority {
    LocalAuthority::new(Some(state), Arc::new(Metrics::new().unwrap()), now()).unwrap()
}

/// A client that trusts this authority and nobody else.
fn client(authority: &LocalAuthority, protocols: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.get(now()).unwrap().pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(Stopped))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.enable_early_data = true;
    Arc::new(config)
}

/// Shakes hands and passes a word each way; gives the client's side.
fn talk(client: &Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Result<ClientConnection, rustls::Error> {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    client.writer().write_all(b"ping").unwrap();
    // Long enough for a full handshake and the tickets after it.
    for _ in 0..8 {
        pass(|to| client.write_tls(to), |from| server.read_tls(from));
        server.process_new_packets()?;
        pass(|to| server.write_tls(to), |from| client.read_tls(from));
        client.process_new_packets()?;
    }
    let mut word = [0; 4];
    server.reader().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
    Ok(client)
}

fn pass(write: impl FnOnce(&mut dyn Write) -> std::io::Result<usize>, read: impl FnOnce(&mut dyn Read) -> std::io::Result<usize>) {
    let mut flight = Vec::new();
    write(&mut flight).unwrap();
    if !flight.is_empty() {
        assert_eq!(read(&mut &flight[..]).unwrap(), flight.len());
    }
}

fn leaf_of(connection: &ClientConnection) -> CertificateDer<'static> {
    let [leaf] = connection.peer_certificates().unwrap() else { panic!("one certificate") };
    leaf.clone().into_owned()
}

/// What `openssl` prints.
fn openssl(arguments: &[&str], files: &[&Path]) -> String {
    let done = Command::new("openssl").args(arguments).args(files).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn refused(state: &Path, now: SystemTime) -> String {
    Authority::open(state, now).map(drop).unwrap_err().to_string().replace(&state.display().to_string(), "STATE")
}

#[test]
fn openssl_reads_what_was_meant() {
    let state = TempDir::new().unwrap();
    let authority = local(state.path());
    let client = client(&authority, &[], &[&TLS13]);
    let (root, leaf) = (state.path().join("ca/ca.pem"), state.path().join("leaf.der"));
    authority.get(now()).unwrap();
    let text = openssl(&["x509", "-noout", "-text", "-in"], &[&root]);
    for expected in [
        "Subject: O = Tidegate, CN = Tidegate authority ",
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
        "NIST CURVE: P-256\n",
        "Not Before: Nov 20 00:00:00 2026 GMT\n            Not After : Nov 20 00:00:00 2031 GMT\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    for (host, name, option) in [
        ("api.example", "DNS:api.example", "-verify_hostname"),
        ("127.0.0.1", "IP Address:127.0.0.1", "-verify_ip"),
        ("[2001:db8::1]", "IP Address:2001:DB8:0:0:0:0:0:1", "-verify_ip"),
    ] {
        let bare = host.trim_matches(['[', ']']);
        let connection = talk(&client, authority.server_config("s1", &leave(host), now()).unwrap(), bare).unwrap();
        fs::write(&leaf, leaf_of(&connection)).unwrap();
        let text = openssl(&["x509", "-inform", "der", "-noout", "-text", "-in"], &[&leaf]);
        for expected in [
            format!("X509v3 Subject Alternative Name: \n                {name}\n"),
            "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n".to_owned(),
            "X509v3 Basic Constraints: critical\n                CA:FALSE\n".to_owned(),
            "X509v3 Key Usage: critical\n                Digital Signature\n".to_owned(),
            "Not Before: Nov 20 00:00:00 2026 GMT\n            Not After : Dec 20 00:00:00 2026 GMT\n".to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected}\n{text}");
        }
        let moment = NOW.as_secs().to_string();
        let options = ["verify", "-x509_strict", "-purpose", "sslserver", "-attime", &moment, option, bare, "-CAfile"];
        openssl(&options, &[&root, &leaf]);
    }
}

#[test]
fn both_protocols_and_both_versions_are_served() {
    let state = TempDir::new().unwrap();
    let authority = local(state.path());
    for (offered, agreed) in
        [(&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])), (&[b"h2"], Some(b"h2")), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
            let config = authority.server_config("s1", &leave("a.example"), now()).unwrap();
            let connection = talk(&client(&authority, offered, &[version]), config, "a.example").unwrap();
            assert_eq!((connection.alpn_protocol(), connection.protocol_version()), (agreed, Some(number)));
        }
    }
    let config = authority.server_config("s1", &leave("a.example"), now()).unwrap();
    let other = talk(&client(&authority, &[b"acme-tls/1"], &[&TLS13]), Arc::clone(&config), "a.example");
    assert_eq!(other.map(drop).unwrap_err(), rustls::Error::NoApplicationProtocol);
    let misled = talk(&client(&authority, &[], &[&TLS13]), config, "b.example").map(drop).unwrap_err();
    assert!(matches!(misled, rustls::Error::InvalidCertificate(_)), "{misled:?}");
}

#[test]
fn a_tls_session_is_resumed_with_its_own_session_and_name_only() {
    let state = TempDir::new().unwrap();
    let authority = local(state.path());
    for version in [&TLS12, &TLS13] {
        let config = |session: &str, host: &str| authority.server_config(session, &leave(host), now()).unwrap();
        let client = client(&authority, &[], &[version]);
        let handshake = |session: &str, host: &str| {
            // The client believes that it is with the same host each time, and so offers what it could resume.
            let connection = talk(&client, config(session, host), "a.example");
            connection.map(|connection| (connection.handshake_kind().unwrap(), connection.is_early_data_accepted()))
        };
        assert_eq!(handshake("s1", "a.example"), Ok((HandshakeKind::Full, false)));
        assert_eq!(handshake("s1", "a.example"), Ok((HandshakeKind::Resumed, false)));
        assert_eq!(handshake("s2", "a.example"), Ok((HandshakeKind::Full, false)));
        assert_eq!(handshake("s2", "a.example"), Ok((HandshakeKind::Resumed, false)));
        let elsewhere = handshake("s2", "b.example").unwrap_err();
        assert!(matches!(elsewhere, rustls::Error::InvalidCertificate(_)), "not resumed, but shown another certificate: {elsewhere:?}");
    }
}

#[test]
fn a_leaf_is_made_anew_before_it_ends_and_never_outlasts_the_root() {
    let state = TempDir::new().unwrap();
    let authority = local(state.path());
    let config = |now| authority.server_config("s1", &leave("a.example"), now);
    let same = |one, other| Arc::ptr_eq(&config(one).unwrap(), &config(other).unwrap());
    assert!(same(now(), now() + 27 * DAY));
    assert!(!same(now(), now() + 28 * DAY));
    assert!(!same(now() + 28 * DAY, now()), "of a clock that was set back");
    let end = now() + 5 * 365 * DAY;
    assert!(same(end - DAY, end - Duration::from_secs(1)));
    let expired = config(end).map(drop).unwrap_err();
    assert_eq!(expired.to_string(), "the certificate authority cannot be used: the authority's certificate has expired");
    let count = |result: &str| format!("tidegate_leaf_certificates_total{{result=\"{result}\"}}");
    let shown = authority.metrics.render();
    for expected in [format!("{} 1\n", count("failed")), format!("{} 4\n", count("made")), format!("{} 4\n", count("cached"))] {
        assert!(shown.contains(&expected), "{expected}{shown}");
    }
}

#[test]
fn a_flood_of_names_is_bounded_and_what_is_used_stays() {
    let state = TempDir::new().unwrap();
    let authority = local(state.path());
    let kept = authority.server_config("s1", &leave("kept.example"), now()).unwrap();
    let opened = authority.get(now()).unwrap();
    let serve = |host: &str| opened.served.get(&opened.root, "s2", &Host::parse(host.as_bytes()).unwrap(), now());
    for number in 0..10_000 {
        assert_eq!(serve(&format!("w{number}.example")).unwrap().1, Leaf::Made);
        if number % 1000 == 0 {
            assert!(Arc::ptr_eq(&kept, &authority.server_config("s1", &leave("kept.example"), now()).unwrap()), "{number}");
        }
    }
    assert_eq!(opened.served.known(), served::MAX_SERVED);
    assert_eq!(serve("w9999.example").unwrap().1, Leaf::Cached);
    assert_eq!(serve("w0.example").unwrap().1, Leaf::Made);
}

#[test]
fn nothing_is_written_before_it_is_needed() {
    let state = TempDir::new().unwrap();
    let directory = state.path().join("below/state");
    let authority = local(&directory);
    assert!(!directory.exists());
    let made = authority.get(now()).unwrap();
    assert!(Arc::ptr_eq(&made, &authority.get(now()).unwrap()));
    let permissions = |name: &str| fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["ca", "ca/key.pem", "ca/ca.pem", "ca/bundle.pem", "ca/bundle.p12"].map(permissions), [0o700, 0o600, 0o644, 0o644, 0o644]);
    let names = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected = BTreeSet::from(["bundle.p12", "bundle.pem", "ca.pem", "key.pem"].map(str::to_owned));
    assert_eq!(BTreeSet::from(["ca".to_owned()]), names(&directory));
    assert_eq!(expected, names(&directory.join("ca")));
    let nowhere = LocalAuthority::new(None, Arc::new(Metrics::new().unwrap()), now()).unwrap().get(now()).map(drop).unwrap_err();
    assert_eq!(nowhere.to_string(), "the certificate authority cannot be used: there is no place for it: name one by [state] dir");
}

#[test]
fn what_could_not_be_opened_is_tried_again_a_second_later() {
    let parent = TempDir::new().unwrap();
    let state = parent.path().join("state");
    let local = local(&state);
    fs::write(&state, "in the way").unwrap();
    let why = |now| local.get(now).map(drop).map_err(|error| error.to_string());
    let told = why(now()).unwrap_err();
    fs::remove_file(&state).unwrap();
    assert_eq!(why(now() + Duration::from_millis(999)), Err(told));
    assert!(!state.exists());
    let opened = local.get(now() + Duration::from_secs(1)).unwrap();
    assert!(Arc::ptr_eq(&opened, &local.get(now()).unwrap()));
}

#[test]
fn a_clock_that_was_set_back_keeps_no_failure() {
    let parent = TempDir::new().unwrap();
    let state = parent.path().join("state");
    let local = local(&state);
    fs::write(&state, "in the way").unwrap();
    assert!(local.get(now()).is_err());
    fs::remove_file(&state).unwrap();
    assert!(local.get(now() - Duration::from_secs(3600)).is_ok());
}

#[test]
fn the_next_start_finds_the_same_root_and_mends_the_bundle() {
    let state = TempDir::new().unwrap();
    let first = Authority::open(state.path(), now()).unwrap();
    let bundle = fs::read_to_string(Authority::bundle(state.path())).unwrap();
    assert!(bundle.starts_with(first.pem()));
    assert!(CertificateDer::pem_slice_iter(bundle.as_bytes()).all(|certificate| certificate.is_ok()));
    let key_store = Authority::bundle(state.path()).with_extension("p12");
    let kept = fs::read(&key_store).unwrap();
    fs::write(Authority::bundle(state.path()), "half").unwrap();
    fs::write(&key_store, &kept[1..]).unwrap();
    let second = Authority::open(state.path(), now() + 365 * DAY).unwrap();
    assert_eq!(first.pem(), second.pem());
    assert_eq!(fs::read_to_string(Authority::bundle(state.path())).unwrap(), bundle);
    assert!(fs::read(key_store).unwrap() == kept);
    let client = client(&local(state.path()), &[], &[&TLS13]);
    let (config, _) = second.server_config("s1", &leave("a.example"), now()).unwrap();
    talk(&client, config, "a.example").unwrap();
}

#[test]
fn starts_at_once_agree() {
    let state = TempDir::new().unwrap();
    let roots: BTreeSet<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| Authority::open(state.path(), now()).unwrap().pem().to_owned())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(roots.len(), 1);
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "drafts are left behind");
}

#[test]
fn what_is_damaged_is_refused_in_words() {
    let state = TempDir::new().unwrap();
    Authority::open(state.path(), now()).unwrap();
    let path = |name: &str| state.path().join("ca").join(name);
    let (key, certificate) = (fs::read(path("key.pem")).unwrap(), fs::read(path("ca.pem")).unwrap());
    let long = vec![b'x'; 17 * 1024];
    let with = |name: &str, content: &[u8]| {
        let before = fs::read(path(name)).unwrap();
        fs::write(path(name), content).unwrap();
        let why = refused(state.path(), now());
        fs::write(path(name), before).unwrap();
        why.strip_prefix("the certificate authority cannot be used: cannot use STATE/ca").unwrap().to_owned()
    };
    assert_eq!(with("key.pem", b""), ": key.pem is no private key in PEM");
    assert_eq!(with("key.pem", &key[..key.len() / 2]), ": key.pem is no private key in PEM");
    assert_eq!(with("key.pem", b"\xff"), "/key.pem: it is no text");
    assert_eq!(with("key.pem", &long), "/key.pem: it is larger than 16384 bytes");
    assert_eq!(with("ca.pem", &long), "/ca.pem: it is larger than 16384 bytes");
    assert_eq!(with("ca.pem", &certificate[..certificate.len() / 2]), ": ca.pem is no certificate in PEM");
    assert_eq!(with("ca.pem", &key), ": ca.pem is no certificate in PEM");
    let other = TempDir::new().unwrap();
    Authority::open(other.path(), now()).unwrap();
    let foreign = ": key.pem is not the key of ca.pem, or Tidegate did not make them";
    assert_eq!(with("key.pem", &fs::read(other.path().join("ca/key.pem")).unwrap()), foreign);
    fs::set_permissions(path("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(with("ca.pem", &certificate), "/key.pem: others may read it, and it is to be its owner's alone: chmod 600");
    fs::set_permissions(path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let expired = refused(state.path(), now() + 5 * 365 * DAY);
    assert!(expired.ends_with("STATE/ca: ca.pem has expired; remove the directory, and a new one is made"), "{expired}");
    fs::remove_file(path("key.pem")).unwrap();
    let missing = refused(state.path(), now());
    assert!(missing.ends_with("STATE/ca/key.pem: No such file or directory (os error 2)"), "{missing}");
    assert_eq!(fs::read(path("ca.pem")).unwrap(), certificate, "nothing is made in place of what is damaged");
}

#[test]
fn the_published_test_authority_is_refused() {
    let published = [&include_bytes!("../../certs/ca.key")[..], include_bytes!("../../certs/ca.pem")];
    for taken in [[true, true], [true, false], [false, true]] {
        let state = TempDir::new().unwrap();
        Authority::open(state.path(), now()).unwrap();
        for ((name, content), _) in ["key.pem", "ca.pem"].iter().zip(published).zip(taken).filter(|(_, taken)| *taken) {
            fs::write(state.path().join("ca").join(name), content).unwrap();
        }
        let why = refused(state.path(), now());
        assert!(why.contains("it is Tidegate's published test authority, whose key everybody has"), "{taken:?} {why}");
        let start = LocalAuthority::new(Some(state.path()), Arc::new(Metrics::new().unwrap()), now());
        assert!(start.is_err(), "the start fails as well");
    }
}

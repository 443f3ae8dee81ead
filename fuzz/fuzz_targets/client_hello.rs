//! Segments change nothing, and where rustls too finds a ClientHello, it finds the same server name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use tidegate::{
    destination::Host,
    wire::client_hello::{HelloReader, parse},
};

fuzz_target!(|bytes: &[u8]| {
    let at_once = parse(bytes);
    let mut reader = HelloReader::default();
    let slowly = (0..=bytes.len()).map(|end| reader.read(&bytes[..end])).find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
    assert_eq!(at_once, slowly);

    if let (Ok(Some(hello)), Some(name)) = (at_once, name_by_rustls(bytes)) {
        assert_eq!(hello.server_name.map(Host::Name), name.map(|name| Host::parse(name.as_bytes()).expect("a name that was read")));
    }
});

/// The server name of what rustls accepts as a ClientHello.
fn name_by_rustls(mut bytes: &[u8]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
    }
    let accepted = acceptor.accept().ok()??;
    Some(accepted.client_hello().server_name().map(str::to_owned))
}

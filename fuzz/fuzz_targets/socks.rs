//! Once something is told it stays, however the octets were cut and whatever follows; a name is the one that stands in the request.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use tidegate::{
    destination::Host,
    wire::socks::{MAX_MESSAGE, SocksError, read_greeting, read_password, read_request},
};

fuzz_target!(|bytes: &[u8]| {
    hold(bytes, read_greeting);
    hold(
        bytes,
        |bytes| Ok(read_password(bytes)?.map(|(shown, length)| (shown.map(|presented| presented.token.expose().to_vec()), length))),
    );
    hold(bytes, read_request);
    if let Ok(Some((Some(presented), length))) = read_password(bytes) {
        let token = presented.token.expose();
        assert!(bytes[..length].windows(token.len()).any(|window| window == token) || token.len() > usize::from(u8::MAX));
    }
    if let Ok(Some((destination, length))) = read_request(bytes) {
        assert!(bytes[..4] != [5, 1, 0, 3] || Host::parse(&bytes[5..length - 2]) == Ok(destination.host));
        assert_eq!(bytes[length - 2..length], destination.port.to_be_bytes());
    }
});

fn hold<T: Debug + PartialEq>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Option<T>, SocksError>) {
    let mut told = Ok(None);
    for end in 0..=bytes.len().min(2 * MAX_MESSAGE) {
        let now = read(&bytes[..end]);
        assert!(told == Ok(None) || now == told, "{told:?}, then {now:?} at {end}");
        assert!(now != Ok(None) || end < MAX_MESSAGE);
        told = now;
    }
}

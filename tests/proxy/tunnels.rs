//! Tunnels whose bytes nobody reads: how they begin, and that each end of them arrives at the other.

use std::{
    io::Read,
    sync::{Mutex, mpsc},
};

use crate::harness::{Client, Dns, Origin, PATIENCE, Setup, Tidegate};

/// A proxy that allows one origin, on a port that may speak anything.
struct Ground {
    gate: Tidegate,
    origin: Origin,
}

impl Ground {
    fn before(origin: Origin) -> Self {
        let dns = Dns::loopback();
        let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
        Self { gate: Setup::new(policy).dns(dns.address()).start(), origin }
    }

    fn authority(&self) -> String {
        format!("allowed.test:{}", self.origin.port())
    }

    fn client(&self) -> Client {
        Client::connect(self.gate.proxy())
    }

    fn tunnel(&self) -> Client {
        Client::tunnel(self.gate.proxy(), &self.authority()).expect("a tunnel")
    }
}

#[test]
fn a_half_close_passes_through_a_tunnel_upwards() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        let mut all = Vec::new();
        while let Some(more) = conversation.read() {
            all.extend(more);
        }
        conversation.send(format!("got {} bytes", all.len()).as_bytes());
    }));
    let mut client = ground.tunnel();
    client.send("twelve bytes").close_sending();
    assert_eq!(client.rest(), b"got 12 bytes");
}

#[test]
fn a_half_close_passes_through_a_tunnel_downwards() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        conversation.send(b"that is all");
        conversation.close_sending();
        while conversation.read().is_some() {}
    }));
    let mut client = ground.tunnel();
    assert_eq!(client.rest(), b"that is all");
    client.send("still here");
    ground.origin.wait_for(|bytes| bytes == b"still here");
}

#[test]
fn bytes_sent_before_the_200_are_kept() {
    let ground = Ground::before(Origin::echoing());
    let authority = ground.authority();
    let mut client = ground.client();
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\nearly"));
    assert_eq!(client.reply_to("CONNECT").status, 200);
    assert_eq!(client.exactly(5), b"early");
}

#[test]
fn a_reset_by_the_origin_reaches_the_client() {
    let ground = Ground::before(Origin::scripted(|conversation| {
        // Closing a socket with unread bytes resets it.
        let _ = conversation.stream().peek(&mut [0; 1]);
    }));
    let mut client = ground.tunnel();
    assert!(client.send("unread").is_reset(), "a broken stream must not look like one that ended well");
}

#[test]
fn a_reset_by_the_client_reaches_the_origin() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let ground = Ground::before(Origin::scripted(move |conversation| {
        let mut rest = Vec::new();
        let result = conversation.stream().read_to_end(&mut rest);
        let _ = ended.lock().unwrap().send(result.map_err(|error| error.kind()));
    }));
    ground.tunnel().reset();
    let result = end.recv_timeout(PATIENCE).expect("the origin's connection ends");
    assert_eq!(result, Err(std::io::ErrorKind::ConnectionReset), "a broken stream must not look like one that ended well");
}

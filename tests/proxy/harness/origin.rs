//! An origin that records every byte of every connection and answers from a script.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use rustls::ServerConfig;

use super::{
    wait::{PATIENCE, poll},
    wire::Wire,
};

/// The origin; it runs until the test ends.
pub(crate) struct Origin {
    address: SocketAddr,
    connections: Connections,
    fences: Mutex<Vec<SocketAddr>>,
    secure: Secure,
}

/// The TLS that it speaks, if it does.
type Secure = Arc<OnceLock<Arc<ServerConfig>>>;

/// Who connected, in the order of arrival, and what each has sent so far.
type Connections = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;

impl Origin {
    /// Does with each connection what `converse` does.
    pub(crate) fn scripted(converse: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        Self::scripted_at("127.0.0.1:0", converse)
    }

    /// The same on an address of the test's choice.
    pub(crate) fn scripted_at(address: &str, converse: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Connections::default();
        let recorded = connections.clone();
        let secure = Secure::default();
        let spoken = secure.clone();
        let converse = Arc::new(converse);
        thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                let number = {
                    let mut all = locked(&recorded);
                    all.push((peer, Vec::new()));
                    all.len() - 1
                };
                let wire = match spoken.get() {
                    Some(config) => Wire::to_client(stream, config.clone()),
                    None => Wire::Plain(stream),
                };
                let mut conversation = Conversation { wire, number, recorded: recorded.clone(), pending: Vec::new(), broken: false };
                let converse = converse.clone();
                thread::spawn(move || {
                    converse(&mut conversation);
                    conversation.finish();
                });
            }
        });
        Self { address, connections, fences: Mutex::default(), secure }
    }

    /// The same inside TLS; what is recorded is what stands inside.
    pub(crate) fn over_tls(self, config: Arc<ServerConfig>) -> Self {
        self.secure.set(config).expect("it speaks TLS already");
        self
    }

    /// Answers every request with 200 and this body, and keeps the connection.
    pub(crate) fn saying(body: &str) -> Self {
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Self::replying(reply)
    }

    /// Answers every request with these bytes, and keeps the connection.
    pub(crate) fn replying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::scripted(move |conversation| {
            while conversation.request().is_some() {
                conversation.send(&reply);
            }
        })
    }

    /// Answers the first request with these bytes, and closes.
    pub(crate) fn replying_once(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::scripted(move |conversation| {
            if conversation.request().is_some() {
                conversation.send(&reply);
            }
        })
    }

    /// Sends back whatever comes, and closes its side when the other has.
    pub(crate) fn echoing() -> Self {
        Self::scripted(|conversation| {
            while let Some(bytes) = conversation.read() {
                conversation.send(&bytes);
            }
        })
    }

    /// Takes whatever comes and says nothing.
    pub(crate) fn silent() -> Self {
        Self::scripted(|conversation| while conversation.read().is_some() {})
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What each connection has sent so far, in the order of their arrival.
    #[track_caller]
    pub(crate) fn connections(&self) -> Vec<Vec<u8>> {
        // Connections wait in a queue: when this one is counted, all before it were.
        let fence = TcpStream::connect(self.address).expect("the origin accepts");
        let fence = fence.local_addr().expect("an address");
        locked(&self.fences).push(fence);
        let counted = || locked(&self.connections).iter().any(|(peer, _)| *peer == fence).then_some(());
        poll(counted).expect("the origin accepts");
        let fences = locked(&self.fences);
        locked(&self.connections).iter().filter(|(peer, _)| !fences.contains(peer)).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Everything that all connections have sent, put together.
    pub(crate) fn received(&self) -> Vec<u8> {
        locked(&self.connections).iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Waits until some connection has sent what is `wanted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let found = poll(|| locked(&self.connections).iter().map(|(_, bytes)| bytes).find(|bytes| wanted(bytes)).cloned());
        found.unwrap_or_else(|| panic!("the origin received only:\n{}", self.received().escape_ascii()))
    }

    /// Forgets what was sent so far.
    pub(crate) fn forget(&self) {
        locked(&self.connections).iter_mut().for_each(|(_, bytes)| bytes.clear());
    }

    /// Fails unless nobody ever connected.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, why: &str) {
        let connections = self.connections();
        assert!(connections.is_empty(), "{why}: the origin was reached: {}", connections.concat().escape_ascii());
    }
}

/// One connection to the origin.
pub(crate) struct Conversation {
    wire: Wire,
    number: usize,
    recorded: Connections,
    pending: Vec<u8>,
    broken: bool,
}

impl Conversation {
    /// The next bytes; `None` at the end or when nothing comes for long.
    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        let _ = self.wire.socket().set_read_timeout(Some(PATIENCE));
        let mut buffer = [0; 16 * 1024];
        let length = self.wire.read(&mut buffer).ok().filter(|length| *length > 0)?;
        if let Some((_, recorded)) = locked(&self.recorded).get_mut(self.number) {
            recorded.extend_from_slice(&buffer[..length]);
        }
        Some(buffer[..length].to_vec())
    }

    /// The next request with its body, which has a length or is chunked.
    pub(crate) fn request(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = end_of_request(&self.pending) {
                return Some(self.pending.drain(..end).collect());
            }
            let more = self.read()?;
            self.pending.extend(more);
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes);
    }

    /// TLS ends without a word about it.
    pub(crate) fn break_off(&mut self) {
        self.broken = true;
    }

    fn finish(&mut self) {
        if !self.broken && matches!(self.wire, Wire::Server(_)) {
            self.wire.close_sending();
        }
    }

    pub(crate) fn close_sending(&mut self) {
        self.wire.close_sending();
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.socket()
    }
}

fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = &bytes[head..];
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
    if value("transfer-encoding:").is_some() {
        let last = find(body, b"0\r\n")?;
        let end = find(&body[last..], b"\r\n\r\n")?;
        return Some(head + last + end + 4);
    }
    let length = value("content-length:").map_or(0, |length| length.parse().expect("a length"));
    (body.len() >= length).then_some(head + length)
}

/// Where `needle` first stands in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

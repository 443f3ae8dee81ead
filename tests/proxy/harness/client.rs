//! A client that sends exactly the bytes it is given and reads answers more strictly than any real one.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::ClientConfig;
use serde_json::Value;

use super::{wait::PATIENCE, wire::Wire};

/// A connection to a proxy, or what stands inside TLS there.
pub(crate) struct Client {
    wire: Wire,
    buffer: Vec<u8>,
}

/// One answer, head and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the proxy accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { wire: Wire::Plain(stream), buffer: Vec::new() }
    }

    /// The inside of TLS with the server `name` at the other end of this tunnel.
    #[track_caller]
    pub(crate) fn secured(self, name: &str, config: Arc<ClientConfig>) -> Self {
        Self { wire: Wire::to_server(self.into_stream(), name, config), buffer: Vec::new() }
    }

    /// A tunnel to `authority`, or the refusal of one.
    #[track_caller]
    pub(crate) fn tunnel(address: SocketAddr, authority: &str) -> Result<Self, Reply> {
        let mut client = Self::connect(address);
        client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        let reply = client.reply_to("CONNECT");
        if reply.status == 200 { Ok(client) } else { Err(reply) }
    }

    /// Sends bytes; that the other side has hung up already is no error, since it may.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.wire.write_all(bytes.as_ref());
        self
    }

    /// Sends each byte in a segment of its own.
    pub(crate) fn send_slowly(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for byte in bytes.as_ref() {
            let _ = self.wire.write_all(&[*byte]);
        }
        self
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close_sending(&mut self) -> &mut Self {
        self.wire.close_sending();
        self
    }

    /// The answer to a request that is neither HEAD nor CONNECT.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// The answer to a request with this method.
    #[track_caller]
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        let head = self.head();
        let (status, headers) = parse_head(&head);
        let mut reply = Reply { status, headers, body: Vec::new() };
        let bodyless = method == "HEAD" || (100..200).contains(&status) || [204, 304].contains(&status);
        if bodyless || (method == "CONNECT" && (200..300).contains(&status)) {
            return reply;
        }
        reply.body = match (reply.header("transfer-encoding"), reply.header("content-length")) {
            (Some("chunked"), None) => self.chunked(),
            (None, Some(length)) => {
                let length = length.parse().expect("a length");
                self.exactly(length)
            }
            (None, None) => self.rest(),
            both => panic!("the end of the body is in doubt: {both:?}"),
        };
        reply
    }

    /// The bytes that come next, as many as are asked for.
    #[track_caller]
    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.all_of(length);
        bytes.unwrap_or_else(|| panic!("the connection ended after {} of {length} bytes", self.buffer.len()))
    }

    /// The same, or `None` where the connection ends before.
    #[track_caller]
    pub(crate) fn all_of(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }

    /// Everything that comes until the other side closes; a reset ends it too.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffer)
    }

    /// Fails unless the other side closes without another byte.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "instead of the end came {}", rest.escape_ascii());
    }

    /// Fails unless the other side closes, after one fatal TLS alert at most.
    #[track_caller]
    pub(crate) fn assert_closed_or_alert(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty() || super::hello::fatal_alert(&rest).is_some(), "instead of the end came {}", rest.escape_ascii());
    }

    /// Whether the other side ends the connection by a reset rather than in an orderly way.
    #[track_caller]
    pub(crate) fn is_reset(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.wire.read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return true,
                Err(error) => panic!("neither end nor reset: {error}"),
            }
        }
    }

    /// Breaks the connection off.
    pub(crate) fn reset(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        let _entered = runtime.enter();
        let stream = self.wire.into_socket();
        stream.set_nonblocking(true).expect("a mode");
        tokio::net::TcpStream::from_std(stream).and_then(|stream| stream.set_zero_linger()).expect("an option");
    }

    /// The bare connection; nothing may have been read ahead.
    #[track_caller]
    pub(crate) fn stream(&self) -> &TcpStream {
        self.wire.socket()
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "read ahead: {}", self.buffer.escape_ascii());
        self.wire.into_socket()
    }

    /// Sends while whatever comes is read, as long as the server listens; what came is read next.
    #[track_caller]
    pub(crate) fn flood(&mut self, bytes: &[u8]) {
        let came = self.wire.flood(bytes);
        self.buffer.extend(came);
    }

    #[track_caller]
    fn head(&mut self) -> String {
        loop {
            if let Some(end) = super::origin::find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head in UTF-8");
            }
            assert!(self.more(), "the connection ended inside a head: \"{}\"", self.buffer.escape_ascii());
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        loop {
            if let Some(end) = super::origin::find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.more(), "the connection ended inside a line");
        }
    }

    #[track_caller]
    fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.exactly(size));
            assert_eq!(self.line(), "", "after a chunk");
        }
    }

    /// Reads more; false at the end of the connection.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.wire.read(&mut buffer) {
            Ok(length) => {
                self.buffer.extend_from_slice(&buffer[..length]);
                length > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?} after \"{}\"", self.buffer.escape_ascii())
            }
            Err(_) => false,
        }
    }
}

/// The answer to one request on a connection of its own.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let request = request.as_ref();
    let method = request.split(|byte| *byte == b' ').next().map(String::from_utf8_lossy).unwrap_or_default();
    Client::connect(address).send(request).reply_to(&method)
}

/// The answer to `GET http://AUTHORITY/` with a fitting Host, on a connection of its own.
#[track_caller]
pub(crate) fn ask_for(address: SocketAddr, authority: &str) -> Reply {
    ask(address, get(authority))
}

/// `GET http://AUTHORITY/` with a fitting Host.
pub(crate) fn get(authority: &str) -> String {
    format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

impl Reply {
    /// The value of a header that may stand once only.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {:?}", self.headers);
        value.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `x-deny-reason`, or an empty word.
    #[track_caller]
    pub(crate) fn reason(&self) -> &str {
        self.header("x-deny-reason").unwrap_or_default()
    }

    /// Status and reason in one.
    #[track_caller]
    pub(crate) fn verdict(&self) -> (u16, &str) {
        (self.status, self.reason())
    }

    /// The first line of the body, which is JSON in every refusal.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        let line = text.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

#[track_caller]
fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.strip_suffix("\r\n\r\n").expect("a whole head").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").or(status_line.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
    let headers = lines.map(|line| {
        assert!(!line.contains(['\r', '\n']), "a bare line end: {line:?}");
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
        assert!(!name.is_empty() && !name.contains(|c: char| !c.is_ascii_graphic()), "not a header name: {name:?}");
        (name.to_owned(), value.trim().to_owned())
    });
    (status, headers.collect())
}

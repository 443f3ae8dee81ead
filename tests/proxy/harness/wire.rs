//! What bytes travel by: TCP, or TLS over it from either end.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Instant,
};

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName};

use super::wait::PATIENCE;

/// One end of a connection. A TLS handshake happens with the first byte that is sent or read.
pub(crate) enum Wire {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    #[track_caller]
    pub(crate) fn to_server(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(config, name).expect("a client");
        Self::Client(Box::new(StreamOwned::new(connection, stream)))
    }

    #[track_caller]
    pub(crate) fn to_client(stream: TcpStream, config: Arc<ServerConfig>) -> Self {
        let connection = ServerConnection::new(config).expect("a server");
        Self::Server(Box::new(StreamOwned::new(connection, stream)))
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => stream.sock,
            Self::Server(stream) => stream.sock,
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close_sending(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Client(stream) => stream.conn.send_close_notify(),
            Self::Server(stream) => stream.conn.send_close_notify(),
        }
        let _ = self.flush();
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Sends while whatever comes is read, as long as the server listens. Returns what came.
    #[track_caller]
    pub(crate) fn flood(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let Self::Client(stream) = self else { panic!("only a TLS client floods") };
        let StreamOwned { conn, sock } = &mut **stream;
        sock.set_nonblocking(true).expect("a mode");
        let (mut came, mut moved) = (Vec::new(), Instant::now());
        // A server that neither takes nor sends anything for a while is one that bounds what it holds.
        while moved.elapsed() < PATIENCE / 10 && (!bytes.is_empty() || conn.wants_write()) {
            if !conn.wants_write() {
                let taken = conn.writer().write(bytes).expect("a buffer");
                bytes = &bytes[taken..];
            }
            let sent = conn.write_tls(sock);
            let read = conn.read_tls(sock);
            let Ok(state) = conn.process_new_packets() else { break };
            let mut part = vec![0; state.plaintext_bytes_to_read()];
            if conn.reader().read_exact(&mut part).is_err() {
                break;
            }
            came.extend(part);
            let is_over = |result: &io::Result<usize>| result.as_ref().is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            if is_over(&sent) || is_over(&read) || matches!(read, Ok(0)) {
                break;
            }
            if sent.is_ok() || read.is_ok() {
                moved = Instant::now();
            }
        }
        sock.set_nonblocking(false).expect("a mode");
        came
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(stream) => stream.read(buffer),
                Self::Client(stream) => stream.read(buffer),
                Self::Server(stream) => stream.read(buffer),
            };
            // A signal breaks into a read that has a time limit; nothing has ended.
            if !read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                return read;
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Client(stream) => stream.write(bytes),
            Self::Server(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }
}

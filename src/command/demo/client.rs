//! The sandbox's side: what a client sends to its proxy, and what comes back, as text to show.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A client of one proxy, with the token of its session.
pub(super) struct Client {
    proxy: SocketAddr,
    token: String,
}

/// A request as it was sent and what it was answered.
pub(super) struct Exchange {
    pub(super) request: String,
    pub(super) reply: Reply,
}

/// An answer in text.
pub(super) struct Reply {
    /// Status line and fields, a line each.
    pub(super) head: String,
    pub(super) body: String,
}

impl Client {
    pub(super) fn new(proxy: SocketAddr, token: &str) -> Self {
        Self { proxy, token: token.to_owned() }
    }

    /// Asks for a tunnel; there is one where the answer is 200.
    pub(super) async fn connect(&self, target: &str) -> io::Result<(Exchange, Option<BufReader<TcpStream>>)> {
        let request = format!("CONNECT {target} HTTP/1.1\nHost: {target}\nProxy-Authorization: Bearer {}\n", self.token);
        let mut stream = BufReader::new(TcpStream::connect(self.proxy).await?);
        send(&mut stream, &request).await?;
        let head = read_head(&mut stream).await?;
        let reply = Reply { head, body: String::new() };
        if reply.status() == Some(200) {
            return Ok((Exchange { request, reply }, Some(stream)));
        }
        let reply = read_body(&mut stream, reply).await?;
        Ok((Exchange { request, reply }, None))
    }

    /// Asks for a page of the proxy itself.
    pub(super) async fn get(&self, path: &str) -> io::Result<Exchange> {
        let mut stream = BufReader::new(TcpStream::connect(self.proxy).await?);
        let Self { proxy, token } = self;
        let request = format!("GET {path} HTTP/1.1\nHost: {proxy}\nProxy-Authorization: Bearer {token}\nConnection: close\n");
        exchange(&mut stream, request).await
    }
}

/// Speaks TLS with `host` through a tunnel, trusting the test CA alone, and asks for its front page.
pub(super) async fn get_over_tls(tunnel: BufReader<TcpStream>, host: &str) -> io::Result<Exchange> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut stream = BufReader::new(TlsConnector::from(Arc::new(config)).connect(name, tunnel).await?);
    exchange(&mut stream, format!("GET / HTTP/1.1\nHost: {host}\nConnection: close\n")).await
}

impl Reply {
    pub(super) fn status(&self) -> Option<u16> {
        self.head.split(' ').nth(1)?.parse().ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

async fn exchange(stream: &mut (impl AsyncBufRead + AsyncWriteExt + Unpin), request: String) -> io::Result<Exchange> {
    send(stream, &request).await?;
    let head = read_head(stream).await?;
    let reply = read_body(stream, Reply { head, body: String::new() }).await?;
    Ok(Exchange { request, reply })
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), request: &str) -> io::Result<()> {
    stream.write_all(format!("{request}\n").replace('\n', "\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn read_head(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut head = String::new();
    let mut stream = stream.take(MAX_REPLY);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end() {
            "" => return Ok(head),
            line => head = head + line + "\n",
        }
    }
}

async fn read_body(stream: &mut (impl AsyncBufRead + Unpin), mut reply: Reply) -> io::Result<Reply> {
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.take(MAX_REPLY.min(length)).read_to_string(&mut reply.body).await?;
    Ok(reply)
}

/// Longest head, and longest body, that is read, in octets.
const MAX_REPLY: u64 = 64 * 1024;

const CA: &[u8] = include_bytes!("../../../certs/ca.pem");

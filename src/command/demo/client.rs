//! A client in the sandbox: what it sends, and what comes back, as text to show.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::{Deserialize, Serialize};

/// What is asked for: `https` where there is TLS, else `http`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// As a URL.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, path, .. } = self;
        write!(f, "{}://{}{path}", if *tls { "https" } else { "http" }, self.authority())
    }
}

/// A request as it was sent and what it was answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exchange {
    pub(super) request: String,
    pub(super) reply: Reply,
}

/// An answer in text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    /// Status line and fields, a line each.
    pub(super) head: String,
    pub(super) body: String,
}

impl Page {
    /// Asks for it, by a proxy or straight away. Of a proxy a tunnel is asked for first where there is TLS, and nothing else where there
    /// is no tunnel. Trusts the test CA alone.
    pub(super) fn get(&self, proxy: Option<SocketAddr>) -> io::Result<Vec<Exchange>> {
        let Self { tls, host, port, path } = self;
        let stream = match proxy {
            Some(proxy) => TcpStream::connect(proxy),
            None => TcpStream::connect((host.as_str(), *port)),
        };
        let stream = stream?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let authority = self.authority();
        let get = |target: &str| format!("GET {target} HTTP/1.1\nHost: {authority}\nConnection: close\n");
        let mut exchanges = Vec::new();
        match (tls, proxy) {
            (false, None) => return Ok(vec![exchange(&mut stream, get(path))?]),
            (false, Some(_)) => return Ok(vec![exchange(&mut stream, get(&self.to_string()))?]),
            (true, None) => {}
            (true, Some(_)) => {
                let connect = exchange(&mut stream, format!("CONNECT {host}:{port} HTTP/1.1\nHost: {host}:{port}\n"))?;
                let opened = connect.reply.status() == Some(200);
                exchanges.push(connect);
                if !opened {
                    return Ok(exchanges);
                }
            }
        }
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::new(trusting()?), name).map_err(io::Error::other)?;
        // The server waits for us to begin: nothing of it was read ahead.
        exchanges.push(exchange(&mut BufReader::new(StreamOwned::new(session, stream.into_inner())), get(path))?);
        Ok(exchanges)
    }

    /// Without the port that goes without saying.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if *port == if self.tls { 443 } else { 80 } { host.clone() } else { format!("{host}:{port}") }
    }
}

fn trusting() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
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

/// Sends a request without content, and reads what it is answered.
fn exchange<S: Read + Write>(stream: &mut BufReader<S>, request: String) -> io::Result<Exchange> {
    stream.get_mut().write_all(format!("{request}\n").replace('\n', "\r\n").as_bytes())?;
    stream.get_mut().flush()?;
    let mut reply = Reply { head: String::new(), body: String::new() };
    for line in stream.take(MAX_REPLY).lines() {
        match line?.trim_end() {
            "" => break,
            line => reply.head = reply.head + line + "\n",
        }
    }
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.take(MAX_REPLY.min(length)).read_to_string(&mut reply.body)?;
    Ok(Exchange { request, reply })
}

/// Longest head, and longest body, that is read, in octets.
const MAX_REPLY: u64 = 64 * 1024;

/// Longest wait for more of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

const CA: &[u8] = include_bytes!("../../../certs/ca.pem");

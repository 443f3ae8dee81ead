//! A web server somewhere on the internet, for lack of an internet: one page over TLS.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Serves on a free port of loopback for as long as the runtime lives.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(CERTIFICATE).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates.map_err(io::Error::other)?, key)
        .map_err(io::Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    });
    Ok(address)
}

/// Answers one request, whatever it asks for. Whoever gives up in between has only themselves to tell.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let mut lines = (&mut stream).take(MAX_HEAD).lines();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}", PAGE.len());
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

const PAGE: &str = "hello from the origin\n";

/// Longest request head that is read, in octets.
const MAX_HEAD: u64 = 16 * 1024;

const CERTIFICATE: &[u8] = include_bytes!("../../../certs/origin.pem");
const KEY: &[u8] = include_bytes!("../../../certs/origin.key");

//! A real TLS client, for the inside of a tunnel.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::{
    pki::{Pki, read},
    wire::Wire,
};

/// A TLS session over a tunnel.
pub(crate) struct Tls(Wire);

impl Tls {
    /// Begins a session with the server `name`; the handshake happens with the first byte sent or read.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream, name: &str, pki: &Pki) -> Self {
        Self(Wire::to_server(stream, name, trusting(&read(&pki.root()), &[])))
    }

    /// What a request is answered, read until the server closes.
    pub(crate) fn ask(&mut self, request: &str) -> Result<String, std::io::Error> {
        self.0.write_all(request.as_bytes())?;
        let mut answer = String::new();
        self.0.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The `ClientHello` that a real client sends for `name`, post-quantum shares and all.
#[track_caller]
pub(crate) fn real_hello(name: &str) -> Vec<u8> {
    let mut hello = Vec::new();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(trusting(b"", &[]), name).expect("a client");
    client.write_tls(&mut hello).expect("a ClientHello");
    hello
}

/// A client that trusts these roots and offers these protocols.
#[track_caller]
pub(crate) fn trusting(pem: &[u8], protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

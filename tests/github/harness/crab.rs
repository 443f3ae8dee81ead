//! Clients of GitHub's API in Rust: octocrab over a connection to a door.

use std::{error::Error, net::SocketAddr, sync::Arc};

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, service::middleware::base_uri::BaseUriLayer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// How a door is reached.
#[derive(Clone)]
pub(crate) struct Way {
    /// The base URL of the API there.
    pub(crate) base: Uri,
    pub(crate) address: SocketAddr,
    /// The request for a tunnel, where it is through a proxy.
    pub(crate) tunnel: Option<String>,
    /// What the proxy is shown with each request, where it forwards them without a tunnel.
    pub(crate) forwards: Option<String>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) token: String,
}

type Anything = Box<dyn Error + Send + Sync>;

/// A client by that way.
pub(crate) fn client(way: &Way) -> Octocrab {
    let (base, way) = (way.base.clone(), way.clone());
    let service = tower::service_fn(move |request: Request<OctoBody>| {
        let way = way.clone();
        async move { send(&way, request).await }
    });
    let builder = OctocrabBuilder::new_empty().with_service(service).with_layer(&BaseUriLayer::new(base));
    builder.with_auth(AuthState::None).build().unwrap_or_else(|never| match never {})
}

/// The answer to a request on a connection of its own. One to another place than the door is none that a sandbox could send.
async fn send(way: &Way, mut request: Request<OctoBody>) -> Result<Response<Incoming>, Anything> {
    let uri = request.uri().clone();
    if (uri.scheme(), uri.authority()) != (way.base.scheme(), way.base.authority()) {
        return Err(format!("{uri} is not at {}", way.base).into());
    }
    let host = way.base.host().unwrap_or_default().to_owned();
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(way.base.authority().map_or("", |authority| authority.as_str()))?);
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", way.token))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("octocrab"));
    if let Some(authorization) = &way.forwards {
        headers.insert(header::PROXY_AUTHORIZATION, HeaderValue::from_str(authorization)?);
        return exchange(TcpStream::connect(way.address).await?, request).await;
    }
    *request.uri_mut() = uri.path_and_query().map_or("/", |target| target.as_str()).parse()?;
    let mut stream = TcpStream::connect(way.address).await?;
    if let Some(tunnel) = &way.tunnel {
        stream.write_all(tunnel.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    match &way.tls {
        None => exchange(stream, request).await,
        Some(tls) => {
            let connector = tokio_rustls::TlsConnector::from(tls.clone());
            exchange(connector.connect(ServerName::try_from(host)?, stream).await?, request).await
        }
    }
}

async fn exchange<S>(stream: S, request: Request<OctoBody>) -> Result<Response<Incoming>, Anything>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

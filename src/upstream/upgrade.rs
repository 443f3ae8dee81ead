//! A WebSocket upstream (RFC 6455, section 4): asked for over a connection of its own, in HTTP/1.1.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header, request, response};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1, rt::Executor as _, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};

use super::{
    Dialled, Failure, Upstream,
    answer::ResponseBody,
    connection::{H1_MAX_FIELDS, SEND_BUFFER},
    exchange::{About, ExchangeTimeouts},
    lease::Hold,
    origin::{Origin, Turn},
    tasks::Tasks,
    tls::TlsClient,
    upload::{FirstFault, Progress},
};
use crate::{endpoint::Endpoint, policy::Cleared, reason::Reason, wire::websocket};

/// What an upstream answers that was asked for a WebSocket.
pub(crate) enum Upgrade {
    /// The head of its agreement, and the connection.
    Agreed(response::Parts, Switched),
    /// Something else, to be passed on.
    Declined(Response<ResponseBody>),
}

/// A connection upstream that is no longer HTTP.
pub(crate) type Switched = TokioIo<Upgraded>;

impl Upstream {
    /// Asks for a WebSocket over a connection that a permit admitted; with `tls` to whoever shows a certificate for the permit's host.
    /// Of the URI of `head` its path and query count. What the handshake needs beside the fields that are there is ours: Host,
    /// Connection, Upgrade, the version, and a key where there is none.
    ///
    /// # Errors
    /// [`Reason::TlsFailed`], [`Reason::UpstreamTimeout`]; [`Reason::UpstreamClosed`], also where the agreement does not fit;
    /// [`Reason::Internal`] for a request that cannot be written.
    pub(crate) async fn upgrade(
        &self,
        dialled: Dialled,
        cleared: Cleared,
        tls: Option<&TlsClient>,
        timeouts: ExchangeTimeouts,
        head: request::Parts,
    ) -> Result<Upgrade, Failure> {
        let (destination, address) = (dialled.permit().destination().clone(), dialled.reached.address);
        let endpoint = Endpoint { secure: tls.is_some(), destination, prefix: Box::default() };
        let about = About { endpoint: &endpoint, address, timeouts };
        let stream = dialled.open(cleared);
        let asking = Asking::new(&about, head)?;
        match tls {
            None => self.ask_to_upgrade(&about, stream, asking).await,
            Some(tls) => {
                let stream = self.secure(&about, &tls.without_h2(), stream).await?;
                self.ask_to_upgrade(&about, Box::new(stream), asking).await
            }
        }
    }

    async fn ask_to_upgrade<S>(&self, about: &About<'_>, stream: S, asking: Asking) -> Result<Upgrade, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limit = about.timeouts.first_byte;
        let tasks = Tasks::default();
        let started = Instant::now();
        let Asking { request, accept } = asking;
        let response = timeout(limit, send(stream, request, &tasks)).await;
        let response = response.map_err(|_| about.failure(Reason::UpstreamTimeout, &format!("sent nothing within {limit:?}")))?;
        let mut response = response.map_err(|error| about.blame(&error, &FirstFault::default()))?;
        self.metrics.first_byte(started.elapsed());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (hold, idle) = (Hold::Alone(tasks), about.timeouts.idle);
            return Ok(Upgrade::Declined(
                response.map(|body| ResponseBody::new(body, hold, idle, Progress::over(), FirstFault::default())),
            ));
        }
        let headers = response.headers();
        if !websocket::agrees(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes), &accept) {
            return Err(about.failure(Reason::UpstreamClosed, "switched to something else than the WebSocket that it was asked for"));
        }
        let switched = hyper::upgrade::on(&mut response).await.map_err(|error| about.blame(&error, &FirstFault::default()))?;
        Ok(Upgrade::Agreed(response.into_parts().0, TokioIo::new(switched)))
    }
}

/// A request for a WebSocket, and the `Sec-WebSocket-Accept` of whoever has read it.
struct Asking {
    request: Request<Empty<Bytes>>,
    accept: Box<[u8]>,
}

impl Asking {
    fn new(about: &About<'_>, mut head: request::Parts) -> Result<Self, Failure> {
        let unwritable = || about.failure(Reason::Internal, "was not asked, since the request cannot be written");
        let key = match head.headers.get(header::SEC_WEBSOCKET_KEY) {
            Some(key) => key.clone(),
            None => new_key().ok_or_else(unwritable)?,
        };
        let accept = accept_of(&key);
        let host = HeaderValue::try_from(about.endpoint.authority()).map_err(|_| unwritable())?;
        for (name, value) in [
            (header::HOST, host),
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(websocket::VERSION)),
            (header::SEC_WEBSOCKET_KEY, key),
        ] {
            head.headers.insert(name, value);
        }
        head.headers.remove(header::TE);
        head.uri = head.uri.into_parts().path_and_query.ok_or_else(unwritable)?.into();
        head.version = Version::HTTP_11;
        Ok(Self { request: Request::from_parts(head, Empty::new()), accept })
    }
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>, tasks: &Tasks) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    let builder = builder.max_headers(H1_MAX_FIELDS).max_buf_size(SEND_BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(Origin::new(stream, Turn::first(request.method())))).await?;
    tasks.group().execute(async { drop(connection.with_upgrades().await) });
    sender.send_request(request).await
}

/// A nonce of 16 octets.
fn new_key() -> Option<HeaderValue> {
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).ok()?;
    HeaderValue::try_from(BASE64_STANDARD.encode(nonce)).ok()
}

fn accept_of(key: &HeaderValue) -> Box<[u8]> {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    BASE64_STANDARD.encode(digest).into_bytes().into()
}

/// Of RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_is_that_of_the_rfc() {
        assert_eq!(&*accept_of(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert!(one.len() == 24 && one != other, "{one:?} {other:?}");
    }
}

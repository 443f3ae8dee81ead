//! One request upstream, and its answer, over a connection of their own.

use std::{error::Error as StdError, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::Scheme};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::Executor as _,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;

use super::{
    Dialled, Failure, Upstream,
    answer::ResponseBody,
    interleaved,
    origin::Origin,
    tasks::Tasks,
    tls::{self, TlsClient},
    upload::{self, BodyFault, Fault, FirstFault, LengthInDoubt, Progress},
};
use crate::{destination::Host, endpoint::Endpoint, policy::Cleared, reason::Reason, wire::http1::HeadError};

/// How long each wait of an exchange may take, beside resolving and connecting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeTimeouts {
    /// For the whole handshake.
    pub(crate) tls_handshake: Duration,
    /// From the end of the request's body to the head of the answer.
    pub(crate) first_byte: Duration,
    /// Without anything taken of the request's body, or anything sent of the answer's.
    pub(crate) idle: Duration,
}

impl Upstream {
    /// Sends one request to the operator's own endpoint, over HTTP/2 where TLS agrees on it, else over HTTP/1.1, and returns the
    /// answer with its body still to come. Of the request's URI its path and query count: they hold the endpoint's prefix
    /// already. The rest is as in [`exchange_over`](Self::exchange_over).
    ///
    /// The endpoint is the operator's word: its addresses are not judged, but this program's own listeners are never dialled.
    ///
    /// # Errors
    /// Those of [`exchange_over`](Self::exchange_over), [`Reason::DnsFailed`], [`Reason::ConnectFailed`] and
    /// [`Reason::LoopDetected`].
    pub(crate) async fn exchange<B>(
        &self,
        endpoint: &Endpoint,
        tls: &TlsClient,
        timeouts: ExchangeTimeouts,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (stream, address) = self.reach(endpoint).await?;
        let about = About { endpoint, address, timeouts };
        self.ask(&about, endpoint.secure.then_some(tls), stream, request).await
    }

    /// Sends one request over a connection that a permit admitted, and returns the answer with its body still to come. Without
    /// `tls`: plain HTTP/1.1. With it: to whoever shows a certificate for the permit's host, over HTTP/2 where TLS agrees on it,
    /// else over HTTP/1.1.
    ///
    /// Of the request's URI its path and query count. Host, `:authority` and scheme are the destination's, the framing is
    /// ours, HTTP/2 leaves out Connection, and a cookie in crumbs is joined where HTTP/1.1 wants it whole; every other header, and
    /// trailers both ways, pass as they are (in HTTP/1.1 those that `Trailer` names). An answer that comes early is returned at
    /// once, and the request's body goes on being sent until the answer's is dropped. A body that fails leaves an aborted request
    /// upstream, never a whole one. Whoever drops this or the answer's body closes the connection.
    ///
    /// # Errors
    /// [`Reason::TlsFailed`], [`Reason::UpstreamTimeout`], [`Reason::UpstreamClosed`]; where the request's own body failed, what a
    /// [`BodyFault`] says, else [`Reason::BadRequest`]; [`Reason::Internal`] for a request that cannot be written.
    pub(crate) async fn exchange_over<B>(
        &self,
        dialled: Dialled,
        cleared: Cleared,
        tls: Option<&TlsClient>,
        timeouts: ExchangeTimeouts,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (destination, address) = (dialled.permit().destination().clone(), dialled.address());
        let endpoint = Endpoint { secure: tls.is_some(), destination, prefix: Box::default() };
        let about = About { endpoint: &endpoint, address, timeouts };
        self.ask(&about, tls, dialled.open(cleared), request).await
    }

    async fn ask<B>(
        &self,
        about: &About<'_>,
        tls: Option<&TlsClient>,
        stream: TcpStream,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let timeouts = about.timeouts;
        let connection = match tls {
            None => Connection::H1(stream),
            Some(tls) => {
                let stream = Box::new(self.secure(about, tls, stream).await?);
                if tls::speaks_h2(&stream) { Connection::H2(stream) } else { Connection::H1OverTls(stream) }
            }
        };
        let fault = FirstFault::default();
        let request = about.addressed(request, &connection)?;
        let (request, progress) = upload::watched(request, &fault)
            .map_err(|_: LengthInDoubt| about.failure(Reason::Internal, "was not asked, since the request's length is in doubt"))?;
        let tasks = Tasks::default();
        break_off_if_stalled(progress.clone(), timeouts.idle, &tasks, &fault);
        let late = async { sleep_until(progress.clone().ended().await + timeouts.first_byte).await };
        let response = tokio::select! {
            biased;
            response = connection.send(request, &tasks) => response.map_err(|error| about.blame(&error, &fault))?,
            () = late => return Err(about.failure(
                Reason::UpstreamTimeout,
                &format!("sent nothing within {:?} of the end of the request", timeouts.first_byte),
            )),
        };
        self.metrics.first_byte(progress.since_end());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(about.failure(Reason::UpstreamClosed, "switched protocols without being asked to"));
        }
        Ok(response.map(|body| ResponseBody::new(body, timeouts.idle, progress, fault, tasks)))
    }

    async fn reach(&self, endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), Failure> {
        let unreached = |failure: Failure| Failure { detail: format!("{endpoint} cannot be reached. {}", failure.detail), ..failure };
        let addresses = match &endpoint.destination.host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => self.look_up(name).await.map_err(unreached)?,
        };
        let (own, port) = (self.own.load(), endpoint.destination.port);
        let others = addresses.iter().filter(|address| !own.listens_on(**address, port));
        let others: Vec<_> = others.map(|address| SocketAddr::new(*address, port)).collect();
        if others.is_empty() {
            let address = addresses.first().map(|address| SocketAddr::new(*address, port));
            return Err(Failure { reason: Reason::LoopDetected, detail: format!("{endpoint} is this proxy itself."), address });
        }
        self.connect(&interleaved(&others)).await.map_err(unreached)
    }

    pub(super) async fn secure(&self, about: &About<'_>, tls: &TlsClient, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let limit = about.timeouts.tls_handshake;
        let started = Instant::now();
        let shaken = timeout(limit, tls.connect(&about.endpoint.destination.host, stream)).await;
        self.metrics.tls_upstream(started.elapsed());
        match shaken {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(trouble)) => Err(about.failure(Reason::TlsFailed, &trouble.to_string())),
            Err(_) => Err(about.failure(Reason::UpstreamTimeout, &format!("did not finish the TLS handshake within {limit:?}"))),
        }
    }
}

/// Whom an exchange is with.
pub(super) struct About<'e> {
    pub(super) endpoint: &'e Endpoint,
    pub(super) address: SocketAddr,
    pub(super) timeouts: ExchangeTimeouts,
}

impl About<'_> {
    /// A failure that says what the endpoint did.
    pub(super) fn failure(&self, reason: Reason, did: &str) -> Failure {
        Failure { reason, detail: format!("{} {did}.", self.endpoint), address: Some(self.address) }
    }

    /// The request as HTTP/1.1 or HTTP/2 says whom it is for.
    fn addressed<B>(&self, request: Request<B>, connection: &Connection) -> Result<Request<B>, Failure> {
        let unwritable = || self.failure(Reason::Internal, "was not asked, since the request cannot be written");
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query.ok_or_else(unwritable)?;
        let authority = self.endpoint.authority();
        parts.headers.remove(header::HOST);
        if let Connection::H2(_) = connection {
            parts.headers.remove(header::CONNECTION);
            let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority).path_and_query(path);
            parts.uri = uri.build().map_err(|_| unwritable())?;
            parts.version = Version::HTTP_2;
        } else {
            let host = HeaderValue::try_from(authority).map_err(|_| unwritable())?;
            parts.headers.insert(header::HOST, host);
            join_cookie(&mut parts.headers);
            parts.uri = path.into();
            parts.version = Version::HTTP_11;
        }
        Ok(Request::from_parts(parts, body))
    }

    /// Whose fault it is that no answer came. Nothing that the upstream sent is repeated: it may echo what it was sent.
    pub(super) fn blame(&self, error: &hyper::Error, fault: &FirstFault) -> Failure {
        match fault.get() {
            Some(Fault::Told(BodyFault { reason, detail })) => {
                Failure { reason: *reason, detail: detail.clone(), address: Some(self.address) }
            }
            Some(Fault::Source(words)) => {
                self.failure(Reason::BadRequest, &format!("was sent only a part of the request, whose body broke off: {words}"))
            }
            Some(Fault::Length) => {
                self.failure(Reason::BadRequest, "was sent only a part of the request, whose body is not as long as announced")
            }
            Some(Fault::Stalled) => {
                self.failure(Reason::UpstreamTimeout, &format!("took nothing of the request for {:?}", self.timeouts.idle))
            }
            Some(Fault::Withdrawn) | None => {
                self.failure(Reason::UpstreamClosed, &format!("gave no answer that can be passed on: {}", in_words(error)))
            }
        }
    }
}

/// HTTP/2 may split a cookie, HTTP/1.1 wants it whole (RFC 9113, section 8.2.3).
fn join_cookie(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Ends an exchange whose request the upstream does not take, whether or not the answer has begun.
fn break_off_if_stalled(progress: Progress, idle: Duration, tasks: &Tasks, fault: &FirstFault) {
    let (group, fault) = (tasks.group(), Arc::clone(fault));
    tasks.group().execute(async move {
        if progress.stalls(idle).await {
            let _ = fault.set(Fault::Stalled);
            group.end();
        }
    });
}

fn in_words(error: &hyper::Error) -> String {
    let Some(cause) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else { return error.to_string() };
    match cause.get_ref().and_then(|inner| inner.downcast_ref::<HeadError>()) {
        Some(HeadError::TooLarge | HeadError::TooManyFields) => "the head of its answer is too large".to_owned(),
        Some(_) => "the framing of its answer is in doubt".to_owned(),
        None => format!("{error}: {cause}"),
    }
}

enum Connection {
    H1(TcpStream),
    H1OverTls(Box<TlsStream<TcpStream>>),
    H2(Box<TlsStream<TcpStream>>),
}

impl Connection {
    async fn send<B>(self, request: Request<B>, tasks: &Tasks) -> hyper::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        match self {
            Self::H1(stream) => send_over_h1(stream, request, tasks).await,
            Self::H1OverTls(stream) => send_over_h1(stream, request, tasks).await,
            Self::H2(stream) => {
                let (mut sender, connection) = http2::Builder::new(tasks.group())
                    .initial_stream_window_size(H2_WINDOW)
                    .initial_connection_window_size(H2_WINDOW)
                    .max_header_list_size(H2_MAX_HEAD)
                    .max_send_buf_size(SEND_BUFFER)
                    .handshake(TokioIo::new(stream))
                    .await?;
                tasks.group().execute(async { drop(connection.await) });
                sender.send_request(request).await
            }
        }
    }
}

async fn send_over_h1<S, B>(stream: S, request: Request<B>, tasks: &Tasks) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (mut sender, connection) =
        http1::Builder::new().max_headers(H1_MAX_FIELDS).max_buf_size(SEND_BUFFER).handshake(TokioIo::new(Origin::new(stream))).await?;
    tasks.group().execute(async { drop(connection.await) });
    sender.send_request(request).await
}

/// Header lines of an answer in HTTP/1.1.
pub(super) const H1_MAX_FIELDS: usize = 256;
/// Octets of an answer's head in HTTP/2, as it counts them (RFC 9113, section 6.5.2).
const H2_MAX_HEAD: u32 = 64 * 1024;
/// Octets of an answer that may be under way before they are asked for.
const H2_WINDOW: u32 = 256 * 1024;
/// Octets of a request that may wait to be taken; in HTTP/1.1 also the most of an answer's head.
pub(super) const SEND_BUFFER: usize = 128 * 1024;

#[cfg(test)]
mod tests;

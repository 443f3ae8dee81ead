//! One request upstream, and its answer: over a connection of its own, or one of the session's own that has carried others.

use std::{error::Error as StdError, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts, uri::Scheme};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;

use super::{
    Failure, Reached, Upstream,
    answer::ResponseBody,
    connected::{Connected, is_repeatable},
    connection::{Shared, Sole},
    lease::{Hold, Lease, Unsent},
    pool::Home,
    tls::{self, TlsClient},
    upload::{self, BodyFault, Fault, FirstFault, LengthInDoubt, Outgoing, Progress, Upload},
};
use crate::{endpoint::Endpoint, policy::Cleared, reason::Reason, wire::http1::HeadError};

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
        let reached = self.reach(endpoint).await?;
        let about = About { endpoint, address: reached.address, timeouts };
        let (_, sending) = Sending::new(&about, request)?;
        let lease = Box::pin(self.open(&about, endpoint.secure.then_some(tls), reached, None, sending.request.method().clone())).await?;
        self.ask(&about, lease, sending).await.map_err(|trouble| trouble.failure)
    }

    /// Sends one request over a connection that a permit admitted, and returns the answer with its body still to come. Without
    /// `tls`: plain HTTP/1.1. With it: to whoever shows a certificate for the permit's host, over HTTP/2 where TLS agrees on it,
    /// else over HTTP/1.1.
    ///
    /// Of the request's URI its path and query count. Host, `:authority` and scheme are the destination's, the framing is
    /// ours, HTTP/2 leaves out Connection, HTTP/1.1 ends the connection with a request that has a body, and a cookie in crumbs is joined where HTTP/1.1 wants it whole; every other header, and
    /// trailers both ways, pass as they are (in HTTP/1.1 those that `Trailer` names). An answer that comes early is returned at
    /// once, and the request's body goes on being sent until the answer's is dropped. A body that fails leaves an aborted request
    /// upstream, never a whole one. Whoever drops this or the answer's body before its end closes the connection, or resets its
    /// stream where others share it.
    ///
    /// A request that a reused connection did not take is sent once more, over a new connection to the same address: where
    /// nothing of it was sent; and where nothing was answered, if it has no body and may be repeated (RFC 9110, section 9.2.2).
    ///
    /// # Errors
    /// [`Reason::TlsFailed`], [`Reason::UpstreamTimeout`], [`Reason::UpstreamClosed`]; where the request's own body failed, what a
    /// [`BodyFault`] says, else [`Reason::BadRequest`]; [`Reason::Internal`] for a request that cannot be written.
    pub(crate) async fn exchange_over<B>(
        &self,
        route: Connected,
        cleared: Cleared,
        tls: Option<&TlsClient>,
        timeouts: ExchangeTimeouts,
        mut request: Request<B>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        if !request.body().is_end_stream() {
            // Some servers answer without reading the body, and would read it as the next request, which nobody has judged.
            request.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let endpoint = Endpoint { secure: tls.is_some(), destination: route.permit().destination().clone(), prefix: Box::default() };
        let about = About { endpoint: &endpoint, address: route.socket_address(), timeouts };
        let (spare, mut sending) = Sending::new(&about, request)?;
        let (dialled, home) = match route {
            Connected::Dialled(dialled, home) => (dialled, home),
            Connected::Reused(reused) => {
                let (lease, admitted) = reused.open(&cleared);
                let trouble = match self.ask(&about, lease, sending).await {
                    Ok(response) => return Ok(response),
                    Err(trouble) => trouble,
                };
                sending = match (trouble.unsent, spare.filter(|_| trouble.unanswered)) {
                    (Some(unsent), _) => *unsent,
                    (None, Some(spare)) => Sending::again(&about, spare)?,
                    (None, None) => return Err(trouble.failure),
                };
                (if tls.is_none() { self.dial_plain(admitted).await? } else { self.dial(admitted).await? }, None)
            }
        };
        let lease = Box::pin(self.open(&about, tls, dialled.reach(cleared), home, sending.request.method().clone())).await?;
        self.ask(&about, lease, sending).await.map_err(|trouble| trouble.failure)
    }

    /// Makes a connection that speaks HTTP of one that speaks nothing yet, for just this request first.
    async fn open(
        &self,
        about: &About<'_>,
        tls: Option<&TlsClient>,
        reached: Reached,
        mut home: Option<Home>,
        method: Method,
    ) -> Result<Lease, Failure> {
        let Reached { stream, address, parent } = reached;
        let opened = match tls {
            None => Sole::open(stream, address, parent, &method).await,
            Some(tls) => {
                let stream = self.secure(about, tls, stream).await?;
                if tls::speaks_h2(&stream) {
                    let shared = Shared::open(stream, address).await.map_err(|error| about.blame(&error, &FirstFault::default()))?;
                    shared.begin();
                    if let Some(home) = &mut home {
                        home.share(&shared);
                    }
                    return Ok(Lease::stream(shared, home));
                }
                if let Some(home) = &mut home {
                    home.keep();
                }
                Sole::open(stream, address, None, &method).await
            }
        };
        let sole = opened.map_err(|error| about.blame(&error, &FirstFault::default()))?;
        Ok(Lease::Sole(Box::new(sole), home))
    }

    async fn ask(&self, about: &About<'_>, mut lease: Lease, sending: Sending) -> Result<Response<ResponseBody>, Trouble> {
        let timeouts = about.timeouts;
        let Sending { request, progress, fault } = sending;
        if !request.body().is_end_stream() {
            lease.carry_no_other();
        }
        let request = about.addressed(request, &lease)?;
        let late = async { sleep_until(progress.clone().ended().await + timeouts.first_byte).await };
        let stalls = async {
            if !progress.clone().stalls(timeouts.idle).await {
                std::future::pending::<()>().await;
            }
        };
        let sent = tokio::select! {
            biased;
            sent = lease.send(request, &progress, &fault) => sent,
            () = late => return Err(about.failure(
                Reason::UpstreamTimeout,
                &format!("sent nothing within {:?} of the end of the request", timeouts.first_byte),
            ).into()),
            () = stalls => {
                fault.set(Fault::Stalled);
                return Err(about.stalled().into());
            }
        };
        let response = sent.map_err(|error| match error {
            Unsent::Failed(error) => {
                Trouble { failure: about.blame(&error, &fault), unsent: None, unanswered: fault.get().is_none() && lease.is_unanswered() }
            }
            Unsent::Unsent(request) => {
                let failure = about.failure(Reason::UpstreamClosed, "closed the connection before the request was sent");
                let unsent = Sending { request: *request, progress: progress.clone(), fault: fault.clone() };
                Trouble { failure, unsent: Some(Box::new(unsent)), unanswered: true }
            }
        })?;
        self.metrics.first_byte(progress.since_end());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(about.failure(Reason::UpstreamClosed, "switched protocols without being asked to").into());
        }
        if let Some(parent) = lease.parent().filter(|_| response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            return Err(parent.wants_credentials().into());
        }
        Ok(response.map(|body| ResponseBody::new(body, Hold::Lease(lease), timeouts.idle, progress, fault)))
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

/// A request on its way, its body under watch.
struct Sending {
    request: Request<Upload>,
    progress: Progress,
    fault: FirstFault,
}

impl Sending {
    /// Beside it the head of a request that may be sent twice.
    fn new<B>(about: &About<'_>, request: Request<B>) -> Result<(Option<Parts>, Self), Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let repeatable = is_repeatable(&request);
        let (parts, body) = request.into_parts();
        let spare = repeatable.then(|| parts.clone());
        let body = body.map_err(Into::into).boxed_unsync();
        Ok((spare, Self::watching(about, Request::from_parts(parts, body))?))
    }

    fn again(about: &About<'_>, head: Parts) -> Result<Self, Failure> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Self::watching(about, Request::from_parts(head, nothing))
    }

    fn watching(about: &About<'_>, request: Request<Outgoing>) -> Result<Self, Failure> {
        let fault = FirstFault::default();
        let (request, progress) = upload::watched(request, &fault)
            .map_err(|_: LengthInDoubt| about.failure(Reason::Internal, "was not asked, since the request's length is in doubt"))?;
        Ok(Self { request, progress, fault })
    }
}

/// Why an exchange brought no answer, and what of it may be sent again.
struct Trouble {
    failure: Failure,
    /// Nothing of it was sent.
    unsent: Option<Box<Sending>>,
    /// Nothing of an answer came.
    unanswered: bool,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { failure, unsent: None, unanswered: false }
    }
}

/// Whom an exchange is with.
pub(super) struct About<'e> {
    pub(super) endpoint: &'e Endpoint,
    /// None where a parent proxy has resolved its name.
    pub(super) address: Option<SocketAddr>,
    pub(super) timeouts: ExchangeTimeouts,
}

impl About<'_> {
    /// A failure that says what the endpoint did.
    pub(super) fn failure(&self, reason: Reason, did: &str) -> Failure {
        Failure { reason, detail: format!("{} {did}.", self.endpoint), address: self.address }
    }

    fn stalled(&self) -> Failure {
        self.failure(Reason::UpstreamTimeout, &format!("took nothing of the request for {:?}", self.timeouts.idle))
    }

    /// The request as HTTP/1.1, a parent proxy or HTTP/2 is told whom it is for (RFC 9112, section 3.2).
    fn addressed(&self, request: Request<Upload>, lease: &Lease) -> Result<Request<Upload>, Failure> {
        let unwritable = || self.failure(Reason::Internal, "was not asked, since the request cannot be written");
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query.ok_or_else(unwritable)?;
        let authority = self.endpoint.authority();
        parts.headers.remove(header::HOST);
        parts.headers.remove(header::PROXY_AUTHORIZATION);
        if lease.speaks_h2() {
            parts.headers.remove(header::CONNECTION);
            parts.headers.remove(header::TRANSFER_ENCODING);
            let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority).path_and_query(path);
            parts.uri = uri.build().map_err(|_| unwritable())?;
            parts.version = Version::HTTP_2;
        } else {
            let host = HeaderValue::try_from(&authority).map_err(|_| unwritable())?;
            parts.headers.insert(header::HOST, host);
            join_cookie(&mut parts.headers);
            if body.is_of_unknown_length() {
                parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            parts.uri = match lease.parent() {
                None => path.into(),
                Some(parent) => {
                    parent.authorize(&mut parts.headers);
                    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path);
                    uri.build().map_err(|_| unwritable())?
                }
            };
            parts.version = Version::HTTP_11;
        }
        Ok(Request::from_parts(parts, body))
    }

    /// Whose fault it is that no answer came. Nothing that the upstream sent is repeated: it may echo what it was sent.
    pub(super) fn blame(&self, error: &hyper::Error, fault: &FirstFault) -> Failure {
        match fault.get() {
            Some(Fault::Told(BodyFault { reason, detail })) => Failure { reason: *reason, detail: detail.clone(), address: self.address },
            Some(Fault::Source(words)) => {
                self.failure(Reason::BadRequest, &format!("was sent only a part of the request, whose body broke off: {words}"))
            }
            Some(Fault::Length) => {
                self.failure(Reason::BadRequest, "was sent only a part of the request, whose body is not as long as announced")
            }
            Some(Fault::Stalled) => self.stalled(),
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

fn in_words(error: &hyper::Error) -> String {
    let Some(cause) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else { return error.to_string() };
    match cause.get_ref().and_then(|inner| inner.downcast_ref::<HeadError>()) {
        Some(HeadError::TooLarge | HeadError::TooManyFields) => "the head of its answer is too large".to_owned(),
        Some(_) => "the framing of its answer is in doubt".to_owned(),
        None => format!("{error}: {cause}"),
    }
}

#[cfg(test)]
pub(super) mod tests;

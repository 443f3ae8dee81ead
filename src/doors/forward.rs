//! HTTP: absolute-form requests to the listener, and requests inside a tunnel that is read, plain or in TLS.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Request, Version, header};
use http_body_util::Either;
use hyper::{body::Incoming, ext::Protocol};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{presented, serving};
use crate::{
    destination::Destination,
    downstream::{Downstream, Next},
    metrics::Kind,
    passage::{Answered, Asked, Body, Errand, Subject, Traffic, Visitor, forward, is_pages, open, reader_of, speaks_to_the_origin},
    policy::Way,
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
    wire::{
        http2::{self, Asks},
        opening::Opening,
        target::{self, RequestTarget},
        websocket,
    },
};

/// Where a request stands.
pub(crate) enum Inside {
    /// On the proxy listener itself.
    Listener,
    /// In a tunnel: for this destination and nothing else, on behalf of whoever opened it.
    Tunnel(Box<Tunnel>),
}

/// A tunnel whose requests are read.
pub(crate) struct Tunnel {
    subject: Subject,
    destination: Destination,
    /// What CONNECT has dialled, for the first request.
    dialled: Mutex<Option<Dialled>>,
    /// Of all its requests.
    traffic: Arc<Traffic>,
    /// Whether its requests stand inside TLS, and leave so.
    secure: bool,
}

impl Inside {
    /// A tunnel that carries plain requests.
    pub(crate) fn tunnel(subject: Subject, destination: Destination, dialled: Option<Dialled>, traffic: Arc<Traffic>) -> Self {
        Self::Tunnel(Box::new(Tunnel { subject, destination, dialled: Mutex::new(dialled), traffic, secure: false }))
    }

    /// A tunnel whose TLS ends here, and for which nothing is dialled before a request may pass.
    pub(crate) fn undialled(subject: Subject, destination: Destination, traffic: Arc<Traffic>) -> Self {
        Self::Tunnel(Box::new(Tunnel { subject, destination, dialled: Mutex::new(None), traffic, secure: true }))
    }

    /// A tunnel whose TLS ends here.
    pub(crate) fn intercepted(subject: Subject, dialled: Dialled, traffic: Arc<Traffic>) -> Self {
        let destination = dialled.permit().destination().clone();
        Self::Tunnel(Box::new(Tunnel { subject, destination, dialled: Mutex::new(Some(dialled)), traffic, secure: true }))
    }

    fn is_secure(&self) -> bool {
        matches!(self, Self::Tunnel(tunnel) if tunnel.secure)
    }

    /// The one destination of a tunnel.
    fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Listener => None,
            Self::Tunnel(tunnel) => Some(&tunnel.destination),
        }
    }
}

/// Serves the requests of a connection. Gives it back when something else comes next.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    visitor: &Arc<Visitor>,
    downstream: Downstream<S>,
    inside: Inside,
    draining: &watch::Receiver<bool>,
) -> Option<Downstream<S>> {
    serving::serve(downstream, draining, |request| answer(visitor, &inside, request)).await
}

/// Answers what is no request in a tunnel whose requests are read.
pub(super) async fn refuse_inside<S: AsyncRead + AsyncWrite + Unpin>(
    visitor: &Visitor,
    subject: &Subject,
    asked: &Asked,
    mut downstream: Downstream<S>,
) {
    let refusal = match downstream.next().await {
        Ok(Next::Refused(failure)) => failure.into(),
        Ok(Next::Connect(_)) => Refusal::new(Reason::MethodRefused, "A tunnel cannot be opened inside a tunnel."),
        Ok(Next::Message | Next::Closed) | Err(_) => return,
    };
    // Whoever knows of no proxy may speak another language at a port for HTTP.
    let other = downstream.opening_so_far().filter(|opening| matches!(opening, Opening::Tls | Opening::Ssh));
    let answer = match other.filter(|_| speaks_to_the_origin(visitor.door)) {
        Some(opening) => visitor.gate.refuse_opening(Some(subject), asked, refusal, Some(opening)).unwrap_or_default(),
        None => visitor.gate.refuse(Some(subject), asked, refusal).to_octets(),
    };
    let _ = downstream.send(&answer).await;
    downstream.close().await;
}

/// Answers one request, whatever version of HTTP brought it.
pub(super) async fn answer(visitor: &Visitor, inside: &Inside, request: Request<Incoming>) -> Answered<Body> {
    let mut asked = Asked::new(visitor.door, Kind::Http);
    asked.method = Some(request.method().as_str().into());
    asked.reader = reader_of(request.headers().get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes));
    let mut subject = None;
    match exchange(visitor, inside, request, &mut asked, &mut subject).await {
        Ok(answered) => answered,
        Err(refusal) => visitor.gate.refuse(subject.as_ref(), &asked, refusal).into_response().map(Either::Left).into(),
    }
}

async fn exchange(
    visitor: &Visitor,
    inside: &Inside,
    request: Request<Incoming>,
    asked: &mut Asked,
    subject: &mut Option<Subject>,
) -> Result<Answered<Body>, Refusal> {
    if let Inside::Tunnel(tunnel) = inside {
        // Known whatever the request is like, so that what is refused has somebody to whom.
        *subject = Some(tunnel.subject.clone());
        asked.destination = Some(tunnel.destination.clone());
    }
    let (asks, request) = settle(request)?;
    asked.method = Some(request.method().as_str().into());
    asked.look_at(request.method().as_str(), request.uri(), request.headers());
    let wanted = read(inside.destination(), inside.is_secure(), &request)?;
    asked.path = Some(wanted.origin_form.split('?').next().unwrap_or_default().into());
    asked.destination.clone_from(&wanted.destination);
    let subject = subject.insert(match inside {
        Inside::Tunnel(tunnel) => visitor.gate.again(&tunnel.subject)?,
        Inside::Listener => {
            let values = request.headers().get_all(header::PROXY_AUTHORIZATION);
            visitor.identify(|| presented(values.iter().map(HeaderValue::as_bytes))).await.map_err(|refusal| asked.explain(refusal))?
        }
    });
    let Some(destination) = wanted.destination.filter(|destination| !is_pages(destination)) else {
        if asked.github_token.is_some() {
            visitor.gate.record_leave(subject, asked)?;
        }
        return Ok(serving::page(visitor, subject, request, &wanted.origin_form).await?.map(Either::Left).into());
    };
    let (way, dialled, traffic) = match inside {
        Inside::Listener => (Way::Http, None, Arc::new(visitor.gate.traffic(subject))),
        Inside::Tunnel(tunnel) => {
            let dialled = tunnel.dialled.lock().unwrap_or_else(PoisonError::into_inner).take();
            (Way::Connect, dialled, Arc::clone(&tunnel.traffic))
        }
    };
    let errand = Errand { destination, origin_form: wanted.origin_form, way, dialled, secure: inside.is_secure(), traffic };
    match asks {
        Asks::Request => Ok(forward(&visitor.gate, subject, asked, errand, request).await?.into()),
        // What follows a refused one is no request.
        Asks::WebSocket => {
            open(&visitor.gate, subject, asked, errand, request).await.map_err(|refusal| Refusal { closes: true, ..refusal })
        }
    }
}

/// What a request asks for, and a request of HTTP/2 as the same in HTTP/1.1.
pub(super) fn settle(request: Request<Incoming>) -> Result<(Asks, Request<Incoming>), Refusal> {
    let (mut parts, body) = request.into_parts();
    let asks = if parts.version == Version::HTTP_2 {
        let protocol = parts.extensions.get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        http2::settle(&mut parts, protocol.as_deref())
            .map_err(|error| Refusal::new(error.reason(), format!("The head of the request was refused: {error}.")))?
    } else if parts.version == Version::HTTP_11
        && websocket::asks(parts.method.as_str(), |name| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes))
    {
        Asks::WebSocket
    } else {
        Asks::Request
    };
    Ok((asks, Request::from_parts(parts, body)))
}

/// Path and query of a request inside the TLS of a tunnel, which may name no other destination.
pub(super) fn read_inside(destination: &Destination, request: &Request<Incoming>) -> Result<Box<str>, Refusal> {
    Ok(read(Some(destination), true, request)?.origin_form)
}

/// The same of a plain request to a proxy.
pub(super) fn read_plain(destination: &Destination, request: &Request<Incoming>) -> Result<Box<str>, Refusal> {
    Ok(read(Some(destination), false, request)?.origin_form)
}

/// What a request names.
struct Wanted {
    /// None: this proxy itself.
    destination: Option<Destination>,
    origin_form: Box<str>,
}

/// What a request names: on the listener, or in a tunnel to one destination.
fn read(inside: Option<&Destination>, is_secure: bool, request: &Request<Incoming>) -> Result<Wanted, Refusal> {
    let bad = |detail: String| Refusal::new(Reason::BadRequest, detail);
    let parse = if is_secure { target::parse_inside_tls } else { target::parse };
    let target = parse(request.method().as_str(), request.uri().to_string().as_bytes())
        .map_err(|error| bad(format!("The request-target was refused: {error}.")))?;
    match (target, inside) {
        (RequestTarget::Absolute { destination, origin_form }, None) => Ok(Wanted { destination: Some(destination), origin_form }),
        (RequestTarget::Origin(origin_form), None) => Ok(Wanted { destination: None, origin_form }),
        (RequestTarget::Asterisk, None) => Err(bad("A request to a proxy names its target in absolute-form.".to_owned())),
        (RequestTarget::Origin(origin_form), Some(destination)) => Ok(Wanted { destination: Some(destination.clone()), origin_form }),
        (RequestTarget::Asterisk, Some(destination)) => Ok(Wanted { destination: Some(destination.clone()), origin_form: "*".into() }),
        (RequestTarget::Absolute { destination: named, origin_form }, Some(destination)) => {
            if named != *destination {
                return Err(Refusal::new(Reason::Misdirected, format!("A request for {named} stands in a tunnel to {destination}.")));
            }
            Ok(Wanted { destination: Some(named), origin_form })
        }
        (RequestTarget::Authority(_), _) => Err(Refusal::new(Reason::MethodRefused, "A tunnel cannot be opened inside another request.")),
    }
}

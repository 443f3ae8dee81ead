//! Plain HTTP/1: absolute-form requests to the listener, and requests inside a tunnel to a port that wants HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, header};
use http_body_util::Either;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{presented, serving};
use crate::{
    destination::Destination,
    downstream::Downstream,
    metrics::Kind,
    passage::{Asked, Body, Ending, Errand, Subject, Traffic, Visitor, forward, is_pages, reader_of},
    policy::Way,
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
    wire::target::{self, RequestTarget},
};

/// Where a request stands.
pub(crate) enum Inside {
    /// On the proxy listener itself.
    Listener,
    /// In a tunnel: for this destination and nothing else, on behalf of whoever opened it.
    Tunnel(Box<Tunnel>),
}

/// A tunnel that carries plain requests.
pub(crate) struct Tunnel {
    subject: Subject,
    destination: Destination,
    /// What CONNECT has dialled, for the first request.
    dialled: Mutex<Option<Dialled>>,
    /// Of the tunnel as a whole; none where it leads to this proxy's own pages.
    ending: Option<Ending>,
}

impl Inside {
    pub(crate) fn tunnel(subject: Subject, destination: Destination, dialled: Option<Dialled>, ending: Option<Ending>) -> Self {
        Self::Tunnel(Box::new(Tunnel { subject, destination, dialled: Mutex::new(dialled), ending }))
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
pub(crate) async fn serve(
    visitor: &Arc<Visitor>,
    downstream: Downstream,
    inside: Inside,
    draining: &watch::Receiver<bool>,
) -> Option<Downstream> {
    serving::serve(downstream, draining, |request| answer(visitor, &inside, request)).await
}

async fn answer(visitor: &Visitor, inside: &Inside, request: Request<Incoming>) -> Response<Body> {
    let mut asked = Asked::new(visitor.door, Kind::Http);
    asked.method = Some(request.method().as_str().into());
    asked.reader = reader_of(request.headers().get_all(header::ACCEPT).iter().map(header::HeaderValue::as_bytes));
    let mut subject = None;
    match exchange(visitor, inside, request, &mut asked, &mut subject).await {
        Ok(response) => response,
        Err(refusal) => visitor.gate.refuse(subject.as_ref(), &asked, refusal).into_response().map(Either::Left),
    }
}

async fn exchange(
    visitor: &Visitor,
    inside: &Inside,
    request: Request<Incoming>,
    asked: &mut Asked,
    subject: &mut Option<Subject>,
) -> Result<Response<Body>, Refusal> {
    let wanted = read(inside, &request)?;
    asked.path = Some(wanted.origin_form.split('?').next().unwrap_or_default().into());
    asked.destination.clone_from(&wanted.destination);
    let subject = subject.insert(match inside {
        Inside::Tunnel(tunnel) => visitor.gate.again(&tunnel.subject)?,
        Inside::Listener => {
            let values = request.headers().get_all(header::PROXY_AUTHORIZATION);
            visitor.identify(|| presented(values.iter().map(header::HeaderValue::as_bytes)))?
        }
    });
    let Some(destination) = wanted.destination.filter(|destination| !is_pages(destination)) else {
        return Ok(serving::page(&visitor.gate, subject, request, &wanted.origin_form).await?.map(Either::Left));
    };
    let count = || Arc::new(Traffic::new(&visitor.gate.metrics));
    let (way, dialled, traffic) = match inside {
        Inside::Listener => (Way::Http, None, count()),
        Inside::Tunnel(tunnel) => {
            let dialled = tunnel.dialled.lock().unwrap_or_else(PoisonError::into_inner).take();
            (Way::Connect, dialled, tunnel.ending.as_ref().map_or_else(count, |ending| Arc::clone(ending.traffic())))
        }
    };
    forward(&visitor.gate, subject, asked, Errand { destination, origin_form: wanted.origin_form, way, dialled, traffic }, request).await
}

/// What a request names.
struct Wanted {
    /// None: this proxy itself.
    destination: Option<Destination>,
    origin_form: Box<str>,
}

fn read(inside: &Inside, request: &Request<Incoming>) -> Result<Wanted, Refusal> {
    let bad = |detail: String| Refusal::new(Reason::BadRequest, detail);
    let target = target::parse(request.method().as_str(), request.uri().to_string().as_bytes())
        .map_err(|error| bad(format!("The request-target was refused: {error}.")))?;
    match (target, inside.destination()) {
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

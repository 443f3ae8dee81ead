//! Plain HTTP/1: absolute-form requests to the listener, and requests inside a tunnel to a port that wants HTTP.

use super::{presented, until};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Either, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use crate::{
    destination::Destination,
    downstream::{Answering, Downstream},
    metrics::Kind,
    pages::{self, Visit},
    passage::{Asked, Body, Ending, Errand, Subject, Traffic, Visitor, forward, is_pages, wants_json},
    policy::Way,
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
    wire::{
        http1::MAX_FIELDS,
        target::{self, RequestTarget},
    },
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

/// Lets hyper serve the judged messages of a connection. Gives it back when something else comes next.
pub(crate) async fn serve(
    visitor: &Arc<Visitor>,
    downstream: Downstream,
    inside: Inside,
    draining: &watch::Receiver<bool>,
) -> Option<Downstream> {
    let answering = downstream.answering();
    let service = service_fn(|request| {
        let answering = answering();
        Box::pin(async {
            let response = answer(visitor, &inside, request).await;
            Ok::<_, Infallible>(response.map(|body| Sent { body, _answering: answering }))
        })
    });
    let mut connection =
        http1::Builder::new().auto_date_header(false).max_headers(MAX_FIELDS).serve_connection(TokioIo::new(downstream), service);
    let mut draining = draining.clone();
    let ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
        () = until(&mut draining) => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    let downstream = connection.into_parts().io.into_inner();
    if ended.is_ok() && downstream.is_stopped() && !*draining.borrow() {
        return Some(downstream);
    }
    downstream.close().await;
    None
}

async fn answer(visitor: &Visitor, inside: &Inside, request: Request<Incoming>) -> Response<Body> {
    let mut asked = Asked::new(visitor.door, Kind::Http);
    asked.method = Some(request.method().as_str().into());
    asked.json_only = wants_json(request.headers());
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
        return page(visitor, subject, request, &wanted.origin_form).await;
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

async fn page(visitor: &Visitor, subject: &Subject, request: Request<Incoming>, origin_form: &str) -> Result<Response<Body>, Refusal> {
    let gate = &visitor.gate;
    gate.within(subject.session.limits().request())?;
    let method = request.method().clone();
    let bytes = gather(request.into_body()).await?;
    let visit = Visit { session: &subject.session, governing: &subject.governing, now: (gate.clock)() };
    Ok(pages::serve(&visit, method.as_str(), origin_form, &bytes).into_response().map(Either::Left))
}

/// The body of a request for a page, in bounded size.
async fn gather(body: Incoming) -> Result<Bytes, Refusal> {
    let mut body = pin!(Limited::new(body, pages::MAX_BODY));
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let reason = if error.is::<LengthLimitError>() { Reason::BodyTooLarge } else { Reason::BadRequest };
            Refusal::new(reason, format!("The body of a request for a page was refused: {error}."))
        })?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

/// A body on its way to the sandbox, and the word that it is.
struct Sent {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

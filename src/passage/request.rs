//! One HTTP request: judged, dialled, sent on, and its answer streamed back.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, Version, header, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use super::{
    Asked, Gate, Subject,
    credential::{Credited, credit, mask_head},
    headers,
    limited::Allowance,
    masked::Masked,
    patient::Patient,
    redirects,
    secrets::{Search, Written},
    sightings::BodyLookout,
    standing::{Said, Stream},
    traffic::{Metered, Traffic},
};
use crate::{
    destination::Destination,
    limits::Slot,
    policy::{Cleared, Denial, Permit, RequestFacts, Way},
    reason::Reason,
    respond::{Reader, Refusal},
    upstream::{BodyFault, Dialled, Key, ResponseBody},
    wire::{http1::BodyError, masking::Masker},
};

/// A body that goes to the sandbox: one of ours, or an origin's.
pub(crate) type Body = Either<Full<Bytes>, Masked<Relayed<ResponseBody>>>;

/// One request on its way to a destination.
pub(crate) struct Errand {
    pub(crate) destination: Destination,
    /// Path and query, as they leave.
    pub(crate) origin_form: Box<str>,
    pub(crate) way: Way,
    /// A connection that CONNECT has dialled for just this destination.
    pub(crate) dialled: Option<Dialled>,
    /// Whether it goes on by TLS, as a request that came by TLS does.
    pub(crate) secure: bool,
    /// Where its bytes are counted.
    pub(crate) traffic: Arc<Traffic>,
}

/// Judges a request, and if it may pass sends it on and returns the origin's answer with its body still to come.
pub(crate) async fn forward(
    gate: &Arc<Gate>,
    subject: &Subject,
    asked: &mut Asked,
    errand: Errand,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let Judged { permit, cleared, said, place, parts, masker, search, trailers } =
        judge(gate, subject, asked, &errand, parts, body.size_hint().exact()).await?;
    let Errand { destination, way, dialled, secure, traffic, .. } = errand;
    let awaited = Arc::new(());
    // Who looks through it for all secrets has no need of another.
    let lookout = search.is_none().then(|| BodyLookout::new(gate, subject, asked, None, &body)).flatten();
    let body = Patient::new(body, parts.version, gate.patience, &awaited).watched(lookout);
    let upload = Upload { allowance: Allowance::of(cleared.body_limit()), search, trailers, exceeded: Arc::default() };
    let exceeded = Arc::clone(&upload.exceeded);
    gate.spend_head(subject, &parts.method, &parts.uri, &parts.headers)?;
    let (metered, spent) = Metered::up(&traffic, Bytes::new());
    let request = Request::from_parts(parts, Relayed { inner: body, upload: Some(upload), metered, _place: None });
    let tls = if secure { Some(gate.tls.load().get()?) } else { None };
    let key = Key::new(subject.session.identity(), destination.clone(), tls.as_ref());
    let route = gate.route(subject, asked, permit, dialled, key, &request).await?;
    let stream = Stream { subject: subject.clone(), destination, way, address: route.address() };
    let response = tokio::select! {
        biased;
        refusal = stream.withdrawn_from(gate, &said) => return Err(refusal),
        response = gate.upstream.exchange_over(route, cleared, tls.as_ref(), gate.timeouts, request) => response.map_err(|failure| {
            exceeded.get().map_or_else(|| Refusal::from(failure), |denial| denial.clone().into())
        })?,
    };
    drop(awaited);
    redirects::remember(gate, subject, &stream.destination, secure, &response);
    spent.note(gate, subject, asked, stream.address);
    response.body().end_when(note_withdrawal(Arc::clone(gate), stream, said, asked.clone()));
    receive(response, gate, &traffic, masker, place)
}

/// A request that was judged, as it may leave.
pub(super) struct Judged {
    pub(super) permit: Permit,
    pub(super) cleared: Cleared,
    /// What it is held to while it is under way.
    pub(super) said: Said,
    /// Of its connection upstream.
    pub(super) place: Option<Slot>,
    /// Origin-form, our own hop, nothing that concerns only the sandbox's hop.
    pub(super) parts: request::Parts,
    /// What takes the real credentials out of the answer.
    pub(super) masker: Option<Masker>,
    /// What looks through its body.
    pub(super) search: Option<Search>,
    /// Whether what follows its body passes.
    trailers: bool,
}

/// Judges the head of a request, and makes it the one that may leave.
pub(super) async fn judge(
    gate: &Gate,
    subject: &Subject,
    asked: &mut Asked,
    errand: &Errand,
    mut parts: request::Parts,
    body_length: Option<u64>,
) -> Result<Judged, Refusal> {
    let Errand { destination, origin_form, way, secure, .. } = errand;
    if headers::is_loop(&parts.headers, &gate.via) {
        return Err(Refusal::new(Reason::LoopDetected, "This request has passed through this proxy before."));
    }
    let permit = gate.paced(subject, gate.decide(subject, destination, *way)).await?;
    gate.count_upstream(subject).await?;
    let cleared = permit.expectation().decide_request(&facts(&parts, origin_form, body_length))?;
    asked.would_deny = cleared.would_deny();
    // Each exchange holds a connection upstream, however many of them share one of the sandbox's.
    let place = if *secure { Some(gate.within(subject.session.limits().exchange())?) } else { None };
    let said = Said { method: parts.method.as_str().into(), origin_form: origin_form.clone() };
    headers::prepare_request(&mut parts.headers, &gate.via);
    if cleared.strips_method_override() {
        headers::strip_method_override(&mut parts.headers);
    }
    if cleared.origin_form().is_some() {
        headers::strip_path_override(&mut parts.headers);
    }
    let origin_form = cleared.origin_form().unwrap_or(origin_form);
    // What stands in a trailer would pass what was judged of the head.
    let judged = cleared.origin_form().is_some() || cleared.strips_method_override() || cleared.secrets().is_some();
    let trailers = !judged && !subject.policy().has_credential(destination);
    let mut search = None;
    let look = |asked: &mut Asked, origin_form: &str, headers: &HeaderMap| {
        let head = Written { method: &said.method, origin_form, headers, has_body: body_length != Some(0) };
        search = cleared.secrets().map(|rule| Search::of(gate, rule, asked, &head)).transpose()?;
        Ok(())
    };
    let Credited { origin_form, masker } = credit(subject, asked, *secure, destination, &mut parts.headers, origin_form, look).await?;
    parts.uri = Uri::try_from(origin_form)
        .map_err(|error| Refusal::new(Reason::BadRequest, format!("The request-target was refused: {error}.")))?;
    Ok(Judged { permit, cleared, said, place, parts, masker, search, trailers })
}

/// Ends, and is on record, once an exchange whose answer is on its way may no longer be.
pub(super) async fn note_withdrawal(gate: Arc<Gate>, stream: Stream, said: Said, asked: Asked) {
    let refusal = stream.withdrawn_from(&gate, &said).await;
    gate.note(Some(&stream.subject), &asked, refusal, asked.record().at(stream.address));
}

fn facts<'a>(parts: &'a request::Parts, origin_form: &'a str, body_length: Option<u64>) -> RequestFacts<'a> {
    let host = parts.headers.get(header::HOST).map(header::HeaderValue::as_bytes);
    RequestFacts { method: parts.method.as_str(), host, target: None, origin_form, body_length }
}

pub(super) fn receive(
    response: Response<ResponseBody>,
    gate: &Gate,
    traffic: &Arc<Traffic>,
    masker: Option<Masker>,
    place: Option<Slot>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, inner) = response.into_parts();
    headers::prepare_response(&mut parts.headers, &gate.via);
    if let Some(masker) = &masker {
        mask_head(&mut parts, !inner.is_end_stream(), masker)?;
    }
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(
        parts,
        Either::Right(Masked::new(Relayed { inner, upload: None, metered: Metered::down(traffic, Bytes::new()), _place: place }, masker)),
    ))
}

/// What a request body is held to.
struct Upload {
    allowance: Allowance,
    /// What looks through it, where it may hold no secret.
    search: Option<Search>,
    /// Whether what follows the body passes.
    trailers: bool,
    /// Set once a frame went beyond it.
    exceeded: Arc<OnceLock<Box<Denial>>>,
}

impl Upload {
    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        self.judge(frame).map_err(|denial| {
            let fault = BodyFault { reason: denial.reason, detail: denial.detail.clone() };
            let _ = self.exceeded.set(denial);
            fault.into()
        })
    }

    fn judge(&mut self, frame: &Frame<Bytes>) -> Result<(), Box<Denial>> {
        self.allowance.take(frame.data_ref().map_or(0, Bytes::len))?;
        if let (Some(search), Some(data)) = (&mut self.search, frame.data_ref()) {
            search.take(data)?;
        }
        Ok(())
    }
}

/// A body on its way through: held to the session's limits, counted, and its trailers filtered.
pub(crate) struct Relayed<B> {
    inner: B,
    /// What it is held to on its way up; none on its way down.
    upload: Option<Upload>,
    metered: Metered,
    /// Of the connection upstream, for as long as an answer comes over it.
    _place: Option<Slot>,
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for Relayed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(data) = ready!(this.metered.poll_next(context)) {
                return Poll::Ready(Some(data.map(Frame::data).map_err(Into::into)));
            }
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(context)) else { return Poll::Ready(None) };
            let frame = frame.map_err(|error| if this.upload.is_some() { told(error.into()) } else { error.into() })?;
            if let Some(upload) = &mut this.upload {
                upload.take(&frame)?;
            }
            match frame.into_data() {
                Ok(data) => this.metered.push(data),
                Err(frame) => return Poll::Ready(this.pass_trailers(frame).transpose()),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.metered.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.metered.before(&self.inner.size_hint())
    }
}

impl<B> Relayed<B> {
    /// What follows a body, without what may not pass.
    fn pass_trailers(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, BoxError> {
        let Ok(mut trailers) = frame.into_trailers() else { return Ok(None) };
        if self.upload.as_ref().is_some_and(|upload| !upload.trailers) {
            return Ok(None);
        }
        headers::filter_trailers(&mut trailers);
        self.metered.finish(headers::length(&trailers))?;
        Ok(Some(Frame::trailers(trailers)))
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why the sandbox's body could not be read to its end; an error that is not its connection's stays what it is.
fn told(error: BoxError) -> BoxError {
    let Some(error) = error.downcast_ref::<hyper::Error>() else { return error };
    let cause = io_cause(error);
    let framing = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<BodyError>());
    let (reason, detail) = match framing {
        Some(problem) => (Reason::BadRequest, format!("The request body was refused: {problem}.")),
        None if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) => {
            (Reason::HeadTimeout, "No byte of the announced body arrived in time.".to_owned())
        }
        None => (Reason::BadRequest, "The request body ended before its announced length.".to_owned()),
    };
    BodyFault { reason, detail }.into()
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// Who reads a refusal, by the values of `Accept`.
pub(crate) fn reader_of<'a>(accept: impl IntoIterator<Item = &'a [u8]>) -> Reader {
    let is_json = |value: &[u8]| value.trim_ascii() == b"application/json";
    if accept.into_iter().any(is_json) { Reader::Program } else { Reader::Client }
}

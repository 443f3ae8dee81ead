//! One plain HTTP request: judged, dialled, sent on, and its answer streamed back.

use std::{
    error::Error as StdError,
    io,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
    time::sleep,
};

use super::relay::{Direction, Traffic};
use super::{Asked, Gate, Subject, headers, standing::Stream};
use crate::{
    destination::Destination,
    downstream::{Bounded, Timer},
    policy::{Facts, RequestFacts, Way},
    reason::Reason,
    respond::{Reader, Refusal},
    upstream::{Dialled, Origin},
    wire::http1::BodyError,
};

/// A body that goes to the sandbox: one of ours, or an origin's.
pub(crate) type Body = Either<Full<Bytes>, Relayed>;

/// One request on its way to a destination.
pub(crate) struct Errand {
    pub(crate) destination: Destination,
    /// Path and query, as they leave.
    pub(crate) origin_form: Box<str>,
    pub(crate) way: Way,
    /// A connection that CONNECT has dialled for just this destination.
    pub(crate) dialled: Option<Dialled>,
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
    let Errand { destination, origin_form, way, dialled, traffic } = errand;
    if headers::is_loop(request.headers(), &gate.via) {
        return Err(Refusal::new(Reason::LoopDetected, "This request has passed through this proxy before."));
    }
    let permit = subject.policy().decide_destination(&Facts { destination: &destination, way, now: (gate.clock)() })?;
    gate.within(subject.session.limits().request())?;
    let cleared = permit.expectation().decide_request(&facts(&request))?;
    asked.would_deny = cleared.would_deny();
    let dialled = if let Some(dialled) = dialled {
        gate.readmit(subject, asked, permit, &dialled)?;
        dialled
    } else {
        let admitted = gate.admit(subject, asked, permit).await?;
        gate.upstream.dial(admitted).await?
    };
    let request = prepare(request, &destination, &origin_form, gate)?;
    let stream = Stream { subject: subject.clone(), destination, way, address: dialled.address().ip() };
    let origin = Origin::new(Bounded::new(dialled.open(cleared), gate.patience.idle));
    send(gate, stream, asked, &traffic, request, origin).await
}

fn facts(request: &Request<Incoming>) -> RequestFacts<'_> {
    let host = request.headers().get(header::HOST).map(header::HeaderValue::as_bytes);
    RequestFacts { method: request.method().as_str(), host, target: None }
}

/// The request as it leaves: origin-form, our own hop, nothing that concerns only the sandbox's hop.
fn prepare(request: Request<Incoming>, destination: &Destination, origin_form: &str, gate: &Gate) -> Result<Request<Incoming>, Refusal> {
    let (mut parts, body) = request.into_parts();
    headers::prepare_request(&mut parts.headers, destination, &gate.via);
    // One request per connection: pools come with the identity they have to be keyed by.
    parts.headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    parts.version = Version::HTTP_11;
    parts.uri = Uri::try_from(origin_form)
        .map_err(|error| Refusal::new(Reason::BadRequest, format!("The request-target was refused: {error}.")))?;
    Ok(Request::from_parts(parts, body))
}

async fn send(
    gate: &Arc<Gate>,
    stream: Stream,
    asked: &Asked,
    traffic: &Arc<Traffic>,
    request: Request<Incoming>,
    origin: Origin<Bounded<TcpStream>>,
) -> Result<Response<Body>, Refusal> {
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_RESPONSE_FIELDS)
        .handshake(TokioIo::new(origin))
        .await
        .map_err(|error| Refusal::new(Reason::UpstreamClosed, format!("The upstream connection broke: {error}.")))?;
    let withdrawn = drive(gate, stream, asked, connection);
    let ended = Arc::new(Notify::new());
    let fault = Arc::new(OnceLock::new());
    let request = request.map(|body| Relayed {
        inner: body,
        direction: Direction::Up,
        traffic: Arc::clone(traffic),
        idle: None,
        ended: Some(Arc::clone(&ended)),
        fault: Some(Arc::clone(&fault)),
        timer: Timer::default(),
    });
    let late = async {
        ended.notified().await;
        sleep(gate.first_byte).await;
    };
    let started = tokio::time::Instant::now();
    let response = tokio::select! {
        biased;
        Ok(refusal) = withdrawn => return Err(refusal),
        response = sender.send_request(request) => response.map_err(|error| blame(&error, &fault))?,
        () = late => return Err(Refusal::new(
            Reason::UpstreamTimeout,
            format!("The upstream sent nothing within {} s of the end of the request.", gate.first_byte.as_secs_f32()),
        )),
    };
    gate.metrics.first_byte(started.elapsed());
    receive(response, gate, traffic)
}

/// Drives the upstream connection until it ends or may no longer be. Whoever waits for the answer is told why; once it
/// is on its way, the end is recorded here.
fn drive(
    gate: &Arc<Gate>,
    stream: Stream,
    asked: &Asked,
    connection: http1::Connection<TokioIo<Origin<Bounded<TcpStream>>>, Relayed>,
) -> oneshot::Receiver<Refusal> {
    let (tell, withdrawn) = oneshot::channel();
    let (gate, asked) = (Arc::clone(gate), asked.clone());
    tokio::spawn(async move {
        // Outlives the select, so that the reason is told before the connection breaks.
        let mut connection = pin!(connection);
        tokio::select! {
            _ = &mut connection => {}
            refusal = stream.withdrawn(&gate) => if let Err(refusal) = tell.send(refusal) {
                gate.note(Some(&stream.subject), &asked, refusal, asked.record().at(stream.address));
            },
        }
    });
    withdrawn
}

fn receive(response: Response<Incoming>, gate: &Gate, traffic: &Arc<Traffic>) -> Result<Response<Body>, Refusal> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::new(Reason::UpstreamClosed, "The upstream switched protocols without being asked to."));
    }
    let (mut parts, body) = response.into_parts();
    headers::prepare_response(&mut parts.headers, &gate.via);
    parts.version = Version::HTTP_11;
    let body = Relayed {
        inner: body,
        direction: Direction::Down,
        traffic: Arc::clone(traffic),
        idle: Some(gate.patience.idle),
        ended: None,
        fault: None,
        timer: Timer::default(),
    };
    Ok(Response::from_parts(parts, Either::Right(body)))
}

/// Whose fault it is that no answer came: the sandbox's, whose body could not be read, or the upstream's.
fn blame(error: &hyper::Error, fault: &OnceLock<Fault>) -> Refusal {
    match fault.get() {
        Some(Fault::Framing(problem)) => Refusal::new(Reason::BadRequest, format!("The request body was refused: {problem}.")),
        Some(Fault::Late) => Refusal::new(Reason::HeadTimeout, "No byte of the announced body arrived in time."),
        Some(Fault::Broken) => Refusal::new(Reason::BadRequest, "The request body ended before its announced length."),
        None if io_cause(error).is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) => {
            Refusal::new(Reason::UpstreamTimeout, "The upstream took nothing of the request for too long.")
        }
        None => {
            let cause = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            Refusal::new(Reason::UpstreamClosed, format!("The upstream gave no answer that can be passed on: {cause}."))
        }
    }
}

/// Why a request body could not be read to its end.
#[derive(Debug)]
enum Fault {
    Framing(String),
    Late,
    Broken,
}

impl Fault {
    fn of(error: &hyper::Error) -> Self {
        let Some(cause) = io_cause(error) else { return Self::Broken };
        if cause.kind() == io::ErrorKind::TimedOut {
            return Self::Late;
        }
        let framing = cause.get_ref().and_then(|inner| inner.downcast_ref::<BodyError>());
        framing.map_or(Self::Broken, |problem| Self::Framing(problem.to_string()))
    }
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

/// A body on its way through: counted, its trailers filtered, and given up when it stands still.
pub(crate) struct Relayed {
    inner: Incoming,
    direction: Direction,
    traffic: Arc<Traffic>,
    /// How long it may stand still; the sandbox's own bodies are timed where they are read.
    idle: Option<Duration>,
    /// Told when no more of the body will be asked for.
    ended: Option<Arc<Notify>>,
    fault: Option<Arc<OnceLock<Fault>>>,
    timer: Timer,
}

impl HttpBody for Relayed {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            if let Some(idle) = this.idle {
                ready!(this.timer.poll_expired(context, idle));
                return Poll::Ready(Some(Err("the upstream sent nothing for too long".into())));
            }
            return Poll::Pending;
        };
        this.timer.disarm();
        Poll::Ready(match frame {
            None => {
                this.end();
                None
            }
            Some(Ok(frame)) => Some(Ok(this.pass(frame))),
            Some(Err(error)) => {
                if let Some(fault) = &this.fault {
                    let _ = fault.set(Fault::of(&error));
                }
                Some(Err(error.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Relayed {
    fn pass(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            self.traffic.add(self.direction, data.len() as u64);
        }
        match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::filter_trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }
    }

    fn end(&self) {
        if let Some(ended) = &self.ended {
            ended.notify_one();
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.end();
    }
}

/// Who reads a refusal, by the values of `Accept`.
pub(crate) fn reader_of<'a>(accept: impl IntoIterator<Item = &'a [u8]>) -> Reader {
    let is_json = |value: &[u8]| value.trim_ascii() == b"application/json";
    if accept.into_iter().any(is_json) { Reader::Program } else { Reader::Client }
}

/// More header lines than this from an origin are trouble.
const MAX_RESPONSE_FIELDS: usize = 256;

//! A WebSocket: asked for by a request that is judged as a GET on its path, then bytes both ways until it ends or may no longer be.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, Version, header, response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, split},
    time::timeout,
};

use super::{
    Asked, Gate, Subject,
    credential::mask_head,
    ending::Ending,
    headers,
    limited::Allowance,
    relay::{End, Passing, relay},
    request::{Body, Errand, Judged, judge, note_withdrawal, receive},
    secrets::{Search, SocketSearch},
    standing::{Said, Stream},
    traffic::Traffic,
};
use crate::{
    limits::Slot,
    policy::{Denial, Way},
    reason::Reason,
    respond::Refusal,
    upstream::{Switched, Upgrade},
    wire::{
        masking::Masker,
        websocket::{FrameError, ServerFrames, close},
    },
};

/// An answer, and what the connection or stream that it goes to is for once it is sent.
pub(crate) struct Answered<B> {
    pub(crate) response: Response<B>,
    pub(crate) socket: Option<Box<Socket>>,
}

impl<B> From<Response<B>> for Answered<B> {
    fn from(response: Response<B>) -> Self {
        Self { response, socket: None }
    }
}

/// A WebSocket that both sides agreed to. Its end is on record, however it comes about.
pub(crate) struct Socket {
    gate: Arc<Gate>,
    stream: Stream,
    said: Said,
    upstream: Switched,
    upward: Upward,
    downward: Downward,
    ending: Ending,
    /// Of the connection upstream.
    _place: Option<Slot>,
}

/// Judges a request for a WebSocket, and if it may pass asks the upstream for one. Whatever it answers but 101 is passed on as the
/// answer to any request. The sandbox's own connection is not used after that unless a socket comes back.
pub(crate) async fn open(
    gate: &Arc<Gate>,
    subject: &Subject,
    asked: &mut Asked,
    errand: Errand,
    request: Request<Incoming>,
) -> Result<Answered<Body>, Refusal> {
    let version = request.version();
    let (parts, _) = request.into_parts();
    let Judged { permit, cleared, said, place, mut parts, masker, search, .. } =
        judge(gate, subject, asked, &errand, parts, Some(0)).await?;
    let Errand { destination, way, dialled, secure, traffic, .. } = errand;
    // One that takes over a whole tunnel is that tunnel.
    let alone = way == Way::Connect && version == Version::HTTP_11;
    let slot = if alone { None } else { Some(gate.within(subject.session.limits().tunnel())?) };
    let is_read = masker.is_some() || search.is_some();
    if is_read {
        // What is compressed hides what it holds.
        parts.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
    gate.spend_head(subject, &parts.method, &parts.uri, &parts.headers)?;
    let dialled = gate.dial(subject, asked, permit, dialled).await?;
    let rule = dialled.permit().rule().cloned();
    let upward = Upward { allowance: Allowance::of(cleared.body_limit()), search: search.map(Search::of_socket), refused: None };
    asked.would_deny = dialled.permit().would_deny().or(asked.would_deny);
    let tls = if secure { Some(gate.tls.load().get()?) } else { None };
    let stream = Stream { subject: subject.clone(), destination, way, address: dialled.address() };
    let upgrade = tokio::select! {
        biased;
        refusal = stream.withdrawn_from(gate, &said) => return Err(refusal),
        upgrade = gate.upstream.upgrade(dialled, cleared, tls.as_ref(), gate.timeouts, parts) => upgrade?,
    };
    match upgrade {
        Upgrade::Declined(response) => {
            response.body().end_when(note_withdrawal(Arc::clone(gate), stream, said, asked.clone()));
            let mut response = receive(response, gate, &traffic, masker, place)?;
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            Ok(response.into())
        }
        Upgrade::Agreed(head, upstream) => {
            let response = agreement(head, gate, version, is_read, masker.as_ref())?;
            let traffic = Arc::new(Traffic::part_of(&traffic));
            let ending = Ending::of_socket(gate, &stream, asked, rule, traffic, slot);
            let downward = Downward { frames: ServerFrames::new(masker), whole: true, fault: None };
            let socket = Socket { gate: Arc::clone(gate), stream, said, upstream, upward, downward, ending, _place: place };
            Ok(Answered { response, socket: Some(Box::new(socket)) })
        }
    }
}

/// The upstream's agreement, in the sandbox's version of HTTP (RFC 8441, section 5).
fn agreement(
    mut head: response::Parts,
    gate: &Gate,
    version: Version,
    is_read: bool,
    masker: Option<&Masker>,
) -> Result<Response<Body>, Refusal> {
    headers::prepare_response(&mut head.headers, &gate.via);
    head.headers.remove(header::CONTENT_LENGTH);
    if is_read && head.headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(Refusal::new(Reason::UpstreamClosed, EXTENDED));
    }
    if let Some(masker) = masker {
        mask_head(&mut head, false, masker)?;
    }
    if version == Version::HTTP_2 {
        head.status = StatusCode::OK;
        head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    } else {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, Either::Left(Full::default())))
}

impl Socket {
    /// Relays until both sides have ended or the socket may no longer be; then the sandbox is told by a Close frame, if it is not in the
    /// middle of another. What it sends is the body of its request.
    pub(crate) async fn carry<S: AsyncRead + AsyncWrite>(self, sandbox: S) {
        let Self { gate, stream, said, upstream, mut upward, mut downward, mut ending, _place } = self;
        let traffic = Arc::clone(ending.traffic());
        let (mut from_sandbox, mut to_sandbox) = split(sandbox);
        let passing = (&mut upward, &mut downward);
        let carried = relay((&mut from_sandbox, &mut to_sandbox), [], split(upstream), gate.patience.idle, &traffic, passing);
        let withdrawn = tokio::select! {
            biased;
            refusal = stream.withdrawn_from(&gate, &said) => Some(refusal),
            end = carried => {
                tracing::debug!(destination = %stream.destination, ?end, "WebSocket ended");
                if let End::Exhausted(exhausted) = end { Some(exhausted.into()) } else { upward.refused.map(Refusal::from) }
            }
        };
        ending.shows(upward.search.and_then(|search| search.would_deny));
        let Some(refusal) = withdrawn else {
            if let Some(fault) = downward.fault {
                let detail = format!("The WebSocket to {} was ended: {fault}.", stream.destination);
                ending.refuse(Refusal::new(Reason::UpstreamClosed, detail));
            }
            return;
        };
        let reason = refusal.reason();
        let code = if reason == Reason::BodyTooLarge {
            MESSAGE_TOO_BIG
        } else if matches!(reason, Reason::BudgetExhausted | Reason::SecretInRequest | Reason::BadRequest) {
            POLICY_VIOLATION
        } else {
            SERVICE_RESTART
        };
        ending.end(Some(refusal));
        if downward.is_between_frames() {
            let farewell = async {
                to_sandbox.write_all(&close(code, reason.as_str())).await?;
                to_sandbox.shutdown().await?;
                // A socket that is closed with unread input resets the connection, and the frame would be lost.
                tokio::io::copy(&mut from_sandbox, &mut tokio::io::sink()).await
            };
            let _ = timeout(FAREWELL, farewell).await;
        }
    }
}

/// What goes up a WebSocket.
struct Upward {
    allowance: Allowance,
    /// What looks through it, where it may hold no secret.
    search: Option<SocketSearch>,
    refused: Option<Box<Denial>>,
}

impl Passing for Upward {
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> io::Result<Cow<'b, [u8]>> {
        let taken = self.allowance.take(bytes.len());
        let taken = taken.and_then(|()| self.search.as_mut().map_or(Ok(()), |search| search.take(bytes)));
        taken.map(|()| Cow::Borrowed(bytes)).map_err(|denial| {
            self.refused = Some(denial);
            io::ErrorKind::PermissionDenied.into()
        })
    }
}

/// What comes down a WebSocket.
struct Downward {
    frames: ServerFrames,
    /// Whether all that may be passed on was taken.
    whole: bool,
    fault: Option<FrameError>,
}

impl Downward {
    fn is_between_frames(&self) -> bool {
        self.whole && self.frames.is_between()
    }
}

impl Passing for Downward {
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> io::Result<Cow<'b, [u8]>> {
        self.whole = false;
        self.frames.pass(bytes).map_err(|error| {
            self.fault = Some(error);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    fn taken(&mut self) {
        self.whole = true;
    }
}

/// The status of a Close frame: more was sent than may be (RFC 6455, section 7.4.1).
const MESSAGE_TOO_BIG: u16 = 1009;
/// Come back, and be judged anew (the IANA registry of WebSocket close codes).
const SERVICE_RESTART: u16 = 1012;
/// That of one who would be refused again (RFC 6455, section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;
/// For the Close frame to arrive.
const FAREWELL: Duration = Duration::from_millis(400);

const EXTENDED: &str =
    "The upstream uses an extension of WebSocket that it was not offered, and what has to be looked for could not be seen.";

//! Bodies on their way through the gateway: counted, and back-pressured by whoever reads them.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

pub(super) use super::inflated::BoxError;
use super::{content::Content, inflated::Inflated, spool::Spool};
use crate::{
    passage::{Ending, Metered, Patient, Spent, Traffic},
    respond::Refusal,
    sessions::Turn,
    upstream::BodyFault,
};

/// The body of one of git's requests.
pub(super) type Asking = Inflated<Patient<Incoming>>;

/// A body that goes to the sandbox: one of ours, or an upstream's.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body on its way up: what was understood of it, written anew, then the rest as it arrives.
pub(super) struct Upload {
    metered: Metered,
    rest: Option<Source>,
    /// What the rest is held to.
    content: Option<Content>,
    /// Gets what is left of the sandbox's upload, if the upstream takes no more of it.
    back: Option<oneshot::Sender<Asking>>,
}

/// Where the rest of an upload comes from.
enum Source {
    Sandbox(Asking),
    /// It came before, and was kept.
    Kept(Spool),
}

impl HttpBody for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Sandbox(body) => Pin::new(body).poll_frame(context),
            Self::Kept(spool) if spool.length() == 0 => Poll::Ready(None),
            Self::Kept(spool) => Poll::Ready(Some(spool.read().map(Frame::data).map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Sandbox(body) => body.is_end_stream(),
            Self::Kept(spool) => spool.length() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Sandbox(body) => body.size_hint(),
            Self::Kept(spool) => SizeHint::with_exact(spool.length()),
        }
    }
}

impl Upload {
    /// No body at all.
    pub(super) fn none(traffic: &Arc<Traffic>) -> Self {
        Self::whole(Bytes::new(), traffic).0
    }

    /// What was written here and nothing else, and what tells that the session may send no more.
    pub(super) fn whole(written: Bytes, traffic: &Arc<Traffic>) -> (Self, Spent) {
        let (metered, spent) = Metered::up(traffic, written);
        (Self { metered, rest: None, content: None, back: None }, spent)
    }

    /// The upload, what comes of its rest, and what tells that the session may send no more.
    pub(super) fn new(first: Bytes, rest: Asking, traffic: &Arc<Traffic>) -> (Self, Rest, Spent) {
        let (back, left) = oneshot::channel();
        let (metered, spent) = Metered::up(traffic, first);
        (Self { metered, rest: Some(Source::Sandbox(rest)), content: None, back: Some(back) }, Rest(left), spent)
    }

    /// The same of what was kept: nothing is left of what the sandbox sent.
    pub(super) fn kept(first: Bytes, spool: Spool, traffic: &Arc<Traffic>) -> (Self, Rest, Spent) {
        let (_, left) = oneshot::channel();
        let (metered, spent) = Metered::up(traffic, first);
        (Self { metered, rest: Some(Source::Kept(spool)), content: None, back: None }, Rest(left), spent)
    }

    /// The same, whose rest is this object and nothing else.
    pub(super) fn holding(mut self, content: Content) -> Self {
        self.content = Some(content);
        self
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(data) = ready!(this.metered.poll_next(context)) {
                return Poll::Ready(Some(data.map(Frame::data).map_err(Into::into)));
            }
            let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
            let Some(frame) = ready!(Pin::new(rest).poll_frame(context)?) else {
                return Poll::Ready(held_to(&mut this.content, None).err().map(|fault| Err(fault.into())));
            };
            // What follows a body as trailers means nothing to git.
            if let Ok(data) = frame.into_data() {
                this.metered.push(held_to(&mut this.content, Some(data))?);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.metered.is_empty() && left_of(self.content.as_ref()) == 0 && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.content {
            Some(content) => SizeHint::with_exact(content.left()),
            None => self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint),
        };
        self.metered.before(&rest)
    }
}

/// What may go on of a piece, or of a body that has ended.
fn held_to(content: &mut Option<Content>, piece: Option<Bytes>) -> Result<Bytes, BodyFault> {
    match (content, piece) {
        (Some(content), Some(piece)) => content.pass(piece),
        (Some(content), None) => content.end().map(|()| Bytes::new()),
        (None, piece) => Ok(piece.unwrap_or_default()),
    }
}

fn left_of(content: Option<&Content>) -> u64 {
    content.map_or(0, Content::left)
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(Source::Sandbox(rest)), Some(back)) = (self.rest.take(), self.back.take()) {
            let _ = back.send(rest);
        }
    }
}

/// What the upstream did not take of an upload.
pub(super) struct Rest(oneshot::Receiver<Asking>);

impl Rest {
    /// Reads and drops it, so that a client that still sends reads its answer.
    pub(super) async fn drain(self) {
        if let Some(rest) = self.left().await {
            drain(rest).await;
        }
    }

    /// Waits until the upstream gets no more of it.
    pub(super) async fn left(self) -> Option<Asking> {
        timeout(LET_GO, self.0).await.ok()?.ok()
    }
}

/// Reads and drops what is left of an upload, in bounded size and time.
pub(super) async fn drain(mut body: Asking) {
    let reading = async {
        let mut drained: u64 = 0;
        while drained < MAX_DRAINED {
            let Some(Ok(frame)) = body.frame().await else { return };
            drained = drained.saturating_add(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
    };
    let _ = timeout(DRAINING, reading).await;
}

/// Why a body was not read to its end.
pub(super) enum Unread {
    TooLong,
    Refused(Refusal),
    Other(String),
}

/// A body to its end, of at most so many octets.
pub(super) async fn read<B>(body: &mut B, most: usize) -> Result<Bytes, Unread>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.downcast::<BodyFault>() {
            Ok(fault) => Unread::Refused(Refusal::new(fault.reason, fault.detail)),
            Err(error) => Unread::Other(error.to_string()),
        })?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if read.len() + data.len() > most {
            return Err(Unread::TooLong);
        }
        read.extend_from_slice(data);
    }
    Ok(read.freeze())
}

/// An answer to its end, or why not.
pub(super) async fn collect(mut body: Body, most: usize) -> Result<Bytes, String> {
    read(&mut body, most).await.map_err(|unread| match unread {
        Unread::TooLong => format!("it is longer than {most} octets"),
        Unread::Refused(refusal) => refusal.denial.detail,
        Unread::Other(why) => why,
    })
}

/// An upstream's body on its way to the sandbox, for as long as its session may have it.
pub(super) struct Download {
    metered: Metered,
    rest: Body,
    /// What the rest is held to.
    content: Option<Content>,
    withdrawn: Pin<Box<dyn Future<Output = Refusal> + Send>>,
    ending: Option<Ending>,
    /// Of a push: other pushes to the same refs wait until its answer is over.
    turn: Option<Turn>,
    /// Lets go of what the upstream left of the upload, at the end.
    draining: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Download {
    /// `first`, then `rest`, until `withdrawn` ends.
    pub(super) fn new(first: Bytes, rest: Body, withdrawn: impl Future<Output = Refusal> + Send + 'static, traffic: &Arc<Traffic>) -> Self {
        let withdrawn = Box::pin(withdrawn);
        Self { metered: Metered::down(traffic, first), rest, content: None, withdrawn, ending: None, turn: None, draining: None }
    }

    /// The same, whose rest is this object and nothing else: what is another one breaks off before its last octet.
    pub(super) fn holding(self, content: Content) -> Self {
        Self { content: Some(content), ..self }
    }

    /// The same, whose end is recorded.
    pub(super) fn recorded(self, ending: Ending) -> Self {
        Self { ending: Some(ending), ..self }
    }

    /// The same, which gives up the turn of its push at the end.
    pub(super) fn during(self, turn: Turn) -> Self {
        Self { turn: Some(turn), ..self }
    }

    /// The same, which ends once the upload was read to its end: a client that still sends would lose an answer that came early.
    pub(super) fn after(self, upload: Rest) -> Self {
        Self { draining: Some(Box::pin(upload.drain())), ..self }
    }
}

impl Download {
    /// Ends it, which is on record.
    fn give_up(&mut self, fault: BodyFault) -> BoxError {
        if let Some(ending) = &mut self.ending {
            ending.refuse(Refusal::new(fault.reason, fault.detail.clone()));
        }
        fault.into()
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(refusal) = this.withdrawn.as_mut().poll(context) {
            let text = refusal.denial.to_string();
            if let Some(ending) = &mut this.ending {
                ending.refuse(refusal);
            }
            return Poll::Ready(Some(Err(text.into())));
        }
        loop {
            if let Some(data) = ready!(this.metered.poll_next(context)) {
                return Poll::Ready(Some(data.map(Frame::data).map_err(Into::into)));
            }
            let piece = ready!(Pin::new(&mut this.rest).poll_frame(context)?).map(Frame::into_data);
            let ended = piece.is_none();
            match held_to(&mut this.content, piece.map(Result::unwrap_or_default)) {
                Ok(data) => this.metered.push(data),
                Err(fault) => return Poll::Ready(Some(Err(this.give_up(fault)))),
            }
            if ended {
                break;
            }
        }
        // Whoever answers holds the upload.
        this.rest = Empty::new().map_err(|never| match never {}).boxed_unsync();
        if let Some(draining) = &mut this.draining {
            ready!(draining.as_mut().poll(context));
            this.draining = None;
        }
        this.turn = None;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.metered.is_empty() && left_of(self.content.as_ref()) == 0 && self.rest.is_end_stream() && self.draining.is_none()
    }

    /// Not known as long as something is to be done after the last octet.
    fn size_hint(&self) -> SizeHint {
        if self.draining.is_some() {
            return SizeHint::default();
        }
        let rest = self.content.as_ref().map_or_else(|| self.rest.size_hint(), |content| SizeHint::with_exact(content.left()));
        self.metered.before(&rest)
    }
}

/// An upload is read to its end up to this size, so that a refusal of any push that GitHub would take is read.
const MAX_DRAINED: u64 = 4 << 30;
const DRAINING: Duration = Duration::from_secs(600);
/// For a connection to let go of an upload whose answer is there.
const LET_GO: Duration = Duration::from_secs(2);

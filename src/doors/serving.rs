//! hyper, given the judged messages of one connection.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::until;
use crate::{
    downstream::{Answering, Downstream},
    pages::{self, Visit},
    passage::{Answered, Subject, Visitor},
    reason::Reason,
    respond::Refusal,
    wire::http1::MAX_FIELDS,
};

/// Lets hyper serve the messages of a connection by `answer`. Gives the connection back when something else comes next. Where a WebSocket
/// comes next, it runs to its end.
pub(super) async fn serve<S, A, B>(
    downstream: Downstream<S>,
    draining: &watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> A,
) -> Option<Downstream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Future<Output: Into<Answered<B>>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin + 'static,
{
    let answers = downstream.answers();
    let switched = Mutex::new(None);
    let service = service_fn(|request| {
        let (answering, answer, switched) = (answers.begin(), answer(request), &switched);
        Box::pin(async move {
            let Answered { response, socket } = answer.await.into();
            if socket.is_some() {
                *switched.lock().unwrap_or_else(PoisonError::into_inner) = socket;
            }
            Ok::<_, Infallible>(response.map(|body| Sent { body, _held: answering }))
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
    if let Some(socket) = switched.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if ended.is_ok() {
            socket.carry(downstream.into_unread()).await;
        }
        return None;
    }
    if ended.is_ok() && downstream.is_stopped() && !*draining.borrow() {
        return Some(downstream);
    }
    downstream.close().await;
    None
}

/// Answers a request for one of this proxy's own pages.
pub(super) async fn page(
    visitor: &Visitor,
    subject: &Subject,
    request: Request<Incoming>,
    origin_form: &str,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let (gate, door) = (&visitor.gate, visitor.door);
    gate.count_request(subject).await?;
    let method = request.method().clone();
    let bytes = gather(request.into_body()).await?;
    let visit = Visit {
        session: &subject.session,
        governing: &subject.governing,
        sessions: &gate.sessions,
        owner: gate.owner,
        record: &|wish| gate.record_wish(subject, door, wish),
        record_narrowing: &|| gate.record_narrowing(subject, door),
        from: visitor.from().filter(|_| gate.bind_tokens),
        kept_since: gate.sessions.kept_since(),
        authority: &gate.authority,
        forge_hosts: &gate.forge_hosts,
        now: (gate.clock)(),
    };
    Ok(pages::serve(&visit, method.as_str(), origin_form, &bytes)?.into_response())
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

/// A body on its way to the sandbox, and what is held until it is sent.
pub(super) struct Sent<B, H = Answering> {
    pub(super) body: B,
    pub(super) _held: H,
}

impl<B: Body<Data = Bytes> + Unpin, H: Unpin> Body for Sent<B, H> {
    type Data = Bytes;
    type Error = B::Error;

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

//! The answer to a push that takes its time: begun before it is known how it ends, so that nobody takes the silence for a lost connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Duration, Instant, Interval, interval, timeout},
};

use super::{
    body::{Body, BoxError},
    errand::said,
};
use crate::{
    github::{Service, push::Capabilities, report, route::Kind},
    reason::Reason,
    respond::Refusal,
};

/// How a push ends.
type Conclusion = Result<Response<Body>, Refusal>;

/// The answer in which `concluding` ends, which goes no further once nobody waits for it. Where it takes longer than [`FIRST_WORD`] and
/// the sender reads bands, its answer begins without it: status 200, a word every [`PAUSE`], then the body of what it ended in.
pub(super) async fn keep_waiting(capabilities: &Capabilities, concluding: impl Future<Output = Conclusion> + Send + 'static) -> Conclusion {
    // Of its own, so that it goes on while the sender takes nothing of the answer.
    let mut task = JoinSet::new();
    task.spawn(concluding);
    if report::waiting(capabilities, "").is_none() {
        return concluded(task.join_next().await);
    }
    let began = Instant::now();
    if let Ok(ended) = timeout(FIRST_WORD, task.join_next()).await {
        return concluded(ended);
    }
    let state = State::Concluding { task, clock: interval(PAUSE) };
    let body = Progress { capabilities: capabilities.clone(), began, state }.boxed_unsync();
    Ok(said(Kind::Rpc(Service::ReceivePack), body))
}

fn concluded(ended: Option<Result<Conclusion, JoinError>>) -> Conclusion {
    ended.and_then(Result::ok).unwrap_or_else(|| Err(Refusal::new(Reason::Internal, UNTOLD)))
}

struct Progress {
    capabilities: Capabilities,
    began: Instant,
    state: State,
}

enum State {
    Concluding { task: JoinSet<Conclusion>, clock: Interval },
    Concluded(Body),
}

impl HttpBody for Progress {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { capabilities, began, state } = self.get_mut();
        loop {
            let (task, clock) = match state {
                State::Concluding { task, clock } => (task, clock),
                State::Concluded(body) => return Pin::new(body).poll_frame(context),
            };
            if let Poll::Ready(ended) = task.poll_join_next(context) {
                // Whoever reads bands is refused in them: an error is trouble of our own, which breaks off.
                let (body, broken) = match concluded(ended) {
                    Ok(answer) => (answer.into_body(), None),
                    Err(refusal) => (Empty::new().map_err(|never| match never {}).boxed_unsync(), Some(refusal)),
                };
                *state = State::Concluded(body);
                match broken {
                    None => continue,
                    Some(refusal) => return Poll::Ready(Some(Err(refusal.denial.to_string().into()))),
                }
            }
            ready!(clock.poll_tick(context));
            let text = format!("Tidegate: this push is being looked through and sent on, {} s so far.", began.elapsed().as_secs());
            if let Some(word) = report::waiting(capabilities, &text) {
                return Poll::Ready(Some(Ok(Frame::data(word.into()))));
            }
        }
    }
}

/// Before it nobody wonders, and an answer of its own says more in its head.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// Shorter than anything on the way is patient.
const PAUSE: Duration = Duration::from_secs(5);

const UNTOLD: &str = "The push has to be looked through before it goes on, and cannot be.";

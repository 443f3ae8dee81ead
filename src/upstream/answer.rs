//! The body of an upstream's answer, on its way to whoever asked.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor as _};

use super::{
    lease::Hold,
    tasks::Tasks,
    upload::{Fault, FirstFault, Progress},
};
use crate::downstream::Timer;

/// Streamed as fast as it is asked for, its trailers included. An error is a body that is not whole: the upstream broke it off,
/// sent nothing for the idle time while the request's body did not move either, or the request it answers was given up. When this is
/// dropped before its end the exchange is broken off.
pub(crate) struct ResponseBody {
    exchange: Arc<Exchange>,
    /// Octets still to come, where a length was announced.
    rest: Option<u64>,
    idle: Duration,
    timer: Timer,
    /// Of the request's body, which may go on being sent.
    upload: Progress,
    tasks: Tasks,
}

/// An exchange whose answer has begun.
struct Exchange {
    state: Mutex<State>,
    progress: Progress,
    fault: FirstFault,
}

struct State {
    stage: Stage,
    /// Who waits for more of the answer.
    reader: Option<Waker>,
}

enum Stage {
    UnderWay(Incoming, Hold),
    /// Its request was sent, and its answer read, to the end.
    Whole,
    BrokenOff,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it at once, whether or not anybody reads.
    fn break_off(&self, fault: Fault) {
        self.fault.set(fault);
        let mut state = self.lock();
        let ended = std::mem::replace(&mut state.stage, Stage::BrokenOff);
        let reader = state.reader.take();
        drop(state);
        drop(ended);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Lets go of the connection once nothing more comes or goes.
    fn finish(&self, state: &mut State) {
        if self.progress.is_whole()
            && self.fault.get().is_none()
            && let Stage::UnderWay(answer, hold) = std::mem::replace(&mut state.stage, Stage::Whole)
        {
            drop(answer);
            hold.finish();
        }
    }
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, hold: Hold, idle: Duration, progress: Progress, fault: FirstFault) -> Self {
        // In HTTP/2 a length may stand where there is no body, as in the answer to HEAD.
        let rest = if inner.is_end_stream() { None } else { inner.size_hint().exact() };
        let state = Mutex::new(State { stage: Stage::UnderWay(inner, hold), reader: None });
        let exchange = Arc::new(Exchange { state, progress: progress.clone(), fault });
        let body = Self { exchange, rest, idle, timer: Timer::default(), upload: progress.clone(), tasks: Tasks::default() };
        if !progress.is_whole() {
            let exchange = Arc::clone(&body.exchange);
            body.tasks.group().execute(async move {
                if progress.stalls(idle).await {
                    exchange.break_off(Fault::Stalled);
                }
            });
        }
        body.finish_if_ended();
        body
    }

    /// Breaks off the exchange once `withdrawn` ends, whether or not anybody reads.
    pub(crate) fn end_when(&self, withdrawn: impl Future<Output = ()> + Send + 'static) {
        let exchange = Arc::clone(&self.exchange);
        self.tasks.group().execute(async move {
            withdrawn.await;
            exchange.break_off(Fault::Withdrawn);
        });
    }

    /// Nobody asks again where a body says that it has ended.
    fn finish_if_ended(&self) {
        let mut state = self.exchange.lock();
        if matches!(self.rest, None | Some(0)) && matches!(&state.stage, Stage::UnderWay(answer, _) if answer.is_end_stream()) {
            self.exchange.finish(&mut state);
        }
    }

    /// A body that seems to have ended.
    fn end(&self) -> Option<Piece> {
        if self.exchange.fault.get().is_some() {
            return Some(Err(GIVEN_UP.into()));
        }
        // An HTTP/2 stream that is reset without an error looks like one that has ended.
        match self.rest {
            None | Some(0) => {
                self.exchange.finish(&mut self.exchange.lock());
                None
            }
            Some(missing) => Some(Err(format!("the upstream ended its answer {missing} octets early").into())),
        }
    }

    fn poll_inner(&self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let mut state = self.exchange.lock();
        let polled = match &mut state.stage {
            Stage::UnderWay(answer, _) => Pin::new(answer).poll_frame(context).map_err(Into::into),
            Stage::Whole => Poll::Ready(None),
            Stage::BrokenOff => Poll::Ready(Some(Err(GIVEN_UP.into()))),
        };
        if polled.is_pending() {
            state.reader = Some(context.waker().clone());
        }
        polled
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = this.poll_inner(context) else {
            ready!(this.timer.poll_expired(context, this.idle));
            while this.upload.moved(this.idle) {
                this.timer.disarm();
                ready!(this.timer.poll_expired(context, this.idle));
            }
            return Poll::Ready(Some(Err(format!("the upstream sent nothing for {:?}", this.idle).into())));
        };
        this.timer.disarm();
        Poll::Ready(match frame {
            None => this.end(),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.rest = this.rest.map(|rest| rest.saturating_sub(length));
                this.finish_if_ended();
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.exchange.lock().stage {
            Stage::UnderWay(answer, _) => answer.is_end_stream(),
            Stage::Whole => true,
            Stage::BrokenOff => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.exchange.lock().stage {
            Stage::UnderWay(answer, _) => answer.size_hint(),
            Stage::Whole => SizeHint::with_exact(0),
            Stage::BrokenOff => SizeHint::default(),
        }
    }
}

type Piece = Result<Frame<Bytes>, Box<dyn StdError + Send + Sync>>;

const GIVEN_UP: &str = "the request was given up while it was answered";

//! Octets on their way: admitted by the session's limits, then counted.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::SizeHint;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::{Instant, Sleep, sleep},
};

use super::{Asked, Gate, Subject};
use crate::{
    limits::{Direction, Exhausted, Held, Limit, Octets},
    metrics::Metrics,
    respond::Refusal,
    upstream::BodyFault,
};

/// How many octets of a session went each way, and when the last ones did.
pub(crate) struct Traffic {
    metrics: Arc<Metrics>,
    octets: Arc<Octets>,
    /// Of what it is a part of.
    whole: Option<Arc<Traffic>>,
    started: Instant,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds from `started` to when it last moved, or was held back by us.
    last: AtomicU64,
}

/// That octets may go, which only [`Traffic::poll_admit`] gives.
#[must_use = "octets that went are counted"]
pub(crate) struct Leave {
    direction: Direction,
    octets: usize,
}

impl Leave {
    /// What may go of these, and what has to ask again.
    pub(super) fn split<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        bytes.split_at(self.octets.min(bytes.len()))
    }
}

/// A wait of one who asks for leave.
#[derive(Default)]
struct Wait(Option<Pin<Box<Sleep>>>);

impl Traffic {
    pub(super) fn new(metrics: &Arc<Metrics>, octets: &Arc<Octets>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            octets: Arc::clone(octets),
            whole: None,
            started: Instant::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Of a part of `whole`, where its bytes count too.
    pub(crate) fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::new(&whole.metrics, &whole.octets) }
    }

    pub(crate) fn duration(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the last octet went either way, or was kept waiting by a limit; the beginning, where none did.
    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Waits until some of the `wanted` octets may go.
    ///
    /// # Errors
    /// Octets that go up never may, once the session has sent all that it may send.
    pub(super) async fn admit(&self, direction: Direction, wanted: usize) -> Result<Leave, Exhausted> {
        let mut wait = Wait::default();
        poll_fn(|context| self.poll_admit(direction, wanted, &mut wait, context)).await
    }

    fn poll_admit(
        &self,
        direction: Direction,
        wanted: usize,
        wait: &mut Wait,
        context: &mut Context<'_>,
    ) -> Poll<Result<Leave, Exhausted>> {
        loop {
            if let Some(sleeping) = &mut wait.0 {
                ready!(sleeping.as_mut().poll(context));
            }
            match self.octets.take(direction, wanted as u64) {
                Ok(octets) => {
                    wait.0 = None;
                    return Poll::Ready(Ok(Leave { direction, octets: usize::try_from(octets).unwrap_or(wanted) }));
                }
                Err(Held::Exhausted(exhausted)) => {
                    self.metrics.limited(Limit::Uploads);
                    return Poll::Ready(Err(exhausted));
                }
                Err(Held::For(time)) => {
                    if wait.0.is_none() {
                        self.metrics.limited(Limit::Bandwidth);
                    }
                    self.stay_awake();
                    // Sooner than need be: what is paced does not look idle, and takes note of a reload.
                    wait.0 = Some(Box::pin(sleep(time.min(LONGEST_SLEEP))));
                }
            }
        }
    }

    /// Counts what went.
    pub(super) fn count(&self, Leave { direction, octets }: Leave) {
        self.add(direction, octets as u64);
    }

    fn add(&self, direction: Direction, count: u64) {
        match (&self.whole, direction) {
            (Some(whole), _) => whole.add(direction, count),
            (None, Direction::Up) => self.metrics.sent_up(count),
            (None, Direction::Down) => self.metrics.sent_down(count),
        }
        let sum = if direction == Direction::Up { &self.up } else { &self.down };
        sum.fetch_add(count, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    fn stay_awake(&self) {
        self.touch();
        if let Some(whole) = &self.whole {
            whole.stay_awake();
        }
    }
}

/// The data of a body on its way: let through as it may go, and counted.
pub(crate) struct Metered {
    traffic: Arc<Traffic>,
    direction: Direction,
    /// What may not go yet.
    held: Bytes,
    wait: Wait,
    /// Who is told that the session may send no more.
    spent: Option<oneshot::Sender<Exhausted>>,
}

/// Tells that a body was broken off since its session may send no more.
pub(crate) struct Spent(oneshot::Receiver<Exhausted>);

impl Spent {
    /// Ends with why it was broken off, and never where it was not.
    pub(crate) async fn refusal(self) -> Refusal {
        match self.0.await {
            Ok(exhausted) => exhausted.into(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Puts on record that it was broken off, where that may still happen: whatever becomes of the answer that has begun.
    pub(super) fn note(mut self, gate: &Arc<Gate>, subject: &Subject, asked: &Asked, address: Option<IpAddr>) {
        let (gate, subject, asked) = (Arc::clone(gate), subject.clone(), asked.clone());
        let note = move |exhausted: Exhausted| drop(gate.note(Some(&subject), &asked, exhausted.into(), asked.record().at(address)));
        match self.0.try_recv() {
            Ok(exhausted) => note(exhausted),
            Err(TryRecvError::Closed) => {}
            Err(TryRecvError::Empty) => drop(tokio::spawn(async move { self.0.await.map(note) })),
        }
    }
}

impl From<Exhausted> for BodyFault {
    fn from(exhausted: Exhausted) -> Self {
        let Refusal { denial, .. } = exhausted.into();
        Self { reason: denial.reason, detail: denial.detail }
    }
}

impl Metered {
    /// Of what goes up, `first` before anything else; and what tells that it was broken off.
    pub(crate) fn up(traffic: &Arc<Traffic>, first: Bytes) -> (Self, Spent) {
        let (tell, spent) = oneshot::channel();
        (Self { spent: Some(tell), ..Self::new(traffic, Direction::Up, first) }, Spent(spent))
    }

    /// Of what comes down, `first` before anything else.
    pub(crate) fn down(traffic: &Arc<Traffic>, first: Bytes) -> Self {
        Self::new(traffic, Direction::Down, first)
    }

    fn new(traffic: &Arc<Traffic>, direction: Direction, first: Bytes) -> Self {
        Self { traffic: Arc::clone(traffic), direction, held: first, wait: Wait::default(), spent: None }
    }

    /// Takes data that goes on once nothing is held.
    pub(crate) fn push(&mut self, data: Bytes) {
        self.held = if self.held.is_empty() { data } else { [&*self.held, &*data].concat().into() };
    }

    /// What may go next of what is held; none where nothing is. After an error nothing goes any more.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        if self.held.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.traffic.poll_admit(self.direction, self.held.len(), &mut self.wait, context)) {
            Ok(leave) => {
                let data = self.held.split_to(leave.octets.min(self.held.len()));
                self.traffic.count(leave);
                Ok(data)
            }
            Err(exhausted) => Err(self.break_off(exhausted)),
        }))
    }

    /// Takes what follows the data, in one piece or not at all.
    pub(crate) fn finish(&mut self, octets: usize) -> Result<(), BodyFault> {
        match self.direction {
            Direction::Up => self.traffic.octets.take_whole(octets as u64).map_err(|exhausted| {
                self.traffic.metrics.limited(Limit::Uploads);
                self.break_off(exhausted)
            }),
            Direction::Down => Ok(()),
        }
    }

    fn break_off(&mut self, exhausted: Exhausted) -> BodyFault {
        if let Some(spent) = self.spent.take() {
            let _ = spent.send(exhausted);
        }
        exhausted.into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The length of what is held and of what is to come.
    pub(crate) fn before(&self, rest: &SizeHint) -> SizeHint {
        let held = self.held.len() as u64;
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole
    }
}

/// Longest until one who waits looks again.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

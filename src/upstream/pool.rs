//! Connections that have carried a request and may carry more: for the same session, destination and TLS client, and for nobody
//! else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::Method;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    connection::{Shared, Sole},
    tls::{self, TlsClient},
};
use crate::{destination::Destination, sessions::Identity};

/// Whose connections these are, and where they lead. There is no way to a connection but by its own key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    session: Identity,
    destination: Destination,
    /// By which the upstream was verified; none where it speaks plain HTTP.
    tls: Option<tls::Identity>,
}

impl Key {
    /// Whether what goes there is plain HTTP.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    pub(crate) fn new(session: Identity, destination: Destination, tls: Option<&TlsClient>) -> Self {
        Self { session, destination, tls: tls.map(TlsClient::identity) }
    }
}

/// All connections that wait, or that more exchanges may share.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Arc<Mutex<Inner>>,
    /// How long a connection may wait.
    patience: Duration,
}

#[derive(Default)]
struct Inner {
    places: HashMap<Key, Place>,
    /// Moves on when everything is forgotten; what began before does not come back.
    epoch: u64,
    sweeping: bool,
}

/// What one key has.
#[derive(Default)]
struct Place {
    waiting: Vec<(Instant, Box<Sole>)>,
    shared: Vec<Arc<Shared>>,
    /// Somebody is opening a connection that others might share.
    opening: Option<watch::Receiver<bool>>,
    /// The upstream is known to speak HTTP/1, so that there is nothing to wait for.
    sole: bool,
}

impl Place {
    fn is_opening(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.has_changed().is_ok())
    }
}

/// What a pool has for a request.
pub(super) enum Found {
    /// One that waited; its next exchange has begun.
    Sole(Box<Sole>, Home),
    /// One that others use; another exchange of it has begun.
    Shared(Arc<Shared>, Home),
    /// Somebody opens a connection; true is sent once it can be shared.
    Wait(watch::Receiver<bool>),
    Nothing(Home),
}

/// Where a connection belongs.
pub(crate) struct Home {
    pool: Pool,
    key: Key,
    epoch: u64,
    /// Others wait for what comes of this connection.
    opening: Option<watch::Sender<bool>>,
}

impl Pool {
    /// `patience` bounds how long a connection waits for the next request, beside [`H1_IDLE`] and [`H2_IDLE`].
    pub(super) fn new(patience: Duration) -> Self {
        Self { inner: Arc::default(), patience }
    }

    /// A connection for a request by `method`. One in HTTP/1 that waits is given only to what is `repeatable`: the upstream may
    /// close it at any time, and nobody could tell whether it acted on the request.
    pub(super) fn find(&self, key: &Key, method: &Method, repeatable: bool) -> Found {
        let mut inner = self.lock();
        inner.sweep(self.patience);
        let epoch = inner.epoch;
        let home = Home { pool: self.clone(), key: key.clone(), epoch, opening: None };
        let place = inner.places.entry(key.clone()).or_default();
        if let Some(shared) = place.shared.iter().find(|shared| shared.is_usable() && shared.has_room()) {
            shared.begin();
            return Found::Shared(Arc::clone(shared), home);
        }
        while let Some((_, sole)) = place.waiting.pop_if(|_| repeatable) {
            if sole.is_free() && sole.begin(method).is_some() {
                return Found::Sole(sole, home);
            }
        }
        match &place.opening {
            Some(opening) if place.is_opening() => Found::Wait(opening.clone()),
            Some(_) | None => Found::Nothing(home.opening(place)),
        }
    }

    /// Where a connection belongs that was dialled anyway.
    pub(super) fn home(&self, key: Key) -> Home {
        let mut inner = self.lock();
        let epoch = inner.epoch;
        let place = inner.places.entry(key.clone()).or_default();
        let home = Home { pool: self.clone(), key, epoch, opening: None };
        if place.is_opening() { home } else { home.opening(place) }
    }

    /// Closes what waits, and lets nothing more begin on what is in use.
    pub(super) fn forget_all(&self) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.places.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that what waits is closed in time.
    fn keep_tidy(&self, inner: &mut Inner) {
        inner.make_room();
        if std::mem::replace(&mut inner.sweeping, true) {
            return;
        }
        // Without a runtime, as while it ends, nothing waits.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(&self.inner), self.patience));
        }
    }
}

/// Closes what has waited for too long, until nothing is left.
async fn sweep(pool: Weak<Mutex<Inner>>, patience: Duration) {
    loop {
        sleep(SWEEP.min(patience)).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut inner = pool.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sweep(patience);
        if inner.places.is_empty() {
            inner.sweeping = false;
            return;
        }
    }
}

impl Inner {
    /// Drops what is closed, or old, or has waited too long, and keys with nothing left.
    fn sweep(&mut self, patience: Duration) {
        self.places.retain(|_, place| {
            place
                .waiting
                .retain(|(since, sole)| sole.is_free() && since.elapsed() < H1_IDLE.min(patience) && sole.opened.elapsed() < MAX_AGE);
            place.shared.retain(|shared| {
                let waited = shared.idle_since().is_some_and(|since| since.elapsed() >= H2_IDLE.min(patience));
                shared.is_usable() && !waited && shared.opened.elapsed() < MAX_AGE
            });
            place.is_opening() || !place.waiting.is_empty() || !place.shared.is_empty()
        });
    }

    /// Closes those that have waited longest where there are too many.
    fn make_room(&mut self) {
        let mut count = 0;
        for place in self.places.values_mut() {
            let surplus = place.waiting.len().saturating_sub(MAX_IDLE_OF_KEY);
            place.waiting.drain(..surplus);
            count += place.waiting.len() + place.shared.len();
        }
        if count <= MAX_IDLE_OF_SESSION {
            return;
        }
        let mut idle: Vec<(Instant, Key)> = Vec::new();
        for (key, place) in &self.places {
            let shared = place.shared.iter().filter_map(|shared| shared.idle_since());
            idle.extend(place.waiting.iter().map(|(since, _)| *since).chain(shared).map(|since| (since, key.clone())));
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        let mut surplus = idle.len().saturating_sub(MAX_IDLE);
        let mut of_session: HashMap<Identity, usize> = HashMap::new();
        for (_, key) in &idle {
            *of_session.entry(key.session).or_default() += 1;
        }
        for (since, key) in idle {
            let many = of_session.get_mut(&key.session).filter(|count| **count > MAX_IDLE_OF_SESSION || surplus > 0);
            if let (Some(count), Some(place)) = (many, self.places.get_mut(&key)) {
                *count -= 1;
                surplus = surplus.saturating_sub(1);
                place.waiting.retain(|(other, _)| *other != since);
                place.shared.retain(|shared| shared.idle_since() != Some(since));
            }
        }
    }
}

impl Home {
    fn opening(mut self, place: &mut Place) -> Self {
        // Plain HTTP is never shared.
        if self.key.tls.is_some() && !place.sole {
            let (tell, told) = watch::channel(false);
            place.opening = Some(told);
            self.opening = Some(tell);
        }
        self
    }

    /// Lets others share a connection that was opened.
    pub(super) fn share(&mut self, connection: &Arc<Shared>) {
        let mut inner = self.pool.lock();
        if inner.epoch == self.epoch {
            inner.places.entry(self.key.clone()).or_default().shared.push(Arc::clone(connection));
            self.pool.keep_tidy(&mut inner);
        }
        drop(inner);
        if let Some(opening) = self.opening.take() {
            opening.send_replace(true);
        }
    }

    /// What was opened is for one exchange at a time: nobody need wait for it.
    pub(super) fn keep(&mut self) {
        if self.opening.take().is_some()
            && let Some(place) = self.pool.lock().places.get_mut(&self.key)
        {
            place.sole = true;
        }
    }

    /// Lets a connection wait for the next request, where it may.
    pub(super) fn give_back(self, connection: Box<Sole>) {
        let mut inner = self.pool.lock();
        if inner.epoch == self.epoch && connection.is_free() {
            inner.places.entry(self.key.clone()).or_default().waiting.push((Instant::now(), connection));
            self.pool.keep_tidy(&mut inner);
        }
    }

    /// Closes what is too much, once an exchange of a shared connection has ended.
    pub(super) fn tidy(&self) {
        let mut inner = self.pool.lock();
        inner.sweep(self.pool.patience);
        self.pool.keep_tidy(&mut inner);
    }
}

/// How long a connection in HTTP/1 waits: common servers (Node, Apache, uvicorn) close after 5 s, and what they close while a
/// request is under way has to be repeated.
const H1_IDLE: Duration = Duration::from_secs(4);
/// The same in HTTP/2, where servers wait longer, and say which requests they have not taken.
const H2_IDLE: Duration = Duration::from_secs(15);
/// After this a name is resolved anew, however busy its connection is.
const MAX_AGE: Duration = Duration::from_secs(300);
const SWEEP: Duration = Duration::from_secs(1);
/// Connections of one key, of one session, and of all, that wait in HTTP/1 or idle in HTTP/2.
const MAX_IDLE_OF_KEY: usize = 8;
const MAX_IDLE_OF_SESSION: usize = 32;
pub(crate) const MAX_IDLE: usize = 256;

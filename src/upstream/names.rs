//! What names lead to: each asked for once at a time, and its answer kept for as long as it may be.
//!
//! What is kept are answers, not leave to dial: every use of one is judged by the permit of whoever uses it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use super::resolver::{Resolved, Resolver, Unresolved};
use crate::destination::Name;

/// A resolver that does not ask twice for what it knows.
pub(super) struct Names {
    resolver: Resolver,
    answers: Mutex<HashMap<Name, Arc<Answer>>>,
}

/// One answer, from when it is asked for.
type Answer = OnceCell<Result<Kept, Unresolved>>;

#[derive(Clone)]
struct Kept {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

impl Names {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, answers: Mutex::default() }
    }

    /// The addresses of a name. Whoever asks while somebody else does gets the same answer, and so does whoever asks within its
    /// TTL, though not for more than [`LONGEST`]. A failure is kept for nobody. It is `now`.
    pub(super) async fn addresses(&self, name: &Name, now: Instant) -> Result<Vec<IpAddr>, Unresolved> {
        let answer = self.answer(name, now);
        // Where the one who asks gives up, the next of those who wait asks in its place.
        let resolved = answer.get_or_init(|| async { Ok(Kept::new(self.resolver.addresses(name).await?, now)) }).await;
        if !resolved.as_ref().is_ok_and(|kept| kept.is_good(now)) {
            self.forget(name, &answer);
        }
        resolved.as_ref().map(|kept| kept.addresses.to_vec()).map_err(Unresolved::clone)
    }

    fn answer(&self, name: &Name, now: Instant) -> Arc<Answer> {
        let mut answers = self.lock();
        if let Some(answer) = answers.get(name).filter(|answer| is_of_use(answer, now)) {
            return Arc::clone(answer);
        }
        if answers.len() >= MOST {
            answers.retain(|_, answer| is_of_use(answer, now));
        }
        let answer = Arc::new(Answer::new());
        // Names beyond the bound are asked for each time.
        if answers.len() < MOST {
            answers.insert(name.clone(), Arc::clone(&answer));
        }
        answer
    }

    fn forget(&self, name: &Name, answer: &Arc<Answer>) {
        let mut answers = self.lock();
        if answers.get(name).is_some_and(|kept| Arc::ptr_eq(kept, answer)) {
            answers.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody is asking for it, or it is still good.
fn is_of_use(answer: &Arc<Answer>, now: Instant) -> bool {
    match answer.get() {
        // The map's own is one of them.
        None => Arc::strong_count(answer) > 1,
        Some(answer) => answer.as_ref().is_ok_and(|kept| kept.is_good(now)),
    }
}

impl Kept {
    fn new(Resolved { addresses, ttl }: Resolved, asked: Instant) -> Self {
        Self { addresses: addresses.into(), until: asked + ttl.min(LONGEST) }
    }

    fn is_good(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// What a record may say of itself at most: what is behind a name changes sooner than its owner says.
const LONGEST: Duration = Duration::from_secs(60);
/// Names that are kept.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};

    use super::{
        super::{
            NameServers,
            tests::{NameServer, Reply, v4},
        },
        *,
    };
    use crate::destination::Host;

    fn name(text: &str) -> Name {
        Host::parse(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    /// A server that knows every name, its records good for `ttl` seconds.
    async fn server(ttl: u32) -> (NameServer, Names) {
        let script = move |family, _| {
            if family == RecordType::A { Reply::For(ttl, vec![v4([192, 0, 2, 1])]) } else { Reply::Records(Vec::new()) }
        };
        names(NameServer::start(script).await)
    }

    fn names(server: NameServer) -> (NameServer, Names) {
        let resolver = Resolver::new(NameServers::One(server.address), Duration::from_secs(20)).unwrap();
        (server, Names::new(resolver))
    }

    /// How often each family was asked for.
    fn rounds(server: &NameServer) -> usize {
        let asked = server.asked().len();
        assert_eq!(asked % 2, 0);
        asked / 2
    }

    #[tokio::test]
    async fn threat_86_many_who_ask_at_once_are_one_query() {
        let (server, names) = server(0).await;
        let (names, wanted) = (Arc::new(names), name("host.example"));
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let (names, wanted) = (Arc::clone(&names), wanted.clone());
                async move { names.addresses(&wanted, Instant::now()).await }
            })
            .collect();
        let answers = futures_of(asking).await;
        assert!(answers.iter().all(|answer| *answer == Ok(vec![IpAddr::from([192, 0, 2, 1])])));
        assert_eq!(rounds(&server), 1);
        // Who comes later asks anew: the answer is for nobody but those who waited for it.
        names.addresses(&wanted, Instant::now()).await.unwrap();
        assert_eq!((rounds(&server), names.lock().len()), (2, 0));
    }

    /// Polls all of them in turn.
    async fn futures_of<T: Send + 'static>(futures: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
        let mut set = tokio::task::JoinSet::new();
        for future in futures {
            set.spawn(future);
        }
        set.join_all().await
    }

    #[tokio::test]
    async fn threat_33_an_answer_is_kept_for_its_ttl_and_never_for_long() {
        for (ttl, good) in [(5, 5), (300, 60), (0x7fff_ffff, 60)] {
            let (server, names) = server(ttl).await;
            let (wanted, first) = (name("host.example"), Instant::now());
            for (age, asked) in [(0, 1), (good - 1, 1), (good, 2)] {
                names.addresses(&wanted, first + Duration::from_secs(age)).await.unwrap();
                assert_eq!(rounds(&server), asked, "{ttl} after {age} s");
            }
        }
        // A TTL whose first bit is set is none (RFC 2181, section 8).
        let (server, names) = server(0x8000_0000).await;
        for round in 1..=2 {
            names.addresses(&name("host.example"), Instant::now()).await.unwrap();
            assert_eq!(rounds(&server), round);
        }
    }

    #[tokio::test]
    async fn a_failure_is_kept_for_nobody() {
        let (server, names) = names(NameServer::start(|_, _| Reply::Code(ResponseCode::NXDomain)).await);
        for round in 1..=3 {
            assert_eq!(names.addresses(&name("gone.example"), Instant::now()).await, Err(Unresolved::NoSuchName));
            assert_eq!((rounds(&server), names.lock().len()), (round, 0));
        }
    }

    #[tokio::test]
    async fn one_who_gives_up_leaves_the_others_an_answer() {
        let (server, names) = server(60).await;
        let wanted = name("host.example");
        let mut first = Box::pin(names.addresses(&wanted, Instant::now()));
        assert!(poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await);
        let second = names.addresses(&wanted, Instant::now());
        drop(first);
        assert_eq!(second.await, Ok(vec![IpAddr::from([192, 0, 2, 1])]));
        assert!(rounds(&server) <= 2);
    }

    #[tokio::test]
    async fn names_that_are_kept_are_bounded() {
        let (_server, names) = server(60).await;
        for number in 0..MOST {
            let cell = Answer::new();
            cell.set(Ok(Kept { addresses: Arc::default(), until: Instant::now() + LONGEST })).unwrap_or_default();
            names.lock().insert(name(&format!("n{number}.example")), Arc::new(cell));
        }
        names.addresses(&name("one.more.example"), Instant::now()).await.unwrap();
        assert_eq!(names.lock().len(), MOST);
        names.addresses(&name("one.more.example"), Instant::now() + LONGEST).await.unwrap();
        assert_eq!(names.lock().len(), 1);
    }
}

use std::{error::Error as StdError, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::sync::mpsc;

use super::{
    super::{
        Failure, NameServers, ResponseBody, TlsClient, UpstreamSettings,
        exchange::tests::{ALL, Channel, LIMIT, PATIENT, Server, Source, Spoken, Then, count, request, text, tls, within},
        tests::{NameServer, Reply, v4},
    },
    *,
};
use crate::{
    destination::Destination,
    metrics::Metrics,
    policy::{Facts, Policy, Way},
    sessions::Identity,
};

/// One upstream, asked on behalf of sessions.
struct World {
    server: Server,
    upstream: Upstream,
    metrics: Arc<Metrics>,
    tls: Option<TlsClient>,
    policy: Policy,
    _names: NameServer,
}

impl World {
    async fn new(spoken: Spoken) -> Self {
        let names = NameServer::start(|family, _| {
            Reply::Records(if family == hickory_resolver::proto::rr::RecordType::A { vec![v4([127, 0, 0, 1])] } else { Vec::new() })
        })
        .await;
        let settings = UpstreamSettings {
            name_servers: NameServers::One(names.address),
            dns_timeout: LIMIT,
            connect_timeout: LIMIT,
            keep_alive: LIMIT,
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let upstream = Upstream::new(&settings, Arc::clone(&metrics)).unwrap();
        let text = "access = \"custom\"\nallow = [\"allowed.test:*\"]\n[addresses]\nallow = [\"127.0.0.1/32\"]";
        let (policy, _) = Policy::parse("policy.toml", text).unwrap();
        let tls = (spoken != Spoken::H1).then(tls);
        Self { server: Server::start(spoken).await, upstream, metrics, tls, policy, _names: names }
    }

    async fn ask<B>(&self, session: Identity, request: Request<B>) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let name = format!("allowed.test:{}", self.server.endpoint.destination.port);
        let destination = Destination::parse(name.as_bytes(), None).unwrap();
        let facts = Facts { destination: &destination, way: Way::Connect, now: std::time::SystemTime::UNIX_EPOCH };
        let permit = self.policy.decide_destination(&facts).unwrap();
        let cleared = permit.expectation().decide_opaque().unwrap();
        let key = Key::new(session, destination, self.tls.as_ref());
        let route = match within(self.upstream.reuse(&key, &request, permit)).await {
            Ok(reused) => Connected::Reused(reused),
            Err((permit, home)) => {
                let admitted = self.upstream.resolve(permit).await.unwrap();
                Connected::Dialled(self.upstream.dial(admitted).await?, Some(home))
            }
        };
        within(Box::pin(self.upstream.exchange_over(route, cleared, self.tls.as_ref(), PATIENT, request))).await
    }

    async fn get(&self, session: Identity) {
        let answer = self.ask(session, request(Method::GET, "/echo", Source::known(0))).await.unwrap();
        assert_eq!(within(count(answer.into_body())).await, Ok(0));
    }

    /// Connections that were dialled.
    fn dialled(&self) -> u64 {
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix("tidegate_connect_seconds_count ")).unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn threat_68_a_connection_serves_one_session_and_one_tls_client() {
    for spoken in ALL {
        let mut world = World::new(spoken).await;
        let (one, other) = (Identity::new(), Identity::new());
        for _ in 0..3 {
            world.get(one).await;
        }
        assert_eq!(world.dialled(), 1, "{spoken:?}");
        world.get(other).await;
        assert_eq!(world.dialled(), 2, "{spoken:?}");
        world.get(one).await;
        assert_eq!(world.dialled(), 2, "{spoken:?}");
        if spoken != Spoken::H1 {
            world.tls = Some(tls());
            world.get(one).await;
            assert_eq!(world.dialled(), 3, "{spoken:?}");
        }
    }
}

#[tokio::test]
async fn what_is_forgotten_closes_and_does_not_come_back() {
    for spoken in ALL {
        let mut world = World::new(spoken).await;
        let session = Identity::new();
        world.get(session).await;
        world.upstream.forget_connections();
        assert_eq!(within(world.server.closed.recv()).await, Some(()), "{spoken:?}");
        // One that is in use while all are forgotten.
        let (send, receive) = mpsc::unbounded_channel();
        let asked = Request::builder().method(Method::POST).uri("/echo").body(Channel(receive, false)).unwrap();
        let answer = world.ask(session, asked).await.unwrap();
        world.upstream.forget_connections();
        send.send(Ok(Bytes::from_static(b"goes on"))).unwrap();
        drop(send);
        assert_eq!(text(answer).await.as_deref(), Ok("goes on"), "{spoken:?}");
        assert_eq!(within(world.server.closed.recv()).await, Some(()), "{spoken:?}");
        world.get(session).await;
        assert_eq!(world.dialled(), 3, "{spoken:?}");
    }
}

#[tokio::test]
async fn threat_67_what_is_broken_off_ends_a_connection_in_http_1_and_a_stream_in_http_2() {
    for (spoken, dialled) in [(Spoken::H1, 2), (Spoken::H1OverTls, 2), (Spoken::H2, 1)] {
        let world = World::new(spoken).await;
        let session = Identity::new();
        let answer = world.ask(session, request(Method::GET, "/endless", Source::known(0))).await.unwrap();
        drop(answer);
        world.get(session).await;
        assert_eq!(world.dialled(), dialled, "{spoken:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_retires_its_connection_and_leaves_the_others_alone() {
    let mut world = World::new(Spoken::H2).await;
    let session = Identity::new();
    let (send, receive) = mpsc::unbounded_channel();
    let asked = Request::builder().method(Method::POST).uri("/echo").body(Channel(receive, false)).unwrap();
    let mut answer = world.ask(session, asked).await.unwrap();
    let given_up = world.ask(session, request(Method::POST, "/early", Source::new(100, Then::Wait))).await.unwrap();
    assert_eq!(world.dialled(), 1);
    drop(given_up);
    assert!(world.server.body().await.is_err(), "the upstream learns that it is no whole request");
    send.send(Ok(Bytes::from_static(b"alive"))).unwrap();
    let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "alive");
    world.get(session).await;
    assert_eq!(world.dialled(), 2);
    drop((send, answer));
    assert_eq!(within(world.server.closed.recv()).await, Some(()));
}

#[tokio::test]
async fn many_at_once_wait_for_the_first_connection_and_share_it() {
    let world = World::new(Spoken::H2).await;
    let session = Identity::new();
    let (mut sends, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let (send, receive) = mpsc::unbounded_channel();
        let request = Request::builder().method(Method::POST).uri("/echo").body(Channel(receive, false)).unwrap();
        sends.push(send);
        asked.push(world.ask(session, request));
    }
    let answers = futures_of(asked).await;
    assert_eq!(world.dialled(), 1);
    drop(sends);
    for answer in answers {
        assert_eq!(within(count(answer.into_body())).await, Ok(0));
    }
}

#[tokio::test]
async fn only_so_many_wait() {
    for (sessions, most) in [(1, 8), (10, 80)] {
        let mut world = World::new(Spoken::H1).await;
        let opened = sessions * 10;
        for _ in 0..sessions {
            let session = Identity::new();
            for _ in 0..10 {
                // What cannot be repeated goes over no connection that waits.
                let request = Request::builder().method(Method::POST).uri("/echo").body(Empty::<Bytes>::new()).unwrap();
                let answer = world.ask(session, request).await.unwrap();
                assert_eq!(within(count(answer.into_body())).await, Ok(0));
            }
        }
        assert_eq!(world.dialled(), opened);
        for _ in most..opened {
            assert_eq!(within(world.server.closed.recv()).await, Some(()));
        }
        assert!(world.server.closed.try_recv().is_err(), "{most} wait");
    }
}

/// All of them, polled together.
async fn futures_of<F: Future<Output = Result<Response<ResponseBody>, Failure>>>(futures: Vec<F>) -> Vec<Response<ResponseBody>> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut futures {
            if done.is_none()
                && let Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *done = Some(answer.unwrap());
            }
        }
        if futures.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

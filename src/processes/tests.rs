//! Searches for processes that are really there.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    process,
};

use super::*;

/// A connection to ourselves, and its ends.
fn connection(address: &str) -> (TcpStream, TcpStream, Ends) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let ends = Ends { client: peer, server: accepted.local_addr().unwrap() };
    (client, accepted, ends)
}

fn processes() -> Processes {
    Processes::new(Diagnosis::of(Some(Diagnosis::open().unwrap())))
}

fn seeker() -> Seeker {
    Seeker::new(Arc::new(Diagnosis::of(Some(Diagnosis::open().unwrap()))))
}

fn us() -> Process {
    let exe = fs::read_link("/proc/self/exe").unwrap();
    Process { pid: process::id(), exe: Some(exe.to_str().unwrap().into()) }
}

/// Whoever is found at last: a machine that is busy with other tests may take longer than anybody waits.
async fn found(processes: &Processes, ends: Ends) -> Option<Arc<Process>> {
    let begun = Instant::now();
    loop {
        let found = processes.find(ends).await;
        if found.is_some() || begun.elapsed() > LONG {
            return found;
        }
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn who_has_connected_is_found_by_either_family() {
    let processes = processes();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (_client, _accepted, ends) = connection(address);
        assert_eq!(found(&processes, ends).await.as_deref(), Some(&us()), "{address}");
    }
    let (client, _accepted, ends) = connection("127.0.0.1:0");
    drop(client);
    assert_eq!(processes.find(ends).await, None, "nobody holds it");
    let elsewhere = Ends { client: "192.0.2.1:50000".parse().unwrap(), ..ends };
    assert_eq!(processes.find(elsewhere).await, None, "a client on another machine");
    assert_eq!(Processes::new(Diagnosis::of(None)).find(ends).await, None, "where the kernel does not tell");
}

#[test]
fn who_was_found_is_looked_at_first_and_no_longer_once_it_is_another() {
    let mut seeker = seeker();
    let deadline = || Instant::now() + LONG;
    let (client, _accepted, ends) = connection("127.0.0.1:0");
    assert_eq!(seeker.find(&ends, deadline()), Some(us()));
    assert_eq!(seeker.recent, [process::id()]);
    assert_eq!(seeker.find(&ends, Instant::now()), Some(us()), "without time to look at others");
    seeker.recent = VecDeque::from([1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(seeker.find(&ends, deadline()), Some(us()));
    assert_eq!(seeker.recent, [process::id(), 1, 2, 3, 4, 5, 6, 7]);
    drop(client);
    assert_eq!(seeker.find(&ends, deadline()), None);
}

#[test]
fn without_time_or_credit_nobody_is_found() {
    let (_client, _accepted, ends) = connection("127.0.0.1:0");
    let mut late = seeker();
    assert_eq!(late.find(&ends, Instant::now()), None);
    let mut spent = seeker();
    (spent.credit, spent.credited) = (Duration::ZERO, Instant::now() + Duration::from_secs(60));
    let (searches, received) = sync_channel(1);
    let (answer, mut found) = oneshot::channel();
    searches.send(Search { ends, answer }).unwrap();
    drop(searches);
    spent.work(&received);
    assert!(found.try_recv().is_err());
}

/// For how long this thread has had a processor.
fn on_processor() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// What it costs: `cargo test --release --lib processes -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and takes processes to do so"]
fn costs() {
    for count in [0, 1000] {
        let mut children: Vec<_> =
            (0..count).map(|_| process::Command::new("sleep").arg("60").stdin(process::Stdio::null()).spawn().unwrap()).collect();
        let (client, accepted, ends) = connection("127.0.0.1:0");
        let mut seeker = seeker();
        let timed = |what: &str, seeker: &mut Seeker, ends: &Ends, forget: bool| {
            let begun = on_processor();
            for _ in 0..100 {
                if forget {
                    seeker.recent.clear();
                }
                seeker.find(ends, Instant::now() + Duration::from_secs(1));
            }
            eprintln!("{count} processes more, {what}: {:?}", on_processor().saturating_sub(begun) / 100);
        };
        timed("known", &mut seeker, &ends, false);
        timed("not known, older than all of them", &mut seeker, &ends, true);
        let elsewhere = Ends { client: "192.0.2.1:50000".parse().unwrap(), ..ends };
        timed("not of this machine", &mut seeker, &elsewhere, true);
        let _ = (client.as_fd(), accepted.as_fd());
        for child in &mut children {
            let _ = (child.kill(), child.wait());
        }
    }
}

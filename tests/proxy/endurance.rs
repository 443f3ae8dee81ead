//! What has to hold for long: reloads under load, and what a neighbour feels of floods.

use std::{
    collections::BTreeMap,
    fs, mem,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Client, Dns, Hello, Origin, PATIENCE, Setup, Tidegate,
    client::{ask, get},
    h2::{block, frame, headers},
    identity,
    tls::trusting,
};

const FIRST: &str = "first-token-0123456789abcdef0123456789";
const SECOND: &str = "second-token-0123456789abcdef012345678";

// ── threat 130: reloads under load

/// Puts another policy in force, in one piece, as fast as that goes.
#[track_caller]
fn swap(gate: &Tidegate, policy: &str) {
    let before = gate.metric("tidegate_policy_generation");
    fs::write(gate.path("next.toml"), policy).expect("a file");
    fs::rename(gate.path("next.toml"), gate.path("policy.toml")).expect("the policy");
    let pid = i32::try_from(gate.pid()).ok().and_then(Pid::from_raw).expect("its pid");
    kill_process(pid, Signal::HUP).expect("a signal");
    let deadline = Instant::now() + PATIENCE;
    while gate.metric("tidegate_policy_generation") == before {
        assert!(Instant::now() < deadline, "not in force after {PATIENCE:?}\n{}", gate.stderr());
        thread::sleep(Duration::from_micros(500));
    }
}

/// Whether each of these was allowed, as often as there is time.
fn ask_on(gate: &Tidegate, requests: &[&str], ended: &AtomicBool) -> u64 {
    let (mut client, mut asked) = (Client::connect(gate.proxy()), 0);
    while !ended.load(Ordering::Relaxed) {
        for request in requests {
            let reply = client.send(request).reply();
            let known = (reply.status == 200 && reply.text() == "from the origin") || reply.verdict() == (403, "host_not_allowed");
            assert!(known, "{request}: {reply:?}");
            assert!(requests.len() > 1 || reply.status == 200, "both policies allow it: {reply:?}");
            asked += 1;
            if asked % 100 == 0 || reply.header("connection") == Some("close") {
                client = Client::connect(gate.proxy());
            }
        }
    }
    asked
}

fn reload_under_load(reloads: u32) {
    let (origin, echoing, dns) = (Origin::saying("from the origin"), Origin::echoing(), Dns::loopback());
    let policies = ["a.test", "b.test"].map(|own| {
        format!(
            "allow = [\"common.test:{0}\", \"{own}:{0}\", \"echo.test:{1}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n\
             [limits]\nrequests_per_second = 1000000\nnew_connections_per_second = 100000\ndns_queries_per_second = 1000000\n",
            origin.port(),
            echoing.port()
        )
    });
    let gate = Tidegate::start(policies[0].clone(), dns.address());
    let [common, a, b] = ["common.test", "a.test", "b.test"].map(|host| get(&format!("{host}:{}", origin.port())));
    let ended = AtomicBool::new(false);
    let began = Instant::now();
    let (kept, mixed, echoed) = thread::scope(|scope| {
        let kept = scope.spawn(|| ask_on(&gate, &[&common], &ended));
        let mixed = scope.spawn(|| ask_on(&gate, &[&a, &b], &ended));
        let echo = scope.spawn(|| {
            let mut tunnel = Client::tunnel(gate.proxy(), &format!("echo.test:{}", echoing.port())).expect("a tunnel");
            let mut echoed = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(tunnel.send("still here").exactly(10), b"still here", "a tunnel that both policies allow");
                echoed += 1;
            }
            echoed
        });
        for number in 1..=reloads {
            swap(&gate, &policies[usize::from(number % 2 == 1)]);
        }
        ended.store(true, Ordering::Relaxed);
        (kept.join().unwrap(), mixed.join().unwrap(), echo.join().unwrap())
    });
    assert!(kept > 0 && mixed > 0 && echoed > 0);
    assert!(gate.metric("tidegate_policy_generation") > u64::from(reloads));
    assert_eq!(gate.metric("tidegate_policy_reloads_total{result=\"failed\"}"), 0);
    // Whatever a generation decides of a host, it decides each time, and of the two it allows one.
    let mut decided: BTreeMap<u64, BTreeMap<String, bool>> = BTreeMap::new();
    let mut judged = 0;
    for record in gate.records().iter().filter(|record| record["bytes_up"].is_null()) {
        let (host, generation) = (record["host"].as_str().expect("a host"), record["generation"].as_u64().expect("a generation"));
        let allowed = record["verdict"] == "allow";
        let before = decided.entry(generation).or_default().insert(host.to_owned(), allowed);
        assert!(before.is_none_or(|before| before == allowed), "a mix: {record:#}");
        judged += 1;
    }
    for (generation, hosts) in &decided {
        assert!(hosts.get("common.test") != Some(&false), "generation {generation}: {hosts:?}");
        assert!(hosts.get("a.test").is_none_or(|a| hosts.get("b.test") != Some(a)), "generation {generation}: {hosts:?}");
    }
    eprintln!(
        "{reloads} reloads in {:.1?}: {kept} requests that both policies allow, {mixed} that one does, {echoed} echoes; {judged} decisions of \
         {} generations",
        began.elapsed(),
        decided.len()
    );
}

#[test]
fn threat_130_reloads_under_load_mix_nothing_and_lose_nothing() {
    reload_under_load(100);
}

#[test]
#[ignore = "takes minutes: make long"]
fn threat_130_ten_thousand_reloads_under_load_mix_nothing_and_lose_nothing() {
    reload_under_load(10_000);
}

// ── threats 45, 69, 78: what a neighbour feels

/// A gate before two origins, one of which speaks TLS and is intercepted, with an attacker's session and a neighbour's.
struct Street {
    gate: Tidegate,
    plain: Origin,
    secure: Origin,
    root: Vec<u8>,
    _dns: Dns,
}

impl Street {
    fn new() -> Self {
        let (plain, secure) = (Origin::saying("from the origin"), Origin::saying("x").over_tls(identity::server(&["h.wild.test"])));
        let policy = format!(
            "allow = [\"a.test:{}\", {{ host = \"*.wild.test:{}\", tls = true, intercept = true }}]\n\
             [addresses]\nallow = [\"127.0.0.0/8\"]\n",
            plain.port(),
            secure.port()
        );
        let dns = Dns::loopback();
        let setup = Setup::new(policy).dns(dns.address()).listen("require_session = true");
        let gate = identity::trusted_by(setup).session("s1", FIRST, "").session("s2", SECOND, "").start();
        let root = ask(gate.proxy(), of(FIRST, "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n")).body;
        Self { gate, plain, secure, root, _dns: dns }
    }

    /// The slowest but for one in a hundred of a neighbour's requests, of which one comes each few milliseconds.
    fn slowest(&self) -> Duration {
        let request = of(SECOND, &get(&format!("a.test:{}", self.plain.port())));
        let mut client = Client::connect(self.gate.proxy());
        let mut times: Vec<_> = (0..REQUESTS)
            .map(|_| {
                thread::sleep(Duration::from_millis(3));
                let began = Instant::now();
                assert_eq!(client.send(&request).reply().status, 200);
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[REQUESTS - REQUESTS / 100]
    }

    fn tunnel(&self, host: &str) -> Option<Client> {
        let authority = format!("{host}:{}", self.secure.port());
        let mut client = Client::connect(self.gate.proxy());
        client.send(of(FIRST, &format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")));
        (client.reply_to("CONNECT").status == 200).then_some(client)
    }

    fn slow_heads(&self, held: &mut Vec<Client>) {
        let mut client = Client::connect(self.gate.proxy());
        client.send(of(FIRST, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).send("GET http://a.test/ HTTP/1.1\r\nHost: a");
        held.push(client);
        if held.len() > 500 {
            held.drain(..250);
        }
    }

    fn rapid_reset(&self) {
        let Some(client) = self.tunnel("h.wild.test") else { return };
        let mut client = client.secured("h.wild.test", trusting(&self.root, &["h2"]));
        let authority = format!("h.wild.test:{}", self.secure.port());
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", &authority), (":path", "/flood")];
        let block = block(&fields);
        let streams = (0..2000).flat_map(|number| {
            let stream = 2 * number + 1;
            [headers(stream, 0x5, &block), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
        });
        let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")].concat();
        client.flood(&start.into_iter().chain(streams).collect::<Vec<_>>());
    }

    fn mint(&self, number: u32) {
        let name = format!("w{number}.wild.test");
        if let Some(mut client) = self.tunnel(&name) {
            let _ = client.send(Hello::to(&name).bytes()).all_of(6);
        }
    }

    /// What the neighbour feels while `attack` is done over and over by two who do nothing else.
    fn under(&self, what: &str, calm: Duration, attack: impl Fn(u32) + Sync) -> Duration {
        let ended = AtomicBool::new(false);
        let (felt, attacks) = thread::scope(|scope| {
            let attackers = [0_u32, 1].map(|first| {
                let (attack, ended) = (&attack, &ended);
                scope.spawn(move || {
                    let numbers = (first..).step_by(2).take_while(|_| !ended.load(Ordering::Relaxed));
                    numbers.map(attack).count()
                })
            });
            let felt = self.slowest();
            ended.store(true, Ordering::Relaxed);
            (felt, attackers.map(|attacker| attacker.join().unwrap()).iter().sum::<usize>())
        });
        eprintln!("{what}: {attacks} times; the neighbour's p99 {felt:.2?}, calm {calm:.2?}");
        felt
    }
}

fn refused(gate: &Tidegate, client: &mut Client) {
    let reply = client.send(of(FIRST, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")).reply();
    assert_eq!(reply.status, 403, "{reply:?}");
    if reply.header("connection").is_some() {
        *client = Client::connect(gate.proxy());
    }
}

/// A request with its session's token.
fn of(token: &str, request: &str) -> String {
    request.replacen("\r\n\r\n", &format!("\r\nProxy-Authorization: Bearer {token}\r\n\r\n"), 1)
}

#[test]
#[ignore = "takes minutes: make long"]
fn threats_45_69_and_78_a_neighbour_hardly_feels_floods() {
    let street = Street::new();
    street.slowest();
    let calm = street.slowest();
    let mut felt = BTreeMap::new();
    let held = std::sync::Mutex::new(Vec::new());
    felt.insert("slow heads", street.under("slow heads", calm, |_| street.slow_heads(&mut held.lock().unwrap())));
    drop(mem::take(&mut *held.lock().unwrap()));
    felt.insert("rapid resets", street.under("rapid resets", calm, |_| street.rapid_reset()));
    felt.insert("certificates", street.under("certificates", calm, |number| street.mint(number)));
    let clients = [(); 2].map(|()| std::sync::Mutex::new(Client::connect(street.gate.proxy())));
    let ask = |number: u32| refused(&street.gate, &mut clients[usize::from(number % 2 == 1)].lock().unwrap());
    felt.insert("refused requests", street.under("refused requests", calm, ask));
    for (what, felt) in felt {
        assert!(felt <= 2 * calm + SCHEDULING, "{what}: p99 {felt:?}, calm {calm:?}");
    }
}

const REQUESTS: usize = 500;
/// The attackers and the neighbour share this machine's processors with the gate.
const SCHEDULING: Duration = Duration::from_millis(4);

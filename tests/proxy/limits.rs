//! How much a session may send, how fast its octets go and its names are asked for, and that its neighbours do not feel it.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::harness::{
    Approach, Client, Dns, Ground, Origin, PATIENCE, Reply, Setup, Site, Tidegate,
    client::{ask, ask_for, get},
    eventually,
    program::program,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const FIRST: &str = "first-token-0123456789abcdef0123456789";
const SECOND: &str = "second-token-0123456789abcdef012345678";

fn allowing(host: &str, origin: &Origin, limits: &str) -> String {
    format!("allow = [\"{host}:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n[limits]\n{limits}\n", origin.port())
}

/// A gate with two sessions under one policy.
fn with_neighbours(origin: &Origin, limits: &str) -> Tidegate {
    let setup = Setup::new(allowing("a.test", origin, limits)).dns(Dns::loopback().address()).listen("require_session = true");
    setup.session("s1", FIRST, "").session("s2", SECOND, "").start()
}

/// A request with its session's token.
fn of(token: &str, request: &str) -> String {
    request.replacen("\r\n\r\n", &format!("\r\nProxy-Authorization: Bearer {token}\r\n\r\n"), 1)
}

/// What the sandbox reads of its last refusals.
#[track_caller]
fn refusals(gate: &Tidegate) -> Vec<Value> {
    let page = ask(gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(page.status, 200, "{}", page.text());
    serde_json::from_slice(&page.body).expect("a list")
}

/// Fails unless the sandbox can read that its budget was what ended this, and of which it is.
#[track_caller]
fn is_told_why(gate: &Tidegate, budget: usize) {
    let told = || refusals(gate).into_iter().find(|refusal| refusal["reason"] == "budget_exhausted");
    eventually("it stands on the session's pages", || told().is_some());
    let told = told().unwrap();
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&format!("upload_budget of [limits], {budget} octets")), "{told:#}");
}

/// Fails unless this is how something is refused that would send more than the budget.
#[track_caller]
fn is_refused(reply: &Reply) {
    assert_eq!(reply.verdict(), (403, "budget_exhausted"), "{}", reply.text());
    assert!(reply.header("retry-after").is_none(), "{:?}", reply.headers);
    assert!(reply.text().contains("upload_budget"), "{}", reply.text());
}

/// Sends while whatever comes is read next, as long as the gate listens.
fn pour(client: &mut Client, way: Approach, bytes: Vec<u8>) {
    if way == Approach::Intercepted {
        client.flood(&bytes);
    } else {
        let mut stream = client.stream().try_clone().expect("its socket");
        thread::spawn(move || stream.write_all(&bytes).is_ok());
    }
}

/// Fails unless as much went up as the budget has room for beside the head of a request. What was under way when it was broken off may
/// not have reached the origin.
#[track_caller]
fn all_was_used(gate: &Tidegate, budget: usize) {
    let went = usize::try_from(gate.metric("tidegate_bytes_total{direction=\"up\"}")).unwrap();
    assert!((budget - KIB..=budget).contains(&went), "{went} of {budget} octets");
}

// ── the budget

#[test]
fn an_opaque_tunnel_is_cut_at_the_budget() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("a.test", &origin, "upload_budget = \"1 MiB\""), dns.address());
    let authority = format!("a.test:{}", origin.port());
    let mut tunnel = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    pour(&mut tunnel, Approach::Tunnel, vec![b'x'; 11 * MIB]);
    let end = gate.wait_for_record(|record| record["reason"] == "budget_exhausted");
    // Its name was asked for, and counts as well.
    let whole = MIB - "a.test".len();
    assert_eq!((&end["verdict"], &end["kind"], &end["bytes_up"]), (&"deny".into(), &"connect".into(), &whole.into()), "{end:#}");
    assert!(origin.received().len() <= MIB, "{} octets left", origin.received().len());
    is_told_why(&gate, MIB);
    is_refused(&Client::tunnel(gate.proxy(), &authority).err().expect("a refusal"));
    is_refused(&ask_for(gate.proxy(), &authority));
    assert!(gate.metric("tidegate_limited_total{limit=\"upload_budget\"}") >= 3);
    assert_eq!(gate.stderr().matches("four fifths of the session's upload_budget").count(), 1, "{}", gate.stderr());
}

/// Sends a body without a length until the gate has had enough.
#[track_caller]
fn chunked_upload(site: &Site<'_>, budget: usize) {
    let head = format!("PUT {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", site.target("/up"), site.authority());
    let chunk = [format!("{:x}\r\n", 16 * KIB).into_bytes(), vec![b'x'; 16 * KIB], b"\r\n".to_vec()].concat();
    let mut client = site.client();
    client.send(head);
    pour(&mut client, site.way, chunk.repeat(11 * MIB / (16 * KIB)));
    is_refused(&client.reply());
    let sent = site.origin.received().len();
    // Chunks have heads of their own, which are no part of what the sandbox sends.
    assert!(sent <= budget + budget / 256 + KIB, "{:?}: {sent} octets left of {budget}", site.way);
    all_was_used(site.gate, budget);
}

#[test]
fn threat_81_an_upload_without_a_length_is_cut_at_the_budget() {
    for way in [Approach::Listener, Approach::Tunnel, Approach::Intercepted] {
        let ground = Ground::with(Origin::silent, "[limits]\nupload_budget = \"1 MiB\"", |setup| setup);
        chunked_upload(&ground.site(way), MIB);
        is_told_why(&ground.gate, MIB);
    }
}

#[test]
fn threat_81_an_upload_over_http2_is_cut_at_the_budget() {
    let ground = Ground::with(Origin::silent, "[limits]\nupload_budget = \"1 MiB\"", |setup| setup);
    let site = ground.site(Approach::Intercepted);
    let root = NamedTempFile::new().unwrap();
    fs::write(root.path(), ask(ground.gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body).unwrap();
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--http2", "--upload-file", "-", "--write-out", "%{http_version}"]);
    curl.args(["--proxy", &format!("http://{}", ground.gate.proxy()), "--cacert"]).arg(root.path());
    let mut curl = curl
        .arg(format!("https://{}/up", site.authority()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is needed: apt-get install curl");
    let mut stdin = curl.stdin.take().unwrap();
    let feeding = thread::spawn(move || stdin.write_all(&vec![b'x'; 11 * MIB]).is_ok());
    let output = curl.wait_with_output().expect("curl ends");
    let _ = feeding.join();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("budget_exhausted") && said.ends_with('2'), "{said}");
    let sent = site.origin.received().len();
    assert!(sent <= MIB + MIB / 128 + KIB, "{sent} octets left");
    all_was_used(&ground.gate, MIB);
    is_told_why(&ground.gate, MIB);
}

#[test]
fn many_small_requests_use_up_the_budget() {
    let ground = Ground::with(|| Origin::saying("from the origin"), "[limits]\nupload_budget = \"64 KiB\"", |setup| setup);
    for way in [Approach::Listener, Approach::Intercepted] {
        let site = ground.site(way);
        let request = String::from_utf8(site.request("GET", &format!("X-Data: {}", "d".repeat(4000)), "")).unwrap();
        let replies: Vec<_> = (0..12).map(|_| site.ask(&request)).collect();
        let passed = replies.iter().filter(|reply| reply.status == 200).count();
        if way == Approach::Listener {
            assert_eq!(passed, 12, "within the budget");
        } else {
            assert!((2..=4).contains(&passed), "{passed} are what is left");
            // Its tunnel is opened as long as anything is left, and the request is refused inside.
            is_refused(replies.last().unwrap());
        }
    }
    let sent = ground.site(Approach::Listener).origin.received().len() + ground.site(Approach::Intercepted).origin.received().len();
    assert!(sent <= 64 * KIB + KIB, "{sent} octets left");
    is_told_why(&ground.gate, 64 * KIB);
}

#[test]
fn a_websocket_is_ended_at_the_budget() {
    // The key and the accept of RFC 6455, section 1.3.
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for way in [Approach::Listener, Approach::Intercepted] {
        let origin = || {
            Origin::scripted(move |conversation| {
                let _ = conversation.request();
                conversation.send(agreed.as_bytes());
                while conversation.read().is_some() {}
            })
        };
        let ground = Ground::with(origin, "[limits]\nupload_budget = \"256 KiB\"", |setup| setup);
        let site = ground.site(way);
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let mut client = site.client();
        client.send(site.request("GET", lines, ""));
        assert_eq!(client.reply().status, 101);
        pour(&mut client, way, [[0x82, 0xff].as_slice(), &(MIB as u64).to_be_bytes(), &[0; 4], &vec![b'x'; MIB]].concat());
        let farewell = client.rest();
        let close = [[0x88, 18].as_slice(), &1008_u16.to_be_bytes(), b"budget_exhausted"].concat();
        assert_eq!(farewell.escape_ascii().to_string(), close.escape_ascii().to_string());
        let sent = site.origin.received().len();
        assert!(sent <= 256 * KIB + 100, "{sent} octets left");
        all_was_used(&ground.gate, 256 * KIB);
        let end = ground.gate.wait_for_record(|record| record["reason"] == "budget_exhausted" && record["bytes_up"].is_u64());
        assert!(end["bytes_up"].as_u64().is_some_and(|up| up <= 256 * KIB as u64), "{end:#}");
        is_told_why(&ground.gate, 256 * KIB);
    }
}

#[test]
fn an_upload_that_goes_on_behind_its_answer_ends_on_record() {
    let early = || {
        Origin::scripted(|conversation| {
            let _ = conversation.read();
            conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsoon\r\n");
            while conversation.read().is_some() {}
        })
    };
    let ground = Ground::with(early, "[limits]\nupload_budget = \"256 KiB\"", |setup| setup);
    let site = ground.site(Approach::Intercepted);
    let mut client = site.client();
    client.send(site.request("PUT", "Content-Length: 10000000", "some"));
    site.origin.wait_for(|bytes| bytes.ends_with(b"some"));
    pour(&mut client, site.way, vec![b'x'; 10_000_000 - 4]);
    is_told_why(&ground.gate, 256 * KIB);
    assert!(site.origin.received().len() <= 256 * KIB);
}

#[test]
fn a_reload_gives_more_to_what_runs_and_takes_it_away() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let policy = |limits: &str| allowing("a.test", &origin, limits);
    let gate = Tidegate::start(policy("upload_budget = \"64 KiB\""), dns.address());
    let mut tunnel = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    tunnel.send(vec![b'x'; 60 * KIB]);
    origin.wait_for(|bytes| bytes.len() == 60 * KIB);
    gate.reload(&policy("upload_budget = \"128 KiB\""));
    tunnel.send(vec![b'x'; 60 * KIB]);
    origin.wait_for(|bytes| bytes.len() == 120 * KIB);
    gate.reload(&policy(""));
    tunnel.send(vec![b'x'; 60 * KIB]);
    origin.wait_for(|bytes| bytes.len() == 180 * KIB);
    gate.reload(&policy("upload_budget = \"100 KiB\""));
    tunnel.send("x").rest();
    assert_eq!(origin.received().len(), 180 * KIB, "what went before the budget counts");
    is_told_why(&gate, 100 * KIB);
}

#[test]
fn a_download_ends_well_when_nothing_more_may_be_sent() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let origin = Origin::scripted(move |conversation| {
        if conversation.request().is_some() {
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            let _ = released.lock().unwrap().recv_timeout(PATIENCE);
            conversation.send(b"rest");
        }
    });
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("a.test", &origin, "upload_budget = \"2 KiB\""), dns.address());
    let authority = format!("a.test:{}", origin.port());
    let mut downloading = Client::connect(gate.proxy());
    downloading.send(get(&authority));
    origin.wait_for(|bytes| bytes.starts_with(b"GET / "));
    Client::tunnel(gate.proxy(), &authority).expect("a tunnel").send(vec![b'x'; 4 * KIB]).rest();
    is_refused(&ask_for(gate.proxy(), &authority));
    release.send(()).unwrap();
    assert_eq!(downloading.reply().body, b"halfrest");
}

// ── bandwidth

/// Takes an upload, and answers with as many octets.
fn mirror(length: usize) -> impl Fn() -> Origin {
    move || {
        Origin::scripted(move |conversation| {
            while conversation.request().is_some() {
                conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
                conversation.send(&vec![b'd'; length]);
            }
        })
    }
}

/// Four times a second's worth, of which one is the burst.
#[track_caller]
fn is_paced(began: Instant, what: &str) {
    let took = began.elapsed();
    assert!((Duration::from_millis(2500)..Duration::from_secs(8)).contains(&took), "{what}: {took:?}");
}

#[test]
fn bodies_are_paced_each_way() {
    for way in [Approach::Listener, Approach::Intercepted] {
        let ground = Ground::with(mirror(4 * MIB), "[limits]\nbytes_per_second = \"1 MiB\"", |setup| setup);
        let site = ground.site(way);
        let mut client = site.client();
        let began = Instant::now();
        client.send(site.request("PUT", &format!("Content-Length: {}", 4 * MIB), "")).send(vec![b'u'; 4 * MIB]);
        let first = client.exactly(12);
        assert_eq!(first, b"HTTP/1.1 200");
        is_paced(began, "up");
        let began = Instant::now();
        client.exactly(4 * MIB);
        is_paced(began, "down");
        assert!(ground.gate.metric("tidegate_limited_total{limit=\"bytes_per_second\"}") > 0);
        assert!(refusals(&ground.gate).is_empty(), "nothing is refused");
    }
}

#[test]
fn a_tunnel_is_paced_and_its_neighbour_is_not() {
    let origin = Origin::echoing();
    let gate = with_neighbours(&origin, "bytes_per_second = \"1 MiB\"");
    let connect = |token: &str| {
        let mut client = Client::connect(gate.proxy());
        client.send(of(token, &format!("CONNECT a.test:{0} HTTP/1.1\r\nHost: a.test:{0}\r\n\r\n", origin.port())));
        assert_eq!(client.reply_to("CONNECT").status, 200);
        client
    };
    let (mut busy, mut calm) = (connect(FIRST), connect(SECOND));
    let mut sender = busy.stream().try_clone().unwrap();
    let began = Instant::now();
    let sending = thread::spawn(move || sender.write_all(&vec![b'x'; 4 * MIB]).is_ok());
    eventually("it waits", || gate.metric("tidegate_limited_total{limit=\"bytes_per_second\"}") > 0);
    let asked = Instant::now();
    calm.send(vec![b'y'; 100 * KIB]);
    assert_eq!(calm.exactly(100 * KIB), vec![b'y'; 100 * KIB]);
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    busy.exactly(4 * MIB);
    is_paced(began, "there and back");
    assert!(sending.join().unwrap());
}

#[test]
fn what_is_paced_is_not_idle() {
    let origin = Origin::silent();
    let setup = Setup::new(allowing("a.test", &origin, "bytes_per_second = \"1 KiB\"")).dns(Dns::loopback().address());
    let gate = setup.timeout("idle = \"400ms\"").start();
    let mut tunnel = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    // The burst, and what takes two seconds more.
    let length = 258 * KIB;
    tunnel.send(vec![b'x'; length]);
    origin.wait_for(|bytes| bytes.len() == length);
    assert_eq!(gate.records().len(), 1, "{}", gate.audit_text());
    eventually("then it is", || gate.records().len() == 2);
}

// ── rates

#[test]
fn threats_30_and_85_names_are_counted_however_they_are_spelled() {
    let origin = Origin::replying_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("*.wild.test", &origin, "dns_queries_per_second = 1"), dns.address());
    let began = Instant::now();
    let replies: Vec<_> = (0..16).map(|number| ask_for(gate.proxy(), &format!("Secret-{number}.Wild.test:{}", origin.port()))).collect();
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    let refilled = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((4..=4 + refilled).contains(&passed), "a burst of four passes, and what time adds: {passed}");
    let limited = replies.iter().find(|reply| reply.status != 200).expect("a refusal");
    assert_eq!(limited.verdict(), (429, "rate_limited"), "{}", limited.text());
    assert_eq!(limited.header("retry-after"), Some("1"), "{:?}", limited.headers);
    assert!(limited.text().contains("dns_queries_per_second"), "{}", limited.text());
    let names: std::collections::BTreeSet<_> = dns.asked().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), passed, "a name that is refused is not asked for: {names:?}");
    // One that is remembered counts as well.
    eventually("there is room again", || ask_for(gate.proxy(), &format!("secret-0.wild.test:{}", origin.port())).status == 200);
    assert_eq!(ask_for(gate.proxy(), &format!("secret-0.wild.test:{}", origin.port())).status, 429);
}

#[test]
fn threats_30_and_85_names_use_up_the_budget() {
    let dns = Dns::start();
    let origin = Origin::silent();
    let limits = "upload_budget = \"4 KiB\"\nnew_connections_per_second = 10000";
    let gate = Tidegate::start(allowing("*.wild.test", &origin, limits), dns.address());
    let label = "x".repeat(50);
    let last = (0..40)
        .map(|number| Client::tunnel(gate.proxy(), &format!("{label}{number}.{label}.{label}.wild.test:{}", origin.port())))
        .map(|tunnel| tunnel.err().expect("a refusal").reason().to_owned())
        .last();
    assert_eq!(last.as_deref(), Some("budget_exhausted"));
    let names: std::collections::BTreeSet<_> = dns.asked().into_iter().map(|(name, _)| name).collect();
    let left: usize = names.iter().map(String::len).sum();
    assert!((3 * KIB..=4 * KIB + 40).contains(&left), "{left} octets of names were asked for");
    is_told_why(&gate, 4 * KIB);
}

#[test]
fn a_short_wait_is_waited_for_and_a_long_one_is_refused() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("a.test", &origin, "requests_per_second = 20"), dns.address());
    let mut client = Client::connect(gate.proxy());
    let request = get(&format!("a.test:{}", origin.port()));
    let began = Instant::now();
    // The next of them is never further away than 50 ms.
    for _ in 0..100 {
        assert_eq!(client.send(&request).reply().status, 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "twenty of them waited: {:?}", began.elapsed());

    gate.reload(&allowing("a.test", &origin, "requests_per_second = 1"));
    let replies: Vec<_> = (0..8).map(|_| ask(gate.proxy(), &request)).collect();
    let limited = replies.iter().find(|reply| reply.status != 200).expect("a refusal");
    assert_eq!((limited.verdict(), limited.header("retry-after")), ((429, "rate_limited"), Some("1")), "{}", limited.text());
}

// ── neighbours

#[test]
fn threat_78_slow_heads_and_bodies_of_one_session_leave_others_alone() {
    let origin = Origin::saying("from the origin");
    let gate = with_neighbours(&origin, "connections = 100");
    let request = get(&format!("a.test:{}", origin.port()));
    let slow_body = of(FIRST, &request.replace("\r\n\r\n", "\r\nContent-Length: 1000\r\n\r\n").replacen("GET", "PUT", 1));
    // More than there may be: those that find no place are refused.
    let mut slow: Vec<Client> = (0..120).map(|_| Client::connect(gate.proxy())).collect();
    for client in &mut slow {
        client.send(&slow_body).send("x");
    }
    // Asked any sooner, the request would have one of the places itself.
    eventually("those that find no place are refused", || gate.metric("tidegate_limited_total{limit=\"connections\"}") == 20);
    assert_eq!(ask(gate.proxy(), of(FIRST, &request)).verdict(), (503, "too_many_connections"));
    let heads: Vec<Client> = (0..400)
        .map(|_| {
            let mut client = Client::connect(gate.proxy());
            client.send("GET http://a.test/ HTTP/1.1\r\nHost: a");
            client
        })
        .collect();
    for _ in 0..50 {
        for client in slow.iter_mut().step_by(10) {
            client.send("x");
        }
        assert_eq!(ask(gate.proxy(), of(SECOND, &request)).status, 200);
    }
    assert_eq!((slow.len(), heads.len()), (120, 400));
}

#[test]
fn threat_79_idle_tunnels_are_capped_and_small() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("a.test", &origin, "tunnels = 300"), dns.address());
    let authority = format!("a.test:{}", origin.port());
    let open = |count| (0..count).map(|_| Client::tunnel(gate.proxy(), &authority).expect("a tunnel")).collect::<Vec<_>>();
    let first = open(20);
    let before = gate.peak_memory();
    let rest = open(280);
    let each = (gate.peak_memory() - before) / 280;
    assert!(each < 64, "{each} KiB for a tunnel");
    let refusal = Client::tunnel(gate.proxy(), &authority).err().expect("a refusal");
    assert_eq!(refusal.verdict(), (503, "too_many_tunnels"), "{}", refusal.text());
    assert!(refusal.header("retry-after").is_some(), "{:?}", refusal.headers);
    assert_eq!((first.len(), rest.len()), (20, 280));
}

#[test]
fn threat_80_a_head_of_two_megabytes_and_one_of_twenty_thousand_fields() {
    let ground = Ground::new();
    for site in ground.sites() {
        for lines in [format!("X-Long: {}", "x".repeat(2 * MIB)), vec!["X: 1"; 20_000].join("\r\n")] {
            let mut client = site.client();
            pour(&mut client, site.way, site.request("GET", &lines, ""));
            assert_eq!(client.reply().verdict(), (431, "head_too_large"), "{:?}", site.way);
        }
        assert_eq!(site.origin.received(), b"", "{:?}", site.way);
    }
}

/// Lets a running process open no more than so many descriptors; those that are open stay so.
fn limit_descriptors(gate: &Tidegate, most: usize) {
    let status = Command::new("prlimit").arg("--pid").arg(gate.pid().to_string()).arg(format!("--nofile={most}:")).status();
    assert!(status.expect("prlimit is needed: apt-get install util-linux").success());
}

/// The lowest descriptor that is free: below it there is no room for another.
fn lowest_free(gate: &Tidegate) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", gate.pid())).unwrap();
    let open: Vec<usize> = open.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
    (0..=open.len()).find(|number| !open.contains(number)).unwrap()
}

#[test]
fn threat_84_without_descriptors_it_pauses_and_then_goes_on() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing("a.test", &origin, ""), dns.address());
    let request = get(&format!("a.test:{}", origin.port()));
    let mut watcher = Client::connect(gate.metrics_address());
    let mut is_healthy = || watcher.send("GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n").reply().status == 200;
    assert!(is_healthy());
    limit_descriptors(&gate, lowest_free(&gate));
    let mut waiting: Vec<Client> = (0..30).map(|_| Client::connect(gate.proxy())).collect();
    for client in &mut waiting {
        client.send(&request);
    }
    let failures = || gate.stderr().matches("a connection could not be accepted").count();
    eventually("it has no descriptor left", || failures() > 0);
    let (before, began) = (failures(), Instant::now());
    eventually("it tries again", || failures() >= before + 8);
    assert!(began.elapsed() > Duration::from_millis(250), "it spins: {:?}", began.elapsed());
    assert!(is_healthy(), "what watches it is answered all the while");
    limit_descriptors(&gate, 1024);
    let began = Instant::now();
    let last = waiting.last_mut().unwrap().reply();
    assert_eq!(last.status, 200, "{}", last.text());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ask(gate.proxy(), &request).status, 200);
    assert!(is_healthy());
}

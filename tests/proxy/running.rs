//! Start, reload, limits, report mode and the end.

use std::{
    fs,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{
    Client, Dns, Origin, PATIENCE, Setup, Tidegate,
    client::{ask, ask_for, get},
    eventually,
    tidegate::TIDEGATE,
};

/// A policy that allows these hosts on the origin's port.
fn allowing(hosts: &[&str], origin: &Origin, more: &str) -> String {
    let entries: Vec<String> = hosts.iter().map(|host| format!("\"{host}:{}\"", origin.port())).collect();
    format!("allow = [{}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{more}", entries.join(", "))
}

/// The sum of a metric's series, whatever their labels.
fn total(gate: &Tidegate, name: &str) -> u64 {
    let metrics = gate.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

// ── start

#[test]
fn a_start_names_its_listeners_and_is_ready() {
    let dns = Dns::start();
    let gate = Setup::new("").dns(dns.address()).listen("admin = \"unix:admin.sock\"").start();
    let stderr = gate.stderr();
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("listening ") || *line == "ready").collect();
    assert_eq!(lines.len(), 4, "{stderr}");
    assert!(lines[0].starts_with("listening proxy 127.0.0.1:") && lines[3] == "ready", "{stderr}");
    assert!(gate.proxy().port() != 0 && gate.metrics_address().port() != 0);
    assert_eq!(gate.stdout(), "", "results go to stdout, and there are none");
    gate.finish();
}

/// The start fails, not by a signal, and says each of these.
#[track_caller]
fn assert_does_not_start(setup: Setup, says: &[&str]) {
    let Err(failed) = setup.try_start() else { panic!("it started") };
    assert!(failed.status.code().is_some_and(|code| code != 0), "{}", failed.status);
    assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
    for text in says {
        assert!(failed.stderr.contains(text), "{text:?} in\n{}", failed.stderr);
    }
}

#[test]
fn threat_129_policies_that_do_not_start() {
    for (policy, says) in [
        ("allow = [\n  \"a.test\",\n  \"*.com\",\n]", &["policy.toml:3:", "*.com", "^"][..]),
        ("alow = []", &["policy.toml:1:1", "alow", "^"]),
        ("allow = \"a.test\"", &["policy.toml:1:", "^"]),
        ("allow = [\"*\"]", &["policy.toml:1:", "\"*\"", "^"]),
        ("allow = [\"a..b\"]", &["policy.toml:1:", "a..b", "^"]),
        ("allow = [\"a.test\"", &["policy.toml:1:", "^"]),
        ("allow = []\nallow = []", &["policy.toml:2:", "^"]),
        ("access = \"some\"", &["policy.toml:1:", "some", "^"]),
        ("access = true", &["policy.toml:1:", "^"]),
        ("include = [\"nonsense\"]", &["policy.toml:1:", "nonsense", "^"]),
        ("[limits]\ntunnels = -1", &["policy.toml:2:", "^"]),
        ("[limits]\ntunels = 1", &["policy.toml:2:1", "tunels", "^"]),
        ("[[rule]]\nmethods = [\"GET\"]", &["policy.toml:1:", "^"]),
        ("[addresses]\nallow = [\"10.0.0.0/40\"]", &["policy.toml:2:", "^"]),
    ] {
        assert_does_not_start(Setup::new(policy), says);
    }
}

#[test]
fn threat_129_configurations_that_do_not_start() {
    for (setup, says) in [
        (Setup::new("").listen("prxy = \"127.0.0.1:0\""), &["tidegate.toml:", "prxy", "^"][..]),
        (Setup::new("").listen("proxy = \"127.0.0.1\""), &["tidegate.toml:", "127.0.0.1", "^"]),
        (Setup::new("").listen("proxy = \"0.0.0.0:0\""), &["tidegate.toml:", "0.0.0.0", "^"]),
        (Setup::new("").listen("session = \"nobody\""), &["tidegate.toml:", "nobody", "^"]),
        (Setup::new("").timeout("head = \"soon\""), &["tidegate.toml:", "soon", "^"]),
        (Setup::new("").timeout("haed = \"1s\""), &["tidegate.toml:", "haed", "^"]),
        (Setup::new("").tables("[nonsense]"), &["tidegate.toml:", "nonsense", "^"]),
        (Setup::new("").audit("file = \"no/such/directory/audit.jsonl\""), &["audit"]),
        (Setup::new("").session("s1", "short", ""), &["tidegate.toml:", "^"]),
        (Setup::new("").tables("[[session]]\nid = \"s1\"\ntoken = { env = \"NO_SUCH_VARIABLE_HERE\" }"), &["NO_SUCH_VARIABLE_HERE", "^"]),
        (Setup::new("").listen("admin = \"127.0.0.1:0\""), &["tidegate.toml:", "token_file", "^"]),
    ] {
        assert_does_not_start(setup, says);
    }
}

#[test]
fn threat_129_files_that_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    let output = Command::new(TIDEGATE).args(["serve", "--config"]).arg(&missing).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.toml"));
    let config = directory.path().join("tidegate.toml");
    fs::write(&config, "[listen]\nproxy = \"127.0.0.1:0\"\n[policy]\nfile = \"gone.toml\"\n").unwrap();
    let output = Command::new(TIDEGATE).args(["serve", "--config"]).arg(&config).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some_and(|code| code != 0) && stderr.contains("gone.toml"), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_does_not_start(Setup::new("").listen(&format!("proxy = \"{address}\"")), &[&address]);
}

// ── reload

#[test]
fn a_reload_changes_the_verdict_and_the_generation() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let (a, b) = (format!("a.test:{}", origin.port()), format!("b.test:{}", origin.port()));
    assert_eq!((ask_for(gate.proxy(), &a).status, ask_for(gate.proxy(), &b).status), (200, 403));
    gate.reload(&allowing(&["b.test"], &origin, ""));
    let refusal = ask_for(gate.proxy(), &a);
    assert_eq!((refusal.verdict(), ask_for(gate.proxy(), &b).status), ((403, "host_not_allowed"), 200));
    assert_eq!(refusal.json()["generation"], 2);
    let records = gate.wait_for_records(4);
    let generations: Vec<_> = records.iter().map(|record| record["generation"].as_u64().unwrap()).collect();
    assert_eq!(generations, [1, 1, 2, 2]);
}

#[test]
fn a_reload_reaches_connections_that_are_open() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let mut client = Client::connect(gate.proxy());
    let request = get(&format!("a.test:{}", origin.port()));
    assert_eq!(client.send(&request).reply().status, 200);
    gate.reload("");
    assert_eq!(client.send(&request).reply().verdict(), (403, "host_not_allowed"));
}

#[test]
fn threat_130_a_broken_policy_leaves_the_old_one() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let a = format!("a.test:{}", origin.port());
    let mut failures = 0;
    for broken in ["allow = [", "allow = [\"*\"]", "alow = []", "\u{0}"] {
        let applied_before = gate.metric("tidegate_policy_generation");
        gate.rewrite_policy(broken);
        gate.signal("HUP");
        failures += 1;
        eventually("the failure is counted", || total(&gate, "tidegate_policy_reloads_total") == failures);
        assert_eq!(gate.metric("tidegate_policy_generation"), applied_before);
        assert_eq!(ask_for(gate.proxy(), &a).status, 200, "the old policy stays");
        assert_eq!(ask_for(gate.proxy(), "evil.test").verdict(), (403, "host_not_allowed"), "and it is not open");
    }
    let errors =
        total(&gate, "tidegate_policy_reloads_total{result=\"error\"}") + total(&gate, "tidegate_policy_reloads_total{result=\"failed\"}");
    assert_eq!(errors, failures, "{}", gate.metrics());
    assert!(gate.stderr().contains("policy.toml"), "whoever reloads is told\n{}", gate.stderr());
    gate.reload("access = \"none\"");
    assert_eq!(ask_for(gate.proxy(), &a).verdict(), (403, "network_disabled"));
}

#[test]
fn threat_130_a_policy_that_is_gone_leaves_the_old_one() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    fs::remove_file(gate.path("policy.toml")).unwrap();
    gate.signal("HUP");
    eventually("the failure is counted", || total(&gate, "tidegate_policy_reloads_total") == 1);
    assert_eq!(ask_for(gate.proxy(), &format!("a.test:{}", origin.port())).status, 200);
    assert_eq!(gate.metric("tidegate_policy_generation"), 1);
}

#[test]
fn files_that_change_are_read_again_by_themselves() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let (a, b) = (format!("a.test:{}", origin.port()), format!("b.test:{}", origin.port()));
    let page = |path: &str| ask(gate.proxy(), format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let failed = || serde_json::from_str::<serde_json::Value>(&page("/session").text()).unwrap()["reload_failed"].clone();
    gate.rewrite_policy(&allowing(&["b.test"], &origin, ""));
    eventually("the new policy is in force", || gate.metric("tidegate_policy_generation") == 2);
    assert_eq!((ask_for(gate.proxy(), &a).status, ask_for(gate.proxy(), &b).status), (403, 200));
    assert!(failed().is_null());
    gate.rewrite_policy("allow = [\"*\"]");
    eventually("the failure is counted", || gate.metric("tidegate_policy_reloads_total{result=\"failed\"}") == 1);
    assert_eq!((ask_for(gate.proxy(), &a).status, ask_for(gate.proxy(), &b).status), (403, 200), "the old policy stays");
    assert!(failed().is_string());
    assert!(page("/").text().contains("could not be used"), "{}", page("/").text());
    fs::remove_file(gate.path("policy.toml")).unwrap();
    eventually("that failure too", || gate.metric("tidegate_policy_reloads_total{result=\"failed\"}") == 2);
    gate.rewrite_policy("access = \"none\"");
    eventually("the new policy is in force", || gate.metric("tidegate_policy_generation") == 3);
    assert_eq!(ask_for(gate.proxy(), &b).verdict(), (403, "network_disabled"));
    assert!(failed().is_null());
}

#[test]
fn threat_130_tunnels_that_the_new_policy_refuses_end_within_a_second() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test", "b.test"], &origin, ""), dns.address());
    let mut kept = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    let mut ended = Client::tunnel(gate.proxy(), &format!("b.test:{}", origin.port())).expect("a tunnel");
    ended.send("x").exactly(1);
    gate.reload(&allowing(&["a.test"], &origin, ""));
    let since = Instant::now();
    ended.rest();
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    assert_eq!(kept.send("still here").exactly(10), b"still here");
    let record = gate.wait_for_record(|record| record["host"] == "b.test" && record["reason"] == "host_not_allowed");
    assert_eq!(record["bytes_up"], 1, "{record:#}");
}

#[test]
fn threat_130_tunnels_end_when_their_addresses_are_no_longer_open() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let mut client = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    gate.reload(&format!("allow = [\"a.test:{}\"]", origin.port()));
    client.rest();
    gate.wait_for_record(|record| record["reason"] == "address_not_allowed");
}

#[test]
fn many_reloads_under_load_lose_no_request() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = allowing(&["a.test"], &origin, "");
    let gate = Tidegate::start(policy.clone(), dns.address());
    let request = get(&format!("a.test:{}", origin.port()));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = Client::connect(gate.proxy());
            for _ in 0..300 {
                assert_eq!(client.send(&request).reply().status, 200);
            }
        });
        for number in 0..10 {
            gate.reload(&format!("{policy}\n# {number}"));
        }
        load.join().unwrap();
    });
}

// ── the end

#[test]
fn sigterm_without_anything_open_ends_at_once() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    let since = Instant::now();
    gate.finish();
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
}

#[test]
fn sigterm_drains() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let mut gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let mut client = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    gate.signal("TERM");
    eventually("nothing new is accepted", || TcpStream::connect(gate.proxy()).is_err());
    assert_eq!(ask(gate.metrics_address(), "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status, 503, "it says so");
    assert_eq!(ask(gate.metrics_address(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    assert_eq!(client.send("finish this").exactly(11), b"finish this", "an open tunnel may finish");
    client.close_sending().rest();
    assert!(gate.wait_for_exit().success());
    assert!(gate.records().iter().any(|record| record["bytes_up"] == 11), "and its end is recorded: {}", gate.audit_text());
}

#[test]
fn a_drain_lasts_no_longer_than_its_timer() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let mut gate = Setup::new(allowing(&["a.test"], &origin, "")).dns(dns.address()).timeout("drain = \"300ms\"").start();
    let mut client = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    gate.signal("TERM");
    gate.wait_for_exit();
    client.rest();
}

#[test]
fn a_second_sigterm_stops() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let mut gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let _client = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    gate.signal("TERM");
    eventually("the first one is heard", || TcpStream::connect(gate.proxy()).is_err());
    gate.signal("TERM");
    let since = Instant::now();
    gate.wait_for_exit();
    assert!(since.elapsed() < PATIENCE / 2, "it took {:?}", since.elapsed());
}

#[test]
fn connections_that_wait_do_not_hold_up_a_drain() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let mut idle = Client::connect(gate.proxy());
    assert_eq!(idle.send(get(&format!("a.test:{}", origin.port()))).reply().status, 200);
    let _silent = Client::connect(gate.proxy());
    let since = Instant::now();
    gate.finish();
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    idle.assert_closed();
}

// ── limits

#[test]
fn more_tunnels_than_a_session_may_have() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, "[limits]\ntunnels = 2"), dns.address());
    let authority = format!("a.test:{}", origin.port());
    let first = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    let mut second = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    let refusal = Client::tunnel(gate.proxy(), &authority).err().expect("a refusal");
    assert_eq!(refusal.verdict(), (503, "too_many_tunnels"), "{}", refusal.text());
    assert!(
        refusal.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok_and(|seconds| seconds >= 1)),
        "{:?}",
        refusal.headers
    );
    assert!(refusal.header("proxy-status").is_some_and(|value| value.contains("connection_limit_reached")), "{:?}", refusal.headers);
    assert_eq!(origin.connections().len(), 2, "the third was not dialled");
    drop(first);
    eventually("there is room again", || Client::tunnel(gate.proxy(), &authority).is_ok());
    assert_eq!(second.send("x").exactly(1), b"x");
    assert!(gate.metric("tidegate_limited_total{limit=\"tunnels\"}") >= 1);
}

#[test]
fn more_connections_than_a_session_may_have() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, "[limits]\nconnections = 2"), dns.address());
    let request = get(&format!("a.test:{}", origin.port()));
    let mut open: Vec<Client> = (0..2).map(|_| Client::connect(gate.proxy())).collect();
    for client in &mut open {
        assert_eq!(client.send(&request).reply().status, 200);
    }
    let refusal = ask(gate.proxy(), &request);
    assert_eq!(refusal.verdict(), (503, "too_many_connections"), "{}", refusal.text());
    assert!(refusal.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{:?}", refusal.headers);
    drop(open);
    eventually("there is room again", || ask(gate.proxy(), &request).status == 200);
}

#[test]
fn more_requests_than_a_session_may_send_in_a_second() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, "[limits]\nrequests_per_second = 1"), dns.address());
    let request = get(&format!("a.test:{}", origin.port()));
    let replies: Vec<_> = (0..12).map(|_| ask(gate.proxy(), &request)).collect();
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((4..8).contains(&passed), "a burst of four passes, and what time adds: {passed}");
    let limited = replies.iter().find(|reply| reply.status != 200).expect("a refusal");
    assert_eq!(limited.verdict(), (429, "rate_limited"), "{}", limited.text());
    assert!(
        limited.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok_and(|seconds| seconds >= 1)),
        "{:?}",
        limited.headers
    );
    assert_eq!(origin.received().windows(4).filter(|window| window == b"GET ").count(), passed, "no more than that left");
    gate.wait_for_record(|record| record["reason"] == "rate_limited" && record["verdict"] == "deny");
}

#[test]
fn more_connections_than_a_session_may_open_in_a_second() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, "[limits]\nnew_connections_per_second = 1"), dns.address());
    let authority = format!("a.test:{}", origin.port());
    let replies: Vec<_> = (0..12).map(|_| ask_for(gate.proxy(), &authority)).collect();
    let limited = replies.iter().find(|reply| reply.status != 200).expect("a refusal");
    assert_eq!(limited.verdict(), (429, "rate_limited"), "{}", limited.text());
    assert!(limited.header("retry-after").is_some());
}

#[test]
fn threat_85_spelling_and_subdomains_are_one_session() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["*.a.test"], &origin, "[limits]\nrequests_per_second = 1"), dns.address());
    let port = origin.port();
    let replies: Vec<_> = (0..12).map(|number| ask_for(gate.proxy(), &format!("S{number}.A.test.:{port}"))).collect();
    assert!(replies.iter().any(|reply| reply.verdict() == (429, "rate_limited")));
}

// ── report mode

#[test]
fn report_mode_refuses_nothing_and_records_what_it_would_have() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = format!("report = true\n{}\n", allowing(&["a.test"], &origin, ""))
        .replace("allow = [\"a.test", "deny = [\"c.test:*\"]\nallow = [\"a.test");
    let gate = Tidegate::start(policy, dns.address());
    for (host, would_deny) in [("a.test", None), ("b.test", Some("host_not_allowed")), ("c.test", Some("host_denied"))] {
        let authority = format!("{host}:{}", origin.port());
        assert_eq!(ask_for(gate.proxy(), &authority).status, 200, "{host}");
        let record = gate.wait_for_record(|record| record["host"] == host);
        assert_eq!((record["verdict"].as_str(), record["would_deny"].as_str()), (Some("allow"), would_deny), "{record:#}");
        assert!(Client::tunnel(gate.proxy(), &authority).is_ok(), "{host}");
    }
}

#[test]
fn report_mode_still_refuses_what_can_never_be_meant() {
    let dns = Dns::start();
    let gate = Tidegate::start("report = true", dns.address());
    assert_eq!(ask(gate.proxy(), "CONNECT a..b:443 HTTP/1.1\r\n\r\n").verdict(), (400, "bad_request"));
    for host in ["localhost", "metadata.google.internal"] {
        assert_eq!(ask_for(gate.proxy(), host).verdict(), (403, "address_not_allowed"), "{host}");
    }
    dns.say("meta.test", crate::harness::Answer::of(&["169.254.169.254"]));
    assert_eq!(ask_for(gate.proxy(), "meta.test").verdict(), (403, "address_not_allowed"));
}

#[test]
fn an_entry_that_has_ended_allows_nothing() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let port = origin.port();
    let policy = format!(
        "allow = [{{ host = \"a.test:{port}\", until = 2020-01-01T00:00:00Z }}, {{ host = \"b.test:{port}\", until = 2100-01-01T00:00:00Z }}]\n\
         [addresses]\nallow = [\"127.0.0.0/8\"]"
    );
    let gate = Tidegate::start(policy, dns.address());
    assert_eq!(ask_for(gate.proxy(), &format!("a.test:{port}")).verdict(), (403, "host_not_allowed"));
    assert_eq!(ask_for(gate.proxy(), &format!("b.test:{port}")).status, 200);
}

// ── timers of tunnels

#[test]
fn an_idle_tunnel_ends_by_its_timer() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let gate = Setup::new(allowing(&["a.test"], &origin, "")).dns(dns.address()).timeout("idle = \"300ms\"").start();
    let mut client = Client::tunnel(gate.proxy(), &format!("a.test:{}", origin.port())).expect("a tunnel");
    client.send("x");
    client.rest();
    gate.wait_for_records(2);
    eventually("it is no longer counted", || gate.metric("tidegate_tunnels") == 0);
}

// ── threat 78 and 84: others are not held up

#[test]
fn threat_78_slow_heads_do_not_hold_up_others() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&["a.test"], &origin, ""), dns.address());
    let slow: Vec<Client> = (0..500)
        .map(|_| {
            let mut client = Client::connect(gate.proxy());
            client.send("GET http://a.test/ HTTP/1.1\r\nHost: a");
            client
        })
        .collect();
    assert_eq!(ask_for(gate.proxy(), &format!("a.test:{}", origin.port())).status, 200);
    assert_eq!(slow.len(), 500);
}

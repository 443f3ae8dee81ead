//! The audit file and the metrics.

use std::{collections::BTreeSet, time::SystemTime};

use serde_json::Value;

use crate::harness::{
    Client, Dns, Origin, Setup, Tidegate,
    client::{ask, ask_for},
    eventually,
};

/// Every field of a record, in the contract's words.
const FIELDS: &[&str] = &[
    "schema",
    "time",
    "sequence",
    "generation",
    "session",
    "door",
    "kind",
    "verdict",
    "reason",
    "rule",
    "would_deny",
    "host",
    "port",
    "address",
    "method",
    "path",
    "repository",
    "refs",
    "bytes_up",
    "bytes_down",
    "duration_ms",
    "pid",
    "exe",
];

/// A proxy that allows one origin.
fn ground(origin: &Origin) -> (Tidegate, String) {
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    (Tidegate::start(policy, dns.address()), format!("allowed.test:{}", origin.port()))
}

#[test]
fn every_field_stands_in_every_record() {
    let origin = Origin::saying("from the origin");
    let (gate, authority) = ground(&origin);
    assert_eq!(
        ask(gate.proxy(), format!("GET http://{authority}/p/a?q=secret#no HTTP/1.1\r\nHost: {authority}\r\n\r\n")).status,
        400,
        "a fragment"
    );
    assert_eq!(ask(gate.proxy(), format!("PUT http://{authority}/p/a?q=secret HTTP/1.1\r\nHost: {authority}\r\n\r\n")).status, 200);
    ask_for(gate.proxy(), "evil.test");
    drop(Client::tunnel(gate.proxy(), &authority));
    let records = gate.wait_for_records(5);
    let expected: BTreeSet<&str> = FIELDS.iter().copied().collect();
    for record in &records {
        let fields: BTreeSet<&str> = record.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, expected);
        assert_eq!((&record["schema"], &record["door"], &record["generation"]), (&1.into(), &"proxy".into(), &1.into()));
    }
    let put = records.iter().find(|record| record["method"] == "PUT").expect("the PUT");
    assert_eq!((&put["kind"], &put["verdict"], &put["reason"]), (&"http".into(), &"allow".into(), &Value::Null));
    assert_eq!((&put["host"], &put["port"], &put["address"]), (&"allowed.test".into(), &origin.port().into(), &"127.0.0.1".into()));
    assert_eq!(put["path"], "/p/a", "without its query");
    assert!(put["rule"].as_str().is_some_and(|rule| rule.contains(&authority) && rule.contains("policy.toml")), "{put:#}");
    assert!(!gate.audit_text().contains("secret"));
}

#[test]
fn times_are_utc_in_microseconds() {
    let (gate, _) = ground(&Origin::saying(""));
    ask_for(gate.proxy(), "evil.test");
    let record = &gate.wait_for_records(1)[0];
    let time = record["time"].as_str().expect("a time");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    let then = SystemTime::from(time.parse::<jiff::Timestamp>().expect("RFC 3339"));
    assert!(then.elapsed().is_ok_and(|ago| ago.as_secs() < 60), "{time}");
}

#[test]
fn a_tunnel_is_recorded_when_it_is_decided_and_when_it_ends() {
    let origin = Origin::echoing();
    let (gate, authority) = ground(&origin);
    let mut client = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    let decided = gate.wait_for_records(1)[0].clone();
    assert_eq!((&decided["kind"], &decided["verdict"], &decided["method"]), (&"connect".into(), &"allow".into(), &"CONNECT".into()));
    assert_eq!((&decided["bytes_up"], &decided["bytes_down"], &decided["duration_ms"]), (&Value::Null, &Value::Null, &Value::Null));
    client.send([7; 1000]);
    client.exactly(1000);
    client.close_sending().rest();
    let records = gate.wait_for_records(2);
    let ended = &records[1];
    assert_eq!((&ended["kind"], &ended["verdict"], &ended["host"]), (&"connect".into(), &"allow".into(), &"allowed.test".into()));
    assert_eq!((&ended["bytes_up"], &ended["bytes_down"]), (&1000.into(), &1000.into()), "{ended:#}");
    assert!(ended["duration_ms"].is_u64(), "{ended:#}");
    assert_eq!(records.len(), 2);
}

#[test]
fn sequences_are_gapless_for_each_session() {
    let (one, two) = ("first-token-0123456789abcdef0123456789", "second-token-0123456789abcdef012345678");
    let gate = Setup::new("").listen("require_session = true").session("s1", one, "").session("s2", two, "").start();
    std::thread::scope(|scope| {
        for token in [one, two, one, two] {
            let address = gate.proxy();
            scope.spawn(move || {
                for number in 0..25 {
                    ask(
                        address,
                        format!(
                            "GET http://e{number}.test/ HTTP/1.1\r\nHost: e{number}.test\r\nProxy-Authorization: Bearer {token}\r\n\r\n"
                        ),
                    );
                }
            });
        }
    });
    let records = gate.wait_for_records(100);
    for session in ["s1", "s2"] {
        let of_session: Vec<_> =
            records.iter().filter(|record| record["session"] == session).map(|record| record["sequence"].as_u64()).collect();
        assert_eq!(of_session, (1..=50).map(Some).collect::<Vec<_>>(), "{session}: in order and without a gap");
    }
}

#[test]
fn threat_134_nothing_of_the_sandbox_breaks_a_line() {
    let (gate, _) = ground(&Origin::saying(""));
    for target in ["http://evil.test/%0d%0a\"}{", "http://evil.test/\\\",", "http://evil.test/\x1b[31m", "http://e.test/\u{2028}"] {
        ask(gate.proxy(), format!("GET {target} HTTP/1.1\r\nHost: evil.test\r\n\r\n"));
    }
    ask(gate.proxy(), "G\"ET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(gate.wait_for_records(5).len(), 5, "each line is JSON");
    assert!(gate.audit_text().bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)));
}

#[test]
fn records_on_stdout() {
    let dns = Dns::start();
    let gate = Setup::new("").dns(dns.address()).audit("file = \"-\"").start();
    ask_for(gate.proxy(), "evil.test");
    eventually("a record on stdout", || gate.stdout().contains("host_not_allowed"));
    let record: Value = serde_json::from_str(gate.stdout().lines().next().expect("a line")).expect("JSON");
    assert_eq!(record["host"], "evil.test");
}

#[test]
fn threat_133_a_file_that_was_rotated_is_opened_anew() {
    let dns = Dns::start();
    let gate = Tidegate::start("", dns.address());
    ask_for(gate.proxy(), "before.test");
    gate.wait_for_records(1);
    std::fs::rename(gate.path("audit.jsonl"), gate.path("audit.jsonl.1")).unwrap();
    gate.reload("");
    ask_for(gate.proxy(), "after.test");
    let record = gate.wait_for_record(|record| record["host"] == "after.test");
    assert_eq!(record["sequence"], 2, "the sequence goes on");
    let old = std::fs::read_to_string(gate.path("audit.jsonl.1")).unwrap();
    assert!(old.contains("before.test") && !old.contains("after.test"), "{old}");
}

// ── threat 133: records that cannot be written

#[test]
fn threat_133_what_cannot_be_recorded_is_refused() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Setup::new(policy).dns(dns.address()).audit("file = \"/dev/full\"").start();
    let authority = format!("allowed.test:{}", origin.port());
    let mut replies = vec![ask_for(gate.proxy(), &authority), ask_for(gate.proxy(), &authority)];
    replies.extend(Client::tunnel(gate.proxy(), &authority).err());
    assert_eq!(replies.len(), 3, "the tunnel is refused too");
    for reply in &replies {
        assert_eq!(reply.verdict(), (503, "audit_unavailable"), "{}", reply.text());
        assert!(reply.header("proxy-status").is_some_and(|value| value.starts_with("tidegate; error=")), "{:?}", reply.headers);
    }
    assert_eq!(origin.received(), b"", "nothing left unrecorded");
    assert!(gate.metric("tidegate_audit_records_total{result=\"refused\"}") >= 3, "{}", gate.metrics());
}

#[test]
fn threat_133_lost_records_are_counted_where_going_on_is_chosen() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let policy = format!("allow = [\"allowed.test:{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let gate = Setup::new(policy).dns(dns.address()).audit("file = \"/dev/full\"\non_failure = \"continue\"").start();
    let reply = ask_for(gate.proxy(), &format!("allowed.test:{}", origin.port()));
    assert_eq!(reply.text(), "from the origin");
    eventually("a lost record is counted", || gate.metric("tidegate_audit_records_total{result=\"lost\"}") >= 1);
}

// ── metrics

/// The metrics that this door has, with their labels.
const METRICS: &[(&str, &[&str])] = &[
    ("tidegate_decisions_total", &["kind", "verdict", "reason"]),
    ("tidegate_connections", &["door"]),
    ("tidegate_tunnels", &[]),
    ("tidegate_bytes_total", &["direction"]),
    ("tidegate_dns_seconds", &[]),
    ("tidegate_connect_seconds", &[]),
    ("tidegate_first_byte_seconds", &[]),
    ("tidegate_limited_total", &["limit"]),
    ("tidegate_audit_records_total", &["result"]),
    ("tidegate_policy_generation", &[]),
    ("tidegate_policy_reloads_total", &["result"]),
    ("tidegate_sessions", &[]),
    ("tidegate_panics_total", &[]),
    ("tidegate_build_info", &["version", "commit"]),
];

#[test]
fn metrics_have_the_names_and_labels_of_the_contract() {
    let origin = Origin::saying("from the origin");
    let (gate, authority) = ground(&origin);
    assert_eq!(ask_for(gate.proxy(), &authority).status, 200);
    ask_for(gate.proxy(), "evil.test");
    let metrics = gate.metrics();
    for (name, labels) in METRICS {
        let series = metrics.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or("_");
            ["{", " ", "_bucket", "_sum", "_count"].iter().any(|next| rest.starts_with(next))
        });
        let series: Vec<_> = series.collect();
        assert!(!series.is_empty(), "{name} is missing in\n{metrics}");
        for line in series {
            let written: BTreeSet<&str> = labels_of(line).into_iter().filter(|label| *label != "le").collect();
            assert_eq!(written, labels.iter().copied().collect(), "{line}");
        }
    }
    assert!(metrics.contains("tidegate_decisions_total{kind=\"http\",reason=\"host_not_allowed\",verdict=\"deny\"} 1"), "{metrics}");
}

/// The names of the labels of one line.
fn labels_of(line: &str) -> Vec<&str> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let (labels, _) = rest.split_once('}').unwrap_or((rest, ""));
    labels.split("\",").filter_map(|label| label.split_once('=').map(|(name, _)| name)).collect()
}

#[test]
fn threat_128_nothing_of_the_sandbox_becomes_a_label() {
    let (gate, _) = ground(&Origin::saying(""));
    let series = |gate: &Tidegate| gate.metrics().lines().filter(|line| !line.starts_with('#')).count();
    ask_for(gate.proxy(), "evil.test");
    ask(gate.proxy(), "FOO http://evil.test/path HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    let before = series(&gate);
    for number in 0..100 {
        ask(gate.proxy(), format!("M{number} http://evil-{number}.test/path-{number} HTTP/1.1\r\nHost: evil-{number}.test\r\n\r\n"));
    }
    assert_eq!(series(&gate), before);
    let metrics = gate.metrics();
    assert!(!metrics.contains("evil") && !metrics.contains("path-"), "{metrics}");
}

#[test]
fn open_tunnels_and_bytes_are_counted() {
    let origin = Origin::echoing();
    let (gate, authority) = ground(&origin);
    let mut client = Client::tunnel(gate.proxy(), &authority).expect("a tunnel");
    client.send([7; 1000]);
    client.exactly(1000);
    assert_eq!(gate.metric("tidegate_tunnels"), 1);
    assert_eq!(gate.metric("tidegate_connections{door=\"proxy\"}"), 1);
    drop(client);
    eventually("the tunnel ends", || gate.metric("tidegate_tunnels") == 0);
    assert_eq!(
        (gate.metric("tidegate_bytes_total{direction=\"up\"}"), gate.metric("tidegate_bytes_total{direction=\"down\"}")),
        (1000, 1000)
    );
}

#[test]
fn the_metrics_listener_answers_three_paths_and_nothing_else() {
    let (gate, _) = ground(&Origin::saying(""));
    let at = |request: &str| ask(gate.metrics_address(), request).status;
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(at(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")), 200, "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(at(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")), 405, "{method} {path}");
        }
    }
    for path in ["/", "/session", "/sessions", "/refusals", "/metrics/", "/metricsx", "/debug"] {
        assert_eq!(at(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")), 404, "{path}");
    }
    for request in [
        "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n",
    ] {
        let reply = ask(gate.metrics_address(), request);
        assert!((400..500).contains(&reply.status), "{request}: {}", reply.status);
    }
}

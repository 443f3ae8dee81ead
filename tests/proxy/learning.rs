//! What an audit teaches: report first, then enforce what was suggested, and what another policy would change.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    clients::{Ground, cargo_works, git_works, npm_works, pip_works},
    harness::{Client, Dns, Origin, Reply, Tidegate, client::ask, tidegate::TIDEGATE},
    interception,
};

const LOOPBACK: &str = "[addresses]\nallow = [\"127.0.0.0/8\"]\n";

/// What the program said, and its exit status.
struct Said {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

fn tidegate(arguments: &[&str]) -> Said {
    let output = Command::new(TIDEGATE).args(arguments).output().expect("tidegate runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
    Said { stdout, stderr, status: output.status.code() }
}

/// What is suggested for everything that a proxy has recorded, in a file beside its audit.
#[track_caller]
fn suggest(gate: &Tidegate) -> (String, String) {
    let said = tidegate(&["policy", "suggest", &gate.path("audit.jsonl").display().to_string()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    let path = gate.path("suggested.toml").display().to_string();
    fs::write(&path, &said.stdout).expect("a file");
    let linted = tidegate(&["policy", "lint", &path]);
    assert_eq!((linted.status, linted.stderr.as_str()), (Some(0), "0 errors, 0 warnings\n"), "{}", said.stdout);
    (said.stdout, path)
}

/// Lines beside comments.
fn bare(policy: &str) -> Vec<&str> {
    policy.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn text<'v>(record: &'v Value, field: &str) -> Option<&'v str> {
    record[field].as_str()
}

/// Reports what clients do under an empty list, enforces what is suggested for it, and lets them do the same again.
fn report_then_enforce(clients: fn(&Ground)) {
    let mut ground = Ground::under(|_| format!("report = true\n{LOOPBACK}"));
    clients(&ground);
    let reported = ground.gate.records();
    assert!(reported.iter().all(|record| text(record, "verdict") == Some("allow")));
    assert!(reported.iter().any(|record| text(record, "would_deny") == Some("host_not_allowed")));
    let (suggestion, path) = suggest(&ground.gate);
    let (old, new) = (ground.gate.path("policy.toml").display().to_string(), path);
    let audit = ground.gate.path("audit.jsonl").display().to_string();
    let said = tidegate(&["policy", "diff", &old, &new, "--audit", &audit]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    ground.gate.reload(&suggestion);
    ground.forget();
    clients(&ground);
    let records = ground.gate.records();
    let enforced: Vec<_> = records.iter().filter(|record| record["generation"] == 2).collect();
    assert!(!enforced.is_empty());
    for record in enforced {
        assert_eq!((text(record, "verdict"), text(record, "would_deny")), (Some("allow"), None), "{record:#}\n{suggestion}");
    }
    let ports = [ground.http("pkg.test"), ground.https("pkg.test")]
        .map(|base| base.rsplit(':').next().expect("a port").parse::<u16>().expect("a port"));
    let [low, high] = [ports[0].min(ports[1]), ports[0].max(ports[1])].map(|port| format!("\"pkg.test:{port}\","));
    assert_eq!(bare(&suggestion), ["allow = [", &low, &high, "]", "[addresses]", "allow = [", "\"127.0.0.1/32\",", "]"]);
}

#[test]
fn b8_pip_is_refused_nothing_under_what_its_report_suggests() {
    report_then_enforce(pip_works);
}

#[test]
fn b8_npm_is_refused_nothing_under_what_its_report_suggests() {
    report_then_enforce(npm_works);
}

#[test]
fn b8_cargo_is_refused_nothing_under_what_its_report_suggests() {
    report_then_enforce(|ground| {
        cargo_works(ground, true);
        cargo_works(ground, false);
    });
}

#[test]
fn b8_git_is_refused_nothing_under_what_its_report_suggests() {
    report_then_enforce(git_works);
}

fn ask_for(gate: &Tidegate, method: &str, authority: &str, path: &str) -> Reply {
    ask(gate.proxy(), format!("{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))
}

#[test]
fn c10_a_refusal_names_the_redirect_that_led_to_it() {
    let dns = Dns::loopback();
    let target = Origin::saying("from the target");
    let evil = format!("evil.test:{}", target.port());
    let origin = Origin::replying(format!("HTTP/1.1 302 Found\r\nLocation: http://{evil}/file?x=1\r\nContent-Length: 0\r\n\r\n"));
    let good = format!("good.test:{}", origin.port());
    let gate = Tidegate::start(format!("allow = [\"{good}\"]\n{LOOPBACK}"), dns.address());
    let before = ask_for(&gate, "GET", &evil, "/file");
    assert!(before.verdict() == (403, "host_not_allowed") && !before.text().contains("redirects"), "{}", before.text());
    assert_eq!(ask_for(&gate, "GET", &good, "/").status, 302);
    let chain = format!("An answer sent the sandbox there: allowed {good} redirects to refused {evil}.");
    let reply = ask_for(&gate, "GET", &evil, "/file");
    assert_eq!(reply.verdict(), (403, "host_not_allowed"));
    assert_eq!(reply.text().matches(&chain).count(), 2, "in the facts and in the sentences:\n{}", reply.text());
    let reply = Client::tunnel(gate.proxy(), &evil).err().expect("a refusal");
    assert_eq!((reply.verdict(), reply.text().contains(&chain)), ((403, "host_not_allowed"), true), "{}", reply.text());
    let other = ask_for(&gate, "GET", &format!("other.test:{}", target.port()), "/");
    assert!(!other.text().contains("redirects"), "{}", other.text());
    let records = gate.wait_for_records(5);
    let by: Vec<_> = records.iter().map(|record| (text(record, "host").expect("a host"), text(record, "redirected_by"))).collect();
    let led = Some(good.as_str());
    assert_eq!(by, [("evil.test", None), ("good.test", None), ("evil.test", led), ("evil.test", led), ("other.test", None)]);
    assert!(records[0].get("redirected_by").is_none(), "it is written only where there is one");
    let (suggestion, _) = suggest(&gate);
    assert!(suggestion.contains(&format!("; allowed {good} redirects to refused {evil}\n    # \"{evil}\",\n")), "{suggestion}");
    assert_eq!(bare(&suggestion), ["allow = [", &format!("\"{good}\","), "]", "[addresses]", "allow = [", "\"127.0.0.1/32\",", "]"]);
    target.assert_untouched("it was refused each time");
}

#[test]
fn c10_a_redirect_inside_tls_is_named_too() {
    let ground = interception::Ground::new("[[rule]]\nhosts = [\"api.test\"]\nmethods = [\"GET\"]\n");
    let ran = ground.curl(&[], "api.test", "/elsewhere/x");
    assert!(ran.stdout.contains(" 302 "), "{}", ran.said);
    let ran = ground.curl(&[], "evil.test", "/elsewhere/x");
    assert!(ran.said.contains("CONNECT tunnel failed, response 403"), "{}", ran.said);
    let record = ground.gate.wait_for_record(|record| record["host"] == "evil.test");
    assert!(text(&record, "redirected_by").is_some_and(|from| from.starts_with("api.test:")), "{record:#}");
    let refusals = ask(ground.gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n").text();
    assert!(refusals.contains("allowed api.test:") && refusals.contains(" redirects to refused evil.test:"), "{refusals}");
}

#[test]
fn c9_a_diff_names_each_recorded_request_whose_verdict_changes() {
    let dns = Dns::loopback();
    let origin = Origin::saying("from the origin");
    let (a, b) = (format!("a.test:{}", origin.port()), format!("b.test:{}", origin.port()));
    let gate = Tidegate::start(format!("allow = [\"{a}\"]\n{LOOPBACK}"), dns.address());
    for (method, host, path, status) in
        [("GET", &a, "/v1/x", 200), ("DELETE", &a, "/v1/x", 200), ("GET", &b, "/", 403), ("GET", &b, "/", 403)]
    {
        assert_eq!(ask_for(&gate, method, host, path).status, status, "{method} {host}{path}");
    }
    let new = gate.path("new.toml").display().to_string();
    let rule = format!("[[rule]]\nname = \"reading\"\nhosts = [\"{a}\"]\nmethods = [\"GET\"]\n");
    let entry = |host: &str| format!("{{ host = \"{host}\", http = true }}");
    fs::write(&new, format!("allow = [\n{},\n{}]\n{LOOPBACK}{rule}", entry(&a), entry(&b))).expect("a file");
    let (old, audit) = (gate.path("policy.toml").display().to_string(), gate.path("audit.jsonl").display().to_string());
    let said = tidegate(&["policy", "diff", &old, &new, "--audit", &audit]);
    let expected = format!(
        "now refused: method_not_allowed {a} ×1  by reading ({new}:6)  before by {a} ({old}:1)  such as DELETE /v1/x\n\
         now allowed: host_not_allowed {b} ×2  by {b} ({new}:3)  such as GET /\n"
    );
    let count = "3 of 4 recorded decisions change\n".to_owned();
    assert_eq!((said.stdout, said.stderr, said.status), (expected, count, Some(1)));
    // The wire says the same.
    gate.reload(&fs::read_to_string(&new).expect("a file"));
    assert_eq!(ask_for(&gate, "DELETE", &a, "/v1/x").verdict(), (403, "method_not_allowed"));
    assert_eq!(ask_for(&gate, "GET", &b, "/").status, 200);
}

use std::{fs, net::IpAddr, path::Path, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    destination::Destination,
    metrics::{Door, Kind},
    policy::RuleRef,
    processes::Process,
    reason::Reason,
};

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_262_400_000_042)
}

struct Fixture {
    directory: tempfile::TempDir,
    metrics: Arc<Metrics>,
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), metrics: Arc::new(Metrics::new().unwrap()) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    fn open(&self, path: &Path, on_failure: OnFailure) -> Audit {
        Audit::open(Target::File(path.to_owned()), on_failure, noon, self.metrics.clone()).unwrap()
    }

    fn counted(&self, result: &str) -> String {
        let name = format!("tidegate_audit_records_total{{result=\"{result}\"}} ");
        self.metrics.render().lines().find_map(|line| line.strip_prefix(&name).map(ToOwned::to_owned)).unwrap()
    }
}

fn connect() -> Record {
    Record::new(Door::Proxy, Kind::Connect)
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn destination(authority: &str) -> Destination {
    Destination::parse(authority.as_bytes(), None).unwrap()
}

#[test]
fn a_record_has_every_field() {
    let fixture = Fixture::new();
    let rule = RuleRef { entry: "*.example.org".into(), source: "policy.toml".into(), line: 3 };
    let record = Record::new(Door::Proxy, Kind::Http)
        .under(&"s1".into(), 4)
        .to(&destination("www.example.org:80"))
        .requesting("GET", Some("/a/b?secret=1"))
        .by(Some(&rule))
        .would_deny(Some(Reason::HostNotAllowed))
        .at(Some(IpAddr::from([192, 0, 2, 1])))
        .of_process(Some(&process("/usr/bin/curl")))
        .ended(10, 2000, Duration::from_micros(12_999));
    fixture.open(&fixture.path(), OnFailure::Refuse).record(&record).unwrap();
    let written = lines(&fixture.path());
    let expected = json!({
        "schema": 1, "time": "2026-11-21T12:00:00.000042Z", "sequence": 1, "generation": 4, "session": "s1", "door": "proxy",
        "kind": "http", "verdict": "allow", "reason": null, "rule": "*.example.org (policy.toml:3)",
        "would_deny": "host_not_allowed", "host": "www.example.org", "port": 80, "address": "192.0.2.1", "method": "GET",
        "path": "/a/b", "repository": null, "refs": null, "bytes_up": 10, "bytes_down": 2000, "duration_ms": 12, "pid": 4711,
        "exe": "/usr/bin/curl",
    });
    assert_eq!(written, std::slice::from_ref(&expected));
    let order = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&written[0]), order(&expected));
    assert_eq!(fixture.counted("written"), "1");
}

#[test]
fn what_is_not_known_is_null() {
    let fixture = Fixture::new();
    fixture.open(&fixture.path(), OnFailure::Refuse).record(&connect().refused(Reason::SessionRequired)).unwrap();
    let expected = json!({
        "schema": 1, "time": "2026-11-21T12:00:00.000042Z", "sequence": 1, "generation": 0, "session": null, "door": "proxy",
        "kind": "connect", "verdict": "deny", "reason": "session_required", "rule": null, "would_deny": null, "host": null,
        "port": null, "address": null, "method": null, "path": null, "repository": null, "refs": null, "bytes_up": null,
        "bytes_down": null, "duration_ms": null, "pid": null, "exe": null,
    });
    assert_eq!(lines(&fixture.path()), [expected]);
}

#[test]
fn verdicts_follow_from_reasons() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    for record in [connect(), connect().refused(Reason::HostDenied), connect().refused(Reason::DnsFailed)] {
        audit.record(&record).unwrap();
    }
    let verdicts: Vec<_> = lines(&fixture.path()).iter().map(|line| line["verdict"].clone()).collect();
    assert_eq!(verdicts, ["allow", "deny", "error"]);
}

#[test]
fn each_session_counts_for_itself() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    for session in ["a", "b", "a", "a"] {
        audit.record(&connect().under(&session.into(), 1)).unwrap();
    }
    audit.record(&connect()).unwrap();
    let sequences: Vec<_> = lines(&fixture.path()).iter().map(|line| line["sequence"].clone()).collect();
    assert_eq!(sequences, [1, 1, 2, 3, 1]);
}

#[test]
fn nothing_of_the_sandbox_leaves_its_string() {
    let fixture = Fixture::new();
    let hostile = "/\r\n{\"schema\":1}\u{1b}[2J\u{9b}31m\u{7f}\u{202e}é\u{1f600}\"\\";
    fixture.open(&fixture.path(), OnFailure::Refuse).record(&connect().requesting("GET\n", Some(hostile))).unwrap();
    let text = fs::read_to_string(fixture.path()).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text}");
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&written["method"], &written["path"]), (&json!("GET\n"), &json!(hostile)));
}

fn process(exe: &str) -> Arc<Process> {
    Arc::new(Process { pid: 4711, exe: Some(exe.into()) })
}

#[test]
fn the_path_of_a_program_is_cut_and_escaped() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    let exe = format!("/tmp/\u{1b}[2J{}", "é".repeat(5000));
    audit.record(&connect().of_process(Some(&process(&exe)))).unwrap();
    let written = fs::read_to_string(fixture.path()).unwrap();
    assert!(written.contains("\"pid\":4711,\"exe\":\"/tmp/\\u001b[2J\\u00e9") && written.is_ascii(), "{written}");
    assert_eq!(lines(&fixture.path())[0]["exe"], format!("/tmp/\u{1b}[2J{}", "é".repeat(507)));
}

#[test]
fn methods_and_paths_are_cut() {
    let (method, path) = ("M".repeat(100), format!("/{}", "é".repeat(5000)));
    assert_eq!(bounded_method(&method), "M".repeat(32));
    assert_eq!(bounded_path(&path), format!("/{}", "é".repeat(1023)));
    assert_eq!(bounded_path("/a?token=1"), "/a");
    assert_eq!(bounded_path("?"), "");
    assert_eq!(bounded_path("/a#b?c"), "/a");
}

#[test]
fn many_threads_write_whole_lines_in_order() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| audit.record(&connect().under(&"s".into(), 1)).unwrap()));
        }
    });
    let sequences: Vec<_> = lines(&fixture.path()).iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=800).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_recorded_is_refused() {
    let fixture = Fixture::new();
    let audit = fixture.open(Path::new("/dev/full"), OnFailure::Refuse);
    let error = audit.record(&connect()).unwrap_err();
    assert_eq!(error.to_string(), "the audit record cannot be written: No space left on device (os error 28)");
    assert_eq!((fixture.counted("written"), fixture.counted("lost"), fixture.counted("refused")), ("0".into(), "0".into(), "1".into()));
}

#[test]
fn or_is_counted_as_lost() {
    let fixture = Fixture::new();
    let audit = fixture.open(Path::new("/dev/full"), OnFailure::Continue);
    audit.record(&connect()).unwrap();
    assert_eq!((fixture.counted("written"), fixture.counted("lost"), fixture.counted("refused")), ("0".into(), "1".into(), "0".into()));
}

#[test]
fn a_torn_line_is_closed_before_the_next() {
    let fixture = Fixture::new();
    fs::write(fixture.path(), "{\"schema\":1,\"ti").unwrap();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    audit.record(&connect()).unwrap();
    audit.record(&connect()).unwrap();
    let text = fs::read_to_string(fixture.path()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("{\"schema\":1,\"ti"));
    let sequences: Vec<_> = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].clone()).collect();
    assert_eq!(sequences, [1, 2]);
}

/// Takes as many octets per call as the script says.
struct Scripted(Vec<usize>, Vec<u8>);

impl Write for Scripted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let taken = self.0.remove(0).min(buffer.len());
        self.1.extend_from_slice(&buffer[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_short_write_is_a_failure_that_costs_one_line_only() {
    let mut lines = Lines { out: Scripted(vec![100, 2, 0, 100, 100], Vec::new()), torn: false };
    let results: Vec<_> =
        ["first\n", "second\n", "third\n", "fourth\n", "fifth\n"].map(|line| lines.write(line.into(), Duration::ZERO).is_ok()).into();
    assert_eq!(results, [true, false, false, true, true]);
    assert_eq!(String::from_utf8(lines.out.1).unwrap(), "first\nse\nfourth\nfifth\n");
}

#[test]
fn whole_lines_are_kept_as_they_are() {
    let fixture = Fixture::new();
    fixture.open(&fixture.path(), OnFailure::Refuse).record(&connect()).unwrap();
    fixture.open(&fixture.path(), OnFailure::Refuse).record(&connect()).unwrap();
    assert_eq!(lines(&fixture.path()).len(), 2);
}

#[test]
fn a_rotated_file_is_followed_on_reopening() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    audit.record(&connect()).unwrap();
    let rotated = fixture.directory.path().join("audit.jsonl.1");
    fs::rename(fixture.path(), &rotated).unwrap();
    audit.record(&connect()).unwrap();
    audit.reopen().unwrap();
    audit.record(&connect()).unwrap();
    let sequences = |path: &Path| lines(path).iter().map(|line| line["sequence"].clone()).collect::<Vec<_>>();
    assert_eq!((sequences(&rotated), sequences(&fixture.path())), (vec![json!(1), json!(2)], vec![json!(3)]));
}

#[test]
fn a_failed_reopening_keeps_the_old_file() {
    let fixture = Fixture::new();
    let directory = fixture.directory.path().join("logs");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("audit.jsonl");
    let audit = fixture.open(&path, OnFailure::Refuse);
    let moved = fixture.directory.path().join("moved");
    fs::rename(&directory, &moved).unwrap();
    let error = audit.reopen().unwrap_err().to_string();
    assert_eq!(error, format!("cannot open the audit file {}: No such file or directory (os error 2)", path.display()));
    audit.record(&connect()).unwrap();
    assert_eq!(lines(&moved.join("audit.jsonl")).len(), 1);
}

#[test]
fn a_panic_elsewhere_does_not_stop_records() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    let panicked = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let _held = audit.lock();
                panic!("while the lock is held");
            })
            .join()
    });
    assert!(panicked.is_err());
    audit.record(&connect()).unwrap();
    assert_eq!(lines(&fixture.path()).len(), 1);
}

#[test]
fn reopening_while_others_record_tears_no_line() {
    let fixture = Fixture::new();
    let audit = fixture.open(&fixture.path(), OnFailure::Refuse);
    // Long lines cross the pages of a file, and a write may be seen in part there.
    let record = connect().requesting("GET", Some(&"/long".repeat(400)));
    std::thread::scope(|scope| {
        let recording = scope.spawn(|| (0..20_000).for_each(|_| audit.record(&record).unwrap()));
        while !recording.is_finished() {
            audit.reopen().unwrap();
        }
    });
    assert_eq!(lines(&fixture.path()).len(), 20_000);
}

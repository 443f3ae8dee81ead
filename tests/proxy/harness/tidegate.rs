//! The program itself: the real binary, with a configuration in a directory of its own.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::wait::{PATIENCE, poll};

/// The binary under test.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A start of `tidegate serve`, before it happens.
pub(crate) struct Setup {
    policy: String,
    listen: String,
    dns: String,
    audit: String,
    timeouts: String,
    more: String,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A proxy with this policy for everyone, and a listener for metrics.
    pub(crate) fn new(policy: impl Into<String>) -> Self {
        Self {
            policy: policy.into(),
            listen: String::new(),
            dns: "127.0.0.1:9".into(),
            audit: "file = \"audit.jsonl\"".into(),
            timeouts: String::new(),
            more: String::new(),
            files: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Another line of the policy, before its tables.
    pub(crate) fn preface(mut self, line: &str) -> Self {
        self.policy = format!("{line}\n{}", self.policy);
        self
    }

    /// Names are resolved by this server. Without it no name resolves, so that no test asks the machine's resolver.
    pub(crate) fn dns(mut self, server: impl ToString + Copy) -> Self {
        self.dns = server.to_string();
        self
    }

    /// Another line of `[listen]`.
    pub(crate) fn listen(mut self, line: &str) -> Self {
        let _ = writeln!(self.listen, "{line}");
        self
    }

    /// Another line of `[timeouts]`.
    pub(crate) fn timeout(mut self, line: &str) -> Self {
        let _ = writeln!(self.timeouts, "{line}");
        self
    }

    /// The lines of `[audit]`.
    pub(crate) fn audit(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.audit);
        self
    }

    /// More tables of the configuration.
    pub(crate) fn tables(mut self, toml: &str) -> Self {
        let _ = writeln!(self.more, "{toml}");
        self
    }

    /// A session table whose token is `token`.
    pub(crate) fn session(self, id: &str, token: &str, more: &str) -> Self {
        let file = format!("{id}.token");
        let table = format!("[[session]]\nid = \"{id}\"\ntoken = {{ file = \"{file}\" }}\n{more}");
        self.file(&file, token).tables(&table)
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Tidegate {
        match self.try_start() {
            Ok(tidegate) => tidegate,
            Err(failed) => panic!("tidegate did not start ({}):\n{}", failed.status, failed.stderr),
        }
    }

    /// Starts it and waits until it is ready or has ended.
    #[track_caller]
    pub(crate) fn try_start(self) -> Result<Tidegate, Failed> {
        let directory = tempfile::tempdir().expect("a directory for the test");
        self.write(directory.path());
        let (child, stdout, stderr) = spawn(directory.path(), &self.environment);
        let mut tidegate = Tidegate { child, directory, stderr, stdout, listeners: BTreeMap::new(), environment: self.environment };
        tidegate.wait_until_ready().map(|()| tidegate)
    }

    fn write(&self, directory: &Path) {
        let write = |name: &str, content: &str| fs::write(directory.join(name), content).expect("a file of the test");
        let proxy = if self.listen.contains("proxy =") { "" } else { "proxy = \"127.0.0.1:0\"\n" };
        let config = format!(
            "[listen]\n{proxy}metrics = \"127.0.0.1:0\"\n{}\n[state]\ndir = \"state\"\n\n[policy]\nfile = \"{POLICY}\"\n\n\
             [audit]\n{}\n\n[dns]\nresolver = \"{}\"\n\n[timeouts]\n{}\n{}",
            self.listen, self.audit, self.dns, self.timeouts, self.more
        );
        write(CONFIG, &config);
        write(POLICY, &self.policy);
        for (name, content) in &self.files {
            write(name, content);
        }
    }
}

/// A start that ended before it was ready.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// A running `tidegate serve`; killed when dropped.
pub(crate) struct Tidegate {
    child: Child,
    directory: TempDir,
    stderr: Gathered,
    stdout: Gathered,
    listeners: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
}

impl Tidegate {
    /// Kills it in the middle of whatever it does and starts another in the same directory.
    #[track_caller]
    pub(crate) fn crash_and_restart(&mut self) {
        self.signal("KILL");
        self.wait_for_exit();
        (self.child, self.stdout, self.stderr) = spawn(self.directory.path(), &self.environment);
        self.wait_until_ready().expect("tidegate starts again");
    }

    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), Failed> {
        let ended = poll(|| {
            if self.stderr().lines().any(|line| line == "ready") {
                return Some(None);
            }
            self.child.try_wait().expect("its status").map(Some)
        });
        match ended {
            Some(None) => {
                self.listeners = listeners(&self.stderr());
                Ok(())
            }
            Some(Some(status)) => Err(Failed { status, stderr: self.stderr_at_end() }),
            None => panic!("tidegate was not ready within {PATIENCE:?}:\n{}", self.stderr()),
        }
    }

    /// A proxy with this policy, whose names that name server resolves.
    #[track_caller]
    pub(crate) fn start(policy: impl Into<String>, dns: SocketAddr) -> Self {
        Setup::new(policy).dns(dns).start()
    }

    pub(crate) fn proxy(&self) -> SocketAddr {
        self.listener("proxy")
    }

    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.listener("metrics")
    }

    /// Where it says that it listens.
    #[track_caller]
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.listeners[name].parse().expect("an address after \"listening\"")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has held so far, in KiB.
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Everything it said on stderr, once it has ended.
    fn stderr_at_end(&mut self) -> String {
        self.stderr.join();
        self.stderr()
    }

    /// Every whole line of the audit file so far.
    pub(crate) fn audit_text(&self) -> String {
        fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default()
    }

    /// Every record so far.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.audit_text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The first record that is `wanted`, once there is one.
    #[track_caller]
    pub(crate) fn wait_for_record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = poll(|| self.records().into_iter().find(|record| wanted(record)));
        found.unwrap_or_else(|| panic!("no such record within {PATIENCE:?}:\n{}", self.audit_text()))
    }

    /// The first record that is `wanted` of those that follow the first `before`.
    #[track_caller]
    pub(crate) fn wait_for_record_after(&self, before: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = poll(|| self.records().into_iter().skip(before).find(|record| wanted(record)));
        found.unwrap_or_else(|| panic!("no such record after {before} within {PATIENCE:?}:\n{}", self.audit_text()))
    }

    /// The records once there are at least `count` of them.
    #[track_caller]
    pub(crate) fn wait_for_records(&self, count: usize) -> Vec<Value> {
        let found = poll(|| Some(self.records()).filter(|records| records.len() >= count));
        found.unwrap_or_else(|| panic!("fewer than {count} records within {PATIENCE:?}:\n{}", self.audit_text()))
    }

    /// What `/metrics` says.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics_address()).expect("the metrics listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("metrics");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }

    /// The value of a series, written as it stands in the text: `name{label="value"}`; 0 where it does not stand.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Writes the policy anew, without telling anybody.
    pub(crate) fn rewrite_policy(&self, policy: &str) {
        fs::write(self.path(POLICY), policy).expect("the policy");
    }

    /// Writes the policy anew and waits until it is in force.
    #[track_caller]
    pub(crate) fn reload(&self, policy: &str) {
        let before = self.metric("tidegate_policy_generation");
        self.rewrite_policy(policy);
        self.signal("HUP");
        let after = poll(|| Some(self.metric("tidegate_policy_generation")).filter(|now| *now > before));
        assert_eq!(after, Some(before + 1), "a reload makes one generation\n{}", self.stderr());
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().expect("kill");
        assert!(status.success(), "kill -{name} {}", self.pid());
    }

    /// Its exit status, once it has ended.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let status = poll(|| self.child.try_wait().expect("its status"));
        status.unwrap_or_else(|| panic!("still running after {PATIENCE:?}:\n{}", self.stderr()))
    }

    /// Ends it with SIGTERM; it must end well and quietly. Returns what it said on stderr.
    #[track_caller]
    pub(crate) fn finish(mut self) -> String {
        self.signal("TERM");
        let status = self.wait_for_exit();
        let stderr = self.stderr_at_end();
        assert!(status.success(), "{status}:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let panicked = self.stderr_at_end().contains("panicked");
        assert!(thread::panicking() || !panicked, "tidegate panicked:\n{}", self.stderr());
        if thread::panicking() {
            eprintln!("── tidegate's stderr\n{}── its records\n{}──", self.stderr(), self.audit_text());
        }
    }
}

fn spawn(directory: &Path, environment: &[(String, String)]) -> (Child, Gathered, Gathered) {
    let mut child = Command::new(TIDEGATE)
        .args(["serve", "--config"])
        .arg(directory.join(CONFIG))
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tidegate starts");
    let stdout = gather(child.stdout.take().expect("stdout is piped"));
    let stderr = gather(child.stderr.take().expect("stderr is piped"));
    (child, stdout, stderr)
}

/// What a pipe has said so far.
pub(super) struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gathered {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.bytes)).into_owned()
    }

    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn gather(pipe: impl Read + Send + 'static) -> Gathered {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let target = bytes.clone();
    let thread = thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            locked(&target).append(&mut line);
        }
    });
    Gathered { bytes, thread: Some(thread) }
}

fn locked(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listeners(stderr: &str) -> BTreeMap<String, String> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("listening "));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, address)| (name.into(), address.into())).collect()
}

const CONFIG: &str = "tidegate.toml";
const POLICY: &str = "policy.toml";

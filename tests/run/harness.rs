//! Callers of `tidegate run`, and what their commands came to.

#[path = "../git/harness/api.rs"]
mod api;
#[path = "../git/harness/app.rs"]
mod app;
#[path = "../git/harness/backend.rs"]
pub(crate) mod backend;
#[path = "harness/caller.rs"]
mod caller;
#[path = "harness/counter.rs"]
pub(crate) mod counter;
#[path = "../proxy/harness/dns.rs"]
pub(crate) mod dns;
#[path = "../git/harness/files.rs"]
mod files;
#[path = "../git/harness/hub.rs"]
pub(crate) mod hub;
#[allow(dead_code, reason = "the git tests use the rest of it")]
#[path = "../git/harness/lfs.rs"]
mod lfs;
#[path = "../proxy/harness/namespace.rs"]
pub(crate) mod namespace;
#[path = "../proxy/harness/origin.rs"]
mod origin;
#[path = "../proxy/harness/program.rs"]
pub(crate) mod program;
#[path = "../git/harness/repository.rs"]
pub(crate) mod repository;
#[path = "../proxy/harness/wait.rs"]
pub(crate) mod wait;
#[path = "../proxy/harness/wire.rs"]
mod wire;

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

pub(crate) use self::{
    caller::{Caller, PATH, callers, our_uid, user},
    counter::Counter,
    dns::{Answer, Dns},
    wait::{eventually, poll},
};

/// What a program came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit status, or a signal's number below zero.
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// What it printed, of a run that must succeed and say nothing.
    #[track_caller]
    pub(crate) fn printed(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }
}

/// Runs the test of this name, which is the caller, in a network of its own that has every address, where users stay who they are.
#[track_caller]
pub(crate) fn in_a_network(name: &str, test: impl FnOnce()) {
    let own_users = ["--user", "--map-current-user", "--keep-caps", "--net"];
    namespace::anew(if our_uid() == 0 { &["--net"] } else { &own_users }, name, test);
}

impl Caller {
    /// Writes a file into the home.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, content).unwrap();
        self.give(&path);
        path
    }

    /// A program of this caller's, in the home and with nothing of the tests' environment; nor does it ignore the signals that the tests
    /// ignore where they were started in the background.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("env");
        command
            .arg("--default-signal")
            .arg(program)
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", PATH)
            .env("TIDEGATE", self.program());
        if our_uid() != self.uid() {
            command.uid(self.uid()).gid(self.uid());
        }
        command
    }

    /// `tidegate run` with options, a "--" and a command among them.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(self.program());
        command.arg("run").args(arguments);
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        end(&mut self.tidegate(arguments), b"")
    }

    /// Runs a Python program inside, with these options before it and arguments behind.
    #[track_caller]
    pub(crate) fn python(&self, options: &[&str], program: &str, arguments: &[&str]) -> Ended {
        self.run(&[options, &["--", "python3", "-c", program], arguments].concat())
    }

    /// Runs a shell script inside, with nothing but the default policy.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> Ended {
        self.run(&["--", "sh", "-c", script])
    }
}

/// Runs a program to its end, with this as its stdin.
#[track_caller]
pub(crate) fn end(command: &mut Command, stdin: &[u8]) -> Ended {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()));
    let _ = child.stdin.take().unwrap().write_all(stdin);
    wait_for(child)
}

/// Waits for a program whose outputs are pipes.
#[track_caller]
pub(crate) fn wait_for(child: Child) -> Ended {
    wait_while(child, 1)
}

/// The same for one that waits for much itself.
#[track_caller]
pub(crate) fn wait_long_for(child: Child) -> Ended {
    wait_while(child, 6)
}

#[track_caller]
fn wait_while(mut child: Child, patience: usize) -> Ended {
    let [out, err] = [gather(child.stdout.take()), gather(child.stderr.take())];
    let status = (0..patience).find_map(|_| poll(|| child.try_wait().unwrap()));
    let Some(status) = status else {
        let _ = child.kill();
        panic!("it does not end: {:?} {:?}", out.join(), err.join())
    };
    let status = status.code().unwrap_or_else(|| -status.signal().unwrap());
    Ended { status, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.unwrap().read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The processes of this machine that have a word among their arguments.
pub(crate) fn processes_with(word: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    all.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(word)).collect()
}

/// An origin that answers every request for `hello`, and counts.
pub(crate) struct Origin {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let asked = Arc::clone(&origin.asked);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
                });
            }
        });
        origin
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

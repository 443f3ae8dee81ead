//! Real programs: run to their end with a bound, and with nothing of this machine's proxy settings.

use std::{
    env,
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    /// Stdout and stderr, one after the other.
    pub(crate) said: String,
}

/// A command that knows of no proxy, no root and no index but those that a test gives it.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in env::vars_os() {
        let upper = variable.to_string_lossy().to_ascii_uppercase();
        let foreign = ["PROXY", "CERT", "_CA_", "CAINFO", "CA_BUNDLE"].iter().any(|part| upper.contains(part));
        if foreign || ["PIP_", "NPM_", "CARGO_", "GIT_"].iter().any(|prefix| upper.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command
}

/// Runs it to its end. `package` is what to install where it is missing.
#[track_caller]
pub(crate) fn run(command: &mut Command, package: &str) -> Ran {
    run_for(command, package, PATIENCE_WITH_PROGRAMS)
}

/// The same, with as much patience as it needs.
#[track_caller]
pub(crate) fn run_for(command: &mut Command, package: &str, patience: Duration) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{name} is needed ({error}): apt-get install {package}"));
    let [stdout, stderr] = [gather(child.stdout.take()), gather(child.stderr.take())];
    let status = wait(&mut child, patience).unwrap_or_else(|| panic!("{name} did not end within {patience:?}"));
    let [stdout, stderr] = [stdout, stderr].map(|thread| thread.join().expect("its output"));
    Ran { success: status, said: format!("{stdout}\n{stderr}"), stdout }
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    })
}

fn wait(child: &mut Child, patience: Duration) -> Option<bool> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("its status") {
            return Some(status.success());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Interpreters start slowly on a machine that runs many tests at once.
const PATIENCE_WITH_PROGRAMS: Duration = Duration::from_secs(90);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

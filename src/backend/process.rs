//! One git and all that it starts: told nothing of us, and ended together.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::BackendError;

/// A git that sees nothing of our environment but where programs are, and no configuration outside of its repository.
pub(super) fn git(search: &OsStr) -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", search).env("HOME", NOWHERE).current_dir("/");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// Lets `settings` hold over what the repository's own configuration says (git-config(1), `GIT_CONFIG_COUNT`).
pub(super) fn configure(command: &mut Command, settings: &[(&str, &str)]) {
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (number, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
}

/// A git in a process group of its own, which ends with this value.
pub(super) struct Process {
    child: Child,
    /// Ends when the last one of the group that can complain is gone.
    complaints: JoinHandle<Vec<u8>>,
}

/// The two ends that a running git reads from and writes to.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

/// How a git ended, and what it said to its operator.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Escaped, and cut.
    pub(super) said: Box<str>,
}

/// When a git is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    AtOnce,
    /// Once it had the time to find that there is no more to read: only then does it remove what it has unpacked of a push.
    Later,
}

impl Process {
    pub(super) fn start(mut command: Command) -> Result<(Self, Pipes), BackendError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| if error.kind() == io::ErrorKind::NotFound { BackendError::NoGit } else { unstarted(&error.to_string()) })?;
        let missing = || unstarted("it has no pipes");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        Ok((Self { child, complaints: tokio::spawn(beginning(stderr)) }, Pipes { stdin, stdout }))
    }

    /// Waits for the end of a git that has closed its stdout, and ends it if that takes too long.
    pub(super) async fn finish(mut self) -> Result<Ended, BackendError> {
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) => {
                // Whatever a hook left running may hold on to stderr; it is its owner's.
                let said = timeout(GRACE, &mut self.complaints).await.ok().and_then(Result::ok).unwrap_or_default();
                Ok(Ended { status, said: said.escape_ascii().to_string().into() })
            }
            Ok(Err(error)) => Err(BackendError::Machine("wait for git", error.to_string().into())),
            Err(_) => {
                self.signal(Signal::KILL);
                Err(BackendError::Abandoned)
            }
        }
    }

    /// Ends the group: asks it to, so that git removes its locks, and then ends what does not obey.
    pub(super) async fn end(mut self, asked: Asked) {
        let silent = asked == Asked::Later && timeout(GRACE, &mut self.complaints).await.is_ok();
        if !silent {
            self.signal(Signal::TERM);
            let _ = timeout(GRACE, &mut self.complaints).await;
        }
        // The first of the group was not waited for yet, so that its number is still the group's.
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
    }

    /// Signals the whole group, for as long as its number is sure to be its own.
    fn signal(&self, signal: Signal) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.complaints.abort();
    }
}

fn unstarted(why: &str) -> BackendError {
    BackendError::Machine("start git", why.into())
}

/// Runs a git that is given nothing and returns what it prints, of which there must not be much.
pub(super) async fn run(command: Command, patience: Duration) -> Result<Vec<u8>, BackendError> {
    let (process, Pipes { stdin, stdout }) = Process::start(command)?;
    drop(stdin);
    let printed = timeout(patience, beginning(stdout)).await.map_err(|_| BackendError::Late(patience))?;
    let Ended { status, said } = process.finish().await?;
    if status.success() { Ok(printed) } else { Err(BackendError::Died(status.to_string().into(), said)) }
}

/// Reads to the end, so that nobody waits for us, and keeps the first of it.
async fn beginning(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let room = MAX_KEPT.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
    kept
}

/// A home that does not exist.
const NOWHERE: &str = "/nonexistent";

/// Most octets that are kept of what git says.
const MAX_KEPT: usize = 4096;

/// Longest that a git may take to end once it has been asked to, or has nothing left to say.
const GRACE: Duration = Duration::from_secs(5);

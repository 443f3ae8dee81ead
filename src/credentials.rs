//! The real credentials, which never enter a sandbox: where each comes from, and the one way into a request.

mod latest;
mod withheld;
mod injection;
mod app;
mod equipped;
mod held;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf, absolute},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use zeroize::Zeroizing;

use self::latest::Latest;
pub(crate) use self::{
    app::{App, AppError, GithubCredential, Token, Tokens},
    equipped::{Equipped, Surroundings, read_list},
    held::Held,
    injection::{authorize, authorize_api, basic, is_github_token, masker, put_in},
    withheld::withhold,
};
use crate::secret::Secret;

/// Longest credential in octets. Tokens that carry claims are far longer than those that are only looked up.
pub(crate) const MAX_CREDENTIAL: usize = 8192;

/// Where a real credential comes from.
pub(crate) enum Source {
    /// One that [`read_line`] returned.
    Value(Secret),
    File(PathBuf),
    /// A program and its arguments, run without a shell; what it prints is used until it is `max_age` old.
    Command {
        argv: Vec<String>,
        max_age: Duration,
    },
}

impl Source {
    /// A program, found by `PATH` unless it is written as a path, which starts from `directory`.
    pub(crate) fn command(mut argv: Vec<String>, directory: &Path, max_age: Duration) -> Self {
        if let Some(program) = argv.first_mut().filter(|program| program.contains('/') && Path::new(&**program).is_relative()) {
            let path = directory.join(&*program);
            *program = absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
        }
        Self::Command { argv, max_age }
    }
}

/// What an error may say of it: a path, a program's name, never an argument.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("the environment"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Command { argv, .. } => write!(f, "command {}", argv.first().map(String::as_str).unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) | Self::File(_) => write!(f, "Source({self})"),
            Self::Command { argv: _, max_age } => write!(f, "Source({self}, kept {max_age:?})"),
        }
    }
}

/// One real credential: its source, and what a command last gave.
pub(crate) struct Credential {
    source: Source,
    patience: Duration,
    latest: Latest<Arc<Secret>, Problem>,
    held: Mutex<Option<Arc<Secret>>>,
}

impl Credential {
    /// `patience` bounds one run of a command and one reading of a file.
    pub(crate) fn new(source: Source, patience: Duration) -> Self {
        let held = match &source {
            Source::Value(secret) => Some(Arc::new(Secret::new(secret.expose()))),
            Source::File(_) | Source::Command { .. } => None,
        };
        Self { source, patience, latest: Latest::default(), held: Mutex::new(held) }
    }

    /// The same, of which it is known what its source gave at the start.
    #[must_use]
    pub(crate) fn having_given(self, secret: Option<Secret>) -> Self {
        if let Some(secret) = secret {
            self.hold(Arc::new(secret));
        }
        self
    }

    /// The file that it is read from, if it is.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Value(_) | Source::Command { .. } => None,
        }
    }

    /// The program that is run for it, if it is named by its path.
    pub(crate) fn program(&self) -> Option<&Path> {
        match &self.source {
            Source::Command { argv, .. } => argv.first().filter(|program| program.contains('/')).map(Path::new),
            Source::Value(_) | Source::File(_) => None,
        }
    }

    /// What its source last gave.
    pub(crate) fn held(&self) -> Option<Arc<Secret>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what its source gives, by the same pointer as long as it is the same.
    fn hold(&self, secret: Arc<Secret>) -> Arc<Secret> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_ref().filter(|held| held.expose() == secret.expose()) {
            Some(same) => Arc::clone(same),
            None => Arc::clone(held.insert(secret)),
        }
    }

    /// The credential as it is now. A file is read anew each time. A command is run when what it last gave is too old, once for all who
    /// ask meanwhile, and is killed when its time is over. Whoever stops waiting does not stop the run. A failure is told to those
    /// who wait for it and to those who ask in the second after it. Needs a Tokio runtime.
    ///
    /// # Errors
    /// The source gave nothing in time, or not 1 to [`MAX_CREDENTIAL`] visible ASCII octets on one line.
    pub(crate) async fn secret(&self) -> Result<Arc<Secret>, CredentialError> {
        let outcome = match &self.source {
            Source::Value(secret) => Ok(Arc::new(Secret::new(secret.expose()))),
            Source::File(path) => self.read(path.clone()).await,
            Source::Command { argv, max_age } => self.run(argv, *max_age).await,
        };
        outcome.map(|secret| self.hold(secret)).map_err(|problem| CredentialError { origin: self.source.to_string().into(), problem })
    }

    /// Forgets what a command gave, which an upstream turned away: whoever asks next has it run anew. Whether that is so; it is not where
    /// nothing is kept that could be forgotten, and not again for [`RENEWED`] after a run began, so that an upstream which turns
    /// everything away has no command run over and over.
    pub(crate) fn forget(&self, turned_away: &Secret) -> bool {
        self.latest.forget(|gave, begun| gave.expose() == turned_away.expose() && begun.elapsed() >= RENEWED)
    }

    async fn read(&self, path: PathBuf) -> Outcome {
        match timeout(self.patience, spawn_blocking(move || read_file(&path))).await {
            Ok(Ok(outcome)) => outcome.map(Arc::new),
            Ok(Err(_)) => Err(Problem::Lost),
            Err(_) => Err(Problem::Late(self.patience)),
        }
    }

    async fn run(&self, argv: &[String], max_age: Duration) -> Outcome {
        let young = |_: &Arc<Secret>, begun: Instant| begun.elapsed() < max_age;
        let (argv, patience) = (argv.to_vec(), self.patience);
        let given = self.latest.get(young, || async move { run(&argv, patience).await.map(Arc::new) }).await;
        given.unwrap_or(Err(Problem::Lost))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).field("patience", &self.patience).finish_non_exhaustive()
    }
}

type Outcome = Result<Arc<Secret>, Problem>;

/// A source that gave no credential: which, why, and what helps. Nothing that it printed or holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialError {
    origin: Box<str>,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Unreadable(String),
    NoFile,
    Unstarted(String),
    Failed(ExitStatus),
    Malformed,
    Late(Duration),
    /// Whoever was to fetch it is gone.
    Lost,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no credential from {}: ", self.origin)?;
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "it cannot be read: {error}; put it back, or name another in the configuration"),
            Problem::NoFile => f.write_str("it is no regular file; write the credential into one"),
            Problem::Unstarted(error) => write!(f, "it cannot be started: {error}; see that it is installed, and on PATH"),
            Problem::Failed(status) => write!(f, "it ended with {status}; run it by hand to see why"),
            Problem::Malformed => write!(f, "what it gives is not {FORM}; see what it gives by hand"),
            Problem::Late(patience) => write!(f, "it took longer than {patience:?}; see why, or raise [timeouts] credential"),
            Problem::Lost => f.write_str("it was given up; ask again"),
        }
    }
}

impl std::error::Error for CredentialError {}

/// The credential on the one line of a text, whose line end is no part of it. `None` where it is not [`FORM`].
pub(crate) fn read_line(text: &[u8]) -> Option<Secret> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let formed = (1..=MAX_CREDENTIAL).contains(&line.len()) && line.iter().all(u8::is_ascii_graphic);
    formed.then(|| Secret::new(line))
}

/// How long what a command gave is used, whatever becomes of it.
const RENEWED: Duration = Duration::from_secs(5);

/// What [`read_line`] takes, in words.
pub(crate) const FORM: &str = "1 to 8192 visible ASCII characters on one line";

fn read_file(path: &Path) -> Result<Secret, Problem> {
    // To open a pipe would wait for somebody to write into it.
    if !fs::metadata(path)?.is_file() {
        return Err(Problem::NoFile);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(BUFFER));
    File::open(path)?.take(MAX_TEXT as u64).read_to_end(&mut text)?;
    read_line(&text).ok_or(Problem::Malformed)
}

async fn run(argv: &[String], patience: Duration) -> Result<Secret, Problem> {
    let (program, arguments) = argv.split_first().ok_or_else(|| Problem::Unstarted("nothing is named".to_owned()))?;
    let mut command = Command::new(program);
    // Many programs run what the directory says in which they are started, and that may be a sandbox's.
    command
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    withheld::strip(&mut command);
    let mut child = command.spawn().map_err(|error| Problem::Unstarted(error.to_string()))?;
    let outcome = timeout(patience, listen(&mut child)).await.unwrap_or(Err(Problem::Late(patience)));
    end(child).await;
    outcome
}

/// Ends a command that has not ended, with all that it started.
async fn end(mut child: Child) {
    // Gone where it was waited for; else its number is still its own, and the group's.
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = timeout(REAPING, child.wait()).await;
    }
}

async fn listen(child: &mut Child) -> Result<Secret, Problem> {
    let mut text = Zeroizing::new(Vec::with_capacity(BUFFER));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_TEXT as u64).read_to_end(&mut text).await?;
    }
    if text.len() >= MAX_TEXT {
        return Err(Problem::Malformed);
    }
    let status = child.wait().await?;
    if !status.success() {
        return Err(Problem::Failed(status));
    }
    read_line(&text).ok_or(Problem::Malformed)
}

/// Octets that are read of a source: a credential, a line end, and one that says there is more.
const MAX_TEXT: usize = MAX_CREDENTIAL + 3;
/// Room that reading never fills, so that nothing read stays where a smaller buffer was.
const BUFFER: usize = 2 * MAX_TEXT;
/// For a killed process to be gone.
const REAPING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

//! A sandbox: a home of its own, and real clients in it whose every word is kept.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::program::program;

/// Everything that came back to a sandbox, each with where it came from.
pub(crate) type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

pub(crate) struct Sandbox {
    directory: TempDir,
    heard: Heard,
}

/// What a program did.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Sandbox {
    pub(crate) fn new(heard: &Heard) -> Self {
        let directory = tempfile::tempdir().expect("a home");
        fs::write(directory.path().join(".gitconfig"), SETTINGS).expect("settings");
        Self { directory, heard: heard.clone() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `git` in a directory of the sandbox, such as `clone`; `.` is its home.
    #[track_caller]
    pub(crate) fn git(&self, directory: &str, arguments: &[&str]) -> Done {
        self.run(self.client("git").current_dir(self.path(directory)).args(arguments), arguments)
    }

    /// From now on git goes through this proxy, by which a session is known, and trusts this root and no other.
    pub(crate) fn behind(&self, proxy: &str, root: &str) {
        let root_file = self.path("root.pem");
        fs::write(&root_file, root).expect("a root");
        let settings = format!("{SETTINGS}[http]\nproxy = {proxy}\nsslCAInfo = {}\n", root_file.display());
        fs::write(self.path(".gitconfig"), settings).expect("settings");
    }

    /// The same, which has to succeed.
    #[track_caller]
    pub(crate) fn git_ok(&self, directory: &str, arguments: &[&str]) -> Done {
        let done = self.git(directory, arguments);
        assert_eq!(done.code, Some(0), "git {arguments:?}\n{}{}", done.out, done.err);
        done
    }

    /// Another program with these arguments, in the home.
    #[track_caller]
    pub(crate) fn run_program(&self, name: &str, arguments: &[&str]) -> Done {
        self.run(self.client(name).current_dir(self.directory.path()).args(arguments), arguments)
    }

    /// A clone that knows this URL as `origin`, with a commit of its own on `main` and more on each of these branches.
    #[track_caller]
    pub(crate) fn cloned(&self, url: &str, branches: &[&str]) {
        self.git_ok(".", &["clone", "--quiet", url, "clone"]);
        self.commit("clone", "mine");
        for branch in branches {
            self.git_ok("clone", &["checkout", "--quiet", "-b", branch, "main"]);
            self.commit("clone", &branch.replace('/', "-"));
        }
        self.git_ok("clone", &["checkout", "--quiet", "main"]);
    }

    /// A commit of a new file.
    #[track_caller]
    pub(crate) fn commit(&self, directory: &str, name: &str) {
        fs::write(self.path(directory).join(format!("{name}.txt")), format!("{name}\n")).expect("a file");
        self.git_ok(directory, &["add", "."]);
        self.git_ok(directory, &["commit", "--quiet", "-m", name]);
    }

    /// What a revision of a clone is called.
    #[track_caller]
    pub(crate) fn id(&self, revision: &str) -> String {
        self.git_ok("clone", &["rev-parse", revision]).out.trim_end().to_owned()
    }

    /// Every file below the home, the large ones up to a bound.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        gather(self.directory.path(), &mut found);
        found
    }

    fn client(&self, name: &str) -> Command {
        let mut command = program(name);
        command.envs([("HOME", self.directory.path()), ("XDG_CONFIG_HOME", self.directory.path())]);
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")]);
        command.env_remove("SSH_ASKPASS").env_remove("DISPLAY");
        command
    }

    #[track_caller]
    fn run(&self, command: &mut Command, arguments: &[&str]) -> Done {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} is needed ({error}): apt-get install {name}"));
        let [out, err] = [read(child.stdout.take()), read(child.stderr.take())];
        let status = wait(&mut child).unwrap_or_else(|| panic!("{name} {arguments:?} did not end within {BOUND:?}"));
        let [out, err] = [out, err].map(|thread| thread.join().expect("its output"));
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push((format!("stdout of {name} {arguments:?}"), out.clone()));
        heard.push((format!("stderr of {name} {arguments:?}"), err.clone()));
        let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Done { code: status.code(), out, err }
    }
}

impl Done {
    /// Fails unless it ended so and said each of these on stderr.
    #[track_caller]
    pub(crate) fn assert(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in says {
            assert!(self.err.contains(text), "{text:?} in\n{}{}", self.out, self.err);
        }
    }

    /// Fails if it said any of these.
    #[track_caller]
    pub(crate) fn assert_silent_about(&self, texts: &[&str]) {
        for text in texts {
            assert!(!self.err.contains(text) && !self.out.contains(text), "no {text:?} in\n{}{}", self.out, self.err);
        }
    }
}

fn gather(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
            gather(&path, found);
        } else if kind.is_ok_and(|kind| kind.is_file()) {
            let mut bytes = Vec::new();
            if let Ok(file) = fs::File::open(&path) {
                let _ = file.take(MAX_OF_A_FILE).read_to_end(&mut bytes);
            }
            found.push((path.display().to_string(), bytes));
        }
    }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        said
    })
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + BOUND;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("its status") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(3));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

const SETTINGS: &str = "[user]
name = Sand
email = sand@example.com
[init]
defaultBranch = main
[gc]
auto = 0
[maintenance]
auto = false
[credential]
helper =
[push]
default = simple
[advice]
pushUpdateRejected = false
";

/// The longest that a program may take.
const BOUND: Duration = Duration::from_secs(120);
/// Most octets of a file that are searched.
const MAX_OF_A_FILE: u64 = 1 << 20;

//! The real git, on the sandbox's side: a home of its own, and nothing of whoever runs the demo.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// A git with a home of its own.
pub(super) struct Git {
    home: PathBuf,
}

/// What was run, and what it printed.
pub(super) struct Ran {
    pub(super) command: String,
    /// Both streams, stdout first.
    pub(super) printed: String,
    pub(super) succeeded: bool,
}

impl Git {
    /// With `home` as its home, which no git has used before.
    pub(super) fn new(home: &Path) -> io::Result<Self> {
        fs::write(home.join(".gitconfig"), CONFIGURATION)?;
        Ok(Self { home: home.to_owned() })
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Lets git find GitHub's repositories below `base`, such as `http://127.0.0.1:3140/git`, and show this password there.
    pub(super) fn point_to(&self, base: &str, user: &str, password: &str) -> io::Result<()> {
        let (scheme, place) = base.split_once("://").ok_or_else(|| io::Error::other("a base is a whole URL"))?;
        let host = place.split('/').next().unwrap_or_default();
        let configuration = format!("{CONFIGURATION}[credential]\n\thelper = store\n[url \"{base}/\"]\n\tinsteadOf = {GITHUB}/\n");
        fs::write(self.home.join(".gitconfig"), configuration)?;
        fs::write(self.home.join(".git-credentials"), format!("{scheme}://{user}:{password}@{host}\n"))
    }

    /// Runs git in its home.
    pub(super) async fn run(&self, arguments: &[&str]) -> io::Result<Ran> {
        let mut command = Command::new("git");
        command.env_clear().env("HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        if let Some(search) = env::var_os("PATH") {
            command.env("PATH", search);
        }
        command.current_dir(&self.home).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = command
            .output()
            .await
            .map_err(|error| if error.kind() == io::ErrorKind::NotFound { io::Error::other(NO_GIT) } else { error })?;
        let printed = [output.stdout, output.stderr].concat();
        Ok(Ran {
            command: format!("git {}", arguments.join(" ")),
            printed: String::from_utf8_lossy(&printed).into_owned(),
            succeeded: output.status.success(),
        })
    }

    /// Runs git, and fails where it does.
    pub(super) async fn succeed(&self, arguments: &[&str]) -> io::Result<Ran> {
        let ran = self.run(arguments).await?;
        if ran.succeeded { Ok(ran) } else { Err(io::Error::other(format!("{} failed: {}", ran.command, ran.printed.trim_end()))) }
    }

    /// The first file below its home that holds one of `needles`.
    pub(super) fn file_with(&self, needles: &[&[u8]]) -> io::Result<Option<PathBuf>> {
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && holds(&fs::read(entry.path())?, needles) {
                    return Ok(Some(entry.path()));
                }
            }
        }
        Ok(None)
    }
}

/// Whether one of `needles` stands in a text.
pub(super) fn holds(text: &[u8], needles: &[&[u8]]) -> bool {
    needles.iter().any(|needle| text.windows(needle.len()).any(|window| window == *needle))
}

/// Where the sandbox believes its repositories to be.
pub(super) const GITHUB: &str = "https://github.com";
pub(super) const GITHUB_HOST: &str = "github.com";

const NO_GIT: &str = "there is no git on the PATH; install the package git (on Alpine git-daemon as well)";

const CONFIGURATION: &str = "[user]\n\tname = agent\n\temail = agent@sandbox.example\n[advice]\n\tdetachedHead = false\n";

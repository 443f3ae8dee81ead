//! Programs of the story, the real git first of all: in a home of their own, and with nothing of whoever runs the demo.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

/// A home that programs run in.
pub(super) struct Home(PathBuf);

/// What was run, and what it printed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) command: String,
    /// Both streams, stdout first.
    pub(super) printed: String,
    pub(super) succeeded: bool,
}

impl Home {
    /// In an empty directory.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        fs::write(path.join(".gitconfig"), CONFIGURATION)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The whole environment of what runs here.
    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let fixed = [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")];
        let fixed = fixed.map(|(name, value)| (name.into(), value.into()));
        let of_here = [("HOME".into(), self.0.clone().into())];
        let path = env::var_os("PATH").map(|search| ("PATH".into(), search));
        fixed.into_iter().chain(of_here).chain(path).collect()
    }

    /// Runs git here.
    pub(super) fn git(&self, arguments: &[&str]) -> io::Result<Ran> {
        run(Command::new("git").args(arguments).env_clear().envs(self.variables()).current_dir(&self.0))
    }

    /// The first file below that holds one of `needles`.
    pub(super) fn file_with(&self, needles: &[&[u8]]) -> io::Result<Option<PathBuf>> {
        let mut folders = vec![self.0.clone()];
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

/// Runs a program to its end, with nothing to read.
pub(super) fn run(command: &mut Command) -> io::Result<Ran> {
    let program = command.get_program().to_string_lossy().into_owned();
    let missing = |error: io::Error| {
        let no_git = program == "git" && error.kind() == io::ErrorKind::NotFound;
        if no_git { io::Error::other(NO_GIT) } else { io::Error::other(format!("cannot run {program}: {error}")) }
    };
    let output = command.stdin(Stdio::null()).output().map_err(missing)?;
    let words = command.get_args().map(|word| word.to_string_lossy());
    Ok(Ran {
        command: [program.as_str().into()].into_iter().chain(words).collect::<Vec<_>>().join(" "),
        printed: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        succeeded: output.status.success(),
    })
}

impl Ran {
    /// Itself, if it went well.
    pub(super) fn succeed(self) -> io::Result<Self> {
        let Self { command, printed, succeeded } = &self;
        if *succeeded { Ok(self) } else { Err(io::Error::other(format!("{command} failed: {}", printed.trim_end()))) }
    }
}

/// Whether one of `needles` stands in a text.
pub(super) fn holds(text: &[u8], needles: &[&[u8]]) -> bool {
    needles.iter().any(|needle| text.windows(needle.len()).any(|window| window == *needle))
}

const NO_GIT: &str = "there is no git on the PATH; install the package git (on Alpine git-daemon as well)";

const CONFIGURATION: &str = "[user]\n\tname = agent\n\temail = agent@sandbox.example\n[advice]\n\tdetachedHead = false\n";

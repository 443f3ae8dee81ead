//! Callers of `tidegate run`, and what their commands print.

#[path = "../run/harness/caller.rs"]
mod caller;

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) use self::caller::{Caller, callers, root, user};
use self::caller::{PATH, our_uid};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// What it printed, of a command that must succeed.
    #[track_caller]
    pub(crate) fn printed(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

impl Caller {
    pub(crate) fn is_root(&self) -> bool {
        self.uid() == 0
    }

    /// Makes a directory of this caller's at a path, which ends with the value returned where it is not below the home.
    pub(crate) fn directory_in(&self, above: &Path) -> TempDir {
        let directory = tempfile::tempdir_in(above).unwrap();
        self.give(directory.path());
        directory
    }

    /// Writes a file of this caller's below its home.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home().join(name);
        let above = path.parent().unwrap();
        fs::create_dir_all(above).unwrap();
        above.ancestors().take_while(|above| *above != self.home()).for_each(|above| self.give(above));
        fs::write(&path, content).unwrap();
        self.give(&path);
        path
    }

    /// Runs a command of this caller's, without walls.
    pub(crate) fn outside(&self, directory: &Path, command: &[&str]) -> Ended {
        let (program, arguments) = command.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).env_clear().envs(self.environment()).stdin(Stdio::null());
        if our_uid() != self.uid() {
            command.uid(self.uid()).gid(self.uid());
        }
        let output = command.output().unwrap_or_else(|error| panic!("cannot start {program}: {error}; install it"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn environment(&self) -> Vec<(&str, String)> {
        let runtime = self.home().join("runtime");
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("HOME", path(self.home())),
            ("PATH", PATH.to_owned()),
            ("TIDEGATE", path(&self.program())),
            ("XDG_RUNTIME_DIR", path(&runtime)),
        ]
    }

    /// Runs a shell script behind walls, in the home.
    pub(crate) fn inside(&self, script: &str) -> Ended {
        self.inside_at(self.home(), script)
    }

    pub(crate) fn inside_at(&self, directory: &Path, script: &str) -> Ended {
        let program = self.program();
        let program = program.to_str().unwrap();
        self.outside(directory, &[program, "run", "--access", "none", "--", "/bin/sh", "-c", script])
    }

    /// Runs a Python program behind walls.
    pub(crate) fn python(&self, program: &str) -> Ended {
        let script = self.write("probe.py", program);
        self.inside(&format!("/usr/bin/python3 {}", script.display()))
    }
}

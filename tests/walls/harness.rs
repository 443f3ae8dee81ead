//! Callers of `tidegate run`, and what their commands print.

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The user without rights that every Linux knows.
const NOBODY: u32 = 65534;

/// Who runs Tidegate, with a home that no wall hides of itself.
pub(crate) struct Caller {
    uid: u32,
    home: TempDir,
    /// Where an ordinary user can start it too.
    program: PathBuf,
}

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

/// Both kinds of callers, where this user may be both.
pub(crate) fn callers() -> Vec<Caller> {
    root().into_iter().chain([user()]).collect()
}

/// Root; `None`, with a word about it, where the tests run as somebody else.
pub(crate) fn root() -> Option<Caller> {
    if our_uid() == 0 {
        return Some(Caller::new(0));
    }
    eprintln!("NOT TESTED AS ROOT: these tests run as user {}", our_uid());
    None
}

pub(crate) fn user() -> Caller {
    Caller::new(if our_uid() == 0 { NOBODY } else { our_uid() })
}

fn our_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

impl Caller {
    fn new(uid: u32) -> Self {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = home.path().join("tidegate");
        fs::copy(env!("CARGO_BIN_EXE_tidegate"), &program).unwrap();
        let caller = Self { uid, home, program };
        caller.give(caller.home());
        caller
    }

    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Makes a path this caller's own.
    pub(crate) fn give(&self, path: &Path) {
        if our_uid() == 0 {
            chown(path, Some(self.uid), Some(self.uid)).unwrap();
        }
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
        if our_uid() != self.uid {
            command.uid(self.uid).gid(self.uid);
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
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("TIDEGATE", path(&self.program)),
            ("XDG_RUNTIME_DIR", path(&runtime)),
        ]
    }

    /// Runs a shell script behind walls, in the home.
    pub(crate) fn inside(&self, script: &str) -> Ended {
        self.inside_at(self.home(), script)
    }

    pub(crate) fn inside_at(&self, directory: &Path, script: &str) -> Ended {
        let program = self.program.to_str().unwrap();
        self.outside(directory, &[program, "run", "--access", "none", "--", "/bin/sh", "-c", script])
    }

    /// Runs a Python program behind walls.
    pub(crate) fn python(&self, program: &str) -> Ended {
        let script = self.write("probe.py", program);
        self.inside(&format!("/usr/bin/python3 {}", script.display()))
    }
}

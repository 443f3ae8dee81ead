//! Programs in Python and Node: servers that tell their port, and clients that say what they saw.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use super::{
    program::program,
    tidegate::{Gathered, gather},
    wait::poll,
};

/// Python with the libraries of `make setup`, about to run this source. What follows are its arguments.
pub(crate) fn python(source: &str) -> Command {
    let mut command = program("python3");
    command.args(["-u", "-c", source]).env("PYTHONPATH", components("python"));
    command
}

/// Node with the libraries of `make setup`, about to run this source. What follows are its arguments, from `process.argv[2]` on.
pub(crate) fn node(source: &str) -> Command {
    let mut command = program("node");
    // Scripts stand in no file: `-` takes the place of its name.
    command.args(["-e", source, "--", "-"]).env("NODE_PATH", components("node/node_modules"));
    command
}

fn components(of: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/components").join(of);
    assert!(path.is_dir(), "{} is needed: make setup", path.display());
    path
}

/// A program that runs beside the test; killed when dropped.
pub(crate) struct Script {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Gathered,
    stderr: Gathered,
}

impl Script {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{} is needed ({error}): make setup", command.get_program().display()));
        let stdin = child.stdin.take();
        let stdout = gather(child.stdout.take().expect("stdout is piped"));
        let stderr = gather(child.stderr.take().expect("stderr is piped"));
        Self { child, stdin, stdout, stderr }
    }

    /// The port of a server, which it tells in its line `listening PORT`.
    #[track_caller]
    pub(crate) fn port(&mut self) -> u16 {
        let line = self.wait_for_line("listening ");
        line["listening ".len()..].parse().unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What it said on stdout, in whole lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let said = self.stdout.text();
        said.rsplit_once('\n').map_or_else(Vec::new, |(whole, _)| whole.lines().map(str::to_owned).collect())
    }

    /// The first line on stdout that begins so, once it is there.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, beginning: &str) -> String {
        // An interpreter starts slowly where many tests run at once.
        for _ in 0..PATIENCES {
            let found = poll(|| {
                let ended = self.child.try_wait().expect("its status").is_some();
                let line = self.lines().into_iter().find(|line| line.starts_with(beginning));
                (line.is_some() || ended).then_some(line)
            });
            match found {
                Some(Some(line)) => return line,
                Some(None) => break,
                None => {}
            }
        }
        panic!("no line {beginning:?} on stdout:\n{}", self.said());
    }

    /// Whether it ended well, once it has ended.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> bool {
        for _ in 0..PATIENCES {
            if let Some(status) = poll(|| self.child.try_wait().expect("its status")) {
                self.stdout.join();
                return status.success();
            }
        }
        panic!("it does not end:\n{}", self.said());
    }

    /// Writes a line on its stdin.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its stdin");
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{}", self.said()));
    }

    /// What it said in all, stdout and stderr.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("── a script\n{}──", self.said());
        }
    }
}

/// How often [`poll`] has patience with a line.
const PATIENCES: usize = 6;

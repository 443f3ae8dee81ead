//! Remotes as people write them, inside a run whose programs are told nothing: no variable names a proxy, a root or a setting of git.

use std::{fs, path::Path, process::Command};

use crate::{
    harness::{Caller, Ended, callers, end},
    settings::FROM_DISK,
};

/// Another one, that the session may read.
const READING: &str = "
[[session.repository]]
name = \"octo/reading\"
access = \"read\"
upstream_path = \"reading.git\"
";

fn repositories(caller: &Caller) {
    let script = "git init -q -b main work && cd work && echo content > file && git add file &&
        git -c user.name=a -c user.email=a@b.test commit -q -m first &&
        git clone -q --bare . ../spoon.git && git clone -q --bare . ../reading.git";
    assert_eq!(end(caller.command("sh").args(["-c", script]), b"").status, 0, "git is needed: apt-get install git");
    caller.write("tidegate.toml", &[FROM_DISK, READING].concat());
}

/// The message of a branch's last commit, in a repository of the caller's.
fn head(home: &Path, branch: &str) -> String {
    let mut git = Command::new("git");
    let git = git.args(["-c", "safe.directory=*", "-C"]).arg(home.join("spoon.git")).args(["log", "-1", "--format=%s", branch]);
    String::from_utf8(git.output().unwrap().stdout).unwrap()
}

/// Clone, fetch, a push that lands, one that is refused, and a repository that is not granted; the remote stays what it was.
const WORK: &str = "set -e
    git clone -q https://github.com/octo/spoon.git && cd spoon && cat file && git fetch -q origin && git remote -v
    git config user.name a && git config user.email a@b.test
    git checkout -q -b agent && git commit -q --allow-empty -m second && git push -q origin agent && echo pushed
    git push origin agent:main 2>&1 || echo \"refused $?\"
    git clone -q https://github.com/octo/reading ../reading && git -C ../reading push origin HEAD:refs/heads/agent 2>&1 || echo \"refused $?\"
    git clone https://github.com/octo/secret ../secret 2>&1 || echo \"refused $?\"";

#[test]
fn unmodified_remotes_by_the_transparent_door_where_no_variable_says_anything() {
    for caller in callers() {
        repositories(&caller);
        let bare = format!("exec env -i PATH=\"$PATH\" HOME=\"$HOME\" LC_ALL=C GIT_TERMINAL_PROMPT=0 sh -c '{WORK}'");
        let arguments = ["--config", "tidegate.toml", "--audit", "audit.jsonl", "--", "sh", "-c", &bare];
        let Ended { status, out, err } = caller.run(&arguments);
        assert_eq!(status, 0, "{out}{err}");
        for said in [
            "content\n",
            "origin\thttps://github.com/octo/spoon.git (fetch)\n",
            "origin\thttps://github.com/octo/spoon.git (push)\n",
            "pushed\n",
            "! [remote rejected] agent -> main (policy: ",
            "remote: Tidegate: ",
            "refused 1\n",
            "read only for this session",
            "remote: Tidegate: This session has no grant for octo/secret. It may use octo/spoon, octo/reading.",
            "refused 128\n",
        ] {
            assert!(out.contains(said), "{said:?} in\n{out}{err}");
        }
        assert_eq!((head(caller.home(), "agent"), head(caller.home(), "main")), ("second\n".into(), "first\n".into()));
        let records = fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        let of_git = |record: &&str| ["\"kind\":\"fetch\"", "\"kind\":\"push\""].iter().any(|kind| record.contains(kind));
        let of_git: Vec<_> = records.lines().filter(of_git).collect();
        assert!(of_git.len() > 5 && of_git.iter().all(|record| record.contains("\"door\":\"transparent\"")), "{records}");
        // Who started the run is told what would allow it.
        assert!(err.contains("(repository_not_granted); to allow it: --repo octo/secret\n"), "{err}");
    }
}

//! What the API does in a repository on disk, by real git.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::repository;

/// What git says, or what it complains of.
pub(crate) fn git(path: &Path, arguments: &[&str]) -> Result<String, String> {
    run(repository::command(path, arguments), b"").map(|out| String::from_utf8_lossy(&out).trim_end().to_owned())
}

/// The same in octets.
pub(crate) fn bytes(path: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    run(repository::command(path, arguments), b"")
}

/// The commit that a revision names.
pub(crate) fn resolve(path: &Path, revision: &str) -> Option<String> {
    git(path, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")]).ok()
}

/// The object that an id names, with its type.
pub(crate) fn kind(path: &Path, id: &str) -> Option<String> {
    git(path, &["cat-file", "-t", id]).ok()
}

/// A new object of this type.
pub(crate) fn store(path: &Path, kind: &str, content: &[u8]) -> Result<String, String> {
    let out = run(repository::command(path, &["hash-object", "-w", "-t", kind, "--stdin"]), content)?;
    Ok(String::from_utf8_lossy(&out).trim_end().to_owned())
}

/// A tree made of lines as `git ls-tree` writes them.
pub(crate) fn tree(path: &Path, lines: &str) -> Result<String, String> {
    let out = run(repository::command(path, &["mktree", "--missing"]), lines.as_bytes())?;
    Ok(String::from_utf8_lossy(&out).trim_end().to_owned())
}

/// A commit of a tree on these parents.
pub(crate) fn commit(path: &Path, tree: &str, parents: &[&str], message: &str) -> Result<String, String> {
    let parents = parents.iter().flat_map(|parent| ["-p", parent]);
    git(path, &[&["commit-tree", tree, "-m", message], &parents.collect::<Vec<_>>()[..]].concat())
}

/// From now on a ref is there.
pub(crate) fn set(path: &Path, name: &str, id: &str) -> Result<(), String> {
    git(path, &["update-ref", name, id]).map(drop)
}

/// A commit on a branch that writes these files and removes those, and its id.
pub(crate) fn write(path: &Path, branch: &str, files: &[(&str, &str)], message: &str, removed: &[&str]) -> String {
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_bytes())).collect();
    let tip = resolve(path, &format!("refs/heads/{branch}")).expect("a branch");
    let made = amended(path, &tip, &files, removed).and_then(|tree| commit(path, &tree, &[&tip], message)).expect("a commit");
    set(path, &format!("refs/heads/{branch}"), &made).expect("a ref");
    made
}

/// The tree of a commit with these files written and those removed.
pub(crate) fn amended(path: &Path, commit: &str, files: &[(&str, &[u8])], removed: &[&str]) -> Result<String, String> {
    let index = tempfile::tempdir().expect("a directory");
    let with_index = |arguments: &[&str], input: &str| {
        let mut command = repository::command(path, arguments);
        command.env("GIT_INDEX_FILE", index.path().join("index"));
        run(command, input.as_bytes()).map(|out| String::from_utf8_lossy(&out).trim_end().to_owned())
    };
    with_index(&["read-tree", commit], "")?;
    let mut entries = String::new();
    for (name, content) in files {
        let _ = writeln!(entries, "100644 {}\t{name}", store(path, "blob", content)?);
    }
    for name in removed {
        let _ = writeln!(entries, "0 {}\t{name}", "0".repeat(40));
    }
    with_index(&["update-index", "--index-info"], &entries)?;
    with_index(&["write-tree"], "")
}

/// The commit that merges one revision into another.
pub(crate) fn merged(path: &Path, base: &str, head: &str, message: &str) -> Result<String, String> {
    let tree = git(path, &["merge-tree", "--write-tree", base, head])?;
    commit(path, tree.lines().next().unwrap_or_default(), &[base, head], message)
}

fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("git is needed: apt-get install git");
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("its output");
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

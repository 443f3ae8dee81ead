//! Repositories as the upstream has them, made by real git.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::program::program;

/// Names of refs, and the objects they point to.
pub(crate) type Refs = BTreeMap<String, String>;

/// A bare repository with three commits on `main`, a branch `other`, a tag and a pull request. It offers everything that a
/// server of git can offer, also what the door takes out.
#[track_caller]
pub(crate) fn make(path: &Path, format: &str) {
    git(
        Path::new("/"),
        &["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format", format, &path.to_string_lossy()],
    );
    let config = fs::read_to_string(path.join("config")).expect("a configuration");
    let zeros = "0".repeat(if format == "sha1" { 40 } else { 64 });
    fs::write(path.join("config"), config + &OFFERS.replace("NONE", &zeros)).expect("a configuration");
    let mut child = command(path, &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git fast-import");
    child.stdin.take().expect("a pipe").write_all(history().as_bytes()).expect("a history");
    assert!(child.wait().expect("its status").success(), "git fast-import");
}

/// The same repository once more.
#[track_caller]
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a repository") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("a copy");
        }
    }
}

/// Every ref of a repository.
#[track_caller]
pub(crate) fn refs(path: &Path) -> Refs {
    let lines = git(path, &["for-each-ref", "--format=%(refname) %(objectname)"]);
    lines.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
}

/// What a git of the upstream's own says.
#[track_caller]
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().expect("git is needed: apt-get install git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

pub(super) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = program("git");
    command.current_dir(directory).args(arguments).envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent"), ("LC_ALL", "C")]);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Octo").env(format!("GIT_{who}_EMAIL"), "octo@example.com");
    }
    command
}

fn history() -> String {
    let mut stream = String::new();
    let commits = [("main", "first"), ("main", "second"), ("main", "third"), ("other", "beside")];
    for (number, (branch, words)) in commits.iter().enumerate() {
        // Larger than a terminal line, so that a clone without blobs leaves something to be fetched later.
        let content = format!("{words}\n").repeat(100);
        let _ = writeln!(stream, "commit refs/heads/{branch}");
        let _ = writeln!(stream, "mark :{}", number + 1);
        let _ = writeln!(stream, "committer Octo <octo@example.com> {} +0000", 1_700_000_000 + number);
        let _ = writeln!(stream, "data {}\n{words}", words.len());
        if *branch == "other" {
            let _ = writeln!(stream, "from :2");
        }
        let _ = writeln!(stream, "M 100644 inline {words}.txt\ndata {}\n{content}", content.len());
    }
    stream += "reset refs/pull/1/head\nfrom :4\n\nreset refs/tags/v1\nfrom :1\n\n";
    stream
}

const OFFERS: &str = "
[http]
receivepack = true
[receive]
advertisePushOptions = true
unpackLimit = 1
certNonceSeed = seed
denyDeleteCurrent = ignore
[transfer]
advertiseSID = true
[uploadpack]
allowFilter = true
allowAnySHA1InWant = true
advertiseBundleURIs = true
blobPackfileUri = NONE NONE https://elsewhere.test/pack
[gc]
auto = 0
[maintenance]
auto = false
[core]
compression = 0
bigFileThreshold = 1m
";

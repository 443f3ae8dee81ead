//! What a push may hold: paths that stay as they are, sizes, and no secrets, however the pack says it.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt, process::Command};

use flate2::{Compression, write::GzEncoder};

use crate::harness::{
    Plan, World,
    bytes::{PUSH_TYPE, line, noise},
};

/// Everything is looked at, and agents push to branches of their own.
const RULES: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/**"]
delete = true
tags = ["v2*"]
content = { deny_paths = [".github/**", "**/package.json"], max_file = "100 KiB", max_pack = "300 KiB" }
"#;

/// Secrets alone.
const SECRETS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/**"]
content = {}
"#;

const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

fn write(world: &World, path: &str, content: impl AsRef<[u8]>) {
    let path = world.sandbox.path("clone").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn commit(world: &World, message: &str) {
    world.sandbox.git_ok("clone", &["add", "--all", "."]);
    world.sandbox.git_ok("clone", &["commit", "--quiet", "-m", message]);
}

/// A commit of the upstream's own on the branch that its HEAD names, with these files beside those that are there.
fn commit_upstream(world: &World, files: &[(&str, &str)]) {
    let tree = tempfile::tempdir().unwrap();
    let beside = ["-c", "core.bare=false", "--git-dir", ".", "--work-tree", tree.path().to_str().unwrap()];
    let git = |arguments: &[&str]| world.hub.git("octo/spoon", &[&beside[..], arguments].concat());
    git(&["read-tree", "HEAD"]);
    for (name, content) in files {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        git(&["add", "--force", &format!(":/{name}")]);
    }
    git(&["commit", "--quiet", "-m", "upstream"]);
}

fn checkout(world: &World, branch: &str) {
    world.sandbox.git_ok("clone", &["checkout", "--quiet", branch]);
}

/// A push of what is checked out is refused for these words, and nothing of it went up.
#[track_caller]
fn assert_refused(world: &World, branch: &str, says: &[&str]) {
    let (before, pushes) = (world.hub.refs("octo/spoon"), world.pushes().len());
    let done = world.push(&["origin", &format!("HEAD:refs/heads/{branch}"), "--force"]);
    done.assert(1, &["! [remote rejected]"]);
    done.assert(1, says);
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, pushes));
}

#[track_caller]
fn assert_lands(world: &World, branch: &str) {
    world.push(&["--quiet", "origin", &format!("HEAD:refs/heads/{branch}"), "--force"]).assert(0, &[]);
    assert_eq!(world.hub.refs("octo/spoon")[&format!("refs/heads/{branch}")], world.sandbox.id("HEAD"));
}

#[test]
fn a_push_that_touches_a_denied_path_is_refused_naming_path_and_rule() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    assert_lands(&world, "agent/a");
    write(&world, ".github/workflows/x.yml", "on: push\n");
    commit(&world, "a workflow");
    let says = [
        "agent/a (policy: .github/workflows/x.yml may not be changed (content deny_paths \".github/**\"))",
        "remote: Tidegate: octo/spoon: .github/workflows/x.yml may not be changed (content deny_paths \".github/**\").",
    ];
    assert_refused(&world, "agent/a", &says);
    world.assert_push_denied("push_content_not_allowed", &["refs/heads/agent/a"]);
    // Gone again it is still in a commit, to which a ref could be moved.
    world.sandbox.git_ok("clone", &["rm", "--quiet", "-r", ".github"]);
    commit(&world, "no workflow");
    assert_refused(&world, "agent/a", &says);
    assert_refused(&world, "agent/new", &says[1..]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~2"]);
    write(&world, "src/github/x.yml", "on: push\n");
    commit(&world, "no workflow at all");
    assert_lands(&world, "agent/a");
    write(&world, "web/ui/package.json", "{}");
    commit(&world, "a manifest");
    assert_refused(&world, "agent/new", &["web/ui/package.json may not be changed (content deny_paths \"**/package.json\")"]);
    // What only deletes holds nothing.
    world.push(&["origin", "--delete", "agent/a"]).assert(0, &["[deleted]"]);
    world.finish();
}

#[test]
fn what_the_upstream_has_is_nobody_s_change() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    commit_upstream(&world, &[(".github/workflows/ci.yml", "on: push\n"), ("lib/code.txt", "code\n")]);
    // The clone knows nothing of it, and sends its whole history.
    checkout(&world, "agent/a");
    assert_lands(&world, "agent/a");
    world.sandbox.git_ok("clone", &["pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main"]);
    assert_lands(&world, "agent/a");
    commit_upstream(&world, &[(".github/workflows/ci.yml", "on: [push, pull_request]\n")]);
    write(&world, "lib/code.txt", "other code\n");
    commit(&world, "beside an older workflow");
    assert_lands(&world, "agent/a");
    assert_lands(&world, "agent/b");
    // Older than the branch's own it is a change.
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
    world.sandbox.git_ok("clone", &["merge", "--quiet", "--no-edit", "origin/main"]);
    assert_lands(&world, "agent/a");
    write(&world, ".github/workflows/ci.yml", "on: pull_request_target\n");
    commit(&world, "another workflow");
    assert_refused(&world, "agent/a", &[".github/workflows/ci.yml may not be changed"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    world.sandbox.git_ok("clone", &["rm", "--quiet", "-r", ".github"]);
    commit(&world, "no workflow");
    assert_refused(&world, "agent/a", &[".github/workflows/ci.yml may not be changed"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    // A file that may be run is another file.
    let path = world.sandbox.path("clone/.github/workflows/ci.yml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    commit(&world, "a mode");
    assert_refused(&world, "agent/a", &[".github/workflows/ci.yml may not be changed"]);
    world.finish();
}

/// A tree that the upstream has is not in the pack.
#[test]
fn a_directory_moved_to_a_denied_path_is_refused() {
    let world = World::granting(RULES).cloned(&[]);
    commit_upstream(&world, &[("flows/deep/x.yml", "on: push\n")]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "-b", "agent/a", "origin/main"]);
    world.sandbox.git_ok("clone", &["mv", "flows", ".github"]);
    commit(&world, "moved");
    assert_refused(&world, "agent/a", &[".github/deep/x.yml may not be changed"]);
    world.finish();
}

/// Section 10 D: whoever may open a pull request does not write workflows by way of the sandbox.
#[test]
fn a_commit_of_the_upstream_s_that_is_on_no_branch_is_judged() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    commit_upstream(&world, &[(".github/workflows/x.yml", "on: push\n")]);
    let hidden = world.hub.refs("octo/spoon").into_iter().find(|(name, _)| name == "refs/heads/main").unwrap().1;
    world.hub.git("octo/spoon", &["update-ref", "refs/pull/7/head", &hidden]);
    world.hub.git("octo/spoon", &["update-ref", "refs/heads/main", &format!("{hidden}^")]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin", "refs/pull/7/head"]);
    checkout(&world, "FETCH_HEAD");
    assert_refused(&world, "agent/a", &[".github/workflows/x.yml may not be changed"]);
    world.sandbox.git_ok("clone", &["rm", "--quiet", "-r", ".github"]);
    commit(&world, "no workflow");
    assert_refused(&world, "agent/a", &[".github/workflows/x.yml may not be changed"]);
    world.finish();
}

/// The upstream refuses the command whose old commit is wrong, and takes the others.
#[test]
fn where_a_push_says_that_a_ref_points_proves_nothing() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    commit_upstream(&world, &[(".github/workflows/x.yml", "on: push\n")]);
    let hidden = world.hub.refs("octo/spoon")["refs/heads/main"].clone();
    world.hub.git("octo/spoon", &["update-ref", "refs/pull/7/head", &hidden]);
    world.hub.git("octo/spoon", &["update-ref", "refs/heads/main", &format!("{hidden}^")]);
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin", "refs/pull/7/head"]);
    checkout(&world, "FETCH_HEAD");
    write(&world, "more.txt", "more\n");
    commit(&world, "more");
    let (new, zero) = (world.sandbox.id("HEAD"), "0".repeat(40));
    let script = format!("printf '{new}\\n^{hidden}\\n' | git pack-objects --revs --stdout -q");
    let packed = Command::new("sh").current_dir(world.sandbox.path("clone")).args(["-c", &script]).output().unwrap().stdout;
    let commands = [
        line(format!("{hidden} {new} refs/heads/agent/a\0report-status delete-refs")),
        line(format!("{zero} {new} refs/heads/agent/b")),
        line(format!("{hidden} {zero} refs/heads/agent/c")),
    ];
    let before = world.hub.refs("octo/spoon");
    let body = [&commands.concat(), &b"0000"[..], &packed].concat();
    let refused = world.ask_as("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE], &body);
    assert!(refused.text().contains("ng refs/heads/agent/b policy: .github/workflows/x.yml may not be changed"), "{refused:?}");
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    world.finish();
}

#[test]
fn a_denied_path_is_denied_in_every_spelling_and_by_way_of_links() {
    const WORKFLOWS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/**"]
content = { deny_paths = [".github/workflows/**"] }
"#;
    let world = World::granting(WORKFLOWS).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    for name in [".GitHub/Workflows/x.yml", ".git\u{200c}hub/workflows/x.yml", ".github/wor\u{212a}flows/x.yml"] {
        write(&world, name, "on: push\n");
        commit(&world, "another spelling");
        assert_refused(&world, "agent/a", &["may not be changed (content deny_paths \".github/workflows/**\")"]);
        world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    }
    write(&world, "ci/workflows/x.yml", "on: push\n");
    commit(&world, "files");
    assert_lands(&world, "agent/a");
    std::os::unix::fs::symlink("ci", world.sandbox.path("clone/.github")).unwrap();
    commit(&world, "a link");
    assert_refused(&world, "agent/a", &[".github may not be changed (content deny_paths \".github/workflows/**\")"]);
    world.finish();
}

#[test]
fn files_and_packs_have_a_size() {
    let world = World::granting(RULES).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    write(&world, "data/large.bin", noise(120_000));
    commit(&world, "large");
    assert_refused(&world, "agent/a", &["data/large.bin has 120000 octets, more than 102400 (content max_file)"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    for number in 0..4 {
        let mut file = noise(90_000);
        file[0] = number;
        file.rotate_left(usize::from(number) * 1000);
        write(&world, &format!("data/{number}.bin"), file);
    }
    commit(&world, "four");
    world.sandbox.git_ok("clone", &["config", "core.bigFileThreshold", "1k"]);
    assert_refused(&world, "agent/a", &["the pack has 36", "more than 307200 (content max_pack)"]);
    // Four files that are alike are small together.
    world.sandbox.git_ok("clone", &["config", "--unset", "core.bigFileThreshold"]);
    assert_lands(&world, "agent/a");
    world.finish();
}

#[test]
fn secrets_in_files_and_messages_are_refused() {
    let world = World::granting(SECRETS).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    for (path, content) in [
        ("conf/settings.ini", format!("token = {TOKEN}\n").into_bytes()),
        ("conf/windows.txt", TOKEN.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("conf/secret.yml", b"data:\n  token: Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\n".to_vec()),
        ("conf/large", [noise(300_000), TOKEN.as_bytes().to_vec(), noise(300_000)].concat()),
    ] {
        write(&world, path, content);
        commit(&world, "settings");
        assert_refused(&world, "agent/a", &[&format!("{path} holds a GitHub token (content refuse_secrets)")]);
        world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    }
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--allow-empty", "-m", &format!("with {TOKEN}")]);
    assert_refused(&world, "agent/a", &["the commit ", "holds a GitHub token (content refuse_secrets)"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    write(&world, "conf/settings.ini", "token = none\n");
    commit(&world, "settings");
    assert_lands(&world, "agent/a");
    assert!(!world.gate().audit_text().contains(TOKEN));
    assert_refused(&world, &format!("agent/{TOKEN}"), &["the name of a ref holds a GitHub token (content refuse_secrets)"]);
    world.finish();
}

/// The one by which this process acts for the owner, though no sandbox should have come to know it.
#[test]
fn a_real_credential_is_refused_in_every_place_and_shown_in_none() {
    let world = World::granting(SECRETS).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    let says = "holds a real credential of the proxy's (content refuse_secrets)";
    let undo = || drop(world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]));
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("x-access-token:{}", world.real));
    for (path, content) in [
        ("conf/plain.ini", format!("key={}\n", world.real).into_bytes()),
        ("conf/inside.txt", [b"x".to_vec(), world.real.clone().into_bytes(), b"x".to_vec()].concat()),
        ("conf/basic.txt", format!("Authorization: Basic {encoded}\n").into_bytes()),
        ("conf/wide.txt", world.real.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("conf/large.bin", [noise(300_000), world.real.clone().into_bytes(), noise(300_000)].concat()),
    ] {
        write(&world, path, content);
        commit(&world, "settings");
        assert_refused(&world, "agent/a", &[&format!("{path} {says}")]);
        undo();
    }
    write(&world, &format!("conf/{}", world.real), "x\n");
    commit(&world, "a name");
    assert_refused(&world, "agent/a", &[says]);
    undo();
    world.sandbox.git_ok("clone", &["commit", "--quiet", "--allow-empty", "-m", &format!("with {}", world.real)]);
    assert_refused(&world, "agent/a", &["the commit ", says]);
    // Nor does it help that it is gone again from the last commit.
    write(&world, "conf/plain.ini", &world.real);
    commit(&world, "settings");
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--soft", "HEAD~2"]);
    commit(&world, "settings");
    world.sandbox.git_ok("clone", &["rm", "--quiet", "conf/plain.ini"]);
    commit(&world, "no settings");
    assert_refused(&world, "agent/new", &[&format!("conf/plain.ini {says}")]);
    world.assert_push_denied("push_content_not_allowed", &["refs/heads/agent/a"]);
    // Where the test itself put it.
    fs::remove_dir_all(world.sandbox.path("clone")).unwrap();
    world.finish();
}

/// The largest version is written whole, each smaller one as a difference from the one after it.
#[test]
fn a_secret_three_differences_deep_is_found() {
    let world = World::granting(SECRETS).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    // Each version has another block changed than the one before, so that the nearest is the most like it.
    let noise = noise(20_000);
    let block =
        |number: usize| noise[number * 1000..][..1000].iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect::<Vec<_>>();
    let text = |version: usize, secret: &str| {
        let blocks = (0..8).map(|number| block(if number < version { 10 + number } else { number }));
        [blocks.collect::<Vec<_>>().concat(), "more\n".repeat(20 * version).into_bytes(), secret.into()].concat()
    };
    let history = |secret: &str| {
        for version in 0..5 {
            write(&world, "conf/versions.txt", text(version, if version == 0 { secret } else { "\n" }));
            commit(&world, "a version");
        }
        world.sandbox.git_ok("clone", &["repack", "-adfq", "--depth=50", "--window=50"]);
    };
    history(TOKEN);
    let blob = world.sandbox.git_ok("clone", &["rev-parse", "HEAD~4:conf/versions.txt"]).out;
    let packed = Command::new("sh")
        .current_dir(world.sandbox.path("clone"))
        .args(["-c", "git verify-pack -v .git/objects/pack/*.idx"])
        .output()
        .unwrap();
    let packed = String::from_utf8(packed.stdout).unwrap();
    let line = packed.lines().find(|line| line.starts_with(blob.trim())).unwrap();
    let depth: u32 = line.split_whitespace().nth(5).unwrap_or("0").parse().unwrap();
    assert!(depth >= 3, "{line}");
    assert_refused(&world, "agent/a", &["conf/versions.txt holds a GitHub token"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~5"]);
    history("no token");
    assert_lands(&world, "agent/a");
    world.finish();
}

/// A thin pack: what it changes is a file of the upstream's.
#[test]
fn a_secret_in_a_file_of_the_upstream_s_is_found() {
    let world = World::granting(SECRETS);
    let text = noise(5000).iter().map(|byte| format!("{byte:02x}\n")).collect::<Vec<_>>().concat();
    commit_upstream(&world, &[("first.txt", &text)]);
    let world = world.cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    write(&world, "first.txt", format!("{text}{TOKEN}\n"));
    commit(&world, "more of it");
    assert_refused(&world, "agent/a", &["first.txt holds a GitHub token"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    let asked = world.hub.seen_at("/git-upload-pack").len();
    write(&world, "first.txt", format!("{text}no token\n"));
    commit(&world, "more of it");
    assert_lands(&world, "agent/a");
    // It was thin.
    assert!(world.hub.seen_at("/git-upload-pack").len() > asked);
    world.finish();
}

#[test]
fn a_repository_on_disk_is_held_to_the_same() {
    const ON_DISK: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/**"]
upstream_path = "{HUB}/octo/spoon.git"
content = { deny_paths = [".github"] }
"#;
    let world = World::granting(ON_DISK).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    write(&world, ".github/x", "x\n");
    commit(&world, "x");
    assert_refused(&world, "agent/a", &[".github/x may not be changed (content deny_paths \".github\")"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~1"]);
    let text = fs::read_to_string(world.sandbox.path("clone/first.txt")).unwrap();
    write(&world, "first.txt", format!("{text}more\n{text}"));
    commit(&world, "more of it");
    world.push(&["--quiet", "origin", "HEAD:refs/heads/agent/a"]).assert(0, &[]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/a"], world.sandbox.id("HEAD"));
    world.finish();
}

/// What is only proved where no commit is lost is looked through in the same pass.
#[test]
fn both_judgments_are_made_of_one_push() {
    const BOTH: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/a"]
force = false
content = { deny_paths = [".github"] }
"#;
    let world = World::of(&Plan { grants: BOTH, ..Plan::default() }).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    assert_lands(&world, "agent/a");
    write(&world, "more.txt", "more\n");
    commit(&world, "more");
    assert_lands(&world, "agent/a");
    write(&world, ".github/x", "x\n");
    commit(&world, "x");
    assert_refused(&world, "agent/a", &[".github/x may not be changed"]);
    world.sandbox.git_ok("clone", &["reset", "--quiet", "--hard", "HEAD~2"]);
    write(&world, "other.txt", "other\n");
    commit(&world, "other");
    assert_refused(&world, "agent/a", &["leaves commits behind"]);
    world.finish();
}

/// By hand, as `JGit` does it.
#[test]
fn g_10_a_compressed_push_is_judged_as_any_other() {
    let world = World::granting(SECRETS).cloned(&["agent/a"]);
    checkout(&world, "agent/a");
    let (main, zero) = (world.sandbox.id("origin/main"), "0".repeat(40));
    let body = |branch: &str| {
        let new = world.sandbox.id("HEAD");
        let script = format!("printf '{new}\\n^{main}\\n' | git pack-objects --revs --stdout -q");
        let packed = Command::new("sh").current_dir(world.sandbox.path("clone")).args(["-c", &script]).output().unwrap().stdout;
        let command = line(format!("{zero} {new} refs/heads/{branch}\0report-status"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&[&command, &b"0000"[..], &packed].concat()).unwrap();
        encoder.finish().unwrap()
    };
    let push = |body: &[u8]| world.ask_as("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE, "Content-Encoding: gzip"], body);
    let refused = push(&body("main"));
    assert!(refused.text().contains("ng refs/heads/main policy: "), "{refused:?}");
    let landed = push(&body("agent/a"));
    assert!(landed.text().contains("ok refs/heads/agent/a"), "{landed:?}");
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/a"], world.sandbox.id("HEAD"));
    write(&world, "conf/settings.ini", TOKEN);
    commit(&world, "settings");
    let refused = push(&body("agent/b"));
    assert!(refused.text().contains("ng refs/heads/agent/b policy: conf/settings.ini holds a GitHub token"), "{refused:?}");
    assert_eq!(world.pushes().len(), 1);
    world.finish();
}

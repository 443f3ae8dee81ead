//! `tidegate demo`, with walls and without: told to its end, and nothing left of it.

use std::{
    ffi::OsStr,
    fs::{self, read_dir},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Caller, callers, end, eventually, user, wait_for};

/// What is told in any case.
const STORY: &[&str] = &[
    "hello from the origin",
    "x-deny-reason: host_not_allowed",
    "the name server was never asked for it",
    "x-deny-reason: address_not_allowed",
    "$ git clone git@github.com:octo/spoon",
    "[new branch]      agent/fix-1",
    "! [remote rejected] agent/fix-1 -> main (policy: ",
    "main is where it was",
    "$ printenv GH_TOKEN",
    "\"reason\":\"ref_not_granted\"",
    "\"verdict\":\"allow\"",
];

/// What is told behind walls alone.
const WALL: &[&str] = &[
    "namespaces of its own",
    "$ unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy",
    "a connection to the origin's own address, 127.0.0.1:",
    "Connection refused",
    "a UDP packet to any address, 192.0.2.1:443: ",
    "x-deny-reason: ip_literal_not_allowed",
    "the sandbox is told that origin.tidegate.test is 198.18.0.",
    "\"door\":\"transparent\"",
];

/// A directory for whatever the demo puts down.
fn place(caller: &Caller) -> PathBuf {
    let made = end(caller.command("mkdir").arg("place"), b"");
    assert_eq!(made.status, 0, "{made:?}");
    caller.home().join("place")
}

/// Such a program of this caller's, who has a token that is not the demo's.
fn demo(caller: &Caller, program: impl AsRef<OsStr>, arguments: &[&str], place: &Path) -> Command {
    let mut command = caller.command(program);
    command.args(arguments).env("TMPDIR", place).env("GH_TOKEN", REAL);
    command
}

fn what_is_left(place: &Path) -> Vec<PathBuf> {
    read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn assert_told(story: &str, parts: &[&str]) {
    for part in parts {
        assert!(story.contains(part), "{part} is missing from:\n{story}");
    }
    assert!(!story.contains(REAL), "the caller's token is in:\n{story}");
}

#[test]
fn the_story_is_told_to_its_end_behind_walls() {
    for caller in callers() {
        let place = place(&caller);
        let story = end(&mut demo(&caller, caller.program(), &["demo"], &place), b"").printed();
        assert_told(&story, STORY);
        assert_told(&story, WALL);
        assert!(!story.contains("NO WALLS"), "{story}");
        assert_eq!(what_is_left(&place), [] as [PathBuf; 0]);
    }
}

/// No namespaces at all, and a `/proc` of which a part is hidden, so that no fresh one can be had: that is found when all else stands.
#[test]
fn the_story_is_told_to_its_end_without_walls_where_there_are_none_to_be_had() {
    let caller = user();
    let place = place(&caller);
    let no_namespaces = "echo 0 > /proc/sys/user/max_user_namespaces";
    let the_setting: &[&str] = &["cannot make namespaces of its own: ", "user.max_user_namespaces is 0: let root"];
    for (options, obstacle, why) in [
        (&["-U", "--map-current-user", "--keep-caps"][..], no_namespaces, the_setting),
        (&["-U", "--map-root-user"], no_namespaces, the_setting),
        (&["-Um", "--map-root-user"], "mount -t tmpfs none /proc/tty", &["cannot mount ", "; "]),
    ] {
        let script = format!("{obstacle} && exec \"$TIDEGATE\" demo");
        let arguments = [options, &["sh", "-c", &script]].concat();
        let story = end(&mut demo(&caller, "unshare", &arguments, &place), b"").printed();
        let first = story.lines().next().unwrap();
        assert!(first.starts_with("There are NO WALLS around the sandbox: cannot "), "{first}");
        assert_told(first, why);
        assert_told(&story, STORY);
        assert!(!story.contains("$ unset"), "{story}");
        assert_eq!(what_is_left(&place), [] as [PathBuf; 0]);
    }
}

#[test]
fn nothing_is_left_of_a_demo_that_is_interrupted() {
    let caller = user();
    let place = place(&caller);
    for (file, signal) in
        [("sandbox/.gitconfig", Signal::INT), ("sandbox/spoon/.git/HEAD", Signal::TERM), ("sandbox/spoon/FIX.md", Signal::HUP)]
    {
        let child =
            demo(&caller, caller.program(), &["demo"], &place).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap();
        eventually(file, || what_is_left(&place).iter().any(|stage| fs::exists(stage.join(file)).unwrap_or(false)));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = wait_for(child);
        assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (2, "", "tidegate: the demo went wrong: it was interrupted\n"));
        assert_eq!(what_is_left(&place), [] as [PathBuf; 0]);
    }
}

/// Of the shape that GitHub's tokens have.
const REAL: &str = "ghp_000000000000000000000000000000000000";

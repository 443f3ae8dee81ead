//! How a run ends, what it says, and what COMMAND is given.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    process::Stdio,
    time::Instant,
};

use crate::harness::{Ended, callers, end, processes_with, user, wait_for};

#[test]
fn the_exit_status_is_the_commands() {
    for caller in callers() {
        for (script, status) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
            assert_eq!(caller.shell(script), Ended { status, out: String::new(), err: String::new() }, "{script}");
        }
    }
}

#[test]
fn a_command_that_cannot_be_run_ends_as_env_has_it() {
    for caller in callers() {
        let Ended { status, out, err } = caller.run(&["--", "no-such-program", "x"]);
        let expected = "tidegate: cannot run no-such-program: No such file or directory (os error 2)\n";
        assert_eq!((status, out.as_str(), err.as_str()), (127, "", expected));
        caller.write("plain", "no program");
        let Ended { status, out, err } = caller.run(&["--", "./plain"]);
        assert_eq!((status, out.as_str(), err.as_str()), (126, "", "tidegate: cannot run ./plain: Permission denied (os error 13)\n"));
    }
}

#[test]
fn tidegates_own_failure_ends_with_125() {
    let caller = user();
    for (arguments, said) in [
        (&["run"][..], "required arguments"),
        (&["--", "true"], ""),
        (&["--policy", "absent.toml", "--", "true"], "cannot read absent.toml: No such file"),
        (&["--allow", "*.com", "--", "true"], "--allow:1:1"),
        (&["--repo", "octo", "--", "true"], "--repo"),
        (&["--isolation", "none", "--", "true"], "--isolation"),
        (&["--audit", "/nowhere/audit.jsonl", "--", "true"], "cannot open the audit file /nowhere/audit.jsonl"),
        (&["--repo", "octo/spoon", "--", "true"], "--repo needs a credential of yours"),
        (&["true"], "unexpected argument 'true'"),
    ] {
        let Ended { status, out, err } = match arguments {
            ["run"] => caller.run(&[]),
            _ => caller.run(arguments),
        };
        let expected = if said.is_empty() { 0 } else { 125 };
        assert_eq!((status, out.as_str()), (expected, ""), "{arguments:?}: {err}");
        assert!(err.contains(said) && err.is_empty() == said.is_empty(), "{arguments:?}: {err}");
    }
}

#[test]
fn stdin_and_stdout_are_the_commands_alone() {
    for caller in callers() {
        let piped = end(&mut caller.tidegate(&["--", "cat"]), b"one\ntwo\n");
        assert_eq!(piped, Ended { status: 0, out: "one\ntwo\n".into(), err: String::new() });
        let both = caller.shell("echo out; echo err >&2");
        assert_eq!(both, Ended { status: 0, out: "out\n".into(), err: "err\n".into() });
    }
}

#[test]
fn who_calls_stays_who_he_is_and_where_he_is() {
    for caller in callers() {
        let uid = caller.uid();
        let script = "id -u; id -g; pwd; umask; echo made > made; cat made";
        let home = caller.home().display();
        assert_eq!(caller.shell(script).printed(), format!("{uid}\n{uid}\n{home}\n0022\nmade\n"));
        let made = caller.home().join("made").metadata().unwrap();
        assert_eq!((made.uid(), made.gid()), (uid, uid));
    }
}

#[test]
fn arguments_pass_as_they_are() {
    let caller = user();
    let mut command = caller.tidegate(&["--", "printf", "%s|", "a b", "", "-x", "--"]);
    command.arg(OsStr::from_bytes(b"\xff\xfe")).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"a b||-x|--|\xff\xfe|"[..], Some(0)));
    let long = "x".repeat(100_000);
    let ended = caller.run(&["--", "sh", "-c", "echo ${#1} ${#2} ${#3}", "sh", &long, &long, &long]);
    assert_eq!(ended.printed(), "100000 100000 100000\n");
}

#[test]
fn descriptors_of_the_caller_stay_outside() {
    for caller in callers() {
        let secret = caller.write("secret", "out of reach");
        for isolation in ["netns", "env"] {
            let script = "exec 5<secret 7<secret; exec \"$TIDEGATE\" run --isolation \"$0\" -- ls /proc/self/fd";
            let child = caller.command("sh").args(["-c", script, isolation]).stdin(File::open(&secret).unwrap()).output().unwrap();
            let out = String::from_utf8_lossy(&child.stdout);
            // The fourth is the directory that is listed.
            assert_eq!(out, "0\n1\n2\n3\n", "{isolation}: {child:?}");
        }
    }
}

#[test]
fn what_is_left_running_ends_with_the_command() {
    for caller in callers() {
        let marker = format!("left-running-{}", caller.uid());
        let script =
            format!("sh -c 'while :; do sleep 1; done' {marker} & setsid sh -c 'while :; do sleep 1; done' {marker} & echo started");
        assert_eq!(caller.shell(&script).printed(), "started\n");
        assert_eq!(processes_with(&marker), Vec::<String>::new());
    }
}

#[test]
fn a_command_in_a_pipeline_is_one_of_it() {
    let caller = user();
    let script = "\"$TIDEGATE\" run -- seq 100000 | \"$TIDEGATE\" run -- sort -rn | \"$TIDEGATE\" run -- head -1";
    let mut child = caller.command("sh");
    child.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(wait_for(child.spawn().unwrap()).out, "100000\n");
}

/// Says how long a start takes; how long it may take depends on the machine.
#[test]
fn a_start_is_measured() {
    const RUNS: u32 = 20;
    for caller in callers() {
        let before = Instant::now();
        for _ in 0..RUNS {
            assert_eq!(caller.run(&["--", "true"]).printed(), "");
        }
        eprintln!("user {}: {:?} a start of {}", caller.uid(), before.elapsed() / RUNS, env!("CARGO_BIN_EXE_tidegate"));
    }
}

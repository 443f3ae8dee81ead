//! What is sent to Tidegate reaches COMMAND.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::harness::{Ended, callers, end, poll, user, wait_for};

/// Sends a signal to a process by the program that everybody has.
fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn signals_reach_the_command_and_nobody_else() {
    for caller in callers() {
        for signal in ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "WINCH"] {
            let script = format!("trap 'echo got; exit 3' {signal}; echo ready; while :; do sleep 0.02; done");
            let mut child = caller
                .tidegate(&["--", "sh", "-c", &script])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n", "{signal}");
            kill(signal, child.id());
            let status = poll(|| child.try_wait().unwrap()).unwrap_or_else(|| panic!("{signal} does not end it"));
            line.clear();
            out.read_to_string(&mut line).unwrap();
            assert_eq!((line.as_str(), status.code()), ("got\n", Some(3)), "{signal}");
        }
    }
}

#[test]
fn a_signal_that_ends_the_command_is_its_status() {
    let caller = user();
    let mut command = caller.command("timeout");
    command.args(["1", caller.program().to_str().unwrap(), "run", "--", "sleep", "60"]);
    // timeout(1) says that it was in time.
    assert_eq!(end(&mut command, b""), Ended { status: 124, out: String::new(), err: String::new() });
    let mut command = caller.command("timeout");
    command.args(["--preserve-status", "1", caller.program().to_str().unwrap(), "run", "--", "sleep", "60"]);
    assert_eq!(end(&mut command, b"").status, 143);
}

#[test]
fn what_the_caller_ignores_the_command_ignores() {
    let caller = user();
    let script = "trap '' HUP; exec \"$TIDEGATE\" run -- sh -c 'kill -HUP $$; echo alive'";
    assert_eq!(end(caller.command("sh").args(["-c", script]), b"").printed(), "alive\n");
    let look = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    assert_eq!(standard(&caller.shell(look).printed()), standard(&end(caller.command("sh").args(["-c", look]), b"").printed()));
}

/// Each set of signals without those from 32 on, of which the C library has two for itself.
fn standard(sets: &str) -> Vec<u64> {
    sets.lines().map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap() & 0x7fff_ffff).collect()
}

#[test]
fn what_a_command_sends_to_its_own_group_stays_inside() {
    let caller = user();
    let script = "\"$TIDEGATE\" run -- sh -c 'kill -TERM 0'; echo $?";
    let mut command = caller.command("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(wait_for(command.spawn().unwrap()).out, "143\n");
}

//! Job control, by the shells that people use: each test types into a terminal of its own.

use std::process::Stdio;

use crate::harness::{Ended, callers, wait_long_for};

/// Types and expects, by Python's own pseudo-terminal.
const CONVERSE: &str = r"
import os, pty, select, sys, time

def start(*arguments):
    global terminal, child
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(arguments[0], arguments)

def expect(text):
    seen, end = b'', time.time() + 10
    while text.encode() not in seen:
        ready = select.select([terminal], [], [], end - time.time())[0] if time.time() < end else []
        if not ready:
            sys.exit('waited for %r in vain, saw %r' % (text, seen))
        try:
            more = os.read(terminal, 4096)
        except OSError:
            more = b''
        if not more:
            sys.exit('waited for %r to the end, saw %r' % (text, seen))
        seen += more

def type(text):
    os.write(terminal, text.encode())

# What is typed comes back as an echo: what is expected must not stand in it.
def answer(command, expected):
    type(command + '\n')
    expect(expected)

def status():
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def foreground(program):
    # The kernel says who has the terminal: by then the program waits at it.
    end = time.time() + 10
    while time.time() < end:
        try:
            if open('/proc/%d/comm' % os.tcgetpgrp(terminal)).read().strip() == program:
                return
        except OSError:
            pass
        time.sleep(0.005)
    sys.exit('%s never came to the foreground' % program)

run = os.environ['TIDEGATE'] + ' run -- '
shell = ['bash', '--norc', '--noprofile', '-i']
";

fn converse(script: &str) {
    for caller in callers() {
        let mut python = caller.command("python3");
        python.args(["-c", &format!("{CONVERSE}\n{script}")]).env("TERM", "dumb").env("PS1", "$ ");
        let child = python
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 is needed: apt-get install python3");
        let ended = wait_long_for(child);
        assert_eq!(ended, Ended { status: 0, out: String::new(), err: String::new() }, "as user {}", caller.uid());
    }
}

#[test]
fn a_shell_inside_has_jobs() {
    converse(
        r"
start(os.environ['TIDEGATE'], 'run', '--', *shell)
answer('echo in$((1 + 1))', 'in2')
type('sleep 600\n')
foreground('sleep')
type('\x1a')
expect('Stopped')
type('fg\n')
foreground('sleep')
type('\x03')
answer('echo status $?', 'status 130')
answer('sleep 600 & jobs', 'Running')
type('exit 9\n')
assert status() == 9
",
    );
}

#[test]
fn a_run_is_a_job_of_a_shell_outside() {
    converse(
        r#"
start(*shell)
type(run + 'sleep 600\n')
foreground('sleep')
type('\x03')
answer('echo status $?', 'status 130')
# A shell that starts no other program: one that waits for it to start (vfork) is stopped by no signal.
type(run + """sh -c 'n=0; while [ $n -lt 500000 ]; do n=$((n+1)); done; exit 4'\n""")
foreground('sh')
type('\x1a')
expect('Stopped')
answer('bg; wait %1; echo status $?', 'status 4')
type(run + 'sleep 600\n')
foreground('sleep')
type('\x1a')
expect('Stopped')
type('fg\n')
foreground('sleep')
type('\x1c')
answer('echo status $?', 'status 131')
type('exit 3\n')
assert status() == 3
"#,
    );
}

#[test]
fn a_shell_inside_is_suspended_and_comes_back() {
    converse(
        r"
start(*shell)
type(run + ' '.join(shell) + '\n')
answer('echo in$((1 + 1))', 'in2')
type('suspend -f\n')
expect('Stopped')
answer('echo out$((1 + 1))', 'out2')
type('fg\n')
answer('echo back$((1 + 1))', 'back2')
type('exit 5\n')
answer('echo status $?', 'status 5')
",
    );
}

/// The others of a pipeline need the terminal too: COMMAND gets it when it reads from it.
#[test]
fn a_run_in_a_pipeline_is_interrupted_with_it_and_reads_when_it_asks() {
    converse(
        r#"
start(*shell)
answer(run + '''sh -c 'trap "echo go""t >&2; exit" INT; echo rea""dy >&2; while :; do sleep 0.02; done' | cat''', 'ready')
type('\x03')
expect('got')
type(run + 'cat | cat\n')
foreground('cat')
answer('twi' + 'ce', 'twice\r\ntwice')
type('\x04')
answer('echo in$((1 + 1))', 'in2')
"#,
    );
}

/// The terminal is the caller's again, also for a script without job control.
#[test]
fn a_script_goes_on_reading_from_its_terminal() {
    converse(
        r#"
start('sh', '-c', run + 'cat; read line; echo "<$line>"')
foreground('cat')
type('\x04')
type('after\n')
expect('<after>')
assert status() == 0
"#,
    );
}

/// A session's leader has no shell that could continue it, and nothing inside can stop it for good.
#[test]
fn a_run_that_nobody_could_continue_is_not_stopped() {
    converse(
        r"
start(os.environ['TIDEGATE'], 'run', '--', 'sh', '-c', 'sleep 0.2; kill -STOP $$; echo on; exit 6')
expect('on')
assert status() == 6
",
    );
}

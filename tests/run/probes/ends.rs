//! Before Tidegate serves, while it cannot, and when what it records into is full.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use crate::harness::{Answer, Counter, Dns, Ended, Origin, callers, end, in_a_network};

use rustix::process::{Pid, Signal, kill_process};

/// The first thing that COMMAND does has an answer, however often.
#[test]
fn threat_132_nothing_starts_before_the_doors_serve() {
    in_a_network("probes::ends::threat_132_nothing_starts_before_the_doors_serve", || {
        let counter = Counter::start();
        let first = "import socket; one = socket.create_connection(('1.1.1.1', 80), 5); one.sendall(b'GET / HTTP/1.0\\r\\nHost: 1.1.1.1\\r\\n\\r\\n'); print(one.recv(12))";
        for caller in callers() {
            for _ in 0..20 {
                let Ended { status, out, err } = caller.run(&["--", "python3", "-S", "-c", first]);
                assert_eq!((status, out.as_str()), (0, "b'HTTP/1.1 403'\n"), "{err}");
            }
            // What cannot serve starts nothing.
            let failed = caller.run(&["--policy", "absent.toml", "--", "sh", "-c", "echo started; curl -s http://1.1.1.1/"]);
            assert_eq!((failed.status, failed.out.as_str()), (125, ""), "{failed:?}");
            counter.assert_silent("runs began");
        }
    });
}

/// Nobody answers, and nothing goes another way.
#[test]
fn threat_131_while_the_proxy_stands_still_so_does_everything() {
    const ASK: &str = "
import socket, sys
def ask(patience):
    said = []
    for port in 53, 80, 443, 3128, 6379:
        for address in '1.1.1.1', '2606:4700:4700::1111', '127.0.0.1':
            try:
                with socket.create_connection((address, port), patience) as one:
                    one.sendall(b'GET http://1.1.1.1/ HTTP/1.0\\r\\nHost: 1.1.1.1\\r\\n\\r\\n')
                    said.append(one.recv(12)[-3:].decode())
            except OSError:
                pass
            with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM) as one:
                try:
                    one.sendto(b'x' * 32, (address, port))
                except OSError:
                    pass
    print(set(said), flush=True)
print('ready', flush=True)
sys.stdin.readline()
ask(0.1)
sys.stdin.readline()
ask(5)
";
    in_a_network("probes::ends::threat_131_while_the_proxy_stands_still_so_does_everything", || {
        let counter = Counter::start();
        for caller in callers() {
            let mut run = caller.tidegate(&["--", "python3", "-c", ASK]);
            let mut child = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let mut line = || {
                let mut line = String::new();
                out.read_line(&mut line).unwrap();
                line
            };
            assert_eq!(line(), "ready\n");
            let tidegate = Pid::from_child(&child);
            kill_process(tidegate, Signal::STOP).unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(b"\n").unwrap();
            assert_eq!(line(), "set()\n");
            counter.assert_silent("Tidegate was stopped");
            kill_process(tidegate, Signal::CONT).unwrap();
            stdin.write_all(b"\n").unwrap();
            assert_eq!(line(), "{'403'}\n");
            drop(stdin);
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
            counter.assert_silent("Tidegate went on");
        }
    });
}

/// What cannot be recorded does not happen.
#[test]
fn where_the_disk_is_full_of_records_nothing_is_let_out_any_more() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        dns.say("origin.test", Answer::of(&["127.0.0.1"]));
        let host = format!("origin.test:{}", origin.port());
        caller.write("policy.toml", &format!("allow = [{{ host = \"{host}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n"));
        caller.write("tidegate.toml", &format!("[policy]\nfile = \"policy.toml\"\n[dns]\nresolver = \"{}\"\n", dns.address()));
        // Room for a few records, of which a copy survives.
        let script = format!(
            "mkdir full && mount -t tmpfs -o size=16k,mode=777 none full && $TIDEGATE run --config tidegate.toml --audit full/audit.jsonl -- \
             sh -c 'for n in $(seq 80); do curl -s -m 5 http://{host}/; echo; done' && cp full/audit.jsonl audit.jsonl"
        );
        let mut command = caller.command("unshare");
        let Ended { out, err, .. } = end(command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]), b"");
        let answers: Vec<_> = out.lines().collect();
        let let_out = answers.iter().take_while(|answer| **answer == "hello").count();
        assert!((5..75).contains(&let_out) && answers.len() > let_out, "{let_out}: {out}{err}");
        assert!(out.contains("\"reason\":\"audit_unavailable\""), "{out}{err}");
        assert!(!answers[let_out..].contains(&"hello"), "{out}");
        // What was let out stands there, and nothing was that does not.
        let records = fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        let recorded = records.lines().filter(|line| line.contains("\"verdict\":\"allow\"") && line.contains("\"path\":\"/\"")).count();
        assert!(origin.asked() == let_out && recorded >= let_out, "{} {let_out} {recorded}", origin.asked());
    }
}

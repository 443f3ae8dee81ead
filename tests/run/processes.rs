//! Which process inside asks, as its caller finds it in the audit: by the number and the program that it has outside.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::harness::{callers, poll};

/// Asks by the proxy door and by none, a few times, since a busy machine may not tell in time; says who it is and waits to be let go.
const PROGRAM: &str = "
import os, socket, sys
for _ in range(20):
    for address, request in (('127.0.0.1', 3128), b'GET http://example.org/ HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n'), \\
                            (('192.0.2.1', 80), b'GET / HTTP/1.1\\r\\nHost: 192.0.2.1\\r\\n\\r\\n'):
        stream = socket.create_connection(address, 20)
        stream.sendall(request)
        while stream.recv(4096): pass
print(os.getpid(), flush=True)
sys.stdin.read()
";

#[test]
fn processes_inside_are_told_apart_by_their_numbers_outside() {
    for caller in callers() {
        let mut command = caller.tidegate(&["--audit", "audit.jsonl", "--", "python3", "-c", PROGRAM]);
        let mut run = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut inside = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut inside).unwrap();
        let audit = fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        let records: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 40, "{audit}");
        for door in ["proxy", "transparent"] {
            let told = records.iter().filter(|record| record["door"] == door && !record["pid"].is_null());
            let mut told: Vec<_> =
                told.map(|record| (record["pid"].as_u64().unwrap(), record["exe"].as_str().unwrap().to_owned())).collect();
            told.dedup();
            let [(pid, exe)] = &told[..] else { panic!("one process: {told:?}\n{audit}") };
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
            assert_eq!(numbers.split_whitespace().last(), Some(inside.trim()), "{numbers}");
            assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap().display().to_string(), *exe);
            assert!(exe.contains("python"), "{exe}");
        }
        drop(run.stdin.take());
        let status = poll(|| run.try_wait().unwrap()).expect("it ends");
        assert!(status.success(), "{status}");
    }
}

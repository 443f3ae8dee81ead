//! Which process asks, as far as the kernel tells: `pid` and `exe` of the records.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::harness::{
    Dns, Origin, Setup, Tidegate,
    client::ask_for,
    namespace::{isolated, redirect},
    program::program,
};

/// A curl at work, to its end. A machine that is busy with other tests may not tell in time, so it is tried a few times; whatever is told is
/// true.
#[track_caller]
fn assert_told(gate: &Tidegate, door: &str, arguments: &[&str]) {
    let curl = fs::canonicalize(which("curl")).expect("curl's program").display().to_string();
    for _ in 0..TRIES {
        let before = gate.records().len();
        let mut curls: Child =
            program("curl").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("curl");
        let pid = curls.id();
        curls.wait().expect("its end");
        let record = gate.wait_for_record_after(before, |record| record["door"] == door && record["duration_ms"].is_null());
        if record["pid"].is_null() {
            assert!(record["exe"].is_null(), "{record:#}");
            continue;
        }
        assert_eq!((&record["pid"], &record["exe"]), (&pid.into(), &curl.clone().into()), "{record:#}");
        return;
    }
    panic!("not told in {TRIES} tries: {}", gate.audit_text());
}

fn which(name: &str) -> String {
    let path = std::env::var("PATH").expect("a PATH");
    path.split(':').map(|directory| format!("{directory}/{name}")).find(|file| Path::new(file).exists()).expect("it is installed")
}

#[test]
fn the_process_and_its_program_are_recorded_at_every_door_that_it_connects_to() {
    let origin = Origin::saying("from the origin");
    let policy = format!("allow = [{{ host = \"allowed.test:{}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", origin.port());
    let setup = Setup::new(policy).dns(Dns::loopback().address());
    let gate = setup.listen("socks = \"[::1]:0\"\ngit = \"127.0.0.1:0\"").start();
    let (proxy, socks, git) = (gate.proxy().to_string(), format!("socks5h://{}", gate.listener("socks")), gate.listener("git"));
    let url = format!("http://allowed.test:{}/", origin.port());
    assert_told(&gate, "proxy", &["--proxy", &proxy, &url]);
    assert_told(&gate, "proxy", &["--proxy", &proxy, "http://evil.test/"]);
    assert_told(&gate, "socks", &["--proxy", &socks, &url]);
    assert_told(&gate, "socks", &["--proxy", &socks, "https://evil.test/"]);
    assert_told(&gate, "git", &["--noproxy", "*", &format!("http://{git}/git/octo/spoon/info/refs?service=git-upload-pack")]);
    // Everything on a connection is of the one process: the tunnel, its requests and its end.
    let mut told: Vec<Value> =
        gate.records().into_iter().filter(|record| record["door"] == "socks" && record["host"] == "allowed.test").collect();
    told.retain(|record| !record["pid"].is_null());
    assert!(told.iter().any(|record| record["kind"] == "http") && told.iter().any(|record| !record["duration_ms"].is_null()), "{told:#?}");
    // The path is the program's, whatever it is called by; the tests are one as well.
    ask_for(gate.proxy(), "evil.test");
    let own = gate.records().pop().expect("a record");
    assert!(own["pid"].is_null() || own["pid"] == std::process::id(), "{own:#}");
}

#[test]
fn the_process_behind_a_redirection_is_recorded() {
    isolated("processes::the_process_behind_a_redirection_is_recorded", || {
        let gate = Setup::new("").listen("transparent = \"127.0.0.1:0\"\ndns = \"127.0.0.1:0\"").start();
        redirect(gate.listener("transparent"), gate.listener("dns"));
        assert_told(&gate, "transparent", &["--noproxy", "*", "--max-time", "20", "http://203.0.113.7/"]);
    });
}

/// Nobody may have processes looked for who has not shown whose they are.
#[test]
fn of_strangers_no_process_is_told() {
    let gate = Setup::new("").listen("require_session = true").session("s1", "first-token-0123456789abcdef0123456789", "").start();
    let mut curl =
        program("curl").args(["--proxy", &gate.proxy().to_string(), "http://evil.test/"]).stdout(Stdio::null()).spawn().expect("curl");
    curl.wait().expect("its end");
    let record = gate.wait_for_record(|record| record["reason"] == "session_required");
    assert_eq!((&record["pid"], &record["exe"]), (&Value::Null, &Value::Null), "{record:#}");
}

const TRIES: usize = 20;

//! Each kind of credential, and each place where it could be seen: what anybody hears, what is kept, and what the kernel shows of processes.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

use crate::harness::{
    Answer, Leaks, Plan, When, World,
    bytes::{basic, request},
    hub::{Hub, Wire, random},
    tidegate::{Setup, Tidegate},
};

/// From the environment, a file, and a command.
const KINDS: [&str; 3] = ["{ env = \"REAL_TOKEN\" }", "{ file = \"real.token\" }", "{ command = [\"printenv\", \"REAL_TOKEN\"] }"];

/// What the kernel shows of a process beside its memory.
fn shown_of(pid: u32) -> Vec<u8> {
    ["cmdline", "comm", "status"].iter().flat_map(|name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()).collect()
}

/// Rows T0 of the threats 87, 95 and 96: whatever is done, and goes wrong, the search at the end finds nothing.
#[test]
fn threats_87_95_and_96_no_kind_of_credential_is_seen_anywhere() {
    for credential in KINDS {
        let world = World::of(&Plan { credential, ..Plan::default() }).cloned(&["agent/fix-1"]);
        world.push(&["origin", "agent/fix-1"]).assert(0, &["agent/fix-1 -> agent/fix-1"]);
        assert_ne!(world.push(&["origin", "main"]).code, Some(0));
        for record in world.gate().records() {
            let goes_up = record["verdict"] == "allow" && ["fetch", "push"].contains(&record["kind"].as_str().unwrap_or_default());
            assert!(!goes_up || record["credential"] == "user", "{record:#}");
        }
        assert_eq!(world.push_record("allow")["credential"], "user");
        // As an upstream turns it away, and where it cannot be had any more.
        world.hub.set(When::Always, Answer::Reply(401, Vec::new(), b"Bad credentials".to_vec()));
        world.sandbox.git("clone", &["fetch"]).assert(128, &["remote: "]);
        world.hub.calm();
        if credential.contains("file") {
            fs::write(world.gate().path("real.token"), "two words").unwrap();
            world.sandbox.git("clone", &["fetch"]).assert(128, &["remote: "]);
        }
        for page in ["/", "/session", "/refusals"] {
            let asked = format!("GET {page} HTTP/1.1\r\nHost: tidegate.internal\r\n{}\r\n\r\n", basic("x", &world.token));
            assert_eq!(world.ask(asked).status, 200, "{page}");
        }
        let real = Leaks::of(&world.real);
        for arguments in [&["list"][..], &["show", "s1"]] {
            real.assert_absent("tidegate session", world.session(arguments).as_bytes());
        }
        real.assert_absent("its command line", &shown_of(world.gate().pid()));
        world.finish();
    }
}

/// A program that gives one credential inherits no other, nor a session's token, and no argument holds one.
#[test]
fn threat_96_what_gives_a_credential_inherits_no_other() {
    let [real, other, token] = ["ghs_", "ghs_", "sbx-one-"].map(|kind| format!("{kind}{}", random()));
    let hub = Hub::start(Wire::Plain, Some(&other));
    let notes = tempfile::tempdir().unwrap();
    let note = notes.path().join("seen");
    let give = format!("{{ env; tr '\\0' ' ' </proc/self/cmdline; }} >>{}; cat {}", note.display(), notes.path().join("other").display());
    fs::write(notes.path().join("other"), &other).unwrap();
    let url = hub.url();
    let gate = Setup::new("access = \"none\"\n[[credential]]\nhosts = [\"a.test\"]\nheader = \"x-key\"\nvalue = { env = \"KEY\" }\n")
        .listen("git = \"127.0.0.1:0\"\nrequire_session = true")
        .environment("REAL_TOKEN", &real)
        .environment("KEY", &real)
        .environment("SESSION", &token)
        .environment("HARMLESS", "as it was")
        .tables(&format!(
            "[[github]]\nhost = \"github.test\"\ngit_url = \"{url}\"\ncredential = {{ command = [\"sh\", \"-c\", {give:?}] }}"
        ))
        .tables(&format!("[[github]]\nhost = \"ghe.test\"\ngit_url = \"{url}\"\ncredential = {{ env = \"REAL_TOKEN\" }}"))
        .tables("[[session]]\nid = \"s1\"\ntoken = { env = \"SESSION\" }\n[[session.repository]]\nname = \"octo/spoon\"")
        .start();
    let discovery = "/git/octo/spoon/info/refs?service=git-upload-pack";
    let reply = crate::harness::client::ask(gate.listener("git"), request("GET", discovery, &[&basic("x", &token)], b""));
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = fs::read(&note).unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("HARMLESS=as it was"), "{}", String::from_utf8_lossy(&seen));
    let kept = [gate.audit_text(), gate.metrics(), gate.finish()].concat();
    for secret in [&real, &other, &token] {
        Leaks::of(secret).assert_absent("what a program was started with", &seen);
        Leaks::of(secret).assert_absent("records, metrics or the log", kept.as_bytes());
    }
}

/// The kernel writes no memory of it to a file, whatever limits allow.
#[test]
fn threat_96_a_crash_leaves_no_memory_behind() {
    let place = tempfile::tempdir().unwrap();
    let control = Command::new("sh").args(["-c", "ulimit -c unlimited && kill -ABRT $$"]).current_dir(place.path()).status().unwrap();
    for credential in KINDS {
        let real = format!("ghs_{}", random());
        let mut gate = Setup::new("access = \"none\"")
            .listen("git = \"127.0.0.1:0\"")
            .environment("REAL_TOKEN", &real)
            .file("real.token", &real)
            .tables(&format!("[[github]]\nhost = \"github.test\"\ncredential = {credential}"))
            .start();
        let status = crash(&mut gate);
        assert!(status.signal().is_some() && !status.core_dumped(), "{status}; beside it a shell that crashes: {control}");
        assert!(!Path::new("core").exists() && !Path::new(&format!("core.{}", gate.pid())).exists());
    }
}

/// Lets it write what it may, and ends it as a fault would.
fn crash(gate: &mut Tidegate) -> std::process::ExitStatus {
    let limited = Command::new("prlimit").args(["--core=unlimited", "--pid", &gate.pid().to_string()]).status();
    assert!(limited.expect("prlimit is needed: apt-get install util-linux").success());
    gate.signal("ABRT");
    gate.wait_for_exit()
}

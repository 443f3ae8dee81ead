//! The root to trust, as a sandbox and as its owner finds it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{
    Client, Setup,
    client::{ask, get},
    tidegate::TIDEGATE,
};

#[test]
fn the_root_is_shown_once_it_is_asked_for_and_stays() {
    let mut gate = Setup::new("").start();
    let root = gate.path("state/ca/ca.pem");
    assert!(!root.exists());
    let reply = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/pem-certificate-chain")));
    let shown = reply.text();
    assert_eq!(shown, fs::read_to_string(&root).unwrap());
    assert_eq!(shown.matches("-----").count(), 4, "one certificate and no key: {shown}");
    assert_eq!(ask(gate.proxy(), get("tidegate.internal").replace(".internal/", ".internal/ca.pem")).text(), shown);
    let head = Client::connect(gate.proxy()).send("HEAD /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").reply_to("HEAD");
    assert_eq!((head.status, head.text().as_str()), (200, ""));
    assert_eq!(ask(gate.proxy(), "POST /ca.pem HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status, 405);
    gate.crash_and_restart();
    assert_eq!(ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").text(), shown);
    let told = Command::new(TIDEGATE).args(["ca", "show", "--config"]).arg(gate.path("tidegate.toml")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let bundle = String::from_utf8(told.stdout).unwrap();
    assert!(fs::read_to_string(bundle.trim_end()).unwrap().starts_with(&shown));
}

#[test]
fn one_that_cannot_be_used_is_not_shown_and_keeps_the_next_start_from_starting() {
    let mut gate = Setup::new("").start();
    let directory = gate.path("state/ca");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("ca.pem"), "no certificate").unwrap();
    let reply = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(reply.status, 503);
    assert!(!reply.text().contains("state"), "{}", reply.text());
    gate.signal("TERM");
    gate.wait_for_exit();
    let again = Command::new(TIDEGATE).args(["serve", "--config"]).arg(gate.path("tidegate.toml")).output().unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1), "{said}");
    assert!(
        said.contains("tidegate: the certificate authority cannot be used: cannot use ") && said.contains("/ca/key.pem: No such file"),
        "{said}"
    );
}

#[test]
fn threat_46_the_authority_s_key_is_shown_to_nobody() {
    let gate = Setup::new("").start();
    assert_eq!(ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    let key = gate.path("state/ca/key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for path in ["/key.pem", "/ca/key.pem", "/ca.pem/../key.pem", "/%6bey.pem", "/ca.pem?file=key.pem", "/bundle.pem", "/state/ca/key.pem"]
    {
        let pages = get("tidegate.internal").replace(".internal/", &format!(".internal{path}"));
        for request in [format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), pages] {
            let reply = ask(gate.proxy(), request);
            assert!(!reply.text().contains(secret) && !reply.text().contains("PRIVATE"), "{path}: {}", reply.text());
        }
        let mut metrics = Client::connect(gate.metrics_address());
        let reply = metrics.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).reply();
        assert!(!reply.text().contains(secret), "{path}: {}", reply.text());
    }
    assert!(!gate.stderr().contains(secret) && !gate.audit_text().contains(secret));
}

/// The user of Debian that owns nothing.
const NOBODY: u32 = 65534;

/// As somebody who is not root: for root there are no walls between processes.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn threats_46_and_96_no_process_of_the_same_user_looks_into_a_running_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let [program, config] = ["tidegate", "tidegate.toml"].map(|name| directory.path().join(name));
    fs::copy(TIDEGATE, &program).unwrap();
    fs::write(&config, "[listen]\nproxy = \"127.0.0.1:0\"\n[policy]\nfile = \"policy.toml\"\n[state]\ndir = \"state\"\n").unwrap();
    fs::write(directory.path().join("policy.toml"), "").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut serving =
        as_nobody(&program).args(["serve", "--config"]).arg(&config).env("KEY", "real").stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(serving.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = said.take_while(|line| line != "ready").collect();
    assert!(said.iter().any(|line| line.starts_with("listening proxy ")), "{said:?}");
    let own = |name: &str| format!("/proc/{}/{name}", serving.id());
    let looks: Vec<_> = ["environ", "maps", "mem"]
        .map(|name| as_nobody(Path::new("head")).args(["-c", "1", &own(name)]).output().unwrap())
        .into_iter()
        .map(|look| (look.status.success(), String::from_utf8_lossy(&look.stderr).into_owned()))
        .collect();
    let others = as_nobody(Path::new("head")).args(["-c", "1", "/proc/self/environ"]).output().unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert!(looks.iter().all(|(read, said)| !read && said.contains("Permission denied")), "{looks:?}");
    assert!(others.status.success(), "it is this process alone that is closed");
}

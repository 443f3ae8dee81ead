//! The readers of git's requests and answers against git itself: what `git push` sends is read, what is read lets a real
//! `git receive-pack` change exactly the refs that were named, git takes an advertisement that was written anew, and prints the answers
//! written here as they are meant.
#![allow(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tidegate::github::{
    Service,
    advertisement::{AdvertisementError, AdvertisementReader},
    push::{Capabilities, Prelude, PreludeReader, RefName, parse},
    report,
};

/// A bare repository with a commit on `main`, `a` and `b`, whose refs can be put back.
struct Target {
    directory: TempDir,
    commits: [String; 2],
    refs: BTreeMap<String, String>,
}

impl Target {
    fn new() -> Self {
        Self::of(&[])
    }

    /// One that is made with these arguments.
    fn of(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        git(path, &[&["init", "--quiet", "--bare", "--initial-branch=main"], arguments].concat());
        git(path, &["config", "receive.advertisePushOptions", "true"]);
        git(path, &["config", "receive.certNonceSeed", "seed"]);
        git(path, &["config", "receive.denyDeleteCurrent", "ignore"]);
        git(path, &["config", "gc.auto", "0"]);
        let tree = git(path, &["hash-object", "-t", "tree", "-w", "/dev/null"]);
        let first = git(path, &["commit-tree", "-m", "first", &tree]);
        let second = git(path, &["commit-tree", "-m", "second", "-p", &first, &tree]);
        let mut target = Self { directory, commits: [first, second], refs: BTreeMap::new() };
        for name in ["refs/heads/main", "refs/heads/a", "refs/heads/b"] {
            git(target.path(), &["update-ref", name, &target.commits[0]]);
        }
        target.refs = target.refs_now();
        target
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn refs_now(&self) -> BTreeMap<String, String> {
        let lines = git(self.path(), &["for-each-ref", "--format=%(refname) %(objectname)"]);
        lines.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }

    /// What a `git receive-pack` changes when it is given this body; the refs are put back.
    fn changed_by(&self, body: &[u8]) -> Vec<String> {
        self.receive(body);
        let now = self.refs_now();
        let mut changed: Vec<String> =
            self.refs.keys().chain(now.keys()).filter(|name| self.refs.get(*name) != now.get(*name)).cloned().collect();
        changed.sort();
        changed.dedup();
        for name in &changed {
            match self.refs.get(name) {
                Some(id) => git(self.path(), &["update-ref", name, id]),
                None => git(self.path(), &["update-ref", "-d", name]),
            };
        }
        changed
    }

    fn receive(&self, body: &[u8]) {
        let mut child = command(self.path(), &["receive-pack", "--stateless-rpc", "."])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It may have read enough.
        let _ = child.stdin.take().unwrap().write_all(body);
        child.wait().unwrap();
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).args(arguments).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")]);
    let (name, mail) = (["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"], ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"]);
    command.envs(name.map(|key| (key, "Octo"))).envs(mail.map(|key| (key, "octo@example.com")));
    command
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(directory, arguments).output().unwrap();
    assert!(status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

fn line(content: &str) -> String {
    format!("{:04x}{content}", content.len() + 4)
}

/// A pack without objects: a ref that moves to a commit that is there needs no more.
const EMPTY_PACK: &[u8] = b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

const ZERO: &str = "0000000000000000000000000000000000000000";

/// Bodies up to the pack: some that git sends or may be sent, and every way to hide a command that we know of.
fn preludes(target: &Target) -> Vec<String> {
    [honest(target), hostile(target), oddly_ended(target)].concat()
}

fn honest(target: &Target) -> Vec<String> {
    let [old, new] = &target.commits;
    let set = |name: &str| format!("{old} {new} {name}");
    let first = |name: &str| line(&format!("{}{CAPABILITIES}", set(name)));
    let good = first("refs/heads/a");
    vec![
        format!("{good}0000"),
        format!("{}0000", line(&format!("{}{CAPABILITIES}\n", set("refs/heads/a")))),
        format!("{good}{}0000", line(&set("refs/heads/b"))),
        format!("{good}{}0000", line(&set("refs/heads/main"))),
        format!("{}0000", line(&format!("{ZERO} {new} refs/heads/new{CAPABILITIES}"))),
        format!("{}0000", line(&format!("{old} {ZERO} refs/heads/a{CAPABILITIES}"))),
        format!("{}{}0000", line(&format!("{old} {ZERO} refs/heads/a{CAPABILITIES}")), line(&format!("{ZERO} {new} refs/tags/v1"))),
        format!("{}{good}0000", line(&format!("shallow {old}"))),
        format!("{}0000", line(&format!("{}\0report-status", set("refs/heads/a")))),
        format!("{}0000", line(&set("refs/heads/a"))),
        format!("{}0000", line(&format!("{}\0 session-id=x object-format=sha1 atomic quiet", set("refs/heads/a")))),
        format!("{}{}0000", good[..4].to_uppercase(), &good[4..]),
        format!("{}0000", line(&format!("{ZERO} {new} refs/heads/refs/heads/main{CAPABILITIES}"))),
        format!("{}0000", line(&format!("{ZERO} {new} refs/heads/-x{CAPABILITIES}"))),
        "0000".into(),
        format!("{}0000", line(&format!("shallow {old}"))),
    ]
}

fn hostile(target: &Target) -> Vec<String> {
    let [old, new] = &target.commits;
    let set = |name: &str| format!("{old} {new} {name}");
    let first = |name: &str| line(&format!("{}{CAPABILITIES}", set(name)));
    let (good, main) = (first("refs/heads/a"), line(&set("refs/heads/main")));
    let certificate = certificate(&set("refs/heads/main"));
    vec![
        // A list after the list.
        format!("{good}0000{main}0000"),
        format!("0000{main}0000"),
        format!("0000{}0000", first("refs/heads/main")),
        format!("{}0000{}0000", line(&format!("shallow {old}")), first("refs/heads/main")),
        format!("{}{main}0000", line(&format!("shallow {old}"))),
        // Names that end elsewhere for another reader.
        format!("{}0000", first("refs/heads/a\nrefs/heads/main")),
        format!("{}0000", first("refs/heads/a refs/heads/main")),
        format!("{}0000", first(" refs/heads/main")),
        format!("{}0000", first("refs/heads/main ")),
        format!("{}0000", first("refs/heads/../heads/main")),
        format!("{}0000", first("refs//heads/main")),
        format!("{}0000", first("refs/heads/main.lock")),
        format!("{}0000", first("HEAD")),
        format!("{}0000", first("main")),
        format!("{}0000", line(&format!("{}\0{}\0{}", set("refs/heads/a"), "atomic", set("refs/heads/main")))),
        // Capabilities on another line, unknown, twice.
        format!("{good}{}0000", line(&format!("{}{CAPABILITIES}", set("refs/heads/main")))),
        format!("{good}{}0000", line(&format!("{}\0push-options", set("refs/heads/main")))),
        format!("{}0000", line(&format!("{}\0object-format=sha256", set("refs/heads/main")))),
        format!("{}0000", line(&format!("{}\0object-format=sha1 object-format=sha256", set("refs/heads/main")))),
        format!("{}0000", line(&format!("{}\0push-cert=x", set("refs/heads/main")))),
        format!("{}0000{}0000", line(&format!("{}\0push-options", set("refs/heads/a"))), main),
        format!("{}0000{}0000", line(&format!("{}\0agent=x\tpush-options", set("refs/heads/a"))), main),
        // Certificates, alone and behind a command.
        format!("{certificate}0000"),
        format!("{good}{certificate}0000"),
        format!("{good}{}", certificate.replace("push-cert\0", "push-cert\n\0") + "0000"),
        // Shallow lines.
        format!("{good}{}{main}0000", line(&format!("shallow {old}"))),
        format!("{}0000", line(&format!("shallow {old}\0{}", set("refs/heads/main")))),
        format!("{}0000", line(&format!("shallow {}", set("refs/heads/main")))),
        // Objects.
        format!("{}0000", line(&format!("{} {new} refs/heads/main{CAPABILITIES}", old.to_uppercase()))),
        format!("{}0000", line(&format!("{old}\t{new} refs/heads/main{CAPABILITIES}"))),
        format!("{}0000", line(&format!("{} {new} refs/heads/main{CAPABILITIES}", &old[1..]))),
        format!("{}0000", line(&format!("{ZERO} {ZERO} refs/heads/main{CAPABILITIES}"))),
        // Twice.
        format!("{good}{}0000", line(&set("refs/heads/a"))),
        format!("{good}{}0000", line(&set("refs/heads/A"))),
    ]
}

/// What ends a list for git, and lengths that are none, before a command.
fn oddly_ended(target: &Target) -> Vec<String> {
    let [old, new] = &target.commits;
    let main = format!("{old} {new} refs/heads/main");
    let (good, first) = (line(&format!("{old} {new} refs/heads/a{CAPABILITIES}")), line(&format!("{main}{CAPABILITIES}")));
    let odd = ["0001", "0002", "0003", "0004", "+03f", " 3f", "0x3f", "-001", "zzzz", "fff1", "ffff", "000", ""];
    odd.iter().flat_map(|odd| [format!("{good}{odd}{}0000", line(&main)), format!("{odd}{first}0000")]).collect()
}

fn certificate(command: &str) -> String {
    let push_cert = format!("push-cert{CAPABILITIES}\n");
    let command = format!("{command}\n");
    let pusher = "pusher Octo <octo@example.com> 0 +0000\n";
    [&push_cert, "certificate version 0.1\n", pusher, "\n", &command, "push-cert-end\n"].map(line).concat()
}

const CAPABILITIES: &str = "\0 report-status side-band-64k agent=git/test";

#[test]
fn what_is_accepted_changes_what_was_named() {
    let target = Target::new();
    let (mut accepted, mut refused, mut moved) = (0, 0, 0);
    for prelude in preludes(&target) {
        let shown = prelude.escape_default();
        let mut body = prelude.clone().into_bytes();
        body.extend_from_slice(EMPTY_PACK);
        // Cut into single octets, the answer is the same.
        let mut reader = PreludeReader::default();
        let slowly = (0..=body.len()).map(|end| reader.read(&body[..end])).find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        assert_eq!(parse(&body), slowly, "{shown}");
        match slowly {
            Ok(Some(Prelude::Commands(list))) => {
                accepted += 1;
                let mut named: Vec<String> = list.updates.iter().map(|update| update.name.to_string()).collect();
                named.sort();
                let rest = &body[list.length..];
                let rest = if list.has_pack() { rest } else { &[] };
                let changed = target.changed_by(&body);
                // Where a pack was to follow and something else does, git changes nothing.
                let whole = rest.is_empty() || rest.starts_with(b"PACK");
                assert_eq!(changed, if whole { named } else { Vec::new() }, "{shown}");
                // What is written anew does what was sent.
                assert_eq!(target.changed_by(&[&list.to_bytes(), rest].concat()), changed, "{shown}");
                moved += changed.len();
            }
            Ok(Some(Prelude::Nothing { .. })) => {
                accepted += 1;
                assert_eq!(target.changed_by(&body), Vec::<String>::new(), "{shown}");
            }
            Ok(None) | Err(_) => refused += 1,
        }
    }
    assert_eq!((accepted, refused, moved), (25, 51, 21));
}

/// The table is no use if git refuses all of it: a reader less strict than ours would be caught.
#[test]
fn what_is_refused_would_change_refs() {
    let target = Target::new();
    let changed = preludes(&target).into_iter().filter(|prelude| parse(prelude.as_bytes()).is_err()).map(|prelude| {
        let mut body = prelude.clone().into_bytes();
        body.extend_from_slice(EMPTY_PACK);
        target.changed_by(&body)
    });
    assert_eq!(changed.filter(|changed| changed.iter().any(|name| name == "refs/heads/main")).count(), 8);
}

#[test]
fn git_and_we_agree_on_names_of_refs() {
    let directory = tempfile::tempdir().unwrap();
    let parts = ["a", "A", ".", "..", "/", "//", "-", "@", "@{", "{", "*", ".lock", "é", "\u{202e}", " ", "~", "\\", "[", "\u{7f}"];
    let mut names = Vec::new();
    for one in parts {
        for two in parts {
            names.extend([format!("refs/heads/{one}{two}"), format!("refs/{one}{two}"), format!("refs/heads/x{one}/y{two}z")]);
        }
    }
    let mut valid = 0;
    for name in &names {
        let ours = RefName::parse(name.as_bytes()).is_ok();
        let gits = command(directory.path(), &["check-ref-format", name]).status().unwrap().success();
        assert_eq!(ours, gits, "{name:?}");
        valid += usize::from(ours);
    }
    assert_eq!((names.len(), valid), (1083, 176));
}

/// A server that answers as it is told, and keeps the body of each push or fetch.
struct Recorder {
    address: String,
    bodies: std::sync::mpsc::Receiver<Vec<u8>>,
}

type Answer = Box<dyn Fn(Ask<'_>) -> Vec<u8> + Send>;

/// What a client asks: refs, or a push or fetch with this body.
enum Ask<'a> {
    Refs,
    Post(&'a [u8]),
}

impl Recorder {
    fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/r.git", listener.local_addr().unwrap());
        let (sender, bodies) = std::sync::mpsc::channel();
        // Ends with the test's process; git closes each connection.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some((head, body)) = stream.ok().and_then(|stream| serve(stream, &answer)) else { continue };
                if head.starts_with("POST") && sender.send(body).is_err() {
                    return;
                }
            }
        });
        Self { address, bodies }
    }

    fn body(&self) -> Vec<u8> {
        self.bodies.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// Answers one request and closes.
fn serve(mut stream: TcpStream, answer: &Answer) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(&mut stream, &mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let body = if header("Transfer-Encoding: ").is_some() {
        read_chunks(&mut stream, bytes.split_off(end))?
    } else {
        let length: usize = header("Content-Length: ").map_or(0, |length| length.parse().unwrap());
        while bytes.len() < end + length {
            read_more(&mut stream, &mut bytes)?;
        }
        bytes.split_off(end)
    };
    let (kind, content) = if head.starts_with("GET") { ("advertisement", answer(Ask::Refs)) } else { ("result", answer(Ask::Post(&body))) };
    let mut reply = String::new();
    let service = if head.contains("git-upload-pack") { Service::UploadPack } else { Service::ReceivePack };
    write!(reply, "HTTP/1.1 200 OK\r\nContent-Type: application/x-{service}-{kind}\r\n").ok()?;
    write!(reply, "Content-Length: {}\r\nConnection: close\r\n\r\n", content.len()).ok()?;
    stream.write_all(reply.as_bytes()).ok()?;
    stream.write_all(&content).ok()?;
    Some((head, body))
}

/// The content of a chunked body, of which `bytes` have come already.
fn read_chunks(stream: &mut TcpStream, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
            read_more(stream, &mut bytes)?;
            continue;
        };
        let start = at + end + 2;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[at..start - 2]).ok()?, 16).ok()?;
        while bytes.len() < start + length + 2 {
            read_more(stream, &mut bytes)?;
        }
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(&bytes[start..start + length]);
        at = start + length + 2;
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}

/// What a real `git http-backend` answers to a question for refs.
fn advertised(target: &Path, service: Service, version: &str) -> Vec<u8> {
    let mut backend = command(target, &["http-backend"]);
    backend.env("GIT_PROJECT_ROOT", target).envs([("GIT_HTTP_EXPORT_ALL", "1"), ("PATH_INFO", "/info/refs"), ("REQUEST_METHOD", "GET")]);
    backend.env("QUERY_STRING", format!("service={service}")).env("GIT_PROTOCOL", format!("version={version}")).env("REMOTE_USER", "octo");
    let mut answer = backend.output().unwrap().stdout;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    answer.split_off(end + 4)
}

/// The same as the sandbox is given it.
fn read(service: Service, answer: &[u8]) -> Vec<u8> {
    let advertisement = AdvertisementReader::new(service).read(answer).unwrap().unwrap();
    [&advertisement.written, &answer[advertisement.length..]].concat()
}

/// The same of a push.
fn advertisement(target: &Path) -> Vec<u8> {
    read(Service::ReceivePack, &advertised(target, Service::ReceivePack, "0"))
}

/// A clone of the target with a commit on `main` that the target does not have.
fn work(target: &Target) -> TempDir {
    let work = tempfile::tempdir().unwrap();
    git(work.path(), &["clone", "--quiet", target.path().to_str().unwrap(), "."]);
    git(work.path(), &["commit", "--quiet", "--allow-empty", "-m", "third"]);
    work
}

fn push(work: &Path, address: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(work, &[&["push"], arguments].concat()).arg(address).args(["HEAD:refs/heads/main"]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Answers each push with a refusal.
fn refuse(advertisement: Vec<u8>) -> Answer {
    Box::new(move |ask| match ask {
        Ask::Refs => advertisement.clone(),
        Ask::Post(body) => match parse(body) {
            Ok(Some(Prelude::Commands(list))) => {
                let refs = list.updates.iter().map(|update| (&update.name, "policy: not this one"));
                report::refusal(&list.capabilities, refs, &["This session may push: refs/heads/agent/*".into()]).unwrap()
            }
            Ok(Some(Prelude::Nothing { length })) if length == body.len() => Vec::new(),
            other => panic!("{other:?}: {}", body.escape_ascii()),
        },
    })
}

#[test]
fn git_prints_a_refusal_as_its_own() {
    let target = Target::new();
    let work = work(&target);
    let recorder = Recorder::new(refuse(advertisement(target.path())));
    let (code, text) = push(work.path(), &recorder.address, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("remote: This session may push: refs/heads/agent/*"), "{text}");
    assert!(text.contains(" ! [remote rejected] HEAD -> main (policy: not this one)"), "{text}");
    assert!(text.contains("error: failed to push some refs to "), "{text}");
    let (code, text) = push(work.path(), &recorder.address, &["--porcelain"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("!\tHEAD:refs/heads/main\t[remote rejected] (policy: not this one)\n"), "{text}");
    assert_eq!(target.refs_now(), target.refs);
}

#[test]
fn git_prints_a_refusal_without_bands() {
    let target = Target::new();
    let work = work(&target);
    let plain = String::from_utf8(advertisement(target.path())).unwrap();
    // As long as before.
    let plain = plain.replace("side-band-64k", "side-band-off").replace("report-status-v2", "report-status-xx");
    let recorder = Recorder::new(refuse(plain.into_bytes()));
    let (code, text) = push(work.path(), &recorder.address, &[]);
    assert_eq!((code, text.contains(" ! [remote rejected] HEAD -> main (policy: not this one)")), (Some(1), true), "{text}");
}

/// As many refs as a push may name, with long names: git finds the reason of each.
#[test]
fn git_prints_a_long_refusal() {
    let target = Target::new();
    let work = work(&target);
    let tip = git(work.path(), &["rev-parse", "HEAD"]);
    let long = ["a"; 10].map(|letter| letter.repeat(97)).join("/");
    let names: Vec<String> = (0..2000).map(|number| format!("{long}/{number:04}")).collect();
    let packed: Vec<_> = names.iter().map(|name| format!("{tip} refs/many/{name}\n")).collect();
    std::fs::write(work.path().join(".git/packed-refs"), packed.concat()).unwrap();
    let refs: Vec<_> = names.iter().map(|name| RefName::parse(format!("refs/heads/{name}").as_bytes()).unwrap()).collect();
    assert!(refs.iter().all(|name| name.as_str().len() > 990));
    let advertisement = advertisement(target.path());
    let recorder = Recorder::new(Box::new(move |ask| match ask {
        Ask::Refs => advertisement.clone(),
        Ask::Post(b"0000") => Vec::new(),
        Ask::Post(_) => {
            let capabilities = Capabilities::parse(b"report-status-v2 side-band-64k").unwrap();
            report::refusal(&capabilities, refs.iter().map(|name| (name, "policy: not this one")), &[]).unwrap()
        }
    }));
    let output = command(work.path(), &["push", &recorder.address, "refs/many/*:refs/heads/*"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.matches("(policy: not this one)").count()), (Some(1), names.len()), "{text:.2000}");
}

/// Neither landed nor not: git fails, says why, and does not say "up-to-date".
#[test]
fn git_prints_that_a_push_broke_off() {
    let target = Target::new();
    let work = work(&target);
    let text = "the answer of github.com did not come: fetch before you push again";
    // Alone, and behind what the upstream had sent.
    for before in ["", "000d\x02resolve\n", "0013\x01000eunpack ok\n"] {
        let advertisement = advertisement(target.path());
        let recorder = Recorder::new(Box::new(move |ask| match ask {
            Ask::Refs => advertisement.clone(),
            Ask::Post(body) => {
                let Ok(Some(Prelude::Commands(list))) = parse(body) else { panic!("{}", body.escape_ascii()) };
                [before.as_bytes(), &report::interrupted(&list.capabilities, text).unwrap()].concat()
            }
        }));
        let (code, printed) = push(work.path(), &recorder.address, &[]);
        assert_eq!((code, printed.contains(&format!("remote: {text}\nfatal: "))), (Some(1), true), "{printed}");
        assert!(!printed.contains("HEAD -> main") && !printed.contains("up-to-date"), "{printed}");
    }
}

#[test]
fn git_prints_why_it_may_not_fetch() {
    let target = Target::new();
    let into = tempfile::tempdir().unwrap();
    let clone = |recorder: &Recorder, version: &str| {
        let version = format!("protocol.version={version}");
        let output = command(into.path(), &["-c", &version, "clone", "--quiet", &recorder.address, "x"]).output().unwrap();
        // A helper of git's may add that its other end is gone.
        let first = String::from_utf8(output.stderr).unwrap().lines().next().map(str::to_owned);
        (output.status.code(), first)
    };
    let refused = (Some(128), Some("fatal: remote error: no grant for octo/spoon".to_owned()));
    for version in ["0", "1", "2"] {
        let refs = read(Service::UploadPack, &advertised(target.path(), Service::UploadPack, version));
        let recorder = Recorder::new(Box::new(move |ask| match ask {
            Ask::Refs => refs.clone(),
            Ask::Post(_) => report::fetch_error("no grant for octo/spoon"),
        }));
        assert_eq!(clone(&recorder, version), refused, "{version}");
    }
}

#[test]
fn what_git_push_sends_is_read_to_the_letter() {
    let target = Target::new();
    let work = work(&target);
    let recorder = Recorder::new(refuse(advertisement(target.path())));
    let [old, _] = &target.commits;
    let tip = git(work.path(), &["rev-parse", "HEAD"]);
    git(work.path(), &["tag", "v1"]);
    let shallow = tempfile::tempdir().unwrap();
    let origin = format!("file://{}", work.path().display());
    git(shallow.path(), &["clone", "--quiet", "--depth=1", "--no-local", &origin, "."]);
    git(shallow.path(), &["commit", "--quiet", "--allow-empty", "-m", "fourth"]);
    let fourth = git(shallow.path(), &["rev-parse", "HEAD"]);
    for (directory, arguments, expected, shallow) in [
        (work.path(), &["HEAD:refs/heads/main"][..], &[format!("{old} {tip} refs/heads/main")][..], 0),
        (work.path(), &["HEAD~:refs/heads/new"], &[format!("{ZERO} {old} refs/heads/new")], 0),
        (work.path(), &[":refs/heads/a"], &[format!("{old} {ZERO} refs/heads/a")], 0),
        (
            work.path(),
            &["--atomic", "HEAD:refs/heads/main", ":refs/heads/b", "v1"],
            &[format!("{old} {ZERO} refs/heads/b"), format!("{old} {tip} refs/heads/main"), format!("{ZERO} {tip} refs/tags/v1")],
            0,
        ),
        (shallow.path(), &["HEAD:refs/heads/x"], &[format!("{ZERO} {fourth} refs/heads/x")], 1),
    ] {
        let output = command(directory, &[&["push", &*recorder.address], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let body = recorder.body();
        let Ok(Some(Prelude::Commands(list))) = parse(&body) else { panic!("{}", body.escape_ascii()) };
        let updates: Vec<_> = list.updates.iter().map(|update| format!("{} {} {}", update.old, update.new, update.name)).collect();
        assert_eq!((updates.as_slice(), list.shallow.len()), (expected, shallow), "{arguments:?}");
        assert_eq!(list.to_bytes().escape_ascii().to_string(), body[..list.length].escape_ascii().to_string());
        assert_eq!(body[list.length..].starts_with(b"PACK"), list.has_pack(), "{arguments:?}");
    }
}

#[test]
fn before_a_long_push_git_sends_a_probe() {
    let target = Target::new();
    let work = work(&target);
    let recorder = Recorder::new(refuse(advertisement(target.path())));
    // What does not get smaller by compression.
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::fs::write(work.path().join("long"), (0..50_000).flat_map(|_| next()).collect::<Vec<_>>()).unwrap();
    git(work.path(), &["add", "long"]);
    git(work.path(), &["commit", "--quiet", "-m", "long"]);
    let output =
        command(work.path(), &["-c", "http.postBuffer=65536", "push", &recorder.address, "HEAD:refs/heads/main"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(recorder.body(), b"0000");
    let body = recorder.body();
    let Ok(Some(Prelude::Commands(list))) = parse(&body) else { panic!("{}", body[..200].escape_ascii()) };
    assert_eq!((list.updates.len(), list.has_pack(), body.len() > 200_000), (1, true, true));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(" ! [remote rejected] HEAD -> main (policy: not this one)"), "{text}");
}

/// Lines up to the first flush, each with the octets that follow it.
fn lines(mut rest: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut lines = Vec::new();
    loop {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..4]).unwrap(), 16).unwrap();
        if length == 0 {
            return lines;
        }
        lines.push((&rest[4..length], &rest[length..]));
        rest = &rest[length..];
    }
}

/// The capabilities of an advertisement, and everything else that stands in it.
fn capabilities(service: Service, answer: &[u8]) -> (Vec<String>, Vec<u8>) {
    let banner = format!("{}0000", line(&format!("# service={service}\n")));
    let (before, rest) = match answer.strip_prefix(banner.as_bytes()) {
        Some(rest) => (banner.as_bytes(), rest),
        None => (&b""[..], answer),
    };
    let lines = lines(rest);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    if lines[0].0 == b"version 2\n" {
        let words = lines[1..].iter().flat_map(|(line, _)| {
            let line = text(line.strip_suffix(b"\n").unwrap());
            // Each word of what fetching can do is a capability of its own.
            let words = line.strip_prefix("fetch=").map(|words| words.split(' ').map(|word| format!("fetch={word}")).collect());
            words.unwrap_or_else(|| vec![line])
        });
        let behind = lines.last().unwrap().1;
        return (words.collect(), [before, lines[0].0, behind].concat());
    }
    let (first, behind) = *lines.iter().find(|(line, _)| line.contains(&0)).unwrap();
    let (reference, words) = first.split_at(first.iter().position(|byte| *byte == 0).unwrap());
    let words = text(words).trim_matches(['\0', '\n']).split(' ').map(str::to_owned).collect();
    let version = if lines[0].0 == b"version 1\n" { lines[0].0 } else { b"" };
    (words, [before, version, reference, behind].concat())
}

/// A repository that offers whatever a git may.
fn generous(arguments: &[&str]) -> Target {
    let target = Target::of(arguments);
    let [id, _] = &target.commits;
    for (key, value) in [
        ("transfer.advertiseSID", "true"),
        ("uploadpack.allowFilter", "true"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("uploadpack.advertiseBundleURIs", "true"),
        ("uploadpack.blobPackfileUri", &format!("{id} {id} https://example.com")),
    ] {
        git(target.path(), &["config", key, value]);
    }
    target
}

#[test]
fn of_what_git_advertises_only_capabilities_are_taken_out() {
    let (sha1, sha256) = (generous(&[]), generous(&["--object-format=sha256"]));
    let empty = generous(&[]);
    for name in ["refs/heads/main", "refs/heads/a", "refs/heads/b"] {
        git(empty.path(), &["update-ref", "-d", name]);
    }
    let push = &["push-cert", "push-options", "session-id"][..];
    let fetch_2 = &["bundle-uri", "fetch=packfile-uris", "session-id"];
    for (target, service, version, expected) in [
        (&sha1, Service::ReceivePack, "0", push),
        (&sha1, Service::ReceivePack, "1", push),
        (&sha256, Service::ReceivePack, "0", push),
        (&empty, Service::ReceivePack, "0", push),
        (&empty, Service::ReceivePack, "1", push),
        (&sha1, Service::UploadPack, "0", &["session-id"]),
        (&sha1, Service::UploadPack, "1", &["session-id"]),
        (&sha256, Service::UploadPack, "1", &["session-id"]),
        (&empty, Service::UploadPack, "0", &["session-id"]),
        (&sha1, Service::UploadPack, "2", fetch_2),
        (&sha256, Service::UploadPack, "2", fetch_2),
        (&empty, Service::UploadPack, "2", fetch_2),
    ] {
        let came = advertised(target.path(), service, version);
        let ((before, refs), (after, same)) = (capabilities(service, &came), capabilities(service, &read(service, &came)));
        assert_eq!(refs.escape_ascii().to_string(), same.escape_ascii().to_string());
        let mut taken: Vec<_> = before.iter().filter(|word| !after.contains(word)).collect();
        let name = |word: &str| if word.starts_with("fetch=") { word.to_owned() } else { word.split('=').next().unwrap().to_owned() };
        taken.sort();
        assert_eq!(taken.into_iter().map(|word| name(word)).collect::<Vec<_>>(), expected, "{service} {version}: {before:?}");
        let rest: Vec<_> = before.iter().filter(|word| !expected.contains(&&*name(word))).collect();
        assert_eq!(after.iter().collect::<Vec<_>>(), rest, "{service} {version}");
    }
}

/// A `git http-backend` that is asked for version 2 of a push leaves the service out, and no git takes what it says.
#[test]
fn a_push_is_not_advertised_without_its_service() {
    let target = Target::new();
    let answer = advertised(target.path(), Service::ReceivePack, "2");
    let error = AdvertisementReader::new(Service::ReceivePack).read(&answer);
    assert!(matches!(error, Err(AdvertisementError::Service(Service::ReceivePack, _))), "{error:?}");
    let recorder = Recorder::new(refuse(answer));
    let (code, text) = push(work(&target).path(), &recorder.address, &[]);
    assert_eq!((code, text.contains("fatal: invalid server response")), (Some(128), true), "{text}");
}

#[test]
fn git_does_not_push_what_is_not_advertised() {
    let target = Target::new();
    let work = work(&target);
    let written = Recorder::new(refuse(advertisement(target.path())));
    for (argument, message) in [("--push-option=x", "does not support push options"), ("--signed", "does not support --signed push")] {
        let (code, text) = push(work.path(), &written.address, &[argument]);
        assert_eq!((code, text.contains(message)), (Some(1), true), "{text}");
    }
    let (_, text) = push(work.path(), &written.address, &["--atomic"]);
    assert!(text.contains("(policy: not this one)"), "{text}");
}

/// With every version git reads what was written anew, clones by it, and asks for no bundles.
#[test]
fn git_clones_by_what_is_written() {
    let target = generous(&[]);
    for (version, rewritten, bundles) in [("0", true, 0), ("1", true, 0), ("2", true, 0), ("2", false, 1)] {
        let came = advertised(target.path(), Service::UploadPack, version);
        let refs = if rewritten { read(Service::UploadPack, &came) } else { came };
        let path = target.path().to_owned();
        let recorder = Recorder::new(Box::new(move |ask| match ask {
            Ask::Refs => refs.clone(),
            Ask::Post(body) => {
                let mut serve = command(&path, &["upload-pack", "--stateless-rpc", "."]);
                serve.env("GIT_PROTOCOL", format!("version={version}")).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = serve.spawn().unwrap();
                child.stdin.take().unwrap().write_all(body).unwrap();
                child.wait_with_output().unwrap().stdout
            }
        }));
        let into = tempfile::tempdir().unwrap();
        let (version, bundle) = (format!("protocol.version={version}"), "transfer.bundleURI=true");
        git(into.path(), &["-c", &version, "-c", bundle, "clone", "--quiet", "--mirror", &recorder.address, "."]);
        let cloned = git(into.path(), &["for-each-ref", "--format=%(refname) %(objectname)"]);
        assert_eq!(cloned.lines().count(), target.refs.len());
        assert!(target.refs.iter().all(|(name, id)| cloned.contains(&format!("{name} {id}"))), "{cloned}");
        let bodies: Vec<_> = recorder.bodies.try_iter().collect();
        let asks = |body: &Vec<u8>| body.windows(18).any(|part| part == b"command=bundle-uri");
        assert_eq!(bodies.iter().filter(|body| asks(body)).count(), bundles, "{version} {rewritten}");
    }
}

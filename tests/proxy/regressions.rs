//! What once went wrong, so that it does not again.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::harness::{
    Approach, Client, Dns, Ground, Hello, Origin, Setup, Tidegate,
    client::{ask, ask_for, get},
    eventually,
    origin::find,
    program::run,
    script::node,
};

/// A policy that allows `a.test` on the origin's port.
fn allowing(origin: &Origin) -> String {
    format!("allow = [\"{}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n", a_test(origin))
}

fn a_test(origin: &Origin) -> String {
    format!("a.test:{}", origin.port())
}

/// Answers with a body that does not end.
fn endless() -> Origin {
    Origin::scripted(|conversation| {
        if conversation.request().is_some() {
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
            while conversation.stream().write_all(&[b'x'; 16 * 1024]).is_ok() {}
        }
    })
}

/// Takes connections and reads nothing from them.
fn deaf() -> Origin {
    Origin::scripted(|_| {
        loop {
            thread::park();
        }
    })
}

#[test]
fn an_exchange_that_the_new_policy_refuses_ends() {
    let origin = endless();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&origin), dns.address());
    let mut client = Client::connect(gate.proxy());
    client.send(get(&a_test(&origin))).exactly(1000);
    gate.reload("");
    let record = gate.wait_for_record(|record| record["reason"] == "host_not_allowed");
    assert_eq!((&record["kind"], &record["verdict"], &record["host"]), (&"http".into(), &"deny".into(), &"a.test".into()), "{record:#}");
    assert!(client.rest().len() < 64 * 1024 * 1024, "what was under way may still arrive");
}

#[test]
fn a_request_that_waits_for_its_answer_is_told_that_the_policy_changed() {
    let origin = Origin::silent();
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&origin), dns.address());
    let mut client = Client::connect(gate.proxy());
    client.send(get(&a_test(&origin)));
    origin.wait_for(|bytes| bytes.ends_with(b"\r\n\r\n"));
    gate.reload("");
    assert_eq!(client.reply().verdict(), (403, "host_not_allowed"));
    assert_eq!(gate.records().len(), 2, "one when it was allowed, one when it was refused: {}", gate.audit_text());
}

#[test]
fn a_tunnel_ends_with_the_entry_that_allowed_it() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    #[expect(clippy::disallowed_methods, reason = "the program's clock is the machine's")]
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3);
    let entry = format!("{{ host = \"{}\", until = {} }}", a_test(&origin), utc(soon.as_secs()));
    let policy = format!("allow = [{entry}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n");
    let gate = Tidegate::start(policy, dns.address());
    let mut client = Client::tunnel(gate.proxy(), &a_test(&origin)).expect("a tunnel");
    client.send("x").exactly(1);
    client.rest();
    gate.wait_for_record(|record| record["reason"] == "host_not_allowed" && record["bytes_up"] == 1);
}

/// As a policy spells a moment.
fn utc(seconds_since_1970: u64) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{seconds_since_1970}"), "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_tunnel_that_is_cut_off_at_the_end_is_recorded() {
    let origin = Origin::echoing();
    let dns = Dns::loopback();
    for signals in [1, 2] {
        let mut gate = Setup::new(allowing(&origin)).dns(dns.address()).timeout("drain = \"300ms\"").start();
        let mut client = Client::tunnel(gate.proxy(), &a_test(&origin)).expect("a tunnel");
        client.send("four").exactly(4);
        for _ in 0..signals {
            gate.signal("TERM");
            eventually("it is heard", || TcpStream::connect(gate.proxy()).is_err());
        }
        assert!(gate.wait_for_exit().success());
        let ends = gate.records().into_iter().filter(|record| record["bytes_up"] == 4).count();
        assert_eq!(ends, 1, "{}", gate.audit_text());
    }
}

#[test]
fn a_download_that_nobody_reads_ends() {
    let origin = endless();
    let dns = Dns::loopback();
    let gate = Setup::new(allowing(&origin)).dns(dns.address()).timeout("idle = \"300ms\"").start();
    let mut client = Client::connect(gate.proxy());
    client.send(get(&a_test(&origin)));
    origin.wait_for(|bytes| bytes.ends_with(b"\r\n\r\n"));
    eventually("its place is free again", || gate.metric("tidegate_connections{door=\"proxy\"}") == 0);
}

#[test]
fn an_upload_that_nobody_takes_is_answered() {
    let origin = deaf();
    let dns = Dns::loopback();
    let gate = Setup::new(allowing(&origin)).dns(dns.address()).timeout("idle = \"300ms\"").start();
    let mut client = Client::connect(gate.proxy());
    let authority = a_test(&origin);
    client.send(format!("PUT http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 1000000000\r\n\r\n"));
    let mut sending = client.stream().try_clone().unwrap();
    let sender = thread::spawn(move || while sending.write_all(&[0; 16 * 1024]).is_ok() {});
    assert_eq!(client.reply().verdict(), (504, "upstream_timeout"));
    drop(client);
    sender.join().unwrap();
}

#[test]
fn threat_133_records_that_nobody_reads_hold_nothing_up() {
    let dns = Dns::start();
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("records");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let audit = format!("file = {pipe:?}");
    assert!(Setup::new("").dns(dns.address()).audit(&audit).try_start().is_err(), "nobody reads it yet");
    let mut reader = reading(&pipe);
    let mut gate = Setup::new("").dns(dns.address()).audit(&audit).start();
    let long = format!("GET http://a.test/{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(2000));
    for _ in 0..100 {
        assert_eq!(ask(gate.proxy(), &long).status, 403);
    }
    assert!(gate.metric("tidegate_audit_records_total{result=\"refused\"}") > 0, "the pipe is full, and the rest goes on");
    let written = || gate.metric("tidegate_audit_records_total{result=\"written\"}");
    let before = written();
    assert!(reader.read(&mut vec![0; 32 * 1024]).unwrap() > 0);
    assert_eq!(ask(gate.proxy(), &long).status, 403);
    assert!(written() > before, "who reads again is written to again");
    gate.signal("TERM");
    assert!(gate.wait_for_exit().success());
}

/// The reading end of a pipe that has no writer yet.
fn reading(pipe: &Path) -> File {
    const O_NONBLOCK: i32 = 0o4000;
    OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(pipe).unwrap()
}

#[test]
fn an_approval_that_is_not_on_record_is_not_counted() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Setup::new(allowing(&origin)).dns(dns.address()).audit("file = \"/dev/full\"").start();
    assert_eq!(ask_for(gate.proxy(), &a_test(&origin)).verdict(), (503, "audit_unavailable"));
    assert_eq!(gate.metric("tidegate_decisions_total{kind=\"http\",reason=\"\",verdict=\"allow\"}"), 0);
    assert_eq!(gate.metric("tidegate_decisions_total{kind=\"http\",reason=\"audit_unavailable\",verdict=\"error\"}"), 1);
    origin.assert_untouched("nothing is on record");
}

#[test]
fn credentials_that_nobody_asked_for_are_not_looked_at() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Tidegate::start(allowing(&origin), dns.address());
    let authority = a_test(&origin);
    for value in ["Basic Og==", "Digest username=\"x\"", "nonsense"] {
        let request = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: {value}\r\n\r\n");
        assert_eq!(ask(gate.proxy(), request).status, 200, "{value}");
    }
    assert!(!origin.received().to_ascii_lowercase().windows(19).any(|window| window == b"proxy-authorization"));
}

#[test]
fn a_push_over_http_2_whose_body_stands_still_is_given_up() {
    let gate = Setup::new("").tables("[[github]]\nhost = \"github.test\"").timeout("idle = \"1s\"").start();
    let ran = run(node(SILENT_PUSH).arg(gate.proxy().to_string()), "nodejs");
    assert_eq!(ran.stdout, "408 head_timeout\n", "{}", ran.said);
    let record = gate.wait_for_record(|record| record["reason"] == "head_timeout");
    assert_eq!((record["kind"].as_str(), record["repository"].as_str()), (Some("push"), Some("octo/spoon")), "{record:#}");
}

/// Answers every head it reads and knows of no bodies, as simple servers do.
fn bodiless() -> Origin {
    Origin::scripted(|conversation| {
        let mut read = Vec::new();
        while let Some(bytes) = conversation.read() {
            read.extend(bytes);
            while let Some(end) = find(&read, b"\r\n\r\n") {
                let head: Vec<u8> = read.drain(..end + 4).collect();
                conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                if find(&head.to_ascii_lowercase(), b"connection: close\r\n").is_some() {
                    return;
                }
            }
        }
    })
}

#[test]
fn a_body_is_not_read_as_a_request_by_a_server_that_knows_of_no_bodies() {
    let ground = Ground::with(bodiless, "[[rule]]\nhosts = [HOSTS]\nmethods = [\"GET\"]\npaths = [\"/first\"]\n", |setup| setup);
    let inner = "DELETE /second HTTP/1.1\r\nHost: x\r\n\r\n";
    let lengths = [format!("Content-Length: {}", inner.len()), "Transfer-Encoding: chunked".to_owned()];
    for approach in [Approach::Listener, Approach::Tunnel, Approach::Intercepted] {
        let site = ground.site(approach);
        let before = site.origin.connections().len();
        for (length, body) in lengths.iter().zip([inner.to_owned(), format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())]) {
            let reply = site.ask(site.request("GET", length, &body));
            assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{approach:?} {length}");
        }
        assert_eq!(site.ask(site.get("/first")).status, 200);
        let requests = site.origin.connections().split_off(before);
        assert_eq!(requests.len(), 3, "{approach:?}: what had a body carries nothing else: {}", requests.concat().escape_ascii());
        for sent in &requests[..2] {
            assert!(find(&sent.to_ascii_lowercase(), b"connection: close\r\n").is_some(), "{approach:?}: {}", sent.escape_ascii());
        }
    }
}

#[test]
fn report_mode_leads_nobody_past_a_github() {
    let origin = Origin::silent();
    let policy =
        format!("report = true\nallow = [{{ host = \"{}\", tls = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n", a_test(&origin));
    let gate = Setup::new(policy).dns(Dns::loopback().address()).tables("[[github]]\nhost = \"github.test\"").start();
    let a = a_test(&origin);
    for name in ["github.test", "GITHUB.test.", "api.github.test"] {
        let mut client = Client::tunnel(gate.proxy(), &a).expect("a tunnel");
        client.send(Hello::to(name).bytes()).rest();
        gate.wait_for_record(|record| record["reason"] == "misdirected");
        assert!(origin.received().is_empty(), "{name}");
    }
    // What report mode is for goes on.
    let mut client = Client::tunnel(gate.proxy(), &a).expect("a tunnel");
    client.send(Hello::to("other.test").bytes());
    origin.wait_for(|sent| !sent.is_empty());
}

/// Begins a push over HTTP/2 and says no more, while other requests keep the connection busy.
const SILENT_PUSH: &str = r#"
const [http2, net, tls] = ["http2", "net", "tls"].map(require);
const [host, port] = process.argv.at(-1).split(":");
const socket = net.connect(port, host, () => socket.write("CONNECT github.test:443 HTTP/1.1\r\nHost: github.test:443\r\n\r\n"));
socket.once("data", () => {
  const secure = tls.connect({ socket, servername: "github.test", ALPNProtocols: ["h2"], rejectUnauthorized: false }, () => {
    const client = http2.connect("https://github.test", { createConnection: () => secure });
    const headers = { ":path": "/octo/spoon.git/git-receive-pack", "content-type": "application/x-git-receive-pack-request" };
    const push = client.request({ ":method": "POST", ...headers });
    push.on("response", (answer) => { console.log(answer[":status"], answer["x-deny-reason"]); process.exit(); });
    push.on("error", (error) => { console.log(error.code); process.exit(); });
    setInterval(() => client.request({ ":path": "/" }).resume(), 200);
    setTimeout(() => { console.log("nobody gave it up"); process.exit(); }, 15000);
  });
});
"#;

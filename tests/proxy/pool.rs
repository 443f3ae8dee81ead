//! Connections upstream that carry more than one request: for whom, when, and never with another's answer.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::harness::{
    Client, Dns, Nginx, Origin, Pki, Reply, Setup, Tidegate,
    client::get,
    eventually,
    origin::Conversation,
    program::{program, run},
};

const TOKEN_1: &str = "first-token-0123456789abcdef0123456789";
const TOKEN_2: &str = "second-token-0123456789abcdef012345678";

fn policy(port: u16) -> String {
    format!("allow = [{{ host = \"a.test:{port}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n")
}

/// An origin that does with each request what `answer` does, told how many came before it in all; it closes where that is false.
fn counting(answer: impl Fn(&mut Conversation, usize) -> bool + Send + Sync + 'static) -> Origin {
    let asked = AtomicUsize::new(0);
    Origin::scripted(move |conversation| {
        while conversation.request().is_some() {
            if !answer(conversation, asked.fetch_add(1, Ordering::Relaxed)) {
                return;
            }
        }
    })
}

fn saying(conversation: &mut Conversation, text: &str) -> bool {
    conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    true
}

fn request(gate: &Tidegate, origin: &Origin, method: &str, more: &str) -> Reply {
    let authority = format!("a.test:{}", origin.port());
    let mut client = Client::connect(gate.proxy());
    client.send(format!("{method} http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n")).reply_to(method)
}

/// The requests of each connection that the origin has got.
fn requests(origin: &Origin) -> Vec<usize> {
    origin.connections().iter().map(|bytes| bytes.windows(4).filter(|window| window == b"\r\n\r\n").count()).collect()
}

#[test]
fn requests_of_a_session_share_a_connection_and_what_cannot_be_repeated_has_its_own() {
    let (origin, dns) = (counting(|conversation, number| saying(conversation, &number.to_string())), Dns::loopback());
    let gate = Tidegate::start(policy(origin.port()), dns.address());
    for number in 0..3 {
        assert_eq!(request(&gate, &origin, "GET", "").text(), number.to_string());
    }
    assert_eq!(requests(&origin), [3]);
    assert_eq!(request(&gate, &origin, "POST", "Content-Length: 0\r\n").text(), "3");
    assert_eq!(requests(&origin), [3, 1]);
    // One name was resolved, one connection dialled and one head awaited for each that says so.
    assert_eq!(gate.metric("tidegate_connect_seconds_count"), 2, "{}", gate.metrics());
    assert_eq!(gate.metric("tidegate_dns_seconds_count"), 2, "{}", gate.metrics());
    let records = gate.wait_for_records(4);
    assert!(records.iter().all(|record| record["address"] == "127.0.0.1" && record["verdict"] == "allow"), "{records:?}");
}

#[test]
fn threat_68_no_connection_is_shared_between_sessions() {
    let pki = Pki::for_names(&["a.test"]);
    let nginx = Nginx::start(&pki);
    let (plain, secure) = (nginx.http(), nginx.https());
    let rule = format!("[[rule]]\nhosts = [\"a.test:{plain}\", \"a.test:{secure}\"]\npaths = [\"/v1/**\"]\n");
    let policy = format!(
        "allow = [{{ host = \"a.test:{plain}\", http = true }}, {{ host = \"a.test:{secure}\", tls = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{rule}"
    );
    let gate = Setup::new(policy)
        .dns(Dns::loopback().address())
        .listen("require_session = true")
        .tables("[upstream]\nca_file = \"origin-ca.pem\"")
        .file("origin-ca.pem", &std::fs::read_to_string(pki.root()).unwrap())
        .session("s1", TOKEN_1, "")
        .session("s2", TOKEN_2, "")
        .start();
    let curl = |token: &str, url: &str| {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--insecure"]);
        curl.args(["--proxy", &format!("http://x:{token}@{}", gate.proxy())]).arg(url).arg(url);
        let ran = run(&mut curl, "curl");
        assert_eq!(ran.stdout.matches(" HTTP/").count(), 2, "{}{}", ran.stdout, ran.said);
        ran.stdout
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect::<BTreeSet<String>>()
    };
    for url in [format!("http://a.test:{plain}/v1/connection"), format!("https://a.test:{secure}/v1/connection")] {
        let (first, second, first_again) = (curl(TOKEN_1, &url), curl(TOKEN_2, &url), curl(TOKEN_1, &url));
        assert_eq!((first.len(), second.len()), (1, 1), "two requests, one connection: {first:?} {second:?}");
        assert!(first.is_disjoint(&second) && first_again.is_disjoint(&second), "{first:?} {second:?} {first_again:?}");
    }
}

#[test]
fn many_requests_at_once_share_a_connection_of_http_2() {
    let pki = Pki::for_names(&["a.test"]);
    let nginx = Nginx::start(&pki);
    let port = nginx.https();
    let policy = format!(
        "allow = [{{ host = \"a.test:{port}\", tls = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n[[rule]]\nhosts = [\"a.test:{port}\"]\npaths = [\"/v1/**\"]\n"
    );
    let gate = Setup::new(policy)
        .dns(Dns::loopback().address())
        .tables("[upstream]\nca_file = \"origin-ca.pem\"")
        .file("origin-ca.pem", &std::fs::read_to_string(pki.root()).unwrap())
        .start();
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--insecure", "--http2", "--parallel", "--parallel-max", "50"]);
    curl.args(["--proxy", &format!("http://{}", gate.proxy())]).arg(format!("https://a.test:{port}/v1/connection?[1-50]"));
    let ran = run(&mut curl, "curl");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines.len() == 50 && lines.iter().all(|line| line.ends_with("HTTP/2.0")), "{}{}", ran.stdout, ran.said);
    let connections: BTreeSet<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    let tunnels = gate.records().iter().filter(|record| record["kind"] == "connect" && record["verdict"] == "allow").count();
    assert!(connections.len() <= tunnels.max(3), "{} connections for {tunnels} tunnels", connections.len());
    assert!(connections.len() < 25, "{}", connections.len());
}

#[test]
fn threat_67_what_was_aborted_is_not_used_again() {
    let dns = Dns::loopback();
    let origin = counting(|conversation, number| {
        if number == 0 {
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly a part");
            return conversation.read().is_some();
        }
        saying(conversation, "whole")
    });
    let gate = Tidegate::start(policy(origin.port()), dns.address());
    let authority = format!("a.test:{}", origin.port());
    // A download that the client gives up.
    let mut client = Client::connect(gate.proxy());
    client.send(get(&authority));
    let head = client.exactly(15);
    assert_eq!(head, b"HTTP/1.1 200 OK");
    drop(client);
    assert_eq!(request(&gate, &origin, "GET", "").text(), "whole");
    assert_eq!(requests(&origin), [1, 1]);
    // An upload that breaks off: what came before it on the connection is no matter.
    let mut client = Client::connect(gate.proxy());
    client.send(format!("POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 10\r\n\r\n12345"));
    origin.wait_for(|bytes| bytes.ends_with(b"12345"));
    drop(client);
    assert_eq!(request(&gate, &origin, "GET", "").text(), "whole");
    assert_eq!(requests(&origin), [1, 2, 1]);
}

#[test]
fn threats_65_and_66_what_follows_an_answer_is_never_the_next_one() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (method, first) in [
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst{evil}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n{evil}")),
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nfirst".to_owned()),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfirst".to_owned()),
    ] {
        let (sent, dns) = (first.clone(), Dns::loopback());
        let origin = counting(move |conversation, number| {
            if number == 0 {
                conversation.send(sent.as_bytes());
                return true;
            }
            saying(conversation, "second")
        });
        let gate = Tidegate::start(policy(origin.port()), dns.address());
        let answer = request(&gate, &origin, method, "");
        assert!(answer.text().is_empty() || answer.text() == "first", "{method} {first:?}: {}", answer.text());
        assert_eq!(request(&gate, &origin, "GET", "").text(), "second", "{method} {first:?}");
        assert_eq!(requests(&origin), [1, 1], "{method} {first:?}");
    }
}

#[test]
fn an_answer_that_comes_while_nobody_asks_closes_the_connection() {
    let dns = Dns::loopback();
    let origin = counting(|conversation, number| {
        saying(conversation, &number.to_string());
        if number == 0 {
            // Late, so that the answer before it was taken as whole.
            std::thread::sleep(std::time::Duration::from_millis(100));
            saying(conversation, "evil");
            return conversation.read().is_some();
        }
        true
    });
    let gate = Tidegate::start(policy(origin.port()), dns.address());
    assert_eq!(request(&gate, &origin, "GET", "").text(), "0");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(request(&gate, &origin, "GET", "").text(), "1");
    assert_eq!(requests(&origin), [1, 1]);
}

#[test]
fn a_request_that_meets_the_end_of_its_connection_is_repeated_once_if_it_may_be() {
    let dns = Dns::loopback();
    // Each connection answers once, and closes when it is asked again.
    let origin = Origin::scripted(|conversation| {
        if conversation.request().is_some() {
            saying(conversation, "answered");
            let _ = conversation.request();
        }
    });
    let gate = Tidegate::start(policy(origin.port()), dns.address());
    for _ in 0..2 {
        assert_eq!(request(&gate, &origin, "GET", "").text(), "answered");
    }
    assert_eq!(requests(&origin), [2, 1], "asked twice, answered on a connection of its own");
    assert_eq!(request(&gate, &origin, "DELETE", "").text(), "answered");
    assert_eq!(request(&gate, &origin, "POST", "Content-Length: 0\r\n").text(), "answered", "it has a connection of its own at once");
}

#[test]
fn a_connection_ends_with_the_policy_that_admitted_it() {
    let (origin, dns) = (counting(|conversation, number| saying(conversation, &number.to_string())), Dns::loopback());
    let gate = Tidegate::start(policy(origin.port()), dns.address());
    assert_eq!(request(&gate, &origin, "GET", "").text(), "0");
    gate.reload(&policy(origin.port()).replace("127.0.0.0/8", "127.0.0.2/32"));
    assert_eq!(request(&gate, &origin, "GET", "").verdict(), (403, "address_not_allowed"));
    gate.reload(&policy(origin.port()));
    assert_eq!(request(&gate, &origin, "GET", "").text(), "1");
    assert_eq!(requests(&origin), [1, 1]);
}

#[test]
fn a_connection_that_waits_too_long_is_closed() {
    let dns = Dns::loopback();
    let closed = std::sync::Arc::new(AtomicUsize::new(0));
    let tell = std::sync::Arc::clone(&closed);
    let origin = Origin::scripted(move |conversation| {
        while conversation.request().is_some() {
            saying(conversation, "answered");
        }
        tell.fetch_add(1, Ordering::Relaxed);
    });
    let gate = Setup::new(policy(origin.port())).dns(dns.address()).timeout("keep_alive = \"200ms\"").start();
    assert_eq!(request(&gate, &origin, "GET", "").text(), "answered");
    eventually("nobody asks again", || closed.load(Ordering::Relaxed) == 1);
}

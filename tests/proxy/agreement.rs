//! `tidegate check` and the wire say the same about ten thousand destinations.

use std::{process::Command, thread};

use serde_json::Value;

use crate::harness::{Client, Dns, Origin, Reply, Setup, Tidegate, tidegate::TIDEGATE};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// One question, as the command and as the wire are asked.
#[derive(Debug, Clone)]
struct Question {
    /// Whether it is a tunnel; otherwise a request in absolute-form.
    connect: bool,
    authority: String,
}

impl Question {
    fn target(&self) -> String {
        if self.connect { self.authority.clone() } else { format!("http://{}/", self.authority) }
    }

    fn request(&self) -> String {
        let Self { connect, authority } = self;
        let host = authority.split(['/', '?']).next().unwrap_or_default();
        if *connect {
            format!("CONNECT {authority} HTTP/1.1\r\n\r\n")
        } else {
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
        }
    }
}

fn questions(count: usize, port: u16) -> Vec<Question> {
    let mut dice = Dice(0x7469_6465_6761_7465);
    (0..count).map(|_| Question { connect: dice.below(2) == 0, authority: authority(&mut dice, port) }).collect()
}

fn authority(dice: &mut Dice, port: u16) -> String {
    let mut host = match dice.below(10) {
        0 => dice.one_of(ADDRESSES).to_owned(),
        1 => (0..4).map(|_| dice.below(300).to_string()).collect::<Vec<_>>().join("."),
        2..6 => (0..dice.below(3))
            .map(|_| dice.one_of(LABELS))
            .collect::<Vec<_>>()
            .into_iter()
            .chain([dice.one_of(SUFFIXES)])
            .collect::<Vec<_>>()
            .join("."),
        _ => (0..=dice.below(4)).map(|_| dice.one_of(LABELS)).collect::<Vec<_>>().join("."),
    };
    match dice.below(12) {
        0 => host = host.to_uppercase(),
        1 => host.push('.'),
        2 => {
            let places: Vec<usize> = host.char_indices().map(|(at, _)| at).chain([host.len()]).collect();
            host.insert_str(places[dice.below(places.len())], dice.one_of(ODDITIES));
        }
        _ => {}
    }
    let port = match dice.below(6) {
        0 => dice.one_of(PORTS).to_owned(),
        _ => format!(":{port}"),
    };
    host + &port
}

const LABELS: &[&str] = &[
    "a",
    "b",
    "test",
    "allowed",
    "wild",
    "both",
    "bad",
    "evil",
    "glob",
    "api-1",
    "api-",
    "api",
    "localhost",
    "default",
    "xn--bcher-kva",
    "com",
    "_x",
    "metadata",
    "google",
    "internal",
    "0x1",
    "7",
];
const SUFFIXES: &[&str] = &[
    "allowed.test",
    "wild.test",
    "bad.wild.test",
    "both.test",
    "bad.both.test",
    "glob.test",
    "api-1.glob.test",
    "a.test",
    "evil.test",
    "default.test",
    "xn--bcher-kva.test",
    "localhost",
    "metadata.google.internal",
];
const ADDRESSES: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "10.0.0.1",
    "8.8.8.8",
    "0.0.0.0",
    "169.254.169.254",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[2001:db8::1]",
    "[fe80::1%25lo]",
    "[127.0.0.1]",
    "2130706433",
    "0x7f.1",
    "127.1",
    "[]",
    "",
];
const ODDITIES: &[&str] =
    &["-", ".", "..", "%", "*", "@", ":", "[", "]", "/", "?", "\\", "\u{ad}", "é", "_", " ", "\t", "x", "0", "$", "\""];
const PORTS: &[&str] = &["", ":", ":0", ":1", ":22", ":80", ":443", ":65535", ":65536", ":080", ":+80", ":80:80", ":x"];

fn policy(port: u16) -> String {
    format!(
        r#"
        allow = [
            "allowed.test:{port}", "*.wild.test:{port}", "**.both.test:{port}", "api-*.glob.test:*", "a.test:{port}", "*.a.test:*", "default.test",
            "127.0.0.1:{port}", "{{IPV6}}", "xn--bcher-kva.test:{port}",
        ]
        deny = ["bad.wild.test:*", "**.bad.both.test:*", "evil.test:{port}"]
        [addresses]
        allow = ["127.0.0.0/8"]
        [limits]
        connections = 100000
        tunnels = 100000
        new_connections_per_second = 1000000
        requests_per_second = 1000000
        "#
    )
    .replace("{IPV6}", &format!("[2001:db8::1]:{}", port + 1))
}

/// Verdict and reason of every target, as the command has them.
fn ask_command(gate: &Tidegate, questions: &[Question]) -> Vec<String> {
    let mut verdicts = Vec::new();
    for some in questions.chunks(2000) {
        let mut command = Command::new(TIDEGATE);
        command
            .args(["check", "url", "--json", "--policy"])
            .arg(gate.path("policy.toml"))
            .arg("--")
            .args(some.iter().map(Question::target));
        let output = command.output().expect("tidegate check");
        assert_eq!(output.status.code(), Some(1), "some are refused: {}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).expect("text").lines() {
            let answer: Value = serde_json::from_str(line).expect("a JSON object a line");
            verdicts.push(answer["reason"].as_str().unwrap_or(answer["verdict"].as_str().expect("a verdict")).to_owned());
        }
    }
    verdicts
}

/// Verdict and reason of every target, as the wire has them. What is allowed and then cannot be dialled was allowed.
fn ask_wire(gate: &Tidegate, questions: &[Question]) -> Vec<String> {
    thread::scope(|scope| {
        let threads: Vec<_> = questions.chunks(questions.len().div_ceil(4)).map(|some| scope.spawn(|| ask_in_turn(gate, some))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("answers")).collect()
    })
}

fn ask_in_turn(gate: &Tidegate, questions: &[Question]) -> Vec<String> {
    let mut open: Option<Client> = None;
    let mut verdicts = Vec::new();
    for question in questions {
        let mut client = open.take().unwrap_or_else(|| Client::connect(gate.proxy()));
        let method = if question.connect { "CONNECT" } else { "GET" };
        let reply = client.send(question.request()).reply_to(method);
        verdicts.push(verdict(question, &reply));
        let over = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        open = (!question.connect && !over).then_some(client);
    }
    verdicts
}

fn verdict(question: &Question, reply: &Reply) -> String {
    match (reply.status, reply.reason()) {
        (200, "") | (502, "connect_failed") | (504, "upstream_timeout") => "allow".into(),
        (400.., reason) if !reason.is_empty() => reason.into(),
        other => panic!("{question:?}: {other:?} {}", reply.text()),
    }
}

#[test]
fn check_and_the_wire_agree_on_ten_thousand_destinations() {
    let origin = Origin::saying("from the origin");
    let dns = Dns::loopback();
    let gate = Setup::new(policy(origin.port())).dns(dns.address()).timeout("connect = \"1s\"").start();
    let questions = questions(10_000, origin.port());
    let (checked, answered) = (ask_command(&gate, &questions), ask_wire(&gate, &questions));
    assert_eq!((checked.len(), answered.len()), (questions.len(), questions.len()));
    let differ: Vec<String> = (questions.iter().zip(checked.iter().zip(&answered)))
        .filter(|(question, (checked, answered))| checked != answered && !is_a_matter_of_form(question))
        .map(|(question, (checked, answered))| format!("{question:?}: check says {checked}, the wire {answered}"))
        .collect();
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ[..differ.len().min(40)].join("\n"));
    for reason in
        ["allow", "bad_request", "host_denied", "host_not_allowed", "ip_literal_not_allowed", "port_not_allowed", "address_not_allowed"]
    {
        let count = answered.iter().filter(|answer| *answer == reason).count();
        assert!(count >= 20, "only {count} of {reason}, which proves little");
    }
}

/// A port may be left out for the command, which takes 443, and not in CONNECT; and a target that holds what only a shell
/// or a URL could mean is read by the command as that.
fn is_a_matter_of_form(question: &Question) -> bool {
    let after_brackets = question.authority.rsplit(']').next().unwrap_or_default();
    question.connect && (!after_brackets.contains(':') || question.authority.contains("://"))
}

#[test]
fn exit_codes_of_check() {
    let dns = Dns::start();
    let gate = Tidegate::start("allow = [\"a.test\"]", dns.address());
    let check = |policy: &str, targets: &[&str]| {
        Command::new(TIDEGATE)
            .args(["check", "url", "--policy"])
            .arg(gate.path(policy))
            .args(targets)
            .output()
            .expect("tidegate check")
            .status
            .code()
    };
    assert_eq!(check("policy.toml", &["https://a.test/", "http://a.test/", "a.test:443"]), Some(0));
    assert_eq!(check("policy.toml", &["https://a.test/", "https://b.test/"]), Some(1));
    assert_eq!(check("policy.toml", &["https://a..test/"]), Some(1));
    assert_eq!(check("missing.toml", &["https://a.test/"]), Some(2));
    assert_eq!(dns.asked(), [], "to ask is not to resolve");
}

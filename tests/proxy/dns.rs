//! Names that are asked for: which get an address, which are refused and why, and that nobody else ever hears of them.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use serde_json::Value;

use crate::harness::{
    Dns, PATIENCE, Setup, Tidegate,
    client::ask,
    eventually,
    program::{Ran, program, run},
};

const POLICY: &str = "allow = [\"a.test\", \"*.wild.test\", \"db.test:5432\", \"*.git.test\"]\ndeny = [\"bad.wild.test\"]";

/// A gate with a door for names, and the name server behind it, which must never hear of any.
fn ground(policy: &str) -> (Tidegate, Dns) {
    let dns = Dns::loopback();
    let gate = setup(policy, &dns).start();
    (gate, dns)
}

fn setup(policy: &str, dns: &Dns) -> Setup {
    Setup::new(policy).dns(dns.address()).listen("dns = \"127.0.0.1:0\"")
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(format!("{name}.")).expect("a name"), kind));
    query.set_edns(Edns::new());
    query
}

/// The answer of the door by UDP; none within half a second is none.
#[track_caller]
fn datagram(door: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(door).expect("a peer, so that only its answers are taken");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.send(message).expect("a query");
    // What gets no answer is shown by the answer to what follows it.
    socket.send(&query(FENCE, RecordType::A).to_vec().expect("a query")).expect("a query");
    let mut buffer = [0; 2048];
    let mut next = || {
        let length = socket.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    };
    let first = next();
    if is_fence(&first) {
        return None;
    }
    assert!(is_fence(&next()), "one answer to one query");
    Some(first)
}

fn is_fence(answer: &[u8]) -> bool {
    Message::from_vec(answer).is_ok_and(|answer| answer.queries.first().is_some_and(|query| query.name.to_ascii() == format!("{FENCE}.")))
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("it fits").to_be_bytes(), message].concat()
}

fn connect(door: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(door).expect("the door accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The next answer on a connection.
#[track_caller]
fn next(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).expect("a whole answer");
    answer
}

/// The answer to one question, which is the same by UDP and by TCP.
#[track_caller]
fn resolve(gate: &Tidegate, name: &str, kind: RecordType) -> Message {
    let door = gate.listener("dns");
    let message = query(name, kind).to_vec().expect("a query");
    let by_udp = datagram(door, &message).expect("an answer");
    let mut stream = connect(door);
    stream.write_all(&framed(&message)).expect("a query");
    assert_eq!(next(&mut stream), by_udp);
    Message::from_vec(&by_udp).expect("a message")
}

/// The one address of an answer; what came instead where there is none.
#[track_caller]
fn address(answer: &Message) -> IpAddr {
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 1), "{answer}");
    answer.answers[0].data.ip_addr().expect("an address")
}

/// The text of the extended error 15 of an answer that refuses.
#[track_caller]
fn refusal(answer: &Message) -> String {
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::Refused, 0), "{answer}");
    let edns = answer.edns.as_ref().expect("EDNS");
    let option = Vec::try_from(edns.option(15.into()).expect("an extended error")).expect("octets");
    assert_eq!(option[..2], [0, 15], "Blocked");
    String::from_utf8(option[2..].to_vec()).expect("UTF-8")
}

/// What a record says of a name: the name, the question's type, the verdict and its reason.
fn said(record: &Value) -> [Option<&str>; 4] {
    ["host", "method", "verdict", "reason"].map(|field| record[field].as_str())
}

/// The records without those of fences.
fn records(gate: &Tidegate) -> Vec<Value> {
    gate.records().into_iter().filter(|record| record["host"] != FENCE).collect()
}

fn dig(gate: &Tidegate, arguments: &[&str]) -> Ran {
    let door = gate.listener("dns");
    let mut dig = program("dig");
    dig.args([&format!("@{}", door.ip()), "-p", &door.port().to_string(), "+tries=1", "+time=10"]).args(arguments);
    run(&mut dig, "bind9-dnsutils")
}

#[test]
fn an_allowed_name_has_one_address_of_each_family_and_nobody_else_is_asked() {
    let (gate, dns) = ground(POLICY);
    let four = address(&resolve(&gate, "A.tesT", RecordType::A));
    let six = address(&resolve(&gate, "a.test", RecordType::AAAA));
    assert!(matches!(four, IpAddr::V4(four) if four.octets()[..2] == [198, 18]), "{four}");
    assert!(matches!(six, IpAddr::V6(six) if six.segments()[..4] == [0xfd61, 0x4c6b, 0x3f61, 0x4c72]), "{six}");
    let edns = resolve(&gate, "a.test", RecordType::A).edns.expect("EDNS");
    assert_eq!(edns.options().options, [], "no error where there is none");
    assert_ne!(address(&resolve(&gate, "b.wild.test", RecordType::A)), four);
    assert_ne!(address(&resolve(&gate, "db.test", RecordType::A)), four);
    assert_eq!(address(&resolve(&gate, "a.test", RecordType::A)), four, "the same for as long as the session lasts");
    let record = &records(&gate)[0];
    assert_eq!(said(record), [Some("a.test"), Some("A"), Some("allow"), None]);
    assert_eq!(
        (&record["door"], &record["kind"], &record["port"], &record["address"]),
        (&"dns".into(), &"dns".into(), &Value::Null, &Value::Null)
    );
    assert!(record["rule"].as_str().is_some_and(|rule| rule.starts_with("a.test (")), "{record:#}");
    assert_eq!(records(&gate).len(), 12, "one for each question, by UDP and by TCP");
    assert_eq!(dns.asked(), []);
}

#[test]
fn threat_29_a_refused_name_is_refused_with_its_reason_and_goes_nowhere() {
    let (gate, dns) = ground(POLICY);
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ.evil.test";
    let answer = resolve(&gate, secret, RecordType::A);
    assert!(refusal(&answer).starts_with(&format!("host_not_allowed: {} is not on the list of ", secret.to_ascii_lowercase())), "{answer}");
    let answer = resolve(&gate, "bad.wild.test", RecordType::AAAA);
    assert!(refusal(&answer).starts_with("host_denied: bad.wild.test"), "{answer}");
    assert!(refusal(&resolve(&gate, "metadata.google.internal", RecordType::A)).starts_with("address_not_allowed: "));
    let records = records(&gate);
    assert_eq!(said(&records[0]), [Some(&*secret.to_ascii_lowercase()), Some("A"), Some("deny"), Some("host_not_allowed")]);
    assert_eq!(said(&records[2]), [Some("bad.wild.test"), Some("AAAA"), Some("deny"), Some("host_denied")]);
    assert!(records[2]["rule"].as_str().is_some_and(|rule| rule.starts_with("bad.wild.test (")), "{records:#?}");
    assert_eq!(said(&records[4]), [Some("metadata.google.internal"), Some("A"), Some("deny"), Some("address_not_allowed")]);
    assert_eq!(dns.asked(), []);
    let page = ask(gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n").text();
    let page: Vec<Value> = serde_json::from_str(&page).expect("a list");
    let shown = page.iter().find(|refusal| refusal["host"] == *secret.to_ascii_lowercase()).expect("it stands on the session's page");
    assert_eq!((&shown["reason"], &shown["port"], &shown["method"]), (&"host_not_allowed".into(), &Value::Null, &"A".into()));
    assert_eq!(shown["allow_with"], format!("allow = [\"{}\"]", secret.to_ascii_lowercase()));
    assert_eq!(gate.metric("tidegate_decisions_total{kind=\"dns\",reason=\"host_not_allowed\",verdict=\"deny\"}"), 2);
}

#[test]
fn the_level_none_knows_the_control_plane_alone_and_full_any_name() {
    let (gate, _) = ground("access = \"none\"\nallow = [\"a.test\"]\ncontrol_plane = [\"plane.test\"]");
    address(&resolve(&gate, "plane.test", RecordType::A));
    assert!(refusal(&resolve(&gate, "a.test", RecordType::A)).starts_with("network_disabled: "));
    gate.reload("access = \"full\"\ndeny = [\"evil.test\"]");
    address(&resolve(&gate, "any.other.test", RecordType::A));
    assert!(refusal(&resolve(&gate, "evil.test", RecordType::A)).starts_with("host_denied: "));
}

#[test]
fn report_mode_answers_and_records_what_it_would_have_refused() {
    let (gate, dns) = ground("report = true\ndeny = [\"evil.test\"]");
    address(&resolve(&gate, "evil.test", RecordType::A));
    let record = &records(&gate)[0];
    assert_eq!((said(record), &record["would_deny"]), ([Some("evil.test"), Some("A"), Some("allow"), None], &"host_denied".into()));
    assert_eq!(dns.asked(), []);
    let audit = gate.path("audit.jsonl");
    let mut suggest = program(crate::harness::tidegate::TIDEGATE);
    let suggested = run(suggest.args(["policy", "suggest"]).arg(audit), "tidegate");
    assert!(suggested.success, "records of names can be learned from: {}", suggested.said);
}

/// RFC 6761, section 6.3, and the hosts that no policy decides about.
#[test]
fn names_of_this_machine_of_our_pages_and_of_a_github_are_answered_at_every_level() {
    let dns = Dns::loopback();
    let github = "[[github]]\nhost = \"git.test\"\ngit_url = \"https://127.0.0.1:9\"";
    let gate = setup("access = \"none\"", &dns).tables(github).start();
    for name in ["localhost", "db.localhost"] {
        assert_eq!(address(&resolve(&gate, name, RecordType::A)).to_string(), "127.0.0.1");
        assert_eq!(address(&resolve(&gate, name, RecordType::AAAA)).to_string(), "::1");
    }
    for name in ["tidegate.internal", "git.test", "api.git.test", "uploads.git.test", "gist.git.test"] {
        assert!(address(&resolve(&gate, name, RecordType::A)).to_string().starts_with("198.18."), "{name}");
    }
    assert!(refusal(&resolve(&gate, "www.git.test", RecordType::A)).starts_with("network_disabled: "));
    assert_eq!(dns.asked(), []);
}

/// egress.md C2: nothing that would lead a client to encrypt its `ClientHello`.
#[test]
fn threat_31_other_types_of_an_allowed_name_are_empty_and_of_others_refused() {
    let (gate, dns) = ground(POLICY);
    for kind in [16, 10, 255, 252, 251, 65, 64, 15, 33, 5, 2, 6, 12, 48, 257].map(RecordType::from) {
        let answer = resolve(&gate, "a.test", kind);
        assert_eq!((answer.metadata.response_code, answer.all_sections().count()), (ResponseCode::NoError, 0), "{answer}");
        assert!(refusal(&resolve(&gate, "evil.test", kind)).starts_with("host_not_allowed: "));
    }
    assert_eq!(dns.asked(), []);
}

#[test]
fn dig_reads_the_answers_and_the_reasons() {
    let (gate, dns) = ground(POLICY);
    for way in ["+notcp", "+tcp"] {
        let ran = dig(&gate, &[way, "+short", "a.test", "A"]);
        assert!(ran.success && ran.stdout.starts_with("198.18."), "{}", ran.said);
        let ran = dig(&gate, &[way, "evil.test", "AAAA"]);
        assert!(
            ran.said.contains("status: REFUSED") && ran.said.contains("EDE: 15 (Blocked): (host_not_allowed: evil.test is not"),
            "{}",
            ran.said
        );
        let ran = dig(&gate, &[way, "a.test", "HTTPS"]);
        assert!(ran.said.contains("status: NOERROR") && ran.said.contains("ANSWER: 0"), "{}", ran.said);
        assert!(!ran.said.contains("WARNING"), "{}", ran.said);
    }
    for (arguments, status) in [
        (&["+edns=1", "+noednsneg", "a.test"][..], "status: BADVERS"),
        (&["+opcode=notify", "a.test"], "status: NOTIMP"),
        (&["+noedns", "evil.test"], "status: REFUSED"),
        (&["+subnet=192.0.2.0/24", "+dnssec", "+nsid", "+cookie", "a.test"], "status: NOERROR"),
        (&["-c", "CH", "version.bind", "TXT"], "status: REFUSED"),
        (&["+qr", "a.test", "AXFR"], "Transfer failed"),
    ] {
        let ran = dig(&gate, arguments);
        assert!(ran.said.contains(status), "{arguments:?}: {}", ran.said);
    }
    let ran = dig(&gate, &["+tcp", "+keepopen", "a.test", "b.wild.test", "+short"]);
    assert_eq!(ran.stdout.lines().count(), 2, "two questions on one connection: {}", ran.said);
    assert_eq!(dns.asked(), []);
}

#[test]
fn threat_32_what_is_no_query_gets_no_answer_and_what_is_malformed_no_address() {
    let (gate, dns) = ground(POLICY);
    let door = gate.listener("dns");
    let good = query("a.test", RecordType::A).to_vec().expect("a query");
    let mut response = good.clone();
    response[2] |= 0x80;
    let mut looped = good[..12].to_vec();
    looped.extend([0xc0, 12, 0, 1, 0, 1]);
    looped[11] = 0;
    let mut two = good.clone();
    two[5] = 2;
    let trailing = [&good[..], &[0; 7]].concat();
    let long = [&good[..], &[0; 5000]].concat();
    assert_eq!([datagram(door, &response), datagram(door, b""), datagram(door, &good[..11])], [None, None, None]);
    for (what, message) in
        [("loop", looped), ("two questions", two), ("trailing octets", trailing), ("cut", good[..20].to_vec()), ("long", long)]
    {
        let answer = Message::from_vec(&datagram(door, &message).expect("an answer")).expect("a message");
        assert_eq!((answer.metadata.id, answer.metadata.response_code), (4711, ResponseCode::FormErr), "{what}");
        assert_eq!(answer.answers.len(), 0, "{what}");
    }
    let records = records(&gate);
    assert_eq!(records.len(), 5, "what gets no answer is not recorded: {records:#?}");
    for record in &records {
        assert_eq!(said(record), [None, None, Some("deny"), Some("bad_request")], "{record:#}");
        assert_eq!(record["session"], "anonymous");
    }
    assert!(refusal(&resolve(&gate, "*.wild.test", RecordType::A)).starts_with("bad_request: "));
    assert!(refusal(&resolve(&gate, "10.0.0.1", RecordType::A)).starts_with("bad_request: "));
    address(&resolve(&gate, "a.test", RecordType::A));
    assert_eq!(dns.asked(), []);
}

/// The case of letters is a client's guard against forged answers, so it comes back as it was sent.
#[test]
fn threat_32_the_case_of_a_question_comes_back() {
    let (gate, _) = ground(POLICY);
    let answer = resolve(&gate, "A.TesT", RecordType::A);
    assert_eq!((answer.queries[0].name.to_ascii(), answer.answers[0].name.to_ascii()), ("A.TesT.".into(), "A.TesT.".into()));
}

#[test]
fn threat_30_names_are_asked_for_no_faster_than_the_limit() {
    let (gate, dns) = ground(&format!("{POLICY}\n[limits]\ndns_queries_per_second = 1"));
    let door = gate.listener("dns");
    let mut stream = connect(door);
    let answers: Vec<_> = (0..6)
        .map(|number| {
            let message = query(&format!("data{number}.wild.test"), RecordType::A);
            stream.write_all(&framed(&message.to_vec().expect("a query"))).expect("a query");
            Message::from_vec(&next(&mut stream)).expect("a message")
        })
        .collect();
    for answer in &answers[..4] {
        address(answer);
    }
    let late = answers.iter().find(|answer| answer.metadata.response_code == ResponseCode::Refused).expect("one is over the rate");
    assert!(refusal(late).starts_with("rate_limited: A limit of this session was met: dns_queries_per_second of [limits]"), "{late}");
    let refused = gate.wait_for_record(|record| record["reason"] == "rate_limited");
    assert_eq!((&refused["kind"], &refused["door"], &refused["verdict"]), (&"dns".into(), &"dns".into(), &"deny".into()));
    let page: Vec<Value> = serde_json::from_slice(&ask(gate.proxy(), "GET /refusals HTTP/1.1\r\nHost: x\r\n\r\n").body).expect("a list");
    assert_eq!((&page[0]["reason"], &page[0]["allow_with"]), (&"rate_limited".into(), &Value::Null));
    assert!(page[0]["host"].as_str().is_some_and(|host| host.ends_with(".wild.test")), "{page:#?}");
    assert!(gate.metric("tidegate_limited_total{limit=\"dns_queries_per_second\"}") >= 1);
    assert_eq!(dns.asked(), []);
}

/// Most names are forgotten again, and a session that asks for ever more has no more than its share of memory.
#[test]
fn threat_30_a_session_has_addresses_for_4096_names_and_the_oldest_give_way() {
    let (gate, dns) = ground(&format!("{POLICY}\n[limits]\ndns_queries_per_second = 1000000"));
    let mut stream = connect(gate.listener("dns"));
    let mut lend = |name: &str| {
        stream.write_all(&framed(&query(name, RecordType::A).to_vec().expect("a query"))).expect("a query");
        address(&Message::from_vec(&next(&mut stream)).expect("a message"))
    };
    let first = lend("a.test");
    for number in 0..4095 {
        lend(&format!("n{number}.wild.test"));
    }
    assert_eq!(lend("a.test"), first);
    assert_ne!(lend("one.more.wild.test"), first);
    assert_eq!(lend("a.test"), first, "another one was used longer ago");
    assert_eq!(dns.asked(), []);
}

#[test]
fn a_connection_that_stands_still_is_closed_and_so_is_one_that_is_out_of_frame() {
    let dns = Dns::loopback();
    let gate = setup(POLICY, &dns).timeout("head = \"300ms\"").timeout("keep_alive = \"300ms\"").start();
    let door = gate.listener("dns");
    let is_closed = |mut stream: TcpStream| stream.read(&mut [0; 1]).expect("an end") == 0;
    assert!(is_closed(connect(door)), "nothing was asked");
    let mut slow = connect(door);
    slow.write_all(&[0, 30, 1]).expect("a beginning");
    assert!(is_closed(slow), "a query that does not end");
    let late = gate.wait_for_record(|record| record["reason"] == "head_timeout");
    assert_eq!((&late["door"], &late["kind"], &late["session"]), (&"dns".into(), &"dns".into(), &"anonymous".into()));
    let mut idle = connect(door);
    idle.write_all(&framed(&query("a.test", RecordType::A).to_vec().expect("a query"))).expect("a query");
    address(&Message::from_vec(&next(&mut idle)).expect("a message"));
    assert!(is_closed(idle), "nothing more was asked");
    let mut long = connect(door);
    long.write_all(&[0xff, 0xff]).expect("a length");
    assert!(is_closed(long), "longer than any query");
    gate.wait_for_record(|record| record["reason"] == "bad_request" && record["door"] == "dns");
    let mut response = connect(door);
    let mut message = query("a.test", RecordType::A).to_vec().expect("a query");
    message[2] |= 0x80;
    response.write_all(&framed(&message)).expect("an answer");
    assert!(is_closed(response), "no query");
}

#[test]
fn connections_count_among_those_of_the_session_and_datagrams_do_not() {
    let (gate, _) = ground(&format!("{POLICY}\n[limits]\nconnections = 1"));
    let door = gate.listener("dns");
    let message = query("a.test", RecordType::A).to_vec().expect("a query");
    let mut first = connect(door);
    first.write_all(&framed(&message)).expect("a query");
    address(&Message::from_vec(&next(&mut first)).expect("a message"));
    let mut second = connect(door);
    second.write_all(&framed(&message)).expect("a query");
    assert!(refusal(&Message::from_vec(&next(&mut second)).expect("a message")).starts_with("too_many_connections: "));
    assert_eq!(second.read(&mut [0; 1]).expect("an end"), 0);
    address(&Message::from_vec(&datagram(door, &message).expect("an answer")).expect("a message"));
}

#[test]
fn what_cannot_be_recorded_gets_no_address() {
    let dns = Dns::loopback();
    let gate = setup(POLICY, &dns).audit("file = \"/dev/full\"").start();
    let answer = datagram(gate.listener("dns"), &query("a.test", RecordType::A).to_vec().expect("a query")).expect("an answer");
    assert!(refusal(&Message::from_vec(&answer).expect("a message")).starts_with("audit_unavailable: "));
}

#[test]
fn names_are_those_of_the_session_whose_door_it_is() {
    let dns = Dns::loopback();
    let session = "[[session]]\nid = \"s1\"\ntoken = { file = \"t\" }\nexpires = 2020-01-01T00:00:00Z\n";
    let gate = setup(POLICY, &dns).listen("session = \"s1\"").file("t", "token-0123456789abcdef0123456789abcdef").tables(session).start();
    let answer = resolve(&gate, "a.test", RecordType::A);
    assert!(refusal(&answer).starts_with("session_expired: The session has expired"), "{answer}");
    assert_eq!(records(&gate)[0]["session"], Value::Null);
}

#[test]
fn names_are_answered_until_the_end_and_then_the_door_is_shut() {
    let (gate, _) = ground(POLICY);
    let door = gate.listener("dns");
    let mut waiting = connect(door);
    waiting.write_all(&framed(&query("a.test", RecordType::A).to_vec().expect("a query"))).expect("a query");
    address(&Message::from_vec(&next(&mut waiting)).expect("a message"));
    gate.signal("TERM");
    assert_eq!(waiting.read(&mut [0; 1]).expect("an end"), 0, "a connection that waits for a question ends at once");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(door).expect("a peer");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    eventually("nobody listens any more", || socket.send(&[0]).and_then(|_| socket.recv(&mut [0; 1])).is_err());
}

/// A name that every policy answers: whatever was sent before it has been dealt with once it is.
const FENCE: &str = "fence.localhost";

#[test]
fn many_questions_at_once_are_all_answered() {
    let (gate, dns) = ground(&format!("{POLICY}\n[limits]\ndns_queries_per_second = 1000000"));
    let door = gate.listener("dns");
    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut stream = connect(door);
                for number in 0..50 {
                    let name = format!("n{number}.c{client}.wild.test");
                    stream.write_all(&framed(&query(&name, RecordType::A).to_vec().expect("a query"))).expect("a query");
                    address(&Message::from_vec(&next(&mut stream)).expect("a message"));
                    let answer = datagram(door, &query(&name, RecordType::AAAA).to_vec().expect("a query")).expect("an answer");
                    address(&Message::from_vec(&answer).expect("a message"));
                }
            });
        }
    });
    assert_eq!(records(&gate).len(), 800);
    assert_eq!(dns.asked(), []);
}

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr;
use proptest::{collection::vec, prelude::*};

use super::*;

/// A query as a client of hickory would write it.
fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(rr::Name::from_ascii(name).unwrap(), kind));
    message
}

/// The same with EDNS.
fn extended(name: &str, kind: RecordType) -> Message {
    let mut message = query(name, kind);
    let mut edns = Edns::new();
    edns.set_max_payload(4096).set_dnssec_ok(true);
    edns.options_mut().insert(EdnsOption::Unknown(8, vec![0, 1, 24, 0, 192, 0, 2]));
    edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 8]));
    message.set_edns(edns);
    message
}

fn octets(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

#[track_caller]
fn question(message: &Message) -> Question {
    read(&octets(message)).unwrap().unwrap()
}

/// What is wrong with a query, and the code of its answer, which repeats the id.
#[track_caller]
fn problem(message: &[u8]) -> (DnsError, ResponseCode) {
    let malformed = read(message).unwrap().unwrap_err();
    let answer = Message::from_vec(&malformed.answer).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.message_type), (u16::from_be_bytes([message[0], message[1]]), MessageType::Response));
    (malformed.problem, answer.metadata.response_code)
}

/// The code and text of an answer's extended error.
fn extended_error(answer: &Message) -> Option<(u16, String)> {
    let data = Vec::try_from(answer.edns.as_ref()?.option(EXTENDED_ERROR.into())?).unwrap();
    Some((u16::from_be_bytes([data[0], data[1]]), String::from_utf8(data[2..].to_vec()).unwrap()))
}

#[test]
fn the_name_of_a_service_stands_for_its_host_where_no_address_is_asked_for() {
    for (name, kind, host) in [
        ("_http._tcp.pkg.test", RecordType::SRV, "pkg.test"),
        ("_8443._https.pkg.test", RecordType::HTTPS, "pkg.test"),
        ("_dmarc.pkg.test", RecordType::TXT, "pkg.test"),
        // More is no service, and carries nothing but itself.
        ("_a._b._c.pkg.test", RecordType::SRV, "_c.pkg.test"),
        ("_http._tcp.pkg.test", RecordType::A, "_http._tcp.pkg.test"),
    ] {
        let question = question(&query(name, kind));
        assert_eq!(question.name().as_str(), host, "{name} {kind}");
        let answer = Message::from_vec(&question.answer(None)).unwrap();
        assert_eq!((answer.queries[0].name().to_ascii(), answer.answers.len()), (format!("{name}."), 0));
    }
    assert!(matches!(problem(&octets(&query("_http._tcp.", RecordType::SRV))).0, DnsError::Name(_)));
}

#[test]
fn a_question_is_read_and_answered_in_its_own_spelling() {
    let asked = query("WwW.eXample.TEST.", RecordType::A);
    let question = question(&asked);
    assert_eq!((question.name().as_str(), question.kind(), &*question.type_name()), ("www.example.test", Kind::A, "A"));
    let answer = Message::from_vec(&question.answer(Some(Ipv4Addr::new(198, 18, 0, 1).into()))).unwrap();
    let metadata = answer.metadata;
    assert_eq!((metadata.id, metadata.message_type, metadata.response_code), (0x1234, MessageType::Response, ResponseCode::NoError));
    assert!(metadata.recursion_desired && metadata.recursion_available && !metadata.authentic_data && !metadata.truncation);
    assert!(answer.queries[0].name.eq_case(&asked.queries[0].name), "0x20: the case is a client's secret");
    assert!(answer.answers[0].name.eq_case(&asked.queries[0].name));
    assert_eq!((answer.answers[0].ttl, &answer.answers[0].data), (60, &RData::A(Ipv4Addr::new(198, 18, 0, 1).into())));
    assert_eq!((answer.answers.len(), answer.authorities.len(), answer.additionals.len(), answer.edns), (1, 0, 0, None));
}

#[test]
fn an_answer_to_edns_has_edns_and_none_of_the_options() {
    let question = question(&extended("a_b.test.", RecordType::AAAA));
    assert_eq!((question.name().as_str(), question.kind()), ("a_b.test", Kind::Aaaa));
    let answer = Message::from_vec(&question.answer(Some(Ipv6Addr::LOCALHOST.into()))).unwrap();
    let edns = answer.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, OUR_PAYLOAD, true));
    assert_eq!(edns.options(), &rr::rdata::OPT::default());
    assert_eq!(answer.answers[0].data, RData::AAAA(Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn threat_31_another_type_has_nothing() {
    for kind in [16, 255, 252, 65, 64, 10, 5, 12, 15, 33, 251, 41, 0, 65535].map(RecordType::from) {
        let question = question(&extended("a.test.", kind));
        assert_eq!(question.kind(), Kind::Other, "{kind}");
        let answer = Message::from_vec(&question.answer(None)).unwrap();
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
    }
}

#[test]
fn a_refusal_says_why_to_those_who_can_hear_it() {
    let why = "host_not_allowed: evil.test is not on the list of p.toml.\n";
    let answer = Message::from_vec(&question(&extended("evil.test.", RecordType::A)).refuse(why)).unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert_eq!(extended_error(&answer), Some((15, why.trim_end().to_owned())));
    let answer = Message::from_vec(&question(&query("evil.test.", RecordType::A)).refuse(why)).unwrap();
    assert_eq!((answer.metadata.response_code, answer.edns), (ResponseCode::Refused, None));
}

#[test]
fn the_longest_name_and_the_longest_text_fit_a_datagram() {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}.", "b".repeat(61));
    let question = question(&extended(&name, RecordType::AAAA));
    assert_eq!(question.name().as_str().len(), 253);
    assert_eq!(question.refuse(&"é".repeat(1000)).len(), MAX_ANSWER);
    let answer = Message::from_vec(&question.refuse(&"é".repeat(1000))).unwrap();
    assert_eq!(extended_error(&answer), Some((15, "é".repeat(MAX_TEXT / 2))));
    assert!(question.answer(Some(Ipv6Addr::LOCALHOST.into())).len() <= MAX_ANSWER);
}

#[test]
fn what_is_no_query_gets_no_answer() {
    let mut response = query("a.test.", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert!(read(&octets(&response)).is_none());
    for short in [&b""[..], b"\0", b"12345678901"] {
        assert!(read(short).is_none());
    }
}

#[test]
fn threat_32_hostile_messages_are_answered_strictly() {
    let plain = octets(&query("a.test.", RecordType::A));
    for (number, operation) in [(1, 0x08), (2, 0x10), (4, 0x20), (5, 0x28), (15, 0x78)] {
        let mut other = plain.clone();
        other[2] |= operation;
        assert_eq!(problem(&other), (DnsError::Operation(number), ResponseCode::NotImp));
    }
    let with = |at: usize, octet: u8| {
        let mut changed = plain.clone();
        changed[at] = octet;
        problem(&changed)
    };
    assert_eq!(with(5, 0), (DnsError::Questions(0), ResponseCode::FormErr));
    assert_eq!(with(5, 2), (DnsError::Questions(2), ResponseCode::FormErr));
    assert_eq!(with(4, 0xff), (DnsError::Questions(0xff01), ResponseCode::FormErr));
    assert_eq!(with(7, 1), (DnsError::Records, ResponseCode::FormErr));
    assert_eq!(with(9, 1), (DnsError::Records, ResponseCode::FormErr));
    assert_eq!(with(10, 0xff), (DnsError::Records, ResponseCode::FormErr));
    assert_eq!(with(11, 1), (DnsError::Form, ResponseCode::FormErr));
    for pointer in [[0xc0, 12], [0xc0, 0], [0xc0, 4], [0xff, 0xff], [0x80, 0], [0x40, 0]] {
        let looped = [&plain[..12], &pointer, &[0, 1, 0, 1]].concat();
        assert_eq!(problem(&looped), (DnsError::Form, ResponseCode::FormErr), "{pointer:?}");
        let behind_a_label = [&plain[..12], &[1, b'a'], &pointer, &[0, 1, 0, 1]].concat();
        assert_eq!(problem(&behind_a_label), (DnsError::Form, ResponseCode::FormErr), "{pointer:?}");
    }
    let two_questions = [&plain[..], &plain[12..]].concat();
    assert_eq!(problem(&two_questions), (DnsError::Trailing(plain.len() - 12), ResponseCode::FormErr));
    let long = [&plain[..], &vec![0; MAX_QUERY]].concat();
    assert_eq!(problem(&long), (DnsError::TooLong, ResponseCode::FormErr));
    for end in 12..plain.len() {
        assert_eq!(problem(&plain[..end]), (DnsError::Form, ResponseCode::FormErr), "cut after {end}");
    }
}

#[test]
fn only_names_of_hosts_in_the_class_of_the_internet_are_looked_at() {
    let mut chaos = extended("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(problem(&octets(&chaos)), (DnsError::Class(3), ResponseCode::Refused));
    let answer = Message::from_vec(&read(&octets(&chaos)).unwrap().unwrap_err().answer).unwrap();
    assert_eq!(extended_error(&answer), Some((15, "bad_request: class 3, where only IN is answered".into())));
    assert_eq!(answer.queries, chaos.queries);
    assert_eq!(problem(&octets(&query("10.0.0.1.", RecordType::A))), (DnsError::Address, ResponseCode::Refused));
    for labels in [&[][..], &["-a", "test"], &["xn--a", "test"], &["a b", "test"], &["*", "test"], &["0x7f", "1"], &["a\0", "test"]] {
        let mut asked = query(".", RecordType::A);
        asked.queries[0].name = rr::Name::from_labels(labels.iter().map(|label| label.as_bytes())).unwrap();
        let (found, code) = problem(&octets(&asked));
        assert!(matches!(found, DnsError::Name(_)), "{labels:?}: {found}");
        assert_eq!(code, ResponseCode::Refused);
    }
    let mut dotted = query(".", RecordType::A);
    dotted.queries[0].name = rr::Name::from_labels([&b"evil.allowed"[..], b"test"]).unwrap();
    assert_eq!(problem(&octets(&dotted)), (DnsError::Dot, ResponseCode::Refused));
}

#[test]
fn edns_is_of_version_0_and_stands_once() {
    let mut newer = extended("a.test.", RecordType::A);
    newer.edns.as_mut().unwrap().set_version(1);
    let (found, code) = problem(&octets(&newer));
    // One number that hickory reads as BADSIG.
    assert_eq!((found, u16::from(code)), (DnsError::Version(1), u16::from(ResponseCode::BADVERS)));
    let plain = octets(&query("a.test.", RecordType::A));
    let opt = [0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0];
    let with = |count, records: &[u8]| {
        let mut whole = [&plain[..], records].concat();
        whole[11] = count;
        whole
    };
    assert!(read(&with(1, &opt)).unwrap().is_ok());
    assert_eq!(problem(&with(2, &[opt, opt].concat())), (DnsError::Options, ResponseCode::FormErr));
    let mut of_a_name = [&[0xc0, 12], &opt[1..]].concat();
    assert_eq!(problem(&with(1, &of_a_name)), (DnsError::Options, ResponseCode::FormErr));
    of_a_name[1] = 0xff;
    assert_eq!(problem(&with(1, &of_a_name)), (DnsError::Form, ResponseCode::FormErr));
    let mut long = opt;
    long[10] = 1;
    assert_eq!(problem(&with(1, &long)), (DnsError::Form, ResponseCode::FormErr));
    let unreadable_options = [&long[..10], &[3, 0xff, 0xff, 0xff]].concat();
    assert!(read(&with(1, &unreadable_options)).unwrap().is_ok(), "options are passed over");
}

proptest! {
    #[test]
    fn no_octets_break_it(message in vec(any::<u8>(), 0..600)) {
        check(&message);
    }

    #[test]
    fn nor_do_changed_queries(at in 0..60usize, octet: u8, cut in 0..80usize, edns: bool) {
        let mut message = octets(&if edns { extended("one.two.test.", RecordType::AAAA) } else { query("one.two.test.", RecordType::A) });
        if let Some(changed) = message.get_mut(at) {
            *changed = octet;
        }
        message.truncate(message.len().saturating_sub(cut / 2));
        check(&message);
    }
}

/// Every answer is a message that repeats id and question and fits a datagram.
fn check(message: &[u8]) {
    let answers = match read(message) {
        None => return,
        Some(Err(malformed)) => vec![malformed.answer],
        Some(Ok(question)) => {
            let answers = vec![question.answer(None), question.answer(Some(Ipv4Addr::LOCALHOST.into())), question.refuse("why")];
            for answer in &answers {
                assert_eq!(answer[12..12 + question.name().as_str().len() + 6], message[12..12 + question.name().as_str().len() + 6]);
            }
            answers
        }
    };
    for answer in answers {
        assert!(answer.len() <= MAX_ANSWER);
        let read = Message::from_vec(&answer).unwrap();
        assert_eq!((read.metadata.id.to_be_bytes().as_slice(), read.metadata.message_type), (&message[..2], MessageType::Response));
    }
}

//! Whatever arrives, an answer is a message that repeats the id, fits a datagram, and holds no address that was not given; a question that
//! is read stands in it as it was sent, and hickory reads the same name.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::Name,
};
use libfuzzer_sys::fuzz_target;
use tidegate::wire::dns::{Kind, MAX_ANSWER, Question, read};

fuzz_target!(|bytes: &[u8]| {
    let question = match read(bytes) {
        None => return,
        Some(Err(malformed)) => {
            let answer = parsed(bytes, &malformed.answer);
            assert_ne!(answer.metadata.response_code, ResponseCode::NoError);
            assert!(answer.answers.is_empty());
            return;
        }
        Some(Ok(question)) => question,
    };
    let address: Option<IpAddr> = match question.kind() {
        Kind::A => Some(Ipv4Addr::LOCALHOST.into()),
        Kind::Aaaa => Some(Ipv6Addr::LOCALHOST.into()),
        Kind::Other => None,
    };
    let written = question.answer(address);
    let answer = parsed(bytes, &written);
    assert_eq!(answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>(), Vec::from_iter(address));
    let refusal = parsed(bytes, &question.refuse(&String::from_utf8_lossy(bytes)));
    assert_eq!((refusal.metadata.response_code, refusal.answers.len()), (ResponseCode::Refused, 0));
    assert_name(&question, answer.queries[0].name());
    let end_of_question = 12 + answer.queries[0].name().iter().map(|label| label.len() + 1).sum::<usize>() + 5;
    assert_eq!(written[12..end_of_question], bytes[12..end_of_question]);
});

/// What is asked for is the name as it stands there; only where no address is asked for, two labels that name a service may stand before it.
fn assert_name(question: &Question, asked: &Name) {
    let labels: Vec<&[u8]> = asked.iter().collect();
    let (service, host) = labels.split_at(labels.len() - question.name().as_str().split('.').count());
    assert_eq!(host.join(&b'.').to_ascii_lowercase(), question.name().as_str().as_bytes());
    assert!(service.len() <= if question.kind() == Kind::Other { 2 } else { 0 });
    assert!(service.iter().all(|label| label.starts_with(b"_")));
}

/// An answer, read back.
fn parsed(query: &[u8], answer: &[u8]) -> Message {
    assert!(answer.len() <= MAX_ANSWER);
    assert_eq!(answer[..2], query[..2]);
    let answer = Message::from_vec(answer).expect("a message");
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    answer
}

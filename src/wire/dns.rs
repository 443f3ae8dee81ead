//! Queries for names (RFC 1035) with or without EDNS (RFC 6891), read strictly, and the answers to them.
//!
//! What a query carries beside its question is passed over unread: options say nothing that an answer of ours depends on.

use std::{fmt, net::IpAddr};

use hickory_proto::{
    op::{Edns, Header, HeaderCounts, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType, rdata::opt::EdnsOption},
    serialize::binary::{BinDecodable, BinDecoder},
};

use crate::destination::{DestinationError, Host, Name};

/// Longest query in octets; those of real clients, padding included, have a few hundred.
pub const MAX_QUERY: usize = 4096;
/// Most octets of an answer: what every client of UDP takes (RFC 1035, section 4.2.1).
pub const MAX_ANSWER: usize = 512;

/// One question about a host name in the class of the internet.
#[derive(Debug, Clone)]
pub struct Question {
    name: Name,
    query: Query,
    /// The answer, as far as it only repeats.
    draft: Message,
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    Other,
}

/// A query that means nothing here, and the answer that it gets.
#[derive(Debug)]
pub struct Malformed {
    pub problem: DnsError,
    pub answer: Vec<u8>,
}

/// Reads the one message of a datagram, or one of a stream without its length. None for what is no query at all, and gets no answer: an
/// answer to an answer could go to and fro for ever.
///
/// # Errors
/// What is wrong, first of all with the frame (NOTIMP, FORMERR, BADVERS), then with the question (REFUSED).
pub fn read(message: &[u8]) -> Option<Result<Question, Malformed>> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.message_type == MessageType::Response {
        return None;
    }
    let mut draft = Message::response(header.id, header.op_code);
    draft.metadata = Metadata::response_from_request(&header.metadata);
    draft.metadata.recursion_available = true;
    let read = read_rest(&mut decoder, &header, message.len(), &mut draft).and_then(|query| Ok((host_name(&query)?, query)));
    Some(match read {
        Ok((name, query)) => Ok(Question { name, query, draft }),
        Err(problem) => Err(Malformed { answer: refusal(draft, problem.code(), &format!("bad_request: {problem}")), problem }),
    })
}

impl Question {
    /// The name, whatever its letters' case.
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        if self.query.query_type == RecordType::A {
            Kind::A
        } else if self.query.query_type == RecordType::AAAA {
            Kind::Aaaa
        } else {
            Kind::Other
        }
    }

    /// The type as it is written, such as `AAAA`.
    pub fn type_name(&self) -> String {
        self.query.query_type.to_string()
    }

    /// The answer that the name has this address, or nothing of the type that was asked for; at most [`MAX_ANSWER`] octets.
    pub fn answer(&self, address: Option<IpAddr>) -> Vec<u8> {
        let mut message = self.draft.clone();
        message.answers.extend(address.map(|address| Record::from_rdata(self.query.name.clone(), TTL, data(address))));
        written(&message)
    }

    /// The answer that the question is refused; `why` stands beside it where the client speaks EDNS, as the text of extended error 15,
    /// "Blocked" (RFC 8914). At most [`MAX_ANSWER`] octets, to which the text is cut.
    pub fn refuse(&self, why: &str) -> Vec<u8> {
        refusal(self.draft.clone(), ResponseCode::Refused, why)
    }
}

/// Reads everything behind the header of a message of `length` octets. What an answer repeats, whatever it says, stands in its draft as
/// soon as it is read.
fn read_rest(decoder: &mut BinDecoder<'_>, header: &Header, length: usize, draft: &mut Message) -> Result<Query, DnsError> {
    let HeaderCounts { queries, answers, authorities, additionals, .. } = header.counts;
    if header.op_code != OpCode::Query {
        return Err(DnsError::Operation(header.op_code.into()));
    }
    if length > MAX_QUERY {
        return Err(DnsError::TooLong);
    }
    if queries != 1 {
        return Err(DnsError::Questions(queries));
    }
    if (answers, authorities) != (0, 0) || additionals > MAX_ADDITIONALS {
        return Err(DnsError::Records);
    }
    let query = read_question(decoder)?;
    draft.queries.push(query.clone());
    for _ in 0..additionals {
        read_additional(decoder, draft)?;
    }
    if !decoder.is_empty() {
        return Err(DnsError::Trailing(decoder.len()));
    }
    if query.query_class != DNSClass::IN {
        return Err(DnsError::Class(query.query_class.into()));
    }
    Ok(query)
}

/// Reads an additional record, of which only that of EDNS says anything.
fn read_additional(decoder: &mut BinDecoder<'_>, draft: &mut Message) -> Result<(), DnsError> {
    let owner = hickory_proto::rr::Name::read(decoder).map_err(|_| DnsError::Form)?;
    let mut next = || Ok(decoder.read_u16().map_err(|_| DnsError::Form)?.unverified(/* any number will do */));
    let [kind, _class, version, flags, length] = [next()?, next()?, next()?, next()?, next()?];
    decoder.read_slice(usize::from(length)).map_err(|_| DnsError::Form)?;
    if kind != u16::from(RecordType::OPT) {
        return Ok(());
    }
    if !owner.is_root() || draft.edns.is_some() {
        return Err(DnsError::Options);
    }
    let mut edns = Edns::new();
    edns.set_max_payload(OUR_PAYLOAD).set_dnssec_ok(flags & DNSSEC_OK != 0);
    draft.set_edns(edns);
    match version & VERSION {
        0 => Ok(()),
        version => Err(DnsError::Version(version)),
    }
}

/// Reads the question. Nothing stands before it that its name could point to.
fn read_question(decoder: &mut BinDecoder<'_>) -> Result<Query, DnsError> {
    let begin = decoder.index();
    let query = Query::read(decoder).map_err(|_| DnsError::Form)?;
    let plain = query.name.iter().map(|label| label.len() + 1).sum::<usize>() + END_OF_QUESTION;
    if decoder.index() - begin == plain { Ok(query) } else { Err(DnsError::Form) }
}

/// The name that is asked for, as it could stand in an authority. Where no address is asked for, so that there is nothing to answer, the
/// name of a service (RFC 2782, RFC 9460 section 2.3) stands for its host: apt asks for `_http._tcp.HOST` before `HOST`.
fn host_name(query: &Query) -> Result<Name, DnsError> {
    let mut labels: Vec<&[u8]> = query.name.iter().collect();
    if !matches!(query.query_type, RecordType::A | RecordType::AAAA) {
        let of_service = labels.iter().take(SERVICE_LABELS).take_while(|label| label.starts_with(b"_")).count();
        labels.drain(..of_service);
    }
    // A dot inside a label would look like one between two.
    if labels.iter().any(|label| label.contains(&b'.')) {
        return Err(DnsError::Dot);
    }
    match Host::parse(&labels.join(&b'.')).map_err(DnsError::Name)? {
        Host::Name(name) => Ok(name),
        Host::Ip(_) => Err(DnsError::Address),
    }
}

fn refusal(mut message: Message, code: ResponseCode, why: &str) -> Vec<u8> {
    message.metadata.response_code = code;
    if let Some(edns) = message.edns.as_mut().filter(|_| code == ResponseCode::Refused) {
        let data = [&BLOCKED.to_be_bytes(), shortened(why).as_bytes()].concat();
        edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
    }
    written(&message)
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}

/// None of our messages is too long to be written.
fn written(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}

/// Most labels that name a service before its host: it and its protocol, or a port and it.
const SERVICE_LABELS: usize = 2;

/// The beginning of a text for people, as much as fits beside the longest question.
fn shortened(text: &str) -> String {
    let mut shortened = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if shortened.len() + character.len_utf8() > MAX_TEXT {
            break;
        }
        shortened.push(character);
    }
    shortened
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsError {
    /// Another operation than a query, by its number.
    Operation(u8),
    /// Longer than [`MAX_QUERY`].
    TooLong,
    /// Not one question, but this many.
    Questions(u16),
    /// Records that no query has.
    Records,
    /// No message: cut short, or with a name that is none, or that points elsewhere.
    Form,
    /// More than one record of EDNS, or one that belongs to a name.
    Options,
    /// This many octets behind the end.
    Trailing(usize),
    /// A version of EDNS other than 0.
    Version(u16),
    /// Another class than that of the internet.
    Class(u16),
    /// A dot inside a label.
    Dot,
    /// The name spells an address.
    Address,
    /// The name is that of no host.
    Name(DestinationError),
}

impl DnsError {
    fn code(&self) -> ResponseCode {
        match self {
            Self::Operation(_) => ResponseCode::NotImp,
            Self::TooLong | Self::Questions(_) | Self::Records | Self::Form | Self::Options | Self::Trailing(_) => ResponseCode::FormErr,
            Self::Version(_) => ResponseCode::BADVERS,
            Self::Class(_) | Self::Dot | Self::Address | Self::Name(_) => ResponseCode::Refused,
        }
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(number) => write!(f, "operation {number} is no query"),
            Self::TooLong => write!(f, "longer than {MAX_QUERY} octets"),
            Self::Questions(number) => write!(f, "a query has one question, not {number}"),
            Self::Records => f.write_str("a query brings no records but those of EDNS and a signature"),
            Self::Form => f.write_str("not a DNS message"),
            Self::Options => f.write_str("a query has one OPT record at most, of the root"),
            Self::Trailing(octets) => write!(f, "{octets} octets behind the end of the message"),
            Self::Version(version) => write!(f, "EDNS of version {version}, where 0 is known"),
            Self::Class(class) => write!(f, "class {class}, where only IN is answered"),
            Self::Dot => f.write_str("a dot inside a label"),
            Self::Address => f.write_str("an address is no name"),
            Self::Name(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for DnsError {}

/// For how many seconds an answer holds: the address stays the same, but what a policy makes of the name may change.
const TTL: u32 = 60;
/// What we take by UDP and no client need make use of (as agreed upon at DNS Flag Day 2020).
const OUR_PAYLOAD: u16 = 1232;
/// Of EDNS, and a signature.
const MAX_ADDITIONALS: u16 = 2;
/// The root's label, type and class.
const END_OF_QUESTION: usize = 1 + 2 + 2;
/// RFC 6891, section 6.1.3: of the upper half of what is the time to live in other records, and of the lower.
const VERSION: u16 = 0x00ff;
const DNSSEC_OK: u16 = 0x8000;
/// RFC 8914, section 2 and section 4.16.
const EXTENDED_ERROR: u16 = 15;
const BLOCKED: u16 = 15;
/// Of an answer without its text there are at most 12 octets of header, 259 of question and 17 of EDNS.
const MAX_TEXT: usize = MAX_ANSWER - 12 - 259 - 17;

#[cfg(test)]
mod tests;

//! Netlink (netlink(7)), as much of it as it takes to tell the kernel something and to hear what it thinks of it.

use std::{collections::BTreeSet, io};

use rustix::{
    io::Errno,
    net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink, recv, sendto, socket_with},
};

use crate::confine::Obstacle;

/// Attributes (`struct nlattr`), one behind the other, each filled up to a multiple of four octets.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Numbers are in the order of octets that the attribute has: nftables' in the network's, routes' in the machine's.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend([length.to_ne_bytes(), kind.to_ne_bytes()].concat());
        self.0.extend(value);
        fill_up(&mut self.0);
        self
    }

    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Text ends with a zero octet.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }
}

/// Something to be done by the kernel.
#[derive(Debug)]
pub(super) struct Request {
    /// Follows "cannot".
    pub(super) purpose: &'static str,
    /// What to do where the kernel does not know of such things.
    pub(super) remedy: &'static str,
    pub(super) kind: u16,
    /// Beyond that it is a request.
    pub(super) flags: u16,
    /// The fixed part that the subsystem puts before the attributes; a multiple of four octets.
    pub(super) header: Vec<u8>,
    pub(super) attributes: Attributes,
}

impl Request {
    fn write(&self, sequence: u32, datagram: &mut Vec<u8>) {
        let length = MESSAGE_HEADER + self.header.len() + self.attributes.0.len();
        datagram.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        datagram.extend(self.kind.to_ne_bytes());
        datagram.extend((self.flags | REQUEST).to_ne_bytes());
        datagram.extend(sequence.to_ne_bytes());
        datagram.extend(KERNEL.to_ne_bytes());
        datagram.extend(&self.header);
        datagram.extend(&self.attributes.0);
    }

    fn refused(&self, error: Errno) -> Obstacle {
        let remedy = match error {
            Errno::PERM | Errno::ACCESS => WITHOUT_CAPABILITY,
            Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => self.remedy,
            _ => return Obstacle::new(self.purpose, error),
        };
        Obstacle { remedy: Some(remedy), ..Obstacle::new(self.purpose, error) }
    }
}

/// Sends requests in one datagram, which the kernel works off before the call returns, and reads its answers. Those with
/// [`ACKNOWLEDGE`] have to be answered; the error is of the first that the kernel refused. `None` is the protocol of routes.
pub(super) fn converse(protocol: Option<Protocol>, requests: &[Request]) -> Result<(), Obstacle> {
    let Some(first) = requests.first() else { return Ok(()) };
    let mut datagram = Vec::new();
    let mut unanswered = BTreeSet::new();
    for (sequence, request) in (0..).zip(requests) {
        request.write(sequence, &mut datagram);
        if request.flags & ACKNOWLEDGE != 0 {
            unanswered.insert(sequence);
        }
    }
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map_err(|error| first.refused(error))?;
    sendto(&socket, &datagram, SendFlags::empty(), &SocketAddrNetlink::new(KERNEL, 0)).map_err(|error| first.refused(error))?;
    while !unanswered.is_empty() {
        let mut buffer = vec![0; MAX_ANSWER];
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).map_err(|error| first.refused(error))?;
        let received = buffer.get(..length).ok_or(Garbled).and_then(answers);
        for answer in received.map_err(|Garbled| Obstacle::new(first.purpose, io::Error::other("the kernel's answer is garbled")))? {
            if answer.errno != 0 {
                let request = usize::try_from(answer.sequence).ok().and_then(|at| requests.get(at)).unwrap_or(first);
                return Err(request.refused(Errno::from_raw_os_error(answer.errno)));
            }
            unanswered.remove(&answer.sequence);
        }
    }
    Ok(())
}

/// Asks for [`EVERY`] one of something, and reads it: of each message what follows its header. At most [`MAX_LISTED`] octets, which is
/// more than any programme of ours is long.
pub(super) fn list(protocol: Option<Protocol>, request: &Request) -> Result<Vec<Vec<u8>>, Obstacle> {
    let failed = |why| Obstacle::new(request.purpose, io::Error::other(why));
    let mut datagram = Vec::new();
    request.write(0, &mut datagram);
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map_err(|error| request.refused(error))?;
    sendto(&socket, &datagram, SendFlags::empty(), &SocketAddrNetlink::new(KERNEL, 0)).map_err(|error| request.refused(error))?;
    let (mut listed, mut total) = (Vec::new(), 0);
    loop {
        let mut buffer = vec![0; MAX_ANSWER];
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).map_err(|error| request.refused(error))?;
        total += length;
        if total > MAX_LISTED {
            return Err(failed("there is more than it can be"));
        }
        for message in buffer.get(..length).ok_or(Garbled).and_then(messages).map_err(|Garbled| failed("the kernel's answer is garbled"))? {
            match message.kind {
                _ if message.flags & INTERRUPTED != 0 => return Err(failed("it changed meanwhile")),
                ANSWER | DONE => match message.answer().map_err(|Garbled| failed("the kernel's answer is garbled"))?.errno {
                    0 => return Ok(listed),
                    errno => return Err(request.refused(Errno::from_raw_os_error(errno))),
                },
                _ => listed.push(message.body.to_vec()),
            }
        }
    }
}

/// One message of the kernel's.
struct Message<'m> {
    kind: u16,
    flags: u16,
    sequence: u32,
    /// What follows its header.
    body: &'m [u8],
}

impl Message<'_> {
    /// What it says to a request, where that is its kind.
    fn answer(&self) -> Result<Answer, Garbled> {
        let code = i32::from_ne_bytes(*self.body.first_chunk().ok_or(Garbled)?);
        let errno = code.checked_neg().filter(|errno| (0..=MAX_ERRNO).contains(errno)).ok_or(Garbled)?;
        Ok(Answer { sequence: self.sequence, errno })
    }
}

/// What the kernel says to one request.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    sequence: u32,
    /// Zero: it is done.
    errno: i32,
}

/// No sequence of netlink messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// The answers (`NLMSG_ERROR`) in one datagram; messages of other kinds are passed over.
fn answers(datagram: &[u8]) -> Result<Vec<Answer>, Garbled> {
    messages(datagram)?.iter().filter(|message| message.kind == ANSWER).map(Message::answer).collect()
}

fn messages(mut datagram: &[u8]) -> Result<Vec<Message<'_>>, Garbled> {
    let mut found = Vec::new();
    while !datagram.is_empty() {
        let (length, rest) = datagram.split_first_chunk().ok_or(Garbled)?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).map_err(|_| Garbled)?;
        let (kind, rest) = rest.split_first_chunk().ok_or(Garbled)?;
        let (flags, rest) = rest.split_first_chunk().ok_or(Garbled)?;
        let (sequence, _) = rest.split_first_chunk().ok_or(Garbled)?;
        if length < MESSAGE_HEADER {
            return Err(Garbled);
        }
        let body = datagram.get(MESSAGE_HEADER..length).ok_or(Garbled)?;
        let [kind, flags] = [kind, flags].map(|number| u16::from_ne_bytes(*number));
        found.push(Message { kind, flags, sequence: u32::from_ne_bytes(*sequence), body });
        // Nothing has to follow the last message, not even what fills it up.
        datagram = datagram.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    Ok(found)
}

/// Attributes in their order, each with its type, flags included.
#[derive(Debug, Default)]
pub(super) struct Read<'a>(pub(super) Vec<(u16, &'a [u8])>);

/// Reads attributes that stand one behind the other.
pub(super) fn attributes(mut octets: &[u8]) -> Result<Read<'_>, Garbled> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let (length, rest) = octets.split_first_chunk().ok_or(Garbled)?;
        let (kind, _) = rest.split_first_chunk().ok_or(Garbled)?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = octets.get(ATTRIBUTE_HEADER..length).ok_or(Garbled)?;
        found.push((u16::from_ne_bytes(*kind), value));
        octets = octets.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    Ok(Read(found))
}

impl<'a> Read<'a> {
    /// The first of a kind.
    pub(super) fn of(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| known & KIND == kind).map(|(_, value)| *value)
    }

    pub(super) fn text(&self, kind: u16) -> Option<String> {
        self.of(kind).map(text)
    }

    /// All of them, which are texts.
    pub(super) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(_, value)| text(value)).collect()
    }

    /// A number in the network's order of octets.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        self.of(kind)?.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Text without the zero octet that ends it.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.strip_suffix(&[0]).unwrap_or(octets)).into_owned()
}

fn fill_up(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

// linux/netlink.h
const REQUEST: u16 = 0x1;
pub(super) const ACKNOWLEDGE: u16 = 0x4;
pub(super) const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
/// All there is (`NLM_F_DUMP`).
pub(super) const EVERY: u16 = 0x300;
const INTERRUPTED: u16 = 0x10;
const ANSWER: u16 = 2;
const DONE: u16 = 3;
pub(super) const NESTED: u16 = 0x8000;
/// What of an attribute's type is no flag.
pub(super) const KIND: u16 = 0x3fff;
const ALIGNMENT: usize = 4;
const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// The kernel's own port.
const KERNEL: u32 = 0;
/// linux/err.h
const MAX_ERRNO: i32 = 4095;

/// An answer repeats the message that it refuses; with nftables, the one that the batch began with.
const MAX_ANSWER: usize = 32 * 1024;
/// Of what is listed.
const MAX_LISTED: usize = 1024 * 1024;

const WITHOUT_CAPABILITY: &str = "it takes CAP_NET_ADMIN over a network namespace of its own, which AppArmor withholds where \
    `sysctl kernel.apparmor_restrict_unprivileged_userns` is 1: set it to 0, or give tidegate a profile with `userns,`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `struct nlmsghdr` and what it announces.
    fn message(length: u32, kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0, 0], &sequence.to_ne_bytes(), &[0; 4], body].concat()
    }

    fn answer(sequence: u32, code: i32) -> Vec<u8> {
        message(36, ANSWER, sequence, &[&code.to_ne_bytes()[..], &[0; 16]].concat())
    }

    #[test]
    fn requests_are_written_as_the_kernel_reads_them() {
        let attributes = Attributes::new().with(1, &[7]).nested(2, &Attributes::new().text(3, "lo"));
        let request = Request { purpose: "", remedy: "", kind: 0x0102, flags: ACKNOWLEDGE, header: vec![9, 8, 7, 6], attributes };
        let mut written = Vec::new();
        request.write(5, &mut written);
        let attributes = [&5_u16.to_ne_bytes()[..], &[1, 0, 7, 0, 0, 0], &[12, 0, 2, 0x80, 7, 0, 3, 0, b'l', b'o', 0, 0]].concat();
        let head = [&40_u32.to_ne_bytes()[..], &[2, 1, 5, 0], &5_u32.to_ne_bytes(), &[0; 4], &[9, 8, 7, 6]].concat();
        assert_eq!(written, [head, attributes].concat());
    }

    #[test]
    fn attributes_that_were_written_are_read() {
        let written = Attributes::new().with(1, &[7]).text(3, "lo").with(4, &8_u32.to_be_bytes());
        let read = attributes(written.octets()).unwrap();
        assert_eq!((read.of(1), read.text(3).as_deref(), read.number(4)), (Some(&[7][..]), Some("lo"), Some(8)));
        assert_eq!((read.of(2), read.number(1), read.texts().len()), (None, None, 3));
        for garbled in [&[1, 0][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 7]] {
            assert_eq!(attributes(garbled).unwrap_err(), Garbled);
        }
    }

    #[test]
    fn answers_are_read_and_other_messages_passed_over() {
        let datagram = [answer(3, 0), message(17, 3, 1, &[1, 0, 0, 0]), answer(9, -2)].concat();
        assert_eq!(answers(&datagram), Ok(vec![Answer { sequence: 3, errno: 0 }, Answer { sequence: 9, errno: 2 }]));
        assert_eq!(answers(&[]), Ok(vec![]));
        assert_eq!(answers(&message(17, 3, 1, &[1])), Ok(vec![]), "the last message need not be filled up");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let (zero, short) = (message(0, 3, 1, &[]), message(15, 3, 1, &[]));
        let (beyond, cut) = (message(17, 3, 1, &[]), message(19, ANSWER, 1, &[0, 0, 0]));
        for garbled in [&zero[..], &short, &beyond, &cut, &zero[..7], &answer(1, 1), &answer(1, i32::MIN), &answer(1, -4096)] {
            assert_eq!(answers(garbled), Err(Garbled), "{garbled:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_about_it() {
        let request =
            Request { purpose: "fly", remedy: "modprobe wings", kind: 0, flags: 0, header: Vec::new(), attributes: Attributes::new() };
        let shown = |error| request.refused(error).to_string();
        assert_eq!(shown(Errno::NOENT), "cannot fly: No such file or directory (os error 2); modprobe wings");
        assert_eq!(shown(Errno::EXIST), "cannot fly: File exists (os error 17)");
        assert!(shown(Errno::PERM).contains("apparmor_restrict_unprivileged_userns"), "{}", shown(Errno::PERM));
    }

    proptest! {
        #[test]
        fn any_octets_are_answers_or_none(octets: Vec<u8>) {
            let _ = answers(&octets);
            let _ = attributes(&octets);
        }

        #[test]
        fn answers_survive_what_follows_them(sequence: u32, errno in 0..=MAX_ERRNO, garbage: Vec<u8>) {
            let datagram = [answer(sequence, -errno), garbage].concat();
            let read = answers(&datagram);
            prop_assert!(read.is_err() || read.unwrap()[0] == Answer { sequence, errno }, "the first is another");
        }
    }
}

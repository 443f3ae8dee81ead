//! A client of HTTP/2 (RFC 9113) that sends exactly the frames it is given.

use serde_json::Value;

use super::{Client, Site};

/// A connection on which HTTP/2 was agreed.
pub(crate) struct H2 {
    client: Client,
    authority: String,
    frames: Vec<Frame>,
    next: u32,
}

/// A frame that came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of its body.
    Answered(String),
    /// The code by which it was reset.
    Reset(u32),
    /// The code by which the connection was ended.
    GoneAway(u32),
    Closed,
}

impl H2 {
    /// A connection whose prefaces have been exchanged.
    #[track_caller]
    pub(crate) fn connect(site: &Site<'_>) -> Self {
        let mut h2 = Self { client: site.secured(&["h2"]), authority: site.authority(), frames: Vec::new(), next: 1 };
        h2.client.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
        assert!(h2.read().is_some_and(|frame| frame.kind == SETTINGS), "a server's preface is SETTINGS");
        h2.send(frame(SETTINGS, ACK, 0, b""));
        h2
    }

    pub(crate) fn send(&mut self, frames: impl AsRef<[u8]>) -> &mut Self {
        self.client.send(frames);
        self
    }

    /// Sends while whatever comes is read, as long as the server listens.
    pub(crate) fn flood(&mut self, frames: &[u8]) -> &mut Self {
        self.client.flood(frames);
        self
    }

    /// A stream that was not used yet.
    pub(crate) fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// The pseudo-header fields of a request to the origin.
    pub(crate) fn fields<'f>(&'f self, method: &'f str, path: &'f str) -> Vec<(&'f str, &'f str)> {
        vec![(":method", method), (":scheme", "https"), (":authority", &self.authority), (":path", path)]
    }

    /// A request to the origin that ends with its head.
    pub(crate) fn get(&self, stream: u32, path: &str) -> Vec<u8> {
        headers(stream, END_STREAM, &block(&self.fields("GET", path)))
    }

    /// What becomes of a request without a body.
    #[track_caller]
    pub(crate) fn ask(&mut self, fields: &[(&str, &str)]) -> Outcome {
        let stream = self.stream();
        self.send(headers(stream, END_STREAM, &block(fields)));
        self.outcome(stream)
    }

    /// What becomes of `GET` of a path at the origin.
    #[track_caller]
    pub(crate) fn ask_for(&mut self, path: &str) -> Outcome {
        let stream = self.stream();
        self.send(self.get(stream, path));
        self.outcome(stream)
    }

    /// Reads until it is known what became of a stream.
    #[track_caller]
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        let mut body = Vec::new();
        let mut seen = 0;
        loop {
            while let Some(frame) = self.frames.get(seen) {
                seen += 1;
                match frame.kind {
                    DATA if frame.stream == stream => body.extend_from_slice(&frame.payload),
                    RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload)),
                    GOAWAY if number(&frame.payload[4..]) != 0 => return Outcome::GoneAway(number(&frame.payload[4..])),
                    _ => {}
                }
                if frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                    return Outcome::Answered(String::from_utf8_lossy(&body).into_owned());
                }
            }
            if self.read().is_none() {
                return Outcome::Closed;
            }
        }
    }

    /// Reads to the end of the connection, and returns how it ended: no outcome of any stream.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Outcome {
        self.outcome(u32::MAX)
    }

    #[track_caller]
    fn read(&mut self) -> Option<&Frame> {
        let head = self.client.all_of(9)?;
        let length = number(&[&[0], &head[..3]].concat());
        let payload = self.client.all_of(usize::try_from(length).expect("a length"))?;
        self.frames.push(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload });
        self.frames.last()
    }
}

impl Outcome {
    /// The reason in a refusal of this proxy's.
    pub(crate) fn reason(&self) -> Option<String> {
        let Self::Answered(body) = self else { return None };
        let facts: Value = serde_json::from_str(body.lines().next()?).ok()?;
        Some(facts["reason"].as_str()?.to_owned())
    }

    /// Whether the origin was not asked on behalf of this: an error of the stream or the connection, or a refusal.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Answered(_)) || self.reason().is_some()
    }
}

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS that hold a whole block.
pub(crate) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

/// Fields as literals without indexing (RFC 7541, section 6.2.2), whatever they hold.
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0][..], &string(name.as_ref()), &string(value.as_ref())].concat()).collect()
}

/// A string of HPACK without Huffman coding (RFC 7541, section 5.2).
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    let mut rest = bytes.len();
    if rest < 0x7f {
        length.push(u8::try_from(rest).expect("seven bits"));
    } else {
        length.push(0x7f);
        rest -= 0x7f;
        while rest >= 0x80 {
            length.push(u8::try_from(rest % 0x80).expect("seven bits") | 0x80);
            rest /= 0x80;
        }
        length.push(u8::try_from(rest).expect("seven bits"));
    }
    [&length, bytes].concat()
}

fn number(bytes: &[u8]) -> u32 {
    let bytes = bytes.first_chunk().expect("four bytes");
    u32::from_be_bytes(*bytes)
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// RFC 9113, section 7.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

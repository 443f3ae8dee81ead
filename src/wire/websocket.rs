//! WebSocket (RFC 6455): what asks for one, what agrees to one, and where the frames of either side begin and end.

use std::{borrow::Cow, fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    http1::{Head, Version, list},
    masking::Masker,
    secrets::{Found, Known, Scan},
};

/// The version that there is (RFC 6455, section 4.1).
pub const VERSION: &str = "13";
/// Most octets of a reason in a Close frame (RFC 6455, section 5.5): those of a control frame without the code.
pub const MAX_REASON: usize = 123;

/// Whether the head of a request asks for a WebSocket, so that what follows it is no HTTP if the answer agrees.
pub fn is_asked_by(head: &Head) -> bool {
    head.version == Version::Http11 && asks(&head.method, |name| head.values(name))
}

/// The same for a request in HTTP/1.1 of which `values` gives the values of each field, one for each line: a GET that announces no body
/// and expects nothing, with a fitting Connection and one each of `Upgrade: websocket`, this version, and a key of 16 octets
/// (RFC 6455, section 4.2.1). Whatever asks in another way asks for nothing.
pub fn asks<'a, V: Iterator<Item = &'a [u8]>>(method: &str, values: impl Fn(&'static str) -> V) -> bool {
    let absent = |name| values(name).next().is_none();
    let is_key = |value: &[u8]| BASE64_STANDARD.decode(value).is_ok_and(|key| key.len() == KEY);
    method == "GET"
        && ["content-length", "transfer-encoding", "expect"].into_iter().all(absent)
        && switches(&values)
        && is_one(values("sec-websocket-version"), |value| value == VERSION.as_bytes())
        && is_one(values("sec-websocket-key"), is_key)
}

/// Whether an answer with status 101 agrees to a WebSocket, with this value of `Sec-WebSocket-Accept`.
pub fn agrees<'a, V: Iterator<Item = &'a [u8]>>(values: impl Fn(&'static str) -> V, accept: &[u8]) -> bool {
    switches(&values) && is_one(values("sec-websocket-accept"), |value| value == accept)
}

fn switches<'a, V: Iterator<Item = &'a [u8]>>(values: impl Fn(&'static str) -> V) -> bool {
    list(values("connection")).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && is_one(values("upgrade"), |value| value.eq_ignore_ascii_case(b"websocket"))
}

fn is_one<'a>(mut values: impl Iterator<Item = &'a [u8]>, good: impl Fn(&[u8]) -> bool) -> bool {
    values.next().is_some_and(good) && values.next().is_none()
}

/// A Close frame of a server (RFC 6455, section 5.5.1). A reason longer than [`MAX_REASON`] is left out.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = if reason.len() <= MAX_REASON { reason } else { "" };
    let length = u8::try_from(2 + reason.len()).unwrap_or_default();
    [&[FINAL_CLOSE, length][..], &code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The frames that a server sends, in pieces of any size. Only their heads are read; what they carry stays as it is, or has its
/// secrets masked. Holds the head of one frame, and what a [`Masker`] holds.
#[derive(Debug)]
pub struct ServerFrames {
    frames: Frames,
    masker: Option<Masker>,
}

impl ServerFrames {
    /// At the beginning of a stream. What looks for secrets looks at the payload of each frame alone: held back is at most what may
    /// begin one, and never beyond the end of the frame.
    pub fn new(masker: Option<Masker>) -> Self {
        Self { frames: Frames::of(Side::Server), masker }
    }

    /// Takes the next octets and gives what can be passed on.
    ///
    /// # Errors
    /// A frame that no server sends. Nothing of these octets may be passed on, and nothing after them means anything.
    pub fn pass<'b>(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, FrameError> {
        let mut passed = self.masker.is_some().then(|| Vec::with_capacity(bytes.len()));
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = self.frames.next(rest)?;
            rest = behind;
            let (Some(passed), Some(masker)) = (&mut passed, &mut self.masker) else { continue };
            match piece {
                Piece::Head(head) => passed.extend_from_slice(head),
                Piece::Payload(payload) => passed.append(&mut masker.push(payload)),
            }
            if self.frames.is_between() {
                passed.append(&mut masker.finish());
            }
        }
        Ok(passed.map_or(Cow::Borrowed(bytes), Cow::Owned))
    }

    /// Whether all that was passed on ends with a frame.
    pub fn is_between(&self) -> bool {
        self.frames.is_between()
    }
}

/// The frames that a client sends, in pieces of any size, looked through for secrets. What messages carry is read as one stream, since
/// one may be cut wherever the client likes; so is what stands in Ping, Pong and Close, which may come in between.
#[derive(Debug)]
pub struct ClientFrames {
    frames: Frames,
    messages: Scan,
    controls: Scan,
}

impl ClientFrames {
    /// At the beginning of a stream whose messages are not compressed.
    pub fn new(known: &Arc<Known>) -> Self {
        Self { frames: Frames::of(Side::Client), messages: Scan::new(known), controls: Scan::new(known) }
    }

    /// Takes the next octets; what they complete may not go on.
    ///
    /// # Errors
    /// A frame that no client sends. Nothing of these octets may be passed on, and nothing after them means anything.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Found>, FrameError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = self.frames.left;
            let (piece, behind) = self.frames.next(rest)?;
            rest = behind;
            let Piece::Payload(payload) = piece else { continue };
            let payload = self.frames.unmask(payload, before);
            let scan = if self.frames.is_control() { &mut self.controls } else { &mut self.messages };
            if let Some(found) = scan.push(&payload) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Who sends frames. Clients mask what theirs carry (RFC 6455, section 5.3); some servers take it unmasked too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Where a stream of frames stands (RFC 6455, section 5.2).
#[derive(Debug)]
struct Frames {
    of: Side,
    /// Of the frame at hand.
    head: [u8; MAX_HEAD],
    /// Octets of a head that were read.
    read: usize,
    /// Octets of payload, all and to come.
    length: u64,
    left: u64,
}

enum Piece<'b> {
    Head(&'b [u8]),
    Payload(&'b [u8]),
}

impl Frames {
    fn of(side: Side) -> Self {
        Self { of: side, head: [0; MAX_HEAD], read: 0, length: 0, left: 0 }
    }

    fn is_between(&self) -> bool {
        self.read == 0 && self.left == 0
    }

    /// Takes the first piece of what is not empty, and gives what stands behind it.
    fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<(Piece<'b>, &'b [u8]), FrameError> {
        if self.left > 0 {
            let (payload, rest) = bytes.split_at(usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len())));
            self.left -= payload.len() as u64;
            return Ok((Piece::Payload(payload), rest));
        }
        let before = self.read;
        let mut taken = 0;
        while self.read < self.head_length() {
            let Some(&byte) = bytes.get(taken) else { break };
            self.head[self.read] = byte;
            (self.read, taken) = (self.read + 1, taken + 1);
        }
        if before + taken == self.head_length() {
            self.length = self.payload_length()?;
            self.left = self.length;
            self.read = 0;
        }
        let (head, rest) = bytes.split_at(taken);
        Ok((Piece::Head(head), rest))
    }

    fn head_length(&self) -> usize {
        if self.read < 2 {
            return 2;
        }
        let key = if self.of == Side::Client && self.is_masked() { KEY_OF_FRAME } else { 0 };
        self.length_end() + key
    }

    /// Where the length of the payload ends.
    fn length_end(&self) -> usize {
        match self.head[1] & LENGTH {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn is_masked(&self) -> bool {
        self.head[1] & MASKED != 0
    }

    fn is_control(&self) -> bool {
        self.head[0] & CONTROL != 0
    }

    /// What a piece of payload means, `left` octets of which were to come before it.
    fn unmask<'b>(&self, payload: &'b [u8], left: u64) -> Cow<'b, [u8]> {
        if !self.is_masked() {
            return Cow::Borrowed(payload);
        }
        let key = self.head.iter().skip(self.length_end()).take(KEY_OF_FRAME).cycle();
        let passed = usize::try_from((self.length - left) % KEY_OF_FRAME as u64).unwrap_or_default();
        payload.iter().zip(key.skip(passed)).map(|(byte, key)| byte ^ key).collect()
    }

    fn payload_length(&self) -> Result<u64, FrameError> {
        if self.of == Side::Server && self.is_masked() {
            return Err(FrameError::Masked);
        }
        let [_, short, extended @ .., _, _, _, _] = self.head;
        let long = u64::from_be_bytes(extended);
        match short & LENGTH {
            127 if long > MAX_PAYLOAD => Err(FrameError::Length(long)),
            127 => Ok(long),
            126 => Ok(long >> 48),
            short => Ok(u64::from(short)),
        }
    }
}

/// Why what is sent is no frame of whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Only clients mask (RFC 6455, section 5.1).
    Masked,
    /// Longer than the 2^63 - 1 octets that a frame may be, of whichever side.
    Length(u64),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => f.write_str("a frame of the server is masked"),
            Self::Length(length) => write!(f, "a frame says that it is {length} octets long"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Octets of a decoded `Sec-WebSocket-Key`.
const KEY: usize = 16;
/// Octets of what a client masks a frame with.
const KEY_OF_FRAME: usize = 4;
/// Octets of the head of a frame.
const MAX_HEAD: usize = 10 + KEY_OF_FRAME;
const MAX_PAYLOAD: u64 = i64::MAX as u64;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const FINAL_CLOSE: u8 = 0x88;
/// In the first octet of Close, Ping and Pong (RFC 6455, section 5.5).
const CONTROL: u8 = 0x08;

#[cfg(test)]
mod tests;

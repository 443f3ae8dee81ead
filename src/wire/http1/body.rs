//! Where a request body ends (RFC 9112, sections 6 and 7).

use std::fmt;

use super::{
    super::excerpt,
    BodyLength,
    field::{self, FieldError},
};
use crate::reason::Reason;

/// Follows a body from its first octet to its last. Keeps a few numbers, never an octet.
#[derive(Debug)]
pub struct BodyFramer {
    state: State,
    /// Octets of an unfinished line that were already searched for its end.
    searched: usize,
    /// Octets of chunk extensions so far.
    extensions: usize,
    /// Octets and lines of trailers so far.
    trailers: usize,
    trailer_lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Complete,
}

/// What [`BodyFramer::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// How many leading octets belong to the message, are judged, and may be handed on as they are.
    pub released: usize,
    /// The message ends after them; what follows is the next one.
    pub complete: bool,
}

impl BodyFramer {
    /// Fewer octets than this are held back at any time: a buffer of this size always makes progress.
    pub const MAX_HELD: usize = MAX_TRAILERS;

    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Complete,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::ChunkSize,
        };
        Self { state, searched: 0, extensions: 0, trailers: 0, trailer_lines: 0 }
    }

    /// Judges `bytes`: what was held back at the last call, and what came since.
    ///
    /// Data is released as it comes, the line of a chunk's size or of a trailer once it is whole. An error may stand
    /// after octets of `bytes` that were good; the message is lost all the same.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Advance, BodyError> {
        let mut released = 0;
        loop {
            match self.step(&bytes[released..])? {
                0 => return Ok(Advance { released, complete: self.state == State::Complete }),
                octets => released += octets,
            }
        }
    }

    /// Takes one line or one stretch of data from the beginning of `rest`; 0 octets where there is none yet.
    fn step(&mut self, rest: &[u8]) -> Result<usize, BodyError> {
        match self.state {
            State::Complete => Ok(0),
            State::Length(left) => Ok(self.data(rest, left, State::Length, State::Complete)),
            State::ChunkData(left) => Ok(self.data(rest, left, State::ChunkData, State::ChunkEnd)),
            State::ChunkSize => {
                let Some(line) = self.line(rest, MAX_SIZE_LINE, BodyError::ChunkLineTooLong)? else { return Ok(0) };
                self.chunk_size(line)?;
                Ok(line.len() + CRLF)
            }
            State::ChunkEnd => match rest {
                [] | [b'\r'] => Ok(0),
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(CRLF)
                }
                _ => Err(BodyError::ChunkEnd),
            },
            State::Trailers => {
                let Some(line) = self.line(rest, MAX_TRAILERS - self.trailers, BodyError::TrailersTooLarge)? else { return Ok(0) };
                self.trailer(line)?;
                Ok(line.len() + CRLF)
            }
        }
    }

    fn data(&mut self, rest: &[u8], left: u64, more: fn(u64) -> State, end: State) -> usize {
        let octets = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let left = left - octets as u64;
        self.state = if left == 0 { end } else { more(left) };
        octets
    }

    /// The line at the beginning of `rest` without its CRLF, which ends within `bound` octets or is `too_long`.
    fn line<'a>(&mut self, rest: &'a [u8], bound: usize, too_long: BodyError) -> Result<Option<&'a [u8]>, BodyError> {
        let window = &rest[..rest.len().min(bound)];
        let unsearched = window.get(self.searched..).unwrap_or_default();
        let Some(length) = unsearched.iter().position(|&byte| byte == b'\n') else {
            self.searched = window.len();
            return if window.len() == bound { Err(too_long) } else { Ok(None) };
        };
        let line = &window[..self.searched + length];
        self.searched = 0;
        line.strip_suffix(b"\r").map(Some).ok_or(BodyError::LineEnd)
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), BodyError> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let size = match std::str::from_utf8(size).map(|size| u64::from_str_radix(size, 16)) {
            Ok(Ok(size)) if digits <= MAX_SIZE_DIGITS => size,
            _ => return Err(BodyError::ChunkSize(excerpt(line))),
        };
        self.extensions += extension.len();
        match extension.first() {
            None => {}
            Some(b';') if extension.len() <= MAX_EXTENSION && is_extension(extension) => {}
            Some(b';') => return Err(BodyError::ChunkExtension),
            Some(_) => return Err(BodyError::ChunkSize(excerpt(line))),
        }
        if self.extensions > MAX_EXTENSIONS {
            return Err(BodyError::ChunkExtension);
        }
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), BodyError> {
        if line.is_empty() {
            self.state = State::Complete;
            return Ok(());
        }
        self.trailers += line.len() + CRLF;
        self.trailer_lines += 1;
        if self.trailer_lines > MAX_TRAILER_LINES {
            return Err(BodyError::TrailersTooLarge);
        }
        field::parse(line).map(drop).map_err(BodyError::Trailer)
    }
}

/// Whether an extension ends where its line does, for readers that know quotes and for those that do not.
fn is_extension(extension: &[u8]) -> bool {
    let quoted = extension.iter().fold(false, |quoted, &byte| quoted ^ (byte == b'"'));
    !quoted && extension.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// A body whose end another reader could dispute. Shown input is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// Not 1 to 16 hexadecimal digits, followed by nothing or by an extension.
    ChunkSize(Box<str>),
    /// Other than visible ASCII, or too much of it; or with a quote left open, where readers differ on what ends the line.
    ChunkExtension,
    ChunkLineTooLong,
    /// No CRLF after a chunk's data.
    ChunkEnd,
    /// LF without CR.
    LineEnd,
    Trailer(FieldError),
    TrailersTooLarge,
}

impl BodyError {
    pub fn reason(&self) -> Reason {
        Reason::BadRequest
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChunkSize(line) => write!(f, "a chunk size is 1 to {MAX_SIZE_DIGITS} hexadecimal digits: \"{line}\""),
            Self::ChunkExtension => {
                write!(
                    f,
                    "chunk extensions are visible ASCII with paired quotes, at most {MAX_EXTENSION} octets each and {MAX_EXTENSIONS} in all"
                )
            }
            Self::ChunkLineTooLong => write!(f, "the line of a chunk size is longer than {MAX_SIZE_LINE} octets"),
            Self::ChunkEnd => f.write_str("the data of a chunk does not end in CRLF after as many octets as announced"),
            Self::LineEnd => f.write_str("a line between chunks ends in LF without CR"),
            Self::Trailer(error) => write!(f, "in the trailers: {error}"),
            Self::TrailersTooLarge => write!(f, "there are more than {MAX_TRAILER_LINES} trailers or {MAX_TRAILERS} octets of them"),
        }
    }
}

impl std::error::Error for BodyError {}

const CRLF: usize = 2;
const MAX_SIZE_DIGITS: usize = 16;
/// Most octets of the extensions of one chunk, the first semicolon included.
const MAX_EXTENSION: usize = 256;
/// Most octets of the extensions of one message.
const MAX_EXTENSIONS: usize = 4 * 1024;
const MAX_SIZE_LINE: usize = MAX_SIZE_DIGITS + MAX_EXTENSION + CRLF;
/// Most octets of the trailers of one message, the empty line after them included.
const MAX_TRAILERS: usize = 8 * 1024;
const MAX_TRAILER_LINES: usize = 64;

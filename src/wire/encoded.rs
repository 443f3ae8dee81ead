//! Bodies in a content coding (RFC 9110, section 8.4.1): looked through for secrets behind it, or undone.

use std::{
    fmt,
    io::{self, Write},
};

use flate2::write::{MultiGzDecoder, ZlibDecoder};

use super::secrets::{Found, Scan};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Nothing is hidden: as it is, or in pieces that a server signs (`aws-chunked`).
    Plain,
    Gzip,
    Deflate,
}

impl Coding {
    /// By the values of `Content-Encoding`; none where they name a coding that is not undone here, or several.
    pub fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut coding = Self::Plain;
        for named in values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
            let next = match named.to_ascii_lowercase().as_slice() {
                b"" | b"identity" | b"aws-chunked" => continue,
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"deflate" => Self::Deflate,
                _ => return None,
            };
            if coding != Self::Plain {
                return None;
            }
            coding = next;
        }
        Some(coding)
    }
}

/// Why what a body holds cannot be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingError {
    /// It is not what it is said to be.
    Form,
    /// It holds more than [`RATIO`] times its octets, beyond the first [`FREE`].
    Bomb,
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("is not in the content coding that it is said to be in"),
            Self::Bomb => write!(f, "decodes to more than {RATIO} times its length"),
        }
    }
}

impl std::error::Error for EncodingError {}

/// A [`Scan`] of what an encoded body holds. Beside the scan it holds some tens of kilobytes, however much that is.
pub struct EncodedScan(Decoder);

enum Decoder {
    Plain(Box<Scan>),
    Gzip(MultiGzDecoder<Sink>),
    Deflate(ZlibDecoder<Sink>),
}

impl EncodedScan {
    /// At the beginning of a body in a coding.
    pub fn new(coding: Coding, scan: Scan) -> Self {
        let sink = |scan| Sink { scan, found: None, room: FREE };
        Self(match coding {
            Coding::Plain => Decoder::Plain(Box::new(scan)),
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(sink(scan))),
            Coding::Deflate => Decoder::Deflate(ZlibDecoder::new(sink(scan))),
        })
    }

    /// Takes the next piece; what it completes may not go on.
    ///
    /// # Errors
    /// [`EncodingError`], after which the body means nothing and may not go on either.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<Found>, EncodingError> {
        match &mut self.0 {
            Decoder::Plain(scan) => Ok(scan.push(piece)),
            Decoder::Gzip(decoder) => {
                decoder.get_mut().admit(piece);
                let written = decoder.write_all(piece).and_then(|()| decoder.flush());
                decoder.get_mut().outcome(written)
            }
            Decoder::Deflate(decoder) => {
                decoder.get_mut().admit(piece);
                let written = decoder.write_all(piece).and_then(|()| decoder.flush());
                decoder.get_mut().outcome(written)
            }
        }
    }
}

/// Nothing of what passed.
impl fmt::Debug for EncodedScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedScan").finish_non_exhaustive()
    }
}

/// What takes the octets behind a coding.
struct Sink {
    scan: Scan,
    found: Option<Found>,
    /// Octets that may still come of those that went in.
    room: u64,
}

impl Sink {
    fn admit(&mut self, piece: &[u8]) {
        self.room = self.room.saturating_add(RATIO * piece.len() as u64);
    }

    fn outcome(&self, written: io::Result<()>) -> Result<Option<Found>, EncodingError> {
        match written {
            Ok(()) => Ok(None),
            Err(_) if self.found.is_some() => Ok(self.found),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(EncodingError::Bomb),
            Err(_) => Err(EncodingError::Form),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(octets.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.found = self.scan.push(octets);
        if self.found.is_some() { Err(io::ErrorKind::Other.into()) } else { Ok(octets.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body in gzip that is undone, within the same bounds. Its members are one text.
pub struct Gunzip(MultiGzDecoder<Text>);

impl Gunzip {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self(MultiGzDecoder::new(Text { octets: Vec::new(), room: FREE }))
    }

    /// Takes the next piece, and gives what is known of the text now.
    ///
    /// # Errors
    /// [`EncodingError`], after which the body means nothing.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, EncodingError> {
        let Self(decoder) = self;
        let text = decoder.get_mut();
        text.room = text.room.saturating_add(RATIO * piece.len() as u64);
        let written = decoder.write_all(piece).and_then(|()| decoder.flush());
        self.outcome(written)
    }

    /// No piece follows.
    ///
    /// # Errors
    /// [`EncodingError::Form`] where it ends too early.
    pub fn finish(&mut self) -> Result<Vec<u8>, EncodingError> {
        let written = self.0.try_finish();
        self.outcome(written)
    }

    fn outcome(&mut self, written: io::Result<()>) -> Result<Vec<u8>, EncodingError> {
        let error = |error: io::Error| if error.kind() == io::ErrorKind::FileTooLarge { EncodingError::Bomb } else { EncodingError::Form };
        written.map_err(error)?;
        Ok(std::mem::take(&mut self.0.get_mut().octets))
    }
}

impl Default for Gunzip {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing of what passed.
impl fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gunzip").finish_non_exhaustive()
    }
}

/// What comes of one piece.
struct Text {
    octets: Vec<u8>,
    /// Octets that may still come of those that went in.
    room: u64,
}

impl Write for Text {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(octets.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a body may decode to in any case, in octets.
pub const FREE: u64 = 4 << 20;
/// And beyond that, for each of its octets: texts that repeat themselves much come to half of it.
pub const RATIO: u64 = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::wire::secrets::Known;

    const SECRET: &[u8] = b"real/credential+0123456789";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn scan(coding: Coding) -> EncodedScan {
        EncodedScan::new(coding, Scan::new(&Arc::new(Known::new([SECRET]).unwrap())))
    }

    fn read(value: &str) -> Option<Coding> {
        Coding::read([value.as_bytes()].into_iter())
    }

    #[test]
    fn one_known_coding_is_undone_and_no_other() {
        for (value, coding) in [
            ("", Some(Coding::Plain)),
            ("identity, Identity", Some(Coding::Plain)),
            ("aws-chunked", Some(Coding::Plain)),
            ("GZIP", Some(Coding::Gzip)),
            ("identity,x-gzip", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("gzip, gzip", None),
            ("br", None),
            ("zstd", None),
            ("gzip;q=1", None),
        ] {
            assert_eq!(read(value), coding, "{value}");
        }
        assert_eq!(Coding::read([&b"gzip"[..], b"deflate"].into_iter()), None);
    }

    #[test]
    fn the_piece_that_completes_a_secret_never_goes() {
        let text = [&b"x".repeat(1000)[..], SECRET, b" and more"].concat();
        let members = [gzip(b"first "), gzip(&text[..1010]), gzip(&text[1010..])].concat();
        for (coding, body) in [(Coding::Gzip, gzip(&text)), (Coding::Deflate, deflate(&text)), (Coding::Gzip, members)] {
            for size in [1, 7, body.len()] {
                let mut scan = scan(coding);
                let found = body.chunks(size).map(|piece| scan.push(piece).unwrap()).position(|found| found.is_some());
                assert!(found.is_some_and(|at| at * size < body.len()), "{coding:?} in pieces of {size}");
            }
            let harmless = if coding == Coding::Gzip { gzip(b"harmless") } else { deflate(b"harmless") };
            assert_eq!(scan(coding).push(&harmless), Ok(None));
        }
    }

    #[test]
    fn threats_82_and_111_what_is_no_such_coding_and_what_is_a_bomb_are_errors() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            assert_eq!(scan(coding).push(b"no such thing at all, however long it may be"), Err(EncodingError::Form));
        }
        assert_eq!(scan(Coding::Gzip).push(&[gzip(b"one"), b"behind it, that is no member".to_vec()].concat()), Err(EncodingError::Form));
        assert_eq!(scan(Coding::Gzip).push(&gzip(&vec![0; 8 << 20])), Err(EncodingError::Bomb));
        let mut slowly = scan(Coding::Deflate);
        let fault = deflate(&vec![b'a'; 8 << 20]).chunks(100).find_map(|piece| slowly.push(piece).err());
        assert_eq!(fault, Some(EncodingError::Bomb));
    }

    #[test]
    fn what_is_undone_is_what_was_written_and_no_more() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for body in [gzip(&text), [gzip(&text[..1000]), gzip(&text[1000..])].concat()] {
            for size in [1, 1000, body.len()] {
                let mut gunzip = Gunzip::new();
                let mut read: Vec<u8> = body.chunks(size).flat_map(|piece| gunzip.push(piece).unwrap()).collect();
                read.extend(gunzip.finish().unwrap());
                assert!(read == text, "{size}");
            }
        }
        let body = gzip(&text);
        let fault = |body: &[u8]| {
            let mut gunzip = Gunzip::new();
            gunzip.push(body).and_then(|_| gunzip.finish()).err()
        };
        assert_eq!(fault(&body[..body.len() - 1]), Some(EncodingError::Form));
        assert_eq!(fault(&[&body[..], b"x"].concat()), Some(EncodingError::Form));
        assert_eq!(fault(b"PACK and no gzip"), Some(EncodingError::Form));
        assert_eq!(fault(&gzip(&vec![0; 8 << 20])), Some(EncodingError::Bomb));
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(text in proptest::collection::vec(any::<u8>(), 0..400), secret: bool, size in 1..50_usize) {
            let text = if secret { [&text[..], SECRET].concat() } else { text };
            let body = gzip(&text);
            let mut slow = scan(Coding::Gzip);
            let slowly = body.chunks(size).find_map(|piece| slow.push(piece).transpose()).transpose();
            prop_assert_eq!(slowly, scan(Coding::Gzip).push(&body));
        }

        #[test]
        fn nothing_that_is_sent_breaks_the_reader(bytes: Vec<u8>) {
            let _ = (scan(Coding::Gzip).push(&bytes), scan(Coding::Deflate).push(&bytes));
        }
    }
}

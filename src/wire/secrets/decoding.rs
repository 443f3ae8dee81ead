//! Octets as they stand behind escapes and in base64, as soon as they are known.

/// Undoes percent-encoding (RFC 3986, section 2.1) and the escapes of JSON (RFC 8259, section 7); what only looks like it stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Escapes {
    /// The beginning of an escape that is not decided yet.
    held: [u8; LONGEST],
    length: usize,
}

/// What octets are from the sign of an escape on.
enum Sequence {
    Whole(u8),
    Beginning,
    None,
}

impl Escapes {
    /// Whether an octet may begin an escape.
    #[inline]
    pub(super) fn begin_with(byte: u8) -> bool {
        matches!(byte, b'%' | b'\\')
    }

    /// Whether every octet so far was given.
    pub(super) fn is_clear(&self) -> bool {
        self.length == 0
    }

    /// Takes an octet, and gives those that are known now.
    pub(super) fn push(&mut self, byte: u8, take: &mut impl FnMut(u8)) {
        let Some(place) = self.held.get_mut(self.length) else { return };
        *place = byte;
        self.length += 1;
        match sequence(&self.held[..self.length]) {
            Sequence::Beginning => {}
            Sequence::Whole(octet) => {
                self.length = 0;
                take(octet);
            }
            Sequence::None => {
                let (held, length) = (self.held, std::mem::take(&mut self.length));
                take(held[0]);
                held[1..length].iter().for_each(|&byte| self.push(byte, take));
            }
        }
    }
}

fn sequence(octets: &[u8]) -> Sequence {
    match octets {
        [b'%' | b'\\'] | [b'\\', b'u'] => Sequence::Beginning,
        [b'%', digits @ ..] | [b'\\', b'u', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit) => {
            if digits.len() < if octets[0] == b'%' { 2 } else { 4 } {
                return Sequence::Beginning;
            }
            let value = digits.iter().fold(0, |value, &digit| value << 4 | char::from(digit).to_digit(16).unwrap_or_default());
            Sequence::Whole(u8::try_from(value).unwrap_or(NO_OCTET))
        }
        [b'\\', byte @ (b'"' | b'\\' | b'/')] => Sequence::Whole(*byte),
        [b'\\', b'n' | b'r'] => Sequence::Whole(b'\n'),
        [b'\\', b't'] => Sequence::Whole(b'\t'),
        _ => Sequence::None,
    }
}

/// The longest escape: a backslash, `u` and four digits.
const LONGEST: usize = 6;
/// Stands for a character that is in no secret.
const NO_OCTET: u8 = 0xff;

/// Undoes base64 (RFC 4648, sections 4 and 5), however many characters of the same alphabet stand in front of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Base64 {
    bits: u32,
    /// How many of them are not given yet.
    count: u8,
    /// Characters in this run that are still to be left out.
    skip: u8,
}

impl Base64 {
    /// Reads a run from its character `skip` on.
    pub(super) fn skipping(skip: u8) -> Self {
        Self { bits: 0, count: 0, skip }
    }

    /// Takes the six bits of a character, and gives an octet once it is whole.
    pub(super) fn push(&mut self, value: u8) -> Option<u8> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        self.count.checked_sub(8).map(|left| {
            self.count = left;
            (self.bits >> left & 0xff) as u8
        })
    }
}

/// What a character of base64 stands for, in either alphabet.
#[inline]
pub(super) fn value(byte: u8) -> Option<u8> {
    let value = VALUES[usize::from(byte)];
    (value != NONE).then_some(value)
}

const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut byte = u8::MIN;
    loop {
        values[byte as usize] = value_of(byte);
        if byte == u8::MAX {
            break values;
        }
        byte += 1;
    }
};

const fn value_of(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => NONE,
    }
}

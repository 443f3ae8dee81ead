//! Octets as they stand behind percent signs and in base64, as soon as they are known.

/// Undoes percent-encoding (RFC 3986, section 2.1); what only looks like it stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Percent {
    /// A percent sign that is not decided yet, and perhaps the first digit behind it.
    held: Held,
}

#[derive(Debug, Clone, Copy, Default)]
enum Held {
    #[default]
    Nothing,
    Sign,
    Digit(u8),
}

impl Percent {
    /// Whether every octet so far was given.
    pub(super) fn is_clear(&self) -> bool {
        matches!(self.held, Held::Nothing)
    }

    /// Takes an octet, and gives those that are known now.
    pub(super) fn push(&mut self, byte: u8, mut take: impl FnMut(u8)) {
        match (self.held, digit(byte)) {
            (Held::Nothing, _) if byte == b'%' => self.held = Held::Sign,
            (Held::Nothing, _) => take(byte),
            (Held::Sign, Some(_)) => self.held = Held::Digit(byte),
            (Held::Digit(first), Some(second)) => {
                self.held = Held::Nothing;
                take(digit(first).unwrap_or_default() << 4 | second);
            }
            (Held::Sign | Held::Digit(_), None) => {
                take(b'%');
                if let Held::Digit(first) = self.held {
                    take(first);
                }
                self.held = Held::Nothing;
                self.push(byte, take);
            }
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

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
